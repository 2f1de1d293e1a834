//! DHCP: servers and clients, dnsmasq's too.

use super::pairs;
use crate::Context;
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;

/// Words of one message that are looked at.
const WORDS_MAX: usize = 16;

/// `DHCPACK on 192.0.2.15 to 52:54:00:12:34:56 (name) via eth0`, `DHCPACK(eth0) 192.0.2.15 52:54:…`,
/// `DHCPACK of 192.0.2.15 from 192.0.2.1`.
pub(super) fn message(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    if s.peek().is_some_and(|b| b.is_ascii_digit()) {
        s.word();
        s.eat(b' ');
    }
    if s.eat_all(b"bound to ") {
        let ip = s.word();
        pairs::named(out, "action", ip.start - 9..ip.start - 4);
        out.push(Field::Ip, ip.start, ip.end, Kind::Plain);
        return true;
    }
    let action = s.run(|b| b.is_ascii_uppercase());
    let name = s.text(action.clone());
    if name.len() < 7 || !name.starts_with(b"DHCP") {
        return false;
    }
    pairs::named(out, "action", action);
    if s.eat(b'(') {
        let interface = s.run(|b| b != b')');
        pairs::named(out, "interface", interface);
        s.eat(b')');
    }
    let (mut ip, mut mac) = (false, false);
    for _ in 0..WORDS_MAX {
        s.spaces();
        let word = s.word();
        let text = s.text(word.clone());
        if word.is_empty() {
            break;
        }
        if !mac && is_mac(text) {
            pairs::named(out, "mac", word);
            mac = true;
        } else if !ip && is_address(text) {
            out.push(Field::Ip, word.start, word.end, Kind::Plain);
            ip = true;
        } else if text == b"on" {
            // A client: on its interface, and to whom it speaks is no lease.
            let mut probe = s;
            probe.spaces();
            let next = probe.word();
            if !is_address(s.text(next.clone())) {
                pairs::named(out, "interface", next);
                break;
            }
        } else if text == b"via" {
            s.spaces();
            let interface = s.run(|b| !matches!(b, b' ' | b':'));
            pairs::named(out, "interface", interface);
            break;
        }
        // What follows speaks of the lease, or of why there is none.
        if text.ends_with(b",") {
            break;
        }
    }
    true
}

fn is_address(text: &[u8]) -> bool {
    let digit = text.first().is_some_and(u8::is_ascii_hexdigit);
    digit && std::str::from_utf8(text).is_ok_and(|t| t.parse::<std::net::IpAddr>().is_ok())
}

fn is_mac(text: &[u8]) -> bool {
    text.len() == 17
        && text.iter().enumerate().all(|(n, b)| match n % 3 {
            2 => *b == b':',
            _ => b.is_ascii_hexdigit(),
        })
}
