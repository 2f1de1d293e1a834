//! A store that lives, and beside it what was given to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, MetricKind, Selection, SourceError};
use vigie_store::series::{Archives, Report, Retention};
use vigie_store::{
    Batch, Options, Reader, Reading, SampleRow, SeriesDef, SeriesId, Synchronous, Writer,
};

use crate::model::{Cell, Given, Kind, STEP_MS, consolidated, gauge, slot_of};

const START_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;
/// More than one group has lanes for.
const SERIES: usize = 60;
/// As far back as the finest archive of all [`ARCHIVES`] reaches, with some room.
const FINEST_MS: i64 = 5 * HOUR_MS;
/// As far back as all of them have slots of a minute or less.
const MINUTES_MS: i64 = 9 * 24 * HOUR_MS;

/// Before longer silences everything is committed: of readings that waited for longer than the finest
/// ring is, two of one slot count twice.
const SILENCE_S_MAX: i64 = 400;

/// Archives between which series are moved.
const ARCHIVES: [&[&str]; 3] = [
    &["1s for 6h", "10s for 2d", "1m for 14d", "10m for 92d"],
    &["1s for 7h", "1m for 20d"],
    &["1s for 6h", "5s for 1d", "30s for 10d", "10m for 92d"],
];

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// So many seconds pass, in each of which the dense series are read, and of the others those whose
    /// bit is set.
    Rounds {
        seconds: i64,
        bits: u64,
        seed: u32,
    },
    /// Nothing is read for a while.
    Silence(i64),
    /// A reading of so long ago.
    Late {
        series: usize,
        back_s: i64,
        value: i64,
    },
    Commit,
    /// The process is gone, and what it had not committed.
    Kill,
    /// It is started again with other archives.
    Archives(usize),
    /// It gets other archives while it runs.
    Reload(usize),
    Rename(usize),
    /// Deleted, and announced again at once.
    Delete(usize),
    Look {
        series: usize,
        step_ms: i64,
    },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let series = || 0..SERIES;
    let back = prop_oneof![0..60i64, 0..4000i64, 0..FINEST_MS / 1000];
    let silence = prop_oneof![3 => 1..400i64, 1 => 1..3600i64, 1 => 1..14 * 3600i64];
    let step_ms = prop_oneof![Just(0), Just(10_000), Just(60_000), Just(600_000)];
    prop_oneof![
        10 => (1..40i64, any::<u64>(), any::<u32>())
            .prop_map(|(seconds, bits, seed)| Step::Rounds { seconds, bits, seed }),
        4 => silence.prop_map(Step::Silence),
        6 => (series(), back, 0..100_000i64)
            .prop_map(|(series, back_s, value)| Step::Late { series, back_s, value }),
        6 => Just(Step::Commit),
        1 => Just(Step::Kill),
        1 => (0..ARCHIVES.len()).prop_map(Step::Archives),
        1 => (0..ARCHIVES.len()).prop_map(Step::Reload),
        2 => series().prop_map(Step::Rename),
        2 => series().prop_map(Step::Delete),
        3 => (series(), step_ms).prop_map(|(series, step_ms)| Step::Look { series, step_ms }),
    ]
}

/// One series as it should be.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// How often it was renamed.
    generation: u32,
    given: Vec<Given>,
    /// So many of them are committed.
    durable: usize,
    /// What a counter shows.
    total: i64,
    /// Times of its last readings in former places: which of two is later is not known there.
    cuts: Vec<i64>,
}

fn kind(series: usize) -> Kind {
    [Kind::Gauge, Kind::Counter, Kind::Increase][series % 3]
}

/// Read each second; the others now and then.
fn is_dense(series: usize) -> bool {
    series.is_multiple_of(5)
}

/// A number that looks like none.
fn noise(seed: u32, series: usize, second: i64) -> i64 {
    let mut x = u64::from(seed) << 32 ^ series as u64 ^ second.cast_unsigned() << 8;
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    i64::from((x >> 40) as u32 % 100_000)
}

pub(crate) struct Life {
    dir: PathBuf,
    writer: Option<Writer>,
    archives: usize,
    ids: Vec<SeriesId>,
    kept: Vec<Kept>,
    now_ms: i64,
}

impl Life {
    pub(crate) fn begin(dir: &Path) -> Self {
        let mut life = Self::imagined(dir);
        life.open();
        life
    }

