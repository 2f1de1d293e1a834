//! What can go wrong with the store, and what an operator can do about it.

use std::path::PathBuf;

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
    /// No space is left on the device.
    #[error(
        "no space left for the store; what was received waits. Free some space or lower the budget"
    )]
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
