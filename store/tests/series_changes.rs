//! Other archives, other names, deletion: while readers read, with the writer in this or another process.

use std::sync::Arc;

use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, MetricKind, Selection, SeriesSource};
use vigie_store::series::{Archives, Pattern, Retention};
use vigie_store::{
    Batch, Error, Options, Reader, Reading, Request, SampleRow, SeriesDef, SeriesId, Synchronous,
    Writer, request, spawn,
};

/// On a border of every archive.
const START_MS: i64 = 247_222 * 7_200_000;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

fn options(archives: &[&str]) -> Options {
    let archives = Archives::parse(archives).expect("archives that may be");
    let rule = ("*".parse().expect("it means all"), archives);
    Options {
        synchronous: Synchronous::Normal,
        retention: Retention { rules: vec![rule] },
        ..Options::default()
    }
}

fn intern(writer: &Writer, name: &str, kind: MetricKind) -> SeriesId {
    let def = SeriesDef {
        labels: Labels::metric(name, &[("host", "a")]),
        kind,
        help: "A figure.",
        step_ms: 1000,
    };
    writer.registry().intern(&def).expect("there is room")
}

/// A reading of each kind every ten seconds, committed each minute.
fn feed(writer: &mut Writer, (gauge, counter): (SeriesId, SeriesId), from_ms: i64, until_ms: i64) {
    for time_ms in (from_ms..=until_ms).step_by(10_000) {
        let since = (time_ms - START_MS) / 1000;
        let mut batch = Batch::default();
        for (series, reading) in [
            (gauge, Reading::Gauge(since as f64)),
            (counter, Reading::Counter(since.unsigned_abs())),
        ] {
            let time = Timestamp(time_ms);
            batch.samples.rows.push(SampleRow {
                series,
                time,
                reading,
            });
        }
        writer.apply(batch);
        if time_ms % 60_000 == 0 {
            writer.commit(Timestamp(time_ms)).expect("the disk is well");
        }
    }
}

fn values(
    reader: &Reader,
    name: &str,
    (from_ms, until_ms): (i64, i64),
    step_ms: i64,
) -> Vec<(i64, f64)> {
    let matchers = [Matcher::equal("__name__", name)];
    let selection = Selection {
        matchers: &matchers,
        from: Timestamp(from_ms),
        until: Timestamp(until_ms),
        step_ms,
        max_samples: 1_000_000,
        deadline: None,
    };
    let found = reader.select(&selection).expect("the store can be read");
    assert!(found.len() <= 1, "one series, in one piece");
    let samples = found.into_iter().flat_map(|s| s.samples);
    samples.map(|s| (s.time.0, s.value)).collect()
}

#[test]
fn other_archives_take_over_without_a_seam() {
    let dir = tempfile::tempdir().unwrap();
    let first = options(&["10s for 6h", "1m for 14d"]);
    let mut writer = Writer::open(dir.path(), &first, Timestamp(START_MS)).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let ids = |w: &Writer| {
        (
            intern(w, "g", MetricKind::Gauge),
            intern(w, "c_total", MetricKind::Counter),
        )
    };
    let both = ids(&writer);
    feed(&mut writer, both, START_MS, START_MS + 2 * HOUR_MS);
    assert!(!values(&reader, "g", (START_MS, START_MS + HOUR_MS), 0).is_empty());
    drop(writer);

    let second = options(&["20s for 3h", "10m for 30d", "1h for 2y"]);
    let mut writer = Writer::open(dir.path(), &second, Timestamp(START_MS)).unwrap();
    assert_eq!(ids(&writer), both, "the same series");
    let end = START_MS + 5 * HOUR_MS;
    feed(&mut writer, both, START_MS + 2 * HOUR_MS + 10_000, end);
    writer.commit(Timestamp(end)).unwrap();
    for reader in [&reader, &Reader::open(dir.path()).unwrap()] {
        for step_ms in [0, 20_000, 60_000, 600_000] {
            for pair in values(reader, "c_total", (START_MS + 60_000, end), step_ms).windows(2) {
                assert!(pair[0].0 < pair[1].0);
                assert_eq!(
                    pair[1].1,
                    ((pair[1].0 - START_MS) / 1000) as f64,
                    "at {step_ms}"
                );
                assert!(
                    pair[1].0 - pair[0].0 <= step_ms.max(60_000),
                    "no hole at {step_ms}"
                );
            }
        }
        let around = values(
            reader,
            "g",
            (
                START_MS + 2 * HOUR_MS - 60_000,
                START_MS + 2 * HOUR_MS + 60_000,
            ),
            0,
        );
        assert_eq!(
            around.len(),
            7 + 3,
            "ten seconds before, twenty after: {around:?}"
        );
    }
    assert_eq!(reader.verify_series().unwrap().damaged, 0);

    // The old archives have run out: nothing is left of them.
    let pages = |reader: &Reader| reader.verify_series().unwrap().pages;
    let later = end + 15 * DAY_MS;
    let before = pages(&reader);
    feed(&mut writer, both, later, later + 60_000);
    writer.commit(Timestamp(later + DAY_MS)).unwrap();
    assert!(pages(&reader) < before, "{} of {before}", pages(&reader));
    assert!(values(&reader, "g", (START_MS, START_MS + HOUR_MS), 0).is_empty());
    let reserved = writer.registry().population().reserved_bytes;
    let each = Archives::parse(&["20s for 3h", "10m for 30d", "1h for 2y"])
        .unwrap()
        .bytes_max();
    assert!(reserved <= 49 * each, "one group is left, not two");
}

