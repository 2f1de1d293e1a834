//! From open chunks to pages, and from pages of one archive to pages of the next.
//!
//! Coarse archives are never written slot by slot: a page is derived from the finer pages once these
//! are complete, in the transaction that completes them. Late slots change the raw page; then the
//! coarse slots above it are derived again.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::group::{Group, Late};
use super::lane::settled;
use super::layout::{LANES, Rings, page_bytes_max};
use super::page::{Cell, Lanes, Page, Scratch, encode};
use super::reason::Reason;
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
    tx: &Transaction<'_>,
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
    sealed[0] = sealed[0].max(rings.chunk_of(0, border));
    for (&chunk, open) in group.chunks.range(..sealed[0]) {
        let totals = group.totals_before(chunk);
        let lanes = Lanes::Raw {
            rows: &open.concat(),
            stride: LANES,
        };
        write_page(tx, rings, (0, chunk), lanes, &totals, scratch)?;
    }
    derive_new(tx, group, &mut sealed, scratch)?;
    merge_late(tx, group, &sealed, scratch)?;
    Ok(sealed)
}

/// Derives the coarse chunks that `sealed[0]` completes.
fn derive_new(
    tx: &Transaction<'_>,
    group: &Group,
    sealed: &mut [i64],
    scratch: &mut Scratch,
) -> Result<()> {
    let rings = &group.rings;
    let newest_ms = (group.newest + 1).saturating_mul(group.step_ms());
    for a in 1..rings.len() {
        let until = rings.begins(a - 1, sealed[a - 1]);
        while rings.begins(a, sealed[a] + 1) <= until {
            if rings.begins(a, sealed[a]) >= newest_ms {
                // Nothing is known from here on: straight to the last border.
                sealed[a] = rings.chunk_of(a, until.div_euclid(rings.archive(a).step_ms));
                break;
            }
            let first = rings.first_slot(a, sealed[a]);
            let whole = (first, first + rings.archive(a).n);
            derive(tx, group, (a, sealed[a]), whole, false, scratch)?;
            sealed[a] += 1;
        }
    }
    Ok(())
}

/// Derives some slots of a coarse chunk from the finer archive; the others stay as they are when
/// `again` is set, and are unknown else.
fn derive(
    tx: &Transaction<'_>,
    group: &Group,
    (a, chunk): (usize, i64),
    (from, until): (i64, i64),
    again: bool,
    scratch: &mut Scratch,
) -> Result<()> {
    let rings = &group.rings;
    let archive = rings.archive(a);
    let n = usize::try_from(archive.n).unwrap_or(0);
    let first = rings.first_slot(a, chunk);
    let mut cells = vec![Cell::default(); LANES * n];
    let mut totals: [Option<f64>; LANES] = [None; LANES];
    let mut decimals = [Some(0u8); LANES];
    let place = |slot: i64| usize::try_from(slot - first).ok().filter(|&s| s < n);
    if again
        && let Some(bytes) = read_page(tx, rings, a, chunk)?
        && let Some(page) = Page::open(&bytes)
    {
        for lane in 0..LANES {
            let head = page.read(lane, scratch, |slot, cell| {
                let at = first + i64::try_from(slot).unwrap_or(0);
                if at < from || at >= until {
                    cells[lane * n + slot] = cell;
                }
            });
            if let Some(head) = head {
                totals[lane] = head.total;
                decimals[lane] = head.decimals;
            }
            page.unknown(lane, |begin, end, reason| {
                for slot in begin..end {
                    let at = first + i64::try_from(slot).unwrap_or(0);
                    if at < from || at >= until {
                        explain(&mut cells[lane * n + slot], reason);
                    }
                }
            });
        }
    }
    let ratio = rings.archive(a - 1).ratio;
    let finer = rings.chunk_of(a - 1, from * ratio)..=rings.chunk_of(a - 1, until * ratio - 1);
    for fine in finer {
        let Some(bytes) = read_page(tx, rings, a - 1, fine)? else {
            continue;
        };
        let Some(page) = Page::open(&bytes).filter(|p| p.chunk == fine) else {
            continue;
        };
        let fine_first = rings.first_slot(a - 1, fine);
        for lane in 0..LANES {
            let mut before = 0.0;
            let head = page.read_by(lane, (fine_first, ratio), scratch, |slot, cell| {
                if slot < first {
                    before += cell.sum;
                } else if slot >= from
                    && slot < until
                    && let Some(at) = place(slot)
                {
                    cells[lane * n + at].add(&cell);
                }
            });
            if let Some(head) = head {
                if totals[lane].is_none() {
                    totals[lane] = head.total.map(|t| t + before);
                }
                decimals[lane] = decimals[lane].zip(head.decimals).map(|(a, b)| a.max(b));
            }
            page.unknown(lane, |begin, end, reason| {
                // A slot longer than the finest is unknown when all of it is.
                let slot =
                    |s: usize| (fine_first + i64::try_from(s).unwrap_or(0)).div_euclid(ratio);
                for at in slot(begin)..=slot(end - 1) {
                    if (from..until).contains(&at)
                        && let Some(at) = place(at)
                    {
                        explain(&mut cells[lane * n + at], reason);
                    }
                }
            });
        }
    }
    for (lane, decimals) in decimals.iter().enumerate() {
        let Some(decimals) = *decimals else { continue };
        for cell in &mut cells[lane * n..(lane + 1) * n] {
            cell.sum = settled(cell.sum, decimals);
        }
        totals[lane] = totals[lane].map(|t| settled(t, decimals));
    }
    let lanes = group.lanes.len();
    let coarse = Lanes::Coarse { cells: &cells };
    write_page(tx, rings, (a, chunk), coarse, &totals[..lanes], scratch)
}

