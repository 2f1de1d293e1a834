//! Where the lines of the value axis lie and what stands beside them.

use super::units::{NARROW, Unit, grouped};

/// The value axis: its ends, and its ticks with their words. The unit stands once, on the top tick.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueAxis {
    /// Lowest value.
    pub min: f64,
    /// Highest value.
    pub max: f64,
    /// Tick values, upwards.
    pub ticks: Vec<f64>,
    /// Their words.
    pub labels: Vec<String>,
    /// Each decade is as high as the next.
    pub log: bool,
}

/// What an axis must show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// The largest value.
    pub max: f64,
    /// The smallest, when it is below zero.
    pub min: f64,
    /// The capacity, where there is one: the axis ends there.
    pub cap: Option<f64>,
    /// The axis begins here, where that is said.
    pub floor: Option<f64>,
}

impl ValueAxis {
    /// An axis from 0 over all of `extent`, in steps of 1, 2, 2.5 or 5, with about `count` ticks.
    #[must_use]
    pub fn new(unit: Unit, extent: Extent, count: u8) -> Self {
        let low = extent.floor.unwrap_or_else(|| extent.min.min(0.0));
        let high = extent.cap.unwrap_or(extent.max * 1.04).max(low);
        let (divisor, symbol) = unit.axis_scale(high.max(-low));
        let span = ((high - low) / divisor).max(1e-9);
        // An axis over nothing at all still shows its 0 and a 1.
        let span = if high <= low { 1.0 } else { span };
        let step = step(span / f64::from(count.max(1)), unit);
        let first = (low / divisor / step).floor();
        let mut last = (first + (span / step - 1e-6).ceil()).max(first + 1.0);
        if low != 0.0 {
            last = (high / divisor / step - 1e-6).ceil().max(first + 1.0);
        }
        let mut max = last * step * divisor;
        if let Some(cap) = extent.cap.filter(|cap| *cap > low && max > *cap) {
            max = cap;
        }
        let min = extent.floor.unwrap_or(first * step * divisor);
        let decimals = decimals(step);
        let mut ticks = Vec::new();
        let mut labels = Vec::new();
        let mut k = first;
        while k <= last && ticks.len() < 12 {
            let value = k * step * divisor;
            let tiny = 1e-9 * (max - min) + 1e-12;
            if (min - tiny..=max + tiny).contains(&value) {
                ticks.push(value);
                labels.push(match k == 0.0 {
                    true => "0".to_owned(),
                    false => grouped(&format!("{:.decimals$}", k * step)),
                });
            }
            k += 1.0;
        }
        if let Some(top) = labels.last_mut().filter(|_| !symbol.is_empty()) {
            top.push(NARROW);
            top.push_str(&symbol);
        }
        Self {
            min,
            max,
            ticks,
            labels,
            log: false,
        }
    }

    /// An axis of decades over two positive values. Without such it is one from 0.1 to 1.
    #[must_use]
    pub fn log(unit: Unit, least: f64, most: f64) -> Self {
        /// A double has 600 decades; nobody reads more than these.
        const DECADES_MAX: i32 = 15;
        let sane = |v: f64| v.is_finite() && v > 0.0;
        let most = if sane(most) { most } else { 1.0 };
        let least = if sane(least) {
            least.min(most)
        } else {
            most / 10.0
        };
        #[expect(clippy::cast_possible_truncation, reason = "a double's exponent")]
        let (mut first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        first = first.max(last - DECADES_MAX).min(last - 1);
        let (min, max) = (10f64.powi(first), 10f64.powi(last));
        // Within few decades also what lies between them.
        let parts: &[f64] = match last - first {
            ..=2 => &[1.0, 2.0, 5.0],
            3..=4 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let ticks: Vec<f64> = (first..=last)
            .flat_map(|decade| parts.iter().map(move |p| p * 10f64.powi(decade)))
            .filter(|v| *v <= max * 1.000_001)
            .collect();
        let labels = ticks.iter().map(|v| unit.format(*v)).collect();
        Self {
            min,
            max,
            ticks,
            labels,
            log: true,
        }
    }

    /// The place of a value: 0 at the bottom, 1 at the top, beyond them outside.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        if !self.log {
            return (value - self.min) / (self.max - self.min);
        }
        if value <= 0.0 {
            return -1.0;
        }
        (value / self.min).ln() / (self.max / self.min).ln()
    }

