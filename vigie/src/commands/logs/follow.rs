//! `--follow`: what arrives, as it arrives, whatever time it says.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use vigie_parsers::{Event, Timestamp};
use vigie_query::log::{self, Memory, Pipe, Query, RunContext, TimeRange};
use vigie_query::{EventSource, Order, Scan};

use super::show::Printer;
use crate::files::{Follow, Reading};

/// How often it looks for more.
const INTERVAL: Duration = Duration::from_millis(300);
/// Lines that are taken at once: nobody reads more, and a program that was stopped for a while must
/// not fill the memory.
const AT_ONCE: usize = 100_000;

/// Where lines come from.
pub(super) enum Tail<'a> {
    /// The store, behind the last line that was there at the start.
    Store(&'a dyn EventSource, u64),
    /// Files.
    Files(Follow),
}

impl<'a> Tail<'a> {
    /// Begins here: what arrives from now on is followed.
    ///
    /// # Errors
    /// When a pipe needs an end, or a file cannot be followed.
    pub(super) fn new(
        query: &Query,
        source: &'a dyn EventSource,
        files: Option<(&[PathBuf], &Reading)>,
    ) -> Result<Self> {
        let goes_on = |p: &&Pipe| {
            matches!(
                p,
                Pipe::Where(_) | Pipe::Parse { .. } | Pipe::Json(_) | Pipe::Kv(_)
            )
        };
        if let Some(pipe) = query.pipes.iter().find(|p| !goes_on(p)) {
            let word = pipe.word();
            bail!(
                "--follow has no end, and '{word}' waits for one; where, parse, json and kv go with it"
            );
        }
        Ok(match files {
            Some((paths, reading)) => Self::Files(Follow::new(paths, reading)?),
            None => Self::Store(source, source.last_id()?),
        })
    }

    /// Prints what arrives, until interrupted. What the search has shown is not shown again.
    pub(super) fn run(
        &mut self,
        cx: &RunContext<'_>,
        query: &Query,
        printer: &mut Printer<'_>,
    ) -> Result<()> {
        let query = Query {
            time: Some(TimeRange::All),
            ..query.clone()
        };
        let mut cx = cx.clone();
        cx.limits.rows = AT_ONCE;
        let mut shown = printer.take_shown();
        if matches!(self, Self::Files(_)) {
            // Lines of files are numbered anew.
            shown.clear();
        }
        loop {
            let (mut events, left_out) = self.arrived(&query)?;
            if left_out > 0 {
                eprintln!("vigie: {left_out} lines came at once and are not shown");
            }
            events.retain(|e| !shown.remove(&e.id));
            if !events.is_empty() {
                let arrived = Memory::new(events);
                let outcome = log::run(&arrived, &query, &cx, printer)?;
                printer.finish(outcome.order)?;
            }
            std::thread::sleep(INTERVAL);
        }
    }

    /// What has come since the last time and passes the filter.
    fn arrived(&mut self, query: &Query) -> Result<(Vec<Event>, u64)> {
        let (mut events, mut left_out) = (Vec::new(), 0);
        let mut keep = |event: &Event| match events.len() < AT_ONCE {
            true => events.push(event.clone()),
            false => left_out += 1,
        };
        match self {
            Self::Files(follow) => follow.poll(&mut |event| {
                if query.filter.matches(event) {
                    keep(event);
                }
            }),
            Self::Store(source, seen) => {
                let newest = source.last_id()?;
                if newest <= *seen {
                    return Ok((events, 0));
                }
                let mut scan = Scan::new(Timestamp::MIN, Timestamp::MAX, &query.filter);
                scan.order = Order::OldestFirst;
                scan.after = *seen;
                source.scan(&scan, &mut |event| {
                    // What is committed meanwhile comes at the next look.
                    if event.id <= newest {
                        keep(event);
                    }
                    ControlFlow::Continue(())
                })?;
                *seen = newest;
            }
        }
        Ok((events, left_out))
    }
}
