//! The writer's side: lines into open blocks, open blocks into the journal, full ones into the file.

use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::{Connection, Transaction};
use vigie_parsers::Timestamp;

use super::compact;
use super::evict::{self, Limits, Room};
use super::keep::{self, LogRetention};
use super::open::{Line, OpenBlock};
use super::rebuild::StreamName;
use super::stream::{Stream, write_block};
use super::{EventRepair, counts, patterns, repair, replay};
use crate::{EventBatch, Options, Result};

/// An open block is sealed when it is older than this…
const SEAL_AGE_MS: i64 = 10 * 60_000;
/// … and has so many rows: smaller blocks compress badly and wait in the journal.
const SEAL_ROWS_MIN: usize = 4096;
/// All open blocks together; above, the largest are sealed.
const MEMORY_MAX: usize = 48 << 20;
/// Streams with an open block; more, and the one that is silent for longest is sealed.
const OPEN_STREAMS_MAX: usize = 1024;

/// Lines that an open block takes at a time: enough for many values of each column to be taken
/// together, and few enough that they are still in the cache when they are.
const TOGETHER: usize = 128;

/// The writer's side of the event store.
#[derive(Debug)]
pub(crate) struct Ingest {
    key: u64,
    streams: Vec<Stream>,
    index: HashMap<Arc<StreamName>, usize>,
    next_stream: i64,
    next_block: i64,
    next_seq: i64,
    pending_bytes: usize,
    limits: Limits,
    pattern_room: patterns::Room,
    clock: u64,
    expired_hour: i64,
    planned_hour: i64,
    retention: LogRetention,
    enforced_minute: i64,
    planned_minute: i64,
}

/// The way of a batch's lines of one origin and format.
#[derive(Clone, Copy)]
struct Route {
    stream: usize,
    /// The origin's number in this open block…
    origin: u32,
    /// … of this age.
    block: usize,
}

impl Ingest {
    /// Takes up the open blocks from the journal.
    pub(crate) fn open(conn: &Connection, options: &Options, _now: Timestamp) -> Result<Self> {
        let key = super::key(conn)?;
        let max = |sql: &str| -> Result<i64> { Ok(conn.query_row(sql, [], |r| r.get(0))?) };
        let mut ingest = Self {
            key: key.unwrap_or_else(super::new_key),
            streams: Vec::new(),
            index: HashMap::default(),
            next_stream: 1 + max("SELECT coalesce(max(id), 0) FROM ev_stream")?,
            next_block: 1 + max("SELECT coalesce(max(id), 0) FROM ev_block")?,
            next_seq: 1 + evict::last_number(conn)?,
            pending_bytes: 0,
            limits: Limits::new(options),
            pattern_room: patterns::Room::of_budget(options.budget_bytes),
            clock: 0,
            expired_hour: i64::MIN,
            planned_hour: i64::MIN,
            retention: options.log_retention.clone(),
            enforced_minute: i64::MIN,
            planned_minute: i64::MIN,
        };
        if key.is_none() {
            super::write_key(conn, ingest.key)?;
        }
        patterns::begin(conn)?;
        let mut stmt = conn.prepare("SELECT id, source, format, gen FROM ev_stream")?;
        let mut rows = stmt.query([])?;
        while let Some(row) = rows.next()? {
            let name = Arc::new(StreamName {
                source: row.get(1)?,
                format: row.get::<_, String>(2)?.into(),
            });
            ingest.take_up(conn, row.get(0)?, name, row.get(3)?)?;
        }
        Ok(ingest)
    }

    fn take_up(
        &mut self,
        conn: &Connection,
        id: i64,
        name: Arc<StreamName>,
        generation: i64,
    ) -> Result<()> {
        let mut replayed = replay::Replayed::default();
        let damaged = replayed.catch_up(conn, id, generation, &name.source)?;
        if damaged {
            tracing::error!(
                "the journal of {} is damaged; {} lines of it are kept",
                name.source,
                replayed.table.len()
            );
        }
        let table = Arc::unwrap_or_clone(replayed.table);
        if let Some(&last) = table.rows.seqs.last() {
            self.next_seq = self.next_seq.max(last.saturating_add(1));
        }
        let mut stream = Stream::new(id, name, OpenBlock::over(table, self.key));
        stream.known = true;
        stream.generation = generation;
        stream.journal_rows = replayed.rows;
        stream.journal_last = replayed.last;
        if damaged {
            // What is left is written down anew.
            stream.open.marks = Default::default();
            stream.dirty = true;
        }
        self.index
            .insert(Arc::clone(&stream.name), self.streams.len());
        self.streams.push(stream);
        Ok(())
    }

