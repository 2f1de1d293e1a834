//! `squid`: Squid's own access log.

use super::{Format, Read, access};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "squid",
    about: "Squid's native access log",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(parse),
};

/// `1795290343.014      3 192.0.2.1 TCP_MISS/200 278 GET http://… user HIER_DIRECT/192.0.2.7 text/html`: time, the
/// milliseconds it took, client, how it was answered, bytes, request, user, where from, type.
fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    // Ten digits and a point: nearly all other lines end here.
    if line.get(10) != Some(&b'.') {
        return false;
    }
    let Some(found) = stamp::epoch(line).filter(|found| found.len == 14) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    let (time, _) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    s.spaces();
    let elapsed = s.digits();
    s.spaces();
    let client = s.word();
    if elapsed.is_empty() || client.is_empty() || !s.eat(b' ') {
        return false;
    }
    out.push(Field::Duration, elapsed.start, elapsed.end, Kind::Millis);
    out.push(Field::Ip, client.start, client.end, Kind::Plain);
    let cache = s.run(|b| b.is_ascii_alphanumeric() || b == b'_');
    if cache.is_empty() || !s.eat(b'/') {
        return false;
    }
    out.push_own("cache", cache, Kind::Plain);
    if access::status(&mut s, out).is_none() {
        return false;
    }
    let bytes = s.digits();
    if bytes.is_empty() || !s.eat(b' ') {
        return false;
    }
    out.push(Field::Bytes, bytes.start, bytes.end, Kind::Plain);
    let method = s.word();
    s.eat(b' ');
    let url = s.word();
    out.push(Field::Method, method.start, method.end, Kind::Plain);
    access::split_target(&s, url, Kind::Plain, out);
    s.eat(b' ');
    let user = s.word();
    if s.text(user.clone()) != b"-" {
        out.push(Field::User, user.start, user.end, Kind::Plain);
    }
    s.eat(b' ');
    let from = s.run(|b| b != b'/' && b != b' ');
    out.push_own("hierarchy", from, Kind::Plain);
    s.eat(b'/');
    let peer = s.word();
    if s.text(peer.clone()) != b"-" {
        out.push(Field::Upstream, peer.start, peer.end, Kind::Plain);
    }
    s.eat(b' ');
    let kind = s.word();
    if s.text(kind.clone()) != b"-" {
        out.push_own("content_type", kind, Kind::Plain);
    }
    out.set_message(0, line.len());
    true
}
