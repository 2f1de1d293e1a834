//! The parser never panics, what is shown reads back, and the evaluator agrees with a naive one.

use proptest::prelude::*;

use vigie_parsers::Timestamp;

use super::event;
use crate::log::{
    FieldName, Filter, Limits, Query, RunContext, RunError, Subject, TextPattern, printable, run,
    template,
};
use crate::{EventSource, GroupBy, Scan, Step};

/// A filter that reads well.
fn filter() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        "[b-mp-z0-9_][a-z0-9_]{0,5}",
        "[*]?[b-mp-zB-MP-Zé][a-zA-Zé]{0,4}[*]?",
        r#"[*]?"[a-z \\.é:|(]{0,6}x"[*]?"#,
        "(app|host|status|docker[.]service|\"odd key\"|level|facility|ip)[:=][a-z0-9]{1,3}[*]?",
        "(status|bytes|duration|x[.]y)(>|>=|<|<=|:|=|!=)[0-9]{1,3}(ms|k|MiB)?",
        "(status|bytes):[0-9]{1,2}\\.\\.[0-9]{2}",
        "ip(:|=|!=)10\\.[0-9]\\.0\\.0/[0-9]",
        "ip(:|=)(::1|10\\.0\\.0\\.1)",
        "level(>=|<|=|!=|:)(debug|info|warn|err|3)",
        "(app|status|level|ip):in\\((err|5|1\\.\\.7|::1|\"a,b\"|x[*])(, (warn|9|ab))?\\)",
        "(path|app)(~|!~)(\"a\\|b\"|/x[.]y/i|\\^a\\[bc\\]\\+)",
        "/[a-z.]{1,4}(\\\\/)?x/i?",
        "user(=|!=)\"\"",
        "(recv|time)>2026-11-2[01]T10:00:00Z",
    ];
    atom.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|v| format!("({})", v.join(" "))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|v| format!("({})", v.join(" or "))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            inner.clone().prop_map(|i| format!("not {i}")),
            inner.prop_map(|i| format!("-({i})")),
        ]
    })
}

fn pipe() -> impl Strategy<Value = String> {
    let to_table = prop_oneof![
        "(count|p95 duration|avg bytes, sum bytes|stats uniq ip, count)( by app(, host)?)?",
        "(top|rare) ([0-9]{1,3} )?(path|\"odd key\"|\"by\")",
        "chart( count| max bytes)?( by app)?( every (1m|90s))?",
        "rate( 5m)?( by app)?",
        "uniq ip, user",
        "patterns|new|new since (1d|deploy|2026-11-20)|diff 1d|sessions( 10m)?( by user)?",
        "fields time, app",
    ];
    let of_events = prop_oneof![
        "head 3|tail|limit 7|context 2|around 1m30s|json|kv message|sort -time, app",
        "parse (path )?\"a <x> b <_> \\\\\\\\ c\"",
        filter().prop_map(|f| format!("where {f}")),
    ];
    (prop::option::of(of_events), prop::option::of(to_table)).prop_map(|(a, b)| {
        let list: Vec<String> = a.into_iter().chain(b).map(|p| format!(" | {p}")).collect();
        list.concat()
    })
}

