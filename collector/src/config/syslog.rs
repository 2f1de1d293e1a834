//! `[[syslog]]`: where syslog messages are received, from whom, and how their senders are known.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::{Invalid, Network, Zone};
use crate::units::Duration;

/// A way for syslog to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// One datagram, one message.
    Udp,
    /// Lines or octet-counted frames.
    Tcp,
    /// The same within TLS (RFC 5425).
    Tls,
    /// A Unix socket of datagrams, as `/dev/log` is one.
    Datagram,
    /// A Unix socket of connections, framed as TCP.
    Stream,
}

impl Protocol {
    /// As in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Datagram => "datagram",
            Self::Stream => "stream",
        }
    }

    /// Whether it belongs to a path rather than to an address.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, Self::Datagram | Self::Stream)
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Address(SocketAddr),
    /// A Unix socket.
    Path(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text.starts_with('/') {
            return Ok(Self::Path(text.into()));
        }
        text.parse().map(Self::Address).map_err(|_| {
            de::Error::custom(format!(
                "`{text}` is neither an ADDRESS:PORT, as \"0.0.0.0:514\" or \"[::]:6514\", nor the absolute path of a socket"
            ))
        })
    }
}

/// `[[syslog]]`: one listener.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Syslog {
    /// The address or the path to listen on.
    pub listen: Listen,
    /// By which protocols.
    pub protocols: Vec<Protocol>,
    /// Who may send, as addresses or networks; everyone when empty.
    pub allow: Vec<Network>,
    /// The zone of time stamps that name none; the system's if not given.
    pub zone: Option<Zone>,
    /// Senders whose stamps are of another zone; the narrowest network counts.
    #[serde(deserialize_with = "zones")]
    pub zones: BTreeMap<Network, Zone>,
    /// Messages a second that one sender may send in the long run; 0 for no limit.
    pub rate_limit: u32,
    /// Connections that may be open at once.
    pub connections_max: usize,
    /// A silent connection is closed after so long.
    pub idle: Duration,
    /// Whether other vigies may forward here: their lines are kept as they keep them, each once.
    pub relay: bool,
    /// Who vigie is, and who its peers must be, for `tls`.
    pub tls: Option<Tls>,
}

impl Default for Syslog {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5514)).into(),
            protocols: vec![Protocol::Udp, Protocol::Tcp],
            allow: Vec::new(),
            zone: None,
            zones: BTreeMap::new(),
            rate_limit: 0,
            connections_max: 1000,
            idle: Duration::from_secs(24 * 3600),
            relay: false,
            tls: None,
        }
    }
}

/// `[syslog.tls]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate and what leads from it to its root, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities that may have signed the certificates of clients, PEM. With it, clients must
    /// show one.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Which clients may send; all whose certificate is good when empty.
    #[serde(default)]
    pub permitted_peers: Vec<PermittedPeer>,
}

/// How a client's certificate is recognised (RFC 5425, section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermittedPeer {
    /// A DNS name of the certificate, in lower case; `*.` in front stands for one label.
    Name(String),
    /// SHA-256 of the certificate. Needs no authority.
    Fingerprint([u8; 32]),
}

impl PermittedPeer {
    /// Whether a DNS name of a certificate is this one. A wildcard in the certificate itself is a
    /// name like any other: it must stand here literally.
    pub(crate) fn is_name(&self, name: &str) -> bool {
        let Self::Name(pattern) = self else {
            return false;
        };
        let name = name.to_ascii_lowercase();
        match pattern.strip_prefix('*') {
            Some(domain) => name
                .strip_suffix(domain)
                .is_some_and(|label| !label.is_empty() && !label.contains('.')),
            None => *pattern == name,
        }
    }
}

