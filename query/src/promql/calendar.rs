//! Days, months and years of a time in UTC, for the functions `hour()`, `month()` and their kin.

use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The UTC date and time of seconds since 1970; `None` for NaN and outside the years ±9999.
pub(super) fn utc(seconds: f64) -> Option<DateTime> {
    /// Well outside the years that jiff knows.
    const SECONDS_MAX: f64 = 1e12;
    if seconds.is_nan() || seconds.abs() > SECONDS_MAX {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let time = jiff::Timestamp::from_second(seconds as i64).ok()?;
    Some(Offset::UTC.to_datetime(time))
}
