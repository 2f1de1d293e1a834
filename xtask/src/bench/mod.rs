//! `cargo xtask bench [NAME…]`: figures in CPU seconds, beside the peer where there is one.

mod events;
mod idle;
mod lines;
mod parse;
mod process;
mod series;

use anyhow::{Result, bail};

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
        name: "idle",
        about: "all host metrics each second, beside netdata and node_exporter with Prometheus",
        run: idle::run,
    },
];

/// Runs all, or those named.
pub(crate) fn run(names: &[String]) -> Result<bool> {
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
