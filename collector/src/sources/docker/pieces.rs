//! What an engine sends of a log, cut into records: `STAMP text`, one for a line or for a piece of a long
//! one. Pure.
//!
//! Without a terminal each record has eight bytes before it: the stream (1 stdout, 2 stderr, 3 the
//! engine's own complaint), three zeros, the length (big-endian). With a terminal there is only text:
//! records end with their line, or after 16 KiB, and then the same stamp follows at once.

use vigie_parsers::Timestamp;

/// Bytes of a record that are kept: more than a line may have, so that one cut here is cut there too. Engines cut at 16 KiB, the driver `local`
/// at 1 MB.
const RECORD_LEN_MAX: usize = 128 << 10;
/// Where engines cut the lines of a terminal.
const PIECE_LEN: usize = 16 << 10;
const HEADER_LEN: usize = 8;

/// Nanoseconds since 1970: engines stamp that finely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(pub(super) i64);

impl Stamp {
    /// RFC 3339 with up to nine digits.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let at: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(at.as_nanosecond()).ok().map(Self)
    }

    pub(super) fn of(time: Timestamp) -> Self {
        Self(time.0.saturating_mul(1_000_000))
    }

    pub(super) fn time(self) -> Timestamp {
        Timestamp(self.0.div_euclid(1_000_000))
    }
}

/// Where a program wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// A line, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) stream: Stream,
    pub(super) stamp: Stamp,
    /// Without the line end.
    pub(super) text: &'a [u8],
    /// Whether the line ends with it.
    pub(super) ends: bool,
}

/// This is no log of an engine, or its own complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strange(pub(super) String);

/// Cuts one answer.
#[derive(Debug)]
pub(super) struct Cutter {
    terminal: bool,
    buffer: Vec<u8>,
    /// Of the record at the beginning of the buffer so many bytes are not kept.
    lost: usize,
}

impl Cutter {
    pub(super) fn new(terminal: bool) -> Self {
        Self {
            terminal,
            buffer: Vec::new(),
            lost: 0,
        }
    }

