//! Which files are taken, whose lines they are, and in which order.
//!
//! `app.log`, `app.log.1`, `app.log.2.gz` and `app.log-20261101.zst` are pieces of one log: their lines
//! are those of `app.log`, as if it had been followed all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use vigie_collector::{JournalFile, rotation};
use vigie_parsers::formats::Detector;
use vigie_parsers::{Context, Encoding, Record, Timestamp};

use crate::files::{Input, Text};

/// Files in one import.
const FILES_MAX: usize = 1_000_000;
/// Folders inside each other.
const DEPTH_MAX: usize = 32;
/// In so much of a file the first time is looked for.
const PEEK_BYTES: usize = 64 << 10;
/// Rotation may write a line after it has begun the next file.
const OVERLAP_MS: i64 = 3_600_000;

/// A file to be taken.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) path: PathBuf,
    /// Bytes on disk.
    pub(super) size: u64,
    /// No line of it is later: what a stamp without a year is read with.
    pub(super) anchor: Timestamp,
    /// When its first line with a time happened.
    pub(super) first: Option<Timestamp>,
}

/// The pieces of one log, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// The name it is written under.
    pub(super) path: PathBuf,
    pub(super) pieces: Vec<Piece>,
}

/// What was found, and what was not taken and why.
pub(super) struct Plan {
    pub(super) logs: Vec<Log>,
    /// systemd's journals.
    pub(super) journals: Vec<PathBuf>,
    pub(super) refused: Vec<(PathBuf, String)>,
}

/// Looks at everything that was named: files, folders with all in them, patterns.
pub(super) fn plan(paths: &[PathBuf], encoding: Option<Encoding>, zone: &TimeZone) -> Plan {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut refused = Vec::new();
    for path in paths {
        let walked = match is_pattern(path) && !path.exists() {
            true => walk_pattern(path, &mut found),
            false => walk(path, 0, &mut found),
        };
        if let Err(e) = walked {
            refused.push((path.clone(), e.to_string()));
        }
    }
    let mut logs: BTreeMap<PathBuf, Vec<(PathBuf, i64)>> = BTreeMap::new();
    let mut journals = Vec::new();
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let found: BTreeSet<PathBuf> = found.into_iter().map(absolute).collect();
    for full in &found {
        let full = full.clone();
        if JournalFile::open(&full).is_ok() {
            journals.push(full);
            continue;
        }
        let (base, turn) = log_of(&full, &found);
        logs.entry(base).or_default().push((full, turn));
    }
    let mut plan = Plan {
        logs: Vec::new(),
        journals,
        refused,
    };
    for (path, mut names) in logs {
        // The newest first: what stands in it bounds the times of the one before.
        names.sort_by(|(a, x), (b, y)| x.cmp(y).then_with(|| b.cmp(a)));
        let mut anchor = Timestamp::MAX;
        let mut pieces = Vec::new();
        for (path, _) in names {
            match look(&path, encoding, anchor, zone) {
                Ok(piece) => {
                    if let Some(first) = piece.first {
                        anchor = first.plus_ms(OVERLAP_MS);
                    }
                    pieces.push(piece);
                }
                Err(e) => plan.refused.push((path, e.to_string())),
            }
        }
        pieces.reverse();
        // Names may lie about the order; times do not.
        pieces.sort_by_key(|p| p.first.unwrap_or(Timestamp::MIN));
        plan.logs.push(Log { path, pieces });
    }
    plan.logs.retain(|log| !log.pieces.is_empty());
    plan
}

/// The log that a file is a piece of, and how often it was turned away since. `app.1.log` is a piece of `app.log`
/// if there is one.
fn log_of(path: &Path, found: &BTreeSet<PathBuf>) -> (PathBuf, i64) {
    let (base, turn) = rotation::base(path);
    let is_there = |log: &PathBuf| found.contains(log) || log.exists();
    match rotation::base_within(path).filter(|(log, _)| turn == 0 && is_there(log)) {
        Some(within) => within,
        None => (base, turn),
    }
}

