//! The chart as a file: SVG and PNG at a fixed size, drawn by plotters with one embedded font.

use std::sync::OnceLock;

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontStyle, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle, register_font,
};

use super::fluid::share;
use super::palette::{Color, Theme};
use super::spec::{ChartSpec, Kind, Shape, Stats};
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
    /// The drawing library refused.
    #[error("drawing: {0}")]
    Draw(String),
}

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for GraphError {
    fn from(e: DrawingAreaErrorKind<E>) -> Self {
        Self::Draw(e.to_string())
    }
}

/// The chart as SVG text.
///
/// # Errors
/// When the size is out of bounds.
pub fn graph_svg(spec: &ChartSpec, size: Size, theme: Theme) -> Result<String, GraphError> {
    check(size)?;
    let mut text = String::new();
    {
        let root =
            SVGBackend::with_string(&mut text, (size.width, size.height)).into_drawing_area();
        Picture {
            spec,
            size,
            theme,
            root: &root,
        }
        .draw()?;
        root.present()?;
    }
    Ok(text)
}

/// The chart as the bytes of a PNG file.
///
/// # Errors
/// When the size is out of bounds.
pub fn graph_png(spec: &ChartSpec, size: Size, theme: Theme) -> Result<Vec<u8>, GraphError> {
    check(size)?;
    let pixels = usize::try_from(u64::from(size.width) * u64::from(size.height)).unwrap_or(0);
    let mut buffer = vec![0; pixels * 3];
    {
        let backend = BitMapBackend::with_buffer(&mut buffer, (size.width, size.height));
        let root = backend.into_drawing_area();
        Picture {
            spec,
            size,
            theme,
            root: &root,
        }
        .draw()?;
        root.present()?;
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder
        .write_header()
        .and_then(|mut w| w.write_image_data(&buffer));
    written.map_err(|e| GraphError::Draw(e.to_string()))?;
    Ok(out)
}

fn check(size: Size) -> Result<(), GraphError> {
    let fits = (Size::MIN.width..=Size::MAX.width).contains(&size.width)
        && (Size::MIN.height..=Size::MAX.height).contains(&size.height);
    static FONT: OnceLock<bool> = OnceLock::new();
    // The name is what a viewer of the SVG looks for; its own sans serif stands in there.
    let font = FONT.get_or_init(|| {
        register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).is_ok()
    });
    match (fits, font) {
        (false, _) => Err(GraphError::Size),
        (true, false) => Err(GraphError::Draw(
            "the embedded font cannot be read".to_owned(),
        )),
        (true, true) => Ok(()),
    }
}

const LEFT: i32 = 78;
const RIGHT: i32 = 18;
const TITLE: i32 = 30;
const AXIS: i32 = 24;
const ROW: i32 = 16;
/// More series than this have no row in the legend; what is left out is said.
const LEGEND_ROWS_MAX: usize = 12;

struct Picture<'a, DB: DrawingBackend> {
    spec: &'a ChartSpec,
    size: Size,
    theme: Theme,
    root: &'a DrawingArea<DB, Shift>,
}

type Done<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

