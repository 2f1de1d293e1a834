//! `vigie graph`: pictures with the right figures, to files and standard output, and clear errors.

use std::fmt::Write as _;
use std::path::Path;

use crate::daemon::cli;

/// The end of the last slot of the curve.
const END: i64 = 1_000_000_200;
/// Its slots, of five minutes.
const SLOTS: i64 = 20;

/// A store in which `mrtg_in` goes from 1 to 20.
fn store(dir: &Path) {
    let mut log = format!("{END} 1 2\n");
    // The oldest row only says where the next begins.
    for i in 0..=SLOTS {
        let (time, value) = (END - 300 * i, SLOTS - i);
        writeln!(log, "{time} {value} 7 {value} 7").unwrap();
    }
    let path = dir.join("r1.log");
    std::fs::write(&path, log).unwrap();
    let out = cli(dir, &["import", "mrtg", path.to_str().unwrap()]);
    assert!(out.status.success(), "{out:?}");
}

/// `vigie graph` over the curve; exit code, standard output, what it complains of.
fn graph(dir: &Path, args: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let (since, until) = ((END - 300 * SLOTS).to_string(), END.to_string());
    let span = ["graph", "--since", &since, "--until", &until, "--tz", "UTC"];
    let out = cli(dir, &[&span, args].concat());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code(), out.stdout, said)
}

/// Width and height in the head of a PNG.
fn size_of(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn pictures_are_written_with_the_figures_of_the_curve() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let query = ["mrtg_in", "--step", "5m", "--title", "Line <1>"];
    for name in ["a.svg", "a.png"] {
        let file = path(name);
        let out = ["--out", file.as_str(), "--size", "500x240"];
        let args = [query.as_slice(), &out].concat();
        let (code, out, said) = graph(dir.path(), &args);
        assert_eq!((code, out.len(), said.as_str()), (Some(0), 0, ""));
    }
    let svg = std::fs::read_to_string(path("a.svg")).unwrap();
    assert!(svg.contains("Line &lt;1&gt;") && svg.trim_end().ends_with("</svg>"));
    // Current, average, minimum, maximum, 95th percentile.
    for figure in ["20", "10.5", "1", "20", "19"] {
        assert!(svg.contains(&format!(">{figure}<")), "{figure} in {svg}");
    }
    assert_eq!(size_of(&std::fs::read(path("a.png")).unwrap()), (500, 240));

    let (code, json, said) = graph(dir.path(), &[&query[..], &["--format", "json"]].concat());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let statistics = &json["about"]["statistics"][0];
    for (name, want) in [
        ("current", 20.0),
        ("average", 10.5),
        ("minimum", 1.0),
        ("maximum", 20.0),
        ("p95", 19.0),
    ] {
        assert_eq!(statistics[name].as_f64(), Some(want), "{name}");
    }
    let known = json["data"].as_array().unwrap().iter();
    assert_eq!(known.filter(|row| row[0].is_number()).count(), 20);

    // The same pictures, to standard output.
    let (_, out, _) = graph(
        dir.path(),
        &[&query[..], &["--format", "svg", "--size", "500x240"]].concat(),
    );
    assert_eq!(String::from_utf8(out).unwrap(), svg);
    let (_, out, _) = graph(
        dir.path(),
        &[&query[..], &["--format", "png", "--size", "500x240"]].concat(),
    );
    assert_eq!(out, std::fs::read(path("a.png")).unwrap());
}

#[test]
fn a_picture_grows_with_its_legend() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let many: Vec<String> = (0..9).map(|i| format!("mrtg_in * {i}")).collect();
    let mut args: Vec<&str> = many.iter().map(String::as_str).collect();
    args.extend(["--format", "png", "--size", "300x120"]);
    let (code, png, said) = graph(dir.path(), &args);
    assert_eq!(code, Some(0), "{said}");
    let (width, height) = size_of(&png);
    assert!(width == 300 && height > 120 + 9 * 12, "{width} {height}");
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let out = dir.path().join("x.svg").to_str().unwrap().to_owned();
    let into = |file: &str| dir.path().join(file).to_str().unwrap().to_owned();
    for (args, code, want) in [
        (vec!["mrtg_in"], 2, "--out FILE is needed"),
        (
            vec!["mrtg_in", "--out", &into("x.gif")],
            2,
            "must end in .svg",
        ),
        (
            vec!["mrtg_in", "--out", &into("gone/x.svg")],
            2,
            "gone/x.svg",
        ),
        (vec!["rate(mrtg_in", "--out", &out], 2, "parse error"),
        (
            vec!["mrtg_in", "--out", &out, "--size", "9x9"],
            2,
            "200x120 to 4096x4096",
        ),
        (
            vec!["mrtg_in", "--out", &out, "--min", "5", "--max", "4"],
            2,
            "--min must lie",
        ),
        (
            vec!["mrtg_in", "--out", &out, "--trend=soon"],
            2,
            "--trend=soon",
        ),
        (vec!["no_such_name", "--out", &out], 1, "no series matches"),
    ] {
        let (found, stdout, said) = graph(dir.path(), &args);
        assert_eq!(found, Some(code), "{args:?}: {said}");
        assert!(said.contains(want), "{args:?}: {said}");
        assert!(stdout.is_empty());
    }
    assert!(
        dir.path().join("x.svg").exists(),
        "an empty picture is one, too"
    );
    let nowhere = tempfile::tempdir().unwrap();
    let (code, _, said) = graph(nowhere.path(), &["mrtg_in", "--out", &out]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no store here yet"), "{said}");
}
