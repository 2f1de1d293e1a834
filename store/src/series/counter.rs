//! How much a counter grew between two readings: wraps, resets, other widths, readings that cannot be.
//!
//! - A declared width says where a counter begins again at zero; without one it is 32 bits as long as
//!   no reading was larger. It wraps only from the upper half of its range.
//! - Growth in proportion is at most what the source declares, with room for agents that refresh their
//!   counters seldom; without a declaration at most eight times as fast as last seen, or less than a
//!   hundredth of 32 bits.
//! - No counter is faster than [`RATE_MAX`].
//! - A reading that seemed to be a reset or a jump may have been a false one: when the next fits the one
//!   before it and not the false one, growth goes on from there, and nothing is counted twice.

use super::lane::{Effect, Lane, Note};
use crate::CounterWidth;

/// Units a second that no counter has: a hundred times the octets of the fastest port, ten thousand
/// processors' nanoseconds.
const RATE_MAX: f64 = 1e13;
/// A declared limit times this is still believed: what an agent refreshed late comes in one piece.
const LIMIT_FACTOR: f64 = 2.0;
/// For the limit readings are so far apart at least: two in a row may see one refresh each.
const LIMIT_MS_MIN: i64 = 1000;
/// Growth in proportion: at most so many times the last rate…
const RATE_FACTOR: f64 = 8.0;
/// …or less than a hundredth of 32 bits.
const SMALL_GROWTH: f64 = 42_949_672.0;
/// A fall by less than one part in so many is no fall.
const JITTER_DIVISOR: f64 = 128.0;
/// Growth beyond this between two readings is no growth: not exact any more, and a petabyte.
pub(super) const GROWTH_MAX: i64 = 1 << 53;
const MAX_32: u64 = u32::MAX as u64;

impl Lane {
    /// Takes a reading of a counter of whole units. It is later than the last one.
    #[inline]
    pub(super) fn count(&mut self, new: u64, time_ms: i64, heartbeat_ms: i64) -> (Effect, Note) {
        let (old, since) = (self.last, time_ms.saturating_sub(self.last_ms));
        let mut from_ms = self.last_ms;
        let (before, before_ms) = (self.before, self.before_ms);
        self.before_ms = i64::MIN;
        if let Some(why) = self.broken.take() {
            return self.advance(new, (from_ms, time_ms), None, why);
        }
        let (mut units, mut note) = if since > heartbeat_ms {
            (None, Note::Gap)
        } else {
            self.growth((old, new), since)
        };
        let fits = |growth: i64| {
            note == Note::Plain && new >= old && self.in_proportion(growth as f64, since)
        };
        if before_ms != i64::MIN && note != Note::Gap && !units.is_some_and(fits) {
            let since = time_ms.saturating_sub(before_ms);
            let growth = new.checked_sub(before).and_then(fitting);
            let growth = growth.filter(|&g| self.in_proportion(g as f64, since));
            if growth.is_some() && since <= heartbeat_ms {
                (units, note, from_ms) = (growth, Note::Plain, before_ms);
            }
        }
        if matches!(note, Note::Jump | Note::Reset) {
            // Whatever was counted already is not counted again.
            let counted = units.unwrap_or(0).unsigned_abs();
            (self.before, self.before_ms) = (old.saturating_add(counted), self.last_ms);
        }
        self.advance(new, (from_ms, time_ms), units, note)
    }

    /// The same of a counter of fractions, in units of its last decimal.
    pub(super) fn count_fraction(
        &mut self,
        value: f64,
        time_ms: i64,
        heartbeat_ms: i64,
    ) -> (Effect, Note) {
        let (from_ms, since) = (self.last_ms, time_ms.saturating_sub(self.last_ms));
        let (new, old) = (self.units(value), self.units(f64::from_bits(self.last)));
        let (units, note) = match self.broken.take() {
            Some(why) => (None, why),
            None if since > heartbeat_ms => (None, Note::Gap),
            None => self.growth_of_fraction(old, new, since),
        };
        self.advance(value.to_bits(), (from_ms, time_ms), units, note)
    }

