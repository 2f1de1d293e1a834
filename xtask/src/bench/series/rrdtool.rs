//! The same work for rrdtool and rrdcached, as Debian has them: one file a series, as MRTG, Cacti and
//! Munin keep them, with the archives that vigie keeps.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use vigie_store::Reading;

use super::fleet::Fleet;
use super::{Figures, START_MS};
use crate::bench::process::{Process, cpu_s};

/// Files that readings go to.
const SERIES: usize = 200;
/// Readings of each.
const ROUNDS: usize = 150;
/// Files that are read from, with a day of minutes.
const READ: usize = 500;
/// An answer is asked for so often: processor time comes in hundredths of a second.
const REPEAT: usize = 20;

const ARCHIVES: &str = "RRA:AVERAGE:0.5:1:17280 \
    RRA:AVERAGE:0.5:6:20160 RRA:MIN:0.5:6:20160 RRA:MAX:0.5:6:20160 \
    RRA:AVERAGE:0.5:60:13248 RRA:MIN:0.5:60:13248 RRA:MAX:0.5:60:13248 \
    RRA:AVERAGE:0.5:720:8784 RRA:MIN:0.5:720:8784 RRA:MAX:0.5:720:8784";

/// `rrdtool -`: commands in, answers out, no process for each.
struct Pipe {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Pipe {
    fn start(program: &Path, dir: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("-")
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            input: input.context("a pipe")?,
            output: BufReader::new(output.context("a pipe")?),
        })
    }

    /// Runs a command; the lines of its answer are counted and dropped.
    fn ask(&mut self, command: &str) -> Result<usize> {
        writeln!(self.input, "{command}")?;
        let mut lines = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line)? == 0 || line.starts_with("ERROR") {
                bail!("rrdtool: {} in answer to {:.100}", line.trim(), command);
            }
            if line.starts_with("OK ") {
                return Ok(lines);
            }
            lines += 1;
        }
    }

    fn cpu(&self) -> f64 {
        cpu_s(self.child.id()).unwrap_or(0.0)
    }

    /// Milliseconds of processor time that commands take, each.
    fn timed(&mut self, commands: &[String]) -> Result<f64> {
        let before = self.cpu();
        for _ in 0..REPEAT {
            for command in commands {
                self.ask(command)?;
            }
        }
        Ok((self.cpu() - before) * 1e3 / REPEAT as f64)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        let _ = writeln!(self.input, "quit");
        let _ = self.child.wait();
    }
}

fn value(reading: Reading) -> f64 {
    match reading {
        Reading::Counter(v) => v as f64,
        Reading::Gauge(v) | Reading::FloatCounter(v) | Reading::Increase(v) => v,
        Reading::Unknown(_)
        | Reading::Restarted(_)
        | Reading::Discontinued(_)
        | Reading::Declared(_) => f64::NAN,
    }
}

/// What rrdtool does alone; nothing when it is not installed.
pub(super) fn rrdtool() -> Result<Option<Figures>> {
    let Some(program) = crate::setup::find("rrdtool") else {
        println!("rrdtool: not installed, left out (apt-get install rrdtool)");
        return Ok(None);
    };
    let dir = tempfile::tempdir()?;
    let mut pipe = Pipe::start(&program, dir.path())?;
    let start = START_MS / 1000;
    create(&mut pipe, SERIES, start)?;
    let mut fleet = Fleet::unnamed(SERIES);
    let before = pipe.cpu();
    for round in 1..=ROUNDS {
        for i in 0..SERIES {
            let v = value(fleet.read(i));
            pipe.ask(&format!("update {i}.rrd {}:{v}", start + 10 * round as i64))?;
        }
    }
    let file = dir.path().join("0.rrd").metadata()?.len();
    let mut figures = Figures::new("rrdtool");
    let readings = (SERIES * ROUNDS) as f64;
    figures.set(
        "ingest, 1,000 a commit",
        (pipe.cpu() - before) * 1e9 / readings,
    );
    figures.set("full rings", file as f64 / 1024.0);
    questions(&mut pipe, &mut figures, start)?;
    Ok(Some(figures))
}

fn create(pipe: &mut Pipe, files: usize, start: i64) -> Result<()> {
    for i in 0..files {
        pipe.ask(&format!(
            "create {i}.rrd --start {start} --step 10 DS:v:GAUGE:120:U:U {ARCHIVES}"
        ))?;
    }
    Ok(())
}

