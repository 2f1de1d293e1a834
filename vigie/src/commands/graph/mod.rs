//! `vigie graph`: a picture of figures, as rrdtool graph made them, or their numbers.

mod elements;
mod export;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use vigie_dashboard::chart::ask::{Ask, Asked, Asking, Options};
use vigie_dashboard::chart::graph::Plan;
use vigie_dashboard::chart::{ChartSpec, Draft, Scale, Size, Theme, Unit, graph_png, graph_svg};
use vigie_parsers::Timestamp;
use vigie_query::promql::Params;

use super::{Entry, Outcome, since, until};
use crate::context::Context;
use crate::times;

pub(super) const ENTRY: Entry = Entry {
    name: "graph",
    about: "Draws figures into an SVG or PNG file with their statistics, or writes them as CSV or JSON.",
    flags,
    run,
};

fn value(name: &'static str, form: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(form).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// A flag whose value may be left out; then it stands after `=`.
fn optional(name: &'static str, form: &'static str, missing: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(form)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value(missing)
}

fn flags(command: Command) -> Command {
    let command = command
        .arg(
            Arg::new("promql")
                .value_name("PROMQL")
                .required(true)
                .action(ArgAction::Append)
                .num_args(1..)
                .help("What to draw; each expression adds its series"),
        )
        .arg(
            value("out", "FILE", "Where to; the ending, .svg, .png, .csv or .json, decides the kind")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            value("format", "FORMAT", "Kind of the output; without --out it goes to standard output")
                .value_parser(["svg", "png", "csv", "json"]),
        )
        .arg(since("1h"))
        .arg(until())
        .arg(value("step", "DURATION", "Distance of the points that statistics come from [default: 10,200 over the range]"))
        .arg(value("size", "WxH", "Size in pixels; a long legend makes the picture taller").default_value("800x320"))
        .arg(
            value("theme", "THEME", "Colours for paper or for a dark page")
                .value_parser(["light", "dark"])
                .default_value("light"),
        )
        .arg(value("title", "TEXT", "What stands above [default: the first expression]"))
        .arg(
            value("label", "TEXT", "What the curves of an expression are called, in the order of the expressions; {{device}} stands for the value of the label device")
                .action(ArgAction::Append),
        );
    overlays(axes(command))
}

fn axes(command: Command) -> Command {
    command
        .arg(value(
            "unit",
            "UNIT",
            "What the values count, as B/s [default: by the metric's name]",
        ))
        .arg(
            value("base", "BASE", "Prefixes of 1000 (k, M) or 1024 (Ki, Mi)")
                .value_parser(["1000", "1024"]),
        )
        .arg(value("min", "VALUE", "The value axis begins here").allow_hyphen_values(true))
        .arg(value("max", "VALUE", "The value axis ends here").allow_hyphen_values(true))
        .arg(flag("log", "A logarithmic value axis"))
}

fn overlays(command: Command) -> Command {
    let many = |arg: Arg| arg.action(ArgAction::Append);
    command
        .arg(
            optional("area", "N", "all")
                .help("Areas below the curves: of all expressions, or of the first N"),
        )
        .arg(flag("stack", "Each curve on the one before"))
        .arg(flag(
            "no-envelope",
            "No tint between the smallest and the largest value of each pixel",
        ))
        .arg(many(
            value(
                "threshold",
                "VALUE[:LABEL[:LEVEL]]",
                "A line across; LEVEL is info, warn (default) or crit",
            )
            .visible_alias("hrule")
            .allow_hyphen_values(true),
        ))
        .arg(many(value(
            "vrule",
            "TIME[,LABEL[,LEVEL]]",
            "A line at a time",
        )))
        .arg(flag(
            "incidents",
            "Incidents as tinted spans, changes as lines",
        ))
        .arg(
            optional("percentile", "PERCENT", "95")
                .help("A line at the value that so many percent [95] do not pass"),
        )
        .arg(
            optional("trend", "DURATION", "0s")
                .help("The least-squares line of each curve, DURATION beyond the end"),
        )
        .arg(many(value(
            "shift",
            "DURATION",
            "The same so long before, dashed, as 1w",
        )))
        .arg(
            optional("bands", "SEASON", "1d")
                .help("What is expected of a season [1d] and by how much it strays, as hw_predict"),
        )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let out = matches.get_one::<PathBuf>("out");
    let format = format(matches, out)?;
    let size = size(matches.get_one::<String>("size").expect("has a default"))?;
    let reader = cx.reader()?;
    let (from, until) = span(cx, matches)?;
    let ahead = ahead_ms(matches)?;
    let pixels = size.plot_width();
    let plan = match duration(matches, "step")? {
        Some(step) => Plan::with_step(from, until.plus_ms(ahead), pixels, step),
        None => Plan::new(from, until.plus_ms(ahead), pixels),
    };
    let ask = Ask {
        plan,
        params: Params::default(),
    };
    let (asked, options, unit) = (
        asked(matches),
        options(matches)?,
        unit(matches, &asked(matches)),
    );
    let Asking { mut draft, hidden } = ask.draft(&reader, &asked, &options, unit)?;
    if hidden > 0 {
        eprintln!("vigie: {hidden} more series are not drawn; aggregate or select fewer");
    }
    let empty = draft.lines.is_empty();
    let title = matches.get_one::<String>("title");
    draft.title = title.cloned().unwrap_or_else(|| asked[0].text.clone());
    draft.horizon = (ahead > 0).then_some(until).or(Some(cx.now));
    draft.scale = scale(matches)?;
    draft.time_ticks = 8;
    elements::add(cx, matches, &reader, &mut draft)?;
    let bytes = render(cx, matches, draft, (format, size))?;
    match out {
        Some(out) => std::fs::write(out, bytes).with_context(|| out.display().to_string())?,
        None => std::io::stdout().lock().write_all(&bytes)?,
    }
    Ok(if empty {
        eprintln!("vigie: no series matches; there is nothing to see");
        Outcome::Trouble
    } else {
        Outcome::Fine
    })
}

fn render(
    cx: &Context,
    matches: &ArgMatches,
    draft: Draft,
    (format, size): (&str, Size),
) -> Result<Vec<u8>> {
    let theme = match matches.get_one::<String>("theme").map(String::as_str) {
        Some("dark") => Theme::Dark,
        _ => Theme::Light,
    };
    let spec: ChartSpec = draft.finish(&cx.tz);
    Ok(match format {
        "svg" => graph_svg(&spec, size, theme)?.into_bytes(),
        "png" => graph_png(&spec, size, theme)?,
        "csv" => export::csv(&spec, &cx.tz).into_bytes(),
        _ => export::json(&spec).into_bytes(),
    })
}

/// The kind of the output: as said, else by the ending.
fn format<'a>(matches: &'a ArgMatches, out: Option<&PathBuf>) -> Result<&'a str> {
    if let Some(format) = matches.get_one::<String>("format") {
        if out.is_none() && format == "png" && std::io::stdout().is_terminal() {
            bail!("a PNG is nothing for a terminal: use --out FILE, or send it elsewhere");
        }
        return Ok(format);
    }
    let Some(out) = out else {
        bail!(
            "--out FILE is needed: .svg, .png, .csv or .json; or --format, which writes to standard output"
        );
    };
    Ok(match ending(out).as_str() {
        "svg" => "svg",
        "png" => "png",
        "csv" => "csv",
        "json" => "json",
        _ => bail!(
            "--out {}: the name must end in .svg, .png, .csv or .json, or --format must say the kind",
            out.display()
        ),
    })
}

