//! The logs of containers, from a Docker engine: through its socket, or from its files.

use std::sync::Arc;

use tokio::runtime::Handle;
use vigie_parsers::joining::Joining;

use super::{Input, Start, watch};
use crate::config::Choice;
use crate::outlet::Outlet;
use engine::Engine;

mod container;
mod disk;
mod engine;
mod files;
mod follow;
mod intake;
mod pieces;
mod position;
mod roster;
mod rotating;
#[cfg(test)]
mod tests;
mod trail;

/// See the module.
pub(super) const INPUT: Input = Input {
    name: "docker",
    about: "the logs of Docker's containers, through restarts of theirs and of the engine",
    start,
};

/// What to follow, and how to read it.
struct Wanted {
    keep: Vec<Choice>,
    leave_out: Vec<Choice>,
    backlog_ms: i64,
    joining: Joining,
    host: String,
}

/// The same, from an engine.
struct Plan {
    engine: Engine,
    wanted: Wanted,
    /// What goes to the journal comes from there.
    journal_kept: bool,
    outlet: Outlet,
}

fn start(s: &mut Start<'_>) {
    let config = &s.config.docker;
    if !config.enabled {
        return;
    }
    let wanted = Wanted {
        keep: config.keep.clone(),
        leave_out: config.leave_out.clone(),
        backlog_ms: config.backlog.as_ms(),
        // Config::validate has refused other rules before.
        joining: config.multiline.parse().unwrap_or_default(),
        host: s.host.to_owned(),
    };
    if let Some(dir) = &config.dir {
        let counters = s.outlet.counters.clone();
        let status = s.outlet.status.clone();
        let disk = disk::Disk::new(dir, wanted, s.positions, counters, status);
        let (outlet, runtime) = (s.outlet.clone(), Handle::current());
        s.tasks.spawn_thread("docker", move || {
            watch::run(disk, "docker", &outlet, &runtime)
        });
        return;
    }
    let plan = Plan {
        engine: Engine::new(&config.socket),
        wanted,
        journal_kept: super::journal::is_kept(&s.config.journal),
        outlet: s.outlet.clone(),
    };
    let roster = roster::Roster::new(Arc::new(plan), s.positions);
    s.tasks.spawn("docker", roster.run());
}
