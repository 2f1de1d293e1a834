//! The names that rotation gives: `app.log.1`, `app.log.2.gz` and `app.log-20261101.zst` are pieces of one
//! log, `app.log`.

use std::path::{Path, PathBuf};

/// The log that a file is a piece of, and how often it was turned away since: 0 is written to.
#[must_use]
pub fn base(path: &Path) -> (PathBuf, i64) {
    let mut name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for ending in [".gz", ".zst"] {
        if let Some(rest) = name.strip_suffix(ending) {
            name = rest.to_owned();
        }
    }
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (rest, number) = name.split_at(digits);
    let mut turn = 0;
    let stem = if let (Some(stem), 1..=4) = (rest.strip_suffix('.'), number.len()) {
        turn = number.parse().unwrap_or(0);
        Some(stem)
    } else if let (Some(stem), 8 | 10) = (rest.strip_suffix(['-', '.', '_']), number.len()) {
        // A date, as 20261101, perhaps with the hour: later ones were turned away later.
        turn = number.parse().map_or(0, |n: i64| 100_000_000_000 - n);
        Some(stem)
    } else {
        dashed(&name).map(|(stem, date)| {
            turn = 100_000_000_000 - date;
            stem
        })
    };
    match stem.filter(|stem| !stem.is_empty()) {
        Some(stem) => (path.with_file_name(stem), turn),
        None => (path.with_file_name(&name), 0),
    }
}

/// `app.log-2026-11-01` and `app.log.2026-11-01`.
fn dashed(name: &str) -> Option<(&str, i64)> {
    let (stem, date) = name.split_at_checked(name.len().checked_sub(10)?)?;
    let stem = stem.strip_suffix(['-', '.', '_'])?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = year.len() == 4 && month.len() == 2 && day.len() == 2 && parts.next().is_none();
    let number: i64 = format!("{year}{month}{day}").parse().ok()?;
    whole.then_some((stem, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_log_are_known_by_their_names() {
        let check = |name: &str, expected: &str, turn: i64| {
            let (base, found) = base(Path::new(name));
            assert_eq!((base.to_str().unwrap(), found), (expected, turn), "{name}");
        };
        check("/v/app.log", "/v/app.log", 0);
        check("/v/app.log.1", "/v/app.log", 1);
        check("/v/app.log.12.gz", "/v/app.log", 12);
        check("/v/app.log.gz", "/v/app.log", 0);
        check("/v/syslog", "/v/syslog", 0);
        check(
            "/v/app.log-20261101.zst",
            "/v/app.log",
            100_000_000_000 - 20_261_101,
        );
        check(
            "/v/app.log.2026-11-01",
            "/v/app.log",
            100_000_000_000 - 20_261_101,
        );
        check("/v/u_ex26", "/v/u_ex26", 0);
        check("/v/2026-11-01", "/v/2026-11-01", 0);
        check("/v/port8080", "/v/port8080", 0);
        check("/v/.1", "/v/.1", 0);
    }
}
