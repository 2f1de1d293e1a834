//! Definitions as servers' files have them, and lines as the servers write them.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::formats::{self, Detector};
use crate::{Context, Record, Timestamp};

/// 2026-11-21T08:00:00Z.
const NOW: Timestamp = Timestamp(1_795_248_000_000);

fn context() -> Context {
    Context::new(NOW, TimeZone::UTC)
}

/// Time, level and fields of a line, on one line.
fn dump(record: &Record, line: &[u8]) -> String {
    let mut words = Vec::new();
    if let Some(time) = record.time {
        let time = jiff::Timestamp::from_millisecond(time.0).unwrap();
        words.push(time.to_string());
    }
    words.extend(record.severity.map(|s| s.as_str().to_owned()));
    for span in &record.fields {
        let value = span.value(line);
        let value = String::from_utf8_lossy(&value).into_owned();
        words.push(format!("{}={value}", record.name(span.name)));
    }
    words.join(" | ")
}

fn check(definition: &str, line: &str, want: &str) {
    let format = formats::named(definition).unwrap_or_else(|e| panic!("{definition}: {e}"));
    let mut record = Record::default();
    if !format.parse(&mut context(), line.as_bytes(), &mut record) {
        let why = formats::explain(&mut context(), line.as_bytes(), Some(format));
        panic!("{definition}\n{line}\n{why:?}");
    }
    assert_eq!(dump(&record, line.as_bytes()), want, "{definition}\n{line}");
}

#[test]
fn apache() {
    check(
        r#"apache: %h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""#,
        r#"192.0.2.1 - alice smith [21/Nov/2026:05:19:12 +0100] "GET /a%20b?x=1 HTTP/1.1" 404 - "-" "say \"hi\"""#,
        r#"2026-11-21T04:19:12Z | notice | ip=192.0.2.1 | user=alice smith | method=GET | path=/a%20b | query=x=1 | protocol=HTTP/1.1 | status=404 | agent=say "hi""#,
    );
    check(
        r#"apache: LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O %I %D %{ms}T %T \"%{X-Forwarded-For}i\" %{tid}P %P" vhost_timed"#,
        r#"www.example.org:443 2001:db8::1 - - [21/Nov/2026:05:19:12 +0000] "POST /x HTTP/2.0" 500 812 96 1234567 1234 1 "198.51.100.7, 192.0.2.9" 140 22"#,
        "2026-11-21T05:19:12Z | err | vhost=www.example.org | server_port=443 | ip=2001:db8::1 | method=POST | path=/x | protocol=HTTP/2.0 | status=500 | bytes=812 | bytes_in=96 | duration=1.234567 | duration_ms=1234 | duration_s=1 | forwarded_for=198.51.100.7, 192.0.2.9 | thread=140 | pid=22",
    );
    // The time in pieces, as people write it to have milliseconds.
    check(
        "apache: %{%Y-%m-%d %H:%M:%S}t.%{msec_frac}t %{%z}t %a:%{remote}p %m %U%q %H %s %>s %X %k %L %R %f %{SSL_PROTOCOL}x %{sid}C %{APP}e %{mark}n %{Content-Type}o",
        "2026-11-21 05:19:12.345 -0500 2001:db8::1:50123 GET /a?b=c HTTP/1.1 200 304 + 1 AbC@x proxy-server /srv/www/a TLSv1.3 - prod m text/html",
        "2026-11-21T10:19:12.345Z | info | ip=2001:db8::1 | port=50123 | method=GET | path=/a | query=b=c | protocol=HTTP/1.1 | status.original=200 | status=304 | connection=+ | keepalive=1 | log_id=AbC@x | handler=proxy-server | file=/srv/www/a | ssl.ssl_protocol=TLSv1.3 | env.app=prod | note.mark=m | sent.content_type=text/html",
    );
    check(
        r#"apache: %{sec}t %400,501{User-Agent}i %!200,304{Referer}i 100%% %{c}a %A %B %V "%r""#,
        r#"1795238352 - https://example.org/ 100% 192.0.2.1 192.0.2.2 15 www.example.org "-""#,
        "2026-11-21T05:19:12Z | referer=https://example.org/ | ip=192.0.2.1 | server_ip=192.0.2.2 | bytes=15 | vhost=www.example.org | request=-",
    );
    check(
        r#"apache: CustomLog ${APACHE_LOG_DIR}/access.log "%h \"%r\" %>s" env=!dontlog"#,
        r#"192.0.2.1 "GET / HTTP/1.0" 200"#,
        "info | ip=192.0.2.1 | method=GET | path=/ | protocol=HTTP/1.0 | status=200",
    );
}

