//! Text to HTML. Whatever comes from logs, labels or people passes through here.

use std::borrow::Cow;

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

/// The names of an event's own fields: of its line, then of its origin, none twice, none that every
/// event has.
#[must_use]
pub fn field_names(event: &vigie_parsers::Event) -> Vec<String> {
    const OF_ALL: &[&str] = &[
        "id", "time", "recv", "level", "source", "format", "message", "line",
    ];
    let own = event
        .record
        .fields
        .iter()
        .map(|s| event.record.name(s.name));
    let origin = event.origin.fields.iter().map(|(n, _)| n.as_str());
    let mut out: Vec<String> = Vec::new();
    for name in own.chain(origin) {
        if !OF_ALL.contains(&name) && !out.iter().any(|n| n == name) {
            out.push(name.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
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
