//! What the store holds and occupies, for `vigie status` and pages.

use rusqlite::Connection;

use crate::series::{Population, Worst};
use crate::{Result, state};

/// The budget, as the writer wrote it down: readers do not have its options.
pub(crate) const BUDGET_KEY: &str = "store.budget_bytes";
/// What the writer says of figures: see [`tell`].
pub(crate) const FIGURES_KEY: &str = "store.figures";

/// What the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of pages in use.
    pub used_bytes: u64,
    /// Bytes of the write-ahead log beside it.
    pub wal_bytes: u64,
    /// What the store may occupy.
    pub budget_bytes: u64,
    /// What is left of its file system; `None` where that cannot be told.
    pub free_bytes: Option<u64>,
    /// Living series.
    pub series: u64,
    /// What the writer last said of figures.
    pub figures: FigureUsage,
    /// Events that can be read.
    pub events: u64,
}

/// What figures occupy, and what became of series that were new, since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FigureUsage {
    /// Bytes that they occupy.
    pub used_bytes: u64,
    /// Bytes that they are expected to occupy once all archives are full.
    pub reserved_bytes: u64,
    /// What they may occupy.
    pub budget_bytes: u64,
    /// New series refused.
    pub refused: u64,
    /// Those beyond what one source may have.
    pub refused_of_source: u64,
    /// Who brought most of the refused ones.
    pub worst: Option<Worst>,
    /// Series that keep old archives because those that the rules want would not fit.
    pub unmoved: u64,
    /// Pages that kept fewer digits because of the budget.
    pub shortened: u64,
    /// Pages that were not kept because of the budget.
    pub lost: u64,
}

/// The text under [`FIGURES_KEY`]: numbers, and after a tab each a source and a metric.
pub(crate) fn tell(p: &Population) -> String {
    let numbers = [
        p.used_bytes,
        p.reserved_bytes,
        p.budget_bytes,
        p.refused,
        p.refused_of_source,
        p.unmoved,
        p.shortened,
        p.lost,
        p.worst.as_ref().map_or(0, |w| w.refused),
    ];
    let mut text = numbers.map(|n| n.to_string()).join(" ");
    if let Some(worst) = &p.worst {
        let source = worst.source.replace('\t', " ");
        text.push_str(&format!("\t{source}\t{}", worst.metric));
    }
    text
}

/// Reads it again; nothing where it makes no sense.
fn heard(text: &str) -> FigureUsage {
    let mut parts = text.splitn(3, '\t');
    let numbers = parts.next().unwrap_or_default();
    let mut numbers = numbers.split(' ').map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let mut figures = FigureUsage {
        used_bytes: next(),
        reserved_bytes: next(),
        budget_bytes: next(),
        refused: next(),
        refused_of_source: next(),
        unmoved: next(),
        shortened: next(),
        lost: next(),
        worst: None,
    };
    let refused = next();
    figures.worst = parts
        .next()
        .zip(parts.next())
        .map(|(source, metric)| Worst {
            source: source.to_owned(),
            metric: metric.to_owned(),
            refused,
        });
    figures
}

/// What the pages of the file say; the parts add their own.
pub(crate) fn read(conn: &Connection) -> Result<Usage> {
    let pragma = |name: &str| -> Result<u64> {
        let n: i64 = conn.pragma_query_value(None, name, |r| r.get(0))?;
        Ok(u64::try_from(n).unwrap_or(0))
    };
    let used = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    let budget = state::setting(conn, BUDGET_KEY)?;
    let figures = state::setting(conn, FIGURES_KEY)?.unwrap_or_default();
    let series: i64 = conn.query_row("SELECT count(*) FROM ts_series", [], |r| r.get(0))?;
    Ok(Usage {
        series: u64::try_from(series).unwrap_or(0),
        figures: heard(&figures),
        used_bytes: used * pragma("page_size")?,
        budget_bytes: budget.and_then(|b| b.parse().ok()).unwrap_or(0),
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_writer_tells_is_heard() {
        let worst = |source: &str| Worst {
            source: source.to_owned(),
            metric: "a\tb\n".to_owned(),
            refused: 9,
        };
        let told = Population {
            used_bytes: 1,
            reserved_bytes: 2,
            budget_bytes: 3,
            refused: 4,
            refused_of_source: 5,
            unmoved: 6,
            shortened: 7,
            lost: 8,
            worst: Some(worst("x\ty")),
            ..Population::default()
        };
        let heard_of = heard(&tell(&told));
        let bytes = [
            heard_of.used_bytes,
            heard_of.reserved_bytes,
            heard_of.budget_bytes,
        ];
        let counts = [
            heard_of.refused,
            heard_of.refused_of_source,
            heard_of.unmoved,
        ];
        assert_eq!((bytes, counts), ([1, 2, 3], [4, 5, 6]));
        assert_eq!((heard_of.shortened, heard_of.lost), (7, 8));
        assert_eq!(heard_of.worst, Some(worst("x y")));
        assert_eq!(heard(&tell(&Population::default())), FigureUsage::default());
        assert_eq!(heard(""), FigureUsage::default());
        assert_eq!(heard("no\tsense").worst, None);
    }
}
