//! Any figure as a chart: PromQL expressions from the address, one chart each.

use askama::Template;
use jiff::tz::TimeZone;
use vigie_query::promql::{Limits, Params};

use super::PageError;
use super::parts::{Place, panel};
use super::shell::{Banner, Context, Shell};
use crate::api::{duration_ms, first};
use crate::chart::ask::{Ask, Asked as Expression, Asking, Options};
use crate::chart::graph::Plan;
use crate::chart::{ChartSpec, Grid, Limit, Unit, typed};
use crate::range::Range;
use crate::source::{Bounds, Source};

/// Charts on one page.
const CHARTS_MAX: usize = 12;
/// Points across a chart of the full width.
const POINTS: usize = 360;
/// Curves in one chart; more cannot be told apart.
const SERIES_MAX: usize = 40;
/// Lines across, and shifts, of one page.
const LIMITS_MAX: usize = 8;
const SHIFTS_MAX: usize = 3;
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
    limit: String,
    shift: String,
    stack: bool,
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

/// Lines across, from `limit=VALUE[:LABEL[:LEVEL]]`; what is not understood is left out.
fn limits(given: &Pairs, unit: Unit) -> impl Iterator<Item = Limit> {
    let all = given.iter().filter(|(n, _)| n == "limit").take(LIMITS_MAX);
    all.filter_map(move |(_, v)| typed::limit(v, unit))
}

/// How the charts are drawn: `stack=1`, `shift=1w`.
fn options(given: &Pairs) -> Options {
    let shifts = given.iter().filter(|(n, _)| n == "shift");
    let shifts = shifts.filter_map(|(_, v)| duration_ms(v).filter(|ms| *ms >= 1000));
    Options {
        stack: first(given, "stack").is_some(),
        envelope: false,
        between: false,
        shifts_ms: shifts.take(SHIFTS_MAX).collect(),
        curves_max: SERIES_MAX,
        ..Options::default()
    }
}

fn chart(
    source: &dyn Source,
    (at, expr): (usize, &str),
    given: &Pairs,
    (range, zone): (&Range, &TimeZone),
    bounds: &Bounds,
) -> Result<(ChartSpec, String), String> {
    let ask = Ask {
        plan: Plan::of_grid(Grid::covering(range.from, range.to, POINTS)),
        params: Params {
            limits: Limits {
                deadline: Some(bounds.deadline),
                ..Limits::default()
            },
            cancel: Some(&bounds.cancel),
            ..Params::default()
        },
    };
    let asked = [Expression {
        text: expr.to_owned(),
        label: None,
    }];
    let made = ask.draft(source.figures(), &asked, &options(given), None);
    let Asking { mut draft, hidden } = made.map_err(|e| e.to_string())?;
    draft.limits.extend(limits(given, draft.unit));
    expr.clone_into(&mut draft.title);
    draft.time_ticks = 8;
    let empty = draft.lines.is_empty();
    let mut spec = draft.finish(zone);
    spec.rename(&format!("x{at}"));
    let note = match (empty, hidden) {
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
    let made =
        all.filter_map(|(i, e)| chart(source, (i, e), given, (&range, &ctx.zone), bounds).ok());
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
    for (name, value) in given {
        match name.as_str() {
            "limit" => shell.keep("limit", value),
            "shift" => shell.keep("shift", value),
            "stack" => shell.keep("stack", value),
            _ => {}
        }
    }
    let mut asked = Vec::new();
    for (i, expr) in expressions(given).enumerate() {
        shell.keep("s", expr);
        let (chart, complaint) = match chart(source, (i, expr), given, (&range, &ctx.zone), bounds)
        {
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
        limit: first(given, "limit").unwrap_or_default().to_owned(),
        shift: first(given, "shift").unwrap_or_default().to_owned(),
        stack: first(given, "stack").is_some(),
    }
    .render()?)
}
