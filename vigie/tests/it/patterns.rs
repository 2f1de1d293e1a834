//! `vigie patterns` and `/api/v1/patterns`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value as Json;

use crate::daemon::{Daemon, cli, text, vigie};

/// Lines of an hour: logins, and jobs that fail from minute 40 on.
fn hour(hour: u32) -> String {
    let mut all = String::new();
    for minute in 0..60 {
        let _ = writeln!(
            all,
            "<86>1 2026-11-20T{hour:02}:{minute:02}:07Z web1 sshd 7 - - Accepted password for user{minute} from 192.0.2.{minute} port 4711 ssh2"
        );
        if hour == 11 && minute >= 40 {
            let _ = writeln!(
                all,
                "<11>1 2026-11-20T{hour:02}:{minute:02}:09Z web1 batch 9 - - job {minute} failed after {minute}s"
            );
        }
    }
    all
}

fn json(out: &std::process::Output) -> Vec<Json> {
    let said = String::from_utf8_lossy(&out.stderr);
    let lines = text(out);
    let rows = lines.lines().map(|l| serde_json::from_str(l).expect(&said));
    rows.collect()
}

fn import(dir: &Path) {
    let log = dir.join("app.log");
    std::fs::write(&log, hour(10) + &hour(11)).unwrap();
    let out = cli(
        dir,
        &["import", "logs", "--tz", "UTC", log.to_str().unwrap()],
    );
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

const LOGIN: &str = "Accepted password for <*> from <*> port <*> <*>";
const JOB: &str = "job <*> failed after <*>";

#[test]
fn patterns_of_the_store_and_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    import(dir.path());
    let ask = |args: &[&str]| {
        let all = [&["patterns", "--tz", "UTC", "--format", "json"], args].concat();
        json(&cli(dir.path(), &all))
    };
    let all = ask(&["--since", "2026-11-20T10:00", "--until", "2026-11-20T12:00"]);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(
        (&all[0]["count"], &all[0]["pattern"]),
        (&120.into(), &LOGIN.into())
    );
    assert_eq!(
        (&all[1]["count"], &all[1]["pattern"]),
        (&20.into(), &JOB.into())
    );
    assert_eq!(all[1]["first"], "2026-11-20T11:40:09.000+00:00");
    assert_eq!(all[1]["sample"], "job 59 failed after 59s");
    // Parts of minutes are counted line by line.
    let some = ask(&[
        "app:batch",
        "--since",
        "2026-11-20T11:50:09",
        "--until",
        "2026-11-20T11:55:09",
    ]);
    assert_eq!((some.len(), &some[0]["count"]), (1, &5.into()));
    let new = ask(&[
        "--new",
        "--since",
        "2026-11-20T11:00",
        "--until",
        "2026-11-20T12:00",
    ]);
    assert_eq!((new.len(), &new[0]["pattern"]), (1, &JOB.into()));
    let changes = ask(&[
        "--since",
        "2026-11-20T11:00",
        "--until",
        "2026-11-20T12:00",
        "--compare",
        "2026-11-20T10:00..2026-11-20T11:00",
    ]);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(
        (&changes[0]["change"], &changes[0]["now"]),
        (&"new".into(), &20.into())
    );
    let gone = ask(&[
        "--since",
        "2026-11-20T10:00",
        "--until",
        "2026-11-20T11:00",
        "--compare",
        "2026-11-20T11:00..2026-11-20T12:00",
    ]);
    assert_eq!(
        (&gone[0]["change"], &gone[0]["before"]),
        (&"gone".into(), &20.into())
    );
    let shown = cli(
        dir.path(),
        &[
            "patterns",
            "level>=err",
            "--tz",
            "UTC",
            "--since",
            "2026-11-20",
            "--until",
            "2026-11-21",
        ],
    );
    let shown = text(&shown);
    assert!(shown.contains("20  100.0 %"), "{shown}");
    assert!(
        shown.ends_with(&format!("{JOB}\n    job 59 failed after 59s\n")),
        "{shown}"
    );
    let none = cli(
        dir.path(),
        &["patterns", "app:nobody", "--since", "2026-11-20"],
    );
    assert_eq!(none.status.code(), Some(1));
    let piped = cli(dir.path(), &["patterns", "x | top app"]);
    assert_eq!(piped.status.code(), Some(2));
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert!(
        said.contains("'stats' has no place") || said.contains("'top' has no place"),
        "{said}"
    );
}

#[test]
fn patterns_of_files_are_those_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    import(dir.path());
    let log = dir.path().join("app.log");
    let mut command = vigie();
    let file = command
        .args(["patterns", "--tz", "UTC", "--format", "csv", "--file"])
        .arg(log)
        .output()
        .unwrap();
    let range = ["--since", "2026-11-20", "--until", "2026-11-21"];
    let store = cli(
        dir.path(),
        &[&["patterns", "--tz", "UTC", "--format", "csv"], &range[..]].concat(),
    );
    assert_eq!(text(&file), text(&store));
}

/// As for `vigie logs --file`: what the characters are, which lines are one, what the format is.
#[test]
fn files_are_read_as_the_flags_say() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    std::fs::write(&log, b"caf\xe9 ferm\xe9\n  a b\ncaf\xe9 ferm\xe9\n  a b\n").unwrap();
    let patterns = |flags: &[&str]| {
        let mut command = vigie();
        command.args(["patterns", "--format", "json", "--file"]);
        let output = command.arg(&log).args(flags).output().unwrap();
        let text = text(&output);
        let rows = text
            .lines()
            .map(|l| serde_json::from_str::<Json>(l).unwrap());
        rows.map(|row| (row["count"].as_u64().unwrap(), row["pattern"].to_string()))
            .collect::<Vec<_>>()
    };
    let apart = patterns(&["--encoding", "latin-1", "--multiline", "off"]);
    assert_eq!(apart.len(), 2, "{apart:?}");
    let joined = patterns(&["--encoding", "latin-1", "--multiline", "indented"]);
    assert_eq!(joined.len(), 1, "{joined:?}");
    assert!(
        joined[0].0 == 2 && joined[0].1.contains("café fermé"),
        "{joined:?}"
    );
}

#[test]
fn the_api_answers_as_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    import(dir.path());
    let quiet = "syslog = []\n[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n";
    let daemon = Daemon::start(dir.path(), quiet);
    let ask = |query: &str| -> Json {
        let url = format!(
            "{}/api/v1/patterns?{query}",
            daemon.url().trim_end_matches('/')
        );
        let mut answer = ureq::get(&url)
            .config()
            .http_status_as_error(false)
            .build()
            .call()
            .unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    };
    let range = "from=2026-11-20T00:00Z&to=2026-11-21T00:00Z";
    let all = ask(range);
    assert_eq!(all["data"]["rows"][0][0], 120, "{all}");
    assert_eq!(all["data"]["rows"][1][4], JOB, "{all}");
    let new = ask("from=2026-11-20T11:00Z&to=2026-11-20T12:00Z&new=true");
    assert_eq!(
        new["data"]["rows"].as_array().map(Vec::len),
        Some(1),
        "{new}"
    );
    let bad = ask(&format!("{range}&q=x%20%7C%20top%20app"));
    assert_eq!(bad["errorType"], "bad_data", "{bad}");
    assert_eq!(ask("new=perhaps")["errorType"], "bad_data");
}
