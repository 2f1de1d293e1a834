//! Follows a set of files through rotation, truncation and restarts. No threads, no clock: the caller
//! polls.
//!
//! A file is its device and inode, and its content ([`super::identity`]); names only say which
//! files are wanted and whose lines they are. So a renamed file is read on to its end, a new one under the
//! old name begins at 0, and a copy of what was read is not read again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::formats::Format;
use vigie_parsers::{Origin, Timestamp};
use vigie_store::{Batch, EventBatch, SampleRow};

use super::super::content::Content;
use super::super::watch::{Follow, Sink};
use super::asleep::Asleep;
use super::followed::{BUFFER_BYTES, Followed, Look, Reading};
use super::identity::{Id, Print};
use super::meeting::Undecided;
use super::patterns::Patterns;
use super::position::{FILE_PREFIX, GLOB_PREFIX, Position};
use super::restore::known_until;
use crate::counts::Counters;
use crate::lines::{self, Lines};
use crate::outlet::Ended;
use crate::status::Status;

/// One file gives way to the others after so much.
const SHARE_BYTES: usize = 8 << 20;

/// One table of the configuration: which files, and how to read them.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) patterns: Patterns,
    pub(super) format: Option<&'static Format>,
    pub(super) zone: TimeZone,
    pub(super) host: String,
    pub(super) vhost: Option<String>,
    pub(super) reading: Reading,
    /// How much of a file that was there before us is read.
    pub(super) backlog: u64,
}

/// See the module.
pub(super) struct Tailer {
    pub(super) groups: Vec<Group>,
    /// Groups whose files of the first hour were met already.
    pub(super) met: BTreeSet<String>,
    pub(super) files: BTreeMap<Id, Followed>,
    /// Positions from the store that have not found their files yet.
    pub(super) restored: Vec<Position>,
    /// Quiet files that gave way to others.
    pub(super) asleep: BTreeMap<Id, Asleep>,
    /// Positions whose files are not there now.
    pub(super) missing: BTreeMap<Id, Position>,
    /// Paths that cannot be followed, for as long as they are there.
    pub(super) refused: BTreeSet<PathBuf>,
    /// Files that may be copies of what we follow.
    pub(super) undecided: BTreeMap<Id, Undecided>,
    /// Patterns with more to look at than we look at, as sources.
    pub(super) crowded: BTreeSet<String>,
    /// Where the figures of the lines are known, and kept in sight.
    counters: Counters,
    pub(super) status: Status,
    pub(super) events: EventBatch,
    /// Figures of files that are closed.
    pub(super) rows: Vec<SampleRow>,
    /// What changed since the last batch; `None` is forgotten.
    pub(super) touched: BTreeMap<Id, Option<Vec<u8>>>,
    pub(super) marks: Vec<String>,
    buffer: Vec<u8>,
}

impl Follow for Tailer {
    /// Reads on in all files. `scan` also looks for new ones and for rotated ones, at the cost of
    /// walking directories. Whether there is more to read at once.
    fn poll(&mut self, now: Timestamp, scan: bool, sink: &mut Sink<'_>) -> Result<bool, Ended> {
        if self.restore(now) {
            // The new file under an old name gets its position in the same batch as the old one.
            self.scan(now);
        }
        let mut more = self.read_all(now, sink)?;
        if scan {
            self.scan(now);
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
        let wanted = self.groups.iter().flat_map(|g| g.patterns.folders());
        parents.map(Path::to_owned).chain(wanted).collect()
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
            asleep: BTreeMap::new(),
            missing: BTreeMap::new(),
            refused: BTreeSet::new(),
            undecided: BTreeMap::new(),
            crowded: BTreeSet::new(),
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

    /// Those without a wanted name first, the oldest of them first: their lines are older.
    fn read_all(&mut self, now: Timestamp, sink: &mut Sink<'_>) -> Result<bool, Ended> {
        let each = self.files.iter();
        let mut order: Vec<_> = each.map(|(id, f)| (f.wanted, f.written, *id)).collect();
        order.sort_unstable();
        let mut more = false;
        for (_, _, id) in order {
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
            Ok(Look::Grown) => {
                file.quiet_since = None;
                if std::mem::take(&mut file.position.parked) {
                    file.source = self.status.source(&file.origin.source);
                }
            }
            Ok(Look::Truncated) => {
                file.quiet_since = None;
                self.emptied(id);
            }
            Ok(Look::Missed) => {
                file.quiet_since = None;
                self.missed(id);
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
        let copied = old.offset == 0
            || self.adopt_copy(&old, &place).is_some()
            || self.decide_copies_of(&old);
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        if file.is_piece() {
            // Its number or name was given to the next piece: whatever that is, it is met anew.
            let unread = !copied && file.has_unread();
            file.source.drop_items("truncated", u64::from(unread));
            self.forget(id);
            return;
        }
        if !copied {
            file.source.drop_items("truncated", 1);
        }
        file.restart(known_until(&old.path, &file.file));
        self.touched.insert(id, Some(file.position.encode()));
    }

    /// A file is empty, but it was not always since we looked: what was written into it may have been copied.
    fn missed(&mut self, id: Id) {
        let Some(old) = self.files.get(&id).map(|f| f.position.clone()) else {
            return;
        };
        if let Some(since) = old.since {
            self.follow_since(&old.path, since);
        }
        if let Some(file) = self.files.get_mut(&id) {
            file.position.since = known_until(&old.path, &file.file);
            self.touched.insert(id, Some(file.position.encode()));
        }
    }

    /// Follows a file from `offset` on as a piece of the log of that name.
    pub(super) fn follow_from(
        &mut self,
        old: &Position,
        offset: u64,
        group: usize,
        (place, file, id): (&Path, Content, Id),
    ) -> io::Result<()> {
        let position = Position {
            id,
            offset,
            print: Print::take(&file, offset)?,
            parked: false,
            missing: None,
            counted: false,
            ..old.clone()
        };
        self.follow(position, group, place, file);
        Ok(())
    }

    pub(super) fn follow(
        &mut self,
        mut position: Position,
        group: usize,
        place: &Path,
        file: Content,
    ) {
        let Some(group) = self.groups.get(group) else {
            return;
        };
        (position.missing, position.counted) = (None, false);
        if let Some(old) = self.missing.remove(&position.id)
            && old.offset > position.offset
        {
            // Its number was given to another file, and so is its place in the store.
            self.count_gone(&old);
        }
        if position.offset == 0 && position.since.is_none() && place == position.path {
            position.since = known_until(place, &file);
        }
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
        let reading = group.reading.clone();
        let file = (place, file);
        let followed = Followed::new(position, file, reading, lines, origin, source);
        self.files.insert(followed.id(), followed);
    }

    pub(super) fn group_of(&self, path: &Path) -> Option<usize> {
        self.groups.iter().position(|g| g.patterns.matches(path))
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
