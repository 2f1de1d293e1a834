//! What the machine is: kernel, system, hardware, clock sources, entropy.

use std::path::Path;

use vigie_parsers::Timestamp;

use super::emitter::{Emitter, Metric, metric};
use super::procfile::read_word;
use super::text::{float, gauge, hex, lines, number, words};

const UNAME: Metric = metric(
    "node_uname_info",
    "What uname(2) says; always 1.",
    &[
        "sysname",
        "release",
        "version",
        "machine",
        "nodename",
        "domainname",
    ],
);
const OS_KEYS: [&str; 11] = [
    "BUILD_ID",
    "ID",
    "ID_LIKE",
    "IMAGE_ID",
    "IMAGE_VERSION",
    "NAME",
    "PRETTY_NAME",
    "VARIANT",
    "VARIANT_ID",
    "VERSION",
    "VERSION_CODENAME",
];
const OS: Metric = metric(
    "node_os_info",
    "What /etc/os-release says; always 1.",
    &[
        "build_id",
        "id",
        "id_like",
        "image_id",
        "image_version",
        "name",
        "pretty_name",
        "variant",
        "variant_id",
        "version",
        "version_codename",
        "version_id",
    ],
);
const OS_VERSION: Metric = metric(
    "node_os_version",
    "The major.minor part of the system's version.",
    &["id", "id_like", "name"],
);
const DMI_FILES: [&str; 16] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_sku",
    "product_version",
    "sys_vendor",
];
const DMI: Metric = metric(
    "node_dmi_info",
    "What the firmware says of the hardware; always 1.",
    &[
        "bios_date",
        "bios_release",
        "bios_vendor",
        "bios_version",
        "board_asset_tag",
        "board_name",
        "board_vendor",
        "board_version",
        "chassis_asset_tag",
        "chassis_vendor",
        "chassis_version",
        "product_family",
        "product_name",
        "product_sku",
        "product_version",
        "system_vendor",
    ],
);
const CLOCK: Metric = metric(
    "node_time_clocksource_current_info",
    "The clock source in use; always 1.",
    &["device", "clocksource"],
);
const CLOCKS: Metric = metric(
    "node_time_clocksource_available_info",
    "A clock source that could be used; always 1.",
    &["device", "clocksource"],
);
const OFFSET: Metric = metric(
    "node_time_zone_offset_seconds",
    "Seconds that local time is ahead of UTC.",
    &["time_zone"],
);
const ENTROPY: Metric = metric(
    "node_entropy_available_bits",
    "Bits of entropy at hand.",
    &[],
);
const ENTROPY_POOL: Metric = metric(
    "node_entropy_pool_size_bits",
    "Bits the pool can hold.",
    &[],
);
const SELINUX: Metric = metric("node_selinux_enabled", "Whether SELinux is on.", &[]);
const ARP: Metric = metric(
    "node_arp_entries",
    "Neighbours known by address.",
    &["device"],
);
const UDP: Metric = metric(
    "node_udp_queues",
    "Bytes in the queues of UDP sockets.",
    &["queue", "ip"],
);

pub(super) fn read(proc: &Path, sys: &Path, now: Timestamp, out: &mut Emitter) {
    uname(out);
    clocks(sys, out);
    time_zone(now, out);
    for (metric, file) in [
        (&ENTROPY, "sys/kernel/random/entropy_avail"),
        (&ENTROPY_POOL, "sys/kernel/random/poolsize"),
    ] {
        if let Some(n) = read_word(&proc.join(file)).and_then(|w| number(w.as_bytes())) {
            out.gauge(metric, &[], gauge(n));
        }
    }
    let selinux = sys.join("fs/selinux/enforce").exists();
    out.gauge(&SELINUX, &[], if selinux { 1.0 } else { 0.0 });
    let dmi = sys.join("class/dmi/id");
    if dmi.is_dir() {
        let values = DMI_FILES.map(|f| read_word(&dmi.join(f)).unwrap_or_default());
        out.gauge(&DMI, &values.each_ref().map(|v| v.as_bytes()), 1.0);
    }
}

