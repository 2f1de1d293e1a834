//! Follows the journals of some folders. No threads, no clock: the caller polls.
//!
//! A file is its id, which it keeps when it is renamed. How far it was read is a sequence number of
//! its own, so rotation, vacuuming and a restart in between change nothing. Within a folder, what one
//! machine wrote (`system`, `user-1000` …) is merged by time; files whose time has not come are not
//! touched, so a long history needs no more memory than a short one. Which files there are is looked for
//! in [`super::scan`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::PathBuf;
use std::sync::Arc;

use vigie_parsers::journal::LineWriter;
use vigie_parsers::{Origin, Timestamp};
use vigie_store::{Batch, EventBatch};

use super::super::watch::{Follow, Sink};
use super::followed::{Followed, Wanted};
use super::position::{FOLDER_PREFIX, FileId, PREFIX, Position};
use crate::counts::Counters;
use crate::lines::{self, BATCH_BYTES, Lines};
use crate::outlet::Ended;
use crate::status::{Source, Status};

/// Files followed at once; each has an open descriptor. What is beyond waits until others are done.
pub(super) const FILES_MAX: usize = 1000;
/// One machine gives way to the others after so much.
const SHARE_BYTES: usize = 8 << 20;
/// More files than this give back their memory when there is nothing to read in them.
const WARM_MAX: usize = 8;

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
    pub(super) plan: Plan,
    /// Files beside those of the folders.
    pub(super) named: Vec<PathBuf>,
    pub(super) met: BTreeSet<PathBuf>,
    /// Files that are not followed: done, or not found yet.
    pub(super) positions: BTreeMap<FileId, Position>,
    pub(super) files: BTreeMap<FileId, Followed>,
    /// The last numbers of files that were read to their end since the start: damage may hide their
    /// entries, so that a position does not reach them.
    pub(super) ended: BTreeMap<FileId, u64>,
    pub(super) folders: Vec<Folder>,
    pub(super) counters: Counters,
    pub(super) status: Status,
    events: EventBatch,
    /// What changed since the last batch beside the files that are followed; `None` is forgotten.
    pub(super) touched: BTreeMap<FileId, Option<Vec<u8>>>,
    pub(super) marks: Vec<PathBuf>,
    /// There were more files than we follow at once.
    pub(super) crowded: bool,
    pub(super) looked: bool,
}

/// A folder with journals: a source.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) source: Arc<Source>,
    pub(super) origin: Arc<Origin>,
    pub(super) lines: Lines,
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
            ended: BTreeMap::new(),
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
                self.ended.insert(id, file.journal.header().seqnums.1);
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
