//! Aggregations: `sum by (…)` and its kin, group by group.

use std::cmp::Ordering;

use promql_parser::parser::token::{
    T_AVG, T_BOTTOMK, T_COUNT, T_COUNT_VALUES, T_GROUP, T_LIMIT_RATIO, T_MAX, T_MIN, T_QUANTILE,
    T_STDDEV, T_STDVAR, T_SUM, T_TOPK,
};
use promql_parser::parser::{AggregateExpr, LabelModifier};

use super::columns::{Column, Columns, Grid, LabelMap, holes, quiet, remove_identity};
use super::eval::{Evaluator, fail};
use super::fold::{Any, Count, Extreme, Fold, Spread};
use super::stats::{self, Mean, Sum};
use super::{Error, format_value, is_stale};
use crate::{Labels, LabelsBuilder, METRIC_NAME};

/// Columns that are aggregated together.
struct Group {
    labels: Labels,
    drop_name: bool,
    members: Vec<usize>,
}

/// The labels of a group, as `by` or `without` leave them.
fn group_labels(labels: &Labels, modifier: Option<&LabelModifier>) -> LabelsBuilder {
    match modifier {
        None => LabelsBuilder::default(),
        Some(LabelModifier::Include(by)) => {
            let mut builder = LabelsBuilder::default();
            for name in &by.labels {
                if let Some(value) = labels.get(name) {
                    builder.set(name.as_str(), value);
                }
            }
            builder
        }
        Some(LabelModifier::Exclude(without)) => {
            let mut builder = labels.to_builder();
            remove_identity(&mut builder);
            for name in &without.labels {
                builder.remove(name);
            }
            builder
        }
    }
}

fn groups(columns: &[Column], modifier: Option<&LabelModifier>) -> Vec<Group> {
    let mut places: LabelMap<usize> = LabelMap::default();
    let mut groups: Vec<Group> = Vec::new();
    for (i, column) in columns.iter().enumerate() {
        let labels = group_labels(&column.labels, modifier).build();
        let place = *places.entry(labels.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group {
                labels,
                drop_name: false,
                members: Vec::new(),
            });
        }
        groups[place].drop_name |= column.drop_name;
        groups[place].members.push(i);
    }
    groups
}

