//! Figures through the store's own doors: writer, readers, restarts, budgets, damage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, MetricKind, Selection, SeriesSource, SourceError, promql};
use vigie_store::series::Archives;
use vigie_store::{
    Batch, Error, Options, Reader, Reading, Registry, SampleRow, SeriesDef, SeriesId, Synchronous,
    Writer,
};

/// On a border of every archive.
const START_MS: i64 = 247_222 * 7_200_000;
const DAY_MS: i64 = 86_400_000;

fn options() -> Options {
    Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    }
}

fn def(name: &str, kind: MetricKind, step_ms: i64) -> SeriesDef {
    SeriesDef {
        labels: Labels::metric(name, &[("host", "a")]),
        kind,
        help: "A figure.",
        step_ms,
    }
}

fn batch(rows: &[(SeriesId, i64, Reading)]) -> Batch {
    let mut batch = Batch::default();
    let row = |&(series, time, reading)| SampleRow {
        series,
        time: Timestamp(time),
        reading,
    };
    batch.samples.rows.extend(rows.iter().map(row));
    batch
}

fn values(
    reader: &Reader,
    name: &str,
    from_ms: i64,
    until_ms: i64,
    step_ms: i64,
) -> Vec<(i64, f64)> {
    let matchers = [Matcher::equal("__name__", name)];
    let found = reader
        .select(&selection(&matchers, from_ms, until_ms, step_ms))
        .expect("the store can be read");
    let samples = found.into_iter().flat_map(|s| s.samples);
    samples.map(|s| (s.time.0, s.value)).collect()
}

fn selection(matchers: &[Matcher], from_ms: i64, until_ms: i64, step_ms: i64) -> Selection<'_> {
    Selection {
        matchers,
        from: Timestamp(from_ms),
        until: Timestamp(until_ms),
        step_ms,
        max_samples: 1_000_000,
        deadline: None,
    }
}

#[test]
fn what_is_committed_is_seen_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS)).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let gauge = writer
        .registry()
        .intern(&def("load", MetricKind::Gauge, 1000))
        .unwrap();
    let octets = writer
        .registry()
        .intern(&def("octets_total", MetricKind::Counter, 1000))
        .unwrap();
    for i in 0..10 {
        let time = START_MS + i * 1000;
        let rows = [
            (gauge, time, Reading::Gauge(0.25 * i as f64)),
            (
                octets,
                time,
                Reading::Counter(1_000_000 + 500 * i.unsigned_abs()),
            ),
        ];
        writer.apply(batch(&rows));
        writer.commit(Timestamp(time)).unwrap();
        let seen = values(&reader, "load", START_MS, time, 0);
        assert_eq!(seen.last(), Some(&(time, 0.25 * i as f64)));
    }
    let end = START_MS + 9000;
    let want: Vec<_> = (1..10)
        .map(|i| (START_MS + i * 1000, (1_000_000 + 500 * i) as f64))
        .collect();
    assert_eq!(values(&reader, "octets_total", START_MS, end, 0), want);
    drop(writer);
    assert_eq!(
        values(&reader, "octets_total", START_MS, end, 0),
        want,
        "with no writer"
    );

    let mut writer = Writer::open(dir.path(), &options(), Timestamp(end)).unwrap();
    assert_eq!(
        writer
            .registry()
            .intern(&def("octets_total", MetricKind::Counter, 1000))
            .unwrap(),
        octets
    );
    // A short restart leaves no gap.
    writer.apply(batch(&[(octets, end + 4000, Reading::Counter(1_006_500))]));
    writer.commit(Timestamp(end + 4000)).unwrap();
    for reader in [
        &reader,
        &reader.another().unwrap(),
        &Reader::open(dir.path()).unwrap(),
    ] {
        let seen = values(reader, "octets_total", end + 1000, end + 4000, 0);
        let want = [500, 1000, 1500, 2000].map(|d| (end + 2 * d, (1_004_500 + d) as f64));
        assert_eq!(seen, want);
    }
    let metadata = reader.metadata().unwrap();
    assert_eq!(
        metadata.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
        ["load", "octets_total"]
    );
    assert_eq!(metadata[1].kind, MetricKind::Counter);
}

