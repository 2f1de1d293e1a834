//! Each built-in rule fires when it should, says something readable, and ends by itself.

use vigie_store::incidents::{AlertState, IncidentFilter};

use crate::model::{Figures, House, START, at};
use crate::rules::Rules;

/// When the trouble begins and ends, in seconds: late enough for windows of hours, and off the grid
/// of the evaluations.
const BEGIN: i64 = 8 * 3600 + 3;
const LENGTH: i64 = 2400;
const END: i64 = BEGIN + LENGTH;

/// One kind of trouble, and how fast vigie has to be.
struct Trouble {
    rule: &'static str,
    figures: Figures,
    fires_within_s: i64,
    ends_within_s: i64,
}

const HOST: (&str, &str) = ("instance", "web1");

fn bad(s: i64) -> bool {
    (BEGIN..END).contains(&s)
}

/// A gauge that has one value in good times and another in bad ones.
fn gauge(good: f64, worse: f64) -> impl Fn(i64) -> Option<f64> {
    move |s| Some(if bad(s) { worse } else { good })
}

/// A counter that grows at one rate in good times and at another in bad ones.
fn counter(good: f64, worse: f64) -> impl Fn(i64) -> Option<f64> {
    move |s| {
        let spent = (s - BEGIN).clamp(0, LENGTH) as f64;
        let before = (s + 1_000_000) as f64 - spent;
        Some(before * good + spent * worse)
    }
}

fn filesystem(
    avail: impl Fn(i64) -> Option<f64> + 'static,
    readonly: (f64, f64),
    inodes: (f64, f64),
) -> Figures {
    let labels = [
        HOST,
        ("device", "tmpfs"),
        ("mountpoint", "/data"),
        ("fstype", "ext4"),
    ];
    let free = std::rc::Rc::new(avail);
    let avail = std::rc::Rc::clone(&free);
    let mut figures = Figures::every(10);
    figures
        .add("node_filesystem_size_bytes", &labels, |_| Some(1e9))
        .add("node_filesystem_free_bytes", &labels, move |s| free(s))
        .add("node_filesystem_avail_bytes", &labels, move |s| avail(s))
        .add("node_filesystem_files", &labels, |_| Some(1e6))
        .add(
            "node_filesystem_files_free",
            &labels,
            gauge(inodes.0, inodes.1),
        )
        .add("node_filesystem_device_error", &labels, |_| Some(0.0))
        .add(
            "node_filesystem_readonly",
            &labels,
            gauge(readonly.0, readonly.1),
        );
    figures
}

type Metric = (
    &'static str,
    &'static [(&'static str, &'static str)],
    (f64, f64),
);

fn gauges(list: &[Metric]) -> Figures {
    let mut figures = Figures::every(10);
    for &(name, labels, (good, worse)) in list {
        let labels: Vec<_> = labels.iter().copied().chain([HOST]).collect();
        figures.add(name, &labels, gauge(good, worse));
    }
    figures
}

fn counters(list: &[Metric]) -> Figures {
    let mut figures = Figures::every(10);
    for &(name, labels, (good, worse)) in list {
        let labels: Vec<_> = labels.iter().copied().chain([HOST]).collect();
        figures.add(name, &labels, counter(good, worse));
    }
    figures
}

fn trouble(
    rule: &'static str,
    figures: Figures,
    fires_within_s: i64,
    ends_within_s: i64,
) -> Trouble {
    Trouble {
        rule,
        figures,
        fires_within_s,
        ends_within_s,
    }
}

fn load() -> Figures {
    let mut figures = gauges(&[("node_load5", &[], (1.0, 30.0))]);
    for cpu in ["0", "1"] {
        figures.add(
            "node_cpu_seconds_total",
            &[HOST, ("cpu", cpu), ("mode", "idle")],
            counter(0.9, 0.0),
        );
        figures.add(
            "node_cpu_seconds_total",
            &[HOST, ("cpu", cpu), ("mode", "user")],
            counter(0.1, 1.0),
        );
    }
    figures
}

/// The lines of a source and its errors, so many a second.
fn logs(lines: (f64, f64), errors: (f64, f64)) -> Figures {
    let source = ("source", "file:/var/log/app.log");
    let name = "vigie_log_events_total";
    let mut figures = Figures::every(60);
    figures
        .add("vigie_source_up", &[HOST, source], |_| Some(1.0))
        .add(
            name,
            &[HOST, source, ("level", "info")],
            counter(lines.0, lines.1),
        )
        .add(
            name,
            &[HOST, source, ("level", "err")],
            counter(errors.0, errors.1),
        );
    figures
}

