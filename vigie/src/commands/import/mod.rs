//! `vigie import`: old data comes in. A new kind is a file here, a `mod` line and an entry in
//! [`KINDS`].

use anyhow::Result;
use clap::{ArgMatches, Command};

use super::{Entry, Outcome};
use crate::context::Context;

mod figures;
mod files;
mod logs;
mod names;
mod report;

pub(super) const ENTRY: Entry = Entry {
    name: "import",
    about: "Takes old data in: what other programs have kept so far.",
    flags,
    run,
};

/// What can be imported, in the order of `--help`.
const KINDS: &[Entry] = &[logs::LOGS, figures::RRD, figures::MRTG, figures::WHISPER];

fn flags(command: Command) -> Command {
    let command = command
        .subcommand_required(true)
        .arg_required_else_help(true);
    KINDS.iter().fold(command, |command, kind| {
        command.subcommand((kind.flags)(Command::new(kind.name).about(kind.about)))
    })
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let (name, matches) = matches.subcommand().expect("clap requires a subcommand");
    let kind = KINDS
        .iter()
        .find(|kind| kind.name == name)
        .expect("clap knows only the list");
    (kind.run)(cx, matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_unique_and_described() {
        for (i, kind) in KINDS.iter().enumerate() {
            assert!(kind.about.ends_with('.'), "{}", kind.name);
            assert!(
                KINDS[..i].iter().all(|k| k.name != kind.name),
                "{}",
                kind.name
            );
        }
    }
}
