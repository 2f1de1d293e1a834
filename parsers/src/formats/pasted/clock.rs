//! Times written by `strftime`, as Apache's `%{…}t` and GoAccess' formats have them, read piece by
//! piece: one line may have them in several places.

use super::Fault;
use super::text::Text;
use crate::stamp::{self, Stamp};

/// A piece of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(u8),
    Blank,
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    DayOfYear,
    Hour,
    Noon,
    Minute,
    Second,
    Zone,
    Word,
    /// A count since 1970 of so many in a second.
    Epoch(i64),
    /// Digits that are a fraction of a second.
    Fraction,
}

/// What the pieces of one line have said so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    year: Option<i32>,
    month: Option<u8>,
    day: Option<u8>,
    day_of_year: Option<u16>,
    seconds: i64,
    ms: i64,
    hour: Option<u8>,
    afternoon: Option<bool>,
    offset: Option<i64>,
    /// The finest count since 1970, and of how many in a second.
    epoch: Option<(i64, i64)>,
}

impl Clock {
    /// A clock that shows UTC unless a piece says otherwise.
    pub(super) fn utc() -> Self {
        Self {
            offset: Some(0),
            ..Self::default()
        }
    }

    /// Reads the pieces at the start of `s`; how many bytes they took.
    pub(super) fn read(&mut self, parts: &[Part], s: &[u8]) -> Option<usize> {
        let mut at = 0;
        for part in parts {
            at += self.part(part, s.get(at..)?)?;
        }
        Some(at)
    }

    fn part(&mut self, part: &Part, s: &[u8]) -> Option<usize> {
        let narrow = |n: i64| u8::try_from(n).ok();
        let (value, len) = match part {
            Part::Literal(byte) => return (s.first() == Some(byte)).then_some(1),
            Part::Blank => return Some(s.iter().take_while(|b| b.is_ascii_whitespace()).count()),
            Part::Word => {
                let n = s.iter().take_while(|b| b.is_ascii_alphabetic()).count();
                return (n > 0).then_some(n);
            }
            Part::MonthName => {
                self.month = Some(stamp::month(s, 0)?);
                let rest = s.iter().skip(3);
                return Some(3 + rest.take_while(|b| b.is_ascii_alphabetic()).count());
            }
            Part::Noon => {
                let pm = match s.first_chunk::<2>()?.to_ascii_lowercase().as_slice() {
                    b"am" => false,
                    b"pm" => true,
                    _ => return None,
                };
                self.afternoon = Some(pm);
                return Some(2);
            }
            Part::Zone => {
                let (offset, len) = stamp::offset(s, 0)?;
                self.offset = Some(offset);
                return Some(len);
            }
            Part::Epoch(_) => digits(s, 20)?,
            Part::Fraction => digits(s, 18)?,
            Part::Year => digits(s, 4).filter(|d| d.1 == 4)?,
            Part::DayOfYear => digits(s, 3)?,
            Part::Day | Part::Hour if s.first() == Some(&b' ') => {
                let (value, len) = digits(s.get(1..)?, 1)?;
                (value, len + 1)
            }
            _ => digits(s, 2)?,
        };
        match part {
            Part::Year => self.year = Some(i32::try_from(value).ok()?),
            // POSIX: 69 to 99 are of the last century.
            Part::ShortYear => {
                let century = if value < 69 { 2000 } else { 1900 };
                self.year = Some(century + i32::try_from(value).ok()?);
            }
            Part::Month => self.month = narrow(value),
            Part::Day => self.day = narrow(value),
            Part::DayOfYear => self.day_of_year = u16::try_from(value).ok(),
            Part::Hour if value < 24 => self.hour = narrow(value),
            Part::Minute if value < 60 => self.seconds += value * 60,
            Part::Second if value <= 60 => self.seconds += value.min(59),
            Part::Epoch(scale) if self.epoch.is_some_and(|(_, known)| known >= *scale) => {}
            Part::Epoch(scale) => self.epoch = Some((epoch_ms(value, *scale), *scale)),
            Part::Fraction => {
                let cut = u32::try_from(len.saturating_sub(3)).ok()?;
                let short = u32::try_from(3usize.saturating_sub(len)).ok()?;
                self.ms = value / 10i64.checked_pow(cut)? * 10i64.pow(short);
            }
            _ => return None,
        }
        Some(len)
    }

