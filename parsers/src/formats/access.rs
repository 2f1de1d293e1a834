//! `vhost_combined`, `combined`, `common`: the web servers' access lines, with whatever follows.

use super::Format;
use crate::{Context, Field, Kind, Record, Severity, record, stamp};

/// Debian's Apache: the virtual host and port in front.
pub(super) const VHOST_COMBINED: Format = Format {
    name: "vhost_combined",
    about: "access lines with the virtual host in front, as Debian's Apache writes them",
    parse: |cx, line, out| parse(cx, line, out, true) && has(out, Field::Agent),
};

/// Apache's and nginx's usual.
pub(super) const COMBINED: Format = Format {
    name: "combined",
    about: "access lines of Apache and nginx with referrer and user agent",
    parse: |cx, line, out| parse(cx, line, out, false) && out.fields.iter().any(quoted_tail),
};

/// Without referrer and agent.
pub(super) const COMMON: Format = Format {
    name: "common",
    about: "access lines in the common log format",
    parse: |cx, line, out| parse(cx, line, out, false),
};

fn has(out: &Record, field: Field) -> bool {
    out.fields
        .iter()
        .any(|s| s.name == crate::Name::Known(field))
}

fn quoted_tail(span: &crate::Span) -> bool {
    use crate::Name::Known;
    matches!(span.name, Known(Field::Agent | Field::Referer))
}

fn parse(cx: &mut Context, line: &[u8], out: &mut Record, vhost: bool) -> bool {
    read(cx, line, out, vhost).is_some()
}

fn read(cx: &mut Context, line: &[u8], out: &mut Record, vhost: bool) -> Option<()> {
    let mut at = 0;
    if vhost {
        let end = memchr::memchr(b' ', line)?;
        let colon = memchr::memrchr(b':', line.get(..end)?)?;
        out.push(Field::Vhost, 0, colon, Kind::Plain);
        out.push(Field::Port, colon + 1, end, Kind::Plain);
        at = end + 1;
    }
    let rest = line.get(at..)?;
    let end = at + memchr::memchr(b' ', rest)?;
    let client = line.get(at..end)?;
    if client.is_empty() || client.contains(&b'"') {
        return None;
    }
    out.push(Field::Ip, at, end, Kind::Plain);
    // `ident user [time]`: the user may hold spaces, so look for the bracket.
    let open = end + memchr::memchr(b'[', line.get(end..)?)?;
    identity(line, end + 1, open, out)?;
    let mut start = open + 1;
    start += usize::from(line.get(start) == Some(&b' '));
    let stamp = stamp::clf(cx, line.get(start..)?)?;
    out.time = Some(stamp.time);
    out.flags.time_guessed = stamp.guessed;
    let close = start + stamp.len;
    out.time_span = record::offset(start)..record::offset(close);
    if line.get(close..close + 3)? != b"] \"" {
        return None;
    }
    let request = close + 3;
    let quote = closing_quote(line, request)?;
    split_request(line, request, quote, out);
    let at = numbers(line, quote + 1, out)?;
    tail(line, at, out);
    out.message = 0..record::offset(line.len());
    Some(())
}

fn identity(line: &[u8], start: usize, open: usize, out: &mut Record) -> Option<()> {
    let end = start + memchr::memchr(b' ', line.get(start..open)?)?;
    let user_end = open.checked_sub(1).filter(|&e| e > end)?;
    if line.get(user_end) != Some(&b' ') {
        return None;
    }
    present(line, Field::Ident, start, end, Kind::Plain, out);
    present(line, Field::User, end + 1, user_end, Kind::Quoted, out);
    Some(())
}

/// Adds a value unless it is `-`.
fn present(line: &[u8], field: Field, start: usize, end: usize, kind: Kind, out: &mut Record) {
    if line.get(start..end).is_some_and(|t| t != b"-") {
        out.push(field, start, end, kind);
    }
}

/// The quote that ends a text; one behind a backslash does not.
fn closing_quote(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += memchr::memchr(b'"', line.get(at..)?)?;
        let slashes = line
            .get(start..at)?
            .iter()
            .rev()
            .take_while(|&&c| c == b'\\')
            .count();
        if slashes % 2 == 0 {
            return Some(at);
        }
        at += 1;
    }
}

