//! `postgresql`: stderr with any usual `log_line_prefix`, and csvlog.

use super::{Format, Read};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "postgresql",
    about: "PostgreSQL's server log",
    starts: |b| b.is_ascii_digit() || matches!(b, b'<' | b'['),
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

/// Bytes of a line in which the level has to come.
const PREFIX_LEN_MAX: usize = 240;
/// Words of a prefix that are looked at.
const PREFIX_WORDS_MAX: usize = 16;

/// Any `log_line_prefix` that begins with a time (`%m`, `%t`, `%n`, in brackets or not) and has the process; what
/// tells it from other logs is the level with a colon and two blanks behind it, of which what was copied from a
/// page has lost one.
fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some((from, level)) = head(line) else {
        return false;
    };
    let wrapped = usize::from(matches!(line.first(), Some(b'<' | b'[')));
    let text = line.get(wrapped..).unwrap_or_default();
    let Some(found) = minute::iso(cx, text).or_else(|| stamp::epoch(text)) else {
        return false;
    };
    let (time, guessed) = found.resolve(cx);
    let (start, end) = (wrapped, wrapped + found.len);
    // A fraction or an offset may be longer than what was stepped over.
    let from = from.max(end);
    if level.start < from || !prefix(&Scan::from(line, from), level.start, out) {
        return false;
    }
    out.set_time(time, start, end);
    out.flags.time_guessed |= guessed;
    out.worsen(severity(line.get(level.clone()).unwrap_or_default()));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    let blanks = 1 + usize::from(line.get(level.end + 2) == Some(&b' '));
    out.set_message(level.end + 1 + blanks, line.len());
    true
}

/// The process that a line is of, if it has a prefix of PostgreSQL's.
pub(crate) fn process(line: &[u8]) -> Option<&[u8]> {
    let (from, level) = head(line)?;
    let s = Scan::from(line, from);
    let mut words = words(s, level.start);
    let at = words.find_map(|word| pid(&s, &word))?;
    line.get(at)
}

/// Where the prefix goes on behind its time, and the level.
fn head(line: &[u8]) -> Option<(usize, std::ops::Range<usize>)> {
    let wrapped = usize::from(matches!(line.first()?, b'<' | b'['));
    if !line.get(wrapped)?.is_ascii_digit() {
        return None;
    }
    // `2026-11-21 05:19:12` or `1795295412.767`
    let text = line.get(wrapped..)?;
    let dated = text.get(4) == Some(&b'-') && text.get(10) == Some(&b' ');
    let from = match (dated, text.get(10)) {
        (true, _) => wrapped + 19,
        (false, Some(b'.')) => wrapped + 10,
        _ => return None,
    };
    let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
    let head = line.get(..end.min(PREFIX_LEN_MAX)).unwrap_or_default();
    let mut at = from;
    while let Some(n) = memchr::memmem::find(head.get(at..)?, b": ") {
        let colon = at + n;
        let before = head.get(from..colon)?;
        let letters = before
            .iter()
            .rev()
            .take_while(|b| b.is_ascii_alphanumeric());
        let start = colon - letters.count();
        let apart = head.get(colon + 2) == Some(&b' ');
        let behind_pid = head.get(from..start)?.ends_with(b"] ");
        if (apart || behind_pid) && severity(head.get(start..colon)?).is_some() {
            return Some((from, start..colon));
        }
        at = colon + 1;
    }
    None
}

/// The words of a prefix, parted by blanks, commas and colons.
fn words(s: Scan<'_>, end: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<'_> {
    let mut at = s.at();
    let between = |b: u8| matches!(b, b' ' | b',' | b':' | b'>' | b'\t');
    std::iter::from_fn(move || {
        let mut probe = Scan::from(s.line(), at);
        probe.run(between);
        let word = probe.run(|b| !between(b));
        at = word.end.min(end);
        (word.start < end && !word.is_empty()).then(|| word.start..word.end.min(end))
    })
    .take(PREFIX_WORDS_MAX)
}

/// `[12]`, `[12-3]` or a bare number.
fn pid(s: &Scan<'_>, word: &std::ops::Range<usize>) -> Option<std::ops::Range<usize>> {
    let open = usize::from(s.text(word.clone()).first() == Some(&b'['));
    let mut probe = Scan::from(s.line(), word.start + open);
    let at = probe.digits();
    let whole = match (open, probe.peek()) {
        (1, Some(b'-' | b']')) => true,
        (0, _) => at.end == word.end && at.len() > 1,
        _ => false,
    };
    (whole && !at.is_empty()).then_some(at)
}

/// What the words of a prefix say; `false` if none of them is a process.
fn prefix(s: &Scan<'_>, end: usize, out: &mut Record) -> bool {
    let mut known = false;
    for word in words(*s, end) {
        let text = s.text(word.clone());
        // The fraction of the time, its zone.
        if text.first() == Some(&b'.') {
            continue;
        }
        if let Some(at) = pid(s, &word).filter(|_| !known) {
            out.push(Field::Pid, at.start, at.end, Kind::Plain);
            known = true;
        } else if let Some(n) = memchr::memchr(b'=', text) {
            let at = word.start + n + 1..word.end;
            match text.get(..n).unwrap_or_default() {
                b"user" => out.push(Field::User, at.start, at.end, Kind::Plain),
                b"db" | b"database" => out.push(Field::Database, at.start, at.end, Kind::Plain),
                b"app" => out.push(Field::App, at.start, at.end, Kind::Plain),
                b"client" | b"host" if !s.text(at.clone()).starts_with(b"[") => {
                    remote(s, at, out);
                }
                _ => {}
            }
        } else if let Some(n) = memchr::memchr(b'@', text) {
            out.push(Field::User, word.start, word.start + n, Kind::Plain);
            out.push(Field::Database, word.start + n + 1, word.end, Kind::Plain);
        } else if text.ends_with(b")") || text.iter().filter(|&&b| b == b'.').count() == 3 {
            remote(s, word, out);
        } else if known && text.len() == 5 && text != b"00000" && is_sqlstate(text) {
            out.push(Field::Code, word.start, word.end, Kind::Plain);
        }
    }
    known
}

/// `42P01`: digits and capital letters, a digit first.
fn is_sqlstate(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
        && text
            .iter()
            .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

/// `192.0.2.1(5123)` or an address alone.
fn remote(s: &Scan<'_>, at: std::ops::Range<usize>, out: &mut Record) {
    let mut probe = Scan::from(s.line(), at.start);
    let ip = probe.run(|b| b != b'(' && b != b' ' && b != b',');
    let ip = ip.start..ip.end.min(at.end);
    let text = s.text(ip.clone());
    if std::str::from_utf8(text).is_ok_and(|t| t.parse::<std::net::IpAddr>().is_ok()) {
        out.push(Field::Ip, ip.start, ip.end, Kind::Plain);
        if probe.eat(b'(') {
            let port = probe.digits();
            out.push(Field::Port, port.start, port.end, Kind::Plain);
        }
    }
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

/// Words of the prefix within syslog, where the process is syslog's.
const SYSLOG_WORDS_MAX: usize = 4;

/// `user@database LEVEL:  text`, the level within the first words.
fn level(mut s: Scan<'_>, out: &mut Record) -> bool {
    for _ in 0..SYSLOG_WORDS_MAX {
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
