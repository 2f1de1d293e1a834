//! Counters of the network protocols: /proc/net/{netstat,snmp,snmp6,sockstat,sockstat6,softnet_stat}
//! and the connection table.

use super::emitter::{Emitter, Metric, metric};
use super::text::{gauge, hex, lines, number, words};

const STAT: Metric = metric(
    "node_netstat_*_*",
    "A line of /proc/net/{netstat,snmp,snmp6}.",
    &[],
);
const SOCKETS: Metric = metric("node_sockstat_*_*", "A number of /proc/net/sockstat.", &[]);
const SOCKET_BYTES: Metric = metric("node_sockstat_*_mem_bytes", "Memory of the sockets.", &[]);
const SOFTNET: [(usize, Metric); 6] = [
    (
        0,
        metric(
            "node_softnet_processed_total",
            "Packets processed.",
            &["cpu"],
        ),
    ),
    (
        1,
        metric(
            "node_softnet_dropped_total",
            "Packets dropped, the queue was full.",
            &["cpu"],
        ),
    ),
    (
        2,
        metric(
            "node_softnet_times_squeezed_total",
            "Times the budget ran out.",
            &["cpu"],
        ),
    ),
    (
        8,
        metric(
            "node_softnet_cpu_collision_total",
            "Collisions at the device's lock.",
            &["cpu"],
        ),
    ),
    (
        9,
        metric(
            "node_softnet_received_rps_total",
            "Times woken for another CPU.",
            &["cpu"],
        ),
    ),
    (
        10,
        metric(
            "node_softnet_flow_limit_count_total",
            "Times the flow limit was hit.",
            &["cpu"],
        ),
    ),
];
const BACKLOG: Metric = metric(
    "node_softnet_backlog_len",
    "Packets in the queue.",
    &["cpu"],
);
const TRACKED: Metric = metric(
    "node_nf_conntrack_entries",
    "Connections in the table.",
    &[],
);
const TRACKED_MAX: Metric = metric(
    "node_nf_conntrack_entries_limit",
    "Room for connections in the table.",
    &[],
);
const TRACK_STAT: Metric = metric(
    "node_nf_conntrack_stat_*",
    "A column of /proc/net/stat/nf_conntrack.",
    &[],
);

/// What node_exporter keeps of some 300 counters.
fn wanted(protocol: &[u8], name: &[u8]) -> bool {
    if name == b"InErrors" || name == b"InErrs" {
        return true;
    }
    match protocol {
        b"Ip" => name == b"Forwarding",
        b"Ip6" | b"IpExt" => matches!(name, b"InOctets" | b"OutOctets"),
        b"Icmp" | b"Icmp6" => matches!(name, b"InMsgs" | b"OutMsgs"),
        b"TcpExt" => {
            name.starts_with(b"Listen")
                || name.starts_with(b"Syncookies")
                || matches!(
                    name,
                    b"TCPSynRetrans" | b"TCPTimeouts" | b"TCPOFOQueue" | b"TCPRcvQDrop"
                )
        }
        b"Tcp" => matches!(
            name,
            b"ActiveOpens"
                | b"PassiveOpens"
                | b"InSegs"
                | b"OutSegs"
                | b"OutRsts"
                | b"RetransSegs"
                | b"CurrEstab"
        ),
        b"Udp" | b"Udp6" => matches!(
            name,
            b"InDatagrams" | b"OutDatagrams" | b"NoPorts" | b"RcvbufErrors" | b"SndbufErrors"
        ),
        _ => false,
    }
}

fn emit(protocol: &[u8], name: &[u8], n: u64, out: &mut Emitter) {
    if !wanted(protocol, name) {
        return;
    }
    match name {
        b"Forwarding" | b"CurrEstab" => out.gauge(&STAT, &[protocol, name], gauge(n)),
        _ => out.counter(&STAT, &[protocol, name], n),
    }
}

