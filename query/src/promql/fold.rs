//! What aggregations collect of one group at one step.

use super::stats::{Mean, Sum};

/// Collects the values of one group at one step.
pub(super) trait Fold: Clone + Default {
    fn add(&mut self, value: f64);
    fn get(&self) -> f64;
}

impl Fold for Sum {
    fn add(&mut self, value: f64) {
        Sum::add(self, value);
    }
    fn get(&self) -> f64 {
        self.total()
    }
}

impl Fold for Mean {
    fn add(&mut self, value: f64) {
        Mean::add(self, value);
    }
    fn get(&self) -> f64 {
        Mean::get(*self)
    }
}

#[derive(Clone, Default)]
pub(super) struct Count(f64);
impl Fold for Count {
    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }
    fn get(&self) -> f64 {
        self.0
    }
}

/// That there was any.
#[derive(Clone, Default)]
pub(super) struct Any;
impl Fold for Any {
    fn add(&mut self, _: f64) {}
    fn get(&self) -> f64 {
        1.0
    }
}

/// The extreme; any number beats NaN.
#[derive(Clone)]
pub(super) struct Extreme<const LARGEST: bool>(f64);
impl<const LARGEST: bool> Default for Extreme<LARGEST> {
    fn default() -> Self {
        Self(f64::NAN)
    }
}
impl<const LARGEST: bool> Fold for Extreme<LARGEST> {
    fn add(&mut self, value: f64) {
        let beats = if LARGEST {
            value > self.0
        } else {
            value < self.0
        };
        if beats || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn get(&self) -> f64 {
        self.0
    }
}

/// Uncompensated, as Prometheus has it for aggregations, unlike over time.
#[derive(Clone, Default)]
pub(super) struct Spread<const ROOT: bool> {
    count: f64,
    mean: f64,
    squares: f64,
}
impl<const ROOT: bool> Fold for Spread<ROOT> {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
    fn get(&self) -> f64 {
        let variance = self.squares / self.count;
        if ROOT { variance.sqrt() } else { variance }
    }
}
