//! `vigie.toml`: found, read, validated. Errors name file, line and column, and the nearest key.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use vigie_collector::config::{
    self as inputs, Count, Docker, Files, Host, Journal, KnownFiles, Relay, Syslog,
};
use vigie_collector::units::Bytes;

use crate::{log_retention, retention};

/// Everything that can be set; every key has a default. `docs/vigie.toml` shows them all.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The one file and what it may occupy.
    pub(crate) store: Store,
    /// How long which figures are kept.
    pub(crate) retention: Vec<retention::Rule>,
    /// How long which lines are kept.
    pub(crate) log_retention: Vec<log_retention::Rule>,
    /// The pages and the API.
    pub(crate) http: Http,
    /// Alerting rules.
    pub(crate) rules: Rules,
    /// This machine's own counters.
    pub(crate) host: Host,
    /// Listeners for syslog.
    pub(crate) syslog: Vec<Syslog>,
    /// systemd's journal.
    pub(crate) journal: Journal,
    /// The logs of containers.
    pub(crate) docker: Docker,
    /// Log files that are recognised by their names.
    pub(crate) known_files: KnownFiles,
    /// Log files named by the operator.
    pub(crate) files: Vec<Files>,
    /// Counters of what log queries find.
    pub(crate) count: Vec<Count>,
    /// What is forwarded, and to whom.
    pub(crate) relay: Vec<Relay>,
}

impl Default for Config {
    fn default() -> Self {
        let inputs = inputs::Config::default();
        Self {
            store: Store::default(),
            retention: retention::default(),
            log_retention: Vec::new(),
            http: Http::default(),
            rules: Rules::default(),
            host: inputs.host,
            syslog: inputs.syslog,
            journal: inputs.journal,
            docker: inputs.docker,
            known_files: inputs.known_files,
            files: inputs.files,
            count: inputs.count,
            relay: inputs.relay,
        }
    }
}

impl Config {
    /// How the store is kept.
    pub(crate) fn store_options(&self) -> vigie_store::Options {
        vigie_store::Options {
            log_retention: log_retention::rules(&self.log_retention),
            ..self.store.options(retention::rules(&self.retention))
        }
    }

    /// The part that sets up inputs.
    pub(crate) fn inputs(&self) -> inputs::Config {
        inputs::Config {
            host: self.host.clone(),
            syslog: self.syslog.clone(),
            journal: self.journal.clone(),
            docker: self.docker.clone(),
            known_files: self.known_files.clone(),
            files: self.files.clone(),
            count: self.count.clone(),
            relay: self.relay.clone(),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Store {
    /// What the store may occupy on disk, for ever.
    pub(crate) budget: Bytes,
    /// The part of it that figures may occupy; logs have the rest.
    pub(crate) series_budget: Bytes,
    /// How many series may live at once.
    pub(crate) series_max: usize,
    /// How many of them one source may bring.
    pub(crate) series_max_per_source: usize,
    /// `full` survives a power cut, `normal` only the end of the process.
    pub(crate) synchronous: Synchronous,
}

/// When the store waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Synchronous {
    Full,
    Normal,
}

/// The smallest budget that leaves room for a block of each kind.
const BUDGET_MIN: u64 = 64 << 20;

impl Default for Store {
    fn default() -> Self {
        let options = vigie_store::Options::default();
        Self {
            budget: Bytes(options.budget_bytes),
            series_budget: Bytes(options.series_bytes),
            series_max: options.series_max,
            series_max_per_source: options.source_series_max,
            synchronous: Synchronous::Full,
        }
    }
}

impl Store {
    /// The same in the store's own terms.
    fn options(&self, retention: vigie_store::series::Retention) -> vigie_store::Options {
        vigie_store::Options {
            retention,
            log_retention: vigie_store::events::LogRetention::default(),
            budget_bytes: self.budget.0,
            series_bytes: self.series_budget.0,
            series_max: self.series_max,
            source_series_max: self.series_max_per_source,
            synchronous: match self.synchronous {
                Synchronous::Full => vigie_store::Synchronous::Full,
                Synchronous::Normal => vigie_store::Synchronous::Normal,
            },
        }
    }
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    /// Where pages and API are served.
    pub(crate) listen: String,
    /// Host names under which browsers may ask, besides localhost and addresses.
    pub(crate) names: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8484".to_owned(),
            names: Vec::new(),
        }
    }
}

