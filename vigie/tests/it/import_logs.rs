//! `vigie import logs`: every line once, whatever was taken or followed before.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::daemon::{Daemon, cli, eventually, text, vigie};

fn lines(day: usize, n: usize) -> String {
    (0..n).fold(String::new(), |mut all, i| {
        let (m, s) = (i / 60 % 60, i % 60);
        let _ = writeln!(
            all,
            "2026-10-{day:02}T10:{m:02}:{s:02}Z web1 app[7]: line {i} of day {day}"
        );
        all
    })
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

/// Imports and says what was taken and what was known.
fn import(dir: &Path, paths: &[&Path]) -> (u64, u64) {
    let paths: Vec<_> = paths.iter().map(|p| p.to_str().unwrap()).collect();
    let out = cli(
        dir,
        &[&["import", "logs", "--tz", "UTC"], paths.as_slice()].concat(),
    );
    let said = text(&out);
    assert!(
        out.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let last = said.lines().find(|l| l.contains(" here already")).unwrap();
    let numbers: Vec<u64> = last.split(' ').filter_map(|w| w.parse().ok()).collect();
    (numbers[0], numbers[2])
}

/// All lines of the store, in order.
fn stored(dir: &Path) -> Vec<String> {
    let out = cli(dir, &["logs", "@all", "-n", "1000000", "--format", "raw"]);
    text(&out).lines().map(str::to_owned).collect()
}

#[test]
fn rotated_packed_and_renamed_files_are_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(logs.join(name), bytes).unwrap();
    write("app.log", lines(3, 100).as_bytes());
    write("app.log.1", lines(2, 200).as_bytes());
    write("app.log.2.gz", &gzip(&lines(1, 300)));
    write(
        "other.log.zst",
        &zstd::encode_all("alone\n".as_bytes(), 1).unwrap(),
    );
    assert_eq!(import(dir.path(), &[&logs]), (601, 0));
    let all = [lines(1, 300), lines(2, 200), lines(3, 100)].concat();
    let mut expected: Vec<String> = all.lines().map(str::to_owned).collect();
    let found = |expected: &[String]| {
        let held: Vec<String> = stored(dir.path())
            .into_iter()
            .filter(|l| l != "alone")
            .collect();
        assert_eq!(held, expected);
    };
    found(&expected);
    assert_eq!(import(dir.path(), &[&logs]), (0, 601));
    // Rotation: everything moves on, is packed, and a new file begins; the old one got a last line.
    let last = "2026-10-03T10:59:59Z web1 app[7]: the last line\n";
    write("app.log.3.gz", &gzip(&lines(1, 300)));
    write("app.log.2.gz", &gzip(&lines(2, 200)));
    write("app.log.1", (lines(3, 100) + last).as_bytes());
    write("app.log", lines(4, 50).as_bytes());
    assert_eq!(import(dir.path(), &[&logs.join("app.log*")]), (51, 600));
    expected.push(last.trim_end().to_owned());
    expected.extend(lines(4, 50).lines().map(str::to_owned));
    found(&expected);
    let whole = cli(
        dir.path(),
        &["logs", "@all | count by source", "--format", "csv"],
    );
    let table = text(&whole);
    assert!(table.contains("/logs/app.log,651"), "{table}");
    assert!(table.contains("/logs/other.log,1"), "{table}");
}

#[test]
fn what_was_followed_live_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    // Only the end of what was there is followed: the rest is for the import.
    std::fs::write(&path, lines(1, 1000)).unwrap();
    let config = format!(
        "syslog = []\n[host]\nenabled = false\n[known_files]\nenabled = false\n\
         [[files]]\npaths = [\"{}\"]\nbacklog = \"10 KiB\"\n",
        path.display()
    );
    let daemon = Daemon::start(&dir.path().join("d"), &config);
    let stored_lines = || stored(&dir.path().join("d"));
    eventually("the end of the file is read", || {
        stored_lines()
            .last()
            .is_some_and(|l| l.contains("line 999"))
            .then_some(())
    });
    let busy = cli(
        &dir.path().join("d"),
        &["import", "logs", path.to_str().unwrap()],
    );
    let said = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert_eq!(busy.status.code(), Some(2), "{said}");
    assert!(said.contains("end the daemon"), "{said}");
    assert!(daemon.terminate().success());
    let held = stored_lines().len() as u64;
    assert!(held > 10 && held < 1000, "{held}");
    assert_eq!(import(&dir.path().join("d"), &[&path]), (1000 - held, held));
    let expected: Vec<String> = lines(1, 1000).lines().map(str::to_owned).collect();
    assert_eq!(stored_lines(), expected);
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.log");
    let mut all = String::new();
    for i in 0..400_000u32 {
        // The same text many times in a second: nothing but the place in the file tells them apart.
        let _ = writeln!(
            all,
            "2026-10-01T10:{:02}:00Z web1 app[7]: again and again",
            i / 10_000
        );
    }
    std::fs::write(&path, &all).unwrap();
    let mut child = vigie()
        .args(["import", "logs", "--data"])
        .arg(dir.path().join("data"))
        .arg(&path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("some of it is taken", || {
        let some = cli(dir.path(), &["logs", "@all | count", "--format", "csv"]);
        let n: Option<u64> = text(&some).lines().nth(1).and_then(|l| l.parse().ok());
        let ended = child.try_wait().unwrap().is_some();
        (ended || n.is_some_and(|n| n > 0)).then_some(())
    });
    // It may have ended by then; the count is right in any case.
    let _ = child.kill();
    child.wait().unwrap();
    let (taken, known) = import(dir.path(), &[&path]);
    assert_eq!(taken + known, 400_000);
    let count = text(&cli(
        dir.path(),
        &["logs", "@all | count by time", "--format", "csv"],
    ));
    assert_eq!(count.lines().skip(1).count(), 40, "{count}");
    for line in count.lines().skip(1) {
        assert!(line.ends_with(",10000"), "{count}");
    }
}

#[test]
fn what_cannot_be_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.log.gz");
    let mut bytes = gzip(&lines(1, 5000));
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&broken, bytes).unwrap();
    let gone = dir.path().join("gone.log");
    let out = cli(
        dir.path(),
        &[
            "import",
            "logs",
            "--format",
            "json",
            broken.to_str().unwrap(),
            gone.to_str().unwrap(),
        ],
    );
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("gone.log: No such file"), "{said}");
    assert!(said.contains("broken.log.gz: "), "{said}");
    let line = text(&out);
    assert!(
        line.contains("\"not_parsed\":0") || line.contains("\"taken\":"),
        "{line}"
    );
    assert!(
        !stored(dir.path()).is_empty(),
        "what could be unpacked is taken"
    );
}
