//! Syslog messages out of bytes: datagrams, and the two framings of RFC 6587 on one stream.
//!
//! Each frame of a stream says by its first bytes how it ends. `LENGTH SP <` is octet counting;
//! anything else runs to a line feed or a NUL (§3.4.2 knows both trailers). Two things are learned from
//! a stream: behind a counted frame a number is a count, whatever follows it (a first one is a count if
//! no line ends before it does); and a sender that ends its messages with NULs may have line feeds in
//! them, which end one only where a `<` follows. Memory is bounded by the limit whatever arrives: what is
//! beyond it is counted and skipped.

use crate::lines::LINE_MAX;

/// The count of an octet-counted frame has at most so many digits; a number that is longer is text.
const COUNT_DIGITS_MAX: usize = 10;
/// A count above this is a lie or an attack: it is not honoured, the text is read up to its line end.
const COUNT_MAX: u64 = 16 << 20;

/// A message without its framing and its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message.
    pub line: &'a [u8],
    /// The same with the line feeds and NULs behind it that were part of the frame.
    pub whole: &'a [u8],
    /// It was longer than the limit; the rest is gone.
    pub truncated: bool,
}

/// What the framer has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FramerCounts {
    /// Frames handed out.
    pub frames: u64,
    /// Those that were longer than the limit.
    pub oversize: u64,
    /// Bytes of them that were skipped.
    pub skipped_bytes: u64,
    /// Counts that were absurd, or after whose frame no new frame began.
    pub bad_counts: u64,
    /// Octet-counted frames that the end of the connection cut short.
    pub short_frames: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a frame; `counted` if the last one was octet-counted.
    Start { counted: bool },
    /// In the digits of a count, kept in the buffer; the space may have come.
    Count { counted: bool, spaced: bool },
    /// In a counted frame with so many octets to come.
    Octets { left: u64 },
    /// In what is a counted frame unless a line ends within: the number, of so many bytes with its space,
    /// is kept in front of it.
    Perhaps { left: u64, number: usize },
    /// In a frame that ends with a line feed or NUL.
    Line,
    /// Behind a line feed, not yet kept, that may be one of the message's own.
    LineFeed,
}

/// Takes a stream apart, chunk by chunk.
#[derive(Debug)]
pub struct Framer {
    limit: usize,
    state: State,
    buffer: Vec<u8>,
    /// A message has ended with a NUL.
    nuls: bool,
    /// Bytes of the frame in hand that did not fit the limit.
    skipped: u64,
    counts: FramerCounts,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(LINE_MAX)
    }
}

