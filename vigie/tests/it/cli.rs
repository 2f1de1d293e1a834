//! What the command line says: help, errors, exit codes.

use crate::daemon::{Daemon, cli, free_port, text, vigie};

#[test]
fn help_is_made_from_the_list_of_commands() {
    let out = vigie().arg("--help").output().unwrap();
    assert!(out.status.success());
    let help = text(&out);
    for name in [
        "run",
        "demo",
        "check",
        "status",
        "logs",
        "query",
        "graph",
        "incidents",
        "incident",
        "import",
        "verify",
    ] {
        assert!(
            help.contains(&format!("\n  {name} ")),
            "{name} is missing:\n{help}"
        );
        let own = vigie().args([name, "--help"]).output().unwrap();
        assert!(
            own.status.success() && text(&own).contains("Usage: vigie "),
            "{name}"
        );
    }
}

#[test]
fn the_version_is_that_of_the_workspace() {
    let out = vigie().arg("--version").output().unwrap();
    assert_eq!(
        text(&out).trim(),
        concat!("vigie ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn what_cannot_run_ends_with_2_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |args: &[&str], words: &str| {
        let out = cli(dir.path(), args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    };
    fails(&["logs", "hello"], "no store here yet");
    fails(&["query", "sum("], "");
    fails(&["frobnicate"], "unrecognized subcommand");
    fails(&["logz"], "similar subcommand exists: 'logs'");
    fails(&["status", "--tz", "Mars/Olympus"], "no such zone");
    std::fs::write(
        dir.path().join("vigie.toml"),
        "[store]\nbugdet = \"1 GiB\"\n",
    )
    .unwrap();
    fails(&["check"], "vigie.toml:2:1: unknown field `bugdet`");
    fails(&["check"], "did you mean `budget`?");
}

#[test]
fn check_refuses_the_listeners_that_run_refuses_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = |hosts: &[&str]| {
        let mut text = "[http]\nlisten = \"127.0.0.1:0\"\n[host]\nenabled = false\n[journal]\nenabled = false\n\
                        [known_files]\nenabled = false\n[docker]\nenabled = false\n"
            .to_owned();
        for host in hosts {
            text.push_str(&format!("[[syslog]]\nlisten = \"{host}:{port}\"\n"));
        }
        text
    };
    for (hosts, clashes) in [
        (&["0.0.0.0", "[::]"][..], false),
        (&["[::]", "0.0.0.0"], false),
        (&["0.0.0.0", "127.0.0.1"], true),
        (&["[::]", "127.0.0.1"], true),
    ] {
        std::fs::write(dir.path().join("vigie.toml"), config(hosts)).unwrap();
        let out = cli(dir.path(), &["check"]);
        let said = text(&out);
        assert_eq!(
            out.status.code(),
            Some(i32::from(clashes)),
            "{hosts:?}: {said}"
        );
        let run = Daemon::try_start(dir.path(), &config(hosts), "run");
        match run {
            Ok(daemon) => {
                assert!(!clashes, "{hosts:?}");
                daemon.kill();
            }
            Err(e) => {
                let clash = format!(
                    "two tables [[syslog]] clash: listen = \"{}:{port}\" takes what comes to listen = \"{}:{port}\" (udp)",
                    hosts[0], hosts[1]
                );
                assert!(
                    clashes && e.contains(&clash) && said.contains(&clash),
                    "{e}\n{said}"
                );
                assert!(!e.contains("in use"), "{e}");
            }
        }
    }
    // Somebody else has it: the reason stands there once.
    let other = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::fs::write(dir.path().join("vigie.toml"), config(&["127.0.0.1"])).unwrap();
    let out = cli(dir.path(), &["run"]);
    let e = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{e}");
    assert_eq!(e.matches("Address already in use").count(), 1, "{e}");
    drop(other);
}
