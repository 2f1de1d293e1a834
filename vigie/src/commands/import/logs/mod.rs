//! `vigie import logs`: years of log files with their own times, each line once.

mod journals;
mod plan;
mod seen;
mod work;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgMatches, Command};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use vigie_parsers::Timestamp;
use vigie_query::EventSource as _;
use vigie_store::{Batch, Reader, Writer};

use crate::commands::{Entry, Outcome, format, import_paths};
use crate::context::Context;
use crate::output::{self, printable};
use crate::times;
use plan::Plan;
use seen::Mark;
use work::{Account, Message, Shared};

pub(super) const LOGS: Entry = Entry {
    name: "logs",
    about: "Takes log files in, rotated and packed ones too, each line once.",
    flags,
    run,
};

/// Batches that wait for the writer.
const BATCHES_AHEAD: usize = 4;
/// What was taken is made durable when it is this much…
const COMMIT_BYTES: usize = 16 << 20;
/// … or this old.
const COMMIT_EVERY: Duration = Duration::from_secs(2);

fn flags(command: Command) -> Command {
    command
        .arg(import_paths(
            "Files (gzip, zstd and systemd journals too), folders, patterns",
        ))
        .arg(crate::commands::log_format())
        .arg(crate::commands::encoding())
        .arg(crate::commands::multiline())
        .arg(
            Arg::new("host")
                .long("host")
                .value_name("NAME")
                .help("The host of lines that name none [default: this machine]"),
        )
        .arg(format(&["text", "json"]))
        .after_help(
            "app.log, app.log.1 and app.log.2.gz are taken as one log, app.log. What was taken before, also\n\
             under another name, and what was followed live is left out, so an import may be repeated after\n\
             an interruption. Times without a zone are of --tz; a missing year is that before the file was\n\
             last written, or before the next file of the log begins.",
        )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let paths: Vec<PathBuf> = matches
        .get_many("paths")
        .map(|p| p.cloned().collect())
        .unwrap_or_default();
    let mut writer = Writer::open(&cx.data, &cx.config.store_options(), cx.now)
        .context("an import writes to the store itself: end the daemon for its time")?;
    let encoding = matches.get_one("encoding").copied();
    let plan = plan::plan(&paths, encoding, &cx.tz);
    let shared = shared(cx, matches, &writer)?;
    let evicted = Reader::open(&cx.data)?.events_evicted()?;
    let mut accounts = take(cx, &plan, &shared, &mut writer)?;
    accounts.extend(journals::take(
        cx,
        &shared.host,
        &plan.journals,
        &mut writer,
    )?);
    writer.seal_events();
    writer.commit(cx.now)?;
    drop(writer);
    let evicted = Reader::open(&cx.data)?
        .events_evicted()?
        .saturating_sub(evicted);
    let json = matches
        .get_one::<String>("format")
        .is_some_and(|f| f == "json");
    report(cx, &plan, &accounts, json);
    if evicted > 0 {
        eprintln!(
            "vigie: {evicted} of the oldest lines had to go again: they do not fit into the budget"
        );
    }
    let trouble = accounts.iter().any(|(_, a)| a.trouble.is_some());
    Ok(match trouble || !plan.refused.is_empty() {
        true => Outcome::Trouble,
        false => Outcome::Fine,
    })
}

fn shared(cx: &Context, matches: &ArgMatches, writer: &Writer) -> Result<Shared> {
    let reader = Reader::open(&cx.data)?;
    let mut sources: HashMap<String, (Timestamp, Timestamp)> = HashMap::new();
    for count in reader.event_counts(Timestamp::MIN, Timestamp::MAX, false)? {
        let last = count.start.plus_ms(3_600_000);
        let span = sources.entry(count.source).or_insert((count.start, last));
        *span = (span.0.min(count.start), span.1.max(last));
    }
    let marks = writer.positions(seen::PREFIX)?;
    let host = matches.get_one::<String>("host").cloned();
    let own = || cx.config.host.name.clone();
    Ok(Shared {
        reading: crate::commands::reading(cx, matches),
        host: host.or_else(own).unwrap_or_else(vigie_collector::host_name),
        now: cx.now,
        retention: cx.config.store_options().log_retention,
        marks: Mutex::new(marks.iter().filter_map(|(_, v)| Mark::decode(v)).collect()),
        followed: writer
            .positions("file:")?
            .into_iter()
            .map(|(key, _)| key)
            .collect(),
        sources,
        last_id: reader.last_id()?,
        data: cx.data.clone(),
    })
}

type Accounts = Vec<(PathBuf, Account)>;

