//! `vigie logs`: searches the store, or files directly.

mod bars;
mod explain;
mod follow;
pub(super) mod show;
pub(crate) mod words;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use vigie_parsers::Timestamp;
use vigie_query::log::{self, Clock, Moment, Pipe, Query, RunContext, TimeRange};
use vigie_query::{EventSource, ScanStats};
use vigie_store::Reader;
use vigie_store::incidents::ChangeKind;

use super::{
    Entry, Outcome, at_most, encoding, format, log_files, log_format, multiline, query_words,
    reading, since, unescaped, until,
};
use crate::context::Context;
use crate::files::{Files, Reading};
use crate::output;
use crate::times;
use follow::Tail;
use show::Printer;

pub(super) const ENTRY: Entry = Entry {
    name: "logs",
    about: "Searches the logs: words, fields, times, and pipes that count.",
    flags,
    run,
};

/// Lines that are shown when nothing else is said.
const LINES: &str = "200";
/// Deploys are looked for so far back.
const DEPLOY_MS: i64 = 366 * 86_400_000;
/// Changes that are looked at in search of the last deploy.
const CHANGES_MAX: usize = 10_000;

fn flags(command: Command) -> Command {
    command
        .arg(query_words(
            "Words, fields and pipes, as: status>=500 | top path",
        ))
        .arg(since("the last hour; with --file all"))
        .arg(until())
        .arg(at_most(LINES, "At most so many, the newest"))
        .arg(
            Arg::new("follow")
                .short('f')
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Go on with what arrives, of files through rotation"),
        )
        .arg(format(&["text", "json", "csv", "raw"]))
        .arg(log_files())
        .arg(log_format().requires("file"))
        .arg(encoding().requires("file"))
        .arg(multiline().requires("file"))
        .arg(
            Arg::new("explain")
                .long("explain")
                .requires("file")
                .conflicts_with_all(["query", "follow", "context"])
                .action(ArgAction::SetTrue)
                .help("Show what each kind of line is read as, and where the others go wrong"),
        )
        .arg(
            Arg::new("context")
                .short('C')
                .long("context")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help("Also the N lines before and after, of the same source"),
        )
        .arg(unescaped())
        .arg(
            Arg::new("histogram")
                .long("histogram")
                .value_name("WHEN")
                .value_parser(["auto", "always", "never"])
                .default_value("auto")
                .hide_possible_values(true)
                .help("A line of bars above the answer: auto (on a terminal), always or never"),
        )
        .arg(
            Arg::new("stats")
                .long("stats")
                .action(ArgAction::SetTrue)
                .help("Say what the search had to read"),
        )
        .after_help(
            "Examples:\n  \
             vigie logs 'level>=err @30m | patterns'\n  \
             vigie logs --since 2h app:nginx timeout -healthcheck\n  \
             vigie logs -f 'status>=500'\n  \
             vigie logs --file /var/log/syslog* 'level>=warn' -C 3\n  \
             vigie logs --file access.log --explain",
        )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let reading = reading(cx, matches);
    if matches.get_flag("explain") {
        let paths: Vec<PathBuf> = matches
            .get_many("file")
            .unwrap_or_default()
            .cloned()
            .collect();
        return explain::run(cx, &paths, &reading);
    }
    let mut query = parse(matches)?;
    let mut context = run_context(cx);
    context.limits.rows = *matches.get_one::<usize>("lines").expect("has a default");
    if let Some(&n) = matches.get_one::<usize>("context") {
        // So many hits, each with its neighbours.
        let hits = context.limits.rows;
        query.pipes.insert(0, Pipe::Limit(hits));
        query.pipes.insert(1, Pipe::Context(n));
        let each = n.saturating_mul(2).saturating_add(1);
        context.limits.rows = hits.saturating_mul(each);
    }
    let paths: Option<Vec<PathBuf>> = matches.get_many("file").map(|p| p.cloned().collect());
    context.default_range = range(cx, matches, paths.is_some())?;
    let bars = bars::wanted(cx, matches, &query);
    match &paths {
        Some(paths) => {
            let again = query.pipes.iter().any(Pipe::reads_again);
            let mut files = Files::new(paths.clone(), reading.clone(), again)?;
            if bars {
                files = files.with_histogram();
            }
            if matches.get_flag("follow") {
                files = files.that_may_come();
            }
            let histogram = |_: &Query, _: &log::Outcome| files.histogram();
            let outcome = search(
                cx,
                matches,
                &query,
                &context,
                &files,
                Some((paths, &reading)),
                &histogram,
            )?;
            let words: Vec<&String> = matches.get_many("query").unwrap_or_default().collect();
            if matches!(outcome, Outcome::Trouble)
                && let Some(name) = words::mistaken(&words)
            {
                eprintln!("vigie: '{name}' is no file here: it was searched for as a word");
            }
            Ok(outcome)
        }
        None => {
            let reader = cx.reader()?;
            context.clock.deploy = last_deploy(&reader, cx.now);
            let histogram = |query: &Query, outcome: &log::Outcome| {
                bars.then(|| bars::count(&reader, query, outcome)).flatten()
            };
            search(cx, matches, &query, &context, &reader, None, &histogram)
        }
    }
}

