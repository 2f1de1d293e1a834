//! rrdtool itself is the judge: what it fetches from a file is what the store answers after import,
//! and what it consolidates from readings on slot borders is what the store makes of the same.
//!
//! Where the two differ on purpose:
//!
//! | rrdtool | here | in these tests |
//! |---|---|---|
//! | LAST of a slot is unknown if its last point is, whatever is known before | the average stands for it | taken so |
//! | MIN, MAX or LAST are known where AVERAGE is not, because each archive has its own xff | a slot without an average is unknown; the import counts them | taken so |
//! | without an AVERAGE archive of a step there is no average | LAST, MAX or MIN stands for it; the import says which | taken so |
//! | an archive starts full of unknown rows | nothing | both nothing |
//! | 32-bit wrap adds 2^32 − 1 | adds 2^32 | corrected by one |
//! | xff | a slot is known if anything in it is | xff 0.99 |
//! | readings are weighed into the slots they overlap | a gauge is the value of its slot; counters are spread in whole units | readings lie on borders |

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small numbers, turned to text and back"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use vigie_parsers::Timestamp;
use vigie_parsers::archives::rrd;
use vigie_query::{Labels, Matcher, MetricKind, Selection};
use vigie_store::series::{Archives, OldSeries, Slot};
use vigie_store::{Batch, Options, Reader, Reading, SampleRow, SeriesDef, Writer};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// Relative difference that printing eleven digits may make.
const TOLERANCE: f64 = 1e-9;

/// rrdtool in its pipe mode.
struct Rrdtool {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Rrdtool {
    fn start(dir: &Path) -> Option<Self> {
        let program = vigie_testkit::program("rrdtool")?;
        let mut child = Command::new(program)
            .arg("-")
            .current_dir(dir)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, to, from })
    }

    /// What a command prints.
    fn run(&mut self, command: &str) -> Vec<String> {
        writeln!(self.to, "{command}").unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "{command}");
            assert!(!line.starts_with("ERROR"), "{command}: {line}");
            if line.starts_with("OK ") {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Rows of an archive: time, a value for each data source.
    fn fetch(
        &mut self,
        cf: &str,
        step_s: i64,
        (from_s, until_s): (i64, i64),
    ) -> Vec<(i64, Vec<f64>)> {
        // The end is always raised to the next row.
        let until_s = until_s - 1;
        let lines = self.run(&format!(
            "fetch t.rrd {cf} -r {step_s} -s {from_s} -e {until_s}"
        ));
        let row = |line: &String| {
            let (time, values) = line.split_once(':')?;
            let value = |v: &str| {
                if v.contains("nan") {
                    f64::NAN
                } else {
                    v.parse().unwrap()
                }
            };
            Some((
                time.trim().parse().ok()?,
                values.split_whitespace().map(value).collect(),
            ))
        };
        lines.iter().filter_map(row).collect()
    }
}

