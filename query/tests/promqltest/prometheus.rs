//! Random queries beside Debian's Prometheus, which reads the same samples.
//!
//! Debian 12 has 2.42, the language here is that of 3. What they take differently is in [`DIFFERENT`],
//! where a test checks that it still is so; the random queries keep clear of it: no sample lies on the
//! begin of a window, and names are not mixed.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_query::promql::{self, Params, Value};

use crate::memory::Memory;

/// The first sample, in seconds; a whole multiple of all steps.
const BASE_S: i64 = 1_700_006_400;
/// How long there are samples.
const LENGTH_S: i64 = 7_200;
/// How many queries are compared, instant ones and ranges.
const QUERIES: usize = 1500;
/// Both add up in another order.
const TOLERANCE: f64 = 1e-9;

/// Queries that 2.42 refuses or answers otherwise, with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "count_over_time(on_time[1m])",
        "3.0 leaves out the sample on the begin of a window",
    ),
    (
        "count_over_time(on_time[1m:10s])",
        "and the step of a subquery there",
    ),
    (
        "double_exponential_smoothing(temp[10m], 0.5, 0.5)",
        "holt_winters before 3.0",
    ),
    ("mad_over_time(temp[10m])", "since 2.54"),
    ("sort_by_label(temp, \"room\")", "since 2.49"),
    ("limitk(2, temp)", "since 3.0"),
    ("limit_ratio(0.5, temp)", "since 3.0"),
    ("info(temp)", "since 3.0"),
    ("first_over_time(temp[10m])", "since 3.7"),
    ("ts_of_max_over_time(temp[10m])", "since 3.5"),
    ("{\"temp\"}", "names in quotes, since 3.0"),
    ("temp[2 * 5m:1m]", "arithmetic in durations, since 3.5"),
    (
        "increase(young[20m])",
        "where a window begins with a gap, 3 goes back half a distance at most, 2.42 up to zero",
    ),
    ("temp atan2 1", "2.42 keeps the name"),
    ("stddev(odd)", "2.42 takes a single NaN for no deviation"),
    ("temp offset (5m)", "arithmetic in durations, since 3.5"),
];

/// A series with its samples: milliseconds and values.
type Row = (Labels, Vec<(i64, f64)>);
/// An answer: series with milliseconds and values, sorted.
type Found = Vec<(String, Vec<(i64, f64)>)>;

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// Counters with resets, gauges with gaps and NaN, a histogram, and one series on whole seconds.
fn samples(dice: &mut Dice) -> Vec<Row> {
    let mut rows = Vec::new();
    for job in ["api", "web"] {
        for instance in ["a", "b", "c"] {
            for code in ["200", "500"] {
                let labels = [("job", job), ("instance", instance), ("code", code)];
                // Far from zero: see `young` above.
                let mut total = 20_000.0;
                let each = 1 + dice.below(40);
                let value = |dice: &mut Dice| {
                    if dice.below(150) == 0 {
                        total = 10_000.0;
                    }
                    total += dice.below(each) as f64;
                    total
                };
                rows.push((Labels::metric("req_total", &labels), line(dice, value)));
            }
        }
        let mut totals = [10_000.0; 5];
        let mut lines = vec![Vec::new(); 5];
        let times = line(dice, |_| 0.0);
        for (time, _) in times {
            let bucket = dice.below(5);
            for (i, total) in totals.iter_mut().enumerate() {
                *total += f64::from(u8::from(i >= bucket));
                lines[i].push((time, *total));
            }
        }
        for (le, line) in ["0.1", "0.5", "1", "5", "+Inf"].iter().zip(lines) {
            rows.push((
                Labels::metric("lat_bucket", &[("job", job), ("le", le)]),
                line,
            ));
        }
    }
    for (instance, room) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "3")] {
        let labels = Labels::metric("temp", &[("instance", instance), ("room", room)]);
        // Eighths: their sums are exact in any order.
        let value = |dice: &mut Dice| (dice.below(400) as f64 - 100.0) / 8.0;
        rows.push((labels, line(dice, value)));
    }
    let on_time = |begin: i64| (begin..LENGTH_S / 10).map(|i| (BASE_S + 10 * i) * 1000);
    rows.push((
        Labels::metric("on_time", &[]),
        on_time(0).map(|t| (t, 1.0)).collect(),
    ));
    rows.push((
        Labels::metric("odd", &[]),
        on_time(0).map(|t| (t, f64::NAN)).collect(),
    ));
    let young = on_time(300)
        .zip(1..)
        .map(|(time, n)| (time + 7, f64::from(n)));
    rows.push((Labels::metric("young", &[]), young.collect()));
    rows
}

