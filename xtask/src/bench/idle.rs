//! What watching an idle machine each second costs: vigie beside netdata and node_exporter with
//! Prometheus, all at once, over the same minute.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::process::{Process, Usage};

/// Before measuring: caches fill, files are found.
const WARM_UP: Duration = Duration::from_secs(20);
/// What is measured.
const SPAN: Duration = Duration::from_secs(60);

/// Starts all that are installed, waits, prints.
pub(super) fn run() -> Result<()> {
    let vigie = release_binary()?;
    let dir = tempfile::tempdir()?;
    let contenders = [
        ("vigie", vec![start_vigie(&vigie, dir.path())?]),
        ("node_exporter + Prometheus", start_prometheus(dir.path())?),
        ("netdata", start_netdata(dir.path())?),
    ];
    std::thread::sleep(WARM_UP);
    let before: Vec<Usage> = contenders.iter().map(|(_, p)| sum(p)).collect();
    std::thread::sleep(SPAN);
    println!(
        "{:28} {:>12} {:>12} {:>10}",
        "", "CPU s in 60", "% of a core", "RSS MiB"
    );
    for ((name, processes), before) in contenders.iter().zip(before) {
        if processes.is_empty() {
            println!("{name:28} not installed");
            continue;
        }
        let after = sum(processes);
        let cpu = after.cpu_s - before.cpu_s;
        let percent = cpu / SPAN.as_secs_f64() * 100.0;
        println!(
            "{name:28} {cpu:12.2} {percent:12.2} {:10.1}",
            mib(after.rss)
        );
    }
    Ok(())
}

/// The binary as users run it.
pub(super) fn release_binary() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--package", "vigie", "--quiet"])
        .status()
        .context("cargo build")?;
    if !built.success() {
        bail!("cargo build --release failed");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    Ok(target.join("release/vigie"))
}

fn sum(processes: &[Process]) -> Usage {
    processes
        .iter()
        .map(Process::usage)
        .fold(Usage::default(), |a, b| Usage {
            cpu_s: a.cpu_s + b.cpu_s,
            rss: a.rss + b.rss,
        })
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn start_vigie(binary: &Path, dir: &Path) -> Result<Process> {
    let config = dir.join("vigie.toml");
    std::fs::write(&config, "[[syslog]]\nlisten = \"127.0.0.1:0\"\n")?;
    let data = dir.join("vigie");
    let args = [
        "run",
        "--listen",
        "127.0.0.1:0",
        "--config",
        &text(&config),
        "--data",
        &text(&data),
    ];
    Process::start(binary, &args)
}

fn start_prometheus(dir: &Path) -> Result<Vec<Process>> {
    let (Some(exporter), Some(prometheus)) = (
        crate::setup::find("prometheus-node-exporter"),
        crate::setup::find("prometheus"),
    ) else {
        return Ok(Vec::new());
    };
    let config = dir.join("prometheus.yml");
    std::fs::write(
        &config,
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: node\n  static_configs:\n  - targets: ['127.0.0.1:29100']\n",
    )?;
    Ok(vec![
        Process::start(&exporter, &["--web.listen-address=127.0.0.1:29100"])?,
        Process::start(
            &prometheus,
            &[
                &format!("--config.file={}", text(&config)),
                &format!("--storage.tsdb.path={}", text(&dir.join("prometheus"))),
                "--web.listen-address=127.0.0.1:29090",
            ],
        )?,
    ])
}

fn start_netdata(dir: &Path) -> Result<Vec<Process>> {
    let Some(netdata) = crate::setup::find("netdata") else {
        return Ok(Vec::new());
    };
    let home = dir.join("netdata");
    std::fs::create_dir_all(&home)?;
    let home = text(&home);
    let config = format!("{home}/netdata.conf");
    std::fs::write(
        &config,
        format!(
            "[global]\nrun as user = root\n[directories]\ncache = {home}\nlib = {home}\nlog = {home}\n\
             [web]\nbind to = 127.0.0.1:29999\n[ml]\nenabled = no\n[statsd]\nenabled = no\n"
        ),
    )?;
    Ok(vec![Process::start(&netdata, &["-D", "-c", &config])?])
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
