//! Small file systems: one that fills up and opens an incident, one under the store itself.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::{Daemon, eventually, text};

/// A tmpfs of some MiB, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Needs root, which CI has; elsewhere the test says so and is skipped.
    fn mount(at: PathBuf, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "vigie-test"])
            .arg(&at)
            .status()
            .is_ok_and(|s| s.success());
        if !mounted {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI may mount");
            println!("skipped: only root may mount a small file system");
            return None;
        }
        Some(Self(at))
    }

    /// Takes all the space that is left.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        // Ends with "no space left on device", which is the point.
        let _ = std::io::copy(&mut std::io::repeat(7), &mut file);
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn rule_file(dir: &Path) -> PathBuf {
    let path = dir.join("rules.yml");
    std::fs::write(
        &path,
        "groups:\n- name: test\n  interval: 1s\n  rules:\n  - alert: SmallDiskFull\n    expr: node_filesystem_avail_bytes{mountpoint=~\".*/small\"} / node_filesystem_size_bytes < 0.05\n    labels: {severity: critical}\n    annotations: {summary: \"{{ $labels.mountpoint }} is full\"}\n",
    )
    .unwrap();
    path
}

#[test]
fn a_full_filesystem_opens_an_incident_that_survives_a_kill_and_resolves() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path().join("small"), 8) else {
        return;
    };
    let config = format!(
        "syslog = []\n[journal]\nenabled = false\n[known_files]\nenabled = false\n[rules]\ndefaults = false\nfiles = [\"{}\"]\n",
        rule_file(dir.path()).display()
    );
    let daemon = Daemon::start(dir.path(), &config);
    let ballast = disk.fill();
    let list =
        |daemon: &Daemon, all: &str| text(&daemon.cli(&["incidents", all, "--format", "json"]));
    let opened = eventually("an incident is opened", || {
        Some(list(&daemon, "-q")).filter(|l| l.contains("is full"))
    });
    daemon.kill();
    let daemon = Daemon::start(dir.path(), &config);
    let again = list(&daemon, "-q");
    let id =
        |text: &str| serde_json::from_str::<serde_json::Value>(text.trim()).unwrap()["id"].clone();
    assert_eq!(id(&again), id(&opened), "the same incident after kill -9");
    std::fs::remove_file(ballast).unwrap();
    let resolved = eventually("it resolves by itself", || {
        let all = list(&daemon, "--all");
        all.contains("\"state\":\"resolved\"").then_some(all)
    });
    assert_eq!(id(&resolved), id(&opened));
    assert!(list(&daemon, "-q").is_empty());
}

const SYSLOG_ONLY: &str = "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
                           [[syslog]]\nlisten = \"127.0.0.1:0\"\nprotocols = [\"udp\"]\n";

fn status_of(daemon: &Daemon) -> serde_json::Value {
    serde_json::from_str(&text(&daemon.cli(&["status", "--format", "json"]))).unwrap()
}

fn got(daemon: &Daemon, path: &str) -> Option<String> {
    let url = format!("{}{path}", daemon.url());
    let found = ureq::get(&url).call().ok()?;
    found.into_body().read_to_string().ok()
}

/// Commits that failed, as the daemon counts them.
fn failures_of(daemon: &Daemon) -> u64 {
    let metrics = got(daemon, "/metrics").unwrap();
    let name = "vigie_store_commit_failures_total{";
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .expect(&metrics)
}

