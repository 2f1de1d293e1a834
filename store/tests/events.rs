//! The event store from outside: what was committed comes back, once, in order, whatever happens.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;
use vigie_parsers::{Context, Event, Origin, Record, Timestamp, formats};
use vigie_query::log::{Compare, Exact, FieldName, Filter, Test, TextPattern};
use vigie_query::{EventSource, GroupBy, Order, Scan, ScanStats, Step};
use vigie_store::events::{LogRetention, LogRule};
use vigie_store::{Batch, Options, Reader, Synchronous, Writer};

const NOW: Timestamp = Timestamp(1_793_516_709_000);

fn options() -> Options {
    Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    }
}

fn writer(dir: &Path) -> Writer {
    Writer::open(dir, &options(), NOW).expect("a store")
}

/// What a test says of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    time: i64,
    source: String,
    line: Vec<u8>,
}

fn batch(rows: &[Row]) -> Batch {
    let mut batch = Batch::default();
    let mut record = Record::default();
    let mut detector = formats::Detector::default();
    for row in rows {
        let mut cx = Context::new(Timestamp(row.time), jiff::tz::TimeZone::UTC);
        let format = detector.parse(&mut cx, &row.line, &mut record);
        record.time = None;
        let origin = Arc::new(Origin {
            source: row.source.clone(),
            fields: vec![("peer".to_owned(), format!("peer-of-{}", row.source))],
        });
        let recv = Timestamp(row.time);
        batch
            .events
            .push(recv, &origin, format.name, &row.line, &record);
    }
    batch
}

fn scan(dir: &Path, scan: &Scan<'_>, limit: usize) -> (Vec<Row>, ScanStats) {
    let reader = Reader::open(dir).expect("a reader");
    let mut rows = Vec::new();
    let stats = reader
        .scan(scan, &mut |e: &Event| {
            rows.push(Row {
                time: e.time.0,
                source: e.origin.source.clone(),
                line: e.line.clone(),
            });
            match rows.len() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })
        .expect("a scan");
    (rows, stats)
}

fn everything(dir: &Path) -> Vec<Row> {
    let mut all = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
    all.order = Order::OldestFirst;
    scan(dir, &all, usize::MAX).0
}

fn rows(n: usize, source: &str) -> Vec<Row> {
    let row = |i: usize| Row {
        time: NOW.0 + i64::try_from(i).expect("few") * 10,
        source: source.to_owned(),
        line: format!("job {i} of {source} done in {} ms", i * 7 % 1000).into_bytes(),
    };
    (0..n).map(row).collect()
}

#[test]
fn committed_lines_survive_and_others_do_not() {
    let dir = TempDir::new().expect("a directory");
    let lines = rows(300, "a");
    for part in lines[..200].chunks(20) {
        let mut writer = writer(dir.path());
        writer.apply(batch(part));
        writer.commit(NOW).expect("a commit");
        assert!(everything(dir.path()).ends_with(part));
        writer.apply(batch(&lines[200..]));
        // Gone without a commit.
    }
    assert_eq!(everything(dir.path()), lines[..200]);
}

#[test]
fn many_small_commits_are_merged_in_the_journal() {
    let dir = TempDir::new().expect("a directory");
    let lines = rows(400, "a");
    let mut writer = writer(dir.path());
    let reader = Reader::open(dir.path()).expect("a reader");
    for (i, part) in lines.chunks(2).enumerate() {
        writer.apply(batch(part));
        writer.commit(NOW).expect("a commit");
        if i % 7 == 0 {
            let mut n = 0;
            let all = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
            let mut each = |_: &Event| {
                n += 1;
                ControlFlow::Continue(())
            };
            reader.scan(&all, &mut each).expect("a scan");
            assert_eq!(n, (i + 1) * 2);
        }
    }
    drop(writer);
    assert_eq!(everything(dir.path()), lines);
}

