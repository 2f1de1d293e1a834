//! Figures over the events of a group.

use std::collections::HashSet;
use std::hash::BuildHasher;

use super::super::eval::Subject;
use super::super::query::Aggregate;
use super::super::table::{Cell, Item};
use super::Budget;
use super::quantiles::Quantiles;

/// A figure in the making.
pub(super) enum Acc {
    Count(u64),
    Sum { sum: f64, n: u64 },
    Extreme(Option<f64>),
    Quantiles(Quantiles),
    Uniq(HashSet<u64>),
}

impl Acc {
    pub(super) fn new(aggregate: &Aggregate) -> Self {
        match aggregate {
            Aggregate::Count => Self::Count(0),
            Aggregate::Sum(_) | Aggregate::Avg(_) => Self::Sum { sum: 0.0, n: 0 },
            Aggregate::Min(_) | Aggregate::Max(_) => Self::Extreme(None),
            Aggregate::Percentile(..) => Self::Quantiles(Quantiles::new()),
            Aggregate::Uniq(_) => Self::Uniq(HashSet::new()),
        }
    }

    pub(super) fn add(&mut self, aggregate: &Aggregate, item: &Item<'_>, budget: &Budget) {
        if let Self::Count(n) = self {
            *n += 1;
            return;
        }
        let Some(field) = aggregate.field() else {
            return;
        };
        if let Self::Uniq(seen) = self {
            if let Some(value) = item.value(field) {
                // The same hasher for all, so that equal values meet; 64 bits make a false meeting
                // of a million values a matter of one in thirty million.
                let hash = foldhash::quality::FixedState::with_seed(0).hash_one(&*value);
                if !seen.contains(&hash) && budget.take(16) {
                    seen.insert(hash);
                }
            }
            return;
        }
        let Some(number) = item.number(field) else {
            return;
        };
        match (self, aggregate) {
            (Self::Sum { sum, n }, _) => {
                *sum += number;
                *n += 1;
            }
            (Self::Extreme(best), Aggregate::Min(_)) => {
                *best = Some(best.map_or(number, |b| b.min(number)))
            }
            (Self::Extreme(best), _) => *best = Some(best.map_or(number, |b| b.max(number))),
            (Self::Quantiles(values), _) => values.add(number, budget),
            _ => {}
        }
    }

    pub(super) fn cell(self, aggregate: &Aggregate) -> Cell {
        let figure = |value: Option<f64>| match (value, aggregate.field()) {
            (Some(value), Some(field)) => Cell::figure(field, value),
            _ => Cell::Null,
        };
        #[expect(clippy::cast_precision_loss, reason = "a count of events")]
        match (self, aggregate) {
            (Self::Count(n), _) => Cell::Count(n),
            (Self::Uniq(seen), _) => Cell::Count(seen.len() as u64),
            (Self::Sum { n: 0, .. }, _) => Cell::Null,
            (Self::Sum { sum, n }, Aggregate::Avg(_)) => figure(Some(sum / n as f64)),
            (Self::Sum { sum, .. }, _) => figure(Some(sum)),
            (Self::Extreme(best), _) => figure(best),
            (Self::Quantiles(mut values), Aggregate::Percentile(p, _)) => {
                figure(values.percentile(*p))
            }
            (Self::Quantiles(_), _) => Cell::Null,
        }
    }
}
