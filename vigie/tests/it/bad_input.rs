//! Hostile and broken input: never a crash, never a stuck reader, always an account.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::FileTypeExt;

use crate::daemon::{Daemon, eventually, text};

#[test]
fn bytes_that_are_no_text_arrive_and_are_shown_safely() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
                  [[syslog]]\nlisten = \"127.0.0.1:0\"\n";
    let daemon = Daemon::start(dir.path(), config);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(daemon.address("syslog udp ")).unwrap();
    socket
        .send(b"<13>Nov 21 05:11:43 web1 evil: nul \0 escape \x1b[31m bytes \xff\xfe end")
        .unwrap();
    socket.send(b"").unwrap();
    socket.send(b"<999999>").unwrap();
    socket
        .send(b"<13>Jan  1 00:00:00 1970 web1 old: from the past")
        .unwrap();
    let mut tcp = TcpStream::connect(daemon.address("syslog tcp ")).unwrap();
    tcp.write_all(b"99999999999 <13>lying count\n").unwrap();
    tcp.write_all(&vec![b'x'; 1 << 20]).unwrap();
    tcp.write_all(b"\n<13>Nov 21 05:11:44 web1 after: still here\n")
        .unwrap();
    let shown = eventually("the hostile line is stored", || {
        let out = daemon.cli(&["logs", "app:evil", "--since", "1y"]);
        out.status.success().then(|| text(&out))
    });
    assert!(
        !shown.contains('\x1b') && !shown.contains('\0'),
        "{shown:?}"
    );
    assert!(
        shown.contains("\\x1b[31m") && shown.contains("\\xff\\xfe"),
        "{shown:?}"
    );
    eventually("the line after the flood", || {
        daemon
            .cli(&["logs", "still here", "--since", "1y"])
            .status
            .success()
            .then_some(())
    });
    eventually("the cut is counted", || {
        let status = text(&daemon.cli(&["status", "--format", "json"]));
        status.contains("\"cut\":1").then_some(())
    });
    assert!(daemon.terminate().success());
}

#[test]
fn odd_files_in_a_glob_do_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    std::fs::create_dir(logs.join("folder.log")).unwrap();
    let fifo = logs.join("pipe.log");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    assert!(std::fs::metadata(&fifo).unwrap().file_type().is_fifo());
    std::fs::write(logs.join("good.log"), "2026-11-21T05:00:00Z good line\n").unwrap();
    let config = format!(
        "syslog = []\n[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
         [[files]]\npaths = [\"{}/*.log\"]\n",
        logs.display()
    );
    let daemon = Daemon::start(dir.path(), &config);
    eventually("the good file is read", || {
        daemon
            .cli(&["logs", "good line", "--since", "1y"])
            .status
            .success()
            .then_some(())
    });
    // The good file turns into a folder, and back.
    std::fs::remove_file(logs.join("good.log")).unwrap();
    std::fs::create_dir(logs.join("good.log")).unwrap();
    std::fs::write(logs.join("other.log"), "2026-11-21T05:00:01Z other line\n").unwrap();
    eventually("a new file is found", || {
        daemon
            .cli(&["logs", "other line", "--since", "1y"])
            .status
            .success()
            .then_some(())
    });
    assert!(daemon.terminate().success());
}

const SYSLOG_ONLY: &str = "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
                           [[syslog]]\nlisten = \"127.0.0.1:0\"\n";

/// Waits for a line.
fn wait_for(daemon: &Daemon, words: &str) {
    eventually(words, || {
        let out = daemon.cli(&["logs", words, "--since", "1970-01-01"]);
        out.status.success().then_some(())
    });
}

/// The number that a query ends with.
fn count(daemon: &Daemon, query: &str) -> usize {
    let args = ["logs", query, "--since", "1970-01-01", "--format", "csv"];
    let out = text(&daemon.cli(&args));
    let last = out.lines().last().and_then(|l| l.rsplit(',').next());
    last.and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn counts_that_lie_and_bytes_that_drip() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), SYSLOG_ONLY);
    let connect = || {
        let tcp = TcpStream::connect(daemon.address("syslog tcp ")).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    };
    let head = "<13>1 2026-11-21T05:10:00Z web1 drip - - - ";
    let mut drip = connect();
    for n in 0..5 {
        let message = format!("{head}drop {n}");
        let framed = match n % 2 {
            0 => format!("{} {message}", message.len()),
            _ => format!("{message}\n"),
        };
        for byte in framed.bytes() {
            drip.write_all(&[byte]).unwrap();
        }
    }
    // Too short, too long, nothing, more than anyone sends; what follows on other connections is not
    // touched, nor what follows here once a line ends.
    for count in ["5", "0", "70", "9999999", "99999999999999999999"] {
        let mut liar = connect();
        let message = format!("{count} {head}lie of {count}\n{head}after {count}\n");
        liar.write_all(message.as_bytes()).unwrap();
    }
    drip.write_all(format!("{head}last drop\n").as_bytes())
        .unwrap();
    wait_for(&daemon, "last drop");
    eventually("each drop once", || {
        (count(&daemon, "app:drip \"drop\" | count") == 6).then_some(())
    });
    assert!(daemon.terminate().success());
}

/// The most memory that the daemon had, in MiB.
fn peak_mib(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib >> 10
}

#[test]
fn a_line_of_a_gigabyte_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("endless.log");
    let config = format!("{SYSLOG_ONLY}[[files]]\npaths = [\"{}\"]\n", log.display());
    // A file that is long without taking room: its hole reads as NULs, its end as text.
    let mut file = std::fs::File::create(&log).unwrap();
    file.write_all(b"2026-11-21T05:10:00Z begins").unwrap();
    file.set_len(1 << 30).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(b"\n2026-11-21T05:10:01Z behind the endless line\n")
        .unwrap();
    let daemon = Daemon::start(dir.path(), &config);
    let mut tcp = TcpStream::connect(daemon.address("syslog tcp ")).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    tcp.write_all(b"<13>Nov 21 05:11:44 web1 endless: ")
        .unwrap();
    for _ in 0..1 << 10 {
        tcp.write_all(&chunk).unwrap();
    }
    tcp.write_all(b"\n<13>Nov 21 05:11:45 web1 next: after the flood\n")
        .unwrap();
    wait_for(&daemon, "after the flood");
    wait_for(&daemon, "behind the endless line");
    assert_eq!(count(&daemon, "app:endless | count"), 1);
    let peak = peak_mib(&daemon);
    assert!(peak < 200, "{peak} MiB for lines that are cut at 64 KiB");
    assert!(daemon.terminate().success());
}

#[test]
fn a_million_hosts_in_bounded_memory() {
    const HOSTS: usize = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), SYSLOG_ONLY);
    let tcp = TcpStream::connect(daemon.address("syslog tcp ")).unwrap();
    let mut out = std::io::BufWriter::with_capacity(64 << 10, tcp);
    for n in 0..HOSTS {
        writeln!(out, "<13>Nov 21 05:11:44 host{n} app: spoofed").unwrap();
    }
    writeln!(out, "<13>Nov 21 05:11:45 web1 app: the last of them").unwrap();
    out.flush().unwrap();
    wait_for(&daemon, "the last of them");
    let peak = peak_mib(&daemon);
    assert_eq!(count(&daemon, "spoofed | count"), HOSTS);
    assert!(peak < 300, "{peak} MiB");
    assert!(daemon.terminate().success());
}
