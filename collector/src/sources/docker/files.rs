//! The files that the driver json-file writes of one container, read on through rotation: `ID-json.log`, `.1`,
//! `.2` … and packed (`.2.gz`), a record a line.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vigie_parsers::Timestamp;

use super::super::content::{Bytes, Content};
use super::super::watch::Sink;
use super::container::Container;
use super::intake::Intake;
use super::pieces::{Piece, Stamp, Stream};
use super::position::Place;
use crate::lines::BATCH_BYTES;
use crate::outlet::Ended;

/// Read at once. A record of 16 KiB has at most six times as many bytes in JSON.
pub(super) const BUFFER_BYTES: usize = 256 << 10;
/// One container gives way to the others after so much.
const SHARE_BYTES: usize = 8 << 20;
/// Rotated files of one container that are looked at.
const FILES_MAX: usize = 1000;
/// Bytes of a container's own description.
const CONFIG_LEN_MAX: u64 = 4 << 20;

/// See the module.
pub(super) struct Followed {
    pub(super) dir: PathBuf,
    pub(super) log: String,
    pub(super) intake: Intake,
    open: Option<Open>,
    running: bool,
}

struct Open {
    file: Content,
    place: Place,
    /// The rest of a record that is too long is left out.
    skipping: bool,
}

/// A line of the file.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

impl Followed {
    /// In the folder of a container, from where the intake is.
    pub(super) fn new(dir: PathBuf, log: String, intake: Intake, running: bool) -> Self {
        Self {
            dir,
            log,
            intake,
            open: None,
            running,
        }
    }

    /// The files cannot be read: they are opened again at the place that was reached.
    pub(super) fn fail(&mut self, e: &io::Error) {
        let why = format!("{} cannot be read: {e}", self.log);
        self.intake.source().fail(&why);
        self.open = None;
        self.intake.reopen();
    }

    /// Whether the container has stopped meanwhile: then what is there is all.
    pub(super) fn look(&mut self, now: Timestamp, id: &str) {
        // Being written: the next look tells.
        if let Ok(container) = describe(&self.dir, id) {
            if self.running && !container.running {
                self.intake.finish(now);
            }
            self.running = container.running;
        }
    }

    /// Reads on to the end of the newest file, or until the share of this turn is used up: then there is
    /// more.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        buffer: &mut [u8],
        sink: &mut Sink<'_>,
    ) -> Result<io::Result<bool>, Ended> {
        let mut left = SHARE_BYTES;
        loop {
            let n = match self.read_some(now, buffer) {
                Ok(n) => n,
                Err(e) => return Ok(Err(e)),
            };
            if n == 0 || self.intake.size() >= BATCH_BYTES {
                self.intake.pass(now);
                if let Some(batch) = self.intake.batch() {
                    sink(batch)?;
                }
            }
            left = left.saturating_sub(n);
            if n == 0 || left == 0 {
                return Ok(Ok(n > 0));
            }
        }
    }

    /// Reads on; how many bytes that were.
    fn read_some(&mut self, now: Timestamp, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(open) = &mut self.open else {
                match self.next_file(now, self.intake.place())? {
                    Some(open) => self.open = Some(open),
                    None => return Ok(0),
                }
                continue;
            };
            let size = match open.file.is_packed() {
                // How much is in it only unpacking tells.
                true => open.place.offset,
                false => open.file.metadata()?.size(),
            };
            if size < open.place.offset {
                // It was emptied.
                self.intake.source().drop_items("truncated", 1);
                (open.place.offset, open.skipping) = (0, false);
            }
            let n = open.file.read_at(buffer, open.place.offset)?;
            let used = open.take(now, buffer.get(..n).unwrap_or_default(), &mut self.intake);
            self.intake
                .source()
                .set_lag(size.saturating_sub(open.place.offset));
            if used > 0 {
                self.intake.set_place(open.place);
                self.intake.source().work("");
                return Ok(used);
            }
            if let Some(why) = open.file.take_fault() {
                let source = self.intake.source();
                source.drop_items("damaged_archive", 1);
                tracing::warn!(
                    source = source.name(),
                    "a packed piece of its log is damaged: {why}"
                );
            }
            let place = open.place;
            match self.next_file(now, place)? {
                Some(next) if next.place != place => self.open = Some(next),
                _ => return Ok(0),
            }
        }
    }

    /// The file to read behind that place: itself if it is not there or the newest, else the next one.
    fn next_file(&mut self, now: Timestamp, place: Place) -> io::Result<Option<Open>> {
        let files = self.files()?;
        let last = self.intake.last();
        // One that begins behind what was read was emptied since, or has the number of one that is gone.
        let is_other = |path: &Path| place.offset > 0 && begin(path).is_some_and(|s| s > last);
        let known = files
            .iter()
            .position(|(path, inode)| *inode == place.inode && !is_other(path));
        let (index, offset) = match (known, self.open.is_some()) {
            (Some(index), false) => (index, place.offset),
            (Some(index), true) => (index + 1, 0),
            // It was packed meanwhile, or rotation took it away: what is older than the last record is known.
            (None, _) => (oldest_unknown(&files, self.intake.since()), 0),
        };
        if known.is_none() && self.open.is_some() {
            self.intake.read_again(now);
        }
        let Some((path, _)) = files.get(index) else {
            return Ok(None);
        };
        let file = match open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => Content::of(file?)?,
        };
        let inode = file.metadata()?.ino();
        Ok(Some(Open {
            file,
            place: Place { inode, offset },
            skipping: false,
        }))
    }

    /// The files of the log with their inodes, the oldest first. While one is being packed the plain one is whole.
    fn files(&self) -> io::Result<Vec<(PathBuf, u64)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir)?.flatten().take(FILES_MAX) {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|n| n.strip_prefix(&self.log));
            let plain = rest.map(|r| r.strip_suffix(".gz").unwrap_or(r));
            let age = match plain {
                Some("") => Some(0),
                Some(rest) => rest.strip_prefix('.').and_then(|n| n.parse::<u32>().ok()),
                None => None,
            };
            if let (Some(age), Ok(metadata)) = (age, entry.metadata()) {
                let age = std::cmp::Reverse(age);
                found.push((age, rest != plain, entry.path(), metadata.ino()));
            }
        }
        found.sort();
        found.dedup_by_key(|(age, ..)| *age);
        Ok(found
            .into_iter()
            .map(|(_, _, path, inode)| (path, inode))
            .collect())
    }
}

