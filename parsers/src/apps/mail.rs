//! Mail: Postfix' queue lines and Dovecot's logins.

use super::pairs;
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find};
use crate::{Context, Severity};

/// `4F2A1: to=<a@example.org>, relay=mx[192.0.2.1]:25, delay=0.5, dsn=2.0.0, status=sent (250 ok)`,
/// `connect from host[192.0.2.1]`, `NOQUEUE: reject: RCPT from host[192.0.2.1]: 554 …; from=<…> …`.
pub(super) fn postfix(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    if s.eat_all(b"connect from ") || s.eat_all(b"disconnect from ") {
        let client = s.word();
        return address(&s, &client, out);
    }
    let id = s.run(|b| b.is_ascii_alphanumeric());
    if id.len() < 5 || !s.eat_all(b": ") {
        return false;
    }
    pairs::named(out, "queue_id", id);
    let rejects = s.eat_all(b"reject: ") || s.eat_all(b"reject_warning: ");
    if rejects {
        out.worsen(Some(Severity::Notice));
        let Some(at) = find(s.rest(), b" from ") else {
            return true;
        };
        s.skip(at + 6);
        let client = s.run(|b| b != b' ');
        address(&s, &client, out);
        s.eat(b' ');
        let code = s.digits();
        out.push(Field::Code, code.start, code.end, Kind::Plain);
        match memchr::memrchr(b';', s.rest()) {
            Some(at) => s.skip(at + 1),
            None => return true,
        }
    }
    pairs::read(&mut s.clone(), b",", out, |key, at, out| match key {
        b"status" => {
            out.worsen(match s.text(at.clone()) {
                b"deferred" => Some(Severity::Warn),
                b"bounced" | b"expired" => Some(Severity::Err),
                _ => None,
            });
            out.push(Field::Status, at.start, at.end, Kind::Plain);
        }
        b"client" => {
            address(&s, &at, out);
        }
        b"sasl_username" => out.push(Field::User, at.start, at.end, Kind::Plain),
        b"proto" => out.push(Field::Protocol, at.start, at.end, Kind::Plain),
        b"delay" => out.push(Field::Duration, at.start, at.end, Kind::Plain),
        b"from" | b"to" | b"orig_to" | b"relay" | b"dsn" | b"size" | b"nrcpt" | b"helo"
        | b"message-id" | b"delays" | b"sasl_method" => {
            out.push_named(&[key], at, Kind::Plain);
        }
        _ => {}
    });
    true
}

/// `name[address]`: the address; the name where it is known.
fn address(s: &Scan<'_>, at: &std::ops::Range<usize>, out: &mut Record) -> bool {
    let Some(ip) = pairs::bracketed(s, at) else {
        return false;
    };
    let name = at.start..ip.start - 1;
    if s.text(name.clone()) != b"unknown" {
        pairs::named(out, "client", name);
    }
    out.push(Field::Ip, ip.start, ip.end, Kind::Plain);
    true
}

/// `imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS`.
pub(super) fn dovecot(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    let service = s.run(|b| b.is_ascii_alphanumeric() || b == b'-');
    if service.is_empty() || !(s.eat_all(b": ") || s.peek() == Some(b'(')) {
        return false;
    }
    out.push(Field::Module, service.start, service.end, Kind::Plain);
    let Some(at) = find(s.rest(), b"user=<") else {
        return true;
    };
    s.skip(at);
    pairs::read(&mut s, b",", out, |key, at, out| match key {
        b"user" => out.push(Field::User, at.start, at.end, Kind::Plain),
        b"rip" => out.push(Field::Ip, at.start, at.end, Kind::Plain),
        b"method" => pairs::named(out, "auth", at),
        b"session" => pairs::named(out, "session", at),
        _ => {}
    });
    true
}
