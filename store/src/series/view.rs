//! The readers' side: the same groups as the writer's, kept up with the journal at each query.
//!
//! A query takes the lock, and only then its first read fixes the snapshot; so snapshots under the
//! lock never go back. It catches up, copies what is open of the series it wants, and lets the lock
//! go; the pages it reads afterwards are of the same snapshot.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use foldhash::HashMap;
use rusqlite::{Connection, Transaction};
use vigie_parsers::Timestamp;
use vigie_query::{
    Labels, METRIC_NAME, MatchOp, Matcher, Metadata, MetricKind, Sample, Selection, Series,
    SourceError, Sparse, Stretch, Take,
};

use super::answer::{GroupPlan, LanePlan, Range, Slot, SlotSeries, answer};
use super::gaps::{SeriesGaps, gaps};
use super::group::Group;
use super::ingest::{add_lanes, load, restore};
use super::journal::{self, Event, Next};
use super::old::{self, Old};
use super::page::Scratch;
use super::pauses;
use super::registry::Past;
use super::rows::{kind_of, read_empty_groups, read_series};
use crate::Result;

/// The readers' side: shared by the readers of a process, catches up with the journal at each query.
#[derive(Debug, Default)]
pub(crate) struct View(Mutex<Option<State>>);

#[derive(Debug)]
struct State {
    series: Vec<Known>,
    by_name: HashMap<Box<str>, Vec<usize>>,
    old: Old,
    groups: Vec<Group>,
    place: journal::Place,
}

#[derive(Debug)]
struct Known {
    labels: Labels,
    /// Its place among all series, sorted by labels.
    order: usize,
    kind: MetricKind,
    group: usize,
    lane: usize,
    /// Where it was before.
    past: Vec<Past>,
}

impl Known {
    /// Everything that is kept of it, in time order: group, lane.
    fn parts(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let past = self.past.iter().map(|p| (p.group as usize, p.lane));
        past.chain([(self.group, self.lane)])
    }
}

impl State {
    fn load(conn: &Connection) -> Result<Self> {
        let loaded = load(conn)?;
        let mut state = Self {
            series: Vec::new(),
            by_name: HashMap::default(),
            old: Old::default(),
            groups: loaded.groups,
            place: journal::Place::after(&loaded.ring),
        };
        state.load_series(conn)?;
        Ok(state)
    }

    fn load_series(&mut self, conn: &Connection) -> Result<()> {
        self.series.clear();
        self.by_name.clear();
        self.old = Old::load(conn)?;
        for row in read_series(conn)? {
            let group = row.place.group as usize;
            if group >= self.groups.len() {
                continue;
            }
            self.by_name
                .entry(row.labels.name().into())
                .or_default()
                .push(self.series.len());
            self.series.push(Known {
                labels: row.labels,
                order: 0,
                kind: row.place.kind,
                group,
                lane: row.place.lane,
                past: row.past,
            });
        }
        // Once here instead of at each query.
        let mut sorted: Vec<usize> = (0..self.series.len()).collect();
        sorted.sort_unstable_by(|&a, &b| self.series[a].labels.cmp(&self.series[b].labels));
        for (order, at) in sorted.into_iter().enumerate() {
            self.series[at].order = order;
        }
        Ok(())
    }

    /// Takes in the records since the last query. `false` when the ring has turned past them.
    fn catch_up(&mut self, conn: &Connection) -> Result<bool> {
        let mut scratch = Scratch::default();
        let (mut series, mut anew) = (false, false);
        loop {
            let (seq, bytes) = match self.place.next(conn)? {
                Next::Record(seq, bytes) => (seq, bytes),
                Next::Lost => return Ok(false),
                Next::Nothing => break,
            };
            let told = journal::replay(seq, &bytes, &mut self.groups, |groups, event| {
                match event {
                    Event::SeriesForgotten => anew = true,
                    Event::SeriesAdded => {
                        series = true;
                        let known = groups.len();
                        groups.extend(read_empty_groups(conn)?.into_iter().skip(known));
                        add_lanes(conn, groups)?;
                    }
                    Event::Checkpoint(group) => {
                        if let Some(group) = groups.get_mut(group as usize)
                            && group.checkpoint < seq
                        {
                            restore(conn, group, 0, &mut scratch)?;
                        }
                    }
                }
                Ok(())
            })?;
            // Series that are gone or elsewhere, groups that are others: everything is read again.
            if told.is_none() || anew {
                return Ok(false);
            }
        }
        if series {
            self.load_series(conn)?;
        }
        Ok(true)
    }

