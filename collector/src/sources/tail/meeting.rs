//! A file that we do not know: whether it is a copy of what was read, by an editor or by rotation, or a log of
//! its own.
//!
//! Equal beginnings prove nothing: two programs may write the same banner. A copy has the name that a copy gets,
//! and all in it that was read of the original.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::content::{self, Content};
use super::followed::{self, Followed};
use super::identity::{Id, PREFIX_MAX};
use super::position::Position;
use super::restore::{is_family, is_whole, open, siblings};
use super::tailer::Tailer;
use crate::rotation;

/// A file with nothing in it but what another one begins with, as rotation's name says of that one: a copy,
/// perhaps still being made, or another log. It shows when either of them changes.
pub(super) struct Undecided {
    original: Id,
    path: PathBuf,
    group: usize,
}

/// What a new file is to one that is followed.
enum Relation {
    /// It goes on where the other one was read to.
    Copy,
    /// It cannot be told yet.
    Undecided,
}

impl Tailer {
    /// Follows a file that has a wanted name.
    pub(super) fn meet(&mut self, path: &Path, group: usize) -> io::Result<()> {
        let (file, metadata) = followed::open(path)?;
        let id = Id::of(&metadata);
        if self.files.contains_key(&id) {
            return Ok(());
        }
        if let Some(packing) = content::packing(&file)? {
            let log = rotation::base(path).0;
            if log != path
                && self
                    .groups
                    .get(group)
                    .is_some_and(|g| g.patterns.matches(&log))
            {
                // A pattern as `app.log*` means the log; if what is in here is new, its position tells.
                return Ok(());
            }
            return Err(io::Error::other(format!(
                "packed with {}; `vigie import logs` takes it in",
                packing.name()
            )));
        }
        if self.go_on_in_found(path, group, &file)? {
            return Ok(());
        }
        let size = metadata.size();
        // Of several that it may come from the one that was read farthest is the last before it.
        let relations = self.files.values().filter_map(|f| {
            let relation = relation(f, path, &file, size)?;
            Some((f.position.offset, f.id(), relation))
        });
        match relations.max_by_key(|(offset, ..)| *offset) {
            Some((_, original, Relation::Copy)) => {
                let content = Content::of(file)?;
                self.go_on_in_copy(original, group, (path, content, id))
            }
            Some((_, original, Relation::Undecided)) => {
                let path = path.to_owned();
                let undecided = Undecided {
                    original,
                    path,
                    group,
                };
                self.undecided.insert(id, undecided);
                Ok(())
            }
            None => self.begin(path, group, Content::of(file)?, id),
        }
    }

    /// What the original has behind the place that was read to stands in its copy too.
    fn go_on_in_copy(
        &mut self,
        original: Id,
        group: usize,
        file: (&Path, Content, Id),
    ) -> io::Result<()> {
        let Some(followed) = self.files.get_mut(&original) else {
            return Ok(());
        };
        let old = followed.position.clone();
        if followed.has_rest() {
            followed.position.skipping = true;
            let position = followed.position.encode();
            self.touched.insert(original, Some(position));
        }
        self.follow_from(&old, old.offset, group, file)
    }

    /// A new file: from its beginning, or from near its end if it was there before us.
    fn begin(&mut self, path: &Path, group: usize, file: Content, id: Id) -> io::Result<()> {
        let group_of = self.groups.get(group);
        let first = group_of.filter(|g| !self.met.contains(&g.name));
        let size = file.metadata()?.size();
        let offset = first.map_or(0, |g| size.saturating_sub(g.backlog));
        let given = group_of.and_then(|g| g.reading.encoding);
        let encoding = followed::encoding_of(&file, given)?.unwrap_or_default();
        let unit = encoding.unit() as u64;
        // In the middle of a file: at its next line, which the character before may end.
        let offset = offset - offset % unit;
        let position = Position {
            skipping: offset > 0,
            ..Position::unread(id, path)
        };
        let offset = offset.saturating_sub(unit);
        self.follow_from(&position, offset, group, (path, file, id))
    }

