//! Syslog as peers send it, line by line.

use jiff::tz::TimeZone;
use vigie_parsers::formats::{self, Detector};
use vigie_parsers::{Context, Record, Timestamp};

use crate::dump::{context, fields, message};

/// One line as it is read from a syslog transport: fields, then the message.
fn check(line: &str, want_fields: &str, want_message: &str) {
    let mut record = Record::default();
    Detector::default().received(&mut context(), line.as_bytes(), &mut record);
    assert_eq!(fields(&record, line.as_bytes()), want_fields, "{line}");
    assert_eq!(message(&record, line.as_bytes()), want_message, "{line}");
}

#[test]
fn rfc5424_of_the_peers() {
    for (line, want, text) in [
        (
            "<36>1 2026-11-21T05:10:56.679723+00:00 web1 sshd 4860 - -  run=1",
            "2026-11-21T05:10:56.679Z warn auth pri=36 host=web1 app=sshd pid=4860",
            "run=1",
        ),
        (
            r#"<13>1 2026-11-21T05:11:43Z web1 demo - ID47 [timeQuality tzKnown="1"][bench@32473 src="a \"q\" \] v" e=""] hi"#,
            r#"2026-11-21T05:11:43Z notice user pri=13 host=web1 app=demo msgid=ID47 sd.timeQuality.tzKnown=1 sd.bench@32473.src="a \"q\" ] v""#,
            "hi",
        ),
        // Later than anything that can be shown: the stamp is none.
        (
            "<13>1 9999-12-30T22:00:01Z web1 demo - - - late",
            "notice user pri=13 host=web1 app=demo",
            "late",
        ),
        (
            "<13>1 9999-12-30T22:00:00Z web1 demo - - - late",
            "9999-12-30T22:00:00Z notice user pri=13 host=web1 app=demo",
            "late",
        ),
        (
            "<13>1 - - demo - - - run",
            "notice user pri=13 app=demo",
            "run",
        ),
        (
            "<34>1 2003-08-24t05:14:15.0000030-07:00 h a p m - \u{feff}BOM",
            "2003-08-24T12:14:15Z crit auth pri=34 host=h app=a pid=p msgid=m",
            "BOM",
        ),
        (
            "<34>1 2026-11-21T05:10:60Z h a p m -",
            "2026-11-21T05:10:59.999Z crit auth pri=34 host=h app=a pid=p msgid=m",
            "",
        ),
        (
            "<34>1 2026-11-21T05:10:00Z h a p m",
            "2026-11-21T05:10:00Z crit auth pri=34 host=h app=a pid=p msgid=m",
            "",
        ),
        (
            "<34>1 2026-11-21T05:10:00Z h a p m [x y] z",
            "2026-11-21T05:10:00Z crit auth !degraded pri=34 host=h app=a pid=p msgid=m",
            "[x y] z",
        ),
        (
            "<134>1 1700000000.123 mx events - - - type=x",
            "2023-11-14T22:13:20.123Z info local0 pri=134 host=mx app=events",
            "type=x",
        ),
        ("<34>1 garbage", "crit auth !degraded pri=34", "1 garbage"),
    ] {
        check(line, want, text);
    }
}

