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

mod decode;
mod encode;

use decode::{Coarse, get_coarse, get_column, get_head, known_slots};
pub(crate) use decode::{get_raw, get_unknown};
pub(crate) use encode::{Lanes, encode, put_raw};

use super::codec::Input;
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
