//! How series move to other archives, get other names, and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Transaction, params};
use vigie_query::Labels;

use super::super::group::Group;
use super::super::journal::Event;
use super::super::lane::{Lane, Tag};
use super::super::layout::Layout;
use super::super::pages::{self, drop_pages};
use super::super::registry::{Move, Past, SeriesId};
use super::super::rows::{delete_series, write_labels, write_place};
use super::super::{old, seal};
use super::{Gone, Ingest, Outcome};
use crate::Result;

impl Ingest {
    /// Writes down where series are now that were moved.
    pub(super) fn write_moved(
        &mut self,
        tx: &Transaction<'_>,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        for &id in &self.moved {
            if let Some(Some(place)) = self.places.get(id as usize) {
                let past = self.past.get(&id).map_or(&[][..], Vec::as_slice);
                write_place(tx, SeriesId(id), place, past)?;
            }
        }
        if !self.moved.is_empty() || self.reborn {
            events.push(Event::SeriesForgotten);
        }
        Ok(())
    }

    /// Strikes out the series whose longest archive has run out since their last reading, and the
    /// former places of others of which the same is true. Series that were announced since the last look
    /// stay until the next: their readings are under way, and would find a number that is gone.
    pub(super) fn forget(
        &mut self,
        tx: &Transaction<'_>,
        now_ms: i64,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        if now_ms < self.forget_at {
            return Ok(());
        }
        self.outcome.looked = true;
        if old::expire(tx, &self.registry, now_ms)? {
            events.push(Event::SeriesAdded);
        }
        let mut gone = Gone::default();
        let run_out = |group: u32, until_ms: i64| {
            until_ms < now_ms.saturating_sub(self.groups[group as usize].rings.span_ms())
        };
        for (id, place) in (0u32..).zip(&self.places) {
            let Some(place) = place else { continue };
            let past = self.past.get(&id).map_or(&[][..], Vec::as_slice);
            let (old, left): (Vec<Past>, Vec<Past>) =
                past.iter().partition(|p| run_out(p.group, p.until_ms));
            let lane = &self.groups[place.group as usize].lanes[place.lane];
            let dead = lane.tag != Tag::None
                && run_out(place.group, lane.last_ms)
                && !self.registry.is_asked(SeriesId(id));
            if dead && left.is_empty() {
                delete_series(tx, SeriesId(id))?;
                gone.series.push(SeriesId(id));
                gone.lanes.push((place.group, place.lane));
            } else if !old.is_empty() {
                write_place(tx, SeriesId(id), place, &left)?;
            }
            gone.lanes.extend(old.iter().map(|p| (p.group, p.lane)));
            if !old.is_empty() {
                gone.past.push((id, left));
            }
        }
        self.let_go(tx, gone, events)
    }

    /// Empties the groups that have no series left, and tells readers.
    fn let_go(
        &mut self,
        tx: &Transaction<'_>,
        mut gone: Gone,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        if gone.lanes.is_empty() {
            return Ok(());
        }
        let touched: BTreeSet<u32> = gone.lanes.iter().map(|(group, _)| *group).collect();
        let mut left: BTreeMap<u32, usize> = touched.iter().map(|&group| (group, 0)).collect();
        let past = self.past.values().flatten().map(|p| p.group);
        for group in self.places.iter().flatten().map(|p| p.group).chain(past) {
            if let Some(count) = left.get_mut(&group) {
                *count += 1;
            }
        }
        for group in touched {
            let freed = gone.lanes.iter().filter(|(g, _)| *g == group).count();
            if left[&group] == freed {
                drop_pages(tx, group)?;
                self.registry.cleared(group);
                // What the journal still holds of it is not to be taken again.
                let layout = Arc::clone(&self.groups[group as usize].rings.layout);
                let empty = Group::new(group, layout);
                let bytes = empty.checkpoint(self.ring.next_seq, &[], true, &mut self.scratch);
                tx.prepare_cached("UPDATE ts_group SET open = ?2 WHERE grp = ?1")?
                    .execute(params![group, bytes])?;
                gone.groups.push(group);
            }
        }
        gone.lanes.retain(|(group, _)| !gone.groups.contains(group));
        self.outcome.gone = gone;
        events.push(Event::SeriesForgotten);
        Ok(())
    }

    /// What the transaction let go of is gone.
    pub(super) fn released(&mut self, gone: Gone) {
        if gone.series.is_empty() && gone.lanes.is_empty() && gone.past.is_empty() {
            return;
        }
        for id in &gone.series {
            self.places[id.0 as usize] = None;
            self.past.remove(&id.0);
        }
        for (id, left) in gone.past {
            if left.is_empty() {
                self.past.remove(&id);
            } else {
                self.past.insert(id, left);
            }
        }
        for &(group, lane) in &gone.lanes {
            if let Some(lane) = self.groups[group as usize].lanes.get_mut(lane) {
                *lane = Lane::default();
            }
        }
        for &group in &gone.groups {
            let layout = Arc::clone(&self.groups[group as usize].rings.layout);
            self.renew(group, layout);
        }
        self.registry
            .forget(&gone.series, &gone.lanes, &gone.groups);
    }

    /// A group begins anew, with nothing in it.
    pub(super) fn renew(&mut self, group: u32, layout: Arc<Layout>) {
        let at = group as usize;
        let checkpoint = self.groups[at].checkpoint;
        self.groups[at] = Group::new(group, layout);
        self.groups[at].checkpoint = checkpoint;
        self.late_since[at] = None;
        self.due_at[at] = i64::MAX;
    }

    /// Strikes out series and erases what is kept of them, in memory as well: when the transaction
    /// fails the caller opens everything anew. Nothing is pending.
    pub(crate) fn delete(
        &mut self,
        tx: &Transaction<'_>,
        ids: &[SeriesId],
        now_ms: i64,
    ) -> Result<()> {
        self.outcome = Outcome {
            now_ms,
            ..Outcome::default()
        };
        let (seq, mut events) = (self.ring.next_seq, Vec::new());
        let mut gone = Gone::default();
        for &id in ids {
            let Some(Some(place)) = self.places.get(id.0 as usize) else {
                continue;
            };
            delete_series(tx, id)?;
            gone.series.push(id);
            gone.lanes.push((place.group, place.lane));
            let past = self.past.get(&id.0).into_iter().flatten();
            gone.lanes.extend(past.map(|p| (p.group, p.lane)));
        }
        gone.lanes.sort_unstable();
        self.let_go(tx, gone, &mut events)?;
        let erased = self.outcome.gone.lanes.clone();
        let registry = self.registry.clone();
        for lanes in erased.chunk_by(|a, b| a.0 == b.0) {
            let at = lanes[0].0 as usize;
            let numbers: Vec<usize> = lanes.iter().map(|(_, lane)| *lane).collect();
            self.groups[at].erase(&numbers);
            pages::erase(tx, &registry, lanes[0].0, &numbers)?;
            self.checkpoint_as_is(tx, at, seq, &mut events)?;
        }
        if events.is_empty() {
            return Ok(());
        }
        self.write_record(tx, now_ms, seq, events)
    }

    /// Gives series other names and labels. Nothing is pending.
    pub(crate) fn rename(
        &mut self,
        tx: &Transaction<'_>,
        renamed: &[(SeriesId, Labels)],
        now_ms: i64,
    ) -> Result<()> {
        self.outcome = Outcome {
            now_ms,
            ..Outcome::default()
        };
        for (id, labels) in renamed {
            write_labels(tx, *id, labels)?;
        }
        let seq = self.ring.next_seq;
        self.write_record(tx, now_ms, seq, vec![Event::SeriesForgotten])
    }

    /// Takes a series to its new place. What it counts goes on there.
    pub(super) fn relocate(&mut self, Move { id, to }: Move) {
        let Some(Some(old)) = self.places.get(id.0 as usize).copied() else {
            return;
        };
        // A transaction that did not succeed had moved it already.
        let moved = (to.group, to.lane) != (old.group, old.lane);
        let lane = self.groups[old.group as usize].lanes.get(old.lane);
        let lane = lane.copied().unwrap_or_default();
        let group = &mut self.groups[to.group as usize];
        group.add_lane(to.lane, to.heartbeat_ms);
        if moved {
            if lane.tag != Tag::None {
                group.open_at(lane.last_ms);
                group.lanes[to.lane] = Lane {
                    first_ms: lane.last_ms,
                    ..lane
                };
            }
            self.past.entry(id.0).or_default().push(Past {
                group: old.group,
                lane: old.lane,
                until_ms: lane.last_ms,
            });
        }
        self.places[id.0 as usize] = Some(to);
        self.moved.insert(id.0);
        if !self.broken.contains(&to.group) {
            self.broken.push(to.group);
        }
        self.due_at[to.group as usize] = seal::due_at(&self.groups[to.group as usize]);
    }
}
