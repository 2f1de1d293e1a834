//! How fast lines become records: one core, in memory, a million distinct lines of each format.

use anyhow::{Result, ensure};
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};
use vigie_parsers::formats::{self, Detector, Format};
use vigie_parsers::{Context, Record, Timestamp};

/// Distinct lines of each kind.
const LINES: u64 = 1_000_000;
/// The best of so many passes counts: the machine is shared.
const PASSES: u32 = 5;
/// Lines a second of log time: a busy server.
const PER_SECOND: u64 = 200;
/// 2026-11-21T00:00:00Z.
const START_S: i64 = 1_795_219_200;

/// A kind of line: the format that must take it, and how the nth one is written.
struct Kind {
    name: &'static str,
    format: &'static str,
    write: fn(&mut Random, &When) -> String,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "combined",
        format: "combined",
        write: combined,
    },
    Kind {
        name: "rfc3164",
        format: "rfc3164",
        write: rfc3164,
    },
    Kind {
        name: "rfc3164, ISO time",
        format: "rfc3164",
        write: rfc3164_iso,
    },
    Kind {
        name: "rfc5424",
        format: "rfc5424",
        write: rfc5424,
    },
    Kind {
        name: "rfc5424, SD",
        format: "rfc5424",
        write: rfc5424_sd,
    },
    Kind {
        name: "json",
        format: "json",
        write: json,
    },
    Kind {
        name: "json, Caddy",
        format: "json",
        write: caddy,
    },
    Kind {
        name: "nginx log_format",
        format: NGINX,
        write: combined,
    },
    Kind {
        name: "rfc3164, sshd",
        format: "rfc3164",
        write: sshd,
    },
    Kind {
        name: "rfc3164, kernel",
        format: "rfc3164",
        write: kernel,
    },
    Kind {
        name: "rfc3164, postfix",
        format: "rfc3164",
        write: postfix,
    },
    Kind {
        name: "java",
        format: "java",
        write: java,
    },
    Kind {
        name: "postgresql",
        format: "postgresql",
        write: postgresql,
    },
];

/// The combined format as its own definition: what a pasted format costs beside the one by hand.
const NGINX: &str = r#"nginx: $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// Measures each kind through its own parser and through detection.
pub(crate) fn run() -> Result<()> {
    println!(
        "  {:18} {:>9} {:>14} {:>7} {:>14} {:>7}",
        "lines", "MB", "lines/s", "ns", "detected/s", "ns"
    );
    for kind in KINDS {
        let Some(format) = formats::find(kind.format) else {
            continue;
        };
        let lines = Lines::generate(kind.write);
        let own = best(&lines, format, |cx, line, record| {
            record.clear();
            format.parse(cx, line, record).then_some(format)
        })?;
        let mut detector = Detector::default();
        // What is given as a text is not detected.
        let detected = match format.family() == format.name {
            true => best(&lines, format, |cx, line, record| {
                Some(detector.parse(cx, line, record))
            })?,
            false => own,
        };
        println!(
            "  {:18} {:>9.1} {:>14.0} {:>7.1} {:>14.0} {:>7.1}",
            kind.name,
            lines.text.len() as f64 / 1e6,
            1e9 / own,
            own,
            1e9 / detected,
            detected
        );
    }
    Ok(())
}

/// Nanoseconds of processor time a line, in the best pass; every line must be of the format.
fn best(
    lines: &Lines,
    want: &'static Format,
    mut parse: impl FnMut(&mut Context, &[u8], &mut Record) -> Option<&'static Format>,
) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let recv = Timestamp((START_S + 86_400) * 1000);
        let mut cx = Context::new(recv, TimeZone::get("Europe/Paris")?);
        let mut record = Record::default();
        let (mut taken, mut spans) = (0u64, 0usize);
        let before = cpu_ns();
        let mut start = 0;
        for &end in &lines.ends {
            let line = lines.text.get(start..end).unwrap_or_default();
            start = end;
            let format = parse(&mut cx, line.as_bytes(), &mut record);
            taken += u64::from(format.is_some_and(|f| std::ptr::eq(f, want)));
            spans += record.fields.len() + usize::from(record.time.is_some());
        }
        let ns = cpu_ns() - before;
        ensure!(
            taken == LINES,
            "{}: took {taken} of {LINES} lines",
            want.name
        );
        // A time, a level and a process at the least.
        ensure!(
            spans >= lines.ends.len() * 3,
            "{}: fields are missing",
            want.name
        );
        best = best.min(ns / LINES as f64);
    }
    Ok(best)
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Lines one behind the other, as in a file that is in memory.
struct Lines {
    text: String,
    ends: Vec<usize>,
}

