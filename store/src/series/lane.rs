//! What a series' readings mean: from the states of a counter to increases, slot by slot.
//!
//! - A gauge's reading is the value of the slot in which it was read; the last one of a slot holds.
//! - A counter's first reading is a base. From then on what it grew between two readings is spread
//!   over the slots in between, in whole units (of the last decimal, for counters of fractions), so
//!   that the sum over time stays exact.
//! - Readings farther apart than the heartbeat leave a gap: the growth between them is unknown. So
//!   it is when a counter jumps as no counter of its rate does (64-bit values after 32-bit ones).
//! - A counter that falls by less than 1/128 stood still: `/proc/stat` and cached agents do that.
//! - A counter that falls otherwise has wrapped, or was reset and its new value is what it counted since;
//!   which, `counter.rs` judges.

use super::codec::{DECIMALS_MAX, POW10, decimals_of, nearest, scaled};
use super::counter::GROWTH_MAX;
use super::reason::Reason;
use crate::{CounterType, CounterWidth, Reading};

/// A counter's readings in fractions are taken to at most so many decimals: nanoseconds.
const COUNTER_DECIMALS_MAX: u8 = 9;

/// What kind of readings a lane takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// No reading yet.
    #[default]
    None = 0,
    Gauge = 1,
    Counter = 2,
    FloatCounter = 3,
    Increase = 4,
}

impl Tag {
    pub(crate) fn of(reading: &Reading) -> Self {
        match reading {
            Reading::Gauge(_) => Self::Gauge,
            Reading::Counter(_) => Self::Counter,
            Reading::FloatCounter(_) => Self::FloatCounter,
            Reading::Increase(_) => Self::Increase,
            Reading::Unknown(_)
            | Reading::Restarted(_)
            | Reading::Discontinued(_)
            | Reading::Declared(_) => Self::None,
        }
    }

    pub(crate) fn from_u8(tag: u8) -> Option<Self> {
        [
            Self::None,
            Self::Gauge,
            Self::Counter,
            Self::FloatCounter,
            Self::Increase,
        ]
        .into_iter()
        .find(|t| *t as u8 == tag)
    }

    /// Whether the lane holds increases and a total.
    pub(crate) fn is_counter(self) -> bool {
        matches!(self, Self::Counter | Self::FloatCounter | Self::Increase)
    }
}

/// What is known of a series beside its slots. All of it follows from the readings alone, so that a
/// replay comes to the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lane {
    pub(crate) tag: Tag,
    /// Decimals seen so far.
    pub(crate) decimals: u8,
    /// The last reading; for counters the base of the next increase. `u64` or the bits of an `f64`.
    pub(crate) last: u64,
    /// When that was, in milliseconds; [`i64::MIN`] without a reading.
    pub(crate) last_ms: i64,
    /// When the first reading was; [`i64::MAX`] without one.
    pub(crate) first_ms: i64,
    /// The first reading and all known increases since: what a counter shows.
    pub(crate) total: f64,
    /// Units a second when it last grew.
    pub(crate) rate: f64,
    /// What the source declares of a counter.
    pub(crate) facts: CounterType,
    /// The next reading says nothing about the growth since the last one, for this reason.
    pub(crate) broken: Option<Note>,
    /// The reading before one that may have been a false one, with what that was counted for…
    pub(crate) before: u64,
    /// …and when it was; [`i64::MIN`] when there is none.
    pub(crate) before_ms: i64,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            tag: Tag::None,
            decimals: 0,
            last: 0,
            last_ms: i64::MIN,
            first_ms: i64::MAX,
            total: 0.0,
            rate: 0.0,
            facts: CounterType::default(),
            broken: None,
            before: 0,
            before_ms: i64::MIN,
        }
    }
}

/// What a reading comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Nothing for any slot: a base, a gap, an older reading of the same slot.
    None,
    /// This value for the slot of the reading.
    Set(f64),
    /// So many units of 10^-decimals more in `(from_ms, until_ms]`.
    Grow {
        units: i64,
        decimals: u8,
        from_ms: i64,
        until_ms: i64,
    },
}

/// What happened on the way, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Plain,
    Gap,
    Wrap,
    Reset,
    Jump,
}

impl Note {
    /// Why what came to nothing did.
    pub(crate) fn reason(self) -> Option<Reason> {
        match self {
            Self::Jump => Some(Reason::OutOfRange),
            Self::Reset | Self::Wrap => Some(Reason::Reset),
            Self::Plain | Self::Gap => None,
        }
    }
}

