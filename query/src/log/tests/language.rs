//! What conditions mean, and what errors say.

use super::{answer, check, event, events};
use crate::log::{Memory, Query};

/// Which of `lines` pass, by number.
fn passing(filter: &str, lines: &[&str]) -> Vec<usize> {
    let query = Query::parse(filter).unwrap_or_else(|e| panic!("{filter}: {e}"));
    assert_eq!(
        Query::parse(&query.to_string()).as_ref(),
        Ok(&query),
        "{filter} as {query}"
    );
    let events = lines.iter().map(|l| event(l));
    let passed = events.enumerate().filter(|(_, e)| query.filter.matches(e));
    passed.map(|(i, _)| i).collect()
}

#[test]
fn text() {
    let lines = [
        /* 0 */ "-1s - s | Failed password for root from 10.0.0.7 port 22",
        /* 1 */ "-1s - s | failed:   PASSWORD_reset (passwords)",
        /* 2 */ "-1s - s host=Web1 | {@12:00:01} naïve café GRÖSSE x@y.example a-b",
        /* 3 */
        r#"-1s - /var/log/a.log | {@12} {msg|json:say \"h\u00e9llo\" now}x "GET /a-b/c" <- ok"#,
        /* 4 */ "-1s - s | {duration|ms:1500} took a while: x->y, 50% “quoted”",
    ];
    let check = |filter: &str, expected: &[usize]| {
        assert_eq!(passing(filter, &lines), expected, "{filter}")
    };
    check("failed", &[0, 1]);
    check("FAILED password", &[0]);
    check("password", &[0]);
    check("password*", &[0, 1]);
    check("*word*", &[0, 1]);
    check("*word", &[0]);
    check("passwords", &[1]);
    check(r#""failed password""#, &[0]);
    check(r#""failed password"*"#, &[0, 1]);
    check("'Failed  password'", &[0]);
    check("10.0.0.7", &[0]);
    check("10.0.0", &[0]);
    check("0.0.7 10.0.0.70", &[]);
    check("caf", &[]);
    check("café", &[2]);
    check("CAFÉ größe", &[]);
    check("grösse NAÏVE", &[2]);
    check("naï*", &[2]);
    check("x@y.example a-b", &[2]);
    check("a-b", &[2, 3]);
    check("/a-b/", &[2, 3]);
    check("/a-b/c", &[3]);
    // The stamp is no text, the origin is.
    check("12", &[]);
    check("web1", &[2]);
    check("a.log", &[3]);
    // Escapes are undone.
    check("héllo", &[3]);
    check(r#""say \"héllo\" now""#, &[3]);
    check("nowx", &[3]);
    check("now", &[3]);
    check("1.5", &[4]);
    check("1500", &[4]);
    check("'->'", &[4]);
    check("quoted", &[4]);
    check("50%", &[4]);
    check("*", &[0, 1, 2, 3, 4]);
    check("", &[0, 1, 2, 3, 4]);
    check("/^failed/", &[1]);
    check("/^failed/i", &[0, 1]);
    check(r"/port \d+$/", &[0]);
    check(r"/GET \/a/", &[3]);
    check("-failed -café", &[3, 4]);
    check("not failed and not café", &[3, 4]);
    check("!failed AND NOT (café OR took)", &[3]);
    check("root or café héllo or took", &[0, 4]);
    check("(root or café) (port or a-b)", &[0, 2]);
    check("not not failed", &[0, 1]);
    check("--", &[]);
}

#[test]
fn fields() {
    let lines = [
        /* 0 */
        "-1s err s file=/var/log/x | {ip:10.1.2.3} {method:GET} {path:/api/v1/users} {status:500} {bytes:5242881} {duration|ms:250}",
        /* 1 */
        "-1s - s | {ip:2001:db8::1} {method:POST} {path:/api} {status:200} {bytes:10} {user:bob} {elapsed:1m2.5s}",
        /* 2 */
        "-1s warn t host=db1 | {app:postgres}: {code:00200} {ip:::ffff:10.1.9.9} {docker.service:vote} {state:open}",
        /* 3 */ "-1s debug t | {pri:86} nothing {status:abc}",
    ];
    let check = |filter: &str, expected: &[usize]| {
        assert_eq!(passing(filter, &lines), expected, "{filter}")
    };
    check("status>=500", &[0]);
    check("status:500", &[0]);
    check("status=0500", &[0]);
    check("code=200", &[2]);
    check("status!=500", &[1, 2, 3]);
    check("status:500..599", &[0]);
    check("status=500..599", &[0]);
    check("status:4*", &[]);
    check("status:in(200, 500..501, abc)", &[0, 1, 3]);
    check("status<300", &[1]);
    check("status:*", &[0, 1, 3]);
    check("-status:*", &[2]);
    check("user=''", &[0, 2, 3]);
    check("user!=\"\"", &[1]);
    check("bytes>5MiB", &[0]);
    check("bytes<2k", &[1]);
    check("duration>200ms", &[0]);
    check("duration=0.25", &[0]);
    check("duration=250ms", &[0]);
    check("elapsed>1m", &[1]);
    check("elapsed<=62500ms", &[1]);
    check("ip:10.0.0.0/8", &[0, 2]);
    check("ip=10.1.2.0/24", &[0]);
    check("ip!=10.0.0.0/8", &[1, 3]);
    check("ip:2001:db8::/32", &[1]);
    check("ip=2001:0db8:0:0::1", &[1]);
    check("ip:10.1.9.9", &[2]);
    check("ip:in(10.1.2.3, 2001:db8::1)", &[0, 1]);
    check("path:api", &[0, 1]);
    check("path=/api", &[1]);
    check("path=/api/*", &[0]);
    check("path=*users", &[0]);
    check("path~^/api/v\\d+/(users|carts)", &[0]);
    check("(path~^/api$)", &[1]);
    check("path!~users", &[1, 2, 3]);
    check("path~/USERS/i", &[0]);
    check("method:get", &[0]);
    check("method=get", &[]);
    check("host:db1", &[2]);
    check("host=DB1", &[]);
    check("file:x", &[0]);
    check("source=t", &[2, 3]);
    check("format:test", &[0, 1, 2, 3]);
    check("docker.service=vote", &[2]);
    check("state:open", &[2]);
    check("\"app\":postgres", &[2]);
    check("message:nothing", &[3]);
    check("pattern:*nothing*", &[3]);
    check("facility:authpriv", &[3]);
    check("facility=10", &[3]);
    check("level>=warn", &[0, 2]);
    check("level<warn", &[3]);
    check("level>=4", &[0, 2]);
    check("level=error", &[0]);
    check("level:warning", &[2]);
    check("level!=err", &[1, 2, 3]);
    check("level:in(debug, warn)", &[2, 3]);
    check("level:debug..warn", &[2, 3]);
    check("time>=2026-11-21T11:59:59Z", &[0, 1, 2, 3]);
    check("time<1795262399", &[]);
    check("status>=500 or app:postgres", &[0, 2]);
    check("http://x", &[]);
    check("std::fs", &[]);
    check("aa:bb:cc:dd:ee:ff", &[]);
    check("2001:db8::1", &[1]);
    check("status==500", &[0]);
    check("status:>=500", &[0]);
}

#[test]
fn errors_name_the_column_and_help() {
    let check = |query: &str, expected: &str| {
        let found = Query::parse(query).expect_err(query).to_string();
        assert_eq!(found, expected, "{query}");
    };
    check(
        "app:sshd and statsu:500",
        "query:14: unknown field 'statsu', did you mean 'status'?",
    );
    check(
        "größe statsu:1",
        "query:7: unknown field 'statsu', did you mean 'status'?",
    );
    check(
        "status>=abc",
        "query:9: 'abc' is no number; units are k M G KiB MiB GiB, ns us ms s m h d",
    );
    check(
        "level>=waring",
        "query:8: unknown level 'waring', did you mean 'warning'?",
    );
    check(
        "level>loud",
        "query:7: 'loud' is no level; they are debug < info < notice < warn < err < crit < alert < emerg",
    );
    check("(a or b", "query:1: this '(' is never closed");
    check("a) b", "query:2: there is no '(' for this ')'");
    check(
        "foo()",
        "query:5: nothing between the parentheses; quote text that has some",
    );
    check("\"abc", "query:1: this quote is never closed");
    check(
        "\" \"",
        "query:1: there is nothing to look for between the quotes",
    );
    check(
        "a or",
        "query:5: the query ends where a condition is expected",
    );
    check(
        "or a",
        "query:1: 'or' stands between two conditions; to search for the word, quote it",
    );
    check(
        "app:",
        "query:5: 'app' needs a value right behind the operator; to search for the text, quote it",
    );
    check(
        "foo*bar",
        "query:1: '*' opens an end of a word; for more use '~' and an expression, or quote it",
    );
    check(
        "@15x",
        "query:1: '15x' is no time; as '@15m', '@2h..1h', '@2026-11-20T10:00..11:00', '@yesterday'",
    );
    check(
        "@yestreday",
        "query:1: 'yestreday' is no time; did you mean '@yesterday'?",
    );
    check(
        "@1h @2h",
        "query:5: the query has a time already; a range is '@2h..1h'",
    );
    check(
        "a or @1h",
        "query:1: a time holds for the whole query: it cannot stand in an 'or'",
    );
    check(
        "-@1h",
        "query:1: a time cannot be negated; write the range that you mean",
    );
    check(
        "a | where @1h",
        "query:11: a time belongs in front of the first '|'",
    );
    check("/(/", "query:1: no regular expression: unclosed group");
    check(
        r"path~\w{1000}{9}",
        "query:6: this expression is too large; use fewer repetitions",
    );
    check(
        "a | topp path",
        "query:5: unknown pipe 'topp', did you mean 'top'?",
    );
    check(
        "a | group by x",
        "query:5: unknown pipe 'group', did you mean 'count by'?",
    );
    check("a |", "query:4: a pipe needs a name, as in '| top path'");
    check("a | top", "query:8: 'top' needs a field");
    check(
        "a | top path | sort -cuont",
        "query:22: there is no column 'cuont' here, only path, count, share",
    );
    check(
        "a | top path | patterns",
        "query:16: 'patterns' needs events: put it before the pipe that makes a table",
    );
    check(
        "a | head ten",
        "query:10: 'head' does not expect 'ten' here",
    );
    check(
        "a | parse \"<a><b>\"",
        "query:11: there must be text between '<b>' and the hole before it",
    );
    check(
        "a | chart every 5",
        "query:17: '5' is no span of time, as '30s', '5m', '1h', '1d' are",
    );
    check(
        "a | p95",
        "query:8: 'p95' needs a field, as in 'p95 duration'",
    );
    check(
        "a | where",
        "query:10: 'where' needs a condition, as in 'where status>=500'",
    );
    check(
        "a | around 1m | context 2",
        "query:17: only one 'around' or 'context' in a query",
    );
    check(
        "time>yesterday",
        "query:6: 'yesterday' is no time with a zone; to choose a time write '@2h..1h' or '@2026-11-20T10:00'",
    );
    let long = "a ".repeat(300) + &"-".repeat(40);
    assert!(Query::parse(&long).is_ok());
    let deep = "(".repeat(40) + "a";
    check(&deep, "query:33: nested deeper than 32 levels");
    check(&"a ".repeat(501), "query:1001: more than 500 conditions");
    check(&"x".repeat(600), "query:1: text longer than 512 bytes");
}

#[test]
fn own_names_are_quoted() {
    assert!(Query::parse("\"statsu\":500 | top \"statsu\"").is_ok());
    assert!(Query::parse("state:open users:5 kubernetes.pod:x").is_ok());
    assert!(Query::parse("* | parse \"<hots> x\" | top hots").is_ok());
    assert!(Query::parse("* | json | where hots:x").is_ok());
}

fn numbers() -> Memory {
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

#[test]
fn pages_follow_each_other() {
    let source = numbers();
    let query = Query::parse("level=err").unwrap();
    let mut cx = crate::log::RunContext::new(super::clock());
    cx.limits.rows = 4;
    let mut seen = Vec::new();
    for expected in [(4, true), (2, false)] {
        let mut page = Page::default();
        let outcome = crate::log::run(&source, &query, &cx, &mut page).unwrap();
        assert_eq!((page.0.len(), outcome.more), expected);
        cx.before = page.0.last().copied();
        seen.extend(page.0);
    }
    assert!(
        seen.windows(2)
            .all(|w| (w[0].time, w[0].id) > (w[1].time, w[1].id))
    );
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
