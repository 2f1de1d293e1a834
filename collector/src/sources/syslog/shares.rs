//! How many connections each sender has, so that none takes the places of all others.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

/// A sender is an IPv4 address or an IPv6 network of this width: whoever has one address of it has all.
const PREFIX6: u32 = 64;

/// The connections of a listener, by sender. Only those that are open take memory, and of those there
/// is a limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    by_sender: HashMap<IpAddr, usize>,
    total: usize,
}

/// A place that a sender has, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    sender: IpAddr,
}

/// A sender has as many connections as it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// The address or network, as shown to people.
    pub(super) sender: String,
    pub(super) open: usize,
}

impl Shares {
    /// A place for one more connection, of which there may be `max`. A sender may have half of what the
    /// others leave, so that there is always room for another one.
    pub(super) fn take(&self, peer: IpAddr, max: usize) -> Result<Share, Full> {
        let sender = sender(peer);
        let mut all = self.all();
        let own = all.by_sender.get(&sender).copied().unwrap_or(0);
        let others = all.total.saturating_sub(own);
        if own >= max.saturating_sub(others).div_ceil(2) {
            return Err(Full {
                sender: show(sender),
                open: own,
            });
        }
        all.by_sender.insert(sender, own + 1);
        all.total += 1;
        drop(all);
        Ok(Share {
            shares: self.clone(),
            sender,
        })
    }

    fn all(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.shares.all();
        all.total = all.total.saturating_sub(1);
        if let Some(own) = all.by_sender.get_mut(&self.sender) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                all.by_sender.remove(&self.sender);
            }
        }
    }
}

fn sender(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let network = v6.to_bits() & (u128::MAX << (128 - PREFIX6));
            Ipv6Addr::from_bits(network).into()
        }
        other => other,
    }
}

fn show(sender: IpAddr) -> String {
    match sender {
        IpAddr::V6(v6) if !v6.is_loopback() => format!("{v6}/{PREFIX6}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_sender_has_half_of_what_is_left() {
        let shares = Shares::default();
        let mut held = Vec::new();
        let mut fill = |peer: &str| {
            let before = held.len();
            let refused = loop {
                match shares.take(at(peer), 20) {
                    Ok(share) => held.push(share),
                    Err(full) => break full,
                }
            };
            assert_eq!(refused.open, held.len() - before);
            (held.len() - before, refused.sender)
        };
        for (peer, places, name) in [
            ("127.0.0.9", 10, "127.0.0.9"),
            ("::ffff:127.0.0.2", 5, "127.0.0.2"),
            ("2001:db8::1", 3, "2001:db8::/64"),
        ] {
            assert_eq!(fill(peer), (places, name.to_owned()));
        }
        assert_eq!(fill("192.0.2.1").0, 1, "there is always room for one");
        let again = shares.take(at("2001:db8::ffff:2"), 20).unwrap_err();
        assert_eq!(again.open, 3, "the same network");
        held.clear();
        assert_eq!(shares.all().total, 0);
        assert!(shares.take(at("192.0.2.1"), 1).is_ok());
        assert!(shares.take(at("192.0.2.1"), 0).is_err());
        assert!(
            shares.all().by_sender.is_empty(),
            "nobody without a connection is kept"
        );
    }
}
