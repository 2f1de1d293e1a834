//! What well-known programs say within their messages: the second stage, behind a syslog header.
//!
//! A reader adds fields and may make the level worse; message and time stay those of the header. It is
//! found by the program's name, so the lines of all other programs cost a look into a table of 256.

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

/// The names that begin with a byte: the first place in [`NAMES`] and one past the last.
static FIRST: LazyLock<[(u8, u8); 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let begins =
            |(name, _): &&(&[u8], Reader)| name.first().is_some_and(|b| usize::from(*b) == byte);
        let start = NAMES.iter().take_while(|entry| !begins(entry)).count();
        let len = NAMES.iter().skip(start).take_while(begins).count();
        // There are far fewer than 256.
        let small = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        (small(start), small(start + len))
    })
});

/// The names in their order.
static NAMES: LazyLock<Vec<(&[u8], Reader)>> = LazyLock::new(|| {
    let each = |&(names, reader): &(&'static [&'static str], Reader)| {
        names.iter().map(move |name| (name.as_bytes(), reader))
    };
    let mut names: Vec<_> = APPS.iter().flat_map(each).collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    names
});

/// The reader for a program.
#[inline]
pub(crate) fn find(app: &[u8]) -> Option<Reader> {
    let (start, end) = *FIRST.get(usize::from(*app.first()?))?;
    if start == end {
        return None;
    }
    let stem = app.split(|&b| b == b'/').next()?;
    let candidates = NAMES.get(usize::from(start)..usize::from(end))?;
    candidates
        .iter()
        .find(|(name, _)| *name == stem)
        .map(|(_, reader)| *reader)
}
