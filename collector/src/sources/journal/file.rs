//! Journal files on disk, and where they lie.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use vigie_parsers::journal::{Error, Journal, ReadAt};

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// An open journal file.
#[derive(Debug)]
pub struct JournalFile(File);

impl ReadAt for JournalFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }
}

impl JournalFile {
    /// Opens a journal: a regular file, never a FIFO or a device in its place.
    ///
    /// # Errors
    /// When it cannot be read, or is no journal.
    pub fn open(path: &Path) -> Result<Journal<Self>, Error> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(Error::NoJournal);
        }
        Journal::open(Self(file))
    }
}

/// Device and inode of a path.
pub(super) fn inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// What a look at a folder brought.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files with the name of a journal.
    pub(super) files: Vec<PathBuf>,
    /// Subfolders.
    pub(super) folders: Vec<PathBuf>,
}

/// The journals and folders in a folder, sorted by name.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(folder)?.take(ENTRIES_MAX).flatten() {
        let path = entry.path();
        if is_journal(&path) {
            listing.files.push(path);
        } else if entry.file_type().is_ok_and(|t| t.is_dir()) {
            listing.folders.push(path);
        }
    }
    listing.files.sort();
    listing.folders.sort();
    Ok(listing)
}

/// `….journal`, or `….journal~` when its writer died.
pub(super) fn is_journal(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e == "journal" || e == "journal~")
}

/// Nobody goes on writing a file that was put aside.
pub(super) fn is_put_aside(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "journal~")
}

/// Whose entries a file has, within its folder: those of the machine, together with its users', or of
/// one of the machines that send theirs here (`remote-web1@….journal`).
pub(super) fn family(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split(['@', '.']).next().unwrap_or_default();
    if name == "system" || name.starts_with("user-") {
        return String::new();
    }
    // A host's name has dots of its own.
    let path = path.file_name().unwrap_or_default().to_string_lossy();
    let end = path.rfind('@').or_else(|| path.rfind(".journal"));
    path.get(..end.unwrap_or(path.len()))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        for (name, family_name) in [
            ("system.journal", ""),
            ("system@0011-00-00.journal", ""),
            ("user-1000@0011-00-00.journal", ""),
            ("system@0011-00.journal~", ""),
            ("remote-web1.example.org.journal", "remote-web1.example.org"),
            (
                "remote-web1.example.org@0011-00-00.journal",
                "remote-web1.example.org",
            ),
            ("remote-10.0.0.7:19532.journal", "remote-10.0.0.7:19532"),
        ] {
            assert_eq!(family(Path::new(name)), family_name, "{name}");
            assert!(is_journal(Path::new(name)));
        }
    }
}
