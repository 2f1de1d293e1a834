//! Evaluation: each node of an expression becomes columns over a grid of times.

use std::sync::atomic::Ordering;
use std::time::Instant;

use promql_parser::parser::Expr as Node;
use promql_parser::parser::value::ValueType;

use super::columns::{
    Column, Columns, Grid, elements, finished, merge_same, negate, samples, without_name_if,
};
use super::parse::{Expr, MILLIS_MAX, children};
use super::select::Wanted;
use super::{Answer, Error, Params, Value};
use crate::{Labels, Series, SeriesSource, Take};

/// Samples between two looks at the clock: a millisecond at most.
const CLOCK_WORK: usize = 32_768;
/// What a series costs in samples, however few it has.
const SERIES_WORK: usize = 512;

/// One query under way.
pub(super) struct Evaluator<'a> {
    pub(super) source: &'a dyn SeriesSource,
    pub(super) expr: &'a Expr,
    pub(super) params: &'a Params<'a>,
    /// Start, end and step of the whole query, for `@ start()` and the functions of these names.
    pub(super) query: (i64, i64, i64),
    pub(super) samples_left: usize,
    warnings: Vec<String>,
    /// Samples looked at since the clock was.
    work: usize,
}

pub(super) fn fail<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Evaluation(text.into()))
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        source: &'a dyn SeriesSource,
        params: &'a Params<'a>,
        expr: &'a Expr,
        query: (i64, i64, i64),
    ) -> Self {
        Self {
            source,
            expr,
            params,
            query,
            samples_left: params.limits.samples_max,
            warnings: Vec::new(),
            work: CLOCK_WORK,
        }
    }

    pub(super) fn instant(mut self, at: i64) -> Result<Answer, Error> {
        let grid = Grid {
            start: at,
            step: 0,
            len: 1,
        };
        let root = strip(&self.expr.root);
        let value = if root.value_type() == ValueType::Matrix {
            Value::Matrix(self.raw_matrix(root, grid)?)
        } else {
            match self.eval(root, grid)? {
                Columns::Scalar(values) => Value::Scalar(values[0]),
                Columns::Text(text) => Value::String(text),
                Columns::Vector(columns) => Value::Vector(elements(columns, at)?),
            }
        };
        Ok(self.answer(value))
    }

    pub(super) fn range(mut self, grid: Grid) -> Result<Answer, Error> {
        let root = strip(&self.expr.root);
        if !matches!(root.value_type(), ValueType::Scalar | ValueType::Vector) {
            return fail(format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                root.value_type().to_string()
            ));
        }
        let columns = match self.eval(root, grid)? {
            Columns::Vector(columns) => columns,
            Columns::Scalar(values) => vec![Column {
                labels: Labels::default(),
                drop_name: false,
                values,
            }],
            Columns::Text(_) => Vec::new(),
        };
        let mut columns = merge_same(columns.into_iter().map(finished).collect())?;
        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        let series = columns.into_iter().filter_map(|c| {
            let samples = samples(&c.values, grid);
            (!samples.is_empty()).then_some(Series {
                labels: c.labels,
                samples,
            })
        });
        let value = Value::Matrix(series.collect());
        Ok(self.answer(value))
    }

    fn raw_matrix(&mut self, root: &Node, grid: Grid) -> Result<Vec<Series>, Error> {
        let wanted = Wanted {
            step_max_ms: 0,
            take: Take::Average,
            needs: 1,
        };
        let ranges = self.ranges(root, grid, wanted)?;
        if ranges.extension.is_some() {
            return fail("anchored and smoothed ranges need a function such as increase()");
        }
        let end = ranges.reference(grid.start);
        let mut found = Vec::new();
        for mut series in ranges.series {
            series
                .samples
                .retain(|s| s.time.0 > end - ranges.range && s.time.0 <= end);
            if !series.samples.is_empty() {
                found.push(Series {
                    labels: without_name_if(series.drop_name, series.labels),
                    samples: series.samples,
                });
            }
        }
        Ok(found)
    }

    fn answer(self, value: Value) -> Answer {
        Answer {
            value,
            warnings: self.warnings,
        }
    }

    /// Keeps a remark for the asker, once.
    pub(super) fn warn(&mut self, text: String) {
        /// Remarks that differ by a series' name could be as many as the series.
        const WARNINGS_MAX: usize = 20;
        if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// How far an instant selector looks back, held to what cannot overflow.
    pub(super) fn lookback(&self) -> i64 {
        self.params.lookback_ms.clamp(1, MILLIS_MAX)
    }

    /// To be called at least once per series and node: ends the query if it must end.
    pub(super) fn poll(&mut self) -> Result<(), Error> {
        self.check_cancel()?;
        self.spend(SERIES_WORK)
    }

    /// Accounts for samples looked at; ends the query if its time is up or nobody waits for it.
    pub(super) fn spend(&mut self, samples: usize) -> Result<(), Error> {
        self.work += samples;
        if self.work < CLOCK_WORK {
            return Ok(());
        }
        self.work = 0;
        self.check_cancel()?;
        let deadline = self.params.limits.deadline;
        if deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(Error::Stopped("its time was up"));
        }
        Ok(())
    }

    fn check_cancel(&self) -> Result<(), Error> {
        let cancel = self.params.cancel;
        if cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
            return Err(Error::Stopped("cancelled"));
        }
        Ok(())
    }

    /// Refuses column sets beyond the limit, before they are made.
    pub(super) fn admit(&self, columns: usize, steps: usize) -> Result<(), Error> {
        let max = self.params.limits.points_max;
        if columns.saturating_mul(steps) > max {
            return Err(Error::Limit(format!(
                "{columns} series × {steps} steps are more than the {max} points allowed: ask for \
                 a longer step, a shorter range or fewer series"
            )));
        }
        Ok(())
    }

    pub(super) fn eval(&mut self, node: &Node, grid: Grid) -> Result<Columns, Error> {
        self.poll()?;
        if grid.len > 1 && is_fixed(node) {
            let once = self.eval(node, Grid { len: 1, ..grid })?;
            return self.repeat(once, grid.len);
        }
        match node {
            Node::NumberLiteral(number) => Ok(Columns::Scalar(vec![number.val; grid.len])),
            Node::StringLiteral(text) => Ok(Columns::Text(text.val.clone())),
            Node::Paren(paren) => self.eval(&paren.expr, grid),
            Node::VectorSelector(selector) => self.instant_selector(selector, grid, false),
            Node::Unary(unary) => Ok(negate(self.eval(&unary.expr, grid)?)),
            Node::Binary(binary) => self.binary(binary, grid),
            Node::Aggregate(aggregate) => self.aggregate(aggregate, grid),
            Node::Call(call) => self.call(call, grid),
            Node::MatrixSelector(_) | Node::Subquery(_) => {
                fail("a range vector is not allowed here")
            }
            Node::Extension(_) => fail("extensions are not supported"),
        }
    }

    /// A vector, or an error that names what it is instead.
    pub(super) fn vector(&mut self, node: &Node, grid: Grid) -> Result<Vec<Column>, Error> {
        match self.eval(node, grid)? {
            Columns::Vector(columns) => Ok(columns),
            _ => fail("expected type instant vector"),
        }
    }

    /// A number per step.
    pub(super) fn scalar(&mut self, node: &Node, grid: Grid) -> Result<Vec<f64>, Error> {
        match self.eval(node, grid)? {
            Columns::Scalar(values) => Ok(values),
            _ => fail("expected type scalar"),
        }
    }

    fn repeat(&self, once: Columns, len: usize) -> Result<Columns, Error> {
        Ok(match once {
            Columns::Scalar(values) => Columns::Scalar(vec![values[0]; len]),
            Columns::Vector(mut columns) => {
                self.admit(columns.len(), len)?;
                for column in &mut columns {
                    column.values = vec![column.values[0]; len];
                }
                Columns::Vector(columns)
            }
            text @ Columns::Text(_) => text,
        })
    }
}

/// Functions whose answer depends on the time of evaluation, whatever they are given.
const OF_TIME: [&str; 11] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "time",
    "timestamp",
    "year",
];

/// Whether a node has one answer for all steps: constants, and selectors fixed with `@`.
fn is_fixed(node: &Node) -> bool {
    match node {
        Node::VectorSelector(selector) => selector.at.is_some(),
        Node::MatrixSelector(selector) => selector.vs.at.is_some(),
        Node::Subquery(subquery) => subquery.at.is_some(),
        Node::Call(call) if OF_TIME.contains(&call.func.name) => false,
        _ => children(node).into_iter().all(is_fixed),
    }
}

/// Without parentheses around it.
pub(super) fn strip(node: &Node) -> &Node {
    match node {
        Node::Paren(paren) => strip(&paren.expr),
        other => other,
    }
}