/// Says of an unknown slot why it is.
fn explain(cell: &mut Cell, reason: Reason) {
    if cell.count == 0 && reason != Reason::Silent {
        *cell = Cell::unknown(Reason::of(cell.last).or(reason));
    }
}

/// Brings late slots into their raw pages and into the coarse slots above them.
fn merge_late(
    tx: &Transaction<'_>,
    group: &Group,
    sealed: &[i64],
    scratch: &mut Scratch,
) -> Result<()> {
    let rings = &group.rings;
    let mut late = group.late.iter().peekable();
    while let Some(&(&slot, _)) = late.peek() {
        let chunk = rings.chunk_of(0, slot);
        let end = rings.first_slot(0, chunk + 1);
        let (mut ops, mut last) = (Vec::new(), slot);
        while let Some((&at, slot_ops)) = late.next_if(|(at, _)| **at < end) {
            ops.extend(slot_ops.iter().map(|&(lane, op)| (at, lane, op)));
            last = at;
        }
        // The ring may have turned past it since it was accepted.
        if chunk < sealed[0] - rings.archive(0).ring {
            continue;
        }
        change_raw(tx, group, chunk, &ops, scratch)?;
        let (mut from, mut until) = (slot, last + 1);
        for (a, &sealed) in sealed.iter().enumerate().skip(1) {
            let ratio = rings.archive(a - 1).ratio;
            from = from.div_euclid(ratio);
            until = (until - 1).div_euclid(ratio) + 1;
            for c in rings.chunk_of(a, from)..=rings.chunk_of(a, until - 1) {
                // Chunks that this very transaction derived have it already, or will by the raw page.
                if c < sealed {
                    derive(tx, group, (a, c), (from, until), true, scratch)?;
                }
            }
        }
    }
    Ok(())
}

fn change_raw(
    tx: &Transaction<'_>,
    group: &Group,
    chunk: i64,
    ops: &[(i64, u8, Late)],
    scratch: &mut Scratch,
) -> Result<()> {
    let rings = &group.rings;
    let n = usize::try_from(rings.archive(0).n).unwrap_or(0);
    let mut rows = vec![f64::NAN; n * LANES];
    let mut totals: Vec<Option<f64>> = vec![None; group.lanes.len()];
    if let Some(bytes) = read_page(tx, rings, 0, chunk)?
        && let Some(page) = Page::open(&bytes).filter(|p| p.chunk == chunk)
    {
        for (lane, total) in totals.iter_mut().enumerate() {
            let head = page.read(lane, scratch, |s, cell| rows[s * LANES + lane] = cell.last);
            *total = head.and_then(|h| h.total);
            page.unknown(lane, |from, until, reason| {
                for slot in from..until {
                    rows[slot * LANES + lane] = reason.unknown();
                }
            });
        }
    }
    let first = rings.first_slot(0, chunk);
    for &(slot, lane, op) in ops {
        let at = usize::try_from(slot - first).unwrap_or(0) * LANES + usize::from(lane);
        if let Some(cell) = rows.get_mut(at) {
            op.apply(cell);
        }
    }
    for (lane, total) in totals.iter_mut().enumerate() {
        if total.is_none() {
            *total = group.total_before(lane, chunk);
        }
    }
    let lanes = Lanes::Raw {
        rows: &rows,
        stride: LANES,
    };
    write_page(tx, rings, (0, chunk), lanes, &totals, scratch)
}

/// Writes the page of a chunk, unless nothing in it is known.
pub(crate) fn write_page(
    tx: &Transaction<'_>,
    rings: &Rings,
    (a, chunk): (usize, i64),
    lanes: Lanes<'_>,
    totals: &[Option<f64>],
    scratch: &mut Scratch,
) -> Result<()> {
    let n = usize::try_from(rings.archive(a).n).unwrap_or(0);
    let cap = page_bytes_max(a, n as u64);
    if let Some(bytes) = encode((a, n, chunk), lanes, totals, cap, scratch) {
        tx.prepare_cached("INSERT OR REPLACE INTO ts_page VALUES (?1, ?2)")?
            .execute((rings.row(a, chunk), bytes))?;
    }
    Ok(())
}

/// The bytes in the row of a chunk, whichever chunk they are of.
pub(crate) fn read_page(
    conn: &Connection,
    rings: &Rings,
    a: usize,
    chunk: i64,
) -> Result<Option<Vec<u8>>> {
    let mut stmt = conn.prepare_cached("SELECT data FROM ts_page WHERE id = ?1")?;
    Ok(stmt
        .query_row([rings.row(a, chunk)], |r| r.get(0))
        .optional()?)
}
