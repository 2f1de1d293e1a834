//! Durations as Prometheus writes them: `90s`, `1h30m`, `250ms`, `0`.

/// Milliseconds of a duration.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let wrong = || format!("`{text}` is no duration; write it as 30s, 5m, 1h30m or 2d");
    if text == "0" {
        return Ok(0);
    }
    let (mut rest, mut total, mut allowed) = (text, 0i64, 0);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len()
            - tail
                .trim_start_matches(|c: char| c.is_ascii_lowercase())
                .len();
        let (unit, tail) = tail.split_at(letters);
        let number: i64 = number.parse().map_err(|_| wrong())?;
        // Units come once each, the larger first.
        let known = UNITS.iter().enumerate().skip(allowed);
        let (at, ms) = known
            .filter(|(_, (name, _))| *name == unit)
            .map(|(at, (_, ms))| (at, *ms))
            .next()
            .ok_or_else(wrong)?;
        let part = number.checked_mul(ms);
        total = part.and_then(|p| total.checked_add(p)).ok_or_else(wrong)?;
        (rest, allowed) = (tail, at + 1);
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations_are_read_as_in_prometheus() {
        for (text, expected) in [
            ("0", Some(0)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("5", None),
            ("5 m", None),
            ("-5m", None),
            ("1m1h", None),
            ("1m1m", None),
            ("1.5h", None),
            ("99999999999y", None),
            ("5é", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }
}
