//! The API as Grafana's Prometheus data source and hostile clients use it.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{NOW, site, site_at};
use crate::html::url;

/// Without times they are asked about all that is stored, as Prometheus answers.
#[tokio::test]
async fn series_that_have_ended_are_found_as_well() {
    let site = site_at(NOW.plus_ms(20 * 86_400_000)).await;
    for (asked, part) in [
        ("series?match[]=node_load1", "\"__name__\":\"node_load1\""),
        ("labels?match[]=node_cpu_seconds_total", "\"mode\""),
        ("label/__name__/values", "\"node_load1\""),
    ] {
        let found = site.get(&format!("/api/v1/{asked}")).await.text();
        assert!(found.contains(part), "{asked}: {found}");
    }
    let lately = NOW.0 / 1000 + 86_400;
    let found = site
        .get(&format!("/api/v1/series?match[]=node_load1&start={lately}"))
        .await;
    assert_eq!(found.json()["data"], serde_json::json!([]));
}

/// What Grafana asks for on "Save & test", in the query builder, in the editor and in Explore.
#[tokio::test]
async fn grafana_finds_what_it_asks_for() {
    let site = site().await;
    let now = NOW.0 / 1000;
    let from = now - 300;
    let span = format!("start={from}&end={now}");
    // Each: how, where, with what, and what the answer's data must contain.
    let asked = [
        ("GET", "status/buildinfo", String::new(), "\"version\":\"3."),
        (
            "POST",
            "query",
            format!("query=1%2B1&time={now}"),
            "\"scalar\",\"result\":[1795000000.0,\"2\"]",
        ),
        ("GET", "query", format!("query=1%2B1&time={now}"), "\"2\""),
        (
            "GET",
            "labels",
            format!("{span}&match[]=node_cpu_seconds_total"),
            "\"mode\"",
        ),
        (
            "POST",
            "labels",
            format!("{span}&match%5B%5D=%7Bmode%3D%22idle%22%7D"),
            "\"cpu\"",
        ),
        (
            "GET",
            "label/__name__/values",
            span.clone(),
            "\"node_load1\"",
        ),
        (
            "GET",
            "label/mode/values",
            format!("{span}&match[]=node_cpu_seconds_total%7Bcpu%3D%220%22%7D&limit=40000"),
            "[\"idle\",\"system\",\"user\"]",
        ),
        (
            "GET",
            "series",
            format!("{span}&match[]=node_load1"),
            "\"__name__\":\"node_load1\"",
        ),
        (
            "POST",
            "series",
            format!("{span}&match[]=node_load1&match[]=node_memory_MemFree_bytes"),
            "node_memory_MemFree_bytes",
        ),
        (
            "GET",
            "metadata",
            "limit=5000".to_owned(),
            "\"type\":\"gauge\"",
        ),
        (
            "GET",
            "metadata",
            "metric=node_cpu_seconds_total".to_owned(),
            "\"type\":\"counter\"",
        ),
        (
            "POST",
            "query_range",
            format!(
                "{span}&step=15&query=sum%20by%20(mode)%20(rate(node_cpu_seconds_total%5B1m%5D))"
            ),
            "\"resultType\":\"matrix\"",
        ),
        (
            "GET",
            "query_exemplars",
            format!("{span}&query=node_load1"),
            "\"data\":[]",
        ),
        (
            "GET",
            "format_query",
            "query=sum(rate(a%5B5m%5D))by(b)".to_owned(),
            "sum by (b) (rate(a[5m]))",
        ),
        ("POST", "format_query", "query=a%2Fb".to_owned(), "a / b"),
    ];
    for (method, path, given, expected) in asked {
        let path = format!("/api/v1/{path}");
        let answer = match method {
            "GET" => site.get(&format!("{path}?{given}")).await,
            _ => site.post(&path, "", &given).await,
        };
        let text = answer.text();
        assert_eq!(answer.status, 200, "{method} {path}: {text}");
        assert!(text.starts_with("{\"status\":\"success\""), "{text}");
        assert!(
            text.contains(expected),
            "{method} {path}: no {expected} in {text}"
        );
    }
}

#[tokio::test]
async fn expressions_are_shown_as_trees() {
    let site = site().await;
    let tree = site.get("/api/v1/parse_query?query=rate(a%5B5m%5D)").await;
    let selector = &tree.json()["data"]["args"][0];
    assert_eq!(
        (&selector["type"], &selector["range"]),
        (&"matrixSelector".into(), &300_000.into())
    );
    let tree = site.post("/api/v1/parse_query", "", "query=a%2Fb").await;
    assert_eq!(tree.json()["data"]["matching"]["card"], "one-to-one");
}