#[test]
fn a_live_slot_ends_with_its_last_reading() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS)).unwrap();
    let id = writer
        .registry()
        .intern(&def("load", MetricKind::Gauge, 10_000))
        .unwrap();
    writer.apply(batch(&[(id, START_MS + 3210, Reading::Gauge(7.0))]));
    writer.commit(Timestamp(START_MS + 3300)).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(
        values(&reader, "load", START_MS, START_MS + 3300, 0),
        [(START_MS + 3210, 7.0)]
    );
    let matchers = [Matcher::equal("host", "a")];
    let lived = |from, until| {
        reader
            .series(&matchers, Timestamp(from), Timestamp(until))
            .unwrap()
            .len()
    };
    assert_eq!(lived(START_MS, START_MS + 5000), 1);
    assert_eq!(lived(START_MS - 5000, START_MS), 0);
}

#[test]
fn refused_readings_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS)).unwrap();
    let gauge = writer
        .registry()
        .intern(&def("g", MetricKind::Gauge, 1000))
        .unwrap();
    let counter = writer
        .registry()
        .intern(&def("c_total", MetricKind::Counter, 1000))
        .unwrap();
    let t = START_MS;
    writer.apply(batch(&[
        (gauge, t, Reading::Gauge(f64::NAN)),
        (gauge, t, Reading::Gauge(f64::INFINITY)),
        (counter, t, Reading::Increase(-1.0)),
        (gauge, t + DAY_MS, Reading::Gauge(1.0)),
        (gauge, t - 1000 * DAY_MS, Reading::Gauge(1.0)),
        (gauge, i64::MIN, Reading::Gauge(1.0)),
        (gauge, i64::MAX, Reading::Gauge(1.0)),
        (gauge, t, Reading::Counter(1)),
        (SeriesId(99), t, Reading::Gauge(1.0)),
        (counter, t, Reading::Counter(5)),
        (counter, t, Reading::Counter(5)),
        (counter, t - 1000, Reading::Counter(4)),
    ]));
    writer.commit(Timestamp(t)).unwrap();
    // The older counter reading came first once sorted: one batch is in time order.
    writer.apply(batch(&[
        (counter, t - 2000, Reading::Counter(4)),
        (gauge, t, Reading::Gauge(3.0)),
    ]));
    writer.commit(Timestamp(t)).unwrap();
    writer.apply(batch(&[(gauge, t, Reading::Gauge(3.0))]));
    writer.commit(Timestamp(t)).unwrap();
    let counts = writer.series_counts();
    assert_eq!(
        (
            counts.not_finite,
            counts.future,
            counts.too_old,
            counts.misfit
        ),
        (3, 2, 2, 2)
    );
    assert_eq!(
        (counts.duplicate, counts.out_of_order, counts.taken),
        (2, 1, 3)
    );
}

#[test]
fn more_series_than_the_budget_holds_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        series_bytes: 32 << 20,
        series_max: 200,
        ..options()
    };
    let writer = Writer::open(dir.path(), &options, Timestamp(0)).unwrap();
    let intern = |name: &str, i: usize| {
        let labels = Labels::metric(name, &[("i", &i.to_string())]);
        let def = SeriesDef {
            labels,
            kind: MetricKind::Gauge,
            help: "",
            step_ms: 10_000,
        };
        writer.registry().intern(&def)
    };
    for i in 0..50 {
        intern("fine", i).unwrap();
    }
    for i in 0..100 {
        if let Err(e) = intern("bomb", i) {
            assert!(matches!(e, Error::Limit(_)), "{e}");
        }
    }
    let population = writer.registry().population();
    assert_eq!(population.series, 96, "two groups");
    assert!(population.reserved_bytes <= 32 << 20);
    assert_eq!(
        (
            population.refused,
            population.worst.map(|w| (w.metric, w.refused))
        ),
        (54, Some(("bomb".to_owned(), 54)))
    );
}

#[test]
fn queries_have_limits() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS)).unwrap();
    let id = writer
        .registry()
        .intern(&def("g", MetricKind::Gauge, 1000))
        .unwrap();
    for i in 0..1000 {
        writer.apply(batch(&[(
            id,
            START_MS + i * 1000,
            Reading::Gauge(i as f64),
        )]));
    }
    writer.commit(Timestamp(START_MS + 1_000_000)).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let matchers = [Matcher::equal("__name__", "g")];
    let ask = |max_samples, deadline| {
        let all = selection(&matchers, i64::MIN, i64::MAX, 0);
        reader.select(&Selection {
            max_samples,
            deadline,
            ..all
        })
    };
    assert_eq!(ask(1000, None).unwrap()[0].samples.len(), 1000);
    assert!(matches!(ask(999, None), Err(SourceError::Limit(_))));
    assert!(matches!(
        ask(1000, Some(Instant::now())),
        Err(SourceError::Stopped(_))
    ));
}

