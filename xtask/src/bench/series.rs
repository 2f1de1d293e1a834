//! The round-robin store beside rrdtool and rrdcached: taking readings, questions, recovery, what a
//! reading and a series cost on the disk and in memory; then one machine at rest. `--only ingest` takes
//! readings alone, `--only read` asks alone.

mod fleet;
mod rrdtool;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vigie_parsers::Timestamp;
use vigie_query::{Matcher, Selection, SeriesSource, promql};
use vigie_store::{Batch, Options, Reader, SampleRow, Synchronous, Writer};

use fleet::Fleet;

/// On a border of every archive.
pub(super) const START_MS: i64 = 247_222 * 7_200_000;
const HOUR_MS: i64 = 3_600_000;
/// Where the files are put as a killed writer leaves them.
const KILLED: &str = "killed";
/// Series of the fleet.
const SERIES: usize = 10_000;
/// An answer's time is the best of so many.
const PASSES: usize = 5;

/// What is measured, its unit, and what the design asks for.
const LINES: &[(&str, &str, f64)] = &[
    ("ingest, 1,000 a commit", "ns", 143.0),
    ("ingest, 10,000 a commit", "ns", 83.0),
    ("the same, NORMAL", "ns", f64::NAN),
    ("ingest, 100,000 series", "ns", 83.0),
    ("written, 1,000 a commit", "B", 16.0),
    ("written, 10,000 a commit", "B", 16.0),
    ("a raw slot", "B", 1.4),
    ("a coarse slot", "B", 6.0),
    ("full rings", "KiB", 370.0),
    ("memory a series", "KiB", 1.46),
    ("bulk", "ns", f64::NAN),
    ("one series, 24 h @ 1 min", "ms", 0.2),
    ("the same, cold", "ms", 6.0),
    ("one series, 1 y @ 1 h", "ms", 1.0),
    ("500 series, 6 h @ 1 min", "ms", 20.0),
    ("10,000 series, 1 h @ 1 min", "ms", 25.0),
    ("topk(10, rate(in[1h]))", "ms", f64::NAN),
    ("recovery, 10,000 series", "s", 0.3),
    ("recovery, 100,000 series", "s", 1.0),
    ("chart, SVG", "ms", 0.5),
    ("chart, PNG", "ms", 5.0),
    ("the same with bands, SVG", "ms", f64::NAN),
    ("the same with bands, PNG", "ms", f64::NAN),
];

/// What one program needs, by the names in [`LINES`].
pub(super) struct Figures {
    name: &'static str,
    values: Vec<(&'static str, f64)>,
}

impl Figures {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            values: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, line: &'static str, value: f64) {
        self.values.push((line, value));
    }

    fn get(&self, line: &str) -> Option<f64> {
        let found = self.values.iter().find(|(name, _)| *name == line);
        found.map(|(_, value)| *value)
    }
}

/// A measured stretch of work.
struct Cost {
    cpu: Duration,
    written: u64,
}

impl Cost {
    fn ns(&self, of: f64) -> f64 {
        self.cpu.as_nanos() as f64 / of
    }

    fn ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3
    }
}

fn measure<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    // Asking for the bytes takes time itself.
    let written = written_bytes();
    let cpu = cpu_time();
    let done = work()?;
    let cost = Cost {
        cpu: cpu_time() - cpu,
        written: written_bytes() - written,
    };
    Ok((done, cost))
}

fn cpu_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        t.tv_sec.unsigned_abs(),
        u32::try_from(t.tv_nsec).unwrap_or(0),
    )
}

