//! What PromQL needs of whoever keeps figures.

use std::time::Instant;

use regex::Regex;
use vigie_parsers::Timestamp;

use crate::promql::is_stale;
use crate::{Labels, SourceError};

/// What a metric's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Goes up and down.
    Gauge,
    /// Only grows, but for resets.
    Counter,
}

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub time: Timestamp,
    /// The value; for counters cumulative, as synthesised by the source.
    pub value: f64,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it is.
    pub labels: Labels,
    /// In time order. A counter starts anywhere and never decreases: sources settle resets.
    pub samples: Vec<Sample>,
}

/// How a matcher compares.
#[derive(Clone, Debug)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Regex(Regex),
    /// `!~`, anchored at both ends.
    NotRegex(Regex),
}

/// One condition on one label. An absent label compares as the empty string.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// The comparison.
    pub op: MatchOp,
    /// What it is compared with; for regular expressions their source text.
    pub value: String,
}

impl Matcher {
    /// `name="value"`.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            op: MatchOp::Equal,
            value: value.to_owned(),
        }
    }

    /// Whether a label set meets the condition.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name).unwrap_or_default();
        match &self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex(re) => re.is_match(value),
            MatchOp::NotRegex(re) => !re.is_match(value),
        }
    }
}

/// Which samples of which series.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// All must hold.
    pub matchers: &'a [Matcher],
    /// First sample time, included.
    pub from: Timestamp,
    /// Last sample time, included.
    pub until: Timestamp,
    /// The distance at which the query looks, in milliseconds: a source with several resolutions
    /// answers from the coarsest that serves it. 0 asks for the finest.
    pub step_ms: i64,
    /// The source gives up beyond so many samples, with [`SourceError::Limit`].
    pub max_samples: usize,
    /// The source gives up after this, with [`SourceError::Stopped`].
    pub deadline: Option<Instant>,
}

/// What a sample of a consolidated gauge stands for. A counter is its total, whatever is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Take {
    /// The mean of the readings.
    #[default]
    Average,
    /// The smallest of the readings.
    Min,
    /// The largest of the readings.
    Max,
    /// The last of the readings.
    Last,
    /// The sum of the readings.
    Sum,
    /// How many readings there were, of counters too.
    Count,
}

/// A time of which a source has only samples that lie farther apart than was asked for: what was
/// closer is consolidated, and stands at the ends of slots of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its end, included; it begins where the one before ends.
    pub until: Timestamp,
    /// How far apart the samples lie, in milliseconds.
    pub step_ms: i64,
}

/// One series of an answer that may be sparser than asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    /// The series.
    pub series: Series,
    /// Where it is sparser than asked for, in time order; after the last stretch it is not.
    pub stretches: Vec<Stretch>,
}

impl Sparse {
    /// A series as asked for, with what is taken of single readings.
    fn whole(mut series: Series, take: Take) -> Self {
        if take == Take::Count {
            for sample in series.samples.iter_mut().filter(|s| !is_stale(s.value)) {
                sample.value = 1.0;
            }
        }
        Self {
            series,
            stretches: Vec::new(),
        }
    }
}

/// What a metric is, for people and for `/api/v1/metadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The metric's name.
    pub name: String,
    /// What its numbers are.
    pub kind: MetricKind,
    /// A sentence about it; may be empty.
    pub help: String,
}

/// Keeps figures and answers selections.
pub trait SeriesSource {
    /// The series that match, each with its samples in the range; series without a sample there
    /// are left out. Sorted by labels.
    ///
    /// # Errors
    /// When a limit is passed or the source cannot be read.
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<Series>, SourceError>;

    /// As [`select`](Self::select), and says where samples lie farther apart than asked for. If they
    /// do so at the start of the range, they begin two distances before it: whoever looks back from
    /// there finds them. A source that keeps what it is given, as it is, need not implement this.
    ///
    /// # Errors
    /// As with [`select`](Self::select).
    fn select_sparse(
        &self,
        selection: &Selection<'_>,
        take: Take,
    ) -> Result<Vec<Sparse>, SourceError> {
        let found = self.select(selection)?;
        Ok(found.into_iter().map(|s| Sparse::whole(s, take)).collect())
    }

    /// The label sets that match and lived in the range, sorted.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn series(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Labels>, SourceError>;

    /// All metrics, sorted by name.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn metadata(&self) -> Result<Vec<Metadata>, SourceError>;
}
