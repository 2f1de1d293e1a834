//! The list of log formats. A new one is a file here, a `mod` line and an entry in [`FORMATS`].

use crate::{Context, Record};

mod access;
mod raw;
mod rfc3164;
mod rfc5424;
mod syslog;

/// A log format: how to read one line of it.
#[derive(Debug)]
pub struct Format {
    /// The name in configuration, in stores and in the `format` field.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Describes the line in the (cleared) record; `false` if it is not of this format.
    pub parse: fn(&mut Context, &[u8], &mut Record) -> bool,
}

/// All formats, in the order in which detection tries them: the most particular first, `raw`, which
/// takes everything, last.
pub const FORMATS: &[&Format] = &[
    &rfc5424::FORMAT,
    &access::COMBINED,
    &access::VHOST_COMBINED,
    &access::COMMON,
    &rfc3164::FORMAT,
    &raw::FORMAT,
];

/// The format of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|f| f.name == name)
}

/// Chooses a format line by line: the one that read the last line is tried first.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    last: usize,
}

impl Detector {
    /// Reads a line with the first format that takes it. The record is cleared first.
    pub fn parse(&mut self, cx: &mut Context, line: &[u8], out: &mut Record) -> &'static Format {
        let particular = FORMATS.len() - 1;
        let first = (self.last < particular).then_some(self.last);
        for index in first.into_iter().chain(0..particular) {
            out.clear();
            if (FORMATS[index].parse)(cx, line, out) {
                self.last = index;
                return FORMATS[index];
            }
        }
        out.clear();
        (raw::FORMAT.parse)(cx, line, out);
        &raw::FORMAT
    }
}
