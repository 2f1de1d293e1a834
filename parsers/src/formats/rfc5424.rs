//! `rfc5424`: `<PRI>1 TIMESTAMP HOST APP PROCID MSGID [SD] MSG`, tolerant where senders are sloppy.

use super::Format;
use super::syslog::{Pri, pri};
use crate::{Context, Field, Kind, Record, record, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "rfc5424",
    about: "syslog as RFC 5424, with structured data",
    parse,
};

/// More parameters than any sender writes; the rest of the structured data is then message.
const PARAMS_MAX: usize = 256;

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Pri::Read(at) = pri(line, out) else {
        return false;
    };
    header(cx, line, at, out).is_some()
}

/// From the version on; `None` if this is no RFC 5424 header.
fn header(cx: &mut Context, line: &[u8], at: usize, out: &mut Record) -> Option<()> {
    let digits = line
        .get(at..)?
        .iter()
        .take(4)
        .take_while(|c| c.is_ascii_digit())
        .count();
    if !(1..=3).contains(&digits) || line.get(at) == Some(&b'0') {
        return None;
    }
    let mut at = space(line, at + digits)?;
    if line.get(at) == Some(&b'-') {
        at += 1;
    } else {
        let stamp = stamp::iso(cx, line.get(at..)?)?;
        if line.get(at + 10).is_some_and(|c| c | 0x20 != b't') {
            return None;
        }
        out.time = Some(stamp.time);
        out.flags.time_guessed = stamp.guessed;
        out.time_span = record::offset(at)..record::offset(at + stamp.len);
        at += stamp.len;
    }
    for field in [Field::Host, Field::App, Field::Pid, Field::MsgId] {
        let start = space(line, at)?;
        let rest = line.get(start..)?;
        at = start + memchr::memchr(b' ', rest).unwrap_or(rest.len());
        if line.get(start..at)? != b"-" {
            out.push(field, start, at, Kind::Plain);
        }
    }
    let start = space(line, at).unwrap_or(line.len());
    let end = match structured_data(line, start, out) {
        Some(end) => end,
        None => {
            // The header was good: keep it, and take the rest as it is.
            out.flags.degraded = start < line.len();
            out.message = record::offset(start)..record::offset(line.len());
            return Some(());
        }
    };
    out.message = message(line, end);
    Some(())
}

fn space(line: &[u8], at: usize) -> Option<usize> {
    (line.get(at) == Some(&b' ')).then_some(at + 1)
}

/// The message behind the structured data: without the separating space, the space that some
/// senders put in front of every message, and the byte order mark.
fn message(line: &[u8], end: usize) -> std::ops::Range<u32> {
    let mut start = end;
    for _ in 0..2 {
        start += usize::from(line.get(start) == Some(&b' '));
    }
    if line
        .get(start..)
        .is_some_and(|m| m.starts_with(b"\xef\xbb\xbf"))
    {
        start += 3;
    }
    record::offset(start.min(line.len()))..record::offset(line.len())
}

/// `-` or `[id name="value" …]…`; where it ends. The record is left as it was if it is broken.
fn structured_data(line: &[u8], start: usize, out: &mut Record) -> Option<usize> {
    match line.get(start) {
        None => return Some(line.len()),
        Some(b'-') if matches!(line.get(start + 1), None | Some(b' ')) => return Some(start + 1),
        Some(b'[') => {}
        Some(_) => return None,
    }
    let fields = out.fields.len();
    let mut at = start;
    while line.get(at) == Some(&b'[') {
        match element(line, at + 1, out) {
            Some(end) => at = end,
            None => {
                out.fields.truncate(fields);
                return None;
            }
        }
    }
    matches!(line.get(at), None | Some(b' ')).then_some(at)
}

/// One SD-ELEMENT behind its `[`; where the next begins.
fn element(line: &[u8], start: usize, out: &mut Record) -> Option<usize> {
    let name = |from: usize| {
        let rest = line.get(from..)?;
        let len = rest
            .iter()
            .position(|c| matches!(c, b' ' | b']' | b'=' | b'"'))?;
        let text = std::str::from_utf8(rest.get(..len)?).ok()?;
        (len > 0).then_some((text, from + len))
    };
    let (id, mut at) = name(start)?;
    // The part behind `@` is the owner's number, not part of what people type.
    let prefix = format!("sd.{}", id.split('@').next().unwrap_or(id));
    loop {
        while line.get(at) == Some(&b' ') {
            at += 1;
        }
        if line.get(at) == Some(&b']') {
            return Some(at + 1);
        }
        let (key, after) = name(at)?;
        if line.get(after..after + 2) != Some(b"=\"") {
            return None;
        }
        let value = after + 2;
        at = value;
        loop {
            at += memchr::memchr2(b'"', b'\\', line.get(at..)?)?;
            if line.get(at) == Some(&b'"') {
                break;
            }
            at += 2;
        }
        if out.fields.len() < PARAMS_MAX {
            out.push_dynamic(&prefix, key, value..at, Kind::SdParam);
        }
        at += 1;
    }
}
