//! `vigie logs` as people and scripts use it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use crate::daemon::{Daemon, eventually, text, vigie};

const NGINX: &str = "\
192.0.2.1 - - [20/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 512 \"-\" \"curl/8.5.0\"\n\
192.0.2.2 - - [20/Nov/2026:10:00:01 +0000] \"GET /a HTTP/1.1\" 404 99 \"-\" \"curl/8.5.0\"\n\
192.0.2.1 - - [20/Nov/2026:10:00:02 +0000] \"GET /b HTTP/1.1\" 500 10 \"-\" \"Bad\\x1b[31m\"\n\
192.0.2.3 - - [20/Nov/2026:10:00:03 +0000] \"GET /c HTTP/1.1\" 200 512 \"-\" \"curl/8.5.0\"\n\
192.0.2.4 - - [20/Nov/2026:10:00:04 +0000] \"GET /d HTTP/1.1\" 200 512 \"-\" \"curl/8.5.0\"\n";

fn logs(dir: &Path, args: &[&str]) -> Output {
    let mut command = vigie();
    command
        .current_dir(dir)
        .args(["logs", "--tz", "UTC"])
        .args(args);
    command.output().unwrap()
}

/// The lines that come out, as they came in.
fn raw(dir: &Path, args: &[&str]) -> Vec<String> {
    let out = logs(dir, &[&["--format", "raw"], args].concat());
    assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{args:?}");
    text(&out).lines().map(str::to_owned).collect()
}

#[test]
fn a_query_may_stand_anywhere_and_begin_with_a_dash() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.log"), NGINX).unwrap();
    std::fs::write(dir.path().join("b"), "one line\nand Status quo\n").unwrap();
    let lines: Vec<&str> = NGINX.lines().collect();
    let check = |args: &[&str], expected: &[&str]| {
        assert_eq!(raw(dir.path(), args), expected, "{args:?}");
    };
    check(&["--file", "a.log", "status>=500"], &[lines[2]]);
    check(&["status>=500", "--file", "a.log"], &[lines[2]]);
    check(&["--file", "a.log", "-curl"], &[lines[2]]);
    check(&["-curl", "--file", "a.log", "-n5"], &[lines[2]]);
    check(&["--file=a.log", "--", "-curl"], &[lines[2]]);
    check(
        &["--file", "a.log", "b", "status", "or", "status=404"],
        &[lines[1], "and Status quo"],
    );
    check(
        &["--file", "b", "--file", "a.log", "-n", "1", "curl"],
        &[lines[4]],
    );
    check(&["--file", "a.log", "ip=192.0.2.3", "-C1"], &lines[2..]);
    check(&["--file", "a.log", "curl", "| head 2"], &lines[..2]);
    let missing = logs(dir.path(), &["--file", "gone.log", "b", "x"]);
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("gone.log: No such file"), "{said}");
    let none = logs(dir.path(), &["--file", "b", "zebra"]);
    assert_eq!((none.status.code(), none.stdout), (Some(1), Vec::new()));
}

#[test]
fn errors_point_at_the_column() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.log"), NGINX).unwrap();
    let check = |query: &str, expected: &str| {
        let out = logs(dir.path(), &["--file", "a.log", query]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{query}: {said}");
    };
    check("status>=500 | tpo path", "query:15: ");
    check("status>=500 | tpo path", "did you mean 'top'?");
    check(
        "app:x statsu:5",
        "query:7: unknown field 'statsu', did you mean 'status'?",
    );
    check("(a or b", "query:1: this '(' is never closed");
    check("ip:10.0.0.0/99", "query:4: ");
    check("@yesterdya", "did you mean '@yesterday'?");
}

#[test]
fn packed_files_and_pipes_read_as_plain_ones_do() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("a.log", NGINX.as_bytes());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(NGINX.as_bytes()).unwrap();
    write("a.log.1.gz", &gz.finish().unwrap());
    write("odd name", &zstd::encode_all(NGINX.as_bytes(), 3).unwrap());
    for file in ["a.log", "a.log.1.gz", "odd name"] {
        assert_eq!(raw(dir.path(), &["--file", file]).join("\n") + "\n", NGINX);
        let count = text(&logs(
            dir.path(),
            &["--file", file, "| count by status", "--format", "csv"],
        ));
        assert!(count.contains("200,3"), "{count}");
    }
    for args in [&["404", "-C1"][..], &["| chart every 2s"], &["404"]] {
        let ask = |file: &str, input: Stdio| {
            let mut command = vigie();
            command
                .current_dir(dir.path())
                .args(["logs", "--file", file])
                .args(args);
            text(&command.stdin(input).output().unwrap())
        };
        let file = std::fs::File::open(dir.path().join("a.log.1.gz")).unwrap();
        let plain = ask("a.log", Stdio::null());
        assert!(plain.lines().count() > 0, "{args:?}");
        assert_eq!(ask("-", file.into()), plain, "{args:?}");
    }
}

