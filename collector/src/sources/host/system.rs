//! Load, pressure, open files, time on the CPUs: the short files of /proc.

use super::emitter::{Emitter, Metric, metric};
use super::text::{float, gauge, lines, number, words};

const LOAD: [Metric; 3] = [
    metric("node_load1", "Load average over 1 minute.", &[]),
    metric("node_load5", "Load average over 5 minutes.", &[]),
    metric("node_load15", "Load average over 15 minutes.", &[]),
];
const WAITING: Metric = metric(
    "node_pressure_*_waiting_seconds_total",
    "Seconds in which some tasks waited for it.",
    &[],
);
const STALLED: Metric = metric(
    "node_pressure_*_stalled_seconds_total",
    "Seconds in which no task could go on for want of it.",
    &[],
);
const FILES: Metric = metric("node_filefd_allocated", "Open file descriptors.", &[]);
const FILES_MAX: Metric = metric(
    "node_filefd_maximum",
    "Most file descriptors there may be.",
    &[],
);
const ON_CPU: Metric = metric(
    "node_schedstat_running_seconds_total",
    "Seconds tasks ran.",
    &["cpu"],
);
const IN_QUEUE: Metric = metric(
    "node_schedstat_waiting_seconds_total",
    "Seconds tasks waited to run.",
    &["cpu"],
);
const SLICES: Metric = metric(
    "node_schedstat_timeslices_total",
    "Time slices run.",
    &["cpu"],
);

pub(super) fn parse_loadavg(text: &[u8], out: &mut Emitter) {
    for (metric, value) in LOAD.iter().zip(words(text).map_while(float)) {
        out.gauge(metric, &[], value);
    }
}

/// /proc/pressure/{cpu,io,memory,irq}: `some avg10=0.00 … total=153617071`, in microseconds.
pub(super) fn parse_pressure(resource: &'static str, text: &[u8], out: &mut Emitter) {
    for line in lines(text) {
        let mut words = words(line);
        let kind = words.next();
        let Some(micros) = words.find_map(|w| number(w.strip_prefix(b"total=")?)) else {
            continue;
        };
        let metric = match kind {
            Some(b"some") => &WAITING,
            // For the CPU as a whole the kernel always says 0 here.
            Some(b"full") if resource != "cpu" => &STALLED,
            _ => continue,
        };
        out.seconds(metric, &[resource.as_bytes()], gauge(micros) / 1e6);
    }
}

/// /proc/sys/fs/file-nr: `593 0 2466186`.
pub(super) fn parse_file_nr(text: &[u8], out: &mut Emitter) {
    let mut numbers = words(text.trim_ascii()).map(float);
    if let Some(Some(allocated)) = numbers.next() {
        out.gauge(&FILES, &[], allocated);
    }
    if let Some(Some(most)) = numbers.nth(1) {
        out.gauge(&FILES_MAX, &[], most);
    }
}

/// /proc/schedstat: `cpu0 0 0 0 0 0 0 RUNNING_NS WAITING_NS SLICES`.
pub(super) fn parse_schedstat(text: &[u8], out: &mut Emitter) {
    for line in lines(text) {
        let mut words = words(line);
        let Some(cpu) = words.next().and_then(|w| w.strip_prefix(b"cpu")) else {
            continue;
        };
        let mut numbers = words.skip(6).map_while(number);
        if let (Some(ran), Some(waited), Some(slices)) =
            (numbers.next(), numbers.next(), numbers.next())
        {
            out.seconds(&ON_CPU, &[cpu], gauge(ran) / 1e9);
            out.seconds(&IN_QUEUE, &[cpu], gauge(waited) / 1e9);
            out.counter(&SLICES, &[cpu], slices);
        }
    }
}
