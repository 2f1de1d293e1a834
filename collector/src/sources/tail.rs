//! Log files, followed as they grow: those that vigie recognises, and those that the operator names.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use vigie_parsers::joining::Joining;
use vigie_store::SourceState;

use super::{Input, Start};
use crate::alive::Alive;
use crate::budget::Patience;
use crate::config::Config;
use crate::outlet::{Ended, Outlet};
use crate::status::Status;
use patterns::Patterns;
use tailer::{Group, Tailer};

mod followed;
mod identity;
mod patterns;
mod position;
mod tailer;
#[cfg(test)]
mod tests;

/// See the module.
pub(super) const INPUT: Input = Input {
    name: "files",
    about: "log files as they grow, through rotation, truncation and restarts",
    start,
};

/// Without a word from inotify (network and overlay file systems) files are looked at so often.
const POLL: Duration = Duration::from_secs(1);
/// A busy file is not looked at more often than this.
const REST: Duration = Duration::from_millis(50);
/// New files in directories that are not watched are found so often.
const SCAN: Duration = Duration::from_secs(10);
/// Directories watched at most; the others are polled.
const WATCHES_MAX: usize = 1000;

fn start(s: &mut Start<'_>) {
    let groups = groups(s.config, s.host, s.outlet);
    if groups.is_empty() {
        return;
    }
    let counters = (s.outlet.registry().clone(), s.outlet.alive.clone());
    let status = s.outlet.status.clone();
    let tailer = Tailer::new(groups, s.positions, counters, status);
    let (outlet, runtime) = (s.outlet.clone(), Handle::current());
    s.tasks
        .spawn_thread("files", move || run(tailer, &outlet, &runtime));
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
    let counters = (registry.clone(), Alive::default());
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
            // Config::validate has refused other rules before.
            joining: files.multiline.parse().unwrap_or_default(),
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
        match Patterns::known(&known.dir) {
            Ok(patterns) => groups.push(Group {
                name,
                patterns,
                format: None,
                zone: TimeZone::system(),
                host: host.to_owned(),
                vhost: None,
                joining: Joining::Auto,
                backlog: known.backlog.0,
            }),
            Err(e) => refuse(&name, e),
        }
    }
    groups
}

fn run(mut tailer: Tailer, outlet: &Outlet, runtime: &Handle) {
    let mut watch = Watch::new(outlet);
    let mut scanned: Option<Instant> = None;
    loop {
        let scan = scanned.is_none_or(|at| at.elapsed() >= SCAN)
            || tailer.is_stale()
            || watch.saw_entries();
        if scan {
            scanned = Some(Instant::now());
        }
        let mut send = |batch| {
            // Between two batches is the place to end: the rest is read at the next start.
            if outlet.shutdown.is_cancelled() {
                return Err(Ended);
            }
            runtime.block_on(outlet.send(Patience::Waits, batch))
        };
        let more = match tailer.poll(outlet.now(), scan, &mut send) {
            Ok(more) => more,
            Err(Ended) => return,
        };
        if scan {
            watch.update(&tailer.directories());
        }
        if !more && !runtime.block_on(watch.wait(outlet)) {
            // The last look hands over what has come since.
            return;
        }
        if outlet.shutdown.is_cancelled() {
            return;
        }
    }
}

/// The directories watched with inotify; only wakes us, we look for ourselves.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    wake: Arc<Notify>,
    /// Names came or went.
    entries: Arc<std::sync::atomic::AtomicBool>,
}

impl Watch {
    fn new(outlet: &Outlet) -> Self {
        use std::sync::atomic::{AtomicBool, Ordering};
        let wake = Arc::new(Notify::new());
        let entries = Arc::new(AtomicBool::new(false));
        let (ring, names) = (Arc::clone(&wake), Arc::clone(&entries));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            use notify::EventKind::{Access, Create, Modify, Remove};
            use notify::event::ModifyKind::Name;
            match event.map(|e| e.kind) {
                Ok(Access(_)) => return,
                Ok(Create(_) | Remove(_) | Modify(Name(_))) | Err(_) => {
                    names.store(true, Ordering::Relaxed)
                }
                Ok(_) => {}
            }
            ring.notify_one();
        });
        let watcher = watcher.inspect_err(|e| {
            let source = outlet.status.source("files");
            source.set(SourceState::Active, "polled each second");
            tracing::warn!("inotify is not to be had ({e}); files are polled each second");
        });
        Self {
            watcher: watcher.ok(),
            watched: BTreeSet::new(),
            wake,
            entries,
        }
    }

    fn saw_entries(&self) -> bool {
        self.entries
            .swap(false, std::sync::atomic::Ordering::Relaxed)
    }

    /// Watches these directories and no others. One that cannot be watched is polled.
    fn update(&mut self, wanted: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        self.watched.retain(|dir| {
            let keep = wanted.contains(dir);
            if !keep {
                // It may be gone by itself.
                let _ = watcher.unwatch(dir);
            }
            keep
        });
        for dir in wanted.iter().take(WATCHES_MAX) {
            if !self.watched.contains(dir)
                && watcher.watch(dir, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(dir.clone());
            }
        }
    }

    /// Waits until something may have happened; whether to go on.
    async fn wait(&self, outlet: &Outlet) -> bool {
        let nap = async {
            tokio::time::sleep(REST).await;
            let _ = tokio::time::timeout(POLL.saturating_sub(REST), self.wake.notified()).await;
        };
        tokio::select! {
            () = nap => true,
            () = outlet.shutdown.cancelled() => false,
        }
    }
}
