//! What somebody asks to see, in PromQL, as a draft of a chart: curves, and what is laid over them.
//! `vigie graph` and the explore page draw from here.

use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Error, Expr, Params, Value};
use vigie_query::{Labels, LabelsBuilder, METRIC_NAME, MetricKind, Sample, Series, SeriesSource};

use super::graph::{Curve, Plan, reduced, titled};
use super::palette::Color;
use super::spec::{Draft, Envelope, Kind, Level, Limit, Line, Shape, Span, names};
use super::units::{self, Unit};

/// One expression and what its curves are called.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As it was typed.
    pub text: String,
    /// `in {{device}}`; without it, what tells the series apart.
    pub label: Option<String>,
}

/// What is drawn, and laid over it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The curves of so many expressions, from the first, are areas. `None`: a curve that is alone.
    pub areas: Option<usize>,
    /// Each curve on the one before.
    pub stack: bool,
    /// A tint between the extremes of each cell.
    pub envelope: bool,
    /// Of gauges, also what lies between the points: their mean and extremes.
    pub between: bool,
    /// The value that so many percent do not pass, as a line for each curve.
    pub percentile: Option<f64>,
    /// The least-squares line of each curve.
    pub trend: bool,
    /// The same so many milliseconds before.
    pub shifts_ms: Vec<i64>,
    /// What is expected of a season of so many milliseconds, with its band.
    pub season_ms: Option<i64>,
    /// Curves at most; the rest is not drawn and counted.
    pub curves_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            areas: None,
            stack: false,
            envelope: true,
            between: true,
            percentile: None,
            trend: false,
            shifts_ms: Vec::new(),
            season_ms: None,
            curves_max: 40,
        }
    }
}

/// Asks a source.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// When.
    pub plan: Plan,
    /// With what limits.
    pub params: Params<'a>,
}

/// A draft and what did not fit.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The draft, without title, marks and limits of its own.
    pub draft: Draft,
    /// Curves that were left out.
    pub hidden: usize,
}

/// Seasons from which a forecast learns.
const SEASONS: i64 = 10;
/// Its steps of a season.
const SEASON_STEPS: i64 = 288;

