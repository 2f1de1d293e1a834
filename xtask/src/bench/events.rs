//! The event store on made-up access and syslog lines: ingest, size, and each kind of query.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use vigie_parsers::{Context, Origin, Record, Timestamp, formats};
use vigie_query::log::{Compare, Exact, FieldName, Filter, Test, TextPattern};
use vigie_query::{EventSource, GroupBy, Scan, ScanStats, Step};
use vigie_store::{Batch, Options, Reader, Writer};

use super::lines::{self, Dice};

/// Lines of each kind, unless `VIGIE_BENCH_LINES` says otherwise.
const LINES: usize = 5_000_000;
/// A commit about every so many bytes of lines.
const COMMIT_BYTES: usize = 1 << 20;

type Generator = fn(&mut Dice, usize, &mut Vec<u8>) -> i64;

/// CPU seconds of this thread.
fn cpu_s() -> f64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a benchmark")]
    let s = t.tv_sec as f64 + t.tv_nsec as f64 / 1e9;
    s
}

/// When something began.
struct Clock {
    wall: Instant,
    cpu_s: f64,
}

impl Clock {
    fn new() -> Self {
        Self {
            wall: Instant::now(),
            cpu_s: cpu_s(),
        }
    }
}

/// Fills a store and asks it.
pub(super) fn run() -> Result<()> {
    let wanted = std::env::var("VIGIE_BENCH_LINES").ok();
    let n: usize = wanted.map_or(Ok(LINES), |w| w.parse())?;
    for (name, format, generator) in [
        ("access", "combined", lines::access as Generator),
        ("syslog", "rfc3164", lines::syslog as Generator),
    ] {
        let dir = tempfile::tempdir()?;
        println!("{name}: {n} lines");
        ingest(dir.path(), n, format, generator)?;
        queries(dir.path(), name)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ingest(dir: &Path, n: usize, format: &str, generator: Generator) -> Result<()> {
    let format = formats::find(format).context("a known format")?;
    let options = Options {
        budget_bytes: 64 << 30,
        ..Options::default()
    };
    let mut writer = Writer::open(dir, &options, Timestamp(0))?;
    let origin = Arc::new(Origin {
        source: "bench".to_owned(),
        fields: Vec::new(),
    });
    let mut dice = Dice::new(7);
    let (mut line, mut record) = (Vec::new(), Record::default());
    let (mut chunk, mut ends) = (Vec::new(), Vec::new());
    let (mut parse_s, mut store_s, mut wall_s) = (0.0, 0.0, 0.0);
    let (mut raw, mut done, mut longest_ms) = (0usize, 0, 0f64);
    while done < n {
        chunk.clear();
        ends.clear();
        let mut now = 0;
        while done < n && chunk.len() < COMMIT_BYTES {
            now = generator(&mut dice, done, &mut line);
            chunk.extend_from_slice(&line);
            ends.push(chunk.len());
            done += 1;
        }
        raw += chunk.len();
        let wall = Instant::now();
        let start = cpu_s();
        let mut batch = Batch::default();
        let mut cx = Context::new(Timestamp(now), jiff::tz::TimeZone::UTC);
        let mut from = 0;
        for &end in &ends {
            record.clear();
            anyhow::ensure!(
                (format.parse)(&mut cx, &chunk[from..end], &mut record),
                "format"
            );
            batch
                .events
                .push(cx.recv, &origin, format.name, &chunk[from..end], &record);
            from = end;
        }
        let parsed = cpu_s();
        writer.apply(batch);
        writer.commit(Timestamp(now))?;
        parse_s += parsed - start;
        store_s += cpu_s() - parsed;
        let took = wall.elapsed().as_secs_f64();
        wall_s += took;
        longest_ms = longest_ms.max(took * 1e3);
    }
    let path = writer.path().to_owned();
    drop(writer);
    let disk = std::fs::metadata(&path)?.len();
    println!(
        "  ingest: {:.2} M lines/s/core (parse {:.2} + store {:.2} CPU s, {:.2} s in all; longest commit {longest_ms:.0} ms)",
        n as f64 / 1e6 / (parse_s + store_s),
        parse_s,
        store_s,
        wall_s,
    );
    println!(
        "  size: {:.1} MB of {:.1} MB, ratio {:.1}",
        disk as f64 / 1e6,
        raw as f64 / 1e6,
        raw as f64 / disk as f64
    );
    Ok(())
}

fn text(needle: &str, open: bool) -> Filter {
    TextPattern::new(needle, open, open).map_or(Filter::All, Filter::Text)
}

fn field(name: &str, test: Test) -> Filter {
    Filter::Field {
        name: FieldName::new(name),
        test,
    }
}

fn queries(dir: &Path, kind: &str) -> Result<()> {
    let reader = Reader::open(dir)?;
    let start = Clock::new();
    let all = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
    let (n, stats) = count(&reader, &all, 1)?;
    report("first answer, cold start", start, n, &stats);
    let mut asked: Vec<(&str, Filter, u64)> = vec![
        ("tail 200", Filter::All, 200),
        ("missing word", text("xyzzyq", false), u64::MAX),
        ("missing substring", text("zyzzyq", true), u64::MAX),
        ("missing digits", text("99887766554", true), u64::MAX),
    ];
    if kind == "access" {
        asked.push(("rare word", text("94999", false), u64::MAX));
        asked.push(("rare substring", text("hop/9499", true), u64::MAX));
        let status = Test::Compare(Compare::GreaterOrEqual, 502.0);
        asked.push((
            "status>=502 path=/news/8.html",
            Filter::And(vec![
                field("status", status),
                field(
                    "path",
                    Test::Exact(Exact::new("/news/64.html", false, false)),
                ),
            ]),
            u64::MAX,
        ));
    } else {
        asked.push(("rare word", text("10.3.77.41", false), u64::MAX));
        asked.push(("rare substring", text("u7999", true), u64::MAX));
        asked.push((
            "app and word, newest 200",
            Filter::And(vec![
                field("app", Test::Exact(Exact::new("sshd", false, false))),
                text("oracle", false),
            ]),
            200,
        ));
    }
    for (name, filter, limit) in asked {
        let scan = Scan::new(Timestamp::MIN, Timestamp::MAX, &filter);
        let start = Clock::new();
        let (n, stats) = count(&reader, &scan, limit)?;
        report(name, start, n, &stats);
    }
    let errors = field("status", Test::Compare(Compare::GreaterOrEqual, 500.0));
    let minute = Step {
        ms: 60_000,
        origin: Timestamp(0),
    };
    let grouped: &[(&str, &Filter, &str, Option<Step>)] = match kind {
        "access" => &[
            ("5xx per minute", &errors, "", Some(minute)),
            ("top paths", &Filter::All, "path", None),
            ("top addresses", &Filter::All, "ip", None),
        ],
        _ => &[
            (
                "lines per minute by level",
                &Filter::All,
                "level",
                Some(minute),
            ),
            ("top programs", &Filter::All, "app", None),
        ],
    };
    for &(name, filter, by, step) in grouped {
        let fields: Vec<FieldName> = by.split_whitespace().map(FieldName::new).collect();
        let by = GroupBy {
            fields: &fields,
            step,
            max_groups: 1_000_000,
        };
        let scan = Scan::new(Timestamp::MIN, Timestamp::MAX, filter);
        let start = Clock::new();
        let grouped = reader.count_by(&scan, &by)?;
        report(name, start, grouped.groups.len() as u64, &grouped.stats);
    }
    Ok(())
}

fn count(reader: &Reader, scan: &Scan<'_>, limit: u64) -> Result<(u64, ScanStats)> {
    let mut n = 0;
    let stats = reader.scan(scan, &mut |_| {
        n += 1;
        match n < limit {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok((n, stats))
}

fn report(name: &str, start: Clock, n: u64, stats: &ScanStats) {
    println!(
        "  {name:34} {:8.1} ms, {:.1} of CPU  {n:>8} found, {} checked, {}/{} blocks, {} MB read{}",
        start.wall.elapsed().as_secs_f64() * 1e3,
        (cpu_s() - start.cpu_s) * 1e3,
        stats.events_checked,
        stats.blocks_read,
        stats.blocks,
        stats.bytes_read / 1_000_000,
        stats
            .incomplete
            .as_deref()
            .map(|w| format!(" ({w})"))
            .unwrap_or_default(),
    );
}
