//! Counts of lines: over time (`/logs/histogram`) and by the values of fields (`/logs/fields`).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value as Json, json};
use vigie_query::log::{FieldName, Filter};
use vigie_query::{Group, GroupBy, Step};

use super::{Asked, Pairs, Problem, no_reader, number, scan};
use crate::api::{first, pairs};
use crate::app::App;
use crate::chart::Grid;
use crate::pages::logcounts::LogCounts;
use crate::range::Range;
use crate::respond;
use crate::source::{Bounds, Source};
use crate::wire::chart::seconds;
use crate::wire::prometheus::Success;

/// Values of a field in one answer.
const VALUES_MAX: usize = 1000;
/// Values of a field that are told apart while they are counted.
const GROUPS_MAX: usize = 100_000;
/// Fields in one request: each is a count of its own.
const FIELDS_MAX: usize = 16;
/// Bars of a histogram.
const BARS: usize = 96;
/// Values of a histogram with a column of their own; the rest are `other`.
const COLUMNS: usize = 10;
/// At most, when asked for.
const COLUMNS_MAX: usize = 100;

async fn answer(
    app: App,
    headers: HeaderMap,
    uri: Uri,
    make: impl FnOnce(&dyn Source, &Asked, &Filter, &Pairs, &Bounds) -> Result<Json, Problem>
    + Send
    + 'static,
) -> Response {
    let given = pairs(uri.query().unwrap_or_default());
    let ctx = app.context(&headers, None);
    let asked = Asked::read(&given, &ctx).and_then(|asked| Ok((asked.filter()?, asked)));
    let (filter, mut asked) = match asked {
        Ok(found) => found,
        Err(e) => return Problem::from(e).answer(&headers),
    };
    let made = app.pool().run(move |source, bounds| {
        asked.know_deploy(source);
        make(source, &asked, &filter, &given, bounds)
    });
    match made.await {
        Ok(Ok(value)) => respond::json(StatusCode::OK, &Success::new(value), &headers),
        Ok(Err(problem)) => problem.answer(&headers),
        Err(e) => no_reader(e, &headers),
    }
}

/// `GET /api/v1/logs/histogram`: lines over time, by severity or by the values of `by`.
pub(crate) async fn histogram(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    answer(app, headers, uri, |source, asked, filter, given, bounds| {
        let span = asked.span()?;
        // A histogram of everything begins with what there is.
        let from = match span.start {
            vigie_parsers::Timestamp::MIN => {
                oldest(source, filter, bounds)?.unwrap_or(asked.clock.now)
            }
            start => start,
        };
        let range = Range {
            from,
            to: span
                .end
                .min(asked.clock.now.max(from))
                .max(from.plus_ms(1000)),
            from_text: String::new(),
            to_text: String::new(),
        };
        match first(given, "by") {
            None | Some("severity") => by_severity(source, &range, filter, bounds),
            Some(field) => {
                let most = number(given, "limit", COLUMNS, COLUMNS_MAX)?;
                by_field(source, &range, filter, bounds, field, most)
            }
        }
    })
    .await
}

/// The time of the first line there is.
fn oldest(
    source: &dyn Source,
    filter: &Filter,
    bounds: &Bounds,
) -> Result<Option<vigie_parsers::Timestamp>, Problem> {
    let all = vigie_parsers::Timestamp::MIN..vigie_parsers::Timestamp::MAX;
    let mut scan = scan(filter, &all, bounds);
    scan.order = vigie_query::Order::OldestFirst;
    let mut first = None;
    source.scan(&scan, &mut |event| {
        first = Some(event.time);
        std::ops::ControlFlow::Break(())
    })?;
    Ok(first)
}

