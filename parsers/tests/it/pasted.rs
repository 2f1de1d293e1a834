//! Definitions of servers, and lines that the servers wrote with them: what is read by each.

use std::fmt::Write as _;

use vigie_parsers::Record;
use vigie_parsers::formats::{Format, explain, named};

use crate::dump::{context, fields};
use crate::samples::logs;

/// What is read, or the column at which the line departs from the definition.
fn dump(format: &'static Format, line: &[u8]) -> String {
    let mut record = Record::default();
    if format.parse(&mut context(), line, &mut record) {
        return fields(&record, line);
    }
    let found = explain(&mut context(), line, Some(format)).nearest;
    let found = found.expect("what is not taken departs");
    let what = found.expected.expect("a definition says what it expects");
    format!("! column {}: {what}", found.at + 1)
}

/// A line that begins with `= ` is a definition; those behind it were written with it.
#[test]
fn lines_are_read_as_their_servers_meant_them() {
    let logs = logs("pasted");
    assert_eq!(logs.len(), 3);
    for path in logs {
        let bytes = std::fs::read(&path).expect("a sample");
        let mut format = None;
        let (mut golden, mut read, mut missed) = (String::new(), 0, 0);
        for line in bytes.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
            let text = match line.strip_prefix(b"= ") {
                Some(definition) => {
                    let definition = std::str::from_utf8(definition).expect("text");
                    let found = named(definition).unwrap_or_else(|e| panic!("{definition}: {e}"));
                    format = Some(found);
                    format!("= {definition}")
                }
                None => {
                    let text = dump(format.expect("a definition is before"), line);
                    missed += usize::from(text.starts_with("! "));
                    read += 1;
                    text
                }
            };
            writeln!(golden, "{text}").expect("a string");
        }
        assert!(
            read > 40 && missed * 20 <= read,
            "{missed} of {read}:\n{golden}"
        );
        vigie_testkit::golden(&path.with_extension("golden"), &golden);
    }
}
