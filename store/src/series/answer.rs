//! From pages and open chunks to samples: which archive answers which part of a range.
//!
//! The coarsest archive whose slots are no longer than the query's step answers. Where its ring was
//! overwritten already, coarser ones do; what it does not hold in pages yet comes from the finer
//! archives and at last from the open chunks, put together to its own slots.

use std::time::Instant;

use rusqlite::Transaction;
use vigie_parsers::Timestamp;
use vigie_query::{Labels, MetricKind, Selection, SourceError, Stretch, Take};

use super::group::{Group, Late};
use super::lane::{add_units, settled};
use super::layout::{LANES, Rings, slot_of};
use super::page::{Cell, Page, Scratch};
use super::seal::read_page;
use super::view::check_deadline;

/// One consolidated slot of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// The slot's end, or the last reading while the slot goes on.
    pub time: Timestamp,
    /// Its length in milliseconds.
    pub step_ms: i64,
    /// How many slots of the finest archive are known in it.
    pub count: u32,
    /// Their sum: for counters the increase.
    pub sum: f64,
    /// The smallest of them.
    pub min: f64,
    /// The largest of them.
    pub max: f64,
    /// The last of them.
    pub last: f64,
    /// For counters: the first reading and all known increases up to here.
    pub total: f64,
}

impl Slot {
    /// The mean of the known slots.
    #[must_use]
    pub fn average(&self) -> f64 {
        if self.count == 1 {
            self.last
        } else {
            self.sum / f64::from(self.count)
        }
    }

    /// What is taken of it as one sample of a gauge.
    pub(crate) fn take(&self, take: Take) -> f64 {
        match take {
            Take::Average => self.average(),
            Take::Min => self.min,
            Take::Max => self.max,
            Take::Last => self.last,
            Take::Sum => self.sum,
            Take::Count => f64::from(self.count),
        }
    }
}

/// A series with its consolidated slots; unknown ones are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotSeries {
    /// What it is.
    pub labels: Labels,
    /// What its numbers are.
    pub kind: MetricKind,
    /// In time order.
    pub slots: Vec<Slot>,
}

/// What a query asks for, without its matchers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) from_ms: i64,
    pub(crate) until_ms: i64,
    step_ms: i64,
    max_samples: usize,
    deadline: Option<Instant>,
    /// Begin earlier where only longer distances than asked for are left.
    sparse: bool,
}

impl Range {
    /// With [`answer`] telling where slots are longer than asked for, and reaching back from there.
    pub(crate) fn sparse(selection: &Selection<'_>) -> Self {
        Self {
            sparse: true,
            ..Self::of(selection)
        }
    }

    pub(crate) fn of(selection: &Selection<'_>) -> Self {
        // Far beyond any clock, and far from where adding a step would overflow.
        const FAR_MS: i64 = 1 << 50;
        Self {
            from_ms: selection.from.0.clamp(-FAR_MS, FAR_MS),
            until_ms: selection.until.0.clamp(-FAR_MS, FAR_MS),
            step_ms: selection.step_ms,
            max_samples: selection.max_samples,
            deadline: selection.deadline,
            sparse: false,
        }
    }
}

/// A series of an answer, with what is open of it.
pub(crate) struct LanePlan {
    pub(crate) labels: Labels,
    pub(crate) kind: MetricKind,
    lane: usize,
    first_ms: i64,
    last_ms: i64,
    decimals: u8,
    /// Slots of the finest archive that are in no page.
    open: Vec<(i64, f64)>,
    /// A counter's total before them.
    total: f64,
    late: Vec<(i64, Late)>,
}

impl LanePlan {
    pub(crate) fn new(group: &Group, lane: usize, labels: Labels, kind: MetricKind) -> Self {
        let state = group.lanes[lane];
        let mut open = Vec::new();
        for (&chunk, content) in &group.chunks {
            let first = group.rings.first_slot(0, chunk);
            let known = (first..)
                .zip(content.lane(lane))
                .filter(|(_, v)| !v.is_nan());
            open.extend(known);
        }
        let grown: f64 = open.iter().map(|(_, v)| v).sum();
        let mut late = Vec::new();
        for (&slot, ops) in &group.late {
            late.extend(
                ops.iter()
                    .filter(|(l, _)| usize::from(*l) == lane)
                    .map(|&(_, op)| (slot, op)),
            );
        }
        Self {
            labels,
            kind,
            lane,
            first_ms: state.first_ms,
            last_ms: state.last_ms,
            decimals: state.decimals,
            open,
            total: add_units(state.total - grown, 0, state.decimals),
            late,
        }
    }
}

