//! Pages: one chunk of one archive of one group, all its lanes.
//!
//! ```text
//! header   'V' version archive 0 | n u16 | lanes u16 | chunk i64 | crc32c u32    little endian
//! lengths  u16 for each lane; 0: nothing known
//! raw lane      flags [total f64] [bitmap] [reasons] values
//! coarse lane   flags [total f64] [bitmap] [reasons] counts, then minima, maxima, last values, sums
//! ```
//! `flags`: bits 0–3 decimals of the scaled integers, 15 for floats; bit 4 a bitmap says which slots
//! are known, else all are; bit 5 the counter's total before the chunk's first slot follows; bit 6 a byte for
//! each run of unknown slots says why. The CRC
//! covers everything else: a flipped bit costs this chunk, and is told.

use std::ops::Range;

use super::codec::{
    Input, POW10, float_to_int, get_ints, int_to_float, put_ints, scale_all, scaled, skip_ints,
};
use super::reason::Reason;

const MAGIC: u8 = b'V';
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 20;
const CRC_AT: usize = 16;
const FLOATS: u8 = 15;
const BITMAP: u8 = 0x10;
const TOTAL: u8 = 0x20;
const REASONS: u8 = 0x40;
/// Slots of a chunk at most: a page cannot ask for more memory than this.
const SLOTS_MAX: usize = 1024;

/// One consolidated slot; with `count` 0 nothing is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    /// Slots of the finest archive that are known.
    pub(crate) count: u32,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) last: f64,
}

impl Cell {
    pub(crate) fn of(value: f64) -> Self {
        Self {
            count: 1,
            sum: value,
            min: value,
            max: value,
            last: value,
        }
    }

    /// What slots of the finest archive come to together.
    pub(crate) fn of_all(values: &[f64]) -> Self {
        let mut all = Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            ..Self::default()
        };
        for &value in values.iter().filter(|v| v.is_finite()) {
            all.count += 1;
            all.sum += value;
            all.min = if value < all.min { value } else { all.min };
            all.max = if value > all.max { value } else { all.max };
            all.last = value;
        }
        if all.count == 0 { Self::default() } else { all }
    }

    /// Of these how many are known, and their sum; the others are NaN.
    pub(crate) fn sum_of(values: &[f64]) -> Self {
        let (mut count, mut sum) = (0, 0.0);
        for &value in values {
            let known = value.is_finite();
            count += u32::from(known);
            sum += if known { value } else { 0.0 };
        }
        Self {
            count,
            sum,
            min: f64::NAN,
            max: f64::NAN,
            last: f64::NAN,
        }
    }

    /// A slot that is unknown for a reason.
    pub(crate) fn unknown(reason: Reason) -> Self {
        Self {
            last: reason.unknown(),
            ..Self::default()
        }
    }

    /// Its value to the eye of a bitmap: NaN with the reason, or a number.
    fn mark(&self) -> f64 {
        match self.count {
            0 => Reason::of(self.last).unknown(),
            _ => 0.0,
        }
    }

    /// Takes in a later slot.
    pub(crate) fn add(&mut self, later: &Self) {
        if self.count == 0 {
            *self = *later;
        } else if later.count > 0 {
            self.count = self.count.saturating_add(later.count);
            self.sum += later.sum;
            self.min = self.min.min(later.min);
            self.max = self.max.max(later.max);
            self.last = later.last;
        }
    }
}

/// How much of a page's precision is kept: the first that fits its cap is taken. Mantissa bits of
/// (minima, maxima and last values; sums); in raw pages the second figure holds. 52 is all.
const PRECISIONS: [(u8, u8); 8] = [
    (52, 52),
    (16, 52),
    (12, 52),
    (12, 24),
    (12, 16),
    (8, 12),
    (4, 8),
    (0, 0),
];

/// What a lane says beside its slots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LaneHead {
    /// Decimals of its values; `None` when they are full floats.
    pub(crate) decimals: Option<u8>,
    /// A counter's total before the first slot.
    pub(crate) total: Option<f64>,
}

/// Buffers used again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    values: Vec<f64>,
    /// A lane slot by slot, NaN where nothing is known.
    dense: Vec<f64>,
    ints: [Vec<i64>; 5],
    /// The known slots of a lane.
    slots: Vec<usize>,
    cells: Vec<Cell>,
}

/// What is read of consolidated slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Need {
    /// Everything.
    #[default]
    All,
    /// Count and sum: all that averages and counters need. The others are NaN.
    Sums,
}

