//! Pictures as pixels, with smooth edges, and as the bytes of a PNG file.

use ab_glyph::{Font as _, ScaleFont as _};

use super::canvas::{Anchor, Canvas, Ink, Point, Rect, Stroke, Words, font, scale};

/// Draws into rows of red, green and blue.
pub(super) struct Raster {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    clip: Bounds,
    coverage: Coverage,
}

/// Whole pixels, the right and lower border not included.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Raster {
    pub(super) fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let clip = Bounds {
            left: 0,
            top: 0,
            right: width,
            bottom: height,
        };
        Self {
            width,
            height,
            pixels: vec![0; width * height * 3],
            clip,
            coverage: Coverage::default(),
        }
    }

    /// The bytes of a PNG file: numbers of colours where 256 are enough, as they are in all but the
    /// most crowded pictures; a third of the bytes to pack.
    pub(super) fn png(self) -> Result<Vec<u8>, png::EncodingError> {
        let indexed = self.indexed();
        let mut out = Vec::with_capacity(self.pixels.len() / 16);
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut encoder = png::Encoder::new(&mut out, size(self.width), size(self.height));
        encoder.set_depth(png::BitDepth::Eight);
        // Lines and hatching repeat: the lowest level finds that, filters would hide it.
        encoder.set_deflate_compression(png::DeflateCompression::Level(1));
        encoder.set_filter(png::Filter::NoFilter);
        let data = match &indexed {
            Some((palette, numbers)) => {
                encoder.set_color(png::ColorType::Indexed);
                encoder.set_palette(palette);
                numbers
            }
            None => {
                encoder.set_color(png::ColorType::Rgb);
                &self.pixels
            }
        };
        encoder.write_header()?.write_image_data(data)?;
        Ok(out)
    }

    /// The colours, and the number of its colour for each pixel; `None` if there are more than 256.
    fn indexed(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let (colours, _) = self.pixels.as_chunks::<3>();
        let mut known = foldhash::HashMap::<[u8; 3], u8>::default();
        let mut palette = Vec::new();
        let mut numbers = Vec::with_capacity(colours.len());
        let mut last = None;
        for &colour in colours {
            let number = match last {
                Some((same, number)) if same == colour => number,
                _ => match known.get(&colour) {
                    Some(&number) => number,
                    None => {
                        let number = u8::try_from(known.len()).ok()?;
                        known.insert(colour, number);
                        palette.extend(colour);
                        number
                    }
                },
            };
            last = Some((colour, number));
            numbers.push(number);
        }
        Some((palette, numbers))
    }

    fn blend(&mut self, x: usize, y: usize, share: f32, ink: Ink) {
        let alpha = share * ink.opacity;
        let at = (y * self.width + x) * 3;
        let Some(pixel) = self.pixels.get_mut(at..at + 3) else {
            return;
        };
        for (old, new) in pixel.iter_mut().zip([ink.rgb.0, ink.rgb.1, ink.rgb.2]) {
            let mixed = f32::from(*old) + (f32::from(new) - f32::from(*old)) * alpha;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between two bytes"
            )]
            let byte = (mixed + 0.5) as u8;
            *old = byte;
        }
    }

    /// Fills what rings of corners enclose. Rings that turn the same way add up.
    fn fill<'p>(&mut self, rings: impl Iterator<Item = &'p [Point]> + Clone, ink: Ink) {
        let Some(bounds) = self.bounds(rings.clone().flatten()) else {
            return;
        };
        let mut coverage = std::mem::take(&mut self.coverage);
        coverage.begin(bounds);
        for ring in rings {
            for pair in ring.windows(2) {
                coverage.edge(pair[0], pair[1]);
            }
            if let (Some(last), Some(first)) = (ring.last(), ring.first()) {
                coverage.edge(*last, *first);
            }
        }
        for y in bounds.top..bounds.bottom {
            let mut sum = 0.0;
            for (x, change) in (bounds.left..bounds.right).zip(coverage.row(y - bounds.top)) {
                sum += change;
                let share = f32::min(sum.abs(), 1.0);
                if share > 1.0 / 512.0 {
                    self.blend(x, y, share, ink);
                }
            }
        }
        self.coverage = coverage;
    }

    /// The pixels that some points span, as far as they may be drawn.
    fn bounds<'p>(&self, points: impl Iterator<Item = &'p Point>) -> Option<Bounds> {
        let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
        for &(x, y) in points {
            low = (low.0.min(x), low.1.min(y));
            high = (high.0.max(x), high.1.max(y));
        }
        let clip = self.clip;
        let found = Bounds {
            left: pixel(low.0.floor()).max(clip.left),
            top: pixel(low.1.floor()).max(clip.top),
            right: pixel(high.0.ceil()).min(clip.right),
            bottom: pixel(high.1.ceil()).min(clip.bottom),
        };
        (found.left < found.right && found.top < found.bottom).then_some(found)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "held to the size of pictures"
)]
fn pixel(v: f32) -> usize {
    v.clamp(0.0, 65_536.0) as usize
}

