//! `journal`: an entry of systemd's journal as [`crate::journal::LineWriter`] writes it: RFC 5424 with
//! one element of structured data, `journal`, whose parameters keep the names of the journal.

use super::{Format, Read, rfc5424, syslog};
use crate::Context;
use crate::record::{Kind, Record};
use crate::scan::Scan;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "journal",
    about: "entries of systemd's journal, as vigie writes them on a line",
    starts: |b| b == b'<',
    sure: true,
    read: Read::Code(parse),
};

/// What the structured data begins with; RFC 5424 leaves such lines to us.
pub(super) const ELEMENT: &[u8] = b"[journal";

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    let Some(app) = rfc5424::head(cx, &mut s, out) else {
        return false;
    };
    if !is_ours(s.rest()) || !s.eat_all(ELEMENT) || !params(&mut s, out) {
        return false;
    }
    s.eat(b' ');
    out.set_message(s.at(), s.len());
    syslog::inner(cx, s.text(app), s.rest(), s.at(), out);
    true
}

/// Whether the structured data of a line makes it one of a journal.
pub(super) fn is_ours(rest: &[u8]) -> bool {
    let after = rest.strip_prefix(ELEMENT).and_then(<[u8]>::first);
    matches!(after, Some(b' ' | b']'))
}

/// ` NAME="value"` until the bracket.
fn params(s: &mut Scan<'_>, out: &mut Record) -> bool {
    let mut params = 0;
    while !s.eat(b']') {
        if !s.eat(b' ') {
            return false;
        }
        let name = s.run(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if name.is_empty() || !s.eat(b'=') {
            return false;
        }
        let Some(value) = s.quoted() else {
            return false;
        };
        params += 1;
        if params > rfc5424::PARAMS_MAX {
            out.flags.fields_dropped = true;
            continue;
        }
        out.push_named(&[s.text(name)], value, Kind::SdParam);
    }
    true
}
