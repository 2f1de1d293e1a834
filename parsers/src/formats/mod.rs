//! The list of log formats. A new one is a file here, a `mod` line, an entry in [`FORMATS`] and a
//! folder of samples.

use crate::{Context, Record};

mod access;
mod ansi;
mod containers;
mod errorlog;
mod extras;
mod haproxy;
mod json;
mod keepalived;
mod keys;
mod logfmt;
mod postgresql;
mod programs;
mod raw;
mod redis;
mod rfc3164;
mod rfc5424;
mod sshd;
mod syslog;

/// A log format: how to read one line of it.
#[derive(Debug)]
pub struct Format {
    /// The name in configuration, in stores and in the `format` field.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Whether a line of it may begin with that byte; detection asks before it tries.
    pub(crate) starts: fn(u8) -> bool,
    /// No format before it in [`FORMATS`] takes a line that this one takes, so it may be tried first.
    pub(crate) sure: bool,
    /// Describes the line in the (cleared) record; `false` if it is not of this format.
    pub parse: fn(&mut Context, &[u8], &mut Record) -> bool,
}

/// All formats, in the order in which detection tries them: the most particular first, `raw`, which
/// takes everything, last.
pub const FORMATS: &[&Format] = &[
    &rfc5424::FORMAT,
    &containers::DOCKERJSON,
    &json::FORMAT,
    &containers::CRI,
    &access::COMBINED,
    &access::VHOST_COMBINED,
    &access::COMMON,
    &access::WERKZEUG,
    &haproxy::FORMAT,
    &errorlog::NGINX,
    &errorlog::APACHE,
    &redis::FORMAT,
    &postgresql::FORMAT,
    &rfc3164::FORMAT,
    &keepalived::FORMAT,
    &programs::DPKG,
    &programs::APT,
    &programs::PYTHON,
    &programs::ISO,
    &containers::COMPOSE,
    &logfmt::FORMAT,
    &raw::FORMAT,
];

/// The formats that may begin with a byte, as bits by their place in [`FORMATS`].
static BY_FIRST_BYTE: std::sync::LazyLock<[u32; 256]> = std::sync::LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let byte = u8::try_from(byte).unwrap_or_default();
        let mut bits = 0;
        for (index, format) in FORMATS.iter().enumerate() {
            bits |= u32::from((format.starts)(byte)) << index;
        }
        bits
    })
});

/// The format of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|f| f.name == name)
}

/// Chooses a format line by line. What a line is read as depends on the line alone: the detector only
/// remembers where to look first.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    last: Option<&'static Format>,
}

impl Detector {
    /// Reads a line with the first format that takes it. The record is cleared first.
    pub fn parse(&mut self, cx: &mut Context, line: &[u8], out: &mut Record) -> &'static Format {
        let first = line.first().copied().unwrap_or_default();
        if let Some(last) = self.last.filter(|f| (f.starts)(first)) {
            out.clear();
            if (last.parse)(cx, line, out) {
                return last;
            }
        }
        let format = detect(cx, line, out, u32::MAX);
        if format.sure {
            self.last = Some(format);
        }
        format
    }
}

/// Tries the formats of the mask that may begin so, in order.
fn detect(cx: &mut Context, line: &[u8], out: &mut Record, mask: u32) -> &'static Format {
    let first = line.first().copied().unwrap_or_default();
    let mut bits = mask & BY_FIRST_BYTE.get(usize::from(first)).copied().unwrap_or(0);
    while bits != 0 {
        let index = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        out.clear();
        if let Some(format) = FORMATS.get(index)
            && (format.parse)(cx, line, out)
        {
            return format;
        }
    }
    out.clear();
    (raw::FORMAT.parse)(cx, line, out);
    &raw::FORMAT
}

/// Reads a line that another one has wrapped, which begins at `at` of it, with whatever format takes it.
fn detect_within(cx: &mut Context, text: &[u8], at: usize, out: &mut Record) {
    let first = text.first().copied().unwrap_or_default();
    let candidates = BY_FIRST_BYTE.get(usize::from(first)).copied().unwrap_or(0);
    for (index, format) in FORMATS.iter().enumerate() {
        let wrapper = matches!(format.name, "compose" | "cri" | "dockerjson");
        if candidates & (1 << index) != 0
            && !wrapper
            && out.within(at, |out| (format.parse)(cx, text, out))
        {
            return;
        }
    }
}

/// Reads a message that came over a syslog transport: RFC 5424 if it is, else RFC 3164 at its loosest
/// (no PRI, no time, no host). The record is cleared first.
pub fn syslog_message(cx: &mut Context, line: &[u8], out: &mut Record) -> &'static Format {
    out.clear();
    if (rfc5424::FORMAT.parse)(cx, line, out) {
        return &rfc5424::FORMAT;
    }
    out.clear();
    rfc3164::received(cx, line, out);
    &rfc3164::FORMAT
}

/// Whether `byte` is one of `set`.
#[inline]
fn is(byte: u8, set: &[u8]) -> bool {
    set.contains(&byte)
}
