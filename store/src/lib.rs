//! The one SQLite file: series, events, incidents, positions. Only this crate knows SQLite.
//!
//! One [`Writer`] on a thread of its own holds the only write connection. It takes [`Batch`]es and
//! commits at most once a second: events, samples, positions and state changes in one transaction,
//! then acknowledges. [`Reader`]s open snapshots and see every committed event and sample, sealed
//! or not, whether a daemon runs or not: what is not sealed yet they read from the journals.

mod batch;
mod error;
pub mod events;
mod file;
mod health;
mod import;
pub mod incidents;
mod lock;
mod options;
mod reader;
mod request;
pub mod series;
mod sources;
mod space;
mod state;
mod thread;
mod usage;
mod writer;

pub use batch::{
    Batch, CounterType, CounterWidth, Done, EventBatch, EventHead, Reading, SampleBatch, SampleRow,
};
pub use error::{Error, Result};
pub use health::{Health, PastTrouble, Trouble};
pub use import::Importer;
pub use options::{Options, Synchronous};
pub use reader::Reader;
pub use request::{Request, request};
pub use series::{Registry, SeriesDef, SeriesId};
pub use sources::{SourceReport, SourceState};
pub use space::free_bytes;
pub use state::State;
pub use thread::{Clock, Handle, spawn};
pub use usage::{FigureUsage, Usage};
pub use writer::Writer;
