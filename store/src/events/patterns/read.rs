//! The readers' side: counts of a range, from the tables and from open blocks.

use std::ops::Range;

use foldhash::{HashMap, HashMapExt};
use rusqlite::Connection;
use vigie_parsers::Timestamp;
use vigie_query::log::{Counted, Filter};
use vigie_query::{PatternCount, PatternCounts, ScanStats};

use super::super::rebuild::StreamName;
use super::super::table::severity_of;
use super::super::view::Snapshot;
use super::cells::Cells;
use super::derive::{self, Derived};
use super::write::{look_up, nothing_known};
use super::{DAY_MS, FROM, HOUR_MS, HOURS_FROM, MINUTE_MS, MINUTES_FROM, OTHERS, Pattern, meta};
use crate::Result;

/// How the others are called where a filter asks for the pattern.
const OTHERS_TEXT: &[u8] = b"(other)";

/// The counts of a range, or of the part of it that is counted; `None` if nothing is.
pub(in super::super) fn read(
    conn: &Connection,
    snapshot: &Snapshot<'_>,
    range: &Range<Timestamp>,
    filter: &Filter,
) -> Result<Option<PatternCounts>> {
    let exists: bool = conn
        .prepare_cached("SELECT count(*) FROM sqlite_master WHERE name = 'ev_pattern_count'")?
        .query_row([], |r| Ok(r.get::<_, i64>(0)? > 0))?;
    let Some(from) = meta(conn, FROM)?.filter(|_| exists) else {
        return Ok(None);
    };
    let hours_from = meta(conn, HOURS_FROM)?.unwrap_or(i64::MIN).max(from);
    let minutes_from = meta(conn, MINUTES_FROM)?.unwrap_or(i64::MIN).max(from);
    let covered = cover(&(range.start.0..range.end.0), hours_from, minutes_from);
    if covered.is_empty() {
        return Ok(None);
    }
    let mut sums = Sums {
        covered: &covered,
        filter,
        by_text: HashMap::new(),
        others: None,
        damaged: false,
    };
    for (unit, part) in divide(&covered) {
        add_rows(conn, snapshot, unit, &part, &mut sums)?;
    }
    for open in &snapshot.open {
        let derived = derive::of(open).unwrap_or_default();
        sums.add_open(&open.place, &derived);
    }
    Ok(Some(PatternCounts {
        patterns: sums.by_text.into_values().collect(),
        others: sums.others,
        covered: Timestamp(covered.start)..Timestamp(covered.end),
        stats: ScanStats {
            incomplete: match sums.damaged {
                true => Some("counts of patterns are damaged".to_owned()),
                false => snapshot.damaged.clone(),
            },
            ..ScanStats::default()
        },
    }))
}

fn ceil(time: i64, unit: i64) -> i64 {
    time.saturating_add((unit - time.rem_euclid(unit)).rem_euclid(unit))
}

fn floor(time: i64, unit: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(unit))
}

/// The part of a range that whole minutes and hours cover.
fn cover(range: &Range<i64>, hours_from: i64, minutes_from: i64) -> Range<i64> {
    let start = range.start.max(hours_from);
    let start = match start {
        i64::MIN => i64::MIN,
        time if ceil(time, MINUTE_MS) >= minutes_from => ceil(time, MINUTE_MS),
        time => ceil(time, HOUR_MS),
    };
    let end = match range.end {
        i64::MAX => i64::MAX,
        time if floor(time, MINUTE_MS) >= minutes_from => floor(time, MINUTE_MS),
        time => floor(time, HOUR_MS),
    };
    start..end
}

/// A covered range as whole hours, with minutes before and behind.
fn divide(covered: &Range<i64>) -> Vec<(i64, Range<i64>)> {
    let first = match covered.start {
        i64::MIN => i64::MIN,
        time => ceil(time, HOUR_MS),
    };
    let last = match covered.end {
        i64::MAX => i64::MAX,
        time => floor(time, HOUR_MS),
    };
    let mut parts = match first <= last {
        true => vec![
            (MINUTE_MS, covered.start..first),
            (HOUR_MS, first..last),
            (MINUTE_MS, last..covered.end),
        ],
        false => vec![(MINUTE_MS, covered.clone())],
    };
    parts.retain(|(_, part)| !part.is_empty());
    parts
}

/// One id and severity of a stream over a range.
#[derive(Clone, Copy)]
struct Sum {
    /// Where the first and the last cell begin.
    first: i64,
    last: i64,
    count: u64,
}

impl Sum {
    fn add(&mut self, at: i64, count: u64) {
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        self.count = self.count.saturating_add(count);
    }
}

const NOTHING: Sum = Sum {
    first: i64::MAX,
    last: i64::MIN,
    count: 0,
};