    /// What was read of a file is gone from it, or nobody will look at it any more: what has nothing else in it
    /// is a copy of it, and followed. Whether there was one.
    pub(super) fn decide_copies_of(&mut self, original: &Position) -> bool {
        let mut copies = Vec::new();
        self.undecided.retain(|id, undecided| {
            let its = undecided.original == original.id;
            if its {
                copies.push((*id, undecided.path.clone(), undecided.group));
            }
            !its
        });
        let mut any = false;
        for (met, path, group) in copies {
            // It is met anew if this fails.
            let Ok((content, id)) = open(&path) else {
                continue;
            };
            // So far it was compared when it was met, byte by byte.
            let size = content.metadata().map_or(0, |m| m.size());
            let whole = is_whole(original, &content);
            let offset = if whole { original.offset } else { size };
            // An empty file proves nothing, and rotation may have given the name to another one.
            if id != met || size == 0 || !whole && size >= original.offset {
                continue;
            }
            let file = (path.as_path(), content, id);
            any |= self.follow_from(original, offset, group, file).is_ok();
        }
        any
    }

    /// Looks beside `place` for a copy of what was read, packed or not, and follows that from where we
    /// were; where it lies.
    pub(super) fn adopt_copy(&mut self, old: &Position, place: &Path) -> Option<PathBuf> {
        let group = self.group_of(&old.path)?;
        // Nothing was read: any file would do.
        if old.print.head_len == 0 {
            return None;
        }
        let mut candidates: Vec<_> = siblings(place)
            .filter_map(|path| Some((self.likelihood(old, place, &path)?, path)))
            .collect();
        candidates.sort();
        candidates.into_iter().find_map(|(_, path)| {
            let (content, id) = open(&path).ok()?;
            let whole = path != place || is_whole(old, &content);
            let adopted = whole && id != old.id && self.adopt(old, group, (&path, content, id));
            adopted.then_some(path)
        })
    }

    /// Whether a file may be the copy of a log by its name; the likeliest is the least: what is being packed
    /// stands there twice, and the plain one is whole; then the youngest.
    fn likelihood(&self, old: &Position, place: &Path, path: &Path) -> Option<(bool, i64)> {
        let packed = rotation::is_packed(path);
        if let Some(turn) = rotation::turn(place, path) {
            return Some((packed, turn));
        }
        // A name of the operator's own making: much of the content must be known, and no log be called so.
        let telling = old.print.head_len as usize == PREFIX_MAX;
        let likely = telling && is_family(place, path) && self.group_of(path).is_none();
        likely.then_some((packed, i64::MAX))
    }

    /// Follows a file from where we were if it is a copy of what was read.
    fn adopt(&mut self, old: &Position, group: usize, file: (&Path, Content, Id)) -> bool {
        let (_, content, id) = &file;
        if !old.print.has_head(content).unwrap_or(false) {
            return false;
        }
        let size = content.metadata().map_or(0, |m| m.size());
        let offset = if is_whole(old, content) {
            old.offset
        } else if !content.is_packed() && size < old.offset {
            // Copied before we had read all: everything in it is read.
            size
        } else {
            return false;
        };
        if let Some(known) = self.files.get(id) {
            let Position { path, .. } = &known.position;
            let overwritten = known.is_piece() && !is_whole(&known.position, content);
            if !overwritten || *path != old.path && known.place != *path {
                return *path == old.path;
            }
            self.forget(*id);
        }
        self.follow_from(old, offset, group, file).is_ok()
    }
}

fn relation(followed: &Followed, path: &Path, file: &File, size: u64) -> Option<Relation> {
    let log = &followed.position.path;
    if path == log || path == followed.place {
        let replaced = followed.is_whole_in(file, size) && !lies_as_piece(followed, path);
        return replaced.then_some(Relation::Copy);
    }
    let turned_away = rotation::turn(log, path).is_some_and(|turn| turn > 0);
    let is_near = followed.place.parent() == path.parent()
        || followed.position.print.head_len as usize == PREFIX_MAX;
    let undecided = turned_away && is_near && followed.begins_with(file, size).unwrap_or(false);
    undecided.then_some(Relation::Undecided)
}

/// Whether the file that had a name before lies beside it as rotation leaves it, or was taken elsewhere: then
/// what has the name now is new, however it begins. Editors delete it, or keep it under a name of theirs.
fn lies_as_piece(followed: &Followed, path: &Path) -> bool {
    if followed.file.metadata().is_ok_and(|m| m.nlink() == 0) {
        return false;
    }
    let is_it = |p: &PathBuf| std::fs::metadata(p).is_ok_and(|m| Id::of(&m) == followed.id());
    let place = siblings(path).find(is_it);
    place.is_none_or(|p| rotation::turn(path, &p).is_some_and(|turn| turn > 0))
}
