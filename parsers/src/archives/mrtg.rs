//! MRTG's log: two curves at four resolutions in a text file.
//!
//! ```text
//! 1000000830 4294967290 2630             last reading: time, in, out (-1: none)
//! 1000000830 13015040 1 13015040 1       time, average in, out, maximum in, out; newest first
//! ```
//! A row holds for the time from the row below it up to its own. The rows are 5 minutes, 30 minutes,
//! 2 hours and a day long, but the newest ones end where they were polled and an outage is one long
//! row: so rows are integrated over time, never counted. MRTG knows no unknown; it repeats the last
//! value. Only the zeros with which a new file is filled back over two years are told apart.

use super::{Archive, Damage, File, Series};

/// The resolutions of a log, in seconds.
const STEPS_S: [i64; 4] = [300, 1_800, 7_200, 86_400];
/// Slots of an archive for each row of the file at most: an outage of a month at five minutes is one
/// row and 8,640 slots, beside 600 rows at least.
const SLOTS_PER_ROW: usize = 16;
/// Times beyond the year 9999 are no times.
const TIME_S_MAX: i64 = 253_402_300_799;

/// A row: from, until, and averages and maxima of in and out in that time.
#[derive(Clone, Copy, Debug)]
struct Row {
    from_s: i64,
    until_s: i64,
    average: [f64; 2],
    max: [f64; 2],
}

/// Reads a log. Its series are called `in` and `out`; the numbers are what MRTG drew, bytes a second
/// mostly.
///
/// # Errors
/// When a line is not of the form, or the times do not go back from line to line.
pub fn read(bytes: &[u8]) -> Result<File, Damage> {
    let mut lines = bytes.split(|&b| b == b'\n').enumerate();
    let head = lines.next().map_or(&[][..], |(_, line)| line);
    let head = fields(head).filter(|f| f.len() == 3).ok_or_else(|| {
        Damage::line(
            1,
            "no MRTG log: it begins with three numbers, time, in, out",
        )
    })?;
    let last_update_s = time(&head, 1)?;
    let rows = rows(lines, last_update_s)?;
    let mut file = File {
        last_update_s,
        ..File::default()
    };
    let first_known = rows
        .iter()
        .position(|r| r.average.iter().chain(&r.max).any(|&v| v != 0.0));
    let Some(first_known) = first_known else {
        file.left_out.push("nothing but zeros".to_owned());
        return Ok(file);
    };
    let known = rows.get(first_known..).unwrap_or_default();
    if let (true, Some(first)) = (first_known > 0, known.first()) {
        file.left_out.push(format!(
            "{first_known} rows of zeros before the first reading ({})",
            first.from_s
        ));
    }
    for (at, name) in ["in", "out"].into_iter().enumerate() {
        let archives = STEPS_S
            .iter()
            .filter_map(|&step_s| archive(known, step_s, at));
        file.series.push(Series {
            name: name.to_owned(),
            kind: String::new(),
            archives: archives.collect(),
        });
    }
    Ok(file)
}

/// The numbers of a line; `None` when one is none.
fn fields(line: &[u8]) -> Option<Vec<f64>> {
    let text = std::str::from_utf8(line).ok()?;
    let number = |word: &str| word.parse::<f64>().ok().filter(|v| v.is_finite());
    text.split_ascii_whitespace().map(number).collect()
}

fn time(fields: &[f64], line: usize) -> Result<i64, Damage> {
    let at = fields.first().copied().unwrap_or(-1.0);
    #[expect(clippy::cast_possible_truncation, reason = "bounded the line before")]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    if (0.0..=TIME_S_MAX as f64).contains(&at) {
        Ok(at as i64)
    } else {
        Err(Damage::line(line, format!("{at} is no time")))
    }
}

