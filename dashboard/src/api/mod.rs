//! The HTTP API: Prometheus' for figures, our own for logs, incidents and charts.

mod exposition;
mod logs;
mod prometheus;
mod series;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;

use crate::app::App;
use crate::respond;
use crate::wire::prometheus::Refusal;

pub(crate) use prometheus::duration_ms;

/// The API's addresses.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(
            "/api/v1/query",
            get(prometheus::query).post(prometheus::query),
        )
        .route(
            "/api/v1/query_range",
            get(prometheus::query_range).post(prometheus::query_range),
        )
        .route(
            "/api/v1/series",
            get(prometheus::series).post(prometheus::series),
        )
        .route(
            "/api/v1/labels",
            get(prometheus::labels).post(prometheus::labels),
        )
        .route("/api/v1/label/{name}/values", get(prometheus::label_values))
        .route("/api/v1/metadata", get(prometheus::metadata))
        .route(
            "/api/v1/format_query",
            get(prometheus::format_query).post(prometheus::format_query),
        )
        .route(
            "/api/v1/query_exemplars",
            get(prometheus::exemplars).post(prometheus::exemplars),
        )
        .route("/api/v1/status/buildinfo", get(prometheus::buildinfo))
        .route("/api/v1/logs", get(logs::logs))
        .route("/api/v1/logs/histogram", get(logs::histogram))
        .route("/api/v1/logs/fields", get(logs::fields))
        .route("/api/v1/logs/tail", get(logs::tail))
        .route("/api/v1/incidents", get(series::incidents))
        .route("/api/series", get(series::charts))
        .route("/metrics", get(exposition::metrics))
}

/// A failure as Prometheus' clients know it.
pub(crate) fn failure(
    status: StatusCode,
    kind: &str,
    error: &str,
    headers: &HeaderMap,
) -> Response {
    respond::json(
        status,
        &Refusal {
            status: "error",
            kind,
            error,
        },
        headers,
    )
}

/// The parameters of a query or form, in order, repeated names included.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned()
    };
    query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}

/// The first value of a parameter.
pub(crate) fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, v)| v.as_str())
        .filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let found = pairs("query=a%2Bb+c&match[]=x&match%5B%5D=y&flag&bad=%zz");
        let expected = [
            ("query", "a+b c"),
            ("match[]", "x"),
            ("match[]", "y"),
            ("flag", ""),
            ("bad", "%zz"),
        ];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(found, expected);
        assert_eq!(first(&found, "flag"), None);
    }
}
