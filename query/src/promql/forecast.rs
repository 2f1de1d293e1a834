//! vigie's own functions: forecasts after Holt and Winters with a season, as rrdtool's HWPREDICT,
//! DEVPREDICT and FAILURES, computed when asked and not while data comes in.
//!
//! The range is cut into even steps: those of the subquery, else 288 a season, each the mean of what
//! lies in it. The model learns from the first known step of the window on; the answer is what it
//! expected of the last whole step, before it saw it. Steps without a value are unknown, so a window
//! that reaches beyond the data is a forecast.

use std::sync::Once;

use promql_parser::parser::function::{Function, register_extra_functions};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Call, Expr as Node};

use super::columns::{Column, Columns, Grid, holes, quiet};
use super::eval::{Evaluator, fail, strip};
use super::select::{RangeSeries, Ranges, Wanted, distance};
use super::{Error, STALE};
use crate::Take;
use crate::holt_winters::{Forecast, History, HoltWinters, Model};

/// What is told of a forecast.
#[derive(Clone, Copy, PartialEq)]
enum Tell {
    Predicted,
    Deviation,
    /// So many deviations above what is expected; below where negative.
    Band(f64),
    Failures,
}

struct ForecastFunction {
    name: &'static str,
    tell: Tell,
    multiplicative: bool,
    /// The scalar arguments in their order.
    parameters: &'static [Parameter],
}

#[derive(Clone, Copy, PartialEq)]
enum Parameter {
    Season,
    Delta,
    Threshold,
    Window,
    Alpha,
    Beta,
    Gamma,
}

use Parameter::{Alpha, Beta, Delta, Gamma, Season, Threshold, Window};

const PLAIN: &[Parameter] = &[Season, Alpha, Beta, Gamma];
const BAND: &[Parameter] = &[Season, Delta, Alpha, Beta, Gamma];
const FAILURES: &[Parameter] = &[Season, Delta, Threshold, Window, Alpha, Beta, Gamma];

const fn function(
    name: &'static str,
    tell: Tell,
    multiplicative: bool,
    parameters: &'static [Parameter],
) -> ForecastFunction {
    ForecastFunction {
        name,
        tell,
        multiplicative,
        parameters,
    }
}

const FUNCTIONS: &[ForecastFunction] = &[
    function("hw_predict", Tell::Predicted, false, PLAIN),
    function("hw_deviation", Tell::Deviation, false, PLAIN),
    function("hw_upper", Tell::Band(1.0), false, BAND),
    function("hw_lower", Tell::Band(-1.0), false, BAND),
    function("hw_failures", Tell::Failures, false, FAILURES),
    function("mhw_predict", Tell::Predicted, true, PLAIN),
    function("mhw_deviation", Tell::Deviation, true, PLAIN),
    function("mhw_upper", Tell::Band(1.0), true, BAND),
    function("mhw_lower", Tell::Band(-1.0), true, BAND),
    function("mhw_failures", Tell::Failures, true, FAILURES),
];

/// Makes the grammar crate know the functions.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let functions = FUNCTIONS.iter().map(|f| {
            let types = vec![ValueType::Matrix, ValueType::Scalar];
            let optional = i32::try_from(f.parameters.len()).unwrap_or(0);
            Function::new(f.name, types, optional, ValueType::Vector, true)
        });
        // It fails for names of upstream's own functions; no test could overlook that.
        let _ = register_extra_functions(functions.collect());
    });
}

/// Steps of a whole query: at five minutes, ten years.
const CELLS_MAX: i64 = 1 << 20;
/// Steps of a season.
const PERIOD_MAX: f64 = 100_000.0;
/// Steps in which violations are counted.
const WINDOW_MAX: f64 = 1_000.0;
/// Steps of a season where no subquery says it: rrdtool's five minutes of a day.
const STEPS_OF_SEASON: i64 = 288;
const DAY_S: f64 = 86_400.0;

/// The arguments at one step.
#[derive(Clone, Copy, PartialEq)]
struct Settings {
    season_s: f64,
    delta: f64,
    threshold: f64,
    window: f64,
    alpha: f64,
    beta: f64,
    gamma: f64,
}

