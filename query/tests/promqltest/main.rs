//! PromQL as a whole: upstream's scripts, and what must hold for any data and any text.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod conformance;
mod memory;
mod prometheus;
mod properties;
mod rrdtool;
mod script;
mod semantics;
