//! The list of log formats. A new one is a file here, a `mod` line, an entry in [`FORMATS`] and a
//! folder of samples.

use crate::{Context, Record};

pub use explain::{Departure, Explanation, explain};
pub use pasted::{FormatError, languages};

mod access;
mod ansi;
pub(crate) mod containers;
mod daemons;
pub(crate) mod dotnet;
mod envoy;
mod errorlog;
mod explain;
mod extras;
mod haproxy;
mod iso;
mod java;
mod journal;
mod json;
mod keepalived;
mod keys;
mod logfmt;
mod mysql;
mod packages;
mod pasted;
pub(crate) mod postgresql;
mod python;
mod raw;
mod redis;
mod rfc3164;
mod rfc5424;
mod squid;
mod syslog;
mod webkeys;
pub(crate) mod within;

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
    read: Read,
}

/// The latest time that can be shown in every zone, 9999-12-30T22:00:00Z. A later stamp is none and
/// stays a part of the line, as a damaged one does.
const TIME_MAX_MS: i64 = 253_402_207_200_000;

/// How a format reads.
#[derive(Debug)]
enum Read {
    Code(fn(&mut Context, &[u8], &mut Record) -> bool),
    Template(pasted::Template),
}

impl Format {
    /// Describes the line in the (cleared) record; `false` if it is not of this format.
    #[inline]
    pub fn parse(&self, cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
        let reads = match &self.read {
            Read::Code(read) => read(cx, line, out),
            Read::Template(template) => template.read(cx, line, out).is_ok(),
        };
        if out.time.is_some_and(|t| t.0 > TIME_MAX_MS) {
            (out.time, out.time_span) = (None, 0..0);
        }
        reads
    }

    /// The name without the definition that may follow it: `nginx` for `nginx: $remote_addr …`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.name.split(':').next().unwrap_or(self.name)
    }
}

/// All formats, in the order in which detection tries them: the most particular first, `raw`, which
/// takes everything, last.
pub const FORMATS: &[&Format] = &[
    &rfc5424::FORMAT,
    &journal::FORMAT,
    &containers::DOCKERJSON,
    &json::FORMAT,
    &containers::CRI,
    &access::COMBINED,
    &access::VHOST_COMBINED,
    &access::COMMON,
    &access::WERKZEUG,
    &squid::FORMAT,
    &haproxy::FORMAT,
    &envoy::FORMAT,
    &errorlog::NGINX,
    &errorlog::APACHE,
    &redis::FORMAT,
    &postgresql::FORMAT,
    &postgresql::CSV,
    &mysql::ERROR,
    &mysql::SLOW,
    &java::FORMAT,
    &daemons::FAIL2BAN,
    &daemons::BIND,
    &daemons::KLOG,
    &daemons::DMESG,
    &rfc3164::FORMAT,
    &keepalived::FORMAT,
    &pasted::W3C,
    &packages::DPKG,
    &packages::APT,
    &python::FORMAT,
    &dotnet::FORMAT,
    &iso::FORMAT,
    &containers::COMPOSE,
    &logfmt::FORMAT,
    &raw::FORMAT,
];

/// The formats that may begin with a byte, as bits by their place in [`FORMATS`].
static BY_FIRST_BYTE: std::sync::LazyLock<[u64; 256]> = std::sync::LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let byte = u8::try_from(byte).unwrap_or_default();
        let mut bits = 0;
        for (index, format) in FORMATS.iter().enumerate() {
            bits |= u64::from((format.starts)(byte)) << index;
        }
        bits
    })
});

/// The format of that name, or the one that a definition (`nginx: $remote_addr …`) defines.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    named(name).ok()
}