#[tokio::test]
async fn limits_cut_answers_and_say_so() {
    let site = site().await;
    let now = NOW.0 / 1000;
    let span = format!("start={}&end={now}", now - 300);
    for (path, rows) in [
        (
            format!("series?{span}&match[]=node_cpu_seconds_total"),
            "/data",
        ),
        (format!("labels?{span}"), "/data"),
        (format!("label/__name__/values?{span}"), "/data"),
        (
            format!("query?query=node_cpu_seconds_total&time={}", now - 5),
            "/data/result",
        ),
        (
            format!("query_range?query=node_cpu_seconds_total&step=60&{span}"),
            "/data/result",
        ),
    ] {
        let full = site.get(&format!("/api/v1/{path}")).await.json();
        let all = full.pointer(rows).unwrap().as_array().unwrap().len();
        assert!(all > 2 && full.get("warnings").is_none(), "{full}");
        let cut = site.get(&format!("/api/v1/{path}&limit=2")).await.json();
        assert_eq!(cut.pointer(rows).unwrap().as_array().unwrap().len(), 2);
        assert_eq!(cut["warnings"][0], "results truncated due to limit");
        let none = site.get(&format!("/api/v1/{path}&limit=0")).await.json();
        assert_eq!(none.pointer(rows).unwrap().as_array().unwrap().len(), all);
        let wrong = site.get(&format!("/api/v1/{path}&limit=-1")).await;
        assert_eq!(wrong.status, 400);
        assert_eq!(wrong.json()["errorType"], "bad_data");
    }
}

/// Where, with what, and what is said: status, kind and words.
type Mistake = (&'static str, &'static str, u16, &'static str, &'static str);

const MISTAKES: &[Mistake] = &[
    ("query", "query=", 400, "bad_data", "no expression"),
    ("query", "", 400, "bad_data", "no expression"),
    (
        "query",
        "query=a%2B",
        400,
        "bad_data",
        "invalid parameter \"query\": 1:",
    ),
    (
        "query",
        "query=1&time=x",
        400,
        "bad_data",
        "invalid parameter \"time\"",
    ),
    (
        "query",
        "query=1&timeout=x",
        400,
        "bad_data",
        "invalid parameter \"timeout\"",
    ),
    (
        "query",
        "query=1&limit=x",
        400,
        "bad_data",
        "invalid parameter \"limit\"",
    ),
    (
        "query",
        "query=up%2Bon(a)up%5B5m%5D",
        400,
        "bad_data",
        "parse error",
    ),
    (
        "query",
        "query=node_load1%20*%20on()%20node_cpu_seconds_total",
        422,
        "execution",
        "found duplicate series",
    ),
    (
        "query_range",
        "query=1&end=5&step=1",
        400,
        "bad_data",
        "invalid parameter \"start\"",
    ),
    (
        "query_range",
        "query=1&start=5&step=1",
        400,
        "bad_data",
        "invalid parameter \"end\"",
    ),
    (
        "query_range",
        "query=1&start=5&end=9",
        400,
        "bad_data",
        "invalid parameter \"step\"",
    ),
    (
        "query_range",
        "query=1&start=5&end=9&step=0",
        400,
        "bad_data",
        "zero or negative query resolution",
    ),
    (
        "query_range",
        "query=1&start=9&end=5&step=1",
        400,
        "bad_data",
        "end timestamp must not be before start time",
    ),
    (
        "query_range",
        "query=a%5B5m%5D&start=5&end=9&step=1",
        400,
        "bad_data",
        "invalid expression type",
    ),
    (
        "series",
        "",
        400,
        "bad_data",
        "no match[] parameter provided",
    ),
    (
        "series",
        "match[]=rate(a%5B5m%5D)",
        400,
        "bad_data",
        "invalid parameter \"match[]\"",
    ),
    (
        "series",
        "match[]=%7B%7D",
        400,
        "bad_data",
        "invalid parameter \"match[]\"",
    ),
    (
        "labels",
        "match[]=a%2Bb",
        400,
        "bad_data",
        "invalid parameter \"match[]\"",
    ),
    ("format_query", "query=a%2B", 400, "bad_data", "parse error"),
    ("parse_query", "query=sum(", 400, "bad_data", "parse error"),
    (
        "query_exemplars",
        "query=sum(",
        400,
        "bad_data",
        "parse error",
    ),
];

