//! The ways in which programs write a point in time, read from the start of a slice.

use crate::time::days_of;
use crate::{Context, Timestamp};

/// A stamp as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// What the clock showed: ms since 1970 as if it were UTC.
    pub(crate) civil: i64,
    /// What the stamp says of its distance to UTC, in ms.
    offset: Option<i64>,
    /// Bytes that it takes.
    pub(crate) len: usize,
}

impl Stamp {
    /// A stamp put together elsewhere.
    pub(crate) fn new(civil: i64, offset: Option<i64>) -> Self {
        Self {
            civil,
            offset,
            len: 0,
        }
    }

    /// The same stamp in `s`, in UTC if its name follows.
    pub(crate) fn or_utc(mut self, s: &[u8]) -> Self {
        let name = s.get(self.len..).and_then(|rest| rest.strip_prefix(b" "));
        if name.is_some_and(|name| utc_name(name).is_some()) {
            self.offset = Some(0);
        }
        self
    }

    /// The point in time; `true` if the zone had to be guessed.
    #[inline]
    pub(crate) fn resolve(self, cx: &mut Context) -> (Timestamp, bool) {
        match self.offset {
            Some(offset) => (Timestamp(self.civil - offset), false),
            None => (cx.local(self.civil), true),
        }
    }
}

/// A stamp that names no year.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yearless {
    month: u8,
    day: u8,
    clock: i64,
    pub(crate) len: usize,
}

impl Yearless {
    /// The latest such time up to a day after the receipt.
    #[inline]
    pub(crate) fn resolve(self, cx: &mut Context) -> Option<Timestamp> {
        cx.yearless((self.month, self.day), self.clock, |year| {
            date(year, self.month, self.day)
        })
    }

    /// What the clock showed, with the year that [`Self::resolve`] has just found.
    pub(crate) fn civil(self, cx: &Context) -> i64 {
        cx.last_midnight() + self.clock
    }
}

#[inline]
fn digit(b: Option<&u8>) -> Option<u8> {
    let n = b?.wrapping_sub(b'0');
    (n < 10).then_some(n)
}

#[inline]
fn two(s: &[u8], at: usize) -> Option<u8> {
    Some(digit(s.get(at))? * 10 + digit(s.get(at + 1))?)
}

#[inline]
fn four(s: &[u8], at: usize) -> Option<i32> {
    Some(i32::from(two(s, at)?) * 100 + i32::from(two(s, at + 2)?))
}

/// The date as ms since 1970, if it is in the calendar.
#[inline]
pub(crate) fn date(year: i32, month: u8, day: u8) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    (1..=last)
        .contains(&day)
        .then(|| days_of(year, month, day) * 86_400_000)
}

/// `hh:mm:ss` (or `h:mm:ss`) with a fraction after `.` or `,`: ms of the day and length. Second 60
/// counts as the last millisecond of 59.
#[inline]
fn clock(s: &[u8], at: usize) -> Option<(i64, usize)> {
    let (hour, mut i) = match two(s, at) {
        Some(hour) => (hour, at + 2),
        None => (digit(s.get(at))?, at + 1),
    };
    if s.get(i) != Some(&b':') || s.get(i + 3) != Some(&b':') {
        return None;
    }
    let (minute, second) = (two(s, i + 1)?, two(s, i + 4)?);
    i += 6;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (mut ms, n) = fraction(s, i);
    i += n;
    let mut whole = i64::from(second);
    if second == 60 {
        (whole, ms) = (59, 999);
    }
    let day = (i64::from(hour) * 3600 + i64::from(minute) * 60 + whole) * 1000 + ms;
    Some((day, i - at))
}

/// A fraction of a second of any length, cut to ms, and its length with the separator.
#[inline]
fn fraction(s: &[u8], at: usize) -> (i64, usize) {
    let Some([b'.' | b',', rest @ ..]) = s.get(at..) else {
        return (0, 0);
    };
    let n = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let value = |b: &u8| i64::from(b & 0xf);
    let ms = match rest.get(..n.min(3)) {
        Some([a, b, c]) => value(a) * 100 + value(b) * 10 + value(c),
        Some([a, b]) => value(a) * 100 + value(b) * 10,
        Some([a]) => value(a) * 100,
        _ => return (0, 0),
    };
    (ms, n + 1)
}

