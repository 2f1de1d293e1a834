//! SIGHUP: the configuration is read again, and what can change while the daemon runs does.
//!
//! That is `[[retention]]`. The rest holds from the next start on, and is named. A file with a mistake
//! changes nothing at all.

use std::path::PathBuf;

use sd_notify::NotifyState;
use vigie_store::Registry;

use crate::config::{self, Config};
use crate::context::Context;
use crate::retention;

/// What a reload needs.
pub(crate) struct Reload {
    path: Option<PathBuf>,
    /// What is in force.
    config: Config,
    registry: Registry,
}

impl Reload {
    pub(crate) fn new(cx: &Context, config: Config, registry: Registry) -> Self {
        Self {
            path: cx.config_path.clone(),
            config,
            registry,
        }
    }

    /// Reads the file again and takes from it what can be taken.
    pub(crate) fn again(&mut self) {
        // Not under systemd, or an old one: nobody to tell.
        let _ = NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]));
        let path = self.path.clone().or_else(|| config::locate(None));
        match config::load(path.as_deref()) {
            Ok(new) => self.take(new),
            Err(e) => tracing::error!("reload refused, nothing changes: {e}"),
        }
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }

    fn take(&mut self, new: Config) {
        let waiting = waiting(&self.config, &new);
        if !waiting.is_empty() {
            tracing::warn!(
                "changed, and held from the next start on: {}",
                waiting.join(", ")
            );
        }
        if new.retention == self.config.retention {
            tracing::info!("reloaded: [[retention]] is as it was");
            return;
        }
        let moved = self.registry.retain(retention::rules(&new.retention));
        let unmoved = self.registry.population().unmoved;
        tracing::info!("reloaded: {moved} series go on in other archives");
        if unmoved > 0 {
            tracing::warn!(
                "{unmoved} series keep their old archives: those that [[retention]] wants would not fit \
                 (store.series_budget)"
            );
        }
        self.config.retention = new.retention;
    }
}

/// The tables that differ and cannot change while the daemon runs.
fn waiting(old: &Config, new: &Config) -> Vec<&'static str> {
    let all = [
        ("[store]", old.store != new.store),
        ("[[log_retention]]", old.log_retention != new.log_retention),
        ("[http]", old.http != new.http),
        ("[rules]", old.rules != new.rules),
        ("[host]", old.host != new.host),
        ("[[syslog]]", old.syslog != new.syslog),
        ("[journal]", old.journal != new.journal),
        ("[docker]", old.docker != new.docker),
        ("[known_files]", old.known_files != new.known_files),
        ("[[files]]", old.files != new.files),
        ("[[count]]", old.count != new.count),
        ("[[relay]]", old.relay != new.relay),
    ];
    all.into_iter()
        .filter_map(|(table, differs)| differs.then_some(table))
        .collect()
}
