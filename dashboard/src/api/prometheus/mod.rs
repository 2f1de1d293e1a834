//! Prometheus' query API, so that Grafana and its like read figures here.

mod given;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value as Json;
use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Answer, Value};
use vigie_query::{Labels, MetricKind};

use super::failure;
use crate::app::App;
use crate::respond;
use crate::source::{Bounds, Source};
use crate::wire::prometheus::{Data, Meta, Metric, Success};
use given::{Given, Refused};

pub(crate) use given::duration_ms;
pub(crate) use rules::{alerts, rules};

fn answer<T: serde::Serialize>(result: Result<T, Refused>, headers: &HeaderMap) -> Response {
    match result {
        Ok(value) => respond::json(StatusCode::OK, &value, headers),
        Err(r) => failure(r.status, r.kind, &r.text, headers),
    }
}

/// Runs a query with a reader; what it makes is JSON already.
async fn read<T: Send + 'static>(
    app: &App,
    query: impl FnOnce(&dyn Source, &Bounds) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    app.pool().run(query).await?
}

/// `GET|POST /api/v1/query`.
pub(crate) async fn query(State(app): State<App>, headers: HeaderMap, given: Given) -> Response {
    let now = app.now();
    let result = read(&app, move |source, bounds| {
        let expr = promql::parse(given.query())?;
        let at = given.time("time")?.unwrap_or(now);
        let answer = promql::instant(source.figures(), &expr, at, &given.params(bounds)?)?;
        answered(&given, answer, at)
    });
    answer(result.await, &headers)
}

/// `GET|POST /api/v1/query_range`.
pub(crate) async fn query_range(
    State(app): State<App>,
    headers: HeaderMap,
    given: Given,
) -> Response {
    let result = read(&app, move |source, bounds| {
        let (from, until) = (given.needed_time("start")?, given.needed_time("end")?);
        let step = given.first("step").and_then(duration_ms);
        let step = step.ok_or_else(|| {
            Refused::bad("invalid parameter \"step\": cannot parse to a valid duration")
        })?;
        if step <= 0 {
            return Err(Refused::bad(
                "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        if until < from {
            return Err(Refused::bad(
                "invalid parameter \"end\": end timestamp must not be before start time",
            ));
        }
        let params = given.params(bounds)?;
        let steps_max = params.limits.steps_max;
        if usize::try_from(until.since_ms(from) / step).is_ok_and(|n| n >= steps_max) {
            return Err(Refused::bad(format!(
                "exceeded maximum resolution of {steps_max} points per timeseries: ask for a longer step or a shorter range"
            )));
        }
        let expr = promql::parse(given.query())?;
        if !expr.has_steps() {
            return Err(Refused::bad(
                "invalid parameter \"query\": invalid expression type for range query, must be Scalar or instant Vector",
            ));
        }
        let answer = promql::range(source.figures(), &expr, from, until, step, &params)?;
        answered(&given, answer, until)
    });
    answer(result.await, &headers)
}

/// The series that `match[]` selects, each label set once.
fn selected(source: &dyn Source, given: &Given, needed: bool) -> Result<BTreeSet<Labels>, Refused> {
    let until = given.time("end")?.unwrap_or(Timestamp(i64::MAX));
    let from = given.time("start")?.unwrap_or(Timestamp(i64::MIN));
    let mut out = BTreeSet::new();
    let mut any = false;
    for text in given.all("match[]") {
        any = true;
        let wrong = |why: &dyn std::fmt::Display| {
            Refused::bad(format!("invalid parameter \"match[]\": {why}"))
        };
        let expr = promql::parse(text).map_err(|e| wrong(&e))?;
        if !expr.is_selector() {
            return Err(wrong(&format!("{text:?} is no selector of series")));
        }
        for selector in promql::selectors(&expr) {
            out.extend(source.series(&selector.matchers, from, until)?);
        }
    }
    if !any && needed {
        return Err(Refused::bad("no match[] parameter provided"));
    }
    if !any {
        out.extend(source.series(&[], from, until)?);
    }
    Ok(out)
}

/// What Prometheus says when a limit has cut an answer.
const TRUNCATED: &str = "results truncated due to limit";

fn limited<T>(given: &Given, mut all: Vec<T>) -> Result<Success<Vec<T>>, Refused> {
    let limit = given.limit()?;
    let cut = all.len() > limit;
    all.truncate(limit);
    let mut out = Success::new(all);
    if cut {
        out.warnings.push(TRUNCATED.to_owned());
    }
    Ok(out)
}

/// The answer to a query, of so many series at most.
fn answered(given: &Given, mut answer: Answer, at: Timestamp) -> Result<Success<Json>, Refused> {
    let limit = given.limit()?;
    let cut = match &mut answer.value {
        Value::Vector(rows) => cut(rows, limit),
        Value::Matrix(series) => cut(series, limit),
        Value::Scalar(_) | Value::String(_) => false,
    };
    let data = serde_json::to_value(Data {
        answer: &answer,
        at: at.0,
    });
    let data = data.map_err(|e| Refused::bad(e.to_string()))?;
    let mut out = Success::new(data).noting(answer.warnings);
    if cut {
        out.warnings.push(TRUNCATED.to_owned());
    }
    Ok(out)
}

fn cut<T>(all: &mut Vec<T>, limit: usize) -> bool {
    let cut = all.len() > limit;
    all.truncate(limit);
    cut
}

/// `GET|POST /api/v1/series`.
pub(crate) async fn series(State(app): State<App>, headers: HeaderMap, given: Given) -> Response {
    let result = read(&app, move |source, _| {
        let all = selected(source, &given, true)?;
        let objects = all
            .iter()
            .map(|l| serde_json::to_value(Metric(l)).unwrap_or_default());
        limited(&given, objects.collect())
    });
    answer(result.await, &headers)
}

/// `GET|POST /api/v1/labels`.
pub(crate) async fn labels(State(app): State<App>, headers: HeaderMap, given: Given) -> Response {
    let result = read(&app, move |source, _| {
        let all = selected(source, &given, false)?;
        let names: BTreeSet<String> = all
            .iter()
            .flat_map(Labels::iter)
            .map(|(n, _)| n.to_owned())
            .collect();
        limited(&given, names.into_iter().collect())
    });
    answer(result.await, &headers)
}

/// `GET /api/v1/label/{name}/values`.
pub(crate) async fn label_values(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path<String>,
    given: Given,
) -> Response {
    let result = read(&app, move |source, _| {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Refused::bad(format!("invalid label name: {name:?}")));
        }
        let all = selected(source, &given, false)?;
        let values: BTreeSet<String> = all
            .iter()
            .filter_map(|l| l.get(&name))
            .map(str::to_owned)
            .collect();
        limited(&given, values.into_iter().collect())
    });
    answer(result.await, &headers)
}

