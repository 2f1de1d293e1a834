//! Text of unknown origin, made safe for terminals and pages.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with everything escaped that could move a cursor, colour a screen, turn the direction
/// of writing or hide: control characters (`\x1b`), bidirectional controls and invisible characters
/// (`\u{202e}`), bytes that are no UTF-8 (`\xff`). Tabs stay. Backslashes are not doubled: this is for
/// reading, not for parsing.
#[must_use]
pub fn printable(text: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(text)
        && !text.chars().any(is_unsafe)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unsafe(c) {
                escape(c, &mut out);
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

/// A JSON text with everything escaped that [`printable`] escapes, as `\u202e`: the same values for who
/// reads it, and harmless on a terminal. Such characters stand in strings only.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn escape(c: char, out: &mut String) {
    let code = u32::from(c);
    let _ = match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        // C1 controls would read as single bytes if written `\x9b`.
        _ if code < 0x80 => write!(out, "\\x{code:02x}"),
        _ => write!(out, "\\u{{{code:x}}}"),
    };
}

fn is_unsafe(c: char) -> bool {
    match c {
        '\t' => false,
        ' '..='~' => false,
        c if c.is_control() => true,
        '\u{ad}' | '\u{61c}' | '\u{180e}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{printable, printable_json};

    #[test]
    fn json_keeps_its_values() {
        let check = |text: &str, expected: &str| assert_eq!(printable_json(text), expected);
        check("{\"a\":\"grün \\u001b\"}", "{\"a\":\"grün \\u001b\"}");
        check(
            "\"\u{9b}31m\u{202e}\u{7f}\"",
            "\"\\u009b31m\\u202e\\u007f\"",
        );
        check("\"\u{e0041}\"", "\"\\udb40\\udc41\"");
    }

    #[test]
    fn hostile_text_is_shown_not_obeyed() {
        let check = |text: &[u8], expected: &str| assert_eq!(printable(text), expected);
        check(b"plain\ttext \\n", "plain\ttext \\n");
        check("grün – naïve ✓".as_bytes(), "grün – naïve ✓");
        check(b"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m");
        check(b"a\r\nb\0\x7f", "a\\r\\nb\\x00\\x7f");
        check(b"\xff\xc3(", "\\xff\\xc3(");
        check("\u{9b}31m".as_bytes(), "\\u{9b}31m");
        check(
            "abc\u{202e}cba\u{200b}".as_bytes(),
            "abc\\u{202e}cba\\u{200b}",
        );
    }
}
