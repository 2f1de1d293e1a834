//! An entry as one line, in the shape of RFC 5424: what a store keeps and a search reads.
//!
//! ```text
//! <30>1 2026-11-21T05:19:21.322096Z web1 nginx 812 - [journal _COMM="nginx" _UID="33" …] the message
//! ```
//!
//! The line is canonical: parameters are sorted by name, so entries of one program differ in values
//! alone. Left out is what says the same again (`SYSLOG_RAW`, `SYSLOG_TIMESTAMP`, the monotonic copy of
//! the time), and what the head has already. Values are bytes with `"`, `\` and `]` escaped; the
//! message, which may have several lines, ends the line as it is.

use std::io;
use std::ops::Range;

use super::{Datum, Entry, Journal, ReadAt, Shared};

/// One value in the structured data; a longer one is cut. Command lines fit.
const PARAM_MAX: usize = 4 << 10;
/// All parameters of an entry, and their number; what is beyond is left out. With the message that
/// journald allows (48 KiB) this stays within the 64 KiB of a line.
const PARAMS_BYTES_MAX: usize = 15 << 10;
/// See [`PARAMS_BYTES_MAX`]; a format reads no more spans.
const PARAMS_MAX: usize = 64;
/// A word of the head; the standard allows 255 for the longest.
const WORD_MAX: usize = 255;
/// What several entries share, as it was written.
const ARENA_BYTES: usize = 2 << 20;
/// The year 10000: a later time is none.
const TIME_END_US: u64 = 253_402_300_800_000_000;
/// `user.info`, what journald itself says of an entry without facility and priority.
const FACILITY: u8 = 1;
const PRIORITY: u8 = 6;

/// Writes the entries of one journal as lines.
#[derive(Debug, Default)]
pub struct LineWriter {
    line: Vec<u8>,
    head: Head,
    message: Vec<u8>,
    params: Vec<Param>,
    /// Parameters of this entry alone.
    own: Vec<u8>,
    /// What fields with a number of this generation are, and the bytes they need.
    parts: Vec<Option<Part>>,
    generation: u32,
    arena: Vec<u8>,
    second: Second,
}

/// A line that was written.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The line.
    pub bytes: &'a [u8],
    /// Fields that were cut or left out because they were too long or too many.
    pub cut: u64,
}

/// The words of the head, as the fields say.
#[derive(Debug, Default)]
struct Head {
    facility: Option<u8>,
    priority: Option<u8>,
    time: Option<u64>,
    host: Vec<u8>,
    ident: Vec<u8>,
    comm: Vec<u8>,
    pid: Vec<u8>,
    syslog_pid: Vec<u8>,
    has_message: bool,
}

/// A parameter, written: ` NAME="value"`.
#[derive(Clone, Debug)]
struct Param {
    /// The first bytes of the name: they decide the order nearly always.
    key: u128,
    at: Range<usize>,
    shared: bool,
}

/// What a field is to a line.
#[derive(Clone, Debug)]
enum Part {
    Nothing,
    Facility(u8),
    Priority(u8),
    Time(u64),
    Host(Range<usize>),
    Ident(Range<usize>),
    /// Also a parameter.
    Comm(Range<usize>, u128, Range<usize>),
    Pid(Range<usize>),
    SyslogPid(Range<usize>),
    Message(Range<usize>),
    Param(u128, Range<usize>),
}

/// The second that was written last.
#[derive(Debug, Default)]
struct Second {
    of: Option<u64>,
    text: Vec<u8>,
}