/// A counter that is written down only when it counts, as log figures are.
fn silent() -> Figures {
    let source = ("source", "file:/var/log/app.log");
    let lines = counter(0.3, 0.0);
    let mut figures = Figures::every(60);
    figures
        .add("vigie_source_up", &[HOST, source], |_| Some(1.0))
        .add(
            "vigie_log_events_total",
            &[HOST, source, ("level", "info")],
            move |s| if bad(s) { None } else { lines(s) },
        );
    figures
}

fn machine() -> Vec<Trouble> {
    let fs = |good, worse| filesystem(gauge(good, worse), (0.0, 0.0), (9e5, 9e5));
    vec![
        trouble("machine/FilesystemFull", fs(5e8, 5e7), 30, 30),
        trouble("machine/FilesystemFull#2", fs(5e8, 8e7), 140, 30),
        trouble(
            "machine/InodesFull",
            filesystem(gauge(5e8, 5e8), (0.0, 0.0), (9e5, 1e3)),
            30,
            30,
        ),
        trouble(
            "machine/FilesystemBroken",
            gauges(&[(
                "node_filesystem_device_error",
                &[("mountpoint", "/nfs"), ("fstype", "nfs4")],
                (0.0, 1.0),
            )]),
            135,
            15,
        ),
        trouble(
            "machine/MemoryNearlyExhausted",
            gauges(&[
                ("node_memory_MemTotal_bytes", &[], (8e9, 8e9)),
                ("node_memory_MemAvailable_bytes", &[], (4e9, 1e8)),
            ]),
            75,
            75,
        ),
        trouble(
            "machine/MemoryStalls",
            counters(&[(
                "node_pressure_memory_stalled_seconds_total",
                &[],
                (0.0, 0.9),
            )]),
            120,
            260,
        ),
        trouble(
            "machine/SwapThrashing",
            counters(&[
                ("node_vmstat_pswpin", &[], (1.0, 5e3)),
                ("node_vmstat_pswpout", &[], (1.0, 5e3)),
            ]),
            220,
            260,
        ),
        trouble(
            "machine/OutOfMemoryKill",
            counters(&[("node_vmstat_oom_kill", &[], (0.0, 0.1))]),
            30,
            320,
        ),
    ]
}

fn devices() -> Vec<Trouble> {
    const SDA: &[(&str, &str)] = &[("device", "sda")];
    const ETH: &[(&str, &str)] = &[("device", "eth0")];
    vec![
        trouble("machine/LoadHigh", load(), 620, 140),
        trouble(
            "machine/DiskStalls",
            counters(&[("node_pressure_io_stalled_seconds_total", &[], (0.01, 0.95))]),
            540,
            360,
        ),
        trouble(
            "machine/DiskSaturated",
            counters(&[
                ("node_disk_io_time_seconds_total", SDA, (0.1, 1.0)),
                ("node_disk_io_time_weighted_seconds_total", SDA, (0.1, 50.0)),
            ]),
            920,
            360,
        ),
        trouble(
            "machine/NetworkErrors",
            counters(&[
                ("node_network_receive_errs_total", ETH, (0.0, 5.0)),
                ("node_network_transmit_errs_total", ETH, (0.0, 0.0)),
                ("node_network_receive_packets_total", ETH, (100.0, 100.0)),
                ("node_network_transmit_packets_total", ETH, (100.0, 100.0)),
            ]),
            520,
            560,
        ),
        trouble(
            "machine/FilesNearlyExhausted",
            gauges(&[
                ("node_filefd_maximum", &[], (1e6, 1e6)),
                ("node_filefd_allocated", &[], (1e3, 9.5e5)),
            ]),
            75,
            75,
        ),
        trouble(
            "machine/ConnectionTrackingFull",
            gauges(&[
                ("node_nf_conntrack_entries_limit", &[], (1e5, 1e5)),
                ("node_nf_conntrack_entries", &[], (1e3, 9.5e4)),
            ]),
            75,
            75,
        ),
    ]
}