type Bars<'a> = dyn Fn(&Query, &log::Outcome) -> Option<crate::histogram::Histogram> + 'a;

fn search(
    cx: &Context,
    matches: &ArgMatches,
    query: &Query,
    context: &RunContext<'_>,
    source: &dyn EventSource,
    files: Option<(&[PathBuf], &Reading)>,
    bars: &Bars<'_>,
) -> Result<Outcome> {
    let start = Instant::now();
    // What arrives during the search is followed, and not shown twice.
    let follow = matches.get_flag("follow");
    let tail = match follow {
        true => Some(Tail::new(query, source, files)?),
        false => None,
    };
    let mut printer = Printer::new(cx, matches);
    let outcome = log::run(source, query, context, &mut printer)?;
    if let Some(histogram) = bars(query, &outcome) {
        bars::draw(cx, histogram);
    }
    printer.finish(outcome.order)?;
    if let Some(reason) = &outcome.stats.incomplete {
        eprintln!("vigie: incomplete: {reason}");
    }
    if matches.get_flag("stats") {
        eprintln!("{}", stats(&outcome.stats, files.is_some(), start));
    }
    if let Some(mut tail) = tail {
        tail.run(context, query, &mut printer)?;
    }
    Ok(match (printer.shown, outcome.stats.incomplete) {
        (0, _) | (_, Some(_)) => Outcome::Trouble,
        _ => Outcome::Fine,
    })
}

/// The query, which may be spread over several arguments.
pub(super) fn parse(matches: &ArgMatches) -> Result<Query> {
    let words: Vec<&str> = matches
        .get_many::<String>("query")
        .map(|words| words.map(String::as_str).collect())
        .unwrap_or_default();
    Ok(Query::parse(&words.join(" "))?)
}

/// What every query has around it: the present, the zone, when the machine started.
pub(super) fn run_context(cx: &Context) -> RunContext<'static> {
    RunContext::new(Clock {
        now: cx.now,
        zone: cx.tz.clone(),
        boot: boot(),
        deploy: None,
    })
}

/// What a search had to do, in one line.
fn stats(stats: &ScanStats, files: bool, start: Instant) -> String {
    let ms = start.elapsed().as_secs_f64() * 1000.0;
    let (checked, matched) = (stats.events_checked, stats.events_matched);
    let read = output::bytes(stats.bytes_read);
    let what = match files {
        true if stats.blocks == 1 => format!("1 file, {read}"),
        true => format!("{} files, {read}", stats.blocks),
        false => {
            let skipped = stats.blocks.saturating_sub(stats.blocks_read);
            let (all, opened) = (stats.blocks, stats.blocks_read);
            format!("{all} blocks: {opened} read, {skipped} skipped, {read}")
        }
    };
    format!("{what}; {checked} events checked, {matched} matched; {ms:.1} ms")
}

/// `--since` and `--until`; without them the last hour, of files everything.
pub(super) fn range(cx: &Context, matches: &ArgMatches, all: bool) -> Result<TimeRange> {
    let given = |name| matches.contains_id(name);
    if !given("since") && !given("until") {
        return Ok(if all {
            TimeRange::All
        } else {
            TimeRange::Of(Moment::Ago(3_600_000))
        });
    }
    let point = |name| -> Result<Option<Moment>> {
        Ok(match given(name) {
            true => Some(Moment::Fixed(cx.time(matches, name, cx.now)?)),
            false => None,
        })
    };
    Ok(TimeRange::Between(point("since")?, point("until")?))
}

/// When this machine started.
fn boot() -> Option<Timestamp> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split(' ').next()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "an uptime is small")]
    Some(times::now().plus_ms(-(seconds * 1000.0) as i64))
}

/// When something was last deployed, as far as the store knows.
pub(super) fn last_deploy(reader: &Reader, now: Timestamp) -> Option<Timestamp> {
    let changes = reader
        .changes(now.plus_ms(-DEPLOY_MS), now, CHANGES_MAX)
        .ok()?;
    let deploys = changes.iter().filter(|c| c.kind == ChangeKind::Deploy);
    deploys.map(|c| c.at).max()
}
