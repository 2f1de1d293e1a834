//! The parts of a chart: curves, limits, marks, spans, gaps, figures.

use vigie_parsers::Timestamp;

use super::super::palette::Color;

/// A column: a value per cell, `None` where nothing is known.
pub type Column = Vec<Option<f64>>;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A line of 1.5 px.
    #[default]
    Line,
    /// A line with a tint below.
    Area,
    /// A dashed line.
    Dash,
}

impl Kind {
    /// The word in classes and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Area => "area",
            Self::Dash => "dash",
        }
    }
}

/// How series stand to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Each from 0.
    #[default]
    Plain,
    /// Each on the one before.
    Stack,
    /// Stacked bars, one a cell.
    Bars,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Said, not judged.
    #[default]
    Info,
    /// A warning.
    Warn,
    /// Act.
    Crit,
}

impl Level {
    /// The class and colour of the level.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Crit => "crit",
        }
    }

    /// Its colour.
    #[must_use]
    pub fn color(self) -> Color {
        match self {
            Self::Info => Color::INK_3,
            Self::Warn => Color::WARN,
            Self::Crit => Color::CRIT,
        }
    }
}

/// Between what the values of each cell lie.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    /// The lower border.
    pub low: Column,
    /// The upper border.
    pub high: Column,
}

/// One series of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What the legend calls it.
    pub label: String,
    /// Its colour.
    pub color: Color,
    /// How it is drawn.
    pub kind: Kind,
    /// Its values.
    pub ys: Column,
    /// Tinted around the line.
    pub envelope: Option<Envelope>,
    /// Its figures, where they are known better than by the cells.
    pub figures: Option<Stats>,
}

impl Line {
    /// A line of its cells alone.
    #[must_use]
    pub fn new(label: &str, color: Color, kind: Kind, ys: Column) -> Self {
        Self {
            label: label.to_owned(),
            color,
            kind,
            ys,
            envelope: None,
            figures: None,
        }
    }

    /// Its statistics, if anything of it is known.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        self.figures.or_else(|| Stats::of(&self.ys))
    }
}

/// A value that should not be passed, or is worth a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Where.
    pub value: f64,
    /// The rule in words.
    pub label: String,
    /// How bad passing it is.
    pub level: Level,
    /// The colour of the series it belongs to, if it is of one.
    pub of: Option<Color>,
}

impl Limit {
    /// A limit of all series.
    #[must_use]
    pub fn new(value: f64, label: &str, level: Level) -> Self {
        Self {
            value,
            label: label.to_owned(),
            level,
            of: None,
        }
    }

    /// The colour it is drawn in.
    #[must_use]
    pub fn color(&self) -> Color {
        self.of.unwrap_or_else(|| self.level.color())
    }
}

/// What the value axis is told; else it begins at 0 and ends above the largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scale {
    /// It begins here.
    pub min: Option<f64>,
    /// It ends here.
    pub max: Option<f64>,
    /// Each decade is as high as the next; what is not positive has no place.
    pub log: bool,
}

/// A time during which something lasted.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Since when.
    pub from: Timestamp,
    /// Until when; still now without it.
    pub to: Option<Timestamp>,
    /// How bad it was.
    pub level: Level,
    /// What it was.
    pub label: String,
}

/// A moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub label: String,
    /// How bad it was.
    pub level: Level,
}

/// Time of which a series knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last known moment.
    pub from: Timestamp,
    /// The first known one after it, or the end.
    pub to: Timestamp,
}

/// What a legend and a table of figures say about a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// The last known value.
    pub last: f64,
    /// The average of all known cells.
    pub avg: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// 95 % of the known cells lie at or below.
    pub p95: f64,
}

impl Stats {
    /// The statistics of a column, if anything in it is known.
    #[must_use]
    pub fn of(ys: &[Option<f64>]) -> Option<Self> {
        Self::of_values(ys.iter().flatten().copied())
    }

    /// The statistics of values in the order of time.
    #[must_use]
    pub fn of_values(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut known: Vec<f64> = values.filter(|v| v.is_finite()).collect();
        let last = *known.last()?;
        known.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*known.first()?, *known.last()?);
        // The smallest value with at least 95 % at or below it, as billing by the 95th defines it.
        let rank = (known.len() * 95).div_ceil(100).max(1) - 1;
        #[expect(clippy::cast_precision_loss, reason = "columns are short")]
        let avg = known.iter().sum::<f64>() / known.len() as f64;
        Some(Self {
            last,
            avg,
            min,
            max,
            p95: *known.get(rank)?,
        })
    }
}
