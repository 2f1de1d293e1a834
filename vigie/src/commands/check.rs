//! `vigie check`: reads the configuration and every rule, and tries what can be tried.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};

use vigie_collector::Sockets;

use super::{Entry, Outcome};
use crate::config::Config;
use crate::context::Context;
use crate::output;

/// An empty store, its write-ahead log and some commits.
const FREE_MIN: u64 = 4 << 20;

pub(super) const ENTRY: Entry = Entry {
    name: "check",
    about: "Checks the configuration, the rules, files and ports, without changing anything.",
    flags,
    run,
};

fn flags(command: Command) -> Command {
    command.arg(
        Arg::new("offline")
            .long("offline")
            .action(ArgAction::SetTrue)
            .help("Only read: try no port and no file"),
    )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    // A configuration that cannot be read has ended the program before: exit code 2.
    let mut findings = crate::commands::run::load_rules(&cx.config)
        .err()
        .unwrap_or_default();
    let mut warnings = Vec::new();
    if !matches.get_flag("offline") {
        // A daemon that runs has the ports itself.
        if !cx.reader().is_ok_and(|r| r.is_written()) {
            ports(&cx.config, &mut findings);
        }
        files(&cx.config, &mut findings);
        docker(&cx.config, &mut findings);
        relays(&cx.config, &mut findings);
        writable(&cx.data, &mut findings);
        space(cx, &mut findings, &mut warnings);
    }
    for finding in &findings {
        println!("{finding}");
    }
    if !cx.quiet {
        for warning in &warnings {
            println!("warning: {warning}");
        }
        let budget = cx.config.store.series_budget.0;
        for line in crate::retention::arithmetic(&cx.config.retention, budget) {
            println!("{line}");
        }
    }
    if findings.is_empty() && !cx.quiet {
        let name = cx.config_path.as_ref().map_or_else(
            || "no configuration file: defaults".to_owned(),
            |path| path.display().to_string(),
        );
        match warnings.len() {
            0 => println!("{name}: fine"),
            1 => println!("{name}: fine, with a warning"),
            n => println!("{name}: fine, with {n} warnings"),
        }
    }
    Ok(if findings.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Trouble
    })
}

/// A port that is taken is trouble; while a daemon runs on this store they are its own, and not tried.
/// All are bound at once, as `run` does.
fn ports(config: &Config, findings: &mut Vec<String>) {
    let (_sockets, errors) = Sockets::try_all(&config.syslog);
    findings.extend(errors.iter().map(ToString::to_string));
    if let Ok(address) = config.http.listen.parse::<SocketAddr>()
        && let Err(e) = TcpListener::bind(address)
    {
        findings.push(format!("http.listen {address}: {e}"));
    }
}

fn files(config: &Config, findings: &mut Vec<String>) {
    for pattern in config.files.iter().flat_map(|f| &f.paths) {
        let path = Path::new(pattern);
        if !pattern.contains(['*', '?', '[', '{'])
            && let Err(e) = File::open(path)
        {
            findings.push(format!("files.paths {pattern}: {e}"));
        }
    }
}

/// A target must have an address and take a connection, and its certificates must be readable.
fn relays(config: &Config, findings: &mut Vec<String>) {
    for relay in &config.relay {
        if let Err(e) = vigie_collector::reach(relay) {
            findings.push(format!("relay.to {}: {e}", relay.to));
        }
    }
}

/// An engine that was named must be there; one that may be there, and is, must let us in.
fn docker(config: &Config, findings: &mut Vec<String>) {
    let docker = &config.docker;
    if !docker.enabled {
        return;
    }
    if let Some(dir) = &docker.dir {
        if let Err(e) = std::fs::read_dir(dir) {
            findings.push(format!("docker.dir {}: {e}", dir.display()));
        }
        return;
    }
    let named = docker.socket != vigie_collector::config::Docker::default().socket;
    if (named || docker.socket.exists())
        && let Err(e) = std::os::unix::net::UnixStream::connect(&docker.socket)
    {
        findings.push(format!("docker.socket {}: {e}", docker.socket.display()));
    }
}

/// The store wants room for what the budget may still take; without a little it does not start.
fn space(cx: &Context, findings: &mut Vec<String>, warnings: &mut Vec<String>) {
    let Some(free) = vigie_store::free_bytes(&cx.data) else {
        return;
    };
    let (dir, free_words) = (cx.data.display(), output::bytes(free));
    if free < FREE_MIN {
        findings.push(format!(
            "{dir}: {free_words} free on its file system, too little for the store: free some space there, or \
             let --data name a directory elsewhere"
        ));
        return;
    }
    let used = cx.reader().and_then(|r| Ok(r.usage()?.used_bytes));
    let budget = cx.config.store.budget.0;
    let rest = budget.saturating_sub(used.unwrap_or(0));
    if free < rest {
        warnings.push(format!(
            "{dir}: {free_words} free on its file system, but the store may still take {} of its {} \
             (store.budget): the disk may fill up before the budget does",
            output::bytes(rest),
            output::bytes(budget)
        ));
    }
}

fn writable(data: &Path, findings: &mut Vec<String>) {
    let existing = data
        .ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("/"));
    if rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_err() {
        findings.push(format!(
            "{}: cannot be written; --data names another place",
            existing.display()
        ));
    }
}
