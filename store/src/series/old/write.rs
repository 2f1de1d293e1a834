//! Taking old figures in, and letting go of them.

use std::ops::Range;

use rusqlite::{OptionalExtension, Transaction, params};
use vigie_parsers::{Timestamp, archives};

use super::{
    ARCHIVES_MAX, Archive, COLUMNS, Columns, ID_MAX, OldSeries, SLOTS, SLOTS_MAX, STEP_S_MAX, Spec,
    decode_page, encode_page, page_row, read_rows,
};
use crate::series::Registry;
use crate::series::page::Scratch;
use crate::series::rows::put_labels;
use crate::{Error, Result};

/// What became of an old series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was not there; so many values.
    New(u64),
    /// So many values are new or other ones.
    More(u64),
    /// Everything was there already.
    Same,
}

impl Taken {
    /// What became of a series of which another part was taken afterwards.
    pub(crate) fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::Same, next) => next,
            (so_far, Self::Same) => so_far,
            (Self::New(n), Self::New(more) | Self::More(more)) => Self::New(n + more),
            (Self::More(n), Self::New(more) | Self::More(more)) => Self::More(n + more),
        }
    }
}

const ANSWER: &str = "taken";

/// What became of series, as another process is told.
pub(crate) fn write_taken(taken: &[Taken]) -> String {
    taken.iter().fold(ANSWER.to_owned(), |text, one| match one {
        Taken::New(n) => format!("{text} new:{n}"),
        Taken::More(n) => format!("{text} more:{n}"),
        Taken::Same => format!("{text} same"),
    })
}

/// Reads [`write_taken`]; `None` when it is something else, an error mostly.
pub(crate) fn read_taken(text: &str) -> Option<Vec<Taken>> {
    let mut words = text.split(' ');
    words.next().filter(|w| *w == ANSWER)?;
    let read = |word: &str| match word.split_once(':') {
        Some(("new", n)) => n.parse().ok().map(Taken::New),
        Some(("more", n)) => n.parse().ok().map(Taken::More),
        _ => (word == "same").then_some(Taken::Same),
    };
    words.map(read).collect()
}