/// Lines in pairs: `Tcp: NAMES…` and `Tcp: NUMBERS…`.
pub(super) fn parse_pairs(text: &[u8], out: &mut Emitter) {
    let mut lines = lines(text);
    while let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
        let (mut names, mut numbers) = (words(names), words(numbers));
        let (Some(protocol), Some(again)) = (names.next(), numbers.next()) else {
            continue;
        };
        let Some(protocol) = protocol.strip_suffix(b":").filter(|_| protocol == again) else {
            return;
        };
        for (name, n) in names.zip(numbers) {
            // Some are -1: no such limit.
            if let Some(n) = number(n) {
                emit(protocol, name, n, out);
            }
        }
    }
}

/// One `Udp6InDatagrams 5` a line.
pub(super) fn parse_snmp6(text: &[u8], out: &mut Emitter) {
    for line in lines(text) {
        let mut words = words(line);
        let (Some(key), Some(n)) = (words.next(), words.next().and_then(number)) else {
            continue;
        };
        if let Some(six) = key.iter().position(|&b| b == b'6') {
            let (protocol, name) = key.split_at(six + 1);
            emit(protocol, name, n, out);
        }
    }
}

/// `TCP: inuse 4 orphan 0 …`
pub(super) fn parse_sockstat(text: &[u8], out: &mut Emitter) {
    for line in lines(text) {
        let mut words = words(line);
        let Some(protocol) = words.next().and_then(|w| w.strip_suffix(b":")) else {
            continue;
        };
        while let (Some(name), Some(n)) = (words.next(), words.next().and_then(number)) {
            out.gauge(&SOCKETS, &[protocol, name], gauge(n));
            if name == b"mem" {
                let bytes = n.saturating_mul(rustix::param::page_size() as u64);
                out.gauge(&SOCKET_BYTES, &[protocol], gauge(bytes));
            }
        }
    }
}

/// A line of hexadecimal columns for each CPU; since Linux 5.10 the thirteenth is its number.
pub(super) fn parse_softnet(text: &[u8], out: &mut Emitter) {
    for (i, line) in lines(text).enumerate() {
        let columns = || words(line).map(|w| hex(w).unwrap_or(0));
        let cpu = columns().nth(12).unwrap_or(i as u64).to_string();
        for (column, metric) in &SOFTNET {
            if let Some(n) = columns().nth(*column) {
                out.counter(metric, &[cpu.as_bytes()], n);
            }
        }
        if let Some(n) = columns().nth(11) {
            out.gauge(&BACKLOG, &[cpu.as_bytes()], gauge(n));
        }
    }
}

/// /proc/sys/net/netfilter/nf_conntrack_count and _max.
pub(super) fn parse_tracked(text: &[u8], out: &mut Emitter) {
    parse_one(&TRACKED, text, out);
}

/// See [`parse_tracked`].
pub(super) fn parse_tracked_max(text: &[u8], out: &mut Emitter) {
    parse_one(&TRACKED_MAX, text, out);
}

fn parse_one(metric: &Metric, text: &[u8], out: &mut Emitter) {
    if let Some(n) = number(text.trim_ascii()) {
        out.gauge(metric, &[], gauge(n));
    }
}

/// A line of names, then one of hexadecimal columns for each CPU, summed here.
pub(super) fn parse_track_stat(text: &[u8], out: &mut Emitter) {
    const COLUMNS: [&[u8]; 8] = [
        b"found",
        b"invalid",
        b"ignore",
        b"insert",
        b"insert_failed",
        b"drop",
        b"early_drop",
        b"search_restart",
    ];
    let Some(names) = lines(text).next() else {
        return;
    };
    for wanted in COLUMNS {
        // Older kernels write camel case and underscores alike.
        if let Some(column) = words(names).position(|name| name == wanted) {
            let cells = lines(text).skip(1).filter_map(|l| words(l).nth(column));
            let sum = cells.filter_map(hex).fold(0_u64, u64::wrapping_add);
            out.counter(&TRACK_STAT, &[wanted], sum);
        }
    }
}
