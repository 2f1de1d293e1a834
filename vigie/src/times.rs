//! Times as people type them: `2h`, `yesterday`, `2026-11-21T06:00`, RFC 3339, unix seconds.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use vigie_parsers::Timestamp;

/// What may be typed, for error messages and help.
pub(crate) const FORMS: &str = "2h, 7d, now, now-90m, now+1d, today, yesterday, 2026-11-21, 2026-11-21T06:00, RFC 3339, unix seconds";

/// Reads a point in time. A bare duration means so long before `now`.
pub(crate) fn point(text: &str, now: Timestamp, tz: &TimeZone) -> Result<Timestamp, String> {
    let bad = || format!("'{text}' is no time; use one of: {FORMS}");
    let text = text.trim();
    match text {
        "now" => return Ok(now),
        "today" | "yesterday" => {
            let today = zoned(now, tz).ok_or_else(bad)?.date();
            let day = if text == "today" {
                today
            } else {
                today.saturating_sub(1.day())
            };
            return at_midnight(day, tz).ok_or_else(bad);
        }
        _ => {}
    }
    if let Some(back) = text.strip_prefix("now-") {
        return duration_ms(back).map(|ms| now.plus_ms(-ms)).ok_or_else(bad);
    }
    if let Some(ahead) = text.strip_prefix("now+") {
        return duration_ms(ahead).map(|ms| now.plus_ms(ms)).ok_or_else(bad);
    }
    if let Some(ms) = duration_ms(text) {
        return Ok(now.plus_ms(-ms));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = seconds * 1000.0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "within the range just checked"
        )]
        return if ms.abs() < 8.64e15 {
            Ok(Timestamp(ms as i64))
        } else {
            Err(bad())
        };
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(stamp.as_millisecond()));
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        let zoned = tz
            .to_ambiguous_zoned(civil)
            .compatible()
            .map_err(|_| bad())?;
        return Ok(Timestamp(zoned.timestamp().as_millisecond()));
    }
    Err(bad())
}

/// Reads a duration such as `90s`, `15m`, `2h`, `7d`, `1h30m`.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    let mut total = 0i64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit_ms = match &rest[..letters] {
            "ms" => 1.0,
            "s" => 1e3,
            "m" | "min" => 60e3,
            "h" => 3600e3,
            "d" => 86_400e3,
            "w" => 7.0 * 86_400e3,
            "y" => 365.0 * 86_400e3,
            _ => return None,
        };
        rest = &rest[letters..];
        let ms = number * unit_ms;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "within the range just checked"
        )]
        let ms = if ms < 4e15 { ms as i64 } else { return None };
        total = total.checked_add(ms)?;
    }
    (!text.is_empty()).then_some(total)
}

/// A point in time in a zone, to the second: `2026-11-21 06:00:07`.
pub(crate) fn show(time: Timestamp, tz: &TimeZone) -> String {
    zoned(time, tz).map_or_else(
        || time.0.to_string(),
        |z| z.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// The same, as RFC 3339 with milliseconds and the zone's offset.
pub(crate) fn rfc3339(time: Timestamp, tz: &TimeZone) -> String {
    zoned(time, tz).map_or_else(
        || time.0.to_string(),
        |z| z.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
    )
}

/// The system's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

fn zoned(time: Timestamp, tz: &TimeZone) -> Option<Zoned> {
    Some(
        jiff::Timestamp::from_millisecond(time.0)
            .ok()?
            .to_zoned(tz.clone()),
    )
}

fn at_midnight(day: Date, tz: &TimeZone) -> Option<Timestamp> {
    let zoned = day.to_zoned(tz.clone()).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T06:30:00Z
    const NOW: Timestamp = Timestamp(1_795_242_600_000);

    fn check(text: &str, expected: &str) {
        let tz = TimeZone::get("Europe/Paris").unwrap();
        let got = match point(text, NOW, &tz) {
            Ok(t) => rfc3339(t, &tz),
            Err(e) => e,
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn reads_what_people_type() {
        check("now", "2026-11-21T07:30:00.000+01:00");
        check("90m", "2026-11-21T06:00:00.000+01:00");
        check("1h30m", "2026-11-21T06:00:00.000+01:00");
        check("now-2h", "2026-11-21T05:30:00.000+01:00");
        check("today", "2026-11-21T00:00:00.000+01:00");
        check("yesterday", "2026-11-20T00:00:00.000+01:00");
        check("2026-11-20", "2026-11-20T00:00:00.000+01:00");
        check("2026-11-20T10:00", "2026-11-20T10:00:00.000+01:00");
        check("2026-11-20 10:00:05", "2026-11-20T10:00:05.000+01:00");
        check("2026-11-20T10:00:00Z", "2026-11-20T11:00:00.000+01:00");
        check("1795242600", "2026-11-21T07:30:00.000+01:00");
        check("1795242600.5", "2026-11-21T07:30:00.500+01:00");
    }

    #[test]
    fn the_night_that_clocks_skip_an_hour() {
        check("2026-03-29T02:30", "2026-03-29T03:30:00.000+02:00");
    }

    #[test]
    fn says_what_may_be_typed() {
        check("soon", &format!("'soon' is no time; use one of: {FORMS}"));
        check("2h5", &format!("'2h5' is no time; use one of: {FORMS}"));
        check("1e300", &format!("'1e300' is no time; use one of: {FORMS}"));
    }
}