#[test]
fn large_batches_are_sealed_at_once() {
    let dir = TempDir::new().expect("a directory");
    let mut lines = rows(150_000, "a");
    lines.extend(rows(1000, "b"));
    let mut writer = writer(dir.path());
    writer.apply(batch(&lines));
    writer.commit(NOW).expect("a commit");
    writer.apply(batch(&lines[..10]));
    writer.commit(NOW).expect("a commit");
    drop(writer);
    let _again = self::writer(dir.path());
    lines.extend_from_within(..10);
    // By time, then by arrival.
    lines.sort_by_key(|r| r.time);
    let found = everything(dir.path());
    assert!(found == lines, "{} of {}", found.len(), lines.len());
    let newest = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
    let (found, stats) = scan(dir.path(), &newest, 100);
    lines.reverse();
    assert_eq!(found, lines[..100]);
    assert!(stats.blocks_read < stats.blocks, "{stats:?}");
}

#[test]
fn a_failed_transaction_loses_and_doubles_nothing() {
    let dir = TempDir::new().expect("a directory");
    let mut writer = writer(dir.path());
    let lines = rows(70_000, "a");
    writer.apply(batch(&lines[..100]));
    writer.commit(NOW).expect("a commit");
    let blocker = rusqlite::Connection::open(writer.path()).expect("a connection");
    blocker
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON ev_journal BEGIN SELECT raise(ABORT, 'full'); END;",
        )
        .expect("a trigger");
    for part in [&lines[100..200], &lines[200..]] {
        writer.apply(batch(part));
        assert!(writer.commit(NOW).is_err());
        assert!(!writer.is_idle());
        assert_eq!(everything(dir.path()), lines[..100]);
    }
    blocker
        .execute_batch("DROP TRIGGER no")
        .expect("the trigger goes");
    writer.commit(NOW).expect("a commit");
    assert!(everything(dir.path()) == lines);
    drop(writer);
    let _again = self::writer(dir.path());
    assert!(everything(dir.path()) == lines);
}

#[test]
fn a_damaged_block_is_left_out_and_said_so() {
    let dir = TempDir::new().expect("a directory");
    let mut writer = writer(dir.path());
    writer.apply(batch(&rows(140_000, "a")));
    writer.commit(NOW).expect("a commit");
    let raw = rusqlite::Connection::open(writer.path()).expect("a connection");
    raw.execute_batch("UPDATE ev_seg SET data = zeroblob(length(data)) WHERE id = 4096 + 2")
        .expect("damage");
    let all = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
    let (found, stats) = scan(dir.path(), &all, usize::MAX);
    assert_eq!(found.len(), 140_000 - 65_536);
    assert!(stats.incomplete.is_some_and(|why| why.contains("damaged")));
    raw.execute_batch("UPDATE ev_journal SET data = x'00'")
        .expect("damage");
    let (found, stats) = scan(dir.path(), &all, usize::MAX);
    assert_eq!(found.len(), 65_536);
    assert!(stats.incomplete.is_some());
    drop(writer);
    let _again = self::writer(dir.path());
}

#[test]
fn counts_outlive_lines() {
    let dir = TempDir::new().expect("a directory");
    let mut writer = writer(dir.path());
    writer.apply(batch(&rows(70_000, "a")));
    writer.commit(NOW).expect("a commit");
    let reader = Reader::open(dir.path()).expect("a reader");
    for minutes in [true, false] {
        let counts = reader
            .event_counts(Timestamp(0), Timestamp::MAX, minutes)
            .expect("counts");
        assert_eq!(counts.iter().map(|c| c.count).sum::<u64>(), 70_000);
    }
}

/// Lines whose words, numbers and addresses come again.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[abAB]{1,2}",
        2 => "[0-9]{1,3}",
        1 => "10\\.0\\.[01]\\.[0-9]",
        1 => "blk_-[0-9]{1,2}",
        1 => "[é\u{212a}ſß]",
        1 => "[0-9a-f]{4}",
    ];
    let separator = prop_oneof![4 => " ", 1 => "[-.:_/\u{11}]", 1 => ""];
    let free = proptest::collection::vec((piece, separator), 0..8).prop_map(|pieces| {
        let text: String = pieces.into_iter().flat_map(|(p, s)| [p, s]).collect();
        text
    });
    let stamp = "(<[0-9]{1,3}>)?Nov  1 0[78]:05:0[0-9]( [ab]{1,2}( ab\\[[0-9]{1,3}\\])?:)?";
    let tail = free.clone();
    let access = "10\\.0\\.[01]\\.[0-9] - [-ab] \\[01/Nov/2026:07:05:0[0-9] \\+0000\\] \"(GET|POST) /[ab]{0,2}(\\?a=[0-9])? HTTP/1\\.1\" [2345]0[0-4] [0-9]{1,3} \"[-ab]\" \"(a\\\\x62|b)[ab0-9]{0,3}\"";
    let json = "\\{\"level\":\"(info|error)\",\"msg\":\"[ab ]{0,3}(\\\\u0062|\\\\n)?[a0-9]{0,3}\",\"n\":[0-9]{1,3},\"ab\":\"[ab]{1,2}\"\\}";
    prop_oneof![
        3 => free,
        2 => (stamp, tail).prop_map(|(s, t)| format!("{s} {t}")),
        2 => access,
        1 => json,
    ]
    .prop_map(String::into_bytes)
}

