//! Readings that come after hours and days, against a plain map: into whichever archive still reaches
//! back to them, through commits that fail, kills, and rings that turn meanwhile.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vigie_query::MetricKind;

use super::layout::slot_of;
use super::model_tests::{Beside, Model, Rig};
use super::{Archives, Retention, Slot};
use crate::Reading;

const START_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 1000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const GAUGE: &str = "gauge";
const COUNTER: &str = "counter_total";
const INCREASE: &str = "increase_total";

fn retention() -> Retention {
    let archives = Archives::parse(&["1s for 1h", "1m for 12h", "10m for 20d"]).unwrap();
    Retention {
        rules: vec![("*".parse().unwrap(), archives)],
    }
}

fn rig() -> Rig {
    Rig::new().restarted(retention())
}

#[derive(Clone, Debug)]
enum Step {
    Gauge {
        value: i32,
        late_ms: i64,
    },
    Increase {
        value: u32,
        late_ms: i64,
    },
    /// So many readings of a counter, all at once, the last of them so late.
    Backlog {
        growths: Vec<u16>,
        late_ms: i64,
    },
    Pass(i64),
    Commit {
        succeeds: bool,
    },
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let late = || {
        prop_oneof![
            2 => 0..HOUR_MS,
            2 => 0..12 * HOUR_MS,
            2 => 0..14 * DAY_MS,
            1 => Just(0),
        ]
    };
    let pass = prop_oneof![4 => 1..10_000i64, 2 => 1..400_000i64, 1 => 1..20 * HOUR_MS];
    prop_oneof![
        6 => (any::<i32>(), late()).prop_map(|(value, late_ms)| Step::Gauge { value, late_ms }),
        4 => (0..1000u32, late()).prop_map(|(value, late_ms)| Step::Increase { value, late_ms }),
        4 => (prop::collection::vec(any::<u16>(), 1..40), late())
            .prop_map(|(growths, late_ms)| Step::Backlog { growths, late_ms }),
        6 => pass.prop_map(Step::Pass),
        5 => prop::bool::weighted(0.8).prop_map(|succeeds| Step::Commit { succeeds }),
        1 => Just(Step::Kill),
    ]
}

#[derive(Clone, Default)]
struct Models {
    gauge: Model,
    counter: Model,
    increase: Model,
    /// What the counter shows.
    count: u64,
}

struct Run(Beside<Models>);

impl Run {
    fn new() -> Self {
        Self(Beside::new(rig(), START_MS))
    }

    fn push(&mut self, name: &str, time_ms: i64, reading: Reading) {
        let kind = if name == GAUGE {
            MetricKind::Gauge
        } else {
            MetricKind::Counter
        };
        let id = self.0.rig.intern(name, kind, STEP_MS);
        self.0.rig.push(id, time_ms, reading);
    }

    fn take(mut self, step: Step) -> Self {
        match step {
            Step::Pass(ms) => self.0.now_ms += ms,
            Step::Commit { succeeds } => self.0.commit(succeeds),
            Step::Kill => self.0.kill(retention()),
            Step::Gauge { value, late_ms } => {
                let (time, value) = (self.0.now_ms - late_ms, f64::from(value) / 64.0);
                // Which of two values of a slot is later a coarse archive does not know.
                if !self
                    .0
                    .models
                    .gauge
                    .slots
                    .contains_key(&slot_of(time, STEP_MS))
                {
                    self.push(GAUGE, time, Reading::Gauge(value));
                    self.0.models.gauge.gauge(time, value);
                    self.0.commit(false);
                }
            }
            Step::Increase { value, late_ms } => {
                let (time, value) = (self.0.now_ms - late_ms, f64::from(value));
                let known = self
                    .0
                    .models
                    .increase
                    .slots
                    .contains_key(&slot_of(time, STEP_MS));
                if !known {
                    self.push(INCREASE, time, Reading::Increase(value));
                    self.0.models.increase.increase(time, value);
                    self.0.commit(false);
                }
            }
            Step::Backlog { growths, late_ms } => self.backlog(&growths, late_ms),
        }
        self
    }

