//! `vigie patterns`: what kinds of messages there are, how often, and what changed.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use vigie_parsers::Timestamp;
use vigie_query::EventSource;
use vigie_query::log::{self, Cell, Hit, Moment, Pipe, Query, RunContext, Sink, Table, TimeRange};

use super::logs::show::Printer;
use super::logs::{last_deploy, parse, range, run_context};
use super::{
    Entry, Outcome, at_most, encoding, format, log_files, log_format, multiline, query_words,
    reading, since, unescaped, until,
};
use crate::context::Context;
use crate::files::Files;
use crate::output::{self, printable};
use crate::times;

pub(super) const ENTRY: Entry = Entry {
    name: "patterns",
    about: "Counts the kinds of messages: the most frequent, the new ones, what changed.",
    flags,
    run,
};

/// Patterns that are shown when nothing else is said.
const PATTERNS: &str = "50";
/// Patterns of a window that are compared.
const COMPARED_MAX: usize = 100_000;
/// So many times as often is risen…
const FACTOR: f64 = 2.0;
/// … if it is beyond so many standard deviations of chance.
const DEVIATIONS: f64 = 3.0;

fn flags(command: Command) -> Command {
    command
        .arg(query_words("Of which lines, as: level>=warn app:sshd"))
        .arg(since("the last hour; with --file all"))
        .arg(until())
        .arg(
            Arg::new("new")
                .long("new")
                .action(ArgAction::SetTrue)
                .conflicts_with("compare")
                .help("Only patterns that the 30 days before did not have"),
        )
        .arg(
            Arg::new("compare")
                .long("compare")
                .value_name("TIME..TIME")
                .help("What is new, gone, risen or fallen against these times, as 25h..24h"),
        )
        .arg(at_most(PATTERNS, "At most so many patterns"))
        .arg(format(&["text", "json", "csv"]))
        .arg(log_files())
        .arg(log_format().requires("file"))
        .arg(encoding().requires("file"))
        .arg(multiline().requires("file"))
        .arg(unescaped())
        .after_help(
            "Counts by source, app, level and pattern are kept when the lines themselves are gone.\n\n\
             Examples:\n  \
             vigie patterns 'level>=warn' --since 1d\n  \
             vigie patterns --new --since 2h\n  \
             vigie patterns app:haproxy --since 1h --compare 25h..24h\n  \
             vigie patterns --file /var/log/syslog*",
        )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let query = parse(matches)?;
    if let Some(pipe) = query.pipes.iter().find(|p| !matches!(p, Pipe::Where(_))) {
        let word = pipe.word();
        bail!("'{word}' has no place here: give a filter, or use vigie logs '… | patterns | …'");
    }
    let paths: Option<Vec<PathBuf>> = matches.get_many("file").map(|p| p.cloned().collect());
    let mut context = run_context(cx);
    context.default_range = range(cx, matches, paths.is_some())?;
    match paths {
        Some(paths) => {
            let again = matches.contains_id("compare") || matches.get_flag("new");
            let files = Files::new(paths, reading(cx, matches), again)?;
            answer(cx, matches, query, context, &files)
        }
        None => {
            let reader = cx.reader()?;
            context.clock.deploy = last_deploy(&reader, cx.now);
            answer(cx, matches, query, context, &reader)
        }
    }
}

