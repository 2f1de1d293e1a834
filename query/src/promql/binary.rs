//! Binary operators.

use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MOD,
    T_MUL, T_NEQ, T_POW, T_SUB,
};
use promql_parser::parser::{BinModifier, BinaryExpr};

use super::columns::{Column, Columns, Grid, LabelMap, quiet};
use super::eval::{Evaluator, fail};
use super::matching::{collect, presence, signature};
use super::{Error, STALE, is_stale};

/// What an operator does with two numbers.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    Compute(fn(f64, f64) -> f64),
    Compare(fn(f64, f64) -> bool),
}

impl Operator {
    pub(super) fn of(token: u16) -> Option<Self> {
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
    pub(super) fn apply(self, a: f64, b: f64, as_bool: bool, kept: f64) -> f64 {
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
