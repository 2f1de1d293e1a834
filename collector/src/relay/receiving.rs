//! The other end of a relay: lines that another vigie keeps, taken up as they stand there, each once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;
use vigie_parsers::{Origin, Timestamp};
use vigie_store::{Batch, EventBatch};

use super::has_been;
use super::message::{Relayed, Told, is_id};
use crate::lines::Lines;
use crate::status::Source;

/// The beginning of the keys of relays that send to us; the value is the number of the last event.
const FROM_PREFIX: &str = "relay-from:";
/// Relays that are known at once; each has a position in the store.
const RELAYS_MAX: usize = 1000;
/// A connection that a newer one takes over from hands over what it has within so long.
const TAKE_OVER: Duration = Duration::from_secs(10);
/// Origins of one connection that are remembered; forgotten when there are more.
const ORIGINS_MAX: usize = 1000;
/// An event may be of a time that is so far ahead: the other side's clock may be wrong, its time zones too.
const AHEAD_MS: i64 = 24 * 3600 * 1000;
/// Bytes of a source's name.
const SOURCE_LEN_MAX: usize = 300;

/// All relays that send to us. Shared by all listeners.
#[derive(Debug)]
pub(crate) struct Relays {
    /// This store's id.
    own: String,
    known: Mutex<BTreeMap<String, Peer>>,
}

#[derive(Debug, Default)]
struct Peer {
    /// The last event handed to the writer; held by the connection that may go on.
    sent: Arc<tokio::sync::Mutex<u64>>,
    /// The last one that is committed.
    stored: Arc<Stored>,
    /// Asks the connection that holds it to leave.
    leave: CancellationToken,
}

/// An origin of another vigie's events.
struct Known {
    origin: Arc<Origin>,
    /// They have been here.
    returns: bool,
    /// They came over a syslog transport, at whichever vigie.
    received: bool,
    /// Fields beyond what one event may have.
    fields_lost: u64,
}

/// The right to go on for a relay.
struct Hold {
    relay: String,
    sent: OwnedMutexGuard<u64>,
    leave: CancellationToken,
    stored: Arc<Stored>,
    /// What was put into a batch as the position.
    noted: u64,
    /// What the other side knows.
    told: Option<u64>,
}

#[derive(Debug, Default)]
struct Stored {
    seq: AtomicU64,
    news: Notify,
}

impl Relays {
    pub(crate) fn new(own: &str, positions: &[(String, Vec<u8>)]) -> Self {
        let known = positions.iter().filter_map(|(key, value)| {
            let relay = key.strip_prefix(FROM_PREFIX).filter(|r| is_id(r))?;
            let seq: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
            let known = Peer {
                sent: Arc::new(tokio::sync::Mutex::new(seq)),
                stored: Arc::new(Stored {
                    seq: AtomicU64::new(seq),
                    news: Notify::new(),
                }),
                ..Peer::default()
            };
            Some((relay.to_owned(), known))
        });
        Self {
            own: own.to_owned(),
            known: Mutex::new(known.collect()),
        }
    }

    /// Takes over for a relay; the connection that had it before leaves.
    async fn hold(&self, relay: &str) -> Option<Hold> {
        let leave = CancellationToken::new();
        let (sent, stored) = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= RELAYS_MAX && !known.contains_key(relay) {
                return None;
            }
            let known = known.entry(relay.to_owned()).or_default();
            std::mem::replace(&mut known.leave, leave.clone()).cancel();
            (Arc::clone(&known.sent), Arc::clone(&known.stored))
        };
        let sent = tokio::time::timeout(TAKE_OVER, sent.lock_owned())
            .await
            .ok()?;
        let seq = *sent;
        Some(Hold {
            relay: relay.to_owned(),
            stored,
            sent,
            leave,
            noted: seq,
            told: None,
        })
    }
}

/// One connection's part in it.
pub(crate) struct Receiver {
    relays: Arc<Relays>,
    /// The sender, as shown to people.
    peer: String,
    lines: Lines,
    /// By what the other side says of them.
    origins: HashMap<Vec<u8>, Known>,
    hold: Option<Hold>,
    /// A relay wants to begin.
    asks: Option<String>,
}

impl Receiver {
    pub(crate) fn new(relays: &Arc<Relays>, peer: &str, lines: Lines) -> Self {
        Self {
            relays: Arc::clone(relays),
            peer: peer.to_owned(),
            lines,
            origins: HashMap::default(),
            hold: None,
            asks: None,
        }
    }

