//! Pages in their rows: reading, writing within the budget, letting go.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::budget::{Book, Size};
use super::layout::{Rings, page_bytes_max};
use super::page::{self, Lanes, Scratch, encode};
use super::registry::Registry;
use crate::Result;

/// The rows of pages, for a transaction. What it changes is counted in the registry's book.
#[derive(Clone, Copy)]
pub(crate) struct Pages<'t> {
    tx: &'t Transaction<'t>,
    registry: &'t Registry,
}

impl<'t> Pages<'t> {
    pub(crate) fn new(tx: &'t Transaction<'t>, registry: &'t Registry) -> Self {
        Self { tx, registry }
    }

    /// The bytes in the row of a chunk, whichever chunk they are of.
    pub(crate) fn read(&self, rings: &Rings, a: usize, chunk: i64) -> Result<Option<Vec<u8>>> {
        read_page(self.tx, rings, a, chunk)
    }

    /// Writes the page of a chunk, unless nothing in it is known. It has as many digits as its cap and
    /// the budget leave; when not even the shortest form fits the chunk stays unknown, and is counted.
    pub(crate) fn write(
        &self,
        rings: &Rings,
        (a, chunk): (usize, i64),
        lanes: Lanes<'_>,
        totals: &[Option<f64>],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let n = usize::try_from(rings.archive(a).n).unwrap_or(0);
        let cap = page_bytes_max(a, n as u64);
        let Some(mut bytes) = encode((a, n, chunk), lanes, totals, cap, scratch) else {
            return Ok(());
        };
        let old = self.size(rings.row(a, chunk))?;
        let allowed = self.registry.allowed(rings.group, a, old);
        if bytes.len() > allowed {
            let fits = encode((a, n, chunk), lanes, totals, allowed, scratch);
            let fits = fits.filter(|bytes| bytes.len() <= allowed);
            self.registry.count_cut(fits.is_none());
            match fits {
                Some(shorter) => bytes = shorter,
                None => return Ok(()),
            }
        }
        self.put(rings.row(a, chunk), &bytes, old)
    }

    /// Takes lanes out of all pages of a group.
    pub(crate) fn erase(&self, group: u32, lanes: &[usize]) -> Result<()> {
        let from = i64::from(group) << 24;
        let sql = "SELECT id FROM ts_page WHERE id >= ?1 AND id < ?2";
        let mut rows = self.tx.prepare_cached(sql)?;
        let ids: Vec<i64> = rows
            .query_map([from, from + (1 << 24)], |r| r.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for row in ids {
            let bytes: Vec<u8> = self
                .tx
                .prepare_cached("SELECT data FROM ts_page WHERE id = ?1")?
                .query_row([row], |r| r.get(0))?;
            let old = self.size_of(&bytes);
            // A page that is damaged says nothing of the lanes; all of it goes.
            match page::without(&bytes, lanes) {
                Some(rest) => self.put(row, &rest, old)?,
                None => {
                    self.tx
                        .prepare_cached("DELETE FROM ts_page WHERE id = ?1")?
                        .execute([row])?;
                    self.count(row, old, Size::default());
                }
            }
        }
        Ok(())
    }

    fn put(&self, row: i64, bytes: &[u8], old: Size) -> Result<()> {
        self.tx
            .prepare_cached("INSERT OR REPLACE INTO ts_page VALUES (?1, ?2)")?
            .execute((row, bytes))?;
        self.count(row, old, self.size_of(bytes));
        Ok(())
    }

    fn count(&self, row: i64, old: Size, new: Size) {
        let (group, archive) = place(row);
        self.registry.wrote(group, archive, old, new);
    }

    /// What the page in a row occupies.
    fn size(&self, row: i64) -> Result<Size> {
        let mut stmt = self
            .tx
            .prepare_cached("SELECT data FROM ts_page WHERE id = ?1")?;
        let mut rows = stmt.query([row])?;
        Ok(match rows.next()? {
            Some(row) => self.size_of(row.get_ref(0)?.as_blob().unwrap_or_default()),
            None => Size::default(),
        })
    }

    fn size_of(&self, bytes: &[u8]) -> Size {
        Size {
            bytes: self.registry.cost(bytes.len()),
            lanes: page::lanes_known(bytes),
        }
    }
}

/// The group and the archive of a row.
pub(crate) fn place(row: i64) -> (u32, usize) {
    let group = u32::try_from(row >> 24).unwrap_or(u32::MAX);
    (
        group,
        usize::try_from(row >> 20 & 0xf).unwrap_or(usize::MAX),
    )
}

/// The bytes in the row of a chunk, whichever chunk they are of.
pub(crate) fn read_page(
    conn: &Connection,
    rings: &Rings,
    a: usize,
    chunk: i64,
) -> Result<Option<Vec<u8>>> {
    let mut stmt = conn.prepare_cached("SELECT data FROM ts_page WHERE id = ?1")?;
    Ok(stmt
        .query_row([rings.row(a, chunk)], |r| r.get(0))
        .optional()?)
}

/// Removes all pages of a group.
pub(crate) fn drop_pages(tx: &Transaction<'_>, group: u32) -> Result<()> {
    let from = i64::from(group) << 24;
    tx.prepare_cached("DELETE FROM ts_page WHERE id >= ?1 AND id < ?2")?
        .execute([from, from + (1 << 24)])?;
    Ok(())
}

/// What is written down of a group's pages.
pub(crate) fn read_use(conn: &Connection, group: u32) -> Result<Option<Vec<u8>>> {
    let known = "SELECT 1 FROM sqlite_schema WHERE name = 'ts_use'";
    if !conn.prepare_cached(known)?.exists([])? {
        return Ok(None);
    }
    let mut stmt = conn.prepare_cached("SELECT held FROM ts_use WHERE grp = ?1")?;
    Ok(stmt.query_row([group], |r| r.get(0)).optional()?)
}

/// Takes up what the groups of a store occupy. Where no row says it (a store from before there were such
/// rows) the pages themselves are counted, once.
pub(crate) fn take_stock(conn: &Connection, book: &mut Book) -> Result<()> {
    for group in book.groups() {
        let told = read_use(conn, group)?;
        if told.and_then(|row| book.restore(group, &row)).is_none() {
            count(conn, group, book)?;
        }
    }
    Ok(())
}

/// Counts the pages of a group.
pub(crate) fn count(conn: &Connection, group: u32, book: &mut Book) -> Result<()> {
    let from = i64::from(group) << 24;
    let sql = "SELECT id, data FROM ts_page WHERE id >= ?1 AND id < ?2";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query([from, from + (1 << 24)])?;
    while let Some(row) = rows.next()? {
        let (group, archive) = place(row.get(0)?);
        let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
        let size = Size {
            bytes: book.cost(bytes.len()),
            lanes: page::lanes_known(bytes),
        };
        book.wrote(group, archive, Size::default(), size);
    }
    book.keep();
    Ok(())
}
