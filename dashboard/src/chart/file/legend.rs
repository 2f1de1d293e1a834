//! The legend below a picture: a row for each curve, with its figures.

use super::super::canvas::{Anchor, Canvas, Point, Rect, Stroke, width};
use super::super::palette::Color;
use super::super::spec::{ChartSpec, Kind, Line, Stats};
use super::super::units::NARROW;
use super::picture::{AXIS, MARGIN, Picture, ROW, SMALL, TEXT, shortened};

/// Half of the tallest picture. What has no row is counted.
const ROWS_MAX: usize = 120;

const FIGURES: [&str; 5] = ["current", "average", "minimum", "maximum", "95th pct"];

/// The legend's rows with their figures, and how wide the columns are.
pub(super) struct Legend {
    rows: Vec<[String; 5]>,
    widths: [f32; 5],
}

impl Legend {
    /// A row for each curve, as many as the tallest picture has room for.
    pub(super) fn new(spec: &ChartSpec) -> Self {
        let rows: Vec<_> = spec
            .lines
            .iter()
            .take(ROWS_MAX)
            .map(|line| figures(spec, line))
            .collect();
        let wide = |i: usize| {
            let cells = rows.iter().filter_map(|r| r.get(i));
            let head = FIGURES.get(i).map_or(0.0, |h| width(h, SMALL));
            cells.map(|c| width(c, TEXT)).fold(head, f32::max) + 14.0
        };
        Self {
            widths: [0, 1, 2, 3, 4].map(wide),
            rows,
        }
    }

    /// Pixels that it takes.
    pub(super) fn height(&self) -> f32 {
        match self.rows.len() {
            0 => 0.0,
            n => (n + 1) as f32 * ROW + 8.0,
        }
    }
}

fn figures(spec: &ChartSpec, line: &Line) -> [String; 5] {
    let text = |value: f64| spec.unit.format(value).replace(NARROW, "\u{a0}");
    match line.stats() {
        Some(Stats {
            last,
            avg,
            min,
            max,
            p95,
        }) => [last, avg, min, max, p95].map(text),
        None => [(); 5].map(|()| "–".to_owned()),
    }
}

impl<C: Canvas> Picture<'_, C> {
    pub(super) fn legend(&mut self) {
        if self.legend.rows.is_empty() {
            return;
        }
        let spec = self.spec;
        let left = MARGIN as f32;
        let right = self.size.0 - MARGIN as f32;
        // What does not fit beside the names goes, from the left; the maximum and the 95th stay.
        let mut first = 0;
        let wide = |first: usize, widths: &[f32]| widths.iter().skip(first).sum::<f32>();
        while first < 3 && wide(first, &self.legend.widths) > (right - left) * 0.72 {
            first += 1;
        }
        let mut y = self.bottom() + AXIS + 6.0;
        let rows = std::mem::take(&mut self.legend.rows);
        let columns = |i: usize, widths: &[f32]| right - wide(i + 1, widths);
        for (i, head) in FIGURES.iter().enumerate().skip(first) {
            let x = columns(i, &self.legend.widths);
            self.text(head, (x, y), SMALL, Color::INK_3, Anchor::End);
        }
        let hidden = spec.lines.len() - rows.len();
        if hidden > 0 {
            let text = format!("and {hidden} more");
            self.text(&text, (left, y), SMALL, Color::INK_3, Anchor::Start);
        }
        let room = right - left - wide(first, &self.legend.widths) - 18.0;
        for (line, cells) in spec.lines.iter().zip(&rows) {
            y += ROW;
            self.swatch(line, (left, y));
            let label = shortened(&line.label, room, TEXT);
            self.text(&label, (left + 16.0, y), TEXT, Color::INK_2, Anchor::Start);
            for (i, cell) in cells.iter().enumerate().skip(first) {
                let x = columns(i, &self.legend.widths);
                self.text(cell, (x, y), TEXT, Color::INK, Anchor::End);
            }
        }
    }

    fn swatch(&mut self, line: &Line, (x, y): Point) {
        let ink = self.ink(line.color, 1.0);
        if line.kind == Kind::Dash {
            let stroke = Stroke {
                ink,
                width: 2.0,
                dash: Some((4.0, 2.0)),
            };
            self.canvas
                .line(&[(x, y + 4.0), (x + 10.0, y + 4.0)], stroke);
            return;
        }
        let rect = Rect {
            x,
            y: y - 0.5,
            width: 10.0,
            height: 9.0,
        };
        self.canvas.rect(rect, ink);
    }
}