fn pattern() -> impl Strategy<Value = TextPattern> {
    let needle = prop_oneof![
        "[abAB]{1,2}",
        "[0-9]{1,3}",
        "10\\.0\\.[01]\\.[0-9]",
        "[ab] [0-9]{1,2}",
        "[a-b0-9é_.:-]{1,4}",
        "blk_-[0-9]",
        "peer",
        "get",
        "/[ab]",
        "(get|post) /[ab]",
        "/[ab]?[a=/]",
        "\" [2345]0",
        "[ab]\\[[0-9]",
        "- - ",
        "10\\.0\\.[01]\\.[0-9] [-ab]",
    ];
    (needle, any::<bool>(), any::<bool>())
        .prop_filter_map("nothing to find", |(n, s, e)| TextPattern::new(&n, s, e))
}

const FIELDS: &[&str] = &[
    "message", "peer", "source", "format", "nothing", "status", "bytes", "ip", "path", "host",
    "app", "pid", "level", "n", "ab", "msg", "agent", "facility",
];

fn field_name() -> impl Strategy<Value = FieldName> {
    proptest::sample::select(FIELDS).prop_map(FieldName::new)
}

fn test() -> impl Strategy<Value = Test> {
    let exact = prop_oneof![
        "[ab]{1,2}",
        "[0-9]{1,3}",
        "10\\.0\\.0\\.[0-9]",
        "[2345]0[0-4]"
    ];
    prop_oneof![
        Just(Test::Present),
        pattern().prop_map(Test::Text),
        (exact, any::<bool>(), any::<bool>())
            .prop_map(|(t, s, e)| Test::Exact(Exact::new(&t, s, e))),
        (0u32..500).prop_map(|n| Test::Compare(Compare::GreaterOrEqual, f64::from(n))),
        (0u32..300, 0u32..300).prop_map(|(a, b)| Test::Between(f64::from(a), f64::from(a + b))),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        3 => pattern().prop_map(Filter::Text),
        3 => (field_name(), test()).prop_map(|(name, test)| Filter::Field { name, test }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let some = proptest::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            some.clone().prop_map(Filter::And),
            some.prop_map(Filter::Or),
            inner.prop_map(|f| Filter::Not(Box::new(f))),
        ]
    })
}

/// Lines with their times and sources, and whether the block is sealed behind them.
type Lines = (Vec<(Vec<u8>, i64, u8)>, bool);

/// A store with some sealed blocks and an open one, and all its rows in order.
fn filled(dir: &Path, batches: Vec<Lines>) -> Vec<Row> {
    let mut writer = writer(dir);
    let mut now = NOW;
    let mut all: Vec<Row> = Vec::new();
    for (lines, seal) in batches {
        let row = |(line, at, source): (Vec<u8>, i64, u8)| Row {
            time: NOW.0 + at,
            source: format!("s{source}"),
            line,
        };
        let rows: Vec<Row> = lines.into_iter().map(row).collect();
        all.extend_from_slice(&rows);
        writer.apply(batch(&rows));
        if seal {
            writer.seal_events();
        }
        now = now.plus_ms(1000);
        writer.commit(now).expect("a commit");
    }
    all.sort_by_key(|r| r.time);
    all
}

