//! Log files, followed as they grow: those that vigie recognises, and those that the operator names.

use jiff::tz::TimeZone;
use tokio::runtime::Handle;
use vigie_parsers::joining::Joining;

use super::{Input, Start, watch};
use crate::config::Config;
use crate::counts::Counters;
use crate::outlet::{Ended, Outlet};
use crate::status::Status;
use followed::Reading;
use patterns::Patterns;
use tailer::{Group, Tailer};

mod asleep;
mod followed;
mod identity;
mod meeting;
mod missing;
mod patterns;
mod position;
mod quiet;
mod restore;
mod scan;
mod tailer;
#[cfg(test)]
mod tests;

/// See the module.
pub(super) const INPUT: Input = Input {
    name: "files",
    about: "log files as they grow, through rotation, truncation and restarts",
    start,
};

fn start(s: &mut Start<'_>) {
    let groups = groups(s.config, s.host, s.outlet);
    if groups.is_empty() {
        return;
    }
    let counters = s.outlet.counters.clone();
    let status = s.outlet.status.clone();
    let tailer = Tailer::new(groups, s.positions, counters, status);
    let (outlet, runtime) = (s.outlet.clone(), Handle::current());
    s.tasks.spawn_thread("files", move || {
        watch::run(tailer, "files", &outlet, &runtime);
    });
}

/// Reads files from their beginning to their end, whatever their last line looks like, and returns:
/// imports and searches without a daemon. Batches carry events, the figures from them, and positions (a
/// caller that wants none clears them); `take` says whether to go on.
///
/// # Errors
/// When a pattern is none.
pub fn read_once(
    files: &crate::config::Files,
    host: &str,
    registry: &vigie_store::Registry,
    now: vigie_parsers::Timestamp,
    take: &mut dyn FnMut(vigie_store::Batch) -> bool,
) -> Result<Status, globset::Error> {
    let patterns = Patterns::new(&files.paths, &files.exclude)?;
    let status = Status::default();
    let group = Group::of(files, patterns, host, u64::MAX);
    let counters = Counters::new(registry, &[]);
    let mut tailer = Tailer::new(vec![group], &[], counters, status.clone());
    let mut sink = |batch| if take(batch) { Ok(()) } else { Err(Ended) };
    // Ended early is as the caller wished.
    let _ = tailer.finish(now, &mut sink);
    Ok(status)
}

impl Group {
    fn of(files: &crate::config::Files, patterns: Patterns, host: &str, backlog: u64) -> Self {
        let zone = files
            .zone
            .as_ref()
            .map_or_else(TimeZone::system, |z| z.0.clone());
        Self {
            name: files.paths.join(" "),
            patterns,
            format: files
                .format
                .as_deref()
                .and_then(vigie_parsers::formats::find),
            zone,
            host: files.host.clone().unwrap_or_else(|| host.to_owned()),
            vhost: files.vhost.clone(),
            reading: Reading {
                // Config::validate has refused other rules before.
                joining: files.multiline.parse().unwrap_or_default(),
                encoding: files.encoding.as_ref().map(|e| e.0),
            },
            backlog,
        }
    }
}

fn groups(config: &Config, host: &str, outlet: &Outlet) -> Vec<Group> {
    let mut groups = Vec::new();
    // Config::validate has refused such a pattern before.
    let refuse = |name: &str, e: globset::Error| outlet.status.source(name).fail(&e.to_string());
    // What the operator says of a file comes before what we would guess.
    for files in &config.files {
        match Patterns::new(&files.paths, &files.exclude) {
            Ok(patterns) => groups.push(Group::of(files, patterns, host, files.backlog.0)),
            Err(e) => refuse("files", e),
        }
    }
    let known = &config.known_files;
    if known.enabled {
        let name = format!("known:{}", known.dir.display());
        let beside = known.beside_journal || !super::journal::is_kept(&config.journal);
        match Patterns::known(&known.dir, beside) {
            Ok(patterns) => groups.push(Group {
                name,
                patterns,
                format: None,
                zone: TimeZone::system(),
                host: host.to_owned(),
                vhost: None,
                reading: Reading {
                    joining: Joining::Auto,
                    encoding: None,
                },
                backlog: known.backlog.0,
            }),
            Err(e) => refuse(&name, e),
        }
    }
    groups
}
