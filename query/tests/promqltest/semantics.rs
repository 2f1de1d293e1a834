//! What one expression answers for data one can check by hand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_query::promql::{self, Error, Limits, Params, STALE, Value, format_value};

use crate::memory::Memory;

const MINUTE: i64 = 60_000;

/// Two counters and a gauge, a sample a minute for an hour.
fn source() -> Memory {
    let mut memory = Memory::default();
    for minute in 0..=60 {
        let time = minute * MINUTE;
        for (port, per_minute) in [("1", 60.0), ("2", 120.0)] {
            let labels = Labels::metric("octets_total", &[("port", port), ("dir", "in")]);
            memory.push(&labels, time, minute as f64 * per_minute);
        }
        let load = Labels::metric("load", &[("host", "a")]);
        memory.push(&load, time, (minute % 10) as f64);
    }
    let gone = Labels::metric("gone", &[]);
    memory.push(&gone, 0, 1.0);
    memory.push(&gone, MINUTE, STALE);
    memory
}

fn show(value: &Value) -> String {
    match value {
        Value::Scalar(number) => format_value(*number),
        Value::String(text) => format!("{text:?}"),
        Value::Vector(elements) => {
            let shown = elements
                .iter()
                .map(|e| format!("{} {}", e.labels, format_value(e.sample.value)));
            shown.collect::<Vec<_>>().join("; ")
        }
        Value::Matrix(series) => {
            let shown = series.iter().map(|s| {
                let samples = s
                    .samples
                    .iter()
                    .map(|s| format!(" {}@{}", format_value(s.value), s.time.0 / 1000));
                format!("{}{}", s.labels, samples.collect::<String>())
            });
            shown.collect::<Vec<_>>().join("; ")
        }
    }
}

fn check(text: &str, expected: &str) {
    let expr = promql::parse(text).unwrap();
    let at = Timestamp(30 * MINUTE);
    let answer = promql::instant(&source(), &expr, at, &Params::default()).unwrap();
    assert_eq!(show(&answer.value), expected, "{text}");
}

#[test]
fn one_time() {
    for (text, expected) in [
        ("1 + 2 * 3", "7"),
        ("load", "load{host=\"a\"} 0"),
        ("load offset 5m", "load{host=\"a\"} 5"),
        ("load offset -5m", "load{host=\"a\"} 5"),
        ("load @ 60", "load{host=\"a\"} 1"),
        ("gone @ 59", "gone 1"),
        ("gone @ 60", ""),
        (
            "rate(octets_total[5m])",
            "{dir=\"in\",port=\"1\"} 1; {dir=\"in\",port=\"2\"} 2",
        ),
        (
            "sum by (dir) (increase(octets_total[10m]))",
            "{dir=\"in\"} 1800",
        ),
        (
            "topk(1, octets_total)",
            "octets_total{dir=\"in\",port=\"2\"} 3600",
        ),
        ("quantile(0.5, octets_total)", "{} 2700"),
        (
            "octets_total > 2000",
            "octets_total{dir=\"in\",port=\"2\"} 3600",
        ),
        (
            "octets_total > bool 2000",
            "{dir=\"in\",port=\"1\"} 0; {dir=\"in\",port=\"2\"} 1",
        ),
        (
            "octets_total / ignoring (port) group_left sum without (port) (octets_total) * 3",
            "{dir=\"in\",port=\"1\"} 1; {dir=\"in\",port=\"2\"} 2",
        ),
        ("max_over_time(load[10m])", "{host=\"a\"} 9"),
        // Open at the left: the sample at 28 min is not in the window.
        ("load[2m]", "load{host=\"a\"} 9@1740 0@1800"),
        ("avg_over_time(load[10m:5m])", "{host=\"a\"} 2.5"),
        ("absent(nothing{a=\"b\"})", "{a=\"b\"} 1"),
        ("load @ 1m40s", "load{host=\"a\"} 1"),
        ("load offset 1m @ 120", "load{host=\"a\"} 1"),
        ("load @ end() offset 1m", "load{host=\"a\"} 9"),
        ("sum_over_time(load[100s] @ 150)", "{host=\"a\"} 3"),
        ("timestamp(load @ 61)", "{host=\"a\"} 60"),
        ("timestamp(timestamp(load @ 61))", "{host=\"a\"} 1800"),
        ("sum_over_time(vector(time())[100s:1m] @ 300)", "{} 540"),
        ("minute(vector(1136239445))", "{} 4"),
        ("-2 ^ 2", "-4"),
        ("2 ^ 3 ^ 2", "512"),
        ("1 + 2 > bool 2 * 2", "0"),
        (
            "sum(octets_total) + on () group_right load",
            "{host=\"a\"} 5400",
        ),
        (
            "increase(octets_total[10m] anchored)",
            "{dir=\"in\",port=\"1\"} 600; {dir=\"in\",port=\"2\"} 1200",
        ),
        ("max_over_time(load[2 * 5m])", "{host=\"a\"} 9"),
        ("load @ 90 smoothed", "load{host=\"a\"} 1.5"),
        ("\"text\"", "\"text\""),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_range() {
    let expr = promql::parse("sum(octets_total) / 180").unwrap();
    let (from, until) = (Timestamp(0), Timestamp(3 * MINUTE));
    let source = source();
    let answer = promql::range(&source, &expr, from, until, MINUTE, &Params::default()).unwrap();
    assert_eq!(show(&answer.value), "{} 0@0 1@60 2@120 3@180");
    assert_eq!(source.selections.load(Ordering::Relaxed), 1);
}

#[test]
fn limits_end_a_query() {
    let expr = promql::parse("octets_total").unwrap();
    let source = source();
    let ask = |limits: Limits, cancel: Option<&AtomicBool>| {
        let params = Params {
            limits,
            cancel,
            ..Params::default()
        };
        let until = Timestamp(60 * MINUTE);
        promql::range(&source, &expr, Timestamp(0), until, MINUTE, &params).unwrap_err()
    };
    let limits = Limits::default();
    let few_samples = Limits {
        samples_max: 100,
        ..limits
    };
    assert!(matches!(ask(few_samples, None), Error::Limit(_)));
    let few_points = Limits {
        points_max: 100,
        ..limits
    };
    assert!(matches!(ask(few_points, None), Error::Limit(_)));
    let few_steps = Limits {
        steps_max: 60,
        ..limits
    };
    assert!(matches!(ask(few_steps, None), Error::Limit(_)));
    let over = Limits {
        deadline: Some(Instant::now()),
        ..limits
    };
    assert!(matches!(ask(over, None), Error::Stopped(_)));
    let cancelled = AtomicBool::new(true);
    assert!(matches!(ask(limits, Some(&cancelled)), Error::Stopped(_)));
}
