//! The names that rotation gives: `app.log.1`, `app.log.2.gz`, `app.log-20261101.zst`, `app.1.log` and
//! `app-20261101.log` are pieces of one log, `app.log`.
//!
//! A number or a date at the end says so by itself. One before the ending does not: `Xorg.0.log` and
//! `catalina.2026-11-01.log` are logs of their own, unless there is a log without it.

use std::path::{Path, PathBuf};

/// The endings of packed files.
const PACKED: [&str; 5] = [".gz", ".zst", ".xz", ".bz2", ".lz4"];
/// More than any date as a number: later ones were turned away later.
const AFTER_ALL: i64 = 100_000_000_000_000;

/// The log that a file is a piece of, and how often it was turned away since: 0 is written to, the youngest
/// piece may have 1 (where numbers begin at 0) or more. Of dates the later ones have the lower figures.
#[must_use]
pub fn base(path: &Path) -> (PathBuf, i64) {
    let name = unpacked(path);
    match turned(&name) {
        Some((stem, turn)) => (path.with_file_name(stem), turn),
        None => (path.with_file_name(&name), 0),
    }
}

/// As [`base`], for names with their number or date before the ending, `app.1.log.gz`, `app-20261101.log`. Whether
/// it is so, only the log itself can tell.
#[must_use]
pub fn base_within(path: &Path) -> Option<(PathBuf, i64)> {
    let name = unpacked(path);
    let (stem, ending) = name.rsplit_once('.')?;
    let is_ending =
        (1..=8).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_alphabetic());
    let (stem, turn) = turned(stem).filter(|_| is_ending)?;
    Some((path.with_file_name(format!("{stem}.{ending}")), turn))
}

/// How often a file was turned away from a log, by its name, whatever folder it lies in; `None` if it is no
/// piece of it.
#[must_use]
pub fn turn(log: &Path, piece: &Path) -> Option<i64> {
    if log.file_name() == piece.file_name() {
        return Some(0);
    }
    let is_its = |base: &PathBuf| base.file_name() == log.file_name();
    let sure = Some(base(piece)).filter(|(base, _)| is_its(base));
    let found = sure.or_else(|| base_within(piece).filter(|(base, _)| is_its(base)));
    found.map(|(_, turn)| turn)
}

/// Whether a name says that the file is packed.
#[must_use]
pub fn is_packed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    PACKED.iter().any(|p| name.ends_with(p.as_bytes()))
}

/// The name of a file without what packing added to it.
fn unpacked(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    let mut name = name.to_string_lossy().into_owned();
    for ending in PACKED {
        if let Some(rest) = name.strip_suffix(ending).filter(|rest| !rest.is_empty()) {
            name = rest.to_owned();
        }
    }
    name
}

/// A name with a number or a date at its end: without it, and how often it was turned away.
fn turned(name: &str) -> Option<(&str, i64)> {
    if let Some(stem) = name.strip_suffix(".old").filter(|s| !s.is_empty()) {
        return Some((stem, 2));
    }
    let dates = name.match_indices(['-', '.', '_']).filter_map(|(at, _)| {
        let (stem, date) = name.split_at_checked(at)?;
        Some((stem, AFTER_ALL - moment(date.get(1..)?)?))
    });
    // The first that fits is the longest.
    let dated = { dates }.find(|(stem, _)| !stem.is_empty());
    dated.or_else(|| {
        let (stem, number) = name.rsplit_once('.')?;
        let is_number =
            (1..=4).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        // Numbers may begin at 0.
        let turn = number.parse::<i64>().ok().filter(|_| is_number)? + 1;
        (!stem.is_empty()).then_some((stem, turn))
    })
}

/// What `strftime` makes of a time in a file's name, as the number YYYYMMDDhhmmss: `20261101`, `2026-11-01`,
/// `20261101-153000`, `2026-11-01_15`, `202611011530`, `20261101-1793545200`, `1793545200`.
fn moment(text: &str) -> Option<i64> {
    let groups: Vec<&str> = text.split(['-', '_', '.', ':', 'T']).collect();
    let digits = |g: &&str| !g.is_empty() && g.bytes().all(|b| b.is_ascii_digit());
    if !groups.iter().all(digits) {
        return None;
    }
    let (last, before) = groups.split_last()?;
    if last.len() == 10 && (before.is_empty() || civil(before).is_some()) {
        // Seconds since 1970, unless it is a date with its hour.
        return civil(&groups).or_else(|| epoch(last));
    }
    civil(&groups)
}

fn epoch(seconds: &str) -> Option<i64> {
    let seconds: i64 = seconds.parse().ok().filter(|s| *s >= 1_000_000_000)?;
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    time.strftime("%Y%m%d%H%M%S").to_string().parse().ok()
}

