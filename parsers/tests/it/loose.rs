//! The same lines through `syslog_loose`: where the two readings differ, the table says why ours does.

use std::fs;
use std::path::Path;

use syslog_loose::{Variant, parse_message_with_year};
use vigie_parsers::{Record, formats};

use crate::dump::{context, message};

/// A difference that is meant: why, and how the readings (ours, theirs) show it.
struct Difference {
    why: &'static str,
    of: fn(&Reading, &Reading) -> bool,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        why: "a first word without colon or [pid] is text and stays in the message: no text is lost",
        of: |o, t| o.app.is_none() && t.app.as_ref().is_some_and(|app| o.message.starts_with(app)),
    },
    Difference {
        why: "`TAG: ` after the time is the tag of a local sender, as glibc and HAProxy write it, no host",
        of: |o, t| o.host.is_none() && t.app.is_none() && o.app.is_some() && t.host == o.app,
    },
    Difference {
        why: "a message without a time keeps its PRI (RFC 3164 §4.3.2), theirs gives the line up",
        of: |o, t| {
            o.clock.is_none()
                && o.severity.is_some()
                && t.severity.is_none()
                && t.message.ends_with(&o.message)
        },
    },
    Difference {
        why: "the mark that says UTF-8 (RFC 5424 §6.4) is no text",
        of: |o, t| t.message.strip_prefix('\u{feff}') == Some(&o.message),
    },
    Difference {
        why: "a word with `=` in it is no host name",
        of: |o, t| {
            o.host.is_none()
                && t.host
                    .as_ref()
                    .is_some_and(|h| h.contains('=') && o.message.starts_with(h))
        },
    },
];

/// What both can say of a line, a word for each.
#[derive(Debug, PartialEq)]
struct Reading {
    facility: Option<u8>,
    severity: Option<u8>,
    clock: Option<String>,
    host: Option<String>,
    app: Option<String>,
    pid: Option<String>,
    msgid: Option<String>,
    params: Vec<String>,
    message: String,
}

fn theirs(line: &str) -> Reading {
    let m = parse_message_with_year(line, |_| 2026, Variant::Either);
    let mut params = Vec::new();
    for element in &m.structured_data {
        for (name, value) in element.params() {
            if !value.is_empty() {
                params.push(format!("sd.{}.{name}={value}", element.id));
            }
        }
    }
    Reading {
        facility: m.facility.map(|f| f as u8),
        severity: m.severity.map(|s| s as u8),
        clock: m.timestamp.map(|t| {
            if zoned(line) {
                t.timestamp().to_string()
            } else {
                t.to_rfc3339()[..19].into()
            }
        }),
        host: m.hostname.map(Into::into),
        app: m.appname.map(Into::into),
        pid: m.procid.map(|p| p.to_string()),
        msgid: m.msgid.map(Into::into),
        params,
        message: m.msg.into(),
    }
}

fn ours(line: &str) -> Reading {
    let mut record = Record::default();
    let bytes = line.as_bytes();
    formats::Detector::default().received(&mut context(), bytes, &mut record);
    let field = |name| {
        record
            .find(name)
            .map(|s| String::from_utf8_lossy(s.text(bytes)).into_owned())
    };
    // What is read inside the message is not syslog's.
    let header = |name| {
        let inside = record
            .find(name)
            .is_some_and(|s| s.start >= record.message.start);
        if inside { None } else { field(name) }
    };
    let params = record
        .fields
        .iter()
        .map(|s| (record.name(s.name), s))
        .filter(|(name, _)| name.starts_with("sd."));
    let params = params
        .map(|(name, s)| format!("{name}={}", String::from_utf8_lossy(&s.value(bytes))))
        .collect();
    Reading {
        facility: record.facility.map(vigie_parsers::Facility::number),
        severity: pri_severity(&record, bytes),
        clock: record.time.map(|t| {
            let time = jiff::Timestamp::from_millisecond(t.0).expect("in range");
            if zoned(line) {
                time.as_second().to_string()
            } else {
                time.to_string()[..19].into()
            }
        }),
        host: header("host"),
        app: header("app"),
        pid: header("pid"),
        msgid: header("msgid"),
        params,
        message: message(&record, bytes),
    }
}

/// The severity of the PRI: what the message says may have made ours worse.
fn pri_severity(record: &Record, line: &[u8]) -> Option<u8> {
    let pri = record
        .find("pri")
        .map(|s| String::from_utf8_lossy(s.text(line)).into_owned());
    pri.map(|p| p.parse::<u8>().expect("a PRI is a number") % 8)
        .or(record.severity.map(|s| s as u8))
}

fn zoned(line: &str) -> bool {
    line.contains("T05:") || line.contains("T08:")
}

fn corpus() -> Vec<String> {
    let mut lines = Vec::new();
    for file in ["rfc3164/network.log", "rfc5424/peers.log"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../samples")
            .join(file);
        lines.extend(
            fs::read_to_string(path)
                .expect("a sample")
                .lines()
                .map(str::to_owned),
        );
    }
    for time in [
        "Nov 21 05:10:56 ",
        "Nov  1 05:10:56 ",
        "2026-11-21T05:10:56.656489+00:00 ",
        "2026-11-21T05:10:56Z ",
        "",
    ] {
        for host in ["web1 ", "192.0.2.1 ", "2001:db8::1 ", ""] {
            for tag in [
                "sshd[42]: ",
                "sshd: ",
                "postfix/smtpd[42]: ",
                "CRON[7]: ",
                "",
            ] {
                for text in ["plain text", "key=value", "a: b"] {
                    lines.push(format!("<13>{time}{host}{tag}{text}"));
                }
            }
        }
    }
    for time in [
        "2026-11-21T05:10:56.656489+00:00",
        "2026-11-21T05:10:56Z",
        "-",
    ] {
        for sd in [
            "-",
            "[meta sequenceId=\"1\"]",
            "[a b=\"c\"][d e=\"f\" g=\"h\"]",
            "[a b=\"q \\\" \\\\ \\] x\"]",
            "[a]",
        ] {
            for text in ["", " plain text", " \u{feff}with a mark"] {
                lines.push(format!("<34>1 {time} web1 app 42 ID7 {sd}{text}"));
                lines.push(format!("<34>1 {time} - - - - {sd}{text}"));
            }
        }
    }
    lines
}

#[test]
fn differences_are_meant() {
    let (mut wrong, mut used) = (Vec::new(), vec![false; DIFFERENCES.len()]);
    let lines = corpus();
    for line in &lines {
        let (ours, theirs) = (ours(line), theirs(line));
        if ours == theirs {
            continue;
        }
        match DIFFERENCES.iter().position(|d| (d.of)(&ours, &theirs)) {
            Some(index) => used[index] = true,
            None => wrong.push(format!("{line}\n  ours   {ours:?}\n  theirs {theirs:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} lines:\n{}",
        wrong.len(),
        lines.len(),
        wrong.join("\n")
    );
    for (difference, used) in DIFFERENCES.iter().zip(used) {
        assert!(used, "no line has it any more: {}", difference.why);
    }
}
