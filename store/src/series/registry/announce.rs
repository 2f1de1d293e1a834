//! Series that are announced: known, new, moved to other archives, or refused.

use std::sync::Arc;

use vigie_query::Labels;

use super::super::layout::{LANES, Layout};
use super::super::retention::Archives;
use super::{Announced, Inner, Move, Place, SeriesDef, SeriesId};
use crate::{Error, Result};

/// A counter's readings may be so many steps apart before the growth between them is unknown.
const HEARTBEAT_STEPS: i64 = 3;
/// What a restart of the daemon may take without leaving a gap.
const HEARTBEAT_MS_MIN: i64 = 10_000;

impl Inner {
    pub(super) fn intern(
        &mut self,
        def: &SeriesDef,
        archives: Option<&Archives>,
        source: &Arc<str>,
    ) -> Result<SeriesId> {
        if let Some(&id) = self.ids.get(&def.labels) {
            self.senders.took(id, source);
            self.asked.insert(id);
            let announced = self.announced.get_mut(id.0 as usize);
            if let Some(first @ Announced::Not) = announced.filter(|_| archives.is_none()) {
                let step_ms = def.step_ms;
                *first = Announced::Rules { step_ms };
                self.settle(id, &def.labels, step_ms);
            }
            return Ok(id);
        }
        if self.senders.is_full(source) {
            self.refused_of_source += 1;
            let limit = self.senders.limit();
            return self.refuse(def, source, || {
                format!(
                    "{source} has {limit} series, as many as one source may \
                     (store.series_max_per_source)"
                )
            });
        }
        if self.ids.len() >= self.limit {
            let limit = self.limit;
            return self.refuse(def, source, || {
                format!("the store holds {limit} series, as many as it may (store.series_max)")
            });
        }
        let layout = match archives {
            Some(archives) => self.layout(archives),
            None => self.wanted_layout(&def.labels, def.step_ms),
        };
        let Some((group, lane)) = self.free_lane(&layout) else {
            let budget = self.book.budget() >> 20;
            return self.refuse(def, source, || {
                format!(
                    "the rings of more series would not fit into {budget} MiB (store.series_budget)"
                )
            });
        };
        let id = SeriesId(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        self.places.push(Some(Place {
            group,
            lane,
            kind: def.kind,
            heartbeat_ms: heartbeat_ms(def.step_ms),
        }));
        self.announced.push(match archives {
            Some(_) => Announced::Own,
            None => Announced::Rules {
                step_ms: def.step_ms,
            },
        });
        self.senders.took(id, source);
        self.ids.insert(def.labels.clone(), id);
        self.unwritten.series.push((id, def.clone()));
        Ok(id)
    }

    fn wanted_layout(&mut self, labels: &Labels, step_ms: i64) -> Arc<Layout> {
        let archives = self.retention.archives(labels, step_ms);
        self.layout(&archives)
    }

    fn free_lane(&mut self, layout: &Layout) -> Option<(u32, usize)> {
        let free = self.free.entry(layout.id).or_default().pop();
        free.or_else(|| self.new_group(layout))
    }

    /// Moves a series to the archives that it should have. Where these do not fit into the budget it
    /// keeps those that it has.
    pub(super) fn settle(&mut self, id: SeriesId, labels: &Labels, step_ms: i64) {
        let Some(Some(old)) = self.places.get(id.0 as usize).copied() else {
            return;
        };
        let mut to = Place {
            heartbeat_ms: heartbeat_ms(step_ms),
            ..old
        };
        let layout = self.wanted_layout(labels, step_ms);
        if layout.id != self.groups[old.group as usize] {
            match self.free_lane(&layout) {
                Some((group, lane)) => (to.group, to.lane) = (group, lane),
                None => self.unmoved += 1,
            }
        }
        if (to.group, to.lane, to.heartbeat_ms) != (old.group, old.lane, old.heartbeat_ms) {
            self.places[id.0 as usize] = Some(to);
            self.unwritten.moves.push(Move { id, to });
        }
    }

    fn refuse(
        &mut self,
        def: &SeriesDef,
        source: &Arc<str>,
        why: impl Fn() -> String,
    ) -> Result<SeriesId> {
        self.refused += 1;
        self.senders.refused(source, def.labels.name());
        Err(Error::Limit(why()))
    }

    /// The layout with these archives, known or new.
    fn layout(&mut self, archives: &Archives) -> Arc<Layout> {
        let next = self.layouts.keys().max().map_or(0, |id| id + 1);
        let new = Layout::new(next, archives);
        let mut known = self.layouts.values();
        if let Some(known) = known.find(|l| l.archives == new.archives) {
            return Arc::clone(known);
        }
        let new = Arc::new(new);
        self.layouts.insert(next, Arc::clone(&new));
        self.unwritten.layouts.push(Arc::clone(&new));
        new
    }

    /// A group more, if its rings fit into the budget; its first lane.
    fn new_group(&mut self, layout: &Layout) -> Option<(u32, usize)> {
        let layout = self.layouts.get(&layout.id).map(Arc::clone)?;
        if !self.book.admits(&layout) {
            return None;
        }
        let group = match self.empty.pop() {
            Some(group) => group,
            None => {
                self.groups.push(layout.id);
                u32::try_from(self.groups.len() - 1).ok()?
            }
        };
        self.book.open(group, &layout);
        self.groups[group as usize] = layout.id;
        self.unwritten.groups.push(group);
        let free = self.free.entry(layout.id).or_default();
        free.extend((1..LANES).rev().map(|lane| (group, lane)));
        Some((group, 0))
    }
}

fn heartbeat_ms(step_ms: i64) -> i64 {
    step_ms
        .saturating_mul(HEARTBEAT_STEPS)
        .max(HEARTBEAT_MS_MIN)
}
