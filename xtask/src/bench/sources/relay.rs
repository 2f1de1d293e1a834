//! Forwarding: messages wait until their target comes up, then they go. vigie's wait in its store, rsyslog's
//! in a queue in memory; the target counts frames, or is another vigie.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::idle::release_binary;
use super::super::process::Process;
use super::receive::{ask_count, message};

/// Messages that wait.
const COUNT: u32 = 500_000;
/// Whoever has not sent all after so long will not.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Who forwards.
struct Sender {
    name: &'static str,
    process: Process,
}

/// A row for each.
pub(super) fn run() -> Result<()> {
    println!(
        "  {:34} {:>9} {:>14} {:>10} {:>9}",
        "", "messages", "µs a message", "a second", "RSS MiB"
    );
    let vigie = release_binary()?;
    for start in [start_vigie, start_rsyslog] {
        let dir = tempfile::tempdir()?;
        let (from, to) = (port()?, port()?);
        let Some(sender) = start(dir.path(), &vigie, from, to)? else {
            continue;
        };
        fill(from, || held(&sender))?;
        let before = sender.process.usage().cpu_s;
        let sink = Sink::listen(to)?;
        let begun = wait(|| Ok((sink.messages.load(Relaxed) > 0).then(Instant::now)))?;
        wait(|| Ok((sink.messages.load(Relaxed) >= u64::from(COUNT)).then_some(())))?;
        let wall = begun.elapsed();
        let name = format!("{} to a sink", sender.name);
        print(
            &name,
            sender.process.usage().cpu_s - before,
            wall,
            &sender.process,
        );
    }
    between_two(&vigie)
}

fn between_two(vigie: &Path) -> Result<()> {
    let (near, far) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (from, to) = (port()?, port()?);
    let sender = spawn_vigie(near.path(), vigie, from, Some((to, "vigie")))?;
    fill(from, || {
        Ok(ask_count(vigie, &near.path().join("data"))? >= u64::from(COUNT))
    })?;
    let before = sender.usage().cpu_s;
    let receiver = spawn_vigie(far.path(), vigie, to, None)?;
    let data = far.path().join("data");
    let start = Instant::now();
    let begun = wait(|| {
        let used = receiver.usage().cpu_s;
        Ok((used > 0.15 || start.elapsed() > Duration::from_secs(70)).then(Instant::now))
    })?;
    wait(|| {
        std::thread::sleep(Duration::from_millis(200));
        Ok((ask_count(vigie, &data).unwrap_or(0) >= u64::from(COUNT)).then_some(()))
    })?;
    let wall = begun.elapsed();
    print(
        "vigie to vigie: the sender",
        sender.usage().cpu_s - before,
        wall,
        &sender,
    );
    print(
        "vigie to vigie: the receiver",
        receiver.usage().cpu_s,
        wall,
        &receiver,
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
fn print(name: &str, cpu_s: f64, wall: Duration, process: &Process) {
    println!(
        "  {name:34} {COUNT:>9} {:>14.2} {:>10.0} {:>9.1}",
        cpu_s * 1e6 / f64::from(COUNT),
        f64::from(COUNT) / wall.as_secs_f64(),
        process.peak_rss() as f64 / f64::from(1 << 20)
    );
}

/// Hands all messages over, and waits until they are taken.
fn fill(from: SocketAddr, mut taken: impl FnMut() -> Result<bool>) -> Result<()> {
    let stream = wait(|| Ok(TcpStream::connect(from).ok()))?;
    let mut out = std::io::BufWriter::with_capacity(64 << 10, stream);
    for seq in 0..COUNT {
        let message = message(seq);
        write!(out, "{} {message}", message.len())?;
    }
    out.flush()?;
    wait(|| {
        std::thread::sleep(Duration::from_millis(500));
        Ok(taken()?.then_some(()))
    })
}

/// Whether the process has come to rest.
fn held(sender: &Sender) -> Result<bool> {
    let before = sender.process.usage().cpu_s;
    std::thread::sleep(Duration::from_millis(1500));
    Ok(sender.process.usage().cpu_s - before < 0.025)
}

fn wait<T>(mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("not done after {PATIENCE:?}");
        }
        std::thread::sleep(LOOK);
    }
}

/// A port that was free a moment ago.
fn port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Counts octet-counted frames.
struct Sink {
    messages: Arc<AtomicU64>,
}

impl Sink {
    fn listen(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let messages = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&messages);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                // The next connection is as good.
                let _ = count(stream, &counter);
            }
        });
        Ok(Self { messages })
    }
}

fn count(mut stream: TcpStream, messages: &AtomicU64) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let (mut skip, mut length) = (0, 0);
    loop {
        let read = stream.read(&mut buffer)?;
        let mut bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        let mut found = 0;
        while !bytes.is_empty() {
            let inside = bytes.len().min(skip);
            bytes = bytes.get(inside..).unwrap_or_default();
            skip -= inside;
            found += u64::from(inside > 0 && skip == 0);
            while let (0, Some((&digit, rest))) = (skip, bytes.split_first()) {
                bytes = rest;
                match digit {
                    b' ' => (skip, length) = (length, 0),
                    digit => length = length * 10 + usize::from(digit.wrapping_sub(b'0')),
                }
            }
        }
        messages.fetch_add(found, Relaxed);
    }
}

fn start_vigie(
    dir: &Path,
    binary: &Path,
    from: SocketAddr,
    to: SocketAddr,
) -> Result<Option<Sender>> {
    let process = spawn_vigie(dir, binary, from, Some((to, "syslog")))?;
    let name = "vigie";
    Ok(Some(Sender { name, process }))
}

fn spawn_vigie(
    dir: &Path,
    binary: &Path,
    from: SocketAddr,
    to: Option<(SocketAddr, &str)>,
) -> Result<Process> {
    let relay = to.map_or(String::new(), |(to, peer)| {
        format!("[[relay]]\nto = \"{to}\"\npeer = \"{peer}\"\nhistory = true\n")
    });
    let config = format!(
        "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
         [docker]\nenabled = false\n[[syslog]]\nlisten = \"{from}\"\nprotocols = [\"tcp\"]\nrelay = true\n{relay}"
    );
    let path = dir.join("vigie.toml");
    std::fs::write(&path, config)?;
    let mut command = Command::new(binary);
    command.args(["run", "--listen", "127.0.0.1:0", "--config"]);
    command.arg(path).arg("--data").arg(dir.join("data"));
    Process::spawn(command)
}

fn start_rsyslog(
    dir: &Path,
    _vigie: &Path,
    from: SocketAddr,
    to: SocketAddr,
) -> Result<Option<Sender>> {
    let Some(program) = crate::setup::find("rsyslogd") else {
        return Ok(None);
    };
    let config = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"imtcp\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{}\" ruleset=\"all\")\n\
         ruleset(name=\"all\" queue.type=\"FixedArray\" queue.size=\"{}\" queue.dequeueBatchSize=\"1024\") {{\n\
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{}\" protocol=\"tcp\" tcp_framing=\"octet-counted\"\n\
         template=\"RSYSLOG_SyslogProtocol23Format\" action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\") }}\n",
        dir.display(),
        from.port(),
        2 * COUNT,
        to.port(),
    );
    let path = dir.join("rsyslog.conf");
    std::fs::write(&path, config)?;
    let mut command = Command::new(program);
    command.args(["-n", "-i", "NONE", "-f"]).arg(path);
    let process = Process::spawn(command).context("rsyslogd")?;
    let name = "rsyslog";
    Ok(Some(Sender { name, process }))
}
