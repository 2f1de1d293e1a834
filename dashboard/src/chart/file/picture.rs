//! A picture: its titles, axes, gaps and lines across.

use super::super::canvas::{Anchor, Canvas, Ink, Point, Rect, Stroke, Words, width};
use super::super::fluid::share;
use super::super::palette::{Color, Theme};
use super::super::spec::{ChartSpec, Shape};
use super::super::units::NARROW;
use super::Size;
use super::legend::Legend;

/// Pixels free at the sides.
pub(super) const MARGIN: u32 = 14;
pub(super) const TITLE: f32 = 32.0;
pub(super) const AXIS: f32 = 24.0;
pub(super) const ROW: f32 = 16.0;
pub(super) const SMALL: f32 = 10.0;
pub(super) const TEXT: f32 = 11.0;
const HEAD: f32 = 13.0;
/// Rows of words at upright lines.
const MARK_ROWS: usize = 3;
/// What of a text's size lies above its base line, about: the height of a capital.
const CAPITAL: f32 = 0.73;

/// A picture on its way to a canvas.
pub(super) struct Picture<'a, C> {
    pub(super) spec: &'a ChartSpec,
    pub(super) theme: Theme,
    pub(super) canvas: &'a mut C,
    /// Of the whole picture.
    pub(super) size: (f32, f32),
    /// Where the curves are.
    pub(super) plot: Rect,
    pub(super) legend: Legend,
}

impl<'a, C: Canvas> Picture<'a, C> {
    pub(super) fn new(
        spec: &'a ChartSpec,
        (size, legend): (Size, Legend),
        theme: Theme,
        canvas: &'a mut C,
    ) -> Self {
        let labels = spec.y.labels.iter().map(|l| width(l, TEXT));
        let left = labels.fold(24.0, f32::max) + 8.0 + MARGIN as f32;
        let (wide, high) = (size.width as f32, size.height as f32);
        let plot = Rect {
            x: left.round(),
            y: TITLE,
            width: (wide - left.round() - MARGIN as f32).max(20.0),
            height: (high - TITLE - AXIS - legend.height()).max(20.0),
        };
        Self {
            spec,
            theme,
            canvas,
            size: (wide, high),
            plot,
            legend,
        }
    }

    pub(super) fn draw(&mut self) {
        let (width, height) = self.size;
        let all = Rect {
            x: 0.0,
            y: 0.0,
            width,
            height,
        };
        self.canvas.rect(all, self.ink(Color::SURFACE, 1.0));
        self.titles();
        self.axes();
        self.canvas.clip(Some(self.plot));
        self.gaps_and_spans();
        match self.spec.shape {
            Shape::Bars => self.bars(),
            _ => self.curves(),
        }
        self.rules();
        self.canvas.clip(None);
        self.rule_words();
        self.legend();
    }

    pub(super) fn right(&self) -> f32 {
        self.plot.x + self.plot.width
    }

    pub(super) fn bottom(&self) -> f32 {
        self.plot.y + self.plot.height
    }

    pub(super) fn x(&self, at: vigie_parsers::Timestamp) -> f32 {
        self.plot.x + narrow(share(self.spec, at)) * self.plot.width
    }

    pub(super) fn y(&self, value: f64) -> f32 {
        let place = narrow(self.spec.y.place(value)).clamp(-1e4, 1e4);
        self.bottom() - place * self.plot.height
    }

    pub(super) fn ink(&self, color: Color, opacity: f32) -> Ink {
        Ink {
            rgb: color.rgb(self.theme),
            opacity,
        }
    }

    fn thin(&self, color: Color) -> Stroke {
        Stroke {
            ink: self.ink(color, 1.0),
            width: 1.0,
            dash: None,
        }
    }

    /// A text with its top left, its middle or its top right at a place.
    pub(super) fn text(
        &mut self,
        text: &str,
        (x, top): Point,
        size: f32,
        color: Color,
        anchor: Anchor,
    ) {
        // Fonts of viewers often lack the narrow space.
        let text = text.replace(NARROW, "\u{a0}");
        let words = Words {
            text: &text,
            at: (x, top + size * CAPITAL),
            size,
            anchor,
            ink: self.ink(color, 1.0),
        };
        self.canvas.text(words);
    }

    fn titles(&mut self) {
        let left = MARGIN as f32;
        let room = self.size.0 - 2.0 * left;
        let title = shortened(&self.spec.title, room, HEAD);
        let after = left + width(&title, HEAD) + 10.0;
        self.text(&title, (left, 11.0), HEAD, Color::INK, Anchor::Start);
        let spec = self.spec;
        if !spec.sub.is_empty() && after + 60.0 < self.size.0 {
            let sub = shortened(&spec.sub, self.size.0 - after - left, TEXT);
            self.text(&sub, (after, 12.5), TEXT, Color::INK_3, Anchor::Start);
        }
    }