fn uname(out: &mut Emitter) {
    let u = rustix::system::uname();
    let values = [
        u.sysname(),
        u.release(),
        u.version(),
        u.machine(),
        u.nodename(),
        u.domainname(),
    ];
    out.gauge(&UNAME, &values.map(|v| v.to_bytes()), 1.0);
}

/// /etc/os-release: `KEY=value` or `KEY="value"`.
pub(super) fn parse_os_release(text: &[u8], out: &mut Emitter) {
    let value = |key: &str| {
        let line = lines(text).find_map(|l| {
            let (name, value) = l.split_at(memchr::memchr(b'=', l)?);
            (name == key.as_bytes()).then(|| value.get(1..).unwrap_or_default().trim_ascii())
        });
        let quoted = line.unwrap_or_default();
        let inner = quoted
            .strip_prefix(b"\"")
            .and_then(|v| v.strip_suffix(b"\""));
        inner.unwrap_or(quoted)
    };
    let mut values = OS_KEYS.map(value).to_vec();
    let version = value("VERSION_ID");
    values.push(version);
    out.gauge(&OS, &values, 1.0);
    let digits = version
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'.')
        .count();
    let major_minor: Vec<_> = version.split(|&b| b == b'.').take(2).collect();
    if digits == version.len()
        && let Some(version) = float(&major_minor.join(&b'.'))
    {
        out.gauge(&OS_VERSION, &["ID", "ID_LIKE", "NAME"].map(value), version);
    }
}

fn clocks(sys: &Path, out: &mut Emitter) {
    for n in 0..8 {
        let dir = sys.join(format!("devices/system/clocksource/clocksource{n}"));
        let device = n.to_string();
        let Some(current) = read_word(&dir.join("current_clocksource")) else {
            return;
        };
        let all = read_word(&dir.join("available_clocksource")).unwrap_or_default();
        for name in all.split_ascii_whitespace() {
            out.gauge(&CLOCKS, &[device.as_bytes(), name.as_bytes()], 1.0);
        }
        out.gauge(&CLOCK, &[device.as_bytes(), current.as_bytes()], 1.0);
    }
}

fn time_zone(now: Timestamp, out: &mut Emitter) {
    let Ok(now) = jiff::Timestamp::from_millisecond(now.0) else {
        return;
    };
    let zone = jiff::tz::TimeZone::system();
    let info = zone.to_offset_info(now);
    let seconds = f64::from(info.offset().seconds());
    out.gauge(&OFFSET, &[info.abbreviation().as_bytes()], seconds);
}

/// /proc/net/arp: complete entries by device.
pub(super) fn parse_arp(text: &[u8], out: &mut Emitter) {
    let mut devices = std::collections::BTreeMap::<&[u8], u64>::new();
    for line in lines(text).skip(1) {
        if let Some(device) = words(line).nth(5) {
            *devices.entry(device).or_default() += 1;
        }
    }
    for (device, n) in devices {
        out.gauge(&ARP, &[device], gauge(n));
    }
}

/// /proc/net/udp and udp6: the sums of `tx_queue:rx_queue`.
pub(super) fn parse_udp(ip: &'static str, text: &[u8], out: &mut Emitter) {
    let (mut tx, mut rx) = (0_u64, 0_u64);
    for line in lines(text).skip(1) {
        let queues = words(line).nth(4).unwrap_or_default();
        let mut parts = queues.split(|&b| b == b':').filter_map(hex);
        tx = tx.saturating_add(parts.next().unwrap_or(0));
        rx = rx.saturating_add(parts.next().unwrap_or(0));
    }
    out.gauge(&UDP, &[b"tx", ip.as_bytes()], gauge(tx));
    out.gauge(&UDP, &[b"rx", ip.as_bytes()], gauge(rx));
}
