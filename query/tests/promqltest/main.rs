//! PromQL as a whole: upstream's scripts, and what must hold for any data and any text.

mod conformance;
mod memory;
mod properties;
mod script;
mod semantics;
