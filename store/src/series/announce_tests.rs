//! Series announced by others in the middle of a transaction: they are told with the next one, whatever
//! became of the group that has a lane for them.

use vigie_parsers::Timestamp;
use vigie_query::MetricKind;

use super::model_tests::{Rig, intern};
use super::{Archives, NewName, Retention, SeriesId, rename};
use crate::Reading;

const START_MS: i64 = 1_700_000_000_000;
const MINUTE_MS: i64 = 60_000;

/// So many minutes of readings, a commit each; all of them are read again, also by the next process.
fn lives(mut rig: Rig, (name, id): (&str, SeriesId), step_ms: i64, from_ms: i64) -> Rig {
    let minutes = 60;
    let until_ms = from_ms + minutes * MINUTE_MS;
    for time_ms in (from_ms..until_ms).step_by(usize::try_from(step_ms).unwrap()) {
        rig.push(id, time_ms, Reading::Gauge(2.5));
        if (time_ms - from_ms) % MINUTE_MS == 0 {
            rig.commit(time_ms, true);
        }
    }
    rig.commit(until_ms, true);
    let taken = u64::try_from(minutes * MINUTE_MS / step_ms).unwrap();
    assert_eq!(rig.ingest.counts().taken, taken, "{name}");
    for _ in 0..2 {
        for asked_ms in [0, step_ms, MINUTE_MS] {
            let slots = rig.slots(name, from_ms - 1, until_ms, asked_ms).slots;
            let count: u32 = slots.iter().map(|s| s.count).sum();
            assert_eq!(u64::from(count), taken, "{name} at {asked_ms}");
            assert!(slots.iter().all(|s| s.average() == 2.5));
        }
        rig = rig.killed();
    }
    rig
}

#[test]
fn a_group_that_begins_anew_is_told_by_the_transaction_that_makes_it() {
    for step_ms in [10_000, 60_000] {
        let mut rig = Rig::new();
        let old = rig.intern("old", MetricKind::Gauge, 1000);
        rig.commit(START_MS, true);
        rig.delete("old", START_MS);
        let mut new = None;
        rig.commit_while(START_MS, true, |registry| {
            new = Some(intern(registry, "new", MetricKind::Gauge, step_ms));
        });
        rig.push(old, START_MS, Reading::Gauge(1.0));
        rig.commit(START_MS, true);
        assert_eq!(rig.ingest.counts().misfit, 1, "the old one is gone");
        lives(rig, ("new", new.unwrap()), step_ms, START_MS + 1000);
    }
}

#[test]
fn a_group_is_not_given_away_that_got_a_series_while_its_last_one_was_deleted() {
    let mut rig = Rig::new();
    rig.intern("old", MetricKind::Gauge, 1000);
    rig.commit(START_MS, true);
    let mut new = None;
    rig.delete_while("old", START_MS, |registry| {
        new = Some(intern(registry, "new", MetricKind::Gauge, 1000));
    });
    let other = rig.intern("other", MetricKind::Gauge, 60_000);
    rig.commit(START_MS, true);
    let third = rig.intern("third", MetricKind::Gauge, 1000);
    let rig = lives(rig, ("new", new.unwrap()), 1000, START_MS + 1000);
    let from_ms = START_MS + 70 * MINUTE_MS;
    let rig = lives(rig, ("other", other), 60_000, from_ms);
    lives(rig, ("third", third), 1000, from_ms + 70 * MINUTE_MS);
}

#[test]
fn a_transaction_that_fails_forgets_nobody_who_was_announced_meanwhile() {
    let mut rig = Rig::new();
    rig.intern("first", MetricKind::Gauge, 1000);
    rig.commit(START_MS, true);
    let mut new = None;
    rig.commit_while(START_MS, false, |registry| {
        new = Some(intern(registry, "new", MetricKind::Gauge, 10_000));
    });
    rig.ingest.reload(&rig.conn).unwrap();
    lives(rig, ("new", new.unwrap()), 10_000, START_MS + 1000);
}

#[test]
fn archives_that_change_while_a_series_is_first_written_are_told_with_the_next() {
    let mut rig = Rig::new();
    let id = rig.intern("gauge", MetricKind::Gauge, 10_000);
    rig.commit_while(START_MS, true, |registry| {
        let archives = Archives::parse(&["5s for 1d", "1m for 14d"]).unwrap();
        let rules = vec![("*".parse().unwrap(), archives)];
        assert_eq!(registry.retain(Retention { rules }), 1);
    });
    rig.commit(START_MS, true);
    lives(rig, ("gauge", id), 10_000, START_MS + 1000);
}

#[test]
fn a_series_renamed_before_it_has_a_row_keeps_its_new_name() {
    let mut rig = Rig::new();
    let id = rig.intern("old", MetricKind::Gauge, 1000);
    let found = rig.registry.find(&"old".parse().unwrap());
    let to: NewName = "new".parse().unwrap();
    let renamed = rename(&rig.registry, found, &to).unwrap();
    rig.registry.rename(renamed);
    rig.push(id, START_MS, Reading::Gauge(1.0));
    rig.commit(START_MS, true);
    let rig = rig.killed();
    let (old, new) = (
        rig.slots("old", START_MS - 1, START_MS, 0),
        rig.slots("new", START_MS - 1, START_MS, 0),
    );
    assert_eq!((old.slots.len(), new.slots.len()), (0, 1));
    assert_eq!(new.slots[0].time, Timestamp(START_MS));
}
