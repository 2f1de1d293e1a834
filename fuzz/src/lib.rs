//! What fuzzers feed, and what must hold then: no panic, and the contract of what is read.
//!
//! The targets of libFuzzer are a line each and call [`run`] by their name; the tests replay seeds, and
//! others near them, through the same functions.

mod archives;
mod figures;
mod lines;

use vigie_parsers::archives::mrtg_cfg;

/// What becomes of an input.
type Check = fn(&[u8]);

/// The targets beside those of each format of lines.
const TARGETS: &[(&str, Check)] = &[
    ("detect", lines::detect),
    ("event_block", vigie_store::events::fuzz::block),
    ("framing", lines::framing),
    ("joining", lines::joining),
    ("journal_file", lines::journal_file),
    ("log_query", lines::log_query),
    ("mrtg", archives::mrtg),
    ("mrtg_cfg", |data| drop(mrtg_cfg::read(data))),
    ("pasted", lines::pasted),
    ("promql", figures::promql),
    ("rrd", archives::rrd),
    ("rrd_xml", archives::rrd_xml),
    ("series_page", vigie_store::series::fuzz::page),
    ("whisper", archives::whisper),
];

/// Feeds an input to a target: one of these, or the format of that name.
pub fn run(target: &str, data: &[u8]) {
    match TARGETS.iter().find(|(name, _)| *name == target) {
        Some((_, check)) => check(data),
        None => lines::format(target, data),
    }
}
