//! The tables of incidents and of their time lines.

use rusqlite::{Connection, OptionalExtension, Row, params};
use vigie_parsers::Timestamp;

use super::alerts::{number, row_id};
use super::{
    AGE_MAX_MS, Acknowledgement, ENTRIES_MAX, Entry, Incident, IncidentFilter, IncidentId,
    IncidentState, NewEntry, NewIncident, RESOLVED_MAX, Resolution, Severity, What, cut, pairs,
};
use crate::{Reader, Result, State};

const COLUMNS: &str = "id, key, title, severity, labels, onset, opened, ack_at, ack_by, ack_note, \
    resolved_at, resolved_by, resolved_reason, reopened, reopened_at, entries, \
    (SELECT count(*) FROM alert a WHERE a.incident = incident.id AND a.state = 1), \
    (SELECT count(frozen_since) FROM alert a WHERE a.incident = incident.id AND a.state = 1)";

impl State<'_> {
    /// Opens an incident; its number is larger than any before.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn open_incident(&mut self, new: &NewIncident) -> Result<IncidentId> {
        let sql = "INSERT INTO incident(key, title, severity, labels, onset, opened, reopened, \
                   entries) VALUES (?1,?2,?3,?4,?5,?6,0,0)";
        self.tx.prepare_cached(sql)?.execute(params![
            cut(&new.key),
            cut(&new.title),
            new.severity as u8,
            pairs::from_labels(&new.labels),
            new.onset.0,
            new.opened.0,
        ])?;
        Ok(number(self.tx.last_insert_rowid()))
    }

    /// The incident of that number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn incident(&self, id: IncidentId) -> Result<Option<Incident>> {
        incident(self.tx, id)
    }

    /// The newest incident of a key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn latest_incident(&self, key: &str) -> Result<Option<Incident>> {
        let sql = format!("SELECT {COLUMNS} FROM incident WHERE key = ?1 ORDER BY id DESC LIMIT 1");
        let mut stmt = self.tx.prepare_cached(&sql)?;
        Ok(stmt.query_row([cut(key)], incident_of).optional()?)
    }

    /// Raises (or lowers) an incident's severity.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_severity(&mut self, id: IncidentId, severity: Severity) -> Result<()> {
        self.tx
            .prepare_cached("UPDATE incident SET severity = ?2 WHERE id = ?1")?
            .execute(params![row_id(id), severity as u8])?;
        Ok(())
    }

    /// Gives an incident another title.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_title(&mut self, id: IncidentId, title: &str) -> Result<()> {
        self.tx
            .prepare_cached("UPDATE incident SET title = ?2 WHERE id = ?1")?
            .execute(params![row_id(id), cut(title)])?;
        Ok(())
    }

    /// Narrows the labels of an incident to what its alerts have in common.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_incident_labels(
        &mut self,
        id: IncidentId,
        labels: &vigie_query::Labels,
    ) -> Result<()> {
        self.tx
            .prepare_cached("UPDATE incident SET labels = ?2 WHERE id = ?1")?
            .execute(params![row_id(id), pairs::from_labels(labels)])?;
        Ok(())
    }

    /// Notes who has an incident in hand; `None` takes it back.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_acknowledged(
        &mut self,
        id: IncidentId,
        ack: Option<&Acknowledgement>,
    ) -> Result<()> {
        self.tx
            .prepare_cached("UPDATE incident SET ack_at=?2, ack_by=?3, ack_note=?4 WHERE id=?1")?
            .execute(params![
                row_id(id),
                ack.map(|a| a.at.0),
                ack.map(|a| cut(&a.by)),
                ack.map(|a| cut(&a.note)),
            ])?;
        Ok(())
    }

    /// Closes an incident.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_resolved(&mut self, id: IncidentId, how: &Resolution) -> Result<()> {
        let sql = "UPDATE incident SET resolved_at=?2, resolved_by=?3, resolved_reason=?4 \
                   WHERE id=?1";
        self.tx.prepare_cached(sql)?.execute(params![
            row_id(id),
            how.at.0,
            how.by.as_deref().map(cut),
            cut(&how.reason),
        ])?;
        Ok(())
    }

    /// Opens a resolved incident again: nobody has it in hand now.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn reopen_incident(&mut self, id: IncidentId, at: Timestamp) -> Result<()> {
        let sql = "UPDATE incident SET resolved_at=NULL, resolved_by=NULL, resolved_reason=NULL, \
                   ack_at=NULL, ack_by=NULL, ack_note=NULL, reopened=reopened+1, reopened_at=?2 \
                   WHERE id=?1";
        self.tx
            .prepare_cached(sql)?
            .execute(params![row_id(id), at.0])?;
        Ok(())
    }

    /// Appends to the time line of an incident. Beyond [`ENTRIES_MAX`] an entry is only counted.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn append_entry(&mut self, id: IncidentId, entry: &NewEntry<'_>) -> Result<()> {
        let sql = "UPDATE incident SET entries = entries + 1 WHERE id = ?1 RETURNING entries";
        let mut count = self.tx.prepare_cached(sql)?;
        let seq: Option<u32> = count.query_row([row_id(id)], |r| r.get(0)).optional()?;
        let Some(seq) = seq.filter(|&seq| seq <= ENTRIES_MAX) else {
            return Ok(());
        };
        self.tx
            .prepare_cached("INSERT INTO timeline VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")?
            .execute(params![
                row_id(id),
                seq,
                entry.at.0,
                cut(entry.who),
                entry.what.as_str(),
                entry.from as u8,
                entry.to as u8,
                entry.alert.map(|a| pairs::from_labels(&a.labels)),
                entry.alert.map(|a| a.value),
                cut(entry.reason),
            ])?;
        Ok(())
    }

    /// Forgets resolved incidents beyond the limits of age and number, the oldest first, with their
    /// alerts and time lines, and changes likewise. Gives how many incidents were forgotten.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget_old_incidents(&mut self, now: Timestamp) -> Result<usize> {
        self.forget_incidents(now.plus_ms(-AGE_MAX_MS), RESOLVED_MAX)
    }

    pub(super) fn forget_incidents(&mut self, before: Timestamp, max: usize) -> Result<usize> {
        let old = "SELECT id FROM incident WHERE resolved_at < ?1 UNION \
            SELECT id FROM (SELECT id FROM incident WHERE resolved_at IS NOT NULL \
            ORDER BY resolved_at DESC, id DESC LIMIT -1 OFFSET ?2)";
        let mut stmt = self.tx.prepare_cached(old)?;
        let keep = i64::try_from(max).unwrap_or(i64::MAX);
        let ids = stmt.query_map(params![before.0, keep], |r| r.get::<_, i64>(0))?;
        let ids: Vec<i64> = ids.collect::<rusqlite::Result<_>>()?;
        for id in &ids {
            for sql in [
                "DELETE FROM timeline WHERE incident = ?1",
                "DELETE FROM alert WHERE incident = ?1 AND state = 2",
                // One resolved by hand may still have alerts that fire.
                "UPDATE alert SET incident = NULL WHERE incident = ?1",
                "DELETE FROM incident WHERE id = ?1",
            ] {
                self.tx.prepare_cached(sql)?.execute([id])?;
            }
        }
        Ok(ids.len())
    }
}

