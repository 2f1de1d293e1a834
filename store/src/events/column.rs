//! One column of a block: distinct strings, and a code for each value in the order of the rows.
//!
//! A code with the top bit set is a number, which needs no string and no look-up; else it is the
//! place of a string.

/// Marks a code that is the number itself.
pub(super) const NUMBER: u32 = 1 << 31;

/// Byte strings one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strings {
    pub bytes: Vec<u8>,
    pub ends: Vec<u32>,
}

impl Strings {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        // A block takes 16 MiB of lines and one line more.
        self.ends
            .push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let (start, end) = self.range(index);
        let bytes = self.bytes.get(start as usize..end as usize);
        bytes.unwrap_or_default()
    }

    /// Where a string lies in the bytes; nowhere if there is no such string.
    pub(super) fn range(&self, index: usize) -> (u32, u32) {
        let start = match index {
            0 => 0,
            i => self.ends.get(i - 1).copied().unwrap_or(0),
        };
        let end = self.ends.get(index).copied().unwrap_or(start);
        (start, end)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.len()).map(|i| self.get(i))
    }
}

/// The values of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Column {
    pub strings: Strings,
    pub codes: Vec<u32>,
}

/// The number that `text` writes in the only way in which [`append_number`] writes it.
pub(super) fn direct_number(text: &[u8]) -> Option<u32> {
    let (&first, rest) = text.split_first()?;
    if text.len() > 10 || !first.is_ascii_digit() || (first == b'0' && !rest.is_empty()) {
        return None;
    }
    let mut value = u64::from(first - b'0');
    for &c in rest {
        if !c.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(c - b'0');
    }
    u32::try_from(value).ok().filter(|&v| v < NUMBER)
}

/// Writes a number in decimal.
pub(super) fn append_number(mut n: u32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10).to_le_bytes()[0];
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

impl Column {
    /// Writes the value behind a code.
    pub(super) fn append(&self, code: u32, out: &mut Vec<u8>) {
        if code & NUMBER != 0 {
            append_number(code & !NUMBER, out);
        } else {
            out.extend_from_slice(self.strings.get(code as usize));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_numbers() {
        let check =
            |text: &str, expected| assert_eq!(direct_number(text.as_bytes()), expected, "{text}");
        check("0", Some(0));
        check("200", Some(200));
        check("2147483647", Some(NUMBER - 1));
        for text in [
            "",
            "-",
            "-1",
            "00",
            "01",
            "1.5",
            "2147483648",
            "99999999999",
            " 1",
        ] {
            check(text, None);
        }
    }
}
