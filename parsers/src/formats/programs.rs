//! Programs' own lines that begin with a time or a level: `python`, `iso`, and the package tools'
//! `dpkg` and `apt`.

use super::{Format, Read};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute, stamp};

/// Python's logging module, Flask, gunicorn, uvicorn.
pub(super) const PYTHON: Format = Format {
    name: "python",
    about: "Python's logging module, Flask, gunicorn and uvicorn",
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
    about: "any line that begins with an ISO 8601 time, with a level or without",
    starts: |b| b.is_ascii_digit() || b == b'[',
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
    if bracket && !s.eat(b']') || !bracket && !comma || !s.eat(b' ') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
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
    probe.spaces();
    out.set_message(probe.at(), probe.len());
    for n in 0..LEVEL_WORDS {
        probe.spaces();
        let word = probe.word();
        let text = probe.text(word.clone());
        let bare = |b: &&u8| matches!(**b, b'[' | b']' | b':' | b'(' | b')' | b'|');
        let mut front = text.iter().take_while(bare).count();
        let back = text.iter().rev().take_while(bare).count();
        if let Some(dot) = memchr::memrchr(b'.', text) {
            // Laravel's `channel.LEVEL:`.
            front = dot + 1;
        }
        let (start, end) = (word.start + front, word.end.saturating_sub(back));
        let name = probe.text(start..end.max(start));
        // In lower case they are words of prose too, unless first or in brackets.
        if !is_level(name, n == 0 || text.first() == Some(&b'[')) {
            continue;
        }
        out.worsen(Severity::from_word(name));
        out.push(Field::Level, start, end, Kind::Plain);
        probe.spaces();
        let mut flask = probe;
        if flask.eat_all(b"in ") {
            let module = flask.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'));
            if flask.eat_all(b": ") {
                out.push(Field::Module, module.start, module.end, Kind::Plain);
                probe = flask;
            }
        }
        probe.eat_all(b"- ");
        if !probe.done() {
            out.set_message(probe.at(), probe.len());
        }
        return true;
    }
    false
}

/// A word for a severity, in upper case or, where that is plausible, in lower case.
fn is_level(name: &[u8], lower: bool) -> bool {
    let upper = name.iter().all(u8::is_ascii_uppercase);
    let lower = lower && name.iter().all(u8::is_ascii_lowercase) && name != b"log";
    name.len() >= 3 && (upper || lower) && Severity::from_word(name).is_some()
}

fn iso(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    let bracket = s.eat(b'[');
    let Some(found) = minute::iso(cx, s.rest()).or_else(|| stamp::slashed(s.rest())) else {
        return false;
    };
    let start = s.at();
    s.skip(found.len);
    if bracket && !s.eat(b']') || !s.done() && !s.eat(b' ') && !s.eat(b':') && !s.eat(b'\t') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, start, start + found.len);
    out.flags.time_guessed |= guessed;
    level_among(s, out);
    true
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
