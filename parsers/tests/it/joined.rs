//! Recorded logs with stack traces: each trace is one event, plain and inside what container engines put
//! around their lines.

use std::fmt::Write as _;

use vigie_parsers::Record;
use vigie_parsers::formats::Detector;
use vigie_parsers::joining::Joining;

use crate::dump::{context, message};
use crate::samples::logs;

/// The events of a text, each as its lines.
fn events(text: &str) -> Vec<Vec<&str>> {
    let (mut rest, mut events) = (text, Vec::new());
    while let Some(first) = Joining::Auto.first(rest.as_bytes(), 64 << 10) {
        let (event, after) = rest.split_at(first.len);
        events.push(event.lines().collect());
        rest = after;
    }
    assert!(rest.is_empty());
    events
}

#[test]
fn recorded_traces_are_one_event_each() {
    type Wrap = fn(&str) -> String;
    let wraps: [Wrap; 3] = [
        |line| format!("2026-11-21T17:02:16.473668324Z stderr F {line}\n"),
        |line| format!("shop-web-1  | {line}\n"),
        |line| {
            let log = line.replace('\\', "\\\\").replace('"', "\\\"");
            format!(
                "{{\"log\":\"{log}\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-21T17:02:16.6Z\"}}\n"
            )
        },
    ];
    let logs = logs("traces");
    assert!(logs.len() >= 4);
    for path in logs {
        let text = std::fs::read_to_string(&path).unwrap();
        let found = events(&text);
        let mut golden = String::new();
        for event in &found {
            writeln!(golden, "{} lines\n  {}", event.len(), event.join("\n  ")).unwrap();
        }
        vigie_testkit::golden(&path.with_extension("golden"), &golden);
        let sizes: Vec<_> = found.iter().map(Vec::len).collect();
        for wrap in wraps {
            let wrapped: String = text.lines().map(wrap).collect();
            let inside: Vec<_> = events(&wrapped).iter().map(Vec::len).collect();
            assert_eq!(inside, sizes, "{}", path.display());
        }
    }
}

/// What stands behind the first line of an event is read with it.
#[test]
fn fields_and_texts_of_several_lines() {
    let klog = "I1121 23:43:36.350561   14433 main.go:23] \"Updated status\" status=<\n\tline one\n\tline two\n > \
                ready=true";
    let dotnet =
        "fail: Shop.Orders[7]\n      order 7 is gone\n      System.Exception: x\n         at A.B()";
    for (line, format, name, value, text) in [
        (
            klog,
            "klog",
            "status",
            "line one\n\tline two",
            "Updated status",
        ),
        (klog, "klog", "ready", "true", "Updated status"),
        (
            dotnet,
            "dotnet",
            "module",
            "Shop.Orders",
            "order 7 is gone\n      System.Exception: x\n         at A.B()",
        ),
    ] {
        let mut record = Record::default();
        let mut detector = Detector::default();
        let found = detector.parse(&mut context(), line.as_bytes(), &mut record);
        assert_eq!(found.name, format);
        let span = record.find(name).expect("the field is there");
        assert_eq!(span.value(line.as_bytes()), value.as_bytes());
        assert_eq!(message(&record, line.as_bytes()), text);
    }
}