fn walk(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        if found.len() >= FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
        found.push(path.to_owned());
        return Ok(());
    }
    if !metadata.is_dir() {
        return Err(io::Error::other("neither a file nor a folder"));
    }
    if depth >= DEPTH_MAX {
        return Err(io::Error::other(format!("deeper than {DEPTH_MAX} folders")));
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // Links inside a folder may lead round in circles.
        let kind = entry.file_type()?;
        if kind.is_file() || kind.is_dir() {
            walk(&entry.path(), depth + 1, found)?;
        }
    }
    Ok(())
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// Files that a pattern means which the shell has left alone.
fn walk_pattern(pattern: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let text = pattern.to_string_lossy();
    let glob = globset::GlobBuilder::new(&text)
        .literal_separator(true)
        .build()
        .map_err(io::Error::other)?
        .compile_matcher();
    let fixed: PathBuf = pattern
        .iter()
        .take_while(|part| !is_pattern(Path::new(part)))
        .collect();
    let root = match fixed.as_os_str().is_empty() {
        true => Path::new("."),
        false => &fixed,
    };
    let mut all = Vec::new();
    walk(root, 0, &mut all)?;
    let before = found.len();
    let plain = |p: &Path| p.strip_prefix("./").unwrap_or(p).to_owned();
    found.extend(all.iter().map(|p| plain(p)).filter(|p| glob.is_match(p)));
    match found.len() > before {
        true => Ok(()),
        false => Err(io::Error::other("no file has such a name")),
    }
}

/// When a file begins, and when it ends at the latest.
fn look(
    path: &Path,
    encoding: Option<Encoding>,
    anchor: Timestamp,
    zone: &TimeZone,
) -> io::Result<Piece> {
    let size = std::fs::metadata(path)?.len();
    let mut input = Input::open(path)?;
    let anchor = anchor.min(input.modified);
    let (mut reading, mut text) = (Text::new(encoding), Vec::new());
    while text.len() < PEEK_BYTES && reading.read(&mut input, &mut text)? {}
    let mut context = Context::new(anchor, zone.clone());
    let (mut detector, mut record) = (Detector::default(), Record::default());
    let first = text.split(|b| *b == b'\n').find_map(|line| {
        detector.parse(&mut context, line, &mut record);
        record.time
    });
    Ok(Piece {
        path: path.to_owned(),
        size,
        anchor,
        first,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_found_by_the_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        // All were copied today; their order tells that the older one ends a year before.
        write("m", "Mar  1 00:00:00 web1 a: new\n");
        write("m.1", "Sep  1 00:00:00 web1 a: middle\n");
        write("m.2", "Oct  1 00:00:00 web1 a: old\n");
        let found = plan(&[dir.path().to_owned()], None, &TimeZone::UTC);
        assert!(found.refused.is_empty());
        let [log] = found.logs.as_slice() else {
            panic!("one log: {:?}", found.logs)
        };
        let names: Vec<_> = log
            .pieces
            .iter()
            .map(|p| p.path.file_name().unwrap())
            .collect();
        assert_eq!(names, ["m.2", "m.1", "m"]);
        let times: Vec<_> = log.pieces.iter().map(|p| p.first.unwrap().0).collect();
        let day = 86_400_000;
        assert_eq!((times[1] - times[0]) / day, 335, "{times:?}");
        assert!(times[2] - times[1] < 366 * day, "{times:?}");
    }

    #[test]
    fn rotated_names_are_one_log() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "x.log",
            "x.log.0",
            "x.1.log",
            "x-20261121.log",
            "x.log-20261121-101112",
            "Xorg.0.log",
            "Xorg.1.log",
            "catalina.2026-11-21.log",
        ] {
            std::fs::write(dir.path().join(name), "a line\n").unwrap();
        }
        let found = plan(&[dir.path().to_owned()], None, &TimeZone::UTC);
        let logs: Vec<_> = found
            .logs
            .iter()
            .map(|log| {
                let name = log.path.file_name().unwrap().to_str().unwrap();
                (name, log.pieces.len())
            })
            .collect();
        assert_eq!(
            logs,
            [
                ("Xorg.0.log", 1),
                ("Xorg.1.log", 1),
                ("catalina.2026-11-21.log", 1),
                ("x.log", 5)
            ]
        );
    }
}
