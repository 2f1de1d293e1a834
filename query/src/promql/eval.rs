//! Evaluation: each node of an expression becomes columns over a grid of times.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use foldhash::fast::RandomState;
use promql_parser::parser::Expr as Node;
use promql_parser::parser::value::ValueType;
use vigie_parsers::Timestamp;

use super::parse::{Expr, children};
use super::{Answer, Element, Error, Params, STALE, Value, is_stale};
use crate::{Labels, LabelsBuilder, METRIC_NAME, Sample, Series, SeriesSource};

/// The times of an evaluation: `start`, `start + step`, …
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) len: usize,
}

impl Grid {
    pub(super) fn time(&self, step: usize) -> i64 {
        self.start + i64::try_from(step).unwrap_or(i64::MAX) * self.step
    }

    pub(super) fn end(&self) -> i64 {
        self.time(self.len.saturating_sub(1))
    }

    pub(super) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.len).map(move |i| self.time(i))
    }
}

/// One series over the grid.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) labels: Labels,
    /// The name is no longer true, but later nodes may still ask for it; it goes at the end.
    pub(super) drop_name: bool,
    /// One per step; [`STALE`] where there is none. No arithmetic yields these bits: they are a
    /// signalling NaN, and operations answer quiet ones.
    pub(super) values: Vec<f64>,
}

/// What a node evaluates to.
#[derive(Clone, Debug)]
pub(super) enum Columns {
    Scalar(Vec<f64>),
    Vector(Vec<Column>),
    Text(String),
}

pub(super) type LabelMap<V> = HashMap<Labels, V, RandomState>;

/// One query under way.
pub(super) struct Evaluator<'a> {
    pub(super) source: &'a dyn SeriesSource,
    pub(super) params: &'a Params<'a>,
    /// Start, end and step of the whole query, for `@ start()` and the functions of these names.
    pub(super) query: (i64, i64, i64),
    pub(super) samples_left: usize,
    warnings: Vec<String>,
    polls: u32,
}

pub(super) fn fail<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Evaluation(text.into()))
}

pub(super) const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        source: &'a dyn SeriesSource,
        params: &'a Params<'a>,
        query: (i64, i64, i64),
    ) -> Self {
        Self {
            source,
            params,
            query,
            samples_left: params.limits.samples_max,
            warnings: Vec::new(),
            polls: 0,
        }
    }

    pub(super) fn instant(mut self, expr: &Expr, at: i64) -> Result<Answer, Error> {
        let grid = Grid {
            start: at,
            step: 0,
            len: 1,
        };
        let root = strip(&expr.root);
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

    pub(super) fn range(mut self, expr: &Expr, grid: Grid) -> Result<Answer, Error> {
        let root = strip(&expr.root);
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
        let ranges = self.ranges(root, grid, true)?;
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

    /// To be called at least once per series and node: ends the query if it must end.
    pub(super) fn poll(&mut self) -> Result<(), Error> {
        if self
            .params
            .cancel
            .is_some_and(|c| c.load(Ordering::Relaxed))
        {
            return Err(Error::Stopped("cancelled"));
        }
        self.polls = self.polls.wrapping_add(1);
        // The clock costs more than the flag.
        let due = self.polls % 64 == 1;
        if due
            && self
                .params
                .limits
                .deadline
                .is_some_and(|d| Instant::now() >= d)
        {
            return Err(Error::Stopped("its time was up"));
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

fn negate(columns: Columns) -> Columns {
    match columns {
        Columns::Scalar(values) => Columns::Scalar(values.into_iter().map(|v| -v).collect()),
        Columns::Vector(columns) => Columns::Vector(map_values(columns, |v| -v)),
        text @ Columns::Text(_) => text,
    }
}

/// Applies a function to each value there is; the name no longer holds.
pub(super) fn map_values(mut columns: Vec<Column>, f: impl Fn(f64) -> f64) -> Vec<Column> {
    for column in &mut columns {
        column.drop_name = true;
        for value in &mut column.values {
            if !is_stale(*value) {
                *value = quiet(f(*value));
            }
        }
    }
    columns
}

/// Keeps a computed value from being taken for a hole. Only copies of holes can have their bits.
pub(super) fn quiet(value: f64) -> f64 {
    if is_stale(value) { f64::NAN } else { value }
}

/// The labels that tell what a metric is, and that a computed figure has no right to: its name, and
/// the type and unit that Prometheus can add to it.
const IDENTITY: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

pub(super) fn remove_identity(builder: &mut LabelsBuilder) {
    for label in IDENTITY {
        builder.remove(label);
    }
}

pub(super) fn without_name_if(drop_name: bool, labels: Labels) -> Labels {
    if drop_name && IDENTITY.iter().any(|l| labels.get(l).is_some()) {
        let mut builder = labels.to_builder();
        remove_identity(&mut builder);
        builder.build()
    } else {
        labels
    }
}

fn finished(column: Column) -> Column {
    Column {
        labels: without_name_if(column.drop_name, column.labels),
        drop_name: false,
        values: column.values,
    }
}

fn elements(columns: Vec<Column>, at: i64) -> Result<Vec<Element>, Error> {
    let mut seen = LabelMap::default();
    let mut found = Vec::with_capacity(columns.len());
    for column in columns.into_iter().map(finished) {
        let value = column.values[0];
        if is_stale(value) {
            continue;
        }
        if seen.insert(column.labels.clone(), ()).is_some() {
            return fail(SAME_LABELSET);
        }
        found.push(Element {
            labels: column.labels,
            sample: Sample {
                time: Timestamp(at),
                value,
            },
        });
    }
    Ok(found)
}

/// Columns of equal labels become one, which is only possible where they never speak at once.
pub(super) fn merge_same(columns: Vec<Column>) -> Result<Vec<Column>, Error> {
    let mut places: LabelMap<usize> = LabelMap::default();
    let mut merged: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(&place) = places.get(&column.labels) else {
            places.insert(column.labels.clone(), merged.len());
            merged.push(column);
            continue;
        };
        for (into, from) in merged[place].values.iter_mut().zip(column.values) {
            if is_stale(from) {
                continue;
            }
            if !is_stale(*into) {
                return fail(SAME_LABELSET);
            }
            *into = from;
        }
    }
    Ok(merged)
}

/// The values there are, with their times.
pub(super) fn samples(values: &[f64], grid: Grid) -> Vec<Sample> {
    let present = grid.times().zip(values).filter(|(_, v)| !is_stale(**v));
    present
        .map(|(time, &value)| Sample {
            time: Timestamp(time),
            value,
        })
        .collect()
}

/// A column without any value yet.
pub(super) fn holes(len: usize) -> Vec<f64> {
    vec![STALE; len]
}
