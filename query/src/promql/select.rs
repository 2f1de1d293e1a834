//! Selectors: reads each series once, then walks along the steps.

use promql_parser::parser::{Expr as Node, SubqueryExpr, VectorSelector};
use vigie_parsers::Timestamp;

use super::columns::{Column, Columns, Grid, merge_same, quiet, samples};
use super::eval::{Evaluator, fail, strip};
use super::extend::Extension;
use super::parse::{at_millis, matchers};
use super::{Error, STALE, is_stale};
use crate::{Labels, Matcher, Sample, Selection, Sparse, Stretch, Take};

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
    /// Samples that a window needs; where they lie too far apart for it, it is widened.
    needs: i64,
}

pub(super) struct RangeSeries {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) samples: Vec<Sample>,
    /// Where they lie farther apart than asked for.
    pub(super) stretches: Vec<Stretch>,
}

/// A step and its window.
pub(super) struct Place<'a> {
    pub(super) step: usize,
    /// The time of the step.
    pub(super) time: i64,
    /// Where the window ends.
    pub(super) end: i64,
    /// Its length, in milliseconds.
    pub(super) width: i64,
    /// What is in it, and never nothing.
    pub(super) samples: &'a [Sample],
}

/// What the caller of a range selector wants of its samples.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// At most so far apart, in milliseconds, wherever that is still possible: 0 where consolidated
    /// ones would change the answer.
    pub(super) step_max_ms: i64,
    pub(super) take: Take,
    /// Samples that a window needs.
    pub(super) needs: i64,
}

/// How far apart samples lie at a time, if that is farther than was asked for; else 0.
pub(super) fn distance(stretches: &[Stretch], time: i64) -> i64 {
    let at = stretches.partition_point(|s| s.until.0 < time);
    stretches.get(at).map_or(0, |s| s.step_ms)
}

impl Ranges {
    /// Where the window of the step at `time` ends.
    pub(super) fn reference(&self, time: i64) -> i64 {
        self.at.unwrap_or(time) - self.offset
    }

    /// How far the windows reach over their borders, to the left and to the right.
    fn reach(&self, distance: i64) -> (i64, i64) {
        let lookback = self.lookback.max(distance);
        match self.extension {
            None => (0, 0),
            Some(Extension::Anchored) => (lookback, 0),
            Some(Extension::Smoothed) => (lookback, lookback),
        }
    }

    /// The times, both included, of all samples in all windows.
    fn span(&self, grid: Grid) -> (i64, i64) {
        let (left, right) = self.reach(0);
        let first = self.reference(grid.start) - self.range - left + 1;
        (first, self.reference(grid.end()) + right)
    }

    /// Calls `each` with each step that has samples in its window.
    pub(super) fn walk(
        &self,
        evaluator: &mut Evaluator<'_>,
        series: &RangeSeries,
        grid: Grid,
        mut each: impl FnMut(Place<'_>),
    ) -> Result<(), Error> {
        evaluator.poll()?;
        let samples = &series.samples;
        let (mut low, mut high) = (0, 0);
        for (step, time) in grid.times().enumerate() {
            let end = self.reference(time);
            let distance = distance(&series.stretches, end);
            let width = self.range.max(distance * self.needs);
            let (left, right) = self.reach(distance);
            while samples.get(high).is_some_and(|s| s.time.0 <= end + right) {
                high += 1;
            }
            // The borders of windows only rise: samples lie closer the younger they are.
            while low < high && samples[low].time.0 <= end - width - left {
                low += 1;
            }
            if low < high {
                evaluator.spend(high - low)?;
                let samples = &samples[low..high];
                each(Place {
                    step,
                    time,
                    end,
                    width,
                    samples,
                });
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
        let found = self.select(&matchers, span, grid.step.min(lookback), Take::Average)?;
        self.admit(found.len(), grid.len)?;
        let mut columns = Vec::with_capacity(found.len());
        for Sparse { series, stretches } in found {
            self.poll()?;
            let ends = grid.times().map(reference);
            let ends = ends.map(|end| (end, lookback.max(distance(&stretches, end))));
            let values = if ahead > 0 && !times {
                smoothed_values(&series.samples, ends)
            } else {
                let found = latest(&series.samples, ends);
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

    /// The series of a range selector or subquery.
    pub(super) fn ranges(
        &mut self,
        node: &Node,
        grid: Grid,
        wanted: Wanted,
    ) -> Result<Ranges, Error> {
        let selector = match strip(node) {
            Node::MatrixSelector(selector) => selector,
            Node::Subquery(subquery) => {
                let mut ranges = self.subquery(subquery, grid)?;
                if wanted.take == Take::Count {
                    let samples = ranges.series.iter_mut().flat_map(|s| &mut s.samples);
                    samples.for_each(|s| s.value = 1.0);
                }
                return Ok(ranges);
            }
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
            needs: wanted.needs,
        };
        let matchers = matchers(&selector.vs).map_err(Error::Evaluation)?;
        let span = ranges.span(grid);
        // Four samples per window leave a rate its reset and its ends.
        let step = grid.step.min(ranges.range / 4).min(wanted.step_max_ms);
        let found = self.select(&matchers, span, step, wanted.take)?;
        ranges.series.reserve(found.len());
        for found in found {
            self.poll()?;
            let mut series = found.series;
            series.samples.retain(|s| !is_stale(s.value));
            ranges.series.push(RangeSeries {
                labels: series.labels,
                drop_name: false,
                samples: series.samples,
                stretches: found.stretches,
            });
        }
        Ok(ranges)
    }

    /// The distance of a subquery's points.
    pub(super) fn subquery_step(&self, subquery: &SubqueryExpr) -> Result<i64, Error> {
        match subquery.step {
            Some(step) => positive(self.expr.millis(step, self.query)?),
            None => Ok(self.params.subquery_step_ms.max(1)),
        }
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
            needs: 1,
        };
        let step = self.subquery_step(subquery)?;
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
                    stretches: Vec::new(),
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
        take: Take,
    ) -> Result<Vec<Sparse>, Error> {
        let selection = Selection {
            matchers,
            from: Timestamp(from),
            until: Timestamp(until),
            step_ms,
            max_samples: self.samples_left,
            deadline: self.params.limits.deadline,
        };
        let found = self.source.select_sparse(&selection, take)?;
        let read: usize = found.iter().map(|s| s.series.samples.len()).sum();
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

/// At each of the rising times the value on the line between the samples around, or that of the
/// latest where none follows soon; with each time how soon and how late.
fn smoothed_values(samples: &[Sample], ends: impl Iterator<Item = (i64, i64)> + Clone) -> Vec<f64> {
    let mut next = 0;
    let found = latest(samples, ends.clone()).zip(ends);
    let values = found.map(|(before, (end, lookback))| {
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

/// At each of the rising times the latest sample, if it is no older than said beside the time, and
/// not an end.
pub(super) fn latest(
    samples: &[Sample],
    ends: impl Iterator<Item = (i64, i64)>,
) -> impl Iterator<Item = Option<Sample>> {
    let mut next = 0;
    ends.map(move |(end, lookback)| {
        while samples.get(next).is_some_and(|s| s.time.0 <= end) {
            next += 1;
        }
        let last = *samples.get(next.checked_sub(1)?)?;
        (last.time.0 > end - lookback && !is_stale(last.value)).then_some(last)
    })
}
