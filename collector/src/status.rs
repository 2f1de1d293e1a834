//! How each source is at this moment: counters that sources write and pages read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vigie_parsers::Timestamp;
use vigie_store::{SourceReport, SourceState};

/// The live account of all sources. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<BTreeMap<String, Arc<Source>>>>);

/// One source's counters, since its start.
#[derive(Debug)]
pub struct Source {
    name: String,
    items: AtomicU64,
    bytes: AtomicU64,
    lag_bytes: AtomicU64,
    /// `i64::MIN`: nothing yet.
    last: AtomicI64,
    rest: Mutex<Rest>,
}

#[derive(Debug)]
struct Rest {
    state: SourceState,
    detail: String,
    dropped: BTreeMap<&'static str, u64>,
}

impl Status {
    /// The source of that name, new or known.
    pub(crate) fn source(&self, name: &str) -> Arc<Source> {
        let mut all = lock(&self.0);
        let source = all
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Source::new(name)));
        Arc::clone(source)
    }

    /// Takes a source out of the account; its last report stays in the store.
    pub(crate) fn remove(&self, name: &str) {
        lock(&self.0).remove(name);
    }

    /// Takes out those that have ended, once that was reported: names with dates in them would pile up.
    pub(crate) fn forget_stopped(&self) {
        lock(&self.0).retain(|_, s| lock(&s.rest).state != SourceState::Stopped);
    }

    /// Every source as it is now, sorted by name.
    #[must_use]
    pub fn reports(&self, now: Timestamp) -> Vec<SourceReport> {
        lock(&self.0).values().map(|s| s.report(now)).collect()
    }
}

impl Source {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lag_bytes: AtomicU64::new(0),
            last: AtomicI64::new(i64::MIN),
            rest: Mutex::new(Rest {
                state: SourceState::Active,
                detail: String::new(),
                dropped: BTreeMap::new(),
            }),
        }
    }

    /// The name, as in [`vigie_parsers::Origin::source`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Something came.
    pub(crate) fn count(&self, now: Timestamp, items: u64, bytes: u64) {
        if items > 0 {
            self.items.fetch_add(items, Relaxed);
            self.last.store(now.0, Relaxed);
        }
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Something was dropped, or kept less than whole.
    pub(crate) fn drop_items(&self, why: &'static str, items: u64) {
        if items > 0 {
            *lock(&self.rest).dropped.entry(why).or_default() += items;
        }
    }

    /// So many bytes wait to be read.
    pub(crate) fn set_lag(&self, bytes: u64) {
        self.lag_bytes.store(bytes, Relaxed);
    }

    /// How it is and why. Whether that is news, so that it is logged once.
    pub(crate) fn set(&self, state: SourceState, detail: &str) -> bool {
        let mut rest = lock(&self.rest);
        if rest.state == state && rest.detail == detail {
            return false;
        }
        rest.state = state;
        detail.clone_into(&mut rest.detail);
        true
    }

    /// It cannot work; the log hears of it once as long as the reason stays the same.
    pub(crate) fn fail(&self, why: &str) {
        if self.set(SourceState::Failed, why) {
            tracing::warn!(source = self.name, "{why}");
        }
    }

    /// Whether it was told to fail last.
    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.rest).state == SourceState::Failed
    }

    /// It works (again).
    pub(crate) fn work(&self, detail: &str) {
        let failed = self.has_failed();
        if self.set(SourceState::Active, detail) && failed {
            tracing::info!(source = self.name, "works again");
        }
    }

    fn report(&self, now: Timestamp) -> SourceReport {
        let rest = lock(&self.rest);
        let last = self.last.load(Relaxed);
        SourceReport {
            source: self.name.clone(),
            state: rest.state,
            detail: rest.detail.clone(),
            at: now,
            last: (last != i64::MIN).then_some(Timestamp(last)),
            items: self.items.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            lag_bytes: self.lag_bytes.load(Relaxed),
            dropped: rest
                .dropped
                .iter()
                .map(|(&w, &n)| (w.to_owned(), n))
                .collect(),
        }
    }
}

/// A panic elsewhere leaves counters that are still counters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_happened() {
        let status = Status::default();
        let source = status.source("udp");
        source.count(Timestamp(5), 2, 100);
        source.drop_items("kernel", 3);
        source.drop_items("kernel", 1);
        source.drop_items("oversize", 0);
        assert!(source.set(SourceState::Failed, "no such address"));
        assert!(
            !source.set(SourceState::Failed, "no such address"),
            "no news"
        );
        let report = status.reports(Timestamp(9)).remove(0);
        assert_eq!(report.dropped, [("kernel".to_owned(), 4)]);
        assert_eq!(
            (report.items, report.bytes, report.last),
            (2, 100, Some(Timestamp(5)))
        );
        assert_eq!(
            (report.state, report.at),
            (SourceState::Failed, Timestamp(9))
        );
        status.remove("udp");
        assert!(status.reports(Timestamp(9)).is_empty());
    }
}
