//! Escapes that programs put into their lines, undone.

use std::borrow::Cow;

use crate::Kind;

/// The value behind `text`; borrowed when there is no escape in it.
pub(crate) fn undo(kind: Kind, text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let tail = &rest[at..];
        let used = match kind {
            Kind::SdParam => sd_param(tail, &mut out),
            Kind::Json => json(tail, &mut out),
            _ => quoted(tail, &mut out),
        };
        rest = &tail[used..];
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// RFC 5424 §6.3.3: only `\"`, `\\` and `\]` are escapes; any other backslash stands for itself.
fn sd_param(tail: &[u8], out: &mut Vec<u8>) -> usize {
    match tail.get(1) {
        Some(&c @ (b'"' | b'\\' | b']')) => {
            out.push(c);
            2
        }
        _ => {
            out.push(b'\\');
            1
        }
    }
}

/// Apache's and nginx's: `\xHH`, C's letters, and the character itself.
fn quoted(tail: &[u8], out: &mut Vec<u8>) -> usize {
    let hex = |c: Option<&u8>| c.and_then(|&c| char::from(c).to_digit(16));
    match tail.get(1) {
        Some(b'x') => {
            if let (Some(high), Some(low)) = (hex(tail.get(2)), hex(tail.get(3))) {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                return 4;
            }
            out.extend_from_slice(b"\\x");
            2
        }
        Some(&c) => {
            out.push(match c {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'v' => 11,
                other => other,
            });
            2
        }
        None => {
            out.push(b'\\');
            1
        }
    }
}

/// JSON's, surrogate pairs included; a broken escape stands for itself.
fn json(tail: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = |at: usize| -> Option<u32> {
        let digits = std::str::from_utf8(tail.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    match tail.get(1) {
        Some(b'u') => {
            let Some(first) = unit(2) else {
                push('\\');
                return 1;
            };
            if let (0xD800..0xDC00, Some(b"\\u"), Some(second @ 0xDC00..0xE000)) =
                (first, tail.get(6..8), unit(8))
            {
                let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                return 12;
            }
            push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
            6
        }
        Some(&c) => {
            push(match c {
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'"' | b'\\' | b'/' => char::from(c),
                _ => {
                    push('\\');
                    return 1;
                }
            });
            2
        }
        None => {
            push('\\');
            1
        }
    }
}
