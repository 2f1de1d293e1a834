//! Forwarding behind the store's back: what it lets go before it was sent is counted, what it keeps comes
//! over once.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use rustix::process::{Signal, kill_process};

use crate::daemon::{Daemon, cli, eventually, free_port, numbers, stored, text};

const QUIET: &str = "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
                     [docker]\nenabled = false\n";
/// So many lines fill a block; what the rules let go are whole blocks.
const BLOCK: usize = 1 << 16;
/// Behind it stands the number of a line.
const MARK: &str = "seq=";

/// Appends numbered lines that do not pack well, every tenth with a word of its own.
fn append(log: &Path, written: &mut usize, n: usize) {
    let mut out = String::new();
    for seq in *written..*written + n {
        let noise = (seq as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let word = if seq % 10 == 0 { "wanted" } else { "other" };
        writeln!(
            out,
            "2026-11-21T05:10:{:02}Z INFO {MARK}{seq} {word} {noise:016x}",
            seq % 60
        )
        .unwrap();
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    file.write_all(out.as_bytes()).unwrap();
    *written += n;
}

/// Two vigies, one of which forwards what it reads of a file and keeps little of it.
struct Pair {
    near: tempfile::TempDir,
    far: tempfile::TempDir,
    port: u16,
    written: usize,
}

/// What a status says.
struct Account {
    /// By the relay: lines that went before they were sent, and lines that were sent.
    evicted: u64,
    sent: u64,
    /// Lines that came, by the store, and those of them that its rules let go.
    taken: u64,
    gone: u64,
}

impl Pair {
    fn new() -> Self {
        Self {
            near: tempfile::tempdir().unwrap(),
            far: tempfile::tempdir().unwrap(),
            port: free_port(),
            written: 0,
        }
    }

    fn append(&mut self, n: usize) {
        append(&self.near.path().join("app.log"), &mut self.written, n);
    }

    /// Starts the one that forwards. With `keep` it keeps as much of the lines.
    fn sender(&self, keep: Option<&str>, query: &str) -> Daemon {
        let rule = keep.map_or(String::new(), |budget| {
            format!("[[log_retention]]\nmatch = \"file:*\"\nbudget = \"{budget}\"\n")
        });
        let config = format!(
            "syslog = []\n{QUIET}{rule}[[files]]\npaths = [\"{}\"]\n\
             [[relay]]\nto = \"127.0.0.1:{}\"\npeer = \"vigie\"\nhistory = true\nquery = '{query}'\n",
            self.near.path().join("app.log").display(),
            self.port
        );
        Daemon::start(self.near.path(), &config)
    }

    fn receiver(&self) -> Daemon {
        let config = format!(
            "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:{}\"\nprotocols = [\"tcp\"]\nrelay = true\n",
            self.port
        );
        Daemon::start(self.far.path(), &config)
    }

    fn account(&self, daemon: &Daemon) -> Account {
        let status = text(&daemon.cli(&["status", "--format", "json"]));
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let number = |v: &serde_json::Value| v.as_u64().unwrap_or(0);
        let relay = format!("relay:127.0.0.1:{}", self.port);
        let sources = status["sources"].as_array().unwrap();
        let relay = sources.iter().find(|s| s["source"] == *relay);
        let store = &status["store"];
        let gone = number(&store["events_evicted"]) + number(&store["events_expired"]);
        Account {
            evicted: relay.map_or(0, |r| number(&r["dropped"]["evicted"])),
            sent: relay.map_or(0, |r| number(&r["items"])),
            taken: number(&store["events"]) + gone,
            gone,
        }
    }

    /// Waits until all lines are in the store and some have left it.
    fn wait_until_gone(&self, daemon: &Daemon, more_than: u64) -> u64 {
        eventually("the store lets lines go", || {
            let account = self.account(daemon);
            (account.taken == self.written as u64 && account.gone > more_than)
                .then_some(account.gone)
        })
    }

    /// Waits until what arrived and what was lost are all lines; what was lost.
    fn wait_until_all(&self, daemon: &Daemon) -> u64 {
        let lost = eventually("all lines are there or counted", || {
            let lost = self.account(daemon).evicted;
            let arrived = text(&cli(
                self.far.path(),
                &[
                    "logs",
                    "seq | count",
                    "--format",
                    "csv",
                    "--since",
                    "2020-01-01",
                ],
            ));
            let arrived: u64 = arrived.lines().nth(1)?.trim().parse().ok()?;
            (arrived + lost >= self.written as u64).then_some(lost)
        });
        let arrived = self.arrived();
        assert_eq!(arrived.len() as u64 + lost, self.written as u64);
        assert!(arrived.windows(2).all(|w| w[0] < w[1]), "none twice");
        lost
    }

    /// The numbers of the lines on the other side, sorted.
    fn arrived(&self) -> Vec<usize> {
        numbers(&stored(self.far.path(), "seq"), MARK)
    }
}

#[test]
fn what_went_while_the_target_was_away_is_counted_and_the_rest_comes_once() {
    let mut pair = Pair::new();
    pair.append(3 * BLOCK);
    let mut sends = pair.sender(Some("1 MiB"), "");
    let gone = pair.wait_until_gone(&sends, 0);
    assert_eq!(
        pair.account(&sends).evicted,
        0,
        "nobody has asked for it yet"
    );
    let takes = pair.receiver();
    let lost = pair.wait_until_all(&sends);
    assert_eq!(lost, gone);
    // From the oldest one that is left.
    let left: Vec<usize> = (pair.written - pair.arrived().len()..pair.written).collect();
    assert_eq!(pair.arrived(), left);
    sends.wait_for("were let go by the store").unwrap();
    let account = pair.account(&sends);
    assert_eq!(account.sent + account.evicted, pair.written as u64);
    // The count is that of the relay, not of the process; also in the figures that others read.
    assert!(sends.terminate().success());
    let sends = pair.sender(Some("1 MiB"), "");
    pair.append(10);
    assert_eq!(pair.wait_until_all(&sends), lost);
    let name = format!("relay:127.0.0.1:{}", pair.port);
    eventually("the figure of what was lost", || {
        let selector =
            format!("vigie_source_dropped_total{{source=\"{name}\",reason=\"evicted\"}}");
        let answer = text(&sends.cli(&["query", &selector, "--format", "json"]));
        answer.contains(&format!("\"{lost}\"")).then_some(())
    });
    drop((sends, takes));
}

#[test]
fn what_goes_while_the_target_takes_nothing_is_neither_lost_uncounted_nor_doubled() {
    let mut pair = Pair::new();
    pair.append(1000);
    let takes = pair.receiver();
    let sends = pair.sender(Some("1 MiB"), "");
    assert_eq!(pair.wait_until_all(&sends), 0);
    // It stands still with some of it on its way.
    kill_process(takes.pid(), Signal::STOP).unwrap();
    pair.append(3 * BLOCK);
    pair.wait_until_gone(&sends, BLOCK as u64);
    kill_process(takes.pid(), Signal::CONT).unwrap();
    pair.wait_until_all(&sends);
    // The same with a connection that breaks.
    kill_process(takes.pid(), Signal::STOP).unwrap();
    let gone = pair.account(&sends).gone;
    pair.append(2 * BLOCK);
    pair.wait_until_gone(&sends, gone);
    takes.kill();
    let takes = pair.receiver();
    pair.wait_until_all(&sends);
    drop((sends, takes));
}

#[test]
fn a_restart_that_keeps_less_counts_what_it_lets_go() {
    let mut pair = Pair::new();
    pair.append(3 * BLOCK + 100);
    let sends = pair.sender(None, "");
    eventually("all lines are taken", || {
        (pair.account(&sends).taken == pair.written as u64).then_some(())
    });
    assert_eq!(pair.account(&sends).gone, 0);
    assert!(sends.terminate().success());
    let sends = pair.sender(Some("1 MiB"), "");
    let gone = pair.wait_until_gone(&sends, 0);
    // Neither does kill -9 between the loss and the target's return change the count.
    sends.kill();
    let takes = pair.receiver();
    let sends = pair.sender(Some("1 MiB"), "");
    assert_eq!(pair.wait_until_all(&sends), gone);
    drop((sends, takes));
}

#[test]
fn a_filtered_relay_counts_what_went_wanted_or_not() {
    let mut pair = Pair::new();
    pair.append(3 * BLOCK);
    let sends = pair.sender(Some("1 MiB"), "wanted");
    let gone = pair.wait_until_gone(&sends, 0);
    let takes = pair.receiver();
    let first = usize::try_from(gone).unwrap().next_multiple_of(10);
    let wanted: Vec<usize> = (first..pair.written).step_by(10).collect();
    eventually("the wanted lines are over", || {
        (pair.arrived().len() >= wanted.len()).then_some(())
    });
    assert_eq!(pair.arrived(), wanted);
    eventually("the others are counted", || {
        (pair.account(&sends).evicted == gone).then_some(())
    });
    drop((sends, takes));
}