/// What Prometheus says to the same, with the same status.
#[tokio::test]
async fn what_is_wrong_is_said_as_prometheus_says_it() {
    let site = site().await;
    let now = NOW.0 / 1000;
    let (from, later) = (now - 60, now + 60);
    for &(path, given, status, kind, words) in MISTAKES {
        for answer in [
            site.get(&format!("/api/v1/{path}?{given}")).await,
            site.post(&format!("/api/v1/{path}"), "", given).await,
        ] {
            let text = answer.text();
            assert_eq!(answer.status, status, "{path} {given}: {text}");
            let json = answer.json();
            assert_eq!(
                (&json["status"], &json["errorType"]),
                (&"error".into(), &kind.into())
            );
            let error = json["error"].as_str().unwrap();
            assert!(error.contains(words), "{path} {given}: {error}");
        }
    }
    // A form counts for more than the address, as in Go.
    let both = site
        .post("/api/v1/query?query=1&time=5", "", "query=2")
        .await;
    assert!(
        both.text().contains("\"result\":[5.0,\"2\"]"),
        "{}",
        both.text()
    );
    assert_eq!(
        site.post("/api/v1/label/job/values", "", "").await.status,
        405
    );
    let range = format!("query=1&start={from}&end={later}&step=60");
    let plain = site.get(&format!("/api/v1/query_range?{range}")).await;
    assert_eq!(
        plain.json()["data"]["result"][0]["values"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn bombs_are_refused_in_words() {
    let site = site().await;
    let now = NOW.0 / 1000;
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    let minus = format!("{}node_load1", "-".repeat(900));
    let sums = format!("node_load1{}", " + node_load1".repeat(1500));
    let regexes = format!("{{__name__=~\"x\"{}}}", ",a=~\"b\"".repeat(100));
    for (query, status, words) in [
        (deep.as_str(), 422, "open brackets"),
        (&minus, 422, "nests deeper"),
        (&sums, 422, "operators"),
        (&regexes, 422, "regular expressions"),
        (
            "{a=~\"(((a{1,100}){1,100}){1,100}){1,100}\"}",
            400,
            "too large",
        ),
        ("up{a=~\"(x\"}", 400, "regex"),
        ("max_over_time(node_load1[10y:1s])", 422, "points"),
        (
            "max_over_time((node_load1[10y:1s])[10y:1s])",
            400,
            "parse error",
        ),
        ("hw_predict(node_load1[100y:1s])", 422, "points"),
        ("hw_predict(node_load1[100y], 10)", 422, "steps"),
        ("topk(1e18, {__name__=~\".+\"})", 200, ""),
        ("topk(NaN, node_load1)", 422, "NaN"),
        ("quantile(-1e300, {__name__=~\".+\"})", 200, ""),
        (
            "label_replace(node_load1, \"a\", \"$1\", \"a\", \"((a{1,100}){1,100}){1,100}\")",
            422,
            "regular expression",
        ),
        ("node_load1 offset 300000y", 400, "duration"),
        ("histogram_count(node_load1)", 200, "\"result\":[]"),
    ] {
        let body = format!("time={now}&query={}", url(query));
        let answer = site.post("/api/v1/query", "", &body).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{query:.60}: {text:.400}");
        assert!(text.contains(words), "{query:.60}: {text:.400}");
    }
    // Ten years at a second; and a body beyond the limit.
    let ten_years = format!("query=node_load1&start=0&end={now}&step=1");
    let answer = site.post("/api/v1/query_range", "", &ten_years).await;
    assert_eq!(
        (answer.status, &answer.json()["errorType"]),
        (400, &"bad_data".into())
    );
    assert!(
        answer.text().contains("exceeded maximum resolution"),
        "{}",
        answer.text()
    );
    let huge = format!("query={}", "a".repeat(100_000));
    assert_eq!(site.post("/api/v1/query", "", &huge).await.status, 413);
}

/// Queries of far more than the ten seconds that a client waits at most hold all readers; when the
/// clients leave, the readers are free at once, and the next asker does not hear that all are busy.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_when_its_client_leaves() {
    let site = site().await;
    let now = NOW.0 / 1000;
    let term = "quantile_over_time(0.5, vector(time())[1d:1s])";
    let query = [term; 50].join(" + ");
    let body = format!(
        "start={}&end={now}&step=1&query={}",
        now - 10_000,
        url(&query)
    );
    let request = format!(
        "POST /api/v1/query_range HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        site.address,
        body.len()
    );
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = TcpStream::connect(&site.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    // All readers are taken soon: somebody who waits for one hears after five seconds that there is none.
    let all_taken = async { while site.get("/api/v1/query?query=1").await.status != 503 {} };
    let patience = std::time::Duration::from_secs(60);
    let taken = tokio::time::timeout(patience, all_taken).await;
    taken.expect("nobody hears that all are busy");
    drop(clients);
    let free = site.get("/api/v1/query?query=1").await;
    assert_eq!(free.status, 200, "{}", free.text());
}

#[tokio::test]
async fn explore_draws_limits_shifts_and_stacks() {
    let site = site().await;
    let span = format!("from={}&to={}", NOW.0 / 1000 - 200, NOW.0 / 1000);
    let given =
        format!("{span}&s=node_load1&limit=2:%3Cb%3Efull:crit&limit=nonsense&shift=1m&stack=1");
    let page = site.get(&format!("/explore?{given}")).await;
    let text = page.text();
    assert_eq!(page.status, 200, "{text}");
    for part in [
        "&lt;b&gt;full",
        "class=\"lim crit",
        "node_load1, 1\u{202f}min before",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("<b>full") && !text.contains("nonsense</span>"));
    let charts = site.get(&format!("/api/series?view=explore&{given}")).await;
    let chart = charts.json().pointer("/charts/0").cloned().unwrap();
    assert_eq!(chart["shape"], "stack");
    assert_eq!(chart["limits"][0][1], "<b>full");
    assert_eq!(chart["series"][1]["kind"], "dash");
}
