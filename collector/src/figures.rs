//! Figures from lines as they arrive: requests by virtual host, method and code, and events by level.
//!
//! They travel in the same batch as their lines, as increases, so they count each line once. They
//! stand at the time of the last line in each slot of [`STEP_MS`]. A count that follows no other has
//! an increase of 0 one step before it, so that `increase` and `rate` see a single event.

use std::sync::Arc;

use foldhash::HashMap;
use vigie_parsers::web::is_bot;
use vigie_parsers::{Event, Field, Name, Origin, Record, Severity, Timestamp};
use vigie_query::{Labels, MetricKind};
use vigie_store::{Reading, SampleBatch, SampleRow, SeriesDef, SeriesId};

use crate::counts::{Counters, Rule};

/// The distance of the figures.
const STEP_MS: i64 = 10_000;
/// A count so many slots after the last one has a zero before it.
const QUIET_SLOTS: i64 = 3;
/// Virtual hosts of one source with a series of their own; the rest are `other`. Clients choose the
/// names in some formats.
const VHOSTS_MAX: usize = 200;
/// The virtual host of a line that names none.
const VHOST_DEFAULT: &str = "default";
/// Agents remembered; cleared when there are more.
const AGENTS_MAX: usize = 4096;
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
    /// Whether an agent is a robot.
    agents: HashMap<Box<[u8]>, bool>,
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

/// What an access line says.
#[derive(Default)]
struct Request<'a> {
    vhost: Option<&'a [u8]>,
    method: &'a [u8],
    status: Option<u16>,
    bytes: Option<f64>,
    duration: Option<f64>,
    agent: Option<&'a [u8]>,
}

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
        let counts = self.counters.counts.clone();
        if counts.is_empty() {
            return;
        }
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
        if let Some(&known) = self.agents.get(agent) {
            return known;
        }
        if self.agents.len() >= AGENTS_MAX {
            self.agents.clear();
        }
        let bot = is_bot(agent);
        self.agents.insert(agent.into(), bot);
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