    fn matching(&self, matchers: &[Matcher]) -> Vec<&Known> {
        let name = matchers
            .iter()
            .find(|m| m.name == METRIC_NAME && matches!(m.op, MatchOp::Equal));
        let fits = |known: &&Known| matchers.iter().all(|m| m.matches(&known.labels));
        match name {
            Some(name) => {
                let named = self
                    .by_name
                    .get(name.value.as_str())
                    .map_or(&[][..], Vec::as_slice);
                named
                    .iter()
                    .map(|&at| &self.series[at])
                    .filter(fits)
                    .collect()
            }
            None => self.series.iter().filter(fits).collect(),
        }
    }

    /// What has to be read for some series, group by group.
    fn plan(&self, matchers: &[Matcher], range: Range) -> Vec<GroupPlan> {
        let wanted = self.matching(matchers);
        let mut parts: Vec<_> = wanted
            .iter()
            .flat_map(|known| known.parts().enumerate().map(move |part| (part, *known)))
            .collect();
        parts.sort_by_key(|((_, place), _)| *place);
        let plans = parts
            .chunk_by(|a, b| a.0.1.0 == b.0.1.0)
            .filter_map(|lanes| {
                let group = self.groups.get(lanes[0].0.1.0)?;
                let lanes = lanes.iter().filter_map(|&((part, (_, lane)), known)| {
                    let state = group.lanes.get(lane)?;
                    let lived = state.first_ms <= range.until_ms && state.last_ms >= range.from_ms;
                    let last = part == known.past.len();
                    let part = ((!known.past.is_empty()).then_some(part), last);
                    let what = (known.order, known.labels.clone(), known.kind);
                    lived.then(|| LanePlan::new(group, lane, what, part))
                });
                Some(GroupPlan::new(group, lanes.collect()))
            });
        plans.filter(|plan| !plan.lanes.is_empty()).collect()
    }

    /// The same of old figures, each up to the first live reading of its name and labels.
    fn plan_old(&self, matchers: &[Matcher], range: Range) -> Vec<old::Plan> {
        let live_from = |labels: &Labels| {
            let named = self.by_name.get(labels.name());
            let mut named = named.into_iter().flatten().map(|&at| &self.series[at]);
            let live = named.find(|known| known.labels == *labels);
            live.map_or(i64::MAX, |known| self.first_ms(known))
        };
        self.old
            .plan(matchers, (range.from_ms, range.until_ms), live_from)
    }

    /// When the first live reading of a series was.
    fn first_ms(&self, known: &Known) -> i64 {
        let lane = self.groups[known.group].lanes.get(known.lane);
        lane.map_or(i64::MAX, |lane| lane.first_ms)
    }
}

impl View {
    /// Runs `take` on the present state, and gives the snapshot that belongs to it.
    fn at_present<'c, T>(
        &self,
        conn: &'c Connection,
        take: impl FnOnce(&State, &Transaction<'c>) -> Result<T>,
    ) -> Result<(T, Transaction<'c>)> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = conn.unchecked_transaction()?;
        let mut state = match held.take() {
            Some(state) => state,
            None => State::load(&tx)?,
        };
        if !state.catch_up(&tx)? {
            state = State::load(&tx)?;
        }
        let taken = take(&state, &tx);
        *held = Some(state);
        Ok((taken?, tx))
    }

    pub(crate) fn select(
        &self,
        conn: &Connection,
        selection: &Selection<'_>,
    ) -> std::result::Result<Vec<Series>, SourceError> {
        let found = self.answer(conn, selection, Range::of(selection), Take::Average)?;
        Ok(found.into_iter().map(|s| s.series).collect())
    }

    pub(crate) fn select_sparse(
        &self,
        conn: &Connection,
        selection: &Selection<'_>,
        take: Take,
    ) -> std::result::Result<Vec<Sparse>, SourceError> {
        self.answer(conn, selection, Range::sparse(selection), take)
    }

    fn answer(
        &self,
        conn: &Connection,
        selection: &Selection<'_>,
        range: Range,
        take: Take,
    ) -> std::result::Result<Vec<Sparse>, SourceError> {
        let mut series = Vec::new();
        let mixed = self.gather(
            conn,
            selection,
            range.taking(take),
            |(order, labels), kind, slots, stretches| {
                let total = kind == MetricKind::Counter && take != Take::Count;
                let sample = |s: &Slot| Sample {
                    time: s.time,
                    value: if total { s.total } else { s.take(take) },
                };
                let samples = slots.iter().map(sample).collect();
                let found = Sparse {
                    series: Series { labels, samples },
                    stretches,
                };
                series.push((order, found));
            },
        )?;
        Ok(in_order(series, mixed, |s| &s.series.labels))
    }

