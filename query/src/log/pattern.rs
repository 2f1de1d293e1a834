//! The pattern of an event: what it has in common with others like it.
//!
//! Of a request it is the method, the shape of the path and the class of the status. Of everything
//! else it is the message with [`template`](super::template())'s variables left out, and with them
//! the values of fields that name somebody or something (`user`, `host`, `path` …).
//!
//! Of a message of several lines (a stack trace, what a database adds to an error) it is the first: the
//! same error with another statement is the same pattern.
//!
//! It is made of [`Part`]s, each of which depends on one piece of the line: so a store that keeps
//! columns finds it without putting the line together again. Whoever has put the parts together
//! [`cut`]s them.

use std::borrow::Cow;
use std::ops::Range;

use vigie_parsers::{Event, Field, Kind, Name, Record, Severity, Span};

use super::eval::Subject;
use super::field::{FieldKind, FieldName};
use super::filter::{Filter, Test};
use super::template::{VARIABLE, template_into};

/// Bytes of a pattern: it is for recognising, not for keeping whole.
pub const MAX_PATTERN: usize = 1024;
/// Segments of a path that are shown; what lies deeper is one place.
const SEGMENTS: usize = 4;
/// A longer segment is a value.
const SEGMENT_MAX: usize = 40;
/// Letters of the end of a file's name that tell what it is.
const EXTENSION_MAX: usize = 5;
/// Names of lines' own whose values name somebody or something.
const VALUES: &[&str] = &[
    "client",
    "command",
    "dns.answer",
    "dns.name",
    "from",
    "helo",
    "mac",
    "pwd",
    "queue_id",
    "relay",
    "remote_host",
    "session",
    "session_id",
    "target_user",
    "to",
    "tty",
];

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Something that differs from event to event.
    Variable,
    /// This text, written by [`How::Text`].
    Text(&'a [u8]),
    /// What stands between values of a request, as it is.
    Plain(&'a str),
    /// The nth field of the record, written in a way.
    Field(usize, How),
}

impl Part<'_> {
    /// Writes the piece, unless it is a field: that needs its text.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Variable => out.extend_from_slice(VARIABLE),
            Self::Text(text) => template_into(text, out),
            Self::Plain(text) => out.extend_from_slice(text.as_bytes()),
            Self::Field(..) => {}
        }
    }
}

/// How the text of a field becomes a piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// As it stands in the line, its variables left out.
    Text,
    /// The same, its escapes undone first.
    Value,
    /// As it is.
    Word,
    /// The shape of a path.
    Path,
    /// The class of a status: `5xx`.
    Class,
}

impl How {
    /// Writes the piece that the text of a field gives.
    pub fn write(self, kind: Kind, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Text => template_into(text, out),
            Self::Value => template_into(&kind.decode(text), out),
            Self::Word => out.extend_from_slice(text),
            Self::Path => path(&kind.decode(text), out),
            Self::Class => match text {
                [class @ b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => {
                    out.extend_from_slice(&[*class, b'x', b'x']);
                }
                other => out.extend_from_slice(other),
            },
        }
    }
}

/// The pattern of an event.
#[must_use]
pub fn pattern(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    pattern_into(&event.line, &event.record, &mut out);
    out
}

/// The pattern of a line as its record describes it, in place of what `out` held.
pub fn pattern_into(line: &[u8], record: &Record, out: &mut Vec<u8>) {
    out.clear();
    parts(line, record, |part| match part {
        Part::Field(index, how) => {
            if let Some(span) = record.fields.get(index) {
                how.write(span.kind, span.text(line), out);
            }
        }
        other => other.write(out),
    });
    cut(out);
}

/// Leaves of the parts of a pattern what belongs to it: the first line that is not blank, as far as there is
/// room.
pub fn cut(pattern: &mut Vec<u8>) {
    let blank = pattern
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    if let Some(end) = memchr::memchr(b'\n', &pattern[blank..]) {
        let end = blank + end;
        let end = end - usize::from(pattern[..end].ends_with(b"\r"));
        pattern.truncate(end);
        pattern.drain(..blank);
    }
    pattern.truncate(MAX_PATTERN);
}

/// The pieces of a line's pattern, in order.
pub fn parts<'l>(line: &'l [u8], record: &Record, mut each: impl FnMut(Part<'l>)) {
    let field = |field: Field| {
        let is = |s: &Span| s.name == Name::Known(field);
        record.fields.iter().position(is)
    };
    if let (Some(status), Some(method), Some(path)) = (
        field(Field::Status),
        field(Field::Method),
        field(Field::Path),
    ) {
        each(Part::Field(method, How::Word));
        each(Part::Plain(" "));
        each(Part::Field(path, How::Path));
        each(Part::Plain(" "));
        return each(Part::Field(status, How::Class));
    }
    let place = &record.message;
    let is_message = |s: &Span| s.start == place.start && s.end == place.end;
    if let Some(own) = record.fields.iter().position(is_message) {
        return each(Part::Field(own, How::Value));
    }
    let whole = 0..line.len();
    let place = place.start as usize..place.end as usize;
    let place = if line.get(place.clone()).is_some() {
        place
    } else {
        whole
    };
    of_text(line, record, place, &mut each);
}

