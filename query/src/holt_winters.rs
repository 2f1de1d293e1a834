//! Holt and Winters' forecast with a season, as rrdtool's `HWPREDICT` and `MHWPREDICT` compute it.
//!
//! A value is expected to be a level that moves by a slope, plus (or times) what is usual at this
//! phase of the season. Each step says first what it expects and how far values strayed from what
//! was expected at this phase, and learns from the value then. The rules are those of rrdtool's
//! code, step by step, so that figures agree; where they differ is said at the place.

use std::collections::VecDeque;

/// How a series is modelled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// How fast the level follows, 0 to 1.
    pub alpha: f64,
    /// How fast the slope follows, 0 to 1.
    pub beta: f64,
    /// How fast season and deviation follow, 0 to 1.
    pub gamma: f64,
    /// Steps of a season.
    pub period: usize,
    /// The season is a factor (`MHWPREDICT`) and not a summand (`HWPREDICT`).
    pub multiplicative: bool,
    /// The share of a season over which the seasonal arrays are smoothed, once a season.
    pub smoothing: f64,
    /// The phase after which they are smoothed, from the fourth season on; before, after phase 0.
    pub smooth_at: usize,
}

impl Model {
    /// The usual constants, those of rrdtool's manual: level and season move by a tenth, the slope
    /// by 0.0035, and a twentieth of the season is smoothed.
    #[must_use]
    pub fn new(period: usize) -> Self {
        Self {
            alpha: 0.1,
            beta: 0.0035,
            gamma: 0.1,
            period: period.max(1),
            multiplicative: false,
            smoothing: 0.05,
            smooth_at: 0,
        }
    }
}

/// What one step is expected to bring; NaN where nothing is known yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// The value.
    pub predicted: f64,
    /// How far values strayed at this phase of the season.
    pub deviation: f64,
    /// Against what a violation is judged: `predicted`, but known from the second value on.
    judged: f64,
}

impl Forecast {
    /// Whether a value lies outside `predicted ± delta · deviation`. An unknown one does, once
    /// there is a deviation to judge it by.
    #[must_use]
    pub fn is_violated(&self, value: f64, above: f64, below: f64) -> bool {
        if self.deviation.is_nan() {
            return false;
        }
        value.is_nan()
            || value > self.judged + above * self.deviation
            || value < self.judged - below * self.deviation
    }
}

/// Seasons in which the arrays are smoothed at their wrap, whatever `smooth_at`.
const BURN_IN: usize = 3;

/// An array with a value for each phase of the season.
#[derive(Clone, Debug)]
struct Seasonal {
    rows: Vec<f64>,
    /// The value of the next phase. rrdtool reads it before it smooths, so the step after uses the
    /// unsmoothed one.
    ahead: f64,
}

impl Seasonal {
    fn new(period: usize) -> Self {
        Self {
            rows: vec![f64::NAN; period],
            ahead: f64::NAN,
        }
    }

    fn store(&mut self, row: usize, value: f64) {
        let next = if row + 1 == self.rows.len() {
            0
        } else {
            row + 1
        };
        if let Some(slot) = self.rows.get_mut(row) {
            *slot = value;
        }
        self.ahead = self.rows.get(next).copied().unwrap_or(f64::NAN);
    }

    /// A centred moving mean around the ring. False where a phase is unknown yet.
    fn smooth(&mut self, reach: usize) -> bool {
        let len = self.rows.len();
        if reach == 0 || self.rows.iter().any(|v| v.is_nan()) {
            return false;
        }
        let old = self.rows.clone();
        let at = |i: usize| old.get(i % len).copied().unwrap_or(f64::NAN);
        let width = (2 * reach + 1) as f64;
        let mut sum: f64 = (0..2 * reach).map(|i| at(i + len - reach % len)).sum();
        for (i, row) in self.rows.iter_mut().enumerate() {
            sum += at(i + reach);
            *row = sum / width;
            sum -= at(i + len - reach % len);
        }
        true
    }

    fn mean(&self) -> f64 {
        self.rows.iter().sum::<f64>() / self.rows.len() as f64
    }
}

