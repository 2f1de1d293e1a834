//! Scenarios of rotation, truncation and sudden ends, and random sequences of them: every line once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use tempfile::TempDir;
use vigie_parsers::joining::Joining;
use vigie_parsers::{Encoding, Timestamp};
use vigie_query::log::Filter;
use vigie_query::{EventSource, Order, Scan};
use vigie_store::{Batch, Options, Registry, SourceState, Writer};

use super::super::watch::Follow;
use super::asleep::FILES_MAX;
use super::followed::Reading;
use super::patterns::Patterns;
use super::position::{FILE_PREFIX, GLOB_PREFIX};
use super::tailer::{Group, Tailer};
use crate::counts::Counters;
use crate::lines::LINE_LEN_MAX;
use crate::outlet::Ended;
use crate::status::Status;

/// A directory of logs, a tailer, and what it has committed.
struct World {
    dir: TempDir,
    registry: Registry,
    pattern: &'static str,
    reading: Reading,
    backlog: u64,
    /// The clock of the file system: it goes on with each change.
    clock: Cell<u64>,
    tailer: Option<Tailer>,
    status: Status,
    now: i64,
    lines: Vec<String>,
    positions: BTreeMap<String, Vec<u8>>,
}

impl World {
    fn new(pattern: &'static str) -> Self {
        let store = tempfile::tempdir().unwrap();
        let writer = Writer::open(store.path(), &Options::default(), Timestamp(0)).unwrap();
        Self {
            dir: tempfile::tempdir().unwrap(),
            registry: writer.registry().clone(),
            pattern,
            reading: Reading::default(),
            backlog: u64::MAX,
            clock: Cell::new(1_795_240_800_000),
            tailer: None,
            status: Status::default(),
            now: 1_000_000,
            lines: Vec::new(),
            positions: BTreeMap::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        self.append_bytes(name, text.as_bytes());
    }

    fn append_bytes(&self, name: &str, bytes: &[u8]) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(bytes).unwrap();
        self.touch(&file);
    }

    /// The file was changed now.
    fn touch(&self, file: &fs::File) {
        self.clock.set(self.clock.get() + 1);
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.get());
        file.set_modified(now).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copy_truncate(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        let copy = OpenOptions::new().write(true).open(self.path(to)).unwrap();
        self.touch(&copy);
        self.truncate(from);
    }

    /// As logrotate does it: the copy has the time of the log.
    fn copy_truncate_with_time(&self, from: &str, to: &str) {
        let modified = fs::metadata(self.path(from)).unwrap().modified().unwrap();
        fs::copy(self.path(from), self.path(to)).unwrap();
        let copy = OpenOptions::new().write(true).open(self.path(to)).unwrap();
        copy.set_modified(modified).unwrap();
        self.truncate(from);
    }

    /// As gzip and zstd do it: the time stays that of the plain file.
    fn pack(&self, name: &str, ending: &str) {
        let text = fs::read(self.path(name)).unwrap();
        let packed = match ending {
            "gz" => {
                let fast = flate2::Compression::fast();
                let mut gz = flate2::write::GzEncoder::new(Vec::new(), fast);
                gz.write_all(&text).unwrap();
                gz.finish().unwrap()
            }
            _ => zstd::encode_all(text.as_slice(), 1).unwrap(),
        };
        let modified = fs::metadata(self.path(name)).unwrap().modified().unwrap();
        let path = self.path(&format!("{name}.{ending}"));
        fs::write(&path, packed).unwrap();
        let times = fs::FileTimes::new().set_modified(modified);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_times(times)
            .unwrap();
        fs::remove_file(self.path(name)).unwrap();
    }

    /// As logrotate does it: `app.log.1` becomes `app.log.2`, and so on.
    fn shift(&self) {
        for n in (1..100).rev() {
            for ending in ["", ".gz", ".zst"] {
                let old = format!("app.log.{n}{ending}");
                if self.path(&old).exists() {
                    self.rename(&old, &format!("app.log.{}{ending}", n + 1));
                }
            }
        }
    }

    fn truncate(&self, name: &str) {
        let file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.path(name))
            .unwrap();
        self.touch(&file);
    }

    fn start(&mut self) -> Tailer {
        let pattern = self.path(self.pattern).to_string_lossy().into_owned();
        let group = Group {
            name: "test".to_owned(),
            patterns: Patterns::new(&[pattern], &[]).unwrap(),
            format: vigie_parsers::formats::find("raw"),
            zone: TimeZone::UTC,
            host: "vm".to_owned(),
            vhost: None,
            reading: self.reading.clone(),
            backlog: self.backlog,
        };
        let positions: Vec<_> = self.positions.clone().into_iter().collect();
        Tailer::new(
            vec![group],
            &positions,
            Counters::new(&self.registry, &[]),
            self.status.clone(),
        )
    }

    /// Polls until there is no more; `commits` batches reach the store, then the power goes.
    fn poll_with(&mut self, commits: usize, last: bool) {
        let mut tailer = match self.tailer.take() {
            Some(tailer) => tailer,
            None => self.start(),
        };
        let mut left = commits;
        self.now += 1000;
        let (lines, positions, now) = (&mut self.lines, &mut self.positions, Timestamp(self.now));
        let mut sink = |batch: Batch| {
            left = left.checked_sub(1).ok_or(Ended)?;
            commit(lines, positions, batch);
            Ok(())
        };
        let alive = match last {
            true => tailer.finish(now, &mut sink).is_ok(),
            false => loop {
                match tailer.poll(now, true, &mut sink) {
                    Ok(true) => {}
                    Ok(false) => break true,
                    Err(Ended) => break false,
                }
            },
        };
        self.tailer = alive.then_some(tailer);
    }

    fn poll(&mut self) {
        self.poll_with(usize::MAX, false);
    }

    /// Half a minute of silence and more: rotated files are let go.
    fn rest(&mut self) {
        self.poll();
        self.now += 60_000;
        self.poll();
    }

    fn stop(&mut self) {
        self.tailer = None;
    }

    fn check(&mut self, expected: &[&str]) {
        self.poll();
        assert_eq!(self.lines, expected);
    }

    /// The log, and at most one piece, as long as one is not packed.
    fn watched(&self) -> usize {
        1 + usize::from((1..9).any(|n| self.path(&format!("app.log.{n}")).exists()))
    }

    fn files(&self) -> usize {
        self.positions
            .keys()
            .filter(|k| k.starts_with(FILE_PREFIX))
            .count()
    }

    fn state(&self, name: &str) -> Option<(SourceState, String)> {
        let name = format!("{FILE_PREFIX}{}", self.path(name).display());
        let reports = self.status.reports(Timestamp(0)).into_iter();
        reports
            .filter(|r| r.source == name)
            .map(|r| (r.state, r.detail))
            .next()
    }

    fn dropped(&self, name: &str) -> Vec<(String, u64)> {
        let name = format!("{FILE_PREFIX}{}", self.path(name).display());
        let reports = self.status.reports(Timestamp(0)).into_iter();
        reports
            .filter(|r| r.source == name)
            .flat_map(|r| r.dropped)
            .collect()
    }
}

