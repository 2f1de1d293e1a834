//! Counts by value over many blocks, before they become groups.
//!
//! A value is known by a keyed hash of 96 bits, so that counting one that is known reads two places
//! of memory, and not its text too; and the values of a block are looked for together, so that
//! the memory answers them all at once. The text of each is kept when it comes first, for the groups.

use vigie_query::log::{GROUP_VALUE_MAX, Groups};
use vigie_query::{Group, Grouped, ScanStats};

use super::column::Strings;
use super::hash::hash_wide;

/// No value, in a slot.
const EMPTY: u32 = u32::MAX;
const SLOTS_MIN: usize = 1 << 10;
/// Values that are looked for together.
const TOGETHER: usize = 32;

/// Distinct values with their counts: open addressing.
#[derive(Debug)]
pub(super) struct Tally {
    key: u64,
    slots: Vec<Slot>,
    /// In the order in which they came first.
    values: Strings,
    counts: Vec<u64>,
    /// Values kept apart at most.
    max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    /// More bits of hash: nobody who does not know the key will ever see two values with one hash.
    check: u32,
    /// The value's place, or [`EMPTY`].
    index: u32,
}

const FREE: Slot = Slot {
    hash: 0,
    check: 0,
    index: EMPTY,
};

impl Slot {
    /// The place of the value of that hash, if it is this one. Without a branch, which would have to
    /// wait for the memory.
    fn place_of(&self, hash: u64, check: u32) -> u32 {
        let differs = (self.hash ^ hash) | u64::from(self.check ^ check);
        self.index | if differs == 0 { 0 } else { EMPTY }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn place(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// A value on its way.
#[derive(Clone, Copy, Debug)]
struct Sought<'a> {
    value: &'a [u8],
    n: u64,
    hash: u64,
    check: u32,
    /// Its place, if its first slot tells: read for many values before the first of them is counted.
    known: u32,
}

impl Tally {
    /// No value yet. `key` is one that senders of lines cannot guess.
    pub(super) fn new(key: u64, max: usize) -> Self {
        Self {
            key,
            slots: vec![FREE; SLOTS_MIN],
            values: Strings::default(),
            counts: Vec::new(),
            // A slot has 32 bits for a place, and one of them is kept for `EMPTY`.
            max: max.min(1 << 24),
        }
    }

    /// Counts values; what finds no room any more goes to `groups`, which it follows then.
    pub(super) fn add<'a>(
        &mut self,
        mut values: impl Iterator<Item = (&'a [u8], u64)>,
        groups: &mut Groups<'_>,
    ) {
        let mut some: Vec<Sought<'_>> = Vec::with_capacity(TOGETHER);
        loop {
            some.clear();
            let mask = self.slots.len() - 1;
            some.extend(values.by_ref().take(TOGETHER).map(|(value, n)| {
                let (hash, check) = hash_wide(self.key, value);
                Sought {
                    value,
                    n,
                    hash,
                    check,
                    known: self.slots[place(hash, mask)].place_of(hash, check),
                }
            }));
            if some.is_empty() {
                return;
            }
            for sought in &some {
                if self.max > 0 && self.count(sought) {
                    continue;
                }
                if self.max > 0 {
                    self.flush(groups);
                }
                groups.add_many([Some(sought.value)], None, sought.n);
            }
            if self.slots.len() / 4 * 3 < self.values.len() + TOGETHER {
                self.grow();
            }
        }
    }

    /// Counts a value; `false` if it is a new one and there is no room.
    fn count(&mut self, sought: &Sought<'_>) -> bool {
        if let Some(count) = self.counts.get_mut(sought.known as usize) {
            *count += sought.n;
            return true;
        }
        let mask = self.slots.len() - 1;
        let mut at = place(sought.hash, mask);
        while self.slots[at].index != EMPTY {
            let known = self.slots[at].place_of(sought.hash, sought.check);
            if let Some(count) = self.counts.get_mut(known as usize) {
                *count += sought.n;
                return true;
            }
            at = (at + 1) & mask;
        }
        let full = self.values.bytes.len() + sought.value.len() > u32::MAX as usize;
        if self.values.len() >= self.max || full {
            return false;
        }
        self.slots[at] = Slot {
            hash: sought.hash,
            check: sought.check,
            index: u32::try_from(self.values.len()).unwrap_or(EMPTY),
        };
        self.values.push(sought.value);
        self.counts.push(sought.n);
        true
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let known = std::mem::replace(&mut self.slots, vec![FREE; size]);
        for slot in known.into_iter().filter(|s| s.index != EMPTY) {
            let mut at = place(slot.hash, size - 1);
            while self.slots[at].index != EMPTY {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = slot;
        }
    }

    /// The groups of all that was counted, here or in `groups`.
    pub(super) fn finish(mut self, mut groups: Groups<'_>, stats: ScanStats) -> Grouped {
        let short = |value: &[u8]| value.len() <= GROUP_VALUE_MAX;
        if !groups.is_empty() || !self.values.iter().all(short) {
            self.flush(&mut groups);
            return groups.finish(stats);
        }
        // Each value is here once: there is nothing to be looked for.
        let group = |(value, count): (&[u8], u64)| Group {
            key: vec![Some(value.to_vec())],
            count,
            steps: Vec::new(),
        };
        Grouped {
            groups: self.values.iter().zip(self.counts).map(group).collect(),
            rest: 0,
            stats,
        }
    }

    /// Hands all counts over; no value is taken any more, for the groups are as many as may be.
    pub(super) fn flush(&mut self, groups: &mut Groups<'_>) {
        for (value, n) in self.values.iter().zip(self.counts.drain(..)) {
            groups.add_many([Some(value)], None, n);
        }
        self.values = Strings::default();
        self.slots = vec![FREE; SLOTS_MIN];
        self.max = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use vigie_query::log::FieldName;

    use super::*;

    proptest! {
        #[test]
        fn counts_as_a_map(
            values in proptest::collection::vec(("[a-z]{0,2}", 1u64..9), 0..3000), max in 0usize..1500,
        ) {
            let fields = [FieldName::new("x")];
            let mut groups = Groups::new(&fields, None, max);
            let mut tally = Tally::new(7, max);
            let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
            for part in values.chunks(700) {
                for (value, n) in part {
                    *expected.entry(value).or_default() += n;
                }
                tally.add(part.iter().map(|(v, n)| (v.as_bytes(), *n)), &mut groups);
            }
            let found = tally.finish(groups, ScanStats::default());
            let total: u64 = found.groups.iter().map(|g| g.count).sum();
            prop_assert_eq!(total + found.rest, expected.values().sum::<u64>());
            prop_assert_eq!(found.groups.len(), expected.len().min(max));
            for group in &found.groups {
                let value = group.key[0].as_deref().map(String::from_utf8_lossy);
                let value = value.expect("a value");
                prop_assert_eq!(Some(&group.count), expected.get(&*value));
            }
        }
    }
}