impl Evaluator<'_> {
    pub(super) fn aggregate(
        &mut self,
        aggregate: &AggregateExpr,
        grid: Grid,
    ) -> Result<Columns, Error> {
        let op = aggregate.op.id();
        let modifier = aggregate.modifier.as_ref();
        let parameter = match &aggregate.param {
            Some(parameter) => Some(self.eval(parameter, grid)?),
            None => None,
        };
        let columns = self.vector(&aggregate.expr, grid)?;
        if op == T_COUNT_VALUES {
            let Some(Columns::Text(label)) = parameter else {
                return fail("count_values needs the name of a label");
            };
            return self.count_values(&label, columns, modifier, grid);
        }
        let groups = groups(&columns, modifier);
        if let Some(parameter) = parameter {
            let Columns::Scalar(parameter) = parameter else {
                return fail("expected type scalar in aggregation expression");
            };
            return match op {
                T_QUANTILE => self.quantile(&parameter, &columns, groups, grid),
                T_LIMIT_RATIO => self.limit_ratio(&parameter, columns, grid),
                _ => self.pick(op, &parameter, columns, &groups, grid),
            };
        }
        let fold = match op {
            T_SUM => fold::<Sum>,
            T_AVG => fold::<Mean>,
            T_COUNT => fold::<Count>,
            T_GROUP => fold::<Any>,
            T_MIN => fold::<Extreme<false>>,
            T_MAX => fold::<Extreme<true>>,
            T_STDDEV => fold::<Spread<true>>,
            T_STDVAR => fold::<Spread<false>>,
            _ => return fail(format!("unknown aggregation {}", aggregate.op)),
        };
        let mut results = Vec::with_capacity(groups.len());
        for group in groups {
            self.poll()?;
            results.push(fold(group, &columns, grid.len));
        }
        Ok(Columns::Vector(results))
    }

    fn quantile(
        &mut self,
        parameter: &[f64],
        columns: &[Column],
        groups: Vec<Group>,
        grid: Grid,
    ) -> Result<Columns, Error> {
        for &q in parameter {
            self.warn_quantile(q);
        }
        let mut results = Vec::with_capacity(groups.len());
        let mut buffer = Vec::new();
        for group in groups {
            self.poll()?;
            let mut values = holes(grid.len);
            for (step, value) in values.iter_mut().enumerate() {
                buffer.clear();
                let all = group.members.iter().map(|&m| columns[m].values[step]);
                buffer.extend(all.filter(|v| !is_stale(*v)));
                if !buffer.is_empty() {
                    *value = quiet(stats::quantile(parameter[step], &mut buffer));
                }
            }
            results.push(group.column(values));
        }
        Ok(Columns::Vector(results))
    }

    /// Warns of a quantile outside 0 to 1; its answer is infinite or NaN.
    pub(super) fn warn_quantile(&mut self, q: f64) {
        if !(0.0..=1.0).contains(&q) {
            self.warn(format!(
                "PromQL warning: quantile value should be between 0 and 1, got {}",
                format_value(q)
            ));
        }
    }

    /// `topk`, `bottomk` and `limitk`: members survive or not, step by step.
    fn pick(
        &mut self,
        op: u16,
        parameter: &[f64],
        columns: Vec<Column>,
        groups: &[Group],
        grid: Grid,
    ) -> Result<Columns, Error> {
        let counts = parameter.iter().map(|&p| whole(p));
        let counts: Vec<usize> = counts.collect::<Result<_, _>>()?;
        let mut kept = vec![holes(grid.len); columns.len()];
        let mut order = Vec::with_capacity(columns.len());
        let mut present = Vec::new();
        for group in groups {
            self.poll()?;
            for (step, &k) in counts.iter().enumerate() {
                let value = |m: usize| columns[m].values[step];
                present.clear();
                let members = group.members.iter().copied();
                present.extend(members.filter(|&m| !is_stale(value(m))));
                // Of equals the first by labels, so that the order of arrival, which differs between
                // one time and a range, decides nothing.
                let by_labels = |a: usize, b: usize| columns[a].labels.cmp(&columns[b].labels);
                present.sort_by(|&a, &b| {
                    let by_value = match op {
                        T_TOPK => stats::nan_first(value(b), value(a)),
                        T_BOTTOMK => nan_last(value(a), value(b)),
                        _ => Ordering::Equal,
                    };
                    by_value.then_with(|| by_labels(a, b))
                });
                present.truncate(k);
                for &m in &present {
                    kept[m][step] = value(m);
                }
                if grid.len == 1 {
                    order.extend_from_slice(&present);
                }
            }
        }
        if grid.len > 1 {
            order.extend(0..columns.len());
        }
        let results = order.into_iter().map(|m| Column {
            labels: columns[m].labels.clone(),
            drop_name: columns[m].drop_name,
            values: std::mem::take(&mut kept[m]),
        });
        let results = results.filter(|c| c.values.iter().any(|v| !is_stale(*v)));
        Ok(Columns::Vector(results.collect()))
    }

    /// A share of the series, always the same ones: those whose hash falls below it.
    fn limit_ratio(
        &mut self,
        parameter: &[f64],
        mut columns: Vec<Column>,
        grid: Grid,
    ) -> Result<Columns, Error> {
        let mut ratios = Vec::with_capacity(grid.len);
        for &ratio in parameter {
            if ratio.is_nan() {
                return fail("Ratio value is NaN");
            }
            let bounded = ratio.clamp(-1.0, 1.0);
            if bounded != ratio {
                self.warn(format!(
                    "PromQL warning: ratio value should be between -1 and 1, got {}, capping to {}",
                    format_value(ratio),
                    format_value(bounded)
                ));
            }
            ratios.push(bounded);
        }
        for column in &mut columns {
            self.poll()?;
            let place = hash(&column.labels) as f64 / u64::MAX as f64;
            for (value, &ratio) in column.values.iter_mut().zip(&ratios) {
                let inside = if ratio >= 0.0 {
                    place < ratio
                } else {
                    place >= 1.0 + ratio
                };
                if !inside {
                    *value = super::STALE;
                }
            }
        }
        Ok(Columns::Vector(columns))
    }

    fn count_values(
        &mut self,
        label: &str,
        columns: Vec<Column>,
        modifier: Option<&LabelModifier>,
        grid: Grid,
    ) -> Result<Columns, Error> {
        if label.is_empty() {
            return fail(format!("invalid label name {label:?}"));
        }
        let mut places: LabelMap<usize> = LabelMap::default();
        let mut results: Vec<Column> = Vec::new();
        for column in columns {
            self.poll()?;
            let group = group_labels(&column.labels, modifier);
            let present = column.values.iter().enumerate();
            for (step, value) in present.filter(|(_, v)| !is_stale(**v)) {
                let mut labels = group.clone();
                labels.set(label, format_value(*value));
                let labels = labels.build();
                let place = *places.entry(labels.clone()).or_insert(results.len());
                if place == results.len() {
                    self.admit(place + 1, grid.len)?;
                    results.push(Column {
                        labels,
                        drop_name: column.drop_name && label != METRIC_NAME,
                        values: holes(grid.len),
                    });
                }
                let count = &mut results[place].values[step];
                *count = if is_stale(*count) { 1.0 } else { *count + 1.0 };
            }
        }
        Ok(Columns::Vector(results))
    }
}

impl Group {
    fn column(self, values: Vec<f64>) -> Column {
        Column {
            labels: self.labels,
            drop_name: self.drop_name,
            values,
        }
    }
}

fn fold<F: Fold>(group: Group, columns: &[Column], len: usize) -> Column {
    let mut folds: Vec<Option<F>> = vec![None; len];
    for &member in &group.members {
        for (fold, &value) in folds.iter_mut().zip(&columns[member].values) {
            if !is_stale(value) {
                fold.get_or_insert_default().add(value);
            }
        }
    }
    let values = folds
        .iter()
        .map(|f| f.as_ref().map_or(super::STALE, |f| quiet(f.get())));
    let values = values.collect();
    group.column(values)
}

/// The `k` of `topk`; below one it is none.
fn whole(parameter: f64) -> Result<usize, Error> {
    if parameter.is_nan() {
        return fail("Parameter value is NaN");
    }
    if parameter >= i64::MAX as f64 {
        return fail(format!(
            "Scalar value {} overflows int64",
            format_value(parameter)
        ));
    }
    if parameter <= i64::MIN as f64 {
        return fail(format!(
            "Scalar value {} underflows int64",
            format_value(parameter)
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates at 0, and whole numbers below 2⁶³ fit"
    )]
    Ok(parameter as usize)
}

/// Ascending, NaN after all numbers.
fn nan_last(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => stats::nan_first(a, b),
        (a, b) => a.cmp(&b),
    }
}

/// FNV-1a over the labels, its bits spread by a final mix: the same on every machine and in every
/// version, so that a share of the series stays the same share.
fn hash(labels: &Labels) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |byte: u8| {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    };
    for (name, value) in labels.iter() {
        name.bytes().for_each(&mut eat);
        eat(0xff);
        value.bytes().for_each(&mut eat);
        eat(0xff);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
