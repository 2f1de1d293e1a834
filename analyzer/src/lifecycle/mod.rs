//! The life of an alert, as a function of what is seen: no clock, no store.
//!
//! Prometheus' states with its traps taken out: what cannot be judged stays as it is (an error, data
//! that ended, a time in which nobody looked), a limit never wipes what is already there, two
//! results with the same labels cost nothing but a count, and how long a condition has been false
//! outlives a restart as well as how long it has been true.

use std::collections::HashMap;

use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_store::incidents::{Alert, AlertState, Frozen};

use crate::rules::Rule;

/// A firing alert whose value has moved is written again after so long, so that pages show it.
pub const REFRESH_MS: i64 = 60_000;
/// A firing alert ends so long after its series did when others of its kind go on: the filesystem
/// was unmounted, the container removed. When all ended, the sender may be down, and it stays.
pub const GONE_MS: i64 = 120_000;
/// A pending alert without data is given up after its `for` and so much more.
const PENDING_BLIND_MS: i64 = 300_000;
/// Evidence older than this before a gap does not count for `for`, as in Prometheus.
const OUTAGE_TOLERANCE_MS: i64 = 3_600_000;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The condition began to hold.
    Pended,
    /// It ended before it held long enough; the alert is gone.
    Dropped,
    /// It held long enough.
    Fired,
    /// It holds no more; the alert fires on until that has lasted.
    Clearing,
    /// It holds again.
    Held,
    /// It cannot be judged any more.
    Frozen,
    /// It can be judged again.
    Thawed,
    /// It is over.
    Resolved,
    /// The value moved.
    Refreshed,
}

/// One change of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// What happened.
    pub step: Step,
    /// How the alert is now; for [`Step::Dropped`] how it was.
    pub alert: Alert,
    /// Why, where there is more to say than the step.
    pub reason: String,
}

/// The answer to a rule's expression: label sets as the rule names them, and their values.
pub(crate) type Seen = Vec<(Labels, f64)>;

/// What is known of an alert that is not in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// There is data, and the condition is false.
    False,
    /// There is data and the condition is false, but not what must hold for the alert to end.
    Lingers,
    /// Its series ended, others of its kind go on.
    Gone,
    /// There is no data.
    Blind,
}

/// A stretch of time in which nobody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The last evaluation before.
    pub(crate) from: Timestamp,
    /// The first after.
    pub(crate) until: Timestamp,
}

