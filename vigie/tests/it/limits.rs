//! A source that brings series without end is stopped, counted and named; others go on.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use crate::daemon::{Daemon, eventually, text};

/// Series that one source may bring.
const LIMIT: usize = 30;

#[test]
fn a_source_gone_wild_is_stopped_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("wild.log");
    let mut lines = String::new();
    // A client that makes a web server answer with every status there is, by every method.
    for (i, status) in (200..600).enumerate() {
        let method = ["GET", "POST", "PUT", "DELETE"][i % 4];
        writeln!(
            lines,
            "192.0.2.7 - - [21/Nov/2026:05:00:00 +0000] \"{method} / HTTP/1.1\" {status} 5 \"-\" \"-\""
        )
        .unwrap();
    }
    std::fs::write(&log, lines).unwrap();
    let config = format!(
        "syslog = []\n[store]\nseries_max_per_source = {LIMIT}\n[host]\nenabled = false\n\
         [journal]\nenabled = false\n[known_files]\nenabled = false\n\
         [[files]]\npaths = [\"{}\"]\n",
        log.display()
    );
    let daemon = Daemon::start(dir.path(), &config);
    let said = eventually("the source is named", || {
        let said = text(&daemon.cli(&["status"]));
        said.contains("new series refused").then_some(said)
    });
    let line = said.lines().find(|l| l.contains("refused")).unwrap();
    assert!(
        line.contains("beyond store.series_max_per_source"),
        "{line}"
    );
    assert!(
        line.contains(" from file:") && line.contains("wild.log"),
        "{line}"
    );
    assert!(line.ends_with(" of http_requests_total"), "{line}");
    // What it brought before stays, and all the others have room.
    let count = |selector: &str| {
        let query = format!("count({selector})");
        let said = text(&daemon.cli(&["query", &query]));
        said.split_whitespace()
            .filter_map(|w| w.parse::<usize>().ok())
            .next_back()
    };
    let wild = eventually("its series are stored", || count("http_requests_total"));
    assert!((10..=LIMIT).contains(&wild), "{wild}");
    eventually("others are stored", || {
        count("{__name__=~\"vigie_.*\"}").filter(|&n| n > LIMIT)
    });
}

/// systemd gives a service 1024 descriptors of the half a million it may have.
#[test]
fn as_many_files_may_be_open_as_are_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -S -n 64 && exec \"$0\" run \"$@\""])
        .arg(env!("CARGO_BIN_EXE_vigie"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let config = "syslog = []\n[host]\nenabled = false\n[known_files]\nenabled = false\n";
    let daemon = Daemon::spawn(dir.path(), config, shell).unwrap();
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid().as_raw_nonzero())).unwrap();
    let open = limits.lines().find(|l| l.starts_with("Max open files"));
    let words: Vec<_> = open.unwrap().split_whitespace().collect();
    assert_ne!(words[3], "64");
    assert_eq!(words[3], words[4], "{words:?}");
}
