//! SIGHUP: other archives while the daemon runs; a file with a mistake changes nothing.

use rustix::process::{Signal, kill_process};

use crate::daemon::{Daemon, eventually, text};

fn config(archives: &str, rest: &str) -> String {
    format!(
        "syslog = []\n[journal]\nenabled = false\n[known_files]\nenabled = false\n[docker]\nenabled = false\n\
         [[retention]]\nmatch = \"*\"\narchives = [{archives}]\n{rest}"
    )
}

/// The times of the clock's readings of the last two minutes, in seconds.
fn times(daemon: &Daemon) -> Vec<f64> {
    let out = daemon.cli(&["query", "node_time_seconds[2m]", "--format", "json"]);
    let data: serde_json::Value = serde_json::from_str(&text(&out)).unwrap();
    let values = data.pointer("/result/0/values").and_then(|v| v.as_array());
    let values = values.into_iter().flatten();
    values.filter_map(|pair| pair[0].as_f64()).collect()
}

/// How far the last two are apart.
fn last_step(times: &[f64]) -> Option<f64> {
    let [.., a, b] = times else { return None };
    Some(b - a)
}

#[test]
fn a_hangup_brings_other_archives_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vigie.toml");
    let mut daemon = Daemon::start(dir.path(), &config("\"1s for 1h\", \"1m for 1d\"", ""));
    let hang_up = |daemon: &Daemon| kill_process(daemon.pid(), Signal::HUP).unwrap();
    let before = eventually("seconds are there", || {
        let times = times(&daemon);
        (times.len() > 3 && last_step(&times) == Some(1.0)).then_some(times)
    });

    std::fs::write(&file, config("\"5s for\"", "")).unwrap();
    hang_up(&daemon);
    let refused = daemon.wait_for("reload refused, nothing changes").unwrap();
    assert!(
        refused.contains("vigie.toml:10:12: `5s for` is no archive"),
        "{refused}"
    );

    // What cannot change while it runs is said.
    let other = config(
        "\"5s for 1h\", \"1m for 1d\"",
        "[host]\ninterval = \"2s\"\n",
    );
    std::fs::write(&file, other).unwrap();
    hang_up(&daemon);
    let waits = daemon.wait_for("held from the next start on").unwrap();
    assert!(waits.ends_with("next start on: [host]"), "{waits}");
    let moved = daemon.wait_for("series go on in other archives").unwrap();
    assert!(!moved.contains(" 0 series"), "{moved}");
    let after = eventually("slots of five seconds", || {
        let times = times(&daemon);
        (last_step(&times) == Some(5.0)).then_some(times)
    });
    assert!(
        before.iter().all(|time| after.contains(time)),
        "{before:?} and then {after:?}"
    );
    hang_up(&daemon);
    daemon.wait_for("[[retention]] is as it was").unwrap();
    assert!(daemon.terminate().success());
}
