//! Old figures in bulk: whole pages of every archive at once, without the journal.
//!
//! A reading goes straight into the slots of each archive whose ring still reaches back to it, so
//! thirty days need no detour over seconds. What lies in chunks that are still open goes where live
//! readings go; coarse chunks that are still open are derived later, from the finer pages.

use rusqlite::{Connection, Transaction};
use vigie_parsers::Timestamp;
use vigie_query::Labels;

use super::cells::Cells;
use super::group::{Group, Late};
use super::ingest::Ingest;
use super::journal;
use super::journal::Event;
use super::lane::{Effect, Lane, Tag, add_units, spread};
use super::layout::{LANES, slot_of};
use super::old::{self, OldSeries, Taken};
use super::page::{Cell, Scratch};
use super::pages::Pages;
use super::registry::Place;
use super::rename::NewName;
use super::retention::Pattern;
use crate::{Reading, Result, SampleRow};

/// Counters may be so many spacings apart.
const HEARTBEAT_SPACINGS: i64 = 3;

/// One run of bulk readings.
pub(super) struct Fill<'t> {
    pages: Pages<'t>,
    heartbeat_ms: i64,
    /// By group, then by archive.
    buffers: Vec<Vec<Option<Cells>>>,
    /// From when on each archive of each group reaches.
    oldest_ms: Vec<Vec<i64>>,
    /// The states of counters as they were then, by group and lane.
    lanes: Vec<Vec<Option<Lane>>>,
    scratch: Scratch,
}

impl Ingest {
    /// Takes readings in bulk, up to `until`; how many were taken. The groups have changed even if
    /// the transaction fails: the caller then opens them anew.
    pub(crate) fn backfill(
        &mut self,
        tx: &Transaction<'_>,
        rows: impl Iterator<Item = SampleRow>,
        spacing_ms: i64,
        until: Timestamp,
    ) -> Result<u64> {
        self.sync();
        let registry = self.registry.clone();
        let mut fill = Fill {
            pages: Pages::new(tx, &registry),
            heartbeat_ms: spacing_ms.saturating_mul(HEARTBEAT_SPACINGS),
            buffers: self
                .groups
                .iter()
                .map(|g| (0..g.rings.len()).map(|_| None).collect())
                .collect(),
            oldest_ms: vec![Vec::new(); self.groups.len()],
            lanes: vec![vec![None; LANES]; self.groups.len()],
            scratch: Scratch::default(),
        };
        let mut taken = 0;
        for row in rows {
            let Some(place) = self.places.get(row.series.0 as usize).copied().flatten() else {
                continue;
            };
            let group = &mut self.groups[place.group as usize];
            if row.time <= until && fill.take(group, place, row.time.0, row.reading, until.0)? {
                taken += 1;
            }
        }
        let touched = fill.finish(&mut self.groups)?;
        self.record_backfill(tx, &touched, Vec::new(), until.0)?;
        Ok(taken)
    }

    /// Takes old figures in as they are, archive by archive, and tells readers.
    pub(crate) fn import(
        &mut self,
        tx: &Transaction<'_>,
        series: &[OldSeries<'_>],
        now: Timestamp,
    ) -> Result<Vec<Taken>> {
        self.sync();
        let taken = old::import(tx, &self.registry, series, now)?;
        let news = taken.iter().any(|t| *t != Taken::Same);
        let events = news.then_some(Event::SeriesAdded).into_iter().collect();
        self.record_backfill(tx, &[], events, now.0)?;
        Ok(taken)
    }

    /// Erases old figures, and tells readers; of which series.
    pub(crate) fn delete_old(
        &mut self,
        tx: &Transaction<'_>,
        pattern: &Pattern,
        now_ms: i64,
    ) -> Result<Vec<Labels>> {
        let gone = old::delete(tx, &self.registry, pattern)?;
        self.tell(tx, &gone, now_ms)?;
        Ok(gone)
    }

    /// Renames old figures, and tells readers; of which series.
    pub(crate) fn rename_old(
        &mut self,
        tx: &Transaction<'_>,
        (pattern, to): (&Pattern, &NewName),
        now_ms: i64,
    ) -> Result<Vec<Labels>> {
        let renamed = old::rename(tx, &self.registry, pattern, to)?;
        self.tell(tx, &renamed, now_ms)?;
        Ok(renamed)
    }

    fn tell(&mut self, tx: &Transaction<'_>, changed: &[Labels], now_ms: i64) -> Result<()> {
        let event = (!changed.is_empty()).then_some(Event::SeriesAdded);
        self.record_backfill(tx, &[], event.into_iter().collect(), now_ms)
    }

    /// Bytes of imported figures.
    pub(crate) fn old_bytes(&self) -> u64 {
        self.registry.old_bytes()
    }

    /// Starts again from what is durable, with the imported figures there were before the transaction that failed.
    pub(crate) fn undo_import(&mut self, conn: &Connection, old_bytes: u64) -> Result<()> {
        self.registry.set_old_bytes(old_bytes);
        self.reload(conn)
    }
}

impl Fill<'_> {
    fn take(
        &mut self,
        group: &mut Group,
        place: Place,
        time_ms: i64,
        reading: Reading,
        until_ms: i64,
    ) -> Result<bool> {
        let tag = Tag::of(&reading);
        let value = f64::from_bits(journal::bits_of(reading));
        let sound = tag == Tag::Counter || value.is_finite() && (tag == Tag::Gauge || value >= 0.0);
        if !sound || tag.is_counter() != (place.kind == vigie_query::MetricKind::Counter) {
            return Ok(false);
        }
        group.open_at(until_ms);
        let at = place.group as usize;
        if self.oldest_ms[at].is_empty() {
            let oldest = |a| group.rings.begins(a, group.oldest_chunk(a));
            self.oldest_ms[at] = (0..group.rings.len()).map(oldest).collect();
        }
        let present = group.lanes[place.lane];
        let heartbeat_ms = self.heartbeat_ms.max(place.heartbeat_ms);
        let lane = self.lanes[at][place.lane].get_or_insert_with(|| {
            if present.last_ms < time_ms {
                present
            } else {
                Lane::default()
            }
        });
        let total = lane.total;
        let effect = if lane.tag == tag || matches!(tag, Tag::Gauge | Tag::Increase) {
            if lane.tag != tag {
                lane.tag = tag;
            } else if tag.is_counter() && tag != Tag::Increase && time_ms <= lane.last_ms {
                return Ok(false);
            }
            lane.take(reading, time_ms, heartbeat_ms).0
        } else {
            lane.rebase(tag, journal::bits_of(reading), time_ms);
            Effect::None
        };
        for archive in 0..group.rings.len() {
            self.place(group, archive, &place, (effect, time_ms), total)?;
        }
        Ok(true)
    }

