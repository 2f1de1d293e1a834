//! The log lines of the demonstration: recorded ones, stamped anew, more of them when more goes on.

use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::formats::Detector;
use vigie_parsers::{Context, Field, Name, Origin, Record, Timestamp};
use vigie_store::EventBatch;

use super::company::{Moment, hash, unit};

/// A log of the company.
struct Log {
    /// The input and what it knows of its lines.
    source: &'static str,
    host: &'static str,
    vhost: Option<&'static str>,
    /// Recorded lines.
    lines: &'static str,
    /// Lines a minute at full demand, and at any time.
    busy: f64,
    idle: f64,
}

macro_rules! sample {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../samples/", $path))
    };
}

const LOGS: &[Log] = &[
    Log {
        source: "file:/var/log/nginx/access.log",
        host: "web1",
        vhost: Some("www.example.org"),
        lines: sample!("combined/nginx_timed.log"),
        busy: 22.0,
        idle: 0.5,
    },
    Log {
        source: "file:/var/log/apache2/other_vhosts_access.log",
        host: "web2",
        vhost: None,
        lines: sample!("vhost_combined/apache.log"),
        busy: 9.0,
        idle: 0.2,
    },
    Log {
        source: "file:/var/log/nginx/error.log",
        host: "web1",
        vhost: None,
        lines: sample!("nginx_error/nginx.log"),
        busy: 0.1,
        idle: 0.0,
    },
    Log {
        source: "syslog:0.0.0.0:5514/udp",
        host: "web1",
        vhost: None,
        lines: sample!("rfc5424/peers.log"),
        busy: 1.2,
        idle: 0.6,
    },
    Log {
        source: "file:/var/log/postgresql/postgresql-15-main.log",
        host: "data1",
        vhost: None,
        lines: sample!("postgresql/postgresql.log"),
        busy: 0.8,
        idle: 0.1,
    },
    Log {
        source: "file:/var/log/redis/redis-server.log",
        host: "data1",
        vhost: None,
        lines: sample!("redis/redis.log"),
        busy: 0.3,
        idle: 0.1,
    },
];

/// All logs, with what their recorded lines say.
pub(super) struct Traffic {
    logs: Vec<Stream>,
    record: Record,
    detector: Detector,
    context: Context,
    line: Vec<u8>,
    count: u64,
}

struct Stream {
    log: &'static Log,
    origin: Arc<Origin>,
    /// Lines whose time stamp can be written anew.
    templates: Vec<Template>,
}

/// A recorded line and the places in it that change.
struct Template {
    line: &'static [u8],
    stamp: std::ops::Range<usize>,
    shape: Shape,
    client: Option<std::ops::Range<usize>>,
}

/// How a line writes its time.
#[derive(Clone, Copy)]
enum Shape {
    /// `21/Nov/2026:08:08:01 +0000`
    Clf,
    /// `2026-11-21T08:08:03.531268+00:00`
    Rfc3339,
    /// `2026-11-21 08:08:00.126 UTC`
    Postgres,
    /// `21 Nov 2026 08:07:51.046`
    Redis,
    /// `2026/11/21 08:07:49`
    Nginx,
}

impl Shape {
    /// The shape of a recorded stamp; `None` for those that are left out.
    fn of(stamp: &[u8]) -> Option<Self> {
        match (stamp.len(), stamp.get(2), stamp.get(4), stamp.get(10)) {
            (26, Some(b'/'), ..) => Some(Self::Clf),
            (32, _, Some(b'-'), Some(b'T')) => Some(Self::Rfc3339),
            (27, _, Some(b'-'), Some(b' ')) => Some(Self::Postgres),
            (24, Some(b' '), ..) => Some(Self::Redis),
            (19, _, Some(b'/'), _) => Some(Self::Nginx),
            _ => None,
        }
    }

    fn write(self, at: Timestamp) -> String {
        let stamp = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        let form = match self {
            Self::Clf => "%d/%b/%Y:%H:%M:%S +0000",
            Self::Rfc3339 => "%Y-%m-%dT%H:%M:%S%.6f+00:00",
            Self::Postgres => "%Y-%m-%d %H:%M:%S%.3f UTC",
            Self::Redis => "%d %b %Y %H:%M:%S%.3f",
            Self::Nginx => "%Y/%m/%d %H:%M:%S",
        };
        stamp.to_zoned(TimeZone::UTC).strftime(form).to_string()
    }
}