fn commit(lines: &mut Vec<String>, positions: &mut BTreeMap<String, Vec<u8>>, batch: Batch) {
    for head in batch.events.heads() {
        let line = batch.events.line(head);
        lines.push(String::from_utf8_lossy(line).into_owned());
    }
    for (key, value) in batch.positions {
        match value {
            Some(value) => positions.insert(key, value),
            None => positions.remove(&key),
        };
    }
}

#[test]
fn lines_come_when_they_are_whole() {
    let mut w = World::new("*.log");
    w.append("a.log", "one\ntwo\r\n\nhal");
    w.check(&["one", "two"]);
    w.append("a.log", "f\n");
    w.check(&["one", "two", "half"]);
    w.append("b.log", "new file\n");
    w.check(&["one", "two", "half", "new file"]);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut w = World::new("*.log");
    w.append("a.log", "one\npart");
    w.check(&["one"]);
    w.stop();
    w.append("a.log", "ial\nthree\n");
    w.append("b.log", "from the beginning\n");
    w.check(&["one", "partial", "three", "from the beginning"]);
    assert!(w.positions.contains_key(&format!("{GLOB_PREFIX}test")));
}

#[test]
fn lines_of_one_event_come_together() {
    let mut w = World::new("*.log");
    w.reading.joining = Joining::Auto;
    let (error, frame, info) = (
        "2026-11-21 09:46:44 ERROR x",
        "\tat a.B.c(B.java:1)",
        "2026-11-21 09:46:45 INFO y",
    );
    let joined = format!("{error}\n{frame}");
    w.append("a.log", &format!("alone\n{error}\n"));
    w.check(&["alone"]);
    w.append("a.log", &format!("{frame}\n{info}\n"));
    w.check(&["alone", &joined]);
    // Nothing comes, so the last is taken for whole.
    w.check(&["alone", &joined, info]);
    // While it waits nothing is lost, even if we end.
    w.append("a.log", &format!("{error}\n"));
    w.poll();
    w.stop();
    w.append("a.log", &format!("{frame}\n"));
    w.poll();
    w.now += 1000;
    w.check(&["alone", &joined, info, &joined]);
    // At the very end nothing waits, and a line without its end is one.
    w.append("a.log", &format!("{info}\n{error}\n{frame}\nhalf"));
    w.poll_with(usize::MAX, true);
    w.stop();
    w.check(&["alone", &joined, info, &joined, info, &joined, "half"]);
}

#[test]
fn what_was_there_before_us_is_read_from_near_its_end() {
    let mut w = World::new("*.log");
    w.backlog = 10;
    w.append("a.log", "0123\n5678\nabcd\nefgh\n");
    w.append("b.log", "0123456789abcdef\nshort\n");
    w.check(&["abcd", "efgh", "short"]);
    w.append("c.log", "a later one is read whole\nto its end\n");
    w.check(&[
        "abcd",
        "efgh",
        "short",
        "a later one is read whole",
        "to its end",
    ]);
}

#[test]
fn renamed_and_created() {
    for pattern in ["app.log", "app.log*"] {
        let mut w = World::new(pattern);
        w.append("app.log", "one\n");
        w.check(&["one"]);
        w.append("app.log", "two\nunfinished");
        w.rename("app.log", "app.log.1");
        w.append("app.log", "four\n");
        // The writer has not noticed yet.
        w.append("app.log.1", " three\n");
        w.poll();
        let mut lines = w.lines.clone();
        lines.sort();
        assert_eq!(
            lines,
            ["four", "one", "two", "unfinished three"],
            "{pattern}"
        );
        w.append("app.log.1", "late");
        w.rest();
        let late = w.lines.iter().filter(|l| *l == "late").count();
        assert_eq!(
            (late, w.files()),
            if pattern == "app.log" { (1, 2) } else { (0, 2) }
        );
    }
}

#[test]
fn rotated_while_we_were_away() {
    let mut w = World::new("app.log");
    w.append("app.log", "one\n");
    w.poll();
    w.stop();
    w.append("app.log", "two\n");
    w.rename("app.log", "app-20261121.log");
    w.append("app.log", "three\n");
    w.check(&["one", "two", "three"]);
    w.rest();
    assert_eq!(w.files(), 2, "its writer may still have it open");
}

/// What rotation made of the log while we were away, one step after the other.
#[test]
fn rotated_and_packed_while_we_were_away() {
    /// What happens in a world while nobody looks.
    type Step = fn(&World);
    let steps: [(&str, Step); 6] = [
        ("renamed, packed", |w| {
            w.rename("app.log", "app.log.1");
            w.pack("app.log.1", "gz");
        }),
        ("copied, packed", |w| {
            w.copy_truncate("app.log", "app.log.1");
            w.pack("app.log.1", "zst");
        }),
        ("twice, not packed", |w| {
            w.rename("app.log", "app.log.1");
            w.append("app.log", "between\n");
            w.shift();
            w.rename("app.log", "app.log.1");
        }),
        ("twice, the older one packed", |w| {
            w.rename("app.log", "app.log.1");
            w.append("app.log", "between\n");
            w.pack("app.log.1", "zst");
            w.shift();
            w.rename("app.log", "app.log.1");
        }),
        ("twice, both packed, and copied", |w| {
            w.copy_truncate("app.log", "app.log.1");
            w.pack("app.log.1", "gz");
            w.append("app.log", "between\n");
            w.shift();
            w.copy_truncate("app.log", "app.log.1");
            w.pack("app.log.1", "gz");
        }),
        ("by the day", |w| {
            w.rename("app.log", "app.log-20261120");
            w.append("app.log", "between\n");
            w.pack("app.log-20261120", "gz");
            w.rename("app.log", "app.log-20261121");
            w.pack("app.log-20261121", "gz");
        }),
    ];
    for (what, rotate) in steps {
        for commits in 0..4 {
            let mut w = World::new("app.log");
            // Older than all that we know, and read long ago.
            w.append("app.log.1", "ancient\n");
            w.pack("app.log.1", "gz");
            w.append("app.log", "one\n");
            w.poll();
            w.stop();
            w.append("app.log", "two\nlast");
            w.append("app.log", "\n");
            w.shift();
            rotate(&w);
            w.append("app.log", "new\n");
            // The power goes in between.
            w.poll_with(commits, false);
            w.stop();
            w.poll();
            w.rest();
            let between = what.starts_with("twice") || what.starts_with("by");
            let mut expected = vec!["last", "new", "one", "two"];
            if between {
                expected.insert(0, "between");
            }
            w.lines.sort();
            assert_eq!(w.lines, expected, "{what}, {commits} commits");
            assert!(w.dropped("app.log").is_empty(), "{what}");
            w.rest();
            assert_eq!(w.files(), w.watched(), "{what}: the others are done");
            w.stop();
            w.rest();
            assert_eq!(w.lines, expected, "{what}: and stay so");
        }
    }
}

