//! Which series there are: names and labels to numbers, shared by the writer and all senders.

mod announce;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashSet};
use rusqlite::{Connection, Transaction, params};
use vigie_query::{Labels, MetricKind};

use super::budget::{Book, Size};
use super::ingest::Counts;
use super::layout::{LANES, Layout};
use super::pages::{self, drop_pages};
use super::rename::Renamed;
use super::retention::{Archives, Pattern, Retention};
use super::rows::{read_groups, read_layouts, read_series, write_series};
use super::senders::{Senders, Worst};
use crate::{Error, Options, Result};

/// The number of a series, stable as long as the series lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// What a sender says of a series the first time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesDef {
    /// Name and labels.
    pub labels: Labels,
    /// What its numbers are.
    pub kind: MetricKind,
    /// A sentence about the metric, for `/api/v1/metadata`; may be empty.
    pub help: &'static str,
    /// The distance of its readings, in milliseconds: 1000 for this machine, 10,000 and more else.
    pub step_ms: i64,
}

/// How many series there are and how many were not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// Series in the store.
    pub series: usize,
    /// As many as there may be.
    pub limit: usize,
    /// Bytes that figures occupy now.
    pub used_bytes: u64,
    /// Bytes that their rings are expected to occupy once they are full, by what pages of their
    /// archives take in this store.
    pub reserved_bytes: u64,
    /// What they may occupy.
    pub budget_bytes: u64,
    /// Pages that kept fewer digits since the start, because the budget left no room for more.
    pub shortened: u64,
    /// Pages that were not written since the start, because the budget left no room at all.
    pub lost: u64,
    /// As many as one source may have.
    pub source_limit: usize,
    /// New series refused since the start, because of a limit or the budget.
    pub refused: u64,
    /// Those of them that were beyond what one source may have.
    pub refused_of_source: u64,
    /// Who brought most of them.
    pub worst: Option<Worst>,
    /// Series that keep old archives, because those that the rules want would not fit.
    pub unmoved: u64,
    /// What became of readings, since the start.
    pub counts: Counts,
}

/// Where a series is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) group: u32,
    pub(crate) lane: usize,
    pub(crate) kind: MetricKind,
    pub(crate) heartbeat_ms: i64,
}

/// Where a series was kept before its archives were changed: its figures up to then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) group: u32,
    pub(crate) lane: usize,
    /// Its last reading there.
    pub(crate) until_ms: i64,
}

/// A series gets another place, or another heartbeat in the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) id: SeriesId,
    pub(crate) to: Place,
}

/// The series known to the store. Cheap to clone, shared. Each source has its own ([`Registry::of`]), so
/// that none takes all the room.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<Inner>>, Arc<str>);

/// Who says which archives a series should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Announced {
    /// Nobody since the start: it keeps those that it has.
    #[default]
    Not,
    /// Whoever brought it ([`Registry::intern_with`]).
    Own,
    /// The rules, for readings so far apart.
    Rules { step_ms: i64 },
}

#[derive(Debug, Default)]
struct Inner {
    ids: HashMap<Labels, SeriesId>,
    /// By number; `None` for series that were forgotten.
    places: Vec<Option<Place>>,
    /// What is known since the start of the archives that each should have.
    announced: Vec<Announced>,
    /// Series that someone has announced since run-out ones were last looked for: whoever did has the
    /// number, and may not have sent a reading yet.
    asked: HashSet<SeriesId>,
    /// The layout of each group.
    groups: Vec<u32>,
    layouts: HashMap<u32, Arc<Layout>>,
    /// Groups without a series, for whichever layout needs one.
    empty: Vec<u32>,
    /// Lanes that nobody has, by layout, of the other groups.
    free: HashMap<u32, Vec<(u32, usize)>>,
    retention: Retention,
    limit: usize,
    book: Book,
    refused: u64,
    /// Series that keep their old archives because others would not fit.
    unmoved: u64,
    refused_of_source: u64,
    senders: Senders,
    counts: Counts,
    unwritten: Unwritten,
    /// How much of `unwritten` the running transaction holds.
    writing: [usize; 4],
    /// So many places are durable; those that the running transaction adds, as it writes them; and so
    /// many groups are there with it. What is announced or moved since is not told.
    durable: usize,
    adding: Vec<Option<Place>>,
    told_groups: usize,
}

