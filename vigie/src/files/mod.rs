//! Log files as a source of events, without a store: `vigie logs --file`.
//!
//! A scan reads each file once from its beginning. Lines that cannot match are not even parsed (see
//! [`Prefilter`]); of those that match no more are kept than were asked for.

mod follow;
mod input;
mod journal;
mod lines;
mod text;
mod whole;

use std::cell::{Cell, RefCell};
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use vigie_collector::JournalFile;
use vigie_parsers::formats::Format;
use vigie_parsers::joining::Joining;
use vigie_parsers::journal::Journal;
use vigie_parsers::{Encoding, Event};
use vigie_query::log::{Groups, Prefilter};
use vigie_query::{EventSource, GroupBy, Grouped, Order, Scan, ScanStats, SourceError};

use crate::histogram::Histogram;
pub(crate) use follow::Follow;
pub(crate) use input::Input;
pub(crate) use lines::LINE_LEN_MAX;
use lines::Lines;
pub(crate) use text::Text;
pub(crate) use whole::{Whole, each_event};

/// Matching events that are held at most to be put in order.
const HELD_BYTES_MAX: usize = 256 << 20;
/// What standard input may be for a query that reads it more than once.
const SPOOL_BYTES_MAX: u64 = 4 << 30;
/// The clock is asked once in so many lines.
const CHECK_EVERY: u64 = 4096;

/// How to read files.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Of stamps without one.
    pub(crate) zone: TimeZone,
    /// What the lines are, where the caller knows; those that are not are recognised.
    pub(crate) format: Option<&'static Format>,
    /// What the characters of files without a byte order mark are, where the caller knows.
    pub(crate) encoding: Option<Encoding>,
    /// Which lines are one event.
    pub(crate) joining: Joining,
}

/// Files, plain or packed; read anew for each scan.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    reading: Reading,
    /// A copy of standard input, for queries that read more than once.
    spool: Option<File>,
    /// When lines that matched happened, if someone wants to know.
    histogram: RefCell<Option<Histogram>>,
    /// The first scan is the search itself; others look at its surroundings.
    counted: Cell<bool>,
    /// A file that is not there may come: it is followed.
    may_come: bool,
}

impl Files {
    /// Opens nothing yet; `-` is standard input. With `again` set it is copied first, because the
    /// query reads more than once.
    ///
    /// # Errors
    /// When there is no room for the copy.
    pub(crate) fn new(paths: Vec<PathBuf>, reading: Reading, again: bool) -> io::Result<Self> {
        let piped = paths.iter().any(|p| p.as_os_str() == "-");
        Ok(Self {
            spool: (piped && again).then(spool).transpose()?,
            paths,
            reading,
            histogram: RefCell::default(),
            counted: Cell::default(),
            may_come: false,
        })
    }

    /// Counts the lines that match by time.
    pub(crate) fn with_histogram(self) -> Self {
        *self.histogram.borrow_mut() = Some(Histogram::default());
        self
    }

    /// Leaves out files that are not there, and says so.
    pub(crate) fn that_may_come(self) -> Self {
        Self {
            may_come: true,
            ..self
        }
    }

    /// When the lines of the search happened.
    pub(crate) fn histogram(&self) -> Option<Histogram> {
        self.histogram.borrow_mut().take()
    }

