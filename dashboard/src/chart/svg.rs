//! Pictures as SVG text. Nothing in it runs, refers to anything, or needs a name: pictures can stand
//! several in one page.

use std::fmt::Write as _;

use super::canvas::{Anchor, Canvas, Ink, Point, Rect, Stroke, Words};

/// Writes SVG.
pub(super) struct Svg {
    out: String,
}

impl Svg {
    /// A picture of a size, with what it shows in words.
    pub(super) fn new(width: u32, height: u32, title: &str, words: &str) -> Self {
        let mut out = String::with_capacity(32 << 10);
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"DejaVu Sans,Verdana,sans-serif\"><title>"
        );
        escape(&mut out, title);
        out.push_str("</title><desc>");
        escape(&mut out, words);
        out.push_str("</desc>\n");
        Self { out }
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    /// An attribute's name and a number.
    fn number(&mut self, name: &str, value: f32) {
        self.out.push_str(name);
        self.out.push_str("=\"");
        hundredths(&mut self.out, steps(value));
        self.out.push_str("\" ");
    }

    fn paint(&mut self, property: &str, ink: Ink) {
        let (r, g, b) = ink.rgb;
        let _ = write!(self.out, "{property}=\"#{r:02x}{g:02x}{b:02x}\"");
        if ink.opacity < 1.0 {
            let _ = write!(self.out, " {property}-opacity=\"{:.2}\"", ink.opacity);
        }
    }

    /// The text of a path in relative steps: they are short.
    fn path(&mut self, points: &[Point]) {
        let (mut px, mut py) = (0, 0);
        for (i, &(x, y)) in points.iter().enumerate() {
            let (x, y) = (steps(x), steps(y));
            match i {
                0 => self.out.push('M'),
                1 => self.out.push('l'),
                _ if x >= px => self.out.push(' '),
                _ => {}
            }
            hundredths(&mut self.out, x - px);
            if y >= py {
                self.out.push(' ');
            }
            hundredths(&mut self.out, y - py);
            (px, py) = (x, y);
        }
    }
}

impl Canvas for Svg {
    fn rect(&mut self, rect: Rect, ink: Ink) {
        self.out.push_str("<rect ");
        self.number("x", rect.x);
        self.number("y", rect.y);
        self.number("width", rect.width);
        self.number("height", rect.height);
        self.paint("fill", ink);
        self.out.push_str("/>\n");
    }

    fn area(&mut self, corners: &[Point], ink: Ink) {
        self.out.push_str("<path d=\"");
        self.path(corners);
        self.out.push_str("z\" ");
        self.paint("fill", ink);
        self.out.push_str("/>\n");
    }

    fn line(&mut self, points: &[Point], stroke: Stroke) {
        self.out.push_str("<path d=\"");
        self.path(points);
        self.out.push_str("\" fill=\"none\" ");
        self.number("stroke-width", stroke.width);
        if let Some((on, off)) = stroke.dash {
            let _ = write!(self.out, "stroke-dasharray=\"{on} {off}\" ");
        }
        if points.len() > 2 {
            self.out.push_str("stroke-linejoin=\"round\" ");
        }
        self.paint("stroke", stroke.ink);
        self.out.push_str("/>\n");
    }

    fn text(&mut self, words: Words<'_>) {
        self.out.push_str("<text ");
        self.number("x", words.at.0);
        self.number("y", words.at.1);
        self.number("font-size", words.size);
        match words.anchor {
            Anchor::Start => {}
            Anchor::Middle => self.out.push_str("text-anchor=\"middle\" "),
            Anchor::End => self.out.push_str("text-anchor=\"end\" "),
        }
        self.paint("fill", words.ink);
        self.out.push('>');
        escape(&mut self.out, words.text);
        self.out.push_str("</text>\n");
    }

    fn clip(&mut self, rect: Option<Rect>) {
        let Some(rect) = rect else {
            self.out.push_str("</svg>\n");
            return;
        };
        // An inner picture hides what is outside of it, and needs no name as a clip path does.
        self.out.push_str("<svg ");
        self.number("x", rect.x);
        self.number("y", rect.y);
        self.number("width", rect.width);
        self.number("height", rect.height);
        let Rect {
            x,
            y,
            width,
            height,
        } = rect;
        let _ = writeln!(self.out, "viewBox=\"{x} {y} {width} {height}\">");
    }
}

/// Text as text: what XML would read as its own becomes entities, what it forbids a sign that
/// something was there.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// Hundredths of a pixel.
#[expect(clippy::cast_possible_truncation, reason = "held to what 32 bits take")]
fn steps(value: f32) -> i32 {
    (value * 100.0).round().clamp(-1e8, 1e8) as i32
}

/// Hundredths as a decimal number, without what says nothing.
fn hundredths(out: &mut String, value: i32) {
    if value < 0 {
        out.push('-');
    }
    let value = value.unsigned_abs();
    let (whole, part) = (value / 100, value % 100);
    if whole > 0 || part == 0 {
        integer(out, whole);
    }
    if part > 0 {
        out.push('.');
        out.push(digit(part / 10));
        if part % 10 > 0 {
            out.push(digit(part % 10));
        }
    }
}

/// Faster than the formatter's way, which most of a picture's time went into.
fn integer(out: &mut String, value: u32) {
    if value >= 10 {
        integer(out, value / 10);
    }
    out.push(digit(value % 10));
}

fn digit(value: u32) -> char {
    char::from_digit(value, 10).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.5, "-.5"),
            (12.345, "12.35"),
            (0.05, ".05"),
            (-1234.1, "-1234.1"),
        ] {
            let mut out = String::new();
            hundredths(&mut out, steps(value));
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn paths_go_in_steps() {
        let mut svg = Svg::new(10, 10, "", "");
        svg.out.clear();
        svg.path(&[(0.0, 10.0), (5.0, 10.5), (10.0, 10.2)]);
        assert_eq!(svg.out, "M0 10l5 .5 5-.3");
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut out = String::new();
        escape(
            &mut out,
            "</text><script>alert('1')</script>\u{0}\u{1b}[31m&\u{ffff}\n",
        );
        assert!(!out.contains('<') && !out.contains('\u{0}') && !out.contains('\u{1b}'));
        assert!(out.starts_with("&lt;/text&gt;&lt;script&gt;"), "{out}");
    }
}
