//! Forwarding: from vigie to vigie each line once whoever is killed, to rsyslog and syslog-ng through their
//! outages.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vigie_testkit::program;

use crate::daemon::{Daemon, eventually, free_port, numbers, stored, text};
use crate::forwarders::{certificates, syslog_ng, syslog_ng_command};

/// How often either end is killed.
const KILLS: usize = 20;
/// Lines between two kills.
const LINES: usize = 300;

const QUIET: &str = "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
                     [docker]\nenabled = false\n";

/// Appends numbered lines to the log that the first vigie follows.
fn append(log: &Path, written: &mut usize, n: usize) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    for seq in *written..*written + n {
        writeln!(
            file,
            "2026-11-21T05:10:{:02}Z INFO seq={seq} it's \"quoted\" \\ ü",
            seq % 60
        )
        .unwrap();
    }
    *written += n;
}

/// Behind it stands the number of a line.
const MARK: &str = "seq=";

/// The numbers of all stored lines, sorted.
fn sequence(dir: &Path) -> Vec<usize> {
    numbers(&stored(dir, "seq"), MARK)
}

fn sender(log: &Path, relay: &str) -> String {
    format!(
        "syslog = []\n{QUIET}[[files]]\npaths = [\"{}\"]\n[[relay]]\n{relay}\n",
        log.display()
    )
}

#[test]
fn each_line_once_from_vigie_to_vigie_whoever_is_killed() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = near.path().join("app.log");
    let port = free_port();
    let relay = format!("to = \"127.0.0.1:{port}\"\npeer = \"vigie\"\nhistory = true");
    let near_config = sender(&log, &relay);
    let far_config = format!(
        "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocols = [\"tcp\"]\nrelay = true\n"
    );
    let mut written = 0;
    append(&log, &mut written, LINES);
    let mut sends = Daemon::start(near.path(), &near_config);
    let mut takes = Daemon::start(far.path(), &far_config);
    for kill in 0..KILLS {
        append(&log, &mut written, LINES);
        // A different moment of its life each time; none is special.
        std::thread::park_timeout(Duration::from_millis(71 * (kill as u64 % 11)));
        if kill % 2 == 0 {
            takes.kill();
            append(&log, &mut written, LINES / 10);
            takes = Daemon::start(far.path(), &far_config);
        } else {
            sends.kill();
            append(&log, &mut written, LINES / 10);
            sends = Daemon::start(near.path(), &near_config);
        }
    }
    let found = eventually("all lines have come over", || {
        let found = sequence(far.path());
        (found.len() >= written).then_some(found)
    });
    assert_eq!(found, (0..written).collect::<Vec<_>>());
    // As the first one keeps them, with its fields.
    let ask = [
        "logs",
        "\"seq=17 \"",
        "--format",
        "json",
        "--since",
        "2020-01-01",
    ];
    let line = text(&takes.cli(&ask));
    let event: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!(event["file"], log.to_str().unwrap(), "{line}");
    assert_eq!(event["time"], "2026-11-21T05:10:17.000+00:00", "{line}");
    let status = text(&sends.cli(&["status"]));
    assert!(
        status.contains(&format!("relay:127.0.0.1:{port}")),
        "{status}"
    );
    assert!(sends.terminate().success() && takes.terminate().success());
    assert_eq!(sequence(far.path()).len(), written, "none twice");
}

