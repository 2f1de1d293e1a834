//! Binary operators, and the matching of series with series.

use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MOD,
    T_MUL, T_NEQ, T_POW, T_SUB,
};
use promql_parser::parser::{
    BinModifier, BinaryExpr, LabelModifier, VectorMatchCardinality as Cardinality,
};

use super::eval::{Column, Columns, Evaluator, Grid, LabelMap, fail, holes, merge_same, quiet};
use super::{Error, STALE, is_stale};
use crate::{Labels, LabelsBuilder, METRIC_NAME};

/// What an operator does with two numbers.
#[derive(Clone, Copy)]
enum Operator {
    Compute(fn(f64, f64) -> f64),
    Compare(fn(f64, f64) -> bool),
}

impl Operator {
    fn of(token: u16) -> Option<Self> {
        Some(match token {
            T_ADD => Self::Compute(|a, b| a + b),
            T_SUB => Self::Compute(|a, b| a - b),
            T_MUL => Self::Compute(|a, b| a * b),
            T_DIV => Self::Compute(|a, b| a / b),
            T_MOD => Self::Compute(|a, b| a % b),
            T_POW => Self::Compute(f64::powf),
            T_ATAN2 => Self::Compute(f64::atan2),
            T_EQLC => Self::Compare(|a, b| a == b),
            T_NEQ => Self::Compare(|a, b| a != b),
            T_GTR => Self::Compare(|a, b| a > b),
            T_LSS => Self::Compare(|a, b| a < b),
            T_GTE => Self::Compare(|a, b| a >= b),
            T_LTE => Self::Compare(|a, b| a <= b),
            _ => return None,
        })
    }

    /// The result, or a hole where a comparison fails. `kept` is what a comparison lets through.
    fn apply(self, a: f64, b: f64, as_bool: bool, kept: f64) -> f64 {
        match self {
            Self::Compute(f) => quiet(f(a, b)),
            Self::Compare(f) if as_bool => f64::from(u8::from(f(a, b))),
            Self::Compare(f) => {
                if f(a, b) {
                    kept
                } else {
                    STALE
                }
            }
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn binary(&mut self, binary: &BinaryExpr, grid: Grid) -> Result<Columns, Error> {
        let left = self.eval(&binary.lhs, grid)?;
        let right = self.eval(&binary.rhs, grid)?;
        let default = BinModifier::default();
        let modifier = binary.modifier.as_ref().unwrap_or(&default);
        let token = binary.op.id();
        if let (Columns::Vector(left), Columns::Vector(right)) = (&left, &right) {
            let result = match token {
                T_LAND => both(left, right, modifier, true, grid),
                T_LUNLESS => both(left, right, modifier, false, grid),
                T_LOR => either(left, right, modifier, grid),
                _ => {
                    let Some(operator) = Operator::of(token) else {
                        return fail(format!("unknown operator {}", binary.op));
                    };
                    self.matched(left, right, operator, modifier, grid)?
                }
            };
            return Ok(Columns::Vector(result));
        }
        let Some(operator) = Operator::of(token) else {
            return fail(format!("set operator {} needs two vectors", binary.op));
        };
        let as_bool = modifier.return_bool;
        Ok(match (left, right) {
            (Columns::Scalar(a), Columns::Scalar(b)) => Columns::Scalar(
                a.iter()
                    .zip(&b)
                    .map(|(&a, &b)| operator.apply(a, b, true, a))
                    .collect(),
            ),
            (Columns::Vector(columns), Columns::Scalar(numbers)) => {
                let apply = |v, n| operator.apply(v, n, as_bool, v);
                Columns::Vector(with_numbers(columns, &numbers, operator, as_bool, apply))
            }
            (Columns::Scalar(numbers), Columns::Vector(columns)) => {
                let apply = |v, n| operator.apply(n, v, as_bool, v);
                Columns::Vector(with_numbers(columns, &numbers, operator, as_bool, apply))
            }
            _ => {
                return fail("binary expression must contain only scalar and instant vector types");
            }
        })
    }

    /// Vector with vector, by matching labels.
    fn matched(
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
            self.poll()?;
            matching.join(key, many, one, &mut results)?;
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

fn with_numbers(
    mut columns: Vec<Column>,
    numbers: &[f64],
    operator: Operator,
    as_bool: bool,
    apply: impl Fn(f64, f64) -> f64,
) -> Vec<Column> {
    for column in &mut columns {
        column.drop_name |= as_bool || matches!(operator, Operator::Compute(_));
        for (value, &number) in column.values.iter_mut().zip(numbers) {
            if !is_stale(*value) {
                *value = apply(*value, number);
            }
        }
    }
    columns
}

/// The labels by which series find each other.
fn signature(labels: &Labels, modifier: &BinModifier) -> Labels {
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

type Sides = LabelMap<Vec<usize>>;

fn collect(columns: &[Column], modifier: &BinModifier) -> Sides {
    let mut sides = Sides::default();
    for (i, column) in columns.iter().enumerate() {
        let key = signature(&column.labels, modifier);
        sides.entry(key).or_default().push(i);
    }
    sides
}

/// Steps at which any of the columns has a value.
fn presence<'a>(columns: impl Iterator<Item = &'a Column>, len: usize) -> Vec<bool> {
    let mut present = vec![false; len];
    for column in columns {
        for (present, value) in present.iter_mut().zip(&column.values) {
            *present |= !is_stale(*value);
        }
    }
    present
}

/// `and` (`wanted`) and `unless`: the left side where the right has, or has not, a match.
fn both(
    left: &[Column],
    right: &[Column],
    modifier: &BinModifier,
    wanted: bool,
    grid: Grid,
) -> Vec<Column> {
    let sides = collect(right, modifier);
    let mut present: LabelMap<Vec<bool>> = LabelMap::default();
    let mut results = left.to_vec();
    for column in &mut results {
        let key = signature(&column.labels, modifier);
        let present = present.entry(key).or_insert_with_key(|key| {
            let places = sides.get(key).map(Vec::as_slice).unwrap_or_default();
            presence(places.iter().map(|&i| &right[i]), grid.len)
        });
        for (value, present) in column.values.iter_mut().zip(present) {
            if *present != wanted {
                *value = STALE;
            }
        }
    }
    results
}

/// `or`: all of the left side, and the right side where the left has no match.
fn either(left: &[Column], right: &[Column], modifier: &BinModifier, grid: Grid) -> Vec<Column> {
    let mut results = left.to_vec();
    results.extend(both(right, left, modifier, false, grid));
    results
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
        key: &Labels,
        many: &[Column],
        one: &[Column],
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
