//! Log files as a source of events, without a store: `vigie logs --file`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::formats::Detector;
use vigie_parsers::{Context, Event, Origin, Timestamp};
use vigie_query::log::Groups;
use vigie_query::{EventSource, GroupBy, Grouped, Order, Scan, ScanStats, SourceError};

/// A longer line is cut, as in the daemon.
const LINE_LEN_MAX: usize = 64 << 10;
/// Matching events that are held at most to be put in order.
const HELD_BYTES_MAX: usize = 256 << 20;
/// The clock is asked once in so many lines.
const CHECK_EVERY: u64 = 4096;

/// Files, plain or packed; read anew for each scan.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    zone: TimeZone,
}

impl Files {
    /// Opens nothing yet; `-` is standard input.
    pub(crate) fn new(paths: Vec<PathBuf>, zone: TimeZone) -> Self {
        Self { paths, zone }
    }

    /// Every line of every file, read by its format.
    fn each_line(
        &self,
        scan: &Scan<'_>,
        stats: &mut ScanStats,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let mut event = Event::default();
        for path in &self.paths {
            let error = |e: &io::Error| {
                let hint = match e.kind() {
                    io::ErrorKind::NotFound => "; the query comes before --file",
                    _ => "",
                };
                SourceError::Store(format!("{}: {e}{hint}", path.display()))
            };
            let (reader, modified) = open(path).map_err(|e| error(&e))?;
            let mut lines = Lines { reader, cut: 0 };
            let mut cx = Context::new(modified, self.zone.clone());
            let mut detector = Detector::default();
            event.origin = Arc::new(Origin {
                source: format!("file:{}", path.display()),
                fields: vec![("file".to_owned(), path.display().to_string())],
            });
            // A line without a time happened when the one before it did.
            let mut last = modified;
            loop {
                match lines.next(&mut event.line) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // What could be unpacked stands; the rest is damaged.
                    Err(e) => {
                        stats.incomplete = Some(format!("{}: {e}", path.display()));
                        break;
                    }
                }
                stats.bytes_read += event.line.len() as u64 + 1;
                stats.events_checked += 1;
                event.id = stats.events_checked;
                let format = detector.parse(&mut cx, &event.line, &mut event.record);
                if event.format.as_ref() != format.name {
                    event.format = Arc::from(format.name);
                }
                event.time = event.record.time.unwrap_or(last);
                event.recv = modified;
                event.severity = event.record.severity;
                last = event.time;
                if stats.events_checked.is_multiple_of(CHECK_EVERY)
                    && let Some(reason) = scan.must_stop()
                {
                    stats.incomplete = Some(reason.to_owned());
                    return Ok(());
                }
                let in_range = scan.from <= event.time && event.time < scan.until;
                if in_range && scan.filter.matches(&event) {
                    stats.events_matched += 1;
                    if each(&event).is_break() {
                        return Ok(());
                    }
                }
            }
            if lines.cut > 0 {
                tracing::warn!(
                    "{}: {} lines cut at {LINE_LEN_MAX} bytes",
                    path.display(),
                    lines.cut
                );
            }
        }
        Ok(())
    }
}

impl EventSource for Files {
    fn scan(
        &self,
        scan: &Scan<'_>,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<ScanStats, SourceError> {
        let mut stats = ScanStats::default();
        let mut held: Vec<Event> = Vec::new();
        let mut held_bytes = 0;
        let mut full = false;
        self.each_line(scan, &mut stats, &mut |event| {
            held_bytes += event.line.len() + size_of::<Event>();
            full = held_bytes > HELD_BYTES_MAX;
            if full {
                return ControlFlow::Break(());
            }
            held.push(event.clone());
            ControlFlow::Continue(())
        })?;
        if full {
            let limit = HELD_BYTES_MAX >> 20;
            stats.incomplete = Some(format!("more than {limit} MiB match; narrow the query"));
        }
        held.sort_by_key(|e| (e.time, e.id));
        if scan.order == Order::NewestFirst {
            held.reverse();
        }
        for event in &held {
            if each(event).is_break() {
                break;
            }
        }
        Ok(stats)
    }

    fn count_by(&self, scan: &Scan<'_>, by: &GroupBy<'_>) -> Result<Grouped, SourceError> {
        let mut groups = Groups::new(by.fields, by.step, by.max_groups);
        let mut stats = ScanStats::default();
        self.each_line(scan, &mut stats, &mut |event| {
            groups.add(event, event.time);
            ControlFlow::Continue(())
        })?;
        Ok(groups.finish(stats))
    }
}

/// The text of a file whose name may say that it is packed, and when it was last written.
fn open(path: &Path) -> io::Result<(Box<dyn BufRead>, Timestamp)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(BufReader::new(io::stdin())), crate::times::now()));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
    }
    let modified = metadata
        .modified()
        .ok()
        .and_then(|t| jiff::Timestamp::try_from(t).ok());
    let modified = modified.map_or_else(crate::times::now, |t| Timestamp(t.as_millisecond()));
    let buffered = |r: Box<dyn Read>| Box::new(BufReader::with_capacity(256 << 10, r));
    let reader = match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => buffered(Box::new(flate2::read::MultiGzDecoder::new(file))),
        Some("zst") => buffered(Box::new(zstd::stream::read::Decoder::new(file)?)),
        _ => buffered(Box::new(file)),
    };
    Ok((reader, modified))
}

/// Lines without their ends, cut at the limit.
struct Lines {
    reader: Box<dyn BufRead>,
    cut: u64,
}

impl Lines {
    /// Puts the next line into `line`; `false` at the end.
    fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let mut any = false;
        let mut cut = false;
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', chunk);
            let piece = &chunk[..end.unwrap_or(chunk.len())];
            let room = LINE_LEN_MAX - line.len();
            cut |= piece.len() > room;
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            let used = piece.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.cut += u64::from(cut);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(any)
    }
}
