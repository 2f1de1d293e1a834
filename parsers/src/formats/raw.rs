//! `raw`: any line at all, all of it message.

use super::{Format, Read};
use crate::{Context, Record};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "raw",
    about: "any line, taken as it is",
    starts: |_| true,
    sure: false,
    read: Read::Code(parse),
};

fn parse(_cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    out.set_message(0, line.len());
    true
}
