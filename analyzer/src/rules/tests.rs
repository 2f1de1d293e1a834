//! Rule files, good and bad.

use super::{Rules, template::Template};

fn problems(text: &str) -> Vec<String> {
    let mut rules = Rules::default();
    match rules.add("r.yml", text) {
        Ok(odd) => odd.iter().map(|p| format!("odd {p}")).collect(),
        Err(wrong) => wrong.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_file_is_read_with_all_its_keys() {
    let text = "
groups:
  - name: node
    interval: 1m
    limit: 7
    labels: {team: ops, severity: info}
    query_offset: 1m
    rules:
      - alert: Down
        expr: up == 0
        for: 1h30m
        keep_firing_for: 5m
        labels: {severity: page}
        annotations:
          summary: '{{ $labels.instance }} is down'
      - alert: Down
        expr: absent(up)
      - alert: Quiet
        expr: increase(lines[2h]) == 0
        no_data: ok
        until: increase(lines[1m]) > 0
  - name: later
    rules: []
";
    let mut rules = Rules::default();
    assert_eq!(rules.add("r.yml", text), Ok(Vec::new()));
    let group = &rules.groups[0];
    assert_eq!((group.interval_ms, group.limit), (60_000, 7));
    let ids: Vec<&str> = group.rules.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids, ["node/Down", "node/Down#2", "node/Quiet"]);
    let [down, absent, quiet] = group.rules.as_slice() else {
        panic!()
    };
    assert_eq!((down.for_ms, down.keep_firing_for_ms), (5_400_000, 300_000));
    assert_eq!(down.place, "r.yml:9");
    let plain = |text| Template::parse(text).0;
    let labels = [
        ("team".to_owned(), plain("ops")),
        ("severity".to_owned(), plain("page")),
    ];
    assert_eq!(down.labels, labels);
    assert!(down.presence.is_some() && absent.presence.is_none() && quiet.presence.is_none());
    assert!(quiet.until.is_some() && down.until.is_none());
    assert_eq!((down.settle_ms, quiet.settle_ms), (60_000, 3_600_000));
    assert_eq!(rules.groups[1].interval_ms, super::INTERVAL_MS);
    // The same file again: its rules keep apart.
    rules.add("s.yml", text).unwrap();
    assert_eq!(rules.groups[2].rules[0].id, "node/Down#3");
    assert_eq!(rules.find("node/Down#2").unwrap().place, "r.yml:16");
}

#[test]
fn problems_say_where_and_what() {
    for (text, expected) in [
        (
            "groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: up\n        fro: 5m\n",
            "r.yml:6:9: unknown key `fro`; did you mean `for`?",
        ),
        (
            "groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: up\n        quantile: 5\n",
            "r.yml:6:9: unknown key `quantile`; known: alert, record, expr, for, keep_firing_for, labels, annotations, no_data, until",
        ),
        (
            "group: []\n",
            "r.yml:1:1: unknown key `group`; did you mean `groups`?",
        ),
        (
            "groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: up\n        for: 5 minutes\n",
            "r.yml:6:14: `5 minutes` is no duration; write it as 30s, 5m, 1h30m or 2d",
        ),
        (
            "groups:\n  - name: a\n    interval: 10ms\n",
            "r.yml:3:15: an interval is at least 1s",
        ),
        (
            "groups:\n  - name: a\n  - name: a\n",
            "r.yml:3:11: a second group named `a` in this file",
        ),
        (
            "groups:\n  - name: a\n    rules:\n      - expr: up\n",
            "r.yml:4:15: a rule has either `alert` or `record`",
        ),
        (
            "groups:\n  - name: a\n    rules:\n      - record: a:b\n        expr: up\n",
            "odd r.yml:4:17: recording rules are not evaluated, `a:b` will not exist; write its expression where it is used",
        ),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
    let text = "groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: sum(up\n";
    let told = problems(text);
    assert!(
        told[0].starts_with("r.yml:5:15: `A`: ") && told[0].contains("parse error"),
        "{told:?}"
    );
    let text = "groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: up\n        annotations:\n          summary: '{{ range query \"up\" }}x{{ end }}'\n";
    let told = problems(text);
    assert_eq!(told.len(), 2);
    assert!(
        told[0].starts_with("odd r.yml:7:20: annotation `summary` stays partly as it is written"),
        "{told:?}"
    );
    for text in [
        "",
        "a: [",
        "groups: 7",
        "groups:\n - name: [x]\n",
        "\0",
        "groups: &a\n - *a\n",
    ] {
        let told = problems(text);
        assert_eq!(told.len(), 1, "{text:?}");
        assert!(!told[0].starts_with("odd"), "{told:?}");
    }
    assert!(problems(&" ".repeat(super::FILE_BYTES_MAX + 1))[0].contains("larger than 4 MiB"));
}

#[test]
fn too_many_rules_are_refused() {
    let list = "      - {alert: A, expr: up}\n".repeat(super::RULES_MAX + 1);
    let told = problems(&format!("groups:\n  - name: a\n    rules:\n{list}"));
    assert_eq!(told, ["r.yml: more than 5000 rules in all"]);
}

#[test]
fn the_built_in_rules_are_clean() {
    let mut rules = Rules::default();
    assert_eq!(rules.add("built-in", super::BUILTIN), Ok(Vec::new()));
    for rule in rules.groups.iter().flat_map(|g| &g.rules) {
        assert!(
            rule.presence.is_some(),
            "{} can tell no data from no",
            rule.id
        );
        for wanted in ["summary", "description"] {
            assert!(
                rule.annotations.iter().any(|(n, _)| n == wanted),
                "{}: {wanted}",
                rule.id
            );
        }
        let severity = rule.labels.iter().find(|(n, _)| n == "severity");
        assert!(severity.is_some(), "{}", rule.id);
    }
}
