//! Bytes to records: formats, framings and times. Pure functions, no I/O, no clock.
//!
//! A parser never copies a line apart. It reports *spans* of it ([`Span`]), so that whoever keeps the
//! line can rebuild it byte for byte from its pieces, and nothing is allocated on the way.

mod apps;
pub mod archives;
mod encoding;
mod escape;
mod event;
pub mod formats;
pub mod framing;
pub mod joining;
pub mod journal;
pub mod lines;
mod minute;
mod names;
mod record;
mod scan;
mod severity;
mod stamp;
mod time;
pub mod web;

pub use encoding::Encoding;
pub use event::{Event, Origin};
pub use record::{Field, Flags, Kind, Name, Record, Span};
pub use severity::{Facility, Severity};
pub use time::{Context, Timestamp};
