//! The state of everything in one sentence, and the facts it is made of.

use vigie_parsers::Timestamp;
use vigie_store::incidents::{Change, Incident, IncidentFilter, IncidentState, Severity};
use vigie_store::{Reader, SourceReport, SourceState};

use crate::{Memory, Result};

/// Incidents and changes listed.
const LIST_MAX: usize = 100;
/// What changed in so long is shown.
const CHANGES_MS: i64 = 24 * 3_600_000;
/// Rules that were not evaluated for so long are said to stand still.
const STALE_MS: i64 = 300_000;

/// How everything is.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// One sentence.
    pub headline: String,
    /// The worst that is open; `None`: nothing is. What is acknowledged counts, too.
    pub worst: Option<Severity>,
    /// Incidents that are not resolved: the worst first, the open before the acknowledged.
    pub unresolved: Vec<Incident>,
    /// Those of them that nobody has taken.
    pub open: usize,
    /// The last incident that was resolved, if any.
    pub last_resolved: Option<Incident>,
    /// The sources.
    pub sources: SourceCount,
    /// What changed in the last 24 hours, oldest first.
    pub changes: Vec<Change>,
    /// Since when the rules are not evaluated, if they are not: no daemon runs, or it hangs.
    pub stale_since: Option<Timestamp>,
}

/// How many sources are how. Stopped ones do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCount {
    /// Those that work.
    pub active: usize,
    /// Those that cannot work, and why.
    pub failed: Vec<(String, String)>,
}

/// Sums up a store.
///
/// # Errors
/// When the store cannot be read.
pub fn overview(reader: &Reader, now: Timestamp) -> Result<Overview> {
    let mut unresolved = reader.incidents(&IncidentFilter {
        limit: LIST_MAX,
        ..IncidentFilter::unresolved()
    })?;
    unresolved.sort_by_key(|i| (i.state(), std::cmp::Reverse((i.severity, i.opened))));
    let recent = reader.incidents(&IncidentFilter {
        limit: LIST_MAX,
        ..IncidentFilter::default()
    })?;
    let resolved = recent.into_iter().filter(|i| i.resolved.is_some());
    let last_resolved = resolved.max_by_key(|i| i.resolved.as_ref().map(|r| r.at));
    let memory = reader.setting(Memory::KEY)?.unwrap_or_default();
    let evaluated = Memory::from_text(&memory).evaluated;
    let mut overview = Overview {
        headline: String::new(),
        worst: unresolved.iter().map(|i| i.severity).max(),
        open: unresolved
            .iter()
            .filter(|i| i.state() == IncidentState::Open)
            .count(),
        unresolved,
        last_resolved,
        sources: count(&reader.sources()?),
        changes: reader.changes(now.plus_ms(-CHANGES_MS), now.plus_ms(1), LIST_MAX)?,
        stale_since: evaluated.filter(|&at| now.since_ms(at) > STALE_MS),
    };
    overview.headline = headline(&overview);
    Ok(overview)
}

fn count(reports: &[SourceReport]) -> SourceCount {
    let mut count = SourceCount::default();
    for report in reports {
        match report.state {
            SourceState::Active => count.active += 1,
            SourceState::Failed => {
                let failed = (report.source.clone(), report.detail.clone());
                count.failed.push(failed);
            }
            SourceState::Stopped => {}
        }
    }
    count
}

fn headline(o: &Overview) -> String {
    let sources = o.sources.active + o.sources.failed.len();
    let held = o.unresolved.len() - o.open;
    match (o.unresolved.as_slice(), o.open) {
        ([], _) if sources == 0 => "Nothing is watched yet: no source reports.".to_owned(),
        ([], _) => match o.sources.failed.as_slice() {
            [] => format!(
                "All is quiet: {}, no incident open.",
                counted(sources, "source reporting", "sources reporting")
            ),
            [(name, why)] => format!(
                "No incident is open; 1 of {} does not report: {name}{}.",
                counted(sources, "source", "sources"),
                if why.is_empty() {
                    String::new()
                } else {
                    format!(" ({why})")
                }
            ),
            failed => format!(
                "No incident is open; {} of {sources} sources do not report.",
                failed.len()
            ),
        },
        ([only], 1) => format!("{}.", only.title.trim_end_matches('.')),
        ([only], 0) => {
            let by = only.acknowledged.as_ref().map_or("", |a| a.by.as_str());
            format!("{}; {by} has it in hand.", only.title.trim_end_matches('.'))
        }
        (all, 0) => format!("{} incidents, all in hand.", all.len()),
        ([worst, ..], open) => {
            let mut text = counted(open, "incident is open", "incidents are open");
            if held > 0 {
                text.push_str(&format!(", {held} in hand"));
            }
            let title = worst.title.trim_end_matches('.');
            text + ". " + if open > 1 { "Worst: " } else { "" } + title + "."
        }
    }
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