/// The slots of a page before it is encoded.
#[derive(Clone, Copy)]
pub(crate) enum Lanes<'a> {
    /// `rows[slot * stride + lane]`; NaN is unknown.
    Raw { rows: &'a [f64], stride: usize },
    /// `cells[lane * n + slot]`.
    Coarse { cells: &'a [Cell] },
}

/// Encodes a page of at most `cap` bytes. `None` when nothing in it is known.
pub(crate) fn encode(
    (archive, n, chunk): (usize, usize, i64),
    lanes: Lanes<'_>,
    totals: &[Option<f64>],
    cap: usize,
    scratch: &mut Scratch,
) -> Option<Vec<u8>> {
    // Reasons go before digits do.
    let tries = [(PRECISIONS[0], true)].into_iter();
    let tries = tries.chain(PRECISIONS.map(|precision| (precision, false)));
    for (i, (precision, reasons)) in tries.enumerate() {
        let mut page = start(archive, n, totals.len(), chunk);
        let mut known = false;
        for (lane, total) in totals.iter().enumerate() {
            let from = page.len();
            match lanes {
                Lanes::Raw { rows, stride } => {
                    let mut slots = std::mem::take(&mut scratch.dense);
                    slots.clear();
                    slots.extend(rows.iter().skip(lane).step_by(stride).take(n));
                    slots.resize(n, f64::NAN);
                    put_raw(&mut page, &slots, *total, (precision.1, reasons), scratch);
                    scratch.dense = slots;
                }
                Lanes::Coarse { cells } => {
                    let cells = &cells[lane * n..(lane + 1) * n];
                    put_coarse(&mut page, cells, *total, (precision, reasons), scratch);
                }
            }
            let len = page.len() - from;
            known |= len > 0;
            let at = HEADER_BYTES + 2 * lane;
            page[at..at + 2].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
        }
        if !known {
            return None;
        }
        if page.len() <= cap || i == PRECISIONS.len() {
            let crc = checksum(&page);
            page[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
            return Some(page);
        }
    }
    None
}

fn start(archive: usize, n: usize, lanes: usize, chunk: i64) -> Vec<u8> {
    let mut page = Vec::with_capacity(8192);
    page.extend([MAGIC, VERSION, u8::try_from(archive).unwrap_or(u8::MAX), 0]);
    page.extend(u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes());
    page.extend(u16::try_from(lanes).unwrap_or(u16::MAX).to_le_bytes());
    page.extend(chunk.to_le_bytes());
    page.resize(HEADER_BYTES + 2 * lanes, 0);
    page
}

fn checksum(page: &[u8]) -> u32 {
    let head = crc32c::crc32c(&page[..CRC_AT]);
    crc32c::crc32c_append(head, &page[HEADER_BYTES..])
}

/// Writes flags, total, which slots are known, and why others are not: these are NaN.
fn put_head(
    out: &mut Vec<u8>,
    n: usize,
    slots: impl Iterator<Item = f64> + Clone,
    total: Option<f64>,
    reasons: bool,
) {
    let at = out.len();
    out.push(0);
    if let Some(total) = total {
        out[at] |= TOTAL;
        out.extend(total.to_le_bytes());
    }
    if !slots.clone().any(f64::is_nan) {
        return;
    }
    out[at] |= BITMAP;
    let bitmap = out.len();
    out.resize(bitmap + n.div_ceil(8), 0);
    for (slot, value) in slots.clone().enumerate() {
        out[bitmap + slot / 8] |= u8::from(!value.is_nan()) << (slot % 8);
    }
    if reasons && slots.clone().any(|v| Reason::of(v) != Reason::Silent) {
        out[at] |= REASONS;
        let mut run: Option<Reason> = None;
        for value in slots.chain([0.0]) {
            if value.is_nan() {
                run = Some(run.unwrap_or_default().or(Reason::of(value)));
            } else if let Some(reason) = run.take() {
                out.push(reason as u8);
            }
        }
    }
}

/// Whether there is anything to write of slots of which none is known.
fn has_reason(mut slots: impl Iterator<Item = f64>) -> bool {
    slots.any(|v| Reason::of(v) != Reason::Silent)
}

/// Appends a raw lane; nothing when no slot is known.
pub(crate) fn put_raw(
    out: &mut Vec<u8>,
    slots: &[f64],
    total: Option<f64>,
    (mantissa, reasons): (u8, bool),
    scratch: &mut Scratch,
) {
    let known = slots.iter().filter(|v| !v.is_nan());
    let count = known.clone().count();
    if count == 0 && !(reasons && has_reason(slots.iter().copied())) {
        return;
    }
    let at = out.len();
    put_head(out, slots.len(), slots.iter().copied(), total, reasons);
    let values = if count == slots.len() {
        slots
    } else {
        scratch.values.clear();
        scratch.values.extend(known);
        &scratch.values
    };
    out[at] |= put_column(out, values, mantissa, &mut scratch.ints[0], false);
}

/// Appends a column of floats; its decimals, or [`FLOATS`]. With `inline` these stand in front.
fn put_column(
    out: &mut Vec<u8>,
    values: &[f64],
    mantissa: u8,
    ints: &mut Vec<i64>,
    inline: bool,
) -> u8 {
    let decimals = if mantissa < 52 {
        None
    } else {
        scale_all(values, 0, ints)
    };
    if inline {
        out.push(decimals.unwrap_or(FLOATS));
    }
    if decimals.is_none() {
        out.push(mantissa);
        ints.clear();
        ints.extend(values.iter().map(|&v| float_to_int(v, mantissa)));
    }
    put_ints(out, ints);
    decimals.unwrap_or(FLOATS)
}

fn get_column(
    input: &mut Input<'_>,
    count: usize,
    decimals: u8,
    ints: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Option<()> {
    values.clear();
    if decimals == FLOATS {
        let mantissa = input.u8().filter(|&m| m <= 52)?;
        get_ints(input, count, ints)?;
        values.extend(ints.iter().map(|&i| int_to_float(i, mantissa)));
    } else {
        get_ints(input, count, ints)?;
        match POW10.get(usize::from(decimals)).filter(|_| decimals > 0) {
            Some(power) => values.extend(ints.iter().map(|&i| i as f64 / power)),
            None => values.extend(ints.iter().map(|&i| i as f64)),
        }
    }
    Some(())
}

/// One of a cell's four floats.
type ColumnOf = fn(&Cell) -> f64;

fn put_coarse(
    out: &mut Vec<u8>,
    cells: &[Cell],
    total: Option<f64>,
    ((extrema, sums), reasons): ((u8, u8), bool),
    scratch: &mut Scratch,
) {
    let known = || cells.iter().filter(|c| c.count > 0);
    let marks = cells.iter().map(Cell::mark);
    if known().next().is_none() && !(reasons && has_reason(marks.clone())) {
        return;
    }
    let at = out.len();
    put_head(out, cells.len(), marks, total, reasons);
    let [counts, mins, maxs, lasts, totals] = &mut scratch.ints;
    counts.clear();
    counts.extend(known().map(|c| i64::from(c.count)));
    put_ints(out, counts);
    if (extrema, sums) == (52, 52)
        && let Some(decimals) = scale_cells(known(), mins, maxs, lasts, totals)
    {
        out[at] |= decimals;
        for column in [mins, maxs, lasts, totals] {
            put_ints(out, column);
        }
        return;
    }
    out[at] |= FLOATS;
    let columns: [(ColumnOf, u8); 4] = [
        (|c| c.min, extrema),
        (|c| c.max, extrema),
        (|c| c.last, extrema),
        (|c| c.sum, sums),
    ];
    for (column, mantissa) in columns {
        scratch.values.clear();
        scratch
            .values
            .extend(cells.iter().filter(|c| c.count > 0).map(column));
        put_column(out, &scratch.values, mantissa, mins, true);
    }
}

/// Scales all four columns by one power of ten, maxima, last values and sums as what they are above
/// the minimum.
fn scale_cells<'a>(
    cells: impl Iterator<Item = &'a Cell> + Clone,
    mins: &mut Vec<i64>,
    maxs: &mut Vec<i64>,
    lasts: &mut Vec<i64>,
    sums: &mut Vec<i64>,
) -> Option<u8> {
    let mut decimals = 0;
    'again: loop {
        for column in [&mut *mins, maxs, lasts, sums] {
            column.clear();
        }
        for c in cells.clone() {
            let all = [c.min, c.max, c.last, c.sum];
            let [Some(min), Some(max), Some(last), Some(sum)] = all.map(|v| scaled(v, decimals))
            else {
                let more = all.map(|v| super::codec::decimals_of(v, decimals));
                let [Some(a), Some(b), Some(c), Some(d)] = more else {
                    return None;
                };
                let more = a.max(b).max(c).max(d);
                // More digits for one value may be too many for another.
                if more == decimals {
                    return None;
                }
                decimals = more;
                continue 'again;
            };
            mins.push(min);
            maxs.push(max.wrapping_sub(min));
            lasts.push(last.wrapping_sub(min));
            sums.push(sum.wrapping_sub(min.wrapping_mul(i64::from(c.count))));
        }
        return Some(decimals);
    }
}

/// The same page with nothing known of some lanes. `None` when nothing is left, or when it is damaged.
pub(crate) fn without(bytes: &[u8], gone: &[usize]) -> Option<Vec<u8>> {
    let page = Page::open(bytes)?;
    let mut out = start(page.archive, page.n, page.lanes, page.chunk);
    let empty = out.len();
    for lane in (0..page.lanes).filter(|lane| !gone.contains(lane)) {
        let Some(lane_bytes) = page.lane(lane) else {
            continue;
        };
        let at = HEADER_BYTES + 2 * lane;
        let len = u16::try_from(lane_bytes.len()).ok()?;
        out[at..at + 2].copy_from_slice(&len.to_le_bytes());
        out.extend_from_slice(lane_bytes);
    }
    let crc = checksum(&out);
    out[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    (out.len() > empty).then_some(out)
}

/// Of how many lanes a page says something; read from its lengths, unchecked.
pub(crate) fn lanes_known(bytes: &[u8]) -> u64 {
    let lanes = match bytes.get(6..8) {
        Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let lengths = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let lengths = lengths.chunks_exact(2).take(lanes);
    lengths.filter(|pair| **pair != [0, 0]).count() as u64
}

/// Bytes as a page whose head and checksum are right: for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut page = data.to_vec();
    page.get_mut(..2)?.copy_from_slice(&[MAGIC, VERSION]);
    page.get(..HEADER_BYTES)?;
    let crc = checksum(&page);
    page[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    Some(page)
}

/// A page whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    pub(crate) archive: usize,
    pub(crate) chunk: i64,
    n: usize,
    lanes: usize,
    body: &'a [u8],
}

impl<'a> Page<'a> {
    /// Opens a page; `None` when its bytes are damaged or no page.
    pub(crate) fn open(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let (magic, version, archive, _) = (input.u8()?, input.u8()?, input.u8()?, input.u8()?);
        let (n, lanes) = (usize::from(input.u16()?), usize::from(input.u16()?));
        let (chunk, crc) = (input.i64()?, input.u32()?);
        let sane =
            (magic, version) == (MAGIC, VERSION) && n <= SLOTS_MAX && input.0.len() >= 2 * lanes;
        (sane && checksum(bytes) == crc).then_some(Self {
            archive: usize::from(archive),
            chunk,
            n,
            lanes,
            body: input.0,
        })
    }

    /// Calls `each(lane, bytes)` for the lanes of which something is known.
    fn lane(&self, lane: usize) -> Option<&'a [u8]> {
        let (lengths, data) = self.body.split_at_checked(2 * self.lanes)?;
        let length = |pair: &[u8]| usize::from(u16::from_le_bytes([pair[0], pair[1]]));
        let at: usize = lengths.chunks_exact(2).take(lane).map(length).sum();
        let len = length(lengths.chunks_exact(2).nth(lane)?);
        data.get(at..at + len).filter(|lane| !lane.is_empty())
    }

    /// Reads a lane: `each(slot, cell)` for the known slots, in order. `None` when nothing is known
    /// of it (or no encoder wrote it).
    pub(crate) fn read(
        &self,
        lane: usize,
        scratch: &mut Scratch,
        mut each: impl FnMut(usize, Cell),
    ) -> Option<LaneHead> {
        if self.archive == 0 {
            let mut input = Input(self.lane(lane)?);
            return get_raw(&mut input, self.n, scratch, each);
        }
        let coarse = self.coarse(lane, Need::All, scratch)?;
        for (at, &slot) in coarse.slots.iter().enumerate() {
            each(slot, coarse.cell(at..at + 1));
        }
        Some(coarse.head)
    }

    /// Reads a lane of a page of another archive than the finest. `None` as with [`Page::read`].
    pub(crate) fn coarse<'s>(
        &self,
        lane: usize,
        need: Need,
        scratch: &'s mut Scratch,
    ) -> Option<Coarse<'s>> {
        let mut input = Input(self.lane(lane).filter(|_| self.archive > 0)?);
        get_coarse(&mut input, self.n, need, scratch)
    }

    /// Reads a lane of a page that begins at slot `first`, `ratio` slots put together to one of the
    /// next archive: `each(that slot, cell)`.
    pub(crate) fn read_by(
        &self,
        lane: usize,
        (first, ratio): (i64, i64),
        scratch: &mut Scratch,
        mut each: impl FnMut(i64, Cell),
    ) -> Option<LaneHead> {
        if self.archive > 0 {
            let coarse = self.coarse(lane, Need::All, scratch)?;
            coarse.parts(first, ratio, 0..coarse.slots.len(), |slot, cell| {
                each(slot, cell)
            });
            return Some(coarse.head);
        }
        let (head, values) = self.raw(lane, scratch)?;
        for (slot, part) in parts(first, ratio, values) {
            let cell = Cell::of_all(part);
            if cell.count > 0 {
                each(slot, cell);
            }
        }
        Some(head)
    }

    /// A lane of a page of the finest archive, slot by slot; what is not finite is unknown.
    pub(crate) fn raw<'s>(
        &self,
        lane: usize,
        scratch: &'s mut Scratch,
    ) -> Option<(LaneHead, &'s [f64])> {
        let mut input = Input(self.lane(lane).filter(|_| self.archive == 0)?);
        let (head, decimals, bitmap, count) = get_head(&mut input, self.n)?;
        let (ints, values) = (&mut scratch.ints[0], &mut scratch.values);
        get_column(&mut input, count, decimals, ints, values)?;
        if bitmap.is_none() {
            return Some((head, values));
        }
        scratch.dense.clear();
        scratch.dense.resize(self.n, f64::NAN);
        for (slot, value) in known_slots(bitmap, self.n).zip(values) {
            scratch.dense[slot] = *value;
        }
        Some((head, &scratch.dense))
    }

    /// Tells the runs of unknown slots of a lane and why they are: `each(from, until, reason)`. Nothing
    /// when nothing at all is written of the lane.
    pub(crate) fn unknown(&self, lane: usize, each: impl FnMut(usize, usize, Reason)) {
        if let Some(bytes) = self.lane(lane) {
            get_unknown(bytes, self.n, each);
        }
    }

    /// A counter's total before the first slot, if anything is written of the lane.
    pub(crate) fn total(&self, lane: usize) -> Option<f64> {
        get_head(&mut Input(self.lane(lane)?), self.n)?.0.total
    }

    /// Whether anything is written of a lane.
    pub(crate) fn has(&self, lane: usize) -> bool {
        self.lane(lane).is_some()
    }

    /// Slots of the page.
    pub(crate) fn slots(&self) -> usize {
        self.n
    }

    /// How many slots are known, if all lanes decode to their last byte: for `verify`.
    pub(crate) fn known(&self, scratch: &mut Scratch) -> Option<u64> {
        let mut known = 0;
        for lane in (0..self.lanes).filter(|&lane| self.lane(lane).is_some()) {
            self.read(lane, scratch, |_, _| known += 1)?;
        }
        Some(known)
    }
}

