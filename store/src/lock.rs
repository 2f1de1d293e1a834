//! The lock that says who writes the store, and how that goes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use vigie_parsers::Timestamp;

use crate::{Error, Result, Trouble};

/// Whoever asks whether a store is written holds its lock for a moment: so often, and after so long,
/// is it asked for again.
const LOCK_TRIES: usize = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// The file of the lock has this size from the beginning, so that it can be written when the disk is full.
const CARD_BYTES: usize = 1024;

/// The lock that says who writes, and when commits fail: held as long as the value lives, gone with the
/// process.
///
/// The file is a card of [`CARD_BYTES`], overwritten in place: on its first line the process, and while
/// nothing can be written to the store, on the next ones since when, how many commits have failed, and why.
#[derive(Debug)]
pub(crate) struct WriteLock(File);

impl WriteLock {
    /// Takes the lock beside the store, or says who has it.
    pub(crate) fn take(store: &Path) -> Result<Self> {
        let path = store.with_extension("lock");
        let io = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        if !lock(&file, FlockOperation::NonBlockingLockExclusive) {
            let card = read_card(&file);
            return Err(Error::Locked {
                path: store.to_owned(),
                pid: card.lines().next().unwrap_or_default().trim().to_owned(),
            });
        }
        let lock = Self(file);
        lock.tell(None);
        Ok(lock)
    }

    /// Writes down whether the store can be written. What cannot be written down either is seen by the
    /// space that is free.
    pub(crate) fn tell(&self, trouble: Option<&Trouble>) {
        let _ = self.0.write_all_at(&card(trouble), 0);
    }
}

fn card(trouble: Option<&Trouble>) -> Vec<u8> {
    let mut text = format!("{}\n", std::process::id());
    if let Some(Trouble {
        since,
        failures,
        why,
    }) = trouble
    {
        let why = why.replace('\n', " ");
        text.push_str(&format!("{}\n{failures}\n{why}", since.0));
    }
    let mut card = text.into_bytes();
    card.resize(CARD_BYTES - 1, b' ');
    card.push(b'\n');
    card
}

fn read_card(file: &File) -> String {
    let mut card = vec![0; CARD_BYTES];
    let read = file.read_at(&mut card, 0).unwrap_or(0);
    card.truncate(read);
    String::from_utf8_lossy(&card).into_owned()
}

/// Why the process that writes a store cannot; `None` when it can, or there is none.
pub(crate) fn trouble(store: &Path) -> Option<Trouble> {
    let file = File::open(store.with_extension("lock")).ok()?;
    if lock(&file, FlockOperation::NonBlockingLockShared) {
        return None;
    }
    let card = read_card(&file);
    let mut lines = card.lines().skip(1);
    let mut next = || lines.next().map(str::trim);
    Some(Trouble {
        since: Timestamp(next()?.parse().ok()?),
        failures: next()?.parse().ok()?,
        why: next()?.to_owned(),
    })
}

/// Whether a process holds the lock of a store.
pub(crate) fn is_written(store: &Path) -> bool {
    // Locked by several at once without harm, and free again when the file is closed.
    let look = FlockOperation::NonBlockingLockShared;
    File::open(store.with_extension("lock")).is_ok_and(|file| !lock(&file, look))
}

/// Takes a lock, also from under those who only look at it.
fn lock(file: &File, operation: FlockOperation) -> bool {
    (0..LOCK_TRIES).any(|n| {
        if n > 0 {
            std::thread::sleep(LOCK_PAUSE);
        }
        rustix::fs::flock(file, operation).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_tells_of_trouble_as_long_as_it_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("vigie.db");
        let held = WriteLock::take(&store).unwrap();
        assert!(is_written(&store) && trouble(&store).is_none());
        let told = Trouble {
            since: Timestamp(1_700_000_000_000),
            failures: 3,
            why: "full\nof é".repeat(200),
        };
        held.tell(Some(&told));
        let heard = trouble(&store).unwrap();
        assert_eq!((heard.since, heard.failures), (told.since, 3));
        assert!(heard.why.starts_with("full of é"), "{}", heard.why);
        let refused = WriteLock::take(&store).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("pid {}", std::process::id())),
            "{refused}"
        );
        held.tell(None);
        assert_eq!(trouble(&store), None);
        // As a killed process leaves it.
        held.tell(Some(&told));
        drop(held);
        assert!(!is_written(&store) && trouble(&store).is_none());
        let _held = WriteLock::take(&store).unwrap();
        assert_eq!(trouble(&store), None);
        assert_eq!(
            std::fs::metadata(store.with_extension("lock"))
                .unwrap()
                .len(),
            1024
        );
    }
}
