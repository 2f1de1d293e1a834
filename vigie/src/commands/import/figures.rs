//! `vigie import rrd|mrtg|whisper`: old figures into the store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use vigie_parsers::archives::{File, Series, mrtg, mrtg_cfg, rrd, whisper};
use vigie_query::Labels;
use vigie_store::Importer;
use vigie_store::series::{OldSeries, Taken};

use super::files::{Found, find};
use super::names::{self, Place, Wishes};
use super::report::Report;
use crate::commands::{Entry, Outcome, import_paths};
use crate::context::Context;
use crate::output;

pub(super) const RRD: Entry = Entry {
    name: "rrd",
    about: "Takes in files of rrdtool, of any machine, and its XML dumps.",
    flags: |command| counters(flags(command)),
    run: |cx, matches| {
        run(
            cx,
            matches,
            &Format {
                endings: &["rrd", "xml"],
                expand: as_it_is,
                read: read_rrd,
            },
        )
    },
};

pub(super) const MRTG: Entry = Entry {
    name: "mrtg",
    about: "Takes in MRTG's logs; with mrtg.cfg, all that it names, with their titles.",
    flags: |command| counters(flags(command)),
    run: |cx, matches| {
        run(
            cx,
            matches,
            &Format {
                endings: &["log"],
                expand: logs_of_config,
                read: read_mrtg,
            },
        )
    },
};

pub(super) const WHISPER: Entry = Entry {
    name: "whisper",
    about: "Takes in Graphite's whisper files.",
    flags,
    run: |cx, matches| {
        run(
            cx,
            matches,
            &Format {
                endings: &["wsp"],
                expand: as_it_is,
                read: read_whisper,
            },
        )
    },
};

/// A file has as many bytes at most: ten thousand archives of a decade.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A kind of file.
struct Format {
    /// How they end, in folders.
    endings: &'static [&'static str],
    /// The files that one stands for.
    expand: fn(Found) -> Result<Vec<Source>>,
    /// What is in a file, with names.
    read: fn(&[u8], &Source, &Wishes) -> Result<Content>,
}

/// A file to be read.
struct Source {
    found: Found,
    /// What `mrtg.cfg` says of it.
    target: Option<mrtg_cfg::Target>,
}

/// What was in a file.
struct Content {
    file: File,
    /// What its series are called.
    labels: Vec<Labels>,
    named: Vec<Named>,
}

/// What else is said of a series.
struct Named {
    help: String,
    /// It is read as the counter whose rates the file has.
    rates: bool,
}

fn flags(command: Command) -> Command {
    command
        .arg(import_paths(
            "Files, folders with all below them, or patterns such as 'rrd/*/cpu*.rrd'",
        ))
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .help("The metric's name [default: from the path and the data source]; with several data sources in a file, NAME_SOURCE"),
        )
        .arg(
            Arg::new("label")
                .long("label")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .value_parser(label)
                .help("A label for all that is imported, in place of one of that name; with no value, without it"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .short('n')
                .action(ArgAction::SetTrue)
                .help("Read only, and say what the series would be called"),
        )
}

fn counters(command: Command) -> Command {
    command.arg(
        Arg::new("counters")
            .long("counters")
            .action(ArgAction::SetTrue)
            .help("Take rates as the counters that they are of, so that rate() and increase() read them and live readings of that name go on"),
    )
}

fn label(text: &str) -> Result<(String, String), String> {
    let form = "write it as NAME=VALUE, the name of letters, digits and _";
    let (name, value) = text.split_once('=').ok_or(form)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(fits)
        && name != "__name__";
    if sound {
        Ok((name.to_owned(), value.to_owned()))
    } else {
        Err(form.to_owned())
    }
}

fn run(cx: &Context, matches: &ArgMatches, format: &Format) -> Result<Outcome> {
    let wishes = Wishes {
        name: matches.get_one::<String>("name").cloned(),
        labels: matches
            .get_many("label")
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        // Whisper has no such flag: its files do not say what is a rate.
        counters: matches!(matches.try_get_one::<bool>("counters"), Ok(Some(true))),
    };
    let mut report = Report::new(cx);
    let mut sources = Vec::new();
    for path in matches.get_many::<PathBuf>("paths").expect("required") {
        match find(path, format.endings).and_then(|found| expand(format, found)) {
            Ok(more) => sources.extend(more),
            Err(e) => report.failed(path, &e),
        }
    }
    let store = if matches.get_flag("dry-run") {
        None
    } else {
        Some(Importer::open(
            &cx.data,
            &cx.config.store_options(),
            cx.now,
        )?)
    };
    report.begin(sources.len());
    let mut import = Import {
        cx,
        batch: store.as_ref().map_or(0, Importer::batch_values),
        store,
        report,
        named: HashMap::new(),
        held: Vec::new(),
        values: 0,
    };
    for source in &sources {
        match import.take(format, source, &wishes) {
            Ok(()) => {}
            Err(Stop::File(e)) => import.report.failed(&source.found.path, &e),
            Err(Stop::All(e)) => return Err(import.report.broken_off(e)),
        }
    }
    match import.commit() {
        Ok(()) => Ok(import.report.end()),
        Err(e) => Err(import.report.broken_off(e)),
    }
}

