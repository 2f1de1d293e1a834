//! Old figures through the command: MRTG's own writer, rrdtool, Graphite's library.

use std::path::Path;
use std::process::{Command, Stdio};

use vigie_testkit::program;

use crate::daemon::{Daemon, cli, eventually, text, vigie};

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
    let cfg = "WorkDir: logs\nInclude: conf.d/*.cfg\nInclude: gone.cfg\n";
    std::fs::write(dir.path().join("mrtg.cfg"), cfg).unwrap();
    let target = "Target[r1]: 1:public@r1\nMaxBytes[r1]: 1250000\nTitle[r1]: The line\n";
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("conf.d/r1.cfg"), target).unwrap();
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

    // The same as counters; a counter and its rates are two names.
    let args = ["rrd", "--counters", "--name", "line", path];
    let said = import(dir.path(), &args);
    assert!(said.contains("line_tx{instance=\"web1\""), "{said}");
    for (query, want) in [
        ("rate(line_tx[100s])", 7.0),
        ("increase(line_tx[100s])", 700.0),
        ("increase(line_tx[50s])", 350.0),
        ("resets(line_rx[400s])", 0.0),
    ] {
        let got = value(dir.path(), query, 1_000_000_300).unwrap();
        assert!((got - want).abs() < 1e-6, "{query}: {got}");
    }
    let args = ["import", "rrd", "--name", "line", path];
    let said = cli(dir.path(), &args);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("as a counter before"), "{said}");
}

/// MRTG's logs of so many targets, two years each.
fn logs(dir: &Path, targets: usize) -> String {
    let folder = dir.join("logs");
    std::fs::create_dir_all(&folder).unwrap();
    for target in 0..targets {
        let (mut log, mut time) = ("1000000200 1 2\n".to_owned(), 1_000_000_200);
        for (step, rows) in [(300, 600), (1800, 600), (7200, 600), (86400, 730)] {
            time = time / step * step;
            for row in 0..rows {
                let rate = (row * 37 + target * 11) % 1000;
                log += &format!("{time} {rate} {} {rate} 999\n", rate / 2);
                time -= step;
            }
        }
        std::fs::write(folder.join(format!("r{target}.log")), log).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

const QUIET: &str = "syslog = []\n[host]\nenabled = false\n[known_files]\nenabled = false\n";

/// The last line of an import, as numbers: series new, with more, as they were.
fn counts(said: &str) -> [u64; 3] {
    let last = said.lines().last().unwrap();
    let words: Vec<&str> = last.split([' ', ',']).collect();
    let before = |word: &str| {
        let at = words.iter().position(|w| *w == word).expect(last);
        words[..at].iter().rev().find_map(|w| w.parse().ok())
    };
    ["new", "with", "as"].map(|word| before(word).expect(last))
}

#[test]
fn an_import_goes_through_the_running_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = logs(dir.path(), 5);
    let daemon = Daemon::start(dir.path(), QUIET);
    let said = import(dir.path(), &["mrtg", &path]);
    assert_eq!(counts(&said), [10, 0, 0], "{said}");
    let value_of = |target: usize| {
        value(
            dir.path(),
            &format!("mrtg_in{{target=\"r{target}\"}}"),
            1_000_000_200,
        )
    };
    assert_eq!(value_of(3), Some(33.0));
    let again = import(dir.path(), &["mrtg", &path]);
    assert_eq!(counts(&again), [0, 0, 10], "{again}");
    // One that cannot be taken is named, the others of the batch come in.
    std::fs::write(dir.path().join("logs/bad.log"), "900 1 2\n600 x\n").unwrap();
    let more = logs(dir.path(), 6);
    let out = daemon.cli(&["import", "mrtg", &more]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("bad.log"), "{said}");
    assert_eq!(counts(&text(&out)), [2, 0, 10]);
    assert_eq!(value_of(5), Some(55.0));
    assert!(daemon.terminate().success());
}

#[test]
fn an_import_survives_the_end_of_either_side() {
    let dir = tempfile::tempdir().unwrap();
    let path = logs(dir.path(), 120);
    let start = || {
        let mut import = vigie();
        let data = dir.path().join("data");
        import
            .args(["import", "mrtg", "--data"])
            .arg(data)
            .arg(&path);
        import.stdout(Stdio::piped()).spawn().unwrap()
    };
    let taken = || {
        let out = cli(dir.path(), &["series", "list", "mrtg_*"]);
        text(&out).lines().count()
    };
    let daemon = Daemon::start(dir.path(), QUIET);
    // The importing process is killed.
    let mut importing = start();
    eventually("some of it is taken", || {
        let ended = importing.try_wait().unwrap().is_some();
        (ended || taken() > 0).then_some(())
    });
    let _ = importing.kill();
    importing.wait().unwrap();
    // The daemon is killed, and comes again: the import waits for it, or has the store meanwhile.
    let importing = start();
    eventually("it has begun", || (taken() > 0).then_some(()));
    daemon.kill();
    let daemon = eventually("the daemon is back", || {
        Daemon::try_start(dir.path(), QUIET, "run").ok()
    });
    let out = importing.wait_with_output().unwrap();
    assert!(out.status.success(), "{out:?}");
    let said = text(&out);
    let [new, more, same] = counts(&said);
    assert_eq!((new + more + same, taken()), (240, 240), "{said}");
    let again = import(dir.path(), &["mrtg", &path]);
    assert_eq!(counts(&again), [0, 0, 240], "{again}");
    assert!(daemon.terminate().success());
    let verified = cli(dir.path(), &["verify"]);
    assert!(verified.status.success(), "{}", text(&verified));
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