#[test]
fn thirty_days_are_filled_in_bulk_and_go_on_live() {
    let dir = tempfile::tempdir().unwrap();
    let until = START_MS + 30 * DAY_MS;
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(until)).unwrap();
    let gauge = writer
        .registry()
        .intern(&def("g", MetricKind::Gauge, 1000))
        .unwrap();
    let counter = writer
        .registry()
        .intern(&def("c_total", MetricKind::Counter, 1000))
        .unwrap();
    let reading = |i: i64| (i % 1440) as f64;
    let rows = (0..=30 * 1440i64).flat_map(|i| {
        let time = Timestamp(START_MS + i * 60_000);
        [
            SampleRow {
                series: gauge,
                time,
                reading: Reading::Gauge(reading(i)),
            },
            SampleRow {
                series: counter,
                time,
                reading: Reading::Counter(100 + 60 * i.unsigned_abs()),
            },
        ]
    });
    assert_eq!(
        writer.backfill(rows, 60_000, Timestamp(until)).unwrap(),
        2 * (30 * 1440 + 1)
    );
    for i in 1..=600 {
        let time = until + i * 1000;
        let total = 100 + 60 * 30 * 1440 + i.unsigned_abs();
        writer.apply(batch(&[
            (gauge, time, Reading::Gauge(1.0)),
            (counter, time, Reading::Counter(total)),
        ]));
        writer.commit(Timestamp(time)).unwrap();
    }
    let reader = Reader::open(dir.path()).unwrap();
    let end = until + 600_000;
    for step_ms in [0, 10_000, 60_000, 600_000, 7_200_000] {
        for back_ms in [3_600_000, DAY_MS, 10 * DAY_MS] {
            let seen = values(&reader, "c_total", end - back_ms, end, step_ms);
            for &(time, value) in &seen {
                let want = if time <= until {
                    100 + (time - START_MS) / 1000
                } else {
                    100 + 60 * 30 * 1440 + (time - until) / 1000
                };
                assert_eq!(value, want as f64, "{step_ms} {back_ms} {}", end - time);
            }
            assert!(
                seen.windows(2).all(|p| p[1].0 - p[0].0 <= 7_200_000),
                "no hole"
            );
        }
    }
    let minutes = values(&reader, "g", until - DAY_MS, until, 60_000);
    assert_eq!(minutes.len(), 1441);
    assert!(
        minutes
            .iter()
            .all(|&(t, v)| v == reading((t - START_MS) / 60_000))
    );
    assert_eq!(reader.verify_series().unwrap().damaged, 0);
}

/// One expression over a range, as (time, value).
fn evaluated(reader: &Reader, expr: &str, from_ms: i64, until_ms: i64) -> Vec<(i64, f64)> {
    let expr = promql::parse(expr).expect("it is PromQL");
    let (from, until) = (Timestamp(from_ms), Timestamp(until_ms));
    let params = promql::Params::default();
    let answer =
        promql::range(reader, &expr, from, until, STEP_MS, &params).expect("it can be answered");
    let promql::Value::Matrix(series) = answer.value else {
        panic!("a range query answers with a matrix");
    };
    let samples = series.into_iter().flat_map(|s| s.samples);
    samples.map(|s| (s.time.0, s.value)).collect()
}

/// Between two points of a picture of a hundred days, and on no border of a slot.
const STEP_MS: i64 = 3_541_000;

