//! Runs Prometheus' own test scripts.

use std::fmt::Write as _;
use std::path::Path;

use regex::Regex;
use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Answer, Element, Error, Params, Value, format_value, is_stale};
use vigie_query::{Labels, METRIC_NAME};

use crate::memory::Memory;
use crate::script::{Command, Described, Eval, Expected, Match, When, read};

/// Statements that are beyond us: the file, an expression that matches the statement, and why. An
/// entry whose statement passes is out of date, and the test says so.
const UNSUPPORTED: &[(&str, &str, &str)] = &[
    (
        "functions.test",
        r#"label_replace\(testmetric, "\\xff""#,
        "the grammar crate reads \\xff as U+00FF, a fine label name, where upstream sees a bad byte",
    ),
    (
        "info.test",
        r#"\{(data|non_existent)=~"\.\*"\}|data=~"\.\*"\}|\{__name__!="target_info"\}"#,
        "the grammar crate refuses matchers that match the empty text, also as argument of info()",
    ),
];

/// Statements of each file that fail for want of native histograms. More would mean that something
/// else is broken and hides among them.
const NATIVE: &[(&str, usize)] = &[
    ("aggregators.test", 35),
    ("extended_vectors.test", 46),
    ("functions.test", 51),
    ("histograms.test", 92),
    ("info.test", 1),
    ("limit.test", 22),
    ("operators.test", 69),
    ("range_queries.test", 1),
];

/// What became of the statements of one file.
#[derive(Default)]
struct Tally {
    passed: usize,
    native: usize,
    unsupported: usize,
    failed: usize,
}

