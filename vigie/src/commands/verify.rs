//! `vigie verify`: reads every block and every ring, and says what is damaged.

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use vigie_store::Writer;

use super::{Entry, Outcome};
use crate::context::Context;
use crate::output;

pub(super) const ENTRY: Entry = Entry {
    name: "verify",
    about: "Reads every block and ring of the store and says what is damaged.",
    flags,
    run,
};

/// Damages that are named one by one; the rest is counted.
const NAMED_MAX: usize = 20;

fn flags(command: Command) -> Command {
    command.arg(
        Arg::new("repair")
            .long("repair")
            .action(ArgAction::SetTrue)
            .help(
                "Write what is left of damaged blocks of log lines anew; the daemon must not run",
            ),
    )
}

/// Repairs first what then is read.
fn repair(cx: &Context) -> Result<()> {
    let mut writer = Writer::open(&cx.data, &cx.config.store_options(), cx.now)
        .context("a repair writes to the store itself")?;
    let repair = writer.repair_events()?;
    println!(
        "repaired: {} blocks, {} lines of them are kept, {} are lost",
        repair.blocks, repair.kept, repair.lost
    );
    Ok(())
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    if matches.get_flag("repair") {
        repair(cx)?;
    }
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
