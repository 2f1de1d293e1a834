//! systemd's journal: scanned, searched, taken in, beside journalctl.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use vigie_collector::JournalFile;
use vigie_parsers::Timestamp;
use vigie_parsers::journal::{Journal, LineWriter};
use vigie_store::{Options, Synchronous, Writer};

use super::super::{lines::Dice, option};
use super::cpu_ms;

/// Entries of the journal, unless `--entries` says otherwise: journalctl takes a minute of processor time for a
/// million of them, in two of the ways.
const ENTRIES: u64 = 300_000;
/// The best of so many passes.
const PASSES: u32 = 3;
/// Noon of a day in November 2026, microseconds.
const START_US: u64 = 1_795_262_400_000_000;
/// A journal of a machine that does not reboot.
const BOOT: &str = "7d3b1f6e5a4c4b0e9f8a7b6c5d4e3f2a";
/// Programs, their units, their users.
const PROGRAMS: [(&str, &str, u32); 6] = [
    ("nginx", "nginx.service", 33),
    ("sshd", "ssh.service", 0),
    ("shop", "shop.service", 1000),
    ("postgres", "postgresql@15-main.service", 114),
    ("CRON", "cron.service", 0),
    ("systemd", "init.scope", 0),
];

/// Makes a journal, or takes the one in `--journal DIR`, and reads it in every way.
pub(super) fn run() -> Result<()> {
    let made = tempfile::tempdir()?;
    let dir = match option::<PathBuf>("--journal")? {
        Some(dir) => dir,
        None => {
            make(made.path(), option("--entries")?.unwrap_or(ENTRIES))?;
            made.path().to_owned()
        }
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)?
        .map(|e| Ok(e?.path()))
        .collect::<Result<_>>()?;
    files.retain(|p| p.extension().is_some_and(|e| e == "journal"));
    files.sort();
    let Some(first) = files
        .iter()
        .max_by_key(|p| p.metadata().map_or(0, |m| m.len()))
    else {
        bail!("no journal in {}", dir.display());
    };
    let scanned = best(&files, "scan, every field", scan)?;
    let found = best(&files, "scan for a word in messages", search)?;
    let lines = best(&files, "every entry as a line", lines)?;
    ingest(&files)?;
    println!("  of one file, with journalctl:");
    for (name, args, ours) in [
        ("-o json", &["-o", "json"][..], scanned),
        ("-o export", &["-o", "export"], scanned),
        ("-o short", &["-o", "short"], lines),
        ("-g WORD", &["-o", "cat", "-g", "user 7 "], found),
    ] {
        let rate = journalctl(first, args)?;
        println!(
            "    {name:<10} {:>9.0} entries/s; vigie {:.0} times that",
            rate,
            ours / rate
        );
    }
    Ok(())
}

/// Entries of a web server's machine in systemd's export format, by way of systemd-journal-remote.
fn make(dir: &Path, entries: u64) -> Result<()> {
    let program = vigie_testkit::program("systemd-journal-remote");
    let program = program.context("systemd-journal-remote is not installed")?;
    println!(
        "  {entries} entries are being written by {}",
        program.display()
    );
    let mut child = Command::new(program)
        .arg(format!("--output={}", dir.join("bench.journal").display()))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut out = std::io::BufWriter::new(child.stdin.take().context("piped")?);
    let mut dice = Dice::new(7);
    let mut time = START_US;
    for n in 0..entries {
        time += 50 + dice.below(2000);
        entry(&mut out, &mut dice, n, time)?;
    }
    drop(out);
    if !child.wait()?.success() {
        bail!("systemd-journal-remote failed");
    }
    Ok(())
}

fn entry(out: &mut impl Write, dice: &mut Dice, n: u64, time: u64) -> Result<()> {
    let which = usize::try_from(dice.skewed(PROGRAMS.len() as u64))?;
    let (program, unit, uid) = PROGRAMS[which];
    let pid = 500 + which as u64 * 100 + dice.below(20);
    let message = match program {
        "nginx" => format!(
            "192.0.2.{} - - [21/Nov/2026:12:00:00 +0000] \"GET /item/{} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
            dice.below(255),
            dice.below(5000),
            dice.below(90_000)
        ),
        "shop" => format!("{{\"level\":\"info\",\"msg\":\"order placed\",\"order\":{n}}}"),
        _ => format!(
            "session {n} of user {} handled in {} us",
            dice.below(50),
            dice.below(100_000)
        ),
    };
    writeln!(
        out,
        "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={BOOT}\n_TRANSPORT=syslog\n\
         _MACHINE_ID=0f1e2d3c4b5a69788796a5b4c3d2e1f0\n_HOSTNAME=web1\nPRIORITY={}\nSYSLOG_FACILITY=3\n\
         SYSLOG_IDENTIFIER={program}\n_SOURCE_REALTIME_TIMESTAMP={}\n_PID={pid}\n_UID={uid}\n_GID={uid}\n\
         _COMM={program}\n_EXE=/usr/sbin/{program}\n_CMDLINE=/usr/sbin/{program} -D --worker={pid}\n\
         _CAP_EFFECTIVE=1ffffffffff\n_SYSTEMD_CGROUP=/system.slice/{unit}\n_SYSTEMD_UNIT={unit}\n\
         _SYSTEMD_SLICE=system.slice\n_SYSTEMD_INVOCATION_ID={uid:032x}\nSYSLOG_PID={pid}\nMESSAGE={message}\n",
        time - START_US + 1_000_000,
        3 + dice.below(4),
        time - 5 - dice.below(50),
    )?;
    Ok(())
}

