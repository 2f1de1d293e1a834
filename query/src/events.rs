//! What the log query needs of whoever keeps events.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use vigie_parsers::{Event, Timestamp};

use crate::SourceError;
use crate::log::{FieldName, Filter, Groups};

/// In which order a scan delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As people search.
    NewestFirst,
    /// As people read.
    OldestFirst,
}

/// Which events.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    /// First time, included.
    pub from: Timestamp,
    /// Last time, excluded.
    pub until: Timestamp,
    /// What must hold for each delivered event.
    pub filter: &'a Filter,
    /// The order of delivery, by time and then by arrival.
    pub order: Order,
    /// Only events that arrived after the one of this [`Event::id`]; 0 is all.
    pub after: u64,
    /// Only events up to the one of this [`Event::id`].
    pub upto: u64,
    /// Whoever asks takes so many at most: a source that has to sort may keep no more. It is a hint;
    /// more may be delivered.
    pub most: Option<usize>,
    /// The scan ends here with what it has, and says so in [`ScanStats::incomplete`].
    pub deadline: Option<Instant>,
    /// Set from outside when nobody waits for the answer any more: the scan ends as at the deadline.
    pub cancel: Option<&'a AtomicBool>,
}

impl<'a> Scan<'a> {
    /// The events of `from..until` that pass, newest first, without a time limit.
    #[must_use]
    pub fn new(from: Timestamp, until: Timestamp, filter: &'a Filter) -> Self {
        Self {
            from,
            until,
            filter,
            order: Order::NewestFirst,
            after: 0,
            upto: u64::MAX,
            most: None,
            deadline: None,
            cancel: None,
        }
    }

    /// Why the scan has to end now, if it has to. Cheap, but it reads the clock: ask once a block or
    /// once in some thousand events.
    #[must_use]
    pub fn must_stop(&self) -> Option<&'static str> {
        if self.cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
            return Some("cancelled");
        }
        let late = self.deadline.is_some_and(|d| Instant::now() >= d);
        late.then_some("time limit reached")
    }
}

/// What a scan had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Blocks in the range.
    pub blocks: u64,
    /// Blocks that had to be opened after time, statistics and filters were asked.
    pub blocks_read: u64,
    /// Stored bytes read.
    pub bytes_read: u64,
    /// Events looked at one by one.
    pub events_checked: u64,
    /// Events delivered.
    pub events_matched: u64,
    /// Why the answer is not the whole answer, if it is not: a limit, a damaged block.
    pub incomplete: Option<String>,
}

impl ScanStats {
    /// Adds what another scan of the same query did.
    pub fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.blocks_read += other.blocks_read;
        self.bytes_read += other.bytes_read;
        self.events_checked += other.events_checked;
        self.events_matched += other.events_matched;
        if self.incomplete.is_none() {
            self.incomplete = other.incomplete;
        }
    }
}

/// How to group events.
#[derive(Clone, Debug)]
pub struct GroupBy<'a> {
    /// One value of each of these makes a group; none at all makes a single group of everything.
    pub fields: &'a [FieldName],
    /// Also counts per step of time.
    pub step: Option<Step>,
    /// Groups that are kept apart at most. Events of further groups count in [`Grouped::rest`].
    pub max_groups: usize,
}

/// A division of time into steps of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The length, above zero.
    pub ms: i64,
    /// Where one step begins; all others lie whole steps away.
    pub origin: Timestamp,
}

impl Step {
    /// The start of the step in which a time lies.
    #[must_use]
    pub fn start(&self, time: Timestamp) -> Timestamp {
        let ms = self.ms.max(1);
        let past = time.since_ms(self.origin).rem_euclid(ms);
        time.plus_ms(-past)
    }
}

/// Counts of events by group.
#[derive(Clone, Debug, Default)]
pub struct Grouped {
    /// The groups, in no order.
    pub groups: Vec<Group>,
    /// Events of groups beyond [`GroupBy::max_groups`]; unless 0, [`ScanStats::incomplete`] says so.
    pub rest: u64,
    /// What it took.
    pub stats: ScanStats,
}

/// The events that have the same values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The value of each field asked for, `None` where it is absent.
    pub key: Vec<Option<Vec<u8>>>,
    /// How many there are.
    pub count: u64,
    /// The same by step, in order of time, steps without events left out; empty unless asked for.
    pub steps: Vec<(Timestamp, u64)>,
}

/// How often the patterns of events came, as a source has counted them.
#[derive(Clone, Debug)]
pub struct PatternCounts {
    /// The part of the range asked for that this is about: all of it, or whole minutes or hours.
    pub covered: Range<Timestamp>,
    /// Each pattern once, in no order.
    pub patterns: Vec<PatternCount>,
    /// When events came whose patterns are not kept apart, and how many: first, last, count.
    pub others: Option<(Timestamp, Timestamp, u64)>,
    /// What it took.
    pub stats: ScanStats,
}

impl PatternCounts {
    /// All events that were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        let others = self.others.map_or(0, |(_, _, n)| n);
        self.patterns.iter().map(|p| p.count).sum::<u64>() + others
    }
}

/// How often one pattern came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternCount {
    /// See [`crate::log::pattern`].
    pub pattern: Vec<u8>,
    /// The message of one such event, perhaps cut.
    pub sample: Vec<u8>,
    /// When the first one happened, perhaps only to the minute or hour…
    pub first: Timestamp,
    /// … and the last one.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
}

/// Keeps events and answers scans.
pub trait EventSource {
    /// Delivers each matching event once, until `each` breaks off.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn scan(
        &self,
        scan: &Scan<'_>,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<ScanStats, SourceError>;

    /// The [`Event::id`] of what arrived last, 0 if there is nothing: where a tail begins.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn last_id(&self) -> Result<u64, SourceError> {
        let mut last = 0;
        self.scan(
            &Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All),
            &mut |event| {
                last = last.max(event.id);
                ControlFlow::Continue(())
            },
        )?;
        Ok(last)
    }

    /// Delivers the `n` events before and behind each of `hits` of the same source, in any order and
    /// without the hits, if the source has a better way than to be scanned around each hit. The range,
    /// the filter and the order of the scan mean nothing here.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn neighbours(
        &self,
        _scan: &Scan<'_>,
        _hits: &[Event],
        _n: usize,
        _each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Option<ScanStats>, SourceError> {
        Ok(None)
    }

    /// Counts matching events by the values of fields. This is `count by`, `top`, `chart` and the
    /// histograms of pages: a source that keeps columns answers it without making rows. The order of
    /// the scan means nothing here.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn count_by(&self, scan: &Scan<'_>, by: &GroupBy<'_>) -> Result<Grouped, SourceError> {
        let mut groups = Groups::new(by.fields, by.step, by.max_groups);
        let stats = self.scan(scan, &mut |event| {
            groups.add(event, event.time);
            ControlFlow::Continue(())
        })?;
        Ok(groups.finish(stats))
    }

    /// Counts the patterns of a range, if the source has counted them as they came: such counts are
    /// there when the events themselves are gone. The filter asks for nothing but level, source,
    /// format, app and pattern (see [`Filter::is_of_patterns`]). `None` if the source counts none.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn count_patterns(
        &self,
        _range: Range<Timestamp>,
        _filter: &Filter,
    ) -> Result<Option<PatternCounts>, SourceError> {
        Ok(None)
    }
}
