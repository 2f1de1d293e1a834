//! Reads pieces of logs into batches: on threads, a log on each; the writer takes what they send.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memrchr;
use vigie_parsers::formats::{Detector, Format};
use vigie_parsers::{Context, Encoding, Origin, Record, Timestamp};
use vigie_store::events::LogRetention;
use vigie_store::{EventBatch, Reader};

use super::plan::{Log, Piece};
use super::seen::{HEAD_MAX, Held, Mark, TAIL_LEN, hash};
use crate::files::{Input, LINE_LEN_MAX, Reading};

/// A batch is sent when it has so many bytes of lines.
const BATCH_BYTES: usize = 1 << 20;
/// Lines that were followed live may stand a little outside the span of the file.
const AROUND_MS: i64 = 60_000;

/// What became of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Lines in it, blank ones left out.
    pub(super) lines: u64,
    /// Of these taken now.
    pub(super) taken: u64,
    /// Of these here already.
    pub(super) known: u64,
    /// Of these too old to be kept.
    pub(super) old: u64,
    /// Of these cut.
    pub(super) cut: u64,
    /// How many were read as what.
    pub(super) formats: BTreeMap<&'static str, u64>,
    /// The times of what was taken.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// Why it could not be read to its end, or what else to know.
    pub(super) trouble: Option<String>,
}

/// What a worker sends.
pub(super) enum Message {
    /// Lines and how far the file is taken with them, and how many packed bytes were read for it.
    Lines {
        events: EventBatch,
        positions: Vec<(String, Option<Vec<u8>>)>,
        disk_bytes: u64,
    },
    /// A file has ended.
    End(PathBuf, Account),
}

/// What all workers share.
pub(super) struct Shared {
    pub(super) reading: Reading,
    pub(super) host: String,
    /// When the import began: the arrival of its lines.
    pub(super) now: Timestamp,
    /// How long lines are kept.
    pub(super) retention: LogRetention,
    pub(super) marks: Mutex<Vec<Mark>>,
    /// The daemon's own notes of files that it follows.
    pub(super) followed: Vec<String>,
    /// When sources had lines before the import, and the number of the last of them.
    pub(super) sources: HashMap<String, (Timestamp, Timestamp)>,
    pub(super) last_id: u64,
    pub(super) data: PathBuf,
}

/// Takes the pieces of a log, one after the other; `false` when nobody listens any more.
pub(super) fn take(shared: &Shared, log: &Log, out: &SyncSender<Message>) -> bool {
    let path = log.path.display().to_string();
    let origin = Arc::new(Origin {
        source: format!("file:{path}"),
        fields: vec![
            ("file".to_owned(), path),
            ("host".to_owned(), shared.host.clone()),
        ],
    });
    for piece in &log.pieces {
        let mut taker = Taker::new(shared, piece, Arc::clone(&origin), out);
        match taker.run() {
            Ok(true) => {}
            Ok(false) => return false,
            Err(e) => taker.account.trouble = Some(e.to_string()),
        }
        let end = Message::End(piece.path.clone(), taker.account);
        if out.send(end).is_err() {
            return false;
        }
    }
    true
}

/// What bytes mean; at the end of a file also half a character.
fn decoded<'a>(encoding: Encoding, bytes: &'a [u8], text: &'a mut Vec<u8>, more: bool) -> &'a [u8] {
    if encoding == Encoding::Utf8 {
        return bytes;
    }
    text.clear();
    if more {
        encoding.decode(bytes, text);
    } else {
        encoding.decode_last(bytes, text);
    }
    text
}

/// A file being taken.
struct Taker<'a> {
    shared: &'a Shared,
    piece: &'a Piece,
    origin: Arc<Origin>,
    out: &'a SyncSender<Message>,
    account: Account,
    context: Context,
    detector: Detector,
    record: Record,
    batch: EventBatch,
    held: Held,
    /// Lines before are not kept.
    oldest: Timestamp,
    mark: Mark,
    /// Everything before was taken earlier.
    skip: u64,
    /// What lies behind has to be compared with what the store has, which was not read yet.
    compare_due: bool,
    head: Vec<u8>,
    tail: Vec<u8>,
    sent: u64,
}

