//! `GET /metrics`: the current values of vigie and its hosts, as Prometheus scrapes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use vigie_query::promql::format_value;
use vigie_query::{Labels, MetricKind, Sample, Selection, Series};

use crate::app::App;
use crate::pages::PageError;
use crate::respond::{self, Failure};

/// A value older than this is not current.
const CURRENT_MS: i64 = 60_000;
/// A minute of 20,000 series read each second.
const SAMPLES_MAX: usize = 1_500_000;

/// What vigie counts of its store, told by the daemon itself: the store does not say how it is while it
/// cannot be written.
const FAILURES: &str = "vigie_store_commit_failures_total";

/// All current values in the text format.
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let now = app.now();
    let failures = app.handle().map(|handle| Series {
        labels: Labels::metric(FAILURES, &[("instance", &app.config().host)]),
        samples: vec![Sample {
            time: now,
            value: handle.health().failures as f64,
        }],
    });
    let made = app.pool().run(move |source, bounds| {
        let mut found = source.select(&Selection {
            matchers: &[],
            from: now.plus_ms(-CURRENT_MS),
            until: now,
            step_ms: 0,
            max_samples: SAMPLES_MAX,
            deadline: Some(bounds.deadline),
        })?;
        if let Some(failures) = failures {
            found.retain(|series| series.labels.name() != FAILURES);
            found.push(failures);
        }
        let about: BTreeMap<String, (MetricKind, String)> = source
            .metadata()?
            .into_iter()
            .map(|m| (m.name, (m.kind, m.help)))
            .collect();
        Ok::<_, PageError>(exposition(&found, &about))
    });
    match made.await {
        Ok(Ok(body)) => respond::text(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            body,
            &headers,
        ),
        Ok(Err(e)) => Failure::from(e).page(&app, &headers),
        Err(e) => Failure::from(e).page(&app, &headers),
    }
}

fn exposition(found: &[Series], about: &BTreeMap<String, (MetricKind, String)>) -> String {
    let mut by_name: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in found {
        by_name
            .entry(series.labels.name())
            .or_default()
            .push(series);
    }
    let mut out = String::new();
    for (name, all) in by_name {
        if let Some((kind, help)) = about.get(name) {
            if !help.is_empty() {
                let help = help.replace('\\', "\\\\").replace('\n', "\\n");
                let _ = writeln!(out, "# HELP {name} {help}");
            }
            let kind = match kind {
                MetricKind::Gauge => "gauge",
                MetricKind::Counter => "counter",
            };
            let _ = writeln!(out, "# TYPE {name} {kind}");
        }
        for series in all {
            if let Some(last) = series.samples.last() {
                let _ = writeln!(out, "{} {}", series.labels, format_value(last.value));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigie_parsers::Timestamp;

    #[test]
    fn values_stand_under_their_metric() {
        let series = |labels, value| Series {
            labels,
            samples: vec![Sample {
                time: Timestamp(1),
                value,
            }],
        };
        let found = [
            series(Labels::metric("b_total", &[("x", "q\"")]), 3.0),
            series(Labels::metric("a", &[]), f64::NAN),
        ];
        let about = BTreeMap::from([(
            "b_total".to_owned(),
            (MetricKind::Counter, "All\nb.".to_owned()),
        )]);
        let expected =
            "a NaN\n# HELP b_total All\\nb.\n# TYPE b_total counter\nb_total{x=\"q\\\"\"} 3\n";
        assert_eq!(exposition(&found, &about), expected);
    }
}
