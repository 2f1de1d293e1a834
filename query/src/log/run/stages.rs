//! The stages that let items through, one for one or fewer.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::super::eval::{Subject, message};
use super::super::extract::{self, Extracted};
use super::super::field::FieldName;
use super::super::filter::Filter;
use super::super::query::{Pipe, SortKey};
use super::super::table::{Cell, Hit, Item, Kept};
use super::{Budget, Flow, Out};

/// One pipe at work.
pub(super) trait Stage {
    /// Takes an item; breaks off when it wants no more.
    fn push(&mut self, item: Item<'_>, out: &mut Out<'_>) -> Flow;

    /// There are no more items.
    fn finish(&mut self, _out: &mut Out<'_>) -> Flow {
        Flow::Continue(())
    }
}

/// Those that pass.
pub(super) struct Where<'a>(pub(super) &'a Filter);

impl Stage for Where<'_> {
    fn push(&mut self, item: Item<'_>, out: &mut Out<'_>) -> Flow {
        if self.0.holds(&item) {
            out(item)
        } else {
            Flow::Continue(())
        }
    }
}

/// The first so many.
pub(super) struct Take(pub(super) usize);

impl Stage for Take {
    fn push(&mut self, item: Item<'_>, out: &mut Out<'_>) -> Flow {
        let Some(left) = self.0.checked_sub(1) else {
            return Flow::Break(());
        };
        self.0 = left;
        out(item)?;
        if left == 0 {
            Flow::Break(())
        } else {
            Flow::Continue(())
        }
    }
}

/// The last so many.
pub(super) struct Last<'a> {
    n: usize,
    kept: VecDeque<Kept>,
    columns: Vec<String>,
    budget: &'a Budget,
}

impl<'a> Last<'a> {
    pub(super) fn new(n: usize, budget: &'a Budget) -> Self {
        Self {
            n,
            kept: VecDeque::new(),
            columns: Vec::new(),
            budget,
        }
    }
}

impl Stage for Last<'_> {
    fn push(&mut self, item: Item<'_>, _out: &mut Out<'_>) -> Flow {
        remember_columns(&mut self.columns, &item);
        let kept = Kept::new(&item);
        let size = kept.size();
        self.kept.push_back(kept);
        let mut sound = self.budget.take(size);
        while self.kept.len() > self.n || !sound {
            let Some(old) = self.kept.pop_front() else {
                break;
            };
            self.budget.give_back(old.size());
            sound = true;
        }
        Flow::Continue(())
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Flow {
        self.kept
            .drain(..)
            .try_for_each(|k| out(k.item(&self.columns)))
    }
}

/// In order.
pub(super) struct Sort<'a> {
    keys: &'a [SortKey],
    /// How many of the first are wanted at most.
    most: Option<usize>,
    kept: Vec<(Vec<Cell>, Kept)>,
    columns: Vec<String>,
    budget: &'a Budget,
}

impl<'a> Sort<'a> {
    pub(super) fn new(keys: &'a [SortKey], most: Option<usize>, budget: &'a Budget) -> Self {
        Self {
            keys,
            most,
            kept: Vec::new(),
            columns: Vec::new(),
            budget,
        }
    }

    fn sort(&mut self) {
        let keys = self.keys;
        self.kept.sort_by(|(a, _), (b, _)| by_keys(keys, a, b));
    }

    fn size(entry: &(Vec<Cell>, Kept)) -> usize {
        entry.0.iter().map(Cell::size).sum::<usize>() + entry.1.size()
    }

    /// Drops what is certainly not among the first.
    fn prune(&mut self, n: usize) {
        self.sort();
        for entry in self.kept.drain(n.min(self.kept.len())..) {
            self.budget.give_back(Self::size(&entry));
        }
    }
}

fn by_keys(keys: &[SortKey], a: &[Cell], b: &[Cell]) -> Ordering {
    let compared = keys.iter().zip(a.iter().zip(b)).map(|(key, (a, b))| {
        // Without a value comes last either way.
        let absent = (*a == Cell::Null || *b == Cell::Null) && a != b;
        let order = a.order(b);
        if key.descending && !absent {
            order.reverse()
        } else {
            order
        }
    });
    compared.fold(Ordering::Equal, Ordering::then)
}

impl Stage for Sort<'_> {
    fn push(&mut self, item: Item<'_>, _out: &mut Out<'_>) -> Flow {
        remember_columns(&mut self.columns, &item);
        let keys = self.keys.iter().map(|k| item.cell(&k.field)).collect();
        let entry = (keys, Kept::new(&item));
        if self.budget.take(Self::size(&entry)) {
            self.kept.push(entry);
        }
        // A prune costs a sort: do it when half of what is kept can go.
        if let Some(n) = self.most
            && self.kept.len() > n.saturating_mul(2).saturating_add(64)
        {
            self.prune(n);
        }
        Flow::Continue(())
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Flow {
        self.sort();
        let columns = &self.columns;
        self.kept
            .drain(..)
            .try_for_each(|(_, k)| out(k.item(columns)))
    }
}

fn remember_columns(columns: &mut Vec<String>, item: &Item<'_>) {
    if let (
        true,
        Item::Row {
            columns: theirs, ..
        },
    ) = (columns.is_empty(), item)
    {
        *columns = theirs.to_vec();
    }
}

/// These columns.
pub(super) struct Fields<'a> {
    fields: &'a [FieldName],
    columns: Vec<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(fields: &'a [FieldName]) -> Self {
        let columns = fields.iter().map(|f| f.as_str().to_owned()).collect();
        Self { fields, columns }
    }
}

impl Stage for Fields<'_> {
    fn push(&mut self, item: Item<'_>, out: &mut Out<'_>) -> Flow {
        let cells: Vec<Cell> = self.fields.iter().map(|f| item.cell(f)).collect();
        out(Item::Row {
            columns: &self.columns,
            cells: &cells,
        })
    }
}

/// New fields.
pub(super) struct Extract<'a> {
    pipe: &'a Pipe,
    extracted: Extracted,
}

impl<'a> Extract<'a> {
    pub(super) fn new(pipe: &'a Pipe) -> Self {
        Self {
            pipe,
            extracted: Extracted::new(),
        }
    }
}

impl Stage for Extract<'_> {
    fn push(&mut self, item: Item<'_>, out: &mut Out<'_>) -> Flow {
        let Item::Event(hit) = item else {
            return out(item);
        };
        let (Pipe::Parse { from, .. } | Pipe::Json(from) | Pipe::Kv(from)) = self.pipe else {
            return out(item);
        };
        let text = match from {
            Some(field) => hit.value(field),
            None => Some(message(hit.event)),
        };
        let extracted = &mut self.extracted;
        extracted.clear();
        match (self.pipe, text.as_deref()) {
            (Pipe::Parse { pattern, .. }, Some(text)) => {
                pattern.read(text, extracted);
            }
            (Pipe::Json(_), Some(text)) => extract::json(text, extracted),
            (Pipe::Kv(_), Some(text)) => extract::kv(text, extracted),
            _ => {}
        }
        extracted.extend_from_slice(hit.extracted);
        out(Item::Event(Hit {
            extracted: &self.extracted,
            ..hit
        }))
    }
}
