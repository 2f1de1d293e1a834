//! What a single line looks like to the rules of [`super::event`].

use crate::formats::dotnet;
use crate::formats::postgresql;
use crate::scan::{find, near};

/// `2026-11-21 05:19:12` or with `T` as Spring has it: then a level follows, for with a host it is syslog.
pub(super) fn is_dated(line: &[u8]) -> bool {
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
pub(super) fn is_level(line: &[u8]) -> bool {
    let Some(n) = near(line.get(..9).unwrap_or(line), [b':', b' ']) else {
        return false;
    };
    let (word, rest) = line.split_at_checked(n).unwrap_or_default();
    is_level_word(word)
        && (rest.first() == Some(&b':') || rest.trim_ascii_start().starts_with(b"["))
}

/// Those that only java.util.logging has.
pub(super) fn is_util_level(word: &[u8]) -> bool {
    matches!(word, b"CONFIG" | b"FINE" | b"FINER" | b"FINEST")
}

pub(super) fn is_level_word(word: &[u8]) -> bool {
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

pub(super) fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// `Caused by: …`, `Suppressed: …`, and the exception that stands on a line of its own behind a message.
pub(super) fn is_cause(line: &[u8]) -> bool {
    line.starts_with(b"Caused by: ") || line.starts_with(b"Node.js v") || is_exception(line)
}

/// `Exception in thread "main" …`, `java.lang.IllegalStateException: text`, `TypeError: text`.
pub(super) fn is_thrown(line: &[u8]) -> bool {
    const STARTS: [&[u8]; 4] = [
        b"Exception in thread ",
        b"Uncaught ",
        b"Unhandled exception. ",
        b"Unhandled Exception: ",
    ];
    STARTS.iter().any(|start| line.starts_with(start)) || {
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

/// `fail: Shop.Orders[0]`, as .NET's console logger begins; the text follows, indented.
pub(super) fn is_dotnet(line: &[u8]) -> bool {
    dotnet::level(line).is_some() && line.ends_with(b"]")
}

/// `E, [2026-11-21T05:19:12.123456 #1234] ERROR -- : text`.
pub(super) fn is_ruby_logger(line: &[u8]) -> bool {
    line.get(1..4) == Some(b", [")
        && line
            .get(4..)
            .is_some_and(|l| l.first().is_some_and(u8::is_ascii_digit))
}

/// ``shop.rb:4:in `find'``: a frame without the word before it.
pub(super) fn is_ruby_frame(line: &[u8]) -> bool {
    line.ends_with(b"'") && behind_ruby_place(line).is_some()
}

/// ``shop.rb:4:in `find': order 10 is gone (ArgumentError)``, and its first line if it has several.
pub(super) fn is_ruby_thrown(line: &[u8]) -> bool {
    behind_ruby_place(line).is_some_and(|rest| find(rest, b"': ").is_some())
}

/// What stands behind the place in a Ruby program with which a line begins.
fn behind_ruby_place(line: &[u8]) -> Option<&[u8]> {
    const PATH_LEN_MAX: usize = 200;
    let head = line.get(..PATH_LEN_MAX).unwrap_or(line);
    let end = find(head, b".rb:")?;
    let number = line.get(end + 4..)?;
    let digits = number.iter().take_while(|b| b.is_ascii_digit()).count();
    let path = head.get(..end)?;
    number
        .get(digits..)?
        .strip_prefix(b":in ")
        .filter(|_| digits > 0 && !path.contains(&b' '))
}

/// `E1121 09:46:45.100200    1234 file.go:26] …`: a value may have several lines, indented.
pub(super) fn is_klog(line: &[u8]) -> bool {
    let digits = |d: &[u8]| d.iter().all(u8::is_ascii_digit);
    line.get(1..5).is_some_and(digits) && line.get(5) == Some(&b' ') && line.get(8) == Some(&b':')
}

/// `05:19:12.123 [error] text`.
pub(super) fn is_elixir(line: &[u8]) -> bool {
    line.get(12..14) == Some(b" [")
}

/// What stands in the report of a panic.
pub(super) fn is_go(line: &[u8]) -> bool {
    line.is_empty()
        || is_indented(line)
        || line.ends_with(b")")
        || line.starts_with(b"goroutine ")
        || line.starts_with(b"created by ")
        || line.starts_with(b"[signal ")
        || line.starts_with(b"runtime stack:")
        || line.starts_with(b"exit status ")
}

pub(super) fn odd_quotes(line: &[u8]) -> bool {
    memchr::memchr_iter(b'"', line).count() % 2 == 1
}

/// `… [40] DETAIL:  text` behind `… [40] ERROR:  text` of the same process.
pub(super) fn is_postgresql_detail(first: &[u8], line: &[u8]) -> bool {
    const FURTHER: [&[u8]; 6] = [
        b"DETAIL:  ",
        b"HINT:  ",
        b"CONTEXT:  ",
        b"STATEMENT:  ",
        b"QUERY:  ",
        b"LOCATION:  ",
    ];
    /// Behind the time, the process and what else a prefix has.
    const PREFIX_LEN_MAX: usize = 240;
    let head = line.get(..PREFIX_LEN_MAX).unwrap_or(line);
    FURTHER.iter().any(|word| find(head, word).is_some())
        && postgresql::process(first).is_some_and(|ours| postgresql::process(line) == Some(ours))
}

/// `main.main`, `net/http.(*conn).serve`: no blank, and a point.
pub(super) fn is_function(line: &[u8]) -> bool {
    const LEN_MAX: usize = 256;
    line.len() <= LEN_MAX
        && line.contains(&b'.')
        && line.first().is_some_and(u8::is_ascii_alphabetic)
        && line
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"._/-()*[]{}%~@".contains(b))
}
