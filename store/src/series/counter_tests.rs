//! Counters to the unit: a device that counts exactly, and what is known of it through wraps, resets,
//! restarts, polls that were missed, came twice or out of order, false readings, and kills of the store.

use proptest::prelude::*;
use vigie_query::MetricKind;

use super::model_tests::Rig;
use super::reason::Reason;
use crate::{CounterType, CounterWidth, Reading};
use vigie_parsers::Timestamp;

const START_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 1000;
/// What three steps are at least.
const HEARTBEAT_MS: i64 = 10_000;
/// A line of 800 Mb/s; half the range of 32 bits takes it longer than the heartbeat.
const MAX_PER_S: f32 = 1e8;
const NAME: &str = "c_total";

#[derive(Clone, Debug)]
enum Step {
    /// The device counts for so long, in thousandths of its line.
    Run {
        ms: i64,
        load: u64,
    },
    /// It is asked.
    Poll,
    /// The last answer comes once more.
    Twice,
    /// An older answer comes.
    Older {
        ms: i64,
    },
    /// It is asked, and the answer is nonsense: so many times the line's speed above or below.
    Nonsense {
        up: bool,
        by: u64,
    },
    /// It begins again at zero; whether it says so.
    Restart {
        told: bool,
    },
    /// It begins again somewhere, and says so.
    Other {
        at: u64,
    },
    /// It has 64 bits now, or 32 again, and says so.
    Widen,
    Commit {
        succeeds: bool,
    },
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..9000i64, 0..1000u64).prop_map(|(ms, load)| Step::Run { ms, load }),
        1 => (9000..60_000i64, 0..1000u64).prop_map(|(ms, load)| Step::Run { ms, load }),
        12 => Just(Step::Poll),
        1 => Just(Step::Twice),
        1 => (1..5000i64).prop_map(|ms| Step::Older { ms }),
        1 => (any::<bool>(), 1000..1_000_000u64).prop_map(|(up, by)| Step::Nonsense { up, by }),
        1 => any::<bool>().prop_map(|told| Step::Restart { told }),
        1 => any::<u64>().prop_map(|at| Step::Other { at }),
        1 => Just(Step::Widen),
        3 => prop::bool::weighted(0.8).prop_map(|succeeds| Step::Commit { succeeds }),
        1 => Just(Step::Kill),
    ]
}

/// The device, and what can be known of it.
#[derive(Clone, Debug)]
struct Device {
    now_ms: i64,
    /// What it counts, as many bits as it takes.
    count: u128,
    wide: bool,
    /// What it says of itself with every answer, whichever came last.
    restarted_ms: Option<i64>,
    other_ms: Option<i64>,
    known: Known,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// When and what it was asked last, and whether it had 64 bits then.
    asked: Option<(i64, u128)>,
    wide: bool,
    /// The last answer, and when it came.
    shown: Option<u64>,
    last_ms: i64,
    first: Option<u128>,
    grown: u128,
}

impl Device {
    fn new(wide: bool, count: u64) -> Self {
        let count = u128::from(count);
        Self {
            now_ms: START_MS,
            count: if wide { count } else { count % (1 << 32) },
            wide,
            restarted_ms: None,
            other_ms: None,
            known: Known {
                asked: None,
                wide,
                shown: None,
                last_ms: i64::MIN,
                first: None,
                grown: 0,
            },
        }
    }

    fn shows(&self) -> u64 {
        let modulus = if self.wide { 1u128 << 64 } else { 1 << 32 };
        u64::try_from(self.count % modulus).unwrap()
    }

    fn half(&self) -> u64 {
        if self.wide { 1 << 63 } else { 1 << 31 }
    }
}

struct Run {
    rig: Rig,
    device: Device,
    durable: Known,
}

impl Run {
    fn new(wide: bool, count: u64) -> Self {
        let device = Device::new(wide, count);
        Self {
            rig: Rig::new(),
            durable: device.known,
            device,
        }
    }