fn questions(pipe: &mut Pipe, figures: &mut Figures, start: i64) -> Result<()> {
    create(pipe, READ, start)?;
    let mut fleet = Fleet::unnamed(READ);
    for i in 0..READ {
        let values: Vec<String> = (1..=1440)
            .map(|m| format!("{}:{}", start + 60 * m, value(fleet.read(i))))
            .collect();
        for part in values.chunks(240) {
            pipe.ask(&format!("update {i}.rrd {}", part.join(" ")))?;
        }
    }
    let fetch = |i: usize, hours: i64| {
        let end = start + 86_400;
        format!(
            "fetch {i}.rrd AVERAGE -r 60 -s {} -e {end}",
            end - hours * 3600
        )
    };
    figures.set("one series, 24 h @ 1 min", pipe.timed(&[fetch(7, 24)])?);
    let all: Vec<String> = (0..READ).map(|i| fetch(i, 6)).collect();
    figures.set("500 series, 6 h @ 1 min", pipe.timed(&all)?);
    let year = 365 * 24;
    pipe.ask(&format!(
        "create year.rrd --start {start} --step 3600 DS:v:GAUGE:7200:U:U RRA:AVERAGE:0.5:1:{year}"
    ))?;
    let hours: Vec<String> = (1..=year)
        .map(|h| format!("{}:{}", start + 3600 * h, value(fleet.read(6))))
        .collect();
    for part in hours.chunks(240) {
        pipe.ask(&format!("update year.rrd {}", part.join(" ")))?;
    }
    let end = start + year * 3600;
    let fetch = format!("fetch year.rrd AVERAGE -r 3600 -s {start} -e {end}");
    figures.set("one series, 1 y @ 1 h", pipe.timed(&[fetch])?);
    for (kind, what) in [("SVG", "chart, SVG"), ("PNG", "chart, PNG")] {
        let end = start + 800 * 60;
        let graph = format!(
            "graph chart --imgformat {kind} -w 600 -h 200 -s {start} -e {end} \
             DEF:a=0.rrd:v:AVERAGE DEF:b=1.rrd:v:AVERAGE LINE1:a#2a6fb0:in LINE1:b#c0562b:out"
        );
        figures.set(what, pipe.timed(&[graph])?);
    }
    Ok(())
}

/// What rrdcached does with the same readings; nothing when it is not installed.
pub(super) fn rrdcached() -> Result<Option<Figures>> {
    let found = (
        crate::setup::find("rrdcached"),
        crate::setup::find("rrdtool"),
    );
    let (Some(program), Some(rrdtool)) = found else {
        println!("rrdcached: not installed, left out (apt-get install rrdcached rrdtool)");
        return Ok(None);
    };
    let dir = tempfile::tempdir()?;
    let start = START_MS / 1000;
    create(&mut Pipe::start(&rrdtool, dir.path())?, SERIES, start)?;
    let text = dir.path().display().to_string();
    let socket = format!("{text}/socket");
    let pid = format!("{text}/pid");
    let daemon = Process::start(
        &program,
        &[
            "-g", "-l", &socket, "-b", &text, "-p", &pid, "-w", "3600", "-f", "7200",
        ],
    )?;
    let mut stream = connect(&socket)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut fleet = Fleet::unnamed(SERIES);
    for round in 1..=ROUNDS {
        let mut batch = String::from("BATCH\n");
        for i in 0..SERIES {
            let time = start + 10 * round as i64;
            batch += &format!("UPDATE {text}/{i}.rrd {time}:{}\n", value(fleet.read(i)));
        }
        stream.write_all((batch + ".\n").as_bytes())?;
        for expected in ["0 Go ahead", "0 errors"] {
            let mut line = String::new();
            answers.read_line(&mut line)?;
            if !line.starts_with(expected) {
                bail!("rrdcached: {}", line.trim());
            }
        }
    }
    flushed(&mut stream, &mut answers)?;
    let mut figures = Figures::new("rrdcached");
    let readings = (SERIES * ROUNDS) as f64;
    figures.set(
        "ingest, 1,000 a commit",
        daemon.usage().cpu_s * 1e9 / readings,
    );
    Ok(Some(figures))
}

fn connect(socket: &str) -> Result<UnixStream> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(e) if Instant::now() > until => return Err(e).context("rrdcached does not listen"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Asks for everything to be written and waits until it is.
fn flushed(stream: &mut UnixStream, answers: &mut impl BufRead) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    for command in std::iter::once("FLUSHALL\n").chain(std::iter::repeat("STATS\n")) {
        stream.write_all(command.as_bytes())?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let lines = line
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0usize);
        let mut written = 0usize;
        for _ in 0..lines {
            line.clear();
            answers.read_line(&mut line)?;
            if let Some(n) = line.strip_prefix("DataSetsWritten: ") {
                written = n.trim().parse()?;
            }
        }
        if written >= SERIES * ROUNDS {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("rrdcached wrote {written} values only");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
