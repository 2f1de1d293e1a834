//! How answers are printed: text for people, JSON, CSV, or lines as they came.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use clap::ArgMatches;
use serde_json::{Map, Value as Json, json};
use vigie_parsers::{Event, Severity};
use vigie_query::Order;
use vigie_query::log::{self, Cell, Hit, Sink, Table, printable_json};

use crate::context::Context;
use crate::output::{self, csv_field, printable};
use crate::times;

/// Prints events oldest first as people read, and tables.
pub(in crate::commands) struct Printer<'a> {
    cx: &'a Context,
    format: String,
    raw: bool,
    /// Lines that came newest first and wait to be turned round.
    held: Vec<Vec<u8>>,
    out: BufWriter<io::Stdout>,
    /// Lines and rows printed.
    pub(super) shown: usize,
    /// The numbers of the events of the search.
    ids: HashSet<u64>,
    /// The first line of a CSV is out.
    has_header: bool,
}

impl<'a> Printer<'a> {
    pub(in crate::commands) fn new(cx: &'a Context, matches: &ArgMatches) -> Self {
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
            ids: HashSet::new(),
            has_header: false,
        }
    }

    /// Prints what is held, oldest first.
    pub(in crate::commands) fn finish(&mut self, order: Order) -> io::Result<()> {
        if order == Order::NewestFirst {
            self.held.reverse();
        }
        if self.format == "csv" && !self.held.is_empty() && !self.has_header {
            self.has_header = true;
            self.out.write_all(b"time,level,host,app,message\n")?;
        }
        for line in self.held.drain(..) {
            self.out.write_all(&line)?;
        }
        self.out.flush()
    }

    /// The numbers of the events printed so far, forgotten here.
    pub(super) fn take_shown(&mut self) -> HashSet<u64> {
        std::mem::take(&mut self.ids)
    }

    fn line(&self, event: &Event, extracted: &[(String, Vec<u8>)], neighbour: bool) -> Vec<u8> {
        let mut line = match self.format.as_str() {
            "raw" => event.line.clone(),
            "json" => {
                let json = self.json(event, extracted).to_string();
                printable_json(&json).into_owned().into_bytes()
            }
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
        let level = event.severity.map_or("-", Severity::as_str);
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
            event.severity.map_or("", Severity::as_str),
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
        self.ids.insert(hit.event.id);
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
                let line = |r| format!("{}\n", printable_json(&row(r).to_string()));
                table.rows.iter().map(line).collect()
            }
            "csv" => {
                let header: Vec<String> = table.columns.iter().map(|c| csv_field(c)).collect();
                let mut out = header.join(",") + "\n";
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
