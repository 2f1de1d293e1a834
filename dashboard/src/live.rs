//! What open pages are told each second: computed once for all of them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::IntervalStream;
use vigie_parsers::Timestamp;
use vigie_store::incidents::IncidentFilter;

use crate::app::App;
use crate::chart::Grid;
use crate::figures::Figures;
use crate::pages;

/// How often pages are told.
const EVERY: Duration = Duration::from_secs(1);
/// Pages that may listen at once: each costs a connection.
const LISTENERS_MAX: usize = 100;

type Messages = HashMap<Option<String>, (Timestamp, Arc<str>)>;

/// The last message for each host, and who listens.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    messages: Mutex<Messages>,
    listeners: Arc<()>,
}

impl Hub {
    /// A place among the listeners, while there is one.
    pub(crate) fn seat(&self) -> Option<Arc<()>> {
        let seat = Arc::clone(&self.listeners);
        (Arc::strong_count(&self.listeners) <= LISTENERS_MAX + 1).then_some(seat)
    }

    fn fresh(&self, host: &Option<String>, now: Timestamp) -> Option<Arc<str>> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, text) = messages.get(host)?;
        (now.since_ms(*at).abs() < 900).then(|| Arc::clone(text))
    }

    fn keep(&self, host: Option<String>, now: Timestamp, text: &Arc<str>) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.retain(|_, (at, _)| now.since_ms(*at).abs() < 10_000);
        messages.insert(host, (now, Arc::clone(text)));
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct LiveQuery {
    host: Option<String>,
}

/// `GET /live`: vital signs each second, as server-sent events.
pub(crate) async fn live(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<LiveQuery>,
) -> Response {
    let Some(seat) = app.hub().seat() else {
        return (
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "too many listeners\n",
        )
            .into_response();
    };
    let host = query.host.filter(|h| !h.is_empty());
    let context = app.context(&headers, None);
    let stream = messages(app, host, context, seat);
    Sse::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response()
}

fn messages(
    app: App,
    host: Option<String>,
    context: pages::Context,
    seat: Arc<()>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut interval = tokio::time::interval(EVERY);
    // A slow machine skips beats; it does not run after them.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = app.shutdown().clone();
    IntervalStream::new(interval)
        .then(move |_| {
            let (app, host, context, seat) = (
                app.clone(),
                host.clone(),
                context.clone(),
                Arc::clone(&seat),
            );
            async move {
                let text = message(&app, host, context).await;
                drop(seat);
                text
            }
        })
        .filter_map(|text| async move {
            text.map(|t| Ok(Event::default().event("vitals").data(t.as_ref())))
        })
        .take_until(stop.cancelled_owned())
}

async fn message(app: &App, host: Option<String>, mut context: pages::Context) -> Option<Arc<str>> {
    let now = app.now();
    if let Some(text) = app.hub().fresh(&host, now) {
        return Some(text);
    }
    context.now = now;
    context.health = app.handle().map(vigie_store::Handle::health);
    let asked = host.clone();
    let made = app.pool().run(move |source, bounds| {
        let chosen = pages::chosen_host(source, asked.as_deref(), &context)?;
        let grid = Grid::with_step(now.plus_ms(-30_000), now, 5000);
        let figures = Figures {
            source,
            bounds,
            host: chosen.as_deref(),
            grid,
        };
        let open = source.incidents(&IncidentFilter::unresolved())?.len();
        Ok::<_, pages::PageError>(pages::live(&figures, now, open)?)
    });
    match made.await {
        Ok(Ok(value)) => {
            let text: Arc<str> = value.to_string().into();
            app.hub().keep(host, now, &text);
            Some(text)
        }
        // The page shows on its own that nothing comes; the next second tries again.
        Ok(Err(e)) => {
            tracing::debug!("live: {e}");
            None
        }
        Err(e) => {
            tracing::debug!("live: {e}");
            None
        }
    }
}
