//! Sums, means, variances and quantiles with the rounding of Prometheus: compensated where it
//! compensates, so that figures agree to the last digits.

use std::cmp::Ordering;

/// A sum after Kahan and Neumaier: the part that rounding lost is carried along.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) sum: f64,
    pub(super) lost: f64,
}

impl Sum {
    pub(super) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - total) + value;
        } else {
            self.lost += (value - total) + self.sum;
        }
        self.sum = total;
    }

    pub(super) fn total(self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.lost
        }
    }
}

/// The mean of the values seen, safe against overflow of their sum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    acc: Sum,
    count: f64,
    /// The sum would overflow: from here on `acc` is the running mean itself.
    running: bool,
}

impl Mean {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.acc = Sum {
                sum: value,
                lost: 0.0,
            };
            return;
        }
        if !self.running {
            let mut next = self.acc;
            next.add(value);
            if !next.sum.is_infinite() {
                self.acc = next;
                return;
            }
            self.running = true;
            self.acc.sum /= self.count - 1.0;
            self.acc.lost /= self.count - 1.0;
        }
        let keep = (self.count - 1.0) / self.count;
        self.acc.sum *= keep;
        self.acc.lost *= keep;
        self.acc.add(value / self.count);
    }

    pub(super) fn get(self) -> f64 {
        if self.running {
            self.acc.sum + self.acc.lost
        } else {
            self.acc.sum / self.count + self.acc.lost / self.count
        }
    }
}

/// The population variance, after Welford.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Variance {
    count: f64,
    mean: Sum,
    squares: Sum,
}

impl Variance {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - (self.mean.sum + self.mean.lost);
        self.mean.add(delta / self.count);
        self.squares
            .add(delta * (value - (self.mean.sum + self.mean.lost)));
    }

    pub(super) fn get(self) -> f64 {
        (self.squares.sum + self.squares.lost) / self.count
    }
}

/// Orders as Prometheus sorts values: NaN before all numbers.
pub(super) fn nan_first(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// The φ-quantile with linear interpolation. Sorts `values`.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    let (Some(last), false) = (values.len().checked_sub(1), q.is_nan()) else {
        return f64::NAN;
    };
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    let rank = q * last as f64;
    #[expect(clippy::cast_possible_truncation, reason = "0 ≤ rank < len")]
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// Slope per second and value at `origin_ms` of the line through the points, by least squares.
pub(super) fn regression(points: impl Iterator<Item = (i64, f64)>, origin_ms: i64) -> (f64, f64) {
    let (mut x_sum, mut y_sum) = (Sum::default(), Sum::default());
    let (mut xy_sum, mut xx_sum) = (Sum::default(), Sum::default());
    let (mut count, mut first, mut constant) = (0.0, 0.0, true);
    for (time, y) in points {
        if count == 0.0 {
            first = y;
        } else if y != first {
            constant = false;
        }
        count += 1.0;
        let x = (time - origin_ms) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    if constant {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let raw = |s: Sum| s.sum + s.lost;
    let (x, y) = (raw(x_sum), raw(y_sum));
    let slope = (raw(xy_sum) - x * y / count) / (raw(xx_sum) - x * x / count);
    (slope, y / count - slope * x / count)
}
