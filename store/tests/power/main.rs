//! Power cuts at any moment: what was acknowledged is there afterwards, once, and the file is sound.
//!
//! The store works on files whose writes are noted; then the disk "dies" at many points of that list,
//! and what had not been synced is lost, kept, cut short or kept in sectors here and there.

mod vfs;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use vigie_parsers::{Event, Origin, Record, Timestamp};
use vigie_query::log::Filter;
use vigie_query::{EventSource, Labels, Matcher, MetricKind, Scan, Selection, SeriesSource};
use vigie_store::{Batch, Options, Reader, Reading, SampleRow, SeriesDef, Synchronous, Writer};

use vfs::{Cut, Fate, Op};

const START_MS: i64 = 247_222 * 7_200_000;
/// Between two commits: pages are sealed every few of them.
const STEP_MS: i64 = 20_000;
const COMMITS: u64 = 48;
const LINES_PER_COMMIT: u64 = 3;
const POSITION: &str = "file/a";

fn options(synchronous: Synchronous) -> Options {
    Options {
        synchronous,
        ..Options::default()
    }
}

fn at(commit: u64) -> Timestamp {
    Timestamp(START_MS).plus_ms(STEP_MS * commit.cast_signed())
}

/// Lines, a figure and a position that all say the number of their commit.
fn work(writer: &mut Writer, commit: u64) {
    let def = SeriesDef {
        labels: Labels::metric("commits", &[]),
        kind: MetricKind::Gauge,
        help: "",
        step_ms: 1000,
    };
    let mut batch = Batch::default();
    batch.samples.rows.push(SampleRow {
        series: writer.registry().intern(&def).expect("there is room"),
        time: at(commit),
        reading: Reading::Gauge(commit as f64),
    });
    let origin = Arc::new(Origin {
        source: "a".to_owned(),
        fields: Vec::new(),
    });
    for line in 0..LINES_PER_COMMIT {
        let text = format!("commit {commit} line {line}");
        let record = Record::default();
        batch
            .events
            .push(at(commit), &origin, "raw", text.as_bytes(), &record);
    }
    let position = commit.to_string().into_bytes();
    batch.positions.push((POSITION.to_owned(), Some(position)));
    writer.apply(batch);
    if commit.is_multiple_of(7) {
        writer.seal_events();
    }
    writer.commit(at(commit)).expect("the disk works");
}

/// The files of a store; the lock and the shared memory do not outlive the machine.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let names = ["vigie.db", "vigie.db-wal", "vigie.db-journal"];
    let read = |name: &&str| Some((String::from(*name), std::fs::read(dir.join(name)).ok()?));
    names.iter().filter_map(read).collect()
}

/// Files before, and all that happened while the store worked.
fn session(synchronous: Synchronous) -> (Vec<(String, Vec<u8>)>, Vec<Op>) {
    let dir = tempfile::tempdir().expect("a directory");
    drop(Writer::open(dir.path(), &options(synchronous), at(0)).expect("a store"));
    let before = files(dir.path());
    vfs::watch(dir.path());
    for life in 0..2 {
        let mut writer = Writer::open(dir.path(), &options(synchronous), at(0)).expect("a store");
        for commit in life * COMMITS / 2 + 1..=(life + 1) * COMMITS / 2 {
            work(&mut writer, commit);
            vfs::acknowledged(dir.path(), commit);
            let how = match commit % 10 {
                3 => "PASSIVE",
                6 => "RESTART",
                9 => "TRUNCATE",
                _ => continue,
            };
            checkpoint(dir.path(), synchronous, how);
        }
    }
    let ops = vfs::notes(dir.path());
    (before, ops)
}

/// What SQLite does by itself every 4,000 pages.
fn checkpoint(dir: &Path, synchronous: Synchronous, how: &str) {
    let conn = Connection::open(dir.join("vigie.db")).expect("the store");
    let full = synchronous == Synchronous::Full;
    let pragma = format!(
        "PRAGMA synchronous = {}; PRAGMA wal_checkpoint({how});",
        if full { "FULL" } else { "NORMAL" }
    );
    conn.execute_batch(&pragma).expect("a checkpoint");
}

