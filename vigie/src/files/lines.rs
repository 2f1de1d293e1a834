//! From the bytes of a file to its events, reading no more lines than the search needs.

use std::io;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use memchr::{memchr, memchr_iter, memrchr};
use vigie_parsers::formats::{Detector, Format};
use vigie_parsers::joining::Joining;
use vigie_parsers::{Context, Event, Origin, Record, Timestamp};
use vigie_query::log::Prefilter;

use super::Reading;
use super::input::Input;
use super::text::Text;

/// A longer line is cut, as in the daemon.
pub(crate) const LINE_LEN_MAX: usize = 64 << 10;

/// What lines are handed to.
pub(super) type Each<'a> = dyn FnMut(&Event) -> ControlFlow<()> + 'a;

/// What may come behind the bytes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// More of them, at once.
    More,
    /// More of them some time: an event that could go on has waited long enough.
    Later,
    /// Nothing: a last line without its end is a line.
    Nothing,
}

/// What [`Lines::find`] has found.
enum Found {
    /// The event around the hit.
    Event(Range<usize>),
    /// Up to there stands nothing that was sought.
    Foreign(usize),
    /// More may belong to the event.
    Open,
}

/// Reads the lines of one file in order.
pub(super) struct Lines {
    context: Context,
    format: Option<&'static Format>,
    text: Text,
    joining: Joining,
    detector: Detector,
    event: Event,
    scratch: Record,
    /// A line without a time happened when the one before it did.
    last: Timestamp,
    /// Lines that were seen, of this file and those before it.
    pub(super) number: u64,
    /// Lines that were read one by one.
    pub(super) read: u64,
    /// Lines that were cut.
    pub(super) cut: u64,
    /// The rest of a line that was cut goes.
    skipping: bool,
    at_start: bool,
    /// The file begins with a line of a header, as W3C logs do.
    headed: bool,
}

impl Lines {
    /// `number` lines were seen before.
    pub(super) fn new(path: &Path, modified: Timestamp, reading: &Reading, number: u64) -> Self {
        let name = path.display().to_string();
        let event = Event {
            recv: modified,
            origin: Arc::new(Origin {
                source: format!("file:{name}"),
                fields: vec![("file".to_owned(), name)],
            }),
            ..Event::default()
        };
        Self {
            context: Context::new(modified, reading.zone.clone()),
            format: reading.format,
            text: Text::new(reading.encoding),
            joining: reading.joining.clone(),
            detector: Detector::default(),
            event,
            scratch: Record::default(),
            last: modified,
            number,
            read: 0,
            cut: 0,
            skipping: false,
            at_start: true,
            headed: false,
        }
    }

    /// Where the lines come from.
    pub(super) fn origin(&self) -> &Origin {
        &self.event.origin
    }

    /// What the characters of the file are.
    pub(super) fn encoding(&self) -> Option<vigie_parsers::Encoding> {
        self.text.encoding()
    }

    /// Stamps without a year are of the time around this.
    pub(super) fn set_modified(&mut self, modified: Timestamp) {
        self.context.recv = modified;
        self.event.recv = modified;
    }

