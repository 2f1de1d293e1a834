//! The list of commands. A new one is a file here, a `mod` line and an entry in [`COMMANDS`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use vigie_parsers::formats::{self, Format};
use vigie_parsers::joining::Joining;

use crate::context::Context;
use crate::files::Reading;
use crate::logging;
use crate::output::Color;
use logs::words;

mod check;
mod demo;
mod graph;
mod import;
mod incidents;
mod logs;
mod patterns;
mod query;
mod run;
mod series;
mod status;
mod verify;

/// A command: what `--help` says of it, its flags, and what it does.
pub(crate) struct Entry {
    /// The word on the command line.
    name: &'static str,
    /// One sentence.
    about: &'static str,
    /// Adds its flags.
    flags: fn(Command) -> Command,
    /// Does it.
    run: fn(&Context, &ArgMatches) -> Result<Outcome>,
}

/// How a command that could run ended; the exit code.
pub(crate) enum Outcome {
    /// 0
    Fine,
    /// 1: ran and found trouble, or nothing.
    Trouble,
}

/// Exit code 2: bad flags, no store, a broken configuration.
pub(crate) const COULD_NOT_RUN: u8 = 2;

/// Commands whose last arguments are a log query.
const QUERY_COMMANDS: &[&str] = &["logs", "patterns"];

/// All commands, in the order of `--help`: first what one types first.
const COMMANDS: &[Entry] = &[
    run::ENTRY,
    demo::ENTRY,
    check::ENTRY,
    status::ENTRY,
    logs::ENTRY,
    patterns::ENTRY,
    query::ENTRY,
    graph::ENTRY,
    series::ENTRY,
    incidents::LIST,
    incidents::ONE,
    import::ENTRY,
    verify::ENTRY,
];

/// The command line, made from the list.
pub(crate) fn cli() -> Command {
    let flag = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .global(true)
            .help_heading("Common flags")
    };
    let base = Command::new("vigie")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Watches machines, networks and web sites from one binary and one file.")
        .after_help(
            "Times are 2h, 7d, now, yesterday, 2026-11-21T06:00, RFC 3339 or unix seconds.\n\
             Exit codes: 0 fine, 1 ran and found trouble (or nothing), 2 could not run.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .arg(
            flag("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Configuration [default: ./vigie.toml, else /etc/vigie/vigie.toml, else none]"),
        )
        .arg(
            flag("data")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Where the store lies [default: /var/lib/vigie as root, else $XDG_STATE_HOME/vigie]"),
        )
        .arg(flag("tz").value_name("NAME").help("Time zone, as Europe/Paris [default: the system's]"))
        .arg(
            flag("color")
                .value_name("WHEN")
                .value_parser(["auto", "always", "never"])
                .default_value("auto")
                .hide_possible_values(true)
                .help("Colours: auto, always or never"),
        )
        .arg(flag("quiet").short('q').action(ArgAction::SetTrue).help("Say nothing but errors"))
        .arg(flag("verbose").short('v').action(ArgAction::Count).help("Say more; twice: everything"));
    COMMANDS.iter().fold(base, |cli, entry| {
        cli.subcommand((entry.flags)(Command::new(entry.name).about(entry.about)))
    })
}

/// The arguments as they are read: those of a query command with the query last.
pub(crate) fn arguments(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    let mut cli = cli();
    cli.build();
    let place = words::command(&cli, &args);
    let name = place.and_then(|at| args.get(at));
    let name = name.filter(|a| QUERY_COMMANDS.iter().any(|n| a == n));
    if let (Some(at), Some(command)) = (place, name.and_then(|n| cli.find_subcommand(n))) {
        let rest = args.split_off(at + 1);
        args.extend(words::arrange(command, rest, |name| {
            std::path::Path::new(name).exists()
        }));
    }
    args
}

