//! The recorded lines: each taken by its own format first, and read as its golden says.

use std::fs;
use std::path::{Path, PathBuf};

use vigie_parsers::Record;
use vigie_parsers::formats::{Detector, FORMATS};

use crate::dump::{context, fields, message};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples")
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("a sample");
    let mut lines: Vec<Vec<u8>> = bytes.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    lines.pop();
    lines
}

/// The logs of a folder of samples, at least one.
pub(crate) fn logs(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(name)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|e| e.expect("a folder can be read").path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    assert!(!paths.is_empty(), "samples/{name} has no log");
    paths.sort();
    paths
}

/// One block for each line: its format if another took it, its fields, its message.
fn dump(detector: &mut Detector, line: &[u8], own: &str) -> String {
    let mut record = Record::default();
    let format = detector.parse(&mut context(), line, &mut record).family();
    let name = if format == own {
        String::new()
    } else {
        format!("({format}) ")
    };
    format!(
        "{name}{}\n  {:?}\n",
        fields(&record, line),
        message(&record, line)
    )
}

#[test]
fn every_format_reads_its_samples_as_recorded() {
    let mut strange = Vec::new();
    for format in FORMATS {
        for path in logs(format.name) {
            let mut detector = Detector::default();
            let lines = lines(&path);
            let text: String = lines
                .iter()
                .map(|l| dump(&mut detector, l, format.name))
                .collect();
            let strangers = text.lines().filter(|l| l.starts_with('(')).count();
            // A log may hold a line of another kind, as the end of a container does.
            if strangers * 10 > lines.len() {
                strange.push(path.clone());
            }
            vigie_testkit::golden(&path.with_extension("golden"), &text);
        }
    }
    assert!(strange.is_empty(), "read as something else: {strange:?}");
}

/// A stack as its owner saw it on a terminal, which has cut and wrapped the lines: each of them.
#[test]
fn the_first_users_compose_log_is_read_line_by_line() {
    let Some(path) = vigie_testkit::shared("data/user-logs/compose-vote.log") else {
        return;
    };
    let mut detector = Detector::default();
    let mut counts = std::collections::BTreeMap::<(String, bool, String), usize>::new();
    let mut levels = Vec::new();
    for line in lines(&path) {
        let mut record = Record::default();
        let format = detector.parse(&mut context(), &line, &mut record).name;
        let text = String::from_utf8_lossy(&line).into_owned();
        let (container, inside) = text.split_once(" |").expect("each line has its container");
        let inside = inside.strip_prefix(' ').unwrap_or(inside);
        assert_eq!(format, "compose", "{text}");
        let field = |name: &str| {
            let span = record.find(name)?;
            Some(String::from_utf8_lossy(&span.value(&line)).into_owned())
        };
        assert_eq!(field("container").as_deref(), Some(container), "{text}");
        assert!(inside.ends_with(&message(&record, &line)), "{text}");
        // By what starts it: a time of its own, or none.
        let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
        let timed = match container.split('-').nth(1) {
            Some("db") => inside.starts_with("2024-"),
            Some("redis") => inside.get(digits..).is_some_and(|t| t.starts_with(':')),
            Some("vote") => inside.contains("[06/Jan") || inside.starts_with("[2024"),
            _ => false,
        };
        assert_eq!(record.time.is_some(), timed, "{text}");
        if timed {
            let wanted: &[&str] = match container.split('-').nth(1) {
                Some("db") => &["pid", "level"],
                Some("redis") => &["pid", "role", "level"],
                _ if inside.starts_with('[') => &["level", "module"],
                _ => &["ip", "method", "path", "protocol", "status"],
            };
            for name in wanted {
                assert!(field(name).is_some(), "{name}: {text}");
            }
        }
        let level = record.severity.map_or("none", |s| s.as_str());
        levels.push((message(&record, &line), level));
        *counts
            .entry((container.to_owned(), timed, level.to_owned()))
            .or_default() += 1;
    }
    let of = |text: &str| {
        let found: Vec<_> = levels
            .iter()
            .filter(|(m, _)| m.contains(text))
            .map(|(_, l)| *l)
            .collect();
        assert!(!found.is_empty(), "{text}");
        found
    };
    assert_eq!(of("duplicate key value"), ["err"]);
    assert_eq!(of("Key (id)="), ["info"]);
    assert_eq!(of("INSERT INTO votes"), ["info"]);
    assert_eq!(of("Memory overcommit"), ["warn"]);
    assert_eq!(of("no config file specified"), ["warn"]);
    assert_eq!(of("Ready to accept connections"), ["notice"]);
    assert_eq!(of("Received vote for a"), ["info"]);
    assert_eq!(of("This is a development server"), ["warn"]);
    assert_eq!(of("HTTP/1.1"), ["info"; 8]);
    assert_eq!(of("nodemon"), ["none"; 5]);
    let timed: usize = counts
        .iter()
        .filter(|((_, timed, _), _)| *timed)
        .map(|(_, n)| n)
        .sum();
    assert_eq!((timed, levels.len()), (37, 59), "{counts:#?}");
}
