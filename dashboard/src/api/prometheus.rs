//! Prometheus' query API, so that Grafana and its like read figures here.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value as Json;
use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Answer, Error, Limits, Params, Value};
use vigie_query::{Labels, MetricKind, SourceError};

use super::{failure, first, pairs};
use crate::app::App;
use crate::respond;
use crate::source::{Bounds, PoolError, Source};
use crate::wire::prometheus::{Data, Meta, Metric, Success};

/// Ranges without times: what lived in the last day.
const LIVED_MS: i64 = 86_400_000;

type Pairs = Vec<(String, String)>;

/// A failure with Prometheus' kind.
struct Refused {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

impl Refused {
    fn bad(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "bad_data",
            text: text.into(),
        }
    }
}

impl From<Error> for Refused {
    fn from(e: Error) -> Self {
        let (status, kind) = match &e {
            Error::Parse { .. } => (StatusCode::BAD_REQUEST, "bad_data"),
            Error::Evaluation(_) | Error::Limit(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "execution")
            }
            Error::Stopped(_) => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Error::Source(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        let text = match &e {
            Error::Parse { .. } => format!("invalid parameter \"query\": {e}"),
            _ => e.to_string(),
        };
        Self { status, kind, text }
    }
}

impl From<SourceError> for Refused {
    fn from(e: SourceError) -> Self {
        Error::from(e).into()
    }
}

impl From<PoolError> for Refused {
    fn from(e: PoolError) -> Self {
        let (status, kind) = match e {
            PoolError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            PoolError::Store(_) | PoolError::Ended => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        Self {
            status,
            kind,
            text: e.to_string(),
        }
    }
}

/// Parameters of the address, then of a form.
fn parameters(uri: &Uri, body: &Bytes) -> Pairs {
    let mut all = pairs(uri.query().unwrap_or_default());
    all.extend(pairs(&String::from_utf8_lossy(body)));
    all
}

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

fn params<'a>(given: &Pairs, bounds: &'a Bounds) -> Result<Params<'a>, Refused> {
    let mut deadline = bounds.deadline;
    if let Some(timeout) = first(given, "timeout") {
        let ms = duration_ms(timeout).filter(|ms| *ms > 0);
        let ms = ms.ok_or_else(|| {
            Refused::bad(format!(
                "invalid parameter \"timeout\": cannot parse {timeout:?} to a valid duration"
            ))
        })?;
        let own = std::time::Duration::from_millis(ms.unsigned_abs());
        deadline = deadline.min(std::time::Instant::now() + own.min(crate::source::QUERY_TIME_MAX));
    }
    let mut out = Params {
        limits: Limits {
            deadline: Some(deadline),
            ..Limits::default()
        },
        cancel: Some(&bounds.cancel),
        ..Params::default()
    };
    if let Some(delta) = first(given, "lookback_delta") {
        out.lookback_ms = duration_ms(delta)
            .filter(|ms| *ms > 0)
            .ok_or_else(|| Refused::bad("invalid parameter \"lookback_delta\""))?;
    }
    Ok(out)
}

/// `GET|POST /api/v1/query`.
pub(crate) async fn query(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let (given, now) = (parameters(&uri, &body), app.now());
    let result = read(&app, move |source, bounds| {
        let text = first(&given, "query").unwrap_or_default();
        let expr = promql::parse(text)?;
        let at = time(&given, "time")?.unwrap_or(now);
        let answer = promql::instant(source.figures(), &expr, at, &params(&given, bounds)?)?;
        answered(&given, answer, at)
    });
    answer(result.await, &headers)
}

/// `GET|POST /api/v1/query_range`.
pub(crate) async fn query_range(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let given = parameters(&uri, &body);
    let result = read(&app, move |source, bounds| {
        let text = first(&given, "query").unwrap_or_default();
        let need = |name| -> Result<Timestamp, Refused> {
            time(&given, name)?.ok_or_else(|| {
                Refused::bad(format!(
                    "invalid parameter {name:?}: cannot parse \"\" to a valid timestamp"
                ))
            })
        };
        let (from, until) = (need("start")?, need("end")?);
        let step = first(&given, "step").and_then(duration_ms);
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
        let expr = promql::parse(text)?;
        let answer = promql::range(
            source.figures(),
            &expr,
            from,
            until,
            step,
            &params(&given, bounds)?,
        )?;
        answered(&given, answer, until)
    });
    answer(result.await, &headers)
}

