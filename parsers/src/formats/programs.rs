//! Programs' own lines that begin with a time or a level: `python`, `iso`, and the package tools'
//! `dpkg` and `apt`.

use std::ops::Range;

use super::{Format, Read, ansi};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute, stamp};

/// Python's logging module, Flask, gunicorn, uvicorn.
pub(super) const PYTHON: Format = Format {
    name: "python",
    about: "Python's logging module, Flask, gunicorn, uvicorn and Loguru",
    starts: |b| b.is_ascii_digit() || b.is_ascii_uppercase() || b == b'[',
    sure: false,
    read: Read::Code(python),
};
/// dpkg.log.
pub(super) const DPKG: Format = Format {
    name: "dpkg",
    about: "dpkg's log: what was installed, removed, configured",
    starts: |b| b.is_ascii_digit(),
    sure: false,
    read: Read::Code(dpkg),
};
/// apt/history.log.
pub(super) const APT: Format = Format {
    name: "apt",
    about: "apt's history: one stanza of lines for each run",
    starts: |b| b.is_ascii_uppercase(),
    sure: false,
    read: Read::Code(apt),
};
/// Everything else that tells the time first.
pub(super) const ISO: Format = Format {
    name: "iso",
    about: "any line that begins with a time, with a level or without",
    starts: |b| b.is_ascii_digit() || b == b'[' || b == 0x1b,
    sure: false,
    read: Read::Code(iso),
};

/// Words behind the time among which a level is looked for.
const LEVEL_WORDS: usize = 5;

fn python(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    if line.first().is_some_and(u8::is_ascii_uppercase) {
        return level_first(s, out);
    }
    let bracket = s.eat(b'[');
    let Some(found) = minute::iso(cx, s.rest()) else {
        return false;
    };
    let start = s.at();
    let comma = s.text(start..start + found.len).contains(&b',');
    s.skip(found.len);
    let loguru = !bracket && s.rest().starts_with(b" | ");
    if bracket && !s.eat(b']') || !bracket && !comma && !loguru || !s.eat(b' ') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
    if loguru {
        return self::loguru(s, out);
    }
    // gunicorn: `[pid] [LEVEL] text`.
    let mut probe = s;
    if bracket && probe.eat(b'[') {
        let pid = probe.digits();
        if probe.eat_all(b"] ") {
            out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
            s = probe;
        }
    }
    level_among(s, out) || bracket && comma
}

/// `| INFO     | name:function:line - text`.
fn loguru(mut s: Scan<'_>, out: &mut Record) -> bool {
    s.eat_all(b"| ");
    let level = s.word();
    let severity = match s.text(level.clone()) {
        b"SUCCESS" => Some(Severity::Info),
        word => Severity::from_word(word),
    };
    s.spaces();
    if severity.is_none() || !s.eat_all(b"| ") {
        return false;
    }
    let place = s.word();
    let name = s.text(place.clone()).split(|&b| b == b':').next();
    let name = name.unwrap_or_default().len();
    if name == place.len() || !s.eat_all(b" - ") {
        return false;
    }
    out.worsen(severity);
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    out.push(Field::Module, place.start, place.start + name, Kind::Plain);
    out.set_message(s.at(), s.len());
    true
}

/// `LEVEL:name:text`, `INFO:     text`.
fn level_first(mut s: Scan<'_>, out: &mut Record) -> bool {
    let level = s.run(|b| b.is_ascii_uppercase());
    let known = matches!(
        s.text(level.clone()),
        b"DEBUG" | b"INFO" | b"WARNING" | b"ERROR" | b"CRITICAL"
    );
    if !known || !s.eat(b':') {
        return false;
    }
    out.worsen(Severity::from_word(s.text(level.clone())));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    let mut probe = s;
    let name = probe.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'));
    if !name.is_empty() && probe.eat(b':') {
        out.push(Field::Module, name.start, name.end, Kind::Plain);
        s = probe;
    }
    s.spaces();
    out.set_message(s.at(), s.len());
    true
}

