//! What a picture is drawn on, so that SVG and PNG cannot differ: a handful of shapes in pixels.

use std::sync::OnceLock;

use ab_glyph::{Font as _, FontRef, PxScale, ScaleFont as _};

/// Pixels from the left and from the top.
pub(super) type Point = (f32, f32);

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) width: f32,
    pub(super) height: f32,
}

/// A colour and how much of it, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ink {
    pub(super) rgb: (u8, u8, u8),
    pub(super) opacity: f32,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stroke {
    pub(super) ink: Ink,
    pub(super) width: f32,
    /// Pixels on and off.
    pub(super) dash: Option<(f32, f32)>,
}

/// Which part of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A text on one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) text: &'a str,
    /// On the base line.
    pub(super) at: Point,
    pub(super) size: f32,
    pub(super) anchor: Anchor,
    pub(super) ink: Ink,
}

/// Takes shapes, later ones over earlier ones.
pub(super) trait Canvas {
    fn rect(&mut self, rect: Rect, ink: Ink);
    /// The inside of a polygon.
    fn area(&mut self, corners: &[Point], ink: Ink);
    fn line(&mut self, points: &[Point], stroke: Stroke);
    fn text(&mut self, words: Words<'_>);
    /// From here on nothing is drawn outside; `None` ends it. Not nested.
    fn clip(&mut self, rect: Option<Rect>);
}

/// The embedded font. A viewer of an SVG looks for its name and takes a sans serif of its own
/// otherwise, so widths are only about right there.
pub(super) fn font() -> Option<&'static FontRef<'static>> {
    static FONT: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    FONT.get_or_init(|| FontRef::try_from_slice(dejavu::sans::regular()).ok())
        .as_ref()
}

/// The scale at which the font's em is so many pixels.
pub(super) fn scale(font: &FontRef<'_>, size: f32) -> PxScale {
    let em = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(size * font.height_unscaled() / em)
}

/// How wide a text is, in pixels.
pub(super) fn width(text: &str, size: f32) -> f32 {
    let Some(font) = font() else {
        return 0.0;
    };
    let scaled = font.as_scaled(scale(font, size));
    text.chars()
        .map(|c| scaled.h_advance(scaled.glyph_id(c)))
        .sum()
}