#[test]
fn nginx() {
    check(
        r#"nginx: log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                      '$status $body_bytes_sent "$http_referer" '
                      '"$http_user_agent" "$http_x_forwarded_for" rt=$request_time uct="$upstream_connect_time"';"#,
        r#"192.0.2.1 - - [21/Nov/2026:05:19:12 +0000] "GET /\xC3\xA9?q HTTP/1.1" 502 157 "-" "curl/8.5.0" "-" rt=0.005 uct="0.001, -""#,
        "2026-11-21T05:19:12Z | err | ip=192.0.2.1 | method=GET | path=/é | query=q | protocol=HTTP/1.1 | status=502 | bytes=157 | agent=curl/8.5.0 | duration=0.005 | upstream_connect_time=0.001, -",
    );
    check(
        "nginx: $msec $time_iso8601 $host$request_uri $upstream_addr $upstream_status $upstream_response_time $scheme ${request_id}x $bytes_sent $body_bytes_sent $request_length",
        "1795238352.123 2026-11-21T05:19:12+00:00 example.org/a?b 192.0.2.2:80, 192.0.2.3:80 : unix:/run/x 502, 200 : 200 0.001, 0.002 : 0.003 https abcx 300 200 99",
        "2026-11-21T05:19:12.123Z | time_iso8601=2026-11-21T05:19:12+00:00 | vhost=example.org | path=/a | query=b | upstream=192.0.2.2:80, 192.0.2.3:80 : unix:/run/x | upstream_status=502, 200 : 200 | upstream_duration=0.001, 0.002 : 0.003 | scheme=https | request_id=abc | bytes_sent=300 | bytes=200 | bytes_in=99",
    );
    check(
        r#"nginx: log_format j escape=json '{"ip":"$remote_addr","req":"$request","st":$status,"a":"$http_user_agent","c":"$cookie_Sid"}';"#,
        r#"{"ip":"192.0.2.1","req":"GET \/\u00e9 HTTP/1.1","st":200,"a":"say \"x\"","c":""}"#,
        r#"info | ip=192.0.2.1 | method=GET | path=/é | protocol=HTTP/1.1 | status=200 | agent=say "x""#,
    );
    check(
        "nginx: escape=none $remote_addr|$uri$is_args$args|$http_user_agent",
        "192.0.2.1|/x|a\"b",
        "ip=192.0.2.1 | path=/x | agent=a\"b",
    );
}

#[test]
fn goaccess() {
    check(
        r#"goaccess: log-format %h %^[%d:%t %^] "%r" %s %b "%R" "%u"
date-format %d/%b/%Y
time-format %H:%M:%S"#,
        r#"192.0.2.1 - - [21/Nov/2026:05:19:12 -0100] "GET / HTTP/1.1" 200 3 "-" "curl/8.5.0""#,
        "2026-11-21T06:19:12Z | info | ip=192.0.2.1 | method=GET | path=/ | protocol=HTTP/1.1 | status=200 | bytes=3 | agent=curl/8.5.0",
    );
    check(
        r#"goaccess: %d %t %^ %~%h{ ~h{, } %m %U %s %T %v date-format %y%m%d time-format %I.%M.%S%p"#,
        "261121 05.19.12PM x    192.0.2.1{ 198.51.100.1, 192.0.2.4 GET /a 301 0.25 www.example.org:81",
        "2026-11-21T17:19:12Z | info | client=192.0.2.1 | ip=198.51.100.1 | method=GET | path=/a | status=301 | duration=0.25 | vhost=www.example.org",
    );
    check(
        "goaccess: CLOUDSTORAGE",
        r#""1795238352123456","192.0.2.1",1,,"GET","/o","200","5","76","17000","h","-","agent",,"#,
        "2026-11-21T05:19:12.123Z | info | ip=192.0.2.1 | method=GET | path=/o | status=200 | bytes=76 | duration=0.017 | agent=agent",
    );
    check(
        "goaccess: SQUID",
        "1795238352.123    150 192.0.2.1 TCP_MISS/200 512 GET http://example.org/ - HIER_DIRECT/198.51.100.1 text/html",
        "2026-11-21T05:19:12Z | info | duration=0.15 | ip=192.0.2.1 | status=200 | bytes=512 | method=GET | path=http://example.org/",
    );
}

