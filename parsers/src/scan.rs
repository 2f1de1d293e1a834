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

    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    #[inline]
    pub(crate) fn done(&self) -> bool {
        self.at >= self.line.len()
    }

    /// All of the slice.
    #[inline]
    pub(crate) fn line(&self) -> &'a [u8] {
        self.line
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn text(&self, range: Range<usize>) -> &'a [u8] {
        self.line.get(range).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn skip(&mut self, n: usize) {
        self.at = self.at.saturating_add(n).min(self.line.len());
    }

    /// Steps over `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.step(usize::from(next));
        next
    }

    /// Steps over `text` if it is next.
    #[inline]
    pub(crate) fn eat_all(&mut self, text: &[u8]) -> bool {
        let next = self.rest().starts_with(text);
        if next {
            self.step(text.len());
        }
        next
    }

    /// The bytes for which `keep` holds.
    #[inline]
    pub(crate) fn run(&mut self, keep: impl Fn(u8) -> bool) -> Range<usize> {
        let rest = self.rest();
        let n = rest.iter().position(|&b| !keep(b)).unwrap_or(rest.len());
        self.over(n)
    }

    /// One step of a length that is known to be in the line, where no sum can overflow.
    #[inline]
    fn step(&mut self, n: usize) {
        self.at = self.at.wrapping_add(n);
    }

    /// Such a step, and what it stepped over.
    #[inline]
    fn over(&mut self, n: usize) -> Range<usize> {
        let start = self.at;
        self.step(n);
        start..self.at
    }

    #[inline]
    pub(crate) fn digits(&mut self) -> Range<usize> {
        self.run(|b| b.is_ascii_digit())
    }

    #[inline]
    pub(crate) fn spaces(&mut self) -> Range<usize> {
        self.run(|b| b == b' ')
    }

    /// The bytes up to `stop`, which is stepped over; `None` and no step if it does not come. For short
    /// pieces.
    #[inline]
    pub(crate) fn until_near(&mut self, stop: u8) -> Option<Range<usize>> {
        let found = near(self.rest(), [stop])?;
        let piece = self.over(found);
        self.step(1);
        Some(piece)
    }

    /// The bytes up to a space or the end; the finger stays on the space.
    #[inline]
    pub(crate) fn word(&mut self) -> Range<usize> {
        let rest = self.rest();
        self.over(near(rest, [b' ']).unwrap_or(rest.len()))
    }

    /// The inside of a quoted piece whose opening quote is next, up to the quote that no backslash
    /// precedes.
    #[inline]
    pub(crate) fn quoted(&mut self) -> Option<Range<usize>> {
        let mut probe = *self;
        if !probe.eat(b'"') {
            return None;
        }
        let inside = probe.until_quote()?;
        probe.step(1);
        *self = probe;
        Some(inside)
    }

    /// The bytes up to a quote that no backslash precedes; the finger stays on the quote.
    #[inline]
    pub(crate) fn until_quote(&mut self) -> Option<Range<usize>> {
        let mut probe = *self;
        let start = probe.at;
        loop {
            let rest = probe.rest();
            let n = quote_or_escape(rest)?;
            probe.step(n);
            if rest.get(n) == Some(&b'"') {
                *self = probe;
                return Some(start..probe.at);
            }
            if rest.len() < n + 2 {
                return None;
            }
            probe.step(2);
        }
    }
}

/// Steps over blocks that have neither; the compiler makes a few vector instructions of each.
#[inline]
fn quote_or_escape(text: &[u8]) -> Option<usize> {
    const BOTH: [u8; 2] = [b'"', b'\\'];
    let (blocks, _) = text.as_chunks::<16>();
    let has = |block: &[u8; 16]| {
        block
            .iter()
            .fold(false, |h, b| h | (*b == b'"') | (*b == b'\\'))
    };
    let skip = 16 * blocks.iter().take_while(|block| !has(block)).count();
    near(text.get(skip..)?, BOTH).map(|n| skip + n)
}

/// Where the first of some bytes is, eight bytes at a step: for a few dozen bytes that is faster than
/// `memchr`, which has to be called.
#[inline]
pub(crate) fn near<const N: usize>(text: &[u8], bytes: [u8; N]) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = LOW << 7;
    let (chunks, tail) = text.as_chunks::<8>();
    for (i, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let mut hits = 0;
        for byte in bytes {
            // A zero byte borrows; what it disturbs lies above it.
            let zero = word ^ u64::from_le_bytes([byte; 8]);
            hits |= zero.wrapping_sub(LOW) & !zero & HIGH;
        }
        if hits != 0 {
            return Some(i * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    let n = tail.iter().position(|b| bytes.contains(b))?;
    Some(text.len() - tail.len() + n)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn near_is_position(text in prop::collection::vec(
            prop_oneof![Just(b'"'), Just(b'#'), Just(b'!'), Just(b'\\'), Just(0xa2), any::<u8>()], 0..40)) {
            let slow = text.iter().position(|b| b"\"\\".contains(b));
            prop_assert_eq!(near(&text, *b"\"\\"), slow);
            prop_assert_eq!(quote_or_escape(&text), slow);
            let slow = text.iter().position(|&b| b == b'"');
            prop_assert_eq!(near(&text, *b"\""), slow);
        }
    }
}
