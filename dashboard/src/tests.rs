//! The server from outside: a store with known contents, asked over a socket.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use vigie_parsers::{Origin, Record, Severity, Timestamp};
use vigie_query::{Labels, MetricKind};
use vigie_store::incidents::NewIncident;
use vigie_store::{Batch, Handle, Options, Reader, Reading, SampleRow, SeriesDef, Writer};

use crate::{App, Config, Pool, serve};

mod openapi;
mod prometheus;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const HOSTILE: &str = "<script>alert(1)</script> \x1b[31m \u{202e}needle";

struct Site {
    address: String,
    stop: CancellationToken,
    handle: Handle,
    _dir: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
        self.handle.close();
    }
}

/// Five minutes of one host, some log lines and an incident.
fn fill(writer: &mut Writer) {
    let def = |name, pairs: &[(&str, &str)], kind| SeriesDef {
        labels: Labels::metric(name, &[pairs, &[("instance", "here")]].concat()),
        kind,
        help: "",
        step_ms: 1000,
    };
    let mut batch = Batch::default();
    type Gauge<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);
    let gauges: [Gauge<'_>; 6] = [
        ("node_load1", &[], 0.5),
        ("node_memory_MemTotal_bytes", &[], 8e9),
        ("node_memory_MemAvailable_bytes", &[], 6e9),
        ("node_memory_MemFree_bytes", &[], 4e9),
        (
            "node_filesystem_size_bytes",
            &[
                ("mountpoint", "/<b>"),
                ("device", "/dev/a"),
                ("fstype", "ext4"),
            ],
            1e9,
        ),
        (
            "node_filesystem_avail_bytes",
            &[
                ("mountpoint", "/<b>"),
                ("device", "/dev/a"),
                ("fstype", "ext4"),
            ],
            1e8,
        ),
    ];
    for (name, pairs, value) in gauges {
        let series = writer
            .registry()
            .intern(&def(name, pairs, MetricKind::Gauge))
            .unwrap();
        batch.samples.rows.extend((0..300).map(|s| SampleRow {
            series,
            time: NOW.plus_ms(-300_000 + s * 1000),
            reading: Reading::Gauge(value),
        }));
    }
    for (mode, speed) in [("user", 0.25), ("system", 0.25), ("idle", 0.5)] {
        let def = def(
            "node_cpu_seconds_total",
            &[("cpu", "0"), ("mode", mode)],
            MetricKind::Counter,
        );
        let series = writer.registry().intern(&def).unwrap();
        batch.samples.rows.extend((0..300i32).map(|s| SampleRow {
            series,
            time: NOW.plus_ms(-300_000 + i64::from(s) * 1000),
            reading: Reading::FloatCounter(f64::from(s) * speed),
        }));
    }
    let origin = Arc::new(Origin {
        source: "file:/var/log/<x>".to_owned(),
        fields: Vec::new(),
    });
    for i in 0..20u32 {
        let line = format!("line {i} {HOSTILE}");
        let mut record = Record::default();
        record.severity = Some(if i < 3 { Severity::Err } else { Severity::Info });
        record.message = 0..u32::try_from(line.len()).unwrap();
        let at = NOW.plus_ms(-60_000 + i64::from(i) * 1000);
        batch
            .events
            .push(at, &origin, "raw", line.as_bytes(), &record);
    }
    writer.apply(batch);
    writer.commit(NOW).unwrap();
    let new = NewIncident {
        key: "disk".to_owned(),
        title: "Disk <full> soon".to_owned(),
        severity: vigie_store::incidents::Severity::Critical,
        labels: Labels::new([("instance", "here")]),
        onset: NOW.plus_ms(-120_000),
        opened: NOW.plus_ms(-60_000),
    };
    writer
        .update(NOW, |state| state.open_incident(&new))
        .unwrap();
}

async fn site() -> Site {
    site_at(NOW).await
}

/// The same store, looked at later.
async fn site_at(now: Timestamp) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &Options::default(), NOW).unwrap();
    fill(&mut writer);
    let clock: vigie_store::Clock = Arc::new(move || now);
    let (handle, _) = vigie_store::spawn(writer, Arc::clone(&clock));
    let reader = Reader::open(dir.path()).unwrap();
    let config = Config {
        host: "here".to_owned(),
        names: vec!["vigie.example".to_owned()],
        zone: jiff::tz::TimeZone::UTC,
        rules: Arc::new(vigie_analyzer::Rules::builtin()),
    };
    let app = App::new(Pool::of_reader(reader), Some(handle.clone()), clock, config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, app, stop.clone()));
    Site {
        address,
        stop,
        handle,
        _dir: dir,
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Site {
    async fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    async fn get_with(&self, path: &str, headers: &str) -> Answer {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.address
        );
        self.ask(&request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, "").await
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.ask(&request).await
    }
}

