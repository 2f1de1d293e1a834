//! Who sends: the origin of their lines, their zone, how much they may send, and what they claim to be.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use vigie_parsers::Origin;

use crate::config::Syslog;

/// Senders with an account of their own at one listener; more share one. Each costs memory here and
/// a row in the store, and UDP senders can be made up.
const SENDERS_MAX: usize = 4096;
/// Host names whose sender is remembered, to notice a second one.
const CLAIMS_MAX: usize = 4096;
/// So many seconds of its rate may come from a sender at once.
const BURST_SECONDS: f64 = 5.0;

/// The senders of a listener, by address.
pub(super) struct Senders {
    source: String,
    /// The name of this machine, for its own messages.
    host: String,
    rate: f64,
    /// Networks with a zone of their own, and the number of that zone.
    zones: Vec<(crate::config::Network, usize)>,
    known: HashMap<IpAddr, Arc<Sender>>,
    last: Option<(IpAddr, Arc<Sender>)>,
    /// Programs of this machine, through a Unix socket.
    local: Arc<Sender>,
}

/// One sender.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) origin: Arc<Origin>,
    /// Which of the listener's zones its stamps are of; 0 for the listener's own.
    pub(super) zone: usize,
    /// As shown to people.
    pub(super) name: String,
    bucket: Option<Mutex<Bucket>>,
}

/// What a sender may still send: a token for each message, refilled at its rate.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    tokens: f64,
    at: Instant,
    refused: u64,
}

impl Senders {
    pub(super) fn new(source: &str, host: &str, table: &Syslog) -> Self {
        let zones = table.zones.keys().copied().zip(1..);
        let mut senders = Self {
            source: source.to_owned(),
            host: host.to_owned(),
            rate: f64::from(table.rate_limit),
            zones: zones.collect(),
            known: HashMap::default(),
            last: None,
            local: Arc::new(Sender {
                origin: Arc::default(),
                zone: 0,
                name: String::new(),
                bucket: None,
            }),
        };
        senders.local = Arc::new(senders.make("this machine", None, Some(host), 0));
        senders
    }

    /// The sender at this address; without one, a program of this machine.
    pub(super) fn get(&mut self, address: Option<SocketAddr>) -> &Arc<Sender> {
        let Some(address) = address.map(|a| a.ip()) else {
            return &self.local;
        };
        let sender = match self.last.take() {
            Some((last, sender)) if last == address => sender,
            _ => self.look_up(address),
        };
        &self.last.insert((address, sender)).1
    }

    fn look_up(&mut self, address: IpAddr) -> Arc<Sender> {
        if let Some(known) = self.known.get(&address) {
            return Arc::clone(known);
        }
        let zone = self.zone(address);
        if self.known.len() >= SENDERS_MAX {
            // The unspecified address stands for the rest; nobody can send from it.
            let other = self.make("other", Some("other"), None, zone);
            let any = IpAddr::from([0, 0, 0, 0]);
            return Arc::clone(self.known.entry(any).or_insert_with(|| Arc::new(other)));
        }
        let canonical = address.to_canonical();
        let name = canonical.to_string();
        let host = if canonical.is_loopback() {
            &self.host
        } else {
            &name
        };
        let sender = Arc::new(self.make(&name, Some(&name), Some(host), zone));
        self.known.insert(address, Arc::clone(&sender));
        sender
    }

    fn make(&self, name: &str, peer: Option<&str>, host: Option<&str>, zone: usize) -> Sender {
        let field = |name: &str, value: Option<&str>| Some((name.to_owned(), value?.to_owned()));
        let fields = [field("peer", peer), field("host", host)];
        Sender {
            origin: Arc::new(Origin {
                source: self.source.clone(),
                fields: fields.into_iter().flatten().collect(),
            }),
            zone,
            name: name.to_owned(),
            bucket: (self.rate > 0.0).then(|| {
                Mutex::new(Bucket {
                    rate: self.rate,
                    tokens: self.rate * BURST_SECONDS,
                    at: Instant::now(),
                    refused: 0,
                })
            }),
        }
    }

    /// The narrowest network with a zone that holds an address.
    fn zone(&self, address: IpAddr) -> usize {
        let holding = self.zones.iter().filter(|(n, _)| n.contains(address));
        holding
            .max_by_key(|(network, _)| network.prefix())
            .map_or(0, |&(_, zone)| zone)
    }
}

