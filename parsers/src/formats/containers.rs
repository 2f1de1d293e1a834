//! Lines that a container engine has wrapped: `compose`, `dockerjson` and `cri`. What is inside is
//! read as the format that it is; the time is the engine's where it has one.

use std::borrow::Cow;
use std::ops::Range;

use super::{Format, Read, ansi, detect_within};
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, near};
use crate::{Context, minute};

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
    let Some((name, text)) = compose_head(line) else {
        return false;
    };
    out.push(Field::Container, name.start, name.end, Kind::Plain);
    let mut s = Scan::from(line, text);
    // With -t the engine's own time comes first.
    if s.text(s.at() + 10..s.at() + 11) == b"T"
        && let Some(found) = minute::iso(cx, s.rest())
        && s.text(s.at() + found.len - 1..s.at() + found.len + 1) == b"Z "
    {
        let (time, _) = found.resolve(cx);
        out.set_time(time, s.at(), s.at() + found.len);
        s.skip(found.len + 1);
    }
    detect_within(cx, s.rest(), s.at(), out);
    true
}

/// The name of the container and where the text begins.
fn compose_head(line: &[u8]) -> Option<(Range<usize>, usize)> {
    let mut s = Scan::new(line);
    s.skip(ansi::leading(line));
    let coloured = s.at() > 0;
    let name = s.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let padding = s.spaces();
    if name.is_empty() || padding.is_empty() || !s.eat(b'|') {
        return None;
    }
    // A lone word before a bar may be prose: a colour, a number or the padding tells.
    if !coloured && padding.len() < 2 && !numbered(s.text(name.clone())) {
        return None;
    }
    s.skip(ansi::leading(s.rest()));
    if !s.eat(b' ') && !s.done() {
        return None;
    }
    s.skip(ansi::leading(s.rest()));
    Some((name, s.at()))
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
    let Some(found) = minute::iso(cx, line) else {
        return false;
    };
    let Some((stream, _, text)) = cri_head(line, found.len) else {
        return false;
    };
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.push(Field::Stream, stream.start, stream.end, Kind::Plain);
    let s = Scan::from(line, text);
    detect_within(cx, s.rest(), s.at(), out);
    true
}

/// The stream, whether the line ends with this piece, and where its text begins, behind a time.
fn cri_head(line: &[u8], time: usize) -> Option<(Range<usize>, bool, usize)> {
    let mut s = Scan::from(line, time);
    if !s.eat(b' ') {
        return None;
    }
    let stream = s.word();
    if !matches!(s.text(stream.clone()), b"stdout" | b"stderr") || !s.eat(b' ') {
        return None;
    }
    let tag = s.word();
    let ends = match s.text(tag).first() {
        Some(b'F') => true,
        Some(b'P') => false,
        _ => return None,
    };
    (s.eat(b' ') || s.done()).then_some((stream, ends, s.at()))
}

/// A line of a container's log, unwrapped.
#[derive(Clone, Debug)]
pub(crate) struct Wrapped<'a> {
    /// Lines of the same way of wrapping, container and stream may belong together.
    pub(crate) of: (Wrapping, &'a [u8]),
    pub(crate) text: Cow<'a, [u8]>,
    /// The program's line ends with it; engines cut long ones into pieces.
    pub(crate) ends: bool,
}

/// Who wrapped a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Compose,
    Cri,
    DockerJson,
}

/// What a container engine has wrapped, if it has.
pub(crate) fn unwrap(line: &[u8]) -> Option<Wrapped<'_>> {
    match line.first()? {
        b'{' => unwrap_dockerjson(line),
        b'0'..=b'9' if line.get(10) == Some(&b'T') => {
            let (stream, ends, text) =
                cri_head(line, near(line.get(..40).unwrap_or(line), [b' '])?)?;
            Some(Wrapped {
                of: (Wrapping::Cri, line.get(stream)?),
                text: Cow::Borrowed(line.get(text..)?),
                ends,
            })
        }
        b if (COMPOSE.starts)(*b) => {
            let (name, text) = compose_head(line)?;
            Some(Wrapped {
                of: (Wrapping::Compose, line.get(name)?),
                text: Cow::Borrowed(line.get(text..)?),
                ends: true,
            })
        }
        _ => None,
    }
}

fn unwrap_dockerjson(line: &[u8]) -> Option<Wrapped<'_>> {
    let mut s = Scan::new(line);
    if !s.eat_all(b"{\"log\":") {
        return None;
    }
    let log = s.quoted()?;
    if !s.eat_all(b",\"stream\":") {
        return None;
    }
    let stream = s.quoted()?;
    let text = s.text(log);
    let (text, ends) = match text.strip_suffix(b"\\n") {
        Some(text) => (text.strip_suffix(b"\\r").unwrap_or(text), true),
        None => (text, false),
    };
    Some(Wrapped {
        of: (Wrapping::DockerJson, s.text(stream)),
        text: Kind::Json.decode(text),
        ends,
    })
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
    let Some(found) = minute::iso(cx, s.text(time.clone())) else {
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
