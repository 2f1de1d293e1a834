//! Figures from lines as they arrive: requests by virtual host, method and code, and events by level.
//!
//! They travel in the same batch as their lines, as increases, so they count each line once. They
//! stand at the time of the line, in steps of [`STEP_MS`].

use foldhash::HashMap;
use vigie_parsers::{Field, Name, Record, Severity, Timestamp};
use vigie_query::{Labels, MetricKind};
use vigie_store::{Reading, Registry, SampleBatch, SampleRow, SeriesDef, SeriesId};

/// The distance of the figures.
const STEP_MS: i64 = 10_000;
/// A line from further ahead than this has a wrong clock; it is counted when it arrives.
const AHEAD_MS: i64 = 60_000;
/// Virtual hosts of one source with a series of their own; the rest are `other`. Clients choose the
/// names in some formats.
const VHOSTS_MAX: usize = 200;
/// The virtual host of a line that names none.
const VHOST_DEFAULT: &str = "default";
const OTHER: &str = "other";
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
    registry: Registry,
    source: String,
    host: String,
    vhost: String,
    vhosts: HashMap<Box<[u8]>, u16>,
    series: HashMap<Key, Option<SeriesId>>,
    sums: HashMap<(SeriesId, i64), f64>,
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
}

/// What an access line says.
#[derive(Default)]
struct Request<'a> {
    vhost: Option<&'a [u8]>,
    method: &'a [u8],
    status: Option<u16>,
    bytes: Option<f64>,
    duration: Option<f64>,
    bot: bool,
}

impl Figures {
    pub(crate) fn new(registry: Registry, source: &str, host: &str) -> Self {
        Self {
            registry,
            source: source.to_owned(),
            host: host.to_owned(),
            vhost: VHOST_DEFAULT.to_owned(),
            vhosts: HashMap::default(),
            series: HashMap::default(),
            sums: HashMap::default(),
        }
    }

    pub(crate) fn set_vhost(&mut self, vhost: &str) {
        vhost.clone_into(&mut self.vhost);
    }

    /// Counts a line.
    pub(crate) fn count(&mut self, recv: Timestamp, line: &[u8], record: &Record) {
        let time = record
            .time
            .filter(|t| t.since_ms(recv) <= AHEAD_MS)
            .unwrap_or(recv);
        let slot = time.0.div_euclid(STEP_MS);
        self.add(
            slot,
            Key::Events(record.severity.map_or(8, |s| s as u8)),
            1.0,
        );
        if let Some(request) = Request::read(line, record) {
            self.count_request(slot, &request);
        }
    }

    fn count_request(&mut self, slot: i64, request: &Request<'_>) {
        let vhost = self.vhost(request.vhost);
        let method = METHODS.iter().position(|m| m.as_bytes() == request.method);
        let method = u8::try_from(method.unwrap_or(METHODS.len() - 1)).unwrap_or(0);
        let code = request
            .status
            .filter(|c| (100..600).contains(c))
            .unwrap_or(0);
        self.add(
            slot,
            Key::Requests {
                vhost,
                method,
                code,
            },
            1.0,
        );
        if let Some(bytes) = request.bytes {
            self.add(slot, Key::Bytes { vhost }, bytes);
        }
        if request.bot {
            self.add(slot, Key::Bots { vhost }, 1.0);
        }
        if let Some(duration) = request.duration {
            let first = BUCKETS.partition_point(|&(le, _)| le < duration);
            for le in first..=INFINITY {
                let le = u8::try_from(le).unwrap_or(u8::MAX);
                self.add(slot, Key::Bucket { vhost, le }, 1.0);
            }
            self.add(slot, Key::DurationSum { vhost }, duration);
            self.add(slot, Key::DurationCount { vhost }, 1.0);
        }
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

    fn add(&mut self, slot: i64, key: Key, n: f64) {
        let id = match self.series.get(&key) {
            Some(&id) => id,
            None => {
                let def = self.definition(key);
                // Beyond the store's limit the registry counts the refusal.
                let id = self.registry.intern(&def).ok();
                self.series.insert(key, id);
                id
            }
        };
        if let Some(id) = id {
            *self.sums.entry((id, slot)).or_default() += n;
        }
    }

    fn definition(&self, key: Key) -> SeriesDef {
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
                "Requests by robots that say so.",
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
        };
        pairs.push(("instance", self.host.clone()));
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
        SeriesDef {
            labels: Labels::metric(name, &pairs),
            kind: MetricKind::Counter,
            help,
            step_ms: STEP_MS,
        }
    }

    /// What was counted since the last time, in time order for each series.
    pub(crate) fn take(&mut self) -> SampleBatch {
        let mut rows: Vec<_> = self
            .sums
            .drain()
            .map(|((series, slot), n)| SampleRow {
                series,
                time: Timestamp(slot.saturating_mul(STEP_MS)),
                reading: Reading::Increase(n),
            })
            .collect();
        rows.sort_unstable_by_key(|row| (row.series, row.time));
        SampleBatch { rows }
    }
}

const DURATION: &str = "How long requests took, by access logs.";

impl<'a> Request<'a> {
    /// A line with a method and a status is an access line.
    fn read(line: &'a [u8], record: &Record) -> Option<Self> {
        let mut request = Self::default();
        let mut found = false;
        for span in &record.fields {
            let Name::Known(field) = span.name else {
                continue;
            };
            let text = span.text(line);
            match field {
                Field::Vhost => request.vhost = Some(text),
                Field::Method => request.method = text,
                Field::Status => {
                    found = true;
                    request.status = number(text).and_then(|n| u16::try_from(n).ok());
                }
                Field::Bytes => request.bytes = number(text).map(float),
                Field::Duration => request.duration = seconds(&span.value(line)),
                Field::Agent => request.bot = is_bot(text),
                _ => {}
            }
        }
        (found && (!request.method.is_empty() || record.find("request").is_some()))
            .then_some(request)
    }
}

/// Robots that say so: their usual words, case-blind.
fn is_bot(agent: &[u8]) -> bool {
    const WORDS: [&[u8]; 5] = [b"bot", b"crawl", b"spider", b"slurp", b"archiver"];
    agent.windows(3).enumerate().any(|(at, three)| {
        WORDS.iter().any(|word| {
            three.eq_ignore_ascii_case(&word[..3])
                && agent
                    .get(at..at + word.len())
                    .is_some_and(|w| w.eq_ignore_ascii_case(word))
        })
    })
}

fn number(text: &[u8]) -> Option<u64> {
    crate::sources::number(text)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the size of an answer is far below 2^53"
)]
fn float(n: u64) -> f64 {
    n as f64
}

fn seconds(text: &[u8]) -> Option<f64> {
    let seconds: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}