impl<'a> Taker<'a> {
    fn new(
        shared: &'a Shared,
        piece: &'a Piece,
        origin: Arc<Origin>,
        out: &'a SyncSender<Message>,
    ) -> Self {
        let rule = shared.retention.of(&origin.source);
        let keep = rule.and_then(|rule| rule.keep_ms);
        Self {
            oldest: keep.map_or(Timestamp::MIN, |ms| shared.now.plus_ms(-ms)),
            context: Context::new(piece.anchor, shared.reading.zone.clone()),
            shared,
            piece,
            origin,
            out,
            account: Account::default(),
            detector: Detector::default(),
            record: Record::default(),
            batch: EventBatch::default(),
            held: Held::default(),
            mark: Mark::default(),
            skip: 0,
            compare_due: false,
            head: Vec::new(),
            tail: Vec::new(),
            sent: 0,
        }
    }

    /// Reads the file; `false` when nobody listens any more.
    fn run(&mut self) -> io::Result<bool> {
        let path = &self.piece.path;
        let known = {
            let marks = self
                .shared
                .marks
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            marks.clone()
        };
        let found = Mark::find(&known, &mut Input::open(path)?)?;
        let first = self.piece.first.unwrap_or(self.piece.anchor);
        self.mark.last = found.map_or(first.0, |m| m.last);
        self.skip = found.map_or(0, |m| m.offset);
        // What an interrupted import has taken is known exactly.
        self.compare_due = found.is_none_or(|m| m.done);
        let mut input = Input::open(path)?;
        let plain = !input.is_packed;
        let (mut buffer, mut text) = (Vec::new(), Vec::new());
        let (mut skipping, mut encoding) = (false, None);
        loop {
            let read = input.read(&mut buffer);
            let more = *read.as_ref().unwrap_or(&false);
            encoding = encoding.or_else(|| Encoding::of(&buffer, self.shared.reading.encoding));
            if encoding.is_none() && more {
                continue;
            }
            let encoding = encoding.unwrap_or_default();
            let text = decoded(encoding, &buffer, &mut text, more);
            let end = match memrchr(b'\n', text) {
                _ if !more => text.len(),
                Some(last) => last + 1,
                None if text.len() > LINE_LEN_MAX => text.len(),
                None => 0,
            };
            // A line that is too long will be cut: what is before it waits for no more.
            let ahead = more && text.len() - end <= LINE_LEN_MAX;
            let bytes = (buffer.as_slice(), encoding);
            let used = self.lines(bytes, &text[..end], &mut skipping, ahead)?;
            buffer.drain(..used);
            if self.batch.line_bytes() >= BATCH_BYTES && !self.send(&input, Vec::new()) {
                return Ok(false);
            }
            // What could be unpacked before the damage is taken.
            if let Err(e) = read {
                self.send(&input, Vec::new());
                return Err(e);
            }
            if !more {
                break;
            }
        }
        self.mark.done = true;
        let follow = plain.then(|| self.followed()).flatten();
        let sent = self.send(&input, follow.into_iter().collect());
        let mut marks = self
            .shared
            .marks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        marks.push(self.mark);
        Ok(sent)
    }

    /// Reads what the store has of this log in the time of the file.
    fn compare(&mut self) -> anyhow::Result<()> {
        let Some((first, last)) = self.shared.sources.get(&self.origin.source) else {
            return Ok(());
        };
        let from = self
            .piece
            .first
            .unwrap_or(Timestamp::MIN)
            .plus_ms(-AROUND_MS);
        let until = self.piece.anchor.plus_ms(86_400_000);
        if *last < from || until < *first {
            return Ok(());
        }
        let reader = Reader::open(&self.shared.data)?;
        self.held = Held::read(
            &reader,
            &self.origin.source,
            from..until,
            self.shared.last_id,
        )?;
        if self.held.too_many {
            self.account.trouble = Some(
                "so many lines of this log are here that not all could be compared".to_owned(),
            );
        }
        Ok(())
    }

    /// Takes the events in the text that the bytes begin with, but one that `more` could belong to; how
    /// many of the bytes.
    fn lines(
        &mut self,
        (bytes, encoding): (&[u8], Encoding),
        text: &[u8],
        skipping: &mut bool,
        more: bool,
    ) -> io::Result<usize> {
        let (mut at, mut taken) = (0, 0);
        while at < text.len() {
            let first = self.shared.reading.joining.first(&text[at..], LINE_LEN_MAX);
            if more && first.is_some_and(|f| !f.whole) {
                break;
            }
            let used = first.map_or(text.len() - at, |f| f.len);
            let line = &text[at..at + used];
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let starts = self.mark.offset;
            let behind = bytes
                .len()
                .min(taken + encoding.len_of(&text[at..at + used]));
            self.advance(&bytes[taken..behind]);
            (at, taken) = (at + used, behind);
            // The rest of a line that was cut.
            if std::mem::replace(skipping, first.is_none() && more) {
                continue;
            }
            let bom = starts == 0 && line.starts_with(b"\xef\xbb\xbf");
            let line = if bom { &line[3..] } else { line };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            self.account.lines += 1;
            if starts < self.skip {
                self.account.known += 1;
                continue;
            }
            // A file that is taken in again has no such line mostly.
            if std::mem::take(&mut self.compare_due) {
                self.compare().map_err(io::Error::other)?;
            }
            self.line(line);
        }
        Ok(taken)
    }