#[test]
fn hostile_text_is_harmless_but_for_raw() {
    let dir = tempfile::tempdir().unwrap();
    let line = b"2026-11-20T10:00:00Z evil \x1b[31m \xe2\x80\xaetxt.exe \xff end\n";
    std::fs::write(dir.path().join("a.log"), line).unwrap();
    for format in ["text", "json", "csv"] {
        let out = logs(dir.path(), &["--file", "a.log", "--format", format]);
        let shown = &out.stdout;
        assert!(!shown.contains(&0x1b), "{format}: {}", text(&out));
        assert!(std::str::from_utf8(shown).is_ok(), "{format}");
        if format != "json" {
            assert!(!text(&out).contains('\u{202e}'), "{format}");
        }
    }
    let out = logs(dir.path(), &["--file", "a.log", "--format", "raw"]);
    assert_eq!(out.stdout, line);
    let out = logs(dir.path(), &["--file", "a.log", "--raw"]);
    assert!(out.stdout.contains(&0x1b) && out.stdout.contains(&0xff));
}

#[test]
fn bars_and_colours_where_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.log"), NGINX).unwrap();
    let out = logs(
        dir.path(),
        &["--file", "a.log", "-n1", "--histogram", "always", "--stats"],
    );
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let first = said.lines().next().unwrap();
    assert!(first.starts_with("10:00:00 "), "{said}");
    assert!(first.ends_with(" 10:00:05  5 lines, 1 err"), "{said}");
    assert!(said.contains("1 file, 428 B; 5 events checked"), "{said}");
    let out = logs(dir.path(), &["--file", "a.log", "--color", "always"]);
    assert!(text(&out).contains("\x1b[31merr"), "{}", text(&out));
    assert_eq!(out.stderr, b"");
}

/// A running `vigie logs -f`; ended when dropped.
struct Following(
    std::process::Child,
    std::sync::mpsc::Receiver<String>,
    /// What it says beside them.
    std::sync::mpsc::Receiver<String>,
);

impl Following {
    fn start(args: &[&str]) -> Self {
        let mut command = vigie();
        command
            .args(["logs", "--follow", "--format", "raw"])
            .args(args);
        let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let out = Self::lines(child.stdout.take().unwrap());
        let said = Self::lines(child.stderr.take().unwrap());
        Self(child, out, said)
    }

    fn lines(pipe: impl std::io::Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        lines
    }

