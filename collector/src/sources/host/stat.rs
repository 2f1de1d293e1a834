//! /proc/stat: what the processors did, context switches, interrupts, forks, boot time.

use super::emitter::{Emitter, Metric, metric};
use super::text::{gauge, lines, number, words};

const CPU: Metric = metric(
    "node_cpu_seconds_total",
    "Seconds the CPUs spent in each mode.",
    &["cpu", "mode"],
);
const GUEST: Metric = metric(
    "node_cpu_guest_seconds_total",
    "Seconds the CPUs spent in guests (VMs) for each mode.",
    &["cpu", "mode"],
);
const SWITCHES: Metric = metric("node_context_switches_total", "Context switches.", &[]);
const INTERRUPTS: Metric = metric("node_intr_total", "Interrupts serviced.", &[]);
const FORKS: Metric = metric("node_forks_total", "Processes and threads started.", &[]);
const BOOT: Metric = metric(
    "node_boot_time_seconds",
    "When the machine booted, in unix time.",
    &[],
);
const RUNNING: Metric = metric("node_procs_running", "Processes in runnable state.", &[]);
const BLOCKED: Metric = metric(
    "node_procs_blocked",
    "Processes that wait for I/O to complete.",
    &[],
);

/// In the order of the columns.
const MODES: [&[u8]; 8] = [
    b"user", b"nice", b"system", b"idle", b"iowait", b"irq", b"softirq", b"steal",
];
/// The unit of /proc/stat, `USER_HZ`: 100 on every architecture in use.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn parse(text: &[u8], out: &mut Emitter) {
    for line in lines(text) {
        let mut words = words(line);
        let (Some(key), mut numbers) = (words.next(), words.map(|w| number(w).unwrap_or(0))) else {
            continue;
        };
        if let Some(cpu) = key.strip_prefix(b"cpu") {
            // The line without a number is the sum of the others.
            if !cpu.is_empty() {
                for (mode, ticks) in MODES.into_iter().zip(&mut numbers) {
                    out.seconds(&CPU, &[cpu, mode], gauge(ticks) / TICKS_PER_SECOND);
                }
                for (mode, ticks) in [&b"user"[..], b"nice"].into_iter().zip(numbers) {
                    out.seconds(&GUEST, &[cpu, mode], gauge(ticks) / TICKS_PER_SECOND);
                }
            }
            continue;
        }
        let Some(n) = numbers.next() else { continue };
        match key {
            b"ctxt" => out.counter(&SWITCHES, &[], n),
            b"intr" => out.counter(&INTERRUPTS, &[], n),
            b"processes" => out.counter(&FORKS, &[], n),
            b"btime" => out.gauge(&BOOT, &[], gauge(n)),
            b"procs_running" => out.gauge(&RUNNING, &[], gauge(n)),
            b"procs_blocked" => out.gauge(&BLOCKED, &[], gauge(n)),
            _ => {}
        }
    }
}