#[test]
fn upstream_scripts() {
    let Some(folder) = vigie_testkit::shared("data/promqltest") else {
        println!("skipped: no upstream scripts here");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    let mut report = String::new();
    let mut total = Tally::default();
    for file in &files {
        let tally = run(file, &mut report);
        let name = file.file_name().unwrap().to_string_lossy();
        println!(
            "{name:28} {:4} passed {:4} native histograms {:4} unsupported {:4} failed",
            tally.passed, tally.native, tally.unsupported, tally.failed
        );
        if let Some((_, native)) = NATIVE.iter().find(|(file, _)| *file == name) {
            assert!(tally.native <= *native, "{name}: more than {native} fail");
        }
        total.passed += tally.passed;
        total.native += tally.native;
        total.unsupported += tally.unsupported;
        total.failed += tally.failed;
    }
    let share = total.passed as f64 / (total.passed + total.unsupported + total.failed) as f64;
    println!(
        "{:.2} % of what needs no native histogram passed",
        share * 100.0
    );
    assert!(total.failed == 0, "{} failed:\n{report}", total.failed);
}

fn run(path: &Path, report: &mut String) -> Tally {
    let file = path.file_name().unwrap().to_string_lossy();
    let script = std::fs::read_to_string(path).unwrap();
    let mut tally = Tally::default();
    let mut memory = Memory::default();
    let mut native: Vec<Labels> = Vec::new();
    for command in read(&script) {
        match command {
            Command::Clear => {
                memory = Memory::default();
                native.clear();
            }
            Command::Load {
                step,
                series,
                with_native,
            } => load(&mut memory, &mut native, step, &series, with_native),
            Command::Eval(eval) => {
                let known = UNSUPPORTED.iter().find(|(f, pattern, _)| {
                    *f == file && Regex::new(pattern).unwrap().is_match(&eval.text)
                });
                match (judge(&memory, &eval), known) {
                    (Ok(()), Some(_)) if !eval.fails => {
                        tally.failed += 1;
                        let _ = writeln!(report, "{file}:{} passes now: {}", eval.line, eval.text);
                    }
                    (Ok(()), _) => tally.passed += 1,
                    (Err(_), _) if needs_native(&eval, &native) => tally.native += 1,
                    (Err(_), Some(_)) => tally.unsupported += 1,
                    (Err(why), None) => {
                        tally.failed += 1;
                        let _ = writeln!(report, "{file}:{} {}\n    {why}", eval.line, eval.text);
                    }
                }
            }
        }
    }
    tally
}

fn load(
    memory: &mut Memory,
    native: &mut Vec<Labels>,
    step: i64,
    series: &[Described],
    with_native: bool,
) {
    for described in series {
        let mut time = 0;
        for point in &described.points {
            if let Some(value) = point {
                memory.push(&described.labels, time, *value);
            }
            time += step;
        }
        if described.native {
            native.push(described.labels.clone());
        }
        if with_native {
            let name = described.labels.name();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            let mut labels = described.labels.to_builder();
            labels.set(METRIC_NAME, base.unwrap_or(name)).remove("le");
            native.push(labels.build());
        }
    }
}

/// Whether native histograms play a part: in the result, or in what is selected.
fn needs_native(eval: &Eval, native: &[Labels]) -> bool {
    let expected = match &eval.result {
        Expected::Series(series) | Expected::Ranges(_, _, series) => series.as_slice(),
        _ => &[],
    };
    if expected.iter().any(|s| s.native) {
        return true;
    }
    promql::parse(&eval.text).is_ok_and(|expr| {
        promql::selectors(&expr).iter().any(|selector| {
            let mut all = native.iter();
            all.any(|labels| selector.matchers.iter().all(|m| m.matches(labels)))
        })
    })
}

fn ask(memory: &Memory, text: &str, at: When) -> Result<Answer, Error> {
    let expr = promql::parse(text)?;
    let params = Params::default();
    match at {
        When::Instant(at) => promql::instant(memory, &expr, Timestamp(at), &params),
        When::Range(from, until, step) => {
            let (from, until) = (Timestamp(from), Timestamp(until));
            promql::range(memory, &expr, from, until, step, &params)
        }
    }
}

fn judge(memory: &Memory, eval: &Eval) -> Result<(), String> {
    let answer = match (ask(memory, &eval.text, eval.at), eval.fails) {
        (Ok(answer), false) => answer,
        (Err(error), true) => {
            let said = error.to_string();
            let heard = eval.expects.iter().filter(|(kind, _)| kind == "fail");
            let mut heard = heard.map(|(_, how)| match how {
                Match::Exactly(text) => said.contains(text.trim_matches('"')),
                Match::Like(regex) => regex.is_match(&said),
                Match::Any => true,
            });
            return if heard.all(|ok| ok) {
                Ok(())
            } else {
                Err(format!("fails with: {said}"))
            };
        }
        (Ok(_), true) => return Err("should fail".to_owned()),
        (Err(error), false) => return Err(format!("fails: {error}")),
    };
    remarks(eval, &answer.warnings)?;
    compare(eval, &answer.value)?;
    again_as_range(memory, eval, &answer)
}

fn remarks(eval: &Eval, said: &[String]) -> Result<(), String> {
    for level in ["warn", "info"] {
        let prefix = format!("PromQL {level}");
        let said: Vec<_> = said.iter().filter(|s| s.starts_with(&prefix)).collect();
        for (kind, how) in &eval.expects {
            let missing = kind == level
                && !said.iter().any(|text| match how {
                    Match::Any => true,
                    Match::Exactly(expected) => *text == expected,
                    Match::Like(regex) => regex.is_match(text),
                });
            if missing || (kind.strip_prefix("no_") == Some(level) && !said.is_empty()) {
                return Err(format!("expects {kind}, says {said:?}"));
            }
        }
    }
    Ok(())
}

fn compare(eval: &Eval, value: &Value) -> Result<(), String> {
    let wrong = || Err(format!("answers {value:?}"));
    match (&eval.result, value) {
        (Expected::Text(expected), Value::String(text)) if text == expected => Ok(()),
        (Expected::Scalar(expected), Value::Scalar(number)) if near(*expected, *number) => Ok(()),
        (Expected::Series(expected), Value::Vector(elements)) => {
            let expected: Vec<_> = expected
                .iter()
                .map(|d| (&d.labels, d.points.first().copied().flatten()))
                .collect();
            let found: Vec<_> = elements
                .iter()
                .map(|e| (&e.labels, Some(e.sample.value)))
                .collect();
            let place = |labels: &Labels| found.iter().position(|(l, _)| *l == labels);
            let same = found.len() == expected.len()
                && expected.iter().enumerate().all(|(i, (labels, value))| {
                    place(labels).is_some_and(|at| {
                        (!eval.ordered || at == i)
                            && near(value.unwrap_or(f64::NAN), found[at].1.unwrap_or(f64::NAN))
                    })
                });
            if same { Ok(()) } else { wrong() }
        }
        (Expected::Series(expected), Value::Matrix(series)) => {
            let When::Range(from, _, step) = eval.at else {
                return wrong();
            };
            same_matrix(expected, series, from, step)
                .then_some(())
                .map_or_else(wrong, Ok)
        }
        (Expected::Ranges(from, step, expected), Value::Matrix(series)) => {
            same_matrix(expected, series, *from, *step)
                .then_some(())
                .map_or_else(wrong, Ok)
        }
        _ => wrong(),
    }
}

fn same_matrix(
    expected: &[Described],
    series: &[vigie_query::Series],
    from: i64,
    step: i64,
) -> bool {
    series.len() == expected.len()
        && expected.iter().all(|described| {
            let Some(found) = series.iter().find(|s| s.labels == described.labels) else {
                return false;
            };
            let mut times = (0..).map(|i| from + i * step);
            let points: Vec<_> = described
                .points
                .iter()
                .filter_map(|p| times.next().zip(*p))
                .collect();
            points.len() == found.samples.len()
                && points
                    .iter()
                    .zip(&found.samples)
                    .all(|((time, value), s)| s.time.0 == *time && near(*value, s.value))
        })
}

/// What holds at one time holds at the same time of a range.
fn again_as_range(memory: &Memory, eval: &Eval, answer: &Answer) -> Result<(), String> {
    const MINUTE: i64 = 60_000;
    let (When::Instant(at), Value::Vector(elements)) = (eval.at, &answer.value) else {
        return Ok(());
    };
    if ["start()", "end()", "range()", "step()"]
        .iter()
        .any(|f| eval.text.contains(f))
    {
        return Ok(());
    }
    let range = When::Range(at - MINUTE, at + MINUTE, MINUTE);
    let ranged = ask(memory, &eval.text, range).map_err(|e| format!("as range fails: {e}"))?;
    let Value::Matrix(series) = ranged.value else {
        return Err("as range: no matrix".to_owned());
    };
    let mut found: Vec<Element> = Vec::new();
    for series in series {
        let sample = series.samples.iter().find(|s| s.time.0 == at);
        found.extend(sample.map(|sample| Element {
            labels: series.labels.clone(),
            sample: *sample,
        }));
    }
    let mut expected = elements.clone();
    expected.sort_by(|a, b| a.labels.cmp(&b.labels));
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(&expected)
            .all(|(a, b)| a.labels == b.labels && near(a.sample.value, b.sample.value));
    if same {
        Ok(())
    } else {
        Err(format!("as range answers {found:?}"))
    }
}

/// Equal up to rounding, as upstream compares: one part in a million.
fn near(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan() && is_stale(a) == is_stale(b)) {
        return true;
    }
    let sum = (a.abs() + b.abs()).min(f64::MAX);
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / sum < 1e-6
}

#[test]
fn numbers_are_near() {
    assert!(
        near(1.0, 1.000_000_1) && !near(1.0, 1.001),
        "{}",
        format_value(1.0)
    );
}
