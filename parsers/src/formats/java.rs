//! `java`: Logback, Log4j, java.util.logging and what is built on them: Spring Boot, Tomcat, Kafka,
//! ZooKeeper, Hadoop, Spark, Elasticsearch, Cassandra, each with its usual pattern.
//!
//! What tells such a line from another that begins with a time is a level beside a logger or a thread.

use std::ops::Range;

use super::{Format, Read, ansi};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::stamp::Stamp;
use crate::{Context, Severity, minute, stamp};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "java",
    about: "Java's Logback, Log4j, java.util.logging, Spring Boot, Tomcat: time, level, thread, logger",
    starts: |b| b.is_ascii_digit() || b.is_ascii_uppercase() || b == b'[',
    sure: true,
    read: Read::Code(parse),
};

/// Words between the time and the logger.
const WORDS_MAX: usize = 8;

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    match line.first() {
        Some(b'[') => bracketed(cx, line, out),
        Some(b'0'..=b'9') => timed(cx, line, out),
        _ => util(cx, line, out) || level_first(cx, line, out),
    }
}

fn set_time(cx: &mut Context, found: Stamp, start: usize, out: &mut Record) {
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
}

/// A level in capital letters, colours around it or not: its place and what it means.
fn level(s: &Scan<'_>, word: Range<usize>) -> Option<(Range<usize>, Severity)> {
    let bare = ansi::inside(s.text(word.clone()), word.start);
    let text = s.text(bare.clone());
    let shape = text.len() >= 4 && text.iter().all(u8::is_ascii_uppercase);
    let severity = match text {
        b"CONFIG" | b"FINE" | b"FINER" | b"FINEST" => Some(Severity::Debug),
        _ => Severity::from_word(text),
    };
    severity.filter(|_| shape).map(|severity| (bare, severity))
}

fn push_level((at, severity): (Range<usize>, Severity), out: &mut Record) {
    out.worsen(Some(severity));
    out.push(Field::Level, at.start, at.end, Kind::Plain);
}

/// The inside of brackets that are next, without the blanks at its ends.
fn brackets(s: &mut Scan<'_>) -> Option<Range<usize>> {
    let mut probe = *s;
    if !probe.eat(b'[') {
        return None;
    }
    probe.spaces();
    let inside = probe.run(|b| b != b']' && b != b'\n');
    let trimmed = probe.text(inside.clone()).trim_ascii_end().len();
    if !probe.eat(b']') {
        return None;
    }
    *s = probe;
    Some(inside.start..inside.start + trimmed)
}

/// `2026-11-21 09:46:44,059 [main] ERROR com.example.Shop - text`, the same with the level first or without a
/// thread, Spring's `2026-11-21T09:46:44.059Z  INFO 1234 --- [shop] [main] c.e.Shop : text`, Tomcat's
/// `21-Nov-2026 09:46:44.059 INFO [main] org.apache.Class.method text`, Spark's `26/11/21 09:46:44 INFO Shop: text`.
fn timed(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let dashed = stamp::dashed(line);
    let tomcat = dashed.is_some();
    let found = minute::iso(cx, line)
        .or_else(|| stamp::short_slashed(line))
        .or(dashed);
    let mut s = match (found, stamp::time_of_day(line)) {
        (Some(found), _) => {
            set_time(cx, found, 0, out);
            Scan::from(line, found.len)
        }
        // Logback's and Log4j's own pattern has no date; nor then has the event.
        (None, Some(len)) => Scan::from(line, len - 1),
        (None, None) => return false,
    };
    if !s.eat(b' ') {
        return false;
    }
    let (mut levelled, mut thread, mut spring) = (false, false, false);
    for _ in 0..WORDS_MAX {
        s.spaces();
        if let Some(name) = brackets(&mut s) {
            // Spring puts the application's name before the thread's; others what they keep of the request
            // behind it.
            if spring && s.rest().starts_with(b" [") {
                out.push_own("application", name, Kind::Plain);
            } else if thread {
                out.push_own("context", name, Kind::Plain);
            } else {
                out.push(Field::Thread, name.start, name.end, Kind::Plain);
                thread = true;
            }
            continue;
        }
        let word = s.word();
        match s.text(word.clone()) {
            b"---" => spring = true,
            // ZooKeeper has one around the level.
            b"-" if thread && !levelled => {}
            b"-" if thread => {
                s.spaces();
                out.set_message(s.at(), s.len());
                return true;
            }
            text if levelled && !thread && text.iter().all(u8::is_ascii_digit) => {
                out.push(Field::Pid, word.start, word.end, Kind::Plain);
            }
            _ => match level(&s, word.clone()).filter(|_| !levelled) {
                Some(found) => {
                    levelled = true;
                    push_level(found, out);
                }
                None => return levelled && logger(s, word, thread, tomcat, out),
            },
        }
    }
    false
}

