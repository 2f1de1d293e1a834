//! This machine's figures, from /proc and /sys, under node_exporter's names.
//!
//! Two rhythms: counters that move are read every second from files kept open; what seldom changes or
//! may be slow to tell (file systems, interface properties, sensors) every ten.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use vigie_parsers::Timestamp;
use vigie_store::{Batch, SampleBatch};

use super::{Input, Start};
use crate::budget::Patience;
use crate::outlet::Outlet;
use crate::status::Source;
use emitter::{Emitter, Metric, metric};
use procfile::{Buffer, ProcFile};

mod disk;
pub(crate) mod emitter;
mod filesystem;
mod hwmon;
mod info;
mod memory;
mod net;
mod netclass;
mod netstat;
#[cfg(test)]
mod oracle;
mod procfile;
mod stat;
mod system;
pub(crate) mod text;
mod timex;

/// See the module.
pub(super) const INPUT: Input = Input {
    name: "host",
    about: "this machine's figures, from /proc and /sys, under node_exporter's names",
    start,
};

/// The slow rhythm, in seconds.
const SLOW_S: i64 = 10;

const TIME: Metric = metric(
    "node_time_seconds",
    "The machine's clock, in unix time.",
    &[],
);

type Parse = fn(&[u8], &mut Emitter);

/// The files of the fast rhythm, below /proc.
const FILES: &[(&str, Parse)] = &[
    ("stat", stat::parse),
    ("loadavg", system::parse_loadavg),
    ("meminfo", memory::parse_meminfo),
    ("vmstat", memory::parse_vmstat),
    ("diskstats", disk::parse),
    ("net/dev", net::parse),
    ("net/netstat", netstat::parse_pairs),
    ("net/snmp", netstat::parse_pairs),
    ("net/snmp6", netstat::parse_snmp6),
    ("net/sockstat", netstat::parse_sockstat),
    ("net/sockstat6", netstat::parse_sockstat),
    ("net/softnet_stat", netstat::parse_softnet),
    ("net/stat/nf_conntrack", netstat::parse_track_stat),
    (
        "sys/net/netfilter/nf_conntrack_count",
        netstat::parse_tracked,
    ),
    (
        "sys/net/netfilter/nf_conntrack_max",
        netstat::parse_tracked_max,
    ),
    ("sys/fs/file-nr", system::parse_file_nr),
    ("schedstat", system::parse_schedstat),
    ("pressure/cpu", |text, out| {
        system::parse_pressure("cpu", text, out)
    }),
    ("pressure/io", |text, out| {
        system::parse_pressure("io", text, out)
    }),
    ("pressure/memory", |text, out| {
        system::parse_pressure("memory", text, out)
    }),
    ("pressure/irq", |text, out| {
        system::parse_pressure("irq", text, out)
    }),
];

/// Where /proc, /sys and /etc are; tests have their own.
#[derive(Clone, Debug)]
struct Root {
    proc: PathBuf,
    sys: PathBuf,
    os_release: PathBuf,
}

impl Root {
    fn below(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            sys: root.join("sys"),
            os_release: root.join("etc/os-release"),
        }
    }
}

/// Whatever is read in one rhythm.
trait Rhythm {
    fn read(&mut self, now: Timestamp, out: &mut Emitter);
}

struct Fast {
    files: Vec<(ProcFile, Parse)>,
    buffer: Buffer,
}

impl Fast {
    fn new(root: &Root) -> Self {
        let open = |&(path, parse): &(&str, Parse)| (ProcFile::new(&root.proc, path), parse);
        Self {
            files: FILES.iter().map(open).collect(),
            buffer: Buffer::default(),
        }
    }
}

impl Rhythm for Fast {
    fn read(&mut self, now: Timestamp, out: &mut Emitter) {
        for (file, parse) in &mut self.files {
            if let Some(text) = file.read(&mut self.buffer) {
                parse(text, out);
            }
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of our age fit 53 bits"
        )]
        out.gauge(&TIME, &[], now.0 as f64 / 1000.0);
    }
}

struct Slow {
    root: Root,
    asker: filesystem::Asker,
}

impl Rhythm for Slow {
    fn read(&mut self, now: Timestamp, out: &mut Emitter) {
        let Root {
            proc,
            sys,
            os_release,
        } = &self.root;
        let text = |path: &str| std::fs::read(proc.join(path)).unwrap_or_default();
        // The mounts of the first process: a service may have its own view of them.
        let mut mounts = text("1/mounts");
        if mounts.is_empty() {
            mounts = text("self/mounts");
        }
        self.asker.read(&filesystem::parse_mounts(&mounts), out);
        netclass::read(sys, out);
        hwmon::read(sys, out);
        info::read(proc, sys, now, out);
        if let Ok(text) = std::fs::read(os_release) {
            info::parse_os_release(&text, out);
        }
        info::parse_arp(&text("net/arp"), out);
        info::parse_udp("v4", &text("net/udp"), out);
        info::parse_udp("v6", &text("net/udp6"), out);
        if let Some(clock) = timex::ask() {
            timex::emit(&clock, out);
        }
    }
}

