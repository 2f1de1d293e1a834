//! What surrounds every page: menu, range, vigie's own health.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;
use vigie_store::incidents::{Incident, IncidentFilter};
use vigie_store::{Health, SourceReport, SourceState};

use super::{PAGES, PageError};
use crate::assets;
use crate::chart::time::zoned;
use crate::chart::units::{count, duration};
use crate::range::{QUICK, Range, quick_name};
use crate::source::Source;

/// A writer that has not committed for so long while it should is in trouble.
const SILENT_MS: i64 = 30_000;
/// Sources named in the rail.
const SOURCES_SHOWN: usize = 8;

/// What every page is made with.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Now.
    pub now: Timestamp,
    /// The zone of all times shown.
    pub zone: TimeZone,
    /// The machine that vigie runs on.
    pub host: String,
    /// How the writer is; `None` when this process does not write.
    pub health: Option<Health>,
    /// `light` or `dark`, when somebody chose.
    pub theme: Option<&'static str>,
}

/// A line across the page.
#[derive(Clone, Debug)]
pub(crate) struct Banner {
    pub(crate) level: &'static str,
    pub(crate) title: String,
    pub(crate) text: String,
}

pub(crate) struct MenuItem {
    pub(crate) path: &'static str,
    pub(crate) title: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) here: bool,
    /// Open incidents, behind their page.
    pub(crate) open: usize,
}

pub(crate) struct RangeView {
    pub(crate) name: String,
    pub(crate) words: String,
    pub(crate) from_text: String,
    pub(crate) to_text: String,
    pub(crate) from_s: i64,
    pub(crate) to_s: i64,
    pub(crate) live: bool,
    pub(crate) quick: Vec<Quick>,
    pub(crate) earlier: String,
    pub(crate) later: String,
    pub(crate) wider: String,
}

pub(crate) struct Quick {
    pub(crate) key: &'static str,
    pub(crate) name: String,
    pub(crate) here: bool,
}

/// A source in the rail.
pub(crate) struct RailSource {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) state: &'static str,
    pub(crate) words: String,
}

/// Everything of the base template.
pub(crate) struct Shell {
    pub(crate) title: String,
    pub(crate) crumbs: Vec<(String, String)>,
    pub(crate) host: String,
    pub(crate) menu: Vec<MenuItem>,
    pub(crate) range: Option<RangeView>,
    /// Other parameters of the address, kept when the range changes.
    pub(crate) keep: Vec<(&'static str, String)>,
    /// The same, ready for an address: begins with `&` unless empty.
    pub(crate) keep_query: String,
    pub(crate) banners: Vec<Banner>,
    pub(crate) sources: Vec<RailSource>,
    pub(crate) more_sources: usize,
    pub(crate) health_state: &'static str,
    pub(crate) health_words: String,
    pub(crate) items_words: String,
    pub(crate) theme: Option<&'static str>,
    pub(crate) zone_name: String,
    pub(crate) zone_short: String,
    pub(crate) css: &'static str,
    pub(crate) js: &'static str,
    pub(crate) uplot: &'static str,
    /// Which charts the page has, for the script.
    pub(crate) view: &'static str,
}

impl Shell {
    /// The surroundings of the page at `path`.
    pub(crate) fn new(
        path: &'static str,
        title: &str,
        range: Option<&Range>,
        source: &dyn Source,
        ctx: &Context,
    ) -> Result<(Self, Vec<Incident>), PageError> {
        let open = source.incidents(&IncidentFilter::unresolved())?;
        let reports = source.reports()?;
        let at = zoned(ctx.now, &ctx.zone);
        let mut shell = Self::bare(path, title, ctx);
        shell.range = range.map(|r| range_view(r, ctx));
        for item in &mut shell.menu {
            item.open = if item.path == "/incidents" {
                open.len()
            } else {
                0
            };
        }
        shell.banners = banners(&reports, ctx);
        shell.more_sources = reports.len().saturating_sub(SOURCES_SHOWN);
        let (events, bytes) = reports
            .iter()
            .fold((0, 0), |(n, b), r| (n + r.items, b + r.bytes));
        shell.items_words = match events {
            0 => String::new(),
            _ => format!(
                "{} records, {} read",
                count(events),
                crate::chart::Unit::BYTES.format(as_f64(bytes))
            ),
        };
        shell.sources = worst_first(reports, ctx.now);
        shell.zone_short = at.strftime("%Z").to_string();
        Ok((shell, open))
    }

