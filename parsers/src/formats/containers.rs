//! Lines that a container engine has wrapped: `compose`, `dockerjson` and `cri`. What is inside is
//! read as the format that it is; the time is the engine's where it has one.

use super::{Format, Read, ansi, detect_within};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, stamp};

/// `docker compose logs` and `up`.
pub(super) const COMPOSE: Format = Format {
    name: "compose",
    about: "docker compose logs: a container's name and a bar before each line",
    starts: |b| b.is_ascii_alphanumeric() || b == 0x1b,
    sure: false,
    read: Read::Code(compose),
};
/// Docker's json-file driver on disk.
pub(super) const DOCKERJSON: Format = Format {
    name: "dockerjson",
    about: "Docker's json-file driver: log, stream, time",
    starts: |b| b == b'{',
    sure: true,
    read: Read::Code(dockerjson),
};
/// containerd's and CRI-O's files.
pub(super) const CRI: Format = Format {
    name: "cri",
    about: "Kubernetes' container logs: time, stream, P or F, text",
    starts: |b| b.is_ascii_digit(),
    sure: true,
    read: Read::Code(cri),
};

fn compose(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    s.skip(ansi::leading(line));
    let coloured = s.at() > 0;
    let name = s.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let padding = s.spaces();
    if name.is_empty() || padding.is_empty() || !s.eat(b'|') {
        return false;
    }
    // A lone word before a bar may be prose: a colour, a number or the padding tells.
    if !coloured && padding.len() < 2 && !numbered(s.text(name.clone())) {
        return false;
    }
    out.push(Field::Container, name.start, name.end, Kind::Plain);
    s.skip(ansi::leading(s.rest()));
    if !s.eat(b' ') && !s.done() {
        return false;
    }
    s.skip(ansi::leading(s.rest()));
    // With -t the engine's own time comes first.
    if s.text(s.at() + 10..s.at() + 11) == b"T"
        && let Some(found) = stamp::iso(s.rest())
        && s.text(s.at() + found.len - 1..s.at() + found.len + 1) == b"Z "
    {
        let (time, _) = found.resolve(cx);
        out.set_time(time, s.at(), s.at() + found.len);
        s.skip(found.len + 1);
    }
    detect_within(cx, s.rest(), s.at(), out);
    true
}

/// `name-1` or, of the first Compose, `name_1`.
fn numbered(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let rest = name.len() - digits;
    digits > 0 && rest > 1 && matches!(name.get(rest - 1), Some(b'-' | b'_'))
}

fn cri(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    if !matches!(line.get(10), Some(b'T')) {
        return false;
    }
    let Some(found) = stamp::iso(line) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    let stream = s.word();
    if !matches!(s.text(stream.clone()), b"stdout" | b"stderr") || !s.eat(b' ') {
        return false;
    }
    let tag = s.word();
    if !matches!(s.text(tag).first(), Some(b'P' | b'F')) || !s.eat(b' ') && !s.done() {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.push(Field::Stream, stream.start, stream.end, Kind::Plain);
    detect_within(cx, s.rest(), s.at(), out);
    true
}

fn dockerjson(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    if !s.eat_all(b"{\"log\":") {
        return false;
    }
    let Some(log) = s.quoted() else {
        return false;
    };
    let (mut stream, mut time) = (0..0, 0..0);
    while s.eat(b',') {
        let Some(key) = s.quoted() else {
            return false;
        };
        if !s.eat(b':') {
            return false;
        }
        let Some(value) = s.quoted() else {
            // `attrs`, the labels that the driver was told to add, come last.
            break;
        };
        match s.text(key) {
            b"stream" => stream = value,
            b"time" => time = value,
            _ => {}
        }
    }
    let Some(found) = stamp::iso(s.text(time.clone())) else {
        return false;
    };
    if log.start > stream.start || stream.start > time.start {
        return false;
    }
    let (at, guessed) = found.resolve(cx);
    out.set_time(at, time.start, time.start + found.len);
    out.flags.time_guessed |= guessed;
    let mut text = s.text(log.clone());
    text = text.strip_suffix(b"\\n").unwrap_or(text);
    text = text.strip_suffix(b"\\r").unwrap_or(text);
    if memchr::memchr(b'\\', text).is_none() {
        detect_within(cx, text, log.start, out);
    } else {
        // Spans need the text as it stands; with escapes in it only the severity can be had.
        let decoded = Kind::Json.decode(text);
        let mut inside = Record::default();
        detect_within(cx, &decoded, 0, &mut inside);
        out.worsen(inside.severity);
        out.set_message(log.start, log.start + text.len());
    }
    out.push(Field::Stream, stream.start, stream.end, Kind::Plain);
    true
}
