//! Numbers for people, written as Prometheus' template functions write them.

/// `%.{digits}g`: so many significant digits, no trailing zeros, an exponent where it is shorter.
pub(super) fn general(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return vigie_query::promql::format_value(value);
    }
    let digits = digits.max(1);
    let scientific = format!("{value:.*e}", digits - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let places = i32::try_from(digits).unwrap_or(i32::MAX) - 1 - exponent;
    if exponent < -4 || places < 0 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let fixed = format!("{value:.*}", usize::try_from(places).unwrap_or(0));
    trimmed(&fixed).to_owned()
}

fn trimmed(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// Divides by `step` as long as there is a larger unit, or multiplies by 1000 below 1.
fn scale(
    value: f64,
    step: f64,
    large: &[&'static str],
    small: &[&'static str],
) -> (f64, &'static str) {
    let (mut value, mut prefix) = (value, "");
    if value.abs() >= 1.0 {
        for unit in large {
            if value.abs() < step {
                break;
            }
            (value, prefix) = (value / step, unit);
        }
    } else {
        for unit in small {
            if value.abs() >= 1.0 {
                break;
            }
            (value, prefix) = (value * 1000.0, unit);
        }
    }
    (value, prefix)
}

/// `humanize`: metric prefixes.
pub(super) fn metric(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return general(value, 4);
    }
    let large = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    let (value, prefix) = scale(value, 1000.0, &large, &SMALL);
    general(value, 4) + prefix
}

/// `humanize1024`: binary prefixes.
pub(super) fn binary(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return general(value, 4);
    }
    let large = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
    let (value, prefix) = scale(value, 1024.0, &large, &[]);
    general(value, 4) + prefix
}

/// `humanizePercentage`: a ratio as percent.
pub(super) fn percentage(value: f64) -> String {
    if value.is_finite() {
        general(value * 100.0, 4) + "%"
    } else {
        general(value, 4)
    }
}

/// `humanizeDuration`: seconds as days, hours, minutes and seconds.
pub(super) fn duration(value: f64) -> String {
    if value == 0.0 {
        return "0s".to_owned();
    }
    if !value.is_finite() {
        return general(value, 4);
    }
    if value.abs() < 1.0 {
        let (value, prefix) = scale(value, 1000.0, &[], &SMALL);
        return general(value, 4) + prefix + "s";
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let whole = value.abs().trunc();
    let part = |unit: f64, of: f64| (whole / unit).trunc() % of;
    let (seconds, minutes) = (part(1.0, 60.0), part(60.0, 60.0));
    let (hours, days) = (part(3600.0, 24.0), (whole / 86400.0).trunc());
    if days > 0.0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours > 0.0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes > 0.0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        sign.to_owned() + &general(value.abs(), 4) + "s"
    }
}

/// `humanizeTimestamp`: seconds since 1970 as a date in UTC.
pub(super) fn timestamp(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates; jiff refuses what is too far"
    )]
    let millis = (value * 1000.0) as i64;
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) if value.is_finite() => time.strftime("%Y-%m-%d %H:%M:%S%.f UTC").to_string(),
        _ => general(value, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_from_prometheus() {
        // Expectations from Prometheus' template_test.go semantics, computed by its rules.
        for (value, m, b, p, d) in [
            (0.0, "0", "0", "0%", "0s"),
            (-0.001, "-1m", "-0.001", "-0.1%", "-1ms"),
            (1.0, "1", "1", "100%", "1s"),
            (59.123, "59.12", "59.12", "5912%", "59.12s"),
            (60.0, "60", "60", "6000%", "1m 0s"),
            (3661.0, "3.661k", "3.575ki", "3.661e+05%", "1h 1m 1s"),
            (86400.0, "86.4k", "84.38ki", "8.64e+06%", "1d 0h 0m 0s"),
            (
                -5.0 * 86400.0 - 1.5,
                "-432k",
                "-421.9ki",
                "-4.32e+07%",
                "-5d 0h 0m 1s",
            ),
            (1_048_576.0, "1.049M", "1Mi", "1.049e+08%", "12d 3h 16m 16s"),
            (f64::NAN, "NaN", "NaN", "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf", "+Inf"),
        ] {
            assert_eq!(metric(value), m);
            assert_eq!(binary(value), b);
            assert_eq!(percentage(value), p);
            assert_eq!(duration(value), d);
        }
        for (value, digits, expected) in [
            (0.000_012_345, 4, "1.234e-05"),
            (0.000_123_45, 4, "0.0001234"),
            (123_456.0, 4, "1.235e+05"),
            (9999.9, 4, "1e+04"),
            (100.0, 4, "100"),
        ] {
            assert_eq!(general(value, digits), expected);
        }
        assert_eq!(timestamp(1_435_065_584.128), "2015-06-23 13:19:44.128 UTC");
        assert_eq!(timestamp(1e300), "1e+300");
    }
}