    #[inline]
    fn advance(
        &mut self,
        bits: u64,
        (from_ms, time_ms): (i64, i64),
        units: Option<i64>,
        note: Note,
    ) -> (Effect, Note) {
        self.last_ms = time_ms;
        // Standing still after a small fall keeps the higher base.
        if !(units == Some(0) && note == Note::Plain) {
            self.last = bits;
        }
        match units {
            Some(units) => self.grow(units, from_ms, time_ms, note),
            None => (Effect::None, note),
        }
    }

    /// Whether a counter may grow so much in so long.
    #[inline]
    fn possible(&self, growth: f64, since_ms: i64) -> bool {
        let declared = f64::from(self.facts.max_per_s);
        let limit = if declared > 0.0 {
            declared * LIMIT_FACTOR
        } else {
            RATE_MAX
        };
        growth <= limit * since_ms.max(LIMIT_MS_MIN) as f64 / 1e3
    }

    #[inline]
    fn in_proportion(&self, growth: f64, since_ms: i64) -> bool {
        if self.facts.max_per_s > 0.0 {
            return self.possible(growth, since_ms);
        }
        growth <= SMALL_GROWTH || growth <= RATE_FACTOR * self.rate * since_ms as f64 / 1e3
    }

    /// How many whole units a counter grew between two readings.
    #[inline]
    fn growth(&self, (old, new): (u64, u64), since_ms: i64) -> (Option<i64>, Note) {
        let possible = |growth: &i64| self.possible(*growth as f64, since_ms);
        let grown = |growth: u64| fitting(growth).filter(possible);
        if new >= old {
            let growth = new - old;
            return match grown(growth).filter(|_| self.same_width((old, new), growth, since_ms)) {
                Some(growth) => (Some(growth), Note::Plain),
                None => (None, Note::Jump),
            };
        }
        if let Some(growth) = self.wrapped(old, new, since_ms) {
            return match grown(growth) {
                Some(growth) => (Some(growth), Note::Wrap),
                None => (None, Note::Jump),
            };
        }
        if (old - new) as f64 * JITTER_DIVISOR < old as f64 {
            return (Some(0), Note::Plain);
        }
        match grown(new).filter(|_| self.in_proportion(new as f64, since_ms)) {
            Some(growth) => (Some(growth), Note::Reset),
            None => (None, Note::Jump),
        }
    }

    /// Whether a reading beyond 32 bits goes on from one within them, and is not of another counter.
    #[inline]
    fn same_width(&self, (old, new): (u64, u64), growth: u64, since_ms: i64) -> bool {
        let widened = old <= MAX_32 && new > MAX_32 && old != 0;
        !widened
            || self.facts.width == CounterWidth::Bits64
            || self.in_proportion(growth as f64, since_ms)
            || self.rate == 0.0 && growth <= MAX_32
    }

    /// The growth through zero, if the counter wrapped.
    fn wrapped(&self, old: u64, new: u64, since_ms: i64) -> Option<u64> {
        let narrow = match self.facts.width {
            CounterWidth::Bits64 => false,
            CounterWidth::Bits32 | CounterWidth::Unknown => old <= MAX_32,
        };
        if !narrow && self.facts.width == CounterWidth::Bits32 {
            return None;
        }
        let difference = new.wrapping_sub(old);
        let (upper_half, growth) = if narrow {
            (old >> 31 == 1, difference & MAX_32)
        } else {
            (old >> 63 == 1, difference)
        };
        (upper_half && self.in_proportion(growth as f64, since_ms)).then_some(growth)
    }

    /// How many scaled units a counter of fractions grew. It never wraps.
    fn growth_of_fraction(&self, old: i64, new: i64, since_ms: i64) -> (Option<i64>, Note) {
        let value = |units: i64| super::codec::unscaled(units, self.decimals);
        let growth = new.saturating_sub(old);
        if growth >= 0 {
            let sane = growth <= GROWTH_MAX && self.possible(value(growth), since_ms);
            return if sane {
                (Some(growth), Note::Plain)
            } else {
                (None, Note::Jump)
            };
        }
        if -(growth as f64) * JITTER_DIVISOR < old as f64 {
            return (Some(0), Note::Plain);
        }
        if new >= 0 && self.in_proportion(value(new), since_ms) {
            (Some(new), Note::Reset)
        } else {
            (None, Note::Jump)
        }
    }
}

/// Growth that is exact in an `f64`.
fn fitting(growth: u64) -> Option<i64> {
    i64::try_from(growth).ok().filter(|&g| g <= GROWTH_MAX)
}
