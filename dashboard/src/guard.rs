//! What stands between the network and the pages: who may ask, and what every answer carries.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// No script or style but our own files. Attributes may carry sizes and places, which the server
/// computes: they hold no text from outside.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    style-src-attr 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Refuses what other sites send in a visitor's name, and adds the headers.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&app, &request) {
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn refusal(app: &App, request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .or_else(|| {
            request
                .uri()
                .authority()
                .map(axum::http::uri::Authority::as_str)
        });
    // A name that a stranger's DNS points here would let the stranger's page read ours.
    let Some(host) = host.filter(|h| known_host(h, &app.config().names)) else {
        return Some(
            "This name is not one of this server's. Add it to http.names, or use the address.\n",
        );
    };
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let reads_by_post = request.uri().path().starts_with("/api/v1/query");
    if changes && !reads_by_post && !same_site(headers, host) {
        return Some("This was sent by another site.\n");
    }
    None
}

/// Addresses and `localhost` are always this server; names must be configured.
fn known_host(host: &str, names: &[String]) -> bool {
    let name = without_port(host);
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    literal.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|n| n.eq_ignore_ascii_case(name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// Browsers say from where a form was sent; programs that say nothing hold no visitor's rights.
fn same_site(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("invalid"));
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    match text(header::ORIGIN) {
        Some(origin) => origin
            .split_once("://")
            .is_some_and(|(_, o)| o.eq_ignore_ascii_case(host)),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_server() {
        let names = ["vigie.example".to_owned()];
        for (host, expected) in [
            ("127.0.0.1:8484", true),
            ("[::1]:8484", true),
            ("[::1]", true),
            ("localhost:8484", true),
            ("LOCALHOST", true),
            ("vigie.example:8484", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8484", false),
            ("", false),
        ] {
            assert_eq!(known_host(host, &names), expected, "{host}");
        }
    }

    #[test]
    fn forms_of_other_sites() {
        let site = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            same_site(&headers, "127.0.0.1:8484")
        };
        assert!(site(&[]));
        assert!(site(&[("origin", "http://127.0.0.1:8484")]));
        assert!(!site(&[("origin", "http://evil.example")]));
        assert!(!site(&[("origin", "null")]));
        assert!(site(&[("sec-fetch-site", "same-origin")]));
        assert!(!site(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://127.0.0.1:8484")
        ]));
        assert!(!site(&[("sec-fetch-site", "same-site")]));
    }
}
