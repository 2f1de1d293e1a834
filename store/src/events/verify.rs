//! Is every block whole? All segments are read, all lines rebuilt.

use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::Connection;

use super::encode::SEGMENTS_MAX;
use super::rebuild::{self, Block, Places, StreamName};
use super::replay::Replayed;
use super::sealed::{SealedBlock, Stored};
use super::{Fault, codec};
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

/// Reads everything.
pub(super) fn run(conn: &Connection) -> Result<EventReport> {
    let mut report = EventReport::default();
    let mut names = HashMap::default();
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
    let mut stmt = conn.prepare("SELECT id, stream, rows, raw_bytes FROM ev_block")?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        let (id, stream): (i64, i64) = (row.get(0)?, row.get(1)?);
        report.blocks += 1;
        let Some(name) = names.get(&stream) else {
            report.damage.push(format!("block {id} is of no stream"));
            continue;
        };
        match block(conn, id, name) {
            Ok((lines, bytes)) => {
                report.lines += lines;
                report.bytes += bytes;
                let said = (row.get::<_, i64>(2)?, row.get::<_, i64>(3)?);
                if (lines, bytes) != (said.0.cast_unsigned(), said.1.cast_unsigned()) {
                    report.damage.push(format!(
                        "block {id} holds {lines} lines of {bytes} bytes, not {} of {}",
                        said.0, said.1
                    ));
                }
            }
            Err(Fault::Damaged) => report.damage.push(format!("block {id} is damaged")),
            Err(Fault::Store(e)) => return Err(e.into()),
        }
    }
    Ok(report)
}

/// Lines and bytes of a block.
fn block(
    conn: &Connection,
    id: i64,
    name: &Arc<StreamName>,
) -> std::result::Result<(u64, u64), Fault> {
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
    let (mut line, mut bytes) = (Vec::new(), 0);
    block.recvs()?;
    block.seqs()?;
    let n = block.rows().len();
    for row in 0..n {
        line.clear();
        rebuild::line(&block, &places, row, &mut line)?;
        bytes += line.len() as u64;
    }
    Ok((n as u64, bytes))
}
