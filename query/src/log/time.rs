//! Times as people write them: `15m`, `2h..1h`, `2026-11-20T10:00..11:00`, `yesterday`, `deploy`.

use std::fmt;
use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};
use vigie_parsers::Timestamp;

use super::clock::{Clock, out_of_range};
use super::number;

/// A point in time, or the span that a date stands for, not yet tied to a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So many milliseconds ago.
    Ago(i64),
    /// Now.
    Now,
    /// A day of the calendar.
    Day(Date),
    /// A minute, or a second if it is named, of a day.
    Local(DateTime, Precision),
    /// The same of today.
    Clock(Time, Precision),
    /// A point with a zone, or in seconds since 1970.
    Fixed(Timestamp),
    /// The day that runs.
    Today,
    /// The day before.
    Yesterday,
    /// When the machine started.
    Boot,
    /// The last deploy that was announced.
    Deploy,
}

/// The unit down to which a time was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// `T10`
    Hour,
    /// `10:00`
    Minute,
    /// `10:00:00`
    Second,
}

/// Which span of time a query looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeRange {
    /// All there is.
    All,
    /// The day or minute that a moment names; from there to now if it names a point.
    Of(Moment),
    /// From one to the other, either end may be open.
    Between(Option<Moment>, Option<Moment>),
}

impl Moment {
    /// Reads one moment; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.to_ascii_lowercase();
        let named = match word.as_str() {
            "now" => Self::Now,
            "today" => Self::Today,
            "yesterday" => Self::Yesterday,
            "boot" => Self::Boot,
            "deploy" => Self::Deploy,
            _ => return Self::parse_figures(text),
        };
        Some(named)
    }

    fn parse_figures(text: &str) -> Option<Self> {
        if let Some(ms) = number::duration_ms(text) {
            return Some(Self::Ago(ms));
        }
        let digits = text.split('.').next().unwrap_or_default();
        if digits.len() >= 9 && digits.bytes().all(|b| b.is_ascii_digit()) {
            return unix(text).map(Self::Fixed);
        }
        if let Some(time) = clock_time(text) {
            return Some(Self::Clock(time.0, time.1));
        }
        if text.len() == "2026-11-20".len() {
            return text.parse().ok().map(Self::Day);
        }
        if let Ok(fixed) = text.parse::<jiff::Timestamp>() {
            return Some(Self::Fixed(Timestamp(fixed.as_millisecond())));
        }
        let (day, time) = text.split_once(['T', 't', '_'])?;
        let (time, precision) = clock_time(time).or_else(|| {
            let hour: i8 = time.parse().ok()?;
            let whole = Time::new(hour, 0, 0, 0).ok()?;
            (time.len() == 2).then_some((whole, Precision::Hour))
        })?;
        let day: Date = day.parse().ok()?;
        Some(Self::Local(day.to_datetime(time), precision))
    }

    /// The span that it names: a day, a minute; an empty one for a point.
    ///
    /// # Errors
    /// When it names a boot or a deploy that is not known, or a time out of range.
    pub fn span(&self, clock: &Clock) -> Result<Range<Timestamp>, String> {
        let point = |t: Timestamp| Ok(t..t);
        match self {
            Self::Ago(ms) => point(clock.now.plus_ms(-ms)),
            Self::Now => point(clock.now),
            Self::Fixed(time) => point(*time),
            Self::Boot => point(clock.boot.ok_or("no boot time is known here")?),
            Self::Deploy => point(clock.deploy.ok_or("no deploy has been recorded yet")?),
            Self::Day(day) => clock.day(*day),
            Self::Today => clock.day(clock.today()?),
            Self::Yesterday => clock.day(clock.today()?.yesterday().map_err(out_of_range)?),
            Self::Local(at, precision) => clock.local(*at, *precision),
            Self::Clock(time, precision) => {
                clock.local(clock.today()?.to_datetime(*time), *precision)
            }
        }
    }

    /// The point where it begins.
    ///
    /// # Errors
    /// As [`Moment::span`].
    pub fn start(&self, clock: &Clock) -> Result<Timestamp, String> {
        Ok(self.span(clock)?.start)
    }
}

