//! The demonstration: a month of a small company, back-filled in seconds, and its life going on.
//!
//! Machines and their figures are functions of time (`company.rs`); log lines are recorded ones from
//! `samples/`, stamped anew (`traffic.rs`); what went wrong stands in `story.rs`.

mod company;
mod story;
mod traffic;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vigie_parsers::Timestamp;
use vigie_store::{Batch, Clock, Handle, Registry, SampleBatch, SampleRow, SeriesId, Writer};

use company::{Gauge, Moment};
use traffic::Traffic;

/// The machine that pages show first.
pub(crate) const FIRST_HOST: &str = company::MACHINES[0].name;

const DAY_MS: i64 = 86_400_000;
/// How often the figures are read while it goes on.
const STEP_MS: i64 = 10_000;
/// From so many milliseconds before now on figures are filled in at a distance: the rings of three
/// months, two weeks and two days keep ten minutes, a minute, ten seconds.
const STAGES: [(i64, i64); 3] = [
    (90 * DAY_MS, 600_000),
    (14 * DAY_MS, 60_000),
    (2 * DAY_MS, STEP_MS),
];
/// Log lines that are handed over at once.
const LINES_PER_BATCH: usize = 20_000;

/// The company and when its life began.
pub(crate) struct Life {
    start: Timestamp,
    days: i64,
    gauges: Vec<Gauge>,
    ids: Vec<SeriesId>,
    traffic: Traffic,
}

impl Life {
    /// A life that has lasted so many days at `now`, known to a store.
    pub(crate) fn new(registry: &Registry, now: Timestamp, days: i64) -> vigie_store::Result<Self> {
        // The disks have filled for a month, however much of it is told.
        let start = Timestamp((now.0 - days.max(30) * DAY_MS).div_euclid(DAY_MS) * DAY_MS);
        let gauges = company::series(STEP_MS);
        let ids = gauges
            .iter()
            .map(|g| registry.intern(&g.def))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            start,
            days,
            gauges,
            ids,
            traffic: Traffic::new(),
        })
    }

    /// Fills a store up to `now`.
    pub(crate) fn fill(&mut self, writer: &mut Writer, now: Timestamp) -> vigie_store::Result<()> {
        for (i, &(back_ms, step_ms)) in STAGES.iter().enumerate() {
            let back_ms = back_ms.min(self.days * DAY_MS);
            let from = now.plus_ms(-back_ms);
            let until = STAGES
                .get(i + 1)
                .map_or(now, |&(back_ms, _)| now.plus_ms(-back_ms));
            let first = from.0.div_euclid(step_ms) + 1;
            let last = until.0.div_euclid(step_ms);
            let life = &*self;
            let rows = (first..=last).flat_map(|n| life.read(Timestamp(n * step_ms), step_ms));
            writer.backfill(rows, step_ms, now)?;
        }
        let mut batch = Batch::default();
        let mut at = now.plus_ms(-self.days * DAY_MS);
        while at < now {
            let until = Timestamp((at.0 + 60_000).min(now.0));
            let moment = Moment::new(until, self.start, 60.0);
            self.traffic.write(&mut batch.events, at, &moment);
            at = until;
            if batch.events.len() >= LINES_PER_BATCH {
                writer.apply(std::mem::take(&mut batch));
                writer.commit(now)?;
            }
        }
        writer.apply(batch);
        writer.update(now, |state| story::write(state, now))
    }

    /// What all machines read at a time.
    fn read(&self, at: Timestamp, step_ms: i64) -> impl Iterator<Item = SampleRow> + '_ {
        #[expect(clippy::cast_precision_loss, reason = "at most ten minutes")]
        let moment = Moment::new(at, self.start, step_ms as f64 / 1000.0);
        self.gauges
            .iter()
            .zip(&self.ids)
            .map(move |(g, &series)| SampleRow {
                series,
                time: at,
                reading: (g.read)(&moment),
            })
    }

    /// Goes on living until `stop`.
    pub(crate) fn go_on(mut self, handle: &Handle, clock: &Clock, stop: &CancellationToken) {
        let mut seen = clock();
        while !stop.is_cancelled() {
            std::thread::sleep(Duration::from_millis(500));
            let now = clock();
            let mut batch = Batch::default();
            for n in seen.0.div_euclid(STEP_MS) + 1..=now.0.div_euclid(STEP_MS) {
                batch
                    .samples
                    .rows
                    .extend(self.read(Timestamp(n * STEP_MS), STEP_MS));
            }
            #[expect(clippy::cast_precision_loss, reason = "half a second")]
            let moment = Moment::new(now, self.start, now.since_ms(seen) as f64 / 1000.0);
            self.traffic.write(&mut batch.events, seen, &moment);
            seen = now;
            let SampleBatch { rows } = &batch.samples;
            let nothing = rows.is_empty() && batch.events.is_empty();
            if !nothing && handle.send(batch).is_err() {
                return;
            }
        }
    }
}