impl Settings {
    fn of(
        function: &ForecastFunction,
        mut given: impl Iterator<Item = f64>,
    ) -> Result<Self, Error> {
        let mut own = Self {
            season_s: DAY_S,
            delta: 2.0,
            threshold: 7.0,
            window: 9.0,
            alpha: 0.1,
            beta: 0.0035,
            gamma: f64::NAN,
        };
        for (parameter, value) in function.parameters.iter().zip(given.by_ref()) {
            *match parameter {
                Season => &mut own.season_s,
                Delta => &mut own.delta,
                Threshold => &mut own.threshold,
                Window => &mut own.window,
                Alpha => &mut own.alpha,
                Beta => &mut own.beta,
                Gamma => &mut own.gamma,
            } = value;
        }
        // As rrdtool has it: where only alpha is given, the season follows as fast.
        if own.gamma.is_nan() {
            own.gamma = own.alpha;
        }
        own.check(function.name)?;
        Ok(own)
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let share = |what: &str, value: f64| {
            if (0.0..=1.0).contains(&value) {
                return Ok(());
            }
            fail(format!("{name}(): {what} must be from 0 to 1, got {value}"))
        };
        share("alpha", self.alpha)?;
        share("beta", self.beta)?;
        share("gamma", self.gamma)?;
        if !(self.season_s > 0.0 && self.season_s < 1e10) {
            return fail(format!(
                "{name}(): the season must be a positive number of seconds"
            ));
        }
        if !(1.0..=WINDOW_MAX).contains(&self.window)
            || !(1.0..=self.window).contains(&self.threshold)
        {
            return fail(format!(
                "{name}(): the window must be 1 to {WINDOW_MAX} steps, the threshold 1 to the window"
            ));
        }
        if !self.delta.is_finite() {
            return fail(format!("{name}(): delta must be a number"));
        }
        Ok(())
    }

    fn model(&self, function: &ForecastFunction, step_ms: i64) -> Result<Model, Error> {
        let period = (self.season_s * 1e3 / step_ms as f64).round();
        if !(2.0..=PERIOD_MAX).contains(&period) {
            return fail(format!(
                "{}(): the season has {period} steps, it must have 2 to {PERIOD_MAX}",
                function.name
            ));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked to be small")]
        let period = period as usize;
        Ok(Model {
            alpha: self.alpha,
            beta: self.beta,
            gamma: self.gamma,
            multiplicative: function.multiplicative,
            ..Model::new(period)
        })
    }
}

/// Values at even steps. Cell `i` covers the time from `(i - 1)·step` on, to `i·step` and with it.
struct Cells {
    first: i64,
    step_ms: i64,
    values: Vec<f64>,
}

impl Cells {
    /// Of the samples in a cell the mean; one that stands for a longer slot fills all of it.
    fn of(series: &RangeSeries, (first, last): (i64, i64), step_ms: i64) -> Self {
        let len = usize::try_from(last - first + 1).unwrap_or(0);
        let mut sums = vec![(0.0, 0.0); len];
        for sample in &series.samples {
            let cell = |time: i64| (time - 1).div_euclid(step_ms) + 1;
            let longer = distance(&series.stretches, sample.time.0).max(step_ms) - step_ms;
            for i in cell(sample.time.0 - longer).max(first)..=cell(sample.time.0).min(last) {
                let place = usize::try_from(i - first).ok();
                if let Some((sum, n)) = place.and_then(|p| sums.get_mut(p)) {
                    *sum += sample.value;
                    *n += 1.0;
                }
            }
        }
        Self {
            first,
            step_ms,
            values: sums.into_iter().map(|(sum, n)| sum / n).collect(),
        }
    }

    fn get(&self, i: i64) -> f64 {
        let place = usize::try_from(i - self.first).ok();
        place
            .and_then(|p| self.values.get(p))
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// A model on its way along the cells.
struct Course {
    settings: Settings,
    began: i64,
    next: i64,
    model: HoltWinters,
    history: History,
    last: Option<(Forecast, bool)>,
}

impl Course {
    fn begin(settings: Settings, model: Model, began: i64) -> Self {
        let period = i64::try_from(model.period).unwrap_or(1);
        let phase = usize::try_from(began.rem_euclid(period)).unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "checked to be small")]
        let history = History::new(settings.window as usize, settings.threshold.ceil() as usize);
        Self {
            settings,
            began,
            next: began,
            model: HoltWinters::new(model, phase),
            history,
            last: None,
        }
    }

