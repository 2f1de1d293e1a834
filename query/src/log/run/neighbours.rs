//! `around` and `context`: what happened next to the hits.

use std::collections::BTreeMap;
use std::ops::Range;

use vigie_parsers::{Event, Timestamp};

use super::super::extract::Extracted;
use super::super::field::FieldName;
use super::super::filter::{Exact, Filter, Test};
use super::super::query::Pipe;
use super::super::table::{Hit, Item, Kept};
use super::plan::Chain;
use super::{Flow, Out, RunError, Runner};
use crate::{Order, ScanStats};

/// Hits whose surroundings are looked up: each is a search of its own.
const MAX_HITS: usize = 1000;
const TOO_MANY_HITS: &str = "more than 1000 hits: only the newest were looked around";
/// A neighbour that is further away is no context.
const CONTEXT_MS: i64 = 86_400_000;

impl Runner<'_> {
    /// Everything, of all sources, within `ms` of a hit.
    pub(super) fn around(
        &mut self,
        before: &[Pipe],
        ms: i64,
        behind: &[Pipe],
        out: &mut Out<'_>,
    ) -> Result<(), RunError> {
        let hits = self.hits(before)?;
        let windows = windows(&hits, ms, self.cx.clock.now);
        let mut chain = Chain::new(behind, self.budget, self.order, self.cx, &self.range)?;
        let none = Extracted::new();
        for window in windows {
            let (mut stats, mut flow) = (ScanStats::default(), Flow::Continue(()));
            let (filter, order) = (self.filter, Order::NewestFirst);
            self.scan(&Filter::All, window, order, &mut stats, &mut |event| {
                let hit = Hit {
                    event,
                    extracted: &none,
                    is_neighbour: !filter.matches(event),
                };
                flow = chain.push(Item::Event(hit), out);
                flow
            })?;
            self.stats.add(stats);
            if flow.is_break() {
                break;
            }
        }
        chain.finish(out);
        Ok(())
    }

    /// The `n` events before and behind each hit, of the same source.
    pub(super) fn context(
        &mut self,
        before: &[Pipe],
        n: usize,
        behind: &[Pipe],
        out: &mut Out<'_>,
    ) -> Result<(), RunError> {
        let hits = self.hits(before)?;
        // By time and arrival; hits win over neighbours.
        let mut all: BTreeMap<(Timestamp, u64), (Event, bool)> = BTreeMap::new();
        let budget = self.budget;
        let scan = self.scan_of(self.filter, self.range.clone(), Order::OldestFirst);
        let known = self.source.neighbours(&scan, &hits, n, &mut |event| {
            if budget.take(event.line.len() + size_of::<Event>()) {
                all.insert((event.time, event.id), (event.clone(), true));
                return Flow::Continue(());
            }
            Flow::Break(())
        })?;
        let searched: &[Event] = if known.is_some() { &[] } else { &hits };
        self.stats.add(known.unwrap_or_default());
        for hit in searched {
            let source = Filter::Field {
                name: FieldName::new("source"),
                test: Test::Exact(Exact::new(&hit.origin.source, false, false)),
            };
            let after = hit.time..hit.time.plus_ms(CONTEXT_MS);
            let earlier = hit.time.plus_ms(-CONTEXT_MS)..hit.time.plus_ms(1);
            for (range, order) in [(after, Order::OldestFirst), (earlier, Order::NewestFirst)] {
                let (mut stats, mut wanted) = (ScanStats::default(), n);
                self.scan(&source, range, order, &mut stats, &mut |event| {
                    let (here, there) = ((event.time, event.id), (hit.time, hit.id));
                    let beyond = if order == Order::OldestFirst {
                        here > there
                    } else {
                        here < there
                    };
                    if !beyond {
                        return Flow::Continue(());
                    }
                    let Some(left) = wanted.checked_sub(1) else {
                        return Flow::Break(());
                    };
                    wanted = left;
                    if !all.contains_key(&here)
                        && self.budget.take(event.line.len() + size_of::<Event>())
                    {
                        all.insert(here, (event.clone(), true));
                    }
                    Flow::Continue(())
                })?;
                self.stats.add(stats);
            }
        }
        all.extend(
            hits.into_iter()
                .map(|hit| ((hit.time, hit.id), (hit, false))),
        );
        let mut chain = Chain::new(behind, self.budget, self.order, self.cx, &self.range)?;
        let none = Extracted::new();
        // Whoever has enough says so again, if more is pushed.
        let _ = all.values().rev().try_for_each(|(event, is_neighbour)| {
            let hit = Hit {
                event,
                extracted: &none,
                is_neighbour: *is_neighbour,
            };
            chain.push(Item::Event(hit), out)
        });
        chain.finish(out);
        Ok(())
    }

    /// The hits of the query so far, the newest first.
    fn hits(&mut self, pipes: &[Pipe]) -> Result<Vec<Event>, RunError> {
        let (mut hits, budget) = (Vec::new(), self.budget);
        let range = self.range.clone();
        let most = pipes.is_empty().then_some(MAX_HITS + 1);
        self.pass(pipes, range, most, &mut |item| {
            if hits.len() == MAX_HITS {
                budget.cut(TOO_MANY_HITS);
                return Flow::Break(());
            }
            let kept = Kept::new(&item);
            if !budget.take(kept.size()) {
                return Flow::Break(());
            }
            if let Kept::Event { event, .. } = kept {
                hits.push(*event);
            }
            Flow::Continue(())
        })?;
        // Around and context are shown newest first, whatever order found them.
        self.order = Order::NewestFirst;
        Ok(hits)
    }
}

/// The spans around the hits, those that touch joined, the newest first.
fn windows(hits: &[Event], ms: i64, now: Timestamp) -> Vec<Range<Timestamp>> {
    let mut times: Vec<Timestamp> = hits.iter().map(|h| h.time).collect();
    times.sort_unstable();
    let mut windows: Vec<Range<Timestamp>> = Vec::new();
    for time in times {
        let end = time.plus_ms(ms).plus_ms(1).min(now.max(time).plus_ms(1));
        let start = time.plus_ms(-ms);
        match windows.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => windows.push(start..end),
        }
    }
    windows.reverse();
    windows
}
