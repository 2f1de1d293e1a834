//! What pipes make of events, and what limits do to them.

use super::{answer, check, events};
use crate::log::{Memory, Query};

pub(super) fn numbers() -> Memory {
    let line = |n: u32| {
        let (level, app) = (
            ["info", "err"][(n % 2) as usize],
            ["a", "b", "c"][(n % 3) as usize],
        );
        format!("-{n}m {level} {app}.log host=h{n} | {{app:{app}}} n={n} {{duration|ms:{n}00}}\n")
    };
    events(&(1..=12).map(line).collect::<String>())
}

#[test]
fn pipes() {
    let source = numbers();
    check(&source, "n=3 or n=4 | fields n", "n");
    check(
        &source,
        "* | kv | where n:3..4 | fields n, app",
        "n app\n3 a\n4 b",
    );
    check(&source, "* | head 2 | fields host", "host\nh12\nh11");
    check(&source, "* | tail 2 | fields host", "host\nh1\nh2");
    check(&source, "* | limit 2 | fields host", "host\nh1\nh2");
    check(&source, "* | tail 5 | head 2 | fields host", "host\nh4\nh5");
    check(&source, "* | head 5 | tail 2 | fields host", "host\nh9\nh8");
    check(
        &source,
        "* | sort -duration | head 2 | fields host, duration",
        "host duration\nh12 1.2s\nh11 1.1s",
    );
    check(
        &source,
        "* | sort app, -host | head 3 | fields app, host",
        "app host\na h9\na h6\na h3",
    );
    check(&source, "* | tail 1", "b n=1 100");
}

#[test]
fn figures() {
    let source = numbers();
    check(&source, "* | count", "count\n12");
    check(&source, "nothing | count", "count\n0");
    check(&source, "nothing | count by app", "app count");
    check(
        &source,
        "* | count by app, level | sort app, level | head 3",
        "app level count\na err 2\na info 2\nb err 2",
    );
    check(
        &source,
        "* | count, avg duration, p50 duration, max duration, uniq host by app | sort app",
        "app count avg p50 max uniq
         a 4 0.75s 0.6s 1.2s 4
         b 4 0.55s 0.4s 1s 4
         c 4 0.65s 0.5s 1.1s 4",
    );
    check(
        &source,
        "* | p50 duration, p99 duration",
        "p50 p99\n0.6s 1.2s",
    );
    check(
        &source,
        "* | stats sum duration, min duration",
        "sum min\n7.8s 0.1s",
    );
    check(&source, "* | avg bytes", "avg\n-");
    check(
        &source,
        "level=err | top 1 app, level",
        "app level count share\na err 2 33.3%",
    );
    check(
        &source,
        "app:a or host:h1 | rare app",
        "app count share\nb 1 20%\na 4 80%",
    );
    check(&source, "* | top nofield.x", "nofield.x count share");
    check(&source, "* | uniq app", "app count\na 4\nb 4\nc 4");
    check(
        &source,
        "* | count by app, level | count by app | sort app",
        "app count\na 2\nb 2\nc 2",
    );
    check(
        &source,
        "* | top app | where count>=4 app:b | fields app",
        "app\nb",
    );
    check(&source, "@10m | rate 1m", "count rate\n10 1");
    check(
        &source,
        "@12m.. | chart count every 6m",
        "time count\n-720s 6\n-360s 6\n0s 0",
    );
    check(
        &source,
        "@12m | chart max duration by app every 12m",
        "time app max\n-720s a 1.2s\n-720s b 1s\n-720s c 1.1s",
    );
    check(
        &source,
        "@all | chart every 6m",
        "time count\n-720s 6\n-360s 6",
    );
    check(
        &source,
        "app:c | context 1 | fields host",
        "host\nh2\nh5\nh8\nh11",
    );
    check(
        &source,
        "* | sessions 2m by app | fields app, count",
        "app count\nb 1\nc 1\na 1\nb 1\nc 1\na 1\nb 1\nc 1\na 1\nb 1\nc 1\na 1",
    );
    check(
        &source,
        "* | sessions 3m by app | sort app",
        "app start end duration count\na -720s -180s 540s 4\nb -600s -60s 540s 4\nc -660s -120s 540s 4",
    );
    check(
        &source,
        "* | patterns",
        "count share first last pattern sample\n4 33.3% -720s -180s a n=<*> <*> a n=3 300\n4 33.3% -600s -60s b n=<*> <*> b n=1 100\n4 33.3% -660s -120s c n=<*> <*> c n=2 200",
    );
}