/// `METHOD target HTTP/x`; anything else is one piece.
fn split_request(line: &[u8], start: usize, end: usize, out: &mut Record) {
    let Some(text) = line.get(start..end) else {
        return;
    };
    let first = memchr::memchr(b' ', text).unwrap_or(0);
    let last = memchr::memrchr(b' ', text).unwrap_or(0);
    let method = text.get(..first).unwrap_or_default();
    let protocol = text.get(last + 1..).unwrap_or_default();
    let sound = first > 0
        && last > first + 1
        && protocol.starts_with(b"HTTP/")
        && method
            .iter()
            .all(|c| c.is_ascii_uppercase() || matches!(c, b'-' | b'_'));
    if !sound {
        present(line, Field::Request, start, end, Kind::Quoted, out);
        return;
    }
    let target = start + first + 1;
    let target_end = start + last;
    let question = memchr::memchr(b'?', line.get(target..target_end).unwrap_or_default());
    let path_end = question.map_or(target_end, |q| target + q);
    out.push(Field::Method, start, start + first, Kind::Plain);
    out.push(Field::Path, target, path_end, Kind::Quoted);
    out.push(Field::Query, path_end + 1, target_end, Kind::Quoted);
    out.push(Field::Protocol, target_end + 1, end, Kind::Plain);
}

/// ` 200 512`; where they end.
fn numbers(line: &[u8], at: usize, out: &mut Record) -> Option<usize> {
    let status = at + 1;
    let digits = line.get(status..status + 3)?;
    if line.get(at) != Some(&b' ') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    out.push(Field::Status, status, status + 3, Kind::Plain);
    out.severity = Some(match digits[0] {
        b'5'.. => Severity::Err,
        b'4' => Severity::Notice,
        _ => Severity::Info,
    });
    let bytes = status + 4;
    if line.get(status + 3) != Some(&b' ') {
        return None;
    }
    let rest = line.get(bytes..)?;
    let len = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let text = rest.get(..len)?;
    if text != b"-" && !(len > 0 && text.iter().all(u8::is_ascii_digit)) {
        return None;
    }
    present(line, Field::Bytes, bytes, bytes + len, Kind::Plain, out);
    Some(bytes + len)
}

/// Referrer, agent, and what a site added: `name=value` pairs, a last number in microseconds.
fn tail(line: &[u8], mut at: usize, out: &mut Record) {
    for field in [Field::Referer, Field::Agent] {
        if line.get(at..at + 2) != Some(b" \"") {
            break;
        }
        // A line cut inside the agent keeps what there is of it.
        let end = closing_quote(line, at + 2).unwrap_or(line.len());
        present(line, field, at + 2, end, Kind::Quoted, out);
        at = end + 1;
    }
    let bare = line.get(at + 1..).unwrap_or_default();
    if !bare.is_empty() && bare.len() < 13 && bare.iter().all(u8::is_ascii_digit) {
        out.push(Field::Duration, at + 1, line.len(), Kind::Micros);
        return;
    }
    while line.get(at) == Some(&b' ') {
        at = pair(line, at + 1, out);
    }
}

/// One `name=value` or `name="value"`; where it ends.
fn pair(line: &[u8], start: usize, out: &mut Record) -> usize {
    let rest = line.get(start..).unwrap_or_default();
    if rest.first() == Some(&b'"') {
        return closing_quote(line, start + 1).map_or(line.len(), |q| q + 1);
    }
    let end = start + memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let name_len = rest
        .iter()
        .take_while(|c| c.is_ascii_alphanumeric() || **c == b'_')
        .count();
    if name_len == 0 || rest.get(name_len) != Some(&b'=') {
        return end;
    }
    let Ok(name) = std::str::from_utf8(rest.get(..name_len).unwrap_or_default()) else {
        return end;
    };
    let mut value = start + name_len + 1;
    let (stop, next) = if line.get(value) == Some(&b'"') {
        value += 1;
        let quote = closing_quote(line, value).unwrap_or(line.len());
        (quote, quote + 1)
    } else {
        (end, end)
    };
    if line.get(value..stop).is_some_and(|v| v != b"-") {
        match name {
            "rt" | "request_time" => out.push(Field::Duration, value, stop, Kind::Plain),
            "urt" | "upstream_response_time" => {
                out.push(Field::UpstreamDuration, value, stop, Kind::Plain);
            }
            _ => out.push_dynamic("", name, value..stop, Kind::Quoted),
        }
    }
    next
}
