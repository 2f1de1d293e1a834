//! The matching of series with series by their labels.

use promql_parser::parser::{BinModifier, LabelModifier, VectorMatchCardinality as Cardinality};

use super::binary::Operator;
use super::columns::{Column, Grid, LabelMap, holes, merge_same};
use super::eval::{Evaluator, fail};
use super::{Error, STALE, is_stale};
use crate::{Labels, LabelsBuilder, METRIC_NAME};

impl Evaluator<'_> {
    /// Vector with vector, by matching labels.
    pub(super) fn matched(
        &mut self,
        left: &[Column],
        right: &[Column],
        operator: Operator,
        modifier: &BinModifier,
        grid: Grid,
    ) -> Result<Vec<Column>, Error> {
        let swapped = matches!(modifier.card, Cardinality::OneToMany(_));
        let (many, one) = if swapped {
            (right, left)
        } else {
            (left, right)
        };
        let matching = Matching {
            many: collect(many, modifier),
            one: collect(one, modifier),
            operator,
            modifier,
            swapped,
            // Upstream swaps the sides for `group_right`, but not what fills them.
            fill_many: modifier.fill_values.lhs,
            fill_one: modifier.fill_values.rhs,
            grid,
        };
        matching.check_one_side(many, one)?;
        let mut results = Vec::new();
        let mut done: Vec<&Labels> = matching.many.keys().collect();
        done.sort_unstable_by_key(|key| matching.many[*key].first().copied());
        for key in done {
            matching.join(self, key, (many, one), &mut results)?;
            self.admit(results.len(), grid.len)?;
        }
        if matching.fill_many.is_some() {
            let mut alone: Vec<&Labels> = matching.one.keys().collect();
            alone.sort_unstable_by_key(|key| matching.one[*key].first().copied());
            for key in alone {
                self.poll()?;
                matching.join_unmatched(key, many, one, &mut results);
            }
        }
        merge_same(results)
    }
}

/// The labels by which series find each other.
pub(super) fn signature(labels: &Labels, modifier: &BinModifier) -> Labels {
    match &modifier.matching {
        Some(LabelModifier::Include(on)) => {
            let mut builder = LabelsBuilder::default();
            for name in &on.labels {
                builder.set(name.as_str(), labels.get(name).unwrap_or_default());
            }
            builder.build()
        }
        other => {
            let mut builder = labels.to_builder();
            builder.remove(METRIC_NAME);
            if let Some(LabelModifier::Exclude(ignoring)) = other {
                for name in &ignoring.labels {
                    builder.remove(name);
                }
            }
            builder.build()
        }
    }
}

/// Steps at which a result was computed, by its labels.
type Taken = LabelMap<Vec<bool>>;

pub(super) type Sides = LabelMap<Vec<usize>>;

pub(super) fn collect(columns: &[Column], modifier: &BinModifier) -> Sides {
    let mut sides = Sides::default();
    for (i, column) in columns.iter().enumerate() {
        let key = signature(&column.labels, modifier);
        sides.entry(key).or_default().push(i);
    }
    sides
}

/// Steps at which any of the columns has a value.
pub(super) fn presence<'a>(columns: impl Iterator<Item = &'a Column>, len: usize) -> Vec<bool> {
    let mut present = vec![false; len];
    for column in columns {
        for (present, value) in present.iter_mut().zip(&column.values) {
            *present |= !is_stale(*value);
        }
    }
    present
}

/// Two sides of which at most one may have several series per match.
struct Matching<'a> {
    many: Sides,
    one: Sides,
    operator: Operator,
    modifier: &'a BinModifier,
    /// The "one" side stands left of the operator.
    swapped: bool,
    /// What stands in for a missing series of either side.
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    grid: Grid,
}

