//! A reader's finger on a slice of bytes: every step is checked, so no input can make it panic.

use std::ops::Range;

/// The finger: the slice and a place in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    pub(crate) fn from(line: &'a [u8], at: usize) -> Self {
        Self {
            line,
            at: at.min(line.len()),
        }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    pub(crate) fn done(&self) -> bool {
        self.at >= self.line.len()
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    pub(crate) fn text(&self, range: Range<usize>) -> &'a [u8] {
        self.line.get(range).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn skip(&mut self, n: usize) {
        self.at = (self.at + n).min(self.line.len());
    }

    /// Steps over `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    /// Steps over `text` if it is next.
    #[inline]
    pub(crate) fn eat_all(&mut self, text: &[u8]) -> bool {
        let next = self.rest().starts_with(text);
        if next {
            self.at += text.len();
        }
        next
    }

    /// The bytes for which `keep` holds.
    #[inline]
    pub(crate) fn run(&mut self, keep: impl Fn(u8) -> bool) -> Range<usize> {
        let rest = self.rest();
        let n = rest.iter().position(|&b| !keep(b)).unwrap_or(rest.len());
        let start = self.at;
        self.at += n;
        start..self.at
    }

    pub(crate) fn digits(&mut self) -> Range<usize> {
        self.run(|b| b.is_ascii_digit())
    }

    pub(crate) fn spaces(&mut self) -> Range<usize> {
        self.run(|b| b == b' ')
    }

    /// The bytes up to `stop`, which is stepped over; `None` and no step if it does not come. For short
    /// pieces, where a plain loop is fastest.
    #[inline]
    pub(crate) fn until_near(&mut self, stop: u8) -> Option<Range<usize>> {
        let n = self.rest().iter().position(|&b| b == stop)?;
        let start = self.at;
        self.at += n + 1;
        Some(start..start + n)
    }

    /// The bytes up to a space or the end; the finger stays on the space.
    #[inline]
    pub(crate) fn word(&mut self) -> Range<usize> {
        self.run(|b| b != b' ')
    }

    /// The inside of a quoted piece whose opening quote is next, up to the quote that no backslash
    /// precedes.
    #[inline]
    pub(crate) fn quoted(&mut self) -> Option<Range<usize>> {
        let mut probe = *self;
        if !probe.eat(b'"') {
            return None;
        }
        let start = probe.at;
        loop {
            let n = memchr::memchr2(b'"', b'\\', probe.rest())?;
            let escape = probe.rest().get(n) == Some(&b'\\');
            probe.at += n + 1;
            if !escape {
                *self = probe;
                return Some(start..probe.at - 1);
            }
            if probe.done() {
                return None;
            }
            probe.at += 1;
        }
    }
}

/// The number that up to 18 digits say.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0u64, |n, &b| {
        b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0'))
    })
}

/// Where a needle begins.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}
