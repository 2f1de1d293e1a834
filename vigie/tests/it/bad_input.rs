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
