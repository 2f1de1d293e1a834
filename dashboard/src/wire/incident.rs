//! An incident as JSON.

use serde::Serialize;
use vigie_store::incidents::Incident;

use super::chart::seconds;
use super::prometheus::Metric;

/// One incident; times are seconds since 1970.
#[derive(Serialize)]
pub(crate) struct IncidentView<'a> {
    id: u64,
    title: &'a str,
    severity: &'static str,
    state: &'static str,
    labels: Metric<'a>,
    onset: f64,
    opened: f64,
    acknowledged_by: Option<&'a str>,
    acknowledged_at: Option<f64>,
    resolved_by: Option<&'a str>,
    resolved_at: Option<f64>,
    reopened: u32,
    alerts_firing: u32,
}

impl<'a> IncidentView<'a> {
    pub(crate) fn new(i: &'a Incident) -> Self {
        Self {
            id: i.id.0,
            title: &i.title,
            severity: i.severity.as_str(),
            state: i.state().as_str(),
            labels: Metric(&i.labels),
            onset: seconds(i.onset.0),
            opened: seconds(i.opened.0),
            acknowledged_by: i.acknowledged.as_ref().map(|a| a.by.as_str()),
            acknowledged_at: i.acknowledged.as_ref().map(|a| seconds(a.at.0)),
            resolved_by: i.resolved.as_ref().and_then(|r| r.by.as_deref()),
            resolved_at: i.resolved.as_ref().map(|r| seconds(r.at.0)),
            reopened: i.reopened,
            alerts_firing: i.firing,
        }
    }
}
