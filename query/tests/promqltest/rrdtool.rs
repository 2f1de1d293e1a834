//! Forecasts beside Debian's rrdtool, fed with the same values.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_query::holt_winters::{History, HoltWinters, Model};
use vigie_query::promql::{self, Params, Value};

use crate::memory::Memory;

const STEP_S: i64 = 60;
const START_S: i64 = 1_000_000_020;

/// What both are given.
#[derive(Clone, Debug)]
struct Case {
    model: Model,
    delta: f64,
    window: usize,
    threshold: usize,
    /// NaN where unknown.
    values: Vec<f64>,
}

/// One row of rrdtool's archives.
#[derive(Clone, Debug)]
struct Row {
    predicted: f64,
    deviation: f64,
    failure: f64,
}

fn cases() -> impl Strategy<Value = Case> {
    let share = || 0.0..=1.0f64;
    // Seasons from 40 steps on are smoothed by rrdtool, too; where the season is a factor its
    // smoother adds to the level what belongs on it, which we do not.
    let shape = proptest::bool::ANY.prop_flat_map(|multiplicative| {
        let longest: usize = if multiplicative { 39 } else { 90 };
        (2..longest, proptest::strategy::Just(multiplicative))
    });
    let judged =
        (1..=28usize).prop_flat_map(|window| (proptest::strategy::Just(window), 1..=window));
    let constants = (share(), share(), share(), 0.5..4.0f64);
    let values = (
        1..=8usize,
        0.0..0.3f64,
        proptest::collection::vec(share(), 400),
    );
    (shape, constants, judged, values, 0..1000usize).prop_map(
        |(shape, constants, judged, own, at)| {
            let (period, multiplicative): (usize, bool) = shape;
            let (alpha, beta, gamma, delta): (f64, f64, f64, f64) = constants;
            let (window, threshold): (usize, usize) = judged;
            let (seasons, unknown, noise): (usize, f64, Vec<f64>) = own;
            let value = |(i, r): (usize, &f64)| {
                let wave = (i as f64 / period as f64 * std::f64::consts::TAU).sin();
                let known = (r * 7919.0).fract() >= unknown;
                // Six digits: rrdtool reads decimal text.
                let value = (1e6 * (10.0 + 5.0 * wave + 4.0 * (r - 0.5))).round() / 1e6;
                if known { value } else { f64::NAN }
            };
            let len = (period * seasons).clamp(10, 400);
            Case {
                model: Model {
                    alpha,
                    beta,
                    gamma,
                    multiplicative,
                    smooth_at: at % period,
                    ..Model::new(period)
                },
                delta,
                window,
                threshold,
                values: noise.iter().enumerate().take(len).map(value).collect(),
            }
        },
    )
}

fn rrdtool(dir: &Path, args: &[String]) -> String {
    let out = Command::new("rrdtool")
        .current_dir(dir)
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "rrdtool {args:?}: {said}");
    String::from_utf8(out.stdout).unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Creates the archives and lets both seasonal ones begin with phase 0 and be smoothed at ours:
/// rrdtool begins anywhere, and takes the phase from the file's name.
fn create(dir: &Path, case: &Case) {
    let Case {
        model,
        window,
        threshold,
        delta,
        ..
    } = case;
    let (rows, period, gamma) = (case.values.len() + 5, model.period, model.gamma);
    let name = if model.multiplicative {
        "MHWPREDICT"
    } else {
        "HWPREDICT"
    };
    let create = format!(
        "create h.rrd -s {STEP_S} -b {START_S} DS:x:GAUGE:{} RRA:{name}:{rows}:{}:{}:{period}:2 \
         RRA:SEASONAL:{period}:{gamma}:1:smoothing-window=0.05 \
         RRA:DEVSEASONAL:{period}:{gamma}:1:smoothing-window=0.05 \
         RRA:DEVPREDICT:{rows}:3 RRA:FAILURES:{rows}:{threshold}:{window}:3",
        "60:U:U", model.alpha, model.beta,
    );
    rrdtool(dir, &words(&create));
    let tune = format!("tune h.rrd --deltapos {delta} --deltaneg {delta}");
    rrdtool(dir, &words(&tune));
    let path = dir.join("h.rrd");
    let mut bytes = std::fs::read(&path).unwrap();
    let (stat, ds, rra, live, pdp, cdp) = (128, 120, 120, 16, 112, 80);
    let rras = 5;
    let pointers = stat + ds + rras * rra + live + pdp + rras * cdp;
    let mut put = |at: usize, value: usize| {
        bytes[at..at + 8].copy_from_slice(&(value as u64).to_ne_bytes());
    };
    for archive in [1, 2] {
        put(pointers + 8 * archive, period - 1);
        put(stat + ds + archive * rra + 40 + 4 * 8, model.smooth_at);
    }
    std::fs::write(&path, bytes).unwrap();
}

fn fetch(dir: &Path, cf: &str, len: usize) -> Vec<f64> {
    let end = START_S + STEP_S * (i64::try_from(len).unwrap() - 1);
    let text = rrdtool(
        dir,
        &words(&format!("fetch h.rrd {cf} -s {START_S} -e {end}")),
    );
    let rows = text.lines().filter_map(|line| line.split_once(": "));
    let values: Vec<f64> = rows
        .map(|(_, v)| v.trim().parse().unwrap_or(f64::NAN))
        .collect();
    values[..len].to_vec()
}

