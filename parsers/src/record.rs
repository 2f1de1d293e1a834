//! What a parser says about one line: spans, and the few things that are not in it as text.

use std::borrow::Cow;
use std::ops::Range;

use crate::names::Names;
use crate::{Facility, Severity, Timestamp};

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A field whose name is known beforehand: the vocabulary of the log query.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field { $($(#[$doc])* $variant,)* }

        impl Field {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in queries, columns and JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The field of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

fields! {
    /// syslog's `<PRI>` number, without the brackets.
    Pri = "pri",
    /// The machine the line speaks of.
    Host = "host",
    /// The program.
    App = "app",
    /// Its process.
    Pid = "pid",
    /// RFC 5424's MSGID.
    MsgId = "msgid",
    /// The level as the program wrote it.
    Level = "level",
    /// The thread, or the server's own number for a connection.
    Thread = "thread",
    /// The part of the program that speaks.
    Module = "module",
    /// The virtual host or server name.
    Vhost = "vhost",
    /// The client's address.
    Ip = "ip",
    /// The client's port.
    Port = "port",
    /// RFC 1413's identity.
    Ident = "ident",
    /// The authenticated user.
    User = "user",
    /// The request method.
    Method = "method",
    /// The path of the request, without the query.
    Path = "path",
    /// The query string, without the `?`.
    Query = "query",
    /// The protocol, as `HTTP/1.1`.
    Protocol = "protocol",
    /// A request line that is not `METHOD target HTTP/x`.
    Request = "request",
    /// The status code.
    Status = "status",
    /// The size of the answer.
    Bytes = "bytes",
    /// The page that linked here.
    Referer = "referer",
    /// The client's own name for itself.
    Agent = "agent",
    /// How long the request took, in seconds when read through [`Record::value`].
    Duration = "duration",
    /// How long the server behind took, in seconds.
    UpstreamDuration = "upstream_duration",
    /// The server behind.
    Upstream = "upstream",
    /// HAProxy's front end.
    Frontend = "frontend",
    /// HAProxy's back end.
    Backend = "backend",
    /// HAProxy's server.
    Server = "server",
    /// HAProxy's termination state.
    Termination = "termination",
    /// The stream of a container: `stdout` or `stderr`.
    Stream = "stream",
    /// A container's name in front of a line of `docker compose logs`.
    Container = "container",
    /// The database.
    Database = "database",
    /// An SQLSTATE or a program's own error code.
    Code = "code",
}

/// The name of a span: a known field, or one that the line itself brought (a JSON key, an SD-PARAM).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// A field of the vocabulary.
    Known(Field),
    /// The nth name of [`Record::names`].
    Dynamic(u16),
}

/// How the text of a span stands for its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// As it is.
    #[default]
    Plain,
    /// With the web servers' backslash escapes: `\"`, `\\`, `\n`, `\xHH`.
    Quoted,
    /// The inside of a JSON string.
    Json,
    /// An RFC 5424 PARAM-VALUE: `\"`, `\\`, `\]`.
    SdParam,
    /// Milliseconds; the value is in seconds.
    Millis,
    /// Microseconds; the value is in seconds.
    Micros,
    /// Nanoseconds; the value is in seconds.
    Nanos,
}

/// A piece of a line that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Whose value it is.
    pub name: Name,
    /// How to read it.
    pub kind: Kind,
}

/// Pieces of one line: above what any format brings, and small enough that looking through those before
/// one costs nothing. Clients and attackers can repeat a key thousands of times in a line.
const SPANS_MAX: usize = 512;

/// What happened on the way, beside the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The line was longer than the limit and was cut.
    pub truncated: bool,
    /// The `<PRI>` is missing its end or above 191.
    pub bad_pri: bool,
    /// A structured header began and then failed; the line was read as something simpler.
    pub degraded: bool,
    /// The year or the zone of the time stamp is a guess.
    pub time_guessed: bool,
    /// The line has more fields than the limit; the rest of them has no span.
    pub fields_dropped: bool,
}

