//! The chart as a file: SVG and PNG at a fixed size, laid out once for both.

use super::canvas::{Anchor, Canvas, Ink, Point, Rect, Stroke, Words, width};
use super::fluid::share;
use super::palette::{Color, Theme};
use super::raster::Raster;
use super::spec::{ChartSpec, Column, Kind, Line, Shape, Stats};
use super::svg::Svg;
use super::units::NARROW;

/// A picture's size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down, title and legend included.
    pub height: u32,
}

impl Size {
    /// The smallest picture that still has room for a curve.
    pub const MIN: Self = Self {
        width: 200,
        height: 120,
    };
    /// The largest: 16 million pixels are 48 MB of memory.
    pub const MAX: Self = Self {
        width: 4096,
        height: 4096,
    };

    /// Pixels across that curves have, about.
    #[must_use]
    pub fn plot_width(self) -> u32 {
        self.width.saturating_sub(MARGIN * 2 + 60).max(50)
    }
}

impl Default for Size {
    fn default() -> Self {
        Self {
            width: 800,
            height: 320,
        }
    }
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The size is out of bounds.
    #[error("a picture is {} × {} to {} × {} pixels", Size::MIN.width, Size::MIN.height, Size::MAX.width, Size::MAX.height)]
    Size,
    /// The pixels cannot be packed.
    #[error("drawing: {0}")]
    Draw(String),
}

/// The chart as SVG text.
///
/// # Errors
/// When the size is out of bounds.
pub fn graph_svg(spec: &ChartSpec, size: Size, theme: Theme) -> Result<String, GraphError> {
    check(size)?;
    let mut svg = Svg::new(size.width, size.height, &spec.title, &spec.words());
    Picture::new(spec, size, theme, &mut svg).draw();
    Ok(svg.finish())
}

/// The chart as the bytes of a PNG file.
///
/// # Errors
/// When the size is out of bounds.
pub fn graph_png(spec: &ChartSpec, size: Size, theme: Theme) -> Result<Vec<u8>, GraphError> {
    check(size)?;
    let mut raster = Raster::new(size.width, size.height);
    Picture::new(spec, size, theme, &mut raster).draw();
    raster.png().map_err(|e| GraphError::Draw(e.to_string()))
}

fn check(size: Size) -> Result<(), GraphError> {
    let fits = (Size::MIN.width..=Size::MAX.width).contains(&size.width)
        && (Size::MIN.height..=Size::MAX.height).contains(&size.height);
    if fits { Ok(()) } else { Err(GraphError::Size) }
}

/// Pixels free at the sides.
const MARGIN: u32 = 14;
const TITLE: f32 = 32.0;
const AXIS: f32 = 24.0;
const ROW: f32 = 16.0;
/// More series than this have no row in the legend; what is left out is said.
const LEGEND_ROWS_MAX: usize = 12;
const SMALL: f32 = 10.0;
const TEXT: f32 = 11.0;
const HEAD: f32 = 13.0;
/// What of a text's size lies above its base line, about: the height of a capital.
const CAPITAL: f32 = 0.73;

const FIGURES: [&str; 5] = ["current", "average", "minimum", "maximum", "95th pct"];

struct Picture<'a, C> {
    spec: &'a ChartSpec,
    theme: Theme,
    canvas: &'a mut C,
    /// Of the whole picture.
    size: (f32, f32),
    /// Where the curves are.
    plot: Rect,
    legend: Legend,
}

/// The legend's rows with their figures, and how wide the columns are.
struct Legend {
    rows: Vec<[String; 5]>,
    widths: [f32; 5],
}