/// How much of each pixel lies inside: at first the change from the pixel before.
#[derive(Default)]
struct Coverage {
    left: f32,
    top: f32,
    width: usize,
    height: usize,
    changes: Vec<f32>,
}

impl Coverage {
    fn begin(&mut self, bounds: Bounds) {
        (self.left, self.top) = (bounds.left as f32, bounds.top as f32);
        self.width = bounds.right - bounds.left;
        self.height = bounds.bottom - bounds.top;
        self.changes.clear();
        self.changes.resize((self.width + 2) * self.height, 0.0);
    }

    fn row(&self, y: usize) -> &[f32] {
        let row = self.width + 2;
        self.changes.get(y * row..(y + 1) * row).unwrap_or_default()
    }

    /// One side of a ring: to the right of it, everything changes sides.
    fn edge(&mut self, a: Point, b: Point) {
        let (a, b) = (
            (a.0 - self.left, a.1 - self.top),
            (b.0 - self.left, b.1 - self.top),
        );
        let (sign, a, b) = if a.1 < b.1 { (1.0, a, b) } else { (-1.0, b, a) };
        let drop = b.1 - a.1;
        if drop <= 0.0 || !drop.is_finite() {
            return;
        }
        let slope = (b.0 - a.0) / drop;
        let (first, last) = (a.1.max(0.0), b.1.min(self.height as f32));
        let right = self.width as f32;
        for y in pixel(first.floor())..pixel(last.ceil()).min(self.height) {
            let (high, low) = ((y as f32).max(first), ((y + 1) as f32).min(last));
            if low <= high {
                continue;
            }
            let x = |y: f32| (a.0 + (y - a.1) * slope).clamp(0.0, right);
            self.piece(y, x(high), x(low), sign * (low - high));
        }
    }

    /// The part of a side within one row of pixels, `tall` of which it passes.
    fn piece(&mut self, y: usize, from: f32, to: f32, tall: f32) {
        let start = y * (self.width + 2);
        let (left, right) = (from.min(to), from.max(to));
        let first = pixel(left.floor());
        let mut add = |x: usize, v: f32| {
            if let Some(change) = self.changes.get_mut(start + x) {
                *change += v;
            }
        };
        if right <= (first + 1) as f32 {
            let middle = (left + right) / 2.0 - first as f32;
            add(first, tall * (1.0 - middle));
            add(first + 1, tall * middle);
            return;
        }
        // What lies right of the side and left of `x`: it grows with the square under the side, and
        // evenly after it. A pixel is covered by what is added across it.
        let per_pixel = tall / (right - left);
        let covered = |x: f32| {
            let under = (x.min(right) - left).max(0.0);
            under * under / 2.0 * per_pixel + (x - right).max(0.0) * tall
        };
        let mut before = 0.0;
        for x in first..=pixel(right.ceil()) {
            let share = covered((x + 1) as f32) - covered(x as f32);
            add(x, share - before);
            before = share;
        }
    }
}

impl Canvas for Raster {
    fn rect(&mut self, rect: Rect, ink: Ink) {
        let (right, bottom) = (rect.x + rect.width, rect.y + rect.height);
        let corners = [
            (rect.x, rect.y),
            (right, rect.y),
            (right, bottom),
            (rect.x, bottom),
        ];
        self.fill(std::iter::once(corners.as_slice()), ink);
    }

    fn area(&mut self, corners: &[Point], ink: Ink) {
        self.fill(std::iter::once(corners), ink);
    }

    fn line(&mut self, points: &[Point], stroke: Stroke) {
        let pieces = match stroke.dash {
            Some(dash) => dashes(points, dash),
            None => points.windows(2).map(|p| (p[0], p[1])).collect(),
        };
        let sides: Vec<[Point; 4]> = pieces
            .into_iter()
            .filter_map(|(a, b)| outline(a, b, stroke.width))
            .collect();
        self.fill(sides.iter().map(<[Point; 4]>::as_slice), stroke.ink);
    }

    fn text(&mut self, words: Words<'_>) {
        let Some(font) = font() else {
            return;
        };
        let scaled = font.as_scaled(scale(font, words.size));
        let wide = || super::canvas::width(words.text, words.size);
        let mut x = words.at.0
            - match words.anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => wide() / 2.0,
                Anchor::End => wide(),
            };
        for c in words.text.chars() {
            let mut glyph = scaled.scaled_glyph(c);
            glyph.position = ab_glyph::point(x, words.at.1);
            x += scaled.h_advance(glyph.id);
            let Some(outlined) = font.outline_glyph(glyph) else {
                continue;
            };
            let corner = outlined.px_bounds().min;
            let clip = self.clip;
            outlined.draw(|dx, dy, share| {
                let (px, py) = (corner.x + dx as f32, corner.y + dy as f32);
                let inside = px >= clip.left as f32
                    && px < clip.right as f32
                    && py >= clip.top as f32
                    && py < clip.bottom as f32;
                if inside {
                    self.blend(pixel(px), pixel(py), share.min(1.0), words.ink);
                }
            });
        }
    }

    fn clip(&mut self, rect: Option<Rect>) {
        self.clip = match rect {
            None => Bounds {
                left: 0,
                top: 0,
                right: self.width,
                bottom: self.height,
            },
            Some(r) => Bounds {
                left: pixel(r.x.floor()),
                top: pixel(r.y.floor()),
                right: pixel((r.x + r.width).ceil()).min(self.width),
                bottom: pixel((r.y + r.height).ceil()).min(self.height),
            },
        };
    }
}

