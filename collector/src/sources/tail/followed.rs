//! One file that is followed: where we are in it, and reading on.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vigie_parsers::joining::Joining;
use vigie_parsers::{Encoding, Origin, Timestamp};
use vigie_store::EventBatch;

use super::super::content::{Bytes, Content};
use super::identity::{self, Id, Print, TAIL_LEN};
use super::position::Position;
use super::restore::written;
use crate::cut;
use crate::lines::{BATCH_BYTES, LINE_LEN_MAX, Lines};
use crate::rotation;
use crate::status::Source;

/// An event that further lines may belong to waits so long for them.
const HOLD_MS: i64 = 1000;
/// NULs at the beginning of a line that are no hole but part of it are fewer: what a file system leaves after a
/// crash is blocks. (A hole at the beginning of a file may be of any length.)
const HOLE_LEN_MIN: usize = 512;
/// Read at once.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// See the module.
pub(super) struct Followed {
    pub(super) position: Position,
    /// Where it lies now; `position.path` is where it lay when its lines were written.
    pub(super) place: PathBuf,
    pub(super) file: Content,
    /// Whether a wanted path leads to it at the moment.
    pub(super) wanted: bool,
    pub(super) lines: Lines,
    pub(super) origin: Arc<Origin>,
    pub(super) source: Arc<Source>,
    /// When it was written to last before it was followed, in ns.
    pub(super) written: i128,
    /// Where a packed file was read to its end.
    drained: Option<u64>,
    /// Size and times at the last look.
    seen: Option<(u64, i128, (i64, i64))>,
    /// Nothing has come since.
    pub(super) quiet_since: Option<Timestamp>,
    reading: Reading,
    /// How its characters are written, once it has enough of them to tell.
    encoding: Option<Encoding>,
    /// What was read last are NULs that nobody wrote.
    in_hole: bool,
    /// Where the last event that is not whole ended, and since when it waits.
    held: Option<(u64, Timestamp)>,
    hold_ms: i64,
}

/// How the bytes of files become events.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// Which lines are one event.
    pub(super) joining: Joining,
    /// What the characters of files without a byte order mark are, if the operator says so.
    pub(super) encoding: Option<Encoding>,
}

/// What a look at a file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing since the last look.
    Same,
    /// There is more behind our offset.
    Grown,
    /// What we have read is not there any more.
    Truncated,
    /// It is empty and was written to or emptied since nothing of it was read.
    Missed,
}

/// What reading brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The share of this turn was used up: there is probably more.
    pub(super) more: bool,
    pub(super) items: u64,
    pub(super) bytes: u64,
    cut: u64,
    gaps: u64,
}

/// Opens a file if it is a regular one: never waits for the writer of a FIFO that was put in its place.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)?;
    let metadata = file.metadata()?;
    match refusal(&metadata).or_else(|| is_view(&file).then_some("the kernel's, not a file")) {
        None => Ok((file, metadata)),
        Some(why) => Err(io::Error::other(why)),
    }
}

/// Whether a file is made by the kernel as it is read, so that it has no size to grow: /proc, /sys and below.
fn is_view(file: &File) -> bool {
    /// proc, sysfs, debugfs, tracefs, cgroup, cgroup2.
    const KINDS: [u64; 6] = [
        0x9fa0,
        0x6265_6572,
        0x6462_6720,
        0x7472_6163,
        0x0027_e0eb,
        0x6367_7270,
    ];
    let kind = rustix::fs::fstatfs(file)
        .ok()
        .and_then(|s| u64::try_from(s.f_type).ok());
    kind.is_some_and(|kind| KINDS.contains(&kind))
}

/// Without a byte order mark, which only the first line of a file can begin with.
fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// NULs at the beginning, in great steps: holes may be of gigabytes.
fn zeros(bytes: &[u8]) -> usize {
    let is_zero = |block: &&[u8]| block.iter().fold(0, |all, b| all | b) == 0;
    let blocks = bytes.chunks_exact(64).take_while(is_zero).count() * 64;
    let rest = bytes.get(blocks..).unwrap_or_default();
    blocks + rest.iter().take_while(|&&b| b == 0).count()
}

/// Why such a file is not followed.
pub(super) fn refusal(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a directory, not a file")
    } else if kind.is_fifo() {
        Some("a FIFO, not a file")
    } else {
        Some("a device or a socket, not a file")
    }
}

