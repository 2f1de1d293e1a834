//! Values with units as people write them in configuration: `"30s"`, `"64 MiB"`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A length of time: a number and `ms`, `s`, `m`, `h`, `d` or `w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub std::time::Duration);

/// An amount of bytes: a number and `B`, `KiB`, `MiB`, `GiB`, `TiB` (or `kB`, `MB`, `GB`, `TB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

const TIMES: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl Duration {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(std::time::Duration::from_secs(s))
    }

    /// In milliseconds, as time stamps count.
    #[must_use]
    pub fn as_ms(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ms = scaled(text, TIMES).map_err(|why| {
            format!("`{text}` is not a length of time: {why}; write \"30s\", \"5m\" or \"2h\"")
        })?;
        Ok(Self(std::time::Duration::from_millis(ms)))
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        scaled(text, SIZES).map(Self).map_err(|why| {
            format!("`{text}` is not a size: {why}; write \"64 KiB\", \"1 MiB\" or \"4 GiB\"")
        })
    }
}

/// A number with up to three decimals times its unit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or("the unit is missing")?;
    let (number, unit) = text.split_at(split);
    let unit = unit.trim_start();
    let known = || units.iter().map(|(u, _)| *u).collect::<Vec<_>>().join(", ");
    let factor = units
        .iter()
        .find(|(u, _)| *u == unit)
        .map(|&(_, f)| f)
        .ok_or_else(|| format!("unknown unit `{unit}`; known: {}", known()))?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || decimals.len() > 3 {
        return Err("a number with at most three decimals comes first".to_owned());
    }
    let thousandths = |t: &str| format!("{t:0<3}").parse::<u64>();
    let too_large = |_| "too large".to_owned();
    let whole: u64 = whole.parse().map_err(too_large)?;
    let fraction = thousandths(decimals).map_err(|_| "more than one decimal point".to_owned())?;
    whole
        .checked_mul(factor)
        .and_then(|n| n.checked_add(fraction.checked_mul(factor)? / 1000))
        .ok_or_else(|| "too large".to_owned())
}

fn show(f: &mut fmt::Formatter<'_>, n: u64, units: &[(&str, u64)], gap: &str) -> fmt::Result {
    let fits = units
        .iter()
        .rev()
        .find(|(_, u)| n >= *u && n.is_multiple_of(*u));
    let (unit, factor) = fits.or(units.first()).copied().unwrap_or(("", 1));
    write!(f, "{}{gap}{unit}", n / factor)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        show(f, ms, TIMES, "")
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, SIZES.get(..5).unwrap_or_default(), " ")
    }
}

macro_rules! from_text {
    ($type:ident, $expecting:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                d.deserialize_str(Text)
            }
        }
    };
}
from_text!(Duration, "a length of time in quotes, as \"30s\"");
from_text!(Bytes, "a size in quotes, as \"64 KiB\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let ms = |t: &str| t.parse::<Duration>().map(|d| d.0.as_millis());
        for (text, expected) in [
            ("1s", 1000),
            ("250ms", 250),
            ("1.5 h", 5_400_000),
            ("2d", 172_800_000),
            ("0.25s", 250),
        ] {
            assert_eq!(ms(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5 parsecs",
            "1.2345s",
            "1.2.3s",
            "-1s",
            "99999999999999999999w",
        ] {
            let error = ms(text).unwrap_err();
            assert!(error.contains("is not a length of time"), "{error}");
        }
    }

    #[test]
    fn sizes_and_back() {
        for (text, expected) in [("64 KiB", 65_536), ("4GiB", 4 << 30), ("1.5 MB", 1_500_000)] {
            assert_eq!(text.parse(), Ok(Bytes(expected)), "{text}");
        }
        assert!(
            "1 Kib"
                .parse::<Bytes>()
                .unwrap_err()
                .contains("known: B, KiB")
        );
        for shown in ["64 KiB", "4 GiB", "17 B"] {
            assert_eq!(
                shown.parse::<Bytes>().map(|b| b.to_string()),
                Ok(shown.to_owned())
            );
        }
        for shown in ["30s", "250ms", "2d"] {
            assert_eq!(
                shown.parse::<Duration>().map(|b| b.to_string()),
                Ok(shown.to_owned())
            );
        }
    }
}
