//! Follows the journals of some folders. No threads, no clock: the caller polls.
//!
//! A file is its id, which it keeps when it is renamed. How far it was read is a sequence number of
//! its own, so rotation, vacuuming and a restart in between change nothing. Within a folder, what one
//! machine wrote (`system`, `user-1000` …) is merged by time; files whose time has not come are not
//! touched, so a long history needs no more memory than a short one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::journal::{Damage, Error, LineWriter};
use vigie_parsers::{Origin, Timestamp, formats};
use vigie_store::{Batch, EventBatch};

use super::super::watch::{Follow, Sink};
use super::file::{self, JournalFile};
use super::followed::{Followed, Wanted, folder};
use super::position::{FOLDER_PREFIX, FileId, PREFIX, Position};
use crate::counts::Counters;
use crate::lines::{self, BATCH_BYTES, Lines};
use crate::outlet::Ended;
use crate::status::{Source, Status};

/// Files followed at once; each has an open descriptor. What is beyond waits until others are done.
const FILES_MAX: usize = 1000;
/// One machine gives way to the others after so much.
const SHARE_BYTES: usize = 8 << 20;
/// More files than this give back their memory when there is nothing to read in them.
const WARM_MAX: usize = 8;
/// Files in memory that are gone, remembered because what was in them may come again from the disk.
const GONE_MAX: usize = 16;

/// What to follow.
pub(super) struct Plan {
    pub(super) dirs: Vec<PathBuf>,
    /// How old entries may be in a folder that is met for the first time, milliseconds.
    pub(super) backlog_ms: i64,
    pub(super) wanted: Wanted,
    pub(super) host: String,
}

/// See the module.
pub(super) struct Follower {
    plan: Plan,
    /// Files beside those of the folders.
    named: Vec<PathBuf>,
    met: BTreeSet<PathBuf>,
    /// Files that are not followed: done, or not found yet.
    positions: BTreeMap<FileId, Position>,
    files: BTreeMap<FileId, Followed>,
    folders: Vec<Folder>,
    counters: Counters,
    status: Status,
    events: EventBatch,
    /// What changed since the last batch beside the files that are followed; `None` is forgotten.
    touched: BTreeMap<FileId, Option<Vec<u8>>>,
    marks: Vec<PathBuf>,
    /// There were more files than we follow at once.
    crowded: bool,
    looked: bool,
}

/// A folder with journals: a source.
struct Folder {
    path: PathBuf,
    source: Arc<Source>,
    origin: Arc<Origin>,
    lines: Lines,
}

/// The next entry of a file: earlier ones first.
type Next = Reverse<(u64, u64, FileId)>;

impl Follow for Follower {
    /// Reads on in all files. `scan` also looks for new ones. Whether there is more to read at once.
    fn poll(&mut self, now: Timestamp, scan: bool, sink: &mut Sink<'_>) -> Result<bool, Ended> {
        if scan {
            self.scan(now);
        }
        let mut groups: BTreeMap<_, Vec<FileId>> = BTreeMap::new();
        for (id, file) in &self.files {
            groups.entry(file.group()).or_default().push(*id);
        }
        let mut more = false;
        for ids in groups.values() {
            more |= self.read_group(ids, now, sink)?;
        }
        self.flush(sink)?;
        self.account();
        Ok(more || (self.crowded && self.files.len() < FILES_MAX))
    }

    /// Whether a scan would find files that had no place before.
    fn wants_scan(&self) -> bool {
        self.crowded && self.files.len() < FILES_MAX
    }

    /// The folders in which something may happen.
    fn directories(&self) -> BTreeSet<PathBuf> {
        let folders = self.folders.iter().map(|f| &f.path);
        folders.chain(&self.plan.dirs).cloned().collect()
    }
}

impl Follower {
    pub(super) fn new(
        plan: Plan,
        positions: &[(String, Vec<u8>)],
        counters: Counters,
        status: Status,
    ) -> Self {
        let folder = |value: &[u8]| {
            let path: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(value);
            PathBuf::from(path)
        };
        let met = positions
            .iter()
            .filter(|(key, _)| key.starts_with(FOLDER_PREFIX));
        let met = met.map(|(_, value)| folder(value));
        let known = positions.iter().filter(|(key, _)| key.starts_with(PREFIX));
        let known = known.filter_map(|(k, v)| Position::decode(k, v));
        Self {
            plan,
            named: Vec::new(),
            met: met.collect(),
            positions: known.map(|p| (p.file, p)).collect(),
            files: BTreeMap::new(),
            folders: Vec::new(),
            counters,
            status,
            events: EventBatch::default(),
            touched: BTreeMap::new(),
            marks: Vec::new(),
            crowded: false,
            looked: false,
        }
    }

    /// Also these files, whatever their names.
    pub(super) fn only(&mut self, files: Vec<PathBuf>) {
        self.named = files;
    }

