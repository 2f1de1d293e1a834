//! Reading the kernel's text files: lines, words, numbers. Total on any bytes.

/// The lines, without their ends.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n').filter(|l| !l.is_empty())
}

/// The words between blanks.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&b| b == b' ' || b == b'\t')
        .filter(|w| !w.is_empty())
}

/// A decimal number, all of the word; `None` for anything else and beyond 64 bits.
pub(crate) fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |n, b| {
        let digit = b.wrapping_sub(b'0');
        (digit < 10)
            .then(|| n.checked_mul(10)?.checked_add(u64::from(digit)))
            .flatten()
    })
}

/// A hexadecimal number, with or without `0x`.
pub(crate) fn hex(word: &[u8]) -> Option<u64> {
    let digits = word.strip_prefix(b"0x").unwrap_or(word);
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A decimal number that may be negative or broken.
pub(crate) fn float(word: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// A count as a gauge: exact to 2^53, which no gauge of the kernel passes in earnest.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn gauge(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            (&b"0"[..], Some(0)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"", None),
            (b"-1", None),
            (b"1x", None),
        ] {
            assert_eq!(number(text), expected);
        }
        assert_eq!(hex(b"0x1f"), Some(31));
        assert_eq!(hex(b"00000009"), Some(9));
        assert_eq!(hex(b"g"), None);
        assert_eq!(float(b"-125000"), Some(-125_000.0));
        assert_eq!(float(b"nan"), None);
    }
}
