//! Counts by value over many blocks, before they become groups: values lie in one buffer, and those
//! of a block are looked for together, so that the memory answers them all at once.

use vigie_query::log::{GROUP_VALUE_MAX, Groups};
use vigie_query::{Group, Grouped, ScanStats};

use super::column::{Strings, same};
use super::hash::hash;

/// No value, in a slot.
const EMPTY: u64 = u64::MAX;
const SLOTS_MIN: usize = 1 << 10;
/// Values that are looked for together.
const TOGETHER: usize = 32;

/// Distinct values with their counts: open addressing over half of the hash and the value's place.
#[derive(Debug)]
pub(super) struct Tally {
    key: u64,
    slots: Vec<u64>,
    values: Strings,
    counts: Vec<u64>,
    /// Values kept apart at most.
    max: usize,
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn place(h: u64, mask: usize) -> usize {
    h as usize & mask
}

/// A value on its way: what the tables say of it is read in steps, each for many values at a time.
#[derive(Clone, Copy, Debug)]
struct Sought<'a> {
    value: &'a [u8],
    n: u64,
    hash: u64,
    /// What its first slot held, …
    slot: u64,
    /// … and where the value of that slot lies.
    known: (u32, u32),
}

/// The place in a slot.
fn index_of(slot: u64) -> usize {
    usize::try_from(slot & 0xFFFF_FFFF).unwrap_or(usize::MAX)
}

impl Tally {
    /// No value yet. `key` is one that senders of lines cannot guess.
    pub(super) fn new(key: u64, max: usize) -> Self {
        Self {
            key,
            slots: vec![EMPTY; SLOTS_MIN],
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
                let hash = hash(self.key, value);
                Sought {
                    value,
                    n,
                    hash,
                    slot: self.slots[place(hash, mask)],
                    known: (0, 0),
                }
            }));
            if some.is_empty() {
                return;
            }
            for sought in &mut some {
                if sought.slot != EMPTY {
                    sought.known = self.values.range(index_of(sought.slot));
                }
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
            if self.slots.len() < self.counts.len() * 2 + TOGETHER {
                self.grow();
            }
        }
    }

    /// Counts a value; `false` if it is a new one and there is no room.
    fn count(&mut self, sought: &Sought<'_>) -> bool {
        let (value, n, h) = (sought.value, sought.n, sought.hash);
        let (start, end) = sought.known;
        if sought.slot != EMPTY
            && (sought.slot ^ h) >> 32 == 0
            && let Some(known) = self.values.bytes.get(start as usize..end as usize)
            && known.len() == value.len()
            && same(known, value)
        {
            self.counts[index_of(sought.slot)] += n;
            return true;
        }
        // An empty slot may have been taken by a neighbour.
        let mask = self.slots.len() - 1;
        let mut at = place(h, mask);
        let mut slot = self.slots[at];
        while slot != EMPTY {
            let index = index_of(slot);
            if (slot ^ h) >> 32 == 0 && self.values.get(index) == value {
                self.counts[index] += n;
                return true;
            }
            at = (at + 1) & mask;
            slot = self.slots[at];
        }
        let full = self.values.bytes.len() + value.len() > u32::MAX as usize;
        if self.counts.len() >= self.max || full {
            return false;
        }
        self.slots[at] = (h & !0xFFFF_FFFF) | self.counts.len() as u64;
        self.values.push(value);
        self.counts.push(n);
        true
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 4;
        self.slots.clear();
        self.slots.resize(size, EMPTY);
        for (index, value) in (0u64..).zip(self.values.iter()) {
            let h = hash(self.key, value);
            let mut at = place(h, size - 1);
            while self.slots[at] != EMPTY {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = (h & !0xFFFF_FFFF) | index;
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
        let counted = self.values.iter().zip(&self.counts);
        let group = |(value, count): (&[u8], &u64)| Group {
            key: vec![Some(value.to_vec())],
            count: *count,
            steps: Vec::new(),
        };
        Grouped {
            groups: counted.map(group).collect(),
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
        self.slots = vec![EMPTY; SLOTS_MIN];
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