fn ending(path: &Path) -> String {
    path.extension()
        .map(|e| e.to_string_lossy().to_lowercase())
        .unwrap_or_default()
}

fn span(cx: &Context, matches: &ArgMatches) -> Result<(Timestamp, Timestamp)> {
    let until = cx.time(matches, "until", cx.now)?;
    let from = cx.time(matches, "since", until.plus_ms(-3_600_000))?;
    if from >= until {
        bail!("--since must lie before --until");
    }
    Ok((from.max(Timestamp(0)), until))
}

fn asked(matches: &ArgMatches) -> Vec<Asked> {
    let texts = matches.get_many::<String>("promql").expect("required");
    let mut labels = matches.get_many::<String>("label").into_iter().flatten();
    let one = |text: &String| Asked {
        text: text.clone(),
        label: labels.next().cloned(),
    };
    texts.map(one).collect()
}

fn options(matches: &ArgMatches) -> Result<Options> {
    let areas = match matches.get_one::<String>("area").map(String::as_str) {
        None => None,
        Some("all") => Some(usize::MAX),
        Some(n) => Some(
            n.parse()
                .with_context(|| format!("--area={n}: use a number of expressions"))?,
        ),
    };
    let percentile = match matches.get_one::<String>("percentile") {
        None => None,
        Some(text) => match number("percentile", text)? {
            percent if percent > 0.0 && percent <= 100.0 => Some(percent),
            _ => bail!("--percentile={text}: use a number from 0 to 100"),
        },
    };
    let mut shifts_ms = Vec::new();
    for text in matches.get_many::<String>("shift").into_iter().flatten() {
        shifts_ms.push(positive("shift", text)?);
    }
    Ok(Options {
        areas,
        stack: matches.get_flag("stack"),
        envelope: !matches.get_flag("no-envelope"),
        percentile,
        trend: matches.contains_id("trend"),
        shifts_ms,
        season_ms: duration(matches, "bands")?,
        ..Options::default()
    })
}

