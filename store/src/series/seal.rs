//! From open chunks to pages, and from pages of one archive to pages of the next.
//!
//! Coarse archives are never written slot by slot: a page is derived from the finer pages once these
//! are complete, in the transaction that completes them. Late slots change the raw page; then the
//! coarse slots above it are derived again.

use super::cells::{Cells, explain};
use super::group::Group;
use super::lane::settled;
use super::late::Merge;
use super::layout::LANES;
use super::page::{Lanes, Page, Scratch};
use super::pages::Pages;
use crate::Result;

/// A chunk stays open this part of its length longer, for readings that are a little late and for
/// counters whose growth reaches back.
const GRACE_PART: i64 = 4;

/// When the oldest chunk that is not in a page is due.
pub(crate) fn due_at(group: &Group) -> i64 {
    let Some(&first) = group.sealed.first() else {
        return i64::MAX;
    };
    let archive = group.rings.archive(0);
    let grace = archive.n * archive.step_ms / GRACE_PART;
    group.rings.begins(0, first + 1).saturating_add(grace)
}

/// Seals what is due at `now_ms`, merges late slots, and derives what that completes. The group
/// itself does not change: the answer is its `sealed` once this is durable.
pub(crate) fn seal(
    pages: &Pages<'_>,
    group: &Group,
    now_ms: i64,
    scratch: &mut Scratch,
) -> Result<Vec<i64>> {
    let rings = &group.rings;
    let mut sealed = group.sealed.clone();
    if sealed.is_empty() {
        return Ok(sealed);
    }
    let raw = rings.archive(0);
    let grace = raw.n * raw.step_ms / GRACE_PART;
    // The chunk in which `now - grace` lies is the first that stays open.
    let border = (now_ms - grace).div_euclid(raw.step_ms);
    let until = sealed[0].max(rings.chunk_of(0, border));
    // What waited so long for a commit that the ring has no row for it comes as late slots do.
    let oldest = until - raw.ring;
    for (chunk, open) in group.chunks.range(oldest..until) {
        // Before the row gets another chunk, what follows from the one in it.
        sealed[0] = sealed[0].max(chunk);
        derive_new(pages, group, &mut sealed, scratch)?;
        let totals = group.totals_before(chunk);
        let lanes = Lanes::Raw {
            rows: &open.concat(),
            stride: LANES,
        };
        pages.write(rings, (0, chunk), lanes, &totals, scratch)?;
    }
    sealed[0] = until;
    derive_new(pages, group, &mut sealed, scratch)?;
    Merge::of(group, &sealed).write(pages, scratch)?;
    Ok(sealed)
}

/// Derives the coarse chunks that `sealed[0]` completes.
fn derive_new(
    pages: &Pages<'_>,
    group: &Group,
    sealed: &mut [i64],
    scratch: &mut Scratch,
) -> Result<()> {
    let rings = &group.rings;
    for a in 1..rings.len() {
        let until = rings.begins(a - 1, sealed[a - 1]);
        while rings.begins(a, sealed[a] + 1) <= until {
            let known_ms = known_from(group, sealed[0], (a, sealed[a]));
            if known_ms >= rings.begins(a, sealed[a] + 1) {
                // Nothing is known here: straight to where something is, or to the last border.
                let step_ms = rings.archive(a).step_ms;
                sealed[a] = rings.chunk_of(a, known_ms.min(until).div_euclid(step_ms));
                continue;
            }
            let first = rings.first_slot(a, sealed[a]);
            let whole = (first, first + rings.archive(a).n);
            derive(pages, group, (a, sealed[a]), whole, false, scratch)?;
            sealed[a] += 1;
        }
    }
    Ok(())
}

/// From when on something may be known that belongs into a chunk or the ones after it: at once where
/// there were pages of the finest archive before, else from the next open chunk on.
fn known_from(group: &Group, sealed: i64, (a, chunk): (usize, i64)) -> i64 {
    let rings = &group.rings;
    let begins_ms = rings.begins(a, chunk);
    if begins_ms < group.sealed_until(0) {
        return begins_ms;
    }
    let raw = rings.chunk_of(0, begins_ms.div_euclid(group.step_ms()));
    let open = group.chunks.range(raw..sealed.max(raw)).next();
    open.map_or(i64::MAX, |(open, _)| rings.begins(0, open))
}

/// Derives some slots of a coarse chunk from the finer archive; the others stay as they are when
/// `again` is set, and are unknown else.
pub(crate) fn derive(
    pages: &Pages<'_>,
    group: &Group,
    (a, chunk): (usize, i64),
    (from, until): (i64, i64),
    again: bool,
    scratch: &mut Scratch,
) -> Result<()> {
    let rings = &group.rings;
    let mut cells = if again {
        Cells::load(pages, rings, (a, chunk), scratch)?
    } else {
        Cells::empty(rings, (a, chunk))
    };
    if again {
        cells.clear(from, until);
    }
    let ratio = rings.archive(a - 1).ratio;
    let finer = rings.chunk_of(a - 1, from * ratio)..=rings.chunk_of(a - 1, until * ratio - 1);
    for fine in finer {
        let Some(bytes) = pages.read(rings, a - 1, fine)? else {
            continue;
        };
        let Some(page) = Page::open(&bytes).filter(|p| p.chunk == fine) else {
            continue;
        };
        let fine_first = rings.first_slot(a - 1, fine);
        for lane in 0..LANES {
            let mut before = 0.0;
            let head = page.read_by(lane, (fine_first, ratio), scratch, |slot, cell| {
                if slot < cells.first {
                    before += cell.sum;
                } else if (from..until).contains(&slot)
                    && let Some(at) = cells.at(lane, slot)
                {
                    at.add(&cell);
                }
            });
            if let Some(head) = head {
                if cells.totals[lane].is_none() {
                    cells.totals[lane] = head.total.map(|t| t + before);
                }
                let decimals = cells.decimals[lane].zip(head.decimals);
                cells.decimals[lane] = decimals.map(|(a, b)| a.max(b));
            }
            page.unknown(lane, |begin, end, reason| {
                // A slot longer than the finest is unknown when all of it is.
                let slot =
                    |s: usize| (fine_first + i64::try_from(s).unwrap_or(0)).div_euclid(ratio);
                for at in slot(begin)..=slot(end - 1) {
                    if (from..until).contains(&at)
                        && let Some(at) = cells.at(lane, at)
                    {
                        explain(at, reason);
                    }
                }
            });
        }
    }
    for lane in 0..LANES {
        let Some(decimals) = cells.decimals[lane] else {
            continue;
        };
        for cell in cells.lane(lane) {
            cell.sum = settled(cell.sum, decimals);
        }
        cells.totals[lane] = cells.totals[lane].map(|t| settled(t, decimals));
    }
    cells.write(pages, rings, group.lanes.len(), scratch)
}
