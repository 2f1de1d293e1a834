//! Old figures come back as they went in, whatever their steps, and go on as live ones.

use proptest::prelude::*;
use vigie_parsers::Timestamp;
use vigie_parsers::archives::Archive;
use vigie_query::{Labels, Matcher, MetricKind, Selection, SeriesSource as _};

use super::{OldSeries, Taken};
use crate::series::Slot;
use crate::{Batch, Options, Reader, Reading, SampleBatch, SampleRow, SeriesDef, SeriesId, Writer};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn labels() -> Labels {
    Labels::metric("traffic", &[("port", "1")])
}

fn series<'a>(labels: &'a Labels, archives: &'a [Archive], last_update_s: i64) -> OldSeries<'a> {
    OldSeries {
        labels,
        help: "",
        archives,
        last_update_s,
        rates: false,
    }
}

fn archive(step_s: i64, per_slot: u32, first: i64, average: Vec<f64>) -> Archive {
    Archive {
        step_s,
        per_slot,
        first,
        average,
        ..Archive::default()
    }
}

/// The slots of `traffic`.
fn read(reader: &Reader, (from_s, until_s): (i64, i64), step_s: i64) -> Vec<Slot> {
    let matchers = [Matcher::equal("__name__", "traffic")];
    let selection = Selection {
        matchers: &matchers,
        from: Timestamp(from_s * 1000),
        until: Timestamp(until_s * 1000),
        step_ms: step_s * 1000,
        max_samples: usize::MAX,
        deadline: None,
    };
    let mut found = reader.slots(&selection).unwrap();
    assert!(found.len() <= 1);
    found.pop().map_or(Vec::new(), |s| s.slots)
}

fn averages(slots: &[Slot]) -> Vec<(i64, f64)> {
    slots
        .iter()
        .map(|s| (s.time.0 / 1000, s.average()))
        .collect()
}

fn store() -> (tempfile::TempDir, Writer) {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path(), &Options::default(), NOW).unwrap();
    (dir, writer)
}

