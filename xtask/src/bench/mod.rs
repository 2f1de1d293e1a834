//! `cargo xtask bench [NAME…]`: figures in CPU seconds, beside the peer where there is one.

mod events;
mod files;
mod idle;
mod import;
mod lines;
mod parse;
mod process;
mod series;
mod sources;

use std::str::FromStr;

use anyhow::{Result, anyhow, bail};

/// A benchmark: its word, what it measures, how.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<()>,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "parse",
        about: "lines into records, one core, in memory",
        run: parse::run,
    },
    Bench {
        name: "series",
        about: "the round-robin store: writing, reading, recovery, one machine at rest",
        run: series::run,
    },
    Bench {
        name: "events",
        about: "the event store: lines in, bytes on disk, queries",
        run: events::run,
    },
    Bench {
        name: "files",
        about: "vigie logs --file on plain and packed lines, beside ripgrep",
        run: files::run,
    },
    Bench {
        name: "import",
        about: "rotated, packed access logs into a store, and once more",
        run: import::run,
    },
    Bench {
        name: "sources",
        about: "syslog beside rsyslog and syslog-ng, a followed file, systemd's journal beside journalctl",
        run: sources::run,
    },
    Bench {
        name: "idle",
        about: "all host metrics each second, beside netdata and node_exporter with Prometheus",
        run: idle::run,
    },
];

/// The value behind an option of the command line, `--lines 1000000`.
fn option<T: FromStr>(name: &str) -> Result<Option<T>> {
    let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
    let value = args.next();
    let read = |v: String| v.parse().map_err(|_| anyhow!("{name}: '{v}'?"));
    value.map(read).transpose()
}

/// The arguments that are no options.
fn names(args: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg.starts_with("--") {
            args.next();
        } else {
            names.push(arg.clone());
        }
    }
    names
}

/// Runs all, or those named.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let names = names(args);
    if let Some(unknown) = names
        .iter()
        .find(|n| BENCHES.iter().all(|b| b.name != n.as_str()))
    {
        let known: Vec<&str> = BENCHES.iter().map(|b| b.name).collect();
        bail!("no benchmark '{unknown}'; known: {}", known.join(", "));
    }
    for bench in BENCHES {
        if names.is_empty() || names.iter().any(|n| n == bench.name) {
            println!("== {}: {}", bench.name, bench.about);
            (bench.run)()?;
        }
    }
    Ok(true)
}