fn batches() -> impl Strategy<Value = Vec<Lines>> {
    let rows = proptest::collection::vec((line(), 0i64..2000, 0u8..3), 1..60);
    proptest::collection::vec((rows, any::<bool>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Pruning never changes an answer: it is that of looking at each line.
    #[test]
    fn queries_equal_brute_force(
        batches in batches(),
        filters in proptest::collection::vec(filter(), 1..20),
        by in proptest::collection::vec(field_name(), 0..3),
        step in proptest::option::of(1i64..500),
        from in 0i64..1500, length in 1i64..2500, after in 0u64..200,
        upto in prop_oneof![Just(u64::MAX), 0u64..400],
    ) {
        let dir = TempDir::new().expect("a directory");
        let all = filled(dir.path(), batches);
        let lines = all.len();
        prop_assert_eq!(everything(dir.path()), all);
        let (from, until) = (Timestamp(NOW.0 + from), Timestamp(NOW.0 + from + length));
        let reader = Reader::open(dir.path()).expect("a reader");
        let mut events = Vec::new();
        let whole = Scan { order: Order::OldestFirst, ..Scan::new(from, until, &Filter::All) };
        let mut keep = |e: &Event| { events.push(e.clone()); ControlFlow::Continue(()) };
        reader.scan(&whole, &mut keep).expect("a scan");
        let last = reader.last_id().expect("a number");
        prop_assert_eq!(last, u64::try_from(lines).expect("few"));
        let model = Model(events);
        for filter in &filters {
            let expected: Vec<u64> =
                model.0.iter().filter(|e| e.id > after && e.id <= upto && filter.matches(e)).map(|e| e.id).collect();
            let mut found = Vec::new();
            let scan = Scan { filter, after, upto, ..whole.clone() };
            let mut each = |e: &Event| { found.push(e.id); ControlFlow::Continue(()) };
            let stats = reader.scan(&scan, &mut each).expect("a scan");
            prop_assert_eq!(stats.incomplete, None);
            prop_assert_eq!(found, expected, "{:?}", filter);
            let step = step.map(|ms| Step { ms, origin: Timestamp(3) });
            let by = GroupBy { fields: &by, step, max_groups: 1000 };
            let groups = |source: &dyn EventSource| {
                let mut groups = source.count_by(&scan, &by).expect("counts").groups;
                groups.sort_by(|a, b| a.key.cmp(&b.key));
                groups
            };
            prop_assert_eq!(groups(&reader), groups(&model), "{:?} by {:?}", filter, by.fields);
        }
    }
}

/// The naive way: all events, one by one.
struct Model(Vec<Event>);

impl EventSource for Model {
    fn scan(
        &self,
        scan: &Scan<'_>,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<ScanStats, vigie_query::SourceError> {
        let arrived = |e: &Event| e.id > scan.after && e.id <= scan.upto;
        let wanted = |e: &&Event| arrived(e) && scan.filter.matches(e);
        for event in self.0.iter().filter(wanted) {
            if each(event).is_break() {
                break;
            }
        }
        Ok(ScanStats::default())
    }
}

/// Numbers of a column of many are in no filter: they are found all the same, and quickly told from
/// what is not there.
#[test]
fn numbers_of_many_are_found() {
    let dir = TempDir::new().expect("a directory");
    let line = |i: u32| match i % 3 {
        0 => format!("job {} took {} ms", i * 7 % 5003, i % 900),
        1 => format!("GET /page/{}.html took {} ms", i % 700, i * 31),
        _ => format!("job {} at 10.0.{}.{}", 900_000 + i * 97, i % 200, i % 251),
    };
    let row = |i: u32| Row {
        time: NOW.0 + i64::from(i),
        source: "a".to_owned(),
        line: line(i).into_bytes(),
    };
    let lines: Vec<Row> = (0..4000).map(row).collect();
    let mut writer = writer(dir.path());
    writer.apply(batch(&lines));
    writer.seal_events();
    writer.commit(NOW).expect("a commit");
    let numbers = [
        "7", "21", "899", "4998", "5003", "123969", "900194", "1287806", "1287807", "999999",
    ];
    let texts = [
        "10.0.7.7",
        "/page/69",
        "page/699.",
        "job 14",
        "took 899",
        "ms",
    ];
    for text in numbers.iter().chain(&texts) {
        for (start, end) in [(false, false), (true, false), (false, true), (true, true)] {
            let pattern = TextPattern::new(text, start, end).expect("a pattern");
            let expected = lines.iter().filter(|r| pattern.matches(&r.line));
            let filter = Filter::Text(pattern.clone());
            let mut wanted = Scan::new(Timestamp::MIN, Timestamp::MAX, &filter);
            wanted.order = Order::OldestFirst;
            let (found, stats) = scan(dir.path(), &wanted, usize::MAX);
            assert!(found.iter().eq(expected), "{pattern:?}: {stats:?}");
        }
    }
    let filter = Filter::Text(TextPattern::new("5003", false, false).expect("a pattern"));
    let (_, stats) = scan(
        dir.path(),
        &Scan::new(Timestamp::MIN, Timestamp::MAX, &filter),
        1,
    );
    assert_eq!(stats.events_checked, 0, "{stats:?}");
}

/// Lines that hardly compress.
fn noise(n: usize, source: &str, seed: u64) -> Vec<Row> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 11
    };
    let row = |i: usize| Row {
        time: NOW.0 + i64::try_from(seed).expect("small") * 1000 + i64::try_from(i).expect("few"),
        source: source.to_owned(),
        line: format!("{:x} {:x} {:x} {:x}", next(), next(), next(), next()).into_bytes(),
    };
    (0..n).map(row).collect()
}

