//! Is every block whole? All segments are read, all lines rebuilt, and compared with what the tables
//! say of them.

use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::{Connection, Row};

use super::encode::SEGMENTS_MAX;
use super::rebuild::{self, Block, Places, StreamName};
use super::replay::Replayed;
use super::sealed::{SealedBlock, Stored};
use super::{FILTER_CHUNKS_MAX, Fault, codec, patterns, summary, words};
use crate::Result;

/// What a check of the event store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventReport {
    /// Sealed blocks.
    pub blocks: u64,
    /// Lines that were rebuilt, sealed or not.
    pub lines: u64,
    /// Bytes of these lines.
    pub bytes: u64,
    /// What is wrong, in words; empty if all is well.
    pub damage: Vec<String>,
}

/// What the table of blocks says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub id: i64,
    pub stream: i64,
    facts: Facts,
    filter_rows: i64,
    summary: Vec<u8>,
}

/// What can be counted in a block as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    rows: i64,
    raw_bytes: i64,
    times: (i64, i64),
    seqs: (i64, i64),
    severities: i64,
}

impl Told {
    /// The columns to ask for, in the order in which [`Told::read`] takes them.
    pub(super) const SQL: &str = "SELECT id, stream, rows, raw_bytes, first_time, last_time, \
        first_seq, last_seq, severities, filter_rows, summary FROM ev_block ORDER BY id";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            stream: row.get(1)?,
            facts: Facts {
                rows: row.get(2)?,
                raw_bytes: row.get(3)?,
                times: (row.get(4)?, row.get(5)?),
                seqs: (row.get(6)?, row.get(7)?),
                severities: row.get(8)?,
            },
            filter_rows: row.get(9)?,
            summary: row.get(10)?,
        })
    }

    /// How many lines there were.
    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.facts.rows).unwrap_or(0)
    }

    /// Lines and bytes of the block, and what is wrong with it.
    pub(super) fn check(
        &self,
        conn: &Connection,
        name: &Arc<StreamName>,
    ) -> Result<(u64, u64, Option<String>)> {
        let id = self.id;
        let facts = match facts(conn, id, name) {
            Ok(facts) => facts,
            Err(Fault::Damaged) => return Ok((0, 0, Some(format!("block {id} is damaged")))),
            Err(Fault::Store(e)) => return Err(e.into()),
        };
        let wrong = if facts != self.facts {
            Some(format!("block {id} is not what its row says"))
        } else if !summary::is_whole(&self.summary) {
            Some(format!("the summary of block {id} is damaged"))
        } else if !self.has_filter(conn)? {
            Some(format!("the filter of block {id} is damaged"))
        } else {
            None
        };
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok((count(facts.rows), count(facts.raw_bytes), wrong))
    }

    fn has_filter(&self, conn: &Connection) -> Result<bool> {
        let first = self.id * FILTER_CHUNKS_MAX;
        let mut stmt =
            conn.prepare_cached("SELECT data FROM ev_filter WHERE id BETWEEN ?1 AND ?2")?;
        let mut rows = stmt.query([first, first + FILTER_CHUNKS_MAX - 1])?;
        let mut n = 0;
        while let Some(row) = rows.next()? {
            n += 1;
            if !words::is_whole_row(row.get_ref(0)?.as_blob().unwrap_or_default()) {
                return Ok(false);
            }
        }
        Ok(n == self.filter_rows)
    }
}

/// The streams, by number.
pub(super) type Names = HashMap<i64, Arc<StreamName>>;

/// Reads everything.
pub(super) fn run(conn: &Connection) -> Result<EventReport> {
    let mut report = EventReport::default();
    let mut names = Names::default();
    let mut stmt = conn.prepare("SELECT id, gen, source, format FROM ev_stream")?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let name = Arc::new(StreamName {
            source: row.get(2)?,
            format: row.get::<_, String>(3)?.into(),
        });
        let mut replayed = Replayed::default();
        if replayed.catch_up(conn, id, row.get(1)?, &name.source)? {
            report
                .damage
                .push(format!("the journal of {} is damaged", name.source));
        }
        report.lines += replayed.table.len() as u64;
        report.bytes += replayed.table.raw_bytes;
        names.insert(id, name);
    }
    let mut stmt = conn.prepare(Told::SQL)?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        let told = Told::read(row)?;
        report.blocks += 1;
        let Some(name) = names.get(&told.stream) else {
            report
                .damage
                .push(format!("block {} is of no stream", told.id));
            continue;
        };
        let (lines, bytes, wrong) = told.check(conn, name)?;
        report.lines += lines;
        report.bytes += bytes;
        report.damage.extend(wrong);
    }
    let rows = patterns::damaged(conn)?.len();
    if rows > 0 {
        let words = format!("{rows} rows of the counts of patterns are damaged");
        report.damage.push(words);
    }
    Ok(report)
}

/// What a block holds, all of it read.
fn facts(conn: &Connection, id: i64, name: &Arc<StreamName>) -> std::result::Result<Facts, Fault> {
    let mut stmt = conn.prepare_cached("SELECT data FROM ev_seg WHERE id BETWEEN ?1 AND ?2")?;
    let first = id * SEGMENTS_MAX;
    let mut rows = stmt.query([first, first + SEGMENTS_MAX - 1])?;
    while let Some(row) = rows.next()? {
        codec::unpack(row.get_ref(0)?.as_blob().unwrap_or_default()).ok_or(Fault::Damaged)?;
    }
    let segments = Stored {
        conn,
        block: id,
        filter: None,
    };
    let block = SealedBlock::open(segments, Arc::clone(name))?;
    let places = Places::new(&block);
    let (mut line, mut bytes) = (Vec::new(), 0i64);
    let n = block.rows().len();
    for row in 0..n {
        line.clear();
        rebuild::line(&block, &places, row, &mut line)?;
        bytes = bytes.saturating_add(i64::try_from(line.len()).unwrap_or(i64::MAX));
    }
    block.recvs()?;
    let (times, seqs) = (block.times()?, block.seqs()?);
    let least = |of: &[i64]| of.iter().copied().min().unwrap_or(0);
    let most = |of: &[i64]| of.iter().copied().max().unwrap_or(0);
    let severities = block.rows().severities.iter();
    Ok(Facts {
        rows: i64::try_from(n).unwrap_or(i64::MAX),
        raw_bytes: bytes,
        times: (least(times), most(times)),
        seqs: (
            seqs.first().copied().unwrap_or(0),
            seqs.last().copied().unwrap_or(0),
        ),
        severities: severities.fold(0, |set, s| set | 1 << (s & 15)),
    })
}
