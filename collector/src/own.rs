//! vigie's own figures: what its sources brought and dropped, and what the process costs.

use vigie_parsers::Timestamp;
use vigie_store::series::Population;
use vigie_store::{Registry, SampleBatch, SourceReport};

use crate::sources::emitter::{Emitter, Metric, metric};
use crate::sources::text::{gauge, number, words};

/// The distance of these figures: every second report.
const STEP_MS: i64 = 10_000;
/// Sources with figures of their own; `vigie status` has all.
const SOURCES_MAX: usize = 200;

const EVENTS: Metric = metric(
    "vigie_source_events_total",
    "Events and samples a source brought.",
    &["source"],
);
const BYTES: Metric = metric(
    "vigie_source_bytes_total",
    "Bytes a source brought.",
    &["source"],
);
const LAG: Metric = metric(
    "vigie_source_lag_bytes",
    "Bytes that wait to be read.",
    &["source"],
);
const UP: Metric = metric("vigie_source_up", "Whether a source works.", &["source"]);
const DROPPED: Metric = metric(
    "vigie_source_dropped_total",
    "What a source dropped, by reason.",
    &["source", "reason"],
);
const BUILD: Metric = metric("vigie_build_info", "This vigie; always 1.", &["version"]);
const CPU: Metric = metric(
    "process_cpu_seconds_total",
    "Seconds of CPU, user and system, of vigie itself.",
    &["job"],
);
const RESIDENT: Metric = metric(
    "process_resident_memory_bytes",
    "Resident memory of vigie itself.",
    &["job"],
);
const OPEN: Metric = metric("process_open_fds", "Open files of vigie itself.", &["job"]);
const STARTED: Metric = metric(
    "process_start_time_seconds",
    "When vigie started, in unix time.",
    &["job"],
);
const SERIES: Metric = metric("vigie_series", "Series in the store.", &[]);
const REFUSED: Metric = metric(
    "vigie_series_refused_total",
    "New series refused, because of store.series_max, series_max_per_source or series_budget.",
    &[],
);
const RESERVED: Metric = metric(
    "vigie_series_reserved_bytes",
    "What the rings of all series are expected to occupy once they are full.",
    &[],
);
const UNMOVED: Metric = metric(
    "vigie_series_unmoved",
    "Series that keep old archives because others would not fit into store.series_budget.",
    &[],
);
const CUT: Metric = metric(
    "vigie_pages_cut_total",
    "Pages of figures with fewer digits, or not kept, because of store.series_budget.",
    &["result"],
);
const SAMPLES: Metric = metric(
    "vigie_samples_total",
    "Readings by what became of them.",
    &["result"],
);
const COUNTER_EVENTS: Metric = metric(
    "vigie_counter_events_total",
    "What counters did besides growing.",
    &["event"],
);
const JOB: &[u8] = b"vigie";

pub(crate) struct Own {
    registry: Registry,
    out: Emitter,
    started: Option<Timestamp>,
    last: i64,
}

impl Own {
    pub(crate) fn new(registry: Registry, host: &str) -> Self {
        let series = registry.of("vigie");
        let intern = move |def: &_| series.intern(def).ok();
        Self {
            registry,
            out: Emitter::new(Box::new(intern), host, STEP_MS),
            started: None,
            last: i64::MIN,
        }
    }

    /// The figures, if it is time for them again.
    pub(crate) fn read(&mut self, now: Timestamp, reports: &[SourceReport]) -> SampleBatch {
        let slot = now.0.div_euclid(STEP_MS);
        if slot == self.last {
            return SampleBatch::default();
        }
        self.last = slot;
        let started = *self.started.get_or_insert(now);
        let out = &mut self.out;
        out.begin(Timestamp(slot.saturating_mul(STEP_MS)));
        out.gauge(&BUILD, &[env!("CARGO_PKG_VERSION").as_bytes()], 1.0);
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of our age fit 53 bits"
        )]
        out.gauge(&STARTED, &[JOB], started.0 as f64 / 1000.0);
        for r in reports.iter().take(SOURCES_MAX) {
            let source = r.source.as_bytes();
            out.counter(&EVENTS, &[source], r.items);
            out.counter(&BYTES, &[source], r.bytes);
            out.gauge(&LAG, &[source], gauge(r.lag_bytes));
            let up = r.state == vigie_store::SourceState::Active;
            out.gauge(&UP, &[source], if up { 1.0 } else { 0.0 });
            for (why, n) in &r.dropped {
                out.counter(&DROPPED, &[source, why.as_bytes()], *n);
            }
        }
        store(&self.registry.population(), out);
        process(out);
        out.finish()
    }
}

/// What the store says of figures.
fn store(population: &Population, out: &mut Emitter) {
    out.gauge(&SERIES, &[], gauge(population.series as u64));
    out.counter(&REFUSED, &[], population.refused);
    out.gauge(&RESERVED, &[], gauge(population.reserved_bytes));
    out.gauge(&UNMOVED, &[], gauge(population.unmoved));
    out.counter(&CUT, &[b"shortened"], population.shortened);
    out.counter(&CUT, &[b"lost"], population.lost);
    for (result, n) in population.counts.readings() {
        out.counter(&SAMPLES, &[result.as_bytes()], n);
    }
    for (event, n) in population.counts.counters() {
        out.counter(&COUNTER_EVENTS, &[event.as_bytes()], n);
    }
}

fn process(out: &mut Emitter) {
    let usage = rustix_usage();
    if let Some(seconds) = usage {
        out.seconds(&CPU, &[JOB], seconds);
    }
    if let Ok(text) = std::fs::read("/proc/self/statm")
        && let Some(pages) = words(&text).nth(1).and_then(number)
    {
        let bytes = pages.saturating_mul(rustix::param::page_size() as u64);
        out.gauge(&RESIDENT, &[JOB], gauge(bytes));
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        out.gauge(&OPEN, &[JOB], gauge(entries.count() as u64));
    }
}

/// CPU seconds of this process, to the nanosecond.
fn rustix_usage() -> Option<f64> {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(t.tv_sec).ok()?;
    let nanos = u64::try_from(t.tv_nsec).ok()?;
    Some(gauge(seconds) + gauge(nanos) / 1e9)
}
