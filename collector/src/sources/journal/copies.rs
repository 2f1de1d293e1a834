//! A journal file may lie there more than once: copies of it have its id, beside it or in its place.
//!
//! Copies agree as far as the shorter goes, and only one of them grows. So the one with the highest
//! number is read, and since how far a file was read is a number of its own, going over to another copy
//! neither loses nor doubles an entry.

use std::path::PathBuf;
use std::time::SystemTime;

use vigie_parsers::journal::{Damage, Error, Journal, LineWriter};

use super::file::{self, JournalFile};
use super::followed::{Followed, folder};
use super::follower::Follower;
use super::position::{FileId, Position};
use super::scan::refused;

/// A journal file that is not open under this name.
pub(super) struct Copy {
    journal: Journal<JournalFile>,
    path: PathBuf,
    inode: (u64, u64),
    place: usize,
    /// When this inode was made. Of two that have the same entries the older one is the original.
    made: Option<SystemTime>,
}

impl Copy {
    pub(super) fn id(&self) -> FileId {
        self.journal.header().file_id
    }

    /// The number of its last entry.
    fn tail(&self) -> u64 {
        self.journal.header().seqnums.1
    }

    /// Whether this one is to be read rather than another.
    pub(super) fn is_better(&self, other: &Self) -> bool {
        let older = matches!((self.made, other.made), (Some(a), Some(b)) if a < b);
        self.tail() > other.tail() || (self.tail() == other.tail() && older)
    }

    /// Ready to be read behind this position.
    fn followed(self, position: Position) -> Followed {
        Followed {
            journal: self.journal,
            writer: LineWriter::default(),
            pending: None,
            position: Position {
                path: self.path,
                done: false,
                ..position
            },
            moved: false,
            gone: false,
            inode: self.inode,
            place: self.place,
            damage: Damage::default(),
        }
    }
}

impl Follower {
    /// Opens a file that is not followed under this name.
    pub(super) fn open(&mut self, path: PathBuf) -> Option<Copy> {
        let metadata = std::fs::metadata(&path).ok();
        let inode = file::inode(&path).unwrap_or_default();
        let place = self.place(&folder(&path));
        match JournalFile::open(&path) {
            Ok(journal) => Some(Copy {
                journal,
                path,
                inode,
                place,
                made: metadata.and_then(|m| m.created().ok()),
            }),
            // It was renamed or removed just now.
            Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => None,
            // It is being made.
            Err(Error::Empty) => None,
            Err(e) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let why = match &e {
                    Error::Io(e) => refused(e),
                    e => e.to_string(),
                };
                self.source(place).fail(&format!("{name}: {why}"));
                None
            }
        }
    }

    /// A file that is not followed: what is to be followed of it.
    pub(super) fn meet(&self, copy: Copy) -> Option<Followed> {
        let id = copy.id();
        let known = self.positions.get(&id);
        // Another copy of what was read to its end may have gone on.
        let ended = self.ended.get(&id).copied();
        if known.is_some_and(|p| p.done && copy.tail() <= ended.unwrap_or(0).max(p.seqnum)) {
            return None;
        }
        let new = || Position::new(id, copy.journal.header().seqnum_id, &copy.path);
        let position = known.cloned().unwrap_or_else(new);
        Some(copy.followed(position))
    }

    /// Goes over to another copy of a file that is followed, when that has more or this one has lost its
    /// name.
    pub(super) fn prefer(&mut self, copy: Copy, has_name: bool) {
        let id = copy.id();
        let Some(held) = self.files.get_mut(&id) else {
            return;
        };
        // One that cannot be read any more gives way.
        if held.journal.refresh().is_ok() {
            let tail = held.journal.header().seqnums.1;
            let all_read = held.pending.is_none() && held.journal.entries_left() == 0;
            let wins = copy.tail() > tail || (!has_name && (copy.tail() == tail || all_read));
            if !wins {
                return;
            }
        }
        let (old, position) = (held.place, held.position.clone());
        if let Some(folder) = self.folders.get(old) {
            held.count_damage(&folder.source);
        }
        let mut copy = copy.followed(position);
        copy.moved = true;
        let source = self.source(copy.place);
        match copy.resume() {
            Ok(()) => {
                source.work("");
                self.files.insert(id, copy);
            }
            Err(e) => source.fail(&format!("cannot be read: {e}")),
        }
    }
}
