//! What well-known programs say within their messages: the second stage, behind a syslog header.
//!
//! A reader adds fields and may make the level worse; message and time stay those of the header. It is
//! found by the program's name, so the lines of all other programs cost a look into a table. Readers tell
//! by the first bytes of a message whether it is one of theirs: most are not.

use std::sync::LazyLock;

use crate::formats::within;
use crate::{Context, Record};

mod cron;
mod dhcp;
pub(crate) mod dns;
pub(crate) mod fail2ban;
pub(crate) mod kernel;
mod mail;
mod pairs;
mod pam;
mod sshd;
mod sudo;
mod systemd;

/// Reads a message; `false` if there was nothing in it.
type Reader = fn(&mut Context, &[u8], &mut Record) -> bool;

/// Programs by name, and how to read them. A name stands for itself and for what follows it behind a
/// slash (`postfix/smtpd`); upper and lower case differ.
const APPS: &[(&[&str], Reader)] = &[
    (&["nginx"], within::nginx),
    (&["apache2", "httpd", "apache"], within::apache),
    (&["haproxy"], within::haproxy),
    (&["postgres", "postgresql"], within::postgresql),
    (
        &["redis", "redis-server", "valkey", "valkey-server"],
        within::redis,
    ),
    (
        &["Keepalived", "Keepalived_vrrp", "Keepalived_healthcheckers"],
        within::keepalived,
    ),
    (&["sshd", "sshd-session", "sshd-auth"], sshd::message),
    (&["sudo"], sudo::message),
    (&["su"], sudo::su),
    (&["CRON", "cron", "crond", "anacron"], cron::message),
    (
        &["login", "systemd-user", "polkitd", "gdm-password]"],
        pam::message,
    ),
    (&["kernel"], kernel::message),
    (&["systemd"], systemd::message),
    (&["systemd-logind"], systemd::logind),
    (
        &[
            "fail2ban",
            "fail2ban-server",
            "fail2ban.actions",
            "fail2ban.filter",
            "fail2ban.jail",
        ],
        fail2ban::message,
    ),
    (&["postfix"], mail::postfix),
    (&["dovecot"], mail::dovecot),
    (&["named"], dns::named),
    (&["dnsmasq"], dns::dnsmasq),
    (&["dnsmasq-dhcp", "dhcpd", "dhclient"], dhcp::message),
];

/// A program's name and how to read what it says.
type Program = (&'static [u8], Reader);

/// The programs by a number that few names share: every line of syslog asks here.
struct Table {
    /// For each number, the first place in `programs` and one past the last.
    places: [(u8, u8); PLACES],
    programs: Vec<Program>,
}

const PLACES: usize = 256;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let each = |&(names, reader): &(&'static [&'static str], Reader)| {
        names.iter().map(move |name| (name.as_bytes(), reader))
    };
    let mut programs: Vec<Program> = APPS.iter().flat_map(each).collect();
    programs.sort_unstable_by_key(|(name, _)| (number(name), *name));
    let places = std::array::from_fn(|place| {
        let before = programs.partition_point(|(name, _)| number(name) < place);
        let through = programs.partition_point(|(name, _)| number(name) <= place);
        // There are far fewer than 256.
        let small = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        (small(before), small(through))
    });
    Table { places, programs }
});

/// The number of a name, from its first three letters.
#[inline]
fn number(name: &[u8]) -> usize {
    let letter = |at| match name.get(at) {
        None | Some(b'/') => 0,
        Some(&b) => usize::from(b),
    };
    (letter(0) + letter(1) * 7 + letter(2) * 31) % PLACES
}

/// The reader for a program.
#[inline]
pub(crate) fn find(app: &[u8]) -> Option<Reader> {
    let table = &*TABLE;
    let &(start, end) = table.places.get(number(app))?;
    let candidates = table.programs.get(usize::from(start)..usize::from(end))?;
    let is =
        |name: &[u8]| matches!(app.get(name.len()), None | Some(b'/')) && app.starts_with(name);
    candidates
        .iter()
        .find(|(name, _)| is(name))
        .map(|(_, reader)| *reader)
}

/// PAM's lines under the name of any program.
pub(crate) fn pam(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    pam::message(cx, text, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_reader_and_has_few_neighbours() {
        for &(names, reader) in APPS {
            for name in names {
                let with_part = format!("{name}/part");
                for app in [name.as_bytes(), with_part.as_bytes()] {
                    let found = find(app).expect("listed");
                    assert!(std::ptr::fn_addr_eq(found, reader), "{name}");
                }
            }
        }
        for other in ["", "/", "/sshd", "sshd2", "Sshd", "app", "systemd-", "k"] {
            assert!(find(other.as_bytes()).is_none(), "{other}");
        }
        let most = TABLE.places.iter().map(|(start, end)| end - start).max();
        assert!(most <= Some(5), "{most:?}");
    }
}