/// A live series of minutes.
fn announce(writer: &Writer, labels: &Labels, kind: MetricKind) -> SeriesId {
    let def = SeriesDef {
        labels: labels.clone(),
        kind,
        help: "",
        step_ms: 60_000,
    };
    writer.registry().intern(&def).unwrap()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![1 => Just(f64::NAN), 3 => prop::num::f64::NORMAL, 1 => (0..100i32).prop_map(f64::from)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_archive_comes_back_bit_for_bit(
        mut steps in prop::collection::vec((1..400i64, prop::collection::vec(value(), 1..1500)), 1..6),
    ) {
        steps.sort_by_key(|s| s.0);
        steps.dedup_by_key(|s| s.0);
        let end_s = 1_700_000_000;
        let archives: Vec<Archive> = steps.into_iter().map(|(step_s, values)| {
            let slots = i64::try_from(values.len()).unwrap();
            let mut a = archive(step_s, 1, end_s / step_s - slots, values.clone());
            a.max = (step_s % 2 == 0).then(|| values.iter().map(|v| v.abs()).collect());
            a
        }).collect();
        let (dir, mut writer) = store();
        let (labels, known) = (labels(), archives.iter().map(Archive::known).sum::<usize>());
        let old = series(&labels, &archives, end_s);
        let taken = writer.import(&[old], NOW).unwrap()[0];
        prop_assert_eq!(taken != Taken::Same, known > 0);
        prop_assert_eq!(writer.import(&[old], NOW).unwrap(), [Taken::Same]);
        let reader = Reader::open(dir.path()).unwrap();
        for a in &archives {
            let range = ((a.first + 1) * a.step_s, a.end_s());
            let slots = read(&reader, range, a.step_s);
            let mut slots = slots.iter();
            for (i, value) in (1..).zip(&a.average).filter(|(_, v)| !v.is_nan()) {
                let slot = slots.next().unwrap();
                prop_assert_eq!(slot.time.0, (a.first + i) * a.step_s * 1000);
                prop_assert_eq!(slot.sum.to_bits(), value.to_bits());
                let max = if a.max.is_some() { value.abs() } else { *value };
                prop_assert_eq!(slot.max.to_bits(), max.to_bits());
            }
            prop_assert_eq!(slots.next(), None);
        }
    }
}

#[test]
fn finer_archives_fill_where_a_coarse_one_has_nothing_yet() {
    let (dir, mut writer) = store();
    let labels = labels();
    // 100 s slots up to 10000, 300 s slots up to 9900 and farther back; 700 s does not divide.
    let archives = [
        archive(100, 1, 90, (91..=100).map(f64::from).collect()),
        archive(300, 3, 10, (11..=33).map(f64::from).collect()),
        archive(700, 7, 1, (2..=14).map(f64::from).collect()),
    ];
    writer
        .import(&[series(&labels, &archives, 10_000)], NOW)
        .unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let at_300 = averages(&read(&reader, (0, 20_000), 300));
    assert_eq!(
        at_300.first(),
        Some(&(1_400, 2.0)),
        "older than 300 s slots reach"
    );
    assert_eq!(
        at_300.last(),
        Some(&(10_200, 100.0)),
        "the slot that was not over"
    );
    assert_eq!(at_300[at_300.len() - 2], (9_900, 33.0));
    let at_1 = averages(&read(&reader, (8_900, 9_300), 1));
    assert_eq!(
        at_1,
        [(9_000, 30.0), (9_100, 91.0), (9_200, 92.0), (9_300, 93.0)]
    );
}

#[test]
fn a_newer_state_of_the_same_file_adds_and_the_oldest_slots_go() {
    let (dir, mut writer) = store();
    let labels = labels();
    let first = [archive(300, 1, 1000, vec![1.0, f64::NAN, 3.0, 4.0])];
    let later = [archive(300, 1, 1002, vec![3.0, f64::NAN, 5.0, 6.0])];
    writer
        .import(&[series(&labels, &first, 301_200)], NOW)
        .unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(read(&reader, (0, 1 << 30), 300).len(), 3);
    let taken = writer
        .import(&[series(&labels, &later, 301_800)], NOW)
        .unwrap();
    assert_eq!(taken, [Taken::More(2)]);
    let want = [
        (300_900, 3.0),
        (301_200, 4.0),
        (301_500, 5.0),
        (301_800, 6.0),
    ];
    assert_eq!(
        averages(&read(&reader, (0, 1 << 30), 300)),
        want,
        "readers are told"
    );
}

#[test]
fn live_readings_go_on_where_old_figures_end() {
    let (dir, mut writer) = store();
    let (labels, now_s) = (labels(), NOW.0 / 1000);
    let end = now_s / 300;
    let archives = [archive(300, 1, end - 10, vec![7.0; 10])];
    writer
        .import(&[series(&labels, &archives, now_s)], NOW)
        .unwrap();
    let id = writer
        .registry()
        .intern(&SeriesDef {
            labels: labels.clone(),
            kind: MetricKind::Gauge,
            help: "",
            step_ms: 60_000,
        })
        .unwrap();
    let mut batch = Batch::default();
    for minute in -4..5 {
        batch.samples.rows.push(SampleRow {
            series: id,
            time: NOW.plus_ms(minute * 60_000),
            reading: Reading::Gauge(9.0),
        });
    }
    writer.apply(batch);
    writer.commit(NOW).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let slots = averages(&read(&reader, (now_s - 900, now_s), 60));
    let old: Vec<_> = slots
        .iter()
        .filter(|(_, v)| *v == 7.0)
        .map(|(t, _)| t - now_s)
        .collect();
    let live: Vec<_> = slots
        .iter()
        .filter(|(_, v)| *v == 9.0)
        .map(|(t, _)| t - now_s)
        .collect();
    assert_eq!(
        old,
        [-900, -600, -300, -240],
        "a slot in which live readings begin ends there"
    );
    assert_eq!(live, [-240, -180, -120, -60, 0]);
}

#[test]
fn a_counter_of_the_same_name_is_refused() {
    let (_dir, mut writer) = store();
    let labels = labels();
    announce(&writer, &labels, MetricKind::Counter);
    let archives = [archive(300, 1, 1000, vec![1.0])];
    let said = writer
        .import(&[series(&labels, &archives, 0)], NOW)
        .unwrap_err()
        .to_string();
    assert!(said.contains("is a counter in this store"), "{said}");
}

/// What `traffic` comes to at each of its slots.
fn totals(reader: &Reader, range: (i64, i64), step_s: i64) -> Vec<(i64, f64)> {
    let slots = read(reader, range, step_s);
    slots.iter().map(|s| (s.time.0 / 1000, s.total)).collect()
}

fn counter<'a>(labels: &'a Labels, archives: &'a [Archive]) -> OldSeries<'a> {
    OldSeries {
        rates: true,
        ..series(labels, archives, 0)
    }
}

#[test]
fn rates_are_read_as_the_counter_that_they_are_of() {
    let (dir, mut writer) = store();
    let labels = labels();
    let (unknown, minus) = (f64::NAN, -3.0);
    let fine = archive(300, 1, 999, vec![1.0, unknown, 2.0, 0.5, minus, 1.0]);
    let coarse = archive(900, 3, 331, vec![4.0, 1.0, 0.5]);
    writer
        .import(&[counter(&labels, &[fine, coarse])], NOW)
        .unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    // Slot 999 of five minutes ends at 300000, slot 331 of fifteen at 298800. Rates below zero stand still.
    let fine = [
        (300_000, 300.0),
        (300_600, 900.0),
        (300_900, 1050.0),
        (301_200, 1050.0),
        (301_500, 1350.0),
    ];
    assert_eq!(totals(&reader, (299_800, 302_000), 300), fine);
    assert_eq!(
        totals(&reader, (300_800, 302_000), 300),
        fine[2..],
        "the same in any range"
    );
    let mut all = vec![(298_800, 3600.0), (299_700, 4500.0)];
    all.extend(fine.map(|(at, total)| (at, total + 4500.0)));
    assert_eq!(totals(&reader, (297_900, 302_000), 300), all);
    assert_eq!(
        totals(&reader, (297_900, 301_000), 900),
        [(298_800, 3600.0), (299_700, 4500.0), (300_600, 4950.0)]
    );
    let slot = read(&reader, (300_800, 301_000), 300)[0];
    assert_eq!((slot.sum, slot.max, slot.count), (150.0, 150.0, 1));
    // Values under the same name, or the other way round, are something else.
    let archives = [archive(300, 1, 1000, vec![1.0])];
    let said = writer
        .import(&[series(&labels, &archives, 0)], NOW)
        .unwrap_err();
    assert!(said.to_string().contains("as a counter before"), "{said}");
    assert_eq!(reader.verify_series().unwrap().damaged, 0);
    let known = reader.metadata().unwrap();
    assert_eq!(known[0].kind, MetricKind::Counter);
}

#[test]
fn a_live_counter_goes_on_where_old_rates_end() {
    let (dir, mut writer) = store();
    let labels = labels();
    let id = announce(&writer, &labels, MetricKind::Counter);
    let start_s = NOW.0 / 1000 - 3_600;
    let rows = (0..60).map(|i| SampleRow {
        series: id,
        time: Timestamp((start_s + 60 * i) * 1000),
        // Two a second; the device had counted for long.
        reading: Reading::Counter(4_000_000 + 120 * u64::try_from(i).unwrap()),
    });
    writer.apply(Batch {
        samples: SampleBatch {
            rows: rows.collect(),
        },
        ..Batch::default()
    });
    writer.commit(NOW).unwrap();
    // A thousand slots of three a second, the last one reaching over the first live reading.
    let archives = [archive(300, 1, start_s / 300 - 999, vec![3.0; 1_000])];
    let known = [counter(&labels, &archives)];
    assert_eq!(writer.import(&known, NOW).unwrap(), [Taken::New(1_000)]);
    let reader = Reader::open(dir.path()).unwrap();
    let found = totals(&reader, (start_s - 3_000, NOW.0 / 1000), 300);
    assert!(
        found.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
        "{found:?}"
    );
    for pair in found.windows(2) {
        let [(from, before), (until, after)] = pair else {
            unreachable!()
        };
        let rate = (after - before) / (until - from) as f64;
        let want = if *until <= start_s { 3.0 } else { 2.0 };
        assert!(
            (rate - want).abs() < 0.01,
            "{rate} at {until}, live from {start_s}"
        );
    }
    let gauge = Labels::metric("other", &[]);
    announce(&writer, &gauge, MetricKind::Gauge);
    let said = writer
        .import(&[counter(&gauge, &archives)], NOW)
        .unwrap_err();
    assert!(said.to_string().contains("is no counter"), "{said}");
}

#[test]
fn figures_run_out_as_they_would_have_and_give_their_room_back() {
    let (dir, mut writer) = store();
    let labels = labels();
    // A file that lay in a drawer since 2001.
    let archives = [
        archive(300, 1, 1_000_000_000 / 300 - 2_000, vec![1.5; 2_000]),
        archive(3_600, 12, 1_000_000_000 / 3_600 - 2_000, vec![2.5; 2_000]),
    ];
    writer
        .import(&[series(&labels, &archives, 1_000_000_000)], NOW)
        .unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let count = |step_s| read(&reader, (0, 2_000_000_000), step_s).len();
    let full = writer.registry().population().reserved_bytes;
    // The coarse slots older than the fine ones, and all of these.
    assert_eq!(count(300), 2_000 + 1_835);
    let day = 86_400_000;
    writer.commit(NOW.plus_ms(4 * day)).unwrap();
    let half = count(300);
    assert!(
        (2_777..3_248).contains(&half),
        "{half}: the finer archive has run out by half"
    );
    writer.commit(NOW.plus_ms(100 * day)).unwrap();
    assert_eq!((count(300), count(3_600)), (0, 0));
    assert!(full > 0 && writer.registry().population().reserved_bytes == 0);
    drop(writer);
    let writer = Writer::open(dir.path(), &Options::default(), NOW).unwrap();
    assert_eq!(writer.registry().population().reserved_bytes, 0);
}

#[test]
fn what_would_not_fit_into_the_budget_is_refused_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        series_bytes: 3 * 4096,
        ..Options::default()
    };
    let mut writer = Writer::open(dir.path(), &options, NOW).unwrap();
    let (a, b) = (labels(), Labels::metric("other", &[]));
    let small = [archive(300, 1, 1000, vec![1.0])];
    let noise: Vec<f64> = (1..4000).map(|i| f64::from(i).sqrt()).collect();
    let large = [archive(300, 1, 1000, noise)];
    let both = [series(&a, &small, 0), series(&b, &large, 0)];
    let said = writer.import(&both, NOW).unwrap_err().to_string();
    assert!(said.contains("store.series_budget"), "{said}");
    assert_eq!(writer.registry().population().reserved_bytes, 0);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(read(&reader, (0, 1 << 30), 300).len(), 0);
    assert!(writer.import(&both[..1], NOW).is_ok());
}