/// Each fifteen seconds or so, with gaps, never on a whole second.
fn line(dice: &mut Dice, mut value: impl FnMut(&mut Dice) -> f64) -> Vec<(i64, f64)> {
    let begin = BASE_S * 1000 + i64::try_from(dice.below(600_000)).unwrap();
    let mut line = Vec::new();
    let mut time = begin;
    while time < (BASE_S + LENGTH_S) * 1000 {
        let off = i64::try_from(1 + dice.below(400)).unwrap();
        line.push((time / 1000 * 1000 + off, value(dice)));
        time += if dice.below(60) == 0 { 400_000 } else { 15_000 };
    }
    line
}

/// A server with these samples. Ended when dropped.
struct Prometheus {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program as `cargo xtask setup` unpacks it, or as it is installed.
fn program(name: &str) -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("prometheus/usr/bin")
        .join(name);
    if unpacked.is_file() {
        return Some(unpacked);
    }
    vigie_testkit::program(name)
}

impl Prometheus {
    fn start(rows: &[Row]) -> Option<Self> {
        let (server, tool) = (program("prometheus")?, program("promtool")?);
        let dir = tempfile::tempdir().unwrap();
        let mut text = String::new();
        for (labels, samples) in rows {
            for (time, value) in samples {
                writeln!(text, "{labels} {value} {}.{:03}", time / 1000, time % 1000).unwrap();
            }
        }
        std::fs::write(dir.path().join("in"), text + "# EOF\n").unwrap();
        std::fs::write(dir.path().join("prometheus.yml"), "global: {}\n").unwrap();
        let out = Command::new(tool)
            .args(["tsdb", "create-blocks-from", "openmetrics", "in", "data"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new(&server)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .args(["--storage.tsdb.retention.time=100y", "--log.level=error"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            port,
            _dir: dir,
        };
        assert!(server.is_ready(), "Prometheus does not get ready");
        Some(server)
    }

    fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            if self
                .get("/-/ready")
                .is_some_and(|(status, _)| status == 200)
            {
                return true;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        false
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// What it answers; an error when it refuses.
    fn ask(&self, query: &str, at: &Times) -> Result<Found, String> {
        let query: String = query.bytes().map(|b| format!("%{b:02x}")).collect();
        let path = match at {
            Times::At(at) => format!("/api/v1/query?time={at}&query={query}"),
            Times::Range(from, until, step) => {
                format!("/api/v1/query_range?start={from}&end={until}&step={step}&query={query}")
            }
        };
        let (status, body) = self.get(&path).expect("it answers");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        if status != 200 {
            return Err(answer["error"].as_str().unwrap_or(&body).to_owned());
        }
        let data = &answer["data"];
        let result = data["result"].as_array().unwrap();
        let sample = |pair: &serde_json::Value| {
            #[expect(clippy::cast_possible_truncation, reason = "times of this century")]
            let ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
            (ms, pair[1].as_str().unwrap().parse().unwrap())
        };
        if data["resultType"] == "scalar" {
            return Ok(vec![(String::new(), vec![sample(&data["result"])])]);
        }
        let series = result.iter().map(|one| {
            let labels = one["metric"].as_object().unwrap();
            let labels = labels
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str().unwrap()));
            let samples = match one["values"].as_array() {
                Some(values) => values.iter().map(sample).collect(),
                None => vec![sample(&one["value"])],
            };
            (Labels::new(labels).to_string(), samples)
        });
        let mut found: Found = series.collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }
}

/// When a query is asked for.
#[derive(Debug)]
enum Times {
    At(i64),
    Range(i64, i64, i64),
}

fn ours(memory: &Memory, query: &str, at: &Times) -> Result<Found, String> {
    let expr = promql::parse(query).map_err(|e| e.to_string())?;
    let params = Params::default();
    let time = |s: i64| Timestamp(s * 1000);
    let answer = match *at {
        Times::At(at) => promql::instant(memory, &expr, time(at), &params),
        Times::Range(from, until, step) => {
            promql::range(memory, &expr, time(from), time(until), step * 1000, &params)
        }
    };
    let mut found: Found = match answer.map_err(|e| e.to_string())?.value {
        Value::Scalar(value) => {
            let Times::At(at) = at else {
                unreachable!("a range is a matrix")
            };
            vec![(String::new(), vec![(at * 1000, value)])]
        }
        Value::Vector(all) => all
            .into_iter()
            .map(|one| {
                (
                    one.labels.to_string(),
                    vec![(one.sample.time.0, one.sample.value)],
                )
            })
            .collect(),
        Value::Matrix(all) => all
            .into_iter()
            .map(|one| {
                let samples = one.samples.iter().map(|s| (s.time.0, s.value));
                (one.labels.to_string(), samples.collect())
            })
            .collect(),
        Value::String(_) => return Err("a text".to_owned()),
    };
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn close(a: f64, b: f64) -> bool {
    let near = (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()) + TOLERANCE;
    a == b || a.is_nan() && b.is_nan() || near
}

/// Where answers differ first.
fn difference(ours: &Found, theirs: &Found) -> Option<String> {
    let names = |found: &Found| {
        found
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    if names(ours) != names(theirs) {
        return Some(format!(
            "{:?}\nPrometheus: {:?}",
            names(ours),
            names(theirs)
        ));
    }
    for ((name, a), (_, b)) in ours.iter().zip(theirs) {
        if a.len() != b.len() {
            return Some(format!(
                "{name}: {} samples, Prometheus {}",
                a.len(),
                b.len()
            ));
        }
        for (a, b) in a.iter().zip(b) {
            if a.0 != b.0 || !close(a.1, b.1) {
                return Some(format!("{name}: {a:?}, Prometheus {b:?}"));
            }
        }
    }
    None
}

/// The grammar. What is random here has no ties and no border cases of rounding: where two answers are
/// both right, they need not agree.
mod grammar {
    use super::{BASE_S, Dice, LENGTH_S};

    const RANGES: &[&str] = &["1m", "5m", "10m", "33m20s", "1h"];
    const LABELS: &[&str] = &["instance", "job", "code", "instance, code", "room", ""];

    fn selector(d: &mut Dice) -> String {
        let name = d.of(&["req_total", "req_total", "temp", "temp", "lat_bucket"]);
        let matchers = match (name, d.below(4)) {
            (_, 0) => "{}",
            ("req_total", 1) => "{job=\"api\", code!=\"500\"}",
            ("req_total", 2) => "{instance=~\"a|b\", code=~\"5..\"}",
            ("temp", 1) => "{room!~\"2|3\"}",
            ("temp", 2) => "{instance=\"c\"}",
            (_, 3) => "{nothing=\"\"}",
            _ => "",
        };
        format!("{name}{matchers}")
    }

    fn shift(d: &mut Dice) -> String {
        let at = BASE_S + 10 * i64::try_from(d.below(700)).unwrap() + 7;
        match d.below(12) {
            0 => " offset 5m".to_owned(),
            1 => " offset -2m".to_owned(),
            2 => format!(" @ {at}"),
            3 => format!(" @ {at} offset 1m"),
            4 => " @ start()".to_owned(),
            5 => " @ end()".to_owned(),
            _ => String::new(),
        }
    }

    fn matrix(d: &mut Dice, depth: usize) -> String {
        let range = d.of(RANGES);
        if depth > 0 && d.below(4) == 0 {
            let step = d.of(&["10s", "30s", "1m", ""]);
            let mut inner = vector(d, depth - 1);
            // Within one another their steps meet the begins of windows.
            if [":10s]", ":30s]", ":1m]", ":]"]
                .iter()
                .any(|s| inner.contains(s))
            {
                inner = selector(d);
            }
            let shift = shift(d);
            return format!("({inner})[{range}:{step}]{shift}");
        }
        format!("{}[{range}]{}", selector(d), shift(d))
    }

    fn over_time(d: &mut Dice, depth: usize) -> String {
        let m = matrix(d, depth);
        match d.below(20) {
            0 => format!(
                "quantile_over_time({}, {m})",
                d.of(&["0", "0.5", "0.95", "1", "2"])
            ),
            // At a fixed time 2.42 loses samples of its window from step to step.
            1 if !m.contains('@') => {
                format!("predict_linear({m}, {})", d.of(&["600", "-60", "3600"]))
            }
            3..=8 => {
                let counter = d.of(&["req_total", "req_total{code=\"200\"}", "lat_bucket"]);
                let (name, range) = (d.of(&["rate", "increase"]), d.of(RANGES));
                format!("{name}({counter}[{range}]{})", shift(d))
            }
            2 => format!("holt_winters({m}, 0.3, 0.6)"),
            _ => {
                let name = d.of(&[
                    "irate",
                    "delta",
                    "idelta",
                    "deriv",
                    "changes",
                    "resets",
                    "avg_over_time",
                    "min_over_time",
                    "max_over_time",
                    "sum_over_time",
                    "count_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                    "last_over_time",
                    "present_over_time",
                    "absent_over_time",
                ]);
                format!("{name}({m})")
            }
        }
    }

    fn function(d: &mut Dice, depth: usize) -> String {
        let v = vector(d, depth - 1);
        match d.below(15) {
            0 => format!("clamp({v}, 0.3, 20)"),
            1 => format!("clamp_max({v}, 7)"),
            2 => format!("clamp_min({v}, 7)"),
            3 => format!("label_replace({v}, \"new\", \"$1-x\", \"instance\", \"(a|c)\")"),
            4 => format!("label_join({v}, \"new\", \"/\", \"instance\", \"job\")"),
            5 => format!("absent({v})"),
            6 => format!("vector(scalar({v}))"),
            7 => format!("-({v})"),
            8 => format!(
                "{}({}{})",
                d.of(&["floor", "ceil", "sgn"]),
                selector(d),
                shift(d)
            ),
            // Not at a fixed time, where 2.42 overlooks samples that its own selectors find.
            13 => format!("timestamp({} offset 5m)", selector(d)),
            9 => format!("round({}, 0.5)", selector(d)),
            10 => format!(
                "{}({})",
                d.of(&[
                    "minute",
                    "hour",
                    "day_of_week",
                    "month",
                    "year",
                    "days_in_month",
                    "day_of_year"
                ]),
                d.of(&["vector(time())", "timestamp(temp)", ""])
            ),
            11 => format!(
                "histogram_quantile({}, sum by (le{}) (rate(lat_bucket[{}])))",
                d.of(&["0.5", "0.99", "0", "1", "-1"]),
                d.of(&["", ", job"]),
                d.of(&["10m", "1h"])
            ),
            _ => format!(
                "{}({v})",
                d.of(&[
                    "abs", "sqrt", "ln", "log2", "log10", "exp", "deg", "rad", "tanh"
                ])
            ),
        }
    }

    fn aggregate(d: &mut Dice, depth: usize) -> String {
        let by = d.of(&["by", "without"]);
        let (labels, v) = (d.of(LABELS), vector(d, depth - 1));
        match d.below(12) {
            0 => format!(
                "quantile {by} ({labels}) ({}, {v})",
                d.of(&["0.5", "0.9", "-1"])
            ),
            1 => format!(
                "count_values {by} ({labels}) (\"v\", floor({}))",
                selector(d)
            ),
            2 => format!(
                "{} {by} ({labels}) (2, deriv(temp[{}]))",
                d.of(&["topk", "bottomk"]),
                d.of(&["10m", "1h"])
            ),
            3 => format!("sum({v})"),
            4 => format!(
                "{} {by} ({labels}) ({})",
                d.of(&["stddev", "stdvar"]),
                selector(d)
            ),
            _ => {
                let name = d.of(&["sum", "avg", "min", "max", "count", "group"]);
                format!("{name} {by} ({labels}) ({v})")
            }
        }
    }

    fn binary(d: &mut Dice, depth: usize) -> String {
        let arithmetic = d.of(&["+", "-", "*", "/", "%", "^"]);
        let (a, b) = (vector(d, depth - 1), vector(d, depth - 1));
        match d.below(8) {
            0 => format!(
                "({a}) {arithmetic} {}",
                d.of(&["2", "0.5", "-3", "0", "Inf"])
            ),
            1 => format!("{} {arithmetic} ({a})", d.of(&["2", "time()", "-1.5"])),
            2 => format!(
                "{} {} {}",
                selector(d),
                d.of(&["==", "!=", ">", "<", ">=", "<="]),
                d.of(&["10", "0", "bool 7"])
            ),
            3 => format!(
                "({a}) {} ({b})",
                d.of(&[
                    "and",
                    "or",
                    "unless",
                    "and on(instance)",
                    "unless ignoring(code)"
                ])
            ),
            4 => format!("sum by (instance) ({a}) {arithmetic} sum by (instance) ({b})"),
            5 => format!("({a}) {arithmetic} on(instance) group_left sum by (instance) ({b})"),
            6 => format!(
                "max by (instance, job) ({a}) {arithmetic} on(instance) group_right() ({b})"
            ),
            _ => format!("({a}) {arithmetic} ({b})"),
        }
    }

    pub(super) fn vector(d: &mut Dice, depth: usize) -> String {
        match (depth, d.below(10)) {
            (0, n) if n < 4 => format!("{}{}", selector(d), shift(d)),
            (0, _) => over_time(d, 0),
            (_, 0..=2) => over_time(d, depth),
            (_, 3..=4) => function(d, depth),
            (_, 5..=6) => aggregate(d, depth),
            (_, 7..=8) => binary(d, depth),
            _ => vector(d, 0),
        }
    }

    /// A time within the samples, or a little beyond them, that no step meets.
    pub(super) fn time(d: &mut Dice) -> i64 {
        let steps = usize::try_from(LENGTH_S / 10).unwrap() + 40;
        BASE_S + 10 * i64::try_from(d.below(steps)).unwrap() + 7
    }
}

fn memory(rows: &[Row]) -> Memory {
    let mut memory = Memory::default();
    for (labels, samples) in rows {
        for (time, value) in samples {
            memory.push(labels, *time, *value);
        }
    }
    memory
}

/// Its name since 3.0.
fn modern(query: &str) -> String {
    query.replace("holt_winters(", "double_exponential_smoothing(")
}

#[test]
fn random_queries_have_prometheus_answers() {
    let mut dice = Dice(3);
    let rows = samples(&mut dice);
    let Some(prometheus) = Prometheus::start(&rows) else {
        return;
    };
    let memory = memory(&rows);
    let (mut wrong, mut filled, mut refused) = (Vec::new(), 0, 0);
    for _ in 0..QUERIES {
        let depth = dice.below(4);
        let query = grammar::vector(&mut dice, depth);
        let at = grammar::time(&mut dice);
        let times = if dice.below(2) == 0 {
            Times::At(at)
        } else {
            let step = [10, 30, 60, 300][dice.below(4)];
            Times::Range(at, at + step * 20, step)
        };
        let (own, theirs) = (
            ours(&memory, &modern(&query), &times),
            prometheus.ask(&query, &times),
        );
        let differs = match (&own, &theirs) {
            (Ok(own), Ok(theirs)) => {
                filled += usize::from(!own.is_empty());
                difference(own, theirs)
            }
            (Err(_), Err(_)) => {
                refused += 1;
                None
            }
            (own, theirs) => Some(format!(
                "{:?}\nPrometheus: {:?}",
                own.as_ref().map(Vec::len),
                theirs.as_ref().map(Vec::len)
            )),
        };
        wrong.extend(differs.map(|what| format!("{query}\n{times:?}\n{what}\n")));
    }
    assert!(
        wrong.is_empty(),
        "{} of {QUERIES}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Most say something, few are refused by both.
    assert!(
        filled > QUERIES / 2 && refused < QUERIES / 5,
        "{filled} {refused}"
    );
}

#[test]
fn what_the_versions_take_differently_still_is_different() {
    let rows = samples(&mut Dice(3));
    let Some(prometheus) = Prometheus::start(&rows) else {
        return;
    };
    let memory = memory(&rows);
    let at = Times::At(BASE_S + 3_600);
    for (query, reason) in DIFFERENT {
        let own = ours(&memory, query, &at);
        let own = own.unwrap_or_else(|e| panic!("{query} ({reason}): {e}"));
        if let Ok(theirs) = prometheus.ask(query, &at) {
            assert!(
                difference(&own, &theirs).is_some(),
                "{query}: no difference any more"
            );
        }
    }
}
