//! The chart in a page before any script runs: an SVG that stretches to any width, with its words
//! in HTML around it and its colours left to the stylesheet.
//!
//! Margins are those of the interactive chart, so that nothing moves when that takes over.

use std::fmt::Write as _;

use vigie_parsers::Timestamp;

use super::spec::{ChartSpec, Column, Kind, Shape};
use super::{Color, Draft};
use crate::html::escape;

/// Drawing units across; the SVG is stretched to the width of its panel.
const WIDTH: f64 = 1000.0;
/// Space for the words of the axes, in CSS pixels: left, right, top, bottom.
pub(crate) const MARGINS: [u16; 4] = [64, 12, 12, 22];

/// The chart as HTML, for a plot `height` CSS pixels high.
#[must_use]
pub fn fluid(spec: &ChartSpec, height: u16) -> String {
    let inner = f64::from(height.saturating_sub(MARGINS[2] + MARGINS[3]).max(10));
    let plane = Plane {
        spec,
        height: inner,
    };
    let mut out = String::with_capacity(8192);
    let _ = write!(
        out,
        "<div class=\"ssr\" aria-hidden=\"true\"><svg viewBox=\"0 0 {WIDTH} {inner}\" preserveAspectRatio=\"none\">"
    );
    plane.grid(&mut out);
    plane.spans(&mut out);
    match spec.shape {
        Shape::Bars => plane.bars(&mut out),
        _ => plane.curves(&mut out),
    }
    plane.rules(&mut out);
    out.push_str("</svg>");
    plane.words(&mut out);
    out.push_str("</div>");
    out
}

struct Plane<'a> {
    spec: &'a ChartSpec,
    height: f64,
}

