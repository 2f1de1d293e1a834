//! `vigie demo`: the daemon on a throw-away store full of a small company's life.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::{Arg, ArgMatches, Command, value_parser};
use vigie_collector::{Inherited, Sockets};
use vigie_store::{Reader, Writer};

use super::run::{self, Daemon};
use super::{Entry, Outcome};
use crate::config::Config;
use crate::context::Context;
use crate::demo::{FIRST_HOST, Life};

pub(super) const ENTRY: Entry = Entry {
    name: "demo",
    about: "Shows it all on a throw-away store with 30 days of a small company's life.",
    flags,
    run: demo,
};

fn flags(command: Command) -> Command {
    run::listen_flag(command).arg(
        Arg::new("days")
            .long("days")
            .value_name("N")
            .value_parser(value_parser!(i64).range(1..=90))
            .default_value("30")
            .help("How many days of life to make up"),
    )
}

fn demo(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let pages = run::bind(run::listen(cx, matches)?, &mut Inherited::from_env())?;
    let given = matches.get_one::<PathBuf>("data");
    let dir = given.map_or_else(Dir::throwaway, |dir| Dir::kept(dir))?;
    // The company's machines are all there is: nothing of this one is read.
    let mut config = Config::default();
    config.host.enabled = false;
    config.host.name = Some(FIRST_HOST.to_owned());
    config.journal.enabled = false;
    config.known_files.enabled = false;
    config.syslog.clear();
    let mut writer = Writer::open(&dir.path, &config.store_options(), cx.now)?;
    let days = *matches.get_one::<i64>("days").expect("has a default");
    tracing::info!("{days} days are being made up in {}", dir.path.display());
    let mut life = Life::new(writer.registry(), cx.now, days)?;
    life.fill(&mut writer, cx.now)?;
    let daemon = Daemon {
        rules: run::load_rules(&config).map_err(|e| anyhow::anyhow!(e.join("\n")))?,
        sockets: Sockets::default(),
        config,
        pages,
        writer,
        data: dir.path.clone(),
        url_on_stdout: true,
        live: Some(Box::new(move |handle, clock, stop| {
            life.go_on(&handle, &clock, &stop)
        })),
    };
    daemon.serve(cx)?;
    Ok(Outcome::Fine)
}

/// Where the demonstration keeps its store.
struct Dir {
    path: PathBuf,
    /// Whether it stays when the demonstration ends.
    stays: bool,
}

impl Dir {
    /// A folder of its own.
    fn throwaway() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("vigie-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path, stays: false })
    }

    /// The folder that was asked for. What it has already is never mixed with what is made up.
    fn kept(path: &Path) -> Result<Self> {
        let taken = Reader::open(path).map(|store| store.path().display().to_string());
        ensure!(
            taken.is_err(),
            "{} holds a store; the demonstration wants a folder without one",
            taken.unwrap_or_default()
        );
        let path = path.to_owned();
        Ok(Self { path, stays: true })
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Err(e) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!("{}: {e}", self.path.display());
        }
    }
}
