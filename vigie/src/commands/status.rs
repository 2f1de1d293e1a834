//! `vigie status`: sources, losses, budgets, incidents; also when no daemon runs.

use anyhow::Result;
use clap::{ArgMatches, Command};
use serde_json::json;
use vigie_parsers::Timestamp;
use vigie_store::incidents::{Incident, IncidentFilter};
use vigie_store::{FigureUsage, PastTrouble, SourceReport, SourceState, Trouble, Usage};

use super::{Entry, Outcome, format};
use crate::context::Context;
use crate::output::{self, printable};
use crate::times;

pub(super) const ENTRY: Entry = Entry {
    name: "status",
    about: "Says how vigie itself is: sources, losses, budgets, open incidents.",
    flags,
    run,
};

fn flags(command: Command) -> Command {
    command.arg(format(&["text", "json", "nagios"]))
}

/// The writer keeps the log shorter than this, unless a reader does not end.
const WAL_LONG_BYTES: u64 = 64 << 20;

/// Sources report every few seconds. A daemon of which none has for so long hangs.
const SILENCE_MAX_MS: i64 = 30_000;

/// What was wrong with the store is told for so long.
const PAST_MS: i64 = 24 * 3_600_000;

/// What there is to say, gathered.
struct Status {
    running: bool,
    /// Why nothing can be written to the store, if so.
    trouble: Option<Trouble>,
    /// When that was so last, if not long ago.
    past_trouble: Option<PastTrouble>,
    /// For how long a daemon that runs has reported nothing, if that is long.
    silent_ms: Option<i64>,
    sources: Vec<SourceReport>,
    incidents: Vec<Incident>,
    usage: Usage,
    /// Lines that the budget has pushed out, and those that a rule has.
    gone: (u64, u64),
    /// Patterns that a limit pushed out.
    patterns_dropped: u64,
}

impl Status {
    fn gather(cx: &Context) -> Result<Self> {
        let reader = cx.reader()?;
        let mut sources = reader.sources()?;
        let running = reader.is_written();
        if !running {
            // They had no time to say so.
            sources
                .iter_mut()
                .for_each(|s| s.state = SourceState::Stopped);
        }
        let working = sources.iter().filter(|s| s.state != SourceState::Stopped);
        let newest = working.map(|s| s.at).max();
        let silent_ms = newest.map(|at| cx.now.since_ms(at));
        let trouble = reader.trouble();
        // Reports cannot be written either.
        let reports = running && trouble.is_none();
        let past_trouble = reader.past_trouble()?;
        Ok(Self {
            running,
            silent_ms: silent_ms.filter(|&ms| reports && ms > SILENCE_MAX_MS),
            trouble,
            past_trouble: past_trouble.filter(|past| cx.now.since_ms(past.until) < PAST_MS),
            incidents: reader.incidents(&IncidentFilter::unresolved())?,
            usage: reader.usage()?,
            gone: (reader.events_evicted()?, reader.events_expired()?),
            patterns_dropped: reader.patterns_dropped()?,
            sources,
        })
    }

    fn failed(&self) -> impl Iterator<Item = &SourceReport> {
        self.sources
            .iter()
            .filter(|s| s.state == SourceState::Failed)
    }

    fn dropped(&self) -> u64 {
        self.sources
            .iter()
            .flat_map(|s| &s.dropped)
            .map(|(_, n)| n)
            .sum()
    }

    fn is_well(&self) -> bool {
        self.running
            && self.trouble.is_none()
            && self.silent_ms.is_none()
            && self.incidents.is_empty()
            && self.failed().next().is_none()
    }

    /// One sentence.
    fn verdict(&self, now: Timestamp) -> String {
        let mut parts = Vec::new();
        if let Some(trouble) = &self.trouble {
            let since = output::duration(now.since_ms(trouble.since).max(0));
            let why = printable(trouble.why.as_bytes());
            parts.push(format!(
                "nothing can be written to the store for {since} ({why})"
            ));
        }
        if !self.running {
            parts.push("no daemon runs".to_owned());
        }
        if let Some(ms) = self.silent_ms {
            let since = output::duration(ms);
            parts.push(format!("the daemon has reported nothing for {since}"));
        }
        match self.incidents.len() {
            0 => parts.push("no incident open".to_owned()),
            1 => parts.push("1 incident open".to_owned()),
            n => parts.push(format!("{n} incidents open")),
        }
        let failed = self.failed().count();
        let working = self
            .sources
            .iter()
            .filter(|s| s.state == SourceState::Active)
            .count();
        parts.push(match failed {
            0 => format!("{working} sources active"),
            _ => format!("{working} sources active, {failed} failed"),
        });
        parts.join(", ")
    }
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let format = matches
        .get_one::<String>("format")
        .map_or("text", String::as_str);
    let status = match Status::gather(cx) {
        Ok(status) => status,
        Err(e) if format == "nagios" => {
            println!("VIGIE UNKNOWN - {e:#}");
            return Err(e);
        }
        Err(e) => return Err(e),
    };
    match format {
        "json" => println!("{}", as_json(cx, &status)),
        "nagios" => println!("{}", as_nagios(&status, cx.now)),
        _ => print!("{}", as_text(cx, &status)),
    }
    Ok(if status.is_well() {
        Outcome::Fine
    } else {
        Outcome::Trouble
    })
}

