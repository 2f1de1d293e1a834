//! The table of changes.

use rusqlite::params;
use vigie_parsers::Timestamp;

use super::{AGE_MAX_MS, CHANGES_MAX, Change, ChangeKind, cut, pairs};
use crate::{Reader, Result, State};

impl State<'_> {
    /// Writes a change down, and forgets those beyond the limits of age and number.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add_change(&mut self, change: &Change) -> Result<()> {
        self.tx
            .prepare_cached("INSERT INTO change(at, kind, text, labels) VALUES (?1,?2,?3,?4)")?
            .execute(params![
                change.at.0,
                change.kind.as_str(),
                cut(&change.text),
                pairs::from_labels(&change.labels),
            ])?;
        self.forget_changes(change.at.plus_ms(-AGE_MAX_MS), CHANGES_MAX)
    }

    pub(super) fn forget_changes(&mut self, before: Timestamp, max: usize) -> Result<()> {
        // The count walks the smallest index: once for each change, of which there are few.
        let count: i64 = self
            .tx
            .prepare_cached("SELECT count(*) FROM change")?
            .query_row([], |r| r.get(0))?;
        let surplus = count.saturating_sub(i64::try_from(max).unwrap_or(i64::MAX));
        let sql = "DELETE FROM change WHERE at < ?1 OR id IN \
                   (SELECT id FROM change ORDER BY at, id LIMIT max(?2, 0))";
        self.tx
            .prepare_cached(sql)?
            .execute(params![before.0, surplus])?;
        Ok(())
    }
}

impl Reader {
    /// The changes from `from` (included) to `until` (excluded), oldest first, at most `limit` of
    /// the newest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn changes(&self, from: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Change>> {
        let sql = "SELECT at, kind, text, labels FROM change WHERE at >= ?1 AND at < ?2 \
                   ORDER BY at DESC, id DESC LIMIT ?3";
        let mut stmt = self.conn().prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = stmt.query_map(params![from.0, until.0, limit], |row| {
            Ok(Change {
                at: Timestamp(row.get(0)?),
                kind: ChangeKind::from_word(row.get_ref(1)?.as_str()?).unwrap_or(ChangeKind::Note),
                text: row.get(2)?,
                labels: pairs::to_labels(row.get_ref(3)?.as_str()?),
            })
        })?;
        let mut changes: Vec<Change> = rows.collect::<rusqlite::Result<_>>()?;
        changes.reverse();
        Ok(changes)
    }
}
