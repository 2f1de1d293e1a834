//! The engine on a thread of its own: when rules are due, what is written, what it says of itself.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use vigie_parsers::Timestamp;
use vigie_query::{Labels, MetricKind};
use vigie_store::incidents::{AlertState, Change, IncidentFilter};
use vigie_store::{
    Batch, Clock, Handle, Health, Reader, Reading, SampleBatch, SampleRow, SeriesDef, SeriesId,
};

use crate::lifecycle::Transition;
use crate::reboots::{self, Boots};
use crate::rules::{INTERVAL_MS, Rules};
use crate::{Engine, Memory, Result, book};

/// How far evaluation has come is kept so often, and with each transition. Shorter than any gap.
const REMEMBER_MS: i64 = 60_000;
/// What is old is forgotten so often.
const FORGET_MS: i64 = 3_600_000;
/// The machines' boots are looked at so often.
const BOOTS_MS: i64 = 60_000;
/// The figures of so long wait at most for a store that takes nothing.
const WAIT_MS: i64 = 3_600_000;
/// The stop signal is waited for so long at most, so that a clock that jumps is noticed.
const NAP_MAX: Duration = Duration::from_secs(5);

/// Evaluates the rules over a store and keeps its incident book.
#[derive(Debug)]
pub struct Watch {
    engine: Engine,
    boots: Boots,
    handle: Handle,
    reader: Reader,
    gauges: Gauges,
    remembered: Timestamp,
    forgot: Timestamp,
    boots_seen: Timestamp,
}

impl Watch {
    /// Takes up where the last one on this store ended. `instance` is the label of its own figures.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(rules: Rules, handle: Handle, reader: Reader, instance: &str) -> Result<Self> {
        let memory = reader.setting(Memory::KEY)?.unwrap_or_default();
        let boots = reader.setting(reboots::KEY)?.unwrap_or_default();
        Ok(Self {
            engine: Engine::new(rules, Memory::from_text(&memory)),
            boots: Boots::from_text(&boots),
            gauges: Gauges::new(&handle, instance),
            handle,
            reader,
            remembered: Timestamp::MIN,
            forgot: Timestamp::MIN,
            boots_seen: Timestamp::MIN,
        })
    }

    /// The engine, for what it has counted.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// When [`Watch::tick`] has something to do again.
    #[must_use]
    pub fn next_due(&self) -> Timestamp {
        self.engine.next_due()
    }

    /// Evaluates what is due and writes down what it means. Blocks until that is durable.
    ///
    /// # Errors
    /// When the store cannot be read or written. The next tick then sees the same and does the same.
    pub fn tick(&mut self, now: Timestamp) -> Result<()> {
        let started = Instant::now();
        let active = self.reader.active_alerts()?;
        let transitions = self.engine.evaluate(&self.reader, &active, now);
        for complaint in self.engine.take_complaints() {
            tracing::warn!("{complaint}");
        }
        let changes = self.watch_boots(now)?;
        let taken = started.elapsed();
        let written = self.write(transitions, changes, now);
        // Also when it was not written: figures wait in the writer until the store takes them.
        let health = self.handle.health();
        let trouble = health.trouble.as_ref();
        if trouble.is_none_or(|trouble| now.since_ms(trouble.since) < WAIT_MS) {
            self.report(&health, taken, now)?;
        }
        written
    }

    fn watch_boots(&mut self, now: Timestamp) -> Result<Option<Vec<Change>>> {
        if !passed(self.boots_seen, BOOTS_MS, now) {
            return Ok(None);
        }
        self.boots_seen = now;
        let (news, changes) = self.boots.watch(&self.reader, now)?;
        Ok(news.then_some(changes))
    }

    fn write(
        &mut self,
        transitions: Vec<Transition>,
        changes: Option<Vec<Change>>,
        now: Timestamp,
    ) -> Result<()> {
        let remember = passed(self.remembered, REMEMBER_MS, now);
        let forget = passed(self.forgot, FORGET_MS, now);
        if transitions.is_empty() && changes.is_none() && !remember && !forget {
            return Ok(());
        }
        let memory = self.engine.memory().to_text();
        let boots = changes.is_some().then(|| self.boots.to_text());
        self.handle.update(move |state| {
            book::apply(state, &transitions, now)?;
            for change in changes.iter().flatten() {
                state.add_change(change)?;
            }
            if let Some(boots) = &boots {
                state.set(reboots::KEY, Some(boots))?;
            }
            if forget {
                state.forget_old_incidents(now)?;
            }
            state.set(Memory::KEY, Some(&memory))
        })?;
        self.remembered = now;
        if forget {
            self.forgot = now;
        }
        Ok(())
    }

    /// vigie's figures about its own rules.
    fn report(&self, health: &Health, taken: Duration, now: Timestamp) -> Result<()> {
        let alerts = self.reader.active_alerts()?;
        let count = |state| alerts.iter().filter(|a| a.state == state).count();
        let open = self.reader.incidents(&IncidentFilter::unresolved())?.len();
        let counts = self.engine.counts();
        let gauge = |n: usize| Reading::Gauge(u32::try_from(n).map_or(f64::INFINITY, f64::from));
        let rows = self.gauges.rows(
            now,
            [
                Reading::Counter(counts.evaluations),
                Reading::Counter(counts.failures),
                Reading::Counter(counts.capped),
                Reading::Counter(counts.duplicates),
                Reading::Counter(health.failures),
                Reading::Gauge(taken.as_secs_f64()),
                gauge(count(AlertState::Pending)),
                gauge(count(AlertState::Firing)),
                gauge(open),
            ],
        );
        Ok(self.handle.send(Batch {
            samples: SampleBatch { rows },
            ..Batch::default()
        })?)
    }

    /// Ticks whenever rules are due, until `stop` says so or its sender is gone.
    pub fn run(mut self, clock: &Clock, stop: &Receiver<()>) {
        let mut trouble: Option<String> = None;
        loop {
            let wait = u64::try_from(self.next_due().since_ms(clock())).unwrap_or(0);
            let wait = Duration::from_millis(wait).min(NAP_MAX);
            if !matches!(stop.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                return;
            }
            let now = clock();
            if !self.engine.is_due(now) {
                continue;
            }
            // The store says itself why it does not take anything; once is enough.
            let told = self.tick(now).err().map(|e| e.to_string());
            if let Some(text) = told.as_ref().filter(|&text| trouble.as_ref() != Some(text)) {
                tracing::error!("rules: {text}");
            }
            trouble = told;
        }
    }
}

