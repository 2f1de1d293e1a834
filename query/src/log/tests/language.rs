//! What conditions mean.

use super::event;
use crate::log::Query;

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
    check("x@y.example:25", &[]);
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
fn units() {
    let lines = [
        /* 0 */ "-1s - j | {>}done {_SYSTEMD_UNIT:nginx.service}",
        /* 1 */ "-1s - j | Started {UNIT:nginx.service} {_SYSTEMD_UNIT:init.scope}",
        /* 2 */
        "-1s - s | {unit:nginx.service}: Failed {UNIT:x.service} {_SYSTEMD_UNIT:init.scope}",
        /* 3 */ "-1s - d _SYSTEMD_UNIT=docker.service | nginx.service",
        /* 4 */ "-1s - s | nginx.service",
    ];
    let check = |filter: &str, expected: &[usize]| {
        assert_eq!(passing(filter, &lines), expected, "{filter}")
    };
    check("unit:nginx.service", &[0, 1, 2]);
    check("unit=docker*", &[3]);
    check("unit:init.scope or unit:x.service", &[]);
    check("_SYSTEMD_UNIT:init.scope", &[1, 2]);
    check("unit=\"\"", &[4]);
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
fn names_of_structured_data_have_an_at_sign() {
    let lines = [
        "-1s - s | {sd.bench@32473.src:abc} one",
        "-1s - s | {sd.bench@32473.src:abd} two",
    ];
    for (filter, expected) in [
        ("sd.bench@32473.src=abc", &[0][..]),
        (r#""sd.bench@32473.src":abd"#, &[1]),
        ("@1h sd.bench@32473.src:ab*", &[0, 1]),
        ("-sd.bench@32473.src=abc", &[1]),
        ("bench@32473.src=abc", &[]),
    ] {
        assert_eq!(passing(filter, &lines), expected, "{filter}");
    }
    let top = Query::parse("* | top 3 sd.bench@32473.src").unwrap();
    assert_eq!(Query::parse(&top.to_string()), Ok(top));
}
