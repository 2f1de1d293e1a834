//! The time axis: ticks on wall-clock steps of a zone, right across changes of summer time.

use jiff::civil::{self, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};
use vigie_parsers::Timestamp;

/// A mark of the time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeTick {
    /// When.
    pub at: Timestamp,
    /// The words beside it.
    pub label: String,
    /// A day or a year begins here.
    pub strong: bool,
}

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Distances between ticks.
const STEPS: &[i64] = &[
    SECOND,
    2 * SECOND,
    5 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
];
/// Beyond this the axis counts months.
const MONTHS_FROM: i64 = 70 * DAY;

/// A moment in a zone; times beyond what calendars know stand at their ends.
#[must_use]
pub fn zoned(at: Timestamp, zone: &TimeZone) -> Zoned {
    jiff::Timestamp::from_millisecond(at.0)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(zone.clone())
}

/// At most about `max` ticks between two times.
#[must_use]
pub fn ticks(from: Timestamp, to: Timestamp, zone: &TimeZone, max: u8) -> Vec<TimeTick> {
    let span = to.since_ms(from);
    let max = i64::from(max.max(1));
    if span <= 0 || span > 400 * 366 * DAY {
        return Vec::new();
    }
    if span > MONTHS_FROM {
        return months(from, to, zone, max);
    }
    let step = STEPS
        .iter()
        .find(|s| span / **s <= max)
        .unwrap_or(&(14 * DAY));
    let times = if *step <= HOUR {
        even(from, to, zone, *step)
    } else {
        civil_steps(from, to, zone, *step)
    };
    times
        .into_iter()
        .map(|at| label(&at, *step, span))
        .collect()
}

/// Steps of an hour or less go on evenly, from one round wall-clock time to the next. Where clocks
/// change by less than a step they begin anew at the next round time.
fn even(from: Timestamp, to: Timestamp, zone: &TimeZone, step: i64) -> Vec<Zoned> {
    let round = |at: i64| {
        let offset = i64::from(zoned(Timestamp(at), zone).offset().seconds()) * SECOND;
        (at + offset + step - 1).div_euclid(step) * step - offset
    };
    let mut out = Vec::new();
    let mut at = round(from.0);
    while at <= to.0 {
        let next = round(at);
        // Across a change the round time after may lie before where clocks went back.
        if next > at {
            at = next;
            continue;
        }
        out.push(zoned(Timestamp(at), zone));
        at += step;
    }
    out
}

/// Longer steps are steps of the calendar; a time that clocks skip has no tick.
fn civil_steps(from: Timestamp, to: Timestamp, zone: &TimeZone, step: i64) -> Vec<Zoned> {
    let mut day = zoned(from, zone).date();
    let days = (step / DAY).max(1);
    if days >= 7 {
        // Weeks begin on Monday.
        let back = i64::from(day.weekday().since(Weekday::Monday));
        day = day.checked_sub(back.days()).unwrap_or(day);
    }
    let mut out = Vec::new();
    while let Ok(start) = day.to_zoned(zone.clone()) {
        if start.timestamp().as_millisecond() > to.0 {
            break;
        }
        let hours = if step < DAY { step / HOUR } else { 24 };
        let mut hour = 0;
        while hour < 24 {
            let at = day.at(i8::try_from(hour).unwrap_or(0), 0, 0, 0);
            out.extend(exactly(at, zone).filter(|z| within(z, from, to)));
            hour += hours;
        }
        let Ok(next) = day.checked_add(days.days()) else {
            break;
        };
        day = next;
    }
    out
}

fn exactly(at: civil::DateTime, zone: &TimeZone) -> Option<Zoned> {
    let found = at.to_zoned(zone.clone()).ok()?;
    // A day whose midnight does not exist begins when it begins.
    let begins = at.hour() == 0 && found.date() == at.date();
    (found.datetime() == at || begins).then_some(found)
}

