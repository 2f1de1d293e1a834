//! The charts of one host: which there are, and what each shows.

use vigie_query::SourceError;

use super::logcounts::LogCounts;
use crate::chart::{ChartSpec, Color, Draft, Grid, Kind, Line, Shape, Span, Unit, columns};
use crate::figures::{Column, Figures, last};
use crate::range::Range;
use jiff::tz::TimeZone;

/// A chart holds this many series at most; what is left is added up as "others".
const SERIES_MAX: usize = 4;

/// Where and when the charts of a page lie.
pub(crate) struct Scene<'a> {
    pub(crate) figures: &'a Figures<'a>,
    pub(crate) range: &'a Range,
    pub(crate) zone: &'a TimeZone,
    /// Incidents of the range, for the tint behind the curves.
    pub(crate) spans: &'a [Span],
}

type Made = Result<Option<ChartSpec>, SourceError>;

/// The charts of a host, in the order of the page. A chart without any series is left out.
pub(crate) fn host(scene: &Scene<'_>, logs: &LogCounts) -> Result<Vec<ChartSpec>, SourceError> {
    const MAKE: &[fn(&Scene<'_>) -> Made] = &[
        network, cpu, memory, load, disk_io, disk_busy, pressure, processes, swap,
    ];
    let mut out = Vec::new();
    for make in MAKE {
        out.extend(make(scene)?);
    }
    out.push(log_volume(scene, logs));
    Ok(out)
}

impl Scene<'_> {
    fn draft(&self, id: &str, title: &str, unit: Unit) -> Draft {
        let grid = self.figures.grid;
        Draft::new(id, title, unit, self.range.from, self.range.to, grid)
    }

    fn finish(&self, mut draft: Draft) -> Option<ChartSpec> {
        let known = draft.lines.iter().any(|l| l.ys.iter().any(Option::is_some));
        draft.spans = self.spans.to_vec();
        known.then(|| draft.finish(self.zone))
    }
}

fn scaled(column: &[Option<f64>], by: f64) -> Column {
    column.iter().map(|v| v.map(|v| v * by)).collect()
}

fn mean(column: &[Option<f64>]) -> f64 {
    let known: Vec<f64> = column.iter().flatten().copied().collect();
    #[expect(clippy::cast_precision_loss, reason = "columns are short")]
    let n = known.len().max(1) as f64;
    known.iter().sum::<f64>() / n
}

/// MRTG's picture: in as an area, out as a line.
fn network(scene: &Scene<'_>) -> Made {
    let received = scene
        .figures
        .rates("node_network_receive_bytes_total", "device")?;
    let sent = scene
        .figures
        .rates("node_network_transmit_bytes_total", "device")?;
    let real = |all: Vec<(String, Column)>| {
        let all: Vec<Column> = all
            .into_iter()
            .filter(|(d, _)| is_link(d))
            .map(|(_, c)| c)
            .collect();
        scaled(&columns::sum(&all), 8.0)
    };
    let mut draft = scene.draft("net", "Network", Unit::BITS_PER_SECOND);
    draft.sub = "all interfaces".to_owned();
    draft.value_ticks = 5;
    let (green, blue) = (Color::series(1), Color::series(0));
    draft
        .lines
        .push(Line::new("in", green, Kind::Area, real(received)));
    draft
        .lines
        .push(Line::new("out", blue, Kind::Line, real(sent)));
    Ok(scene.finish(draft))
}

/// Interfaces that stand for a link to elsewhere.
pub(crate) fn is_link(device: &str) -> bool {
    ![
        "lo", "veth", "docker", "br-", "ifb", "virbr", "cni", "flannel",
    ]
    .iter()
    .any(|p| device.starts_with(p))
}

fn cpu(scene: &Scene<'_>) -> Made {
    /// Drawn from below; the rest of the modes is rarely there.
    const MODES: &[(&str, &[&str])] = &[
        ("user", &["user", "nice"]),
        ("system", &["system"]),
        ("waiting for disks", &["iowait"]),
        ("interrupts", &["irq", "softirq"]),
        ("stolen", &["steal"]),
    ];
    let modes = scene.figures.rates("node_cpu_seconds_total", "mode")?;
    let all: Vec<Column> = modes.iter().map(|(_, c)| c.clone()).collect();
    // What all modes add up to is the number of processors.
    let total = columns::sum(&all);
    let mut draft = scene.draft("cpu", "CPU", Unit::PERCENT);
    draft.sub = "by mode".to_owned();
    draft.shape = Shape::Stack;
    draft.cap = Some(100.0);
    for (label, of) in MODES {
        let parts: Vec<Column> = modes
            .iter()
            .filter(|(m, _)| of.contains(&m.as_str()))
            .map(|(_, c)| c.clone())
            .collect();
        let share = columns::zip(&columns::sum(&parts), &total, |part, all| {
            100.0 * part / all
        });
        // A mode that never shows would only lengthen the legend.
        let shown = *label == "user" || *label == "system" || mean(&share) > 0.05;
        if !parts.is_empty() && shown {
            draft = draft.line(label, Kind::Area, share);
        }
    }
    Ok(scene.finish(draft))
}

fn memory(scene: &Scene<'_>) -> Made {
    let total = scene.figures.gauge("node_memory_MemTotal_bytes")?;
    let available = scene.figures.gauge("node_memory_MemAvailable_bytes")?;
    let free = scene.figures.gauge("node_memory_MemFree_bytes")?;
    let mut draft = scene.draft("mem", "Memory", Unit::BYTES);
    draft.shape = Shape::Stack;
    draft.cap = last(&total);
    let draft = draft
        .line(
            "used",
            Kind::Area,
            columns::zip(&total, &available, |t, a| (t - a).max(0.0)),
        )
        .line(
            "cache",
            Kind::Area,
            columns::zip(&available, &free, |a, f| (a - f).max(0.0)),
        );
    Ok(scene.finish(draft))
}

