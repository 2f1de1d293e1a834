//! Numbers and units: every number that people read carries its unit, after a narrow no-break space.

/// U+202F: between a number and its unit, and between thousands.
pub const NARROW: char = '\u{202f}';

/// Which prefixes a unit takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefixes {
    None,
    Si,
    Iec,
    Time,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    symbol: &'static str,
    prefixes: Prefixes,
}

impl Unit {
    /// A bare number.
    pub const NONE: Self = Self::of("", Prefixes::None);
    /// A bare number that may be large (`1.2 M`).
    pub const COUNT: Self = Self::of("", Prefixes::Si);
    /// A share of a whole, 0 to 100.
    pub const PERCENT: Self = Self::of("%", Prefixes::None);
    /// Memory and disk space (`1.2 GiB`).
    pub const BYTES: Self = Self::of("B", Prefixes::Iec);
    /// Transfer of disks (`1.2 MB/s`).
    pub const BYTES_PER_SECOND: Self = Self::of("B/s", Prefixes::Si);
    /// Transfer of networks (`1.2 Mb/s`).
    pub const BITS_PER_SECOND: Self = Self::of("b/s", Prefixes::Si);
    /// A duration in seconds (`250 ms`).
    pub const SECONDS: Self = Self::of("s", Prefixes::Time);
    /// Log lines.
    pub const LINES_PER_MINUTE: Self = Self::of("lines/min", Prefixes::None);
    /// Log lines in a bar of a histogram.
    pub const LINES: Self = Self::of("lines", Prefixes::None);
    /// Anything per second.
    pub const PER_SECOND: Self = Self::of("/s", Prefixes::Si);
    /// Temperature.
    pub const CELSIUS: Self = Self::of("°C", Prefixes::None);

    const fn of(symbol: &'static str, prefixes: Prefixes) -> Self {
        Self { symbol, prefixes }
    }

    /// The unit that the name of a metric promises; `rate` when it is shown as a rate per second.
    #[must_use]
    pub fn of_metric(name: &str, rate: bool) -> Self {
        let base = name.strip_suffix("_total").unwrap_or(name);
        let octets = base.ends_with("Octets");
        match rate {
            true if octets => Self::BYTES_PER_SECOND,
            true if base.ends_with("_bytes") => Self::BYTES_PER_SECOND,
            true if base.ends_with("_seconds") => Self::NONE,
            true => Self::PER_SECOND,
            false if base.ends_with("_bytes") || octets => Self::BYTES,
            false if base.ends_with("_seconds") => Self::SECONDS,
            false if base.ends_with("_celsius") => Self::CELSIUS,
            false if base.ends_with("_percent") => Self::PERCENT,
            false => Self::COUNT,
        }
    }

    /// A unit of any name: with prefixes of 1000, of 1024 or none.
    #[must_use]
    pub const fn named(symbol: &'static str, base: Option<u16>) -> Self {
        let prefixes = match base {
            Some(1024) => Prefixes::Iec,
            Some(_) => Prefixes::Si,
            None => Prefixes::None,
        };
        Self::of(symbol, prefixes)
    }

    /// The same with prefixes of 1024 or of 1000.
    #[must_use]
    pub const fn with_base(self, base: u16) -> Self {
        Self::named(self.symbol, Some(base))
    }

    /// The prefix that fits `max`: what to divide by, and the unit with it.
    #[must_use]
    pub fn scale(self, max: f64) -> (f64, String) {
        const SI: &[(f64, &str)] = &[(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
        const IEC: &[(f64, &str)] = &[
            (1_099_511_627_776.0, "Ti"),
            (1_073_741_824.0, "Gi"),
            (1_048_576.0, "Mi"),
            (1024.0, "Ki"),
        ];
        const TIME: &[(f64, &str)] = &[
            (172_800.0, "d"),
            (7200.0, "h"),
            (120.0, "min"),
            (1.0, "s"),
            (1e-3, "ms"),
            (1e-6, "µs"),
        ];
        let max = max.abs();
        let table = match self.prefixes {
            Prefixes::None => &[],
            Prefixes::Si => SI,
            Prefixes::Iec => IEC,
            Prefixes::Time => {
                return match TIME.iter().find(|(least, _)| max >= *least) {
                    Some((_, "d")) => (86_400.0, "d".to_owned()),
                    Some((_, "h")) => (3600.0, "h".to_owned()),
                    Some((_, "min")) => (60.0, "min".to_owned()),
                    Some((divisor, symbol)) => (*divisor, (*symbol).to_owned()),
                    None => (1.0, "s".to_owned()),
                };
            }
        };
        match table.iter().find(|(least, _)| max >= *least) {
            Some((divisor, prefix)) => (*divisor, format!("{prefix}{}", self.symbol)),
            None => (1.0, self.symbol.to_owned()),
        }
    }

    /// The word on an axis: shorter where the chart's title says the rest.
    #[must_use]
    pub fn axis_scale(self, max: f64) -> (f64, String) {
        match self {
            Self::LINES_PER_MINUTE if max >= 2000.0 => (1000.0, "k/min".to_owned()),
            Self::LINES_PER_MINUTE => (1.0, "/min".to_owned()),
            Self::LINES if max >= 2000.0 => (1000.0, "k".to_owned()),
            Self::LINES => (1.0, String::new()),
            _ => self.scale(max),
        }
    }

    /// Number and unit apart, for pages that set them differently.
    #[must_use]
    pub fn parts(self, value: f64) -> (String, String) {
        if !value.is_finite() {
            return ("–".to_owned(), String::new());
        }
        let (divisor, symbol) = self.scale(value);
        let scaled = value / divisor;
        let whole = self == Self::LINES || self == Self::LINES_PER_MINUTE && scaled.abs() >= 10.0;
        let number = if whole {
            grouped(&format!("{scaled:.0}"))
        } else {
            significant(scaled)
        };
        (number, symbol)
    }

    /// `41.3 Mb/s`.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        let (number, symbol) = self.parts(value);
        match symbol.is_empty() {
            true => number,
            false => format!("{number}{NARROW}{symbol}"),
        }
    }

    /// The unit without a prefix.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        self.symbol
    }

