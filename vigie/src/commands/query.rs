//! `vigie query`: figures, asked in PromQL.

use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value as Json, json};
use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Value};
use vigie_query::{Labels, Sample, Selection};
use vigie_store::Reader;
use vigie_store::series::Gap;

use super::{Entry, Outcome, format, since, until};
use crate::context::Context;
use crate::{output, times};

pub(super) const ENTRY: Entry = Entry {
    name: "query",
    about: "Asks for figures in PromQL, at one time or over a range.",
    flags,
    run,
};

fn flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("promql")
                .value_name("PROMQL")
                .required(true)
                .help("What to compute"),
        )
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("TIME")
                .help("At this time [default: now]"),
        )
        .arg(since("none: one time only"))
        .arg(until())
        .arg(
            Arg::new("step")
                .long("step")
                .value_name("DURATION")
                .help("Distance of the points [default: 250 over the range, 10s at least]"),
        )
        .arg(
            Arg::new("gaps")
                .long("gaps")
                .action(ArgAction::SetTrue)
                .help("Of a selector: where its series are unknown, and why"),
        )
        .arg(format(&["table", "json", "csv"]))
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let reader = cx.reader()?;
    let text = matches.get_one::<String>("promql").expect("required");
    let expr = promql::parse(text)?;
    if matches.get_flag("gaps") {
        return gaps(cx, matches, &reader, &expr);
    }
    let params = promql::Params::default();
    let ranged = matches.contains_id("since") || matches.contains_id("step");
    let at = cx.time(matches, "at", cx.now)?;
    let answer = if ranged {
        if matches.contains_id("at") {
            bail!("--at asks for one time, --since for a range: give one of them");
        }
        let (from, until, step) = range(cx, matches)?;
        promql::range(&reader, &expr, from, until, step, &params)?
    } else {
        promql::instant(&reader, &expr, at, &params)?
    };
    for warning in &answer.warnings {
        eprintln!("vigie: {warning}");
    }
    let format = matches
        .get_one::<String>("format")
        .map_or("table", String::as_str);
    match format {
        "json" => println!("{}", data(&answer.value, at)),
        "csv" => print!("{}", csv(cx, &answer.value, at)),
        _ => print!("{}", table(cx, &answer.value, at)),
    }
    Ok(Outcome::Fine)
}

/// Gaps that one answer names.
const GAPS_MAX: usize = 100_000;

/// `--gaps`: of the last hour, if nothing else is asked for.
fn gaps(
    cx: &Context,
    matches: &ArgMatches,
    reader: &Reader,
    expr: &promql::Expr,
) -> Result<Outcome> {
    let selectors = promql::selectors(expr);
    let [selector] = &selectors[..] else {
        bail!("--gaps is about the series of one selector, as node_load1{{instance=\"web1\"}}");
    };
    if matches.contains_id("at") {
        bail!("--at asks for one time, --gaps for a range: use --since and --until");
    }
    let (from, until, step_ms) = range(cx, matches)?;
    let found = reader.gaps(&Selection {
        matchers: &selector.matchers,
        from,
        until,
        step_ms,
        max_samples: GAPS_MAX,
        deadline: None,
    })?;
    let rows = found
        .iter()
        .flat_map(|s| s.gaps.iter().map(move |gap| (&s.labels, gap)));
    match matches.get_one::<String>("format").map(String::as_str) {
        Some("json") => {
            let gap = |g: &Gap| json!({"from": seconds(g.from), "until": seconds(g.until), "reason": g.reason.as_str()});
            let series = found.iter().map(|s| {
                json!({"metric": labels(&s.labels), "gaps": s.gaps.iter().map(gap).collect::<Vec<_>>()})
            });
            println!("{}", Json::Array(series.collect()));
        }
        Some("csv") => {
            println!("series,from,until,reason");
            for (labels, gap) in rows {
                let (from, until) = (
                    times::rfc3339(gap.from, &cx.tz),
                    times::rfc3339(gap.until, &cx.tz),
                );
                println!(
                    "{},{from},{until},{}",
                    quoted(&labels.to_string()),
                    gap.reason
                );
            }
        }
        _ => {
            let row = |(labels, gap): (&Labels, &Gap)| {
                vec![
                    labels.to_string(),
                    times::show(gap.from, &cx.tz),
                    times::show(gap.until, &cx.tz),
                    output::duration(gap.until.since_ms(gap.from)),
                    gap.reason.to_string(),
                ]
            };
            let header = ["series", "after", "until", "lasting", "reason"];
            print!("{}", output::table(&header, &[], rows.map(row).collect()));
        }
    }
    Ok(if found.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Trouble
    })
}