/// The series that `match[]` selects, each label set once.
fn selected(
    source: &dyn Source,
    given: &Pairs,
    now: Timestamp,
    needed: bool,
) -> Result<BTreeSet<Labels>, Refused> {
    let until = time(given, "end")?.unwrap_or(now);
    let from = time(given, "start")?.unwrap_or(now.plus_ms(-LIVED_MS));
    let mut out = BTreeSet::new();
    let mut any = false;
    for (_, text) in given.iter().filter(|(n, _)| n == "match[]") {
        any = true;
        for selector in promql::selectors(
            &promql::parse(text)
                .map_err(|e| Refused::bad(format!("invalid parameter \"match[]\": {e}")))?,
        ) {
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

/// `limit`: 0 and nothing are none.
fn limit(given: &Pairs) -> Result<usize, Refused> {
    let Some(text) = first(given, "limit") else {
        return Ok(usize::MAX);
    };
    match text.parse() {
        Ok(0) => Ok(usize::MAX),
        Ok(limit) => Ok(limit),
        Err(_) => Err(Refused::bad(format!(
            "invalid parameter \"limit\": cannot parse {text:?} to a whole number"
        ))),
    }
}

fn limited<T>(given: &Pairs, mut all: Vec<T>) -> Result<Success<Vec<T>>, Refused> {
    let limit = limit(given)?;
    let cut = all.len() > limit;
    all.truncate(limit);
    let mut out = Success::new(all);
    if cut {
        out.warnings.push(TRUNCATED.to_owned());
    }
    Ok(out)
}

/// The answer to a query, of so many series at most.
fn answered(given: &Pairs, mut answer: Answer, at: Timestamp) -> Result<Success<Json>, Refused> {
    let limit = limit(given)?;
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
pub(crate) async fn series(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let (given, now) = (parameters(&uri, &body), app.now());
    let result = read(&app, move |source, _| {
        let all = selected(source, &given, now, true)?;
        let objects = all
            .iter()
            .map(|l| serde_json::to_value(Metric(l)).unwrap_or_default());
        limited(&given, objects.collect())
    });
    answer(result.await, &headers)
}

/// `GET|POST /api/v1/labels`.
pub(crate) async fn labels(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let (given, now) = (parameters(&uri, &body), app.now());
    let result = read(&app, move |source, _| {
        let all = selected(source, &given, now, false)?;
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
    uri: Uri,
) -> Response {
    let (given, now) = (pairs(uri.query().unwrap_or_default()), app.now());
    let result = read(&app, move |source, _| {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Refused::bad(format!("invalid label name: {name:?}")));
        }
        let all = selected(source, &given, now, false)?;
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
pub(crate) async fn metadata(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let given = pairs(uri.query().unwrap_or_default());
    let result = read(&app, move |source, _| {
        let all = source.metadata()?;
        let wanted = first(&given, "metric");
        let limit = limit(&given)?;
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
pub(crate) async fn format_query(headers: HeaderMap, uri: Uri, body: Bytes) -> Response {
    let given = parameters(&uri, &body);
    let text = first(&given, "query").unwrap_or_default();
    let laid_out = promql::prettify(text).map(Success::new);
    answer(laid_out.map_err(Refused::from), &headers)
}

/// `GET|POST /api/v1/query_exemplars`: no sample has any, but Grafana asks.
pub(crate) async fn exemplars(headers: HeaderMap, uri: Uri, body: Bytes) -> Response {
    let given = parameters(&uri, &body);
    let parsed = promql::parse(first(&given, "query").unwrap_or_default());
    let none = parsed.map(|_| Success::new(Vec::<Json>::new()));
    answer(none.map_err(Refused::from), &headers)
}

/// A time parameter: seconds since 1970 or RFC 3339.
fn time(given: &Pairs, name: &str) -> Result<Option<Timestamp>, Refused> {
    let Some(text) = first(given, name) else {
        return Ok(None);
    };
    let wrong = || {
        Refused::bad(format!(
            "invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp"
        ))
    };
    if let Ok(s) = text.parse::<f64>() {
        let ms = (s * 1000.0).round();
        if !ms.is_finite() || ms.abs() > 1e15 {
            return Err(wrong());
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked to be below 1e15")]
        return Ok(Some(Timestamp(ms as i64)));
    }
    let at = text.parse::<jiff::Timestamp>().map_err(|_| wrong())?;
    Ok(Some(Timestamp(at.as_millisecond())))
}

/// A duration: seconds as a number, or Prometheus' `1h30m`.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    if let Ok(s) = text.parse::<f64>() {
        let ms = s * 1000.0;
        #[expect(clippy::cast_possible_truncation, reason = "checked to be below 1e15")]
        return (ms.is_finite() && ms.abs() < 1e15).then_some(ms as i64);
    }
    let mut rest = text;
    let mut sum = 0i64;
    while !rest.is_empty() {
        let at = rest
            .find(|c: char| !c.is_ascii_digit())
            .filter(|at| *at > 0)?;
        let (digits, tail) = rest.split_at(at);
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        sum = sum.checked_add(digits.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_prometheus() {
        for (text, expected) in [
            ("15", Some(15_000)),
            ("0.5", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("99999999999999999999y", None),
            ("NaN", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
    }
}