impl Framer {
    /// A framer for messages of up to `limit` bytes (at least 64).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(64),
            state: State::Start { counted: false },
            buffer: Vec::new(),
            nuls: false,
            skipped: 0,
            counts: FramerCounts::default(),
        }
    }

    /// What has been counted so far.
    #[must_use]
    pub fn counts(&self) -> FramerCounts {
        self.counts
    }

    /// Takes the next bytes of the stream; `each` gets the messages that they complete.
    pub fn push(&mut self, mut chunk: &[u8], mut each: impl FnMut(Frame<'_>)) {
        while let Some(&first) = chunk.first() {
            let used = match self.state {
                State::Start { counted } => self.start(first, counted),
                State::Count { counted, spaced } => self.count(first, counted, spaced),
                State::Octets { left } => self.octets(chunk, left, &mut each),
                State::Perhaps { left, number } => self.perhaps(chunk, left, number, &mut each),
                State::Line => self.line(chunk, &mut each),
                State::LineFeed => self.line_feed(first, &mut each),
            };
            chunk = chunk.get(used..).unwrap_or_default();
        }
    }

    /// The stream has ended: a last line without its end is a message, an unfinished counted frame is
    /// handed out as truncated and counted.
    pub fn finish(&mut self, mut each: impl FnMut(Frame<'_>)) {
        if let State::Octets { .. } = self.state {
            self.counts.short_frames += 1;
            self.emit(&[], true, &mut each);
        } else {
            self.emit(&[], false, &mut each);
        }
        self.state = State::Start { counted: false };
    }

    fn start(&mut self, first: u8, counted: bool) -> usize {
        match first {
            // Trailers of the last frame, empty lines, and the space that some appliances put first.
            b'\n' | b'\r' | 0 | b' ' => return 1,
            b'0'..=b'9' => {
                self.state = State::Count {
                    counted,
                    spaced: false,
                }
            }
            _ => {
                self.counts.bad_counts += u64::from(counted && first != b'<');
                self.state = State::Line;
            }
        }
        0
    }

    fn count(&mut self, next: u8, counted: bool, spaced: bool) -> usize {
        match next {
            b'0'..=b'9' if !spaced && self.buffer.len() < COUNT_DIGITS_MAX => {
                self.buffer.push(next);
                1
            }
            b' ' if !spaced => {
                self.buffer.push(next);
                self.state = State::Count {
                    counted,
                    spaced: true,
                };
                1
            }
            _ if spaced => {
                self.counted(next == b'<', counted);
                0
            }
            _ => {
                self.counts.bad_counts += u64::from(counted);
                self.state = State::Line;
                0
            }
        }
    }

    /// Decides what the number in the buffer is, with what follows it: a `message`, or any text.
    fn counted(&mut self, message: bool, counted: bool) {
        let number = crate::scan::number(self.buffer.trim_ascii_end());
        let room = (self.limit - self.buffer.len().min(self.limit)) as u64;
        self.state = match number {
            // Nothing is no message.
            Some(0) if message || counted => {
                self.counts.bad_counts += 1;
                self.buffer.clear();
                State::Start { counted: true }
            }
            Some(left) if message && left <= COUNT_MAX || counted && left <= room => {
                self.buffer.clear();
                State::Octets { left }
            }
            Some(left) if !message && (1..=room).contains(&left) => State::Perhaps {
                left,
                number: self.buffer.len(),
            },
            _ => {
                self.counts.bad_counts += u64::from(message || counted);
                State::Line
            }
        };
    }

    fn octets(&mut self, chunk: &[u8], left: u64, each: &mut impl FnMut(Frame<'_>)) -> usize {
        let here = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let piece = chunk.get(..here).unwrap_or_default();
        let left = left - here as u64;
        if left > 0 {
            self.keep(piece);
            self.state = State::Octets { left };
        } else {
            self.emit(piece, false, each);
            self.state = State::Start { counted: true };
        }
        here
    }

    fn perhaps(
        &mut self,
        chunk: &[u8],
        left: u64,
        number: usize,
        each: &mut impl FnMut(Frame<'_>),
    ) -> usize {
        let here = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let piece = chunk.get(..here).unwrap_or_default();
        // The last byte may be the line feed that some count too.
        let last = here as u64 == left;
        let inside = &piece[..here - usize::from(last)];
        if memchr::memchr2(b'\n', 0, inside).is_some() {
            self.state = State::Line;
            return 0;
        }
        if last {
            self.buffer.drain(..number);
            self.emit(piece, false, each);
            self.state = State::Start { counted: true };
        } else {
            self.keep(piece);
            let left = left - here as u64;
            self.state = State::Perhaps { left, number };
        }
        here
    }

    fn line(&mut self, chunk: &[u8], each: &mut impl FnMut(Frame<'_>)) -> usize {
        let Some(end) = memchr::memchr2(b'\n', 0, chunk) else {
            self.keep(chunk);
            return chunk.len();
        };
        let (line, rest) = chunk.split_at(end);
        if self.nuls && rest.first() == Some(&b'\n') {
            self.keep(line);
            self.state = State::LineFeed;
        } else {
            let first = self.buffer.first().or(line.first());
            self.nuls |= rest.first() == Some(&0) && first == Some(&b'<');
            self.emit(line, false, each);
            self.state = State::Start { counted: false };
        }
        end + 1
    }

    /// Behind a line feed of a sender that ends its messages with NULs.
    fn line_feed(&mut self, next: u8, each: &mut impl FnMut(Frame<'_>)) -> usize {
        if next == b'<' {
            self.emit(&[], false, each);
            self.state = State::Start { counted: false };
        } else {
            self.keep(b"\n");
            self.state = State::Line;
        }
        0
    }

    /// Keeps a piece of an unfinished frame, up to the limit.
    fn keep(&mut self, piece: &[u8]) {
        let room = self.limit.saturating_sub(self.buffer.len());
        let fits = piece.get(..room).unwrap_or(piece);
        self.buffer.extend_from_slice(fits);
        self.skipped += (piece.len() - fits.len()) as u64;
    }

    /// Hands out the frame that ends with `last`; an empty one is none.
    fn emit(&mut self, last: &[u8], cut: bool, each: &mut impl FnMut(Frame<'_>)) {
        let whole = if self.buffer.is_empty() && last.len() <= self.limit {
            last
        } else {
            self.keep(last);
            &self.buffer
        };
        let truncated = self.skipped > 0 || cut;
        let line = if truncated { whole } else { datagram(whole) };
        if !line.is_empty() {
            self.counts.frames += 1;
            self.counts.oversize += u64::from(self.skipped > 0);
            self.counts.skipped_bytes += self.skipped;
            each(Frame {
                line,
                whole,
                truncated,
            });
        }
        self.buffer.clear();
        self.skipped = 0;
    }
}

/// The message in a datagram: without the line feed, carriage return and NULs that senders add.
#[must_use]
pub fn datagram(packet: &[u8]) -> &[u8] {
    let line = strip(packet, 0);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = strip(line, 0);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn strip(mut line: &[u8], byte: u8) -> &[u8] {
    while let [head @ .., last] = line
        && *last == byte
    {
        line = head;
    }
    line
}
