//! Figures stay within their budget: when pages turn out larger than expected, and through years of
//! series that come and go.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, MetricKind, Selection, SeriesSource};
use vigie_store::series::{Archives, Population, Retention};
use vigie_store::{
    Batch, Options, Reader, Reading, SampleBatch, SampleRow, SeriesDef, SeriesId, Synchronous,
    Writer,
};

const START_MS: i64 = 247_222 * 7_200_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

fn options(series_mib: u64, archives: &[&str]) -> Options {
    Options {
        budget_bytes: (series_mib + 48) << 20,
        series_bytes: series_mib << 20,
        retention: Retention {
            rules: vec![(
                "*".parse().expect("it is a pattern"),
                Archives::parse(archives).expect("they are archives"),
            )],
        },
        synchronous: Synchronous::Normal,
        ..Options::default()
    }
}

fn intern(writer: &Writer, name: &str, pod: usize, step_ms: i64) -> vigie_store::Result<SeriesId> {
    writer.registry().intern(&SeriesDef {
        labels: Labels::metric(name, &[("pod", &pod.to_string())]),
        kind: MetricKind::Gauge,
        help: "",
        step_ms,
    })
}

fn commit(writer: &mut Writer, rows: Vec<SampleRow>, now_ms: i64) {
    writer.apply(Batch {
        samples: SampleBatch { rows },
        ..Batch::default()
    });
    writer.commit(Timestamp(now_ms)).expect("the disk has room");
}

fn row(series: SeriesId, time_ms: i64, value: f64) -> SampleRow {
    SampleRow {
        series,
        time: Timestamp(time_ms),
        reading: Reading::Gauge(value),
    }
}

/// Neither the file nor its log is larger than the budget.
fn check_file(dir: &Path, options: &Options, when: &str) {
    let bytes = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |m| m.len());
    let file = bytes("vigie.db") + bytes("vigie.db-wal");
    assert!(file <= options.budget_bytes, "{file} bytes {when}");
}

fn check_figures(population: &Population, when: &str) {
    let Population {
        used_bytes,
        budget_bytes,
        ..
    } = population;
    assert!(
        used_bytes <= budget_bytes,
        "{used_bytes} of {budget_bytes} {when}"
    );
}

/// A number whose digits are all different, so that pages are as large as they can be.
fn noise(seed: usize, at: i64) -> f64 {
    let mut x = at.unsigned_abs() ^ (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ x >> 31) >> 12) as f64 / 1e9
}

#[test]
fn pages_larger_than_expected_lose_digits_and_not_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(3, &["1m for 1d", "10m for 10d", "2h for 60d"]);
    let mut writer = Writer::open(dir.path(), &options, Timestamp(START_MS)).unwrap();
    // As many as there is room for by what pages usually take; these take more than twice that.
    let mut ids = Vec::new();
    while let Ok(id) = intern(&writer, "noise", ids.len(), MINUTE_MS) {
        ids.push(id);
    }
    assert!(ids.len() >= 96, "{}", ids.len());
    for day in 0..12 {
        let mut rows = Vec::new();
        for minute in (0..24 * 60).step_by(6) {
            let time_ms = START_MS + day * DAY_MS + minute * MINUTE_MS;
            let readings = ids.iter().enumerate();
            rows.extend(readings.map(|(i, &id)| row(id, time_ms, noise(i, time_ms))));
            if minute % 240 == 234 {
                commit(&mut writer, std::mem::take(&mut rows), time_ms);
                check_figures(&writer.registry().population(), "while rings fill");
            }
        }
    }
    let population = writer.registry().population();
    assert!(population.shortened > 0, "{population:?}");
    check_file(dir.path(), &options, "at the end");
    let reader = Reader::open(dir.path()).unwrap();
    let report = reader.verify_series().unwrap();
    assert_eq!((report.damaged, report.miscounted_groups), (0, 0));
    // Fewer digits, but figures: the average of a flat distribution over a day.
    let end_ms = START_MS + 12 * DAY_MS;
    let found = reader.select(&Selection {
        matchers: &[Matcher::equal("pod", "7")],
        from: Timestamp(end_ms - 9 * DAY_MS),
        until: Timestamp(end_ms - 8 * DAY_MS),
        step_ms: 10 * MINUTE_MS,
        max_samples: usize::MAX,
        deadline: None,
    });
    let samples = &found.unwrap()[0].samples;
    let mean = samples.iter().map(|s| s.value).sum::<f64>() / samples.len() as f64;
    let whole = (1u64 << 51) as f64 / 1e9;
    assert!(
        (mean / whole - 1.0).abs() < 0.2,
        "{mean} of {whole}, {}",
        samples.len()
    );
    // What was counted is found again.
    drop(writer);
    let again = Writer::open(dir.path(), &options, Timestamp(end_ms)).unwrap();
    assert_eq!(
        again.registry().population().used_bytes,
        population.used_bytes
    );
}

