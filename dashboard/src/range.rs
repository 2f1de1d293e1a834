//! The time range of a page: what stands in the address, and what it means now.

use jiff::civil;
use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;

use crate::chart::time::range_words;
use crate::chart::units::{NARROW, duration};

/// Ranges to choose from: what stands in the address, and its length.
pub(crate) const QUICK: &[(&str, i64)] = &[
    ("15m", 15 * 60_000),
    ("1h", 3_600_000),
    ("6h", 6 * 3_600_000),
    ("24h", 24 * 3_600_000),
    ("7d", 7 * 86_400_000),
    ("30d", 30 * 86_400_000),
    ("90d", 90 * 86_400_000),
    ("365d", 365 * 86_400_000),
];
/// The shortest range: shorter ones are widened around their middle.
const SPAN_MIN_MS: i64 = 10_000;
/// The longest: ten years.
const SPAN_MAX_MS: i64 = 3_660 * 86_400_000;

/// A span of time that a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// The beginning as the address says it.
    pub from_text: String,
    /// The end as the address says it.
    pub to_text: String,
}

impl Range {
    /// The last `quick` (`1h`, `24h`…).
    #[must_use]
    pub fn last(quick: &str, now: Timestamp) -> Self {
        let span = span_of(quick).unwrap_or(3_600_000);
        Self {
            from: now.plus_ms(-span),
            to: now,
            from_text: format!("now-{quick}"),
            to_text: "now".to_owned(),
        }
    }

    /// The range that an address asks for; `default` where it asks for none.
    ///
    /// # Errors
    /// With a sentence for people, when it is no range.
    pub fn parse(
        from: Option<&str>,
        to: Option<&str>,
        default: &str,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Self, String> {
        let default = format!("now-{default}");
        let given = |v: Option<&str>| {
            v.map(str::trim)
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
        };
        let (from_text, to_text) = (
            given(from).unwrap_or(default),
            given(to).unwrap_or_else(|| "now".to_owned()),
        );
        let from = parse_time(&from_text, now, zone)?;
        let to = parse_time(&to_text, now, zone)?;
        let span = to.since_ms(from);
        if span <= 0 {
            return Err(format!(
                "From {from_text} to {to_text} is no time: it ends before it begins."
            ));
        }
        if span > SPAN_MAX_MS {
            return Err("A page shows ten years at most.".to_owned());
        }
        let widen = (SPAN_MIN_MS - span).max(0) / 2;
        Ok(Self {
            from: from.plus_ms(-widen),
            to: to.plus_ms(widen),
            from_text,
            to_text,
        })
    }

    /// Milliseconds from end to end.
    #[must_use]
    pub fn span_ms(&self) -> i64 {
        self.to.since_ms(self.from)
    }

    /// It ends now, and goes on with time.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.to_text == "now" && self.from_text.starts_with("now-")
    }

    /// Which of the ranges to choose from it is.
    #[must_use]
    pub fn quick(&self) -> Option<&str> {
        let name = self
            .from_text
            .strip_prefix("now-")
            .filter(|_| self.to_text == "now")?;
        QUICK.iter().map(|(q, _)| *q).find(|q| *q == name)
    }

    /// `Last 24 h`, or its length.
    #[must_use]
    pub fn name(&self) -> String {
        match self.quick() {
            Some(quick) => quick_name(quick),
            None => duration(self.span_ms()),
        }
    }

    /// `Wed 19 14:32 – Thu 20 14:32`.
    #[must_use]
    pub fn words(&self, zone: &TimeZone) -> String {
        range_words(self.from, self.to, zone)
    }

    /// The query of the address that shows this range moved by `halves` of its length, or `scaled`
    /// about its middle.
    #[must_use]
    pub(crate) fn moved(&self, halves: i64, scaled: i64) -> String {
        let half = self.span_ms() / 2;
        let middle = self.from.plus_ms(half + halves * half);
        let (from, to) = (
            middle.plus_ms(-half * scaled),
            middle.plus_ms(half * scaled),
        );
        format!(
            "from={}&to={}",
            from.0.div_euclid(1000),
            to.0.div_euclid(1000)
        )
    }
}

/// `Last 24 h`.
pub(crate) fn quick_name(quick: &str) -> String {
    let (digits, unit) = quick.split_at(quick.len().saturating_sub(1));
    match unit {
        "m" => format!("Last {digits}{NARROW}min"),
        "h" if digits == "1" => "Last hour".to_owned(),
        "h" => format!("Last {digits}{NARROW}h"),
        _ if digits == "365" => "Last year".to_owned(),
        _ => format!("Last {digits}{NARROW}days"),
    }
}

fn span_of(text: &str) -> Option<i64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(at);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        "y" => 365 * 86_400_000,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

/// `now`, `now-90m`, seconds or milliseconds since 1970, RFC 3339, or a local time.
pub(crate) fn parse_time(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = || {
        let example = "Try now-90m, 2026-11-20 14:00 or seconds since 1970.";
        format!("“{text}” is not a time. {example}")
    };
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.strip_prefix('-') {
            None if rest.is_empty() => Ok(now),
            Some(span) => span_of(span).map(|ms| now.plus_ms(-ms)).ok_or_else(wrong),
            None => Err(wrong()),
        };
    }
    if let Ok(number) = text.parse::<f64>() {
        if !number.is_finite() || !(0.0..1e14).contains(&number) {
            return Err(wrong());
        }
        // Seconds until the year 5138; milliseconds beyond.
        let ms = if number < 1e11 {
            number * 1000.0
        } else {
            number
        };
        #[expect(clippy::cast_possible_truncation, reason = "checked to be below 1e14")]
        return Ok(Timestamp(ms as i64));
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(at.as_millisecond()));
    }
    let local = text.replace(' ', "T");
    let local = match local.parse::<civil::DateTime>() {
        Ok(local) => local,
        Err(_) => local.parse::<civil::Date>().map_err(|_| wrong())?.into(),
    };
    let at = local.to_zoned(zone.clone()).map_err(|_| wrong())?;
    Ok(Timestamp(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_times_in_many_ways() {
        let now = Timestamp(1_795_000_000_000);
        let zone = TimeZone::get("Europe/Paris").unwrap();
        for (from, to, expected) in [
            (Some("now-90m"), None, Some((now.0 - 5_400_000, now.0))),
            (None, None, Some((now.0 - 86_400_000, now.0))),
            (
                Some("1794999000"),
                Some("1795000000"),
                Some((1_794_999_000_000, now.0)),
            ),
            (
                Some("2026-11-18 12:00"),
                Some("2026-11-18T13:00:00"),
                Some((1_794_999_600_000, 1_795_003_200_000)),
            ),
            (Some("2026-11-18T11:00:00Z"), Some("now+1"), None),
            (Some("now"), Some("now-1h"), None),
            (Some("yesterday-ish"), None, None),
            (Some("now-99999999999999999999d"), None, None),
            (Some("1e300"), None, None),
            (Some("NaN"), None, None),
            (Some("0"), None, None),
        ] {
            let found = Range::parse(from, to, "24h", now, &zone).ok();
            assert_eq!(
                found.map(|r| (r.from.0, r.to.0)),
                expected,
                "{from:?} {to:?}"
            );
        }
    }

    #[test]
    fn ranges_have_names() {
        let now = Timestamp(1_795_000_000_000);
        let range = Range::last("24h", now);
        assert_eq!(range.name().replace(NARROW, " "), "Last 24 h");
        assert!(range.is_live());
        assert_eq!(range.moved(-1, 1), "from=1794870400&to=1794956800");
    }
}