/// A group of an answer.
pub(crate) struct GroupPlan {
    rings: Rings,
    /// For each archive, from when to when its pages reach.
    reach: Vec<(i64, i64)>,
    pub(crate) lanes: Vec<LanePlan>,
}

/// A part of the range that one archive answers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    archive: usize,
    from_ms: i64,
    until_ms: i64,
}

impl GroupPlan {
    pub(crate) fn new(group: &Group, lanes: Vec<LanePlan>) -> Self {
        let reach = |a| {
            (
                group.rings.begins(a, group.oldest_chunk(a)),
                group.sealed_until(a),
            )
        };
        let archives = if group.sealed.is_empty() {
            0
        } else {
            group.rings.len()
        };
        Self {
            rings: group.rings.clone(),
            reach: (0..archives).map(reach).collect(),
            lanes,
        }
    }

    /// The coarsest archive that serves a step.
    fn archive_for(&self, step_ms: i64) -> usize {
        let serves = |&a: &usize| a == 0 || self.rings.archive(a).step_ms <= step_ms;
        (0..self.rings.len()).rev().find(serves).unwrap_or(0)
    }

    /// The parts in which pages answer, in time order, and where they end.
    fn windows(&self, target: usize, (from_ms, until_ms): (i64, i64)) -> (Vec<Window>, i64) {
        let mut windows = Vec::new();
        let mut at = from_ms;
        let mut push = |archive, end: i64| {
            let end = end.min(until_ms);
            if end > at {
                windows.push(Window {
                    archive,
                    from_ms: at,
                    until_ms: end,
                });
                at = end;
            }
        };
        for a in (target + 1..self.reach.len()).rev() {
            // Up to the border of its own slots that the finer archive reaches back to.
            let step_ms = self.rings.archive(a).step_ms;
            let finer = self.reach[a - 1].0;
            push(
                a,
                (finer.div_euclid(step_ms) + 1)
                    .saturating_mul(step_ms)
                    .min(self.reach[a].1),
            );
        }
        for a in (0..=target).rev() {
            if let Some(&(_, sealed)) = self.reach.get(a) {
                push(a, sealed);
            }
        }
        (windows, at)
    }
}

/// The windows whose slots are longer than asked for. A series that has ended is not sparse after
/// its end: nothing is looked for there.
fn stretches(plan: &GroupPlan, lane: &LanePlan, windows: &[Window], target: usize) -> Vec<Stretch> {
    let sparse = windows.iter().filter(|w| w.archive > target);
    let stretch = sparse.map(|w| Stretch {
        until: Timestamp(w.until_ms.min(lane.last_ms)),
        step_ms: plan.rings.archive(w.archive).step_ms,
    });
    stretch.collect()
}

/// Puts the slots of one series together.
struct Join {
    /// Length of the slots that come out, unless those that go in are longer.
    step_ms: i64,
    /// Length of a slot of the finest archive.
    raw_ms: i64,
    total: f64,
    open: Option<Slot>,
    done: Vec<Slot>,
    late: std::iter::Peekable<std::vec::IntoIter<(i64, Late)>>,
}

impl Join {
    /// A counter's total at a place where it is written down.
    fn anchor(&mut self, total: f64) {
        self.total = self.total.max(total);
    }

    /// Takes the next slot; late changes in and before it come first.
    fn push(&mut self, end_ms: i64, step_ms: i64, mut cell: Cell, decimals: Option<u8>) {
        while let Some((slot, op)) = self.late.next_if(|(s, _)| (s + 1) * self.raw_ms <= end_ms) {
            let late_end = (slot + 1) * self.raw_ms;
            if late_end <= end_ms - step_ms {
                let mut value = f64::NAN;
                op.apply(&mut value);
                self.add(late_end, self.raw_ms, Cell::of(value), decimals);
            } else if step_ms == self.raw_ms {
                op.apply(&mut cell.last);
                cell = Cell::of(cell.last);
            } else {
                match op {
                    Late::Set(value) => cell.add(&Cell::of(value)),
                    Late::Add(units, d) => cell.sum = add_units(cell.sum, units, d),
                }
            }
        }
        self.add(end_ms, step_ms, cell, decimals);
    }

