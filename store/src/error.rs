//! What can go wrong with the store, and what an operator can do about it.

use std::path::{Path, PathBuf};

use crate::space;

/// The result of store operations.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process writes to this file.
    #[error(
        "{path}: another vigie (pid {pid}) writes to this store; stop it, or choose another --data directory"
    )]
    Locked {
        /// The store.
        path: PathBuf,
        /// The process, as it wrote it down.
        pid: String,
    },
    /// There is no store yet.
    #[error("{0}: no store here yet; `vigie run` makes one, --data names another directory")]
    Missing(PathBuf),
    /// The file is something else, or of a newer vigie.
    #[error("{path}: {reason}")]
    Foreign {
        /// The store.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// No space is left on the file system of the store.
    #[error(
        "no space left on the file system of {dir} ({free} free{quota}); free some space there, or let --data \
         name a directory elsewhere",
        free = in_words(*free_bytes),
        quota = if *free_bytes < TRANSACTION_BYTES { "" } else { ", but a quota may be used up" }
    )]
    NoSpace {
        /// The data directory.
        dir: PathBuf,
        /// What is left, as df tells it.
        free_bytes: u64,
    },
    /// The store is as large as it may be.
    #[error("no space left within the budget of the store (store.budget): raise it")]
    Full,
    /// The writer has ended; nothing more is taken.
    #[error("the store is closed")]
    Closed,
    /// The process that writes the store was asked and said nothing.
    #[error(
        "the daemon that writes this store does not answer; `vigie status` says how it is. Ask again \
         later: nothing is taken twice"
    )]
    Unanswered,
    /// A limit of the store itself was passed.
    #[error("{0}")]
    Limit(String),
    /// SQLite said no.
    #[error("store: {0}")]
    Sqlite(rusqlite::Error),
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// The same error, saying that the file system is full where that is why.
    pub(crate) fn in_dir(self, dir: &Path) -> Self {
        let free = space::free_bytes(dir);
        let full = match &self {
            // What a transaction had written when it failed may be free again already.
            Self::Full => free.is_some_and(|free| free < TRANSACTION_BYTES),
            Self::Sqlite(e) if is_refusal(e) => space::is_full(dir),
            Self::Io { source, .. } => space::is_why(source),
            _ => false,
        };
        match free.filter(|_| full) {
            Some(free_bytes) => Self::NoSpace {
                dir: dir.to_owned(),
                free_bytes,
            },
            None => self,
        }
    }
}

/// A transaction that the disk has no room for may be so large: twice what may wait in memory.
const TRANSACTION_BYTES: u64 = 40 << 20;

/// What SQLite says when the file system has no room for its own files: the index of the write-ahead log
/// cannot be made, and it does not say why.
fn is_refusal(e: &rusqlite::Error) -> bool {
    let code = e.sqlite_error_code();
    matches!(
        code,
        Some(rusqlite::ErrorCode::SystemIoFailure | rusqlite::ErrorCode::CannotOpen)
    )
}

fn in_words(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(e),
        }
    }
}

impl From<Error> for vigie_query::SourceError {
    fn from(e: Error) -> Self {
        Self::Store(e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A full file system and a quota that is used up look alike to whoever writes; what is free tells them apart.
    #[test]
    fn missing_space_is_named_whoever_refuses_it() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |e: rustix::io::Errno| Error::Io {
            path: dir.path().join("vigie.db"),
            source: io::Error::from(e),
        };
        for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let said = refusal(errno).in_dir(dir.path()).to_string();
            assert!(said.starts_with("no space left on"), "{said}");
        }
        let said = refusal(rustix::io::Errno::IO)
            .in_dir(dir.path())
            .to_string();
        assert!(said.contains("vigie.db"), "{said}");
        let say = |free_bytes| {
            let dir = dir.path().to_owned();
            Error::NoSpace { dir, free_bytes }.to_string()
        };
        assert!(say(1 << 40).contains("quota") && !say(4096).contains("quota"));
    }
}
