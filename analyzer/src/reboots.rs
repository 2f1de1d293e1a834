//! A machine that started anew is a change, not an alert: a mark on everybody's time line.

use std::collections::BTreeMap;

use vigie_parsers::Timestamp;
use vigie_query::{Labels, METRIC_NAME, Matcher, Selection, SeriesSource};
use vigie_store::incidents::{Change, ChangeKind};

use crate::Result;

/// The setting that keeps each machine's last boot: `instance<TAB>seconds` lines.
pub(crate) const KEY: &str = "boots";
/// The kernel derives the time of boot from two clocks; corrections of the clock move it so much.
const JITTER_S: f64 = 60.0;
/// The figure is looked for so far back.
const LOOKBACK_MS: i64 = 300_000;
/// Machines that are remembered; beyond, the first by name are.
const MACHINES_MAX: usize = 10_000;

/// The last known boot of each machine, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Boots(BTreeMap<String, f64>);

impl Boots {
    pub(crate) fn from_text(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        Self(
            lines
                .filter_map(|(instance, s)| Some((instance.to_owned(), s.parse().ok()?)))
                .collect(),
        )
    }

    pub(crate) fn to_text(&self) -> String {
        let lines = self.0.iter().map(|(i, s)| format!("{i}\t{s}\n"));
        lines.collect()
    }

    /// Looks for machines that are new or started anew. Whether anything is to be kept, and the
    /// changes to be written down.
    pub(crate) fn watch(
        &mut self,
        source: &dyn SeriesSource,
        now: Timestamp,
    ) -> Result<(bool, Vec<Change>)> {
        let matchers = [Matcher::equal(METRIC_NAME, "node_boot_time_seconds")];
        let series = source.select(&Selection {
            matchers: &matchers,
            from: now.plus_ms(-LOOKBACK_MS),
            until: now,
            step_ms: LOOKBACK_MS,
            max_samples: MACHINES_MAX * 300,
            deadline: None,
        })?;
        let (mut news, mut changes) = (false, Vec::new());
        for one in series.iter().take(MACHINES_MAX) {
            let Some(booted) = one.samples.last().map(|s| s.value) else {
                continue;
            };
            let instance = one.labels.get("instance").unwrap_or_default();
            if instance.contains(['\t', '\n', '\r']) || !booted.is_finite() {
                continue;
            }
            let known = self.0.get(instance).copied();
            if known.is_some_and(|k| (booted - k).abs() <= JITTER_S) {
                continue;
            }
            news = true;
            self.0.insert(instance.to_owned(), booted);
            if known.is_some_and(|k| booted > k) {
                changes.push(started(instance, booted));
            }
        }
        Ok((news, changes))
    }
}

fn started(instance: &str, booted: f64) -> Change {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates; checked to be finite"
    )]
    let at = Timestamp((booted * 1000.0) as i64);
    let name = if instance.is_empty() {
        "the machine"
    } else {
        instance
    };
    Change {
        at,
        kind: ChangeKind::Reboot,
        text: format!("{name} started anew"),
        labels: Labels::new([("instance", instance)]),
    }
}
