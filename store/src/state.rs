//! State changes inside the writer's transaction: what the analyzer and people's clicks write.

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::Result;

pub(crate) const SCHEMA: &str = "
CREATE TABLE position(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE setting(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// The store during one state change. Whatever a closure does with it is committed together with
/// the events and samples of the same second, or not at all.
#[derive(Debug)]
pub struct State<'a> {
    pub(crate) tx: &'a Connection,
}

impl State<'_> {
    /// Keeps a small text under a key (`None` forgets it).
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => self
                .tx
                .prepare_cached("INSERT OR REPLACE INTO setting VALUES (?1, ?2)")?
                .execute([key, value])?,
            None => self
                .tx
                .prepare_cached("DELETE FROM setting WHERE key = ?1")?
                .execute([key])?,
        };
        Ok(())
    }
}

pub(crate) fn setting(conn: &Connection, key: &str) -> Result<Option<String>> {
    let mut stmt = conn.prepare_cached("SELECT value FROM setting WHERE key = ?1")?;
    Ok(stmt.query_row([key], |r| r.get(0)).optional()?)
}

pub(crate) fn write_position(tx: &Transaction<'_>, key: &str, value: Option<&[u8]>) -> Result<()> {
    match value {
        Some(value) => tx
            .prepare_cached("INSERT OR REPLACE INTO position VALUES (?1, ?2)")?
            .execute((key, value))?,
        None => tx
            .prepare_cached("DELETE FROM position WHERE key = ?1")?
            .execute([key])?,
    };
    Ok(())
}

pub(crate) fn positions(conn: &Connection, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut stmt = conn
        .prepare_cached("SELECT key, value FROM position WHERE substr(key, 1, length(?1)) = ?1")?;
    let rows = stmt.query_map([prefix], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
