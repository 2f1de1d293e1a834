//! `keepalived`: changes of VRRP state, within syslog or on a console with C's time in front.

use super::{Format, Read};
use crate::record::{Kind, Record};
use crate::scan::{Scan, find};
use crate::{Context, Severity, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "keepalived",
    about: "keepalived on a console: time, then what became of a VRRP instance",
    starts: |b| b.is_ascii_uppercase(),
    sure: true,
    read: Read::Code(parse),
};

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some(found) = stamp::asctime(line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat_all(b": ") {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.set_message(s.at(), s.len());
    out.within(s.at(), |out| message(cx, s.rest(), out));
    true
}

/// Names the instance and its new state, or the script; keepalived itself logs all of it as info.
pub(crate) fn message(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    let script = s.eat_all(b"VRRP_Script") || s.eat_all(b"Script ");
    if !script {
        s.eat_all(b"VRRP_Instance");
    }
    let name = if s.eat(b'(') {
        s.until_near(b')')
    } else if s.eat(b'`') {
        s.until_near(b'`')
    } else {
        None
    };
    let Some(name) = name else {
        return false;
    };
    if script {
        out.push_named(&[b"vrrp", b"script"], name, Kind::Plain);
        return true;
    }
    out.push_named(&[b"vrrp", b"instance"], name, Kind::Plain);
    let entering = find(s.rest(), b"Entering ").or_else(|| find(s.rest(), b"entering "));
    if let Some(at) = entering {
        s.skip(at + 9);
        let state = s.run(|b| b.is_ascii_uppercase());
        if matches!(s.rest(), [b' ', b'S' | b's', b'T' | b't', ..]) {
            let fault = s.text(state.clone()) == b"FAULT";
            out.worsen(Some(if fault {
                Severity::Err
            } else {
                Severity::Notice
            }));
            out.push_named(&[b"vrrp", b"state"], state, Kind::Plain);
        }
    }
    true
}
