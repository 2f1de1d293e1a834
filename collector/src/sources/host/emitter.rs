//! From readings to rows: each series is looked up once, then found again by its place in the tick.
//!
//! Ticks report the same series in the same order as long as no device comes or goes. So the nth
//! reading is compared with the nth of the last tick; only where they differ is anything looked up.

use foldhash::{HashMap, HashSet};
use vigie_parsers::Timestamp;
use vigie_query::{Labels, METRIC_NAME, MetricKind};
use vigie_store::series::Reason;
use vigie_store::{Reading, SampleBatch, SampleRow, SeriesDef, SeriesId};

/// Series of devices that are gone are forgotten beyond this many, and looked up again if they return.
const FORGOTTEN_MAX: usize = 4096;

/// A metric as a topic declares it.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Its name; each `*` in it stands for a value.
    pub(crate) name: &'static str,
    /// A sentence about it.
    pub(crate) help: &'static str,
    /// Names of the labels, for the values behind those.
    pub(crate) labels: &'static [&'static str],
}

/// Shorthand for a metric.
pub(crate) const fn metric(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
) -> Metric {
    Metric { name, help, labels }
}

type Intern = Box<dyn FnMut(&SeriesDef) -> Option<SeriesId> + Send>;

/// Collects the rows of one tick after the other.
pub(crate) struct Emitter {
    intern: Intern,
    instance: String,
    step_ms: i64,
    time: Timestamp,
    rows: Vec<SampleRow>,
    slots: Vec<Slot>,
    cursor: usize,
    /// Series that others have the place of in this tick.
    replaced: Vec<SeriesId>,
    known: HashMap<(&'static str, Vec<u8>), Option<SeriesId>>,
}

#[derive(Debug)]
struct Slot {
    name: &'static str,
    /// The values, each behind its length.
    values: Vec<u8>,
    id: Option<SeriesId>,
}

impl Emitter {
    /// Rows for readings every `step_ms`, labelled with `instance`.
    pub(crate) fn new(intern: Intern, instance: &str, step_ms: i64) -> Self {
        Self {
            intern,
            instance: instance.to_owned(),
            step_ms,
            time: Timestamp(0),
            rows: Vec::new(),
            slots: Vec::new(),
            cursor: 0,
            replaced: Vec::new(),
            known: HashMap::default(),
        }
    }

    /// The readings that follow are of this time.
    pub(crate) fn begin(&mut self, time: Timestamp) {
        self.time = time;
        self.cursor = 0;
        self.rows = Vec::with_capacity(self.slots.len());
    }

    /// The rows of the tick. Series of the tick before that are not in it get a word instead: what
    /// they were read from is gone.
    pub(crate) fn finish(&mut self) -> SampleBatch {
        self.replaced
            .extend(self.slots.drain(self.cursor..).filter_map(|s| s.id));
        if !self.replaced.is_empty() {
            self.tell_gone();
        }
        if self.known.len() > self.slots.len() + FORGOTTEN_MAX {
            self.known.clear();
        }
        SampleBatch {
            rows: std::mem::take(&mut self.rows),
        }
    }

    #[cold]
    fn tell_gone(&mut self) {
        let here: HashSet<SeriesId> = self.rows.iter().map(|row| row.series).collect();
        let time = self.time;
        let gone = self.replaced.drain(..).filter(|id| !here.contains(id));
        self.rows.extend(gone.map(|series| SampleRow {
            series,
            time,
            reading: Reading::Unknown(Reason::NoSuchObject),
        }));
    }

    /// A value that goes up and down.
    pub(crate) fn gauge(&mut self, metric: &Metric, values: &[&[u8]], value: f64) {
        self.emit(metric, values, Reading::Gauge(value));
    }

    /// A counter of whole units.
    pub(crate) fn counter(&mut self, metric: &Metric, values: &[&[u8]], value: u64) {
        self.emit(metric, values, Reading::Counter(value));
    }

    /// A counter in fractions, as of seconds.
    pub(crate) fn seconds(&mut self, metric: &Metric, values: &[&[u8]], value: f64) {
        self.emit(metric, values, Reading::FloatCounter(value));
    }

    /// No value, and why, for a series that had one before; one that had none is not begun with it.
    pub(crate) fn unknown(&mut self, metric: &Metric, values: &[&[u8]], reason: Reason) {
        if self.known.contains_key(&(metric.name, joined(values))) {
            self.emit(metric, values, Reading::Unknown(reason));
        }
    }

    fn emit(&mut self, metric: &Metric, values: &[&[u8]], reading: Reading) {
        let slot = self.slots.get(self.cursor);
        let id = match slot.filter(|s| s.name == metric.name && same(&s.values, values)) {
            Some(slot) => slot.id,
            None => self.look_up(metric, values, reading),
        };
        self.cursor += 1;
        if let Some(series) = id {
            self.rows.push(SampleRow {
                series,
                time: self.time,
                reading,
            });
        }
    }

