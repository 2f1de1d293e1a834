//! Files that have lost their name: how long they are still watched.
//!
//! The writer of a log may have it open long after it was turned away: a server ends its downloads first, and
//! logrotate's `delaycompress` waits a whole turn for that. So the youngest piece of a log stays watched until
//! it is deleted, packed or turned away once more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vigie_parsers::Timestamp;
use vigie_store::SourceState;

use super::followed::Followed;
use super::identity::Id;
use super::position::Position;
use super::restore;
use super::tailer::Tailer;

/// A file without a wanted name is done when nothing came for so long: its last line is whole, though it may
/// have no end.
const QUIET_MS: i64 = 30_000;
/// Pieces that are watched on at most, each with an open descriptor: those written to last.
const PARKED_MAX: usize = 300;

impl Tailer {
    /// Files without a wanted name that have been quiet for long are done, but for the youngest of each log.
    pub(super) fn close_quiet(&mut self, now: Timestamp) {
        let quiet = |f: &Followed| f.quiet_since.is_some_and(|s| now.since_ms(s) >= QUIET_MS);
        let done: Vec<_> = self
            .files
            .iter()
            .filter(|(_, f)| quiet(f) && (f.file.is_packed() || !f.wanted && self.is_gone(f)))
            .map(|(id, _)| *id)
            .collect();
        if done.is_empty() {
            return;
        }
        let kept = self.youngest_pieces();
        for id in done {
            match kept.contains(&id) {
                true => self.park(id, now),
                false => self.close(id, now),
            }
        }
    }

    /// The file of each log that was turned away last.
    fn youngest_pieces(&self) -> BTreeSet<Id> {
        let mut youngest: BTreeMap<&Path, (i128, Id)> = BTreeMap::new();
        for (id, file) in &self.files {
            let Some(metadata) = file.file.metadata().ok() else {
                continue;
            };
            if !file.wanted && !file.file.is_packed() && metadata.nlink() > 0 {
                let this = (restore::written(&metadata), *id);
                let known = youngest.entry(&file.position.path).or_insert(this);
                *known = this.max(*known);
            }
        }
        let mut all: Vec<_> = youngest.into_values().collect();
        all.sort_unstable_by_key(|piece| Reverse(*piece));
        all.into_iter().take(PARKED_MAX).map(|(_, id)| id).collect()
    }

    /// Takes the rest of a file that is watched on.
    fn park(&mut self, id: Id, now: Timestamp) {
        let Some(file) = self.files.get_mut(&id).filter(|f| !f.position.parked) else {
            return;
        };
        file.position.parked = true;
        if file.has_rest() {
            // If the line goes on after all, its second half is a line as well.
            let skipping = file.position.skipping;
            // A file that cannot be read any more has nothing more to say.
            let _ = file.read_rest(now, &mut self.events);
            file.position.skipping = skipping;
        }
        self.touched.insert(id, Some(file.position.encode()));
        let name = file.origin.source.clone();
        self.stop_source(&name);
    }

    fn close(&mut self, id: Id, now: Timestamp) {
        if let Some(file) = self.files.get_mut(&id) {
            // A file that cannot be read any more has nothing more to say.
            let _ = file.read_rest(now, &mut self.events);
            self.forget(id);
        }
    }

    /// Follows a file no longer, and keeps no position.
    pub(super) fn forget(&mut self, id: Id) {
        let Some(mut file) = self.files.remove(&id) else {
            return;
        };
        self.touched.insert(id, None);
        self.known_by_time(&file);
        self.decide_copies_of(&file.position);
        self.rows.extend(file.lines.figures().rows);
        self.stop_source(&file.origin.source);
    }

    /// Says of a source that it has ended, if none of its files is more than watched.
    pub(super) fn stop_source(&self, name: &str) {
        let its = |f: &&Followed| f.origin.source == name && !f.position.parked;
        if !self.files.values().any(|f| its(&f)) {
            self.status
                .source(name)
                .set(SourceState::Stopped, "the file is gone");
        }
    }

    /// A piece without a position is known to a log of which nothing is read by its time.
    fn known_by_time(&mut self, piece: &Followed) {
        let Some(written) = piece.file.metadata().ok().map(|m| restore::written(&m)) else {
            return;
        };
        for (id, file) in &mut self.files {
            let Position { path, since, .. } = &mut file.position;
            if *path == piece.position.path && since.is_some_and(|s| s < written) {
                *since = Some(written);
                self.touched.insert(*id, Some(file.position.encode()));
            }
        }
    }

    /// Whether no wanted name leads to the file. (That it was not found is not enough: a directory may
    /// be out of reach for a while.)
    fn is_gone(&self, file: &Followed) -> bool {
        let gone = |path: &Path| self.group_of(path).is_none() || file.has_left(path);
        gone(&file.place) && gone(&file.position.path)
    }
}
