//! The rings against a plain map from slots to values: random readings, late ones, silence, commits
//! that fail, kills, and rings that turn several times.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;
use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, MetricKind, Selection};

use super::layout::slot_of;
use super::{
    Archives, Gap, Ingest, OLD_SCHEMA, Pattern, Registry, Retention, SCHEMA, SeriesDef, SeriesId,
    SlotSeries, View,
};
use crate::{Options, Reading, SampleBatch, SampleRow};

const START_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// A store of figures alone, whose transactions can be made to fail.
pub(super) struct Rig {
    dir: tempfile::TempDir,
    pub(super) conn: Connection,
    reader: Connection,
    pub(super) view: View,
    pub(super) registry: Registry,
    pub(super) ingest: Ingest,
}

impl Rig {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let conn = Self::connect(&dir);
        conn.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL;")
            .unwrap();
        conn.execute_batch(SCHEMA).unwrap();
        conn.execute_batch(crate::state::SCHEMA).unwrap();
        conn.execute_batch(OLD_SCHEMA).unwrap();
        Self::start(dir, conn, Retention::default())
    }

    fn connect(dir: &tempfile::TempDir) -> Connection {
        let conn = Connection::open(dir.path().join("t.db")).unwrap();
        conn.busy_timeout(Duration::from_secs(5)).unwrap();
        conn.execute_batch("PRAGMA synchronous = OFF;").unwrap();
        conn
    }

    fn start(dir: tempfile::TempDir, conn: Connection, retention: Retention) -> Self {
        let options = Options {
            retention,
            ..Options::default()
        };
        let registry = Registry::load(&conn, &options).unwrap();
        let ingest = Ingest::open(&conn, &registry, &options, Timestamp(0)).unwrap();
        let reader = Self::connect(&dir);
        Self {
            dir,
            conn,
            reader,
            view: View::default(),
            registry,
            ingest,
        }
    }

    /// As a killed process leaves it.
    pub(super) fn killed(self) -> Self {
        self.restarted(Retention::default())
    }

    /// The same, started again with other rules.
    pub(super) fn restarted(self, retention: Retention) -> Self {
        let Self { dir, conn, .. } = self;
        drop(conn);
        let conn = Self::connect(&dir);
        Self::start(dir, conn, retention)
    }

    pub(super) fn delete(&mut self, name: &str, now_ms: i64) {
        self.delete_while(name, now_ms, |_| ());
    }

    /// The same, and others do something in the middle of it.
    pub(super) fn delete_while(
        &mut self,
        name: &str,
        now_ms: i64,
        meanwhile: impl FnOnce(&Registry),
    ) {
        let pattern: Pattern = name.parse().unwrap();
        let ids: Vec<_> = self.registry.find(&pattern).iter().map(|f| f.0).collect();
        let tx = self.conn.transaction().unwrap();
        meanwhile(&self.registry);
        self.ingest.delete(&tx, &ids, now_ms).unwrap();
        tx.commit().unwrap();
        self.ingest.committed();
    }

    pub(super) fn intern(&self, name: &str, kind: MetricKind, step_ms: i64) -> SeriesId {
        intern(&self.registry, name, kind, step_ms)
    }

    pub(super) fn push(&mut self, series: SeriesId, time_ms: i64, reading: Reading) {
        let rows = vec![SampleRow {
            series,
            time: Timestamp(time_ms),
            reading,
        }];
        self.ingest.append(SampleBatch { rows });
    }

    pub(super) fn commit(&mut self, now_ms: i64, succeeds: bool) {
        self.commit_while(now_ms, succeeds, |_| ());
    }

    /// The same, and others do something in the middle of it.
    pub(super) fn commit_while(
        &mut self,
        now_ms: i64,
        succeeds: bool,
        meanwhile: impl FnOnce(&Registry),
    ) {
        let tx = self.conn.transaction().unwrap();
        self.registry.write(&tx).unwrap();
        meanwhile(&self.registry);
        self.ingest.write(&tx, Timestamp(now_ms)).unwrap();
        if succeeds {
            tx.commit().unwrap();
            self.registry.committed();
            self.ingest.committed();
        }
    }

    pub(super) fn slots(
        &self,
        name: &str,
        from_ms: i64,
        until_ms: i64,
        step_ms: i64,
    ) -> SlotSeries {
        let selection = Selection {
            matchers: &[Matcher::equal("__name__", name)],
            from: Timestamp(from_ms),
            until: Timestamp(until_ms),
            step_ms,
            max_samples: usize::MAX,
            deadline: None,
        };
        let mut found = self.view.slots(&self.reader, &selection).unwrap();
        assert!(found.len() <= 1);
        found.pop().unwrap_or_else(|| SlotSeries {
            labels: Labels::default(),
            kind: MetricKind::Gauge,
            slots: Vec::new(),
        })
    }
}