    /// Brings an effect into one archive, where that is its business.
    fn place(
        &mut self,
        group: &mut Group,
        archive: usize,
        place: &Place,
        (effect, time_ms): (Effect, i64),
        total: f64,
    ) -> Result<()> {
        let oldest_ms = self.oldest_ms[place.group as usize][archive];
        // Most readings are older than the finest rings: no division is needed to know that.
        if time_ms <= oldest_ms {
            return Ok(());
        }
        let lane = place.lane;
        let step_ms = group.rings.archive(archive).step_ms;
        let raw_ms = group.step_ms();
        let oldest = oldest_ms.div_euclid(step_ms);
        match effect {
            Effect::None => Ok(()),
            Effect::Set(value) => {
                let slot = slot_of(time_ms, step_ms);
                self.cell(
                    group,
                    archive,
                    (slot, oldest),
                    lane,
                    (Cell::of(value), Late::Set(value)),
                    None,
                )
            }
            Effect::Grow {
                units,
                decimals,
                from_ms,
                until_ms,
            } => {
                let (mut result, mut before) = (Ok(()), total);
                spread(units, (from_ms, until_ms), step_ms, |slot, part| {
                    let covered =
                        (until_ms.min((slot + 1) * step_ms)) - from_ms.max(slot * step_ms);
                    let slots = (covered + raw_ms - 1).div_euclid(raw_ms).max(1);
                    let scaled = |units: i64| add_units(0.0, units, decimals);
                    let (min, max) = (part.div_euclid(slots), (part + slots - 1).div_euclid(slots));
                    let cell = Cell {
                        count: u32::try_from(slots).unwrap_or(u32::MAX),
                        sum: scaled(part),
                        min: scaled(min),
                        max: scaled(max),
                        last: scaled(max),
                    };
                    let change = (cell, Late::Add(part, decimals));
                    if result.is_ok() {
                        result =
                            self.cell(group, archive, (slot, oldest), lane, change, Some(before));
                    }
                    before = add_units(before, part, decimals);
                });
                result
            }
        }
    }

    fn cell(
        &mut self,
        group: &mut Group,
        archive: usize,
        (slot, oldest): (i64, i64),
        lane: usize,
        (cell, change): (Cell, Late),
        total: Option<f64>,
    ) -> Result<()> {
        if slot < oldest {
            return Ok(());
        }
        let (lanes, at) = (group.lanes.len(), group.rings.group as usize);
        let buffer = &mut self.buffers[at][archive];
        if !buffer.as_ref().is_some_and(|b| b.slots().contains(&slot)) {
            let chunk = group.rings.chunk_of(archive, slot);
            if chunk >= group.sealed[archive] {
                if archive == 0 {
                    group.change(slot, lane, change);
                }
                return Ok(());
            }
            if let Some(full) = buffer.take() {
                full.write(&self.pages, &group.rings, lanes, &mut self.scratch)?;
            }
            let place = (archive, chunk);
            *buffer = Some(Cells::load(
                &self.pages,
                &group.rings,
                place,
                &mut self.scratch,
            )?);
        }
        if let Some(buffer) = buffer {
            if let Some(held) = buffer.at(lane, slot) {
                if archive == 0 {
                    let mut value = if held.count == 0 { f64::NAN } else { held.last };
                    change.apply(&mut value);
                    *held = Cell::of(value);
                } else {
                    held.add(&cell);
                }
            }
            if buffer.totals[lane].is_none() {
                buffer.totals[lane] = total;
            }
        }
        Ok(())
    }

    /// Writes what is left; the groups that were touched.
    fn finish(mut self, groups: &mut [Group]) -> Result<Vec<usize>> {
        let mut touched = Vec::new();
        for (at, group) in groups.iter_mut().enumerate() {
            for buffer in self.buffers[at].iter_mut().filter_map(Option::take) {
                let lanes = group.lanes.len();
                buffer.write(&self.pages, &group.rings, lanes, &mut self.scratch)?;
            }
            let mut any = false;
            for (lane, then) in self.lanes[at].iter().enumerate() {
                let Some(then) = then else { continue };
                any = true;
                let now = &mut group.lanes[lane];
                if then.last_ms > now.last_ms {
                    *now = Lane {
                        first_ms: then.first_ms.min(now.first_ms),
                        ..*then
                    };
                } else {
                    now.first_ms = now.first_ms.min(then.first_ms);
                }
            }
            if any {
                touched.push(at);
            }
        }
        Ok(touched)
    }
}