/// What a source says in place of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Told {
    Unknown(Reason),
    /// Counters count from zero since then.
    Restarted(i64),
    /// Counters are others since then.
    Discontinued(i64),
    Declared(CounterType),
}

impl Told {
    pub(crate) fn of(reading: Reading) -> Option<Self> {
        match reading {
            Reading::Unknown(reason) => Some(Self::Unknown(reason)),
            Reading::Restarted(since) => Some(Self::Restarted(since.0)),
            Reading::Discontinued(since) => Some(Self::Discontinued(since.0)),
            Reading::Declared(facts) => Some(Self::Declared(facts)),
            _ => None,
        }
    }
}

impl Lane {
    /// The counter began again at zero then. `false` when that is no news.
    pub(crate) fn restart(&mut self, since_ms: i64) -> bool {
        let news = self.counts() && since_ms > self.last_ms;
        if news {
            // Zero, as a whole number and as a float.
            (self.last, self.last_ms) = (0, since_ms);
            (self.broken, self.before_ms) = (None, i64::MIN);
        }
        news
    }

    /// The counter is another one since then.
    pub(crate) fn discontinue(&mut self, since_ms: i64) {
        if self.counts() && since_ms > self.last_ms {
            self.broken = Some(Note::Reset);
        }
    }

    /// Takes what a source declares. A counter of another width is another counter.
    pub(crate) fn declare(&mut self, facts: CounterType) {
        let widths = [self.facts.width, facts.width];
        let known = widths.iter().all(|w| *w != CounterWidth::Unknown);
        if self.counts() && known && widths[0] != widths[1] {
            self.broken = Some(Note::Jump);
        }
        self.facts = facts;
    }

    fn counts(&self) -> bool {
        matches!(self.tag, Tag::Counter | Tag::FloatCounter)
    }

    /// Takes a reading as the new base and draws nothing from it.
    pub(crate) fn rebase(&mut self, tag: Tag, bits: u64, time_ms: i64) {
        if self.tag != tag {
            (self.tag, self.decimals) = (tag, 0);
        }
        if tag == Tag::FloatCounter {
            self.widen(f64::from_bits(bits));
        }
        if self.first_ms == i64::MAX && tag != Tag::Gauge {
            self.total = match tag {
                Tag::Counter => to_f64(bits),
                Tag::FloatCounter => self.rounded(f64::from_bits(bits)),
                _ => 0.0,
            };
        }
        (self.last, self.last_ms) = (bits, time_ms);
        (self.broken, self.before_ms) = (None, i64::MIN);
        self.first_ms = self.first_ms.min(time_ms);
    }

    /// Takes a reading of the lane's own tag. It is not older than the last one.
    #[inline]
    pub(crate) fn take(
        &mut self,
        reading: Reading,
        time_ms: i64,
        heartbeat_ms: i64,
    ) -> (Effect, Note) {
        match reading {
            Reading::Gauge(value) => {
                self.decimals = decimals_of(value, self.decimals).unwrap_or(self.decimals);
                if time_ms >= self.last_ms {
                    (self.last, self.last_ms) = (value.to_bits(), time_ms);
                }
                self.first_ms = self.first_ms.min(time_ms);
                (Effect::Set(value), Note::Plain)
            }
            Reading::Increase(value) => {
                self.widen(value);
                self.last_ms = self.last_ms.max(time_ms);
                self.first_ms = self.first_ms.min(time_ms);
                let units = self.units(value);
                self.grow(units, time_ms.saturating_sub(1), time_ms, Note::Plain)
            }
            Reading::Counter(new) => self.count(new, time_ms, heartbeat_ms),
            Reading::FloatCounter(value) => {
                self.widen(value);
                self.count_fraction(value, time_ms, heartbeat_ms)
            }
            Reading::Unknown(_)
            | Reading::Restarted(_)
            | Reading::Discontinued(_)
            | Reading::Declared(_) => (Effect::None, Note::Plain),
        }
    }

    #[inline]
    pub(super) fn grow(
        &mut self,
        units: i64,
        from_ms: i64,
        until_ms: i64,
        note: Note,
    ) -> (Effect, Note) {
        let decimals = self.decimals;
        self.total = add_units(self.total, units, decimals);
        // What came after a reset may be a false reading's.
        if units > 0 && note != Note::Reset {
            let seconds = (until_ms - from_ms).max(1) as f64 / 1e3;
            self.rate = super::codec::unscaled(units, decimals) / seconds;
        }
        (
            Effect::Grow {
                units,
                decimals,
                from_ms,
                until_ms,
            },
            note,
        )
    }

