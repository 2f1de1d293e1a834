//! Keeps the counters of lines in sight while nothing is counted: an increase of 0 now and then.
//!
//! `PromQL` looks five minutes back and wants two samples for an increase. A counter that only has
//! samples where something was counted would come and go.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use vigie_parsers::Timestamp;
use vigie_store::{Reading, SampleRow, SeriesId};

/// The distance of the zeros; ten of them fit into what `PromQL` looks back.
const STEP_MS: i64 = 30_000;
/// A series that counted nothing for so long is let go; its next count brings its own zero.
const KEPT_MS: i64 = 24 * 3_600_000;

/// The counters that lines have fed in the last day, by when they last did: never more than the
/// store has series. Cheap to clone, shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alive(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    counted: HashMap<SeriesId, Timestamp>,
    /// When the last zeros were, in steps.
    last: i64,
}

impl Alive {
    /// Remembers that something was counted.
    pub(crate) fn counted(&self, rows: &[SampleRow]) {
        if rows.is_empty() {
            return;
        }
        let inner = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let last = inner.counted.entry(row.series).or_insert(row.time);
            *last = row.time.max(*last);
        }
    }

    /// The zeros, if it is time for them again.
    pub(crate) fn zeros(&self, now: Timestamp) -> Vec<SampleRow> {
        let inner = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let step = now.0.div_euclid(STEP_MS);
        if step == inner.last {
            return Vec::new();
        }
        inner.last = step;
        inner
            .counted
            .retain(|_, last| now.since_ms(*last) < KEPT_MS);
        let zero = |&series| SampleRow {
            series,
            time: now,
            reading: Reading::Increase(0.0),
        };
        inner.counted.keys().map(zero).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use tempfile::TempDir;
    use vigie_parsers::Origin;
    use vigie_query::promql::{self, Params, Value};
    use vigie_store::{Batch, EventBatch, Options, Reader, SampleBatch, Synchronous, Writer};

    use super::*;
    use crate::counts::Counters;
    use crate::lines::Lines;

    /// A store, the lines of one web server, and the zeros in between.
    struct House {
        dir: TempDir,
        writer: Writer,
        alive: Alive,
        lines: Lines,
        now: Timestamp,
    }

    impl House {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let now = Timestamp(1_795_240_803_217);
            let options = Options {
                synchronous: Synchronous::Normal,
                ..Options::default()
            };
            let writer = Writer::open(dir.path(), &options, now).unwrap();
            let counters = Counters::new(writer.registry(), &[]);
            let alive = counters.alive.clone();
            Self {
                lines: Lines::new(&counters, "file:a", "vm", TimeZone::UTC),
                dir,
                alive,
                writer,
                now,
            }
        }

        fn commit(&mut self, rows: Vec<SampleRow>) {
            self.writer.apply(Batch {
                samples: SampleBatch { rows },
                ..Batch::default()
            });
            self.writer.commit(self.now).unwrap();
        }

        /// So much time without a line.
        fn pass(&mut self, seconds: i64) {
            for _ in 0..seconds / 5 {
                self.now = Timestamp(self.now.0 + 5000);
                let zeros = self.alive.zeros(self.now);
                self.commit(zeros);
            }
        }

        /// A request of `ago` seconds before.
        fn request(&mut self, code: u16, ago: i64) {
            let origin = Arc::new(Origin {
                source: "file:a".to_owned(),
                fields: Vec::new(),
            });
            let at = jiff::Timestamp::from_millisecond(self.now.0 - ago * 1000).unwrap();
            let at = at.strftime("%d/%b/%Y:%H:%M:%S +0000");
            let line = format!("192.0.2.7 - - [{at}] \"GET / HTTP/1.1\" {code} 7 \"-\" \"-\"");
            let mut batch = EventBatch::default();
            self.lines
                .push(&mut batch, self.now, &origin, line.as_bytes());
            let rows = self.lines.figures().rows;
            self.commit(rows);
        }

        fn ask(&self, expression: &str) -> Vec<f64> {
            let reader = Reader::open(self.dir.path()).unwrap();
            let expr = promql::parse(expression).unwrap();
            let answer = promql::instant(&reader, &expr, self.now, &Params::default()).unwrap();
            let Value::Vector(found) = answer.value else {
                panic!("no vector")
            };
            found.iter().map(|e| e.sample.value).collect()
        }
    }

    fn is_about(found: &[f64], n: f64) -> bool {
        matches!(found, [one] if (one - n).abs() < 0.15)
    }

    #[test]
    fn the_first_event_of_a_series_is_an_increase() {
        let mut house = House::new();
        house.request(502, 0);
        let asked = "increase(http_requests_total{code=\"502\"}[40m])";
        assert!(is_about(&house.ask(asked), 1.0), "{:?}", house.ask(asked));
        house.pass(600);
        assert!(is_about(&house.ask(asked), 1.0), "{:?}", house.ask(asked));
        let last = house.ask("http_requests_total{code=\"502\"}");
        assert_eq!(last, [1.0], "in sight after ten minutes of silence");
    }

    #[test]
    fn one_event_after_silence_is_an_increase_of_one() {
        let mut house = House::new();
        house.request(502, 0);
        house.pass(600);
        assert_eq!(house.ask("increase(http_requests_total[5m])"), [0.0]);
        house.request(502, 0);
        for asked in [
            "increase(http_requests_total[5m])",
            "increase(vigie_log_events_total[5m])",
        ] {
            assert!(is_about(&house.ask(asked), 1.0), "{:?}", house.ask(asked));
        }
        // One that was late counts where it belongs.
        house.request(502, 120);
        assert!(is_about(
            &house.ask("increase(http_requests_total[1m])"),
            1.0
        ));
        assert!(is_about(
            &house.ask("increase(http_requests_total[5m])"),
            2.0
        ));
        assert_eq!(house.ask("http_requests_total"), [3.0]);
    }

    #[test]
    fn one_event_after_a_silence_without_zeros_is_an_increase() {
        let mut house = House::new();
        house.request(502, 0);
        house.now = Timestamp(house.now.0 + 2 * KEPT_MS);
        house.request(502, 0);
        let asked = "increase(http_requests_total[5m])";
        assert!(
            // Two samples: PromQL extrapolates by as much as half of their distance on both sides.
            matches!(house.ask(asked)[..], [n] if (1.0..=2.0).contains(&n)),
            "{:?}",
            house.ask(asked)
        );
    }

    #[test]
    fn a_series_is_let_go_after_a_day_and_zeros_come_each_half_minute() {
        let row = |series, time| SampleRow {
            series: SeriesId(series),
            time: Timestamp(time),
            reading: Reading::Increase(1.0),
        };
        let alive = Alive::default();
        let t = 1_795_240_803_217;
        alive.counted(&[row(1, t), row(2, t + STEP_MS), row(1, t - 5000)]);
        let zeros = |at| {
            let mut rows = alive.zeros(Timestamp(at));
            rows.sort_by_key(|r| r.series);
            rows.iter().map(|r| r.series.0).collect::<Vec<_>>()
        };
        assert_eq!(zeros(t), [1, 2]);
        assert!(zeros(t + 1000).is_empty());
        assert_eq!(zeros(t + STEP_MS), [1, 2]);
        assert_eq!(zeros(t + KEPT_MS), [2]);
        assert!(zeros(t + KEPT_MS + STEP_MS).is_empty());
    }
}
