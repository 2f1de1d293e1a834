//! Figures: rings of pages, and a journal of what is not sealed yet.

mod registry;

use rusqlite::{Connection, Transaction};
use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, Metadata, Selection, Series, SourceError};

use crate::{Options, Result, SampleBatch};

pub use registry::{Registry, SeriesDef, SeriesId};

pub(crate) const SCHEMA: &str = "";

/// The writer's side.
#[derive(Debug)]
pub(crate) struct Ingest;

impl Ingest {
    /// Takes up the open chunks from the journal.
    pub(crate) fn open(
        _conn: &Connection,
        _registry: &Registry,
        _options: &Options,
        _now: Timestamp,
    ) -> Result<Self> {
        Ok(Self)
    }

    /// Takes readings into the open chunks, in memory only.
    pub(crate) fn append(&mut self, _batch: &SampleBatch) {}

    /// Bytes that wait for a commit.
    pub(crate) fn pending_bytes(&self) -> usize {
        0
    }

    /// Writes what is pending: journal rows, sealed pages and the coarser pages they complete. May be
    /// called again with the same pending data when the transaction did not succeed.
    pub(crate) fn write(&mut self, _tx: &Transaction<'_>, _now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// The transaction of the last `write` is durable.
    pub(crate) fn committed(&mut self) {}
}

/// The readers' side: shared by the readers of a process, catches up with the journal at each query.
#[derive(Debug, Default)]
pub(crate) struct View;

impl View {
    pub(crate) fn select(
        &self,
        _conn: &Connection,
        _selection: &Selection<'_>,
    ) -> std::result::Result<Vec<Series>, SourceError> {
        Ok(Vec::new())
    }

    pub(crate) fn series(
        &self,
        _conn: &Connection,
        _matchers: &[Matcher],
        _from: Timestamp,
        _until: Timestamp,
    ) -> std::result::Result<Vec<Labels>, SourceError> {
        Ok(Vec::new())
    }

    pub(crate) fn metadata(
        &self,
        _conn: &Connection,
    ) -> std::result::Result<Vec<Metadata>, SourceError> {
        Ok(Vec::new())
    }
}