#[test]
fn the_columns_of_a_w3c_log_are_those_of_its_header() {
    let lines = "\
#Software: Microsoft Internet Information Services 10.0
#Version: 1.0
#Date: 2026-11-21 05:00:00
#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken
2026-11-21 05:19:12 192.0.2.2 GET /a.aspx id=1 443 - 2001:db8::1 Mozilla/5.0+(X11) - 200 0 0 15
#Fields: time c-ip cs-method cs-uri sc-status sc-bytes time-taken cs(X-Note)
05:19:13\t192.0.2.1\tGET\t/b?c\t500\t30\t0.250\t\"a \"\"b\"\" c\"";
    let (mut detector, mut record) = (Detector::default(), Record::default());
    let read: Vec<_> = lines
        .lines()
        .map(|line| {
            let format = detector.parse(&mut context(), line.as_bytes(), &mut record);
            format!("{}: {}", format.family(), dump(&record, line.as_bytes()))
        })
        .collect();
    assert_eq!(
        read,
        [
            "w3c: ",
            "w3c: ",
            "w3c: 2026-11-21T05:00:00Z",
            "w3c: ",
            "w3c: 2026-11-21T05:19:12Z | info | server_ip=192.0.2.2 | method=GET | path=/a.aspx | query=id=1 | server_port=443 | ip=2001:db8::1 | agent=Mozilla/5.0+(X11) | status=200 | sc_substatus=0 | sc_win32_status=0 | duration=0.015",
            "w3c: ",
            "w3c: err | ip=192.0.2.1 | method=GET | path=/b | query=c | status=500 | bytes=30 | duration=0.250 | http.x_note=a \"\"b\"\" c",
        ]
    );
}

#[test]
fn faults_point_at_their_column() {
    for (definition, want) in [
        ("apache: %h %Y", "column 12: unknown directive `%Y`"),
        (
            "apache: %h%l",
            "column 9: `%h` ends nowhere: nothing stands between it and the next",
        ),
        (
            "apache: LogFormat \"%h %z\" x",
            "column 23: unknown directive `%z`",
        ),
        (
            "apache: LogFormat \"%h %u",
            "column 19: this quote is not closed",
        ),
        ("apache: é %{a", "column 12: `{` is not closed"),
        ("apache: %{%Q}t", "column 11: unknown piece of a time `%Q`"),
        ("apache: abc", "column 9: there is no field in it"),
        (
            "nginx: '$a' '$'",
            "column 14: `$` without the name of a variable",
        ),
        (
            "nginx: log_format x escape=xml '$a';",
            "column 28: known: json, default, none",
        ),
        ("nginx: '$a", "column 8: this quote is not closed"),
        ("goaccess: %h %d", "column 14: `%d` needs a date-format"),
        ("goaccess: %h %w", "column 14: unknown specifier `%w`"),
        (
            "goaccess: date-format %d",
            "column 11: there is no log-format",
        ),
        ("w3c:", "column 5: there is no field in it"),
    ] {
        let found = formats::named(definition).map(|f| f.name);
        assert_eq!(found.map_err(|e| e.to_string()), Err(want.to_owned()));
    }
    let unknown = formats::named("combind").unwrap_err().to_string();
    assert!(
        unknown.starts_with("unknown format `combind`; known: rfc5424, "),
        "{unknown}"
    );
    assert!(
        unknown.ends_with("apache: …, nginx: …, goaccess: …, w3c: …"),
        "{unknown}"
    );
    let long = format!("apache: {}", "%h ".repeat(3000));
    assert_eq!(
        formats::named(&long).unwrap_err().to_string(),
        "longer than 8192 bytes"
    );
}

