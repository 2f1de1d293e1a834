//! What the store holds and occupies, for `vigie status` and pages.

use rusqlite::Connection;

use crate::{Result, state};

/// The budget, as the writer wrote it down: readers do not have its options.
pub(crate) const BUDGET_KEY: &str = "store.budget_bytes";

/// What the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of pages in use.
    pub used_bytes: u64,
    /// What the store may occupy.
    pub budget_bytes: u64,
    /// Living series.
    pub series: u64,
    /// New series refused since the store was made.
    pub series_refused: u64,
    /// The metric with the most refusals.
    pub series_worst: Option<String>,
    /// Events that can be read.
    pub events: u64,
}

/// What the pages of the file say; the parts add their own.
pub(crate) fn read(conn: &Connection) -> Result<Usage> {
    let pragma = |name: &str| -> Result<u64> {
        let n: i64 = conn.pragma_query_value(None, name, |r| r.get(0))?;
        Ok(u64::try_from(n).unwrap_or(0))
    };
    let used = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    let budget = state::setting(conn, BUDGET_KEY)?;
    Ok(Usage {
        used_bytes: used * pragma("page_size")?,
        budget_bytes: budget.and_then(|b| b.parse().ok()).unwrap_or(0),
        ..Usage::default()
    })
}
