//! kill -9 at any moment: nothing acknowledged is lost, nothing that has a position is doubled.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::daemon::{Daemon, cli, eventually, numbers, stored, text};

/// Lines in the followed file.
const LINES: usize = 60_000;
/// How often the daemon is killed while it reads them.
const KILLS: usize = 4;

fn config(log: &Path) -> String {
    format!(
        "syslog = []\n[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
         [[files]]\npaths = [\"{}\"]\n",
        log.display()
    )
}

/// The sequence numbers of all stored lines, sorted.
fn sequence(dir: &Path) -> Vec<usize> {
    numbers(&stored(dir, ""), "/page/")
}

#[test]
fn each_line_of_a_file_once_whatever_is_killed_when() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("access.log");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .unwrap();
    let mut written = 0;
    let mut append = |written: &mut usize, n: usize| {
        for seq in *written..*written + n {
            writeln!(
                file,
                "192.0.2.{} - - [21/Nov/2026:05:{:02}:{:02} +0000] \"GET /page/{seq} HTTP/1.1\" 200 512 \"-\" \"curl/8.5.0\"",
                seq % 250,
                seq / 60 % 60,
                seq % 60
            )
            .unwrap();
        }
        *written += n;
    };
    for kill in 0..KILLS {
        append(&mut written, LINES / (KILLS + 1));
        let daemon = Daemon::start(dir.path(), &config(&log));
        append(&mut written, LINES / (KILLS + 1) / 10);
        // A different moment of its life each time; none is special.
        std::thread::park_timeout(Duration::from_millis(130 * kill as u64));
        daemon.kill();
    }
    let rest = LINES - written;
    append(&mut written, rest);
    let daemon = Daemon::start(dir.path(), &config(&log));
    let numbers = eventually("all lines are stored", || {
        let numbers = sequence(dir.path());
        (numbers.len() >= LINES).then_some(numbers)
    });
    assert!(daemon.terminate().success());
    assert_eq!(numbers, (0..LINES).collect::<Vec<_>>());
    assert_eq!(
        sequence(dir.path()).len(),
        LINES,
        "the same with the daemon stopped"
    );
    let patterns = cli(
        dir.path(),
        &["logs", "@all | patterns | sum count", "--format", "csv"],
    );
    assert_eq!(text(&patterns), format!("sum\n{LINES}\n"));
    let verified = cli(dir.path(), &["verify"]);
    assert!(verified.status.success(), "{}", text(&verified));
    assert!(
        text(&verified).contains(&format!("{LINES} lines")),
        "{}",
        text(&verified)
    );
}

#[test]
fn a_second_daemon_on_the_same_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let quiet = "syslog = []\n[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n";
    let _first = Daemon::start(dir.path(), quiet);
    let error = Daemon::try_start(dir.path(), quiet, "run").err().unwrap();
    assert!(error.contains("another vigie (pid "), "{error}");
}

#[test]
fn each_line_counts_once_in_a_counter_of_the_operators() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    let count =
        "[[count]]\nname = \"shop_failed_total\"\nquery = 'failed'\nby = [\"code\"]\nlimit = 3\n";
    let config = format!("{}{count}", config(&log));
    let mut written = 0;
    let append = |written: &mut usize| {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        for seq in *written..*written + 3000 {
            let word = if seq % 2 == 0 { "failed" } else { "done" };
            writeln!(
                file,
                "level=info msg=\"payment {word}\" code={} seq={seq}",
                seq % 10
            )
            .unwrap();
        }
        *written += 3000;
    };
    for kill in 0..KILLS {
        append(&mut written);
        let daemon = Daemon::start(dir.path(), &config);
        // A different moment of its life each time; none is special.
        std::thread::park_timeout(Duration::from_millis(90 * kill as u64));
        daemon.kill();
    }
    let daemon = Daemon::start(dir.path(), &config);
    let ask = |query: &str| {
        let out = daemon.cli(&["query", query, "--format", "csv"]);
        let value = text(&out)
            .lines()
            .last()?
            .rsplit(',')
            .next()?
            .parse::<f64>();
        value.ok()
    };
    let half = (written / 2) as f64;
    eventually("all lines are counted", || {
        (ask("sum(shop_failed_total)")? >= half).then_some(())
    });
    assert_eq!(ask("sum(shop_failed_total)"), Some(half), "none twice");
    // Each start tells three apart, not the same ones necessarily.
    let sets = ask("count(shop_failed_total)").unwrap();
    assert!((4.0..=6.0).contains(&sets), "{sets}");
    let beyond = ask("vigie_count_beyond_limit_total");
    assert_eq!(ask("shop_failed_total{code=\"other\"}"), beyond);
    let wrong = config.replace("'failed'", "'failed | count'");
    std::fs::write(dir.path().join("wrong.toml"), wrong).unwrap();
    let path = dir.path().join("wrong.toml");
    let out = crate::daemon::vigie()
        .args(["check", "--config"])
        .arg(path)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(
        error.contains("wrong.toml:12:9: query:8: conditions only"),
        "{error}"
    );
}
