//! The overview: is something wrong, when, how much, what to do, and where.

use askama::Template;
use vigie_query::SourceError;
use vigie_query::log::Filter;
use vigie_store::incidents::{Incident, IncidentFilter, IncidentState};
use vigie_store::{SourceReport, SourceState};

use super::PageError;
use super::charts::{self, Scene};
use super::horizon::Horizon;
use super::logcounts::LogCounts;
use super::parts::{Place, ago, level, panel, spans};
use super::shell::{Context, Shell};
use super::tables::{ChangeRow, HostRow, IncidentRow, Interface, SourceRow};
use super::tables::{change_row, host_rows, incident_row, interfaces, source_row, uptime};
use super::vitals::{Disk, Vital, disks, vitals};
use crate::chart::{ChartSpec, Grid, columns, spark};
use crate::figures::{Figures, hosts};
use crate::range::Range;
use crate::source::{Bounds, Source};

/// Incidents in the list.
const INCIDENTS_SHOWN: usize = 6;
/// Changes in the list.
const CHANGES_SHOWN: usize = 8;
/// Changes and incidents that the strip takes.
const STRIP_MAX: usize = 200;
/// A host that has brought nothing for so long is silent.
const SILENT_MS: i64 = 60_000;

/// What the address asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) host: Option<String>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    headline: String,
    headline_state: &'static str,
    sub: Vec<String>,
    horizon: Horizon,
    vitals: Vec<(Vital, String)>,
    incidents: Vec<IncidentRow>,
    incidents_more: usize,
    changes: Vec<ChangeRow>,
    charts: Vec<String>,
    disks: Vec<Disk>,
    interfaces: Vec<Interface>,
    hosts: Vec<HostRow>,
    sources: Vec<SourceRow>,
}

/// The host that a page shows, and all that there are.
fn choose(
    source: &dyn Source,
    asked: Option<&str>,
    ctx: &Context,
) -> Result<(Option<String>, Vec<Option<String>>), SourceError> {
    let all = hosts(source, ctx.now.plus_ms(-7 * 86_400_000), ctx.now)?;
    let known = |name: &str| {
        all.iter()
            .find(|h| h.as_deref() == Some(name))
            .cloned()
            .flatten()
    };
    let chosen = asked.and_then(known).or_else(|| known(&ctx.host));
    let chosen = match chosen {
        Some(host) => Some(host),
        // Figures without an instance are this machine's own.
        None if all.contains(&None) => None,
        None => all.first().cloned().flatten(),
    };
    Ok((chosen, all))
}