fn answer(
    cx: &Context,
    matches: &ArgMatches,
    mut query: Query,
    mut context: RunContext<'_>,
    source: &dyn EventSource,
) -> Result<Outcome> {
    let most = *matches.get_one::<usize>("lines").expect("has a default");
    let (table, whole) = match matches.get_one::<String>("compare") {
        Some(text) => {
            context.limits.rows = COMPARED_MAX;
            let before = window(cx, text)?;
            let now = patterns(source, &query, &context)?;
            query.time = Some(TimeRange::Between(
                Some(Moment::Fixed(before.start)),
                Some(Moment::Fixed(before.end)),
            ));
            let then = patterns(source, &query, &context)?;
            let ratio = length(&now.span) / length(&before);
            let table = compare(&now.table, &then.table, ratio, most);
            (table, now.whole && then.whole)
        }
        None => {
            context.limits.rows = most;
            if matches.get_flag("new") {
                query.pipes.push(Pipe::New { since: None });
            }
            let found = patterns(source, &query, &context)?;
            (found.table, found.whole)
        }
    };
    let outcome = match whole && !table.rows.is_empty() {
        true => Outcome::Fine,
        false => Outcome::Trouble,
    };
    match matches.get_one::<String>("format").map(String::as_str) {
        Some("text") | None => print(cx, matches.get_flag("raw"), &table),
        Some(_) => {
            let mut printer = Printer::new(cx, matches);
            printer.table(table);
            printer.finish(vigie_query::Order::OldestFirst)?;
        }
    }
    Ok(outcome)
}

#[expect(clippy::cast_precision_loss, reason = "a span of time")]
fn length(range: &Range<Timestamp>) -> f64 {
    range.end.since_ms(range.start).max(1) as f64
}

/// `T..T`
fn window(cx: &Context, text: &str) -> Result<Range<Timestamp>> {
    let (from, until) = text
        .split_once("..")
        .ok_or_else(|| anyhow!("--compare takes two times, as 25h..24h, not '{text}'"))?;
    let point = |text: &str| {
        times::point(text, cx.now, &cx.tz).map_err(|e| anyhow!("--compare {text}: {e}"))
    };
    let range = point(from)?..point(until)?;
    if range.is_empty() {
        bail!("--compare {text}: the first time must lie before the second");
    }
    Ok(range)
}

/// The patterns of a query.
struct Found {
    table: Table,
    /// The time that they are about.
    span: Range<Timestamp>,
    /// Everything could be read.
    whole: bool,
}

fn patterns(source: &dyn EventSource, query: &Query, context: &RunContext<'_>) -> Result<Found> {
    let mut query = query.clone();
    if !query.makes_table() {
        query.pipes.push(Pipe::Patterns);
    }
    let mut answer = Answer::default();
    let outcome = log::run(source, &query, context, &mut answer)?;
    if let Some(reason) = &outcome.stats.incomplete {
        eprintln!("vigie: incomplete: {reason}");
    }
    Ok(Found {
        table: answer.0,
        span: outcome.range,
        whole: outcome.stats.incomplete.is_none(),
    })
}

#[derive(Default)]
struct Answer(Table);

impl Sink for Answer {
    fn event(&mut self, _: &Hit<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn table(&mut self, table: Table) {
        self.0 = table;
    }
}

/// A column of a table's row.
fn cell<'t>(table: &Table, row: &'t [Cell], name: &str) -> Option<&'t Cell> {
    row.get(table.columns.iter().position(|c| c == name)?)
}

fn count(table: &Table, row: &[Cell]) -> u64 {
    match cell(table, row, "count") {
        Some(Cell::Count(n)) => *n,
        _ => 0,
    }
}

