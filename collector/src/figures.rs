//! Figures from lines as they arrive: requests by virtual host, method and code, and events by level.
//!
//! They travel in the same batch as their lines, as increases, so they count each line once. They
//! stand at the time of the last line in each slot of [`STEP_MS`]. A count that follows no other has
//! an increase of 0 one step before it, so that `increase` and `rate` see a single event.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::HashMap;
use vigie_parsers::web::is_bot;
use vigie_parsers::{Event, Origin, Record, Severity, Timestamp};
use vigie_query::{Labels, MetricKind};
use vigie_store::{Reading, SampleBatch, SampleRow, SeriesDef, SeriesId};

use crate::counts::{Counters, Rule};
use request::Request;

mod request;
#[cfg(test)]
mod tests;

/// The distance of the figures.
const STEP_MS: i64 = 10_000;
/// A count so many slots after the last one has a zero before it.
const QUIET_SLOTS: i64 = 3;
/// Virtual hosts of one source with a series of their own; the rest are `other`. Clients choose the
/// names in some formats.
const VHOSTS_MAX: usize = 200;
/// The virtual host of a line that names none.
const VHOST_DEFAULT: &str = "default";
/// Agents remembered; forgotten all together when there are more. A busy site has some ten thousand a day.
const AGENTS_MAX: usize = 1 << 15;
const OTHER: &str = "other";
const BEYOND_NAME: &str = "vigie_count_beyond_limit_total";
/// Methods with a series of their own: RFC 9110, PATCH and WebDAV's most usual.
const METHODS: [&str; 11] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND",
    OTHER,
];
/// Prometheus' default buckets, in seconds.
const BUCKETS: [(f64, &str); 11] = [
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
    (5.0, "5"),
    (10.0, "10"),
];
/// The index of `+Inf`, which every request falls into.
const INFINITY: usize = BUCKETS.len();

/// Counts the lines of one source.
pub(crate) struct Figures {
    counters: Counters,
    defined: Defined,
    source: String,
    host: String,
    vhost: String,
    vhosts: HashMap<Box<[u8]>, u16>,
    /// Whether an agent is a robot, by its hash: that two of some thousands share one of 64 bits, in a
    /// table that nobody outside knows the key of, does not happen.
    agents: HashMap<u64, bool>,
    /// The place of each series in `counts`.
    places: HashMap<Key, usize>,
    /// What was counted in `slot`.
    counts: Vec<Count>,
    slot: i64,
    /// The last line of `slot`.
    time: Timestamp,
    /// The places in `counts` that are not 0.
    counted: Vec<usize>,
    rows: Vec<SampleRow>,
}

/// The count of one series.
struct Count {
    /// None beyond the store's limit.
    series: Option<SeriesId>,
    n: f64,
    /// Where the last row is.
    last: Option<i64>,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// By severity number; 8 is none.
    Events(u8),
    Requests {
        vhost: u16,
        method: u8,
        code: u16,
    },
    Bytes {
        vhost: u16,
    },
    Bots {
        vhost: u16,
    },
    Bucket {
        vhost: u16,
        le: u8,
    },
    DurationSum {
        vhost: u16,
    },
    DurationCount {
        vhost: u16,
    },
    /// A counter of the operator's, by its number and that of its labels.
    Defined(u16, u32),
    /// What it counted beyond its limit of label sets.
    Beyond(u16),
}

/// What the operator's counters need of a source.
#[derive(Default)]
struct Defined {
    /// The event that is looked at; its buffers are used again.
    event: Event,
    key: Vec<u8>,
    /// The number of each label set that this source has met.
    sets: Vec<HashMap<Box<[u8]>, u32>>,
}

/// The number of the label set that stands for those beyond the limit.
const BEYOND: u32 = u32::MAX;