/// Of an unread log nothing is known by which its pieces could be told; their times are.
#[test]
fn an_unread_log_is_turned_away_while_nobody_looks() {
    type Step = fn(&mut World);
    let begins: [(&str, Step); 4] = [
        ("met empty", |w| {
            w.append("app.log", "");
            w.poll();
        }),
        ("emptied by a copy", |w| {
            w.append("app.log", "one\n");
            w.poll();
            w.shift();
            w.copy_truncate("app.log", "app.log.1");
            w.poll();
        }),
        ("the copy is done", |w| {
            w.append("app.log", "one\n");
            w.poll();
            w.shift();
            w.copy_truncate("app.log", "app.log.1");
            w.rest();
        }),
        // Its writer goes on in the old one for a while.
        ("renamed and done", |w| {
            w.append("app.log", "o");
            w.poll();
            w.shift();
            w.rename("app.log", "app.log.1");
            w.append("app.log", "");
            w.poll();
            w.append("app.log.1", "ne\n");
            w.rest();
        }),
    ];
    let rotations: [(&str, Step); 5] = [
        ("copied", |w| w.copy_truncate("app.log", "app.log.1")),
        ("copied, packed", |w| {
            w.copy_truncate("app.log", "app.log.1");
            w.pack("app.log.1", "gz");
        }),
        ("renamed", |w| w.rename("app.log", "app.log.1")),
        ("renamed, packed", |w| {
            w.rename("app.log", "app.log.1");
            w.pack("app.log.1", "zst");
        }),
        ("copied twice, both packed", |w| {
            w.copy_truncate("app.log", "app.log.1");
            w.pack("app.log.1", "gz");
            w.append("app.log", "two and a half\n");
            w.shift();
            w.copy_truncate("app.log", "app.log.1");
            w.pack("app.log.1", "gz");
        }),
    ];
    for (begin, begins) in begins {
        for (what, rotate) in rotations {
            for commits in 0..4 {
                let what = format!("{begin}, {what}, {commits} commits");
                let mut w = World::new("app.log");
                w.append("app.log.1", "ancient\n");
                w.pack("app.log.1", "gz");
                begins(&mut w);
                w.stop();
                w.append("app.log", "two\n");
                w.shift();
                rotate(&mut w);
                w.append("app.log", "");
                // Nothing is in the new one, or something.
                if commits % 2 == 0 {
                    w.append("app.log", "three\n");
                }
                w.poll_with(commits, false);
                w.stop();
                w.rest();
                w.stop();
                // What is packed later is not new for that.
                w.shift();
                if w.path("app.log.2").exists() {
                    w.pack("app.log.2", "gz");
                }
                w.rest();
                let mut expected = vec!["two"];
                expected.extend((commits % 2 == 0).then_some("three"));
                expected.extend((begin != "met empty").then_some("one"));
                expected.extend(what.contains("twice").then_some("two and a half"));
                expected.sort_unstable();
                w.lines.sort();
                assert_eq!(w.lines, expected, "{what}");
                assert!(w.dropped("app.log").is_empty(), "{what}");
                w.rest();
                assert!(w.files() <= w.watched(), "{what}: the others are done");
            }
        }
    }
}

/// The log is found emptied and with new lines; before they are read it is emptied once more.
#[test]
fn a_copy_has_the_time_of_lines_that_nobody_has_read() {
    let mut w = World::new("app.log");
    w.append("app.log", "one\n");
    w.poll();
    w.stop();
    w.copy_truncate_with_time("app.log", "app.log.1");
    w.append("app.log", "two\n");
    let mut tailer = w.start();
    assert!(tailer.restore(Timestamp(w.now)));
    w.shift();
    w.copy_truncate_with_time("app.log", "app.log.1");
    w.tailer = Some(tailer);
    w.rest();
    w.lines.sort();
    assert_eq!(w.lines, ["one", "two"]);
}

#[test]
fn an_empty_log_is_written_and_copied_between_two_looks() {
    let mut w = World::new("app.log");
    w.append("app.log", "");
    w.poll();
    w.append("app.log", "one\n");
    w.copy_truncate("app.log", "app.log.1");
    w.poll();
    w.append("app.log", "two\n");
    w.shift();
    w.copy_truncate("app.log", "app.log.1");
    w.rest();
    w.lines.sort();
    assert_eq!(w.lines, ["one", "two"]);
}

#[test]
fn turned_away_twice_between_two_looks() {
    let mut w = World::new("app.log");
    w.append("app.log", "one\n");
    w.poll();
    w.append("app.log", "two\n");
    w.rename("app.log", "app.log.1");
    w.append("app.log", "three\n");
    w.shift();
    w.rename("app.log", "app.log.1");
    w.append("app.log", "four\n");
    w.poll();
    w.lines.sort();
    assert_eq!(w.lines, ["four", "one", "three", "two"]);
}

#[test]
fn a_long_packed_piece_is_read_once_whenever_the_power_goes() {
    let mut w = World::new("app.log");
    let mut expected: Vec<_> = (0..200_000)
        .map(|i| format!("line number {i:06}"))
        .collect();
    w.append("app.log", &(expected[..1000].join("\n") + "\n"));
    w.poll();
    w.stop();
    w.append("app.log", &(expected[1000..].join("\n") + "\n"));
    w.rename("app.log", "app.log.1");
    w.pack("app.log.1", "gz");
    w.append("app.log", "line number new\n");
    expected.push("line number new".to_owned());
    for commits in [0, 1, 0, 2, 1, usize::MAX] {
        w.poll_with(commits, false);
        w.stop();
    }
    w.lines.sort();
    assert!(w.lines == expected, "{} lines", w.lines.len());
}

/// Bytes that are not what their beginning says, and more of them than anyone wants.
#[test]
fn a_packed_piece_may_be_damaged_or_a_bomb() {
    let mut w = World::new("app.log");
    w.append("app.log", "one\n");
    w.poll();
    w.stop();
    let text: String = (0..50_000).map(|i| format!("line {i}\n")).collect();
    w.append("app.log", &text);
    w.rename("app.log", "app.log.1");
    w.pack("app.log.1", "gz");
    let packed = fs::read(w.path("app.log.1.gz")).unwrap();
    fs::write(w.path("app.log.1.gz"), &packed[..packed.len() / 2]).unwrap();
    w.append("app.log", "new\n");
    w.rest();
    assert!(w.lines.len() > 1000 && w.lines.len() < 50_000);
    assert!(w.lines.contains(&"new".to_owned()));
    assert_eq!(w.dropped("app.log"), [("damaged_archive".to_owned(), 1)]);
    // 200 MiB without a line end from 200 kB.
    w.stop();
    w.append("app.log", "a piece that we were in the middle of");
    w.poll();
    w.stop();
    w.lines.clear();
    let bomb = std::iter::repeat_n(b'x', 200 << 20).collect::<Vec<_>>();
    w.append("app.log", std::str::from_utf8(&bomb).unwrap());
    w.rename("app.log", "app.log.1");
    w.pack("app.log.1", "zst");
    w.append("app.log", "newer\n");
    w.rest();
    let lens: Vec<_> = w.lines.iter().map(String::len).collect();
    assert_eq!(w.lines.last().map(String::as_str), Some("newer"));
    assert_eq!(lens, [LINE_LEN_MAX, 5], "one line, cut");
}

#[test]
fn copied_and_truncated() {
    for pattern in ["app.log", "app.log*"] {
        for away in [false, true] {
            let mut w = World::new(pattern);
            let long = "x".repeat(70);
            w.append("app.log", &format!("{long}\none\n"));
            w.poll();
            if away {
                w.stop();
            }
            w.append("app.log", "two\n");
            w.copy_truncate("app.log", "app.log.1");
            w.append(
                "app.log",
                "three, longer than everything before it, so that sizes do not tell\n",
            );
            w.append("app.log", &format!("{long}\n"));
            w.rest();
            let mut lines: Vec<_> = w.lines.iter().map(|l| l.get(..5).unwrap_or(l)).collect();
            lines.sort_unstable();
            assert_eq!(
                lines,
                ["one", "three", "two", "xxxxx", "xxxxx"],
                "{pattern} {away}"
            );
            assert!(w.dropped("app.log").is_empty());
        }
    }
}

