//! PromQL: the upstream grammar, our evaluation.
//!
//! [`parse`] reads an expression, [`instant`] and [`range`] answer it from a [`SeriesSource`]. The
//! meaning is Prometheus 3's over floats and classic histograms, names dropped late (as with its
//! `promql-delayed-name-removal`), experimental functions on. Native histograms do not exist here.
//!
//! Every node is evaluated once for the whole range, as columns over a grid of times, so a selector
//! reads its series once, whatever the number of steps.
//!
//! **Invariant:** a range query equals the instant queries at its steps.

mod aggregate;
mod binary;
mod calendar;
mod columns;
mod eval;
mod extend;
mod fold;
mod forecast;
mod format;
mod functions;
mod histogram;
mod info;
mod labels;
mod length;
mod matching;
mod parse;
mod scan;
mod select;
mod sort;
mod stats;
mod tree;
mod window;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use vigie_parsers::Timestamp;

use crate::{Labels, Sample, Series, SeriesSource, SourceError};

pub use format::format_value;
pub use parse::{Expr, Selector, parse, prettify, selectors};
pub use tree::tree;

/// Marks the end of a series: a sample with exactly these bits is a hole, not a value. Prometheus'
/// own pattern, so that remote writers and test data agree with us.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is the staleness marker and not some other NaN.
#[must_use]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// What a query may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Samples read from the source, over all selectors. 16 bytes each.
    pub samples_max: usize,
    /// Points held at once in a column set: series × steps. 8 bytes each.
    pub points_max: usize,
    /// Steps of a range query.
    pub steps_max: usize,
    /// The query ends here with [`Error::Stopped`].
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    /// For one query of a person: 160 MB of samples, 80 MB of points, and the 11 000 steps that
    /// Prometheus allows (a point a minute for a week fits).
    fn default() -> Self {
        Self {
            samples_max: 10_000_000,
            points_max: 10_000_000,
            steps_max: 11_000,
            deadline: None,
        }
    }
}

/// How a query is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// How far an instant selector looks back for a sample, in milliseconds.
    pub lookback_ms: i64,
    /// The step of subqueries that name none, in milliseconds.
    pub subquery_step_ms: i64,
    /// What it may cost.
    pub limits: Limits,
    /// Set from outside, it ends the query with [`Error::Stopped`].
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for Params<'_> {
    /// Prometheus' defaults: five minutes back, a subquery step of one minute.
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            limits: Limits::default(),
            cancel: None,
        }
    }
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// What the asker should know, each once, in Prometheus' words: `PromQL warning: …` or
    /// `PromQL info: …`.
    pub warnings: Vec<String>,
}

/// One series at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// What it is.
    pub labels: Labels,
    /// Its value at the time asked for.
    pub sample: Sample,
}

/// A result. Range queries answer with a matrix always, as Prometheus does.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(f64),
    /// Series at one time; in the order of `sort` or `topk` where the expression asks for one.
    Vector(Vec<Element>),
    /// Series over time, sorted by labels.
    Matrix(Vec<Series>),
    /// A text.
    String(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The expression is not PromQL.
    #[error("{}:{}: parse error: {text}", position.0, position.1)]
    Parse {
        /// Line and column, both from 1; the column counts characters.
        position: (usize, usize),
        /// What is wrong there.
        text: String,
    },
    /// The expression is PromQL, but these series or arguments do not allow it.
    #[error("{0}")]
    Evaluation(String),
    /// The query asks for more than its limits allow; the text says which and what to do.
    #[error("{0}")]
    Limit(String),
    /// The query was cancelled or its time was up.
    #[error("query stopped: {0}")]
    Stopped(&'static str),
    /// The store could not be read.
    #[error("{0}")]
    Source(SourceError),
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Limit(text) => Self::Limit(text),
            SourceError::Stopped(why) => Self::Stopped(why),
            other @ SourceError::Store(_) => Self::Source(other),
        }
    }
}

/// Evaluates an expression at one time.
///
/// # Errors
/// When a limit is passed, the series do not allow the operation, or the source cannot be read.
pub fn instant(
    source: &dyn SeriesSource,
    expr: &Expr,
    at: Timestamp,
    params: &Params<'_>,
) -> Result<Answer, Error> {
    let at = within_calendar(at)?;
    eval::Evaluator::new(source, params, expr, (at, at, 0)).instant(at)
}

/// Evaluates an expression at `from`, `from + step_ms` and so on up to `until`, included.
///
/// # Errors
/// When the step is not positive or the expression has no scalar or instant vector per step, and
/// as with [`instant`].
pub fn range(
    source: &dyn SeriesSource,
    expr: &Expr,
    from: Timestamp,
    until: Timestamp,
    step_ms: i64,
    params: &Params<'_>,
) -> Result<Answer, Error> {
    let (from, until) = (within_calendar(from)?, within_calendar(until)?);
    if step_ms <= 0 {
        return Err(Error::Evaluation(
            "the step of a range query must be positive".to_owned(),
        ));
    }
    if until < from {
        return Err(Error::Evaluation(
            "the end of a range query must not be before its start".to_owned(),
        ));
    }
    let steps = usize::try_from((until - from) / step_ms).unwrap_or(usize::MAX);
    if steps >= params.limits.steps_max {
        return Err(Error::Limit(format!(
            "the range has {} steps, {} are allowed: ask for a longer step or a shorter range",
            steps.saturating_add(1),
            params.limits.steps_max
        )));
    }
    let grid = columns::Grid {
        start: from,
        step: step_ms,
        len: steps + 1,
    };
    eval::Evaluator::new(source, params, expr, (from, until, step_ms)).range(grid)
}

/// Times beyond are refused, so that no sum of a time, an offset and a range can overflow:
/// 10¹⁵ ms is the year 33658.
const TIME_MAX_MS: i64 = 1_000_000_000_000_000;

fn within_calendar(time: Timestamp) -> Result<i64, Error> {
    if time.0.unsigned_abs() > TIME_MAX_MS.unsigned_abs() {
        return Err(Error::Evaluation("time out of range".to_owned()));
    }
    Ok(time.0)
}