/// `Z`, `±hh:mm`, `±hhmm` or `±hh`: ms and length.
#[inline]
pub(crate) fn offset(s: &[u8], at: usize) -> Option<(i64, usize)> {
    let sign = match s.get(at)? {
        b'Z' | b'z' => return Some((0, 1)),
        b'+' => 60_000,
        b'-' => -60_000,
        _ => return None,
    };
    let hours = two(s, at + 1)?;
    let (minutes, len) = match s.get(at + 3) {
        Some(b':') => (two(s, at + 4)?, 6),
        Some(b'0'..=b'9') => (two(s, at + 3)?, 5),
        _ => (0, 3),
    };
    if hours > 25 || minutes > 59 {
        return None;
    }
    Some((sign * (i64::from(hours) * 60 + i64::from(minutes)), len))
}

/// RFC 3339 and ISO 8601's extended form: `2026-11-21T05:10:56.656489+00:00`; `t`, a space or two for
/// the `T`, a comma for the dot, and the offset may be missing or follow a space when it is a name of UTC.
#[inline]
pub(crate) fn iso(s: &[u8]) -> Option<Stamp> {
    let separator = *s.get(10)?;
    if s.get(4) != Some(&b'-')
        || s.get(7) != Some(&b'-')
        || !matches!(separator, b'T' | b't' | b' ')
    {
        return None;
    }
    let date = date(four(s, 0)?, two(s, 5)?, two(s, 8)?)?;
    let from = 11 + usize::from(separator == b' ' && s.get(11) == Some(&b' '));
    let (clock, n) = clock(s, from)?;
    Some(iso_zone(s, date + clock, from + n))
}

/// The rest of such a stamp, `len` bytes up to the whole seconds of which say `civil`.
#[inline]
pub(crate) fn iso_rest(s: &[u8], civil: i64, len: usize) -> Stamp {
    let (ms, n) = fraction(s, len);
    iso_zone(s, civil + ms, len + n)
}

#[inline]
fn iso_zone(s: &[u8], civil: i64, mut len: usize) -> Stamp {
    let mut zone = None;
    if let Some((ms, n)) = offset(s, len) {
        (zone, len) = (Some(ms), len + n);
    } else if s.get(len) == Some(&b' ') {
        if let Some(n) = utc_name(s.get(len + 1..).unwrap_or_default()) {
            (zone, len) = (Some(0), len + 1 + n);
        } else if let Some((ms, n @ 5..)) = offset(s, len + 1) {
            (zone, len) = (Some(ms), len + 1 + n);
        }
    }
    Stamp {
        civil,
        offset: zone,
        len,
    }
}

/// The length of a name for UTC that ends as a word.
fn utc_name(s: &[u8]) -> Option<usize> {
    let n = match s {
        [b'U', b'T', b'C', ..] | [b'G', b'M', b'T', ..] => 3,
        _ => return None,
    };
    (!s.get(n).is_some_and(u8::is_ascii_alphanumeric)).then_some(n)
}

/// The web servers' `21/Nov/2026:05:19:12 +0000`, inside the brackets; a space for the first colon, a
/// fraction and a missing zone are taken too (werkzeug, HAProxy).
#[inline]
pub(crate) fn clf(s: &[u8]) -> Option<Stamp> {
    if s.get(2) != Some(&b'/') || s.get(6) != Some(&b'/') {
        return None;
    }
    if !matches!(s.get(11), Some(b':' | b' ')) {
        return None;
    }
    let date = date(four(s, 7)?, month(s, 3)?, two(s, 0)?)?;
    let (clock, n) = clock(s, 12)?;
    Some(clf_zone(s, date + clock, 12 + n))
}

/// The rest of such a stamp, `len` bytes up to the whole seconds of which say `civil`.
#[inline]
pub(crate) fn clf_rest(s: &[u8], civil: i64, len: usize) -> Stamp {
    let (ms, n) = fraction(s, len);
    clf_zone(s, civil + ms, len + n)
}

#[inline]
fn clf_zone(s: &[u8], civil: i64, mut len: usize) -> Stamp {
    let mut zone = None;
    if s.get(len) == Some(&b' ')
        && let Some((ms, n)) = offset(s, len + 1)
    {
        (zone, len) = (Some(ms), len + 1 + n);
    }
    Stamp {
        civil,
        offset: zone,
        len,
    }
}

/// A month's English short name.
#[inline]
pub(crate) fn month(s: &[u8], at: usize) -> Option<u8> {
    let name = s.get(at..at + 3)?;
    let folded = name.iter().fold(0u32, |n, &b| n << 8 | u32::from(b | 0x20));
    const fn key(n: &[u8; 3]) -> u32 {
        (n[0] as u32) << 16 | (n[1] as u32) << 8 | n[2] as u32
    }
    const MONTHS: [u32; 12] = [
        key(b"jan"),
        key(b"feb"),
        key(b"mar"),
        key(b"apr"),
        key(b"may"),
        key(b"jun"),
        key(b"jul"),
        key(b"aug"),
        key(b"sep"),
        key(b"oct"),
        key(b"nov"),
        key(b"dec"),
    ];
    let index = MONTHS.iter().position(|&m| m == folded)?;
    u8::try_from(index + 1).ok()
}

