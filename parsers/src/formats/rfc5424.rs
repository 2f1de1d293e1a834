//! `rfc5424`: `<PRI>1 TIME HOST APP PROCID MSGID [SD] MSG`, read as tolerantly as it is written.

use std::ops::Range;

use super::syslog::{self, inner};
use super::{Format, Read, journal};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, minute, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "rfc5424",
    about: "syslog with structured data (RFC 5424)",
    starts: |b| b == b'<',
    sure: true,
    read: Read::Code(parse),
};

/// Parameters of structured data that get a span; the standard's own examples have three.
pub(super) const PARAMS_MAX: usize = 64;
/// The longest names that the standard allows: host, app, process id, message id.
const NAME_MAX: [usize; 4] = [255, 48, 128, 32];
const NAMES: [Field; 4] = [Field::Host, Field::App, Field::Pid, Field::MsgId];

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    let Some(app) = head(cx, &mut s, out) else {
        return false;
    };
    if journal::is_ours(s.rest()) {
        return false;
    }
    let body = s.at();
    let mark = out.mark();
    if !structured(&mut s, out) {
        out.rewind(mark);
        out.flags.degraded = true;
        s = Scan::from(line, body);
    }
    s.eat(b' ');
    // rsyslog's own template leaves a second space in front of the message.
    s.eat(b' ');
    s.eat_all(b"\xEF\xBB\xBF");
    out.set_message(s.at(), s.len());
    inner(cx, s.text(app), s.rest(), s.at(), out);
    true
}

/// Everything in front of the structured data; where the program's name stands.
pub(super) fn head(cx: &mut Context, s: &mut Scan<'_>, out: &mut Record) -> Option<Range<usize>> {
    if !syslog::pri(s, out) {
        return None;
    }
    let version = s.digits();
    if !(1..=3).contains(&version.len()) || !s.eat(b' ') || !time(cx, s, out) {
        return None;
    }
    let mut app = 0..0;
    for (field, max) in NAMES.into_iter().zip(NAME_MAX) {
        if s.done() {
            return None;
        }
        let word = s.word();
        s.eat(b' ');
        out.flags.degraded |= word.len() > max || word.is_empty();
        if s.text(word.clone()) != b"-" {
            out.push(field, word.start, word.end, Kind::Plain);
            if field == Field::App {
                app = word;
            }
        }
    }
    Some(app)
}

fn time(cx: &mut Context, s: &mut Scan<'_>, out: &mut Record) -> bool {
    if s.eat_all(b"- ") {
        return true;
    }
    // Meraki sends epoch seconds here.
    let Some(found) = minute::iso(cx, s.rest()).or_else(|| stamp::epoch(s.rest())) else {
        return false;
    };
    let start = s.at();
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed = guessed;
    s.skip(found.len);
    s.eat(b' ')
}

/// SD-NAME, less strict: no control, space, `=`, `]`, `"`.
fn in_name(b: u8) -> bool {
    b > b' ' && !matches!(b, b']' | b'=' | b'"')
}

/// `-` or one or more `[id name="value" …]`; the parameters become `sd.id.name`.
fn structured(s: &mut Scan<'_>, out: &mut Record) -> bool {
    if s.eat(b'-') {
        return s.done() || s.peek() == Some(b' ');
    }
    if s.peek() != Some(b'[') {
        // The message alone: `-` forgotten, or nothing at all.
        return s.done();
    }
    let mut params = 0;
    while s.eat(b'[') {
        let id = s.run(in_name);
        if id.is_empty() {
            return false;
        }
        loop {
            s.spaces();
            if s.eat(b']') {
                break;
            }
            let name = s.run(in_name);
            if name.is_empty() || !s.eat(b'=') {
                return false;
            }
            let Some(value) = s.quoted() else {
                return false;
            };
            params += 1;
            if params > PARAMS_MAX {
                out.flags.fields_dropped = true;
                continue;
            }
            let (id, name) = (s.text(id.clone()), s.text(name));
            out.push_named(&[b"sd", id, name], value, Kind::SdParam);
        }
    }
    s.done() || s.peek() == Some(b' ')
}
