//! From pages and open chunks to samples: which archive answers which part of a range.
//!
//! The coarsest archive whose slots are no longer than the query's step answers. Where its ring was
//! overwritten already, coarser ones do; what it does not hold in pages yet comes from the finer
//! archives and at last from the open chunks, put together to its own slots.

use std::time::{Duration, Instant};

use rusqlite::Transaction;
use vigie_parsers::Timestamp;
use vigie_query::{Labels, MetricKind, Selection, SourceError, Stretch, Take};

use super::codec::{POW10, nearest, scaled, unscaled};
use super::group::{Chunk, Group, Late};
use super::lane::{add_units, settled};
use super::layout::{LANES, Rings, slot_of};
use super::page::{Cell, Page, Scratch, parts};
use super::pages::read_page;
use super::stitch::stitch;
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

/// A question to figures holds its snapshot, and with it the write-ahead log, no longer than this, whether
/// or not it has a deadline of its own; far above what any takes that keeps to its other limits.
const READ_TIME_MAX: Duration = Duration::from_secs(60);

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
    pub(super) step_ms: i64,
    pub(super) max_samples: usize,
    pub(super) deadline: Option<Instant>,
    /// Begin earlier where only longer distances than asked for are left.
    pub(super) sparse: bool,
}

impl Range {
    /// The same with all that came before.
    pub(super) fn since_ever(self) -> Self {
        Self {
            from_ms: i64::MIN,
            ..self
        }
    }

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
        let last = Instant::now() + READ_TIME_MAX;
        Self {
            from_ms: selection.from.0.clamp(-FAR_MS, FAR_MS),
            until_ms: selection.until.0.clamp(-FAR_MS, FAR_MS),
            step_ms: selection.step_ms,
            max_samples: selection.max_samples,
            deadline: Some(selection.deadline.map_or(last, |asked| asked.min(last))),
            sparse: false,
        }
    }
}

/// A series of an answer, with what is open of it.
pub(crate) struct LanePlan {
    pub(crate) labels: Labels,
    pub(crate) kind: MetricKind,
    /// Its place among all series, sorted by labels.
    pub(crate) order: usize,
    /// Which part this is of a series that was moved; `None` when it never was.
    pub(super) part: Option<usize>,
    /// Whether nothing of the series comes after it.
    pub(super) last_part: bool,
    pub(super) lane: usize,
    pub(super) heartbeat_ms: i64,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    decimals: u8,
    /// Slots of the finest archive that are in no page, chunk after chunk; NaN where nothing is known.
    pub(super) open: Vec<f64>,
    /// A counter's total before them.
    total: f64,
    late: Vec<(i64, Late)>,
}

impl LanePlan {
    pub(crate) fn new(
        group: &Group,
        lane: usize,
        (order, labels, kind): (usize, Labels, MetricKind),
        (part, last_part): (Option<usize>, bool),
    ) -> Self {
        let state = group.lanes[lane];
        let slots = group.chunks.values().map(Chunk::slots).sum();
        let mut open = Vec::with_capacity(slots);
        for chunk in group.chunks.values() {
            chunk.copy_lane(lane, &mut open);
        }
        let grown = known_sum(&open);
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
            order,
            part,
            last_part,
            lane,
            heartbeat_ms: group.heartbeat_ms.get(lane).copied().unwrap_or(0),
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
    pub(super) rings: Rings,
    /// For each archive, from when to when its pages reach.
    reach: Vec<(i64, i64)>,
    /// The first slot of each open chunk and how many were reached.
    pub(super) open: Vec<(i64, usize)>,
    pub(crate) lanes: Vec<LanePlan>,
}

/// A part of the range that one archive answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) archive: usize,
    pub(super) from_ms: i64,
    pub(super) until_ms: i64,
}

