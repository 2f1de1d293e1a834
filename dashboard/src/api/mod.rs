//! The HTTP API: Prometheus' for figures, our own for logs, incidents and charts.

mod exposition;
mod logs;
mod openapi;
mod prometheus;
mod routes;
mod series;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::app::App;
use crate::respond;
use crate::wire::prometheus::Refusal;

pub(crate) use prometheus::duration_ms;

/// The API's addresses.
pub(crate) fn routes() -> Router<App> {
    let add = |router: Router<App>, e: &routes::Endpoint| router.route(e.path, (e.route)());
    routes::ENDPOINTS.iter().fold(Router::new(), add)
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
