//! What the command line says: help, errors, exit codes.

use crate::daemon::{cli, text, vigie};

#[test]
fn help_is_made_from_the_list_of_commands() {
    let out = vigie().arg("--help").output().unwrap();
    assert!(out.status.success());
    let help = text(&out);
    for name in [
        "run",
        "demo",
        "check",
        "status",
        "logs",
        "query",
        "graph",
        "incidents",
        "incident",
        "import",
        "verify",
    ] {
        assert!(
            help.contains(&format!("\n  {name} ")),
            "{name} is missing:\n{help}"
        );
        let own = vigie().args([name, "--help"]).output().unwrap();
        assert!(
            own.status.success() && text(&own).contains("Usage: vigie "),
            "{name}"
        );
    }
}

#[test]
fn the_version_is_that_of_the_workspace() {
    let out = vigie().arg("--version").output().unwrap();
    assert_eq!(
        text(&out).trim(),
        concat!("vigie ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn what_cannot_run_ends_with_2_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |args: &[&str], words: &str| {
        let out = cli(dir.path(), args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    };
    fails(&["logs", "hello"], "no store here yet");
    fails(&["query", "sum("], "");
    fails(&["frobnicate"], "unrecognized subcommand");
    fails(&["logz"], "similar subcommand exists: 'logs'");
    fails(&["status", "--tz", "Mars/Olympus"], "no such zone");
    std::fs::write(
        dir.path().join("vigie.toml"),
        "[store]\nbugdet = \"1 GiB\"\n",
    )
    .unwrap();
    fails(&["check"], "vigie.toml:2:1: unknown field `bugdet`");
    fails(&["check"], "did you mean `budget`?");
}
