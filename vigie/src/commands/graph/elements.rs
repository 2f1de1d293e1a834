//! Lines across and at times, incidents and changes: what is drawn beside the curves.

use anyhow::{Context as _, Result, bail};
use clap::ArgMatches;
use vigie_dashboard::chart::{Draft, Level, Mark, Span, typed};
use vigie_store::Reader;
use vigie_store::incidents::{IncidentFilter, Severity};

use crate::context::Context;
use crate::times;

/// Incidents and changes in one picture.
const EVENTS_MAX: usize = 200;

pub(super) fn add(
    cx: &Context,
    matches: &ArgMatches,
    reader: &Reader,
    draft: &mut Draft,
) -> Result<()> {
    for text in matches
        .get_many::<String>("threshold")
        .into_iter()
        .flatten()
    {
        let limit = typed::limit(text, draft.unit).with_context(|| {
            format!("--threshold {text}: use VALUE[:LABEL[:info|warn|crit]], as 5M:full:crit")
        })?;
        draft.limits.push(limit);
    }
    for text in matches.get_many::<String>("vrule").into_iter().flatten() {
        draft.marks.push(rule(cx, text)?);
    }
    if matches.get_flag("incidents") {
        incidents(reader, draft)?;
    }
    Ok(())
}

/// `2026-11-21T06:00,deploy,warn`.
fn rule(cx: &Context, text: &str) -> Result<Mark> {
    let (time, rest) = text.split_once(',').unwrap_or((text, ""));
    let at = times::point(time, cx.now, &cx.tz).map_err(|e| anyhow::anyhow!("--vrule: {e}"))?;
    let Some((label, level)) = typed::labelled(rest, ',', Level::Info) else {
        bail!("--vrule {text}: LEVEL is info, warn or crit");
    };
    Ok(Mark { at, label, level })
}

fn incidents(reader: &Reader, draft: &mut Draft) -> Result<()> {
    let filter = IncidentFilter {
        since: Some(draft.from),
        until: Some(draft.to),
        limit: EVENTS_MAX,
        ..IncidentFilter::default()
    };
    for incident in reader.incidents(&filter)? {
        let level = match incident.severity {
            Severity::Critical | Severity::Page => Level::Crit,
            Severity::Warning => Level::Warn,
            _ => Level::Info,
        };
        draft.spans.push(Span {
            from: incident.onset,
            to: incident.resolved.as_ref().map(|r| r.at),
            level,
            label: incident.title.clone(),
        });
        draft.marks.push(Mark {
            at: incident.onset,
            label: format!("#{} {}", incident.id.0, incident.title),
            level,
        });
    }
    for change in reader.changes(draft.from, draft.to, EVENTS_MAX)? {
        draft.marks.push(Mark {
            at: change.at,
            label: change.text,
            level: Level::Info,
        });
    }
    Ok(())
}