    /// Readings on slot borders, so that no slot comes in two parts.
    fn backlog(&mut self, growths: &[u16], late_ms: i64) {
        let len = i64::try_from(growths.len()).unwrap();
        let last = (self.0.now_ms - late_ms).div_euclid(STEP_MS) * STEP_MS;
        let first = last - (len - 1) * STEP_MS;
        let newest = self.0.models.counter.last.map_or(i64::MIN, |l| l.0);
        if first <= newest {
            return;
        }
        for (&growth, i) in growths.iter().zip(0..) {
            self.0.models.count += u64::from(growth);
            let (time, count) = (first + i * STEP_MS, self.0.models.count);
            self.push(COUNTER, time, Reading::Counter(count));
            self.0.models.counter.counter(time, count as f64);
        }
        self.0.commit(false);
    }

    /// Late slots are in pages a minute later.
    fn settle(&mut self) {
        self.0.commit(true);
        self.0.now_ms += MINUTE_MS + 1;
        self.0.commit(true);
    }

    fn look(&self, name: &str, back_ms: i64, step_ms: i64) {
        let model = match name {
            GAUGE => &self.0.models.gauge,
            COUNTER => &self.0.models.counter,
            _ => &self.0.models.increase,
        };
        let from_ms = slot_of(self.0.now_ms - back_ms, step_ms) * step_ms;
        let found = self.0.rig.slots(name, from_ms + 1, self.0.now_ms, step_ms);
        let mut got: BTreeMap<i64, Slot> = BTreeMap::new();
        for slot in &found.slots {
            assert!(slot.step_ms <= step_ms, "all of it is within the archive");
            let at = got.entry(slot_of(slot.time.0, step_ms));
            at.and_modify(|all| {
                (all.count, all.sum) = (all.count + slot.count, all.sum + slot.sum);
                (all.min, all.max) = (all.min.min(slot.min), all.max.max(slot.max));
            })
            .or_insert(*slot);
        }
        let want = model.consolidated(step_ms, from_ms + 1);
        let (got_at, want_at): (Vec<_>, Vec<_>) = (got.keys().collect(), want.keys().collect());
        assert_eq!(got_at, want_at, "{name} at {step_ms}");
        for (at, got) in &got {
            let (count, sum, min, max, _) = want[at];
            let extremes = (got.count, got.min, got.max);
            assert_eq!(extremes, (count, min, max), "{name} at {step_ms}");
            let near = (got.sum - sum).abs() <= 1e-9 * sum.abs().max(1.0);
            assert!(near, "{name} at {step_ms}: sum {} and not {sum}", got.sum);
        }
        if name == GAUGE {
            return;
        }
        for pair in found.slots.windows(2) {
            let grown = pair[1].total - pair[0].total;
            assert_eq!(grown, pair[1].sum, "{name} at {step_ms}: totals follow");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn late_readings_are_where_a_map_has_them(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in steps {
            run = run.take(step);
        }
        run.0.commit(true);
        for round in 0..3 {
            for name in [GAUGE, COUNTER, INCREASE] {
                run.look(name, HOUR_MS - 130_000, STEP_MS);
                run.look(name, 11 * HOUR_MS, MINUTE_MS);
                run.look(name, 19 * DAY_MS, 10 * MINUTE_MS);
            }
            // First while late slots wait, then when they are in pages, then by whoever starts.
            match round {
                0 => run.settle(),
                _ => run.0.restart(retention()),
            }
        }
        prop_assert_eq!(run.0.rig.ingest.counts().too_old, 0);
    }
}

#[test]
fn older_than_every_archive_is_refused_and_counted() {
    let mut rig = rig();
    let id = rig.intern(GAUGE, MetricKind::Gauge, STEP_MS);
    rig.push(id, START_MS - 40 * DAY_MS, Reading::Gauge(1.0));
    rig.commit(START_MS, true);
    rig.push(id, START_MS, Reading::Gauge(2.0));
    rig.push(id, START_MS - 19 * DAY_MS, Reading::Gauge(3.0));
    rig.commit(START_MS, true);
    let counts = rig.ingest.counts();
    assert_eq!((counts.taken, counts.too_old), (2, 1));
    rig.commit(START_MS + MINUTE_MS, true);
    let found = rig.slots(GAUGE, START_MS - 50 * DAY_MS, START_MS, 10 * MINUTE_MS);
    let values: Vec<f64> = found.slots.iter().map(|s| s.last).collect();
    assert_eq!(values, [3.0, 2.0]);
}

#[test]
fn the_same_history_once_more_changes_nothing() {
    let mut rig = rig();
    let id = rig.intern(GAUGE, MetricKind::Gauge, STEP_MS);
    // Two of the longest slots, whole.
    let from_ms = (START_MS - DAY_MS) / (10 * MINUTE_MS) * (10 * MINUTE_MS);
    rig.push(id, START_MS, Reading::Gauge(0.5));
    rig.commit(START_MS, true);
    let mut seen = Vec::new();
    for round in 1..=3 {
        for i in 1..=1200 {
            let time_ms = from_ms + i * STEP_MS;
            rig.push(id, time_ms, Reading::Gauge((i % 7) as f64));
        }
        // A minute later they are in pages.
        rig.commit(START_MS + 2 * round * MINUTE_MS, true);
        rig.commit(START_MS + (2 * round + 1) * MINUTE_MS, true);
        let found = rig.slots(GAUGE, from_ms - HOUR_MS, START_MS - HOUR_MS, 10 * MINUTE_MS);
        let counts: Vec<u32> = found.slots.iter().map(|s| s.count).collect();
        assert_eq!(counts.iter().sum::<u32>(), 1200, "{counts:?}");
        seen.push(found.slots);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

#[test]
fn a_value_sent_twice_counts_once_before_it_is_merged_as_well() {
    let mut rig = rig();
    let id = rig.intern(GAUGE, MetricKind::Gauge, STEP_MS);
    let value = |i: i64| Reading::Gauge((i % 7) as f64);
    let seconds = 3 * 3600;
    for i in 0..seconds {
        rig.push(id, START_MS + i * STEP_MS, value(i));
        if i % 30 == 0 {
            rig.commit(START_MS + i * STEP_MS, true);
        }
    }
    let now_ms = START_MS + seconds * STEP_MS;
    rig.commit(now_ms, true);
    let look = |rig: &Rig| {
        [0, MINUTE_MS, 10 * MINUTE_MS].map(|step| rig.slots(GAUGE, START_MS, now_ms, step).slots)
    };
    let seen = look(&rig);
    assert!(seen.iter().all(|slots| slots.iter().any(|s| s.count > 1)));
    // Of slots in seconds, in minutes, and both next to each other.
    for back in [1800, 2400, 2401, 7200, 9000] {
        let i = seconds - back;
        for _ in 0..2 {
            rig.push(id, START_MS + i * STEP_MS, value(i));
            rig.commit(now_ms, true);
            assert_eq!(look(&rig), seen, "{back} s back, not merged");
        }
    }
    rig.commit(now_ms + MINUTE_MS + 1, true);
    assert_eq!(look(&rig), seen, "merged");
}

#[test]
fn late_slots_read_the_same_before_and_after_they_are_merged() {
    let mut rig = rig();
    let id = rig.intern(GAUGE, MetricKind::Gauge, STEP_MS);
    for i in (0..3 * 3600).filter(|i| i % 4 != 0) {
        rig.push(id, START_MS + i * STEP_MS, Reading::Gauge((i % 7) as f64));
        if i % 30 == 1 {
            rig.commit(START_MS + i * STEP_MS, true);
        }
    }
    let now_ms = START_MS + 3 * HOUR_MS;
    // Another value, one that was not known, and one where nothing was known at all.
    for (back_ms, value) in [
        (1_801_000, 40.0),
        (1_804_000, -9.0),
        (2 * HOUR_MS, 50.0),
        (5 * HOUR_MS, 3.0),
    ] {
        rig.push(id, now_ms - back_ms, Reading::Gauge(value));
        rig.commit(now_ms, true);
    }
    let look = |rig: &Rig| {
        let from_ms = START_MS - 10 * HOUR_MS;
        [0, MINUTE_MS, 10 * MINUTE_MS].map(|step| rig.slots(GAUGE, from_ms, now_ms, step).slots)
    };
    let waiting = look(&rig);
    assert!(waiting.iter().flatten().any(|s| s.max == 40.0));
    assert!(waiting.iter().flatten().any(|s| s.min == -9.0));
    rig.commit(now_ms + MINUTE_MS + 1, true);
    assert_eq!(look(&rig), waiting);
}
