//! When vigie itself did not run: kept for the gaps that this explains.

use rusqlite::{Connection, OptionalExtension};

use crate::Result;

const KEY: &str = "series.pauses";
/// The last so many are kept: with a restart a day more than a year of them.
const PAUSES_MAX: usize = 500;
/// A shorter pause leaves no gap worth a word.
const SHORTEST_MS: i64 = 3_000;

/// Notes the time between the last commit and now.
pub(crate) fn note(conn: &Connection, last_ms: i64, now_ms: i64) -> Result<()> {
    if now_ms.saturating_sub(last_ms) < SHORTEST_MS {
        return Ok(());
    }
    let mut pauses = read(conn)?;
    // Opened again before anything was committed: one pause, longer now.
    pauses.retain(|(from, _)| *from != last_ms);
    pauses.push((last_ms, now_ms));
    let surplus = pauses.len().saturating_sub(PAUSES_MAX);
    let words: Vec<String> = pauses[surplus..]
        .iter()
        .map(|(from, until)| format!("{from} {until}"))
        .collect();
    conn.execute(
        "INSERT OR REPLACE INTO setting VALUES (?1, ?2)",
        [KEY, &words.join("\n")],
    )?;
    Ok(())
}

/// From when to when, in time order.
pub(crate) fn read(conn: &Connection) -> Result<Vec<(i64, i64)>> {
    let text: Option<String> = conn
        .prepare_cached("SELECT value FROM setting WHERE key = ?1")?
        .query_row([KEY], |r| r.get(0))
        .optional()?;
    let pause = |line: &str| {
        let (from, until) = line.split_once(' ')?;
        Some((from.parse().ok()?, until.parse().ok()?))
    };
    Ok(text.unwrap_or_default().lines().filter_map(pause).collect())
}
