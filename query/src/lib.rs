//! The two query languages: PromQL over figures, the log query over events.
//!
//! Both are evaluated over traits ([`SeriesSource`], [`EventSource`]), so a store, plain files and a
//! test model answer alike.

mod events;
pub mod holt_winters;
mod labels;
pub mod log;
pub mod promql;
mod series;

pub use events::{
    EventSource, Group, GroupBy, Grouped, Order, PatternCount, PatternCounts, Scan, ScanStats, Step,
};
pub use labels::{Labels, LabelsBuilder, METRIC_NAME};
pub use series::{
    MatchOp, Matcher, Metadata, MetricKind, Sample, Selection, Series, SeriesSource, Sparse,
    Stretch, Take,
};

/// Why a source could not answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The query asks for more than its limits allow; the text says which and what to do.
    #[error("{0}")]
    Limit(String),
    /// The client went away or the time limit passed.
    #[error("query stopped: {0}")]
    Stopped(&'static str),
    /// The store could not be read.
    #[error("store: {0}")]
    Store(String),
}
