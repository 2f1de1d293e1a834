//! Events: sealed columnar blocks, and a journal of what is not sealed yet.

use std::ops::ControlFlow;

use rusqlite::{Connection, Transaction};
use vigie_parsers::{Event, Timestamp};
use vigie_query::{Scan, ScanStats, SourceError};

use crate::{EventBatch, Options, Result};

pub(crate) const SCHEMA: &str = "";

/// The writer's side.
#[derive(Debug)]
pub(crate) struct Ingest;

impl Ingest {
    /// Takes up the open blocks from the journal.
    pub(crate) fn open(_conn: &Connection, _options: &Options, _now: Timestamp) -> Result<Self> {
        Ok(Self)
    }

    /// Takes lines into the open blocks, in memory only.
    pub(crate) fn append(&mut self, _batch: &EventBatch) {}

    /// Bytes that wait for a commit.
    pub(crate) fn pending_bytes(&self) -> usize {
        0
    }

    /// Writes what is pending: journal rows, sealed blocks, what the budget pushes out. May be
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
    pub(crate) fn scan(
        &self,
        _conn: &Connection,
        _scan: &Scan<'_>,
        _each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> std::result::Result<ScanStats, SourceError> {
        Ok(ScanStats::default())
    }
}
