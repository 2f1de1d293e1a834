//! `iso`: programs' own lines that begin with a time, whatever follows.

use std::ops::Range;

use super::{Format, Read, ansi};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "iso",
    about: "any line that begins with a time, with a level or without",
    starts: |b| b.is_ascii_digit() || matches!(b, b'[' | 0x1b) || b"DIWEFA".contains(&b),
    sure: false,
    read: Read::Code(parse),
};

/// Words behind the time among which a level is looked for.
const LEVEL_WORDS: usize = 5;

/// Looks for a level among the first words; the message begins behind it (and behind Flask's
/// `in module:`), or at the first word if there is none.
pub(super) fn level_among(s: Scan<'_>, out: &mut Record) -> bool {
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
fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    if line.get(1) == Some(&b',') {
        return ruby(cx, line, out);
    }
    if line.get(2) == Some(&b':') {
        return time_of_day(line, out);
    }
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
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
    if bracket && env_logger(s, out) {
        return true;
    }
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
    match label {
        Some(at) if s.text(at.clone()).iter().all(u8::is_ascii_digit) => {
            out.push(Field::Pid, at.start, at.end, Kind::Plain);
        }
        Some(at) => out.push(Field::Module, at.start, at.end, Kind::Plain),
        None => {}
    }
    level_among(s, out);
    php(s, out);
    true
}

/// The rest of env_logger's `[2026-11-21T05:19:12Z INFO  shop::orders] text`.
fn env_logger(mut s: Scan<'_>, out: &mut Record) -> bool {
    s.spaces();
    let level = s.run(|b| b.is_ascii_uppercase());
    let severity = Severity::from_word(s.text(level.clone()));
    s.spaces();
    let module = s.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'.' | b'-'));
    if severity.is_none() || module.is_empty() || !s.eat_all(b"] ") {
        return false;
    }
    out.worsen(severity);
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    out.push(Field::Module, module.start, module.end, Kind::Plain);
    out.set_message(s.at(), s.len());
    true
}

/// Ruby's `I, [2026-11-21T05:19:12.134122 #10492]  INFO -- shop: text`.
fn ruby(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::from(line, 1);
    if !s.eat_all(b", [") {
        return false;
    }
    let Some(found) = minute::iso(cx, s.rest()) else {
        return false;
    };
    let start = s.at();
    s.skip(found.len);
    if !s.eat_all(b" #") {
        return false;
    }
    let pid = s.digits();
    if pid.is_empty() || !s.eat(b']') {
        return false;
    }
    s.spaces();
    let level = s.run(|b| b.is_ascii_uppercase());
    if level.is_empty() || !s.eat_all(b" -- ") {
        return false;
    }
    let program = s.run(|b| b != b':' && b != b'\n');
    if !s.eat_all(b": ") {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
    out.push(Field::Pid, pid.start, pid.end, Kind::Plain);
    out.worsen(Severity::from_word(s.text(level.clone())));
    out.push(Field::Level, level.start, level.end, Kind::Plain);
    out.push(Field::Module, program.start, program.end, Kind::Plain);
    out.set_message(s.at(), s.len());
    true
}

/// `05:19:12.123 [info] text`: of what day it was the line says nothing, so its time is that of its arrival.
fn time_of_day(line: &[u8], out: &mut Record) -> bool {
    stamp::time_of_day(line).is_some_and(|len| level_among(Scan::from(line, len), out))
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
