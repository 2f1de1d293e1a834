//! Engine and book together, over figures that are functions of time.

use vigie_store::incidents::{IncidentFilter, IncidentId, IncidentState, Severity, What};

use super::{Engine, Memory};
use crate::incidents::{Action, perform};
use crate::lifecycle::Step;
use crate::model::{Figures, House, at, rules};
use crate::overview;

const FULL: &str = "\
- alert: Full
  expr: used > 90
  for: 20s
  keep_firing_for: 10s
  labels: {severity: '{{ if }}'}
  annotations: {summary: '{{ $labels.mountpoint }} is {{ $value }} % full'}
- alert: Full
  expr: used > 95
  labels: {severity: page}
  annotations: {summary: '{{ $labels.mountpoint }} is {{ $value }} % full'}";

fn used(mountpoint: &'static str, value: impl Fn(i64) -> Option<f64> + 'static) -> Figures {
    let mut figures = Figures::every(10);
    figures.add(
        "used",
        &[("instance", "web1"), ("mountpoint", mountpoint)],
        value,
    );
    figures.add("used", &[("instance", "web1"), ("mountpoint", "/")], |_| {
        Some(10.0)
    });
    figures
}

/// Between these seconds.
fn during(from: i64, until: i64) -> impl Fn(i64) -> Option<f64> {
    move |s| {
        Some(if (from..until).contains(&s) {
            92.0
        } else {
            50.0
        })
    }
}

fn incident(house: &House, id: u64) -> vigie_store::incidents::Incident {
    house.reader().incident(IncidentId(id)).unwrap().unwrap()
}

fn run(house: &mut House, figures: &Figures, from: i64, until: i64) {
    for s in (from..until).step_by(10) {
        house.tick(figures, s);
    }
}

