//! Functions that write labels: `label_replace` and `label_join`.

use promql_parser::parser::Expr as Node;
use regex::{Regex, RegexBuilder};

use super::Error;
use super::columns::{Column, Columns, Grid, merge_same};
use super::eval::{Evaluator, fail};
use super::scan::REGEX_SIZE_MAX;
use crate::METRIC_NAME;

impl Evaluator<'_> {
    /// `label_replace(v, destination, replacement, source, regex)`.
    pub(super) fn label_replace(&mut self, args: &[&Node], grid: Grid) -> Result<Columns, Error> {
        let mut texts = Vec::new();
        for arg in &args[1..] {
            texts.push(self.text(arg, grid)?);
        }
        let [destination, replacement, source, pattern] = texts.as_slice() else {
            return fail("label_replace() needs five arguments");
        };
        let Ok(regex) = regex(pattern) else {
            return fail(format!(
                "invalid regular expression in label_replace(): {pattern}"
            ));
        };
        if destination.is_empty() {
            return fail(format!(
                "invalid destination label name in label_replace(): {destination}"
            ));
        }
        let mut columns = self.vector(args[0], grid)?;
        for column in &mut columns {
            self.poll()?;
            let value = column.labels.get(source).unwrap_or_default();
            if let Some(found) = regex.captures(value) {
                let mut text = String::new();
                found.expand(replacement, &mut text);
                column.write(destination, text);
            }
        }
        Ok(Columns::Vector(merge_same(columns)?))
    }

    /// `label_join(v, destination, separator, source…)`.
    pub(super) fn label_join(&mut self, args: &[&Node], grid: Grid) -> Result<Columns, Error> {
        let mut texts = Vec::new();
        for arg in &args[1..] {
            texts.push(self.text(arg, grid)?);
        }
        let [destination, separator, sources @ ..] = texts.as_slice() else {
            return fail("label_join() needs a destination and a separator");
        };
        if destination.is_empty() {
            return fail(format!(
                "invalid destination label name in label_join(): {destination}"
            ));
        }
        if sources.iter().any(String::is_empty) {
            return fail("invalid source label name in label_join(): ");
        }
        let mut columns = self.vector(args[0], grid)?;
        for column in &mut columns {
            self.poll()?;
            let values = sources
                .iter()
                .map(|s| column.labels.get(s).unwrap_or_default());
            let text = values.collect::<Vec<_>>().join(separator);
            column.write(destination, text);
        }
        Ok(Columns::Vector(merge_same(columns)?))
    }
}

impl Column {
    /// Sets a label; a name set on purpose is a true name again.
    fn write(&mut self, label: &str, value: String) {
        let mut builder = self.labels.to_builder();
        builder.set(label, value);
        self.labels = builder.build();
        if label == METRIC_NAME {
            self.drop_name = false;
        }
    }
}

/// Anchored at both ends, `.` matching line ends too.
fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(REGEX_SIZE_MAX)
        .build()
}