fn within(at: &Zoned, from: Timestamp, to: Timestamp) -> bool {
    (from.0..=to.0).contains(&at.timestamp().as_millisecond())
}

fn months(from: Timestamp, to: Timestamp, zone: &TimeZone, max: i64) -> Vec<TimeTick> {
    let every = (to.since_ms(from) / (30 * DAY)).div_euclid(max) + 1;
    let every = [1, 2, 3, 6, 12, 24, 60, 120]
        .into_iter()
        .find(|n| *n >= every)
        .unwrap_or(600);
    let mut day = zoned(from, zone).date().first_of_month();
    let mut out = Vec::new();
    while let Ok(at) = day.to_zoned(zone.clone()) {
        if at.timestamp().as_millisecond() > to.0 {
            break;
        }
        let number = i64::from(day.year()) * 12 + i64::from(day.month()) - 1;
        if number % every == 0 && within(&at, from, to) {
            let strong = day.month() == 1;
            out.push(TimeTick {
                at: Timestamp(at.timestamp().as_millisecond()),
                label: at.strftime(if strong { "%Y" } else { "%b" }).to_string(),
                strong,
            });
        }
        let Ok(next) = day.checked_add(1.month()) else {
            break;
        };
        day = next;
    }
    out
}

fn label(at: &Zoned, step: i64, span: i64) -> TimeTick {
    let strong = at.start_of_day().is_ok_and(|day| day == *at);
    let format = if step >= DAY && span > 10 * DAY {
        "%-d %b"
    } else if step >= DAY || strong {
        "%a %-d"
    } else if step < MINUTE {
        "%H:%M:%S"
    } else {
        "%H:%M"
    };
    TimeTick {
        at: Timestamp(at.timestamp().as_millisecond()),
        label: at.strftime(format).to_string(),
        strong,
    }
}

/// `14:32`, with the day in front when it is not the day of `now`.
#[must_use]
pub fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (zoned(at, zone), zoned(now, zone));
    let near = now.duration_since(&at).abs() < SignedDuration::from_hours(24 * 6);
    let format = match at.date() == now.date() {
        true => "%H:%M",
        false if near => "%a %H:%M",
        false if at.year() == now.year() => "%-d %b %H:%M",
        false => "%-d %b %Y %H:%M",
    };
    at.strftime(format).to_string()
}

