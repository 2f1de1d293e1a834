//! What lines count as, by series and time.

use std::collections::BTreeMap;

use vigie_parsers::formats::Detector;
use vigie_parsers::{Context, Record};
use vigie_store::{Options, Writer};

use super::*;

/// Counts lines that come at 2026-11-21T06:00Z; what came of it, by series and unix seconds.
fn count(lines: &[&str]) -> BTreeMap<String, Vec<(i64, f64)>> {
    let dir = tempfile::tempdir().unwrap();
    let recv = Timestamp(1_795_240_800_000);
    let writer = Writer::open(dir.path(), &Options::default(), recv).unwrap();
    let counters = Counters::new(writer.registry(), &[]);
    let mut figures = Figures::new(counters, "file:a", "vm");
    let mut context = Context::new(recv, jiff::tz::TimeZone::UTC);
    let (mut detector, mut record) = (Detector::default(), Record::default());
    for line in lines {
        detector.parse(&mut context, line.as_bytes(), &mut record);
        figures.count(recv, line.as_bytes(), &record);
    }
    let rows = figures.take().rows;
    assert!(rows.is_sorted_by_key(|r| (r.series, r.time)));
    let keys: Vec<_> = figures
        .places
        .iter()
        .map(|(k, p)| (*k, figures.counts[*p].series))
        .collect();
    let mut found = BTreeMap::<String, Vec<(i64, f64)>>::new();
    for row in rows {
        let key = keys
            .iter()
            .find(|(_, id)| *id == Some(row.series))
            .unwrap()
            .0;
        let labels = figures
            .definition(key)
            .unwrap()
            .labels
            .to_string()
            .replace("instance=\"vm\",", "");
        let labels = labels.replace("{instance=\"vm\"}", "");
        let Reading::Increase(n) = row.reading else {
            panic!()
        };
        found
            .entry(labels)
            .or_default()
            .push((row.time.0 / 1000, n));
    }
    found
}

fn access(time: &str, request: &str, rest: &str) -> String {
    format!("192.0.2.7 - - [21/Nov/2026:{time} +0000] \"{request}\" {rest}")
}