/// What is new since the last commit, in order.
#[derive(Debug, Default)]
struct Unwritten {
    series: Vec<(SeriesId, SeriesDef)>,
    groups: Vec<u32>,
    layouts: Vec<Arc<Layout>>,
    moves: Vec<Move>,
}

/// See [`Registry::news`].
pub(crate) struct News {
    /// The moves of the running transaction.
    pub(crate) moves: Vec<Move>,
    /// The groups that the running transaction makes, some of them anew.
    pub(crate) made: Vec<(u32, Arc<Layout>)>,
    /// The layouts of further groups.
    pub(crate) groups: Vec<Arc<Layout>>,
    /// Where further series are.
    pub(crate) places: Vec<Option<Place>>,
}

impl Registry {
    /// Reads the series of a store.
    pub(crate) fn load(conn: &Connection, options: &Options) -> Result<Self> {
        let mut inner = Inner {
            limit: options.series_max,
            book: Book::new(
                options.series_bytes,
                conn.pragma_query_value(None, "page_size", |r| r.get::<_, u32>(0))?
                    .into(),
            ),
            senders: Senders::load(conn, options.source_series_max)?,
            layouts: read_layouts(conn)?,
            retention: options.retention.clone(),
            ..Inner::default()
        };
        for (group, layout) in read_groups(conn)? {
            if usize::try_from(group) != Ok(inner.groups.len()) {
                return Err(Error::Limit(format!(
                    "store: group {group} is out of order"
                )));
            }
            inner.groups.push(layout);
        }
        inner.book.set_old(super::old::bytes(conn)?);
        let mut taken = vec![[false; LANES]; inner.groups.len()];
        for row in read_series(conn)? {
            let at = usize::try_from(row.id.0).unwrap_or(usize::MAX);
            if inner.places.len() <= at {
                inner.places.resize(at + 1, None);
            }
            for past in &row.past {
                if let Some(lanes) = taken.get_mut(past.group as usize) {
                    lanes[past.lane] = true;
                }
            }
            if let Some(lanes) = taken.get_mut(row.place.group as usize) {
                lanes[row.place.lane] = true;
                inner.places[at] = Some(row.place);
                inner.ids.insert(row.labels, row.id);
            }
        }
        inner.announced = vec![Announced::Not; inner.places.len()];
        for ((group, lanes), layout) in (0u32..).zip(&taken).zip(&inner.groups) {
            if lanes.iter().all(|taken| !taken) {
                inner.empty.push(group);
                continue;
            }
            inner.book.open(group, &inner.layouts[layout]);
            let free = (0..LANES).rev().filter(|&l| !lanes[l]).map(|l| (group, l));
            inner.free.entry(*layout).or_default().extend(free);
        }
        pages::take_stock(conn, &mut inner.book)?;
        (inner.durable, inner.told_groups) = (inner.places.len(), inner.groups.len());
        Ok(Self(Arc::new(Mutex::new(inner)), Arc::default()))
    }

