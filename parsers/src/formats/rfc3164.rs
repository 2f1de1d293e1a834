//! `rfc3164`: BSD syslog and all that calls itself so: `[<PRI>][time] [host] [tag[pid]:] text`.

use super::Format;
use super::syslog::{Pri, pri};
use crate::{Context, Facility, Field, Kind, Record, Severity, record, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "rfc3164",
    about: "BSD syslog: with or without priority, time, host and tag",
    parse,
};

/// The longest tag, as long as RFC 5424's APP-NAME: a longer first word is text.
const TAG_LEN_MAX: usize = 48;
/// The longest host name.
const HOST_LEN_MAX: usize = 255;

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let (mut at, has_pri) = match pri(line, out) {
        Pri::Read(at) => (at, true),
        Pri::Absent => (0, false),
        Pri::Bad => {
            // Something that listens for syslog got it, so it is a message all the same.
            out.flags.bad_pri = true;
            out.message = 0..record::offset(line.len());
            return line.first() == Some(&b'<') && line.get(1).is_some_and(u8::is_ascii_digit);
        }
    };
    while line.get(at) == Some(&b' ') {
        at += 1;
    }
    let stamped = time(cx, line, &mut at, out);
    if !has_pri {
        // A file written by syslogd has no priority, but always a time.
        if !stamped {
            return false;
        }
    } else if matches!(line.get(at), Some(b'{' | b'[')) {
        out.message = record::offset(at)..record::offset(line.len());
        return true;
    }
    if out.severity.is_none() && has_pri {
        out.severity = Some(Severity::Notice);
        out.facility = Facility::from_number(1);
    }
    if stamped {
        host(line, &mut at, out);
    }
    tag(line, &mut at, out);
    at += usize::from(line.get(at) == Some(&b' '));
    out.message = record::offset(at)..record::offset(line.len());
    true
}

/// The time in any of its forms, Cisco's sequence number and clock marks before it included.
fn time(cx: &mut Context, line: &[u8], at: &mut usize, out: &mut Record) -> bool {
    let mut start = *at;
    let rest = line.get(start..).unwrap_or_default();
    // `000123: *Nov 21 …:`: the number is the device's own count.
    let digits = rest
        .iter()
        .take(12)
        .take_while(|c| c.is_ascii_digit())
        .count();
    if digits > 0 && rest.get(digits..digits + 2) == Some(b": ") {
        start += digits + 2;
    }
    start += usize::from(matches!(line.get(start), Some(b'*' | b'.')));
    let text = line.get(start..).unwrap_or_default();
    let stamp = match text.first() {
        Some(c) if c.is_ascii_alphabetic() => stamp::bsd(cx, text),
        Some(c) if c.is_ascii_digit() => stamp::iso(cx, text).or_else(|| stamp::epoch(text)),
        _ => None,
    };
    let Some(stamp) = stamp else { return false };
    let mut end = start + stamp.len;
    if !matches!(line.get(end), None | Some(b' ' | b':')) {
        return false;
    }
    out.time = Some(stamp.time);
    out.flags.time_guessed = stamp.guessed;
    out.time_span = record::offset(start)..record::offset(end);
    end += usize::from(line.get(end) == Some(&b':'));
    end += usize::from(line.get(end) == Some(&b' '));
    *at = end;
    true
}

/// A host is a word of host characters with a space behind, and something that is no tag.
fn host(line: &[u8], at: &mut usize, out: &mut Record) {
    let rest = line.get(*at..).unwrap_or_default();
    let len = rest
        .iter()
        .take(HOST_LEN_MAX + 1)
        .take_while(|&&c| {
            c.is_ascii_alphanumeric()
                || matches!(c, b'.' | b'_' | b'-' | b':' | b'[' | b']' | b'/' | b'@')
        })
        .count();
    let word = rest.get(..len).unwrap_or_default();
    let last_ok = word
        .last()
        .is_some_and(|c| c.is_ascii_alphanumeric() || *c == b']');
    if !last_ok || rest.get(len) != Some(&b' ') || len > HOST_LEN_MAX || is_tag(word) {
        return;
    }
    out.push(Field::Host, *at, *at + len, Kind::Plain);
    *at += len + 1;
}

/// `name[123]`: a tag whose colon is missing, not an address in brackets.
fn is_tag(word: &[u8]) -> bool {
    let open = memchr::memchr(b'[', word);
    open.is_some_and(|at| at > 0 && word.last() == Some(&b']'))
}

/// `name[pid]:` or `name:`; anything else is text.
fn tag(line: &[u8], at: &mut usize, out: &mut Record) {
    let rest = line.get(*at..).unwrap_or_default();
    let end = rest
        .iter()
        .take(TAG_LEN_MAX + 1)
        .position(|&c| matches!(c, b':' | b'[' | b' ') || c < 0x20);
    let Some(end) = end.filter(|&e| e > 0) else {
        return;
    };
    match rest.get(end) {
        Some(b':') => {
            out.push(Field::App, *at, *at + end, Kind::Plain);
            *at += end + 1;
        }
        Some(b'[') => {
            let inside = rest.get(end + 1..).unwrap_or_default();
            let Some(close) = inside.iter().take(32).position(|&c| c == b']') else {
                return;
            };
            let pid = inside.get(..close).unwrap_or_default();
            if pid.contains(&b' ') {
                return;
            }
            out.push(Field::App, *at, *at + end, Kind::Plain);
            if pid.iter().all(u8::is_ascii_digit) {
                out.push(
                    Field::Pid,
                    *at + end + 1,
                    *at + end + 1 + close,
                    Kind::Plain,
                );
            }
            *at += end + 2 + close;
            *at += usize::from(line.get(*at) == Some(&b':'));
        }
        _ => {}
    }
}