/// A series under forecast.
#[derive(Clone, Debug)]
pub struct HoltWinters {
    model: Model,
    level: f64,
    slope: f64,
    /// Steps since the last known value.
    unknown: f64,
    season: Seasonal,
    deviation: Seasonal,
    row: usize,
    wraps: usize,
}

impl HoltWinters {
    /// Nothing learnt yet; the first step has this phase of the season.
    #[must_use]
    pub fn new(mut model: Model, phase: usize) -> Self {
        model.period = model.period.max(1);
        Self {
            model,
            level: f64::NAN,
            slope: f64::NAN,
            unknown: 1.0,
            season: Seasonal::new(model.period),
            deviation: Seasonal::new(model.period),
            row: phase % model.period,
            wraps: 0,
        }
    }

    /// What the next step is expected to bring; then learns from its value, NaN for an unknown one.
    pub fn step(&mut self, value: f64) -> Forecast {
        let (season, deviation) = (self.season.ahead, self.deviation.ahead);
        let mut before = (self.level, self.slope, self.unknown);
        let mut predicted = f64::NAN;
        if self.level.is_nan() || self.slope.is_nan() || season.is_nan() {
            if self.level.is_nan() && !value.is_nan() {
                (self.level, self.slope, self.unknown) = (value, 0.0, 1.0);
                before = (value, 0.0, 1.0);
            }
        } else {
            predicted = self.predict(before, season);
            self.learn(value, season);
        }
        let judged = self.predict(before, season);
        self.season
            .store(self.row, self.next_season(value, season, before));
        let strayed = self.next_deviation(value, judged, deviation);
        self.deviation.store(self.row, strayed);
        self.turn();
        Forecast {
            predicted,
            deviation,
            judged,
        }
    }

    fn predict(&self, (level, slope, steps): (f64, f64, f64), season: f64) -> f64 {
        if self.model.multiplicative {
            (level + slope * steps) * season
        } else {
            level + slope * steps + season
        }
    }

    fn learn(&mut self, value: f64, season: f64) {
        if value.is_nan() {
            self.unknown += 1.0;
            return;
        }
        let Model { alpha, beta, .. } = self.model;
        let own = match self.model.multiplicative {
            false => value - season,
            true if season <= 0.0 => f64::NAN,
            true => value / season,
        };
        let old = self.level;
        self.level = alpha * own + (1.0 - alpha) * (old + self.slope * self.unknown);
        self.slope = beta * (self.level - old) + (1.0 - beta) * self.slope;
        self.unknown = 1.0;
    }

    fn next_season(&self, value: f64, season: f64, before: (f64, f64, f64)) -> f64 {
        if value.is_nan() {
            return season;
        }
        if before.0.is_nan() || before.1.is_nan() {
            return f64::NAN;
        }
        let above = |level: f64| match self.model.multiplicative {
            false => value - level,
            true if level <= 0.0 => f64::NAN,
            true => value / level,
        };
        if season.is_nan() {
            return above(before.0);
        }
        let gamma = self.model.gamma;
        gamma * above(self.level) + (1.0 - gamma) * season
    }

    fn next_deviation(&self, value: f64, judged: f64, deviation: f64) -> f64 {
        if judged.is_nan() {
            return f64::NAN;
        }
        if value.is_nan() {
            return deviation;
        }
        let strayed = (judged - value).abs();
        if deviation.is_nan() {
            return strayed;
        }
        let gamma = self.model.gamma;
        gamma * strayed + (1.0 - gamma) * deviation
    }

    /// To the next phase; smooths where it is time.
    fn turn(&mut self) {
        let row = self.row;
        self.row = if row + 1 == self.model.period {
            0
        } else {
            row + 1
        };
        let due = if self.wraps < BURN_IN {
            self.wraps += usize::from(row == 0);
            row == 0
        } else {
            row == self.model.smooth_at
        };
        if due {
            self.smooth();
        }
    }

