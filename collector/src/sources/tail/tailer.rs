//! Follows a set of files through rotation, truncation and restarts. No threads, no clock: the caller
//! polls.
//!
//! A file is its device and inode, and its content ([`super::identity`]); names only say which
//! files are wanted and whose lines they are. So a renamed file is read on to its end, a new one under the
//! old name begins at 0, and a copy of what was read is not read again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::formats::Format;
use vigie_parsers::joining::Joining;
use vigie_parsers::{Origin, Timestamp};
use vigie_store::{Batch, EventBatch, SampleRow, SourceState};

use super::super::watch::{Follow, Sink};
use super::followed::{self, BUFFER_BYTES, Followed, Look};
use super::identity::{Id, Print};
use super::patterns::Patterns;
use super::position::{FILE_PREFIX, GLOB_PREFIX, Position};
use crate::counts::Counters;
use crate::lines::{self, Lines};
use crate::outlet::Ended;
use crate::status::Status;

/// Files followed at once; each has an open descriptor and a line in `vigie status`.
const FILES_MAX: usize = 1000;
/// One file gives way to the others after so much.
const SHARE_BYTES: usize = 8 << 20;
/// A file without a wanted name is closed when nothing came for so long: its writer may take a
/// while to notice the rotation.
const QUIET_MS: i64 = 30_000;
/// Entries of a directory that are looked at in search of a rotated file.
const SIBLINGS_MAX: usize = 10_000;

/// One table of the configuration: which files, and how to read them.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) patterns: Patterns,
    pub(super) format: Option<&'static Format>,
    pub(super) zone: TimeZone,
    pub(super) host: String,
    pub(super) vhost: Option<String>,
    pub(super) joining: Joining,
    /// How much of a file that was there before us is read.
    pub(super) backlog: u64,
}

/// See the module.
pub(super) struct Tailer {
    groups: Vec<Group>,
    /// Groups whose files of the first hour were met already.
    met: BTreeSet<String>,
    files: BTreeMap<Id, Followed>,
    /// Positions from the store that have not found their files yet.
    restored: Vec<Position>,
    /// Paths that cannot be followed, for as long as they are there.
    refused: BTreeSet<PathBuf>,
    /// Where the figures of the lines are known, and kept in sight.
    counters: Counters,
    status: Status,
    events: EventBatch,
    /// Figures of files that are closed.
    rows: Vec<SampleRow>,
    /// What changed since the last batch; `None` is forgotten.
    touched: BTreeMap<Id, Option<Vec<u8>>>,
    marks: Vec<String>,
    buffer: Vec<u8>,
}

impl Follow for Tailer {
    /// Reads on in all files. `scan` also looks for new ones and for rotated ones, at the cost of
    /// walking directories. Whether there is more to read at once.
    fn poll(&mut self, now: Timestamp, scan: bool, sink: &mut Sink<'_>) -> Result<bool, Ended> {
        self.restore();
        let mut more = self.read_all(now, sink)?;
        if scan {
            self.scan();
            more |= self.read_all(now, sink)?;
        }
        if !more {
            self.close_quiet(now);
        }
        self.flush(sink)?;
        Ok(more)
    }

    /// Whether a name leads to another file than before: time for a scan.
    fn wants_scan(&self) -> bool {
        self.files.values().filter(|f| f.wanted).any(|f| {
            let now = std::fs::metadata(&f.place).map(|m| Id::of(&m)).ok();
            now != Some(f.id())
        })
    }

    /// The directories in which something may happen to the files.
    fn directories(&self) -> BTreeSet<PathBuf> {
        let parents = self.files.values().filter_map(|f| f.place.parent());
        parents.map(Path::to_owned).collect()
    }
}

