//! Events in memory as a source: for plain files, the live tail and tests.

use std::ops::ControlFlow;

use vigie_parsers::Event;

use crate::{EventSource, Order, Scan, ScanStats, SourceError};

/// The clock is asked once in so many events.
const CHECK_EVERY: usize = 1024;

/// Events in order of time and then of arrival.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    events: Vec<Event>,
}

impl Memory {
    /// Takes events in order of arrival; they are numbered by it, from 1.
    #[must_use]
    pub fn new(mut events: Vec<Event>) -> Self {
        for (id, event) in (1..).zip(&mut events) {
            event.id = id;
        }
        events.sort_by_key(|e| (e.time, e.id));
        Self { events }
    }

    /// The events, oldest first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

impl EventSource for Memory {
    fn scan(
        &self,
        scan: &Scan<'_>,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<ScanStats, SourceError> {
        let start = self.events.partition_point(|e| e.time < scan.from);
        let end = self.events.partition_point(|e| e.time < scan.until);
        let range = self.events.get(start..end).unwrap_or_default();
        let mut stats = ScanStats {
            blocks: 1,
            blocks_read: 1,
            ..ScanStats::default()
        };
        for i in 0..range.len() {
            if i % CHECK_EVERY == 0
                && let Some(why) = scan.must_stop()
            {
                stats.incomplete = Some(why.to_owned());
                break;
            }
            let event = match scan.order {
                Order::OldestFirst => &range[i],
                Order::NewestFirst => &range[range.len() - 1 - i],
            };
            stats.events_checked += 1;
            stats.bytes_read += event.line.len() as u64;
            if event.id > scan.after && event.id <= scan.upto && scan.filter.matches(event) {
                stats.events_matched += 1;
                if each(event).is_break() {
                    break;
                }
            }
        }
        Ok(stats)
    }
}
