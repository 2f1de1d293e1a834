//! Access logs: `common`, `combined`, `vhost_combined` and `werkzeug`, whatever follows them.
//!
//! `[vhost[:port]] ip ident user [time] "request" status bytes ["referer" "agent" …]`. One reader tells
//! the four apart, so that a line is never taken by two of them. Bad requests are data: what is not
//! `METHOD target HTTP/x` becomes the field `request`.

use std::ops::Range;

use super::{Format, Read, ansi, extras};
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, near};
use crate::{Context, Severity, minute};

/// nginx' and Apache's default.
pub(super) const COMBINED: Format = Format {
    name: "combined",
    about: "access log of nginx and Apache with referer and agent, extras welcome",
    starts,
    sure: true,
    read: Read::Code(|cx, line, out| read(cx, line, out) == Some(Shape::Combined)),
};
/// Debian's Apache for other virtual hosts.
pub(super) const VHOST_COMBINED: Format = Format {
    name: "vhost_combined",
    about: "combined with the virtual host and its port in front",
    starts,
    sure: true,
    read: Read::Code(|cx, line, out| read(cx, line, out) == Some(Shape::Vhost)),
};
/// NCSA's original.
pub(super) const COMMON: Format = Format {
    name: "common",
    about: "access log in the Common Log Format, extras welcome",
    starts,
    sure: true,
    read: Read::Code(|cx, line, out| read(cx, line, out) == Some(Shape::Common)),
};
/// Flask's development server.
pub(super) const WERKZEUG: Format = Format {
    name: "werkzeug",
    about: "access log of Flask's and other development servers of Python",
    starts,
    sure: true,
    read: Read::Code(|cx, line, out| read(cx, line, out) == Some(Shape::Werkzeug)),
};

/// More words than that before the time are no access log (a user name may hold spaces).
const HEAD_WORDS_MAX: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Common,
    Combined,
    Vhost,
    Werkzeug,
}

fn starts(first: u8) -> bool {
    first.is_ascii_alphanumeric() || matches!(first, b'-' | b':' | b'[' | b'_' | b'*')
}

/// Any of them, as within a syslog message.
pub(super) fn any(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    read(cx, line, out).is_some()
}

fn read(cx: &mut Context, line: &[u8], out: &mut Record) -> Option<Shape> {
    let mut s = Scan::new(line);
    let vhost = head(&mut s, out)?;
    let start = s.at();
    let found = minute::clf(cx, s.rest())?;
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
    s.skip(found.len);
    if !s.eat_all(b"] ") {
        return None;
    }
    let request = s.quoted()?;
    split_request(&s, request, out);
    if !s.eat(b' ') {
        return None;
    }
    status(&mut s, out)?;
    let bytes = s.digits();
    let dash = bytes.is_empty() && s.eat(b'-');
    if bytes.is_empty() && !dash || !matches!(s.peek(), None | Some(b' ')) {
        return None;
    }
    out.push(Field::Bytes, bytes.start, s.at(), Kind::Plain);
    let browser = referer_and_agent(&mut s, out);
    extras::read(&mut s, out);
    out.set_message(0, line.len());
    Some(match (vhost, browser) {
        (true, _) => Shape::Vhost,
        (false, true) => Shape::Combined,
        (false, false) if line.get(start + 11) == Some(&b' ') => Shape::Werkzeug,
        (false, false) => Shape::Common,
    })
}

/// uvicorn's `192.0.2.1:50123 - "GET / HTTP/1.1" 200 OK`; nothing is left behind if it is not that.
pub(super) fn bare(mut s: Scan<'_>, out: &mut Record) -> bool {
    let start = s.at();
    let client = s.word();
    let ip = without_port(s.text(client.clone()));
    if ip == client.len() || !s.eat_all(b" - ") {
        return false;
    }
    let Some(request) = s.quoted() else {
        return false;
    };
    if !s.eat(b' ') {
        return false;
    }
    let code = s.digits();
    if code.len() != 3 || !matches!(s.peek(), None | Some(b' ')) {
        return false;
    }
    out.push(Field::Ip, start, start + ip, Kind::Plain);
    out.push(Field::Port, start + ip + 1, client.end, Kind::Plain);
    split_request(&s, request, out);
    out.worsen(severity(s.text(code.clone())));
    out.push(Field::Status, code.start, code.end, Kind::Plain);
    true
}

