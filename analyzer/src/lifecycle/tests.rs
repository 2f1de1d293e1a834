//! Stories of one alert, ten seconds a letter, and what must hold in every story.

use proptest::prelude::*;
use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_store::incidents::{Alert, AlertState};

use super::{Absence, Evaluation, GONE_MS, Gap, Step};
use crate::model::rules;
use crate::rules::Rule;

const STEP_MS: i64 = 10_000;

fn rule(for_s: i64, keep_s: i64) -> Rule {
    let text =
        format!("- alert: A\n  expr: up == 0\n  for: {for_s}s\n  keep_firing_for: {keep_s}s");
    rules("10s", &text).groups[0].rules[0].clone()
}

/// One evaluation: `T` the condition holds, `F` it does not, `L` it does not and must linger, `G`
/// its series ended, `B` no data, `E` an error.
fn step(
    rule: &Rule,
    active: &[Alert],
    seen: char,
    now: Timestamp,
    gap: Option<Gap>,
) -> Vec<super::Transition> {
    let mut evaluation = Evaluation::new(rule, 10, now, gap);
    let labels = Labels::new([("alertname", "A")]);
    let absence = match seen {
        'T' | 'F' | 'E' => Absence::False,
        'L' => Absence::Lingers,
        'G' => Absence::Gone,
        'B' => Absence::Blind,
        other => panic!("{other}"),
    };
    let answer = if seen == 'T' {
        vec![(labels, 1.0)]
    } else {
        Vec::new()
    };
    match seen {
        'E' => evaluation.failed(active, "broken"),
        _ => evaluation.answered(active, answer, |_, _| Vec::new(), |_| absence),
    }
    evaluation.out
}

fn absorb(active: &mut Vec<Alert>, transitions: &[super::Transition]) {
    for t in transitions {
        active.retain(|a| a.labels != t.alert.labels);
        if t.step != Step::Dropped && t.alert.state != AlertState::Resolved {
            active.push(t.alert.clone());
        }
    }
}

/// `.` inactive, `p` pending, `f` firing, `c` firing while the condition is false, `z` frozen.
fn letter(active: &[Alert]) -> char {
    match active {
        [] => '.',
        [a] if a.state == AlertState::Pending => 'p',
        [a] if a.frozen.is_some() => 'z',
        [a] if a.clear_since.is_some() => 'c',
        _ => 'f',
    }
}

/// One step, absorbed.
fn go(rule: &Rule, active: &mut Vec<Alert>, seen: char, now: Timestamp, gap: Option<Gap>) {
    let transitions = step(rule, active, seen, now, gap);
    absorb(active, &transitions);
}

fn tell(for_s: i64, keep_s: i64, story: &str) -> String {
    let rule = rule(for_s, keep_s);
    let (mut active, mut out) = (Vec::new(), String::new());
    for (n, seen) in story.chars().enumerate() {
        let now = Timestamp(n as i64 * STEP_MS);
        go(&rule, &mut active, seen, now, None);
        out.push(letter(&active));
    }
    out
}

#[test]
fn alerts_live_as_in_prometheus_but_for_its_traps() {
    for (for_s, keep_s, story, expected) in [
        (0, 0, "FTF", ".f."),
        (20, 0, "TTTTF", "ppff."),
        // An interruption starts the waiting anew.
        (20, 0, "TTFTTTF", "pp.ppf."),
        // Back to true needs no second `for`, and restarts the keeping.
        (20, 20, "TTTFFTFFF", "ppfccfcc."),
        (0, 20, "TFFF", "fcc."),
        // An error changes nothing and is over with the next answer.
        (0, 0, "TEEF", "fzz."),
        (0, 20, "TFEFFF", "fczcc."),
        (20, 0, "TEETF", "pppf."),
        // No data is not "not so".
        (0, 0, "TBBBBBBBBBBBBBBBBBBBBT", "fzzzzzzzzzzzzzzzzzzzzf"),
        (0, 0, "TBBF", "fzz."),
        // A source that comes and goes gets beyond `for`.
        (30, 0, "TBTBTF", "ppppf."),
        // It ended while its kind goes on: over after two minutes.
        (0, 0, "TGGGGGGGGGGGGGG", "fzzzzzzzzzzzz.."),
        (0, 0, "TGGGT", "fzzzf"),
        // What must hold for the end is not there.
        (0, 0, "TLLLF", "ffff."),
        (0, 20, "TFLFFF", "fcfcc."),
        (20, 0, "TL", "p."),
    ] {
        assert_eq!(
            tell(for_s, keep_s, story),
            expected,
            "for {for_s} keep {keep_s}: {story}"
        );
    }
    // A pending alert without data is given up in the end: after 20 s and 5 min.
    let blind = tell(20, 0, &format!("T{}", "B".repeat(40)));
    assert_eq!(blind.find('.'), Some(1 + 32));
}