fn proc_value(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key));
    line.and_then(|v| v.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn written_bytes() -> u64 {
    proc_value("/proc/self/io", "wchar:")
}

fn rss_kib() -> u64 {
    proc_value("/proc/self/status", "VmRSS:")
}

/// Runs it.
pub(super) fn run() -> Result<()> {
    match super::option::<String>("--only")?.as_deref() {
        None => {}
        Some("ingest") => return only_ingest(),
        Some("read") => return only_read(),
        Some(other) => anyhow::bail!("--only {other}? ingest or read"),
    }
    let vigie = vigie()?;
    let mut all = vec![vigie];
    all.extend(rrdtool::rrdtool()?);
    all.extend(rrdtool::rrdcached()?);
    table(&all);
    at_rest()
}

/// Taking readings alone, several times: the least counts.
fn only_ingest() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cases = [
        ("1,000 a commit", 1_000, Synchronous::Full, 720),
        ("10,000 a commit", SERIES, Synchronous::Full, 1080),
        ("the same, NORMAL", SERIES, Synchronous::Normal, 1080),
    ];
    for (name, per_commit, synchronous, rounds) in cases {
        let mut least = f64::INFINITY;
        for _ in 0..PASSES {
            let (ns, _) = ingest(dir.path(), SERIES, per_commit, synchronous, rounds)?;
            least = least.min(ns);
            std::fs::remove_dir_all(dir.path())?;
            std::fs::create_dir(dir.path())?;
        }
        println!("{name:28} {least:.1} ns");
    }
    Ok(())
}

/// Questions alone.
fn only_read() -> Result<()> {
    let mut figures = Figures::new("vigie");
    let dir = tempfile::tempdir()?;
    let (fleet, rounds) = (dir.path().join("fleet"), 6 * 360);
    ingest(&fleet, SERIES, SERIES, Synchronous::Full, rounds)?;
    fleet_questions(&fleet, START_MS + rounds * 10_000, &mut figures)?;
    bulk(&dir.path().join("bulk"), &mut figures)?;
    for (name, value) in figures.values {
        println!("{name:28} {value:.3}");
    }
    Ok(())
}

fn table(all: &[Figures]) {
    print!("{:28} {:>10}", "", "asked");
    for one in all {
        print!(" {:>18}", one.name);
    }
    println!();
    for (line, unit, asked) in LINES {
        let asked = match asked.is_nan() {
            true => String::new(),
            false => format!("≤ {asked} {unit}"),
        };
        print!("{line:28} {asked:>10}");
        let ours = all.first().and_then(|v| v.get(line));
        for one in all {
            let text = match (one.get(line), ours) {
                (Some(value), Some(ours)) if value != ours => {
                    format!("{value:.2} {unit} ×{:.0}", value / ours)
                }
                (Some(value), _) => format!("{value:.2} {unit}"),
                (None, _) => String::new(),
            };
            print!(" {text:>18}");
        }
        println!();
    }
}

fn vigie() -> Result<Figures> {
    let mut figures = Figures::new("vigie");
    let dir = tempfile::tempdir()?;
    // First, while the process is small: what is left over would hide what a series takes.
    let many = dir.path().join("many");
    let (cost, kib) = ingest(&many, 100_000, 10_000, Synchronous::Full, 200)?;
    figures.set("ingest, 100,000 series", cost);
    figures.set("memory a series", kib.1);
    figures.set("recovery, 100,000 series", recovery(&many)?);
    std::fs::remove_dir_all(&many)?;

    let fleet = dir.path().join("fleet");
    let rounds = 6 * 360;
    let (cost, kib) = ingest(&fleet, SERIES, 1_000, Synchronous::Full, rounds)?;
    figures.set("ingest, 1,000 a commit", cost);
    figures.set("written, 1,000 a commit", kib.0);
    space(&fleet, &mut figures)?;
    fleet_questions(&fleet, START_MS + rounds * 10_000, &mut figures)?;
    figures.set("recovery, 10,000 series", recovery(&fleet)?);
    std::fs::remove_dir_all(&fleet)?;

    let large = dir.path().join("large");
    let (cost, kib) = ingest(&large, SERIES, SERIES, Synchronous::Full, 1080)?;
    figures.set("ingest, 10,000 a commit", cost);
    figures.set("written, 10,000 a commit", kib.0);
    std::fs::remove_dir_all(&large)?;
    let (cost, _) = ingest(&large, SERIES, SERIES, Synchronous::Normal, 1080)?;
    figures.set("the same, NORMAL", cost);

    bulk(&dir.path().join("bulk"), &mut figures)?;
    chart(&mut figures)?;
    Ok(figures)
}

fn options() -> Options {
    Options {
        series_bytes: 256 << 30,
        budget_bytes: 256 << 30,
        series_max: 200_000,
        ..Options::default()
    }
}

