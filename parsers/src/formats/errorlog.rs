//! The web servers' error logs: `nginx_error` and `apache_error`.

use super::{Format, Read, access};
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find};
use crate::{Context, Severity, stamp};

/// nginx'.
pub(super) const NGINX: Format = Format {
    name: "nginx_error",
    about: "nginx' error log",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(nginx),
};
/// Apache's, of 2.2 and 2.4.
pub(super) const APACHE: Format = Format {
    name: "apache_error",
    about: "Apache's error log",
    starts: |b| b == b'[',
    sure: true,
    read: Read::Code(apache),
};

/// `2026/11/21 05:19:14 [error] 9#9: *79 text, client: …, request: "…"`; nginx cuts it at 2 KiB, so the
/// last quote may be missing.
pub(super) fn nginx(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some(found) = stamp::slashed(line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat_all(b" [") {
        return false;
    }
    let level = s.run(|b| b.is_ascii_lowercase());
    if level.is_empty() || !s.eat_all(b"] ") {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.worsen(Severity::from_word(s.text(level.clone())));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    let pid = s.digits();
    if pid.is_empty() || !s.eat(b'#') {
        return false;
    }
    out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
    s.digits();
    s.eat_all(b": ");
    let mut probe = s;
    if probe.eat(b'*') {
        let connection = probe.digits();
        if probe.eat(b' ') {
            out.push(Field::Thread, connection.start, connection.end, Kind::Plain);
            s = probe;
        }
    }
    out.set_message(s.at(), s.len());
    if let Some(at) = find(s.rest(), b", client: ") {
        s.skip(at);
        tail(s, out);
    }
    true
}

/// `, client: …, server: …, request: "…", upstream: "…", host: "…", referrer: "…"`.
fn tail(mut s: Scan<'_>, out: &mut Record) {
    while s.eat_all(b", ") {
        let key = s.run(|b| b.is_ascii_lowercase());
        if !s.eat_all(b": ") {
            return;
        }
        let at = if s.peek() == Some(b'"') {
            match s.quoted() {
                Some(at) => at,
                None => s.at() + 1..s.len(),
            }
        } else {
            s.run(|b| b != b',')
        };
        match s.text(key) {
            b"client" => out.push(Field::Ip, at.start, at.end, Kind::Plain),
            b"server" => out.push(Field::Vhost, at.start, at.end, Kind::Plain),
            b"request" => access::split_request(&s, at, out),
            b"upstream" => out.push(Field::Upstream, at.start, at.end, Kind::Quoted),
            b"host" => out.push_named(&[b"http", b"host"], at, Kind::Quoted),
            b"referrer" => out.push(Field::Referer, at.start, at.end, Kind::Quoted),
            _ => {}
        }
    }
}

/// `[Sat Nov 21 05:19:21.322096 2026] [core:info] [pid 1:tid 2] [client 192.0.2.1:50128] AH00128: text`.
pub(super) fn apache(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    if !s.eat(b'[') {
        return false;
    }
    let Some(found) = stamp::asctime(s.rest()) else {
        return false;
    };
    s.skip(found.len);
    if !s.eat_all(b"] [") {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 1, 1 + found.len);
    out.flags.time_guessed |= guessed;
    let mut level = s.run(|b| b.is_ascii_alphanumeric() || b == b'_');
    if s.eat(b':') {
        out.push(Field::Module, level.start, level.end, Kind::Plain);
        level = s.run(|b| b.is_ascii_alphanumeric());
    }
    if level.is_empty() || !s.eat_all(b"]") {
        return false;
    }
    let name = s.text(level.clone());
    let trace = name.starts_with(b"trace").then_some(Severity::Debug);
    out.worsen(Severity::from_word(name).or(trace));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    s.eat(b' ');
    if s.eat_all(b"[pid ") {
        let pid = s.digits();
        out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
        if s.eat_all(b":tid ") {
            let thread = s.digits();
            out.push(Field::Thread, thread.start, thread.end, Kind::Plain);
        }
        s.eat_all(b"] ");
    }
    if s.eat_all(b"[client ") {
        let end = s.run(|b| b != b']');
        address(&s, end.start, end.end, out);
        s.eat_all(b"] ");
    }
    let text = s.at();
    if s.eat_all(b"AH") {
        let digits = s.digits();
        if digits.len() == 5 && s.peek() == Some(b':') {
            out.push(Field::Code, text, digits.end, Kind::Plain);
        }
    }
    if let Some(at) = memchr::memmem::rfind(s.rest(), b", referer: ") {
        out.push(Field::Referer, s.at() + at + 11, s.len(), Kind::Quoted);
    }
    out.set_message(text, line.len());
    true
}

/// `ip:port`, cut at the last colon; an address alone where there is no port.
pub(super) fn address(s: &Scan<'_>, start: usize, end: usize, out: &mut Record) {
    let text = s.text(start..end);
    let port = memchr::memrchr(b':', text).filter(|&at| {
        let digits = text.get(at + 1..).unwrap_or_default();
        let v6 = memchr::memchr(b':', text) != Some(at) && text.first() != Some(&b'[');
        // An IPv6 address without brackets: its last group is a port only after a full address.
        let groups = text.iter().filter(|&&b| b == b':').count();
        !digits.is_empty()
            && digits.iter().all(u8::is_ascii_digit)
            && (!v6 || groups == 8 || groups > 2 && digits.len() == 5)
    });
    let cut = port.map_or(end, |at| start + at);
    out.push(Field::Ip, start, cut, Kind::Plain);
    if cut < end {
        out.push(Field::Port, cut + 1, end, Kind::Plain);
    }
}
