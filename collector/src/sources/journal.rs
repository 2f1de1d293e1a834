//! systemd's journal, read from its files and followed live.

use std::path::{Path, PathBuf};

use tokio::runtime::Handle;
use vigie_parsers::Timestamp;
use vigie_parsers::journal::Error;
use vigie_store::Batch;

use super::watch::{self, Follow};
use super::{Input, Start};
use crate::config;
use crate::counts::Counters;
use crate::outlet::Ended;
use crate::status::Status;
use followed::Wanted;
use follower::{Follower, Plan};

mod copies;
mod file;
mod followed;
mod follower;
mod position;
mod scan;
#[cfg(test)]
mod tests;

pub use file::JournalFile;

/// See the module.
pub(super) const INPUT: Input = Input {
    name: "journal",
    about: "systemd's journal, of this machine and of others, through rotation and restarts",
    start,
};

fn start(s: &mut Start<'_>) {
    let config = &s.config.journal;
    if !config.enabled {
        return;
    }
    let plan = Plan {
        dirs: config.dirs.clone(),
        backlog_ms: config.backlog.as_ms(),
        wanted: Wanted {
            keep: config.keep.clone(),
            leave_out: config.leave_out.clone(),
        },
        host: s.host.to_owned(),
    };
    let counters = s.outlet.counters.clone();
    let follower = Follower::new(plan, s.positions, counters, s.outlet.status.clone());
    let (outlet, runtime) = (s.outlet.clone(), Handle::current());
    s.tasks.spawn_thread("journal", move || {
        watch::run(follower, "journal", &outlet, &runtime);
    });
}

/// Whether this machine keeps a journal that we can read and follow.
pub(super) fn is_kept(config: &config::Journal) -> bool {
    let machine = std::fs::read_to_string("/etc/machine-id").ok();
    let machine = machine.and_then(|id| u128::from_str_radix(id.trim(), 16).ok());
    let is_ours = |path: &Path| {
        let journal = JournalFile::open(path).ok();
        journal.is_some_and(|j| machine.is_none_or(|m| j.header().machine_id == m.to_be_bytes()))
    };
    let folders = config.dirs.iter().flat_map(|dir| {
        let subfolders = file::list(dir).unwrap_or_default().folders;
        subfolders.into_iter().chain([dir.clone()])
    });
    config.enabled
        && folders
            .into_iter()
            .any(|f| is_ours(&f.join("system.journal")))
}

/// Reads journal files, or all journals of folders, to their end and returns: imports without a daemon.
/// Batches carry events, the figures from them, and positions (a caller that wants none clears them);
/// `take` says whether to go on. Entries of one machine come in the order of time. `positions` are those
/// that an earlier reading gave, or the daemon: what lies before them is left out.
///
/// # Errors
/// When one of the files is no journal, or cannot be read.
pub fn read_journals(
    paths: &[PathBuf],
    host: &str,
    registry: &vigie_store::Registry,
    now: Timestamp,
    positions: &[(String, Vec<u8>)],
    take: &mut dyn FnMut(Batch) -> bool,
) -> Result<Status, Error> {
    let (files, dirs): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|p| p.is_file());
    for path in &files {
        JournalFile::open(path)?;
    }
    let plan = Plan {
        dirs,
        backlog_ms: i64::MAX,
        wanted: Wanted::default(),
        host: host.to_owned(),
    };
    let status = Status::default();
    let counters = Counters::new(registry, &[]);
    let mut follower = Follower::new(plan, positions, counters, status.clone());
    follower.only(files);
    let mut sink = |batch| if take(batch) { Ok(()) } else { Err(Ended) };
    // Ended early is as the caller wished.
    while follower
        .poll(now, !follower.has_looked(), &mut sink)
        .unwrap_or(false)
    {}
    Ok(status)
}
