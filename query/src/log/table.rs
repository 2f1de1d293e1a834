//! What queries answer with: events as they are, or tables of typed cells.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use vigie_parsers::{Event, Severity, Timestamp};

use super::eval::Subject;
use super::extract::Extracted;
use super::field::{FieldKind, FieldName};
use super::number;

/// One cell of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cell {
    /// No value.
    #[default]
    Null,
    /// Text as it came: show it through [`crate::log::printable`].
    Text(Vec<u8>),
    /// A count.
    Count(u64),
    /// A figure, in base units.
    Number(f64),
    /// A part of the whole, from 0 to 1; differences of such from -1.
    Share(f64),
    /// A span of time in seconds.
    Seconds(f64),
    /// A point in time.
    Time(Timestamp),
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// An event as it comes out of a query.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The event.
    pub event: &'a Event,
    /// What `parse`, `json` and `kv` read in it; these come before its own fields.
    pub extracted: &'a Extracted,
    /// It did not match by itself: `context` or `around` brought it.
    pub is_neighbour: bool,
}

/// Takes the answer of a query.
pub trait Sink {
    /// One more event, in the order of [`crate::log::Outcome::order`]. To break off ends the query.
    fn event(&mut self, hit: &Hit<'_>) -> ControlFlow<()>;

    /// The table, at the end, for queries that make one.
    fn table(&mut self, table: Table);
}

impl Cell {
    /// The value of a field as a cell.
    pub(crate) fn of(name: &FieldName, value: Option<&[u8]>) -> Self {
        let Some(value) = value else {
            return Self::Null;
        };
        let number = || number::parse(value);
        match name.kind() {
            FieldKind::Time | FieldKind::Recv => number().map(|n| Self::figure(name, n)),
            _ if name.is_numeric() => number().map(|n| Self::figure(name, n)),
            _ => None,
        }
        .unwrap_or_else(|| Self::Text(value.to_vec()))
    }

    /// A figure made of a field's values.
    pub(crate) fn figure(name: &FieldName, value: f64) -> Self {
        use vigie_parsers::Field::{Duration, UpstreamDuration};
        match name.kind() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it was milliseconds before"
            )]
            FieldKind::Time | FieldKind::Recv => Self::Time(Timestamp(value as i64)),
            FieldKind::Known(Duration | UpstreamDuration) => Self::Seconds(value),
            _ => Self::Number(value),
        }
    }

    /// The number in it, milliseconds for times.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 in practice")]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Null => None,
            Self::Text(text) => number::parse(text),
            Self::Count(n) => Some(*n as f64),
            Self::Number(n) | Self::Share(n) | Self::Seconds(n) => Some(*n),
            Self::Time(time) => Some(time.0 as f64),
        }
    }

    /// The plain text of it: numbers without units, times as milliseconds since 1970.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, [u8]>> {
        let owned = |text: String| Some(Cow::Owned(text.into_bytes()));
        match self {
            Self::Null => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Count(n) => owned(n.to_string()),
            Self::Number(n) | Self::Share(n) | Self::Seconds(n) => owned(n.to_string()),
            Self::Time(time) => owned(time.0.to_string()),
        }
    }

    /// The order of `sort`: numbers before texts, numbers by size, and no value last.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let rank = |cell: &Self, number: Option<f64>| match (cell, number) {
            (Self::Null, _) => 2,
            (_, None) => 1,
            (_, Some(_)) => 0,
        };
        let (a, b) = (self.number(), other.number());
        rank(self, a)
            .cmp(&rank(other, b))
            .then_with(|| match (a, b) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => self.text().cmp(&other.text()),
            })
    }

    /// Bytes of memory it stands for.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + if let Self::Text(text) = self {
                text.len()
            } else {
                0
            }
    }
}

impl Table {
    /// The place of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }
}

impl Hit<'_> {
    fn extracted(&self, name: &FieldName) -> Option<&[u8]> {
        let found = self.extracted.iter().find(|(n, _)| n == name.as_str())?;
        Some(&found.1)
    }
}

