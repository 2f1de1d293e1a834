//! The repository's own rules, as tests.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Files that git knows, with an ending; empty outside a checkout.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let out = Command::new("git")
        .arg("ls-files")
        .current_dir(root())
        .output();
    let Ok(out) = out else { return Vec::new() };
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .filter(|name| endings.iter().any(|e| name.ends_with(e)))
        .filter_map(|name| {
            Some((
                name.to_owned(),
                std::fs::read_to_string(root().join(name)).ok()?,
            ))
        })
        .collect()
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for (name, text) in files(&[".rs"]) {
        assert!(
            text.starts_with("//! "),
            "{name}: line 1 must be `//! …`, one sentence"
        );
    }
}

/// Words that must not stand in the sources, and what to write instead. Built from halves, so that
/// this table does not find itself.
const BANNED: &[(&str, &str, &str)] = &[
    ("todo", "!(", "finish it, or leave it out"),
    ("unimple", "mented!(", "finish it, or leave it out"),
    ("FIX", "ME", "mend it, or write down why not in docs/"),
    ("#[ign", "ore", "a test that does not run is no test"),
    ("db", "g!(", "tracing"),
    ("syslog_", "loop", "syslog_loose"),
    (
        "SystemTime::",
        "now",
        "take `now: Timestamp`; the clock is read in `vigie` only",
    ),
];

#[test]
fn banned_words_have_better_ones() {
    for (name, text) in files(&[".rs", ".js", ".html"]) {
        for (first, second, instead) in BANNED {
            let word = format!("{first}{second}");
            assert!(
                !text.contains(&word),
                "{name}: `{word}`; instead: {instead}"
            );
        }
    }
}

/// The README's first command, without `--bin`.
#[test]
fn cargo_run_is_vigie() {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let members = &manifest["workspace"]["default-members"];
    assert_eq!(members.as_array().unwrap().len(), 1);
    assert_eq!(members[0].as_str(), Some("vigie"));
}

#[test]
fn every_dependency_earns_its_line() {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let listed = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    for name in manifest["workspace"]["dependencies"]
        .as_table()
        .unwrap()
        .keys()
    {
        if !name.starts_with("vigie-") {
            assert!(
                listed.contains(&format!("| {name} |")),
                "{name}: no line in docs/dependencies.md"
            );
        }
    }
}

#[test]
fn the_glossary_and_the_docs_are_there() {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "docs/glossary.md",
        "docs/vigie.toml",
    ] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
}
