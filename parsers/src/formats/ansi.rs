//! Terminal colours around pieces of a line.

use std::ops::Range;

/// The length of the colour and erase sequences (`ESC [ … letter`) at the start.
pub(super) fn leading(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some([0x1b, b'[', rest @ ..]) = text.get(at..) {
        let Some(n) = rest.iter().position(|b| !matches!(b, b'0'..=b'9' | b';')) else {
            break;
        };
        at += n + 3;
    }
    at.min(text.len())
}

/// The place of the text between leading sequences and a trailing one; `base` is where `text` begins.
pub(super) fn inside(text: &[u8], base: usize) -> Range<usize> {
    let start = leading(text);
    let end = match memchr::memrchr(0x1b, text) {
        Some(at)
            if at >= start && leading(text.get(at..).unwrap_or_default()) == text.len() - at =>
        {
            at
        }
        _ => text.len(),
    };
    base + start..base + end
}
