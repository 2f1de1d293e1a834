//! The ring of rows in which records stand: which rows the next one takes, how readers follow.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::super::codec::Input;
use crate::Result;

/// A row fills a page of SQLite.
const ROW_BYTES: usize = 4048;
const HEAD_BYTES: usize = 18;
const PAYLOAD_BYTES: usize = ROW_BYTES - HEAD_BYTES;
/// The ring grows while what it would overwrite is younger than this.
const KEEP_MS: i64 = if cfg!(test) { 0 } else { 20 * 60_000 };
const GROW_ROWS: usize = 256;
/// 64 MiB: more than half an hour of 100,000 series.
const ROWS_MAX: usize = 16_384;
/// Records beyond this are not written: all groups get a checkpoint instead.
const PARTS_MAX: usize = if cfg!(test) { 2 } else { 1024 };

/// Where the next record goes, and what stands in the rows.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    /// Sequence number and time of the record in each row; 0 if there is none.
    rows: Vec<(u64, i64)>,
    next_row: usize,
    pub(crate) next_seq: u64,
}

/// The rows of a record that is about to be written.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    rows: Vec<usize>,
    /// Rows that the ring has then.
    len: usize,
    /// Records up to this one are overwritten, at least in part.
    pub(crate) evicts: u64,
}

impl Ring {
    /// Bytes of its rows in the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.rows.len() as u64 * u64::from(crate::file::PAGE_BYTES)
    }

    /// Chooses rows for a record of `bytes`; `None` when it is too large for the journal.
    pub(crate) fn plan(&self, bytes: usize, now_ms: i64) -> Option<Plan> {
        let parts = bytes.div_ceil(PAYLOAD_BYTES).max(1);
        if parts > PARTS_MAX {
            return None;
        }
        let mut plan = Plan {
            len: self.rows.len(),
            ..Plan::default()
        };
        let mut next = self.next_row;
        for _ in 0..parts {
            if next >= plan.len {
                let young = self
                    .rows
                    .first()
                    .is_none_or(|&(_, t)| now_ms.saturating_sub(t) < KEEP_MS);
                if young && plan.len < ROWS_MAX || plan.len == 0 || plan.rows.contains(&0) {
                    plan.len += GROW_ROWS;
                } else {
                    next = 0;
                }
            }
            plan.evicts = plan.evicts.max(self.rows.get(next).map_or(0, |r| r.0));
            plan.rows.push(next);
            next += 1;
        }
        Some(plan)
    }

    pub(crate) fn write(&self, tx: &Transaction<'_>, plan: &Plan, record: &[u8]) -> Result<()> {
        let mut stmt = tx.prepare_cached("INSERT OR REPLACE INTO ts_journal VALUES (?1, ?2)")?;
        let parts = u16::try_from(plan.rows.len()).unwrap_or(u16::MAX);
        let mut row = Vec::with_capacity(ROW_BYTES);
        let mut pieces = record.chunks(PAYLOAD_BYTES);
        for (part, &at) in (0u16..).zip(&plan.rows) {
            let piece = pieces.next().unwrap_or_default();
            row.clear();
            row.extend(self.next_seq.to_le_bytes());
            row.extend(part.to_le_bytes());
            row.extend(parts.to_le_bytes());
            row.extend(u16::try_from(piece.len()).unwrap_or(0).to_le_bytes());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&row), piece);
            row.extend(crc.to_le_bytes());
            row.extend_from_slice(piece);
            // All rows have one size, so that SQLite overwrites them in place.
            row.resize(ROW_BYTES, 0);
            stmt.execute((row_id(at), &row))?;
        }
        Ok(())
    }

    /// The planned record is durable.
    pub(crate) fn committed(&mut self, plan: &Plan, now_ms: i64) {
        self.rows.resize(plan.len, (0, i64::MIN));
        for &row in &plan.rows {
            self.rows[row] = (self.next_seq, now_ms);
        }
        self.next_row = plan.rows.last().map_or(self.next_row, |&last| last + 1);
        self.next_seq += 1;
    }
}

fn row_id(row: usize) -> i64 {
    i64::try_from(row).unwrap_or(i64::MAX)
}

struct Row<'a> {
    seq: u64,
    part: u16,
    parts: u16,
    bytes: &'a [u8],
}

