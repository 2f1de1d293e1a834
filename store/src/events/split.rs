//! A line into a template's text and the values of its slots.
//!
//! Named pieces and the time stamp are slots. In the text between, a token (a run of letters,
//! digits, `_`, `.` and `-`) with a digit in it is a variable, but for what stands before the last
//! `-` in front of its first digit (`blk_-`, `req-`) and dots at its end.

use vigie_parsers::Span;

use super::stamp::Stamps;
use super::template::{MILLIS, NAMED, TIME, VARIABLE};

/// A line with more variables is kept whole.
const VARIABLES_MAX: usize = 64;
/// A longer constant text is no template.
const TEMPLATE_BYTES_MAX: usize = 4096;

const OTHER: u8 = 0;
const TOKEN: u8 = 1;
const DASH: u8 = 2;
const DIGIT: u8 = 3;
const MARKER: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut i = 0usize;
    while i < 256 {
        classes[i] = match i.to_le_bytes()[0] {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'.' => TOKEN,
            b'-' => DASH,
            VARIABLE..=MILLIS => MARKER,
            _ => OTHER,
        };
        i += 1;
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// A line taken apart; kept from line to line for its buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct Split {
    /// The template's text.
    pub text: Vec<u8>,
    /// Where the values lie in the line.
    pub values: Vec<(u32, u32)>,
    /// Where the constant text begins that is not copied yet.
    from: usize,
    variables: usize,
    /// The stored milliseconds are a part of it.
    millis: bool,
    masks: Vec<Masks>,
}

/// What the bytes of a window of text are, a bit for each.
#[derive(Clone, Copy, Debug, Default)]
struct Masks {
    /// Part of a token.
    token: u64,
    digit: u64,
    marker: u64,
}

/// Bytes of a window.
const WINDOW: usize = 64;
/// Shorter texts are gone through byte by byte.
const MASKED_MIN: usize = 16;

