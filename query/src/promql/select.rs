//! Selectors: reads each series once, then walks along the steps.

use promql_parser::parser::{Expr as Node, SubqueryExpr, VectorSelector};
use vigie_parsers::Timestamp;

use super::eval::{Column, Columns, Evaluator, Grid, fail, merge_same, samples, strip};
use super::parse::{at_millis, matchers, millis, offset_millis};
use super::{Error, STALE, is_stale};
use crate::{Labels, Matcher, Sample, Selection, Series};

/// Series with all samples that some step's window may hold.
pub(super) struct Ranges {
    pub(super) series: Vec<RangeSeries>,
    /// Length of the windows, in milliseconds. They are open at the left.
    pub(super) range: i64,
    at: Option<i64>,
    offset: i64,
}

pub(super) struct RangeSeries {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) samples: Vec<Sample>,
}

impl Ranges {
    /// Where the window of the step at `time` ends.
    pub(super) fn reference(&self, time: i64) -> i64 {
        self.at.unwrap_or(time) - self.offset
    }

    /// Calls `each` with the step, its time, its window's end and its samples, if there are any.
    pub(super) fn walk(
        &self,
        samples: &[Sample],
        grid: Grid,
        mut each: impl FnMut(usize, i64, i64, &[Sample]),
    ) {
        let (mut low, mut high) = (0, 0);
        for (step, time) in grid.times().enumerate() {
            let end = self.reference(time);
            while samples.get(high).is_some_and(|s| s.time.0 <= end) {
                high += 1;
            }
            while low < high && samples[low].time.0 <= end - self.range {
                low += 1;
            }
            if low < high {
                each(step, time, end, &samples[low..high]);
            }
        }
    }
}

impl Evaluator<'_> {
    /// The latest sample of each series at each step, or with `times` its time in seconds.
    pub(super) fn instant_selector(
        &mut self,
        selector: &VectorSelector,
        grid: Grid,
        times: bool,
    ) -> Result<Columns, Error> {
        let lookback = self.params.lookback_ms;
        let at = at_millis(selector.at.as_ref(), self.query.0, self.query.1);
        let offset = offset_millis(selector.offset.as_ref());
        let reference = |time: i64| at.unwrap_or(time) - offset;
        let matchers = matchers(selector).map_err(Error::Evaluation)?;
        let span = (reference(grid.start) - lookback + 1, reference(grid.end()));
        let found = self.select(&matchers, span, grid.step.min(lookback))?;
        self.admit(found.len(), grid.len)?;
        let mut columns = Vec::with_capacity(found.len());
        for series in found {
            self.poll()?;
            let found = latest(&series.samples, grid.times().map(reference), lookback);
            let values = found.map(|sample| match sample {
                None => STALE,
                Some(sample) if times => sample.time.0 as f64 / 1e3,
                Some(sample) => sample.value,
            });
            let values = values.collect();
            columns.push(Column {
                labels: series.labels,
                drop_name: false,
                values,
            });
        }
        Ok(Columns::Vector(columns))
    }

    /// The series of a range selector or subquery. `finest` where the answer depends on the number
    /// or spread of samples, so that consolidated ones would change it.
    pub(super) fn ranges(
        &mut self,
        node: &Node,
        grid: Grid,
        finest: bool,
    ) -> Result<Ranges, Error> {
        let selector = match strip(node) {
            Node::MatrixSelector(selector) => selector,
            Node::Subquery(subquery) => return self.subquery(subquery, grid),
            _ => return fail("expected type range vector"),
        };
        let mut ranges = Ranges {
            series: Vec::new(),
            range: millis(selector.range),
            at: at_millis(selector.vs.at.as_ref(), self.query.0, self.query.1),
            offset: offset_millis(selector.vs.offset.as_ref()),
        };
        let matchers = matchers(&selector.vs).map_err(Error::Evaluation)?;
        let span = (
            ranges.reference(grid.start) - ranges.range + 1,
            ranges.reference(grid.end()),
        );
        // Four samples per window leave a rate its reset and its ends.
        let step = if finest {
            0
        } else {
            grid.step.min(ranges.range / 4)
        };
        let found = self.select(&matchers, span, step)?;
        ranges.series.reserve(found.len());
        for mut series in found {
            self.poll()?;
            series.samples.retain(|s| !is_stale(s.value));
            ranges.series.push(RangeSeries {
                labels: series.labels,
                drop_name: false,
                samples: series.samples,
            });
        }
        Ok(ranges)
    }

    fn subquery(&mut self, subquery: &SubqueryExpr, grid: Grid) -> Result<Ranges, Error> {
        let mut ranges = Ranges {
            series: Vec::new(),
            range: millis(subquery.range),
            at: at_millis(subquery.at.as_ref(), self.query.0, self.query.1),
            offset: offset_millis(subquery.offset.as_ref()),
        };
        let step = subquery
            .step
            .map_or(self.params.subquery_step_ms, millis)
            .max(1);
        // Steps are multiples of their length, so that the same ones serve each window.
        let before = ranges.reference(grid.start) - ranges.range;
        let start = before.div_euclid(step) * step + step;
        let end = ranges.reference(grid.end());
        if end < start {
            return Ok(ranges);
        }
        let len = usize::try_from((end - start) / step).unwrap_or(usize::MAX - 1) + 1;
        self.admit(1, len)?;
        let inner = Grid { start, step, len };
        let columns = merge_same(self.vector(&subquery.expr, inner)?)?;
        for column in columns {
            self.poll()?;
            let samples = samples(&column.values, inner);
            if !samples.is_empty() {
                ranges.series.push(RangeSeries {
                    labels: column.labels,
                    drop_name: column.drop_name,
                    samples,
                });
            }
        }
        Ok(ranges)
    }

    /// Asks the source, within what the limits leave.
    pub(super) fn select(
        &mut self,
        matchers: &[Matcher],
        (from, until): (i64, i64),
        step_ms: i64,
    ) -> Result<Vec<Series>, Error> {
        let found = self.source.select(&Selection {
            matchers,
            from: Timestamp(from),
            until: Timestamp(until),
            step_ms,
            max_samples: self.samples_left,
            deadline: self.params.limits.deadline,
        })?;
        let read: usize = found.iter().map(|s| s.samples.len()).sum();
        match self.samples_left.checked_sub(read) {
            Some(left) => self.samples_left = left,
            None => {
                return Err(Error::Limit(format!(
                    "the query reads more than {} samples: ask for a shorter range or fewer series",
                    self.params.limits.samples_max
                )));
            }
        }
        Ok(found)
    }
}

/// At each of the rising times `ends` the latest sample, if it is not too old and not an end.
pub(super) fn latest(
    samples: &[Sample],
    ends: impl Iterator<Item = i64>,
    lookback: i64,
) -> impl Iterator<Item = Option<Sample>> {
    let mut next = 0;
    ends.map(move |end| {
        while samples.get(next).is_some_and(|s| s.time.0 <= end) {
            next += 1;
        }
        let last = *samples.get(next.checked_sub(1)?)?;
        (last.time.0 > end - lookback && !is_stale(last.value)).then_some(last)
    })
}
