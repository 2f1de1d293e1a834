//! What is left of damaged blocks, written anew: the lines that can still be put together.

use std::sync::Arc;

use rusqlite::Transaction;

use super::compact::{self, Left};
use super::encode::{Sealed, seal};
use super::open::OpenBlock;
use super::rebuild::StreamName;
use super::sealed::{SealedBlock, Stored};
use super::verify::{Names, Told};
use super::{Fault, evict};
use crate::Result;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRepair {
    /// Blocks that were written anew or struck out.
    pub blocks: u64,
    /// Lines in them that are kept…
    pub kept: u64,
    /// … and those that are lost, as far as the tables told how many there were.
    pub lost: u64,
}

/// Repairs all damaged blocks; `write` writes a block in the place of another.
pub(super) fn run(
    tx: &Transaction<'_>,
    names: &Names,
    key: u64,
    mut write: impl FnMut(&Told, &Sealed) -> Result<()>,
) -> Result<EventRepair> {
    let mut repair = EventRepair::default();
    let told: Vec<Told> = tx
        .prepare(Told::SQL)?
        .query_map([], Told::read)?
        .collect::<rusqlite::Result<_>>()?;
    for told in told {
        let Some(name) = names.get(&told.stream) else {
            evict::delete(tx, told.id)?;
            repair.blocks += 1;
            repair.lost += told.rows();
            continue;
        };
        if told.check(tx, name)?.2.is_none() {
            continue;
        }
        let left = salvage(tx, told.id, name, key)?;
        evict::delete(tx, told.id)?;
        let kept = left.table.len() as u64;
        if kept > 0 {
            write(&told, &seal(&left.table, key, name))?;
        }
        repair.blocks += 1;
        repair.kept += kept;
        repair.lost += told.rows().saturating_sub(kept);
    }
    Ok(repair)
}

/// The lines of a block that can be put together: all whose columns are whole, if the block's head,
/// its templates and its times are.
fn salvage(
    tx: &Transaction<'_>,
    block: i64,
    name: &Arc<StreamName>,
    key: u64,
) -> Result<OpenBlock> {
    let segments = Stored {
        conn: tx,
        block,
        filter: None,
    };
    let mut left = OpenBlock::new(key);
    let opened = SealedBlock::open(segments, Arc::clone(name));
    match opened.and_then(|block| compact::take(&block, &mut left, Left::Whatever)) {
        Ok(()) | Err(Fault::Damaged) => Ok(left),
        Err(Fault::Store(e)) => Err(e.into()),
    }
}