/// A Nagios plugin's line with performance data.
fn as_nagios(status: &Status, now: Timestamp) -> String {
    let word = if status.is_well() { "OK" } else { "CRITICAL" };
    format!(
        "VIGIE {word} - {} | incidents={};;0;0 store={}B;;;0;{} dropped={}c",
        // What follows a bar is figures.
        status.verdict(now).replace('|', "/"),
        status.incidents.len(),
        status.usage.used_bytes,
        status.usage.budget_bytes,
        status.dropped()
    )
}

fn as_json(cx: &Context, status: &Status) -> serde_json::Value {
    let time = |t| times::rfc3339(t, &cx.tz);
    let sources: Vec<_> = status
        .sources
        .iter()
        .map(|s| {
            let dropped: serde_json::Map<String, serde_json::Value> = s
                .dropped
                .iter()
                .map(|(why, n)| (why.clone(), json!(n)))
                .collect();
            json!({
                "source": s.source, "state": s.state.as_str(), "detail": s.detail,
                "at": time(s.at), "last": s.last.map(time), "items": s.items, "bytes": s.bytes,
                "lag_bytes": s.lag_bytes, "dropped": dropped,
            })
        })
        .collect();
    json!({
        "well": status.is_well(),
        "verdict": status.verdict(cx.now),
        "running": status.running,
        "silent_ms": status.silent_ms,
        "incidents": status.incidents.iter().map(|i| json!({
            "id": i.id.0, "severity": i.severity.as_str(), "state": i.state().as_str(), "title": i.title,
        })).collect::<Vec<_>>(),
        "store": {
            "used_bytes": status.usage.used_bytes,
            "budget_bytes": status.usage.budget_bytes,
            "wal_bytes": status.usage.wal_bytes,
            "free_bytes": status.usage.free_bytes,
            "trouble": status.trouble.as_ref().map(|t| json!({
                "since": time(t.since), "failures": t.failures, "why": t.why,
            })),
            "past_trouble": status.past_trouble.as_ref().map(|past| json!({
                "since": time(past.trouble.since), "until": time(past.until),
                "failures": past.trouble.failures, "why": past.trouble.why,
            })),
            "series": status.usage.series,
            "figures": figures_json(&status.usage.figures),
            "events": status.usage.events,
            "events_evicted": status.gone.0,
            "events_expired": status.gone.1,
            "patterns_dropped": status.patterns_dropped,
        },
        "sources": sources,
    })
}

fn figures_json(f: &FigureUsage) -> serde_json::Value {
    json!({
        "used_bytes": f.used_bytes,
        "expected_bytes": f.reserved_bytes,
        "budget_bytes": f.budget_bytes,
        "series_refused": f.refused,
        "series_refused_of_source": f.refused_of_source,
        "worst": f.worst.as_ref().map(|w| json!({
            "source": w.source, "metric": w.metric, "refused": w.refused,
        })),
        "series_unmoved": f.unmoved,
        "pages_shortened": f.shortened,
        "pages_lost": f.lost,
    })
}

