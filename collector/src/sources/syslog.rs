//! Syslog listeners: UDP and TCP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use foldhash::HashMap;
use jiff::tz::TimeZone;
use vigie_parsers::Origin;

use super::{Input, Start};
use crate::config;
use crate::lines::Lines;
use crate::outlet::Outlet;
use crate::sockets::{Bound, Listener};
use crate::status::Source;

mod datagrams;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

/// See the module.
pub(super) const INPUT: Input = Input {
    name: "syslog",
    about: "syslog over UDP and TCP, RFC 3164 and RFC 5424, both framings",
    start,
};

/// Senders with an origin of their own at one listener; the addresses of more are not kept. Each
/// costs memory here and a row in the store, and UDP senders can be made up.
const PEERS_MAX: usize = 4096;

fn start(s: &mut Start<'_>) {
    for Listener { config, socket } in s.sockets.syslog.drain(..) {
        let (protocol, address) = match &socket {
            Bound::Udp(socket) => ("udp", socket.local_addr()),
            Bound::Tcp(socket) => ("tcp", socket.local_addr()),
        };
        let address = address.unwrap_or(config.listen);
        let name = format!("syslog:{address}/{protocol}");
        let source = s.outlet.status.source(&name);
        let common = Common {
            peers: Peers::new(&name, s.host),
            host: s.host.to_owned(),
            outlet: s.outlet.clone(),
            source: Arc::clone(&source),
            config,
        };
        let started = match socket {
            Bound::Udp(socket) => {
                udp::Udp::new(socket, common).map(|udp| s.tasks.spawn(&name, udp.run()))
            }
            Bound::Tcp(socket) => {
                tcp::Tcp::new(socket, common).map(|tcp| s.tasks.spawn(&name, tcp.run()))
            }
        };
        if let Err(e) = started {
            source.fail(&format!("the listener could not be started: {e}"));
        }
    }
}

/// What both kinds of listener need.
struct Common {
    outlet: Outlet,
    source: Arc<Source>,
    config: config::Syslog,
    host: String,
    peers: Peers,
}

impl Common {
    fn lines(&self) -> Lines {
        let zone = self
            .config
            .zone
            .as_ref()
            .map_or_else(TimeZone::system, |z| z.0.clone());
        let (registry, alive) = (self.outlet.registry(), &self.outlet.alive);
        Lines::new(registry, alive, self.source.name(), &self.host, zone)
    }

    fn allows(&self, peer: IpAddr) -> bool {
        let allow = &self.config.allow;
        allow.is_empty() || allow.iter().any(|network| network.contains(peer))
    }
}

/// Where messages come from, by the sender's address.
#[derive(Debug)]
struct Peers {
    source: String,
    /// The name of this machine, for its own messages.
    host: String,
    known: HashMap<IpAddr, Arc<Origin>>,
    last: Option<(IpAddr, Arc<Origin>)>,
}

impl Peers {
    fn new(source: &str, host: &str) -> Self {
        Self {
            source: source.to_owned(),
            host: host.to_owned(),
            known: HashMap::default(),
            last: None,
        }
    }

    fn origin(&mut self, peer: SocketAddr) -> &Arc<Origin> {
        let address = peer.ip();
        let origin = match self.last.take() {
            Some((last, origin)) if last == address => origin,
            _ => self.look_up(address),
        };
        &self.last.insert((address, origin)).1
    }

    fn look_up(&mut self, address: IpAddr) -> Arc<Origin> {
        if let Some(known) = self.known.get(&address) {
            return Arc::clone(known);
        }
        let canonical = address.to_canonical();
        // The address of the table's last entry stands for the rest.
        let overflow = self.known.len() >= PEERS_MAX;
        let (peer, host) = match canonical {
            _ if overflow => ("other".to_owned(), String::new()),
            own if own.is_loopback() => (own.to_string(), self.host.clone()),
            other => (other.to_string(), other.to_string()),
        };
        let mut fields = vec![("peer".to_owned(), peer)];
        if !host.is_empty() {
            fields.push(("host".to_owned(), host));
        }
        let origin = Arc::new(Origin {
            source: self.source.clone(),
            fields,
        });
        if overflow {
            let any = IpAddr::from([0, 0, 0, 0]);
            return Arc::clone(self.known.entry(any).or_insert(origin));
        }
        self.known.insert(address, Arc::clone(&origin));
        origin
    }
}

#[cfg(test)]
mod peers_tests {
    use super::*;

    #[test]
    fn the_peer_stands_for_a_missing_host() {
        let mut peers = Peers::new("syslog:x", "vm");
        let host = |peers: &mut Peers, address: &str| {
            let origin = peers.origin(SocketAddr::new(address.parse().unwrap(), 5));
            origin.fields.clone()
        };
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let local = [pair("peer", "127.0.0.1"), pair("host", "vm")];
        assert_eq!(host(&mut peers, "127.0.0.1"), local);
        let other = [pair("peer", "192.0.2.7"), pair("host", "192.0.2.7")];
        assert_eq!(host(&mut peers, "::ffff:192.0.2.7"), other);
    }

    #[test]
    fn made_up_senders_share_an_origin() {
        let mut peers = Peers::new("syslog:x", "vm");
        for i in 0..u32::try_from(PEERS_MAX).unwrap() + 100 {
            let address = IpAddr::from((i + (10 << 24)).to_be_bytes());
            peers.origin(SocketAddr::new(address, 1));
        }
        assert_eq!(peers.known.len(), PEERS_MAX + 1);
        let late = peers.origin(SocketAddr::from(([198, 51, 100, 1], 1)));
        assert_eq!(late.fields, [("peer".to_owned(), "other".to_owned())]);
        let early = peers.origin(SocketAddr::from(([10, 0, 0, 1], 1)));
        assert_eq!(early.fields[0].1, "10.0.0.1");
    }
}