    #[cold]
    fn look_up(&mut self, metric: &Metric, values: &[&[u8]], reading: Reading) -> Option<SeriesId> {
        let key = (metric.name, joined(values));
        let id = match self.known.get(&key) {
            Some(&id) => id,
            None => {
                let def = SeriesDef {
                    labels: labels(metric, values, &self.instance),
                    kind: match reading {
                        Reading::Gauge(_) => MetricKind::Gauge,
                        _ => MetricKind::Counter,
                    },
                    help: metric.help,
                    step_ms: self.step_ms,
                };
                let id = (self.intern)(&def);
                self.known.insert(key.clone(), id);
                id
            }
        };
        let (name, values) = key;
        let slot = Slot { name, values, id };
        match self.slots.get_mut(self.cursor) {
            Some(old) => self.replaced.extend(std::mem::replace(old, slot).id),
            None => self.slots.push(slot),
        }
        id
    }
}

fn joined(values: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for value in values {
        joined.extend_from_slice(&value.len().to_le_bytes());
        joined.extend_from_slice(value);
    }
    joined
}

/// Whether [`joined`] of these values is that.
fn same(mut joined: &[u8], values: &[&[u8]]) -> bool {
    for value in values {
        let Some(rest) = joined
            .strip_prefix(value.len().to_le_bytes().as_slice())
            .and_then(|rest| rest.strip_prefix(*value))
        else {
            return false;
        };
        joined = rest;
    }
    joined.is_empty()
}

fn labels(metric: &Metric, values: &[&[u8]], instance: &str) -> Labels {
    let mut values = values
        .iter()
        .map(|v| String::from_utf8_lossy(v).into_owned());
    let mut name = String::new();
    for (i, part) in metric.name.split('*').enumerate() {
        if i > 0 {
            name.push_str(&values.next().unwrap_or_default());
        }
        name.push_str(part);
    }
    let pairs = metric.labels.iter().copied().zip(values);
    Labels::new(
        [("instance", instance.to_owned()), (METRIC_NAME, name)]
            .into_iter()
            .chain(pairs),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// An emitter without a store, and the series it was asked for.
    pub(crate) struct Fake {
        pub(crate) out: Emitter,
        pub(crate) defs: Arc<Mutex<Vec<SeriesDef>>>,
    }

    impl Fake {
        pub(crate) fn new() -> Self {
            let defs = Arc::new(Mutex::new(Vec::<SeriesDef>::new()));
            let asked = Arc::clone(&defs);
            let intern = move |def: &SeriesDef| {
                let mut defs = asked.lock().unwrap();
                defs.push(def.clone());
                Some(SeriesId(u32::try_from(defs.len() - 1).unwrap()))
            };
            let mut out = Emitter::new(Box::new(intern), "", 1000);
            out.begin(Timestamp(1000));
            Self { out, defs }
        }

        /// The tick as exposition text, in the order of emission; counters are marked with `c`.
        pub(crate) fn text(&mut self) -> String {
            let defs = self.defs.lock().unwrap();
            let mut text = String::new();
            for row in self.out.finish().rows {
                let labels = &defs[row.series.0 as usize].labels;
                let value = match row.reading {
                    Reading::Gauge(v) => format!("{v}"),
                    Reading::Counter(v) => format!("{v} c"),
                    Reading::FloatCounter(v) | Reading::Increase(v) => format!("{v} c"),
                    Reading::Unknown(reason) => format!("unknown: {reason}"),
                    Reading::Restarted(since) => format!("restarted at {}", since.0),
                    Reading::Discontinued(since) => format!("discontinued at {}", since.0),
                    Reading::Declared(facts) => format!("declared: {facts:?}"),
                };
                text.push_str(&format!("{labels} {value}\n"));
            }
            text
        }
    }

    #[test]
    fn series_are_interned_once_and_found_again() {
        let mut fake = Fake::new();
        const M: Metric = metric("m", "", &["device"]);
        const N: Metric = metric("n_*_x", "", &["device"]);
        let mut tick = |devices: &[&str]| {
            fake.out.begin(Timestamp(0));
            for device in devices {
                fake.out.gauge(&M, &[device.as_bytes()], 1.0);
                fake.out.counter(&N, &[b"y", device.as_bytes()], 2);
            }
            (fake.text(), fake.defs.lock().unwrap().len())
        };
        let ab = "m{device=\"a\"} 1\nn_y_x{device=\"a\"} 2 c\nm{device=\"b\"} 1\nn_y_x{device=\"b\"} 2 c\n";
        assert_eq!(tick(&["a", "b"]), (ab.to_owned(), 4));
        assert_eq!(tick(&["a", "b"]), (ab.to_owned(), 4));
        assert_eq!(
            tick(&["b"]).0,
            "m{device=\"b\"} 1\nn_y_x{device=\"b\"} 2 c\n\
             m{device=\"a\"} unknown: no such object\nn_y_x{device=\"a\"} unknown: no such object\n",
            "what went away is told once"
        );
        assert_eq!(
            tick(&["b"]).0,
            "m{device=\"b\"} 1\nn_y_x{device=\"b\"} 2 c\n"
        );
        assert_eq!(tick(&["c", "a"]).1, 6);
        assert!(tick(&["a", "b"]).0.starts_with(ab));
        assert_eq!(tick(&["a", "b"]), (ab.to_owned(), 6));
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        assert!(!same(&joined(&[b"ab", b"c"]), &[b"a", b"bc"]));
        assert!(same(&joined(&[b"ab", b"c"]), &[b"ab", b"c"]));
        assert!(!same(&joined(&[b"ab", b"c"]), &[b"ab"]));
    }
}
