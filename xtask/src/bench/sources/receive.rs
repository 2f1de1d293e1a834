//! Syslog over UDP and TCP on loopback: vigie, rsyslog and syslog-ng get the same messages one after the
//! other. vigie parses, indexes and stores them; the others write them into a file.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::idle::release_binary;
use super::super::process::Process;

/// Messages of a burst: what a second or less brings.
const BURST: u32 = 200_000;
/// How long a sustained rate is held.
const SUSTAINED: Duration = Duration::from_secs(5);
/// Messages over TCP, as fast as they are taken.
const STREAMED: u32 = 500_000;
/// Sent at once before the clock is looked at.
const CHUNK: u32 = 50;
/// Nothing was used for so long: all is done.
const QUIET: Duration = Duration::from_millis(1500);
/// Whoever still works on what it got after so long will not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver, and how its messages are counted.
struct Receiver {
    name: &'static str,
    process: Process,
    udp: SocketAddr,
    tcp: SocketAddr,
    stored: Stored,
}

enum Stored {
    /// Lines of a file.
    Lines(PathBuf),
    /// Ask the binary, of that data folder.
    Vigie(PathBuf, PathBuf),
}

/// What a run brought.
struct Outcome {
    sent: u32,
    stored: u64,
    cpu_s: f64,
    wall_s: f64,
}

/// A way to send: how many, and how many a second at the most.
struct Load {
    name: &'static str,
    count: u32,
    rate: u32,
    tcp: bool,
}

