//! `GET /api/v1/logs` and `/api/v1/patterns`: events by pages, tables, or a stream of lines.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use vigie_query::log::{self, Cell, Cursor, Hit, Outcome, Pipe, RunContext, Sink, Table};
use vigie_query::{Order, ScanStats};

use super::{Asked, Pairs, Problem, no_reader, number};
use crate::api::{first, pairs};
use crate::app::App;
use crate::pages::Context;
use crate::respond::{self, Failure};
use crate::source::{Bounds, Source};
use crate::wire::log::{HitView, stamp};
use crate::wire::prometheus::Success;

/// Events or rows of one answer.
const LIMIT: usize = 1000;
/// At most, when asked for.
const LIMIT_MAX: usize = 10_000;
/// Of a stream, which is never held as a whole.
const STREAM_LIMIT_MAX: usize = 10_000_000;
/// Bytes of lines in one answer: many long lines end it earlier.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// A stream may take so long: it holds one of the few readers.
const STREAM_TIME_MAX: Duration = Duration::from_secs(60);
/// Pieces of a stream that wait for the client.
const PIECES_AHEAD: usize = 4;
/// A piece is sent when it is this long.
const PIECE_BYTES: usize = 32 << 10;
/// How long to wait before a client is asked again whether it has read.
const CLIENT_WAIT: Duration = Duration::from_millis(5);

/// What the answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    /// One object a line, the last one says how it ended.
    Ndjson,
    /// The lines as they came.
    Raw,
}

/// A search that was understood.
struct Search {
    asked: Asked,
    form: Form,
    limit: usize,
    before: Option<Cursor>,
}

impl Search {
    fn read(given: &Pairs, ctx: &Context) -> Result<Self, Failure> {
        let mut asked = Asked::read(given, ctx)?;
        let form = match first(given, "format") {
            None | Some("json") => Form::Json,
            Some("ndjson") => Form::Ndjson,
            Some("raw") if asked.query.makes_table() => {
                return Err(Failure::Bad(
                    "a table has no raw lines; use format=json or ndjson".to_owned(),
                ));
            }
            Some("raw") => Form::Raw,
            Some(other) => {
                let words = format!("format={other} is none of json, ndjson, raw");
                return Err(Failure::Bad(words));
            }
        };
        let most = if form == Form::Json {
            LIMIT_MAX
        } else {
            STREAM_LIMIT_MAX
        };
        let default = if form == Form::Json { LIMIT } else { most };
        let limit = number(given, "limit", default, most)?;
        let before = match first(given, "before") {
            None => None,
            Some(text) => Some(cursor(text).ok_or_else(|| {
                Failure::Bad(format!(
                    "before={text} is no place; take 'next' of the page before"
                ))
            })?),
        };
        match first(given, "order") {
            None | Some("newest") => {}
            Some("oldest") if asked.query.makes_table() || before.is_some() => {
                let words = "order=oldest goes with events and without before; sort orders tables";
                return Err(Failure::Bad(words.to_owned()));
            }
            // One more than is shown tells whether there are more.
            Some("oldest") => asked.query.pipes.push(Pipe::Head(limit.saturating_add(1))),
            Some(other) => {
                return Err(Failure::Bad(format!(
                    "order={other} is neither newest nor oldest"
                )));
            }
        }
        Ok(Self {
            asked,
            form,
            limit,
            before,
        })
    }