pub(super) fn intern(registry: &Registry, name: &str, kind: MetricKind, step_ms: i64) -> SeriesId {
    let labels = Labels::metric(name, &[]);
    let def = SeriesDef {
        labels,
        kind,
        help: "",
        step_ms,
    };
    registry.intern(&def).unwrap()
}

impl Rig {
    pub(super) fn gaps(&self, name: &str, from_ms: i64, until_ms: i64) -> Vec<Gap> {
        let selection = Selection {
            matchers: &[Matcher::equal("__name__", name)],
            from: Timestamp(from_ms),
            until: Timestamp(until_ms),
            step_ms: 0,
            max_samples: usize::MAX,
            deadline: None,
        };
        let found = self.view.gaps(&self.reader, &selection).unwrap();
        found.into_iter().flat_map(|s| s.gaps).collect()
    }
}

/// What one series should hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) slots: BTreeMap<i64, f64>,
    pub(super) last: Option<(i64, f64)>,
}

const STEP_MS: i64 = 1000;
const HEARTBEAT_MS: i64 = 10_000;

impl Model {
    pub(super) fn gauge(&mut self, time_ms: i64, value: f64) {
        let slot = slot_of(time_ms, STEP_MS);
        let newest = self.last.map_or(i64::MIN, |l| l.0);
        if time_ms >= newest || slot != slot_of(newest, STEP_MS) {
            self.slots.insert(slot, value);
        }
        if time_ms >= newest {
            self.last = Some((time_ms, value));
        }
    }

    pub(super) fn increase(&mut self, time_ms: i64, value: f64) {
        *self.slots.entry(slot_of(time_ms, STEP_MS)).or_default() += value;
        self.last = Some((time_ms, value));
    }

    /// Cuts the growth at every millisecond instead of at slot borders.
    pub(super) fn counter(&mut self, time_ms: i64, value: f64) {
        if let Some((since, old)) = self.last {
            let span = time_ms - since;
            if span <= 0 {
                return;
            }
            if span <= HEARTBEAT_MS {
                let at = |ms: i64| ((value - old) * (ms as f64) / (span as f64)).floor();
                for ms in 1..=span {
                    let part = at(ms) - at(ms - 1);
                    *self.slots.entry(slot_of(since + ms, STEP_MS)).or_default() += part;
                }
            }
        }
        self.last = Some((time_ms, value));
    }

    pub(super) fn consolidated(
        &self,
        step_ms: i64,
        from_ms: i64,
    ) -> BTreeMap<i64, (u32, f64, f64, f64, f64)> {
        let mut out = BTreeMap::new();
        for (&slot, &v) in self.slots.range(slot_of(from_ms, STEP_MS)..) {
            let at = slot_of((slot + 1) * STEP_MS, step_ms);
            let cell = out
                .entry(at)
                .or_insert((0, 0.0, f64::INFINITY, f64::NEG_INFINITY, 0.0));
            *cell = (cell.0 + 1, cell.1 + v, cell.2.min(v), cell.3.max(v), v);
        }
        out
    }
}

/// A store beside what it should hold: now, and when it is killed.
pub(super) struct Beside<M> {
    pub(super) rig: Rig,
    pub(super) models: M,
    durable: M,
    pub(super) now_ms: i64,
}

impl<M: Clone + Default> Beside<M> {
    pub(super) fn new(rig: Rig, now_ms: i64) -> Self {
        Self {
            rig,
            models: M::default(),
            durable: M::default(),
            now_ms,
        }
    }

    pub(super) fn commit(&mut self, succeeds: bool) {
        self.rig.commit(self.now_ms, succeeds);
        if succeeds {
            self.durable = self.models.clone();
        }
    }

    /// What is not durable is gone.
    pub(super) fn kill(&mut self, retention: Retention) {
        self.restart(retention);
        self.models = self.durable.clone();
    }

