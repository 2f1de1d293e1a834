//! Data goes one way: a crate uses only those to its left. A new edge is a line in this table.

use std::path::Path;

/// Each crate with the crates of ours it uses; nothing else may stand in its manifest.
const LAYERS: &[(&str, &[&str])] = &[
    ("parsers", &[]),
    ("query", &["parsers"]),
    ("store", &["parsers", "query"]),
    ("collector", &["parsers", "query", "store"]),
    ("analyzer", &["parsers", "query", "store"]),
    ("dashboard", &["parsers", "query", "store", "analyzer"]),
    (
        "vigie",
        &[
            "parsers",
            "query",
            "store",
            "collector",
            "analyzer",
            "dashboard",
        ],
    ),
    ("testkit", &[]),
    (
        "xtask",
        &["parsers", "query", "store", "collector", "testkit"],
    ),
    ("fuzz", &["parsers", "query", "store"]),
];

/// Crates from elsewhere that a room must never know.
const NEVER: &[(&str, &[&str])] = &[
    ("parsers", &["tokio", "rusqlite", "axum", "serde"]),
    ("query", &["tokio", "rusqlite", "axum"]),
    ("store", &["tokio", "axum"]),
    ("collector", &["axum", "rusqlite"]),
    ("analyzer", &["axum", "rusqlite", "tokio"]),
    ("dashboard", &["rusqlite"]),
    ("vigie", &["rusqlite"]),
];

/// Keys of `[dependencies]` (not of `[dev-dependencies]`).
fn dependencies(room: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join(room).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let table = manifest.get("dependencies").and_then(|d| d.as_table());
    table
        .map(|t| t.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn each_crate_uses_only_those_to_its_left() {
    for (room, allowed) in LAYERS {
        for dependency in dependencies(room) {
            if let Some(ours) = dependency.strip_prefix("vigie-") {
                assert!(allowed.contains(&ours), "{room} may not use {ours}");
            }
        }
    }
}

#[test]
fn rooms_keep_to_their_trade() {
    for (room, never) in NEVER {
        let used = dependencies(room);
        for forbidden in *never {
            assert!(
                !used.iter().any(|d| d == forbidden),
                "{room} may not know {forbidden}"
            );
        }
    }
}

#[test]
fn every_member_has_its_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        assert!(
            LAYERS.iter().any(|(room, _)| *room == member),
            "{member} is missing in LAYERS"
        );
    }
}