    /// Raises the decimals so that they hold a reading, as far as its size allows.
    fn widen(&mut self, value: f64) {
        let wanted = (self.decimals..=COUNTER_DECIMALS_MAX)
            .find(|&d| scaled(value, d).is_some())
            .unwrap_or(COUNTER_DECIMALS_MAX);
        let room = |d: u8| value.abs() * POW10[usize::from(d)] < GROWTH_MAX as f64;
        let fitting = (self.decimals..=wanted).rev().find(|&d| room(d));
        self.decimals = fitting.unwrap_or(self.decimals);
    }

    pub(super) fn units(&self, value: f64) -> i64 {
        nearest(value * POW10[usize::from(self.decimals)])
    }

    fn rounded(&self, value: f64) -> f64 {
        super::codec::unscaled(self.units(value), self.decimals)
    }
}

/// Adds whole units without gathering errors of the binary fraction.
pub(crate) fn add_units(value: f64, units: i64, decimals: u8) -> f64 {
    if decimals == 0 {
        return value + units as f64;
    }
    let power = POW10[usize::from(decimals.min(DECIMALS_MAX))];
    let old = value * power;
    if old.abs() < GROWTH_MAX as f64 {
        (nearest(old) as f64 + units as f64) / power
    } else {
        value + units as f64 / power
    }
}

/// A sum without the errors that adding binary fractions has gathered. Decimals of other values than
/// those added say nothing about the sum: where rounding would change more than such errors, it stays.
pub(crate) fn settled(sum: f64, decimals: u8) -> f64 {
    /// Adding a page of values errs by less than this part of the sum.
    const ERROR_MAX: f64 = 1e-12;
    let rounded = add_units(sum, 0, decimals);
    if (rounded - sum).abs() <= sum.abs() * ERROR_MAX {
        rounded
    } else {
        sum
    }
}

fn to_f64(units: u64) -> f64 {
    units as f64
}