    /// Without a store.
    fn imagined(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            writer: None,
            archives: 0,
            ids: Vec::new(),
            kept: vec![Kept::default(); SERIES],
            now_ms: START_MS,
        }
    }

    /// Takes up what another process left that had done these steps, and perhaps one more, or that one
    /// as far as its commit.
    pub(crate) fn taken_up(dir: &Path, done: &[Step], next: Option<&Step>) -> Self {
        let mut before = Self::imagined(dir);
        done.iter().for_each(|step| before.imagine(step));
        let mut within = before.copy();
        within.all_durable();
        let mut after = before.copy();
        next.into_iter().for_each(|step| after.imagine(step));
        let mut why = Vec::new();
        for (mut life, next_done) in [(before, false), (within, false), (after, true)] {
            life.lose();
            life.open();
            match life.differs() {
                None => {
                    // What the step changes in the model only.
                    if !next_done {
                        next.into_iter().for_each(|step| life.take(step));
                    }
                    return life;
                }
                Some(difference) => why.push(difference),
            }
        }
        panic!("neither before nor after {next:?}: {why:#?}");
    }

    fn copy(&self) -> Self {
        Self {
            dir: self.dir.clone(),
            writer: None,
            archives: self.archives,
            ids: Vec::new(),
            kept: self.kept.clone(),
            now_ms: self.now_ms,
        }
    }

    fn retention(&self) -> Retention {
        let archives = Archives::parse(ARCHIVES[self.archives]).expect("archives");
        Retention {
            rules: vec![("*".parse().expect("it means all"), archives)],
        }
    }

    fn options(&self) -> Options {
        Options {
            retention: self.retention(),
            synchronous: Synchronous::Normal,
            ..Options::default()
        }
    }

    fn open(&mut self) {
        let now = Timestamp(self.now_ms);
        let writer = Writer::open(&self.dir, &self.options(), now).expect("a store");
        self.writer = Some(writer);
        self.ids = (0..SERIES).map(|series| self.announce(series)).collect();
    }

    fn labels(&self, series: usize) -> Labels {
        let generation = self.kept[series].generation.to_string();
        Labels::metric(&format!("s{series}"), &[("gen", &generation)])
    }

    fn announce(&self, series: usize) -> SeriesId {
        let def = SeriesDef {
            labels: self.labels(series),
            kind: match kind(series) {
                Kind::Gauge => MetricKind::Gauge,
                Kind::Counter | Kind::Increase => MetricKind::Counter,
            },
            help: "",
            step_ms: STEP_MS,
        };
        let writer = self.writer.as_ref().expect("it lives");
        writer.registry().intern(&def).expect("there is room")
    }

    /// A step in the model and in the store.
    pub(crate) fn take(&mut self, step: &Step) {
        let given: Vec<usize> = self.kept.iter().map(|k| k.given.len()).collect();
        let (old, was_ms) = (self.labels_of(step), self.now_ms);
        self.imagine(step);
        let now = Timestamp(self.now_ms);
        match step {
            Step::Rounds { .. } | Step::Late { .. } => self.push_since(&given),
            Step::Silence(seconds) if *seconds > SILENCE_S_MAX => self.commit_at(was_ms),
            Step::Silence(_) => {}
            Step::Commit => self.commit(),
            Step::Kill | Step::Archives(_) => {
                // Its lock goes with it.
                drop(self.writer.take());
                self.open();
            }
            Step::Reload(_) => {
                self.commit();
                let writer = self.writer.as_ref().expect("it lives");
                writer.registry().retain(self.retention());
            }
            Step::Rename(series) => {
                let to = format!("{{gen=\"{}\"}}", self.kept[*series].generation);
                let to = to.parse().expect("a name");
                let writer = self.writer.as_mut().expect("it lives");
                let pattern = pattern(&old);
                assert_eq!(writer.rename_series(&pattern, &to, now).expect("room"), 1);
                assert_eq!(self.announce(*series), self.ids[*series], "the same series");
            }
            Step::Delete(series) => {
                let writer = self.writer.as_mut().expect("it lives");
                let pattern = pattern(&old);
                assert_eq!(writer.delete_series(&pattern, now).expect("room"), 1);
                self.ids[*series] = self.announce(*series);
                self.commit();
            }
            Step::Look { series, step_ms } => {
                self.commit();
                let difference = self.difference(&self.reader(), *series, *step_ms);
                assert_eq!(difference, None);
            }
        }
    }

    /// The name that a step acts on, before it does.
    fn labels_of(&self, step: &Step) -> Labels {
        match step {
            Step::Rename(series) | Step::Delete(series) => self.labels(*series),
            _ => Labels::default(),
        }
    }

    /// A step in the model alone.
    fn imagine(&mut self, step: &Step) {
        match step {
            Step::Rounds {
                seconds,
                bits,
                seed,
            } => {
                for _ in 0..*seconds {
                    self.round(*bits, *seed);
                }
            }
            Step::Silence(seconds) => {
                if *seconds > SILENCE_S_MAX {
                    self.all_durable();
                }
                self.now_ms += seconds * 1000;
            }
            Step::Late {
                series,
                back_s,
                value,
            } => self.late(*series, *back_s, *value),
            Step::Commit => self.all_durable(),
            Step::Kill => self.lose(),
            Step::Archives(number) => {
                self.lose();
                self.move_to(*number);
            }
            Step::Reload(number) => {
                self.all_durable();
                self.move_to(*number);
            }
            Step::Rename(series) => {
                self.all_durable();
                self.kept[*series].generation += 1;
            }
            Step::Delete(series) => {
                self.all_durable();
                let generation = self.kept[*series].generation;
                self.kept[*series] = Kept {
                    generation,
                    ..Kept::default()
                };
            }
            Step::Look { step_ms, .. } => {
                self.all_durable();
                // Late slots are in coarse pages after a minute; before, they are near enough.
                if *step_ms > 0 {
                    self.now_ms += 61_000;
                }
            }
        }
    }

    fn move_to(&mut self, archives: usize) {
        if self.archives == archives {
            return;
        }
        self.archives = archives;
        for kept in &mut self.kept {
            kept.cuts.extend(kept.given.iter().map(|g| g.time_ms).max());
        }
    }

    fn round(&mut self, bits: u64, seed: u32) {
        self.now_ms += 1000;
        let (now_ms, second) = (self.now_ms, self.now_ms / 1000);
        for series in 0..SERIES {
            let sparse = bits >> series & 1 == 1 && (second + series as i64) % 7 == 0;
            if !is_dense(series) && !sparse {
                continue;
            }
            let value = noise(seed, series, second);
            let kept = &mut self.kept[series];
            kept.total += value;
            let value = match kind(series) {
                Kind::Counter => kept.total,
                Kind::Gauge | Kind::Increase => value,
            };
            let time_ms = now_ms;
            kept.given.push(Given { time_ms, value });
        }
    }

    fn late(&mut self, series: usize, back_s: i64, value: i64) {
        let time_ms = self.now_ms - back_s * 1000;
        let kept = &mut self.kept[series];
        // Counters take no older readings.
        if kind(series) != Kind::Counter && !kept.cuts.contains(&time_ms) {
            kept.given.push(Given { time_ms, value });
        }
    }

    fn all_durable(&mut self) {
        for kept in &mut self.kept {
            kept.durable = kept.given.len();
        }
    }

    /// What is not committed is gone; what counts goes on counting.
    fn lose(&mut self) {
        for kept in &mut self.kept {
            kept.given.truncate(kept.durable);
        }
    }

    /// Hands over what the model was given since.
    fn push_since(&mut self, since: &[usize]) {
        let mut batch = Batch::default();
        for (series, (kept, &since)) in self.kept.iter().zip(since).enumerate() {
            let rows = kept.given[since..].iter().map(|given| SampleRow {
                series: self.ids[series],
                time: Timestamp(given.time_ms),
                reading: match kind(series) {
                    Kind::Gauge => Reading::Gauge(gauge(given.value)),
                    Kind::Counter => Reading::Counter(given.value.unsigned_abs()),
                    Kind::Increase => Reading::Increase(given.value as f64),
                },
            });
            batch.samples.rows.extend(rows);
        }
        self.writer.as_mut().expect("it lives").apply(batch);
    }

    fn commit(&mut self) {
        self.commit_at(self.now_ms);
    }

    fn commit_at(&mut self, now_ms: i64) {
        let writer = self.writer.as_mut().expect("it lives");
        writer.commit(Timestamp(now_ms)).expect("the disk is well");
    }

    /// Everything, as far back as it is kept.
    pub(crate) fn check_all(&mut self) {
        self.take(&Step::Commit);
        self.now_ms += 61_000;
        self.commit();
        assert_eq!(self.differs(), None);
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.dir).expect("a store")
    }

    /// Ends in peace.
    pub(crate) fn close(&mut self) {
        drop(self.writer.take());
    }

    /// Whether damage to a copy of the store was told; what the copy answers nevertheless must be true.
    pub(crate) fn is_told_truly(&self, dir: &Path) -> bool {
        let Ok(reader) = Reader::open(dir) else {
            return true;
        };
        let report = reader.verify_series();
        for series in 0..SERIES {
            let found = self.ask(&reader, series, (START_MS, 0));
            let want = consolidated(kind(series), &self.kept[series].given, STEP_MS);
            for (slot, cell) in found.iter().flatten() {
                let want = want.get(slot);
                assert!(
                    want.is_some_and(|w| same(cell, w)),
                    "{cell:?} and not {want:?}"
                );
            }
        }
        let broken = |r: Report| r.damaged + r.broken_groups + r.miscounted_groups;
        report.map_or(true, |report| broken(report) > 0)
    }

    /// One page is damaged: it is named, and what is missing lies in one chunk of one archive.
    pub(crate) fn has_lost_one_page(&self, row: i64) {
        let reader = self.reader();
        let report = reader.verify_series().expect("the file can be read");
        assert_eq!((report.damaged, report.damage[0].row), (1, row));
        let step_ms = report.damage[0].step_ms.expect("it is known");
        // As long as the longest chunk of an archive is.
        let chunk_ms = step_ms * 120;
        for series in 0..SERIES {
            let found = self
                .ask(&reader, series, (START_MS, step_ms))
                .expect("the rest");
            let want = consolidated(kind(series), &self.kept[series].given, step_ms);
            let missing: Vec<_> = want
                .keys()
                .filter(|slot| !found.contains_key(slot))
                .collect();
            if let [first, .., last] = missing[..] {
                assert!((last - first) * step_ms <= chunk_ms, "{series} {missing:?}");
            }
        }
    }

    /// What is not as it should be, if anything.
    pub(crate) fn differs(&self) -> Option<String> {
        let reader = self.reader();
        let report = reader.verify_series().expect("the file can be read");
        let sound = (
            report.damaged,
            report.broken_groups,
            report.miscounted_groups,
        );
        if sound != (0, 0, 0) {
            return Some(format!("{report:?}"));
        }
        (0..SERIES).find_map(|series| {
            let mut steps = [0, 10_000, 60_000].into_iter();
            steps.find_map(|step_ms| self.difference(&reader, series, step_ms))
        })
    }

    /// How a series differs from its model, in slots that lie in the range as a whole.
    fn difference(&self, reader: &Reader, series: usize, step_ms: i64) -> Option<String> {
        let back_ms = if step_ms < 60_000 {
            FINEST_MS
        } else {
            MINUTES_MS
        };
        let from_ms = self.now_ms - back_ms;
        let mut got = self.slots(reader, series, from_ms, step_ms);
        let step_ms = step_ms.max(STEP_MS);
        let whole = |slot: i64| slot * step_ms > from_ms && (slot + 1) * step_ms <= self.now_ms;
        let mut want = consolidated(kind(series), &self.kept[series].given, step_ms);
        want.retain(|slot, _| whole(*slot));
        got.retain(|slot, _| whole(*slot));
        let wrong = want.iter().find_map(|(slot, want)| match got.get(slot) {
            Some(got) if same(got, want) => None,
            got => Some((*slot, Some(*want), got.copied())),
        });
        let extra = || {
            let mut more = got.iter().filter(|(slot, _)| !want.contains_key(slot));
            more.next().map(|(slot, got)| (*slot, None, Some(*got)))
        };
        let (slot, want, got) = wrong.or_else(extra)?;
        let ago = (self.now_ms - (slot + 1) * step_ms) / 1000;
        Some(format!(
            "{} in slots of {step_ms} ms, {ago} s ago: {got:?} and not {want:?}",
            self.labels(series)
        ))
    }

    /// What the store says, put together to slots of the length that is asked for.
    fn slots(
        &self,
        reader: &Reader,
        series: usize,
        from_ms: i64,
        step_ms: i64,
    ) -> BTreeMap<i64, Cell> {
        let found = self.ask(reader, series, (from_ms, step_ms));
        found.expect("within limits")
    }

    fn ask(
        &self,
        reader: &Reader,
        series: usize,
        (from_ms, step_ms): (i64, i64),
    ) -> Result<BTreeMap<i64, Cell>, SourceError> {
        let labels = self.labels(series);
        let matchers: Vec<_> = labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
        let found = reader.slots(&Selection {
            matchers: &matchers,
            from: Timestamp(from_ms),
            until: Timestamp(self.now_ms),
            step_ms,
            max_samples: usize::MAX,
            deadline: None,
        })?;
        // One series, in one piece; two of one name are none, and missed.
        let one = found.first().filter(|_| found.len() == 1);
        let mut cells = BTreeMap::new();
        for slot in one.iter().flat_map(|s| &s.slots) {
            let cell = cells
                .entry(slot_of(slot.time.0, step_ms.max(STEP_MS)))
                .or_insert(Cell::EMPTY);
            cell.add(&Cell {
                count: slot.count,
                sum: slot.sum,
                min: slot.min,
                max: slot.max,
                last: slot.last,
            });
        }
        Ok(cells)
    }
}

fn same(a: &Cell, b: &Cell) -> bool {
    (a.count, a.min, a.max, a.last) == (b.count, b.min, b.max, b.last)
        && (a.sum - b.sum).abs() <= 1e-9 * b.sum.abs().max(1.0)
}

/// What means one series and no other.
fn pattern(labels: &Labels) -> vigie_store::series::Pattern {
    let generation = labels.get("gen").unwrap_or_default();
    let text = format!("{}{{gen=\"{generation}\"}}", labels.name());
    text.parse().expect("a pattern")
}