fn expand(format: &Format, found: Vec<Found>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for one in found {
        sources.extend((format.expand)(one)?);
    }
    Ok(sources)
}

/// An import on its way.
struct Import<'a> {
    cx: &'a Context,
    /// `None`: nothing is written.
    store: Option<Importer>,
    report: Report,
    /// Which file has which name.
    named: HashMap<Labels, PathBuf>,
    /// What waits for the next transaction.
    held: Vec<(PathBuf, Content)>,
    values: usize,
    /// Values that a transaction takes.
    batch: usize,
}

/// What an error ends.
enum Stop {
    /// This file.
    File(anyhow::Error),
    /// The import: nobody takes anything any more.
    All(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(e: anyhow::Error) -> Self {
        Self::File(e)
    }
}

impl Import<'_> {
    fn take(
        &mut self,
        format: &Format,
        source: &Source,
        wishes: &Wishes,
    ) -> std::result::Result<(), Stop> {
        let path = &source.found.path;
        let bytes = read_file(path)?;
        let content = (format.read)(&bytes, source, wishes)?;
        for labels in &content.labels {
            if let Some(other) = self.named.get(labels) {
                return Err(Stop::File(anyhow!(
                    "{labels} is what {} is called already: give one of them another --label",
                    output::printable(other.as_os_str().as_encoded_bytes())
                )));
            }
        }
        for labels in &content.labels {
            self.named.insert(labels.clone(), path.clone());
        }
        self.report.read(path, &content.file);
        self.values += content
            .file
            .series
            .iter()
            .flat_map(|s| &s.archives)
            .map(|a| a.average.len())
            .sum::<usize>();
        self.held.push((path.clone(), content));
        if self.values >= self.batch {
            self.commit().map_err(Stop::All)?;
        }
        Ok(())
    }

    /// Takes what is held in one transaction. If that cannot be, file by file: one may be to blame. An
    /// error when nothing can be taken any more.
    fn commit(&mut self) -> Result<()> {
        self.values = 0;
        let held = std::mem::take(&mut self.held);
        let Some(store) = &mut self.store else {
            for (path, content) in &held {
                self.report.would_take(path, &content.labels);
            }
            return Ok(());
        };
        let all: Vec<OldSeries<'_>> = held
            .iter()
            .flat_map(|(_, content)| content.series())
            .collect();
        match store.take(&all, self.cx.now) {
            Ok(taken) => {
                let mut taken = taken.into_iter();
                for (_, content) in &held {
                    let own: Vec<Taken> = taken.by_ref().take(content.labels.len()).collect();
                    self.report.taken(&content.labels, &content.file, &own);
                }
                return Ok(());
            }
            Err(e) if ends_all(&e) => return Err(e.into()),
            Err(_) => {}
        }
        for (path, content) in &held {
            let series: Vec<OldSeries<'_>> = content.series().collect();
            match store.take(&series, self.cx.now) {
                Ok(taken) => self.report.taken(&content.labels, &content.file, &taken),
                Err(e) if ends_all(&e) => return Err(e.into()),
                Err(e) => self.report.failed(path, &e.into()),
            }
        }
        Ok(())
    }
}

/// Whether the next file would fare no better.
fn ends_all(e: &vigie_store::Error) -> bool {
    use vigie_store::Error;
    matches!(
        e,
        Error::Unanswered | Error::NoSpace { .. } | Error::Full | Error::Io { .. }
    )
}

