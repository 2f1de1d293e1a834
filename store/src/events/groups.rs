//! Counts by fields and steps of time, on columns where these decide, else line by line.

use foldhash::HashMap;
use rusqlite::Connection;
use vigie_parsers::{Event, Timestamp};
use vigie_query::log::Groups;
use vigie_query::{GroupBy, Grouped, Scan, SourceError};

use super::Fault;
use super::fields::{self, FieldValues, UNKNOWN};
use super::rebuild::Block;
use super::scan::{Active, Run};
use super::select::Selection;
use super::view::Snapshot;

/// Counts the events of a snapshot.
pub(super) fn run(
    conn: &Connection,
    snapshot: &Snapshot<'_>,
    scan: &Scan<'_>,
    by: &GroupBy<'_>,
) -> Result<Grouped, SourceError> {
    let mut groups = Groups::new(by.fields, by.step, by.max_groups);
    let mut run = Run::new(conn, snapshot, scan)?;
    for closed in run.blocks(snapshot).map_err(crate::Error::from)? {
        if run.must_stop() {
            break;
        }
        let Some((reader, selection)) = run.select(&closed)? else {
            continue;
        };
        let counted = if selection.sure {
            count(reader.block(), &selection, scan, by, &mut groups)
        } else {
            Ok(None)
        };
        let counted = match counted {
            Ok(counted) => counted,
            Err(fault) => {
                run.skip(fault, "a block")?;
                continue;
            }
        };
        match counted {
            Some(n) => {
                run.stats.events_matched += n;
                run.read(&reader);
            }
            None => line_by_line(&mut run, Active::new(reader, &selection, scan), &mut groups)?,
        }
    }
    Ok(groups.finish(run.stats))
}

fn line_by_line(
    run: &mut Run<'_, '_>,
    mut active: Active<'_>,
    groups: &mut Groups<'_>,
) -> Result<(), SourceError> {
    loop {
        run.fill(&mut active)?;
        let mut any = false;
        while let Some(event) = active.ready.pop_front() {
            any = true;
            run.stats.events_matched += 1;
            groups.add::<Event>(&event, event.time);
            run.pool.push(event);
        }
        if !any {
            return Ok(());
        }
    }
}

/// Counts selected rows on columns; `None` if a field is not to be had there.
fn count(
    block: &dyn Block,
    selection: &Selection,
    scan: &Scan<'_>,
    by: &GroupBy<'_>,
    groups: &mut Groups<'_>,
) -> Result<Option<u64>, Fault> {
    let mut columns: Vec<FieldValues> = Vec::with_capacity(by.fields.len());
    for name in by.fields {
        match fields::read(block, name)? {
            Some(values) if !values.unknown => columns.push(values),
            _ => return Ok(None),
        }
    }
    let times = &block.rows().times;
    let range = scan.from.0..scan.until.0;
    let wanted = |&row: &usize| range.contains(&times[row]) && selection.has(row);
    let rows = (0..times.len()).filter(wanted);
    let (Some(first), []) = (columns.first(), columns.get(1..).unwrap_or_default()) else {
        return Ok(Some(count_keys(&columns, rows, times, by, groups)));
    };
    if by.step.is_some() {
        return Ok(Some(count_keys(&columns, rows, times, by, groups)));
    }
    let mut counts = vec![0u64; first.len()];
    let mut total = 0;
    for row in rows {
        counts[first.codes[row] as usize] += 1;
        total += 1;
    }
    for (code, n) in (0u32..).zip(counts).filter(|(_, n)| *n > 0) {
        groups.add_many([first.value(code)], None, n);
    }
    Ok(Some(total))
}

/// Counts by any number of columns and steps.
fn count_keys(
    columns: &[FieldValues],
    rows: impl Iterator<Item = usize>,
    times: &[i64],
    by: &GroupBy<'_>,
    groups: &mut Groups<'_>,
) -> u64 {
    let mut counts: HashMap<(Vec<u32>, Option<Timestamp>), u64> = HashMap::default();
    let mut key = (Vec::with_capacity(columns.len()), None);
    let mut run = 0;
    let mut total = 0;
    let mut step_start = None;
    let mut current: Vec<u32> = Vec::with_capacity(columns.len());
    for row in rows {
        total += 1;
        let step = by.step.map(|s| match step_start {
            // Neighbours share their step mostly, and a comparison is cheaper than a division.
            Some(Timestamp(start)) if (start..start.saturating_add(s.ms)).contains(&times[row]) => {
                Timestamp(start)
            }
            _ => s.start(Timestamp(times[row])),
        });
        step_start = step;
        current.clear();
        current.extend(
            columns
                .iter()
                .map(|c| c.codes.get(row).copied().unwrap_or(UNKNOWN)),
        );
        if key.1 == step && key.0 == current {
            run += 1;
            continue;
        }
        if run > 0 {
            *counts.entry(key.clone()).or_default() += run;
        }
        key.0.clone_from(&current);
        key.1 = step;
        run = 1;
    }
    if run > 0 {
        *counts.entry(key).or_default() += run;
    }
    for ((codes, step), n) in counts {
        let values = columns.iter().zip(&codes).map(|(c, &code)| c.value(code));
        groups.add_many(values, step, n);
    }
    total
}