impl Window {
    /// The slots of its archive that lie in it.
    fn slots(&self, rings: &Rings) -> std::ops::Range<i64> {
        let step_ms = rings.archive(self.archive).step_ms;
        self.from_ms.div_euclid(step_ms)..self.until_ms.div_euclid(step_ms)
    }
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
        let open =
            |(&chunk, open): (&i64, &Chunk)| (group.rings.first_slot(0, chunk), open.slots());
        Self {
            rings: group.rings.clone(),
            reach: (0..archives).map(reach).collect(),
            open: group.chunks.iter().map(open).collect(),
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

/// What one group is asked for.
pub(super) struct Course {
    pub(super) range: Range,
    target: usize,
    /// Length of the slots that come out, unless those that are left are longer.
    step_ms: i64,
    from_ms: i64,
    until_ms: i64,
    pub(super) windows: Vec<Window>,
    /// From when on nothing is in a page.
    pub(super) open_from_ms: i64,
}

impl Course {
    pub(super) fn of(plan: &GroupPlan, mut range: Range) -> Self {
        let rings = &plan.rings;
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
        let first = plan.lanes.iter().map(|l| l.first_ms).min();
        let first = first.unwrap_or(i64::MIN);
        // Nothing is known before the first reading: no need to look for it.
        let from_ms = from_ms
            .max(oldest)
            .max(slot_of(first, step_ms).saturating_mul(step_ms) - step_ms);
        let (windows, open_from_ms) = plan.windows(target, (from_ms, until_ms));
        Self {
            range,
            target,
            step_ms,
            from_ms,
            until_ms,
            windows,
            open_from_ms,
        }
    }
}

/// Puts the slots of one series together.
struct Join<'s> {
    /// Length of the slots that come out, unless those that go in are longer.
    step_ms: i64,
    /// Length of a slot of the finest archive.
    raw_ms: i64,
    /// Whether it is a counter, which has a total.
    counter: bool,
    total: f64,
    open: Option<Slot>,
    done: &'s mut Vec<Slot>,
    late: std::iter::Peekable<std::vec::IntoIter<(i64, Late)>>,
}

impl Join<'_> {
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
                self.add(late_end, self.raw_ms, &Cell::of(value), decimals);
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
        self.add(end_ms, step_ms, &cell, decimals);
    }

    fn add(&mut self, end_ms: i64, step_ms: i64, cell: &Cell, decimals: Option<u8>) {
        if step_ms < self.step_ms {
            let end_ms = (slot_of(end_ms, self.step_ms) + 1) * self.step_ms;
            self.add_to(end_ms, self.step_ms, cell, decimals);
        } else {
            self.add_to(end_ms, step_ms, cell, decimals);
        }
    }

    /// Adds a cell to the slot that ends then.
    fn add_to(&mut self, end_ms: i64, step_ms: i64, cell: &Cell, decimals: Option<u8>) {
        if self.counter {
            self.total += cell.sum;
            if let Some(decimals) = decimals {
                self.total = settled(self.total, decimals);
            }
        }
        let mut all = *cell;
        match self.open.take() {
            Some(open) if open.time.0 == end_ms => {
                all = Cell {
                    count: open.count,
                    sum: open.sum,
                    min: open.min,
                    max: open.max,
                    last: open.last,
                };
                all.add(cell);
            }
            open => self.done.extend(open),
        }
        if let Some(decimals) = decimals.filter(|_| all.count > 1) {
            all.sum = settled(all.sum, decimals);
        }
        self.open = Some(Slot {
            time: Timestamp(end_ms),
            step_ms,
            count: all.count,
            sum: all.sum,
            min: all.min,
            max: all.max,
            last: all.last,
            total: self.total,
        });
    }

    /// Takes slots of the finest archive, from slot `first` on; what is not finite is unknown.
    fn raw(&mut self, first: i64, values: &[f64], decimals: Option<u8>) {
        if self.late.peek().is_some() {
            for (slot, &value) in (first..).zip(values).filter(|(_, v)| v.is_finite()) {
                let end_ms = (slot + 1) * self.raw_ms;
                self.push(end_ms, self.raw_ms, Cell::of(value), decimals);
            }
        } else if self.step_ms == self.raw_ms {
            self.raw_each(first, values, decimals);
        } else {
            for (slot, part) in parts(first, self.step_ms / self.raw_ms, values) {
                let cell = Cell::of_all(part);
                if cell.count > 0 {
                    self.add_to((slot + 1) * self.step_ms, self.step_ms, &cell, decimals);
                }
            }
        }
    }

    /// The same when each of them comes out.
    fn raw_each(&mut self, first: i64, values: &[f64], decimals: Option<u8>) {
        self.done.extend(self.open.take());
        // Whole units of the last decimal add up exactly, and need no rounding at each step.
        let decimals = decimals.filter(|&d| d > 0 && self.counter);
        let mut units = decimals.and_then(|d| Some((scaled(self.total, d)?, d)));
        for (slot, &value) in (first..).zip(values) {
            if !value.is_finite() {
                continue;
            }
            if let Some((units, d)) = &mut units {
                *units += nearest(value * POW10[usize::from(*d)]);
                self.total = unscaled(*units, *d);
            } else if self.counter {
                self.total += value;
                if let Some(decimals) = decimals {
                    self.total = settled(self.total, decimals);
                }
            }
            self.done.push(Slot {
                time: Timestamp((slot + 1) * self.raw_ms),
                step_ms: self.raw_ms,
                count: 1,
                sum: value,
                min: value,
                max: value,
                last: value,
                total: self.total,
            });
        }
    }

    /// The last slot, while it goes on, ends with the last reading.
    fn finish(mut self, lane: &LanePlan) {
        while let Some((slot, op)) = self.late.next() {
            let mut value = f64::NAN;
            op.apply(&mut value);
            let end_ms = (slot + 1) * self.raw_ms;
            self.add(end_ms, self.raw_ms, &Cell::of(value), Some(lane.decimals));
        }
        self.done.extend(self.open);
        if let Some(last) = self.done.last_mut()
            && (last.time.0 - last.step_ms + 1..last.time.0).contains(&lane.last_ms)
        {
            last.time = Timestamp(lane.last_ms);
        }
    }
}