    fn push(&mut self, time_ms: i64, reading: Reading) {
        let id = self.rig.intern(NAME, MetricKind::Counter, STEP_MS);
        self.rig.push(id, time_ms, reading);
        // One batch is in time order.
        self.commit(false);
    }

    fn commit(&mut self, succeeds: bool) {
        self.rig.commit(self.device.now_ms, succeeds);
        if succeeds {
            self.durable = self.device.known;
        }
    }

    /// Asks the device: what it declares, what happened to it, what it shows.
    fn poll(&mut self) {
        let (now_ms, last_ms) = (self.device.now_ms, self.device.known.last_ms);
        if now_ms <= last_ms {
            return;
        }
        let width = if self.device.wide {
            CounterWidth::Bits64
        } else {
            CounterWidth::Bits32
        };
        let facts = CounterType {
            width,
            max_per_s: MAX_PER_S,
        };
        self.push(now_ms, Reading::Declared(facts));
        let mut asked = self.device.known.asked;
        asked = asked.filter(|_| self.device.wide == self.device.known.wide);
        if let Some(since) = self.device.restarted_ms {
            self.push(now_ms, Reading::Restarted(Timestamp(since)));
            if since > last_ms && self.device.known.first.is_some() {
                asked = Some((since, 0));
            }
        }
        if let Some(since) = self.device.other_ms {
            self.push(now_ms, Reading::Discontinued(Timestamp(since)));
            asked = asked.filter(|_| since <= last_ms);
        }
        let shown = self.device.shows();
        self.push(now_ms, Reading::Counter(shown));
        let (count, wide) = (self.device.count, self.device.wide);
        let known = &mut self.device.known;
        if let Some((at_ms, then)) = asked.filter(|(at, _)| now_ms - at <= HEARTBEAT_MS) {
            assert!(at_ms < now_ms || count == then);
            known.grown += count - then;
        }
        known.first.get_or_insert(u128::from(shown));
        (known.asked, known.wide) = (Some((now_ms, count)), wide);
        (known.last_ms, known.shown) = (now_ms, Some(shown));
    }

    fn take(mut self, step: Step) -> Self {
        let last_ms = self.device.known.last_ms;
        match step {
            Step::Run { ms, load } => {
                self.device.now_ms += ms;
                self.device.count += u128::from(ms.unsigned_abs() * load * 100);
            }
            Step::Poll => self.poll(),
            Step::Twice => {
                if let Some(shown) = self.device.known.shown {
                    self.push(last_ms, Reading::Counter(shown));
                }
            }
            Step::Older { ms } => {
                if let Some(shown) = self.device.known.shown {
                    self.push(last_ms - ms, Reading::Counter(shown / 2));
                }
            }
            Step::Nonsense { up, by } => self.nonsense(up, by),
            Step::Restart { told: true } => {
                self.device.now_ms += 1;
                self.device.count = 0;
                self.device.restarted_ms = Some(self.device.now_ms);
                self.device.other_ms = None;
            }
            Step::Restart { told: false } => self.restart_untold(),
            Step::Other { at } => {
                self.device.now_ms += 1;
                let at = u128::from(at);
                self.device.count = if self.device.wide { at } else { at % (1 << 32) };
                self.device.other_ms = Some(self.device.now_ms);
                self.device.restarted_ms = None;
            }
            Step::Widen => self.device.wide = !self.device.wide,
            Step::Commit { succeeds } => self.commit(succeeds),
            Step::Kill => {
                self.rig = self.rig.killed();
                self.device.known = self.durable;
            }
        }
        self
    }

