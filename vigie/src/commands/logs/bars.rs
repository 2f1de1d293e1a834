//! The line of bars above the answer: on a terminal only, and never in the way of the answer.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use vigie_parsers::Severity;
use vigie_query::log::{FieldName, Outcome, Pipe, Query};
use vigie_query::{EventSource, GroupBy, Scan, Step};

use crate::context::Context;
use crate::histogram::{Histogram, Look};

/// Whoever waits for lines does not wait longer for bars.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Steps that are counted; the line has fewer bars.
const STEPS: i64 = 288;
/// The columns of a terminal that does not say.
const WIDTH: usize = 80;

/// Whether bars are wanted: as asked for, else where both outputs are a terminal.
pub(super) fn wanted(cx: &Context, matches: &ArgMatches, query: &Query) -> bool {
    let plain = |p: &Pipe| {
        matches!(
            p,
            Pipe::Context(_) | Pipe::Tail(_) | Pipe::Head(_) | Pipe::Limit(_)
        )
    };
    let text = matches
        .get_one::<String>("format")
        .is_some_and(|f| f == "text");
    if !text || !query.pipes.iter().all(plain) {
        return false;
    }
    match matches.get_one::<String>("histogram").map(String::as_str) {
        Some("always") => true,
        Some("never") => false,
        _ => {
            let on_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
            on_terminal && !cx.quiet
        }
    }
}

/// Counts what the query matches in the range that it looked at.
pub(super) fn count(
    source: &dyn EventSource,
    query: &Query,
    outcome: &Outcome,
) -> Option<Histogram> {
    let range = &outcome.range;
    let span = range.end.since_ms(range.start);
    let step = Step {
        ms: (span / STEPS).max(1000),
        origin: range.start,
    };
    let level = [FieldName::new("level")];
    let by = GroupBy {
        fields: &level,
        step: Some(step),
        max_groups: 64,
    };
    let mut scan = Scan::new(range.start, range.end, &query.filter);
    scan.deadline = Some(Instant::now() + TIME_MAX);
    let found = source.count_by(&scan, &by).ok()?;
    if found.stats.incomplete.is_some() {
        return None;
    }
    let mut histogram = Histogram::default();
    for group in &found.groups {
        let level = group.key.first().and_then(Option::as_deref);
        let level = level.and_then(Severity::from_word);
        for &(time, n) in &group.steps {
            histogram.add(time, level, n);
        }
    }
    Some(histogram)
}

/// Draws it on standard error, for the terminal's width.
pub(super) fn draw(cx: &Context, histogram: Histogram) {
    let line = histogram.line(&Look {
        color: cx.color,
        zone: &cx.tz,
        width: width(),
        unicode: unicode(),
    });
    if let Some(line) = line {
        eprintln!("{line}");
    }
}

fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    let known = size.map(|s| usize::from(s.ws_col)).filter(|n| *n > 0);
    let set = || std::env::var("COLUMNS").ok()?.parse().ok();
    known.or_else(set).unwrap_or(WIDTH)
}

/// Whether the terminal is said to show UTF-8.
fn unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"];
    let mut values = set.iter().filter_map(|v| std::env::var(v).ok());
    values
        .find(|v| !v.is_empty())
        .is_none_or(|v| v.to_ascii_lowercase().contains("utf"))
}
