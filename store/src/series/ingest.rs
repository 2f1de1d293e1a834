//! The writer's side: readings into open chunks and the journal, chunks into pages.
//!
//! Nothing that is in memory only is changed by a transaction: `write` may fail and is then simply
//! called again; `committed` lets go of what has become durable.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction, params};
use vigie_parsers::Timestamp;

use super::codec::Input;
use super::group::Group;
use super::journal::{self, Event, Plan, Recorder, Ring};
use super::page::Scratch;
use super::pages::Pages;
use super::pauses;
use super::registry::{Past, Place, Registry, SeriesId};
use super::rows::{read_checkpoint, read_empty_groups, read_series};
use super::seal;
use crate::{Options, Result, SampleBatch, SampleRow};

mod counts;
mod leaving;
mod take;

pub use counts::Counts;

/// Late slots wait this long for others of their page.
const LATE_MS: i64 = 60_000;
/// So many late changes of a group do not wait.
const LATE_MAX: usize = 4096;

/// How often series are looked for whose archives have run out.
const FORGET_MS: i64 = 24 * 3_600_000;

/// The writer's side.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(super) registry: Registry,
    pub(super) places: Vec<Option<Place>>,
    pub(super) groups: Vec<Group>,
    /// Where series were before, by their number.
    past: BTreeMap<u32, Vec<Past>>,
    /// Series whose row has to be written anew, with groups that need a checkpoint for it.
    moved: BTreeSet<u32>,
    /// Groups began anew: readers have to read all again.
    reborn: bool,
    /// Since when late slots wait, by group.
    late_since: Vec<Option<i64>>,
    /// When the next chunk is due, by group.
    due_at: Vec<i64>,
    /// Groups whose journal was damaged: they need a checkpoint before anything else.
    broken: Vec<u32>,
    pending: Vec<SampleRow>,
    recorder: Recorder,
    ring: Ring,
    /// No group needs a record before this one.
    dirty_from: u64,
    outcome: Outcome,
    /// When series are looked for next whose archives have run out.
    forget_at: i64,
    counts: Counts,
    scratch: Scratch,
}

/// What the running transaction does, for when it is durable.
#[derive(Debug, Default)]
struct Outcome {
    plan: Plan,
    now_ms: i64,
    wrote: bool,
    /// Group, its `sealed`, and whether late slots were merged.
    checkpoints: Vec<(u32, Vec<i64>, bool)>,
    /// Whether series were looked for whose archives have run out, and which.
    looked: bool,
    gone: Gone,
}

/// What the running transaction lets go of.
#[derive(Debug, Default)]
struct Gone {
    series: Vec<SeriesId>,
    /// Lanes that nobody has any more.
    lanes: Vec<(u32, usize)>,
    /// What is left of where series were.
    past: Vec<(u32, Vec<Past>)>,
    /// Groups without a series.
    groups: Vec<u32>,
}

/// The groups of a store with what its journal holds.
pub(crate) struct Loaded {
    pub(crate) groups: Vec<Group>,
    pub(crate) ring: Ring,
    /// Groups that could not be taken up in full.
    pub(crate) broken: Vec<u32>,
    /// When the last record was written; 0 if there is none.
    pub(crate) last_ms: i64,
}

/// Reads checkpoints and journal.
pub(crate) fn load(conn: &Connection) -> Result<Loaded> {
    let mut groups = read_empty_groups(conn)?;
    add_lanes(conn, &mut groups)?;
    let content = journal::read_all(conn)?;
    let last = content.records.last();
    let now_ms = last
        .and_then(|(_, bytes)| Input(bytes).zigzag())
        .unwrap_or(0);
    let mut scratch = Scratch::default();
    let mut broken = Vec::new();
    for group in &mut groups {
        if !restore(conn, group, now_ms, &mut scratch)? {
            broken.push(group.rings.group);
        }
    }
    let mut expected = None;
    for (seq, bytes) in &content.records {
        if expected.is_some_and(|e| e != *seq) {
            freeze(&mut groups, *seq, &mut broken);
        }
        expected = Some(seq + 1);
        if journal::replay(*seq, bytes, &mut groups, |_, _| Ok(()))?.is_none() {
            freeze(&mut groups, seq + 1, &mut broken);
        }
    }
    if content.damaged > 0 {
        tracing::warn!("{} damaged rows in the journal of figures", content.damaged);
    }
    Ok(Loaded {
        groups,
        ring: content.ring,
        broken,
        last_ms: now_ms,
    })
}

/// Gives every series its lane.
pub(crate) fn add_lanes(conn: &Connection, groups: &mut [Group]) -> Result<()> {
    for row in read_series(conn)? {
        for past in &row.past {
            if let Some(group) = groups.get_mut(past.group as usize) {
                group.add_lane(past.lane, row.place.heartbeat_ms);
            }
        }
        if let Some(group) = groups.get_mut(row.place.group as usize) {
            group.add_lane(row.place.lane, row.place.heartbeat_ms);
        }
    }
    Ok(())
}

