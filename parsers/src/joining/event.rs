//! An event line by line: what kind of text it has become, and whether the next line belongs to it.

use std::borrow::Cow;

use super::Joining;
use super::line::{
    is_cause, is_dated, is_dotnet, is_elixir, is_function, is_go, is_indented, is_klog, is_level,
    is_level_word, is_postgresql_detail, is_ruby_frame, is_ruby_logger, is_ruby_thrown, is_thrown,
    is_util_level, odd_quotes,
};
use crate::formats::containers::{self, Wrapped};
use crate::formats::postgresql;
use crate::scan::{find, near};
use crate::stamp;

/// Lines of an exception's own text before its first frame.
const MESSAGE_LINES_MAX: u8 = 16;

/// An event as far as it is read.
pub(super) struct Event<'a> {
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
    /// The head of a panic of Rust: its message follows.
    RustHead,
    /// Behind that: frames and a note.
    Rust,
    /// The line of Ruby's logger, or of an exception: its text may have more lines.
    Ruby,
    /// Behind the frames of PHP: an exception that followed from this one may come.
    Php,
    /// An empty line behind those: it has to come.
    PhpGap,
    /// A report of Elixir's, to the empty line behind it.
    Elixir,
    /// A cell of csvlog is open.
    Cell,
    /// Of a slow query only the time is there.
    SlowTime,
    /// A slow query.
    Slow,
}

impl<'a> Event<'a> {
    pub(super) fn new(rule: &'a Joining, first: &'a [u8]) -> Self {
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

    pub(super) fn may_go_on(&self) -> bool {
        self.state != State::Alone || self.cut
    }

    pub(super) fn is_sure(&self) -> bool {
        !matches!(
            self.state,
            State::Message(_) | State::Function | State::PhpGap
        )
    }

    /// Whether the line belongs to the event.
    pub(super) fn takes(&mut self, line: &[u8]) -> bool {
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
            State::RustHead => return Some(State::Rust),
            State::Rust => {
                let goes_on = is_indented(line)
                    || line.starts_with(b"stack backtrace:")
                    || line.starts_with(b"note: ");
                return goes_on.then_some(State::Rust);
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
            State::Ruby | State::Frames if self.goes_on_in_ruby(line) => {
                return Some(State::Frames);
            }
            State::Php if line.is_empty() => return Some(State::PhpGap),
            State::PhpGap => return line.starts_with(b"Next ").then_some(State::Php),
            State::Elixir => return (!line.is_empty()).then_some(State::Elixir),
            State::Open if is_elixir(&self.first) && line.starts_with(b"** (") => {
                return Some(State::Elixir);
            }
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
            return Some(match state {
                State::Php => State::Php,
                _ => State::Frames,
            });
        }
        if is_cause(line) {
            return Some(State::Thrown);
        }
        let php = line.starts_with(b"Stack trace:")
            || line.starts_with(b"#0 ")
            || line.starts_with(b"PHP Stack trace:")
            || line.starts_with(b"PHP   ");
        if php || state == State::Php && line.first() == Some(&b'#') {
            return Some(State::Php);
        }
        // Behind its frames, Node closes the properties of an error, .NET says where those of another end.
        let closes = state == State::Frames
            && (matches!(line, b"}" | b"]") || line.starts_with(b"--- End of "));
        if closes || is_postgresql_detail(&self.first, line) {
            return Some(state);
        }
        match state {
            State::Thrown | State::Ruby => message(0, line),
            State::Open | State::Frames if is_function(line) => Some(State::Function),
            _ => None,
        }
    }
}

impl Event<'_> {
    /// A frame; behind those of an event that the logger began also the exception that it came from. (Without such a line a
    /// program that is started again and again would make one event of all its ends.)
    fn goes_on_in_ruby(&self, line: &[u8]) -> bool {
        let caused = self.state == State::Frames && is_ruby_logger(&self.first);
        is_ruby_frame(line) || caused && is_ruby_thrown(line)
    }
}

/// A line behind that of an exception and `n` more lines of its text: more text, or what comes after it.
fn message(n: u8, line: &[u8]) -> Option<State> {
    let inside = line.trim_ascii_start();
    let frame = [&b"at "[..], b"... ", b"from "];
    if inside.len() < line.len() && frame.iter().any(|word| inside.starts_with(word)) {
        return Some(State::Frames);
    }
    if n > 0 && line.starts_with(b"Caused by: ") {
        return Some(State::Thrown);
    }
    let text = !line.is_empty() && n < MESSAGE_LINES_MAX && opening(line) == State::Alone;
    text.then(|| State::Message(n.saturating_add(1)))
}

/// What an event that begins so may become.
fn opening(line: &[u8]) -> State {
    match line.first() {
        None | Some(b'{' | b' ' | b'\t') => State::Alone,
        Some(b'#') if line.starts_with(b"# Time:") => State::SlowTime,
        Some(b'#') if line.starts_with(b"# User@Host:") => State::Slow,
        Some(b't') if line.starts_with(b"thread '") && find(line, b" panicked at ").is_some() => {
            match find(line, b" panicked at '").is_some() {
                // Rust 1.72 and before have the message here.
                true => State::Rust,
                false => State::RustHead,
            }
        }
        Some(b'I' | b'W' | b'E' | b'F') if is_klog(line) => State::Open,
        Some(b'P') if line.starts_with(b"PHP ") => State::Open,
        Some(b'F') if line.starts_with(b"Fatal error: Uncaught ") => State::Open,
        Some(b'D' | b'I' | b'W' | b'E' | b'F' | b'A') if is_ruby_logger(line) => State::Ruby,
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
        Some(b'<') if line.get(1..).is_some_and(is_dated) => State::Open,
        Some(b'0'..=b'9') if postgresql::process(line).is_some() => State::Open,
        // PHP.
        Some(b'[') => match line.get(1..).and_then(stamp::dashed) {
            Some(_) => State::Open,
            None => State::Alone,
        },
        // Tomcat, Spark.
        Some(b'0'..=b'9') => {
            let found = stamp::dashed(line).or_else(|| stamp::short_slashed(line));
            let len = found.map(|found| found.len + 1);
            let level = len
                .or_else(|| stamp::time_of_day(line))
                .and_then(|n| line.get(n));
            match level.is_some_and(|b| b.is_ascii_uppercase() || *b == b'[') {
                true => State::Open,
                false => State::Alone,
            }
        }
        _ if is_thrown(line) => State::Thrown,
        _ if is_level(line) => State::Open,
        _ if is_dotnet(line) => State::Open,
        _ if stamp::twelve_hours(line).is_some() => State::Util,
        _ if is_ruby_thrown(line) => State::Ruby,
        _ => State::Alone,
    }
}
