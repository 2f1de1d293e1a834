//! Lines across and at times, incidents and changes: what is drawn beside the curves.

use anyhow::{Context as _, Result, bail};
use clap::ArgMatches;
use vigie_dashboard::chart::{Draft, Level, Limit, Mark, Span};
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
        draft.limits.push(threshold(text, draft)?);
    }
    for text in matches.get_many::<String>("vrule").into_iter().flatten() {
        draft.marks.push(rule(cx, text)?);
    }
    if matches.get_flag("incidents") {
        incidents(reader, draft)?;
    }
    Ok(())
}

/// `5M`, `80:full`, `95%:full:crit`.
fn threshold(text: &str, draft: &Draft) -> Result<Limit> {
    let (value, rest) = text.split_once(':').unwrap_or((text, ""));
    let number = prefixed(value).with_context(|| {
        format!("--threshold {text}: use VALUE[:LABEL[:LEVEL]], as 5M:limit:crit")
    })?;
    let (label, level) = labelled(rest, ':', Level::Warn)
        .with_context(|| format!("--threshold {text}: LEVEL is info, warn or crit"))?;
    let label = if label.is_empty() {
        draft.unit.format(number)
    } else {
        label
    };
    Ok(Limit::new(number, &label, level))
}

/// A number, with a prefix if wanted: `1.5G`, `4Ki`.
fn prefixed(text: &str) -> Option<f64> {
    const PREFIXES: [(&str, f64); 9] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("%", 1.0),
    ];
    let text = text.trim();
    let found = PREFIXES
        .iter()
        .find_map(|(prefix, by)| Some((text.strip_suffix(prefix)?, by)));
    let (digits, by) = found.unwrap_or((text, &1.0));
    let number = digits.trim().parse::<f64>().ok()? * by;
    number.is_finite().then_some(number)
}

/// A label and, behind the separator, a level; a text with a separator that names no level is wrong.
fn labelled(text: &str, separator: char, default: Level) -> Option<(String, Level)> {
    let Some((label, level)) = text.rsplit_once(separator) else {
        return Some((text.to_owned(), default));
    };
    let level = [Level::Info, Level::Warn, Level::Crit]
        .into_iter()
        .find(|l| l.as_str() == level)?;
    Some((label.to_owned(), level))
}

/// `2026-11-21T06:00,deploy,warn`.
fn rule(cx: &Context, text: &str) -> Result<Mark> {
    let (time, rest) = text.split_once(',').unwrap_or((text, ""));
    let at = times::point(time, cx.now, &cx.tz).map_err(|e| anyhow::anyhow!("--vrule: {e}"))?;
    let Some((label, level)) = labelled(rest, ',', Level::Info) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_prefixes() {
        for (text, expected) in [
            ("5", Some(5.0)),
            ("1.5G", Some(1.5e9)),
            ("4Ki", Some(4096.0)),
            ("-3k", Some(-3000.0)),
            ("95%", Some(95.0)),
            ("", None),
            ("M", None),
            ("inf", None),
        ] {
            assert_eq!(prefixed(text), expected, "{text}");
        }
    }

    #[test]
    fn levels_come_last() {
        for (text, expected) in [
            ("", Some(("", Level::Warn))),
            ("full", Some(("full", Level::Warn))),
            ("full:crit", Some(("full", Level::Crit))),
            ("a:b:info", Some(("a:b", Level::Info))),
            ("full:red", None),
        ] {
            let found = labelled(text, ':', Level::Warn);
            assert_eq!(found, expected.map(|(t, l)| (t.to_owned(), l)), "{text}");
        }
    }
}