    fn run(
        &mut self,
        source: &dyn Source,
        bounds: &Bounds,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Problem> {
        self.asked.know_deploy(source);
        let mut cx = RunContext::new(self.asked.clock.clone());
        cx.default_range = self.asked.range.clone();
        cx.limits.rows = self.limit;
        cx.deadline = Some(bounds.deadline);
        cx.cancel = Some(&bounds.cancel);
        cx.before = self.before;
        Ok(log::run(source.events(), &self.asked.query, &cx, sink)?)
    }

    /// Whether the next page can be asked for.
    fn has_pages(&self, outcome: &Outcome) -> bool {
        let sorted = self
            .asked
            .query
            .pipes
            .iter()
            .any(|p| matches!(p, Pipe::Sort(_)));
        outcome.order == Order::NewestFirst && !self.asked.query.makes_table() && !sorted
    }
}

/// `TIME.ID`, as `next` gives it.
fn cursor(text: &str) -> Option<Cursor> {
    let (time, id) = text.split_once('.')?;
    Some(Cursor {
        time: vigie_parsers::Timestamp(time.parse().ok()?),
        id: id.parse().ok()?,
    })
}

fn next(last: Option<Cursor>) -> Option<String> {
    last.map(|c| format!("{}.{}", c.time.0, c.id))
}

/// See the module. `q`, `from`, `to`, `limit`, `order`, `before`, `format`.
pub(crate) async fn logs(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let given = pairs(uri.query().unwrap_or_default());
    match Search::read(&given, &app.context(&headers, None)) {
        Ok(search) => answer(&app, search, &headers).await,
        Err(e) => Problem::from(e).answer(&headers),
    }
}

/// `GET /api/v1/patterns`: what `| patterns` gives, with `new=true` what `| new` does. `q`, `from`,
/// `to`, `limit`, `format`.
pub(crate) async fn patterns(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let given = pairs(uri.query().unwrap_or_default());
    let read = || {
        let mut search = Search::read(&given, &app.context(&headers, None))?;
        let is_new = match first(&given, "new") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let words = format!("new={other} is neither true nor false");
                return Err(Failure::Bad(words));
            }
        };
        // A filter alone is asked for, and that is what it says of other pipes.
        search.asked.filter()?;
        search.asked.query.pipes.push(match is_new {
            true => Pipe::New { since: None },
            false => Pipe::Patterns,
        });
        Ok(search)
    };
    match read() {
        Ok(search) => answer(&app, search, &headers).await,
        Err(e) => Problem::from(e).answer(&headers),
    }
}

async fn answer(app: &App, mut search: Search, headers: &HeaderMap) -> Response {
    if search.form != Form::Json {
        return stream(app, search, headers).await;
    }
    let made = app
        .pool()
        .run(move |source, bounds| whole(&mut search, source, bounds));
    match made.await {
        Ok(Ok(value)) => respond::json(StatusCode::OK, &Success::new(value), headers),
        Ok(Err(problem)) => problem.answer(headers),
        Err(e) => no_reader(e, headers),
    }
}

/// An answer that is held as a whole.
#[derive(Default)]
struct Page {
    events: Vec<Json>,
    bytes: usize,
    full: bool,
    last: Option<Cursor>,
    table: Option<Table>,
}

impl Sink for Page {
    fn event(&mut self, hit: &Hit<'_>) -> ControlFlow<()> {
        self.full = self.bytes > ANSWER_BYTES_MAX;
        if self.full {
            return ControlFlow::Break(());
        }
        self.bytes += hit.event.line.len();
        self.last = Some(place(hit));
        self.events
            .push(serde_json::to_value(HitView(hit)).unwrap_or_default());
        ControlFlow::Continue(())
    }

    fn table(&mut self, table: Table) {
        self.table = Some(table);
    }
}

fn place(hit: &Hit<'_>) -> Cursor {
    Cursor {
        time: hit.event.time,
        id: hit.event.id,
    }
}

fn whole(search: &mut Search, source: &dyn Source, bounds: &Bounds) -> Result<Json, Problem> {
    let start = Instant::now();
    let mut page = Page::default();
    let outcome = search.run(source, bounds, &mut page)?;
    let more = outcome.more || page.full;
    let mut answer = serde_json::Map::new();
    match page.table {
        Some(table) => {
            let row = |row: &Vec<Cell>| row.iter().map(cell).collect::<Json>();
            answer.insert("columns".to_owned(), json!(table.columns));
            answer.insert("rows".to_owned(), table.rows.iter().map(row).collect());
        }
        None => {
            answer.insert("events".to_owned(), Json::Array(page.events));
        }
    }
    answer.insert("more".to_owned(), json!(more));
    if more && search.has_pages(&outcome) {
        answer.insert("next".to_owned(), json!(next(page.last)));
    }
    answer.insert("incomplete".to_owned(), json!(outcome.stats.incomplete));
    answer.insert("stats".to_owned(), stats(&outcome.stats, start));
    Ok(Json::Object(answer))
}

