//! What well-known keys of structured lines (JSON, logfmt) mean.

use std::ops::Range;

use super::webkeys::{self, Web};
use crate::record::{Field, Kind, Record};
use crate::{Context, Severity, stamp};

/// Fields of one line that get a span. Real programs write up to some forty.
const FIELDS_MAX: usize = 128;

const TIME: &[&[u8]] = &[
    b"time",
    b"timestamp",
    b"ts",
    b"@timestamp",
    b"t",
    b"date",
    b"datetime",
    b"asctime",
    b"time_local",
    b"time_iso8601",
    b"msec",
];
const LEVEL: &[&[u8]] = &[
    b"level",
    b"severity",
    b"lvl",
    b"log.level",
    b"levelname",
    b"error_severity",
];
/// In this order: a line may have several of them.
const MESSAGE: &[&[u8]] = &[b"msg", b"message", b"log", b"event", b"text"];

/// Collects the pairs of one line.
#[derive(Default)]
pub(super) struct Pairs {
    count: usize,
    message: Option<(usize, Range<usize>)>,
    web: Web,
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
        let text = line.get(at.clone()).unwrap_or_default();
        let nested_level = parts == [&b"log"[..], b"level"];
        if let [key] = parts {
            if out.time.is_none() && TIME.contains(key) && time(cx, text, &at, out) {
                return;
            }
            if let Some(rank) = MESSAGE.iter().position(|m| m == key)
                && self.message.as_ref().is_none_or(|&(best, _)| rank < best)
            {
                self.message = Some((rank, at.clone()));
            }
        }
        if nested_level || matches!(parts, [key] if LEVEL.contains(key)) {
            out.worsen(severity(text));
            return out.push(Field::Level, at.start, at.end, kind);
        }
        if let Some(role) = webkeys::role(parts)
            && self.web.take(role, parts, line, at.clone(), kind, out)
        {
            return;
        }
        match parts {
            [b"hostname"] => out.push(Field::Host, at.start, at.end, kind),
            [b"status"] => self.web.status(text, at, kind, out),
            [b"args"] if self.web.has_args() => {
                out.push(Field::Query, at.start, at.end, kind);
            }
            [b"size"] if self.web.has_size() => {
                out.push(Field::Bytes, at.start, at.end, kind);
            }
            _ => {
                if parts == [&b"method"[..]] {
                    self.web.method();
                }
                out.push_named(parts, at, kind);
            }
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
    let Some(found) = stamp::value(text) else {
        return false;
    };
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, at.start, at.end);
    out.flags.time_guessed |= guessed;
    true
}

/// A word; syslog's number; pino's and bunyan's 10 (trace) to 60 (fatal).
fn severity(text: &[u8]) -> Option<Severity> {
    match text {
        [digit @ b'0'..=b'7'] => Severity::from_number(digit - b'0'),
        b"10" | b"20" => Some(Severity::Debug),
        b"30" => Some(Severity::Info),
        b"40" => Some(Severity::Warn),
        b"50" => Some(Severity::Err),
        b"60" => Some(Severity::Crit),
        word => Severity::from_word(word),
    }
}
