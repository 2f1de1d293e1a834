//! The machines of the demonstration: three hosts of a small company and the shape of their days.
//!
//! Everything is a function of time and of a fixed seed, so a back-filled month and the live
//! continuation fit together, and two demonstrations look alike.

use vigie_parsers::Timestamp;
use vigie_query::{Labels, MetricKind};
use vigie_store::{Reading, SeriesDef};

/// One machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Its name.
    pub(super) name: &'static str,
    cpus: u32,
    memory_gib: f64,
    /// Mount point, device, size in GiB, part used a month ago, growth per day as a part.
    disks: &'static [(&'static str, &'static str, f64, f64, f64)],
    /// Busy part of its processors at full demand.
    weight: f64,
    /// Bits per second out at full demand.
    bits_out: f64,
}

/// Two web servers and the machine with the data.
pub(super) const MACHINES: [Machine; 3] = [
    Machine {
        name: "web1",
        cpus: 4,
        memory_gib: 8.0,
        disks: &[
            ("/", "sda1", 40.0, 0.41, 0.0006),
            ("/var", "sda2", 60.0, 0.52, 0.0020),
        ],
        weight: 0.55,
        bits_out: 90e6,
    },
    Machine {
        name: "web2",
        cpus: 4,
        memory_gib: 8.0,
        disks: &[
            ("/", "sda1", 40.0, 0.38, 0.0005),
            ("/var", "sda2", 60.0, 0.43, 0.0014),
        ],
        weight: 0.30,
        bits_out: 40e6,
    },
    Machine {
        name: "data1",
        cpus: 8,
        memory_gib: 32.0,
        disks: &[
            ("/", "sda1", 40.0, 0.47, 0.0008),
            ("/var", "sdb1", 200.0, 0.70, 0.0069),
        ],
        weight: 0.65,
        bits_out: 25e6,
    },
];

const DAY_MS: i64 = 86_400_000;
const GIB: f64 = 1_073_741_824.0;

/// A series and what it reads over a step that ends at a time.
pub(super) struct Gauge {
    /// Name, labels, kind.
    pub(super) def: SeriesDef,
    /// What is read at `at` when the last reading was `step_s` seconds before.
    pub(super) read: Box<dyn Fn(&Moment) -> Reading + Send>,
}

/// One moment of the company's life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// When.
    pub(super) at: Timestamp,
    /// Seconds since the moment before.
    pub(super) step_s: f64,
    /// Days since the demonstration's first day.
    pub(super) day: f64,
    /// How much is going on, 0 (night) to about 1 (working day).
    pub(super) demand: f64,
}

impl Moment {
    /// The moment `at`, `step_s` after the one before, in a life that began at `start`.
    #[expect(clippy::cast_precision_loss, reason = "days and hours, not addresses")]
    pub(super) fn new(at: Timestamp, start: Timestamp, step_s: f64) -> Self {
        let day = at.since_ms(start) as f64 / DAY_MS as f64;
        let hour = at.0.rem_euclid(DAY_MS) as f64 / 3_600_000.0;
        let weekday = (at.0.div_euclid(DAY_MS) + 3).rem_euclid(7);
        // Two bumps, late morning and afternoon, over a quiet night; weekends at a third.
        let bump = |center: f64, width: f64| (-((hour - center) / width).powi(2)).exp();
        let shape = 0.12 + 0.62 * bump(10.5, 2.6) + 0.70 * bump(15.5, 3.0) + 0.25 * bump(20.5, 2.0);
        let weekend = if weekday >= 5 { 0.35 } else { 1.0 };
        let demand = (shape * weekend * (1.0 + 0.12 * noise(at, 1, 60_000))).clamp(0.03, 1.3);
        Self {
            at,
            step_s,
            day,
            demand,
        }
    }
}

/// Smooth noise in -1..1 that changes over `period_ms`.
#[expect(clippy::cast_precision_loss, reason = "a fraction of a period")]
pub(super) fn noise(at: Timestamp, seed: u64, period_ms: i64) -> f64 {
    let step = at.0.div_euclid(period_ms);
    let t = at.0.rem_euclid(period_ms) as f64 / period_ms as f64;
    let t = t * t * (3.0 - 2.0 * t);
    let at_step =
        |n: i64| unit(hash(seed ^ n.cast_unsigned().wrapping_mul(0x9e37_79b9))) * 2.0 - 1.0;
    at_step(step) * (1.0 - t) + at_step(step + 1) * t
}

/// A well mixed number (the finalizer of splitmix64).
pub(super) fn hash(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A hash as a number in 0..1.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 of 64 bits are plenty of chance"
)]
pub(super) fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// The series of all machines.
pub(super) fn series(step_ms: i64) -> Vec<Gauge> {
    let mut all = Vec::new();
    for (number, machine) in MACHINES.into_iter().enumerate() {
        let mut list = List {
            all: &mut all,
            machine,
            seed: 100 * (number as u64 + 1),
            step_ms,
        };
        list.processors();
        list.memory();
        list.disks();
        list.network();
        list.rest();
    }
    all
}

