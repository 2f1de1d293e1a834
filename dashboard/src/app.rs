//! What all requests share.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use vigie_analyzer::Rules;
use vigie_parsers::Timestamp;
use vigie_store::{Clock, Handle};

use crate::live::Hub;
use crate::pages::Context;
use crate::source::Pool;

/// How the pages are served.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this machine, as pages call it and as its own figures' `instance` label says.
    pub host: String,
    /// Names by which browsers may call this server, beside its addresses and `localhost`.
    pub names: Vec<String>,
    /// The zone of all times on pages.
    pub zone: TimeZone,
    /// The alerting rules that are evaluated.
    pub rules: Arc<Rules>,
}

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    pool: Pool,
    handle: Option<Handle>,
    clock: Clock,
    config: Config,
    hub: Hub,
    shutdown: CancellationToken,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "App({:?})", self.0.config)
    }
}

impl App {
    /// An application over a store. Without a handle nothing can be changed from pages.
    #[must_use]
    pub fn new(pool: Pool, handle: Option<Handle>, clock: Clock, config: Config) -> Self {
        let shutdown = CancellationToken::new();
        Self(Arc::new(Inner {
            pool,
            handle,
            clock,
            config,
            hub: Hub::default(),
            shutdown,
        }))
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.0.handle.as_ref()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// Ends the streams that would otherwise keep connections open.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    /// What a page of this request is made with.
    pub(crate) fn context(&self, headers: &HeaderMap, theme: Option<&str>) -> Context {
        let cookie = headers
            .get(header::COOKIE)
            .and_then(|c| c.to_str().ok())
            .unwrap_or_default();
        let cookie = cookie
            .split(';')
            .filter_map(|c| c.trim().strip_prefix("vigie-theme="))
            .next();
        Context {
            now: self.now(),
            zone: self.0.config.zone.clone(),
            host: self.0.config.host.clone(),
            health: self.0.handle.as_ref().map(Handle::health),
            theme: match theme.or(cookie) {
                Some("light") => Some("light"),
                Some("dark") => Some("dark"),
                _ => None,
            },
        }
    }
}
