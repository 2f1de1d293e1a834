//! `vigie import logs`: years of rotated, packed files into a store, and the same files once more, beside
//! what unpacking them alone takes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::lines::{self, Dice};
use super::process::cpu_s;

/// Lines of a file, unless `--lines` says how many all have.
const LINES: usize = 250_000;
/// Files: a month each.
const FILES: usize = 8;

/// Processor seconds of this process and of the children that have ended.
fn used_s() -> f64 {
    cpu_s(std::process::id()).unwrap_or(0.0)
}

/// Imports with the release binary; what it said, its wall and processor seconds.
fn import(binary: &Path, data: &Path, logs: &Path) -> Result<(String, f64, f64)> {
    let (start, before) = (Instant::now(), used_s());
    let out = Command::new(binary)
        .args(["import", "logs", "--data"])
        .arg(data)
        .arg(logs)
        .output()
        .with_context(|| binary.display().to_string())?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(out.status.success(), "{said}");
    Ok((said, start.elapsed().as_secs_f64(), used_s() - before))
}

/// Unpacks all files with gzip; wall and processor seconds.
fn unpack(logs: &Path) -> Result<(f64, f64)> {
    let (start, before) = (Instant::now(), used_s());
    for file in std::fs::read_dir(logs)? {
        let status = Command::new("gzip")
            .arg("-dc")
            .arg(file?.path())
            .stdout(Stdio::null())
            .status()
            .context("gzip")?;
        ensure!(status.success(), "gzip: {status}");
    }
    Ok((start.elapsed().as_secs_f64(), used_s() - before))
}

/// See the module.
pub(super) fn run() -> Result<()> {
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/vigie");
    let binary = super::option("--vigie")?.unwrap_or(binary);
    let each = super::option::<usize>("--lines")?.map_or(LINES, |n| n / FILES);
    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs)?;
    let (mut raw, mut packed) = (0u64, 0u64);
    let (mut dice, mut line) = (Dice::new(7), Vec::new());
    for file in 0..FILES {
        let path = logs.join(format!("access.log.{}.gz", FILES - file));
        let mut gz = GzEncoder::new(std::fs::File::create(&path)?, Compression::default());
        for n in file * each..(file + 1) * each {
            lines::access(&mut dice, n, &mut line);
            line.push(b'\n');
            raw += line.len() as u64;
            gz.write_all(&line)?;
        }
        gz.finish()?;
        packed += std::fs::metadata(&path)?.len();
    }
    let data = dir.path().join("data");
    #[expect(clippy::cast_precision_loss, reason = "a count of a benchmark")]
    let (count, mb) = ((each * FILES) as f64, raw as f64 / 1e6);
    for pass in ["first", "again"] {
        let (said, wall, cpu) = import(&binary, &data, &logs)?;
        println!(
            "  {pass}: {count} lines, {mb:.0} MB in {FILES} files of {:.0} MB: {wall:.1} s, CPU {cpu:.1} s; \
             {:.2} M lines/s and {:.0} MB/s of wall, {:.2} M lines/s of CPU",
            packed as f64 / 1e6,
            count / wall / 1e6,
            mb / wall,
            count / cpu / 1e6,
        );
        let last = said.lines().last().unwrap_or_default();
        println!("         {last}");
    }
    let (wall, cpu) = unpack(&logs)?;
    println!("  gzip -dc alone: {wall:.1} s, CPU {cpu:.1} s");
    Ok(())
}
