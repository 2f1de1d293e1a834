//! `vigie logs`: searches the store, or files directly.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value as Json, json};
use vigie_parsers::{Event, Timestamp};
use vigie_query::log::{self, Cell, Clock, Hit, Moment, Query, RunContext, Sink, Table, TimeRange};
use vigie_query::{EventSource, Order, Scan};

use super::{Entry, Outcome, format, since, until};
use crate::context::Context;
use crate::files::Files;
use crate::output::{self, csv_field, printable};
use crate::times;

pub(super) const ENTRY: Entry = Entry {
    name: "logs",
    about: "Searches the logs: words, fields, times, and pipes that count.",
    flags,
    run,
};

/// Lines that are shown when nothing else is said.
const LINES: &str = "200";
/// How often `--follow` looks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);
/// `--follow` shows lines that arrive late up to this much.
const FOLLOW_LATE_MS: i64 = 3_600_000;

fn flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("query")
                .value_name("QUERY")
                .num_args(0..)
                .help("Words, fields and pipes, as: status>=500 | top path"),
        )
        .arg(since("the last hour; with --file all"))
        .arg(until())
        .arg(
            Arg::new("lines")
                .short('n')
                .long("lines")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .default_value(LINES)
                .help("At most so many, the newest"),
        )
        .arg(
            Arg::new("follow")
                .short('f')
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Go on with what arrives"),
        )
        .arg(format(&["text", "json", "csv", "raw"]))
        .arg(
            Arg::new("file")
                .long("file")
                .value_name("FILE")
                .action(ArgAction::Append)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Read these files (.gz, .zst, - too) instead of the store"),
        )
        .arg(
            Arg::new("context")
                .short('C')
                .long("context")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help("Also the N lines before and after, of the same source"),
        )
        .arg(
            Arg::new("raw")
                .long("raw")
                .action(ArgAction::SetTrue)
                .help("Do not escape control characters in text output"),
        )
        .arg(
            Arg::new("stats")
                .long("stats")
                .action(ArgAction::SetTrue)
                .help("Say what the search had to read"),
        )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let words: Vec<&String> = matches
        .get_many("query")
        .map(Iterator::collect)
        .unwrap_or_default();
    let text = words
        .iter()
        .map(|w| w.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    let mut query = Query::parse(&text)?;
    if let Some(&n) = matches.get_one::<usize>("context") {
        query.pipes.insert(0, log::Pipe::Context(n));
    }
    let files = matches.get_many::<PathBuf>("file");
    let from_files = files.is_some();
    let source: Box<dyn EventSource> = match files {
        Some(paths) => Box::new(Files::new(paths.cloned().collect(), cx.tz.clone())),
        None => Box::new(cx.reader()?),
    };
    let mut run = RunContext::new(Clock {
        now: cx.now,
        zone: cx.tz.clone(),
        boot: boot(),
        deploy: None,
    });
    run.limits.rows = *matches.get_one::<usize>("lines").expect("has a default");
    run.default_range = range(cx, matches, from_files)?;
    let start = Instant::now();
    let mut printer = Printer::new(cx, matches);
    let outcome = log::run(source.as_ref(), &query, &run, &mut printer)?;
    printer.finish(outcome.order)?;
    if let Some(reason) = &outcome.stats.incomplete {
        eprintln!("vigie: incomplete: {reason}");
    }
    if matches.get_flag("stats") {
        let s = &outcome.stats;
        eprintln!(
            "{} blocks, {} read, {}; {} events checked, {} matched; {:.1} ms",
            s.blocks,
            s.blocks_read,
            output::bytes(s.bytes_read),
            s.events_checked,
            s.events_matched,
            start.elapsed().as_secs_f64() * 1000.0
        );
    }
    if matches.get_flag("follow") {
        if from_files || query.makes_table() {
            bail!("--follow goes with a plain search of the store");
        }
        follow(cx, source.as_ref(), &query, &mut printer)?;
    }
    Ok(if printer.shown == 0 {
        Outcome::Trouble
    } else {
        Outcome::Fine
    })
}

