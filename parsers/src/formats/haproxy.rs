//! `haproxy`: its HTTP and TCP lines; within syslog also what it says of its servers.

use super::{Format, Read, access, errorlog};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "haproxy",
    about: "HAProxy's HTTP and TCP log without a syslog header, and what it says on a console",
    starts: |b| b.is_ascii_hexdigit() || matches!(b, b':' | b'['),
    sure: true,
    read: Read::Code(line),
};

/// Any message of HAProxy.
pub(crate) fn message(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    traffic(cx, text, out) || state(text, out)
}

fn line(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    if line.first() == Some(&b'[') && out.within(0, |out| console(line, out)) {
        return true;
    }
    traffic(cx, line, out)
}

/// `[WARNING]  (1234) : Server app/s1 is DOWN, reason: …`.
fn console(line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::from(line, 1);
    let level = s.run(|b| b.is_ascii_uppercase());
    let Some(severity) = Severity::from_word(s.text(level.clone())) else {
        return false;
    };
    if !s.eat(b']') {
        return false;
    }
    s.spaces();
    if !s.eat(b'(') {
        return false;
    }
    let pid = s.digits();
    if pid.is_empty() || !s.eat_all(b") : ") {
        return false;
    }
    out.worsen(Some(severity));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
    out.set_message(s.at(), s.len());
    out.within(s.at(), |out| state(s.rest(), out));
    true
}

/// `ip:port [time] frontend backend/server timers …`.
fn traffic(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mark = out.mark();
    let done = read(cx, line, out).is_some();
    if !done {
        out.rewind(mark);
    }
    done
}

fn read(cx: &mut Context, line: &[u8], out: &mut Record) -> Option<()> {
    let mut s = Scan::new(line);
    let client = s.until_near(b' ')?;
    if !s.eat(b'[') {
        return None;
    }
    let found = minute::clf(cx, s.rest())?;
    errorlog::address(&s, client.start, client.end, out);
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, s.at(), s.at() + found.len);
    out.flags.time_guessed |= guessed;
    s.skip(found.len);
    if !s.eat_all(b"] ") {
        return None;
    }
    let front = s.until_near(b' ')?;
    // `~` marks a front end that speaks TLS.
    let tls = usize::from(s.text(front.clone()).ends_with(b"~"));
    out.push(Field::Frontend, front.start, front.end - tls, Kind::Plain);
    let back = s.until_near(b'/')?;
    out.push(Field::Backend, back.start, back.end, Kind::Plain);
    let server = s.until_near(b' ')?;
    if s.text(server.clone()).first() != Some(&b'<') {
        out.push(Field::Server, server.start, server.end, Kind::Plain);
    }
    let timers = timers(&mut s, out)?;
    if timers == 5 {
        access::status(&mut s, out)?;
    }
    s.eat(b'+');
    let bytes = s.digits();
    out.push(Field::Bytes, bytes.start, bytes.end, Kind::Plain);
    if !s.eat(b' ') {
        return None;
    }
    if timers == 5 {
        // The two captured cookies.
        s.until_near(b' ')?;
        s.until_near(b' ')?;
    }
    let state = s.word();
    out.push(Field::Termination, state.start, state.end, Kind::Plain);
    if let Some(at) = memchr::memchr(b'"', s.rest()) {
        s.skip(at);
        let request = s.quoted().unwrap_or(s.at() + 1..s.len());
        access::split_request(&s, request, out);
    }
    out.set_message(0, line.len());
    Some(())
}

/// `TR/Tw/Tc/Tr/Ta` or, of TCP, `Tw/Tc/Tt`; -1 where a phase was not reached, `+` before the last when
/// the line was written early. Returns how many they are.
fn timers(s: &mut Scan<'_>, out: &mut Record) -> Option<usize> {
    let mut places = [(0, 0); 5];
    let mut n = 0;
    loop {
        let _ = s.eat(b'+') || s.eat(b'-');
        let digits = s.digits();
        let minus = digits.start > 0 && s.text(digits.start - 1..digits.start) == b"-";
        if digits.is_empty() {
            return None;
        }
        *places.get_mut(n)? = (if minus { digits.end } else { digits.start }, digits.end);
        n += 1;
        if s.eat(b' ') {
            break;
        }
        if !s.eat(b'/') {
            return None;
        }
    }
    if n == 5 {
        out.push(
            Field::UpstreamDuration,
            places[3].0,
            places[3].1,
            Kind::Millis,
        );
    }
    let (start, end) = *places.get(n.checked_sub(1)?)?;
    out.push(Field::Duration, start, end, Kind::Millis);
    (n == 5 || n == 3).then_some(n)
}

/// `Server app/s1 is DOWN, reason: …`.
fn state(text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    if !s.eat_all(b"Server ") && !s.eat_all(b"Backup Server ") {
        return false;
    }
    let Some(back) = s.until_near(b'/') else {
        return false;
    };
    let server = s.word();
    if !s.eat_all(b" is ") && !s.eat_all(b" ") {
        return false;
    }
    out.push(Field::Backend, back.start, back.end, Kind::Plain);
    out.push(Field::Server, server.start, server.end, Kind::Plain);
    let state = s.run(|b| b.is_ascii_uppercase());
    if s.text(state.clone()) == b"DOWN" {
        out.worsen(Some(Severity::Err));
    }
    out.push_named(&[b"state"], state, Kind::Plain);
    true
}
