//! Positions whose files are not to be found at present.
//!
//! A file system that is mounted later, a permission that comes back, a file that was moved into another followed
//! folder, a table that is taken out of the configuration for a while: when the file is met after all, it is
//! read on, not anew.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use vigie_parsers::Timestamp;

use super::super::content::Content;
use super::identity::Id;
use super::position::{FILE_PREFIX, Position};
use super::restore::Rank;
use super::tailer::Tailer;

/// Positions that wait for their files at most; beyond it those that have waited longest are let go.
const MISSING_MAX: usize = 1000;
/// A position waits so long: longer than a machine is usually away, and than most logs are kept.
const MISSING_MS: i64 = 30 * 86_400_000;

impl Tailer {
    /// Keeps a position until its file is met.
    pub(super) fn miss(&mut self, mut position: Position, now: Timestamp) {
        // Nothing was read of it, or all.
        if position.offset == 0 || position.parked {
            self.touched.entry(position.id).or_insert(None);
            return;
        }
        if position.missing.is_none() {
            position.missing = Some(now);
            self.touched.insert(position.id, Some(position.encode()));
        }
        self.missing.insert(position.id, position);
    }

    /// A file that was not known has the name of one that is missing: it may have come back together with what
    /// rotation made of it.
    pub(super) fn look_again_for(&mut self, paths: &[&Path], now: Timestamp) {
        let returned: Vec<Id> = self
            .missing
            .values()
            .filter(|position| paths.contains(&position.path.as_path()))
            .map(|position| position.id)
            .collect();
        let positions: Vec<_> = returned
            .iter()
            .filter_map(|id| self.missing.remove(id))
            .collect();
        if !positions.is_empty() {
            self.restore_these(positions, now);
        }
    }

    /// Follows a new file from where we were, if its position was missing; whether it was.
    pub(super) fn go_on_in_found(
        &mut self,
        path: &Path,
        group: usize,
        file: &File,
    ) -> io::Result<bool> {
        let metadata = file.metadata()?;
        let id = Id::of(&metadata);
        let Some(position) = self.missing.get(&id) else {
            return Ok(false);
        };
        let Position { offset, print, .. } = position;
        if metadata.size() < *offset || !print.matches(file, *offset)? {
            return Ok(false);
        }
        let position = position.clone();
        let content = Content::of(file.try_clone()?)?;
        let log = position.path.clone();
        let rank = Rank::of(&log, path).filter(|_| !position.followed_up);
        self.follow(position, group, path, content);
        if let Some(rank) = rank {
            let folders = path.parent().map(PathBuf::from).into_iter().collect();
            self.follow_younger(&log, &folders, rank);
        }
        Ok(true)
    }

    /// Counts the files that are truly gone, and lets positions go that have waited too long.
    pub(super) fn settle_missing(&mut self, now: Timestamp) {
        let mut waiting: Vec<_> = self
            .missing
            .values()
            .map(|p| (p.missing.unwrap_or(now), p.id))
            .collect();
        waiting.sort_unstable();
        let excess = waiting.len().saturating_sub(MISSING_MAX);
        for (n, (since, id)) in waiting.into_iter().enumerate() {
            let over = n < excess || now.since_ms(since) >= MISSING_MS;
            let Some(position) = self.missing.get(&id).filter(|p| over || !p.counted) else {
                continue;
            };
            if over || !is_out_of_reach(position) && !self.is_unasked(id) {
                self.give_up(id, over);
            }
        }
    }

    fn is_unasked(&self, id: Id) -> bool {
        self.missing
            .get(&id)
            .is_some_and(|p| self.group_of(&p.path).is_none())
    }

    fn give_up(&mut self, id: Id, wholly: bool) {
        let Some(mut position) = self.missing.remove(&id) else {
            return;
        };
        if self.group_of(&position.path).is_some() {
            self.count_gone(&position);
        }
        position.counted = true;
        let value = (!wholly).then(|| position.encode());
        self.touched.insert(id, value);
        if !wholly {
            self.missing.insert(id, position);
        }
    }

    /// What was added to a file after we saw it last is not known.
    pub(super) fn count_gone(&self, position: &Position) {
        if position.offset > 0 && !position.parked && !position.counted {
            let name = format!("{FILE_PREFIX}{}", position.path.display());
            self.status.source(&name).drop_items("gone", 1);
        }
    }
}

/// Whether a file may well be where it was: its folder is not there, not to be read, or the file system that was
/// there is another one.
fn is_out_of_reach(position: &Position) -> bool {
    let is_there = std::fs::metadata(&position.path).is_ok_and(|m| Id::of(&m) == position.id);
    let folder = position
        .path
        .parent()
        .map(|f| (std::fs::read_dir(f), std::fs::metadata(f)));
    let same = matches!(folder, Some((Ok(_), Ok(m))) if m.dev() == position.id.dev);
    is_there || !same
}
