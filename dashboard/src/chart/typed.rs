//! What people type about a chart: lines across with their labels.

use super::spec::{Level, Limit};
use super::units::Unit;

/// `5M`, `80:full`, `95:nearly full:crit`: a value with a prefix if wanted, a label, a level.
#[must_use]
pub fn limit(text: &str, unit: Unit) -> Option<Limit> {
    let (value, rest) = text.split_once(':').unwrap_or((text, ""));
    let value = prefixed(value)?;
    let (label, level) = labelled(rest, ':', Level::Warn)?;
    let label = if label.is_empty() {
        unit.format(value)
    } else {
        label
    };
    Some(Limit::new(value, &label, level))
}

/// A number, with a prefix if wanted: `1.5G`, `4Ki`.
fn prefixed(text: &str) -> Option<f64> {
    const PREFIXES: [(&str, f64); 9] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("%", 1.0),
    ];
    let text = text.trim();
    let found = PREFIXES
        .iter()
        .find_map(|(prefix, by)| Some((text.strip_suffix(prefix)?, by)));
    let (digits, by) = found.unwrap_or((text, &1.0));
    let number = digits.trim().parse::<f64>().ok()? * by;
    number.is_finite().then_some(number)
}

/// A label and, behind the separator, a level; a text with a separator that names no level is wrong.
#[must_use]
pub fn labelled(text: &str, separator: char, default: Level) -> Option<(String, Level)> {
    let Some((label, level)) = text.rsplit_once(separator) else {
        return Some((text.to_owned(), default));
    };
    let level = [Level::Info, Level::Warn, Level::Crit]
        .into_iter()
        .find(|l| l.as_str() == level)?;
    Some((label.to_owned(), level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_prefixes() {
        for (text, expected) in [
            ("5", Some(5.0)),
            ("1.5G", Some(1.5e9)),
            ("4Ki", Some(4096.0)),
            ("-3k", Some(-3000.0)),
            ("95%", Some(95.0)),
            ("", None),
            ("M", None),
            ("inf", None),
        ] {
            assert_eq!(prefixed(text), expected, "{text}");
        }
    }

    #[test]
    fn labels_and_levels_follow() {
        for (text, expected) in [
            ("80", Some(("80", Level::Warn))),
            ("80:full", Some(("full", Level::Warn))),
            ("80:full:crit", Some(("full", Level::Crit))),
            ("80:a:b:info", Some(("a:b", Level::Info))),
            ("80:full:red", None),
            ("full", None),
        ] {
            let found = limit(text, Unit::NONE).map(|l| (l.label, l.level));
            assert_eq!(found, expected.map(|(t, l)| (t.to_owned(), l)), "{text}");
        }
    }
}
