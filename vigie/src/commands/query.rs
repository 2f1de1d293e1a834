//! `vigie query`: figures, asked in PromQL.

use anyhow::{Result, bail};
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value as Json, json};
use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Value};
use vigie_query::{Labels, Sample};

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
        .arg(format(&["table", "json", "csv"]))
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let reader = cx.reader()?;
    let text = matches.get_one::<String>("promql").expect("required");
    let expr = promql::parse(text)?;
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
    let labels =
        |l: &Labels| Json::Object(l.iter().map(|(n, v)| (n.to_owned(), json!(v))).collect());
    match value {
        Value::Scalar(s) => {
            json!({"resultType": "scalar", "result": pair(&Sample { time: at, value: *s })})
        }
        Value::String(text) => json!({"resultType": "string", "result": text}),
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

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this era fit a double"
)]
fn pair(sample: &Sample) -> Json {
    json!([
        sample.time.0 as f64 / 1000.0,
        promql::format_value(sample.value)
    ])
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
    let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut out = "series,time,value\n".to_owned();
    for (series, time, value) in rows(value, at) {
        let time = times::rfc3339(time, &cx.tz);
        out.push_str(&format!(
            "{},{time},{}\n",
            quote(&series),
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
