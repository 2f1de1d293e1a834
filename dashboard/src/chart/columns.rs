//! Samples to columns: values at even distances, rates of counters, unknown where nothing is known.

use vigie_parsers::Timestamp;
use vigie_query::Sample;

/// Even cells of time. Cell `i` covers the time after `start + (i-1)·step` up to `start + i·step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The end of the first cell.
    pub start: Timestamp,
    /// The length of a cell in milliseconds.
    pub step_ms: i64,
    /// How many cells.
    pub len: usize,
}

/// Round cell lengths, in milliseconds.
const STEPS: &[i64] = &[
    1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000,
];
/// A cell is known when so much of it is: the newest cell is judged by what has passed of it.
const KNOWN_SHARE: f64 = 0.34;
/// A reading holds for so many distances between readings; then the series is silent.
const HOLD_READINGS: i64 = 3;

impl Grid {
    /// At most about `want` cells over a range, on round borders.
    #[must_use]
    pub fn covering(from: Timestamp, to: Timestamp, want: usize) -> Self {
        let span = to.since_ms(from).max(1000);
        let want = i64::try_from(want.max(1)).unwrap_or(i64::MAX);
        let step = STEPS
            .iter()
            .copied()
            .find(|s| span / s <= want)
            .unwrap_or_else(|| {
                (span / want)
                    .div_euclid(86_400_000)
                    .saturating_add(1)
                    .saturating_mul(86_400_000)
            });
        Self::with_step(from, to, step)
    }

    /// Cells of a given length over a range.
    #[must_use]
    pub fn with_step(from: Timestamp, to: Timestamp, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let first = from
            .0
            .div_euclid(step_ms)
            .saturating_add(1)
            .saturating_mul(step_ms);
        let cells =
            to.0.saturating_sub(first)
                .div_euclid(step_ms)
                .saturating_add(1);
        Self {
            start: Timestamp(first),
            step_ms,
            len: usize::try_from(cells).unwrap_or(0),
        }
    }

    /// The end of cell `i`.
    #[must_use]
    pub fn at(&self, i: usize) -> Timestamp {
        let steps = i64::try_from(i).unwrap_or(i64::MAX);
        self.start.plus_ms(steps.saturating_mul(self.step_ms))
    }

    /// The beginning of the first cell.
    #[must_use]
    pub fn begin(&self) -> Timestamp {
        self.start.plus_ms(-self.step_ms)
    }

    /// The end of the last cell.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.at(self.len).plus_ms(-self.step_ms)
    }

    /// The cell that a time lies in.
    #[must_use]
    pub fn cell(&self, at: Timestamp) -> Option<usize> {
        let after = at.since_ms(self.begin());
        (after > 0)
            .then(|| usize::try_from((after - 1) / self.step_ms).ok())
            .flatten()
            .filter(|i| *i < self.len)
    }

    /// Averages of a gauge in each cell.
    #[must_use]
    pub fn gauge(&self, samples: &[Sample]) -> Vec<Option<f64>> {
        let hold = hold_ms(samples);
        let mut sums = vec![(0.0, 0u32); self.len];
        for sample in samples {
            if let Some((sum, n)) = self.cell(sample.time).and_then(|i| sums.get_mut(i)) {
                *sum += sample.value;
                *n += 1;
            }
        }
        let mut before = samples.iter().peekable();
        let mut last: Option<&Sample> = None;
        let mut out = Vec::with_capacity(self.len);
        for (i, (sum, n)) in sums.into_iter().enumerate() {
            let end = self.at(i);
            while let Some(sample) = before.next_if(|s| s.time <= end) {
                last = Some(sample);
            }
            out.push(match n {
                0 => last
                    .filter(|s| end.since_ms(s.time) < hold && s.value.is_finite())
                    .map(|s| s.value),
                _ => Some(sum / f64::from(n)).filter(|v| v.is_finite()),
            });
        }
        out
    }

    /// Increases per second of a counter in each cell.
    #[must_use]
    pub fn rate(&self, samples: &[Sample]) -> Vec<Option<f64>> {
        let hold = hold_ms(samples);
        let mut cells = vec![(0.0, 0i64); self.len];
        for pair in samples.windows(2) {
            let [a, b] = pair else { continue };
            let ms = b.time.since_ms(a.time);
            if ms <= 0 || ms > hold || b.value < a.value {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53 ms")]
            let per_ms = (b.value - a.value) / ms as f64;
            self.spread(a.time, b.time, |cell, covered| {
                if let Some((sum, known)) = cells.get_mut(cell) {
                    #[expect(clippy::cast_precision_loss, reason = "at most one cell")]
                    let add = per_ms * covered as f64;
                    *sum += add;
                    *known += covered;
                }
            });
        }
        let newest = samples.last().map_or(Timestamp::MIN, |s| s.time);
        let known = |i: usize, known: i64| {
            let passed = newest
                .since_ms(self.at(i).plus_ms(-self.step_ms))
                .min(self.step_ms);
            #[expect(clippy::cast_precision_loss, reason = "at most one cell")]
            let share = known as f64 / passed.max(1) as f64;
            known > 0 && share >= KNOWN_SHARE
        };
        cells
            .into_iter()
            .enumerate()
            .map(|(i, (sum, ms))| {
                #[expect(clippy::cast_precision_loss, reason = "at most one cell")]
                let rate = sum * 1000.0 / ms.max(1) as f64;
                known(i, ms).then_some(rate).filter(|v| v.is_finite())
            })
            .collect()
    }

    /// Calls `each` with every cell that a span of time touches and the milliseconds in it.
    fn spread(&self, from: Timestamp, to: Timestamp, mut each: impl FnMut(usize, i64)) {
        let from = from.max(self.begin());
        let to = to.min(self.end());
        let mut at = from;
        while at < to {
            let Some(cell) = self.cell(at.plus_ms(1)) else {
                return;
            };
            let end = self.at(cell).min(to);
            each(cell, end.since_ms(at));
            at = end;
        }
    }
}

