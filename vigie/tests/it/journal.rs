//! A real journald: followed while it rotates and vacuums, and while the daemon is killed.

use std::ops::Range;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{Daemon, cli, eventually, numbers, stored, text};

/// How often the daemon is killed.
const KILLS: u64 = 20;
/// Messages between two kills.
const MESSAGES: u64 = 200;

/// journald as an instance of its own, in a mount namespace: it needs root, and no systemd.
struct Journald {
    child: Child,
    dir: PathBuf,
    socket: UnixDatagram,
}

impl Journald {
    /// `None` (and a line that says so) where it cannot run.
    fn start(dir: &Path) -> Option<Self> {
        let journald = vigie_testkit::program("systemd-journald")?;
        let unshare = vigie_testkit::program("unshare")?;
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root may give journald folders of its own");
            return None;
        }
        for folder in ["run/systemd", "log/journal", "etc"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let config = "[Journal]\nStorage=persistent\nRateLimitBurst=0\nSystemMaxFileSize=1M\n";
        std::fs::write(dir.join("etc/journald@vigie.conf"), config).unwrap();
        let script = "mount --make-rprivate / && mount --bind \"$0/run\" /run && \
                      mount --bind \"$0/log\" /var/log && mount --bind \"$0/etc\" /etc/systemd && \
                      exec \"$1\" vigie";
        let mut command = Command::new(unshare);
        command
            .args(["-m", "sh", "-c", script])
            .arg(dir)
            .arg(journald);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.process_group(0).spawn().unwrap();
        let path = dir.join("run/systemd/journal.vigie/socket");
        let socket = UnixDatagram::unbound().unwrap();
        eventually("journald listens", || socket.connect(&path).ok());
        let dir = dir.to_owned();
        Some(Self { child, dir, socket })
    }

    /// By the native protocol.
    fn send(&self, message: &str, fields: &str) {
        let text = format!("MESSAGE={message}\nSYSLOG_IDENTIFIER=demo\nPRIORITY=5\n{fields}");
        self.socket.send(text.as_bytes()).unwrap();
    }

    /// Messages with these numbers.
    fn count(&self, numbers: Range<u64>) {
        for seq in numbers {
            self.send(&format!("seq={seq}"), "");
        }
    }

    /// Puts the file aside and begins another.
    fn rotate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::USR2).unwrap();
    }

    /// The files, archived ones first.
    fn files(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.dir.join("log/journal")).unwrap();
        let folders = folders.map(|e| e.unwrap().path());
        let files = folders.flat_map(|f| std::fs::read_dir(f).unwrap());
        let mut files: Vec<_> = files.map(|e| e.unwrap().path()).collect();
        files.sort_by_key(|p| !p.to_string_lossy().contains('@'));
        files
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn config(dir: &Path) -> String {
    format!(
        "syslog = []\n[host]\nenabled = false\n[known_files]\nenabled = false\n\
         [journal]\ndirs = [\"{}\"]\n",
        dir.join("log/journal").display()
    )
}

/// The sequence numbers of all stored messages, sorted.
fn sequence(dir: &Path) -> Vec<u64> {
    numbers(&stored(dir, "app:demo"), "] seq=")
}

#[test]
fn each_entry_once_through_rotation_vacuuming_and_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let Some(journald) = Journald::start(dir.path()) else {
        return;
    };
    let mut sent = 0;
    for kill in 0..KILLS {
        let daemon = Daemon::start(dir.path(), &config(dir.path()));
        for n in 0..MESSAGES {
            journald.send(&format!("seq={sent}"), "");
            sent += 1;
            if n == kill * 9 {
                journald.rotate();
            }
        }
        // A different moment of its life each time; none is special.
        std::thread::park_timeout(Duration::from_millis(37 * (kill % 7)));
        daemon.kill();
    }
    let daemon = Daemon::start(dir.path(), &config(dir.path()));
    eventually("all entries are stored", || {
        (sequence(dir.path()).len() as u64 >= sent).then_some(())
    });
    // The files themselves, searched without a store.
    let files = journald.files();
    let mut command = crate::daemon::vigie();
    command.args([
        "logs", "app:demo", "--format", "raw", "-n", "1000000", "--file",
    ]);
    let found = text(&command.args(&files).output().unwrap());
    assert_eq!(found.lines().count() as u64, sent);
    // What was read may go.
    for file in journald
        .files()
        .iter()
        .filter(|p| p.to_string_lossy().contains('@'))
    {
        std::fs::remove_file(file).unwrap();
    }
    journald.send(&format!("seq={sent}"), "UNIT_OF_TEST=last one\n");
    let found = eventually("a field is found", || {
        let args = ["logs", "UNIT_OF_TEST:\"last one\"", "--since", "2020-01-01"];
        Some(text(&daemon.cli(&args))).filter(|t| !t.is_empty())
    });
    assert!(found.contains(&format!(" demo  seq={sent}\n")), "{found}");
    assert_eq!(sequence(dir.path()), (0..=sent).collect::<Vec<_>>());
    assert!(daemon.terminate().success());
}

#[test]
fn a_copy_that_sorts_first_hides_nothing_of_the_live_file() {
    let dir = tempfile::tempdir().unwrap();
    let Some(journald) = Journald::start(dir.path()) else {
        return;
    };
    let arrive = |to: u64| {
        eventually("all entries are stored", || {
            (sequence(dir.path()).len() as u64 >= to).then_some(())
        });
        assert_eq!(sequence(dir.path()), (0..to).collect::<Vec<_>>());
    };
    journald.count(0..50);
    let daemon = Daemon::start(dir.path(), &config(dir.path()));
    arrive(50);
    daemon.kill();
    let is_live = |p: &PathBuf| p.ends_with("system.journal");
    let live = journald.files().into_iter().find(is_live).unwrap();
    let copy = live.with_file_name("a-copy.journal");
    std::fs::copy(&live, &copy).unwrap();
    let daemon = Daemon::start(dir.path(), &config(dir.path()));
    journald.count(50..100);
    arrive(100);
    std::fs::copy(&live, &copy).unwrap();
    daemon.kill();
    journald.count(100..150);
    let daemon = Daemon::start(dir.path(), &config(dir.path()));
    arrive(150);
    std::fs::remove_file(&copy).unwrap();
    journald.count(150..200);
    arrive(200);
    assert!(daemon.terminate().success());
}

#[test]
fn an_import_takes_each_entry_once() {
    let dir = tempfile::tempdir().unwrap();
    let Some(journald) = Journald::start(dir.path()) else {
        return;
    };
    let import = || {
        let folder = dir.path().join("log/journal");
        let out = cli(dir.path(), &["import", "logs", folder.to_str().unwrap()]);
        assert!(out.status.success(), "{}", text(&out));
        sequence(dir.path())
    };
    journald.count(0..100);
    // What is sent may lie in the socket still; an import takes what there is.
    let first = eventually("all entries are taken", || {
        Some(import()).filter(|n| n.len() >= 100)
    });
    assert_eq!(first, (0..100).collect::<Vec<_>>());
    journald.rotate();
    journald.count(100..150);
    let second = eventually("the new entries are taken", || {
        Some(import()).filter(|n| n.len() >= 150)
    });
    assert_eq!(second, (0..150).collect::<Vec<_>>());
    assert_eq!(import(), second);
}
