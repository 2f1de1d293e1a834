//! Groups and their figures: `count by`, `top`, `uniq`, `rate`, `chart`, `p95 … by`.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use foldhash::fast::RandomState;
use vigie_parsers::Timestamp;

use super::super::eval::Subject;
use super::super::field::FieldName;
use super::super::groups::{TOO_MANY_GROUPS, push_value, values};
use super::super::query::{Aggregate, Pipe};
use super::super::table::{Cell, Item};
use super::figures::Acc;
use super::plan::{self, Chain};
use super::stages::Stage;
use super::{Budget, Flow, Out, RunError, Runner};
use crate::{GroupBy, Grouped, Step};

/// What a group costs beside its key.
const GROUP_BYTES: usize = 128;

/// What is made of the groups.
pub(super) enum Shape<'a> {
    Stats {
        aggregates: &'a [Aggregate],
        by: &'a [FieldName],
    },
    Top {
        n: usize,
        fields: &'a [FieldName],
        rare: bool,
    },
    Uniq(&'a [FieldName]),
    Rate {
        by: &'a [FieldName],
        per_ms: i64,
        span_ms: i64,
    },
    Chart {
        aggregates: &'a [Aggregate],
        by: &'a [FieldName],
        step: Step,
        range: Range<Timestamp>,
    },
}

/// A group on its way into the table.
struct Row {
    step: Option<Timestamp>,
    key: Vec<Cell>,
    figures: Vec<Cell>,
}

const COUNT: &[Aggregate] = &[Aggregate::Count];

impl<'a> Shape<'a> {
    fn fields(&self) -> &'a [FieldName] {
        match self {
            Self::Stats { by, .. } | Self::Rate { by, .. } | Self::Chart { by, .. } => by,
            Self::Top { fields, .. } | Self::Uniq(fields) => fields,
        }
    }

    fn aggregates(&self) -> &'a [Aggregate] {
        match self {
            Self::Stats { aggregates, .. } | Self::Chart { aggregates, .. } => aggregates,
            _ => COUNT,
        }
    }

    fn step(&self) -> Option<Step> {
        match self {
            Self::Chart { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// Whether a group without a value of the field is no group.
    fn needs_values(&self) -> bool {
        matches!(self, Self::Top { .. } | Self::Uniq(_))
    }

    /// Puts the groups in order, finishes their columns and lets them go.
    fn give(&self, mut rows: Vec<Row>, out: &mut Out<'_>) -> Flow {
        let count = |row: &Row| {
            row.figures
                .first()
                .and_then(Cell::number)
                .unwrap_or_default()
        };
        let total: f64 = rows.iter().map(count).sum();
        if rows.is_empty() && self.fields().is_empty() && self.step().is_none() {
            let nothing = |a: &Aggregate| {
                if *a == Aggregate::Count {
                    Cell::Count(0)
                } else {
                    Cell::Null
                }
            };
            let figures = self.aggregates().iter().map(nothing).collect();
            rows.push(Row {
                step: None,
                key: Vec::new(),
                figures,
            });
        }
        match self {
            Self::Stats { .. } | Self::Rate { .. } | Self::Top { rare: false, .. } => {
                rows.sort_by(|a, b| by_figure(b, a).then_with(|| by_key(a, b)));
            }
            Self::Top { rare: true, .. } => {
                rows.sort_by(|a, b| by_figure(a, b).then_with(|| by_key(a, b)));
            }
            Self::Uniq(_) => rows.sort_by(by_key),
            Self::Chart { .. } => {
                self.fill(&mut rows);
                rows.sort_by(|a, b| a.step.cmp(&b.step).then_with(|| by_key(a, b)));
            }
        }
        let columns = self.columns();
        let most = if let Self::Top { n, .. } = self {
            *n
        } else {
            usize::MAX
        };
        rows.into_iter().take(most).try_for_each(|row| {
            let counted = count(&row);
            let mut cells: Vec<Cell> = row.step.map(Cell::Time).into_iter().collect();
            cells.extend(row.key);
            cells.extend(row.figures);
            match self {
                Self::Top { .. } => cells.push(Cell::Share(counted / total.max(1.0))),
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of a range")]
                Self::Rate {
                    per_ms, span_ms, ..
                } => {
                    cells.push(Cell::Number(counted * *per_ms as f64 / *span_ms as f64));
                }
                _ => {}
            }
            out(Item::Row {
                columns: &columns,
                cells: &cells,
            })
        })
    }

    fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        columns.extend(self.step().map(|_| "time".to_owned()));
        columns.extend(self.fields().iter().map(|f| f.as_str().to_owned()));
        match self {
            Self::Chart { aggregates, .. } => {
                columns.extend(aggregates.iter().map(Aggregate::word))
            }
            _ => columns.extend(Aggregate::columns(self.aggregates())),
        }
        match self {
            Self::Top { .. } => columns.push("share".to_owned()),
            Self::Rate { .. } => columns.push("rate".to_owned()),
            _ => {}
        }
        columns
    }

    /// A chart of counts shows the silence too.
    fn fill(&self, rows: &mut Vec<Row>) {
        let Self::Chart {
            aggregates,
            by,
            step,
            range,
        } = self
        else {
            return;
        };
        if !by.is_empty() || *aggregates != COUNT || range.is_empty() {
            return;
        }
        let there: HashSet<Timestamp> = rows.iter().filter_map(|r| r.step).collect();
        let mut start = step.start(range.start);
        while start < range.end {
            if !there.contains(&start) {
                rows.push(Row {
                    step: Some(start),
                    key: Vec::new(),
                    figures: vec![Cell::Count(0)],
                });
            }
            start = start.plus_ms(step.ms);
        }
    }
}

fn by_figure(a: &Row, b: &Row) -> Ordering {
    match (a.figures.first(), b.figures.first()) {
        (Some(a), Some(b)) => a.order(b),
        _ => Ordering::Equal,
    }
}

fn by_key(a: &Row, b: &Row) -> Ordering {
    let order = a.key.iter().zip(&b.key).map(|(a, b)| a.order(b));
    order.fold(Ordering::Equal, Ordering::then)
}

/// Gathers groups from what comes by.
pub(super) struct GroupStage<'a> {
    shape: Shape<'a>,
    budget: &'a Budget,
    key: Vec<u8>,
    groups: HashMap<Box<[u8]>, Vec<Acc>, RandomState>,
}

