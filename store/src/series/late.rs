//! Late slots into pages: into the finest archive that still reaches back to them, and from there
//! into all coarser ones.
//!
//! Where the finest ring has turned past a slot, the first coarser one that reaches takes it, as one
//! slot of the finest archive more. What it held of that very slot nobody knows any more. A value is
//! taken for one that came twice where every part of the coarse slot is known already, or the only one
//! that is known has this very value.

use super::cells::Cells;
use super::codec::{decimals_of, scaled};
use super::group::{Group, Late};
use super::lane::{Tag, add_units, settled};
use super::layout::{LANES, Rings};
use super::page::{Cell, Page, Scratch};
use super::pages::Pages;
use super::seal::derive;
use crate::Result;

/// Where a late slot goes.
struct Home {
    archive: usize,
    chunk: i64,
    /// Slots of the finest archive in one of this.
    ratio: i64,
    /// The slot of the finest archive with which another home begins.
    end: i64,
}

impl Home {
    /// The finest archive whose ring reaches back to a slot; `None` if none does.
    fn of(rings: &Rings, sealed: &[i64], slot: i64) -> Option<Self> {
        let raw_ms = rings.archive(0).step_ms;
        let mut finer_from = i64::MAX;
        for (archive, &sealed) in sealed.iter().enumerate() {
            let ratio = rings.archive(archive).step_ms / raw_ms;
            let chunk = rings.chunk_of(archive, slot.div_euclid(ratio));
            let oldest = sealed - rings.archive(archive).ring;
            // What is not sealed yet is derived from finer pages; a ring always reaches back to
            // where the next one is not sealed.
            if (oldest..sealed).contains(&chunk) {
                let end = rings.first_slot(archive, chunk + 1) * ratio;
                return Some(Self {
                    archive,
                    chunk,
                    ratio,
                    end: end.min(finer_from),
                });
            }
            finer_from = rings.first_slot(archive, oldest) * ratio;
        }
        None
    }
}

/// A change of a slot.
#[derive(Clone, Copy)]
struct Op {
    slot: i64,
    lane: usize,
    change: Late,
    /// Whether the growth is in the lane's total: that of single increases that came late is not.
    counted: bool,
}

/// What is brought into pages, and what is left in open chunks.
pub(crate) struct Merge<'a> {
    group: &'a Group,
    sealed: &'a [i64],
    /// The first open chunk that the finest ring has a row for.
    oldest: i64,
    /// By slot.
    ops: Vec<Op>,
}

impl<'a> Merge<'a> {
    /// The late slots of a group that is sealed up to `sealed`, and open chunks that waited so long for
    /// a commit that the finest ring has no row for them.
    pub(crate) fn of(group: &'a Group, sealed: &'a [i64]) -> Self {
        let oldest = sealed[0] - group.rings.archive(0).ring;
        let counts = |lane: usize| group.lanes.get(lane).is_some_and(|l| l.tag.is_counter());
        let mut ops = Vec::new();
        for (chunk, open) in group.chunks.range(..oldest) {
            for (slot, row) in (group.rings.first_slot(0, chunk)..).zip(open.rows()) {
                let known = row.iter().enumerate().filter(|(_, v)| v.is_finite());
                ops.extend(known.map(|(lane, &value)| {
                    Op {
                        slot,
                        lane,
                        change: growth(value)
                            .filter(|_| counts(lane))
                            .unwrap_or(Late::Set(value)),
                        counted: true,
                    }
                }));
            }
        }
        for (&slot, late) in &group.late {
            ops.extend(late.iter().map(|&(lane, change)| {
                let lane = usize::from(lane);
                let tag = group.lanes.get(lane).map(|l| l.tag);
                Op {
                    slot,
                    lane,
                    change,
                    counted: tag != Some(Tag::Increase),
                }
            }));
        }
        ops.sort_by_key(|op| op.slot);
        Self {
            group,
            sealed,
            oldest,
            ops,
        }
    }

