//! Which series there are: names and labels to numbers, shared by the writer and all senders.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashSet};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use vigie_query::{Labels, MetricKind};

use super::budget::{Book, Size};
use super::codec::{Input, put_text, put_varint, put_zigzag};
use super::ingest::Counts;
use super::layout::{LANES, Layout};
use super::pages::{self, drop_pages};
use super::rename::Renamed;
use super::retention::{Archives, Pattern, Retention};
use super::senders::{Senders, Worst};
use crate::{Error, Options, Result};

/// A counter's readings may be so many steps apart before the growth between them is unknown.
const HEARTBEAT_STEPS: i64 = 3;
/// What a restart of the daemon may take without leaving a gap.
const HEARTBEAT_MS_MIN: i64 = 10_000;

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
    /// So many places and groups the writer may know of: those of its last transaction, not those
    /// that were announced since.
    told: [usize; 2],
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
        inner.told = [inner.places.len(), inner.groups.len()];
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
        let [told_places, told_groups] = inner.told;
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
                .get(groups..told_groups)
                .unwrap_or_default()
                .iter()
                .map(layout)
                .collect(),
            places: inner
                .places
                .get(places..told_places)
                .unwrap_or_default()
                .to_vec(),
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
        inner.told = [inner.places.len(), inner.groups.len()];
        Ok(())
    }

    /// The transaction of the last `write` is durable.
    pub(crate) fn committed(&self) {
        let inner = &mut *self.lock();
        let [series, groups, layouts, moves] = std::mem::take(&mut inner.writing);
        inner.unwritten.series.drain(..series);
        inner.unwritten.groups.drain(..groups);
        inner.unwritten.layouts.drain(..layouts);
        inner.unwritten.moves.drain(..moves);
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

impl Inner {
    fn intern(
        &mut self,
        def: &SeriesDef,
        archives: Option<&Archives>,
        source: &Arc<str>,
    ) -> Result<SeriesId> {
        if let Some(&id) = self.ids.get(&def.labels) {
            self.senders.took(id, source);
            let announced = self.announced.get_mut(id.0 as usize);
            if let Some(first @ Announced::Not) = announced.filter(|_| archives.is_none()) {
                let step_ms = def.step_ms;
                *first = Announced::Rules { step_ms };
                self.settle(id, &def.labels, step_ms);
            }
            return Ok(id);
        }
        if self.senders.is_full(source) {
            self.refused_of_source += 1;
            let limit = self.senders.limit();
            return self.refuse(def, source, || {
                format!(
                    "{source} has {limit} series, as many as one source may \
                     (store.series_max_per_source)"
                )
            });
        }
        if self.ids.len() >= self.limit {
            let limit = self.limit;
            return self.refuse(def, source, || {
                format!("the store holds {limit} series, as many as it may (store.series_max)")
            });
        }
        let layout = match archives {
            Some(archives) => self.layout(archives),
            None => self.wanted_layout(&def.labels, def.step_ms),
        };
        let Some((group, lane)) = self.free_lane(&layout) else {
            let budget = self.book.budget() >> 20;
            return self.refuse(def, source, || {
                format!(
                    "the rings of more series would not fit into {budget} MiB (store.series_budget)"
                )
            });
        };
        let id = SeriesId(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        self.places.push(Some(Place {
            group,
            lane,
            kind: def.kind,
            heartbeat_ms: heartbeat_ms(def.step_ms),
        }));
        self.announced.push(match archives {
            Some(_) => Announced::Own,
            None => Announced::Rules {
                step_ms: def.step_ms,
            },
        });
        self.senders.took(id, source);
        self.ids.insert(def.labels.clone(), id);
        self.unwritten.series.push((id, def.clone()));
        Ok(id)
    }

    fn wanted_layout(&mut self, labels: &Labels, step_ms: i64) -> Arc<Layout> {
        let archives = self.retention.archives(labels, step_ms);
        self.layout(&archives)
    }

    fn free_lane(&mut self, layout: &Layout) -> Option<(u32, usize)> {
        let free = self.free.entry(layout.id).or_default().pop();
        free.or_else(|| self.new_group(layout))
    }

    /// Moves a series to the archives that it should have. Where these do not fit into the budget it
    /// keeps those that it has.
    fn settle(&mut self, id: SeriesId, labels: &Labels, step_ms: i64) {
        let Some(Some(old)) = self.places.get(id.0 as usize).copied() else {
            return;
        };
        let mut to = Place {
            heartbeat_ms: heartbeat_ms(step_ms),
            ..old
        };
        let layout = self.wanted_layout(labels, step_ms);
        if layout.id != self.groups[old.group as usize] {
            match self.free_lane(&layout) {
                Some((group, lane)) => (to.group, to.lane) = (group, lane),
                None => self.unmoved += 1,
            }
        }
        if (to.group, to.lane, to.heartbeat_ms) != (old.group, old.lane, old.heartbeat_ms) {
            self.places[id.0 as usize] = Some(to);
            self.unwritten.moves.push(Move { id, to });
        }
    }

    fn refuse(
        &mut self,
        def: &SeriesDef,
        source: &Arc<str>,
        why: impl Fn() -> String,
    ) -> Result<SeriesId> {
        self.refused += 1;
        self.senders.refused(source, def.labels.name());
        Err(Error::Limit(why()))
    }

    /// The layout with these archives, known or new.
    fn layout(&mut self, archives: &Archives) -> Arc<Layout> {
        let next = self.layouts.keys().max().map_or(0, |id| id + 1);
        let new = Layout::new(next, archives);
        let mut known = self.layouts.values();
        if let Some(known) = known.find(|l| l.archives == new.archives) {
            return Arc::clone(known);
        }
        let new = Arc::new(new);
        self.layouts.insert(next, Arc::clone(&new));
        self.unwritten.layouts.push(Arc::clone(&new));
        new
    }

    /// A group more, if its rings fit into the budget; its first lane.
    fn new_group(&mut self, layout: &Layout) -> Option<(u32, usize)> {
        let layout = self.layouts.get(&layout.id).map(Arc::clone)?;
        if !self.book.admits(&layout) {
            return None;
        }
        let group = match self.empty.pop() {
            Some(group) => group,
            None => {
                self.groups.push(layout.id);
                u32::try_from(self.groups.len() - 1).ok()?
            }
        };
        self.book.open(group, &layout);
        self.groups[group as usize] = layout.id;
        self.unwritten.groups.push(group);
        let free = self.free.entry(layout.id).or_default();
        free.extend((1..LANES).rev().map(|lane| (group, lane)));
        Some((group, 0))
    }
}

fn heartbeat_ms(step_ms: i64) -> i64 {
    step_ms
        .saturating_mul(HEARTBEAT_STEPS)
        .max(HEARTBEAT_MS_MIN)
}

/// Strikes out a series.
pub(crate) fn delete_series(tx: &Transaction<'_>, id: SeriesId) -> Result<()> {
    for sql in [
        "DELETE FROM ts_series WHERE id = ?1",
        "DELETE FROM ts_sender WHERE series = ?1",
    ] {
        tx.prepare_cached(sql)?.execute([id.0])?;
    }
    Ok(())
}

/// Writes down where a series is and was.
pub(crate) fn write_place(
    tx: &Transaction<'_>,
    id: SeriesId,
    place: &Place,
    past: &[Past],
) -> Result<()> {
    let mut stmt = tx.prepare_cached("SELECT labels FROM ts_series WHERE id = ?1")?;
    let Some(mut bytes) = stmt
        .query_row([id.0], |r| r.get::<_, Vec<u8>>(0))
        .optional()?
    else {
        return Ok(());
    };
    let mut input = Input(&bytes);
    let rest = read_labels(&mut input).map_or(0, |_| input.0.len());
    bytes.truncate(bytes.len() - rest);
    put_past(&mut bytes, past);
    let lane = u8::try_from(place.lane).unwrap_or(u8::MAX);
    tx.prepare_cached(
        "UPDATE ts_series SET grp = ?2, lane = ?3, heartbeat_ms = ?4, labels = ?5 WHERE id = ?1",
    )?
    .execute(params![id.0, place.group, lane, place.heartbeat_ms, bytes])?;
    Ok(())
}

/// Writes down another name and other labels of a series.
pub(crate) fn write_labels(tx: &Transaction<'_>, id: SeriesId, labels: &Labels) -> Result<()> {
    let mut stmt = tx.prepare_cached("SELECT labels, kind FROM ts_series WHERE id = ?1")?;
    let row = |r: &rusqlite::Row<'_>| Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, u8>(1)?));
    let Some((old, kind)) = stmt.query_row([id.0], row).optional()? else {
        return Ok(());
    };
    let mut input = Input(&old);
    let former = read_labels(&mut input);
    let mut bytes = Vec::new();
    put_labels(&mut bytes, labels);
    bytes.extend(input.0);
    tx.prepare_cached("UPDATE ts_series SET labels = ?2 WHERE id = ?1")?
        .execute(params![id.0, bytes])?;
    let former = former.as_ref().map_or("", |l| l.name());
    tx.prepare_cached(
        "INSERT OR IGNORE INTO ts_metric SELECT ?1, ?2,
           coalesce((SELECT help FROM ts_metric WHERE name = ?3), '')",
    )?
    .execute(params![labels.name(), kind, former])?;
    Ok(())
}

pub(super) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_varint(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        put_text(out, name);
        put_text(out, value);
    }
}

fn put_past(out: &mut Vec<u8>, past: &[Past]) {
    for p in past {
        put_varint(out, u64::from(p.group));
        put_varint(out, p.lane as u64);
        put_zigzag(out, p.until_ms);
    }
}

/// What follows the labels: where the series was before, in time order.
fn read_past(mut input: Input<'_>) -> Option<Vec<Past>> {
    let mut past = Vec::new();
    while !input.is_empty() {
        past.push(Past {
            group: u32::try_from(input.varint()?).ok()?,
            lane: input.usize().filter(|&l| l < LANES)?,
            until_ms: input.zigzag()?,
        });
    }
    Some(past)
}

fn write_series(tx: &Transaction<'_>, id: SeriesId, place: &Place, def: &SeriesDef) -> Result<()> {
    let mut labels = Vec::new();
    put_labels(&mut labels, &def.labels);
    let kind = kind_code(def.kind);
    let lane = u8::try_from(place.lane).unwrap_or(u8::MAX);
    tx.prepare_cached("INSERT OR REPLACE INTO ts_series VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            id.0,
            place.group,
            lane,
            kind,
            place.heartbeat_ms,
            labels
        ])?;
    tx.prepare_cached(
        "INSERT INTO ts_metric VALUES (?1, ?2, ?3)
         ON CONFLICT(name) DO UPDATE SET help = excluded.help WHERE excluded.help <> ''",
    )?
    .execute(params![def.labels.name(), kind, def.help])?;
    Ok(())
}

