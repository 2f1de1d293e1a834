//! Series, layouts and groups as they stand in their tables.

use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use vigie_query::{Labels, MetricKind};

use super::codec::{Input, put_text, put_varint, put_zigzag};
use super::group::Group;
use super::layout::{LANES, Layout};
use super::registry::{Past, Place, SeriesDef, SeriesId};
use crate::{Error, Result};

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

pub(crate) fn write_series(
    tx: &Transaction<'_>,
    id: SeriesId,
    place: &Place,
    def: &SeriesDef,
) -> Result<()> {
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
pub(crate) fn read_groups(conn: &Connection) -> Result<Vec<(u32, u32)>> {
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
pub(crate) fn read_empty_groups(conn: &Connection) -> Result<Vec<Group>> {
    let layouts = read_layouts(conn)?;
    let mut groups = Vec::new();
    for (group, layout) in read_groups(conn)? {
        let Some(layout) = layouts
            .get(&layout)
            .filter(|_| group as usize == groups.len())
        else {
            return Err(Error::Limit(format!("store: group {group} is damaged")));
        };
        groups.push(Group::new(group, Arc::clone(layout)));
    }
    Ok(groups)
}
