//! Labels and annotations as one text column: `name=value` lines, readable in any SQLite tool.
//!
//! `\`, newline and `=` are written `\\`, `\n` and `\e`, so every pair of texts survives and equal
//! label sets are equal texts (labels are sorted).

use vigie_query::Labels;

/// Pairs as text.
pub(super) fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('\n');
        }
        escape(&mut out, name);
        out.push('=');
        escape(&mut out, value);
    }
    out
}

/// A label set as text.
pub(super) fn from_labels(labels: &Labels) -> String {
    encode(labels.iter())
}

/// The pairs of a text.
pub(super) fn decode(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(n, v)| (unescape(n), unescape(v))).collect()
}

/// The label set of a text.
pub(super) fn to_labels(text: &str) -> Labels {
    Labels::new(decode(text))
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // `lines` would take it for a part of a line end.
            '\r' => out.push_str("\\r"),
            '=' => out.push_str("\\e"),
            c => out.push(c),
        }
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (c, false) => out.push(c),
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('e') => out.push('='),
                Some(c) => out.push(c),
                None => {}
            },
        }
    }
    out
}
