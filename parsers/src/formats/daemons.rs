//! Daemons that write a file of their own: `fail2ban`, `bind`, `klog` (Kubernetes), `dmesg`.

use super::{Format, Read, syslog};
use crate::apps::{dns, fail2ban as jail, kernel};
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find};
use crate::{Context, Facility, Severity, minute, stamp};

/// fail2ban.log.
pub(super) const FAIL2BAN: Format = Format {
    name: "fail2ban",
    about: "fail2ban's own log: jails, bans",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(fail2ban),
};
/// BIND's file channels.
pub(super) const BIND: Format = Format {
    name: "bind",
    about: "BIND's log files, queries included",
    starts: |b| b.is_ascii_digit(),
    // Tomcat's lines begin so too.
    sure: false,
    read: Read::Code(bind),
};
/// klog, and glog before it.
pub(super) const KLOG: Format = Format {
    name: "klog",
    about: "Kubernetes' components and other programs with klog or glog",
    starts: |b| matches!(b, b'I' | b'W' | b'E' | b'F'),
    sure: true,
    read: Read::Code(klog),
};
/// The kernel's ring buffer as dmesg(1) prints it.
pub(super) const DMESG: Format = Format {
    name: "dmesg",
    about: "the kernel's messages as dmesg prints them, with -T, -x or -r too, and /dev/kmsg",
    starts: |b| matches!(b, b'[' | b'<') || b.is_ascii_lowercase() || b.is_ascii_digit(),
    sure: true,
    read: Read::Code(dmesg),
};

/// Pairs of one klog line that get a span.
const PAIRS_MAX: usize = 64;