/// Collects the series of one machine.
struct List<'a> {
    all: &'a mut Vec<Gauge>,
    machine: Machine,
    seed: u64,
    step_ms: i64,
}

/// The busy part of a machine's processors.
fn busy(m: &Machine, at: &Moment, seed: u64) -> f64 {
    let spike = if noise(at.at, seed + 7, 900_000) > 0.93 {
        0.25
    } else {
        0.0
    };
    (m.weight * at.demand * (1.0 + 0.15 * noise(at.at, seed, 20_000)) + 0.02 + spike)
        .clamp(0.005, 0.98)
}

impl List<'_> {
    fn add(
        &mut self,
        kind: MetricKind,
        name: &str,
        labels: &[(&str, &str)],
        help: &'static str,
        read: impl Fn(&Moment) -> f64 + Send + 'static,
    ) {
        let mut labels = labels.to_vec();
        labels.push(("instance", self.machine.name));
        let def = SeriesDef {
            labels: Labels::metric(name, &labels),
            kind,
            help,
            step_ms: self.step_ms,
        };
        let read: Box<dyn Fn(&Moment) -> Reading + Send> = match kind {
            MetricKind::Gauge => Box::new(move |at| Reading::Gauge(read(at))),
            MetricKind::Counter => Box::new(move |at| Reading::Increase(read(at) * at.step_s)),
        };
        self.all.push(Gauge { def, read });
    }

    fn gauge(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        help: &'static str,
        read: impl Fn(&Moment) -> f64 + Send + 'static,
    ) {
        self.add(MetricKind::Gauge, name, labels, help, read);
    }

    /// A counter, by its rate per second.
    fn rate(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        help: &'static str,
        read: impl Fn(&Moment) -> f64 + Send + 'static,
    ) {
        self.add(MetricKind::Counter, name, labels, help, read);
    }

    fn processors(&mut self) {
        const HELP: &str = "Seconds the CPUs spent in each mode.";
        let (m, seed) = (self.machine, self.seed);
        for cpu in 0..m.cpus {
            let tilt = 0.85 + 0.3 * unit(hash(seed + u64::from(cpu)));
            let part = move |at: &Moment| (busy(&m, at, seed) * tilt).min(0.99);
            let wait = move |at: &Moment| 0.01 + 0.03 * noise(at.at, seed + 3, 120_000).max(0.0);
            let cpu = cpu.to_string();
            let mut mode = |mode: &str, read: Box<dyn Fn(&Moment) -> f64 + Send>| {
                self.rate(
                    "node_cpu_seconds_total",
                    &[("cpu", &cpu), ("mode", mode)],
                    HELP,
                    read,
                );
            };
            // Whole hundredths, as the kernel counts.
            let ticks = |x: f64| (x * 100.0).round() / 100.0;
            mode("user", Box::new(move |at| ticks(part(at) * 0.70)));
            mode("system", Box::new(move |at| ticks(part(at) * 0.25)));
            mode("softirq", Box::new(move |at| ticks(part(at) * 0.05)));
            mode(
                "iowait",
                Box::new(move |at| ticks(wait(at) * (1.0 - part(at)))),
            );
            mode(
                "idle",
                Box::new(move |at| ticks((1.0 - wait(at)) * (1.0 - part(at)))),
            );
        }
        let load = move |at: &Moment| busy(&m, at, seed) * f64::from(m.cpus) * 1.1;
        let hundredths = |x: f64| (x * 100.0).round() / 100.0;
        self.gauge("node_load1", &[], "1m load average.", move |at| {
            hundredths(load(at))
        });
        self.gauge("node_load5", &[], "5m load average.", move |at| {
            hundredths(load(at) * 0.96)
        });
        self.gauge("node_load15", &[], "15m load average.", move |at| {
            hundredths(load(at) * 0.92)
        });
    }

    fn memory(&mut self) {
        let (m, seed) = (self.machine, self.seed);
        let total = m.memory_gib * GIB;
        let page = |x: f64| (x / 4096.0).round() * 4096.0;
        let used = move |at: &Moment| {
            total * (0.38 + 0.22 * at.demand * m.weight + 0.03 * noise(at.at, seed + 11, 600_000))
        };
        let mut add = |name: &str, read: Box<dyn Fn(&Moment) -> f64 + Send>| {
            self.gauge(
                &format!("node_memory_{name}_bytes"),
                &[],
                "Memory information.",
                read,
            );
        };
        add("MemTotal", Box::new(move |_| page(total)));
        add("MemAvailable", Box::new(move |at| page(total - used(at))));
        add(
            "MemFree",
            Box::new(move |at| page((total - used(at)) * 0.35)),
        );
        add(
            "Cached",
            Box::new(move |at| page((total - used(at)) * 0.58)),
        );
        add(
            "Buffers",
            Box::new(move |at| page((total - used(at)) * 0.07)),
        );
        add("SwapTotal", Box::new(move |_| 2.0 * GIB));
        add(
            "SwapFree",
            Box::new(move |at| page(1.9 * GIB - 0.1 * GIB * at.demand)),
        );
    }

    fn disks(&mut self) {
        let (m, seed) = (self.machine, self.seed);
        for &(mountpoint, device, size_gib, part, growth) in m.disks {
            let path = format!("/dev/{device}");
            let labels = [
                ("device", path.as_str()),
                ("fstype", "ext4"),
                ("mountpoint", mountpoint),
            ];
            let size = size_gib * GIB;
            let block = |x: f64| (x / 4096.0).round() * 4096.0;
            let free = move |at: &Moment| {
                // Logs grow through the day and are rotated at night.
                let today = 0.004 * (at.day.fract() - 0.5);
                block(size * (1.0 - part - growth * at.day - today).clamp(0.01, 1.0))
            };
            let files = size / 16384.0;
            self.gauge(
                "node_filesystem_size_bytes",
                &labels,
                "Filesystem size.",
                move |_| size,
            );
            self.gauge(
                "node_filesystem_free_bytes",
                &labels,
                "Filesystem free space.",
                free,
            );
            self.gauge(
                "node_filesystem_avail_bytes",
                &labels,
                "Space left for users.",
                move |at| block(free(at) * 0.95),
            );
            self.gauge(
                "node_filesystem_files",
                &labels,
                "Total file nodes.",
                move |_| files,
            );
            self.gauge(
                "node_filesystem_files_free",
                &labels,
                "Free file nodes.",
                move |at| (files * (0.9 - 0.001 * at.day)).round(),
            );
            self.gauge(
                "node_filesystem_readonly",
                &labels,
                "Read-only status.",
                |_| 0.0,
            );
            let kind = [("device", device)];
            let io = move |at: &Moment| {
                at.demand * m.weight * (1.0 + 0.3 * noise(at.at, seed + 21, 40_000))
            };
            self.rate(
                "node_disk_read_bytes_total",
                &kind,
                "Bytes read.",
                move |at| (io(at) * 6e6 / 512.0).round() * 512.0,
            );
            self.rate(
                "node_disk_written_bytes_total",
                &kind,
                "Bytes written.",
                move |at| (io(at) * 9e6 / 512.0).round() * 512.0,
            );
            self.rate(
                "node_disk_io_time_seconds_total",
                &kind,
                "Seconds doing I/O.",
                move |at| (io(at) * 0.3).clamp(0.0, 1.0),
            );
        }
    }

    fn network(&mut self) {
        let (m, seed) = (self.machine, self.seed);
        let labels = [("device", "eth0")];
        let out = move |at: &Moment| {
            // The nightly backup leaves over the network.
            let hour = at.day.fract() * 24.0;
            let backup = if m.name == "data1" && (2.0..2.7).contains(&hour) {
                6.0
            } else {
                0.0
            };
            m.bits_out / 8.0 * (at.demand * (1.0 + 0.2 * noise(at.at, seed + 31, 15_000)) + backup)
        };
        self.rate(
            "node_network_transmit_bytes_total",
            &labels,
            "Bytes sent.",
            move |at| out(at).round(),
        );
        self.rate(
            "node_network_receive_bytes_total",
            &labels,
            "Bytes received.",
            move |at| (out(at) * 0.35).round(),
        );
        for (name, part) in [("transmit", 900.0), ("receive", 700.0)] {
            let name = format!("node_network_{name}_packets_total");
            self.rate(&name, &labels, "Packets.", move |at| {
                (out(at) / part).round()
            });
        }
        self.gauge(
            "node_network_up",
            &labels,
            "Whether the interface is up.",
            |_| 1.0,
        );
        self.gauge(
            "node_network_speed_bytes",
            &labels,
            "Speed of the link.",
            |_| 125e6,
        );
    }

    fn rest(&mut self) {
        let (m, seed) = (self.machine, self.seed);
        let waiting = move |at: &Moment| (busy(&m, at, seed) - 0.35).max(0.0) * 0.3;
        for kind in ["cpu", "io", "memory"] {
            let part = if kind == "memory" { 0.1 } else { 0.8 };
            let name = format!("node_pressure_{kind}_waiting_seconds_total");
            self.rate(
                &name,
                &[],
                "Seconds in which something waited.",
                move |at| waiting(at) * part,
            );
        }
        self.gauge(
            "node_procs_running",
            &[],
            "Processes that run.",
            move |at| (busy(&m, at, seed) * f64::from(m.cpus)).ceil(),
        );
        self.gauge(
            "node_procs_blocked",
            &[],
            "Processes that wait for I/O.",
            move |at| (noise(at.at, seed + 41, 30_000) * 1.4).max(0.0).floor(),
        );
        self.rate(
            "node_context_switches_total",
            &[],
            "Context switches.",
            move |at| (4000.0 + 30_000.0 * busy(&m, at, seed)).round(),
        );
        self.rate("node_forks_total", &[], "Forks.", move |at| {
            (2.0 + 8.0 * at.demand).round()
        });
        self.gauge(
            "node_boot_time_seconds",
            &[],
            "When the machine started.",
            move |at| {
                #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
                let now = at.at.0 as f64 / 1000.0;
                (now - (at.day + 88.0) * 86_400.0).round()
            },
        );
    }
}