/// Line, fields, message.
const RFC3164: &[(&str, &str, &str)] = &[
    (
        "<36>Nov 21 05:10:56 web1 sshd[4853]: x",
        "2026-11-21T05:10:56Z warn auth !guessed pri=36 host=web1 app=sshd pid=4853",
        "x",
    ),
    (
        "<36>2026-11-21T05:10:56.656489+01:00 web1 sshd[48]: x",
        "2026-11-21T04:10:56.656Z warn auth pri=36 host=web1 app=sshd pid=48",
        "x",
    ),
    (
        "<18>Nov 21 05:11:43 demo: run=l",
        "2026-11-21T05:11:43Z crit mail !guessed pri=18 app=demo",
        "run=l",
    ),
    (
        "<18>Nov  1 5:11:43 demo[4711]: x",
        "2026-11-01T05:11:43Z crit mail !guessed pri=18 app=demo pid=4711",
        "x",
    ),
    (
        "<129>Nov 21 05:25:04 haproxy[1]: Proxy web stopped.",
        "2026-11-21T05:25:04Z alert local0 !guessed pri=129 app=haproxy pid=1",
        "Proxy web stopped.",
    ),
    (
        "<13>Dec 25 00:00:00 web1 a: x",
        "2025-12-25T00:00:00Z notice user !guessed pri=13 host=web1 app=a",
        "x",
    ),
    (
        "<13>Nov 22 05:00:00 web1 a: x",
        "2026-11-22T05:00:00Z notice user !guessed pri=13 host=web1 app=a",
        "x",
    ),
    (
        "<13>Feb 29 05:00:00 web1 a: x",
        "2024-02-29T05:00:00Z notice user !guessed pri=13 host=web1 app=a",
        "x",
    ),
    (
        "<13>Feb 30 05:00:00 web1 a: x",
        "notice user pri=13",
        "Feb 30 05:00:00 web1 a: x",
    ),
    (
        "<13>Nov 21 2025 05:11:43 fw1 : %ASA-6-302013: Built",
        "2025-11-21T05:11:43Z notice user !guessed pri=13 host=fw1 app=%ASA-6-302013",
        "Built",
    ),
    (
        "<13>Nov 21 2025 05:11:43: %ASA-6-302013: Built",
        "2025-11-21T05:11:43Z notice user !guessed pri=13 app=%ASA-6-302013",
        "Built",
    ),
    (
        "<189>45: *Nov 21 05:11:43.123 UTC: %SYS-5-CONFIG_I: Configured",
        "2026-11-21T05:11:43.123Z notice local7 !guessed pri=189 app=%SYS-5-CONFIG_I",
        "Configured",
    ),
    (
        "<189>45: *Nov 21 05:11:43.123: %SYS-5-CONFIG_I: Configured",
        "2026-11-21T05:11:43.123Z notice local7 !guessed pri=189 app=%SYS-5-CONFIG_I",
        "Configured",
    ),
    // With its own name (`logging origin-id`), with two counters, with its uptime, with neither.
    (
        "<189>45: router1: *Nov 21 05:11:43.123: %SYS-5-CONFIG_I: Configured",
        "2026-11-21T05:11:43.123Z notice local7 !guessed pri=189 host=router1 app=%SYS-5-CONFIG_I",
        "Configured",
    ),
    (
        "<189>345: 000046: Nov 21 05:11:43: %SYS-5-CONFIG_I: Configured",
        "2026-11-21T05:11:43Z notice local7 !guessed pri=189 app=%SYS-5-CONFIG_I",
        "Configured",
    ),
    (
        "<189>145: 3d02h: %SYS-5-CONFIG_I: Configured",
        "notice local7 pri=189 app=%SYS-5-CONFIG_I",
        "Configured",
    ),
    (
        "<187>245: router1: 00:00:46: %LINK-3-UPDOWN: Interface down",
        "err local7 pri=187 host=router1 app=%LINK-3-UPDOWN",
        "Interface down",
    ),
    (
        "<189>145: 1y12w: %SYS-5-RESTART: System restarted",
        "notice local7 pri=189 app=%SYS-5-RESTART",
        "System restarted",
    ),
    (
        "<189>45: %SYS-5-CONFIG_I: Configured",
        "notice local7 pri=189 app=%SYS-5-CONFIG_I",
        "Configured",
    ),
    // A zone between the time and the host; a program, or a host, may be called like one.
    (
        "<13>Nov 21 05:11:43 UTC web1 a: x",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=web1 app=a",
        "x",
    ),
    (
        "<13>Nov 21 05:11:43 EST a: x",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=EST app=a",
        "x",
    ),
    (
        " <13>Nov 21 05:11:43 web1 a: x",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=web1 app=a",
        "x",
    ),
    (
        "\u{feff}<34>1 2026-11-21T05:11:43Z web1 a 7 - - x",
        "2026-11-21T05:11:43Z crit auth pri=34 host=web1 app=a pid=7",
        "x",
    ),
    // Without a PRI it is user.notice, unless it is of another format.
    (
        "Nov 21 05:11:43 web1 a: x",
        "2026-11-21T05:11:43Z notice user !guessed host=web1 app=a",
        "x",
    ),
    ("hello", "notice user", "hello"),
    ("< 13>x", "notice user !bad_pri", "< 13>x"),
    (
        "{\"level\":\"error\",\"msg\":\"x\"}",
        "err level=error msg=x",
        "x",
    ),
    (
        "<13>Nov 21 05:11:43 2025 web1 a: x",
        "2025-11-21T05:11:43Z notice user !guessed pri=13 host=web1 app=a",
        "x",
    ),
    (
        "<13>2025 Nov 21 05:11:43 web1 a: x",
        "2025-11-21T05:11:43Z notice user !guessed pri=13 host=web1 app=a",
        "x",
    ),
    (
        "<13>1700000000.5 web1 a: x",
        "2023-11-14T22:13:20.5Z notice user pri=13 host=web1 app=a",
        "x",
    ),
    (
        "<13>Nov 21 05:11:43 web1 -- MARK --",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=web1",
        "-- MARK --",
    ),
    (
        "<13>Nov 21 05:11:43 -- MARK --",
        "2026-11-21T05:11:43Z notice user !guessed pri=13",
        "-- MARK --",
    ),
    (
        "<13>Nov 21 05:11:43 last message repeated 3 times",
        "2026-11-21T05:11:43Z notice user !guessed pri=13",
        "last message repeated 3 times",
    ),
    (
        "<13>Nov 21 05:11:43 fe80::1 app: x",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=fe80::1 app=app",
        "x",
    ),
    (
        "<13>Nov 21 05:11:43 [2001:db8::1] app: x",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=[2001:db8::1] app=app",
        "x",
    ),
    (
        "<13>Nov 21 05:11:43 web1 sshd(pam_unix)[9]: x",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=web1 app=sshd(pam_unix) pid=9",
        "x",
    ),
    (
        "<13>Nov 21 05:11:43 web1 postfix/smtpd[9]: x",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=web1 app=postfix/smtpd pid=9",
        "x",
    ),
    (
        "<13>Nov 21 05:11:43 web1 ",
        "2026-11-21T05:11:43Z notice user !guessed pri=13 host=web1",
        "",
    ),
    ("<13>su: x", "notice user pri=13 app=su", "x"),
    ("<013>su: x", "notice user pri=013 app=su", "x"),
    ("<13>two words", "notice user pri=13", "two words"),
    (
        "<13>http://example.org/",
        "notice user pri=13",
        "http://example.org/",
    ),
    (
        "<13>[1.5] kernel text",
        "notice user pri=13",
        "[1.5] kernel text",
    ),
    ("<192>x", "notice user !bad_pri", "<192>x"),
    ("<13 x", "notice user !bad_pri", "<13 x"),
    ("<>x", "notice user !bad_pri", "<>x"),
    ("hello", "notice user", "hello"),
    ("", "notice user", ""),
    (
        "Nov 21 05:11:43 web1 a: x",
        "2026-11-21T05:11:43Z notice user !guessed host=web1 app=a",
        "x",
    ),
];

