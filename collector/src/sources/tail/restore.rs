//! Where the files of the last run are now: under their names, renamed, copied or packed by rotation.
//!
//! A log that was rotated while nobody looked has its rest in a piece with another name, and whole
//! pieces behind that one which were never seen. All of them are read, each line once: the piece we
//! were in is known by its content, the younger ones by the numbers or dates in their names. Where nothing
//! of a log was read there is no content to know it by: then the times of its pieces tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use vigie_parsers::Timestamp;

use super::super::content::Content;
use super::followed::{self, Followed};
use super::identity::{Id, Print};
use super::position::{FILE_PREFIX, Position};
use super::tailer::Tailer;
use crate::rotation;

/// Entries of a directory that are looked at in search of a rotated file.
const SIBLINGS_MAX: usize = 10_000;
/// Folders around a log in which its pieces are looked for.
const FOLDERS_MAX: usize = 100;
/// Pieces that are gone when they are opened are looked for so often: one that is being packed gets another name
/// once.
const LOOKS: usize = 3;

/// Where a piece stands in the row of its log: how often it was turned away, and when it was last
/// written to, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) turn: i64,
    written: i128,
}

/// What the positions of a log tell of its pieces.
#[derive(Default)]
struct Known {
    /// The youngest that we were in; one that was not found may be any.
    youngest: Option<Option<Rank>>,
    /// The folders in which they lie.
    folders: BTreeSet<PathBuf>,
    /// Nothing is read of the log: all is known up to this time.
    since: Option<i128>,
}

impl Tailer {
    /// Finds the files of the positions in the store; whether there were any.
    pub(super) fn restore(&mut self, now: Timestamp) -> bool {
        let restored = std::mem::take(&mut self.restored);
        let any = !restored.is_empty();
        self.restore_these(restored, now);
        any
    }

    /// Finds the files of positions, and the pieces that came after them.
    pub(super) fn restore_these(&mut self, positions: Vec<Position>, now: Timestamp) {
        let mut logs: BTreeMap<PathBuf, Known> = BTreeMap::new();
        for position in positions {
            let Some(group) = self.group_of(&position.path) else {
                // Nobody asks for it at present.
                self.miss(position, now);
                continue;
            };
            if self.make_room().is_err() {
                self.leave_asleep(position);
                continue;
            }
            let place = self.restore_one(&position, group, now);
            // What was missing before, and still is, says nothing of the file that has its name now.
            if position.followed_up || place.is_none() && position.missing.is_some() {
                continue;
            }
            let log = logs.entry(position.path.clone()).or_default();
            log.since = log.since.max(position.since);
            // A file of which nothing was read says nothing of others if it is not found.
            if place.is_some() || position.offset > 0 {
                let rank = place.as_deref().and_then(|p| Rank::of(&position.path, p));
                let youngest = log.youngest.get_or_insert(rank);
                *youngest = youngest.zip(rank).map(|(a, b)| a.min(b));
                log.folders
                    .extend(place.as_deref().and_then(Path::parent).map(Path::to_owned));
            }
        }
        for (path, log) in logs {
            if let Some(rank) = log.youngest.flatten() {
                self.follow_younger(&path, &log.folders, rank);
                self.count_strange(&path, rank);
            }
            if let Some(since) = log.since {
                self.follow_since(&path, since);
            }
        }
    }

    /// Follows what a position speaks of; where that lies now.
    fn restore_one(
        &mut self,
        position: &Position,
        group: usize,
        now: Timestamp,
    ) -> Option<PathBuf> {
        let mut known = false;
        if let Some((place, content)) = find(position) {
            if is_whole(position, &content) {
                self.follow(position.clone(), group, &place, content);
                return Some(place);
            }
            // Something else stands in it now: it was emptied, or its number was given away.
            let anew = Position::unread(position.id, &position.path);
            self.follow(anew, group, &place, content);
            known = true;
        } else if std::fs::metadata(&position.path).is_ok_and(|m| Id::of(&m) == position.id) {
            // It is there, and cannot be read at present.
            self.miss(position.clone(), now);
            return None;
        }
        let copy = self.adopt_copy(position, &position.path);
        match (&copy, known) {
            (None, true) => self.count_gone(position),
            (None, false) => self.miss(position.clone(), now),
            (Some(_), true) => {}
            (Some(_), false) => {
                self.touched.entry(position.id).or_insert(None);
            }
        }
        copy
    }

    /// A file has lost its name. If it was turned away more than once since the last look, there are
    /// pieces behind it that had the name meanwhile.
    pub(super) fn turned_away(&mut self, id: Id) {
        let Some(path) = self.files.get(&id).map(|f| f.position.path.clone()) else {
            return;
        };
        let is_it = |p: &PathBuf| std::fs::metadata(p).is_ok_and(|m| Id::of(&m) == id);
        let place = siblings(&path).filter(|p| is_family(&path, p)).find(is_it);
        if let Some(rank) = place.and_then(|p| Rank::of(&path, &p)) {
            self.follow_younger(&path, &BTreeSet::new(), rank);
        }
    }

