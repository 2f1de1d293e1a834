//! Events by message pattern: `patterns`, `new`, `diff`.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;
use vigie_parsers::Timestamp;

use super::super::eval::message;
use super::super::groups::TOO_MANY_GROUPS;
use super::super::query::Pipe;
use super::super::table::{Cell, Item};
use super::super::template::template_into;
use super::super::time::Moment;
use super::plan::Chain;
use super::stages::Stage;
use super::{Budget, Flow, Out, RunError, Runner};

/// Bytes of a pattern or a sample: a group is for recognising, not for keeping whole.
const MAX_TEXT: usize = 1024;
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
        pattern_of(&message, &mut self.buffer);
        if let Some(seen) = self.seen.get_mut(self.buffer.as_slice()) {
            seen.count += 1;
            seen.first = seen.first.min(time);
            seen.last = seen.last.max(time);
            return;
        }
        let sample = &message[..message.len().min(MAX_TEXT)];
        if self.seen.len() >= budget.max_groups() {
            budget.cut(TOO_MANY_GROUPS);
        } else if budget.take(size_of::<Seen>() + self.buffer.len() + sample.len()) {
            let seen = Seen {
                count: 1,
                first: time,
                last: time,
                sample: sample.to_vec(),
            };
            self.seen.insert(self.buffer.as_slice().into(), seen);
        }
    }

    /// Patterns with the most frequent first.
    fn sorted(self) -> Vec<(Box<[u8]>, Seen)> {
        let mut list: Vec<_> = self.seen.into_iter().collect();
        list.sort_by(|(p, a), (q, b)| b.count.cmp(&a.count).then_with(|| p.cmp(q)));
        list
    }
}

fn pattern_of(message: &[u8], buffer: &mut Vec<u8>) {
    buffer.clear();
    template_into(message, buffer);
    buffer.truncate(MAX_TEXT);
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
        let patterns = std::mem::take(&mut self.patterns);
        let total = patterns.total;
        patterns.sorted().iter().try_for_each(|(pattern, seen)| {
            let cells = [
                Cell::Count(seen.count),
                Cell::Share(share(seen.count, total)),
                Cell::Time(seen.first),
                Cell::Time(seen.last),
                text(pattern),
                text(&seen.sample),
            ];
            out(Item::Row {
                columns: &columns,
                cells: &cells,
            })
        })
    }
}

impl Runner<'_> {
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
        let (seen, buffer) = (&mut found.seen, &mut found.buffer);
        let missed = self.stats.incomplete.is_some();
        self.pass(before, base, None, &mut |item| {
            if let Item::Event(hit) = item {
                pattern_of(&message(hit.event), buffer);
                seen.remove(buffer.as_slice());
            }
            if seen.is_empty() {
                Flow::Break(())
            } else {
                Flow::Continue(())
            }
        })?;
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

    /// The patterns of what passes `pipes` in a range.
    fn gather(&mut self, pipes: &[Pipe], range: Range<Timestamp>) -> Result<Patterns, RunError> {
        let (mut patterns, budget) = (Patterns::default(), self.budget);
        self.pass(pipes, range, None, &mut |item| {
            patterns.add(&item, budget);
            Flow::Continue(())
        })?;
        Ok(patterns)
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
