//! Functions over a window of samples: `rate`, `avg_over_time` and their kin.

use super::extend::Extension;
use super::select::{Wanted, interpolated};
use super::stats::{self, Mean, Sum, Variance};
use crate::{Sample, Take};

/// The samples of one series in one window, never empty.
pub(super) struct Window<'a> {
    pub(super) samples: &'a [Sample],
    /// Where the window ends.
    pub(super) end: i64,
    /// Its length, in milliseconds.
    pub(super) range: i64,
    /// The time of evaluation: `end` plus the offset.
    pub(super) time: i64,
    /// The scalar arguments at this step.
    pub(super) args: &'a [f64],
}

impl Window<'_> {
    fn values(&self) -> impl Iterator<Item = f64> + Clone {
        self.samples.iter().map(|s| s.value)
    }

    fn points(&self) -> impl Iterator<Item = (i64, f64)> {
        self.samples.iter().map(|s| (s.time.0, s.value))
    }

    fn last(&self) -> Sample {
        self.samples[self.samples.len() - 1]
    }
}

/// A function over windows.
pub(super) struct WindowFunction {
    name: &'static str,
    /// The answer is one of the samples, so the series keeps its name.
    pub(super) keeps_name: bool,
    /// What it wants of samples.
    pub(super) wanted: Wanted,
    /// The answer is in proportion to the window's length, so what a widened window has is too much.
    pub(super) grows: bool,
    pub(super) apply: fn(&Window<'_>) -> Option<f64>,
}

impl WindowFunction {
    /// Two samples make an answer.
    const fn of_two(mut self) -> Self {
        self.wanted.needs = 2;
        self
    }

    const fn growing(mut self) -> Self {
        self.grows = true;
        self
    }

    const fn taking(mut self, take: Take) -> Self {
        self.wanted.take = take;
        self
    }
}

const fn any(name: &'static str, apply: fn(&Window<'_>) -> Option<f64>) -> WindowFunction {
    WindowFunction {
        name,
        keeps_name: false,
        wanted: Wanted {
            step_max_ms: i64::MAX,
            take: Take::Average,
            needs: 1,
        },
        grows: false,
        apply,
    }
}

const fn finest(name: &'static str, apply: fn(&Window<'_>) -> Option<f64>) -> WindowFunction {
    let mut function = any(name, apply);
    function.wanted.step_max_ms = 0;
    function
}

const fn named(name: &'static str, apply: fn(&Window<'_>) -> Option<f64>) -> WindowFunction {
    let mut function = any(name, apply);
    function.keeps_name = true;
    function
}