    /// All lines of an input that may pass the prefilter.
    pub(super) fn read_all(
        &mut self,
        input: &mut Input,
        prefilter: Option<&Prefilter>,
        bytes: &mut u64,
        each: &mut Each<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let mut buffer = Vec::new();
        loop {
            let had = buffer.len();
            let more = match self.text.read(input, &mut buffer) {
                Ok(more) => more,
                Err(e) => {
                    // What could be unpacked stands.
                    let _ = self.take(&mut buffer, Ahead::Nothing, prefilter, each);
                    return Err(e);
                }
            };
            *bytes += (buffer.len() - had) as u64;
            let ahead = match more {
                true => Ahead::More,
                false => Ahead::Nothing,
            };
            if self.take(&mut buffer, ahead, prefilter, each).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if !more {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Takes the events that are whole from the front of the buffer.
    pub(super) fn take(
        &mut self,
        buffer: &mut Vec<u8>,
        ahead: Ahead,
        prefilter: Option<&Prefilter>,
        each: &mut Each<'_>,
    ) -> ControlFlow<()> {
        let mut start = 0;
        if self.skipping {
            let Some(end) = memchr(b'\n', buffer) else {
                buffer.clear();
                return ControlFlow::Continue(());
            };
            self.skipping = false;
            start = end + 1;
        }
        if self.at_start && buffer.len() >= 3 {
            self.at_start = false;
            if buffer.starts_with(b"\xef\xbb\xbf") {
                start = 3;
            }
            self.headed = buffer[start..].starts_with(b"#");
        }
        let end = match memrchr(b'\n', &buffer[start..]) {
            _ if ahead == Ahead::Nothing => buffer.len(),
            Some(last) => start + last + 1,
            None if buffer.len() - start > LINE_LEN_MAX => {
                self.skipping = true;
                buffer.len()
            }
            None => start,
        };
        // A line that is too long will be cut: what is before it waits for no more.
        let ahead = match ahead {
            Ahead::More if buffer.len() - end > LINE_LEN_MAX => Ahead::Later,
            ahead => ahead,
        };
        let mut taken = 0;
        let flow = self.lines(&buffer[start..end], ahead, prefilter, &mut taken, each);
        buffer.drain(..start + taken);
        flow
    }

    /// Takes the events of whole lines; `taken` is set to how many bytes they are. One that what is ahead
    /// could belong to is left.
    fn lines(
        &mut self,
        text: &[u8],
        ahead: Ahead,
        prefilter: Option<&Prefilter>,
        taken: &mut usize,
        each: &mut Each<'_>,
    ) -> ControlFlow<()> {
        let mut candidates = prefilter.map(|p| p.candidates(text));
        while *taken < text.len() {
            let at = *taken;
            let hit = match &mut candidates {
                None => Some(at),
                Some(candidates) => candidates.find(at),
            };
            let (start, end) = match self.find(text, at, hit, ahead) {
                Found::Event(event) => (event.start, event.end),
                Found::Foreign(end) => {
                    self.number += count_lines(&text[at..end]);
                    self.heed(&text[at..end]);
                    self.last = self.time_before(text, at, end);
                    *taken = end;
                    continue;
                }
                Found::Open => break,
            };
            self.number += count_lines(&text[at..start]);
            self.heed(&text[at..start]);
            *taken = end;
            let line = &text[start..end];
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.number += 1;
            if !line.is_empty() && line != b"\r" {
                if !self.parse(line) {
                    self.event.time = self.time_before(text, at, start);
                }
                self.last = self.event.time;
                each(&self.event)?;
            }
            self.number += count_lines(line);
        }
        ControlFlow::Continue(())
    }

    /// Looks for the event around a hit. Events begin at `at`.
    fn find(&self, text: &[u8], at: usize, hit: Option<usize>, ahead: Ahead) -> Found {
        if self.joining == Joining::Off {
            let Some(hit) = hit else {
                return Found::Foreign(text.len());
            };
            let start = memrchr(b'\n', &text[at..hit]).map_or(at, |n| at + n + 1);
            let end = memchr(b'\n', &text[hit..]).map_or(text.len(), |n| hit + n + 1);
            return Found::Event(start..end);
        }
        // An event is no longer than that: looking back farther would change nothing but in texts that
        // are made up for it.
        let near = hit.unwrap_or(text.len()).saturating_sub(LINE_LEN_MAX);
        let mut start = match near > at {
            true => memrchr(b'\n', &text[at..near]).map_or(at, |n| at + n + 1),
            false => at,
        };
        while start < text.len() {
            let first = self.joining.first(&text[start..], LINE_LEN_MAX);
            let (len, whole) = first.map_or((text.len() - start, true), |f| (f.len, f.whole));
            if !whole && ahead == Ahead::More {
                return match start > at {
                    true => Found::Foreign(start),
                    false => Found::Open,
                };
            }
            if hit.is_some_and(|hit| hit < start + len) {
                return Found::Event(start..start + len);
            }
            start += len;
        }
        Found::Foreign(start)
    }

    /// The lines that are left out may name the columns of those that follow.
    fn heed(&mut self, skipped: &[u8]) {
        if !self.headed {
            return;
        }
        for at in memchr::memmem::find_iter(skipped, b"#Fields:") {
            if at == 0 || skipped[at - 1] == b'\n' {
                let end = memchr(b'\n', &skipped[at..]).map_or(skipped.len(), |n| at + n);
                self.detector.heed(&skipped[at..end]);
            }
        }
    }

    /// Reads a line into the event; whether it has a time of its own.
    fn parse(&mut self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let kept = &line[..line.len().min(LINE_LEN_MAX)];
        self.cut += u64::from(kept.len() < line.len());
        self.read += 1;
        let event = &mut self.event;
        event.line.clear();
        event.line.extend_from_slice(kept);
        event.record.clear();
        let format = match self.format {
            Some(format) if format.parse(&mut self.context, kept, &mut event.record) => format,
            _ => self
                .detector
                .parse(&mut self.context, kept, &mut event.record),
        };
        if event.format.as_ref() != format.name {
            event.format = Arc::from(format.name);
        }
        event.id = self.number;
        event.severity = event.record.severity;
        event.time = event.record.time.unwrap_or(self.last);
        event.record.time.is_some()
    }

    /// The time of the last line of `text[from..to]` that has one; that of the line before them if
    /// none has.
    fn time_before(&mut self, text: &[u8], from: usize, to: usize) -> Timestamp {
        let mut end = to;
        while end > from {
            let line_end = end - usize::from(text[end - 1] == b'\n');
            let start = memrchr(b'\n', &text[from..line_end]).map_or(from, |n| from + n + 1);
            let line = &text[start..line_end];
            let kept = &line[..line.len().min(LINE_LEN_MAX)];
            self.detector
                .parse(&mut self.context, kept, &mut self.scratch);
            if let Some(time) = self.scratch.time {
                return time;
            }
            end = start;
        }
        self.last
    }
}

fn count_lines(text: &[u8]) -> u64 {
    memchr_iter(b'\n', text).count() as u64
}
