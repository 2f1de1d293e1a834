//! `cargo xtask bench [NAME…]`: figures in CPU seconds, beside the peer where there is one.

use anyhow::{Result, bail};

/// A benchmark: its word, what it measures, how.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<()>,
}

const BENCHES: &[Bench] = &[];

/// Runs all, or those named.
pub(crate) fn run(names: &[String]) -> Result<bool> {
    if let Some(unknown) = names.iter().find(|n| BENCHES.iter().all(|b| b.name != n.as_str())) {
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
