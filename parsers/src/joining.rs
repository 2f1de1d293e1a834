//! Which lines of a file are one event: stack traces, statements of databases, indented text.
//!
//! [`Joining::first`] looks at the beginning of some bytes and says how far the first event reaches, and
//! whether more bytes could make it longer. It keeps nothing between calls: who reads a file stays at the
//! begin of an event until it is whole (or until it has waited long enough), so a restart loses nothing.
//! The text of an event is its lines with the line feeds between them, as they stand in the file.
//!
//! Of lines that a container engine has wrapped the rules look at what is inside. Only lines of the same
//! container and stream belong together.

use std::borrow::Cow;

use crate::formats::containers::{self, Wrapped};
use crate::scan::{find, near};
use crate::stamp;

/// Lines of one event. The longest stack traces (recursion until the stack is full) have a thousand.
const LINES_MAX: usize = 1024;
/// Bytes of a written rule.
const PATTERN_LEN_MAX: usize = 200;
/// Lines of an exception's own text before its first frame.
const MESSAGE_LINES_MAX: u8 = 16;

/// How lines belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Joining {
    /// Each line is an event.
    #[default]
    Off,
    /// Stack traces of Java, Python, Go and Node, PostgreSQL's further lines, slow queries of MySQL,
    /// indented lines behind a line that begins with a time, and the pieces of a container's long lines. All
    /// other lines stand alone.
    Auto,
    /// A line that begins with a blank goes on what is before it.
    Indented,
    /// An event begins with such a line; all others go on.
    Begins(Pattern),
    /// Such a line goes on what is before it.
    Continues(Pattern),
}

/// The beginning of a line: `#` is a digit, `@` a letter, `?` any byte, `\` takes the meaning from what
/// follows it; everything else is itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Digit,
    Letter,
    Any,
}

/// The first event of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Bytes that its lines take, the line feed of the last one included.
    pub len: usize,
    /// What comes next cannot make it longer: the event is whole.
    pub whole: bool,
}

impl std::str::FromStr for Joining {
    type Err = String;

    /// `off`, `auto`, `indented`, `begins PATTERN` or `continues PATTERN`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => return Ok(Self::Off),
            "auto" => return Ok(Self::Auto),
            "indented" => return Ok(Self::Indented),
            _ => {}
        }
        let (rule, pattern) = text.split_once(' ').unwrap_or((text, ""));
        let rule: fn(Pattern) -> Self = match rule {
            "begins" => Self::Begins,
            "continues" => Self::Continues,
            _ => {
                return Err(format!(
                    "`{text}` is none of off, auto, indented, begins PATTERN, continues PATTERN"
                ));
            }
        };
        if pattern.is_empty() || pattern.len() > PATTERN_LEN_MAX {
            return Err(format!("a pattern has 1 to {PATTERN_LEN_MAX} bytes"));
        }
        Ok(rule(Pattern::new(pattern)))
    }
}

impl std::fmt::Display for Joining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Auto => f.write_str("auto"),
            Self::Indented => f.write_str("indented"),
            Self::Begins(p) => write!(f, "begins {}", p.text),
            Self::Continues(p) => write!(f, "continues {}", p.text),
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            parts.push(match byte {
                b'#' => Part::Digit,
                b'@' => Part::Letter,
                b'?' => Part::Any,
                b'\\' => Part::Byte(match bytes.next() {
                    Some(b't') => b'\t',
                    Some(next) => next,
                    None => b'\\',
                }),
                other => Part::Byte(other),
            });
        }
        Self {
            text: text.to_owned(),
            parts,
        }
    }

    fn matches(&self, line: &[u8]) -> bool {
        line.len() >= self.parts.len()
            && self.parts.iter().zip(line).all(|(part, b)| match part {
                Part::Byte(byte) => byte == b,
                Part::Digit => b.is_ascii_digit(),
                Part::Letter => b.is_ascii_alphabetic(),
                Part::Any => true,
            })
    }
}

impl Joining {
    /// The first event of the bytes, which may end within a line; `None` if not even its first line is
    /// there. An event is no longer than `limit` bytes, unless its first line alone is.
    #[must_use]
    pub fn first(&self, bytes: &[u8], limit: usize) -> Option<First> {
        let mut len = memchr::memchr(b'\n', bytes)? + 1;
        let first = text(bytes.get(..len)?);
        let mut event = Event::new(self, first);
        // What belongs to it for certain; of the lines behind that a later one has to tell.
        let mut sure = len;
        for _ in 1..LINES_MAX {
            if !event.may_go_on() {
                break;
            }
            let rest = bytes.get(len..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', rest) else {
                return Some(First {
                    len: sure,
                    whole: false,
                });
            };
            if len + end > limit || !event.takes(text(rest.get(..=end)?)) {
                break;
            }
            len += end + 1;
            if event.is_sure() {
                sure = len;
            }
        }
        Some(First {
            len: sure,
            whole: true,
        })
    }
}

