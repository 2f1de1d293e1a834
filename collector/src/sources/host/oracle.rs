//! The real node_exporter beside ours: the same series, and counters that agree.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use vigie_parsers::Timestamp;

use super::emitter::tests::Fake;
use super::{Fast, Rhythm, Root, Slow, filesystem};

const PROGRAM: &str = "prometheus-node-exporter";

/// Series that differ, and why that is meant.
const DIFFERENT: &[(&str, &str)] = &[
    ("node_exporter_build_info", "about the exporter"),
    ("node_scrape_collector_", "about the exporter"),
    ("node_textfile_", "about the exporter"),
    ("device=\"zram", "left out by later versions"),
    ("node_disk_info", "not read yet"),
    ("node_timex_pps_", "needs a pulse-per-second source"),
    ("node_cooling_device_", "not read yet"),
    ("node_power_supply_", "not read yet"),
    ("node_systemd_", "not read yet"),
    ("node_netstat_Ip6_", "only while the machine speaks IPv6"),
    ("node_network_carrier{", "only while the interface is up"),
    ("node_network_dormant{", "only while the interface is up"),
    (
        "node_network_speed_bytes{",
        "only while the interface is up",
    ),
];

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The page of metrics, or `None` where Debian's package is not installed.
fn page() -> Option<String> {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut child = Command::new(PROGRAM)
        .arg(format!("--web.listen-address={port}"))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let _running = Running(child);
    let mut line = String::new();
    while !line.contains("Listening on") && !line.contains("TLS is disabled") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
    }
    // It says so just before it listens.
    let mut stream = std::iter::repeat_with(|| TcpStream::connect(port))
        .take(100_000)
        .find_map(Result::ok)
        .unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    Some(page)
}

/// Series and values. Labels are sorted in both; an empty one is the same as none.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|l| l.starts_with("node_"));
    lines
        .filter_map(|line| {
            let (series, value) = line.trim_end_matches(" c").rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.trim_end_matches(['}', '"']).split("\",");
            let labels: Vec<_> = labels
                .filter(|l| !l.is_empty() && !l.ends_with("=\""))
                .collect();
            Some((
                format!("{name}{{{}", labels.join("\",")),
                value.parse().ok()?,
            ))
        })
        .collect()
}

#[test]
fn the_same_series_as_node_exporter() {
    let Some(theirs) = page() else {
        println!("skipped: {PROGRAM} is not installed");
        return;
    };
    let mut fake = Fake::new();
    let root = Root::below(Path::new("/"));
    let now = jiff::Timestamp::now().as_millisecond();
    Fast::new(&root).read(Timestamp(now), &mut fake.out);
    let asker = filesystem::Asker::default();
    Slow { root, asker }.read(Timestamp(now), &mut fake.out);
    let text = fake.text();
    let ours = series(&text);
    let theirs = series(&theirs);
    let meant = |name: &str| DIFFERENT.iter().any(|(part, _)| name.contains(part));
    let missing: Vec<_> = theirs
        .keys()
        .filter(|k| !ours.contains_key(*k) && !meant(k))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}\n{text}");
    // Read a moment later: not less, and not much more.
    let counter = |name: &str| {
        name.split('{')
            .next()
            .is_some_and(|n| n.ends_with("_total"))
    };
    let apart: Vec<_> = theirs
        .iter()
        .filter(|(name, _)| counter(name))
        .filter_map(|(name, value)| Some((name, value, ours.get(name)?)))
        .filter(|(_, theirs, ours)| **ours < **theirs - 1e-6 || **ours > **theirs * 1.2 + 5e7)
        .collect();
    assert!(apart.is_empty(), "{apart:#?}");
}
