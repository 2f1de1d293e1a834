//! `vigie verify`: reads every block and every ring, and says what is damaged.

use anyhow::Result;
use clap::{ArgMatches, Command};

use super::{Entry, Outcome};
use crate::context::Context;
use crate::output;

pub(super) const ENTRY: Entry = Entry {
    name: "verify",
    about: "Reads every block and ring of the store and says what is damaged.",
    flags: |command: Command| command,
    run,
};

/// Damages that are named one by one; the rest is counted.
const NAMED_MAX: usize = 20;

fn run(cx: &Context, _matches: &ArgMatches) -> Result<Outcome> {
    let reader = cx.reader()?;
    let series = reader.verify_series()?;
    let events = reader.verify_events()?;
    let mut damage: Vec<String> = series
        .damage
        .iter()
        .map(|d| format!("figures: page {} of group {} is damaged", d.row, d.group))
        .collect();
    damage.extend(
        series
            .old
            .iter()
            .map(|d| format!("figures: {d} is damaged")),
    );
    damage.extend(events.damage.iter().map(|d| format!("events: {d}")));
    for line in damage.iter().take(NAMED_MAX) {
        println!("{}", output::printable(line.as_bytes()));
    }
    let unnamed = series.damaged + series.broken_groups + events.damage.len() as u64;
    if unnamed > damage.len().min(NAMED_MAX) as u64 {
        println!("damaged in all: {unnamed}");
    }
    if !cx.quiet {
        println!(
            "figures: {} pages, {}; events: {} blocks, {} lines, {}: {}",
            series.pages,
            output::bytes(series.bytes),
            events.blocks,
            events.lines,
            output::bytes(events.bytes),
            if unnamed == 0 {
                "all as written"
            } else {
                "damaged"
            },
        );
    }
    Ok(if unnamed == 0 {
        Outcome::Fine
    } else {
        Outcome::Trouble
    })
}