/// A line without its end.
fn text(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// An event as far as it is read.
struct Event<'a> {
    rule: &'a Joining,
    first: Cow<'a, [u8]>,
    state: State,
    /// The container that it is of.
    of: Option<(containers::Wrapping, &'a [u8])>,
    /// The last line was a piece of one: the next is the same line.
    cut: bool,
}

/// What kind of text the event has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// One line that stands alone.
    Alone,
    /// A line that others may follow.
    Open,
    /// Frames of a stack trace, or other indented lines.
    Frames,
    /// The line of an exception, whose text may have more lines.
    Thrown,
    /// So many such lines: a frame has to follow.
    Message(u8),
    /// The function of a frame of Go: its place has to follow.
    Function,
    /// The time and the class of java.util.logging: the level and the text have to follow.
    Util,
    /// In a traceback of Python: its last line is the exception.
    Traceback,
    /// Behind that: another traceback may follow.
    Raised,
    /// A panic of Go, until something else comes.
    Panic,
    /// A cell of csvlog is open.
    Cell,
    /// Of a slow query only the time is there.
    SlowTime,
    /// A slow query.
    Slow,
}

impl<'a> Event<'a> {
    fn new(rule: &'a Joining, first: &'a [u8]) -> Self {
        let wrapped = match rule {
            Joining::Off => None,
            _ => containers::unwrap(first),
        };
        let (first, of, cut) = match wrapped {
            Some(Wrapped { of, text, ends }) => (text, Some(of), !ends),
            None => (Cow::Borrowed(first), None, false),
        };
        let state = match rule {
            Joining::Off => State::Alone,
            Joining::Auto => opening(&first),
            _ => State::Open,
        };
        Self {
            rule,
            first,
            state,
            of,
            cut,
        }
    }

    fn may_go_on(&self) -> bool {
        self.state != State::Alone || self.cut
    }

    fn is_sure(&self) -> bool {
        !matches!(self.state, State::Message(_) | State::Function)
    }

    /// Whether the line belongs to the event.
    fn takes(&mut self, line: &[u8]) -> bool {
        let Some(of) = self.of else {
            return self.takes_text(line, line);
        };
        match containers::unwrap(line) {
            Some(wrapped) if wrapped.of == of => {
                let goes_on = std::mem::replace(&mut self.cut, !wrapped.ends);
                goes_on || self.takes_text(line, &wrapped.text)
            }
            _ => false,
        }
    }

    /// The same for what is in the line.
    fn takes_text(&mut self, line: &[u8], text: &[u8]) -> bool {
        match self.rule {
            Joining::Off => false,
            Joining::Indented => is_indented(text),
            Joining::Begins(pattern) => !pattern.matches(line) && !pattern.matches(text),
            Joining::Continues(pattern) => pattern.matches(line) || pattern.matches(text),
            Joining::Auto => match self.next(text) {
                Some(state) => {
                    self.state = state;
                    true
                }
                None => false,
            },
        }
    }

    /// The state behind the line; `None` if it begins another event.
    fn next(&self, line: &[u8]) -> Option<State> {
        let state = self.state;
        match state {
            State::Cell => {
                return Some(match odd_quotes(line) {
                    true => State::Alone,
                    false => State::Cell,
                });
            }
            State::SlowTime => return line.starts_with(b"# User@Host:").then_some(State::Slow),
            State::Slow => {
                let other = line.starts_with(b"# Time:") || line.starts_with(b"# User@Host:");
                return (!other).then_some(State::Slow);
            }
            State::Util => {
                let at = near(line.get(..9).unwrap_or(line), [b':'])?;
                let word = line.get(..at)?;
                return (is_level_word(word) || is_util_level(word)).then_some(State::Open);
            }
            State::Function => return line.starts_with(b"\t/").then_some(State::Frames),
            State::Traceback => {
                let goes_on = is_indented(line) || line.is_empty() || line.starts_with(b"> File ");
                return Some(match goes_on {
                    true => State::Traceback,
                    false => State::Raised,
                });
            }
            State::Panic if is_go(line) => return Some(State::Panic),
            _ => {}
        }
        if line.starts_with(b"Traceback (most recent call last)") {
            return Some(State::Traceback);
        }
        if state == State::Raised {
            let chained = line.is_empty()
                || line.starts_with(b"During handling of the above exception")
                || line.starts_with(b"The above exception was the direct cause");
            return chained.then_some(State::Raised);
        }
        if let State::Message(n) = state {
            return message(n, line);
        }
        if is_indented(line) {
            return Some(State::Frames);
        }
        if is_cause(line) {
            return Some(State::Thrown);
        }
        let php = line.starts_with(b"Stack trace:") || line.starts_with(b"#0 ");
        if php || state == State::Frames && line.first() == Some(&b'#') {
            return Some(State::Frames);
        }
        // Behind its frames, Node closes the properties of an error, .NET says where those of another end.
        let closes = state == State::Frames
            && (matches!(line, b"}" | b"]") || line.starts_with(b"--- End of "));
        if closes || is_postgresql_detail(&self.first, line) {
            return Some(state);
        }
        match state {
            State::Thrown => message(0, line),
            State::Open | State::Frames if is_function(line) => Some(State::Function),
            _ => None,
        }
    }
}