#[test]
fn rfc3164_in_all_its_forms() {
    for (line, want, text) in RFC3164 {
        check(line, want, text);
    }
}

#[test]
fn files_without_pri() {
    for (line, format, want) in [
        (
            "Nov 21 05:11:43 web1 CRON[1]: (root) CMD (x)",
            "rfc3164",
            "2026-11-21T05:11:43Z !guessed host=web1 app=CRON pid=1 user=root action=CMD command=x",
        ),
        (
            "2026-11-21T05:11:43.611760+00:00 web1 sshd[1]: x",
            "rfc3164",
            "2026-11-21T05:11:43.611Z host=web1 app=sshd pid=1",
        ),
        ("November rain", "raw", ""),
        ("<html>", "raw", ""),
    ] {
        let mut record = Record::default();
        let got = Detector::default().parse(&mut context(), line.as_bytes(), &mut record);
        assert_eq!(
            (got.name, fields(&record, line.as_bytes()).as_str()),
            (format, want),
            "{line}"
        );
    }
}

fn time(line: &str, recv: &str, zone: &str) -> String {
    let recv: jiff::Timestamp = recv.parse().expect("a time");
    let mut cx = Context::new(
        Timestamp(recv.as_millisecond()),
        TimeZone::get(zone).expect("a zone"),
    );
    let mut record = Record::default();
    Detector::default().received(&mut cx, line.as_bytes(), &mut record);
    jiff::Timestamp::from_millisecond(record.time.expect("a time").0)
        .expect("in range")
        .to_string()
}

