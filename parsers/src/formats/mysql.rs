//! MySQL and MariaDB: `mysql` for the error log, `mysql_slow` for the log of slow queries.

use super::{Format, Read};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute, stamp};

/// The error log.
pub(super) const ERROR: Format = Format {
    name: "mysql",
    about: "error log of MySQL and MariaDB",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(error),
};
/// The log of slow queries.
pub(super) const SLOW: Format = Format {
    name: "mysql_slow",
    about: "slow queries of MySQL and MariaDB: the header lines, and with the lines joined the statement",
    starts: |b| b == b'#',
    sure: true,
    read: Read::Code(slow),
};

/// Header lines of one slow query.
const HEADERS_MAX: usize = 16;

/// `2026-11-21  5:19:12 0 [Note] text`, `2026-11-21T05:19:12.123456Z 0 [System] [MY-010116] [Server] text`.
fn error(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some(found) = minute::iso(cx, line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    let thread = s.digits();
    if thread.is_empty() || !s.eat_all(b" [") {
        return false;
    }
    let level = s.run(|b| b.is_ascii_alphabetic());
    let severity = match s.text(level.clone()) {
        b"Note" | b"System" => Severity::Info,
        b"Warning" => Severity::Warn,
        b"ERROR" | b"Error" => Severity::Err,
        _ => return false,
    };
    if !s.eat(b']') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.push(Field::Thread, thread.start, thread.end, Kind::Plain);
    out.worsen(Some(severity));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    for field in [Field::Code, Field::Module] {
        let mut probe = s;
        if !probe.eat_all(b" [") {
            break;
        }
        let inside = probe.run(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !probe.eat(b']') {
            break;
        }
        out.push(field, inside.start, inside.end, Kind::Plain);
        s = probe;
    }
    s.spaces();
    out.set_message(s.at(), s.len());
    true
}

/// `# Time: …`, `# User@Host: root[root] @ localhost [192.0.2.1]`, `# Query_time: 1.5  Lock_time: …`; then
/// `SET timestamp=1795238352;` and the statement.
fn slow(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut at = 0;
    let mut known = false;
    for _ in 0..HEADERS_MAX {
        let rest = text.get(at..).unwrap_or_default();
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..len).unwrap_or_default();
        if line.starts_with(b"# ") {
            known |= header(cx, line, at, out);
            if !known {
                return false;
            }
        } else if !(line.starts_with(b"SET timestamp=") || line.starts_with(b"use ")) {
            break;
        }
        at += len + 1;
        if at >= text.len() {
            break;
        }
    }
    let start = if at < text.len() { at } else { 0 };
    out.set_message(start, text.len());
    known
}

/// One header line, which begins at `base`.
fn header(cx: &mut Context, line: &[u8], base: usize, out: &mut Record) -> bool {
    let mut s = Scan::from(line, 2);
    if s.eat_all(b"Time: ") {
        let at = s.at();
        let found = minute::iso(cx, s.rest()).or_else(|| stamp::short_date(s.rest()));
        let Some(found) = found.filter(|f| f.len == s.rest().len()) else {
            return false;
        };
        let (time, guessed) = found.resolve(cx);
        out.set_time(time, base + at, base + at + found.len);
        out.flags.time_guessed |= guessed;
        return true;
    }
    if s.eat_all(b"User@Host: ") {
        let user = s.run(|b| b != b'[' && b != b' ');
        out.push(Field::User, base + user.start, base + user.end, Kind::Plain);
        if let Some(at) = crate::scan::find(s.rest(), b" @ ") {
            s.skip(at + 3);
            s.run(|b| b != b'[');
            s.eat(b'[');
            let ip = s.run(|b| b != b']');
            out.push(Field::Ip, base + ip.start, base + ip.end, Kind::Plain);
        }
        return true;
    }
    figures(s, base, out)
}

/// `Query_time: 1.500  Lock_time: 0.000  Rows_sent: 1`.
fn figures(mut s: Scan<'_>, base: usize, out: &mut Record) -> bool {
    let mut any = false;
    while !s.done() {
        s.spaces();
        let key = s.run(|b| b.is_ascii_alphanumeric() || b == b'_');
        if key.is_empty() || !s.eat(b':') {
            break;
        }
        s.spaces();
        let value = s.word();
        let at = base + value.start..base + value.end;
        match s.text(key.clone()) {
            b"Query_time" => out.push(Field::Duration, at.start, at.end, Kind::Plain),
            b"Thread_id" => out.push(Field::Thread, at.start, at.end, Kind::Plain),
            b"Schema" => out.push(Field::Database, at.start, at.end, Kind::Plain),
            b"Lock_time" => out.push_named(&[b"lock_time"], at, Kind::Plain),
            b"Rows_sent" => out.push_named(&[b"rows_sent"], at, Kind::Plain),
            b"Rows_examined" => out.push_named(&[b"rows_examined"], at, Kind::Plain),
            b"Rows_affected" => out.push_named(&[b"rows_affected"], at, Kind::Plain),
            b"Bytes_sent" => out.push(Field::Bytes, at.start, at.end, Kind::Plain),
            b"QC_hit" | b"Full_scan" | b"Full_join" | b"Tmp_table" | b"Filesort" | b"Killed"
            | b"Errno" | b"Id" => {}
            _ => continue,
        }
        any = true;
    }
    any
}
