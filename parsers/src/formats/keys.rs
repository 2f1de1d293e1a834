//! What well-known keys of structured lines (JSON, logfmt) mean.

use std::ops::Range;
use std::sync::LazyLock;

use super::webkeys::{self, Role, Web};
use crate::record::{Field, Kind, Record};
use crate::{Context, Severity, minute, stamp};

/// Fields of one line that get a span. Real programs write up to some forty.
const FIELDS_MAX: usize = 128;

/// What a key means.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Time,
    Level,
    /// The better, the lower the number: a line may have several.
    Message(usize),
    Host,
    /// A field under another name.
    Is(Field),
    /// MongoDB's level, behind its time.
    Mongo,
    Status,
    /// nginx' name for a query.
    Args,
    /// Caddy's name for the size of the answer.
    Size,
    Method,
    Web(Role),
}

const TIME: &[&str] = &[
    "time",
    "timestamp",
    "ts",
    "@timestamp",
    "t",
    "date",
    "datetime",
    "asctime",
    "time_local",
    "time_iso8601",
    "msec",
    "record.time.timestamp",
    "__REALTIME_TIMESTAMP",
    "t.$date",
    "@t",
    "Timestamp",
    "timeMillis",
    "instant.epochSecond",
    "eventTime",
    "stageTimestamp",
];
const LEVEL: &[&str] = &[
    "level",
    "severity",
    "lvl",
    "log.level",
    "levelname",
    "error_severity",
    "@level",
    "@fields.level",
    "record.level.name",
    "PRIORITY",
    "@l",
    "Level",
    "LogLevel",
];
const MESSAGE: &[&str] = &[
    "msg",
    "message",
    "@message",
    "record.message",
    "fields.message",
    "MESSAGE",
    "RenderedMessage",
    "Message",
    "@m",
    "@mt",
    "MessageTemplate",
    "log",
    "event",
    "text",
];
const OTHERS: &[(&str, Meaning)] = &[
    ("hostname", Meaning::Host),
    ("host.name", Meaning::Host),
    ("_HOSTNAME", Meaning::Host),
    ("SYSLOG_IDENTIFIER", Meaning::Is(Field::App)),
    ("_PID", Meaning::Is(Field::Pid)),
    ("s", Meaning::Mongo),
    ("host.hostname", Meaning::Host),
    ("status", Meaning::Status),
    ("args", Meaning::Args),
    ("size", Meaning::Size),
    ("method", Meaning::Method),
];

/// The known keys by a number that few share: each key of each line is looked up here.
struct Table {
    /// For each number, the first place in `keys` and one past the last.
    places: [(u8, u8); PLACES],
    keys: Vec<(&'static str, Meaning)>,
}

const PLACES: usize = 512;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let ranked = MESSAGE.iter().enumerate();
    let mut keys: Vec<_> = TIME.iter().map(|key| (*key, Meaning::Time)).collect();
    keys.extend(LEVEL.iter().map(|key| (*key, Meaning::Level)));
    keys.extend(ranked.map(|(rank, key)| (*key, Meaning::Message(rank))));
    keys.extend(OTHERS);
    keys.extend(
        webkeys::KEYS
            .iter()
            .map(|&(key, role)| (key, Meaning::Web(role))),
    );
    keys.sort_by_key(|(key, _)| number(&[key.as_bytes()]));
    let places = std::array::from_fn(|place| {
        let before = keys.partition_point(|(key, _)| number(&[key.as_bytes()]) < place);
        let through = keys.partition_point(|(key, _)| number(&[key.as_bytes()]) <= place);
        // There are far fewer than 256.
        let small = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        (small(before), small(through))
    });
    Table { places, keys }
});

/// The number of a key, from its length with the dots, its first and its last letter.
#[inline]
fn number(parts: &[&[u8]]) -> usize {
    let (first, last, len) = match parts {
        [] => return 0,
        [key] => (key.first(), key.last(), key.len()),
        [first, .., last] => {
            let dots = parts.len() - 1;
            let len = parts.iter().fold(dots, |n, p| n.wrapping_add(p.len()));
            (first.first(), last.last(), len)
        }
    };
    let letter = |b: Option<&u8>| b.map_or(0, |&b| usize::from(b));
    let mixed = letter(first) + letter(last) * 7;
    mixed.wrapping_add(len.wrapping_mul(23)) % PLACES
}