impl Sender {
    /// Takes a token for a message. When there is none, how many were refused so far.
    pub(super) fn admit(&self, now: Instant) -> Result<(), u64> {
        let Some(bucket) = &self.bucket else {
            return Ok(());
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.refill(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        bucket.refused += 1;
        Err(bucket.refused)
    }

    /// Takes tokens for messages that are there already; how long not to read on for that.
    pub(super) fn charge(&self, messages: u64, now: Instant) -> Duration {
        let Some(bucket) = &self.bucket else {
            return Duration::ZERO;
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.refill(now);
        // Exact up to 2^53 messages.
        bucket.tokens -= messages as f64;
        Duration::from_secs_f64((-bucket.tokens / bucket.rate).max(0.0))
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(self.rate * BURST_SECONDS);
        self.at = now;
    }
}

/// Which sender claims which host name, to notice when two claim the same. Shared by a listener's
/// connections.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<Box<[u8]>, Claim>>);

#[derive(Debug)]
struct Claim {
    sender: String,
    /// A second one was seen; once is enough.
    disputed: bool,
}

impl Claims {
    /// A sender calls itself so. Names the one that did first, the first time that another does.
    pub(super) fn claim(&self, host: &[u8], sender: &str) -> Option<String> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = claims.len() < CLAIMS_MAX;
        match claims.get_mut(host) {
            Some(known) if known.disputed || known.sender == sender => None,
            Some(known) => {
                known.disputed = true;
                Some(known.sender.clone())
            }
            None => {
                if room {
                    let claim = Claim {
                        sender: sender.to_owned(),
                        disputed: false,
                    };
                    claims.insert(host.into(), claim);
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn senders(table: &Syslog) -> Senders {
        Senders::new("syslog:x", "vm", table)
    }

    fn at(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 5))
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_peer_stands_for_a_missing_host() {
        let mut senders = senders(&Syslog::default());
        let mut fields = |address| senders.get(address).origin.fields.clone();
        let own = [pair("peer", "127.0.0.1"), pair("host", "vm")];
        assert_eq!(fields(at("127.0.0.1")), own);
        let other = [pair("peer", "192.0.2.7"), pair("host", "192.0.2.7")];
        assert_eq!(fields(at("::ffff:192.0.2.7")), other);
        assert_eq!(fields(None), [pair("host", "vm")]);
    }

    #[test]
    fn made_up_senders_share_an_account() {
        let mut senders = senders(&Syslog::default());
        for i in 0..u32::try_from(SENDERS_MAX).unwrap() + 100 {
            let address = IpAddr::from((i + (10 << 24)).to_be_bytes());
            senders.get(Some(SocketAddr::new(address, 1)));
        }
        assert_eq!(senders.known.len(), SENDERS_MAX + 1);
        let late = senders.get(at("198.51.100.1")).origin.fields.clone();
        assert_eq!(late, [pair("peer", "other")]);
        let early = senders.get(at("10.0.0.1")).origin.fields.clone();
        assert_eq!(early[0].1, "10.0.0.1");
    }

    #[test]
    fn the_narrowest_network_tells_the_zone() {
        let table: Syslog = toml::from_str(
            r#"zones = { "10.0.0.0/8" = "UTC", "10.1.0.0/16" = "Asia/Tokyo", "10.1.2.3" = "Europe/Paris" }"#,
        )
        .unwrap();
        let names: Vec<_> = table.zones.values().map(|z| z.0.iana_name()).collect();
        let mut senders = senders(&table);
        let mut zone = |address: &str| match senders.get(at(address)).zone {
            0 => None,
            n => names[n - 1],
        };
        assert_eq!(zone("10.9.9.9"), Some("UTC"));
        assert_eq!(zone("10.1.9.9"), Some("Asia/Tokyo"));
        assert_eq!(zone("::ffff:10.1.2.3"), Some("Europe/Paris"));
        assert_eq!(zone("192.0.2.1"), None);
    }

    #[test]
    fn a_sender_has_its_rate_and_a_burst() {
        let table = Syslog {
            rate_limit: 10,
            ..Syslog::default()
        };
        let mut senders = senders(&table);
        let sender = Arc::clone(senders.get(at("192.0.2.7")));
        let start = Instant::now();
        let admitted = |now| (0..1000).filter(|_| sender.admit(now).is_ok()).count();
        assert_eq!(admitted(start), 50, "five seconds' worth at once");
        assert_eq!(admitted(start + Duration::from_secs(2)), 20);
        assert_eq!(sender.admit(start + Duration::from_secs(2)), Err(1931));
        let other = Arc::clone(senders.get(at("192.0.2.8")));
        assert_eq!(other.admit(start), Ok(()), "each has its own");
        // A connection that has sent 100 at once waits for the 51 that were too many.
        let wait = other.charge(100, start);
        assert!((wait.as_secs_f64() - 5.1).abs() < 0.01, "{wait:?}");
    }

    #[test]
    fn two_that_claim_one_name_are_noticed_once() {
        let claims = Claims::default();
        assert_eq!(claims.claim(b"web1", "192.0.2.7"), None);
        assert_eq!(claims.claim(b"web1", "192.0.2.7"), None);
        assert_eq!(claims.claim(b"web2", "192.0.2.8"), None);
        let first = claims.claim(b"web1", "192.0.2.8");
        assert_eq!(first.as_deref(), Some("192.0.2.7"));
        assert_eq!(claims.claim(b"web1", "192.0.2.8"), None);
    }
}
