//! Old figures through the command: MRTG's own writer, rrdtool, Graphite's library.

use std::path::Path;
use std::process::Command;

use vigie_testkit::program;

use crate::daemon::{Daemon, cli, text};

/// A value of a series at a time, as `vigie query` prints it.
fn value(dir: &Path, series: &str, at: i64) -> Option<f64> {
    let out = cli(
        dir,
        &["query", series, "--at", &at.to_string(), "--format", "csv"],
    );
    let line = text(&out).lines().nth(1)?.to_owned();
    line.rsplit(',').next()?.parse().ok()
}

/// What an import says.
fn import(dir: &Path, args: &[&str]) -> String {
    let out = cli(dir, &[&["import"], args].concat());
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    text(&out)
}

#[test]
fn what_rateup_wrote_is_read_as_it_drew_it() {
    let Some(rateup) = program("rateup") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    // A wrap at 32 bits, a missing reading, an outage of two hours.
    let readings = [
        (1_000_000_200, "1000", "2000"),
        (1_000_000_500, "4000", "2300"),
        (1_000_000_830, "4294967290", "2630"),
        (1_000_001_100, "260", "2900"),
        (1_000_001_400, "-1", "3200"),
        (1_000_001_700, "1000", "3500"),
        (1_000_009_000, "7", "9"),
    ];
    for (time, input, output) in readings {
        let time = time.to_string();
        let args = ["r1", &time, "u", input, output, "1000000000"];
        let status = Command::new(&rateup)
            .arg(&logs)
            .args(args)
            .current_dir(&logs)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
    }
    let cfg =
        "WorkDir: logs\nTarget[r1]: 1:public@r1\nMaxBytes[r1]: 1250000\nTitle[r1]: The line\n";
    std::fs::write(dir.path().join("mrtg.cfg"), cfg).unwrap();
    let path = dir.path().join("mrtg.cfg");
    let said = import(dir.path(), &["mrtg", path.to_str().unwrap()]);
    assert!(
        said.contains("mrtg_in{target=\"r1\",title=\"The line\"}: "),
        "{said}"
    );
    assert!(
        said.contains("zeros before the first reading (1000000200)"),
        "{said}"
    );
    let series = "mrtg_in{target=\"r1\"}";
    for (at, want) in [
        (1_000_000_500, 10.0),
        (1_000_000_800, 13_015_040.0),
        (1_000_001_100, 1_301_504.0),
        (1_000_006_200, 1.0),
    ] {
        assert_eq!(value(dir.path(), series, at), Some(want), "{at}");
    }
    assert_eq!(
        value(dir.path(), series, 1_000_000_200),
        None,
        "before the first reading"
    );
    let hour = "max_over_time(mrtg_in[1800s])";
    assert_eq!(
        value(dir.path(), hour, 1_000_002_600),
        Some(13_015_040.0),
        "the maximum outlives its row"
    );
    assert_eq!(
        value(dir.path(), "mrtg_max_in", 1_000_000_800),
        Some(1_250_000.0)
    );
    let again = import(dir.path(), &["mrtg", path.to_str().unwrap()]);
    assert!(
        again.contains("0 series new, 0 with more, 4 as they were"),
        "{again}"
    );
}

#[test]
fn folders_of_rrdtool_come_in_under_readable_names() {
    let Some(rrdtool) = program("rrdtool") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("collectd/rrd/web1/interface-eth0");
    std::fs::create_dir_all(&folder).unwrap();
    let run = |args: &[&str]| {
        let out = Command::new(&rrdtool)
            .args(args)
            .current_dir(&folder)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
    };
    run(&[
        "create",
        "if_octets.rrd",
        "-b",
        "1000000000",
        "-s",
        "10",
        "DS:rx:DERIVE:20:0:U",
        "DS:tx:DERIVE:20:0:U",
        "RRA:AVERAGE:0.1:1:100",
        "RRA:AVERAGE:0.1:7:100",
        "RRA:MAX:0.1:7:100",
        "RRA:HWPREDICT:100:0.1:0.01:10",
    ]);
    let updates: Vec<String> = (1..=50i64)
        .map(|n| format!("{}:{}:{}", 1_000_000_000 + 10 * n, n * n, 70 * n))
        .collect();
    let updates: Vec<&str> = ["update", "if_octets.rrd"]
        .into_iter()
        .chain(updates.iter().map(String::as_str))
        .collect();
    run(&updates);
    let root = dir.path().join("collectd");
    let path = root.to_str().unwrap();
    let tried = import(dir.path(), &["rrd", "--dry-run", path]);
    assert!(
        !dir.path().join("data").exists(),
        "a dry run needs no store"
    );
    let name =
        "collectd_interface_if_octets_rx_per_second{instance=\"web1\",plugin_instance=\"eth0\"}";
    assert!(tried.contains(name), "{tried}");
    let said = import(dir.path(), &["rrd", "--label", "site=paris", path]);
    assert!(
        said.contains("not taken: HWPREDICT of 10 s") && said.contains("2 series new"),
        "{said}"
    );
    let tx = "collectd_interface_if_octets_tx_per_second{site=\"paris\"}";
    assert_eq!(value(dir.path(), tx, 1_000_000_300), Some(7.0));
    // Of 1000000230 to 1000000300: (2n-1)/10 for n of 24 to 30.
    let rx = "max_over_time(collectd_interface_if_octets_rx_per_second[70s])";
    let want = 5.9 - 0.2 * f64::from(1_000_000_300 % 70 / 10);
    let got = value(dir.path(), rx, 1_000_000_300 / 70 * 70).unwrap();
    assert!((got - want).abs() < 1e-9, "{got} {want}");

    // While the daemon runs nobody else writes.
    let _daemon = Daemon::start(
        dir.path(),
        "[host]\nenabled = false\n[known_files]\nenabled = false\n",
    );
    let out = cli(dir.path(), &["import", "rrd", path]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(
        said.contains("is running") && said.contains("systemctl stop vigie"),
        "{said}"
    );
    assert_eq!(
        value(dir.path(), tx, 1_000_000_300),
        Some(7.0),
        "readable meanwhile"
    );
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(
        at("good.log"),
        "900 1 2\n900 5 6 5 6\n600 7 8 9 9\n300 9 9 9 9\n",
    )
    .unwrap();
    std::fs::write(at("bad.log"), "900 1 2\n600 x\n").unwrap();
    std::fs::write(at("evil.rrd"), "RRD\x00\x1b[31m").unwrap();
    let out = cli(
        dir.path(),
        &[
            "import",
            "mrtg",
            &at("bad.log"),
            &at("good.log"),
            &at("none.log"),
        ],
    );
    let (said, errors) = (
        text(&out),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    );
    assert_eq!(out.status.code(), Some(1), "{said}{errors}");
    assert!(
        errors.contains("bad.log: line 2: a row has numbers only"),
        "{errors}"
    );
    assert!(errors.contains("none.log: "), "{errors}");
    assert!(
        said.contains("2 series new") && said.contains("2 not read"),
        "{said}"
    );
    assert_eq!(value(dir.path(), "mrtg_in", 900), Some(5.0));
    let out = cli(dir.path(), &["import", "rrd", &at("evil.rrd")]);
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        errors.contains("evil.rrd: byte 4: ") && !errors.contains('\x1b'),
        "{errors}"
    );
    let out = cli(
        dir.path(),
        &[
            "import",
            "mrtg",
            "--name",
            "line",
            &at("good.log"),
            &at("./good.log"),
        ],
    );
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        errors.contains("is called already: give one of them another --label"),
        "{errors}"
    );
}
