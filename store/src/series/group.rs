//! A group: the series that share pages, with what is not in a page yet.
//!
//! Writer and readers keep the same groups: both start from the checkpoint in `ts_group.open`, which
//! holds everything below as of one journal record, and take the later records in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chunk::{Chunk, Chunks};
use super::codec::{Input, put_varint, put_zigzag, unscaled};
use super::lane::{Effect, Lane, Note, Tag, Told, add_units, spread};
use super::layout::{LANES, Layout, Rings, slot_of};
use super::page::{Scratch, get_raw, get_unknown, put_raw};
use super::reason::Reason;
use crate::{CounterType, Reading};

/// Version 1 is read as well.
const CHECKPOINT_VERSION: u8 = 2;
/// Late slots of a group that wait at most, in a checkpoint: a bound for damaged ones.
const LATE_MAX: usize = 1 << 20;

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

    /// Everything as of journal record `seq`, once the chunks up to `sealed` are in pages and late
    /// slots are merged (`merged`).
    pub(crate) fn checkpoint(
        &self,
        seq: u64,
        sealed: &[i64],
        merged: bool,
        scratch: &mut Scratch,
    ) -> Vec<u8> {
        let mut out = vec![CHECKPOINT_VERSION];
        put_varint(&mut out, seq);
        put_varint(&mut out, sealed.len() as u64);
        for &chunk in sealed {
            put_zigzag(&mut out, chunk);
        }
        put_varint(&mut out, self.lanes.len() as u64);
        for lane in &self.lanes {
            put_lane(&mut out, lane);
        }
        let from = sealed.first().copied().unwrap_or(i64::MIN);
        put_varint(&mut out, self.chunks.range(from..).count() as u64);
        for (chunk, open) in self.chunks.range(from..) {
            put_zigzag(&mut out, chunk);
            let slots = open.slots();
            put_varint(&mut out, slots as u64);
            let (mut values, mut bytes) = (Vec::new(), Vec::new());
            for lane in 0..self.lanes.len() {
                values.clear();
                bytes.clear();
                open.copy_lane(lane, &mut values);
                put_raw(&mut bytes, &values, None, (52, true), scratch);
                put_varint(&mut out, bytes.len() as u64);
                out.extend_from_slice(&bytes);
            }
        }
        let late = || self.late.iter().filter(|_| !merged);
        put_varint(
            &mut out,
            late().map(|(_, ops)| ops.len()).sum::<usize>() as u64,
        );
        for (&slot, ops) in late() {
            for &(lane, op) in ops {
                put_late(&mut out, slot, lane, op);
            }
        }
        let crc = crc32c::crc32c(&out);
        out.extend(crc.to_le_bytes());
        out
    }

    /// Takes up a checkpoint. `None` when its bytes are damaged; the group is then unchanged.
    pub(crate) fn restore(&mut self, bytes: &[u8], scratch: &mut Scratch) -> Option<()> {
        let (bytes, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(bytes) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut input = Input(bytes);
        let version = input.u8()?;
        if !(1..=CHECKPOINT_VERSION).contains(&version) {
            return None;
        }
        let mut new = Self::new(self.rings.group, Arc::clone(&self.rings.layout));
        new.checkpoint = input.varint()?;
        let archives = input.usize()?;
        if archives != 0 && archives != new.rings.len() {
            return None;
        }
        for _ in 0..archives {
            new.sealed.push(input.zigzag()?);
        }
        if version == 1 {
            // The last slot of which something is known, which nobody needs.
            input.zigzag()?;
        }
        let lanes = input.usize().filter(|&l| l <= LANES)?;
        for _ in 0..lanes {
            new.lanes.push(get_lane(&mut input)?);
        }
        for _ in 0..input.usize()? {
            let chunk = input.zigzag()?;
            let slots = input.usize().filter(|&s| s <= 1024)?;
            let mut open = Chunk::of(slots);
            for lane in 0..lanes {
                let len = input.usize()?;
                let bytes = input.bytes(len)?;
                if len > 0 {
                    get_raw(&mut Input(bytes), slots, scratch, |s, c| {
                        *open.cell(s, lane) = c.last
                    })?;
                    get_unknown(bytes, slots, |from, until, reason| {
                        for slot in from..until {
                            *open.cell(slot, lane) = reason.unknown();
                        }
                    });
                }
            }
            *new.chunks.open(chunk) = open;
        }
        for _ in 0..input.usize().filter(|&n| n <= LATE_MAX)? {
            let (slot, lane, op) = get_late(&mut input)?;
            new.late.entry(slot).or_default().push((lane, op));
        }
        // Lanes that were added after the checkpoint have no state yet.
        new.lanes
            .resize(new.lanes.len().max(self.lanes.len()), Lane::default());
        new.heartbeat_ms = std::mem::take(&mut self.heartbeat_ms);
        new.heartbeat_ms.resize(new.lanes.len(), 0);
        *self = new;
        Some(())
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

/// In a lane's first byte, above its tag: what follows.
const FACTS: u8 = 0x10;
const BEFORE: u8 = 0x20;
/// The next reading is another counter's, or one of another width.
const BROKEN: u8 = 0x40;
const WIDENED: u8 = 0x80;

fn put_lane(out: &mut Vec<u8>, lane: &Lane) {
    let at = out.len();
    out.push(lane.tag as u8);
    if lane.facts != CounterType::default() {
        out[at] |= FACTS;
        out.extend(lane.facts.to_bytes());
    }
    if lane.tag == Tag::None {
        return;
    }
    out[at] |= match lane.broken {
        None => 0,
        Some(Note::Jump) => WIDENED,
        Some(_) => BROKEN,
    };
    if lane.before_ms != i64::MIN {
        out[at] |= BEFORE;
        out.extend(lane.before.to_le_bytes());
        put_zigzag(out, lane.before_ms);
    }
    out.push(lane.decimals);
    put_zigzag(out, lane.last_ms);
    put_zigzag(out, lane.last_ms.wrapping_sub(lane.first_ms));
    for word in [lane.last, lane.total.to_bits(), lane.rate.to_bits()] {
        out.extend(word.to_le_bytes());
    }
}

fn get_lane(input: &mut Input<'_>) -> Option<Lane> {
    let flags = input.u8()?;
    let mut lane = Lane {
        tag: Tag::from_u8(flags & 0x0f)?,
        ..Lane::default()
    };
    if flags & FACTS != 0 {
        lane.facts = CounterType::from_bytes(input.array()?)?;
    }
    if lane.tag == Tag::None {
        return Some(lane);
    }
    lane.broken = match flags & (BROKEN | WIDENED) {
        0 => None,
        BROKEN => Some(Note::Reset),
        _ => Some(Note::Jump),
    };
    if flags & BEFORE != 0 {
        (lane.before, lane.before_ms) = (input.u64()?, input.zigzag()?);
    }
    lane.decimals = input.u8().filter(|&d| d <= super::codec::DECIMALS_MAX)?;
    lane.last_ms = input.zigzag()?;
    lane.first_ms = lane.last_ms.wrapping_sub(input.zigzag()?);
    (lane.last, lane.total, lane.rate) = (input.u64()?, input.f64()?, input.f64()?);
    Some(lane)
}

fn put_late(out: &mut Vec<u8>, slot: i64, lane: u8, op: Late) {
    put_zigzag(out, slot);
    out.push(lane);
    match op {
        Late::Set(value) => {
            out.push(u8::MAX);
            out.extend(value.to_le_bytes());
        }
        Late::Add(units, decimals) => {
            out.push(decimals);
            put_zigzag(out, units);
        }
    }
}

fn get_late(input: &mut Input<'_>) -> Option<(i64, u8, Late)> {
    let slot = input.zigzag()?;
    let lane = input.u8().filter(|&l| usize::from(l) < LANES)?;
    let op = match input.u8()? {
        u8::MAX => Late::Set(input.f64().filter(|v| v.is_finite())?),
        decimals if unscaled(1, decimals) > 0.0 => Late::Add(input.zigzag()?, decimals),
        _ => return None,
    };
    Some((slot, lane, op))
}

#[cfg(test)]
mod tests {
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
