//! One relay: reads the store from its position and writes to its target, for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use vigie_parsers::Timestamp;
use vigie_store::{Batch, Reader};

use super::chunk::{Chunk, Chunks, Wanted};
use super::link::{Link, is_wait};
use super::message::{self, Seal, is_id};
use super::new_id;
use super::position::{Gaps, Position};
use super::way::Way;
use crate::budget::Patience;
use crate::config::{Peer, Relay};
use crate::outlet::{Ended, Outlet};
use crate::status::Source;

/// Events that are looked at together at first; more when few of them are wanted or there.
const WINDOW: u64 = 4096;
const WINDOW_MAX: u64 = 1 << 17;
/// Bytes of frames that a window is to bring: each reads the columns of its blocks anew.
const WINDOW_BYTES: u64 = 3 << 20;
/// Frames are written in pieces of so many bytes: what is sent again after a connection broke is less.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes that another vigie may have on its way or uncommitted before more are sent: it commits once a
/// second, and sends come to no rest until then.
const UNTOLD_BYTES: u64 = 64 << 20;
/// The position is written down so often.
const NOTE: Duration = Duration::from_secs(1);
/// A target that fails is tried again after so long; longer each time.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// One that has ended a connection in order is looked at again so soon, once: whether it is gone itself tells what
/// became of what it had taken.
const LOOK: Duration = Duration::from_millis(20);
/// How long another vigie may take to say how far it is.
const ANSWER: Duration = Duration::from_secs(20);
/// A target that takes nothing for so long is told of.
const STUCK_TOLD: Duration = Duration::from_secs(5);
/// Another vigie that has stored nothing of what it got for so long is asked anew where it is.
const UNTOLD: Duration = Duration::from_secs(60);
/// The log hears of events that are lost at most this often.
const LOST_LOG: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Sender {
    table: Relay,
    chunks: Chunks,
    position: Position,
    /// What was gone where we have been in front of the position.
    gaps: Gaps,
    own: String,
    outlet: Outlet,
    runtime: Handle,
    source: Arc<Source>,
    /// When the position was written down last, and what.
    noted: Option<(Instant, Vec<u8>)>,
    /// We have read behind the position since our start: what was gone then is in `gaps`.
    begun: bool,
    /// Lost events that the log has not heard of, and when it last did.
    lost: (u64, Option<Instant>),
    /// The last event of the store at our start, or sent since: the other side can have none behind it.
    high: u64,
    /// Since when nothing has arrived though it should have.
    failing: Option<Timestamp>,
    /// The last event that a target of syslog had taken when it ended the connection in order.
    doubt: Option<u64>,
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

impl Sender {
    pub(super) fn new(
        table: Relay,
        (reader, high): (Reader, u64),
        position: Position,
        own: &str,
        ((outlet, runtime), source): ((Outlet, Handle), Arc<Source>),
    ) -> Self {
        // Counted since the relay was set up.
        source.drop_items("evicted", position.evicted);
        Self {
            table,
            chunks: Chunks::new(reader),
            position,
            gaps: Gaps::default(),
            own: own.to_owned(),
            outlet,
            runtime,
            source,
            noted: None,
            begun: false,
            lost: (0, None),
            high,
            failing: None,
            doubt: None,
        }
    }

    pub(super) fn run(mut self) {
        let (mut retry, mut looked) = (RETRY, false);
        loop {
            let begun = Instant::now();
            let end = self.sit();
            // What is known to have arrived is not sent again.
            let noted = self.note(true);
            match end {
                Err(End::Trouble(why)) if noted.is_ok() => self.fail(&why),
                Err(_) => return self.tell_lost(true),
                Ok(never) => match never {},
            }
            if begun.elapsed() > RETRY_MAX {
                retry = RETRY;
            }
            looked = self.doubt.is_some() && !looked;
            if looked {
                std::thread::sleep(LOOK);
                continue;
            }
            let until = Instant::now() + retry;
            while Instant::now() < until {
                if self.outlet.shutdown.is_cancelled() {
                    return self.tell_lost(true);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    fn fail(&mut self, why: &str) {
        let now = self.outlet.now();
        let since = *self.failing.get_or_insert(now);
        let since = jiff::Timestamp::from_second(since.0.div_euclid(1000))
            .map_or_else(|_| String::new(), |t| format!("; so since {t}"));
        self.source.fail(&format!("{why}{since}"));
    }

    /// One connection.
    fn sit(&mut self) -> Result<std::convert::Infallible, End> {
        let next = self.begin()?;
        let mut link = self.connect()?;
        let shutdown = self.outlet.shutdown.clone();
        link.secure(&|_, _| !shutdown.is_cancelled())?;
        let mut peer = String::new();
        if self.table.peer == Peer::Vigie {
            let mut hello = Vec::new();
            message::write_hello(&mut hello, &self.position.id, &self.own);
            self.write(&mut link, &hello, next)?;
            let (has, who) = self.wait_for_answer(&mut link)?;
            self.recognize(has)?;
            peer = who;
        }
        let next = self.position.last.unwrap_or(next);
        self.look_again(next)?;
        let mut way = Way::from(next, self.table.peer == Peer::Vigie);
        let mut window = WINDOW;
        loop {
            if self.outlet.shutdown.is_cancelled() {
                // The connection is as it should be: what was acknowledged is not sent again.
                if self.table.peer == Peer::Syslog && link.read_line(false).is_ok() {
                    let reached = way.reached(link.reached()?);
                    self.advance(reached);
                }
                return Err(End::Shutdown);
            }
            let last = self.chunks.last_id()?;
            self.show(last, &way, &mut link)?;
            let mut wait = true;
            if way.untold_bytes < UNTOLD_BYTES && way.next < last {
                let upto = last.min(way.next.saturating_add(window));
                let Some(chunk) = self.chunk(way.next, upto, &peer)? else {
                    window = (window / 2).max(1);
                    continue;
                };
                let each = chunk.bytes.len() as u64 / (upto - way.next);
                window = (WINDOW_BYTES / each.max(1)).clamp(1, (window * 2).min(WINDOW_MAX));
                self.send(&mut link, &mut way, &chunk)?;
                self.chunks.give_back(chunk);
                wait = way.next >= last;
                if wait {
                    self.chunks.caught_up();
                }
            }
            self.heed(&mut link, &mut way, wait)?;
        }
    }

    /// A receiver that ends a connection in order has read what its kernel had; a proxy may have had nobody to hand
    /// it to. Where nobody listens any more it was the receiver, and what it took has arrived.
    fn connect(&mut self) -> Result<Link, End> {
        let link = Link::open(&self.table);
        match &link {
            Ok(_) => self.doubt = None,
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                if let Some(upto) = self.doubt.take() {
                    self.advance(upto);
                }
            }
            Err(_) => {}
        }
        Ok(link?)
    }

    fn chunk(&mut self, after: u64, upto: u64, peer: &str) -> Result<Option<Chunk>, End> {
        let seal = (self.table.peer == Peer::Vigie).then_some(Seal {
            relay: &self.position.id,
        });
        let wanted = Wanted {
            filter: self.table.query.filter(),
            seal,
            own: &self.own,
            peer,
        };
        Ok(self.chunks.read(&wanted, after, upto)?)
    }

    fn send(&mut self, link: &mut Link, way: &mut Way, chunk: &Chunk) -> Result<(), End> {
        for (bytes, upto, events) in chunk.pieces(PIECE_BYTES) {
            // Some of it may arrive though the connection breaks.
            self.high = self.high.max(upto);
            self.write(link, bytes, upto)?;
            way.add(upto, bytes.len());
            self.source
                .count(self.outlet.now(), events, bytes.len() as u64);
        }
        for gap in &chunk.gaps {
            self.gaps.push(*gap);
        }
        way.next = chunk.upto;
        self.source.drop_items("damaged", chunk.damaged);
        self.source.drop_items("loop", chunk.hops);
        self.source.drop_items("fields", chunk.fields);
        if way.untold.is_empty() {
            // Nothing is on the way, and nothing of this was wanted.
            self.advance(way.next);
        }
        Ok(())
    }

    /// The other side has everything up to an event, as far as there is anything.
    fn advance(&mut self, upto: u64) {
        self.position.last = self.position.last.max(Some(upto));
        let passed = self.gaps.pass(self.position.last.unwrap_or(0));
        self.lose(passed);
    }

    /// Counts events that the store let go before they were sent.
    fn lose(&mut self, events: u64) {
        self.position.evicted = self.position.evicted.saturating_add(events);
        self.lost.0 = self.lost.0.saturating_add(events);
        self.source.drop_items("evicted", events);
    }

    fn tell_lost(&mut self, now: bool) {
        let due = self.lost.1.is_none_or(|at| at.elapsed() >= LOST_LOG);
        if self.lost.0 > 0 && (now || due) {
            tracing::warn!(
                source = self.source.name(),
                "{} events were let go by the store (budget, log_retention) before they were sent; \
                 {} in all",
                self.lost.0,
                self.position.evicted
            );
            self.lost = (0, Some(Instant::now()));
        }
    }

    /// What is behind the position is read anew. What was gone of a chunk that has arrived in part is
    /// counted up to there.
    fn look_again(&mut self, position: u64) -> Result<(), End> {
        if let Some(gap) = self.gaps.forget(position) {
            let missing = self.chunks.missing(gap.after, position)?;
            self.lose(missing.map_or(0, |m| m.events.min(gap.events)));
        }
        self.begun = true;
        self.chunks.begin();
        Ok(())
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
        let before = self.position.last.unwrap_or(has);
        if has > before && !self.begun {
            // Sent before our start: what was gone then still is.
            let missing = self.chunks.missing(before, has)?;
            self.lose(missing.map_or(0, |m| m.events));
        }
        self.advance(has);
        Ok(())
    }

    /// Where to go on; what is known at the first time of all.
    fn begin(&mut self) -> Result<u64, End> {
        let last = self.chunks.last_id()?;
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
        let go_on = |stuck: Duration, on_the_way: u64| {
            self.source.set_lag(on_the_way);
            if stuck > STUCK_TOLD {
                self.source.fail("the target takes nothing");
            }
            !shutdown.is_cancelled()
        };
        match link.write(bytes, upto, &go_on) {
            Err(_) if shutdown.is_cancelled() => Err(End::Shutdown),
            Err(e) if is_wait(&e) => Err("the target takes nothing".into()),
            written => Ok(written?),
        }
    }

    fn wait_for_answer(&self, link: &mut Link) -> Result<(u64, String), End> {
        let until = Instant::now() + ANSWER;
        while Instant::now() < until {
            if self.outlet.shutdown.is_cancelled() {
                return Err(End::Shutdown);
            }
            if let Some(answer) = link.read_line(true)?.as_deref().and_then(acknowledged) {
                return Ok(answer);
            }
        }
        Err("no vigie answers there; its [[syslog]] wants relay = true".into())
    }

    /// Reads what the other side has to say, and moves the position behind what it has.
    fn heed(&mut self, link: &mut Link, way: &mut Way, wait: bool) -> Result<(), End> {
        let (mut has, mut end) = (None, None);
        loop {
            match link.read_line(wait && has.is_none()) {
                Ok(Some(line)) => has = has.max(acknowledged(&line).map(|a| a.0)),
                Ok(None) => break,
                Err(e) => {
                    end = Some(e);
                    break;
                }
            }
        }
        // Who ends a connection in order has read what its kernel had. Who breaks it has not. Whether either
        // did anything with it only shows with time.
        let in_order = |e: &std::io::Error| e.kind() == std::io::ErrorKind::UnexpectedEof;
        if self.table.peer == Peer::Syslog && end.as_ref().is_none_or(in_order) {
            has = link.arrived()?;
        }
        if let Some(has) = has {
            way.proved = true;
            let upto = way.has(has);
            self.advance(upto);
        }
        if let Some(e) = end {
            if self.table.peer == Peer::Syslog && in_order(&e) {
                self.doubt = Some(way.reached(link.reached()?));
            }
            return Err(self.why_ended(link, way, e));
        }
        if self.table.peer == Peer::Vigie && !way.untold.is_empty() && way.heard.elapsed() > UNTOLD
        {
            return Err("the target has stored nothing for a minute".into());
        }
        self.note(false)
    }

    /// Of a target that took everything and ended the connection in order too soon: what may be behind it.
    fn why_ended(&self, link: &mut Link, way: &Way, e: std::io::Error) -> End {
        let in_order = e.kind() == std::io::ErrorKind::UnexpectedEof;
        let has_all = link
            .reached()
            .is_ok_and(|n| n > 0 && way.reached(n) >= way.next);
        if self.table.peer == Peer::Syslog && in_order && has_all && !way.untold.is_empty() {
            return format!(
                "{e} before what it took had settled, so that is sent again (if it ends idle connections, \
                 make `settle` shorter)"
            )
            .into();
        }
        e.into()
    }

    /// Writes the position down, at most each second unless `now`.
    fn note(&mut self, now: bool) -> Result<(), End> {
        if self.position.last.is_none() {
            return Ok(());
        }
        let at = self.noted.as_ref().map(|noted| noted.0);
        if at.is_some_and(|at| !now && at.elapsed() < NOTE) {
            return Ok(());
        }
        let value = self.position.encode();
        if self.noted.as_ref().is_some_and(|noted| noted.1 == value) {
            return Ok(());
        }
        let batch = Batch {
            positions: vec![(self.position.key.clone(), Some(value.clone()))],
            ..Batch::default()
        };
        self.noted = Some((Instant::now(), value));
        let sent = self
            .runtime
            .block_on(self.outlet.send(Patience::Waits, batch));
        sent.map_err(|Ended| End::Shutdown)
    }

    fn show(&mut self, last: u64, way: &Way, link: &mut Link) -> Result<(), End> {
        let mut reached = self.position.last.unwrap_or(0);
        if self.table.peer == Peer::Syslog {
            reached = reached.max(way.reached(link.reached()?));
        }
        let behind = last.saturating_sub(reached);
        self.source.set_lag(link.on_the_way()?);
        self.tell_lost(false);
        // A target that lets us in and ends the connection soon does not work in between.
        let settle = Duration::from_millis(self.table.settle.as_ms().unsigned_abs());
        if self.source.has_failed() && !way.proved && way.begun.elapsed() < settle {
            return Ok(());
        }
        self.failing = None;
        match behind {
            0..WINDOW => self.source.work(""),
            n => self
                .source
                .work(&format!("{} thousand events behind", n / 1000)),
        }
        Ok(())
    }
}

/// `vigie-ack N ID`.
fn acknowledged(line: &str) -> Option<(u64, String)> {
    let mut words = line.strip_prefix("vigie-ack ")?.split(' ');
    let seq = words.next()?.parse().ok()?;
    let id = words.next().filter(|id| is_id(id))?;
    Some((seq, id.to_owned()))
}