/// Reads logs on as many threads as there are processors; this one writes.
fn take(cx: &Context, plan: &Plan, shared: &Shared, writer: &mut Writer) -> Result<Accounts> {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let bar = progress(cx, plan);
    let (send, messages) = sync_channel(BATCHES_AHEAD);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(plan.logs.len()) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                while let Some(log) = plan.logs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !work::take(shared, log, &send) {
                        return;
                    }
                }
            });
        }
        drop(send);
        let written = write(cx, &messages, writer, &bar);
        // Whoever still reads learns that nobody listens.
        drop(messages);
        bar.finish_and_clear();
        written
    })
}

fn write(
    cx: &Context,
    messages: &Receiver<Message>,
    writer: &mut Writer,
    bar: &ProgressBar,
) -> Result<Accounts> {
    let (mut accounts, mut bytes, mut committed) = (Vec::new(), 0, Instant::now());
    for message in messages {
        match message {
            Message::End(path, account) => {
                bar.set_message(printable(path.as_os_str().as_encoded_bytes()).into_owned());
                accounts.push((path, account));
            }
            Message::Lines {
                events,
                positions,
                disk_bytes,
            } => {
                bytes += events.line_bytes();
                bar.inc(disk_bytes);
                writer.apply(Batch {
                    events,
                    positions,
                    ..Batch::default()
                });
            }
        }
        if bytes >= COMMIT_BYTES || committed.elapsed() >= COMMIT_EVERY {
            writer.commit(cx.now)?;
            (bytes, committed) = (0, Instant::now());
        }
    }
    writer.commit(cx.now)?;
    accounts.sort_by(|a, b| a.0.cmp(&b.0));
    if accounts.is_empty() && bytes > 0 {
        bail!("the files could not be read");
    }
    Ok(accounts)
}

/// A bar on a terminal, by packed bytes; nothing elsewhere.
fn progress(cx: &Context, plan: &Plan) -> ProgressBar {
    if cx.quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let pieces = plan.logs.iter().flat_map(|l| &l.pieces);
    let bar = ProgressBar::new(pieces.map(|p| p.size).sum());
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta} {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn report(cx: &Context, plan: &Plan, accounts: &Accounts, json: bool) {
    let shown = |path: &PathBuf| printable(path.as_os_str().as_encoded_bytes()).into_owned();
    if json {
        for (path, account) in accounts {
            println!("{}", as_json(cx, &shown(path), account));
        }
    } else {
        let rows = accounts
            .iter()
            .map(|(path, a)| row(cx, shown(path), a))
            .collect();
        let header = [
            "file",
            "lines",
            "taken",
            "known",
            "not parsed",
            "read as",
            "from",
            "to",
        ];
        print!("{}", output::table(&header, &[1, 2, 3, 4], rows));
        let sum = |of: fn(&Account) -> u64| accounts.iter().map(|(_, a)| of(a)).sum::<u64>();
        let (taken, known) = (sum(|a| a.taken), sum(|a| a.known));
        println!(
            "{} of {} taken, {} here already",
            counted(taken, "line"),
            counted(accounts.len() as u64, "file"),
            match known {
                1 => "1 was".to_owned(),
                n => format!("{n} were"),
            }
        );
        if sum(|a| a.old) > 0 {
            println!(
                "{} older than lines are kept: not taken",
                counted(sum(|a| a.old), "line")
            );
        }
        if sum(|a| a.cut) > 0 {
            println!("{} cut at 64 KiB", counted(sum(|a| a.cut), "line"));
        }
    }
    let troubles = accounts
        .iter()
        .filter_map(|(p, a)| Some((p, a.trouble.as_ref()?)));
    let refused = plan.refused.iter().map(|(path, why)| (path, why));
    for (path, why) in troubles.chain(refused) {
        eprintln!("vigie: {}: {why}", shown(path));
    }
}

/// "1 file", "2 files".
fn counted(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

fn row(cx: &Context, path: String, a: &Account) -> Vec<String> {
    let parsed = a.formats.iter().filter(|(name, _)| **name != "raw");
    let names: Vec<&str> = parsed.map(|(name, _)| *name).collect();
    let time = |t: Option<Timestamp>| t.map_or_else(String::new, |t| times::show(t, &cx.tz));
    vec![
        path,
        a.lines.to_string(),
        a.taken.to_string(),
        a.known.to_string(),
        a.formats.get("raw").copied().unwrap_or(0).to_string(),
        names.join(" "),
        time(a.span.map(|s| s.0)),
        time(a.span.map(|s| s.1)),
    ]
}

fn as_json(cx: &Context, path: &str, a: &Account) -> serde_json::Value {
    let time = |t: Option<Timestamp>| t.map(|t| times::rfc3339(t, &cx.tz));
    json!({
        "file": path,
        "lines": a.lines,
        "taken": a.taken,
        "known": a.known,
        "too_old": a.old,
        "cut": a.cut,
        "formats": a.formats,
        "from": time(a.span.map(|s| s.0)),
        "to": time(a.span.map(|s| s.1)),
        "trouble": a.trouble,
    })
}
