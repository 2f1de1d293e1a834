//! The way from a source to the writer: the clock, the budget, the queue.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vigie_parsers::Timestamp;
use vigie_store::{Batch, Clock, Registry};

use crate::budget::{Budget, Patience, Permit};
use crate::counts::Counters;
use crate::status::Status;

/// What a sample and a report weigh in the budget, roughly.
const ROW_BYTES: usize = 32;

/// Everything a source needs of its surroundings. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outlet {
    /// Hands a batch to the writer (tests have their own).
    pub(crate) take: Take,
    pub(crate) counters: Counters,
    pub(crate) clock: Clock,
    pub(crate) status: Status,
    pub(crate) shutdown: CancellationToken,
    pub(crate) budget: Budget,
}

pub(crate) type Take = Arc<dyn Fn(Batch) -> Result<(), Ended> + Send + Sync>;

/// The writer is gone, or the daemon ends: nothing more can be handed over.
#[derive(Debug)]
pub(crate) struct Ended;

impl Outlet {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.counters.registry
    }

    /// Hands a batch over as soon as there is room for it. A shutdown does not interrupt this as
    /// long as the writer lives, so what was read is not thrown away at the end.
    pub(crate) async fn send(&self, patience: Patience, batch: Batch) -> Result<(), Ended> {
        let permit = self.budget.acquire(patience, size(&batch)).await;
        self.hand_over(permit, batch)
    }

    /// Hands a batch over if there is room for it at once.
    pub(crate) fn try_send(&self, patience: Patience, batch: Batch) -> Result<bool, Ended> {
        match self.budget.try_acquire(patience, size(&batch)) {
            Some(permit) => self.hand_over(permit, batch).map(|()| true),
            None => Ok(false),
        }
    }

    fn hand_over(&self, permit: Permit, mut batch: Batch) -> Result<(), Ended> {
        let inner = batch.done.take();
        batch.done = Some(Box::new(move |result| {
            drop(permit);
            if let Some(done) = inner {
                done(result);
            }
        }));
        (self.take)(batch)
    }
}

fn size(batch: &Batch) -> usize {
    let positions: usize = batch
        .positions
        .iter()
        .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len))
        .sum();
    let rows = batch.samples.rows.len() + batch.reports.len();
    batch.events.size() + positions + rows * ROW_BYTES
}
