//! One relay: reads the store from its position and writes to its target, for ever.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use vigie_parsers::{Event, Timestamp};
use vigie_query::log::Filter;
use vigie_query::{EventSource, GroupBy, Order, Scan};
use vigie_store::{Batch, Reader};

use super::link::Link;
use super::message::{self, Seal, is_id};
use super::{HOPS_MAX, has_been, new_id};
use crate::budget::Patience;
use crate::config::{Peer, Relay};
use crate::outlet::{Ended, Outlet};
use crate::status::Source;

/// Events that are looked at together.
const WINDOW: u64 = 4096;
/// Bytes of events that are held at once; with longer lines fewer are looked at together.
const CHUNK_BYTES: usize = 8 << 20;
/// Bytes that another vigie may have on its way or uncommitted before more are sent.
const UNTOLD_BYTES: u64 = 8 << 20;
/// The position is written down so often.
const NOTE: Duration = Duration::from_secs(1);
/// A target that fails is tried again after so long; longer each time.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long another vigie may take to say how far it is.
const ANSWER: Duration = Duration::from_secs(20);

/// How far a relay is, as it stands in the store: key `relay:HOST:PORT`, value `1 ID EVENT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    key: String,
    /// What the other side knows this relay by.
    id: String,
    /// The last event that the other side has; `None` before the first.
    last: Option<u64>,
}

impl Position {
    pub(super) fn find(to: &str, positions: &[(String, Vec<u8>)]) -> Self {
        let key = format!("relay:{to}");
        let known = positions.iter().find(|(k, _)| *k == key);
        let known = known.and_then(|(_, value)| {
            let (id, last) = std::str::from_utf8(value)
                .ok()?
                .strip_prefix("1 ")?
                .split_once(' ')?;
            is_id(id).then_some((id.to_owned(), last.parse().ok()?))
        });
        let (id, last) = known.map_or_else(|| (new_id(), None), |(id, last)| (id, Some(last)));
        Self { key, id, last }
    }

    fn encode(&self) -> Vec<u8> {
        format!("1 {} {}", self.id, self.last.unwrap_or(0)).into_bytes()
    }
}

/// See the module.
pub(super) struct Sender {
    table: Relay,
    reader: Reader,
    position: Position,
    own: String,
    outlet: Outlet,
    runtime: Handle,
    source: Arc<Source>,
    noted: Option<(Instant, u64)>,
    /// Lines that the store had let go when we last looked.
    gone: u64,
    /// Some of what is ahead may be gone.
    gaps: bool,
    /// The last event of the store at our start, or sent since: the other side can have none behind it.
    high: u64,
}

/// Why a sitting ended.
enum End {
    Trouble(String),
    Shutdown,
}

impl<E: std::fmt::Display> From<E> for End {
    fn from(e: E) -> Self {
        Self::Trouble(e.to_string())
    }
}

/// What is sent together.
#[derive(Default)]
struct Chunk {
    upto: u64,
    /// The last event in it.
    last: u64,
    bytes: Vec<u8>,
    events: u64,
}

/// How far a sitting is.
struct Way {
    /// Everything up to here was sent or is not wanted.
    next: u64,
    /// The last event that was sent.
    sent: u64,
    /// Bytes of what was sent since the other side had all.
    untold: u64,
}

impl Sender {
    pub(super) fn new(
        table: Relay,
        (reader, high): (Reader, u64),
        position: Position,
        own: &str,
        ((outlet, runtime), source): ((Outlet, Handle), Arc<Source>),
    ) -> Self {
        Self {
            table,
            reader,
            position,
            own: own.to_owned(),
            outlet,
            runtime,
            source,
            noted: None,
            gone: 0,
            gaps: false,
            high,
        }
    }