fn stats(stats: &ScanStats, start: Instant) -> Json {
    json!({
        "blocks": stats.blocks,
        "blocks_read": stats.blocks_read,
        "bytes_read": stats.bytes_read,
        "events_checked": stats.events_checked,
        "events_matched": stats.events_matched,
        "seconds": start.elapsed().as_secs_f64(),
    })
}

/// A cell: times as RFC 3339, shares from 0 to 1, spans in seconds, text that is none with U+FFFD.
fn cell(cell: &Cell) -> Json {
    match cell {
        Cell::Null => Json::Null,
        Cell::Text(text) => json!(String::from_utf8_lossy(text)),
        Cell::Count(n) => json!(n),
        Cell::Number(n) | Cell::Share(n) | Cell::Seconds(n) => json!(n),
        Cell::Time(time) => json!(stamp(*time)),
    }
}

/// Sends lines as they are found. A client that leaves ends the search; one that does not read makes
/// it wait, until its time is up.
struct Lines<'a> {
    form: Form,
    to: Sender<Bytes>,
    buffer: Vec<u8>,
    bounds: &'a Bounds,
    gone: bool,
    late: bool,
    last: Option<Cursor>,
}

impl Lines<'_> {
    fn push(&mut self, line: &[u8]) -> ControlFlow<()> {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        match self.buffer.len() >= PIECE_BYTES {
            true => self.flush(),
            false => ControlFlow::Continue(()),
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        let mut piece = Bytes::from(std::mem::take(&mut self.buffer));
        loop {
            match self.to.try_send(piece) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(TrySendError::Closed(_)) => {
                    self.gone = true;
                    return ControlFlow::Break(());
                }
                Err(TrySendError::Full(_)) if Instant::now() >= self.bounds.deadline => {
                    self.late = true;
                    return ControlFlow::Break(());
                }
                Err(TrySendError::Full(back)) => {
                    piece = back;
                    std::thread::sleep(CLIENT_WAIT);
                }
            }
        }
    }
}

impl Sink for Lines<'_> {
    fn event(&mut self, hit: &Hit<'_>) -> ControlFlow<()> {
        self.last = Some(place(hit));
        match self.form {
            Form::Raw => self.push(&hit.event.line),
            _ => self.push(
                serde_json::to_string(&HitView(hit))
                    .unwrap_or_default()
                    .as_bytes(),
            ),
        }
    }

    fn table(&mut self, table: Table) {
        for row in &table.rows {
            let cells = table.columns.iter().cloned().zip(row.iter().map(cell));
            let object = Json::Object(cells.collect());
            if self.push(object.to_string().as_bytes()).is_break() {
                return;
            }
        }
    }
}

async fn stream(app: &App, mut search: Search, headers: &HeaderMap) -> Response {
    let (to, pieces) = channel(PIECES_AHEAD);
    let form = search.form;
    let started = app.pool().start(STREAM_TIME_MAX, move |source, bounds| {
        let start = Instant::now();
        let mut lines = Lines {
            form,
            to,
            buffer: Vec::new(),
            bounds,
            gone: false,
            late: false,
            last: None,
        };
        let outcome = search.run(source, bounds, &mut lines);
        if lines.gone || lines.late {
            return;
        }
        if form == Form::Ndjson {
            let end = match &outcome {
                Ok(outcome) => json!({
                    "end": true,
                    "more": outcome.more,
                    "next": next(lines.last).filter(|_| outcome.more && search.has_pages(outcome)),
                    "incomplete": outcome.stats.incomplete,
                    "stats": stats(&outcome.stats, start),
                }),
                Err(Problem::Bad(words) | Problem::Broken(words)) => {
                    json!({"end": true, "error": words})
                }
            };
            // Whoever has left needs no end.
            let _ = lines.push(end.to_string().as_bytes());
        }
        let _ = lines.flush();
    });
    let guard = match started.await {
        Ok(guard) => guard,
        Err(e) => return no_reader(e, headers),
    };
    // The guard goes with the body: when the client leaves, the search is called off.
    let body = ReceiverStream::new(pieces).map(move |piece| {
        let _held = &guard;
        Ok::<_, Infallible>(piece)
    });
    let kind = match form {
        Form::Raw => "text/plain; charset=utf-8",
        _ => "application/x-ndjson",
    };
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(body)).into_response()
}
