//! From pages and open chunks to samples: which archive answers which part of a range.
//!
//! The coarsest archive whose slots are no longer than the query's step answers. Where its ring was
//! overwritten already, coarser ones do; what it does not hold in pages yet comes from the finer
//! archives and at last from the open chunks, put together to its own slots.

use std::time::{Duration, Instant};

use rusqlite::Transaction;
use vigie_parsers::Timestamp;
use vigie_query::{Labels, MetricKind, Selection, SourceError, Stretch, Take};

use super::chunk::Chunk;
use super::group::Group;
use super::join::{join_lane, known_sum};
use super::lane::add_units;
use super::late::Merge;
use super::layout::{LANES, Rings, slot_of};
use super::page::{Need, Page, Scratch};
use super::pages::{Ahead, Found, Pages};
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
        self.sum / f64::from(self.count)
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
    /// What of slots is asked for; of counters it is the total.
    need: Need,
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

    /// With slots of which only this is taken, and of counters only the total.
    pub(crate) fn taking(self, take: Take) -> Self {
        let need = match take {
            Take::Average | Take::Sum | Take::Count => Need::Sums,
            Take::Min | Take::Max | Take::Last => Need::All,
        };
        Self { need, ..self }
    }

    pub(super) fn need(&self) -> Need {
        self.need
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
            need: Need::All,
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
    pub(super) decimals: u8,
    /// Slots of the finest archive that are in no page, chunk after chunk; NaN where nothing is known.
    pub(super) open: Vec<f64>,
    /// A counter's total before them.
    pub(super) total: f64,
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
    /// The group itself, when late slots of these lanes wait to be merged into pages.
    late: Option<Box<Group>>,
}

/// Whether late slots of some lanes wait.
fn waits(group: &Group, lanes: &[LanePlan]) -> bool {
    let mut late = group.late.values().flatten();
    late.any(|(late, _)| lanes.iter().any(|lane| lane.lane == usize::from(*late)))
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
    pub(super) fn slots(&self, rings: &Rings) -> std::ops::Range<i64> {
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
        let open = |(chunk, open): (i64, &Chunk)| (group.rings.first_slot(0, chunk), open.slots());
        Self {
            rings: group.rings.clone(),
            reach: (0..archives).map(reach).collect(),
            open: group.chunks.iter().map(open).collect(),
            late: waits(group, &lanes).then(|| Box::new(group.clone())),
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
    pub(super) step_ms: i64,
    from_ms: i64,
    pub(super) until_ms: i64,
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

    /// Whether some late slot lies in what is asked for.
    fn meets(&self, group: &Group) -> bool {
        let step_ms = group.step_ms();
        // A slot that is longer than asked for may begin before the range.
        let from = self.windows.first().map_or(self.from_ms, |w| {
            let step_ms = group.rings.archive(w.archive).step_ms;
            self.from_ms.div_euclid(step_ms) * step_ms
        });
        let slots = from.div_euclid(step_ms)..self.until_ms.div_euclid(step_ms);
        group.late.range(slots).next().is_some()
    }
}

/// The pages of one window, and where their bytes are.
pub(super) type Windows = Vec<(Window, Found)>;

/// Reads the pages that a group is asked for, each once for all lanes. Late slots are in them as they
/// will be once they are merged.
pub(super) fn read_windows(
    tx: &Transaction<'_>,
    plan: &GroupPlan,
    course: &Course,
    (bytes, scratch): (&mut Vec<u8>, &mut Scratch),
) -> Result<Windows, SourceError> {
    let rings = &plan.rings;
    let ahead = Ahead::default();
    let pages = Pages::ahead(tx, &ahead);
    if let Some(group) = plan.late.as_deref().filter(|late| course.meets(late)) {
        Merge::of(group, &group.sealed).write(&pages, scratch)?;
    }
    bytes.clear();
    let deadline = course.range.deadline;
    let mut windows = Vec::with_capacity(course.windows.len());
    for &window in &course.windows {
        let (a, slots) = (window.archive, window.slots(rings));
        let chunks = rings.chunk_of(a, slots.start)..=rings.chunk_of(a, slots.end - 1);
        let found = pages.read_all(rings, a, chunks, bytes, || check_deadline(deadline))?;
        windows.push((window, found));
    }
    Ok(windows)
}

/// Reads everything that the plans need and hands over each series that has something in the range.
pub(crate) fn answer(
    tx: &Transaction<'_>,
    plans: Vec<GroupPlan>,
    range: Range,
    mut each: impl FnMut(LanePlan, &[Slot], Vec<Stretch>),
) -> Result<(), SourceError> {
    let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
    let mut slots = Vec::new();
    let (mut samples, mut parts) = (0, Vec::new());
    for mut plan in plans {
        let course = Course::of(&plan, range);
        let windows = read_windows(tx, &plan, &course, (&mut bytes, &mut scratch))?;
        let mut pages = Vec::with_capacity(windows.len());
        for (window, found) in windows {
            let open = found.into_iter().filter_map(|(chunk, at)| {
                let page = Page::open(&bytes[at])?;
                (page.chunk == chunk && page.archive == window.archive).then_some(page)
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
