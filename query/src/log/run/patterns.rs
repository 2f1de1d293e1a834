//! Events by message pattern: `patterns`, `new`, `diff`.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;
use vigie_parsers::Timestamp;

use super::super::eval::message;
use super::super::groups::TOO_MANY_GROUPS;
use super::super::pattern::{MAX_PATTERN, pattern_into};
use super::super::query::Pipe;
use super::super::table::{Cell, Item};
use super::super::time::Moment;
use super::plan::Chain;
use super::stages::Stage;
use super::{Budget, Flow, Out, RunError, Runner};
use crate::{GroupBy, PatternCounts};

/// The row of the events whose patterns were beyond what a source keeps apart.
const OTHERS: &[u8] = b"(other)";
/// Why there is such a row.
const TOO_MANY_PATTERNS: &str = "more patterns than are kept apart: the rest counts as (other)";
/// What a source may count by.
const UNITS_MS: [i64; 2] = [60_000, 3_600_000];
/// How far back `new` looks for a pattern before it calls it new.
const NEW_LOOKS_BACK_MS: i64 = 30 * 86_400_000;

/// What is known of one pattern.
struct Seen {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    sample: Vec<u8>,
}

/// Patterns, each with what is known of it.
#[derive(Default)]
struct Patterns {
    seen: HashMap<Box<[u8]>, Seen, RandomState>,
    total: u64,
    buffer: Vec<u8>,
}

impl Patterns {
    /// Counts an event, the newest as the sample.
    fn add(&mut self, item: &Item<'_>, budget: &Budget) {
        let Item::Event(hit) = item else { return };
        let (message, time) = (message(hit.event), hit.event.time);
        self.total += 1;
        pattern_into(&hit.event.line, &hit.event.record, &mut self.buffer);
        if let Some(seen) = self.seen.get_mut(self.buffer.as_slice()) {
            seen.count += 1;
            seen.first = seen.first.min(time);
            seen.last = seen.last.max(time);
            return;
        }
        let seen = Seen {
            count: 1,
            first: time,
            last: time,
            sample: message[..message.len().min(MAX_PATTERN)].to_vec(),
        };
        let pattern = std::mem::take(&mut self.buffer);
        self.insert(&pattern, seen, budget);
        self.buffer = pattern;
    }

    fn insert(&mut self, pattern: &[u8], seen: Seen, budget: &Budget) {
        if self.seen.len() >= budget.max_groups() {
            budget.cut(TOO_MANY_GROUPS);
        } else if budget.take(size_of::<Seen>() + pattern.len() + seen.sample.len()) {
            self.seen.insert(pattern.into(), seen);
        }
    }

    /// Adds what a source had counted.
    fn add_counts(&mut self, counts: PatternCounts, budget: &Budget) {
        self.total += counts.total();
        for counted in counts.patterns {
            if let Some(seen) = self.seen.get_mut(counted.pattern.as_slice()) {
                seen.count += counted.count;
                seen.first = seen.first.min(counted.first);
                if counted.last > seen.last {
                    seen.last = counted.last;
                    seen.sample = counted.sample;
                }
                continue;
            }
            let seen = Seen {
                count: counted.count,
                first: counted.first,
                last: counted.last,
                sample: counted.sample,
            };
            self.insert(&counted.pattern, seen, budget);
        }
        if let Some((first, last, count)) = counts.others {
            budget.cut(TOO_MANY_PATTERNS);
            let others = Seen {
                count,
                first,
                last,
                sample: Vec::new(),
            };
            match self.seen.get_mut(OTHERS) {
                Some(seen) => {
                    seen.count += count;
                    seen.first = seen.first.min(first);
                    seen.last = seen.last.max(last);
                }
                None => self.insert(OTHERS, others, budget),
            }
        }
    }

    /// The rows of `patterns`.
    fn rows(self) -> Vec<Vec<Cell>> {
        let total = self.total;
        let row = |(pattern, seen): (Box<[u8]>, Seen)| {
            vec![
                Cell::Count(seen.count),
                Cell::Share(share(seen.count, total)),
                Cell::Time(seen.first),
                Cell::Time(seen.last),
                text(&pattern),
                text(&seen.sample),
            ]
        };
        self.sorted().into_iter().map(row).collect()
    }