/// Rounds of all series every ten seconds, `per_commit` at a time: nanoseconds a reading, and bytes
/// written a reading with KiB of memory a series.
fn ingest(
    dir: &Path,
    series: usize,
    per_commit: usize,
    synchronous: Synchronous,
    rounds: i64,
) -> Result<(f64, (f64, f64))> {
    let options = Options {
        synchronous,
        ..options()
    };
    let mut writer = Writer::open(dir, &options, Timestamp(START_MS))?;
    let mut fleet = Fleet::intern(&writer, series, 10_000)?;
    let empty_kib = rss_kib();
    let (mut cpu, mut written) = (Duration::ZERO, 0);
    for round in 0..rounds {
        for (part, from) in (0..series).step_by(per_commit).enumerate() {
            let parts = series / per_commit;
            let time = Timestamp(START_MS + round * 10_000 + (part * 10_000 / parts) as i64);
            let mut batch = Batch::default();
            let readings = (from..from + per_commit).map(|i| SampleRow {
                series: fleet.ids[i],
                time,
                reading: fleet.read(i),
            });
            batch.samples.rows.extend(readings);
            let ((), cost) = measure(|| {
                writer.apply(batch);
                Ok(writer.commit(time)?)
            })?;
            cpu += cost.cpu;
            written += cost.written;
        }
    }
    // As a killed process leaves them.
    let killed = dir.join(KILLED);
    std::fs::create_dir_all(&killed)?;
    for name in ["vigie.db", "vigie.db-wal"] {
        std::fs::copy(dir.join(name), killed.join(name))?;
    }
    let readings = rounds as f64 * series as f64;
    let kib = (rss_kib() - empty_kib.min(rss_kib())) as f64 / series as f64;
    let ns = cpu.as_nanos() as f64 / readings;
    Ok((ns, (written as f64 / readings, kib)))
}

/// What slots take, and a series' rings of ten seconds once they are full.
fn space(dir: &Path, figures: &mut Figures) -> Result<()> {
    let report = Reader::open(dir)?.verify_series()?;
    let each = |(slots, bytes): (u64, u64)| bytes as f64 / slots as f64;
    let (raw, coarse) = (each(report.raw), each(report.coarse));
    figures.set("a raw slot", raw);
    figures.set("a coarse slot", coarse);
    // 10 s for 2 days; minutes for 14, ten minutes for 92, two hours for 732.
    let slots = (17_280.0, f64::from(20_160 + 13_248 + 8_784));
    let bytes = slots.0 * raw + slots.1 * coarse;
    figures.set("full rings", bytes / 1024.0);
    Ok(())
}

fn fleet_questions(dir: &Path, end_ms: i64, figures: &mut Figures) -> Result<()> {
    let reader = Reader::open(dir)?;
    let hour = (end_ms - HOUR_MS, end_ms);
    let ms = ask(&reader, &[], hour, 60_000, SERIES)?;
    figures.set("10,000 series, 1 h @ 1 min", ms);
    let rack = [Matcher::equal("rack", "3")];
    let six = (end_ms - 6 * HOUR_MS, end_ms);
    let ms = ask(&reader, &rack, six, 60_000, 500)?;
    figures.set("500 series, 6 h @ 1 min", ms);
    let top = promql::parse("topk(10, rate(in[1h]))")?;
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let params = promql::Params::default();
        let (_, cost) =
            measure(|| Ok(promql::instant(&reader, &top, Timestamp(end_ms), &params)?))?;
        best = best.min(cost.ms());
    }
    figures.set("topk(10, rate(in[1h]))", best);
    Ok(())
}

/// Milliseconds that a selection takes at best; it must find so many series at least.
fn ask(
    reader: &Reader,
    matchers: &[Matcher],
    (from, until): (i64, i64),
    step_ms: i64,
    series: usize,
) -> Result<f64> {
    let selection = Selection {
        matchers,
        from: Timestamp(from),
        until: Timestamp(until),
        step_ms,
        max_samples: usize::MAX,
        deadline: None,
    };
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let (found, cost) = measure(|| Ok(reader.select(&selection)?))?;
        anyhow::ensure!(found.len() >= series, "{} series found", found.len());
        best = best.min(cost.ms());
    }
    Ok(best)
}