impl TimeRange {
    /// Whether it ends now because nothing was said of its end.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Between(_, None) => true,
            Self::Of(moment) => matches!(
                moment,
                Moment::Ago(_) | Moment::Now | Moment::Fixed(_) | Moment::Boot | Moment::Deploy
            ),
            Self::All | Self::Between(..) => false,
        }
    }

    /// Reads a range or a single moment; `None` if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("all") {
            return Some(Self::All);
        }
        let Some((from, until)) = text.split_once("..") else {
            return Moment::parse(text).map(Self::Of);
        };
        let end = |text: &str| match text {
            "" => Some(None),
            _ => Moment::parse(text).map(Some),
        };
        let (from, mut until) = (end(from)?, end(until)?);
        // `2026-11-20T10:00..11:00`: the same day.
        if let (Some(Moment::Local(start, _)), Some(Moment::Clock(time, precision))) =
            (&from, &until)
        {
            until = Some(Moment::Local(start.date().to_datetime(*time), *precision));
        }
        (from.is_some() || until.is_some()).then_some(Self::Between(from, until))
    }

    /// The span itself, its end excluded. A day as an end belongs to the range; a time of day is
    /// where the range ends.
    ///
    /// # Errors
    /// As [`Moment::span`], or when it ends before it begins.
    pub fn resolve(&self, clock: &Clock) -> Result<Range<Timestamp>, String> {
        let range = match self {
            Self::All => Timestamp::MIN..Timestamp::MAX,
            Self::Of(moment) => {
                let span = moment.span(clock)?;
                let end = if span.is_empty() {
                    clock.now.plus_ms(1)
                } else {
                    span.end
                };
                span.start..end.max(span.start)
            }
            Self::Between(from, until) => {
                let from = from
                    .as_ref()
                    .map_or(Ok(Timestamp::MIN), |m| m.start(clock))?;
                let until = match until {
                    None => clock.now.plus_ms(1),
                    Some(day @ (Moment::Day(_) | Moment::Today | Moment::Yesterday)) => {
                        day.span(clock)?.end
                    }
                    Some(moment) => moment.start(clock)?,
                };
                from..until
            }
        };
        if range.end < range.start {
            return Err(format!("the time range '{self}' ends before it begins"));
        }
        Ok(range)
    }
}

fn unix(text: &str) -> Option<Timestamp> {
    let seconds: f64 = text.parse().ok()?;
    /// The year 9999.
    const MAX_S: f64 = 253_402_300_799.0;
    let ms = (seconds * 1e3).round();
    #[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_S")]
    (seconds <= MAX_S).then_some(Timestamp(ms as i64))
}

/// `10:00` or `10:00:30`.
fn clock_time(text: &str) -> Option<(Time, Precision)> {
    let mut parts = text.split(':');
    let mut part = || -> Option<Option<i8>> {
        let Some(part) = parts.next() else {
            return Some(None);
        };
        let sound = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
        sound.then(|| part.parse().ok())
    };
    let (hour, minute, second) = (part()??, part()??, part()?);
    let precision = second.map_or(Precision::Minute, |_| Precision::Second);
    let time = Time::new(hour, minute, second.unwrap_or(0), 0).ok()?;
    (text.matches(':').count() <= 2).then_some((time, precision))
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ago(ms) => f.write_str(&number::show_duration(*ms)),
            Self::Now => f.write_str("now"),
            Self::Day(day) => write!(f, "{day}"),
            Self::Local(at, precision) => {
                write!(f, "{}T", at.date())?;
                show_time(f, at.time(), *precision)
            }
            Self::Clock(time, precision) => show_time(f, *time, *precision),
            Self::Fixed(time) => match jiff::Timestamp::from_millisecond(time.0) {
                Ok(point) => write!(f, "{point}"),
                Err(_) => write!(f, "{}", time.0 / 1000),
            },
            Self::Today => f.write_str("today"),
            Self::Yesterday => f.write_str("yesterday"),
            Self::Boot => f.write_str("boot"),
            Self::Deploy => f.write_str("deploy"),
        }
    }
}