    fn add(&mut self, end_ms: i64, step_ms: i64, cell: Cell, decimals: Option<u8>) {
        self.total += cell.sum;
        if let Some(decimals) = decimals {
            self.total = settled(self.total, decimals);
        }
        let (end_ms, step_ms) = if step_ms < self.step_ms {
            (
                (slot_of(end_ms, self.step_ms) + 1) * self.step_ms,
                self.step_ms,
            )
        } else {
            (end_ms, step_ms)
        };
        let same = self.open.is_some_and(|open| open.time.0 == end_ms);
        if !same && let Some(open) = self.open.take() {
            self.done.push(open);
        }
        let mut sum = match &self.open {
            Some(s) => Cell {
                count: s.count,
                sum: s.sum,
                min: s.min,
                max: s.max,
                last: s.last,
            },
            None => Cell::default(),
        };
        sum.add(&cell);
        self.open = Some(Slot {
            time: Timestamp(end_ms),
            step_ms,
            count: sum.count,
            sum: decimals.map_or(sum.sum, |d| settled(sum.sum, d)),
            min: sum.min,
            max: sum.max,
            last: sum.last,
            total: self.total,
        });
    }
}

impl Join {
    /// The last slot, while it goes on, ends with the last reading; what lies outside the range goes.
    fn finish(mut self, lane: &LanePlan, range: Range) -> Vec<Slot> {
        while let Some((slot, op)) = self.late.next() {
            let mut value = f64::NAN;
            op.apply(&mut value);
            self.add(
                (slot + 1) * self.raw_ms,
                self.raw_ms,
                Cell::of(value),
                Some(lane.decimals),
            );
        }
        self.done.extend(self.open);
        if let Some(last) = self.done.last_mut()
            && (last.time.0 - last.step_ms + 1..last.time.0).contains(&lane.last_ms)
        {
            last.time = Timestamp(lane.last_ms);
        }
        self.done
            .retain(|slot| (range.from_ms..=range.until_ms).contains(&slot.time.0));
        self.done
    }
}

/// The slots of a series in the range, and where they are longer than asked for.
type Joined = (Vec<Slot>, Vec<Stretch>);

/// Reads everything that the plans need and hands over each series that has something in the range.
pub(crate) fn answer(
    tx: &Transaction<'_>,
    plans: Vec<GroupPlan>,
    range: Range,
    mut each: impl FnMut(LanePlan, &[Slot], Vec<Stretch>),
) -> Result<(), SourceError> {
    let mut scratch = Scratch::default();
    let mut samples = 0;
    for plan in plans {
        let joins = join_group(tx, &plan, range, samples, &mut scratch)?;
        for (lane, (slots, stretches)) in plan.lanes.into_iter().zip(joins) {
            if !slots.is_empty() {
                samples += slots.len();
                each(lane, &slots, stretches);
            }
        }
    }
    Ok(())
}