fn known_sum(values: &[f64]) -> f64 {
    values.iter().filter(|v| v.is_finite()).sum()
}

/// Reads everything that the plans need and hands over each series that has something in the range.
pub(crate) fn answer(
    tx: &Transaction<'_>,
    plans: Vec<GroupPlan>,
    range: Range,
    mut each: impl FnMut(LanePlan, &[Slot], Vec<Stretch>),
) -> Result<(), SourceError> {
    let mut scratch = Scratch::default();
    let mut slots = Vec::new();
    let (mut samples, mut parts) = (0, Vec::new());
    for mut plan in plans {
        let course = Course::of(&plan, range);
        let bytes = course
            .windows
            .iter()
            .map(|&window| read_window(tx, &plan.rings, window, range.deadline))
            .collect::<Result<Vec<_>, _>>()?;
        let mut pages = Vec::new();
        for (&window, bytes) in course.windows.iter().zip(&bytes) {
            let open = bytes.iter().filter_map(|(chunk, bytes)| {
                let page = Page::open(bytes)?;
                (page.chunk == *chunk && page.archive == window.archive).then_some(page)
            });
            pages.push((window, open.collect()));
        }
        for lane in std::mem::take(&mut plan.lanes) {
            slots.clear();
            join_lane(&plan, &lane, &course, &pages, (&mut scratch, &mut slots));
            let within = course.range.from_ms..=course.range.until_ms;
            let within = |slot: &Slot| within.contains(&slot.time.0);
            let (first, last) = (
                slots.iter().position(within),
                slots.iter().rposition(within),
            );
            if let Some(found) = first.zip(last).and_then(|(a, b)| slots.get(a..=b)) {
                samples += found.len();
                check_samples(samples, range.max_samples)?;
                let stretches = stretches(&plan, &lane, &course.windows, course.target);
                if lane.part.is_some() {
                    parts.push((lane, found.to_vec(), stretches));
                } else {
                    each(lane, found, stretches);
                }
            }
        }
    }
    for (lane, slots, stretches) in stitch(parts) {
        each(lane, &slots, stretches);
    }
    Ok(())
}

/// Reads the pages of a window, each once for all lanes.
pub(super) fn read_window(
    tx: &Transaction<'_>,
    rings: &Rings,
    window: Window,
    deadline: Option<Instant>,
) -> Result<Vec<(i64, Vec<u8>)>, SourceError> {
    let a = window.archive;
    let slots = window.slots(rings);
    let mut pages = Vec::new();
    for chunk in rings.chunk_of(a, slots.start)..=rings.chunk_of(a, slots.end - 1) {
        check_deadline(deadline)?;
        pages.extend(read_page(tx, rings, a, chunk)?.map(|bytes| (chunk, bytes)));
    }
    Ok(pages)
}