/// Takes up a group's checkpoint; `false` when it is damaged. Such a group starts afresh behind
/// what its pages may hold.
pub(crate) fn restore(
    conn: &Connection,
    group: &mut Group,
    now_ms: i64,
    scratch: &mut Scratch,
) -> Result<bool> {
    let bytes = read_checkpoint(conn, group.rings.group)?.unwrap_or_default();
    if bytes.is_empty() || group.restore(&bytes, scratch).is_some() {
        return Ok(true);
    }
    group.frozen = true;
    group.begin_at(now_ms);
    Ok(false)
}

/// A record before `seq` is missing: what follows it cannot be understood by groups that need it.
fn freeze(groups: &mut [Group], seq: u64, broken: &mut Vec<u32>) {
    for group in groups {
        if group.checkpoint + 1 < seq && !group.frozen {
            group.frozen = true;
            broken.push(group.rings.group);
        }
    }
}

impl Ingest {
    /// Takes up the open chunks from the journal.
    pub(crate) fn open(
        conn: &Connection,
        registry: &Registry,
        _options: &Options,
        now: Timestamp,
    ) -> Result<Self> {
        let loaded = load(conn)?;
        if loaded.last_ms > 0 {
            pauses::note(conn, loaded.last_ms, now.0)?;
        }
        let mut groups = loaded.groups;
        for group in &mut groups {
            group.frozen = false;
        }
        // What is durable, and not what the registry knows: others may have announced series since.
        let (mut places, mut past) = (Vec::new(), BTreeMap::new());
        for row in read_series(conn)? {
            let at = row.id.0 as usize;
            places.resize(places.len().max(at + 1), None);
            if (row.place.group as usize) < groups.len() {
                places[at] = Some(row.place);
            }
            if !row.past.is_empty() {
                past.insert(row.id.0, row.past);
            }
        }
        Ok(Self {
            registry: registry.clone(),
            places,
            past,
            moved: BTreeSet::new(),
            reborn: false,
            late_since: vec![Some(0); groups.len()],
            due_at: groups.iter().map(seal::due_at).collect(),
            groups,
            broken: loaded.broken,
            pending: Vec::new(),
            recorder: Recorder::default(),
            ring: loaded.ring,
            dirty_from: 0,
            outcome: Outcome::default(),
            forget_at: i64::MIN,
            counts: Counts::default(),
            scratch: Scratch::default(),
        })
    }

    /// Starts again from what is durable, after a transaction failed that had changed the groups.
    pub(crate) fn reload(&mut self, conn: &Connection) -> Result<()> {
        let registry = self.registry.clone();
        registry.undo_use();
        let counts = self.counts;
        *self = Self {
            counts,
            ..Self::open(conn, &registry, &Options::default(), Timestamp(0))?
        };
        Ok(())
    }

    /// Takes readings; they come into the open chunks with the next `write`.
    pub(crate) fn append(&mut self, batch: SampleBatch) {
        if self.pending.is_empty() {
            self.pending = batch.rows;
        } else {
            self.pending.extend_from_slice(&batch.rows);
        }
    }