/// `--since`, `--until`, `--step` with their defaults.
pub(super) fn range(cx: &Context, matches: &ArgMatches) -> Result<(Timestamp, Timestamp, i64)> {
    let until = cx.time(matches, "until", cx.now)?;
    let from = cx.time(matches, "since", until.plus_ms(-3_600_000))?;
    if from >= until {
        bail!("--since must lie before --until");
    }
    let step = match matches.try_get_one::<String>("step").ok().flatten() {
        Some(text) => times::duration_ms(text)
            .filter(|&ms| ms > 0)
            .ok_or_else(|| anyhow::anyhow!("--step {text}: use a duration as 30s or 5m"))?,
        // Whole tens of seconds, so that points fall on slots.
        None => (until.since_ms(from) / 250 / 10_000).max(1) * 10_000,
    };
    Ok((from.max(Timestamp(0)), until, step))
}

/// Prometheus' `data` object.
fn data(value: &Value, at: Timestamp) -> Json {
    match value {
        Value::Scalar(s) => {
            json!({"resultType": "scalar", "result": pair(&Sample { time: at, value: *s })})
        }
        Value::String(text) => {
            json!({"resultType": "string", "result": [seconds(at), text]})
        }
        Value::Vector(rows) => json!({
            "resultType": "vector",
            "result": rows
                .iter()
                .map(|r| json!({"metric": labels(&r.labels), "value": pair(&r.sample)}))
                .collect::<Vec<_>>(),
        }),
        Value::Matrix(series) => json!({
            "resultType": "matrix",
            "result": series
                .iter()
                .map(|s| json!({
                    "metric": labels(&s.labels),
                    "values": s.samples.iter().map(pair).collect::<Vec<_>>(),
                }))
                .collect::<Vec<_>>(),
        }),
    }
}

fn labels(labels: &Labels) -> Json {
    let pairs = labels.iter().map(|(n, v)| (n.to_owned(), json!(v)));
    Json::Object(pairs.collect())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this era fit a double"
)]
fn seconds(time: Timestamp) -> f64 {
    time.0 as f64 / 1000.0
}

fn pair(sample: &Sample) -> Json {
    json!([seconds(sample.time), promql::format_value(sample.value)])
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Rows of series, time and value, whatever the kind of the answer.
fn rows(value: &Value, at: Timestamp) -> Vec<(String, Timestamp, f64)> {
    match value {
        Value::Scalar(s) => vec![("scalar".to_owned(), at, *s)],
        Value::String(_) => Vec::new(),
        Value::Vector(rows) => rows
            .iter()
            .map(|r| (r.labels.to_string(), r.sample.time, r.sample.value))
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .flat_map(|s| {
                let name = s.labels.to_string();
                s.samples
                    .iter()
                    .map(move |p| (name.clone(), p.time, p.value))
            })
            .collect(),
    }
}

fn csv(cx: &Context, value: &Value, at: Timestamp) -> String {
    let mut out = "series,time,value\n".to_owned();
    for (series, time, value) in rows(value, at) {
        let time = times::rfc3339(time, &cx.tz);
        out.push_str(&format!(
            "{},{time},{}\n",
            quoted(&series),
            promql::format_value(value)
        ));
    }
    out
}

fn table(cx: &Context, value: &Value, at: Timestamp) -> String {
    if let Value::String(text) = value {
        return format!("{text}\n");
    }
    let rows = rows(value, at)
        .into_iter()
        .map(|(series, time, value)| {
            vec![
                series,
                times::show(time, &cx.tz),
                promql::format_value(value),
            ]
        })
        .collect();
    output::table(&["series", "time", "value"], &[2], rows)
}
