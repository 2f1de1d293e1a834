//! `vigie verify --repair`: damage in the file is told, what is left is saved.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::daemon::{cli, text};

const LINES: usize = 30_000;
/// What SQLite's pages are here.
const PAGE: usize = 4096;

fn verify(dir: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let out = cli(dir, &[&["verify"], flags].concat());
    let said = text(&out) + &String::from_utf8_lossy(&out.stderr);
    (out.status.code(), said)
}

fn stored(dir: &Path) -> Vec<String> {
    let out = cli(dir, &["logs", "@all", "-n", "1000000", "--format", "raw"]);
    text(&out).lines().map(str::to_owned).collect()
}

#[test]
fn a_damaged_block_is_told_and_what_is_left_of_it_saved() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    let mut seed = 7u64;
    let lines = (0..LINES).fold(String::new(), |mut all, n| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (m, s) = (n / 60 % 60, n % 60);
        let kind = ["read", "write"][n % 2];
        let _ = writeln!(
            all,
            "2026-10-01T10:{m:02}:{s:02}Z web1 disk[7]: {kind} {seed:x} of {n}"
        );
        all
    });
    std::fs::write(&log, &lines).unwrap();
    let taken = cli(dir.path(), &["import", "logs", log.to_str().unwrap()]);
    assert!(taken.status.success());
    let (code, said) = verify(dir.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    let file = dir.path().join("data/vigie.db");
    let whole = std::fs::read(&file).unwrap();
    // The first page from the middle on whose damage is a block's, and not the file's.
    let said = (whole.len() / PAGE / 2..whole.len() / PAGE)
        .find_map(|page| {
            let mut damaged = whole.clone();
            for byte in &mut damaged[page * PAGE + 2000..page * PAGE + 2010] {
                *byte ^= 0x5A;
            }
            std::fs::write(&file, &damaged).unwrap();
            let (code, said) = verify(dir.path(), &[]);
            (code == Some(1) && said.contains("block")).then_some(said)
        })
        .unwrap();
    let answer = cli(dir.path(), &["logs", "@all of", "-n", "1000000"]);
    let warned = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(warned.contains("incomplete"), "{said} {warned}");
    let (_, repaired) = verify(dir.path(), &["--repair"]);
    let (code, said) = verify(dir.path(), &[]);
    assert_eq!(code, Some(0), "{repaired} {said}");
    // What is left are lines as they came, and the answer is whole again.
    let expected: HashSet<&str> = lines.lines().collect();
    let left = stored(dir.path());
    assert!(left.len() <= LINES);
    assert!(left.iter().all(|l| expected.contains(l.as_str())));
    let answer = cli(dir.path(), &["logs", "@all of", "-n", "1000000"]);
    assert_eq!(String::from_utf8_lossy(&answer.stderr), "");
}