/// What one evaluation of a rule makes of its alerts.
pub(crate) struct Evaluation<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) limit: usize,
    pub(crate) now: Timestamp,
    /// The last gap: it may be this very evaluation that ends it, or an earlier one.
    pub(crate) gap: Option<Gap>,
    pub(crate) out: Vec<Transition>,
    /// Results beyond the limit.
    pub(crate) capped: usize,
    /// Results with the labels of another.
    pub(crate) duplicates: usize,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(rule: &'a Rule, limit: usize, now: Timestamp, gap: Option<Gap>) -> Self {
        Self {
            rule,
            limit,
            now,
            gap,
            out: Vec::new(),
            capped: 0,
            duplicates: 0,
        }
    }

    /// The expression could not be evaluated: everything stays as it is.
    pub(crate) fn failed(&mut self, active: &[Alert], why: &str) {
        for alert in active {
            let mut alert = alert.clone();
            if alert.state == AlertState::Firing && alert.frozen.is_none() {
                self.freeze(&mut alert, &format!("the rule cannot be evaluated: {why}"));
            }
        }
    }

    /// The expression has an answer. `absence` is asked only for alerts that are not in it.
    pub(crate) fn answered(
        &mut self,
        active: &[Alert],
        seen: Seen,
        annotate: impl Fn(&Labels, f64) -> Vec<(String, String)>,
        mut absence: impl FnMut(&Alert) -> Absence,
    ) {
        let mut by_labels: HashMap<&Labels, &Alert> =
            active.iter().map(|a| (&a.labels, a)).collect();
        let mut handled = std::collections::HashSet::new();
        let mut room = self.limit.saturating_sub(active.len());
        for (labels, value) in seen {
            if !handled.insert(labels.clone()) {
                self.duplicates += 1;
                continue;
            }
            if let Some(alert) = by_labels.remove(&labels) {
                let annotations = annotate(&labels, value);
                self.judge(alert, |this, alert| this.holds(alert, value, annotations));
            } else if room > 0 {
                room -= 1;
                let annotations = annotate(&labels, value);
                self.begins(labels, value, annotations);
            } else {
                self.capped += 1;
            }
        }
        // In the order of `active`, so that the same evaluation gives the same transitions.
        for alert in active.iter().filter(|a| by_labels.contains_key(&a.labels)) {
            let absence = absence(alert);
            self.judge(alert, |this, alert| this.misses(alert, absence));
        }
    }

    /// Judges an alert that is there already. After the clock was set back, waiting begins now and
    /// not when the clock is there again.
    fn judge(&mut self, alert: &Alert, judge: impl FnOnce(&mut Self, Alert)) {
        let mut kept = alert.clone();
        kept.active_at = kept.active_at.min(self.now);
        kept.clear_since = kept.clear_since.map(|at| at.min(self.now));
        if let Some(frozen) = &mut kept.frozen {
            frozen.since = frozen.since.min(self.now);
        }
        let told = self.out.len();
        judge(self, kept.clone());
        if kept != *alert && self.out.len() == told {
            self.push(Step::Refreshed, &kept, "");
        }
    }

    /// The rule is no more: its alerts end.
    pub(crate) fn removed(now: Timestamp, alert: &Alert) -> Transition {
        let mut alert = alert.clone();
        alert.written_at = now;
        let step = match alert.state {
            AlertState::Pending => Step::Dropped,
            _ => {
                alert.state = AlertState::Resolved;
                alert.resolved_at = Some(now);
                alert.frozen = None;
                Step::Resolved
            }
        };
        Transition {
            step,
            alert,
            reason: "its rule is gone from the configuration".to_owned(),
        }
    }

    fn push(&mut self, step: Step, alert: &Alert, reason: &str) {
        let mut alert = alert.clone();
        alert.written_at = self.now;
        self.out.push(Transition {
            step,
            alert,
            reason: reason.to_owned(),
        });
    }

    fn begins(&mut self, labels: Labels, value: f64, annotations: Vec<(String, String)>) {
        let alert = Alert {
            rule: self.rule.id.clone(),
            labels,
            state: AlertState::Pending,
            active_at: self.now,
            fired_at: None,
            clear_since: None,
            resolved_at: None,
            written_at: self.now,
            value,
            annotations,
            frozen: None,
            incident: None,
        };
        if self.rule.for_ms == 0 {
            self.fires(alert);
        } else {
            self.push(Step::Pended, &alert, "");
        }
    }

    fn fires(&mut self, mut alert: Alert) {
        alert.state = AlertState::Firing;
        alert.fired_at = Some(self.now);
        alert.frozen = None;
        self.push(Step::Fired, &alert, "");
    }

    /// The condition holds for an alert that is there already.
    fn holds(&mut self, mut alert: Alert, value: f64, annotations: Vec<(String, String)>) {
        let moved = alert.value.to_bits() != value.to_bits();
        alert.value = value;
        alert.annotations = annotations;
        if alert.state == AlertState::Pending {
            let waited = self.shift(&mut alert);
            if self.now.since_ms(alert.active_at) >= self.rule.for_ms {
                self.fires(alert);
            } else if alert.frozen.take().is_some() || waited {
                self.push(Step::Refreshed, &alert, "");
            }
            return;
        }
        let thawed = alert.frozen.take().is_some();
        let cleared = alert.clear_since.take().is_some();
        if thawed {
            self.push(Step::Thawed, &alert, "the condition still holds");
        } else if cleared {
            self.push(Step::Held, &alert, "");
        } else if moved && self.now.since_ms(alert.written_at) >= REFRESH_MS {
            self.push(Step::Refreshed, &alert, "");
        }
    }

    /// Takes the time of a gap that this evaluation ends out of a pending alert's waiting.
    fn shift(&self, alert: &mut Alert) -> bool {
        let Some(gap) = self.gap.filter(|g| g.until == self.now) else {
            return false;
        };
        let length = gap.until.since_ms(gap.from);
        alert.active_at = if length > OUTAGE_TOLERANCE_MS {
            self.now
        } else {
            alert.active_at.plus_ms(length).min(self.now)
        };
        true
    }

    /// An alert that is there already is not in the answer.
    fn misses(&mut self, mut alert: Alert, absence: Absence) {
        if alert.state == AlertState::Pending {
            self.pending_misses(alert, absence);
            return;
        }
        let unsettled = self
            .gap
            .filter(|g| self.now.since_ms(g.until) < self.rule.settle_ms);
        match (absence, unsettled) {
            (Absence::False, None) => self.clears(alert),
            (Absence::Lingers, _) => self.lingers(alert),
            (Absence::False, Some(gap)) => {
                if alert.frozen.is_none() {
                    let minutes = gap.until.since_ms(gap.from) / 60_000;
                    let why = format!("nobody looked for {minutes} min; figures come in again");
                    self.freeze(&mut alert, &why);
                }
            }
            (Absence::Gone, _) => match &alert.frozen {
                Some(frozen) if self.now.since_ms(frozen.since) >= GONE_MS => {
                    let reason = "its series ended while others of its kind go on";
                    self.resolves(alert, reason);
                }
                Some(_) => {}
                None => self.freeze(&mut alert, "its series ended"),
            },
            (Absence::Blind, _) => {
                if alert.frozen.is_none() {
                    self.freeze(&mut alert, "no data: the condition cannot be judged");
                }
            }
        }
    }

    fn pending_misses(&mut self, mut alert: Alert, absence: Absence) {
        let since = match absence {
            Absence::False | Absence::Lingers => None,
            // Unknown time must not restart the waiting: else a source that comes and goes never
            // gets beyond it.
            Absence::Gone | Absence::Blind => Some(alert.frozen.as_ref().map(|f| f.since)),
        };
        match since {
            None => self.push(Step::Dropped, &alert, ""),
            Some(None) => {
                alert.frozen = Some(Frozen {
                    since: self.now,
                    reason: "no data".to_owned(),
                });
                self.push(Step::Refreshed, &alert, "");
            }
            Some(Some(since)) => {
                if self.now.since_ms(since) >= self.rule.for_ms + PENDING_BLIND_MS {
                    self.push(Step::Dropped, &alert, "no data");
                }
            }
        }
    }

    /// The condition is false for a firing alert.
    fn clears(&mut self, mut alert: Alert) {
        let thawed = alert.frozen.take().is_some();
        let since = *alert.clear_since.get_or_insert(self.now);
        if self.now.since_ms(since) >= self.rule.keep_firing_for_ms {
            self.resolves(alert, "the condition is over");
        } else if thawed {
            self.push(Step::Thawed, &alert, "the condition does not hold");
        } else if since == self.now {
            self.push(Step::Clearing, &alert, "");
        }
    }

    /// The condition is false, and what must hold for the end is not there: it fires on.
    fn lingers(&mut self, mut alert: Alert) {
        let cleared = alert.clear_since.take().is_some();
        if alert.frozen.take().is_some() {
            self.push(Step::Thawed, &alert, "it does not count as over yet");
        } else if cleared {
            self.push(Step::Held, &alert, "");
        }
    }

    fn resolves(&mut self, mut alert: Alert, reason: &str) {
        alert.state = AlertState::Resolved;
        alert.resolved_at = Some(self.now);
        alert.frozen = None;
        self.push(Step::Resolved, &alert, reason);
    }

    fn freeze(&mut self, alert: &mut Alert, reason: &str) {
        alert.frozen = Some(Frozen {
            since: self.now,
            reason: reason.to_owned(),
        });
        // How long the condition was false before is not continued across what nobody saw.
        alert.clear_since = None;
        self.push(Step::Frozen, alert, reason);
    }
}

#[cfg(test)]
mod tests;
