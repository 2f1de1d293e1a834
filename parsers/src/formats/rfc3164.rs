//! `rfc3164`: BSD syslog as it is really sent: PRI, time and host may each be there or not.
//!
//! `[<PRI>][seq: ][*|.]TIME[ ZONE][:] [HOST ]TAG[pid]: text`. The rules follow what relays do with it,
//! and where a line is ambiguous the reading that loses no text is taken.

use super::syslog::{self, inner};
use super::{Format, Read, is};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::stamp::{self, Bsd};
use crate::{Context, minute};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "rfc3164",
    about: "BSD syslog (RFC 3164), from the network, from /dev/log and in files",
    starts: |b| b == b'<' || b.is_ascii_alphanumeric(),
    sure: false,
    read: Read::Code(parse),
};

/// A word longer than that is not the tag of a program (the RFC says 32, paths are longer).
const TAG_MAX: usize = 128;
/// RFC 1035's limit for a name.
const HOST_MAX: usize = 255;
/// PRI of a message that has none (RFC 3164 §4.3.3): user.notice.
const PRI_DEFAULT: u8 = 13;

/// Names of zones that may follow a time; only UTC's are unambiguous, with the others the zone stays
/// that of the source.
const ZONES: &[&[u8]] = &[
    b"UTC", b"GMT", b"Z", b"CET", b"CEST", b"EST", b"EDT", b"CST", b"CDT", b"MST", b"MDT", b"PST",
    b"PDT", b"BST", b"IST", b"JST", b"KST", b"MSK", b"WET", b"WEST", b"EET", b"EEST", b"AEST",
    b"AEDT", b"SAST", b"NZST", b"NZDT", b"HKT", b"SGT",
];

/// Lines that syslogd writes about itself, without a tag.
const UNTAGGED: &[&[u8]] = &[
    b"-- MARK --",
    b"last message repeated ",
    b"message repeated ",
];

/// In the name of a host.
const NAME: u8 = 1;
/// In an IPv6 address, beside those.
const ADDRESS: u8 = 2;
/// In a tag: printable, and neither `[` nor `:`.
const TAG: u8 = 4;

/// The classes of each byte, as a table: these are the parser's inner loops.
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    loop {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b'@') {
            table[byte as usize] |= NAME;
        }
        if matches!(byte, b':' | b'[' | b']' | b'%') {
            table[byte as usize] |= ADDRESS;
        }
        if byte > b' ' && !matches!(byte, 0x7f | b'[' | b':') {
            table[byte as usize] |= TAG;
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    match line {
        [b'<', b'0'..=b'9', ..] => with_pri(cx, line, out),
        [b'<', ..] => false,
        _ => in_file(cx, line, out),
    }
}

/// Reads anything that came over a syslog transport, where a line without PRI or time is legal too.
pub(super) fn received(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    if line.first() == Some(&b'<') && with_pri(cx, line, out) {
        return true;
    }
    syslog::set_pri(PRI_DEFAULT, out);
    out.flags.bad_pri = line.first() == Some(&b'<');
    if out.flags.bad_pri {
        out.set_message(0, line.len());
    } else {
        after_pri(cx, Scan::new(line), out);
    }
    true
}

fn with_pri(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    if syslog::pri(&mut s, out) {
        out.flags.degraded = s.rest().starts_with(b"1 ");
        after_pri(cx, s, out);
    } else {
        // No end, or above 191: all of it is the message, so that nothing is lost.
        syslog::set_pri(PRI_DEFAULT, out);
        out.flags.bad_pri = true;
        out.set_message(0, line.len());
    }
    true
}

/// A line of a file claims to be syslog by its time; an ISO time needs a host and a tag behind it,
/// since other programs begin their lines so too.
fn in_file(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    let full = weekday(line);
    if line.first().is_some_and(u8::is_ascii_alphabetic) && !full {
        return time(cx, &mut s, out) && {
            body(cx, s, out);
            true
        };
    }
    // `T` and an offset: what relays write; seconds since 1970 or a weekday: what journalctl does.
    let begins = full && full_time(cx, &mut s, out)
        || matches!(line.get(10), Some(b'T' | b't' | b'.')) && time(cx, &mut s, out);
    if !begins {
        return false;
    }
    let (rest, mark) = (s, out.mark());
    let sure = (full || !out.flags.time_guessed) && !levelled(s.rest());
    let tagged = sure && host(&mut s, out) && tag(&mut s, out).is_some();
    out.rewind(mark);
    if tagged {
        body(cx, rest, out);
    }
    tagged
}

/// `ERROR shop: text`: what stands behind the time is no host. Programs in Rust write so.
fn levelled(text: &[u8]) -> bool {
    let word = text.split(|&b| b == b' ').next().unwrap_or_default();
    word.len() >= 4
        && word.iter().all(u8::is_ascii_uppercase)
        && crate::Severity::from_word(word).is_some()
}