/// The pieces of a message that is text between fields.
fn of_text<'l>(
    line: &'l [u8],
    record: &Record,
    place: Range<usize>,
    each: &mut impl FnMut(Part<'l>),
) {
    let (mut at, mut over) = (place.start, false);
    let mut take = |start: u32, end: u32, part: Part<'l>| {
        let (start, end) = (start as usize, end as usize);
        if start < at || end > place.end || start >= end {
            return;
        }
        if over {
            return;
        }
        if start > at {
            over = text(&line[at..start], each);
        }
        if !over {
            each(part);
        }
        at = end;
    };
    let stamp = &record.time_span;
    let mut stamp_due = stamp.start < stamp.end;
    for (index, span) in record.fields.iter().enumerate() {
        if stamp_due && stamp.start < span.start {
            take(stamp.start, stamp.end, Part::Variable);
            stamp_due = false;
        }
        let part = match is_value(record, span) {
            true => Part::Variable,
            false => Part::Field(index, How::Text),
        };
        take(span.start, span.end, part);
    }
    if stamp_due {
        take(stamp.start, stamp.end, Part::Variable);
    }
    if at < place.end && !over {
        text(&line[at..place.end], each);
    }
}

/// Text between fields, but what is behind its first line; whether there was more. The rows of a template in a store
/// have this text in common, so all of them end here: a line feed in a field is for [`cut`].
fn text<'l>(text: &'l [u8], each: &mut impl FnMut(Part<'l>)) -> bool {
    let blank = text.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let end = memchr::memchr(b'\n', &text[blank..]).map(|end| blank + end);
    each(Part::Text(&text[..end.map_or(text.len(), |end| end + 1)]));
    end.is_some()
}

/// Whether a field names somebody or something, or is a number.
fn is_value(record: &Record, span: &Span) -> bool {
    use Field::{
        Agent, Bytes, Duration, Host, Ident, Ip, Path, Pid, Port, Query, Referer, Request, Thread,
        Upstream, UpstreamDuration, User, Vhost,
    };
    match span.name {
        Name::Known(field) => matches!(
            field,
            Agent
                | Bytes
                | Duration
                | Host
                | Ident
                | Ip
                | Path
                | Pid
                | Port
                | Query
                | Referer
                | Request
                | Thread
                | Upstream
                | UpstreamDuration
                | User
                | Vhost
        ),
        name @ Name::Dynamic(_) => VALUES.contains(&record.name(name)),
    }
}

/// The shape of a path: its first segments, values among them left out.
fn path(text: &[u8], out: &mut Vec<u8>) {
    let Some(rest) = text.strip_prefix(b"/") else {
        return out.extend_from_slice(VARIABLE);
    };
    for (n, segment) in rest.split(|&b| b == b'/').enumerate() {
        out.push(b'/');
        if n == SEGMENTS {
            return out.extend_from_slice(VARIABLE);
        }
        out.extend_from_slice(&shape(segment));
    }
}

/// A segment of a path: itself, or what is left of a value.
fn shape(segment: &[u8]) -> Cow<'_, [u8]> {
    let is_version = matches!(segment, [b'v', digits @ ..] if (1..=2).contains(&digits.len()) && is_number(digits));
    let is_word = segment.len() <= SEGMENT_MAX && !segment.iter().any(u8::is_ascii_digit);
    if is_version || is_word {
        return Cow::Borrowed(segment);
    }
    let mut out = VARIABLE.to_vec();
    let dot = segment.iter().rposition(|&b| b == b'.');
    let extension = dot.and_then(|at| segment.get(at + 1..)).unwrap_or_default();
    if (1..=EXTENSION_MAX).contains(&extension.len())
        && extension.iter().all(u8::is_ascii_alphabetic)
    {
        out.push(b'.');
        out.extend_from_slice(extension);
    }
    Cow::Owned(out)
}

fn is_number(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

/// What is known of events that were counted by their pattern.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The input.
    pub source: &'a str,
    /// The format.
    pub format: &'a str,
    /// The program, if there is one.
    pub app: Option<&'a [u8]>,
    /// How bad they are.
    pub level: Option<Severity>,
    /// The pattern.
    pub pattern: &'a [u8],
}