/// What changed, worst surprise first; `ratio` is how much longer the first window is.
fn compare(now: &Table, then: &Table, ratio: f64, most: usize) -> Table {
    let key = |table: &Table, row: &[Cell]| match cell(table, row, "pattern") {
        Some(Cell::Text(text)) => text.clone(),
        _ => Vec::new(),
    };
    let mut before: HashMap<Vec<u8>, &Vec<Cell>> = HashMap::new();
    for row in &then.rows {
        before.insert(key(then, row), row);
    }
    let mut changes = Vec::new();
    let mut add = |is: u64, was: u64, table: &Table, row: &[Cell]| {
        if let Some((change, surprise)) = change(is, was, ratio) {
            let text = |name| cell(table, row, name).cloned().unwrap_or(Cell::Null);
            let cells = vec![
                Cell::Text(change.as_bytes().to_vec()),
                Cell::Count(is),
                Cell::Count(was),
                text("pattern"),
                text("sample"),
            ];
            changes.push((surprise, cells));
        }
    };
    for row in &now.rows {
        let was = before.remove(&key(now, row));
        add(count(now, row), was.map_or(0, |r| count(then, r)), now, row);
    }
    for row in before.into_values() {
        add(0, count(then, row), then, row);
    }
    let pattern = |cells: &[Cell]| cells.get(3).cloned().unwrap_or(Cell::Null);
    changes.sort_by(|(a, p), (b, q)| {
        b.total_cmp(a).then_with(|| match (pattern(p), pattern(q)) {
            (Cell::Text(p), Cell::Text(q)) => p.cmp(&q),
            _ => std::cmp::Ordering::Equal,
        })
    });
    changes.truncate(most);
    Table {
        columns: ["change", "now", "before", "pattern", "sample"]
            .map(str::to_owned)
            .to_vec(),
        rows: changes.into_iter().map(|(_, cells)| cells).collect(),
    }
}

/// What became of a pattern, and how surprising that is: in standard deviations of a count that
/// happens by chance.
#[expect(clippy::cast_precision_loss, reason = "counts of lines")]
fn change(is: u64, was: u64, ratio: f64) -> Option<(&'static str, f64)> {
    let expected = was as f64 * ratio;
    let surprise = (is as f64 - expected).abs() / expected.max(1.0).sqrt();
    let far = surprise >= DEVIATIONS;
    match (is, was) {
        (_, 0) => Some(("new", surprise)),
        (0, _) => Some(("gone", surprise)),
        _ if far && is as f64 >= expected * FACTOR => Some(("risen", surprise)),
        _ if far && is as f64 * FACTOR <= expected => Some(("fallen", surprise)),
        _ => None,
    }
}

/// The rows, each with its sample below where that says more.
fn print(cx: &Context, raw: bool, table: &Table) {
    let show = |text: &[u8]| match raw {
        true => String::from_utf8_lossy(text).into_owned(),
        false => printable(text).into_owned(),
    };
    let columns: Vec<&str> = table
        .columns
        .iter()
        .map(String::as_str)
        .filter(|c| *c != "sample")
        .collect();
    let rows = table.rows.iter().map(|row| {
        let value = |name: &&str| match cell(table, row, name) {
            Some(Cell::Text(text)) => show(text),
            Some(Cell::Count(n)) => n.to_string(),
            Some(Cell::Share(share)) => format!("{:.1} %", share * 100.0),
            Some(Cell::Time(time)) => times::show(*time, &cx.tz),
            _ => String::new(),
        };
        columns.iter().map(value).collect()
    });
    let numbers = ["count", "share", "now", "before"];
    let right: Vec<usize> = (0..columns.len())
        .filter(|&at| numbers.contains(&columns[at]))
        .collect();
    let text = output::table(&columns, &right, rows.collect());
    let mut lines = text.lines();
    println!("{}", lines.next().unwrap_or_default());
    for (line, row) in lines.zip(&table.rows) {
        println!("{line}");
        let text = |name| match cell(table, row, name) {
            Some(Cell::Text(text)) => show(text),
            _ => String::new(),
        };
        let sample = text("sample");
        if !sample.is_empty() && sample != text("pattern") {
            println!("    {}", cx.color.paint("2", &sample));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::change;

    #[test]
    fn what_chance_explains_is_no_change() {
        let check = |is, was, ratio, expected| {
            assert_eq!(change(is, was, ratio).map(|c| c.0), expected, "{is} {was}");
        };
        check(1, 0, 1.0, Some("new"));
        check(0, 1, 1.0, Some("gone"));
        check(100, 100, 1.0, None);
        check(3, 1, 1.0, None);
        check(300, 100, 1.0, Some("risen"));
        check(30, 100, 1.0, Some("fallen"));
        // Twice as many in twice the time.
        check(200, 100, 2.0, None);
        check(600, 100, 2.0, Some("risen"));
    }
}
