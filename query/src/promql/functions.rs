//! Function calls.

use jiff::civil::DateTime;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Call, Expr as Node};

use super::columns::{Column, Columns, Grid, holes, map_values, quiet};
use super::eval::{Evaluator, fail, strip};
use super::parse::matchers;
use super::select::Wanted;
use super::window::{self, Window, WindowFunction};
use super::{Error, STALE, calendar, is_stale};
use crate::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Take};

type OfNumber = fn(f64) -> f64;
type OfDate = fn(DateTime) -> i64;

/// Functions of one number.
const MATHS: &[(&str, OfNumber)] = &[
    ("abs", f64::abs),
    ("acos", f64::acos),
    ("acosh", f64::acosh),
    ("asin", f64::asin),
    ("asinh", f64::asinh),
    ("atan", f64::atan),
    ("atanh", f64::atanh),
    ("ceil", f64::ceil),
    ("cos", f64::cos),
    ("cosh", f64::cosh),
    ("deg", f64::to_degrees),
    ("exp", f64::exp),
    ("floor", f64::floor),
    ("ln", f64::ln),
    ("log10", f64::log10),
    ("log2", f64::log2),
    ("rad", f64::to_radians),
    ("sgn", sign),
    ("sin", f64::sin),
    ("sinh", f64::sinh),
    ("sqrt", f64::sqrt),
    ("tan", f64::tan),
    ("tanh", f64::tanh),
];

/// Functions of one time, in UTC.
const DATES: &[(&str, OfDate)] = &[
    ("day_of_month", |t| t.day().into()),
    ("day_of_week", |t| {
        t.weekday().to_sunday_zero_offset().into()
    }),
    ("day_of_year", |t| t.date().day_of_year().into()),
    ("days_in_month", |t| t.date().days_in_month().into()),
    ("hour", |t| t.hour().into()),
    ("minute", |t| t.minute().into()),
    ("month", |t| t.month().into()),
    ("year", |t| t.year().into()),
];

