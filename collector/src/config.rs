//! What to watch and how: the tables of `vigie.toml` that set up inputs. The defaults watch this machine.

use std::path::PathBuf;

use serde::Deserialize;

use crate::units::{Bytes, Duration};

mod count;
mod docker;
mod journal;
mod network;
mod relay;
mod syslog;

pub use count::{Conditions, Count};
pub use docker::{Choice, Docker, Traits};
pub use journal::{Journal, Match};
pub use network::{Network, Zone};
pub use relay::{Peer, Relay, RelayTls};
pub use syslog::{Listen, PermittedPeer, Protocol, Syslog, Tls};

/// All inputs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The figures of this machine.
    pub host: Host,
    /// Syslog listeners.
    pub syslog: Vec<Syslog>,
    /// systemd's journal.
    pub journal: Journal,
    /// The logs of containers.
    pub docker: Docker,
    /// Log files found by themselves.
    pub known_files: KnownFiles,
    /// Log files named by the operator.
    pub files: Vec<Files>,
    /// Counters of what log queries find.
    pub count: Vec<Count>,
    /// What is forwarded, and to whom.
    pub relay: Vec<Relay>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: Host::default(),
            syslog: vec![Syslog::default()],
            journal: Journal::default(),
            docker: Docker::default(),
            known_files: KnownFiles::default(),
            files: Vec::new(),
            count: Vec::new(),
            relay: Vec::new(),
        }
    }
}

/// `[host]`: the figures of this machine, from /proc and /sys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Whether to read them at all.
    pub enabled: bool,
    /// How often.
    pub interval: Duration,
    /// The label `instance` of the figures and the host of lines that name none; the machine's own
    /// name if not given.
    pub name: Option<String>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            name: None,
        }
    }
}

/// `[known_files]`: the log files that vigie recognises by their names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownFiles {
    /// Whether to look for them.
    pub enabled: bool,
    /// Where.
    pub dir: PathBuf,
    /// How much of a file that was already there is read when vigie first meets it: this much from
    /// its end.
    pub backlog: Bytes,
    /// Whether files that a syslog daemon fills from the journal (`syslog`, `auth.log` …) are followed
    /// though this machine's journal is.
    pub beside_journal: bool,
}

impl Default for KnownFiles {
    fn default() -> Self {
        Self {
            enabled: true,
            dir: PathBuf::from("/var/log"),
            backlog: Bytes(1 << 20),
            beside_journal: false,
        }
    }
}

/// `[[files]]`: files named by the operator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Paths and globs; `**` spans directories.
    pub paths: Vec<String>,
    /// Paths and globs that are left out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The format of the lines: its name, or `apache: `, `nginx: `, `goaccess: ` or `w3c: ` and the
    /// server's own definition of it. Recognised line by line if not given.
    #[serde(default)]
    pub format: Option<String>,
    /// How files without a byte order mark write characters: `utf-8`, `latin-1`, `utf-16le`, `utf-16be`.
    /// If not given, UTF-16 is recognised by its looks and everything else is UTF-8.
    #[serde(default)]
    pub encoding: Option<TextEncoding>,
    /// Which lines are one event: `auto`, `off`, `indented`, `begins PATTERN`, `continues PATTERN`.
    #[serde(default = "multiline")]
    pub multiline: String,
    /// The zone of time stamps that name none; the system's if not given.
    #[serde(default)]
    pub zone: Option<Zone>,
    /// The host of lines that name none.
    #[serde(default)]
    pub host: Option<String>,
    /// The virtual host of access lines that name none.
    #[serde(default)]
    pub vhost: Option<String>,
    /// How much of a file that was already there is read when vigie first meets it: this much from
    /// its end.
    #[serde(default = "backlog")]
    pub backlog: Bytes,
}

/// The name of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextEncoding(pub vigie_parsers::Encoding);

