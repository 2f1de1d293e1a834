//! From pipes to a chain of stages.

use std::ops::Range;

use vigie_parsers::Timestamp;

use super::super::filter::Filter;
use super::super::query::{Aggregate, Pipe, Query};
use super::super::table::Item;
use super::group::{GroupStage, Shape};
use super::patterns::PatternStage;
use super::sessions::SessionStage;
use super::stages::{Extract, Fields, Last, Sort, Stage, Take, Where};
use super::{Budget, Flow, Out, RunContext, RunError};
use crate::{Order, Step};

/// Steps of one chart: more than any screen has columns.
const MAX_STEPS: i64 = 10_000;
/// Steps that a chart has at most when the query does not name one.
const USUAL_STEPS: i64 = 60;
/// Steps that people can read off an axis, in milliseconds.
const NICE_STEPS: [i64; 20] = [
    1000,
    2000,
    5000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    604_800_000,
    2_419_200_000,
];

/// The filter with the conditions of leading `where`s, so that the source prunes with them too.
pub(super) fn fold_conditions(query: &Query) -> (Filter, &[Pipe]) {
    let leading = query
        .pipes
        .iter()
        .take_while(|p| matches!(p, Pipe::Where(_)))
        .count();
    let (wheres, rest) = query.pipes.split_at(leading);
    let mut all = vec![query.filter.clone()];
    all.extend(wheres.iter().filter_map(|p| match p {
        Pipe::Where(filter) => Some(filter.clone()),
        _ => None,
    }));
    all.retain(|f| *f != Filter::All);
    let filter = match all.len() {
        0 => Filter::All,
        1 => all.remove(0),
        _ => Filter::And(all),
    };
    (filter, rest)
}

/// `head` reads from the old end; everything else from the new one.
pub(super) fn order(pipes: &[Pipe]) -> Order {
    match pipes.iter().find(|p| !streams(p)) {
        Some(Pipe::Head(_)) => Order::OldestFirst,
        _ => Order::NewestFirst,
    }
}

/// Pipes that decide about each event alone.
pub(super) fn streams(pipe: &Pipe) -> bool {
    use Pipe::{Json, Kv, Parse, Where};
    matches!(pipe, Where(_) | Parse { .. } | Json(_) | Kv(_))
}

/// Pipes whose answer depends on how long the range is.
pub(super) fn divides_range(pipe: &Pipe) -> bool {
    matches!(pipe, Pipe::Chart { .. } | Pipe::Rate { .. })
}

/// Pipes that divide time up to now.
pub(super) fn divides_time(pipe: &Pipe) -> bool {
    divides_range(pipe) || matches!(pipe, Pipe::New { .. } | Pipe::Diff(_))
}

/// Pipes that look at the source again.
pub(super) fn is_special(pipe: &Pipe) -> bool {
    matches!(
        pipe,
        Pipe::Around(_) | Pipe::Context(_) | Pipe::New { .. } | Pipe::Diff(_)
    )
}