/// What figures occupy, and a line for each limit that was reached.
fn figures_text(f: &FigureUsage) -> String {
    let mut out = format!(
        "  figures: {} of {}, some {} once their archives are full\n",
        output::bytes(f.used_bytes),
        output::bytes(f.budget_bytes),
        output::bytes(f.reserved_bytes),
    );
    if f.refused > 0 {
        let worst = f.worst.as_ref().map(|w| {
            let source = match w.source.as_str() {
                "" => String::new(),
                source => format!(" from {}", printable(source.as_bytes())),
            };
            let metric = printable(w.metric.as_bytes());
            format!("; most{source}: {} of {metric}", w.refused)
        });
        out.push_str(&format!(
            "  {} new series refused, {} of them beyond store.series_max_per_source, others beyond \
             series_max or series_budget{}\n",
            f.refused,
            f.refused_of_source,
            worst.unwrap_or_default(),
        ));
    }
    if f.unmoved > 0 {
        out.push_str(&format!(
            "  {} series keep their old archives: those that [[retention]] wants would not fit \
             (store.series_budget)\n",
            f.unmoved
        ));
    }
    if f.shortened + f.lost > 0 {
        out.push_str(&format!(
            "  {} pages of figures have fewer digits, {} were not kept (store.series_budget)\n",
            f.shortened, f.lost
        ));
    }
    out
}

/// That the store cannot be written, or could not be.
fn trouble_text(cx: &Context, status: &Status) -> String {
    let time = |t| times::rfc3339(t, &cx.tz);
    let mut out = String::new();
    if let Some(trouble) = &status.trouble {
        out.push_str(&format!(
            "  nothing written since {}, {} commits failed. What is received waits in memory, and what finds no \
             room there is counted as dropped; it is written once the store can be\n",
            time(trouble.since),
            trouble.failures
        ));
    }
    if let Some(PastTrouble { trouble, until }) = &status.past_trouble {
        out.push_str(&format!(
            "  nothing written from {} to {}, {} commits failed: {}\n",
            time(trouble.since),
            time(*until),
            trouble.failures,
            printable(trouble.why.as_bytes())
        ));
    }
    out
}

/// That the budget is more than there is room for.
fn free_text(usage: &Usage) -> String {
    let rest = usage.budget_bytes.saturating_sub(usage.used_bytes);
    match usage.free_bytes {
        Some(free) if free < rest => format!(
            "  {} free on its file system; the budget may still take {} (store.budget)\n",
            output::bytes(free),
            output::bytes(rest)
        ),
        _ => String::new(),
    }
}

fn as_text(cx: &Context, status: &Status) -> String {
    let mut verdict = status.verdict(cx.now);
    if let Some(first) = verdict.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let usage = &status.usage;
    let mut out = format!(
        "{}\nStore: {} of {}, {} series, {} events\n",
        cx.color.paint(
            if status.is_well() { "32" } else { "31" },
            &format!("{verdict}.")
        ),
        output::bytes(usage.used_bytes),
        output::bytes(usage.budget_bytes),
        usage.series,
        usage.events,
    );
    out.push_str(&trouble_text(cx, status));
    out.push_str(&free_text(usage));
    let (evicted, expired) = status.gone;
    if evicted + expired > 0 {
        out.push_str(&format!(
            "  {evicted} lines gone for the budget, {expired} by log_retention\n"
        ));
    }
    if status.patterns_dropped > 0 {
        out.push_str(&format!(
            "  {} rare patterns of messages not kept apart any more\n",
            status.patterns_dropped
        ));
    }
    out.push_str(&figures_text(&usage.figures));
    if usage.wal_bytes > WAL_LONG_BYTES {
        out.push_str(&format!(
            "  {} of write-ahead log: something reads the file without an end\n",
            output::bytes(usage.wal_bytes)
        ));
    }
    for incident in &status.incidents {
        let title = printable(incident.title.as_bytes());
        out.push_str(&format!("{} {}: {title}\n", incident.id, incident.severity));
    }
    let rows = status
        .sources
        .iter()
        .map(|s| {
            let dropped: Vec<String> = s
                .dropped
                .iter()
                .map(|(why, n)| format!("{n} {why}"))
                .collect();
            vec![
                printable(s.source.as_bytes()).into_owned(),
                s.state.as_str().to_owned(),
                s.items.to_string(),
                output::bytes(s.bytes),
                if s.lag_bytes == 0 {
                    "-".to_owned()
                } else {
                    output::bytes(s.lag_bytes)
                },
                if dropped.is_empty() {
                    "-".to_owned()
                } else {
                    dropped.join(", ")
                },
                s.last.map_or("never".to_owned(), |t| {
                    format!("{} ago", output::duration(cx.now.since_ms(t)))
                }),
                printable(s.detail.as_bytes()).into_owned(),
            ]
        })
        .collect();
    out.push('\n');
    let header = [
        "source", "state", "items", "bytes", "lag", "dropped", "last", "detail",
    ];
    out.push_str(&output::table(&header, &[2, 3, 4], rows));
    out
}