fn show_time(f: &mut fmt::Formatter<'_>, time: Time, precision: Precision) -> fmt::Result {
    match precision {
        Precision::Hour => write!(f, "{:02}", time.hour()),
        Precision::Minute => write!(f, "{:02}:{:02}", time.hour(), time.minute()),
        Precision::Second => write!(
            f,
            "{:02}:{:02}:{:02}",
            time.hour(),
            time.minute(),
            time.second()
        ),
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Of(moment) => write!(f, "{moment}"),
            Self::Between(from, until) => {
                if let Some(from) = from {
                    write!(f, "{from}")?;
                }
                f.write_str("..")?;
                until.as_ref().map_or(Ok(()), |until| write!(f, "{until}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn clock() -> Clock {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let now = "2026-11-21T12:30:00Z".parse::<jiff::Timestamp>().unwrap();
        Clock {
            now: Timestamp(now.as_millisecond()),
            zone,
            boot: Some(Timestamp(now.as_millisecond() - 5 * DAY_MS)),
            deploy: None,
        }
    }

    #[test]
    fn ranges() {
        let check = |text: &str, from: &str, until: &str| {
            let range = TimeRange::parse(text).expect(text);
            assert_eq!(
                TimeRange::parse(&range.to_string()),
                Some(range.clone()),
                "{text}"
            );
            let found = range.resolve(&clock()).unwrap();
            let show = |t: Timestamp| jiff::Timestamp::from_millisecond(t.0).unwrap().to_string();
            assert_eq!(
                (show(found.start).as_str(), show(found.end).as_str()),
                (from, until),
                "{text}"
            );
        };
        let now = "2026-11-21T12:30:00.001Z";
        check("15m", "2026-11-21T12:15:00Z", now);
        check("1h30m", "2026-11-21T11:00:00Z", now);
        check("2h..1h", "2026-11-21T10:30:00Z", "2026-11-21T11:30:00Z");
        check("2h..", "2026-11-21T10:30:00Z", now);
        check("today", "2026-11-20T23:00:00Z", "2026-11-21T23:00:00Z");
        check("yesterday", "2026-11-19T23:00:00Z", "2026-11-20T23:00:00Z");
        check("boot", "2026-11-16T12:30:00Z", now);
        check("boot..2h", "2026-11-16T12:30:00Z", "2026-11-21T10:30:00Z");
        check("2026-11-20", "2026-11-19T23:00:00Z", "2026-11-20T23:00:00Z");
        check(
            "2026-11-19..2026-11-20",
            "2026-11-18T23:00:00Z",
            "2026-11-20T23:00:00Z",
        );
        check(
            "2026-11-20T10:00",
            "2026-11-20T09:00:00Z",
            "2026-11-20T09:01:00Z",
        );
        check(
            "2026-11-20T10",
            "2026-11-20T09:00:00Z",
            "2026-11-20T10:00:00Z",
        );
        check(
            "2026-11-20T10:00..11:00",
            "2026-11-20T09:00:00Z",
            "2026-11-20T10:00:00Z",
        );
        check(
            "10:00..10:05:30",
            "2026-11-21T09:00:00Z",
            "2026-11-21T09:05:30Z",
        );
        check(
            "2026-11-20T10:00:00Z..2026-11-20T12:00:00+01:00",
            "2026-11-20T10:00:00Z",
            "2026-11-20T11:00:00Z",
        );
        check("1795255200..", "2026-11-21T10:00:00Z", now);
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "..",
            "15",
            "15x",
            "5MiB",
            "2k",
            "2026-13-01",
            "25:00",
            "10:00:00:00",
            "tomorow",
        ] {
            assert_eq!(TimeRange::parse(text), None, "{text:?}");
        }
        let backwards = TimeRange::parse("1h..2h").unwrap();
        assert!(backwards.resolve(&clock()).is_err());
        assert!(
            TimeRange::parse("deploy")
                .unwrap()
                .resolve(&clock())
                .is_err()
        );
    }
}
