//! `vigie logs --file F --explain`: as what each kind of line is read, and where the others depart.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use vigie_parsers::formats::{self, Departure, Detector, Format};
use vigie_parsers::lines::Lines;
use vigie_parsers::{Event, Record};

use super::Outcome;
use crate::context::Context;
use crate::files::{Input, Reading, Text};
use crate::output::printable;

/// Kinds of lines that are told apart; a log of prose has as many as it likes.
const KINDS_MAX: usize = 100;
/// So much of a line is shown around the place that matters.
const SHOWN_MAX: usize = 160;
/// Bytes before that place.
const BEFORE: usize = 80;

/// Lines that are read alike.
struct Kind {
    format: &'static Format,
    /// The names of the fields.
    names: Vec<String>,
    departure: Option<Departure>,
    count: u64,
    /// The first such line and its number.
    number: u64,
    event: Event,
}

/// Reads files from end to end and prints what was found. Lines that nothing understands are trouble.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn run(cx: &Context, paths: &[PathBuf], reading: &Reading) -> Result<Outcome> {
    let mut outcome = Outcome::Fine;
    for path in paths {
        let found = read(path, reading).with_context(|| path.display().to_string())?;
        print!("{}", found.text(cx, path));
        if found.kinds.iter().any(|kind| kind.departure.is_some()) {
            outcome = Outcome::Trouble;
        }
    }
    Ok(outcome)
}

/// What a file holds.
#[derive(Default)]
struct Found {
    kinds: Vec<Kind>,
    lines: u64,
    empty: u64,
    /// Lines of kinds beyond the limit.
    others: u64,
}

fn read(path: &Path, reading: &Reading) -> Result<Found> {
    let (mut input, given) = (Input::open(path)?, reading.format);
    let mut context = vigie_parsers::Context::new(input.modified, reading.zone.clone());
    let (mut detector, mut record) = (Detector::default(), Record::default());
    let mut found = Found::default();
    let (mut lines, mut buffer) = (Lines::default(), Vec::new());
    let mut text = Text::new(reading.encoding);
    loop {
        buffer.clear();
        let more = text.read(&mut input, &mut buffer)?;
        let mut each = |line: vigie_parsers::lines::Line<'_>| {
            found.lines += 1;
            let mark: &[u8] = if found.lines == 1 {
                b"\xef\xbb\xbf"
            } else {
                b""
            };
            let line = line.text.strip_prefix(mark).unwrap_or(line.text);
            if line.is_empty() {
                found.empty += 1;
                return;
            }
            let format = match given {
                Some(format) => {
                    record.clear();
                    match format.parse(&mut context, line, &mut record) {
                        true => format,
                        false => detector.parse(&mut context, line, &mut record),
                    }
                }
                None => detector.parse(&mut context, line, &mut record),
            };
            let stranger = given.map_or(format.name == "raw", |g| g.name != format.name);
            let departure = stranger
                .then(|| formats::explain(&mut context, line, given).nearest)
                .flatten();
            found.add(format, departure, line, &record);
        };
        lines.push(&buffer, &mut each);
        if !more {
            lines.finish(&mut each);
            return Ok(found);
        }
    }
}

impl Found {
    fn add(
        &mut self,
        format: &'static Format,
        departure: Option<Departure>,
        line: &[u8],
        record: &Record,
    ) {
        let expected =
            |d: &Option<Departure>| d.as_ref().map(|d| (d.format.name, d.expected.clone()));
        let wanted = expected(&departure);
        let names: Vec<&str> = record.fields.iter().map(|s| record.name(s.name)).collect();
        let known = self.kinds.iter_mut().find(|kind| {
            kind.format.name == format.name
                && kind.names == names
                && expected(&kind.departure) == wanted
        });
        if let Some(kind) = known {
            kind.count += 1;
        } else if self.kinds.len() < KINDS_MAX {
            self.kinds.push(Kind {
                format,
                names: names.into_iter().map(str::to_owned).collect(),
                departure,
                count: 1,
                number: self.lines,
                event: Event {
                    line: line.to_vec(),
                    record: record.clone(),
                    ..Event::default()
                },
            });
        } else {
            self.others += 1;
        }
    }

    fn text(&self, cx: &Context, path: &Path) -> String {
        let name = printable(path.display().to_string().as_bytes()).into_owned();
        let mut out = format!("{name}: {} lines, {} kinds", self.lines, self.kinds.len());
        if self.empty > 0 {
            out.push_str(&format!(", {} empty", self.empty));
        }
        if self.others > 0 {
            out.push_str(&format!(", {} of more kinds", self.others));
        }
        out.push('\n');
        for kind in &self.kinds {
            out.push('\n');
            kind.write(cx, &mut out);
        }
        out
    }
}

impl Kind {
    fn write(&self, cx: &Context, out: &mut String) {
        let lines = if self.count == 1 { "line" } else { "lines" };
        let (count, number) = (self.count, self.number);
        let format = printable(self.format.name.as_bytes());
        out.push_str(&format!(
            "{format}: {count} {lines}, the first is line {number}\n"
        ));
        let line = &self.event.line;
        match &self.departure {
            Some(departure) => point(line, departure, out),
            None => {
                let (_, shown, _) = window(line, 0);
                out.push_str(&format!("  {shown}\n"));
            }
        }
        let record = &self.event.record;
        let mut row = |name: &str, value: &[u8]| {
            let cut = value.get(..SHOWN_MAX).unwrap_or(value);
            let dots = if cut.len() < value.len() { "…" } else { "" };
            out.push_str(&format!("    {name:20} {}{dots}\n", printable(cut)));
        };
        if let Some(time) = record.time {
            row("time", crate::times::show(time, &cx.tz).as_bytes());
        }
        if let Some(severity) = record.severity {
            row("level", severity.as_str().as_bytes());
        }
        for span in &record.fields {
            row(
                &printable(record.name(span.name).as_bytes()),
                &span.value(line),
            );
        }
        let message = self.event.message();
        if message.len() < line.len() {
            row("message", message);
        }
    }
}

/// The line with an arrow under the byte at which the nearest format gave up.
fn point(line: &[u8], departure: &Departure, out: &mut String) {
    let (front, shown, before) = window(line, departure.at);
    out.push_str(&format!("  {front}{shown}\n"));
    let margin = front.chars().count() + before;
    let name = printable(departure.format.name.as_bytes()).into_owned();
    let column = departure.at + 1;
    let why = match &departure.expected {
        Some(expected) => format!("{name} expects {}", printable(expected.as_bytes())),
        None => format!("{name} goes no further"),
    };
    out.push_str(&format!("  {:margin$}^ column {column}: {why}\n", ""));
}

/// What is shown of a line around a place: what stands for the bytes that are left out before, the text, and
/// how many characters of it are before the place.
fn window(line: &[u8], at: usize) -> (&'static str, String, usize) {
    let start = at.saturating_sub(BEFORE);
    let front = if start > 0 { "…" } else { "" };
    let end = line.len().min(start + SHOWN_MAX);
    let before = printable(line.get(start..at).unwrap_or_default())
        .chars()
        .count();
    let mut text = printable(line.get(start..end).unwrap_or_default()).into_owned();
    if end < line.len() {
        text.push('…');
    }
    (front, text, before)
}