/// One line, described. Reused from line to line: [`Record::clear`] keeps the buffers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When it happened, if the line says.
    pub time: Option<Timestamp>,
    /// Where the line says so; empty if it does not. No field lies inside.
    pub time_span: Range<u32>,
    /// How bad it is, said or derived (a 5xx answer is an error).
    pub severity: Option<Severity>,
    /// syslog's facility.
    pub facility: Option<Facility>,
    /// The text that people read. It may hold fields, or be the whole line.
    pub message: Range<u32>,
    /// Named pieces, in the order of the line, never overlapping, none inside `time_span`.
    pub fields: Vec<Span>,
    /// What happened on the way.
    pub flags: Flags,
    names: Names,
    /// Where the piece that is being read begins in the line: a line within a line.
    base: usize,
}

/// A state of a [`Record`] to go back to when a reading fails midway.
pub(crate) struct Mark {
    time: Option<Timestamp>,
    time_span: Range<u32>,
    severity: Option<Severity>,
    facility: Option<Facility>,
    message: Range<u32>,
    flags: Flags,
    fields: usize,
    names: usize,
}

impl Record {
    /// Forgets the last line and keeps the buffers.
    #[inline]
    pub fn clear(&mut self) {
        self.time = None;
        self.time_span = 0..0;
        self.severity = None;
        self.facility = None;
        self.message = 0..0;
        self.fields.clear();
        self.flags = Flags::default();
        self.names.clear();
        self.base = 0;
    }

    /// Adds a named piece behind the last one; an empty piece is left out.
    #[inline]
    pub fn push(&mut self, field: Field, start: usize, end: usize, kind: Kind) {
        self.push_span(Name::Known(field), start, end, kind);
    }

    /// Adds a piece whose name the line brought, `prefix` and `key` joined by a dot.
    pub fn push_dynamic(&mut self, prefix: &str, key: &str, at: Range<usize>, kind: Kind) {
        self.push_named(&[prefix.as_bytes(), key.as_bytes()], at, kind);
    }

    /// Adds a piece under a name of several parts, joined by dots; a name of the vocabulary becomes
    /// that field. What is not UTF-8 in a name is replaced.
    pub(crate) fn push_named(&mut self, parts: &[&[u8]], at: Range<usize>, kind: Kind) {
        if at.is_empty() {
            return;
        }
        let Ok(index) = u16::try_from(self.names.len()) else {
            self.flags.fields_dropped = true;
            return;
        };
        if !self.names.again(parts) {
            // No name of the vocabulary has a dot in it.
            if let [key] | [b"", key] = parts
                && let Some(known) = std::str::from_utf8(key).ok().and_then(Field::from_name)
            {
                return self.push(known, at.start, at.end, kind);
            }
            self.names.push(parts);
        }
        self.push_span(Name::Dynamic(index), at.start, at.end, kind);
    }

    /// Adds a piece under a name that a parser gives, which is none of the vocabulary.
    #[inline]
    pub(crate) fn push_own(&mut self, name: &'static str, at: Range<usize>, kind: Kind) {
        debug_assert!(Field::from_name(name).is_none(), "{name} has a field");
        if at.is_empty() {
            return;
        }
        let Ok(index) = u16::try_from(self.names.len()) else {
            self.flags.fields_dropped = true;
            return;
        };
        if !self.names.again(&[name.as_bytes()]) {
            self.names.push_own(name);
        }
        self.push_span(Name::Dynamic(index), at.start, at.end, kind);
    }

    /// Gives the first piece of that name another one, of several parts: a better one has come.
    pub(crate) fn rename(&mut self, field: Field, parts: &[&[u8]]) {
        let from = Name::Known(field);
        let Ok(index) = u16::try_from(self.names.len()) else {
            return;
        };
        if let Some(span) = self.fields.iter_mut().find(|s| s.name == from) {
            if !self.names.again(parts) {
                self.names.push(parts);
            }
            span.name = Name::Dynamic(index);
        }
    }

    #[inline]
    fn push_span(&mut self, name: Name, start: usize, end: usize, kind: Kind) {
        if start >= end {
            return;
        }
        if self.fields.len() >= SPANS_MAX {
            self.flags.fields_dropped = true;
        } else {
            self.fields.push(Span {
                start: offset(start.wrapping_add(self.base)),
                end: offset(end.wrapping_add(self.base)),
                name,
                kind,
            });
        }
    }

