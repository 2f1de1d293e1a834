//! `python`: the logging module of Python's, Flask, gunicorn, uvicorn, Celery and Loguru.

use super::iso::level_among;
use super::{Format, Read, access};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "python",
    about: "Python's logging module, Flask, gunicorn, uvicorn and Loguru",
    starts: |b| b.is_ascii_digit() || b.is_ascii_uppercase() || b == b'[',
    sure: false,
    read: Read::Code(parse),
};

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    if line.first().is_some_and(u8::is_ascii_uppercase) {
        return level_first(s, out);
    }
    // uvicorn under gunicorn has no time.
    if line.first().is_some_and(u8::is_ascii_digit) && access::bare(s, out) {
        out.set_message(0, line.len());
        return true;
    }
    let bracket = s.eat(b'[');
    let Some(found) = minute::iso(cx, s.rest()) else {
        return false;
    };
    let start = s.at();
    let comma = s.text(start..start + found.len).contains(&b',');
    s.skip(found.len);
    let loguru = !bracket && s.rest().starts_with(b" | ");
    if bracket && comma && s.eat_all(b": ") {
        let (time, guessed) = found.resolve(cx);
        out.set_time(time, start, start + found.len);
        out.flags.time_guessed |= guessed;
        return celery(s, out);
    }
    if bracket && !s.eat(b']') || !bracket && !comma && !loguru || !s.eat(b' ') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
    if loguru {
        return self::loguru(s, out);
    }
    // gunicorn: `[pid] [LEVEL] text`.
    let mut probe = s;
    if bracket && probe.eat(b'[') {
        let pid = probe.digits();
        if probe.eat_all(b"] ") {
            out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
            s = probe;
        }
    }
    level_among(s, out) || bracket && comma
}

/// `INFO/MainProcess] text`.
fn celery(mut s: Scan<'_>, out: &mut Record) -> bool {
    let level = s.run(|b| b.is_ascii_uppercase());
    let severity = Severity::from_word(s.text(level.clone()));
    if severity.is_none() || !s.eat(b'/') {
        return false;
    }
    let process = s.run(|b| b != b']');
    if !s.eat_all(b"] ") {
        return false;
    }
    out.worsen(severity);
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    out.push(Field::Thread, process.start, process.end, Kind::Plain);
    out.set_message(s.at(), s.len());
    true
}

/// `| INFO     | name:function:line - text`.
fn loguru(mut s: Scan<'_>, out: &mut Record) -> bool {
    s.eat_all(b"| ");
    let level = s.word();
    let severity = match s.text(level.clone()) {
        b"SUCCESS" => Some(Severity::Info),
        word => Severity::from_word(word),
    };
    s.spaces();
    if severity.is_none() || !s.eat_all(b"| ") {
        return false;
    }
    let place = s.word();
    let name = s.text(place.clone()).split(|&b| b == b':').next();
    let name = name.unwrap_or_default().len();
    if name == place.len() || !s.eat_all(b" - ") {
        return false;
    }
    out.worsen(severity);
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    out.push(Field::Module, place.start, place.start + name, Kind::Plain);
    out.set_message(s.at(), s.len());
    true
}

/// `LEVEL:name:text`, `INFO:     text`.
fn level_first(mut s: Scan<'_>, out: &mut Record) -> bool {
    let level = s.run(|b| b.is_ascii_uppercase());
    let known = matches!(
        s.text(level.clone()),
        b"DEBUG" | b"INFO" | b"WARNING" | b"ERROR" | b"CRITICAL"
    );
    if !known || !s.eat(b':') {
        return false;
    }
    out.worsen(Severity::from_word(s.text(level.clone())));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    let mut probe = s;
    let name = probe.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'));
    if !name.is_empty() && probe.eat(b':') {
        out.push(Field::Module, name.start, name.end, Kind::Plain);
        s = probe;
    }
    s.spaces();
    out.set_message(s.at(), s.len());
    access::bare(s, out);
    true
}