impl Drop for Rrdtool {
    fn drop(&mut self) {
        // It may have ended on its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same numbers in each run (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A random file and what was put into it.
struct Case {
    sources: Vec<&'static str>,
    /// Function, points in a row, rows.
    archives: Vec<(&'static str, i64, i64)>,
    step_s: i64,
    last_s: i64,
}

const KINDS: [&str; 6] = [
    "GAUGE", "COUNTER", "DERIVE", "ABSOLUTE", "DCOUNTER", "DDERIVE",
];
const FUNCTIONS: [&str; 4] = ["AVERAGE", "MIN", "MAX", "LAST"];

fn make(random: &mut Random, rrdtool: &mut Rrdtool) -> Case {
    let step_s = *random.pick(&[1, 5, 10, 60, 300]);
    let start_s = 1_500_000_000 + random.below(100_000) as i64;
    let sources: Vec<&str> = (0..=random.below(3))
        .map(|_| *random.pick(&KINDS))
        .collect();
    let mut archives: Vec<(&str, i64, i64)> = Vec::new();
    for _ in 0..=random.below(7) {
        let one = (
            *random.pick(&FUNCTIONS),
            *random.pick(&[1, 2, 3, 5, 7, 12, 50]),
        );
        if archives.iter().all(|a| (a.0, a.1) != one) {
            archives.push((one.0, one.1, 1 + random.below(700) as i64));
        }
    }
    let mut command = format!("create t.rrd -b {start_s} -s {step_s}");
    for (i, kind) in sources.iter().enumerate() {
        let heartbeat = step_s * (1 + random.below(6) as i64);
        let limits = *random.pick(&["U:U", "U:U", "0:U", "0:1000000"]);
        command += &format!(" DS:ds{i}:{kind}:{heartbeat}:{limits}");
    }
    for (cf, points, rows) in &archives {
        let xff = *random.pick(&["0", "0.3", "0.5", "0.99"]);
        command += &format!(" RRA:{cf}:{xff}:{points}:{rows}");
    }
    rrdtool.run(&command);
    let mut counters = vec![4_294_960_000u64; sources.len()];
    let mut at_s = start_s;
    for _ in 0..300 {
        at_s += match random.below(40) {
            0 if random.below(4) == 0 => 1 + random.below(300 * step_s.unsigned_abs()) as i64,
            1..10 => 1 + random.below(4 * step_s.unsigned_abs()) as i64,
            10..25 => step_s - at_s % step_s,
            _ => step_s,
        };
        let mut update = format!("update t.rrd {at_s}");
        for (kind, counter) in sources.iter().zip(&mut counters) {
            *counter += random.below(2_000);
            if *kind == "COUNTER" && *counter > u64::from(u32::MAX) {
                *counter -= 1 << 32;
            }
            let value = match (random.below(20), *kind) {
                (0, _) => "U".to_owned(),
                (_, "COUNTER" | "DERIVE" | "ABSOLUTE") => counter.to_string(),
                _ => format!("{}.{}", random.below(5_000), random.below(1_000)),
            };
            update += &format!(":{value}");
        }
        rrdtool.run(&update);
    }
    Case {
        sources,
        archives,
        step_s,
        last_s: at_s,
    }
}

fn slots(
    reader: &Reader,
    metric: &str,
    (from_s, until_s): (i64, i64),
    step_s: i64,
) -> BTreeMap<i64, Slot> {
    let matchers = [Matcher::equal("__name__", metric)];
    let selection = Selection {
        matchers: &matchers,
        from: Timestamp(from_s * 1000),
        until: Timestamp(until_s * 1000),
        step_ms: step_s * 1000,
        max_samples: usize::MAX,
        deadline: None,
    };
    let found = reader.slots(&selection).unwrap();
    let slots = found.into_iter().flat_map(|s| s.slots);
    slots.map(|s| (s.time.0 / 1000, s)).collect()
}

fn near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

/// What the store should say for a slot of which rrdtool says this: average, minimum, maximum, last.
fn joined(row: &BTreeMap<&str, f64>) -> Option<[f64; 4]> {
    let of = |cf: &str| row.get(cf).copied();
    let average = match of("AVERAGE") {
        Some(average) => Some(average),
        None => ["LAST", "MAX", "MIN"]
            .into_iter()
            .filter_map(of)
            .find(|v| !v.is_nan()),
    };
    let average = average.filter(|v| !v.is_nan())?;
    let or = |cf: &str| of(cf).filter(|v| !v.is_nan()).unwrap_or(average);
    Some([average, or("MIN"), or("MAX"), or("LAST")])
}

/// Compares all rows of all archives; how many were known.
fn compare(case: &Case, rrdtool: &mut Rrdtool, reader: &Reader) -> usize {
    let mut known = 0;
    let mut steps: Vec<i64> = case.archives.iter().map(|a| a.1).collect();
    steps.sort_unstable();
    steps.dedup();
    for points in steps {
        let step_s = points * case.step_s;
        let until_s = case.last_s / step_s * step_s;
        // The rows that all archives of the step have: beyond the shorter ones others stand in.
        let of_step = || case.archives.iter().filter(|a| a.1 == points);
        let rows = of_step().map(|a| a.2).min().unwrap();
        let range = (until_s - rows * step_s, until_s);
        let mut table: BTreeMap<(i64, usize), BTreeMap<&str, f64>> = BTreeMap::new();
        for (cf, ..) in of_step() {
            for (time, values) in rrdtool.fetch(cf, step_s, range) {
                for (i, value) in values.into_iter().enumerate() {
                    table.entry((time, i)).or_default().insert(cf, value);
                }
            }
        }
        assert_eq!(table.len(), rows as usize * case.sources.len());
        for i in 0..case.sources.len() {
            let found = slots(reader, &format!("ds{i}"), (range.0 + 1, range.1), step_s);
            for ((time, _), row) in table.iter().filter(|((_, at), _)| *at == i) {
                let slot = found.get(time);
                let got = slot.map(|s| [s.average(), s.min, s.max, s.last]);
                let want = joined(row);
                let same = match (got, want) {
                    (Some(got), Some(want)) => got.iter().zip(&want).all(|(a, b)| near(*a, *b)),
                    (got, want) => got.is_none() == want.is_none(),
                };
                assert!(
                    same,
                    "ds{i} of {step_s} s at {time}: {got:?}, rrdtool {want:?}"
                );
                known += usize::from(want.is_some());
            }
        }
    }
    known
}

#[test]
fn what_rrdtool_fetches_is_what_the_store_answers() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut rrdtool) = Rrdtool::start(dir.path()) else {
        return;
    };
    let mut random = Random(7);
    let mut known = [0, 0];
    for round in 0..40 {
        let _ = std::fs::remove_file(dir.path().join("t.rrd"));
        let case = make(&mut random, &mut rrdtool);
        for (form, known) in known.iter_mut().enumerate() {
            let bytes = if form == 0 {
                std::fs::read(dir.path().join("t.rrd")).unwrap()
            } else {
                rrdtool.run("dump t.rrd").concat().into_bytes()
            };
            let file = rrd::read(&bytes).unwrap();
            let names: Vec<Labels> = file
                .series
                .iter()
                .map(|s| Labels::metric(&s.name, &[]))
                .collect();
            let series: Vec<OldSeries<'_>> = file
                .series
                .iter()
                .zip(&names)
                .map(|(s, labels)| OldSeries {
                    rates: false,
                    labels,
                    help: "",
                    archives: &s.archives,
                    last_update_s: file.last_update_s,
                })
                .collect();
            let store = dir.path().join(format!("store-{round}-{form}"));
            let mut writer = Writer::open(&store, &Options::default(), NOW).unwrap();
            writer.import(&series, NOW).unwrap();
            *known += compare(&case, &mut rrdtool, &Reader::open(&store).unwrap());
            drop(writer);
            std::fs::remove_dir_all(store).unwrap();
        }
    }
    println!("{known:?} known slots compared");
    assert!(known[0] > 5_000 && known[0] == known[1], "{known:?}");
}

#[test]
fn readings_on_borders_consolidate_as_in_rrdtool() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut rrdtool) = Rrdtool::start(dir.path()) else {
        return;
    };
    let mut random = Random(11);
    let (step_s, readings) = (10, 4_000);
    let start_s = 1_600_000_000;
    let mut create =
        format!("create t.rrd -b {start_s} -s {step_s} DS:g:GAUGE:10:U:U DS:c:COUNTER:10:U:U");
    for cf in FUNCTIONS {
        for points in [1, 6, 60] {
            create += &format!(" RRA:{cf}:0.99:{points}:{readings}");
        }
    }
    rrdtool.run(&create);
    let archives = Archives::parse(&["10s for 2d", "1m for 7d", "10m for 90d"]).unwrap();
    let end = Timestamp((start_s + step_s * readings) * 1000);
    let mut writer =
        Writer::open(dir.path(), &Options::default(), Timestamp(start_s * 1000)).unwrap();
    let id = |name: &str, kind| {
        let def = SeriesDef {
            labels: Labels::metric(name, &[]),
            kind,
            help: "",
            step_ms: step_s * 1000,
        };
        writer.registry().intern_with(&def, &archives).unwrap()
    };
    let (gauge, counter) = (id("g", MetricKind::Gauge), id("c", MetricKind::Counter));
    let (mut total, mut wrapped_at) = (4_290_000_000u64, Vec::new());
    for n in 1..=readings {
        let time = Timestamp((start_s + n * step_s) * 1000);
        let value = random.below(100_000) as f64 / 100.0;
        total += random.below(20_000);
        if total > u64::from(u32::MAX) {
            total -= 1 << 32;
            wrapped_at.push(start_s + n * step_s);
        }
        let known = random.below(10) > 0;
        let shown = if known {
            value.to_string()
        } else {
            "U".to_owned()
        };
        rrdtool.run(&format!(
            "update t.rrd {}:{shown}:{total}",
            start_s + n * step_s
        ));
        let mut batch = Batch::default();
        if known {
            batch.samples.rows.push(SampleRow {
                series: gauge,
                time,
                reading: Reading::Gauge(value),
            });
        }
        batch.samples.rows.push(SampleRow {
            series: counter,
            time,
            reading: Reading::Counter(total),
        });
        writer.apply(batch);
        if n % 100 == 0 {
            writer.commit(time).unwrap();
        }
    }
    writer.commit(end).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let compared = compare_live(&mut rrdtool, &reader, (start_s, end.0 / 1000), &wrapped_at);
    assert!(
        compared > 30_000 && !wrapped_at.is_empty(),
        "{compared} {wrapped_at:?}"
    );
}

