//! One journal file that is being read.

use std::path::{Path, PathBuf};

use vigie_parsers::journal::{Damage, Entry, Journal, LineWriter, State};

use super::file::{self, JournalFile};
use super::position::{FileId, Position};
use crate::config::Match;
use crate::status::Source;

/// Which entries are kept.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) keep: Vec<Match>,
    pub(super) leave_out: Vec<Match>,
}

/// See the module.
pub(super) struct Followed {
    pub(super) journal: Journal<JournalFile>,
    pub(super) writer: LineWriter,
    /// Read, but not taken yet.
    pub(super) pending: Option<Entry>,
    pub(super) position: Position,
    /// The position differs from what the store has.
    pub(super) moved: bool,
    /// It has no name any more: vacuumed, or moved away.
    pub(super) gone: bool,
    pub(super) inode: (u64, u64),
    /// The number of its folder.
    pub(super) place: usize,
    /// Damage that was counted already.
    pub(super) damage: Damage,
}

impl Followed {
    pub(super) fn id(&self) -> FileId {
        self.position.file
    }

    /// Files of the same folder and family are merged.
    pub(super) fn group(&self) -> (PathBuf, String) {
        let path = &self.position.path;
        (folder(path), file::family(path))
    }

    /// Its next entry is not older than this, microseconds since 1970.
    pub(super) fn from(&self) -> u64 {
        match &self.pending {
            Some(entry) => entry.realtime,
            None if self.position.seqnum != 0 => self.position.realtime,
            None => self.journal.header().realtimes.0,
        }
    }

    /// Whether nothing will be added.
    pub(super) fn is_final(&self) -> bool {
        let header = self.journal.header();
        header.state == State::Archived || self.gone || file::is_put_aside(&self.position.path)
    }

    /// Goes on behind the last entry that was read.
    pub(super) fn resume(&mut self) -> std::io::Result<()> {
        let last = self.position.seqnum;
        if last == 0 {
            Ok(())
        } else {
            self.journal.seek(|e| e.seqnum <= last)
        }
    }

    /// Begins with the entries of this time and later ones, microseconds since 1970.
    pub(super) fn skip_before(&mut self, time: u64) -> std::io::Result<()> {
        self.journal.seek(|e| e.realtime < time)?;
        self.position.seqnum = self.journal.last_seqnum();
        self.position.realtime = self.position.realtime.max(time);
        self.moved = true;
        Ok(())
    }

    /// Counts the damage that was met since the last time.
    pub(super) fn count_damage(&mut self, source: &Source) {
        let (now, before) = (self.journal.damage(), self.damage);
        if now != before {
            source.drop_items("damaged_entries", now.entries - before.entries);
            source.drop_items("damaged_fields", now.fields - before.fields);
            source.drop_items("damaged_arrays", now.arrays - before.arrays);
            self.damage = now;
        }
    }

    /// Whether the pending entry is wanted.
    pub(super) fn is_wanted(&mut self, wanted: &Wanted) -> std::io::Result<bool> {
        if wanted.keep.is_empty() && wanted.leave_out.is_empty() {
            return Ok(true);
        }
        let mut keep = wanted.keep.is_empty();
        for index in 0..self.journal.fields() {
            if let Some(datum) = self.journal.datum(index)? {
                let takes = |m: &Match| m.takes(datum.name, datum.value);
                if wanted.leave_out.iter().any(takes) {
                    return Ok(false);
                }
                keep = keep || wanted.keep.iter().any(takes);
            }
        }
        Ok(keep)
    }
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}
