//! The inputs: listen, follow, poll; hand everything to the store, and say how it goes.
//!
//! ```text
//! Config ─► Sockets::bind ─► start ─► a task for each source ─► Outlet ─► store::Handle
//!                              └─► Status: live counters, reported into the store
//! ```
//!
//! Each source is a task whose loop never ends on an error: the error is shown in its [`Status`],
//! logged once, and tried again. What waits for the writer is bounded in bytes: sources that can wait
//! read on later, datagrams wait in the kernel, which counts what it drops.

mod alive;
mod budget;
pub mod config;
mod counts;
mod cut;
mod figures;
mod inherited;
mod lines;
mod outlet;
mod overlap;
mod own;
pub mod packing;
mod relay;
pub mod rotation;
mod runtime;
mod sockets;
mod sources;
mod status;
mod tls;
pub mod units;

pub use config::Config;
pub use inherited::Inherited;
pub use relay::reach;
pub use runtime::{Collector, Setup, host_name, start};
pub use sockets::{BindError, Sockets};
pub use sources::{INPUTS, Input, JournalFile, read_journals, read_once};
pub use status::{Source, Status};
pub use tls::TlsError;