/// Cuts values that begin at slot `first` at the borders of slots `ratio` times as long.
pub(crate) fn parts(
    first: i64,
    ratio: i64,
    mut values: &[f64],
) -> impl Iterator<Item = (i64, &[f64])> {
    let mut slot = first.div_euclid(ratio);
    let mut len = usize::try_from((slot + 1) * ratio - first).unwrap_or(usize::MAX);
    std::iter::from_fn(move || {
        let (part, rest) = values.split_at(len.min(values.len()));
        values = rest;
        len = usize::try_from(ratio).unwrap_or(usize::MAX);
        slot += 1;
        (!part.is_empty()).then_some((slot - 1, part))
    })
}

/// The head of a lane: flags, what they say, and which slots are known.
fn get_head<'a>(
    input: &mut Input<'a>,
    n: usize,
) -> Option<(LaneHead, u8, Option<&'a [u8]>, usize)> {
    let flags = input.u8()?;
    let total = if flags & TOTAL == 0 {
        None
    } else {
        Some(input.f64()?)
    };
    let bitmap = if flags & BITMAP == 0 {
        None
    } else {
        Some(input.bytes(n.div_ceil(8))?)
    };
    let count = match bitmap {
        None => n,
        Some(bits) => bits.iter().map(|b| b.count_ones() as usize).sum(),
    };
    if flags & REASONS != 0 {
        input.bytes(unknown_runs(bitmap?, n).count())?;
    }
    let decimals = flags & 0x0f;
    let head = LaneHead {
        decimals: (decimals != FLOATS).then_some(decimals),
        total,
    };
    (count <= n).then_some((head, decimals, bitmap, count))
}