impl<'a> Request<'a> {
    /// A line with a method and a status is an access line, whatever its format. Of two pieces for one
    /// field the first counts, as in a query.
    fn read(line: &'a [u8], record: &Record) -> Option<Self> {
        let mut request = Self::default();
        let mut found = false;
        for span in &record.fields {
            let Name::Known(field) = span.name else {
                continue;
            };
            let text = span.text(line);
            match field {
                Field::Vhost => request.vhost = request.vhost.or(Some(text)),
                Field::Method if request.method.is_empty() => request.method = text,
                Field::Status if !found => {
                    found = true;
                    request.status = number(text).and_then(|n| u16::try_from(n).ok());
                }
                Field::Bytes if request.bytes.is_none() => {
                    request.bytes = number(text).map(float);
                }
                Field::Duration if request.duration.is_none() => {
                    request.duration = seconds(&span.value(line));
                }
                Field::Agent => request.agent = request.agent.or(Some(text)),
                _ => {}
            }
        }
        (found && (!request.method.is_empty() || record.find("request").is_some()))
            .then_some(request)
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vigie_parsers::formats::Detector;
    use vigie_parsers::{Context, Record};
    use vigie_store::{Options, Writer};

    use super::*;

    /// Counts lines that come at 2026-11-21T06:00Z; what came of it, by series and unix seconds.
    fn count(lines: &[&str]) -> BTreeMap<String, Vec<(i64, f64)>> {
        let dir = tempfile::tempdir().unwrap();
        let recv = Timestamp(1_795_240_800_000);
        let writer = Writer::open(dir.path(), &Options::default(), recv).unwrap();
        let counters = Counters::new(writer.registry(), &[]);
        let mut figures = Figures::new(counters, "file:a", "vm");
        let mut context = Context::new(recv, jiff::tz::TimeZone::UTC);
        let (mut detector, mut record) = (Detector::default(), Record::default());
        for line in lines {
            detector.parse(&mut context, line.as_bytes(), &mut record);
            figures.count(recv, line.as_bytes(), &record);
        }
        let rows = figures.take().rows;
        assert!(rows.is_sorted_by_key(|r| (r.series, r.time)));
        let keys: Vec<_> = figures
            .places
            .iter()
            .map(|(k, p)| (*k, figures.counts[*p].series))
            .collect();
        let mut found = BTreeMap::<String, Vec<(i64, f64)>>::new();
        for row in rows {
            let key = keys
                .iter()
                .find(|(_, id)| *id == Some(row.series))
                .unwrap()
                .0;
            let labels = figures
                .definition(key)
                .unwrap()
                .labels
                .to_string()
                .replace("instance=\"vm\",", "");
            let labels = labels.replace("{instance=\"vm\"}", "");
            let Reading::Increase(n) = row.reading else {
                panic!()
            };
            found
                .entry(labels)
                .or_default()
                .push((row.time.0 / 1000, n));
        }
        found
    }

    fn access(time: &str, request: &str, rest: &str) -> String {
        format!("192.0.2.7 - - [21/Nov/2026:{time} +0000] \"{request}\" {rest}")
    }

    #[test]
    fn access_lines_by_host_method_and_code() {
        let lines = [
            access(
                "05:59:51",
                "GET / HTTP/1.1",
                "200 100 \"-\" \"Mozilla/5.0\"",
            ),
            access(
                "05:59:59",
                "GET /x HTTP/1.1",
                "200 50 \"-\" \"GoogleBot/2\"",
            ),
            access("05:59:40", "BREW /pot HTTP/1.1", "418 7 \"-\" \"-\""),
            // Late, in a slot that was left.
            access("05:59:52", "GET / HTTP/1.1", "304 0 \"-\" \"Mozilla/5.0\""),
        ];
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let found = count(&lines);
        let get = |series: &str| found.get(series).map(Vec::as_slice).unwrap_or_default();
        // The slots are (05:59:50, 06:00:00] and (05:59:30, 05:59:40].
        let (t, earlier) = (1_795_240_799, 1_795_240_780);
        let late = t - 7;
        let requests = |m: &str, c: &str| {
            format!("http_requests_total{{code=\"{c}\",method=\"{m}\",vhost=\"default\"}}")
        };
        let requests = |m: &str, c: &str| {
            // Labels are sorted: `code` comes before `instance`.
            let name = requests(m, c);
            get(&name).to_vec()
        };
        assert_eq!(
            requests("GET", "200"),
            [(t - 10, 0.0), (t, 2.0)],
            "{found:#?}"
        );
        assert_eq!(
            requests("other", "418"),
            [(earlier - 10, 0.0), (earlier, 1.0)]
        );
        assert_eq!(requests("GET", "304"), [(late - 10, 0.0), (late, 1.0)]);
        let bytes = "http_response_size_bytes_total{vhost=\"default\"}";
        // One that comes back to an earlier slot has a zero of its own.
        let zeros = [(earlier - 10, 0.0), (t - 10, 0.0)];
        assert_eq!(get(bytes), [zeros[0], (earlier, 7.0), zeros[1], (t, 150.0)]);
        assert_eq!(
            get("http_bot_requests_total{vhost=\"default\"}"),
            [(t - 10, 0.0), (t, 1.0)]
        );
        let events: f64 = found
            .iter()
            .filter(|(k, _)| k.starts_with("vigie_log_events_total"))
            .flat_map(|(_, rows)| rows.iter().map(|r| r.1))
            .sum();
        assert!((events - 4.0).abs() < 1e-9);
    }

    /// The same request as every kind of server writes it: the same figures.
    #[test]
    fn requests_count_alike_in_all_formats() {
        let agent = "Mozilla/5.0 (compatible; Googlebot/2.1)";
        let time = "21/Nov/2026:05:59:51 +0000";
        let request = "GET /a?b=c HTTP/1.1";
        let iso = "2026-11-21T05:59:51Z";
        let access = format!(
            "www.example.org:80 192.0.2.7 - - [{time}] \"{request}\" 502 512 \"-\" \"{agent}\" 0.25"
        );
        let nginx = format!(
            r#"{{"time":"{iso}","remote_addr":"192.0.2.7","server_name":"www.example.org","request":"{request}","status":502,"body_bytes_sent":512,"request_time":0.25,"http_user_agent":"{agent}"}}"#
        );
        let caddy = format!(
            r#"{{"level":"error","ts":1795240791.5,"logger":"http.log.access","msg":"handled request","request":{{"remote_ip":"192.0.2.7","remote_port":"5123","client_ip":"192.0.2.7","proto":"HTTP/1.1","method":"GET","host":"www.example.org:443","uri":"/a?b=c","headers":{{"User-Agent":["{agent}"],"Accept":["*/*"]}}}},"bytes_read":0,"user_id":"","duration":0.25,"size":512,"status":502}}"#
        );
        let traefik = format!(
            r#"{{"ClientHost":"192.0.2.7","DownstreamContentSize":512,"DownstreamStatus":502,"Duration":250000000,"OriginStatus":502,"RequestHost":"www.example.org","RequestMethod":"GET","RequestPath":"/a?b=c","RequestProtocol":"HTTP/1.1","level":"info","msg":"","request_User-Agent":"{agent}","time":"{iso}"}}"#
        );
        let pino = format!(
            r#"{{"level":30,"time":1795240791500,"req":{{"method":"GET","url":"/a?b=c","headers":{{"host":"www.example.org","user-agent":"{agent}"}},"remoteAddress":"192.0.2.7"}},"res":{{"statusCode":502}},"response_size":1,"bytes":512,"responseTime":250,"msg":"request completed"}}"#
        );
        let columns = "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status sc-bytes cs(Host) cs(User-Agent) time-taken";
        let w3c = format!(
            "2026-11-21 05:59:51 192.0.2.7 GET /a b=c 502 512 www.example.org {} 250",
            agent.replace(' ', "+")
        );
        let want = |name: &str, labels: &str| {
            let labels = format!("{labels}vhost=\"www.example.org\"");
            format!("{name}{{{labels}}}")
        };
        let want = [
            (
                want("http_requests_total", "code=\"502\",method=\"GET\","),
                1.0,
            ),
            (want("http_response_size_bytes_total", ""), 512.0),
            (want("http_bot_requests_total", ""), 1.0),
            (want("http_request_duration_seconds_sum", ""), 0.25),
            (
                want("http_request_duration_seconds_bucket", "le=\"0.25\","),
                1.0,
            ),
        ];
        for lines in [
            vec![&*access],
            vec![&nginx],
            vec![&caddy],
            vec![&traefik],
            vec![&pino],
            vec![columns, &w3c],
        ] {
            let found = count(&lines);
            for (series, n) in &want {
                let rows = found.get(series).map(Vec::as_slice).unwrap_or_default();
                let sum: f64 = rows.iter().map(|r| r.1).sum();
                assert!(
                    (sum - n).abs() < 1e-9,
                    "{lines:?}: {series}: {rows:?}\n{found:#?}"
                );
            }
            let errors: f64 = found
                .iter()
                .filter(|(k, _)| k.contains("level=\"err\""))
                .flat_map(|(_, rows)| rows.iter().map(|r| r.1))
                .sum();
            assert!((errors - 1.0).abs() < 1e-9, "{lines:?}");
        }
    }

    /// HAProxy names no virtual host.
    #[test]
    fn requests_through_haproxy_count() {
        let line = "192.0.2.7:40048 [21/Nov/2026:05:59:51.454] web app/s1 0/0/0/249/250 200 194 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"";
        let found = count(&[line]);
        for series in [
            "http_requests_total{code=\"200\",method=\"GET\",vhost=\"default\"}",
            "http_request_duration_seconds_bucket{le=\"0.25\",vhost=\"default\"}",
        ] {
            assert!(found.contains_key(series), "{found:#?}");
        }
    }

    #[test]
    fn a_line_from_the_future_counts_when_it_arrives() {
        for time in ["06:00:01", "09:00:00"] {
            let found = count(&[&access(time, "GET / HTTP/1.1", "200 1")]);
            let at = 1_795_240_800;
            assert!(found.len() >= 3);
            for rows in found.values() {
                assert_eq!(rows, &[(at - 10, 0.0), (at, 1.0)]);
            }
        }
    }

    #[test]
    fn a_stamp_lies_in_the_slot_of_its_lines() {
        for (second, slot) in [(49, 4), (50, 4), (51, 5), (59, 5)] {
            let line = access(&format!("05:59:{second}"), "GET / HTTP/1.1", "200 1");
            let found = count(&[&line]);
            let counted = found.values().flatten().filter(|row| row.1 > 0.0);
            for (at, _) in counted {
                assert_eq!(*at, 1_795_240_740 + second, "never before the line");
                let time = Timestamp(at * 1000);
                assert_eq!(slot_of(time) - slot_of(Timestamp(1_795_240_740_001)), slot);
            }
        }
    }

    #[test]
    fn a_count_after_silence_has_a_zero_before_it() {
        let lines = ["05:58:05", "05:58:15", "05:58:45", "05:59:25"];
        let lines = lines.map(|time| access(time, "GET / HTTP/1.1", "200 1"));
        let found = count(&lines.each_ref().map(String::as_str));
        let at = |second: i64| 1_795_240_680 + second;
        let want = [
            (-5, 0.0),
            (5, 1.0),
            (15, 1.0),
            (45, 1.0),
            (75, 0.0),
            (85, 1.0),
        ];
        let want = want.map(|(second, n)| (at(second), n));
        for rows in found.values() {
            assert_eq!(rows, &want);
        }
    }

    /// What lines of two containers give for one counter, by labels.
    fn defined(table: &str, lines: &[&str]) -> BTreeMap<String, f64> {
        use crate::lines::Lines;
        let dir = tempfile::tempdir().unwrap();
        let recv = Timestamp(1_795_240_800_000);
        let mut writer = Writer::open(dir.path(), &Options::default(), recv).unwrap();
        let count: crate::config::Count = toml::from_str(table).unwrap();
        let counters = Counters::new(writer.registry(), &[count]);
        // Two sources share the limit.
        for service in ["web", "db"] {
            let mut reader = Lines::new(&counters, service, "vm", jiff::tz::TimeZone::UTC);
            let origin = Arc::new(Origin {
                source: format!("docker:{service}"),
                fields: vec![("service".to_owned(), service.to_owned())],
            });
            let mut events = vigie_store::EventBatch::default();
            for line in lines {
                reader.push(&mut events, recv, &origin, line.as_bytes());
            }
            writer.apply(vigie_store::Batch {
                events,
                samples: reader.figures(),
                ..vigie_store::Batch::default()
            });
        }
        writer.commit(recv).unwrap();
        let reader = vigie_store::Reader::open(dir.path()).unwrap();
        let asked = "{__name__=~\"shop_.*|vigie_count_.*\"}";
        let expr = vigie_query::promql::parse(asked).unwrap();
        let params = vigie_query::promql::Params::default();
        let answer = vigie_query::promql::instant(&reader, &expr, recv, &params).unwrap();
        let vigie_query::promql::Value::Vector(found) = answer.value else {
            panic!("no vector")
        };
        let labels =
            |e: &vigie_query::promql::Element| e.labels.to_string().replace("instance=\"vm\",", "");
        found.iter().map(|e| (labels(e), e.sample.value)).collect()
    }

    #[test]
    fn counters_of_the_operators_count_what_their_query_finds() {
        let lines = [
            "level=error msg=\"payment failed\" code=51 user=\"a\"",
            "level=error msg=\"payment failed\" code=51",
            "level=info msg=\"payment done\"",
            "level=error msg=\"payment failed\" code=\"é\"",
        ];
        let table = "name = 'shop_payments_failed_total'\nquery = 'level:error \"payment failed\"'\nby = ['service', 'code']\nlimit = 3";
        let found = defined(table, &lines);
        let series = |code: &str, service: &str| {
            format!("shop_payments_failed_total{{code=\"{code}\",service=\"{service}\"}}")
        };
        let get = |name: &str| found.get(name).copied();
        assert_eq!(get(&series("51", "web")), Some(2.0), "{found:#?}");
        assert_eq!(get(&series("51", "db")), Some(2.0), "{found:#?}");
        assert_eq!(get(&series("other", "other")), Some(1.0), "{found:#?}");
        let beyond = "vigie_count_beyond_limit_total{count=\"shop_payments_failed_total\"}";
        let beyond = found.iter().find(|(k, _)| k.starts_with(&beyond[..60]));
        assert_eq!(beyond.map(|b| *b.1), Some(1.0), "{found:#?}");
        assert_eq!(
            found.values().sum::<f64>(),
            7.0,
            "each line once, one beyond: {found:#?}"
        );
    }

    #[test]
    fn a_counter_without_labels_or_with_absent_fields() {
        let lines = ["GET /", "nothing"];
        let found = defined(
            "name = 'shop_lines_total'\nquery = ''\nby = ['nosuch']",
            &lines,
        );
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("shop_lines_total{instance=\"vm\"}".to_owned(), 4.0)]
        );
    }

    #[test]
    fn hosts_that_clients_make_up_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(dir.path(), &Options::default(), Timestamp(0)).unwrap();
        let mut figures = Figures::new(Counters::new(writer.registry(), &[]), "x", "vm");
        let places: Vec<_> = (0..1000)
            .map(|i| figures.vhost(Some(format!("h{i}").as_bytes())))
            .collect();
        assert_eq!(figures.vhosts.len(), VHOSTS_MAX + 1);
        assert_eq!(places[999], places[500]);
        assert_ne!(places[0], places[1]);
    }
}
