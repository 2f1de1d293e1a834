//! Rules and alerts, as Prometheus tells them.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use vigie_analyzer::rules::{Group, Rule};
use vigie_query::promql::format_value;
use vigie_store::incidents::{Alert, AlertState};

use super::given::{Given, Refused};
use super::{answer, read};
use crate::app::App;
use crate::wire::prometheus::{Metric, Success};

/// What Prometheus says of a rule that it has not evaluated yet: when ours were, only their own thread
/// knows.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
struct Groups<'a> {
    groups: Vec<GroupShape<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupShape<'a> {
    name: &'a str,
    file: &'a str,
    rules: Vec<RuleShape<'a>>,
    interval: f64,
    limit: usize,
    evaluation_time: f64,
    last_evaluation: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleShape<'a> {
    state: &'static str,
    name: &'a str,
    query: &'a str,
    duration: f64,
    keep_firing_for: f64,
    labels: BTreeMap<&'a str, String>,
    annotations: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Vec<AlertShape<'a>>>,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a str>,
    evaluation_time: f64,
    last_evaluation: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertShape<'a> {
    labels: Metric<'a>,
    annotations: BTreeMap<&'a str, &'a str>,
    state: &'static str,
    active_at: String,
    value: String,
}

/// `GET /api/v1/rules`: alerting rules, with the alerts that each has.
pub(crate) async fn rules(State(app): State<App>, headers: HeaderMap, given: Given) -> Response {
    let rules = app.config().rules.clone();
    let result = read(&app, move |source, _| {
        let alerts = source.active_alerts().map_err(unreadable)?;
        let groups = rules
            .groups
            .iter()
            .filter_map(|g| group(g, &alerts, &given));
        let groups = groups.collect();
        serde_json::to_value(Success::new(Groups { groups }))
            .map_err(|e| Refused::bad(e.to_string()))
    });
    answer(result.await, &headers)
}

/// `GET /api/v1/alerts`: those that are pending or firing.
pub(crate) async fn alerts(State(app): State<App>, headers: HeaderMap) -> Response {
    let result = read(&app, move |source, _| {
        let alerts = source.active_alerts().map_err(unreadable)?;
        let alerts: Vec<_> = alerts.iter().map(alert).collect();
        serde_json::to_value(Success::new(BTreeMap::from([("alerts", alerts)])))
            .map_err(|e| Refused::bad(e.to_string()))
    });
    answer(result.await, &headers)
}

fn unreadable(e: vigie_store::Error) -> Refused {
    vigie_query::SourceError::from(e).into()
}

/// A group with the rules that are asked for; `None` without any.
fn group<'a>(group: &'a Group, alerts: &'a [Alert], given: &Given) -> Option<GroupShape<'a>> {
    let asked = |name: &str, value: &str| {
        let mut all = given.all(name).peekable();
        all.peek().is_none() || all.any(|one| one == value)
    };
    // There are no recording rules.
    if given.first("type") == Some("record") || !asked("rule_group[]", &group.name) {
        return None;
    }
    let named = |rule: &&Rule| asked("rule_name[]", &rule.name) && asked("file[]", file(rule));
    let with_alerts = given.first("exclude_alerts") != Some("true");
    let rules: Vec<_> = group
        .rules
        .iter()
        .filter(named)
        .map(|one| rule(one, alerts, with_alerts))
        .collect();
    let first = group.rules.first().filter(|_| !rules.is_empty())?;
    Some(GroupShape {
        name: &group.name,
        file: file(first),
        rules,
        interval: seconds(group.interval_ms),
        limit: group.limit,
        evaluation_time: 0.0,
        last_evaluation: NEVER,
    })
}

fn file(rule: &Rule) -> &str {
    rule.place
        .rsplit_once(':')
        .map_or(&rule.place, |(file, _)| file)
}

fn rule<'a>(rule: &'a Rule, alerts: &'a [Alert], with_alerts: bool) -> RuleShape<'a> {
    let own = || alerts.iter().filter(|a| a.rule == rule.id);
    let state = own()
        .map(|a| state(a.state))
        .fold(
            "inactive",
            |worst, state| {
                if worst == "firing" { worst } else { state }
            },
        );
    let last_error = own()
        .find_map(|a| a.frozen.as_ref())
        .map(|f| f.reason.as_str());
    RuleShape {
        state,
        name: &rule.name,
        query: &rule.text,
        duration: seconds(rule.for_ms),
        keep_firing_for: seconds(rule.keep_firing_for_ms),
        labels: rule.labels().collect(),
        annotations: rule.annotations().collect(),
        alerts: with_alerts.then(|| own().map(alert).collect()),
        health: if last_error.is_some() {
            "err"
        } else {
            "unknown"
        },
        last_error,
        evaluation_time: 0.0,
        last_evaluation: NEVER,
        kind: "alerting",
    }
}

fn alert(alert: &Alert) -> AlertShape<'_> {
    let annotations = alert.annotations.iter();
    let at = jiff::Timestamp::from_millisecond(alert.active_at.0).unwrap_or_default();
    AlertShape {
        labels: Metric(&alert.labels),
        annotations: annotations.map(|(n, v)| (n.as_str(), v.as_str())).collect(),
        state: state(alert.state),
        active_at: at.to_string(),
        value: format_value(alert.value),
    }
}

fn state(state: AlertState) -> &'static str {
    match state {
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
        AlertState::Resolved => "inactive",
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations of rules")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
