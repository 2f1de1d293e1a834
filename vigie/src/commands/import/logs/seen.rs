//! What was taken before: of files by what stands in them, of lines by what the store holds.
//!
//! Position `import:HEAD` of the store: `1 OFFSET HEAD_LEN HEAD TAIL LAST DONE`, numbers in
//! hexadecimal: how many unpacked bytes were taken, the hash of the first up to 1,024 of them, that of
//! the up to 64 before the offset, the time of the last line, and whether that was the end. Names and
//! packing do not matter, so `app.log.1` is known again as `app.log.2.gz`.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;

use vigie_parsers::Timestamp;
use vigie_query::log::Query;
use vigie_query::{EventSource, Scan};
use vigie_store::Reader;

use crate::files::Input;

/// The beginning of the keys of what was imported.
pub(super) const PREFIX: &str = "import:";
/// Bytes at the beginning that are compared.
pub(super) const HEAD_MAX: usize = 1024;
/// Bytes before the offset that are compared.
pub(super) const TAIL_LEN: usize = 64;
/// Lines of the store that are compared with a file's at most: about 100 MiB.
const LINES_MAX: usize = 4_000_000;

/// How far a file was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: u64,
    pub(super) head_len: u64,
    pub(super) head: u64,
    pub(super) tail: u64,
    /// The time of the last line.
    pub(super) last: i64,
    /// It was the end of the file.
    pub(super) done: bool,
}

impl Mark {
    pub(super) fn key(&self) -> String {
        format!("{PREFIX}{:x}:{:x}", self.head, self.head_len)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (last, done) = (self.last.cast_unsigned(), u8::from(self.done));
        let Self {
            offset,
            head_len,
            head,
            tail,
            ..
        } = self;
        format!("1 {offset:x} {head_len:x} {head:x} {tail:x} {last:x} {done}").into_bytes()
    }

    /// `None` for what another vigie may have written.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(value).ok()?.split(' ');
        if parts.next()? != "1" {
            return None;
        }
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        Some(Self {
            offset: number()?,
            head_len: number()?,
            head: number()?,
            tail: number()?,
            last: number()?.cast_signed(),
            done: number()? != 0,
        })
    }

    /// Of the marks whose file begins as this one does, the farthest whose end is in it as well.
    pub(super) fn find(marks: &[Self], input: &mut Input) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        let mut more = true;
        while more && text.len() < HEAD_MAX {
            more = input.read(&mut text)?;
        }
        let begins = |m: &&Self| {
            let len = usize::try_from(m.head_len).unwrap_or(usize::MAX);
            m.offset > 0 && text.get(..len).is_some_and(|head| hash(head) == m.head)
        };
        let mut open: Vec<Self> = marks.iter().filter(begins).copied().collect();
        open.sort_unstable_by_key(|m| m.offset);
        let mut open = open.into_iter().peekable();
        let mut found = None;
        // The place of `text` in the file.
        let mut start = 0;
        loop {
            let end = start + text.len() as u64;
            while let Some(mark) = open.next_if(|m| m.offset <= end) {
                let at = usize::try_from(mark.offset - start).unwrap_or(usize::MAX);
                let tail = text.get(at.saturating_sub(TAIL_LEN)..at);
                if tail.is_some_and(|tail| hash(tail) == mark.tail) {
                    found = Some(mark);
                }
            }
            if !more || open.peek().is_none() {
                // A shorter copy of what was taken is in it as a whole.
                let whole = open
                    .next()
                    .filter(|m| !more && m.head_len >= TAIL_LEN as u64);
                return Ok(found.or(whole.map(|m| Self { offset: end, ..m })));
            }
            let kept = text.len().min(TAIL_LEN);
            start += (text.len() - kept) as u64;
            text.drain(..text.len() - kept);
            more = input.read(&mut text)?;
        }
    }
}

/// FNV-1a: kept in the store, so it must be the same for ever.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Lines that the store has of a log, as it was before the import: they were followed live.
#[derive(Default)]
pub(super) struct Held {
    lines: HashMap<(u64, i64), u32>,
    /// There were more than can be compared.
    pub(super) too_many: bool,
}

impl Held {
    /// The lines of `source` in a span of time that arrived up to `last`.
    pub(super) fn read(
        reader: &Reader,
        source: &str,
        span: std::ops::Range<Timestamp>,
        last: u64,
    ) -> anyhow::Result<Self> {
        let quoted = source.replace('\\', "\\\\").replace('"', "\\\"");
        let query = Query::parse(&format!("source=\"{quoted}\""))?;
        let mut held = Self::default();
        let scan = Scan::new(span.start, span.end, &query.filter);
        reader.scan(&scan, &mut |event| {
            if event.id > last {
                return ControlFlow::Continue(());
            }
            if held.lines.len() >= LINES_MAX {
                held.too_many = true;
                return ControlFlow::Break(());
            }
            let own = event.record.time.map(|_| event.time);
            *held.lines.entry(key(&event.line, own)).or_default() += 1;
            ControlFlow::Continue(())
        })?;
        Ok(held)
    }

    /// Whether the store has this line with the time that it names, if any; each is found as often as
    /// it is there.
    pub(super) fn take(&mut self, line: &[u8], time: Option<Timestamp>) -> bool {
        match self.lines.get_mut(&key(line, time)) {
            Some(n) if *n > 0 => {
                *n -= 1;
                true
            }
            _ => false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

fn key(line: &[u8], time: Option<Timestamp>) -> (u64, i64) {
    (hash(line), time.map_or(i64::MIN, |t| t.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mark = Mark {
            offset: 1 << 40,
            head_len: 1024,
            head: u64::MAX,
            tail: 7,
            last: -5,
            done: true,
        };
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        assert_eq!(Mark::decode(b"2 0 0 0 0 0 1"), None);
        assert_eq!(Mark::decode(b"1 0 0"), None);
    }
}
