//! Events: sealed columnar blocks, and a journal of what is not sealed yet.
//!
//! A line is a template with slots (see `template.rs`); a block is up to 65,536 lines of one
//! stream, which is a source and a format. The open block of a stream lives in memory; each commit
//! writes what came to it as one journal row. A full block is sealed: columns become compressed
//! segments, words a filter, and the journal rows go, all in the same transaction.

mod active;
mod ahead;
mod codec;
mod column;
mod compact;
mod counts;
mod decode;
mod delta;
mod encode;
mod evict;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod groups;
mod hash;
mod ingest;
mod intern;
mod keep;
mod open;
mod packed;
mod patterns;
mod rebuild;
mod repair;
mod replay;
mod scan;
mod sealed;
mod search;
mod select;
mod shape;
mod split;
mod stamp;
mod stream;
mod summary;
mod table;
mod tally;
mod template;
#[cfg(test)]
mod tests;
mod verify;
mod view;
mod words;

use rusqlite::{Connection, OptionalExtension};

use crate::Result;

pub use counts::EventCount;
pub(crate) use ingest::Ingest;
pub use keep::{LogRetention, LogRule};
pub(crate) use patterns::SCHEMA as PATTERN_SCHEMA;
pub use repair::EventRepair;
pub use verify::EventReport;
pub(crate) use view::View;

pub(crate) const SCHEMA: &str = "
CREATE TABLE ev_meta(key TEXT PRIMARY KEY, value INT NOT NULL) WITHOUT ROWID;
CREATE TABLE ev_stream(id INTEGER PRIMARY KEY, source TEXT NOT NULL, format TEXT NOT NULL, gen INT NOT NULL);
CREATE TABLE ev_journal(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE ev_block(
  id INTEGER PRIMARY KEY, stream INT NOT NULL, rows INT NOT NULL, raw_bytes INT NOT NULL,
  disk_bytes INT NOT NULL, first_time INT NOT NULL, last_time INT NOT NULL, first_seq INT NOT NULL,
  last_seq INT NOT NULL, severities INT NOT NULL, filter_rows INT NOT NULL, summary BLOB NOT NULL);
CREATE INDEX ev_block_age ON ev_block(last_time, stream, disk_bytes, rows);
CREATE INDEX ev_block_stream ON ev_block(stream, id, rows, raw_bytes);
CREATE TABLE ev_seg(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE ev_filter(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE ev_count(unit INT, start INT, stream INT, data BLOB NOT NULL,
  PRIMARY KEY(unit, start, stream)) WITHOUT ROWID;
";

/// A block has fewer filter rows than this.
const FILTER_CHUNKS_MAX: i64 = 256;

/// Why a block cannot be read.
#[derive(Debug)]
enum Fault {
    /// Its bytes are not what was written.
    Damaged,
    /// SQLite said no.
    Store(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Store(e)
    }
}

/// The row of a stream's nth journal entry: a stream's rows lie together, in order.
fn journal_id(stream: i64, n: i64) -> i64 {
    (stream << 32) + n
}

/// The key of the store's word filters.
fn key(conn: &Connection) -> Result<Option<u64>> {
    let mut stmt = conn.prepare_cached("SELECT value FROM ev_meta WHERE key = 'filter key'")?;
    let key: Option<i64> = stmt.query_row([], |r| r.get(0)).optional()?;
    Ok(key.map(i64::cast_unsigned))
}

fn write_key(conn: &Connection, key: u64) -> Result<()> {
    conn.execute(
        "INSERT OR REPLACE INTO ev_meta VALUES ('filter key', ?1)",
        [key.cast_signed()],
    )?;
    Ok(())
}

/// A key that senders of lines cannot guess.
fn new_key() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