#[test]
fn years_of_pods_leave_nothing_behind() {
    const STEP_MS: i64 = 30 * MINUTE_MS;
    const ALIVE: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let options = options(8, &["30m for 2d", "6h for 30d", "1d for 90d"]);
    let mut writer = Writer::open(dir.path(), &options, Timestamp(START_MS)).unwrap();
    let stays = intern(&writer, "stays", 0, STEP_MS).unwrap();
    let mut pods: Vec<Option<SeriesId>> = vec![None; ALIVE];
    let (mut next, mut series_max, mut rows) = (0, 0, Vec::new());
    let days = 365;
    for slot in 0..days * 48 {
        let time_ms = START_MS + slot * STEP_MS;
        // One of them ends every four hours, and another begins.
        if slot % 8 == 0 {
            pods[next % ALIVE] = intern(&writer, "pod", next, STEP_MS).ok();
            next += 1;
        }
        rows.push(row(stays, time_ms, slot as f64));
        rows.extend(
            pods.iter()
                .flatten()
                .map(|&id| row(id, time_ms, (slot % 97) as f64)),
        );
        if slot % 24 == 23 {
            commit(&mut writer, std::mem::take(&mut rows), time_ms);
            let population = writer.registry().population();
            series_max = series_max.max(population.series);
            check_figures(&population, "between pods");
            if slot % 480 == 479 {
                check_file(dir.path(), &options, "between pods");
            }
        }
    }
    let population = writer.registry().population();
    // Six a day stay known for the ninety days that their archives reach back (some more, by whole pages).
    assert_eq!(population.refused, 0, "{population:?}");
    assert!((6 * 90..6 * 200).contains(&series_max), "{series_max}");
    assert!(population.series <= series_max);
    let reader = Reader::open(dir.path()).unwrap();
    let report = reader.verify_series().unwrap();
    assert_eq!((report.damaged, report.miscounted_groups), (0, 0));

    // All end but one; their archives run out, and what they took is free again.
    for day in 0..400 {
        let time_ms = START_MS + (days + day) * DAY_MS;
        commit(&mut writer, vec![row(stays, time_ms, 1.0)], time_ms);
    }
    let left = writer.registry().population();
    assert_eq!(left.series, 1);
    assert!(
        left.used_bytes * 10 < population.used_bytes,
        "{} {}",
        left.used_bytes,
        population.used_bytes
    );
    let pages = reader.verify_series().unwrap();
    assert!(pages.pages * 8 < report.pages && pages.miscounted_groups == 0);
}

/// Selections that follow one another without a pause would keep SQLite from beginning its log anew.
#[test]
fn readers_without_a_pause_neither_disturb_the_writer_nor_let_the_log_grow() {
    const READERS: usize = 3;
    let dir = tempfile::tempdir().unwrap();
    let options = options(16, &["10s for 2h", "1m for 1d"]);
    let mut writer = Writer::open(dir.path(), &options, Timestamp(START_MS)).unwrap();
    let ids: Vec<SeriesId> = (0..96)
        .map(|pod| intern(&writer, "busy", pod, 10_000).unwrap())
        .collect();
    let written = AtomicI64::new(START_MS);
    let end_ms = START_MS + 12 * HOUR_MS;
    let log = std::thread::scope(|threads| {
        for _ in 0..READERS {
            threads.spawn(|| {
                let reader = Reader::open(dir.path()).unwrap();
                let mut seen_ms = 0;
                loop {
                    let until_ms = written.load(Ordering::Acquire);
                    let found = reader
                        .select(&Selection {
                            matchers: &[Matcher::equal("pod", "5")],
                            from: Timestamp(until_ms - HOUR_MS),
                            until: Timestamp(i64::MAX),
                            step_ms: 0,
                            max_samples: usize::MAX,
                            deadline: None,
                        })
                        .unwrap();
                    let samples = found.first().map_or(&[][..], |s| s.samples.as_slice());
                    let last_ms = samples.last().map_or(0, |s| s.time.0);
                    // What was committed is there, and nothing goes back.
                    assert!(last_ms >= seen_ms && (until_ms == START_MS || last_ms >= until_ms));
                    assert!(samples.windows(2).all(|w| w[1].value == w[0].value + 1.0));
                    seen_ms = last_ms;
                    if until_ms >= end_ms {
                        break;
                    }
                }
            });
        }
        let mut log = 0;
        for slot in 1..=12 * 360 {
            let time_ms = START_MS + slot * 10_000;
            commit(
                &mut writer,
                ids.iter()
                    .map(|&id| row(id, time_ms, slot as f64))
                    .collect(),
                time_ms,
            );
            written.store(time_ms, Ordering::Release);
            log = log.max(
                std::fs::metadata(dir.path().join("vigie.db-wal"))
                    .unwrap()
                    .len(),
            );
        }
        log
    });
    // Its usual size is a sixth of 64 MiB; what begins it anew is only tried above twice that.
    assert!((8 << 20..32 << 20).contains(&log), "{log} bytes of log");
}
