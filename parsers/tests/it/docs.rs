//! docs/formats.md and the list of formats say the same.

use std::fs;
use std::path::{Path, PathBuf};

use vigie_parsers::Record;
use vigie_parsers::formats::{Detector, FORMATS};

use crate::dump::context;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cells of the tables whose first cell is the name of a format, in order.
fn rows(header: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/formats.md")).expect("the page is there");
    text.lines()
        .skip_while(|line| !line.starts_with(header))
        .skip(2)
        .take_while(|line| line.starts_with("| `"))
        .map(|line| {
            let inner = line.trim_start_matches("| `").trim_end_matches(" |");
            let (name, rest) = inner.split_once("` | ").expect("two cells");
            (name.to_owned(), rest.trim_matches('`').replace("\\|", "|"))
        })
        .collect()
}

#[test]
fn the_table_lists_the_formats_in_their_order() {
    let listed: Vec<_> = rows("| format | fields").into_iter().map(|r| r.0).collect();
    let formats: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
    assert_eq!(listed, formats);
}

#[test]
fn each_sample_line_is_recorded_and_of_its_format() {
    let shown = rows("| format | a line");
    assert_eq!(shown.len(), FORMATS.len());
    for (name, line) in shown {
        let mut record = Record::default();
        let found = Detector::default().parse(&mut context(), line.as_bytes(), &mut record);
        assert_eq!(found.name, name, "{line}");
        let folder = fs::read_dir(root().join("samples").join(&name)).expect("samples");
        let recorded = folder
            .map(|entry| entry.expect("a folder can be read").path())
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .any(|path| {
                let bytes = fs::read(path).expect("a sample");
                bytes.split(|&b| b == b'\n').any(|l| l == line.as_bytes())
            });
        assert!(recorded, "samples/{name} lacks {line}");
    }
}