/// `[rules]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rules {
    /// Whether the built-in rules are used.
    pub(crate) defaults: bool,
    /// Rule files in Prometheus' format.
    pub(crate) files: Vec<PathBuf>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            defaults: true,
            files: Vec::new(),
        }
    }
}

/// Where a configuration is looked for when `--config` names none.
const PLACES: [&str; 2] = ["vigie.toml", "/etc/vigie/vigie.toml"];

/// The file that will be read, if there is one.
pub(crate) fn locate(flag: Option<&Path>) -> Option<PathBuf> {
    match flag {
        Some(path) => Some(path.to_owned()),
        None => PLACES.iter().map(PathBuf::from).find(|p| p.exists()),
    }
}

/// Reads and validates a configuration; without a file everything has its default.
pub(crate) fn load(path: Option<&Path>) -> Result<Config, String> {
    let Some(path) = path else {
        return Ok(Config::default());
    };
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse(&text, &path.display().to_string())
}

/// Reads a configuration text; `name` stands in front of errors.
pub(crate) fn parse(text: &str, name: &str) -> Result<Config, String> {
    let config: Config = toml::from_str(text).map_err(|e| describe(text, name, &e))?;
    validate(&config).map_err(|e| format!("{name}: {e}"))?;
    Ok(config)
}

fn validate(config: &Config) -> Result<(), String> {
    let store = &config.store;
    if store.budget.0 < BUDGET_MIN {
        return Err(format!(
            "store.budget is below {} MiB, too little to work with",
            BUDGET_MIN >> 20
        ));
    }
    if store.series_budget.0 > store.budget.0 / 4 * 3 {
        return Err(
            "store.series_budget leaves less than a quarter of store.budget for logs".into(),
        );
    }
    retention::validate(&config.retention)?;
    log_retention::validate(&config.log_retention)?;
    config.inputs().validate().map_err(|e| e.to_string())?;
    config
        .http
        .listen
        .parse::<std::net::SocketAddr>()
        .map(drop)
        .map_err(|_| {
            format!(
                "http.listen = \"{}\" is no ADDRESS:PORT, as 127.0.0.1:8484",
                config.http.listen
            )
        })
}

/// `file:line:column: what is wrong`, with the nearest known key for a misspelt one.
fn describe(text: &str, name: &str, e: &toml::de::Error) -> String {
    let at = e.span().map_or(0, |s| s.start).min(text.len());
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    let message = e.message().trim();
    let hint = nearest_key(message)
        .map(|key| format!("; did you mean `{key}`?"))
        .unwrap_or_default();
    format!("{name}:{line}:{column}: {message}{hint}")
}

/// Of ``unknown field `x`, expected one of `a`, `b` `` the known one that resembles x most.
fn nearest_key(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown ").then(|| quoted.next())??;
    quoted
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .filter(|&(distance, known)| distance <= known.len().max(3) / 3)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, "vigie.toml").unwrap_err()
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_place_and_neighbour() {
        let e = error("[store]\nbudget = \"1 GiB\"\n\n[http]\nlisen = \"127.0.0.1:1\"\n");
        assert!(
            e.starts_with("vigie.toml:5:1: unknown field `lisen`"),
            "{e}"
        );
        assert!(e.ends_with("did you mean `listen`?"), "{e}");
    }

    #[test]
    fn wrong_values_say_what_would_be_right() {
        assert!(error("[http]\nlisten = \"8484\"").contains("no ADDRESS:PORT"));
        assert!(error("[store]\nbudget = \"1 MiB\"").contains("below 64 MiB"));
        assert!(error("[store]\nbudget = \"many\"").starts_with("vigie.toml:2:10: "));
        assert!(error("[store\n").starts_with("vigie.toml:1:"));
        let rule = |keys| error(&format!("[[log_retention]]\nmatch = \"*\"\n{keys}"));
        assert!(rule("").contains("neither keep nor budget"));
        assert!(rule("keep = \"5m\"").contains("below an hour"));
        assert!(rule("budget = \"1 KiB\"").contains("below 1 MiB"));
    }

    #[test]
    fn the_reference_holds_every_key_at_its_default() {
        let reference = include_str!("../../docs/vigie.toml");
        assert_eq!(
            parse(reference, "docs/vigie.toml").unwrap(),
            Config::default()
        );
    }
}
