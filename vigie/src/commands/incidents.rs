//! `vigie incidents` and `vigie incident`: the incident book.

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value as Json, json};
use vigie_store::Reader;
use vigie_store::incidents::{Entry as Line, Incident, IncidentFilter, IncidentId, Severity};

use super::{Entry, Outcome, format, since};
use crate::context::Context;
use crate::output::{self, printable};
use crate::times;

pub(super) const LIST: Entry = Entry {
    name: "incidents",
    about: "Lists incidents: the open ones, or all.",
    flags: list_flags,
    run: list,
};

pub(super) const ONE: Entry = Entry {
    name: "incident",
    about: "Shows one incident with its alerts and its time line.",
    flags: one_flags,
    run: one,
};

fn list_flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Resolved ones too"),
        )
        .arg(since("the beginning, with --all"))
        .arg(format(&["text", "json", "csv"]))
}

fn one_flags(command: Command) -> Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("show")
                .about("Prints the incident page as text.")
                .arg(
                    Arg::new("id")
                        .value_name("ID")
                        .required(true)
                        .help("Its number, as 142 or INC-142"),
                )
                .arg(format(&["text", "json"])),
        )
}

fn list(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let reader = cx.reader()?;
    let all = matches.get_flag("all") || matches.contains_id("since");
    let mut filter = if all {
        IncidentFilter::default()
    } else {
        IncidentFilter::unresolved()
    };
    if matches.contains_id("since") {
        filter.since = Some(cx.time(matches, "since", cx.now)?);
    }
    let incidents = reader.incidents(&filter)?;
    match matches
        .get_one::<String>("format")
        .map_or("text", String::as_str)
    {
        "json" => {
            for incident in &incidents {
                println!("{}", incident_json(cx, incident));
            }
        }
        "csv" => print!("{}", csv(cx, &incidents)),
        _ if incidents.is_empty() && !cx.quiet => {
            println!(
                "{}",
                if all {
                    "No incident on record."
                } else {
                    "Nothing is open."
                }
            );
        }
        _ => print!("{}", table(cx, &incidents)),
    }
    let open = incidents.iter().any(|i| i.resolved.is_none());
    Ok(if open {
        Outcome::Trouble
    } else {
        Outcome::Fine
    })
}

fn table(cx: &Context, incidents: &[Incident]) -> String {
    let rows = incidents
        .iter()
        .map(|i| {
            vec![
                i.id.to_string(),
                i.state().to_string(),
                i.severity.to_string(),
                times::show(i.onset, &cx.tz),
                output::duration(i.duration_ms(cx.now)),
                printable(i.title.as_bytes()).into_owned(),
            ]
        })
        .collect();
    output::table(
        &["id", "state", "severity", "since", "lasting", "what"],
        &[],
        rows,
    )
}

fn csv(cx: &Context, incidents: &[Incident]) -> String {
    let mut out = "id,state,severity,onset,opened,resolved,title\n".to_owned();
    for i in incidents {
        let resolved = i
            .resolved
            .as_ref()
            .map(|r| times::rfc3339(r.at, &cx.tz))
            .unwrap_or_default();
        out.push_str(&format!(
            "{},{},{},{},{},{resolved},{}\n",
            i.id,
            i.state(),
            i.severity,
            times::rfc3339(i.onset, &cx.tz),
            times::rfc3339(i.opened, &cx.tz),
            output::csv_field(&i.title)
        ));
    }
    out
}

fn incident_json(cx: &Context, i: &Incident) -> Json {
    let labels: serde_json::Map<String, Json> = i
        .labels
        .iter()
        .map(|(n, v)| (n.to_owned(), json!(v)))
        .collect();
    json!({
        "id": i.id.0,
        "state": i.state().as_str(),
        "severity": i.severity.as_str(),
        "title": i.title,
        "labels": labels,
        "onset": times::rfc3339(i.onset, &cx.tz),
        "opened": times::rfc3339(i.opened, &cx.tz),
        "acknowledged": i.acknowledged.as_ref().map(|a| json!({
            "by": a.by, "at": times::rfc3339(a.at, &cx.tz), "note": a.note,
        })),
        "resolved": i.resolved.as_ref().map(|r| json!({
            "by": r.by, "at": times::rfc3339(r.at, &cx.tz), "reason": r.reason,
        })),
        "reopened": i.reopened,
    })
}

fn one(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let (_, matches) = matches.subcommand().expect("clap requires a subcommand");
    let text = matches.get_one::<String>("id").expect("required");
    let id: IncidentId = text
        .parse()
        .with_context(|| format!("'{text}' is no incident; use a number as 142"))?;
    let reader = cx.reader()?;
    let Some(incident) = reader.incident(id)? else {
        anyhow::bail!("{id}: there is no such incident; `vigie incidents --all` lists them");
    };
    let timeline = reader.timeline(id)?;
    if matches
        .get_one::<String>("format")
        .is_some_and(|f| f == "json")
    {
        let mut page = incident_json(cx, &incident);
        page["timeline"] = timeline.iter().map(|e| entry_json(cx, e)).collect();
        println!("{page}");
    } else {
        print!("{}", page(cx, &reader, &incident, &timeline)?);
    }
    Ok(if incident.resolved.is_none() {
        Outcome::Trouble
    } else {
        Outcome::Fine
    })
}

fn entry_json(cx: &Context, e: &Line) -> Json {
    json!({
        "at": times::rfc3339(e.at, &cx.tz),
        "who": e.who,
        "what": e.what.as_str(),
        "from": e.from.as_str(),
        "to": e.to.as_str(),
        "alert": e.alert.as_ref().map(ToString::to_string),
        "value": e.value,
        "reason": e.reason,
    })
}

/// The incident page as text.
fn page(cx: &Context, reader: &Reader, i: &Incident, timeline: &[Line]) -> Result<String> {
    let clean = |text: &str| printable(text.as_bytes()).into_owned();
    let color = match i.severity {
        Severity::Page | Severity::Critical => "31",
        Severity::Warning => "33",
        Severity::Info => "36",
    };
    let mut out = format!(
        "{}  {}\n{}, {}, since {} ({})\n",
        cx.color.paint("1", &i.id.to_string()),
        clean(&i.title),
        cx.color.paint(color, i.severity.as_str()),
        i.state(),
        times::show(i.onset, &cx.tz),
        output::duration(i.duration_ms(cx.now)),
    );
    if let Some(a) = &i.acknowledged {
        out.push_str(&format!(
            "taken by {} at {}  {}\n",
            clean(&a.by),
            times::show(a.at, &cx.tz),
            clean(&a.note)
        ));
    }
    if let Some(r) = &i.resolved {
        let by =
            r.by.as_deref()
                .map_or("by itself".to_owned(), |by| format!("by {}", clean(by)));
        out.push_str(&format!(
            "resolved {by} at {}  {}\n",
            times::show(r.at, &cx.tz),
            clean(&r.reason)
        ));
    }
    out.push_str("\nAlerts\n");
    for alert in reader.incident_alerts(i.id)? {
        out.push_str(&format!(
            "  {}  {}\n",
            alert.state,
            clean(&alert.labels.to_string())
        ));
        for (name, text) in &alert.annotations {
            out.push_str(&format!("    {}: {}\n", clean(name), clean(text)));
        }
    }
    out.push_str("\nTime line\n");
    for e in timeline {
        let who = if e.who.is_empty() {
            String::new()
        } else {
            format!(" by {}", clean(&e.who))
        };
        let at = times::show(e.at, &cx.tz);
        out.push_str(&format!("  {at}  {}{who}  {}\n", e.what, clean(&e.reason)));
    }
    Ok(out)
}
