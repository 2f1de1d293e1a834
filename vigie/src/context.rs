//! What every command has: where the store is, which zone times are shown in, how to print.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ArgMatches;
use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;
use vigie_store::Reader;

use crate::config::{self, Config};
use crate::output::Color;
use crate::times;

/// The common flags, resolved.
pub(crate) struct Context {
    /// The configuration that holds, defaults included.
    pub(crate) config: Config,
    /// Where it was read, if anywhere.
    pub(crate) config_path: Option<PathBuf>,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The zone in which times are read and shown.
    pub(crate) tz: TimeZone,
    /// Colours or not.
    pub(crate) color: Color,
    /// Only errors.
    pub(crate) quiet: bool,
    /// How much more to say.
    pub(crate) verbose: u8,
    /// When the command began.
    pub(crate) now: Timestamp,
}

impl Context {
    pub(crate) fn from(matches: &ArgMatches) -> Result<Self> {
        let flag = matches.get_one::<PathBuf>("config").map(PathBuf::as_path);
        let config_path = config::locate(flag);
        let config = config::load(config_path.as_deref()).map_err(anyhow::Error::msg)?;
        let tz = match matches.get_one::<String>("tz") {
            Some(name) => TimeZone::get(name).with_context(|| {
                format!("--tz {name}: no such zone; use a name as Europe/Paris")
            })?,
            None => TimeZone::system(),
        };
        Ok(Self {
            config,
            config_path,
            data: matches
                .get_one::<PathBuf>("data")
                .cloned()
                .unwrap_or_else(default_data),
            tz,
            color: Color::choose(
                matches
                    .get_one::<String>("color")
                    .map_or("auto", String::as_str),
            ),
            quiet: matches.get_flag("quiet"),
            verbose: matches.get_count("verbose"),
            now: times::now(),
        })
    }

    /// The store, for reading.
    pub(crate) fn reader(&self) -> Result<Reader> {
        Ok(Reader::open(&self.data)?)
    }

    /// A time flag, or its default.
    pub(crate) fn time(
        &self,
        matches: &ArgMatches,
        name: &str,
        default: Timestamp,
    ) -> Result<Timestamp> {
        match matches.get_one::<String>(name) {
            Some(text) => {
                times::point(text, self.now, &self.tz).map_err(|e| anyhow::anyhow!("--{name}: {e}"))
            }
            None => Ok(default),
        }
    }
}

/// `/var/lib/vigie` for root, else the user's state directory.
fn default_data() -> PathBuf {
    let home = |var: &str| {
        std::env::var_os(var)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/vigie");
    }
    home("XDG_STATE_HOME")
        .or_else(|| home("HOME").map(|h| h.join(".local/state")))
        .unwrap_or_else(|| Path::new(".").to_owned())
        .join("vigie")
}