/// A range in which something can be seen: a store that has just begun shows its first minutes.
fn range(
    source: &dyn Source,
    asked: &Asked,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<Result<Range, String>, SourceError> {
    let default = match asked.from.is_some() || asked.to.is_some() {
        true => "24h",
        false => {
            let day = Grid::with_step(ctx.now.plus_ms(-86_400_000), ctx.now, 300_000);
            let figures = Figures {
                source,
                bounds,
                host: None,
                grid: day,
            };
            let first = figures
                .select("node_load1")?
                .iter()
                .filter_map(|s| Some(s.samples.first()?.time))
                .min();
            match ctx.now.since_ms(first.unwrap_or(ctx.now)) {
                ..1_500_000 => "15m",
                1_500_000..7_200_000 => "1h",
                7_200_000..43_200_000 => "6h",
                _ => "24h",
            }
        }
    };
    Ok(Range::parse(
        asked.from.as_deref(),
        asked.to.as_deref(),
        default,
        ctx.now,
        &ctx.zone,
    ))
}

struct Gathered {
    range: Range,
    /// What was wrong with the range asked for.
    complaint: Option<String>,
    host: Option<String>,
    hosts: Vec<Option<String>>,
    logs: LogCounts,
    incidents: Vec<Incident>,
    charts: Vec<ChartSpec>,
}

fn gather(
    source: &dyn Source,
    asked: &Asked,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<Gathered, PageError> {
    let (range, complaint) = match range(source, asked, ctx, bounds)? {
        Ok(range) => (range, None),
        Err(complaint) => (Range::last("24h", ctx.now), Some(complaint)),
    };
    let (host, hosts) = choose(source, asked.host.as_deref(), ctx)?;
    let logs = LogCounts::read(source, &range, &Filter::All, bounds)?;
    let incidents = source.incidents(&IncidentFilter {
        since: Some(range.from),
        until: Some(range.to),
        limit: STRIP_MAX,
        ..IncidentFilter::default()
    })?;
    let figures = Figures {
        source,
        bounds,
        host: host.as_deref(),
        grid: charts::grid(&range),
    };
    let spans = spans(&incidents);
    let scene = Scene {
        figures: &figures,
        range: &range,
        zone: &ctx.zone,
        spans: &spans,
    };
    let charts = charts::host(&scene, &logs)?;
    Ok(Gathered {
        range,
        complaint,
        host,
        hosts,
        logs,
        incidents,
        charts,
    })
}

/// The charts of the overview alone.
pub(crate) fn overview_charts(
    source: &dyn Source,
    asked: &Asked,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<Vec<ChartSpec>, PageError> {
    Ok(gather(source, asked, ctx, bounds)?.charts)
}

/// The host that the overview shows for an address.
pub(crate) fn chosen_host(
    source: &dyn Source,
    asked: Option<&str>,
    ctx: &Context,
) -> Result<Option<String>, SourceError> {
    Ok(choose(source, asked, ctx)?.0)
}

/// The overview of one host.
pub(crate) fn overview_page(
    source: &dyn Source,
    asked: &Asked,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<String, PageError> {
    let g = gather(source, asked, ctx, bounds)?;
    let (mut shell, open) = Shell::new("/", "Overview", Some(&g.range), source, ctx)?;
    shell.view = "overview";
    shell.keep("host", asked.host.as_deref().unwrap_or_default());
    shell
        .banners
        .extend(g.complaint.map(|text| super::shell::Banner {
            level: "warn",
            title: "This range cannot be shown.".to_owned(),
            text,
        }));
    let recent = Grid::with_step(ctx.now.plus_ms(-30_000), ctx.now, 5000);
    let figures = Figures {
        source,
        bounds,
        host: g.host.as_deref(),
        grid: recent,
    };
    let reports = source.reports()?;
    let last_seen = figures
        .select("node_load1")?
        .iter()
        .filter_map(|s| Some(s.samples.last()?.time))
        .max();
    let changes = source.changes(g.range.from, g.range.to, STRIP_MAX)?;
    let name = g.host.clone().unwrap_or_else(|| ctx.host.clone());
    let silent = last_seen.is_none_or(|at| ctx.now.since_ms(at) > SILENT_MS);
    let (headline_state, headline) = headline(&open, &reports, &name, silent);
    let vitals = vitals(&figures, ctx.now)?;
    let page = Overview {
        headline,
        headline_state,
        sub: sub(&open, &figures, last_seen, &name, ctx)?,
        horizon: Horizon::new(&g.range, &g.incidents, &changes, &g.logs, &ctx.zone),
        vitals: with_sparks(vitals, &g.charts),
        incidents_more: open.len().saturating_sub(INCIDENTS_SHOWN),
        incidents: open
            .iter()
            .take(INCIDENTS_SHOWN)
            .map(|i| incident_row(i, ctx))
            .collect(),
        changes: changes
            .iter()
            .take(CHANGES_SHOWN)
            .map(|c| change_row(c, ctx))
            .collect(),
        charts: g
            .charts
            .iter()
            .map(|spec| panel(spec, place(&spec.id)))
            .collect(),
        disks: disks(&figures)?,
        interfaces: interfaces(&figures)?,
        hosts: host_rows(&figures, &g.hosts, &name, ctx)?,
        sources: reports.iter().map(|r| source_row(r, ctx)).collect(),
        shell,
    };
    Ok(page.render()?)
}

fn place(id: &str) -> Place {
    match id {
        "net" => Place {
            class: "c6 w12",
            height: 228,
        },
        "cpu" => Place {
            class: "c6 w12",
            height: 228,
        },
        "logs" => Place {
            class: "c12",
            height: 150,
        },
        _ => Place {
            class: "c4 w6",
            height: 140,
        },
    }
}

/// The page in one sentence, made from what is known.
fn headline(
    open: &[Incident],
    reports: &[SourceReport],
    host: &str,
    silent: bool,
) -> (&'static str, String) {
    let worst = open
        .iter()
        .max_by_key(|i| (i.severity, std::cmp::Reverse(i.onset)));
    let failed = reports
        .iter()
        .filter(|r| r.state == SourceState::Failed)
        .count();
    match worst {
        Some(incident) => (level(incident).as_str(), incident.title.clone()),
        None if silent => (
            "unk",
            format!("Nothing has been heard of {host} for a while"),
        ),
        None if failed == 1 => (
            "warn",
            "Nothing is open, but one source cannot be read".to_owned(),
        ),
        None if failed > 1 => (
            "warn",
            format!("Nothing is open, but {failed} sources cannot be read"),
        ),
        None => ("ok", format!("Nothing is open; {host} is being watched")),
    }
}

fn sub(
    open: &[Incident],
    figures: &Figures<'_>,
    last_seen: Option<vigie_parsers::Timestamp>,
    host: &str,
    ctx: &Context,
) -> Result<Vec<String>, SourceError> {
    let taken = open
        .iter()
        .filter(|i| i.state() == IncidentState::Acknowledged)
        .count();
    let incidents = match (open.len(), taken) {
        (0, _) => "no incident open".to_owned(),
        (1, 0) => "1 incident open, not acknowledged".to_owned(),
        (1, _) => "1 incident open, acknowledged".to_owned(),
        (n, 0) => format!("{n} incidents open, none acknowledged"),
        (n, taken) if n == taken => format!("{n} incidents open, all acknowledged"),
        (n, taken) => format!("{n} incidents open, {} not acknowledged", n - taken),
    };
    let mut out = vec![incidents, host.to_owned()];
    if let Some(up) = uptime(figures, ctx)? {
        out.push(format!("up {up}"));
    }
    if let Some(at) = last_seen {
        out.push(format!("last reading {}", ago(at, ctx.now)));
    }
    Ok(out)
}

/// Each vital sign with the curve of the chart that it leads to.
fn with_sparks(vitals: Vec<Vital>, charts: &[ChartSpec]) -> Vec<(Vital, String)> {
    vitals
        .into_iter()
        .map(|v| {
            let chart = charts.iter().find(|c| c.id == v.id);
            let curve = chart.map_or(String::new(), |c| match v.id {
                "cpu" | "logs" => spark(&columns::sum(&all(c)), (v.id == "cpu").then_some(100.0)),
                _ => c
                    .lines
                    .first()
                    .map_or(String::new(), |l| spark(&l.ys, c.cap)),
            });
            (v, curve)
        })
        .collect()
}

fn all(chart: &ChartSpec) -> Vec<Vec<Option<f64>>> {
    chart.lines.iter().map(|l| l.ys.clone()).collect()
}