/// What a pass does with a file: entries it read, and something that depends on what was read.
type Pass = fn(&mut Journal<JournalFile>) -> Result<(u64, u64)>;

/// The best of some passes over all files: entries a second of processor time.
fn best(files: &[PathBuf], name: &str, pass: Pass) -> Result<f64> {
    let mut least_ms = f64::MAX;
    let (mut entries, mut sum) = (0, 0);
    for _ in 0..PASSES {
        (entries, sum) = (0, 0);
        let start = cpu_ms();
        for path in files {
            let (n, s) = pass(&mut JournalFile::open(path)?)?;
            entries += n;
            sum += s;
        }
        least_ms = least_ms.min(cpu_ms() - start);
    }
    #[expect(clippy::cast_precision_loss, reason = "entries of a benchmark")]
    let rate = entries as f64 / least_ms * 1e3;
    println!(
        "  {name:<28} {:.2} M entries/s ({entries} entries, {least_ms:.0} ms of CPU, {sum})",
        rate / 1e6
    );
    Ok(rate)
}

/// Reads and checks every field.
fn scan(journal: &mut Journal<JournalFile>) -> Result<(u64, u64)> {
    let (mut entries, mut bytes) = (0, 0);
    while journal.next_entry()?.is_some() {
        entries += 1;
        for index in 0..journal.fields() {
            if let Some(datum) = journal.datum(index)? {
                bytes += (datum.name.len() + datum.value.len()) as u64;
            }
        }
    }
    Ok((entries, bytes))
}

/// Looks for a word in all messages.
fn search(journal: &mut Journal<JournalFile>) -> Result<(u64, u64)> {
    let finder = memchr::memmem::Finder::new("user 7 ");
    let (mut entries, mut found) = (0, 0);
    while journal.next_entry()?.is_some() {
        entries += 1;
        for index in 0..journal.fields() {
            if let Some(datum) = journal.datum(index)?
                && datum.name == b"MESSAGE"
            {
                found += u64::from(finder.find(datum.value).is_some());
            }
        }
    }
    Ok((entries, found))
}

/// Writes every entry as a line.
fn lines(journal: &mut Journal<JournalFile>) -> Result<(u64, u64)> {
    let mut writer = LineWriter::default();
    let (mut entries, mut bytes) = (0, 0);
    while let Some(entry) = journal.next_entry()? {
        entries += 1;
        bytes += writer.write(journal, &entry)?.bytes.len() as u64;
    }
    Ok((entries, bytes))
}

/// Takes all of it into a store, as the daemon does.
#[expect(clippy::cast_precision_loss, reason = "entries of a benchmark")]
fn ingest(files: &[PathBuf]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    };
    let now = Timestamp(i64::try_from(START_US / 1000)? + 3_600_000);
    let mut writer = Writer::open(dir.path(), &options, now)?;
    let registry = writer.registry().clone();
    let (mut entries, mut bytes) = (0, 0);
    let (start, mut store_ms, mut failed) = (cpu_ms(), 0.0, None);
    vigie_collector::read_journals(files, "web1", &registry, now, &[], &mut |batch| {
        entries += batch.events.len();
        bytes += batch.events.line_bytes();
        let before = cpu_ms();
        writer.apply(batch);
        let committed = writer.commit(now);
        store_ms += cpu_ms() - before;
        failed = committed.err();
        failed.is_none()
    })?;
    if let Some(e) = failed {
        return Err(e.into());
    }
    let total_ms = cpu_ms() - start;
    writer.seal_events();
    writer.commit(now)?;
    let disk = std::fs::metadata(writer.path())?.len();
    let journal: u64 = files
        .iter()
        .filter_map(|p| p.metadata().ok())
        .map(|m| m.len())
        .sum();
    println!(
        "  into the store               {:.2} M entries/s ({:.2} µs an entry, of it {:.2} in the store); \
         journal {:.0} MB, as lines {:.0} MB, store {:.0} MB",
        entries as f64 / total_ms / 1e3,
        total_ms * 1e3 / entries as f64,
        store_ms * 1e3 / entries as f64,
        journal as f64 / 1e6,
        bytes as f64 / 1e6,
        disk as f64 / 1e6
    );
    Ok(())
}

/// Entries that journalctl reads in a second of processor time.
fn journalctl(file: &Path, args: &[&str]) -> Result<f64> {
    let entries = JournalFile::open(file)?.header().entries;
    let out = Command::new("bash")
        .args([
            "-c",
            "TIMEFORMAT='%3U %3S'; time \"$@\" > /dev/null",
            "bash",
            "journalctl",
        ])
        .args(["-q", "--no-pager", "--file"])
        .arg(file)
        .args(args)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    let mut cpu_s = 0.0;
    for part in said.lines().last().unwrap_or_default().split(' ') {
        cpu_s += part
            .parse::<f64>()
            .with_context(|| said.clone().into_owned())?;
    }
    #[expect(clippy::cast_precision_loss, reason = "entries of a benchmark")]
    let rate = entries as f64 / cpu_s;
    Ok(rate)
}