/// `2026-11-21 05:19:12,345 fail2ban.actions        [1234]: NOTICE  [sshd] Ban 203.0.113.9`.
fn fail2ban(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some(found) = minute::iso(cx, line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat_all(b" fail2ban.") {
        return false;
    }
    let module = s.word();
    s.spaces();
    if !s.eat(b'[') {
        return false;
    }
    let pid = s.digits();
    if pid.is_empty() || !s.eat_all(b"]: ") {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.push(Field::Module, module.start, module.end, Kind::Plain);
    out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
    out.set_message(s.at(), s.len());
    out.within(s.at(), |out| jail::message(cx, s.rest(), out));
    true
}

/// `21-Nov-2026 05:19:12.123 queries: info: client @0x7f… 192.0.2.1#5312 (example.org): query: …`.
fn bind(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some(found) = stamp::dashed(line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    let mut probe = s;
    let category = probe.run(|b| b.is_ascii_lowercase() || b == b'-');
    if !category.is_empty() && probe.eat_all(b": ") {
        let level = probe.run(|b| b.is_ascii_alphabetic());
        let word = probe.text(level.clone());
        // `debug 3` has a number.
        if probe.peek() == Some(b' ') {
            probe.skip(1);
            probe.digits();
        }
        if probe.eat_all(b": ")
            && let Some(severity) = Severity::from_word(word)
        {
            out.push(Field::Module, category.start, category.end, Kind::Plain);
            out.worsen(Some(severity));
            out.push(Field::Level, level.start, level.end, Kind::Plain);
            s = probe;
        }
    }
    out.set_message(s.at(), s.len());
    out.within(s.at(), |out| {
        let (message, done) = (out.message.clone(), dns::named(cx, s.rest(), out));
        out.message = message;
        done
    });
    true
}

/// `I1121 09:46:44.059123       1 main.go:12] "Pod status updated" pod="default/web" status="Running"`.
fn klog(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let severity = match line.first() {
        Some(b'I') => Severity::Info,
        Some(b'W') => Severity::Warn,
        Some(b'E') => Severity::Err,
        Some(b'F') => Severity::Crit,
        _ => return false,
    };
    let Some(found) = line.get(1..).and_then(stamp::month_day) else {
        return false;
    };
    let mut s = Scan::from(line, 1 + found.len);
    s.spaces();
    let thread = s.digits();
    if thread.is_empty() || !s.eat(b' ') {
        return false;
    }
    let file = s.run(|b| !matches!(b, b' ' | b']'));
    if !s.text(file.clone()).contains(&b':') || !s.eat(b']') {
        return false;
    }
    let end = 1 + found.len;
    let Some(time) = found.resolve(cx) else {
        return false;
    };
    out.push(Field::Level, 0, 1, Kind::Plain);
    out.set_time(time, 1, end);
    out.flags.time_guessed = true;
    out.worsen(Some(severity));
    out.push(Field::Thread, thread.start, thread.end, Kind::Plain);
    out.push(Field::Module, file.start, file.end, Kind::Plain);
    s.eat(b' ');
    out.set_message(s.at(), s.len());
    if let Some(text) = s.quoted() {
        let message = text.clone();
        if structured(s, out) {
            out.set_message(message.start, message.end);
        }
    }
    true
}

/// A value of several lines: `<`, each line behind a tab, ` >`.
fn block(s: &mut Scan<'_>) -> Option<std::ops::Range<usize>> {
    const END: &[u8] = b"\n >";
    let text = s.rest().strip_prefix(b"<\n\t")?;
    let len = find(text, END)?;
    let start = s.at() + 3;
    s.skip(3 + len + END.len());
    Some(start..start + len)
}

/// ` key="value" key=value` to the end.
fn structured(mut s: Scan<'_>, out: &mut Record) -> bool {
    let mark = out.mark();
    for _ in 0..PAIRS_MAX {
        if s.done() {
            return true;
        }
        let blank = !s.spaces().is_empty();
        let key = s.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'));
        if !blank || key.is_empty() || !s.eat(b'=') {
            out.rewind(mark);
            return false;
        }
        let (value, kind) = match (s.quoted(), block(&mut s)) {
            (Some(value), _) => (value, Kind::Quoted),
            (None, Some(value)) => (value, Kind::Plain),
            (None, None) => (s.word(), Kind::Plain),
        };
        out.push_named(&[s.text(key)], value, kind);
    }
    out.flags.fields_dropped = true;
    true
}

/// `[   12.345678] text`, with `-T` `[Sat Nov 21 05:19:12 2026] text`, with `-x` `kern  :warn  : ` before it, with
/// `-r` `<4>`; and `/dev/kmsg` itself.
fn dmesg(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    match s.peek() {
        Some(b'0'..=b'9') => return kmsg(cx, s, out),
        Some(b'<') if !syslog::pri(&mut s, out) => return false,
        Some(b'a'..=b'z') if !decoded(&mut s, out) => return false,
        _ => {}
    }
    if !s.eat(b'[') {
        return false;
    }
    if s.peek().is_some_and(|b| b.is_ascii_uppercase()) {
        let Some(found) = stamp::asctime(s.rest()) else {
            return false;
        };
        let (time, guessed) = found.resolve(cx);
        out.set_time(time, s.at(), s.at() + found.len);
        out.flags.time_guessed |= guessed;
        s.skip(found.len);
        // Behind a time Apache's error log has more of them.
        if !s.eat_all(b"] ") || s.peek() == Some(b'[') {
            return false;
        }
    } else {
        s.spaces();
        let seconds = s.digits();
        if seconds.is_empty() || !s.eat(b'.') {
            return false;
        }
        let fraction = s.digits();
        if fraction.len() != 6 || !s.eat_all(b"] ") {
            return false;
        }
        out.push_named(&[b"uptime"], seconds.start..fraction.end, Kind::Plain);
    }
    out.set_message(s.at(), s.len());
    out.within(s.at(), |out| kernel::message(cx, s.rest(), out));
    true
}

/// `kern  :warn  : `: facility and level, padded.
fn decoded(s: &mut Scan<'_>, out: &mut Record) -> bool {
    let facility = s.run(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let name = s.text(facility);
    let number = Facility::NAMES.iter().position(|n| n.as_bytes() == name);
    s.spaces();
    if number.is_none() || !s.eat(b':') {
        return false;
    }
    let level = s.run(|b| b.is_ascii_lowercase());
    let Some(severity) = Severity::from_word(s.text(level.clone())) else {
        return false;
    };
    out.facility = number.and_then(|n| Facility::from_number(u8::try_from(n).ok()?));
    out.worsen(Some(severity));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    s.spaces();
    s.eat_all(b": ")
}

/// `4,417,47072015064,-;text`: PRI, a number, microseconds since the start, flags.
fn kmsg(cx: &mut Context, mut s: Scan<'_>, out: &mut Record) -> bool {
    let pri = s.digits();
    let number = crate::scan::number(s.text(pri.clone())).and_then(|n| u8::try_from(n).ok());
    let Some(number) = number.filter(|&n| n <= 191 && s.eat(b',')) else {
        return false;
    };
    let sequence = s.digits();
    if sequence.is_empty() || !s.eat(b',') {
        return false;
    }
    let uptime = s.digits();
    if uptime.is_empty() || !s.eat(b',') {
        return false;
    }
    let flags = s.run(|b| b != b';' && b > b' ');
    if flags.is_empty() || !s.eat(b';') {
        return false;
    }
    syslog::set_pri(number, out);
    out.push(Field::Pri, pri.start, pri.end, Kind::Plain);
    out.push_named(&[b"uptime"], uptime, Kind::Micros);
    out.set_message(s.at(), s.len());
    out.within(s.at(), |out| kernel::message(cx, s.rest(), out));
    true
}
