//! The state of sources as last reported: what `vigie status` shows when no daemon runs.

use rusqlite::{Connection, Transaction, params};
use vigie_parsers::Timestamp;

use crate::Result;

/// How a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// Works.
    Active,
    /// Cannot work at the moment; the detail says why. It goes on trying.
    Failed,
    /// Has ended, or is not wanted any more.
    Stopped,
}

impl SourceState {
    /// The word in the table and on pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    fn from_word(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "failed" => Self::Failed,
            _ => Self::Stopped,
        }
    }
}

/// One source's account of itself. Counts are since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReport {
    /// The name, as in [`vigie_parsers::Origin::source`].
    pub source: String,
    /// How it is.
    pub state: SourceState,
    /// Why, or what it does; may be empty.
    pub detail: String,
    /// When this was written.
    pub at: Timestamp,
    /// When it last brought something.
    pub last: Option<Timestamp>,
    /// Events or samples brought.
    pub items: u64,
    /// Bytes brought.
    pub bytes: u64,
    /// Bytes that wait to be read.
    pub lag_bytes: u64,
    /// What was dropped, by reason (`kernel`, `oversize`, …); only reasons that occurred.
    pub dropped: Vec<(String, u64)>,
}

pub(crate) const SCHEMA: &str = "
CREATE TABLE source(
  name TEXT PRIMARY KEY, state TEXT NOT NULL, detail TEXT NOT NULL, at INT NOT NULL, last INT,
  items INT NOT NULL, bytes INT NOT NULL, lag_bytes INT NOT NULL, dropped TEXT NOT NULL) WITHOUT ROWID;
";

pub(crate) fn write(tx: &Transaction<'_>, r: &SourceReport) -> Result<()> {
    let dropped: Vec<String> = r
        .dropped
        .iter()
        .map(|(why, n)| format!("{why}={n}"))
        .collect();
    tx.prepare_cached("INSERT OR REPLACE INTO source VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")?
        .execute(params![
            r.source,
            r.state.as_str(),
            r.detail,
            r.at.0,
            r.last.map(|t| t.0),
            i64::try_from(r.items).unwrap_or(i64::MAX),
            i64::try_from(r.bytes).unwrap_or(i64::MAX),
            i64::try_from(r.lag_bytes).unwrap_or(i64::MAX),
            dropped.join(" "),
        ])?;
    Ok(())
}

/// Whoever begins to write knows that none of them works yet: some may not be wanted any more.
pub(crate) fn stop_all(conn: &Connection) -> Result<()> {
    let stopped = SourceState::Stopped.as_str();
    conn.execute("UPDATE source SET state = ?1 WHERE state <> ?1", [stopped])?;
    Ok(())
}

pub(crate) fn read(conn: &Connection) -> Result<Vec<SourceReport>> {
    let mut stmt = conn.prepare_cached("SELECT * FROM source ORDER BY name")?;
    let rows = stmt.query_map([], |row| {
        let count = |i| row.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
        let dropped: String = row.get(8)?;
        Ok(SourceReport {
            source: row.get(0)?,
            state: SourceState::from_word(&row.get::<_, String>(1)?),
            detail: row.get(2)?,
            at: Timestamp(row.get(3)?),
            last: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            items: count(5)?,
            bytes: count(6)?,
            lag_bytes: count(7)?,
            dropped: dropped
                .split(' ')
                .filter_map(|pair| pair.split_once('='))
                .filter_map(|(why, n)| Some((why.to_owned(), n.parse().ok()?)))
                .collect(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