#[test]
fn two_vigies_that_forward_to_each_other_over_tls_make_no_loop() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(one.path());
    let log = one.path().join("app.log");
    let ports = [free_port(), free_port()];
    let certificates = one.path().display();
    let config = |own: u16, other: u16| {
        format!(
            "{QUIET}[[files]]\npaths = [\"{}.{own}\"]\n\
             [[syslog]]\nlisten = \"127.0.0.1:{own}\"\nprotocols = [\"tls\"]\nrelay = true\n\
             [syslog.tls]\ncertificate = \"{certificates}/localhost.pem\"\nkey = \"{certificates}/localhost.key\"\n\
             client_ca = \"{certificates}/ca.pem\"\npermitted_peers = [\"sender.example\"]\n\
             [[relay]]\nto = \"localhost:{other}\"\npeer = \"vigie\"\nhistory = true\nquery = 'seq'\n\
             [relay.tls]\nca = \"{certificates}/ca.pem\"\ncertificate = \"{certificates}/sender.example.pem\"\n\
             key = \"{certificates}/sender.example.key\"\n",
            log.display()
        )
    };
    let with = |port: u16| log.with_file_name(format!("app.log.{port}"));
    let mut written = 0;
    append(&with(ports[0]), &mut written, LINES);
    append(&with(ports[1]), &mut written, LINES);
    let first = Daemon::start(one.path(), &config(ports[0], ports[1]));
    let second = Daemon::start(two.path(), &config(ports[1], ports[0]));
    let all: Vec<_> = (0..written).collect();
    for dir in [one.path(), two.path()] {
        eventually("both have all", || {
            (sequence(dir).len() >= written).then_some(())
        });
    }
    // What goes on between them now would show as one more line.
    append(&with(ports[0]), &mut written, 1);
    for dir in [one.path(), two.path()] {
        let found = eventually("the last one", || {
            let found = sequence(dir);
            (found.len() > all.len()).then_some(found)
        });
        assert_eq!(found, (0..written).collect::<Vec<_>>());
    }
    drop((first, second));
}

/// More than may be on the way unacknowledged, in lines as long as lines get.
#[test]
fn long_lines_and_more_than_may_be_on_the_way_come_over_whole() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = near.path().join("app.log");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .unwrap();
    let mut expected = Vec::new();
    for seq in 0..250 {
        // The longest is just what a line may have.
        let len = if seq % 50 == 0 { 65_536 } else { 60_000 };
        let mut line = format!("seq={seq:04} ");
        line.push_str(&"0123456789abcdef".repeat(5000)[..len - line.len()]);
        writeln!(file, "{line}").unwrap();
        expected.push(line);
    }
    let port = free_port();
    let relay = format!("to = \"127.0.0.1:{port}\"\npeer = \"vigie\"\nhistory = true");
    let far_config = format!(
        "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocols = [\"tcp\"]\nrelay = true\n"
    );
    let takes = Daemon::start(far.path(), &far_config);
    let sends = Daemon::start(near.path(), &sender(&log, &relay));
    let found = eventually("all lines have come over", || {
        let found = stored(far.path(), "seq");
        (found.len() >= expected.len()).then_some(found)
    });
    assert!(found == expected, "{} lines", found.len());
    let status = text(&takes.cli(&["status"])) + &text(&sends.cli(&["status"]));
    assert!(!status.contains("cut"), "{status}");
}

#[test]
fn a_store_that_was_put_back_from_a_copy_begins_anew_behind_it() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = near.path().join("app.log");
    let port = free_port();
    let relay = format!("to = \"127.0.0.1:{port}\"\npeer = \"vigie\"\nhistory = true");
    let near_config = sender(&log, &relay);
    let far_config = format!(
        "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocols = [\"tcp\"]\nrelay = true\n"
    );
    let _takes = Daemon::start(far.path(), &far_config);
    let (data, copy) = (near.path().join("data"), near.path().join("copy"));
    let mut written = 0;
    let mut run = |daemon: Daemon| {
        append(&log, &mut written, LINES);
        let all: Vec<_> = (0..written).collect();
        eventually("all lines have come over", || {
            let mut found = sequence(far.path());
            found.dedup();
            (found == all).then_some(())
        });
        daemon
    };
    let sends = run(Daemon::start(near.path(), &near_config));
    assert!(sends.terminate().success());
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let sends = run(Daemon::start(near.path(), &near_config));
    assert!(sends.terminate().success());
    // Into the same file, as of a machine that is set back to a snapshot.
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        let before = copy.join(entry.file_name());
        match before.exists() {
            true => drop(std::fs::copy(before, entry.path()).unwrap()),
            false => std::fs::remove_file(entry.path()).unwrap(),
        }
    }
    let mut sends = Daemon::start(near.path(), &near_config);
    let told = |line: &String| line.contains("begins anew");
    if !sends.said.iter().any(told) {
        sends.wait_for("begins anew").unwrap();
    }
    let sends = run(sends);
    // What stood in the copy is not sent again; what was read again behind it is another event.
    let found = sequence(far.path());
    assert!(found.windows(2).all(|w| w[0] != w[1] || w[0] >= LINES));
    assert!(sends.terminate().success());
}

