//! The log API: search, histogram, fields, and the live tail.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::IntervalStream;
use vigie_parsers::Timestamp;
use vigie_query::log::{FieldName, Filter};
use vigie_query::{GroupBy, Order, Scan};

use super::{failure, first, pairs};
use crate::app::App;
use crate::logquery;
use crate::pages::{self, Context, PageError};
use crate::range::Range;
use crate::respond::{self, Failure};
use crate::source::{Bounds, Source};
use crate::wire::log::EventView;
use crate::wire::prometheus::Success;

/// Events of one answer.
const LIMIT: usize = 1000;
/// At most, when asked for.
const LIMIT_MAX: usize = 10_000;
/// Bytes of lines in one answer: many long lines end it earlier.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How often the tail looks.
const TAIL_EVERY: Duration = Duration::from_millis(500);
/// Events that the tail sends at once; what exceeds it is counted.
const TAIL_ROWS: usize = 200;
/// Lines that arrive this late are still followed.
const LATE_MS: i64 = 60_000;
/// Values of a field.
const VALUES_MAX: usize = 1000;

type Pairs = Vec<(String, String)>;

fn asked(given: &Pairs, ctx: &Context) -> Result<(Filter, Range), Failure> {
    let q = first(given, "q")
        .or_else(|| first(given, "query"))
        .unwrap_or_default();
    let understood = logquery::parse(q, ctx.now, &ctx.zone).map_err(Failure::Bad)?;
    if !understood.note.is_empty() {
        let words = "the API answers filters; `vigie logs` answers pipes".to_owned();
        return Err(Failure::Bad(words));
    }
    let from = first(given, "from").or_else(|| first(given, "since"));
    let to = first(given, "to").or_else(|| first(given, "until"));
    let mut range = Range::parse(from, to, "1h", ctx.now, &ctx.zone).map_err(Failure::Bad)?;
    if let Some((from, to)) = understood.time {
        (range.from, range.to) = (from, to);
    }
    Ok((understood.filter, range))
}

async fn answer<T: serde::Serialize + Send + 'static>(
    app: App,
    headers: HeaderMap,
    uri: Uri,
    make: impl FnOnce(&dyn Source, &Filter, &Range, &Pairs, &Bounds) -> Result<T, PageError>
    + Send
    + 'static,
) -> Response {
    let given = pairs(uri.query().unwrap_or_default());
    let ctx = app.context(&headers, None);
    let (filter, range) = match asked(&given, &ctx) {
        Ok(found) => found,
        Err(e) => return failure(e.status(), "bad_data", e.words(), &headers),
    };
    let made = app
        .pool()
        .run(move |source, bounds| make(source, &filter, &range, &given, bounds))
        .await;
    let failed = match made {
        Ok(Ok(value)) => return respond::json(StatusCode::OK, &Success::new(value), &headers),
        Ok(Err(e)) => Failure::from(e),
        Err(e) => Failure::from(e),
    };
    failure(failed.status(), "internal", failed.words(), &headers)
}

fn scan<'a>(filter: &'a Filter, range: &Range, bounds: &'a Bounds) -> Scan<'a> {
    let mut scan = Scan::new(range.from, range.to.plus_ms(1), filter);
    scan.deadline = Some(bounds.deadline);
    scan.cancel = Some(&bounds.cancel);
    scan
}

/// `GET /api/v1/logs?q=…&from=…&to=…&limit=…&order=newest|oldest`.
pub(crate) async fn logs(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    answer(app, headers, uri, |source, filter, range, given, bounds| {
        let limit = first(given, "limit")
            .and_then(|l| l.parse().ok())
            .unwrap_or(LIMIT)
            .min(LIMIT_MAX);
        let mut scan = scan(filter, range, bounds);
        if first(given, "order") == Some("oldest") {
            scan.order = Order::OldestFirst;
        }
        let (mut events, mut bytes, mut more) = (Vec::new(), 0, false);
        let stats = source.scan(&scan, &mut |event| {
            if events.len() >= limit || bytes > ANSWER_BYTES_MAX {
                more = true;
                return ControlFlow::Break(());
            }
            bytes += event.line.len();
            events.push(serde_json::to_value(EventView(event)).unwrap_or_default());
            ControlFlow::Continue(())
        })?;
        Ok(serde_json::json!({"events": events, "more": more, "incomplete": stats.incomplete}))
    })
    .await
}

/// `GET /api/v1/logs/histogram`: lines by severity over time.
pub(crate) async fn histogram(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    answer(app, headers, uri, |source, filter, range, _, bounds| {
        let counts = pages::logcounts::LogCounts::read(source, range, filter, bounds)?;
        let names = ["err", "warn", "notice", "other"];
        let columns: serde_json::Map<_, _> = names
            .iter()
            .zip(&counts.columns)
            .map(|(name, column)| ((*name).to_owned(), serde_json::json!(column)))
            .collect();
        Ok(serde_json::json!({
            "start": crate::wire::chart::seconds(counts.grid.start.0),
            "step": crate::wire::chart::seconds(counts.grid.step_ms),
            "columns": columns,
            "total": counts.total(),
            "incomplete": counts.incomplete,
        }))
    })
    .await
}