/// One bit of each of eight bytes, the first byte's lowest.
fn gather(bytes: u64, bit: u32) -> u64 {
    ((bytes >> bit) & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

impl Masks {
    fn of(window: &[u8]) -> Self {
        let mut padded = [0; WINDOW];
        padded[..window.len()].copy_from_slice(window);
        // Arithmetic on all bytes alike, which the compiler does for sixteen at a time.
        let mut classes = [0; WINDOW];
        for (class, &b) in classes.iter_mut().zip(&padded) {
            let digit = b.wrapping_sub(b'0') < 10;
            let letter = (b | 0x20).wrapping_sub(b'a') < 26;
            let sign = (b == b'_') | (b == b'.') | (b == b'-');
            let marker = b.wrapping_sub(VARIABLE) <= MILLIS - VARIABLE;
            *class = u8::from(digit | letter | sign) | u8::from(digit) << 1 | u8::from(marker) << 2;
        }
        let mut masks = Self::default();
        let words = classes.as_chunks::<8>().0.iter();
        for (shift, word) in (0..).step_by(8).zip(words) {
            let word = u64::from_le_bytes(*word);
            masks.token |= gather(word, 0) << shift;
            masks.digit |= gather(word, 1) << shift;
            masks.marker |= gather(word, 2) << shift;
        }
        masks
    }
}

impl Split {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.values.clear();
        self.from = 0;
        self.variables = 0;
        self.millis = false;
    }

    /// Begins with a template's text and its values, up to `end`.
    pub(super) fn begin(&mut self, text: &[u8], spans: &[Span], end: usize) {
        self.clear();
        self.text.extend_from_slice(text);
        self.values.extend(spans.iter().map(|s| (s.start, s.end)));
        self.from = end;
    }

    /// Something but named pieces and constant text was found.
    pub(super) fn has_variables(&self) -> bool {
        self.variables > 0 || self.millis
    }

    /// The whole line as one variable.
    pub(super) fn raw(&mut self, line: &[u8]) {
        self.clear();
        self.slot(&[VARIABLE], 0, line.len());
    }

    fn slot(&mut self, marker: &[u8], start: usize, end: usize) {
        self.text.extend_from_slice(marker);
        self.values.push((offset(start), offset(end)));
        self.from = end;
    }

    /// Takes the value of a named column.
    pub(super) fn named(&mut self, column: u8, start: usize, end: usize) {
        self.slot(&[NAMED, column], start, end);
    }

    /// Takes the text up to `end`, where a slot begins; `None`: the line has to be kept whole.
    pub(super) fn free(&mut self, line: &[u8], end: usize) -> Option<()> {
        if end.saturating_sub(self.from) >= MASKED_MIN {
            return self.masked(line, end);
        }
        let mut at = self.from;
        while at < end {
            match class(line[at]) {
                OTHER => at += 1,
                MARKER => return None,
                _ => at = self.token(line, at, end)?,
            }
        }
        self.constant(line, end)
    }

    /// Takes longer text: only tokens with digits are looked at.
    fn masked(&mut self, line: &[u8], end: usize) -> Option<()> {
        let first = self.from;
        let mut masks = std::mem::take(&mut self.masks);
        masks.clear();
        masks.extend(line[first..end].chunks(WINDOW).map(Masks::of));
        let taken = self.take_tokens(line, (first, end), &masks);
        self.masks = masks;
        taken?;
        self.constant(line, end)
    }

    fn take_tokens(
        &mut self,
        line: &[u8],
        (first, end): (usize, usize),
        masks: &[Masks],
    ) -> Option<()> {
        if masks.iter().any(|m| m.marker != 0) {
            return None;
        }
        let mut at = 0;
        while let Some(digit) = next_one(masks, at, |m| m.digit) {
            let start = first + token_start(masks, at, digit);
            let stop = next_one(masks, digit, |m| !m.token).map_or(end, |n| end.min(first + n));
            let digit = first + digit;
            let dash = line[start..digit].iter().rposition(|&b| b == b'-');
            self.variable(line, dash.map_or(start, |n| start + n + 1), stop)?;
            at = stop - first;
        }
        Some(())
    }

    /// Takes a variable; dots at its end are constant text.
    fn variable(&mut self, line: &[u8], start: usize, mut stop: usize) -> Option<()> {
        while line[stop - 1] == b'.' {
            stop -= 1;
        }
        self.variables += 1;
        if self.variables > VARIABLES_MAX {
            return None;
        }
        self.constant(line, start)?;
        self.slot(&[VARIABLE], start, stop);
        Some(())
    }

    /// Takes text up to `end` as it is.
    fn constant(&mut self, line: &[u8], end: usize) -> Option<()> {
        self.text.extend_from_slice(&line[self.from..end]);
        self.from = end;
        (self.text.len() <= TEMPLATE_BYTES_MAX).then_some(())
    }

    /// Takes a token that begins at `at`; answers where it ends.
    fn token(&mut self, line: &[u8], at: usize, end: usize) -> Option<usize> {
        let mut start = at;
        let mut stop = at;
        let mut digits = false;
        while stop < end {
            match class(line[stop]) {
                DIGIT => digits = true,
                DASH if !digits => start = stop + 1,
                DASH | TOKEN => {}
                _ => break,
            }
            stop += 1;
        }
        if !digits {
            return Some(stop);
        }
        self.variable(line, start, stop)?;
        Some(stop)
    }

    /// Takes the time stamp at `start..end`: as the stored time where that gives the same bytes;
    /// `false` if it does not, and nothing is taken.
    pub(super) fn stamp(
        &mut self,
        line: &[u8],
        start: usize,
        end: usize,
        time_ms: i64,
        stamps: &mut Stamps,
    ) -> Option<bool> {
        let text = &line[start..end];
        let Some((stamp, len)) = stamps.recognise(text, time_ms) else {
            return Some(false);
        };
        let quarters = stamp.quarters.cast_unsigned();
        self.text
            .extend_from_slice(&[TIME, stamp.pattern, quarters]);
        self.from = start + len;
        if let Some((&separator @ (b'.' | b','), fraction)) = text[len..].split_first()
            && fraction.len() >= 3
            && fraction[..3] == millis(time_ms)
        {
            self.text.extend_from_slice(&[separator, MILLIS]);
            self.millis = true;
            self.from += 4;
            let more = fraction[3..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count();
            if more > 0 {
                self.variables += 1;
                self.slot(&[VARIABLE], self.from, self.from + more);
            }
        }
        if is_zone(&line[self.from..end]) {
            self.constant(line, end)?;
        } else {
            self.free(line, end)?;
        }
        Some(true)
    }
}

/// The first set bit from `at` on.
fn next_one(masks: &[Masks], at: usize, bits: impl Fn(&Masks) -> u64) -> Option<usize> {
    let first = at / WINDOW;
    let mut word = bits(masks.get(first)?) & (u64::MAX << (at % WINDOW));
    for (index, mask) in masks.iter().enumerate().skip(first) {
        if index > first {
            word = bits(mask);
        }
        if word != 0 {
            return Some(index * WINDOW + word.trailing_zeros() as usize);
        }
    }
    None
}

/// Where the token begins that holds the digit, not before `at`.
fn token_start(masks: &[Masks], at: usize, digit: usize) -> usize {
    let mut index = digit / WINDOW;
    let mut others = !masks[index].token & ((1 << (digit % WINDOW)) - 1);
    loop {
        if others != 0 {
            let last = WINDOW - 1 - others.leading_zeros() as usize;
            return at.max(index * WINDOW + last + 1);
        }
        if index * WINDOW <= at {
            return at;
        }
        index -= 1;
        others = !masks[index].token;
    }
}

fn millis(time_ms: i64) -> [u8; 3] {
    let ms = time_ms.rem_euclid(1000);
    [ms / 100, ms / 10 % 10, ms % 10].map(|d| b'0' + d.to_le_bytes()[0])
}

/// `Z`, `+0200`, `-05:30`, with or without a blank before; nothing at all as well.
fn is_zone(text: &[u8]) -> bool {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    match text {
        [] | [b'Z'] => true,
        [b'+' | b'-', rest @ ..] if rest.len() <= 5 => {
            rest.iter().all(|b| b.is_ascii_digit() || *b == b':')
        }
        _ => false,
    }
}

/// Lines are cut far below 4 GiB.
fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: &str) {
        let mut split = Split::default();
        split.clear();
        split.free(line.as_bytes(), line.len()).expect("not raw");
        let shown = String::from_utf8(split.text.clone())
            .expect("text")
            .replace('\u{11}', "*");
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn tokens_with_digits_are_variables() {
        check("", "");
        check("no digits at all.", "no digits at all.");
        check("from 10.0.0.7 port 22.", "from * port *.");
        check("blk_-1608999 req-7f a-b-9-c", "blk_-* req-* a-b-*");
        check("x=1,y=-2 (3)", "x=*,y=-* (*)");
        check("größe 4,5 µs", "größe *,* µs");
    }

    proptest! {
        /// Windows of text are taken apart as byte by byte.
        #[test]
        fn masks_say_the_same(line in "[a-c1-3_. \\-]{0,150}|([a-z0-9.-]{0,9}[ =\u{11}é]){0,40}") {
            let line = line.as_bytes();
            let mut bytes = Split::default();
            let mut at = 0;
            let mut whole = Some(());
            while at < line.len() && whole.is_some() {
                match class(line[at]) {
                    OTHER => at += 1,
                    MARKER => whole = None,
                    _ => match bytes.token(line, at, line.len()) {
                        Some(next) => at = next,
                        None => whole = None,
                    },
                }
            }
            let mut masked = Split::default();
            prop_assert_eq!(masked.masked(line, line.len()).is_some(), whole.is_some());
            if whole.is_some() {
                bytes.constant(line, line.len()).expect("short");
                prop_assert_eq!(&bytes.text, &masked.text);
                prop_assert_eq!(&bytes.values, &masked.values);
            }
        }
    }

    #[test]
    fn markers_and_too_many_variables_keep_the_line_whole() {
        for line in ["a\u{11}b".to_owned(), "\u{14}".to_owned(), "1 ".repeat(65)] {
            let mut split = Split::default();
            assert_eq!(split.free(line.as_bytes(), line.len()), None);
        }
    }
}