    fn run(&mut self, cells: &Cells, until: i64) {
        let delta = self.settings.delta;
        while self.next <= until {
            let value = cells.get(self.next);
            let forecast = self.model.step(value);
            let failed = self.history.push(forecast.is_violated(value, delta, delta));
            self.last = Some((forecast, failed));
            self.next += 1;
        }
    }

    fn tell(&self, what: Tell) -> f64 {
        let Some((forecast, failed)) = self.last else {
            return STALE;
        };
        let value = match what {
            Tell::Predicted => forecast.predicted,
            Tell::Deviation => forecast.deviation,
            Tell::Band(side) => {
                forecast.predicted + side * self.settings.delta * forecast.deviation
            }
            Tell::Failures => f64::from(u8::from(failed)),
        };
        if value.is_nan() { STALE } else { quiet(value) }
    }
}

impl Evaluator<'_> {
    /// The call, if it is one of these functions.
    pub(super) fn forecast(&mut self, call: &Call, grid: Grid) -> Option<Result<Columns, Error>> {
        let function = FUNCTIONS.iter().find(|f| f.name == call.func.name)?;
        Some(self.forecasts(function, call, grid))
    }

    fn forecasts(
        &mut self,
        function: &ForecastFunction,
        call: &Call,
        grid: Grid,
    ) -> Result<Columns, Error> {
        let args: Vec<&Node> = call.args.args.iter().map(|arg| strip(arg)).collect();
        let mut scalars = Vec::new();
        for arg in &args[1..] {
            scalars.push(self.scalar(arg, grid)?);
        }
        let settings = |step: usize| Settings::of(function, scalars.iter().map(|s| s[step]));
        let first = settings(0)?;
        let step_ms = match args[0] {
            Node::Subquery(subquery) => self.subquery_step(subquery)?,
            #[expect(clippy::cast_possible_truncation, reason = "checked to be below 1e13")]
            _ => (first.season_s * 1e3 / STEPS_OF_SEASON as f64) as i64,
        }
        .max(1);
        let wanted = Wanted {
            step_max_ms: step_ms,
            take: Take::Average,
            needs: 1,
        };
        let ranges = self.ranges(args[0], grid, wanted)?;
        if ranges.extension.is_some() {
            return fail(format!(
                "{}() takes neither anchored nor smoothed ranges",
                function.name
            ));
        }
        self.admit(ranges.series.len(), grid.len)?;
        let mut columns = Vec::with_capacity(ranges.series.len());
        for series in &ranges.series {
            let values = self.course(function, &ranges, series, (step_ms, grid), &settings)?;
            columns.push(Column {
                labels: series.labels.clone(),
                drop_name: true,
                values,
            });
        }
        Ok(Columns::Vector(columns))
    }

    /// One series: where windows begin with the same step, the model goes on; else it starts again.
    fn course(
        &mut self,
        function: &ForecastFunction,
        ranges: &Ranges,
        series: &RangeSeries,
        (step_ms, grid): (i64, Grid),
        settings: &impl Fn(usize) -> Result<Settings, Error>,
    ) -> Result<Vec<f64>, Error> {
        let window = |time: i64| {
            let end = ranges.reference(time);
            let first = (end - ranges.range).div_euclid(step_ms) + 1;
            (first, end.div_euclid(step_ms))
        };
        let span = (window(grid.start).0, window(grid.end()).1);
        if span.1 - span.0 >= CELLS_MAX {
            return Err(Error::Limit(format!(
                "{}() over {} steps, {CELLS_MAX} are allowed: ask for longer steps or less time",
                function.name,
                span.1 - span.0
            )));
        }
        self.spend(series.samples.len())?;
        let cells = Cells::of(series, span, step_ms);
        let mut known = span.0;
        let mut course: Option<Course> = None;
        let mut values = holes(grid.len);
        for (step, time) in grid.times().enumerate() {
            let (first, last) = window(time);
            known = known.max(first);
            while known <= last && cells.get(known).is_nan() {
                known += 1;
            }
            if known > last {
                continue;
            }
            let settings = settings(step)?;
            let goes_on = |c: &Course| c.began == known && c.settings == settings;
            let mut on = match course.take().filter(goes_on) {
                Some(course) => course,
                None => Course::begin(settings, settings.model(function, cells.step_ms)?, known),
            };
            self.spend(usize::try_from(last - on.next + 1).unwrap_or(0))?;
            on.run(&cells, last);
            values[step] = on.tell(function.tell);
            course = Some(on);
        }
        Ok(values)
    }
}
