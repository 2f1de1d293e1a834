//! The journal: the readings of each commit as they came, in rows that are overwritten in place.
//!
//! A record is a list of items, cut over as many rows as it needs:
//! ```text
//! row   seq u64 | part u16 | parts u16 | len u16 | crc32c u32 | bytes
//! 1     readings of one group at one time: group, time - base, first lane, lanes,
//!       a nibble for each lane, then the bytes that the nibbles call for
//! 2     the group's checkpoint was written in the same transaction
//! 3     series were added
//! 4     series are gone or elsewhere, groups are others: read all again
//! ```
//! Nibbles: 0 no reading, 1 the expected value, 2–9 one to eight bytes of difference to it, 10 a word
//! about the counter (1 what its source declares, five bytes; 2 another counter since, eight), 11 the
//! counter began again (eight bytes: when), 12 the lane's first reading, 13 a new base, each a tag and
//! eight bytes, 14 no reading for a reason (a byte), 15 eight bytes. What is expected follows from the
//! lane, so a record can be read only after those before it; each group starts from its checkpoint.
//!
//! A row may be overwritten once every group that has readings in its record has a later checkpoint.
//! Whoever is in the way gets one in the same transaction, so the writer never waits.

mod ring;

pub(crate) use ring::{Next, Place, Plan, Ring, read_all};

use super::codec::{
    Input, POW10, nearest, put_varint, put_zigzag, scaled, short_len, unscaled, unzigzag, zigzag,
};
use super::group::{Group, Moment};
use super::lane::{Lane, Note, Tag, Told};
use super::reason::Reason;
use crate::{CounterType, Reading, Result};

const READINGS: u8 = 1;
const CHECKPOINT: u8 = 2;
const SERIES_ADDED: u8 = 3;
const SERIES_FORGOTTEN: u8 = 4;

const SAME: u8 = 1;
const FIRST: u8 = 12;
const RETAG: u8 = 13;
const WORD: u8 = 10;
const RESTARTED: u8 = 11;
const UNKNOWN: u8 = 14;
const WHOLE: u8 = 15;

/// What a [`WORD`] is about.
const DECLARED: u8 = 1;
const DISCONTINUED: u8 = 2;

/// What a record says besides readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Checkpoint(u32),
    SeriesAdded,
    SeriesForgotten,
}

/// Gathers readings until a commit has taken them.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    bytes: Vec<u8>,
    base_ms: Option<i64>,
    /// Group, time and first lane of the open run.
    run: Option<(u32, i64, usize)>,
    codes: Vec<u8>,
    payload: Vec<u8>,
}

