//! Each format has its fuzz target.

use std::path::Path;

use vigie_parsers::formats::FORMATS;

#[test]
fn every_format_is_fuzzed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for format in FORMATS {
        let name = format.name;
        assert!(
            folder.join(format!("fuzz_targets/{name}.rs")).exists(),
            "{name}"
        );
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
