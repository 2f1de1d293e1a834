//! Lines out of the bytes of a file, chunk by chunk, with how many bytes each one took.

/// The longest line that is kept. The systems around take 8 KiB (syslog relays) to 48 KiB (journald);
/// one page of a stack trace as a single JSON line fits too.
pub const LINE_MAX: usize = 64 << 10;

/// A line without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The text.
    pub text: &'a [u8],
    /// It was longer than the limit; the rest is gone.
    pub truncated: bool,
    /// Bytes of the file that it took, line end and skipped part included.
    pub consumed: u64,
}

/// Splits at line feeds; a carriage return before one belongs to the line end. Empty lines are handed
/// out too, so that the sum of `consumed` is the place in the file.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    buffer: Vec<u8>,
    skipped: u64,
    truncated: u64,
    skipped_total: u64,
}

impl Default for Lines {
    fn default() -> Self {
        Self::new(LINE_MAX)
    }
}

impl Lines {
    /// A splitter for lines of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            buffer: Vec::new(),
            skipped: 0,
            truncated: 0,
            skipped_total: 0,
        }
    }

    /// Lines that were cut, and the bytes that were lost with it.
    #[must_use]
    pub fn losses(&self) -> (u64, u64) {
        (self.truncated, self.skipped_total)
    }

    /// The bytes of the unfinished line in hand, those beyond the limit included.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.buffer.len() as u64 + self.skipped
    }

    /// The unfinished line in hand, as far as it is kept.
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        &self.buffer
    }

    /// Forgets the unfinished line, as when the file was replaced.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.skipped = 0;
    }

    /// Takes the next bytes of the file; `each` gets the lines that they complete.
    pub fn push(&mut self, mut chunk: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let (piece, rest) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
            self.emit(piece, 1, &mut each);
            chunk = rest.get(1..).unwrap_or_default();
        }
        self.keep(chunk);
    }

    /// The file has ended for good: a last line without its end is a line.
    pub fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if self.pending() > 0 {
            self.emit(&[], 0, &mut each);
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = self.limit.saturating_sub(self.buffer.len());
        let fits = piece.get(..room).unwrap_or(piece);
        self.buffer.extend_from_slice(fits);
        self.skipped += (piece.len() - fits.len()) as u64;
    }

    fn emit(&mut self, last: &[u8], end: u64, each: &mut impl FnMut(Line<'_>)) {
        let consumed = self.pending() + last.len() as u64 + end;
        let text = if self.buffer.is_empty() && last.len() <= self.limit {
            last
        } else {
            self.keep(last);
            &self.buffer
        };
        let truncated = self.skipped > 0;
        let text = match text.strip_suffix(b"\r") {
            Some(text) if !truncated && end > 0 => text,
            _ => text,
        };
        self.truncated += u64::from(truncated);
        self.skipped_total += self.skipped;
        each(Line {
            text,
            truncated,
            consumed,
        });
        self.reset();
    }
}
