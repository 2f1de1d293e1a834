//! Where a store is at home: a copy of its folder or of its machine must not speak under the ids of the
//! original, or the other side takes its events for those that it has.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Key of the home among the positions; value `1 MACHINE INODE CARD,CARD…`.
pub(super) const KEY: &str = "relay-home";
/// Where a machine's id stands.
const MACHINE: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// Network cards that are taken note of.
const CARDS_MAX: usize = 16;

/// See the module. What is not known is empty, and tells nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Home {
    /// systemd's id of the machine. Clones of virtual machines often keep it.
    machine: String,
    /// The store's. Devices have other numbers after other boots and are left out.
    inode: u64,
    /// Addresses of network cards: what cloning a virtual machine always changes.
    cards: BTreeSet<String>,
}

/// How two homes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    None,
    /// Another file on the same machine: moved, put back, or copied.
    Folder,
    Machine,
}

impl Home {
    /// Of a store on this machine.
    pub(super) fn of(store: &Path) -> Self {
        let machine = MACHINE.iter().find_map(|p| std::fs::read_to_string(p).ok());
        let machine = machine.unwrap_or_default();
        Self {
            machine: machine.split_whitespace().next().unwrap_or("").to_owned(),
            inode: std::fs::metadata(store).map_or(0, |m| m.ino()),
            cards: cards(Path::new("/sys/class/net")),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let cards: Vec<_> = self.cards.iter().map(String::as_str).collect();
        format!("1 {} {:x} {}", self.machine, self.inode, cards.join(",")).into_bytes()
    }

    /// `None` for what another vigie may have written.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        if words.next()? != "1" {
            return None;
        }
        let (machine, inode, cards) = (words.next()?, words.next()?, words.next()?);
        let cards = cards.split(',').filter(|c| !c.is_empty());
        Some(Self {
            machine: machine.to_owned(),
            inode: u64::from_str_radix(inode, 16).ok()?,
            cards: cards.map(str::to_owned).collect(),
        })
    }

    pub(super) fn difference(&self, known: &Self) -> Difference {
        let machines = [&self.machine, &known.machine];
        let cards = [&self.cards, &known.cards];
        // One that was replaced or added leaves others.
        let other_cards =
            cards.iter().all(|c| !c.is_empty()) && self.cards.is_disjoint(&known.cards);
        if other_cards || (machines.iter().all(|m| !m.is_empty()) && self.machine != known.machine)
        {
            Difference::Machine
        } else if self.inode != known.inode && self.inode != 0 && known.inode != 0 {
            Difference::Folder
        } else {
            Difference::None
        }
    }
}

/// The addresses of what has a device behind it: bridges and containers' ends come and go.
fn cards(net: &Path) -> BTreeSet<String> {
    let listed = std::fs::read_dir(net).into_iter().flatten().flatten();
    let real = listed.filter(|e| e.path().join("device").exists());
    let address = |e: std::fs::DirEntry| std::fs::read_to_string(e.path().join("address")).ok();
    let address = real.filter_map(address).map(|a| a.trim().to_owned());
    let known = |a: &String| a.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') && a.len() >= 11;
    address.filter(known).take(CARDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(machine: &str, inode: u64, cards: &[&str]) -> Home {
        Home {
            machine: machine.to_owned(),
            inode,
            cards: cards.iter().map(|&c| c.to_owned()).collect(),
        }
    }

    #[test]
    fn clones_are_told_from_what_changes_by_itself() {
        let (one, two) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
        let known = home("aa", 7, &[one]);
        for (now, want) in [
            (home("aa", 7, &[one]), Difference::None),
            (home("aa", 7, &[one, two]), Difference::None),
            (home("aa", 7, &[]), Difference::None),
            (home("", 7, &[one]), Difference::None),
            (home("aa", 0, &[one]), Difference::None),
            (home("aa", 8, &[one]), Difference::Folder),
            (home("bb", 7, &[one]), Difference::Machine),
            (home("aa", 7, &[two]), Difference::Machine),
            (home("bb", 8, &[two]), Difference::Machine),
        ] {
            assert_eq!(now.difference(&known), want, "{now:?}");
            assert_eq!(Home::decode(&now.encode()), Some(now));
        }
        for bad in ["", "1", "1 a", "1 a b", "2 a 7 c", "1 a x c"] {
            assert_eq!(Home::decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn only_cards_with_a_device_count() {
        let dir = tempfile::tempdir().unwrap();
        for (name, address, device) in [
            ("eth0", "52:54:00:00:00:01\n", true),
            ("docker0", "02:42:00:00:00:01\n", false),
            ("odd", "x y,z\n", true),
        ] {
            let own = dir.path().join(name);
            std::fs::create_dir_all(if device {
                own.join("device")
            } else {
                own.clone()
            })
            .unwrap();
            std::fs::write(own.join("address"), address).unwrap();
        }
        let found: Vec<_> = cards(dir.path()).into_iter().collect();
        assert_eq!(found, ["52:54:00:00:00:01"]);
    }
}