/// What a key of these parts, joined by dots, means.
#[inline]
fn meaning(parts: &[&[u8]]) -> Option<Meaning> {
    let table = &*TABLE;
    let &(start, end) = table.places.get(number(parts))?;
    let candidates = table.keys.get(usize::from(start)..usize::from(end))?;
    candidates
        .iter()
        .find(|(key, _)| webkeys::is_joined(key.as_bytes(), parts))
        .map(|(_, found)| *found)
}

/// Collects the pairs of one line.
#[derive(Default)]
pub(super) struct Pairs {
    count: usize,
    message: Option<(usize, Range<usize>)>,
    web: Web,
    /// The time was MongoDB's.
    mongo: bool,
}

impl Pairs {
    /// One pair: the parts of its name and where its text is in the line.
    pub(super) fn add(
        &mut self,
        cx: &mut Context,
        parts: &[&[u8]],
        line: &[u8],
        at: Range<usize>,
        kind: Kind,
        out: &mut Record,
    ) {
        self.count += 1;
        if self.count > FIELDS_MAX {
            out.flags.fields_dropped = true;
            return;
        }
        let Some(meaning) = meaning(parts) else {
            return out.push_named(parts, at, kind);
        };
        let text = line.get(at.clone()).unwrap_or_default();
        let taken = match meaning {
            Meaning::Time => {
                self.mongo |= matches!(parts, [b"t", b"$date"]);
                out.time.is_none() && time(cx, text, &at, out)
            }
            Meaning::Is(field) => {
                out.push(field, at.start, at.end, kind);
                true
            }
            Meaning::Mongo if !self.mongo => false,
            Meaning::Mongo => {
                out.worsen(match text.first() {
                    Some(b'F') => Some(Severity::Crit),
                    Some(b'E') => Some(Severity::Err),
                    Some(b'W') => Some(Severity::Warn),
                    Some(b'I') => Some(Severity::Info),
                    Some(b'D') => Some(Severity::Debug),
                    _ => None,
                });
                out.push(Field::Level, at.start, at.end, kind);
                true
            }
            Meaning::Level => {
                out.worsen(severity(text));
                out.push(Field::Level, at.start, at.end, kind);
                true
            }
            Meaning::Message(rank) => {
                if self.message.as_ref().is_none_or(|&(best, _)| rank < best) {
                    self.message = Some((rank, at.clone()));
                }
                false
            }
            Meaning::Host => {
                out.push(Field::Host, at.start, at.end, kind);
                true
            }
            Meaning::Status => {
                self.web.status(text, at.clone(), kind, out);
                true
            }
            Meaning::Args if self.web.has_args() => {
                out.push(Field::Query, at.start, at.end, kind);
                true
            }
            Meaning::Size if self.web.has_size() => {
                out.push(Field::Bytes, at.start, at.end, kind);
                true
            }
            Meaning::Args | Meaning::Size => false,
            Meaning::Method => {
                self.web.method();
                false
            }
            Meaning::Web(role) => self.web.take(role, parts, line, at.clone(), kind, out),
        };
        if !taken {
            out.push_named(parts, at, kind);
        }
    }

    /// Sets the message: the best of the keys that hold it, else the whole line.
    pub(super) fn finish(self, len: usize, out: &mut Record) {
        self.web.finish(out);
        match self.message {
            Some((_, at)) => out.set_message(at.start, at.end),
            None => out.set_message(0, len),
        }
    }
}

fn time(cx: &mut Context, text: &[u8], at: &Range<usize>, out: &mut Record) -> bool {
    // Formats of .NET's often end with a blank.
    let text = text.trim_ascii_end();
    let near = minute::iso(cx, text).filter(|found| found.len == text.len());
    let Some(found) = near.or_else(|| stamp::value(text)) else {
        return false;
    };
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, at.start, at.start + text.len());
    out.flags.time_guessed |= guessed;
    true
}

/// A word; syslog's number; pino's and bunyan's 10 (trace) to 60 (fatal); winston's, zap's and Loguru's own
/// words.
fn severity(text: &[u8]) -> Option<Severity> {
    match text {
        [digit @ b'0'..=b'7'] => Severity::from_number(digit - b'0'),
        b"10" | b"20" => Some(Severity::Debug),
        b"30" => Some(Severity::Info),
        b"40" => Some(Severity::Warn),
        b"50" => Some(Severity::Err),
        b"60" | b"dpanic" | b"DPANIC" => Some(Severity::Crit),
        b"http" | b"SUCCESS" => Some(Severity::Info),
        b"verbose" | b"silly" => Some(Severity::Debug),
        word => Severity::from_word(word),
    }
}