impl Tailer {
    pub(super) fn new(
        groups: Vec<Group>,
        positions: &[(String, Vec<u8>)],
        counters: Counters,
        status: Status,
    ) -> Self {
        let met = positions
            .iter()
            .filter_map(|(key, _)| Some(key.strip_prefix(GLOB_PREFIX)?.to_owned()))
            .collect();
        let files = positions
            .iter()
            .filter(|(key, _)| key.starts_with(FILE_PREFIX));
        Self {
            groups,
            met,
            files: BTreeMap::new(),
            restored: files.filter_map(|(k, v)| Position::decode(k, v)).collect(),
            refused: BTreeSet::new(),
            counters,
            status,
            events: EventBatch::default(),
            rows: Vec::new(),
            touched: BTreeMap::new(),
            marks: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Takes the last lines of all files, though they have no end: nothing will be added.
    pub(super) fn finish(&mut self, now: Timestamp, sink: &mut Sink<'_>) -> Result<(), Ended> {
        while self.poll(now, true, sink)? {}
        self.files.values_mut().for_each(Followed::stop_waiting);
        while self.poll(now, false, sink)? {}
        for file in self.files.values_mut() {
            if file.has_rest() && file.read_rest(now, &mut self.events).is_ok() {
                self.touched.insert(file.id(), Some(file.position.encode()));
            }
        }
        self.flush(sink)
    }

    /// Those without a wanted name first: their lines are older.
    fn read_all(&mut self, now: Timestamp, sink: &mut Sink<'_>) -> Result<bool, Ended> {
        let mut order: Vec<_> = self.files.iter().map(|(id, f)| (f.wanted, *id)).collect();
        order.sort_unstable();
        let mut more = false;
        for (_, id) in order {
            more |= self.read_one(id, now, sink)?;
        }
        Ok(more)
    }

    fn read_one(&mut self, id: Id, now: Timestamp, sink: &mut Sink<'_>) -> Result<bool, Ended> {
        if !self.has_grown(id, now) {
            return Ok(false);
        }
        let mut left = SHARE_BYTES;
        while let Some(file) = self.files.get_mut(&id) {
            let read = file.read(now, &mut self.events, &mut self.buffer, left);
            let progress = match read {
                Ok(progress) => progress,
                Err(e) => {
                    file.fail(&e);
                    return Ok(false);
                }
            };
            if progress.bytes > 0 {
                self.touched.insert(id, Some(file.position.encode()));
            }
            if !progress.more {
                file.source.work("");
                return Ok(false);
            }
            left = left.saturating_sub(usize::try_from(progress.bytes).unwrap_or(usize::MAX));
            if left == 0 {
                file.look_again();
                return Ok(true);
            }
            self.flush(sink)?;
        }
        Ok(false)
    }

    fn has_grown(&mut self, id: Id, now: Timestamp) -> bool {
        let Some(file) = self.files.get_mut(&id) else {
            return false;
        };
        match file.look() {
            Ok(Look::Same) => {
                file.quiet_since.get_or_insert(now);
                return file.is_due(now);
            }
            Ok(Look::Grown) => file.quiet_since = None,
            Ok(Look::Truncated) => {
                file.quiet_since = None;
                self.emptied(id);
            }
            Err(e) => {
                file.fail(&e);
                return false;
            }
        }
        true
    }

    /// What we have read is gone from the file. If it was copied first (logrotate's copytruncate), the
    /// copy is read on; the file itself begins anew.
    fn emptied(&mut self, id: Id) {
        let Some(file) = self.files.get(&id) else {
            return;
        };
        let (old, place) = (file.position.clone(), file.place.clone());
        let copied = old.offset == 0 || self.adopt_copy(&old, &place);
        if let Some(file) = self.files.get_mut(&id) {
            if !copied {
                file.source.drop_items("truncated", 1);
            }
            file.restart();
            self.touched.insert(id, Some(file.position.encode()));
        }
    }

    /// Looks beside `place` for a copy of what was read, and follows that from where we were.
    fn adopt_copy(&mut self, old: &Position, place: &Path) -> bool {
        let Some(group) = self.group_of(&old.path) else {
            return false;
        };
        for path in siblings(place).filter(|p| is_family(place, p)) {
            let Ok((file, metadata)) = followed::open(&path) else {
                continue;
            };
            let id = Id::of(&metadata);
            if self.files.contains_key(&id) || !old.print.has_head(&file).unwrap_or(false) {
                continue;
            }
            let size = metadata.size();
            let goes_on =
                size >= old.offset && old.print.matches(&file, old.offset).unwrap_or(false);
            let offset = match goes_on {
                true => old.offset,
                // Copied before we had read all: everything in it is read.
                false if size < old.offset => size,
                false => continue,
            };
            if self
                .follow_from(id, &old.path, offset, old.skipping, group, &path, file)
                .is_ok()
            {
                return true;
            }
        }
        false
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a position and of a place"
    )]
    fn follow_from(
        &mut self,
        id: Id,
        label: &Path,
        offset: u64,
        skipping: bool,
        group: usize,
        place: &Path,
        file: File,
    ) -> io::Result<()> {
        let position = Position {
            id,
            path: label.to_owned(),
            offset,
            print: Print::take(&file, offset)?,
            skipping,
        };
        self.follow(position, group, place, file);
        Ok(())
    }

    fn follow(&mut self, position: Position, group: usize, place: &Path, file: File) {
        let Some(group) = self.groups.get(group) else {
            return;
        };
        let path = position.path.to_string_lossy().into_owned();
        let name = format!("{FILE_PREFIX}{path}");
        let zone = group.zone.clone();
        let mut lines = Lines::new(&self.counters, &name, &group.host, zone);
        lines.set_format(group.format);
        if let Some(vhost) = &group.vhost {
            lines.set_vhost(vhost);
        }
        let origin = Arc::new(Origin {
            source: name.clone(),
            fields: vec![
                ("file".to_owned(), path),
                ("host".to_owned(), group.host.clone()),
            ],
        });
        let source = self.status.source(&name);
        self.touched.insert(position.id, Some(position.encode()));
        let mut followed = Followed::new(position, place, file, lines, origin, source);
        followed.set_joining(&group.joining);
        self.files.insert(followed.id(), followed);
    }

    /// Finds the files of the positions in the store.
    fn restore(&mut self) {
        for position in std::mem::take(&mut self.restored) {
            let Some(group) = self.group_of(&position.path) else {
                // Nobody asks for it any more.
                self.touched.insert(position.id, None);
                continue;
            };
            match find_restored(&position) {
                Some((place, file)) => self.follow(position, group, &place, file),
                None => {
                    self.adopt_copy(&position, &position.path);
                    self.touched.entry(position.id).or_insert(None);
                }
            }
        }
    }

    fn group_of(&self, path: &Path) -> Option<usize> {
        self.groups.iter().position(|g| g.patterns.matches(path))
    }

    /// Looks which files are wanted now.
    fn scan(&mut self) {
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
                            let file = (path, group, metadata.mtime());
                            wanted.entry(Id::of(&metadata)).or_insert(file);
                            continue;
                        }
                    },
                };
                self.refuse(path, &why, &mut refused);
            }
        }
        self.update(wanted, &mut refused);
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

    fn update(
        &mut self,
        wanted: BTreeMap<Id, (PathBuf, usize, i64)>,
        refused: &mut BTreeSet<PathBuf>,
    ) {
        let mut new = Vec::new();
        for (id, file) in &mut self.files {
            file.wanted = wanted.contains_key(id);
        }
        for (id, (path, group, mtime)) in wanted {
            match self.files.get_mut(&id) {
                Some(file) => file.place = path,
                None => new.push((mtime, path, group)),
            }
        }
        // If there is not room for all, for the newest.
        new.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path, group) in new {
            let met = if self.files.len() < FILES_MAX {
                self.meet(&path, group)
            } else {
                Err(io::Error::other(format!(
                    "{FILES_MAX} files are followed already"
                )))
            };
            if let Err(e) = met {
                self.refuse(path, &e.to_string(), refused);
            }
        }
    }

    fn refuse(&self, path: PathBuf, why: &str, refused: &mut BTreeSet<PathBuf>) {
        let name = format!("{FILE_PREFIX}{}", path.display());
        self.status
            .source(&name)
            .fail(&format!("not followed: {why}"));
        refused.insert(path);
    }

    /// A file that we do not know.
    fn meet(&mut self, path: &Path, group: usize) -> io::Result<()> {
        let (file, metadata) = followed::open(path)?;
        let id = Id::of(&metadata);
        if self.files.contains_key(&id) {
            return Ok(());
        }
        if let Some(what) = followed::packed(&file)? {
            return Err(io::Error::other(format!("compressed ({what})")));
        }
        let copy = self
            .files
            .values()
            .filter(|f| is_family(&f.place, path))
            .find_map(|f| {
                let origin = f.origin_of(&file, metadata.size())?;
                Some((f.position.path.clone(), f.position.skipping, origin))
            });
        match copy {
            Some((label, skipping, Some(offset))) => {
                self.follow_from(id, &label, offset, skipping, group, path, file)
            }
            // Not clear yet.
            Some((_, _, None)) => Ok(()),
            None => {
                let group_of = self.groups.get(group);
                let first = group_of.is_some_and(|g| !self.met.contains(&g.name));
                let backlog = group_of.map_or(0, |g| g.backlog);
                let offset = if first {
                    metadata.size().saturating_sub(backlog)
                } else {
                    0
                };
                // In the middle of a file: at its next line, which the byte before may end.
                let (offset, skipping) = (offset.saturating_sub(1), offset > 0);
                self.follow_from(id, path, offset, skipping, group, path, file)
            }
        }
    }

    /// Files without a wanted name that have been quiet for long are done.
    fn close_quiet(&mut self, now: Timestamp) {
        let quiet = |f: &Followed| f.quiet_since.is_some_and(|s| now.since_ms(s) >= QUIET_MS);
        let done: Vec<_> = self
            .files
            .iter()
            .filter(|(_, f)| !f.wanted && quiet(f) && self.is_gone(f))
            .map(|(id, _)| *id)
            .collect();
        for id in done {
            let Some(mut file) = self.files.remove(&id) else {
                continue;
            };
            // A file that cannot be read any more has nothing more to say.
            let _ = file.read_rest(now, &mut self.events);
            self.touched.insert(id, None);
            self.rows.extend(file.lines.figures().rows);
            if !self
                .files
                .values()
                .any(|f| f.origin.source == file.origin.source)
            {
                file.source.set(SourceState::Stopped, "the file is gone");
            }
        }
    }

    /// Whether no wanted name leads to the file. (That it was not found is not enough: a directory may
    /// be out of reach for a while.)
    fn is_gone(&self, file: &Followed) -> bool {
        let gone = |path: &Path| self.group_of(path).is_none() || file.has_left(path);
        gone(&file.place) && gone(&file.position.path)
    }

    /// Hands over what has come together: lines, the figures from them, and how far files were read.
    fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), Ended> {
        let touched = std::mem::take(&mut self.touched);
        let mut positions: Vec<_> = touched
            .into_iter()
            .map(|(id, p)| (Position::key(id), p))
            .collect();
        let marks = self
            .marks
            .drain(..)
            .map(|name| (format!("{GLOB_PREFIX}{name}"), Some(b"1".to_vec())));
        positions.extend(marks);
        if self.events.is_empty() && positions.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let samples = lines::figures(rows, self.files.values_mut().map(|f| &mut f.lines));
        sink(Batch {
            events: std::mem::take(&mut self.events),
            samples,
            positions,
            ..Batch::default()
        })
    }
}