    /// Brings the slots into their pages and into the coarser slots above them.
    pub(crate) fn write(&self, pages: &Pages<'_>, scratch: &mut Scratch) -> Result<()> {
        let rings = &self.group.rings;
        let mut rest = self.ops.as_slice();
        while let Some(first) = rest.first() {
            let home = Home::of(rings, self.sealed, first.slot);
            let end = home.as_ref().map_or(first.slot + 1, |home| home.end);
            let (ops, later) = rest.split_at(rest.partition_point(|op| op.slot < end));
            rest = later;
            let (Some(home), Some(last)) = (home, ops.last()) else {
                continue;
            };
            self.change(pages, &home, ops, scratch)?;
            let mut from = first.slot.div_euclid(home.ratio);
            let mut until = last.slot.div_euclid(home.ratio) + 1;
            for (a, &sealed) in self.sealed.iter().enumerate().skip(home.archive + 1) {
                let ratio = rings.archive(a - 1).ratio;
                from = from.div_euclid(ratio);
                until = (until - 1).div_euclid(ratio) + 1;
                for c in rings.chunk_of(a, from)..=rings.chunk_of(a, until - 1) {
                    // Chunks that this very transaction derived have it, or will by the raw page.
                    if c < sealed {
                        derive(pages, self.group, (a, c), (from, until), true, scratch)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn change(
        &self,
        pages: &Pages<'_>,
        home: &Home,
        ops: &[Op],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let place = (home.archive, home.chunk);
        let group = self.group;
        let mut cells = Cells::load(pages, &group.rings, place, scratch)?;
        let mut touched = [false; LANES];
        for ops in ops.chunk_by(|a, b| a.slot == b.slot) {
            if home.archive == 0 {
                change_slot(&mut cells, ops);
            } else {
                add_slot(&mut cells, ops, home.ratio);
            }
            for op in ops {
                touched[op.lane] = true;
            }
        }
        for (lane, state) in group.lanes.iter().enumerate().filter(|(l, _)| touched[*l]) {
            if let Some(decimals) = cells.decimals[lane].filter(|_| home.archive > 0) {
                let decimals = decimals.max(state.decimals);
                for cell in cells.lane(lane) {
                    cell.sum = settled(cell.sum, decimals);
                }
            }
            if cells.totals[lane].is_none() && state.tag.is_counter() {
                cells.totals[lane] = Some(self.total_before(pages, place, lane)?);
            }
        }
        cells.write(pages, &group.rings, group.lanes.len(), scratch)
    }

    /// A counter's total before a chunk that gets its first growth of the lane: what the next page
    /// with the lane says, or the present one, less what comes in between.
    fn total_before(
        &self,
        pages: &Pages<'_>,
        (archive, chunk): (usize, i64),
        lane: usize,
    ) -> Result<f64> {
        let rings = &self.group.rings;
        let raw_ms = self.group.step_ms();
        let state = &self.group.lanes[lane];
        let begins = rings.begins(archive, chunk).div_euclid(raw_ms);
        let mut from = chunk + 1;
        for a in (0..=archive).rev() {
            for c in from..self.sealed[a] {
                let bytes = pages.read(rings, a, c)?;
                let page = bytes.as_deref().and_then(Page::open);
                let page = page.filter(|p| (p.archive, p.chunk) == (a, c));
                if let Some(total) = page.and_then(|p| p.total(lane)) {
                    let until = rings.begins(a, c).div_euclid(raw_ms);
                    let between = self.growth(lane, (begins, until));
                    return Ok(add_units(total - between, 0, state.decimals));
                }
            }
            if a > 0 {
                let border = rings.begins(a, self.sealed[a].max(from));
                let finer = rings.archive(a - 1).step_ms;
                from = rings.chunk_of(a - 1, border.div_euclid(finer));
            }
        }
        let open = self.group.chunks.range(self.oldest..);
        let open = open
            .flat_map(|(_, c)| c.rows())
            .filter_map(|row| row.get(lane));
        let open: f64 = open.filter(|v| !v.is_nan()).sum();
        let total = state.total - open - self.growth(lane, (begins, i64::MAX));
        Ok(add_units(total, 0, state.decimals))
    }

    /// What of the growth in some slots is in the lane's total.
    fn growth(&self, lane: usize, (from, until): (i64, i64)) -> f64 {
        let first = self.ops.partition_point(|op| op.slot < from);
        let ops = self.ops[first..].iter().take_while(|op| op.slot < until);
        let ops = ops.filter(|op| op.lane == lane && op.counted);
        ops.fold(0.0, |sum, op| match op.change {
            Late::Add(units, decimals) => add_units(sum, units, decimals),
            Late::Set(_) => sum,
        })
    }
}

/// A counter's growth in a slot as whole units of its last decimal.
fn growth(value: f64) -> Option<Late> {
    let decimals = decimals_of(value, 0)?;
    Some(Late::Add(scaled(value, decimals)?, decimals))
}

/// Changes one slot of the finest archive.
fn change_slot(cells: &mut Cells, ops: &[Op]) {
    for op in ops {
        if let Some(cell) = cells.at(op.lane, op.slot) {
            let mut value = if cell.count == 0 { f64::NAN } else { cell.last };
            op.change.apply(&mut value);
            *cell = Cell::of(value);
        }
    }
}

/// Adds one slot of the finest archive to a coarser one, of which it is one of `ratio`.
fn add_slot(cells: &mut Cells, ops: &[Op], ratio: i64) {
    let mut values = [f64::NAN; LANES];
    for op in ops {
        op.change.apply(&mut values[op.lane]);
    }
    for op in ops {
        // Each lane once, with all that came for it.
        let value = std::mem::replace(&mut values[op.lane], f64::NAN);
        let cell = cells.at(op.lane, op.slot.div_euclid(ratio));
        let Some(cell) = cell.filter(|_| value.is_finite()) else {
            continue;
        };
        let full = i64::from(cell.count) >= ratio;
        match op.change {
            Late::Set(_) if full || cell.count == 1 && cell.last == value => {}
            // Growth in a slot that is known: there is more of it, and no slot more.
            Late::Add(..) if full => {
                (cell.sum, cell.max) = (cell.sum + value, cell.max.max(value));
            }
            _ => cell.add(&Cell::of(value)),
        }
    }
}
