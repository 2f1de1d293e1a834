//! `info()`: adds the labels of info series, such as `target_info`, to series of the same instance.

use promql_parser::parser::{Expr as Node, VectorSelector};

use super::Error;
use super::columns::{Column, Columns, Grid, LabelMap, holes};
use super::eval::{Evaluator, fail};
use super::parse::{at_millis, children, matchers};
use super::select::{distance, latest};
use crate::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, Sample, Sparse, Take};

/// The labels by which a series finds its info series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Which info series, and which of their labels.
struct Wanted {
    names: Vec<Matcher>,
    data: Vec<Matcher>,
}

impl Wanted {
    fn new(selector: Option<&VectorSelector>) -> Result<Self, Error> {
        let all = match selector {
            Some(selector) => matchers(selector).map_err(Error::Evaluation)?,
            None => Vec::new(),
        };
        let (mut names, data): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|m| m.name == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, "target_info"));
        }
        let positive = |m: &Matcher| matches!(m.op, MatchOp::Equal | MatchOp::Regex(_));
        if !names.iter().any(positive) {
            let re =
                regex::Regex::new("^.+_info$").map_err(|e| Error::Evaluation(e.to_string()))?;
            names.push(Matcher {
                name: METRIC_NAME.to_owned(),
                op: MatchOp::Regex(re),
                value: ".+_info".to_owned(),
            });
        }
        Ok(Self { names, data })
    }

    fn is_info(&self, labels: &Labels) -> bool {
        self.names.iter().all(|m| m.matches(labels))
    }

    /// Whether a series without any info label would do.
    fn optional(&self) -> bool {
        let none = Labels::default();
        self.data.iter().all(|m| m.matches(&none))
    }

    fn takes(&self, label: &str) -> bool {
        label != METRIC_NAME
            && !IDENTIFYING.contains(&label)
            && (self.data.is_empty() || self.data.iter().any(|m| m.name == label))
    }
}

/// An info series over the grid.
struct Info {
    labels: Labels,
    samples: Vec<Option<Sample>>,
}

impl Evaluator<'_> {
    pub(super) fn info(&mut self, args: &[&Node], grid: Grid) -> Result<Columns, Error> {
        let selector = match args.get(1) {
            None => None,
            Some(Node::VectorSelector(selector)) => Some(selector),
            Some(_) => return fail("info() needs a label selector as its second argument"),
        };
        let wanted = Wanted::new(selector)?;
        let columns = self.vector(args[0], grid)?;
        let infos = self.infos(&wanted, args[0], grid)?;
        let mut results: Vec<Column> = Vec::new();
        for column in columns {
            self.poll()?;
            let key = identity(&column.labels);
            if wanted.is_info(&column.labels) {
                results.push(column);
                continue;
            }
            let candidates = infos.get(&key).filter(|_| !key.is_empty());
            let candidates = candidates.map(Vec::as_slice).unwrap_or_default();
            enrich(&column, candidates, &wanted, grid, &mut results)?;
            self.admit(results.len(), grid.len)?;
        }
        Ok(Columns::Vector(results))
    }

    /// Info series by their identifying labels, looked up at the times the base series are.
    fn infos(
        &mut self,
        wanted: &Wanted,
        base: &Node,
        grid: Grid,
    ) -> Result<LabelMap<Vec<Info>>, Error> {
        let mut found = Vec::new();
        shifts_of(base, &mut found);
        let mut shifts: Vec<(Option<i64>, i64)> = Vec::new();
        for (at, offset) in found {
            let at = at_millis(at, self.query.0, self.query.1);
            shifts.push((at, self.expr.offset_millis(offset, self.query)?));
        }
        let reference = |time: i64| {
            let shift = |time, &(at, offset): &(Option<i64>, i64)| at.unwrap_or(time) - offset;
            shifts.iter().fold(time, shift)
        };
        let lookback = self.lookback();
        let span = (reference(grid.start) - lookback + 1, reference(grid.end()));
        let all: Vec<Matcher> = wanted.names.iter().chain(&wanted.data).cloned().collect();
        let found = self.select(&all, span, grid.step.min(lookback), Take::Last)?;
        self.admit(found.len(), grid.len)?;
        let mut infos: LabelMap<Vec<Info>> = LabelMap::default();
        for Sparse { series, stretches } in found {
            let ends = grid.times().map(reference);
            let ends = ends.map(|end| (end, lookback.max(distance(&stretches, end))));
            let samples = latest(&series.samples, ends).collect();
            infos
                .entry(identity(&series.labels))
                .or_default()
                .push(Info {
                    labels: series.labels,
                    samples,
                });
        }
        Ok(infos)
    }
}