#[test]
fn truncated_in_place() {
    let mut w = World::new("app.log");
    w.append("app.log", "one\n");
    w.poll();
    w.truncate("app.log");
    w.append("app.log", "two\n");
    w.check(&["one", "two"]);
    assert_eq!(w.dropped("app.log"), [("truncated".to_owned(), 1)]);
}

#[test]
fn deleted_and_made_again() {
    let mut w = World::new("app.log");
    w.append("app.log", "one\n");
    w.poll();
    w.append("app.log", "two");
    fs::remove_file(w.path("app.log")).unwrap();
    w.rest();
    assert_eq!(w.lines, ["one", "two"]);
    assert_eq!(w.state("app.log").unwrap().0, SourceState::Stopped);
    assert_eq!(w.files(), 0);
    w.append("app.log", "three\n");
    w.check(&["one", "two", "three"]);
    assert_eq!(w.state("app.log").unwrap().0, SourceState::Active);
}

#[test]
fn a_link_is_turned_to_another_file() {
    let mut w = World::new("current.log");
    w.append("a", "one\n");
    w.append("b", "two\n");
    std::os::unix::fs::symlink(w.path("a"), w.path("current.log")).unwrap();
    w.check(&["one"]);
    fs::remove_file(w.path("current.log")).unwrap();
    std::os::unix::fs::symlink(w.path("b"), w.path("current.log")).unwrap();
    w.append("a", "three\n");
    w.poll();
    w.lines.sort();
    assert_eq!(w.lines, ["one", "three", "two"]);
}

#[test]
fn an_editor_puts_a_copy_in_the_place() {
    let mut w = World::new("app.log");
    let long = "x".repeat(100);
    w.append("app.log", &format!("{long}\n"));
    w.poll();
    fs::copy(w.path("app.log"), w.path("app.log~")).unwrap();
    w.append("app.log~", "added\n");
    w.rename("app.log~", "app.log");
    w.check(&[&long, "added"]);
}

#[test]
fn an_editor_puts_one_copy_after_the_other_in_the_place() {
    let mut w = World::new("app.log");
    let mut expected: Vec<_> = (0..20).map(|i| format!("line {i:02}")).collect();
    w.append("app.log", &(expected.join("\n") + "\n"));
    w.poll();
    for i in 0..6 {
        // Inodes are given in any order.
        fs::copy(w.path("app.log"), w.path(&format!("copy{}", 5 - i))).unwrap();
    }
    for i in 0..6 {
        let copy = format!("copy{i}");
        fs::copy(w.path("app.log"), w.path(&copy)).unwrap();
        w.append(&copy, &format!("added {i}\n"));
        w.rename(&copy, "app.log");
        expected.push(format!("added {i}"));
        w.poll();
        assert_eq!(w.lines, expected, "{i}");
    }
    w.rest();
    assert_eq!(w.lines, expected);
    // A line that was not whole before is taken once.
    w.append("app.log", "hal");
    w.poll();
    fs::copy(w.path("app.log"), w.path("copy")).unwrap();
    w.append("copy", "f\n");
    w.rename("copy", "app.log");
    w.rest();
    expected.push("half".to_owned());
    assert_eq!(w.lines, expected);
}

/// A banner, longer than what tells one content from another.
const BANNER: &str =
    "worker started, version 4.2.1 build 991, configuration /etc/acme/acme.conf, 17 modules";

#[test]
fn logs_with_equal_beginnings_are_logs_of_their_own() {
    let mut w = World::new("*.log");
    let sources = |w: &World| {
        let reports = w.status.reports(Timestamp(0)).into_iter();
        reports
            .map(|r| (r.source.rsplit('/').next().unwrap().to_owned(), r.items))
            .collect::<Vec<_>>()
    };
    w.append("web.log", &format!("{BANNER}\n"));
    w.poll();
    for name in ["web-2.log", "web_2.log", "web.other.log"] {
        w.append(name, &format!("{BANNER}\n"));
        w.poll();
    }
    // The name of a piece: it shows that it is none when it goes its own way.
    w.append("web.1.log", &format!("{BANNER}\n"));
    w.poll();
    w.append("web.1.log", "one\n");
    for name in ["web-2.log", "web_2.log", "web.other.log"] {
        w.append(name, "two\n");
    }
    w.poll();
    let expected = [
        "web-2.log",
        "web.1.log",
        "web.log",
        "web.other.log",
        "web_2.log",
    ];
    let items = [2, 2, 1, 2, 2];
    let expected: Vec<_> = expected.into_iter().map(str::to_owned).zip(items).collect();
    assert_eq!(sources(&w), expected);
    let banners = w.lines.iter().filter(|l| *l == BANNER).count();
    assert_eq!((banners, w.lines.len()), (5, 9));
    // So it stays over a restart, and when one of them is emptied.
    w.stop();
    w.poll();
    w.truncate("web.log");
    w.append("web.log", "new\n");
    w.rest();
    assert_eq!(w.lines[9..], ["new"]);
    assert_eq!(w.dropped("web.log"), [("truncated".to_owned(), 1)]);
}

#[test]
fn a_new_log_may_begin_as_the_one_that_was_turned_away() {
    for pattern in ["app.log", "app.log*"] {
        let mut w = World::new(pattern);
        for day in 0..4 {
            w.append("app.log", &format!("{BANNER}\n"));
            w.poll();
            if day == 2 {
                w.append("app.log", "one\n");
                w.poll();
            }
            w.shift();
            w.rename("app.log", "app.log.1");
        }
        w.rest();
        let mut lines = w.lines.clone();
        lines.sort();
        assert_eq!(lines, ["one", BANNER, BANNER, BANNER, BANNER], "{pattern}");
    }
}

#[test]
fn a_copy_is_met_while_it_is_made() {
    let mut w = World::new("app.log*");
    let text: String = (0..100).map(|i| format!("line {i:03}\n")).collect();
    w.append("app.log", &text);
    w.poll();
    for part in text.as_bytes().chunks(100) {
        w.append_bytes("app.log.1", part);
        w.poll();
    }
    w.append("app.log", "late\n");
    w.poll();
    assert_eq!(w.lines.len(), 101);
    w.truncate("app.log");
    w.append("app.log", "new\n");
    w.rest();
    assert_eq!(w.lines.len(), 102);
    // Of this copy the log itself goes away.
    fs::copy(w.path("app.log"), w.path("app.log.2")).unwrap();
    w.append("app.log", &text);
    w.poll();
    fs::copy(w.path("app.log"), w.path("app.log.3")).unwrap();
    w.poll();
    fs::remove_file(w.path("app.log")).unwrap();
    w.rest();
    w.rest();
    assert_eq!(w.lines.len(), 202);
}