/// `--since` and `--until`; without them the last hour, of files everything.
fn range(cx: &Context, matches: &ArgMatches, all: bool) -> Result<TimeRange> {
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

/// Prints what arrives, until interrupted.
fn follow(
    cx: &Context,
    source: &dyn EventSource,
    query: &Query,
    printer: &mut Printer,
) -> Result<()> {
    let mut seen = printer.newest;
    loop {
        std::thread::sleep(FOLLOW_INTERVAL);
        let now = times::now();
        let mut scan = Scan::new(
            now.plus_ms(-FOLLOW_LATE_MS),
            now.plus_ms(FOLLOW_LATE_MS),
            &query.filter,
        );
        scan.order = Order::OldestFirst;
        let mut newest = seen;
        source.scan(&scan, &mut |event| {
            if event.id > seen && event.recv >= cx.now {
                newest = newest.max(event.id);
                printer.print(event);
            }
            ControlFlow::Continue(())
        })?;
        seen = newest;
        printer.out.flush()?;
    }
}

/// Prints events oldest first as people read, and tables.
struct Printer<'a> {
    cx: &'a Context,
    format: String,
    raw: bool,
    /// Lines that came newest first and wait to be turned round.
    held: Vec<Vec<u8>>,
    out: BufWriter<io::Stdout>,
    shown: usize,
    newest: u64,
}

impl<'a> Printer<'a> {
    fn new(cx: &'a Context, matches: &ArgMatches) -> Self {
        Self {
            cx,
            format: matches
                .get_one::<String>("format")
                .cloned()
                .unwrap_or_default(),
            raw: matches.get_flag("raw"),
            held: Vec::new(),
            out: BufWriter::new(io::stdout()),
            shown: 0,
            newest: 0,
        }
    }

    fn finish(&mut self, order: Order) -> io::Result<()> {
        if order == Order::NewestFirst {
            self.held.reverse();
        }
        if self.format == "csv" && !self.held.is_empty() {
            self.out.write_all(b"time,level,host,app,message\n")?;
        }
        for line in std::mem::take(&mut self.held) {
            self.out.write_all(&line)?;
        }
        self.out.flush()
    }

    /// Prints one event at once.
    fn print(&mut self, event: &Event) {
        let line = self.line(event, &Vec::new(), false);
        // A closed pipe ends the program by its signal.
        let _ = self.out.write_all(&line);
    }

    fn line(&self, event: &Event, extracted: &[(String, Vec<u8>)], neighbour: bool) -> Vec<u8> {
        let mut line = match self.format.as_str() {
            "raw" => event.line.clone(),
            "json" => self.json(event, extracted).to_string().into_bytes(),
            "csv" => self.csv(event).into_bytes(),
            _ => self.text(event, neighbour),
        };
        line.push(b'\n');
        line
    }

    fn text(&self, event: &Event, neighbour: bool) -> Vec<u8> {
        let cx = self.cx;
        let field = |name: &str| {
            event
                .field(name)
                .map(|v| printable(&v).into_owned())
                .unwrap_or_default()
        };
        let level = event.severity.map_or("-", vigie_parsers::Severity::as_str);
        let mut head = format!("{} ", times::show(event.time, &cx.tz));
        head.push_str(&cx.color.severity(event.severity, &format!("{level:<6}")));
        let (host, app) = (field("host"), field("app"));
        for part in [&host, &app].into_iter().filter(|p| !p.is_empty()) {
            head.push(' ');
            head.push_str(&cx.color.paint("2", part));
        }
        head.push_str(if neighbour { " - " } else { "  " });
        let mut line = head.into_bytes();
        let message = log::message(event);
        if self.raw {
            line.extend_from_slice(&message);
        } else {
            line.extend_from_slice(printable(&message).as_bytes());
        }
        line
    }

    fn csv(&self, event: &Event) -> String {
        let field = |name: &str| {
            csv_field(&String::from_utf8_lossy(
                &event.field(name).unwrap_or_default(),
            ))
        };
        format!(
            "{},{},{},{},{}",
            times::rfc3339(event.time, &self.cx.tz),
            event.severity.map_or("", vigie_parsers::Severity::as_str),
            field("host"),
            field("app"),
            csv_field(&String::from_utf8_lossy(&log::message(event)))
        )
    }

