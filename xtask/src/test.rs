//! `cargo xtask test`: everything that must hold, closing with one line that counts.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::setup;

/// proptest's own variable for its first random number.
const SEED: &str = "PROPTEST_RNG_SEED";

/// What was run and how it ended.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
}

/// Runs it all; `false` if anything failed. Later steps run even after a failure.
pub(crate) fn run(_args: &[String]) -> Result<bool> {
    setup::run(&[])?;
    let mut tally = Tally::default();
    tally.step("format", &["fmt", "--all", "--check"])?;
    tally.step(
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            // The fuzz targets too, though not linked.
            "--features",
            "vigie-fuzz/targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    tally.tests()?;
    for failure in &tally.failures {
        println!("failed: {failure}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally.failed == 0)
}

impl Tally {
    /// A cargo command that counts as one test.
    fn step(&mut self, name: &str, args: &[&str]) -> Result<()> {
        let start = Instant::now();
        let ok = cargo(args).status().context("cargo")?.success();
        println!(
            "{name}: {} ({} s)",
            if ok { "ok" } else { "FAILED" },
            start.elapsed().as_secs()
        );
        self.count(name, ok);
        Ok(())
    }

    fn count(&mut self, name: &str, ok: bool) {
        if ok {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
    }

    /// All test binaries of the workspace; their own counts are added up.
    fn tests(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
        // Property tests try the same cases in each run, so that a run can be repeated; plain
        // `cargo test` tries new ones.
        if std::env::var_os(SEED).is_none() {
            command.env(SEED, "20261121");
        }
        // The conformance data lies beside a checkout, not in it.
        let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        if let Ok(shared) = shared.canonicalize() {
            command.env("VIGIE_SHARED", shared);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cargo test")?;
        let stdout = child.stdout.take().context("cargo test has no output")?;
        let (mut counted, mut broken) = (0, 0);
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            if let Some((passed, failed)) = counts(&line) {
                self.passed += passed;
                self.failed += failed;
                counted += passed + failed;
                broken += failed;
            } else if let Some(name) = line.strip_suffix(" ... FAILED") {
                self.failures.push(name.to_owned());
            }
        }
        let ok = child.wait()?.success();
        println!("tests: {counted} run ({} s)", start.elapsed().as_secs());
        if !ok && broken == 0 {
            self.count("cargo test (it ended before its tests did)", false);
        }
        Ok(())
    }
}

/// `test result: ok. 3 passed; 0 failed; …`
fn counts(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut numbers = rest
        .split("; ")
        .filter_map(|part| part.split(' ').next()?.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn reads_the_counts_of_a_test_binary() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("test a ... ok"), None);
    }
}
