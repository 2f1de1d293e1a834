//! A chart for the browser: the decided specification, columns with start and step.

use serde::Serialize;

use crate::chart::{ChartSpec, Kind, Shape};

/// One chart.
#[derive(Serialize)]
pub(crate) struct Chart<'a> {
    id: &'a str,
    title: &'a str,
    unit: &'static str,
    prefixes: &'static str,
    shape: &'static str,
    /// Seconds since 1970, like all times here.
    from: f64,
    to: f64,
    start: f64,
    step: f64,
    n: usize,
    series: Vec<Series<'a>>,
    y: Y<'a>,
    x: Vec<(f64, &'a str)>,
    limits: Vec<(f64, &'a str, &'static str)>,
    spans: Vec<(f64, f64, &'static str)>,
    gaps: Vec<(f64, f64)>,
    words: String,
}

#[derive(Serialize)]
struct Series<'a> {
    label: &'a str,
    color: &'static str,
    kind: &'static str,
    ys: Vec<Option<f64>>,
}

#[derive(Serialize)]
struct Y<'a> {
    min: f64,
    max: f64,
    ticks: &'a [f64],
    labels: &'a [String],
}

impl<'a> Chart<'a> {
    pub(crate) fn new(spec: &'a ChartSpec) -> Self {
        Self {
            id: &spec.id,
            title: &spec.title,
            unit: spec.unit.symbol(),
            prefixes: spec.unit.prefixes(),
            shape: match spec.shape {
                Shape::Plain => "plain",
                Shape::Stack => "stack",
                Shape::Bars => "bars",
            },
            from: seconds(spec.from.0),
            to: seconds(spec.to.0),
            start: seconds(spec.grid.start.0),
            step: seconds(spec.grid.step_ms),
            n: spec.grid.len,
            series: spec
                .lines
                .iter()
                .map(|l| Series {
                    label: &l.label,
                    color: l.color.token(),
                    kind: if l.kind == Kind::Dash {
                        "dash"
                    } else {
                        l.kind.as_str()
                    },
                    ys: l.ys.iter().map(|v| v.map(rounded)).collect(),
                })
                .collect(),
            y: Y {
                min: spec.y.min,
                max: spec.y.max,
                ticks: &spec.y.ticks,
                labels: &spec.y.labels,
            },
            x: spec
                .x
                .iter()
                .map(|t| (seconds(t.at.0), t.label.as_str()))
                .collect(),
            limits: spec
                .limits
                .iter()
                .map(|l| (l.value, l.label.as_str(), l.level.as_str()))
                .collect(),
            spans: spec
                .spans
                .iter()
                .map(|s| {
                    let to = s.to.unwrap_or(spec.to);
                    (seconds(s.from.0), seconds(to.0), s.level.as_str())
                })
                .collect(),
            gaps: spec
                .gaps
                .iter()
                .map(|g| (seconds(g.from.0), seconds(g.to.0)))
                .collect(),
            words: spec.words(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 ms")]
pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Five significant digits: a curve of 2000 pixels shows no more, and they compress well.
fn rounded(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return 0.0;
    }
    let digits = 4.0 - v.abs().log10().floor();
    if !(-15.0..=15.0).contains(&digits) {
        return v;
    }
    let scale = 10f64.powf(digits.abs());
    match digits >= 0.0 {
        true => (v * scale).round() / scale,
        false => (v / scale).round() * scale,
    }
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn columns_keep_five_digits() {
        for (v, expected) in [
            (0.123_456_789, 0.12346),
            (1_234_567.0, 1_234_600.0),
            (0.0, 0.0),
            (-2.5, -2.5),
            (1e300, 1e300),
        ] {
            assert_eq!(rounded(v), expected);
        }
    }
}
