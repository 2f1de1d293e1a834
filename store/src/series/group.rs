//! A group: the series that share pages, with what is not in a page yet.
//!
//! Writer and readers keep the same groups: both start from the checkpoint in `ts_group.open`, which
//! holds everything below as of one journal record, and take the later records in order.

mod checkpoint;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chunk::Chunks;
use super::lane::{Effect, Lane, Note, Tag, Told, add_units, spread};
use super::layout::{LANES, Layout, Rings, slot_of};
use super::reason::Reason;
use crate::Reading;

/// Slots that one word may explain: the rest of its gap follows from the first of them.
const MARK_SLOTS_MAX: i64 = 64;

/// A moment, and where it lies in the finest archive of a group: found once for all readings of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) time_ms: i64,
    slot: i64,
    pub(crate) chunk: i64,
    /// The chunk's first slot, and its last.
    first: i64,
    last: i64,
}

/// A change of a slot whose page is sealed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Late {
    Set(f64),
    Add(i64, u8),
}

impl Late {
    pub(crate) fn apply(self, cell: &mut f64) {
        match self {
            Self::Set(value) => *cell = value,
            Self::Add(units, decimals) => {
                let old = if cell.is_nan() { 0.0 } else { *cell };
                *cell = add_units(old, units, decimals);
            }
        }
    }
}

/// See the top.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) rings: Rings,
    pub(crate) lanes: Vec<Lane>,
    /// How far apart a lane's readings may be, in milliseconds.
    pub(crate) heartbeat_ms: Vec<i64>,
    pub(crate) chunks: Chunks,
    /// By slot, then in order of arrival.
    pub(crate) late: BTreeMap<i64, Vec<(u8, Late)>>,
    /// For each archive the first chunk that is not in a page; empty before the first reading.
    pub(crate) sealed: Vec<i64>,
    /// The journal record that the checkpoint includes.
    pub(crate) checkpoint: u64,
    /// The first journal record since the checkpoint that matters to this group.
    pub(crate) dirty_since: Option<u64>,
    /// A record that it needs is lost: later ones mean nothing until its next checkpoint.
    pub(crate) frozen: bool,
}

impl Group {
    pub(crate) fn new(group: u32, layout: Arc<Layout>) -> Self {
        Self {
            rings: Rings { group, layout },
            lanes: Vec::new(),
            heartbeat_ms: Vec::new(),
            chunks: Chunks::default(),
            late: BTreeMap::new(),
            sealed: Vec::new(),
            checkpoint: 0,
            dirty_since: None,
            frozen: false,
        }
    }

    /// Makes room for a lane, or empties it for its next series.
    pub(crate) fn add_lane(&mut self, lane: usize, heartbeat_ms: i64) {
        if self.lanes.len() <= lane {
            self.lanes.resize(lane + 1, Lane::default());
        }
        if self.heartbeat_ms.len() < self.lanes.len() {
            self.heartbeat_ms.resize(self.lanes.len(), 0);
        }
        self.heartbeat_ms[lane] = heartbeat_ms;
    }

    pub(crate) fn step_ms(&self) -> i64 {
        self.rings.archive(0).step_ms
    }

    /// Takes a reading that gives the lane its tag, or a new base.
    pub(crate) fn rebase(&mut self, lane: usize, tag: Tag, bits: u64, moment: &Moment) -> Note {
        let time_ms = moment.time_ms;
        self.open_at(time_ms);
        match tag {
            Tag::None => Note::Plain,
            Tag::Counter | Tag::FloatCounter => {
                self.lanes[lane].rebase(tag, bits, time_ms);
                Note::Plain
            }
            Tag::Gauge | Tag::Increase => {
                self.lanes[lane].tag = tag;
                let value = f64::from_bits(bits);
                let reading = if tag == Tag::Gauge {
                    Reading::Gauge(value)
                } else {
                    Reading::Increase(value)
                };
                self.take(lane, reading, moment)
            }
        }
    }

    /// A source says why there is no reading.
    pub(crate) fn tell(&mut self, lane: usize, told: Told, moment: &Moment) {
        let state = &mut self.lanes[lane];
        let last_ms = state.last_ms;
        match told {
            Told::Unknown(reason) => {
                let near = moment.time_ms.saturating_sub(self.heartbeat_ms[lane]);
                self.mark(lane, (last_ms.max(near), moment.time_ms), reason);
            }
            Told::Restarted(since_ms) => {
                let since_ms = since_ms.min(moment.time_ms);
                if state.restart(since_ms) {
                    let near = since_ms.saturating_sub(self.heartbeat_ms[lane]);
                    self.mark(lane, (last_ms.max(near), since_ms), Reason::Reset);
                }
            }
            Told::Discontinued(since_ms) => state.discontinue(since_ms.min(moment.time_ms)),
            Told::Declared(facts) => state.declare(facts),
        }
    }

