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

/// The logs of a format's folder.
fn logs(format: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder().join(format)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|e| e.expect("a folder can be read").path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
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
    for format in FORMATS {
        let paths = logs(format.name);
        assert!(!paths.is_empty(), "samples/{} has no log", format.name);
        for path in paths {
            let mut detector = Detector::default();
            let lines = lines(&path);
            let text: String = lines
                .iter()
                .map(|l| dump(&mut detector, l, format.name))
                .collect();
            let strangers = text.lines().filter(|l| l.starts_with('(')).count();
            // A log may hold a line of another kind, as the end of a container does.
            assert!(strangers * 10 <= lines.len(), "{}:\n{text}", path.display());
            vigie_testkit::golden(&path.with_extension("golden"), &text);
        }
    }
}

#[test]
fn the_first_users_compose_log_makes_sense() {
    let Some(path) = vigie_testkit::shared("data/user-logs/compose-vote.log") else {
        return;
    };
    let mut seen = Vec::new();
    let mut detector = Detector::default();
    for line in lines(&path) {
        let mut record = Record::default();
        let format = detector.parse(&mut context(), &line, &mut record).name;
        let line_text = String::from_utf8_lossy(&line).into_owned();
        if line_text.starts_with("esiea-") {
            assert_eq!(format, "compose", "{line_text}");
            assert!(record.find("container").is_some());
        }
        if record.time.is_some() {
            seen.push((record.severity.map(|s| s.as_str()), message(&record, &line)));
        }
    }
    let find = |text: &str| {
        seen.iter()
            .find(|(_, m)| m.contains(text))
            .and_then(|(s, _)| *s)
    };
    assert_eq!(find("duplicate key value"), Some("err"));
    assert_eq!(find("Memory overcommit"), Some("warn"));
    assert_eq!(find("Received vote for a"), Some("info"));
    assert_eq!(find("POST / HTTP/1.1"), Some("info"));
    assert!(seen.len() >= 35, "{} lines with a time", seen.len());
}
