//! Counts by fields and steps of time, on columns where these decide, else line by line.

use foldhash::HashMap;
use rusqlite::Connection;
use vigie_parsers::{Event, Timestamp};
use vigie_query::log::Groups;
use vigie_query::{GroupBy, Grouped, Scan, SourceError, Step};

use super::Fault;
use super::active::Active;
use super::column::{Column, NUMBER, Strings, append_number};
use super::fields::{self, FieldValues, UNKNOWN};
use super::rebuild::Block;
use super::scan::Run;
use super::select::Selection;
use super::tally::Tally;
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
    let mut tally = Tally::new(super::new_key(), by.max_groups);
    for closed in run.blocks(snapshot).map_err(crate::Error::from)? {
        if run.must_stop() {
            break;
        }
        let Some((reader, selection)) = run.select(&closed)? else {
            continue;
        };
        let counted = if selection.sure {
            let scan = (!closed.covered).then_some(scan);
            count(
                reader.block(),
                &selection,
                scan,
                by,
                (&mut tally, &mut groups),
            )
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
            None => {
                if let Some(active) = run.activate(reader, &selection)? {
                    line_by_line(&mut run, active, &mut groups)?;
                }
            }
        }
    }
    Ok(tally.finish(groups, run.stats))
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

/// Counts selected rows on columns; `None` if a field is not to be had there. Without `scan` all rows
/// lie in its range.
fn count(
    block: &dyn Block,
    selection: &Selection,
    scan: Option<&Scan<'_>>,
    by: &GroupBy<'_>,
    to: (&mut Tally, &mut Groups<'_>),
) -> Result<Option<u64>, Fault> {
    if let ([name], None, None) = (by.fields, scan, by.step)
        && selection.is_all()
        && let Some(column) = fields::whole(block, name)?
    {
        return Ok(Some(count_whole(column, to)?));
    }
    let mut columns: Vec<FieldValues> = Vec::with_capacity(by.fields.len());
    for name in by.fields {
        match fields::read(block, name)? {
            Some(values) if !values.unknown => columns.push(values),
            _ => return Ok(None),
        }
    }
    let rows = selection.iter();
    if let ([column], None, None) = (&columns[..], scan, by.step)
        && selection.is_all()
    {
        let (tally, groups) = to;
        let mut counts = vec![0u64; column.len()];
        for &code in &column.codes {
            counts[code as usize] += 1;
        }
        count_codes(column, &counts, tally, groups);
        return Ok(Some(column.codes.len() as u64));
    }
    // Times are read only where they matter.
    if let Some(scan) = scan {
        let (times, seqs) = (block.times()?, block.seqs()?);
        let range = scan.from.0..scan.until.0;
        let wanted = |row: &usize| {
            let seq = seqs[*row].cast_unsigned();
            range.contains(&times[*row]) && seq > scan.after && seq <= scan.upto
        };
        let rows = rows.filter(wanted);
        return count_rows(block, &columns, rows, by, to);
    }
    count_rows(block, &columns, rows, by, to)
}

fn count_rows(
    block: &dyn Block,
    columns: &[FieldValues],
    rows: impl Iterator<Item = usize>,
    by: &GroupBy<'_>,
    (tally, groups): (&mut Tally, &mut Groups<'_>),
) -> Result<Option<u64>, Fault> {
    match (columns, by.step) {
        ([column], None) => Ok(Some(count_column(column, rows, tally, groups))),
        (_, Some(step)) => count_keys(columns, rows, Some((step, block.times()?)), groups),
        (_, None) => count_keys(columns, rows, None, groups),
    }
}

/// Counts all values of a column by their codes: texts are not touched until then, nor copied.
fn count_whole(
    column: &Column,
    (tally, groups): (&mut Tally, &mut Groups<'_>),
) -> Result<u64, Fault> {
    let mut strings = vec![0u64; column.strings.len()];
    let mut numbers: HashMap<u32, u64> = HashMap::default();
    for &code in &column.codes {
        match code & NUMBER {
            0 => *strings.get_mut(code as usize).ok_or(Fault::Damaged)? += 1,
            _ => *numbers.entry(code).or_default() += 1,
        }
    }
    let counted = column.strings.iter().zip(strings).filter(|(_, n)| *n > 0);
    tally.add(counted, groups);
    let mut texts = Strings::default();
    let mut text = Vec::new();
    for code in numbers.keys() {
        text.clear();
        append_number(code & !NUMBER, &mut text);
        texts.push(&text);
    }
    tally.add(texts.iter().zip(numbers.values().copied()), groups);
    Ok(column.codes.len() as u64)
}

/// Counts by the codes of one column, which are few against the rows.
fn count_column(
    column: &FieldValues,
    rows: impl Iterator<Item = usize>,
    tally: &mut Tally,
    groups: &mut Groups<'_>,
) -> u64 {
    let mut counts = vec![0u64; column.len()];
    let mut total = 0;
    for row in rows {
        counts[column.codes[row] as usize] += 1;
        total += 1;
    }
    count_codes(column, &counts, tally, groups);
    total
}

/// Counts values by how often each place of theirs came.
fn count_codes(column: &FieldValues, counts: &[u64], tally: &mut Tally, groups: &mut Groups<'_>) {
    let counted = (0u32..).zip(counts.iter().copied()).filter(|(_, n)| *n > 0);
    let values = counted
        .clone()
        .filter_map(|(code, n)| Some((column.value(code)?, n)));
    tally.add(values, groups);
    for (_, n) in counted.take_while(|(code, _)| column.value(*code).is_none()) {
        groups.add_many([None], None, n);
    }
}

/// Counts by any number of columns and steps: the codes of a row are the digits of one number.
fn count_keys(
    columns: &[FieldValues],
    rows: impl Iterator<Item = usize>,
    steps: Option<(Step, &[i64])>,
    groups: &mut Groups<'_>,
) -> Result<Option<u64>, Fault> {
    let all = columns
        .iter()
        .try_fold(1u128, |all, c| all.checked_mul(c.len() as u128));
    // More columns than a number has room for are counted line by line.
    if all.is_none() {
        return Ok(None);
    }
    let mut counts: HashMap<(u128, Option<Timestamp>), u64> = HashMap::default();
    let (mut last, mut run, mut total) = ((0, None), 0, 0);
    for row in rows {
        total += 1;
        let digit = |key: u128, c: &FieldValues| key * c.len() as u128 + u128::from(c.codes[row]);
        let key = columns.iter().fold(0, digit);
        let step = steps.map(|(step, times)| match last.1 {
            // Neighbours share their step mostly, and a comparison is cheaper than a division.
            Some(Timestamp(start))
                if (start..start.saturating_add(step.ms)).contains(&times[row]) =>
            {
                Timestamp(start)
            }
            _ => step.start(Timestamp(times[row])),
        });
        if (key, step) != last {
            if run > 0 {
                *counts.entry(last).or_default() += run;
            }
            (last, run) = ((key, step), 0);
        }
        run += 1;
    }
    if run > 0 {
        *counts.entry(last).or_default() += run;
    }
    for ((mut key, step), n) in counts {
        let mut values = Vec::with_capacity(columns.len());
        for column in columns.iter().rev() {
            let all = column.len() as u128;
            values.push(column.value(u32::try_from(key % all).unwrap_or(UNKNOWN)));
            key /= all;
        }
        groups.add_many(values.into_iter().rev(), step, n);
    }
    Ok(Some(total))
}