impl Lines {
    fn generate(write: fn(&mut Random, &When) -> String) -> Self {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let (mut text, mut ends) = (String::new(), Vec::new());
        for n in 0..LINES {
            text.push_str(&write(&mut random, &When::of(n)));
            ends.push(text.len());
        }
        Self { text, ends }
    }
}

/// The clock of the nth line, as text in the ways the formats need.
struct When {
    n: u64,
    zoned: jiff::Zoned,
}

impl When {
    fn of(n: u64) -> Self {
        let ms = n * 1000 / PER_SECOND;
        let at = jiff::Timestamp::from_second(START_S).unwrap_or_default()
            + jiff::SignedDuration::from_millis(ms.cast_signed());
        Self {
            n,
            zoned: at.to_zoned(TimeZone::UTC),
        }
    }

    fn text(&self, format: &str) -> String {
        self.zoned.strftime(format).to_string()
    }
}

/// xorshift: the same lines each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let index = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        list.get(index).copied().unwrap_or_default()
    }
}

const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.5.0",
];
const PATHS: &[&str] = &[
    "/",
    "/index.html",
    "/shop/item",
    "/static/css/style.css",
    "/api/v1/orders",
    "/images/logo.svg",
];
const STATUSES: &[&str] = &["200", "200", "200", "304", "301", "404", "502"];
const REFERERS: &[&str] = &[
    "-",
    "https://example.org/",
    "https://www.example.org/shop/list?page=2",
];
const HOSTS: &[&str] = &["web1", "web2", "data1", "gw1.example.org"];
const APPS: &[&str] = &["postfix/smtpd", "systemd", "kernel", "dhclient", "app"];
const TEXTS: &[&str] = &[
    "connect from mail.example.org[198.51.100.7]",
    "Started Session of user root.",
    "DHCPACK of 192.0.2.15 from 192.0.2.1, bound, renewal in 40000 seconds",
    "request took longer than expected, queue is at",
];

fn combined(r: &mut Random, when: &When) -> String {
    format!(
        "203.0.{}.{} - {} [{}] \"GET {}?id={} HTTP/1.1\" {} {} \"{}\" \"{}\"",
        r.below(256),
        r.below(256),
        r.of(&["-", "-", "alice"]),
        when.text("%d/%b/%Y:%H:%M:%S %z"),
        r.of(PATHS),
        when.n,
        r.of(STATUSES),
        r.below(90_000),
        r.of(REFERERS),
        r.of(AGENTS)
    )
}

/// As rsyslog forwards by default, and syslog(3) writes to /dev/log with a host added.
fn rfc3164(r: &mut Random, when: &When) -> String {
    format!(
        "<{}>{} {}",
        r.below(192),
        when.text("%b %e %H:%M:%S"),
        tagged(r, when)
    )
}

/// As rsyslog's `RSYSLOG_ForwardFormat` has it.
fn rfc3164_iso(r: &mut Random, when: &When) -> String {
    format!("<{}>{} {}", r.below(192), iso(r, when), tagged(r, when))
}

fn tagged(r: &mut Random, when: &When) -> String {
    let (host, app, pid) = (r.of(HOSTS), r.of(APPS), r.below(40_000));
    format!("{host} {app}[{pid}]: {} {}", r.of(TEXTS), when.n)
}

/// As rsyslog's `RSYSLOG_SyslogProtocol23Format`, syslog-ng's `syslog()` and logger(1) without their
/// structured data.
fn rfc5424(r: &mut Random, when: &When) -> String {
    headed(r, when, "-")
}

/// With one parameter, as syslog-ng and many devices number their messages.
fn rfc5424_sd(r: &mut Random, when: &When) -> String {
    let data = format!("[meta sequenceId=\"{}\"]", when.n);
    headed(r, when, &data)
}