/// Looks for a level among the first words; the message begins behind it (and behind Flask's
/// `in module:`), or at the first word if there is none.
fn level_among(s: Scan<'_>, out: &mut Record) -> bool {
    let mut probe = s;
    blanks(&mut probe);
    out.set_message(probe.at(), probe.len());
    let mut labels = true;
    for n in 0..LEVEL_WORDS {
        blanks(&mut probe);
        let word = probe.run(|b| !matches!(b, b' ' | b'\t' | b'\n'));
        let text = probe.text(word.clone());
        let at = bare(text, word.start);
        let name = probe.text(at.clone());
        // In lower case they are words of prose too, unless first, in brackets, or behind labels in brackets
        // and before a colon.
        let bracket = text.first() == Some(&b'[');
        let lower = n == 0 || bracket || labels && text.ends_with(b":");
        labels &= bracket || text.last() == Some(&b']');
        if !is_level(name, lower) {
            continue;
        }
        out.worsen(Severity::from_word(name));
        out.push(Field::Level, at.start, at.end, Kind::Plain);
        // structlog pads within the brackets.
        let mut padded = probe;
        blanks(&mut padded);
        if bracket && !text.ends_with(b"]") && padded.eat(b']') {
            probe = padded;
        }
        blanks(&mut probe);
        flask(&mut probe, out);
        probe.eat_all(b"- ");
        if !probe.done() {
            out.set_message(probe.at(), probe.len());
        }
        return true;
    }
    false
}

/// Flask's `in module: `.
fn flask(s: &mut Scan<'_>, out: &mut Record) {
    let mut probe = *s;
    if !probe.eat_all(b"in ") {
        return;
    }
    let module = probe.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'));
    if probe.eat_all(b": ") {
        out.push(Field::Module, module.start, module.end, Kind::Plain);
        *s = probe;
    }
}

/// Steps over blanks, tabs and colours.
fn blanks(s: &mut Scan<'_>) {
    loop {
        let blank = s.run(|b| matches!(b, b' ' | b'\t'));
        let colour = ansi::leading(s.rest());
        s.skip(colour);
        if blank.is_empty() && colour == 0 {
            return;
        }
    }
}

/// The place of a word without the brackets, bars and colours around it, and behind the channel of
/// Laravel's `channel.LEVEL:`.
fn bare(text: &[u8], base: usize) -> Range<usize> {
    let is_frame = |b: &&u8| matches!(**b, b'[' | b']' | b':' | b'(' | b')' | b'|');
    let (mut start, mut end) = (0, text.len());
    for _ in 0..2 {
        let rest = text.get(start..end).unwrap_or_default();
        let inside = ansi::inside(rest, start);
        let rest = text.get(inside.clone()).unwrap_or_default();
        start = inside.start + rest.iter().take_while(is_frame).count();
        end = inside.end - rest.iter().rev().take_while(is_frame).count();
        if start >= end {
            return base..base;
        }
    }
    let rest = text.get(start..end).unwrap_or_default();
    let channel = memchr::memrchr(b'.', rest).map_or(0, |dot| dot + 1);
    base + start + channel..base + end
}

/// A word for a severity, in upper case or, where that is plausible, in lower case.
fn is_level(name: &[u8], lower: bool) -> bool {
    let upper = name.iter().all(u8::is_ascii_uppercase);
    let lower = lower && name.iter().all(u8::is_ascii_lowercase) && name != b"log";
    name.len() >= 3 && (upper || lower) && Severity::from_word(name).is_some()
}

/// A time, in brackets or not, behind a label in brackets or not: Go's log with a prefix, NATS' process.
fn iso(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    s.skip(ansi::leading(line));
    let mut label = None;
    let mut bracket = s.eat(b'[');
    let mut found = stamp_of(cx, s.rest(), bracket);
    if found.is_none() && bracket {
        let inside = s.run(|b| b != b']' && b != b'[');
        if inside.is_empty() || inside.len() > LABEL_MAX || !s.eat_all(b"] ") {
            return false;
        }
        label = Some(inside);
        bracket = false;
        found = stamp::slashed(s.rest());
    }
    let Some(found) = found else {
        return false;
    };
    let start = s.at();
    s.skip(found.len);
    s.skip(ansi::leading(s.rest()));
    if bracket && s.peek() == Some(b' ') {
        // The name of a zone, as PHP has it.
        s.skip(1);
        s.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
    }
    if bracket && !s.eat(b']') {
        return false;
    }
    // Squid has a bar there.
    let ends = |b| matches!(b, b' ' | b':' | b'\t' | b'|');
    if !s.peek().is_none_or(ends) {
        return false;
    }
    s.skip(1);
    let (time, guessed) = found.resolve(cx);
    match label {
        Some(at) if s.text(at.clone()).iter().all(u8::is_ascii_digit) => {
            out.push(Field::Pid, at.start, at.end, Kind::Plain);
        }
        Some(at) => out.push(Field::Module, at.start, at.end, Kind::Plain),
        None => {}
    }
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
    level_among(s, out);
    php(s, out);
    true
}

