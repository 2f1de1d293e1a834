//! Which lines of a file are one event: stack traces, statements of databases, indented text.
//!
//! [`Joining::first`] looks at the beginning of some bytes and says how far the first event reaches, and
//! whether more bytes could make it longer. It keeps nothing between calls: who reads a file stays at the
//! begin of an event until it is whole (or until it has waited long enough), so a restart loses nothing.
//! The text of an event is its lines with the line feeds between them, as they stand in the file.
//!
//! Of lines that a container engine has wrapped the rules look at what is inside. Only lines of the same
//! container and stream belong together.

mod event;
mod line;

use event::Event;

/// Lines of one event. The longest stack traces (recursion until the stack is full) have a thousand.
const LINES_MAX: usize = 1024;
/// Bytes of a written rule.
const PATTERN_LEN_MAX: usize = 200;

/// How lines belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Joining {
    /// Each line is an event.
    #[default]
    Off,
    /// Stack traces of Java, Python, Go, Rust, Node, PHP, Ruby, Elixir and .NET, PostgreSQL's further lines, slow queries of MySQL,
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

#[cfg(test)]
mod tests;
