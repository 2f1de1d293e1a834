//! The specification of a chart: what is drawn, decided once for every medium.

mod parts;
#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;
use vigie_query::{Labels, METRIC_NAME, Series};

use super::columns::Grid;
use super::palette::Color;
use super::ticks::{Extent, ValueAxis};
use super::time::{TimeTick, ticks};
use super::units::Unit;
pub use parts::{Column, Envelope, Gap, Kind, Level, Limit, Line, Mark, Scale, Shape, Span, Stats};

/// What somebody wants to see; [`Draft::finish`] decides how.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Tells charts of a page apart; letters, digits and `-`.
    pub id: String,
    /// The title.
    pub title: String,
    /// What stands behind the title, smaller.
    pub sub: String,
    /// What the values count.
    pub unit: Unit,
    /// The left end.
    pub from: Timestamp,
    /// The right end.
    pub to: Timestamp,
    /// The cells of all columns.
    pub grid: Grid,
    /// The series, bottom first in a stack.
    pub lines: Vec<Line>,
    /// How they stand to each other.
    pub shape: Shape,
    /// The value that is all there is: the axis ends there.
    pub cap: Option<f64>,
    /// What the value axis is told.
    pub scale: Scale,
    /// Limits.
    pub limits: Vec<Limit>,
    /// What lasted.
    pub spans: Vec<Span>,
    /// What happened.
    pub marks: Vec<Mark>,
    /// About how many ticks the value axis has.
    pub value_ticks: u8,
    /// At most so many ticks on the time axis.
    pub time_ticks: u8,
    /// What comes after is future: nothing is missing there.
    pub horizon: Option<Timestamp>,
}

impl Draft {
    /// An empty chart over a grid.
    #[must_use]
    pub fn new(
        id: &str,
        title: &str,
        unit: Unit,
        from: Timestamp,
        to: Timestamp,
        grid: Grid,
    ) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            sub: String::new(),
            unit,
            from,
            to,
            grid,
            lines: Vec::new(),
            shape: Shape::Plain,
            cap: None,
            scale: Scale::default(),
            limits: Vec::new(),
            spans: Vec::new(),
            marks: Vec::new(),
            value_ticks: 4,
            time_ticks: 6,
            horizon: None,
        }
    }

    /// Adds a series in the next colour.
    #[must_use]
    pub fn line(mut self, label: &str, kind: Kind, ys: Column) -> Self {
        let color = Color::series(self.lines.len());
        self.lines.push(Line::new(label, color, kind, ys));
        self
    }

    fn value_axis(&self, stacked: &[Column]) -> ValueAxis {
        let bands = self.lines.iter().filter_map(|l| l.envelope.as_ref());
        let borders = bands.flat_map(|e| [&e.low, &e.high]);
        let values = || {
            let columns = stacked.iter().chain(borders.clone());
            let values = columns.flatten().flatten().copied();
            values.filter(|v| v.is_finite())
        };
        let limits = || self.limits.iter().map(|l| l.value);
        let cap = self.scale.max.or(self.cap);
        if self.scale.log {
            let positive = || values().chain(limits()).filter(|v| *v > 0.0);
            let least = self.scale.min.filter(|v| *v > 0.0);
            ValueAxis::log(
                self.unit,
                least.unwrap_or_else(|| positive().fold(f64::INFINITY, f64::min)),
                cap.unwrap_or_else(|| positive().fold(0.0, f64::max)),
            )
        } else {
            let extent = Extent {
                max: values().chain(limits()).fold(0.0, f64::max),
                min: values().fold(0.0, f64::min),
                cap,
                floor: self.scale.min,
            };
            ValueAxis::new(self.unit, extent, self.value_ticks)
        }
    }

    /// Decides axes, ticks and gaps.
    #[must_use]
    pub fn finish(mut self, zone: &TimeZone) -> ChartSpec {
        for line in &mut self.lines {
            line.ys.resize(self.grid.len, None);
        }
        let stacked = stacked(&self.lines, self.shape);
        let y = self.value_axis(&stacked);
        let x = ticks(self.from, self.to, zone, self.time_ticks);
        let gaps = match self.shape {
            Shape::Bars => Vec::new(),
            _ => {
                let to = self.horizon.map_or(self.to, |h| h.min(self.to));
                gaps(&self.lines, &self.grid, self.from, to)
            }
        };
        ChartSpec {
            draft: self,
            stacked,
            y,
            x,
            gaps,
        }
    }
}

/// A chart with everything decided.
#[derive(Clone, Debug)]
pub struct ChartSpec {
    draft: Draft,
    /// What is drawn: the columns, in a stack each with those below added.
    pub(crate) stacked: Vec<Column>,
    /// The value axis.
    pub y: ValueAxis,
    /// The ticks of the time axis.
    pub x: Vec<TimeTick>,
    /// Time of which nothing is known.
    pub gaps: Vec<Gap>,
}

impl std::ops::Deref for ChartSpec {
    type Target = Draft;

    fn deref(&self) -> &Draft {
        &self.draft
    }
}