#[test]
fn an_incident_opens_resolves_and_is_reopened() {
    let mut house = House::new(rules("10s", FULL));
    let mut figures = used("/var", |s| match s {
        100..200 => Some(92.0),
        500..600 => Some(97.0),
        3000..3100 => Some(92.0),
        _ => Some(50.0),
    });
    figures.add(
        "used",
        &[("instance", "web2"), ("mountpoint", "/")],
        during(100, 120),
    );
    run(&mut house, &figures, 0, 400);
    let one = incident(&house, 1);
    assert_eq!(one.title, "/var is 92 % full");
    assert_eq!((one.onset, one.opened), (at(100), at(120)));
    assert_eq!(one.resolved.as_ref().map(|r| r.at), Some(at(210)));
    assert_eq!(one.severity, Severity::Warning);
    run(&mut house, &figures, 400, 700);
    let one = incident(&house, 1);
    assert_eq!((one.reopened, one.severity), (1, Severity::Page));
    assert_eq!(one.state(), IncidentState::Resolved);
    assert_eq!(one.title, "/var is 97 % full", "it speaks of the worst");
    let whats: Vec<What> = house
        .reader()
        .timeline(one.id)
        .unwrap()
        .iter()
        .map(|e| e.what)
        .collect();
    assert_eq!(
        whats,
        [
            What::Opened,
            What::Fired,
            What::Cleared,
            What::Resolved,
            What::Reopened,
            What::Raised,
            What::Fired,
            What::Fired,
            What::Cleared,
            What::Cleared,
            What::Resolved,
        ]
    );
    // Beyond a quarter of an hour it is another incident.
    run(&mut house, &figures, 2900, 3050);
    let all = house
        .reader()
        .incidents(&IncidentFilter::unresolved())
        .unwrap();
    assert_eq!(all.iter().map(|i| i.id.0).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_killed_engine_goes_on_with_the_same_incident() {
    let mut house = House::new(rules("10s", FULL));
    let figures = used("/var", during(100, 10_000));
    // Pending when it is killed: the waiting goes on.
    run(&mut house, &figures, 0, 115);
    let mut house = house.kill();
    run(&mut house, &figures, 120, 200);
    assert_eq!(incident(&house, 1).opened, at(120));
    let entries = house.reader().timeline(IncidentId(1)).unwrap();
    // Killed again and again while it fires: nothing opens, nothing is told twice.
    for s in (200..400).step_by(20) {
        house = house.kill();
        house.tick(&figures, s);
    }
    assert_eq!(house.reader().timeline(IncidentId(1)).unwrap(), entries);
    // Killed, and the trouble is over when it comes back an hour later: believed a minute after.
    let mut house = house.kill();
    let over = used("/var", during(100, 400));
    house.tick(&over, 4000);
    assert_eq!(incident(&house, 1).state(), IncidentState::Open);
    assert_eq!(incident(&house, 1).frozen, 1);
    let mut house = house.kill();
    run(&mut house, &over, 4010, 4080);
    let one = incident(&house, 1);
    assert_eq!(one.resolved.as_ref().map(|r| r.at), Some(at(4070)));
    let after = house.reader().timeline(IncidentId(1)).unwrap();
    assert_eq!(after[..entries.len()], entries, "the time line only grows");
    assert_eq!(
        house
            .reader()
            .incidents(&IncidentFilter::default())
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_cannot_be_judged_stays() {
    let mut house = House::new(rules("10s", FULL));
    let mut figures = used("/var", during(0, 10_000));
    run(&mut house, &figures, 0, 100);
    figures.fails = true;
    run(&mut house, &figures, 100, 200);
    let one = incident(&house, 1);
    assert_eq!((one.firing, one.frozen), (1, 1));
    assert!(house.engine.counts().failures > 0);
    assert_eq!(house.engine.take_complaints().len(), 2, "each rule once");
    figures.fails = false;
    run(&mut house, &figures, 200, 220);
    assert_eq!(incident(&house, 1).frozen, 0);
    // All series of the machine end: it stays for ever.
    let nothing = Figures::every(10);
    run(&mut house, &nothing, 220, 4000);
    assert_eq!(
        (incident(&house, 1).firing, incident(&house, 1).frozen),
        (1, 1)
    );
    // This one ends, its siblings go on: it was unmounted.
    let unmounted = used("/home", |_| Some(1.0));
    run(&mut house, &unmounted, 4000, 4200);
    let resolved = incident(&house, 1).resolved.unwrap();
    assert!(
        resolved.reason.contains("others of its kind"),
        "{resolved:?}"
    );
}

#[test]
fn a_rule_that_is_gone_takes_its_alerts_along() {
    let mut house = House::new(rules("10s", FULL));
    let figures = used("/var", during(0, 10_000));
    run(&mut house, &figures, 0, 100);
    house.engine = Engine::new(crate::Rules::default(), house.engine.memory());
    house.tick(&figures, 100);
    let resolved = incident(&house, 1).resolved.unwrap();
    assert_eq!(resolved.reason, "its rule is gone from the configuration");
}

#[test]
fn people_take_close_and_annotate() {
    let mut house = House::new(rules("10s", FULL));
    let figures = used("/var", during(0, 10_000));
    run(&mut house, &figures, 0, 100);
    let id = IncidentId(1);
    let act = |house: &mut House, action, by: &str, text: &str, s| {
        let (by, text) = (by.to_owned(), text.to_owned());
        house
            .writer
            .update(at(s), |state| {
                Ok(perform(state, action, id, &by, &text, at(s)))
            })
            .unwrap()
            .map_err(|e| e.to_string())
    };
    assert_eq!(
        overview(house.reader(), at(101)).unwrap().headline,
        "/var is 92 % full."
    );
    let taken = act(&mut house, Action::Acknowledge, " ops ", "looking", 101).unwrap();
    assert_eq!(taken.state(), IncidentState::Acknowledged);
    assert_eq!(taken.acknowledged.unwrap().by, "ops");
    assert_eq!(
        overview(house.reader(), at(101)).unwrap().headline,
        "/var is 92 % full; ops has it in hand."
    );
    for (action, by, text, expected) in [
        (Action::Note, "ops", " ", "an empty note"),
        (Action::Note, "", "x", "say who you are in 1 to 100 bytes"),
        (
            Action::Note,
            "a\u{1b}[2J",
            "x",
            "say who you are in 1 to 100 bytes",
        ),
        (
            Action::Acknowledge,
            "vigie",
            "",
            "`vigie` signs what vigie does itself",
        ),
    ] {
        assert_eq!(
            act(&mut house, action, by, text, 102).unwrap_err(),
            expected
        );
    }
    act(&mut house, Action::Note, "ops", "logs moved", 103).unwrap();
    let closed = act(&mut house, Action::Resolve, "ops", "done", 104).unwrap();
    assert_eq!(closed.resolved.unwrap().by.as_deref(), Some("ops"));
    assert_eq!(house.reader().active_alerts().unwrap(), []);
    assert_eq!(
        act(&mut house, Action::Resolve, "ops", "", 105).unwrap_err(),
        "INC-1 is resolved already"
    );
    act(&mut house, Action::Note, "ops", "post-mortem", 106).unwrap();
    // It still holds: pending, firing, and the same incident is open again, in nobody's hand.
    run(&mut house, &figures, 110, 140);
    let again = incident(&house, 1);
    assert_eq!((again.state(), again.reopened), (IncidentState::Open, 1));
    let timeline = house.reader().timeline(id).unwrap();
    let last = timeline.iter().find(|e| e.what == What::Reopened).unwrap();
    assert_eq!(last.reason, "it was resolved by hand and still holds");
    let missing = house.writer.update(at(0), |state| {
        Ok(perform(
            state,
            Action::Note,
            IncidentId(9),
            "ops",
            "x",
            at(0),
        ))
    });
    assert!(missing.unwrap().unwrap_err().to_string().contains("INC-9"));
}

#[test]
fn groups_are_evaluated_when_they_are_due() {
    let mut house = House::new(rules("1m", "- {alert: A, expr: used > 90}"));
    let figures = used("/var", during(0, 10_000));
    let mut fired = Vec::new();
    for s in (5..200).step_by(10) {
        house.tick(&figures, s);
        fired.push(house.engine.counts().evaluations);
    }
    // At 5 (the first time), 65, 125 and 185: the first tick after each full minute.
    assert_eq!(fired.last(), Some(&4));
    assert_eq!(house.engine.next_due(), at(240));
    // A clock set back by hours does not silence it.
    house.tick(&figures, -7200);
    assert_eq!(house.engine.counts().evaluations, 5);
    assert_eq!(house.engine.next_due(), at(-7140));
}

#[test]
fn memory_survives_as_text() {
    for memory in [
        Memory::default(),
        Memory {
            evaluated: Some(at(1)),
            gap: None,
        },
        Memory {
            evaluated: Some(at(9)),
            gap: Some((at(1), at(8))),
        },
    ] {
        assert_eq!(Memory::from_text(&memory.to_text()), memory);
    }
    assert_eq!(Memory::from_text("rubbish \u{0}"), Memory::default());
}

#[test]
fn scalars_and_odd_labels_do_no_harm() {
    let mut house = House::new(rules(
        "10s",
        "- {alert: Always, expr: vector(1)}\n- {alert: Number, expr: 5}",
    ));
    let transitions = house.tick(&Figures::every(10), 0);
    assert!(transitions.iter().all(|t| t.step == Step::Fired));
    assert_eq!(transitions.len(), 2);
    let mut house = House::new(rules("10s", "- {alert: Odd, expr: used > 0}"));
    let mut figures = Figures::every(10);
    figures.add("used", &[("instance", "a\n=\\\"\u{1b}")], |_| Some(1.0));
    run(&mut house, &figures, 0, 30);
    let alerts = house.reader().active_alerts().unwrap();
    assert_eq!(alerts[0].labels.get("instance"), Some("a\n=\\\"\u{1b}"));
    assert_eq!(
        house.reader().timeline(IncidentId(1)).unwrap().len(),
        2,
        "told once"
    );
}
