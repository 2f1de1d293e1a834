//! What sshd says in syslog: who, from where.

use super::{pairs, pam};
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find};
use crate::{Context, Severity};

/// `Accepted publickey for [invalid user] NAME from ADDRESS port N …` and its relatives. The name is
/// what a stranger typed, spaces and all: the address is looked for from the end.
pub(super) fn message(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    if pam::message(cx, text, out) {
        return true;
    }
    let troubled = trouble(text, out);
    // What sshd listens on is no client.
    if text.starts_with(b"Server listening on ") {
        return false;
    }
    // `Connection from ADDRESS port N on ADDRESS port 22`: the first of them.
    let found = match text.starts_with(b"Connection from ") {
        true => find(text, b" port "),
        false => memchr::memmem::rfind(text, b" port "),
    };
    let Some(at) = found else {
        return troubled;
    };
    let head = text.get(..at).unwrap_or_default();
    let ip = memchr::memrchr(b' ', head).map_or(0, |n| n + 1);
    let address = head.get(ip..).unwrap_or_default();
    let valid = std::str::from_utf8(address).is_ok_and(|t| t.parse::<std::net::IpAddr>().is_ok());
    let port = at + 6;
    let tail = text.get(port..).unwrap_or_default();
    let digits = tail.iter().take_while(|b| b.is_ascii_digit()).count();
    if !valid || !(1..=5).contains(&digits) {
        return troubled;
    }
    outcome(text, out);
    let before = text.get(..ip).unwrap_or_default().trim_ascii_end();
    let before = before.strip_suffix(b" from").unwrap_or(before);
    let name = find(before, b"user ")
        .map(|n| n + 5)
        .or_else(|| find(before, b" for ").map(|n| n + 5));
    if let Some(start) = name {
        out.push(Field::User, start, before.len(), Kind::Plain);
    }
    out.push(Field::Ip, ip, at, Kind::Plain);
    out.push(Field::Port, port, port + digits, Kind::Plain);
    true
}

/// What sshd itself calls an error, and logins that were refused. A refused key is none: clients offer all that
/// they have.
fn trouble(text: &[u8], out: &mut Record) -> bool {
    let severity = if text.starts_with(b"error: ") || text.starts_with(b"fatal: ") {
        Severity::Err
    } else if text.starts_with(b"Invalid user ")
        || text.starts_with(b"Failed ") && !text.starts_with(b"Failed publickey ")
    {
        Severity::Warn
    } else {
        return false;
    };
    out.worsen(Some(severity));
    true
}

/// `Accepted` or `Failed`, and what was tried: `publickey`, `password`.
fn outcome(text: &[u8], out: &mut Record) {
    let mut s = Scan::new(text);
    let word = s.word();
    if !matches!(
        s.text(word.clone()),
        b"Accepted" | b"Failed" | b"Invalid" | b"Disconnected"
    ) {
        return;
    }
    let login = matches!(s.text(word.clone()), b"Accepted" | b"Failed");
    pairs::named(out, "action", word);
    s.eat(b' ');
    let method = s.word();
    if login && s.rest().starts_with(b" for ") {
        pairs::named(out, "auth", method);
    }
}