/// `GET /api/v1/logs/fields?field=app`: the values of a field with their counts.
pub(crate) async fn fields(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    answer(app, headers, uri, |source, filter, range, given, bounds| {
        let names: Vec<&str> = match first(given, "field") {
            Some(field) => field.split(',').collect(),
            None => vec!["level", "host", "app", "source", "status"],
        };
        let mut out = serde_json::Map::new();
        for name in names.into_iter().take(16) {
            let fields = [FieldName::new(name)];
            let by = GroupBy {
                fields: &fields,
                step: None,
                max_groups: VALUES_MAX,
            };
            let found = source.count_by(&scan(filter, range, bounds), &by)?;
            let mut groups: Vec<_> = found
                .groups
                .iter()
                .filter_map(|g| {
                    Some((
                        String::from_utf8_lossy(g.key.first()?.as_deref()?).into_owned(),
                        g.count,
                    ))
                })
                .collect();
            groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let values: Vec<_> = groups
                .iter()
                .map(|(v, n)| serde_json::json!({"value": v, "count": n}))
                .collect();
            out.insert(name.to_owned(), serde_json::json!(values));
        }
        Ok(serde_json::Value::Object(out))
    })
    .await
}

/// Where a tail stands: what it has sent lies before.
#[derive(Clone)]
struct Tail {
    app: App,
    ctx: Context,
    filter: std::sync::Arc<Filter>,
    q: String,
    html: bool,
    /// The newest arrival that was looked at; `None` before the first look.
    seen: Option<u64>,
}

/// `GET /api/v1/logs/tail?q=…`: events as they come, as server-sent events. `format=html` sends
/// the rows of the page.
pub(crate) async fn tail(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let given = pairs(uri.query().unwrap_or_default());
    let ctx = app.context(&headers, None);
    let filter = match asked(&given, &ctx) {
        Ok((filter, _)) => std::sync::Arc::new(filter),
        Err(e) => return failure(e.status(), "bad_data", e.words(), &headers),
    };
    let Some(seat) = app.hub().seat() else {
        return failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "too many listeners",
            &headers,
        );
    };
    let stop = app.shutdown().clone();
    let tail = Tail {
        q: first(&given, "q").unwrap_or_default().to_owned(),
        html: first(&given, "format") == Some("html"),
        app,
        ctx,
        filter,
        seen: None,
    };
    let mut beat = tokio::time::interval(TAIL_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let messages = stream::unfold(
        (tail, IntervalStream::new(beat), seat),
        |(mut tail, mut beat, seat)| async move {
            beat.next().await?;
            let found = tail.look().await;
            Some((found, (tail, beat, seat)))
        },
    );
    let messages = flatten(messages).take_until(stop.cancelled_owned());
    Sse::new(messages)
        .keep_alive(KeepAlive::default())
        .into_response()
}

fn flatten(
    batches: impl Stream<Item = Option<Message>>,
) -> impl Stream<Item = Result<Message, Infallible>> {
    batches.filter_map(|m| async move { m.map(Ok) })
}

impl Tail {
    /// What has arrived since the last look, as one message.
    async fn look(&mut self) -> Option<Message> {
        let (now, filter, since) = (
            self.app.now(),
            std::sync::Arc::clone(&self.filter),
            self.seen,
        );
        let (q, html, mut ctx) = (self.q.clone(), self.html, self.ctx.clone());
        ctx.now = now;
        let looked = self.app.pool().run(move |source, bounds| {
            arrived(source, &filter, since, now, bounds, |event| match html {
                true => pages::row_html(event, &q, &ctx).unwrap_or_default(),
                false => serde_json::to_string(&EventView(event)).unwrap_or_default(),
            })
        });
        let (seen, rows, dropped) = match looked.await {
            Ok(Ok(found)) => found,
            // The next look tries again from the same place.
            Ok(Err(_)) | Err(_) => return None,
        };
        self.seen = Some(seen);
        if rows.is_empty() {
            return None;
        }
        let body = match self.html {
            true => serde_json::json!({"rows": rows, "dropped": dropped}).to_string(),
            false => format!("[{}]", rows.join(",")),
        };
        Some(Message::default().event("events").data(body))
    }
}

type Arrived = (u64, Vec<String>, u64);

/// Events with a number above `since`, oldest first; without it only the newest number is learned.
fn arrived(
    source: &dyn Source,
    filter: &Filter,
    since: Option<u64>,
    now: Timestamp,
    bounds: &Bounds,
    show: impl Fn(&vigie_parsers::Event) -> String,
) -> Result<Arrived, vigie_query::SourceError> {
    let range = Range {
        from: now.plus_ms(-LATE_MS),
        to: now.plus_ms(LATE_MS),
        from_text: String::new(),
        to_text: String::new(),
    };
    let mut scan = scan(filter, &range, bounds);
    scan.order = Order::OldestFirst;
    let mut seen = since.unwrap_or(0);
    let (mut rows, mut dropped) = (Vec::new(), 0);
    source.scan(&scan, &mut |event| {
        if since.is_some_and(|s| event.id > s) {
            match rows.len() < TAIL_ROWS {
                true => rows.push(show(event)),
                false => dropped += 1,
            }
        }
        seen = seen.max(event.id);
        ControlFlow::Continue(())
    })?;
    Ok((seen, rows, dropped))
}