    /// All fields, as one object. Bytes that are no text come as U+FFFD; `--format raw` has them.
    fn json(&self, event: &Event, extracted: &[(String, Vec<u8>)]) -> Json {
        let text = |v: &[u8]| json!(String::from_utf8_lossy(v));
        let mut object = Map::new();
        object.insert(
            "time".into(),
            json!(times::rfc3339(event.time, &self.cx.tz)),
        );
        object.insert(
            "recv".into(),
            json!(times::rfc3339(event.recv, &self.cx.tz)),
        );
        if let Some(severity) = event.severity {
            object.insert("level".into(), json!(severity.as_str()));
        }
        if let Some(facility) = event.record.facility {
            object.insert("facility".into(), json!(facility.as_str()));
        }
        object.insert("source".into(), json!(event.origin.source));
        object.insert("format".into(), json!(event.format.as_ref()));
        for (name, value) in extracted {
            object.insert(name.clone(), text(value));
        }
        for span in &event.record.fields {
            let name = event.record.name(span.name);
            if name != "pri" && name != "level" && !object.contains_key(name) {
                object.insert(name.to_owned(), text(&span.value(&event.line)));
            }
        }
        for (name, value) in &event.origin.fields {
            if !object.contains_key(name) {
                object.insert(name.clone(), json!(value));
            }
        }
        object.insert("message".into(), text(&log::message(event)));
        Json::Object(object)
    }

    fn cell(&self, cell: &Cell) -> String {
        match cell {
            Cell::Null => String::new(),
            Cell::Text(text) => printable(text).into_owned(),
            Cell::Count(n) => n.to_string(),
            Cell::Number(n) => number(*n),
            Cell::Share(share) => format!("{:.1} %", share * 100.0),
            Cell::Seconds(s) => format!("{} s", number(*s)),
            Cell::Time(t) => times::show(*t, &self.cx.tz),
        }
    }

    fn cell_json(&self, cell: &Cell) -> Json {
        match cell {
            Cell::Null => Json::Null,
            Cell::Text(text) => json!(String::from_utf8_lossy(text)),
            Cell::Count(n) => json!(n),
            Cell::Number(n) | Cell::Share(n) | Cell::Seconds(n) => json!(n),
            Cell::Time(t) => json!(times::rfc3339(*t, &self.cx.tz)),
        }
    }
}

/// Up to four digits behind the point, none that say nothing.
fn number(n: f64) -> String {
    let text = format!("{n:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Sink for Printer<'_> {
    fn event(&mut self, hit: &Hit<'_>) -> ControlFlow<()> {
        self.shown += 1;
        self.newest = self.newest.max(hit.event.id);
        let line = self.line(hit.event, hit.extracted, hit.is_neighbour);
        self.held.push(line);
        ControlFlow::Continue(())
    }

    fn table(&mut self, table: Table) {
        self.shown += table.rows.len();
        let text = match self.format.as_str() {
            "json" => {
                let row = |row: &Vec<Cell>| -> Json {
                    let cells = table.columns.iter().zip(row);
                    Json::Object(cells.map(|(n, c)| (n.clone(), self.cell_json(c))).collect())
                };
                table.rows.iter().map(|r| format!("{}\n", row(r))).collect()
            }
            "csv" => {
                let mut out = table.columns.join(",") + "\n";
                for row in &table.rows {
                    let cells: Vec<String> = row.iter().map(|c| csv_field(&self.cell(c))).collect();
                    out.push_str(&(cells.join(",") + "\n"));
                }
                out
            }
            _ => {
                let numeric = |at: &usize| {
                    table
                        .rows
                        .iter()
                        .all(|r| !matches!(r[*at], Cell::Text(_) | Cell::Time(_)))
                };
                let right: Vec<usize> = (0..table.columns.len()).filter(numeric).collect();
                let rows = table
                    .rows
                    .iter()
                    .map(|r| r.iter().map(|c| self.cell(c)).collect());
                let header: Vec<&str> = table.columns.iter().map(String::as_str).collect();
                output::table(&header, &right, rows.collect())
            }
        };
        // A closed pipe ends the program by its signal.
        let _ = self.out.write_all(text.as_bytes());
    }
}
