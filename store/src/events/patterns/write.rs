//! The writer's side: the counts of sealed blocks into the tables, what is too old or too much out.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use foldhash::{HashMap, HashMapExt};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use vigie_parsers::Timestamp;

use super::super::codec::Packer;
use super::super::hash::hash;
use super::cells::Cells;
use super::derive::Derived;
use super::{
    DAY_MS, DROPPED, FROM, HOUR_MS, HOURS_FROM, MINUTE_MS, MINUTES_FROM, OTHERS, Pattern, meta,
    set_meta,
};
use crate::Result;

/// Counts by minutes are kept this long…
const MINUTES_KEPT_MS: i64 = 14 * DAY_MS;
/// … and by hours this long.
const HOURS_KEPT_MS: i64 = 3 * 366 * DAY_MS;
/// Patterns of a stream and of its programs; the rarest go first.
pub(super) const PATTERNS_MAX: usize = 4096;
/// The part of a stream's patterns, or of all, that goes at once.
const DROP_PART: i64 = 8;
/// The part of the store's budget that patterns may occupy, a third each for texts, minutes, hours…
const BUDGET_PART: u64 = 32;
/// … what it is at least…
const BYTES_MIN: u64 = 1 << 20;
/// … and at most: it is gone through once an hour.
const BYTES_MAX: u64 = 64 << 20;
/// What a row takes beside its texts.
const ROW_BYTES: i64 = 96;
/// The key of the patterns' hashes: a pattern keeps its hash in every store.
const HASH_KEY: u64 = 0;

/// What patterns may occupy, in bytes: each of the texts, the counts by minutes and those by hours.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Room(i64);

impl Room {
    /// Of a store with this budget.
    pub(in super::super) fn of_budget(bytes: u64) -> Self {
        let all = (bytes / BUDGET_PART).clamp(BYTES_MIN, BYTES_MAX);
        Self(i64::try_from(all / 3).unwrap_or(i64::MAX))
    }
}

/// Makes the tables of a store that has none; what it holds already stays uncounted.
pub(in super::super) fn begin(conn: &Connection) -> Result<()> {
    if meta(conn, FROM)?.is_none() {
        let last: Option<i64> =
            conn.query_row("SELECT max(last_time) FROM ev_block", [], |r| r.get(0))?;
        set_meta(conn, FROM, last.map_or(i64::MIN, |t| t.saturating_add(1)))?;
    }
    Ok(())
}

/// The hash of a pattern.
fn hash_of(pattern: &Pattern) -> i64 {
    let mut bytes = pattern.app.clone().unwrap_or_default();
    bytes.push(u8::from(pattern.app.is_some()));
    bytes.push(0);
    bytes.extend_from_slice(&pattern.text);
    hash(HASH_KEY, &bytes).cast_signed()
}

/// What is added to one cell of a row.
struct New {
    cell: u32,
    id: i64,
    severity: u32,
    count: u64,
}

