//! What the store holds and occupies, for `vigie status` and pages.

use rusqlite::Connection;

use crate::{Result, state};

/// The budget, as the writer wrote it down: readers do not have its options.
pub(crate) const BUDGET_KEY: &str = "store.budget_bytes";
/// How many new series were refused since the writer started, and of which metric most.
pub(crate) const REFUSED_KEY: &str = "store.series_refused";

/// What the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of pages in use.
    pub used_bytes: u64,
    /// What the store may occupy.
    pub budget_bytes: u64,
    /// Living series.
    pub series: u64,
    /// New series refused since the daemon started.
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
    let refused = state::setting(conn, REFUSED_KEY)?.unwrap_or_default();
    let (refused, worst) = refused.split_once(' ').unwrap_or((&refused, ""));
    let series: i64 = conn.query_row("SELECT count(*) FROM ts_series", [], |r| r.get(0))?;
    Ok(Usage {
        series: u64::try_from(series).unwrap_or(0),
        series_refused: refused.parse().unwrap_or(0),
        series_worst: (!worst.is_empty()).then(|| worst.to_owned()),
        used_bytes: used * pragma("page_size")?,
        budget_bytes: budget.and_then(|b| b.parse().ok()).unwrap_or(0),
        ..Usage::default()
    })
}