/// A day of one or two digits, the first of which may be a space: its value and length.
#[inline]
fn day(s: &[u8], at: usize) -> Option<(u8, usize)> {
    if let Some(day) = two(s, at) {
        return Some((day, 2));
    }
    let pad = usize::from(s.get(at) == Some(&b' '));
    Some((digit(s.get(at + pad))?, 1 + pad))
}

/// What RFC 3164 calls a time: with a year (before or after the clock) or without.
pub(crate) enum Bsd {
    Full(Stamp),
    Short(Yearless),
}

/// `Nov 21 05:11:43`, `Nov  1 5:11:43.123`, `Nov 21 2026 05:11:43`, `2026 Nov 21 05:11:43`,
/// `Nov 21 05:11:43 2026`.
#[inline]
pub(crate) fn bsd(s: &[u8]) -> Option<Bsd> {
    let (mut year, mut i) = (None, 0);
    if s.first().is_some_and(u8::is_ascii_digit) {
        if s.get(4) != Some(&b' ') {
            return None;
        }
        (year, i) = (four(s, 0), 5);
    }
    let month = month(s, i)?;
    if s.get(i + 3) != Some(&b' ') {
        return None;
    }
    let (day, n) = day(s, i + 4)?;
    i += 4 + n;
    if s.get(i) != Some(&b' ') {
        return None;
    }
    i += 1;
    if year.is_none() && s.get(i + 4) == Some(&b' ') {
        year = four(s, i);
        i += if year.is_some() { 5 } else { 0 };
    }
    let (clock, n) = clock(s, i)?;
    i += n;
    if year.is_none() && s.get(i) == Some(&b' ') && ends_year(s, i + 1) {
        year = four(s, i + 1);
        i += if year.is_some() { 5 } else { 0 };
    }
    match year {
        Some(year) => Some(Bsd::Full(Stamp {
            civil: date(year, month, day)? + clock,
            offset: None,
            len: i,
        })),
        None => {
            // 2000 was a leap year: a day that is in no year at all is refused here.
            date(2000, month, day)?;
            Some(Bsd::Short(Yearless {
                month,
                day,
                clock,
                len: i,
            }))
        }
    }
}

fn ends_year(s: &[u8], at: usize) -> bool {
    matches!(s.get(at..at + 2), Some(b"19" | b"20"))
        && match s.get(at + 4) {
            None | Some(b' ' | b']') => true,
            // `2026: text`, not the address `2001:db8::1`.
            Some(b':') => matches!(s.get(at + 5), None | Some(b' ')),
            _ => false,
        }
}

/// C's `asctime` as Apache and keepalived write it: `Sat Nov 21 05:19:21.322096 2026`.
pub(crate) fn asctime(s: &[u8]) -> Option<Stamp> {
    if s.get(3) != Some(&b' ') || !s.iter().take(3).all(u8::is_ascii_alphabetic) {
        return None;
    }
    match bsd(s.get(4..)?)? {
        Bsd::Full(stamp) => Some(Stamp {
            len: stamp.len + 4,
            ..stamp
        }),
        Bsd::Short(_) => None,
    }
}

/// Redis' `06 Jan 2024 09:45:34.399`.
pub(crate) fn day_first(s: &[u8]) -> Option<Stamp> {
    if s.get(2) != Some(&b' ') || s.get(6) != Some(&b' ') || s.get(11) != Some(&b' ') {
        return None;
    }
    let date = date(four(s, 7)?, month(s, 3)?, two(s, 0)?)?;
    let (clock, n) = clock(s, 12)?;
    Some(Stamp {
        civil: date + clock,
        offset: None,
        len: 12 + n,
    })
}

/// nginx's `2026/11/21 05:19:14`, Go's too.
pub(crate) fn slashed(s: &[u8]) -> Option<Stamp> {
    if s.get(4) != Some(&b'/') || s.get(7) != Some(&b'/') || s.get(10) != Some(&b' ') {
        return None;
    }
    let date = date(four(s, 0)?, two(s, 5)?, two(s, 8)?)?;
    let (clock, n) = clock(s, 11)?;
    Some(Stamp {
        civil: date + clock,
        offset: None,
        len: 11 + n,
    })
}

/// BIND's `21-Nov-2026 05:19:12.123`.
pub(crate) fn dashed(s: &[u8]) -> Option<Stamp> {
    if s.get(2) != Some(&b'-') || s.get(6) != Some(&b'-') || s.get(11) != Some(&b' ') {
        return None;
    }
    let date = date(four(s, 7)?, month(s, 3)?, two(s, 0)?)?;
    let (clock, n) = clock(s, 12)?;
    Some(Stamp {
        civil: date + clock,
        offset: None,
        len: 12 + n,
    })
}

