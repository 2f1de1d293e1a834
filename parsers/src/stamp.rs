//! Time stamps as logs write them, read from the front of a text.

use jiff::civil::DateTime;

use crate::{Context, Timestamp};

/// A stamp that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When.
    pub(crate) time: Timestamp,
    /// How many bytes it took.
    pub(crate) len: usize,
    /// The year or the zone is inferred.
    pub(crate) guessed: bool,
}

const DAY_MS: i64 = 86_400_000;

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn month_len(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Two digits.
fn two(text: &[u8], at: usize) -> Option<i64> {
    let (a, b) = (*text.get(at)?, *text.get(at + 1)?);
    (a.is_ascii_digit() && b.is_ascii_digit())
        .then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
}

fn four(text: &[u8], at: usize) -> Option<i64> {
    Some(two(text, at)? * 100 + two(text, at + 2)?)
}

fn byte(text: &[u8], at: usize, wanted: u8) -> Option<()> {
    (*text.get(at)? == wanted).then_some(())
}

/// The month of a three-letter English name, case-blind.
pub(crate) fn month(text: &[u8]) -> Option<i64> {
    const NAMES: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let name = [
        text.first()? | 0x20,
        text.get(1)? | 0x20,
        text.get(2)? | 0x20,
    ];
    Some(NAMES.iter().position(|n| **n == name)? as i64 + 1)
}

/// A civil time without a zone.
#[derive(Clone, Copy, Debug)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    ms_of_day: i64,
}

impl Civil {
    /// As if the zone were UTC; `None` for a day that does not exist.
    fn utc_ms(self) -> Option<i64> {
        let sound = (1..=12).contains(&self.month)
            && (1..=month_len(self.year, self.month)).contains(&self.day);
        sound.then(|| days(self.year, self.month, self.day) * DAY_MS + self.ms_of_day)
    }

    /// In the zone of the context.
    fn local(self, cx: &mut Context) -> Option<Timestamp> {
        let utc = self.utc_ms()?;
        Some(Timestamp(utc - cx.offset_ms(utc)))
    }
}

