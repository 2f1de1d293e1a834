//! The vital signs of a host: what it does right now.

use vigie_parsers::Timestamp;
use vigie_query::SourceError;

use super::charts::is_link;
use super::logcounts::last_minute;
use crate::chart::{Grid, Unit, columns};
use crate::figures::{Figures, last};
use crate::html::{escape, figure};

/// Filesystems that hold nothing of their own.
const NOT_DISKS: &[&str] = &[
    "tmpfs",
    "devtmpfs",
    "overlay",
    "squashfs",
    "ramfs",
    "proc",
    "sysfs",
    "cgroup2",
    "autofs",
    "efivarfs",
    "nsfs",
    "tracefs",
    "debugfs",
    "fuse.lxcfs",
];
/// What counts as right now.
const NOW_MS: i64 = 30_000;

/// One vital sign.
#[derive(Clone, Debug)]
pub(crate) struct Vital {
    /// Tells it apart on the page.
    pub(crate) id: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its value, as HTML.
    pub(crate) value: String,
    /// What stands below it.
    pub(crate) under: String,
    /// `ok`, `warn`, `crit`.
    pub(crate) state: &'static str,
    /// Where it leads.
    pub(crate) href: String,
}

/// A filesystem.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Disk {
    pub(crate) mount: String,
    pub(crate) device: String,
    pub(crate) kind: String,
    pub(crate) size: f64,
    pub(crate) avail: f64,
    /// Used of what is there, as `df` counts.
    pub(crate) share: f64,
    /// Used inodes; filesystems without a fixed number have none.
    pub(crate) inodes: Option<f64>,
}

/// The vital signs at a moment.
pub(crate) fn vitals(figures: &Figures<'_>, now: Timestamp) -> Result<Vec<Vital>, SourceError> {
    let recent = figures.over(Grid::with_step(now.plus_ms(-NOW_MS), now, 5000));
    Ok(vec![
        cpu(&recent)?,
        memory(&recent)?,
        disk(&recent)?,
        network(&recent)?,
        logs(&recent, now)?,
        load(&recent)?,
    ])
}

fn vital(id: &'static str, name: &'static str, unit: Unit, value: Option<f64>) -> Vital {
    Vital {
        id,
        name,
        value: figure(unit, value),
        under: String::new(),
        state: if value.is_some() { "ok" } else { "unk" },
        href: format!("#{id}"),
    }
}

fn graded(value: Option<f64>, warn: f64, crit: f64) -> &'static str {
    match value {
        None => "unk",
        Some(v) if v >= crit => "crit",
        Some(v) if v >= warn => "warn",
        Some(_) => "ok",
    }
}

fn cpu(recent: &Figures<'_>) -> Result<Vital, SourceError> {
    let modes = recent.rates("node_cpu_seconds_total", "mode")?;
    let all: Vec<_> = modes.iter().map(|(_, c)| c.clone()).collect();
    let total = last(&columns::sum(&all));
    let mode = |names: &[&str]| {
        let of = modes.iter().filter(|(m, _)| names.contains(&m.as_str()));
        let of: Vec<_> = of.map(|(_, c)| c.clone()).collect();
        Some(100.0 * last(&columns::sum(&of))? / total.filter(|t| *t > 0.0)?)
    };
    let mut v = vital(
        "cpu",
        "CPU busy",
        Unit::PERCENT,
        mode(&["idle", "iowait"]).map(|idle| (100.0 - idle).max(0.0)),
    );
    let wait = mode(&["iowait"]).unwrap_or(0.0);
    v.under = match total {
        Some(n) => format!(
            "{} processors, {} waiting for disks",
            n.round(),
            Unit::PERCENT.format(wait)
        ),
        None => String::new(),
    };
    Ok(v)
}

fn memory(recent: &Figures<'_>) -> Result<Vital, SourceError> {
    let total = last(&recent.gauge("node_memory_MemTotal_bytes")?);
    let available = last(&recent.gauge("node_memory_MemAvailable_bytes")?);
    let share = total
        .zip(available)
        .filter(|(t, _)| *t > 0.0)
        .map(|(t, a)| 100.0 * (t - a) / t);
    let mut v = vital("mem", "Memory used", Unit::PERCENT, share);
    v.state = graded(share, 90.0, 97.0);
    if let (Some(total), Some(available)) = (total, available) {
        let f = |b| Unit::BYTES.format(b);
        v.under = format!("{} of {}", f(total - available), f(total));
    }
    Ok(v)
}