impl Recorder {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.run.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.payload.len()
    }

    /// Writes down a reading that the lane, as it is before it, will take or be rebased by.
    #[inline]
    pub(crate) fn push(
        &mut self,
        (group, lane_no): (u32, usize),
        lane: &Lane,
        time_ms: i64,
        reading: Reading,
        rebase: bool,
    ) {
        let fits = self.run.is_some_and(|(g, t, first)| {
            (g, t) == (group, time_ms) && lane_no >= first + self.codes.len()
        });
        if !fits {
            self.end_run();
            self.run = Some((group, time_ms, lane_no));
        }
        let first = self.run.map_or(lane_no, |run| run.2);
        self.codes.resize(lane_no - first, 0);
        match Told::of(reading) {
            None => {}
            Some(Told::Unknown(reason)) => {
                self.codes.push(UNKNOWN);
                self.payload.push(reason as u8);
                return;
            }
            Some(Told::Restarted(since_ms)) => {
                self.codes.push(RESTARTED);
                self.payload.extend(since_ms.to_le_bytes());
                return;
            }
            Some(Told::Declared(facts)) => {
                self.codes.push(WORD);
                self.payload.push(DECLARED);
                self.payload.extend(facts.to_bytes());
                return;
            }
            Some(Told::Discontinued(since_ms)) => {
                self.codes.push(WORD);
                self.payload.push(DISCONTINUED);
                self.payload.extend(since_ms.to_le_bytes());
                return;
            }
        }
        if rebase {
            self.codes
                .push(if lane.tag == Tag::None { FIRST } else { RETAG });
            self.payload.push(Tag::of(&reading) as u8);
            self.payload.extend(bits_of(reading).to_le_bytes());
            return;
        }
        match difference(lane, reading) {
            Some(difference) => {
                let word = zigzag(difference);
                let len = short_len(word);
                self.codes.push(SAME + u8::try_from(len).unwrap_or(0));
                // All eight bytes and back: cheaper than a copy of a length known only now.
                self.payload.extend_from_slice(&word.to_le_bytes());
                self.payload.truncate(self.payload.len() - 8 + len);
            }
            None => {
                self.codes.push(WHOLE);
                self.payload.extend(bits_of(reading).to_le_bytes());
            }
        }
    }

    fn end_run(&mut self) {
        let Some((group, time_ms, first)) = self.run.take() else {
            return;
        };
        let base_ms = *self.base_ms.get_or_insert_with(|| {
            put_zigzag(&mut self.bytes, time_ms);
            time_ms
        });
        self.bytes.push(READINGS);
        put_varint(&mut self.bytes, u64::from(group));
        put_zigzag(&mut self.bytes, time_ms.wrapping_sub(base_ms));
        // Lanes of a group are few.
        self.bytes
            .extend([first, self.codes.len()].map(|n| u8::try_from(n).unwrap_or(u8::MAX)));
        let nibble = |pair: &[u8]| pair[0] | pair.get(1).map_or(0, |high| high << 4);
        self.bytes.extend(self.codes.chunks(2).map(nibble));
        self.bytes.append(&mut self.payload);
        self.codes.clear();
    }

    /// The record with its readings and `events`; those that make readers look at tables come first.
    pub(crate) fn record(&mut self, now_ms: i64, events: &[Event], readings: bool) -> Vec<u8> {
        self.end_run();
        let mut out = Vec::with_capacity(self.bytes.len() + 16);
        put_zigzag(&mut out, now_ms);
        for event in events {
            match event {
                Event::SeriesAdded => out.push(SERIES_ADDED),
                Event::SeriesForgotten => out.push(SERIES_FORGOTTEN),
                Event::Checkpoint(group) => {
                    out.push(CHECKPOINT);
                    put_varint(&mut out, u64::from(*group));
                }
            }
        }
        if readings && !self.bytes.is_empty() {
            out.push(READINGS | 0x80);
            out.extend_from_slice(&self.bytes);
        }
        out
    }

    pub(crate) fn clear(&mut self) {
        *self = Self {
            bytes: std::mem::take(&mut self.bytes),
            codes: std::mem::take(&mut self.codes),
            payload: std::mem::take(&mut self.payload),
            ..Self::default()
        };
        self.bytes.clear();
        self.codes.clear();
        self.payload.clear();
    }
}

#[inline]
pub(crate) fn bits_of(reading: Reading) -> u64 {
    match reading {
        Reading::Counter(value) => value,
        Reading::Gauge(value) | Reading::FloatCounter(value) | Reading::Increase(value) => {
            value.to_bits()
        }
        Reading::Unknown(reason) => u64::from(reason as u8),
        Reading::Restarted(since) | Reading::Discontinued(since) => since.0.cast_unsigned(),
        Reading::Declared(facts) => u64::from(facts.max_per_s.to_bits()),
    }
}

/// The scaled integer that a lane's next reading is compared with.
#[inline]
fn expected(lane: &Lane) -> i64 {
    match lane.tag {
        Tag::Gauge | Tag::FloatCounter => {
            nearest(f64::from_bits(lane.last) * POW10[usize::from(lane.decimals)])
        }
        Tag::Counter => lane.last.cast_signed(),
        Tag::Increase | Tag::None => 0,
    }
}

#[inline]
fn difference(lane: &Lane, reading: Reading) -> Option<i64> {
    let new = match reading {
        Reading::Counter(value) => value.cast_signed(),
        Reading::Gauge(v) | Reading::FloatCounter(v) | Reading::Increase(v) => {
            scaled(v, lane.decimals)?
        }
        Reading::Unknown(_)
        | Reading::Restarted(_)
        | Reading::Discontinued(_)
        | Reading::Declared(_) => return None,
    };
    Some(new.wrapping_sub(expected(lane)))
}