/// `Sat 2026-11-21 05:19:12 UTC` begins so.
fn weekday(line: &[u8]) -> bool {
    matches!(line, [_, _, _, b' ', b'1' | b'2', _, _, _, b'-', ..])
}

/// journalctl's `-o short-full`: the weekday, the time, its zone.
fn full_time(cx: &mut Context, s: &mut Scan<'_>, out: &mut Record) -> bool {
    s.skip(4);
    let Some(found) = stamp::iso(s.rest()) else {
        return false;
    };
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, s.at(), s.at() + found.len);
    out.flags.time_guessed = guessed;
    s.skip(found.len);
    if guessed {
        s.eat(b' ');
        // The name of a zone, which stays that of the source.
        s.run(|b| b.is_ascii_uppercase());
    }
    s.eat(b' ')
}

fn after_pri(cx: &mut Context, mut s: Scan<'_>, out: &mut Record) {
    s.eat(b' ');
    if matches!(s.peek(), Some(b'{' | b'[')) {
        out.set_message(s.at(), s.len());
        inner(cx, b"", s.rest(), s.at(), out);
        return;
    }
    if !time(cx, &mut s, out) {
        numbered(cx, &mut s, out);
    }
    body(cx, s, out);
}

/// What Cisco's devices put before `%FACILITY-5-MNEMONIC:`: one or two counters (`000123: `), their own name
/// if they were told to, and a time, or for how long they have been up.
fn numbered(cx: &mut Context, s: &mut Scan<'_>, out: &mut Record) {
    let mut probe = *s;
    let counted = counter(&mut probe);
    if counted {
        counter(&mut probe);
    }
    if time(cx, &mut probe, out) {
        *s = probe;
        return;
    }
    if !counted {
        return;
    }
    if uptime(&mut probe) || probe.peek() == Some(b'%') {
        *s = probe;
        return;
    }
    let mut named = probe;
    let name = named.run(|b| class(b) & NAME != 0);
    let mark = out.mark();
    if !name.is_empty() && name.len() <= HOST_MAX && named.eat_all(b": ") {
        out.push(Field::Host, name.start, name.end, Kind::Plain);
        if time(cx, &mut named, out) || uptime(&mut named) || named.peek() == Some(b'%') {
            *s = named;
            return;
        }
        out.rewind(mark);
    }
}

/// `000123: `, or the colon alone.
fn counter(s: &mut Scan<'_>) -> bool {
    let mut probe = *s;
    let fits = probe.digits().len() <= 10 && probe.eat(b':');
    if fits && (probe.eat(b' ') || probe.done()) {
        probe.spaces();
        *s = probe;
        return true;
    }
    false
}

/// `00:00:46: `, `3d02h: `, `1y12w: `: since the device began.
fn uptime(s: &mut Scan<'_>) -> bool {
    let mut probe = *s;
    let _ = probe.eat(b'*') || probe.eat(b'.');
    let word = probe.run(|b| b.is_ascii_digit() || is(b, b":ywdhms"));
    let fits = probe.text(word).strip_suffix(b":").is_some_and(|word| {
        let mut parts = word.split(|b| !b.is_ascii_digit());
        let last = word.last().is_some_and(u8::is_ascii_alphabetic);
        let numbers = parts
            .by_ref()
            .filter(|p| (1..=3).contains(&p.len()))
            .count();
        (2..=3).contains(&numbers) && (last || word.contains(&b':'))
    });
    if fits && probe.eat(b' ') {
        *s = probe;
    }
    fits
}

/// The time and what belongs to it; the space behind is stepped over.
fn time(cx: &mut Context, s: &mut Scan<'_>, out: &mut Record) -> bool {
    let mut probe = *s;
    // A clock that is not synchronised, says Cisco.
    let _ = probe.eat(b'*') || probe.eat(b'.');
    let start = probe.at();
    let rest = probe.rest();
    let (mut time, mut guessed, len) = if let Some(found) = minute::bsd(cx, rest) {
        let Some(found) = found else {
            return false;
        };
        found
    } else if let Some(found) = minute::iso(cx, rest)
        .filter(|_| matches!(rest.get(10), Some(b'T' | b't')))
        .or_else(|| stamp::epoch(rest).filter(|e| e.len >= 10))
    {
        let (time, guessed) = found.resolve(cx);
        (time, guessed, found.len)
    } else {
        return false;
    };
    probe.skip(len);
    let mut zone = probe;
    if zone.eat(b' ') {
        let name = zone.run(|b| b.is_ascii_uppercase());
        if ZONES.contains(&zone.text(name.clone())) && (zone.eat(b':') || before_host(zone)) {
            if matches!(zone.text(name), b"UTC" | b"GMT" | b"Z") && guessed {
                (time, guessed) = in_utc(cx, rest).unwrap_or((time, guessed));
            }
            probe = zone;
        }
    }
    let colon = probe.eat(b':');
    if !probe.eat(b' ') && !probe.done() && !colon {
        return false;
    }
    out.set_time(time, start, start + len);
    out.flags.time_guessed = guessed;
    *s = probe;
    true
}