/// Unlike Rust's, zero and NaN have themselves as sign.
fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(n, _)| *n == name).map(|(_, f)| *f)
}

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &Call, grid: Grid) -> Result<Columns, Error> {
        let name = call.func.name;
        let args: Vec<&Node> = call.args.args.iter().map(|arg| strip(arg)).collect();
        if let Some(found) = self.forecast(call, grid) {
            return found;
        }
        if let Some(function) = window::find(name) {
            return self.over_windows(name, function, &args, grid);
        }
        if let Some(f) = find(MATHS, name) {
            return Ok(Columns::Vector(map_values(self.vector(args[0], grid)?, f)));
        }
        if let Some(f) = find(DATES, name) {
            return self.date(f, &args, grid);
        }
        match name {
            "time" => Ok(seconds(grid.times())),
            "pi" => Ok(Columns::Scalar(vec![std::f64::consts::PI; grid.len])),
            "start" => Ok(seconds(std::iter::repeat_n(self.query.0, grid.len))),
            "end" => Ok(seconds(std::iter::repeat_n(self.query.1, grid.len))),
            "range" => {
                let range = self.query.1 - self.query.0;
                Ok(seconds(std::iter::repeat_n(range, grid.len)))
            }
            "step" => Ok(seconds(std::iter::repeat_n(self.query.2, grid.len))),
            "max_of" | "min_of" => {
                let (a, b) = (self.scalar(args[0], grid)?, self.scalar(args[1], grid)?);
                let pick = |(&a, &b): (&f64, &f64)| {
                    if a.is_nan() || b.is_nan() {
                        f64::NAN
                    } else if name == "max_of" {
                        a.max(b)
                    } else {
                        a.min(b)
                    }
                };
                Ok(Columns::Scalar(a.iter().zip(&b).map(pick).collect()))
            }
            "vector" => {
                let values = self.scalar(args[0], grid)?;
                Ok(one_series(Labels::default(), values))
            }
            "scalar" => self.only_one(args[0], grid),
            "timestamp" => self.timestamp(args[0], grid),
            "absent" => {
                let columns = self.vector(args[0], grid)?;
                Ok(absent(
                    args[0],
                    columns.iter().map(|c| c.values.as_slice()),
                    grid,
                ))
            }
            "absent_over_time" => self.absent_over_time(args[0], grid),
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(name, &args, grid),
            "round" => self.round(&args, grid),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
                self.sort(name, &args, grid)
            }
            "label_replace" => self.label_replace(&args, grid),
            "label_join" => self.label_join(&args, grid),
            "info" => self.info(&args, grid),
            _ if name.starts_with("histogram_") => self.histogram(name, &args, grid),
            _ => fail(format!("function {name}() is not supported")),
        }
    }

    fn over_windows(
        &mut self,
        name: &str,
        function: &WindowFunction,
        args: &[&Node],
        grid: Grid,
    ) -> Result<Columns, Error> {
        let mut scalars = Vec::new();
        let mut matrix = None;
        for arg in args {
            if arg.value_type() == ValueType::Matrix {
                matrix = Some(arg);
            } else {
                scalars.push(self.scalar(arg, grid)?);
            }
        }
        let Some(matrix) = matrix else {
            return fail(format!("{name}() needs a range vector"));
        };
        let at_step = |step: usize| scalars.iter().map(move |s| s[step]);
        self.check_arguments(name, grid, at_step)?;
        let ranges = self.ranges(matrix, grid, function.wanted)?;
        self.admit(ranges.series.len(), grid.len)?;
        if let Some(extension) = ranges.extension {
            let allowed = window::allowed(extension);
            if !allowed.contains(&name) {
                return fail(format!(
                    "{} modifier can only be used with: {} - not with {name}",
                    format!("{extension:?}").to_lowercase(),
                    allowed.join(", ")
                ));
            }
        }
        let mut columns = Vec::with_capacity(ranges.series.len());
        let mut args = Vec::new();
        for series in &ranges.series {
            let mut values = holes(grid.len);
            ranges.walk(self, series, grid, |place| {
                args.clear();
                args.extend(at_step(place.step));
                let window = Window {
                    samples: place.samples,
                    end: place.end,
                    range: place.width,
                    time: place.time,
                    args: &args,
                };
                let mut value = match ranges.extension {
                    Some(extension) => window::extended(name, &window, extension),
                    None => (function.apply)(&window),
                };
                if function.grows && place.width != ranges.range {
                    let share = ranges.range as f64 / place.width as f64;
                    value = value.map(|v| v * share);
                }
                values[place.step] = value.map_or(STALE, quiet);
            })?;
            columns.push(Column {
                labels: series.labels.clone(),
                drop_name: series.drop_name || !function.keeps_name,
                values,
            });
        }
        Ok(Columns::Vector(columns))
    }

    fn check_arguments<I: Iterator<Item = f64>>(
        &mut self,
        name: &str,
        grid: Grid,
        at_step: impl Fn(usize) -> I,
    ) -> Result<(), Error> {
        for step in 0..grid.len {
            for (i, arg) in at_step(step).enumerate() {
                match name {
                    "quantile_over_time" => self.warn_quantile(arg),
                    "double_exponential_smoothing" if !(0.0..=1.0).contains(&arg) => {
                        let what = ["smoothing", "trend"][i.min(1)];
                        return fail(format!(
                            "invalid {what} factor. Expected: 0 <= {} <= 1, got: {arg}",
                            ["sf", "tf"][i.min(1)]
                        ));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn date(
        &mut self,
        part: fn(DateTime) -> i64,
        args: &[&Node],
        grid: Grid,
    ) -> Result<Columns, Error> {
        let of = |seconds: f64| calendar::utc(seconds).map_or(f64::NAN, |t| part(t) as f64);
        match args.first() {
            Some(arg) => Ok(Columns::Vector(map_values(self.vector(arg, grid)?, of))),
            None => {
                let values = grid.times().map(|t| of(t as f64 / 1e3)).collect();
                Ok(one_series(Labels::default(), values))
            }
        }
    }

    fn only_one(&mut self, arg: &Node, grid: Grid) -> Result<Columns, Error> {
        let columns = self.vector(arg, grid)?;
        let value = |step: usize| {
            let mut present = columns.iter().map(|c| c.values[step]);
            let mut present = present.by_ref().filter(|v| !is_stale(*v));
            match (present.next(), present.next()) {
                (Some(value), None) => value,
                _ => f64::NAN,
            }
        };
        Ok(Columns::Scalar((0..grid.len).map(value).collect()))
    }

    /// Of a selector the times of its samples, of anything else the times of the steps.
    fn timestamp(&mut self, arg: &Node, grid: Grid) -> Result<Columns, Error> {
        if let Node::VectorSelector(selector) = arg {
            let columns = match self.instant_selector(selector, grid, true)? {
                Columns::Vector(columns) => map_values(columns, |v| v),
                _ => Vec::new(),
            };
            return Ok(Columns::Vector(columns));
        }
        let mut columns = self.vector(arg, grid)?;
        for column in &mut columns {
            column.drop_name = true;
            for (value, time) in column.values.iter_mut().zip(grid.times()) {
                if !is_stale(*value) {
                    *value = time as f64 / 1e3;
                }
            }
        }
        Ok(Columns::Vector(columns))
    }

    fn absent_over_time(&mut self, arg: &Node, grid: Grid) -> Result<Columns, Error> {
        let wanted = Wanted {
            step_max_ms: i64::MAX,
            take: Take::Average,
            needs: 1,
        };
        let ranges = self.ranges(arg, grid, wanted)?;
        let mut present = holes(grid.len);
        for series in &ranges.series {
            ranges.walk(self, series, grid, |place| present[place.step] = 1.0)?;
        }
        Ok(absent(arg, std::iter::once(present.as_slice()), grid))
    }

    fn clamp(&mut self, name: &str, args: &[&Node], grid: Grid) -> Result<Columns, Error> {
        let mut columns = self.vector(args[0], grid)?;
        let bound = self.scalar(args[1], grid)?;
        let (low, high) = match name {
            "clamp" => (bound, self.scalar(args[2], grid)?),
            "clamp_min" => (bound, vec![f64::INFINITY; grid.len]),
            _ => (vec![f64::NEG_INFINITY; grid.len], bound),
        };
        for column in &mut columns {
            column.drop_name = true;
            let bounds = low.iter().zip(&high);
            for (value, (&low, &high)) in column.values.iter_mut().zip(bounds) {
                if low > high {
                    *value = STALE;
                } else if !is_stale(*value) {
                    *value = clamped(*value, low, high);
                }
            }
        }
        Ok(Columns::Vector(columns))
    }

    fn round(&mut self, args: &[&Node], grid: Grid) -> Result<Columns, Error> {
        let mut columns = self.vector(args[0], grid)?;
        let to = match args.get(1) {
            Some(arg) => self.scalar(arg, grid)?,
            None => vec![1.0; grid.len],
        };
        for column in &mut columns {
            column.drop_name = true;
            for (value, to) in column.values.iter_mut().zip(&to) {
                if !is_stale(*value) {
                    // Dividing by the inverse keeps tenths tidy.
                    let inverse = 1.0 / to;
                    *value = quiet((*value * inverse + 0.5).floor() / inverse);
                }
            }
        }
        Ok(Columns::Vector(columns))
    }

    /// A text argument.
    pub(super) fn text(&mut self, node: &Node, grid: Grid) -> Result<String, Error> {
        match self.eval(node, grid)? {
            Columns::Text(text) => Ok(text),
            _ => fail("expected type string"),
        }
    }
}

fn seconds(times: impl Iterator<Item = i64>) -> Columns {
    Columns::Scalar(times.map(|t| t as f64 / 1e3).collect())
}

pub(super) fn one_series(labels: Labels, values: Vec<f64>) -> Columns {
    Columns::Vector(vec![Column {
        labels,
        drop_name: false,
        values,
    }])
}

/// 1 where none of the columns has a value, with the labels the selector demands.
fn absent<'a>(arg: &Node, columns: impl Iterator<Item = &'a [f64]>, grid: Grid) -> Columns {
    let mut values = vec![1.0; grid.len];
    for column in columns {
        for (value, present) in values.iter_mut().zip(column) {
            if !is_stale(*present) {
                *value = STALE;
            }
        }
    }
    one_series(demanded(arg), values)
}

/// The labels that `absent` knows of the series that is not there: those asked for with `=` once
/// and in no other way.
fn demanded(arg: &Node) -> Labels {
    let selector = match arg {
        Node::VectorSelector(selector) => selector,
        Node::MatrixSelector(selector) => &selector.vs,
        _ => return Labels::default(),
    };
    let mut builder = LabelsBuilder::default();
    let mut seen: Vec<String> = Vec::new();
    for matcher in matchers(selector).unwrap_or_default() {
        if matcher.name == METRIC_NAME {
            continue;
        }
        let first = !seen.contains(&matcher.name);
        if first && matches!(matcher.op, MatchOp::Equal) {
            builder.set(matcher.name.as_str(), matcher.value.as_str());
            seen.push(matcher.name);
        } else {
            builder.remove(&matcher.name);
        }
    }
    builder.build()
}

/// NaN in any of the three is the result.
fn clamped(value: f64, low: f64, high: f64) -> f64 {
    if value.is_nan() || low.is_nan() || high.is_nan() {
        f64::NAN
    } else {
        value.min(high).max(low)
    }
}