#[test]
fn short_windows_over_old_figures_are_lines() {
    const DAYS: i64 = 110;
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS)).unwrap();
    let intern = |name, kind| writer.registry().intern(&def(name, kind, 60_000)).unwrap();
    let load = intern("load", MetricKind::Gauge);
    let octets = intern("octets_total", MetricKind::Counter);
    let ended = intern("ended", MetricKind::Gauge);
    let end = START_MS + DAYS * DAY_MS;
    let spike = START_MS + 5 * DAY_MS + 36_000_000;
    let silent = START_MS + 20 * DAY_MS..START_MS + 21 * DAY_MS;
    let last_breath = START_MS + 3 * DAY_MS + 1_800_000;
    let mut at = START_MS;
    while at <= end {
        let mut rows = Vec::new();
        for time in (at..at + DAY_MS).step_by(60_000) {
            let i = (time - START_MS) / 60_000;
            let value = if time == spike { 1e6 } else { (i % 7) as f64 };
            if !silent.contains(&time) {
                rows.push((load, time, Reading::Gauge(value)));
            }
            if time <= last_breath {
                rows.push((ended, time, Reading::Gauge(1.0)));
            }
            rows.push((
                octets,
                time,
                Reading::Counter(7_000 + 120 * i.unsigned_abs()),
            ));
        }
        at += DAY_MS;
        writer.apply(batch(&rows));
        writer.commit(Timestamp(at)).unwrap();
    }
    let reader = Reader::open(dir.path()).unwrap();
    // Some way into the history, so that every window has something before it.
    let from = START_MS + 2 * DAY_MS;
    let steps = usize::try_from((end - from) / STEP_MS).unwrap() + 1;
    for (expr, expected) in [
        ("rate(octets_total[5m])", 2.0),
        ("increase(octets_total[5m])", 600.0),
        ("irate(octets_total[5m])", 2.0),
        ("deriv(octets_total[5m])", 2.0),
        ("increase(octets_total[5m] anchored)", 600.0),
        ("count_over_time(octets_total[1d])", 1440.0),
        ("sum_over_time((octets_total > bool 0)[10m:1m])", 10.0),
        ("changes(octets_total[3d]) > bool 0", 1.0),
    ] {
        let found = evaluated(&reader, expr, from, end);
        assert_eq!(found.len(), steps, "{expr}");
        let far = found
            .iter()
            .find(|(_, v)| (v - expected).abs() > 1e-3 * expected);
        // Windows that hold whole slots of two archives count one slot more or less.
        let loose = expr.starts_with("count_over_time");
        let far = far.filter(|(_, v)| !loose || (v - expected).abs() > 120.0);
        assert_eq!(far, None, "{expr}");
    }
    let shown = evaluated(&reader, "load", from, end);
    let (gap, kept): (Vec<_>, Vec<_>) = (from..=end)
        .step_by(usize::try_from(STEP_MS).unwrap())
        .partition(|t| silent.contains(&(t - 7_200_000)) && silent.contains(t));
    assert!(
        kept.len() - shown.len() <= 3,
        "the silent day alone is missing"
    );
    assert!(gap.iter().all(|t| shown.iter().all(|(s, _)| s != t)));
    let seen = |expr: &str, from, until| {
        let found = evaluated(&reader, expr, from, until);
        found.iter().map(|(_, v)| *v).fold(f64::NAN, f64::max)
    };
    let around = (spike - DAY_MS, spike + DAY_MS);
    assert_eq!(seen("max_over_time(load[3h])", around.0, around.1), 1e6);
    assert!(seen("avg_over_time(load[3h])", around.0, around.1) < 1e5);
    let after = last_breath + 300_000;
    let found = evaluated(&reader, "ended", after, after + DAY_MS);
    assert_eq!(found, [], "what has ended is not stretched");
    assert_ne!(evaluated(&reader, "ended", after - DAY_MS, last_breath), []);
}

#[test]
fn a_damaged_page_costs_its_chunk_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS)).unwrap();
    let id = writer
        .registry()
        .intern(&def("g", MetricKind::Gauge, 1000))
        .unwrap();
    for i in 0..1200 {
        writer.apply(batch(&[(
            id,
            START_MS + i * 1000,
            Reading::Gauge(i as f64),
        )]));
        writer.commit(Timestamp(START_MS + i * 1000)).unwrap();
    }
    let end = START_MS + 1_199_000;
    drop(writer);
    let file = dir.path().join("vigie.db");
    let damage = rusqlite::Connection::open(&file).unwrap();
    let changed = damage
        .execute(
            "UPDATE ts_page SET data = cast(substr(data, 1, 30) || x'55' || substr(data, 32) AS BLOB)
             WHERE id = (SELECT min(id) FROM ts_page)",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    let reader = Reader::open(dir.path()).unwrap();
    let report = reader.verify_series().unwrap();
    assert_eq!((report.damaged, report.damage[0].step_ms), (1, Some(1000)));
    assert!(report.pages > 5);
    let seen = values(&reader, "g", START_MS, end, 0).len();
    assert!(
        (1080..1200).contains(&seen),
        "{seen} of 1200: one chunk of 120 at most"
    );
    // Struck out it is no damage any more, and costs no more than before.
    let writer = Writer::open(dir.path(), &options(), Timestamp(end)).unwrap();
    let repair = writer.repair_series(Timestamp(end)).unwrap();
    assert_eq!(repair.pages, 1);
    let report = reader.verify_series().unwrap();
    assert_eq!((report.damaged, report.miscounted_groups), (0, 0));
    assert_eq!(values(&reader, "g", START_MS, end, 0).len(), seen);
    let writer = Writer::open(dir.path(), &options(), Timestamp(end)).unwrap();
    assert!(writer.registry().population().used_bytes > 0);
    drop(writer);
    assert_eq!(reader.verify_series().unwrap().miscounted_groups, 0);
}

