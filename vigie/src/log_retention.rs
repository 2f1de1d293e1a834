//! `[[log_retention]]`: how long which lines are kept, as it stands in `vigie.toml`.

use serde::Deserialize;
use vigie_collector::units::{Bytes, Duration};
use vigie_store::events::{LogRetention, LogRule};

/// Rules at most: each new block is compared with all of them.
const RULES_MAX: usize = 1000;
/// A shorter age would make a block of every few lines.
const KEEP_MIN_S: u64 = 3600;
/// Less is not even one block.
const BUDGET_MIN: u64 = 1 << 20;

/// One rule. The first that means a source says how long its lines are kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Which sources: `file:/var/log/nginx/*`.
    #[serde(rename = "match")]
    pub(crate) source: String,
    /// After this lines go; never because of their age if not given.
    #[serde(default)]
    pub(crate) keep: Option<Duration>,
    /// What each such source may occupy; its part of the store's budget if not given.
    #[serde(default)]
    pub(crate) budget: Option<Bytes>,
}

/// The same in the store's own terms.
pub(crate) fn rules(rules: &[Rule]) -> LogRetention {
    let rule = |rule: &Rule| LogRule {
        source: rule.source.clone(),
        keep_ms: rule
            .keep
            .map(|k| i64::try_from(k.0.as_millis()).unwrap_or(i64::MAX)),
        bytes: rule.budget.map(|b| b.0),
    };
    LogRetention {
        rules: rules.iter().map(rule).collect(),
    }
}

/// What cannot be meant.
pub(crate) fn validate(rules: &[Rule]) -> Result<(), String> {
    if rules.len() > RULES_MAX {
        return Err(format!("more than {RULES_MAX} tables of log_retention"));
    }
    for rule in rules {
        let name = &rule.source;
        if rule.keep.is_none() && rule.budget.is_none() {
            return Err(format!(
                "log_retention of \"{name}\" has neither keep nor budget"
            ));
        }
        if rule.keep.is_some_and(|k| k.0.as_secs() < KEEP_MIN_S) {
            return Err(format!(
                "log_retention of \"{name}\": keep is below an hour"
            ));
        }
        if rule.budget.is_some_and(|b| b.0 < BUDGET_MIN) {
            return Err(format!(
                "log_retention of \"{name}\": budget is below 1 MiB"
            ));
        }
    }
    Ok(())
}
