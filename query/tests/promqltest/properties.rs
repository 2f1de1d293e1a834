//! What must hold for any data and any text.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Error, Limits, Params, STALE, Value};
use vigie_query::{Labels, Sample};

use crate::memory::Memory;

const STEP: i64 = 60_000;

/// Up to four series of two metrics, with gaps, resets, ends and strange values.
fn memory() -> impl Strategy<Value = Memory> {
    let value = prop_oneof![
        8 => (0..50_i32).prop_map(f64::from),
        2 => -10.0..10.0_f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(STALE),
    ];
    let samples = prop::collection::vec((1_000..150_000_i64, value), 0..40);
    prop::collection::vec(samples, 4).prop_map(|series| {
        let mut memory = Memory::default();
        for (i, samples) in series.iter().enumerate() {
            let name = ["a", "b"][i % 2];
            let job = ["x", "y"][i / 2];
            let labels = Labels::metric(name, &[("job", job), ("le", ["1", "+Inf"][i / 2])]);
            let mut time = 0;
            for (distance, value) in samples {
                time += distance;
                memory.push(&labels, time, *value);
            }
        }
        memory
    })
}

const OPERATORS: &[&str] = &[
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!= bool",
    "> bool",
    "<",
    ">=",
    "and",
    "or",
    "unless",
    "atan2",
    "* on(job) group_left",
    "/ ignoring(job)",
    "+ on(job) fill(0)",
    "- on(job) group_right(x)",
];

const AGGREGATIONS: &[&str] = &[
    "sum",
    "sum by (job)",
    "avg without (job)",
    "min",
    "max by (le)",
    "count",
    "stddev",
    "group",
    "topk by (job) (1,",
    "bottomk(2,",
    "quantile(0.3,",
    "limitk(1,",
    "limit_ratio(0.5,",
    "count_values(\"v\",",
];

const FUNCTIONS: &[&str] = &[
    "abs(",
    "ceil(",
    "-(",
    "absent(",
    "timestamp(",
    "month(",
    "clamp_min(1,",
    "vector(",
    "histogram_quantile(0.9,",
    "label_replace(\"x\",",
    "round(",
    "sgn(",
];

const WINDOWS: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "avg_over_time",
    "sum_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "stddev_over_time",
    "changes",
    "resets",
    "deriv",
    "absent_over_time",
    "present_over_time",
    "mad_over_time",
    "ts_of_max_over_time",
];

const RANGES: &[&str] = &["5m", "90s", "10m:1m", "7m:", "3m:30s", "1h:13m"];

/// Expressions of few levels, most of them valid. Without `sort`, which works at one time only: the
/// order of a sum decides its last digit.
fn expression() -> impl Strategy<Value = String> {
    let modifier = prop::sample::select(vec![
        "",
        " offset 3m",
        " offset -2m",
        " @ 300",
        " @ start()",
        " @ end()",
        " @ 600 offset 1m",
    ]);
    let selector = prop::sample::select(vec!["a", "b", "a{job=\"x\"}", "{job=~\"x|y\"}", "none"]);
    let selector = (selector, modifier.clone()).prop_map(|(s, m)| format!("{s}{m}"));
    let number = prop::sample::select(vec!["1", "0", "-2.5", "NaN", "time()", "scalar(a)", "1e9"])
        .prop_map(str::to_owned);
    let leaf = prop_oneof![4 => selector, 1 => number];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let operator = prop::sample::select(OPERATORS);
        let aggregation = prop::sample::select(AGGREGATIONS);
        let function = prop::sample::select(FUNCTIONS);
        let window = prop::sample::select(WINDOWS);
        let range = prop::sample::select(RANGES);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (aggregation, inner.clone()).prop_map(|(f, a)| {
                if f.contains('(') && f.ends_with(',') {
                    format!("{f} {a})")
                } else {
                    format!("{f} ({a})")
                }
            }),
            (function, inner.clone()).prop_map(|(f, a)| match f {
                "clamp_min(1," => format!("clamp_min({a}, 1)"),
                "label_replace(\"x\"," => {
                    format!("label_replace({a}, \"z\", \"$1\", \"job\", \"(.*)\")")
                }
                _ => format!("{f}{a})"),
            }),
            (window, inner, range, modifier.clone()).prop_map(|(f, a, r, m)| {
                let bare = a.chars().all(|c| c.is_ascii_alphabetic());
                let extended = ["increase", "rate", "delta"].contains(&f) && !r.contains(':');
                match (bare, r.contains(':')) {
                    (true, _) if extended && m.contains('3') => {
                        format!("{f}({a}[{r}] smoothed{m})")
                    }
                    (true, _) if extended && m.contains('1') => {
                        format!("{f}({a}[2*{r}]{m} anchored)")
                    }
                    (true, _) => format!("{f}({a}[{r}]{m})"),
                    (false, true) => format!("{f}(({a})[{r}]{m})"),
                    (false, false) => format!("{f}(({a})[{r}:1m]{m})"),
                }
            }),
        ]
    })
}

fn params() -> Params<'static> {
    Params {
        limits: Limits {
            samples_max: 200_000,
            points_max: 200_000,
            // A text may be valid and long; the figure is for a stuck loop, not for speed.
            deadline: Some(Instant::now() + Duration::from_secs(60)),
            ..Limits::default()
        },
        ..Params::default()
    }
}

