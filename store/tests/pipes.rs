//! Whole queries on blocks, with pipes and pages, against the same over the lines in memory.

use std::ops::ControlFlow;

use proptest::prelude::*;
use tempfile::TempDir;
use vigie_query::EventSource;
use vigie_query::log::{self, Clock, Cursor, Hit, Memory, Query, RunContext, Sink, Table};
use vigie_store::Reader;

mod lives;
use lives::{NOW, live, step};

const FILTERS: &[&str] = &[
    "",
    "level>=warn",
    "status>=400",
    "failed or 404",
    "-GET",
    "method=GET path:b*",
    "app:star* or app=one",
    "ip:192.0.2.0/24 status:in(200, 503)",
    "source=s1 level!=err",
    "/[a-c]+ took [0-9]+ms/",
    "not (format=json or format=combined)",
    "unit:a.service",
    "unit=b* -unit:c",
    "unit:* app:op*",
    "unit!=o.service",
];

const PIPES: &[&str] = &[
    "",
    "| count",
    "| count by app, level",
    "| count by format | where count>3 | sort -count, format",
    "| top 3 path",
    "| top 2 method, status",
    "| rare 2 status",
    "| chart every 1h",
    "| chart count by level every 6h",
    "| stats count, avg bytes, sum status, min status, max status, uniq path by method",
    "| p50 status, p95 status by method | sort -p95",
    "| sort -status, path | head 5",
    "| sort time | fields time, level, path, message",
    "| limit 4",
    "| tail 6",
    "| head 6",
    "| uniq app",
    "| top unit",
    "| count by unit, level",
    "| rate 1h by app",
    "| where status>=500 | count by path",
    "| parse \"took <n>ms\" | max n, count by app",
    "| sessions 1h by ip",
    "| context 2",
    "| around 1m",
    "| top 4 pattern",
];

/// What came out, as text; events by their places.
#[derive(Default)]
struct Answer {
    lines: Vec<String>,
    last: Option<Cursor>,
}

impl Sink for Answer {
    fn event(&mut self, hit: &Hit<'_>) -> ControlFlow<()> {
        let e = hit.event;
        self.last = Some(Cursor {
            time: e.time,
            id: e.id,
        });
        let line = String::from_utf8_lossy(&e.line);
        self.lines
            .push(format!("{} {} {:?} {line}", e.time.0, e.id, hit.extracted));
        ControlFlow::Continue(())
    }

    fn table(&mut self, table: Table) {
        self.lines.push(table.columns.join(" "));
        self.lines
            .extend(table.rows.iter().map(|row| format!("{row:?}")));
    }
}

fn ask(source: &dyn EventSource, query: &Query, cx: &RunContext<'_>) -> (Answer, bool) {
    let mut answer = Answer::default();
    let outcome = log::run(source, query, cx, &mut answer).expect("an answer");
    assert_eq!(outcome.stats.incomplete, None);
    (answer, outcome.more)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn whole_queries_equal_brute_force(
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::sample::select(FILTERS), 1..3),
        page in 4usize..20,
        hours in 1u32..50,
    ) {
        let dir = TempDir::new().expect("a directory");
        let events = live(dir.path(), &steps);
        let reader = Reader::open(dir.path()).expect("a reader");
        let memory = Memory::new(events);
        let clock = Clock { now: NOW, zone: jiff::tz::TimeZone::UTC, boot: None, deploy: None };
        let mut cx = RunContext::new(clock);
        for filter in filters {
            for pipe in PIPES {
                let filter = if filter.is_empty() { "" } else { &format!("({filter})") };
                let text = format!("{filter} @{hours}h {pipe}");
                let query = Query::parse(&text).expect("a query");
                cx.limits.rows = 100_000;
                cx.before = None;
                let (found, _) = ask(&reader, &query, &cx);
                let (expected, _) = ask(&memory, &query, &cx);
                prop_assert_eq!(&found.lines, &expected.lines, "{}", text);
                // The same once more, page by page: no gap, nothing twice.
                if query.makes_table() || pipe.contains("sort") || pipe.contains("head") {
                    continue;
                }
                cx.limits.rows = page;
                let mut pages = Vec::new();
                loop {
                    let (part, more) = ask(&reader, &query, &cx);
                    prop_assert!(part.lines.len() <= page);
                    pages.extend(part.lines);
                    if !more {
                        break;
                    }
                    prop_assert!(part.last.is_some());
                    cx.before = part.last;
                }
                prop_assert_eq!(&pages, &expected.lines, "{} by {}", text, page);
            }
        }
    }
}
