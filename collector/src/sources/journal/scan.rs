//! Which journals there are: new files, others under new names, and those that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::{Origin, Timestamp, formats};

use super::copies::Copy;
use super::file;
use super::followed::{Followed, folder};
use super::follower::{FILES_MAX, Folder, Follower};
use super::position::{FileId, Position};
use crate::lines::Lines;
use crate::status::Source;

/// Files in memory that are gone, remembered because what was in them may come again from the disk.
const GONE_MAX: usize = 16;

impl Follower {
    /// Looks for files: new ones, others under new names, and those that are gone.
    pub(super) fn scan(&mut self, now: Timestamp) {
        let mut listed = BTreeSet::new();
        let open: BTreeMap<_, _> = self.files.iter().map(|(id, f)| (f.inode, *id)).collect();
        let mut names: BTreeMap<FileId, Vec<PathBuf>> = BTreeMap::new();
        let mut others: BTreeMap<FileId, Copy> = BTreeMap::new();
        for path in self.list(&mut listed) {
            let known = file::inode(&path).and_then(|inode| open.get(&inode));
            if let Some(&id) = known {
                names.entry(id).or_default().push(path);
            } else if let Some(copy) = self.open(path)
                && others.get(&copy.id()).is_none_or(|o| copy.is_better(o))
            {
                others.insert(copy.id(), copy);
            }
        }
        let present: BTreeSet<FileId> = names.keys().chain(others.keys()).copied().collect();
        for (id, paths) in &names {
            self.rename(*id, paths);
        }
        let mut found = Vec::new();
        for (id, copy) in others {
            if self.files.contains_key(&id) {
                self.prefer(copy, names.contains_key(&id));
            } else {
                found.extend(self.meet(copy));
            }
        }
        self.count_vacuumed(&present, &found);
        self.looked = true;
        found.sort_by_key(|f| f.journal.header().realtimes.0);
        let room = FILES_MAX.saturating_sub(self.files.len());
        let beyond = found.split_off(room.min(found.len()));
        self.crowded = !beyond.is_empty();
        let mut new = BTreeSet::new();
        for file in found {
            new.insert(folder(&file.position.path));
            self.follow(file, now);
        }
        for file in &beyond {
            let why = format!(
                "more than {FILES_MAX} files: {} wait for a place",
                beyond.len()
            );
            self.source(file.place).fail(&why);
        }
        if !self.crowded {
            for folder in new {
                if self.met.insert(folder.clone()) {
                    self.marks.push(folder);
                }
            }
        }
        self.forget_gone(&present, &listed);
    }

    /// A file has these names now, perhaps others than before.
    fn rename(&mut self, id: FileId, paths: &[PathBuf]) {
        let Some(path) = paths.first() else { return };
        let place = self.place(&folder(path));
        if let Some(file) = self.files.get_mut(&id)
            && !paths.contains(&file.position.path)
        {
            file.position.path.clone_from(path);
            file.place = place;
            file.moved = true;
        }
    }

    /// The journals in the folders and in theirs; `listed` are those that could be read.
    fn list(&self, listed: &mut BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let mut files = self.named.clone();
        for dir in &self.plan.dirs {
            let name = format!("journal:{}", dir.display());
            let top = match file::list(dir) {
                Ok(top) => top,
                Err(e) => {
                    if e.kind() != std::io::ErrorKind::NotFound {
                        self.status.source(&name).fail(&refused(&e));
                    }
                    continue;
                }
            };
            listed.insert(dir.clone());
            files.extend(top.files);
            for folder in top.folders {
                match file::list(&folder) {
                    Ok(listing) => {
                        files.extend(listing.files);
                        listed.insert(folder);
                    }
                    Err(e) => {
                        let name = format!("journal:{}", folder.display());
                        self.status.source(&name).fail(&refused(&e));
                    }
                }
            }
        }
        files
    }