/// The rows, oldest first. The oldest one only says where the next begins.
fn rows<'a>(
    lines: impl Iterator<Item = (usize, &'a [u8])>,
    newest_s: i64,
) -> Result<Vec<Row>, Damage> {
    let mut rows: Vec<Row> = Vec::new();
    let mut above: Option<(i64, [f64; 2], [f64; 2])> = None;
    for (at, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let number = at + 1;
        let fields = fields(line)
            .ok_or_else(|| Damage::line(number, "a row has numbers only: time, in, out"))?;
        let (average, max) = match fields[..] {
            // Old versions kept no maxima.
            [_, i, o] => ([i, o], [i, o]),
            [_, i, o, mi, mo] => ([i, o], [mi.max(i), mo.max(o)]),
            _ => {
                let what = format!("a row has five numbers (old: three), not {}", fields.len());
                return Err(Damage::line(number, what));
            }
        };
        let until_s = time(&fields, number)?;
        let newer = above.map_or(newest_s, |(time, ..)| time);
        if until_s > newer {
            let what = format!("time {until_s} after {newer} in the line above");
            return Err(Damage::line(number, what));
        }
        if let Some((newer_s, average, max)) = above.filter(|&(newer_s, ..)| newer_s > until_s) {
            rows.push(Row {
                from_s: until_s,
                until_s: newer_s,
                average,
                max,
            });
        }
        above = Some((until_s, average, max));
    }
    rows.reverse();
    Ok(rows)
}

/// One curve at one resolution: as far back as the file has rows so short.
fn archive(rows: &[Row], step_s: i64, at: usize) -> Option<Archive> {
    let oldest = rows.iter().position(|r| r.until_s - r.from_s <= step_s)?;
    let rows = rows.get(oldest..)?;
    let (begin_s, end_s) = (rows.first()?.from_s, rows.last()?.until_s);
    let until = end_s.div_euclid(step_s);
    let most = i64::try_from((rows.len() + 1) * SLOTS_PER_ROW).unwrap_or(i64::MAX);
    let first = (begin_s + step_s - 1)
        .div_euclid(step_s)
        .max(until.saturating_sub(most));
    let mut archive = Archive {
        step_s,
        per_slot: u32::try_from(step_s / STEPS_S.first()?).ok()?,
        first,
        max: Some(Vec::new()),
        ..Archive::default()
    };
    let mut rest = rows;
    for slot in first..until {
        let (from_s, until_s) = (slot * step_s, (slot + 1) * step_s);
        while let Some((_, later)) = rest.split_first().filter(|(r, _)| r.until_s <= from_s) {
            rest = later;
        }
        let (average, max) = integrate(rest, from_s, until_s, at);
        archive.average.push(average);
        if let Some(maxima) = &mut archive.max {
            maxima.push(max);
        }
    }
    (!archive.average.is_empty()).then_some(archive)
}