/// Everybody says that the disk is full; how many commits had failed.
fn the_full_disk_is_named(daemon: &Daemon, disk: &Path) -> u64 {
    let data = disk.join("data");
    let why = format!("no space left on the file system of {}", data.display());
    let status = status_of(daemon);
    let trouble = &status["store"]["trouble"];
    let failed = trouble["failures"].as_u64().unwrap_or(0);
    assert!(failed > 0 && trouble["since"].is_string(), "{status}");
    assert!(
        trouble["why"].as_str().unwrap().starts_with(&why),
        "{status}"
    );
    assert!(failures_of(daemon) >= failed);
    for (format, words) in [
        ("text", "nothing written since"),
        ("text", why.as_str()),
        (
            "nagios",
            "VIGIE CRITICAL - nothing can be written to the store for",
        ),
    ] {
        let out = daemon.cli(&["status", "--format", format]);
        assert!(text(&out).contains(words), "{}", text(&out));
        assert_eq!(out.status.code(), Some(1), "trouble");
    }
    let check = daemon.cli(&["check"]);
    assert!(
        text(&check).contains("too little for the store"),
        "{}",
        text(&check)
    );
    assert_eq!(check.status.code(), Some(1));
    failed
}

#[test]
fn a_start_on_a_full_disk_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path().join("data"), 16) else {
        return;
    };
    let refused = |store: &str| {
        let ballast = disk.fill();
        let said = Daemon::try_start(dir.path(), SYSLOG_ONLY, "run");
        let said = said.map(|_| ()).expect_err(store);
        let why = format!("no space left on the file system of {}", disk.0.display());
        assert!(said.contains(&why), "{store}: {said}");
        std::fs::remove_file(ballast).unwrap();
    };
    refused("no store yet");
    Daemon::start(dir.path(), SYSLOG_ONLY).kill();
    refused("that of a killed daemon");
    Daemon::start(dir.path(), SYSLOG_ONLY).terminate();
    refused("that of one that ended");
    Daemon::start(dir.path(), SYSLOG_ONLY);
}

#[test]
fn a_full_disk_under_the_store_delays_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path().join("disk"), 24) else {
        return;
    };
    let daemon = Daemon::start(&disk.0, SYSLOG_ONLY);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(daemon.address("syslog udp ")).unwrap();
    let send = |word: &str| {
        let line = format!("<13>1 2026-11-21T05:11:43Z web1 demo - - - {word}");
        socket.send(line.as_bytes()).unwrap();
    };
    let found = |daemon: &Daemon, word: &str| {
        daemon
            .cli(&["logs", word, "--since", "1y"])
            .status
            .success()
            .then_some(())
    };
    send("before");
    eventually("what came before is stored", || found(&daemon, "before"));
    let ballast = disk.fill();
    // Lines until the free pages of the store are used up and a commit fails.
    let mut sent = 0u64;
    eventually("the page says that the disk is full", || {
        for _ in 0..200 {
            sent += 1;
            send(&format!("during{sent} {}", "filler ".repeat(100)));
        }
        let page = got(&daemon, "/")?;
        page.contains("no space left").then_some(())
    });
    let failed = the_full_disk_is_named(&daemon, &disk.0);
    std::fs::remove_file(ballast).unwrap();
    send("after");
    eventually("what came after is stored", || found(&daemon, "after"));
    let status = status_of(&daemon);
    assert!(status["store"]["trouble"].is_null(), "{status}");
    let past = &status["store"]["past_trouble"];
    assert!(past["failures"].as_u64().unwrap() >= failed, "{status}");
    assert!(failures_of(&daemon) >= failed, "a counter does not fall");
    assert!(text(&daemon.cli(&["check"])).contains("fine"));
    let out = daemon.cli(&[
        "logs", "filler", "--format", "raw", "--since", "1y", "-n", "1000000",
    ]);
    let mut numbers: Vec<u64> = text(&out)
        .lines()
        .filter_map(|l| l.split_once("during")?.1.split(' ').next()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let before = numbers.len();
    numbers.dedup();
    assert_eq!(before, numbers.len(), "nothing twice");
    let status = status_of(&daemon);
    let dropped: u64 = status["sources"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|s| s["dropped"].as_object().unwrap().values())
        .filter_map(serde_json::Value::as_u64)
        .sum();
    assert_eq!(
        numbers.len() as u64 + dropped,
        sent,
        "stored or counted as dropped: {status}"
    );
}
