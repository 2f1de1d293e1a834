//! Lanes of a page back into slots. Any bytes are taken: those that no encoder wrote say nothing.

use std::ops::Range;

use super::super::codec::{Input, POW10, get_ints, int_to_float, skip_ints};
use super::super::reason::Reason;
use super::{BITMAP, Cell, FLOATS, LaneHead, Need, REASONS, Scratch, TOTAL};

pub(super) fn get_column(
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

/// The head of a lane: flags, what they say, and which slots are known.
pub(super) fn get_head<'a>(
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
pub(super) fn known_slots(bitmap: Option<&[u8]>, n: usize) -> impl Iterator<Item = usize> + '_ {
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
    pub(super) slots: &'s [usize],
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

pub(super) fn get_coarse<'s>(
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
