//! Figures of one host, read straight from the store and laid on the cells of a page's charts.

use vigie_parsers::Timestamp;
use vigie_query::{METRIC_NAME, Matcher, Selection, Series, SourceError};

use crate::chart::{Grid, columns};
use crate::source::{Bounds, Source};

/// Samples that one selection may read: 300 cells of 500 series, and their neighbours.
const SAMPLES_MAX: usize = 2_000_000;

/// A column of cells.
pub(crate) type Column = Vec<Option<f64>>;

/// Reads the figures of one host.
pub(crate) struct Figures<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) bounds: &'a Bounds,
    /// The host's `instance` label; `None` where the store tells hosts not apart.
    pub(crate) host: Option<&'a str>,
    pub(crate) grid: Grid,
}

impl Figures<'_> {
    /// The same host over other cells.
    pub(crate) fn over(&self, grid: Grid) -> Figures<'_> {
        Figures { grid, ..*self }
    }

    /// The series of a metric of this host.
    pub(crate) fn select(&self, metric: &str) -> Result<Vec<Series>, SourceError> {
        let mut matchers = vec![Matcher::equal(METRIC_NAME, metric)];
        if let Some(host) = self.host {
            matchers.push(Matcher::equal("instance", host));
        }
        self.source.select(&Selection {
            matchers: &matchers,
            // A rate needs the reading before the first cell.
            from: self.grid.begin().plus_ms(-self.grid.step_ms.max(15_000)),
            until: self.grid.end(),
            step_ms: self.grid.step_ms,
            max_samples: SAMPLES_MAX,
            deadline: Some(self.bounds.deadline),
        })
    }

    /// A gauge with one series for each value of a label.
    pub(crate) fn gauges(
        &self,
        metric: &str,
        label: &str,
    ) -> Result<Vec<(String, Column)>, SourceError> {
        self.columns(metric, label, |grid, s| grid.gauge(&s.samples))
    }

    /// Rates of a counter, summed for each value of a label.
    pub(crate) fn rates(
        &self,
        metric: &str,
        label: &str,
    ) -> Result<Vec<(String, Column)>, SourceError> {
        self.columns(metric, label, |grid, s| grid.rate(&s.samples))
    }

    fn columns(
        &self,
        metric: &str,
        label: &str,
        read: impl Fn(&Grid, &Series) -> Column,
    ) -> Result<Vec<(String, Column)>, SourceError> {
        let mut out: Vec<(String, Vec<Column>)> = Vec::new();
        for series in self.select(metric)? {
            let key = series.labels.get(label).unwrap_or_default();
            let column = read(&self.grid, &series);
            match out.iter_mut().find(|(k, _)| k == key) {
                Some((_, columns)) => columns.push(column),
                None => out.push((key.to_owned(), vec![column])),
            }
        }
        let summed = |(key, mut all): (String, Vec<Column>)| match all.len() {
            1 => (key, all.pop().unwrap_or_default()),
            _ => (key, columns::sum(&all)),
        };
        Ok(out.into_iter().map(summed).collect())
    }

    /// One gauge.
    pub(crate) fn gauge(&self, metric: &str) -> Result<Column, SourceError> {
        let all = self.gauges(metric, "")?;
        Ok(all
            .into_iter()
            .next()
            .map_or_else(|| vec![None; self.grid.len], |(_, c)| c))
    }

    /// One rate.
    pub(crate) fn rate(&self, metric: &str) -> Result<Column, SourceError> {
        let all = self.rates(metric, "")?;
        Ok(all
            .into_iter()
            .next()
            .map_or_else(|| vec![None; self.grid.len], |(_, c)| c))
    }
}

/// The last known value of a column.
pub(crate) fn last(column: &[Option<f64>]) -> Option<f64> {
    column.iter().rev().copied().flatten().next()
}

/// The hosts that a store knows: the instances of a figure that every host has.
pub(crate) fn hosts(
    source: &dyn Source,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Option<String>>, SourceError> {
    let matchers = [Matcher::equal(METRIC_NAME, "node_load1")];
    let mut out: Vec<_> = source
        .series(&matchers, from, until)?
        .iter()
        .map(|labels| labels.get("instance").map(str::to_owned))
        .collect();
    out.sort();
    out.dedup();
    Ok(out)
}
