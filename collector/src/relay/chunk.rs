//! What a relay reads of the store at a time: frames to send, and what is not there any more.

use std::borrow::Cow;
use std::ops::ControlFlow;

use vigie_parsers::{Event, Timestamp};
use vigie_query::log::Filter;
use vigie_query::{EventSource as _, GroupBy, Order, Scan, SourceError};
use vigie_store::Reader;

use super::message::{Frames, Seal, VIA_IN_DATA, is_id};
use super::position::{Gap, between};
use super::{HOPS_MAX, has_been};

/// Bytes of frames that are held at once; with longer lines fewer events are looked at together.
const CHUNK_BYTES: usize = 6 << 20;

/// Which events are read, and for whom.
pub(super) struct Wanted<'a> {
    pub(super) filter: &'a Filter,
    /// For another vigie: who forwards.
    pub(super) seal: Option<Seal<'a>>,
    /// This store's id, and the other's if it has one.
    pub(super) own: &'a str,
    pub(super) peer: &'a str,
}

/// What is sent together.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Everything up to here is in it, or is not wanted, or is gone.
    pub(super) upto: u64,
    /// Frames in the order of arrival…
    pub(super) bytes: Vec<u8>,
    /// … with the number of each event and where its frame ends.
    pub(super) ends: Vec<(u64, usize)>,
    /// What the store let go.
    pub(super) gaps: Vec<Gap>,
    /// Events that cannot be read.
    pub(super) damaged: u64,
    /// Events that have been here, or at too many vigies.
    pub(super) hops: u64,
    /// Fields that were left out or cut.
    pub(super) fields: u64,
}

/// Reads the store in chunks.
pub(super) struct Chunks {
    reader: Reader,
    frames: Frames,
    /// The memory of chunks that were sent.
    spare: Vec<u8>,
    /// Lines that the store had let go when we last looked.
    gone: u64,
    /// Some of what is ahead may be gone.
    gaps: bool,
}

/// What one scan found.
struct Found {
    chunk: Chunk,
    /// The numbers of all events that the scan delivered, in order; sent or not.
    there: Vec<u64>,
    /// Some could not be read.
    damaged: bool,
}