#[tokio::test]
async fn the_overview_shows_what_is_stored() {
    let site = site().await;
    let page = site.get("/").await;
    assert_eq!(page.status, 200);
    let text = page.text();
    for part in [
        "Disk &#60;full&#62; soon",
        "data-chart=\"cpu\"",
        "data-chart=\"mem\"",
        "data-chart=\"logs\"",
        "1 incident open, not acknowledged",
        "50<span class=\"u\">",
        "/&#60;b&#62;",
    ] {
        assert!(
            text.contains(part)
                || text.contains(&part.replace("&#60;", "&lt;").replace("&#62;", "&gt;")),
            "no {part} in {text}"
        );
    }
    assert!(!text.contains("<full>") && !text.contains("/<b>"));
    for header in [
        "content-security-policy",
        "x-content-type-options: nosniff",
        "frame-ancestors 'none'",
    ] {
        assert!(page.head.contains(header), "{}", page.head);
    }
}

#[tokio::test]
async fn log_text_stays_text() {
    let site = site().await;
    for path in [
        "/logs",
        "/logs?q=needle",
        "/logs?q=level%3E%3Derr",
        "/logs?q=source%3D%22file%3A%2Fvar%2Flog%2F%3Cx%3E%22",
    ] {
        let text = site.get(path).await.text();
        assert!(text.contains("class=\"row"), "{path}: no row");
        assert!(!text.contains("<script>alert"), "{path}");
        assert!(
            !text.contains('\x1b') && !text.contains('\u{202e}'),
            "{path}"
        );
    }
    let errors = site.get("/logs?q=level%3E%3Derr").await.text();
    assert_eq!(errors.matches("class=\"row ").count(), 3);
    let wrong = site.get("/logs?q=(").await.text();
    assert!(
        wrong.contains("query:"),
        "a query that is not understood says where"
    );
    let none = site.get("/logs?q=nowhere").await.text();
    assert!(none.contains("No event matches"));
}

#[tokio::test]
async fn rules_and_alerts_are_told_as_prometheus_tells_them() {
    let site = site().await;
    let all = site.get("/api/v1/rules").await.json();
    let groups = all["data"]["groups"].as_array().unwrap();
    let rule = &groups[0]["rules"][0];
    assert_eq!(rule["type"], "alerting");
    assert_eq!(groups[0]["file"], "built-in");
    for field in ["name", "query", "state", "health", "lastEvaluation"] {
        assert!(
            rule[field].as_str().is_some_and(|t| !t.is_empty()),
            "{field}: {rule}"
        );
    }
    assert!(rule["duration"].is_number() && rule["annotations"].is_object());
    let rules = |answer: &serde_json::Value| -> usize {
        let groups = answer["data"]["groups"].as_array().unwrap();
        groups
            .iter()
            .map(|g| g["rules"].as_array().unwrap().len())
            .sum()
    };
    let named = format!(
        "/api/v1/rules?rule_name[]={}&exclude_alerts=true",
        rule["name"].as_str().unwrap()
    );
    let one = site.get(&named).await.json();
    assert!(rules(&one) >= 1 && rules(&one) < rules(&all));
    assert!(one["data"]["groups"][0]["rules"][0]["alerts"].is_null());
    let none = site.get("/api/v1/rules?type=record").await.json();
    assert_eq!(rules(&none), 0);
    let alerts = site.get("/api/v1/alerts").await.json();
    for alert in alerts["data"]["alerts"].as_array().unwrap() {
        assert!(alert["labels"]["alertname"].is_string(), "{alert}");
        assert!(
            alert["activeAt"].as_str().unwrap().ends_with('Z'),
            "{alert}"
        );
    }
}

#[tokio::test]
async fn others_are_kept_out() {
    let site = site().await;
    let foreign = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(site.ask(foreign).await.status, 403);
    let named = "GET /healthz HTTP/1.1\r\nHost: vigie.example\r\nConnection: close\r\n\r\n";
    assert_eq!(site.ask(named).await.status, 200);
    let cross = site
        .post("/incidents/1/ack", "Sec-Fetch-Site: cross-site\r\n", "")
        .await;
    assert_eq!(cross.status, 403);
    let state = site.get("/api/v1/incidents").await.json();
    assert_eq!(state["data"][0]["state"], "open");
}

