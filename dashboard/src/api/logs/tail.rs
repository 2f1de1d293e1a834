//! `GET /api/v1/logs/tail`: events as they arrive, whatever time they say, as server-sent events.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::IntervalStream;
use vigie_parsers::{Event, Timestamp};
use vigie_query::log::Filter;
use vigie_query::{Order, SourceError};

use super::{Asked, Problem, scan};
use crate::api::{failure, first, pairs};
use crate::app::App;
use crate::pages::{self, Context};
use crate::source::{Bounds, Source};
use crate::wire::log::EventView;

/// How often the tail looks.
const EVERY: Duration = Duration::from_millis(500);
/// Events that the tail sends at once; what exceeds it is counted.
const ROWS: usize = 200;

/// Where a tail stands: what it has sent lies before.
#[derive(Clone)]
struct Tail {
    app: App,
    ctx: Context,
    filter: Arc<Filter>,
    q: String,
    html: bool,
    /// The newest arrival that was looked at; `None` before the first look.
    seen: Option<u64>,
}

/// See the module. `format=html` sends the rows of the page. A client that comes back with the
/// `Last-Event-ID` of the last message goes on behind it.
pub(crate) async fn tail(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let given = pairs(uri.query().unwrap_or_default());
    let ctx = app.context(&headers, None);
    let filter = match Asked::read(&given, &ctx).and_then(|asked| asked.filter()) {
        Ok(filter) => Arc::new(filter),
        Err(e) => return Problem::from(e).answer(&headers),
    };
    let Some(seat) = app.hub().seat() else {
        let words = "too many listeners";
        return failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            words,
            &headers,
        );
    };
    let resumed = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let stop = app.shutdown().clone();
    let tail = Tail {
        q: first(&given, "q").unwrap_or_default().to_owned(),
        html: first(&given, "format") == Some("html"),
        app,
        ctx,
        filter,
        seen: resumed.and_then(|id| id.parse().ok()),
    };
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let messages = stream::unfold(
        (tail, IntervalStream::new(beat), seat),
        |(mut tail, mut beat, seat)| async move {
            beat.next().await?;
            let found = tail.look().await;
            Some((found, (tail, beat, seat)))
        },
    );
    let messages = messages
        .filter_map(|m| async move { m.map(Ok::<_, Infallible>) })
        .take_until(stop.cancelled_owned());
    Sse::new(messages)
        .keep_alive(KeepAlive::default())
        .into_response()
}

impl Tail {
    /// What has arrived since the last look, as one message.
    async fn look(&mut self) -> Option<Message> {
        let (now, filter, since) = (self.app.now(), Arc::clone(&self.filter), self.seen);
        let (q, html, mut ctx) = (self.q.clone(), self.html, self.ctx.clone());
        ctx.now = now;
        let looked = self.app.pool().run(move |source, bounds| {
            arrived(source, &filter, since, bounds, |event| match html {
                true => pages::row_html(event, &q, &ctx).unwrap_or_default(),
                false => serde_json::to_string(&EventView(event)).unwrap_or_default(),
            })
        });
        let Ok(Ok(found)) = looked.await else {
            // The next look tries again from the same place.
            return None;
        };
        self.seen = Some(found.seen);
        if found.rows.is_empty() {
            return None;
        }
        let (rows, dropped) = (found.rows, found.dropped);
        let body = match self.html {
            true => serde_json::json!({"rows": rows, "dropped": dropped}).to_string(),
            false => format!("[{}]", rows.join(",")),
        };
        let message = Message::default().id(found.seen.to_string());
        Some(message.event("events").data(body))
    }
}

/// What came since the last look.
#[derive(Default)]
struct Arrived {
    seen: u64,
    rows: Vec<String>,
    dropped: u64,
}

/// Events with a number above `since`, oldest first; without it only the newest number is learned.
fn arrived(
    source: &dyn Source,
    filter: &Filter,
    since: Option<u64>,
    bounds: &Bounds,
    show: impl Fn(&Event) -> String,
) -> Result<Arrived, SourceError> {
    let newest = source.last_id()?;
    let mut found = Arrived {
        seen: newest,
        ..Arrived::default()
    };
    // A store that was made anew numbers from 1 again.
    let Some(since) = since.filter(|since| *since < newest) else {
        return Ok(found);
    };
    let mut scan = scan(filter, &(Timestamp::MIN..Timestamp::MAX), bounds);
    scan.order = Order::OldestFirst;
    scan.after = since;
    source.scan(&scan, &mut |event| {
        // What is committed meanwhile comes at the next look.
        if event.id <= newest {
            match found.rows.len() < ROWS {
                true => found.rows.push(show(event)),
                false => found.dropped += 1,
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
