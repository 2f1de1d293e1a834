//! Functions over classic histograms: series that differ in `le` only, counting what is less or
//! equal.

use promql_parser::parser::Expr as Node;

use super::columns::{Column, Columns, Grid, LabelMap, holes, quiet};
use super::eval::{Evaluator, fail};
use super::{Error, format_value, is_stale};
use crate::Labels;

const LE: &str = "le";

/// Relative difference of two neighbouring counts that is rounding, not a decrease.
const TOLERANCE: f64 = 1e-12;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Counts what is less or equal.
    upper: f64,
    count: f64,
}

/// A quantile at each step, and the label that its results carry if there are several.
type Quantile = (Vec<f64>, Option<(String, String)>);

/// The series of one histogram.
struct Histogram {
    labels: Labels,
    /// Upper bound and column.
    buckets: Vec<(f64, usize)>,
}

impl Evaluator<'_> {
    pub(super) fn histogram(
        &mut self,
        name: &str,
        args: &[&Node],
        grid: Grid,
    ) -> Result<Columns, Error> {
        match name {
            "histogram_quantile" => {
                let q = self.scalar(args[0], grid)?;
                let columns = self.vector(args[1], grid)?;
                self.histogram_quantiles(&[(q, None)], &columns, grid)
            }
            "histogram_quantiles" => {
                let columns = self.vector(args[0], grid)?;
                let label = self.text(args[1], grid)?;
                if label.is_empty() {
                    return fail("histogram_quantiles() needs the name of a label");
                }
                let mut quantiles = Vec::new();
                for arg in &args[2..] {
                    let q = self.scalar(arg, grid)?;
                    let value = with_point(format_value(q[0]));
                    quantiles.push((q, Some((label.clone(), value))));
                }
                self.histogram_quantiles(&quantiles, &columns, grid)
            }
            "histogram_fraction" => {
                let lower = self.scalar(args[0], grid)?;
                let upper = self.scalar(args[1], grid)?;
                let columns = self.vector(args[2], grid)?;
                self.each_histogram(&columns, None, grid, |step, buckets| {
                    fraction(lower[step], upper[step], buckets)
                })
                .map(Columns::Vector)
            }
            // Of native histograms only; floats are passed over.
            _ => {
                self.vector(args[0], grid)?;
                Ok(Columns::Vector(Vec::new()))
            }
        }
    }

    fn histogram_quantiles(
        &mut self,
        quantiles: &[Quantile],
        columns: &[Column],
        grid: Grid,
    ) -> Result<Columns, Error> {
        let mut results = Vec::new();
        for (q, label) in quantiles {
            q.iter().for_each(|&q| self.warn_quantile(q));
            let mut forced = false;
            let label = label.as_ref().map(|(n, v)| (n.as_str(), v.as_str()));
            results.extend(self.each_histogram(columns, label, grid, |step, buckets| {
                quantile(q[step], buckets, &mut forced)
            })?);
            if forced {
                self.warn(
                    "PromQL info: input to histogram_quantile needed to be fixed for monotonicity \
                     (see https://prometheus.io/docs/prometheus/latest/querying/functions/\
                     #histogram_quantile)"
                        .to_owned(),
                );
            }
        }
        Ok(Columns::Vector(results))
    }

    fn each_histogram(
        &mut self,
        columns: &[Column],
        label: Option<(&str, &str)>,
        grid: Grid,
        mut figure: impl FnMut(usize, &mut Vec<Bucket>) -> f64,
    ) -> Result<Vec<Column>, Error> {
        let histograms = self.histograms(columns);
        let mut results = Vec::with_capacity(histograms.len());
        let mut buckets = Vec::new();
        for histogram in histograms {
            self.poll()?;
            let mut values = holes(grid.len);
            for (step, value) in values.iter_mut().enumerate() {
                buckets.clear();
                let all = histogram.buckets.iter().map(|&(upper, column)| Bucket {
                    upper,
                    count: columns[column].values[step],
                });
                buckets.extend(all.filter(|b| !is_stale(b.count)));
                if !buckets.is_empty() {
                    *value = quiet(figure(step, &mut buckets));
                }
            }
            let mut labels = histogram.labels.to_builder();
            if let Some((name, value)) = label {
                labels.set(name, value);
            }
            results.push(Column {
                labels: labels.build(),
                drop_name: true,
                values,
            });
        }
        Ok(results)
    }

    fn histograms(&mut self, columns: &[Column]) -> Vec<Histogram> {
        let mut places: LabelMap<usize> = LabelMap::default();
        let mut histograms: Vec<Histogram> = Vec::new();
        for (i, column) in columns.iter().enumerate() {
            let le = column.labels.get(LE).unwrap_or_default();
            let Ok(upper) = le.parse::<f64>() else {
                self.warn(format!(
                    "PromQL warning: bucket label \"le\" is missing or has a malformed value of \
                     {le:?} for metric name {:?}",
                    column.labels.name()
                ));
                continue;
            };
            let mut labels = column.labels.to_builder();
            // The name stays until the end, so that two metrics are two histograms.
            labels.remove(LE);
            let labels = labels.build();
            let place = *places.entry(labels.clone()).or_insert(histograms.len());
            if place == histograms.len() {
                histograms.push(Histogram {
                    labels,
                    buckets: Vec::new(),
                });
            }
            histograms[place].buckets.push((upper, i));
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        histograms
    }
}