fn start(s: &mut Start<'_>) {
    let config = &s.config.host;
    if !config.enabled {
        return;
    }
    let root = Root::below(Path::new("/"));
    let source = s.outlet.status.source("host");
    let fast_ms = config.interval.as_ms();
    let slow_ms = fast_ms.max(SLOW_S * 1000);
    let emitter = |step_ms| emitter(s.outlet, &source, s.host, step_ms);
    let fast = Ticker::new(s.outlet, &source, emitter(fast_ms), fast_ms);
    let slow = Ticker::new(s.outlet, &source, emitter(slow_ms), slow_ms);
    let runtime = Handle::current();
    let waits = runtime.clone();
    let files = Fast::new(&root);
    s.tasks
        .spawn_thread("host", move || fast.run(files, &waits));
    let asker = filesystem::Asker::default();
    let slower = Slow { root, asker };
    s.tasks
        .spawn_thread("host-slow", move || slow.run(slower, &runtime));
}

fn emitter(outlet: &Outlet, source: &Arc<Source>, host: &str, step_ms: i64) -> Emitter {
    let registry = outlet.registry().of(source.name());
    let source = Arc::clone(source);
    let intern = move |def: &_| match registry.intern(def) {
        Ok(id) => Some(id),
        Err(e) => {
            source.drop_items("series_limit", 1);
            tracing::debug!("{e}");
            None
        }
    };
    Emitter::new(Box::new(intern), host, step_ms)
}

/// Reads at whole multiples of its step.
struct Ticker {
    outlet: Outlet,
    source: Arc<Source>,
    out: Emitter,
    step_ms: i64,
}

impl Ticker {
    fn new(outlet: &Outlet, source: &Arc<Source>, out: Emitter, step_ms: i64) -> Self {
        Self {
            outlet: outlet.clone(),
            source: Arc::clone(source),
            out,
            step_ms,
        }
    }

    /// Until the shutdown; `runtime` only measures the waits.
    fn run(mut self, mut what: impl Rhythm, runtime: &Handle) {
        // The first reading comes at once, so that a page has something to show.
        let mut at = align(self.outlet.now(), self.step_ms);
        loop {
            self.out.begin(at);
            what.read(self.outlet.now(), &mut self.out);
            let samples = self.out.finish();
            if self.hand_over(samples).is_err() {
                return;
            }
            let now = self.outlet.now();
            // After a suspend or a stall the readings in between are not made up.
            let next = align(now, self.step_ms).plus_ms(self.step_ms);
            // The sleep and the clock may differ by a hair: not the same reading twice.
            at = if next == at {
                at.plus_ms(self.step_ms)
            } else {
                next
            };
            let wait = Duration::from_millis(u64::try_from(at.since_ms(now)).unwrap_or(0));
            let shutdown = self.outlet.shutdown.cancelled();
            if runtime.block_on(async { timeout(wait, shutdown).await.is_ok() }) {
                return;
            }
        }
    }

    fn hand_over(&self, samples: SampleBatch) -> Result<(), crate::outlet::Ended> {
        let rows = samples.rows.len() as u64;
        let batch = Batch {
            samples,
            ..Batch::default()
        };
        if self.outlet.try_send(Patience::Urgent, batch)? {
            self.source.count(self.outlet.now(), rows, 0);
        } else {
            self.source.drop_items("store_behind", rows);
        }
        Ok(())
    }
}

/// The last whole multiple of the step.
fn align(now: Timestamp, step_ms: i64) -> Timestamp {
    Timestamp(now.0 - now.0.rem_euclid(step_ms))
}

#[cfg(test)]
mod tests {
    use super::emitter::tests::Fake;
    use super::*;

    fn testdata() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/host")
    }

    #[test]
    fn a_recorded_machine() {
        let mut fake = Fake::new();
        Fast::new(&Root::below(&testdata())).read(Timestamp(1500), &mut fake.out);
        let text = fake.text();
        let golden = testdata().join("expected.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap();
        for (line, expected) in text.lines().zip(expected.lines()) {
            assert_eq!(line, expected);
        }
        assert_eq!(text.lines().count(), expected.lines().count());
    }

    #[test]
    fn an_empty_machine_has_a_clock_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut fake = Fake::new();
        Fast::new(&Root::below(dir.path())).read(Timestamp(1500), &mut fake.out);
        assert_eq!(fake.text(), "node_time_seconds 1.5\n");
    }

    #[test]
    fn every_damage_to_every_file_is_survived() {
        let mut fake = Fake::new();
        for (path, parse) in FILES {
            let text = std::fs::read(testdata().join("proc").join(path)).unwrap_or_default();
            for at in (0..text.len()).step_by(1 + text.len() / 300) {
                fake.out.begin(Timestamp(0));
                parse(&text[..at], &mut fake.out);
                let mut changed = text.clone();
                changed[at] = changed[at].wrapping_mul(7).wrapping_add(13);
                parse(&changed, &mut fake.out);
                fake.out.finish();
            }
        }
    }

    #[test]
    fn readings_stand_on_whole_seconds() {
        assert_eq!(align(Timestamp(1999), 1000), Timestamp(1000));
        assert_eq!(align(Timestamp(-1), 1000), Timestamp(-1000));
    }
}