/// Compares what both made of the same readings; how many values.
fn compare_live(
    rrdtool: &mut Rrdtool,
    reader: &Reader,
    (start_s, end_s): (i64, i64),
    wrapped_at: &[i64],
) -> usize {
    let mut compared = 0;
    for points in [1, 6, 60] {
        let step_s = 10 * points;
        let until_s = end_s / step_s * step_s;
        // Whole slots after the first reading of the counter.
        let from_s = (start_s / step_s + 2) * step_s;
        for (at, metric) in ["g", "c"].into_iter().enumerate() {
            let found = slots(reader, metric, (from_s + 1, until_s), step_s);
            // A counter's slots hold what it grew; rrdtool's what it grew a second, one unit less at a wrap.
            let scale = if at == 0 { 1.0 } else { 10.0 };
            for (c, cf) in FUNCTIONS.iter().enumerate() {
                for (time, row) in rrdtool.fetch(cf, step_s, (from_s, until_s)) {
                    let slot = found.get(&time);
                    let got = slot.map(|s| [s.average(), s.min, s.max, s.last][c] / scale);
                    let wrapped = at == 1
                        && wrapped_at
                            .iter()
                            .any(|w| (time - step_s + 1..=time).contains(w));
                    let last_unknown = *cf == "LAST" && row[at].is_nan();
                    if wrapped {
                        let off = (got.unwrap() - row[at]).abs();
                        assert!(off < 0.11, "{cf} of {step_s} s at {time}: {got:?} {row:?}");
                    } else if !last_unknown {
                        let same = got.map_or(row[at].is_nan(), |got| near(got, row[at]));
                        assert!(
                            same,
                            "{metric} {cf} of {step_s} s at {time}: {got:?} {row:?}"
                        );
                        compared += 1;
                    }
                }
            }
        }
    }
    compared
}