type Shift<'a> = (
    Option<&'a promql_parser::parser::AtModifier>,
    Option<&'a promql_parser::parser::Offset>,
);

/// The `@` and `offset` on the way to the first selector, outermost first. True when found.
fn shifts_of<'a>(node: &'a Node, shifts: &mut Vec<Shift<'a>>) -> bool {
    match node {
        Node::VectorSelector(s) => shifts.push((s.at.as_ref(), s.offset.as_ref())),
        Node::MatrixSelector(s) => shifts.push((s.vs.at.as_ref(), s.vs.offset.as_ref())),
        Node::Subquery(s) => {
            shifts.push((s.at.as_ref(), s.offset.as_ref()));
            if !shifts_of(&s.expr, shifts) {
                shifts.pop();
                return false;
            }
        }
        _ => {
            return children(node)
                .into_iter()
                .any(|child| shifts_of(child, shifts));
        }
    }
    true
}

fn identity(labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::default();
    for label in IDENTIFYING {
        builder.set(label, labels.get(label).unwrap_or_default());
    }
    builder.build()
}

/// Splits a column by what its info series say at each step.
fn enrich(
    column: &Column,
    candidates: &[Info],
    wanted: &Wanted,
    grid: Grid,
    results: &mut Vec<Column>,
) -> Result<(), Error> {
    let first = results.len();
    let mut sources: Vec<(Vec<usize>, usize)> = Vec::new();
    for (step, &value) in column.values.iter().enumerate() {
        if super::is_stale(value) {
            continue;
        }
        let current = current(candidates, step)?;
        if current.is_empty() && !wanted.optional() {
            continue;
        }
        // Info series change rarely: steps with the same ones share a column.
        let known = sources.iter().find(|(s, _)| *s == current);
        let place = match known {
            Some((_, place)) => *place,
            None => {
                let labels = enriched(&column.labels, candidates, &current, wanted)?;
                let mut fresh = results[first..].iter();
                let same = fresh.position(|c| c.labels == labels);
                let place = same.map_or(results.len(), |at| first + at);
                if same.is_none() {
                    results.push(Column {
                        labels,
                        drop_name: column.drop_name,
                        values: holes(grid.len),
                    });
                }
                sources.push((current, place));
                place
            }
        };
        results[place].values[step] = value;
    }
    Ok(())
}

/// The info series that speak at a step: of each metric the one with the latest sample.
fn current(candidates: &[Info], step: usize) -> Result<Vec<usize>, Error> {
    let mut current: Vec<usize> = Vec::new();
    for (i, info) in candidates.iter().enumerate() {
        let Some(sample) = info.samples[step] else {
            continue;
        };
        let rival = current
            .iter()
            .position(|&c| candidates[c].labels.name() == info.labels.name());
        let Some(rival) = rival else {
            current.push(i);
            continue;
        };
        let theirs = candidates[current[rival]].samples[step].map(|s| s.time);
        if theirs == Some(sample.time) {
            return fail(format!(
                "found duplicate series for info metric: {}, {}",
                candidates[current[rival]].labels, info.labels
            ));
        }
        if theirs < Some(sample.time) {
            current[rival] = i;
        }
    }
    Ok(current)
}

fn enriched(
    base: &Labels,
    candidates: &[Info],
    current: &[usize],
    wanted: &Wanted,
) -> Result<Labels, Error> {
    let mut added = LabelsBuilder::default();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for info in current.iter().map(|&i| &candidates[i]) {
        for (name, value) in info.labels.iter().filter(|(name, _)| wanted.takes(name)) {
            if base.get(name).is_some() {
                continue;
            }
            match seen.iter().find(|(n, _)| *n == name) {
                Some((_, other)) if *other != value => {
                    return fail(format!("conflicting label: {name}"));
                }
                Some(_) => {}
                None => seen.push((name, value)),
            }
        }
    }
    for (name, value) in base.iter().chain(seen) {
        added.set(name, value);
    }
    Ok(added.build())
}