/// `hh:mm:ss` with one or two digits for the hour; a leap second counts as the last moment before.
fn clock(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let (hour, at) = match two(text, at) {
        Some(hour) => (hour, at + 2),
        None => {
            let digit = *text.get(at)?;
            (
                digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?,
                at + 1,
            )
        }
    };
    byte(text, at, b':')?;
    byte(text, at + 3, b':')?;
    let (minute, second) = (two(text, at + 1)?, two(text, at + 4)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let ms =
        ((hour * 60 + minute) * 60 + second.min(59)) * 1000 + if second == 60 { 999 } else { 0 };
    Some((ms, at + 6))
}

/// A fraction of a second behind `.` or `,`, in milliseconds; any number of digits.
fn fraction(text: &[u8], at: usize) -> (i64, usize) {
    if !matches!(text.get(at), Some(b'.' | b',')) {
        return (0, at);
    }
    let mut end = at + 1;
    let (mut ms, mut weight) = (0, 100);
    while let Some(d) = text.get(end).filter(|c| c.is_ascii_digit()) {
        ms += i64::from(d - b'0') * weight;
        weight /= 10;
        end += 1;
    }
    if end == at + 1 { (0, at) } else { (ms, end) }
}

/// `Z`, `+01:00`, `+0100` or `+01`, as milliseconds east of UTC.
fn offset(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let sign = match text.get(at)? {
        b'Z' | b'z' => return Some((0, at + 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = two(text, at + 1)?;
    let colon = usize::from(text.get(at + 3) == Some(&b':'));
    let (minutes, end) = match two(text, at + 3 + colon) {
        Some(minutes) => (minutes, at + 5 + colon),
        None => (0, at + 3),
    };
    (hours <= 18 && minutes <= 59).then_some((sign * (hours * 60 + minutes) * 60_000, end))
}

/// RFC 3339 and its neighbours: `T` or a space between, `.` or `,` before the fraction, the zone
/// optional or behind a space.
pub(crate) fn iso(cx: &mut Context, text: &[u8]) -> Option<Stamp> {
    let year = four(text, 0)?;
    let separator = *text.get(4)?;
    if !matches!(separator, b'-' | b'/') || *text.get(7)? != separator {
        return None;
    }
    let (month, day) = (two(text, 5)?, two(text, 8)?);
    if !matches!(text.get(10)?, b'T' | b't' | b' ' | b'_') {
        return None;
    }
    let (ms, at) = clock(text, 11)?;
    let (fraction_ms, at) = fraction(text, at);
    let civil = Civil {
        year,
        month,
        day,
        ms_of_day: ms + fraction_ms,
    };
    let (zone, end) = match offset(text, at) {
        Some((zone, end)) => (Some(zone), end),
        None => match text.get(at..at + 4) {
            Some(b" UTC" | b" GMT") => (Some(0), at + 4),
            _ => (None, at),
        },
    };
    let time = match zone {
        Some(zone) => Timestamp(civil.utc_ms()? - zone),
        None => civil.local(cx)?,
    };
    Some(Stamp {
        time,
        len: end,
        guessed: zone.is_none(),
    })
}

/// `21/Nov/2026:05:19:12 +0000`, as the web servers write it.
pub(crate) fn clf(cx: &mut Context, text: &[u8]) -> Option<Stamp> {
    let day = two(text, 0)?;
    byte(text, 2, b'/')?;
    byte(text, 6, b'/')?;
    byte(text, 11, b':').or_else(|| byte(text, 11, b' '))?;
    let month = month(text.get(3..6)?)?;
    let year = four(text, 7)?;
    let (ms, at) = clock(text, 12)?;
    let (fraction_ms, at) = fraction(text, at);
    let civil = Civil {
        year,
        month,
        day,
        ms_of_day: ms + fraction_ms,
    };
    match (text.get(at), offset(text, at + 1)) {
        (Some(b' '), Some((zone, end))) => Some(Stamp {
            time: Timestamp(civil.utc_ms()? - zone),
            len: end,
            guessed: false,
        }),
        _ => Some(Stamp {
            time: civil.local(cx)?,
            len: at,
            guessed: true,
        }),
    }
}

/// `Nov 21 05:11:43`, with its relatives: a year before or behind the clock, one digit for day or
/// hour, a fraction.
pub(crate) fn bsd(cx: &mut Context, text: &[u8]) -> Option<Stamp> {
    let month = month(text)?;
    byte(text, 3, b' ')?;
    let mut at = 4 + usize::from(text.get(4) == Some(&b' '));
    let (day, after) = match two(text, at) {
        Some(day) => (day, at + 2),
        None => {
            let digit = *text.get(at)?;
            (
                digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?,
                at + 1,
            )
        }
    };
    at = after;
    byte(text, at, b' ')?;
    at += 1;
    let mut year = None;
    if let (Some(y), Some(b' ')) = (four(text, at), text.get(at + 4)) {
        year = Some(y);
        at += 5;
    }
    let (ms, at) = clock(text, at)?;
    let (fraction_ms, mut at) = fraction(text, at);
    if year.is_none()
        && let (Some(b' '), Some(y @ 1970..2200), None | Some(b' ' | b':')) =
            (text.get(at), four(text, at + 1), text.get(at + 5))
    {
        year = Some(y);
        at += 5;
    }
    let ms_of_day = ms + fraction_ms;
    let time = match year {
        Some(year) => Civil {
            year,
            month,
            day,
            ms_of_day,
        }
        .local(cx)?,
        None => nearest_year(cx, month, day, ms_of_day)?,
    };
    Some(Stamp {
        time,
        len: at,
        guessed: true,
    })
}

/// Of last year, this year and next year the reading nearest to the receipt, but not more than a day
/// after it: a December line that arrives in January is of last year.
fn nearest_year(cx: &mut Context, month: i64, day: i64, ms_of_day: i64) -> Option<Timestamp> {
    let this = cx.recv_year();
    let latest = cx.recv.plus_ms(DAY_MS);
    let recv = cx.recv;
    let mut nearest: Option<Timestamp> = None;
    for year in [this, this - 1, this + 1] {
        let civil = Civil {
            year,
            month,
            day,
            ms_of_day,
        };
        let Some(time) = civil.local(cx).filter(|t| *t <= latest) else {
            continue;
        };
        let distance = |t: Timestamp| recv.since_ms(t).abs();
        if nearest.is_none_or(|best| distance(time) < distance(best)) {
            nearest = Some(time);
        }
    }
    // The 29th of February, read in a year that has none: it was the last one.
    nearest.or_else(|| {
        Civil {
            year: this - this % 4,
            month,
            day,
            ms_of_day,
        }
        .local(cx)
    })
}

/// Seconds since 1970 with an optional fraction.
pub(crate) fn epoch(text: &[u8]) -> Option<Stamp> {
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    if !(9..=10).contains(&digits) {
        return None;
    }
    let seconds: i64 = std::str::from_utf8(text.get(..digits)?)
        .ok()?
        .parse()
        .ok()?;
    let (fraction_ms, len) = fraction(text, digits);
    Some(Stamp {
        time: Timestamp(seconds * 1000 + fraction_ms),
        len,
        guessed: false,
    })
}

impl Context {
    /// The zone's distance from UTC at a local time, in milliseconds; remembered for the hour.
    fn offset_ms(&mut self, local_ms: i64) -> i64 {
        let hour = local_ms.div_euclid(3_600_000);
        if let Some((known, offset)) = self.offset
            && known == hour
        {
            return offset;
        }
        let offset = self.look_up_offset(local_ms).unwrap_or(0);
        self.offset = Some((hour, offset));
        offset
    }

    fn look_up_offset(&self, local_ms: i64) -> Option<i64> {
        let civil: DateTime =
            jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_millisecond(local_ms).ok()?);
        let zoned = self.zone.to_ambiguous_zoned(civil).compatible().ok()?;
        Some(i64::from(zoned.offset().seconds()) * 1000)
    }

    /// The year of the receipt in UTC.
    fn recv_year(&self) -> i64 {
        // Exact enough: candidates on both sides are looked at.
        1970 + self.recv.0.div_euclid(31_556_952_000)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    /// 2026-11-21T06:00:00Z
    const RECV: Timestamp = Timestamp(1_795_240_800_000);

    fn show(stamp: Option<Stamp>) -> String {
        stamp.map_or("none".to_owned(), |s| {
            let time = jiff::Timestamp::from_millisecond(s.time.0).unwrap();
            format!("{time} {}{}", s.len, if s.guessed { " ~" } else { "" })
        })
    }

    fn check(read: fn(&mut Context, &[u8]) -> Option<Stamp>, text: &str, expected: &str) {
        let mut cx = Context::new(RECV, TimeZone::get("Europe/Paris").unwrap());
        assert_eq!(show(read(&mut cx, text.as_bytes())), expected, "{text}");
    }

    #[test]
    fn iso_and_its_neighbours() {
        check(
            iso,
            "2026-11-21T05:10:56.656489+00:00 x",
            "2026-11-21T05:10:56.656Z 32",
        );
        check(iso, "2026-11-21T05:10:56Z", "2026-11-21T05:10:56Z 20");
        check(iso, "2026-11-21t05:10:60z", "2026-11-21T05:10:59.999Z 20");
        check(
            iso,
            "2026-11-21 05:10:56,044 INFO",
            "2026-11-21T04:10:56.044Z 23 ~",
        );
        check(
            iso,
            "2024-01-06 09:45:34.712 UTC [1]",
            "2024-01-06T09:45:34.712Z 27",
        );
        check(
            iso,
            "2026/11/21 05:19:14 [error]",
            "2026-11-21T04:19:14Z 19 ~",
        );
        check(iso, "2026-02-29T05:10:56Z", "none");
        check(iso, "2026-11-21T25:10:56Z", "none");
        check(iso, "2026-11-21", "none");
    }

    #[test]
    fn web_servers() {
        check(
            clf,
            "21/Nov/2026:05:19:12 +0000]",
            "2026-11-21T05:19:12Z 26",
        );
        check(
            clf,
            "21/Nov/2026:05:19:12 -0730]",
            "2026-11-21T12:49:12Z 26",
        );
        check(clf, "06/Jan/2024 09:45:57]", "2024-01-06T08:45:57Z 20 ~");
        check(
            clf,
            "21/Nov/2026:05:24:22.040]",
            "2026-11-21T04:24:22.04Z 24 ~",
        );
        check(clf, "32/Nov/2026:05:19:12 +0000]", "none");
    }

    #[test]
    fn bsd_stamps_find_their_year() {
        check(bsd, "Nov 21 05:11:43 vm", "2026-11-21T04:11:43Z 15 ~");
        check(bsd, "Nov  1 5:11:43 vm", "2026-11-01T04:11:43Z 14 ~");
        check(bsd, "Dec 25 05:11:43 vm", "2025-12-25T04:11:43Z 15 ~");
        check(bsd, "Nov 22 04:11:43 vm", "2026-11-22T03:11:43Z 15 ~");
        check(bsd, "nov 21 2024 05:11:43 vm", "2024-11-21T04:11:43Z 20 ~");
        check(bsd, "Nov 21 05:11:43 2024 vm", "2024-11-21T04:11:43Z 20 ~");
        check(
            bsd,
            "Nov 21 05:11:43.123 vm",
            "2026-11-21T04:11:43.123Z 19 ~",
        );
        check(bsd, "Feb 30 05:11:43 vm", "none");
        check(bsd, "Foo 21 05:11:43 vm", "none");
    }
}
