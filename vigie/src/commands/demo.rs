//! `vigie demo`: the daemon on a throw-away store full of a small company's life.

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command, value_parser};
use vigie_collector::{Inherited, Sockets};
use vigie_store::Writer;

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
    let dir = Throwaway::make()?;
    // The company's machines are all there is: nothing of this one is read.
    let mut config = Config::default();
    config.host.enabled = false;
    config.host.name = Some(FIRST_HOST.to_owned());
    config.journal.enabled = false;
    config.known_files.enabled = false;
    config.syslog.clear();
    let mut writer = Writer::open(&dir.0, &config.store_options(), cx.now)?;
    let days = *matches.get_one::<i64>("days").expect("has a default");
    tracing::info!("{days} days are being made up in {}", dir.0.display());
    let mut life = Life::new(writer.registry(), cx.now, days)?;
    life.fill(&mut writer, cx.now)?;
    let daemon = Daemon {
        rules: run::load_rules(&config).map_err(|e| anyhow::anyhow!(e.join("\n")))?,
        sockets: Sockets::default(),
        config,
        pages,
        writer,
        data: dir.0.clone(),
        url_on_stdout: true,
        live: Some(Box::new(move |handle, clock, stop| {
            life.go_on(&handle, &clock, &stop)
        })),
    };
    daemon.serve(cx)?;
    Ok(Outcome::Fine)
}

/// A folder that goes when the demonstration ends.
struct Throwaway(std::path::PathBuf);

impl Throwaway {
    fn make() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("vigie-demo-{}", std::process::id()));
        std::fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self(dir))
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("{}: {e}", self.0.display());
        }
    }
}