fn by_severity(
    source: &dyn Source,
    range: &Range,
    filter: &Filter,
    bounds: &Bounds,
) -> Result<Json, Problem> {
    let counts = LogCounts::read(source, range, filter, bounds)?;
    let names = ["err", "warn", "notice", "other"];
    let columns: Map<_, _> = names
        .iter()
        .zip(&counts.columns)
        .map(|(name, column)| ((*name).to_owned(), json!(column)))
        .collect();
    Ok(json!({
        "start": seconds(counts.grid.start.0),
        "step": seconds(counts.grid.step_ms),
        "columns": columns,
        "total": counts.total(),
        "incomplete": counts.incomplete,
    }))
}

fn by_field(
    source: &dyn Source,
    range: &Range,
    filter: &Filter,
    bounds: &Bounds,
    field: &str,
    most: usize,
) -> Result<Json, Problem> {
    let grid = Grid::covering(range.from, range.to, BARS);
    let fields = [FieldName::new(field)];
    let by = GroupBy {
        fields: &fields,
        step: Some(Step {
            ms: grid.step_ms,
            origin: grid.begin(),
        }),
        max_groups: VALUES_MAX,
    };
    let mut found = source.count_by(&scan(filter, &(range.from..range.to), bounds), &by)?;
    order(&mut found.groups);
    let kept = found.groups.len().min(most);
    let (own, rest) = found.groups.split_at(kept);
    let mut columns = Map::new();
    for group in own {
        columns.insert(
            name(group),
            json!(column(&grid, std::slice::from_ref(group))),
        );
    }
    if !rest.is_empty() {
        columns.insert("(other)".to_owned(), json!(column(&grid, rest)));
    }
    let total: u64 = found.groups.iter().map(|g| g.count).sum();
    Ok(json!({
        "start": seconds(grid.start.0),
        "step": seconds(grid.step_ms),
        "columns": columns,
        "total": total + found.rest,
        "incomplete": found.stats.incomplete,
    }))
}

/// The counts of some groups in the cells of a grid.
fn column(grid: &Grid, groups: &[Group]) -> Vec<u64> {
    let mut cells = vec![0; grid.len];
    for (start, n) in groups.iter().flat_map(|g| &g.steps) {
        // A step begins where the cell before it ends.
        if let Some(cell) = grid.cell(start.plus_ms(1)).and_then(|i| cells.get_mut(i)) {
            *cell += n;
        }
    }
    cells
}

/// The value of a group; `(none)` where the field is absent.
fn name(group: &Group) -> String {
    match group.key.first() {
        Some(Some(value)) => String::from_utf8_lossy(value).into_owned(),
        _ => "(none)".to_owned(),
    }
}

/// The most frequent first.
fn order(groups: &mut [Group]) {
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
}

/// `GET /api/v1/logs/fields?field=app`: the values of fields with their counts.
pub(crate) async fn fields(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    answer(app, headers, uri, |source, asked, filter, given, bounds| {
        let names: Vec<&str> = match first(given, "field") {
            Some(field) => field.split(',').collect(),
            None => vec!["level", "host", "app", "source", "status"],
        };
        if names.len() > FIELDS_MAX {
            return Err(Problem::Bad(format!("more than {FIELDS_MAX} fields")));
        }
        let most = number(given, "limit", VALUES_MAX, VALUES_MAX)?;
        let range = asked.span()?;
        let mut out = Map::new();
        for name in names {
            let fields = [FieldName::new(name)];
            let by = GroupBy {
                fields: &fields,
                step: None,
                max_groups: GROUPS_MAX,
            };
            let mut found = source.count_by(&scan(filter, &range, bounds), &by)?;
            found
                .groups
                .retain(|g| matches!(g.key.first(), Some(Some(_))));
            order(&mut found.groups);
            let value = |g: &Group| json!({"value": self::name(g), "count": g.count});
            let values: Vec<Json> = found.groups.iter().take(most).map(value).collect();
            out.insert(name.to_owned(), json!(values));
            if let Some(reason) = found.stats.incomplete {
                out.insert("incomplete".to_owned(), json!(reason));
                break;
            }
        }
        Ok(Json::Object(out))
    })
    .await
}