    /// One false answer, with a true one a second before and one a second after.
    fn nonsense(&mut self, up: bool, by: u64) {
        self.device.now_ms += 1;
        self.poll();
        let (shown, far) = (self.device.shows(), by * 1_000_000_000);
        // What may be a wrap, or a reset of a counter that small, is none to be told.
        if shown >= self.device.half() || shown < 1_000_000_000 {
            return;
        }
        let false_one = if up { shown + far } else { by % 1000 };
        self.device.now_ms += 1000;
        self.push(self.device.now_ms, Reading::Counter(false_one));
        self.device.now_ms += 1000;
        self.device.count += 1000;
        self.poll();
        self.commit(true);
    }

    /// It is asked before and after: the fall is far, and from where it cannot be a wrap.
    fn restart_untold(&mut self) {
        self.device.now_ms += 1;
        self.poll();
        let shown = self.device.shows();
        if shown >= self.device.half() || shown < 1_000_000 {
            return;
        }
        self.device.now_ms += 1000;
        self.device.count = 1234;
        self.device.known.asked = Some((self.device.known.last_ms, 0));
        self.poll();
        self.commit(true);
    }

    fn look(&mut self) {
        self.commit(true);
        let until = self.device.now_ms;
        for step_ms in [0, 60_000] {
            let found = self.rig.slots(NAME, START_MS - 120_000, until, step_ms);
            let sum: f64 = found.slots.iter().map(|s| s.sum).sum();
            assert_eq!(sum, self.device.known.grown as f64, "growth at {step_ms}");
            let Some(last) = found.slots.last() else {
                continue;
            };
            let total = self.device.known.first.unwrap_or(0) + self.device.known.grown;
            // Beyond 2^53 a float has no units.
            if total < 1 << 53 {
                assert_eq!(last.total, total as f64, "total at {step_ms}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn counters_are_known_to_the_unit(
        wide in any::<bool>(),
        count in prop_oneof![any::<u64>(), (u64::MAX - 1_000_000_000)..u64::MAX, 0..1u64 << 40],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut run = Run::new(wide, count);
        for step in steps {
            run = run.take(step);
        }
        run.look();
        run.rig = run.rig.killed();
        run.look();
    }
}

struct Told {
    rig: Rig,
    now_ms: i64,
}

impl Told {
    fn new(facts: Option<CounterType>) -> Self {
        let mut told = Self {
            rig: Rig::new(),
            now_ms: START_MS,
        };
        if let Some(facts) = facts {
            told.say(Reading::Declared(facts));
        }
        told
    }

    fn say(&mut self, reading: Reading) {
        let id = self.rig.intern(NAME, MetricKind::Counter, STEP_MS);
        self.rig.push(id, self.now_ms, reading);
        self.rig.commit(self.now_ms, true);
    }

    fn read(&mut self, values: &[u64]) {
        for &value in values {
            self.now_ms += 1000;
            self.say(Reading::Counter(value));
        }
    }

    /// What was known to grow, after a restart of the store as well.
    fn grown(mut self) -> (f64, Vec<Reason>) {
        let sum = |rig: &Rig, until| -> f64 {
            let found = rig.slots(NAME, START_MS, until, 0);
            found.slots.iter().map(|s| s.sum).sum()
        };
        let live = sum(&self.rig, self.now_ms);
        self.rig = self.rig.killed();
        assert_eq!(sum(&self.rig, self.now_ms), live);
        let gaps = self.rig.gaps(NAME, START_MS + 1000, self.now_ms);
        (live, gaps.into_iter().map(|g| g.reason).collect())
    }
}

fn line(width: CounterWidth, max_per_s: f32) -> Option<CounterType> {
    Some(CounterType { width, max_per_s })
}

#[test]
fn a_declared_limit_tells_growth_from_nonsense() {
    // Readings, what was known to grow, why the rest is not.
    type Row<'a> = (&'a str, Option<CounterType>, &'a [u64], f64, &'a [Reason]);
    const U32: u64 = 1 << 32;
    let rows: &[Row<'_>] = &[
        (
            "faster than the line",
            line(CounterWidth::Bits64, 1e6),
            &[1_000_000, 1_500_000, 90_000_000, 90_500_000],
            1_000_000.0,
            &[Reason::OutOfRange],
        ),
        (
            "a false reading between true ones",
            line(CounterWidth::Bits64, 1e6),
            &[1_000_000, 1_500_000, 90_000_000, 2_000_000, 2_500_000],
            1_500_000.0,
            &[],
        ),
        (
            "a false zero between true ones",
            line(CounterWidth::Bits64, 1e6),
            &[9_000_000, 9_500_000, 0, 10_000_000, 10_500_000],
            1_500_000.0,
            &[],
        ),
        (
            "the same when nobody says how fast it may be",
            None,
            &[90_000_000_000, 90_000_500_000, 0, 90_001_000_000],
            1_000_000.0,
            &[],
        ),
        (
            "the petabit spike of a broken agent",
            None,
            &[
                5_000_000,
                6_000_000,
                800_000_000_000_000,
                800_000_001_000_000,
            ],
            2_000_000.0,
            &[Reason::OutOfRange],
        ),
        (
            "64 bits do not wrap at 32",
            line(CounterWidth::Bits64, 1e9),
            &[U32 - 10, U32 - 5, 3],
            8.0,
            &[],
        ),
        (
            "32 bits wrap at 32, however fast",
            line(CounterWidth::Bits32, 1e9),
            &[U32 - 1_000_000_000, 500_000_000],
            1_500_000_000.0,
            &[],
        ),
    ];
    for (name, facts, readings, grown, reasons) in rows {
        let mut told = Told::new(*facts);
        told.read(readings);
        assert_eq!(told.grown(), (*grown, reasons.to_vec()), "{name}");
    }
}

#[test]
fn another_width_is_a_gap_and_no_spike() {
    let mut told = Told::new(line(CounterWidth::Bits32, 1e9));
    told.read(&[3_000_000_000, 3_000_000_100]);
    told.say(Reading::Declared(line(CounterWidth::Bits64, 1e9).unwrap()));
    told.read(&[3_500_000_000, 3_500_000_050]);
    assert_eq!(told.grown(), (150.0, vec![Reason::OutOfRange]));
}

#[test]
fn a_discontinuity_is_a_gap_and_a_restart_counts_from_zero() {
    let mut told = Told::new(None);
    told.read(&[1000, 1100]);
    let since = Timestamp(told.now_ms + 500);
    told.now_ms += 1000;
    told.say(Reading::Discontinued(since));
    told.say(Reading::Counter(70_000));
    // Said with every reading, as the agent shows it.
    told.now_ms += 1000;
    told.say(Reading::Discontinued(since));
    told.say(Reading::Counter(70_007));
    told.now_ms += 1000;
    told.say(Reading::Restarted(Timestamp(told.now_ms)));
    told.now_ms += 1000;
    told.say(Reading::Counter(40));
    let (grown, reasons) = told.grown();
    assert_eq!(
        (grown, &reasons[..]),
        (147.0, &[Reason::Reset, Reason::Reset][..])
    );
}

#[test]
fn what_is_declared_is_counted_once_and_survives() {
    let facts = line(CounterWidth::Bits32, 1e6).unwrap();
    let mut told = Told::new(Some(facts));
    told.say(Reading::Declared(facts));
    told.say(Reading::Declared(CounterType {
        max_per_s: f32::NAN,
        ..facts
    }));
    let counts = told.rig.ingest.counts();
    assert_eq!(
        (counts.told, counts.duplicate, counts.not_finite),
        (1, 1, 1)
    );
    told.rig = told.rig.killed();
    told.say(Reading::Declared(facts));
    assert_eq!(told.rig.ingest.counts().duplicate, 1, "it is known still");
    told.read(&[1, 2, 900_000_000]);
    told.rig = told.rig.killed();
    told.say(Reading::Declared(facts));
    assert_eq!(
        told.rig.ingest.counts().duplicate,
        1,
        "behind a first reading too"
    );
    assert_eq!(told.grown().0, 1.0);
}