fn add_rows(
    conn: &Connection,
    snapshot: &Snapshot<'_>,
    unit: i64,
    part: &Range<i64>,
    sums: &mut Sums<'_>,
) -> Result<()> {
    let row_ms = match unit {
        MINUTE_MS => HOUR_MS,
        _ => DAY_MS,
    };
    let mut by_id: HashMap<(i64, i64, u32), Sum> = HashMap::new();
    let mut stmt = conn.prepare_cached(
        "SELECT start, stream, data FROM ev_pattern_count WHERE unit = ?1 AND start BETWEEN ?2 AND ?3",
    )?;
    let first = part.start.div_euclid(row_ms);
    let last = part.end.saturating_sub(1).div_euclid(row_ms);
    let mut rows = stmt.query([unit, first, last])?;
    while let Some(row) = rows.next()? {
        let (start, stream): (i64, i64) = (row.get(0)?, row.get(1)?);
        let data = row.get_ref(2)?.as_blob().unwrap_or_default();
        let Some(cells) = Cells::unpack(data) else {
            sums.damaged = true;
            continue;
        };
        for ((id, severity), cells) in cells.0 {
            let sum = by_id.entry((stream, id, severity)).or_insert(NOTHING);
            for (cell, count) in cells {
                let at = start
                    .saturating_mul(row_ms)
                    .saturating_add(i64::from(cell) * unit);
                if part.contains(&at) {
                    sum.add(at, count);
                }
            }
        }
    }
    drop(rows);
    let mut known = nothing_known();
    for ((stream, id, severity), sum) in by_id.into_iter().filter(|(_, s)| s.count > 0) {
        let Some(place) = snapshot.names.get(&stream) else {
            continue;
        };
        let pattern = match id {
            OTHERS => None,
            _ => look_up(conn, &mut known, id)?,
        };
        // The pattern knows its own first and last times exactly.
        let exact = |cell: i64, own: i64| match (cell..cell.saturating_add(unit)).contains(&own) {
            true => own,
            false => cell,
        };
        let sum = match pattern {
            Some(pattern) => Sum {
                first: exact(sum.first, pattern.first),
                last: exact(sum.last, pattern.last),
                ..sum
            },
            None => sum,
        };
        sums.add(place, severity, pattern, sum);
    }
    Ok(())
}

/// What has been added up.
struct Sums<'a> {
    covered: &'a Range<i64>,
    filter: &'a Filter,
    by_text: HashMap<Vec<u8>, PatternCount>,
    others: Option<(Timestamp, Timestamp, u64)>,
    damaged: bool,
}

impl Sums<'_> {
    fn add(&mut self, place: &StreamName, severity: u32, pattern: Option<&Pattern>, sum: Sum) {
        let counted = Counted {
            source: &place.source,
            format: &place.format,
            app: pattern.and_then(|p| p.app.as_deref()),
            level: severity_of(severity),
            pattern: pattern.map_or(OTHERS_TEXT, |p| &p.text),
        };
        if !self.filter.holds(&counted) {
            return;
        }
        let (first, last) = (Timestamp(sum.first), Timestamp(sum.last));
        let Some(pattern) = pattern else {
            let (f, l, n) = self.others.get_or_insert((first, last, 0));
            (*f, *l, *n) = ((*f).min(first), (*l).max(last), *n + sum.count);
            return;
        };
        if let Some(known) = self.by_text.get_mut(&pattern.text) {
            known.count += sum.count;
            known.first = known.first.min(first);
            if last > known.last {
                known.last = last;
                known.sample.clone_from(&pattern.sample);
            }
            return;
        }
        let count = PatternCount {
            pattern: pattern.text.clone(),
            sample: pattern.sample.clone(),
            first,
            last,
            count: sum.count,
        };
        self.by_text.insert(pattern.text.clone(), count);
    }

    /// Adds the counts of an open block.
    fn add_open(&mut self, place: &StreamName, derived: &Derived) {
        let mut sums: HashMap<(u32, u32), Sum> = HashMap::new();
        for cell in &derived.cells {
            let at = cell.minute.saturating_mul(MINUTE_MS);
            if self.covered.contains(&at) {
                let sum = sums.entry((cell.pattern, cell.severity)).or_insert(NOTHING);
                sum.add(at, cell.count);
            }
        }
        for ((pattern, severity), mut sum) in sums {
            let pattern = derived.patterns.get(pattern as usize);
            if let Some(pattern) = pattern {
                let within =
                    |cell: i64, own: i64| own.clamp(cell, cell.saturating_add(MINUTE_MS - 1));
                sum.first = within(sum.first, pattern.first);
                sum.last = within(sum.last, pattern.last);
            }
            self.add(place, severity, pattern, sum);
        }
    }
}
