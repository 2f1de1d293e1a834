//! `java`: Logback, Log4j and Spring Boot with their usual patterns.

use super::{Format, Read};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "java",
    about: "Java's Logback, Log4j and Spring Boot: time, level, thread, logger",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(parse),
};

/// `2026-11-21 09:46:44,059 [main] ERROR com.example.Shop - text`, the same with the level first, and
/// Spring's `2026-11-21T09:46:44.059Z  INFO 1234 --- [shop] [main] c.e.Shop : text`. What tells it from others
/// is a thread in brackets beside a level, and a logger.
fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some(found) = minute::iso(cx, line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    s.spaces();
    let (mut level, mut thread) = (false, false);
    for _ in 0..6 {
        s.spaces();
        if s.eat(b'[') {
            s.spaces();
            let name = s.run(|b| b != b']');
            if !s.eat_all(b"] ") {
                return false;
            }
            // Spring puts the application's name before the thread's.
            if thread || s.peek() == Some(b'[') {
                out.push_named(&[b"application"], name, Kind::Plain);
            } else {
                out.push(Field::Thread, name.start, name.end, Kind::Plain);
                thread = true;
            }
            continue;
        }
        let word = s.word();
        let text = s.text(word.clone());
        if text == b"---" {
            continue;
        }
        if !level && text.len() >= 4 && text.iter().all(u8::is_ascii_uppercase) {
            let Some(severity) = Severity::from_word(text) else {
                return false;
            };
            level = true;
            out.worsen(Some(severity));
            out.push(Field::Level, word.start, word.end, Kind::Plain);
            continue;
        }
        if level && !thread && text.iter().all(u8::is_ascii_digit) {
            out.push(Field::Pid, word.start, word.end, Kind::Plain);
            continue;
        }
        return level && thread && logger(s, word, out);
    }
    false
}

/// `com.example.Shop - text`, `c.e.Shop   : text`, `com.example.Shop: text`, `Shop.java:12 - text`.
fn logger(mut s: Scan<'_>, word: std::ops::Range<usize>, out: &mut Record) -> bool {
    let text = s.text(word.clone());
    let colon = text.ends_with(b":");
    let end = word.end - usize::from(colon);
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"._$-:[]/".contains(b);
    if end == word.start || !s.text(word.start..end).iter().all(is_name) {
        return false;
    }
    if !colon {
        s.spaces();
        if !s.eat_all(b"- ") && !s.eat_all(b": ") && !s.eat_all(b"| ") {
            return false;
        }
    }
    s.spaces();
    out.push(Field::Module, word.start, end, Kind::Plain);
    out.set_message(s.at(), s.len());
    true
}
