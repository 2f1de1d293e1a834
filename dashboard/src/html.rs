//! Text to HTML. Whatever comes from logs, labels or people passes through here.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Text with what HTML would read as its own turned into entities.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Bytes of a log line as text in which nothing acts: controls become their pictures (`␛`), and
/// what reorders or hides text (bidirectional controls, zero-width characters) its code point.
#[must_use]
pub fn visible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            '\0'..='\u{1f}' => {
                out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'));
            }
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => {
                let _ = write!(out, "⟨U+{:04X}⟩", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A value for the query of an address.
#[must_use]
pub fn url(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    // Readable addresses: the log query's own signs stay as they are.
    const KEPT: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b':')
        .remove(b'/')
        .remove(b'*')
        .remove(b'@');
    utf8_percent_encode(text, &KEPT).to_string()
}

/// A state's sign: the shape says it, the colour repeats it.
#[must_use]
pub fn glyph(state: &str) -> &'static str {
    match state {
        "ok" => {
            "<svg class=\"g g-ok\" viewBox=\"0 0 12 12\" role=\"img\" aria-label=\"ok\"><circle cx=\"6\" cy=\"6\" r=\"3.6\" fill=\"currentColor\"/></svg>"
        }
        "warn" => {
            "<svg class=\"g g-warn\" viewBox=\"0 0 12 12\" role=\"img\" aria-label=\"warning\"><path d=\"M6 .8 11.6 11H.4z\" fill=\"currentColor\"/></svg>"
        }
        "crit" => {
            "<svg class=\"g g-crit\" viewBox=\"0 0 12 12\" role=\"img\" aria-label=\"critical\"><path d=\"M6 0 12 6 6 12 0 6z\" fill=\"currentColor\"/></svg>"
        }
        "info" => {
            "<svg class=\"g g-info\" viewBox=\"0 0 12 12\" role=\"img\" aria-label=\"notice\"><circle cx=\"6\" cy=\"6\" r=\"4.2\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"/></svg>"
        }
        "dot" => {
            "<svg class=\"g\" viewBox=\"0 0 12 12\" aria-hidden=\"true\"><circle cx=\"6\" cy=\"6\" r=\"2\" fill=\"currentColor\"/></svg>"
        }
        _ => {
            "<svg class=\"g g-unk\" viewBox=\"0 0 12 12\" role=\"img\" aria-label=\"unknown\"><circle cx=\"6\" cy=\"6\" r=\"4.3\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.6\" stroke-dasharray=\"2.4 2.1\"/></svg>"
        }
    }
}

/// A picture of the sprite that every page carries.
#[must_use]
pub fn icon(name: &str) -> String {
    format!("<svg class=\"i\" aria-hidden=\"true\"><use href=\"#i-{name}\"/></svg>")
}

/// A number with its unit set smaller.
#[must_use]
pub fn figure(unit: crate::chart::Unit, value: Option<f64>) -> String {
    let Some(value) = value else {
        return "<span class=\"u\">no data</span>".to_owned();
    };
    let (number, symbol) = unit.parts(value);
    match symbol.is_empty() {
        true => number,
        false => format!(
            "{number}<span class=\"u\">{}{}</span>",
            crate::chart::units::NARROW,
            escape(&symbol)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_text_cannot_act() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"\x1b[31mred", "␛[31mred"),
            (b"a\0b\x7f\xff", "a␀b␡\u{fffd}"),
            ("x\u{202e}y\u{feff}".as_bytes(), "x⟨U+202E⟩y⟨U+FEFF⟩"),
            (b"a\tb", "a b"),
        ] {
            assert_eq!(visible(bytes), expected);
        }
        assert_eq!(
            escape("<a href='x'>&\""),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
    }

    #[test]
    fn addresses_stay_readable() {
        assert_eq!(url("app:sshd \"a&b\""), "app:sshd%20%22a%26b%22");
    }
}