#[test]
fn books_that_are_wrong_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &options(), Timestamp(START_MS)).unwrap();
    let id = writer
        .registry()
        .intern(&def("g", MetricKind::Gauge, 1000))
        .unwrap();
    for i in 0..600 {
        writer.apply(batch(&[(
            id,
            START_MS + i * 1000,
            Reading::Gauge(i as f64),
        )]));
        writer.commit(Timestamp(START_MS + i * 1000)).unwrap();
    }
    drop(writer);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.verify_series().unwrap().miscounted_groups, 0);
    let file = rusqlite::Connection::open(dir.path().join("vigie.db")).unwrap();
    for other in ["cast(held || x'07' AS BLOB)", "x'00'"] {
        file.execute(&format!("UPDATE ts_use SET held = {other}"), [])
            .unwrap();
        assert_eq!(
            reader.verify_series().unwrap().miscounted_groups,
            1,
            "{other}"
        );
    }
    drop(file);
    let now = Timestamp(START_MS + 600_000);
    let writer = Writer::open(dir.path(), &options(), now).unwrap();
    assert_eq!(writer.repair_series(now).unwrap().groups, 1);
    assert_eq!(reader.verify_series().unwrap().miscounted_groups, 0);
    let writer = Writer::open(dir.path(), &options(), now).unwrap();
    assert!(writer.registry().population().used_bytes > 10_000);
}

#[test]
fn series_are_announced_and_deleted_while_the_writer_commits() {
    const NAMES: i64 = 300;
    const SENDERS: i64 = 4;
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        series_bytes: 64 << 30,
        budget_bytes: 64 << 30,
        ..options()
    };
    let mut writer = Writer::open(dir.path(), &options, Timestamp(START_MS)).unwrap();
    // Each announcement has archives of its own, so that groups begin, and begin anew, at all moments
    // of a commit; of another step than the one before of that name.
    let announce = |registry: &Registry, sender: i64, i: i64| {
        let name = format!("figure_{sender}_{}", i % NAMES);
        let step_ms = 1000 + (sender * NAMES + i * 7) % 1000;
        let archives = Archives::parse(&[format!("{step_ms}ms for 2h").as_str()]).unwrap();
        let def = def(&name, MetricKind::Gauge, step_ms);
        (name, registry.intern_with(&def, &archives).unwrap())
    };
    let ended = Arc::new(AtomicBool::new(false));
    let senders = (0..SENDERS).map(|sender| {
        let (registry, ended) = (writer.registry().clone(), Arc::clone(&ended));
        std::thread::spawn(move || {
            let until = (0..).take_while(|_| !ended.load(Ordering::Relaxed));
            until.for_each(|i| drop(announce(&registry, sender, i)));
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut now = START_MS;
    for round in 0..60 {
        now += 1000;
        writer.commit(Timestamp(now)).unwrap();
        if round % 3 == 2 {
            let some = format!("figure_{}_*{}", round % SENDERS, round % 10);
            writer
                .delete_series(&some.parse().unwrap(), Timestamp(now))
                .unwrap();
        }
    }
    ended.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().unwrap();
    }
    let mut names = Vec::new();
    let mut rows = Vec::new();
    now += 1000;
    for (sender, i) in (0..SENDERS).flat_map(|s| (0..NAMES).map(move |i| (s, i))) {
        let (name, id) = announce(writer.registry(), sender, i);
        rows.push((id, now, Reading::Gauge(i as f64)));
        names.push((name, i as f64));
    }
    writer.apply(batch(&rows));
    writer.commit(Timestamp(now)).unwrap();
    assert_eq!(writer.series_counts().taken, rows.len() as u64);
    let reader = Reader::open(dir.path()).unwrap();
    let report = reader.verify_series().unwrap();
    assert_eq!((report.damaged, report.broken_groups), (0, 0));
    for (name, value) in names {
        assert_eq!(
            values(&reader, &name, START_MS, now, 0),
            [(now, value)],
            "{name}"
        );
    }
}
