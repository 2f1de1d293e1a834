//! The event store on made-up access and syslog lines, beside ripgrep, zstd, SQLite's FTS5 and
//! ClickHouse: lines in, bytes on disk, each kind of question warm and cold.

mod corpus;
mod peers;
mod questions;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use vigie_parsers::{Context, Origin, Record, Timestamp, formats};
use vigie_store::{Batch, Options, Writer};

use corpus::{Corpus, Kind};
use questions::{Answer, Question};

/// Lines of each kind, unless `--lines` says otherwise.
const LINES: usize = 5_000_000;
/// A commit about every so many bytes of lines, as the daemon's writer does…
const COMMIT_BYTES: usize = 1 << 20;
/// … which gets batches of about this size, as large as what is read of a file at a time.
const BATCH_BYTES: usize = 256 << 10;

/// Milliseconds of processor time of this thread.
fn cpu_ms() -> f64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a benchmark")]
    let ms = t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6;
    ms
}

/// What a system makes of the lines.
struct Engine {
    name: &'static str,
    /// Processor seconds to take all lines, and bytes on disk.
    ingest: Option<(f64, u64)>,
    /// In the order of the questions.
    answers: Vec<Option<Answer>>,
}

/// Fills stores and asks them.
pub(super) fn run() -> Result<()> {
    let lines = super::option("--lines")?.unwrap_or(LINES);
    let only = super::option::<String>("--only")?;
    let wanted = |kind: &Kind| only.as_ref().is_none_or(|name| name == kind.name());
    for kind in [Kind::Access, Kind::Syslog].into_iter().filter(wanted) {
        let dir = tempfile::tempdir()?;
        let corpus = Corpus::write(&dir.path().join("lines.log"), kind, lines)?;
        println!(
            "{}: {lines} lines, {:.0} MB",
            kind.name(),
            megabytes(corpus.bytes)
        );
        let mut questions = questions::of(kind);
        if let Some(part) = super::option::<String>("--ask")? {
            questions.retain(|q| q.name.contains(&part));
        }
        let mut engines = vec![vigie(&dir.path().join("vigie"), &corpus, &questions)?];
        for peer in peers::PEERS {
            let engine = super::option::<String>("--without")?
                .is_none_or(|names| names.split(',').all(|n| n != peer.name))
                .then(|| peers::run(peer, dir.path(), &corpus, &questions))
                .transpose()?;
            engines.extend(engine.flatten());
        }
        table(&corpus, &questions, &engines);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn vigie(dir: &Path, corpus: &Corpus, questions: &[Question]) -> Result<Engine> {
    std::fs::create_dir(dir)?;
    let ingest = ingest(dir, corpus)?;
    let answers = questions
        .iter()
        .map(|q| questions::vigie(dir, q).map(Some))
        .collect::<Result<_>>()?;
    Ok(Engine {
        name: "vigie",
        ingest: Some(ingest),
        answers,
    })
}

/// Reads, parses and commits all lines as the daemon does; processor seconds and the file's bytes.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ingest(dir: &Path, corpus: &Corpus) -> Result<(f64, u64)> {
    let format = formats::find(corpus.kind.format()).context("a known format")?;
    let options = Options {
        budget_bytes: 64 << 30,
        ..Options::default()
    };
    let resident = resident_reset()?;
    let mut writer = Writer::open(dir, &options, Timestamp(0))?;
    let origin = Arc::new(Origin {
        source: "bench".to_owned(),
        fields: Vec::new(),
    });
    let mut record = Record::default();
    let mut now = Timestamp(corpus::START_MS);
    let (mut parse_ms, mut store_ms, mut longest_ms) = (0.0, 0.0, 0f64);
    let wall = Instant::now();
    let mut read = cpu_ms();
    let mut pending = 0;
    corpus.chunks(BATCH_BYTES, |chunk| {
        let start = (Instant::now(), read);
        let mut batch = Batch::default();
        let mut cx = Context::new(now, jiff::tz::TimeZone::UTC);
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let line = &chunk[from..end];
            from = end + 1;
            record.clear();
            anyhow::ensure!(format.parse(&mut cx, line, &mut record), "format");
            batch
                .events
                .push(cx.recv, &origin, format.name, line, &record);
        }
        now = record.time.unwrap_or(now);
        let parsed = cpu_ms();
        writer.apply(batch);
        pending += chunk.len();
        if pending >= COMMIT_BYTES {
            writer.commit(now)?;
            pending = 0;
        }
        read = cpu_ms();
        parse_ms += parsed - start.1;
        store_ms += read - parsed;
        longest_ms = longest_ms.max(start.0.elapsed().as_secs_f64() * 1e3);
        Ok(())
    })?;
    writer.commit(now)?;
    store_ms += cpu_ms() - read;
    let peak = resident_peak()?.saturating_sub(resident);
    let path = writer.path().to_owned();
    drop(writer);
    let disk = std::fs::metadata(&path)?.len();
    let cpu_s = (parse_ms + store_ms) / 1e3;
    println!(
        "  vigie: {:.2} M lines/s/core (read and parse {:.2}, store {:.2} µs a line), {:.1} s of wall time, longest commit {longest_ms:.0} ms, {:.0} MiB more memory",
        corpus.lines as f64 / 1e6 / cpu_s,
        parse_ms * 1e3 / corpus.lines as f64,
        store_ms * 1e3 / corpus.lines as f64,
        wall.elapsed().as_secs_f64(),
        peak as f64 / 1024.0,
    );
    Ok((cpu_s, disk))
}

/// Resident memory now in KiB; the peak counts from here on.
fn resident_reset() -> Result<u64> {
    std::fs::write("/proc/self/clear_refs", "5")?;
    status("VmRSS:")
}

fn resident_peak() -> Result<u64> {
    status("VmHWM:")
}

fn status(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with(name));
    let value = line.and_then(|l| l.split_whitespace().nth(1));
    Ok(value.context("a line of /proc/self/status")?.parse()?)
}

/// Prints what everybody needed: processor milliseconds warm, and wall time cold.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn table(corpus: &Corpus, questions: &[Question], engines: &[Engine]) {
    let row = |name: &str, cell: &dyn Fn(&Engine) -> Option<String>| {
        print!("  {name:28}");
        for engine in engines {
            print!(
                " {:>19}",
                cell(engine).unwrap_or_else(|| "\u{2013}".to_owned())
            );
        }
        println!();
    };
    row("", &|e| Some(e.name.to_owned()));
    row("in: M lines/s/core", &|e| {
        let (cpu_s, _) = e.ingest?;
        Some(format!("{:.3}", corpus.lines as f64 / 1e6 / cpu_s))
    });
    row("ratio to the lines", &|e| {
        let (_, disk) = e.ingest?;
        Some(format!("{:.2}", corpus.bytes as f64 / disk as f64))
    });
    for (i, question) in questions.iter().enumerate() {
        row(question.name, &|e| {
            let a = e.answers.get(i)?.as_ref()?;
            let cold = a.cold_ms.map(|ms| format!(" / {ms:.1}"));
            Some(format!(
                "{} in {:.1}{}",
                a.found,
                a.warm_ms,
                cold.unwrap_or_default()
            ))
        });
    }
    println!(
        "  (found in ms of processor time, warm, the best of a few / ms of wall time with the file not in memory)"
    );
}