#[test]
fn a_gap_is_neither_true_nor_false() {
    let gap = |from: i64, until: i64| Gap {
        from: Timestamp(from * 1000),
        until: Timestamp(until * 1000),
    };
    // Pending for 20 s of 60, then nobody looked for 30 min: 40 s are still to wait.
    let rule = rule(60, 0);
    let mut active = Vec::new();
    for s in [0, 10, 20] {
        go(&rule, &mut active, 'T', Timestamp(s * 1000), None);
    }
    let gap_one = gap(20, 1820);
    for (s, expected) in [(1820, 'p'), (1850, 'p'), (1860, 'f')] {
        go(&rule, &mut active, 'T', Timestamp(s * 1000), Some(gap_one));
        assert_eq!(letter(&active), expected, "{s}");
    }
    // Firing, and false after the gap: believed a minute later.
    let gap_two = gap(1860, 2860);
    for (s, expected) in [(2860, 'z'), (2900, 'z'), (2920, '.')] {
        go(&rule, &mut active, 'F', Timestamp(s * 1000), Some(gap_two));
        assert_eq!(letter(&active), expected, "{s}");
    }
    // Beyond an hour, what was before does not count at all.
    go(&rule, &mut active, 'T', Timestamp(3_000_000), None);
    let gap_three = gap(3000, 8000);
    go(
        &rule,
        &mut active,
        'T',
        Timestamp(8_000_000),
        Some(gap_three),
    );
    assert_eq!(active[0].active_at, Timestamp(8_000_000));
}

#[test]
fn a_clock_set_back_costs_no_waiting() {
    let rule = rule(20, 20);
    let mut active = Vec::new();
    for (s, seen, expected) in [
        (5000, 'T', 'p'),
        (1000, 'T', 'p'),
        (1020, 'T', 'f'),
        (1030, 'F', 'c'),
        (500, 'F', 'c'),
        (520, 'F', '.'),
    ] {
        go(&rule, &mut active, seen, Timestamp(s * 1000), None);
        assert_eq!(letter(&active), expected, "{s}");
    }
}

#[test]
fn a_limit_caps_and_never_wipes() {
    let rule = rule(0, 0);
    let label = |n: usize| Labels::new([("n", n.to_string())]);
    let seen = |n: usize| (0..n).map(|i| (label(i), 1.0)).collect::<Vec<_>>();
    let mut active = Vec::new();
    let mut evaluate = |answer: Vec<(Labels, f64)>| {
        let mut evaluation = Evaluation::new(&rule, 3, Timestamp(0), None);
        evaluation.answered(&active, answer, |_, _| Vec::new(), |_| Absence::False);
        absorb(&mut active, &evaluation.out);
        (active.len(), evaluation.capped, evaluation.duplicates)
    };
    assert_eq!(evaluate(seen(2)), (2, 0, 0));
    assert_eq!(evaluate(seen(9)), (3, 6, 0));
    let mut twice = seen(3);
    twice.extend(seen(3));
    assert_eq!(evaluate(twice), (3, 0, 3));
    assert_eq!(evaluate(seen(0)), (0, 0, 0));
}