    /// Follows the pieces of a log that were turned away after the one we were in: all in them is new.
    /// Names and times must both say so, for some number their pieces the other way round, and packing
    /// may change a time.
    pub(super) fn follow_younger(&mut self, path: &Path, folders: &BTreeSet<PathBuf>, known: Rank) {
        let younger = |r: &Rank| (1..known.turn).contains(&r.turn) && r.written >= known.written;
        self.follow_pieces(path, folders, younger);
    }

    /// Counts what looks like a piece that is younger than the one we were in, but has no name that we understand.
    fn count_strange(&self, log: &Path, known: Rank) {
        let name = log.file_name().unwrap_or_default().as_encoded_bytes();
        let is_strange = |piece: &PathBuf| {
            let piece_name = piece.file_name().unwrap_or_default().as_encoded_bytes();
            let rest = piece_name.strip_prefix(name).unwrap_or_default();
            matches!(rest.first(), Some(b'.' | b'-' | b'_'))
                && rest.iter().any(u8::is_ascii_digit)
                && rotation::turn(log, piece).is_none()
                && self.group_of(piece).is_none()
        };
        let is_new = |piece: &PathBuf| {
            let metadata = std::fs::metadata(piece).ok().filter(Metadata::is_file);
            metadata.is_some_and(|m| {
                written(&m) > known.written && !self.files.contains_key(&Id::of(&m))
            })
        };
        if known.turn == 0 {
            return;
        }
        for piece in siblings(log).filter(is_strange).filter(is_new) {
            let source = self
                .status
                .source(&format!("{FILE_PREFIX}{}", log.display()));
            source.drop_items("unread_piece", 1);
            tracing::warn!(file = %piece.display(), "may be a rotated piece of {}, not read: its name tells no date", log.display());
        }
    }

    /// Follows the pieces of a log that were written to after a time at which nothing in it was new.
    pub(super) fn follow_since(&mut self, path: &Path, since: i128) {
        self.follow_pieces(path, &BTreeSet::new(), |r| r.turn > 0 && r.written > since);
    }

    fn follow_pieces(
        &mut self,
        path: &Path,
        folders: &BTreeSet<PathBuf>,
        is_new: impl Fn(&Rank) -> bool,
    ) {
        let Some(group) = self.group_of(path) else {
            return;
        };
        let own = path.parent().map(Path::to_owned);
        let folders: BTreeSet<_> = folders.iter().cloned().chain(own).collect();
        let mut done = BTreeSet::new();
        for left in (0..LOOKS).rev() {
            let mut vanished = false;
            for (rank, piece) in pieces(path, &folders) {
                if !is_new(&rank) || done.contains(&rank.turn) {
                    continue;
                }
                match self.follow_piece(path, group, &piece) {
                    // It has just been packed: what it became is whole.
                    Err(e) if e.kind() == io::ErrorKind::NotFound && left > 0 => {
                        vanished = true;
                        continue;
                    }
                    Err(e) => self.lose_piece(path, &piece, &e),
                    Ok(()) => {}
                }
                done.insert(rank.turn);
            }
            if !vanished {
                break;
            }
        }
        // From now on each of them has a position, and later pieces are those of the present file.
        for file in self.files.values_mut() {
            if file.position.path == path && file.place != path {
                file.position.followed_up = true;
                self.touched
                    .insert(file.position.id, Some(file.position.encode()));
            }
        }
    }

    fn lose_piece(&self, log: &Path, piece: &Path, why: &io::Error) {
        let name = format!("{FILE_PREFIX}{}", log.display());
        self.status.source(&name).drop_items("unread_piece", 1);
        tracing::warn!(file = %piece.display(), "was rotated while vigie was stopped, not read: {why}");
    }

    /// Where another file has the name of a log now and is followed, later pieces are that one's.
    pub(super) fn mark_followed_up(&mut self) {
        let named = |(id, f): (&Id, &Followed)| {
            (f.wanted && f.place == f.position.path).then(|| (f.place.clone(), *id))
        };
        let now: BTreeMap<PathBuf, Id> = self.files.iter().filter_map(named).collect();
        for (id, file) in &mut self.files {
            let position = &mut file.position;
            if !position.followed_up && now.get(&position.path).is_some_and(|n| n != id) {
                position.followed_up = true;
                self.touched.insert(*id, Some(position.encode()));
            }
        }
        for (id, position) in &mut self.missing {
            if !position.followed_up && now.contains_key(&position.path) {
                position.followed_up = true;
                self.touched.insert(*id, Some(position.encode()));
            }
        }
    }

    fn follow_piece(&mut self, path: &Path, group: usize, piece: &Path) -> io::Result<()> {
        let (content, id) = open(piece)?;
        if self.files.contains_key(&id) {
            return Ok(());
        }
        self.make_room()?;
        let mut position = Position::unread(id, path);
        // It is finished, so it may be known by what we have not read yet.
        position.print = Print::take(&content, 0)?;
        position.print.grow(&content, u64::MAX)?;
        self.follow(position, group, piece, content);
        Ok(())
    }
}

pub(super) fn open(path: &Path) -> io::Result<(Content, Id)> {
    let (file, metadata) = followed::open(path)?;
    Ok((Content::of(file)?, Id::of(&metadata)))
}