    /// Begins or goes on with a file.
    fn follow(&mut self, mut file: Followed, now: Timestamp) {
        let id = file.id();
        let known = self.positions.remove(&id).is_some();
        let begun = match known || self.met.contains(&folder(&file.position.path)) {
            true => file.resume(),
            false => {
                let from = now.0.saturating_sub(self.plan.backlog_ms).max(0);
                file.skip_before(u64::try_from(from).unwrap_or(0).saturating_mul(1000))
            }
        };
        let source = self.source(file.place);
        match begun {
            Ok(()) => {
                source.work("");
                self.files.insert(id, file);
            }
            Err(e) => {
                source.fail(&format!("cannot be read: {e}"));
                if known {
                    self.positions.insert(id, file.position);
                }
            }
        }
    }

    /// The number of a folder, new or known.
    pub(super) fn place(&mut self, path: &Path) -> usize {
        if let Some(known) = self.folders.iter().position(|f| f.path == path) {
            return known;
        }
        let name = format!("journal:{}", path.display());
        let mut lines = Lines::new(&self.counters, &name, &self.plan.host, TimeZone::UTC);
        lines.set_format(formats::find("journal"));
        self.folders.push(Folder {
            path: path.to_owned(),
            source: self.status.source(&name),
            origin: Arc::new(Origin {
                source: name,
                fields: Vec::new(),
            }),
            lines,
        });
        self.folders.len() - 1
    }

    /// The account of a folder.
    pub(super) fn source(&self, place: usize) -> Arc<Source> {
        match self.folders.get(place) {
            Some(folder) => Arc::clone(&folder.source),
            None => self.status.source("journal"),
        }
    }

    /// After a restart: entries whose file was vacuumed before they were read.
    fn count_vacuumed(&mut self, present: &BTreeSet<FileId>, found: &[Followed]) {
        if self.looked {
            return;
        }
        let mut lost = Vec::new();
        for gone in self.positions.values() {
            if gone.done || present.contains(&gone.file) || gone.is_volatile() {
                continue;
            }
            let sequence = |p: &&Position| p.seqnum_id == gone.seqnum_id;
            let last = self
                .positions
                .values()
                .filter(sequence)
                .map(|p| p.seqnum)
                .max();
            let headers = found.iter().map(|f| f.journal.header());
            let first = headers
                .filter(|h| h.seqnum_id == gone.seqnum_id && h.seqnums.0 > last.unwrap_or(0))
                .map(|h| h.seqnums.0)
                .min();
            if let (Some(last), Some(first)) = (last, first) {
                lost.push((
                    folder(&gone.path),
                    gone.seqnum_id,
                    first.saturating_sub(last + 1),
                ));
            }
        }
        lost.sort();
        lost.dedup_by_key(|(place, sequence, _)| (place.clone(), *sequence));
        for (path, _, entries) in lost {
            let place = self.place(&path);
            self.source(place).drop_items("vacuumed", entries);
        }
    }

    /// Files without a name are read to their end; what was known of others is dropped.
    fn forget_gone(&mut self, present: &BTreeSet<FileId>, listed: &BTreeSet<PathBuf>) {
        let is_gone = |p: &Position| {
            let place = folder(&p.path);
            let parent = folder(&place);
            let looked = listed.contains(&place) || listed.contains(&parent);
            looked && !present.contains(&p.file)
        };
        for file in self.files.values_mut() {
            file.gone |= is_gone(&file.position);
        }
        let mut gone: Vec<_> = self.positions.values().filter(|p| is_gone(p)).collect();
        gone.sort_by_key(|p| (p.is_volatile(), p.realtime));
        let volatile = gone.iter().filter(|p| p.is_volatile()).count();
        let forget = gone.len() - volatile.min(GONE_MAX);
        let forget: Vec<FileId> = gone.iter().take(forget).map(|p| p.file).collect();
        for id in forget {
            self.positions.remove(&id);
            self.ended.remove(&id);
            self.touched.insert(id, None);
        }
    }
}

/// Why a file or a folder was refused, and what helps.
pub(super) fn refused(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::PermissionDenied => {
            format!("{e}: the user of vigie must be in the group systemd-journal")
        }
        _ => format!("cannot be read: {e}"),
    }
}