/// The runs of unknown slots.
fn unknown_runs(bitmap: &[u8], n: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    let unknown = move |slot: &usize| bitmap[slot / 8] >> (slot % 8) & 1 == 0;
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = (at..n).find(unknown)?;
        at = (from..n).find(|slot| !unknown(slot)).unwrap_or(n);
        Some((from, at))
    })
}

/// Tells why slots of a lane are unknown; nothing of bytes that no encoder wrote.
pub(crate) fn get_unknown(bytes: &[u8], n: usize, mut each: impl FnMut(usize, usize, Reason)) {
    let mut input = Input(bytes);
    let Some(flags) = input.u8() else { return };
    if flags & TOTAL != 0 && input.f64().is_none() || flags & BITMAP == 0 {
        return;
    }
    let Some(bitmap) = input.bytes(n.div_ceil(8)) else {
        return;
    };
    for (from, until) in unknown_runs(bitmap, n) {
        let reason = match flags & REASONS {
            0 => Some(0),
            _ => input.u8(),
        };
        each(from, until, Reason::from_u8(reason.unwrap_or(0)));
    }
}

/// The numbers of the known slots.
fn known_slots(bitmap: Option<&[u8]>, n: usize) -> impl Iterator<Item = usize> + '_ {
    (0..n).filter(move |slot| bitmap.is_none_or(|b| b[slot / 8] >> (slot % 8) & 1 == 1))
}