    /// The same for what one source brings: its series count for it, and what is refused of it is told
    /// with its name.
    #[must_use]
    pub fn of(&self, source: &str) -> Self {
        Self(Arc::clone(&self.0), source.into())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a series, new or known. New ones reach the disk with the next commit. One whose
    /// archives are not those that the rules of retention say, or whose distance of readings has
    /// changed, follows at its first announcement after the start; its old figures stay readable.
    ///
    /// # Errors
    /// [`Error::Limit`] when the store holds as many series as it may, or as many of this source as of
    /// one, or when the rings of more would not fit into its budget; this is counted.
    pub fn intern(&self, def: &SeriesDef) -> Result<SeriesId> {
        self.lock().intern(def, None, &self.1)
    }

    /// The same with archives of its own in place of those that the rules of retention say, for
    /// figures that come from elsewhere. A series that is known keeps the archives that it has.
    ///
    /// # Errors
    /// As [`Registry::intern`].
    pub fn intern_with(&self, def: &SeriesDef, archives: &Archives) -> Result<SeriesId> {
        self.lock().intern(def, Some(archives), &self.1)
    }

    /// Other rules of retention from now on. The series that were announced since the start move to the
    /// archives that these say, with the next commit; those for which there is no room keep theirs. How
    /// many move.
    pub fn retain(&self, retention: Retention) -> usize {
        let inner = &mut *self.lock();
        inner.retention = retention;
        inner.unmoved = 0;
        let before = inner.unwritten.moves.len();
        let ruled =
            inner
                .ids
                .iter()
                .filter_map(|(labels, id)| match inner.announced.get(id.0 as usize) {
                    Some(&Announced::Rules { step_ms }) => Some((*id, labels.clone(), step_ms)),
                    _ => None,
                });
        let mut ruled: Vec<_> = ruled.collect();
        // Neighbours stay neighbours.
        ruled.sort_unstable_by_key(|(id, ..)| *id);
        for (id, labels, step_ms) in ruled {
            inner.settle(id, &labels, step_ms);
        }
        inner.unwritten.moves.len() - before
    }

    /// The labels of all series of a metric, in no order.
    #[must_use]
    pub fn series_of(&self, metric: &str) -> Vec<Labels> {
        let inner = self.lock();
        let of = inner.ids.keys().filter(|labels| labels.name() == metric);
        of.cloned().collect()
    }

    /// How many series there are and how many were refused.
    #[must_use]
    pub fn population(&self) -> Population {
        let inner = self.lock();
        Population {
            series: inner.ids.len(),
            limit: inner.limit,
            used_bytes: inner.book.used(),
            reserved_bytes: inner.book.promised(),
            budget_bytes: inner.book.budget(),
            shortened: inner.book.cut().shortened,
            lost: inner.book.cut().lost,
            refused: inner.refused,
            source_limit: inner.senders.limit(),
            refused_of_source: inner.refused_of_source,
            worst: inner.senders.worst(),
            unmoved: inner.unmoved,
            counts: inner.counts,
        }
    }

    /// What became of readings so far, for everybody to see.
    pub(crate) fn tell(&self, counts: Counts, journal_bytes: u64) {
        let inner = &mut *self.lock();
        inner.counts = counts;
        inner.book.set_journal(journal_bytes);
    }

    /// The series that mean this, with their numbers.
    pub(crate) fn find(&self, pattern: &Pattern) -> Vec<(SeriesId, Labels)> {
        let inner = self.lock();
        let fits = inner
            .ids
            .iter()
            .filter(|(labels, _)| pattern.matches(labels));
        fits.map(|(labels, id)| (*id, labels.clone())).collect()
    }

    /// Whether a series of this name and labels is known.
    pub(crate) fn knows(&self, labels: &Labels) -> bool {
        self.lock().ids.contains_key(labels)
    }

    /// The series have other names from now on.
    pub(crate) fn rename(&self, renamed: Vec<Renamed>) {
        let inner = &mut *self.lock();
        for one in &renamed {
            inner.ids.remove(&one.old);
            // Announced since the last commit, it has no row yet.
            let mut unwritten = inner.unwritten.series.iter_mut();
            if let Some((_, def)) = unwritten.find(|(id, _)| *id == one.id) {
                def.labels = one.new.clone();
            }
        }
        inner
            .ids
            .extend(renamed.into_iter().map(|one| (one.new, one.id)));
    }

    /// Whether the running transaction writes new series.
    pub(crate) fn is_writing(&self) -> bool {
        self.lock().writing[..3] != [0; 3]
    }

    /// What the running transaction makes, this many places and groups being known already. What was
    /// announced since it began is left for the next one: a group that begins anew is told by the
    /// transaction that makes it, and a place in it not before.
    pub(crate) fn news(&self, places: usize, groups: usize) -> News {
        let inner = self.lock();
        let known = inner.places.get(places..inner.durable).unwrap_or_default();
        let adding = inner.adding.get(places.saturating_sub(inner.durable)..);
        let layout = |id: &u32| Arc::clone(&inner.layouts[id]);
        let [_, making, _, moving] = inner.writing;
        let made = inner.unwritten.groups[..making].iter();
        News {
            moves: inner.unwritten.moves[..moving].to_vec(),
            made: made
                .map(|&group| (group, layout(&inner.groups[group as usize])))
                .collect(),
            groups: inner
                .groups
                .get(groups..inner.told_groups)
                .unwrap_or_default()
                .iter()
                .map(layout)
                .collect(),
            places: [known, adding.unwrap_or_default()].concat(),
        }
    }

    /// Series wait for a commit.
    pub(crate) fn is_unwritten(&self) -> bool {
        let new = &self.lock().unwritten;
        !new.series.is_empty() || !new.moves.is_empty()
    }

    /// Writes the series that are new since the last commit.
    pub(crate) fn write(&self, tx: &Transaction<'_>) -> Result<()> {
        let inner = &mut *self.lock();
        // The transaction before this one may have failed.
        inner.book.undo();
        let new = &inner.unwritten;
        for layout in &new.layouts {
            tx.prepare_cached("INSERT OR REPLACE INTO ts_layout VALUES (?1, ?2)")?
                .execute(params![layout.id, layout.encode()])?;
        }
        for &group in &new.groups {
            let layout = inner.groups[group as usize];
            drop_pages(tx, group)?;
            inner.book.cleared(group);
            tx.prepare_cached("INSERT OR REPLACE INTO ts_group VALUES (?1, ?2, x'')")?
                .execute(params![group, layout])?;
        }
        for (id, def) in &new.series {
            let Some(Some(place)) = inner.places.get(id.0 as usize) else {
                continue;
            };
            write_series(tx, *id, place, def)?;
            if let Some(source) = inner.senders.of(*id) {
                tx.prepare_cached("INSERT OR REPLACE INTO ts_sender VALUES (?1, ?2)")?
                    .execute(params![id.0, source])?;
            }
        }
        inner.writing = [
            new.series.len(),
            new.groups.len(),
            new.layouts.len(),
            new.moves.len(),
        ];
        inner.adding = inner
            .places
            .get(inner.durable..)
            .unwrap_or_default()
            .to_vec();
        inner.told_groups = inner.groups.len();
        Ok(())
    }

    /// The transaction of the last `write` is durable.
    pub(crate) fn committed(&self) {
        let inner = &mut *self.lock();
        let [series, groups, layouts, moves] = std::mem::take(&mut inner.writing);
        inner.durable += std::mem::take(&mut inner.adding).len();
        inner.unwritten.series.drain(..series);
        inner.unwritten.groups.drain(..groups);
        inner.unwritten.layouts.drain(..layouts);
        inner.unwritten.moves.drain(..moves);
    }

    /// Whether someone has announced a series since run-out ones were last looked for.
    pub(crate) fn is_asked(&self, id: SeriesId) -> bool {
        self.lock().asked.contains(&id)
    }

    /// Run-out series were looked for.
    pub(crate) fn looked(&self) {
        self.lock().asked.clear();
    }

    /// Lets go of series, of lanes that nobody has any more, and of groups without a series.
    pub(crate) fn forget(&self, gone: &[SeriesId], lanes: &[(u32, usize)], empty: &[u32]) {
        let inner = &mut *self.lock();
        let numbers: HashSet<SeriesId> = gone.iter().copied().collect();
        inner.ids.retain(|_, id| !numbers.contains(id));
        for id in gone {
            inner.senders.forget(*id);
            if let Some(place) = inner.places.get_mut(id.0 as usize) {
                *place = None;
            }
        }
        for &(group, lane) in lanes {
            let layout = inner.groups[group as usize];
            inner.free.entry(layout).or_default().push((group, lane));
        }
        for &group in empty {
            let layout = inner.groups[group as usize];
            let mut taken = [false; LANES];
            for place in inner.places.iter().flatten().filter(|p| p.group == group) {
                taken[place.lane] = true;
            }
            let free = inner.free.entry(layout).or_default();
            free.retain(|(g, _)| *g != group);
            if taken == [false; LANES] {
                inner.book.close(group);
                inner.empty.push(group);
            } else {
                // A series was announced meanwhile and has a lane in it: the group stays what it is.
                let lanes = (0..LANES).rev().filter(|&lane| !taken[lane]);
                free.extend(lanes.map(|lane| (group, lane)));
            }
        }
    }
}

/// What old figures ask of the series that live.
impl Registry {
    /// Refuses a name under which something of another kind lives than what old figures are read as.
    pub(super) fn check_kind(&self, labels: &Labels, rates: bool) -> Result<()> {
        let inner = self.lock();
        let id = inner.ids.get(labels);
        let place = id.and_then(|id| inner.places.get(id.0 as usize).copied().flatten());
        match place.map(|place| place.kind) {
            Some(MetricKind::Counter) if !rates => Err(Error::Limit(format!(
                "{labels} is a counter in this store, and what is imported are values: choose another \
                 name, or --counters if they are its rates"
            ))),
            Some(MetricKind::Gauge) if rates => Err(Error::Limit(format!(
                "{labels} is no counter in this store: choose another name"
            ))),
            _ => Ok(()),
        }
    }

