//! Small blocks of a stream made into one: they compress badly and cost every query a look.

use std::sync::Arc;

use rusqlite::{Connection, Transaction};

use super::encode::{Sealed, seal};
use super::open::{Line, OpenBlock};
use super::rebuild::{self, Block, Places, StreamName};
use super::sealed::{SealedBlock, Stored};
use super::table::{ROWS_MAX, severity_of};
use super::template::{MILLIS, NAMED, Part, TIME, Template, VARIABLE};
use super::{Fault, evict};
use crate::Result;

/// Blocks with fewer rows are small.
const SMALL_ROWS: i64 = 16_384;
/// So many neighbours are worth the work.
const BLOCKS_MIN: usize = 4;
/// And so many are done at a time.
const BLOCKS_MAX: usize = 32;
/// Bytes of lines of a merged block.
const RAW_BYTES_MAX: i64 = 16 << 20;
/// Bytes of values that go into the columns together: they are still in the cache then.
const TOGETHER_BYTES: usize = 32 << 10;

/// The last blocks of a stream, if they are small and many enough.
fn candidates(conn: &Connection, stream: i64, span_ms: i64) -> Result<Vec<i64>> {
    let mut stmt = conn.prepare_cached(
        "SELECT id, rows, raw_bytes, first_time, last_time FROM ev_block
         WHERE stream = ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let limit = i64::try_from(BLOCKS_MAX).unwrap_or(i64::MAX);
    let mut rows = stmt.query([stream, limit])?;
    let (mut ids, mut lines, mut raw) = (Vec::new(), 0i64, 0i64);
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    while let Some(row) = rows.next()? {
        let n: i64 = row.get(1)?;
        lines += n;
        raw += row.get::<_, i64>(2)?;
        (first, last) = (first.min(row.get(3)?), last.max(row.get(4)?));
        let long = last.saturating_sub(first) > span_ms;
        let full = usize::try_from(lines).unwrap_or(0) > ROWS_MAX || raw > RAW_BYTES_MAX;
        if n >= SMALL_ROWS || full || long {
            break;
        }
        ids.push(row.get(0)?);
    }
    ids.reverse();
    Ok(if ids.len() < BLOCKS_MIN {
        Vec::new()
    } else {
        ids
    })
}

/// Merges the last blocks of a stream, over `span_ms` at most, if that is worth it: the new block and its place, which is the
/// first one's. The old ones are deleted.
pub(super) fn run(
    tx: &Transaction<'_>,
    stream: i64,
    name: &Arc<StreamName>,
    key: u64,
    span_ms: i64,
) -> Result<Option<(i64, Sealed)>> {
    let ids = candidates(tx, stream, span_ms)?;
    let Some(&first) = ids.first() else {
        return Ok(None);
    };
    let mut merged = OpenBlock::new(key);
    for &id in &ids {
        let segments = Stored {
            conn: tx,
            block: id,
            filter: None,
        };
        let block = SealedBlock::open(segments, Arc::clone(name));
        match block.and_then(|block| take(&block, &mut merged, Left::All)) {
            Ok(()) => {}
            // A damaged block stays as it is: what is left of it may be repaired.
            Err(Fault::Damaged) => return Ok(None),
            Err(Fault::Store(e)) => return Err(e.into()),
        }
    }
    for &id in &ids {
        evict::delete(tx, id)?;
    }
    Ok(Some((first, seal(&merged.table, key, name))))
}

/// What to take of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// All rows, or none.
    All,
    /// The rows all of whose columns can be read.
    Whatever,
}

/// Appends the rows of a block, template by template and value by value.
pub(super) fn take(
    block: &dyn Block,
    to: &mut OpenBlock,
    left: Left,
) -> std::result::Result<(), Fault> {
    let places = Places::new(block);
    let rows = block.rows();
    let (times, recvs, seqs) = (block.times()?, block.recvs()?, block.seqs()?);
    let columns: Vec<Option<u8>> = block
        .names()
        .iter()
        .map(|n| to.column_named(n.name.clone(), usize::from(n.nth), n.kind))
        .collect();
    let origins: Vec<u32> = block.origins().iter().map(|o| to.origin(o)).collect();
    let mut templates: Vec<Option<Option<u32>>> = vec![None; block.templates().len()];
    let (mut bytes, mut values, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    to.table.overflow |= block.overflow();
    let readable = readable(block, left);
    for row in 0..rows.len() {
        let number = rows.templates[row] as usize;
        let old = &block.templates()[number];
        if !readable[number] {
            continue;
        }
        let template = *templates[number].get_or_insert_with(|| {
            let text = renamed(&old.text, &old.parts, &columns)?;
            to.template(&text)
        });
        if bytes.len() >= TOGETHER_BYTES {
            to.take_values(|_| &bytes);
            bytes.clear();
        }
        values.clear();
        // Lines are far below 4 GiB, and so are some of them together.
        let place = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut start = place(&bytes);
        let mut end = |bytes: &Vec<u8>| {
            values.push((start, place(bytes)));
            start = place(bytes);
        };
        let template = if let Some(known) = template {
            for &number in &old.columns {
                let column = block.column(number)?;
                let code = column.codes.get(places.index(block, row, number));
                column.append(*code.ok_or(Fault::Damaged)?, &mut bytes);
                end(&bytes);
            }
            known
        } else {
            // Too many templates or columns together: the line is kept whole.
            rebuild::line(block, &places, row, &mut bytes)?;
            end(&bytes);
            to.template(&[VARIABLE]).ok_or(Fault::Damaged)?
        };
        let line = Line {
            time: times[row],
            recv: recvs[row],
            seq: seqs[row],
            severity: severity_of(rows.severities[row]),
            line: &[],
            time_span: (0, 0),
            spans: &[],
            names: &[],
        };
        let origin = origins[rows.origins[row] as usize];
        to.push_row(&line, origin, template, &values);
        if left == Left::Whatever {
            whole.clear();
            rebuild::line(block, &places, row, &mut whole)?;
            to.table.raw_bytes += whole.len() as u64;
        }
    }
    to.take_values(|_| &bytes);
    if left == Left::All {
        to.table.raw_bytes += block.raw_bytes();
    }
    Ok(())
}

/// Of which templates rows are taken: a damaged column is found once, not for each row.
fn readable(block: &dyn Block, left: Left) -> Vec<bool> {
    let whole = |t: &Template| {
        left == Left::All || t.columns.iter().all(|&column| block.column(column).is_ok())
    };
    block.templates().iter().map(whole).collect()
}

/// The text of a template with the numbers that its named columns have in the merged block.
fn renamed(text: &[u8], parts: &[Part], columns: &[Option<u8>]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for part in parts {
        match *part {
            Part::Text(start, end) => {
                out.extend_from_slice(text.get(start as usize..end as usize)?);
            }
            Part::Column(number) => match columns.get(number as usize) {
                Some(column) => out.extend_from_slice(&[NAMED, (*column)?]),
                None => out.push(VARIABLE),
            },
            Part::Time(stamp) => {
                let quarters = stamp.quarters.cast_unsigned();
                out.extend_from_slice(&[TIME, stamp.pattern, quarters]);
            }
            Part::Millis => out.push(MILLIS),
        }
    }
    Some(out)
}
