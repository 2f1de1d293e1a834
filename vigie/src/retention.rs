//! `[[retention]]`: how long which figures are kept, as it stands in `vigie.toml`.

use serde::Deserialize;
use vigie_store::series::{Archives, Pattern, Retention};

use crate::output;

/// Rules at most: each new series is compared with all of them.
const RULES_MAX: usize = 1000;

/// One rule. The first that means a series says how long it is kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Which series: `node_*{instance="web1"}`.
    #[serde(rename = "match")]
    pub(crate) pattern: Match,
    /// `"10s for 2d"` and so on.
    pub(crate) archives: List,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Match(Pattern);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct List(Archives);

impl TryFrom<String> for Match {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl TryFrom<Vec<String>> for List {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        Archives::parse(&texts).map(Self)
    }
}

/// The rule that stands at the end of any list.
pub(crate) fn default() -> Vec<Rule> {
    let every: Pattern = "*".parse().expect("it selects every series");
    vec![Rule {
        pattern: Match(every),
        archives: List(Archives::default()),
    }]
}

/// The same in the store's own terms.
pub(crate) fn rules(rules: &[Rule]) -> Retention {
    let rules = rules.iter();
    Retention {
        rules: rules
            .map(|r| (r.pattern.0.clone(), r.archives.0.clone()))
            .collect(),
    }
}

/// What cannot be seen in one rule alone.
pub(crate) fn validate(rules: &[Rule]) -> Result<(), String> {
    if rules.len() > RULES_MAX {
        return Err(format!("more than {RULES_MAX} tables [[retention]]"));
    }
    Ok(())
}

/// What a series is expected to cost under each rule, and how many such series fit, a line each.
pub(crate) fn arithmetic(rules: &[Rule], budget: u64) -> Vec<String> {
    let line = |rule: &Rule| {
        let each = rule.archives.0.bytes_expected();
        let kept: Vec<String> = rule
            .archives
            .0
            .list()
            .iter()
            .map(ToString::to_string)
            .collect();
        format!(
            "retention {}: {}; a series takes some {}, {} at most; about {} of them fit into {}",
            rule.pattern.0,
            kept.join(", "),
            output::bytes(each),
            output::bytes(rule.archives.0.bytes_max()),
            budget / each.max(1),
            output::bytes(budget),
        )
    };
    rules.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, parse};

    fn error(table: &str) -> String {
        parse(&format!("[[retention]]\n{table}"), "vigie.toml").unwrap_err()
    }

    #[test]
    fn rules_are_read_and_mistakes_are_shown_in_their_place() {
        let text = "[[retention]]\nmatch = 'node_*{instance=\"web1\"}'\narchives = [\"10s for 2d\", \"1m for 14d\"]";
        let config = parse(text, "vigie.toml").unwrap();
        let lines = arithmetic(&config.retention, 1 << 30);
        assert!(
            lines[0].starts_with(
                "retention node_*{instance=\"web1\"}: 10s for 2d, 1m for 14d; a series takes some 156 KiB, "
            ),
            "{lines:?}"
        );
        for (table, want) in [
            (
                "match = \"a(\"\narchives = [\"1s for 1d\"]",
                "vigie.toml:2:9: `a(` selects no series: `(` stands in no name",
            ),
            (
                "match = \"a\"\narchives = [\"1s for\"]",
                "vigie.toml:3:12: `1s for` is no archive",
            ),
            (
                "match = \"a\"\narchives = [\"4s for 1d\", \"6s for 2d\"]",
                "vigie.toml:3:12: 6s is no multiple of 4s",
            ),
            (
                "match = \"a\"\narchives = []",
                "vigie.toml:3:12: no archive",
            ),
            ("match = \"a\"\narchive = []", "did you mean `archives`?"),
            ("match = \"a\"", "missing field `archives`"),
        ] {
            let e = error(table);
            assert!(e.contains(want), "{e}");
        }
    }

    #[test]
    fn without_rules_the_default_holds() {
        assert_eq!(Config::default().retention, default());
        assert_eq!(parse("retention = []", "x").unwrap().retention, []);
        assert_eq!(
            rules(&[]).archives(&vigie_query::Labels::default(), 1000),
            Archives::default()
        );
    }
}
