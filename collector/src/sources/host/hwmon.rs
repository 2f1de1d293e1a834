//! /sys/class/hwmon and /sys/class/thermal: temperatures, fans, voltages; processor frequencies.

use std::path::Path;

use super::emitter::{Emitter, Metric, metric};
use super::procfile::read_word;
use super::text::float;

macro_rules! sensors {
    ($($kind:literal $suffix:literal $name:literal $divisor:literal $help:literal)*) => {
        /// Kind and suffix of the file (`temp1_input`), metric, units in one of the metric's.
        const SENSORS: &[(&str, &str, Metric, f64)] = &[$((
            $kind,
            $suffix,
            metric(concat!("node_hwmon_", $name), $help, &["chip", "sensor"]),
            $divisor,
        ),)*];
    };
}
sensors! {
    "temp" "input" "temp_celsius" 1000.0 "Temperature."
    "temp" "max" "temp_max_celsius" 1000.0 "Temperature that is high."
    "temp" "crit" "temp_crit_celsius" 1000.0 "Temperature that is critical."
    "temp" "crit_alarm" "temp_crit_alarm_celsius" 1000.0 "Alarm of a critical temperature."
    "fan" "input" "fan_rpm" 1.0 "Turns a minute."
    "fan" "min" "fan_min_rpm" 1.0 "Turns a minute that are low."
    "in" "input" "in_volts" 1000.0 "Voltage."
    "curr" "input" "curr_amps" 1000.0 "Current."
    "power" "input" "power_watt" 1e6 "Power."
    "power" "average" "power_average_watt" 1e6 "Mean power."
}

const CHIP: Metric = metric(
    "node_hwmon_chip_names",
    "The driver's name of a chip; always 1.",
    &["chip", "chip_name"],
);
const LABEL: Metric = metric(
    "node_hwmon_sensor_label",
    "What a sensor measures; always 1.",
    &["chip", "sensor", "label"],
);
const ZONE: Metric = metric(
    "node_thermal_zone_temp",
    "Temperature in celsius.",
    &["zone", "type"],
);
const FREQUENCY: [(&str, Metric); 3] = [
    (
        "scaling_cur_freq",
        metric(
            "node_cpu_scaling_frequency_hertz",
            "Frequency now.",
            &["cpu"],
        ),
    ),
    (
        "scaling_max_freq",
        metric(
            "node_cpu_scaling_frequency_max_hertz",
            "Highest frequency.",
            &["cpu"],
        ),
    ),
    (
        "scaling_min_freq",
        metric(
            "node_cpu_scaling_frequency_min_hertz",
            "Lowest frequency.",
            &["cpu"],
        ),
    ),
];

/// Entries of a directory beyond this many are left out.
const ENTRIES_MAX: usize = 1024;

pub(super) fn read(sys: &Path, out: &mut Emitter) {
    for entry in entries(&sys.join("class/hwmon")) {
        chip(&sys.join("class/hwmon").join(entry), out);
    }
    for entry in entries(&sys.join("class/thermal")) {
        let Some(zone) = entry.strip_prefix("thermal_zone") else {
            continue;
        };
        let dir = sys.join("class/thermal").join(&entry);
        let value = |file: &str| read_word(&dir.join(file));
        if let Some(t) = value("temp").and_then(|t| float(t.as_bytes())) {
            let kind = value("type").unwrap_or_default();
            out.gauge(&ZONE, &[zone.as_bytes(), kind.as_bytes()], t / 1000.0);
        }
    }
    frequencies(sys, out);
}

fn chip(dir: &Path, out: &mut Emitter) {
    let Some(chip) = chip_id(dir) else { return };
    let chip = chip.as_bytes();
    if let Some(name) = read_word(&dir.join("name")) {
        out.gauge(&CHIP, &[chip, clean(&name).as_bytes()], 1.0);
    }
    for file in entries(dir) {
        let Some((sensor, suffix)) = file.split_once('_') else {
            continue;
        };
        let kind = sensor.trim_end_matches(|c: char| c.is_ascii_digit());
        if suffix == "label" {
            if let Some(label) = read_word(&dir.join(&file)) {
                out.gauge(&LABEL, &[chip, sensor.as_bytes(), label.as_bytes()], 1.0);
            }
            continue;
        }
        let known = SENSORS.iter().find(|(k, s, ..)| *k == kind && *s == suffix);
        if let Some((.., metric, divisor)) = known
            && let Some(value) = read_word(&dir.join(&file)).and_then(|w| float(w.as_bytes()))
        {
            out.gauge(metric, &[chip, sensor.as_bytes()], value / divisor);
        }
    }
}