/// `Wed 19 14:32 – Thu 20 14:32`.
#[must_use]
pub fn range_words(from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    let span = to.since_ms(from);
    let (from, to) = (zoned(from, zone), zoned(to, zone));
    let (first, second) = if span > 21 * DAY {
        ("%-d %b %Y", "%-d %b %Y")
    } else if from.date() == to.date() {
        ("%a %-d %H:%M", "%H:%M")
    } else {
        ("%a %-d %H:%M", "%a %-d %H:%M")
    };
    format!("{} – {}", from.strftime(first), to.strftime(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn words(from: &str, to: &str, max: u8) -> String {
        words_in("Europe/Paris", from, to, max)
    }

    fn words_in(zone: &str, from: &str, to: &str, max: u8) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let found = ticks(at(from), at(to), &zone, max);
        assert!(found.windows(2).all(|w| w[0].at < w[1].at));
        let words: Vec<_> = found.into_iter().map(|t| t.label).collect();
        words.join(" ")
    }

    #[test]
    fn ticks_are_wall_clock_times() {
        for (from, to, expected) in [
            (
                "2025-11-19T13:32:00Z",
                "2025-11-20T13:32:00Z",
                "18:00 Thu 20 06:00 12:00",
            ),
            (
                "2025-11-20T13:32:00Z",
                "2025-11-20T14:32:00Z",
                "14:45 15:00 15:15 15:30",
            ),
            (
                "2025-11-13T13:32:00Z",
                "2025-11-20T13:32:00Z",
                "Sat 15 Mon 17 Wed 19",
            ),
            (
                "2025-03-20T13:32:00Z",
                "2025-11-20T13:32:00Z",
                "May Jul Sep Nov",
            ),
            (
                "2025-11-20T13:32:00Z",
                "2025-11-20T13:32:20Z",
                "14:32:00 14:32:05 14:32:10 14:32:15 14:32:20",
            ),
        ] {
            assert_eq!(words(from, to, 5), expected);
        }
    }

    #[test]
    fn summer_time_comes_and_goes() {
        // 2025-03-30 02:00 → 03:00; 2025-10-26 03:00 → 02:00.
        assert_eq!(
            words("2025-03-29T22:00:00Z", "2025-03-30T10:00:00Z", 6),
            "Sun 30 04:00 06:00 08:00 10:00 12:00"
        );
        assert_eq!(
            words("2025-10-25T23:30:00Z", "2025-10-26T02:30:00Z", 6),
            "01:30 02:00 02:30 02:00 02:30 03:00 03:30"
        );
        assert_eq!(
            words("2025-10-24T22:00:00Z", "2025-10-27T23:00:00Z", 5),
            "Sat 25 Sun 26 Mon 27 Tue 28"
        );
    }

    #[test]
    fn days_of_23_and_25_hours_in_many_zones() {
        for (zone, from, to, max, expected) in [
            // New York, 2025-03-09 02:00 → 03:00 and 2025-11-02 02:00 → 01:00.
            (
                "America/New_York",
                "2025-03-09T04:00:00Z",
                "2025-03-09T14:00:00Z",
                12,
                "23:00 Sun 9 01:00 03:00 04:00 05:00 06:00 07:00 08:00 09:00 10:00",
            ),
            (
                "America/New_York",
                "2025-11-02T03:30:00Z",
                "2025-11-02T09:00:00Z",
                6,
                "Sun 2 01:00 01:00 02:00 03:00 04:00",
            ),
            (
                "America/New_York",
                "2025-11-01T04:00:00Z",
                "2025-11-04T05:00:00Z",
                4,
                "Sat 1 Sun 2 Mon 3 Tue 4",
            ),
            // Lord Howe moves by half an hour: 2025-04-06 02:00 → 01:30, 2025-10-05 02:00 → 02:30.
            (
                "Australia/Lord_Howe",
                "2025-10-04T14:00:00Z",
                "2025-10-04T18:30:00Z",
                6,
                "01:00 03:00 04:00 05:00",
            ),
            (
                "Australia/Lord_Howe",
                "2025-04-05T13:00:00Z",
                "2025-04-05T17:30:00Z",
                6,
                "Sun 6 01:00 02:00 03:00 04:00",
            ),
            // Saint Helena's neighbour for half hours without changes.
            (
                "Asia/Kolkata",
                "2025-06-01T18:00:00Z",
                "2025-06-02T00:00:00Z",
                7,
                "Mon 2 01:00 02:00 03:00 04:00 05:00",
            ),
            // Midnight itself is skipped: the day begins at one.
            (
                "Africa/Cairo",
                "2025-04-23T22:00:00Z",
                "2025-04-26T21:00:00Z",
                4,
                "Thu 24 Fri 25 Sat 26 Sun 27",
            ),
        ] {
            assert_eq!(words_in(zone, from, to, max), expected, "{zone} {from}");
        }
    }

    #[test]
    fn every_hour_of_a_year_has_one_tick() {
        for zone in ["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "UTC"] {
            let zone = TimeZone::get(zone).unwrap();
            let (from, to) = (at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
            let found = even(from, to, &zone, HOUR);
            assert!((8759..=8761).contains(&found.len()), "{}", found.len());
            assert!(found.iter().all(|t| t.minute() == 0));
        }
    }

    #[test]
    fn absurd_ranges_have_no_ticks() {
        let zone = TimeZone::UTC;
        assert!(ticks(Timestamp(5), Timestamp(5), &zone, 5).is_empty());
        assert!(ticks(Timestamp::MIN, Timestamp::MAX, &zone, 5).is_empty());
    }
}
