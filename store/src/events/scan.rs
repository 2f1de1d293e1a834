//! A scan: blocks in the order of time, opened as late as possible, their hits merged.
//!
//! Blocks overlap in time, so a block is opened once no open one can deliver before it. Each keeps a
//! few checked events ready; columns of blocks that have to wait are forgotten when memory is short.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;
use vigie_parsers::Event;
use vigie_query::{Order, Scan, ScanStats, SourceError};

use super::active::{Active, Key, Reader, key};
use super::rebuild::{Open, StreamName};
use super::sealed::{SealedBlock, Stored};
use super::select::{Selection, select};
use super::summary::{self, Summary};
use super::view::Snapshot;
use super::{FILTER_CHUNKS_MAX, Fault, ahead, words};

/// Columns of all blocks that are open at a time; above, those of blocks that wait are forgotten.
const MEMORY_MAX: usize = 64 << 20;
/// Events a block checks at a time when more and more are wanted.
const READY_MAX: usize = 1024;
/// Bytes of lines a block keeps ready.
const READY_BYTES_MAX: usize = 256 << 10;
/// The clock is asked once in so many events.
const CHECKS_PER_CLOCK: u64 = 1024;

/// A block that may have something, not opened yet.
pub(super) struct Closed<'s> {
    /// No event of it comes earlier.
    bound: i64,
    /// All of its events lie in the range.
    pub covered: bool,
    block: Where<'s>,
}

enum Where<'s> {
    File {
        id: i64,
        filter_rows: usize,
        place: &'s Arc<StreamName>,
    },
    Memory(&'s Open),
}

pub(super) struct Run<'c, 'q> {
    conn: &'c Connection,
    scan: &'q Scan<'q>,
    pub stats: ScanStats,
    pub pool: Vec<Event>,
    stopped: bool,
    /// Blocks of the file that were opened.
    opened: usize,
    /// Of the word filters.
    key: u64,
}

/// Delivers the events of a snapshot.
pub(super) fn run(
    conn: &Connection,
    snapshot: &Snapshot<'_>,
    scan: &Scan<'_>,
    each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
) -> Result<ScanStats, SourceError> {
    let mut run = Run::new(conn, snapshot, scan)?;
    let mut closed = run.blocks(snapshot).map_err(crate::Error::from)?;
    // The first to be opened comes last.
    closed.sort_unstable_by_key(|c| Reverse(c.bound));
    run.merge(closed, each)?;
    Ok(run.stats)
}