#[test]
fn series_are_renamed_and_deleted_while_the_writer_runs() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(&["1s for 6h", "1m for 14d"]);
    let mut writer = Writer::open(dir.path(), &options, Timestamp(START_MS)).unwrap();
    let both = (
        intern(&writer, "g", MetricKind::Gauge),
        intern(&writer, "c_total", MetricKind::Counter),
    );
    let end = START_MS + HOUR_MS;
    feed(&mut writer, both, START_MS, end);
    let reader = Reader::open(dir.path()).unwrap();
    let range = (START_MS, end);
    let was = values(&reader, "g", range, 0);
    assert_eq!(was.len(), 361);
    let (handle, thread) = spawn(writer, Arc::new(move || Timestamp(end)));
    let ask = |asked: Request| request(dir.path(), &options, &asked, Timestamp(end));
    let pattern = |text: &str| text.parse::<Pattern>().unwrap();
    let rename = |from: &str, to: &str| Request::RenameSeries(pattern(from), to.parse().unwrap());

    assert_eq!(ask(rename("g", "load{host=\"b\",rack=\"7\"}")).unwrap(), 1);
    assert!(values(&reader, "g", range, 0).is_empty());
    assert_eq!(values(&reader, "load", range, 0), was);
    let refused = ask(rename("*", "one{host=\"x\",rack=\"\"}")).unwrap_err();
    assert!(matches!(&refused, Error::Limit(why) if why.contains("two series would be called")));
    assert_eq!(
        ask(Request::DeleteSeries(pattern("c_*{host=\"a\"}"))).unwrap(),
        1
    );
    assert!(values(&reader, "c_total", range, 0).is_empty());
    assert_eq!(ask(Request::DeleteSeries(pattern("c_*"))).unwrap(), 0);
    handle.close();
    thread.join().unwrap();

    // And without a daemon.
    assert_eq!(ask(rename("load", "g{host=\"a\",rack=\"\"}")).unwrap(), 1);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(values(&reader, "g", range, 0), was);
    assert_eq!(
        reader
            .metadata()
            .unwrap()
            .iter()
            .filter(|m| m.help == "A figure.")
            .count(),
        3
    );
    assert_eq!(ask(Request::DeleteSeries(pattern("*"))).unwrap(), 1);
    let report = reader.verify_series().unwrap();
    assert_eq!((report.pages, report.damaged), (0, 0), "nothing is left");

    // A lane that was another's knows nothing of it.
    let mut writer = Writer::open(dir.path(), &options, Timestamp(end)).unwrap();
    let both = (
        intern(&writer, "g", MetricKind::Gauge),
        intern(&writer, "c_total", MetricKind::Counter),
    );
    feed(&mut writer, both, end, end + 60_000);
    assert_eq!(values(&reader, "g", (START_MS, end + 60_000), 0).len(), 7);
}

#[test]
fn the_shortest_ring_takes_what_is_an_hour_late() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(&["1s for 1m", "1m for 14d"]);
    let mut writer = Writer::open(dir.path(), &options, Timestamp(START_MS)).unwrap();
    let gauge = intern(&writer, "g", MetricKind::Gauge);
    let reader = Reader::open(dir.path()).unwrap();
    let end = START_MS + 3 * HOUR_MS;
    let mut read = |now_ms: i64, time_ms: i64| {
        let mut batch = Batch::default();
        batch.samples.rows.push(SampleRow {
            series: gauge,
            time: Timestamp(time_ms),
            reading: Reading::Gauge(7.0),
        });
        writer.apply(batch);
        writer.commit(Timestamp(now_ms)).unwrap();
        writer.series_counts()
    };
    for now_ms in (START_MS..=end).step_by(60_000) {
        read(now_ms, now_ms);
    }
    let late = end - HOUR_MS + 500;
    read(end, late);
    // The same once more changes nothing.
    let counts = read(end + 61_000, late);
    let counts = (
        counts.too_old,
        read(end + 130_000, end - 20 * 24 * HOUR_MS).too_old,
    );
    assert_eq!(counts, (0, 1), "refused with its reason");
    let around = (late - 400, late + 600);
    assert_eq!(values(&reader, "g", around, 0), [(late + 500, 7.0)]);
    let minutes = values(&reader, "g", (late - 60_000, late + 60_000), 60_000);
    assert!(minutes.iter().all(|(_, v)| *v == 7.0) && minutes.len() >= 2);
}
