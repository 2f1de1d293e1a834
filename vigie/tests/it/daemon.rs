//! The real binary as a child: started on free ports, asked over HTTP, ended by signals.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long the daemon may take for what a test waits for; far above what it needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon. Killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    pub(crate) said: Vec<String>,
    dir: PathBuf,
}

/// A port that nobody listens on, below those that connections get: nobody takes it, and no connection
/// to it ends at itself, while its receiver is down.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 200).unwrap() * 100;
    let mut ports = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Relaxed));
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// The binary under test.
pub(crate) fn vigie() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command
        .stdin(Stdio::null())
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1");
    command
}

impl Daemon {
    /// Starts `vigie run` with a configuration (listeners on port 0) in `dir` and waits until it is
    /// ready.
    pub(crate) fn start(dir: &Path, config: &str) -> Self {
        Self::try_start(dir, config, "run").unwrap_or_else(|e| panic!("{e}"))
    }

    /// The same for any command that serves; an error if it ends before it is ready.
    pub(crate) fn try_start(dir: &Path, config: &str, command: &str) -> Result<Self, String> {
        let mut binary = vigie();
        binary.args(command.split(' ')).stdout(Stdio::null());
        Self::spawn(dir, config, binary)
    }

    /// The same for a command line that ends where the arguments of the daemon begin.
    pub(crate) fn spawn(dir: &Path, config: &str, mut command: Command) -> Result<Self, String> {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("vigie.toml"), config).unwrap();
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--config"])
            .arg(dir.join("vigie.toml"))
            .arg("--data")
            .arg(dir.join("data"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut daemon = Self {
            child,
            lines,
            said: Vec::new(),
            dir: dir.to_owned(),
        };
        daemon.wait_for("INFO ready")?;
        Ok(daemon)
    }

    /// Waits until it says something.
    pub(crate) fn wait_for(&mut self, words: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = line.contains(words);
                    self.said.push(line.clone());
                    if found {
                        return Ok(line);
                    }
                }
                Err(_) => return Err(format!("no '{words}' in:\n{}", self.said.join("\n"))),
            }
        }
    }

    /// The address behind a word it said at the start, as `http://` or `syslog udp `.
    pub(crate) fn address(&self, after: &str) -> String {
        let line = self
            .said
            .iter()
            .find_map(|l| l.split_once(after))
            .expect(after);
        line.1.split([' ', '/', ',']).next().unwrap().to_owned()
    }

    /// The base URL of its pages.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address("http://"))
    }

    /// The process.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Runs another command of the binary on the same store.
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        cli(&self.dir, args)
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit status.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let ended = self.child.wait();
        if std::thread::panicking() {
            let later: Vec<String> = self.lines.try_iter().collect();
            println!(
                "the daemon ({ended:?}) had said:\n{}\n{}",
                self.said.join("\n"),
                later.join("\n")
            );
        }
    }
}

/// Runs a command of the binary on the store under `dir`.
pub(crate) fn cli(dir: &Path, args: &[&str]) -> Output {
    let mut command = vigie();
    command.args(args).arg("--data").arg(dir.join("data"));
    if dir.join("vigie.toml").exists() {
        command.arg("--config").arg(dir.join("vigie.toml"));
    }
    command.output().unwrap()
}

/// Standard output as text.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every stored line that a query finds, as it came, sorted.
pub(crate) fn stored(dir: &Path, query: &str) -> Vec<String> {
    let all = ["--format", "raw", "-n", "10000000", "--since", "2020-01-01"];
    let out = cli(dir, &[&["logs", query], &all[..]].concat());
    let mut lines: Vec<_> = text(&out).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// The numbers that stand behind a mark in lines, sorted.
pub(crate) fn numbers<N: FromStr + Ord>(lines: &[impl AsRef<str>], mark: &str) -> Vec<N> {
    let behind = |l: &str| l.split_once(mark)?.1.split(' ').next()?.parse().ok();
    let numbers = lines.iter().filter_map(|l| behind(l.as_ref()));
    let mut numbers: Vec<N> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// Asks again until it holds.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