/// Whether a file still has what was read of it.
pub(super) fn is_whole(position: &Position, content: &Content) -> bool {
    let long = content.is_packed()
        || content
            .metadata()
            .is_ok_and(|m| m.size() >= position.offset);
    long && position
        .print
        .matches(content, position.offset)
        .unwrap_or(false)
}

impl Rank {
    /// Of a piece of the log; `None` if it is none.
    pub(super) fn of(log: &Path, piece: &Path) -> Option<Self> {
        let turn = rotation::turn(log, piece)?;
        let metadata = std::fs::metadata(piece).ok()?;
        Some(Self {
            turn,
            written: written(&metadata),
        })
    }
}

/// The pieces of a log in some folders, the youngest first. Of `app.log.1` and an `app.log.1.gz` that is not whole
/// yet only the first.
fn pieces(log: &Path, folders: &BTreeSet<PathBuf>) -> Vec<(Rank, PathBuf)> {
    let mut pieces: Vec<_> = folders
        .iter()
        .flat_map(|folder| entries(folder))
        .filter_map(|piece| Some((Rank::of(log, &piece)?, piece)))
        .collect();
    pieces.sort_by(|(a, x), (b, y)| a.turn.cmp(&b.turn).then_with(|| x.cmp(y)));
    pieces.dedup_by_key(|(rank, _)| rank.turn);
    pieces
}

/// When a file was last written to, in ns.
pub(super) fn written(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// The time up to which all is known of a log of which nothing is read: of an empty one that of its youngest
/// piece, which was turned away before or is followed; else just before its last line, for a copy of it has the
/// same time.
pub(super) fn known_until(log: &Path, file: &Content) -> Option<i128> {
    let metadata = file.metadata().ok()?;
    let own = written(&metadata);
    if metadata.size() > 0 {
        return Some(own - 1);
    }
    let pieces = siblings(log).filter_map(|piece| Rank::of(log, &piece));
    Some(pieces.map(|rank| rank.written).fold(own, i128::max))
}

/// The file of a position by its number: under its name, or beside it under another.
fn find(position: &Position) -> Option<(PathBuf, Content)> {
    if let Ok((content, id)) = open(&position.path)
        && id == position.id
    {
        return Some((position.path.clone(), content));
    }
    // Of a file of which nothing was read only the name tells, and numbers are given again: it must have
    // been the log itself when we stopped.
    let told = |path: &Path| {
        position.print.head_len > 0 || !position.followed_up && is_family(&position.path, path)
    };
    let same = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|m| Id::of(&m) == position.id) && told(path)
    };
    let beside = siblings(&position.path).find(same);
    let place = beside.or_else(|| near(position))?;
    let (content, _) = open(&place).ok()?;
    // The number may have gone to another file.
    is_whole(position, &content).then_some((place, content))
}

/// The file of a position in the folders around its own: logrotate's `olddir`, or where finished files are moved.
fn near(position: &Position) -> Option<PathBuf> {
    // A second time nobody need look so far; and of a file of which nothing was read only the name tells.
    if position.missing.is_some() || position.print.head_len == 0 {
        return None;
    }
    let folder = position.path.parent()?;
    let is_dir = |e: &DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
    let around = [Some(folder), folder.parent()].into_iter().flatten();
    let folders = around.flat_map(|f| std::fs::read_dir(f).into_iter().flatten().flatten());
    let mut entries = folders
        .take(SIBLINGS_MAX)
        .filter(is_dir)
        .take(FOLDERS_MAX)
        .flat_map(|dir| {
            std::fs::read_dir(dir.path())
                .into_iter()
                .flatten()
                .flatten()
        })
        .take(SIBLINGS_MAX);
    let is_it = |e: &DirEntry| {
        e.ino() == position.id.ino && e.metadata().is_ok_and(|m| Id::of(&m) == position.id)
    };
    entries.find(is_it).map(|e| e.path())
}

/// The entries of the directory in which a file lies, itself among them.
pub(super) fn siblings(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    path.parent().map(entries).into_iter().flatten()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let dir = std::fs::read_dir(folder).into_iter().flatten().flatten();
    dir.take(SIBLINGS_MAX).map(|e| e.path())
}

/// Whether the second may be what rotation made of the first: `app.log` → `app.log.1`,
/// `app.log-20261121`, `app-20261121.log`. The same name counts too: editors replace files.
pub(super) fn is_family(first: &Path, second: &Path) -> bool {
    if first == second {
        return true;
    }
    let (Some(a), Some(b)) = (first.file_name(), second.file_name()) else {
        return false;
    };
    let (a, b) = (a.as_encoded_bytes(), b.as_encoded_bytes());
    let stem = memchr::memrchr(b'.', a).map_or(a, |dot| &a[..dot]);
    let goes_on = |stem: &[u8]| {
        !stem.is_empty()
            && b.strip_prefix(stem)
                .is_some_and(|rest| matches!(rest.first(), Some(b'.' | b'-' | b'_')))
    };
    first.parent() == second.parent() && a != b && (goes_on(a) || goes_on(stem))
}