/// Runs what was asked for.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    let (name, matches) = matches.subcommand().expect("clap requires a subcommand");
    let entry = COMMANDS
        .iter()
        .find(|e| e.name == name)
        .expect("clap knows only the list");
    let result = Context::from(matches).and_then(|cx| {
        logging::start(cx.verbose, cx.quiet, cx.color == Color::Always);
        (entry.run)(&cx, matches)
    });
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Trouble) => ExitCode::from(1),
        Err(e) => {
            eprintln!("vigie: {e:#}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// `--since T`, shared by the commands that look back.
fn since(default: &'static str) -> Arg {
    Arg::new("since")
        .long("since")
        .value_name("TIME")
        .help(format!("From this time on [default: {default}]"))
}

/// `--until T`, shared by the commands that look back.
fn until() -> Arg {
    Arg::new("until")
        .long("until")
        .value_name("TIME")
        .help("Up to this time [default: now]")
}

/// `--format F` of a fixed list, the first being the default.
fn format(forms: &'static [&'static str]) -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .value_parser(forms.to_vec())
        .default_value(forms[0])
        .help("Form of the output")
}

/// `QUERY`, in as many words as it has.
fn query_words(help: &'static str) -> Arg {
    Arg::new("query")
        .value_name("QUERY")
        .num_args(0..)
        .help(help)
}

/// `-n N`.
fn at_most(default: &'static str, help: &'static str) -> Arg {
    Arg::new("lines")
        .short('n')
        .long("lines")
        .value_name("N")
        .value_parser(value_parser!(usize))
        .default_value(default)
        .help(help)
}

/// `--file F…`, for commands that read logs with or without a store.
fn log_files() -> Arg {
    Arg::new("file")
        .long("file")
        .value_name("FILE")
        .action(ArgAction::Append)
        .num_args(1..)
        .value_parser(value_parser!(PathBuf))
        .help("Read these files (gzip, zstd, systemd journals, - too) instead of the store")
}

/// `--raw`.
fn unescaped() -> Arg {
    Arg::new("raw")
        .long("raw")
        .action(ArgAction::SetTrue)
        .help("Do not escape control characters in text output")
}

/// `PATH…` of the files that are taken in.
fn import_paths(help: &'static str) -> Arg {
    Arg::new("paths")
        .value_name("PATH")
        .required(true)
        .action(ArgAction::Append)
        .num_args(1..)
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

/// `--log-format FORMAT`, shared by the commands that read files.
fn log_format() -> Arg {
    Arg::new("log-format")
        .long("log-format")
        .value_name("FORMAT")
        .value_parser(|text: &str| formats::named(text))
        .help("What the lines of the files are: a name, or 'nginx: $remote_addr …', 'apache: %h …'")
}

/// `--encoding NAME`, shared by the commands that read files.
fn encoding() -> Arg {
    Arg::new("encoding")
        .long("encoding")
        .value_name("NAME")
        .value_parser(|name: &str| name.parse::<vigie_parsers::Encoding>())
        .help("What files without a byte order mark are in: utf-8, latin-1, utf-16le, utf-16be")
}

/// `--multiline RULE`, shared by the commands that read files.
fn multiline() -> Arg {
    Arg::new("multiline")
        .long("multiline")
        .value_name("RULE")
        .value_parser(|rule: &str| rule.parse::<Joining>())
        .help("Which lines are one event: auto, off, indented, 'begins ##:##', 'continues PATTERN' [default: auto]")
}

/// How files are read, by these flags.
fn reading(cx: &Context, matches: &ArgMatches) -> Reading {
    let joining = matches.get_one("multiline").cloned();
    Reading {
        zone: cx.tz.clone(),
        format: matches.get_one::<&'static Format>("log-format").copied(),
        encoding: matches.get_one("encoding").copied(),
        joining: joining.unwrap_or(Joining::Auto),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_makes_a_sound_command_line() {
        cli().debug_assert();
    }

    #[test]
    fn names_are_unique_and_described() {
        for (i, entry) in COMMANDS.iter().enumerate() {
            assert!(entry.about.ends_with('.'), "{}", entry.name);
            assert!(
                COMMANDS[..i].iter().all(|e| e.name != entry.name),
                "{}",
                entry.name
            );
        }
    }
}
