//! Numbers as Prometheus writes them.

/// Shortest text that reads back as the same number, never with an exponent; `+Inf`, `-Inf`, `NaN`.
#[must_use]
pub fn format_value(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::format_value;

    #[test]
    fn numbers_read_as_in_prometheus() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1.5e-7, "0.00000015"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (super::super::STALE, "NaN"),
        ] {
            assert_eq!(format_value(value), expected);
        }
    }
}