    /// Takes what came and hands on the records that are whole.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(Piece<'_>),
    ) -> Result<(), Strange> {
        if self.terminal {
            self.push_text(bytes, take)
        } else {
            self.push_frames(bytes, take)
        }
    }

    fn push_frames(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(Piece<'_>),
    ) -> Result<(), Strange> {
        loop {
            fill(&mut self.buffer, &mut bytes, HEADER_LEN);
            let Some((stream, len)) = header(&self.buffer)? else {
                return Ok(());
            };
            let kept = len.min(RECORD_LEN_MAX);
            fill(&mut self.buffer, &mut bytes, HEADER_LEN + kept);
            let beyond = len - kept - self.lost;
            if self.buffer.len() < HEADER_LEN + kept || bytes.len() < beyond {
                // The buffer is full before anything is lost.
                if self.buffer.len() == HEADER_LEN + kept {
                    self.lost += bytes.len();
                }
                return Ok(());
            }
            let last = match beyond.checked_sub(1).and_then(|at| bytes.get(at)) {
                Some(last) => *last,
                None => self.buffer.last().copied().unwrap_or(0),
            };
            bytes = bytes.get(beyond..).unwrap_or_default();
            let record = self.buffer.get(HEADER_LEN..).unwrap_or_default();
            hand_on(stream, record, last == b'\n', take)?;
            self.buffer.clear();
            self.lost = 0;
        }
    }

    fn push_text(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(Piece<'_>),
    ) -> Result<(), Strange> {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let until = end.map_or(bytes.len(), |end| end + 1);
            let (now, rest) = bytes.split_at(until);
            bytes = rest;
            // In small steps, so that the pieces are the same however the answer is chunked.
            for step in now.chunks(PIECE_LEN) {
                let room = RECORD_LEN_MAX.saturating_sub(self.buffer.len());
                let kept = step.get(..room).unwrap_or(step);
                self.buffer.extend_from_slice(kept);
                self.lost += step.len() - kept.len();
                self.hand_on_pieces(take)?;
            }
            if end.is_some() {
                hand_on(Some(Stream::Stdout), &self.buffer, true, take)?;
                self.buffer.clear();
                self.lost = 0;
            }
        }
        Ok(())
    }

    /// The pieces of a long line: each is full and the next begins with the same stamp.
    fn hand_on_pieces(&mut self, take: &mut dyn FnMut(Piece<'_>)) -> Result<(), Strange> {
        while let Some(space) = memchr::memchr(b' ', self.buffer.get(..40).unwrap_or_default()) {
            let end = space + 1 + PIECE_LEN;
            let (stamp, next) = (
                self.buffer.get(..=space),
                self.buffer.get(end..=end + space),
            );
            if next.is_none() || stamp != next {
                break;
            }
            let piece = self.buffer.get(..end).unwrap_or_default();
            hand_on(Some(Stream::Stdout), piece, false, take)?;
            self.buffer.drain(..end);
        }
        Ok(())
    }

    /// What is left when the answer ends: a terminal's last words have no end.
    pub(super) fn finish(&mut self, take: &mut dyn FnMut(Piece<'_>)) -> Result<(), Strange> {
        let rest = std::mem::take(&mut self.buffer);
        if self.terminal && !rest.is_empty() {
            hand_on(Some(Stream::Stdout), &rest, false, take)?;
        }
        Ok(())
    }
}

/// Moves bytes until the buffer has so many.
fn fill(buffer: &mut Vec<u8>, bytes: &mut &[u8], len: usize) {
    let missing = len.saturating_sub(buffer.len()).min(bytes.len());
    let (now, rest) = bytes.split_at(missing);
    buffer.extend_from_slice(now);
    *bytes = rest;
}

/// The stream (`None` is the engine itself) and the length, once they are there.
fn header(buffer: &[u8]) -> Result<Option<(Option<Stream>, usize)>, Strange> {
    let Some(&[stream, a, b, c, l0, l1, l2, l3]) = buffer.get(..HEADER_LEN) else {
        return Ok(None);
    };
    let stream = match (stream, [a, b, c]) {
        (0 | 1, [0, 0, 0]) => Some(Stream::Stdout),
        (2, [0, 0, 0]) => Some(Stream::Stderr),
        (3, [0, 0, 0]) => None,
        _ => return Err(Strange("the answer is no stream of frames".to_owned())),
    };
    let len = u32::from_be_bytes([l0, l1, l2, l3]);
    Ok(Some((stream, usize::try_from(len).unwrap_or(usize::MAX))))
}

fn hand_on(
    stream: Option<Stream>,
    record: &[u8],
    ends: bool,
    take: &mut dyn FnMut(Piece<'_>),
) -> Result<(), Strange> {
    let Some(stream) = stream else {
        let words = String::from_utf8_lossy(record.get(..200).unwrap_or(record));
        return Err(Strange(words.trim().to_owned()));
    };
    let stamp = memchr::memchr(b' ', record.get(..40).unwrap_or(record));
    let stamp = stamp.and_then(|s| Some((Stamp::parse(record.get(..s)?)?, record.get(s + 1..)?)));
    let Some((stamp, text)) = stamp else {
        return Err(Strange("a line of the answer has no time".to_owned()));
    };
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    take(Piece {
        stream,
        stamp,
        text,
        ends,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Stream, i64, Vec<u8>, bool);

    fn cut(terminal: bool, chunks: &[&[u8]]) -> Result<Vec<Owned>, Strange> {
        let mut cutter = Cutter::new(terminal);
        let mut found = Vec::new();
        let mut take = |p: Piece<'_>| {
            found.push((p.stream, p.stamp.0, p.text.to_vec(), p.ends));
        };
        for chunk in chunks {
            cutter.push(chunk, &mut take)?;
        }
        cutter.finish(&mut take)?;
        Ok(found)
    }

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap();
        [&[stream, 0, 0, 0], &len.to_be_bytes()[..], payload].concat()
    }

    const T: i64 = 1_795_267_393_628_881_758;
    const TEXT: &str = "2026-11-21T13:23:13.628881758Z ";

    #[test]
    fn frames_are_cut_wherever_the_chunks_end() {
        // As Docker 20.10 sends them: a line of 40,019 bytes, one on stderr within, one without an end.
        let mut bytes = frame(1, format!("{TEXT}out1\n").as_bytes());
        bytes.extend(frame(1, format!("{TEXT}{}", "x".repeat(16384)).as_bytes()));
        bytes.extend(frame(2, b"2026-11-21T13:23:13.7Z err1\n"));
        bytes.extend(frame(1, format!("{TEXT}xyz\n").as_bytes()));
        bytes.extend(frame(1, format!("{TEXT}no newline").as_bytes()));
        let want = [
            (Stream::Stdout, T, b"out1".to_vec(), true),
            (Stream::Stdout, T, vec![b'x'; 16384], false),
            (Stream::Stderr, T + 71_118_242, b"err1".to_vec(), true),
            (Stream::Stdout, T, b"xyz".to_vec(), true),
            (Stream::Stdout, T, b"no newline".to_vec(), false),
        ];
        assert_eq!(cut(false, &[&bytes]).unwrap(), want);
        for size in [1, 7, 8, 9, 31, 1000] {
            let chunks: Vec<_> = bytes.chunks(size).collect();
            assert_eq!(cut(false, &chunks).unwrap(), want, "{size}");
        }
    }

    #[test]
    fn a_terminal_has_no_frames() {
        let long = format!(
            "{TEXT}{}{TEXT}{}{TEXT}tail\r\n",
            "x".repeat(16384),
            "y".repeat(16384)
        );
        let text = format!("{TEXT}out1\r\n{long}{TEXT}{TEXT}quoted\r\n{TEXT}no end");
        let want = [
            (Stream::Stdout, T, b"out1\r".to_vec(), true),
            (Stream::Stdout, T, vec![b'x'; 16384], false),
            (Stream::Stdout, T, vec![b'y'; 16384], false),
            (Stream::Stdout, T, b"tail\r".to_vec(), true),
            (
                Stream::Stdout,
                T,
                format!("{TEXT}quoted\r").into_bytes(),
                true,
            ),
            (Stream::Stdout, T, b"no end".to_vec(), false),
        ];
        for size in [1, 100, 16384, 100_000] {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            assert_eq!(cut(true, &chunks).unwrap(), want, "{size}");
        }
    }

    #[test]
    fn long_records_are_cut_and_strange_ones_refused() {
        let mut payload = format!("{TEXT}{}", "z".repeat(1_000_000)).into_bytes();
        payload.push(b'\n');
        let bytes = [
            frame(2, &payload),
            frame(1, format!("{TEXT}next\n").as_bytes()),
        ]
        .concat();
        for size in [1000, 1 << 20, 4 << 20] {
            let chunks: Vec<_> = bytes.chunks(size).collect();
            let found = cut(false, &chunks).unwrap();
            assert_eq!(found.len(), 2, "{size}");
            assert_eq!(found[0].2.len(), RECORD_LEN_MAX - TEXT.len());
            assert!(found[0].3, "whole");
            assert_eq!(found[1].2, b"next");
        }
        let endless = format!("{TEXT}{}\n{TEXT}next\n", "z".repeat(1_000_000));
        let found = cut(true, &[endless.as_bytes()]).unwrap();
        assert_eq!(found[1].2, b"next");
        for (bytes, why) in [
            (frame(9, b"x"), "no stream of frames"),
            (frame(1, b"no stamp\n"), "no time"),
            (frame(3, b"driver failed\n"), "driver failed"),
            (b"{\"message\":\"x\"}".to_vec(), "no stream of frames"),
        ] {
            assert!(cut(false, &[&bytes]).unwrap_err().0.contains(why), "{why}");
        }
        // A lying length waits for more, without memory for it.
        assert_eq!(
            cut(false, &[&[1, 0, 0, 0, 255, 255, 255, 255, b'x']]),
            Ok(vec![])
        );
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_come_out_alike(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            at in 0_usize..300,
            terminal: bool,
        ) {
            let at = at.min(bytes.len());
            let halves = cut(terminal, &[&bytes[..at], &bytes[at..]]);
            let whole = cut(terminal, &[&bytes]);
            prop_assert_eq!(halves.is_ok(), whole.is_ok());
            if let (Ok(a), Ok(b)) = (halves, whole) {
                prop_assert_eq!(a, b);
            }
        }
    }
}
