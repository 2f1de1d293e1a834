//! Points in time, and what a parser has to know to read an incomplete one.

use jiff::tz::TimeZone;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest time there is.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The time `ms` milliseconds later (earlier if negative), held at the ends of the range.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What a line's time stamp leaves out: the day it was received, and the zone of its sender.
///
/// Kept from line to line: parsers also use it to remember the last stamp they computed.
#[derive(Clone, Debug)]
pub struct Context {
    /// When the line arrived; the anchor for a missing year.
    pub recv: Timestamp,
    /// The zone of stamps that name none.
    pub zone: TimeZone,
    /// The hour last asked for, and the zone's distance from UTC in it.
    pub(crate) offset: Option<(i64, i64)>,
}

impl Context {
    /// A context for lines received at `recv` from a sender in `zone`.
    #[must_use]
    pub fn new(recv: Timestamp, zone: TimeZone) -> Self {
        Self {
            recv,
            zone,
            offset: None,
        }
    }
}
