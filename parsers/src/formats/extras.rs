//! What servers are told to add behind the standard fields of an access line.

use crate::record::{Field, Kind, Record};
use crate::scan::Scan;

/// Words behind the agent that are looked at; the rest stays text of the line.
const WORDS_MAX: usize = 32;

/// Names that people give to the two durations in `key=value` extras; in seconds, as nginx has them.
const SECONDS: &[(&[u8], Field)] = &[
    (b"rt", Field::Duration),
    (b"request_time", Field::Duration),
    (b"urt", Field::UpstreamDuration),
    (b"upstream_response_time", Field::UpstreamDuration),
    (b"ua", Field::Upstream),
    (b"upstream", Field::Upstream),
    (b"upstream_addr", Field::Upstream),
];

/// Reads ` key=value`, ` key="value"`, a duration, an id, an address; leaves the unknown alone.
pub(super) fn read(s: &mut Scan<'_>, out: &mut Record) {
    let mut duration = false;
    for _ in 0..WORDS_MAX {
        s.spaces();
        if s.done() {
            return;
        }
        if let Some(text) = s.quoted() {
            quoted(s, text, out);
            continue;
        }
        let mut probe = *s;
        let key = probe.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if !key.is_empty() && probe.eat(b'=') {
            pair(&mut probe, s.text(key), out);
            *s = probe;
            continue;
        }
        let word = s.word();
        if !duration {
            duration = bare(s, word.start, word.end, out);
        }
    }
}

fn pair(s: &mut Scan<'_>, key: &[u8], out: &mut Record) {
    let (value, kind) = match s.quoted() {
        Some(value) => (value, Kind::Quoted),
        None => (s.word(), Kind::Plain),
    };
    if s.text(value.clone()) == b"-" {
        return;
    }
    match SECONDS.iter().find(|(name, _)| *name == key) {
        Some(&(_, field)) => out.push(field, value.start, value.end, kind),
        None => out.push_named(&[key], value, kind),
    }
}

/// The first bare number is how long it took: with a point in seconds (nginx `$request_time`), as an
/// integer in microseconds (Apache `%D`), with `ms` behind it in milliseconds (Traefik).
fn bare(s: &Scan<'_>, start: usize, end: usize, out: &mut Record) -> bool {
    let word = s.text(start..end);
    let digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
    let (kind, len) = match word.get(digits..).unwrap_or_default() {
        _ if digits == 0 => {
            return false;
        }
        b"" => (Kind::Micros, digits),
        b"ms" => (Kind::Millis, digits),
        [b'.', rest @ ..] if !rest.is_empty() && rest.iter().all(u8::is_ascii_digit) => {
            (Kind::Plain, word.len())
        }
        _ => return false,
    };
    out.push(Field::Duration, start, start + len, kind);
    true
}

/// Addresses from `X-Forwarded-For` and request ids; anything else stays text.
fn quoted(s: &Scan<'_>, at: std::ops::Range<usize>, out: &mut Record) {
    let text = s.text(at.clone());
    let hex = |b: &u8| b.is_ascii_hexdigit();
    let first = text.split(|&b| b == b',').next().unwrap_or_default();
    let address = std::str::from_utf8(first)
        .ok()
        .is_some_and(|t| t.trim().parse::<std::net::IpAddr>().is_ok());
    if address {
        out.push_named(&[b"forwarded_for"], at, Kind::Quoted);
    } else if text.len() == 32 && text.iter().all(hex) {
        out.push_named(&[b"request_id"], at, Kind::Quoted);
    }
}