    /// Takes a message if it is one of a relay's.
    pub(crate) fn take(
        &mut self,
        events: &mut EventBatch,
        now: Timestamp,
        message: &[u8],
        source: &Source,
    ) -> bool {
        let Some(relayed) = Relayed::read(message) else {
            return false;
        };
        if relayed.hello {
            self.asks = Some(relayed.relay.to_owned());
            return true;
        }
        let hold = self.hold.as_mut();
        let Some(hold) = hold.filter(|h| h.relay == relayed.relay) else {
            return false;
        };
        if relayed.seq <= *hold.sent {
            source.drop_items("doubled", 1);
            return true;
        }
        *hold.sent = relayed.seq;
        if !self.origins.contains_key(relayed.origin) {
            self.learn(relayed.origin);
        }
        let Some(known) = self.origins.get(relayed.origin) else {
            return true;
        };
        if known.returns {
            source.drop_items("loop", 1);
            return true;
        }
        source.drop_items("fields", known.fields_lost);
        // As the other side read it, though zones and clocks may differ, if it can be one.
        let latest = now.0.saturating_add(AHEAD_MS);
        let time = relayed.time.filter(|t| (0..=latest).contains(&t.0));
        self.lines.set_received(known.received);
        let cut = self
            .lines
            .push_known(events, (now, time), &known.origin, relayed.line);
        source.drop_items("cut", u64::from(cut));
        true
    }

    /// Reads what the other side says of an origin. The same for the same words.
    fn learn(&mut self, words: &[u8]) {
        if self.origins.len() >= ORIGINS_MAX {
            self.origins.clear();
        }
        let told = Told::read(words);
        let received = was_received(&told.source);
        let source = format!("relay:{}/{}", self.peer, told.source);
        let source = source.chars().take(SOURCE_LEN_MAX).collect();
        let returns = has_been(&told.via, &self.relays.own);
        let mut fields = told.fields;
        fields.push(("via".to_owned(), told.via));
        let known = Known {
            origin: Arc::new(Origin { source, fields }),
            returns,
            received,
            fields_lost: told.fields_lost,
        };
        self.origins.insert(words.to_vec(), known);
    }

    /// Begins for a relay that asked. `false` when there is no place for it.
    pub(crate) async fn answer(&mut self) -> bool {
        let Some(relay) = self.asks.take() else {
            return true;
        };
        self.hold = None;
        self.hold = self.relays.hold(&relay).await;
        self.hold.is_some()
    }

    /// What is to be written to the other side: how far we have stored what it sent.
    pub(crate) fn ack(&mut self) -> Option<String> {
        let hold = self.hold.as_mut()?;
        let seq = hold.stored.seq.load(Relaxed);
        if hold.told == Some(seq) {
            return None;
        }
        hold.told = Some(seq);
        Some(format!("vigie-ack {seq} {}\n", self.relays.own))
    }

    /// Waits until there is something to tell; whether to go on.
    pub(crate) async fn news(&self) -> bool {
        let Some(hold) = &self.hold else {
            return std::future::pending().await;
        };
        tokio::select! {
            () = hold.leave.cancelled() => false,
            () = hold.stored.news.notified() => true,
        }
    }

    /// The reader of what was taken, for its figures.
    pub(crate) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// Lets a batch say how far we are, and tell us when it is stored. Whether there is that to say.
    pub(crate) fn note(&mut self, batch: &mut Batch) -> bool {
        let Some(hold) = self.hold.as_mut().filter(|h| *h.sent > h.noted) else {
            return false;
        };
        let seq = *hold.sent;
        hold.noted = seq;
        let key = format!("{FROM_PREFIX}{}", hold.relay);
        batch
            .positions
            .push((key, Some(seq.to_string().into_bytes())));
        let stored = Arc::clone(&hold.stored);
        batch.done = Some(Box::new(move |result| {
            if result.is_ok() {
                stored.seq.fetch_max(seq, Relaxed);
                stored.news.notify_one();
            }
        }));
        true
    }
}

/// Whether the lines of a source came over a syslog transport, at whichever vigie they were taken in.
fn was_received(source: &str) -> bool {
    let mut first = source;
    while let Some((_, before)) = first.strip_prefix("relay:").and_then(|s| s.split_once('/')) {
        first = before;
    }
    first.starts_with("syslog:")
}