fn reading_of(lane: &Lane, difference: Option<i64>, bits: u64) -> Option<Reading> {
    let bits = match difference {
        Some(d) => {
            let new = expected(lane).wrapping_add(d);
            if lane.tag == Tag::Counter {
                new.cast_unsigned()
            } else {
                unscaled(new, lane.decimals).to_bits()
            }
        }
        None => bits,
    };
    Some(match lane.tag {
        Tag::Gauge => Reading::Gauge(f64::from_bits(bits)),
        Tag::Counter => Reading::Counter(bits),
        Tag::FloatCounter => Reading::FloatCounter(f64::from_bits(bits)),
        Tag::Increase => Reading::Increase(f64::from_bits(bits)),
        Tag::None => return None,
    })
}

/// Takes a record into the groups that do not have it yet, and tells its events before that.
/// `None` when its bytes make no sense.
pub(crate) fn replay(
    seq: u64,
    bytes: &[u8],
    groups: &mut Vec<Group>,
    mut tell: impl FnMut(&mut Vec<Group>, Event) -> Result<()>,
) -> Result<Option<()>> {
    let mut input = Input(bytes);
    if input.zigzag().is_none() {
        return Ok(None);
    }
    while let Some(item) = input.u8() {
        let event = match item {
            SERIES_ADDED => Event::SeriesAdded,
            SERIES_FORGOTTEN => Event::SeriesForgotten,
            CHECKPOINT => match input.varint().and_then(|g| u32::try_from(g).ok()) {
                Some(group) => Event::Checkpoint(group),
                None => return Ok(None),
            },
            _ if item == READINGS | 0x80 => return Ok(replay_runs(seq, input, groups)),
            _ => return Ok(None),
        };
        tell(groups, event)?;
    }
    Ok(Some(()))
}

fn replay_runs(seq: u64, mut input: Input<'_>, groups: &mut [Group]) -> Option<()> {
    let base_ms = input.zigzag()?;
    while let Some(item) = input.u8() {
        if item != READINGS {
            return None;
        }
        let group = groups.get_mut(input.usize()?)?;
        let time_ms = base_ms.wrapping_add(input.zigzag()?);
        let first = usize::from(input.u8()?);
        let lanes = usize::from(input.u8()?);
        let nibbles = input.bytes(lanes.div_ceil(2))?;
        let wanted = seq > group.checkpoint && !group.frozen;
        if wanted {
            group.dirty_since.get_or_insert(seq);
        }
        let moment = group.moment(time_ms);
        for i in 0..lanes {
            let code = nibbles[i / 2] >> (4 * (i % 2)) & 0x0f;
            replay_one(code, &mut input, group, (first + i, &moment), wanted)?;
        }
    }
    Some(())
}

fn replay_one(
    code: u8,
    input: &mut Input<'_>,
    group: &mut Group,
    (lane, moment): (usize, &Moment),
    wanted: bool,
) -> Option<()> {
    let (difference, bits) = match code {
        0 => return Some(()),
        SAME..=9 => (Some(unzigzag(input.short(usize::from(code - SAME))?)), 0),
        FIRST | RETAG => {
            let tag = Tag::from_u8(input.u8()?)?;
            let bits = input.u64()?;
            if wanted {
                let state = group.lanes.get_mut(lane)?;
                if code == FIRST {
                    // The lane may have had another series before.
                    *state = Lane::default();
                }
                group.rebase(lane, tag, bits, moment);
            }
            return Some(());
        }
        WHOLE => (None, input.u64()?),
        UNKNOWN | RESTARTED | WORD => {
            let told = match code {
                UNKNOWN => Told::Unknown(Reason::from_u8(input.u8()?)),
                RESTARTED => Told::Restarted(input.i64()?),
                _ => match input.u8()? {
                    DECLARED => Told::Declared(CounterType::from_bytes(input.array()?)?),
                    DISCONTINUED => Told::Discontinued(input.i64()?),
                    _ => return None,
                },
            };
            if wanted {
                group.lanes.get(lane)?;
                group.tell(lane, told, moment);
            }
            return Some(());
        }
        _ => return None,
    };
    if wanted {
        let reading = reading_of(group.lanes.get(lane)?, difference, bits)?;
        let _: Note = group.take(lane, reading, moment);
    }
    Some(())
}