#[test]
fn a_moving_value_is_written_once_a_minute() {
    let rule = rule(0, 0);
    let mut active = Vec::new();
    let mut written = Vec::new();
    for n in 0..20 {
        let mut evaluation = Evaluation::new(&rule, 3, Timestamp(n * STEP_MS), None);
        let answer = vec![(Labels::default(), n as f64)];
        evaluation.answered(
            &active,
            answer,
            |_, v| vec![("v".to_owned(), v.to_string())],
            |_| Absence::False,
        );
        written.extend(evaluation.out.iter().map(|_| n));
        absorb(&mut active, &evaluation.out);
    }
    assert_eq!(written, [0, 6, 12, 18]);
    assert_eq!(active[0].annotation("v"), Some("18"));
}

/// Whether an alert fires, from the definition and the whole story: some run of true lasted `for`,
/// and no run of false has lasted `keep` since.
fn fires_by_definition(story: &[char], for_ms: i64, keep_ms: i64) -> bool {
    let runs = |wanted: char, length: i64| {
        let mut ends = Vec::new();
        let mut first = None;
        for (n, &seen) in story.iter().enumerate() {
            first = (seen == wanted).then(|| first.unwrap_or(n));
            if first.is_some_and(|f| (n - f) as i64 * STEP_MS >= length) {
                ends.push(n);
            }
        }
        ends
    };
    let (fired, cleared) = (runs('T', for_ms), runs('F', keep_ms));
    let Some(&last_clear) = cleared.last() else {
        return !fired.is_empty();
    };
    fired.iter().any(|&n| n > last_clear)
}

proptest! {
    #[test]
    fn true_and_false_alone_follow_the_definition(
        story in proptest::collection::vec(prop::sample::select(vec!['T', 'F']), 1..60),
        for_steps in 0i64..5,
        keep_steps in 0i64..5,
    ) {
        let (for_s, keep_s) = (for_steps * 10, keep_steps * 10);
        let told: Vec<char> = tell(for_s, keep_s, &story.iter().collect::<String>()).chars().collect();
        for n in 0..story.len() {
            let expected = fires_by_definition(&story[..=n], for_s * 1000, keep_s * 1000);
            prop_assert_eq!(matches!(told[n], 'f' | 'c'), expected, "step {} of {:?}: {:?}", n, story, told);
        }
    }

    #[test]
    fn nothing_ends_or_begins_without_evidence(
        story in "[TFLGBE]{1,80}",
        for_steps in 0i64..4,
        keep_steps in 0i64..4,
        gap_at in proptest::option::of(1usize..80),
    ) {
        let rule = rule(for_steps * 10, keep_steps * 10);
        let mut active: Vec<Alert> = Vec::new();
        let (mut offset, mut gap) = (0, None);
        for (n, seen) in story.chars().enumerate() {
            let before = Timestamp((n as i64 - 1) * STEP_MS + offset);
            if gap_at == Some(n) {
                offset += 600_000;
                gap = Some(Gap { from: before, until: Timestamp(n as i64 * STEP_MS + offset) });
            }
            let now = Timestamp(n as i64 * STEP_MS + offset);
            let transitions = step(&rule, &active, seen, now, gap);
            prop_assert!(transitions.len() <= 1);
            for t in &transitions {
                match t.step {
                    Step::Pended | Step::Held => prop_assert!(seen == 'T' || seen == 'L'),
                    Step::Fired => {
                        prop_assert_eq!(seen, 'T');
                        prop_assert!(now.since_ms(t.alert.active_at) >= rule.for_ms);
                    }
                    Step::Resolved if seen == 'G' => {
                        let frozen = active[0].frozen.as_ref().unwrap();
                        prop_assert!(now.since_ms(frozen.since) >= GONE_MS);
                    }
                    Step::Resolved => {
                        prop_assert_eq!(seen, 'F');
                        let clear = t.alert.clear_since.unwrap();
                        prop_assert!(now.since_ms(clear) >= rule.keep_firing_for_ms);
                        prop_assert!(gap.is_none_or(|g| now.since_ms(g.until) >= rule.settle_ms));
                    }
                    Step::Frozen => prop_assert!(seen != 'T' && seen != 'L'),
                    _ => {}
                }
            }
            absorb(&mut active, &transitions);
        }
    }
}
