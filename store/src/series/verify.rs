//! Reads every page and every checkpoint, for `vigie verify`.

use rusqlite::Connection;

use super::budget::Book;
use super::group::Group;
use super::ingest::load;
use super::old;
use super::page::{Page, Scratch};
use super::pages;
use crate::Result;

/// Damaged pages that are named; more are counted only.
pub(super) const NAMED_MAX: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Pages read.
    pub pages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Known slots of the finest archives, and the bytes of their pages.
    pub raw: (u64, u64),
    /// The same of all other archives.
    pub coarse: (u64, u64),
    /// Pages that do not say what was written, each costing one chunk of one group.
    pub damaged: u64,
    /// The first of them.
    pub damage: Vec<Damage>,
    /// Pages of imported series that are damaged, for people.
    pub old: Vec<String>,
    /// Groups whose open chunks could not be taken up in full.
    pub broken_groups: u64,
    /// Groups whose pages occupy something else than is written down of them.
    pub miscounted_groups: u64,
}

/// A damaged page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The row in `ts_page`.
    pub row: i64,
    /// The group of series.
    pub group: u32,
    /// The length of the archive's slots in milliseconds, if the group still says so.
    pub step_ms: Option<i64>,
}

/// Reads everything that belongs to figures.
pub(crate) fn verify(conn: &Connection) -> Result<Report> {
    let tx = conn.unchecked_transaction()?;
    let loaded = load(&tx)?;
    let mut report = Report {
        broken_groups: loaded.broken.len() as u64,
        ..Report::default()
    };
    let mut scratch = Scratch::default();
    let mut stmt = tx.prepare("SELECT id, data FROM ts_page ORDER BY id")?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
        report.pages += 1;
        report.bytes += bytes.len() as u64;
        let group = u32::try_from(id >> 24).unwrap_or(u32::MAX);
        let archive = usize::try_from(id >> 20 & 0xf).unwrap_or(usize::MAX);
        let known = loaded
            .groups
            .get(group as usize)
            .filter(|g| archive < g.rings.len());
        if let Some(slots) = known_slots(bytes, id, archive, known, &mut scratch) {
            let kind = match archive {
                0 => &mut report.raw,
                _ => &mut report.coarse,
            };
            *kind = (kind.0 + slots, kind.1 + bytes.len() as u64);
        } else {
            report.damaged += 1;
            if report.damage.len() < NAMED_MAX {
                let step_ms = known.map(|g| g.rings.archive(archive).step_ms);
                report.damage.push(Damage {
                    row: id,
                    group,
                    step_ms,
                });
            }
        }
    }
    drop(rows);
    drop(stmt);
    report.miscounted_groups = miscounted(&tx, &loaded.groups)?;
    old::verify(&tx, &mut report)?;
    Ok(report)
}

/// Groups of which is written down that their pages occupy something else than they do.
fn miscounted(conn: &Connection, groups: &[Group]) -> Result<u64> {
    let page_bytes: u32 = conn.pragma_query_value(None, "page_size", |r| r.get(0))?;
    let mut wrong = 0;
    for group in groups {
        let number = group.rings.group;
        let Some(told) = pages::read_use(conn, number)? else {
            continue;
        };
        let mut book = Book::new(u64::MAX, page_bytes.into());
        book.open(number, &group.rings.layout);
        // The row of a group that is empty now may be of the archives that it had.
        let told = book.restore(number, &told).map_or(0, |()| book.used());
        book.cleared(number);
        let empty = book.used();
        pages::count(conn, number, &mut book)?;
        wrong += u64::from(told.max(empty) != book.used());
    }
    Ok(wrong)
}

/// How many slots a sound page knows; `None` when it is damaged.
fn known_slots(
    bytes: &[u8],
    row: i64,
    archive: usize,
    group: Option<&Group>,
    scratch: &mut Scratch,
) -> Option<u64> {
    let (page, group) = (Page::open(bytes)?, group?);
    let placed = page.archive == archive && group.rings.row(archive, page.chunk) == row;
    page.known(scratch).filter(|_| placed)
}
