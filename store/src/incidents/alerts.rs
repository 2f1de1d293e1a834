//! The table of alerts.

use rusqlite::{Connection, Row, params};
use vigie_parsers::Timestamp;

use super::{Alert, AlertState, Frozen, IncidentId, cut, pairs};
use crate::{Reader, Result, State};

const COLUMNS: &str = "rule, labels, state, active_at, fired_at, clear_since, resolved_at, \
    written_at, value, annotations, frozen_since, frozen_reason, incident";

impl State<'_> {
    /// Writes an alert: the row of its active episode, or a new one. A resolved alert stays as the
    /// record of its incident and replaces the one of an earlier episode there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_alert(&mut self, alert: &Alert) -> Result<()> {
        let labels = pairs::from_labels(&alert.labels);
        let annotations = alert.annotations.iter();
        let annotations = pairs::encode(annotations.map(|(n, v)| (n.as_str(), cut(v))));
        if let Some(incident) = alert.incident {
            let sql = "DELETE FROM alert WHERE incident = ?1 AND rule = ?2 AND labels = ?3 \
                       AND state = 2";
            self.tx
                .prepare_cached(sql)?
                .execute(params![row_id(incident), alert.rule, labels])?;
        }
        let update = "UPDATE alert SET state=?3, active_at=?4, fired_at=?5, clear_since=?6, \
            resolved_at=?7, written_at=?8, value=?9, annotations=?10, frozen_since=?11, \
            frozen_reason=?12, incident=?13 WHERE rule=?1 AND labels=?2 AND state < 2";
        let insert = format!(
            "INSERT INTO alert({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"
        );
        let values = params![
            alert.rule,
            labels,
            alert.state as u8,
            alert.active_at.0,
            alert.fired_at.map(|t| t.0),
            alert.clear_since.map(|t| t.0),
            alert.resolved_at.map(|t| t.0),
            alert.written_at.0,
            alert.value,
            annotations,
            alert.frozen.as_ref().map(|f| f.since.0),
            alert.frozen.as_ref().map(|f| cut(&f.reason)),
            alert.incident.map(row_id),
        ];
        if self.tx.prepare_cached(update)?.execute(values)? == 0 {
            self.tx.prepare_cached(&insert)?.execute(values)?;
        }
        Ok(())
    }

    /// Forgets a pending alert whose condition is over before it fired.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn drop_pending(&mut self, rule: &str, labels: &vigie_query::Labels) -> Result<()> {
        self.tx
            .prepare_cached("DELETE FROM alert WHERE rule = ?1 AND labels = ?2 AND state = 0")?
            .execute(params![rule, pairs::from_labels(labels)])?;
        Ok(())
    }

    /// Whether an alert of this rule and these labels is pending or firing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_active_alert(&self, alert: &Alert) -> Result<bool> {
        let sql = "SELECT 1 FROM alert WHERE rule = ?1 AND labels = ?2 AND state < 2";
        let labels = pairs::from_labels(&alert.labels);
        Ok(self
            .tx
            .prepare_cached(sql)?
            .exists(params![alert.rule, labels])?)
    }

    /// The alerts of an incident, as [`Reader::incident_alerts`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn incident_alerts(&self, id: IncidentId) -> Result<Vec<Alert>> {
        of_incident(self.tx, id)
    }
}

impl Reader {
    /// The alerts that are pending or firing, by rule and labels.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn active_alerts(&self) -> Result<Vec<Alert>> {
        let sql = format!("SELECT {COLUMNS} FROM alert WHERE state < 2 ORDER BY rule, labels");
        let mut stmt = self.conn().prepare_cached(&sql)?;
        let rows = stmt.query_map([], alert_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The alerts of an incident, those that fire first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn incident_alerts(&self, id: IncidentId) -> Result<Vec<Alert>> {
        of_incident(self.conn(), id)
    }
}

fn of_incident(conn: &Connection, id: IncidentId) -> Result<Vec<Alert>> {
    let sql = format!("SELECT {COLUMNS} FROM alert WHERE incident = ?1 ORDER BY state, fired_at");
    let mut stmt = conn.prepare_cached(&sql)?;
    let rows = stmt.query_map([row_id(id)], alert_of)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn alert_of(row: &Row<'_>) -> rusqlite::Result<Alert> {
    let time = |i| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(i)?.map(Timestamp));
    let frozen = match (time(10)?, row.get(11)?) {
        (Some(since), Some(reason)) => Some(Frozen { since, reason }),
        _ => None,
    };
    Ok(Alert {
        rule: row.get(0)?,
        labels: pairs::to_labels(row.get_ref(1)?.as_str()?),
        state: AlertState::from_rank(row.get(2)?).unwrap_or(AlertState::Resolved),
        active_at: Timestamp(row.get(3)?),
        fired_at: time(4)?,
        clear_since: time(5)?,
        resolved_at: time(6)?,
        written_at: Timestamp(row.get(7)?),
        // SQLite keeps NaN as NULL.
        value: row.get::<_, Option<f64>>(8)?.unwrap_or(f64::NAN),
        annotations: pairs::decode(row.get_ref(9)?.as_str()?),
        frozen,
        incident: row.get::<_, Option<i64>>(12)?.map(number),
    })
}

/// An incident's number as SQLite keeps it; its numbers are positive 63-bit integers.
pub(super) fn row_id(id: IncidentId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

/// The number of a row.
pub(super) fn number(row: i64) -> IncidentId {
    IncidentId(row.unsigned_abs())
}