impl std::str::FromStr for PermittedPeer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(digits) = text.strip_prefix("sha256:") {
            return fingerprint(digits).map(Self::Fingerprint).ok_or_else(|| {
                format!("`{text}` is not the SHA-256 of a certificate: 32 bytes in hex, with or without colons, as `openssl x509 -fingerprint -sha256` prints them")
            });
        }
        let host = text.strip_prefix("*.").unwrap_or(text);
        let label = |l: &str| {
            !l.is_empty()
                && l.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if host.split('.').all(label) {
            Ok(Self::Name(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "`{text}` is not a peer; write \"web1.example.org\", \"*.example.org\" or \"sha256:…\""
            ))
        }
    }
}

/// 32 bytes in hex.
fn fingerprint(digits: &str) -> Option<[u8; 32]> {
    let mut nibbles = digits
        .chars()
        .filter(|&c| c != ':')
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()));
    let mut out = [0; 32];
    for byte in &mut out {
        *byte = nibbles.next()?? << 4 | nibbles.next()??;
    }
    nibbles.next().is_none().then_some(out)
}

impl<'de> Deserialize<'de> for PermittedPeer {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// A table of networks and their zones.
fn zones<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Network, Zone>, D::Error> {
    BTreeMap::<String, Zone>::deserialize(d)?
        .into_iter()
        .map(|(network, zone)| Ok((network.parse().map_err(de::Error::custom)?, zone)))
        .collect()
}

impl Syslog {
    /// What is wrong with it beyond its syntax.
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let wrong = |key, why: &str| Err(Invalid::new(key, why));
        let local = matches!(self.listen, Listen::Path(_));
        match &self.protocols[..] {
            [one] if local && one.is_local() => {}
            _ if local => {
                return wrong(
                    "syslog.protocols",
                    "a path is one socket: name \"datagram\" (as /dev/log) or \"stream\"",
                );
            }
            [] => {
                return wrong(
                    "syslog.protocols",
                    "name \"udp\", \"tcp\", \"tls\" or several",
                );
            }
            several if several.iter().any(|p| p.is_local()) => {
                return wrong(
                    "syslog.protocols",
                    "\"datagram\" and \"stream\" are for sockets: listen = \"/run/vigie/log\"",
                );
            }
            several if several.contains(&Protocol::Tcp) && several.contains(&Protocol::Tls) => {
                return wrong(
                    "syslog.protocols",
                    "\"tcp\" and \"tls\" cannot share a port: write two tables, TLS by custom on port 6514",
                );
            }
            _ => {}
        }
        match (&self.tls, self.protocols.contains(&Protocol::Tls)) {
            (None, true) => wrong(
                "syslog.tls",
                "the protocol \"tls\" wants a table [syslog.tls] with certificate and key",
            ),
            (Some(_), false) => wrong(
                "syslog.tls",
                "without \"tls\" among the protocols it has no use",
            ),
            (Some(tls), true)
                if tls.client_ca.is_none()
                    && tls
                        .permitted_peers
                        .iter()
                        .any(|p| matches!(p, PermittedPeer::Name(_))) =>
            {
                wrong(
                    "syslog.tls.permitted_peers",
                    "names count only with a client_ca that vouches for them; fingerprints need none",
                )
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_name_or_a_fingerprint() {
        let is = |peer: &str, name: &str| peer.parse::<PermittedPeer>().unwrap().is_name(name);
        assert!(is("web1.example.org", "WEB1.example.org"));
        assert!(!is("web1.example.org", "web1.example.org.evil.example"));
        assert!(is("*.example.org", "a.example.org"));
        for other in [
            "example.org",
            ".example.org",
            "a.b.example.org",
            "aexample.org",
        ] {
            assert!(!is("*.example.org", other), "{other}");
        }
        let hex = "AB:".repeat(31) + "cd";
        let mut bytes = [0xab; 32];
        bytes[31] = 0xcd;
        assert_eq!(
            format!("sha256:{hex}").parse(),
            Ok(PermittedPeer::Fingerprint(bytes))
        );
        for wrong in ["", "a..b", "*", "sha256:", "sha256:zz", "*.*.org", "web 1"] {
            assert!(wrong.parse::<PermittedPeer>().is_err(), "{wrong}");
        }
        assert!(
            format!("sha256:{}", "00".repeat(33))
                .parse::<PermittedPeer>()
                .is_err()
        );
    }
}
