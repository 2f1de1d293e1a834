//! Counts of patterns: the same as by brute force over the lines, whatever became of these.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;
use vigie_parsers::joining::Joining;
use vigie_parsers::{Event, Timestamp, formats};
use vigie_query::log::{self, Clock, Filter, Memory, Query, RunContext};
use vigie_query::{EventSource, PatternCounts};
use vigie_store::{Options, Reader, Writer};

mod lives;
use lives::{NOW, batch, event, live, options, step};

const HOUR: i64 = 3_600_000;

/// The events of several lines.
fn joined(text: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut events) = (text, Vec::new());
    while let Some(first) = Joining::Auto.first(rest, 64 << 10) {
        let (event, after) = rest.split_at(first.len);
        let event = event.trim_ascii_end();
        if event.contains(&b'\n') {
            events.push(event);
        }
        rest = after;
    }
    events
}

/// Every line of every sample and every event of several lines, each file a source, a line each 17 seconds up to now.
fn samples() -> Vec<Event> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("samples")
        .flat_map(|d| {
            std::fs::read_dir(d.expect("a folder").path())
                .into_iter()
                .flatten()
        })
        .map(|f| f.expect("a file").path())
        .filter(|f| f.extension().is_some_and(|e| e == "log"))
        .collect();
    files.sort();
    assert!(files.len() > 20);
    let mut all = Vec::new();
    for (n, file) in files.iter().enumerate() {
        let mut detector = formats::Detector::default();
        let text = std::fs::read(file).expect("a sample");
        let lines = text.split(|&b| b == b'\n').filter(|l| !l.is_empty());
        for line in lines.chain(joined(&text)) {
            let time = NOW.0 - 17_000 * i64::try_from(all.len()).expect("few");
            all.push(event(&format!("file:{n}"), time, line, &mut detector));
        }
    }
    all
}

/// By pattern: how many.
type Counts = BTreeMap<Vec<u8>, u64>;

fn brute_force(events: &[Event], range: &Range<Timestamp>, filter: &Filter) -> Counts {
    let mut counts = Counts::new();
    for e in events
        .iter()
        .filter(|e| range.contains(&e.time) && filter.matches(e))
    {
        *counts.entry(log::pattern(e)).or_default() += 1;
    }
    counts
}

fn counted(reader: &Reader, range: Range<Timestamp>, filter: &Filter) -> PatternCounts {
    let counts = reader.count_patterns(range, filter).expect("counts");
    counts.expect("they are there")
}

fn check(reader: &Reader, events: &[Event], filter: &str) {
    let filter = Query::parse(filter).expect("a query").filter;
    assert!(filter.is_of_patterns());
    let all = Timestamp::MIN..Timestamp::MAX;
    let found = counted(reader, all.clone(), &filter);
    assert_eq!(found.others, None);
    let expected = brute_force(events, &all, &filter);
    let found_counts: Counts = found
        .patterns
        .iter()
        .map(|p| (p.pattern.clone(), p.count))
        .collect();
    let text = |counts: &Counts| -> Vec<String> {
        let line = |(p, n): (&Vec<u8>, &u64)| format!("{n} {}", String::from_utf8_lossy(p));
        counts.iter().map(line).collect()
    };
    assert_eq!(text(&found_counts), text(&expected));
    let mut times: BTreeMap<Vec<u8>, (Timestamp, Timestamp)> = BTreeMap::new();
    for e in events.iter().filter(|e| filter.matches(e)) {
        let seen = times.entry(log::pattern(e)).or_insert((e.time, e.time));
        *seen = (seen.0.min(e.time), seen.1.max(e.time));
    }
    for pattern in &found.patterns {
        let seen = times.get(&pattern.pattern);
        let (first, last) = (seen.map(|s| s.0), seen.map(|s| s.1));
        // Exact to the hour, which is what is kept of old lines.
        assert!(first.is_some_and(|t| t.since_ms(pattern.first) < HOUR && t >= pattern.first));
        assert!(last.is_some_and(|t| t.since_ms(pattern.last).abs() < HOUR));
    }
}

