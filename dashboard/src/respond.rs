//! Answers: compressed where the client takes it, tagged so that an unchanged one is not sent twice.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::pages::{PageError, error_page};
use crate::source::PoolError;

/// Below this, gzip's header costs more than it saves.
const GZIP_FROM: usize = 512;
/// Fast: a page is made anew for each request, and 1 ms more costs more than 1 KiB on a LAN.
const GZIP_LEVEL: u32 = 4;

/// An answer of text, gzipped where the client takes it.
pub(crate) fn text(
    status: StatusCode,
    kind: &'static str,
    text: String,
    headers: &HeaderMap,
) -> Response {
    let mut response = if text.len() >= GZIP_FROM && takes_gzip(headers) {
        let room = Vec::with_capacity(text.len() / 4);
        let mut gz = flate2::write::GzEncoder::new(room, flate2::Compression::new(GZIP_LEVEL));
        let packed = gz.write_all(text.as_bytes()).and_then(|()| gz.finish());
        match packed {
            Ok(bytes) => {
                let encoding = HeaderValue::from_static("gzip");
                ([(header::CONTENT_ENCODING, encoding)], bytes).into_response()
            }
            // Writing to memory does not fail; plain is right in any case.
            Err(_) => Body::from(text).into_response(),
        }
    } else {
        Body::from(text).into_response()
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::VARY,
        HeaderValue::from_static("accept-encoding, cookie"),
    );
    response
}

/// A page.
pub(crate) fn html(page: String, headers: &HeaderMap) -> Response {
    text(StatusCode::OK, "text/html; charset=utf-8", page, headers)
}

/// JSON.
pub(crate) fn json(
    status: StatusCode,
    value: &impl serde::Serialize,
    headers: &HeaderMap,
) -> Response {
    match serde_json::to_string(value) {
        Ok(body) => text(status, "application/json", body, headers),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|n| n.eq_ignore_ascii_case("gzip") || n == "*");
        named && !parts.any(|q| q == "q=0" || q == "q=0.0")
    })
}

/// Why a request has no answer, with its page.
#[derive(Debug)]
pub(crate) enum Failure {
    Bad(String),
    NotFound(String),
    Busy(String),
    Broken(String),
}

impl Failure {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Bad(t) | Self::NotFound(t) | Self::Busy(t) | Self::Broken(t) => t,
        }
    }

    /// The failure as a page.
    pub(crate) fn page(&self, app: &App, headers: &HeaderMap) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::warn!("page: {}", self.words());
        }
        let page = error_page(&app.context(headers, None), status.as_u16(), self.words());
        text(status, "text/html; charset=utf-8", page, headers)
    }
}

impl From<PoolError> for Failure {
    fn from(e: PoolError) -> Self {
        match e {
            PoolError::Busy => Self::Busy(e.to_string()),
            PoolError::Store(_) | PoolError::Ended => Self::Broken(e.to_string()),
        }
    }
}

impl From<PageError> for Failure {
    fn from(e: PageError) -> Self {
        match e {
            PageError::NotFound(text) => Self::NotFound(text),
            PageError::Source(vigie_query::SourceError::Limit(text)) => Self::Bad(text),
            other => Self::Broken(other.to_string()),
        }
    }
}
