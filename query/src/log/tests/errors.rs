//! What errors say, and where limits are.

use crate::log::Query;

fn check(query: &str, expected: &str) {
    let found = Query::parse(query).expect_err(query).to_string();
    assert_eq!(found, expected, "{query}");
}

#[test]
fn fields_and_values() {
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
}

#[test]
fn grammar_and_times() {
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
}

#[test]
fn pipes() {
    check(
        "a | topp path",
        "query:5: unknown pipe 'topp', did you mean 'top'?",
    );
    check(
        "a | group by x",
        "query:5: unknown pipe 'group', did you mean 'count by'?",
    );
    check(
        "a | by time 1h",
        "query:5: unknown pipe 'by', did you mean 'chart every 1m'?",
    );
    check(
        "a | count by time 1h",
        "query:19: 'count' does not expect '1h' here; steps of time are made by 'chart every 1h'",
    );
    check(
        "a | top path 5m",
        "query:14: 'top' does not expect '5m' here; steps of time are made by 'chart every 5m'",
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
}

#[test]
fn limits() {
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
