//! Time stamps that need no storing: writing the stored time again gives the same bytes.
//!
//! A stamp is a pattern, down to the second, in a zone that is a number of quarter hours from UTC.
//! Fractions and the zone's own text are the template's business.

/// The patterns known, in the order of their numbers on disk: add at the end only.
///
/// `Y` year, `M` month, `b` its English name, `d` day, `e` day padded with a blank, `a` weekday,
/// `H` `I` `S` the time of day; all else stands for itself.
const PATTERNS: &[&[u8]] = &[
    b"d/b/Y:H:I:S",
    b"b e H:I:S",
    b"Y-M-dTH:I:S",
    b"Y-M-d H:I:S",
    b"Y/M/d H:I:S",
    b"a b d H:I:S",
    b"d b Y H:I:S",
    b"b d H:I:S",
    b"YMd H:I:S",
];
const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
/// 1970-01-01 was a Thursday.
const WEEKDAYS: &[u8] = b"ThuFriSatSunMonTueWed";
const DAY_S: i64 = 86_400;
const QUARTER_S: i64 = 900;
/// Zones lie within 18 hours of UTC.
const QUARTERS_MAX: i64 = 72;
/// Only years of four digits are written.
const SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;
/// After a stamp that no pattern fits, so many lines of the stream are not tried.
const PAUSE_LINES: u32 = 64;

/// How a stamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Number in [`PATTERNS`].
    pub pattern: u8,
    /// The zone, in quarter hours from UTC.
    pub quarters: i8,
}

fn two(out: &mut Vec<u8>, n: i64) {
    let digit = |n: i64| b'0' + (n % 10).to_le_bytes()[0];
    out.extend_from_slice(&[digit(n / 10), digit(n)]);
}

/// Year, month, day of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

/// Three letters of a list of names.
fn name(list: &'static [u8], index: i64) -> &'static [u8] {
    let at = usize::try_from(index).unwrap_or(0) * 3;
    list.get(at..at + 3).unwrap_or(b"???")
}

impl Stamp {
    /// From its two bytes in a template; `None` for a pattern that this version does not know.
    pub(super) fn from_bytes(pattern: u8, quarters: u8) -> Option<Self> {
        let known = usize::from(pattern) < PATTERNS.len();
        known.then_some(Self {
            pattern,
            quarters: quarters.cast_signed(),
        })
    }

    /// Writes the second `second` (since 1970, UTC); nothing for years without four digits.
    pub(super) fn render(self, second: i64, out: &mut Vec<u8>) {
        if !SECONDS.contains(&second) {
            return;
        }
        let local = second + i64::from(self.quarters) * QUARTER_S;
        let (day, of_day) = (local.div_euclid(DAY_S), local.rem_euclid(DAY_S));
        let (year, month, mday) = civil(day);
        let pattern = PATTERNS.get(usize::from(self.pattern)).copied();
        for &c in pattern.unwrap_or_default() {
            match c {
                b'Y' => {
                    two(out, year / 100);
                    two(out, year % 100);
                }
                b'M' => two(out, month),
                b'b' => out.extend_from_slice(name(MONTHS, month - 1)),
                b'a' => out.extend_from_slice(name(WEEKDAYS, day.rem_euclid(7))),
                b'd' => two(out, mday),
                b'e' => {
                    two(out, mday);
                    let tens = out.len() - 2;
                    if out[tens] == b'0' {
                        out[tens] = b' ';
                    }
                }
                b'H' => two(out, of_day / 3600),
                b'I' => two(out, of_day / 60 % 60),
                b'S' => two(out, of_day % 60),
                other => out.push(other),
            }
        }
    }

    /// Writes the milliseconds of a time.
    pub(super) fn render_ms(time_ms: i64, out: &mut Vec<u8>) {
        let ms = time_ms.rem_euclid(1000);
        out.push(b'0' + (ms / 100).to_le_bytes()[0]);
        two(out, ms % 100);
    }
}

/// Recognises the stamps of one stream, remembering the last second it wrote.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamps {
    last: Option<Stamp>,
    second: i64,
    text: Vec<u8>,
    pause: u32,
}