    fn next(&self) -> String {
        self.1.recv_timeout(crate::daemon::PATIENCE).unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn files_are_followed_through_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("app.log"), dir.path().join("app.log.1"));
    std::fs::write(&path, "match 1\nother\n").unwrap();
    let following = Following::start(&["--file", path.to_str().unwrap(), "match"]);
    assert_eq!(following.next(), "match 1");
    let append = |text: &str| {
        let mut file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append("match 2\nother\n");
    assert_eq!(following.next(), "match 2");
    append("match 3\n");
    std::fs::rename(&path, &old).unwrap();
    append("match 4\n");
    assert_eq!(
        (following.next(), following.next()),
        ("match 3".into(), "match 4".into())
    );
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later.log");
    let name = path.to_str().unwrap();
    let following = Following::start(&["--file", name, "match"]);
    let said = following.2.recv_timeout(crate::daemon::PATIENCE).unwrap();
    assert!(
        said.contains(name) && said.ends_with("; waiting for it"),
        "{said}"
    );
    std::fs::write(&path, "match 1\n").unwrap();
    assert_eq!(following.next(), "match 1");
    drop(following);
    let missing = dir.path().join("nothere.log");
    let out = logs(dir.path(), &["--file", missing.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(2), "nothing to wait for");
}

#[test]
fn what_a_damaged_archive_holds_is_shown_and_the_damage_told() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..9999).map(|i| format!("match {i}\n")).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(lines.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(dir.path().join("a.gz"), &packed[..packed.len() / 2]).unwrap();
    let out = logs(dir.path(), &["--file", "a.gz", "match"]);
    assert!(text(&out).contains("match "), "what could be unpacked");
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("incomplete: a.gz: "), "{said}");
    let patterns = vigie()
        .current_dir(dir.path())
        .args(["patterns", "--file", "a.gz"])
        .output()
        .unwrap();
    assert!(text(&patterns).contains("match <"), "{}", text(&patterns));
    assert_eq!(patterns.status.code(), Some(1));
    let packed = b"\xfd7zXZ\0";
    std::fs::write(dir.path().join("a.xz"), packed).unwrap();
    let out = logs(dir.path(), &["--file", "a.xz"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("unpack it first: xz -dk"), "{said}");
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn a_mistyped_file_that_became_a_word_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.log"), NGINX).unwrap();
    let said = |args: &[&str]| {
        let out = logs(dir.path(), &[&["--file", "a.log"], args].concat());
        (
            String::from_utf8_lossy(&out.stderr).into_owned(),
            out.status.code(),
        )
    };
    let hint = "vigie: 'nothere' is no file here: it was searched for as a word\n";
    assert_eq!(said(&["nothere", "status>=500"]), (hint.into(), Some(1)));
    assert_eq!(
        said(&["nothere"]),
        (String::new(), Some(1)),
        "one word is one"
    );
    assert_eq!(said(&["status>=500"]), (String::new(), Some(0)));
}

#[test]
fn the_store_is_followed_and_late_lines_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
                  [[syslog]]\nlisten = \"127.0.0.1:0\"\n";
    let daemon = Daemon::start(dir.path(), config);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(daemon.address("syslog udp ")).unwrap();
    let send = |line: &str| socket.send(line.as_bytes()).unwrap();
    send("<11>1 2020-01-01T00:00:00Z web1 old - - - before");
    eventually("the first line is stored", || {
        let out = daemon.cli(&["logs", "before", "@all"]);
        out.status.success().then_some(())
    });
    let (config, data) = (dir.path().join("vigie.toml"), dir.path().join("data"));
    let following = Following::start(&[
        "--config",
        config.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "app:old @all | where level=err",
    ]);
    assert!(following.next().ends_with(" before"));
    send("<14>1 2021-01-01T00:00:00Z web1 old - - - information");
    send("<11>1 2021-01-01T00:00:00Z web1 old - - - years late");
    assert!(following.next().ends_with(" years late"));
    drop(following);
    let counted = daemon.cli(&["logs", "-f", "| count"]);
    assert_eq!(counted.status.code(), Some(2));
    let said = String::from_utf8_lossy(&counted.stderr).into_owned();
    assert!(said.contains("has no end"), "{said}");
    assert!(daemon.terminate().success());
}

#[test]
fn a_servers_own_definition_of_its_lines() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "192.0.2.1|GET /a?b HTTP/1.1|200|0.5\n192.0.2.2|GET / HTTP/1.1|502|1.5\nother\n";
    std::fs::write(dir.path().join("a.log"), lines).unwrap();
    let nginx = "nginx: $remote_addr|$request|$status|$request_time";
    let apache = r"apache: %h|%r|%>s|%{s}T";
    for format in [nginx, apache] {
        let found = raw(
            dir.path(),
            &["--file", "a.log", "--log-format", format, "status>=500"],
        );
        assert_eq!(found, ["192.0.2.2|GET / HTTP/1.1|502|1.5"], "{format}");
    }
    let wrong = logs(
        dir.path(),
        &[
            "--file",
            "a.log",
            "--log-format",
            "nginx: $remote_addr$status",
        ],
    );
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        said.contains("column 8: `$remote_addr` ends nowhere"),
        "{said}"
    );
}

#[test]
fn the_columns_of_a_w3c_log_are_known_wherever_the_hits_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut log =
        "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status\n".to_owned();
    for n in 0..50 {
        log.push_str(&format!(
            "2026-11-20 10:00:{n:02} 192.0.2.{n} GET /p{n} 200\n"
        ));
    }
    std::fs::write(dir.path().join("iis.log"), log).unwrap();
    let found = raw(dir.path(), &["--file", "iis.log", "path=/p42"]);
    assert_eq!(found, ["2026-11-20 10:00:42 192.0.2.42 GET /p42 200"]);
}