const FUNCTIONS: &[WindowFunction] = &[
    any("avg_over_time", |w| {
        let mut mean = Mean::default();
        w.values().for_each(|v| mean.add(v));
        Some(mean.get())
    }),
    finest("changes", |w| {
        Some(count_pairs(w, |a, b| a != b && !(a.is_nan() && b.is_nan())))
    })
    .of_two()
    .growing(),
    // What is summed are the readings behind each sample.
    finest("count_over_time", |w| Some(w.values().sum()))
        .taking(Take::Count)
        .growing(),
    any("delta", |w| extrapolated(w, false, false))
        .of_two()
        .growing(),
    any("deriv", |w| {
        let origin = w.samples[0].time.0;
        let several = w.samples.len() > 1;
        several.then(|| stats::regression(w.points(), origin).0)
    })
    .of_two(),
    finest("double_exponential_smoothing", smoothed).of_two(),
    named("first_over_time", |w| Some(w.samples[0].value)),
    finest("idelta", |w| {
        let (a, b) = last_two(w)?;
        Some(b.value - a.value)
    })
    .of_two(),
    any("increase", |w| extrapolated(w, true, false))
        .of_two()
        .growing(),
    finest("irate", |w| {
        let (a, b) = last_two(w)?;
        let risen = if b.value < a.value {
            b.value
        } else {
            b.value - a.value
        };
        Some(risen / (b.time.since_ms(a.time) as f64 / 1e3))
    })
    .of_two(),
    named("last_over_time", |w| Some(w.last().value)).taking(Take::Last),
    finest("mad_over_time", |w| {
        if w.values().any(f64::is_nan) {
            return Some(f64::NAN);
        }
        let mut values: Vec<f64> = w.values().collect();
        let median = stats::quantile(0.5, &mut values);
        values.iter_mut().for_each(|v| *v = (*v - median).abs());
        Some(stats::quantile(0.5, &mut values))
    }),
    finest("max_over_time", |w| Some(extreme(w, |a, b| a > b).value)).taking(Take::Max),
    finest("min_over_time", |w| Some(extreme(w, |a, b| a < b).value)).taking(Take::Min),
    any("predict_linear", |w| {
        let several = w.samples.len() > 1;
        several.then(|| {
            let (slope, now) = stats::regression(w.points(), w.time);
            slope * w.args[0] + now
        })
    })
    .of_two(),
    any("present_over_time", |_| Some(1.0)),
    finest("quantile_over_time", |w| {
        let mut values: Vec<f64> = w.values().collect();
        Some(stats::quantile(w.args[0], &mut values))
    }),
    any("rate", |w| extrapolated(w, true, true)).of_two(),
    finest("resets", |w| Some(count_pairs(w, |a, b| b < a)))
        .of_two()
        .growing(),
    finest("stddev_over_time", |w| Some(variance(w).sqrt())),
    finest("stdvar_over_time", |w| Some(variance(w))),
    finest("sum_over_time", |w| {
        let mut sum = Sum::default();
        w.values().for_each(|v| sum.add(v));
        Some(sum.total())
    })
    .taking(Take::Sum)
    .growing(),
    any("ts_of_first_over_time", |w| Some(seconds(w.samples[0]))),
    any("ts_of_last_over_time", |w| Some(seconds(w.last()))),
    // The last of several extremes.
    finest("ts_of_max_over_time", |w| {
        Some(seconds(extreme(w, |a, b| a >= b)))
    })
    .taking(Take::Max),
    finest("ts_of_min_over_time", |w| {
        Some(seconds(extreme(w, |a, b| a <= b)))
    })
    .taking(Take::Min),
];

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static WindowFunction> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// A function over a window that reaches over its borders: of the value on the left border, those
/// inside and the value on the right border. `None` if nothing happens inside.
pub(super) fn extended(name: &str, w: &Window<'_>, extension: Extension) -> Option<f64> {
    let is_counter = matches!(name, "increase" | "rate");
    let values = bordered(w, extension, is_counter)?;
    let pairs = values.windows(2);
    let count = |holds: fn(f64, f64) -> bool| {
        let holding = pairs.clone().filter(|p| holds(p[0], p[1]));
        holding.count() as f64
    };
    let mut change = values.last()? - values.first()?;
    match name {
        "changes" => return Some(count(|a, b| a != b && !(a.is_nan() && b.is_nan()))),
        "resets" => return Some(count(|a, b| b < a)),
        "delta" => return Some(change),
        _ => {}
    }
    let falls = pairs.clone().filter(|p| p[1] < p[0]);
    change += falls.fold(0.0, |lost, p| lost + p[0]);
    if name == "rate" {
        change /= w.range as f64 / 1e3;
    }
    Some(change)
}

/// The functions that an extension may be used with.
pub(super) fn allowed(extension: Extension) -> &'static [&'static str] {
    match extension {
        Extension::Anchored => &["changes", "delta", "increase", "rate", "resets"],
        Extension::Smoothed => &["delta", "increase", "rate"],
    }
}