impl Subject for Hit<'_> {
    fn value(&self, name: &FieldName) -> Option<Cow<'_, [u8]>> {
        match self.extracted(name) {
            Some(value) => Some(Cow::Borrowed(value)),
            None => self.event.value(name),
        }
    }

    fn number(&self, name: &FieldName) -> Option<f64> {
        match self.extracted(name) {
            Some(value) => number::parse(value),
            None => self.event.number(name),
        }
    }

    fn level(&self) -> Option<Severity> {
        self.event.level()
    }

    fn any_text(&self, numbers: bool, test: impl FnMut(&[u8]) -> bool) -> bool {
        self.event.any_text(numbers, test)
    }
}

/// What flows between pipes.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    Event(Hit<'a>),
    Row {
        columns: &'a [String],
        cells: &'a [Cell],
    },
}

impl Item<'_> {
    pub(crate) fn cell(&self, name: &FieldName) -> Cell {
        match self {
            Self::Event(hit) => Cell::of(name, hit.value(name).as_deref()),
            Self::Row { .. } => self.row_cell(name).cloned().unwrap_or_default(),
        }
    }

    fn row_cell(&self, name: &FieldName) -> Option<&Cell> {
        let Self::Row { columns, cells } = self else {
            return None;
        };
        cells.get(columns.iter().position(|c| c == name.as_str())?)
    }

    /// The time of an event.
    pub(crate) fn time(&self) -> Timestamp {
        match self {
            Self::Event(hit) => hit.event.time,
            Self::Row { .. } => Timestamp::default(),
        }
    }
}

impl Subject for Item<'_> {
    fn value(&self, name: &FieldName) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Event(hit) => hit.value(name),
            Self::Row { .. } => self.row_cell(name)?.text(),
        }
    }

    fn number(&self, name: &FieldName) -> Option<f64> {
        match self {
            Self::Event(hit) => hit.number(name),
            Self::Row { .. } => self.row_cell(name)?.number(),
        }
    }

    fn level(&self) -> Option<Severity> {
        match self {
            Self::Event(hit) => hit.level(),
            Self::Row { .. } => {
                let text = self.value(&FieldName::new("level"))?;
                Severity::from_word(&text)
            }
        }
    }

    fn any_text(&self, numbers: bool, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        match self {
            Self::Event(hit) => hit.any_text(numbers, test),
            Self::Row { cells, .. } => {
                let mut texts = cells.iter().filter_map(Cell::text);
                texts.any(|text| test(&text))
            }
        }
    }
}

/// An item that has to outlive its moment.
pub(crate) enum Kept {
    Event {
        event: Box<Event>,
        extracted: Extracted,
        is_neighbour: bool,
    },
    Row(Vec<Cell>),
}

impl Kept {
    pub(crate) fn new(item: &Item<'_>) -> Self {
        match item {
            Item::Event(hit) => Self::Event {
                event: Box::new(hit.event.clone()),
                extracted: hit.extracted.clone(),
                is_neighbour: hit.is_neighbour,
            },
            Item::Row { cells, .. } => Self::Row(cells.to_vec()),
        }
    }

    pub(crate) fn item<'a>(&'a self, columns: &'a [String]) -> Item<'a> {
        match self {
            Self::Event {
                event,
                extracted,
                is_neighbour,
            } => Item::Event(Hit {
                event,
                extracted,
                is_neighbour: *is_neighbour,
            }),
            Self::Row(cells) => Item::Row { columns, cells },
        }
    }

    /// Bytes of memory it stands for.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Event {
                event, extracted, ..
            } => {
                let spans = size_of_val(event.record.fields.as_slice());
                let read: usize = extracted.iter().map(|(n, v)| n.len() + v.len() + 48).sum();
                size_of::<Event>() + event.line.len() + spans + read
            }
            Self::Row(cells) => cells.iter().map(Cell::size).sum(),
        }
    }
}