impl Stamps {
    /// The stamp that `text` begins with and its length, if `time_ms` written so gives these bytes.
    pub(super) fn recognise(&mut self, text: &[u8], time_ms: i64) -> Option<(Stamp, usize)> {
        let second = time_ms.div_euclid(1000);
        if let Some(stamp) = self.last {
            if second != self.second {
                self.write(stamp, second);
            }
            if !self.text.is_empty() && text.starts_with(&self.text) {
                return Some((stamp, self.text.len()));
            }
        }
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let found = self.search(text, second);
        self.last = found.or(self.last);
        match found {
            Some(stamp) => {
                self.write(stamp, second);
                Some((stamp, self.text.len()))
            }
            None => {
                self.pause = PAUSE_LINES;
                self.second = i64::MIN;
                self.text.clear();
                None
            }
        }
    }

    fn write(&mut self, stamp: Stamp, second: i64) {
        self.second = second;
        self.text.clear();
        stamp.render(second, &mut self.text);
    }

    /// Tries each pattern: the hour and minute of the text say which zone could do.
    fn search(&mut self, text: &[u8], second: i64) -> Option<Stamp> {
        for pattern in 0..PATTERNS.len() {
            let pattern = u8::try_from(pattern).ok()?;
            self.write(
                Stamp {
                    pattern,
                    quarters: 0,
                },
                second,
            );
            let clock = self.text.len().checked_sub(8)?;
            let shape = text
                .get(clock..clock + 8)
                .filter(|t| t[2] == b':' && t[5] == b':');
            let Some(shape) = shape else { continue };
            let two = |at: usize| -> i64 {
                let digit = |b: u8| i64::from(b.wrapping_sub(b'0'));
                digit(shape[at]) * 10 + digit(shape[at + 1])
            };
            let of_day = two(0) * 3600 + two(3) * 60 + two(6);
            let ahead = of_day - second.rem_euclid(DAY_S);
            for shift in [ahead, ahead - DAY_S, ahead + DAY_S] {
                let quarters = shift / QUARTER_S;
                if shift % QUARTER_S != 0 || quarters.abs() > QUARTERS_MAX {
                    continue;
                }
                let stamp = Stamp {
                    pattern,
                    quarters: i8::try_from(quarters).ok()?,
                };
                self.write(stamp, second);
                if text.starts_with(&self.text) {
                    return Some(stamp);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-01T07:05:09.042Z
    const TIME: i64 = 1_793_516_709_042;

    fn check(text: &str, expected: Option<(u8, i8)>) {
        let found = Stamps::default().recognise(text.as_bytes(), TIME);
        assert_eq!(
            found.map(|(s, _)| (s.pattern, s.quarters)),
            expected,
            "{text}"
        );
        if let Some((stamp, len)) = found {
            let mut out = Vec::new();
            stamp.render(TIME.div_euclid(1000), &mut out);
            assert_eq!(out, &text.as_bytes()[..len]);
        }
    }

    #[test]
    fn known_stamps() {
        check("01/Nov/2026:07:05:09 +0000", Some((0, 0)));
        check("01/Nov/2026:12:35:09 +0530", Some((0, 22)));
        check("31/Oct/2026:21:05:09 -1000", Some((0, -40)));
        check("Nov  1 07:05:09", Some((1, 0)));
        check("Nov  1 08:05:09", Some((1, 4)));
        check("2026-11-01T07:05:09.042Z", Some((2, 0)));
        check("2026-11-01 07:05:09,042", Some((3, 0)));
        check("2026/11/01 07:05:09", Some((4, 0)));
        check("Sun Nov 01 07:05:09.042123 2026", Some((5, 0)));
        check("01 Nov 2026 07:05:09.042", Some((6, 0)));
        check("Nov 01 07:05:09", Some((7, 0)));
        check("20261101 07:05:09", Some((8, 0)));
        for foreign in [
            "",
            "x",
            "Nov 1 07:05:09",
            "2026-11-01T07:05:10",
            "2025-11-01T07:05:09",
        ] {
            check(foreign, None);
        }
    }

    #[test]
    fn far_times_are_not_written() {
        let stamp = Stamp {
            pattern: 2,
            quarters: 0,
        };
        for second in [
            i64::MIN / 1000,
            -62_135_596_801,
            253_402_300_800,
            i64::MAX / 1000,
        ] {
            let mut out = Vec::new();
            stamp.render(second, &mut out);
            assert!(out.is_empty());
        }
    }
}