fn join_group(
    tx: &Transaction<'_>,
    plan: &GroupPlan,
    mut range: Range,
    samples: usize,
    scratch: &mut Scratch,
) -> Result<Vec<Joined>, SourceError> {
    let rings = &plan.rings;
    let raw_ms = rings.archive(0).step_ms;
    let target = plan.archive_for(range.step_ms);
    if range.sparse {
        let (windows, _) = plan.windows(target, (range.from_ms, range.until_ms));
        if let Some(first) = windows.first().filter(|w| w.archive > target) {
            range.from_ms -= 2 * rings.archive(first.archive).step_ms;
        }
    }
    let step_ms = rings.archive(target).step_ms;
    let from_ms = slot_of(range.from_ms, step_ms) * step_ms;
    let until_ms = (slot_of(range.until_ms, step_ms) + 1) * step_ms;
    let oldest = plan.reach.last().map_or(i64::MIN, |r| r.0);
    let first = plan
        .lanes
        .iter()
        .map(|l| l.first_ms)
        .min()
        .unwrap_or(i64::MIN);
    // Nothing is known before the first reading: no need to look for it.
    let from_ms = from_ms
        .max(oldest)
        .max(slot_of(first, step_ms).saturating_mul(step_ms) - step_ms);
    let (windows, open_from) = plan.windows(target, (from_ms, until_ms));
    let join = |lane: &LanePlan| {
        let within = |&&(slot, _): &&(i64, Late)| {
            (slot + 1) * raw_ms > from_ms && (slot + 1) * raw_ms <= until_ms
        };
        let late: Vec<_> = lane.late.iter().filter(within).copied().collect();
        Join {
            step_ms,
            raw_ms,
            total: 0.0,
            open: None,
            done: Vec::new(),
            late: late.into_iter().peekable(),
        }
    };
    let mut joins: Vec<Join> = plan.lanes.iter().map(join).collect();
    for &window in &windows {
        read_window(tx, plan, window, range, samples, (&mut joins, scratch))?;
    }
    let finish = |(mut join, lane): (Join, &LanePlan)| {
        let ends = |slot: i64| (slot + 1) * raw_ms;
        let before = lane.open.iter().filter(|(s, _)| ends(*s) <= open_from);
        join.anchor(lane.total + before.map(|(_, v)| v).sum::<f64>());
        for &(slot, value) in &lane.open {
            if ends(slot) > open_from && ends(slot) <= until_ms {
                join.push(ends(slot), raw_ms, Cell::of(value), Some(lane.decimals));
            }
        }
        let slots = join.finish(lane, range);
        (slots, stretches(plan, lane, &windows, target))
    };
    let slots: Vec<_> = joins.into_iter().zip(&plan.lanes).map(finish).collect();
    check_samples(
        samples + slots.iter().map(|(s, _)| s.len()).sum::<usize>(),
        range.max_samples,
    )?;
    Ok(slots)
}

/// Reads the pages of one archive, each once, for all lanes.
fn read_window(
    tx: &Transaction<'_>,
    plan: &GroupPlan,
    window: Window,
    range: Range,
    samples: usize,
    (joins, scratch): (&mut [Join], &mut Scratch),
) -> Result<(), SourceError> {
    let (rings, a) = (&plan.rings, window.archive);
    let step_ms = rings.archive(a).step_ms;
    let slots = window.from_ms.div_euclid(step_ms)..window.until_ms.div_euclid(step_ms);
    let mut cells = Vec::new();
    for chunk in rings.chunk_of(a, slots.start)..=rings.chunk_of(a, slots.end - 1) {
        check_deadline(range.deadline)?;
        let Some(bytes) = read_page(tx, rings, a, chunk)? else {
            continue;
        };
        let Some(page) = Page::open(&bytes).filter(|p| p.chunk == chunk && p.archive == a) else {
            continue;
        };
        let first = rings.first_slot(a, chunk);
        for (join, lane) in joins.iter_mut().zip(&plan.lanes) {
            cells.clear();
            let mut before = None;
            let head = page.read(lane.lane, scratch, |slot, cell| {
                let slot = first + i64::try_from(slot).unwrap_or(0);
                // Older slots are what the lane's former series left.
                if (slot + 1) * step_ms >= lane.first_ms {
                    if slots.contains(&slot) {
                        cells.push((slot, cell));
                    } else if slot < slots.start {
                        *before.get_or_insert(0.0) += cell.sum;
                    }
                }
            });
            let Some(head) = head.filter(|_| before.is_some() || !cells.is_empty()) else {
                continue;
            };
            if let Some(total) = head.total {
                join.anchor(total + before.unwrap_or(0.0));
            }
            for &(slot, cell) in &cells {
                join.push((slot + 1) * step_ms, step_ms, cell, head.decimals);
            }
        }
        let so_far: usize = joins.iter().map(|j| j.done.len()).sum();
        check_samples(samples + so_far, range.max_samples)?;
    }
    Ok(())
}

fn check_samples(samples: usize, max: usize) -> Result<(), SourceError> {
    if samples <= max {
        return Ok(());
    }
    Err(SourceError::Limit(format!(
        "the query needs more than {max} samples: ask for fewer series, less time or a longer step"
    )))
}

const _: () = assert!(LANES <= 256, "a lane's number is a byte in checkpoints");
