//! Numbers with units, as people and programs write them: `5MiB`, `250ms`, `2k`, `1m2.5s`.

/// Digits beyond which two different numbers may look alike as a [`f64`].
pub(crate) const EXACT_DIGITS: usize = 15;

/// The number in base units: bytes, seconds, or as it is.
pub(crate) fn parse(text: &[u8]) -> Option<f64> {
    if text.len() <= EXACT_DIGITS && text.iter().all(u8::is_ascii_digit) && !text.is_empty() {
        let whole = text.iter().fold(0u64, |n, b| n * 10 + u64::from(b - b'0'));
        #[expect(clippy::cast_precision_loss, reason = "at most 15 digits")]
        return Some(whole as f64);
    }
    let (negative, mut rest) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let (mut total, mut pieces, mut all_times) = (0.0, 0, true);
    while !rest.is_empty() {
        let (digits, unit, tail) = split(rest)?;
        let (factor, is_time) = factor(unit)?;
        total += std::str::from_utf8(digits).ok()?.parse::<f64>().ok()? * factor;
        all_times &= is_time;
        pieces += 1;
        rest = tail;
    }
    let sound = pieces == 1 || (pieces > 1 && all_times);
    (sound && total.is_finite()).then_some(if negative { -total } else { total })
}

/// Digits with a point or an exponent, the unit behind them, and what follows.
fn split(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let is_digit = |i: usize| text.get(i).is_some_and(u8::is_ascii_digit);
    let mut end = 0;
    while is_digit(end) || (text.get(end) == Some(&b'.') && is_digit(end + 1)) {
        end += 1;
    }
    if end == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        if is_digit(end + 1 + sign) {
            end += 1 + sign;
            while is_digit(end) {
                end += 1;
            }
        }
    }
    let (digits, rest) = text.split_at(end);
    let unit_end = rest
        .iter()
        .position(|b| b.is_ascii_digit() || b.is_ascii_punctuation() && *b != b'%');
    let (unit, tail) = rest.split_at(unit_end.unwrap_or(rest.len()));
    Some((digits, unit, tail))
}

/// What a unit stands for, and whether it measures time.
fn factor(unit: &[u8]) -> Option<(f64, bool)> {
    const KI: f64 = 1024.0;
    Some(match unit {
        b"" | b"B" | b"%" => (1.0, false),
        b"k" | b"K" | b"kB" | b"KB" => (1e3, false),
        b"M" | b"MB" => (1e6, false),
        b"G" | b"GB" => (1e9, false),
        b"T" | b"TB" => (1e12, false),
        b"Ki" | b"KiB" => (KI, false),
        b"Mi" | b"MiB" => (KI * KI, false),
        b"Gi" | b"GiB" => (KI * KI * KI, false),
        b"Ti" | b"TiB" => (KI * KI * KI * KI, false),
        b"ns" => (1e-9, true),
        b"us" => (1e-6, true),
        b"ms" => (1e-3, true),
        b"s" => (1.0, true),
        b"m" | b"min" => (60.0, true),
        b"h" => (3600.0, true),
        b"d" => (86_400.0, true),
        b"w" => (604_800.0, true),
        _ if unit == "µs".as_bytes() || unit == "μs".as_bytes() => (1e-6, true),
        _ => return None,
    })
}

/// A span of time such as `15m` or `1h30m`, in milliseconds; a bare number or a size is none.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    /// About three centuries: far from the ends of the clock.
    const MAX_MS: f64 = 1e13;
    let timed = text.ends_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('k');
    let ms = (parse(text.as_bytes())? * 1e3).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked against MAX_MS")]
    (timed && (0.0..=MAX_MS).contains(&ms)).then_some(ms as i64)
}

/// A span of time with the largest units that state it exactly.
pub(crate) fn show_duration(ms: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (604_800_000, "w"),
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
        (1, "ms"),
    ];
    let exact = UNITS.iter().find(|(unit, _)| ms != 0 && ms % unit == 0);
    exact.map_or_else(
        || "0s".to_owned(),
        |(unit, name)| format!("{}{name}", ms / unit),
    )
}