    pub(super) fn run(mut self) {
        let mut retry = RETRY;
        loop {
            let begun = Instant::now();
            match self.sit() {
                Err(End::Shutdown) => return,
                Err(End::Trouble(why)) => self.source.fail(&why),
                Ok(never) => match never {},
            }
            // What is known to have arrived is not sent again.
            if self.note(true).is_err() {
                return;
            }
            if begun.elapsed() > RETRY_MAX {
                retry = RETRY;
            }
            let until = Instant::now() + retry;
            while Instant::now() < until {
                if self.outlet.shutdown.is_cancelled() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// One connection.
    fn sit(&mut self) -> Result<std::convert::Infallible, End> {
        let next = self.begin()?;
        let mut link = Link::open(&self.table)?;
        let mut peer = String::new();
        if self.table.peer == Peer::Vigie {
            let mut hello = Vec::new();
            message::write_hello(&mut hello, &self.position.id, &self.own);
            self.write(&mut link, &hello, next)?;
            let (has, who) = self.wait_for_answer(&mut link)?;
            self.recognize(has)?;
            peer = who;
        }
        let (next, sent, untold) = (self.position.last.unwrap_or(next), 0, 0);
        let mut way = Way { next, sent, untold };
        let mut size = WINDOW;
        self.gaps = true;
        loop {
            if self.outlet.shutdown.is_cancelled() {
                self.note(true)?;
                return Err(End::Shutdown);
            }
            let last = self.reader.last_id()?;
            self.show(last, &link)?;
            if way.untold < UNTOLD_BYTES && way.next < last {
                let upto = last.min(way.next.saturating_add(size));
                let chunk = self.chunk(way.next, upto, &peer)?;
                let Some(chunk) = chunk else {
                    size = (size / 2).max(1);
                    continue;
                };
                size = (size * 2).min(WINDOW);
                if !chunk.bytes.is_empty() {
                    // Some of it may arrive though the connection breaks.
                    self.high = self.high.max(chunk.last);
                    self.write(&mut link, &chunk.bytes, chunk.last)?;
                    way.sent = chunk.last;
                    way.untold += chunk.bytes.len() as u64;
                    self.source
                        .count(self.outlet.now(), chunk.events, chunk.bytes.len() as u64);
                } else if self.position.last == Some(way.next) {
                    // Nothing is on the way, and nothing of this was wanted.
                    self.position.last = Some(chunk.upto);
                }
                way.next = chunk.upto;
                self.gaps &= way.next < last;
                if way.next < last {
                    self.heed(&mut link, &mut way, false)?;
                    continue;
                }
            }
            self.heed(&mut link, &mut way, true)?;
        }
    }

    /// Goes on where another vigie says that it is.
    fn recognize(&mut self, has: u64) -> Result<(), End> {
        if has > self.high {
            // A store that was put back from a copy: numbers come again for other events, which the
            // other side would take for those that it has. For this relay under another name it has none.
            self.position.id = new_id();
            self.position.last = Some(self.high);
            self.noted = None;
            self.note(true)?;
            return Err("the store is an earlier one than what was sent; begins anew".into());
        }
        // It has what it says, though we may not have heard of it.
        self.position.last = self.position.last.max(Some(has));
        Ok(())
    }

    /// Where to go on; what is known at the first time of all.
    fn begin(&mut self) -> Result<u64, End> {
        let last = self.reader.last_id()?;
        // A store that was put back from a copy has fewer events than were sent.
        let from = match self.position.last {
            Some(position) => position.min(last),
            None if self.table.history => 0,
            None => last,
        };
        if self.position.last.is_none() {
            self.position.last = Some(from);
            self.note(true)?;
        }
        self.position.last = Some(from);
        Ok(from)
    }

    fn write(&self, link: &mut Link, bytes: &[u8], upto: u64) -> Result<(), End> {
        let shutdown = self.outlet.shutdown.clone();
        let written = link.write(bytes, upto, &|| !shutdown.is_cancelled());
        match written {
            Err(_) if shutdown.is_cancelled() => Err(End::Shutdown),
            written => Ok(written?),
        }
    }

    fn wait_for_answer(&self, link: &mut Link) -> Result<(u64, String), End> {
        let until = Instant::now() + ANSWER;
        while Instant::now() < until {
            if self.outlet.shutdown.is_cancelled() {
                return Err(End::Shutdown);
            }
            if let Some(answer) = link.read_line()?.as_deref().and_then(acknowledged) {
                return Ok(answer);
            }
        }
        Err("no vigie answers there; its [[syslog]] wants relay = true".into())
    }

    /// Reads what the other side has to say, and moves the position behind what it has.
    fn heed(&mut self, link: &mut Link, way: &mut Way, wait: bool) -> Result<(), End> {
        let pending = wait || way.untold >= UNTOLD_BYTES;
        let said = if pending { link.read_line()? } else { None };
        let arrived = link.arrived()?;
        let has = match self.table.peer {
            Peer::Vigie => said.as_deref().and_then(acknowledged).map(|a| a.0),
            Peer::Syslog => arrived,
        };
        if let Some(has) = has {
            // Nothing behind the last one that was sent was wanted.
            let has = if has >= way.sent { way.next } else { has };
            self.position.last = self.position.last.max(Some(has));
        }
        if self.position.last >= Some(way.next) || self.table.peer == Peer::Syslog {
            way.untold = 0;
        }
        self.note(false)
    }

    /// Writes the position down, at most each second unless `now`.
    fn note(&mut self, now: bool) -> Result<(), End> {
        let Some(last) = self.position.last else {
            return Ok(());
        };
        let due = self
            .noted
            .is_none_or(|(at, noted)| noted != last && (now || at.elapsed() >= NOTE));
        if !due {
            return Ok(());
        }
        let batch = Batch {
            positions: vec![(self.position.key.clone(), Some(self.position.encode()))],
            ..Batch::default()
        };
        self.noted = Some((Instant::now(), last));
        let sent = self
            .runtime
            .block_on(self.outlet.send(Patience::Waits, batch));
        sent.map_err(|Ended| End::Shutdown)
    }

    fn show(&self, last: u64, link: &Link) -> Result<(), End> {
        let behind = last.saturating_sub(self.position.last.unwrap_or(0));
        self.source.set_lag(link.on_the_way()?);
        match behind {
            0..WINDOW => self.source.work(""),
            n => self
                .source
                .work(&format!("{} thousand events behind", n / 1000)),
        }
        Ok(())
    }

    /// The frames of the events behind `after` up to `upto`, in the order of their arrival; `None` when
    /// they are too large together.
    fn chunk(&mut self, after: u64, upto: u64, peer: &str) -> Result<Option<Chunk>, End> {
        self.count_gone(after, upto)?;
        let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut bytes, mut hops, mut fields) = (0, 0, 0);
        let seal = (self.table.peer == Peer::Vigie).then_some(Seal {
            relay: &self.position.id,
        });
        let single = upto - after <= 1;
        let mut scan = Scan::new(Timestamp::MIN, Timestamp::MAX, self.table.query.filter());
        (scan.order, scan.after, scan.upto) = (Order::OldestFirst, after, upto);
        let stats = self.reader.scan(&scan, &mut |event| {
            let been = via(event);
            if been.split(' ').count() >= HOPS_MAX || has_been(&been, &self.own) {
                hops += 1;
                return ControlFlow::Continue(());
            }
            if !peer.is_empty() && has_been(&been, peer) {
                return ControlFlow::Continue(());
            }
            let been = format!("{been} {}", self.own);
            let mut frame = Vec::new();
            fields += message::write(&mut frame, event, been.trim_start(), seal);
            bytes += frame.len();
            found.push((event.id, frame));
            match bytes > CHUNK_BYTES && !single {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        if bytes > CHUNK_BYTES && !single {
            return Ok(None);
        }
        if stats.incomplete.is_some() {
            // A damaged block: what is in it is lost to us too, as `vigie verify` tells.
            self.source.drop_items("damaged", 1);
        }
        self.source.drop_items("loop", hops);
        self.source.drop_items("fields", fields);
        found.sort_unstable_by_key(|f| f.0);
        Ok(Some(Chunk {
            upto,
            last: found.last().map_or(upto, |f| f.0),
            events: found.len() as u64,
            bytes: found.into_iter().flat_map(|f| f.1).collect(),
        }))
    }

    /// Counts what the store let go before it was sent. Only when it did let something go.
    fn count_gone(&mut self, after: u64, upto: u64) -> Result<(), End> {
        let gone = self.reader.events_evicted()? + self.reader.events_expired()?;
        self.gaps |= gone != self.gone;
        self.gone = gone;
        if !self.gaps || gone == 0 {
            return Ok(());
        }
        let mut scan = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
        (scan.after, scan.upto) = (after, upto);
        let by = GroupBy {
            fields: &[],
            step: None,
            max_groups: 1,
        };
        let there: u64 = self
            .reader
            .count_by(&scan, &by)?
            .groups
            .iter()
            .map(|g| g.count)
            .sum();
        self.source
            .drop_items("evicted", (upto - after).saturating_sub(there));
        Ok(())
    }
}

/// Where an event has been, by its origin or by its structured data.
fn via(event: &Event) -> String {
    let in_data = format!("{}.via", message::ELEMENT);
    let found = event.field("via").or_else(|| event.field(&in_data));
    found.map_or_else(String::new, |via| {
        let ids = String::from_utf8_lossy(&via).into_owned();
        // Anything else of that name is not ours.
        match ids.split(' ').all(is_id) {
            true => ids,
            false => String::new(),
        }
    })
}

/// `vigie-ack N ID`.
fn acknowledged(line: &str) -> Option<(u64, String)> {
    let mut words = line.strip_prefix("vigie-ack ")?.split(' ');
    let seq = words.next()?.parse().ok()?;
    let id = words.next().filter(|id| is_id(id))?;
    Some((seq, id.to_owned()))
}