/// Seconds until a store whose writer was killed takes readings again.
fn recovery(dir: &Path) -> Result<f64> {
    let dir = dir.join(KILLED);
    let (_, cost) = measure(|| Ok(Writer::open(&dir, &options(), Timestamp(START_MS))?))?;
    Ok(cost.cpu.as_secs_f64())
}

/// A year of eight series every minute in bulk, and questions to one of them.
fn bulk(dir: &Path, figures: &mut Figures) -> Result<()> {
    let mut writer = Writer::open(dir, &options(), Timestamp(START_MS))?;
    let mut fleet = Fleet::intern(&writer, 8, 1_000)?;
    let minutes = 365 * 1440i64;
    let until = Timestamp(START_MS + minutes * 60_000);
    let ids = fleet.ids.clone();
    let rows = (0..=minutes).flat_map(|m| (0..8).map(move |i| (m, i)));
    let rows = rows.map(|(m, i)| SampleRow {
        series: ids[i],
        time: Timestamp(START_MS + m * 60_000),
        reading: fleet.read(i),
    });
    let (taken, cost) = measure(|| Ok(writer.backfill(rows, 60_000, until)?))?;
    figures.set("bulk", cost.ns(taken as f64));
    drop(writer);
    let one = [Matcher::equal("__name__", "temperature")];
    let back = |hours: i64| (until.0 - hours * HOUR_MS, until.0);
    let reader = Reader::open(dir)?;
    let ms = ask(&reader, &one, back(24), 60_000, 1)?;
    figures.set("one series, 24 h @ 1 min", ms);
    let ms = ask(&reader, &one, back(365 * 24), HOUR_MS, 1)?;
    figures.set("one series, 1 y @ 1 h", ms);
    drop(reader);
    let file = std::fs::File::open(dir.join("vigie.db")).context("the store")?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let wall = Instant::now();
    let cold = Reader::open(dir)?;
    let selection = Selection {
        matchers: &one,
        from: Timestamp(back(24).0),
        until,
        step_ms: 60_000,
        max_samples: usize::MAX,
        deadline: None,
    };
    cold.select(&selection)?;
    // What is waited for is the disk: the only figure that is wall time.
    figures.set("the same, cold", wall.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Two lines of 800 points, 600 × 200: measured where charts are drawn.
fn chart(figures: &mut Figures) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Of the whole workspace, so that nothing is compiled with other features.
    let told = std::process::Command::new(cargo)
        .args(["bench", "-q", "--workspace", "--bench", "chart"])
        .output()?;
    let text = String::from_utf8_lossy(&told.stdout);
    for (name, line) in [
        ("SVG ms", "chart, SVG"),
        ("PNG ms", "chart, PNG"),
        ("bands SVG ms", "the same with bands, SVG"),
        ("bands PNG ms", "the same with bands, PNG"),
    ] {
        let mut values = text.lines().filter_map(|l| l.strip_prefix(name));
        let value = values.next().and_then(|v| v.trim().parse().ok());
        let value = value.with_context(|| {
            let why = String::from_utf8_lossy(&told.stderr);
            format!("the bench of charts does not tell {name}: {why}")
        })?;
        figures.set(line, value);
    }
    Ok(())
}

/// One machine: 600 series each second, a commit each second, an hour of it.
fn at_rest() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS))?;
    let mut fleet = Fleet::intern(&writer, 600, 1_000)?;
    let seconds = 3_600i64;
    let ((), cost) = measure(|| {
        for second in 0..seconds {
            let time = Timestamp(START_MS + second * 1000);
            let mut batch = Batch::default();
            batch.samples.rows.extend((0..600).map(|i| SampleRow {
                series: fleet.ids[i],
                time,
                reading: fleet.read(i),
            }));
            writer.apply(batch);
            writer.commit(time)?;
        }
        Ok(())
    })?;
    println!(
        "one machine, 600 series @ 1 s: {:.3} % of a core, {:.0} B written/s",
        cost.cpu.as_secs_f64() / seconds as f64 * 100.0,
        cost.written as f64 / seconds as f64,
    );
    Ok(())
}
