//! The readers' side: open blocks read from the journal, shared by the readers of a process.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use rusqlite::{Connection, Transaction};
use vigie_parsers::{Event, Timestamp};
use vigie_query::log::Filter;
use vigie_query::{GroupBy, Grouped, PatternCounts, Scan, ScanStats, SourceError};

use super::rebuild::{Open, StreamName};
use super::replay::Replayed;
use super::{EventCount, EventReport, counts, evict, groups, keep, patterns, scan, verify};
use crate::Result;

/// More memory than this is not kept from one query to the next.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// The readers' side: shared by the readers of a process, catches up with the journal at each query.
#[derive(Debug, Default)]
pub(crate) struct View(Mutex<HashMap<i64, Stream>>);

#[derive(Debug)]
struct Stream {
    name: Arc<StreamName>,
    replayed: Replayed,
}

/// A snapshot: the connection's transaction and the open blocks as of the same moment.
pub(super) struct Snapshot<'c> {
    /// None inside a transaction of the caller's.
    _tx: Option<Transaction<'c>>,
    pub open: Vec<Open>,
    pub names: HashMap<i64, Arc<StreamName>>,
    /// The journal of a stream is damaged.
    pub damaged: Option<String>,
}

impl View {
    /// Begins a snapshot: under the lock, so that snapshots follow one another as the views do.
    fn snapshot<'c>(&self, conn: &'c Connection) -> Result<Snapshot<'c>> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = match conn.is_autocommit() {
            true => Some(conn.unchecked_transaction()?),
            false => None,
        };
        let mut snapshot = Snapshot {
            _tx: tx,
            open: Vec::new(),
            names: HashMap::default(),
            damaged: None,
        };
        let mut stmt = conn.prepare_cached("SELECT id, gen, source, format FROM ev_stream")?;
        let mut rows = stmt.query([])?;
        while let Some(row) = rows.next()? {
            let (id, generation) = (row.get(0)?, row.get(1)?);
            let stream = match streams.entry(id) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => new.insert(Stream {
                    name: Arc::new(StreamName {
                        source: row.get(2)?,
                        format: row.get::<_, String>(3)?.into(),
                    }),
                    replayed: Replayed::default(),
                }),
            };
            let name = Arc::clone(&stream.name);
            if stream
                .replayed
                .catch_up(conn, id, generation, &name.source)?
            {
                snapshot.damaged = Some(format!("the journal of {} is damaged", name.source));
            }
            if stream.replayed.table.len() > 0 {
                snapshot.open.push(Open {
                    table: Arc::clone(&stream.replayed.table),
                    place: Arc::clone(&name),
                });
            }
            snapshot.names.insert(id, name);
        }
        Ok(snapshot)
    }

    /// Forgets what was replayed when it is large: an idle process stays small.
    fn trim(&self) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = streams.values().map(|s| s.replayed.table.memory()).sum();
        if bytes > KEPT_BYTES_MAX {
            streams.clear();
        }
    }

    /// Forgets all that was replayed.
    pub(crate) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub(crate) fn scan(
        &self,
        conn: &Connection,
        scan: &Scan<'_>,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> std::result::Result<ScanStats, SourceError> {
        let snapshot = self.snapshot(conn)?;
        let stats = scan::run(conn, &snapshot, scan, each);
        drop(snapshot);
        self.trim();
        stats
    }

    /// The number of the line that arrived last, though it may have gone again; 0 if none ever came.
    pub(crate) fn last_id(&self, conn: &Connection) -> Result<u64> {
        let snapshot = self.snapshot(conn)?;
        let sealed = evict::last_number(conn)?;
        let open = snapshot.open.iter().map(|o| o.table.rows.seqs.last());
        let last = open.flatten().copied().fold(sealed, i64::max);
        Ok(last.cast_unsigned())
    }

    /// Lines that can be read, sealed or not.
    pub(crate) fn lines(&self, conn: &Connection) -> Result<u64> {
        let snapshot = self.snapshot(conn)?;
        let sealed: i64 = conn.query_row("SELECT ifnull(sum(rows), 0) FROM ev_block", [], |r| {
            r.get(0)
        })?;
        let open: usize = snapshot.open.iter().map(|o| o.table.len()).sum();
        Ok(u64::try_from(sealed).unwrap_or(0) + open as u64)
    }

    pub(crate) fn count_by(
        &self,
        conn: &Connection,
        scan: &Scan<'_>,
        by: &GroupBy<'_>,
    ) -> std::result::Result<Grouped, SourceError> {
        let snapshot = self.snapshot(conn)?;
        let grouped = groups::run(conn, &snapshot, scan, by);
        drop(snapshot);
        self.trim();
        grouped
    }

    /// See [`vigie_query::EventSource::count_patterns`].
    pub(crate) fn count_patterns(
        &self,
        conn: &Connection,
        range: &Range<Timestamp>,
        filter: &Filter,
    ) -> Result<Option<PatternCounts>> {
        let snapshot = self.snapshot(conn)?;
        let counts = patterns::read(conn, &snapshot, range, filter);
        drop(snapshot);
        self.trim();
        counts
    }

    /// Patterns that a limit pushed out.
    pub(crate) fn patterns_dropped(&self, conn: &Connection) -> Result<u64> {
        patterns::dropped(conn)
    }

    /// Reads everything and says what is damaged.
    pub(crate) fn verify(&self, conn: &Connection) -> Result<EventReport> {
        let snapshot = self.snapshot(conn)?;
        let report = verify::run(conn);
        drop(snapshot);
        report
    }

    /// Rows that the budget pushed out.
    pub(crate) fn evicted(&self, conn: &Connection) -> Result<u64> {
        evict::evicted_rows(conn)
    }

    /// Rows that went because of a rule of retention.
    pub(crate) fn expired(&self, conn: &Connection) -> Result<u64> {
        keep::expired_rows(conn)
    }

    /// See [`EventCount`]; what is not sealed yet is counted by minutes.
    pub(crate) fn counts(
        &self,
        conn: &Connection,
        from: Timestamp,
        until: Timestamp,
        minutes: bool,
    ) -> Result<Vec<EventCount>> {
        let snapshot = self.snapshot(conn)?;
        let mut all = counts::read(conn, from, until, minutes)?;
        for open in &snapshot.open {
            all.extend(counts::of_open(open, from, until));
        }
        drop(snapshot);
        self.trim();
        Ok(all)
    }
}
