//! `vigie logs --file` on plain and packed lines, beside ripgrep and what people type instead.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::lines::{self, Dice};
use super::process::cpu_s;

/// Lines of the file, unless `--lines` says how many.
const LINES: usize = 1_000_000;
/// Each is asked so often; the figures are the mean, for the kernel counts in hundredths of a second.
const PASSES: u32 = 5;

/// What is asked of both.
struct Ask {
    name: &'static str,
    /// In the log query.
    query: &'static str,
    /// The pipeline behind `cat FILE`, or ripgrep's arguments behind `rg`.
    peer: Peer,
}

enum Peer {
    Ripgrep(&'static [&'static str]),
    Shell(&'static str),
}

const ASKS: &[Ask] = &[
    Ask {
        name: "missing word",
        query: "xyzzyq",
        peer: Peer::Ripgrep(&["-i", "-w", "xyzzyq"]),
    },
    Ask {
        name: "rare text, shown",
        query: "*hop/9499*",
        peer: Peer::Ripgrep(&["-i", "-F", "hop/9499"]),
    },
    Ask {
        name: "a status and a path, shown",
        query: "status=502 path=/news/64.html",
        peer: Peer::Ripgrep(&["/news/64\\.html HTTP/1\\.1\" 502 "]),
    },
    Ask {
        name: "5xx, counted",
        query: "status>=500 | count",
        peer: Peer::Ripgrep(&["-c", "\" 5[0-9]{2} [0-9]+ \""]),
    },
    Ask {
        name: "top 20 addresses",
        query: "| top 20 ip",
        peer: Peer::Shell("mawk '{print $1}' | LC_ALL=C sort | uniq -c | sort -rn | head -n 20"),
    },
];

/// Lines that were printed, seconds of wall and of processors.
fn run_once(command: &mut Command) -> Result<(usize, f64, f64)> {
    let own = || cpu_s(std::process::id()).unwrap_or(0.0);
    let (start, before) = (Instant::now(), own());
    let out = command
        .output()
        .with_context(|| format!("{:?}", command.get_program()))?;
    let lines = memchr::memchr_iter(b'\n', &out.stdout).count();
    Ok((lines, start.elapsed().as_secs_f64(), own() - before))
}

fn measure(make: impl Fn() -> Command) -> Result<String> {
    let (mut lines, mut wall, mut cpu) = (0, 0.0, 0.0);
    for _ in 0..PASSES {
        let (n, w, c) = run_once(&mut make())?;
        lines = n;
        wall += w;
        cpu += c;
    }
    let mean = |s: f64| s * 1e3 / f64::from(PASSES);
    Ok(format!(
        "{lines} lines, CPU {:.0} ms, {:.0} ms",
        mean(cpu),
        mean(wall)
    ))
}

fn vigie(binary: &Path, file: &Path, query: &str) -> Command {
    let mut command = Command::new(binary);
    command.args(["logs", "-q", "-n", "1000000"]);
    if !query.contains('|') {
        command.args(["--format", "raw"]);
    }
    command.arg("--file").arg(file).arg("--").arg(query);
    command
}

fn peer(peer: &Peer, file: &Path, packed: bool) -> Command {
    match peer {
        Peer::Ripgrep(args) => {
            let mut command = Command::new("rg");
            // One thread: vigie reads one file on one as well.
            command
                .args(["-j1", "-N"])
                .args(packed.then_some("-z"))
                .args(*args)
                .arg(file);
            command
        }
        Peer::Shell(pipeline) => {
            let mut command = Command::new("sh");
            let cat = if packed { "zcat" } else { "cat" };
            command
                .args(["-c", &format!("{cat} \"$0\" | {pipeline}")])
                .arg(file);
            command
        }
    }
}

/// See the module.
pub(super) fn run() -> Result<()> {
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/vigie");
    let binary = super::option("--vigie")?.unwrap_or(binary);
    let lines = super::option("--lines")?.unwrap_or(LINES);
    let dir = tempfile::tempdir()?;
    let (plain, packed) = write(dir.path(), lines)?;
    for (file, is_packed) in [(&plain, false), (&packed, true)] {
        let bytes = std::fs::metadata(file)?.len();
        let name = if is_packed { "gzip" } else { "plain" };
        println!("{name}: {lines} access lines, {} MB", bytes / 1_000_000);
        for ask in ASKS {
            let ours = measure(|| vigie(&binary, file, ask.query))?;
            let theirs = measure(|| peer(&ask.peer, file, is_packed))?;
            let them = match ask.peer {
                Peer::Ripgrep(_) => "ripgrep",
                Peer::Shell(_) => "mawk, sort, uniq",
            };
            println!("  {:28} vigie {ours} · {them} {theirs}", ask.name);
        }
    }
    Ok(())
}

/// The lines, plain and packed.
fn write(dir: &Path, count: usize) -> Result<(PathBuf, PathBuf)> {
    let (plain, packed) = (dir.join("access.log"), dir.join("access.log.gz"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&plain)?);
    let mut gz = GzEncoder::new(std::fs::File::create(&packed)?, Compression::default());
    let (mut dice, mut line) = (Dice::new(7), Vec::new());
    for n in 0..count {
        lines::access(&mut dice, n, &mut line);
        line.push(b'\n');
        file.write_all(&line)?;
        gz.write_all(&line)?;
    }
    file.flush()?;
    gz.finish()?;
    Ok((plain, packed))
}