impl Subject for Counted<'_> {
    fn value(&self, name: &FieldName) -> Option<Cow<'_, [u8]>> {
        let value = match name.kind() {
            FieldKind::Level => self.level?.as_str().as_bytes(),
            FieldKind::Source => self.source.as_bytes(),
            FieldKind::Format => self.format.as_bytes(),
            FieldKind::Pattern => self.pattern,
            FieldKind::Known(Field::App) => self.app?,
            _ => return None,
        };
        Some(Cow::Borrowed(value))
    }

    fn level(&self) -> Option<Severity> {
        self.level
    }

    fn any_text(&self, _: bool, _: impl FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

impl Filter {
    /// Whether it can be decided on [`Counted`] events.
    #[must_use]
    pub fn is_of_patterns(&self) -> bool {
        match self {
            Self::All => true,
            Self::And(list) | Self::Or(list) => list.iter().all(Self::is_of_patterns),
            Self::Not(inner) => inner.is_of_patterns(),
            Self::Text(_) | Self::TextRegex(_) => false,
            Self::Field { name, test } => match name.kind() {
                FieldKind::Source | FieldKind::Format | FieldKind::Pattern => true,
                FieldKind::Known(field) => field == Field::App,
                // A line without severity may have a level as text.
                FieldKind::Level => matches!(test, Test::Levels(_)),
                _ => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use vigie_parsers::{Context, Record, Timestamp, formats};

    use super::pattern_into;

    #[test]
    fn patterns_of_lines() {
        let check = |format: &str, line: &str, expected: &str| {
            let format = formats::find(format).expect("a format");
            let mut cx = Context::new(Timestamp(0), jiff::tz::TimeZone::UTC);
            let mut record = Record::default();
            assert!(
                format.parse(&mut cx, line.as_bytes(), &mut record),
                "{line}"
            );
            let mut out = Vec::new();
            pattern_into(line.as_bytes(), &record, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{line}");
        };
        let request = |method_and_target: &str, status: u16| {
            format!(
                "203.0.113.9 - - [21/Nov/2026:10:00:00 +0000] \"{method_and_target} HTTP/1.1\" {status} 12"
            )
        };
        let shape = |target: &str, expected: &str| {
            check("common", &request(target, 200), &format!("{expected} 2xx"));
        };
        shape("GET /", "GET /");
        shape("GET /a/b.html?x=1", "GET /a/b.html");
        shape("POST /api/v2/orders/4711", "POST /api/v2/orders/<*>");
        shape("GET /img/logo-2x.png", "GET /img/<*>.png");
        shape("GET /a/b/c/d/e/f", "GET /a/b/c/d/<*>");
        shape("GET /%C3%A9t%C3%A9", "GET /<*>");
        check("common", &request("GET /", 503), "GET / 5xx");
        let sshd = "Nov 21 10:00:00 web1 sshd[77]: ";
        check(
            "rfc3164",
            &format!(
                "{sshd}Failed password for invalid user admin from 203.0.113.9 port 51122 ssh2"
            ),
            "Failed password for invalid user <*> from <*> port <*> <*>",
        );
        check(
            "rfc3164",
            "Nov 21 10:00:00 web1 app: done in 12ms.",
            "done in <*>.",
        );
        check(
            "json",
            r#"{"time":"2026-11-21T10:00:00Z","level":"info","msg":"user \"bob\" paid 12"}"#,
            "user \"bob\" paid <*>",
        );
    }

    #[test]
    fn of_several_lines_the_first_counts() {
        let check = |format: &str, line: &str, expected: &str| {
            let format = formats::find(format).expect("a format");
            let mut cx = Context::new(Timestamp(0), jiff::tz::TimeZone::UTC);
            let mut record = Record::default();
            let taken = format.parse(&mut cx, line.as_bytes(), &mut record);
            assert!(taken, "{line}");
            let mut out = Vec::new();
            pattern_into(line.as_bytes(), &record, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{line}");
        };
        let error = "2026-11-21 10:00:00.139 UTC [40] ERROR:  duplicate key value";
        for more in [
            "",
            "\n2026-11-21 10:00:00.139 UTC [40] DETAIL:  Key (id)=(7) already exists.",
            "\n2026-11-21 10:00:00.139 UTC [40] STATEMENT:  INSERT INTO a\n\tVALUES (1)",
        ] {
            check(
                "postgresql",
                &format!("{error}{more}"),
                "duplicate key value",
            );
        }
        check(
            "java",
            "2026-11-21 10:00:00.059 [main] ERROR a.b.Shop - order 7 failed\r\na.b.GoneException: x\r\n\tat a.b.C.d(C.java:1)",
            "order <*> failed",
        );
        check(
            "json",
            r#"{"msg":"order 7 failed\nTraceback (most recent call last):\n  x"}"#,
            "order <*> failed",
        );
        check("raw", "\n  first\nsecond", "first");
        check("raw", "\n \n", "\n \n");
    }
}