/// As of a machine that was cloned: both go on, each with lines of its own under the same numbers.
#[test]
fn a_copied_store_and_its_original_both_come_over_whole() {
    let (near, copy, far) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let port = free_port();
    let relay = format!("to = \"127.0.0.1:{port}\"\npeer = \"vigie\"\nhistory = true");
    let far_config = format!(
        "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocols = [\"tcp\"]\nrelay = true\n"
    );
    let _takes = Daemon::start(far.path(), &far_config);
    let arrived = |n: usize| {
        let found = eventually("all lines have come over", || {
            let found = sequence(far.path());
            (found.len() >= n).then_some(found)
        });
        assert_eq!(found, (0..n).collect::<Vec<_>>());
    };
    let (log, other) = (near.path().join("app.log"), copy.path().join("other.log"));
    let mut written = 0;
    append(&log, &mut written, LINES);
    let sends = Daemon::start(near.path(), &sender(&log, &relay));
    arrived(written);
    assert!(sends.terminate().success());
    std::fs::create_dir(copy.path().join("data")).unwrap();
    for entry in std::fs::read_dir(near.path().join("data")).unwrap() {
        let entry = entry.unwrap();
        let to = copy.path().join("data").join(entry.file_name());
        std::fs::copy(entry.path(), to).unwrap();
    }
    // The copy takes lines in before it can forward: more than the original has sent by then.
    append(&other, &mut written, 3 * LINES);
    let quiet = format!(
        "syslog = []\n{QUIET}[[files]]\npaths = [\"{}\"]\n",
        other.display()
    );
    let copied = Daemon::start(copy.path(), &quiet);
    eventually("the copy has them", || {
        (sequence(copy.path()).len() >= 4 * LINES).then_some(())
    });
    assert!(copied.terminate().success());
    append(&log, &mut written, LINES);
    let original = Daemon::start(near.path(), &sender(&log, &relay));
    eventually("the original's have come over", || {
        (sequence(far.path()).len() >= 2 * LINES).then_some(())
    });
    let mut copied = Daemon::start(copy.path(), &sender(&other, &relay));
    let told = |line: &String| line.contains("is not where it was");
    if !copied.said.iter().any(told) {
        copied.wait_for("is not where it was").unwrap();
    }
    arrived(written);
    append(&log, &mut written, LINES);
    append(&other, &mut written, LINES);
    arrived(written);
    assert!(original.terminate().success() && copied.terminate().success());
    // Once.
    let copied = Daemon::start(copy.path(), &sender(&other, &relay));
    assert!(!copied.said.iter().any(told), "{:?}", copied.said);
}

