//! Which source brought a series, how many each has, and what was refused of whom.

use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::Connection;

use super::registry::SeriesId;
use crate::Result;

/// Sources that are counted by name; they come from the configuration, so that only a mistake reaches this.
const SENDERS_MAX: usize = 4096;
/// Metrics of a source that are counted by name; a source gone wild mostly has one.
const METRICS_MAX: usize = 64;

/// The source whose series were refused most, and the metric of which it brought most of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worst {
    /// The source; empty when it gave no name.
    pub source: String,
    /// The metric.
    pub metric: String,
    /// Refused series of that metric from that source.
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Sender {
    series: usize,
    refused: u64,
    metrics: HashMap<Box<str>, u64>,
}

/// The sources of all series.
#[derive(Debug, Default)]
pub(super) struct Senders {
    limit: usize,
    all: HashMap<Arc<str>, Sender>,
    /// By the number of the series; `None` where nobody said it.
    of: Vec<Option<Arc<str>>>,
}

impl Senders {
    /// Reads who brought the series of a store.
    pub(super) fn load(conn: &Connection, limit: usize) -> Result<Self> {
        let mut senders = Self {
            limit,
            ..Self::default()
        };
        let sql = "SELECT ts_sender.series, source FROM ts_sender JOIN ts_series ON id = series";
        let mut stmt = conn.prepare(sql)?;
        let mut rows = stmt.query([])?;
        while let Some(row) = rows.next()? {
            let source: String = row.get(1)?;
            let source = match senders.all.get_key_value(source.as_str()) {
                Some((known, _)) => Arc::clone(known),
                None => source.into(),
            };
            senders.took(SeriesId(row.get(0)?), &source);
        }
        Ok(senders)
    }

    /// Whether a source has as many series as one may.
    pub(super) fn is_full(&self, source: &str) -> bool {
        !source.is_empty() && self.all.get(source).is_some_and(|s| s.series >= self.limit)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A series is of a source, if it gave a name and nobody had the series before.
    pub(super) fn took(&mut self, id: SeriesId, source: &Arc<str>) {
        let at = id.0 as usize;
        if self.of.len() <= at {
            self.of.resize(at + 1, None);
        }
        if source.is_empty() || self.of[at].is_some() {
            return;
        }
        self.of[at] = Some(Arc::clone(source));
        self.all.entry(Arc::clone(source)).or_default().series += 1;
    }

    /// Who brought a series.
    pub(super) fn of(&self, id: SeriesId) -> Option<&str> {
        self.of.get(id.0 as usize)?.as_deref()
    }

    /// A series is no more.
    pub(super) fn forget(&mut self, id: SeriesId) {
        let Some(source) = self.of.get_mut(id.0 as usize).and_then(Option::take) else {
            return;
        };
        if let Some(sender) = self.all.get_mut(&source) {
            sender.series -= 1;
            if sender.series == 0 && sender.refused == 0 {
                self.all.remove(&source);
            }
        }
    }

    /// Counts a series that was not taken.
    pub(super) fn refused(&mut self, source: &Arc<str>, metric: &str) {
        if self.all.len() >= SENDERS_MAX && !self.all.contains_key(source) {
            return;
        }
        let sender = self.all.entry(Arc::clone(source)).or_default();
        sender.refused += 1;
        if let Some(count) = sender.metrics.get_mut(metric) {
            *count += 1;
        } else if sender.metrics.len() < METRICS_MAX {
            sender.metrics.insert(metric.into(), 1);
        }
    }

    pub(super) fn worst(&self) -> Option<Worst> {
        let refused = self.all.iter().filter(|(_, s)| s.refused > 0);
        let (source, sender) = refused.max_by_key(|(name, s)| (s.refused, *name))?;
        let (metric, refused) = sender.metrics.iter().max_by_key(|(name, n)| (**n, *name))?;
        Some(Worst {
            source: source.to_string(),
            metric: metric.to_string(),
            refused: *refused,
        })
    }
}
