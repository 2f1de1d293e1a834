//! Forwarding: what the store keeps goes on to other machines, and comes in from them.
//!
//! A relay reads the store from a position, which moves on only behind what the other side has taken.
//! Another vigie says what it has stored (`vigie-ack N`), and leaves out what it has already: each event
//! comes once, whoever is killed when. Of other receivers only the kernel tells what has arrived, and a proxy's
//! kernel says little: it counts once the connection has lived on; what a connection took last is sent again.

mod chunk;
mod home;
mod link;
mod message;
mod position;
mod receiving;
mod sender;
mod way;

use vigie_query::EventSource as _;
use vigie_store::{Batch, Reader};

use crate::budget::Patience;
use crate::outlet::Outlet;
use crate::sources::Tasks;

pub(crate) use receiving::{Receiver, Relays};

/// Where the id of this store stands among the positions.
const SELF_KEY: &str = "relay-self";
/// Bytes of a relay's frame beside the line: the header and the fields of the origin.
pub(crate) const FRAME_EXTRA: usize = 64 << 10;
/// Events that have been at so many vigies go no further.
const HOPS_MAX: usize = 8;

/// Whether anything is forwarded, or taken from who forwards.
pub(crate) fn concerns(config: &crate::Config) -> bool {
    !config.relay.is_empty() || config.syslog.iter().any(|s| s.relay)
}

/// This store's id; drawn at its first start with a relay and kept.
pub(crate) fn own_id(outlet: &Outlet, positions: &[(String, Vec<u8>)]) -> String {
    let known = positions.iter().find(|(key, _)| key == SELF_KEY);
    let known = known.and_then(|(_, v)| String::from_utf8(v.clone()).ok());
    known.filter(|id| message::is_id(id)).unwrap_or_else(|| {
        let id = new_id();
        let batch = Batch {
            positions: vec![(SELF_KEY.to_owned(), Some(id.clone().into_bytes()))],
            ..Batch::default()
        };
        // A daemon that ends at once draws another one at its next start: nobody knows this one yet.
        let _ = outlet.try_send(Patience::Urgent, batch);
        id
    })
}

/// Takes note of where the store is. When that is not where it was, its relays are given other ids.
pub(crate) fn come_home(
    outlet: &Outlet,
    reader: Option<&Reader>,
    positions: &mut Vec<(String, Vec<u8>)>,
) {
    let Some(reader) = reader else {
        return;
    };
    let here = home::Home::of(reader.path());
    let known = positions.iter().find(|(key, _)| key == home::KEY);
    let known = known.map(|(_, value)| value.clone());
    if known.as_ref() == Some(&here.encode()) {
        return;
    }
    let before = known.as_deref().and_then(home::Home::decode);
    let difference = before.map_or(home::Difference::None, |before| here.difference(&before));
    // In one transaction: whoever is killed before finds the same difference again.
    let mut changes = vec![(home::KEY.to_owned(), Some(here.encode()))];
    if difference != home::Difference::None {
        let what = match difference {
            home::Difference::Machine => "another machine",
            _ => "another file",
        };
        tracing::warn!(
            "the store is not where it was ({what}): its relays go on under other ids, in case that \
             the one it was copied from does too"
        );
        changes.extend(position::rename_all(positions));
    }
    if difference == home::Difference::Machine {
        // Both may forward to each other.
        positions.retain(|(key, _)| key != SELF_KEY);
        changes.push((SELF_KEY.to_owned(), None));
    }
    let batch = Batch {
        positions: changes,
        ..Batch::default()
    };
    // As with an id of our own.
    let _ = outlet.try_send(Patience::Urgent, batch);
}

/// 16 random bytes in hex.
fn new_id() -> String {
    use ring::rand::SecureRandom;
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random numbers");
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Starts a relay for each table.
pub(crate) fn start(
    tables: &[crate::config::Relay],
    reader: Option<&Reader>,
    positions: &[(String, Vec<u8>)],
    (outlet, own): (&Outlet, &str),
    tasks: &mut Tasks,
) {
    let Some(reader) = reader else {
        return;
    };
    for table in tables {
        let name = format!("relay:{}", table.to);
        let source = outlet.status.source(&name);
        let opened = reader.another().map_err(|e| e.to_string());
        let reader = opened.and_then(|reader| match reader.last_id() {
            Ok(last) => Ok((reader, last)),
            Err(e) => Err(e.to_string()),
        });
        let reader = match reader {
            Ok(reader) => reader,
            Err(e) => {
                source.fail(&e);
                continue;
            }
        };
        let position = position::Position::find(&table.to, positions);
        let runtime = tokio::runtime::Handle::current();
        let outlet = (outlet.clone(), runtime);
        let sender = sender::Sender::new(table.clone(), reader, position, own, (outlet, source));
        tasks.spawn_thread(&name, move || sender.run());
    }
}

/// Tries a target: the files that TLS needs, its name, its port, its certificate.
///
/// # Errors
/// When it cannot be reached.
pub fn reach(table: &crate::config::Relay) -> std::io::Result<()> {
    link::Link::open(table)?.secure(&|_, _| true)
}

/// Whether an event has been at a vigie.
fn has_been(via: &str, id: &str) -> bool {
    via.split(' ').any(|v| v == id)
}