#[tokio::test]
async fn incidents_are_taken_and_closed_by_forms() {
    let site = site().await;
    let done = site
        .post(
            "/incidents/1/ack",
            "Sec-Fetch-Site: same-origin\r\n",
            "back=/",
        )
        .await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert!(done.head.contains("location: /"));
    let note = site
        .post("/incidents/1/note", "", "message=%3Cb%3Eseen")
        .await;
    assert_eq!(note.status, 303, "{}", note.text());
    let page = site.get("/incidents/1").await.text();
    assert!(page.contains("Acknowledged") && page.contains("seen") && !page.contains("<b>seen"));
    assert_eq!(
        site.post("/incidents/1/resolve", "", "back=https://evil.example")
            .await
            .status,
        303
    );
    assert_eq!(site.post("/incidents/1/resolve", "", "").await.status, 400);
    assert_eq!(site.post("/incidents/99/ack", "", "").await.status, 400);
    assert_eq!(site.get("/incidents/99").await.status, 404);
    assert!(
        site.get("/incidents")
            .await
            .text()
            .contains("Nothing is open")
    );
}

#[tokio::test]
async fn prometheus_clients_are_at_home() {
    let site = site().await;
    let now = NOW.0 / 1000;
    let one = site
        .get(&format!("/api/v1/query?query=node_load1&time={}", now - 2))
        .await
        .json();
    assert_eq!(one["status"], "success");
    assert_eq!(one["data"]["resultType"], "vector");
    assert_eq!(one["data"]["result"][0]["value"][1], "0.5");
    let path = format!(
        "query=rate(node_cpu_seconds_total[1m])&start={}&end={}&step=15",
        now - 120,
        now - 10
    );
    let many = site.post("/api/v1/query_range", "", &path).await.json();
    assert_eq!(many["data"]["resultType"], "matrix");
    assert_eq!(many["data"]["result"].as_array().unwrap().len(), 3);
    for (path, status, kind) in [
        ("/api/v1/query?query=sum(", 400, "bad_data"),
        (
            "/api/v1/query_range?query=up&start=1&end=2",
            400,
            "bad_data",
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=100000&step=1",
            400,
            "bad_data",
        ),
        ("/api/v1/series", 400, "bad_data"),
        ("/api/v1/nothing", 404, "not_found"),
        ("/api/v1/logs?q=(", 400, "bad_data"),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(answer.json()["errorType"], kind, "{path}");
    }
    let names = site
        .get(&format!(
            "/api/v1/label/mode/values?start={}&end={now}",
            now - 300
        ))
        .await
        .json();
    assert_eq!(names["data"], serde_json::json!(["idle", "system", "user"]));
    let exposed = site.get("/metrics").await.text();
    assert!(
        exposed.contains("node_load1{instance=\"here\"} 0.5"),
        "{exposed}"
    );
}