/// The corners around a piece of a line, always in the same turn. Ends reach over a little, so that
/// pieces at an angle leave no notch between them.
fn outline(a: Point, b: Point, width: f32) -> Option<[Point; 4]> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = (dx * dx + dy * dy).sqrt();
    if length <= 0.0 || !length.is_finite() {
        return None;
    }
    let half = width / 2.0 / length;
    let (nx, ny) = (-dy * half, dx * half);
    let (ox, oy) = (dx * half * 0.5, dy * half * 0.5);
    let (a, b) = ((a.0 - ox, a.1 - oy), (b.0 + ox, b.1 + oy));
    Some([
        (a.0 + nx, a.1 + ny),
        (b.0 + nx, b.1 + ny),
        (b.0 - nx, b.1 - ny),
        (a.0 - nx, a.1 - ny),
    ])
}

/// A line cut into dashes.
fn dashes(points: &[Point], (on, off): (f32, f32)) -> Vec<(Point, Point)> {
    /// No picture has more; a line that left it far behind might.
    const DASHES_MAX: usize = 20_000;
    let mut out = Vec::new();
    let (mut left, mut drawn) = (on, true);
    for pair in points.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let length = ((b.0 - a.0).powi(2) + (b.1 - a.1).powi(2)).sqrt();
        let at = |s: f32| {
            let share = s / length.max(f32::MIN_POSITIVE);
            (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share)
        };
        let mut done = 0.0;
        while done < length && length.is_finite() && out.len() < DASHES_MAX {
            let step = left.min(length - done);
            if drawn {
                out.push((at(done), at(done + step)));
            }
            done += step;
            left -= step;
            if left <= 0.0 {
                drawn = !drawn;
                left = if drawn { on } else { off };
            }
            // A step too small to move in the precision left would never end.
            if done + left.min(1.0) <= done {
                break;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: Ink = Ink {
        rgb: (0, 0, 0),
        opacity: 1.0,
    };

    fn white(width: u32, height: u32) -> Raster {
        let mut raster = Raster::new(width, height);
        raster.pixels.fill(255);
        raster
    }

    fn row(raster: &Raster, y: usize) -> Vec<u8> {
        let row = raster.pixels.chunks(raster.width * 3).nth(y).unwrap();
        row.iter().step_by(3).copied().collect()
    }

    #[test]
    fn pixels_are_as_dark_as_they_are_covered() {
        let mut raster = white(4, 2);
        let rect = Rect {
            x: 0.5,
            y: 0.0,
            width: 2.0,
            height: 1.0,
        };
        raster.rect(rect, BLACK);
        assert_eq!(row(&raster, 0), [128, 0, 128, 255]);
        assert_eq!(row(&raster, 1), [255; 4]);
        // Under the diagonal of a square of four: half of all is covered.
        let mut raster = white(4, 4);
        raster.area(&[(0.0, 0.0), (4.0, 4.0), (0.0, 4.0)], BLACK);
        assert_eq!(row(&raster, 3), [0, 0, 0, 128]);
        let light: u32 = raster.pixels.iter().step_by(3).map(|p| u32::from(*p)).sum();
        assert!((light as f32 - 255.0 * 8.0).abs() < 8.0, "{light}");
        // A flat one, across all pixels of a row.
        let mut raster = white(4, 1);
        raster.area(&[(0.0, 0.0), (4.0, 1.0), (0.0, 1.0)], BLACK);
        assert_eq!(row(&raster, 0), [32, 96, 159, 223]);
    }

    #[test]
    fn nothing_leaves_the_picture() {
        let mut raster = white(8, 8);
        let far = [
            (-1e9, -1e9),
            (1e9, 1e9),
            (f32::NAN, 3.0),
            (4.0, f32::INFINITY),
        ];
        let plain = Stroke {
            ink: BLACK,
            width: 2.0,
            dash: None,
        };
        let dashed = Stroke {
            dash: Some((2.0, 2.0)),
            ..plain
        };
        raster.line(&far, plain);
        raster.line(&far, dashed);
        raster.area(&far, BLACK);
        raster.text(Words {
            text: "far \u{202e} away",
            at: (-20.0, 30.0),
            size: 40.0,
            anchor: Anchor::Middle,
            ink: BLACK,
        });
        assert_eq!(raster.pixels.len(), 8 * 8 * 3);
    }

    #[test]
    fn what_is_clipped_stays_out() {
        let mut raster = white(4, 1);
        let all = Rect {
            x: 0.0,
            y: 0.0,
            width: 4.0,
            height: 1.0,
        };
        raster.clip(Some(Rect {
            x: 1.0,
            width: 2.0,
            ..all
        }));
        raster.rect(all, BLACK);
        assert_eq!(row(&raster, 0), [255, 0, 0, 255]);
    }
}