/// Whether a blank, the name of a host and another blank follow; not the tag of a program, nor a year.
fn before_host(mut s: Scan<'_>) -> bool {
    if !s.eat(b' ') {
        return false;
    }
    let name = s.run(|b| class(b) & NAME != 0);
    !name.is_empty() && !s.text(name).iter().all(u8::is_ascii_digit) && s.peek() == Some(b' ')
}

/// The same stamp, read in UTC.
fn in_utc(cx: &Context, text: &[u8]) -> Option<(crate::Timestamp, bool)> {
    let mut utc = Context::new(cx.recv, jiff::tz::TimeZone::UTC);
    match stamp::bsd(text)? {
        Bsd::Full(full) => Some((full.resolve(&mut utc).0, false)),
        // The year is still a guess.
        Bsd::Short(short) => Some((short.resolve(&mut utc)?, true)),
    }
}

/// Host, tag and text. Without a time there is no host either: the first word may be anything.
fn body(cx: &mut Context, mut s: Scan<'_>, out: &mut Record) {
    s.eat(b' ');
    // Some firewalls set the colon apart: `fw1 : %ASA-…`.
    if out.time.is_some() && !untagged(s.rest()) && host(&mut s, out) {
        s.eat_all(b": ");
    }
    let app = if untagged(s.rest()) {
        0..0
    } else {
        tag(&mut s, out).unwrap_or_default()
    };
    out.set_message(s.at(), s.len());
    inner(cx, s.text(app), s.rest(), s.at(), out);
}

fn untagged(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'-' | b'l' | b'm')) && UNTAGGED.iter().any(|m| text.starts_with(m))
}

/// A run of a name's or an address' characters that a space ends; else the run belongs to the tag.
fn host(s: &mut Scan<'_>, out: &mut Record) -> bool {
    let mut probe = *s;
    let mut word = probe.run(|b| class(b) & NAME != 0);
    let mut fits = probe
        .text(word.clone())
        .last()
        .is_some_and(u8::is_ascii_alphanumeric);
    if matches!(probe.peek(), Some(b':' | b'[' | b'%')) {
        word.end = probe.run(|b| class(b) & (NAME | ADDRESS) != 0).end;
        fits = is_ipv6(probe.text(word.clone()));
    }
    if !fits || word.len() > HOST_MAX || !probe.eat(b' ') {
        return false;
    }
    out.push(Field::Host, word.start, word.end, Kind::Plain);
    *s = probe;
    true
}

/// `fe80::1`, `[fe80::1]`, `fe80::1%eth0`: two colons at least, and hexadecimal before a `%`.
fn is_ipv6(text: &[u8]) -> bool {
    let inside = text
        .strip_prefix(b"[")
        .and_then(|t| t.strip_suffix(b"]"))
        .unwrap_or(text);
    let address = inside.split(|&b| b == b'%').next().unwrap_or_default();
    address.iter().filter(|&&b| b == b':').count() >= 2
        && address
            .iter()
            .all(|&b| b.is_ascii_hexdigit() || is(b, b":."))
        && address.last() != Some(&b':')
        || address.ends_with(b"::") && address.len() > 2
}

/// `name[pid]:`, `name:` or `name[pid]`; the place of the name. One space behind it is stepped over.
fn tag(s: &mut Scan<'_>, out: &mut Record) -> Option<std::ops::Range<usize>> {
    let mut probe = *s;
    let name = probe.run(|b| class(b) & TAG != 0);
    if name.is_empty() || name.len() > TAG_MAX {
        return None;
    }
    let mut pid = 0..0;
    if probe.eat(b'[') {
        pid = probe.run(|b| b > b' ' && b != b']');
        if !probe.eat(b']') || pid.len() > TAG_MAX {
            return None;
        }
        probe.eat(b':');
    } else if !probe.eat(b':') {
        return None;
    }
    let first = probe.text(name.clone()).first().copied()?;
    match probe.peek() {
        None | Some(b' ') => {}
        // `app:text` is a tag, `http://…` and `12:30` are text.
        Some(next) => {
            if pid.is_empty() && (!first.is_ascii_alphabetic() || is(next, b"/\\:")) {
                return None;
            }
        }
    }
    out.push(Field::App, name.start, name.end, Kind::Plain);
    out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
    probe.eat(b' ');
    *s = probe;
    Some(name)
}
