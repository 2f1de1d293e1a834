//! Which files are wanted now: what the patterns find, and what has become of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use vigie_parsers::Timestamp;
use vigie_store::SourceState;

use super::followed;
use super::identity::Id;
use super::position::FILE_PREFIX;
use super::restore::written;
use super::tailer::{Group, Tailer};

/// A file that a pattern has found.
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    group: usize,
    pub(super) size: u64,
    /// When it was written to last, in ns.
    pub(super) written: i128,
}

impl Tailer {
    /// Looks which files are wanted now.
    pub(super) fn scan(&mut self, now: Timestamp) {
        let mut wanted = BTreeMap::new();
        let mut refused = BTreeSet::new();
        for (group, Group { patterns, .. }) in self.groups.iter().enumerate() {
            for path in patterns.find() {
                let why = match std::fs::metadata(&path) {
                    // A link to nowhere.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => e.to_string(),
                    Ok(metadata) => match followed::refusal(&metadata) {
                        Some(why) => why.to_owned(),
                        None => {
                            let file = Wanted {
                                path,
                                group,
                                size: metadata.size(),
                                written: written(&metadata),
                            };
                            wanted.entry(Id::of(&metadata)).or_insert(file);
                            continue;
                        }
                    },
                };
                self.refuse(path, &why, &mut refused);
            }
        }
        self.tell_trouble();
        self.update(wanted, &mut refused, now);
        self.settle_missing(now);
        for path in std::mem::replace(&mut self.refused, refused).difference(&self.refused) {
            let name = format!("{FILE_PREFIX}{}", path.display());
            if !self.files.values().any(|f| f.origin.source == name) {
                self.status.remove(&name);
            }
        }
        for group in &self.groups {
            if self.met.insert(group.name.clone()) {
                self.marks.push(group.name.clone());
            }
        }
    }

    /// Says which patterns have more to look at than we look at.
    fn tell_trouble(&mut self) {
        for group in &self.groups {
            let trouble = group.patterns.trouble();
            let name = format!("files:{}", group.name);
            match trouble {
                Some(why) => {
                    let source = self.status.source(&name);
                    if source.set(SourceState::Failed, &why) {
                        source.drop_items("crowded", 1);
                        tracing::warn!(source = name, "{why}");
                    }
                    self.crowded.insert(name);
                }
                None if self.crowded.remove(&name) => {
                    self.status.source(&name).set(SourceState::Stopped, "");
                }
                None => {}
            }
        }
    }

    fn update(
        &mut self,
        mut wanted: BTreeMap<Id, Wanted>,
        refused: &mut BTreeSet<PathBuf>,
        now: Timestamp,
    ) {
        self.undecided.clear();
        let mut turned_away = Vec::new();
        for (id, file) in &mut self.files {
            let was_wanted = std::mem::replace(&mut file.wanted, wanted.contains_key(id));
            if was_wanted && !file.wanted && file.place == file.position.path {
                turned_away.push(*id);
            }
        }
        for id in turned_away {
            self.turned_away(id);
        }
        self.wake(&wanted, now);
        wanted.retain(|id, found| match self.files.get_mut(id) {
            Some(file) => {
                file.place.clone_from(&found.path);
                false
            }
            None => !self.asleep.contains_key(id),
        });
        let paths: Vec<_> = wanted.values().map(|found| found.path.as_path()).collect();
        self.look_again_for(&paths, now);
        // If there is not room for all, for the newest.
        let mut new: Vec<_> = wanted.into_values().collect();
        new.sort_unstable_by(|a, b| (b.written, &b.path).cmp(&(a.written, &a.path)));
        for Wanted { path, group, .. } in new {
            let met = self.make_room().and_then(|()| self.meet(&path, group));
            if let Err(e) = met {
                self.refuse(path, &e.to_string(), refused);
            }
        }
        self.mark_followed_up();
    }

    fn refuse(&self, path: PathBuf, why: &str, refused: &mut BTreeSet<PathBuf>) {
        let name = format!("{FILE_PREFIX}{}", path.display());
        self.status
            .source(&name)
            .fail(&format!("not followed: {why}"));
        refused.insert(path);
    }
}