    pub(super) fn restart(&mut self, retention: Retention) {
        let rig = std::mem::replace(&mut self.rig, Rig::new());
        self.rig = rig.restarted(retention);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Gauge {
        value: i32,
        late_ms: i64,
    },
    Counter {
        growth: u64,
    },
    Increase {
        value: u32,
        late_ms: i64,
    },
    Pass(i64),
    Commit {
        succeeds: bool,
    },
    Kill,
    /// Another of [`RETENTIONS`] from now on.
    Restart(usize),
    /// The gauge is deleted and begins anew.
    Delete,
    Look {
        back_ms: i64,
        step_ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let late = prop_oneof![3 => Just(0), 2 => 0..30_000i64, 1 => 0..HOUR_MS];
    let pass = prop_oneof![8 => 1..3_000i64, 2 => 1..200_000i64, 1 => 1..3 * HOUR_MS];
    let back = prop_oneof![0..600_000i64, 0..5 * HOUR_MS];
    prop_oneof![
        6 => (any::<i32>(), late.clone()).prop_map(|(value, late_ms)| Step::Gauge { value, late_ms }),
        6 => (0..1_000_000u64).prop_map(|growth| Step::Counter { growth }),
        3 => (0..100u32, late).prop_map(|(value, late_ms)| Step::Increase { value, late_ms }),
        14 => pass.prop_map(Step::Pass),
        6 => prop::bool::weighted(0.8).prop_map(|succeeds| Step::Commit { succeeds }),
        1 => Just(Step::Kill),
        1 => (0..RETENTIONS.len()).prop_map(Step::Restart),
        1 => Just(Step::Delete),
        2 => (back, prop_oneof![Just(0), Just(10_000), Just(60_000), Just(600_000)])
            .prop_map(|(back_ms, step_ms)| Step::Look { back_ms, step_ms }),
    ]
}

/// Archives between which a series is moved. The finest reach back as far as looks go.
const RETENTIONS: [&[&str]; 4] = [
    &["1s for 6h", "10s for 2d", "1m for 14d", "10m for 92d"],
    &["1s for 7h", "1m for 20d"],
    &["1s for 6h", "5s for 1d", "30s for 10d", "10m for 92d"],
    &["1s for 8h"],
];

fn retention(number: usize) -> Retention {
    let archives = Archives::parse(RETENTIONS[number]).unwrap();
    Retention {
        rules: vec![("*".parse().unwrap(), archives)],
    }
}

struct Run {
    beside: Beside<[Model; 3]>,
    retention: usize,
    moved: bool,
    /// Slots that a series had last in a former place: that knows which reading was later.
    cuts: Vec<i64>,
    ids: [SeriesId; 3],
    counter: u64,
}

const NAMES: [&str; 3] = ["gauge", "counter", "increase"];

impl Run {
    fn new() -> Self {
        let rig = Rig::new().restarted(retention(0));
        let ids = Self::ids(&rig);
        Self {
            beside: Beside::new(rig, START_MS),
            retention: 0,
            moved: false,
            cuts: Vec::new(),
            ids,
            counter: 5,
        }
    }

    fn ids(rig: &Rig) -> [SeriesId; 3] {
        let kinds = [MetricKind::Gauge, MetricKind::Counter, MetricKind::Counter];
        [0, 1, 2].map(|i| rig.intern(NAMES[i], kinds[i], STEP_MS))
    }

    fn take(mut self, step: Step) -> Self {
        match step {
            Step::Pass(ms) => self.beside.now_ms += ms,
            Step::Gauge { value, late_ms } => {
                let (time, value) = (self.beside.now_ms - late_ms, f64::from(value) / 64.0);
                if self.cuts.contains(&slot_of(time, STEP_MS)) {
                    return self;
                }
                self.beside
                    .rig
                    .push(self.ids[0], time, Reading::Gauge(value));
                // Readings of one batch are in time order; a late one has to come in another.
                self.beside.commit(false);
                self.beside.models[0].gauge(time, value);
            }
            Step::Counter { growth } => {
                self.counter += growth;
                self.beside.rig.push(
                    self.ids[1],
                    self.beside.now_ms,
                    Reading::Counter(self.counter),
                );
                self.beside.models[1].counter(self.beside.now_ms, self.counter as f64);
            }
            Step::Increase { value, late_ms } => {
                let (time, value) = (self.beside.now_ms - late_ms, f64::from(value));
                self.beside
                    .rig
                    .push(self.ids[2], time, Reading::Increase(value));
                self.beside.models[2].increase(time, value);
            }
            Step::Commit { succeeds } => self.beside.commit(succeeds),
            Step::Kill => {
                self.beside.kill(retention(self.retention));
                self.ids = Self::ids(&self.beside.rig);
            }
            Step::Restart(number) => self.restart(number),
            Step::Delete => {
                self.beside.commit(true);
                self.beside.rig.delete(NAMES[0], self.beside.now_ms);
                self.ids = Self::ids(&self.beside.rig);
                self.beside.models[0] = Model::default();
                self.beside.commit(true);
            }
            Step::Look { back_ms, step_ms } => {
                self.beside.commit(true);
                for i in 0..3 {
                    self.look(i, back_ms, step_ms);
                }
            }
        }
        self
    }

    /// The last readings are on a border, so that no slot is shared.
    fn restart(&mut self, number: usize) {
        self.beside.now_ms = (slot_of(self.beside.now_ms, STEP_MS) + 1) * STEP_MS;
        let value = f64::from(u32::try_from(number).unwrap());
        for (i, reading) in [
            Reading::Gauge(value),
            Reading::Counter(self.counter),
            Reading::Increase(value),
        ]
        .into_iter()
        .enumerate()
        {
            self.beside
                .rig
                .push(self.ids[i], self.beside.now_ms, reading);
        }
        self.beside.models[0].gauge(self.beside.now_ms, value);
        self.beside.models[1].counter(self.beside.now_ms, self.counter as f64);
        self.beside.models[2].increase(self.beside.now_ms, value);
        self.beside.commit(true);
        self.cuts.push(slot_of(self.beside.now_ms, STEP_MS));
        self.moved |= self.retention != number;
        self.retention = number;
        self.beside.restart(retention(number));
        self.ids = Self::ids(&self.beside.rig);
        self.beside.now_ms += 1;
        self.beside.commit(true);
    }

    fn look(&self, series: usize, back_ms: i64, step_ms: i64) {
        let from_ms = self.beside.now_ms - back_ms;
        let found = self
            .beside
            .rig
            .slots(NAMES[series], from_ms, self.beside.now_ms, step_ms);
        let step_ms = step_ms.max(STEP_MS);
        let slot_from = slot_of(from_ms, step_ms) * step_ms + 1;
        let want = self.beside.models[series].consolidated(step_ms, slot_from);
        assert!(found.slots.windows(2).all(|p| p[0].time < p[1].time));
        let mut got: BTreeMap<i64, super::Slot> = BTreeMap::new();
        for s in &found.slots {
            // Archives may have shorter slots than were asked for.
            let slot = got.entry(slot_of(s.time.0, step_ms));
            slot.and_modify(|g| {
                assert!(self.moved || s.step_ms < step_ms, "a slot once");
                (g.count, g.sum) = (g.count + s.count, g.sum + s.sum);
                (g.min, g.max, g.last) = (g.min.min(s.min), g.max.max(s.max), s.last);
            })
            .or_insert(*s);
        }
        // Slots at the ends may lie half outside the range.
        let inner =
            |slot: &i64| (slot * step_ms) > from_ms && (slot + 1) * step_ms <= self.beside.now_ms;
        let want_slots: Vec<_> = want.keys().filter(|s| inner(s)).collect();
        let got_slots: Vec<_> = got.keys().filter(|s| inner(s)).collect();
        assert_eq!(got_slots, want_slots, "{} at {step_ms}", NAMES[series]);
        // Of slots at the ends a moved series has only the parts with shorter slots.
        let whole = |slot: &i64| inner(slot) || !self.moved;
        for (slot, got) in got.iter().filter(|(slot, _)| whole(slot)) {
            let want = want[slot];
            assert_eq!(
                (got.count, got.min, got.max, got.last),
                (want.0, want.2, want.3, want.4)
            );
            assert!(
                (got.sum - want.1).abs() <= 1e-9 * want.1.abs().max(1.0),
                "sum {} and not {} of {}",
                got.sum,
                want.1,
                got.count
            );
        }
        if series == 1 {
            for pair in found.slots.windows(2) {
                let grown = pair[1].total - pair[0].total;
                assert_eq!(grown, pair[1].sum, "totals follow the increases");
            }
            if let Some(last) = found.slots.last() {
                assert!(last.total <= self.counter as f64);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn rings_hold_what_a_map_holds(steps in prop::collection::vec(step(), 1..250)) {
        let mut run = Run::new();
        for step in steps {
            run = run.take(step);
        }
        for step_ms in [0, 60_000] {
            run = run.take(Step::Look { back_ms: 5 * HOUR_MS, step_ms });
        }
    }
}

#[test]
fn a_day_of_seconds_ends_in_every_archive() {
    let mut rig = Rig::new();
    let gauge = rig.intern("gauge", MetricKind::Gauge, 1000);
    let counter = rig.intern("counter", MetricKind::Counter, 1000);
    let until_ms = START_MS + 24 * HOUR_MS;
    for (i, time_ms) in (START_MS..=until_ms).step_by(1000).enumerate() {
        rig.push(gauge, time_ms, Reading::Gauge((i % 600) as f64));
        rig.push(counter, time_ms, Reading::Counter(1000 + 3 * i as u64));
        if i % 30 == 0 {
            rig.commit(time_ms, true);
        }
    }
    rig.commit(until_ms, true);
    for (step_ms, slots) in [(0, 3601), (10_000, 361), (60_000, 61), (600_000, 7)] {
        let from_ms = until_ms - HOUR_MS;
        let gauges = rig.slots("gauge", from_ms, until_ms, step_ms);
        assert!(
            gauges.slots.len() + 1 >= slots && gauges.slots.len() <= slots + 1,
            "{step_ms}"
        );
        let counters = rig.slots("counter", from_ms, until_ms, step_ms);
        for slot in &counters.slots {
            let passed = (slot.time.0 - START_MS) / 1000;
            assert_eq!(
                slot.total,
                (1000 + 3 * passed) as f64,
                "the reading itself, at {step_ms}"
            );
        }
    }
    // Six hours back the seconds are gone: ten-second slots answer instead.
    let long = rig.slots("gauge", START_MS, until_ms, 0);
    assert_eq!(long.slots.first().unwrap().step_ms, 10_000);
    assert_eq!(long.slots.last().unwrap().step_ms, 1000);
    assert!(long.slots.windows(2).all(|p| p[0].time < p[1].time));
}

#[test]
fn a_record_too_large_for_the_journal_is_a_checkpoint() {
    let mut rig = Rig::new();
    let ids: Vec<_> = (0..60)
        .map(|i| rig.intern(&format!("g{i}"), MetricKind::Gauge, 1000))
        .collect();
    let read = |rig: &mut Rig, from: i64, until: i64| {
        for i in from..until {
            for &id in &ids {
                let value = f64::from(id.0) * 1e7 + (i * i) as f64;
                rig.push(id, START_MS + i * 1000, Reading::Gauge(value));
            }
        }
    };
    read(&mut rig, 0, 1);
    rig.commit(START_MS, true);
    let slots = |rig: &Rig| {
        rig.slots("g59", START_MS, START_MS + 500_000, 0)
            .slots
            .len()
    };
    assert_eq!(slots(&rig), 1);
    read(&mut rig, 1, 400);
    rig.commit(START_MS + 400_000, false);
    read(&mut rig, 400, 500);
    rig.commit(START_MS + 500_000, true);
    assert_eq!(slots(&rig), 500);
    let rig = rig.killed();
    assert_eq!(slots(&rig), 500);
}

#[test]
fn a_series_that_ended_is_forgotten_and_its_lane_has_another() {
    let mut rig = Rig::new();
    let names = ["old_total", "lives_total"];
    let [old, lives] = names.map(|name| rig.intern(name, MetricKind::Counter, 1000));
    for i in 0..100 {
        rig.push(
            old,
            START_MS + i * 1000,
            Reading::Counter(1_000_000 + i.unsigned_abs()),
        );
        rig.push(
            lives,
            START_MS + i * 1000,
            Reading::Counter(5 + i.unsigned_abs()),
        );
    }
    rig.commit(START_MS + 100_000, true);
    assert_eq!(
        rig.slots("old_total", START_MS, START_MS + 100_000, 0)
            .slots
            .len(),
        99
    );
    // Eight hundred days on.
    let later = START_MS + 800 * 24 * HOUR_MS;
    rig.push(lives, later, Reading::Counter(500));
    rig.commit(later, true);
    assert_eq!(rig.registry.population().series, 1, "two years are over");
    let new = rig.intern("new_total", MetricKind::Counter, 1000);
    assert_ne!(new, old, "numbers are not used again");
    for i in 0..50 {
        rig.push(
            new,
            later + i * 1000,
            Reading::Counter(7 + i.unsigned_abs()),
        );
        rig.commit(later + i * 1000, true);
    }
    for _ in 0..2 {
        let found = rig.slots("new_total", START_MS, later + 50_000, 60_000);
        assert!(found.slots[0].time.0 > later);
        assert_eq!(found.slots.last().unwrap().total, 56.0);
        assert!(
            rig.slots("old_total", START_MS, later, 60_000)
                .slots
                .is_empty()
        );
        rig = rig.killed();
    }
}

#[test]
fn a_first_reading_before_the_rings_began_is_in_every_archive() {
    // Borders of the coarse chunks lie between the two readings, whatever the phase.
    for back_ms in [19_000, 301_000, 1_801_000] {
        let mut rig = Rig::new().restarted(retention(2));
        let other = rig.intern("other", MetricKind::Gauge, 1000);
        let id = rig.intern("gauge", MetricKind::Gauge, 1000);
        let now_ms = START_MS + 419_000;
        rig.push(other, now_ms, Reading::Gauge(1.0));
        rig.push(id, now_ms - back_ms, Reading::Gauge(1.0));
        for later_ms in (0..4 * HOUR_MS).step_by(61_000) {
            rig.commit(now_ms + later_ms, true);
            for step_ms in [0, 5_000, 30_000, 600_000] {
                let found = rig.slots("gauge", START_MS - HOUR_MS, now_ms, step_ms);
                assert!(
                    !found.slots.is_empty(),
                    "{back_ms} at {step_ms}, {later_ms} later"
                );
            }
        }
    }
}

#[test]
fn a_series_that_was_announced_waits_for_its_first_reading() {
    let mut rig = Rig::new().restarted(retention(3));
    let id = rig.intern("gauge", MetricKind::Gauge, STEP_MS);
    rig.push(id, START_MS, Reading::Gauge(1.0));
    rig.commit(START_MS, true);
    // Stopped for longer than its archive reaches back; others commit before it has a reading.
    rig = rig.restarted(retention(3));
    let id = rig.intern("gauge", MetricKind::Gauge, STEP_MS);
    let now_ms = START_MS + 10 * HOUR_MS;
    rig.commit(now_ms, true);
    rig.push(id, now_ms + STEP_MS, Reading::Gauge(2.0));
    rig.commit(now_ms + STEP_MS, true);
    let found = rig.slots("gauge", now_ms, now_ms + STEP_MS, STEP_MS);
    assert_eq!(found.slots.len(), 1);
    // Nobody announces it any more, nor reads it.
    rig = rig.restarted(retention(3));
    rig.commit(now_ms + 10 * HOUR_MS, true);
    assert_eq!(rig.registry.population().series, 0);
}

#[test]
fn a_group_that_is_due_when_it_is_let_go_of_begins_anew() {
    let mut rig = Rig::new();
    let mut now_ms = START_MS;
    // Away from the first archives; stopped for longer than these reach back; on to others, which get
    // the group that has become free.
    for (number, pause_ms) in [(3, 0), (1, 1000), (1, 10 * HOUR_MS), (2, 1000)] {
        now_ms += pause_ms;
        rig = rig.restarted(retention(number));
        let id = rig.intern("gauge", MetricKind::Gauge, STEP_MS);
        for i in 1..=10 {
            rig.push(id, now_ms + i * STEP_MS, Reading::Gauge(1.0));
        }
        now_ms += 10 * STEP_MS;
        rig.commit(now_ms, true);
    }
    assert_eq!(rig.ingest.groups.len(), 2, "the first group is used again");
    for step_ms in [1, 5, 30].map(|s| s * 1000) {
        for _ in 0..2 {
            let found = rig.slots("gauge", now_ms - 9999, now_ms, step_ms);
            let known: u32 = found.slots.iter().map(|s| s.count).sum();
            assert!(known >= 10, "{known} readings of ten at {step_ms}");
            rig = rig.killed();
        }
    }
}
