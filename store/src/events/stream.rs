//! A stream on the writer's side: its open block, the journal of it, and sealed blocks on their way.

use std::sync::Arc;

use rusqlite::{Transaction, params};
use vigie_parsers::Timestamp;

use super::encode::{SEGMENTS_MAX, Sealed, seal};
use super::evict::{Limits, Room};
use super::open::OpenBlock;
use super::rebuild::{Open, StreamName};
use super::{FILTER_CHUNKS_MAX, counts, journal_id, patterns};
use crate::Result;

/// A stream's journal rows are merged into one when there are more…
const JOURNAL_ROWS_MAX: u32 = 64;
/// … and its block takes less memory than this: larger ones are sealed before it matters.
const JOURNAL_MERGE_BYTES_MAX: usize = 1 << 20;

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub id: i64,
    pub name: Arc<StreamName>,
    /// Its row is in the file.
    pub known: bool,
    pub open: OpenBlock,
    /// Sealed blocks that wait for a commit.
    pub sealed: Vec<Sealed>,
    /// The number of the open block's journal: raised when the journal begins anew.
    pub generation: i64,
    /// Journal rows written, and the number of the last one.
    pub journal_rows: u32,
    pub journal_last: i64,
    /// When the first row of the open block was taken, by the time of the commit.
    pub since: Option<Timestamp>,
    /// When a line came last, by the count of batches.
    pub used: u64,
    pub dirty: bool,
    plan: Plan,
}

/// What the running transaction makes true for a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    generation: i64,
    journal_rows: u32,
    journal_last: i64,
}

impl Stream {
    pub(super) fn new(id: i64, name: Arc<StreamName>, open: OpenBlock) -> Self {
        Self {
            id,
            name,
            known: false,
            open,
            sealed: Vec::new(),
            generation: 0,
            journal_rows: 0,
            journal_last: 0,
            since: None,
            used: 0,
            dirty: false,
            plan: Plan::default(),
        }
    }

    /// Seals the open block and begins a new one. The sealed bytes wait for a commit.
    pub(super) fn rotate(&mut self, key: u64) {
        let full = std::mem::replace(&mut self.open, OpenBlock::new(key));
        let open = Open {
            table: Arc::new(full.table),
            place: Arc::clone(&self.name),
        };
        let mut sealed = seal(&open.table, key, &self.name);
        // A table in memory has all its columns.
        sealed.patterns = patterns::of(&open).unwrap_or_default();
        self.sealed.push(sealed);
        self.since = None;
        self.dirty = true;
    }

    pub(super) fn write(
        &mut self,
        tx: &Transaction<'_>,
        next_block: &mut i64,
        room: &mut Option<Room>,
        limits: Limits,
    ) -> Result<()> {
        self.plan = Plan {
            generation: self.generation,
            journal_rows: self.journal_rows,
            journal_last: self.journal_last,
        };
        if !self.known {
            tx.prepare_cached("INSERT OR REPLACE INTO ev_stream VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![self.id, self.name.source, &*self.name.format, 0])?;
        }
        let anew = !self.sealed.is_empty();
        for sealed in &self.sealed {
            let room = match room {
                Some(room) => room,
                None => room.insert(Room::load(tx, limits)?),
            };
            room.make(tx, sealed.disk_bytes)?;
            room.add(*next_block, self.id, sealed);
            write_block(tx, self.id, *next_block, sealed)?;
            counts::add(tx, self.id, &sealed.counts)?;
            patterns::add(tx, self.id, &sealed.patterns)?;
            *next_block += 1;
        }
        let merge = self.plan.journal_rows >= JOURNAL_ROWS_MAX
            && self.open.memory < JOURNAL_MERGE_BYTES_MAX;
        let marks = if anew || merge {
            self.begin_journal(tx)?;
            &Default::default()
        } else {
            &self.open.marks
        };
        if self.open.table.len() > marks.rows() {
            self.plan.journal_last += 1;
            self.plan.journal_rows += 1;
            let data = self.open.table.delta(marks);
            tx.prepare_cached("INSERT INTO ev_journal VALUES (?1, ?2)")?
                .execute(params![journal_id(self.id, self.plan.journal_last), data])?;
        }
        Ok(())
    }

    /// Drops the journal: what it holds is sealed, or is written again in one row.
    fn begin_journal(&mut self, tx: &Transaction<'_>) -> Result<()> {
        tx.prepare_cached("DELETE FROM ev_journal WHERE id BETWEEN ?1 AND ?2")?
            .execute([journal_id(self.id, 0), journal_id(self.id + 1, 0) - 1])?;
        self.plan.generation += 1;
        self.plan.journal_rows = 0;
        self.plan.journal_last = 0;
        tx.prepare_cached("UPDATE ev_stream SET gen = ?2 WHERE id = ?1")?
            .execute([self.id, self.plan.generation])?;
        Ok(())
    }

    pub(super) fn committed(&mut self) {
        self.known = true;
        self.sealed.clear();
        self.generation = self.plan.generation;
        self.journal_rows = self.plan.journal_rows;
        self.journal_last = self.plan.journal_last;
        self.open.marks = self.open.table.marks();
        self.dirty = false;
    }
}

pub(super) fn write_block(
    tx: &Transaction<'_>,
    stream: i64,
    block: i64,
    sealed: &Sealed,
) -> Result<()> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    tx.prepare_cached(
        "INSERT INTO ev_block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        block,
        stream,
        count(sealed.rows),
        count(sealed.raw_bytes),
        count(sealed.disk_bytes),
        sealed.first_time,
        sealed.last_time,
        sealed.first_seq,
        sealed.last_seq,
        sealed.severities,
        count(sealed.filter.len() as u64),
        sealed.summary,
    ])?;
    let mut insert = tx.prepare_cached("INSERT INTO ev_seg VALUES (?1, ?2)")?;
    for (number, segment) in (0..SEGMENTS_MAX).zip(&sealed.segments) {
        insert.execute(params![block * SEGMENTS_MAX + number, segment])?;
    }
    let mut insert = tx.prepare_cached("INSERT INTO ev_filter VALUES (?1, ?2)")?;
    for (number, row) in (0..FILTER_CHUNKS_MAX).zip(&sealed.filter) {
        insert.execute(params![block * FILTER_CHUNKS_MAX + number, row])?;
    }
    Ok(())
}
