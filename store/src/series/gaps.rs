//! Where a series is unknown, and why.
//!
//! A gap is a time longer than the series' heartbeat of which nothing is known, or a shorter one of
//! which it is known why. Neighbouring pieces are one gap while none contradicts: silence after a
//! reason goes on for that reason.

use rusqlite::Transaction;
use vigie_parsers::Timestamp;
use vigie_query::{Labels, SourceError};

use super::answer::{Course, GroupPlan, LanePlan, Range, Windows, check_samples, read_windows};
use super::page::{Page, Scratch};
use super::reason::Reason;

/// A time of which nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// It begins after this.
    pub from: Timestamp,
    /// It ends with this.
    pub until: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// A series with its gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesGaps {
    /// What it is.
    pub labels: Labels,
    /// In time order.
    pub gaps: Vec<Gap>,
}

/// Times at which vigie itself did not run.
pub(crate) type Pauses = [(i64, i64)];

/// Reads the gaps of everything that the plans mean, by labels.
pub(super) fn gaps(
    tx: &Transaction<'_>,
    plans: Vec<GroupPlan>,
    range: Range,
    pauses: &Pauses,
) -> Result<Vec<SeriesGaps>, SourceError> {
    let (mut found, mut count) = (Vec::new(), 0);
    let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
    for mut plan in plans {
        let course = Course::of(&plan, range);
        let windows = read_windows(tx, &plan, &course, (&mut bytes, &mut scratch))?;
        for lane in std::mem::take(&mut plan.lanes) {
            let gaps = of_lane(&plan, &lane, &course, (&windows, &bytes), pauses);
            count += gaps.len();
            check_samples(count, range.max_samples)?;
            found.push((
                lane.order,
                lane.part,
                SeriesGaps {
                    labels: lane.labels,
                    gaps,
                },
            ));
        }
    }
    found.sort_by_key(|(order, part, _)| (*order, *part));
    let mut whole: Vec<SeriesGaps> = Vec::new();
    for (_, _, series) in found {
        match whole.last_mut() {
            Some(before) if before.labels == series.labels => before.gaps.extend(series.gaps),
            _ => whole.push(series),
        }
    }
    whole.retain(|series| !series.gaps.is_empty());
    Ok(whole)
}

/// Puts pieces together that touch.
struct Runs {
    /// What lies before is no gap: the series had not begun, or was not asked for.
    from_ms: i64,
    until_ms: i64,
    heartbeat_ms: i64,
    runs: Vec<(i64, i64, Reason)>,
}

impl Runs {
    fn push(&mut self, from_ms: i64, until_ms: i64, reason: Reason) {
        let (from_ms, until_ms) = (from_ms.max(self.from_ms), until_ms.min(self.until_ms));
        if from_ms >= until_ms {
            return;
        }
        if let Some((start, end, why)) = self.runs.last_mut()
            && *end >= from_ms
        {
            let short = *why == Reason::Silent && *end - *start <= self.heartbeat_ms;
            if short || reason == Reason::Silent || *why == reason {
                (*end, *why) = (until_ms.max(*end), why.or(reason));
                return;
            }
        }
        self.runs.push((from_ms, until_ms, reason));
    }
}

fn of_lane(
    plan: &GroupPlan,
    lane: &LanePlan,
    course: &Course,
    (windows, bytes): (&Windows, &[u8]),
    pauses: &Pauses,
) -> Vec<Gap> {
    let rings = &plan.rings;
    let mut runs = Runs {
        from_ms: course.range.from_ms.max(lane.first_ms),
        until_ms: course.range.until_ms,
        heartbeat_ms: lane.heartbeat_ms,
        runs: Vec::new(),
    };
    for (window, pages) in windows {
        let a = window.archive;
        let step_ms = rings.archive(a).step_ms;
        let mut at_ms = window.from_ms;
        for (chunk, at) in pages {
            let page =
                Page::open(&bytes[at.clone()]).filter(|p| p.chunk == *chunk && p.archive == a);
            let first = rings.first_slot(a, *chunk);
            let time = |slot: usize| (first + i64::try_from(slot).unwrap_or(0)) * step_ms;
            // Before the page there is none; without the lane in it, it says nothing.
            let Some(page) = page.filter(|p| p.has(lane.lane)) else {
                continue;
            };
            runs.push(at_ms, time(0), Reason::Silent);
            page.unknown(lane.lane, |from, until, reason| {
                runs.push(
                    time(from).max(window.from_ms),
                    time(until).min(window.until_ms),
                    reason,
                );
            });
            at_ms = time(page.slots()).min(window.until_ms);
        }
        runs.push(at_ms, window.until_ms, Reason::Silent);
    }
    let raw_ms = rings.archive(0).step_ms;
    let mut at_ms = course.open_from_ms;
    let mut values = lane.open.as_slice();
    for &(first, slots) in &plan.open {
        let (chunk, rest) = values.split_at(slots.min(values.len()));
        values = rest;
        runs.push(at_ms, first * raw_ms, Reason::Silent);
        for (slot, value) in (first..).zip(chunk).filter(|(_, v)| v.is_nan()) {
            runs.push(slot * raw_ms, (slot + 1) * raw_ms, Reason::of(*value));
        }
        at_ms = at_ms.max((first + i64::try_from(slots).unwrap_or(0)) * raw_ms);
    }
    if lane.part.is_none_or(|_| lane.last_part) {
        // The slot that goes on is not over yet.
        runs.push(
            at_ms.max(lane.last_ms),
            course.range.until_ms,
            Reason::Silent,
        );
    }
    let long = |&(from, until, reason): &(i64, i64, Reason)| {
        reason != Reason::Silent || until - from > lane.heartbeat_ms
    };
    let gap = |(from, until, reason): (i64, i64, Reason)| Gap {
        from: Timestamp(from),
        until: Timestamp(until),
        reason: reason.or(paused(pauses, (from, until))),
    };
    runs.runs.into_iter().filter(long).map(gap).collect()
}

/// Whether vigie did not run for most of a time.
fn paused(pauses: &Pauses, (from_ms, until_ms): (i64, i64)) -> Reason {
    let within = |(from, until): &(i64, i64)| (until.min(&until_ms) - from.max(&from_ms)).max(0);
    let paused: i64 = pauses.iter().map(within).sum();
    if paused * 2 > until_ms - from_ms {
        Reason::Restart
    } else {
        Reason::Silent
    }
}
