//! Runs a query over a source: one pass, in bounded memory, newest first unless it asks otherwise.
//!
//! Pipes are stages of a chain; each pushes what it lets through into the next one. What columns can
//! answer alone (counts by field and time) goes to [`EventSource::count_by`] instead.

mod context;
mod figures;
mod group;
mod neighbours;
mod patterns;
mod plan;
mod quantiles;
mod sessions;
mod stages;

use std::cell::{Cell as Shared, RefCell};
use std::ops::{ControlFlow, Range};

use vigie_parsers::{Event, Timestamp};

use super::filter::Filter;
use super::query::{Pipe, Query};
use super::table::{Hit, Item, Sink, Table};
use crate::{EventSource, GroupBy, Order, Scan, ScanStats, Step};
pub use context::{Cursor, Limits, Outcome, RunContext, RunError};
use plan::Chain;

/// A range that nobody has ended goes on so far beyond now: senders whose clocks or zones are ahead of
/// ours have stamps there. As far as a stamp without a year is believed to lie ahead.
pub const AHEAD_MS: i64 = 86_400_000;

pub(crate) type Flow = ControlFlow<()>;
pub(crate) type Out<'o> = dyn FnMut(Item<'_>) -> Flow + 'o;

/// Answers `query` from `source` into `sink`.
///
/// # Errors
/// When the query cannot be answered here or the source fails. A limit is no error: the answer then
/// says that it is incomplete.
pub fn run(
    source: &dyn EventSource,
    query: &Query,
    cx: &RunContext<'_>,
    sink: &mut dyn Sink,
) -> Result<Outcome, RunError> {
    let asked = query.time.as_ref().unwrap_or(&cx.default_range);
    let mut range = asked.resolve(&cx.clock).map_err(RunError::Query)?;
    let (filter, pipes) = plan::fold_conditions(query);
    let now = range.end;
    let open = asked.is_open() && !pipes.iter().any(plan::divides_time);
    if open {
        range.end = now.plus_ms(AHEAD_MS);
    }
    let budget = Budget::new(&cx.limits);
    let mut runner = Runner {
        source,
        cx,
        filter: &filter,
        order: plan::order(pipes),
        budget: &budget,
        stats: ScanStats::default(),
        range,
    };
    let sorted = pipes.iter().any(|p| matches!(p, Pipe::Sort(_)));
    let pages = !query.makes_table() && !sorted && runner.order == Order::NewestFirst;
    let mut answer = Answer {
        table: None,
        before: cx.before.filter(|_| pages),
        given: 0,
        more: false,
        limit: cx.limits.rows,
        sink,
    };
    if query.makes_table() {
        answer.table = Some(Table::default());
    }
    runner.answer(pipes, &mut answer)?;
    let more = answer.more;
    if more && sorted {
        // The next page cannot be asked for: its events are not behind those of this one.
        budget.cut("only the first of what was sorted are shown");
    }
    answer.close(query);
    if open {
        runner.range.end = now;
    }
    let mut stats = runner.stats;
    if stats.incomplete.is_none() {
        stats.incomplete = budget.incomplete.take().map(str::to_owned);
    }
    Ok(Outcome {
        range: runner.range,
        order: runner.order,
        more,
        stats,
    })
}

/// A query under way.
struct Runner<'a> {
    source: &'a dyn EventSource,
    cx: &'a RunContext<'a>,
    filter: &'a Filter,
    order: Order,
    budget: &'a Budget,
    stats: ScanStats,
    range: Range<Timestamp>,
}

/// What the stages of a query share: memory they may hold, and why the answer is cut.
pub(crate) struct Budget {
    left: Shared<usize>,
    groups: usize,
    incomplete: RefCell<Option<&'static str>>,
}

impl Budget {
    fn new(limits: &Limits) -> Self {
        Self {
            left: Shared::new(limits.kept_bytes),
            groups: limits.groups,
            incomplete: RefCell::new(None),
        }
    }

    /// Takes so many bytes, unless there are not so many left.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                true
            }
            None => {
                self.cut("memory limit reached: not everything was kept");
                false
            }
        }
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_add(bytes));
    }

    /// Notes why the answer is not whole.
    pub(crate) fn cut(&self, why: &'static str) {
        self.incomplete.borrow_mut().get_or_insert(why);
    }

    pub(crate) fn max_groups(&self) -> usize {
        self.groups
    }
}

/// The end of the chain.
struct Answer<'s> {
    table: Option<Table>,
    /// Where the page before this one ended.
    before: Option<Cursor>,
    given: usize,
    more: bool,
    limit: usize,
    sink: &'s mut dyn Sink,
}

impl Answer<'_> {
    fn take(&mut self, item: Item<'_>) -> Flow {
        if let (Some(cursor), Item::Event(hit)) = (self.before, &item)
            && (hit.event.time, hit.event.id) >= (cursor.time, cursor.id)
        {
            return Flow::Continue(());
        }
        if self.given >= self.limit {
            self.more = true;
            return Flow::Break(());
        }
        self.given += 1;
        match (item, &mut self.table) {
            (Item::Event(hit), None) => self.sink.event(&hit),
            (Item::Row { columns, cells }, Some(table)) => {
                if table.columns.is_empty() {
                    table.columns = columns.to_vec();
                }
                table.rows.push(cells.to_vec());
                Flow::Continue(())
            }
            // A query makes either; see Query::makes_table.
            _ => Flow::Break(()),
        }
    }

    fn close(self, query: &Query) {
        let Some(mut table) = self.table else { return };
        if table.columns.is_empty() {
            let last = query.pipes.iter().rev().find_map(Pipe::columns);
            table.columns = last.unwrap_or_default();
        }
        self.sink.table(table);
    }
}

