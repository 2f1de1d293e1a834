//! From evaluated series to curves: what is finer than the picture is averaged into its cells, with
//! an envelope, while the figures below the picture come from the fine values.

use vigie_parsers::Timestamp;
use vigie_query::Sample;

use super::columns::Grid;
use super::palette::Color;
use super::spec::{Column, Envelope, Kind, Line, Stats};

/// Points of a curve before it is drawn: a minute apart over a week. PromQL takes 11,000 steps.
const POINTS_MAX: i64 = 10_200;
/// Round distances between points, in milliseconds.
const STEPS: [i64; 16] = [
    1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
];

/// At which times a picture's expressions are evaluated, and which cells they are drawn into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The first point.
    pub from: Timestamp,
    /// The last point.
    pub until: Timestamp,
    /// Between points, in milliseconds; whole seconds.
    pub step_ms: i64,
    /// The cells, each of one or more points.
    pub grid: Grid,
}

impl Plan {
    /// For a range, drawn so many pixels wide.
    #[must_use]
    pub fn new(from: Timestamp, until: Timestamp, pixels: u32) -> Self {
        let span = until.since_ms(from).max(1000);
        let found = STEPS.into_iter().find(|s| span / s <= POINTS_MAX);
        let step_ms = found.unwrap_or_else(|| (span / POINTS_MAX / 1000 + 1) * 1000);
        Self::with_step(from, until, pixels, step_ms)
    }

    /// One point for each cell.
    #[must_use]
    pub fn of_grid(grid: Grid) -> Self {
        Self {
            from: grid.start,
            until: grid.end(),
            step_ms: grid.step_ms,
            grid,
        }
    }

    /// The same with a distance between points that is asked for.
    #[must_use]
    pub fn with_step(from: Timestamp, until: Timestamp, pixels: u32, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1000);
        let begin = from.0.div_euclid(step_ms) * step_ms;
        let span = until.0.saturating_sub(begin).max(step_ms);
        let pixels = i64::from(pixels.max(1));
        let cell = ((span / step_ms + pixels - 1) / pixels).max(1) * step_ms;
        Self {
            from: Timestamp(begin + step_ms),
            until,
            step_ms,
            grid: Grid {
                start: Timestamp(begin + cell),
                step_ms: cell,
                len: usize::try_from((span + cell - 1) / cell).unwrap_or(0),
            },
        }
    }
}

/// The mean of the samples in each cell, and between what they lie if a cell has several.
#[must_use]
pub fn reduced(samples: &[Sample], grid: &Grid) -> (Column, Option<Envelope>) {
    let mut cells = vec![(0.0, 0u32, f64::INFINITY, f64::NEG_INFINITY); grid.len];
    let mut several = false;
    for sample in samples.iter().filter(|s| s.value.is_finite()) {
        let Some(cell) = grid.cell(sample.time).and_then(|i| cells.get_mut(i)) else {
            continue;
        };
        cell.0 += sample.value;
        cell.1 += 1;
        cell.2 = cell.2.min(sample.value);
        cell.3 = cell.3.max(sample.value);
        several |= cell.1 > 1;
    }
    let known = |f: fn(&(f64, u32, f64, f64)) -> f64| -> Column {
        cells.iter().map(|c| (c.1 > 0).then(|| f(c))).collect()
    };
    let mean = known(|c| c.0 / f64::from(c.1));
    let envelope = several.then(|| Envelope {
        low: known(|c| c.2),
        high: known(|c| c.3),
    });
    (mean, envelope)
}

/// The values of one series at the fine points, and their extremes in between where they are known.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// What the legend calls it.
    pub label: String,
    /// In time order.
    pub samples: Vec<Sample>,
    /// The smallest and the largest values around the samples.
    pub extremes: Option<(Vec<Sample>, Vec<Sample>)>,
}

impl Curve {
    /// The curve in the cells of a picture.
    #[must_use]
    pub fn line(&self, grid: &Grid, color: Color, kind: Kind) -> Line {
        let (ys, mut envelope) = reduced(&self.samples, grid);
        if let Some((low, high)) = &self.extremes {
            let border = |samples: &[Sample], pick: fn(Envelope) -> Column| {
                let (mean, envelope) = reduced(samples, grid);
                envelope.map_or(mean, pick)
            };
            envelope = Some(Envelope {
                low: border(low, |e| e.low),
                high: border(high, |e| e.high),
            });
        }
        Line {
            label: self.label.clone(),
            color,
            kind,
            ys,
            envelope,
            figures: self.stats(),
        }
    }