/// Adds the counts of a sealed block.
pub(in super::super) fn add(tx: &Transaction<'_>, stream: i64, derived: &Derived) -> Result<()> {
    let ids = number(tx, stream, &derived.patterns)?;
    let minutes_from = meta(tx, MINUTES_FROM)?.unwrap_or(i64::MIN);
    let hours_from = meta(tx, HOURS_FROM)?.unwrap_or(i64::MIN);
    let mut rows: BTreeMap<(i64, i64), Vec<New>> = BTreeMap::new();
    for cell in &derived.cells {
        let hour = cell.minute.div_euclid(60);
        let places = [
            (
                MINUTE_MS,
                HOUR_MS,
                minutes_from,
                hour,
                cell.minute.rem_euclid(60),
            ),
            (
                HOUR_MS,
                DAY_MS,
                hours_from,
                hour.div_euclid(24),
                hour.rem_euclid(24),
            ),
        ];
        let id = ids.get(cell.pattern as usize).copied().unwrap_or(OTHERS);
        for (unit, row_ms, from, row, at) in places {
            if row.saturating_mul(row_ms) >= from {
                let at = u32::try_from(at).unwrap_or(0);
                let new = New {
                    cell: at,
                    id,
                    severity: cell.severity,
                    count: cell.count,
                };
                rows.entry((unit, row)).or_default().push(new);
            }
        }
    }
    let mut packer = Packer::new();
    for ((unit, start), new) in rows {
        let known: Option<Vec<u8>> = tx
            .prepare_cached(
                "SELECT data FROM ev_pattern_count WHERE unit = ?1 AND start = ?2 AND stream = ?3",
            )?
            .query_row([unit, start, stream], |r| r.get(0))
            .optional()?;
        let known = known.and_then(|data| Cells::unpack(&data));
        let mut cells = known.unwrap_or_default();
        for new in new {
            cells.add(new.id, new.severity, new.cell, new.count);
        }
        tx.prepare_cached("INSERT OR REPLACE INTO ev_pattern_count VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![unit, start, stream, cells.pack(&mut packer)])?;
    }
    Ok(())
}

/// The ids of patterns, given to those that are new.
fn number(tx: &Transaction<'_>, stream: i64, patterns: &[Pattern]) -> Result<Vec<i64>> {
    let mut find =
        tx.prepare_cached("SELECT id, app, text FROM ev_pattern WHERE stream = ?1 AND hash = ?2")?;
    let mut seen_again = tx.prepare_cached(
        "UPDATE ev_pattern SET total = total + ?2, first = min(first, ?3), last = max(last, ?4),
         sample = CASE WHEN sampled <= ?6 THEN ?5 ELSE sample END, sampled = max(sampled, ?6)
         WHERE id = ?1",
    )?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO ev_pattern(stream, hash, total, first, last, app, text, sample, sampled)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let mut ids = Vec::with_capacity(patterns.len());
    let mut any_new = false;
    for pattern in patterns {
        let hash = hash_of(pattern);
        let known: Option<(i64, Option<Vec<u8>>, Vec<u8>)> = find
            .query_row([stream, hash], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()?;
        let count = i64::try_from(pattern.count).unwrap_or(i64::MAX);
        let (first, last) = (pattern.first, pattern.last);
        let id = match known {
            Some((id, app, text)) if app == pattern.app && text == pattern.text => {
                seen_again.execute(params![
                    id,
                    count,
                    first,
                    last,
                    pattern.sample,
                    pattern.sampled
                ])?;
                id
            }
            // Another pattern has the hash.
            Some(_) => OTHERS,
            None => {
                any_new = true;
                insert.execute(params![
                    stream,
                    hash,
                    count,
                    first,
                    last,
                    pattern.app,
                    pattern.text,
                    pattern.sample,
                    pattern.sampled
                ])?;
                tx.last_insert_rowid()
            }
        };
        ids.push(id);
    }
    if any_new {
        let rows: i64 = tx
            .prepare_cached("SELECT count(*) FROM ev_pattern WHERE stream = ?1")?
            .query_row([stream], |r| r.get(0))?;
        let most = i64::try_from(PATTERNS_MAX).unwrap_or(i64::MAX);
        if rows > most {
            let gone = tx
                .prepare_cached(
                    "DELETE FROM ev_pattern WHERE id IN (SELECT id FROM ev_pattern
                     WHERE stream = ?1 ORDER BY total, last LIMIT ?2)",
                )?
                .execute([stream, rows - most + most / DROP_PART])?;
            count_dropped(tx, gone)?;
        }
    }
    Ok(ids)
}

fn count_dropped(tx: &Transaction<'_>, gone: usize) -> Result<()> {
    let before = meta(tx, DROPPED)?.unwrap_or(0);
    let gone = i64::try_from(gone).unwrap_or(i64::MAX);
    set_meta(tx, DROPPED, before.saturating_add(gone))
}

/// Rows of counts that cannot be read.
pub(in super::super) fn damaged(conn: &Connection) -> Result<Vec<(i64, i64, i64)>> {
    let exists: i64 = conn.query_row(
        "SELECT count(*) FROM sqlite_master WHERE name = 'ev_pattern_count'",
        [],
        |r| r.get(0),
    )?;
    let mut damaged = Vec::new();
    if exists == 0 {
        return Ok(damaged);
    }
    let mut stmt = conn.prepare("SELECT unit, start, stream, data FROM ev_pattern_count")?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        if Cells::unpack(row.get_ref(3)?.as_blob().unwrap_or_default()).is_none() {
            damaged.push((row.get(0)?, row.get(1)?, row.get(2)?));
        }
    }
    Ok(damaged)
}

/// Strikes out the rows of counts that cannot be read.
pub(in super::super) fn repair(tx: &Transaction<'_>) -> Result<()> {
    for (unit, start, stream) in damaged(tx)? {
        tx.execute(
            "DELETE FROM ev_pattern_count WHERE unit = ?1 AND start = ?2 AND stream = ?3",
            [unit, start, stream],
        )?;
    }
    Ok(())
}