impl Figures {
    pub(crate) fn new(counters: Counters, source: &str, host: &str) -> Self {
        Self {
            counters: Counters {
                registry: counters.registry.of(source),
                ..counters
            },
            defined: Defined::default(),
            source: source.to_owned(),
            host: host.to_owned(),
            vhost: VHOST_DEFAULT.to_owned(),
            vhosts: HashMap::default(),
            agents: HashMap::default(),
            places: HashMap::default(),
            counts: Vec::new(),
            slot: i64::MIN,
            time: Timestamp(i64::MIN),
            counted: Vec::new(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn set_vhost(&mut self, vhost: &str) {
        vhost.clone_into(&mut self.vhost);
    }

    /// Counts a line. One that is ahead of our clock counts when it arrives.
    pub(crate) fn count(&mut self, recv: Timestamp, line: &[u8], record: &Record) {
        let time = record.time.map_or(recv, |t| t.min(recv));
        let slot = slot_of(time);
        if slot != self.slot {
            self.end_slot();
            (self.slot, self.time) = (slot, time);
        }
        self.time = time.max(self.time);
        self.add(Key::Events(record.severity.map_or(8, |s| s as u8)), 1.0);
        if let Some(request) = Request::read(line, record) {
            self.count_request(&request);
        }
    }

    /// Counts the line that [`Self::count`] took last for the counters that the operator defines.
    pub(crate) fn count_defined(
        &mut self,
        recv: Timestamp,
        (origin, format): (&Arc<Origin>, &'static str),
        line: &[u8],
        record: &mut Record,
    ) {
        if self.counters.counts.is_empty() {
            return;
        }
        let counts = self.counters.counts.clone();
        let mut defined = std::mem::take(&mut self.defined);
        let event = &mut defined.event;
        (event.time, event.recv) = (record.time.unwrap_or(recv), recv);
        event.severity = record.severity;
        if *event.format != *format {
            event.format = Arc::from(format);
        }
        if !Arc::ptr_eq(&event.origin, origin) {
            event.origin = Arc::clone(origin);
        }
        event.line.clear();
        event.line.extend_from_slice(line);
        std::mem::swap(&mut event.record, record);
        defined
            .sets
            .resize_with(counts.rules().len(), HashMap::default);
        for (n, (rule, sets)) in (0..).zip(counts.rules().iter().zip(&mut defined.sets)) {
            if !rule.takes(&defined.event, &mut defined.key) {
                continue;
            }
            let next = u32::try_from(sets.len()).unwrap_or(BEYOND);
            let set = match sets.get(defined.key.as_slice()) {
                Some(&known) => known,
                None if rule.admits(&defined.key) => {
                    sets.insert(defined.key.as_slice().into(), next);
                    next
                }
                None => BEYOND,
            };
            self.add_defined(Key::Defined(n, set), rule, Some(&defined.key));
            if set == BEYOND {
                self.add_defined(Key::Beyond(n), rule, None);
            }
        }
        std::mem::swap(&mut defined.event.record, record);
        self.defined = defined;
    }

    fn add_defined(&mut self, key: Key, rule: &Rule, values: Option<&[u8]>) {
        if self.places.contains_key(&key) {
            return self.add(key, 1.0);
        }
        let (name, mut pairs) = match key {
            Key::Beyond(_) => (BEYOND_NAME, vec![("count", rule.name().to_owned())]),
            Key::Defined(_, BEYOND) => (rule.name(), rule.labels(None)),
            _ => (rule.name(), rule.labels(values)),
        };
        pairs.push(("instance", self.host.clone()));
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let definition = SeriesDef {
            labels: Labels::metric(name, &pairs),
            kind: MetricKind::Counter,
            help: match key {
                Key::Beyond(_) => "Events of a [[count]] beyond its limit of label sets.",
                _ => "Events that a [[count]] of the configuration finds.",
            },
            step_ms: STEP_MS,
        };
        self.place(key, &definition);
        self.add(key, 1.0);
    }

    fn count_request(&mut self, request: &Request<'_>) {
        let vhost = self.vhost(request.vhost);
        let method = METHODS.iter().position(|m| m.as_bytes() == request.method);
        let method = u8::try_from(method.unwrap_or(METHODS.len() - 1)).unwrap_or(0);
        let code = request
            .status
            .filter(|c| (100..600).contains(c))
            .unwrap_or(0);
        self.add(
            Key::Requests {
                vhost,
                method,
                code,
            },
            1.0,
        );
        if let Some(bytes) = request.bytes {
            self.add(Key::Bytes { vhost }, bytes);
        }
        if request.agent.is_some_and(|agent| self.is_bot(agent)) {
            self.add(Key::Bots { vhost }, 1.0);
        }
        if let Some(duration) = request.duration {
            let first = BUCKETS.partition_point(|&(le, _)| le < duration);
            for le in first..=INFINITY {
                let le = u8::try_from(le).unwrap_or(u8::MAX);
                self.add(Key::Bucket { vhost, le }, 1.0);
            }
            self.add(Key::DurationSum { vhost }, duration);
            self.add(Key::DurationCount { vhost }, 1.0);
        }
    }

    /// Agents are long and few, so each is looked through once.
    fn is_bot(&mut self, agent: &[u8]) -> bool {
        let hash = self.agents.hasher().hash_one(agent);
        if let Some(&known) = self.agents.get(&hash) {
            return known;
        }
        if self.agents.len() >= AGENTS_MAX {
            self.agents.clear();
        }
        let bot = is_bot(agent);
        self.agents.insert(hash, bot);
        bot
    }

    fn vhost(&mut self, name: Option<&[u8]>) -> u16 {
        let name = name.unwrap_or(self.vhost.as_bytes());
        if let Some(&known) = self.vhosts.get(name) {
            return known;
        }
        let name = if self.vhosts.len() < VHOSTS_MAX {
            name
        } else {
            OTHER.as_bytes()
        };
        let next = u16::try_from(self.vhosts.len()).unwrap_or(u16::MAX);
        *self.vhosts.entry(name.into()).or_insert(next)
    }

    fn add(&mut self, key: Key, n: f64) {
        let place = match self.places.get(&key) {
            Some(&place) => place,
            None => match self.definition(key) {
                Some(definition) => self.place(key, &definition),
                None => return,
            },
        };
        if let Some(count) = self.counts.get_mut(place) {
            if count.n == 0.0 {
                self.counted.push(place);
            }
            count.n += n;
        }
    }

    /// Makes a place for a series.
    fn place(&mut self, key: Key, definition: &SeriesDef) -> usize {
        // Beyond the store's limit the registry counts the refusal.
        let series = self.counters.registry.intern(definition).ok();
        self.counts.push(Count {
            series,
            n: 0.0,
            last: None,
        });
        self.places.insert(key, self.counts.len() - 1);
        self.counts.len() - 1
    }

    /// Turns the counts of the slot into rows.
    fn end_slot(&mut self) {
        let (slot, time) = (self.slot, self.time);
        let mut push = |series, time, n| {
            self.rows.push(SampleRow {
                series,
                time,
                reading: Reading::Increase(n),
            });
        };
        for place in self.counted.drain(..) {
            let Some(count) = self.counts.get_mut(place) else {
                continue;
            };
            // A series may stand here twice when a sum of nothing was added to.
            let n = std::mem::take(&mut count.n);
            let Some(series) = count.series.filter(|_| n > 0.0) else {
                continue;
            };
            let follows = |last| (0..=QUIET_SLOTS).contains(&slot.saturating_sub(last));
            if !count.last.is_some_and(follows) {
                push(series, Timestamp(time.0.saturating_sub(STEP_MS)), 0.0);
            }
            push(series, time, n);
            count.last = Some(slot);
        }
    }

    /// The series of a key, unless its place was made with [`Self::add_defined`].
    fn definition(&self, key: Key) -> Option<SeriesDef> {
        let vhost = |index: u16| {
            let name = self
                .vhosts
                .iter()
                .find(|(_, i)| **i == index)
                .map(|(n, _)| n);
            String::from_utf8_lossy(name.map_or(&b""[..], |n| n)).into_owned()
        };
        let (name, help, mut pairs) = match key {
            Key::Events(level) => {
                let level = Severity::from_number(level).map_or("unknown", Severity::as_str);
                let pairs = vec![("source", self.source.clone()), ("level", level.to_owned())];
                (
                    "vigie_log_events_total",
                    "Log events by source and level.",
                    pairs,
                )
            }
            Key::Requests {
                vhost: v,
                method,
                code,
            } => {
                let method = METHODS.get(usize::from(method)).copied().unwrap_or(OTHER);
                let code = if code == 0 {
                    OTHER.to_owned()
                } else {
                    code.to_string()
                };
                let pairs = vec![
                    ("vhost", vhost(v)),
                    ("method", method.to_owned()),
                    ("code", code),
                ];
                ("http_requests_total", "Requests in access logs.", pairs)
            }
            Key::Bytes { vhost: v } => (
                "http_response_size_bytes_total",
                "Bytes sent, by access logs.",
                vec![("vhost", vhost(v))],
            ),
            Key::Bots { vhost: v } => (
                "http_bot_requests_total",
                "Requests whose agent says that it is a program.",
                vec![("vhost", vhost(v))],
            ),
            Key::Bucket { vhost: v, le } => {
                let le = BUCKETS.get(usize::from(le)).map_or("+Inf", |b| b.1);
                let pairs = vec![("vhost", vhost(v)), ("le", le.to_owned())];
                ("http_request_duration_seconds_bucket", DURATION, pairs)
            }
            Key::DurationSum { vhost: v } => (
                "http_request_duration_seconds_sum",
                DURATION,
                vec![("vhost", vhost(v))],
            ),
            Key::DurationCount { vhost: v } => (
                "http_request_duration_seconds_count",
                DURATION,
                vec![("vhost", vhost(v))],
            ),
            Key::Defined(..) | Key::Beyond(_) => return None,
        };
        pairs.push(("instance", self.host.clone()));
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
        Some(SeriesDef {
            labels: Labels::metric(name, &pairs),
            kind: MetricKind::Counter,
            help,
            step_ms: STEP_MS,
        })
    }

    /// What was counted since the last time, in time order for each series, and once for each slot.
    pub(crate) fn take(&mut self) -> SampleBatch {
        self.end_slot();
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by_key(|row| (row.series, row.time));
        // Lines out of order came back to a slot.
        rows.dedup_by(|row, first| {
            let same = row.series == first.series && slot_of(row.time) == slot_of(first.time);
            if same
                && let (Reading::Increase(n), Reading::Increase(m)) = (row.reading, first.reading)
            {
                (first.time, first.reading) = (row.time, Reading::Increase(n + m));
            }
            same
        });
        self.counters.alive.counted(&rows);
        SampleBatch { rows }
    }
}

/// The store's slot of a time: `(slot · S, (slot + 1) · S]`.
fn slot_of(time: Timestamp) -> i64 {
    time.0.saturating_sub(1).div_euclid(STEP_MS)
}

const DURATION: &str = "How long requests took, by access logs.";
