//! From transitions to the incident book: which incident an alert belongs to, and what is written
//! in its time line. Runs inside the writer's transaction: all of an evaluation, or nothing.

use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_store::incidents::{
    Alert, AlertState, Incident, IncidentId, IncidentState, NewEntry, NewIncident, Resolution, What,
};
use vigie_store::{Result, State};

use crate::lifecycle::{Step, Transition};

/// What vigie did itself is signed so.
pub const VIGIE: &str = "vigie";
/// An incident is reopened, not opened anew, when it begins again within this.
pub const REOPEN_MS: i64 = 15 * 60_000;

/// Writes transitions down, in their order.
///
/// # Errors
/// When the store cannot be read or written; nothing is then written.
pub fn apply(state: &mut State<'_>, transitions: &[Transition], now: Timestamp) -> Result<()> {
    for transition in transitions {
        let alert = &transition.alert;
        match transition.step {
            Step::Pended => state.put_alert(alert)?,
            Step::Dropped => state.drop_pending(&alert.rule, &alert.labels)?,
            Step::Fired => fired(state, alert, now)?,
            // Somebody may have closed it since it was read: then there is nothing to go on with.
            _ if !state.has_active_alert(alert)? => {}
            Step::Clearing | Step::Held | Step::Refreshed => state.put_alert(alert)?,
            Step::Frozen => told(state, transition, What::Frozen, now)?,
            Step::Thawed => told(state, transition, What::Thawed, now)?,
            Step::Resolved => resolved(state, transition, now)?,
        }
    }
    Ok(())
}

/// What an incident is called after this alert.
fn title(alert: &Alert) -> &str {
    alert.annotation("summary").unwrap_or(alert.name())
}

/// What makes alerts belong together.
fn key(alert: &Alert) -> String {
    match alert.labels.get("instance") {
        Some(instance) => format!("{}@{instance}", alert.name()),
        None => alert.name().to_owned(),
    }
}

fn fired(state: &mut State<'_>, alert: &Alert, now: Timestamp) -> Result<()> {
    let key = key(alert);
    let latest = state.latest_incident(&key)?;
    let id = match latest {
        Some(incident) if incident.resolved.is_none() => joined(state, &incident, alert, now)?,
        Some(incident) if began_again(&incident, now) => reopened(state, &incident, alert, now)?,
        _ => opened(state, key, alert, now)?,
    };
    let mut alert = alert.clone();
    alert.incident = Some(id);
    state.put_alert(&alert)?;
    note(state, id, What::Fired, Some(&alert), "", now)
}

fn began_again(incident: &Incident, now: Timestamp) -> bool {
    let resolved = incident.resolved.as_ref();
    resolved.is_some_and(|r| now.since_ms(r.at) <= REOPEN_MS)
}

fn opened(state: &mut State<'_>, key: String, alert: &Alert, now: Timestamp) -> Result<IncidentId> {
    let id = state.open_incident(&NewIncident {
        key,
        title: title(alert).to_owned(),
        severity: alert.severity(),
        labels: alert.labels.clone(),
        onset: alert.active_at,
        opened: now,
    })?;
    note(state, id, What::Opened, None, "", now)?;
    Ok(id)
}

fn joined(
    state: &mut State<'_>,
    incident: &Incident,
    alert: &Alert,
    now: Timestamp,
) -> Result<IncidentId> {
    let common = incident.labels.iter();
    let common = common.filter(|&(name, value)| alert.labels.get(name) == Some(value));
    let common = Labels::new(common);
    if common != incident.labels {
        state.set_incident_labels(incident.id, &common)?;
    }
    raise(state, incident, alert, now)?;
    Ok(incident.id)
}

fn reopened(
    state: &mut State<'_>,
    incident: &Incident,
    alert: &Alert,
    now: Timestamp,
) -> Result<IncidentId> {
    state.reopen_incident(incident.id, now)?;
    state.set_title(incident.id, title(alert))?;
    let entry = NewEntry {
        at: now,
        who: VIGIE,
        what: What::Reopened,
        from: IncidentState::Resolved,
        to: IncidentState::Open,
        alert: None,
        reason: match &incident.resolved {
            Some(Resolution { by: Some(_), .. }) => "it was resolved by hand and still holds",
            _ => "it began again",
        },
    };
    state.append_entry(incident.id, &entry)?;
    raise(state, incident, alert, now)?;
    Ok(incident.id)
}

fn raise(state: &mut State<'_>, incident: &Incident, alert: &Alert, now: Timestamp) -> Result<()> {
    let severity = alert.severity();
    if severity <= incident.severity {
        return Ok(());
    }
    state.set_severity(incident.id, severity)?;
    state.set_title(incident.id, title(alert))?;
    let reason = format!("from {} to {severity}", incident.severity);
    note(state, incident.id, What::Raised, Some(alert), &reason, now)
}

/// An alert of an incident changed, the incident did not.
fn told(state: &mut State<'_>, transition: &Transition, what: What, now: Timestamp) -> Result<()> {
    let alert = &transition.alert;
    state.put_alert(alert)?;
    match alert.incident {
        Some(id) => note(state, id, what, Some(alert), &transition.reason, now),
        None => Ok(()),
    }
}

fn resolved(state: &mut State<'_>, transition: &Transition, now: Timestamp) -> Result<()> {
    told(state, transition, What::Cleared, now)?;
    let Some(id) = transition.alert.incident else {
        return Ok(());
    };
    let Some(incident) = state.incident(id)? else {
        return Ok(());
    };
    if incident.firing > 0 || incident.resolved.is_some() {
        return Ok(());
    }
    let how = Resolution {
        at: now,
        by: None,
        reason: transition.reason.clone(),
    };
    close(state, &incident, &how, VIGIE)
}

/// Closes an incident; alerts of it that still fire end with it.
pub(crate) fn close(
    state: &mut State<'_>,
    incident: &Incident,
    how: &Resolution,
    who: &str,
) -> Result<()> {
    for mut alert in state.incident_alerts(incident.id)? {
        if alert.state == AlertState::Firing {
            alert.state = AlertState::Resolved;
            alert.resolved_at = Some(how.at);
            alert.written_at = how.at;
            alert.frozen = None;
            state.put_alert(&alert)?;
        }
    }
    state.set_resolved(incident.id, how)?;
    let entry = NewEntry {
        at: how.at,
        who,
        what: What::Resolved,
        from: incident.state(),
        to: IncidentState::Resolved,
        alert: None,
        reason: &how.reason,
    };
    state.append_entry(incident.id, &entry)
}

/// Appends an entry that leaves the incident where it stands.
fn note(
    state: &mut State<'_>,
    id: IncidentId,
    what: What,
    alert: Option<&Alert>,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    let Some(incident) = state.incident(id)? else {
        return Ok(());
    };
    let entry = NewEntry {
        at: now,
        who: VIGIE,
        what,
        from: incident.state(),
        to: incident.state(),
        alert,
        reason,
    };
    state.append_entry(id, &entry)
}
