//! Queries and their answers, on lines written for it.

#![expect(clippy::cast_possible_truncation, reason = "short lines, near times")]

mod errors;
mod language;
mod pipes;
mod properties;
mod questions;

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::{Event, Field, Kind, Origin, Record, Severity, Timestamp};

use super::{Cell, Clock, Hit, Memory, Outcome, Query, RunContext, Sink, Table, printable, run};

/// 2026-11-21T12:00:00Z
const NOW: Timestamp = Timestamp(1_795_262_400_000);

fn clock() -> Clock {
    Clock {
        boot: Some(NOW.plus_ms(-6 * 3_600_000)),
        deploy: Some(NOW.plus_ms(-20 * 60_000)),
        ..Clock::new(NOW, TimeZone::UTC)
    }
}

/// An event from `-5m err file.log host=web1 | text with {field:value} and {duration|ms:12}`: its
/// age, level (`-` for none), source, the origin's fields, and the line, where `{@…}` is the stamp and
/// the message begins behind `{>}`.
fn event(text: &str) -> Event {
    let (head, marked) = text.split_once(" | ").expect(text);
    let mut head = head.split_whitespace();
    let age = head.next().unwrap().trim_start_matches('-');
    let level = head.next().unwrap();
    let source = head.next().unwrap().to_owned();
    let fields = head.map(|f| f.split_once('=').unwrap());
    let fields = fields.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let age = (super::number::parse(age.as_bytes()).unwrap() * 1e3).round() as i64;
    let (line, record) = unmark(marked);
    Event {
        id: 0,
        time: NOW.plus_ms(-age),
        recv: NOW.plus_ms(-age),
        severity: Severity::from_word(level.as_bytes()),
        format: "test".into(),
        origin: Arc::new(Origin { source, fields }),
        line: line.into_bytes(),
        record,
    }
}

fn unmark(marked: &str) -> (String, Record) {
    let (mut line, mut record) = (String::new(), Record::default());
    let mut rest = marked;
    while let Some((text, tail)) = rest.split_once('{') {
        line.push_str(text);
        let (inner, tail) = tail.split_once('}').expect(marked);
        rest = tail;
        let start = line.len();
        if inner == ">" {
            record.message.start = start as u32;
            continue;
        }
        if let Some(stamp) = inner.strip_prefix('@') {
            line.push_str(stamp);
            record.time_span = start as u32..line.len() as u32;
            continue;
        }
        let (name, value) = inner.split_once(':').expect(marked);
        line.push_str(value);
        let (name, kind) = match name.split_once('|') {
            Some((name, "ms")) => (name, Kind::Millis),
            Some((name, "json")) => (name, Kind::Json),
            Some((name, _)) => (name, Kind::Quoted),
            None => (name, Kind::Plain),
        };
        match Field::from_name(name) {
            Some(field) => record.push(field, start, line.len(), kind),
            None => record.push_dynamic("", name, start..line.len(), kind),
        }
    }
    line.push_str(rest);
    record.message.end = line.len() as u32;
    (line, record)
}

fn events(text: &str) -> Memory {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    Memory::new(lines.map(event).collect())
}

/// Writes an answer down.
#[derive(Default)]
struct Written {
    lines: Vec<String>,
    table: Option<Table>,
}

impl Sink for Written {
    fn event(&mut self, hit: &Hit<'_>) -> ControlFlow<()> {
        let mark = if hit.is_neighbour { "  " } else { "" };
        self.lines
            .push(format!("{mark}{}", printable(&hit.event.line)));
        ControlFlow::Continue(())
    }

    fn table(&mut self, table: Table) {
        self.lines.push(table.columns.join(" "));
        for row in &table.rows {
            assert_eq!(row.len(), table.columns.len());
            let cells: Vec<String> = row.iter().map(show).collect();
            self.lines.push(cells.join(" "));
        }
        self.table = Some(table);
    }
}

fn show(cell: &Cell) -> String {
    let mut out = String::new();
    let _ = match cell {
        Cell::Null => write!(out, "-"),
        Cell::Text(text) => write!(out, "{}", printable(text)),
        Cell::Count(n) => write!(out, "{n}"),
        Cell::Number(n) => write!(out, "{}", (n * 1e3).round() / 1e3),
        Cell::Share(n) => write!(out, "{}%", (n * 1e3).round() / 10.0),
        Cell::Seconds(n) => write!(out, "{n}s"),
        Cell::Time(time) => write!(out, "{}s", time.since_ms(NOW) / 1000),
    };
    out
}

fn answer(source: &Memory, query: &str) -> (Vec<String>, Outcome) {
    let query = Query::parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    let again = Query::parse(&query.to_string());
    assert_eq!(again.as_ref(), Ok(&query), "{query}");
    let mut written = Written::default();
    let outcome = run(source, &query, &RunContext::new(clock()), &mut written).unwrap();
    (written.lines, outcome)
}

/// Asks `source` and compares what comes, line by line, `expected` indented at will.
fn check(source: &Memory, query: &str, expected: &str) {
    let (found, outcome) = answer(source, query);
    let marks: fn(&str) -> String = |l| l.trim().replace("~", "  ");
    let expected: Vec<String> = expected
        .lines()
        .map(marks)
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(found, expected, "{query}");
    assert_eq!(outcome.stats.incomplete, None, "{query}");
}