fn others() -> Vec<Trouble> {
    const SOURCE: &[(&str, &str)] = &[("source", "syslog:127.0.0.1:5514")];
    const DROPS: &[(&str, &str)] = &[("source", "syslog:127.0.0.1:5514"), ("reason", "kernel")];
    // 120 KB a second: the last third is full in an hour.
    let filling = |s: i64| Some(3.5e8 - 1.2e5 * (s - BEGIN).clamp(0, LENGTH) as f64);
    vec![
        trouble(
            "forecast/FilesystemFillsSoon",
            filesystem(filling, (0.0, 0.0), (9e5, 9e5)),
            3600,
            4500,
        ),
        trouble(
            "forecast/FilesystemReadOnly",
            filesystem(gauge(5e8, 5e8), (0.0, 1.0), (9e5, 9e5)),
            310,
            610,
        ),
        trouble(
            "logs/LogErrorsUnusual",
            logs((0.3, 0.3), (0.002, 1.0)),
            190,
            660,
        ),
        trouble("logs/SourceSilent", silent(), 840, 150),
        trouble(
            "logs/SourceSilent",
            logs((0.3, 0.0), (0.002, 0.0)),
            840,
            150,
        ),
        trouble(
            "vigie/SourceFailed",
            gauges(&[("vigie_source_up", SOURCE, (1.0, 0.0))]),
            100,
            60,
        ),
        trouble(
            "vigie/VigieDrops",
            counters(&[("vigie_source_dropped_total", DROPS, (0.0, 3.0))]),
            90,
            660,
        ),
        trouble(
            "vigie/StoreFails",
            counters(&[("vigie_store_commit_failures_total", &[], (0.0, 1.0))]),
            90,
            480,
        ),
        trouble(
            "vigie/RulesFail",
            counters(&[("vigie_rule_evaluation_failures_total", &[], (0.0, 1.0))]),
            210,
            660,
        ),
    ]
}

fn all() -> Vec<Trouble> {
    [machine(), devices(), others()]
        .into_iter()
        .flatten()
        .collect()
}

/// Only the rule in question, so that the test stays fast.
fn alone(id: &str) -> Rules {
    let mut rules = Rules::builtin();
    for group in &mut rules.groups {
        group.rules.retain(|r| r.id == id);
    }
    rules.groups.retain(|g| !g.rules.is_empty());
    rules
}

fn check(trouble: &Trouble) {
    let rules = alone(trouble.rule);
    let step = (rules.groups[0].interval_ms / 1000).min(60);
    let mut house = House::new(rules);
    let first = (BEGIN - 1800) / step * step;
    let (mut fired, mut ended) = (None, None);
    for s in (first..END + trouble.ends_within_s + step).step_by(usize::try_from(step).unwrap()) {
        house.tick(&trouble.figures, s);
        let open = house
            .reader()
            .incidents(&IncidentFilter::unresolved())
            .unwrap();
        if open.is_empty() {
            ended = ended.or(fired.is_some().then_some(s));
            continue;
        }
        fired = fired.or(Some(s));
        assert_eq!(ended, None, "{} flaps at {s}", trouble.rule);
    }
    let fired = fired.unwrap_or_else(|| panic!("{} does not fire", trouble.rule));
    assert!(
        fired > BEGIN && fired <= BEGIN + trouble.fires_within_s,
        "{} fires after {} s",
        trouble.rule,
        fired - BEGIN
    );
    let ended = ended.unwrap_or_else(|| panic!("{} does not end", trouble.rule));
    assert!(
        ended - END <= trouble.ends_within_s,
        "{} ends after {} s",
        trouble.rule,
        ended - END
    );
    let incidents = house
        .reader()
        .incidents(&IncidentFilter::default())
        .unwrap();
    assert_eq!(incidents.len(), 1, "{}", trouble.rule);
    let title = &incidents[0].title;
    assert!(!title.contains("{{") && !title.contains("NaN"), "{title}");
    let alerts = house.reader().incident_alerts(incidents[0].id).unwrap();
    assert!(
        alerts
            .iter()
            .all(|a| a.state == AlertState::Resolved && a.annotations.len() == 2)
    );
}

#[test]
fn each_rule_fires_and_ends() {
    let all = all();
    for trouble in &all {
        check(trouble);
    }
    let rules = Rules::builtin();
    for rule in rules.groups.iter().flat_map(|g| &g.rules) {
        assert!(
            all.iter().any(|t| t.rule == rule.id),
            "{} has no test",
            rule.id
        );
    }
}

#[test]
fn a_quiet_machine_is_quiet() {
    for trouble in all() {
        let mut house = House::new(alone(trouble.rule));
        for s in (BEGIN - 7200..BEGIN - 10).step_by(100) {
            assert_eq!(
                house.tick(&trouble.figures, s),
                [],
                "{} at {s}",
                trouble.rule
            );
        }
    }
    assert_eq!(START, at(0));
}
