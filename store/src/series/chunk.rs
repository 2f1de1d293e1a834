//! What is open of the finest archive: slots that are in no page yet.

use std::ops::RangeBounds;

use super::layout::LANES;

/// Slots of a block of an open chunk.
const BLOCK_SLOTS: usize = 16;

/// An open chunk of the finest archive, as long as slots were reached; NaN is unknown. Slot by slot,
/// because that is how readings come, and in blocks of one size, because what grows by copying
/// leaves holes in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    /// `blocks[slot / BLOCK_SLOTS][slot % BLOCK_SLOTS * LANES + lane]`.
    blocks: Vec<Box<[f64]>>,
    /// Slots reached.
    slots: usize,
}

impl Chunk {
    pub(crate) fn of(slots: usize) -> Self {
        let mut chunk = Self::default();
        chunk.reach(slots);
        chunk
    }

    fn reach(&mut self, slots: usize) {
        self.slots = self.slots.max(slots);
        while self.blocks.len() * BLOCK_SLOTS < slots {
            self.blocks
                .push(vec![f64::NAN; BLOCK_SLOTS * LANES].into_boxed_slice());
        }
    }

    #[inline]
    pub(crate) fn cell(&mut self, slot: usize, lane: usize) -> &mut f64 {
        if slot >= self.slots {
            self.reach(slot + 1);
        }
        &mut self.blocks[slot / BLOCK_SLOTS][slot % BLOCK_SLOTS * LANES + lane]
    }

    /// Slots reached.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Slot after slot, each with all its lanes.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> + '_ {
        let rows = self.blocks.iter().flat_map(|b| b.chunks_exact(LANES));
        rows.take(self.slots)
    }

    /// All rows in one piece: `[slot * LANES + lane]`.
    pub(crate) fn concat(&self) -> Vec<f64> {
        let mut rows = self.blocks.concat();
        rows.truncate(self.slots * LANES);
        rows
    }

    /// Appends the slots of a lane.
    pub(crate) fn copy_lane(&self, lane: usize, out: &mut Vec<f64>) {
        let from = out.len();
        for block in &self.blocks {
            out.extend(block.iter().skip(lane).step_by(LANES));
        }
        out.truncate(from + self.slots);
    }

    /// Forgets lanes.
    pub(crate) fn erase(&mut self, lanes: &[usize]) {
        for row in self.blocks.iter_mut().flat_map(|b| b.chunks_mut(LANES)) {
            for &lane in lanes {
                row[lane] = f64::NAN;
            }
        }
    }
}

/// The open chunks of a group, by their numbers: one or two, and the last is the one that is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks(Vec<(i64, Chunk)>);

impl Chunks {
    /// A chunk, begun if need be.
    #[inline]
    pub(crate) fn open(&mut self, number: i64) -> &mut Chunk {
        let at = match self.0.last() {
            Some((last, _)) if *last == number => self.0.len() - 1,
            _ => self.find(number),
        };
        &mut self.0[at].1
    }

    fn find(&mut self, number: i64) -> usize {
        let at = self.0.partition_point(|(n, _)| *n < number);
        if self.0.get(at).is_none_or(|(n, _)| *n != number) {
            self.0.insert(at, (number, Chunk::default()));
        }
        at
    }

    /// Those of some numbers, in order.
    pub(crate) fn range(
        &self,
        numbers: impl RangeBounds<i64>,
    ) -> impl Iterator<Item = (i64, &Chunk)> {
        self.iter().filter(move |(n, _)| numbers.contains(n))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Chunk)> {
        self.0.iter().map(|(number, chunk)| (*number, chunk))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Chunk> {
        self.0.iter().map(|(_, chunk)| chunk)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        self.0.iter_mut().map(|(_, chunk)| chunk)
    }

    pub(crate) fn drop_before(&mut self, number: i64) {
        self.0.retain(|(n, _)| *n >= number);
    }
}