/// How many patterns a limit has pushed out so far.
pub(in super::super) fn dropped(conn: &Connection) -> Result<u64> {
    Ok(u64::try_from(meta(conn, DROPPED)?.unwrap_or(0)).unwrap_or(0))
}

/// Of streams whose lines have an age, samples are lines as well.
pub(in super::super) fn forget_samples(
    tx: &Transaction<'_>,
    now: Timestamp,
    ages: &[(i64, i64)],
) -> Result<()> {
    for (stream, keep_ms) in ages {
        tx.prepare_cached(
            "UPDATE ev_pattern SET sample = x'' WHERE stream = ?1 AND sampled < ?2 AND sample <> x''",
        )?
        .execute([*stream, now.0.saturating_sub(*keep_ms)])?;
    }
    Ok(())
}

/// Drops what is older than its time and what is beyond its room, the oldest and rarest first.
pub(in super::super) fn expire(tx: &Transaction<'_>, now: Timestamp, room: Room) -> Result<()> {
    let units = [
        (MINUTE_MS, HOUR_MS, MINUTES_KEPT_MS, MINUTES_FROM),
        (HOUR_MS, DAY_MS, HOURS_KEPT_MS, HOURS_FROM),
    ];
    for (unit, row_ms, kept_ms, key) in units {
        let first = now.0.saturating_sub(kept_ms).div_euclid(row_ms);
        let first = first.max(beyond(tx, unit, room)?);
        let from = first.saturating_mul(row_ms);
        if meta(tx, key)?.is_none_or(|known| known < from) {
            tx.prepare_cached("DELETE FROM ev_pattern_count WHERE unit = ?1 AND start < ?2")?
                .execute([unit, first])?;
            set_meta(tx, key, from)?;
        }
    }
    // A pattern goes with the last count of it.
    tx.prepare_cached("DELETE FROM ev_pattern WHERE last < ?1")?
        .execute([now.0.saturating_sub(HOURS_KEPT_MS)])?;
    let (rows, bytes): (i64, i64) = tx
        .prepare_cached(
            "SELECT count(*), ifnull(sum(length(text) + length(sample)), 0) FROM ev_pattern",
        )?
        .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    if bytes.saturating_add(rows.saturating_mul(ROW_BYTES)) > room.0 {
        let gone = tx.execute(
            "DELETE FROM ev_pattern WHERE id IN (SELECT id FROM ev_pattern ORDER BY total, last LIMIT ?1)",
            [rows / DROP_PART + 1],
        )?;
        count_dropped(tx, gone)?;
    }
    Ok(())
}

/// The first row that still has room.
fn beyond(tx: &Transaction<'_>, unit: i64, room: Room) -> Result<i64> {
    let mut stmt = tx.prepare_cached(
        "SELECT start, sum(length(data)), count(*) FROM ev_pattern_count WHERE unit = ?1
         GROUP BY start ORDER BY start DESC",
    )?;
    let mut rows = stmt.query([unit])?;
    let mut used = 0i64;
    while let Some(row) = rows.next()? {
        let (start, bytes, count): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        used = used
            .saturating_add(bytes)
            .saturating_add(count.saturating_mul(ROW_BYTES / 2));
        if used > room.0 {
            return Ok(start.saturating_add(1));
        }
    }
    Ok(i64::MIN)
}

/// A memo for the ids of one read: see `read.rs`.
pub(super) type Known = HashMap<i64, Option<Pattern>>;

/// The patterns behind ids.
pub(super) fn look_up<'k>(
    conn: &Connection,
    known: &'k mut Known,
    id: i64,
) -> Result<Option<&'k Pattern>> {
    let place = match known.entry(id) {
        Entry::Occupied(found) => return Ok(found.into_mut().as_ref()),
        Entry::Vacant(place) => place,
    };
    let mut stmt = conn.prepare_cached(
        "SELECT app, text, sample, sampled, first, last FROM ev_pattern WHERE id = ?1",
    )?;
    let read = |r: &rusqlite::Row<'_>| {
        Ok(Pattern {
            app: r.get(0)?,
            text: r.get(1)?,
            sample: r.get(2)?,
            sampled: r.get(3)?,
            first: r.get(4)?,
            last: r.get(5)?,
            count: 0,
        })
    };
    Ok(place
        .insert(stmt.query_row([id], read).optional()?)
        .as_ref())
}

/// An empty memo.
pub(super) fn nothing_known() -> Known {
    HashMap::new()
}
