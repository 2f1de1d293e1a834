//! Values on their way into a column: those of many lines together, one column after the other.
//!
//! Taking a value is a few dozen instructions and up to three places of memory that no cache holds:
//! the slot of its hash, where the string of that slot lies, and the string. So the values of many
//! lines are gone through in three steps, and the memory answers for all of them at once; and they
//! are gone through by column, since those of one column are alike: what a branch did for the last
//! value it does for the next.

use super::column::{Column, NUMBER, Strings, direct_number};
use super::hash::hash;

/// Longer values are not looked for among the known ones: they hardly ever come twice.
const INTERN_BYTES_MAX: usize = 512;
const SLOTS_MIN: usize = 8;
const EMPTY: u32 = u32::MAX;
/// Strings beyond are not looked for: a block has no more rows.
const PLACES: usize = 1 << 16;
/// A column that had so many strings …
const UNIQUE_MIN: usize = 1 << 10;
/// … of which at most one in so many came a second time is one of ids: looking them up and keeping a
/// table of them would be for nothing.
const UNIQUE_PART: usize = 32;
/// Set in the code of a value that is not known yet; the rest tells which one. Places are smaller.
const PENDING: u32 = 1 << 30;

/// Where a value lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    /// In which of the lines that are taken together.
    pub line: u32,
    pub start: u32,
    pub end: u32,
}

/// The known strings of a column: open addressing over 16 bits of hash and the string's place.
///
/// Four bytes a slot: the tables of a block's columns compete for the cache, and a probe that
/// misses it costs more than all the rest of taking a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Interner {
    slots: Vec<u32>,
    len: usize,
    /// The place of the string that was taken last, if there is one.
    last: Option<u32>,
    /// Values that wait to be taken, in the order of their rows.
    waiting: Vec<Value>,
}

/// A value that is compared with known strings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe<'a> {
    text: &'a [u8],
    hash: u64,
    /// What the first slot held.
    slot: u32,
    /// Where its code belongs.
    row: u32,
    /// Where the string of that slot lies.
    known: (u32, u32),
}

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

#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && same(a, b)
}

