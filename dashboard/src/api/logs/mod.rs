//! The log API: search, histogram, fields, and the live tail.

mod facets;
mod search;
mod tail;
#[cfg(test)]
mod tests;

use axum::http::StatusCode;
use axum::response::Response;
use vigie_parsers::Timestamp;
use vigie_query::log::{Clock, Filter, Moment, Pipe, Query, RunError, TimeRange};
use vigie_query::{Scan, SourceError};

pub(crate) use facets::{fields, histogram};
pub(crate) use search::{logs, patterns};
pub(crate) use tail::tail;

use super::{failure, first};
use crate::pages::{Context, PageError};
use crate::range;
use crate::respond::Failure;
use crate::source::{Bounds, PoolError, Source};

type Pairs = Vec<(String, String)>;

/// Deploys are looked for so far back.
const DEPLOY_MS: i64 = 366 * 86_400_000;
/// Changes that are looked at in search of the last deploy.
const CHANGES_MAX: usize = 10_000;

/// What every request of the log API asks.
struct Asked {
    query: Query,
    /// The time of a query that names none.
    range: TimeRange,
    clock: Clock,
}

impl Asked {
    fn read(given: &Pairs, ctx: &Context) -> Result<Self, Failure> {
        let q = first(given, "q").or_else(|| first(given, "query"));
        let query = Query::parse(q.unwrap_or_default()).map_err(|e| Failure::Bad(e.to_string()))?;
        let point = |names: [&str; 2]| {
            let text = names.iter().find_map(|name| first(given, name));
            let read = |text| range::parse_time(text, ctx.now, &ctx.zone);
            text.map(read).transpose().map_err(Failure::Bad)
        };
        let from = point(["from", "since"])?.unwrap_or(ctx.now.plus_ms(-3_600_000));
        // Without an end the range is open: see `TimeRange::is_open`.
        let to = point(["to", "until"])?;
        if to.unwrap_or(ctx.now) < from {
            return Err(Failure::Bad("'to' lies before 'from'".to_owned()));
        }
        Ok(Self {
            query,
            range: TimeRange::Between(
                Some(Moment::Fixed(from)),
                to.map(|to| Moment::Fixed(to.plus_ms(1))),
            ),
            clock: Clock {
                boot: boot(ctx.now),
                ..Clock::new(ctx.now, ctx.zone.clone())
            },
        })
    }

    /// The filter, conditions of `where` included; other pipes have no place here.
    fn filter(&self) -> Result<Filter, Failure> {
        let mut all = vec![self.query.filter.clone()];
        for pipe in &self.query.pipes {
            let Pipe::Where(filter) = pipe else {
                let word = pipe.word();
                return Err(Failure::Bad(format!(
                    "'{word}' has no place here: this address counts or follows lines; /api/v1/logs answers pipes"
                )));
            };
            all.push(filter.clone());
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Filter::And(all),
        })
    }

    /// Learns when something was last deployed, if the query asks.
    fn know_deploy(&mut self, source: &dyn Source) {
        let now = self.clock.now;
        let asks = format!("{} {:?}", self.query, self.query.pipes).contains("eploy");
        if let (true, Ok(changes)) = (
            asks,
            source.changes(now.plus_ms(-DEPLOY_MS), now, CHANGES_MAX),
        ) {
            use vigie_store::incidents::ChangeKind::Deploy;
            let deploys = changes.iter().filter(|c| c.kind == Deploy);
            self.clock.deploy = deploys.map(|c| c.at).max();
        }
    }

    /// The span of time that the query looks at.
    fn span(&self) -> Result<std::ops::Range<Timestamp>, Problem> {
        let range = self.query.time.as_ref().unwrap_or(&self.range);
        range.resolve(&self.clock).map_err(Problem::Bad)
    }
}

/// Why there is no answer.
enum Problem {
    Bad(String),
    Broken(String),
}

impl From<RunError> for Problem {
    fn from(e: RunError) -> Self {
        match e {
            RunError::Query(_) | RunError::Source(SourceError::Limit(_)) => {
                Self::Bad(e.to_string())
            }
            RunError::Source(_) => Self::Broken(e.to_string()),
        }
    }
}

impl From<SourceError> for Problem {
    fn from(e: SourceError) -> Self {
        RunError::Source(e).into()
    }
}

impl From<PageError> for Problem {
    fn from(e: PageError) -> Self {
        Failure::from(e).into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let words = failure.words().to_owned();
        match failure {
            Failure::Bad(_) | Failure::NotFound(_) => Self::Bad(words),
            Failure::Busy(_) | Failure::Broken(_) => Self::Broken(words),
        }
    }
}

impl Problem {
    fn answer(&self, headers: &axum::http::HeaderMap) -> Response {
        let (status, kind, words) = match self {
            Self::Bad(words) => (StatusCode::BAD_REQUEST, "bad_data", words),
            Self::Broken(words) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", words),
        };
        failure(status, kind, words, headers)
    }
}

/// No reader was to be had.
fn no_reader(e: PoolError, headers: &axum::http::HeaderMap) -> Response {
    let kind = match e {
        PoolError::Busy => "unavailable",
        PoolError::Store(_) | PoolError::Ended => "internal",
    };
    let e = Failure::from(e);
    failure(e.status(), kind, e.words(), headers)
}

/// A number among the parameters.
fn number(given: &Pairs, name: &str, default: usize, most: usize) -> Result<usize, Failure> {
    let Some(text) = first(given, name) else {
        return Ok(default);
    };
    match text.parse::<usize>() {
        Ok(n) => Ok(n.min(most)),
        Err(_) => Err(Failure::Bad(format!("{name}={text} is no number"))),
    }
}

fn scan<'a>(
    filter: &'a Filter,
    range: &std::ops::Range<Timestamp>,
    bounds: &'a Bounds,
) -> Scan<'a> {
    let mut scan = Scan::new(range.start, range.end, filter);
    scan.deadline = Some(bounds.deadline);
    scan.cancel = Some(&bounds.cancel);
    scan
}

/// When this machine started.
fn boot(now: Timestamp) -> Option<Timestamp> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split(' ').next()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "an uptime is small")]
    Some(now.plus_ms(-(seconds * 1000.0) as i64))
}
