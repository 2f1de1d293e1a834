//! The bytes of a group's checkpoint: everything that is in no page as of one journal record.

use std::sync::Arc;

use super::super::chunk::Chunk;
use super::super::codec::{Input, put_varint, put_zigzag, unscaled};
use super::super::lane::{Lane, Note, Tag};
use super::super::layout::LANES;
use super::super::page::{Scratch, get_raw, get_unknown, put_raw};
use super::{Group, Late};
use crate::CounterType;

/// Version 1 is read as well.
pub(super) const CHECKPOINT_VERSION: u8 = 2;
/// Late slots of a group that wait at most, in a checkpoint: a bound for damaged ones.
const LATE_MAX: usize = 1 << 20;

impl Group {
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
    lane.decimals = input
        .u8()
        .filter(|&d| d <= super::super::codec::DECIMALS_MAX)?;
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