#[test]
fn a_writer_goes_on_in_the_youngest_piece_for_as_long_as_it_likes() {
    for pattern in ["app.log", "app.log*"] {
        let mut w = World::new(pattern);
        w.append("app.log", "one\n");
        w.poll();
        w.rename("app.log", "app.log.1");
        w.append("app.log", "two\n");
        w.rest();
        w.append("app.log.1", "late\nhal");
        w.rest();
        w.append("app.log.1", "f\n");
        w.rest();
        // Also over a restart, and while nobody looks.
        w.stop();
        w.append("app.log.1", "later\n");
        w.rest();
        w.stop();
        w.append("app.log.1", "latest\n");
        w.pack("app.log.1", "gz");
        w.rest();
        let half: &[&str] = if pattern == "app.log" {
            &["hal", "f"]
        } else {
            &["half"]
        };
        let mut expected = vec!["one", "two", "late"];
        expected.extend(half);
        expected.extend(["later", "latest"]);
        assert_eq!(w.lines, expected, "{pattern}");
        assert!(w.dropped("app.log").is_empty());
        w.rest();
        assert_eq!(w.files(), 1, "packed, so it is finished");
        // The next one is turned away: of the older ones nobody has anything more to say.
        for n in 0..3 {
            w.append("app.log", &format!("three {n}\n"));
            w.poll();
            w.shift();
            w.rename("app.log", "app.log.1");
        }
        w.append("app.log", "four\n");
        w.rest();
        assert_eq!(w.files(), if pattern == "app.log" { 2 } else { 4 });
        // A deleted one takes no room on the disk.
        fs::remove_file(w.path("app.log.1")).unwrap();
        w.rest();
        w.rest();
        assert_eq!(w.files(), if pattern == "app.log" { 1 } else { 3 });
    }
}

#[test]
fn an_empty_piece_is_no_copy() {
    let mut w = World::new("app.log*");
    w.append("app.log", "one\n");
    w.poll();
    for _ in 0..2 {
        w.shift();
        w.copy_truncate("app.log", "app.log.1");
        w.poll();
    }
    w.shift();
    w.rename("app.log", "app.log.1");
    w.poll();
    w.stop();
    w.append("app.log", "two\n");
    w.poll();
    w.shift();
    w.copy_truncate("app.log", "app.log.1");
    w.rest();
    assert_eq!(w.lines, ["one", "two"]);
}

/// `cp app.log app.log.1; : > app.log`, each time into the same file.
#[test]
fn each_copy_is_written_over_the_last_one() {
    for pattern in ["app.log", "app.log*"] {
        for rests in [false, true] {
            let mut w = World::new(pattern);
            let mut expected = Vec::new();
            for n in 0..4 {
                for line in 0..=n {
                    expected.push(format!("turn {n} line {line}"));
                    w.append("app.log", &format!("turn {n} line {line}\n"));
                }
                w.poll();
                expected.push(format!("turn {n} last"));
                w.append("app.log", &format!("turn {n} last\n"));
                w.copy_truncate("app.log", "app.log.1");
                w.poll();
                if rests {
                    w.rest();
                }
            }
            w.rest();
            w.lines.sort();
            expected.sort();
            assert_eq!(w.lines, expected, "{pattern} {rests}");
        }
    }
}

