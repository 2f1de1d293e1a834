//! The round-robin store: 10,000 series of a fleet written and read, then one machine at rest.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, MetricKind, Selection, SeriesSource};
use vigie_store::{Batch, Options, Reader, Reading, SampleRow, SeriesDef, SeriesId, Writer};

/// On a border of every archive.
const START_MS: i64 = 247_222 * 7_200_000;
const HOUR_MS: i64 = 3_600_000;

/// A measured stretch of work.
struct Cost {
    cpu: Duration,
    wall: Duration,
    written: u64,
}

fn measure<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let (cpu, wall, written) = (cpu_time(), Instant::now(), written_bytes());
    let done = work()?;
    let cost = Cost {
        cpu: cpu_time() - cpu,
        wall: wall.elapsed(),
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

/// A cheap stream of numbers without a pattern.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Series as a fleet has them: busy and idle octet counters, packets, states, temperatures, shares.
struct Fleet {
    ids: Vec<SeriesId>,
    states: Vec<u64>,
    noise: Noise,
}

impl Fleet {
    fn intern(writer: &Writer, count: usize, step_ms: i64) -> Result<Self> {
        let ids = (0..count).map(|i| {
            let kind = if i % 8 < 4 {
                MetricKind::Counter
            } else {
                MetricKind::Gauge
            };
            let name = [
                "in",
                "out",
                "packets",
                "errors",
                "state",
                "temperature",
                "share",
                "bytes",
            ][i % 8];
            let labels = Labels::metric(name, &[("n", &(i / 8).to_string())]);
            Ok(writer.registry().intern(&SeriesDef {
                labels,
                kind,
                help: "",
                step_ms,
            })?)
        });
        let ids: Vec<SeriesId> = ids.collect::<Result<_>>()?;
        Ok(Self {
            states: vec![1 << 20; ids.len()],
            ids,
            noise: Noise(7),
        })
    }

    fn read(&mut self, i: usize) -> Reading {
        let noise = &mut self.noise;
        let state = &mut self.states[i];
        match i % 8 {
            0 | 1 => *state += noise.next(100_000) + (i as u64 % 50) * 10_000,
            2 => *state += noise.next(500),
            3 => *state += u64::from(noise.next(1000) == 0),
            4 => {
                *state = u64::from(noise.next(5000) != 0);
                return Reading::Gauge(*state as f64);
            }
            5 => {
                *state = (*state + noise.next(3)).saturating_sub(1);
                return Reading::Gauge(*state as f64 / 10.0);
            }
            6 => return Reading::Gauge(noise.next(10_000) as f64 / 100.0),
            _ => {
                *state += noise.next(4) * 4096;
                return Reading::Gauge(*state as f64);
            }
        }
        Reading::Counter(*state)
    }
}

/// Runs it.
pub(super) fn run() -> Result<()> {
    for commit in [1_000, 10_000] {
        let dir = tempfile::tempdir()?;
        ingest(dir.path(), 10_000, commit)?;
        if commit == 1_000 {
            reads(dir.path())?;
            recovery(dir.path())?;
        }
    }
    bulk()?;
    at_rest()
}

fn options() -> Options {
    Options {
        series_bytes: 64 << 30,
        budget_bytes: 64 << 30,
        ..Options::default()
    }
}

/// Three hours of 10,000 series every ten seconds, `per_commit` at a time.
fn ingest(dir: &Path, series: usize, per_commit: usize) -> Result<()> {
    let before_kib = rss_kib();
    let mut writer = Writer::open(dir, &options(), Timestamp(START_MS))?;
    let mut fleet = Fleet::intern(&writer, series, 10_000)?;
    let registry_kib = rss_kib();
    let rounds = 3 * 360;
    let ((), cost) = measure(|| {
        for round in 0..rounds {
            for (part, from) in (0..series).step_by(per_commit).enumerate() {
                let parts = series / per_commit;
                let time = START_MS + round * 10_000 + (part * 10_000 / parts) as i64;
                let mut batch = Batch::default();
                batch
                    .samples
                    .rows
                    .extend((from..from + per_commit).map(|i| SampleRow {
                        series: fleet.ids[i],
                        time: Timestamp(time),
                        reading: fleet.read(i),
                    }));
                writer.apply(batch);
                writer.commit(Timestamp(time))?;
            }
        }
        Ok(())
    })?;
    let samples = rounds as f64 * series as f64;
    println!(
        "{series} series, {per_commit} samples a commit, FULL: {:.0} ns CPU/sample ({:.1} M/s/core), \
         {:.1} B written/sample, wall {:.1} s",
        cost.cpu.as_nanos() as f64 / samples,
        samples / cost.cpu.as_secs_f64() / 1e6,
        cost.written as f64 / samples,
        cost.wall.as_secs_f64(),
    );
    println!(
        "  RAM: {:.2} KiB/series, {:.2} KiB/series with the registry",
        (rss_kib() - registry_kib.min(rss_kib())) as f64 / series as f64,
        (rss_kib() - before_kib.min(rss_kib())) as f64 / series as f64,
    );
    drop(writer);
    let report = Reader::open(dir)?.verify_series()?;
    println!(
        "  pages: {} with {:.2} B/sample, all archives",
        report.pages,
        report.bytes as f64 / samples
    );
    Ok(())
}

fn reads(dir: &Path) -> Result<()> {
    let end = START_MS + 3 * HOUR_MS;
    let reader = Reader::open(dir)?;
    let ask = |what: &str, matchers: &[Matcher], hours: i64, step_ms: i64| -> Result<()> {
        let selection = Selection {
            matchers,
            from: Timestamp(end - hours * HOUR_MS),
            until: Timestamp(end),
            step_ms,
            max_samples: usize::MAX,
            deadline: None,
        };
        let mut best = Duration::MAX;
        let mut samples = 0;
        for _ in 0..5 {
            let (found, cost) = measure(|| Ok(reader.select(&selection)?))?;
            samples = found.iter().map(|s| s.samples.len()).sum();
            best = best.min(cost.cpu);
        }
        println!(
            "  {what}: {:.2} ms ({samples} samples)",
            best.as_secs_f64() * 1e3
        );
        Ok(())
    };
    let one = [Matcher::equal("__name__", "in"), Matcher::equal("n", "7")];
    ask("one series, 3 h @ 10 s", &one, 3, 0)?;
    ask("one series, 3 h @ 1 min", &one, 3, 60_000)?;
    ask(
        "1,250 series, 3 h @ 1 min",
        &[Matcher::equal("__name__", "in")],
        3,
        60_000,
    )?;
    ask("10,000 series, last hour @ 10 s", &[], 1, 0)?;
    ask("10,000 series, last hour @ 1 min", &[], 1, 60_000)
}

fn recovery(dir: &Path) -> Result<()> {
    let (writer, cost) = measure(|| Ok(Writer::open(dir, &options(), Timestamp(START_MS))?))?;
    println!(
        "  recovery: {:.3} s CPU, {:.3} s wall",
        cost.cpu.as_secs_f64(),
        cost.wall.as_secs_f64()
    );
    drop(writer);
    let reader = Reader::open(dir)?;
    let until = Timestamp(START_MS + 3 * HOUR_MS);
    let (_, cost) = measure(|| Ok(reader.series(&[], until, until)?))?;
    println!(
        "  a reader's first query: {:.3} s CPU",
        cost.cpu.as_secs_f64()
    );
    Ok(())
}

/// Thirty days of 300 series every minute, as the demonstration has them, and then a year of one.
fn bulk() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS))?;
    let mut fleet = Fleet::intern(&writer, 300, 1_000)?;
    let minutes = 30 * 1440i64;
    let until = Timestamp(START_MS + minutes * 60_000);
    let ids = fleet.ids.clone();
    let rows = (0..=minutes)
        .flat_map(|m| (0..300).map(move |i| (m, i)))
        .map(|(m, i)| SampleRow {
            series: ids[i],
            time: Timestamp(START_MS + m * 60_000),
            reading: fleet.read(i),
        });
    let (taken, cost) = measure(|| Ok(writer.backfill(rows, 60_000, until)?))?;
    println!(
        "bulk, 30 days of 300 series @ 1 min: {:.2} s CPU, {:.0} ns/sample",
        cost.cpu.as_secs_f64(),
        cost.cpu.as_nanos() as f64 / taken as f64
    );
    let reader = Reader::open(dir.path())?;
    let matchers = [
        Matcher::equal("__name__", "temperature"),
        Matcher::equal("n", "7"),
    ];
    for (what, days, step_ms) in [("24 h @ 1 min", 1, 60_000), ("30 d @ 1 h", 30, 3_600_000)] {
        let selection = Selection {
            matchers: &matchers,
            from: until.plus_ms(-days * 24 * HOUR_MS),
            until,
            step_ms,
            max_samples: usize::MAX,
            deadline: None,
        };
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let (found, cost) = measure(|| Ok(reader.select(&selection)?))?;
            found.first().context("no answer")?;
            best = best.min(cost.cpu);
        }
        println!("  one series, {what}: {:.2} ms", best.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// One machine: 600 series each second, a commit each second, an hour of it.
fn at_rest() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let before_kib = rss_kib();
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
        "one machine, 600 series @ 1 s: {:.3} % of a core, {:.0} B written/s, {} KiB",
        cost.cpu.as_secs_f64() / seconds as f64 * 100.0,
        cost.written as f64 / seconds as f64,
        rss_kib() - before_kib.min(rss_kib()),
    );
    Ok(())
}
