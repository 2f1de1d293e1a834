//! `vigie graph`: a picture of figures, as rrdtool graph made them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use vigie_dashboard::chart::{ChartSpec, Size, Theme, Unit, graph_png, graph_svg};
use vigie_query::Series;
use vigie_query::promql::{self, Value};

use super::{Entry, Outcome, query, since, until};
use crate::context::Context;

pub(super) const ENTRY: Entry = Entry {
    name: "graph",
    about: "Draws figures into an SVG or PNG file, with current, average, maximum and 95th percentile.",
    flags,
    run,
};

fn flags(command: Command) -> Command {
    let value = |name: &'static str, form: &'static str| Arg::new(name).long(name).value_name(form);
    command
        .arg(
            Arg::new("promql")
                .value_name("PROMQL")
                .required(true)
                .action(ArgAction::Append)
                .num_args(1..)
                .help("What to draw; each expression adds its series"),
        )
        .arg(
            value("out", "FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Where to: the ending, .svg or .png, decides the kind"),
        )
        .arg(since("1h"))
        .arg(until())
        .arg(
            value("size", "WxH")
                .default_value("800x300")
                .help("Size in pixels"),
        )
        .arg(value("title", "TEXT").help("What stands above [default: the first expression]"))
        .arg(
            value("theme", "THEME")
                .value_parser(["light", "dark"])
                .default_value("light")
                .help("Colours for paper or for a dark page"),
        )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let out = matches.get_one::<PathBuf>("out").expect("required");
    let expressions: Vec<&String> = matches.get_many("promql").expect("required").collect();
    let (from, until, _) = query::range(cx, matches)?;
    let size = size(matches.get_one::<String>("size").expect("has a default"))?;
    // Two pixels a point, on whole seconds: more would not be seen.
    let step_ms = (until.since_ms(from) / i64::from(size.width / 2).max(1) / 1000).max(1) * 1000;
    let reader = cx.reader()?;
    let mut series: Vec<Series> = Vec::new();
    for text in &expressions {
        let expr = promql::parse(text)?;
        let params = promql::Params::default();
        match promql::range(&reader, &expr, from, until, step_ms, &params)?.value {
            Value::Matrix(more) => series.extend(more),
            _ => bail!("{text}: gives no series to draw"),
        }
    }
    let title = matches.get_one::<String>("title").unwrap_or(expressions[0]);
    let unit = unit(expressions[0]);
    let spec = ChartSpec::from_series(title, unit, &series, (from, until), step_ms, &cx.tz);
    let theme = match matches.get_one::<String>("theme").map(String::as_str) {
        Some("dark") => Theme::Dark,
        _ => Theme::Light,
    };
    let bytes = match ending(out).as_str() {
        "svg" => graph_svg(&spec, size, theme)?.into_bytes(),
        "png" => graph_png(&spec, size, theme)?,
        _ => bail!("--out {}: the name must end in .svg or .png", out.display()),
    };
    std::fs::write(out, bytes).with_context(|| out.display().to_string())?;
    Ok(if series.is_empty() {
        eprintln!("vigie: no series matches; the picture is empty");
        Outcome::Trouble
    } else {
        Outcome::Fine
    })
}

fn ending(path: &Path) -> String {
    path.extension()
        .map(|e| e.to_string_lossy().to_lowercase())
        .unwrap_or_default()
}

/// What the first metric of an expression counts, by its name.
fn unit(expression: &str) -> Unit {
    let rate = ["rate(", "deriv("].iter().any(|f| expression.contains(f));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let metric = expression
        .split(|c| !word(c))
        .find(|w| w.contains('_') && !expression.contains(&format!("{w}(")));
    metric.map_or(Unit::COUNT, |name| Unit::of_metric(name, rate))
}

/// `800x300`, within what makes sense on paper and in memory.
fn size(text: &str) -> Result<Size> {
    let parsed = text
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    match parsed {
        Some((width @ 100..=8000, height @ 80..=8000)) => Ok(Size { width, height }),
        _ => bail!("--size {text}: use WIDTHxHEIGHT, 100x80 to 8000x8000"),
    }
}
