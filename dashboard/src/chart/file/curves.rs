//! What is drawn of the values themselves: curves, areas, bars, envelopes.

use super::super::canvas::{Canvas, Ink, Point, Rect, Stroke};
use super::super::spec::{Column, Kind, Shape};
use super::picture::Picture;

impl<C: Canvas> Picture<'_, C> {
    pub(super) fn bars(&mut self) {
        let spec = self.spec;
        for (line, column) in spec.lines.iter().zip(&spec.stacked) {
            for (i, top) in column.iter().enumerate() {
                let own = line.ys.get(i).copied().flatten().unwrap_or(0.0);
                let Some(top) = top.filter(|_| own > 0.0) else {
                    continue;
                };
                let end = spec.grid.at(i);
                let left = self.x(end.plus_ms(-spec.grid.step_ms)).round();
                let right = (self.x(end).round() - 1.0).max(left + 1.0);
                let rect = Rect {
                    x: left,
                    y: self.y(top),
                    width: right - left,
                    height: self.y(top - own) - self.y(top),
                };
                self.canvas.rect(rect, self.ink(line.color, 1.0));
            }
        }
    }

    pub(super) fn curves(&mut self) {
        let spec = self.spec;
        let stack = spec.shape == Shape::Stack;
        for line in &spec.lines {
            if let Some(envelope) = &line.envelope {
                let ink = self.ink(
                    line.color,
                    if line.kind == Kind::Dash { 0.16 } else { 0.24 },
                );
                self.between(&envelope.low, &envelope.high, ink);
            }
        }
        let mut base: Option<&Column> = None;
        for (line, column) in spec.lines.iter().zip(&spec.stacked) {
            let stacked = stack && line.kind != Kind::Dash;
            if stacked || line.kind == Kind::Area {
                let ink = self.ink(line.color, if stack { 0.45 } else { 0.22 });
                self.area(column, base.filter(|_| stacked), ink);
            }
            if stacked {
                base = Some(column);
            }
        }
        for (line, column) in spec.lines.iter().zip(&spec.stacked) {
            let stroke = Stroke {
                ink: self.ink(line.color, 1.0),
                width: 1.4,
                dash: (line.kind == Kind::Dash).then_some((5.0, 3.0)),
            };
            for run in self.runs(column) {
                let points: Vec<Point> = run.into_iter().map(|(_, point)| point).collect();
                // A single known cell is a dash, not nothing.
                match points.as_slice() {
                    [(x, y)] => self.canvas.line(&[(x - 1.0, *y), (x + 1.0, *y)], stroke),
                    points => self.canvas.line(points, stroke),
                }
            }
        }
    }

    /// What lies between a column and the one below it, else the zero line.
    fn area(&mut self, column: &Column, base: Option<&Column>, ink: Ink) {
        let zero = self.y(0.0).clamp(self.plot.y, self.bottom());
        for run in self.runs(column) {
            let mut corners: Vec<Point> = run.iter().map(|(_, point)| *point).collect();
            match base {
                Some(base) => corners.extend(run.iter().rev().map(|(i, (x, _))| {
                    let under = base.get(*i).copied().flatten();
                    (*x, under.map_or(zero, |v| self.y(v)))
                })),
                // A flat base needs its two ends only.
                None => corners.extend(
                    [run.last(), run.first()]
                        .into_iter()
                        .flatten()
                        .map(|(_, (x, _))| (*x, zero)),
                ),
            }
            self.canvas.area(&corners, ink);
        }
    }

    fn between(&mut self, low: &Column, high: &Column, ink: Ink) {
        for run in self.runs(high) {
            let mut corners: Vec<Point> = run.iter().map(|(_, point)| *point).collect();
            corners.extend(run.iter().rev().filter_map(|(i, (x, _))| {
                let under = low.get(*i).copied().flatten()?;
                Some((*x, self.y(under)))
            }));
            self.canvas.area(&corners, ink);
        }
    }

    /// Runs of known cells, with their places.
    fn runs(&self, column: &Column) -> Vec<Vec<(usize, Point)>> {
        let mut out: Vec<Vec<(usize, Point)>> = Vec::new();
        let mut joined = false;
        for (i, value) in column.iter().enumerate() {
            let Some(value) = value else {
                joined = false;
                continue;
            };
            let point = (i, (self.x(self.spec.grid.at(i)), self.y(*value)));
            match out.last_mut().filter(|_| joined) {
                Some(run) => run.push(point),
                None => out.push(vec![point]),
            }
            joined = true;
        }
        out
    }
}
