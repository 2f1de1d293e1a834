//! `[[relay]]`: what is forwarded, and to whom.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Conditions, Invalid};
use crate::units::Duration;

/// One target.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// HOST:PORT.
    pub to: String,
    /// What listens there.
    #[serde(default)]
    pub peer: Peer,
    /// Which events; all when empty.
    #[serde(default)]
    pub query: Conditions,
    /// Whether what the store already has is forwarded too, when the target is new.
    #[serde(default)]
    pub history: bool,
    /// To a syslog peer: what its side has acknowledged counts as arrived once the connection has lived on
    /// for so long. A proxy acknowledges what it cannot hand on, and ends the connection later.
    #[serde(default = "settle")]
    pub settle: Duration,
    /// TLS, and whom to trust.
    #[serde(default)]
    pub tls: Option<RelayTls>,
}

/// Above the 20 s that a proxy with the usual `timeout connect 5s` and three retries needs to give up, below
/// the 30 s of silence after which many end a connection that is as it should be.
fn settle() -> Duration {
    Duration::from_secs(25)
}

/// What listens at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// Anything that takes RFC 5424 in octet-counted frames.
    #[default]
    Syslog,
    /// A vigie whose listener has `relay = true`: it says what it has stored.
    Vigie,
}

/// `[relay.tls]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayTls {
    /// The authorities that may have signed the target's certificate, PEM.
    pub ca: PathBuf,
    /// Our own certificate, if the target asks for one, PEM.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

impl Relay {
    /// The name of the target without its port.
    pub(crate) fn host(&self) -> &str {
        let host = self.to.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// What is wrong with them all.
pub(super) fn validate(relays: &[Relay]) -> Result<(), Invalid> {
    for (n, relay) in relays.iter().enumerate() {
        let port = relay
            .to
            .rsplit_once(':')
            .and_then(|(_, p)| p.parse::<u16>().ok());
        if relay.host().is_empty() || port.is_none_or(|p| p == 0) {
            let why = format!("`{}` is no HOST:PORT, as logs.example.org:6514", relay.to);
            return Err(Invalid::new("relay.to", why));
        }
        if relays.iter().take(n).any(|r| r.to == relay.to) {
            return Err(Invalid::new(
                "relay.to",
                format!("`{}` stands twice", relay.to),
            ));
        }
        if let Some(tls) = &relay.tls
            && tls.certificate.is_some() != tls.key.is_some()
        {
            return Err(Invalid::new("relay.tls", "certificate and key go together"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_mistakes_explained() {
        let read = |text: &str| {
            let relay: Relay = toml::from_str(text).map_err(|e| e.to_string())?;
            validate(std::slice::from_ref(&relay)).map_err(|e| e.to_string())?;
            Ok::<_, String>(relay)
        };
        let good =
            read("to = '[::1]:6514'\npeer = 'vigie'\nquery = 'level>=warn'\n[tls]\nca = '/ca.pem'")
                .unwrap();
        assert_eq!((good.host(), good.peer), ("::1", Peer::Vigie));
        assert_eq!(good.settle, Duration::from_secs(25));
        for (text, part) in [
            ("to = 'logs'", "relay.to: `logs` is no HOST:PORT"),
            ("to = ':514'", "is no HOST:PORT"),
            (
                "to = 'h:1'\nquery = 'a | count'",
                "query:3: conditions only",
            ),
            (
                "to = 'h:1'\n[tls]\nca = 'a'\nkey = 'k'",
                "certificate and key",
            ),
            ("to = 'h:1'\npeer = 'other'", "unknown variant `other`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