    /// The point in time, as far as it is one.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        if let Some((ms, scale)) = self.epoch {
            // Only whole seconds have room for a fraction.
            let fraction = if scale == 1 { self.ms } else { 0 };
            return Some(Stamp::new(ms.checked_add(fraction)?, Some(0)));
        }
        let mut hour = i64::from(self.hour.unwrap_or(0));
        if let Some(pm) = self.afternoon {
            hour = hour % 12 + if pm { 12 } else { 0 };
        }
        let clock = (hour * 3600 + self.seconds) * 1000 + self.ms;
        let date = match (self.day_of_year, self.month, self.day) {
            (Some(n @ 1..=366), None, None) => {
                stamp::date(self.year?, 1, 1)? + i64::from(n - 1) * 86_400_000
            }
            (_, Some(month), Some(day)) => stamp::date(self.year?, month, day)?,
            _ => return None,
        };
        Some(Stamp::new(date + clock, self.offset))
    }
}

fn epoch_ms(value: i64, scale: i64) -> i64 {
    if scale <= 1000 {
        value.saturating_mul(1000 / scale)
    } else {
        value / (scale / 1000)
    }
}

/// Up to `max` digits (18 at most fit): their value and number.
fn digits(s: &[u8], max: usize) -> Option<(i64, usize)> {
    let n = s
        .iter()
        .take(max.min(18))
        .take_while(|b| b.is_ascii_digit())
        .count();
    let value = s.iter().take(n);
    (n > 0).then(|| (value.fold(0, |v, b| v * 10 + i64::from(b & 0xf)), n))
}

/// Takes a `strftime` text apart.
pub(super) fn compile(text: &Text) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if byte != b'%' {
            parts.push(Part::Literal(byte));
            at += 1;
            continue;
        }
        let mut letter = text.get(at + 1);
        let start = at;
        at += 2;
        // Padding flags and the alternative forms change nothing for a reader.
        while matches!(letter, Some(b'-' | b'_' | b'0' | b'^' | b'#' | b'E' | b'O')) {
            letter = text.get(at);
            at += 1;
        }
        directive(letter, &mut parts).ok_or_else(|| match letter {
            Some(l) => text.fault(
                start,
                format!("unknown piece of a time `%{}`", char::from(l)),
            ),
            None => text.fault(start, "`%` stands alone at the end"),
        })?;
    }
    Ok(parts)
}

fn directive(letter: Option<u8>, parts: &mut Vec<Part>) -> Option<()> {
    let mut all = |letters: &[u8], between: u8| -> Option<()> {
        for (n, &letter) in letters.iter().enumerate() {
            if n > 0 {
                parts.push(Part::Literal(between));
            }
            directive(Some(letter), parts)?;
        }
        Some(())
    };
    let part = match letter? {
        b'D' => return all(b"mdy", b'/'),
        b'F' => return all(b"Ymd", b'-'),
        b'T' => return all(b"HMS", b':'),
        b'R' => return all(b"HM", b':'),
        b'r' => {
            all(b"IMS", b':')?;
            parts.push(Part::Literal(b' '));
            Part::Noon
        }
        b'c' => {
            all(b"abe", b' ')?;
            parts.push(Part::Literal(b' '));
            directive(Some(b'T'), parts)?;
            parts.push(Part::Literal(b' '));
            Part::Year
        }
        b'Y' => Part::Year,
        b'y' => Part::ShortYear,
        b'm' => Part::Month,
        b'b' | b'B' | b'h' => Part::MonthName,
        b'd' | b'e' => Part::Day,
        b'j' => Part::DayOfYear,
        b'H' | b'I' | b'k' | b'l' => Part::Hour,
        b'M' => Part::Minute,
        b'S' => Part::Second,
        b'p' | b'P' => Part::Noon,
        b'z' => Part::Zone,
        b'Z' | b'a' | b'A' => Part::Word,
        b's' => Part::Epoch(1),
        b'*' => Part::Epoch(1000),
        b'f' => Part::Fraction,
        b'n' | b't' => Part::Blank,
        b'%' => Part::Literal(b'%'),
        _ => return None,
    };
    parts.push(part);
    Some(())
}