/// Bytes of a label before the time.
const LABEL_MAX: usize = 32;

/// The stamps with which programs begin their lines. Seconds since 1970 are one in brackets (Unbound) or before a
/// colon (Mosquitto).
fn stamp_of(cx: &mut Context, text: &[u8], bracket: bool) -> Option<stamp::Stamp> {
    minute::iso(cx, text)
        .or_else(|| stamp::slashed(text))
        .or_else(|| {
            stamp::dashed(text)
                .filter(|_| bracket)
                .map(|f| f.or_utc(text))
        })
        .or_else(|| {
            let end = if bracket { b"]" } else { b":" };
            let seconds = stamp::epoch(text).filter(|found| found.len >= 10);
            seconds.filter(|found| text.get(found.len..).is_some_and(|t| t.starts_with(end)))
        })
}

/// `PHP Warning:  text`: the word for the level is PHP's own.
fn php(mut s: Scan<'_>, out: &mut Record) {
    if !s.eat_all(b"PHP ") {
        return;
    }
    let word = s.run(|b| b.is_ascii_alphabetic() || b == b' ');
    let severity = match s.text(word.clone()) {
        b"Fatal error" | b"Parse error" | b"Core error" | b"Compile error" => Severity::Crit,
        b"Recoverable fatal error" | b"User error" => Severity::Err,
        b"Warning" | b"User warning" | b"Core warning" | b"Compile warning" => Severity::Warn,
        b"Notice" | b"User notice" | b"Deprecated" | b"User deprecated" | b"Strict Standards" => {
            Severity::Notice
        }
        _ => return,
    };
    if !s.eat(b':') {
        return;
    }
    out.fields
        .retain(|span| span.name != crate::Name::Known(Field::Level));
    out.severity = Some(severity);
    out.push(Field::Level, word.start, word.end, Kind::Plain);
    s.spaces();
    out.set_message(s.at(), s.len());
}

fn dpkg(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    const ACTIONS: &[&[u8]] = &[
        b"status",
        b"install",
        b"upgrade",
        b"remove",
        b"purge",
        b"configure",
        b"trigproc",
        b"startup",
        b"conffile",
        b"disappear",
    ];
    if line.get(10) != Some(&b' ') {
        return false;
    }
    let Some(found) = minute::iso(cx, line).filter(|f| f.len == 19) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    let start = s.at();
    let action = s.word();
    let what = s.text(action.clone());
    if !ACTIONS.contains(&what) || !s.eat(b' ') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.set_message(start, s.len());
    out.push_named(&[b"action"], action, Kind::Plain);
    if matches!(what, b"startup" | b"conffile") {
        return true;
    }
    if what == b"status" {
        let state = s.word();
        out.push_named(&[b"state"], state, Kind::Plain);
        s.eat(b' ');
    }
    let package = s.word();
    out.push_named(&[b"package"], package, Kind::Plain);
    s.eat(b' ');
    let version = s.word();
    // `install PACKAGE OLD NEW`: the new one counts.
    let version = if s.eat(b' ') && s.text(s.at()..s.len()) != b"<none>" {
        s.word()
    } else {
        version
    };
    out.push_named(&[b"version"], version, Kind::Plain);
    true
}

fn apt(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    const KEYS: &[&[u8]] = &[
        b"Start-Date",
        b"End-Date",
        b"Commandline",
        b"Requested-By",
        b"Install",
        b"Upgrade",
        b"Remove",
        b"Purge",
        b"Reinstall",
        b"Downgrade",
        b"Error",
    ];
    let mut s = Scan::new(line);
    let key = s.run(|b| b.is_ascii_alphabetic() || b == b'-');
    let name = s.text(key.clone());
    if !KEYS.contains(&name) || !s.eat_all(b": ") {
        return false;
    }
    out.set_message(0, line.len());
    if name.ends_with(b"-Date") {
        let Some(found) = minute::iso(cx, s.rest()) else {
            return false;
        };
        let (time, guessed) = found.resolve(cx);
        out.set_time(time, s.at(), s.at() + found.len);
        out.flags.time_guessed |= guessed;
    } else if name == b"Error" {
        out.worsen(Some(Severity::Err));
    }
    out.push_named(&[b"action"], key, Kind::Plain);
    true
}