    fn smooth(&mut self) {
        let period = self.model.period as f64;
        let reach = (self.model.smoothing / 2.0 * period).clamp(0.0, period / 2.0);
        #[expect(clippy::cast_possible_truncation, reason = "at most half a period")]
        let reach = reach.floor() as usize;
        if self.season.smooth(reach) {
            // What all phases have in common belongs to the level. rrdtool adds it there even
            // where the season is a factor, which makes the next forecast jump.
            let mean = self.season.mean();
            for row in &mut self.season.rows {
                if self.model.multiplicative {
                    *row /= mean;
                } else {
                    *row -= mean;
                }
            }
            if self.model.multiplicative {
                self.level *= mean;
                self.slope *= mean;
            } else {
                self.level += mean;
            }
        }
        self.deviation.smooth(reach);
    }
}

/// The violations of the last steps: rrdtool's `FAILURES`.
#[derive(Clone, Debug)]
pub struct History {
    window: VecDeque<bool>,
    len: usize,
    threshold: usize,
}

impl History {
    /// A failure is `threshold` violations within `window` steps.
    #[must_use]
    pub fn new(window: usize, threshold: usize) -> Self {
        Self {
            window: VecDeque::new(),
            len: window.max(1),
            threshold,
        }
    }

    /// Takes in whether this step is a violation; answers whether it is a failure.
    pub fn push(&mut self, violated: bool) -> bool {
        if self.window.len() == self.len {
            self.window.pop_front();
        }
        self.window.push_back(violated);
        self.window.iter().filter(|v| **v).count() >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rrdtool itself writes for the values 1 to 9, a day each, season of two days.
    #[test]
    fn figures_of_rrdtool() {
        let model = Model {
            alpha: 0.5,
            beta: 0.1,
            gamma: 0.5,
            ..Model::new(2)
        };
        let mut series = HoltWinters::new(model, 0);
        let found: Vec<Forecast> = (1..=9).map(|v| series.step(f64::from(v))).collect();
        let predicted = [
            f64::NAN,
            f64::NAN,
            1.0,
            3.1,
            3.195,
            5.05775,
            5.537_487_5,
            7.133_544_375,
            7.821_898_718_75,
        ];
        for (found, expected) in found.iter().zip(predicted) {
            let same = (found.predicted - expected).abs() < 1e-9;
            assert!(
                same || found.predicted.is_nan() && expected.is_nan(),
                "{found:?} {expected}"
            );
        }
        let deviation = [2.0, 0.9, 1.9025, 0.921_125, 1.682_506_25, 0.893_790_312_5];
        let found = found.iter().skip(4).map(|f| f.deviation);
        for (found, expected) in found.zip(deviation) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn a_season_is_learnt_and_outlasts_a_day_unknown() {
        let period = 48;
        for multiplicative in [false, true] {
            let model = Model {
                multiplicative,
                ..Model::new(period)
            };
            let mut series = HoltWinters::new(model, 5);
            let value =
                |i: usize| 100.0 + 50.0 * (i as f64 / period as f64 * std::f64::consts::TAU).sin();
            for i in 0..period * 20 {
                let forecast = series.step(value(i));
                if i > period * 18 {
                    assert!(
                        (forecast.predicted - value(i)).abs() < 5.0,
                        "{i} {forecast:?}"
                    );
                }
            }
            // A day without values: expected all the same, and a violation.
            for i in period * 20..period * 21 {
                let forecast = series.step(f64::NAN);
                assert!(
                    (forecast.predicted - value(i)).abs() < 10.0,
                    "{i} {forecast:?}"
                );
                assert!(forecast.is_violated(f64::NAN, 2.0, 2.0));
            }
        }
    }

    #[test]
    fn absurd_values_end_in_nothing_known() {
        let mut series = HoltWinters::new(
            Model {
                multiplicative: true,
                ..Model::new(3)
            },
            9,
        );
        for value in [
            0.0,
            -1.0,
            f64::INFINITY,
            f64::MAX,
            f64::MIN,
            f64::NAN,
            0.0,
            1.0,
        ] {
            series.step(value);
        }
    }

    /// The failures of a window.
    #[test]
    fn history_forgets() {
        let mut history = History::new(3, 2);
        let found: Vec<bool> = [true, false, true, true, false, false]
            .into_iter()
            .map(|v| history.push(v))
            .collect();
        assert_eq!(found, [false, false, true, true, true, false]);
    }
}