impl Plane<'_> {
    fn x(&self, at: Timestamp) -> f64 {
        share(self.spec, at) * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        tenth(self.height * (1.0 - self.spec.y.share(value)))
    }

    fn grid(&self, out: &mut String) {
        for (i, tick) in self.spec.y.ticks.iter().enumerate() {
            let color = if i == 0 { Color::AXIS } else { Color::GRID };
            self.rule(out, *tick, color, "");
        }
    }

    fn rule(&self, out: &mut String, value: f64, color: Color, dash: &str) {
        let (y, token) = (self.y(value), color.token());
        let _ = write!(
            out,
            "<path d=\"M0 {y}H{WIDTH}\" stroke=\"var(--{token})\"{dash} vector-effect=\"non-scaling-stroke\"/>"
        );
    }

    fn spans(&self, out: &mut String) {
        for span in &self.spec.spans {
            let left = self.x(span.from);
            let width = (self.x(span.to.unwrap_or(self.spec.to)) - left).max(1.0);
            let _ = write!(
                out,
                "<rect x=\"{}\" width=\"{}\" height=\"{}\" fill=\"var(--{})\" opacity=\".09\"/>",
                tenth(left),
                tenth(width),
                self.height,
                span.level.color().token()
            );
        }
    }

    fn bars(&self, out: &mut String) {
        let spec = self.spec;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 ms")]
        let cell = spec.grid.step_ms as f64 / spec.to.since_ms(spec.from).max(1) as f64 * WIDTH;
        let width = tenth(cell * 0.84);
        for (k, line) in spec.lines.iter().enumerate() {
            let mut path = Path::default();
            for (i, top) in spec.stacked.get(k).into_iter().flatten().enumerate() {
                let own = line.ys.get(i).copied().flatten().unwrap_or(0.0);
                let Some(top) = top.filter(|_| own > 0.0) else {
                    continue;
                };
                let (high, low) = (self.y(top), self.y(top - own));
                let end = self.x(spec.grid.at(i));
                path.bar(tenth(end - cell), low, high, width);
            }
            let _ = write!(
                out,
                "<path d=\"{}\" fill=\"var(--{})\"/>",
                path.text,
                line.color.token()
            );
        }
    }

    fn curves(&self, out: &mut String) {
        let stack = self.spec.shape == Shape::Stack;
        let mut below: Option<&Column> = None;
        for (line, column) in self.spec.lines.iter().zip(&self.spec.stacked) {
            let stacked = stack && line.kind != Kind::Dash;
            if !stacked && line.kind != Kind::Area {
                continue;
            }
            let base = below.filter(|_| stacked);
            if stacked {
                below = Some(column);
            }
            let opacity = if stack { ".32" } else { ".2" };
            let _ = write!(
                out,
                "<path d=\"{}\" fill=\"var(--{})\" opacity=\"{opacity}\"/>",
                self.area(column, base),
                line.color.token()
            );
        }
        for (line, column) in self.spec.lines.iter().zip(&self.spec.stacked) {
            let dash = if line.kind == Kind::Dash {
                " stroke-dasharray=\"4 3\""
            } else {
                ""
            };
            let mut path = Path::default();
            for run in runs(column) {
                path.run(run.map(|(i, v)| (self.x(self.spec.grid.at(i)), self.y(v))));
            }
            let _ = write!(
                out,
                "<path class=\"ln\" d=\"{}\" stroke=\"var(--{})\"{dash}/>",
                path.text,
                line.color.token()
            );
        }
    }

    fn area(&self, column: &Column, base: Option<&Column>) -> String {
        let mut path = Path::default();
        let grid = &self.spec.grid;
        for run in runs(column) {
            let points: Vec<_> = run.collect();
            let back = points.iter().rev().map(|(i, _)| {
                let under = base.and_then(|b| b.get(*i).copied().flatten());
                (
                    self.x(grid.at(*i)),
                    self.y(under.unwrap_or(self.spec.y.min)),
                )
            });
            let back: Vec<_> = match base {
                Some(_) => back.collect(),
                // A flat base needs its two ends only.
                None => back.clone().take(1).chain(back.rev().take(1)).collect(),
            };
            let there = points
                .iter()
                .map(|(i, v)| (self.x(grid.at(*i)), self.y(*v)));
            path.run(there.chain(back));
            path.text.push('z');
        }
        path.text
    }

    fn rules(&self, out: &mut String) {
        for limit in &self.spec.limits {
            self.rule(out, limit.value, limit.color(), " stroke-dasharray=\"5 4\"");
        }
        for mark in &self.spec.marks {
            let _ = write!(
                out,
                "<path d=\"M{} 0V{}\" stroke=\"var(--{})\" stroke-dasharray=\"2 2\" vector-effect=\"non-scaling-stroke\"/>",
                tenth(self.x(mark.at)),
                self.height,
                mark.level.color().token()
            );
        }
    }

    fn words(&self, out: &mut String) {
        let spec = self.spec;
        let percent = |v: f64| tenth(v * 100.0);
        out.push_str("<span class=\"ya\">");
        for (tick, label) in spec.y.ticks.iter().zip(&spec.y.labels) {
            let top = percent(1.0 - spec.y.share(*tick));
            let _ = write!(
                out,
                "<span class=\"yl\" style=\"top:{top}%\">{}</span>",
                escape(label)
            );
        }
        for limit in &spec.limits {
            let top = percent(1.0 - spec.y.share(limit.value));
            // Above its line, or below it at the very top.
            let side = if top < 12.0 { " under" } else { "" };
            let _ = write!(
                out,
                "<span class=\"lim {}{side}\" style=\"top:{top}%\">{}</span>",
                limit.level.as_str(),
                escape(&limit.label)
            );
        }
        out.push_str("</span><span class=\"xa\">");
        for tick in &spec.x {
            let left = share(spec, tick.at) * 100.0;
            if (2.0..=98.0).contains(&left) {
                let label = escape(&tick.label);
                let _ = write!(
                    out,
                    "<span class=\"xl\" style=\"left:{}%\">{label}</span>",
                    tenth(left)
                );
            }
        }
        out.push_str("</span><span class=\"gaps\">");
        for gap in &spec.gaps {
            let left = share(spec, gap.from);
            let width = share(spec, gap.to) - left;
            let _ = write!(
                out,
                "<span class=\"gap\" style=\"left:{}%;width:{}%\"></span>",
                percent(left),
                percent(width)
            );
        }
        out.push_str("</span>");
    }
}

/// The place of a time between the ends of a chart.
pub(crate) fn share(spec: &Draft, at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 ms")]
    let share = at.since_ms(spec.from) as f64 / spec.to.since_ms(spec.from).max(1) as f64;
    share.clamp(0.0, 1.0)
}

fn tenth(v: f64) -> f64 {
    // Adding 0 turns -0 into 0, which prints a character less.
    (v * 10.0).round() / 10.0 + 0.0
}

/// Runs of known values, with their cells.
fn runs(column: &Column) -> impl Iterator<Item = impl Iterator<Item = (usize, f64)> + '_> {
    column
        .chunk_by(|a, b| a.is_some() == b.is_some())
        .scan(0, |at, chunk| {
            let first = *at;
            *at += chunk.len();
            Some((first, chunk))
        })
        .filter(|(_, chunk)| chunk.first().is_some_and(Option::is_some))
        .map(|(first, chunk)| {
            chunk
                .iter()
                .enumerate()
                .filter_map(move |(i, v)| Some((first + i, (*v)?)))
        })
}

