//! Readings into open chunks and the record: which are taken, and why others are not.

use std::collections::BTreeMap;

use vigie_query::MetricKind;

use super::super::group::{Group, Moment};
use super::super::journal;
use super::super::lane::{Lane, Note, Tag, Told};
use super::super::layout::{Archive, slot_of};
use super::super::registry::{Past, Place};
use super::super::seal;
use super::{Counts, Ingest};
use crate::{CounterType, Reading, SampleRow};

/// Readings from farther ahead than this are refused: a clock is wrong.
const FUTURE_MS: i64 = 5 * 60_000;

impl Ingest {
    /// Brings pending readings into chunks and record.
    pub(super) fn apply(&mut self, now_ms: i64) {
        let mut pending = std::mem::take(&mut self.pending);
        let places = Places {
            now: std::mem::take(&mut self.places),
            past: std::mem::take(&mut self.past),
        };
        // Runs of one group and time make the record small. Most senders send so already. `u32::MAX` is no
        // group.
        let key = |row: &SampleRow| {
            let place = places.of(row);
            let (group, lane) = place.map_or((u32::MAX, 0), |p| (p.group, p.lane));
            (group, row.time, lane)
        };
        if !pending.is_sorted_by_key(key) {
            pending.sort_by_cached_key(key);
        }
        let mut rest = pending.as_slice();
        while let Some(first) = rest.first() {
            let taken = match places.of(first) {
                Some(place) => self.apply_run(rest, place.group, &places, now_ms),
                None => {
                    self.counts.misfit += 1;
                    1
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        (self.places, self.past) = (places.now, places.past);
    }

    /// Takes the readings of one group at one time with which `rows` begin; how many these are.
    fn apply_run(
        &mut self,
        rows: &[SampleRow],
        number: u32,
        places: &Places,
        now_ms: i64,
    ) -> usize {
        let Some(time) = rows.first().map(|row| row.time) else {
            return 0;
        };
        let at = number as usize;
        let group = &mut self.groups[at];
        let moment = group.moment(time.0);
        let untimely = untimely(group, &moment, now_ms);
        let old = untimely.is_none() && !reaches(group, 0, moment.time_ms, now_ms);
        if old && group.sealed.is_empty() {
            // What is older than the finest ring goes into pages. Only the writer knows the present:
            // readers need a checkpoint.
            group.begin_at(now_ms);
            self.broken.push(number);
        }
        let (late, taken) = (group.late.len(), self.counts.taken + self.counts.told);
        let mut len = 0;
        for row in rows {
            let place = places
                .of(row)
                .filter(|p| (p.group, row.time) == (number, time));
            let Some(place) = place else { break };
            len += 1;
            let reading = normalised(row.reading);
            let lane = &group.lanes[place.lane];
            let rebase = match admit(lane, &place, reading, (&moment, untimely), now_ms) {
                Ok(rebase) => rebase,
                Err(count) => {
                    *count(&mut self.counts) += 1;
                    continue;
                }
            };
            let to = (number, place.lane);
            self.recorder
                .push(to, lane, moment.time_ms, reading, rebase);
            if rebase && lane.tag == Tag::None && lane.facts != CounterType::default() {
                // A lane's first reading makes readers forget what they knew of it.
                let facts = Reading::Declared(lane.facts);
                self.recorder.push(to, lane, moment.time_ms, facts, false);
            }
            let note = if let Some(told) = Told::of(reading) {
                group.tell(place.lane, told, &moment);
                self.counts.told += 1;
                continue;
            } else if rebase {
                let bits = journal::bits_of(reading);
                group.rebase(place.lane, Tag::of(&reading), bits, &moment)
            } else {
                group.take(place.lane, reading, &moment)
            };
            self.counts.taken += 1;
            match note {
                Note::Plain => {}
                Note::Gap => self.counts.gaps += 1,
                Note::Wrap => self.counts.wraps += 1,
                Note::Reset => self.counts.resets += 1,
                Note::Jump => self.counts.jumps += 1,
            }
        }
        if self.counts.taken + self.counts.told == taken {
            return len;
        }
        group.dirty_since.get_or_insert(self.ring.next_seq);
        self.dirty_from = self.dirty_from.min(self.ring.next_seq);
        if self.due_at[at] == i64::MAX {
            self.due_at[at] = seal::due_at(group);
        }
        if group.late.len() > late {
            self.late_since[at].get_or_insert(now_ms);
        }
        len
    }
}

/// Where series are and were.
struct Places {
    now: Vec<Option<Place>>,
    past: BTreeMap<u32, Vec<Past>>,
}

impl Places {
    /// Where a reading belongs: one that is late may belong to a former place of its series.
    #[inline]
    fn of(&self, row: &SampleRow) -> Option<Place> {
        let now = self.now.get(row.series.0 as usize).copied().flatten()?;
        if self.past.is_empty() {
            return Some(now);
        }
        let mut past = self.past.get(&row.series.0).into_iter().flatten();
        let late = matches!(row.reading, Reading::Gauge(_) | Reading::Increase(_));
        let then = past.find(|p| late && row.time.0 <= p.until_ms);
        Some(then.map_or(now, |past| Place {
            group: past.group,
            lane: past.lane,
            ..now
        }))
    }
}

/// Minus zero is zero.
#[inline]
fn normalised(reading: Reading) -> Reading {
    match reading {
        Reading::Gauge(v) => Reading::Gauge(v + 0.0),
        Reading::FloatCounter(v) => Reading::FloatCounter(v + 0.0),
        Reading::Increase(v) => Reading::Increase(v + 0.0),
        Reading::Counter(_)
        | Reading::Unknown(_)
        | Reading::Restarted(_)
        | Reading::Discontinued(_)
        | Reading::Declared(_) => reading,
    }
}

/// The count that a refused reading goes to.
type Refusal = fn(&mut Counts) -> &mut u64;

/// Why nothing is taken of a moment.
fn untimely(group: &Group, moment: &Moment, now_ms: i64) -> Option<Refusal> {
    if moment.time_ms > now_ms.saturating_add(FUTURE_MS) {
        return Some(|c| &mut c.future);
    }
    let reached = reaches(group, 0, moment.time_ms, now_ms)
        || (1..group.rings.len()).any(|a| reaches(group, a, moment.time_ms, now_ms));
    (!reached).then_some(|c| &mut c.too_old)
}

/// Whether the ring of an archive still has a row for a moment.
#[inline]
fn reaches(group: &Group, archive: usize, time_ms: i64, now_ms: i64) -> bool {
    let rings = &group.rings;
    let Archive { step_ms, ring, .. } = rings.archive(archive);
    let chunk = |time_ms| rings.chunk_of(archive, slot_of(time_ms, step_ms));
    // One chunk to spare, because the ring may turn before late slots are merged.
    let newest = group.sealed.get(archive).copied();
    chunk(time_ms) >= chunk(now_ms).max(newest.unwrap_or(i64::MIN)) - (ring - 2)
}

/// Whether a reading is taken, and if so, whether as a new base.
#[inline]
fn admit(
    lane: &Lane,
    place: &Place,
    reading: Reading,
    (moment, untimely): (&Moment, Option<Refusal>),
    now_ms: i64,
) -> std::result::Result<bool, Refusal> {
    let time_ms = moment.time_ms;
    let counter = match reading {
        Reading::Gauge(v) if !v.is_finite() => return Err(|c| &mut c.not_finite),
        Reading::FloatCounter(v) | Reading::Increase(v) if !v.is_finite() || v < 0.0 => {
            return Err(|c| &mut c.not_finite);
        }
        Reading::Gauge(_) => MetricKind::Gauge,
        Reading::Unknown(_) | Reading::Restarted(_) => place.kind,
        Reading::Declared(facts) if !(facts.max_per_s >= 0.0 && facts.max_per_s.is_finite()) => {
            return Err(|c| &mut c.not_finite);
        }
        _ => MetricKind::Counter,
    };
    if counter != place.kind {
        return Err(|c| &mut c.misfit);
    }
    if let Reading::Declared(facts) = reading {
        // Of any time, and before the first reading as well.
        let known: Refusal = |c| &mut c.duplicate;
        return if lane.facts == facts {
            Err(known)
        } else {
            Ok(false)
        };
    }
    if let Some(refusal) = untimely {
        return Err(refusal);
    }
    let tag = Tag::of(&reading);
    if tag == Tag::None {
        // Before its first reading there is nothing to explain.
        let began = lane.tag != Tag::None && time_ms >= lane.last_ms;
        return if began {
            Ok(false)
        } else {
            Err(|c| &mut c.out_of_order)
        };
    }
    if lane.tag != tag {
        return Ok(true);
    }
    let same = lane.last_ms == time_ms && lane.last == journal::bits_of(reading);
    match tag {
        Tag::Gauge if same => Err(|c| &mut c.duplicate),
        Tag::Counter | Tag::FloatCounter if time_ms <= lane.last_ms => {
            if same {
                Err(|c| &mut c.duplicate)
            } else if lane.last_ms > now_ms.saturating_add(FUTURE_MS) {
                // The clock was ahead and was put right.
                Ok(true)
            } else {
                Err(|c| &mut c.out_of_order)
            }
        }
        _ => Ok(false),
    }
}
