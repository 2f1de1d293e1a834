//! Points in time, and what a parser has to know to read an incomplete one.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::minute::Minutes;

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
    /// The last minute of local time that was looked up (civil ms) and what the zone adds to UTC.
    minute: (i64, i64),
    /// The last date without a year (month and day) and the civil midnight that was found for it.
    day: ((u8, u8), i64),
    /// The minutes of the last stamps, as text.
    pub(crate) minutes: Minutes,
}

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

impl Context {
    /// A context for lines received at `recv` from a sender in `zone`.
    #[must_use]
    pub fn new(recv: Timestamp, zone: TimeZone) -> Self {
        Self {
            recv,
            zone,
            minute: (i64::MIN, 0),
            day: ((0, 0), 0),
            minutes: Minutes::NONE,
        }
    }

    /// The time at which the clocks of the zone show `civil` (ms since 1970 as if it were UTC).
    /// Of the two readings in an hour that repeats itself it takes the one nearer to `recv`.
    #[inline]
    pub(crate) fn local(&mut self, civil: i64) -> Timestamp {
        let minute = civil - civil.rem_euclid(MINUTE_MS);
        if self.minute.0 != minute {
            match self.offset_ms(minute) {
                Ok(offset) => self.minute = (minute, offset),
                Err(offset) => return Timestamp(civil - offset),
            }
        }
        Timestamp(civil - self.minute.1)
    }

    /// The zone's offset in that minute; `Err` where it depends on when the line arrived.
    fn offset_ms(&self, civil: i64) -> Result<i64, i64> {
        let Some(datetime) = civil_datetime(civil) else {
            return Ok(0);
        };
        let ms = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * 1000;
        match self.zone.to_ambiguous_timestamp(datetime).offset() {
            AmbiguousOffset::Unambiguous { offset } => Ok(ms(offset)),
            AmbiguousOffset::Gap { before, .. } => Ok(ms(before)),
            AmbiguousOffset::Fold { before, after } => {
                let far = |o: i64| self.recv.0.saturating_sub(civil - o).unsigned_abs();
                let (before, after) = (ms(before), ms(after));
                Err(if far(after) <= far(before) {
                    after
                } else {
                    before
                })
            }
        }
    }

    /// The time of a stamp without a year: the latest one that is at most a day after `recv`, which is
    /// also the nearest. `midnight` gives the date in a year, if it exists there (29 February).
    #[inline]
    pub(crate) fn yearless(
        &mut self,
        date: (u8, u8),
        clock: i64,
        midnight: impl Fn(i32) -> Option<i64>,
    ) -> Option<Timestamp> {
        if self.day.0 == date
            && let Some(time) = self.within_year(self.day.1 + clock)
        {
            return Some(time);
        }
        self.search_year(date, clock, midnight)
    }

    /// The time at which the clocks show `civil`, if that is within the year up to a day after `recv`:
    /// then no other year fits.
    #[inline]
    pub(crate) fn within_year(&mut self, civil: i64) -> Option<Timestamp> {
        /// The same date does not come again before, whatever the zone does meanwhile.
        const YEAR_AT_LEAST_MS: i64 = 363 * DAY_MS;
        let latest = self.recv.0.saturating_add(DAY_MS);
        let time = self.local(civil);
        (time.0 <= latest && latest - time.0 < YEAR_AT_LEAST_MS).then_some(time)
    }

    /// The civil midnight of the date without a year that was resolved last.
    pub(crate) fn last_midnight(&self) -> i64 {
        self.day.1
    }

    #[cold]
    fn search_year(
        &mut self,
        date: (u8, u8),
        clock: i64,
        midnight: impl Fn(i32) -> Option<i64>,
    ) -> Option<Timestamp> {
        /// No zone is farther from UTC than this.
        const ZONE_MAX_MS: i64 = 26 * 3_600_000;
        /// A 29 February may be eight years back.
        const YEARS_BACK: i32 = 9;
        let latest = self.recv.0.saturating_add(DAY_MS);
        let newest = year_of(latest.saturating_add(ZONE_MAX_MS))?;
        (0..YEARS_BACK).find_map(|back| {
            let midnight = midnight(newest - back)?;
            let civil = midnight + clock;
            if civil.saturating_sub(ZONE_MAX_MS) > latest {
                return None;
            }
            let time = self.local(civil);
            if time.0 > latest {
                return None;
            }
            self.day = (date, midnight);
            Some(time)
        })
    }
}

fn civil_datetime(civil: i64) -> Option<DateTime> {
    let stamp = jiff::Timestamp::from_millisecond(civil).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(stamp))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (years from March on, 400-year eras).
pub(crate) fn days_of(year: i32, month: u8, day: u8) -> i64 {
    let (month, year) = (i64::from(month), i64::from(year));
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The year in which that millisecond lies, in UTC.
fn year_of(ms: i64) -> Option<i32> {
    let days = ms.div_euclid(DAY_MS);
    // A first guess by the mean length of the year is at most one year off.
    let guess = i32::try_from(1970 + days * 400 / 146_097).ok()?;
    if !(-9999..=9999).contains(&guess) {
        return None;
    }
    (guess - 1..=guess + 1)
        .rev()
        .find(|&y| days_of(y, 1, 1) <= days)
}
