//! The journal read again: by the writer at its start, by readers at each query.

use std::sync::Arc;

use rusqlite::Connection;

use super::journal_id;
use super::table::Table;
use crate::Result;

/// The open block of a stream as far as its journal was read.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub table: Arc<Table>,
    /// Which journal of the stream this is.
    pub generation: i64,
    /// Journal rows read.
    pub rows: u32,
    /// The number of the last one.
    pub last: i64,
    /// The number of a damaged row; nothing from there on is read.
    damaged: Option<i64>,
}

enum Step {
    Done,
    /// Begin anew, up to a damaged row if there is one.
    Again(Option<i64>),
}

impl Replayed {
    /// Reads what is new in the journal; whether it is damaged. Starts anew when the journal did, or
    /// when the connection's snapshot is older than what was read.
    pub(super) fn catch_up(
        &mut self,
        conn: &Connection,
        stream: i64,
        generation: i64,
        source: &str,
    ) -> Result<bool> {
        if self.generation != generation {
            self.restart(generation, None);
        }
        while let Step::Again(damaged) = self.read(conn, stream, source)? {
            self.restart(generation, damaged);
        }
        Ok(self.damaged.is_some())
    }

    fn restart(&mut self, generation: i64, damaged: Option<i64>) {
        *self = Self {
            generation,
            damaged,
            ..Self::default()
        };
    }

    fn read(&mut self, conn: &Connection, stream: i64, source: &str) -> Result<Step> {
        let mut stmt = conn.prepare_cached(
            "SELECT id, data FROM ev_journal WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
        )?;
        let end = journal_id(stream + 1, 0) - 1;
        let mut rows = stmt.query([journal_id(stream, self.last), end])?;
        if self.rows > 0 {
            // The last row read comes first; else this snapshot is older, or the journal is another.
            let first = rows.next()?.map(|row| row.get(0)).transpose()?;
            if first != Some(journal_id(stream, self.last)) {
                return Ok(Step::Again(self.damaged));
            }
        }
        let mut changed = false;
        while let Some(row) = rows.next()? {
            let number = row.get::<_, i64>(0)? - journal_id(stream, 0);
            if self.damaged.is_some_and(|bad| bad <= number) {
                break;
            }
            let data = row.get_ref(1)?.as_blob().unwrap_or_default();
            if Arc::make_mut(&mut self.table).apply(data, source).is_none() {
                return Ok(Step::Again(Some(number)));
            }
            changed = true;
            self.rows += 1;
            self.last = number;
        }
        if changed && !self.table.is_whole() {
            // Every row's sum was right, so this was written wrongly: nothing of it can be trusted.
            self.table = Arc::default();
            self.damaged = Some(0);
        }
        Ok(Step::Done)
    }
}