/// The file of a position: under its name, or beside it under another.
fn find_restored(position: &Position) -> Option<(PathBuf, File)> {
    if let Ok((file, metadata)) = followed::open(&position.path)
        && Id::of(&metadata) == position.id
    {
        // Even if something else stands in it now: then it was emptied.
        return Some((position.path.clone(), file));
    }
    let same = |path: &PathBuf| {
        let metadata = std::fs::metadata(path);
        metadata.is_ok_and(|m| Id::of(&m) == position.id && m.size() >= position.offset)
    };
    let place = siblings(&position.path).find(same)?;
    let (file, _) = followed::open(&place).ok()?;
    // The number may have gone to another file.
    let matches = position.print.matches(&file, position.offset).ok()?;
    matches.then_some((place, file))
}

/// The entries of the directory in which a file lies, itself among them.
fn siblings(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let dir = path.parent().map(std::fs::read_dir).and_then(Result::ok);
    dir.into_iter()
        .flatten()
        .flatten()
        .take(SIBLINGS_MAX)
        .map(|e| e.path())
}

/// Whether the second may be what rotation made of the first: `app.log` → `app.log.1`,
/// `app.log-20261121`, `app-20261121.log`. The same name counts too: editors replace files.
fn is_family(first: &Path, second: &Path) -> bool {
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
