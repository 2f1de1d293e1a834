//! /proc/meminfo and /proc/vmstat.

use super::emitter::{Emitter, Metric, metric};
use super::text::{gauge, lines, number, words};

const BYTES: Metric = metric(
    "node_memory_*_bytes",
    "A line of /proc/meminfo, in bytes.",
    &[],
);
const PAGES: Metric = metric("node_memory_*", "A line of /proc/meminfo.", &[]);
const EVENTS: Metric = metric("node_vmstat_*", "A line of /proc/vmstat.", &[]);

pub(super) fn parse_meminfo(text: &[u8], out: &mut Emitter) {
    for line in lines(text) {
        let mut words = words(line);
        let (Some(key), Some(n)) = (words.next(), words.next().and_then(number)) else {
            continue;
        };
        let key = key.strip_suffix(b":").unwrap_or(key);
        let bytes = words.next() == Some(b"kB");
        let (metric, value) = if bytes {
            (&BYTES, gauge(n.saturating_mul(1024)))
        } else {
            (&PAGES, gauge(n))
        };
        // `Active(anon)` is named `Active_anon`.
        match key
            .strip_suffix(b")")
            .and_then(|k| k.iter().position(|&b| b == b'(').map(|at| (k, at)))
        {
            Some((inner, at)) => {
                let mut name = inner.to_vec();
                if let Some(paren) = name.get_mut(at) {
                    *paren = b'_';
                }
                out.gauge(metric, &[&name], value);
            }
            None => out.gauge(metric, &[key], value),
        }
    }
}

pub(super) fn parse_vmstat(text: &[u8], out: &mut Emitter) {
    for line in lines(text) {
        let mut words = words(line);
        let (Some(key), Some(n)) = (words.next(), words.next().and_then(number)) else {
            continue;
        };
        let wanted = key.starts_with(b"oom_kill")
            || key.starts_with(b"pgpg")
            || key.starts_with(b"pswp")
            || (key.starts_with(b"pg") && memchr::memmem::find(key, b"fault").is_some());
        if wanted {
            out.counter(&EVENTS, &[key], n);
        }
    }
}
