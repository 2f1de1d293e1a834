//! Old figures: the archives of other programs, kept as they were.
//!
//! They do not lie in rings of groups. Their steps need not divide one another (7, 50 and 223 readings
//! are one set of a well-known collector), nothing is derived from them, and their values are full
//! doubles that no cap may shorten. So each series has its own list of archives and pages of its own,
//! 512 slots each, encoded as raw lanes: averages, minima, maxima, last values. Where live readings go
//! on under the same name and labels, readers see one series: old figures up to the first live
//! reading.
//!
//! They run out as they would have where they come from: a slot goes once it is as old as its archive
//! is long. The time between the last update and the import does not count, so that a file which lay
//! in a drawer for years does not vanish at once.
//!
//! What a counter grew a second may be read as the counter: the values stay rates, and each page says what
//! they came to before it. Readers add up from there; where a live counter goes on, old totals are moved to
//! end at its first reading, so that the whole is one line without a reset.

mod change;
pub(crate) mod parcel;
mod read;
#[cfg(test)]
mod tests;
mod write;

use rusqlite::Connection;
use vigie_parsers::archives;
use vigie_query::Labels;

use super::codec::{Input, put_varint, put_zigzag};
use super::page::{Lanes, Page, Scratch, encode};
use super::rows::read_labels;
use crate::Result;

pub(crate) use change::{delete, rename};
pub(crate) use read::{Old, Plan, read};
pub use write::Taken;
pub(crate) use write::expire;
pub(crate) use write::import;
pub(crate) use write::{read_taken, write_taken};

/// Slots of a page.
const SLOTS: i64 = 512;
/// Average, minimum, maximum, last.
const COLUMNS: usize = 4;
/// Archives of one series at most: the page number has four bits for it.
const ARCHIVES_MAX: usize = 16;
/// Slots of one archive at most: a century of five minutes.
const SLOTS_MAX: i64 = 1 << 24;
/// A slot is a leap year long at most.
const STEP_S_MAX: i64 = 366 * 86_400;
/// Series for which the page number has room.
const ID_MAX: i64 = 1 << 26;
/// Values as they are.
const SPEC_VALUES: u8 = 1;
/// Rates, read as a counter.
const SPEC_RATES: u8 = 2;

/// An old series to be taken in.
#[derive(Clone, Copy, Debug)]
pub struct OldSeries<'a> {
    /// What it is called here.
    pub labels: &'a Labels,
    /// A sentence about the metric; may be empty.
    pub help: &'a str,
    /// Its archives, finest first, no two of one step.
    pub archives: &'a [archives::Archive],
    /// When the file was written last, in seconds since 1970.
    pub last_update_s: i64,
    /// Its values are what a counter grew a second: it is read as that counter.
    pub rates: bool,
}

/// One archive of an old series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Archive {
    step_ms: i64,
    /// Slots of the base step in one of these.
    per_slot: u32,
    /// Slots that are kept at most.
    length: i64,
    /// The first slot, and the one after the last.
    first: i64,
    until: i64,
    /// Bytes of its pages.
    bytes: u64,
}

impl Archive {
    fn begin_ms(&self) -> i64 {
        self.first * self.step_ms
    }

    fn end_ms(&self) -> i64 {
        self.until * self.step_ms
    }
}

/// The archives of an old series, finest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Spec {
    /// How much later it was taken in than it was updated last.
    shift_ms: i64,
    /// Whether it is read as the counter whose rates these are.
    rates: bool,
    archives: Vec<Archive>,
}

impl Spec {
    fn bytes(&self) -> u64 {
        let pages = |a: &Archive| {
            let last = (a.until - 1).div_euclid(SLOTS);
            (last - a.first.div_euclid(SLOTS) + 1).max(0).unsigned_abs()
        };
        // Each page has a leaf of SQLite to itself at the worst.
        let bytes = |a: &Archive| match a.bytes {
            0 => 0,
            bytes => bytes + pages(a) * u64::from(crate::file::PAGE_BYTES),
        };
        self.archives.iter().map(bytes).sum()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.rates { SPEC_RATES } else { SPEC_VALUES }];
        put_zigzag(&mut out, self.shift_ms);
        for a in &self.archives {
            for x in [a.step_ms, i64::from(a.per_slot), a.length, a.first, a.until] {
                put_zigzag(&mut out, x);
            }
            put_varint(&mut out, a.bytes);
        }
        let crc = crc32c::crc32c(&out);
        out.extend(crc.to_le_bytes());
        out
    }

    /// Reads it back; `None` when it is damaged.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, crc) = bytes.split_last_chunk::<4>()?;
        let mut input = Input(bytes);
        if crc32c::crc32c(bytes) != u32::from_le_bytes(*crc) {
            return None;
        }
        let rates = match input.u8()? {
            SPEC_VALUES => false,
            SPEC_RATES => true,
            _ => return None,
        };
        let mut spec = Self {
            rates,
            shift_ms: input.zigzag()?,
            archives: Vec::new(),
        };
        while !input.is_empty() {
            let a = Archive {
                step_ms: input.zigzag()?,
                per_slot: u32::try_from(input.zigzag()?).ok()?,
                length: input.zigzag()?,
                first: input.zigzag()?,
                until: input.zigzag()?,
                bytes: input.varint()?,
            };
            let sane = (1..=STEP_S_MAX * 1000).contains(&a.step_ms)
                && a.per_slot > 0
                && (0..=a.until).contains(&a.first)
                && a.until - a.first <= SLOTS_MAX
                && a.until <= i64::MAX / a.step_ms
                && a.until / SLOTS <= i64::from(u32::MAX);
            if !sane || spec.archives.len() == ARCHIVES_MAX {
                return None;
            }
            spec.archives.push(a);
        }
        Some(spec)
    }
}