impl Matching<'_> {
    /// Refuses steps with two series of one match on the "one" side.
    fn check_one_side(&self, many: &[Column], one: &[Column]) -> Result<(), Error> {
        let crowded = self.one.values().any(|places| places.len() > 1);
        if !crowded {
            return Ok(());
        }
        // Where there is nothing to match with, nothing is wrong.
        let asked = if self.fill_many.is_some() {
            vec![true; self.grid.len]
        } else {
            presence(many.iter(), self.grid.len)
        };
        for (key, places) in &self.one {
            for (step, asked) in asked.iter().enumerate() {
                let mut present = places.iter().filter(|&&i| !is_stale(one[i].values[step]));
                if let (true, Some(&a), Some(&b)) = (asked, present.next(), present.next()) {
                    let (a, b) = (&one[a].labels, &one[b].labels);
                    let side = if self.swapped { "left" } else { "right" };
                    return fail(format!(
                        "found duplicate series for the match group {} on the {side} hand-side of \
                         the operation: [{}, {}];many-to-many matching not allowed: matching \
                         labels must be unique on one side",
                        braces(key),
                        braces(a.min(b)),
                        braces(a.max(b)),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Joins the series of one match.
    fn join(
        &self,
        evaluator: &mut Evaluator<'_>,
        key: &Labels,
        (many, one): (&[Column], &[Column]),
        results: &mut Vec<Column>,
    ) -> Result<(), Error> {
        let partners = self.one.get(key).map(Vec::as_slice).unwrap_or_default();
        let filled = self.fill_one.map(|fill| {
            let present = presence(partners.iter().map(|&o| &one[o]), self.grid.len);
            stand_in(key, fill, &present)
        });
        let members = &self.many[key];
        let mut taken = Taken::default();
        for &m in members {
            evaluator.poll()?;
            for one in partners.iter().map(|&o| &one[o]).chain(&filled) {
                let labels = self.push(&many[m], one, results);
                if members.len() > 1 {
                    self.claim(&mut taken, labels, &many[m], one)?;
                }
            }
        }
        Ok(())
    }

    /// Refuses a second result for one match at one step, or with grouping for one label set;
    /// also where a comparison let neither through.
    fn claim(
        &self,
        taken: &mut Taken,
        labels: Labels,
        many: &Column,
        one: &Column,
    ) -> Result<(), Error> {
        let one_to_one = matches!(self.modifier.card, Cardinality::OneToOne);
        let key = if one_to_one {
            Labels::default()
        } else {
            labels
        };
        let taken = taken
            .entry(key)
            .or_insert_with(|| vec![false; self.grid.len]);
        for (taken, (&m, &o)) in taken.iter_mut().zip(many.values.iter().zip(&one.values)) {
            if is_stale(m) || is_stale(o) {
                continue;
            }
            if std::mem::replace(taken, true) {
                return fail(if one_to_one {
                    "multiple matches for labels: many-to-one matching must be explicit \
                     (group_left/group_right)"
                } else {
                    "multiple matches for labels: grouping labels must ensure unique matches"
                });
            }
        }
        Ok(())
    }

    /// Joins the "one" series that found nothing with what stands in for it.
    fn join_unmatched(
        &self,
        key: &Labels,
        many: &[Column],
        one: &[Column],
        results: &mut Vec<Column>,
    ) {
        let Some(fill) = self.fill_many else { return };
        let partners = self.many.get(key).map(Vec::as_slice).unwrap_or_default();
        let present = presence(partners.iter().map(|&m| &many[m]), self.grid.len);
        for &o in &self.one[key] {
            self.push(&stand_in(key, fill, &present), &one[o], results);
        }
    }

    fn push(&self, many: &Column, one: &Column, results: &mut Vec<Column>) -> Labels {
        let as_bool = self.modifier.return_bool;
        let mut values = holes(self.grid.len);
        let mut any = false;
        for (value, (&m, &o)) in values.iter_mut().zip(many.values.iter().zip(&one.values)) {
            if is_stale(m) || is_stale(o) {
                continue;
            }
            let (a, b) = if self.swapped { (o, m) } else { (m, o) };
            *value = self.operator.apply(a, b, as_bool, a);
            any |= !is_stale(*value);
        }
        let computes = matches!(self.operator, Operator::Compute(_));
        let labels = self.result_labels(&many.labels, &one.labels, computes);
        if any {
            results.push(Column {
                labels: labels.clone(),
                drop_name: many.drop_name || as_bool || computes,
                values,
            });
        }
        labels
    }

    fn result_labels(&self, many: &Labels, one: &Labels, computes: bool) -> Labels {
        let mut builder = many.to_builder();
        if computes {
            builder.remove(METRIC_NAME);
        }
        match &self.modifier.card {
            Cardinality::ManyToOne(include) | Cardinality::OneToMany(include) => {
                for name in &include.labels {
                    builder.set(name.as_str(), one.get(name).unwrap_or_default());
                }
            }
            _ => match &self.modifier.matching {
                Some(LabelModifier::Include(on)) => {
                    let kept = |name: &str| on.labels.iter().any(|l| l == name);
                    for (name, _) in many.iter().filter(|(name, _)| !kept(name)) {
                        builder.remove(name);
                    }
                }
                Some(LabelModifier::Exclude(ignoring)) => {
                    for name in &ignoring.labels {
                        builder.remove(name);
                    }
                }
                None => {}
            },
        }
        builder.build()
    }
}

/// A series of the matching labels alone, where there is no true one.
fn stand_in(key: &Labels, fill: f64, present: &[bool]) -> Column {
    let values = present.iter().map(|p| if *p { STALE } else { fill });
    Column {
        labels: key.clone(),
        drop_name: false,
        values: values.collect(),
    }
}

/// Labels with the name among them, as in Prometheus' messages.
fn braces(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}