    /// Whether files were looked for, and all of them have their place.
    pub(super) fn has_looked(&self) -> bool {
        self.looked && !self.wants_scan()
    }

    /// Looks for files: new ones, others under new names, and those that are gone.
    fn scan(&mut self, now: Timestamp) {
        let mut present = BTreeSet::new();
        let mut listed = BTreeSet::new();
        let mut found = Vec::new();
        let open: BTreeMap<_, _> = self.files.iter().map(|(id, f)| (f.inode, *id)).collect();
        for path in self.list(&mut listed) {
            let known = file::inode(&path).and_then(|inode| open.get(&inode));
            match known {
                Some(&id) => {
                    present.insert(id);
                    self.rename(id, path);
                }
                None => self.meet(path, &mut present, &mut found),
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

    /// A file has another name than before.
    fn rename(&mut self, id: FileId, path: PathBuf) {
        let place = self.place(&folder(&path));
        if let Some(file) = self.files.get_mut(&id)
            && file.position.path != path
        {
            file.position.path = path;
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

    /// Opens a file that is not followed under this name.
    fn meet(&mut self, path: PathBuf, present: &mut BTreeSet<FileId>, found: &mut Vec<Followed>) {
        let inode = file::inode(&path).unwrap_or_default();
        let place = self.place(&folder(&path));
        let journal = match JournalFile::open(&path) {
            Ok(journal) => journal,
            // It was renamed or removed just now.
            Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => return,
            // It is being made.
            Err(Error::Empty) => return,
            Err(e) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let why = match &e {
                    Error::Io(e) => refused(e),
                    e => e.to_string(),
                };
                self.source(place).fail(&format!("{name}: {why}"));
                return;
            }
        };
        let (id, seqnum_id) = (journal.header().file_id, journal.header().seqnum_id);
        // A second copy of a file brings nothing.
        let again = self.files.contains_key(&id) || found.iter().any(|f| f.id() == id);
        if !present.insert(id) || again || self.positions.get(&id).is_some_and(|p| p.done) {
            return;
        }
        let known = self.positions.get(&id).cloned();
        let mut position = known.unwrap_or_else(|| Position::new(id, seqnum_id, &path));
        position.path = path;
        found.push(Followed {
            journal,
            writer: LineWriter::default(),
            pending: None,
            position,
            moved: false,
            gone: false,
            inode,
            place,
            damage: Damage::default(),
        });
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
    fn place(&mut self, path: &Path) -> usize {
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
    fn source(&self, place: usize) -> Arc<Source> {
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
            self.touched.insert(id, None);
        }
    }

    /// Reads on in the files of one machine, in the order of time. Whether its share was used up.
    fn read_group(
        &mut self,
        ids: &[FileId],
        now: Timestamp,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Ended> {
        let copies = self.copies(ids);
        // The earliest last.
        let mut waiting: Vec<(u64, FileId)> = Vec::new();
        for &id in ids {
            if let Some(from) = self.look(id) {
                waiting.push((from, id));
            }
        }
        waiting.sort_unstable_by_key(|&w| Reverse(w));
        let mut heap: BinaryHeap<Next> = BinaryHeap::new();
        let mut left = SHARE_BYTES;
        loop {
            while let Some(&(from, id)) = waiting.last()
                && heap.peek().is_none_or(|Reverse(next)| from <= next.0)
            {
                waiting.pop();
                heap.extend(self.advance(id, &copies));
            }
            let Some(Reverse((_, _, id))) = heap.pop() else {
                return Ok(false);
            };
            let size = self.take(id, now);
            heap.extend(self.advance(id, &copies));
            if self.events.size() >= BATCH_BYTES {
                self.flush(sink)?;
            }
            left = left.saturating_sub(size);
            if left == 0 {
                return Ok(true);
            }
        }
    }

    /// What was read of the same journal elsewhere: journald writes to memory before the disk is there,
    /// and copies it to the disk then. Entries in both are taken once, wherever we see them first.
    fn copies(&self, ids: &[FileId]) -> Vec<Position> {
        let Some(own) = ids.first().and_then(|id| self.files.get(id)) else {
            return Vec::new();
        };
        let own = &own.position;
        let known = self.positions.values();
        let all = known.chain(self.files.values().map(|f| &f.position));
        let same = |p: &&Position| {
            p.is_volatile() != own.is_volatile() && p.folder() == own.folder() && p.seqnum != 0
        };
        all.filter(same).cloned().collect()
    }

    /// Whether a file has something to read: from which time on.
    fn look(&mut self, id: FileId) -> Option<u64> {
        let file = self.files.get_mut(&id)?;
        if file.pending.is_some() {
            return Some(file.from());
        }
        match file.journal.refresh() {
            Ok(_) if file.journal.entries_left() > 0 => Some(file.from()),
            Ok(_) => {
                self.rest(id);
                None
            }
            Err(e) => {
                self.lose(id, &e.to_string());
                None
            }
        }
    }

    /// Loads the next entry of a file.
    fn advance(&mut self, id: FileId, copies: &[Position]) -> Option<Next> {
        loop {
            let file = self.files.get_mut(&id)?;
            if let Some(entry) = &file.pending {
                return Some(Reverse((entry.realtime, entry.seqnum, id)));
            }
            match file.journal.next_entry() {
                Ok(Some(entry)) if copies.iter().any(|c| c.covers(&entry)) => {
                    file.position.pass(&entry);
                    file.moved = true;
                }
                Ok(Some(entry)) => file.pending = Some(entry),
                Ok(None) => {
                    self.rest(id);
                    return None;
                }
                Err(e) => {
                    self.lose(id, &e.to_string());
                    return None;
                }
            }
        }
    }

    /// Takes the loaded entry of a file; how large it is.
    fn take(&mut self, id: FileId, now: Timestamp) -> usize {
        let Some(file) = self.files.get_mut(&id) else {
            return 0;
        };
        let Some(folder) = self.folders.get_mut(file.place) else {
            return 0;
        };
        let Some(entry) = file.pending.take() else {
            return 0;
        };
        let line = match file.is_wanted(&self.plan.wanted) {
            Ok(true) => file.writer.write(&mut file.journal, &entry).map(Some),
            Ok(false) => Ok(None),
            Err(e) => Err(e),
        };
        let size = match line {
            Ok(Some(line)) => {
                let cut = folder
                    .lines
                    .push(&mut self.events, now, &folder.origin, line.bytes);
                folder.source.count(now, 1, line.bytes.len() as u64);
                folder.source.drop_items("cut", line.cut + u64::from(cut));
                line.bytes.len()
            }
            Ok(None) => 1,
            // The entry comes again when the file can be read again.
            Err(e) => {
                self.lose(id, &e.to_string());
                return 1;
            }
        };
        file.position.pass(&entry);
        file.moved = true;
        file.count_damage(&folder.source);
        size
    }

    /// A file is read to its end: for now, or for ever.
    fn rest(&mut self, id: FileId) {
        let many = self.files.len() > WARM_MAX;
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        if let Some(folder) = self.folders.get(file.place) {
            file.count_damage(&folder.source);
        }
        if many {
            file.journal.rest();
            file.writer = LineWriter::default();
        }
        if file.is_final()
            && let Some(mut file) = self.files.remove(&id)
        {
            file.position.done = true;
            if file.gone && !file.position.is_volatile() {
                self.touched.insert(id, None);
            } else {
                self.touched.insert(id, Some(file.position.encode()));
                self.positions.insert(id, file.position);
            }
        }
    }

    /// A file cannot be read at the moment; the next scan tries again.
    fn lose(&mut self, id: FileId, why: &str) {
        if let Some(file) = self.files.remove(&id) {
            self.source(file.place)
                .fail(&format!("cannot be read: {why}"));
            // What was taken of it goes with its position.
            self.touched.insert(id, Some(file.position.encode()));
            self.positions.insert(id, file.position);
        }
    }

    /// Hands over what there is.
    fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), Ended> {
        let mut positions = Vec::new();
        for (id, file) in self.files.iter_mut().filter(|(_, f)| f.moved) {
            positions.push((Position::key(*id), Some(file.position.encode())));
            file.moved = false;
        }
        for (id, value) in std::mem::take(&mut self.touched) {
            positions.push((Position::key(id), value));
        }
        for folder in self.marks.drain(..) {
            let value = folder.as_os_str().as_encoded_bytes().to_vec();
            let key = format!("{FOLDER_PREFIX}{}", folder.display());
            positions.push((key, Some(value)));
        }
        if self.events.is_empty() && positions.is_empty() {
            return Ok(());
        }
        let samples = lines::figures(Vec::new(), self.folders.iter_mut().map(|f| &mut f.lines));
        sink(Batch {
            events: std::mem::take(&mut self.events),
            samples,
            positions,
            ..Batch::default()
        })
    }

    /// How far each folder is behind.
    fn account(&self) {
        let mut lags = vec![0_u64; self.folders.len()];
        for file in self.files.values() {
            if let Some(lag) = lags.get_mut(file.place) {
                *lag = lag.saturating_add(file.journal.bytes_left());
            }
        }
        for (folder, lag) in self.folders.iter().zip(lags) {
            folder.source.set_lag(lag);
        }
    }
}

/// Why a file or a folder was refused, and what helps.
fn refused(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::PermissionDenied => {
            format!("{e}: the user of vigie must be in the group systemd-journal")
        }
        _ => format!("cannot be read: {e}"),
    }
}
