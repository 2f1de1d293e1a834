//! Archives of one step become one: averages, minima, maxima and last values side by side.

use super::{Rra, Rrd};
use crate::archives::{Archive, File, Series};

/// The functions that consolidate readings, in the order in which one stands for another where the
/// file has no averages.
const FUNCTIONS: [&str; 4] = ["AVERAGE", "LAST", "MAX", "MIN"];

/// What is taken of a file, and what is not.
pub(super) fn join(rrd: &Rrd) -> File {
    let mut file = File {
        last_update_s: rrd.last_update_s,
        ..File::default()
    };
    let known = |cf: &str| FUNCTIONS.contains(&cf);
    for rra in rrd.archives.iter().filter(|rra| !known(&rra.cf)) {
        file.left_out.push(format!(
            "{} of {} s: a forecast or its account, not a reading; hw_predict() makes it from the \
             readings when it is asked for",
            rra.cf,
            rrd.step_s * i64::from(rra.per_row)
        ));
    }
    let mut steps: Vec<u32> = rrd
        .archives
        .iter()
        .filter(|r| known(&r.cf))
        .map(|r| r.per_row)
        .collect();
    steps.sort_unstable();
    steps.dedup();
    let steps: Vec<Step<'_>> = steps
        .into_iter()
        .map(|per_row| Step::of(rrd, per_row, &mut file))
        .collect();
    let (mut infinite, mut lost) = (0, 0);
    for (at, source) in rrd.sources.iter().enumerate() {
        let archives = steps
            .iter()
            .filter_map(|step| step.archive(rrd, at, &mut infinite, &mut lost));
        file.series.push(Series {
            name: source.name.clone(),
            kind: source.kind.clone(),
            archives: archives.collect(),
        });
    }
    if infinite > 0 {
        file.left_out.push(format!("{infinite} infinite values"));
    }
    if lost > 0 {
        file.left_out.push(format!(
            "{lost} minima, maxima or last values of slots whose average is unknown"
        ));
    }
    if rrd.rounded {
        file.notes
            .push("a dump has eleven digits of each value, the file itself sixteen".to_owned());
    }
    file
}

/// The archives of one step, by function.
struct Step<'a> {
    per_row: u32,
    /// As [`FUNCTIONS`].
    by_function: [Option<&'a Rra>; 4],
}

impl<'a> Step<'a> {
    /// The longest archive of each function; others say nothing more.
    fn of(rrd: &'a Rrd, per_row: u32, file: &mut File) -> Self {
        let step_s = rrd.step_s * i64::from(per_row);
        let by_function = FUNCTIONS.map(|cf| {
            let of_it = || {
                rrd.archives
                    .iter()
                    .filter(|r| r.cf == cf && r.per_row == per_row)
            };
            let longest = of_it().max_by_key(|r| r.values.len());
            if of_it().count() > 1 {
                let more = of_it().count() - 1;
                file.left_out.push(format!(
                    "{more} of {} archives {cf} of {step_s} s: the longest of them is taken",
                    more + 1
                ));
            }
            longest
        });
        let step = Self {
            per_row,
            by_function,
        };
        if per_row > 1 {
            file.notes.extend(step.note(step_s));
        }
        step
    }

    /// What a file that does not keep everything means for its readers.
    fn note(&self, step_s: i64) -> Option<String> {
        let [average, last, max, min] = self.by_function;
        match (average, min, max) {
            (Some(_), None, None) => Some(format!(
                "slots of {step_s} s have averages only: their minimum and maximum are the average"
            )),
            (Some(_), None, _) => Some(format!(
                "slots of {step_s} s have no minima: the average stands for them"
            )),
            (Some(_), _, None) => Some(format!(
                "slots of {step_s} s have no maxima: the average stands for them"
            )),
            (None, ..) => {
                let stands = [last, max, min].into_iter().flatten().next()?;
                Some(format!(
                    "slots of {step_s} s have no averages: {} stands for them",
                    stands.cf
                ))
            }
            _ => None,
        }
    }

    /// One data source at this step.
    fn archive(
        &self,
        rrd: &Rrd,
        source: usize,
        infinite: &mut usize,
        lost: &mut usize,
    ) -> Option<Archive> {
        let sources = rrd.sources.len();
        let longest = self
            .by_function
            .iter()
            .flatten()
            .map(|r| r.values.len() / sources)
            .max()?;
        let step_s = rrd.step_s * i64::from(self.per_row);
        let until = rrd.last_update_s / step_s;
        // Rows before 1970 are none.
        let rows = longest.min(usize::try_from(until).unwrap_or(0));
        let mut column = |rra: &Rra| -> Vec<f64> {
            let values = rra.values.iter().skip(source).step_by(sources);
            let own = rra.values.len() / sources;
            let skipped = own.saturating_sub(rows);
            let values = values.skip(skipped).map(|&v| {
                *infinite += usize::from(v.is_infinite());
                if v.is_finite() { v } else { f64::NAN }
            });
            std::iter::repeat_n(f64::NAN, rows.saturating_sub(own))
                .chain(values)
                .collect()
        };
        let mut columns = self.by_function.map(|rra| rra.map(&mut column));
        let average = self.average(&mut columns, rows, sources);
        let [_, last, max, min] = columns;
        let several = self.per_row > 1;
        if several {
            for column in [&last, &max, &min].into_iter().flatten() {
                let alone = |(v, a): &(&f64, &f64)| !v.is_nan() && a.is_nan();
                *lost += column.iter().zip(&average).filter(alone).count();
            }
        }
        Some(Archive {
            step_s,
            per_slot: self.per_row,
            first: until - i64::try_from(rows).ok()?,
            average,
            min: min.filter(|_| several),
            max: max.filter(|_| several),
            last: last.filter(|_| several),
        })
    }

    /// The averages; in rows that have none of their own, what stands for them. Over a single
    /// primary point all functions are equal.
    fn average(
        &self,
        columns: &mut [Option<Vec<f64>>; 4],
        rows: usize,
        sources: usize,
    ) -> Vec<f64> {
        let [average, others @ ..] = columns;
        let own = self.by_function.first().copied().flatten();
        let own_rows = own.map_or(0, |r| r.values.len() / sources);
        let mut average = average.take().unwrap_or_else(|| vec![f64::NAN; rows]);
        let without = if self.per_row == 1 {
            rows
        } else {
            rows.saturating_sub(own_rows)
        };
        for other in others.iter().flatten() {
            for (mine, other) in average.iter_mut().zip(other).take(without) {
                if mine.is_nan() {
                    *mine = *other;
                }
            }
        }
        average
    }
}