impl ChartSpec {
    /// The chart of the answer to a range query: one series each, called by the labels that tell
    /// them apart. `step_ms` is the distance at which the query was evaluated.
    #[must_use]
    pub fn from_series(
        title: &str,
        unit: Unit,
        series: &[Series],
        range: (Timestamp, Timestamp),
        step_ms: i64,
        zone: &TimeZone,
    ) -> Self {
        let (from, to) = range;
        // Evaluated points lie on from, from + step, …: the cells end there.
        let cells = to.since_ms(from).max(0) / step_ms.max(1) + 1;
        let grid = Grid {
            start: from,
            step_ms: step_ms.max(1),
            len: usize::try_from(cells).unwrap_or(0),
        };
        let mut draft = Draft::new("graph", title, unit, from, to, grid);
        let names = names(series.iter().map(|s| &s.labels));
        for (one, name) in series.iter().zip(names) {
            let mut ys = vec![None; grid.len];
            for sample in &one.samples {
                if let Some(y) = grid.cell(sample.time).and_then(|i| ys.get_mut(i)) {
                    *y = Some(sample.value).filter(|v| v.is_finite());
                }
            }
            let kind = if series.len() == 1 {
                Kind::Area
            } else {
                Kind::Line
            };
            draft = draft.line(&name, kind, ys);
        }
        draft.time_ticks = 8;
        draft.finish(zone)
    }

    /// What it was made of.
    #[cfg(test)]
    pub(crate) fn clone_draft(&self) -> Draft {
        self.draft.clone()
    }

    /// Tells the chart apart from others on a page.
    pub(crate) fn rename(&mut self, id: &str) {
        id.clone_into(&mut self.draft.id);
    }

    /// The statistics of series `i`.
    #[must_use]
    pub fn stats(&self, i: usize) -> Option<Stats> {
        self.lines.get(i)?.stats()
    }

    /// The chart in words, for those who do not see it.
    #[must_use]
    pub fn words(&self) -> String {
        let mut out = self.title.clone();
        if !self.sub.is_empty() {
            out.push_str(", ");
            out.push_str(&self.sub);
        }
        out.push('.');
        for line in &self.lines {
            out.push(' ');
            out.push_str(&line.label);
            match line.stats() {
                Some(s) => {
                    let f = |v| self.unit.format(v);
                    let words = format!(
                        ": last {}, average {}, maximum {}.",
                        f(s.last),
                        f(s.avg),
                        f(s.max)
                    );
                    out.push_str(&words);
                }
                None => out.push_str(": no data."),
            }
        }
        out
    }
}

fn stacked(lines: &[Line], shape: Shape) -> Vec<Column> {
    let mut below: Column = Vec::new();
    lines
        .iter()
        .map(|line| {
            // Dashed lines say something about others: they stand by themselves.
            if shape == Shape::Plain || line.kind == Kind::Dash {
                return line.ys.clone();
            }
            below.resize(line.ys.len(), None);
            for (under, y) in below.iter_mut().zip(&line.ys) {
                *under = match (*under, *y) {
                    (Some(a), Some(b)) => Some(a + b),
                    (a, b) => a.or(b),
                };
            }
            let mut own = below.clone();
            for (top, y) in own.iter_mut().zip(&line.ys) {
                if y.is_none() {
                    *top = None;
                }
            }
            own
        })
        .collect()
}

/// Cells in which a series that has values elsewhere has none, joined to spans.
fn gaps(lines: &[Line], grid: &Grid, from: Timestamp, to: Timestamp) -> Vec<Gap> {
    let lines: Vec<_> = lines
        .iter()
        .filter(|l| l.kind != Kind::Dash && l.ys.iter().any(Option::is_some))
        .collect();
    let missing = |i: usize| {
        lines.is_empty()
            || lines
                .iter()
                .any(|l| l.ys.get(i).is_none_or(Option::is_none))
    };
    let mut out = Vec::new();
    let mut open: Option<Timestamp> = None;
    let begun = (0..grid.len).take_while(|i| grid.at(*i).plus_ms(-grid.step_ms) < to);
    for i in begun {
        match (missing(i), open) {
            (true, None) => open = Some(if i == 0 { from } else { grid.at(i - 1) }),
            (false, Some(since)) => {
                out.push(Gap {
                    from: since,
                    to: grid.at(i),
                });
                open = None;
            }
            _ => {}
        }
    }
    // The cell that has just begun, and the one before it, which is read next, are not late yet.
    let late = |since: Timestamp| to.since_ms(since) > 2 * grid.step_ms + 2000;
    let since = open.unwrap_or_else(|| if grid.len == 0 { from } else { grid.end() });
    if late(since) {
        out.push(Gap { from: since, to });
    }
    out
}

/// What to call series: the labels in which they differ, else their name.
pub(crate) fn names<'a>(all: impl Iterator<Item = &'a Labels> + Clone) -> Vec<String> {
    let mut common: Option<Labels> = None;
    for labels in all.clone() {
        common = Some(match common {
            None => labels.clone(),
            Some(c) => Labels::new(c.iter().filter(|(n, v)| labels.get(n) == Some(v))),
        });
    }
    let common = common.unwrap_or_default();
    let name = |labels: &Labels| {
        let own: Vec<_> = labels
            .iter()
            .filter(|(n, _)| common.get(n).is_none() && *n != METRIC_NAME)
            .map(|(_, v)| v.to_owned())
            .collect();
        match (own.is_empty(), labels.name()) {
            (true, "") => labels.to_string(),
            (true, name) => name.to_owned(),
            (false, _) => own.join(" "),
        }
    };
    all.map(name).collect()
}
