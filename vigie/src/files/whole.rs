//! One file from end to end, as `--explain` goes through it.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Result;
use vigie_parsers::{Encoding, Event};

use super::input::Input;
use super::lines::Lines;
use super::{Reading, journal};

/// What a file turned out to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    /// A journal of systemd's.
    pub(crate) is_journal: bool,
    /// Packed with gzip or zstd.
    pub(crate) is_packed: bool,
    /// What its characters are.
    pub(crate) encoding: Option<Encoding>,
    /// Lines, or entries of a journal.
    pub(crate) lines: u64,
    /// Lines that are longer than the limit.
    pub(crate) cut: u64,
    /// Why not all of it could be read.
    pub(crate) damage: Option<String>,
}

/// Hands over every event of a file; its id is the number of its first line.
///
/// # Errors
/// When the file cannot be opened.
pub(crate) fn each_event(
    path: &Path,
    reading: &Reading,
    each: &mut dyn FnMut(&Event),
) -> Result<Whole> {
    let mut each = |event: &Event| {
        each(event);
        ControlFlow::Continue(())
    };
    if let Some(mut file) = journal::open(path)? {
        let mut whole = Whole {
            is_journal: true,
            ..Whole::default()
        };
        let origin = journal::origin(path);
        let read = journal::each_entry(&mut file, &origin, &mut whole.lines, None, &mut each)?;
        whole.damage = read.damage;
        return Ok(whole);
    }
    let mut input = Input::open(path)?;
    let mut lines = Lines::new(path, input.modified, reading, 0);
    let read: io::Result<_> = lines.read_all(&mut input, None, &mut 0, &mut each);
    Ok(Whole {
        is_journal: false,
        is_packed: input.is_packed,
        encoding: lines.encoding(),
        lines: lines.number,
        cut: lines.cut,
        damage: read.err().map(|e| e.to_string()),
    })
}
