//! The pages in docs/ name what the code has: tables, addresses, figures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The quoted texts of a source that begin so.
fn quoted(source: &str, beginning: &str) -> BTreeSet<String> {
    source
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with(beginning) && !text.contains([' ', '\n', '*']))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_tables_of_the_store_are_those_of_its_page() {
    let sources = [
        "store/src/series/mod.rs",
        "store/src/events/mod.rs",
        "store/src/events/patterns/mod.rs",
        "store/src/state.rs",
        "store/src/sources.rs",
    ];
    let sources: Vec<_> = sources.iter().map(|s| read(s)).collect();
    let page = read("docs/store.md");
    let block = page.split("```sql\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    for line in block.lines().filter(|l| !l.starts_with("--")) {
        let held = sources.iter().any(|s| s.contains(line));
        assert!(held, "docs/store.md: no source has {line}");
    }
    for statement in sources.iter().flat_map(|s| s.split("CREATE ").skip(1)) {
        let line = statement.lines().next().unwrap();
        assert!(block.contains(line), "docs/store.md lacks CREATE {line}");
    }
}

#[test]
fn every_address_of_the_api_is_on_its_page() {
    let page = read("docs/http-api.md");
    for (file, before) in [
        ("dashboard/src/api/routes.rs", "path: "),
        ("dashboard/src/server.rs", ".route("),
    ] {
        let source = read(file);
        assert!(source.matches(before).count() > 5, "{file}");
        for route in source.split(before).skip(1) {
            let Some(route) = route.split('"').nth(1).filter(|r| r.starts_with('/')) else {
                continue;
            };
            let shown = route
                .replace("{name}", "NAME")
                .replace("{id}", "ID")
                .replace("{action}", "ack");
            let known = page.contains(&shown) || route == "/favicon.ico";
            assert!(known, "docs/http-api.md lacks {shown}");
        }
    }
}

#[test]
fn every_figure_of_our_own_is_on_its_page() {
    let page = read("docs/metrics.md");
    let sources = [
        "collector/src/own.rs",
        "collector/src/figures.rs",
        "analyzer/src/watch/mod.rs",
    ];
    for source in sources.iter().map(|s| read(s)) {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let names = ["vigie_", "http_", "process_"];
        for name in names.iter().flat_map(|n| quoted(code, n)) {
            let known = page.contains(&format!("`{name}`"));
            assert!(known, "docs/metrics.md lacks {name}");
        }
    }
}
