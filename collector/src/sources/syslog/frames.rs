//! Syslog over a stream (RFC 6587): octet-counted frames and lines, told apart frame by frame.
//!
//! `142 <13>…` is a count and so many octets; everything else runs to the next line feed. A count that
//! cannot be true (above [`FRAME_LEN_MAX`], or with something else than `<` behind it) is text.

use std::ops::Range;

use crate::lines::LINE_LEN_MAX;

/// The largest believable count. Of a frame above [`LINE_LEN_MAX`] only that much is kept.
const FRAME_LEN_MAX: usize = 1 << 20;
/// Digits of the largest believable count.
const DIGITS_MAX: usize = 7;

/// What stands at the beginning of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A message at these places; go on behind `used`.
    Message {
        at: Range<usize>,
        used: usize,
        cut: bool,
    },
    /// Nothing of interest; go on behind these bytes.
    Skip(usize),
    /// A frame has begun and is not complete.
    More,
}

/// Splits a stream; remembers what is still to be left out of a frame that was cut.
#[derive(Debug, Default)]
pub(super) struct Frames {
    skip: Skipping,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Skipping {
    #[default]
    Nothing,
    Octets(usize),
    Line,
}

enum Head {
    Counted { start: usize, len: usize },
    Line,
    More,
}

impl Frames {
    /// Looks at the bytes that have come and are not used up. `end`: no more will come.
    pub(super) fn next(&mut self, bytes: &[u8], end: bool) -> Step {
        if let Some(step) = self.skip(bytes) {
            return step;
        }
        let gap = bytes
            .iter()
            .take_while(|b| matches!(b, b'\n' | b'\r' | b' ' | 0))
            .count();
        if gap > 0 {
            return Step::Skip(gap);
        }
        match head(bytes) {
            Head::Counted { start, len } => self.counted(bytes, start, len),
            Head::More if !end => Step::More,
            Head::Line | Head::More => self.line(bytes, end),
        }
    }

    /// The stream ended in the middle of a frame whose length is known.
    pub(super) fn is_short(bytes: &[u8]) -> bool {
        matches!(head(bytes), Head::Counted { .. })
    }

    fn skip(&mut self, bytes: &[u8]) -> Option<Step> {
        let (used, rest) = match self.skip {
            Skipping::Nothing => return None,
            Skipping::Octets(n) => {
                let used = n.min(bytes.len());
                let left = n - used;
                let rest = if left == 0 {
                    Skipping::Nothing
                } else {
                    Skipping::Octets(left)
                };
                (used, rest)
            }
            Skipping::Line => match memchr::memchr(b'\n', bytes) {
                Some(at) => (at + 1, Skipping::Nothing),
                None => (bytes.len(), Skipping::Line),
            },
        };
        self.skip = rest;
        Some(if used == 0 {
            Step::More
        } else {
            Step::Skip(used)
        })
    }

    fn counted(&mut self, bytes: &[u8], start: usize, len: usize) -> Step {
        let kept = len.min(LINE_LEN_MAX);
        if bytes.len() < start + kept {
            return Step::More;
        }
        if kept < len {
            self.skip = Skipping::Octets(len - kept);
        }
        Step::Message {
            at: start..start + kept,
            used: start + kept,
            cut: kept < len,
        }
    }