impl Traffic {
    pub(super) fn new() -> Self {
        let mut traffic = Self {
            logs: Vec::new(),
            record: Record::default(),
            detector: Detector::default(),
            context: Context::new(Timestamp(0), TimeZone::UTC),
            line: Vec::new(),
            count: 0,
        };
        for log in LOGS {
            let mut fields = vec![("host".to_owned(), log.host.to_owned())];
            fields.extend(log.vhost.map(|v| ("vhost".to_owned(), v.to_owned())));
            let origin = Arc::new(Origin {
                source: log.source.to_owned(),
                fields,
            });
            let templates = log
                .lines
                .lines()
                .filter_map(|l| traffic.template(l.as_bytes()))
                .collect();
            traffic.logs.push(Stream {
                log,
                origin,
                templates,
            });
        }
        traffic
    }

    fn template(&mut self, line: &'static [u8]) -> Option<Template> {
        self.detector
            .parse(&mut self.context, line, &mut self.record);
        let place = |r: &std::ops::Range<u32>| r.start as usize..r.end as usize;
        let stamp = place(&self.record.time_span);
        let shape = Shape::of(line.get(stamp.clone())?)?;
        let ip = self
            .record
            .fields
            .iter()
            .find(|s| s.name == Name::Known(Field::Ip));
        let client = ip
            .map(|s| place(&(s.start..s.end)))
            .filter(|c| c.end <= stamp.start);
        Some(Template {
            line,
            stamp,
            shape,
            client,
        })
    }

    /// Writes what was logged from `from` up to the moment.
    pub(super) fn write(&mut self, batch: &mut EventBatch, from: Timestamp, moment: &Moment) {
        let span_ms = moment.at.since_ms(from).max(1);
        let mut due: Vec<(Timestamp, usize)> = Vec::new();
        for (i, stream) in self.logs.iter().enumerate() {
            let log = stream.log;
            let wanted = (log.busy * moment.demand + log.idle) * moment.step_s / 60.0;
            let seed = hash(from.0.cast_unsigned() ^ (i as u64) << 56);
            // Part of a line is a line now and then.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a few lines"
            )]
            let lines = (wanted + unit(seed)).floor() as u64;
            for n in 0..lines {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_precision_loss,
                    reason = "within the span"
                )]
                let offset = (unit(hash(seed ^ n)) * span_ms as f64) as i64;
                due.push((from.plus_ms(offset), i));
            }
        }
        due.sort_unstable();
        for (at, i) in due {
            self.push(batch, at, i);
        }
    }

    fn push(&mut self, batch: &mut EventBatch, at: Timestamp, stream: usize) {
        self.count += 1;
        let chance = hash(at.0.cast_unsigned() ^ self.count);
        let stream = &self.logs[stream];
        let pick = usize::try_from(chance % (stream.templates.len().max(1) as u64)).unwrap_or(0);
        let Some(template) = stream.templates.get(pick) else {
            return;
        };
        self.line.clear();
        let mut copied = 0;
        if let Some(client) = &template.client {
            self.line.extend_from_slice(&template.line[..client.start]);
            let net = if chance & 1 == 0 {
                "203.0.113"
            } else {
                "198.51.100"
            };
            // A few clients come often, most of them rarely.
            let last = (unit(hash(chance)).powi(3) * 250.0).floor() + 2.0;
            self.line
                .extend_from_slice(format!("{net}.{last}").as_bytes());
            copied = client.end;
        }
        self.line
            .extend_from_slice(&template.line[copied..template.stamp.start]);
        self.line
            .extend_from_slice(template.shape.write(at).as_bytes());
        self.line
            .extend_from_slice(&template.line[template.stamp.end..]);
        self.context.recv = at;
        let (context, record) = (&mut self.context, &mut self.record);
        let format = match stream.log.source.starts_with("syslog:") {
            true => self.detector.received(context, &self.line, record),
            false => self.detector.parse(context, &self.line, record),
        };
        batch.push(at, &stream.origin, format.name, &self.line, &self.record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_log_has_lines_that_can_be_stamped_anew() {
        for stream in &Traffic::new().logs {
            assert!(!stream.templates.is_empty(), "{}", stream.log.source);
        }
    }

    #[test]
    fn lines_carry_the_time_they_were_given() {
        let at = Timestamp(1_795_242_600_000);
        let mut batch = EventBatch::default();
        let mut traffic = Traffic::new();
        let moment = Moment::new(at, at.plus_ms(-86_400_000), 600.0);
        traffic.write(&mut batch, at.plus_ms(-600_000), &moment);
        assert!(batch.len() > 20, "{}", batch.len());
        for head in batch.heads() {
            let off = at.since_ms(head.time);
            assert!(
                (0..=601_000).contains(&off),
                "{:?}",
                String::from_utf8_lossy(batch.line(head))
            );
        }
    }
}