/// The length of a `05:19:12.123 ` without a date, the blank included.
pub(crate) fn time_of_day(s: &[u8]) -> Option<usize> {
    two(s, 0)?;
    let (_, n) = clock(s, 0)?;
    (s.get(n) == Some(&b' ')).then_some(n + 1)
}

/// Spark's `26/11/21 05:19:12`.
pub(crate) fn short_slashed(s: &[u8]) -> Option<Stamp> {
    if s.get(2) != Some(&b'/') || s.get(5) != Some(&b'/') || s.get(8) != Some(&b' ') {
        return None;
    }
    let date = date(2000 + i32::from(two(s, 0)?), two(s, 3)?, two(s, 6)?)?;
    let (clock, n) = clock(s, 9)?;
    Some(Stamp {
        civil: date + clock,
        offset: None,
        len: 9 + n,
    })
}

/// The `Nov 21, 2026 5:19:12 PM` of java.util.logging.
pub(crate) fn twelve_hours(s: &[u8]) -> Option<Stamp> {
    const HOUR_MS: i64 = 3_600_000;
    let month = month(s, 0)?;
    if s.get(3) != Some(&b' ') {
        return None;
    }
    let (day, n) = day(s, 4)?;
    let at = 4 + n;
    if s.get(at..at + 2) != Some(b", ") || s.get(at + 6) != Some(&b' ') {
        return None;
    }
    let date = date(four(s, at + 2)?, month, day)?;
    let (clock, n) = clock(s, at + 7)?;
    let end = at + 7 + n;
    let afternoon = match s.get(end..end + 3)? {
        b" AM" => 0,
        b" PM" => 12 * HOUR_MS,
        _ => return None,
    };
    // 12 AM is midnight, 12 PM noon.
    let clock = match clock {
        0..HOUR_MS => return None,
        c if c < 12 * HOUR_MS => c,
        c if c < 13 * HOUR_MS => c - 12 * HOUR_MS,
        _ => return None,
    };
    Some(Stamp {
        civil: date + clock + afternoon,
        offset: None,
        len: end + 3,
    })
}

/// MariaDB's `261121  5:19:12`.
pub(crate) fn short_date(s: &[u8]) -> Option<Stamp> {
    if s.get(6) != Some(&b' ') {
        return None;
    }
    let date = date(2000 + i32::from(two(s, 0)?), two(s, 2)?, two(s, 4)?)?;
    let from = 7 + usize::from(s.get(7) == Some(&b' '));
    let (clock, n) = clock(s, from)?;
    Some(Stamp {
        civil: date + clock,
        offset: None,
        len: from + n,
    })
}

/// klog's `1121 09:46:44.059123`.
pub(crate) fn month_day(s: &[u8]) -> Option<Yearless> {
    if s.get(4) != Some(&b' ') {
        return None;
    }
    let (month, day) = (two(s, 0)?, two(s, 2)?);
    let (clock, n) = clock(s, 5)?;
    date(2000, month, day)?;
    Some(Yearless {
        month,
        day,
        clock,
        len: 5 + n,
    })
}

/// Seconds, milli-, micro- or nanoseconds since 1970, told apart by the number of digits; seconds may
/// have a fraction. Takes 9 to 19 digits.
pub(crate) fn epoch(s: &[u8]) -> Option<Stamp> {
    let n = s
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(s.len());
    let value: i64 = std::str::from_utf8(s.get(..n)?).ok()?.parse().ok()?;
    let (civil, len) = match n {
        9..=10 => {
            let (ms, more) = fraction(s, n);
            (value * 1000 + ms, n + more)
        }
        12..=13 => (value, n + fraction(s, n).1),
        15..=16 => (value / 1000, n),
        18..=19 => (value / 1_000_000, n),
        _ => return None,
    };
    Some(Stamp {
        civil,
        offset: Some(0),
        len,
    })
}

/// Any of the stamps that stand alone as a value, as in JSON; all of the slice must be taken.
pub(crate) fn value(s: &[u8]) -> Option<Stamp> {
    // Tomcat keeps the brackets of its access logs.
    if let Some(inside) = s.strip_prefix(b"[").and_then(|s| s.strip_suffix(b"]")) {
        return clf(inside).filter(|stamp| stamp.len == inside.len());
    }
    let found = iso(s)
        .or_else(|| epoch(s))
        .or_else(|| clf(s))
        .or_else(|| slashed(s));
    found.filter(|stamp| stamp.len == s.len())
}