    /// Says of the unknown slots in `(from_ms, until_ms]` why they are. What is in a page already stays
    /// as it is: nobody waits for it any more.
    fn mark(&mut self, lane: usize, (from_ms, until_ms): (i64, i64), reason: Reason) {
        let step_ms = self.step_ms();
        let last = slot_of(until_ms, step_ms);
        let first = from_ms.div_euclid(step_ms).max(last - MARK_SLOTS_MAX);
        for slot in first..=last {
            let chunk = self.rings.chunk_of(0, slot);
            if self.sealed.first().is_none_or(|&sealed| chunk < sealed) {
                continue;
            }
            let offset = slot - self.rings.first_slot(0, chunk);
            let offset = usize::try_from(offset).unwrap_or(0);
            let cell = self.chunks.open(chunk).cell(offset, lane);
            if cell.is_nan() {
                *cell = reason.unknown();
            }
        }
    }

    /// Where a moment lies.
    #[inline]
    pub(crate) fn moment(&self, time_ms: i64) -> Moment {
        let slot = slot_of(time_ms, self.step_ms());
        let chunk = self.rings.chunk_of(0, slot);
        let first = self.rings.first_slot(0, chunk);
        Moment {
            time_ms,
            slot,
            chunk,
            first,
            last: first.saturating_add(self.rings.archive(0).n - 1),
        }
    }

    /// Takes a reading of the lane's tag.
    #[inline]
    pub(crate) fn take(&mut self, lane: usize, reading: Reading, moment: &Moment) -> Note {
        let (time_ms, slot) = (moment.time_ms, moment.slot);
        self.open_at(time_ms);
        let step_ms = self.step_ms();
        let paged = moment.chunk < self.sealed[0];
        let state = &mut self.lanes[lane];
        let (last_ms, total) = (state.last_ms, state.total);
        let (effect, note) = state.take(reading, time_ms, self.heartbeat_ms[lane]);
        if paged && state.tag == Tag::Increase {
            // Pages after it say their totals without it, and would show it as growth of their own.
            state.total = total;
        }
        match effect {
            Effect::None => {
                if let Some(reason) = note.reason() {
                    self.mark(lane, (last_ms, time_ms), reason);
                }
            }
            Effect::Set(value) => {
                // The slot already holds a later reading.
                if time_ms >= last_ms || slot != slot_of(last_ms, step_ms) {
                    self.change_near(moment, slot, lane, Late::Set(value));
                }
            }
            Effect::Grow {
                units,
                decimals,
                from_ms,
                until_ms,
            } => {
                let mut add = |slot, part| {
                    self.change_near(moment, slot, lane, Late::Add(part, decimals));
                };
                let begins_ms = slot.saturating_mul(step_ms);
                let before_ms = begins_ms.saturating_sub(from_ms);
                if before_ms <= 0 {
                    add(slot, units);
                } else if let Some(product) = units
                    .checked_mul(before_ms)
                    .filter(|_| before_ms <= step_ms)
                {
                    // In two slots, as most readings that are not on a border: one division.
                    let earlier = product / (until_ms - from_ms);
                    add(slot - 1, earlier);
                    add(slot, units - earlier);
                } else {
                    spread(units, (from_ms, until_ms), step_ms, add);
                }
            }
        }
        note
    }

    /// [`Self::change`] without a division, where the slot is of the moment's chunk.
    #[inline]
    fn change_near(&mut self, moment: &Moment, slot: i64, lane: usize, change: Late) {
        if (moment.first..=moment.last).contains(&slot) {
            self.change_in((moment.chunk, moment.first), slot, lane, change);
        } else {
            self.change(slot, lane, change);
        }
    }

    /// The first reading decides where the rings begin.
    #[inline]
    pub(crate) fn open_at(&mut self, time_ms: i64) {
        if self.sealed.is_empty() {
            self.begin_at(time_ms);
        }
    }

    /// Chunks from a time on are open. No archive is in pages farther than the finer one, from which
    /// late slots are derived.
    pub(crate) fn begin_at(&mut self, time_ms: i64) {
        let first = self.rings.chunk_of(0, slot_of(time_ms, self.step_ms()));
        self.sealed = vec![first];
        for a in 1..self.rings.len() {
            let open_ms = self.rings.begins(a - 1, self.sealed[a - 1]);
            let slot = open_ms.div_euclid(self.rings.archive(a).step_ms);
            self.sealed.push(self.rings.chunk_of(a, slot));
        }
    }