/// The series of an answer at a time, sorted; one nameless series for a scalar.
fn at_time(value: &Value, time: i64) -> Vec<(Labels, f64)> {
    let mut found: Vec<_> = match value {
        Value::Scalar(number) => vec![(Labels::default(), *number)],
        Value::Vector(elements) => elements
            .iter()
            .map(|e| (e.labels.clone(), e.sample.value))
            .collect(),
        Value::Matrix(series) => {
            let at = |s: &&Sample| s.time.0 == time;
            series
                .iter()
                .filter_map(|s| Some((s.labels.clone(), s.samples.iter().find(at)?.value)))
                .collect()
        }
        Value::String(_) => Vec::new(),
    };
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The order of `topk` too may decide the last digit of a sum over it.
fn same(a: &[(Labels, f64)], b: &[(Labels, f64)]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((a, x), (b, y))| {
            a == b && (x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= 1e-12 * x.abs())
        })
}

/// `start()` and `end()` mean the query's own, so they differ between its steps and the whole.
fn pinned(text: &str, from: i64, until: i64) -> String {
    text.replace("@ start()", &format!("@ {}", from / 1000))
        .replace("@ end()", &format!("@ {}", until / 1000))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_range_is_its_instants(memory in memory(), text in expression(), from in 0..20_i64) {
        let (from, until) = (from * STEP, (from + 12) * STEP);
        let Ok(expr) = promql::parse(&text) else { return Ok(()) };
        let fixed = promql::parse(&pinned(&text, from, until)).unwrap();
        let (first, last) = (Timestamp(from), Timestamp(until));
        let whole = promql::range(&memory, &expr, first, last, STEP, &params());
        let mut failed = false;
        for time in (from..=until).step_by(60_000) {
            match promql::instant(&memory, &fixed, Timestamp(time), &params()) {
                Ok(answer) => if let Ok(whole) = &whole {
                    let (ranged, alone) = (at_time(&whole.value, time), at_time(&answer.value, time));
                    let same = same(&ranged, &alone);
                    prop_assert!(same, "{} at {}: {:?} {:?}", text, time, ranged, alone);
                },
                Err(_) => failed = true,
            }
        }
        // Which step fails first is the only freedom.
        prop_assert!(failed == whole.is_err() || matches!(whole, Err(Error::Limit(_))), "{}", text);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}") {
        let _ = promql::parse(&text);
    }

    #[test]
    fn any_tokens_are_answered(tokens in prop::collection::vec(prop::sample::select(vec![
        "a", "b{", "}", "x=\"y\"", "=~\"(\"", "(", ")", "[", "]", "5m", ":", "offset", "-", "+",
        "@", "start()", "end", "1e999", "Inf", "NaN", "0x1f", "sum", "by", "on", "bool", "rate",
        "group_left", ",", "\"\\é\"", "'", "`", "#", "\n", "==", "^", "info", "99999999999w", "é",
        "topk", "fill", "anchored", "smoothed", "step()", "min_of(", "range", "1.5.2", "label_replace", "1ms", "1y", "and", "\\", "{__name__=\"a\"}",
    ]), 0..14), glue in prop::sample::select(vec!["", " "])) {
        let text = tokens.join(glue);
        if let Ok(expr) = promql::parse(&text) {
            let mut memory = Memory::default();
            memory.push(&Labels::metric("a", &[("x", "y")]), 1_000, 1.0);
            let _ = promql::selectors(&expr);
            let _ = promql::instant(&memory, &expr, Timestamp(5_000), &params());
            let until = Timestamp(9_000);
            let _ = promql::range(&memory, &expr, Timestamp(0), until, 1_000, &params());
        }
    }
}

#[test]
fn extreme_times_are_answered() {
    let texts = [
        "a",
        "a[1y]",
        "a offset -280y",
        "a @ 1e18",
        "rate(a[100y:1y] offset 100y)",
        "hour()",
    ];
    let times = [
        i64::MIN,
        i64::MAX,
        0,
        1_000_000_000_000_000,
        -1_000_000_000_000_000,
    ];
    let memory = Memory::default();
    for text in texts {
        let expr = promql::parse(text).unwrap();
        for at in times {
            let _ = promql::instant(&memory, &expr, Timestamp(at), &params());
            for until in times {
                let _ = promql::range(
                    &memory,
                    &expr,
                    Timestamp(at),
                    Timestamp(until),
                    i64::MAX,
                    &params(),
                );
            }
        }
    }
}

/// As deep as the limits allow, on a test's small stack.
#[test]
fn deep_expressions_are_answered() {
    let nest = |open: &str, close: &str, times: usize| {
        format!("{}a{}", open.repeat(times), close.repeat(times))
    };
    let texts = [
        nest("(", ")", 99),
        nest("abs(", ")", 99),
        nest("1+(", ")", 60),
        nest("sum by (x) (", ")", 99),
        nest("max_over_time(", "[2m:1m])", 49),
        nest("label_replace(", ",\"x\",\"y\",\"x\",\"(.*)\")", 99),
        nest("a or ", "", 120),
        nest("-", "", 120),
        nest("2^", "", 120),
    ];
    let mut memory = Memory::default();
    memory.push(&Labels::metric("a", &[("x", "y")]), 1_000, 1.0);
    for text in texts {
        let expr = promql::parse(&text).unwrap();
        let until = Timestamp(9_000);
        promql::range(&memory, &expr, Timestamp(2_000), until, 1_000, &params()).unwrap();
    }
    // Beyond, they are refused before anything recurses.
    for text in [
        nest("(", ")", 101),
        nest("-", "", 990),
        nest("a+", "", 990),
        nest("-", "", 60_000),
    ] {
        assert!(
            matches!(promql::parse(&text), Err(Error::Limit(_))),
            "{text:.9}"
        );
    }
}