/// So long ago, or in the future: the clock was set back.
fn passed(since: Timestamp, ms: i64, now: Timestamp) -> bool {
    now < since || now.since_ms(since) >= ms
}

const FIGURES: [(&str, &str, MetricKind, &str); 9] = [
    (
        "vigie_rule_evaluations_total",
        "",
        MetricKind::Counter,
        "Rules evaluated.",
    ),
    (
        "vigie_rule_evaluation_failures_total",
        "",
        MetricKind::Counter,
        "Rules without an answer.",
    ),
    (
        "vigie_rule_alerts_capped_total",
        "",
        MetricKind::Counter,
        "Results beyond a rule's limit of alerts.",
    ),
    (
        "vigie_rule_duplicates_total",
        "",
        MetricKind::Counter,
        "Results with the labels of another result.",
    ),
    (
        "vigie_store_commit_failures_total",
        "",
        MetricKind::Counter,
        "Commits of the store that failed.",
    ),
    (
        "vigie_rule_evaluation_duration_seconds",
        "",
        MetricKind::Gauge,
        "Time the last evaluation took.",
    ),
    (
        "vigie_alerts",
        "pending",
        MetricKind::Gauge,
        "Alerts by state.",
    ),
    (
        "vigie_alerts",
        "firing",
        MetricKind::Gauge,
        "Alerts by state.",
    ),
    (
        "vigie_incidents_open",
        "",
        MetricKind::Gauge,
        "Incidents that are not resolved.",
    ),
];

/// The series of [`FIGURES`]; one that the store refused is left out.
#[derive(Debug)]
struct Gauges([Option<SeriesId>; FIGURES.len()]);

impl Gauges {
    fn new(handle: &Handle, instance: &str) -> Self {
        Self(FIGURES.map(|(name, state, kind, help)| {
            let def = SeriesDef {
                labels: Labels::metric(name, &[("instance", instance), ("state", state)]),
                kind,
                help,
                step_ms: INTERVAL_MS,
            };
            handle.registry().intern(&def).ok()
        }))
    }

    fn rows(&self, time: Timestamp, readings: [Reading; FIGURES.len()]) -> Vec<SampleRow> {
        let pairs = self.0.iter().zip(readings);
        pairs
            .filter_map(|(series, reading)| {
                Some(SampleRow {
                    series: (*series)?,
                    time,
                    reading,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
