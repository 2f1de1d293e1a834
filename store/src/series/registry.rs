//! Which series there are: names and labels to numbers, shared by the writer and all senders.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use vigie_query::{Labels, MetricKind};

use super::codec::{Input, put_text, put_varint};
use super::layout::{LANES, Layout};
use super::retention::{Archives, Retention};
use crate::{Error, Options, Result};

/// A counter's readings may be so many steps apart before the growth between them is unknown.
const HEARTBEAT_STEPS: i64 = 3;
/// What a restart of the daemon may take without leaving a gap.
const HEARTBEAT_MS_MIN: i64 = 10_000;
/// Metrics whose refused series are counted by name; others are counted in all only.
const OFFENDERS_MAX: usize = 256;

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
    /// Bytes that their rings may occupy once they are full.
    pub reserved_bytes: u64,
    /// New series refused since the start, because of the limit or the budget.
    pub refused: u64,
    /// The metric of which most were refused, and how many.
    pub worst: Option<(String, u64)>,
}

/// Where a series is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) group: u32,
    pub(crate) lane: usize,
    pub(crate) kind: MetricKind,
    pub(crate) heartbeat_ms: i64,
}

/// The series known to the store. Cheap to clone, shared.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    ids: HashMap<Labels, SeriesId>,
    /// By number; `None` for series that were forgotten.
    places: Vec<Option<Place>>,
    /// The layout of each group.
    groups: Vec<u32>,
    layouts: HashMap<u32, Arc<Layout>>,
    /// Lanes that nobody has, by layout.
    free: HashMap<u32, Vec<(u32, usize)>>,
    retention: Retention,
    limit: usize,
    budget_bytes: u64,
    reserved_bytes: u64,
    refused: u64,
    offenders: HashMap<Box<str>, u64>,
    unwritten: Unwritten,
    /// How much of `unwritten` the running transaction holds.
    writing: [usize; 3],
}

/// What is new since the last commit, in order.
#[derive(Debug, Default)]
struct Unwritten {
    series: Vec<(SeriesId, SeriesDef)>,
    groups: Vec<u32>,
    layouts: Vec<Arc<Layout>>,
}

