//! The writer's thread: takes what is sent to it, commits in time, says how it is.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vigie_parsers::Timestamp;

use crate::writer::Writer;
use crate::{Batch, Error, Health, Registry, Result, State, Trouble};

/// Tells the time; tests pass their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// At most this long after a batch was taken it is committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// A commit does not wait longer once so many bytes of events are pending.
const COMMIT_BYTES: usize = 1 << 20;
/// Commands that may wait in the queue. Their bytes are bounded by the senders, who hold a permit
/// for each batch until it is acknowledged.
const QUEUE_LEN_MAX: usize = 1024;
/// Having done what another process asked, the writer looks again soon: an import asks a thousand times.
const LOOK_SOON: Duration = Duration::from_millis(10);
/// For so long after the last request.
const ATTENTIVE: Duration = Duration::from_secs(2);

type Update = Box<dyn FnOnce(&mut Writer, Timestamp) + Send>;

enum Command {
    Batch(Box<Batch>),
    Update(Update),
    Close,
}

/// How everybody else reaches the writer. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    queue: SyncSender<Command>,
    registry: Registry,
    health: Arc<Mutex<Health>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({:?})", self.health())
    }
}

impl Handle {
    /// Hands a batch over. Its `done` is called when it is durable. Waits while the queue is full.
    ///
    /// # Errors
    /// [`Error::Closed`] after the writer has ended.
    pub fn send(&self, batch: Batch) -> Result<()> {
        self.queue
            .send(Command::Batch(Box::new(batch)))
            .map_err(|_| Error::Closed)
    }

    /// Changes state in the writer's transaction and waits until it is durable. Blocks: not for
    /// async workers.
    ///
    /// # Errors
    /// The change's own error, [`Error::NoSpace`] when the disk is full, [`Error::Closed`] after the
    /// writer has ended.
    pub fn update<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = sync_channel(1);
        let update: Update = Box::new(move |writer, now| {
            // The asker may have gone; the change stands all the same.
            let _ = reply.send(writer.update(now, change));
        });
        self.queue
            .send(Command::Update(update))
            .map_err(|_| Error::Closed)?;
        answer.recv().map_err(|_| Error::Closed)?
    }

    /// The series known to the store.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How the writer is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks the writer to commit what was sent before and to end.
    pub fn close(&self) {
        // Already ended is as good.
        let _ = self.queue.send(Command::Close);
    }
}

/// Puts the writer on its thread.
///
/// # Panics
/// When the system has no thread left at the start of the program.
#[must_use]
pub fn spawn(writer: Writer, clock: Clock) -> (Handle, JoinHandle<()>) {
    let (queue, commands) = sync_channel(QUEUE_LEN_MAX);
    let health = Arc::new(Mutex::new(Health::default()));
    let handle = Handle {
        queue,
        registry: writer.registry().clone(),
        health: Arc::clone(&health),
    };
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || {
            Loop {
                writer,
                clock,
                health,
                look_at: Instant::now(),
                attentive: None,
            }
            .run(&commands)
        })
        .expect("a thread can be started at the start of the program");
    (handle, thread)
}

struct Loop {
    writer: Writer,
    clock: Clock,
    health: Arc<Mutex<Health>>,
    /// When to look for requests next.
    look_at: Instant,
    /// Until when to look often.
    attentive: Option<Instant>,
}

impl Loop {
    fn run(mut self, commands: &Receiver<Command>) {
        let mut due: Option<Instant> = None;
        loop {
            let next = due.map_or(self.look_at, |at| at.min(self.look_at));
            let wait = next.saturating_duration_since(Instant::now());
            match commands.recv_timeout(wait) {
                Ok(Command::Batch(batch)) => {
                    self.writer.apply(*batch);
                    due.get_or_insert_with(|| Instant::now() + COMMIT_INTERVAL);
                    let waits = self.writer.events_pending() >= COMMIT_BYTES;
                    if waits && self.writer.health().trouble.is_none() {
                        due = self.commit();
                    }
                }
                Ok(Command::Update(update)) => {
                    let now = (self.clock)();
                    update(&mut self.writer, now);
                    self.publish();
                    if self.writer.health().trouble.is_some() {
                        due.get_or_insert_with(|| Instant::now() + COMMIT_INTERVAL);
                    } else if self.writer.is_idle() {
                        due = None;
                    }
                }
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.look_at <= Instant::now() {
                self.requests();
            }
            if due.is_some_and(|at| at <= Instant::now()) {
                due = self.commit();
            }
        }
        self.commit();
        let refused = self.writer.refuse_pending();
        if refused > 0 {
            tracing::error!(
                "{refused} batches could not be stored before the end: what files and the journal hold of \
                 them is read again, the rest is lost"
            );
        }
    }

    fn requests(&mut self) {
        let now = (self.clock)();
        match self.writer.take_requests(now) {
            Ok(0) => {}
            Ok(_) => self.attentive = Some(Instant::now() + ATTENTIVE),
            Err(e) => tracing::warn!("requests of other processes wait: {e}"),
        }
        let present = Instant::now();
        let attentive = self.attentive.is_some_and(|until| present < until);
        self.look_at = present
            + if attentive {
                LOOK_SOON
            } else {
                COMMIT_INTERVAL
            };
    }

    /// Commits; the time of the next try if it failed.
    fn commit(&mut self) -> Option<Instant> {
        let done = self.writer.commit((self.clock)());
        // Why is in its health.
        self.publish();
        done.err().map(|_| Instant::now() + COMMIT_INTERVAL)
    }

    /// Lets everybody know how the writer is.
    fn publish(&self) {
        let health = self.writer.health();
        let mut known = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        say(known.trouble.as_ref(), health.trouble.as_ref());
        health.clone_into(&mut known);
    }
}

/// Says what has changed about commits that fail.
fn say(before: Option<&Trouble>, now: Option<&Trouble>) {
    match (before, now) {
        (Some(before), None) => tracing::info!(
            "the store takes data again, after {} commits failed; what waited is stored",
            before.failures
        ),
        (_, Some(now)) if before.map(|b| &b.why) != Some(&now.why) => {
            tracing::error!("nothing can be written to the store: {}", now.why);
        }
        _ => {}
    }
}