#[test]
fn explain_shows_what_is_read_and_where_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let log =
        format!("{NGINX}192.0.2.9 - - [20/Nov/2026:10:00:09 +0000] \"GET /e HTTP/1.1\" abc 5\n");
    std::fs::write(dir.path().join("a.log"), log).unwrap();
    let out = logs(dir.path(), &["--file", "a.log", "--explain"]);
    let said = text(&out);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for part in [
        "a.log: 6 lines, 2 kinds",
        "combined: 5 lines, the first is line 1",
        "    path                 /\n",
        "raw: 1 line, the first is line 6",
        "^ column 62: combined goes no further",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let out = logs(
        dir.path(),
        &[
            "--file",
            "a.log",
            "--explain",
            "--log-format",
            r#"apache: %h %l %u %t "%r" %>s %b "%{Referer}i""#,
        ],
    );
    let said = text(&out);
    for part in [
        "^ column 72: apache: %h %l %u %t \"%r\" %>s %b \"%{Referer}i\" expects the end of the line",
        "^ column 62: ",
        "expects a status of three digits (`%>s`)",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// What `--explain` says of a file of these bytes, and how it ends.
fn explained(bytes: &[u8], more: &[&str]) -> (String, Option<i32>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.log"), bytes).unwrap();
    let mut words = vec!["--file", "a.log", "--explain"];
    words.extend(more);
    let out = logs(dir.path(), &words);
    (text(&out), out.status.code())
}

#[test]
fn explain_joins_lines_as_the_daemon_does() {
    let trace = "2026-11-21 09:46:44,059 [main] ERROR com.example.Shop - order 7 failed\n\
                 com.example.GoneException: it is gone\nfor good\n\
                 \tat com.example.Shop.find(Shop.java:7)\n\
                 Caused by: java.io.IOException: no disk\n\t... 23 more\n\
                 2026-11-21 09:46:45,000 [main] INFO  com.example.Shop - on\n";
    let (said, code) = explained(trace.as_bytes(), &[]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "a.log: 7 lines, 2 events, 1 kind\n",
        "  1 event has several lines (--multiline off shows each line by itself)\n",
        "java: 2 events of 7 lines, the first is line 1\n",
        "  com.example.GoneException: it is gone\n  for good\n",
        "    level                err\n",
        "    module               com.example.Shop\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (said, _) = explained(trace.as_bytes(), &["--multiline", "off"]);
    assert!(said.contains("a.log: 7 lines, 2 kinds\n"), "{said}");
    assert!(
        said.contains("java: 2 lines, the first is line 1\n"),
        "{said}"
    );
}

#[test]
fn explain_says_what_is_odd_about_a_file() {
    let line = "2026-11-21 09:46:44 ERROR disk full";
    let utf16 = |text: &str| -> Vec<u8> {
        let marked = format!("\u{feff}{text}");
        marked.encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, format!("{line}\n").as_bytes()).unwrap();
    let packed = gz.finish().unwrap();
    let long = format!("{line} {}\n", "x".repeat(200_000));
    let crlf = format!("{line}\r\n{line}\r\n");
    let wide = utf16(&format!("{line}\n"));
    let mixed =
        format!("{line}\n{{\"level\":\"info\",\"msg\":\"a\"}}\nlevel=info msg=b\n\nplain\n");
    let cases: [(&[u8], Option<i32>, &[&str]); 9] = [
        (b"", Some(0), &["a.log: empty\n"]),
        (b"\n\r\n\n", Some(0), &["a.log: 3 lines, all empty\n"]),
        (
            crlf.as_bytes(),
            Some(0),
            &[
                "a.log: 2 lines, 1 kind\n",
                "    message              disk full\n",
            ],
        ),
        (
            &wide,
            Some(0),
            &["a.log: utf-16le, 1 line, 1 kind\n", "iso: 1 line"],
        ),
        (
            &packed,
            Some(0),
            &["a.log: packed, 1 line, 1 kind\n", "iso: 1 line"],
        ),
        (
            packed.get(..packed.len() - 12).unwrap(),
            Some(1),
            &["  not all of it could be read: "],
        ),
        (
            long.as_bytes(),
            Some(0),
            &["  1 event is longer than 64 KiB: the rest is cut\n"],
        ),
        (
            b"\x7fELF\x02\x01\x01\0\0\0\0\n\0\0\x03",
            Some(0),
            &["NUL bytes: this is no text, or its encoding is another (--encoding)\n"],
        ),
        (
            mixed.as_bytes(),
            Some(0),
            &[
                "a.log: 5 lines, 4 kinds, 1 empty\n",
                "iso: 1",
                "json: 1",
                "logfmt: 1",
                "raw: 1",
            ],
        ),
    ];
    for (bytes, want, parts) in cases {
        let (said, code) = explained(bytes, &[]);
        assert_eq!(code, want, "{said}");
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let out = logs(dir.path(), &["--file", "none.log", "--explain"]);
    assert_eq!(out.status.code(), Some(2));
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(why.contains("none.log"), "{why}");
}
