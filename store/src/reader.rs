//! Snapshots of the store for everyone who asks: pages, rules, the command line.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use vigie_parsers::{Event, Timestamp};
use vigie_query::log::Filter;
use vigie_query::{
    EventSource, GroupBy, Grouped, Labels, Matcher, Metadata, PatternCounts, Scan, ScanStats,
    Selection, Series, SeriesSource, SourceError, Sparse, Take,
};

use crate::{PastTrouble, Result, SourceReport, Trouble, Usage};
use crate::{events, series, sources, state, usage};
use crate::{file, lock, space};

/// The store, open for reading: one connection, one query at a time. More readers of the same
/// process come from [`Reader::another`] and share what is replayed from the journals.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    conn: Connection,
    events: Arc<events::View>,
    series: Arc<series::View>,
}

impl Reader {
    /// Opens the store of a data directory.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] when there is none.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(file::FILE_NAME);
        let conn = file::open_for_reading(&path).map_err(|e| e.in_dir(dir))?;
        Ok(Self {
            path,
            conn,
            events: Arc::default(),
            series: Arc::default(),
        })
    }

    /// One more reader of the same store.
    ///
    /// # Errors
    /// When the file cannot be opened any more.
    pub fn another(&self) -> Result<Self> {
        Ok(Self {
            path: self.path.clone(),
            conn: file::open_for_reading(&self.path)?,
            events: Arc::clone(&self.events),
            series: Arc::clone(&self.series),
        })
    }

    /// Whether a process has the store open for writing, the daemon as a rule.
    #[must_use]
    pub fn is_written(&self) -> bool {
        lock::is_written(&self.path)
    }

    /// Why the process that has the store open cannot write to it; `None` when it can. It says so beside
    /// the store and not in it.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        lock::trouble(&self.path)
    }

    /// When the store could not be written last, if that is over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn past_trouble(&self) -> Result<Option<PastTrouble>> {
        let text = self.setting(PastTrouble::KEY)?;
        Ok(text.and_then(|text| PastTrouble::heard(&text)))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many lines came, by minute (kept for 14 days) or by hour (for 3 years), source, format and
    /// severity. Counts outlive the lines themselves. Minutes and hours that begin in `from..until`;
    /// lines that are not sealed yet always count by minutes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn event_counts(
        &self,
        from: Timestamp,
        until: Timestamp,
        minutes: bool,
    ) -> Result<Vec<events::EventCount>> {
        self.events.counts(&self.conn, from, until, minutes)
    }

    /// Lines that the budget has pushed out since the store was made.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events_evicted(&self) -> Result<u64> {
        self.events.evicted(&self.conn)
    }

    /// Lines that were too old, or beyond what their source may occupy, since the store was made.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events_expired(&self) -> Result<u64> {
        self.events.expired(&self.conn)
    }

    /// Patterns of messages that a limit has pushed out since the store was made: what they had is
    /// counted with the others.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn patterns_dropped(&self) -> Result<u64> {
        self.events.patterns_dropped(&self.conn)
    }

    /// Reads every block of events and rebuilds every line.
    ///
    /// # Errors
    /// When the store cannot be read at all; damage is in the report.
    pub fn verify_events(&self) -> Result<events::EventReport> {
        self.events.verify(&self.conn)
    }

    /// Gives back the memory of what was replayed from the event journal; the next query reads it
    /// again. For a process whose readers have been idle for a while.
    pub fn forget(&self) {
        self.events.forget();
    }

    /// The connection, for the parts of this crate that read tables of their own.
    pub(crate) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// The sources as they last reported.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sources(&self) -> Result<Vec<SourceReport>> {
        sources::read(&self.conn)
    }

    /// Reads every page and checkpoint of the figures: what `vigie verify` says of them.
    ///
    /// # Errors
    /// When the file itself cannot be read.
    pub fn verify_series(&self) -> Result<series::Report> {
        series::verify(&self.conn)
    }

    /// The consolidated slots of the series that match, from the archive that serves the selection's
    /// step, with all that a slot holds: what charts, envelopes and legends are made of.
    ///
    /// # Errors
    /// When a limit is passed or the store cannot be read.
    pub fn slots(
        &self,
        selection: &Selection<'_>,
    ) -> std::result::Result<Vec<series::SlotSeries>, SourceError> {
        self.series.slots(&self.conn, selection)
    }

    /// Where the series that match are unknown in the selection's range, and why: what a hole in a chart
    /// says when one points at it. Series without a gap are left out.
    ///
    /// # Errors
    /// When a limit is passed (`max_samples` counts gaps) or the store cannot be read.
    pub fn gaps(
        &self,
        selection: &Selection<'_>,
    ) -> std::result::Result<Vec<series::SeriesGaps>, SourceError> {
        self.series.gaps(&self.conn, selection)
    }

    /// What the store holds and occupies.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        Ok(Usage {
            events: self.events.lines(&self.conn)?,
            wal_bytes: file::wal_bytes(&self.path),
            free_bytes: self.path.parent().and_then(space::free_bytes),
            ..usage::read(&self.conn)?
        })
    }

    /// A setting kept with [`crate::State::set`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn setting(&self, key: &str) -> Result<Option<String>> {
        state::setting(&self.conn, key)
    }
}

impl EventSource for Reader {
    fn scan(
        &self,
        scan: &Scan<'_>,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> std::result::Result<ScanStats, SourceError> {
        self.events.scan(&self.conn, scan, each)
    }

    fn last_id(&self) -> std::result::Result<u64, SourceError> {
        Ok(self.events.last_id(&self.conn)?)
    }

    fn count_by(
        &self,
        scan: &Scan<'_>,
        by: &GroupBy<'_>,
    ) -> std::result::Result<Grouped, SourceError> {
        self.events.count_by(&self.conn, scan, by)
    }

    fn count_patterns(
        &self,
        range: Range<Timestamp>,
        filter: &Filter,
    ) -> std::result::Result<Option<PatternCounts>, SourceError> {
        Ok(self.events.count_patterns(&self.conn, &range, filter)?)
    }
}

impl SeriesSource for Reader {
    fn select(&self, selection: &Selection<'_>) -> std::result::Result<Vec<Series>, SourceError> {
        self.series.select(&self.conn, selection)
    }

    fn select_sparse(
        &self,
        selection: &Selection<'_>,
        take: Take,
    ) -> std::result::Result<Vec<Sparse>, SourceError> {
        self.series.select_sparse(&self.conn, selection, take)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        until: Timestamp,
    ) -> std::result::Result<Vec<Labels>, SourceError> {
        self.series.series(&self.conn, matchers, from, until)
    }

    fn metadata(&self) -> std::result::Result<Vec<Metadata>, SourceError> {
        self.series.metadata(&self.conn)
    }
}