    /// The time and its place, unless an outer line has said it already.
    #[inline]
    pub(crate) fn set_time(&mut self, time: Timestamp, start: usize, end: usize) {
        if self.time.is_none() {
            self.time = Some(time);
            self.time_span = offset(start + self.base)..offset(end + self.base);
        }
    }

    /// The text that people read.
    #[inline]
    pub(crate) fn set_message(&mut self, start: usize, end: usize) {
        self.message = offset(start + self.base)..offset(end + self.base);
    }

    /// A severity that was found: the worse of this one and what was known.
    pub(crate) fn worsen(&mut self, found: Option<Severity>) {
        self.severity = match (self.severity, found) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Reads a line within the line, from `at` on; leaves no trace if that fails.
    pub(crate) fn within(&mut self, at: usize, read: impl FnOnce(&mut Self) -> bool) -> bool {
        let mark = self.mark();
        let done = self.inside(at, read);
        if !done {
            self.rewind(mark);
        }
        done
    }

    /// As [`Record::within`], but what a failed reading leaves behind stays.
    #[inline]
    pub(crate) fn inside(&mut self, at: usize, read: impl FnOnce(&mut Self) -> bool) -> bool {
        let base = self.base;
        self.base += at;
        let done = read(self);
        self.base = base;
        done
    }

    /// Takes back what a reading within the message has said of message, time and flags.
    #[inline]
    pub(crate) fn keep_header(&mut self, mark: Mark) {
        self.time = mark.time;
        self.time_span = mark.time_span;
        self.message = mark.message;
        self.flags = mark.flags;
    }

    /// The state as it is now.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            time: self.time,
            time_span: self.time_span.clone(),
            severity: self.severity,
            facility: self.facility,
            message: self.message.clone(),
            flags: self.flags,
            fields: self.fields.len(),
            names: self.names.len(),
        }
    }

    /// Back to that state.
    #[inline]
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.time = mark.time;
        self.time_span = mark.time_span;
        self.severity = mark.severity;
        self.facility = mark.facility;
        self.message = mark.message;
        self.flags = mark.flags;
        self.fields.truncate(mark.fields);
        self.names.truncate(mark.names);
    }

    /// The name of a span of this record.
    #[must_use]
    pub fn name(&self, name: Name) -> &str {
        match name {
            Name::Known(field) => field.as_str(),
            Name::Dynamic(index) => self.names.get(usize::from(index)),
        }
    }

    /// Whether the line brought names of its own.
    #[must_use]
    pub fn has_dynamic_names(&self) -> bool {
        self.names.len() > 0
    }

    /// The first span of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Span> {
        match Field::from_name(name) {
            Some(field) => self.fields.iter().find(|s| s.name == Name::Known(field)),
            None => self.fields.iter().find(|s| self.name(s.name) == name),
        }
    }
}

impl Span {
    /// The bytes of the line that this span covers.
    #[must_use]
    pub fn text<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// The value: the text with its escapes undone and durations in seconds.
    #[must_use]
    pub fn value<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        self.kind.decode(self.text(line))
    }
}

/// Lines are cut far below 4 GiB, so an offset always fits.
#[inline]
pub(crate) fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Kind {
    /// Undoes what the writer of the line did to a value.
    #[must_use]
    pub fn decode(self, text: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Plain => Cow::Borrowed(text),
            Self::Quoted | Self::Json | Self::SdParam => crate::escape::undo(self, text),
            Self::Millis => scaled(text, 1e3),
            Self::Micros => scaled(text, 1e6),
            Self::Nanos => scaled(text, 1e9),
        }
    }
}

/// A number divided, as decimal text; other text stays as it is.
fn scaled(text: &[u8], divisor: f64) -> Cow<'_, [u8]> {
    match std::str::from_utf8(text)
        .ok()
        .and_then(|t| t.parse::<f64>().ok())
    {
        Some(n) => Cow::Owned((n / divisor).to_string().into_bytes()),
        None => Cow::Borrowed(text),
    }
}
