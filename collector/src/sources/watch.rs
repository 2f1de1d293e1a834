//! The life of those who follow files: they look when the system tells of news in their directories,
//! and now and then without it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use vigie_parsers::Timestamp;
use vigie_store::{Batch, SourceState};

use crate::budget::Patience;
use crate::outlet::{Ended, Outlet};

/// New files in directories that are not watched are found so often.
const SCAN: Duration = Duration::from_secs(10);

/// Without a word from inotify (network and overlay file systems) files are looked at so often.
const POLL: Duration = Duration::from_secs(1);
/// A busy file is not looked at more often than this.
const REST: Duration = Duration::from_millis(50);
/// Directories watched at most; the others are polled.
const WATCHES_MAX: usize = 1000;

/// Takes batches, or says that it is over.
pub(super) type Sink<'a> = dyn FnMut(Batch) -> Result<(), Ended> + 'a;

/// Reads files as they grow.
pub(super) trait Follow {
    /// Reads on in all files. `scan` also looks for new ones. Whether there is more to read at once.
    fn poll(&mut self, now: Timestamp, scan: bool, sink: &mut Sink<'_>) -> Result<bool, Ended>;

    /// Whether a scan would find something new before its time.
    fn wants_scan(&self) -> bool;

    /// The directories in which something may happen.
    fn directories(&self) -> BTreeSet<PathBuf>;
}

/// Follows until the shutdown, on a thread of its own.
pub(super) fn run(
    mut follower: impl Follow,
    source: &'static str,
    outlet: &Outlet,
    runtime: &Handle,
) {
    let mut watch = Watch::new(outlet, source);
    let mut scanned: Option<Instant> = None;
    loop {
        let scan = scanned.is_none_or(|at| at.elapsed() >= SCAN)
            || follower.wants_scan()
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
        let more = match follower.poll(outlet.now(), scan, &mut send) {
            Ok(more) => more,
            Err(Ended) => return,
        };
        if scan {
            watch.update(&follower.directories());
        }
        let go_on = more || runtime.block_on(watch.wait(outlet));
        if !go_on || outlet.shutdown.is_cancelled() {
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
    fn new(outlet: &Outlet, source: &'static str) -> Self {
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
            let status = outlet.status.source(source);
            status.set(SourceState::Active, "polled each second");
            tracing::warn!(
                source,
                "inotify is not to be had ({e}); files are polled each second"
            );
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
