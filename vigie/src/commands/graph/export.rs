//! The numbers of a picture, as rrdtool xport wrote them.

use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};
use vigie_dashboard::chart::ChartSpec;
use vigie_query::promql::format_value;

use crate::times;

/// A row for each cell, a column for each curve; unknown cells are empty.
pub(super) fn csv(spec: &ChartSpec, zone: &TimeZone) -> String {
    let mut out = "time".to_owned();
    for line in &spec.lines {
        out.push_str(&format!(",\"{}\"", safe(&line.label).replace('"', "\"\"")));
    }
    out.push('\n');
    for i in 0..spec.grid.len {
        out.push_str(&times::rfc3339(spec.grid.at(i), zone));
        for line in &spec.lines {
            out.push(',');
            if let Some(value) = line.ys.get(i).copied().flatten() {
                out.push_str(&format_value(value));
            }
        }
        out.push('\n');
    }
    out
}

/// A table program must not take a label for a formula.
fn safe(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// rrdtool's form: what it is, then a row for each cell; unknown cells are null.
pub(super) fn json(spec: &ChartSpec) -> String {
    let figure = |v: f64| Some(v).filter(|v| v.is_finite());
    let stats = |i: usize| {
        spec.stats(i).map_or(Json::Null, |s| {
            json!({"current": figure(s.last), "average": figure(s.avg), "minimum": figure(s.min),
                   "maximum": figure(s.max), "p95": figure(s.p95)})
        })
    };
    let rows: Vec<Vec<Option<f64>>> = (0..spec.grid.len)
        .map(|i| {
            let cell = |l: &vigie_dashboard::chart::Line| l.ys.get(i).copied().flatten();
            spec.lines.iter().map(cell).collect()
        })
        .collect();
    let about = json!({
        "start": spec.grid.start.0 / 1000,
        "step": spec.grid.step_ms / 1000,
        "end": spec.grid.end().0 / 1000,
        "legend": spec.lines.iter().map(|l| l.label.as_str()).collect::<Vec<_>>(),
        "statistics": (0..spec.lines.len()).map(stats).collect::<Vec<_>>(),
    });
    let mut text = json!({"about": about, "data": rows}).to_string();
    text.push('\n');
    text
}
