//! Lines per minute, stream and severity: small, and kept when the lines themselves are gone.
//!
//! A row holds an hour by minutes or a day by hours, as `cell, severity, count` numbers.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use vigie_parsers::{Severity, Timestamp};

use super::Result;
use super::codec::{Bytes, put_uint};
use super::rebuild::Open;
use super::table::{NO_SEVERITY, Rows, severity_of};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Minutes are kept this long…
const MINUTES_KEPT_MS: i64 = 14 * DAY_MS;
/// … and hours this long.
const HOURS_KEPT_MS: i64 = 3 * 366 * DAY_MS;
/// Rows of all streams together, about 100 bytes each; the oldest go first.
const ROWS_MAX: i64 = 200_000;

/// Lines of one minute (or hour, for old ones), stream and severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCount {
    /// The input.
    pub source: String,
    /// The format.
    pub format: String,
    /// When the minute or hour begins.
    pub start: Timestamp,
    /// How bad.
    pub severity: Option<Severity>,
    /// How many.
    pub count: u64,
}

/// The counts of a block by minute and severity.
pub(super) fn of(rows: &Rows) -> Vec<(i64, u32, u64)> {
    let mut counts: BTreeMap<(i64, u32), u64> = BTreeMap::new();
    let mut last = ((i64::MIN, 0), 0);
    for (time, &severity) in rows.times.iter().zip(&rows.codes.severities) {
        let key = (time.div_euclid(MINUTE_MS), severity);
        if last.0 == key {
            last.1 += 1;
            continue;
        }
        if last.1 > 0 {
            *counts.entry(last.0).or_default() += last.1;
        }
        last = (key, 1);
    }
    if last.1 > 0 {
        *counts.entry(last.0).or_default() += last.1;
    }
    counts.into_iter().map(|((m, s), n)| (m, s, n)).collect()
}

/// A row of counts, by cell and severity.
type Cells = BTreeMap<(u32, u32), u64>;

fn read_cells(data: &[u8]) -> Option<Cells> {
    let mut bytes = Bytes(data);
    let mut cells = Cells::new();
    while !bytes.is_empty() {
        let key = (bytes.u32()?, bytes.u32()?);
        if key.0 >= 60 || key.1 > NO_SEVERITY {
            return None;
        }
        cells.insert(key, bytes.uint()?);
    }
    Some(cells)
}

fn write_cells(cells: &Cells) -> Vec<u8> {
    let mut out = Vec::new();
    for (&(cell, severity), &count) in cells {
        put_uint(&mut out, u64::from(cell));
        put_uint(&mut out, u64::from(severity));
        put_uint(&mut out, count);
    }
    out
}

/// Adds the counts of a sealed block.
pub(super) fn add(tx: &Transaction<'_>, stream: i64, counts: &[(i64, u32, u64)]) -> Result<()> {
    let mut rows: BTreeMap<(i64, i64), Cells> = BTreeMap::new();
    for &(minute, severity, count) in counts {
        let hour = minute.div_euclid(60);
        let places = [
            (MINUTE_MS, hour, minute.rem_euclid(60)),
            (HOUR_MS, hour.div_euclid(24), hour.rem_euclid(24)),
        ];
        for (unit, row, cell) in places {
            let cell = (u32::try_from(cell).unwrap_or(0), severity);
            *rows
                .entry((unit, row))
                .or_default()
                .entry(cell)
                .or_default() += count;
        }
    }
    for ((unit, row), new) in rows {
        let known: Option<Vec<u8>> = tx
            .prepare_cached(
                "SELECT data FROM ev_count WHERE unit = ?1 AND start = ?2 AND stream = ?3",
            )?
            .query_row([unit, row, stream], |r| r.get(0))
            .optional()?;
        let mut cells = known.and_then(|data| read_cells(&data)).unwrap_or_default();
        for (key, count) in new {
            let cell = cells.entry(key).or_default();
            *cell = cell.saturating_add(count);
        }
        tx.prepare_cached("INSERT OR REPLACE INTO ev_count VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![unit, row, stream, write_cells(&cells)])?;
    }
    Ok(())
}

/// Drops what is older than its time, and the oldest beyond the limit.
pub(super) fn expire(tx: &Transaction<'_>, now: Timestamp) -> Result<()> {
    let spans = [
        (MINUTE_MS, HOUR_MS, MINUTES_KEPT_MS),
        (HOUR_MS, DAY_MS, HOURS_KEPT_MS),
    ];
    for (unit, row_ms, kept_ms) in spans {
        let first = now.0.saturating_sub(kept_ms).div_euclid(row_ms);
        tx.prepare_cached("DELETE FROM ev_count WHERE unit = ?1 AND start < ?2")?
            .execute([unit, first])?;
        let rows: i64 = tx
            .prepare_cached("SELECT count(*) FROM ev_count WHERE unit = ?1")?
            .query_row([unit], |r| r.get(0))?;
        if rows > ROWS_MAX / 2 {
            tx.execute(
                "DELETE FROM ev_count WHERE unit = ?1 AND (unit, start, stream) IN
                 (SELECT unit, start, stream FROM ev_count WHERE unit = ?1 ORDER BY start LIMIT ?2)",
                [unit, rows - ROWS_MAX / 2],
            )?;
        }
    }
    Ok(())
}

/// The counts of `from..until`: by minutes where they are still kept and `minutes` asks for them,
/// else by hours.
pub(super) fn read(
    conn: &Connection,
    from: Timestamp,
    until: Timestamp,
    minutes: bool,
) -> Result<Vec<EventCount>> {
    let (unit, row_ms) = if minutes {
        (MINUTE_MS, HOUR_MS)
    } else {
        (HOUR_MS, DAY_MS)
    };
    let mut stmt = conn.prepare_cached(
        "SELECT c.start, c.data, s.source, s.format FROM ev_count c JOIN ev_stream s ON s.id = c.stream
         WHERE c.unit = ?1 AND c.start BETWEEN ?2 AND ?3 ORDER BY c.start, c.stream",
    )?;
    let first = from.0.div_euclid(row_ms);
    let last = until.0.saturating_sub(1).div_euclid(row_ms);
    let mut rows = stmt.query([unit, first, last])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let start: i64 = row.get(0)?;
        let cells = read_cells(&row.get::<_, Vec<u8>>(1)?).unwrap_or_default();
        let (source, format): (String, String) = (row.get(2)?, row.get(3)?);
        for ((cell, severity), count) in cells {
            let at = start
                .saturating_mul(row_ms)
                .saturating_add(i64::from(cell) * unit);
            if (from.0..until.0).contains(&at) {
                counts.push(EventCount {
                    source: source.clone(),
                    format: format.clone(),
                    start: Timestamp(at),
                    severity: severity_of(severity),
                    count,
                });
            }
        }
    }
    Ok(counts)
}

/// The counts of an open block.
pub(super) fn of_open(open: &Open, from: Timestamp, until: Timestamp) -> Vec<EventCount> {
    let count = |(minute, severity, count): (i64, u32, u64)| EventCount {
        source: open.place.source.clone(),
        format: open.place.format.to_string(),
        start: Timestamp(minute.saturating_mul(MINUTE_MS)),
        severity: severity_of(severity),
        count,
    };
    let all = of(&open.table.rows).into_iter().map(count);
    all.filter(|c| (from..until).contains(&c.start)).collect()
}