    /// How a browser formats values of this unit: `si`, `iec`, `time` or empty.
    #[must_use]
    pub fn prefixes(self) -> &'static str {
        match self.prefixes {
            Prefixes::None => "",
            Prefixes::Si => "si",
            Prefixes::Iec => "iec",
            Prefixes::Time => "time",
        }
    }
}

/// About three significant digits; whole numbers from a hundred on.
#[must_use]
pub fn significant(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if size >= 99.95 {
        grouped(&format!("{value:.0}"))
    } else if size >= 9.995 {
        trimmed(format!("{value:.1}"))
    } else if size >= 0.01 {
        trimmed(format!("{value:.2}"))
    } else {
        format!("{value:.1e}")
    }
}

/// `2.00` is `2`: a digit that says nothing is left out only when all of them do.
fn trimmed(text: String) -> String {
    match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole.to_owned(),
        _ => text,
    }
}

/// A whole number with its thousands apart.
#[must_use]
pub fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// Thousands apart in the whole part of a decimal number.
pub(crate) fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_once('.').map_or((number, ""), |(w, r)| (w, r));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", whole),
    };
    let mut out = String::with_capacity(number.len() + 8);
    out.push_str(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(NARROW);
        }
        out.push(digit);
    }
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// A length of time that is a whole number of something: `5 min`, `1 h`.
#[must_use]
pub fn step(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
    ];
    let whole = UNITS.iter().find(|(unit, _)| ms >= *unit && ms % unit == 0);
    whole.map_or_else(
        || duration(ms),
        |(unit, name)| format!("{}{NARROW}{name}", ms / unit),
    )
}

/// `25 min`, `2 d 5 h`: at most two units, the smaller only where it still means something.
#[must_use]
pub fn duration(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    let two = |a: i64, ua: &str, b: i64, ub: &str| match b {
        0 => format!("{a}{NARROW}{ua}"),
        _ => format!("{a}{NARROW}{ua} {b}{NARROW}{ub}"),
    };
    match s {
        0..90 => format!("{s}{NARROW}s"),
        90..5400 => format!("{}{NARROW}min", s / 60),
        5400..172_800 => two(s / 3600, "h", s % 3600 / 60, "min"),
        172_800..864_000 => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
        _ => format!("{}{NARROW}d", grouped(&(s / 86_400).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_their_unit() {
        for (unit, value, expected) in [
            (Unit::BITS_PER_SECOND, 41_300_000.0, "41.3 Mb/s"),
            (Unit::BYTES, 1_073_741_824.0, "1 GiB"),
            (Unit::BYTES, 0.0, "0 B"),
            (Unit::PERCENT, 6.6, "6.60 %"),
            (Unit::SECONDS, 0.25, "250 ms"),
            (Unit::SECONDS, 90.0, "90 s"),
            (Unit::SECONDS, 7200.0, "2 h"),
            (Unit::LINES_PER_MINUTE, 2731.2, "2 731 lines/min"),
            (Unit::LINES_PER_MINUTE, 1.5, "1.50 lines/min"),
            (Unit::NONE, 0.42, "0.42"),
            (Unit::COUNT, 1_234_567.0, "1.23 M"),
            (Unit::PERCENT, f64::NAN, "–"),
        ] {
            assert_eq!(unit.format(value).replace(NARROW, " "), expected);
        }
    }

    #[test]
    fn durations_in_words() {
        for (ms, expected) in [
            (0, "0 s"),
            (89_000, "89 s"),
            (1_500_000, "25 min"),
            (6_600_000, "1 h 50 min"),
            (190_800_000, "2 d 5 h"),
            (86_400_000 * 118, "118 d"),
            (-5, "0 s"),
        ] {
            assert_eq!(duration(ms).replace(NARROW, " "), expected);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (text, expected) in [
            ("1", "1"),
            ("-1234.5", "-1 234.5"),
            ("1234567", "1 234 567"),
        ] {
            assert_eq!(grouped(text).replace(NARROW, " "), expected);
        }
    }
}
