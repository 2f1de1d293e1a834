//! `vigie logs --file F --explain`: as what each kind of event is read, and where the others depart.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use vigie_parsers::formats::{self, Departure, Format};
use vigie_parsers::{Encoding, Event};

use super::Outcome;
use crate::context::Context;
use crate::files::{LINE_LEN_MAX, Reading, Whole, each_event};
use crate::output::printable;

/// Kinds of events that are told apart; a log of prose has as many as it likes.
const KINDS_MAX: usize = 100;
/// So much of a line is shown around the place that matters.
const SHOWN_MAX: usize = 160;
/// Bytes before that place.
const BEFORE: usize = 80;
/// Lines of one event that are shown.
const LINES_SHOWN: usize = 8;

/// Events that are read alike.
struct Kind {
    format: &'static Format,
    /// The names of the fields.
    names: Vec<String>,
    departure: Option<Departure>,
    events: u64,
    lines: u64,
    /// The first of them; its id is the number of its line.
    event: Event,
}

/// Reads files from end to end and prints what was found. Lines that nothing understands are trouble.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn run(cx: &Context, paths: &[PathBuf], reading: &Reading) -> Result<Outcome> {
    let mut outcome = Outcome::Fine;
    for path in paths {
        let name = match path.as_os_str() == "-" {
            true => "standard input".to_owned(),
            false => path.display().to_string(),
        };
        let found = read(path, reading).with_context(|| name.clone())?;
        print!("{}", found.text(cx, &name));
        let departs = found.kinds.iter().any(|kind| kind.departure.is_some());
        if departs || found.whole.damage.is_some() {
            outcome = Outcome::Trouble;
        }
    }
    Ok(outcome)
}

/// What a file holds.
#[derive(Default)]
struct Found {
    whole: Whole,
    kinds: Vec<Kind>,
    events: u64,
    /// Lines that belong to an event.
    filled: u64,
    /// Events of several lines.
    joined: u64,
    /// Events with a NUL in them.
    nuls: u64,
    /// Events of kinds beyond the limit.
    others: u64,
}

fn read(path: &Path, reading: &Reading) -> Result<Found> {
    let mut context = vigie_parsers::Context::new(crate::times::now(), reading.zone.clone());
    let mut found = Found::default();
    let whole = each_event(path, reading, &mut |event| {
        found.take(&mut context, reading.format, event);
    })?;
    found.whole = whole;
    Ok(found)
}

