//! What can go wrong in the analyzer.

use vigie_store::incidents::IncidentId;

/// The result of the analyzer's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no incident of that number.
    #[error("there is no incident {0}; `vigie incidents --all` lists those that are kept")]
    NoIncident(IncidentId),
    /// The action makes no sense there; the text says why.
    #[error("{0}")]
    Refused(String),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] vigie_store::Error),
    /// The store's figures could not be read.
    #[error(transparent)]
    Source(#[from] vigie_query::SourceError),
}