fn headed(r: &mut Random, when: &When, data: &str) -> String {
    let (pri, time) = (r.below(192), iso(r, when));
    let (host, app, pid) = (r.of(HOSTS), r.of(APPS), r.below(40_000));
    let text = r.of(TEXTS);
    format!(
        "<{pri}>1 {time} {host} {app} {pid} - {data} {text} {}",
        when.n
    )
}

fn iso(r: &mut Random, when: &When) -> String {
    let seconds = when.text("%Y-%m-%dT%H:%M:%S");
    format!("{seconds}.{:06}+00:00", r.below(1_000_000))
}

fn json(r: &mut Random, when: &When) -> String {
    format!(
        r#"{{"time":"{}.{:03}Z","level":"{}","msg":"{} {}","host":"{}","http":{{"path":"{}","status":{}}},"took":0.{}}}"#,
        when.text("%Y-%m-%dT%H:%M:%S"),
        r.below(1000),
        r.of(&["info", "warn", "error"]),
        r.of(TEXTS),
        when.n,
        r.of(HOSTS),
        r.of(PATHS),
        r.of(STATUSES),
        r.below(1000)
    )
}

fn caddy(r: &mut Random, when: &When) -> String {
    format!(
        r#"{{"level":"info","ts":{}.{:06},"logger":"http.log.access.log0","msg":"handled request","request":{{"remote_ip":"203.0.{}.{}","remote_port":"35514","client_ip":"203.0.113.7","proto":"HTTP/1.1","method":"GET","host":"{}","uri":"{}?id={}","headers":{{"User-Agent":["{}"],"Accept":["*/*"]}}}},"bytes_read":0,"user_id":"","duration":0.{:06},"size":{},"status":{},"resp_headers":{{"Server":["Caddy"]}}}}"#,
        when.zoned.timestamp().as_second(),
        r.below(1_000_000),
        r.below(256),
        r.below(256),
        r.of(HOSTS),
        r.of(PATHS),
        when.n,
        r.of(AGENTS),
        r.below(1_000_000),
        r.below(90_000),
        r.of(STATUSES)
    )
}

fn headed_by(r: &mut Random, when: &When, app: &str, text: &str) -> String {
    format!(
        "<{}>{} {} {app}[{}]: {text}",
        r.below(192),
        when.text("%b %e %H:%M:%S"),
        r.of(HOSTS),
        r.below(40_000)
    )
}

fn sshd(r: &mut Random, when: &When) -> String {
    let text = format!(
        "Failed password for invalid user {} from 198.51.{}.{} port {} ssh2",
        r.of(&["admin", "test", "oracle"]),
        r.below(256),
        r.below(256),
        1024 + r.below(60_000)
    );
    headed_by(r, when, "sshd", &text)
}

fn kernel(r: &mut Random, when: &When) -> String {
    let text = format!(
        "[{}.{:06}] {} {}",
        when.n,
        r.below(1_000_000),
        r.of(&[
            "I/O error, dev sda, sector",
            "usb 1-1: new high-speed USB device number",
            "audit: type=1400 audit(1795219200.1:2): apparmor=\"STATUS\" pid=",
        ]),
        when.n
    );
    headed_by(r, when, "kernel", &text)
}

fn postfix(r: &mut Random, when: &When) -> String {
    let text = format!(
        "4F2A{:06X}: to=<user{}@example.org>, relay=mx.example.org[192.0.2.25]:25, delay=0.{}, delays=0.1/0/0.2/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {:08X})",
        when.n,
        r.below(1000),
        r.below(100),
        r.below(1 << 32)
    );
    headed_by(r, when, "postfix/smtp", &text)
}

fn java(r: &mut Random, when: &When) -> String {
    format!(
        "{},{:03} [exec-{}] {:5} com.example.shop.Orders - {} {}",
        when.text("%Y-%m-%d %H:%M:%S"),
        r.below(1000),
        r.below(8),
        r.of(&["INFO", "WARN", "ERROR"]),
        r.of(TEXTS),
        when.n
    )
}

fn postgresql(r: &mut Random, when: &When) -> String {
    format!(
        "{}.{:03} UTC [{}] {}:  {} {}",
        when.text("%Y-%m-%d %H:%M:%S"),
        r.below(1000),
        r.below(40_000),
        r.of(&["LOG", "ERROR", "DETAIL"]),
        r.of(TEXTS),
        when.n
    )
}