impl Reader {
    /// The incidents that pass the filter, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM incident WHERE (?1 = 0 OR resolved_at IS NULL) \
             AND (?2 IS NULL OR resolved_at IS NULL OR resolved_at >= ?2) \
             AND (?3 IS NULL OR opened < ?3) AND (?4 IS NULL OR id < ?4) \
             ORDER BY id DESC LIMIT ?5"
        );
        let mut stmt = self.conn().prepare_cached(&sql)?;
        let rows = stmt.query_map(
            params![
                filter.unresolved,
                filter.since.map(|t| t.0),
                filter.until.map(|t| t.0),
                filter.before.map(row_id),
                i64::try_from(filter.limit).unwrap_or(i64::MAX),
            ],
            incident_of,
        )?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The incident of that number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn incident(&self, id: IncidentId) -> Result<Option<Incident>> {
        incident(self.conn(), id)
    }

    /// The time line of an incident, in its order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn timeline(&self, id: IncidentId) -> Result<Vec<Entry>> {
        let sql = "SELECT seq, at, who, what, from_state, to_state, alert, value, reason \
                   FROM timeline WHERE incident = ?1 ORDER BY seq";
        let mut stmt = self.conn().prepare_cached(sql)?;
        let rows = stmt.query_map([row_id(id)], entry_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn incident(conn: &Connection, id: IncidentId) -> Result<Option<Incident>> {
    let sql = format!("SELECT {COLUMNS} FROM incident WHERE id = ?1");
    let mut stmt = conn.prepare_cached(&sql)?;
    Ok(stmt.query_row([row_id(id)], incident_of).optional()?)
}

fn incident_of(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let time = |i| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(i)?.map(Timestamp));
    let text = |i| {
        row.get::<_, Option<String>>(i)
            .map(Option::unwrap_or_default)
    };
    let acknowledged = match time(7)? {
        Some(at) => Some(Acknowledgement {
            at,
            by: text(8)?,
            note: text(9)?,
        }),
        None => None,
    };
    let resolved = match time(10)? {
        Some(at) => Some(Resolution {
            at,
            by: row.get(11)?,
            reason: text(12)?,
        }),
        None => None,
    };
    Ok(Incident {
        id: number(row.get(0)?),
        key: row.get(1)?,
        title: row.get(2)?,
        severity: Severity::from_rank(row.get(3)?).unwrap_or(Severity::Warning),
        labels: pairs::to_labels(row.get_ref(4)?.as_str()?),
        onset: Timestamp(row.get(5)?),
        opened: Timestamp(row.get(6)?),
        acknowledged,
        resolved,
        reopened: row.get(13)?,
        reopened_at: time(14)?,
        entries: row.get(15)?,
        firing: row.get(16)?,
        frozen: row.get(17)?,
    })
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let state = |i| {
        let rank = row.get::<_, i64>(i)?;
        Ok::<_, rusqlite::Error>(IncidentState::from_rank(rank).unwrap_or(IncidentState::Open))
    };
    let alert: Option<String> = row.get(6)?;
    Ok(Entry {
        seq: row.get(0)?,
        at: Timestamp(row.get(1)?),
        who: row.get(2)?,
        what: What::from_word(row.get_ref(3)?.as_str()?).unwrap_or(What::Noted),
        from: state(4)?,
        to: state(5)?,
        alert: alert.as_deref().map(pairs::to_labels),
        value: row.get(7)?,
        reason: row.get(8)?,
    })
}