impl Ask<'_> {
    /// All curves of some expressions, and what is laid over them.
    ///
    /// # Errors
    /// When an expression cannot be read or evaluated, or has no curve.
    pub fn draft(
        &self,
        source: &dyn SeriesSource,
        asked: &[Asked],
        options: &Options,
        unit: Option<Unit>,
    ) -> Result<Asking, Error> {
        let Plan {
            from,
            until,
            grid,
            step_ms,
        } = self.plan;
        let begin = from.plus_ms(-step_ms);
        let guessed = asked.first().map_or(Unit::COUNT, |a| unit_of(&a.text));
        let unit = unit.unwrap_or(guessed);
        let mut draft = Draft::new("graph", "", unit, begin, until, grid);
        if options.stack {
            draft.shape = Shape::Stack;
        }
        let mut drawn: Vec<(usize, Labels, Curve)> = Vec::new();
        for (i, one) in asked.iter().enumerate() {
            let expr = promql::parse(&one.text)?;
            let found = self.curves(source, &one.text, &expr, (0, options.between))?;
            drawn.extend(found.into_iter().map(|(labels, curve)| (i, labels, curve)));
        }
        let hidden = drawn.len().saturating_sub(options.curves_max);
        drawn.truncate(options.curves_max);
        let called = names(drawn.iter().map(|(_, labels, _)| labels));
        for ((i, labels, curve), name) in drawn.iter_mut().zip(&called) {
            let Some(one) = asked.get(*i) else { continue };
            let twice = called.iter().filter(|other| *other == name).count() > 1;
            curve.label = match &one.label {
                Some(template) => titled(template, labels),
                // The same series of several expressions: these tell them apart.
                None if twice => format!("{name}: {}", one.text),
                None if labels.is_empty() => {
                    one.text.split_whitespace().collect::<Vec<_>>().join(" ")
                }
                None => name.clone(),
            };
        }
        let areas = options.areas.unwrap_or(usize::from(drawn.len() == 1));
        for (at, (i, _, curve)) in drawn.iter().enumerate() {
            let kind = if options.stack || *i < areas {
                Kind::Area
            } else {
                Kind::Line
            };
            let mut line = curve.line(&grid, Color::series(at), kind);
            if options.stack || !options.envelope {
                line.envelope = None;
            }
            draft.lines.push(line);
        }
        self.overlays(source, asked, options, &drawn, &mut draft)?;
        Ok(Asking { draft, hidden })
    }

    fn overlays(
        &self,
        source: &dyn SeriesSource,
        asked: &[Asked],
        options: &Options,
        drawn: &[(usize, Labels, Curve)],
        draft: &mut Draft,
    ) -> Result<(), Error> {
        let grid = self.plan.grid;
        for (at, (_, _, curve)) in drawn.iter().enumerate() {
            let color = Color::series(at);
            if let Some(percent) = options.percentile
                && let Some(value) = curve.percentile(percent)
            {
                let label = format!(
                    "{percent} % of {}: {}",
                    curve.label,
                    draft.unit.format(value)
                );
                let mut limit = Limit::new(value, &label, Level::Info);
                limit.of = Some(color);
                draft.limits.push(limit);
            }
            if let Some(trend) = curve.trend().filter(|_| options.trend) {
                let sign = if trend.per_second < 0.0 { "−" } else { "+" };
                let a_day = draft.unit.format(trend.per_second.abs() * 86_400.0);
                let label = format!("trend of {}, {sign}{a_day} a day", curve.label);
                let ys = trend.column(&grid);
                draft.lines.push(Line::new(&label, color, Kind::Dash, ys));
            }
        }
        let place = |labels: &Labels, i: usize| {
            let mut all = drawn.iter().enumerate();
            all.find(|(_, (of, l, _))| *of == i && l == labels)
                .map(|(at, (_, _, curve))| (Color::series(at), curve.label.clone()))
        };
        for (i, one) in asked.iter().enumerate() {
            let expr = promql::parse(&one.text)?;
            for &shift in &options.shifts_ms {
                for (labels, mut curve) in
                    self.curves(source, &one.text, &expr, (shift, options.between))?
                {
                    let Some((color, name)) = place(&labels, i) else {
                        continue;
                    };
                    curve.label = format!("{name}, {} before", units::step(shift));
                    let mut line = curve.line(&grid, color, Kind::Dash);
                    line.envelope = None;
                    draft.lines.push(line);
                }
            }
            if let Some(season) = options.season_ms {
                for (labels, mut line) in self.expected(source, &one.text, season, draft)? {
                    if let Some((color, name)) = place(&labels, i) {
                        line.label = format!("expected of {name}");
                        line.color = color;
                        draft.lines.push(line);
                    }
                }
            }
        }
        Ok(())
    }

    /// The curves of an expression, so many milliseconds before the plan's range, moved into it;
    /// of a gauge also between the points.
    fn curves(
        &self,
        source: &dyn SeriesSource,
        text: &str,
        expr: &Expr,
        (shift_ms, between): (i64, bool),
    ) -> Result<Vec<(Labels, Curve)>, Error> {
        let ask = |expr: &Expr| {
            let mut found = self.range(source, expr, self.plan.step_ms, shift_ms)?;
            for sample in found.iter_mut().flat_map(|s| &mut s.samples) {
                sample.time = sample.time.plus_ms(shift_ms);
            }
            Ok::<_, Error>(found)
        };
        let name = match between {
            true => gauge_of(source, expr)?,
            false => None,
        };
        let Some(name) = name else {
            let found = ask(expr)?.into_iter();
            return Ok(found.map(|s| (s.labels, curve(s.samples))).collect());
        };
        // What a gauge did between two points is known: its mean, and its extremes.
        let over = |function: &str| {
            let text = format!("{function}({text}[{}s])", self.plan.step_ms / 1000);
            // An offset or a comment behind the selector: then the points must do.
            let Ok(expr) = promql::parse(&text) else {
                return Ok(None);
            };
            ask(&expr).map(Some)
        };
        let (Some(mean), Some(low), Some(high)) = (
            over("avg_over_time")?,
            over("min_over_time")?,
            over("max_over_time")?,
        ) else {
            let found = ask(expr)?.into_iter();
            return Ok(found.map(|s| (s.labels, curve(s.samples))).collect());
        };
        let found = mean
            .into_iter()
            .zip(low)
            .zip(high)
            .map(|((mean, low), high)| {
                let mut labels = LabelsBuilder::default();
                for (label, value) in mean.labels.iter().chain([(METRIC_NAME, name.as_str())]) {
                    labels.set(label, value);
                }
                let mut curve = curve(mean.samples);
                curve.extremes = Some((low.samples, high.samples));
                (labels.build(), curve)
            });
        Ok(found.collect())
    }

    /// The forecast of each series with its band; failures become spans of the draft.
    fn expected(
        &self,
        source: &dyn SeriesSource,
        text: &str,
        season_ms: i64,
        draft: &mut Draft,
    ) -> Result<Vec<(Labels, Line)>, Error> {
        let step_s = (season_ms / SEASON_STEPS / 1000).max(1);
        let season_s = season_ms / 1000;
        let range_s = SEASONS * season_s;
        let ask = |function: &str| {
            // Line ends, so that a comment behind the expression ends.
            let text = format!("{function}((\n{text}\n)[{range_s}s:{step_s}s], {season_s})");
            self.range(source, &promql::parse(&text)?, self.plan.grid.step_ms, 0)
        };
        let grid = self.plan.grid;
        let (low, high) = (ask("hw_lower")?, ask("hw_upper")?);
        let column = |all: &[Series], labels: &Labels| {
            let found = all.iter().find(|s| s.labels == *labels);
            found.map_or_else(Vec::new, |s| reduced(&s.samples, &grid).0)
        };
        // What is to come is not outside of anything yet.
        let known = draft
            .lines
            .iter()
            .flat_map(|l| l.ys.iter().rposition(Option::is_some));
        let last = known.max().map_or(grid.start, |i| grid.at(i));
        for mut failing in ask("hw_failures")? {
            failing.samples.retain(|s| s.time <= last);
            draft.spans.extend(spans(&failing.samples, grid.step_ms));
        }
        // A band of what was never negative ends at 0.
        let mut drawn = draft.lines.iter().flat_map(|l| l.ys.iter().flatten());
        let floor = match drawn.all(|&y| y >= 0.0) {
            true => 0.0,
            false => f64::NEG_INFINITY,
        };
        let mut out = Vec::new();
        for series in ask("hw_predict")? {
            let ys = reduced(&series.samples, &grid).0;
            let mut line = Line::new("", Color::INK_3, Kind::Dash, ys);
            line.envelope = Some(Envelope {
                low: column(&low, &series.labels)
                    .into_iter()
                    .map(|y| y.map(|y| y.max(floor)))
                    .collect(),
                high: column(&high, &series.labels),
            });
            out.push((series.labels, line));
        }
        // Forecasts have no name: that of the only metric is given back, so that they are found.
        if let Some(name) = gauge_name(&promql::parse(text)?) {
            for (labels, _) in &mut out {
                let mut builder = labels.to_builder();
                builder.set(METRIC_NAME, name.as_str());
                *labels = builder.build();
            }
        }
        Ok(out)
    }

    fn range(
        &self,
        source: &dyn SeriesSource,
        expr: &Expr,
        step_ms: i64,
        shift_ms: i64,
    ) -> Result<Vec<Series>, Error> {
        let first = if step_ms == self.plan.step_ms {
            self.plan.from
        } else {
            self.plan.grid.start
        };
        let from = first.plus_ms(-shift_ms);
        let until = self.plan.until.plus_ms(-shift_ms).max(from);
        match promql::range(source, expr, from, until, step_ms, &self.params)?.value {
            Value::Matrix(series) => Ok(series),
            _ => Err(Error::Evaluation("the answer has no curve".to_owned())),
        }
    }
}