#[test]
fn lines_go_by_age_and_by_what_their_source_may_occupy() {
    const DAY_MS: i64 = 86_400_000;
    let dir = TempDir::new().expect("a directory");
    let rule = |source: &str, days: Option<i64>, bytes| LogRule {
        source: source.to_owned(),
        keep_ms: days.map(|d| d * DAY_MS),
        bytes,
    };
    let options = Options {
        log_retention: LogRetention {
            rules: vec![
                rule("young*", Some(2), None),
                rule("small", None, Some(256 << 10)),
            ],
        },
        ..options()
    };
    let mut writer = Writer::open(dir.path(), &options, NOW).expect("a store");
    let mut now = NOW;
    for day in 0..10u64 {
        for (n, source) in [(50, "young"), (4000, "small"), (50, "other")] {
            writer.apply(batch(&noise(n, source, day * 86_400)));
        }
        // Every hour, as a daemon would; nothing new comes.
        for _ in 0..24 {
            now = now.plus_ms(DAY_MS / 24);
            writer.commit(now).expect("a commit");
        }
        writer.apply(batch(&noise(1, "other", day * 86_400)));
    }
    writer.commit(now).expect("a commit");
    let reader = Reader::open(dir.path()).expect("a reader");
    let mut first = BTreeMap::new();
    let scan = Scan {
        order: Order::OldestFirst,
        ..Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All)
    };
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    let mut each = |e: &Event| {
        let source = e.origin.source.clone();
        first.entry(source.clone()).or_insert(e.time);
        *count.entry(source).or_default() += 1;
        ControlFlow::Continue(())
    };
    reader.scan(&scan, &mut each).expect("a scan");
    assert_eq!((count["other"], first["other"]), (510, NOW));
    // An eighth of the age on top, and the hour between two looks.
    let age = now.since_ms(first["young"]);
    assert!(
        age <= 2 * DAY_MS / 8 * 9 + DAY_MS / 24,
        "{} h",
        age / 3_600_000
    );
    assert_eq!(count["young"] % 50, 0);
    assert!(count["young"] >= 100, "{}", count["young"]);
    // Noise of 66 bytes a line takes half of that; the newest block and what is open are left.
    assert!(
        (4000..20_000).contains(&count["small"]),
        "{}",
        count["small"]
    );
    let expired = reader.events_expired().expect("a count");
    let kept: usize = count.values().sum();
    assert_eq!(expired, 10 * 4101 - u64::try_from(kept).expect("few"));
    assert_eq!(reader.events_evicted().expect("a count"), 0);
}

#[test]
fn blocks_of_other_units_stay_closed() {
    let dir = TempDir::new().expect("a directory");
    let mut writer = writer(dir.path());
    for (n, unit) in ["nginx", "sshd", "cron"].into_iter().enumerate() {
        let line = |i: i64| Row {
            time: NOW.0 + i64::try_from(n).expect("few") * 1000 + i,
            source: format!("s{n}"),
            line: format!("{{\"msg\":\"job {i}\",\"_SYSTEMD_UNIT\":\"{unit}.service\"}}")
                .into_bytes(),
        };
        writer.apply(batch(&(0..50).map(line).collect::<Vec<_>>()));
    }
    writer.seal_events();
    writer.commit(NOW).expect("a commit");
    let query = vigie_query::log::Query::parse("unit:sshd.service").expect("a query");
    let all = Scan::new(Timestamp::MIN, Timestamp::MAX, &query.filter);
    let (rows, stats) = scan(dir.path(), &all, usize::MAX);
    assert_eq!(rows.len(), 50);
    assert_eq!((stats.blocks, stats.blocks_read), (3, 1));
    assert!(rows.iter().all(|r| r.source == "s1"));
}