fn kind_code(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Gauge => 0,
        MetricKind::Counter => 1,
    }
}

pub(crate) fn kind_of(code: u8) -> MetricKind {
    if code == 1 {
        MetricKind::Counter
    } else {
        MetricKind::Gauge
    }
}

/// A row of `ts_series`.
pub(crate) struct SeriesRow {
    pub(crate) id: SeriesId,
    pub(crate) labels: Labels,
    pub(crate) place: Place,
    /// Where it was before, in time order.
    pub(crate) past: Vec<Past>,
}

/// All series in the order of their numbers; rows that make no sense are left out.
pub(crate) fn read_series(conn: &Connection) -> Result<Vec<SeriesRow>> {
    let sql = "SELECT id, grp, lane, kind, heartbeat_ms, labels FROM ts_series ORDER BY id";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query([])?;
    let mut series = Vec::new();
    while let Some(row) = rows.next()? {
        let place = Place {
            group: row.get(1)?,
            lane: usize::from(row.get::<_, u8>(2)?),
            kind: kind_of(row.get(3)?),
            heartbeat_ms: row.get(4)?,
        };
        let mut input = Input(row.get_ref(5)?.as_blob().unwrap_or_default());
        let labels = read_labels(&mut input);
        if let Some(labels) = labels.filter(|_| place.lane < LANES) {
            series.push(SeriesRow {
                id: SeriesId(row.get(0)?),
                labels,
                place,
                past: read_past(input).unwrap_or_default(),
            });
        }
    }
    Ok(series)
}