/// A line behind that of an exception and `n` more lines of its text: more text, or what comes after it.
fn message(n: u8, line: &[u8]) -> Option<State> {
    let inside = line.trim_ascii_start();
    if inside.len() < line.len() && (inside.starts_with(b"at ") || inside.starts_with(b"... ")) {
        return Some(State::Frames);
    }
    if n > 0 && line.starts_with(b"Caused by: ") {
        return Some(State::Thrown);
    }
    let text = !line.is_empty() && n < MESSAGE_LINES_MAX && opening(line) == State::Alone;
    text.then(|| State::Message(n.saturating_add(1)))
}

/// `main.main`, `net/http.(*conn).serve`: no blank, and a point.
fn is_function(line: &[u8]) -> bool {
    const LEN_MAX: usize = 256;
    line.len() <= LEN_MAX
        && line.contains(&b'.')
        && line.first().is_some_and(u8::is_ascii_alphabetic)
        && line
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"._/-()*[]{}%~@".contains(b))
}

/// What an event that begins so may become.
fn opening(line: &[u8]) -> State {
    match line.first() {
        None | Some(b'{' | b' ' | b'\t') => State::Alone,
        Some(b'#') if line.starts_with(b"# Time:") => State::SlowTime,
        Some(b'#') if line.starts_with(b"# User@Host:") => State::Slow,
        Some(b'T') if line.starts_with(b"Traceback (most recent call last)") => State::Traceback,
        Some(b'p') if line.starts_with(b"panic: ") => State::Panic,
        Some(b'f') if line.starts_with(b"fatal error: ") => State::Panic,
        Some(b'0'..=b'9') if is_dated(line) => match line.get(23..).and_then(|l| near(l, [b','])) {
            // csvlog: `… UTC,` follows the stamp.
            Some(at) if at < 8 && odd_quotes(line) => State::Cell,
            Some(at) if at < 8 => State::Alone,
            _ => State::Open,
        },
        Some(b'[') if line.get(1..).is_some_and(is_dated) => State::Open,
        // PHP.
        Some(b'[') => match line.get(1..).and_then(stamp::dashed) {
            Some(_) => State::Open,
            None => State::Alone,
        },
        // Tomcat, Spark.
        Some(b'0'..=b'9') => {
            let found = stamp::dashed(line).or_else(|| stamp::short_slashed(line));
            let level = found.and_then(|found| line.get(found.len + 1));
            match level.is_some_and(u8::is_ascii_uppercase) {
                true => State::Open,
                false => State::Alone,
            }
        }
        _ if is_thrown(line) => State::Thrown,
        _ if is_level(line) => State::Open,
        _ if stamp::twelve_hours(line).is_some() => State::Util,
        _ => State::Alone,
    }
}

/// `2026-11-21 05:19:12` or with `T` as Spring has it: then a level follows, for with a host it is syslog.
fn is_dated(line: &[u8]) -> bool {
    let digits = |at: usize, n: usize| {
        let piece = line.get(at..at + n);
        piece.is_some_and(|p| p.iter().all(u8::is_ascii_digit))
    };
    let dash = matches!(line.get(4), Some(b'-' | b'/'));
    if !digits(0, 4) || !dash || !digits(5, 2) || !digits(8, 2) {
        return false;
    }
    match line.get(10) {
        Some(b' ') => digits(11, 2) && line.get(13) == Some(&b':'),
        Some(b'T') => {
            /// Of the longest fraction and zone, with a bracket.
            const REST_MAX: usize = 20;
            let rest = line.get(19..).unwrap_or_default();
            let head = rest.get(..REST_MAX).unwrap_or(rest);
            // Elasticsearch's level in brackets behind the time's.
            if find(head, b"][").is_some() {
                return true;
            }
            let mut words = rest.split(|&b| matches!(b, b' ' | b'\t')).skip(1);
            words
                .find(|word| !word.is_empty())
                .is_some_and(is_level_word)
        }
        _ => false,
    }
}