    /// Bytes of imported figures.
    pub(super) fn old_bytes(&self) -> u64 {
        self.lock().book.old()
    }

    /// Counts bytes of imported figures in place of others.
    pub(super) fn reserve(&self, before: u64, after: u64) -> Result<()> {
        let book = &mut self.lock().book;
        if after > before && !book.has_room_for(after - before) {
            return Err(Error::Limit(format!(
                "old figures would not fit into {} MiB (store.series_budget): raise it, or import less",
                book.budget() >> 20
            )));
        }
        let old = book.old().saturating_sub(before) + after;
        book.set_old(old);
        Ok(())
    }

    /// What it was before a transaction that failed.
    pub(super) fn set_old_bytes(&self, bytes: u64) {
        self.lock().book.set_old(bytes);
    }
}

/// What pages occupy and may.
impl Registry {
    pub(super) fn cost(&self, len: usize) -> u64 {
        self.lock().book.cost(len)
    }

    /// See [`Book::allowed`]; 0 when nothing fits.
    pub(super) fn allowed(&self, group: u32, archive: usize, old: Size) -> usize {
        let book = &self.lock().book;
        book.allowed(group, archive, old).unwrap_or(0)
    }

    pub(super) fn wrote(&self, group: u32, archive: usize, old: Size, new: Size) {
        self.lock().book.wrote(group, archive, old, new);
    }

    pub(super) fn cleared(&self, group: u32) {
        self.lock().book.cleared(group);
    }

    pub(super) fn count_cut(&self, lost: bool) {
        self.lock().book.count_cut(lost);
    }

    /// Writes down what the groups occupy that the transaction changed.
    pub(super) fn write_use(&self, tx: &Transaction<'_>) -> Result<()> {
        let book = &self.lock().book;
        for group in book.touched() {
            tx.prepare_cached("INSERT OR REPLACE INTO ts_use VALUES (?1, ?2)")?
                .execute(params![group, book.encode(group)])?;
        }
        Ok(())
    }

    /// The transaction is durable: what it did to pages is final.
    pub(super) fn keep_use(&self) {
        self.lock().book.keep();
    }

    /// The transaction failed: pages are what they were.
    pub(super) fn undo_use(&self) {
        self.lock().book.undo();
    }
}
