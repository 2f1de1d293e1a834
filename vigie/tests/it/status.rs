//! What `vigie status` says of the daemon and its sources.

use std::path::Path;

use crate::daemon::{Daemon, cli, eventually, text};

/// One source, or none.
fn config(source: &str) -> String {
    format!(
        "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n{source}"
    )
}

/// The answer as JSON.
fn status(dir: &Path) -> serde_json::Value {
    serde_json::from_str(&text(&cli(dir, &["status", "--format", "json"]))).unwrap()
}

/// The names of sources in a state.
fn in_state(status: &serde_json::Value, state: &str) -> Vec<String> {
    let sources = status["sources"].as_array().unwrap().iter();
    let those = sources.filter(|s| s["state"] == state);
    those
        .map(|s| s["source"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_daemon_is_seen_at_once_and_missed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let socket = dir.join("log.sock");
    let listener = format!(
        "[[syslog]]\nprotocols = [\"datagram\"]\nlisten = \"{}\"\n",
        socket.display()
    );
    let daemon = Daemon::start(dir, &config(&listener));
    let active = eventually("the source reports", || {
        let said = status(dir);
        assert_eq!(said["running"], true, "{said}");
        assert_eq!(said["silent_ms"], serde_json::Value::Null, "{said}");
        Some(in_state(&said, "active")).filter(|s| !s.is_empty())
    });
    daemon.kill();
    let said = status(dir);
    assert_eq!(said["running"], false, "{said}");
    assert_eq!(in_state(&said, "stopped"), active);

    // Without any source it runs as well, and the one that was taken out is not counted.
    let daemon = Daemon::start(dir, &format!("syslog = []\n{}", config("")));
    let said = status(dir);
    assert_eq!(said["running"], true, "{said}");
    assert_eq!(in_state(&said, "active"), [""; 0]);
    // Looking at the lock does not take it from anyone.
    let verdict = text(&daemon.cli(&["status"]));
    assert!(verdict.starts_with("No incident open"), "{verdict}");
}

#[test]
fn a_demonstration_in_a_folder_of_ones_own_stays_there() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Daemon::try_start(dir.path(), "", "demo --days 1").unwrap();
    assert_eq!(status(dir.path())["running"], true);
    assert!(demo.terminate().success());
    let found = text(&cli(dir.path(), &["logs", "@30d | count"]));
    assert!(found.contains("COUNT"), "{found}");
    let again = Daemon::try_start(dir.path(), "", "demo --days 1").err();
    let said = again.expect("the folder is taken");
    assert!(said.contains("vigie.db holds a store"), "{said}");
}
