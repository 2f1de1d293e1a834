//! Where there are more files than can be followed at once, those that have been quiet longest give way: only their
//! positions are kept until a scan finds that they have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use vigie_parsers::Timestamp;

use super::identity::Id;
use super::position::{FILE_PREFIX, Position};
use super::restore::{is_whole, open, written};
use super::scan::Wanted;
use super::tailer::Tailer;
use crate::rotation;

/// Files followed at once; each has an open descriptor.
pub(super) const FILES_MAX: usize = if cfg!(test) { 100 } else { 1000 };
/// Positions of files that gave way, at most.
const ASLEEP_MAX: usize = 20_000;

/// A file that was read to its end and is not open.
pub(super) struct Asleep {
    position: Position,
    /// When it was written to last, in ns, if we looked.
    written: Option<i128>,
}

impl Asleep {
    /// Whether a file of the same number is still as it was read.
    fn is_unchanged(&mut self, found: &Wanted) -> bool {
        let Self { position, .. } = self;
        if found.size != position.offset || found.path != position.path {
            return false;
        }
        let whole = || {
            open(&found.path)
                .is_ok_and(|(content, id)| id == position.id && is_whole(position, &content))
        };
        let unchanged = match self.written {
            Some(written) => written == found.written,
            None => whole(),
        };
        self.written = Some(found.written);
        unchanged
    }
}

impl Tailer {
    /// Makes room for one more file, if there is one to give way: a piece that is only watched, else the one
    /// that has been quiet longest.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        if self.files.len() < FILES_MAX {
            return Ok(());
        }
        let parked = self
            .files
            .iter()
            .filter(|(_, f)| f.position.parked && !f.wanted);
        if let Some((id, _)) = parked.min_by_key(|(_, f)| f.quiet_since) {
            let id = *id;
            self.forget(id);
            return Ok(());
        }
        let full = || {
            io::Error::other(format!(
                "{FILES_MAX} files are followed already, and none is quiet"
            ))
        };
        if self.asleep.len() >= ASLEEP_MAX {
            return Err(io::Error::other(format!("more than {ASLEEP_MAX} files")));
        }
        let quiet = self.files.iter().filter_map(|(id, f)| {
            let idle = f.wanted && f.place == f.position.path && f.is_read();
            Some((f.quiet_since.filter(|_| idle)?, *id))
        });
        let (_, id) = quiet.min().ok_or_else(full)?;
        self.lull(id);
        Ok(())
    }

    /// Closes a file that was read to its end, and keeps its position.
    fn lull(&mut self, id: Id) {
        let Some(mut file) = self.files.remove(&id) else {
            return;
        };
        self.rows.extend(file.lines.figures().rows);
        let asleep = Asleep {
            written: file.file.metadata().ok().map(|m| written(&m)),
            position: file.position,
        };
        self.asleep.insert(id, asleep);
    }

    /// Leaves a file that was known at the last stop alone until a scan has room for it.
    pub(super) fn leave_asleep(&mut self, position: Position) {
        let asleep = Asleep {
            written: None,
            position,
        };
        self.asleep.insert(asleep.position.id, asleep);
    }

    /// Follows those again that have changed, and those whose name or whose pieces' names are given to others.
    pub(super) fn wake(&mut self, wanted: &BTreeMap<Id, Wanted>, now: Timestamp) {
        if self.asleep.is_empty() {
            return;
        }
        let is_new = |id: &Id| !self.files.contains_key(id) && !self.asleep.contains_key(id);
        let logs: BTreeSet<_> = wanted
            .iter()
            .filter(|(id, _)| is_new(id))
            .map(|(_, found)| rotation::base(&found.path).0)
            .collect();
        let mut awake = Vec::new();
        self.asleep.retain(|id, asleep| {
            let found = wanted.get(id);
            let unchanged = found.is_some_and(|found| asleep.is_unchanged(found));
            let stays = unchanged && !logs.contains(&asleep.position.path);
            if !stays {
                // If it is deleted nothing is lost with it: it was read to its end.
                asleep.position.parked = found.is_none() && asleep.written.is_some();
                awake.push(asleep.position.clone());
            }
            stays
        });
        for position in awake {
            let log = position.path.clone();
            self.restore_these(vec![position], now);
            self.end_source(&log);
        }
    }

    /// Says of a log that it has ended, if no file of it is left.
    fn end_source(&self, log: &Path) {
        let asleep = self.asleep.values().any(|a| a.position.path == log);
        if !asleep {
            self.stop_source(&format!("{FILE_PREFIX}{}", log.display()));
        }
    }
}
