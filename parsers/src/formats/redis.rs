//! `redis`: `pid:role 06 Jan 2024 09:45:34.399 * text`.

use super::{Format, Read};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "redis",
    about: "Redis' and Valkey's server log",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(message),
};

/// The line; within syslog Redis may keep it.
pub(crate) fn message(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    let pid = s.digits();
    if pid.is_empty() || !s.eat(b':') {
        return false;
    }
    let role = s.run(|b| matches!(b, b'M' | b'S' | b'C' | b'X' | b'R'));
    if role.len() != 1 || !s.eat(b' ') {
        return false;
    }
    let Some(found) = stamp::day_first(s.rest()) else {
        return false;
    };
    let start = s.at();
    s.skip(found.len);
    if !s.eat(b' ') {
        return false;
    }
    let severity = match s.peek() {
        Some(b'.' | b'-') => Severity::Debug,
        Some(b'*') => Severity::Notice,
        Some(b'#') => Severity::Warn,
        _ => return false,
    };
    let (time, guessed) = found.resolve(cx);
    out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
    out.push_named(&[b"role"], role, Kind::Plain);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
    out.worsen(Some(severity));
    out.push(Field::Level, s.at(), s.at() + 1, Kind::Plain);
    s.skip(1);
    s.eat(b' ');
    out.set_message(s.at(), s.len());
    true
}