/// The mean and the maximum over `(from_s, until_s]`, which the rows cover.
#[expect(clippy::cast_precision_loss, reason = "seconds of a day")]
fn integrate(rows: &[Row], from_s: i64, until_s: i64, at: usize) -> (f64, f64) {
    let of = |pair: &[f64; 2]| pair.get(at).copied().unwrap_or(f64::NAN);
    let (mut sum, mut max) = (0.0, f64::NEG_INFINITY);
    let within = rows.iter().take_while(|r| r.from_s < until_s);
    let parts = within.clone().count();
    for row in within {
        if parts == 1 {
            return (of(&row.average), of(&row.max));
        }
        let seconds = row.until_s.min(until_s) - row.from_s.max(from_s);
        sum += of(&row.average) * seconds as f64;
        max = f64::max(max, of(&row.max));
    }
    (sum / (until_s - from_s) as f64, max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `rateup` wrote: a wrap, a missing reading, an outage of two hours.
    const LOG: &[u8] = b"1000009000 7 9
1000009000 1 1 1 1
1000001700 1 1 1 1
1000001400 1 1 1 1
1000001100 1301504 1 13015040 1
1000000800 13015040 1 13015040 1
1000000500 10 1 10 1
1000000200 0 0 0 0
999999900 0 0 0 0
999999000 0 0 0 0
";

    fn at(series: &Series, step_s: i64, end_s: i64) -> Option<(f64, f64)> {
        let archive = series.archives.iter().find(|a| a.step_s == step_s)?;
        let slot = usize::try_from(end_s / step_s - 1 - archive.first).ok()?;
        let average = *archive.average.get(slot)?;
        Some((average, archive.max.as_ref().map_or(average, |m| m[slot])))
    }

    #[test]
    fn rows_are_integrated_over_time() {
        let file = read(LOG).unwrap();
        assert_eq!(file.last_update_s, 1_000_009_000);
        let input = &file.series[0];
        assert_eq!((input.name.as_str(), input.archives.len()), ("in", 3));
        assert_eq!(
            at(input, 300, 1_000_000_200),
            None,
            "zeros before the first reading"
        );
        assert_eq!(at(input, 300, 1_000_000_500), Some((10.0, 10.0)));
        assert_eq!(
            at(input, 300, 1_000_001_100),
            Some((1_301_504.0, 13_015_040.0))
        );
        assert_eq!(
            at(input, 300, 1_000_006_200),
            Some((1.0, 1.0)),
            "the outage is one row"
        );
        assert_eq!(at(input, 300, 1_000_009_200), None, "not over yet");
        // 1000000800 to 1000002600: 300 s at 1301504, the rest at 1.
        assert_eq!(
            at(input, 1800, 1_000_002_600),
            Some(((1_301_504.0 + 5.0) / 6.0, 13_015_040.0))
        );
        assert!(
            file.left_out[0].contains("zeros before the first reading (1000000200)"),
            "{:?}",
            file.left_out
        );
    }

    #[test]
    fn three_columns_are_an_old_log() {
        let file = read(b"900 1 2\n900 5 6\n600 7 8\n300 9 9\n").unwrap();
        assert_eq!(at(&file.series[1], 300, 600), Some((8.0, 8.0)));
        assert_eq!(at(&file.series[1], 300, 900), Some((6.0, 6.0)));
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let rows: [(&[u8], &str); 7] = [
            (b"", "line 1: no MRTG log"),
            (b"hello\n", "line 1: no MRTG log"),
            (b"1 2 3 4\n", "line 1: no MRTG log"),
            (b"-1 2 3\n", "line 1: -1 is no time"),
            (
                b"900 1 2\n900 1 2 3\n",
                "line 2: a row has five numbers (old: three), not 4",
            ),
            (
                b"900 1 2\n600 1 2 3 4\n900 1 2 3 4\n",
                "line 3: time 900 after 600 in the line above",
            ),
            (
                b"900 1 2\n600 1 nan 3 4\n",
                "line 2: a row has numbers only",
            ),
        ];
        for (log, want) in rows {
            let said = read(log).unwrap_err().to_string();
            assert!(said.starts_with(want), "{said}");
        }
    }

    #[test]
    fn a_few_rows_cannot_ask_for_much_memory() {
        let file =
            read(b"253402300799 1 1\n253402300799 1 1 1 1\n300 1 1 1 1\n1 1 1 1 1\n0 1 1 1 1\n")
                .unwrap();
        let slots = file.series[0].archives.iter().map(|a| a.average.len());
        assert!(slots.max().unwrap() <= 4 * SLOTS_PER_ROW);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_numbers_are_read_or_refused(rows in prop::collection::vec((any::<u32>(), any::<i32>(), any::<u64>()), 0..30)) {
            let mut rows = rows;
            rows.sort_by_key(|r| std::cmp::Reverse(r.0));
            let mut log = format!("{} 1 2\n", rows.first().map_or(0, |r| r.0));
            for (time, a, b) in rows {
                log.push_str(&format!("{time} {a} {b} {b} {a}\n"));
            }
            let file = read(log.as_bytes()).unwrap();
            let slots: usize = file.series.iter().flat_map(|s| &s.archives).map(|a| a.average.len()).sum();
            prop_assert!(slots <= log.len() * 8 * SLOTS_PER_ROW);
        }
    }
}
