//! Syslog listeners: UDP, TCP, TLS and Unix sockets.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;

use super::{Input, Start};
use crate::config::{self, Protocol};
use crate::lines::Lines;
use crate::outlet::Outlet;
use crate::relay::{Receiver, Relays};
use crate::sockets::{Listener, SocketFile};
use crate::status::Source;
use senders::{Claims, Sender, Senders};

mod connections;
mod datagrams;
mod packets;
mod senders;
mod shares;
mod skew;
mod streams;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

/// See the module.
pub(super) const INPUT: Input = Input {
    name: "syslog",
    about: "syslog over UDP, TCP, TLS and Unix sockets, RFC 3164 and RFC 5424, both framings",
    start,
};

fn start(s: &mut Start<'_>) {
    for listener in s.sockets.syslog.drain(..) {
        let Listener {
            config,
            at,
            protocol,
            socket,
            file,
        } = listener;
        let name = format!("syslog:{at}/{}", protocol.name());
        let source = s.outlet.status.source(&name);
        let notes = Arc::<Notes>::default();
        let mut outlet = s.outlet.clone();
        outlet.take = skew::watching(outlet.take, Arc::clone(&source), Arc::clone(&notes));
        let common = Common {
            senders: Senders::new(&name, s.host, &config),
            claims: Arc::default(),
            notes,
            relays: Arc::clone(s.relays),
            host: s.host.to_owned(),
            outlet,
            source: Arc::clone(&source),
            config,
            _file: file,
        };
        let started = match protocol {
            Protocol::Udp | Protocol::Datagram => packets::Packets::new(socket, common)
                .map(|packets| s.tasks.spawn(&name, packets.run())),
            Protocol::Tcp | Protocol::Tls | Protocol::Stream => {
                connections::Connections::new(socket, common)
                    .map(|connections| s.tasks.spawn(&name, connections.run()))
            }
        };
        if let Err(e) = started {
            source.fail(&format!("the listener could not be started: {e}"));
        }
    }
}

/// What all kinds of listeners need.
struct Common {
    outlet: Outlet,
    source: Arc<Source>,
    config: config::Syslog,
    host: String,
    senders: Senders,
    claims: Arc<Claims>,
    notes: Arc<Notes>,
    relays: Arc<Relays>,
    /// Goes with the listener.
    _file: Option<SocketFile>,
}

impl Common {
    /// A reader of lines for each zone, the listener's own first.
    fn all_lines(&self) -> Vec<Lines> {
        (0..=self.config.zones.len())
            .map(|zone| self.lines(zone))
            .collect()
    }

    /// A reader of lines whose stamps are of the nth zone.
    fn lines(&self, zone: usize) -> Lines {
        let own = self.config.zone.as_ref();
        let zone = match zone.checked_sub(1) {
            Some(n) => self.config.zones.values().nth(n).or(own),
            None => own,
        };
        let zone = zone.map_or_else(TimeZone::system, |z| z.0.clone());
        let mut lines = Lines::new(&self.outlet.counters, self.source.name(), &self.host, zone);
        lines.set_received(true);
        lines
    }

    /// Takes what other vigies forward, if the listener is for them too.
    fn receiver(&self, sender: &Sender) -> Option<Receiver> {
        let wanted = self.config.relay;
        wanted.then(|| Receiver::new(&self.relays, &sender.name, self.lines(0)))
    }

    fn allows(&self, peer: IpAddr) -> bool {
        let allow = &self.config.allow;
        allow.is_empty() || allow.iter().any(|network| network.contains(peer))
    }
}

/// What a listener has to tell beside its counters: the last of each kind, shown with its state.
#[derive(Debug, Default)]
struct Notes(Mutex<[String; 6]>);

/// Kinds of notes, in the order in which they are shown.
#[derive(Clone, Copy)]
enum Note {
    Connections,
    Crowded,
    Limited,
    Disputed,
    Clock,
    Refused,
}

impl Notes {
    /// Whether that is news.
    fn set(&self, kind: Note, text: String) -> bool {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let note = &mut notes[kind as usize];
        let news = *note != text;
        *note = text;
        news
    }

    fn detail(&self) -> String {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<_> = notes.iter().filter(|n| !n.is_empty()).cloned().collect();
        told.join("; ")
    }
}

/// Looks whether a line's host name was claimed by another sender before.
struct Claimant {
    claims: Arc<Claims>,
    notes: Arc<Notes>,
    source: Arc<Source>,
    /// What the last sender called itself, with its name: the usual case costs a comparison.
    last: (Vec<u8>, String),
}

impl Claimant {
    fn new(common: &Common) -> Self {
        Self {
            claims: Arc::clone(&common.claims),
            notes: Arc::clone(&common.notes),
            source: Arc::clone(&common.source),
            last: Default::default(),
        }
    }

    fn check(&mut self, host: Option<&[u8]>, sender: &Sender) {
        let Some(host) = host else { return };
        if self.last.0 == host && self.last.1 == sender.name {
            return;
        }
        self.last.0.clear();
        self.last.0.extend_from_slice(host);
        self.last.1.clone_from(&sender.name);
        if let Some(first) = self.claims.claim(host, &sender.name) {
            let text = format!(
                "{} and {} both call themselves {}",
                first,
                sender.name,
                host.escape_ascii(),
            );
            tracing::warn!(source = self.source.name(), "{text}");
            self.notes.set(Note::Disputed, text);
        }
    }
}