impl<'c, 'q> Run<'c, 'q> {
    pub(super) fn new(
        conn: &'c Connection,
        snapshot: &Snapshot<'_>,
        scan: &'q Scan<'q>,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            conn,
            scan,
            stats: ScanStats {
                incomplete: snapshot.damaged.clone(),
                ..ScanStats::default()
            },
            pool: Vec::new(),
            stopped: false,
            opened: 0,
            key: super::key(conn)?.unwrap_or(0),
        })
    }

    /// Counts the bytes that a block has read.
    pub(super) fn read(&mut self, reader: &Reader<'_>) {
        if let Reader::Sealed(block) = reader {
            self.stats.bytes_read += block.bytes_read.replace(0);
        }
    }

    /// The blocks of the range.
    pub(super) fn blocks<'s>(
        &mut self,
        snapshot: &'s Snapshot<'_>,
    ) -> rusqlite::Result<Vec<Closed<'s>>> {
        let (from, until) = (self.scan.from.0, self.scan.until.0);
        // Arrival numbers begin at 1 and never reach the sign.
        let after = i64::try_from(self.scan.after).unwrap_or(i64::MAX);
        let upto = i64::try_from(self.scan.upto).unwrap_or(i64::MAX);
        let bound = |first: i64, last: i64| match self.scan.order {
            Order::OldestFirst => first,
            Order::NewestFirst => !last,
        };
        let covers = |first: i64, last: i64, seqs: (i64, i64)| {
            from <= first && last < until && seqs.0 > after && seqs.1 <= upto
        };
        let mut closed = Vec::new();
        let mut stmt = self.conn.prepare_cached(
            "SELECT id, stream, first_time, last_time, severities, filter_rows, summary, first_seq,
               last_seq
             FROM ev_block
             WHERE last_time >= ?1 AND first_time < ?2 AND last_seq > ?3 AND first_seq <= ?4",
        )?;
        let mut rows = stmt.query([from, until, after, upto])?;
        while let Some(row) = rows.next()? {
            let (first, last) = (row.get(2)?, row.get(3)?);
            self.stats.blocks += 1;
            if let Some(place) = snapshot.names.get(&row.get(1)?) {
                let summary = Summary {
                    data: row.get_ref(6)?.as_blob().unwrap_or_default(),
                    severities: row.get(4)?,
                    place,
                };
                if !summary.may_match(self.scan.filter) {
                    continue;
                }
                closed.push(Closed {
                    bound: bound(first, last),
                    covered: covers(first, last, (row.get(7)?, row.get(8)?)),
                    block: Where::File {
                        id: row.get(0)?,
                        filter_rows: usize::from(row.get::<_, u16>(5)?),
                        place,
                    },
                });
            }
        }
        for open in &snapshot.open {
            let times = &open.table.rows.times;
            let first = times.iter().copied().min().unwrap_or(0);
            let last = times.iter().copied().max().unwrap_or(0);
            let seqs = &open.table.rows.seqs;
            let (first_seq, last_seq) = (seqs.first().copied(), seqs.last().copied());
            let wanted = last_seq > Some(after) && first_seq <= Some(upto);
            if last >= from && first < until && wanted {
                self.stats.blocks += 1;
                closed.push(Closed {
                    bound: bound(first, last),
                    covered: covers(first, last, (first_seq.unwrap_or(0), last_seq.unwrap_or(0))),
                    block: Where::Memory(open),
                });
            }
        }
        Ok(closed)
    }

    fn merge<'s: 'c>(
        &mut self,
        mut closed: Vec<Closed<'s>>,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let mut active: Vec<Option<Active<'_>>> = Vec::new();
        let mut heap: BinaryHeap<Reverse<(Key, usize)>> = BinaryHeap::new();
        loop {
            let first = heap.peek().map(|Reverse((key, _))| key.0);
            let due = closed.last().filter(|c| first.is_none_or(|t| c.bound <= t));
            if due.is_some()
                && let Some(block) = closed.pop()
            {
                if self.must_stop() {
                    return Ok(());
                }
                let opened = match self.select(&block)? {
                    Some((reader, selection)) => self.activate(reader, &selection)?,
                    None => None,
                };
                let place = active.len();
                active.push(opened);
                self.next(&mut active, place, &mut heap)?;
                continue;
            }
            let Some(Reverse((_, place))) = heap.pop() else {
                return Ok(());
            };
            let event = active[place].as_mut().and_then(|a| a.ready.pop_front());
            if let Some(event) = event {
                self.stats.events_matched += 1;
                let flow = each(&event);
                self.pool.push(event);
                if flow.is_break() {
                    return Ok(());
                }
            }
            self.next(&mut active, place, &mut heap)?;
            if self.stopped {
                return Ok(());
            }
        }
    }

    pub(super) fn must_stop(&mut self) -> bool {
        if let Some(why) = self.scan.must_stop() {
            self.stats.incomplete = Some(why.to_owned());
            self.stopped = true;
        }
        self.stopped
    }

    pub(super) fn skip(&mut self, fault: Fault, block: &str) -> Result<(), SourceError> {
        match fault {
            Fault::Damaged => {
                self.stats.incomplete = Some(format!("{block} is damaged and was left out"));
                Ok(())
            }
            Fault::Store(e) => Err(crate::Error::from(e).into()),
        }
    }

    /// Asks a block's word filter.
    fn words_allow(&mut self, block: i64, filter_rows: usize) -> Result<bool, SourceError> {
        if filter_rows == 0 {
            return Ok(true);
        }
        let allowed = (|| -> rusqlite::Result<bool> {
            let mut stmt = self
                .conn
                .prepare_cached("SELECT data FROM ev_filter WHERE id = ?1")?;
            let bytes = &mut self.stats.bytes_read;
            let mut holds = |hash: u64| -> rusqlite::Result<bool> {
                let chunk = i64::try_from(words::chunk_of(hash, filter_rows)).unwrap_or(0);
                let mut rows = stmt.query([block * FILTER_CHUNKS_MAX + chunk])?;
                let Some(row) = rows.next()? else {
                    return Ok(true);
                };
                let data = row.get_ref(0)?.as_blob().unwrap_or_default();
                *bytes += data.len() as u64;
                Ok(words::may_hold(data, hash))
            };
            summary::words_allow(self.scan.filter, self.key, &mut holds)
        })();
        allowed.map_err(|e| crate::Error::from(e).into())
    }

    /// Opens a block and decides on its columns; `None` if nothing in it can match.
    pub(super) fn select<'s: 'c>(
        &mut self,
        closed: &Closed<'s>,
    ) -> Result<Option<(Reader<'c>, Selection)>, SourceError> {
        let reader = match closed.block {
            Where::Memory(open) => Reader::Open(open),
            Where::File {
                id,
                filter_rows,
                place,
            } => {
                if !self.words_allow(id, filter_rows)? {
                    return Ok(None);
                }
                self.opened += 1;
                if self.opened == ahead::BLOCKS_MIN {
                    ahead::ask(self.conn);
                }
                let segments = Stored {
                    conn: self.conn,
                    block: id,
                    filter: Some((self.key, filter_rows)),
                };
                match SealedBlock::open(segments, Arc::clone(place)) {
                    Ok(block) => Reader::Sealed(Box::new(block)),
                    Err(fault) => {
                        self.skip(fault, &format!("block {id}"))?;
                        return Ok(None);
                    }
                }
            }
        };
        self.stats.blocks_read += 1;
        let selection = select(reader.block(), self.scan.filter);
        self.read(&reader);
        match selection {
            Ok(selection) if selection.is_empty() => Ok(None),
            Ok(selection) => Ok(Some((reader, selection))),
            Err(fault) => {
                self.skip(fault, "a block")?;
                Ok(None)
            }
        }
    }

    /// Lines up a block's hits; `None` if it is damaged.
    pub(super) fn activate(
        &mut self,
        reader: Reader<'c>,
        selection: &Selection,
    ) -> Result<Option<Active<'c>>, SourceError> {
        match Active::new(reader, selection, self.scan) {
            Ok(active) => Ok(Some(active)),
            Err(fault) => {
                self.skip(fault, "a block")?;
                Ok(None)
            }
        }
    }

    /// Puts a block's next event into the heap, or closes the block.
    fn next(
        &mut self,
        active: &mut [Option<Active<'_>>],
        place: usize,
        heap: &mut BinaryHeap<Reverse<(Key, usize)>>,
    ) -> Result<(), SourceError> {
        let Some(block) = active[place].as_mut() else {
            return Ok(());
        };
        if block.ready.is_empty() {
            let memory: usize = active.iter().flatten().map(|a| a.block.memory()).sum();
            if memory > MEMORY_MAX {
                for other in active.iter_mut().flatten() {
                    if let Reader::Sealed(sealed) = &mut other.block {
                        sealed.forget_columns();
                    }
                }
            }
            let Some(block) = active[place].as_mut() else {
                return Ok(());
            };
            self.fill(block)?;
        }
        let block = active[place].as_ref();
        match block.and_then(|b| b.ready.front()) {
            Some(event) => {
                let seq = event.id.cast_signed();
                heap.push(Reverse((key(self.scan.order, event.time.0, seq), place)));
            }
            None => active[place] = None,
        }
        Ok(())
    }

    /// Checks rows until some events are ready.
    pub(super) fn fill(&mut self, active: &mut Active<'_>) -> Result<(), SourceError> {
        let mut bytes = 0;
        while active.ready.len() < active.chunk && bytes < READY_BYTES_MAX {
            let Some(&(_, row)) = active.hits.get(active.next) else {
                break;
            };
            active.next += 1;
            self.stats.events_checked += 1;
            if self.stats.events_checked.is_multiple_of(CHECKS_PER_CLOCK) && self.must_stop() {
                break;
            }
            let mut event = self.pool.pop().unwrap_or_default();
            let block = active.block.block();
            let read = active
                .parse
                .event(block, &active.places, row as usize, &mut event);
            if let Err(fault) = read {
                active.next = active.hits.len();
                self.skip(fault, "a block")?;
                break;
            }
            if active.sure || self.scan.filter.matches(&event) {
                bytes += event.line.len();
                active.ready.push_back(event);
            } else {
                self.pool.push(event);
            }
        }
        active.chunk = (active.chunk * 2).min(READY_MAX);
        self.read(&active.block);
        Ok(())
    }
}
