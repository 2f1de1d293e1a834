//! The tables of the overview: what is open, what was changed, interfaces, hosts, sources.

use vigie_query::SourceError;
use vigie_store::incidents::{Change, Incident};
use vigie_store::{SourceReport, SourceState};

use super::horizon::shape;
use super::parts::{ago, level};
use super::shell::{Context, as_f64};
use super::vitals::disks;
use crate::chart::time::clock;
use crate::chart::units::{count, duration};
use crate::chart::{Grid, Unit, columns};
use crate::figures::{Figures, last};

/// Hosts in the table.
const HOSTS_SHOWN: usize = 50;

/// An open incident, in one line.
pub(super) struct IncidentRow {
    pub(super) level: &'static str,
    pub(super) id: u64,
    pub(super) title: String,
    pub(super) since: String,
    pub(super) lasting: String,
    pub(super) by: Option<String>,
}

/// Something that was changed on purpose.
pub(super) struct ChangeRow {
    pub(super) at: String,
    pub(super) class: &'static str,
    pub(super) text: String,
}

/// A network interface: bits a second each way, faults a second.
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) received: Option<f64>,
    pub(super) sent: Option<f64>,
    pub(super) faults: Option<f64>,
}

/// A host and how it is: shares in percent.
pub(super) struct HostRow {
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) cpu: Option<f64>,
    pub(super) memory: Option<f64>,
    pub(super) disk: Option<(String, f64)>,
    pub(super) load: Option<f64>,
    pub(super) uptime: String,
    pub(super) here: bool,
}

/// Where data comes from, what it brought and what was lost.
pub(super) struct SourceRow {
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) detail: String,
    pub(super) items: String,
    pub(super) bytes: String,
    pub(super) last: String,
    pub(super) lag: String,
    pub(super) lost: String,
}

pub(super) fn incident_row(i: &Incident, ctx: &Context) -> IncidentRow {
    IncidentRow {
        level: level(i).as_str(),
        id: i.id.0,
        title: i.title.clone(),
        since: clock(i.onset, ctx.now, &ctx.zone),
        lasting: duration(i.duration_ms(ctx.now)),
        by: i.acknowledged.as_ref().map(|a| a.by.clone()),
    }
}

pub(super) fn change_row(c: &Change, ctx: &Context) -> ChangeRow {
    ChangeRow {
        at: clock(c.at, ctx.now, &ctx.zone),
        class: shape(c.kind),
        text: vigie_query::log::printable(c.text.as_bytes()).into_owned(),
    }
}

pub(super) fn interfaces(figures: &Figures<'_>) -> Result<Vec<Interface>, SourceError> {
    let rate = |metric| figures.rates(metric, "device");
    let received = rate("node_network_receive_bytes_total")?;
    let sent = rate("node_network_transmit_bytes_total")?;
    let mut faults = Vec::new();
    for metric in [
        "node_network_receive_errs_total",
        "node_network_transmit_errs_total",
        "node_network_receive_drop_total",
        "node_network_transmit_drop_total",
    ] {
        faults.extend(rate(metric)?);
    }
    let of = |all: &[(String, Vec<Option<f64>>)], name: &str| {
        last(&all.iter().find(|(d, _)| d == name)?.1)
    };
    Ok(received
        .iter()
        .map(|(name, _)| {
            let own: Vec<f64> = faults
                .iter()
                .filter(|(d, _)| d == name)
                .filter_map(|(_, c)| last(c))
                .collect();
            Interface {
                name: name.clone(),
                received: of(&received, name).map(|b| b * 8.0),
                sent: of(&sent, name).map(|b| b * 8.0),
                faults: (!own.is_empty()).then(|| own.iter().sum()),
            }
        })
        .collect())
}

pub(super) fn host_rows(
    figures: &Figures<'_>,
    hosts: &[Option<String>],
    shown: &str,
    ctx: &Context,
) -> Result<Vec<HostRow>, SourceError> {
    if hosts.len() < 2 {
        return Ok(Vec::new());
    }
    // Other hosts are read less often than this one: look a little further back.
    let grid = Grid::with_step(ctx.now.plus_ms(-180_000), ctx.now, 60_000);
    hosts
        .iter()
        .flatten()
        .take(HOSTS_SHOWN)
        .map(|name| {
            let of = Figures {
                source: figures.source,
                bounds: figures.bounds,
                host: Some(name),
                grid,
            };
            let idle = of.rates("node_cpu_seconds_total", "mode")?;
            let every: Vec<_> = idle.iter().map(|(_, c)| c.clone()).collect();
            let total = last(&columns::sum(&every)).filter(|t| *t > 0.0);
            let idle = idle
                .iter()
                .find(|(m, _)| m == "idle")
                .and_then(|(_, c)| last(c));
            let cpu = idle.zip(total).map(|(i, t)| 100.0 * (1.0 - i / t));
            let available = last(&of.gauge("node_memory_MemAvailable_bytes")?);
            let memory = last(&of.gauge("node_memory_MemTotal_bytes")?).zip(available);
            let load = last(&of.gauge("node_load5")?);
            let disk = disks(&of)?.into_iter().next().map(|d| (d.mount, d.share));
            let worst = disk.as_ref().map_or(0.0, |d| d.1);
            Ok(HostRow {
                name: name.clone(),
                state: match load {
                    None => "unk",
                    Some(_) if worst >= 95.0 => "crit",
                    Some(_) if worst >= 85.0 => "warn",
                    Some(_) => "ok",
                },
                cpu,
                memory: memory.map(|(t, a)| 100.0 * (t - a) / t.max(1.0)),
                disk,
                load,
                uptime: uptime(&of, ctx)?.unwrap_or_default(),
                here: name == shown,
            })
        })
        .collect()
}

pub(super) fn source_row(r: &SourceReport, ctx: &Context) -> SourceRow {
    let safe = |t: &str| vigie_query::log::printable(t.as_bytes()).into_owned();
    let lost: Vec<String> = r
        .dropped
        .iter()
        .map(|(why, n)| format!("{} {}", count(*n), safe(why)))
        .collect();
    SourceRow {
        name: safe(&r.source),
        state: match r.state {
            SourceState::Active if lost.is_empty() => "ok",
            SourceState::Active => "warn",
            SourceState::Failed => "crit",
            SourceState::Stopped => "unk",
        },
        detail: safe(&r.detail),
        items: count(r.items),
        bytes: Unit::BYTES.format(as_f64(r.bytes)),
        last: r.last.map_or("never".to_owned(), |at| ago(at, ctx.now)),
        lag: match r.lag_bytes {
            0 => String::new(),
            n => Unit::BYTES.format(as_f64(n)),
        },
        lost: lost.join(", "),
    }
}

/// How long ago the host booted.
pub(super) fn uptime(figures: &Figures<'_>, ctx: &Context) -> Result<Option<String>, SourceError> {
    let booted = last(&figures.gauge("node_boot_time_seconds")?);
    #[expect(clippy::cast_possible_truncation, reason = "checked to be a date")]
    let ms = booted
        .filter(|s| (0.0..1e11).contains(s))
        .map(|s| (s * 1000.0) as i64);
    Ok(ms.map(|ms| duration(ctx.now.0 - ms)))
}
