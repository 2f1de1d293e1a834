//! Slots into the bytes of a page, with as many digits as its cap leaves.

use super::super::codec::{decimals_of, float_to_int, put_ints, scale_all, scaled};
use super::super::reason::Reason;
use super::{BITMAP, CRC_AT, Cell, FLOATS, HEADER_BYTES, REASONS, Scratch, TOTAL, checksum, start};

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
                let more = all.map(|v| decimals_of(v, decimals));
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