fn disk(recent: &Figures<'_>) -> Result<Vital, SourceError> {
    let disks = disks(recent)?;
    let fullest = disks.first();
    let mut v = vital(
        "disk",
        "Fullest disk",
        Unit::PERCENT,
        fullest.map(|d| d.share),
    );
    v.state = graded(fullest.map(|d| d.share), 85.0, 95.0);
    v.under = fullest.map_or(String::new(), |d| {
        format!(
            "{} free on {}",
            Unit::BYTES.format(d.avail),
            escape(&d.mount)
        )
    });
    v.href = "#disks".to_owned();
    Ok(v)
}

fn network(recent: &Figures<'_>) -> Result<Vital, SourceError> {
    let sum = |metric| -> Result<Option<f64>, SourceError> {
        let all = recent.rates(metric, "device")?;
        let links: Vec<_> = all
            .into_iter()
            .filter(|(d, _)| is_link(d))
            .map(|(_, c)| c)
            .collect();
        Ok(last(&columns::sum(&links)).map(|b| b * 8.0))
    };
    let received = sum("node_network_receive_bytes_total")?;
    let sent = sum("node_network_transmit_bytes_total")?;
    let mut v = vital("net", "Network in", Unit::BITS_PER_SECOND, received);
    v.under = sent.map_or(String::new(), |s| {
        format!("{} out", Unit::BITS_PER_SECOND.format(s))
    });
    Ok(v)
}

fn logs(recent: &Figures<'_>, now: Timestamp) -> Result<Vital, SourceError> {
    let (all, errors) = last_minute(recent.source, now, recent.bounds)?;
    let mut v = vital(
        "logs",
        "Log lines",
        Unit::LINES_PER_MINUTE,
        Some(super::shell::as_f64(all)),
    );
    v.under = match errors {
        0 => "no error in the last minute".to_owned(),
        1 => "1 error in the last minute".to_owned(),
        n => format!(
            "{} errors in the last minute",
            crate::chart::units::count(n)
        ),
    };
    v.href = "/logs".to_owned();
    Ok(v)
}

fn load(recent: &Figures<'_>) -> Result<Vital, SourceError> {
    let now = last(&recent.gauge("node_load1")?);
    let mut v = vital("load", "Load, 1\u{202f}min", Unit::NONE, now);
    let (five, fifteen) = (
        last(&recent.gauge("node_load5")?),
        last(&recent.gauge("node_load15")?),
    );
    if let (Some(five), Some(fifteen)) = (five, fifteen) {
        v.under = format!("{five:.2} in 5\u{202f}min, {fifteen:.2} in 15");
    }
    Ok(v)
}

/// The filesystems, fullest first; a device mounted twice counts once.
pub(crate) fn disks(recent: &Figures<'_>) -> Result<Vec<Disk>, SourceError> {
    let sizes = recent.select("node_filesystem_size_bytes")?;
    let by_mount = |metric| recent.gauges(metric, "mountpoint");
    let (avail, free) = (
        by_mount("node_filesystem_avail_bytes")?,
        by_mount("node_filesystem_free_bytes")?,
    );
    let (files, files_free) = (
        by_mount("node_filesystem_files")?,
        by_mount("node_filesystem_files_free")?,
    );
    let mut out: Vec<Disk> = Vec::new();
    for series in &sizes {
        let label = |name| series.labels.get(name).unwrap_or_default().to_owned();
        let (mount, device, kind) = (label("mountpoint"), label("device"), label("fstype"));
        let at =
            |all: &[(String, Vec<Option<f64>>)]| last(&all.iter().find(|(m, _)| *m == mount)?.1);
        let (Some(size), Some(avail)) = (last(&recent.grid.gauge(&series.samples)), at(&avail))
        else {
            continue;
        };
        if NOT_DISKS.contains(&kind.as_str())
            || size <= 0.0
            || out.iter().any(|d| d.device == device)
        {
            continue;
        }
        let used = size - at(&free).unwrap_or(avail);
        let inodes = at(&files)
            .filter(|n| *n > 0.0)
            .zip(at(&files_free))
            .map(|(n, f)| 100.0 * (n - f) / n);
        let share = 100.0 * used / (used + avail).max(1.0);
        out.push(Disk {
            mount,
            device,
            kind,
            size,
            avail,
            share,
            inodes,
        });
    }
    out.sort_by(|a, b| b.share.total_cmp(&a.share));
    Ok(out)
}

/// What changes each second, for pages that are open: JSON.
pub(crate) fn live(
    figures: &Figures<'_>,
    now: Timestamp,
    open: usize,
) -> Result<serde_json::Value, SourceError> {
    let vitals: serde_json::Map<_, _> = vitals(figures, now)?
        .into_iter()
        .map(|v| {
            (
                v.id.to_owned(),
                serde_json::json!({"value": v.value, "under": v.under, "state": v.state}),
            )
        })
        .collect();
    Ok(serde_json::json!({"now": now.0, "open": open, "vitals": vitals}))
}
