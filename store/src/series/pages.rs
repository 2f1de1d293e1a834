//! Pages in their rows: reading, writing within the budget, letting go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use rusqlite::{Connection, OptionalExtension, Transaction};

use vigie_query::SourceError;

use super::budget::{Book, Size};
use super::layout::{Rings, page_bytes_max};
use super::page::{self, Lanes, Scratch, encode};
use super::registry::Registry;
use crate::{Error, Result};

/// Pages as they will be once what waits is merged into them, by row: how readers see late slots.
#[derive(Debug, Default)]
pub(crate) struct Ahead(RefCell<BTreeMap<i64, Vec<u8>>>);

/// The rows of pages, for a transaction.
#[derive(Clone, Copy)]
pub(crate) struct Pages<'t> {
    tx: &'t Transaction<'t>,
    to: To<'t>,
}

/// Where changed pages go.
#[derive(Clone, Copy)]
enum To<'t> {
    /// Into their rows, counted in the registry's book.
    File(&'t Registry),
    /// Into memory, for one answer.
    Memory(&'t Ahead),
}

/// Chunks whose pages were read, and where their bytes are.
pub(crate) type Found = Vec<(i64, Range<usize>)>;

impl<'t> Pages<'t> {
    pub(crate) fn new(tx: &'t Transaction<'t>, registry: &'t Registry) -> Self {
        let to = To::File(registry);
        Self { tx, to }
    }

    pub(crate) fn ahead(tx: &'t Transaction<'t>, ahead: &'t Ahead) -> Self {
        let to = To::Memory(ahead);
        Self { tx, to }
    }

    /// The bytes in the row of a chunk, whichever chunk they are of.
    pub(crate) fn read(&self, rings: &Rings, a: usize, chunk: i64) -> Result<Option<Vec<u8>>> {
        if let To::Memory(Ahead(rows)) = self.to
            && let Some(bytes) = rows.borrow().get(&rings.row(a, chunk))
        {
            return Ok(Some(bytes.clone()));
        }
        let mut stmt = self.tx.prepare_cached(SELECT)?;
        Ok(stmt
            .query_row([rings.row(a, chunk)], |r| r.get(0))
            .optional()?)
    }

    /// Appends the bytes of an archive's pages to `bytes`, chunk after chunk as far as there are rows.
    /// `go_on` is asked before each.
    pub(crate) fn read_all(
        &self,
        rings: &Rings,
        a: usize,
        chunks: RangeInclusive<i64>,
        bytes: &mut Vec<u8>,
        mut go_on: impl FnMut() -> std::result::Result<(), SourceError>,
    ) -> std::result::Result<Found, SourceError> {
        let mut found = Found::new();
        let mut push = |chunk, page: &[u8]| {
            found.push((chunk, bytes.len()..bytes.len() + page.len()));
            bytes.extend_from_slice(page);
        };
        if let To::Memory(Ahead(rows)) = self.to
            && !rows.borrow().is_empty()
        {
            for chunk in chunks {
                go_on()?;
                if let Some(page) = self.read(rings, a, chunk)? {
                    push(chunk, &page);
                }
            }
            return Ok(found);
        }
        // A walk over neighbouring rows costs a quarter of looking each up.
        let sql = "SELECT id, data FROM ts_page WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
        let mut stmt = self.tx.prepare_cached(sql).map_err(Error::from)?;
        for (first, rows) in rings.rows(a, chunks) {
            let from = *rows.start();
            let mut query = stmt.query([from, *rows.end()]).map_err(Error::from)?;
            while let Some(row) = query.next().map_err(Error::from)? {
                go_on()?;
                let chunk = first + (row.get::<_, i64>(0).map_err(Error::from)? - from);
                let page = row.get_ref(1).map_err(Error::from)?;
                push(chunk, page.as_blob().unwrap_or_default());
            }
        }
        Ok(found)
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
        let row = rings.row(a, chunk);
        let registry = match self.to {
            To::File(registry) => registry,
            To::Memory(Ahead(rows)) => {
                rows.borrow_mut().insert(row, bytes);
                return Ok(());
            }
        };
        let old = self.size(registry, row)?;
        let allowed = registry.allowed(rings.group, a, old);
        if bytes.len() > allowed {
            let fits = encode((a, n, chunk), lanes, totals, allowed, scratch);
            let fits = fits.filter(|bytes| bytes.len() <= allowed);
            registry.count_cut(fits.is_none());
            match fits {
                Some(shorter) => bytes = shorter,
                None => return Ok(()),
            }
        }
        put(self.tx, registry, row, &bytes, old)
    }

    /// What the page in a row occupies.
    fn size(&self, registry: &Registry, row: i64) -> Result<Size> {
        let mut stmt = self.tx.prepare_cached(SELECT)?;
        let mut rows = stmt.query([row])?;
        Ok(match rows.next()? {
            Some(row) => size_of(registry, row.get_ref(0)?.as_blob().unwrap_or_default()),
            None => Size::default(),
        })
    }
}

const SELECT: &str = "SELECT data FROM ts_page WHERE id = ?1";

/// Takes lanes out of all pages of a group.
pub(crate) fn erase(
    tx: &Transaction<'_>,
    registry: &Registry,
    group: u32,
    lanes: &[usize],
) -> Result<()> {
    let from = i64::from(group) << 24;
    let sql = "SELECT id FROM ts_page WHERE id >= ?1 AND id < ?2";
    let mut rows = tx.prepare_cached(sql)?;
    let ids: Vec<i64> = rows
        .query_map([from, from + (1 << 24)], |r| r.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for row in ids {
        let mut stmt = tx.prepare_cached(SELECT)?;
        let bytes: Vec<u8> = stmt.query_row([row], |r| r.get(0))?;
        let old = size_of(registry, &bytes);
        // A page that is damaged says nothing of the lanes; all of it goes.
        match page::without(&bytes, lanes) {
            Some(rest) => put(tx, registry, row, &rest, old)?,
            None => {
                tx.prepare_cached("DELETE FROM ts_page WHERE id = ?1")?
                    .execute([row])?;
                count_change(registry, row, old, Size::default());
            }
        }
    }
    Ok(())
}

fn put(tx: &Transaction<'_>, registry: &Registry, row: i64, bytes: &[u8], old: Size) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO ts_page VALUES (?1, ?2)")?
        .execute((row, bytes))?;
    count_change(registry, row, old, size_of(registry, bytes));
    Ok(())
}

fn count_change(registry: &Registry, row: i64, old: Size, new: Size) {
    let (group, archive) = place(row);
    registry.wrote(group, archive, old, new);
}

fn size_of(registry: &Registry, bytes: &[u8]) -> Size {
    Size {
        bytes: registry.cost(bytes.len()),
        lanes: page::lanes_known(bytes),
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
