//! A parsed query: filter, time, pipes.

use super::extract::Capture;
use super::field::FieldName;
use super::filter::Filter;
use super::parse::Parser;
use super::time::{Moment, TimeRange};

/// A query as it was typed, understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Which events.
    pub filter: Filter,
    /// Of which time, if the query says.
    pub time: Option<TimeRange>,
    /// What is made of them, in order.
    pub pipes: Vec<Pipe>,
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("query:{column}: {message}")]
pub struct ParseError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong and, where it can be told, what to write instead.
    pub message: String,
}

/// One step behind the filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Pipe {
    /// `count by f`, `p95 duration by path`, `stats count, avg bytes by app`.
    Stats {
        /// What is computed, one column each.
        aggregates: Vec<Aggregate>,
        /// For each combination of values of these.
        by: Vec<FieldName>,
    },
    /// `rate [1m] [by f]`: events per span of time.
    Rate {
        /// The span.
        per_ms: i64,
        /// For each combination of values of these.
        by: Vec<FieldName>,
    },
    /// `chart [agg] [by f] [every 1m]`: one row for each step of time.
    Chart {
        /// What is computed.
        aggregate: Aggregate,
        /// For each combination of values of these.
        by: Vec<FieldName>,
        /// The length of a step; one that fits the range if not given.
        every_ms: Option<i64>,
    },
    /// `top [n] f`, `rare [n] f`.
    Top {
        /// How many rows.
        n: usize,
        /// Whose values are counted.
        fields: Vec<FieldName>,
        /// The least frequent ones instead.
        rare: bool,
    },
    /// `uniq f, …`: the values there are.
    Uniq(Vec<FieldName>),
    /// `where …`
    Where(Filter),
    /// `sort -f, g`
    Sort(Vec<SortKey>),
    /// `head n`: the first as people read: the oldest events, the first rows.
    Head(usize),
    /// `tail n`: the last as people read: the newest events, the last rows.
    Tail(usize),
    /// `limit n`: the first that come: the newest events, the first rows.
    Limit(usize),
    /// `fields f, …`: these columns.
    Fields(Vec<FieldName>),
    /// `context n`: the neighbours of each hit from the same source.
    Context(usize),
    /// `around 30s`: everything near each hit.
    Around(i64),
    /// `parse [f] "from <ip> port"`: new fields out of text.
    Parse {
        /// The text; the message if not given.
        from: Option<FieldName>,
        /// What to take from it.
        pattern: Capture,
    },
    /// `json [f]`: the members of an object become fields.
    Json(Option<FieldName>),
    /// `kv [f]`: `key=value` pairs become fields.
    Kv(Option<FieldName>),
    /// `patterns`: events by message pattern.
    Patterns,
    /// `new [since time]`: patterns that were not there before.
    New {
        /// Before when; the start of the query's range if not given.
        since: Option<Moment>,
    },
    /// `diff 1d`: each pattern's share now and that long before.
    Diff(i64),
    /// `sessions [30m] [by ip]`: runs of events of one client.
    Sessions {
        /// The silence that ends a session.
        gap_ms: i64,
        /// What tells clients apart.
        by: FieldName,
    },
}

/// A figure over a group of events.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// How many.
    Count,
    /// The sum of a field.
    Sum(FieldName),
    /// Its mean.
    Avg(FieldName),
    /// The least.
    Min(FieldName),
    /// The greatest.
    Max(FieldName),
    /// The value below or at which that share (in per cent) of the values lies.
    Percentile(u8, FieldName),
    /// How many different values.
    Uniq(FieldName),
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// By what.
    pub field: FieldName,
    /// Greatest first.
    pub descending: bool,
}

/// The percentiles there are.
pub(crate) const PERCENTILES: [u8; 4] = [50, 90, 95, 99];

impl Query {
    /// Reads a query. The empty text asks for every event.
    ///
    /// # Errors
    /// With the place and the reason.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Parser::new(text)?.query()
    }

    /// Whether the answer is a table; otherwise it is events.
    #[must_use]
    pub fn makes_table(&self) -> bool {
        self.pipes.iter().any(Pipe::makes_rows)
    }
}