impl Chunks {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            frames: Frames::default(),
            spare: Vec::new(),
            gone: 0,
            gaps: true,
        }
    }

    /// The number of the last event of the store.
    pub(super) fn last_id(&self) -> Result<u64, SourceError> {
        self.reader.last_id()
    }

    /// Takes back the memory of a chunk.
    pub(super) fn give_back(&mut self, mut chunk: Chunk) {
        chunk.bytes.clear();
        self.spare = chunk.bytes;
    }

    /// Reading begins behind a position of which we do not know what was let go since.
    pub(super) fn begin(&mut self) {
        self.gaps = true;
    }

    /// Everything there is was read: what is let go from now on was.
    pub(super) fn caught_up(&mut self) {
        self.spare = Vec::new();
        self.gaps = false;
    }

    /// The events behind `after` up to `upto`; `None` when they are too large together.
    pub(super) fn read(
        &mut self,
        wanted: &Wanted<'_>,
        after: u64,
        upto: u64,
    ) -> Result<Option<Chunk>, SourceError> {
        let whole = matches!(wanted.filter, Filter::All);
        loop {
            let gone = self.gone()?;
            self.gaps |= gone != self.gone;
            self.gone = gone;
            let Some(found) = self.scan(wanted, after, upto)? else {
                return Ok(None);
            };
            let Found {
                mut chunk,
                there,
                damaged,
            } = found;
            let gaps = if whole {
                between(after, upto, there.into_iter())
            } else if damaged || (self.gaps && gone > 0) {
                self.missing(after, upto)?.into_iter().collect()
            } else {
                Vec::new()
            };
            // What went between the two looks would be sent and counted, or neither.
            if !whole && self.gone()? != gone {
                continue;
            }
            if damaged {
                chunk.damaged = gaps.iter().map(|gap| gap.events).sum::<u64>().max(1);
            } else {
                chunk.gaps = gaps;
            }
            return Ok(Some(chunk));
        }
    }

    fn scan(
        &mut self,
        wanted: &Wanted<'_>,
        after: u64,
        upto: u64,
    ) -> Result<Option<Found>, SourceError> {
        let mut chunk = Chunk {
            upto,
            bytes: std::mem::take(&mut self.spare),
            ..Chunk::default()
        };
        let frames = &mut self.frames;
        let mut there = Vec::new();
        let single = upto - after <= 1;
        let mut scan = Scan::new(Timestamp::MIN, Timestamp::MAX, wanted.filter);
        (scan.order, scan.after, scan.upto) = (Order::OldestFirst, after, upto);
        let stats = self.reader.scan(&scan, &mut |event| {
            there.push(event.id);
            chunk.take(event, wanted, frames);
            match chunk.bytes.len() > CHUNK_BYTES && !single {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        if chunk.bytes.len() > CHUNK_BYTES && !single {
            self.give_back(chunk);
            return Ok(None);
        }
        there.sort_unstable();
        chunk.sort();
        Ok(Some(Found {
            chunk,
            there,
            damaged: stats.incomplete.is_some(),
        }))
    }

    /// Lines that the store has let go so far.
    fn gone(&self) -> Result<u64, SourceError> {
        Ok(self.reader.events_evicted()? + self.reader.events_expired()?)
    }

    /// How many events of a range are not there, wanted or not. Where among them is not known.
    pub(super) fn missing(&self, after: u64, upto: u64) -> Result<Option<Gap>, SourceError> {
        let mut scan = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
        (scan.after, scan.upto) = (after, upto);
        let by = GroupBy {
            fields: &[],
            step: None,
            max_groups: 1,
        };
        let groups = self.reader.count_by(&scan, &by)?.groups;
        let there: u64 = groups.iter().map(|g| g.count).sum();
        let events = upto.saturating_sub(after).saturating_sub(there);
        let gap = Gap {
            after,
            upto,
            events,
        };
        Ok((events > 0).then_some(gap))
    }
}

impl Chunk {
    /// Takes an event, unless it has been at the other side or ends here.
    fn take(&mut self, event: &Event, wanted: &Wanted<'_>, frames: &mut Frames) {
        let been = via(event);
        if !been.is_empty() {
            if been.split(' ').count() >= HOPS_MAX || has_been(&been, wanted.own) {
                self.hops += 1;
                return;
            }
            if !wanted.peer.is_empty() && has_been(&been, wanted.peer) {
                return;
            }
        }
        let been = match been.is_empty() {
            true => Cow::Borrowed(wanted.own),
            false => Cow::Owned(format!("{been} {}", wanted.own)),
        };
        self.fields += frames.write(&mut self.bytes, event, &been, wanted.seal);
        self.ends.push((event.id, self.bytes.len()));
    }

    /// Frames came in the order of time.
    fn sort(&mut self) {
        if self.ends.is_sorted() {
            return;
        }
        let mut start = 0;
        let frame = |&(id, end): &(u64, usize)| (id, std::mem::replace(&mut start, end)..end);
        let mut frames: Vec<_> = self.ends.iter().map(frame).collect();
        frames.sort_unstable_by_key(|(id, _)| *id);
        let mut bytes = Vec::with_capacity(self.bytes.len());
        self.ends.clear();
        for (id, place) in frames {
            bytes.extend_from_slice(self.bytes.get(place).unwrap_or_default());
            self.ends.push((id, bytes.len()));
        }
        self.bytes = bytes;
    }

    /// The frames in pieces of about `len` bytes, each with the number of its last event and how many
    /// it has.
    pub(super) fn pieces(&self, len: usize) -> impl Iterator<Item = (&[u8], u64, u64)> {
        let (mut next, mut start) = (0, 0);
        std::iter::from_fn(move || {
            let rest = self.ends.get(next..)?;
            let full = rest.iter().position(|(_, end)| end - start >= len);
            let count = full.map_or(rest.len(), |n| n + 1);
            let &(id, end) = rest.get(..count)?.last()?;
            let piece = self.bytes.get(start..end)?;
            (next, start) = (next + count, end);
            Some((piece, id, count as u64))
        })
    }
}

/// Where an event has been, by its origin or by its structured data.
fn via(event: &Event) -> String {
    let found = event.field("via").or_else(|| event.field(VIA_IN_DATA));
    found.map_or_else(String::new, |via| {
        let ids = String::from_utf8_lossy(&via).into_owned();
        // Anything else of that name is not ours.
        match ids.split(' ').all(is_id) {
            true => ids,
            false => String::new(),
        }
    })
}