/// Puts one series together in `slots`, those at the edges of the range included.
fn join_lane(
    plan: &GroupPlan,
    lane: &LanePlan,
    course: &Course,
    pages: &[(Window, Vec<Page<'_>>)],
    (scratch, slots): (&mut Scratch, &mut Vec<Slot>),
) {
    let raw_ms = plan.rings.archive(0).step_ms;
    let within = |&&(slot, _): &&(i64, Late)| {
        (slot + 1) * raw_ms > course.from_ms && (slot + 1) * raw_ms <= course.until_ms
    };
    let late: Vec<_> = lane.late.iter().filter(within).copied().collect();
    let mut join = Join {
        step_ms: course.step_ms,
        raw_ms,
        counter: lane.kind == MetricKind::Counter,
        total: 0.0,
        open: None,
        done: slots,
        late: late.into_iter().peekable(),
    };
    let mut cells = Vec::new();
    for (window, pages) in pages {
        let wanted = window.slots(&plan.rings);
        for page in pages {
            let first = plan.rings.first_slot(window.archive, page.chunk);
            if window.archive == 0 {
                join_raw(&mut join, lane, (page, first), &wanted, scratch);
            } else {
                let step_ms = plan.rings.archive(window.archive).step_ms;
                let page = (page, first, step_ms);
                join_coarse(&mut join, lane, page, &wanted, (scratch, &mut cells));
            }
        }
    }
    join_open(&mut join, plan, lane, course);
    join.finish(lane);
}

/// The lane's part of a page of the finest archive.
fn join_raw(
    join: &mut Join<'_>,
    lane: &LanePlan,
    (page, first): (&Page<'_>, i64),
    wanted: &std::ops::Range<i64>,
    scratch: &mut Scratch,
) {
    let Some((head, values)) = page.raw(lane.lane, scratch) else {
        return;
    };
    let place = |slot: i64| place_of(slot, first, values.len());
    // Older slots are what the lane's former series left.
    let born = place(slot_of(lane.first_ms, join.raw_ms));
    let (from, until) = (place(wanted.start).max(born), place(wanted.end).max(born));
    if !values[born..until].iter().any(|v| v.is_finite()) {
        return;
    }
    if let Some(total) = head.total {
        join.anchor(total + known_sum(&values[born..from]));
    }
    let from_slot = first + i64::try_from(from).unwrap_or(0);
    join.raw(from_slot, &values[from..until], head.decimals);
}

/// The same of another archive.
fn join_coarse(
    join: &mut Join<'_>,
    lane: &LanePlan,
    (page, first, step_ms): (&Page<'_>, i64, i64),
    wanted: &std::ops::Range<i64>,
    (scratch, cells): (&mut Scratch, &mut Vec<(i64, Cell)>),
) {
    cells.clear();
    let mut before = None;
    let born = slot_of(lane.first_ms, step_ms);
    let head = page.read(lane.lane, scratch, |slot, cell| {
        let slot = first + i64::try_from(slot).unwrap_or(0);
        if slot >= born {
            if wanted.contains(&slot) {
                cells.push((slot, cell));
            } else if slot < wanted.start {
                *before.get_or_insert(0.0) += cell.sum;
            }
        }
    });
    let Some(head) = head.filter(|_| before.is_some() || !cells.is_empty()) else {
        return;
    };
    if let Some(total) = head.total {
        join.anchor(total + before.unwrap_or(0.0));
    }
    for &(slot, cell) in cells.iter() {
        join.push((slot + 1) * step_ms, step_ms, cell, head.decimals);
    }
}

/// Where a slot lies among `len` slots from `first` on; at the ends if it is not among them.
fn place_of(slot: i64, first: i64, len: usize) -> usize {
    let place = slot.saturating_sub(first).max(0);
    usize::try_from(place).unwrap_or(usize::MAX).min(len)
}

/// What is in no page yet.
fn join_open(join: &mut Join<'_>, plan: &GroupPlan, lane: &LanePlan, course: &Course) {
    let from = course.open_from_ms.div_euclid(join.raw_ms);
    let until = course.until_ms.div_euclid(join.raw_ms);
    let mut rest = lane.open.as_slice();
    let mut total = lane.total;
    for &(first, slots) in &plan.open {
        let (values, later) = rest.split_at(slots.min(rest.len()));
        rest = later;
        let place = |slot: i64| place_of(slot, first, values.len());
        let (a, b) = (place(from), place(until));
        total += known_sum(&values[..a]);
        join.anchor(total);
        if a < b {
            let from_slot = first + i64::try_from(a).unwrap_or(0);
            join.raw(from_slot, &values[a..b], Some(lane.decimals));
        }
    }
    join.anchor(total);
}

pub(super) fn check_samples(samples: usize, max: usize) -> Result<(), SourceError> {
    if samples <= max {
        return Ok(());
    }
    Err(SourceError::Limit(format!(
        "the query needs more than {max} samples: ask for fewer series, less time or a longer step"
    )))
}

const _: () = assert!(LANES <= 256, "a lane's number is a byte in checkpoints");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_holds_its_snapshot_for_ever() {
        let ask = |deadline| {
            let selection = Selection {
                matchers: &[],
                from: Timestamp(0),
                until: Timestamp(1),
                step_ms: 0,
                max_samples: 1,
                deadline,
            };
            Range::of(&selection).deadline.unwrap()
        };
        let soon = Instant::now() + Duration::from_secs(1);
        assert_eq!(ask(Some(soon)), soon);
        for far in [None, Some(soon + 10 * READ_TIME_MAX)] {
            assert!(ask(far) > soon && ask(far) <= Instant::now() + READ_TIME_MAX);
        }
    }
}