/// The last lines of all may be of a time that is too old: their numbers are not those of others later.
#[test]
fn numbers_of_lines_that_went_are_not_given_again() {
    let dir = TempDir::new().expect("a directory");
    let rule = LogRule {
        source: "old".to_owned(),
        keep_ms: Some(60_000),
        bytes: None,
    };
    let options = Options {
        log_retention: LogRetention { rules: vec![rule] },
        ..options()
    };
    let last = || {
        let reader = Reader::open(dir.path()).expect("a reader");
        reader.last_id().expect("a number")
    };
    let mut writer = Writer::open(dir.path(), &options, NOW).expect("a store");
    writer.apply(batch(&noise(10, "new", 0)));
    writer.apply(batch(&noise(10, "old", 0)));
    writer.seal_events();
    let now = NOW.plus_ms(3_600_000);
    writer.commit(now).expect("a commit");
    let reader = Reader::open(dir.path()).expect("a reader");
    assert_eq!(reader.events_expired().expect("a count"), 10);
    assert_eq!(last(), 20);
    drop((reader, writer));
    let mut writer = Writer::open(dir.path(), &options, now).expect("a store");
    assert_eq!(last(), 20);
    writer.apply(batch(&noise(1, "new", 0)));
    writer.commit(now).expect("a commit");
    assert_eq!(last(), 21);
}

#[test]
fn the_file_stays_within_its_budget_and_quiet_sources_keep_their_share() {
    let dir = TempDir::new().expect("a directory");
    let options = Options {
        budget_bytes: 4 << 20,
        series_bytes: 256 << 10,
        ..options()
    };
    let mut writer = Writer::open(dir.path(), &options, NOW).expect("a store");
    let quiet = noise(1_000, "quiet", 0);
    writer.apply(batch(&quiet));
    writer.seal_events();
    writer.commit(NOW).expect("a commit");
    let mut sent = quiet.len();
    for round in 1..16 {
        let rows = noise(8_000, "noisy", round);
        sent += rows.len();
        writer.apply(batch(&rows));
        writer.commit(NOW).expect("a commit within the budget");
        let size = std::fs::metadata(writer.path()).expect("the file").len();
        assert!(size <= options.budget_bytes, "{size} in round {round}");
    }
    let reader = Reader::open(dir.path()).expect("a reader");
    let kept = everything(dir.path());
    let evicted = usize::try_from(reader.events_evicted().expect("a count")).expect("few");
    assert_eq!(kept.len() + evicted, sent);
    assert!(
        kept.len() > 20_000 && evicted > 30_000,
        "{} kept",
        kept.len()
    );
    assert!(kept.iter().filter(|r| r.source == "quiet").eq(&quiet));
    // What is left of the noisy one is the newest.
    let noisy: Vec<&Row> = kept.iter().filter(|r| r.source == "noisy").collect();
    assert_eq!(
        noisy.last().map(|r| &r.line),
        noise(8_000, "noisy", 15).last().map(|r| &r.line)
    );
    let report = reader.verify_events().expect("a report");
    assert_eq!((report.damage.len(), report.lines), (0, kept.len() as u64));
}

/// Not the file alone: what is on its way into it as well.
#[test]
fn the_file_and_its_log_stay_within_the_budget() {
    let dir = TempDir::new().expect("a directory");
    let options = Options {
        budget_bytes: 32 << 20,
        series_bytes: 8 << 20,
        ..options()
    };
    let mut writer = Writer::open(dir.path(), &options, NOW).expect("a store");
    let log = writer.path().with_extension("db-wal");
    let (mut sent, mut log_max) = (0, 0);
    for round in 1..40 {
        let mut rows = noise(16_000, "noisy", round);
        // Eight lines in one.
        let joined = rows.chunks(8).map(|eight| Row {
            line: eight
                .iter()
                .map(|r| &r.line[..])
                .collect::<Vec<_>>()
                .join(&b' '),
            ..eight[0].clone()
        });
        rows = joined.collect();
        sent += rows.len();
        writer.apply(batch(&rows));
        writer.commit(NOW).expect("a commit within the budget");
        let size = |path: &Path| std::fs::metadata(path).expect("a file").len();
        log_max = log_max.max(size(&log));
        let size = size(writer.path()) + size(&log);
        assert!(size <= options.budget_bytes, "{size} in round {round}");
    }
    let kept = everything(dir.path()).len();
    assert!(kept < sent && kept > 20_000, "{kept} of {sent}");
    assert!(
        log_max > options.budget_bytes / 8,
        "{log_max}: the log was used"
    );
}