    /// A page without anything from the store: for errors.
    pub(crate) fn bare(path: &str, title: &str, ctx: &Context) -> Self {
        let (health_state, health_words) = health(ctx);
        Self {
            title: title.to_owned(),
            crumbs: vec![(title.to_owned(), String::new())],
            host: ctx.host.clone(),
            menu: PAGES
                .iter()
                .map(|p| MenuItem {
                    path: p.path,
                    title: p.title,
                    icon: p.icon,
                    here: p.path == path,
                    open: 0,
                })
                .collect(),
            range: None,
            keep: Vec::new(),
            keep_query: String::new(),
            banners: Vec::new(),
            sources: Vec::new(),
            more_sources: 0,
            health_state,
            health_words,
            items_words: String::new(),
            theme: ctx.theme,
            zone_name: ctx.zone.iana_name().unwrap_or("UTC").to_owned(),
            zone_short: zoned(ctx.now, &ctx.zone).strftime("%Z").to_string(),
            css: assets::path("vigie.css"),
            js: assets::path("vigie.js"),
            uplot: assets::path("uplot.js"),
            view: "",
        }
    }

    /// Keeps a parameter of the address when the range changes.
    pub(crate) fn keep(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.keep_query
                .push_str(&format!("&{name}={}", crate::html::url(value)));
            self.keep.push((name, value.to_owned()));
        }
    }
}

fn range_view(range: &Range, ctx: &Context) -> RangeView {
    RangeView {
        name: range.name(),
        words: range.words(&ctx.zone),
        from_text: range.from_text.clone(),
        to_text: range.to_text.clone(),
        from_s: range.from.0.div_euclid(1000),
        to_s: range.to.0.div_euclid(1000),
        live: range.is_live(),
        quick: QUICK
            .iter()
            .map(|(key, _)| Quick {
                key,
                name: quick_name(key),
                here: range.quick() == Some(*key),
            })
            .collect(),
        earlier: range.moved(-1, 1),
        later: range.moved(1, 1),
        wider: range.moved(0, 2),
    }
}

/// The writer's state, for the foot of the rail.
fn health(ctx: &Context) -> (&'static str, String) {
    let Some(health) = &ctx.health else {
        return ("unk", "Reading a store; no daemon here".to_owned());
    };
    match (&health.trouble, health.committed_at) {
        (Some(trouble), _) => {
            let ms = ctx.now.since_ms(trouble.since).max(0);
            ("crit", format!("Nothing stored for {}", duration(ms)))
        }
        (None, None) => ("unk", "Waiting for the first data".to_owned()),
        (None, Some(at)) => {
            let age = ctx.now.since_ms(at).max(0);
            let state = if age > SILENT_MS { "warn" } else { "ok" };
            (state, format!("Stored up to {} ago", duration(age)))
        }
    }
}

/// What everybody has to know before reading on.
fn banners(reports: &[SourceReport], ctx: &Context) -> Vec<Banner> {
    let mut out = Vec::new();
    if let Some(trouble) = ctx.health.as_ref().and_then(|h| h.trouble.as_ref()) {
        let since = crate::chart::time::clock(trouble.since, ctx.now, &ctx.zone);
        out.push(Banner {
            level: "crit",
            title: format!("Nothing can be written to the store since {since}."),
            text: format!(
                "{}. What is received waits in memory; what finds no room there is counted as dropped.",
                trouble.why
            ),
        });
    }
    let failed: BTreeSet<_> = reports
        .iter()
        .filter(|r| r.state == SourceState::Failed)
        .map(|r| vigie_query::log::printable(r.source.as_bytes()).into_owned())
        .collect();
    if let Some(first) = failed.first() {
        let others = failed.len() - 1;
        let more = if others > 0 {
            format!(" and {others} more")
        } else {
            String::new()
        };
        out.push(Banner {
            level: "warn",
            title: format!("{first}{more} cannot be read."),
            text: reports
                .iter()
                .find(|r| r.state == SourceState::Failed)
                .map_or(String::new(), |r| {
                    vigie_query::log::printable(r.detail.as_bytes()).into_owned()
                }),
        });
    }
    out
}

fn worst_first(mut reports: Vec<SourceReport>, now: Timestamp) -> Vec<RailSource> {
    reports.retain(|r| r.state != SourceState::Stopped);
    reports.sort_by_key(|r| (r.state == SourceState::Active, std::cmp::Reverse(r.items)));
    reports.truncate(SOURCES_SHOWN);
    reports
        .iter()
        .map(|r| {
            let lost: u64 = r.dropped.iter().map(|(_, n)| n).sum();
            let state = match r.state {
                SourceState::Failed => "crit",
                _ if lost > 0 => "warn",
                _ => "ok",
            };
            let mut words = match r.last {
                Some(at) => format!("{}, last {}", count(r.items), super::parts::ago(at, now)),
                None => "nothing yet".to_owned(),
            };
            if lost > 0 {
                words.push_str(&format!(", {} lost", count(lost)));
            }
            if r.lag_bytes > 0 {
                let lag = crate::chart::Unit::BYTES.format(as_f64(r.lag_bytes));
                words.push_str(&format!(", {lag} behind"));
            }
            RailSource {
                href: format!(
                    "/logs?q={}",
                    crate::html::url(&crate::logquery::term("source", &r.source))
                ),
                name: vigie_query::log::printable(r.source.as_bytes()).into_owned(),
                state,
                words,
            }
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(crate) fn as_f64(n: u64) -> f64 {
    n as f64
}