fn swap(scene: &Scene<'_>) -> Made {
    let total = scene.figures.gauge("node_memory_SwapTotal_bytes")?;
    let free = scene.figures.gauge("node_memory_SwapFree_bytes")?;
    let Some(size) = last(&total).filter(|t| *t > 0.0) else {
        return Ok(None);
    };
    let mut draft = scene.draft("swap", "Swap used", Unit::BYTES);
    draft.cap = Some(size);
    let draft = draft.line(
        "used",
        Kind::Area,
        columns::zip(&total, &free, |t, f| t - f),
    );
    Ok(scene.finish(draft))
}

fn load(scene: &Scene<'_>) -> Made {
    let mut draft = scene.draft("load", "Load", Unit::NONE);
    draft.sub = "processes that run or wait".to_owned();
    for (label, metric) in [
        ("1\u{202f}min", "node_load1"),
        ("5\u{202f}min", "node_load5"),
        ("15\u{202f}min", "node_load15"),
    ] {
        draft = draft.line(label, Kind::Line, scene.figures.gauge(metric)?);
    }
    Ok(scene.finish(draft))
}

fn disk_io(scene: &Scene<'_>) -> Made {
    let total = |metric| -> Result<Column, SourceError> {
        let all = scene.figures.rates(metric, "device")?;
        let whole: Vec<Column> = all
            .into_iter()
            .filter(|(d, _)| is_disk(d))
            .map(|(_, c)| c)
            .collect();
        Ok(columns::sum(&whole))
    };
    let draft = scene
        .draft("io", "Disk transfer", Unit::BYTES_PER_SECOND)
        .line("read", Kind::Line, total("node_disk_read_bytes_total")?)
        .line(
            "written",
            Kind::Line,
            total("node_disk_written_bytes_total")?,
        );
    Ok(scene.finish(draft))
}

/// Devices that are not made of others: loops, RAM disks and mappings would count twice.
fn is_disk(device: &str) -> bool {
    !["loop", "ram", "dm-", "md", "zram", "sr"]
        .iter()
        .any(|p| device.starts_with(p))
}

fn disk_busy(scene: &Scene<'_>) -> Made {
    let mut disks = scene
        .figures
        .rates("node_disk_io_time_seconds_total", "device")?;
    disks.retain(|(device, _)| is_disk(device));
    disks.sort_by(|a, b| mean(&b.1).total_cmp(&mean(&a.1)));
    let mut draft = scene.draft("busy", "Disk busy", Unit::PERCENT);
    draft.cap = Some(100.0);
    let busy = |c: &Column| {
        c.iter()
            .map(|v| v.map(|v| (v * 100.0).min(100.0)))
            .collect()
    };
    for (device, column) in disks.iter().take(SERIES_MAX) {
        draft = draft.line(device, Kind::Line, busy(column));
    }
    Ok(scene.finish(draft))
}

fn pressure(scene: &Scene<'_>) -> Made {
    let mut draft = scene.draft("psi", "Pressure", Unit::PERCENT);
    draft.sub = "time in which work waited".to_owned();
    draft.cap = Some(100.0);
    for (label, metric) in [
        ("for CPU", "node_pressure_cpu_waiting_seconds_total"),
        ("for memory", "node_pressure_memory_waiting_seconds_total"),
        ("for disks", "node_pressure_io_waiting_seconds_total"),
    ] {
        draft = draft.line(
            label,
            Kind::Line,
            scaled(&scene.figures.rate(metric)?, 100.0),
        );
    }
    Ok(scene.finish(draft))
}

fn processes(scene: &Scene<'_>) -> Made {
    let draft = scene
        .draft("procs", "Processes", Unit::NONE)
        .line(
            "running",
            Kind::Line,
            scene.figures.gauge("node_procs_running")?,
        )
        .line(
            "blocked",
            Kind::Line,
            scene.figures.gauge("node_procs_blocked")?,
        );
    Ok(scene.finish(draft))
}

/// Log lines by severity, the worst at the bottom, so that its height can be read.
pub(crate) fn log_volume(scene: &Scene<'_>, logs: &LogCounts) -> ChartSpec {
    log_bars("logs", "Log volume", logs, scene.range, scene.zone)
}

/// Bars of log lines by severity.
pub(crate) fn log_bars(
    id: &str,
    title: &str,
    logs: &LogCounts,
    range: &Range,
    zone: &TimeZone,
) -> ChartSpec {
    const LABELS: [&str; 4] = ["errors", "warnings", "notices", "other"];
    let mut draft = Draft::new(id, title, Unit::LINES, range.from, range.to, logs.grid);
    draft.sub = format!(
        "lines per {}, by severity",
        crate::chart::units::step(logs.grid.step_ms)
    );
    draft.shape = Shape::Bars;
    draft.value_ticks = 3;
    draft.time_ticks = 9;
    for ((label, color), ys) in LABELS.iter().zip(Color::SEVERITY).zip(&logs.columns) {
        let line = Line::new(label, color, Kind::Area, ys.clone());
        draft.lines.push(line);
    }
    draft.finish(zone)
}

/// The cells of a page's charts: two CSS pixels each at most, on a panel of a third of a screen.
pub(crate) fn grid(range: &Range) -> Grid {
    const CELLS: usize = 240;
    Grid::covering(range.from, range.to, CELLS)
}