    fn axes(&mut self) {
        let spec = self.spec;
        for (tick, label) in spec.y.ticks.iter().zip(&spec.y.labels) {
            let y = crisp(self.y(*tick));
            let base = *tick == 0.0 || *tick == spec.y.min;
            let color = if base { Color::AXIS } else { Color::GRID };
            let ends = [(self.plot.x, y), (self.right(), y)];
            self.canvas.line(&ends, self.thin(color));
            let top = y - TEXT * CAPITAL / 2.0;
            self.text(
                label,
                (self.plot.x - 7.0, top),
                TEXT,
                Color::INK_3,
                Anchor::End,
            );
        }
        let bottom = self.bottom();
        let mut free = self.plot.x - 20.0;
        for tick in &spec.x {
            let x = crisp(self.x(tick.at));
            let half = width(&tick.label, TEXT) / 2.0;
            // Words that would touch the last ones, or leave the picture, are left out.
            if x - half < free || x + half > self.size.0 - 2.0 {
                continue;
            }
            free = x + half + 8.0;
            let mark = self.thin(Color::AXIS);
            self.canvas.line(&[(x, bottom), (x, bottom + 4.0)], mark);
            let color = if tick.strong {
                Color::INK_2
            } else {
                Color::INK_3
            };
            self.text(&tick.label, (x, bottom + 8.0), TEXT, color, Anchor::Middle);
        }
    }

    fn gaps_and_spans(&mut self) {
        let spec = self.spec;
        for gap in &spec.gaps {
            self.hatch(self.x(gap.from), self.x(gap.to));
        }
        for span in &spec.spans {
            let left = self.x(span.from);
            let right = self.x(span.to.unwrap_or(spec.to));
            let rect = Rect {
                x: left,
                width: (right - left).max(1.0),
                ..self.plot
            };
            self.canvas.rect(rect, self.ink(span.level.color(), 0.12));
        }
    }

    /// Diagonals over missing time.
    fn hatch(&mut self, left: f32, right: f32) {
        let (top, bottom) = (self.plot.y, self.bottom());
        let height = bottom - top;
        let stroke = self.thin(Color::HATCH);
        let mut start = ((left - height) / 6.0).floor() * 6.0;
        while start < right {
            // The line x = start + (bottom − y), cut to the gap.
            let from = start.max(left);
            let to = (start + height).min(right);
            if from < to {
                let y = |x: f32| bottom - (x - start);
                self.canvas.line(&[(from, y(from)), (to, y(to))], stroke);
            }
            start += 6.0;
        }
    }

    fn rules(&mut self) {
        let spec = self.spec;
        for limit in &spec.limits {
            let y = crisp(self.y(limit.value));
            let stroke = Stroke {
                dash: Some((5.0, 4.0)),
                ..self.thin(limit.color())
            };
            let ends = [(self.plot.x, y), (self.right(), y)];
            self.canvas.line(&ends, stroke);
        }
        for mark in &spec.marks {
            let x = crisp(self.x(mark.at));
            let stroke = Stroke {
                dash: Some((2.0, 2.0)),
                ..self.thin(mark.level.color())
            };
            let ends = [(x, self.plot.y), (x, self.bottom())];
            self.canvas.line(&ends, stroke);
        }
    }

    fn rule_words(&mut self) {
        self.limit_words();
        self.mark_words();
    }

    /// At the right end of each line across, or at the left where others are.
    fn limit_words(&mut self) {
        let spec = self.spec;
        let sides = [
            (self.right() - 4.0, Anchor::End),
            (self.plot.x + 4.0, Anchor::Start),
        ];
        let mut used = [const { Vec::<f32>::new() }; 2];
        for limit in &spec.limits {
            let y = self.y(limit.value);
            if y < self.plot.y - 1.0 || y > self.bottom() + 1.0 {
                continue;
            }
            // Above its line, or below it at the very top.
            let above = y - SMALL * CAPITAL - 3.0;
            let top = if above < self.plot.y { y + 4.0 } else { above };
            let is_free = |tops: &[f32]| tops.iter().all(|t| (t - top).abs() >= SMALL);
            let mut places = sides.into_iter().zip(&mut used);
            if let Some(((x, anchor), tops)) = places.find(|(_, tops)| is_free(tops)) {
                let label = shortened(&limit.label, self.plot.width / 2.0, SMALL);
                self.text(&label, (x, top), SMALL, limit.color(), anchor);
                tops.push(top);
            }
        }
    }

    /// Right of each upright line, in the first row where nothing else is; without words where there is
    /// something in all of them.
    fn mark_words(&mut self) {
        let spec = self.spec;
        let is_seen = |at| (spec.from..=spec.to).contains(at);
        let mut marks: Vec<_> = spec.marks.iter().filter(|m| is_seen(&m.at)).collect();
        marks.sort_by_key(|m| m.at);
        let mut free = [self.plot.x; MARK_ROWS];
        for mark in marks {
            let x = self.x(mark.at) + 3.0;
            let room = self.right() - x;
            let mut rows = (0_u8..).zip(&mut free);
            let row = rows.find(|(_, free)| **free <= x && room > 20.0);
            let Some((row, free)) = row else { continue };
            let label = shortened(&mark.label, room, SMALL);
            *free = x + width(&label, SMALL) + 6.0;
            let top = self.plot.y + 3.0 + f32::from(row) * (SMALL + 4.0);
            self.text(&label, (x, top), SMALL, mark.level.color(), Anchor::Start);
        }
    }
}

/// In the middle of a pixel, where a thin line is sharp.
fn crisp(v: f32) -> f32 {
    v.floor() + 0.5
}

#[expect(clippy::cast_possible_truncation, reason = "places in a picture")]
fn narrow(v: f64) -> f32 {
    v as f32
}

/// As much of a text as has room.
pub(super) fn shortened(text: &str, room: f32, size: f32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = width("…", size);
    for c in text.chars() {
        used += width(c.encode_utf8(&mut [0; 4]), size);
        if used > room {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}
