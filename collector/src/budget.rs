//! What may wait for the writer, in bytes. Whoever can wait waits; the rest is counted by the kernel.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of batches that sources able to wait may have on their way.
const PATIENT_BYTES: usize = 5 << 20;
/// The same for those that lose what they cannot hand over: never behind a long file.
const URGENT_BYTES: usize = 8 << 20;
/// A batch counts at least this much, so that the number of batches is bounded too: together below
/// the length of the writer's queue (1024), whose `send` therefore never blocks a worker.
const BATCH_BYTES_MIN: usize = 32 << 10;

/// How a source behaves when the writer is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Reads on later: files, connections.
    Waits,
    /// What it does not take in time is lost: datagrams, figures.
    Urgent,
}

/// The permits. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    patient: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
}

/// Held for a batch until it is durable.
#[derive(Debug)]
pub(crate) struct Permit {
    _bytes: OwnedSemaphorePermit,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            patient: Arc::new(Semaphore::new(PATIENT_BYTES)),
            urgent: Arc::new(Semaphore::new(URGENT_BYTES)),
        }
    }
}

impl Budget {
    /// Waits for leave to send so many bytes; one batch never asks for more than there is.
    pub(crate) async fn acquire(&self, patience: Patience, bytes: usize) -> Permit {
        let (pool, most) = self.pool(patience);
        let permit = Arc::clone(pool).acquire_many_owned(count(bytes, most));
        let bytes = permit.await.expect("the semaphore is never closed");
        Permit { _bytes: bytes }
    }

    /// Leave to send so many bytes if there is room.
    pub(crate) fn try_acquire(&self, patience: Patience, bytes: usize) -> Option<Permit> {
        let (pool, most) = self.pool(patience);
        let permit = Arc::clone(pool).try_acquire_many_owned(count(bytes, most));
        permit.ok().map(|bytes| Permit { _bytes: bytes })
    }

    fn pool(&self, patience: Patience) -> (&Arc<Semaphore>, usize) {
        match patience {
            Patience::Waits => (&self.patient, PATIENT_BYTES),
            Patience::Urgent => (&self.urgent, URGENT_BYTES),
        }
    }
}

fn count(bytes: usize, most: usize) -> u32 {
    u32::try_from(bytes.clamp(BATCH_BYTES_MIN, most)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_batches_is_bounded_below_the_writers_queue() {
        const { assert!((PATIENT_BYTES + URGENT_BYTES) / BATCH_BYTES_MIN < 1024) };
    }

    #[tokio::test]
    async fn urgent_ones_have_room_of_their_own() {
        let budget = Budget::default();
        let all = budget.acquire(Patience::Waits, usize::MAX).await;
        assert!(budget.try_acquire(Patience::Waits, 1).is_none());
        assert!(budget.try_acquire(Patience::Urgent, 1).is_some());
        drop(all);
        assert!(budget.try_acquire(Patience::Waits, 1).is_some());
    }
}