    /// Hands over each series of an answer, old figures and live ones in one, with its place among the
    /// live ones. Whether there are others.
    fn gather(
        &self,
        conn: &Connection,
        selection: &Selection<'_>,
        range: Range,
        mut each: impl FnMut((usize, Labels), MetricKind, &[Slot], Vec<Stretch>),
    ) -> std::result::Result<bool, SourceError> {
        let ((plans, old), tx) = self.at_present(conn, |state, _| {
            let old = state.plan_old(selection.matchers, range);
            Ok((state.plan(selection.matchers, range), old))
        })?;
        let mut older = old::read(&tx, old, range)?;
        answer(&tx, plans, range, |lane, slots, stretches| {
            let kind = lane.kind;
            // Mostly there are none, and hashing labels takes longer than many an answer.
            let old = match older.is_empty() {
                true => None,
                false => older.remove(&lane.labels),
            };
            match old.filter(|old| old.kind() == kind) {
                Some(mut old) => {
                    old.go_on(slots, stretches);
                    each((lane.order, lane.labels), kind, &old.slots, old.stretches);
                }
                None => each((lane.order, lane.labels), kind, slots, stretches),
            }
        })?;
        let mixed = !older.is_empty();
        for (labels, old) in older {
            each((usize::MAX, labels), old.kind(), &old.slots, old.stretches);
        }
        Ok(mixed)
    }

    pub(crate) fn slots(
        &self,
        conn: &Connection,
        selection: &Selection<'_>,
    ) -> std::result::Result<Vec<SlotSeries>, SourceError> {
        let mut series = Vec::new();
        let mixed = self.gather(
            conn,
            selection,
            Range::of(selection),
            |(order, labels), kind, slots, _| {
                let slots = slots.to_vec();
                let found = SlotSeries {
                    labels,
                    kind,
                    slots,
                };
                series.push((order, found));
            },
        )?;
        Ok(in_order(series, mixed, |s| &s.labels))
    }

    pub(crate) fn gaps(
        &self,
        conn: &Connection,
        selection: &Selection<'_>,
    ) -> std::result::Result<Vec<SeriesGaps>, SourceError> {
        let range = Range::of(selection);
        // A series that fell silent before the range has a gap all over it.
        let (plans, tx) = self.at_present(conn, |state, _| {
            Ok(state.plan(selection.matchers, Range::since_ever(range)))
        })?;
        let pauses = pauses::read(&tx)?;
        gaps(&tx, plans, range, &pauses)
    }

    pub(crate) fn series(
        &self,
        conn: &Connection,
        matchers: &[Matcher],
        from: Timestamp,
        until: Timestamp,
    ) -> std::result::Result<Vec<Labels>, SourceError> {
        let (mut labels, _) = self.at_present(conn, |state, _| {
            let lived = |known: &&&Known| {
                known.parts().any(|(group, lane)| {
                    let lane = state.groups.get(group).and_then(|g| g.lanes.get(lane));
                    lane.is_some_and(|l| l.first_ms <= until.0 && l.last_ms >= from.0)
                })
            };
            let matching = state.matching(matchers);
            let live = matching.iter().filter(lived).map(|k| k.labels.clone());
            let old = state.old.living(matchers, (from.0, until.0));
            Ok(live.chain(old).collect::<Vec<_>>())
        })?;
        labels.sort_unstable();
        labels.dedup();
        Ok(labels)
    }

    pub(crate) fn metadata(
        &self,
        conn: &Connection,
    ) -> std::result::Result<Vec<Metadata>, SourceError> {
        let read = || -> Result<Vec<Metadata>> {
            let mut stmt =
                conn.prepare_cached("SELECT name, kind, help FROM ts_metric ORDER BY name")?;
            let rows = stmt.query_map([], |r| {
                Ok(Metadata {
                    name: r.get(0)?,
                    kind: kind_of(r.get(1)?),
                    help: r.get(2)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        Ok(read()?)
    }
}

/// Sorted by labels: by their known order, unless others are among them.
fn in_order<T>(mut found: Vec<(usize, T)>, mixed: bool, labels: fn(&T) -> &Labels) -> Vec<T> {
    if mixed {
        found.sort_unstable_by(|(_, a), (_, b)| labels(a).cmp(labels(b)));
    } else {
        found.sort_unstable_by_key(|(order, _)| *order);
    }
    found.into_iter().map(|(_, series)| series).collect()
}

/// Whether a query has to end, and why.
pub(crate) fn check_deadline(deadline: Option<Instant>) -> std::result::Result<(), SourceError> {
    match deadline {
        Some(at) if Instant::now() >= at => Err(SourceError::Stopped("it took longer than it may")),
        _ => Ok(()),
    }
}