/// Each place, each length of each gap, on characters in lower case.
fn naive(pattern: &TextPattern, text: &[u8]) -> bool {
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    let text: Vec<char> = String::from_utf8_lossy(text)
        .to_lowercase()
        .chars()
        .collect();
    let needle: Vec<Vec<char>> = pattern
        .needle()
        .split(' ')
        .map(|p| p.chars().collect())
        .collect();
    let (first, last) = (needle.concat()[0], needle.concat().pop().unwrap());
    (0..text.len()).any(|start| {
        let free = pattern.open_start() || !is_word(&first);
        if !free && start > 0 && is_word(&text[start - 1]) {
            return false;
        }
        let mut ends = vec![start];
        for (i, part) in needle.iter().enumerate() {
            let mut next = Vec::new();
            for end in ends {
                let gap = text[end..].iter().take_while(|c| !is_word(c)).count();
                let gaps = if i == 0 { 0..=0 } else { 1..=gap };
                let found = gaps.filter(|g| text[end + g..].starts_with(part));
                next.extend(found.map(|g| end + g + part.len()));
            }
            ends = next;
        }
        let free = pattern.open_end() || !is_word(&last);
        ends.into_iter()
            .any(|end| free || !text.get(end).is_some_and(is_word))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        if let Ok(query) = Query::parse(&text) {
            prop_assert_eq!(Query::parse(&query.to_string()), Ok(query));
        }
    }

    #[test]
    fn signs_of_the_grammar_are_read_or_refused(text in "[-a-c5.:=<>~!|()@*\"'/\\\\, ]{0,24}") {
        if let Ok(query) = Query::parse(&text) {
            let again = Query::parse(&query.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&query), "{}", query);
        }
    }

    #[test]
    fn what_is_shown_reads_back(filter in filter(), time in "( @(15m|2h\\.\\.1h|yesterday|2026-11-20T10:00\\.\\.11:00))?", pipes in pipe()) {
        let text = format!("{filter}{time}{pipes}");
        match Query::parse(&text) {
            Ok(query) => {
                let shown = query.to_string();
                let again = Query::parse(&shown);
                prop_assert_eq!(again.as_ref(), Ok(&query), "{} shown as {}", text, shown);
            }
            Err(error) => prop_assert!(false, "{}: {}", text, error),
        }
    }

    #[test]
    fn words_are_found_as_by_expressions(
        needle in "[aAbé]{1,3}( [aB_]{1,2})?",
        open in any::<(bool, bool)>(),
        text in "[aAbBéÉ_ .-]{0,16}",
    ) {
        let pattern = TextPattern::new(&needle, open.0, open.1).unwrap();
        prop_assert_eq!(pattern.matches(text.as_bytes()), naive(&pattern, text.as_bytes()));
    }

    #[test]
    fn any_bytes_are_searched(needle in "\\PC{1,8}", text in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Some(pattern) = TextPattern::new(&needle, false, false) {
            let _ = pattern.matches(&text);
            let mut around = text.clone();
            around.extend_from_slice(b" ");
            around.extend_from_slice(needle.to_uppercase().to_lowercase().as_bytes());
            around.extend_from_slice(b" ");
            around.extend_from_slice(&text);
            let folds = needle.is_ascii();
            prop_assert!(!folds || pattern.matches(&around));
        }
        let shown = printable(&text);
        prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\t'));
        prop_assert_eq!(template(&text).iter().filter(|b| b.is_ascii_digit()).count(), 0);
    }

    /// No query fails on the way, each keeps to its limits, and tables are rectangular.
    #[test]
    fn any_query_runs(
        filter in prop_oneof![filter(), Just("*".to_owned()), Just("level>=info".to_owned())],
        pipes in pipe(),
        rows in 0usize..9,
        kept_bytes in prop_oneof![Just(0usize), Just(3000), Just(1 << 20)],
    ) {
        let source = super::pipes::numbers();
        let query = Query::parse(&format!("{filter} @all{pipes}")).unwrap();
        let mut cx = RunContext::new(super::clock());
        cx.limits = Limits { rows, groups: 5, kept_bytes };
        let mut written = super::Written::default();
        match run(&source, &query, &cx, &mut written) {
            Ok(_) => prop_assert!(written.lines.len() <= rows + usize::from(query.makes_table())),
            Err(error) => prop_assert!(matches!(error, RunError::Query(_)), "{query}: {error}"),
        }
    }

    /// Counting by field and time says the same as looking at each event.
    #[test]
    fn groups_are_counted_right(step in 1i64..5_000_000, minutes in prop::collection::vec((0u32..99, 0u32..3), 1..40)) {
        let lines = minutes.iter().map(|(m, app)| format!("-{m}m - s | {{app:a{app}}}\n"));
        let source = super::events(&lines.collect::<String>());
        let by = [FieldName::new("app")];
        let step = Step { ms: step, origin: super::NOW };
        let scan = Scan::new(Timestamp::MIN, Timestamp::MAX, &Filter::All);
        let group_by = GroupBy { fields: &by, step: Some(step), max_groups: 9 };
        let grouped = source.count_by(&scan, &group_by).unwrap();
        let total: u64 = grouped.groups.iter().map(|g| g.count).sum();
        prop_assert_eq!((total, grouped.rest), (minutes.len() as u64, 0));
        for group in grouped.groups {
            let app = group.key[0].as_deref().unwrap();
            prop_assert_eq!(group.steps.iter().map(|(_, n)| n).sum::<u64>(), group.count);
            for (start, n) in group.steps {
                let inside = |e: &&vigie_parsers::Event| start <= e.time && e.time < start.plus_ms(step.ms);
                let there = source.events().iter().filter(inside);
                let same = there.filter(|e| e.field("app").as_deref() == Some(app));
                prop_assert_eq!(same.count() as u64, n);
            }
        }
    }

    /// The whole line and each piece apart: what the tree says is what its parts say.
    #[test]
    fn trees_follow_their_leaves(filter in filter()) {
        let Ok(query) = Query::parse(&filter) else { return Ok(()) };
        let lines = [
            "-1s err s host=ab | {ip:10.0.0.1} {app:x} {status:5} a {bytes:70} {user:bob}",
            "-1s - s | {app:ab} {duration|ms:900} {odd key:abc} b é",
        ];
        for line in lines {
            let event = event(line);
            prop_assert_eq!(query.filter.matches(&event), holds(&query.filter, &event), "{}", query);
        }
    }
}

/// Without shortcuts.
fn holds(filter: &Filter, event: &vigie_parsers::Event) -> bool {
    match filter {
        Filter::And(all) => all.iter().map(|f| holds(f, event)).fold(true, |a, b| a & b),
        Filter::Or(any) => any
            .iter()
            .map(|f| holds(f, event))
            .fold(false, |a, b| a | b),
        Filter::Not(inner) => !holds(inner, event),
        Filter::Text(pattern) => {
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            let stamp = event.record.time_span.clone();
            pieces.push(event.line[..stamp.start as usize].to_vec());
            pieces.push(event.line[stamp.end as usize..].to_vec());
            let decoded = event
                .record
                .fields
                .iter()
                .filter(|s| s.kind != vigie_parsers::Kind::Plain);
            pieces.extend(decoded.map(|s| s.value(&event.line).into_owned()));
            pieces.extend(
                event
                    .origin
                    .fields
                    .iter()
                    .map(|(_, v)| v.clone().into_bytes()),
            );
            pieces.push(event.origin.source.clone().into_bytes());
            pieces.iter().any(|p| naive(pattern, p))
        }
        Filter::Field { name, test } => match test {
            crate::log::Test::Compare(compare, limit) => {
                event.number(name).is_some_and(|n| compare.holds(&n, limit))
            }
            crate::log::Test::Levels(set) => event.severity.is_some_and(|l| set.has(l)),
            crate::log::Test::Any(tests) => tests.iter().any(|test| {
                holds(
                    &Filter::Field {
                        name: name.clone(),
                        test: test.clone(),
                    },
                    event,
                )
            }),
            test => event.value(name).is_some_and(|v| test.matches(&v)),
        },
        other => other.matches(event),
    }
}