/// The number of the last commit in a store, after looking whether all of it and of those before
/// is there, once.
fn commits(dir: &Path) -> u64 {
    let reader = Reader::open(dir).expect("a store");
    let matchers = [Matcher::equal("__name__", "commits")];
    let selection = Selection {
        matchers: &matchers,
        from: at(0),
        until: at(COMMITS + 9),
        step_ms: 0,
        max_samples: 10_000,
        deadline: None,
    };
    let found = reader.select(&selection).expect("figures");
    let values = found.iter().flat_map(|s| &s.samples).map(|s| s.value);
    let values: Vec<f64> = values.collect();
    let last = values.len() as u64;
    let all: Vec<f64> = (1..=last).map(|v| v as f64).collect();
    assert_eq!(values, all);
    let mut lines = Vec::new();
    let scan = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
    let stats = reader
        .scan(&scan, &mut |event: &Event| {
            lines.push(String::from_utf8_lossy(&event.line).into_owned());
            ControlFlow::Continue(())
        })
        .expect("lines");
    drop(stats);
    let expected: BTreeSet<String> = (1..=last)
        .flat_map(|c| (0..LINES_PER_COMMIT).map(move |l| format!("commit {c} line {l}")))
        .collect();
    assert_eq!(lines.len(), expected.len(), "each line once");
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(reader.verify_series().expect("pages").damaged, 0);
    last
}

/// Opens what a disk holds: the writer takes it up, everything is whole, and work goes on.
fn survives(files: &[(String, Vec<u8>)], synchronous: Synchronous) -> u64 {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).expect("room");
    }
    let mut writer = Writer::open(dir.path(), &options(synchronous), at(0)).expect("it opens");
    let last = commits(dir.path());
    let positions = writer.positions(POSITION).expect("positions");
    let said = positions.first().map(|(_, value)| value.clone());
    let expected = (last > 0).then(|| last.to_string().into_bytes());
    assert_eq!(said, expected, "position and data are one");
    work(&mut writer, last + 1);
    assert_eq!(commits(dir.path()), last + 1);
    drop(writer);
    let conn = Connection::open(dir.path().join("vigie.db")).expect("the store");
    let sound: String = conn
        .query_row("PRAGMA integrity_check", [], |r| r.get(0))
        .expect("an answer");
    assert_eq!(sound, "ok");
    last
}

/// Cuts the power at many points; how many there were, and how many commits were lost at worst.
fn cut_everywhere(synchronous: Synchronous) -> (usize, u64) {
    vfs::install();
    let (before, ops) = session(synchronous);
    let mut noise = 7u64;
    let mut chance = |below: u64| {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) % below.max(1)
    };
    let mut cuts = 0;
    let mut worst = 0;
    for end in 0..=ops.len() {
        // Around each sync, where it matters most; of the other points some.
        let near = ops[end.saturating_sub(1)..ops.len().min(end + 1)]
            .iter()
            .any(|op| {
                matches!(
                    op,
                    Op::Sync { .. } | Op::Delete { .. } | Op::Truncate { .. }
                )
            });
        if chance(if near { 5 } else { 12 }) != 0 {
            continue;
        }
        let fates = [Fate::Lost, Fate::Kept, Fate::Older, Fate::Any];
        let fate = fates[usize::try_from(chance(4)).expect("small")];
        let cut = Cut {
            before: &before,
            ops: &ops[..end],
            fate,
        };
        let last = survives(&cut.files(&mut chance), synchronous);
        let promised = ops[..end].iter().rev().find_map(|op| match op {
            Op::Ack(commit) => Some(*commit),
            _ => None,
        });
        worst = worst.max(promised.unwrap_or(0).saturating_sub(last));
        cuts += 1;
    }
    (cuts, worst)
}

#[test]
fn full_loses_nothing_acknowledged() {
    let (cuts, lost) = cut_everywhere(Synchronous::Full);
    assert!(cuts > 50, "{cuts} cuts");
    assert_eq!(lost, 0);
}

#[test]
fn normal_loses_the_last_commits_at_most_and_stays_sound() {
    let (cuts, lost) = cut_everywhere(Synchronous::Normal);
    assert!(cuts > 30, "{cuts} cuts");
    // Otherwise the cuts would not cut: in this mode the disk is not waited for.
    assert!(lost > 0, "no commit was ever at stake");
}