/// One command for each value, through one process: rrdtool smooths after the last value of a command.
fn update(dir: &Path, values: &[f64]) {
    let line = |(i, value): (i64, &f64)| {
        let at = START_S + i * STEP_S;
        let value = if value.is_nan() {
            "U".to_owned()
        } else {
            value.to_string()
        };
        format!("update h.rrd {at}:{value}\n")
    };
    let lines: String = (1..).zip(values).map(line).collect();
    let mut child = Command::new("rrdtool")
        .arg("-")
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Its answers are longer than a pipe takes before somebody reads.
    let mut input = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert_eq!(said.matches("OK u:").count(), values.len(), "{said}");
}

fn theirs(case: &Case) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), case);
    update(dir.path(), &case.values);
    let name = if case.model.multiplicative {
        "MHWPREDICT"
    } else {
        "HWPREDICT"
    };
    let len = case.values.len();
    let predicted = fetch(dir.path(), name, len);
    let deviation = fetch(dir.path(), "DEVPREDICT", len);
    let failures = fetch(dir.path(), "FAILURES", len);
    let rows = predicted.into_iter().zip(deviation).zip(failures);
    rows.map(|((predicted, deviation), failure)| Row {
        predicted,
        deviation,
        failure,
    })
    .collect()
}

fn ours(case: &Case) -> Vec<Row> {
    let mut model = HoltWinters::new(case.model, 0);
    let mut history = History::new(case.window, case.threshold);
    let row = |value: &f64| {
        let forecast = model.step(*value);
        let violated = forecast.is_violated(*value, case.delta, case.delta);
        Row {
            predicted: forecast.predicted,
            deviation: forecast.deviation,
            failure: f64::from(u8::from(history.push(violated))),
        }
    };
    case.values.iter().map(row).collect()
}

fn near(a: f64, b: f64) -> bool {
    a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

fn compare(what: &str, ours: &[Row], theirs: &[Row], case: &Case) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let same = near(a.predicted, b.predicted)
            && near(a.deviation, b.deviation)
            && near(a.failure, b.failure);
        assert!(same, "{what}, step {i}: {a:?}, rrdtool {b:?}\n{case:?}");
    }
}

/// The same asked in PromQL, where a step has the phase of its time.
fn asked(case: &Case) -> Vec<Row> {
    let mut memory = Memory::default();
    let labels = Labels::metric("x", &[]);
    // Time begins with phase 0, and one season in.
    let period = i64::try_from(case.model.period).unwrap();
    let time = |i: i64| (period + i) * STEP_S * 1000;
    for (i, value) in (0..).zip(&case.values) {
        if !value.is_nan() {
            memory.push(&labels, time(i), *value);
        }
    }
    let Model {
        alpha,
        beta,
        gamma,
        multiplicative,
        ..
    } = case.model;
    let (season, delta) = (period * STEP_S, case.delta);
    let prefix = if multiplicative { "mhw" } else { "hw" };
    let last = i64::try_from(case.values.len()).unwrap() - 1;
    let params = Params {
        lookback_ms: STEP_S * 1000,
        ..Params::default()
    };
    let ask = |function: &str, own: &str| -> Vec<f64> {
        let text =
            format!("{prefix}_{function}(x[1000h:1m], {season}{own}, {alpha}, {beta}, {gamma})");
        let expr = promql::parse(&text).unwrap();
        let (from, until) = (Timestamp(time(0)), Timestamp(time(last)));
        let answer = promql::range(&memory, &expr, from, until, STEP_S * 1000, &params).unwrap();
        let Value::Matrix(series) = answer.value else {
            panic!("a matrix")
        };
        let mut values = vec![f64::NAN; case.values.len()];
        for sample in series.iter().flat_map(|s| &s.samples) {
            let step = (sample.time.0 - time(0)) / STEP_S / 1000;
            values[usize::try_from(step).unwrap()] = sample.value;
        }
        values
    };
    let judged = format!(", {delta}, {}, {}", case.threshold, case.window);
    let predicted = ask("predict", "");
    let deviation = ask("deviation", "");
    let upper = ask("upper", &format!(", {delta}"));
    let lower = ask("lower", &format!(", {delta}"));
    let failures = ask("failures", &judged);
    let known = case.values.iter().take_while(|v| v.is_nan()).count();
    let row = |i: usize| {
        let band = (upper[i] - lower[i]) / 2.0 / delta;
        assert!(
            near(band, deviation[i]) || upper[i].is_nan(),
            "step {i}: {case:?}"
        );
        // Before the first value there is no answer, where rrdtool says: no failure.
        let failure = if i < known { 0.0 } else { failures[i] };
        Row {
            predicted: predicted[i],
            deviation: deviation[i],
            failure,
        }
    };
    (0..case.values.len()).map(row).collect()
}

#[test]
fn forecasts_agree_with_rrdtool() {
    if Command::new("rrdtool").arg("--version").output().is_err() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI has rrdtool"
        );
        println!("skipped: no rrdtool here");
        return;
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..40 {
        let case = cases().new_tree(&mut runner).unwrap().current();
        let (ours, theirs) = (ours(&case), theirs(&case));
        compare("the model", &ours, &theirs, &case);
        // PromQL smooths at phase 0.
        let unsmoothed = case.model.period < 40 || case.model.smooth_at == 0;
        if unsmoothed {
            compare("PromQL", &asked(&case), &theirs, &case);
        }
    }
}