    /// Bytes that wait for a commit.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len() * size_of::<SampleRow>()
            + self.recorder.len()
            + usize::from(self.registry.is_unwritten())
    }

    /// What became of readings since the start.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Writes what is pending: journal rows, sealed pages and the coarser pages they complete. May be
    /// called again with the same pending data when the transaction did not succeed.
    pub(crate) fn write(&mut self, tx: &Transaction<'_>, now: Timestamp) -> Result<()> {
        self.sync();
        self.apply(now.0);
        self.outcome = Outcome {
            now_ms: now.0,
            ..Outcome::default()
        };
        let seq = self.ring.next_seq;
        let mut events = Vec::new();
        if self.registry.is_writing() {
            events.push(Event::SeriesAdded);
        }
        self.write_moved(tx, &mut events)?;
        self.forget(tx, now.0, &mut events)?;
        let registry = self.registry.clone();
        let pages = Pages::new(tx, &registry);
        for at in 0..self.groups.len() {
            if self.lets_go(at) {
                continue;
            }
            let late = self.late_since[at].is_some_and(|since| {
                let group = &self.groups[at];
                !group.late.is_empty() && (now.0 - since >= LATE_MS || group.late.len() >= LATE_MAX)
            });
            if late || self.due_at[at] <= now.0 {
                let sealed = seal::seal(&pages, &self.groups[at], now.0, &mut self.scratch)?;
                self.checkpoint(tx, at, (sealed, true), seq, &mut events)?;
            }
        }
        for at in self.broken.clone() {
            self.checkpoint_as_is(tx, at as usize, seq, &mut events)?;
        }
        if events.is_empty() && self.recorder.is_empty() {
            return Ok(());
        }
        self.write_record(tx, now.0, seq, events)
    }

    /// Chooses rows for the record, after giving a checkpoint to the groups that still need what
    /// stands in them.
    fn write_record(
        &mut self,
        tx: &Transaction<'_>,
        now_ms: i64,
        seq: u64,
        mut events: Vec<Event>,
    ) -> Result<()> {
        let mut readings = true;
        loop {
            let record = self.recorder.record(now_ms, &events, readings);
            let Some(plan) = self.ring.plan(record.len(), now_ms) else {
                readings = false;
                for at in 0..self.groups.len() {
                    if self.groups[at].dirty_since.is_some() {
                        self.checkpoint_as_is(tx, at, seq, &mut events)?;
                    }
                }
                continue;
            };
            let before = events.len();
            if plan.evicts >= self.dirty_from {
                for at in 0..self.groups.len() {
                    let since = self.groups[at].dirty_since;
                    if since.is_some_and(|since| since <= plan.evicts) {
                        self.checkpoint_as_is(tx, at, seq, &mut events)?;
                    }
                }
                let since = self.groups.iter().filter_map(|g| g.dirty_since);
                self.dirty_from = since.min().unwrap_or(u64::MAX);
            }
            if events.len() == before {
                self.ring.write(tx, &plan, &record)?;
                self.registry.write_use(tx)?;
                self.outcome.plan = plan;
                self.outcome.wrote = true;
                return Ok(());
            }
        }
    }

    /// Whether the running transaction empties a group. Its checkpoint is written: another would bring
    /// back what was in it.
    fn lets_go(&self, at: usize) -> bool {
        let gone = &self.outcome.gone.groups;
        gone.iter().any(|&group| group as usize == at)
    }

    fn checkpoint_as_is(
        &mut self,
        tx: &Transaction<'_>,
        at: usize,
        seq: u64,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let done = |(group, ..): &(u32, Vec<i64>, bool)| *group as usize == at;
        if self.lets_go(at) || self.outcome.checkpoints.iter().any(done) {
            return Ok(());
        }
        let sealed = self.groups[at].sealed.clone();
        self.checkpoint(tx, at, (sealed, false), seq, events)
    }

    fn checkpoint(
        &mut self,
        tx: &Transaction<'_>,
        at: usize,
        (sealed, merged): (Vec<i64>, bool),
        seq: u64,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let group = &self.groups[at];
        let bytes = group.checkpoint(seq, &sealed, merged, &mut self.scratch);
        let number = group.rings.group;
        tx.prepare_cached("UPDATE ts_group SET open = ?2 WHERE grp = ?1")?
            .execute(params![number, bytes])?;
        self.outcome.checkpoints.push((number, sealed, merged));
        events.push(Event::Checkpoint(number));
        Ok(())
    }

    /// The transaction of the last `write` is durable.
    pub(crate) fn committed(&mut self) {
        self.registry.keep_use();
        self.registry.tell(self.counts, self.ring.bytes());
        let outcome = std::mem::take(&mut self.outcome);
        if outcome.looked {
            self.registry.looked();
            self.forget_at = outcome.now_ms.saturating_add(FORGET_MS);
        }
        self.released(outcome.gone);
        if !outcome.wrote {
            return;
        }
        let seq = self.ring.next_seq;
        for (group, sealed, merged) in outcome.checkpoints {
            let at = group as usize;
            self.groups[at].settle(seq, sealed, merged);
            self.due_at[at] = seal::due_at(&self.groups[at]);
            if merged {
                self.late_since[at] = None;
            }
        }
        self.ring.committed(&outcome.plan, outcome.now_ms);
        self.recorder.clear();
        self.broken.clear();
        self.moved.clear();
        self.reborn = false;
    }

    /// Tells readers of the groups that were filled in bulk.
    pub(super) fn record_backfill(
        &mut self,
        tx: &Transaction<'_>,
        touched: &[usize],
        mut events: Vec<Event>,
        now_ms: i64,
    ) -> Result<()> {
        self.outcome = Outcome {
            now_ms,
            ..Outcome::default()
        };
        let seq = self.ring.next_seq;
        for &at in touched {
            self.checkpoint_as_is(tx, at, seq, &mut events)?;
        }
        if events.is_empty() {
            return Ok(());
        }
        self.write_record(tx, now_ms, seq, events)
    }

    /// Learns of series that were interned and moved since.
    pub(super) fn sync(&mut self) {
        let known = self.groups.len();
        let news = self.registry.news(self.places.len(), known);
        for layout in news.groups {
            let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
            self.groups.push(Group::new(number, layout));
            self.late_since.push(None);
            self.due_at.push(i64::MAX);
        }
        for (group, layout) in news.made {
            // An empty group that has another layout now; one that is new was just added.
            if self.groups[group as usize].lanes.is_empty() && (group as usize) < known {
                self.renew(group, layout);
                self.reborn = true;
                self.broken.push(group);
            }
        }
        for place in news.places.iter().flatten() {
            self.groups[place.group as usize].add_lane(place.lane, place.heartbeat_ms);
        }
        self.places.extend(news.places);
        for one in news.moves {
            self.relocate(one);
        }
    }
}
