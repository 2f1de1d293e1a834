//! /sys/class/net: what each interface is rather than what it does.

use std::path::{Path, PathBuf};

use super::emitter::{Emitter, Metric, metric};
use super::procfile::read_word;
use super::text::{float, gauge, hex, number};

const UP: Metric = metric(
    "node_network_up",
    "Whether the interface's state is up.",
    &["device"],
);
const INFO: Metric = metric(
    "node_network_info",
    "What the interface is; always 1.",
    &[
        "device",
        "address",
        "broadcast",
        "duplex",
        "ifalias",
        "operstate",
    ],
);
const SPEED: Metric = metric(
    "node_network_speed_bytes",
    "Bytes a second it can carry.",
    &["device"],
);

enum Unit {
    Gauge,
    Hex,
    Counter,
}

macro_rules! attributes {
    ($($file:literal $name:literal $unit:ident)*) => {
        /// File, metric, unit.
        const ATTRIBUTES: &[(&str, Metric, Unit)] = &[$((
            $file,
            metric(concat!("node_network_", $name), concat!("`", $file, "` in /sys/class/net."), &["device"]),
            Unit::$unit,
        ),)*];
    };
}
attributes! {
    "addr_assign_type" "address_assign_type" Gauge
    "carrier" "carrier" Gauge
    "carrier_changes" "carrier_changes_total" Counter
    "carrier_up_count" "carrier_up_changes_total" Counter
    "carrier_down_count" "carrier_down_changes_total" Counter
    "dev_id" "device_id" Hex
    "dormant" "dormant" Gauge
    "flags" "flags" Hex
    "ifindex" "iface_id" Gauge
    "iflink" "iface_link" Gauge
    "link_mode" "iface_link_mode" Gauge
    "mtu" "mtu_bytes" Gauge
    "name_assign_type" "name_assign_type" Gauge
    "netdev_group" "net_dev_group" Gauge
    "tx_queue_len" "transmit_queue_length" Gauge
    "type" "protocol_type" Gauge
    "statistics/rx_nohandler" "receive_nohandler_total" Counter
}

/// Interfaces beyond this many are left out here (not in /proc/net/dev): each costs 20 files.
const DEVICES_MAX: usize = 256;

pub(super) fn read(sys: &Path, out: &mut Emitter) {
    let Ok(entries) = std::fs::read_dir(sys.join("class/net")) else {
        return;
    };
    let mut devices: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        // `bonding_masters` is a file among the directories.
        .filter(|p| p.is_dir())
        .collect();
    devices.sort_unstable();
    for device in devices.iter().take(DEVICES_MAX) {
        read_device(device, out);
    }
}

fn read_device(dir: &Path, out: &mut Emitter) {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let name = name.as_bytes();
    let word = |file: &str| read_word(&dir.join(file));
    let text = |file: &str| word(file).unwrap_or_default();
    let state = text("operstate");
    out.gauge(&UP, &[name], if state == "up" { 1.0 } else { 0.0 });
    let info = ["address", "broadcast", "duplex", "ifalias"].map(text);
    let [address, broadcast, duplex, alias] = info.each_ref().map(String::as_bytes);
    let values = [name, address, broadcast, duplex, alias, state.as_bytes()];
    out.gauge(&INFO, &values, 1.0);
    for (file, metric, unit) in ATTRIBUTES {
        // Many cannot be read while the interface is down.
        let Some(value) = word(file) else { continue };
        let value = value.as_bytes();
        match unit {
            Unit::Gauge => float(value)
                .into_iter()
                .for_each(|v| out.gauge(metric, &[name], v)),
            Unit::Hex => hex(value)
                .into_iter()
                .for_each(|v| out.gauge(metric, &[name], gauge(v))),
            Unit::Counter => number(value)
                .into_iter()
                .for_each(|v| out.counter(metric, &[name], v)),
        }
    }
    // Megabits; -1 where it is not known.
    if let Some(speed) = word("speed").and_then(|s| float(s.as_bytes())) {
        out.gauge(&SPEED, &[name], speed * 1e6 / 8.0);
    }
}