impl Registry {
    /// Reads the series of a store.
    pub(crate) fn load(conn: &Connection, options: &Options) -> Result<Self> {
        let mut inner = Inner {
            limit: options.series_max,
            budget_bytes: options.series_bytes,
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
            inner.reserved_bytes += inner.layouts[&layout].group_bytes_max();
        }
        let mut taken = vec![[false; LANES]; inner.groups.len()];
        for row in read_series(conn)? {
            let at = usize::try_from(row.id.0).unwrap_or(usize::MAX);
            if inner.places.len() <= at {
                inner.places.resize(at + 1, None);
            }
            if let Some(lanes) = taken.get_mut(row.place.group as usize) {
                lanes[row.place.lane] = true;
                inner.places[at] = Some(row.place);
                inner.ids.insert(row.labels, row.id);
            }
        }
        for ((group, lanes), layout) in (0u32..).zip(&taken).zip(&inner.groups) {
            let free = (0..LANES).rev().filter(|&l| !lanes[l]).map(|l| (group, l));
            inner.free.entry(*layout).or_default().extend(free);
        }
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a series, new or known. New ones reach the disk with the next commit.
    ///
    /// # Errors
    /// [`Error::Limit`] when the store holds as many series as it may, or when the rings of more
    /// would not fit into its budget; this is counted.
    pub fn intern(&self, def: &SeriesDef) -> Result<SeriesId> {
        self.lock().intern(def, None)
    }

    /// The same with archives of its own in place of those that the rules of retention say, for
    /// figures that come from elsewhere. A series that is known keeps the archives that it has.
    ///
    /// # Errors
    /// As [`Registry::intern`].
    pub fn intern_with(&self, def: &SeriesDef, archives: &Archives) -> Result<SeriesId> {
        self.lock().intern(def, Some(archives))
    }

    /// How many series there are and how many were refused.
    #[must_use]
    pub fn population(&self) -> Population {
        let inner = self.lock();
        let worst = inner.offenders.iter().max_by_key(|(name, n)| (**n, *name));
        Population {
            series: inner.ids.len(),
            limit: inner.limit,
            reserved_bytes: inner.reserved_bytes,
            refused: inner.refused,
            worst: worst.map(|(name, n)| (name.to_string(), *n)),
        }
    }

    /// Where the series are that are new since `known` were.
    pub(crate) fn places_from(&self, known: usize) -> Vec<Option<Place>> {
        self.lock().places.get(known..).unwrap_or_default().to_vec()
    }

    /// The layouts of the groups from `known` on.
    pub(crate) fn groups_from(&self, known: usize) -> Vec<Arc<Layout>> {
        let inner = self.lock();
        let new = inner.groups.get(known..).unwrap_or_default();
        new.iter()
            .map(|layout| Arc::clone(&inner.layouts[layout]))
            .collect()
    }

    /// Whether the running transaction writes new series.
    pub(crate) fn is_writing(&self) -> bool {
        self.lock().writing != [0; 3]
    }

    /// Series wait for a commit.
    pub(crate) fn is_unwritten(&self) -> bool {
        !self.lock().unwritten.series.is_empty()
    }

    /// Writes the series that are new since the last commit.
    pub(crate) fn write(&self, tx: &Transaction<'_>) -> Result<()> {
        let inner = &mut *self.lock();
        let new = &inner.unwritten;
        for layout in &new.layouts {
            tx.prepare_cached("INSERT OR REPLACE INTO ts_layout VALUES (?1, ?2)")?
                .execute(params![layout.id, layout.encode()])?;
        }
        for &group in &new.groups {
            let layout = inner.groups[group as usize];
            tx.prepare_cached("INSERT OR REPLACE INTO ts_group VALUES (?1, ?2, x'')")?
                .execute(params![group, layout])?;
        }
        for (id, def) in &new.series {
            let Some(Some(place)) = inner.places.get(id.0 as usize) else {
                continue;
            };
            write_series(tx, *id, place, def)?;
        }
        inner.writing = [new.series.len(), new.groups.len(), new.layouts.len()];
        Ok(())
    }

    /// The transaction of the last `write` is durable.
    pub(crate) fn committed(&self) {
        let inner = &mut *self.lock();
        let [series, groups, layouts] = std::mem::take(&mut inner.writing);
        inner.unwritten.series.drain(..series);
        inner.unwritten.groups.drain(..groups);
        inner.unwritten.layouts.drain(..layouts);
    }

    /// Lets go of series; their lanes are free for others.
    pub(crate) fn forget(&self, gone: &[SeriesId]) {
        let inner = &mut *self.lock();
        inner.ids.retain(|_, id| !gone.contains(id));
        for id in gone {
            if let Some(place) = inner.places.get_mut(id.0 as usize).and_then(Option::take) {
                let layout = inner.groups[place.group as usize];
                inner
                    .free
                    .entry(layout)
                    .or_default()
                    .push((place.group, place.lane));
            }
        }
    }
}

impl Inner {
    fn intern(&mut self, def: &SeriesDef, archives: Option<&Archives>) -> Result<SeriesId> {
        if let Some(&id) = self.ids.get(&def.labels) {
            return Ok(id);
        }
        if self.ids.len() >= self.limit {
            let limit = self.limit;
            return self.refuse(def, || {
                format!("the store holds {limit} series, as many as it may (store.series_max)")
            });
        }
        let chosen;
        let archives = match archives {
            Some(archives) => archives,
            None => {
                chosen = self.retention.archives(&def.labels, def.step_ms);
                &chosen
            }
        };
        let layout = self.layout(archives);
        let free = self.free.entry(layout.id).or_default().pop();
        let Some((group, lane)) = free.or_else(|| self.new_group(&layout)) else {
            let budget = self.budget_bytes >> 20;
            return self.refuse(def, || {
                format!(
                    "the rings of more series would not fit into {budget} MiB (store.series_bytes)"
                )
            });
        };
        let id = SeriesId(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        self.places.push(Some(Place {
            group,
            lane,
            kind: def.kind,
            heartbeat_ms: (def.step_ms.saturating_mul(HEARTBEAT_STEPS)).max(HEARTBEAT_MS_MIN),
        }));
        self.ids.insert(def.labels.clone(), id);
        self.unwritten.series.push((id, def.clone()));
        Ok(id)
    }

    fn refuse(&mut self, def: &SeriesDef, why: impl Fn() -> String) -> Result<SeriesId> {
        self.refused += 1;
        let name = def.labels.name();
        if let Some(count) = self.offenders.get_mut(name) {
            *count += 1;
        } else if self.offenders.len() < OFFENDERS_MAX {
            self.offenders.insert(name.into(), 1);
        }
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
        let bytes = layout.group_bytes_max();
        if self.reserved_bytes + bytes > self.budget_bytes {
            return None;
        }
        let group = u32::try_from(self.groups.len()).ok()?;
        self.reserved_bytes += bytes;
        self.groups.push(layout.id);
        self.unwritten.groups.push(group);
        let free = self.free.entry(layout.id).or_default();
        free.extend((1..LANES).rev().map(|lane| (group, lane)));
        Some((group, 0))
    }
}

fn write_series(tx: &Transaction<'_>, id: SeriesId, place: &Place, def: &SeriesDef) -> Result<()> {
    let mut labels = Vec::new();
    put_varint(&mut labels, def.labels.len() as u64);
    for (name, value) in def.labels.iter() {
        put_text(&mut labels, name);
        put_text(&mut labels, value);
    }
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
        let labels = row.get_ref(5)?.as_blob().ok().and_then(read_labels);
        if let Some(labels) = labels.filter(|_| place.lane < LANES) {
            series.push(SeriesRow {
                id: SeriesId(row.get(0)?),
                labels,
                place,
            });
        }
    }
    Ok(series)
}

fn read_labels(bytes: &[u8]) -> Option<Labels> {
    let mut input = Input(bytes);
    let count = input.usize().filter(|&n| n <= bytes.len())?;
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