/// Reads a raw lane of `n` slots; the rest of `input` stays.
pub(crate) fn get_raw(
    input: &mut Input<'_>,
    n: usize,
    scratch: &mut Scratch,
    mut each: impl FnMut(usize, Cell),
) -> Option<LaneHead> {
    let (head, decimals, bitmap, count) = get_head(input, n)?;
    get_column(
        input,
        count,
        decimals,
        &mut scratch.ints[0],
        &mut scratch.values,
    )?;
    for (slot, &value) in known_slots(bitmap, n).zip(&scratch.values) {
        if value.is_finite() {
            each(slot, Cell::of(value));
        }
    }
    Some(head)
}

/// The known slots of a lane of a page that is not of the finest archive.
pub(crate) struct Coarse<'s> {
    pub(crate) head: LaneHead,
    /// Their numbers within the page, in order.
    slots: &'s [usize],
    columns: Columns<'s>,
}

enum Columns<'s> {
    /// Whole units of the last decimal; the others are what they are above the minimum. Maxima and
    /// last values are empty when only sums are needed.
    Units {
        decimals: u8,
        counts: &'s [i64],
        mins: &'s [i64],
        maxs: &'s [i64],
        lasts: &'s [i64],
        sums: &'s [i64],
    },
    Cells(&'s [Cell]),
}

