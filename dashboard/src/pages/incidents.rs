//! The incident book: the list, and the page of one incident.

use askama::Template;
use vigie_query::log::printable;
use vigie_store::incidents::{
    Alert, Entry, Incident, IncidentFilter, IncidentId, IncidentState, What,
};

use super::PageError;
use super::parts::level;
use super::shell::{Context, Shell};
use crate::chart::time::{clock, zoned};
use crate::chart::units::{duration, significant};
use crate::html::url;
use crate::source::Source;

/// Incidents on a page of the list.
const PAGE: usize = 100;
/// Around an incident, this much before it is shown in the logs.
const BEFORE_MS: i64 = 900_000;

pub(crate) struct Item {
    level: &'static str,
    id: u64,
    title: String,
    state: &'static str,
    since: String,
    lasting: String,
    by: String,
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct IncidentsPage {
    shell: Shell,
    open: Vec<Item>,
    past: Vec<Item>,
    older: Option<u64>,
}

/// The list, newest first; `before` is the number of the last one on the page before.
pub(crate) fn incidents_page(
    source: &dyn Source,
    before: Option<u64>,
    ctx: &Context,
) -> Result<String, PageError> {
    let (shell, open) = Shell::new("/incidents", "Incidents", None, source, ctx)?;
    let all = source.incidents(&IncidentFilter {
        before: before.map(IncidentId),
        limit: PAGE,
        ..IncidentFilter::default()
    })?;
    let older = (all.len() == PAGE)
        .then(|| all.last().map(|i| i.id.0))
        .flatten();
    let item = |i: &Incident| Item {
        level: if i.resolved.is_some() {
            "off"
        } else {
            level(i).as_str()
        },
        id: i.id.0,
        title: i.title.clone(),
        state: i.state().as_str(),
        since: clock(i.onset, ctx.now, &ctx.zone),
        lasting: duration(i.duration_ms(ctx.now)),
        by: i
            .acknowledged
            .as_ref()
            .map_or(String::new(), |a| a.by.clone()),
    };
    let page = IncidentsPage {
        shell,
        open: open.iter().map(item).collect(),
        past: all
            .iter()
            .filter(|i| i.resolved.is_some())
            .map(item)
            .collect(),
        older,
    };
    Ok(page.render()?)
}

pub(crate) struct EntryRow {
    at: String,
    class: &'static str,
    words: String,
    who: String,
    reason: String,
}

pub(crate) struct AlertRow {
    level: &'static str,
    name: String,
    labels: String,
    state: &'static str,
    value: String,
    since: String,
    notes: Vec<(String, String)>,
    frozen: String,
}

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentPage {
    shell: Shell,
    id: u64,
    title: String,
    level: &'static str,
    state: &'static str,
    open: bool,
    taken: bool,
    facts: Vec<(&'static str, String)>,
    alerts: Vec<AlertRow>,
    entries: Vec<EntryRow>,
    logs: String,
    writable: bool,
}

/// The page of one incident.
pub(crate) fn incident_page(
    source: &dyn Source,
    id: u64,
    ctx: &Context,
) -> Result<String, PageError> {
    let (mut shell, _) = Shell::new("/incidents", "Incidents", None, source, ctx)?;
    let id = IncidentId(id);
    let Some(incident) = source.incident(id)? else {
        return Err(PageError::NotFound(format!("There is no {id}.")));
    };
    shell.title = format!("{id} {}", incident.title);
    shell.crumbs = vec![
        ("Incidents".to_owned(), "/incidents".to_owned()),
        (id.to_string(), String::new()),
    ];
    let until = incident
        .resolved
        .as_ref()
        .map_or(ctx.now, |r| r.at)
        .plus_ms(60_000);
    let from = incident.onset.plus_ms(-BEFORE_MS);
    let alerts = source.alerts(id)?;
    let page = IncidentPage {
        shell,
        id: id.0,
        title: incident.title.clone(),
        level: if incident.resolved.is_some() {
            "ok"
        } else {
            level(&incident).as_str()
        },
        state: incident.state().as_str(),
        open: incident.state() != IncidentState::Resolved,
        taken: incident.acknowledged.is_some(),
        facts: facts(&incident, ctx),
        alerts: alerts.iter().map(|a| alert_row(a, ctx)).collect(),
        entries: source
            .timeline(id)?
            .iter()
            .map(|e| entry_row(e, ctx))
            .collect(),
        logs: format!(
            "/logs?q={}&from={}&to={}",
            url("level>=warn"),
            from.0.div_euclid(1000),
            until.0.div_euclid(1000)
        ),
        writable: ctx.health.is_some(),
    };
    Ok(page.render()?)
}

fn facts(i: &Incident, ctx: &Context) -> Vec<(&'static str, String)> {
    let at = |t| {
        zoned(t, &ctx.zone)
            .strftime("%a %-d %b %H:%M:%S")
            .to_string()
    };
    let mut out = vec![
        ("Severity", i.severity.as_str().to_owned()),
        ("Onset", at(i.onset)),
        (
            "Opened",
            format!(
                "{}, after {}",
                at(i.opened),
                duration(i.opened.since_ms(i.onset))
            ),
        ),
        (
            if i.resolved.is_some() {
                "Lasted"
            } else {
                "Lasting"
            },
            duration(i.duration_ms(ctx.now)),
        ),
        ("Alerts firing", i.firing.to_string()),
    ];
    if let Some(a) = &i.acknowledged {
        out.push((
            "Taken by",
            format!("{}, {}", a.by, clock(a.at, ctx.now, &ctx.zone)),
        ));
    }
    if let Some(r) = &i.resolved {
        let by = r.by.as_deref().unwrap_or("itself");
        out.push(("Resolved by", format!("{by}, {}", at(r.at))));
    }
    if i.reopened > 0 {
        out.push(("Reopened", format!("{} times", i.reopened)));
    }
    out
}

fn alert_row(a: &Alert, ctx: &Context) -> AlertRow {
    let labels: Vec<String> = a
        .labels
        .iter()
        .filter(|(n, _)| *n != "alertname" && *n != "severity")
        .map(|(n, v)| format!("{n}={}", printable(v.as_bytes())))
        .collect();
    AlertRow {
        level: match a.state {
            vigie_store::incidents::AlertState::Firing => "crit",
            vigie_store::incidents::AlertState::Pending => "warn",
            vigie_store::incidents::AlertState::Resolved => "ok",
        },
        name: a.name().to_owned(),
        labels: labels.join(" "),
        state: a.state.as_str(),
        value: significant(a.value),
        since: clock(a.active_at, ctx.now, &ctx.zone),
        notes: a
            .annotations
            .iter()
            .map(|(n, v)| (n.clone(), printable(v.as_bytes()).into_owned()))
            .collect(),
        frozen: a
            .frozen
            .as_ref()
            .map_or(String::new(), |f| f.reason.clone()),
    }
}

fn entry_row(e: &Entry, ctx: &Context) -> EntryRow {
    let name = e
        .alert
        .as_ref()
        .and_then(|l| l.get("alertname"))
        .unwrap_or("an alert");
    let value = e
        .value
        .map_or(String::new(), |v| format!(", at {}", significant(v)));
    let words = match e.what {
        What::Opened => "Incident opened".to_owned(),
        What::Reopened => "Reopened".to_owned(),
        What::Fired => format!("{name} fires{value}"),
        What::Cleared => format!("{name} is over{value}"),
        What::Frozen => format!("{name} cannot be judged"),
        What::Thawed => format!("{name} can be judged again"),
        What::Raised => "Severity raised".to_owned(),
        What::Acknowledged => "Acknowledged".to_owned(),
        What::Resolved => "Resolved".to_owned(),
        What::Noted => "Note".to_owned(),
    };
    EntryRow {
        at: zoned(e.at, &ctx.zone).strftime("%H:%M:%S").to_string(),
        class: match e.what {
            What::Opened | What::Fired | What::Reopened | What::Raised => "crit",
            What::Resolved | What::Cleared => "ok",
            _ => "",
        },
        words,
        who: e.who.clone(),
        reason: printable(e.reason.as_bytes()).into_owned(),
    }
}