/// `GET /api/v1/metadata`.
pub(crate) async fn metadata(State(app): State<App>, headers: HeaderMap, given: Given) -> Response {
    let result = read(&app, move |source, _| {
        let all = source.metadata()?;
        let wanted = given.first("metric");
        let limit = given.limit()?;
        let found = all
            .iter()
            .filter(|m| wanted.is_none_or(|w| w == m.name))
            .take(limit);
        let map: BTreeMap<&str, [Meta<'_>; 1]> = found
            .map(|m| {
                let kind = match m.kind {
                    MetricKind::Gauge => "gauge",
                    MetricKind::Counter => "counter",
                };
                (
                    m.name.as_str(),
                    [Meta {
                        kind,
                        help: &m.help,
                        unit: "",
                    }],
                )
            })
            .collect();
        let data = serde_json::to_value(map).map_err(|e| Refused::bad(e.to_string()))?;
        Ok(Success::new(data))
    });
    answer(result.await, &headers)
}

/// The version of Prometheus whose API this is.
const API_VERSION: &str = "3.5.0";

/// `GET /api/v1/status/buildinfo`: Grafana asks for it to learn what it may ask, and goes by the
/// version: below 2.24 it would not send `match[]` with requests for labels.
pub(crate) async fn buildinfo(headers: HeaderMap) -> Response {
    let own = concat!("vigie ", env!("CARGO_PKG_VERSION"));
    let data = serde_json::json!({
        "version": API_VERSION, "revision": own, "branch": "", "buildUser": "", "buildDate": "",
        "goVersion": "",
    });
    respond::json(StatusCode::OK, &Success::new(data), &headers)
}

/// `GET|POST /api/v1/format_query`: the expression, laid out.
pub(crate) async fn format_query(headers: HeaderMap, given: Given) -> Response {
    let laid_out = promql::prettify(given.query()).map(Success::new);
    answer(laid_out.map_err(Refused::from), &headers)
}

/// `GET|POST /api/v1/parse_query`: the expression as a tree.
pub(crate) async fn parse_query(headers: HeaderMap, given: Given) -> Response {
    let parsed = promql::parse(given.query());
    let tree = parsed.map(|expr| Success::new(promql::tree(&expr)));
    answer(tree.map_err(Refused::from), &headers)
}

/// `GET|POST /api/v1/query_exemplars`: no sample has any, but Grafana asks.
pub(crate) async fn exemplars(headers: HeaderMap, given: Given) -> Response {
    let parsed = promql::parse(given.query());
    let none = parsed.map(|_| Success::new(Vec::<Json>::new()));
    answer(none.map_err(Refused::from), &headers)
}