#[test]
fn access_lines_by_host_method_and_code() {
    let lines = [
        access(
            "05:59:51",
            "GET / HTTP/1.1",
            "200 100 \"-\" \"Mozilla/5.0\"",
        ),
        access(
            "05:59:59",
            "GET /x HTTP/1.1",
            "200 50 \"-\" \"GoogleBot/2\"",
        ),
        access("05:59:40", "BREW /pot HTTP/1.1", "418 7 \"-\" \"-\""),
        // Late, in a slot that was left.
        access("05:59:52", "GET / HTTP/1.1", "304 0 \"-\" \"Mozilla/5.0\""),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let found = count(&lines);
    let get = |series: &str| found.get(series).map(Vec::as_slice).unwrap_or_default();
    // The slots are (05:59:50, 06:00:00] and (05:59:30, 05:59:40].
    let (t, earlier) = (1_795_240_799, 1_795_240_780);
    let late = t - 7;
    let requests = |m: &str, c: &str| {
        format!("http_requests_total{{code=\"{c}\",method=\"{m}\",vhost=\"default\"}}")
    };
    let requests = |m: &str, c: &str| {
        // Labels are sorted: `code` comes before `instance`.
        let name = requests(m, c);
        get(&name).to_vec()
    };
    assert_eq!(
        requests("GET", "200"),
        [(t - 10, 0.0), (t, 2.0)],
        "{found:#?}"
    );
    assert_eq!(
        requests("other", "418"),
        [(earlier - 10, 0.0), (earlier, 1.0)]
    );
    assert_eq!(requests("GET", "304"), [(late - 10, 0.0), (late, 1.0)]);
    let bytes = "http_response_size_bytes_total{vhost=\"default\"}";
    // One that comes back to an earlier slot has a zero of its own.
    let zeros = [(earlier - 10, 0.0), (t - 10, 0.0)];
    assert_eq!(get(bytes), [zeros[0], (earlier, 7.0), zeros[1], (t, 150.0)]);
    assert_eq!(
        get("http_bot_requests_total{vhost=\"default\"}"),
        [(t - 10, 0.0), (t, 1.0)]
    );
    let events: f64 = found
        .iter()
        .filter(|(k, _)| k.starts_with("vigie_log_events_total"))
        .flat_map(|(_, rows)| rows.iter().map(|r| r.1))
        .sum();
    assert!((events - 4.0).abs() < 1e-9);
}

/// The same request as every kind of server writes it: the same figures.
#[test]
fn requests_count_alike_in_all_formats() {
    let agent = "Mozilla/5.0 (compatible; Googlebot/2.1)";
    let time = "21/Nov/2026:05:59:51 +0000";
    let request = "GET /a?b=c HTTP/1.1";
    let iso = "2026-11-21T05:59:51Z";
    let access = format!(
        "www.example.org:80 192.0.2.7 - - [{time}] \"{request}\" 502 512 \"-\" \"{agent}\" 0.25"
    );
    let nginx = format!(
        r#"{{"time":"{iso}","remote_addr":"192.0.2.7","server_name":"www.example.org","request":"{request}","status":502,"body_bytes_sent":512,"request_time":0.25,"http_user_agent":"{agent}"}}"#
    );
    let caddy = format!(
        r#"{{"level":"error","ts":1795240791.5,"logger":"http.log.access","msg":"handled request","request":{{"remote_ip":"192.0.2.7","remote_port":"5123","client_ip":"192.0.2.7","proto":"HTTP/1.1","method":"GET","host":"www.example.org:443","uri":"/a?b=c","headers":{{"User-Agent":["{agent}"],"Accept":["*/*"]}}}},"bytes_read":0,"user_id":"","duration":0.25,"size":512,"status":502}}"#
    );
    let traefik = format!(
        r#"{{"ClientHost":"192.0.2.7","DownstreamContentSize":512,"DownstreamStatus":502,"Duration":250000000,"OriginStatus":502,"RequestHost":"www.example.org","RequestMethod":"GET","RequestPath":"/a?b=c","RequestProtocol":"HTTP/1.1","level":"info","msg":"","request_User-Agent":"{agent}","time":"{iso}"}}"#
    );
    let pino = format!(
        r#"{{"level":30,"time":1795240791500,"req":{{"method":"GET","url":"/a?b=c","headers":{{"host":"www.example.org","user-agent":"{agent}"}},"remoteAddress":"192.0.2.7"}},"res":{{"statusCode":502}},"response_size":1,"bytes":512,"responseTime":250,"msg":"request completed"}}"#
    );
    let columns = "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status sc-bytes cs(Host) cs(User-Agent) time-taken";
    let w3c = format!(
        "2026-11-21 05:59:51 192.0.2.7 GET /a b=c 502 512 www.example.org {} 250",
        agent.replace(' ', "+")
    );
    let want = |name: &str, labels: &str| {
        let labels = format!("{labels}vhost=\"www.example.org\"");
        format!("{name}{{{labels}}}")
    };
    let want = [
        (
            want("http_requests_total", "code=\"502\",method=\"GET\","),
            1.0,
        ),
        (want("http_response_size_bytes_total", ""), 512.0),
        (want("http_bot_requests_total", ""), 1.0),
        (want("http_request_duration_seconds_sum", ""), 0.25),
        (
            want("http_request_duration_seconds_bucket", "le=\"0.25\","),
            1.0,
        ),
    ];
    for lines in [
        vec![&*access],
        vec![&nginx],
        vec![&caddy],
        vec![&traefik],
        vec![&pino],
        vec![columns, &w3c],
    ] {
        let found = count(&lines);
        for (series, n) in &want {
            let rows = found.get(series).map(Vec::as_slice).unwrap_or_default();
            let sum: f64 = rows.iter().map(|r| r.1).sum();
            assert!(
                (sum - n).abs() < 1e-9,
                "{lines:?}: {series}: {rows:?}\n{found:#?}"
            );
        }
        let errors: f64 = found
            .iter()
            .filter(|(k, _)| k.contains("level=\"err\""))
            .flat_map(|(_, rows)| rows.iter().map(|r| r.1))
            .sum();
        assert!((errors - 1.0).abs() < 1e-9, "{lines:?}");
    }
}

/// HAProxy names no virtual host.
#[test]
fn requests_through_haproxy_count() {
    let line = "192.0.2.7:40048 [21/Nov/2026:05:59:51.454] web app/s1 0/0/0/249/250 200 194 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"";
    let found = count(&[line]);
    for series in [
        "http_requests_total{code=\"200\",method=\"GET\",vhost=\"default\"}",
        "http_request_duration_seconds_bucket{le=\"0.25\",vhost=\"default\"}",
    ] {
        assert!(found.contains_key(series), "{found:#?}");
    }
}

#[test]
fn a_line_from_the_future_counts_when_it_arrives() {
    for time in ["06:00:01", "09:00:00"] {
        let found = count(&[&access(time, "GET / HTTP/1.1", "200 1")]);
        let at = 1_795_240_800;
        assert!(found.len() >= 3);
        for rows in found.values() {
            assert_eq!(rows, &[(at - 10, 0.0), (at, 1.0)]);
        }
    }
}

#[test]
fn a_stamp_lies_in_the_slot_of_its_lines() {
    for (second, slot) in [(49, 4), (50, 4), (51, 5), (59, 5)] {
        let line = access(&format!("05:59:{second}"), "GET / HTTP/1.1", "200 1");
        let found = count(&[&line]);
        let counted = found.values().flatten().filter(|row| row.1 > 0.0);
        for (at, _) in counted {
            assert_eq!(*at, 1_795_240_740 + second, "never before the line");
            let time = Timestamp(at * 1000);
            assert_eq!(slot_of(time) - slot_of(Timestamp(1_795_240_740_001)), slot);
        }
    }
}

#[test]
fn a_count_after_silence_has_a_zero_before_it() {
    let lines = ["05:58:05", "05:58:15", "05:58:45", "05:59:25"];
    let lines = lines.map(|time| access(time, "GET / HTTP/1.1", "200 1"));
    let found = count(&lines.each_ref().map(String::as_str));
    let at = |second: i64| 1_795_240_680 + second;
    let want = [
        (-5, 0.0),
        (5, 1.0),
        (15, 1.0),
        (45, 1.0),
        (75, 0.0),
        (85, 1.0),
    ];
    let want = want.map(|(second, n)| (at(second), n));
    for rows in found.values() {
        assert_eq!(rows, &want);
    }
}

/// What lines of two containers give for one counter, by labels.
fn defined(table: &str, lines: &[&str]) -> BTreeMap<String, f64> {
    use crate::lines::Lines;
    let dir = tempfile::tempdir().unwrap();
    let recv = Timestamp(1_795_240_800_000);
    let mut writer = Writer::open(dir.path(), &Options::default(), recv).unwrap();
    let count: crate::config::Count = toml::from_str(table).unwrap();
    let counters = Counters::new(writer.registry(), &[count]);
    // Two sources share the limit.
    for service in ["web", "db"] {
        let mut reader = Lines::new(&counters, service, "vm", jiff::tz::TimeZone::UTC);
        let origin = Arc::new(Origin {
            source: format!("docker:{service}"),
            fields: vec![("service".to_owned(), service.to_owned())],
        });
        let mut events = vigie_store::EventBatch::default();
        for line in lines {
            reader.push(&mut events, recv, &origin, line.as_bytes());
        }
        writer.apply(vigie_store::Batch {
            events,
            samples: reader.figures(),
            ..vigie_store::Batch::default()
        });
    }
    writer.commit(recv).unwrap();
    let reader = vigie_store::Reader::open(dir.path()).unwrap();
    let asked = "{__name__=~\"shop_.*|vigie_count_.*\"}";
    let expr = vigie_query::promql::parse(asked).unwrap();
    let params = vigie_query::promql::Params::default();
    let answer = vigie_query::promql::instant(&reader, &expr, recv, &params).unwrap();
    let vigie_query::promql::Value::Vector(found) = answer.value else {
        panic!("no vector")
    };
    let labels =
        |e: &vigie_query::promql::Element| e.labels.to_string().replace("instance=\"vm\",", "");
    found.iter().map(|e| (labels(e), e.sample.value)).collect()
}

#[test]
fn counters_of_the_operators_count_what_their_query_finds() {
    let lines = [
        "level=error msg=\"payment failed\" code=51 user=\"a\"",
        "level=error msg=\"payment failed\" code=51",
        "level=info msg=\"payment done\"",
        "level=error msg=\"payment failed\" code=\"é\"",
    ];
    let table = "name = 'shop_payments_failed_total'\nquery = 'level:error \"payment failed\"'\nby = ['service', 'code']\nlimit = 3";
    let found = defined(table, &lines);
    let series = |code: &str, service: &str| {
        format!("shop_payments_failed_total{{code=\"{code}\",service=\"{service}\"}}")
    };
    let get = |name: &str| found.get(name).copied();
    assert_eq!(get(&series("51", "web")), Some(2.0), "{found:#?}");
    assert_eq!(get(&series("51", "db")), Some(2.0), "{found:#?}");
    assert_eq!(get(&series("other", "other")), Some(1.0), "{found:#?}");
    let beyond = "vigie_count_beyond_limit_total{count=\"shop_payments_failed_total\"}";
    let beyond = found.iter().find(|(k, _)| k.starts_with(&beyond[..60]));
    assert_eq!(beyond.map(|b| *b.1), Some(1.0), "{found:#?}");
    assert_eq!(
        found.values().sum::<f64>(),
        7.0,
        "each line once, one beyond: {found:#?}"
    );
}

#[test]
fn a_counter_without_labels_or_with_absent_fields() {
    let lines = ["GET /", "nothing"];
    let found = defined(
        "name = 'shop_lines_total'\nquery = ''\nby = ['nosuch']",
        &lines,
    );
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [("shop_lines_total{instance=\"vm\"}".to_owned(), 4.0)]
    );
}

#[test]
fn hosts_that_clients_make_up_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path(), &Options::default(), Timestamp(0)).unwrap();
    let mut figures = Figures::new(Counters::new(writer.registry(), &[]), "x", "vm");
    let places: Vec<_> = (0..1000)
        .map(|i| figures.vhost(Some(format!("h{i}").as_bytes())))
        .collect();
    assert_eq!(figures.vhosts.len(), VHOSTS_MAX + 1);
    assert_eq!(places[999], places[500]);
    assert_ne!(places[0], places[1]);
}