impl<'a> GroupStage<'a> {
    pub(super) fn new(shape: Shape<'a>, budget: &'a Budget) -> Self {
        Self {
            shape,
            budget,
            key: Vec::new(),
            groups: HashMap::default(),
        }
    }

    /// The key of an item: its step, then the values. `None` where it belongs to no group.
    fn make_key(&mut self, item: &Item<'_>) -> Option<()> {
        self.key.clear();
        if let Some(step) = self.shape.step() {
            self.key
                .extend_from_slice(&step.start(item.time()).0.to_le_bytes());
        }
        for field in self.shape.fields() {
            let value = item.value(field);
            if value.is_none() && self.shape.needs_values() {
                return None;
            }
            push_value(&mut self.key, value.as_deref());
        }
        Some(())
    }
}

impl Stage for GroupStage<'_> {
    fn push(&mut self, item: Item<'_>, _out: &mut Out<'_>) -> Flow {
        if self.make_key(&item).is_none() {
            return Flow::Continue(());
        }
        let aggregates = self.shape.aggregates();
        let known = self.groups.get_mut(self.key.as_slice());
        let accs = match known {
            Some(accs) => accs,
            None => {
                if self.groups.len() >= self.budget.max_groups() {
                    self.budget.cut(TOO_MANY_GROUPS);
                    return Flow::Continue(());
                }
                if !self.budget.take(self.key.len() + GROUP_BYTES) {
                    return Flow::Continue(());
                }
                let fresh = aggregates.iter().map(Acc::new).collect();
                self.groups
                    .entry(self.key.as_slice().into())
                    .or_insert(fresh)
            }
        };
        for (acc, aggregate) in accs.iter_mut().zip(aggregates) {
            acc.add(aggregate, &item, self.budget);
        }
        Flow::Continue(())
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Flow {
        let (fields, aggregates) = (self.shape.fields(), self.shape.aggregates());
        let stepped = self.shape.step().is_some();
        let rows = std::mem::take(&mut self.groups)
            .into_iter()
            .map(|(key, accs)| {
                let (step, key) = match key.split_first_chunk::<8>() {
                    Some((step, rest)) if stepped => {
                        (Some(Timestamp(i64::from_le_bytes(*step))), rest)
                    }
                    _ => (None, &*key),
                };
                let cells = fields
                    .iter()
                    .zip(values(key))
                    .map(|(f, v)| Cell::of(f, v.as_deref()));
                let figures = accs.into_iter().zip(aggregates).map(|(acc, a)| acc.cell(a));
                Row {
                    step,
                    key: cells.collect(),
                    figures: figures.collect(),
                }
            });
        let rows = rows.collect();
        self.shape.give(rows, out)
    }
}

impl Runner<'_> {
    /// Lets the source count, if that is all the first pipe asks for; `false` if it is not.
    pub(super) fn push_down(
        &mut self,
        first: &Pipe,
        rest: &[Pipe],
        out: &mut Out<'_>,
    ) -> Result<bool, RunError> {
        let Some(shape) = plan::shape(first, self.cx, &self.range)? else {
            return Ok(false);
        };
        if shape.aggregates() != COUNT {
            return Ok(false);
        }
        let scan = self.scan_of(self.filter, self.range.clone(), self.order);
        let by = GroupBy {
            fields: shape.fields(),
            step: shape.step(),
            max_groups: self.cx.limits.groups,
        };
        let grouped = self.source.count_by(&scan, &by)?;
        let mut chain = Chain::new(rest, self.budget, self.order, self.cx, &self.range)?;
        let rows = rows_of(&shape, &grouped);
        self.stats.add(grouped.stats);
        // Whoever has enough says so again, if more is pushed.
        let _ = shape.give(rows, &mut |item| chain.push(item, out));
        chain.finish(out);
        Ok(true)
    }
}

fn rows_of(shape: &Shape<'_>, grouped: &Grouped) -> Vec<Row> {
    let mut rows = Vec::with_capacity(grouped.groups.len());
    for group in &grouped.groups {
        if shape.needs_values() && group.key.iter().any(Option::is_none) {
            continue;
        }
        let cells = shape.fields().iter().zip(&group.key);
        let key: Vec<Cell> = cells.map(|(f, v)| Cell::of(f, v.as_deref())).collect();
        if shape.step().is_none() {
            rows.push(Row {
                step: None,
                key,
                figures: vec![Cell::Count(group.count)],
            });
            continue;
        }
        rows.extend(group.steps.iter().map(|&(start, n)| Row {
            step: Some(start),
            key: key.clone(),
            figures: vec![Cell::Count(n)],
        }));
    }
    rows
}
