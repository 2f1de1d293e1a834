//! Columns over a grid of times: what nodes evaluate to.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use vigie_parsers::Timestamp;

use super::eval::fail;
use super::{Element, Error, STALE, is_stale};
use crate::{Labels, LabelsBuilder, METRIC_NAME, Sample};

/// The times of an evaluation: `start`, `start + step`, …
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) len: usize,
}

impl Grid {
    pub(super) fn time(&self, step: usize) -> i64 {
        self.start + i64::try_from(step).unwrap_or(i64::MAX) * self.step
    }

    pub(super) fn end(&self) -> i64 {
        self.time(self.len.saturating_sub(1))
    }

    pub(super) fn times(self) -> impl Iterator<Item = i64> + Clone {
        (0..self.len).map(move |i| self.time(i))
    }
}

/// One series over the grid.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) labels: Labels,
    /// The name is no longer true, but later nodes may still ask for it; it goes at the end.
    pub(super) drop_name: bool,
    /// One per step; [`STALE`] where there is none. No arithmetic yields these bits: they are a
    /// signalling NaN, and operations answer quiet ones.
    pub(super) values: Vec<f64>,
}

/// What a node evaluates to.
#[derive(Clone, Debug)]
pub(super) enum Columns {
    Scalar(Vec<f64>),
    Vector(Vec<Column>),
    Text(String),
}

pub(super) type LabelMap<V> = HashMap<Labels, V, RandomState>;

pub(super) const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

pub(super) fn negate(columns: Columns) -> Columns {
    match columns {
        Columns::Scalar(values) => Columns::Scalar(values.into_iter().map(|v| -v).collect()),
        Columns::Vector(columns) => Columns::Vector(map_values(columns, |v| -v)),
        text @ Columns::Text(_) => text,
    }
}

/// Applies a function to each value there is; the name no longer holds.
pub(super) fn map_values(mut columns: Vec<Column>, f: impl Fn(f64) -> f64) -> Vec<Column> {
    for column in &mut columns {
        column.drop_name = true;
        for value in &mut column.values {
            if !is_stale(*value) {
                *value = quiet(f(*value));
            }
        }
    }
    columns
}

/// Keeps a computed value from being taken for a hole. Only copies of holes can have their bits.
pub(super) fn quiet(value: f64) -> f64 {
    if is_stale(value) { f64::NAN } else { value }
}

/// The labels that tell what a metric is, and that a computed figure has no right to: its name, and
/// the type and unit that Prometheus can add to it.
const IDENTITY: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

pub(super) fn remove_identity(builder: &mut LabelsBuilder) {
    for label in IDENTITY {
        builder.remove(label);
    }
}

pub(super) fn without_name_if(drop_name: bool, labels: Labels) -> Labels {
    if drop_name && IDENTITY.iter().any(|l| labels.get(l).is_some()) {
        let mut builder = labels.to_builder();
        remove_identity(&mut builder);
        builder.build()
    } else {
        labels
    }
}

pub(super) fn finished(column: Column) -> Column {
    Column {
        labels: without_name_if(column.drop_name, column.labels),
        drop_name: false,
        values: column.values,
    }
}

pub(super) fn elements(columns: Vec<Column>, at: i64) -> Result<Vec<Element>, Error> {
    let mut seen = LabelMap::default();
    let mut found = Vec::with_capacity(columns.len());
    for column in columns.into_iter().map(finished) {
        let value = column.values[0];
        if is_stale(value) {
            continue;
        }
        if seen.insert(column.labels.clone(), ()).is_some() {
            return fail(SAME_LABELSET);
        }
        found.push(Element {
            labels: column.labels,
            sample: Sample {
                time: Timestamp(at),
                value,
            },
        });
    }
    Ok(found)
}

/// Columns of equal labels become one, which is only possible where they never speak at once.
pub(super) fn merge_same(columns: Vec<Column>) -> Result<Vec<Column>, Error> {
    let mut places: LabelMap<usize> = LabelMap::default();
    let mut merged: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(&place) = places.get(&column.labels) else {
            places.insert(column.labels.clone(), merged.len());
            merged.push(column);
            continue;
        };
        for (into, from) in merged[place].values.iter_mut().zip(column.values) {
            if is_stale(from) {
                continue;
            }
            if !is_stale(*into) {
                return fail(SAME_LABELSET);
            }
            *into = from;
        }
    }
    Ok(merged)
}

/// The values there are, with their times.
pub(super) fn samples(values: &[f64], grid: Grid) -> Vec<Sample> {
    let present = grid.times().zip(values).filter(|(_, v)| !is_stale(**v));
    present
        .map(|(time, &value)| Sample {
            time: Timestamp(time),
            value,
        })
        .collect()
}

/// A column without any value yet.
pub(super) fn holes(len: usize) -> Vec<f64> {
    vec![STALE; len]
}