    fn line(&mut self, line: &[u8]) {
        let kept = &line[..line.len().min(LINE_LEN_MAX)];
        self.account.cut += u64::from(kept.len() < line.len());
        let format = self.parse(kept);
        let own = self.record.time;
        if !self.held.is_empty() && self.held.take(kept, own) {
            self.account.known += 1;
            return;
        }
        // A line without a time happened when the one before it did.
        let time = own.unwrap_or(Timestamp(self.mark.last));
        self.mark.last = time.0;
        if time < self.oldest {
            self.account.old += 1;
            return;
        }
        self.account.taken += 1;
        *self.account.formats.entry(format.name).or_default() += 1;
        let (first, last) = self.account.span.unwrap_or((time, time));
        self.account.span = Some((first.min(time), last.max(time)));
        self.record.time = Some(time);
        self.record.flags.truncated |= kept.len() < line.len();
        self.batch.push(
            self.shared.now,
            &self.origin,
            format.name,
            kept,
            &self.record,
        );
    }

    fn parse(&mut self, line: &[u8]) -> &'static Format {
        if let Some(format) = self.shared.reading.format {
            self.record.clear();
            if format.parse(&mut self.context, line, &mut self.record) {
                return format;
            }
        }
        self.detector
            .parse(&mut self.context, line, &mut self.record)
    }

    /// The mark moves behind these bytes.
    fn advance(&mut self, used: &[u8]) {
        self.mark.offset += used.len() as u64;
        if self.head.len() < HEAD_MAX {
            let room = HEAD_MAX - self.head.len();
            self.head.extend_from_slice(&used[..used.len().min(room)]);
        }
        if used.len() >= TAIL_LEN {
            self.tail.clear();
        } else {
            let kept = TAIL_LEN - used.len();
            self.tail.drain(..self.tail.len().saturating_sub(kept));
        }
        self.tail
            .extend_from_slice(&used[used.len().saturating_sub(TAIL_LEN)..]);
    }

    /// Hands over what was read, with how far that is.
    fn send(&mut self, input: &Input, more: Vec<(String, Option<Vec<u8>>)>) -> bool {
        self.mark.head_len = self.head.len() as u64;
        self.mark.head = hash(&self.head);
        self.mark.tail = hash(&self.tail);
        let mut positions = more;
        // Before that everything is known already.
        if self.mark.offset >= self.skip {
            positions.push((self.mark.key(), Some(self.mark.encode())));
        }
        let disk_bytes = input.disk_bytes();
        let message = Message::Lines {
            events: std::mem::take(&mut self.batch),
            positions,
            disk_bytes: disk_bytes - self.sent,
        };
        self.sent = disk_bytes;
        self.out.send(message).is_ok()
    }

    /// A note for the daemon that this much of the file was read, if it has none: it then goes on from
    /// here. The form is that of the collector's own notes.
    fn followed(&self) -> Option<(String, Option<Vec<u8>>)> {
        let metadata = std::fs::metadata(&self.piece.path).ok()?;
        let key = format!("file:{:x}:{:x}", metadata.dev(), metadata.ino());
        if self.shared.followed.contains(&key) || self.piece.path != Path::new(&self.log_path()) {
            return None;
        }
        let Mark { offset, .. } = self.mark;
        let (head_len, head, tail) = (self.head.len(), hash(&self.head), hash(&self.tail));
        let mut value = format!("1 {offset:x} {head_len:x} {head:x} {tail:x} 0 ").into_bytes();
        value.extend_from_slice(self.piece.path.as_os_str().as_bytes());
        Some((key, Some(value)))
    }

    fn log_path(&self) -> String {
        let source = self.origin.source.as_str();
        source.strip_prefix("file:").unwrap_or(source).to_owned()
    }
}