    /// Patterns with the most frequent first.
    fn sorted(self) -> Vec<(Box<[u8]>, Seen)> {
        let mut list: Vec<_> = self.seen.into_iter().collect();
        list.sort_by(|(p, a), (q, b)| b.count.cmp(&a.count).then_with(|| p.cmp(q)));
        list
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of events")]
fn share(count: u64, total: u64) -> f64 {
    count as f64 / total.max(1) as f64
}

fn text(bytes: &[u8]) -> Cell {
    Cell::Text(bytes.to_vec())
}

/// `patterns`
pub(super) struct PatternStage<'a> {
    patterns: Patterns,
    budget: &'a Budget,
}

impl<'a> PatternStage<'a> {
    pub(super) fn new(budget: &'a Budget) -> Self {
        Self {
            patterns: Patterns::default(),
            budget,
        }
    }
}

impl Stage for PatternStage<'_> {
    fn push(&mut self, item: Item<'_>, _out: &mut Out<'_>) -> Flow {
        self.patterns.add(&item, self.budget);
        Flow::Continue(())
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Flow {
        let columns = Pipe::Patterns.columns().unwrap_or_default();
        let rows = std::mem::take(&mut self.patterns).rows();
        rows.iter().try_for_each(|cells| {
            out(Item::Row {
                columns: &columns,
                cells,
            })
        })
    }
}

impl Runner<'_> {
    /// `patterns` of events as they come from the source.
    pub(super) fn patterns(&mut self, behind: &[Pipe], out: &mut Out<'_>) -> Result<(), RunError> {
        let rows = self.gather(&[], self.range.clone())?.rows();
        let columns = Pipe::Patterns.columns().unwrap_or_default();
        self.rows(behind, &columns, rows, out)
    }

    /// `new [since t]`: patterns from `t` on that the month before `t` did not have.
    pub(super) fn new_patterns(
        &mut self,
        before: &[Pipe],
        since: Option<&Moment>,
        behind: &[Pipe],
        out: &mut Out<'_>,
    ) -> Result<(), RunError> {
        let since = match since {
            Some(moment) => moment.start(&self.cx.clock).map_err(RunError::Query)?,
            None => self.range.start,
        };
        self.range.start = since;
        self.range.end = self.range.end.max(since);
        let mut found = self.gather(before, self.range.clone())?;
        let base = since.plus_ms(-NEW_LOOKS_BACK_MS)..since;
        let missed = self.stats.incomplete.is_some();
        self.strike_out(before, base, &mut found)?;
        if let (false, Some(why)) = (missed, &mut self.stats.incomplete) {
            why.push_str("; what came before was not searched to its end, so some may not be new");
        }
        let columns = Pipe::New { since: None }.columns().unwrap_or_default();
        let rows = found.sorted().into_iter().map(|(pattern, seen)| {
            vec![
                Cell::Count(seen.count),
                Cell::Time(seen.first),
                Cell::Time(seen.last),
                text(&pattern),
                text(&seen.sample),
            ]
        });
        self.rows(behind, &columns, rows, out)
    }

    /// Strikes out the patterns that events of a range have.
    fn strike_out(
        &mut self,
        pipes: &[Pipe],
        range: Range<Timestamp>,
        found: &mut Patterns,
    ) -> Result<(), RunError> {
        if let Some(counts) = self.counted(pipes, &range)? {
            for counted in &counts.patterns {
                found.seen.remove(counted.pattern.as_slice());
            }
            let covered = counts.covered;
            self.strike_out_by_lines(pipes, range.start..covered.start, found)?;
            return self.strike_out_by_lines(pipes, covered.end..range.end, found);
        }
        self.strike_out_by_lines(pipes, range, found)
    }

    fn strike_out_by_lines(
        &mut self,
        pipes: &[Pipe],
        range: Range<Timestamp>,
        found: &mut Patterns,
    ) -> Result<(), RunError> {
        let (seen, buffer) = (&mut found.seen, &mut found.buffer);
        // Nothing is known of what the rest is.
        seen.remove(OTHERS);
        if range.is_empty() || seen.is_empty() {
            return Ok(());
        }
        self.pass(pipes, range, None, &mut |item| {
            if let Item::Event(hit) = item {
                pattern_into(&hit.event.line, &hit.event.record, buffer);
                seen.remove(buffer.as_slice());
            }
            if seen.is_empty() {
                Flow::Break(())
            } else {
                Flow::Continue(())
            }
        })
    }