    /// `None` when it is not there yet.
    fn open(&self, path: &Path) -> Result<Option<Input>, SourceError> {
        let opened = match &self.spool {
            Some(spool) if path.as_os_str() == "-" => Input::again(spool),
            _ => Input::open(path),
        };
        match opened {
            Ok(input) => Ok(Some(input)),
            Err(e) if self.may_come && e.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("{}: {e}; waiting for it", path.display());
                Ok(None)
            }
            Err(e) => Err(SourceError::Store(format!("{}: {e}", path.display()))),
        }
    }

    /// Every entry of a journal that may match, as [`Self::each_line`]; its path, and the number of lines
    /// before it.
    fn each_entry(
        file: &mut Journal<JournalFile>,
        (path, number): (&Path, &mut u64),
        scan: &Scan<'_>,
        prefilter: Option<&Prefilter>,
        stats: &mut ScanStats,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SourceError> {
        let origin = journal::origin(path);
        let texts = origin.fields.iter().map(|f| f.1.as_str());
        let foreign = |p: &&Prefilter| {
            let mut all = texts.clone().chain([origin.source.as_str()]);
            all.all(|text| p.is_foreign_to(text.as_bytes()))
        };
        let prefilter = prefilter.filter(foreign);
        let (mut seen, mut stopped) = (0u64, None);
        let read = journal::each_entry(file, &origin, number, prefilter, &mut |event| {
            seen += 1;
            if seen.is_multiple_of(CHECK_EVERY)
                && let Some(reason) = scan.must_stop()
            {
                stopped = Some(reason);
                return ControlFlow::Break(());
            }
            each(event)
        });
        stats.blocks += 1;
        stats.blocks_read += 1;
        if let Some(reason) = stopped {
            stats.incomplete = Some(reason.to_owned());
        }
        match read {
            Ok(read) => {
                stats.bytes_read += read.bytes;
                stats.events_checked += read.entries;
                if let Some(damage) = read.damage {
                    tracing::warn!("{}: {damage}", path.display());
                }
                Ok(read.flow)
            }
            Err(e) => {
                stats.incomplete = Some(format!("{}: {e}", path.display()));
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    /// Every line of every file that may match, read by its format.
    fn each_line(
        &self,
        scan: &Scan<'_>,
        prefilter: Option<&Prefilter>,
        stats: &mut ScanStats,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let mut number = 0;
        for path in &self.paths {
            if let Some(mut file) = journal::open(path)? {
                let place = (path.as_path(), &mut number);
                if Self::each_entry(&mut file, place, scan, prefilter, stats, each)?.is_break() {
                    return Ok(());
                }
                continue;
            }
            let Some(mut input) = self.open(path)? else {
                continue;
            };
            let mut lines = Lines::new(path, input.modified, &self.reading, number);
            let origin = lines.origin();
            let own = |f: &(String, String)| f.1.as_bytes().to_vec();
            let texts = origin
                .fields
                .iter()
                .map(own)
                .chain([origin.source.clone().into_bytes()]);
            let foreign = |p: &&Prefilter| texts.clone().all(|text| p.is_foreign_to(&text));
            let prefilter = prefilter.filter(foreign);
            let (mut seen, mut stopped) = (0u64, None);
            let read = lines.read_all(&mut input, prefilter, &mut stats.bytes_read, &mut |event| {
                seen += 1;
                if seen.is_multiple_of(CHECK_EVERY)
                    && let Some(reason) = scan.must_stop()
                {
                    stopped = Some(reason);
                    return ControlFlow::Break(());
                }
                each(event)
            });
            stats.blocks += 1;
            stats.blocks_read += 1;
            stats.events_checked += lines.read;
            number = lines.number;
            if lines.cut > 0 {
                let (path, cut) = (path.display(), lines.cut);
                tracing::warn!("{path}: {cut} lines cut at {} bytes", lines::LINE_LEN_MAX);
            }
            match (read, stopped) {
                (_, Some(reason)) => {
                    stats.incomplete = Some(reason.to_owned());
                    return Ok(());
                }
                (Ok(ControlFlow::Break(())), None) => return Ok(()),
                (Ok(ControlFlow::Continue(())), None) => {}
                // What could be read stands; the rest is damaged.
                (Err(e), None) => stats.incomplete = Some(format!("{}: {e}", path.display())),
            }
        }
        Ok(())
    }

    /// Every line that matches.
    fn each_match(
        &self,
        scan: &Scan<'_>,
        stats: &mut ScanStats,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let prefilter = Prefilter::new(scan.filter);
        let mut matched = 0;
        let first = !self.counted.replace(true);
        let mut histogram = self.histogram.borrow_mut();
        let mut histogram = histogram.as_mut().filter(|_| first);
        let range = scan.from..scan.until;
        self.each_line(scan, prefilter.as_ref(), stats, &mut |event| {
            if !range.contains(&event.time) || event.id <= scan.after || !scan.filter.matches(event)
            {
                return ControlFlow::Continue(());
            }
            matched += 1;
            if let Some(histogram) = &mut histogram {
                histogram.add(event.time, event.severity, 1);
            }
            each(event)
        })?;
        stats.events_matched += matched;
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
        let mut held = Held::new(scan);
        self.each_match(scan, &mut stats, &mut |event| held.take(event))?;
        if held.full {
            let limit = HELD_BYTES_MAX >> 20;
            stats.incomplete = Some(format!("more than {limit} MiB match; narrow the query"));
        }
        for event in held.in_order() {
            if each(&event).is_break() {
                break;
            }
        }
        Ok(stats)
    }

    fn count_by(&self, scan: &Scan<'_>, by: &GroupBy<'_>) -> Result<Grouped, SourceError> {
        let mut groups = Groups::new(by.fields, by.step, by.max_groups);
        let mut stats = ScanStats::default();
        self.each_match(scan, &mut stats, &mut |event| {
            groups.add(event, event.time);
            ControlFlow::Continue(())
        })?;
        Ok(groups.finish(stats))
    }

    /// Neighbours in the file, as they stand there: one more pass for all hits together.
    fn neighbours(
        &self,
        scan: &Scan<'_>,
        hits: &[Event],
        n: usize,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Option<ScanStats>, SourceError> {
        let mut hits: Vec<u64> = hits.iter().map(|h| h.id).collect();
        hits.sort_unstable();
        let mut stats = ScanStats::default();
        let (mut next, mut wanted) = (0, 0usize);
        let mut earlier: VecDeque<Event> = VecDeque::with_capacity(n.min(1024));
        let mut origin = None;
        self.each_line(scan, None, &mut stats, &mut |event| {
            if origin.as_ref() != Some(&event.origin) {
                origin = Some(event.origin.clone());
                (earlier, wanted) = (VecDeque::new(), 0);
            }
            if hits.get(next) == Some(&event.id) {
                next += 1;
                wanted = n;
                return earlier.drain(..).try_for_each(|e| each(&e));
            }
            if wanted > 0 {
                wanted -= 1;
                return each(event);
            }
            if next == hits.len() {
                return ControlFlow::Break(());
            }
            if earlier.len() == n {
                earlier.pop_front();
            }
            if n > 0 {
                earlier.push_back(event.clone());
            }
            ControlFlow::Continue(())
        })?;
        Ok(Some(stats))
    }
}

/// Matching events, as many as are wanted.
struct Held {
    order: Order,
    most: usize,
    /// The one that goes first is on top.
    heap: BinaryHeap<Ranked>,
    bytes: usize,
    full: bool,
}

/// An event by its place in the order: the greatest is the last to be delivered.
struct Ranked((i64, u64), Event);

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl Held {
    fn new(scan: &Scan<'_>) -> Self {
        Self {
            order: scan.order,
            most: scan.most.unwrap_or(usize::MAX),
            heap: BinaryHeap::new(),
            bytes: 0,
            full: false,
        }
    }

    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        let key = match self.order {
            Order::OldestFirst => (event.time.0, event.id),
            // Not: -x - 1, defined for all numbers.
            Order::NewestFirst => (!event.time.0, !event.id),
        };
        let size = |e: &Event| e.line.len() + e.record.fields.len() * 16 + size_of::<Event>();
        if self.heap.len() >= self.most {
            if self.heap.peek().is_none_or(|last| last.0 < key) {
                return ControlFlow::Continue(());
            }
            if let Some(Ranked(_, old)) = self.heap.pop() {
                self.bytes -= size(&old);
            }
        }
        self.bytes += size(event);
        self.heap.push(Ranked(key, event.clone()));
        self.full = self.bytes > HELD_BYTES_MAX;
        match self.full {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn in_order(self) -> impl Iterator<Item = Event> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(|ranked| ranked.1)
    }
}

/// A copy of standard input without a name: it is gone with the process.
fn spool() -> io::Result<File> {
    let folder = std::env::temp_dir();
    let flags =
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(&folder, flags, 0o600.into())?);
    let copied = io::copy(
        &mut io::Read::take(io::stdin().lock(), SPOOL_BYTES_MAX + 1),
        &mut file,
    )?;
    if copied > SPOOL_BYTES_MAX {
        return Err(io::Error::other(format!(
            "standard input is more than {} GiB, too much to be read twice; put it into a file",
            SPOOL_BYTES_MAX >> 30
        )));
    }
    Ok(file)
}