/// Takes series in, each with all its archives. Known values are kept where the file has none.
pub(crate) fn import(
    tx: &Transaction<'_>,
    registry: &Registry,
    series: &[OldSeries<'_>],
    now: Timestamp,
) -> Result<Vec<Taken>> {
    let mut scratch = Scratch::default();
    let taken = series.iter().map(|one| {
        check(one)?;
        registry.check_kind(one.labels, one.rates)?;
        take_in(tx, registry, one, now, &mut scratch)
    });
    taken.collect()
}

/// Refuses what the numbers of pages have no room for.
fn check(series: &OldSeries<'_>) -> Result<()> {
    let refuse = |what: String| Err(Error::Limit(format!("{}: {what}", series.labels)));
    if series.archives.len() > ARCHIVES_MAX {
        let n = series.archives.len();
        return refuse(format!("{n} archives; {ARCHIVES_MAX} can be kept"));
    }
    for a in series.archives {
        let slots = i64::try_from(a.average.len()).unwrap_or(i64::MAX);
        let until = a.first.saturating_add(slots);
        if !(1..=STEP_S_MAX).contains(&a.step_s) || a.per_slot == 0 {
            return refuse(format!("slots of {} s cannot be kept", a.step_s));
        }
        if a.first < 0 || until.saturating_mul(a.step_s) > 1 << 40 || slots > SLOTS_MAX {
            return refuse(format!("slots of {} s lie beyond all time", a.step_s));
        }
    }
    if !series.archives.is_sorted_by(|a, b| a.step_s < b.step_s) {
        return refuse("two archives of one step".to_owned());
    }
    Ok(())
}

fn take_in(
    tx: &Transaction<'_>,
    registry: &Registry,
    series: &OldSeries<'_>,
    now: Timestamp,
    scratch: &mut Scratch,
) -> Result<Taken> {
    let mut labels = Vec::new();
    put_labels(&mut labels, series.labels);
    let known = tx
        .prepare_cached("SELECT id, spec FROM ts_old WHERE labels = ?1")?
        .query_row([&labels], |r| {
            Ok((r.get::<_, i64>(0)?, r.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let id = match &known {
        Some((id, _)) => *id,
        None => tx.query_row("SELECT coalesce(max(id), 0) + 1 FROM ts_old", [], |r| {
            r.get(0)
        })?,
    };
    if id >= ID_MAX {
        return Err(Error::Limit("no more old series can be kept".to_owned()));
    }
    let before = known.as_ref().and_then(|(_, spec)| Spec::decode(spec));
    let mut spec = before.clone().unwrap_or_default();
    if before.as_ref().is_some_and(|b| b.rates != series.rates) {
        return Err(Error::Limit(format!(
            "{} was imported {} before: choose another name, or delete that first (vigie series delete)",
            series.labels,
            if series.rates {
                "as values"
            } else {
                "as a counter"
            }
        )));
    }
    spec.rates = series.rates;
    let changed = merge(tx, id, &mut spec, series.archives, scratch)?;
    if changed == 0 {
        return Ok(Taken::Same);
    }
    let old_bytes = before.as_ref().map_or(0, Spec::bytes);
    registry.reserve(old_bytes, spec.bytes())?;
    spec.shift_ms = now
        .0
        .saturating_sub(series.last_update_s.saturating_mul(1000))
        .max(0);
    tx.prepare_cached("INSERT OR REPLACE INTO ts_old VALUES (?1, ?2, ?3)")?
        .execute(params![id, labels, spec.encode()])?;
    tx.prepare_cached("INSERT OR IGNORE INTO ts_metric VALUES (?1, ?3, ?2)")?
        .execute(params![series.labels.name(), series.help, series.rates])?;
    Ok(match before {
        Some(_) => Taken::More(changed),
        None => Taken::New(changed),
    })
}

/// Brings archives into those that are there; how many values changed.
fn merge(
    tx: &Transaction<'_>,
    id: i64,
    spec: &mut Spec,
    new: &[archives::Archive],
    scratch: &mut Scratch,
) -> Result<u64> {
    // The number of an archive is its place in the list: what is there is read before it moves.
    let mut held = Vec::new();
    for (at, archive) in spec.archives.iter().enumerate() {
        held.push((*archive, load(tx, id, at, archive, scratch)?));
    }
    let mut changed = 0;
    for a in new {
        let step_ms = a.step_s * 1000;
        let at = held.partition_point(|(h, _)| h.step_ms < step_ms);
        let slots = i64::try_from(a.average.len()).unwrap_or(0);
        if held.get(at).is_none_or(|(h, _)| h.step_ms != step_ms) {
            let empty = Archive {
                step_ms,
                per_slot: a.per_slot,
                length: slots,
                first: a.first,
                until: a.first,
                bytes: 0,
            };
            held.insert(at, (empty, Columns::default()));
        }
        let (archive, columns) = &mut held[at];
        archive.length = archive.length.max(slots);
        changed += overlay(archive, columns, a);
    }
    if held.len() > ARCHIVES_MAX {
        let what = format!(
            "with those that are there these are {} archives",
            held.len()
        );
        return Err(Error::Limit(what));
    }
    if changed > 0 {
        drop_pages(tx, id, 0..ARCHIVES_MAX)?;
        for (at, (archive, columns)) in held.iter_mut().enumerate() {
            save(tx, (id, at), (archive, spec.rates), columns, scratch)?;
        }
        spec.archives = held.into_iter().map(|(archive, _)| archive).collect();
    }
    Ok(changed)
}

/// Lays new values over old ones and cuts the archive to its length; how many are other than before.
fn overlay(archive: &mut Archive, columns: &mut Columns, new: &archives::Archive) -> u64 {
    let slots = i64::try_from(new.average.len()).unwrap_or(0);
    let until = archive.until.max(new.first + slots);
    let first = if archive.first == archive.until {
        new.first
    } else {
        archive.first.min(new.first)
    };
    let first = first.max(until - archive.length);
    let mut changed = 0;
    let mut merged = Columns::default();
    let sources = [
        Some(&new.average),
        new.min.as_ref(),
        new.max.as_ref(),
        new.last.as_ref(),
    ];
    let index = |slot: i64, first: i64| usize::try_from(slot - first).unwrap_or(usize::MAX);
    for (column, source) in sources.into_iter().enumerate() {
        if source.is_none() && columns.0[column].is_empty() {
            continue;
        }
        for slot in first..until {
            let old = columns.at(column, index(slot, archive.first));
            let fresh = source.and_then(|s| s.get(index(slot, new.first)));
            let value = fresh.copied().filter(|v| v.is_finite()).unwrap_or(old);
            changed += u64::from(!value.is_nan() && value.to_bits() != old.to_bits());
            merged.0[column].push(value);
        }
    }
    (archive.first, archive.until) = (first, until);
    *columns = merged;
    changed
}

fn load(
    tx: &Transaction<'_>,
    id: i64,
    at: usize,
    archive: &Archive,
    scratch: &mut Scratch,
) -> Result<Columns> {
    let len = usize::try_from(archive.until - archive.first).unwrap_or(0);
    let mut columns = Columns::default();
    let mut stmt =
        tx.prepare_cached("SELECT id, data FROM ts_old_page WHERE id BETWEEN ?1 AND ?2")?;
    let (from, until) = (page_row(id, at, 0), page_row(id, at, i64::from(u32::MAX)));
    let mut rows = stmt.query([from, until])?;
    while let Some(row) = rows.next()? {
        let chunk = row.get::<_, i64>(0)? - from;
        let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
        // What is damaged is unknown, and comes in again from the file.
        decode_page(bytes, chunk, scratch, |slot, column, value| {
            let column = &mut columns.0[column];
            if column.is_empty() {
                column.resize(len, f64::NAN);
            }
            let at = usize::try_from(slot - archive.first).unwrap_or(usize::MAX);
            if let Some(cell) = column.get_mut(at) {
                *cell = value;
            }
        });
    }
    Ok(columns)
}

fn save(
    tx: &Transaction<'_>,
    (id, at): (i64, usize),
    (archive, rates): (&mut Archive, bool),
    columns: &Columns,
    scratch: &mut Scratch,
) -> Result<()> {
    archive.bytes = 0;
    let mut total = rates.then_some(0.0);
    for chunk in archive.first.div_euclid(SLOTS)..=(archive.until - 1).div_euclid(SLOTS) {
        let offset = chunk * SLOTS - archive.first;
        let within = shifted(columns, offset);
        let page = encode_page(&within, chunk, total, scratch);
        total = total.map(|total| total + grown(&within.0[0], archive.step_ms));
        let Some(bytes) = page else {
            continue;
        };
        archive.bytes += bytes.len() as u64;
        tx.prepare_cached("INSERT OR REPLACE INTO ts_old_page VALUES (?1, ?2)")?
            .execute((page_row(id, at, chunk), bytes))?;
    }
    Ok(())
}

/// What rates come to; unknown ones to nothing.
pub(super) fn grown(rates: &[f64], step_ms: i64) -> f64 {
    let known = rates.iter().filter(|rate| !rate.is_nan());
    known.map(|&rate| growth(rate, step_ms)).sum()
}

/// What a rate comes to in a slot. No counter goes back.
pub(super) fn growth(rate: f64, step_ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a step is a year at most")]
    let seconds = step_ms as f64 / 1000.0;
    (rate * seconds).max(0.0)
}

/// The columns of one page, which may begin before the archive.
fn shifted(columns: &Columns, offset: i64) -> Columns {
    let mut page = Columns::default();
    for column in (0..COLUMNS).filter(|&c| !columns.0[c].is_empty()) {
        let value = |slot: i64| usize::try_from(slot).map_or(f64::NAN, |s| columns.at(column, s));
        page.0[column] = (offset..offset + SLOTS).map(value).collect();
    }
    page
}

pub(super) fn drop_pages(tx: &Transaction<'_>, id: i64, archives: Range<usize>) -> Result<()> {
    tx.prepare_cached("DELETE FROM ts_old_page WHERE id >= ?1 AND id < ?2")?
        .execute([
            page_row(id, archives.start, 0),
            page_row(id, 0, 0) + (i64::try_from(archives.end).unwrap_or(0) << 32),
        ])?;
    Ok(())
}

/// Lets go of slots that are older than their archive is long; whether anything went.
pub(crate) fn expire(tx: &Transaction<'_>, registry: &Registry, now_ms: i64) -> Result<bool> {
    let mut any = false;
    for mut row in read_rows(tx)? {
        let (before, bytes) = (row.spec.clone(), row.spec.bytes());
        let now_ms = now_ms.saturating_sub(row.spec.shift_ms);
        for (at, archive) in row.spec.archives.iter_mut().enumerate() {
            let oldest = now_ms.div_euclid(archive.step_ms) - archive.length;
            // Whole pages go at once.
            let oldest = oldest.div_euclid(SLOTS) * SLOTS;
            if oldest <= archive.first {
                continue;
            }
            let gone = [
                page_row(row.id, at, 0),
                page_row(row.id, at, oldest / SLOTS),
            ];
            let size: Option<i64> = tx
                .prepare_cached(
                    "SELECT sum(length(data)) FROM ts_old_page WHERE id >= ?1 AND id < ?2",
                )?
                .query_row(gone, |r| r.get(0))?;
            tx.prepare_cached("DELETE FROM ts_old_page WHERE id >= ?1 AND id < ?2")?
                .execute(gone)?;
            archive.bytes = archive
                .bytes
                .saturating_sub(size.unwrap_or(0).unsigned_abs());
            archive.first = oldest.min(archive.until);
        }
        if row.spec == before {
            continue;
        }
        any = true;
        registry.reserve(bytes, row.spec.bytes())?;
        if row.spec.archives.iter().all(|a| a.first == a.until) {
            drop_pages(tx, row.id, 0..ARCHIVES_MAX)?;
            tx.execute("DELETE FROM ts_old WHERE id = ?1", [row.id])?;
        } else {
            tx.execute(
                "UPDATE ts_old SET spec = ?2 WHERE id = ?1",
                params![row.id, row.spec.encode()],
            )?;
        }
    }
    Ok(any)
}
