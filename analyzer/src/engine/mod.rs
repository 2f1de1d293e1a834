//! The rule engine: groups when they are due, rules over a source of series, alerts as they live.
//!
//! The engine keeps no alerts: whoever calls it hands over those that are active, as the store has
//! them, and writes the transitions back ([`crate::book::apply`]). So a killed process, a full disk
//! and a person's click need no code here.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Element, Limits, Params, Value};
use vigie_query::{Labels, METRIC_NAME, SeriesSource};
use vigie_store::incidents::Alert;

use crate::lifecycle::{Absence, Evaluation, Gap, Seen, Transition};
use crate::rules::{INTERVAL_MS, Rule, Rules};

/// One expression may take so long; a rule that needs more starves the others.
const RULE_TIME_MAX: Duration = Duration::from_secs(5);
/// Samples one expression may read: a day of 20 series by the second.
const RULE_SAMPLES_MAX: usize = 2_000_000;
/// Time without an evaluation counts as a gap from here, or from three of the shortest intervals.
const GAP_MIN_MS: i64 = 120_000;

/// What a killed engine has to know of itself when it comes back; kept as a setting of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The last evaluation.
    pub evaluated: Option<Timestamp>,
    /// The last gap in which nobody looked.
    pub gap: Option<(Timestamp, Timestamp)>,
}

impl Memory {
    /// The setting's key.
    pub const KEY: &'static str = "rules";

    /// The setting's text.
    #[must_use]
    pub fn to_text(self) -> String {
        let times = [self.evaluated, self.gap.map(|g| g.0), self.gap.map(|g| g.1)];
        let texts = times.map(|t| t.map_or_else(|| "-".to_owned(), |t| t.0.to_string()));
        texts.join(" ")
    }

    /// Reads the setting's text; what is no time is unknown.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut times = text.split(' ').map(|word| word.parse().ok().map(Timestamp));
        let mut next = || times.next().flatten();
        let (evaluated, from, until) = (next(), next(), next());
        Self {
            evaluated,
            gap: from.zip(until),
        }
    }
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rules evaluated.
    pub evaluations: u64,
    /// Of those, without an answer.
    pub failures: u64,
    /// Results not taken because the rule has as many alerts as it may.
    pub capped: u64,
    /// Results with the labels of another result.
    pub duplicates: u64,
}

/// Evaluates rules.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    /// For each group.
    due: Vec<Timestamp>,
    memory: Memory,
    gap_ms: i64,
    counts: Counts,
    /// Rules without an answer the last time, and why.
    failing: HashMap<String, String>,
    complaints: Vec<String>,
}

impl Engine {
    /// An engine that goes on where `memory` says.
    #[must_use]
    pub fn new(rules: Rules, memory: Memory) -> Self {
        let shortest = rules.groups.iter().map(|g| g.interval_ms).min();
        Self {
            due: vec![Timestamp::MIN; rules.groups.len()],
            rules,
            memory,
            gap_ms: GAP_MIN_MS.max(shortest.unwrap_or(0).saturating_mul(3)),
            counts: Counts::default(),
            failing: HashMap::new(),
            complaints: Vec::new(),
        }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What it would have to know if it ended now.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// What it has counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When there is something to do again.
    #[must_use]
    pub fn next_due(&self) -> Timestamp {
        let rest = self
            .memory
            .evaluated
            .map_or(Timestamp::MIN, |at| at.plus_ms(INTERVAL_MS));
        self.due.iter().copied().min().unwrap_or(rest)
    }

    /// Whether there is something to do, also after the clock was set back.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let groups = self.rules.groups.iter().zip(&self.due);
        let mut late = groups.map(|(group, &due)| is_due(due, group.interval_ms, now));
        late.any(|late| late) || (self.due.is_empty() && self.next_due() <= now)
    }

    /// Rules that fail since the last call, and why: each is told once until it works again.
    pub fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Evaluates the groups that are due. `active` is every alert that is pending or firing.
    pub fn evaluate(
        &mut self,
        source: &dyn SeriesSource,
        active: &[Alert],
        now: Timestamp,
    ) -> Vec<Transition> {
        self.notice_gap(now);
        self.memory.evaluated = Some(now);
        let mut by_rule: HashMap<&str, Vec<Alert>> = HashMap::new();
        for alert in active {
            by_rule.entry(&alert.rule).or_default().push(alert.clone());
        }
        let mut transitions = Vec::new();
        // Taken apart so that the rules can be read while the counts are written.
        let rules = std::mem::take(&mut self.rules);
        for (group, due) in rules.groups.iter().zip(&mut self.due) {
            let is_due = is_due(*due, group.interval_ms, now);
            if is_due {
                *due = next(now, group.interval_ms);
            }
            for rule in &group.rules {
                let mine = by_rule.remove(rule.id.as_str()).unwrap_or_default();
                if is_due {
                    let mut evaluation =
                        Evaluation::new(rule, group.limit, now, gap_of(self.memory));
                    let told = evaluate_rule(&mut evaluation, source, &mine);
                    count(&mut self.counts, &evaluation);
                    let failed = told.err().map(|e| e.to_string());
                    note_failure(&mut self.failing, &mut self.complaints, rule, failed)
                        .then(|| self.counts.failures += 1);
                    transitions.append(&mut evaluation.out);
                }
            }
        }
        self.rules = rules;
        let orphans = active
            .iter()
            .filter(|a| by_rule.contains_key(a.rule.as_str()));
        transitions.extend(orphans.map(|alert| Evaluation::removed(now, alert)));
        transitions
    }