#[test]
fn lines_of_every_format_are_counted_as_by_brute_force() {
    let events = samples();
    let dir = TempDir::new().expect("a directory");
    let mut writer = Writer::open(dir.path(), &options(), NOW).expect("a store");
    // Twice, so that templates meet values that they were not learned from.
    writer.apply(batch(&events));
    writer.commit(NOW).expect("a commit");
    let reader = Reader::open(dir.path()).expect("a reader");
    let filters = [
        "",
        "level>=warn",
        "app:sshd or app=one",
        "-source~7$ format!=json",
        "pattern:failed",
    ];
    for filter in filters {
        check(&reader, &events, filter);
    }
    writer.seal_events();
    writer.commit(NOW).expect("a commit");
    for filter in filters {
        check(&reader, &events, filter);
    }
    writer.apply(batch(&events));
    writer.commit(NOW).expect("a commit");
    let twice: Vec<Event> = events.iter().chain(&events).cloned().collect();
    check(&reader, &twice, "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Sealing, merging, reopening and losing what was not committed count each line once.
    #[test]
    fn counts_are_those_of_the_lines(steps in prop::collection::vec(step(), 1..20)) {
        let dir = TempDir::new().expect("a directory");
        let events = live(dir.path(), &steps);
        let reader = Reader::open(dir.path()).expect("a reader");
        for filter in ["", "level:in(warn, err, info)", "not app:star", "source=s2 or pattern:*x*"] {
            check(&reader, &events, filter);
        }
    }

    /// The pipes over any range, sealed or not, are those over the lines in memory.
    #[test]
    fn pipes_answer_as_over_lines(
        steps in prop::collection::vec(step(), 1..12),
        from in -41 * HOUR..HOUR, span in 0..30 * HOUR, back in 1i64..20,
    ) {
        let dir = TempDir::new().expect("a directory");
        let events = live(dir.path(), &steps);
        let reader = Reader::open(dir.path()).expect("a reader");
        let memory = Memory::new(events);
        let clock = Clock { now: NOW, zone: jiff::tz::TimeZone::UTC, boot: None, deploy: None };
        let mut cx = RunContext::new(clock);
        let time = |t: i64| jiff::Timestamp::from_millisecond(t).expect("a time").to_string();
        let range = format!("@{}..{}", time(NOW.0 + from), time(NOW.0 + from + span));
        cx.limits.rows = 100_000;
        for pipe in [
            "| patterns | fields count, share, pattern".to_owned(),
            "| new | fields count, pattern".to_owned(),
            format!("| diff {back}h | fields now, before, change, pattern"),
        ] {
            let query = Query::parse(&format!("level>=info {range} {pipe}")).expect("a query");
            let (mut a, mut b) = (Answer::default(), Answer::default());
            log::run(&reader, &query, &cx, &mut a).expect("an answer");
            log::run(&memory, &query, &cx, &mut b).expect("an answer");
            prop_assert_eq!(&a.0, &b.0, "{} {}", range, pipe);
        }
    }
}

#[derive(Default)]
struct Answer(Vec<String>);

impl log::Sink for Answer {
    fn event(&mut self, _: &log::Hit<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn table(&mut self, table: log::Table) {
        self.0 = table.rows.iter().map(|r| format!("{r:?}")).collect();
    }
}

#[test]
fn counts_outlive_the_lines() {
    let dir = TempDir::new().expect("a directory");
    let small = Options {
        budget_bytes: 2 << 20,
        series_bytes: 1 << 19,
        ..options()
    };
    let mut writer = Writer::open(dir.path(), &small, NOW).expect("a store");
    let mut detector = formats::Detector::default();
    let (mut all, mut seed) = (Vec::new(), 7u64);
    for n in 0..60_000i64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let kind = ["read", "write", "erase"][usize::try_from(n % 3).expect("small")];
        let line = format!(
            "Nov 21 10:00:00 web1 disk[7]: {kind} {seed:x} {:x}",
            seed ^ 0x5555
        );
        all.push(event(
            "s0",
            NOW.0 + n * 1000,
            line.as_bytes(),
            &mut detector,
        ));
    }
    for part in all.chunks(5000) {
        writer.apply(batch(part));
        writer.seal_events();
        writer.commit(NOW.plus_ms(60_000_000)).expect("a commit");
    }
    let reader = Reader::open(dir.path()).expect("a reader");
    let evicted = reader.events_evicted().expect("a number");
    assert!(evicted > 10_000, "{evicted}");
    check(&reader, &all, "");
    // The pipe as well, from the middle of a minute on.
    let clock = Clock {
        now: NOW.plus_ms(60_000_000),
        zone: jiff::tz::TimeZone::UTC,
        boot: None,
        deploy: None,
    };
    let cx = RunContext::new(clock);
    let query = Query::parse("@all | patterns | fields count").expect("a query");
    let mut answer = Answer::default();
    log::run(&reader, &query, &cx, &mut answer).expect("an answer");
    assert_eq!(answer.0, ["[Count(20000)]"; 3]);
    drop(writer);
    // Once more after the start.
    let writer = Writer::open(dir.path(), &small, NOW).expect("a store");
    check(&reader, &all, "");
    drop(writer);
}

#[test]
fn a_flood_of_patterns_is_counted_with_the_others() {
    let dir = TempDir::new().expect("a directory");
    let mut writer = Writer::open(dir.path(), &options(), NOW).expect("a store");
    let mut detector = formats::Detector::default();
    let word = |mut n: i64| -> String {
        let mut out = String::new();
        while n > 0 {
            out.push(char::from(b'a' + u8::try_from(n % 26).expect("a letter")));
            n /= 26;
        }
        out
    };
    for part in 0..8i64 {
        let lines: Vec<Event> = (0..2000)
            .map(|n| {
                let text = match n % 4 {
                    0 => "usual business".to_owned(),
                    _ => format!("never seen {}", word(1 + part * 2000 + n)),
                };
                let line = format!("Nov 21 10:00:00 web1 app: {text}");
                event("s0", NOW.0 + part, line.as_bytes(), &mut detector)
            })
            .collect();
        writer.apply(batch(&lines));
        writer.seal_events();
        writer.commit(NOW).expect("a commit");
    }
    let reader = Reader::open(dir.path()).expect("a reader");
    let all = Timestamp::MIN..Timestamp::MAX;
    let counts = counted(&reader, all, &Filter::All);
    assert_eq!(counts.total(), 16_000);
    let (_, _, others) = counts.others.expect("there are others");
    assert!(others >= 16_000 - 4000 - 4096, "{others}");
    assert!(reader.patterns_dropped().expect("a number") > 0);
    let usual = counts
        .patterns
        .iter()
        .find(|p| p.pattern == b"usual business");
    assert_eq!(usual.map(|p| p.count), Some(4000));
}