impl Legend {
    fn new(spec: &ChartSpec, size: Size) -> Self {
        let height = usize::try_from(size.height).unwrap_or(0);
        let fit = height.saturating_sub(90) / 2 / 16;
        let rows: Vec<_> = spec
            .lines
            .iter()
            .take(fit.min(LEGEND_ROWS_MAX))
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

    fn height(&self) -> f32 {
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

impl<'a, C: Canvas> Picture<'a, C> {
    fn new(spec: &'a ChartSpec, size: Size, theme: Theme, canvas: &'a mut C) -> Self {
        let legend = Legend::new(spec, size);
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

    fn draw(&mut self) {
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

    fn right(&self) -> f32 {
        self.plot.x + self.plot.width
    }

    fn bottom(&self) -> f32 {
        self.plot.y + self.plot.height
    }

    fn x(&self, at: vigie_parsers::Timestamp) -> f32 {
        self.plot.x + narrow(share(self.spec, at)) * self.plot.width
    }

    fn y(&self, value: f64) -> f32 {
        let place = narrow(self.spec.y.place(value)).clamp(-1e4, 1e4);
        self.bottom() - place * self.plot.height
    }

    fn ink(&self, color: Color, opacity: f32) -> Ink {
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
    fn text(&mut self, text: &str, (x, top): Point, size: f32, color: Color, anchor: Anchor) {
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

    fn bars(&mut self) {
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

    fn curves(&mut self) {
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
        let spec = self.spec;
        for limit in &spec.limits {
            let y = self.y(limit.value);
            if y < self.plot.y - 1.0 || y > self.bottom() + 1.0 {
                continue;
            }
            // Above its line, or below it at the very top.
            let above = y - SMALL * CAPITAL - 3.0;
            let top = if above < self.plot.y { y + 4.0 } else { above };
            let place = (self.right() - 4.0, top);
            self.text(&limit.label, place, SMALL, limit.color(), Anchor::End);
        }
        for mark in &spec.marks {
            let x = self.x(mark.at) + 3.0;
            let room = self.right() - x;
            if (spec.from..=spec.to).contains(&mark.at) && room > 20.0 {
                let label = shortened(&mark.label, room, SMALL);
                let place = (x, self.plot.y + 3.0);
                self.text(&label, place, SMALL, mark.level.color(), Anchor::Start);
            }
        }
    }

    fn legend(&mut self) {
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

/// In the middle of a pixel, where a thin line is sharp.
fn crisp(v: f32) -> f32 {
    v.floor() + 0.5
}

#[expect(clippy::cast_possible_truncation, reason = "places in a picture")]
fn narrow(v: f64) -> f32 {
    v as f32
}

/// As much of a text as has room.
fn shortened(text: &str, room: f32, size: f32) -> String {
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

#[cfg(test)]
mod tests {
    use super::super::{Draft, Envelope, Grid, Level, Limit, Mark, Span, Unit};
    use super::*;
    use jiff::tz::TimeZone;
    use vigie_parsers::Timestamp;

    fn spec() -> ChartSpec {
        let grid = Grid {
            start: Timestamp(60_000),
            step_ms: 60_000,
            len: 60,
        };
        let wave = |k: f64| {
            let value = move |i: u32| {
                (20..30)
                    .contains(&i)
                    .then_some(())
                    .map_or(Some(k * (1.0 + (f64::from(i) / 6.0).sin())), |()| None)
            };
            (0..60).map(value).collect::<Vec<_>>()
        };
        let mut draft = Draft::new(
            "t",
            "Traffic <eth0>",
            Unit::BITS_PER_SECOND,
            Timestamp(0),
            grid.end(),
            grid,
        )
        .line("in & out", Kind::Area, wave(1e6))
        .line("out", Kind::Line, wave(3e6));
        draft.limits.push(Limit::new(5e6, "limit", Level::Warn));
        draft.finish(&TimeZone::UTC)
    }

    #[test]
    fn svg_has_curves_with_gaps_words_and_figures() {
        let svg = graph_svg(&spec(), Size::default(), Theme::Light).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        // One area of two runs, apart where nothing is known.
        assert_eq!(svg.matches("z\" fill").count(), 2);
        assert!(svg.contains("95th pct") && svg.contains("maximum"));
        assert!(svg.contains("Traffic &lt;eth0&gt;") && svg.contains("in &amp; out"));
        assert!(!svg.contains("<eth0>"));
        assert_eq!(
            svg,
            graph_svg(&spec(), Size::default(), Theme::Light).unwrap()
        );
    }

    #[test]
    fn hostile_words_stay_words() {
        let hostile = "</text><script>alert(1)</script>\u{1b}[31m\u{0}\"'&]]>";
        let mut draft = spec().clone_draft();
        draft.title = hostile.to_owned();
        draft.sub = hostile.to_owned();
        draft.lines[0].label = hostile.to_owned();
        draft.limits.push(Limit::new(1e6, hostile, Level::Crit));
        draft.marks.push(Mark {
            at: Timestamp(600_000),
            label: hostile.to_owned(),
            level: Level::Info,
        });
        let spec = draft.finish(&TimeZone::UTC);
        let size = Size {
            width: 2000,
            height: 400,
        };
        let svg = graph_svg(&spec, size, Theme::Light).unwrap();
        assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script"));
        assert!(!svg.contains(['\u{0}', '\u{1b}']));
        let tags = svg.matches('<').count();
        let own = [
            "<svg", "</svg", "<title", "</title", "<desc", "</desc", "<rect", "<path",
        ];
        let own = own.into_iter().chain(["<text", "</text"]);
        assert_eq!(tags, own.map(|tag| svg.matches(tag).count()).sum::<usize>());
        assert!(graph_png(&spec, size, Theme::Dark).is_ok());
    }

    #[test]
    fn every_kind_of_picture_is_drawn() {
        let known = |i: usize| (i % 7 != 3).then_some(1.0 + (i % 5) as f64);
        let ys: Column = (0..60).map(known).collect();
        let size = Size::default();
        for (shape, log) in [
            (Shape::Plain, false),
            (Shape::Stack, false),
            (Shape::Bars, false),
            (Shape::Plain, true),
        ] {
            let mut draft = spec().clone_draft();
            draft.shape = shape;
            draft.scale.log = log;
            draft
                .lines
                .push(Line::new("dashed", Color::INK, Kind::Dash, ys.clone()));
            draft.lines[0].envelope = Some(Envelope {
                low: draft.lines[0].ys.clone(),
                high: draft.lines[1].ys.clone(),
            });
            draft.spans.push(Span {
                from: Timestamp(60_000),
                to: None,
                level: Level::Warn,
                label: String::new(),
            });
            let spec = draft.finish(&TimeZone::UTC);
            for theme in [Theme::Light, Theme::Dark] {
                let svg = graph_svg(&spec, size, theme).unwrap();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(svg.contains("stroke-dasharray"));
                assert!(graph_png(&spec, size, theme).unwrap().len() > 2000);
            }
        }
    }

    #[test]
    fn png_is_a_picture_of_the_size() {
        let size = Size {
            width: 400,
            height: 200,
        };
        for (theme, surface) in [
            (Theme::Light, [255, 255, 255]),
            (Theme::Dark, [0x12, 0x17, 0x1c]),
        ] {
            let bytes = graph_png(&spec(), size, theme).unwrap();
            // Bytes of every pixel, packed badly, would be more than twice as many.
            assert!(bytes.len() < 30_000, "{}", bytes.len());
            let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
            decoder.set_transformations(png::Transformations::EXPAND);
            let mut reader = decoder.read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height), (400, 200));
            assert_eq!(pixels[..3], surface);
            assert!(pixels.chunks(3).any(|p| p != surface));
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        for (width, height) in [(0, 0), (u32::MAX, 100), (800, 5000)] {
            assert!(graph_svg(&spec(), Size { width, height }, Theme::Dark).is_err());
        }
    }
}
