//! What a request of Prometheus' API asks with, and how it is refused.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::Response;
use vigie_parsers::Timestamp;
use vigie_query::SourceError;
use vigie_query::promql::{Error, Limits, Params};

use super::super::{first, pairs};
use crate::source::{Bounds, PoolError, QUERY_TIME_MAX};

/// Parameters of a form, then of the address: a form's count where both have one.
pub(crate) struct Given(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Given {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        use axum::response::IntoResponse as _;
        let address = pairs(request.uri().query().unwrap_or_default());
        let form = Bytes::from_request(request, state).await;
        let form = form.map_err(|e| e.into_response())?;
        let mut all = pairs(&String::from_utf8_lossy(&form));
        all.extend(address);
        Ok(Self(all))
    }
}

impl Given {
    /// The first value of a parameter.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        first(&self.0, name)
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(n, _)| n == name);
        named.map(|(_, value)| value.as_str())
    }

    /// The expression.
    pub(super) fn query(&self) -> &str {
        self.first("query").unwrap_or_default()
    }

    /// What a query may cost, and how it looks back.
    pub(super) fn params<'a>(&self, bounds: &'a Bounds) -> Result<Params<'a>, Refused> {
        let mut deadline = bounds.deadline;
        if let Some(timeout) = self.first("timeout") {
            let ms = duration_ms(timeout).filter(|ms| *ms > 0);
            let ms = ms.ok_or_else(|| {
                Refused::bad(format!(
                    "invalid parameter \"timeout\": cannot parse {timeout:?} to a valid duration"
                ))
            })?;
            let own = Duration::from_millis(ms.unsigned_abs());
            deadline = deadline.min(Instant::now() + own.min(QUERY_TIME_MAX));
        }
        let mut out = Params {
            limits: Limits {
                deadline: Some(deadline),
                ..Limits::default()
            },
            cancel: Some(&bounds.cancel),
            ..Params::default()
        };
        if let Some(delta) = self.first("lookback_delta") {
            out.lookback_ms = duration_ms(delta)
                .filter(|ms| *ms > 0)
                .ok_or_else(|| Refused::bad("invalid parameter \"lookback_delta\""))?;
        }
        Ok(out)
    }

    /// `limit`: 0 and nothing are none.
    pub(super) fn limit(&self) -> Result<usize, Refused> {
        let Some(text) = self.first("limit") else {
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

    /// A time parameter: seconds since 1970 or RFC 3339.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let Some(text) = self.first(name) else {
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

    /// The same where there must be one.
    pub(super) fn needed_time(&self, name: &str) -> Result<Timestamp, Refused> {
        self.time(name)?.ok_or_else(|| {
            Refused::bad(format!(
                "invalid parameter {name:?}: cannot parse \"\" to a valid timestamp"
            ))
        })
    }
}

/// A failure with Prometheus' kind.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) text: String,
}

impl Refused {
    pub(super) fn bad(text: impl Into<String>) -> Self {
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
