//! `postgresql`: stderr with the default `log_line_prefix` (`%m [%p] `), users and databases welcome.

use super::{Format, Read};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "postgresql",
    about: "PostgreSQL's server log",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(parse),
};

/// `log_destination = csvlog`.
pub(super) const CSV: Format = Format {
    name: "postgresql_csv",
    about: "PostgreSQL's csvlog",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(csv),
};

/// Columns of csvlog by their place; 26 of them since version 14.
const COLUMNS: [Option<&str>; 26] = [
    None,
    Some("user"),
    Some("database"),
    Some("pid"),
    Some("client"),
    Some("session"),
    None,
    Some("command"),
    None,
    None,
    None,
    Some("level"),
    Some("code"),
    None,
    Some("detail"),
    Some("hint"),
    Some("internal_query"),
    None,
    Some("context"),
    Some("statement"),
    None,
    Some("location"),
    Some("app"),
    Some("backend"),
    Some("leader_pid"),
    Some("query_id"),
];

/// `2026-11-21 05:19:12.123 UTC,"alice","shop",12,"192.0.2.1:5123",6aa1.c,3,"INSERT",…,ERROR,23505,"text",…`;
/// with line feeds in it where statements have them.
fn csv(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some(found) = minute::iso(cx, line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    // The name of a zone other than UTC: the source's zone is meant.
    if s.eat(b' ') {
        s.run(|b| b.is_ascii_uppercase() || matches!(b, b'+' | b'-' | b'0'..=b'9'));
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    let mut severity_known = false;
    for (n, name) in COLUMNS.iter().enumerate().skip(1) {
        if !s.eat(b',') {
            break;
        }
        let Some(at) = cell(&mut s) else {
            return false;
        };
        match (n, name) {
            // `[local]` is a Unix socket.
            (4, _) if s.text(at.clone()).starts_with(b"[") => {}
            (4, _) => super::errorlog::address(&s, at.start, at.end, out),
            (11, _) => {
                let Some(found) = severity(s.text(at.clone())) else {
                    return false;
                };
                severity_known = true;
                out.worsen(Some(found));
                out.push(Field::Level, at.start, at.end, Kind::Plain);
            }
            (13, _) => out.set_message(at.start, at.end),
            (_, Some(name)) => out.push_named(&[name.as_bytes()], at, Kind::Plain),
            _ => {}
        }
    }
    severity_known && s.done()
}

/// One cell; quotes within a quoted one are doubled. A cell that is not closed goes on in the next line of
/// the file: so much of it is its value here.
fn cell(s: &mut Scan<'_>) -> Option<std::ops::Range<usize>> {
    if !s.eat(b'"') {
        return Some(s.run(|b| b != b','));
    }
    let start = s.at();
    loop {
        s.run(|b| b != b'"');
        let end = s.at();
        if !s.eat(b'"') {
            return (start < end).then_some(start..end);
        }
        if !s.eat(b'"') {
            return Some(start..end);
        }
    }
}

/// Words of the prefix between the process and the level.
const PREFIX_WORDS_MAX: usize = 4;

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    if line.get(10) != Some(&b' ') {
        return false;
    }
    let Some(found) = minute::iso(cx, line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    // The name of a zone other than UTC: the source's zone is meant.
    let zone = s.run(|b| b.is_ascii_uppercase() || matches!(b, b'+' | b'-' | b'0'..=b'9'));
    if !zone.is_empty() && !s.eat(b' ') {
        return false;
    }
    if !s.eat(b'[') {
        return false;
    }
    let pid = s.digits();
    if s.eat(b'-') {
        s.digits();
    }
    if pid.is_empty() || !s.eat_all(b"] ") {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
    level(s, out)
}

/// The same within syslog: `[5-1] LOG:  text`.
pub(crate) fn message(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    if s.eat(b'[') {
        s.run(|b| b.is_ascii_digit() || b == b'-');
        if !s.eat_all(b"] ") {
            return false;
        }
    }
    level(s, out)
}

/// `user@database LEVEL:  text`, the level within the first words.
fn level(mut s: Scan<'_>, out: &mut Record) -> bool {
    for _ in 0..PREFIX_WORDS_MAX {
        s.spaces();
        let word = s.word();
        let text = s.text(word.clone());
        if let Some(name) = text.strip_suffix(b":")
            && let Some(severity) = severity(name)
        {
            out.push(Field::Level, word.start, word.end - 1, Kind::Plain);
            out.worsen(Some(severity));
            s.spaces();
            out.set_message(s.at(), s.len());
            return true;
        }
        if let Some(at) = memchr::memchr(b'@', text) {
            out.push(Field::User, word.start, word.start + at, Kind::Plain);
            out.push(Field::Database, word.start + at + 1, word.end, Kind::Plain);
        }
    }
    false
}

fn severity(name: &[u8]) -> Option<Severity> {
    Some(match name {
        b"DEBUG" | b"DEBUG1" | b"DEBUG2" | b"DEBUG3" | b"DEBUG4" | b"DEBUG5" => Severity::Debug,
        b"LOG" | b"INFO" | b"DETAIL" | b"HINT" | b"CONTEXT" | b"STATEMENT" | b"QUERY"
        | b"LOCATION" => Severity::Info,
        b"NOTICE" => Severity::Notice,
        b"WARNING" => Severity::Warn,
        b"ERROR" => Severity::Err,
        b"FATAL" => Severity::Crit,
        b"PANIC" => Severity::Emerg,
        _ => return None,
    })
}