impl Coarse<'_> {
    /// How many known slots lie before a slot that is `slot` behind the page's first.
    pub(crate) fn place(&self, slot: i64) -> usize {
        let slot = usize::try_from(slot.max(0)).unwrap_or(usize::MAX);
        match self.slots.last() {
            // All are known up to the last.
            Some(&last) if last + 1 == self.slots.len() => slot.min(last + 1),
            _ => self.slots.partition_point(|&known| known < slot),
        }
    }

    /// Puts the known slots in `range` together at the borders of slots `ratio` times as long, the page
    /// beginning at slot `first`: `each(that slot, cell)`.
    pub(crate) fn parts(
        &self,
        first: i64,
        ratio: i64,
        range: Range<usize>,
        mut each: impl FnMut(i64, Cell),
    ) {
        let mut at = range.start;
        while let Some(&slot) = self.slots.get(at).filter(|_| at < range.end) {
            let slot = first + i64::try_from(slot).unwrap_or(0);
            let (slot, until) = if ratio == 1 {
                (slot, at + 1)
            } else {
                let slot = slot.div_euclid(ratio);
                (slot, self.place((slot + 1) * ratio - first))
            };
            let until = until.clamp(at + 1, range.end);
            each(slot, self.cell(at..until));
            at = until;
        }
    }

    /// Known slots as one.
    pub(crate) fn cell(&self, range: Range<usize>) -> Cell {
        match self.columns {
            Columns::Cells(cells) => {
                let mut all = Cell::default();
                for cell in cells.get(range).unwrap_or_default() {
                    all.add(cell);
                }
                all
            }
            Columns::Units {
                decimals,
                counts,
                mins,
                maxs,
                lasts,
                sums,
            } => {
                let power = POW10.get(usize::from(decimals)).copied().unwrap_or(1.0);
                let (mut count, mut sum) = (0u32, 0i128);
                let (mut min, mut max, mut last) = (i64::MAX, i64::MIN, None);
                for i in range {
                    let (of_slot, least) = (counts[i], mins[i]);
                    count = count.saturating_add(u32::try_from(of_slot).unwrap_or(0));
                    sum += i128::from(least.wrapping_mul(of_slot).wrapping_add(sums[i]));
                    if let (Some(above), Some(later)) = (maxs.get(i), lasts.get(i)) {
                        min = min.min(least);
                        max = max.max(least.wrapping_add(*above));
                        last = Some(least.wrapping_add(*later));
                    }
                }
                // Whole sums are exact in whichever order; one division at the end keeps them so.
                let value = |units: i64| units as f64 / power;
                let sum = i64::try_from(sum).map_or_else(|_| sum as f64 / power, value);
                Cell {
                    count,
                    sum,
                    min: last.map_or(f64::NAN, |_| value(min)),
                    max: last.map_or(f64::NAN, |_| value(max)),
                    last: last.map_or(f64::NAN, value),
                }
            }
        }
    }
}