    /// The place of a value between the ends, 0 at the bottom, 1 at the top.
    #[must_use]
    pub fn share(&self, value: f64) -> f64 {
        self.place(value).clamp(0.0, 1.0)
    }
}

/// The round step at or above `raw`; whole where the unit has no parts.
fn step(raw: f64, unit: Unit) -> f64 {
    let magnitude = 10f64.powf(raw.log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|k| k * magnitude)
        .find(|s| *s >= raw * 0.999)
        .unwrap_or(raw);
    match unit == Unit::LINES && round < 1.0 {
        true => 1.0,
        false if unit == Unit::LINES && round.fract() != 0.0 => round.ceil(),
        false => round,
    }
}

fn decimals(step: f64) -> usize {
    (0..6)
        .find(|d| {
            let scaled = step * 10f64.powi(*d);
            (scaled - scaled.round()).abs() < 1e-6
        })
        .map_or(6, |d| usize::try_from(d).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(unit: Unit, max: f64, cap: Option<f64>, count: u8) -> String {
        let extent = Extent {
            max,
            cap,
            ..Extent::default()
        };
        let axis = ValueAxis::new(unit, extent, count);
        assert!(axis.max >= max.min(cap.unwrap_or(f64::MAX)));
        axis.labels.join(" | ").replace(NARROW, "_")
    }

    #[test]
    fn ticks_are_round_and_the_top_one_has_the_unit() {
        for (unit, max, cap, count, expected) in [
            (
                Unit::PERCENT,
                40.0,
                Some(100.0),
                4,
                "0 | 25 | 50 | 75 | 100_%",
            ),
            (
                Unit::BITS_PER_SECOND,
                200e6,
                None,
                5,
                "0 | 50 | 100 | 150 | 200 | 250_Mb/s",
            ),
            (Unit::NONE, 0.0, None, 4, "0 | 0.25 | 0.50 | 0.75 | 1.00"),
            (Unit::LINES, 2.0, None, 5, "0 | 1 | 2 | 3"),
            (Unit::SECONDS, 0.19, None, 4, "0 | 50 | 100 | 150 | 200_ms"),
            (
                Unit::BYTES,
                3.9e9,
                Some(4_294_967_296.0),
                4,
                "0 | 1 | 2 | 3 | 4_GiB",
            ),
        ] {
            assert_eq!(words(unit, max, cap, count), expected);
        }
    }

    #[test]
    fn ends_that_are_told() {
        for (floor, cap, expected) in [
            (Some(20.0), Some(70.0), "20 | 30 | 40 | 50 | 60 | 70"),
            (Some(-1.0), Some(1.0), "-1.0 | -0.5 | 0 | 0.5 | 1.0"),
            (Some(0.0), None, "0 | 10 | 20 | 30 | 40 | 50"),
        ] {
            let extent = Extent {
                max: 42.0,
                cap,
                floor,
                ..Extent::default()
            };
            let axis = ValueAxis::new(Unit::NONE, extent, 5);
            assert_eq!(axis.labels.join(" | "), expected);
            assert_eq!((Some(axis.min), axis.max), (floor, cap.unwrap_or(50.0)));
        }
    }

    #[test]
    fn decades() {
        let axis = ValueAxis::log(Unit::COUNT, 30.0, 9000.0);
        assert_eq!(
            axis.labels.join(" ").replace(NARROW, "_"),
            "10 30 100 300 1_k 3_k 10_k"
        );
        assert!((axis.place(316.227_766) - 0.5).abs() < 1e-6);
        assert!(axis.place(0.0) < 0.0 && axis.place(-5.0) < 0.0);
        for (least, most) in [
            (0.0, 0.0),
            (f64::INFINITY, 0.0),
            (f64::NAN, f64::NAN),
            (1e-300, 1e300),
            (5.0, 5.0),
        ] {
            let axis = ValueAxis::log(Unit::NONE, least, most);
            assert!(axis.min > 0.0 && axis.max > axis.min && axis.ticks.len() < 40);
        }
    }

    #[test]
    fn below_zero() {
        let extent = Extent {
            max: 12.0,
            min: -7.0,
            ..Extent::default()
        };
        let axis = ValueAxis::new(Unit::CELSIUS, extent, 4);
        assert!(axis.min <= -7.0 && axis.max >= 12.0);
        assert!(axis.ticks.contains(&0.0));
    }
}