/// As [`direct_number`] for a piece of a line, without a step for each digit where the line has
/// eight bytes from there on.
#[inline]
fn number_at(line: &[u8], start: usize, end: usize) -> Option<u32> {
    let n = end.saturating_sub(start);
    let Some(eight) = line.get(start..).and_then(<[u8]>::first_chunk::<8>) else {
        return direct_number(line.get(start..end)?);
    };
    let first = eight[0];
    if first.wrapping_sub(b'0') >= 10 {
        return None;
    }
    if !(1..=8).contains(&n) {
        return direct_number(line.get(start..end)?);
    }
    // The digits move to the upper bytes; below are zeros, as before a number.
    let shift = 64 - 8 * n;
    let digits = (u64::from_le_bytes(*eight) << shift) ^ (0x3030_3030_3030_3030 << shift);
    let above_nine = digits.wrapping_add(0x7676_7676_7676_7676) | digits;
    if above_nine & 0x8080_8080_8080_8080 != 0 || (first == b'0' && n > 1) {
        return None;
    }
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    let all = (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xFFFF_FFFF;
    u32::try_from(all).ok()
}

impl Interner {
    /// For a column that was read back.
    pub(super) fn over(strings: &Strings, key: u64) -> Self {
        let mut interner = Self::default();
        if strings.len() > 0 {
            interner.grow(strings, 0, key);
        }
        interner
    }

    /// Adds a value to those that wait; whether it is the first one.
    #[inline]
    pub(super) fn wait(&mut self, value: Value) -> bool {
        self.waiting.push(value);
        self.waiting.len() == 1
    }

    /// Takes the values that wait; `lines` tells the bytes of a line. How many they were.
    pub(super) fn take<'a>(
        &mut self,
        column: &mut Column,
        lines: impl Fn(u32) -> &'a [u8],
        probes: &mut Vec<Probe<'a>>,
        key: u64,
    ) -> usize {
        let mut waiting = std::mem::take(&mut self.waiting);
        let n = waiting.len();
        let first = column.codes.len();
        probes.clear();
        if column.strings.len() >= UNIQUE_MIN.max(first - first / UNIQUE_PART) {
            self.append(column, &waiting, lines);
            waiting.clear();
            self.waiting = waiting;
            return n;
        }
        if self.slots.len() < SLOTS_MIN.max((self.len + n) * 2) {
            self.grow(&column.strings, n, key);
        }
        let again = self.probe(column, &waiting, lines, probes, key);
        waiting.clear();
        self.waiting = waiting;
        for probe in &mut *probes {
            if probe.slot != EMPTY {
                probe.known = column.strings.range((probe.slot & 0xFFFF) as usize);
            }
        }
        for probe in &*probes {
            let code = self.find(&mut column.strings, probe);
            column.codes[probe.row as usize] = code;
            self.last = Some(code);
        }
        if again {
            for at in first..column.codes.len() {
                let code = column.codes[at];
                if code & (NUMBER | PENDING) == PENDING {
                    let probe = probes.get((code & !PENDING) as usize);
                    let row = probe.map_or(at, |p| p.row as usize);
                    column.codes[at] = column.codes[row];
                }
            }
        }
        n
    }

    /// Takes all values as new ones, but for numbers and what is the same as before.
    fn append<'a>(
        &mut self,
        column: &mut Column,
        waiting: &[Value],
        lines: impl Fn(u32) -> &'a [u8],
    ) {
        let Column { strings, codes } = column;
        for value in waiting {
            let line = lines(value.line);
            let (start, end) = (value.start as usize, value.end as usize);
            if let Some(number) = number_at(line, start, end) {
                codes.push(NUMBER | number);
                continue;
            }
            let text = line.get(start..end).unwrap_or_default();
            let last = self.last;
            let code = match last.filter(|&code| equal(strings.get(code as usize), text)) {
                Some(code) => code,
                None => {
                    strings.push(text);
                    u32::try_from(strings.len() - 1).unwrap_or(PENDING - 1)
                }
            };
            codes.push(code);
            self.last = Some(code);
        }
    }

    /// The first step: the codes of numbers and of what is the same as before; of the others what the
    /// table says. Answers whether some are the same as one whose code is not known yet.
    fn probe<'a>(
        &self,
        column: &mut Column,
        waiting: &[Value],
        lines: impl Fn(u32) -> &'a [u8],
        probes: &mut Vec<Probe<'a>>,
        key: u64,
    ) -> bool {
        let Column { strings, codes } = column;
        let mask = self.slots.len() - 1;
        let mut again = false;
        let mut before = self.last.map(|code| (strings.get(code as usize), code));
        for value in waiting {
            let line = lines(value.line);
            let (start, end) = (value.start as usize, value.end as usize);
            if let Some(number) = number_at(line, start, end) {
                codes.push(NUMBER | number);
                continue;
            }
            let text = line.get(start..end).unwrap_or_default();
            if let Some((known, code)) = before
                && equal(known, text)
            {
                again |= code & PENDING != 0;
                codes.push(code);
                continue;
            }
            let hash = hash(key, text);
            let nth = u32::try_from(probes.len()).unwrap_or(0);
            probes.push(Probe {
                text,
                hash,
                slot: self.slots[place(hash, mask)],
                row: u32::try_from(codes.len()).unwrap_or(u32::MAX),
                known: (0, 0),
            });
            before = Some((text, PENDING | nth));
            codes.push(PENDING | nth);
        }
        again
    }

    /// The place of a value.
    #[inline]
    fn find(&mut self, strings: &mut Strings, probe: &Probe<'_>) -> u32 {
        // Strings stay where they are, so what was found a while ago still holds.
        let (start, end) = probe.known;
        if probe.slot != EMPTY
            && let Some(known) = strings.bytes.get(start as usize..end as usize)
            && equal(known, probe.text)
        {
            return probe.slot & 0xFFFF;
        }
        self.find_or_insert(strings, probe.text, probe.hash)
    }

    fn find_or_insert(&mut self, strings: &mut Strings, text: &[u8], hash: u64) -> u32 {
        let next = u32::try_from(strings.len()).unwrap_or(PENDING - 1);
        if text.len() > INTERN_BYTES_MAX || strings.len() >= PLACES {
            strings.push(text);
            return next;
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
            if slot & !0xFFFF == tag && equal(strings.get((slot & 0xFFFF) as usize), text) {
                return slot & 0xFFFF;
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes room for so many more strings, or takes up those that were read from the journal.
    fn grow(&mut self, strings: &Strings, more: usize, key: u64) {
        let short = |text: &&[u8]| text.len() <= INTERN_BYTES_MAX;
        self.len = strings.iter().take(PLACES).filter(short).count();
        // At most half full, until it is to be made larger.
        let wanted = self.len + more;
        let size = (wanted * 2 + 1).next_power_of_two().max(SLOTS_MIN);
        let size = if size < wanted * 3 { size * 2 } else { size };
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes values together, all in one line.
    fn take(interner: &mut Interner, column: &mut Column, values: &[String]) {
        let line = values.concat();
        let mut at = 0;
        for value in values {
            let start = at;
            at += value.len();
            let place = |n: usize| u32::try_from(n).expect("short");
            interner.wait(Value {
                line: 0,
                start: place(start),
                end: place(at),
            });
        }
        interner.take(column, |_| line.as_bytes(), &mut Vec::new(), 7);
    }

    proptest! {
        #[test]
        fn values_come_back(
            values in proptest::collection::vec("[0-9]{0,3}|[a-c]{0,3}|x{600}", 0..300),
            together in 1usize..70,
        ) {
            let (mut column, mut interner) = (Column::default(), Interner::default());
            for (i, some) in values.chunks(together).enumerate() {
                if i == 3 {
                    interner = Interner::over(&column.strings, 7);
                }
                take(&mut interner, &mut column, some);
            }
            prop_assert_eq!(column.codes.len(), values.len());
            for (&code, v) in column.codes.iter().zip(&values) {
                let mut value = Vec::new();
                column.append(code, &mut value);
                prop_assert_eq!(value, v.as_bytes());
                prop_assert_eq!(code & NUMBER != 0, direct_number(v.as_bytes()).is_some());
            }
            let mut short: Vec<&[u8]> = column.strings.iter().filter(|s| s.len() < 100).collect();
            let n = short.len();
            short.sort_unstable();
            short.dedup();
            prop_assert_eq!(short.len(), n);
        }

        #[test]
        fn ids_come_back(
            together in 1usize..300, ids in 900usize..3000, again in proptest::collection::vec((0usize..3000, 0usize..3000), 0..100),
        ) {
            let mut values: Vec<String> = (0..ids).map(|n| format!("id-{n}")).collect();
            for (from, to) in again {
                values[to % ids] = values[from % ids].clone();
                values[from % ids] = "7".to_owned();
            }
            let (mut column, mut interner) = (Column::default(), Interner::default());
            for some in values.chunks(together) {
                take(&mut interner, &mut column, some);
            }
            for (&code, v) in column.codes.iter().zip(&values) {
                let mut value = Vec::new();
                column.append(code, &mut value);
                prop_assert_eq!(value, v.as_bytes());
            }
        }

        #[test]
        fn numbers_are_read_as_one_by_one(
            text in "[0-9]{0,11}|[0-9]{0,4}[./:;a\u{80}]?[0-9]{0,4}", behind in "[0-9 ]{0,9}",
        ) {
            let line = format!("{text}{behind}");
            let found = number_at(line.as_bytes(), 0, text.len());
            prop_assert_eq!(found, direct_number(text.as_bytes()), "{}|{}", text, behind);
        }
    }
}