fn get_coarse<'s>(
    input: &mut Input<'_>,
    n: usize,
    need: Need,
    scratch: &'s mut Scratch,
) -> Option<Coarse<'s>> {
    let (head, decimals, bitmap, count) = get_head(input, n)?;
    let Scratch {
        ints: [counts, mins, maxs, lasts, sums],
        slots,
        cells,
        values,
        ..
    } = scratch;
    slots.clear();
    match bitmap {
        None => slots.extend(0..n),
        Some(_) => slots.extend(known_slots(bitmap, n)),
    }
    get_ints(input, count, counts)?;
    if decimals != FLOATS {
        get_ints(input, count, mins)?;
        for column in [&mut *maxs, &mut *lasts] {
            match need {
                Need::All => get_ints(input, count, column)?,
                Need::Sums => {
                    skip_ints(input, count)?;
                    column.clear();
                }
            }
        }
        get_ints(input, count, sums)?;
        let columns = Columns::Units {
            decimals,
            counts,
            mins,
            maxs,
            lasts,
            sums,
        };
        return Some(Coarse {
            head,
            slots,
            columns,
        });
    }
    cells.clear();
    cells.extend(counts.iter().map(|&c| Cell {
        count: u32::try_from(c).unwrap_or(0),
        ..Cell::default()
    }));
    let columns: [fn(&mut Cell) -> &mut f64; 4] = [
        |c| &mut c.min,
        |c| &mut c.max,
        |c| &mut c.last,
        |c| &mut c.sum,
    ];
    for column in columns {
        let decimals = input.u8().filter(|&d| d <= FLOATS)?;
        get_column(input, count, decimals, mins, values)?;
        for (cell, value) in cells.iter_mut().zip(&*values) {
            *column(cell) = *value;
        }
    }
    // No encoder writes what is not finite.
    let finite = |c: &Cell| [c.min, c.max, c.last, c.sum].iter().all(|v| v.is_finite());
    if !cells.iter().all(finite) {
        let mut kept = cells.iter().map(finite);
        slots.retain(|_| kept.next().unwrap_or(false));
        cells.retain(finite);
    }
    let columns = Columns::Cells(cells);
    Some(Coarse {
        head,
        slots,
        columns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw_page(n: usize, lanes: &[Vec<f64>], cap: usize) -> Option<Vec<u8>> {
        let rows: Vec<f64> = (0..n)
            .flat_map(|s| lanes.iter().map(move |l| l[s]))
            .collect();
        let totals: Vec<_> = (0..lanes.len())
            .map(|l| (l % 2 == 0).then_some(7.5))
            .collect();
        let stride = lanes.len();
        encode(
            (0, n, 9),
            Lanes::Raw {
                rows: &rows,
                stride,
            },
            &totals,
            cap,
            &mut Scratch::default(),
        )
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            3 => Just(f64::NAN),
            5 => (0..1000i32).prop_map(f64::from),
            3 => (0..100_000i32).prop_map(|i| f64::from(i) / 100.0),
            1 => prop::num::f64::NORMAL,
        ]
    }

    fn cell() -> impl Strategy<Value = Cell> {
        (0..13u32, value(), value(), value(), value()).prop_map(|(count, sum, min, max, last)| {
            if [sum, min, max, last].iter().any(|v| v.is_nan()) || count == 0 {
                Cell::default()
            } else {
                Cell {
                    count,
                    sum,
                    min,
                    max,
                    last,
                }
            }
        })
    }

    proptest! {
        #[test]
        fn raw_pages_round_trip(lanes in prop::collection::vec(prop::collection::vec(value(), 30), 1..6)) {
            let Some(bytes) = raw_page(30, &lanes, usize::MAX) else {
                prop_assert!(lanes.iter().flatten().all(|v| v.is_nan()));
                return Ok(());
            };
            let page = Page::open(&bytes).unwrap();
            prop_assert_eq!((page.archive, page.chunk), (0, 9));
            for (i, lane) in lanes.iter().enumerate() {
                let mut back = vec![f64::NAN; 30];
                let head = page.read(i, &mut Scratch::default(), |s, c| back[s] = c.last);
                prop_assert_eq!(head.is_some(), lane.iter().any(|v| !v.is_nan()));
                for (a, b) in lane.iter().zip(&back) {
                    prop_assert!(a == b || a.is_nan() && b.is_nan(), "{} {}", a, b);
                }
            }
        }

        #[test]
        fn lanes_come_put_together_as_slot_by_slot(
            lane in prop::collection::vec(value(), 30), first in -500..500i64, ratio in 1..40i64,
        ) {
            let Some(bytes) = raw_page(30, &[lane], usize::MAX) else { return Ok(()) };
            let page = Page::open(&bytes).unwrap();
            let scratch = &mut Scratch::default();
            let (mut together, mut one_by_one) = (Vec::new(), Vec::new());
            let head = page.read_by(0, (first, ratio), scratch, |slot, cell| together.push((slot, cell)));
            let same = page.read(0, scratch, |slot, cell| {
                let slot = (first + slot as i64).div_euclid(ratio);
                match one_by_one.last_mut() {
                    Some((last, sum)) if *last == slot => Cell::add(sum, &cell),
                    _ => one_by_one.push((slot, cell)),
                }
            });
            prop_assert_eq!(head, same);
            prop_assert_eq!(together, one_by_one);
        }

        #[test]
        fn coarse_slots_come_put_together_as_slot_by_slot(
            cells in prop::collection::vec(cell(), 30), first in -500..500i64, ratio in 1..40i64,
        ) {
            let lanes = Lanes::Coarse { cells: &cells };
            let scratch = &mut Scratch::default();
            let Some(bytes) = encode((1, 30, 9), lanes, &[Some(2.5)], usize::MAX, scratch) else {
                return Ok(());
            };
            let page = Page::open(&bytes).unwrap();
            let (mut together, mut one_by_one) = (Vec::new(), Vec::<(i64, Cell)>::new());
            let head = page.read_by(0, (first, ratio), scratch, |slot, cell| together.push((slot, cell)));
            let same = page.read(0, scratch, |slot, cell| {
                let slot = (first + slot as i64).div_euclid(ratio);
                match one_by_one.last_mut() {
                    Some((last, sum)) if *last == slot => sum.add(&cell),
                    _ => one_by_one.push((slot, cell)),
                }
            });
            prop_assert_eq!(head, same);
            prop_assert_eq!(together.len(), one_by_one.len());
            for ((slot, a), (other, b)) in together.iter().zip(&one_by_one) {
                prop_assert_eq!((slot, a.count, a.min, a.max, a.last), (other, b.count, b.min, b.max, b.last));
                prop_assert!((a.sum - b.sum).abs() <= 1e-9 * b.sum.abs().max(1.0), "{} {}", a.sum, b.sum);
            }
            // With the sums alone these are the same.
            let sums = page.coarse(0, Need::Sums, scratch).unwrap();
            let mut alone = Vec::new();
            sums.parts(first, ratio, 0..sums.place(i64::MAX), |slot, cell| alone.push((slot, cell.count, cell.sum)));
            let all: Vec<_> = together.iter().map(|(slot, c)| (*slot, c.count, c.sum)).collect();
            prop_assert_eq!(alone, all);
        }

        #[test]
        fn coarse_pages_round_trip(cells in prop::collection::vec(cell(), 3 * 20)) {
            let lanes = Lanes::Coarse { cells: &cells };
            let scratch = &mut Scratch::default();
            let Some(bytes) = encode((2, 20, -4), lanes, &[None, Some(1.0), None], usize::MAX, scratch) else {
                return Ok(());
            };
            let page = Page::open(&bytes).unwrap();
            for lane in 0..3 {
                let mut back = vec![Cell::default(); 20];
                page.read(lane, scratch, |s, c| back[s] = c);
                prop_assert_eq!(&back, &cells[lane * 20..(lane + 1) * 20]);
            }
        }

        #[test]
        fn unknown_slots_know_why(
            slots in prop::collection::vec((prop::bool::ANY, 0..8u8), 1..40), coarse in prop::bool::ANY,
        ) {
            let n = slots.len();
            let value = |&(known, reason): &(bool, u8)| match known {
                true => 1.0,
                false => Reason::from_u8(reason).unknown(),
            };
            let values: Vec<f64> = slots.iter().map(value).collect();
            let cells: Vec<Cell> = slots.iter().map(|&(known, reason)| match known {
                true => Cell::of(1.0),
                false => Cell::unknown(Reason::from_u8(reason)),
            }).collect();
            let lanes = match coarse {
                true => Lanes::Coarse { cells: &cells },
                false => Lanes::Raw { rows: &values, stride: 1 },
            };
            let scratch = &mut Scratch::default();
            let page = encode((usize::from(coarse), n, 3), lanes, &[None], usize::MAX, scratch);
            let mut why = vec![None; n];
            let mut known = vec![false; n];
            if let Some(bytes) = &page {
                let page = Page::open(bytes).unwrap();
                prop_assert!(page.known(scratch).is_some());
                page.unknown(0, |from, until, reason| why[from..until].fill(Some(reason)));
                page.read(0, scratch, |slot, _| known[slot] = true).unwrap();
            }
            for run in values.chunk_by(|a, b| a.is_nan() == b.is_nan()) {
                let at = (run.as_ptr() as usize - values.as_ptr() as usize) / 8;
                let first = run.iter().fold(Reason::Silent, |r, v| r.or(Reason::of(*v)));
                for slot in at..at + run.len() {
                    prop_assert_eq!(known[slot], !run[0].is_nan());
                    prop_assert_eq!(why[slot].unwrap_or_default(), first);
                }
            }
        }

        #[test]
        fn the_cap_is_hard(lanes in prop::collection::vec(prop::collection::vec(prop::num::f64::NORMAL, 120), 8)) {
            let cap = 8 * (120 * 3 + 16);
            let bytes = raw_page(120, &lanes, cap).unwrap();
            prop_assert!(bytes.len() <= cap);
            prop_assert!(Page::open(&bytes).is_some());
        }

        #[test]
        fn a_flipped_bit_is_found(at in 0..10_000usize, bit in 0..8u8) {
            let mut bytes = raw_page(30, &vec![(0..30).map(f64::from).collect(); 4], usize::MAX).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(Page::open(&bytes).is_none());
        }

        #[test]
        fn any_lane_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), n in 0..130usize) {
            let scratch = &mut Scratch::default();
            let _ = get_raw(&mut Input(&bytes), n, scratch, |_, _| ());
            for need in [Need::All, Need::Sums] {
                if let Some(found) = get_coarse(&mut Input(&bytes), n, need, scratch) {
                    found.parts(-7, 6, 0..found.place(i64::MAX), |_, _| ());
                }
            }
            get_unknown(&bytes, n, |from, until, _| assert!(from < until && until <= n));
            let _ = Page::open(&bytes);
        }
    }
}