    /// After a time in which nobody looked every group is due, so that all see the same gap.
    fn notice_gap(&mut self, now: Timestamp) {
        let Some(last) = self.memory.evaluated else {
            return;
        };
        if now.since_ms(last) > self.gap_ms {
            self.memory.gap = Some((last, now));
            self.due.fill(now);
        }
    }
}

fn is_due(due: Timestamp, interval_ms: i64, now: Timestamp) -> bool {
    due <= now || due.since_ms(now) > interval_ms
}

fn gap_of(memory: Memory) -> Option<Gap> {
    let (from, until) = memory.gap?;
    Some(Gap { from, until })
}

/// The next multiple of the interval: groups of one interval stay together, whatever the load.
fn next(now: Timestamp, interval_ms: i64) -> Timestamp {
    let past = now.0.rem_euclid(interval_ms);
    now.plus_ms(interval_ms - past)
}

fn count(counts: &mut Counts, evaluation: &Evaluation<'_>) {
    counts.evaluations += 1;
    counts.capped += evaluation.capped as u64;
    counts.duplicates += evaluation.duplicates as u64;
}

/// Whether the rule failed. A new failure is complained about once.
fn note_failure(
    failing: &mut HashMap<String, String>,
    complaints: &mut Vec<String>,
    rule: &Rule,
    failed: Option<String>,
) -> bool {
    let Some(why) = failed else {
        failing.remove(&rule.id);
        return false;
    };
    if !failing.contains_key(&rule.id) {
        complaints.push(format!("{}: rule {}: {why}", rule.place, rule.name));
        failing.insert(rule.id.clone(), why);
    }
    true
}

fn evaluate_rule(
    evaluation: &mut Evaluation<'_>,
    source: &dyn SeriesSource,
    active: &[Alert],
) -> Result<(), promql::Error> {
    let (rule, now) = (evaluation.rule, evaluation.now);
    let asked = Asked { source, now };
    let elements = match asked.ask(&rule.expr) {
        Ok(elements) => elements,
        Err(error) => {
            evaluation.failed(active, &error.to_string());
            return Err(error);
        }
    };
    let seen: Seen = elements
        .into_iter()
        .map(|e| (alert_labels(rule, &e), e.sample.value))
        .collect();
    let annotate = |labels: &Labels, value: f64| {
        let texts = rule.annotations.iter();
        texts
            .map(|(name, text)| (name.clone(), text.expand(labels, value)))
            .collect()
    };
    // Asked once, and only when an alert is missing.
    let (mut present, mut over) = (None, None);
    evaluation.answered(active, seen, annotate, |alert| {
        if let Some(presence) = &rule.presence {
            let present = present.get_or_insert_with(|| asked.ask(presence));
            match absence(rule, alert, present.as_deref()) {
                Absence::False => {}
                other => return other,
            }
        }
        if let Some(until) = &rule.until {
            let over = over.get_or_insert_with(|| asked.ask(until));
            match over {
                Ok(over) if over.iter().any(|e| speaks_of(rule, alert, e)) => {}
                _ => return Absence::Lingers,
            }
        }
        Absence::False
    });
    Ok(())
}

struct Asked<'a> {
    source: &'a dyn SeriesSource,
    now: Timestamp,
}

impl Asked<'_> {
    fn ask(&self, expr: &promql::Expr) -> Result<Vec<Element>, promql::Error> {
        let limits = Limits {
            samples_max: RULE_SAMPLES_MAX,
            deadline: Some(Instant::now() + RULE_TIME_MAX),
            ..Limits::default()
        };
        let params = Params {
            limits,
            ..Params::default()
        };
        match promql::instant(self.source, expr, self.now, &params)?.value {
            Value::Vector(elements) => Ok(elements),
            // Prometheus' meaning of a rule that is a number.
            Value::Scalar(value) => Ok(vec![Element {
                labels: Labels::default(),
                sample: vigie_query::Sample {
                    time: self.now,
                    value,
                },
            }]),
            Value::Matrix(_) | Value::String(_) => Err(promql::Error::Evaluation(
                "a rule's expression must give one value for each series".to_owned(),
            )),
        }
    }
}

/// The labels of the alert: the series' without its name, the rule's over them, `alertname`.
fn alert_labels(rule: &Rule, element: &Element) -> Labels {
    let mut labels = element.labels.to_builder();
    labels.remove(METRIC_NAME);
    for (name, text) in &rule.labels {
        labels.set(
            name.as_str(),
            text.expand(&element.labels, element.sample.value),
        );
    }
    labels.set("alertname", rule.name.as_str());
    labels.build()
}

/// Why an alert is not in the answer, from the answer to the question whether there is data.
fn absence(rule: &Rule, alert: &Alert, present: Result<&[Element], &promql::Error>) -> Absence {
    let Ok(present) = present else {
        return Absence::Blind;
    };
    if present.iter().any(|e| speaks_of(rule, alert, e)) {
        return Absence::False;
    }
    let of = |labels: &Labels| labels.get("instance").map(str::to_owned);
    let instance = of(&alert.labels);
    if present.iter().any(|e| of(&e.labels) == instance) {
        Absence::Gone
    } else {
        Absence::Blind
    }
}

/// Whether an element is about the series of an alert. Labels that the rule itself sets tell nothing.
fn speaks_of(rule: &Rule, alert: &Alert, element: &Element) -> bool {
    let own = |name: &str| rule.labels.iter().any(|(n, _)| n == name);
    let mut labels = element.labels.iter();
    labels.all(|(name, value)| {
        name == METRIC_NAME || own(name) || alert.labels.get(name) == Some(value)
    })
}

#[cfg(test)]
mod defaults;
#[cfg(test)]
mod tests;