impl LineWriter {
    /// Writes the journal's last entry.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn write<R: ReadAt>(
        &mut self,
        journal: &mut Journal<R>,
        entry: &Entry,
    ) -> io::Result<Line<'_>> {
        self.clear();
        let mut cut = 0;
        for index in 0..journal.fields() {
            if let Some(datum) = journal.datum(index)? {
                cut += u64::from(datum.cut);
                self.take(&datum);
            }
        }
        cut += self.assemble(entry);
        Ok(Line {
            bytes: &self.line,
            cut,
        })
    }

    fn clear(&mut self) {
        self.line.clear();
        self.own.clear();
        self.params.clear();
        self.message.clear();
        let Head {
            host,
            ident,
            comm,
            pid,
            syslog_pid,
            ..
        } = &mut self.head;
        for word in [host, ident, comm, pid, syslog_pid] {
            word.clear();
        }
        (self.head.facility, self.head.priority) = (None, None);
        (self.head.time, self.head.has_message) = (None, false);
    }

    fn take(&mut self, datum: &Datum<'_>) {
        match datum.shared {
            Some(shared) => self.take_shared(datum, shared),
            None => {
                let part = Part::of(datum, &mut self.own);
                self.put(part, false);
            }
        }
    }

    fn take_shared(&mut self, datum: &Datum<'_>, shared: Shared) {
        if self.generation != shared.generation || self.arena.len() > ARENA_BYTES {
            // What this entry took from the arena so far becomes its own.
            for param in self.params.iter_mut().filter(|p| p.shared) {
                let start = self.own.len();
                let bytes = self.arena.get(param.at.clone()).unwrap_or_default();
                self.own.extend_from_slice(bytes);
                (param.at, param.shared) = (start..self.own.len(), false);
            }
            self.parts.clear();
            self.arena.clear();
            self.generation = shared.generation;
        }
        let number = shared.number as usize;
        if self.parts.len() <= number {
            self.parts.resize(number + 1, None);
        }
        let known = self.parts.get(number).cloned().flatten();
        let part = known.unwrap_or_else(|| Part::of(datum, &mut self.arena));
        if let Some(place) = self.parts.get_mut(number).filter(|p| p.is_none()) {
            *place = Some(part.clone());
        }
        self.put(part, true);
    }

    /// Puts a part where it belongs.
    fn put(&mut self, part: Part, shared: bool) {
        let Self {
            head,
            params,
            message,
            own,
            arena,
            ..
        } = self;
        let bytes: &[u8] = if shared { arena } else { own };
        let text = |at: Range<usize>| bytes.get(at).unwrap_or_default();
        let word = |to: &mut Vec<u8>, at: Range<usize>| {
            if to.is_empty() {
                to.extend_from_slice(text(at));
            }
        };
        match part {
            Part::Nothing => {}
            Part::Facility(n) => head.facility = Some(n),
            Part::Priority(n) => head.priority = Some(n),
            Part::Time(us) => head.time = Some(us),
            Part::Host(at) => word(&mut head.host, at),
            Part::Ident(at) => word(&mut head.ident, at),
            Part::Pid(at) => word(&mut head.pid, at),
            Part::SyslogPid(at) => word(&mut head.syslog_pid, at),
            Part::Comm(value, key, at) => {
                word(&mut head.comm, value);
                params.push(Param { key, at, shared });
            }
            Part::Message(at) if !head.has_message => {
                head.has_message = true;
                message.extend_from_slice(text(at));
            }
            // A second message is a field like others.
            Part::Message(at) => {
                let value = text(at).to_vec();
                let (key, at) = param(b"MESSAGE", &value, own);
                params.push(Param {
                    key,
                    at,
                    shared: false,
                });
            }
            Part::Param(key, at) => params.push(Param { key, at, shared }),
        }
    }

    /// Writes the line; how many parameters were left out.
    fn assemble(&mut self, entry: &Entry) -> u64 {
        let head = &mut self.head;
        let pri = head.facility.unwrap_or(FACILITY) * 8 + head.priority.unwrap_or(PRIORITY);
        let line = &mut self.line;
        line.push(b'<');
        number(u64::from(pri), line);
        line.extend_from_slice(b">1 ");
        self.second.write(head.time.unwrap_or(entry.realtime), line);
        let app = if head.ident.is_empty() {
            &head.comm
        } else {
            &head.ident
        };
        let pid = if head.pid.is_empty() {
            &head.syslog_pid
        } else {
            &head.pid
        };
        for (name, word) in [
            ("_HOSTNAME", &head.host),
            ("SYSLOG_IDENTIFIER", app),
            ("_PID", pid),
        ] {
            line.push(b' ');
            if !push_word(word, line) {
                let (key, at) = param(name.as_bytes(), word, &mut self.own);
                let shared = false;
                self.params.push(Param { key, at, shared });
            }
        }
        if !head.syslog_pid.is_empty() && !head.pid.is_empty() && head.pid != head.syslog_pid {
            let (key, at) = param(b"SYSLOG_PID", &head.syslog_pid, &mut self.own);
            let shared = false;
            self.params.push(Param { key, at, shared });
        }
        line.extend_from_slice(b" - [journal");
        let left_out = self.write_params();
        self.line.extend_from_slice(b"] ");
        self.line.extend_from_slice(&self.message);
        left_out
    }

    fn write_params(&mut self) -> u64 {
        let Self {
            params,
            arena,
            own,
            line,
            ..
        } = self;
        let text = |p: &Param| {
            let bytes: &[u8] = if p.shared { arena } else { own };
            bytes.get(p.at.clone()).unwrap_or_default()
        };
        params.sort_unstable_by(|a, b| a.key.cmp(&b.key).then_with(|| text(a).cmp(text(b))));
        let room = line.len() + PARAMS_BYTES_MAX;
        let mut written = 0;
        for param in params.iter().map(text) {
            if written < PARAMS_MAX && line.len() + param.len() <= room {
                line.extend_from_slice(param);
                written += 1;
            }
        }
        (params.len() - written) as u64
    }
}