    pub(crate) fn change(&mut self, slot: i64, lane: usize, change: Late) {
        let chunk = self.rings.chunk_of(0, slot);
        let place = (chunk, self.rings.first_slot(0, chunk));
        self.change_in(place, slot, lane, change);
    }

    #[inline]
    fn change_in(&mut self, (chunk, first): (i64, i64), slot: i64, lane: usize, change: Late) {
        if chunk < self.sealed[0] {
            let lane = u8::try_from(lane).unwrap_or(u8::MAX);
            self.late.entry(slot).or_default().push((lane, change));
            return;
        }
        let offset = usize::try_from(slot - first).unwrap_or(0);
        change.apply(self.chunks.open(chunk).cell(offset, lane));
    }

    /// The totals of all lanes before a chunk.
    pub(crate) fn totals_before(&self, chunk: i64) -> Vec<Option<f64>> {
        let mut since = [0.0; LANES];
        for (_, chunk) in self.chunks.range(chunk..) {
            for row in chunk.rows() {
                for (sum, value) in since.iter_mut().zip(row) {
                    *sum += if value.is_nan() { 0.0 } else { *value };
                }
            }
        }
        let total = |(lane, since): (&Lane, f64)| {
            let total = lane.total - since;
            lane.tag
                .is_counter()
                .then(|| add_units(total, 0, lane.decimals))
        };
        self.lanes.iter().zip(since).map(total).collect()
    }

    /// Empties lanes: nothing is known of them, and nobody has them.
    pub(crate) fn erase(&mut self, lanes: &[usize]) {
        for chunk in self.chunks.values_mut() {
            chunk.erase(lanes);
        }
        for ops in self.late.values_mut() {
            ops.retain(|(lane, _)| !lanes.contains(&usize::from(*lane)));
        }
        self.late.retain(|_, ops| !ops.is_empty());
        for &lane in lanes {
            if let Some(lane) = self.lanes.get_mut(lane) {
                *lane = Lane::default();
            }
        }
    }

    /// Until when an archive is in pages.
    pub(crate) fn sealed_until(&self, archive: usize) -> i64 {
        match self.sealed.get(archive) {
            Some(&chunk) => self.rings.begins(archive, chunk),
            None => i64::MIN,
        }
    }

    /// The oldest chunk that the ring still has a row for.
    pub(crate) fn oldest_chunk(&self, archive: usize) -> i64 {
        let sealed = self.sealed.get(archive).copied().unwrap_or(0);
        sealed.saturating_sub(self.rings.archive(archive).ring)
    }

    /// Drops what pages hold since a checkpoint.
    pub(crate) fn settle(&mut self, seq: u64, sealed: Vec<i64>, merged: bool) {
        if let Some(&first) = sealed.first() {
            self.chunks.drop_before(first);
        }
        self.sealed = sealed;
        if merged {
            self.late.clear();
        }
        self.checkpoint = seq;
        self.dirty_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::Scratch;
    use super::checkpoint::CHECKPOINT_VERSION;
    use super::*;
    use proptest::prelude::*;

    fn group() -> Group {
        let archives = super::super::Archives::default().for_step(10_000);
        let mut group = Group::new(3, Layout::new(0, &archives).into());
        for lane in 0..4 {
            group.add_lane(lane, 30_000);
        }
        group
    }

    #[test]
    fn a_checkpoint_is_the_group() {
        let mut a = group();
        for i in 0..200i64 {
            let t = 1_000_000_000 + i * 10_000;
            if i == 0 {
                let at = a.moment(t);
                a.rebase(0, Tag::Gauge, 1.5f64.to_bits(), &at);
                a.rebase(1, Tag::Counter, 77, &at);
            } else {
                let at = a.moment(t);
                a.take(0, Reading::Gauge(i as f64 / 4.0), &at);
                a.take(1, Reading::Counter(77 + i.unsigned_abs() * 13), &at);
            }
        }
        a.sealed[0] += 1;
        let at = a.moment(1_000_000_000);
        a.take(0, Reading::Gauge(-1.0), &at);
        assert_eq!(a.late.len(), 1);
        let scratch = &mut Scratch::default();
        let sealed = a.sealed.clone();
        let bytes = a.checkpoint(9, &sealed, false, scratch);
        a.settle(9, sealed, false);
        let mut b = group();
        b.restore(&bytes, scratch).unwrap();
        assert_eq!(format!("{a:?}").replace("capacity", ""), format!("{b:?}"));
    }

    proptest! {
        #[test]
        fn any_checkpoint_is_taken_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            bytes.splice(0..0, [CHECKPOINT_VERSION, 1, 4, 0, 0, 0, 0]);
            let crc = crc32c::crc32c(&bytes);
            bytes.extend(crc.to_le_bytes());
            let _ = group().restore(&bytes, &mut Scratch::default());
        }
    }
}