/// As OpenMetrics writes numbers in labels: `1.0`, not `1`.
fn with_point(mut number: String) -> String {
    if number.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        number.push_str(".0");
    }
    number
}

/// Adds up buckets of one bound (`0.5` and `5e-1`); tells whether the last one is unbounded.
fn settle(buckets: &mut Vec<Bucket>) -> bool {
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    buckets.last().is_some_and(|b| b.upper == f64::INFINITY)
}

fn quantile(q: f64, buckets: &mut Vec<Bucket>, forced: &mut bool) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if !settle(buckets) {
        return f64::NAN;
    }
    *forced |= raise_decreases(buckets);
    let Some(last) = buckets.len().checked_sub(1).filter(|last| *last > 0) else {
        return f64::NAN;
    };
    let total = buckets[last].count;
    if total == 0.0 || total.is_nan() {
        return f64::NAN;
    }
    let mut rank = q * total;
    let bucket = buckets[..last].partition_point(|b| b.count < rank);
    let upper = buckets[bucket].upper;
    if bucket == last {
        return buckets[last - 1].upper;
    }
    if bucket == 0 && upper <= 0.0 {
        return upper;
    }
    let (mut lower, mut count) = (0.0, buckets[bucket].count);
    if let Some(before) = bucket.checked_sub(1).map(|b| buckets[b]) {
        lower = before.upper;
        count -= before.count;
        rank -= before.count;
    }
    lower + (upper - lower) * (rank / count)
}

/// Counts of a scrape under way or of summed rates may decrease along the bounds: the larger one
/// holds. True if one did so beyond rounding.
fn raise_decreases(buckets: &mut [Bucket]) -> bool {
    let mut forced = false;
    let mut previous = buckets.first().map_or(0.0, |b| b.count);
    for bucket in buckets.iter_mut().skip(1) {
        if nearly_equal(previous, bucket.count) {
            bucket.count = previous;
        } else if bucket.count < previous {
            bucket.count = previous;
            forced = true;
        } else {
            previous = bucket.count;
        }
    }
    forced
}

fn nearly_equal(a: f64, b: f64) -> bool {
    if a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// The share of observations between two values, by linear interpolation.
fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !settle(buckets) {
        return f64::NAN;
    }
    let total = buckets.last().map_or(0.0, |b| b.count);
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets) - rank_of(lower, buckets)) / total
}

/// How many observations are below a value.
fn rank_of(value: f64, buckets: &[Bucket]) -> f64 {
    let mut below = 0.0;
    let mut floor = match buckets.first() {
        Some(first) if first.upper > 0.0 => 0.0,
        _ => f64::NEG_INFINITY,
    };
    for bucket in buckets {
        if value <= floor {
            return below;
        }
        if value < bucket.upper {
            if bucket.upper == f64::INFINITY {
                return below;
            }
            if floor == f64::NEG_INFINITY {
                return bucket.count;
            }
            return below + (bucket.count - below) * (value - floor) / (bucket.upper - floor);
        }
        below = bucket.count;
        floor = bucket.upper;
    }
    below
}
