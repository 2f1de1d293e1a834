//! `vigie import mrtg`: old figures into the store.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use vigie_parsers::Timestamp;
use vigie_parsers::archives::{self, mrtg};
use vigie_query::{Labels, MetricKind, SeriesSource as _};
use vigie_store::{Reading, SampleRow, SeriesDef, SeriesId, Writer};

use crate::commands::{Entry, Outcome};
use crate::context::Context;
use crate::output;

pub(super) const MRTG: Entry = Entry {
    name: "mrtg",
    about: "Takes in MRTG's logs: two curves each, at four resolutions.",
    flags,
    run,
};

/// A log has 100 KiB; more than this is something else.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The distance of MRTG's readings.
const STEP_MS: i64 = 300_000;

fn flags(command: Command) -> Command {
    command.arg(
        Arg::new("paths")
            .value_name("PATH")
            .required(true)
            .action(ArgAction::Append)
            .num_args(1..)
            .value_parser(value_parser!(PathBuf))
            .help("The files"),
    )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let mut writer = Writer::open(&cx.data, &cx.config.store_options(), cx.now)
        .context("an import writes to the store itself")?;
    let mut outcome = Outcome::Fine;
    for path in matches.get_many::<PathBuf>("paths").expect("required") {
        if let Err(e) = import(cx, &mut writer, path) {
            eprintln!("vigie: {}: {e:#}", printable(path));
            outcome = Outcome::Trouble;
        }
    }
    Ok(outcome)
}

fn import(cx: &Context, writer: &mut Writer, path: &Path) -> Result<()> {
    let file = mrtg::read(&read(path)?)?;
    let target = path.file_stem().unwrap_or_default().to_string_lossy();
    for series in &file.series {
        let name = format!("mrtg_{}", series.name);
        let labels = Labels::metric(&name, &[("target", &target)]);
        if is_known(cx, &labels)? {
            println!("{}: {labels} is there already", printable(path));
            continue;
        }
        let id = writer.registry().intern(&SeriesDef {
            labels: labels.clone(),
            kind: MetricKind::Gauge,
            help: "",
            step_ms: STEP_MS,
        })?;
        let taken = writer.backfill(rows(id, &series.archives).into_iter(), STEP_MS, cx.now)?;
        println!("{}: {labels}: {taken} values", printable(path));
    }
    for reason in &file.left_out {
        println!("{}: not taken: {reason}", printable(path));
    }
    Ok(())
}

/// The finest value for each time.
fn rows(series: SeriesId, archives: &[archives::Archive]) -> Vec<SampleRow> {
    let mut rows: Vec<SampleRow> = Vec::new();
    for archive in archives {
        let before = rows.first().map_or(i64::MAX, |r| r.time.0);
        let slots = (archive.first + 1..).zip(&archive.average);
        let rows_of = slots
            .map(|(end, &value)| (end * archive.step_s * 1000, value))
            .filter(|&(time_ms, value)| time_ms < before && value.is_finite())
            .map(|(time_ms, value)| SampleRow {
                series,
                time: Timestamp(time_ms),
                reading: Reading::Gauge(value),
            });
        rows.splice(0..0, rows_of.collect::<Vec<_>>());
    }
    rows
}

fn is_known(cx: &Context, labels: &Labels) -> Result<bool> {
    let matchers: Vec<_> = labels
        .iter()
        .map(|(name, value)| vigie_query::Matcher::equal(name, value))
        .collect();
    let (from, until) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    Ok(!cx.reader()?.series(&matchers, from, until)?.is_empty())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        bail!("{} is too large for a log of MRTG", output::bytes(size));
    }
    Ok(std::fs::read(path)?)
}

fn printable(path: &Path) -> String {
    output::printable(path.as_os_str().as_encoded_bytes()).into_owned()
}
