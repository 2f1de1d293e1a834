//! What pages read: figures, events and the incident book, behind one trait, so that a store and a
//! test's model answer alike.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use vigie_parsers::Timestamp;
use vigie_query::{EventSource, SeriesSource};
use vigie_store::incidents::{Alert, Change, Entry, Incident, IncidentFilter, IncidentId};
use vigie_store::{Reader, SourceReport};

/// Everything a page can ask.
pub trait Source: SeriesSource + EventSource + Send {
    /// The figures alone, for evaluators that know only them.
    fn figures(&self) -> &dyn SeriesSource;

    /// The events alone.
    fn events(&self) -> &dyn EventSource;

    /// The sources as they last reported.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn reports(&self) -> vigie_store::Result<Vec<SourceReport>>;

    /// Incidents, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incidents(&self, filter: &IncidentFilter) -> vigie_store::Result<Vec<Incident>>;

    /// One incident.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incident(&self, id: IncidentId) -> vigie_store::Result<Option<Incident>>;

    /// Its time line, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn timeline(&self, id: IncidentId) -> vigie_store::Result<Vec<Entry>>;

    /// Its alerts.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn alerts(&self, id: IncidentId) -> vigie_store::Result<Vec<Alert>>;

    /// The alerts that are pending or firing.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn active_alerts(&self) -> vigie_store::Result<Vec<Alert>>;

    /// What was altered, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn changes(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> vigie_store::Result<Vec<Change>>;
}

impl Source for Reader {
    fn figures(&self) -> &dyn SeriesSource {
        self
    }

    fn events(&self) -> &dyn EventSource {
        self
    }

    fn reports(&self) -> vigie_store::Result<Vec<SourceReport>> {
        self.sources()
    }

    fn incidents(&self, filter: &IncidentFilter) -> vigie_store::Result<Vec<Incident>> {
        self.incidents(filter)
    }

    fn incident(&self, id: IncidentId) -> vigie_store::Result<Option<Incident>> {
        self.incident(id)
    }

    fn timeline(&self, id: IncidentId) -> vigie_store::Result<Vec<Entry>> {
        self.timeline(id)
    }

    fn alerts(&self, id: IncidentId) -> vigie_store::Result<Vec<Alert>> {
        self.incident_alerts(id)
    }

    fn active_alerts(&self) -> vigie_store::Result<Vec<Alert>> {
        self.active_alerts()
    }

    fn changes(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> vigie_store::Result<Vec<Change>> {
        self.changes(from, until, limit)
    }
}

/// Readers that are open at once: pages are answered by so many threads at most.
const READERS_MAX: usize = 4;
/// A request waits this long for a reader.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// One request may read this long; a longer reader would hold back the store's checkpoint.
pub(crate) const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

type Open = Box<dyn Fn() -> vigie_store::Result<Box<dyn Source>> + Send + Sync>;

/// A few readers, lent to requests. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    open: Open,
    idle: Mutex<Vec<Box<dyn Source>>>,
    permits: Arc<Semaphore>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} free)", self.inner.permits.available_permits())
    }
}

/// Why a request could not read.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// All readers were busy for too long.
    #[error("all readers are busy; try again")]
    Busy,
    /// No reader can be opened.
    #[error("{0}")]
    Store(#[from] vigie_store::Error),
    /// The query's thread ended early.
    #[error("the query ended early")]
    Ended,
}

/// What a query must keep to.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// It ends here.
    pub deadline: Instant,
    /// Set when nobody waits for the answer any more.
    pub cancel: Arc<AtomicBool>,
}

impl Bounds {
    /// Bounds of a query that begins now and that nobody calls off.
    #[must_use]
    pub fn new() -> Self {
        Self {
            deadline: Instant::now() + QUERY_TIME_MAX,
            cancel: Arc::default(),
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls a query off when its future is dropped: the client has left.
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool of readers of one store.
    #[must_use]
    pub fn of_reader(reader: Reader) -> Self {
        let first = Mutex::new(reader);
        Self::new(move || {
            let first = first.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Box::new(first.another()?))
        })
    }

    /// A pool of whatever `open` makes.
    pub fn new(
        open: impl Fn() -> vigie_store::Result<Box<dyn Source>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                open: Box::new(open),
                idle: Mutex::default(),
                permits: Arc::new(Semaphore::new(READERS_MAX)),
            }),
        }
    }

    /// Runs a query on a thread that may block, with a reader of its own.
    ///
    /// # Errors
    /// When there is no reader.
    pub async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn Source, &Bounds) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (guard, task) = self.begin(Bounds::new(), query).await?;
        let answer = task.await.map_err(|_| PoolError::Ended)?;
        drop(guard);
        answer
    }

    /// Starts a query that hands its answer over by itself, piece by piece. It is called off when what
    /// is returned is dropped.
    ///
    /// # Errors
    /// When there is no reader.
    pub(crate) async fn start(
        &self,
        time_max: Duration,
        query: impl FnOnce(&dyn Source, &Bounds) + Send + 'static,
    ) -> Result<CancelOnDrop, PoolError> {
        let bounds = Bounds {
            deadline: Instant::now() + time_max,
            ..Bounds::new()
        };
        Ok(self.begin(bounds, query).await?.0)
    }

    async fn begin<T: Send + 'static>(
        &self,
        bounds: Bounds,
        query: impl FnOnce(&dyn Source, &Bounds) -> T + Send + 'static,
    ) -> Result<(CancelOnDrop, JoinHandle<Result<T, PoolError>>), PoolError> {
        let permits = Arc::clone(&self.inner.permits);
        let permit = tokio::time::timeout(WAIT_MAX, permits.acquire_owned()).await;
        let permit = permit
            .map_err(|_| PoolError::Busy)?
            .map_err(|_| PoolError::Ended)?;
        let inner = Arc::clone(&self.inner);
        let guard = CancelOnDrop(Arc::clone(&bounds.cancel));
        let task = tokio::task::spawn_blocking(move || {
            let idle = inner
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let source = match idle {
                Some(source) => source,
                None => (inner.open)()?,
            };
            let answer = query(source.as_ref(), &bounds);
            inner
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(source);
            drop(permit);
            Ok(answer)
        });
        Ok((guard, task))
    }
}
