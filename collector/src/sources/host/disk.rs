//! /proc/diskstats: reads, writes, discards and flushes of each block device.

use super::emitter::{Emitter, Metric, metric};
use super::text::{gauge, lines, number, words};

macro_rules! disk {
    ($($id:ident $name:literal $help:literal)*) => {
        $(const $id: Metric = metric(concat!("node_disk_", $name), $help, &["device"]);)*
    };
}
disk! {
    READS "reads_completed_total" "Reads completed."
    READS_MERGED "reads_merged_total" "Reads merged with others."
    READ_BYTES "read_bytes_total" "Bytes read."
    READ_TIME "read_time_seconds_total" "Seconds spent by all reads."
    WRITES "writes_completed_total" "Writes completed."
    WRITES_MERGED "writes_merged_total" "Writes merged with others."
    WRITTEN_BYTES "written_bytes_total" "Bytes written."
    WRITE_TIME "write_time_seconds_total" "Seconds spent by all writes."
    IO_NOW "io_now" "I/Os in progress."
    IO_TIME "io_time_seconds_total" "Seconds in which I/O was going on."
    IO_WEIGHTED "io_time_weighted_seconds_total" "Seconds of I/O, weighted with the length of the queue."
    DISCARDS "discards_completed_total" "Discards completed."
    DISCARDS_MERGED "discards_merged_total" "Discards merged with others."
    DISCARDED "discarded_sectors_total" "Sectors discarded."
    DISCARD_TIME "discard_time_seconds_total" "Seconds spent by all discards."
    FLUSHES "flush_requests_total" "Flush requests completed."
    FLUSH_TIME "flush_requests_time_seconds_total" "Seconds spent by all flush requests."
}

enum Unit {
    Count,
    Sectors,
    Millis,
    Now,
}

/// The columns behind the device's name (Documentation/admin-guide/iostats.rst).
const COLUMNS: [(&Metric, Unit); 17] = [
    (&READS, Unit::Count),
    (&READS_MERGED, Unit::Count),
    (&READ_BYTES, Unit::Sectors),
    (&READ_TIME, Unit::Millis),
    (&WRITES, Unit::Count),
    (&WRITES_MERGED, Unit::Count),
    (&WRITTEN_BYTES, Unit::Sectors),
    (&WRITE_TIME, Unit::Millis),
    (&IO_NOW, Unit::Now),
    (&IO_TIME, Unit::Millis),
    (&IO_WEIGHTED, Unit::Millis),
    (&DISCARDS, Unit::Count),
    (&DISCARDS_MERGED, Unit::Count),
    (&DISCARDED, Unit::Count),
    (&DISCARD_TIME, Unit::Millis),
    (&FLUSHES, Unit::Count),
    (&FLUSH_TIME, Unit::Millis),
];
/// A sector of /proc/diskstats, whatever the device's own.
const SECTOR: u64 = 512;

pub(super) fn parse(text: &[u8], out: &mut Emitter) {
    for line in lines(text) {
        let mut words = words(line).skip(2);
        let Some(device) = words.next().filter(|d| !ignored(d)) else {
            continue;
        };
        for ((metric, unit), n) in COLUMNS.iter().zip(words.map_while(number)) {
            let labels = &[device];
            match unit {
                Unit::Count => out.counter(metric, labels, n),
                Unit::Sectors => out.counter(metric, labels, n.saturating_mul(SECTOR)),
                Unit::Millis => out.seconds(metric, labels, gauge(n) / 1000.0),
                Unit::Now => out.gauge(metric, labels, gauge(n)),
            }
        }
    }
}

/// Memory disks, loops, floppies and partitions: node_exporter's
/// `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`.
pub(super) fn ignored(device: &[u8]) -> bool {
    let digits = device
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let stem = device.get(..device.len() - digits).unwrap_or_default();
    if digits == 0 {
        return false;
    }
    match stem {
        b"ram" | b"zram" | b"loop" | b"fd" => true,
        [b'h' | b's' | b'v', b'd', b'a'..=b'z'] | [b'x', b'v', b'd', b'a'..=b'z'] => true,
        _ => stem.starts_with(b"nvme") && stem.ends_with(b"p"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_memory_disks_are_left_out() {
        for (device, expected) in [
            ("sda", false),
            ("sda1", true),
            ("xvdb2", true),
            ("nvme0n1", false),
            ("nvme0n1p2", true),
            ("loop7", true),
            ("zram0", true),
            ("dm-0", false),
            ("md127", false),
            ("", false),
        ] {
            assert_eq!(ignored(device.as_bytes()), expected, "{device}");
        }
    }
}