/// The first line of an event.
fn first_line(line: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
    let line = &line[..end];
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Found {
    fn take(
        &mut self,
        context: &mut vigie_parsers::Context,
        given: Option<&'static Format>,
        event: &Event,
    ) {
        let lines = 1 + memchr::memchr_iter(b'\n', &event.line).count() as u64;
        self.events += 1;
        self.filled += lines;
        self.joined += u64::from(lines > 1);
        self.nuls += u64::from(event.line.contains(&0));
        let Some(format) = formats::find(&event.format) else {
            return;
        };
        let stranger = given.map_or(format.name == "raw", |g| g.name != format.name);
        let departure = stranger
            .then(|| formats::explain(context, first_line(&event.line), given).nearest)
            .flatten();
        let expected =
            |d: &Option<Departure>| d.as_ref().map(|d| (d.format.name, d.expected.clone()));
        let wanted = expected(&departure);
        let record = &event.record;
        let names: Vec<&str> = record.fields.iter().map(|s| record.name(s.name)).collect();
        let known = self.kinds.iter_mut().find(|kind| {
            kind.format.name == format.name
                && kind.names == names
                && expected(&kind.departure) == wanted
        });
        if let Some(kind) = known {
            kind.events += 1;
            kind.lines += lines;
        } else if self.kinds.len() < KINDS_MAX {
            self.kinds.push(Kind {
                format,
                names: names.into_iter().map(str::to_owned).collect(),
                departure,
                events: 1,
                lines,
                event: event.clone(),
            });
        } else {
            self.others += 1;
        }
    }

    fn text(&self, cx: &Context, name: &str) -> String {
        let mut out = format!("{}: {}\n", printable(name.as_bytes()), self.summary());
        for note in self.notes() {
            // Writing to a string does not fail.
            let _ = writeln!(out, "  {note}");
        }
        for kind in &self.kinds {
            out.push('\n');
            kind.write(cx, &mut out);
        }
        out
    }

    /// `gzip or zstd, 23 lines, 6 events, 3 kinds, 2 lines empty`.
    fn summary(&self) -> String {
        let whole = &self.whole;
        if whole.lines == 0 {
            return match whole.is_journal {
                true => "a journal without entries".to_owned(),
                false => "empty".to_owned(),
            };
        }
        let mut parts = Vec::new();
        if whole.is_packed {
            parts.push("packed".to_owned());
        }
        if let Some(encoding) = whole.encoding.filter(|&e| e != Encoding::Utf8) {
            parts.push(encoding.to_string());
        }
        let (one, many) = match whole.is_journal {
            true => ("journal entry", "journal entries"),
            false => ("line", "lines"),
        };
        parts.push(counted(whole.lines, one, many));
        let empty = match whole.is_journal {
            true => 0,
            false => whole.lines.saturating_sub(self.filled),
        };
        if self.events == 0 {
            parts.push("all empty".to_owned());
            return parts.join(", ");
        }
        if self.joined > 0 {
            parts.push(counted(self.events, "event", "events"));
        }
        parts.push(counted(self.kinds.len() as u64, "kind", "kinds"));
        if empty > 0 {
            parts.push(format!("{empty} empty"));
        }
        if self.others > 0 {
            parts.push(format!("{} of more kinds", self.others));
        }
        parts.join(", ")
    }

    /// What an operator should know of the file as a whole.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.joined > 0 && !self.whole.is_journal {
            let events = counted(self.joined, "event has", "events have");
            notes.push(format!(
                "{events} several lines (--multiline off shows each line by itself)"
            ));
        }
        if self.whole.cut > 0 {
            let lines = counted(self.whole.cut, "event is", "events are");
            notes.push(format!(
                "{lines} longer than {} KiB: the rest is cut",
                LINE_LEN_MAX >> 10
            ));
        }
        if self.nuls > 0 {
            let lines = counted(self.nuls, "event has", "events have");
            notes.push(format!(
                "{lines} NUL bytes: this is no text, or its encoding is another (--encoding)"
            ));
        }
        if let Some(damage) = &self.whole.damage {
            notes.push(format!(
                "not all of it could be read: {}",
                printable(damage.as_bytes())
            ));
        }
        notes
    }
}

fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

impl Kind {
    fn write(&self, cx: &Context, out: &mut String) {
        let (events, lines, number) = (self.events, self.lines, self.event.id);
        let format = printable(self.format.name.as_bytes());
        let count = match lines > events {
            true => format!("{} of {lines} lines", counted(events, "event", "events")),
            false => counted(events, "line", "lines"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "{format}: {count}, the first is line {number}");
        match &self.departure {
            Some(departure) => point(first_line(&self.event.line), departure, out),
            None => {
                let (_, shown, _) = window(first_line(&self.event.line), 0);
                let _ = writeln!(out, "  {shown}");
            }
        }
        self.more(out);
        self.fields(cx, out);
    }

    /// The further lines of the event.
    fn more(&self, out: &mut String) {
        let lines = || self.event.line.split(|&b| b == b'\n').skip(1);
        for line in lines().take(LINES_SHOWN - 1) {
            let (_, shown, _) = window(line.strip_suffix(b"\r").unwrap_or(line), 0);
            let _ = writeln!(out, "  {shown}");
        }
        let rest = lines().count().saturating_sub(LINES_SHOWN - 1) as u64;
        if rest > 0 {
            let _ = writeln!(out, "  … {}", counted(rest, "more line", "more lines"));
        }
    }

    fn fields(&self, cx: &Context, out: &mut String) {
        let (line, record) = (&self.event.line, &self.event.record);
        let mut row = |name: &str, value: &[u8]| {
            let cut = value.get(..SHOWN_MAX).unwrap_or(value);
            let dots = if cut.len() < value.len() { "…" } else { "" };
            let _ = writeln!(out, "    {name:20} {}{dots}", printable(cut));
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
    let (front, shown, before) = window(line, departure.at.min(line.len()));
    let margin = front.chars().count() + before;
    let name = printable(departure.format.name.as_bytes()).into_owned();
    let column = departure.at + 1;
    let why = match &departure.expected {
        Some(expected) => format!("{name} expects {}", printable(expected.as_bytes())),
        None => format!("{name} goes no further"),
    };
    // Writing to a string does not fail.
    let _ = writeln!(out, "  {front}{shown}");
    let _ = writeln!(out, "  {:margin$}^ column {column}: {why}", "");
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