pub(super) fn read_labels(input: &mut Input<'_>) -> Option<Labels> {
    let count = input.usize().filter(|&n| n <= input.0.len())?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((input.text()?, input.text()?));
    }
    Some(Labels::new(pairs))
}

pub(crate) fn read_layouts(conn: &Connection) -> Result<HashMap<u32, Arc<Layout>>> {
    let mut stmt = conn.prepare_cached("SELECT id, spec FROM ts_layout")?;
    let rows = stmt.query_map([], |r| Ok((r.get::<_, u32>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
    let mut layouts = HashMap::default();
    for row in rows {
        let (id, spec) = row?;
        let layout = Layout::decode(id, &spec).ok_or_else(|| {
            Error::Limit(format!("store: the archives of layout {id} are damaged"))
        })?;
        layouts.insert(id, Arc::new(layout));
    }
    Ok(layouts)
}

/// Groups in the order of their numbers, with their layouts.
fn read_groups(conn: &Connection) -> Result<Vec<(u32, u32)>> {
    let sql =
        "SELECT grp, ts_group.layout FROM ts_group JOIN ts_layout ON id = layout ORDER BY grp";
    let mut stmt = conn.prepare_cached(sql)?;
    let rows = stmt.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The checkpoint of a group.
pub(crate) fn read_checkpoint(conn: &Connection, group: u32) -> Result<Option<Vec<u8>>> {
    let mut stmt = conn.prepare_cached("SELECT open FROM ts_group WHERE grp = ?1")?;
    Ok(stmt.query_row([group], |r| r.get(0)).optional()?)
}

/// The empty groups of a store, each with room for its series.
pub(crate) fn read_empty_groups(conn: &Connection) -> Result<Vec<super::group::Group>> {
    let layouts = read_layouts(conn)?;
    let mut groups = Vec::new();
    for (group, layout) in read_groups(conn)? {
        let Some(layout) = layouts
            .get(&layout)
            .filter(|_| group as usize == groups.len())
        else {
            return Err(Error::Limit(format!("store: group {group} is damaged")));
        };
        groups.push(super::group::Group::new(group, Arc::clone(layout)));
    }
    Ok(groups)
}
