//! What the description of the API says is what is served.

use super::site;

#[tokio::test]
async fn every_address_that_is_described_answers_as_described() {
    let site = site().await;
    let document = site.get("/api/v1/openapi.json").await.json();
    assert_eq!(site.get("/api/openapi.json").await.json(), document);
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let address = path.replace("{name}", "code");
        for (method, operation) in methods.as_object().unwrap() {
            let content = |status: &str| -> Vec<String> {
                let content = &operation["responses"][status]["content"];
                content.as_object().unwrap().keys().cloned().collect()
            };
            // Server-sent events have no end to wait for.
            if content("200") == ["text/event-stream"] {
                continue;
            }
            asked += 1;
            let answer = match method.as_str() {
                "post" => site.post(&address, "", "query=1&match[]=up").await,
                _ => site.get(&address).await,
            };
            assert!(
                ![404, 405].contains(&answer.status) || path == "/api/series",
                "{path}"
            );
            let told = content(if answer.status == 200 {
                "200"
            } else {
                "default"
            });
            let head = answer.head.lines().find(|l| l.starts_with("content-type"));
            let kind = head
                .and_then(|l| l.split([' ', ';']).nth(1))
                .unwrap_or_default();
            assert!(told.iter().any(|t| t == kind), "{method} {path}: {kind}");
        }
    }
    assert!(asked > 20, "{asked}");
}

#[tokio::test]
async fn patterns_are_counted() {
    let site = site().await;
    let answer = site.get("/api/v1/patterns?from=now-1h").await.json();
    let data = &answer["data"];
    let columns = ["count", "share", "first", "last", "pattern", "sample"];
    assert_eq!(data["columns"], serde_json::json!(columns));
    let lines = site
        .get("/api/v1/logs?q=%7C+count&from=now-1h")
        .await
        .json();
    let rows = data["rows"].as_array().unwrap();
    let sum: u64 = rows.iter().map(|r| r[0].as_u64().unwrap()).sum();
    assert_eq!(lines["data"]["rows"][0][0], sum);
    assert!(sum > 0);
}
