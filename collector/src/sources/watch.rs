//! News of directories from the system: wakes those who follow files.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use vigie_store::SourceState;

use crate::outlet::Outlet;

/// Without a word from inotify (network and overlay file systems) files are looked at so often.
const POLL: Duration = Duration::from_secs(1);
/// A busy file is not looked at more often than this.
const REST: Duration = Duration::from_millis(50);
/// Directories watched at most; the others are polled.
const WATCHES_MAX: usize = 1000;

/// The directories watched with inotify; only wakes us, we look for ourselves.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    wake: Arc<Notify>,
    /// Names came or went.
    entries: Arc<std::sync::atomic::AtomicBool>,
}

impl Watch {
    pub(super) fn new(outlet: &Outlet, source: &'static str) -> Self {
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

    pub(super) fn saw_entries(&self) -> bool {
        self.entries
            .swap(false, std::sync::atomic::Ordering::Relaxed)
    }

    /// Watches these directories and no others. One that cannot be watched is polled.
    pub(super) fn update(&mut self, wanted: &BTreeSet<PathBuf>) {
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
    pub(super) async fn wait(&self, outlet: &Outlet) -> bool {
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