#[tokio::test]
async fn logs_are_answered_as_json() {
    let site = site().await;
    let found = site
        .get("/api/v1/logs?q=level%3E%3Derr&limit=2")
        .await
        .json();
    assert_eq!(found["data"]["events"].as_array().unwrap().len(), 2);
    assert_eq!(found["data"]["more"], true);
    let counts = site.get("/api/v1/logs/histogram").await.json();
    assert_eq!(counts["data"]["total"], 20);
    let fields = site.get("/api/v1/logs/fields?field=level").await.json();
    assert_eq!(
        fields["data"]["level"][0],
        serde_json::json!({"value": "info", "count": 17})
    );
    let charts = site.get("/api/series?view=overview").await.json();
    let ids: Vec<_> = charts["charts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].clone())
        .collect();
    assert!(ids.contains(&serde_json::json!("cpu")), "{ids:?}");
}

#[tokio::test]
async fn pipes_are_answered_with_a_table() {
    let site = site().await;
    let found = site.get("/api/v1/logs?q=needle+%7C+count+by+level").await;
    let data = &found.json()["data"];
    assert_eq!(data["columns"], serde_json::json!(["level", "count"]));
    let rows = serde_json::json!([["info", 17], ["err", 3]]);
    assert_eq!(data["rows"], rows, "{data}");
    let parsed = site
        .get("/api/v1/logs?q=%7C+parse+%22line+%3Cn%3E+%22+%7C+where+n%3D7")
        .await
        .json();
    let events = parsed["data"]["events"].as_array().unwrap();
    assert_eq!(
        (events.len(), &events[0]["n"]),
        (1, &serde_json::json!("7"))
    );
    let counted = site.get("/api/v1/logs/histogram?q=%7C+count").await;
    assert_eq!(counted.status, 400);
    assert!(counted.text().contains("no place here"));
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap() {
    let site = site().await;
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = site
            .get(&format!("/api/v1/logs?limit=3{before}"))
            .await
            .json();
        let data = &page["data"];
        let events = data["events"].as_array().unwrap();
        seen.extend(events.iter().map(|e| e["id"].as_u64().unwrap()));
        match data["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=20).rev().collect::<Vec<u64>>());
    let oldest = site.get("/api/v1/logs?limit=2&order=oldest").await.json();
    assert_eq!(oldest["data"]["events"][0]["id"], 1);
    assert_eq!(oldest["data"]["more"], true);
    assert_eq!(oldest["data"]["next"], serde_json::Value::Null);
    for bad in [
        "limit=many",
        "order=random",
        "before=x",
        "format=xml",
        "from=soon",
        "q=(",
        "from=now&to=now-1h",
        "format=raw&q=%7C+count",
        "q=@deploy",
    ] {
        let answer = site.get(&format!("/api/v1/logs?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
    }
}

#[tokio::test]
async fn any_field_has_a_histogram_and_its_values() {
    let site = site().await;
    let found = site.get("/api/v1/logs/histogram?by=level").await.json();
    let sum = |name: &str| -> u64 {
        let cells = found["data"]["columns"][name].as_array().unwrap();
        cells.iter().map(|n| n.as_u64().unwrap()).sum()
    };
    assert_eq!((sum("info"), sum("err")), (17, 3));
    let all = site
        .get("/api/v1/logs/histogram?by=level&q=@all&limit=1")
        .await
        .json();
    assert_eq!(all["data"]["total"], 20);
    assert!(all["data"]["columns"]["(other)"].is_array(), "{all}");
    let none = site.get("/api/v1/logs/histogram?by=nothing").await.json();
    assert!(none["data"]["columns"]["(none)"].is_array(), "{none}");
    let where_ = site
        .get("/api/v1/logs/fields?field=level&q=%7C+where+level%3Derr")
        .await
        .json();
    assert_eq!(
        where_["data"]["level"],
        serde_json::json!([{"value": "err", "count": 3}])
    );
}

#[tokio::test]
async fn lines_are_streamed() {
    let site = site().await;
    let found = site.get("/api/v1/logs?format=ndjson&q=level%3Derr").await;
    assert!(
        found.head.contains("application/x-ndjson"),
        "{}",
        found.head
    );
    let text = found.text();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|l| serde_json::from_str(l).ok())
        .filter(serde_json::Value::is_object)
        .collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[3]["end"], true);
    let raw = site
        .get("/api/v1/logs?format=raw&q=level%3Derr")
        .await
        .text();
    assert!(raw.contains("line 2 <script>"), "{raw:?}");
}

#[tokio::test]
async fn the_first_page_is_small() {
    let site = site().await;
    let zipped = "Accept-Encoding: gzip\r\n";
    let page = site.get_with("/", zipped).await;
    assert!(page.head.contains("content-encoding: gzip"));
    let mut total = page.body.len();
    for asset in crate::assets::ASSETS {
        let answer = site.get_with(asset.path, zipped).await;
        assert!(
            answer.head.contains("immutable") && answer.head.contains("content-encoding: gzip")
        );
        total += answer.body.len();
    }
    total += site
        .get_with("/api/series?view=overview", zipped)
        .await
        .body
        .len();
    assert!(total <= 150 << 10, "{total} bytes");
}

#[tokio::test]
async fn absurd_addresses_get_an_answer() {
    let site = site().await;
    for (path, status) in [
        ("/nothing", 404),
        ("/assets/..%2f..%2fetc%2fpasswd", 404),
        ("/?from=now-9999999d&to=now", 200),
        ("/?from=%F0%9F%98%80&to=%00", 200),
        ("/?host=nobody", 200),
        ("/explore?s=sum(", 200),
        (
            "/explore?s=node_load1&s=rate(node_cpu_seconds_total[1m])",
            200,
        ),
        ("/logs?before=x.y", 200),
        ("/incidents?before=-1", 200),
        ("/hosts/here", 200),
        ("/healthz", 200),
        ("/readyz", 200),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, status, "{path}");
    }
}