impl<DB: DrawingBackend> Picture<'_, DB> {
    fn draw(&self) -> Done<DB> {
        let (r, g, b) = Color::SURFACE.rgb(self.theme);
        self.root.fill(&RGBColor(r, g, b))?;
        self.title()?;
        self.axes()?;
        for gap in &self.spec.gaps {
            self.hatch(
                self.x(share(self.spec, gap.from)),
                self.x(share(self.spec, gap.to)),
            )?;
        }
        match self.spec.shape {
            Shape::Bars => self.bars()?,
            _ => self.curves()?,
        }
        for limit in &self.spec.limits {
            let y = self.y(limit.value);
            self.dashed(y, limit.level.color())?;
            self.text(
                &limit.label,
                (self.right() - 4, y - 3),
                10,
                limit.level.color(),
                HPos::Right,
                VPos::Bottom,
            )?;
        }
        self.legend()
    }

    fn right(&self) -> i32 {
        i32::try_from(self.size.width).unwrap_or(i32::MAX) - RIGHT
    }

    /// Rows of the legend: as many as there are series, and as fit.
    fn rows(&self) -> usize {
        let height = usize::try_from(self.size.height).unwrap_or(0);
        let fit = height.saturating_sub(90) / 2 / 16;
        self.spec.lines.len().min(fit).min(LEGEND_ROWS_MAX)
    }

    fn bottom(&self) -> i32 {
        let rows = i32::try_from(self.rows()).unwrap_or(0);
        let legend = if rows == 0 { 0 } else { (rows + 1) * ROW + 8 };
        i32::try_from(self.size.height).unwrap_or(i32::MAX) - AXIS - legend
    }

    fn x(&self, share: f64) -> i32 {
        pixel(f64::from(LEFT) + share * f64::from(self.right() - LEFT))
    }

    fn y(&self, value: f64) -> i32 {
        let height = f64::from(self.bottom() - TITLE);
        pixel(f64::from(TITLE) + height * (1.0 - self.spec.y.share(value)))
    }

    fn style(&self, color: Color, opacity: f64) -> RGBAColor {
        let (r, g, b) = color.rgb(self.theme);
        RGBColor(r, g, b).mix(opacity)
    }

    fn stroke(&self, color: Color, width: u32) -> ShapeStyle {
        self.style(color, 1.0).stroke_width(width)
    }

    fn text(
        &self,
        text: &str,
        at: (i32, i32),
        size: i32,
        color: Color,
        h: HPos,
        v: VPos,
    ) -> Done<DB> {
        let (r, g, b) = color.rgb(self.theme);
        let ink = RGBColor(r, g, b);
        let style = TextStyle::from(("sans-serif", size).into_font())
            .color(&ink)
            .pos(Pos::new(h, v));
        // Fonts of viewers often lack the narrow space.
        let text = text.replace(NARROW, "\u{a0}");
        self.root.draw(&Text::new(text, at, style))
    }

    fn title(&self) -> Done<DB> {
        self.text(
            &self.spec.title,
            (LEFT, 8),
            14,
            Color::INK,
            HPos::Left,
            VPos::Top,
        )
    }

    fn axes(&self) -> Done<DB> {
        let axis = &self.spec.y;
        for (i, (tick, label)) in axis.ticks.iter().zip(&axis.labels).enumerate() {
            let y = self.y(*tick);
            let color = if i == 0 { Color::AXIS } else { Color::GRID };
            let line = PathElement::new(vec![(LEFT, y), (self.right(), y)], self.stroke(color, 1));
            self.root.draw(&line)?;
            self.text(
                label,
                (LEFT - 7, y),
                11,
                Color::INK_3,
                HPos::Right,
                VPos::Center,
            )?;
        }
        let bottom = self.bottom();
        let mut free = LEFT - 20;
        for tick in &self.spec.x {
            let x = self.x(share(self.spec, tick.at));
            // Words that would touch the last ones, or leave the picture, are left out.
            let half = i32::try_from(tick.label.chars().count()).unwrap_or(0) * 4;
            if x - half < free || x + half > self.right() + RIGHT {
                continue;
            }
            free = x + half + 8;
            let line = PathElement::new(
                vec![(x, bottom), (x, bottom + 4)],
                self.stroke(Color::AXIS, 1),
            );
            self.root.draw(&line)?;
            let color = if tick.strong {
                Color::INK_2
            } else {
                Color::INK_3
            };
            self.text(
                &tick.label,
                (x, bottom + 7),
                11,
                color,
                HPos::Center,
                VPos::Top,
            )?;
        }
        Ok(())
    }

    /// Diagonals over missing time.
    fn hatch(&self, left: i32, right: i32) -> Done<DB> {
        let (top, bottom) = (TITLE, self.bottom());
        let height = bottom - top;
        let style = self.stroke(Color::HATCH, 1);
        let mut start = left - height;
        while start < right {
            // The line x = start + (bottom − y), cut to the gap.
            let from = start.max(left);
            let to = (start + height).min(right);
            if from < to {
                let y = |x: i32| bottom - (x - start);
                let line = PathElement::new(vec![(from, y(from)), (to, y(to))], style);
                self.root.draw(&line)?;
            }
            start += 6;
        }
        Ok(())
    }

    fn bars(&self) -> Done<DB> {
        let grid = &self.spec.grid;
        for (line, column) in self.spec.lines.iter().zip(&self.spec.stacked) {
            for (i, top) in column.iter().enumerate() {
                let own = line.ys.get(i).copied().flatten().unwrap_or(0.0);
                let Some(top) = top.filter(|_| own > 0.0) else {
                    continue;
                };
                let end = grid.at(i);
                let left = self.x(share(self.spec, end.plus_ms(-grid.step_ms)));
                let right = (self.x(share(self.spec, end)) - 1).max(left + 1);
                let corners = [(left, self.y(top)), (right, self.y(top - own))];
                self.root.draw(&Rectangle::new(
                    corners,
                    self.style(line.color, 1.0).filled(),
                ))?;
            }
        }
        Ok(())
    }

    fn curves(&self) -> Done<DB> {
        let stack = self.spec.shape == Shape::Stack;
        for (k, line) in self.spec.lines.iter().enumerate() {
            if !stack && line.kind != Kind::Area {
                continue;
            }
            let base = (stack && k > 0)
                .then(|| self.spec.stacked.get(k - 1))
                .flatten();
            for run in self.runs(k) {
                let under = run.iter().rev().map(|(i, x, _)| {
                    let value = base.and_then(|b| b.get(*i).copied().flatten());
                    (*x, self.y(value.unwrap_or(self.spec.y.min)))
                });
                let points: Vec<_> = run.iter().map(|(_, x, y)| (*x, *y)).chain(under).collect();
                let opacity = if stack { 0.32 } else { 0.2 };
                self.root.draw(&Polygon::new(
                    points,
                    self.style(line.color, opacity).filled(),
                ))?;
            }
        }
        for (k, line) in self.spec.lines.iter().enumerate() {
            for run in self.runs(k) {
                let points: Vec<_> = run.into_iter().map(|(_, x, y)| (x, y)).collect();
                // A single known cell is a dash, not nothing.
                let points = match points.as_slice() {
                    [(x, y)] => vec![(x - 1, *y), (x + 1, *y)],
                    _ => points,
                };
                self.root
                    .draw(&PathElement::new(points, self.stroke(line.color, 1)))?;
            }
        }
        Ok(())
    }

    /// Runs of known cells of series `k`, in pixels.
    fn runs(&self, k: usize) -> Vec<Vec<(usize, i32, i32)>> {
        let mut out: Vec<Vec<(usize, i32, i32)>> = Vec::new();
        let mut joined = false;
        for (i, value) in self.spec.stacked.get(k).into_iter().flatten().enumerate() {
            let Some(value) = value else {
                joined = false;
                continue;
            };
            let point = (
                i,
                self.x(share(self.spec, self.spec.grid.at(i))),
                self.y(*value),
            );
            match out.last_mut().filter(|_| joined) {
                Some(run) => run.push(point),
                None => out.push(vec![point]),
            }
            joined = true;
        }
        out
    }

    fn dashed(&self, y: i32, color: Color) -> Done<DB> {
        let mut x = LEFT;
        while x < self.right() {
            let end = (x + 5).min(self.right());
            self.root.draw(&PathElement::new(
                vec![(x, y), (end, y)],
                self.stroke(color, 1),
            ))?;
            x += 9;
        }
        Ok(())
    }

    fn legend(&self) -> Done<DB> {
        const COLUMNS: [&str; 4] = ["current", "average", "maximum", "95th pct"];
        let rows = self.rows();
        if rows == 0 {
            return Ok(());
        }
        let right = self.right();
        let wide = ((right - LEFT) / 6).clamp(52, 96);
        let mut y = self.bottom() + AXIS + 4;
        for (i, head) in (0..).zip(COLUMNS) {
            self.text(
                head,
                (right - wide * (3 - i), y),
                10,
                Color::INK_3,
                HPos::Right,
                VPos::Top,
            )?;
        }
        let hidden = self.spec.lines.len() - rows;
        if hidden > 0 {
            self.text(
                &format!("and {hidden} more"),
                (LEFT, y),
                10,
                Color::INK_3,
                HPos::Left,
                VPos::Top,
            )?;
        }
        for line in self.spec.lines.iter().take(rows) {
            y += ROW;
            let swatch = Rectangle::new(
                [(LEFT, y + 1), (LEFT + 10, y + 9)],
                self.style(line.color, 1.0).filled(),
            );
            self.root.draw(&swatch)?;
            // About 6 pixels a character: what is longer would run into the figures.
            let room = usize::try_from((right - 4 * wide - LEFT - 20).max(36) / 6).unwrap_or(6);
            let label = shortened(&line.label, room);
            self.text(
                &label,
                (LEFT + 16, y),
                11,
                Color::INK_2,
                HPos::Left,
                VPos::Top,
            )?;
            let stats = Stats::of(&line.ys);
            for i in 0..4 {
                let value = stats.map(|s| match i {
                    0 => s.last,
                    1 => s.avg,
                    2 => s.max,
                    _ => s.p95,
                });
                let text = value.map_or("–".to_owned(), |v| self.spec.unit.format(v));
                self.text(
                    &text,
                    (right - wide * (3 - i), y),
                    11,
                    Color::INK,
                    HPos::Right,
                    VPos::Top,
                )?;
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "pictures end at 4096 pixels"
)]
fn pixel(v: f64) -> i32 {
    v.round() as i32
}

fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Draft, Grid, Level, Limit, Unit};
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
        draft.limits.push(Limit {
            value: 5e6,
            label: "limit".to_owned(),
            level: Level::Warn,
        });
        draft.finish(&TimeZone::UTC)
    }

    #[test]
    fn svg_has_curves_with_gaps_words_and_figures() {
        let svg = graph_svg(&spec(), Size::default(), Theme::Light).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        // Two series of two runs each, and lines of grid, ticks, hatch and limit.
        assert_eq!(svg.matches("<polygon").count(), 2);
        assert!(svg.contains("95th pct") && svg.contains("maximum"));
        assert!(svg.contains("Traffic &lt;eth0&gt;") && svg.contains("in &amp; out"));
        assert!(!svg.contains("<eth0>"));
        assert_eq!(
            svg,
            graph_svg(&spec(), Size::default(), Theme::Light).unwrap()
        );
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
            let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
                .read_info()
                .unwrap();
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