#[test]
fn small_blocks_are_made_one() {
    let dir = TempDir::new().expect("a directory");
    let mut writer = writer(dir.path());
    let mut lines = rows(900, "a");
    lines.extend(noise(100, "a", 3));
    lines.iter_mut().step_by(50).for_each(|r| r.line.push(0x11));
    lines.sort_by_key(|r| r.time);
    for part in lines.chunks(100) {
        writer.apply(batch(part));
        writer.seal_events();
        writer.commit(NOW).expect("a commit");
    }
    assert!(everything(dir.path()) == lines);
    let reader = Reader::open(dir.path()).expect("a reader");
    let report = reader.verify_events().expect("a report");
    assert!(report.blocks < 6, "{report:?}");
    assert_eq!((report.damage.len(), report.lines), (0, 1000));
}

#[test]
fn verification_finds_damage() {
    let dir = TempDir::new().expect("a directory");
    let mut writer = writer(dir.path());
    writer.apply(batch(&rows(1000, "a")));
    writer.seal_events();
    writer.commit(NOW).expect("a commit");
    let raw = rusqlite::Connection::open(writer.path()).expect("a connection");
    raw.execute_batch("UPDATE ev_seg SET data = zeroblob(length(data)) WHERE id = 4096 + 3")
        .expect("damage");
    let reader = Reader::open(dir.path()).expect("a reader");
    let report = reader.verify_events().expect("a report");
    assert_eq!(report.damage, ["block 1 is damaged"]);
}

/// A bit of each kind of row turned: nothing panics, what is wrong is said, and after the repair what
/// is left is whole.
#[test]
fn damage_is_survived_told_and_repaired() {
    let lines: Vec<Row> = rows(900, "a")
        .into_iter()
        .chain(noise(900, "b", 2))
        .collect();
    // Which row, and whether all lines survive the repair.
    let damages = [
        ("ev_seg", "data", 4096, false),
        ("ev_seg", "data", 4096 + 1, false),
        ("ev_seg", "data", 4096 + 2, false),
        ("ev_seg", "data", 4096 + 3, false),
        ("ev_filter", "data", 256, true),
        ("ev_block", "summary", 1, true),
    ];
    for (table, column, id, all) in damages {
        let dir = TempDir::new().expect("a directory");
        let mut writer = writer(dir.path());
        writer.apply(batch(&lines));
        writer.seal_events();
        writer.commit(NOW).expect("a commit");
        let raw = rusqlite::Connection::open(writer.path()).expect("a connection");
        let read = format!("SELECT {column} FROM {table} WHERE id = {id}");
        let mut data: Vec<u8> = raw.query_row(&read, [], |r| r.get(0)).expect("a row");
        let middle = data.len() * 2 / 3;
        data[middle] ^= 0x10;
        let write = format!("UPDATE {table} SET {column} = ?1 WHERE id = {id}");
        raw.execute(&write, [data]).expect("damage");
        let reader = Reader::open(dir.path()).expect("a reader");
        let report = reader.verify_events().expect("a report");
        assert_eq!(report.damage.len(), 1, "{table} {id}: {report:?}");
        assert!(report.damage[0].contains("block 1"), "{report:?}");
        // What a damaged filter or summary says rules nothing out.
        let filter = Filter::Text(TextPattern::new("job 7", false, false).expect("a pattern"));
        let (found, stats) = scan(
            dir.path(),
            &Scan::new(Timestamp::MIN, Timestamp::MAX, &filter),
            usize::MAX,
        );
        assert_eq!(found.len() == 1, all, "{table} {id}");
        assert_eq!(stats.incomplete.is_none(), all, "{table} {id}");
        let repair = writer.repair_events().expect("a repair");
        assert_eq!(
            (repair.blocks, repair.kept + repair.lost),
            (1, 900),
            "{table} {id}"
        );
        assert_eq!(repair.lost == 0, all, "{table} {id}: {repair:?}");
        let report = reader.verify_events().expect("a report");
        assert_eq!(report.damage, [""; 0], "{table} {id}");
        assert_eq!(report.lines, 900 + repair.kept);
        assert_eq!(writer.repair_events().expect("a repair").blocks, 0);
        if all {
            assert_eq!(everything(dir.path()).len(), lines.len());
        }
    }
}