impl Open {
    /// Takes whole records; how many bytes that were.
    fn take(&mut self, now: Timestamp, bytes: &[u8], intake: &mut Intake) -> usize {
        let mut at = 0;
        while let Some(len) = memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()) {
            let line = bytes.get(at..at + len).unwrap_or_default();
            at += len + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if !push(now, line, intake) {
                intake.source().drop_items("damaged_records", 1);
            }
        }
        if at == 0 && bytes.len() >= BUFFER_BYTES {
            if !self.skipping {
                intake.source().drop_items("damaged_records", 1);
            }
            self.skipping = true;
            at = bytes.len();
        }
        self.place.offset += at as u64;
        at
    }
}

/// The newest file that begins before a record; the oldest if none does.
fn oldest_unknown(files: &[(PathBuf, u64)], record: Stamp) -> usize {
    let begins_before = |(path, _): &(PathBuf, u64)| begin(path).is_some_and(|s| s < record);
    files.iter().rposition(begins_before).unwrap_or(0)
}

/// When the first record of a file was written.
fn begin(path: &Path) -> Option<Stamp> {
    let file = Content::of(open(path).ok()?).ok()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let n = file.read_at(&mut buffer, 0).ok()?;
    let line = buffer.get(..n)?.split(|&b| b == b'\n').next()?;
    let record: Record<'_> = serde_json::from_slice(line).ok()?;
    Stamp::parse(record.time.as_bytes())
}

/// Hands a record on; whether it is one.
fn push(now: Timestamp, line: &[u8], intake: &mut Intake) -> bool {
    let Ok(record) = serde_json::from_slice::<Record<'_>>(line) else {
        return false;
    };
    let Some(stamp) = Stamp::parse(record.time.as_bytes()) else {
        return false;
    };
    let text = record.log.as_bytes();
    let line = text.strip_suffix(b"\n");
    intake.push(
        now,
        &Piece {
            stream: match &*record.stream {
                "stderr" => Stream::Stderr,
                _ => Stream::Stdout,
            },
            stamp,
            text: line.unwrap_or(text),
            ends: line.is_some(),
        },
    );
    true
}

/// What the engine has written of a container.
pub(super) fn describe(dir: &Path, id: &str) -> io::Result<Container> {
    use std::io::Read;
    let mut json = Vec::new();
    let file = open(&dir.join("config.v2.json"))?;
    file.take(CONFIG_LEN_MAX).read_to_end(&mut json)?;
    Container::read(&json, id).map_err(io::Error::other)
}

/// Opens a regular file; never waits for the writer of a FIFO that was put in its place.
fn open(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}