/// Year, month and so on, with or without something between them.
fn civil(groups: &[&str]) -> Option<i64> {
    let (first, rest) = groups.split_first()?;
    let shape = match (first.len(), rest) {
        (6 | 8 | 10 | 12 | 14, []) => true,
        (8, rest) => rest.iter().all(|g| matches!(g.len(), 2 | 4 | 6)),
        (4, [month, rest @ ..]) => {
            month.len() == 2 && rest.iter().all(|g| matches!(g.len(), 2 | 4 | 6))
        }
        _ => false,
    };
    let mut all = groups.concat();
    if !shape || !matches!(all.len(), 6 | 8 | 10 | 12 | 14) {
        return None;
    }
    let most = [
        ("19", "20"),
        ("01", "12"),
        ("01", "31"),
        ("00", "24"),
        ("00", "59"),
        ("00", "60"),
    ];
    let in_range = |at: usize, (low, high): (&str, &str)| {
        all.get(at..at + 2)
            .is_none_or(|part| (low..=high).contains(&part))
    };
    let starts = [0, 4, 6, 8, 10, 12];
    if !starts
        .into_iter()
        .zip(most)
        .all(|(at, range)| in_range(at, range))
    {
        return None;
    }
    while all.len() < 14 {
        all.push('0');
    }
    all.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(found: (PathBuf, i64)) -> (String, i64) {
        (found.0.to_str().unwrap().to_owned(), found.1)
    }

    #[test]
    fn pieces_of_a_log_are_known_by_their_names() {
        let check = |name: &str, expected: &str, turn: i64| {
            let found = named(base(Path::new(name)));
            assert_eq!(found, (expected.to_owned(), turn), "{name}");
        };
        check("/v/app.log", "/v/app.log", 0);
        check("/v/app.log.0", "/v/app.log", 1);
        check("/v/app.log.1", "/v/app.log", 2);
        check("/v/app.log.12.gz", "/v/app.log", 13);
        check("/v/app.log.gz", "/v/app.log", 0);
        check("/v/app.log.old", "/v/app.log", 2);
        check("/v/syslog", "/v/syslog", 0);
        for plain in [
            "u_ex26",
            "2026-11-01",
            "port8080",
            ".1",
            ".gz",
            "app.12345",
            "x-99999999",
        ] {
            check(&format!("/v/{plain}"), &format!("/v/{plain}"), 0);
        }
        for (name, date) in [
            ("app.log-20261101.zst", 20_261_101_000_000),
            ("app.log.2026-11-01", 20_261_101_000_000),
            ("app.log-2026110115.xz", 20_261_101_150_000),
            ("app.log-20261101153007", 20_261_101_153_007),
            ("app.log-20261101-153007.bz2", 20_261_101_153_007),
            ("app.log-20261101-15.lz4", 20_261_101_150_000),
            ("app.log_2026-11-01_15-30-07", 20_261_101_153_007),
            ("app.log.2026-11-01T15:30", 20_261_101_153_000),
            ("app.log-20261101-1793547007", 20_261_101_153_007),
            ("app.log-1793547007", 20_261_101_153_007),
            ("app.log-202611", 20_261_100_000_000),
        ] {
            check(&format!("/v/{name}"), "/v/app.log", AFTER_ALL - date);
        }
    }

    #[test]
    fn a_number_before_the_ending_needs_the_log_to_tell() {
        let check = |name: &str, expected: Option<(&str, i64)>| {
            let found = base_within(Path::new(name)).map(named);
            assert_eq!(found, expected.map(|(n, t)| (n.to_owned(), t)), "{name}");
        };
        check("/v/app.1.log", Some(("/v/app.log", 2)));
        check("/v/app.1.log.gz", Some(("/v/app.log", 2)));
        let date = AFTER_ALL - 20_261_121_000_000;
        check("/v/app-20261121.log.zst", Some(("/v/app.log", date)));
        check("/v/app.2026-11-21.log", Some(("/v/app.log", date)));
        for none in ["app.log", "web-2.log", "app.log.1", ".1.log", "app.1.7z"] {
            check(&format!("/v/{none}"), None);
        }
        let log = Path::new("/v/app.log");
        assert_eq!(turn(log, Path::new("/v/old/app.1.log")), Some(2));
        assert_eq!(turn(log, Path::new("/v/old/app.log.1")), Some(2));
        assert_eq!(turn(log, Path::new("/v/app.log")), Some(0));
        assert_eq!(turn(log, Path::new("/v/app-2.log")), None);
        let dated = Path::new("/v/app-20261121.log");
        assert_eq!(turn(dated, dated), Some(0));
        assert!(is_packed(Path::new("a.log.1.xz")) && !is_packed(Path::new("a.xz.log")));
    }
}
