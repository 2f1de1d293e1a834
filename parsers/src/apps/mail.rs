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
    let troubled = trouble(&mut s, out);
    let start = s;
    let id = s.run(|b| b.is_ascii_alphanumeric());
    if id.len() < 5 || !s.eat_all(b": ") {
        return client(start, out) || troubled;
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

/// `warning: `, `error: `, `fatal: ` and `panic: ` before a message.
fn trouble(s: &mut Scan<'_>, out: &mut Record) -> bool {
    let mut probe = *s;
    let word = probe.run(|b| b.is_ascii_lowercase());
    let severity = match s.text(word) {
        b"warning" => Severity::Warn,
        b"error" => Severity::Err,
        b"fatal" | b"panic" => Severity::Crit,
        _ => return false,
    };
    if !probe.eat_all(b": ") {
        return false;
    }
    out.worsen(Some(severity));
    *s = probe;
    true
}

/// Whom a message without a queue speaks of: `lost connection after RCPT from name[address]`,
/// `name[address]: SASL LOGIN authentication failed`, `connect to name[address]:25: Connection refused`.
fn client(s: Scan<'_>, out: &mut Record) -> bool {
    /// Words before it.
    const WORDS_MAX: usize = 8;
    let mut probe = s;
    for _ in 0..WORDS_MAX {
        probe.spaces();
        let word = probe.word();
        if word.is_empty() {
            return false;
        }
        let ip = pairs::bracketed(&probe, &word);
        let text = ip.map(|ip| probe.text(ip)).unwrap_or_default();
        if std::str::from_utf8(text).is_ok_and(|t| t.parse::<std::net::IpAddr>().is_ok()) {
            return address(&probe, &word, out);
        }
    }
    false
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

/// `imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<…>`,
/// `imap(alice)<12><session>: text`, `master: Warning: text`.
pub(super) fn dovecot(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    let service = s.run(|b| b.is_ascii_alphanumeric() || b == b'-');
    if service.is_empty() || !matches!(s.peek(), Some(b':' | b'(')) {
        return false;
    }
    out.push(Field::Module, service.start, service.end, Kind::Plain);
    if s.eat(b'(') {
        let user = s.run(|b| !matches!(b, b')' | b','));
        out.push(Field::User, user.start, user.end, Kind::Plain);
        s.run(|b| b != b':');
    }
    s.eat_all(b": ");
    let word = s.run(|b| b.is_ascii_alphabetic());
    if s.peek() == Some(b':') {
        out.worsen(match s.text(word) {
            b"Warning" => Some(Severity::Warn),
            b"Error" => Some(Severity::Err),
            b"Fatal" | b"Panic" => Some(Severity::Crit),
            _ => None,
        });
    }
    let Some(at) = find(s.rest(), b"user=<") else {
        return true;
    };
    let before = s.text(s.at()..s.at() + at);
    if find(before, b"auth failed").is_some() {
        out.worsen(Some(Severity::Warn));
    }
    s.skip(at);
    loop {
        pairs::read(&mut s, b",", out, |key, at, out| match key {
            b"user" => out.push(Field::User, at.start, at.end, Kind::Plain),
            b"rip" => out.push(Field::Ip, at.start, at.end, Kind::Plain),
            b"method" => pairs::named(out, "auth", at),
            b"session" => pairs::named(out, "session", at),
            _ => {}
        });
        // `TLS`, `secured`
        let flag = s.run(|b| b.is_ascii_alphanumeric());
        if flag.is_empty() || s.peek() != Some(b',') {
            return true;
        }
    }
}