/// Each line once, though the file is not where it was when vigie starts.
#[test]
fn what_is_away_for_a_while_is_read_on_when_it_is_met() {
    type Step = fn(&World);
    let cases: [(&str, &'static str, Step, Step); 5] = [
        (
            "the folder comes later",
            "log/*.log",
            |w| w.rename("log", "away"),
            |w| w.rename("away", "log"),
        ),
        (
            "moved while stopped, and moved back",
            "log/app.log",
            |w| {
                fs::create_dir_all(w.path("far/away")).unwrap();
                w.rename("log/app.log", "far/away/app.log");
            },
            |w| w.rename("far/away/app.log", "log/app.log"),
        ),
        (
            "into another followed folder",
            "{log,far/away}/*.log",
            |w| {
                fs::create_dir_all(w.path("far/away")).unwrap();
                w.rename("log/app.log", "far/away/app.log");
            },
            |_| {},
        ),
        (
            "olddir below the pattern",
            "log/**/*.log*",
            |w| {
                fs::create_dir_all(w.path("log/very/old")).unwrap();
                w.rename("log/app.log", "log/very/old/app.log.1");
                w.append("log/app.log", "new\n");
            },
            |_| {},
        ),
        (
            "olddir beside a plain path, twice",
            "log/app.log",
            |w| {
                fs::create_dir_all(w.path("old")).unwrap();
                w.append("log/app.log", "rest\n");
                w.rename("log/app.log", "old/app.log.2");
                w.append("old/app.log.1", "between\n");
                w.append("log/app.log", "new\n");
            },
            |_| {},
        ),
    ];
    for (what, pattern, goes, returns) in cases {
        for restarts in [false, true] {
            let mut w = World::new(pattern);
            fs::create_dir(w.path("log")).unwrap();
            w.append("log/app.log", &format!("{BANNER}\nread\n"));
            w.poll();
            w.stop();
            goes(&w);
            w.poll();
            if restarts {
                w.stop();
            }
            w.poll();
            returns(&w);
            if w.path("log/app.log").exists() && !w.lines.contains(&"new".to_owned()) {
                w.append("log/app.log", "new\n");
            }
            w.rest();
            let mut expected = vec![BANNER, "read"];
            expected.extend(what.contains("olddir").then_some("new"));
            expected.extend(what.contains("twice").then_some("rest"));
            expected.extend(what.contains("twice").then_some("between"));
            expected.extend((what.contains("later") || what.contains("back")).then_some("new"));
            expected.sort_unstable();
            w.lines.sort();
            assert_eq!(w.lines, expected, "{what} {restarts}");
        }
    }
}

#[test]
fn a_table_is_taken_out_for_a_while() {
    let mut w = World::new("a.log");
    w.append("a.log", "one\n");
    w.append("b.log", "other\n");
    w.poll();
    for pattern in ["b.log", "b.log", "a.log"] {
        w.stop();
        w.pattern = pattern;
        w.poll();
    }
    w.append("a.log", "two\n");
    w.check(&["one", "other", "two"]);
    assert!(w.dropped("a.log").is_empty());
}

#[test]
fn a_file_that_is_gone_is_counted_once_and_not_waited_for_for_ever() {
    let mut w = World::new("*.log");
    w.append("a.log", "one\n");
    w.append("b.log", "two\n");
    w.poll();
    w.stop();
    let gone = [("gone".to_owned(), 1)];
    // So its number is not given to another file.
    w.rename("a.log", "a");
    fs::create_dir(w.path("far")).unwrap();
    fs::create_dir(w.path("far/away")).unwrap();
    w.rename("a", "far/away/a");
    w.rest();
    assert_eq!(w.dropped("a.log"), gone);
    w.stop();
    w.rest();
    assert_eq!((w.dropped("a.log"), w.files()), (gone.to_vec(), 2));
    w.now += 30 * 86_400_000;
    w.rest();
    assert_eq!((w.dropped("a.log"), w.files()), (gone.to_vec(), 1));
}

#[test]
fn what_is_not_a_file_is_refused_and_said_so() {
    let mut w = World::new("*.log");
    fs::create_dir(w.path("dir.log")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        w.path("fifo.log"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::write(w.path("packed.log"), b"\x1f\x8b\x08 etc").unwrap();
    std::os::unix::fs::symlink(w.path("nowhere"), w.path("link.log")).unwrap();
    w.append("a.log", "one\n");
    w.check(&["one"]);
    for (name, why) in [
        ("dir.log", "not followed: a directory, not a file"),
        ("fifo.log", "not followed: a FIFO, not a file"),
        (
            "packed.log",
            "not followed: packed with gzip; `vigie import logs` takes it in",
        ),
    ] {
        assert_eq!(w.state(name), Some((SourceState::Failed, why.to_owned())));
    }
    assert_eq!(w.state("link.log"), None);
    // A file is replaced by a directory, and comes back.
    fs::remove_file(w.path("a.log")).unwrap();
    fs::create_dir(w.path("a.log")).unwrap();
    w.rest();
    assert_eq!(w.state("a.log").unwrap().1, "the file is gone");
    fs::remove_dir(w.path("a.log")).unwrap();
    w.append("a.log", "two\n");
    w.check(&["one", "two"]);
}

#[test]
fn odd_bytes() {
    let mut w = World::new("a.log");
    let long = "y".repeat(1 << 20);
    fs::write(
        w.path("a.log"),
        b"\xef\xbb\xbfbom\n\0\0\xef\xbb\xbfline\nin\0side\n\xff\xfe\n\xef\xbb\xbfmark\n",
    )
    .unwrap();
    w.append("a.log", &format!("{long}\nnext\n"));
    w.poll();
    assert_eq!(
        w.lines[..5],
        [
            "bom",
            "\0\0\u{feff}line",
            "in\0side",
            "\u{fffd}\u{fffd}",
            "\u{feff}mark"
        ]
    );
    assert_eq!(w.lines[5].len(), LINE_LEN_MAX);
    assert_eq!(w.lines[6..], ["next"]);
    assert_eq!(w.dropped("a.log"), [("cut".to_owned(), 1)]);
}

#[test]
fn a_hole_is_passed_over_and_counted_once() {
    let mut w = World::new("a.log");
    // A writer that goes on at its old place after a truncation, and later a crash.
    let mut file = fs::File::create(w.path("a.log")).unwrap();
    let mut at = 7;
    for (line, hole) in [
        ("one\n", 20 << 20),
        ("two\n", 512),
        ("three\n", 511),
        ("\0four\n", 0),
    ] {
        std::os::unix::fs::FileExt::write_all_at(&file, line.as_bytes(), at).unwrap();
        at += line.len() as u64 + hole;
    }
    file.flush().unwrap();
    w.poll();
    // The last NULs are as many as a hole: 511 and one that was written.
    assert_eq!(w.lines, ["one", "two", "three", "four"]);
    assert_eq!(w.dropped("a.log"), [("nul_gap".to_owned(), 4)]);
    // NULs that could be the beginning of a hole wait, and are a line in the end.
    w.append_bytes("a.log", &[0; 300]);
    w.poll();
    w.append_bytes("a.log", b"five\n");
    w.check(&["one", "two", "three", "four", &("\0".repeat(300) + "five")]);
}

#[test]
fn too_many_entries_are_said_so() {
    let mut w = World::new("*.log");
    let trouble = |w: &World| {
        let reports = w.status.reports(Timestamp(0)).into_iter();
        let found = { reports }.find(|r| r.source == "files:test");
        found.map(|r| (r.state, r.dropped.into_iter().next()))
    };
    w.append("a.log", "one\n");
    w.check(&["one"]);
    assert_eq!(trouble(&w), None);
    for n in 0..1000 {
        fs::write(w.path(&format!("{n}.tmp")), "").unwrap();
    }
    w.rest();
    let crowded = Some(("crowded".to_owned(), 1));
    assert_eq!(trouble(&w), Some((SourceState::Failed, crowded.clone())));
    for n in 0..1000 {
        fs::remove_file(w.path(&format!("{n}.tmp"))).unwrap();
    }
    w.poll();
    assert_eq!(trouble(&w), Some((SourceState::Stopped, crowded)));
}

#[test]
fn what_the_kernel_makes_up_is_refused() {
    let mut w = World::new("*.log");
    std::os::unix::fs::symlink("/proc/version", w.path("link.log")).unwrap();
    w.poll();
    let why = "not followed: the kernel's, not a file".to_owned();
    assert_eq!(w.state("link.log"), Some((SourceState::Failed, why)));
    assert!(w.lines.is_empty());
}

#[test]
fn a_pattern_may_mean_the_packed_pieces_too() {
    let mut w = World::new("app*");
    for name in ["app.log.1", "app.log.2", "app-20261101.log"] {
        w.append(name, "old\n");
        w.pack(name, if name.ends_with('2') { "zst" } else { "gz" });
    }
    w.append("app.log", "one\n");
    w.check(&["one"]);
    let failed = w.status.reports(Timestamp(0)).into_iter();
    assert_eq!(failed.filter(|r| r.state == SourceState::Failed).count(), 0);
}

#[test]
fn pieces_with_other_names() {
    // Older and younger piece, and what is counted of the younger one.
    for (older, younger, unread) in [
        ("app.1.log.gz", "app.log.0", 0),
        ("app.2.log", "app.1.log.gz", 0),
        ("app-20261120.log", "app-20261121.log.gz", 0),
        (
            "app.log-20261120-1763596800",
            "app.log-20261121-1763683200",
            0,
        ),
        ("app.log-20261120-101112", "app.log-20261120-111213", 0),
        ("app.log.1", "app.log.0", 0),
        ("app.log.2", "app.log.1.xz", 1),
        ("app.log.2", "app.log.1.lz4", 1),
        ("app.log-20261120", "app.log-2026w47", 1),
    ] {
        let mut w = World::new("app.log");
        w.append("app.log", &format!("{BANNER}\n"));
        w.poll();
        w.stop();
        w.append("app.log", "rest\n");
        for (name, line) in [(older, ""), (younger, "between\n")] {
            w.append("app.log", line);
            let plain = name
                .trim_end_matches(".gz")
                .trim_end_matches(".xz")
                .trim_end_matches(".lz4");
            w.rename("app.log", plain);
            if name.ends_with(".gz") {
                w.pack(plain, "gz");
            } else if plain != name {
                let magic: &[u8] = if name.ends_with("xz") {
                    b"\xfd7zXZ\0"
                } else {
                    b"\x04\x22\x4d\x18"
                };
                w.append_bytes(name, magic);
                fs::remove_file(w.path(plain)).unwrap();
            }
        }
        w.append("app.log", "new\n");
        w.rest();
        let mut expected = vec![BANNER, "rest", "new"];
        expected.extend((unread == 0).then_some("between"));
        expected.sort_unstable();
        w.lines.sort();
        assert_eq!(w.lines, expected, "{younger}");
        let dropped: Vec<_> = (unread > 0)
            .then(|| ("unread_piece".to_owned(), 1))
            .into_iter()
            .collect();
        assert_eq!(w.dropped("app.log"), dropped, "{younger}");
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn other_encodings_become_utf_8() {
    let mut w = World::new("*.log");
    w.append_bytes("le.log", b"\xff\xfe");
    w.append_bytes("le.log", &utf16("één\r\n\r\n日本 😀\nhal"));
    let be: Vec<_> = "\u{feff}tü\n"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    w.append_bytes("be.log", &be);
    w.append_bytes("unmarked.log", &utf16("no mark\n"));
    w.poll();
    w.lines.sort();
    assert_eq!(w.lines, ["no mark", "tü", "één", "日本 😀"]);
    // A character comes in two halves, and the power goes between them.
    let rest = utf16("f 😀\n");
    w.append_bytes("le.log", &rest[..7]);
    w.poll();
    w.stop();
    w.append_bytes("le.log", &rest[7..]);
    w.lines.clear();
    w.check(&["half 😀"]);
    // Rotation, in which the new file has no mark, and one that is packed.
    w.rename("le.log", "le.log.1");
    w.append_bytes("le.log", &utf16("new\n"));
    w.check(&["half 😀", "new"]);
    w.rest();
    fs::remove_file(w.path("le.log.1")).unwrap();
    w.append_bytes("le.log", &utf16("last\n"));
    w.stop();
    w.copy_truncate("le.log", "le.log.1");
    w.pack("le.log.1", "gz");
    w.append_bytes("le.log", &utf16("newest, without an end"));
    w.poll_with(usize::MAX, true);
    assert_eq!(w.lines[2..], ["last", "newest, without an end"]);
    assert!(w.dropped("le.log").is_empty());
}

#[test]
fn latin_1_where_the_operator_says_so() {
    let mut w = World::new("*.log");
    w.reading.encoding = Some(Encoding::Latin1);
    w.append_bytes("a.log", b"M\xfcller \x96 5 \x80\npart");
    w.append("b.log", "\u{feff}a mark says it is UTF-8: ü\n");
    w.check(&["Müller – 5 €", "a mark says it is UTF-8: ü"]);
    w.stop();
    w.append_bytes("a.log", b"\xefell\n\xff\n");
    w.poll();
    assert_eq!(w.lines[2..], ["partïell", "ÿ"]);
    // Nothing of an empty beginning decides.
    w.append_bytes("c.log", b"\xef");
    w.poll();
    w.append_bytes("c.log", b"\xbb\n");
    w.poll();
    assert_eq!(w.lines[4..], ["ï»"]);
}

#[test]
fn long_files_of_wide_characters_are_read_from_near_their_end_and_once() {
    let mut w = World::new("*.log");
    let expected: Vec<_> = (0..60_000)
        .map(|i| format!("línea número {i} 😀"))
        .collect();
    let mut bytes = utf16("\u{feff}");
    bytes.extend(utf16(&(expected.join("\n") + "\n")));
    fs::write(w.path("a.log"), &bytes).unwrap();
    for commits in [0, 1, 0, 2, 1, usize::MAX] {
        w.poll_with(commits, false);
    }
    assert!(w.lines == expected, "{} lines", w.lines.len());
    for backlog in [100, 101, 102, 103] {
        let mut w = World::new("*.log");
        w.backlog = backlog;
        fs::write(w.path("a.log"), &bytes).unwrap();
        w.poll();
        assert_eq!(w.lines, expected[expected.len() - 2..], "{backlog}");
    }
    let mut w = World::new("*.log");
    fs::write(
        w.path("a.log"),
        utf16(&("\u{feff}".to_owned() + &"ü".repeat(100_000))),
    )
    .unwrap();
    w.append_bytes("a.log", &utf16("\nnext\n"));
    w.poll();
    let lens: Vec<_> = w.lines.iter().map(String::len).collect();
    assert_eq!(
        (lens, w.dropped("a.log")),
        (vec![LINE_LEN_MAX, 4], vec![("cut".to_owned(), 1)])
    );
}

#[test]
fn a_line_of_just_the_limit_is_whole() {
    let mut w = World::new("a.log");
    let long = "y".repeat(LINE_LEN_MAX);
    w.append("a.log", &format!("{long}\n{long}\r\n{long}y\n"));
    w.poll();
    assert!(w.lines.iter().all(|l| *l == long) && w.lines.len() == 3);
    assert_eq!(w.dropped("a.log"), [("cut".to_owned(), 1)]);
}

#[test]
fn a_line_without_end_is_cut_once_though_we_restart_in_it() {
    let mut w = World::new("a.log");
    w.append("a.log", &"y".repeat(LINE_LEN_MAX + 10));
    w.poll();
    w.stop();
    w.append("a.log", &"y".repeat(LINE_LEN_MAX * 2));
    w.poll();
    w.append("a.log", "\nnext\n");
    w.poll();
    assert_eq!(
        w.lines.iter().map(String::len).collect::<Vec<_>>(),
        [LINE_LEN_MAX, 4]
    );
}

#[test]
fn a_sudden_end_in_a_long_file_loses_and_doubles_nothing() {
    let mut w = World::new("a.log");
    let expected: Vec<_> = (0..200_000).map(|i| format!("line number {i}")).collect();
    w.append("a.log", &(expected.join("\n") + "\n"));
    for commits in [0, 1, 0, 2, 1, usize::MAX] {
        w.poll_with(commits, false);
    }
    assert!(w.lines == expected, "{} lines", w.lines.len());
}

#[test]
fn the_end_of_an_import_takes_the_last_line() {
    let mut w = World::new("a.log");
    w.append("a.log", "one\ntwo");
    w.poll_with(usize::MAX, true);
    assert_eq!(w.lines, ["one", "two"]);
}

/// The real store: whatever was not committed when it was dropped is read again, nothing else.
#[test]
fn lines_and_positions_are_one_transaction_in_the_store() {
    let mut w = World::new("a.log");
    let store = tempfile::tempdir().unwrap();
    let now = Timestamp(1_795_240_800_000);
    let mut written = 0;
    for round in 0..12 {
        let mut writer = Writer::open(store.path(), &Options::default(), now).unwrap();
        w.registry = writer.registry().clone();
        w.positions = writer.positions("").unwrap().into_iter().collect();
        let mut tailer = w.start();
        for step in 0..3 {
            for _ in 0..5 {
                w.append("a.log", &format!("line {written:04}\n"));
                written += 1;
            }
            let mut sink = |batch| {
                writer.apply(batch);
                Ok(())
            };
            tailer.poll(now, true, &mut sink).unwrap();
            // The power goes before the last commit of the round, or before the first.
            if step < round % 3 {
                writer.commit(now).unwrap();
            }
        }
    }
    let mut writer = Writer::open(store.path(), &Options::default(), now).unwrap();
    w.registry = writer.registry().clone();
    w.positions = writer.positions("").unwrap().into_iter().collect();
    let mut tailer = w.start();
    let mut sink = |batch| {
        writer.apply(batch);
        Ok(())
    };
    tailer.poll(now, true, &mut sink).unwrap();
    writer.commit(now).unwrap();
    let reader = vigie_store::Reader::open(store.path()).unwrap();
    let mut lines = Vec::new();
    let scan = Scan {
        order: Order::OldestFirst,
        ..Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All)
    };
    let mut each = |event: &vigie_parsers::Event| {
        lines.push(String::from_utf8_lossy(&event.line).into_owned());
        ControlFlow::Continue(())
    };
    reader.scan(&scan, &mut each).unwrap();
    let expected: Vec<_> = (0..written).map(|i| format!("line {i:04}")).collect();
    assert_eq!(lines, expected);
}

#[derive(Clone, Debug)]
enum Op {
    Append {
        lines: usize,
        len: usize,
        whole: bool,
    },
    Rename,
    CopyTruncate,
    Pack(bool),
    Truncate,
    Delete,
    Poll,
    Rest,
    Stop,
    /// The power goes after so many commits.
    Die(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..8_usize, 0..60_usize, any::<bool>())
            .prop_map(|(lines, len, whole)| Op::Append { lines, len, whole }),
        2 => Just(Op::Rename),
        2 => Just(Op::CopyTruncate),
        2 => any::<bool>().prop_map(Op::Pack),
        1 => Just(Op::Truncate),
        1 => Just(Op::Delete),
        4 => Just(Op::Poll),
        1 => Just(Op::Rest),
        2 => Just(Op::Stop),
        2 => (0..2_usize).prop_map(Op::Die),
    ]
}

/// A writer with its own numbering, so that each line is unique.
struct Model {
    world: World,
    written: Vec<String>,
    open: Option<String>,
    /// Nobody looks, and the log itself is known: whatever rotation does now, it is found.
    anchored: bool,
}

impl Model {
    fn run(&mut self, op: &Op) {
        let polls = |op: &Op| {
            !matches!(
                op,
                Op::Append { .. } | Op::Rename | Op::CopyTruncate | Op::Pack(_)
            )
        };
        if polls(op) {
            self.anchored = false;
        }
        match op {
            Op::Append { lines, len, whole } => self.write(*lines, *len, *whole),
            Op::Rename if self.exists() => {
                self.end_line();
                self.settle();
                self.world.shift();
                self.world.rename("app.log", "app.log.1");
            }
            Op::CopyTruncate if self.exists() => {
                // What copytruncate makes of an unfinished line is two pieces.
                self.end_line();
                self.settle();
                self.world.shift();
                self.world.copy_truncate("app.log", "app.log.1");
            }
            Op::Pack(gz) if self.world.path("app.log.1").exists() => {
                self.settle();
                let ending = if *gz { "gz" } else { "zst" };
                self.world.pack("app.log.1", ending);
            }
            // What nobody has read is lost by these, so all is read before.
            Op::Truncate if self.exists() => {
                self.end_line();
                self.world.poll();
                self.world.truncate("app.log");
            }
            Op::Delete if self.exists() => {
                self.end_line();
                self.world.poll();
                fs::remove_file(self.world.path("app.log")).unwrap();
            }
            Op::Poll => self.world.poll(),
            Op::Rest => self.world.rest(),
            Op::Stop => {
                self.world.poll();
                self.world.stop();
                self.anchor();
            }
            Op::Die(commits) => {
                self.world.poll_with(*commits, false);
                self.world.stop();
            }
            _ => {}
        }
    }

    /// Without a place in the log that is known nothing tells what of its pieces was read.
    fn settle(&mut self) {
        if !self.anchored {
            self.world.poll();
        }
    }

    /// Looks whether the log itself has a place in it.
    fn anchor(&mut self) {
        use std::os::unix::fs::MetadataExt;
        let Ok(m) = fs::metadata(self.world.path("app.log")) else {
            return;
        };
        let key = format!("{FILE_PREFIX}{:x}:{:x}", m.dev(), m.ino());
        self.anchored = self.world.positions.contains_key(&key);
    }

    fn exists(&self) -> bool {
        Path::exists(&self.world.path("app.log"))
    }

    fn end_line(&mut self) {
        if let Some(line) = self.open.take() {
            self.world.append("app.log", "\n");
            self.written.push(line);
        }
    }

    fn write(&mut self, lines: usize, len: usize, whole: bool) {
        self.end_line();
        for i in 0..lines {
            let line = format!("line {} {}", self.written.len(), "z".repeat(len));
            self.world.append("app.log", &line);
            if i + 1 == lines && !whole {
                self.open = Some(line);
            } else {
                self.world.append("app.log", "\n");
                self.written.push(line);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_line_once(ops in prop::collection::vec(op(), 1..40), everything: bool) {
        let pattern = if everything { "app.log*" } else { "app.log" };
        let world = World::new(pattern);
        let mut model = Model { world, written: vec![], open: None, anchored: false };
        for op in &ops {
            model.run(op);
        }
        model.end_line();
        model.world.rest();
        let mut found = model.world.lines.clone();
        found.sort();
        model.written.sort();
        prop_assert_eq!(found, model.written);
    }
}

/// Scans until all is read and quiet.
fn poll_often(w: &mut World) {
    for _ in 0..6 {
        w.poll();
    }
}

#[test]
fn where_there_are_too_many_files_the_quiet_ones_give_way() {
    let all = FILES_MAX + 20;
    let mut w = World::new("*.log");
    let name = |n: usize| format!("{n}.log");
    let mut expected = Vec::new();
    let write = |w: &World, n: usize, what: &str, expected: &mut Vec<String>| {
        let line = format!("{what} of {n}");
        w.append(&name(n), &format!("{line}\n"));
        expected.push(line);
    };
    let check = |w: &mut World, expected: &mut Vec<String>| {
        poll_often(w);
        w.lines.sort();
        expected.sort();
        assert_eq!(w.lines, *expected);
        assert_eq!(
            w.state(&name(0)),
            Some((SourceState::Active, String::new()))
        );
    };
    for n in 0..all {
        write(&w, n, "the first", &mut expected);
    }
    check(&mut w, &mut expected);
    assert_eq!(w.files(), all, "each is known");
    // Of the oldest, which gave way last, and of some that are open; and new ones.
    for n in [0, 1, 19, 20, all - 1, all, all + 1] {
        write(&w, n, "the second", &mut expected);
    }
    check(&mut w, &mut expected);
    w.stop();
    for n in (0..all).step_by(10) {
        write(&w, n, "while stopped", &mut expected);
    }
    check(&mut w, &mut expected);
    // Written to and turned away between two looks, made anew, copied and emptied, deleted.
    for n in (1..all).step_by(10) {
        write(&w, n, "before the rotation", &mut expected);
        w.rename(&name(n), &format!("{n}.log.1"));
        write(&w, n, "behind the rotation", &mut expected);
        write(&w, n + 1, "before the copy", &mut expected);
        w.copy_truncate(&name(n + 1), &format!("{}.log.1", n + 1));
        write(&w, n + 1, "behind the copy", &mut expected);
        fs::remove_file(w.path(&name(n + 2))).unwrap();
    }
    check(&mut w, &mut expected);
    w.rest();
    assert_eq!(w.dropped("3.log"), [], "it was read to its end");
    assert_eq!(
        w.state("3.log"),
        Some((SourceState::Stopped, "the file is gone".to_owned()))
    );
}

/// Rotation's copy is met while its log has given way.
#[test]
fn a_copy_of_a_quiet_log_is_known() {
    let mut w = World::new("*");
    w.append("app.log", "the oldest\n");
    for n in 0..FILES_MAX {
        w.append(&format!("{n}.log"), &format!("{n}\n"));
    }
    poll_often(&mut w);
    fs::copy(w.path("app.log"), w.path("app.log.1")).unwrap();
    poll_often(&mut w);
    w.truncate("app.log");
    w.append("app.log", "the newest\n");
    poll_often(&mut w);
    assert_eq!(w.lines.len(), FILES_MAX + 2);
    assert_eq!(w.lines.iter().filter(|l| *l == "the oldest").count(), 1);
}