#[test]
fn the_year_is_the_nearest_and_the_zone_the_sources() {
    for (line, recv, zone, want) in [
        (
            "<1>Dec 31 23:59:59 h a: x",
            "2027-01-01T00:00:01Z",
            "UTC",
            "2026-12-31T23:59:59Z",
        ),
        (
            "<1>Jan  1 00:30:00 h a: x",
            "2026-12-31T23:30:01Z",
            "Europe/Paris",
            "2026-12-31T23:30:00Z",
        ),
        (
            "<1>Jan  1 10:00:00 h a: x",
            "2026-12-31T12:00:00Z",
            "UTC",
            "2027-01-01T10:00:00Z",
        ),
        (
            "<1>Jan  1 12:00:01 h a: x",
            "2026-12-31T12:00:00Z",
            "UTC",
            "2026-01-01T12:00:01Z",
        ),
        (
            "<1>Jul  1 12:00:00 h a: x",
            "2026-07-01T10:00:01Z",
            "Europe/Paris",
            "2026-07-01T10:00:00Z",
        ),
        // The hour that comes twice: the reading nearer to the receipt.
        (
            "<1>Oct 25 02:30:00 h a: x",
            "2026-10-25T00:30:01Z",
            "Europe/Paris",
            "2026-10-25T00:30:00Z",
        ),
        (
            "<1>Oct 25 02:30:00 h a: x",
            "2026-10-25T01:30:01Z",
            "Europe/Paris",
            "2026-10-25T01:30:00Z",
        ),
        // The hour that does not come at all.
        (
            "<1>Mar 29 02:30:00 h a: x",
            "2026-03-29T01:30:01Z",
            "Europe/Paris",
            "2026-03-29T01:30:00Z",
        ),
        (
            "<1>Feb 29 00:00:00 h a: x",
            "2028-02-28T12:00:00Z",
            "UTC",
            "2028-02-29T00:00:00Z",
        ),
    ] {
        assert_eq!(time(line, recv, zone), want, "{line} at {recv} in {zone}");
    }
}

/// What anybody can send costs no more than its length.
#[test]
fn a_piece_that_comes_again_and_again_is_read_some_hundred_times() {
    for line in [
        format!("<86>sudo: a : {}COMMAND=/bin/id", "PWD=/ ; ".repeat(7000)),
        format!(
            "<187>nginx: 2026/11/21 05:11:43 [error] 1#1: *5 x{}",
            ", client: 192.0.2.1, server: x".repeat(2000)
        ),
    ] {
        let mut record = Record::default();
        formats::Detector::default().received(&mut context(), line.as_bytes(), &mut record);
        let count = record.fields.len();
        assert!((500..=512).contains(&count), "{count}");
    }
}