/// How a file writes characters, if that can be told.
pub(super) fn encoding_of(
    file: &impl Bytes,
    given: Option<Encoding>,
) -> io::Result<Option<Encoding>> {
    let mut head = [0; Encoding::HEAD_LEN];
    let head = identity::read_at(file, &mut head, 0)?;
    Ok(Encoding::of(head, given))
}

impl Followed {
    pub(super) fn new(
        position: Position,
        (place, file): (&Path, Content),
        reading: Reading,
        lines: Lines,
        origin: Arc<Origin>,
        source: Arc<Source>,
    ) -> Self {
        let mut followed = Self {
            position,
            written: file.metadata().map_or(0, |m| written(&m)),
            place: place.to_owned(),
            file,
            wanted: true,
            lines,
            origin,
            source,
            drained: None,
            seen: None,
            quiet_since: None,
            reading,
            encoding: None,
            in_hole: false,
            held: None,
            hold_ms: HOLD_MS,
        };
        // Without it the lines are text until the next header; reading on is what matters.
        let _ = followed.heed_columns();
        followed
    }

    /// No event waits for further lines any more: nothing will come.
    pub(super) fn stop_waiting(&mut self) {
        self.hold_ms = 0;
    }

    /// Whether an event has waited long enough for further lines.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.held
            .is_some_and(|(_, since)| now.since_ms(since) >= self.hold_ms)
    }

    /// How the file writes characters; `None` as long as it is too short to tell.
    fn encoding(&mut self) -> io::Result<Option<Encoding>> {
        if self.encoding.is_none() {
            self.encoding = encoding_of(&self.file, self.reading.encoding)?;
        }
        Ok(self.encoding)
    }

    /// A W3C log says what its columns are in lines before ours: the last of them near our place, else
    /// that at the top of the file.
    fn heed_columns(&mut self) -> io::Result<()> {
        /// A header has some ten lines; servers that repeat it do so at each start.
        const LOOK_BYTES: u64 = 64 << 10;
        let offset = self.position.offset;
        let Some(encoding) = self.encoding()?.filter(|_| offset > 0) else {
            return Ok(());
        };
        if !unmarked(&self.text_at(encoding, 0, 8)?).starts_with(b"#") {
            return Ok(());
        }
        for from in [0, offset.saturating_sub(LOOK_BYTES)] {
            let from = from - from % encoding.unit() as u64;
            let text = self.text_at(encoding, from, (offset - from).min(LOOK_BYTES))?;
            let lines = unmarked(&text).split(|&b| b == b'\n');
            for line in lines.filter(|l| l.first() == Some(&b'#')) {
                self.lines.heed(line);
            }
        }
        Ok(())
    }

    /// The text that stands in the file from a place on, in so many bytes.
    fn text_at(&self, encoding: Encoding, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let bytes = identity::read_at(&self.file, &mut bytes, at)?;
        let mut text = Vec::new();
        encoding.decode(bytes, &mut text);
        Ok(text)
    }

    /// Whether the file has changed, and how.
    pub(super) fn look(&mut self) -> io::Result<Look> {
        let metadata = self.file.metadata()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let seen = (metadata.size(), written(&metadata), changed);
        if self.seen == Some(seen) {
            return Ok(Look::Same);
        }
        self.seen = Some(seen);
        let Position { offset, print, .. } = self.position;
        // A stamp without a year is of the time of the file, not of the day on which we read it.
        let mtime = i64::try_from(seen.1 / 1_000_000).unwrap_or(i64::MAX);
        self.lines.set_anchor(Timestamp(mtime));
        if self.file.is_packed() {
            // It was finished before it was packed, and is read once.
            self.seen = None;
            return Ok(match self.drained == Some(offset) {
                true => Look::Same,
                false => Look::Grown,
            });
        }
        if metadata.size() < offset || !print.matches(&self.file, offset)? {
            return Ok(Look::Truncated);
        }
        self.source.set_lag(metadata.size() - offset);
        let missed = |since| metadata.size() == 0 && seen.1 > since;
        if self.position.since.is_some_and(missed) {
            return Ok(Look::Missed);
        }
        Ok(if metadata.size() > offset {
            Look::Grown
        } else {
            Look::Same
        })
    }

    /// The next look compares nothing with this one.
    pub(super) fn look_again(&mut self) {
        self.seen = None;
    }

    /// Begins anew: the file was emptied. What is in its pieces that were written to up to `since` is known.
    pub(super) fn restart(&mut self, since: Option<i128>) {
        self.position.offset = 0;
        self.position.since = since;
        self.position.print = Print::default();
        self.position.print.set_tail(&[]);
        self.position.skipping = false;
        self.in_hole = false;
        self.encoding = None;
        self.look_again();
    }

    /// Takes whole lines until the end of the file, until `share` bytes are read, or until the batch
    /// is full.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        batch: &mut EventBatch,
        buffer: &mut [u8],
        share: usize,
    ) -> io::Result<Progress> {
        let Some(encoding) = self.encoding()? else {
            // A packed file does not grow: this is all.
            self.drained = self.file.is_packed().then_some(self.position.offset);
            return Ok(Progress::default());
        };
        let mut progress = Progress::default();
        let (mut len, mut text) = (0, Vec::new());
        loop {
            let room = buffer.get_mut(len..).unwrap_or_default();
            let n = match self.file.read_at(room, self.position.offset + len as u64) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            // At the end of the file only what has waited long enough is new to us.
            let at_end = n == 0;
            if at_end && !(len > 0 && self.is_due(now)) {
                break;
            }
            len += n;
            let bytes = buffer.get(..len).unwrap_or_default();
            let used = if encoding == Encoding::Utf8 {
                self.take_lines(now, batch, bytes, at_end, &mut progress)
            } else {
                text.clear();
                encoding.decode(bytes, &mut text);
                let used = self.take_lines(now, batch, &text, at_end, &mut progress);
                encoding.len_of(text.get(..used).unwrap_or_default())
            };
            self.advance(bytes.get(..used).unwrap_or_default())?;
            progress.bytes += used as u64;
            buffer.copy_within(used..len, 0);
            len -= used;
            if at_end {
                break;
            }
            if batch.size() >= BATCH_BYTES || progress.bytes >= share as u64 {
                progress.more = true;
                break;
            }
        }
        if !progress.more && self.file.is_packed() {
            self.drained = Some(self.position.offset);
        }
        self.settle(now, &progress);
        Ok(progress)
    }

    /// The last line of a file that will not grow any more, though it has no end.
    pub(super) fn read_rest(&mut self, now: Timestamp, batch: &mut EventBatch) -> io::Result<()> {
        // Longer ones were cut before, and no encoding takes more than two bytes where UTF-8 takes one.
        let mut buffer = vec![0; 2 * LINE_LEN_MAX + 2];
        let rest = identity::read_at(&self.file, &mut buffer, self.position.offset)?;
        let encoding = self.encoding()?.unwrap_or_default();
        let mut progress = Progress {
            bytes: rest.len() as u64,
            ..Progress::default()
        };
        if !self.position.skipping {
            let mut text = Vec::new();
            encoding.decode_last(rest, &mut text);
            let line = self.unmarked_at(0, &text);
            self.push(now, batch, line, &mut progress);
        }
        self.position.skipping = true;
        self.advance(rest)?;
        self.settle(now, &progress);
        Ok(())
    }

    fn settle(&self, now: Timestamp, progress: &Progress) {
        self.source.count(now, progress.items, progress.bytes);
        self.source.drop_items("cut", progress.cut);
        self.source.drop_items("nul_gap", progress.gaps);
        if let Some(fault) = self.file.take_fault() {
            self.source.drop_items("damaged_archive", 1);
            self.source
                .fail(&format!("{}: {fault}", self.place.display()));
        }
        // How much is in a packed file is known at its end.
        let size = self.seen.filter(|_| !self.file.is_packed());
        self.source
            .set_lag(size.map_or(0, |s| s.0.saturating_sub(self.position.offset)));
    }

    /// Takes what is whole at the beginning of the bytes, and with `due` set what could go on; how many
    /// of them.
    fn take_lines(
        &mut self,
        now: Timestamp,
        batch: &mut EventBatch,
        bytes: &[u8],
        due: bool,
        progress: &mut Progress,
    ) -> usize {
        let mut at = 0;
        if self.position.skipping {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                return bytes.len();
            };
            self.position.skipping = false;
            at = end + 1;
        }
        while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
            // A writer that went on at its old place after a truncation leaves a hole of NULs.
            let gap = zeros(rest);
            let starts = self.position.offset == 0 && at == 0;
            if gap > 0 && (starts || self.in_hole || gap >= HOLE_LEN_MIN) {
                progress.gaps += u64::from(!self.in_hole);
                self.in_hole = gap == rest.len();
                at += gap;
                continue;
            }
            self.in_hole = false;
            // A hole may begin here.
            if gap == rest.len() && !due {
                break;
            }
            match self.reading.joining.first(rest, LINE_LEN_MAX) {
                Some(first) if first.whole || due => {
                    let end = first.len.saturating_sub(1);
                    let line = self.unmarked_at(at, rest.get(..end).unwrap_or_default());
                    self.push(now, batch, line, progress);
                    at += first.len;
                    self.held = None;
                }
                // It stays in the file until it is whole, so nothing is lost if we end here.
                Some(first) => {
                    let taken = bytes.get(..at + first.len).unwrap_or_default();
                    let taken = self.encoding.unwrap_or_default().len_of(taken);
                    let end = self.position.offset + taken as u64;
                    if self.held.is_none_or(|(known, _)| known != end) {
                        self.held = Some((end, now));
                    }
                    break;
                }
                None if rest.len() > LINE_LEN_MAX => {
                    let line = self.unmarked_at(at, rest);
                    self.push(now, batch, line, progress);
                    self.position.skipping = true;
                    return bytes.len();
                }
                None => break,
            }
        }
        at
    }

    /// The line that stands `at` bytes behind our offset; the first of the file without its mark.
    fn unmarked_at<'a>(&self, at: usize, line: &'a [u8]) -> &'a [u8] {
        match self.position.offset == 0 && at == 0 {
            true => unmarked(line),
            false => line,
        }
    }

    fn push(
        &mut self,
        now: Timestamp,
        batch: &mut EventBatch,
        line: &[u8],
        progress: &mut Progress,
    ) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            progress.items += 1;
            let origin = cut::origin(&self.origin, line, false);
            let cut = self.lines.push(batch, now, &origin, line);
            progress.cut += u64::from(cut);
        }
    }

    /// The offset moves behind these bytes.
    fn advance(&mut self, used: &[u8]) -> io::Result<()> {
        if used.is_empty() {
            return Ok(());
        }
        let position = &mut self.position;
        position.offset += used.len() as u64;
        position.since = None;
        position.print.grow(&self.file, position.offset)?;
        // From memory where it can be: the file may have been emptied meanwhile.
        match used.len().checked_sub(TAIL_LEN) {
            Some(start) => position
                .print
                .set_tail(used.get(start..).unwrap_or_default()),
            None => position.print.tail = Print::take(&self.file, position.offset)?.tail,
        }
        Ok(())
    }

    /// Whether another file begins with all that was read of this one.
    pub(super) fn is_whole_in(&self, copy: &File, size: u64) -> bool {
        let Position { offset, print, .. } = self.position;
        let told = !self.file.is_packed() && print.is_telling() && size >= offset;
        told && print.matches(copy, offset).unwrap_or(false)
    }

    /// Whether another file has nothing that this one does not begin with, or this one has just changed.
    pub(super) fn begins_with(&self, copy: &File, size: u64) -> io::Result<bool> {
        let Position { offset, print, .. } = self.position;
        if self.file.is_packed() || print.head_len == 0 {
            return Ok(false);
        }
        let own = self.file.metadata()?.size();
        if own < offset || !print.matches(&self.file, offset)? {
            // The next look at it tells.
            return Ok(true);
        }
        Ok(size <= own && Print::take(copy, size)? == Print::take(&self.file, size)?)
    }

    /// Whether something stands behind the last line end.
    pub(super) fn has_rest(&self) -> bool {
        let offset = self.position.offset;
        match self.file.is_packed() {
            true => !self.file.is_done(offset),
            false => self.file.metadata().is_ok_and(|m| m.size() > offset),
        }
    }

    /// Whether its name says that it was turned away, or it has lost its name.
    pub(super) fn is_piece(&self) -> bool {
        let turn = rotation::turn(&self.position.path, &self.place);
        !self.wanted || turn.is_some_and(|turn| turn > 0)
    }

    /// Whether everything in it was read at the last look.
    pub(super) fn is_read(&self) -> bool {
        self.seen
            .is_some_and(|(size, ..)| size == self.position.offset)
    }

    /// Whether something was not read yet at the last look.
    pub(super) fn has_unread(&self) -> bool {
        self.seen
            .is_some_and(|(size, ..)| size > self.position.offset)
    }

    /// Whether a path is empty or another file's. While it cannot be looked at, it is not.
    pub(super) fn has_left(&self, path: &Path) -> bool {
        match std::fs::metadata(path) {
            Ok(metadata) => Id::of(&metadata) != self.id(),
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        }
    }

    pub(super) fn fail(&mut self, e: &io::Error) {
        self.source.fail(&format!("cannot be read: {e}"));
        self.look_again();
    }

    pub(super) fn id(&self) -> Id {
        self.position.id
    }
}