#[test]
fn a_definition_is_compiled_once() {
    let one = formats::find("apache: %h %u %% once").unwrap();
    let two = formats::find("apache: %h %u %% once").unwrap();
    assert!(std::ptr::eq(one, two));
    assert_eq!(
        (one.name, one.family()),
        ("apache: %h %u %% once", "apache")
    );
}

/// Pieces of which definitions are made.
const PARTS: &[&str] = &[
    "%h",
    "%l",
    "%t",
    "%r",
    "%>s",
    "%b",
    "%D",
    "%{Referer}i",
    "%{%Y-%m-%d %T}t",
    "%{usec}t",
    "%u",
    "%U%q",
    "%v:%p",
    "%d:%t",
    "%x",
    "%^",
    "%~",
    "~h{, }",
    "%%",
    "$remote_addr",
    "$time_local",
    "$msec",
    "$request",
    "$status",
    "$upstream_addr",
    "$host",
    "$request_uri",
    "$http_user_agent",
    "${x}",
    "$is_args$args",
    "date",
    "time",
    "c-ip",
    "cs(Host)",
    "sc-status",
    "time-taken",
    " ",
    "  ",
    "\"",
    "'",
    "\\\"",
    "[",
    "]",
    "|",
    "\t",
    "escape=json ",
    "log_format x ",
    "LogFormat ",
    " date-format %y%m%d",
    " time-format %s",
    "%",
    "$",
    "{",
    "é",
];
/// Pieces of which lines are made.
const PIECES: &[&str] = &[
    "192.0.2.1",
    "2001:db8::1",
    "-",
    "[21/Nov/2026:05:19:12 +0000]",
    "21/Nov/2026:05:19:12 +0000",
    "GET /a?b HTTP/1.1",
    "200",
    "15",
    "0.25",
    "1795238352.123",
    "2026-11-21",
    "05:19:12",
    "261121",
    "example.org:80",
    "/a?b=c",
    "a, b : c",
    " ",
    "  ",
    "\"",
    "\\\"",
    "[",
    "]",
    ":",
    "|",
    "\t",
    "?",
    "x",
];

fn text(parts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let part = prop_oneof![
        9 => prop::sample::select(parts).prop_map(str::to_owned),
        1 => "[ -~é]{0,4}",
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    /// Any definition either fails at a column of its own, or gives records that keep their contract.
    #[test]
    fn any_definition_and_any_line(definition in text(PARTS), line in text(PIECES)) {
        for language in super::LANGUAGES {
            let given = format!("{}:{definition}", language.name);
            match super::compile(language, &given, language.name.len() + 1) {
                Err(e) => prop_assert!(e.column <= given.chars().count() + 1, "{given}: {e}"),
                Ok(template) => {
                    let mut record = Record::default();
                    let read = template.read(&mut context(), line.as_bytes(), &mut record);
                    if let Err(miss) = read {
                        prop_assert!(miss.at <= line.len());
                        prop_assert!(!template.expected(miss).is_empty());
                        continue;
                    }
                    let mut last = 0;
                    for span in &record.fields {
                        prop_assert!(last <= span.start && span.start < span.end);
                        let time = &record.time_span;
                        prop_assert!(time.is_empty() || span.end <= time.start || span.start >= time.end,
                            "{given}\n{line}\n{record:?}");
                        last = span.end;
                    }
                    prop_assert!(last as usize <= line.len() && record.time_span.end as usize <= line.len());
                }
            }
        }
    }
}