/// `ERROR:root:text`, `INFO:     text`, as Python's logging has it, and Cassandra's `INFO  [main] 2026-11-21 …`.
fn is_level(line: &[u8]) -> bool {
    let Some(n) = near(line.get(..9).unwrap_or(line), [b':', b' ']) else {
        return false;
    };
    let (word, rest) = line.split_at_checked(n).unwrap_or_default();
    is_level_word(word)
        && (rest.first() == Some(&b':') || rest.trim_ascii_start().starts_with(b"["))
}

/// Those that only java.util.logging has.
fn is_util_level(word: &[u8]) -> bool {
    matches!(word, b"CONFIG" | b"FINE" | b"FINER" | b"FINEST")
}

fn is_level_word(word: &[u8]) -> bool {
    const LEVELS: [&[u8]; 9] = [
        b"TRACE",
        b"DEBUG",
        b"INFO",
        b"WARN",
        b"WARNING",
        b"ERROR",
        b"FATAL",
        b"CRITICAL",
        b"SEVERE",
    ];
    LEVELS.contains(&word)
}

fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// `Caused by: …`, `Suppressed: …`, and the exception that stands on a line of its own behind a message.
fn is_cause(line: &[u8]) -> bool {
    line.starts_with(b"Caused by: ") || line.starts_with(b"Node.js v") || is_exception(line)
}

/// `Exception in thread "main" …`, `java.lang.IllegalStateException: text`, `TypeError: text`.
fn is_thrown(line: &[u8]) -> bool {
    line.starts_with(b"Exception in thread ") || line.starts_with(b"Uncaught ") || {
        let name = line
            .split(|b| matches!(b, b':' | b' '))
            .next()
            .unwrap_or_default();
        const ENDS: [&[u8]; 3] = [b"Error", b"Exception", b"Throwable"];
        let known = ENDS.iter().any(|end| name.ends_with(end));
        known
            && name
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"._$".contains(b))
    }
}

/// A name with dots that ends as exceptions do.
fn is_exception(line: &[u8]) -> bool {
    let name = line
        .split(|b| matches!(b, b':' | b' '))
        .next()
        .unwrap_or_default();
    name.contains(&b'.') && is_thrown(name)
}

/// What stands in the report of a panic.
fn is_go(line: &[u8]) -> bool {
    line.is_empty()
        || is_indented(line)
        || line.ends_with(b")")
        || line.starts_with(b"goroutine ")
        || line.starts_with(b"created by ")
        || line.starts_with(b"[signal ")
        || line.starts_with(b"runtime stack:")
        || line.starts_with(b"exit status ")
}

fn odd_quotes(line: &[u8]) -> bool {
    memchr::memchr_iter(b'"', line).count() % 2 == 1
}

/// `… [40] DETAIL:  text` behind `… [40] ERROR:  text` of the same process.
fn is_postgresql_detail(first: &[u8], line: &[u8]) -> bool {
    const FURTHER: [&[u8]; 6] = [
        b"DETAIL: ",
        b"HINT: ",
        b"CONTEXT: ",
        b"STATEMENT: ",
        b"QUERY: ",
        b"LOCATION: ",
    ];
    /// Behind the time, the process and what else a prefix has.
    const PREFIX_LEN_MAX: usize = 160;
    if !is_dated(line) {
        return false;
    }
    let head = line.get(..PREFIX_LEN_MAX).unwrap_or(line);
    let Some(at) = FURTHER.iter().filter_map(|f| find(head, f)).min() else {
        return false;
    };
    let process = |line: &'_ [u8], end: usize| -> Option<(usize, usize)> {
        let head = line.get(..end)?;
        let open = memchr::memchr(b'[', head)?;
        Some((open, open + memchr::memchr(b']', head.get(open..)?)?))
    };
    let ours = process(first, first.len()).and_then(|(a, b)| first.get(a..b));
    let theirs = process(line, at).and_then(|(a, b)| line.get(a..b));
    ours.is_some() && ours == theirs
}

#[cfg(test)]
mod tests;