/// node_exporter's name of a chip: where its device sits, else the driver's name.
fn chip_id(dir: &Path) -> Option<String> {
    if let Ok(device) = dir.join("device").canonicalize() {
        let last = |p: &Path| p.file_name().map(|n| clean(&n.to_string_lossy()));
        let name = last(&device)?;
        return Some(match device.parent().and_then(last) {
            Some(parent) if !parent.is_empty() => format!("{parent}_{name}"),
            _ => name,
        });
    }
    let name = read_word(&dir.join("name"));
    Some(clean(&name.or_else(|| {
        Some(dir.file_name()?.to_string_lossy().into_owned())
    })?))
}

/// Lower case, `_` for what is neither letter, digit nor `:`, none at the ends.
fn clean(name: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == ':' {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let name: String = name.trim().chars().map(safe).collect();
    name.trim_matches('_').to_owned()
}

fn frequencies(sys: &Path, out: &mut Emitter) {
    let cpus = sys.join("devices/system/cpu");
    for entry in entries(&cpus) {
        let Some(cpu) = entry
            .strip_prefix("cpu")
            .filter(|n| n.parse::<u32>().is_ok())
        else {
            continue;
        };
        for (file, metric) in &FREQUENCY {
            let path = cpus.join(&entry).join("cpufreq").join(file);
            // Without frequency scaling there is not even the directory.
            let Some(khz) = read_word(&path).and_then(|w| float(w.as_bytes())) else {
                break;
            };
            out.gauge(metric, &[cpu.as_bytes()], khz * 1000.0);
        }
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let read = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = read.map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.take(ENTRIES_MAX).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::emitter::tests::Fake;
    use super::*;

    #[test]
    fn chips_zones_and_frequencies() {
        let dir = tempfile::tempdir().unwrap();
        let sys = dir.path();
        let write = |path: &str, text: &str| {
            let path = sys.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let hwmon = "devices/platform/coretemp.0/hwmon/hwmon0";
        write(&format!("{hwmon}/name"), "coretemp\n");
        write(&format!("{hwmon}/temp1_input"), "41000\n");
        write(&format!("{hwmon}/temp1_label"), "Package id 0\n");
        write(&format!("{hwmon}/temp1_crit"), "bad\n");
        write(&format!("{hwmon}/uevent"), "");
        fs::create_dir_all(sys.join("class/hwmon")).unwrap();
        symlink(sys.join(hwmon), sys.join("class/hwmon/hwmon0")).unwrap();
        symlink(
            sys.join("devices/platform/coretemp.0"),
            sys.join(hwmon).join("device"),
        )
        .unwrap();
        write("class/hwmon/hwmon1/name", "nvme\n");
        write("class/hwmon/hwmon1/fan2_input", "1200");
        write("class/thermal/thermal_zone0/temp", "38500");
        write("class/thermal/thermal_zone0/type", "acpitz");
        write(
            "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
            "2400000",
        );
        write("devices/system/cpu/cpufreq/x", "");
        let mut fake = Fake::new();
        read(sys, &mut fake.out);
        let expected = "\
            node_hwmon_chip_names{chip=\"platform_coretemp_0\",chip_name=\"coretemp\"} 1\n\
            node_hwmon_temp_celsius{chip=\"platform_coretemp_0\",sensor=\"temp1\"} 41\n\
            node_hwmon_sensor_label{chip=\"platform_coretemp_0\",label=\"Package id 0\",sensor=\"temp1\"} 1\n\
            node_hwmon_chip_names{chip=\"nvme\",chip_name=\"nvme\"} 1\n\
            node_hwmon_fan_rpm{chip=\"nvme\",sensor=\"fan2\"} 1200\n\
            node_thermal_zone_temp{type=\"acpitz\",zone=\"0\"} 38.5\n\
            node_cpu_scaling_frequency_hertz{cpu=\"0\"} 2400000000\n";
        assert_eq!(fake.text(), expected);
    }
}