    fn line(&mut self, bytes: &[u8], end: bool) -> Step {
        let window = bytes.get(..=LINE_LEN_MAX).unwrap_or(bytes);
        if let Some(at) = memchr::memchr(b'\n', window) {
            return Step::Message {
                at: 0..at,
                used: at + 1,
                cut: false,
            };
        }
        let cut = bytes.len() > LINE_LEN_MAX;
        if bytes.is_empty() || !(cut || end) {
            return Step::More;
        }
        if cut {
            self.skip = Skipping::Line;
        }
        let kept = bytes.len().min(LINE_LEN_MAX);
        Step::Message {
            at: 0..kept,
            used: kept,
            cut,
        }
    }
}

/// Whether a count stands here: `1`–`9`, digits, a blank, `<`.
fn head(bytes: &[u8]) -> Head {
    let digits = bytes
        .iter()
        .take(DIGITS_MAX + 1)
        .take_while(|b| b.is_ascii_digit())
        .count();
    match bytes.first() {
        None => return Head::More,
        Some(b'1'..=b'9') if digits <= DIGITS_MAX => {}
        Some(_) => return Head::Line,
    }
    match bytes.get(digits..digits + 2) {
        Some(b" <") => {}
        Some(_) => return Head::Line,
        None if matches!(bytes.get(digits), None | Some(b' ')) => return Head::More,
        None => return Head::Line,
    }
    let number = bytes.get(..digits).and_then(crate::sources::number);
    match number.and_then(|n| usize::try_from(n).ok()) {
        Some(len) if len <= FRAME_LEN_MAX => Head::Counted {
            start: digits + 1,
            len,
        },
        _ => Head::Line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The messages of a stream that arrives in pieces.
    fn split(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, usize) {
        let (mut frames, mut pending, mut found, mut cuts) = (Frames::default(), vec![], vec![], 0);
        for (i, piece) in pieces.iter().enumerate() {
            pending.extend_from_slice(piece);
            let end = i + 1 == pieces.len();
            loop {
                match frames.next(&pending, end) {
                    Step::Message { at, used, cut } => {
                        found.push(pending[at].to_vec());
                        cuts += usize::from(cut);
                        pending.drain(..used);
                    }
                    Step::Skip(n) => drop(pending.drain(..n)),
                    Step::More => break,
                }
            }
        }
        (found, cuts)
    }

    fn check(stream: &[u8], expected: &[&[u8]]) {
        assert_eq!(
            split(&[stream]).0,
            expected,
            "{:?}",
            String::from_utf8_lossy(stream)
        );
        let bytes: Vec<_> = stream.chunks(1).chain([&[][..]]).collect();
        assert_eq!(split(&bytes).0, expected, "byte by byte");
    }

    #[test]
    fn both_framings_in_one_stream() {
        check(b"<13>a\n<13>b\r\n\n", &[b"<13>a", b"<13>b\r"]);
        check(
            b"5 <13>a6 <13>b\n<13>c\n5 <13>d",
            &[b"<13>a", b"<13>b\n", b"<13>c", b"<13>d"],
        );
        check(b"5 <13>a\n <13>b\n", &[b"<13>a", b"<13>b"]);
    }

    #[test]
    fn text_that_begins_with_a_number_is_text() {
        check(b"2026-11-21 x\n", &[b"2026-11-21 x"]);
        check(b"12 monkeys\n<13>a\n", &[b"12 monkeys", b"<13>a"]);
        check(b"9999999 <13>a\n", &[b"9999999 <13>a"]);
        check(b"99999999999 <13>a\n", &[b"99999999999 <13>a"]);
        check(b"0 <13>a\n", &[b"0 <13>a"]);
    }

    #[test]
    fn the_end_flushes_a_line_and_not_a_short_frame() {
        check(b"<13>half", &[b"<13>half"]);
        check(b"12", &[b"12"]);
        check(b"20 <13>a", &[]);
        assert!(Frames::is_short(b"20 <13>a") && !Frames::is_short(b"<13>half"));
    }

    #[test]
    fn long_frames_are_cut_and_the_next_is_whole() {
        let long = vec![b'x'; LINE_LEN_MAX + 10];
        let line = [&long[..], b"\n<13>b\n"].concat();
        let counted = [
            format!("{} <", long.len() + 1).as_bytes(),
            &long,
            b"<13>b\n",
        ]
        .concat();
        for stream in [line, counted] {
            let (found, cuts) = split(&[&stream]);
            assert_eq!((found.len(), cuts, found[0].len()), (2, 1, LINE_LEN_MAX));
            assert_eq!(found[1], b"<13>b");
        }
        let exact = [&long[..LINE_LEN_MAX], b"\n"].concat();
        assert_eq!(split(&[&exact]).1, 0);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            stream in prop::collection::vec(prop::sample::select(b"<123 \n\0x".to_vec()), 0..80),
            cuts in prop::collection::vec(0..80_usize, 0..6),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(stream.len())).collect();
            cuts.extend([0, stream.len(), stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            prop_assert_eq!(split(&pieces), split(&[&stream]));
        }
    }
}