impl Content {
    fn series(&self) -> impl Iterator<Item = OldSeries<'_>> {
        let series = self.named.iter().zip(&self.labels).zip(&self.file.series);
        series.map(|((named, labels), series)| OldSeries {
            labels,
            help: &named.help,
            archives: &series.archives,
            last_update_s: self.file.last_update_s,
            rates: named.rates,
        })
    }

    fn new(file: File, name: impl Fn(&Series) -> (Labels, Named)) -> Self {
        let (labels, named) = file.series.iter().map(name).unzip();
        Self {
            file,
            labels,
            named,
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let meta = std::fs::metadata(path)?;
    if !meta.is_file() {
        bail!("no plain file");
    }
    if meta.len() > FILE_BYTES_MAX {
        let (size, most) = (output::bytes(meta.len()), output::bytes(FILE_BYTES_MAX));
        bail!("{size}; files up to {most} are read");
    }
    Ok(std::fs::read(path)?)
}

fn as_it_is(found: Found) -> Result<Vec<Source>> {
    let target = None;
    Ok(vec![Source { found, target }])
}

fn read_rrd(bytes: &[u8], source: &Source, wishes: &Wishes) -> Result<Content> {
    let mut file = rrd::read(bytes)?;
    let place = Place::new(&source.found.path, source.found.root.as_deref());
    let all = file.series.clone();
    note_falling(&mut file, wishes);
    Ok(Content::new(file, |one| {
        let help = format!("{} of {}, from rrdtool", one.kind, one.name);
        let rates = names::is_counter(one, wishes);
        (names::rrd(&place, &all, one, wishes), Named { help, rates })
    }))
}

/// Says which rates stay rates although counters are wished for.
fn note_falling(file: &mut File, wishes: &Wishes) {
    let falling = |one: &&Series| wishes.counters && names::is_rate(one) && names::falls(one);
    let names: Vec<&str> = file
        .series
        .iter()
        .filter(falling)
        .map(|s| s.name.as_str())
        .collect();
    if !names.is_empty() {
        let what = format!("no counter, it has rates below zero: {}", names.join(", "));
        file.notes.push(what);
    }
}

fn read_whisper(bytes: &[u8], source: &Source, wishes: &Wishes) -> Result<Content> {
    let file = whisper::read(bytes)?;
    let place = Place::new(&source.found.path, source.found.root.as_deref());
    Ok(Content::new(file, |one| {
        let help = format!("from Graphite, aggregated by {}", one.kind);
        (
            names::whisper(&place, one, wishes),
            Named { help, rates: false },
        )
    }))
}

/// A log is itself; a configuration stands for the logs of its targets.
fn logs_of_config(found: Found) -> Result<Vec<Source>> {
    if found.path.extension().is_none_or(|e| e != "cfg") {
        return as_it_is(found);
    }
    let own = found.path.parent().unwrap_or(Path::new(""));
    let mut open = |name: &str| included(own, name).map_err(|e| format!("{e:#}"));
    let config = mrtg_cfg::read_with(&read_file(&found.path)?, &mut open)?;
    // A relative folder is meant from where mrtg ran, which the file does not say.
    let dir = config
        .log_dir
        .as_ref()
        .map_or_else(|| own.to_owned(), |dir| own.join(dir));
    for what in &config.left_out {
        let what = output::printable(what.as_bytes());
        eprintln!("vigie: {}: not read: {what}", found.path.display());
    }
    let mut sources = Vec::new();
    for target in config.targets {
        let path = dir
            .join(&target.directory)
            .join(format!("{}.log", target.name));
        let lower = dir
            .join(&target.directory)
            .join(format!("{}.log", target.name.to_lowercase()));
        let path = if path.exists() { path } else { lower };
        sources.push(Source {
            found: Found { path, root: None },
            target: Some(target),
        });
    }
    Ok(sources)
}

/// What an `Include` of `mrtg.cfg` means: beside the configuration, else from where we are. Of a pattern
/// MRTG reads the last file first.
fn included(own: &Path, name: &str) -> Result<Vec<mrtg_cfg::Included>> {
    let beside = own.join(name);
    let mut found = find(&beside, &[]).unwrap_or_default();
    if !found.iter().any(|f| f.path.is_file()) {
        found = find(Path::new(name), &[])?;
    }
    let read = |found: &Found| -> Result<mrtg_cfg::Included> {
        let shown = output::printable(found.path.as_os_str().as_encoded_bytes());
        Ok((shown.into_owned(), read_file(&found.path)?))
    };
    found.iter().rev().map(read).collect()
}

fn read_mrtg(bytes: &[u8], source: &Source, wishes: &Wishes) -> Result<Content> {
    let mut file = mrtg::read(bytes)?;
    let stem = source
        .found
        .path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let title = source.target.as_ref().map_or("", |t| t.title.as_str());
    let max = source.target.as_ref().map_or([None; 2], |t| t.max);
    for (at, name) in ["max_in", "max_out"].into_iter().enumerate() {
        if let (Some(max), Some(curve)) = (max[at], file.series.get(at)) {
            #[expect(clippy::cast_precision_loss, reason = "a line's bytes a second")]
            let constant = constant(curve, name, max as f64);
            file.series.push(constant);
        }
    }
    let gauge = source.target.as_ref().is_some_and(|t| t.gauge);
    Ok(Content::new(file, |one| {
        let curve = matches!(one.name.as_str(), "in" | "out");
        let rates = wishes.counters && curve && !gauge;
        let help = match one.name.as_str() {
            _ if rates => "bytes, or units of its own, as MRTG's rates add up",
            "in" | "out" => "what MRTG drew: bytes a second, or units of its own",
            _ => "MaxBytes of mrtg.cfg",
        };
        let help = help.to_owned();
        let labels = names::mrtg(&stem, title, (one, rates), wishes);
        (labels, Named { help, rates })
    }))
}

/// A series of one value, as long as another.
fn constant(like: &Series, name: &str, value: f64) -> Series {
    let mut series = Series {
        name: name.to_owned(),
        ..like.clone()
    };
    for archive in &mut series.archives {
        archive.average.fill(value);
        (archive.min, archive.max, archive.last) = (None, None, None);
    }
    series
}
