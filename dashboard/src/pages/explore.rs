//! Any figure as a chart: PromQL expressions from the address, one chart each.

use askama::Template;
use jiff::tz::TimeZone;
use vigie_query::promql::{self, Limits, Params, Value};

use super::PageError;
use super::parts::{Place, panel};
use super::shell::{Banner, Context, Shell};
use crate::api::first;
use crate::chart::{ChartSpec, Grid, Unit};
use crate::range::Range;
use crate::source::{Bounds, Source};

/// Charts on one page.
const CHARTS_MAX: usize = 12;
/// Points across a chart of the full width.
const POINTS: usize = 360;
/// Curves in one chart; more cannot be told apart.
const SERIES_MAX: usize = 40;
/// Metric names offered while typing.
const NAMES_MAX: usize = 2000;

type Pairs = [(String, String)];

/// An expression with its chart, or why there is none.
pub(crate) struct Asked {
    expr: String,
    chart: String,
    complaint: String,
}

#[derive(Template)]
#[template(path = "explore.html")]
struct ExplorePage {
    shell: Shell,
    asked: Vec<Asked>,
    names: Vec<String>,
    next: String,
}

fn range(given: &Pairs, ctx: &Context) -> (Range, Option<String>) {
    let (from, to) = (first(given, "from"), first(given, "to"));
    match Range::parse(from, to, "1h", ctx.now, &ctx.zone) {
        Ok(range) => (range, None),
        Err(complaint) => (Range::last("1h", ctx.now), Some(complaint)),
    }
}

fn expressions(given: &Pairs) -> impl Iterator<Item = &str> {
    let all = given
        .iter()
        .filter(|(n, v)| n == "s" && !v.trim().is_empty());
    all.map(|(_, v)| v.trim()).take(CHARTS_MAX)
}

fn chart(
    source: &dyn Source,
    at: usize,
    expr: &str,
    range: &Range,
    zone: &TimeZone,
    bounds: &Bounds,
) -> Result<(ChartSpec, String), String> {
    let parsed = promql::parse(expr).map_err(|e| e.to_string())?;
    let grid = Grid::covering(range.from, range.to, POINTS);
    let params = Params {
        limits: Limits {
            deadline: Some(bounds.deadline),
            ..Limits::default()
        },
        cancel: Some(&bounds.cancel),
        ..Params::default()
    };
    let answer = promql::range(
        source.figures(),
        &parsed,
        grid.start,
        grid.end(),
        grid.step_ms,
        &params,
    );
    let Value::Matrix(mut series) = answer.map_err(|e| e.to_string())?.value else {
        return Err("the answer has no curve".to_owned());
    };
    let hidden = series.len().saturating_sub(SERIES_MAX);
    series.truncate(SERIES_MAX);
    let lookup = promql::selectors(&parsed);
    let metric = lookup
        .iter()
        .flat_map(|s| &s.matchers)
        .find(|m| m.name == "__name__");
    let metric = metric.map_or("", |m| m.value.as_str());
    let plain = expr == metric || expr.starts_with(&format!("{metric}{{"));
    let unit = match lookup.len() {
        1 if plain || expr.contains("rate(") => Unit::of_metric(metric, !plain),
        _ => Unit::COUNT,
    };
    let mut spec = ChartSpec::from_series(
        expr,
        unit,
        &series,
        (grid.start, grid.end()),
        grid.step_ms,
        zone,
    );
    spec.rename(&format!("x{at}"));
    let note = match (series.is_empty(), hidden) {
        (true, _) => "No series matches in this range.".to_owned(),
        (false, 0) => String::new(),
        (false, n) => format!("{n} more series are not drawn; aggregate or select fewer."),
    };
    Ok((spec, note))
}

/// The charts alone.
pub(crate) fn explore_charts(
    source: &dyn Source,
    given: &Pairs,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<Vec<ChartSpec>, PageError> {
    let (range, _) = range(given, ctx);
    let all = expressions(given).enumerate();
    let made = all.filter_map(|(i, e)| chart(source, i, e, &range, &ctx.zone, bounds).ok());
    Ok(made.map(|(spec, _)| spec).collect())
}

/// The page.
pub(crate) fn explore_page(
    source: &dyn Source,
    given: &Pairs,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<String, PageError> {
    let (range, complaint) = range(given, ctx);
    let (mut shell, _) = Shell::new("/explore", "Explore", Some(&range), source, ctx)?;
    shell.view = "explore";
    shell.banners.extend(complaint.map(|text| Banner {
        level: "warn",
        title: "This range cannot be shown.".to_owned(),
        text,
    }));
    let mut asked = Vec::new();
    for (i, expr) in expressions(given).enumerate() {
        shell.keep("s", expr);
        let (chart, complaint) = match chart(source, i, expr, &range, &ctx.zone, bounds) {
            Ok((spec, note)) => (
                panel(
                    &spec,
                    Place {
                        class: "c12",
                        height: 240,
                    },
                ),
                note,
            ),
            Err(complaint) => (String::new(), complaint),
        };
        asked.push(Asked {
            expr: expr.to_owned(),
            chart,
            complaint,
        });
    }
    let names = source
        .metadata()?
        .into_iter()
        .map(|m| m.name)
        .take(NAMES_MAX)
        .collect();
    let next = String::new();
    Ok(ExplorePage {
        shell,
        asked,
        names,
        next,
    }
    .render()?)
}
