//! One column of a block: distinct strings, and a code for each value in the order of the rows.
//!
//! A code with the top bit set is a number, which needs no string and no look-up; else it is the
//! place of a string.

use super::hash::hash;

/// Marks a code that is the number itself.
pub(super) const NUMBER: u32 = 1 << 31;
/// Longer values are not looked for among the known ones: they hardly ever come twice.
const INTERN_BYTES_MAX: usize = 512;

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

/// Finds known strings of a column: open addressing over 16 bits of hash and the string's place.
///
/// Four bytes a slot: the tables of a block's columns compete for the cache, and a probe that
/// misses it costs more than all the rest of taking a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Interner {
    slots: Vec<u32>,
    len: usize,
    last: Last,
}

/// The string that was taken last; at first the empty one at the beginning, which is no string.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    code: u32,
    start: u32,
    end: u32,
}

const SLOTS_MIN: usize = 8;
const EMPTY: u32 = u32::MAX;
/// Strings beyond are not looked for: a block has no more rows.
const PLACES: usize = 1 << 16;

/// Where the search for a hash begins.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn place(h: u64, mask: usize) -> usize {
    h as usize & mask
}

/// The hash's part of a slot, never that of [`EMPTY`].
fn tag(h: u64) -> u32 {
    ((h >> 48) as u32).min(0xFFFE) << 16
}

fn read8(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |c| u64::from_le_bytes(*c))
}

/// Whether two texts of one length are equal: most are short, and a call costs more than they do.
#[inline]
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    let n = a.len();
    let eight = |at: usize| read8(&a[at..]) == read8(&b[at..]);
    match n {
        8..=16 => eight(0) & eight(n - 8),
        17..=32 => eight(0) & eight(8) & eight(n - 16) & eight(n - 8),
        0..8 => a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0,
        _ => a == b,
    }
}

/// What is known of a value that is on its way into a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Its code where that is plain already, else [`SOUGHT`].
    pub code: u32,
    /// What the first slot held.
    slot: u32,
    hash: u64,
    /// Where the string of that slot lies.
    known: (u32, u32),
}

/// No code: larger than all places and numbers.
const SOUGHT: u32 = u32::MAX;

impl Probe {
    /// The value has to be compared with strings.
    pub(super) fn is_sought(self) -> bool {
        self.code == SOUGHT
    }

    /// The second step of taking a value: reads where the string lies that may be the same.
    pub(super) fn look_up(&mut self, strings: &Strings) {
        if self.slot != EMPTY {
            self.known = strings.range((self.slot & 0xFFFF) as usize);
        }
    }
}

impl Interner {
    /// Appends a value to its column.
    #[cfg(test)]
    fn push(&mut self, column: &mut Column, text: &[u8], key: u64) {
        let mut probe = self.probe(&column.strings, text, key);
        probe.look_up(&column.strings);
        let code = match probe.is_sought() {
            true => self.take(&mut column.strings, text, probe, key),
            false => probe.code,
        };
        column.codes.push(code);
    }

    /// The first step of taking a value: its code, if that is plain.
    pub(super) fn probe(&mut self, strings: &Strings, text: &[u8], key: u64) -> Probe {
        let known = |code| Probe {
            code,
            slot: EMPTY,
            hash: 0,
            known: (0, 0),
        };
        if let Some(number) = direct_number(text) {
            return known(NUMBER | number);
        }
        let last = self.last;
        if (last.end - last.start) as usize == text.len()
            && !text.is_empty()
            && let Some(bytes) = strings.bytes.get(last.start as usize..last.end as usize)
            && same(bytes, text)
        {
            return known(last.code);
        }
        if self.slots.len() < SLOTS_MIN.max(self.len * 2) {
            self.grow(strings, key);
        }
        let hash = hash(key, text);
        Probe {
            slot: self.slots[place(hash, self.slots.len() - 1)],
            hash,
            ..known(SOUGHT)
        }
    }

    /// The third step, for values that are sought: the code.
    pub(super) fn take(
        &mut self,
        strings: &mut Strings,
        text: &[u8],
        probe: Probe,
        key: u64,
    ) -> u32 {
        // Strings stay where they are, so what was found a while ago still holds.
        let (start, end) = probe.known;
        if (end - start) as usize == text.len()
            && probe.slot != EMPTY
            && let Some(known) = strings.bytes.get(start as usize..end as usize)
            && same(known, text)
        {
            let code = probe.slot & 0xFFFF;
            self.last = Last { code, start, end };
            return code;
        }
        let code = self.find_or_insert(strings, text, probe.hash, key);
        let (start, end) = strings.range(code as usize);
        self.last = Last { code, start, end };
        code
    }

    fn find_or_insert(&mut self, strings: &mut Strings, text: &[u8], hash: u64, key: u64) -> u32 {
        let next = u32::try_from(strings.len()).unwrap_or(NUMBER - 1);
        if text.len() > INTERN_BYTES_MAX || strings.len() >= PLACES {
            strings.push(text);
            return next;
        }
        // Values that were probed together may have filled it meanwhile.
        if self.slots.len() < SLOTS_MIN.max(self.len * 2) {
            self.grow(strings, key);
        }
        let (tag, mask) = (tag(hash), self.slots.len() - 1);
        let mut at = place(hash, mask);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                self.slots[at] = tag | next;
                self.len += 1;
                strings.push(text);
                return next;
            }
            if slot & !0xFFFF == tag {
                let known = strings.get((slot & 0xFFFF) as usize);
                if known.len() == text.len() && same(known, text) {
                    return slot & 0xFFFF;
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes room, or takes up strings that were read from the journal.
    fn grow(&mut self, strings: &Strings, key: u64) {
        let short = |text: &&[u8]| text.len() <= INTERN_BYTES_MAX;
        self.len = strings.iter().take(PLACES).filter(short).count();
        // At most half full, until it is to be made larger.
        let size = (self.len * 2 + 1).next_power_of_two().max(SLOTS_MIN);
        let size = if size < self.len * 3 { size * 2 } else { size };
        self.slots.clear();
        self.slots.resize(size, EMPTY);
        let known = (0u32..).zip(strings.iter().take(PLACES));
        for (index, text) in known.filter(|(_, t)| short(t)) {
            let h = hash(key, text);
            let mut at = place(h, size - 1);
            while self.slots[at] != EMPTY {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = tag(h) | index;
        }
    }

    /// For a column that was read back.
    pub(super) fn over(strings: &Strings, key: u64) -> Self {
        let mut interner = Self::default();
        if strings.len() > 0 {
            interner.grow(strings, key);
        }
        interner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn values_come_back(values in proptest::collection::vec("[0-9]{0,3}|[a-c]{0,3}|x{600}", 0..300)) {
            let (mut column, mut interner) = (Column::default(), Interner::default());
            for (i, v) in values.iter().enumerate() {
                if i == 100 {
                    interner = Interner::over(&column.strings, 7);
                }
                interner.push(&mut column, v.as_bytes(), 7);
            }
            for (&code, v) in column.codes.iter().zip(&values) {
                let mut value = Vec::new();
                column.append(code, &mut value);
                prop_assert_eq!(value, v.as_bytes());
            }
            let mut short: Vec<&[u8]> = column.strings.iter().filter(|s| s.len() < 100).collect();
            let n = short.len();
            short.sort_unstable();
            short.dedup();
            prop_assert_eq!(short.len(), n);
        }
    }
}