/// As [`find`], for what an operator has written.
///
/// # Errors
/// Names the known formats, or the column of a definition that cannot be understood.
pub fn named(name: &str) -> Result<&'static Format, FormatError> {
    if let Some(format) = FORMATS.iter().copied().find(|f| f.name == name) {
        return Ok(format);
    }
    pasted::find(name).unwrap_or_else(|| {
        let known: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
        let languages: Vec<_> = languages().map(|(name, _)| format!("{name}: …")).collect();
        Err(FormatError {
            column: 0,
            what: format!(
                "unknown format `{name}`; known: {}, {}",
                known.join(", "),
                languages.join(", ")
            ),
        })
    })
}

/// Chooses a format line by line. What a line is read as depends on the line alone, and on the columns
/// that a W3C log has named before it; beyond that the detector only remembers where to look first.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    last: Option<&'static Format>,
    /// The columns of a W3C log.
    columns: Option<&'static Format>,
}

/// Definitions from `#Fields:` lines in one process: files can bring a new one with each line.
const COLUMNS_MAX: usize = 256;

impl Detector {
    /// Reads a line with the first format that takes it. The record is cleared first.
    pub fn parse(&mut self, cx: &mut Context, line: &[u8], out: &mut Record) -> &'static Format {
        let first = line.first().copied().unwrap_or_default();
        if first == b'#' {
            self.heed(line);
        } else if let Some(columns) = self.columns {
            out.clear();
            if columns.parse(cx, line, out) {
                return columns;
            }
        }
        if let Some(last) = self.last.filter(|f| (f.starts)(first)) {
            out.clear();
            if last.parse(cx, line, out) {
                return last;
            }
        }
        let format = detect(cx, line, out, u64::MAX);
        if format.sure {
            self.last = Some(format);
        }
        format
    }
}

impl Detector {
    /// Reads a message that came over a syslog transport: RFC 5424 or RFC 3164 if it has a PRI. Without
    /// one it is what it looks like, JSON or an access line, else RFC 3164 at its loosest (no PRI, no time,
    /// no host). The record is cleared first.
    pub fn received(
        &mut self,
        cx: &mut Context,
        message: &[u8],
        out: &mut Record,
    ) -> &'static Format {
        let format = self.parse(cx, message, out);
        let loose = match format.name {
            "raw" => true,
            "rfc3164" => message.first() != Some(&b'<'),
            _ => false,
        };
        if !loose {
            return format;
        }
        out.clear();
        // Some put a byte order mark or a blank in front.
        let skipped = message.strip_prefix("\u{feff}".as_bytes());
        let skipped = skipped.unwrap_or(message).trim_ascii_start();
        let at = message.len() - skipped.len();
        if at > 0 && skipped.first() == Some(&b'<') {
            if out.within(at, |out| rfc5424::FORMAT.parse(cx, skipped, out)) {
                return &rfc5424::FORMAT;
            }
            out.inside(at, |out| rfc3164::received(cx, skipped, out));
        } else {
            rfc3164::received(cx, message, out);
        }
        &rfc3164::FORMAT
    }

    /// Takes note of the columns that a `#Fields:` line names: a file that is read from its middle on
    /// needs the last such line before.
    pub fn heed(&mut self, line: &[u8]) {
        if let Some(definition) = pasted::w3c_columns(line) {
            self.columns = pasted::find_columns(&definition, COLUMNS_MAX);
        }
    }
}

/// Tries the formats of the mask that may begin so, in order.
fn detect(cx: &mut Context, line: &[u8], out: &mut Record, mask: u64) -> &'static Format {
    let first = line.first().copied().unwrap_or_default();
    let mut bits = mask & BY_FIRST_BYTE.get(usize::from(first)).copied().unwrap_or(0);
    while bits != 0 {
        let index = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        out.clear();
        if let Some(format) = FORMATS.get(index)
            && format.parse(cx, line, out)
        {
            return format;
        }
    }
    out.clear();
    raw::FORMAT.parse(cx, line, out);
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
            && out.within(at, |out| format.parse(cx, text, out))
        {
            return;
        }
    }
}

/// Whether `byte` is one of `set`.
#[inline]
fn is(byte: u8, set: &[u8]) -> bool {
    set.contains(&byte)
}
