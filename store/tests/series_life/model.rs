//! What a series should hold: its readings in the order of their arrival, and what they mean.

use std::collections::BTreeMap;

/// The length of the finest slots; all readings stand on their borders.
pub(crate) const STEP_MS: i64 = 1000;
/// Readings of a counter may be so far apart before the growth between them is unknown.
const HEARTBEAT_MS: i64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    Counter,
    Increase,
}

/// A reading; of counters and increases the value is whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Given {
    pub(crate) time_ms: i64,
    pub(crate) value: i64,
}

/// What slots of some length hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) count: u32,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) last: f64,
}

impl Cell {
    pub(crate) const EMPTY: Self = Self {
        count: 0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        last: f64::NAN,
    };

    pub(crate) fn add(&mut self, later: &Self) {
        self.count += later.count;
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.last = later.last;
    }
}

/// The number of the slot that a time belongs to: slot `i` covers `(i·S, (i+1)·S]`.
pub(crate) fn slot_of(time_ms: i64, step_ms: i64) -> i64 {
    (time_ms - 1).div_euclid(step_ms)
}

/// A gauge's value as it is read: two digits behind the point.
pub(crate) fn gauge(value: i64) -> f64 {
    value as f64 / 100.0
}

/// The finest slots.
fn finest(kind: Kind, given: &[Given]) -> BTreeMap<i64, f64> {
    let mut slots = BTreeMap::new();
    let mut base: Option<Given> = None;
    for reading in given {
        let slot = slot_of(reading.time_ms, STEP_MS);
        match kind {
            // One border a slot: what came last holds.
            Kind::Gauge => {
                slots.insert(slot, gauge(reading.value));
            }
            Kind::Increase => *slots.entry(slot).or_default() += reading.value as f64,
            Kind::Counter => {
                if let Some(base) = base {
                    grow(&mut slots, base, *reading);
                }
                base = Some(*reading);
            }
        }
    }
    slots
}

/// Spreads the growth between two readings over the slots in between, in whole units.
fn grow(slots: &mut BTreeMap<i64, f64>, from: Given, to: Given) {
    let (span, growth) = (to.time_ms - from.time_ms, to.value - from.value);
    if span > HEARTBEAT_MS {
        return;
    }
    let grown = |ms: i64| growth * ms / span;
    for end in (STEP_MS..=span).step_by(1000) {
        let slot = slot_of(from.time_ms + end, STEP_MS);
        slots.insert(slot, (grown(end) - grown(end - STEP_MS)) as f64);
    }
}

/// Slots of a length from a time on.
pub(crate) fn consolidated(kind: Kind, given: &[Given], step_ms: i64) -> BTreeMap<i64, Cell> {
    let mut cells = BTreeMap::new();
    for (slot, value) in finest(kind, given) {
        let cell = cells
            .entry(slot_of((slot + 1) * STEP_MS, step_ms))
            .or_insert(Cell::EMPTY);
        cell.add(&Cell {
            count: 1,
            sum: value,
            min: value,
            max: value,
            last: value,
        });
    }
    cells
}