#[test]
fn limits_are_told() {
    let source = numbers();
    let (lines, outcome) = answer(&source, "*");
    assert_eq!((lines.len(), outcome.more), (12, false));
    let query = Query::parse("* | count by host").unwrap();
    let mut cx = crate::log::RunContext::new(super::clock());
    cx.limits.groups = 3;
    let mut written = super::Written::default();
    let outcome = crate::log::run(&source, &query, &cx, &mut written).unwrap();
    assert_eq!(written.lines.len(), 4);
    assert!(outcome.stats.incomplete.unwrap().starts_with("more groups"));
    cx.limits.rows = 2;
    for (text, rows) in [("*", 2), ("* | count by app", 3), ("* | sort app", 2)] {
        let mut written = super::Written::default();
        let outcome =
            crate::log::run(&source, &Query::parse(text).unwrap(), &cx, &mut written).unwrap();
        assert_eq!((written.lines.len(), outcome.more), (rows, true), "{text}");
    }
    cx.limits.kept_bytes = 100;
    for text in [
        "* | sort app",
        "* | p95 duration by app",
        "* | patterns",
        "* | sessions by app",
        "* | around 1m",
    ] {
        let mut written = super::Written::default();
        let outcome =
            crate::log::run(&source, &Query::parse(text).unwrap(), &cx, &mut written).unwrap();
        assert!(outcome.stats.incomplete.is_some(), "{text}");
    }
    let cancel = std::sync::atomic::AtomicBool::new(true);
    cx.cancel = Some(&cancel);
    let outcome = crate::log::run(&source, &query, &cx, &mut written).unwrap();
    assert_eq!(outcome.stats.incomplete.as_deref(), Some("cancelled"));
}

/// What is ahead of our clock is there where nobody has said when to end, and makes no chart longer.
#[test]
fn an_open_range_goes_on_beyond_now() {
    let at = |(ahead_m, host): (i64, &str)| {
        let mut event = super::event(&format!("-0s info a.log host={host} | x"));
        event.time = super::NOW.plus_ms(ahead_m * 60_000);
        event
    };
    let source = Memory::new(
        [(-5, "past"), (59, "ahead"), (25 * 60, "far")]
            .map(at)
            .to_vec(),
    );
    for (query, expected) in [
        ("@1h | fields host", "host\nahead\npast"),
        ("@2h.. | fields host", "host\nahead\npast"),
        ("@2h..now | fields host", "host\npast"),
        ("@today | fields host", "host\nahead\npast"),
        ("@all | fields host", "host\nfar\nahead\npast"),
        ("@1h | count", "count\n2"),
    ] {
        check(&source, query, expected);
    }
    let range = |query: &str| answer(&source, query).1.range;
    for query in ["@1h", "@1h | count", "@1h | chart count every 30m"] {
        assert_eq!(range(query).end, super::NOW.plus_ms(1), "{query}");
    }
}

#[test]
fn pages_follow_each_other() {
    let source = numbers();
    let check = |query: &str, pages: &[(usize, bool)]| {
        let query = Query::parse(query).unwrap();
        let mut cx = crate::log::RunContext::new(super::clock());
        cx.limits.rows = 4;
        let mut seen = Vec::new();
        for expected in pages {
            let mut page = Page::default();
            let outcome = crate::log::run(&source, &query, &cx, &mut page).unwrap();
            assert_eq!((page.0.len(), outcome.more), *expected, "{query}");
            cx.before = page.0.last().copied();
            seen.extend(page.0);
        }
        let falls = |w: &[crate::log::Cursor]| (w[0].time, w[0].id) > (w[1].time, w[1].id);
        assert!(seen.windows(2).all(falls), "{query}");
    };
    check("level=err", &[(4, true), (2, false)]);
    check("* | tail 7", &[(4, true), (3, false)]);
    check("app:c | around 1m", &[(4, true), (4, true), (4, false)]);
}

#[derive(Default)]
struct Page(Vec<crate::log::Cursor>);

impl crate::log::Sink for Page {
    fn event(&mut self, hit: &crate::log::Hit<'_>) -> std::ops::ControlFlow<()> {
        let (time, id) = (hit.event.time, hit.event.id);
        self.0.push(crate::log::Cursor { time, id });
        std::ops::ControlFlow::Continue(())
    }

    fn table(&mut self, _: crate::log::Table) {}
}
