//! What happened in those thirty days: incidents that are over, and changes.

use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_store::incidents::{
    Change, ChangeKind, IncidentState, NewEntry, NewIncident, Resolution, Severity, What,
};
use vigie_store::{Result, State};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// An incident of the past.
struct Past {
    rule: &'static str,
    host: &'static str,
    title: &'static str,
    severity: Severity,
    /// How long ago it began and how long it lasted.
    ago_ms: i64,
    lasted_ms: i64,
    note: &'static str,
}

const INCIDENTS: &[Past] = &[
    Past {
        rule: "LoadFarAboveUsual",
        host: "data1",
        title: "load on data1 is far above usual",
        severity: Severity::Warning,
        ago_ms: 19 * DAY_MS + 6 * HOUR_MS,
        lasted_ms: 47 * MINUTE_MS,
        note: "the nightly backup met a report that ran too long; the report was moved",
    },
    Past {
        rule: "FilesystemFull",
        host: "web1",
        title: "/var on web1 is 96 % full",
        severity: Severity::Critical,
        ago_ms: 11 * DAY_MS + 2 * HOUR_MS,
        lasted_ms: 85 * MINUTE_MS,
        note: "old packages removed, logrotate set to a week",
    },
    Past {
        rule: "LogErrorsUnusual",
        host: "data1",
        title: "errors in the logs of data1 are far above usual",
        severity: Severity::Warning,
        ago_ms: 3 * DAY_MS + 9 * HOUR_MS,
        lasted_ms: 26 * MINUTE_MS,
        note: "redis was out of memory; its limit was raised and the worker restarted",
    },
];

const CHANGES: &[(i64, ChangeKind, &str, &str)] = &[
    (
        26 * DAY_MS,
        ChangeKind::Package,
        "apt: 14 packages upgraded",
        "web1",
    ),
    (
        17 * DAY_MS + 5 * HOUR_MS,
        ChangeKind::Config,
        "nginx reloaded: virtual host www",
        "web1",
    ),
    (
        11 * DAY_MS + HOUR_MS,
        ChangeKind::Config,
        "logrotate keeps a week",
        "web1",
    ),
    (
        8 * DAY_MS + 3 * HOUR_MS,
        ChangeKind::Deploy,
        "vote 2.13.4 deployed",
        "data1",
    ),
    (
        3 * DAY_MS + 8 * HOUR_MS,
        ChangeKind::Restart,
        "worker restarted",
        "data1",
    ),
    (
        20 * HOUR_MS,
        ChangeKind::Failover,
        "web1 holds the virtual address again",
        "web1",
    ),
    (
        5 * HOUR_MS,
        ChangeKind::Deploy,
        "vote 2.14.0 deployed",
        "data1",
    ),
];

/// Writes it all into the incident book.
pub(super) fn write(state: &mut State<'_>, now: Timestamp) -> Result<()> {
    for past in INCIDENTS {
        incident(state, past, now)?;
    }
    for &(ago_ms, kind, text, host) in CHANGES {
        let labels = Labels::new([("instance", host)]);
        state.add_change(&Change {
            at: now.plus_ms(-ago_ms),
            kind,
            text: text.to_owned(),
            labels,
        })?;
    }
    Ok(())
}

fn incident(state: &mut State<'_>, past: &Past, now: Timestamp) -> Result<()> {
    let onset = now.plus_ms(-past.ago_ms);
    let opened = onset.plus_ms(MINUTE_MS);
    let ended = onset.plus_ms(past.lasted_ms);
    let id = state.open_incident(&NewIncident {
        key: format!("{}/{}", past.rule, past.host),
        title: past.title.to_owned(),
        severity: past.severity,
        labels: Labels::new([("alertname", past.rule), ("instance", past.host)]),
        onset,
        opened,
    })?;
    use IncidentState::{Open, Resolved};
    let steps = [
        (opened, "vigie", What::Opened, Open, Open, past.title),
        (
            ended.plus_ms(-5 * MINUTE_MS),
            "admin",
            What::Noted,
            Open,
            Open,
            past.note,
        ),
        (
            ended,
            "vigie",
            What::Resolved,
            Open,
            Resolved,
            "the condition no longer holds",
        ),
    ];
    for (at, who, what, from, to, reason) in steps {
        state.append_entry(
            id,
            &NewEntry {
                at,
                who,
                what,
                from,
                to,
                alert: None,
                reason,
            },
        )?;
    }
    state.set_resolved(
        id,
        &Resolution {
            at: ended,
            by: None,
            reason: String::new(),
        },
    )
}