fn bordered(w: &Window<'_>, extension: Extension, is_counter: bool) -> Option<Vec<f64>> {
    let smoothed = extension == Extension::Smoothed;
    let (start, samples) = (w.end - w.range, w.samples);
    let mut first = samples
        .partition_point(|s| s.time.0 <= start)
        .saturating_sub(1);
    let mut last = samples.len() - 1;
    if smoothed {
        last = last.min(samples.partition_point(|s| s.time.0 < w.end));
    }
    if samples[last].time.0 <= start || samples[first].time.0 > w.end {
        return None;
    }
    // A counter that was reset in between has risen from nought.
    let between = |a: Sample, b: Sample, time: i64| {
        let reset = is_counter && b.value < a.value;
        let a = if reset { Sample { value: 0.0, ..a } } else { a };
        interpolated(a, b, time)
    };
    let left = if smoothed && samples[first].time.0 < start {
        between(samples[first], samples[first + 1], start)
    } else {
        samples[first].value
    };
    let right = if smoothed && last > 0 && samples[last].time.0 > w.end {
        between(samples[last - 1], samples[last], w.end)
    } else {
        samples[last].value
    };
    if samples[first].time.0 <= start {
        first += 1;
    }
    let end = if samples[last].time.0 >= w.end {
        last
    } else {
        last + 1
    };
    let mut values = vec![left];
    values.extend(samples.iter().take(end).skip(first).map(|s| s.value));
    values.push(right);
    Some(values)
}

fn seconds(sample: Sample) -> f64 {
    sample.time.0 as f64 / 1e3
}

fn last_two(w: &Window<'_>) -> Option<(Sample, Sample)> {
    match w.samples {
        [.., a, b] if b.time > a.time => Some((*a, *b)),
        _ => None,
    }
}

fn count_pairs(w: &Window<'_>, holds: impl Fn(f64, f64) -> bool) -> f64 {
    let pairs = w.samples.windows(2);
    pairs.filter(|p| holds(p[0].value, p[1].value)).count() as f64
}

/// The sample that beats all others; a number beats NaN.
fn extreme(w: &Window<'_>, beats: impl Fn(f64, f64) -> bool) -> Sample {
    let mut best = w.samples[0];
    for sample in &w.samples[1..] {
        if beats(sample.value, best.value) || best.value.is_nan() {
            best = *sample;
        }
    }
    best
}

fn variance(w: &Window<'_>) -> f64 {
    let mut variance = Variance::default();
    w.values().for_each(|v| variance.add(v));
    variance.get()
}

/// The change over the whole window, though samples rarely lie on its borders: the change between
/// the outer samples is stretched to a border that is near (1.1 average distances), and by half a
/// distance to one that is not. A counter is not stretched below zero.
fn extrapolated(w: &Window<'_>, is_counter: bool, per_second: bool) -> Option<f64> {
    let (first, last) = match w.samples {
        [first, .., last] => (first, last),
        _ => return None,
    };
    let mut change = last.value - first.value;
    if is_counter {
        let pairs = w.samples.windows(2);
        change += pairs
            .filter(|p| p[1].value < p[0].value)
            .fold(0.0, |lost, p| lost + p[0].value);
    }
    let sampled = last.time.since_ms(first.time) as f64 / 1e3;
    let distance = sampled / (w.samples.len() - 1) as f64;
    let near = distance * 1.1;
    let mut to_start = (first.time.0 - (w.end - w.range)) as f64 / 1e3;
    let mut to_end = (w.end - last.time.0) as f64 / 1e3;
    if to_start >= near {
        to_start = distance / 2.0;
    }
    if is_counter && change > 0.0 && first.value >= 0.0 {
        to_start = to_start.min(sampled * (first.value / change));
    }
    if to_end >= near {
        to_end = distance / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if per_second {
        factor /= w.range as f64 / 1e3;
    }
    Some(change * factor)
}

/// Holt's method: a level smoothed by the first argument, a trend by the second.
fn smoothed(w: &Window<'_>) -> Option<f64> {
    let (level_factor, trend_factor) = (w.args[0], w.args[1]);
    let [first, second, ..] = w.samples else {
        return None;
    };
    let mut previous = 0.0;
    let mut level = first.value;
    let mut trend = second.value - first.value;
    for (i, sample) in w.samples.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - previous) + (1.0 - trend_factor) * trend;
        }
        previous = level;
        level = level_factor * sample.value + (1.0 - level_factor) * (level + trend);
    }
    Some(level)
}
