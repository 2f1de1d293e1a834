//! Tests of the whole: the repository's rules, the binary's processes, its pages.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod activation;
mod bad_input;
#[path = "../browser/mod.rs"]
mod browser;
mod cli;
mod crash;
mod daemon;
mod disk;
mod docker;
mod docs;
mod forwarders;
mod graph;
mod import_logs;
mod imports;
mod journal;
mod layers;
mod limits;
mod logs;
mod patterns;
mod peers;
mod questions;
mod relay;
mod relay_losses;
mod relay_targets;
mod reload;
mod repair;
mod status;
mod tidy;
mod webservers;
