//! What is left of the file system of a store.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is left of the file system of a directory, or of the one that it will be made in, as df tells it.
#[must_use]
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    let found = rustix::fs::statvfs(existing).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether nothing can be written to a directory for want of space. It is tried: file systems keep some
/// back, each in its own way, and count it as free.
pub(crate) fn is_full(dir: &Path) -> bool {
    /// As much as the index of the write-ahead log.
    const TRY_BYTES: usize = 32 << 10;
    let path = dir.join("vigie.try");
    let tried = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|file| {
            file.write_all_at(&[0; TRY_BYTES], 0)?;
            file.sync_all()
        });
    // It may not have come into being.
    let _ = std::fs::remove_file(&path);
    tried.is_err_and(|e| is_why(&e))
}

/// Whether space is what was missing, of the file system or of a quota on it.
pub(crate) fn is_why(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
