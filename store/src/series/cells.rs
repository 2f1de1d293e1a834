//! A chunk of any archive as cells, while slots of it are changed or filled.

use super::layout::{LANES, Rings};
use super::page::{Cell, Lanes, Page, Scratch};
use super::pages::Pages;
use super::reason::Reason;
use crate::Result;

/// See the top. A cell of the finest archive that is known has one slot and its value.
pub(crate) struct Cells {
    /// Archive and chunk.
    place: (usize, i64),
    /// The chunk's first slot.
    pub(crate) first: i64,
    n: usize,
    /// `cells[lane * n + slot]`.
    cells: Vec<Cell>,
    /// Counters' totals before the first slot.
    pub(crate) totals: [Option<f64>; LANES],
    /// Decimals of the values; `None` when they are full floats.
    pub(crate) decimals: [Option<u8>; LANES],
}

impl Cells {
    /// A chunk of which nothing is known.
    pub(crate) fn empty(rings: &Rings, place: (usize, i64)) -> Self {
        let n = usize::try_from(rings.archive(place.0).n).unwrap_or(0);
        Self {
            place,
            first: rings.first_slot(place.0, place.1),
            n,
            cells: vec![Cell::default(); LANES * n],
            totals: [None; LANES],
            decimals: [Some(0); LANES],
        }
    }

    /// What the chunk's page holds, with the reasons of what is unknown in it.
    pub(crate) fn load(
        pages: &Pages<'_>,
        rings: &Rings,
        place: (usize, i64),
        scratch: &mut Scratch,
    ) -> Result<Self> {
        let mut all = Self::empty(rings, place);
        let bytes = pages.read(rings, place.0, place.1)?;
        let page = bytes.as_deref().and_then(Page::open);
        let Some(page) = page.filter(|p| (p.archive, p.chunk) == place && p.slots() == all.n)
        else {
            return Ok(all);
        };
        for lane in 0..LANES {
            let of_lane = &mut all.cells[lane * all.n..(lane + 1) * all.n];
            let head = page.read(lane, scratch, |slot, cell| of_lane[slot] = cell);
            if let Some(head) = head {
                (all.totals[lane], all.decimals[lane]) = (head.total, head.decimals);
            }
            page.unknown(lane, |from, until, reason| {
                of_lane[from..until]
                    .iter_mut()
                    .for_each(|cell| explain(cell, reason));
            });
        }
        Ok(all)
    }

    /// The slots that the chunk has.
    pub(crate) fn slots(&self) -> std::ops::Range<i64> {
        self.first..self.first + i64::try_from(self.n).unwrap_or(0)
    }

    /// A lane's cell of a slot, if that lies in the chunk.
    pub(crate) fn at(&mut self, lane: usize, slot: i64) -> Option<&mut Cell> {
        let offset = usize::try_from(slot - self.first).ok();
        let offset = offset.filter(|&offset| offset < self.n)?;
        self.cells.get_mut(lane * self.n + offset)
    }

    /// All cells of a lane.
    pub(crate) fn lane(&mut self, lane: usize) -> &mut [Cell] {
        &mut self.cells[lane * self.n..(lane + 1) * self.n]
    }

    /// Forgets the slots from one to before another, of all lanes.
    pub(crate) fn clear(&mut self, from: i64, until: i64) {
        for lane in 0..LANES {
            for slot in from.max(self.first)..until.min(self.slots().end) {
                if let Some(cell) = self.at(lane, slot) {
                    *cell = Cell::default();
                }
            }
        }
    }

    /// Writes the page, with so many lanes.
    pub(crate) fn write(
        &self,
        pages: &Pages<'_>,
        rings: &Rings,
        lanes: usize,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let totals = &self.totals[..lanes];
        if self.place.0 > 0 {
            let cells = &self.cells;
            return pages.write(rings, self.place, Lanes::Coarse { cells }, totals, scratch);
        }
        let mut rows = vec![f64::NAN; self.n * LANES];
        for (lane, cells) in self.cells.chunks_exact(self.n).enumerate() {
            for (slot, cell) in cells.iter().enumerate() {
                rows[slot * LANES + lane] = match cell.count {
                    0 => Reason::of(cell.last).unknown(),
                    _ => cell.last,
                };
            }
        }
        let raw = Lanes::Raw {
            rows: &rows,
            stride: LANES,
        };
        pages.write(rings, self.place, raw, totals, scratch)
    }
}

/// Says of an unknown slot why it is.
pub(crate) fn explain(cell: &mut Cell, reason: Reason) {
    if cell.count == 0 && reason != Reason::Silent {
        *cell = Cell::unknown(Reason::of(cell.last).or(reason));
    }
}
