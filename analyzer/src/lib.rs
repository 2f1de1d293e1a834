//! Verdicts: rules over stored figures, alerts, incidents, and the sentence that sums them up.
//!
//! Time is an argument everywhere. [`Engine`] is a function of the rules, the series, the alerts
//! that are active and the time; [`book`] writes what it finds; [`Watch`] does both on a thread.

pub mod book;
mod engine;
mod error;
pub mod incidents;
mod lifecycle;
mod overview;
mod reboots;
pub mod rules;
mod watch;

pub use engine::{Counts, Engine, Memory};
pub use error::{Error, Result};
pub use lifecycle::{GONE_MS, REFRESH_MS, Step, Transition};
pub use overview::{Overview, SourceCount, overview};
pub use rules::{Problem, Rules};
pub use watch::Watch;

#[cfg(test)]
mod model;