/// The receiver goes on; who connects anew trusts only the authority of the new certificate.
#[test]
fn a_renewed_certificate_is_taken_up_by_a_running_daemon() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(far.path());
    let (log, port) = (near.path().join("app.log"), free_port());
    let folder = far.path().display();
    let far_config = format!(
        "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocols = [\"tls\"]\nrelay = true\n\
         [syslog.tls]\ncertificate = \"{folder}/localhost.pem\"\nkey = \"{folder}/localhost.key\"\n"
    );
    let relay = format!(
        "to = \"localhost:{port}\"\npeer = \"vigie\"\nhistory = true\n[relay.tls]\nca = \"{folder}/ca.pem\""
    );
    let near_config = sender(&log, &relay);
    let takes = Daemon::start(far.path(), &far_config);
    let mut written = 0;
    for renewal in 0..3 {
        if renewal > 0 {
            certificates(far.path());
        }
        append(&log, &mut written, LINES);
        let sends = Daemon::start(near.path(), &near_config);
        eventually("all lines have come over", || {
            (sequence(far.path()).len() >= written).then_some(())
        });
        assert!(sends.terminate().success());
    }
    assert_eq!(sequence(far.path()), (0..written).collect::<Vec<_>>());
    assert!(takes.terminate().success());
}

/// A receiver of others, ended with the test.
pub(crate) struct Receiver(Child);

impl Receiver {
    pub(crate) fn start(mut command: Command, dir: &Path) -> Self {
        let log = std::fs::File::create(dir.join("receiver.log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Forwards to a receiver that writes to `out`, through an outage of it.
fn forward(dir: &Path, port: u16, out: &Path, start: impl Fn() -> Command) {
    let log = dir.join("app.log");
    let mut written = 0;
    append(&log, &mut written, LINES);
    let config = sender(&log, &format!("to = \"127.0.0.1:{port}\"\nhistory = true"));
    let receiver = Receiver::start(start(), dir);
    let daemon = Daemon::start(dir, &config);
    let arrived = |n: usize| {
        eventually("lines arrive", || {
            let text = std::fs::read_to_string(out).unwrap_or_default();
            let found: Vec<usize> = numbers(&text.lines().collect::<Vec<_>>(), MARK);
            (found.len() >= n).then_some((text, found))
        })
    };
    arrived(written);
    drop(receiver);
    append(&log, &mut written, LINES);
    eventually("the outage is told", || {
        let status = text(&daemon.cli(&["status"]));
        status.contains("failed").then_some(())
    });
    let _receiver = Receiver::start(start(), dir);
    let (text, found) = arrived(written);
    assert_eq!(found, (0..written).collect::<Vec<_>>(), "each line once");
    assert!(
        text.contains("seq=17 it's \"quoted\" \\ ü\n"),
        "{}",
        text.get(..500).unwrap_or(&text)
    );
}

#[test]
fn rsyslog_takes_what_is_forwarded_through_its_outage() {
    let Some(rsyslogd) = program("rsyslogd") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (port, out) = (free_port(), dir.path().join("out"));
    let config = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"{port}\")\n\
         action(type=\"omfile\" file=\"{}\")\n",
        dir.path().display(),
        out.display()
    );
    let path = dir.path().join("rsyslog.conf");
    std::fs::write(&path, config).unwrap();
    forward(dir.path(), port, &out, || {
        let mut command = Command::new(&rsyslogd);
        command.args(["-n", "-i", "NONE", "-f"]).arg(&path);
        command
    });
}

#[test]
fn syslog_ng_takes_what_is_forwarded_through_its_outage() {
    let Some((program, libraries, modules)) = syslog_ng() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (port, out) = (free_port(), dir.path().join("out"));
    let version = modules.file_name().unwrap().to_str().unwrap().to_owned();
    let config = format!(
        "@version: {version}\noptions {{ stats-freq(0); flush-lines(1); }};\n\
         source s {{ syslog(ip(127.0.0.1) port({port}) transport(\"tcp\")); }};\n\
         destination d {{ file(\"{}\"); }};\nlog {{ source(s); destination(d); }};\n",
        out.display()
    );
    let path = dir.path().join("syslog-ng.conf");
    std::fs::write(&path, config).unwrap();
    forward(dir.path(), port, &out, || {
        syslog_ng_command((&program, &libraries, &modules), dir.path(), &path)
    });
}