impl Part {
    /// What a field is; what it needs of the value is put into `bytes`.
    fn of(datum: &Datum<'_>, bytes: &mut Vec<u8>) -> Self {
        let Datum { name, value, .. } = *datum;
        let mut keep = |value: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(value);
            start..bytes.len()
        };
        match name {
            b"MESSAGE" => Self::Message(keep(value)),
            b"_SOURCE_MONOTONIC_TIMESTAMP"
            | b"_SOURCE_BOOTTIME_TIMESTAMP"
            | b"SYSLOG_RAW"
            | b"SYSLOG_TIMESTAMP" => Self::Nothing,
            b"_SOURCE_REALTIME_TIMESTAMP" => decimal(value)
                .filter(|us| *us < TIME_END_US)
                .map_or(Self::Nothing, Self::Time),
            b"PRIORITY" => match value {
                [digit @ b'0'..=b'7'] => Self::Priority(digit - b'0'),
                _ => Self::param(name, value, bytes),
            },
            b"SYSLOG_FACILITY" => {
                let number = decimal(value).and_then(|n| u8::try_from(n).ok());
                match number.filter(|n| *n < 24) {
                    Some(n) => Self::Facility(n),
                    None => Self::param(name, value, bytes),
                }
            }
            b"_HOSTNAME" if !value.is_empty() => Self::Host(keep(value)),
            b"SYSLOG_IDENTIFIER" if !value.is_empty() => Self::Ident(keep(value)),
            b"_PID" if !value.is_empty() => Self::Pid(keep(value)),
            b"SYSLOG_PID" if !value.is_empty() => Self::SyslogPid(keep(value)),
            b"_COMM" => {
                let word = keep(value);
                let (key, at) = param(name, value, bytes);
                Self::Comm(word, key, at)
            }
            _ => Self::param(name, value, bytes),
        }
    }

    fn param(name: &[u8], value: &[u8], bytes: &mut Vec<u8>) -> Self {
        let (key, at) = param(name, value, bytes);
        Self::Param(key, at)
    }
}

/// Writes ` NAME="value"`; the key it is sorted by and where it stands.
fn param(name: &[u8], value: &[u8], out: &mut Vec<u8>) -> (u128, Range<usize>) {
    let start = out.len();
    out.push(b' ');
    let legal = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
    out.extend(name.iter().map(|b| if legal(b) { *b } else { b'_' }));
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(name) {
        *to = *from;
    }
    out.extend_from_slice(b"=\"");
    let mut rest = value.get(..PARAM_MAX).unwrap_or(value);
    while let Some(at) = memchr::memchr3(b'"', b'\\', b']', rest) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.push(b'\\');
        out.extend(special.first());
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'"');
    (u128::from_be_bytes(key), start..out.len())
}

/// Writes a word of the head, `-` for none. `false` if it is not the whole value, which then must be
/// said elsewhere.
fn push_word(word: &[u8], line: &mut Vec<u8>) -> bool {
    if word.is_empty() {
        line.push(b'-');
        return true;
    }
    let fits = word.len() <= WORD_MAX && word != b"-" && word.iter().all(u8::is_ascii_graphic);
    if fits {
        line.extend_from_slice(word);
        return true;
    }
    let graphic = |b: &u8| if b.is_ascii_graphic() { *b } else { b'_' };
    line.extend(word.iter().take(WORD_MAX).map(graphic));
    false
}

/// A decimal number and nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn number(n: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut at, mut n) = (digits.len(), n);
    loop {
        at -= 1;
        if let Some(place) = digits.get_mut(at) {
            *place = b'0' + (n % 10).to_le_bytes()[0];
        }
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

impl Second {
    /// `2026-11-21T05:19:21.322096Z`
    fn write(&mut self, us: u64, out: &mut Vec<u8>) {
        let us = us.min(TIME_END_US - 1);
        let second = us / 1_000_000;
        if self.of != Some(second) {
            self.text.clear();
            let time = i64::try_from(second).unwrap_or_default();
            let text = jiff::Timestamp::from_second(time).unwrap_or_default();
            self.text.extend_from_slice(text.to_string().as_bytes());
            // The `Z`.
            self.text.pop();
            self.of = Some(second);
        }
        out.extend_from_slice(&self.text);
        let mut micros = *b".000000Z";
        let mut rest = us % 1_000_000;
        for place in micros.iter_mut().skip(1).take(6).rev() {
            *place += (rest % 10).to_le_bytes()[0];
            rest /= 10;
        }
        out.extend_from_slice(&micros);
    }
}