/// A row for each receiver and load; of TCP alone with `tcp_only`.
pub(super) fn run(tcp_only: bool) -> Result<()> {
    let sustained = |rate: u32| rate * u32::try_from(SUSTAINED.as_secs()).unwrap_or(1);
    let loads = [
        Load {
            name: "UDP, 250 k/s, burst",
            count: BURST,
            rate: 250_000,
            tcp: false,
        },
        Load {
            name: "UDP, 100 k/s, 5 s",
            count: sustained(100_000),
            rate: 100_000,
            tcp: false,
        },
        Load {
            name: "UDP, 50 k/s, 5 s",
            count: sustained(50_000),
            rate: 50_000,
            tcp: false,
        },
        Load {
            name: "TCP, octet-counted",
            count: STREAMED,
            rate: u32::MAX,
            tcp: true,
        },
    ];
    let vigie = release_binary()?;
    println!(
        "  {:22} {:10} {:>9} {:>8} {:>12} {:>13} {:>9}",
        "", "", "sent", "lost", "µs a message", "stored/s wall", "RSS MiB"
    );
    for load in loads.iter().filter(|load| load.tcp || !tcp_only) {
        for start in [start_vigie, start_rsyslog, start_syslog_ng] {
            let dir = tempfile::tempdir()?;
            let Some(receiver) = start(dir.path(), &vigie)? else {
                continue;
            };
            let outcome = send(&receiver, load)?;
            print(load, &receiver, &outcome);
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
fn print(load: &Load, receiver: &Receiver, o: &Outcome) {
    println!(
        "  {:22} {:10} {:>9} {:>8} {:>12.2} {:>13.0} {:>9.1}",
        load.name,
        receiver.name,
        o.sent,
        u64::from(o.sent).saturating_sub(o.stored),
        o.cpu_s * 1e6 / o.stored.max(1) as f64,
        o.stored as f64 / o.wall_s,
        receiver.process.peak_rss() as f64 / f64::from(1 << 20)
    );
}

pub(super) fn message(seq: u32) -> String {
    let (second, user) = (seq / 50_000 % 60, seq % 977);
    format!(
        "<{}>1 2026-11-21T05:10:{second:02}.{:06}+00:00 web1 shop {} - - request {seq} of user{user} took {} ms, \
         queue is at {}, answer from 192.0.2.{} was complete and is kept for the next one who asks",
        8 * (16 + seq % 8) + 6,
        seq % 1_000_000,
        1000 + seq % 50,
        seq % 3000,
        seq % 100,
        seq % 250,
    )
}

fn send(receiver: &Receiver, load: &Load) -> Result<Outcome> {
    // What it needed to start is not counted.
    settle(receiver)?;
    let before = receiver.process.usage().cpu_s;
    let start = Instant::now();
    if load.tcp {
        let mut out =
            std::io::BufWriter::with_capacity(64 << 10, TcpStream::connect(receiver.tcp)?);
        for seq in 0..load.count {
            let message = message(seq);
            write!(out, "{} {message}", message.len())?;
        }
        out.flush()?;
    } else {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(receiver.udp)?;
        for seq in 0..load.count {
            if seq % CHUNK == 0 {
                let due = Duration::from_secs_f64(f64::from(seq) / f64::from(load.rate));
                // Sleeping is too coarse, and the sender has a core anyway.
                while start.elapsed() < due {
                    std::thread::yield_now();
                }
            }
            socket.send(message(seq).as_bytes())?;
        }
    }
    let quiet = settle(receiver)?;
    let wall_s = (quiet - start).as_secs_f64();
    let cpu_s = receiver.process.usage().cpu_s - before;
    Ok(Outcome {
        sent: load.count,
        stored: stored(receiver)?,
        cpu_s,
        wall_s,
    })
}

/// Waits until the process uses next to nothing; since when.
fn settle(receiver: &Receiver) -> Result<Instant> {
    let mut last = (receiver.process.usage().cpu_s, Instant::now());
    let deadline = Instant::now() + PATIENCE;
    while last.1.elapsed() < QUIET {
        if Instant::now() > deadline {
            bail!("{} is still busy after {PATIENCE:?}", receiver.name);
        }
        std::thread::sleep(Duration::from_millis(50));
        let now = receiver.process.usage().cpu_s;
        if now - last.0 > 0.025 {
            last = (now, Instant::now());
        }
    }
    Ok(last.1)
}

fn stored(receiver: &Receiver) -> Result<u64> {
    match &receiver.stored {
        Stored::Lines(path) => {
            let text = std::fs::read(path).unwrap_or_default();
            Ok(memchr::memchr_iter(b'\n', &text).count() as u64)
        }
        Stored::Vigie(binary, data) => ask_count(binary, data),
    }
}

/// How many messages a store has.
pub(super) fn ask_count(binary: &Path, data: &Path) -> Result<u64> {
    let query = ["logs", "app:shop | count", "--since", "1970-01-01"];
    let out = Command::new(binary)
        .args(query)
        .args(["--format", "csv", "--data"])
        .arg(data)
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let last = text.lines().last().unwrap_or_default();
    let number = last.rsplit(',').next().unwrap_or_default();
    number.trim().parse().with_context(|| text.into_owned())
}

/// Two ports that were free a moment ago.
fn free() -> Result<(SocketAddr, SocketAddr)> {
    let udp = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let tcp = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok((udp, tcp))
}

/// Waits until the TCP port answers.
fn ready(
    name: &'static str,
    process: Process,
    ports: (SocketAddr, SocketAddr),
    stored: Stored,
) -> Result<Option<Receiver>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(ports.1).is_err() {
        if Instant::now() > deadline {
            bail!("{name} does not listen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(Some(Receiver {
        name,
        process,
        udp: ports.0,
        tcp: ports.1,
        stored,
    }))
}

fn start_vigie(dir: &Path, binary: &Path) -> Result<Option<Receiver>> {
    let ports = free()?;
    let config = dir.join("vigie.toml");
    let text = format!(
        "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
         [docker]\nenabled = false\n[[syslog]]\nlisten = \"{}\"\nprotocols = [\"udp\"]\n[[syslog]]\nlisten = \"{}\"\nprotocols = [\"tcp\"]\n",
        ports.0, ports.1
    );
    std::fs::write(&config, text)?;
    let data = dir.join("data");
    let mut command = Command::new(binary);
    command.args(["run", "--listen", "127.0.0.1:0", "--config"]);
    command.arg(config).arg("--data").arg(&data);
    ready(
        "vigie",
        Process::spawn(command)?,
        ports,
        Stored::Vigie(binary.to_owned(), data),
    )
}

fn start_rsyslog(dir: &Path, _vigie: &Path) -> Result<Option<Receiver>> {
    let Some(program) = crate::setup::find("rsyslogd") else {
        return Ok(None);
    };
    let (ports, file) = (free()?, dir.join("out.log"));
    let config = format!(
        "global(workDirectory=\"{0}\")\nmodule(load=\"imudp\" batchSize=\"128\")\nmodule(load=\"imtcp\")\n\
         input(type=\"imudp\" address=\"127.0.0.1\" port=\"{1}\" rcvbufSize=\"4m\" ruleset=\"all\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{2}\" ruleset=\"all\")\n\
         ruleset(name=\"all\" queue.type=\"FixedArray\" queue.size=\"200000\" queue.dequeueBatchSize=\"1024\") {{\n\
         action(type=\"omfile\" file=\"{3}\" ioBufferSize=\"64k\") }}\n",
        dir.display(),
        ports.0.port(),
        ports.1.port(),
        file.display()
    );
    let path = dir.join("rsyslog.conf");
    std::fs::write(&path, config)?;
    let mut command = Command::new(program);
    command.args(["-n", "-i", "NONE", "-f"]).arg(path);
    ready(
        "rsyslog",
        Process::spawn(command)?,
        ports,
        Stored::Lines(file),
    )
}

/// As `cargo xtask setup` unpacks it.
fn start_syslog_ng(dir: &Path, vigie: &Path) -> Result<Option<Receiver>> {
    let target = vigie.ancestors().nth(2).context("a target folder")?;
    let root = target.join("tmp/syslog-ng/usr");
    let Some(modules) = std::fs::read_dir(root.join("lib/syslog-ng"))
        .ok()
        .and_then(|mut all| all.find_map(|e| e.ok().map(|e| e.path()).filter(|p| p.is_dir())))
    else {
        return Ok(None);
    };
    let version = modules
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let (ports, file) = (free()?, dir.join("out.log"));
    let config = format!(
        "@version: {version}\noptions {{ stats-freq(0); flush-lines(1000); log-fifo-size(300000); keep-hostname(yes); }};\n\
         source s {{ syslog(ip(127.0.0.1) transport(\"udp\") port({}) so-rcvbuf(4194304) log-fetch-limit(1000));\n\
         syslog(ip(127.0.0.1) transport(\"tcp\") port({}) log-fetch-limit(1000) log-iw-size(100000)); }};\n\
         destination d {{ file(\"{}\"); }};\nlog {{ source(s); destination(d); flags(flow-control); }};\n",
        ports.0.port(),
        ports.1.port(),
        file.display()
    );
    let path = dir.join("syslog-ng.conf");
    std::fs::write(&path, config)?;
    let lib = root.join("lib");
    let arch = lib.join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let libraries = std::env::join_paths([&lib, &lib.join("syslog-ng"), &arch])?;
    let mut command = Command::new(root.join("sbin/syslog-ng"));
    command
        .env("LD_LIBRARY_PATH", libraries)
        .args(["-F", "--no-caps"])
        .arg(format!("--module-path={}", modules.display()))
        .arg("-f")
        .arg(path)
        .arg("-R")
        .arg(dir.join("ng.persist"))
        .arg("-p")
        .arg(dir.join("ng.pid"))
        .arg("-c")
        .arg(dir.join("ng.ctl"));
    ready(
        "syslog-ng",
        Process::spawn(command)?,
        ports,
        Stored::Lines(file),
    )
}