/// The lines of `tests/data/blocks-2.db.zst` and its like, as they were recorded with blocks of
/// version 2 and so on.
fn recorded_lines() -> Vec<Vec<u8>> {
    let line = |i: u32| match i % 4 {
        0 => format!("job {} of {} done in {} ms", i * 37, i % 7, i * 7 % 1000),
        1 => format!(
            "<30>Nov  1 07:05:09 node{:02} sshd[{}]: Failed password for root from 10.0.{}.{} port {}",
            i % 5,
            300 + i % 90,
            i % 3,
            i % 251,
            1024 + i * 13
        ),
        2 => format!(
            "10.1.{}.{} - - [01/Nov/2026:07:05:{:02} +0000] \"GET /page/{}.html HTTP/1.1\" {} {} \"-\" \"curl/8.{}\"",
            i % 9,
            i % 250,
            i % 60,
            i % 700,
            [200, 200, 404, 500][i as usize / 4 % 4],
            i * 91,
            i % 12
        ),
        _ => format!(
            "{{\"level\":\"{}\",\"msg\":\"request {:08x} of caf\u{e9} \\u0062\",\"n\":{i}}}",
            ["info", "error"][i as usize % 2],
            i.wrapping_mul(0x9e37_79b9)
        ),
    };
    (0..3000).map(|i| line(i).into_bytes()).collect()
}

#[test]
fn blocks_of_the_versions_before_are_read() {
    recorded_is_read(include_bytes!("data/blocks-2.db.zst"));
    recorded_is_read(include_bytes!("data/blocks-3.db.zst"));
    recorded_is_read(include_bytes!("data/blocks-4.db.zst"));
}

fn sorted_lines(mut lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    lines.sort_unstable();
    lines
}

/// The lines of rows, in no order of time: what was recorded says other times than it arrived at.
fn sorted(rows: Vec<Row>) -> Vec<Vec<u8>> {
    sorted_lines(rows.into_iter().map(|r| r.line).collect())
}

fn recorded_is_read(packed: &[u8]) {
    let dir = TempDir::new().expect("a directory");
    let file = zstd::decode_all(packed).expect("a recorded store");
    std::fs::write(dir.path().join("vigie.db"), file).expect("a file");
    let lines = recorded_lines();
    let found = |needle: &str| {
        let filter = Filter::Text(TextPattern::new(needle, false, false).expect("a pattern"));
        let mut wanted = Scan::new(Timestamp::MIN, Timestamp::MAX, &filter);
        wanted.order = Order::OldestFirst;
        let (rows, stats) = scan(dir.path(), &wanted, usize::MAX);
        assert_eq!(stats.incomplete, None);
        let pattern = TextPattern::new(needle, false, false).expect("a pattern");
        let expected = lines.iter().filter(|l| pattern.matches(l)).cloned();
        let n = rows.len();
        assert!(sorted(rows) == sorted_lines(expected.collect()), "{needle}");
        n
    };
    let check = || {
        let all = everything(dir.path());
        assert!(sorted(all) == sorted_lines(lines.clone()));
        for needle in ["10.0.1.2", "333", "/page/2.html"] {
            assert!(found(needle) > 0, "{needle}");
        }
        assert_eq!(found("nothing"), 0);
        let reader = Reader::open(dir.path()).expect("a reader");
        assert_eq!(reader.verify_events().expect("a report").damage, [""; 0]);
    };
    check();
    // The writer goes on from there, and merges old blocks and new ones.
    let mut writer = writer(dir.path());
    for _ in 0..3 {
        writer.seal_events();
        writer.commit(NOW).expect("a commit");
    }
    drop(writer);
    check();
}
