//! What the log query needs of whoever keeps events.

use std::ops::ControlFlow;
use std::time::Instant;

use vigie_parsers::{Event, Timestamp};

use crate::SourceError;
use crate::log::Filter;

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
    /// The scan ends here with what it has, and says so in [`ScanStats::incomplete`].
    pub deadline: Option<Instant>,
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
}