    /// Takes lines into the open blocks, in memory only.
    pub(crate) fn append(&mut self, batch: &EventBatch) {
        self.clock += 1;
        let mut routes: HashMap<(u32, u32), Route> = HashMap::default();
        let mut last: Option<((u32, u32), Route)> = None;
        let mut some: Vec<(Line<'_>, u32)> = Vec::with_capacity(TOGETHER);
        let (mut some_of, mut some_bytes) = (0, 0);
        for head in batch.heads() {
            let key = (head.origin, head.format);
            let mut route = match last {
                Some((k, route)) if k == key => route,
                _ => {
                    if let Some((key, route)) = last {
                        routes.insert(key, route);
                    }
                    match routes.get(&key) {
                        Some(&route) => route,
                        None => self.route(batch, head),
                    }
                }
            };
            let full = self.streams[route.stream]
                .open
                .is_full_with(some.len(), some_bytes);
            if some_of != route.stream || some.len() == TOGETHER || full {
                self.push(some_of, &mut some);
                (some_of, some_bytes) = (route.stream, 0);
            }
            let stream = &mut self.streams[route.stream];
            if stream.open.is_full() {
                stream.rotate(self.key);
            }
            if route.block != stream.sealed.len() {
                route.block = stream.sealed.len();
                route.origin = stream.open.origin(batch.origin(head));
            }
            last = Some((key, route));
            let line = Line {
                time: head.time.0,
                recv: head.recv.0,
                seq: self.next_seq,
                severity: head.severity,
                line: batch.line(head),
                time_span: (head.time_span.start as usize, head.time_span.end as usize),
                spans: batch.spans(head),
                names: batch.names(),
            };
            some_bytes += line.line.len() as u64;
            some.push((line, route.origin));
            self.next_seq += 1;
        }
        self.push(some_of, &mut some);
        // An empty line waits as well.
        self.pending_bytes += batch.line_bytes() + batch.len();
        self.relieve();
    }

    /// Hands lines to the open block of a stream.
    fn push(&mut self, stream: usize, lines: &mut Vec<(Line<'_>, u32)>) {
        if let Some(stream) = self.streams.get_mut(stream).filter(|_| !lines.is_empty()) {
            stream.open.push_all(lines);
            stream.dirty = true;
            stream.used = self.clock;
        }
        lines.clear();
    }

    fn route(&mut self, batch: &EventBatch, head: &crate::EventHead) -> Route {
        let name = StreamName {
            source: batch.origin(head).source.clone(),
            format: batch.format(head).into(),
        };
        let stream = match self.index.get(&name) {
            Some(&known) => known,
            None => {
                let name = Arc::new(name);
                self.index.insert(Arc::clone(&name), self.streams.len());
                let stream = Stream::new(self.next_stream, name, OpenBlock::new(self.key));
                self.next_stream += 1;
                self.streams.push(stream);
                self.streams.len() - 1
            }
        };
        let place = &mut self.streams[stream];
        Route {
            stream,
            origin: place.open.origin(batch.origin(head)),
            block: place.sealed.len(),
        }
    }

    /// Bytes that wait for a commit.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Writes what is pending: journal rows, sealed blocks, what the budget pushes out. May be
    /// called again with the same pending data when the transaction did not succeed.
    pub(crate) fn write(&mut self, tx: &Transaction<'_>, now: Timestamp) -> Result<()> {
        self.seal_old(now);
        let mut sealed = false;
        let mut room = None;
        for stream in self.streams.iter_mut().filter(|s| s.dirty) {
            sealed |= !stream.sealed.is_empty();
            stream.write(tx, &mut self.next_block, &mut room, self.limits)?;
            if !stream.sealed.is_empty()
                && let Some((block, merged)) = {
                    let span = self.retention.span_ms(&stream.name.source);
                    compact::run(tx, stream.id, &stream.name, self.key, span)?
                }
            {
                write_block(tx, stream.id, block, &merged)?;
                // It knows the small blocks still.
                if let Some(room) = room.take() {
                    room.finish(tx)?;
                }
            }
        }
        // The journal of open blocks takes room as well.
        let journal = self.pending_bytes as u64;
        if room.is_some() || self.limits.is_passed(tx, journal)? {
            let mut room = match room {
                Some(room) => room,
                None => Room::load(tx, self.limits)?,
            };
            room.make(tx, journal)?;
            room.finish(tx)?;
        }
        let minute = now.0.div_euclid(60_000);
        if sealed || minute != self.enforced_minute {
            keep::enforce(tx, &self.retention, now)?;
            patterns::forget_samples(tx, now, &self.ages())?;
            self.planned_minute = minute;
        }
        let hour = now.0.div_euclid(3_600_000);
        if sealed && hour != self.expired_hour {
            counts::expire(tx, now)?;
            patterns::expire(tx, now, self.pattern_room)?;
            self.planned_hour = hour;
        }
        Ok(())
    }

    /// The transaction of the last `write` is durable.
    pub(crate) fn committed(&mut self) {
        self.expired_hour = self.planned_hour;
        self.enforced_minute = self.planned_minute;
        self.pending_bytes = 0;
        for stream in self.streams.iter_mut().filter(|s| s.dirty) {
            stream.committed();
        }
    }

    /// The streams whose lines have an age, with it.
    fn ages(&self) -> Vec<(i64, i64)> {
        let age = |s: &Stream| Some((s.id, self.retention.of(&s.name.source)?.keep_ms?));
        self.streams.iter().filter_map(age).collect()
    }

    /// Seals blocks that are old and large enough.
    fn seal_old(&mut self, now: Timestamp) {
        for stream in &mut self.streams {
            if stream.open.table.len() == 0 {
                continue;
            }
            let since = *stream.since.get_or_insert(now);
            let old = now.since_ms(since) >= SEAL_AGE_MS;
            // Lines that have an age must not wait for others.
            let aged = now.since_ms(since) >= self.retention.span_ms(&stream.name.source);
            let many = stream.open.table.len() >= SEAL_ROWS_MIN;
            if (old && many) || aged || stream.open.is_full() {
                stream.rotate(self.key);
            }
        }
    }

    /// Writes what is left of damaged blocks anew; see [`EventRepair`].
    pub(crate) fn repair(&self, tx: &Transaction<'_>) -> Result<EventRepair> {
        patterns::repair(tx)?;
        let names = self.streams.iter().map(|s| (s.id, Arc::clone(&s.name)));
        repair::run(tx, &names.collect(), self.key, |told, sealed| {
            write_block(tx, told.stream, told.id, sealed)
        })
    }

    /// Seals all open blocks.
    pub(crate) fn seal_all(&mut self) {
        for stream in self.streams.iter_mut().filter(|s| s.open.table.len() > 0) {
            stream.rotate(self.key);
        }
    }

    /// Keeps the memory and the number of open blocks below their limits.
    fn relieve(&mut self) {
        let memory = |streams: &[Stream]| streams.iter().map(|s| s.open.memory).sum::<usize>();
        let most = MEMORY_MAX.min(self.limits.open_bytes());
        while memory(&self.streams) > most {
            let largest = self.streams.iter_mut().max_by_key(|s| s.open.memory);
            let Some(stream) = largest.filter(|s| s.open.table.len() > 0) else {
                break;
            };
            stream.rotate(self.key);
        }
        let mut open: Vec<usize> = (0..self.streams.len())
            .filter(|&i| self.streams[i].open.table.len() > 0)
            .collect();
        if open.len() > OPEN_STREAMS_MAX {
            open.sort_unstable_by_key(|&i| self.streams[i].used);
            open.truncate(open.len() - OPEN_STREAMS_MAX);
            for i in open {
                let stream = &mut self.streams[i];
                stream.rotate(self.key);
            }
        }
    }
}
