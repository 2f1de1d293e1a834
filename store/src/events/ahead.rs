//! Reading ahead: a query that opens many blocks of a file that is not in memory has all of it brought
//! there at once.
//!
//! SQLite asks for a page at a time, and the pages of a block lie wherever rows of the journal left
//! room: on a cold file nearly every page is a wait of its own. The kernel, told of the whole file,
//! reads it in order, in large pieces and while the query works.

use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;

use rusqlite::Connection;
use rustix::io::ReadWriteFlags;

/// Blocks that a query opens before it is one that reads much: a page of the newest lines needs two.
pub(super) const BLOCKS_MIN: usize = 3;
/// Of larger files only a part may be wanted, and they would push out what others keep in memory.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// Places of the file that are looked at…
const SAMPLES: u64 = 16;
/// … and so many of them not in memory make it a cold one.
const COLD: usize = 3;

/// Has the kernel read the file behind a connection, if it is not in memory. What cannot be found out
/// or done is left: the query reads what it needs itself.
pub(super) fn ask(conn: &Connection) {
    let Some(file) = conn.path().and_then(|path| File::open(path).ok()) else {
        return;
    };
    let len = file.metadata().map_or(0, |m| m.len());
    if (1..=FILE_BYTES_MAX).contains(&len) && is_cold(&file, len) {
        let _ = rustix::fs::fadvise(&file, 0, None::<NonZeroU64>, rustix::fs::Advice::WillNeed);
    }
}

/// Whether places all over the file are not in memory: what would have to wait is refused.
fn is_cold(file: &File, len: u64) -> bool {
    let absent = |at: &u64| {
        let mut byte = [0];
        let to = &mut [IoSliceMut::new(&mut byte)];
        rustix::io::preadv2(file, to, len / SAMPLES * at, ReadWriteFlags::NOWAIT).is_err()
    };
    (0..SAMPLES).filter(absent).take(COLD).count() == COLD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_just_written_is_not_cold() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 1 << 20]).expect("a file");
        let file = File::open(&path).expect("a file");
        assert!(!is_cold(&file, 1 << 20));
    }

    #[test]
    fn a_database_without_a_file_is_left_alone() {
        ask(&Connection::open_in_memory().expect("a database"));
    }
}