/// How far the time axis goes beyond the end.
fn ahead_ms(matches: &ArgMatches) -> Result<i64> {
    match matches.get_one::<String>("trend") {
        None => Ok(0),
        Some(text) => times::duration_ms(text)
            .filter(|ms| *ms >= 0)
            .with_context(|| format!("--trend={text}: use a duration as 7d")),
    }
}

fn duration(matches: &ArgMatches, name: &str) -> Result<Option<i64>> {
    let text = matches.get_one::<String>(name);
    text.map(|text| positive(name, text)).transpose()
}

fn positive(name: &str, text: &str) -> Result<i64> {
    times::duration_ms(text)
        .filter(|ms| *ms >= 1000)
        .with_context(|| format!("--{name} {text}: use a duration as 30s, 5m or 1w"))
}

fn number(name: &str, text: &str) -> Result<f64> {
    let parsed = text.parse::<f64>().ok().filter(|v| v.is_finite());
    parsed.with_context(|| format!("--{name} {text}: use a number"))
}

fn scale(matches: &ArgMatches) -> Result<Scale> {
    let bound = |name: &str| -> Result<Option<f64>> {
        let text = matches.get_one::<String>(name);
        text.map(|text| number(name, text)).transpose()
    };
    let (min, max, log) = (bound("min")?, bound("max")?, matches.get_flag("log"));
    if min.zip(max).is_some_and(|(min, max)| min >= max) {
        bail!("--min must lie below --max");
    }
    if log && [min, max].into_iter().flatten().any(|v| v <= 0.0) {
        bail!("--log: the ends of the axis must be above 0");
    }
    Ok(Scale { min, max, log })
}

fn unit(matches: &ArgMatches, asked: &[Asked]) -> Option<Unit> {
    let base = matches.get_one::<String>("base").map(|b| match b.as_str() {
        "1024" => 1024,
        _ => 1000,
    });
    // One picture a process: its unit may live as long as it.
    let named = matches.get_one::<String>("unit").map(|symbol| {
        let symbol: &'static str = symbol.clone().leak();
        let plain = ["%", "°C", "s", ""].contains(&symbol);
        Unit::named(symbol, (!plain).then_some(1000))
    });
    match (named, base) {
        (unit, None) => unit,
        (Some(unit), Some(base)) => Some(unit.with_base(base)),
        (None, Some(base)) => {
            let first = asked.first().map(|a| a.text.as_str()).unwrap_or_default();
            Some(vigie_dashboard::chart::ask::unit_of(first).with_base(base))
        }
    }
}

/// `800x320`, within what makes sense on paper and in memory.
fn size(text: &str) -> Result<Size> {
    let parsed = text
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let fits = |s: &Size| {
        (Size::MIN.width..=Size::MAX.width).contains(&s.width)
            && (Size::MIN.height..=Size::MAX.height).contains(&s.height)
    };
    let size = parsed.map(|(width, height)| Size { width, height });
    size.filter(fits).with_context(|| {
        let (min, max) = (Size::MIN, Size::MAX);
        format!(
            "--size {text}: use WIDTHxHEIGHT, {}x{} to {}x{}",
            min.width, min.height, max.width, max.height
        )
    })
}
