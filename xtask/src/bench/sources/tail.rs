//! A file of access lines into a store, as the daemon follows it: read, parsed, counted, stored.

use std::io::Write;

use anyhow::Result;
use vigie_collector::config::Files;
use vigie_collector::units::Bytes;
use vigie_parsers::Timestamp;
use vigie_store::{Options, Synchronous, Writer};

use super::super::{lines::Dice, option};
use super::cpu_ms;

/// Lines of the file, unless `--lines` says otherwise.
const LINES: u64 = 1_000_000;
/// 2026-11-21T12:00:00Z, in seconds.
const START_S: u64 = 1_795_262_400;
/// Lines a second of log time.
const PER_SECOND: u64 = 500;

/// Writes the file and takes it in.
#[expect(clippy::cast_precision_loss, reason = "lines of a benchmark")]
pub(super) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("access.log");
    let count = option("--lines")?.unwrap_or(LINES);
    write(&path, count)?;
    let bytes = std::fs::metadata(&path)?.len();
    let options = Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    };
    let now = Timestamp(i64::try_from(START_S + count / PER_SECOND + 60)? * 1000);
    let mut writer = Writer::open(dir.path(), &options, now)?;
    let registry = writer.registry().clone();
    let files = Files {
        paths: vec![path.to_string_lossy().into_owned()],
        exclude: Vec::new(),
        format: None,
        encoding: None,
        multiline: "auto".to_owned(),
        zone: None,
        host: None,
        vhost: None,
        backlog: Bytes(u64::MAX),
    };
    let (mut lines, mut store_ms, mut failed) = (0, 0.0, None);
    let start = cpu_ms();
    vigie_collector::read_once(&files, "web1", &registry, now, &mut |batch| {
        lines += batch.events.len();
        let before = cpu_ms();
        writer.apply(batch);
        failed = writer.commit(now).err();
        store_ms += cpu_ms() - before;
        failed.is_none()
    })?;
    if let Some(e) = failed {
        return Err(e.into());
    }
    let total_ms = cpu_ms() - start;
    println!(
        "  a followed file: {:.2} M access lines/s of CPU into the store ({:.2} µs a line, of it {:.2} in the \
         store; {lines} lines, {:.0} MB); reading, parsing and counting alone {:.2} M/s",
        lines as f64 / total_ms / 1e3,
        total_ms * 1e3 / lines as f64,
        store_ms * 1e3 / lines as f64,
        bytes as f64 / 1e6,
        lines as f64 / (total_ms - store_ms) / 1e3,
    );
    Ok(())
}

fn write(path: &std::path::Path, count: u64) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut dice = Dice::new(3);
    for n in 0..count {
        let second = START_S + n / PER_SECOND;
        let at = jiff::Timestamp::from_second(i64::try_from(second)?)?;
        let stamp = at.strftime("%d/%b/%Y:%H:%M:%S +0000");
        writeln!(
            out,
            "192.0.{}.{} - - [{stamp}] \"GET /shop/item/{}?page={} HTTP/1.1\" {} {} \"https://example.org/\" \
             \"Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{0}.0\"",
            dice.skewed(100),
            dice.below(256),
            dice.skewed(5000),
            dice.below(20),
            [200, 200, 200, 200, 304, 301, 404, 502][usize::try_from(dice.below(8))?],
            dice.below(90_000),
            dice.below(100) + 60,
        )?;
    }
    out.flush()?;
    Ok(())
}
