//! What times are relative to: the present, the zone, the events that times are named after.

use std::ops::Range;

use jiff::Unit;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;

use super::time::Precision;

const HOUR_MS: i64 = 3_600_000;

/// What times are relative to.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The present.
    pub now: Timestamp,
    /// The zone of dates and times that name none.
    pub zone: TimeZone,
    /// When the machine started, if known.
    pub boot: Option<Timestamp>,
    /// When something was last deployed, if known.
    pub deploy: Option<Timestamp>,
}

impl Clock {
    /// A clock that knows of no boot and no deploy.
    #[must_use]
    pub fn new(now: Timestamp, zone: TimeZone) -> Self {
        Self {
            now,
            zone,
            boot: None,
            deploy: None,
        }
    }

    pub(super) fn today(&self) -> Result<Date, String> {
        let now = jiff::Timestamp::from_millisecond(self.now.0).map_err(out_of_range)?;
        Ok(self.zone.to_datetime(now).date())
    }

    fn at(&self, time: DateTime) -> Result<Timestamp, String> {
        let point = self.zone.to_timestamp(time).map_err(out_of_range)?;
        Ok(Timestamp(point.as_millisecond()))
    }

    pub(super) fn day(&self, day: Date) -> Result<Range<Timestamp>, String> {
        let next = day.tomorrow().map_err(out_of_range)?;
        let midnight = |d: Date| self.at(d.to_datetime(Time::midnight()));
        Ok(midnight(day)?..midnight(next)?)
    }

    pub(super) fn local(
        &self,
        time: DateTime,
        precision: Precision,
    ) -> Result<Range<Timestamp>, String> {
        let start = self.at(time)?;
        let ms = match precision {
            Precision::Hour => 3_600_000,
            Precision::Minute => 60_000,
            Precision::Second => 1000,
        };
        Ok(start..start.plus_ms(ms))
    }

    /// Where whole steps of that length begin: at midnight for steps of hours and days.
    pub(crate) fn step_origin(&self, near: Timestamp, step_ms: i64) -> Timestamp {
        let midnight = || {
            let near = jiff::Timestamp::from_millisecond(near.0).ok()?;
            let day = self.zone.to_datetime(near).round(Unit::Day).ok()?.date();
            self.at(day.to_datetime(Time::midnight())).ok()
        };
        let by_calendar = step_ms >= HOUR_MS && near.0.abs() < i64::MAX / 4;
        by_calendar.then(midnight).flatten().unwrap_or(Timestamp(0))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn out_of_range(error: jiff::Error) -> String {
    format!("time out of range: {error}")
}
