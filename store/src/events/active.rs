//! A block that a scan has opened: its hits in the order of delivery, and lines put together and read
//! again.

use std::collections::VecDeque;
use std::sync::Arc;

use vigie_parsers::{Context, Event, Timestamp, formats};
use vigie_query::{Order, Scan};

use super::Fault;
use super::rebuild::{self, Block, Open, Places};
use super::sealed::{SealedBlock, Stored};
use super::select::Selection;
use super::table::severity_of;

/// Events a block checks at a time, at first.
const READY_MIN: usize = 32;

/// Time and arrival, so that smaller is delivered earlier.
pub(super) type Key = (i64, i64);

pub(super) fn key(order: Order, time: i64, seq: i64) -> Key {
    match order {
        Order::OldestFirst => (time, seq),
        // Not: -x - 1, defined for all numbers.
        Order::NewestFirst => (!time, !seq),
    }
}

/// An opened block's hits.
pub(super) struct Active<'c> {
    pub block: Reader<'c>,
    pub places: Places,
    pub parse: Parse,
    /// Rows that may match, in the order of delivery.
    pub hits: Vec<(Key, u32)>,
    pub next: usize,
    /// All of them do match.
    pub sure: bool,
    pub ready: VecDeque<Event>,
    pub chunk: usize,
}

impl<'c> Active<'c> {
    pub(super) fn new(
        reader: Reader<'c>,
        selection: &Selection,
        scan: &Scan<'_>,
    ) -> Result<Self, Fault> {
        let (times, seqs) = (reader.block().times()?, reader.block().seqs()?);
        let range = scan.from.0..scan.until.0;
        let hit = |row: usize| {
            let (time, seq) = (times[row], seqs[row]);
            let arrived = seq.cast_unsigned() > scan.after && seq.cast_unsigned() <= scan.upto;
            let wanted = range.contains(&time) && arrived;
            let row = u32::try_from(row).ok().filter(|_| wanted)?;
            Some((key(scan.order, time, seq), row))
        };
        let mut hits: Vec<(Key, u32)> = selection.iter().filter_map(hit).collect();
        if scan.order == Order::NewestFirst {
            hits.reverse();
        }
        if !hits.is_sorted() {
            hits.sort_unstable();
        }
        Ok(Self {
            places: Places::new(reader.block()),
            parse: Parse::new(&reader.block().place().format),
            sure: selection.sure,
            block: reader,
            hits,
            next: 0,
            ready: VecDeque::new(),
            chunk: READY_MIN,
        })
    }
}

pub(super) enum Reader<'c> {
    Sealed(Box<SealedBlock<Stored<'c>>>),
    Open(&'c Open),
}

impl Reader<'_> {
    pub(super) fn block(&self) -> &dyn Block {
        match self {
            Self::Sealed(block) => &**block,
            Self::Open(open) => *open,
        }
    }

    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Sealed(block) => block.memory.get(),
            Self::Open(_) => 0,
        }
    }
}

/// Reads the fields of rebuilt lines again.
pub(super) struct Parse {
    format: Option<&'static formats::Format>,
    context: Context,
}

impl Parse {
    pub(super) fn new(name: &str) -> Self {
        Self {
            format: formats::find(name),
            context: Context::new(Timestamp(0), jiff::tz::TimeZone::UTC),
        }
    }

    pub(super) fn event(
        &mut self,
        block: &dyn Block,
        places: &Places,
        row: usize,
        event: &mut Event,
    ) -> Result<(), Fault> {
        let rows = block.rows();
        event.line.clear();
        rebuild::line(block, places, row, &mut event.line)?;
        event.id = block.seqs()?[row].cast_unsigned();
        event.time = Timestamp(block.times()?[row]);
        event.recv = Timestamp(block.recvs()?[row]);
        event.severity = severity_of(rows.severities[row]);
        if !Arc::ptr_eq(&event.format, &block.place().format) {
            event.format = Arc::clone(&block.place().format);
        }
        event.origin = Arc::clone(&block.origins()[rows.origins[row] as usize]);
        self.context.recv = event.recv;
        event.record.clear();
        let read = self
            .format
            .is_some_and(|f| f.parse(&mut self.context, &event.line, &mut event.record));
        if !read {
            event.record.clear();
            event.record.message = 0..u32::try_from(event.line.len()).unwrap_or(u32::MAX);
        }
        // What was decided when the line came holds: its zone and the year are not known here.
        event.record.time = event.record.time.map(|_| event.time);
        event.record.severity = event.severity;
        Ok(())
    }
}