fn open_row(bytes: &[u8]) -> Option<Row<'_>> {
    let mut input = Input(bytes);
    let (seq, part, parts, len) = (input.u64()?, input.u16()?, input.u16()?, input.u16()?);
    let crc = input.u32()?;
    let piece = input.bytes(usize::from(len))?;
    let sum = crc32c::crc32c_append(crc32c::crc32c(bytes.get(..HEAD_BYTES - 4)?), piece);
    (sum == crc && part < parts).then_some(Row {
        seq,
        part,
        parts,
        bytes: piece,
    })
}

/// What a journal holds at one moment.
pub(crate) struct Content {
    pub(crate) ring: Ring,
    /// Whole records in order.
    pub(crate) records: Vec<(u64, Vec<u8>)>,
    /// Rows whose checksum is wrong.
    pub(crate) damaged: usize,
}

/// Reads the whole journal.
pub(crate) fn read_all(conn: &Connection) -> Result<Content> {
    let mut stmt = conn.prepare_cached("SELECT id, data FROM ts_journal ORDER BY id")?;
    let mut query = stmt.query([])?;
    let mut found: Vec<(u64, u16, u16, usize, Vec<u8>)> = Vec::new();
    let (mut len, mut damaged) = (0, 0);
    while let Some(row) = query.next()? {
        let at = usize::try_from(row.get::<_, i64>(0)?).unwrap_or(usize::MAX);
        if at >= ROWS_MAX + PARTS_MAX + GROW_ROWS {
            continue;
        }
        len = len.max(at + 1);
        let bytes = row.get_ref(1)?;
        match bytes.as_blob().ok().and_then(open_row) {
            Some(r) => found.push((r.seq, r.part, r.parts, at, r.bytes.to_vec())),
            None => damaged += 1,
        }
    }
    found.sort_unstable_by_key(|&(seq, part, ..)| (seq, part));
    let mut rows = vec![(0, i64::MIN); len.next_multiple_of(GROW_ROWS)];
    let mut next_row = 0;
    let mut records: Vec<(u64, Vec<u8>)> = Vec::new();
    for record in found.chunk_by(|a, b| a.0 == b.0) {
        let bytes: Vec<u8> = record.iter().flat_map(|r| r.4.iter().copied()).collect();
        let whole = record.len() == usize::from(record[0].2);
        let time = if whole { Input(&bytes).zigzag() } else { None };
        for r in record {
            rows[r.3] = (r.0, time.unwrap_or(i64::MIN));
            next_row = r.3 + 1;
        }
        if whole {
            records.push((record[0].0, bytes));
        }
    }
    let next_seq = found.last().map_or(1, |r| r.0 + 1);
    Ok(Content {
        ring: Ring {
            rows,
            next_row,
            next_seq,
        },
        records,
        damaged,
    })
}

/// A reader's place in the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    row: usize,
    seq: u64,
}

/// What follows a place.
pub(crate) enum Next {
    Record(u64, Vec<u8>),
    Nothing,
    /// The ring has turned past the place.
    Lost,
}

impl Place {
    pub(crate) fn after(ring: &Ring) -> Self {
        Self {
            row: ring.next_row,
            seq: ring.next_seq,
        }
    }

    /// Reads the next record and steps behind it.
    pub(crate) fn next(&mut self, conn: &Connection) -> Result<Next> {
        let mut stmt = conn.prepare_cached("SELECT data FROM ts_journal WHERE id = ?1")?;
        let (mut record, mut row) = (Vec::new(), self.row);
        let mut expected = 0;
        loop {
            let mut found = None;
            for at in [row, 0] {
                let data: Option<Vec<u8>> =
                    stmt.query_row([row_id(at)], |r| r.get(0)).optional()?;
                let Some(read) = data.as_deref().and_then(open_row) else {
                    continue;
                };
                if read.seq == self.seq && read.part == expected {
                    found = Some((at, read.parts));
                    record.extend_from_slice(read.bytes);
                    break;
                }
                if read.seq > self.seq {
                    return Ok(Next::Lost);
                }
            }
            let Some((at, parts)) = found else {
                return Ok(if expected == 0 {
                    Next::Nothing
                } else {
                    Next::Lost
                });
            };
            row = at + 1;
            expected += 1;
            if expected == parts {
                let seq = self.seq;
                *self = Self { row, seq: seq + 1 };
                return Ok(Next::Record(seq, record));
            }
        }
    }
}
