//! Name servers: BIND and dnsmasq.

use super::pairs;
use crate::Context;
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find};

/// `client @0x7f… 192.0.2.1#5312 (example.org): query: example.org IN A +E(0)K (192.0.2.9)`,
/// `zone example.org/IN: loaded serial 3`.
pub(crate) fn named(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    if s.eat_all(b"zone ") {
        let zone = s.run(|b| !matches!(b, b'/' | b':' | b' '));
        pairs::named(out, "zone", zone);
        return true;
    }
    if !s.eat_all(b"client ") {
        return false;
    }
    if s.eat(b'@') {
        s.word();
        s.eat(b' ');
    }
    let ip = s.run(|b| !matches!(b, b'#' | b' '));
    if !s.eat(b'#') {
        return false;
    }
    let port = s.digits();
    out.push(Field::Ip, ip.start, ip.end, Kind::Plain);
    out.push(Field::Port, port.start, port.end, Kind::Plain);
    if let Some(at) = find(s.rest(), b": query: ") {
        s.skip(at + 9);
        let name = s.word();
        pairs::named(out, "dns.name", name);
        s.eat(b' ');
        s.word();
        s.eat(b' ');
        let kind = s.word();
        pairs::named(out, "dns.type", kind);
    }
    true
}

/// `query[A] example.org from 192.0.2.1`, `forwarded example.org to 192.0.2.53`, `reply example.org is
/// 192.0.2.80`; with `log-queries=extra` a number and the client's address stand before.
pub(super) fn dnsmasq(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    let number = s.digits();
    if number.is_empty() {
        s = Scan::new(text);
    } else {
        s.eat(b' ');
        s.word();
        s.eat(b' ');
    }
    if s.rest().starts_with(b"DHCP") {
        return super::dhcp::message(cx, text, out);
    }
    let action = s.run(|b| b.is_ascii_alphabetic());
    let verb = s.text(action.clone());
    let known = matches!(
        verb,
        b"query" | b"forwarded" | b"reply" | b"cached" | b"config" | b"validation"
    );
    if !known {
        return false;
    }
    pairs::named(out, "action", action);
    if s.eat(b'[') {
        let kind = s.run(|b| b != b']');
        pairs::named(out, "dns.type", kind);
        s.eat(b']');
    }
    s.eat(b' ');
    let name = s.word();
    pairs::named(out, "dns.name", name);
    if s.eat_all(b" from ") {
        let ip = s.word();
        out.push(Field::Ip, ip.start, ip.end, Kind::Plain);
    } else if s.eat_all(b" is ") {
        pairs::named(out, "dns.answer", s.at()..s.len());
    } else if s.eat_all(b" to ") {
        let server = s.word();
        out.push(Field::Upstream, server.start, server.end, Kind::Plain);
    }
    true
}