fn curve(samples: Vec<Sample>) -> Curve {
    Curve {
        samples,
        ..Curve::default()
    }
}

/// Times in which the value is 1, joined.
fn spans(samples: &[Sample], step_ms: i64) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    for sample in samples.iter().filter(|s| s.value == 1.0) {
        let from = sample.time.plus_ms(-step_ms);
        match out.last_mut().filter(|s| s.to == Some(from)) {
            Some(span) => span.to = Some(sample.time),
            None => out.push(Span {
                from,
                to: Some(sample.time),
                level: Level::Warn,
                label: "outside of what is expected".to_owned(),
            }),
        }
    }
    out
}

/// The metric's name of an expression that is nothing but a selector.
fn gauge_name(expr: &Expr) -> Option<String> {
    let selectors = promql::selectors(expr);
    let [selector] = selectors.as_slice() else {
        return None;
    };
    let mut equal = selector.matchers.iter().filter(|m| m.name == METRIC_NAME);
    let name = equal
        .next()
        .filter(|m| matches!(m.op, vigie_query::MatchOp::Equal))?;
    expr.is_selector().then(|| name.value.clone())
}

/// The name, if the metric is a gauge: the mean of a counter says nothing.
fn gauge_of(source: &dyn SeriesSource, expr: &Expr) -> Result<Option<String>, Error> {
    let Some(name) = gauge_name(expr) else {
        return Ok(None);
    };
    let all = source.metadata()?;
    let is_gauge = all
        .iter()
        .any(|m| m.name == name && m.kind == MetricKind::Gauge);
    Ok(is_gauge.then_some(name))
}

/// What the values of an expression count, by the name of its first metric.
#[must_use]
pub fn unit_of(text: &str) -> Unit {
    let Ok(expr) = promql::parse(text) else {
        return Unit::COUNT;
    };
    let selectors = promql::selectors(&expr);
    let name = selectors.first().and_then(|s| {
        let mut named = s.matchers.iter().filter(|m| m.name == METRIC_NAME);
        named.next().map(|m| m.value.clone())
    });
    let rate = ["rate(", "deriv("].iter().any(|f| text.contains(f));
    let bits = text.replace(' ', "");
    let unit = name.map_or(Unit::COUNT, |name| Unit::of_metric(&name, rate));
    // Eight times the octets are bits.
    if unit == Unit::BYTES_PER_SECOND && (bits.ends_with("*8") || bits.starts_with("8*")) {
        return Unit::BITS_PER_SECOND;
    }
    unit
}

/// The times of a plan, so that data can be written as a table.
pub fn times(plan: &Plan) -> impl Iterator<Item = Timestamp> {
    let grid = plan.grid;
    (0..grid.len).map(move |i| grid.at(i))
}