impl<'a> Runner<'a> {
    fn answer(&mut self, pipes: &[Pipe], answer: &mut Answer<'_>) -> Result<(), RunError> {
        let out: &mut Out<'_> = &mut |item| answer.take(item);
        if let Some(at) = pipes.iter().position(plan::is_special) {
            let (before, rest) = pipes.split_at(at);
            let (special, behind) = (&rest[0], &rest[1..]);
            return match special {
                Pipe::Around(ms) => self.around(before, *ms, behind, out),
                Pipe::Context(n) => self.context(before, *n, behind, out),
                Pipe::New { since } => self.new_patterns(before, since.as_ref(), behind, out),
                Pipe::Diff(ms) => self.diff(before, *ms, behind, out),
                _ => Ok(()),
            };
        }
        if let Some((Pipe::Patterns, behind)) = pipes.split_first() {
            return self.patterns(behind, out);
        }
        self.measure_range(pipes)?;
        if let Some((first, rest)) = pipes.split_first()
            && self.push_down(first, rest, out)?
        {
            return Ok(());
        }
        let mut range = self.range.clone();
        if let (true, Some(cursor)) = (pipes.iter().all(plan::streams), self.cx.before) {
            range.end = range.end.min(cursor.time.plus_ms(1));
        }
        let most = self.most(pipes);
        self.pass(pipes, range, most, out)
    }

    /// One scan of `range` through a chain of `pipes`, which takes `most` events at most.
    fn pass(
        &mut self,
        pipes: &[Pipe],
        range: Range<Timestamp>,
        most: Option<usize>,
        out: &mut Out<'_>,
    ) -> Result<(), RunError> {
        let mut chain = Chain::new(pipes, self.budget, self.order, self.cx, &self.range)?;
        let (none, mut stats) = (Vec::new(), ScanStats::default());
        let mut scan = self.scan_of(self.filter, range, self.order);
        scan.most = most;
        let scanned = self.source.scan(&scan, &mut |event| {
            let hit = Hit {
                event,
                extracted: &none,
                is_neighbour: false,
            };
            chain.push(Item::Event(hit), out)
        });
        stats.add(scanned?);
        self.stats.add(stats);
        chain.finish(out);
        Ok(())
    }

    /// How many events the pipes take of a scan at most, where the first of them says so.
    fn most(&self, pipes: &[Pipe]) -> Option<usize> {
        let answer = self.cx.limits.rows.saturating_add(1);
        match pipes.first() {
            // The events of the cursor's own time come once more.
            None => self.cx.before.is_none().then_some(answer),
            Some(Pipe::Head(n)) if self.order == Order::OldestFirst => Some(*n),
            Some(Pipe::Tail(n)) if self.order == Order::NewestFirst => Some(*n),
            Some(Pipe::Limit(n)) => Some(*n),
            Some(_) => None,
        }
    }

    fn scan(
        &self,
        filter: &Filter,
        range: Range<Timestamp>,
        order: Order,
        stats: &mut ScanStats,
        each: &mut dyn FnMut(&Event) -> Flow,
    ) -> Result<(), RunError> {
        stats.add(
            self.source
                .scan(&self.scan_of(filter, range, order), each)?,
        );
        Ok(())
    }

    fn scan_of<'f>(&self, filter: &'f Filter, range: Range<Timestamp>, order: Order) -> Scan<'f>
    where
        'a: 'f,
    {
        Scan {
            order,
            deadline: self.cx.deadline,
            cancel: self.cx.cancel,
            ..Scan::new(range.start, range.end, filter)
        }
    }

    /// Finds the ends of what there is, where a pipe divides a range that has none.
    fn measure_range(&mut self, pipes: &[Pipe]) -> Result<(), RunError> {
        if !pipes.iter().any(plan::divides_range) {
            return Ok(());
        }
        let (open_start, open_end) = (
            self.range.start == Timestamp::MIN,
            self.range.end == Timestamp::MAX,
        );
        if !open_start && !open_end {
            return Ok(());
        }
        // Counts per minute: a store may have them at hand, and plain files need one pass.
        let step = Step {
            ms: 60_000,
            origin: Timestamp(0),
        };
        let by = GroupBy {
            fields: &[],
            step: Some(step),
            max_groups: 1,
        };
        let scan = self.scan_of(self.filter, self.range.clone(), self.order);
        let grouped = self.source.count_by(&scan, &by)?;
        let minutes = || {
            grouped
                .groups
                .iter()
                .flat_map(|g| &g.steps)
                .map(|(start, _)| *start)
        };
        let (first, last) = (minutes().min(), minutes().max());
        if open_start {
            self.range.start = first.unwrap_or(self.cx.clock.now).min(self.range.end);
        }
        if open_end {
            let last = last.map_or(self.cx.clock.now, |start| start.plus_ms(step.ms));
            self.range.end = last.max(self.range.start);
        }
        self.stats.add(grouped.stats);
        Ok(())
    }
}
