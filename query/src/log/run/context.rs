//! The circumstances of a query, and how it went.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use vigie_parsers::Timestamp;

use super::super::clock::Clock;
use super::super::time::{Moment, TimeRange};
use crate::{Order, ScanStats, SourceError};

/// What a query may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events or rows in the answer.
    pub rows: usize,
    /// Groups of one table, patterns and clients counted alike.
    pub groups: usize,
    /// Bytes of events and rows that wait to be sorted or counted.
    pub kept_bytes: usize,
}

impl Default for Limits {
    /// A screenful many times over, in memory that a small machine can spare.
    fn default() -> Self {
        Self {
            rows: 1000,
            groups: 100_000,
            kept_bytes: 64 << 20,
        }
    }
}

/// Where a page of events ended; the next page begins behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The time of the last event of the page.
    pub time: Timestamp,
    /// Its [`Event::id`].
    pub id: u64,
}

/// The circumstances of a query.
#[derive(Clone, Debug)]
pub struct RunContext<'a> {
    /// What times are relative to.
    pub clock: Clock,
    /// The range of a query that names none.
    pub default_range: TimeRange,
    /// What it may use up.
    pub limits: Limits,
    /// When it ends with what it has.
    pub deadline: Option<Instant>,
    /// Set when nobody waits for the answer any more.
    pub cancel: Option<&'a AtomicBool>,
    /// Only events behind this one, newest first: the next page. Sorted events and tables have no
    /// pages.
    pub before: Option<Cursor>,
}

impl RunContext<'_> {
    /// The last hour, without a deadline, with the usual limits.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        /// What someone under stress means who names no time.
        const HOUR_MS: i64 = 3_600_000;
        Self {
            clock,
            default_range: TimeRange::Of(Moment::Ago(HOUR_MS)),
            limits: Limits::default(),
            deadline: None,
            cancel: None,
            before: None,
        }
    }
}

/// How a query went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The span of time it looked at.
    pub range: Range<Timestamp>,
    /// In which order events were delivered.
    pub order: Order,
    /// The answer ends at [`Limits::rows`] and there is more.
    pub more: bool,
    /// What it took. [`ScanStats::incomplete`] tells why the answer is not the whole answer, if a
    /// limit, the time or damage has cut it.
    pub stats: ScanStats,
}

/// Why a query could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It cannot be answered here: no deploy is known, more steps than a chart can have.
    #[error("query: {0}")]
    Query(String),
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
}
