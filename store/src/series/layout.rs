//! Which archives a series has, and where a moment lies in them.
//!
//! A slot ends at a multiple of its step and holds what was read after the slot before: slot `i`
//! covers `(i·step, (i+1)·step]`. A reading on a border therefore keeps its own time. Slots are
//! kept `n` to a chunk; a chunk is one page of a group. The ring has a row for each chunk of the
//! archive's length and one more, and the chunk's number stands in the page, because a row that was
//! not overwritten for a while still holds an older chunk.

use std::ops::RangeInclusive;

use super::codec::{Input, put_varint};
use super::retention::Archives;

/// Lanes of a group: so many series share a page.
pub(crate) const LANES: usize = 48;
/// Slots of a chunk of the finest archive.
const RAW_SLOTS: i64 = 120;
/// Slots of a chunk of the other archives.
const COARSE_SLOTS: i64 = 60;
/// Bytes a raw slot may cost, over the whole page; a page above it loses mantissa bits. Whole octets
/// of busy lines need 2.2, everything else of a host below 1.
const RAW_BYTES_MAX: usize = 3;
/// Bytes a consolidated slot (count, sum, min, max, last) may cost.
const COARSE_BYTES_MAX: usize = 9;
/// Readings that come so late at least are taken: collectors replay what they kept in an outage.
const LATE_MS: i64 = 3_600_000;
/// Archives of one layout at most; the page number has four bits for it.
pub(crate) const ARCHIVES_MAX: usize = 8;
/// A day: longer slots would be of no zone's days.
pub(crate) const STEP_MS_MAX: i64 = 86_400_000;

/// One resolution and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    /// Milliseconds of a slot.
    pub(crate) step_ms: i64,
    /// Slots of a chunk.
    pub(crate) n: i64,
    /// Chunks of the ring.
    pub(crate) ring: i64,
    /// Slots of this archive in one of the next; 1 for the last.
    pub(crate) ratio: i64,
}

/// The archives of a group, finest first. Never changed once a group has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) id: u32,
    pub(crate) archives: Vec<Archive>,
}

impl Layout {
    /// Rings for a list of archives. A chunk holds whole slots of the next archive, and a ring has
    /// the chunks from which one of the next archive's is made, and two more; the finest has room for
    /// readings that are an hour late. So an archive that is very short for its slots reaches back a
    /// little farther than it was asked to.
    pub(crate) fn new(id: u32, archives: &Archives) -> Self {
        let list = archives.list();
        let ratio = |i: usize| {
            list.get(i + 1)
                .map_or(1, |next| next.step_ms / list[i].step_ms)
        };
        let chunk = |i: usize| {
            let base = if i == 0 { RAW_SLOTS } else { COARSE_SLOTS };
            ceil(base, ratio(i)) * ratio(i)
        };
        let archive = |i: usize| {
            let n = chunk(i);
            let one_of_next = list.get(i + 1).map(|_| chunk(i + 1) * ratio(i));
            let wanted = list[i].length_ms / list[i].step_ms;
            let late = if i == 0 {
                ceil(LATE_MS, list[i].step_ms)
            } else {
                0
            };
            Archive {
                step_ms: list[i].step_ms,
                n,
                ring: (ceil(wanted, n) + 1)
                    .max(one_of_next.map_or(0, |slots| ceil(slots, n) + 2))
                    .max(ceil(late, n) + 2),
                ratio: ratio(i),
            }
        };
        Self {
            id,
            archives: (0..list.len()).map(archive).collect(),
        }
    }

    /// The bytes of `ts_layout.spec`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for a in &self.archives {
            for x in [a.step_ms, a.n, a.ring, a.ratio] {
                put_varint(&mut out, x.unsigned_abs());
            }
        }
        out
    }

    /// Reads them back; `None` when the figures make no sense.
    pub(crate) fn decode(id: u32, bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let mut archives: Vec<Archive> = Vec::new();
        while !input.is_empty() {
            let mut next = || i64::try_from(input.varint()?).ok();
            let a = Archive {
                step_ms: next()?,
                n: next()?,
                ring: next()?,
                ratio: next()?,
            };
            let follows = archives.last().is_none_or(|f| {
                f.step_ms.checked_mul(f.ratio) == Some(a.step_ms)
                    && a.n
                        .checked_mul(f.ratio)
                        .is_some_and(|s| f.ring >= s / f.n + 2)
            });
            let sane = (1..=STEP_MS_MAX).contains(&a.step_ms)
                && (1..=1024).contains(&a.n)
                && (1..1 << 20).contains(&a.ring)
                && a.ratio >= 1
                && a.n % a.ratio == 0;
            if !(follows && sane) || archives.len() == ARCHIVES_MAX {
                return None;
            }
            archives.push(a);
        }
        (!archives.is_empty()).then_some(Self { id, archives })
    }

    /// Bytes that a group of this layout may occupy in all: its page caps, with an eighth for what
    /// SQLite adds.
    pub(crate) fn group_bytes_max(&self) -> u64 {
        let rings = self
            .archives
            .iter()
            .enumerate()
            .map(|(i, a)| a.ring.unsigned_abs() * page_bytes_max(i, a.n.unsigned_abs()) as u64);
        rings.sum::<u64>() / 8 * 9
    }

    /// The same for one series of a full group.
    pub(crate) fn series_bytes_max(&self) -> u64 {
        self.group_bytes_max().div_ceil(LANES as u64)
    }
}

fn ceil(a: i64, b: i64) -> i64 {
    a.unsigned_abs().div_ceil(b.unsigned_abs()).cast_signed()
}