/// Cuts growth over `(from_ms, until_ms]` at the slot borders, in whole units:
/// `each(slot, units)` for every slot touched.
pub(crate) fn spread(
    units: i64,
    (from_ms, until_ms): (i64, i64),
    step_ms: i64,
    mut each: impl FnMut(i64, i64),
) {
    let first = from_ms.div_euclid(step_ms);
    let last = super::layout::slot_of(until_ms, step_ms);
    if first >= last {
        return each(last, units);
    }
    let span = until_ms - from_ms;
    let part = |passed: i64| match units.checked_mul(passed) {
        Some(product) => product / span,
        None => {
            let due = i128::from(units) * i128::from(passed) / i128::from(span);
            // Between 0 and `units`, which is an i64.
            i64::try_from(due).unwrap_or(units)
        }
    };
    let mut given = 0;
    for slot in first..=last {
        let passed = ((slot + 1) * step_ms).min(until_ms) - from_ms;
        let due = part(passed);
        each(slot, due - given);
        given = due;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEN_S: i64 = 10_000;

    /// Readings every 10 s; what each comes to.
    fn counter(readings: &[u64]) -> Vec<(Option<i64>, Note)> {
        let mut lane = Lane::default();
        lane.rebase(Tag::Counter, readings[0], 0);
        let took = readings.iter().zip(0..).skip(1).map(|(&r, i)| {
            let (effect, note) = lane.take(Reading::Counter(r), i * TEN_S, 3 * TEN_S);
            let units = match effect {
                Effect::Grow { units, .. } => Some(units),
                _ => None,
            };
            (units, note)
        });
        took.collect()
    }

    #[test]
    fn counters_grow_wrap_and_reset() {
        const U32: u64 = 1 << 32;
        type Row<'a> = (&'a str, &'a [u64], &'a [(Option<i64>, Note)]);
        let rows: &[Row<'_>] = &[
            (
                "grows",
                &[5, 15, 15],
                &[(Some(10), Note::Plain), (Some(0), Note::Plain)],
            ),
            ("32 bits wrap", &[U32 - 1, 5], &[(Some(6), Note::Wrap)]),
            (
                "64 bits wrap",
                &[u64::MAX - 9, 5],
                &[(Some(15), Note::Wrap)],
            ),
            (
                "a fast 32-bit counter wraps",
                &[U32 - 1_500_000_000, U32 - 500_000_000, 400_000_000],
                &[
                    (Some(1_000_000_000), Note::Plain),
                    (Some(900_000_000), Note::Wrap),
                ],
            ),
            (
                "a process restarts",
                &[1_000_000, 1_000_100, 40],
                &[(Some(100), Note::Plain), (Some(40), Note::Reset)],
            ),
            (
                "reset in the upper half",
                &[U32 - U32 / 3, 1000],
                &[(Some(1000), Note::Reset)],
            ),
            (
                "a small fall is none",
                &[100_000, 99_990, 100_010],
                &[(Some(0), Note::Plain), (Some(10), Note::Plain)],
            ),
            (
                "32 to 64 bits",
                &[3_000_000_000, 3_000_000_100, 50_000_000_000_000],
                &[(Some(100), Note::Plain), (None, Note::Jump)],
            ),
            (
                "64 to 32 bits",
                &[50_000_000_000_000, 3_000_000_000],
                &[(None, Note::Jump)],
            ),
            ("absurd", &[0, 1 << 60], &[(None, Note::Jump)]),
        ];
        for (name, readings, want) in rows {
            assert_eq!(counter(readings), *want, "{name}");
        }
    }

    #[test]
    fn readings_beyond_the_heartbeat_leave_a_gap() {
        let mut lane = Lane::default();
        lane.rebase(Tag::Counter, 5, 0);
        assert_eq!(
            lane.take(Reading::Counter(9), 30_000, 30_000).1,
            Note::Plain
        );
        assert_eq!(
            lane.take(Reading::Counter(99), 60_001, 30_000),
            (Effect::None, Note::Gap)
        );
        let (effect, _) = lane.take(Reading::Counter(100), 70_000, 30_000);
        let grown = Effect::Grow {
            units: 1,
            decimals: 0,
            from_ms: 60_001,
            until_ms: 70_000,
        };
        assert_eq!(effect, grown);
        assert!(
            (lane.total - 10.0).abs() < 1e-12,
            "first reading and known growth"
        );
    }

    #[test]
    fn fractions_are_counted_in_their_own_decimals() {
        let mut lane = Lane::default();
        lane.rebase(Tag::FloatCounter, 100.25f64.to_bits(), 0);
        let took = |lane: &mut Lane, v, t| match lane.take(Reading::FloatCounter(v), t, 99_999).0 {
            Effect::Grow {
                units, decimals, ..
            } => Some((units, decimals)),
            _ => None,
        };
        assert_eq!(took(&mut lane, 100.45, 1000), Some((20, 2)));
        assert_eq!(
            took(&mut lane, 100.44, 2000),
            Some((0, 2)),
            "idle time goes back a little"
        );
        assert_eq!(took(&mut lane, 100.455, 3000), Some((5, 3)));
        assert_eq!(took(&mut lane, 0.5, 4000), Some((500, 3)), "reset");
        assert_eq!(took(&mut lane, 0.123_456_789_012, 5000).unwrap().1, 9);
        assert_eq!(lane.total.to_string(), "101.078456789");
    }

    proptest! {
        #[test]
        fn spreading_gives_everything_once(units in 0..1i64 << 53, from in -50_000..50_000i64, len in 1..100_000i64) {
            let (mut sum, mut next) = (0, None);
            spread(units, (from, from + len), 10_000, |slot, part| {
                assert!(part >= 0);
                assert!(next.is_none_or(|n| n == slot), "slots in a row");
                next = Some(slot + 1);
                sum += part;
            });
            prop_assert_eq!(sum, units);
        }

        #[test]
        fn any_readings_are_taken(readings in prop::collection::vec((any::<f64>(), any::<u64>(), 0..100_000i64), 1..50)) {
            let (mut float, mut whole, mut now) = (Lane::default(), Lane::default(), 0);
            float.rebase(Tag::FloatCounter, 0, 0);
            whole.rebase(Tag::Counter, 0, 0);
            for (f, u, later) in readings {
                now += later;
                if f.is_finite() && f >= 0.0 {
                    float.take(Reading::FloatCounter(f), now, 50_000);
                }
                whole.take(Reading::Counter(u), now, 50_000);
            }
            prop_assert!(float.total.is_finite() && whole.total.is_finite());
        }
    }
}