impl<'de> Deserialize<'de> for TextEncoding {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        name.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

fn multiline() -> String {
    "auto".to_owned()
}

fn backlog() -> Bytes {
    Bytes(64 << 20)
}

impl Config {
    /// What is wrong with it beyond its syntax: the key and the reason.
    ///
    /// # Errors
    /// Names the first finding.
    pub fn validate(&self) -> Result<(), Invalid> {
        let interval = self.host.interval.0.as_secs();
        if self.host.interval.0.subsec_nanos() != 0 || !(1..=60).contains(&interval) {
            return Err(Invalid::new(
                "host.interval",
                "whole seconds from \"1s\" to \"60s\"",
            ));
        }
        for syslog in &self.syslog {
            syslog.validate()?;
        }
        if let Some(dir) = self.journal.dirs.iter().find(|d| !d.is_absolute()) {
            let why = format!("`{}` is not an absolute path", dir.display());
            return Err(Invalid::new("journal.dirs", why));
        }
        self.docker.validate()?;
        count::validate(&self.count)?;
        relay::validate(&self.relay)?;
        for files in &self.files {
            if let Some(name) = &files.format
                && let Err(e) = vigie_parsers::formats::named(name)
            {
                return Err(Invalid::new("files.format", e.to_string()));
            }
            if let Err(why) = files.multiline.parse::<vigie_parsers::joining::Joining>() {
                return Err(Invalid::new("files.multiline", why));
            }
            for pattern in files.paths.iter().chain(&files.exclude) {
                if !pattern.starts_with('/') {
                    let why = format!("`{pattern}` is not an absolute path");
                    return Err(Invalid::new("files.paths", why));
                }
                if let Err(e) = globset::Glob::new(pattern) {
                    return Err(Invalid::new(
                        "files.paths",
                        format!("`{pattern}`: {}", e.kind()),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A key whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Invalid {
    /// The key, with its table.
    pub key: &'static str,
    /// Why.
    pub reason: String,
}

impl Invalid {
    fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self {
            key,
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn an_empty_file_watches_this_machine() {
        assert_eq!(read(""), Ok(Config::default()));
    }

    #[test]
    fn keys_are_read() {
        let config = read(
            r#"
            [host]
            interval = "5s"
            name = "db1"
            [[syslog]]
            listen = "[::1]:6514"
            protocols = ["tcp"]
            allow = ["10.0.0.0/8", "2001:db8::/32"]
            zone = "Europe/Paris"
            [[files]]
            paths = ["/srv/**/access.log"]
            backlog = "1 GiB"
            "#,
        )
        .unwrap();
        assert_eq!(config.host.interval, Duration::from_secs(5));
        let syslog = &config.syslog[0];
        assert_eq!(syslog.protocols, [Protocol::Tcp]);
        let allowed = |a: &str| syslog.allow.iter().any(|n| n.contains(a.parse().unwrap()));
        assert!(allowed("10.200.0.1") && allowed("::ffff:10.0.0.1") && allowed("2001:db8:1::2"));
        assert!(!allowed("11.0.0.1") && !allowed("2001:db9::1"));
        assert_eq!(config.files[0].backlog, Bytes(1 << 30));
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, part) in [
            (
                "[host]\ninterval = \"1.5s\"",
                "host.interval: whole seconds",
            ),
            ("[host]\nintervall = \"1s\"", "unknown field `intervall`"),
            ("[host]\ninterval = 5", "a length of time in quotes"),
            ("[[syslog]]\nprotocols = []", "syslog.protocols"),
            (
                "[[syslog]]\nlisten = \"514\"",
                "`514` is neither an ADDRESS:PORT",
            ),
            (
                "[[syslog]]\nlisten = \"/run/log\"",
                "syslog.protocols: a path is one socket",
            ),
            (
                "[[syslog]]\nprotocols = [\"datagram\"]",
                "syslog.protocols: \"datagram\" and \"stream\" are for sockets",
            ),
            (
                "[[syslog]]\nprotocols = [\"tls\"]",
                "syslog.tls: the protocol \"tls\" wants a table",
            ),
            (
                "[[syslog]]\nprotocols = [\"tcp\", \"tls\"]",
                "syslog.protocols: \"tcp\" and \"tls\" cannot share a port",
            ),
            (
                "[[syslog]]\n[syslog.tls]\ncertificate = \"c\"\nkey = \"k\"",
                "syslog.tls: without \"tls\"",
            ),
            (
                "[[syslog]]\nprotocols = [\"tls\"]\n[syslog.tls]\ncertificate = \"c\"\nkey = \"k\"\npermitted_peers = [\"a.example\"]",
                "syslog.tls.permitted_peers: names count only with a client_ca",
            ),
            (
                "[[syslog]]\nzones = { \"10.0.0.0/40\" = \"UTC\" }",
                "is not a network",
            ),
            ("[journal]\ndirs = [\"journal\"]", "journal.dirs: `journal`"),
            (
                "[journal]\nkeep = [\"ssh.service\"]",
                "write \"_SYSTEMD_UNIT=",
            ),
            (
                "[docker]\nsocket = \"docker.sock\"",
                "docker.socket: `docker.sock`",
            ),
            ("[docker]\nkeep = [\"web\"]", "write \"service=web*\""),
            (
                "[docker]\nmultiline = \"on\"",
                "docker.multiline: `on` is none of",
            ),
            ("[[syslog]]\nallow = [\"10.0.0.0/33\"]", "is not a network"),
            ("[[syslog]]\nzone = \"Paris\"", "unknown time zone `Paris`"),
            (
                "[[files]]\npaths = [\"logs/*.log\"]",
                "is not an absolute path",
            ),
            ("[[files]]\npaths = [\"/a/[\"]", "files.paths: `/a/[`"),
            (
                "[[files]]\npaths = []\nformat = \"nosuch\"",
                "unknown format `nosuch`; known: ",
            ),
            (
                "[[files]]\npaths = []\nformat = 'nginx: $remote_addr$status'",
                "files.format: column 8: `$remote_addr` ends nowhere",
            ),
            (
                "[[files]]\npaths = []\nencoding = 'latin1'",
                "unknown encoding `latin1`; known: utf-8, latin-1, utf-16le, utf-16be",
            ),
            (
                "[[files]]\npaths = []\nmultiline = 'regex x'",
                "files.multiline: `regex x` is none of off, auto, ",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
