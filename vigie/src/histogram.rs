//! When the lines of an answer happened, as one line of bars above them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use vigie_parsers::{Severity, Timestamp};

use crate::output::Color;
use crate::times;

/// Cells that are kept; beyond, two become one.
const CELLS_MAX: usize = 8192;
/// The finest cell.
const STEP_MS: i64 = 1000;
/// Bars at most: more do not tell more.
const BARS_MAX: usize = 72;
/// Bars at least, on however narrow a terminal.
const BARS_MIN: usize = 8;
/// The heights of a bar.
const HEIGHTS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// The same where the terminal shows no more than ASCII.
const PLAIN_HEIGHTS: [&str; 8] = [".", ".", ":", ":", "+", "+", "#", "#"];

/// How bad lines are, as far as a bar tells: error and worse, warning, the rest.
type Counts = [u64; 3];

/// Counts of lines by time and severity, in bounded memory.
pub(crate) struct Histogram {
    step_ms: i64,
    cells: BTreeMap<i64, Counts>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            step_ms: STEP_MS,
            cells: BTreeMap::new(),
        }
    }
}

/// How to draw.
pub(crate) struct Look<'a> {
    pub(crate) color: Color,
    pub(crate) zone: &'a TimeZone,
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// More than ASCII can be shown.
    pub(crate) unicode: bool,
}

impl Histogram {
    /// Counts `n` lines.
    pub(crate) fn add(&mut self, time: Timestamp, severity: Option<Severity>, n: u64) {
        let class = match severity {
            Some(s) if s <= Severity::Err => 0,
            Some(Severity::Warn) => 1,
            _ => 2,
        };
        let cell = time.0.div_euclid(self.step_ms);
        self.cells.entry(cell).or_default()[class] += n;
        if self.cells.len() > CELLS_MAX {
            self.coarsen(2);
        }
    }

    /// Puts `by` cells into one.
    fn coarsen(&mut self, by: i64) {
        self.step_ms = self.step_ms.saturating_mul(by);
        let mut cells: BTreeMap<i64, Counts> = BTreeMap::new();
        for (cell, counts) in std::mem::take(&mut self.cells) {
            add(cells.entry(cell.div_euclid(by)).or_default(), counts);
        }
        self.cells = cells;
    }

    /// One line: first time, bars, last time, and how many there are. `None` where there is nothing
    /// to compare.
    pub(crate) fn line(mut self, look: &Look<'_>) -> Option<String> {
        let total = self.cells.values().fold([0; 3], |mut all, counts| {
            add(&mut all, *counts);
            all
        });
        let words = words(total);
        let ends = |cells: &BTreeMap<i64, Counts>| {
            let first = *cells.first_key_value()?.0;
            Some((first, cells.last_key_value()?.0 - first + 1))
        };
        let (first, cells) = ends(&self.cells)?;
        let span_ms = cells.saturating_mul(self.step_ms);
        let label = |cell: i64, step_ms: i64| {
            stamp(Timestamp(cell.saturating_mul(step_ms)), span_ms, look.zone)
        };
        let (from, to) = (
            label(first, self.step_ms),
            label(first + cells, self.step_ms),
        );
        let room = look
            .width
            .saturating_sub(from.len() + to.len() + words.len() + 5);
        let bars = i64::try_from(room.clamp(BARS_MIN, BARS_MAX)).unwrap_or(1);
        self.coarsen(cells.div_euclid(bars) + i64::from(cells % bars > 0));
        let (first, cells) = ends(&self.cells)?;
        let highest = self.cells.values().map(|c| c.iter().sum()).max()?;
        let mut line = format!("{from} ");
        for cell in first..first + cells {
            match self.cells.get(&cell) {
                Some(counts) => line.push_str(&bar(*counts, highest, look)),
                None => line.push(' '),
            }
        }
        let _ = write!(line, " {to}  {words}");
        Some(line)
    }
}

fn add(to: &mut Counts, more: Counts) {
    for (sum, n) in to.iter_mut().zip(more) {
        *sum += n;
    }
}

/// A bar in the colour of the worst in it.
fn bar(counts: Counts, highest: u64, look: &Look<'_>) -> String {
    let heights = if look.unicode { HEIGHTS } else { PLAIN_HEIGHTS };
    let n: u64 = counts.iter().sum();
    let scaled = u128::from(n) * 8 / u128::from(highest.max(1));
    let height = usize::try_from(scaled).unwrap_or(8).clamp(1, 8);
    let worst = match counts {
        [0, 0, _] => None,
        [0, ..] => Some(Severity::Warn),
        _ => Some(Severity::Err),
    };
    look.color.severity(worst, heights[height - 1])
}

fn words([err, warn, rest]: Counts) -> String {
    let mut words = format!("{} lines", grouped(err + warn + rest));
    for (n, word) in [(err, "err"), (warn, "warn")] {
        if n > 0 {
            let _ = write!(words, ", {} {word}", grouped(n));
        }
    }
    words
}

/// A number with commas: `1,234`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time as exact as the span needs it.
fn stamp(time: Timestamp, span_ms: i64, zone: &TimeZone) -> String {
    let text = times::show(time, zone);
    let part = match span_ms {
        ..120_000 => text.get(11..19),
        120_000..86_400_000 => text.get(11..16),
        86_400_000..31_536_000_000 => text.get(5..16),
        _ => text.get(..10),
    };
    part.unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(counts: &[(i64, Severity, u64)], width: usize, color: Color) -> Option<String> {
        let mut histogram = Histogram::default();
        for &(s, severity, n) in counts {
            histogram.add(Timestamp(s * 1000), Some(severity), n);
        }
        histogram.line(&Look {
            color,
            zone: &TimeZone::UTC,
            width,
            unicode: true,
        })
    }

    #[test]
    fn one_line_tells_when_and_how_bad() {
        use Severity::{Crit, Info, Warn};
        assert_eq!(drawn(&[], 80, Color::Never), None);
        let counts = [(0, Info, 8), (1, Info, 4), (3, Warn, 1), (3, Crit, 1)];
        assert_eq!(
            drawn(&counts, 80, Color::Never).unwrap(),
            "00:00:00 █▄ ▂ 00:00:04  14 lines, 1 err, 1 warn"
        );
        let colored = drawn(&counts, 80, Color::Always).unwrap();
        assert!(colored.contains("█▄ \x1b[31m▂\x1b[0m"), "{colored:?}");
    }

    #[test]
    fn any_span_fits_any_width() {
        let years: Vec<_> = (0..5000).map(|d| (d * 86_400, Severity::Info, 1)).collect();
        for width in [0, 40, 80, 200] {
            let line = drawn(&years, width, Color::Never).unwrap();
            let most = width.max(BARS_MIN + 40);
            assert!(line.chars().count() <= most, "{width}: {line}");
            assert!(line.starts_with("1970-01-01 "), "{line}");
            assert!(line.ends_with("  5,000 lines"), "{line}");
        }
        let far = [
            (i64::MIN / 1000, Severity::Info, 1),
            (i64::MAX / 1000, Severity::Info, 1),
        ];
        assert!(drawn(&far, 80, Color::Never).is_some());
    }
}