/// The text of an SVG path, in relative steps: they are shorter and compress better.
#[derive(Default)]
struct Path {
    text: String,
}

impl Path {
    fn number(&mut self, v: f64, separate: bool) {
        let v = tenth(v);
        if separate && v >= 0.0 {
            self.text.push(' ');
        }
        let text = v.to_string();
        match text
            .strip_prefix("0.")
            .map(|t| (t, ""))
            .or(text.strip_prefix("-0.").map(|t| (t, "-")))
        {
            Some((fraction, sign)) => {
                self.text.push_str(sign);
                self.text.push('.');
                self.text.push_str(fraction);
            }
            None => self.text.push_str(&text),
        }
    }

    fn run(&mut self, points: impl Iterator<Item = (f64, f64)>) {
        let (mut px, mut py) = (0.0, 0.0);
        for (i, (x, y)) in points.enumerate() {
            // Half a pixel of a wide screen: whole units are exact enough across.
            let (dx, dy) = (x.round() - px, tenth(y) - py);
            (px, py) = (x.round(), tenth(y));
            self.text.push_str(match i {
                0 => "M",
                1 => "l",
                _ => "",
            });
            self.number(dx, i > 1);
            self.number(dy, true);
        }
    }

    fn bar(&mut self, x: f64, low: f64, high: f64, width: f64) {
        let _ = write!(self.text, "M{x} {low}V{high}h{width}V{low}z");
    }
}

/// A curve without axes, as tall as a line of text.
#[must_use]
pub fn spark(ys: &[Option<f64>], max: Option<f64>) -> String {
    const HEIGHT: f64 = 26.0;
    const ACROSS: f64 = 200.0;
    let top = ys.iter().flatten().copied().fold(0.0, f64::max) * 1.05;
    let top = max.unwrap_or(top).max(1e-12);
    #[expect(clippy::cast_precision_loss, reason = "columns are short")]
    let x = |i: usize| i as f64 / (ys.len().max(2) - 1) as f64 * ACROSS;
    let y = |v: f64| HEIGHT - 1.0 - (v / top).clamp(0.0, 1.0) * (HEIGHT - 2.0);
    let column = ys.to_vec();
    let (mut line, mut area) = (Path::default(), Path::default());
    for run in runs(&column) {
        let points: Vec<_> = run.map(|(i, v)| (x(i), y(v))).collect();
        let ends = [points.last(), points.first()];
        let back = ends.into_iter().flatten().map(|(x, _)| (*x, HEIGHT));
        area.run(points.iter().copied().chain(back));
        area.text.push('z');
        line.run(points.into_iter());
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {ACROSS} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"fl\" d=\"{}\"/><path class=\"ln\" d=\"{}\"/></svg>",
        area.text, line.text
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Draft, Grid, Unit};
    use super::*;
    use jiff::tz::TimeZone;

    fn draft(ys: &[Option<f64>]) -> Draft {
        let grid = Grid {
            start: Timestamp(10_000),
            step_ms: 10_000,
            len: ys.len(),
        };
        Draft::new("t", "T", Unit::PERCENT, Timestamp(0), grid.end(), grid).line(
            "<l>",
            Kind::Area,
            ys.to_vec(),
        )
    }

    #[test]
    fn unknown_is_never_joined() {
        let spec =
            draft(&[Some(1.0), Some(2.0), None, Some(3.0), Some(1.0)]).finish(&TimeZone::UTC);
        let html = fluid(&spec, 134);
        let line = html.split("class=\"ln\" d=\"").nth(1).unwrap();
        let path = line.split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(html.matches("class=\"gap\"").count(), 1);
    }

    #[test]
    fn hostile_words_are_escaped() {
        let mut draft = draft(&[Some(1.0)]);
        let level = super::super::Level::Warn;
        draft
            .limits
            .push(super::super::Limit::new(1.0, "<script>", level));
        let html = fluid(&draft.finish(&TimeZone::UTC), 134);
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"));
    }

    #[test]
    fn numbers_are_short() {
        let mut path = Path::default();
        path.run([(0.0, 10.0), (5.0, 10.5), (10.0, 10.2)].into_iter());
        assert_eq!(path.text, "M0 10l5 .5 5-.3");
    }

    #[test]
    fn a_spark_of_nothing_is_empty() {
        assert!(spark(&[None, None], None).contains("d=\"\""));
        assert!(spark(&[], None).contains("<svg"));
    }
}