/// The stages of some pipes, in a row.
pub(super) struct Chain<'a> {
    stages: Vec<Box<dyn Stage + 'a>>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(
        pipes: &'a [Pipe],
        budget: &'a Budget,
        order: Order,
        cx: &RunContext<'_>,
        range: &Range<Timestamp>,
    ) -> Result<Self, RunError> {
        let mut stages: Vec<Box<dyn Stage + 'a>> = Vec::with_capacity(pipes.len());
        // Whether items come as people read them: the first of them is the head.
        let mut as_read = order == Order::OldestFirst;
        for (i, pipe) in pipes.iter().enumerate() {
            let stage: Box<dyn Stage + 'a> = match pipe {
                Pipe::Where(filter) => Box::new(Where(filter)),
                Pipe::Head(n) if as_read => Box::new(Take(*n)),
                Pipe::Tail(n) if !as_read => Box::new(Take(*n)),
                Pipe::Head(n) | Pipe::Tail(n) => Box::new(Last::new(*n, budget)),
                Pipe::Limit(n) => Box::new(Take(*n)),
                Pipe::Sort(keys) => {
                    as_read = true;
                    let most = match pipes.get(i + 1) {
                        Some(Pipe::Head(n) | Pipe::Limit(n)) => Some(*n),
                        None => Some(cx.limits.rows.saturating_add(1)),
                        Some(_) => None,
                    };
                    Box::new(Sort::new(keys, most, budget))
                }
                Pipe::Fields(fields) => Box::new(Fields::new(fields)),
                Pipe::Parse { .. } | Pipe::Json(_) | Pipe::Kv(_) => Box::new(Extract::new(pipe)),
                Pipe::Patterns => Box::new(PatternStage::new(budget)),
                Pipe::Sessions { gap_ms, by } => Box::new(SessionStage::new(*gap_ms, by, budget)),
                _ => match shape(pipe, cx, range)? {
                    Some(shape) => Box::new(GroupStage::new(shape, budget)),
                    // The special ones never come here.
                    None => continue,
                },
            };
            as_read |= pipe.makes_rows() && !matches!(pipe, Pipe::Fields(_));
            stages.push(stage);
        }
        Ok(Self { stages })
    }

    pub(super) fn push(&mut self, item: Item<'_>, out: &mut Out<'_>) -> Flow {
        feed(&mut self.stages, item, out)
    }

    /// Lets the stages give what they have gathered.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        let mut rest = self.stages.as_mut_slice();
        while let Some((first, behind)) = rest.split_first_mut() {
            // Whoever has enough says so again, if more is pushed.
            let _ = first.finish(&mut |item| feed(behind, item, out));
            rest = behind;
        }
    }
}

fn feed(stages: &mut [Box<dyn Stage + '_>], item: Item<'_>, out: &mut Out<'_>) -> Flow {
    match stages.split_first_mut() {
        None => out(item),
        Some((first, rest)) => first.push(item, &mut |item| feed(rest, item, out)),
    }
}

/// How a pipe groups, if it does.
pub(super) fn shape<'a>(
    pipe: &'a Pipe,
    cx: &RunContext<'_>,
    range: &Range<Timestamp>,
) -> Result<Option<Shape<'a>>, RunError> {
    Ok(Some(match pipe {
        Pipe::Stats { aggregates, by } => Shape::Stats { aggregates, by },
        Pipe::Top { n, fields, rare } => Shape::Top {
            n: *n,
            fields,
            rare: *rare,
        },
        Pipe::Uniq(fields) => Shape::Uniq(fields),
        Pipe::Rate { per_ms, by } => Shape::Rate {
            by,
            per_ms: *per_ms,
            span_ms: range.end.since_ms(range.start).max(1),
        },
        Pipe::Chart {
            aggregate,
            by,
            every_ms,
        } => Shape::Chart {
            aggregates: std::slice::from_ref::<Aggregate>(aggregate),
            by,
            step: step(*every_ms, cx, range)?,
            range: range.clone(),
        },
        _ => return Ok(None),
    }))
}

fn step(
    every_ms: Option<i64>,
    cx: &RunContext<'_>,
    range: &Range<Timestamp>,
) -> Result<Step, RunError> {
    let span = range.end.since_ms(range.start).max(1);
    let fits = |ms: &&i64| span / **ms < USUAL_STEPS;
    let last = NICE_STEPS[NICE_STEPS.len() - 1];
    let ms = every_ms.unwrap_or_else(|| *NICE_STEPS.iter().find(fits).unwrap_or(&last));
    if span / ms > MAX_STEPS {
        return Err(RunError::Query(format!(
            "a chart of this range would have more than {MAX_STEPS} steps; choose longer ones with 'every'"
        )));
    }
    let origin = cx.clock.step_origin(range.start, ms);
    Ok(Step { ms, origin })
}
