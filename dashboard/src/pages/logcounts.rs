//! How many log lines of which severity, over the cells of a chart.

use vigie_parsers::{Severity, Timestamp};
use vigie_query::log::{FieldName, Filter};
use vigie_query::{GroupBy, Scan, SourceError, Step};

use crate::chart::Grid;
use crate::range::Range;
use crate::source::{Bounds, Source};

/// Bars of a histogram.
const BARS: usize = 96;
/// Levels, and the lines that have none.
const GROUPS_MAX: usize = 16;

/// Lines by severity: errors and worse, warnings, notices, all others.
#[derive(Clone, Debug)]
pub(crate) struct LogCounts {
    pub(crate) grid: Grid,
    pub(crate) columns: [Vec<Option<f64>>; 4],
    pub(crate) totals: [u64; 4],
    /// Why they are not all, if they are not.
    pub(crate) incomplete: Option<String>,
}

impl LogCounts {
    /// Counts the lines of a range that pass a filter.
    pub(crate) fn read(
        source: &dyn Source,
        range: &Range,
        filter: &Filter,
        bounds: &Bounds,
    ) -> Result<Self, SourceError> {
        let grid = Grid::covering(range.from, range.to, BARS);
        let fields = [FieldName::new("level")];
        let by = GroupBy {
            fields: &fields,
            step: Some(Step {
                ms: grid.step_ms,
                origin: grid.begin(),
            }),
            max_groups: GROUPS_MAX,
        };
        let mut scan = Scan::new(range.from, range.to, filter);
        scan.deadline = Some(bounds.deadline);
        scan.cancel = Some(&bounds.cancel);
        let found = source.count_by(&scan, &by)?;
        let mut counts = Self {
            grid,
            columns: std::array::from_fn(|_| vec![Some(0.0); grid.len]),
            totals: [0; 4],
            incomplete: found.stats.incomplete,
        };
        for group in &found.groups {
            let level = group
                .key
                .first()
                .and_then(|k| Severity::from_word(k.as_deref()?));
            let row = row(level);
            counts.totals[row] += group.count;
            for (start, n) in &group.steps {
                // A step begins where the cell before it ends.
                let cell = grid.cell(start.plus_ms(1));
                if let Some(Some(sum)) = cell.and_then(|i| counts.columns[row].get_mut(i)) {
                    #[expect(clippy::cast_precision_loss, reason = "a count in a chart")]
                    let n = *n as f64;
                    *sum += n;
                }
            }
        }
        Ok(counts)
    }

    /// All lines.
    pub(crate) fn total(&self) -> u64 {
        self.totals.iter().sum()
    }
}

/// Lines of the last minute: all, and errors.
pub(crate) fn last_minute(
    source: &dyn Source,
    now: Timestamp,
    bounds: &Bounds,
) -> Result<(u64, u64), SourceError> {
    let range = Range::last("1m", now);
    let counts = LogCounts::read(source, &range, &Filter::All, bounds)?;
    Ok((counts.total(), counts.totals[0]))
}

fn row(level: Option<Severity>) -> usize {
    match level {
        Some(level) if level <= Severity::Err => 0,
        Some(Severity::Warn) => 1,
        Some(Severity::Notice) => 2,
        _ => 3,
    }
}
