//! How often each pattern of message came, by minute, stream and level: small, and kept when the
//! lines themselves are gone.
//!
//! The patterns of a block are counted when it is sealed ([`derive`]) and written in the same
//! transaction ([`write`]); those of open blocks are counted by whoever asks ([`read`]). So merging,
//! repairing and dropping blocks changes nothing here.
//!
//! `ev_pattern` has a row for each pattern of a stream and program. A row of `ev_pattern_count` is an
//! hour by minutes or a day by hours of one stream: a segment (see `codec.rs`) of
//!
//! ```text
//! version 1 | for each pattern and severity: id - the last one, severity, cells, (cell, count) …
//! ```
//!
//! Id 0 and ids that no pattern has any more are the others: patterns beyond a limit.

mod cells;
mod derive;
mod found;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub(super) use derive::{Derived, of};
pub(super) use read::read;
pub(super) use write::{Room, add, begin, damaged, dropped, expire, forget_samples, repair};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The id under which patterns are counted that are not kept apart.
const OTHERS: i64 = 0;

/// The tables, which stores of before do not have.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS ev_pattern(
  id INTEGER PRIMARY KEY AUTOINCREMENT, stream INT NOT NULL, hash INT NOT NULL, total INT NOT NULL,
  first INT NOT NULL, last INT NOT NULL, app BLOB, text BLOB NOT NULL, sample BLOB NOT NULL,
  sampled INT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS ev_pattern_hash ON ev_pattern(stream, hash);
CREATE TABLE IF NOT EXISTS ev_pattern_count(unit INT, start INT, stream INT, data BLOB NOT NULL,
  PRIMARY KEY(unit, start, stream)) WITHOUT ROWID;
";

/// From when on lines are counted: a store of before has blocks whose patterns are not.
const FROM: &str = "patterns from";
/// From when on counts by minutes are kept…
const MINUTES_FROM: &str = "pattern minutes from";
/// … and by hours.
const HOURS_FROM: &str = "pattern hours from";
/// Counts the patterns that a limit pushed out.
const DROPPED: &str = "dropped patterns";

/// One pattern of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The program.
    pub app: Option<Vec<u8>>,
    /// What [`vigie_query::log::pattern`] says.
    pub text: Vec<u8>,
    /// The message of one event…
    pub sample: Vec<u8>,
    /// … and when that happened.
    pub sampled: i64,
    pub first: i64,
    pub last: i64,
    pub count: u64,
}

/// Reads any bytes as what a row of counts holds.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz_row(data: &[u8]) -> bool {
    cells::Cells::unpack(&super::codec::Packer::new().pack(data)).is_some()
}

/// A number in `ev_meta`.
fn meta(conn: &rusqlite::Connection, key: &str) -> crate::Result<Option<i64>> {
    use rusqlite::OptionalExtension;
    let mut stmt = conn.prepare_cached("SELECT value FROM ev_meta WHERE key = ?1")?;
    Ok(stmt.query_row([key], |r| r.get(0)).optional()?)
}

fn set_meta(conn: &rusqlite::Connection, key: &str, value: i64) -> crate::Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO ev_meta VALUES (?1, ?2)")?
        .execute(rusqlite::params![key, value])?;
    Ok(())
}
