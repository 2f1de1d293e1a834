//! Percentiles in little memory: exact for few values, within half a per cent for many.

use std::collections::BTreeMap;

use super::Budget;

/// Values that are kept as they are.
const EXACT: usize = 512;
/// The ratio of neighbouring bins: half a per cent to either side of a bin's middle.
const RATIO: f64 = 1.01;
/// Added to the index of a bin, so that those of positive numbers are positive: the least positive
/// number lies near bin -75,000.
const SHIFT: i32 = 100_000;
/// What a bin takes in a tree, roughly.
const BIN_BYTES: usize = 32;

/// The distribution of values that came by.
#[derive(Debug)]
pub(super) enum Quantiles {
    Exact(Vec<f64>),
    Bins {
        counts: BTreeMap<i32, u64>,
        total: u64,
    },
}

impl Quantiles {
    pub(super) fn new() -> Self {
        Self::Exact(Vec::new())
    }

    pub(super) fn add(&mut self, value: f64, budget: &Budget) {
        match self {
            Self::Exact(values) if values.len() < EXACT => {
                if values.len() < values.capacity()
                    || budget.take(values.len().max(4) * size_of::<f64>())
                {
                    values.push(value);
                }
            }
            Self::Exact(values) => {
                let values = std::mem::take(values);
                *self = Self::Bins {
                    counts: BTreeMap::new(),
                    total: 0,
                };
                values
                    .into_iter()
                    .chain([value])
                    .for_each(|v| self.add_to_bin(v, budget));
            }
            Self::Bins { .. } => self.add_to_bin(value, budget),
        }
    }

    fn add_to_bin(&mut self, value: f64, budget: &Budget) {
        let Self::Bins { counts, total } = self else {
            return;
        };
        let bin = bin(value);
        if let Some(n) = counts.get_mut(&bin) {
            *n += 1;
        } else if budget.take(BIN_BYTES) {
            counts.insert(bin, 1);
        } else {
            return;
        }
        *total += 1;
    }

    /// The least value at or below which `percent` of all values lie (the nearest rank).
    pub(super) fn percentile(&mut self, percent: u8) -> Option<f64> {
        match self {
            Self::Exact(values) => {
                values.sort_by(f64::total_cmp);
                let rank = rank(values.len() as u64, percent);
                values.get(usize::try_from(rank).ok()?).copied()
            }
            Self::Bins { counts, total } => {
                let rank = rank(*total, percent);
                let mut seen = 0;
                let found = counts.iter().find(|(_, n)| {
                    seen += **n;
                    seen > rank
                });
                found.map(|(bin, _)| middle(*bin))
            }
        }
    }
}

/// The index of the percentile in sorted order.
fn rank(total: u64, percent: u8) -> u64 {
    let up = total.saturating_mul(u64::from(percent)).div_ceil(100);
    up.saturating_sub(1)
}

fn bin(value: f64) -> i32 {
    if value == 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "finite numbers give at most ±75,000"
    )]
    let index = (value.abs().ln() / RATIO.ln()).ceil() as i32 + SHIFT;
    if value > 0.0 { index } else { -index }
}

fn middle(bin: i32) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    let size = RATIO.powi(bin.abs() - SHIFT) * 2.0 / (RATIO + 1.0);
    if bin > 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nearest_rank() {
        let budget = Budget::new(&Limits::default());
        let mut few = Quantiles::new();
        assert_eq!(few.percentile(50), None);
        (1..=10).for_each(|n| few.add(f64::from(n), &budget));
        assert_eq!(
            [50, 90, 95, 99].map(|p| few.percentile(p)),
            [5.0, 9.0, 10.0, 10.0].map(Some)
        );
    }

    proptest! {
        #[test]
        fn many_values_are_near(values in prop::collection::vec(-1e6f64..1e6, EXACT + 1..2000), percent in 1u8..100) {
            let budget = Budget::new(&Limits::default());
            let mut found = Quantiles::new();
            values.iter().for_each(|v| found.add(*v, &budget));
            let mut exact = Quantiles::Exact(values);
            let (found, exact) = (found.percentile(percent).unwrap(), exact.percentile(percent).unwrap());
            prop_assert!((found - exact).abs() <= exact.abs() * 0.0051, "{found} for {exact}");
        }
    }
}
