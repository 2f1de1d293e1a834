//! Reads every page and every checkpoint, for `vigie verify`, and strikes out what is damaged.

use rusqlite::{Connection, Transaction};

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
    each_page(&tx, &loaded.groups, |page| report.add(&page))?;
    report.miscounted_groups = miscounted(&tx, &loaded.groups)?.len() as u64;
    old::verify(&tx, &mut report)?;
    Ok(report)
}

/// What a repair did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesRepair {
    /// Damaged pages that were struck out: their times are unknown, as they were before.
    pub pages: u64,
    /// Groups whose pages are counted anew at the next start.
    pub groups: u64,
}

/// Strikes out damaged pages, and what is wrongly written down of groups.
pub(crate) fn repair(tx: &Transaction<'_>) -> Result<SeriesRepair> {
    let loaded = load(tx)?;
    let mut damaged = Vec::new();
    each_page(tx, &loaded.groups, |page| {
        if page.slots.is_none() {
            damaged.push(page.row);
        }
    })?;
    for row in &damaged {
        tx.execute("DELETE FROM ts_page WHERE id = ?1", [row])?;
    }
    let old = old::strike_out(tx)?;
    let wrong = miscounted(tx, &loaded.groups)?;
    for group in &wrong {
        tx.execute("DELETE FROM ts_use WHERE grp = ?1", [group])?;
    }
    Ok(SeriesRepair {
        pages: damaged.len() as u64 + old,
        groups: wrong.len() as u64,
    })
}

/// A page as it was read.
struct Read {
    row: i64,
    bytes: u64,
    group: u32,
    archive: usize,
    /// The length of the archive's slots, if the group still says so.
    step_ms: Option<i64>,
    /// How many slots it knows; `None` when it is damaged.
    slots: Option<u64>,
}

impl Report {
    fn add(&mut self, page: &Read) {
        self.pages += 1;
        self.bytes += page.bytes;
        if let Some(slots) = page.slots {
            let kind = match page.archive {
                0 => &mut self.raw,
                _ => &mut self.coarse,
            };
            *kind = (kind.0 + slots, kind.1 + page.bytes);
            return;
        }
        self.damaged += 1;
        if self.damage.len() < NAMED_MAX {
            self.damage.push(Damage {
                row: page.row,
                group: page.group,
                step_ms: page.step_ms,
            });
        }
    }
}

fn each_page(conn: &Connection, groups: &[Group], mut each: impl FnMut(Read)) -> Result<()> {
    let mut scratch = Scratch::default();
    let mut stmt = conn.prepare("SELECT id, data FROM ts_page ORDER BY id")?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
        let (group, archive) = pages::place(id);
        let known = groups
            .get(group as usize)
            .filter(|g| archive < g.rings.len());
        each(Read {
            row: id,
            bytes: bytes.len() as u64,
            group,
            archive,
            step_ms: known.map(|g| g.rings.archive(archive).step_ms),
            slots: known_slots(bytes, id, archive, known, &mut scratch),
        });
    }
    Ok(())
}

/// Groups of which is written down that their pages occupy something else than they do.
fn miscounted(conn: &Connection, groups: &[Group]) -> Result<Vec<u32>> {
    let page_bytes: u32 = conn.pragma_query_value(None, "page_size", |r| r.get(0))?;
    let mut wrong = Vec::new();
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
        if told.max(empty) != book.used() {
            wrong.push(number);
        }
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