/// The words before `[time`; `true` if the first is a virtual host.
fn head(s: &mut Scan<'_>, out: &mut Record) -> Option<bool> {
    let mut words = [(0usize, 0usize); HEAD_WORDS_MAX];
    let mut n = 0;
    while !(n > 0 && s.peek() == Some(b'[') && stamp_follows(s)) {
        let word = s.until_near(b' ')?;
        *words.get_mut(n)? = (word.start, word.end);
        n += 1;
    }
    s.skip(1);
    let dash = |i: usize| words.get(i).is_some_and(|&(a, b)| s.text(a..b) == b"-");
    // `vhost ip ident user`; a user with a space in it has the ident's dash one place before.
    let vhost = n >= 4 && !dash(1);
    let first = usize::from(vhost);
    if n < first + 2 || !(n == first + 3 || n == 2 || dash(first + 1)) {
        return None;
    }
    if vhost {
        let (start, end) = words[0];
        let cut = start + without_port(s.text(start..end));
        out.push(Field::Vhost, start, cut, Kind::Plain);
    }
    let mut push = |field, start: usize, end: usize| {
        if s.text(start..end) != b"-" {
            out.push(field, start, end, Kind::Plain);
        }
    };
    let (last, ip) = (words.get(n - 1)?.1, words.get(first)?);
    push(Field::Ip, ip.0, ip.1);
    if n > first + 1 {
        let &(start, end) = words.get(first + 1)?;
        let text = s.text(start..end);
        // lighttpd has the host there.
        if !vhost && near(text, [b'.', b':']).is_some() && near(text, [b'@']).is_none() {
            push(Field::Vhost, start, start + without_port(text));
        } else {
            push(Field::Ident, start, end);
        }
    }
    if n > first + 2 {
        push(Field::User, words.get(first + 2)?.0, last);
    }
    Some(vhost)
}

/// `[dd/Mon/` comes next.
fn stamp_follows(s: &Scan<'_>) -> bool {
    matches!(s.rest(), [b'[', a, _, b'/', _, _, _, b'/', ..] if a.is_ascii_digit())
}

/// Method, path, query and protocol; or `request` if it is not those.
#[inline]
pub(super) fn split_request(s: &Scan<'_>, range: Range<usize>, out: &mut Record) {
    split_request_as(s, range, Kind::Quoted, out);
}

/// The same of text that was escaped in that way.
#[inline]
pub(super) fn split_request_as(
    s: &Scan<'_>,
    mut range: Range<usize>,
    kind: Kind,
    out: &mut Record,
) {
    let text = s.text(range.clone());
    if text.first() == Some(&0x1b) {
        range = ansi::inside(text, range.start);
    }
    let text = s.text(range.clone());
    let Some((method, target, protocol)) = request_parts(text) else {
        out.push(Field::Request, range.start, range.end, kind);
        return;
    };
    let base = range.start;
    out.push(Field::Method, base, base + method, Kind::Plain);
    split_target(s, base + target.start..base + target.end, kind, out);
    out.push(Field::Protocol, base + protocol, range.end, Kind::Plain);
}

/// Path and query.
#[inline]
pub(super) fn split_target(s: &Scan<'_>, target: Range<usize>, kind: Kind, out: &mut Record) {
    let path = s.text(target.clone());
    let cut = near(path, [b'?']).map_or(target.end, |at| target.start + at);
    out.push(Field::Path, target.start, cut, kind);
    out.push(Field::Query, cut + 1, target.end.max(cut + 1), kind);
}

/// The length of a host's name without the port behind it.
pub(super) fn without_port(name: &[u8]) -> usize {
    let port = memchr::memrchr(b':', name).filter(|&at| {
        let digits = name.get(at + 1..).unwrap_or_default();
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    });
    port.unwrap_or(name.len())
}

/// The end of the method, the target, and the begin of the protocol.
fn request_parts(text: &[u8]) -> Option<(usize, Range<usize>, usize)> {
    let method = text.iter().position(|&b| !b.is_ascii_uppercase())?;
    if method == 0 || text.get(method) != Some(&b' ') {
        return None;
    }
    // `HTTP/1.1` or `HTTP/2`, seen from the end.
    let is_there = |len: usize| {
        let at = text.len().checked_sub(len)?;
        text.get(at..)?.starts_with(b" HTTP/").then_some(at + 1)
    };
    let protocol = is_there(9).or_else(|| is_there(7))?;
    if protocol < method + 3 {
        return None;
    }
    Some((method, method + 1..protocol - 1, protocol))
}

/// Three digits, or `-`; the severity follows from them.
pub(super) fn status(s: &mut Scan<'_>, out: &mut Record) -> Option<()> {
    if s.eat_all(b"- ") {
        return Some(());
    }
    let code = *s.rest().first_chunk::<3>()?;
    if !code.iter().all(u8::is_ascii_digit) || s.rest().get(3) != Some(&b' ') {
        return None;
    }
    out.push(Field::Status, s.at(), s.at() + 3, Kind::Plain);
    out.worsen(severity(&code));
    s.skip(4);
    Some(())
}

/// A server's failure is an error, a client's is worth a notice.
pub(super) fn severity(status: &[u8]) -> Option<Severity> {
    Some(match status.first()? {
        b'5'..=b'9' => Severity::Err,
        b'4' => Severity::Notice,
        _ => Severity::Info,
    })
}

/// ` "referer" "agent"`; `false` and nothing done if there are no two quoted pieces.
fn referer_and_agent(s: &mut Scan<'_>, out: &mut Record) -> bool {
    let mut probe = *s;
    if !probe.eat_all(b" ") {
        return false;
    }
    let Some(referer) = probe.quoted() else {
        return false;
    };
    if !probe.eat(b' ') {
        return false;
    }
    let Some(agent) = probe.quoted() else {
        return false;
    };
    for (field, at) in [(Field::Referer, referer), (Field::Agent, agent)] {
        if probe.text(at.clone()) != b"-" {
            out.push(field, at.start, at.end, Kind::Quoted);
        }
    }
    *s = probe;
    true
}
