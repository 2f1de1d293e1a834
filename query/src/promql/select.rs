//! Selectors: reads each series once, then walks along the steps.

use promql_parser::parser::{Expr as Node, SubqueryExpr, VectorSelector};
use vigie_parsers::Timestamp;

use super::columns::{Column, Columns, Grid, merge_same, quiet, samples};
use super::eval::{Evaluator, fail, strip};
use super::extend::Extension;
use super::parse::{at_millis, matchers};
use super::{Error, STALE, is_stale};
use crate::{Labels, Matcher, Sample, Selection, Series};

/// Series with all samples that some step's window may hold.
pub(super) struct Ranges {
    pub(super) series: Vec<RangeSeries>,
    /// Length of the windows, in milliseconds. They are open at the left.
    pub(super) range: i64,
    at: Option<i64>,
    offset: i64,
    /// The windows reach over their borders by the lookback.
    pub(super) extension: Option<Extension>,
    lookback: i64,
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

    /// How far the windows reach over their borders, to the left and to the right.
    fn reach(&self) -> (i64, i64) {
        match self.extension {
            None => (0, 0),
            Some(Extension::Anchored) => (self.lookback, 0),
            Some(Extension::Smoothed) => (self.lookback, self.lookback),
        }
    }

    /// The times, both included, of all samples in all windows.
    fn span(&self, grid: Grid) -> (i64, i64) {
        let (left, right) = self.reach();
        let first = self.reference(grid.start) - self.range - left + 1;
        (first, self.reference(grid.end()) + right)
    }

    /// Calls `each` with the step, its time, its window's end and its samples, if there are any.
    pub(super) fn walk(
        &self,
        evaluator: &mut Evaluator<'_>,
        samples: &[Sample],
        grid: Grid,
        mut each: impl FnMut(usize, i64, i64, &[Sample]),
    ) -> Result<(), Error> {
        evaluator.poll()?;
        let (mut low, mut high) = (0, 0);
        let (left, right) = self.reach();
        for (step, time) in grid.times().enumerate() {
            let end = self.reference(time);
            while samples.get(high).is_some_and(|s| s.time.0 <= end + right) {
                high += 1;
            }
            while low < high && samples[low].time.0 <= end - self.range - left {
                low += 1;
            }
            if low < high {
                evaluator.spend(high - low)?;
                each(step, time, end, &samples[low..high]);
            }
        }
        Ok(())
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
        let lookback = self.lookback();
        let at = at_millis(selector.at.as_ref(), self.query.0, self.query.1);
        let offset = self
            .expr
            .offset_millis(selector.offset.as_ref(), self.query)?;
        let reference = |time: i64| at.unwrap_or(time) - offset;
        let matchers = matchers(selector).map_err(Error::Evaluation)?;
        let smoothed = self.expr.extension(selector, None);
        if smoothed == Some(Extension::Anchored) {
            return fail("anchored modifier can only be used with range selectors");
        }
        let ahead = smoothed.map_or(0, |_| lookback);
        let span = (
            reference(grid.start) - lookback + 1,
            reference(grid.end()) + ahead,
        );
        let found = self.select(&matchers, span, grid.step.min(lookback))?;
        self.admit(found.len(), grid.len)?;
        let mut columns = Vec::with_capacity(found.len());
        for series in found {
            self.poll()?;
            let ends = grid.times().map(reference);
            let values = if ahead > 0 && !times {
                smoothed_values(&series.samples, ends, lookback)
            } else {
                let found = latest(&series.samples, ends, lookback);
                let values = found.map(|sample| match sample {
                    None => STALE,
                    Some(sample) if times => sample.time.0 as f64 / 1e3,
                    Some(sample) => sample.value,
                });
                values.collect()
            };
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
            range: positive(self.expr.millis(selector.range, self.query)?)?,
            at: at_millis(selector.vs.at.as_ref(), self.query.0, self.query.1),
            offset: self
                .expr
                .offset_millis(selector.vs.offset.as_ref(), self.query)?,
            extension: self.expr.extension(&selector.vs, Some(selector.range)),
            lookback: self.lookback(),
        };
        let matchers = matchers(&selector.vs).map_err(Error::Evaluation)?;
        let span = ranges.span(grid);
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
            range: positive(self.expr.millis(subquery.range, self.query)?)?,
            at: at_millis(subquery.at.as_ref(), self.query.0, self.query.1),
            offset: self
                .expr
                .offset_millis(subquery.offset.as_ref(), self.query)?,
            extension: None,
            lookback: self.lookback(),
        };
        let step = match subquery.step {
            Some(step) => positive(self.expr.millis(step, self.query)?)?,
            None => self.params.subquery_step_ms.max(1),
        };
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

fn positive(range: i64) -> Result<i64, Error> {
    if range > 0 {
        Ok(range)
    } else {
        fail("duration must be greater than 0")
    }
}

/// At each of the rising times `ends` the value on the line between the samples around, or that of
/// the latest where none follows soon.
fn smoothed_values(
    samples: &[Sample],
    ends: impl Iterator<Item = i64> + Clone,
    lookback: i64,
) -> Vec<f64> {
    let mut next = 0;
    let found = latest(samples, ends.clone(), lookback).zip(ends);
    let values = found.map(|(before, end)| {
        let Some(before) = before else { return STALE };
        while samples.get(next).is_some_and(|s| s.time.0 <= end) {
            next += 1;
        }
        let after = samples
            .get(next)
            .filter(|s| s.time.0 <= end + lookback && !is_stale(s.value));
        match after {
            Some(after) if before.time.0 < end => quiet(interpolated(before, *after, end)),
            _ => before.value,
        }
    });
    values.collect()
}

/// The value at a time between two samples.
pub(super) fn interpolated(a: Sample, b: Sample, time: i64) -> f64 {
    let share = (time - a.time.0) as f64 / b.time.since_ms(a.time) as f64;
    a.value + (b.value - a.value) * share
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