/// Bytes that one page may have.
pub(crate) fn page_bytes_max(archive: usize, n: u64) -> usize {
    let slots = usize::try_from(n).unwrap_or(usize::MAX);
    let each = if archive == 0 {
        RAW_BYTES_MAX
    } else {
        COARSE_BYTES_MAX
    };
    LANES * (slots * each + 16)
}

/// The slot in which a moment lies.
pub(crate) fn slot_of(time_ms: i64, step_ms: i64) -> i64 {
    time_ms.saturating_sub(1).div_euclid(step_ms)
}

/// The rings of one group: its layout, turned by a phase of its own so that not all groups seal in
/// the same second. Phases lie on the borders of the next archive's slots.
#[derive(Clone, Debug)]
pub(crate) struct Rings {
    pub(crate) group: u32,
    pub(crate) layout: std::sync::Arc<Layout>,
}

impl Rings {
    pub(crate) fn archive(&self, a: usize) -> Archive {
        self.layout.archives[a]
    }

    pub(crate) fn len(&self) -> usize {
        self.layout.archives.len()
    }

    /// How far back the longest archive reaches.
    pub(crate) fn span_ms(&self) -> i64 {
        let spans = self
            .layout
            .archives
            .iter()
            .map(|a| a.ring * a.n * a.step_ms);
        spans.max().unwrap_or(0)
    }

    fn phase(&self, a: usize) -> i64 {
        let archive = self.archive(a);
        // The golden ratio spreads consecutive groups evenly.
        let spread = u64::from(self.group).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let borders = (archive.n / archive.ratio).unsigned_abs();
        ((spread * borders) >> 32).cast_signed() * archive.ratio
    }

    pub(crate) fn chunk_of(&self, a: usize, slot: i64) -> i64 {
        (slot + self.phase(a)).div_euclid(self.archive(a).n)
    }

    /// The first slot of a chunk.
    pub(crate) fn first_slot(&self, a: usize, chunk: i64) -> i64 {
        chunk * self.archive(a).n - self.phase(a)
    }

    /// When a chunk begins: the border before its first slot.
    pub(crate) fn begins(&self, a: usize, chunk: i64) -> i64 {
        self.first_slot(a, chunk) * self.archive(a).step_ms
    }

    /// The row of a chunk's page.
    pub(crate) fn row(&self, a: usize, chunk: i64) -> i64 {
        let archive = i64::try_from(a).unwrap_or(0);
        i64::from(self.group) << 24 | archive << 20 | chunk.rem_euclid(self.archive(a).ring)
    }

    /// The rows of the pages of some chunks, in the order of these, each run of rows with the first
    /// chunk of it: two of them where the ring begins anew in between. Chunks whose rows newer ones
    /// have are left out.
    pub(crate) fn rows(
        &self,
        a: usize,
        chunks: RangeInclusive<i64>,
    ) -> impl Iterator<Item = (i64, RangeInclusive<i64>)> + use<> {
        let ring = self.archive(a).ring;
        let last = *chunks.end();
        let first = (*chunks.start()).max(last.saturating_sub(ring - 1));
        let (row, zero) = (self.row(a, first), self.row(a, 0));
        // The last chunk before the ring's first row comes round again.
        let turn = last.min(first + (zero + ring - 1 - row));
        let runs = [
            (first, row..=row + (turn - first)),
            (turn + 1, zero..=zero + (last - turn - 1)),
        ];
        runs.into_iter().filter(|(_, rows)| !rows.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout_for(step_ms: i64) -> Layout {
        Layout::new(0, &Archives::default().for_step(step_ms))
    }

    #[test]
    fn default_layouts_hold_their_own_rules() {
        for step in [1_000, 10_000, 30_000, 60_000, 300_000, 600_000, 7_200_000] {
            let layout = layout_for(step);
            assert_eq!(Layout::decode(layout.id, &layout.encode()), Some(layout));
        }
    }

    #[test]
    fn the_budget_of_a_series_is_known() {
        let kib = |step| layout_for(step).group_bytes_max() / LANES as u64 / 1024;
        // What docs/store.md says of the three default layouts.
        assert_eq!([kib(1_000), kib(10_000), kib(60_000)], [683, 491, 295]);
    }

    #[test]
    fn a_reading_on_a_border_belongs_to_the_slot_that_ends_there() {
        assert_eq!(slot_of(10_000, 10_000), 0);
        assert_eq!(slot_of(10_001, 10_000), 1);
        assert_eq!(slot_of(0, 10_000), -1);
        assert_eq!(slot_of(i64::MIN, 1_000), i64::MIN.div_euclid(1_000));
    }

    #[test]
    fn runs_of_rows_are_those_of_the_chunks() {
        let rings = Rings {
            group: 3,
            layout: layout_for(1_000).into(),
        };
        let ring = rings.archive(1).ring;
        for first in -ring..=ring {
            for len in [0, 1, 2, ring - 1, ring] {
                let mut rows = Vec::new();
                for (chunk, run) in rings.rows(1, first..=first + len - 1) {
                    rows.extend((chunk..).zip(run));
                }
                let each = (first..first + len).map(|chunk| (chunk, rings.row(1, chunk)));
                assert_eq!(rows, each.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn phases_lie_on_coarser_borders_and_chunks_tile_time() {
        for group in 0..200 {
            let rings = Rings {
                group,
                layout: layout_for(1_000).into(),
            };
            for a in 0..rings.len() {
                for chunk in [-3, 0, 7] {
                    let first = rings.first_slot(a, chunk);
                    assert_eq!(first.rem_euclid(rings.archive(a).ratio), 0);
                    assert_eq!(rings.chunk_of(a, first), chunk);
                    assert_eq!(rings.chunk_of(a, first - 1), chunk - 1);
                }
            }
        }
    }
}