    /// `diff d`: each pattern's share in the range and in the same range `d` before.
    pub(super) fn diff(
        &mut self,
        before: &[Pipe],
        ms: i64,
        behind: &[Pipe],
        out: &mut Out<'_>,
    ) -> Result<(), RunError> {
        let range = self.range.clone();
        let earlier = range.start.plus_ms(-ms)..range.end.plus_ms(-ms);
        let mut now = self.gather(before, range)?;
        let mut then = self.gather(before, earlier)?;
        let (total_now, total_then) = (now.total, then.total);
        let mut rows = Vec::new();
        let mut row = |pattern: &[u8], now: Option<&Seen>, then: Option<&Seen>| {
            let count = |seen: Option<&Seen>| seen.map_or(0, |s| s.count);
            let sample = now.or(then).map_or(Cell::Null, |s| text(&s.sample));
            let (is, was) = (share(count(now), total_now), share(count(then), total_then));
            rows.push(vec![
                Cell::Count(count(now)),
                Cell::Count(count(then)),
                Cell::Share(is),
                Cell::Share(was),
                Cell::Share(is - was),
                text(pattern),
                sample,
            ]);
        };
        for (pattern, seen) in now.seen.drain() {
            let was = then.seen.remove(&pattern);
            row(&pattern, Some(&seen), was.as_ref());
        }
        for (pattern, was) in then.seen.drain() {
            row(&pattern, None, Some(&was));
        }
        // The greatest change first, whichever way.
        let change = |row: &[Cell]| row[4].number().unwrap_or_default().abs();
        rows.sort_by(|a, b| {
            change(b)
                .total_cmp(&change(a))
                .then_with(|| a[5].order(&b[5]))
        });
        let columns = Pipe::Diff(0).columns().unwrap_or_default();
        self.rows(behind, &columns, rows, out)
    }

    /// The patterns of what passes `pipes` in a range: those that the source has counted, and where
    /// it has not, line by line.
    fn gather(&mut self, pipes: &[Pipe], range: Range<Timestamp>) -> Result<Patterns, RunError> {
        let mut patterns = Patterns::default();
        if let Some(counts) = self.counted(pipes, &range)? {
            let covered = counts.covered.clone();
            patterns.add_counts(counts, self.budget);
            self.gather_edge(range.start..covered.start, &mut patterns)?;
            self.gather_edge(covered.end..range.end, &mut patterns)?;
        } else {
            self.gather_lines(pipes, range, &mut patterns)?;
        }
        Ok(patterns)
    }

    fn gather_lines(
        &mut self,
        pipes: &[Pipe],
        range: Range<Timestamp>,
        patterns: &mut Patterns,
    ) -> Result<(), RunError> {
        let budget = self.budget;
        self.pass(pipes, range, None, &mut |item| {
            patterns.add(&item, budget);
            Flow::Continue(())
        })
    }

    /// What a source has counted of a range, if it can tell what passes.
    fn counted(
        &mut self,
        pipes: &[Pipe],
        range: &Range<Timestamp>,
    ) -> Result<Option<PatternCounts>, RunError> {
        if !pipes.is_empty() || range.is_empty() || !self.filter.is_of_patterns() {
            return Ok(None);
        }
        let counts = self.source.count_patterns(range.clone(), self.filter)?;
        let counts = counts.filter(|c| !c.covered.is_empty());
        if let Some(counts) = &counts {
            self.stats.add(counts.stats.clone());
        }
        Ok(counts)
    }

    /// Part of a minute or of an hour: line by line, but where lines are gone all of it as it was
    /// counted.
    fn gather_edge(
        &mut self,
        range: Range<Timestamp>,
        patterns: &mut Patterns,
    ) -> Result<(), RunError> {
        if range.is_empty() {
            return Ok(());
        }
        for unit in UNITS_MS {
            let start = range.start.plus_ms(-range.start.0.rem_euclid(unit));
            let end = range.end.plus_ms((-range.end.0).rem_euclid(unit));
            let Some(counts) = self.counted(&[], &(start..end))? else {
                continue;
            };
            if counts.covered != (start..end) {
                continue;
            }
            let by = GroupBy {
                fields: &[],
                step: None,
                max_groups: 1,
            };
            let scan = self.scan_of(self.filter, start..end, self.order);
            let there = self.source.count_by(&scan, &by)?;
            let there: u64 = there.groups.iter().map(|g| g.count).sum();
            if counts.total() > there {
                patterns.add_counts(counts, self.budget);
                return Ok(());
            }
            break;
        }
        self.gather_lines(&[], range, patterns)
    }

    /// Sends finished rows through the rest of the chain.
    fn rows(
        &self,
        pipes: &[Pipe],
        columns: &[String],
        rows: impl IntoIterator<Item = Vec<Cell>>,
        out: &mut Out<'_>,
    ) -> Result<(), RunError> {
        let order = crate::Order::OldestFirst;
        let mut chain = Chain::new(pipes, self.budget, order, self.cx, &self.range)?;
        // Whoever has enough says so again, if more is pushed.
        let _ = rows.into_iter().try_for_each(|cells| {
            chain.push(
                Item::Row {
                    columns,
                    cells: &cells,
                },
                out,
            )
        });
        chain.finish(out);
        Ok(())
    }
}