    /// The figures of the fine values; the extremes are those in between, where they are known.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        let mut stats = Stats::of_values(self.samples.iter().map(|s| s.value))?;
        if let Some((low, high)) = &self.extremes {
            let finite = |s: &Sample| Some(s.value).filter(|v| v.is_finite());
            stats.min = low.iter().filter_map(finite).fold(stats.min, f64::min);
            stats.max = high.iter().filter_map(finite).fold(stats.max, f64::max);
        }
        Some(stats)
    }

    /// The value that so many percent of the values do not pass.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let finite = self
            .samples
            .iter()
            .map(|s| s.value)
            .filter(|v| v.is_finite());
        let mut known: Vec<f64> = finite.collect();
        known.sort_unstable_by(f64::total_cmp);
        let rank = (known.len() as f64 * percent / 100.0).ceil().max(1.0) - 1.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the length"
        )]
        known
            .get((rank as usize).min(known.len().saturating_sub(1)))
            .copied()
    }

    /// The line through the values with the least squares.
    #[must_use]
    pub fn trend(&self) -> Option<Trend> {
        let known = || self.samples.iter().filter(|s| s.value.is_finite());
        let origin = known().next()?.time;
        let x = |s: &Sample| s.time.since_ms(origin) as f64 / 1e3;
        let count = known().count() as f64;
        let mean = |f: &dyn Fn(&Sample) -> f64| known().map(f).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(&x), mean(&|s| s.value));
        // Around the means, so that large times and small slopes do not cancel out.
        let xy: f64 = known().map(|s| (x(s) - x_mean) * (s.value - y_mean)).sum();
        let xx: f64 = known().map(|s| (x(s) - x_mean).powi(2)).sum();
        (xx > 0.0).then(|| Trend {
            origin,
            per_second: xy / xx,
            at_origin: y_mean - xy / xx * x_mean,
        })
    }
}

/// A straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    origin: Timestamp,
    /// Its slope.
    pub per_second: f64,
    at_origin: f64,
}

impl Trend {
    /// Its value at a time.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> f64 {
        self.at_origin + self.per_second * time.since_ms(self.origin) as f64 / 1e3
    }

    /// The line from its first value to the end of a picture.
    #[must_use]
    pub fn column(&self, grid: &Grid) -> Column {
        let cells = (0..grid.len).map(|i| grid.at(i));
        cells
            .map(|at| (at >= self.origin).then(|| self.at(at)))
            .collect()
    }
}

/// A label as a template asks for it: `{{device}}` is the value of the label `device`.
#[must_use]
pub fn titled(template: &str, labels: &vigie_query::Labels) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        out.push_str(labels.get(name.trim()).unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigie_query::Labels;

    fn curve(values: &[(i64, f64)]) -> Curve {
        let sample = |&(s, value): &(i64, f64)| Sample {
            time: Timestamp(s * 1000),
            value,
        };
        Curve {
            samples: values.iter().map(sample).collect(),
            ..Curve::default()
        }
    }

    #[test]
    fn plans_cover_the_range_with_round_steps() {
        for (span_s, pixels, step_s, cell_s) in [
            (600, 700, 1, 1),
            (3600, 700, 1, 6),
            (86_400, 700, 10, 130),
            (7 * 86_400, 700, 60, 900),
            (365 * 86_400, 700, 3600, 46_800),
        ] {
            let until = Timestamp(1_763_600_123_000);
            let from = until.plus_ms(-span_s * 1000);
            let plan = Plan::new(from, until, pixels);
            assert_eq!(
                (plan.step_ms, plan.grid.step_ms),
                (step_s * 1000, cell_s * 1000)
            );
            assert!(plan.grid.begin() <= from && plan.grid.end() >= until);
            assert!(plan.grid.begin() < plan.from && plan.grid.len <= pixels as usize + 1);
        }
    }

    #[test]
    fn figures_do_not_depend_on_pixels() {
        let values: Vec<_> = (1..=200)
            .map(|s| (s, f64::from(u8::from(s == 77)) * 100.0))
            .collect();
        let curve = curve(&values);
        for pixels in [5, 20, 200] {
            let plan = Plan::new(Timestamp(0), Timestamp(200_000), pixels);
            let line = curve.line(&plan.grid, Color::INK, Kind::Line);
            let stats = line.stats().unwrap();
            assert_eq!((stats.max, stats.avg, stats.p95), (100.0, 0.5, 0.0));
            let high = line
                .envelope
                .map(|e| e.high.into_iter().flatten().fold(0.0, f64::max));
            assert_eq!(high, (pixels < 200).then_some(100.0), "{pixels}");
        }
        assert_eq!(curve.percentile(100.0), Some(100.0));
        assert_eq!(curve.percentile(50.0), Some(0.0));
        assert_eq!(Curve::default().percentile(95.0), None);
    }

    #[test]
    fn unknown_cells_stay_unknown() {
        let plan = Plan::new(Timestamp(0), Timestamp(8_000), 4);
        let (mean, envelope) = reduced(
            &curve(&[(1, 1.0), (2, 3.0), (7, f64::NAN)]).samples,
            &plan.grid,
        );
        assert_eq!(mean, [Some(2.0), None, None, None]);
        assert_eq!(envelope.unwrap().high, [Some(3.0), None, None, None]);
    }

    #[test]
    fn trends_are_straight() {
        // Far from 1970, where squares of times lose what matters.
        let at = 1_763_600_000;
        let values: Vec<_> = (0..100).map(|s| (at + s, 5.0 + 0.25 * s as f64)).collect();
        let trend = curve(&values).trend().unwrap();
        assert!((trend.per_second - 0.25).abs() < 1e-12);
        assert!((trend.at(Timestamp((at + 1000) * 1000)) - 255.0).abs() < 1e-9);
        assert!(curve(&values[..1]).trend().is_none() && Curve::default().trend().is_none());
    }

    #[test]
    fn labels_follow_templates() {
        let labels = Labels::metric("m", &[("device", "eth0"), ("host", "a")]);
        for (template, expected) in [
            ("in {{device}} of {{ host }}", "in eth0 of a"),
            ("{{nothing}}!", "!"),
            ("{{device", "{{device"),
            ("plain }} {{", "plain }} {{"),
        ] {
            assert_eq!(titled(template, &labels), expected);
        }
    }
}