impl std::str::FromStr for Query {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl Aggregate {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Count => "count".to_owned(),
            Self::Sum(_) => "sum".to_owned(),
            Self::Avg(_) => "avg".to_owned(),
            Self::Min(_) => "min".to_owned(),
            Self::Max(_) => "max".to_owned(),
            Self::Percentile(p, _) => format!("p{p}"),
            Self::Uniq(_) => "uniq".to_owned(),
        }
    }

    /// Of which field.
    #[must_use]
    pub fn field(&self) -> Option<&FieldName> {
        match self {
            Self::Count => None,
            Self::Sum(f) | Self::Avg(f) | Self::Min(f) | Self::Max(f) => Some(f),
            Self::Percentile(_, f) | Self::Uniq(f) => Some(f),
        }
    }

    /// The columns of a list of figures: the word, with the field where a word comes twice.
    pub(crate) fn columns(list: &[Self]) -> Vec<String> {
        let twice = |word: &str| list.iter().filter(|a| a.word() == word).count() > 1;
        let column = |a: &Self| match (a.word(), a.field()) {
            (word, Some(field)) if twice(&word) => format!("{word}_{}", field.as_str()),
            (word, _) => word,
        };
        list.iter().map(column).collect()
    }
}

impl Pipe {
    /// The word it begins with.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stats { .. } => "stats",
            Self::Rate { .. } => "rate",
            Self::Chart { .. } => "chart",
            Self::Top { rare: false, .. } => "top",
            Self::Top { rare: true, .. } => "rare",
            Self::Uniq(_) => "uniq",
            Self::Where(_) => "where",
            Self::Sort(_) => "sort",
            Self::Head(_) => "head",
            Self::Tail(_) => "tail",
            Self::Limit(_) => "limit",
            Self::Fields(_) => "fields",
            Self::Context(_) => "context",
            Self::Around(_) => "around",
            Self::Parse { .. } => "parse",
            Self::Json(_) => "json",
            Self::Kv(_) => "kv",
            Self::Patterns => "patterns",
            Self::New { .. } => "new",
            Self::Diff(_) => "diff",
            Self::Sessions { .. } => "sessions",
        }
    }

    /// Whether it may look at the source more than once.
    #[must_use]
    pub fn reads_again(&self) -> bool {
        use Pipe::{Around, Chart, Context, Diff, New, Rate};
        matches!(
            self,
            Around(_) | Chart { .. } | Context(_) | Diff(_) | New { .. } | Rate { .. }
        )
    }

    /// Whether rows of a table come out of it, whatever went in.
    #[must_use]
    pub fn makes_rows(&self) -> bool {
        !self.keeps_kind()
    }

    /// Whether events stay events and rows stay rows.
    fn keeps_kind(&self) -> bool {
        use Pipe::{Around, Context, Head, Json, Kv, Limit, Parse, Sort, Tail, Where};
        matches!(
            self,
            Where(_)
                | Sort(_)
                | Head(_)
                | Tail(_)
                | Limit(_)
                | Context(_)
                | Around(_)
                | Parse { .. }
                | Json(_)
                | Kv(_)
        )
    }

    /// Whether it has to see events and can do nothing with rows.
    pub(crate) fn needs_events(&self) -> bool {
        use Pipe::{Around, Chart, Context, Diff, Json, Kv, New, Parse, Patterns, Rate, Sessions};
        matches!(
            self,
            Around(_)
                | Chart { .. }
                | Context(_)
                | Diff(_)
                | Json(_)
                | Kv(_)
                | New { .. }
                | Parse { .. }
                | Patterns
                | Rate { .. }
                | Sessions { .. }
        )
    }

    /// The columns of its rows; `None` where they are those that went in.
    pub(crate) fn columns(&self) -> Option<Vec<String>> {
        let names = |fields: &[FieldName]| -> Vec<String> {
            fields.iter().map(|f| f.as_str().to_owned()).collect()
        };
        let with = |mut columns: Vec<String>, more: &[&str]| {
            columns.extend(more.iter().map(|c| (*c).to_owned()));
            Some(columns)
        };
        match self {
            Self::Stats { aggregates, by } => {
                let mut columns = names(by);
                columns.extend(Aggregate::columns(aggregates));
                Some(columns)
            }
            Self::Rate { by, .. } => with(names(by), &["count", "rate"]),
            Self::Chart { aggregate, by, .. } => {
                let mut columns = vec!["time".to_owned()];
                columns.extend(names(by));
                columns.push(aggregate.word());
                Some(columns)
            }
            Self::Top { fields, .. } => with(names(fields), &["count", "share"]),
            Self::Uniq(fields) => with(names(fields), &["count"]),
            Self::Fields(fields) => Some(names(fields)),
            Self::Patterns => with(
                vec![],
                &["count", "share", "first", "last", "pattern", "sample"],
            ),
            Self::New { .. } => with(vec![], &["count", "first", "last", "pattern", "sample"]),
            Self::Diff(_) => with(
                vec![],
                &[
                    "now",
                    "before",
                    "share",
                    "share_before",
                    "change",
                    "pattern",
                    "sample",
                ],
            ),
            Self::Sessions { by, .. } => with(
                vec![by.as_str().to_owned()],
                &["start", "end", "duration", "count"],
            ),
            _ => None,
        }
    }
}