#[test]
fn a_damaged_page_is_named_and_comes_in_again() {
    let (dir, mut writer) = store();
    let labels = labels();
    let archives = [archive(300, 1, 1000, (0..1500).map(f64::from).collect())];
    let old = series(&labels, &archives, 0);
    writer.import(&[old], NOW).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.verify_series().unwrap().damaged, 0);
    let conn = rusqlite::Connection::open(writer.path()).unwrap();
    let flip =
        "UPDATE ts_old_page SET data = zeroblob(100) WHERE id = (SELECT min(id) FROM ts_old_page)";
    conn.execute(flip, []).unwrap();
    let report = reader.verify_series().unwrap();
    assert_eq!((report.damaged, report.old.len()), (1, 1));
    assert!(
        report.old[0].contains("traffic{port=\"1\"}"),
        "{:?}",
        report.old
    );
    assert_eq!(
        read(&reader, (0, 1 << 30), 300).len(),
        1500 - 24,
        "the rest is as it was"
    );
    assert_eq!(writer.import(&[old], NOW).unwrap(), [Taken::More(24)]);
    assert_eq!(read(&reader, (0, 1 << 30), 300).len(), 1500);
    assert_eq!(reader.verify_series().unwrap().damaged, 0);
}

#[test]
fn old_series_are_renamed_and_deleted_as_living_ones() {
    let (dir, mut writer) = store();
    let names = ["1", "2"].map(|port| Labels::metric("line", &[("port", port)]));
    let archives = [archive(300, 1, 1000, vec![1.0, 2.0])];
    let both = names.each_ref().map(|labels| series(labels, &archives, 0));
    writer.import(&both, NOW).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let count = || read(&reader, (0, 1 << 30), 300).len();
    let rename = |writer: &mut Writer, pattern: &str, to: &str| {
        writer.rename_series(&pattern.parse().unwrap(), &to.parse().unwrap(), NOW)
    };
    let said = rename(&mut writer, "line", "traffic{port=\"\"}")
        .unwrap_err()
        .to_string();
    assert!(said.contains("would be called traffic"), "{said}");
    assert_eq!(count(), 0);
    assert_eq!(
        rename(&mut writer, "line{port=\"1\"}", "traffic").unwrap(),
        1
    );
    assert_eq!(count(), 2);
    assert_eq!(
        writer
            .delete_series(&"*{port=~\"1|2\"}".parse().unwrap(), NOW)
            .unwrap(),
        2
    );
    assert_eq!(count(), 0);
    assert_eq!(writer.registry().population().reserved_bytes, 0);
}
