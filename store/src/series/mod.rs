//! Figures: rings of pages, and a journal of what is not sealed yet.
//!
//! Series live in groups; a group's slots of one chunk are one page. Readings come into the open
//! chunks in memory and, as they are, into the journal; full chunks become pages, and pages of one
//! archive become pages of the next. See docs/store.md for the bytes.

#[cfg(test)]
mod announce_tests;
mod answer;
mod backfill;
mod budget;
mod cells;
mod chunk;
mod codec;
mod counter;
#[cfg(test)]
mod counter_tests;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod gaps;
mod group;
mod ingest;
mod join;
mod journal;
mod lane;
mod late;
#[cfg(test)]
mod late_tests;
mod layout;
#[cfg(test)]
mod model_tests;
mod old;
mod page;
mod pages;
mod pauses;
mod reason;
mod registry;
mod rename;
mod retention;
mod rows;
mod seal;
mod senders;
mod stitch;
mod verify;
mod view;

pub use answer::{Slot, SlotSeries};
pub use gaps::{Gap, SeriesGaps};
pub use ingest::Counts;
pub(crate) use ingest::Ingest;
pub use old::{OldSeries, Taken};
pub(crate) use old::{parcel, read_taken, write_taken};
pub use reason::Reason;
pub use registry::{Population, Registry, SeriesDef, SeriesId};
pub use rename::NewName;
pub(crate) use rename::rename;
pub use retention::{ArchiveSpec, Archives, Pattern, Retention};
pub use senders::Worst;
pub use verify::{Damage, Report, SeriesRepair};
pub(crate) use verify::{repair, verify};
pub(crate) use view::View;

/// Tables that stores from before them get when they are opened: imported figures, who brought a series,
/// what pages occupy.
pub(crate) const OLD_SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS ts_old(id INTEGER PRIMARY KEY, labels BLOB NOT NULL UNIQUE, spec BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ts_old_page(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ts_inbox(id INTEGER PRIMARY KEY, number TEXT NOT NULL UNIQUE, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ts_sender(series INTEGER PRIMARY KEY, source TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ts_use(grp INTEGER PRIMARY KEY, held BLOB NOT NULL);
";

pub(crate) const SCHEMA: &str = "
CREATE TABLE ts_layout(id INTEGER PRIMARY KEY, spec BLOB NOT NULL);
CREATE TABLE ts_group(grp INTEGER PRIMARY KEY, layout INT NOT NULL, open BLOB NOT NULL);
CREATE TABLE ts_series(
  id INTEGER PRIMARY KEY, grp INT NOT NULL, lane INT NOT NULL, kind INT NOT NULL,
  heartbeat_ms INT NOT NULL, labels BLOB NOT NULL);
CREATE TABLE ts_metric(name TEXT PRIMARY KEY, kind INT NOT NULL, help TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ts_page(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE ts_journal(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
";