/// How long a reading of this series stands for the time after it.
fn hold_ms(samples: &[Sample]) -> i64 {
    let mut gaps: Vec<i64> = samples
        .windows(2)
        .filter_map(|w| match w {
            [a, b] => Some(b.time.since_ms(a.time)),
            _ => None,
        })
        .collect();
    let middle = gaps.len() / 2;
    let usual = match gaps.is_empty() {
        true => 60_000,
        false => *gaps.select_nth_unstable(middle).1,
    };
    usual.saturating_mul(HOLD_READINGS).max(5_000)
}

/// Adds columns cell by cell; a cell is unknown where all of them are.
#[must_use]
pub fn sum(columns: &[Vec<Option<f64>>]) -> Vec<Option<f64>> {
    let len = columns.iter().map(Vec::len).max().unwrap_or(0);
    (0..len)
        .map(|i| {
            let mut known = columns
                .iter()
                .filter_map(|c| c.get(i).copied().flatten())
                .peekable();
            known.peek().is_some().then(|| known.sum())
        })
        .collect()
}

/// Combines two columns where both are known.
#[must_use]
pub fn zip(
    a: &[Option<f64>],
    b: &[Option<f64>],
    with: impl Fn(f64, f64) -> f64,
) -> Vec<Option<f64>> {
    let both = a.iter().zip(b);
    both.map(|(a, b)| Some(with((*a)?, (*b)?)).filter(|v| v.is_finite()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[(i64, f64)]) -> Vec<Sample> {
        let sample = |&(s, value): &(i64, f64)| Sample {
            time: Timestamp(s * 1000),
            value,
        };
        values.iter().map(sample).collect()
    }

    fn grid(step_s: i64, len: usize) -> Grid {
        Grid {
            start: Timestamp(step_s * 1000),
            step_ms: step_s * 1000,
            len,
        }
    }

    #[test]
    fn cells_cover_the_range() {
        let grid = Grid::covering(Timestamp(0), Timestamp(3_600_000), 300);
        assert_eq!((grid.step_ms, grid.len), (15_000, 240));
        assert_eq!(grid.at(0), Timestamp(15_000));
        assert_eq!(grid.end(), Timestamp(3_600_000));
        assert_eq!(grid.cell(Timestamp(0)), None);
        assert_eq!(grid.cell(Timestamp(15_000)), Some(0));
        assert_eq!(grid.cell(Timestamp(3_600_000)), Some(239));
        assert_eq!(grid.cell(Timestamp(3_600_001)), None);
    }

    #[test]
    fn gauges_are_averaged_held_and_forgotten() {
        let found = grid(10, 5).gauge(&samples(&[(5, 1.0), (10, 3.0), (15, 5.0)]));
        assert_eq!(found, [Some(2.0), Some(5.0), None, None, None]);
        // Readings less frequent than cells hold until the next is due.
        let found = grid(10, 8).gauge(&samples(&[(10, 1.0), (30, 2.0)]));
        assert_eq!(found[..3], [Some(1.0), Some(1.0), Some(2.0)]);
        assert_eq!(found[7], Some(2.0));
    }

    #[test]
    fn rates_keep_what_was_counted() {
        let found = grid(10, 3).rate(&samples(&[(0, 0.0), (15, 30.0), (30, 30.0)]));
        assert_eq!(found, [Some(2.0), Some(1.0), Some(0.0)]);
        let gap = samples(&[(0, 0.0), (1, 1.0), (2, 2.0), (40, 40.0), (41, 41.0)]);
        let found = grid(10, 5).rate(&gap);
        assert_eq!(found[1..4], [None, None, None]);
    }

    #[test]
    fn sums_know_what_any_knows() {
        let columns = [
            vec![Some(1.0), None, None],
            vec![Some(2.0), Some(3.0), None],
        ];
        assert_eq!(sum(&columns), [Some(3.0), Some(3.0), None]);
    }
}