/// `com.example.Shop - text`, `c.e.Shop   : text`, `com.example.Shop: text`, `Shop.java:12 - text`. Without a
/// thread before it, it has to be the name of a class; Tomcat's is followed by the text itself.
fn logger(
    mut s: Scan<'_>,
    word: Range<usize>,
    thread: bool,
    tomcat: bool,
    out: &mut Record,
) -> bool {
    let colon = s.text(word.clone()).ends_with(b":");
    let end = word.end - usize::from(colon);
    let name = s.text(word.start..end);
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"._$-:[]/@".contains(b);
    if name.is_empty() || !name.iter().all(is_name) || !thread && !is_class(name) {
        return false;
    }
    if !colon {
        s.spaces();
        let bare = tomcat && thread && name.contains(&b'.');
        if !(s.eat_all(b"- ") || s.eat_all(b": ") || s.eat_all(b"| ") || bare) {
            return false;
        }
    }
    s.spaces();
    out.push(Field::Module, word.start, end, Kind::Plain);
    out.set_message(s.at(), s.len());
    true
}

/// `com.example.Shop`, `Shop`, `Shop:12`: the last part begins with a capital letter, as Java's classes do.
fn is_class(name: &[u8]) -> bool {
    let name = name.split(|&b| b == b':').next().unwrap_or_default();
    let last = name.rsplit(|&b| b == b'.').next().unwrap_or_default();
    last.first().is_some_and(u8::is_ascii_uppercase)
        && last.iter().any(u8::is_ascii_lowercase)
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"._$-".contains(b))
}

/// Elasticsearch's `[2026-11-21T09:46:44,059][INFO ][o.e.n.Node               ] [node1] text`, Kafka's
/// `[2026-11-21 09:46:44,059] INFO text (kafka.server.KafkaServer)`.
fn bracketed(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::from(line, 1);
    let Some(found) = minute::iso(cx, s.rest()) else {
        return false;
    };
    s.skip(found.len);
    if !s.eat(b']') {
        return false;
    }
    set_time(cx, found, 1, out);
    if let Some(word) = brackets(&mut s) {
        let (Some(found), Some(name)) = (level(&s, word), brackets(&mut s)) else {
            return false;
        };
        push_level(found, out);
        out.push(Field::Module, name.start, name.end, Kind::Plain);
        s.spaces();
        if let Some(node) = brackets(&mut s) {
            out.push_own("node", node, Kind::Plain);
            s.spaces();
        }
        out.set_message(s.at(), s.len());
        return true;
    }
    s.spaces();
    let word = s.word();
    let Some(found) = level(&s, word) else {
        return false;
    };
    s.spaces();
    let start = s.at();
    let first = s.run(|b| b != b'\n');
    let text = s.text(first.clone());
    let Some(inside) = text.strip_suffix(b")") else {
        return false;
    };
    let Some(open) = memchr::memrchr(b'(', inside) else {
        return false;
    };
    if !is_class(inside.get(open + 1..).unwrap_or_default()) {
        return false;
    }
    push_level(found, out);
    out.push(Field::Module, start + open + 1, first.end - 1, Kind::Plain);
    out.set_message(start, s.len());
    true
}

/// Cassandra's `INFO  [main] 2026-11-21 09:46:44,059 Server.java:12 - text`.
fn level_first(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    let word = s.run(|b| b.is_ascii_uppercase());
    s.spaces();
    let (Some(level), Some(thread)) = (level(&s, word), brackets(&mut s)) else {
        return false;
    };
    if !s.eat(b' ') {
        return false;
    }
    let Some(found) = minute::iso(cx, s.rest()) else {
        return false;
    };
    push_level(level, out);
    out.push(Field::Thread, thread.start, thread.end, Kind::Plain);
    set_time(cx, found, s.at(), out);
    s.skip(found.len);
    s.spaces();
    let word = s.word();
    logger(s, word, true, false, out)
}

/// java.util.logging's two lines: `Nov 21, 2026 9:46:44 PM com.example.Shop main` and `INFO: text`.
fn util(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let Some(found) = stamp::twelve_hours(line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    let class = s.run(|b| !matches!(b, b' ' | b'\n'));
    if class.is_empty() {
        return false;
    }
    set_time(cx, found, 0, out);
    out.push(Field::Module, class.start, class.end, Kind::Plain);
    out.set_message(class.start, s.len());
    s.run(|b| b != b'\n');
    s.eat(b'\n');
    let word = s.run(|b| b.is_ascii_uppercase());
    if let Some(found) = level(&s, word)
        && s.eat_all(b": ")
    {
        push_level(found, out);
        out.set_message(s.at(), s.len());
    }
    true
}
