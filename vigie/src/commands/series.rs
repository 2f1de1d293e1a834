//! `vigie series`: which figures there are; renames and deletes them, online.

use std::io::IsTerminal;

use anyhow::{Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use vigie_parsers::Timestamp;
use vigie_query::{Labels, SeriesSource};
use vigie_store::series::{NewName, Pattern};
use vigie_store::{Request, request};

use super::{Entry, Outcome};
use crate::context::Context;
use crate::output::printable;

pub(super) const ENTRY: Entry = Entry {
    name: "series",
    about: "Lists, renames or deletes figures, while the daemon runs or without it.",
    flags,
    run,
};

/// Series that are named before they are deleted; more are counted.
const NAMED_MAX: usize = 10;

fn flags(command: Command) -> Command {
    let pattern = || {
        Arg::new("pattern").value_name("PATTERN").help(
            "A name, * for any part of it, and conditions on labels, as node_*{instance=\"web1\"}",
        )
    };
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("The series that match, a line each.")
                .arg(pattern().default_value("*").hide_default_value(true)),
        )
        .subcommand(
            Command::new("rename")
                .about("Gives the series that match another name or other labels; their past comes along.")
                .arg(pattern().required(true))
                .arg(Arg::new("to").value_name("NAME").required(true).help(
                    "What replaces theirs: up{job=\"web\"}, or labels alone: {instance=\"web01\"}; an empty label goes",
                )),
        )
        .subcommand(
            Command::new("delete")
                .about("Erases the series that match, with all that is kept of them.")
                .arg(pattern().required(true))
                .arg(
                    Arg::new("yes")
                        .long("yes")
                        .action(ArgAction::SetTrue)
                        .help("Do not ask first"),
                ),
        )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let (what, matches) = matches.subcommand().expect("clap requires a subcommand");
    let text = matches.get_one::<String>("pattern").expect("required");
    let pattern: Pattern = text.parse().map_err(|e: String| anyhow!(e))?;
    let found = found(cx, &pattern)?;
    if what == "list" {
        for labels in &found {
            println!("{}", printable(labels.to_string().as_bytes()));
        }
    }
    if found.is_empty() {
        if !cx.quiet {
            eprintln!("vigie: no series matches {}", printable(text.as_bytes()));
        }
        return Ok(Outcome::Trouble);
    }
    let asked = match what {
        "rename" => {
            let to = matches.get_one::<String>("to").expect("required");
            let to: NewName = to.parse().map_err(|e: String| anyhow!(e))?;
            Request::RenameSeries(pattern, to)
        }
        "delete" => {
            if !matches.get_flag("yes") && !confirmed(&found)? {
                return Ok(Outcome::Trouble);
            }
            Request::DeleteSeries(pattern)
        }
        _ => return Ok(Outcome::Fine),
    };
    let count = request(&cx.data, &cx.config.store_options(), &asked, cx.now)?;
    if !cx.quiet {
        println!("{what}d: {count} series");
    }
    Ok(Outcome::Fine)
}

fn found(cx: &Context, pattern: &Pattern) -> Result<Vec<Labels>> {
    let (from, until) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    Ok(cx.reader()?.series(pattern.matchers(), from, until)?)
}

/// Asks on a terminal; elsewhere nobody could answer.
fn confirmed(found: &[Labels]) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "--yes is missing: {} series would be erased for good",
            found.len()
        );
    }
    for labels in found.iter().take(NAMED_MAX) {
        eprintln!("{}", printable(labels.to_string().as_bytes()));
    }
    if found.len() > NAMED_MAX {
        eprintln!("and {} more", found.len() - NAMED_MAX);
    }
    eprint!("Erase {} series for good? [y/N] ", found.len());
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
