//! `sort` and its kin.

use std::cmp::Ordering;

use promql_parser::parser::Expr as Node;

use super::Error;
use super::columns::{Column, Columns, Grid};
use super::eval::Evaluator;
use super::stats::nan_first;
use crate::Labels;

impl Evaluator<'_> {
    /// Matters at one time only: over a range, series are sorted by their labels.
    pub(super) fn sort(
        &mut self,
        name: &str,
        args: &[&Node],
        grid: Grid,
    ) -> Result<Columns, Error> {
        let mut columns = self.vector(args[0], grid)?;
        if self.query.2 > 0 {
            self.warn(
                "PromQL warning: sort is ineffective for range queries since results are always \
                 ordered by labels"
                    .to_owned(),
            );
        }
        let mut by = Vec::new();
        for arg in &args[1..] {
            by.push(self.text(arg, grid)?);
        }
        if grid.len == 1 {
            let value = |c: &Column| c.values[0];
            let numbers_first = |a: f64, b: f64, order: Ordering| match (a.is_nan(), b.is_nan()) {
                (false, false) => order,
                (a, b) => a.cmp(&b),
            };
            match name {
                "sort" => columns.sort_by(|a, b| {
                    let (a, b) = (value(a), value(b));
                    numbers_first(a, b, nan_first(a, b))
                }),
                "sort_desc" => columns.sort_by(|a, b| {
                    let (a, b) = (value(a), value(b));
                    numbers_first(a, b, nan_first(b, a))
                }),
                "sort_by_label" => columns.sort_by(|a, b| by_labels(&a.labels, &b.labels, &by)),
                _ => columns.sort_by(|a, b| by_labels(&b.labels, &a.labels, &by)),
            }
        }
        Ok(Columns::Vector(columns))
    }
}

fn by_labels(a: &Labels, b: &Labels, names: &[String]) -> Ordering {
    for name in names {
        let (a, b) = (
            a.get(name).unwrap_or_default(),
            b.get(name).unwrap_or_default(),
        );
        let order = natural(a, b);
        if order != Ordering::Equal {
            return order;
        }
    }
    a.cmp(b)
}

/// As people sort: `10` after `9`.
fn natural(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (x, y) = (chunk(&mut a), chunk(&mut b));
        if x.is_empty() || y.is_empty() {
            return x.len().cmp(&y.len());
        }
        let digits = |s: &str| s.starts_with(|c: char| c.is_ascii_digit());
        let order = if digits(x) && digits(y) {
            let (p, q) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            let by_value = p.len().cmp(&q.len()).then(p.cmp(q));
            by_value.then(x.len().cmp(&y.len()))
        } else {
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Splits off the leading run of digits or of other characters.
fn chunk<'a>(text: &mut &'a str) -> &'a str {
    let digit = |c: char| c.is_ascii_digit();
    let first = text.starts_with(digit);
    let len = text.find(|c| digit(c) != first).unwrap_or(text.len());
    let (chunk, rest) = text.split_at(len);
    *text = rest;
    chunk
}