/// One row of `ts_old`.
struct Row {
    id: i64,
    labels: Labels,
    spec: Spec,
}

/// All old series; rows that make no sense are left out.
fn read_rows(conn: &Connection) -> Result<Vec<Row>> {
    let mut stmt = conn.prepare_cached("SELECT id, labels, spec FROM ts_old ORDER BY id")?;
    let mut rows = stmt.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let labels = row
            .get_ref(1)?
            .as_blob()
            .ok()
            .and_then(|b| read_labels(&mut Input(b)));
        let spec = row.get_ref(2)?.as_blob().ok().and_then(Spec::decode);
        if let (Some(labels), Some(spec)) = (labels, spec) {
            found.push(Row {
                id: row.get(0)?,
                labels,
                spec,
            });
        }
    }
    Ok(found)
}

/// Bytes of all old figures.
pub(crate) fn bytes(conn: &Connection) -> Result<u64> {
    Ok(read_rows(conn)?.iter().map(|r| r.spec.bytes()).sum())
}

/// Reads every page.
pub(super) fn verify(conn: &Connection, report: &mut super::Report) -> Result<()> {
    each_page(conn, |row, id, bytes, sound| {
        report.pages += 1;
        report.bytes += bytes.len() as u64;
        if !sound {
            report.damaged += 1;
            if report.old.len() < super::verify::NAMED_MAX {
                let name = format!("page {id} of the imported {}", row.labels);
                report.old.push(name);
            }
        }
    })
}

/// Strikes out damaged pages; how many. What they occupied counts until their series goes.
pub(super) fn strike_out(conn: &Connection) -> Result<u64> {
    let mut damaged = Vec::new();
    each_page(conn, |_, id, _, sound| {
        if !sound {
            damaged.push(id);
        }
    })?;
    for id in &damaged {
        conn.execute("DELETE FROM ts_old_page WHERE id = ?1", [id])?;
    }
    Ok(damaged.len() as u64)
}

/// Each page with its series, its number, its bytes, and whether it is sound.
fn each_page(conn: &Connection, mut each: impl FnMut(&Row, i64, &[u8], bool)) -> Result<()> {
    let mut scratch = Scratch::default();
    for row in read_rows(conn)? {
        let mut stmt =
            conn.prepare_cached("SELECT id, data FROM ts_old_page WHERE id BETWEEN ?1 AND ?2")?;
        let mut pages = stmt.query([page_row(row.id, 0, 0), page_row(row.id + 1, 0, 0) - 1])?;
        while let Some(page) = pages.next()? {
            let id: i64 = page.get(0)?;
            let bytes = page.get_ref(1)?.as_blob().unwrap_or_default();
            let chunk = id & i64::from(u32::MAX);
            let open = Page::open(bytes).filter(|p| p.chunk == chunk);
            let sound = open.and_then(|p| p.known(&mut scratch)).is_some();
            each(&row, id, bytes, sound);
        }
    }
    Ok(())
}

/// The row of a page.
fn page_row(id: i64, archive: usize, chunk: i64) -> i64 {
    (id << 4 | i64::try_from(archive).unwrap_or(0)) << 32 | chunk
}

/// The four columns of one archive; the last three may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
struct Columns([Vec<f64>; COLUMNS]);

impl Columns {
    fn at(&self, column: usize, slot: usize) -> f64 {
        self.0[column].get(slot).copied().unwrap_or(f64::NAN)
    }
}

/// `total`: what the averages came to before the page.
fn encode_page(
    columns: &Columns,
    chunk: i64,
    total: Option<f64>,
    scratch: &mut Scratch,
) -> Option<Vec<u8>> {
    let mut rows = Vec::with_capacity(COLUMNS * 512);
    for slot in 0..SLOTS {
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        rows.extend((0..COLUMNS).map(|column| columns.at(column, slot)));
    }
    let lanes = Lanes::Raw {
        rows: &rows,
        stride: COLUMNS,
    };
    let n = usize::try_from(SLOTS).unwrap_or(0);
    let totals = [total, None, None, None];
    encode((0, n, chunk), lanes, &totals, usize::MAX, scratch)
}

/// Reads a page: `each(slot, column, value)`; what its averages came to before it. Nothing of it when it is
/// damaged.
fn decode_page(
    bytes: &[u8],
    chunk: i64,
    scratch: &mut Scratch,
    mut each: impl FnMut(i64, usize, f64),
) -> Option<f64> {
    let page = Page::open(bytes).filter(|p| p.chunk == chunk)?;
    let mut total = None;
    for column in 0..COLUMNS {
        let head = page.read(column, scratch, |slot, cell| {
            let slot = i64::try_from(slot).unwrap_or(0);
            each(chunk * SLOTS + slot, column, cell.last);
        });
        total = total.or(head.and_then(|head| head.total));
    }
    total
}
