//! The budget: the oldest blocks go, inside the transaction that brings new ones.
//!
//! Every stream keeps a share whatever the others bring: half of the budget is divided evenly, and
//! blocks of streams that are within their part of it stay as long as others have more.

use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::FILTER_CHUNKS_MAX;
use super::encode::SEGMENTS_MAX;
use crate::{Options, Result};

/// Counts the rows that the budget pushed out.
const EVICTED_ROWS: &str = "evicted rows";

/// The highest number of a line that went.
const LAST_NUMBER: &str = "last number";

/// What events may occupy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Blocks and journal.
    events: u64,
    /// The whole file.
    file: u64,
}

/// A block on disk.
#[derive(Clone, Copy, Debug)]
struct Stored {
    last_time: i64,
    id: i64,
    stream: i64,
    bytes: u64,
    rows: i64,
}

/// What blocks occupy, while a transaction makes room.
#[derive(Debug)]
pub(super) struct Room {
    limits: Limits,
    /// The oldest comes last.
    blocks: Vec<Stored>,
    by_stream: HashMap<i64, u64>,
    total: u64,
    evicted_rows: i64,
}

impl Limits {
    pub(super) fn new(options: &Options) -> Self {
        let reserve = crate::file::wal_reserve(options.budget_bytes);
        let file = options.budget_bytes.saturating_sub(reserve);
        Self {
            events: file
                .saturating_sub(options.series_bytes)
                .max(options.budget_bytes / 8),
            file,
        }
    }

    /// What open blocks may occupy in memory, and with it in the journal.
    pub(super) fn open_bytes(self) -> usize {
        usize::try_from(self.events / 4).unwrap_or(usize::MAX)
    }

    /// Whether the file would pass its limit with `more` bytes.
    pub(super) fn is_passed(self, conn: &Connection, more: u64) -> Result<bool> {
        Ok(used(conn)?.saturating_add(more) > self.file)
    }
}

/// Bytes of pages in use.
fn used(conn: &Connection) -> Result<u64> {
    // At every commit: prepared once.
    let pragma = |sql: &str| -> Result<u64> {
        let n: i64 = conn.prepare_cached(sql)?.query_row([], |r| r.get(0))?;
        Ok(u64::try_from(n).unwrap_or(0))
    };
    let free = pragma("PRAGMA freelist_count")?;
    let pages = pragma("PRAGMA page_count")?.saturating_sub(free);
    Ok(pages * pragma("PRAGMA page_size")?)
}

impl Room {
    pub(super) fn load(conn: &Connection, limits: Limits) -> Result<Self> {
        let mut room = Self {
            limits,
            blocks: Vec::new(),
            by_stream: HashMap::default(),
            total: 0,
            evicted_rows: 0,
        };
        let mut stmt = conn.prepare_cached(
            "SELECT last_time, id, stream, disk_bytes, rows FROM ev_block ORDER BY last_time DESC",
        )?;
        let mut rows = stmt.query([])?;
        while let Some(row) = rows.next()? {
            let block = Stored {
                last_time: row.get(0)?,
                id: row.get(1)?,
                stream: row.get(2)?,
                bytes: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                rows: row.get(4)?,
            };
            room.total += block.bytes;
            *room.by_stream.entry(block.stream).or_default() += block.bytes;
            room.blocks.push(block);
        }
        Ok(room)
    }

    /// Lets the oldest blocks go until `more` bytes fit.
    pub(super) fn make(&mut self, tx: &Transaction<'_>, more: u64) -> Result<()> {
        while self.total.saturating_add(more) > self.limits.events
            || self.limits.is_passed(tx, more)?
        {
            let Some(block) = self.next_out() else {
                break;
            };
            delete(tx, block.id)?;
            self.total -= block.bytes;
            self.evicted_rows += block.rows;
            if let Some(bytes) = self.by_stream.get_mut(&block.stream) {
                *bytes -= block.bytes;
            }
        }
        Ok(())
    }

    /// The oldest block of a stream above its share; the oldest of all if none is.
    fn next_out(&mut self) -> Option<Stored> {
        let share = self.limits.events / 2 / (self.by_stream.len() as u64).max(1);
        let above = |b: &Stored| self.by_stream.get(&b.stream).is_some_and(|&n| n > share);
        let at = self.blocks.iter().rposition(above);
        let at = at.or(self.blocks.len().checked_sub(1))?;
        Some(self.blocks.remove(at))
    }

    /// Counts a block that was written.
    pub(super) fn add(&mut self, id: i64, stream: i64, sealed: &super::encode::Sealed) {
        let block = Stored {
            last_time: sealed.last_time,
            id,
            stream,
            bytes: sealed.disk_bytes,
            rows: i64::try_from(sealed.rows).unwrap_or(0),
        };
        self.total += block.bytes;
        *self.by_stream.entry(stream).or_default() += block.bytes;
        let at = self
            .blocks
            .partition_point(|b| b.last_time > block.last_time);
        self.blocks.insert(at, block);
    }

    /// Writes down how much went.
    pub(super) fn finish(self, tx: &Transaction<'_>) -> Result<()> {
        if self.evicted_rows > 0 {
            tx.execute(
                "INSERT INTO ev_meta VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = value + ?2",
                (EVICTED_ROWS, self.evicted_rows),
            )?;
        }
        Ok(())
    }
}

/// Deletes a block. The number of its last line is never given again: whoever forwards lines goes by
/// numbers, also when the newest line of all was the first to go.
pub(super) fn delete(tx: &Transaction<'_>, id: i64) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO ev_meta SELECT ?1, last_seq FROM ev_block WHERE id = ?2
         ON CONFLICT(key) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute((LAST_NUMBER, id))?;
    tx.prepare_cached("DELETE FROM ev_block WHERE id = ?1")?
        .execute([id])?;
    let first = id * SEGMENTS_MAX;
    tx.prepare_cached("DELETE FROM ev_seg WHERE id BETWEEN ?1 AND ?2")?
        .execute([first, first + SEGMENTS_MAX - 1])?;
    let first = id * FILTER_CHUNKS_MAX;
    tx.prepare_cached("DELETE FROM ev_filter WHERE id BETWEEN ?1 AND ?2")?
        .execute([first, first + FILTER_CHUNKS_MAX - 1])?;
    Ok(())
}

/// How many rows the budget has pushed out so far.
pub(super) fn evicted_rows(conn: &Connection) -> Result<u64> {
    let mut stmt = conn.prepare_cached("SELECT value FROM ev_meta WHERE key = ?1")?;
    let rows: Option<i64> = stmt.query_row([EVICTED_ROWS], |r| r.get(0)).optional()?;
    Ok(rows.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

/// The highest number that a line of a block has or had.
pub(super) fn last_number(conn: &Connection) -> Result<i64> {
    let mut stmt = conn.prepare_cached(
        "SELECT max(coalesce((SELECT max(last_seq) FROM ev_block), 0),
                    coalesce((SELECT value FROM ev_meta WHERE key = ?1), 0))",
    )?;
    Ok(stmt.query_row([LAST_NUMBER], |r| r.get(0))?)
}
