//! `logger`, as a user types it.

use std::process::{Command, Stdio};

use vigie_testkit::program;

use crate::daemon::{Daemon, eventually, text};

const LISTEN: &str = "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
                      [[syslog]]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn logger_by_udp_and_tcp_in_both_formats() {
    let Some(logger) = program("logger") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), LISTEN);
    let udp = daemon.address("syslog udp ");
    let tcp = daemon.address("syslog tcp ");
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let forms: [(&str, &[&str]); 6] = [
        ("one", &["-d", "--rfc3164"]),
        ("two", &["-d", "--rfc5424"]),
        ("three", &["-d", "--rfc5424=notime,notq,nohost"]),
        ("four", &["-T", "--rfc3164"]),
        ("five", &["-T", "--rfc5424"]),
        ("six", &["-T", "--octet-count", "--rfc5424"]),
    ];
    for (word, flags) in forms {
        let to = if flags[0] == "-d" {
            port(&udp)
        } else {
            port(&tcp)
        };
        let status = Command::new(&logger)
            .args([
                "-n",
                "127.0.0.1",
                "-P",
                &to,
                "-t",
                "demo",
                "-p",
                "local3.warn",
            ])
            .args(flags)
            .arg(format!("hello {word}"))
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }
    for (word, _) in forms {
        let line = eventually(word, || {
            let out = daemon.cli(&[
                "logs",
                &format!("app:demo hello {word}"),
                "--format",
                "json",
            ]);
            out.status.success().then(|| text(&out))
        });
        let event: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
        assert_eq!(event["message"], format!("hello {word}"), "{line}");
        assert_eq!(event["level"], "warn", "{line}");
        assert_eq!(event["facility"], "local3", "{line}");
    }
}
