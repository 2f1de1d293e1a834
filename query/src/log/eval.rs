//! Decides filters: for events, and for whatever else has fields and text.

use std::borrow::Cow;

use vigie_parsers::{Event, Facility, Field, Kind, Severity, Span};

use super::field::{FieldKind, FieldName, UNIT_FIELDS};
use super::filter::{Filter, Test, address};
use super::{number, pattern, text};

/// What a filter can be asked about.
pub trait Subject {
    /// The value of a field, `None` where it is absent.
    fn value(&self, name: &FieldName) -> Option<Cow<'_, [u8]>>;

    /// The value as a number in base units.
    fn number(&self, name: &FieldName) -> Option<f64> {
        self.value(name).and_then(|v| number::parse(&v))
    }

    /// How bad it is.
    fn level(&self) -> Option<Severity>;

    /// Whether `test` holds for one of the pieces of text that bare words are searched in. With
    /// `numbers` unset, numbers that were rescaled may be left out.
    fn any_text(&self, numbers: bool, test: impl FnMut(&[u8]) -> bool) -> bool;
}

impl Filter {
    /// Whether an event passes.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.holds(event)
    }

    /// Whether it holds for `subject`.
    pub fn holds<S: Subject>(&self, subject: &S) -> bool {
        match self {
            Self::All => true,
            Self::And(all) => all.iter().all(|f| f.holds(subject)),
            Self::Or(any) => any.iter().any(|f| f.holds(subject)),
            Self::Not(inner) => !inner.holds(subject),
            Self::Text(pattern) => {
                subject.any_text(pattern.may_be_number(), |piece| pattern.matches(piece))
            }
            Self::TextRegex(regex) => subject.any_text(true, |piece| regex.is_match(piece)),
            Self::Field { name, test } => test.holds_for(name, subject),
        }
    }
}

impl Test {
    fn holds_for<S: Subject>(&self, name: &FieldName, subject: &S) -> bool {
        match self {
            Self::Compare(compare, limit) => subject
                .number(name)
                .is_some_and(|n| compare.holds(&n, limit)),
            Self::Between(low, high) => subject
                .number(name)
                .is_some_and(|n| *low <= n && n <= *high),
            Self::Levels(set) => subject.level().is_some_and(|l| set.has(l)),
            Self::Any(tests) => tests.iter().any(|t| t.holds_for(name, subject)),
            _ => subject.value(name).is_some_and(|v| self.matches(&v)),
        }
    }

    /// Whether a value passes, given as text with its escapes undone and durations in seconds. A
    /// level passes [`Test::Levels`] by its name.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Text(pattern) => pattern.matches(value),
            Self::Exact(exact) => exact.matches(value),
            Self::Regex(regex) => regex.is_match(value),
            Self::Compare(compare, limit) => {
                number::parse(value).is_some_and(|n| compare.holds(&n, limit))
            }
            Self::Between(low, high) => {
                number::parse(value).is_some_and(|n| *low <= n && n <= *high)
            }
            Self::Cidr(net) => address(value).is_some_and(|ip| net.has(ip)),
            Self::Levels(set) => Severity::from_word(value).is_some_and(|l| set.has(l)),
            Self::Any(tests) => tests.iter().any(|t| t.matches(value)),
        }
    }
}

impl Subject for Event {
    fn value(&self, name: &FieldName) -> Option<Cow<'_, [u8]>> {
        let borrowed = |text: &'static str| Some(Cow::Borrowed(text.as_bytes()));
        match name.kind() {
            FieldKind::Time => Some(Cow::Owned(self.time.0.to_string().into_bytes())),
            FieldKind::Recv => Some(Cow::Owned(self.recv.0.to_string().into_bytes())),
            FieldKind::Level => match self.severity {
                Some(severity) => borrowed(severity.as_str()),
                None => self.field("level"),
            },
            FieldKind::Facility => borrowed(facility(self)?.as_str()),
            FieldKind::Source => Some(Cow::Borrowed(self.origin.source.as_bytes())),
            FieldKind::Format => Some(Cow::Borrowed(self.format.as_bytes())),
            FieldKind::Message => Some(message(self)),
            FieldKind::Pattern => Some(Cow::Owned(pattern(self))),
            FieldKind::Bot => self.bot(),
            FieldKind::Unit => UNIT_FIELDS.iter().find_map(|name| self.field(name)),
            FieldKind::Known(field) => match known_span(self, field) {
                Some(span) => Some(span.value(&self.line)),
                None => of_origin(self, name.as_str()),
            },
            FieldKind::Other => self.field(name.as_str()),
        }
    }

    fn number(&self, name: &FieldName) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 287000")]
        match name.kind() {
            FieldKind::Time => Some(self.time.0 as f64),
            FieldKind::Recv => Some(self.recv.0 as f64),
            FieldKind::Known(field) => match known_span(self, field) {
                Some(span) => {
                    let number =
                        |divisor: f64| Some(number::parse(span.text(&self.line))? / divisor);
                    match span.kind {
                        Kind::Millis => number(1e3),
                        Kind::Micros => number(1e6),
                        Kind::Nanos => number(1e9),
                        _ => number(1.0),
                    }
                }
                None => number::parse(&of_origin(self, name.as_str())?),
            },
            _ => number::parse(&self.value(name)?),
        }
    }

    fn level(&self) -> Option<Severity> {
        self.severity
    }

    fn any_text(&self, numbers: bool, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        let stamp = &self.record.time_span;
        let (start, end) = (stamp.start as usize, stamp.end as usize);
        let (before, behind) = if start < end && end <= self.line.len() {
            (&self.line[..start], &self.line[end..])
        } else {
            (&self.line[..0], &self.line[..])
        };
        test(behind)
            || (!before.is_empty() && test(before))
            || any_decoded(self, numbers, &mut test)
            || self.origin.fields.iter().any(|(_, v)| test(v.as_bytes()))
            || test(self.origin.source.as_bytes())
    }
}

/// Searches the values that the line shows otherwise than they are.
fn any_decoded(event: &Event, numbers: bool, test: &mut impl FnMut(&[u8]) -> bool) -> bool {
    let line = event.line.as_slice();
    let escapes = memchr::memchr(b'\\', line).is_some();
    event.record.fields.iter().any(|span| {
        let differs = match span.kind {
            Kind::Plain => return false,
            Kind::Millis | Kind::Micros | Kind::Nanos => numbers,
            Kind::Quoted | Kind::Json | Kind::SdParam => escapes,
        };
        // What stands as it is between signs was found in the line, if it is there at all.
        let alone = text::stands_alone(line, span.start as usize, span.end as usize);
        if alone && !differs {
            return false;
        }
        let value = span.value(line);
        (!alone || matches!(value, Cow::Owned(_))) && test(&value)
    })
}

/// The text that people read, its escapes undone where it is one field of the line.
#[must_use]
pub fn message(event: &Event) -> Cow<'_, [u8]> {
    let place = &event.record.message;
    let spans = &event.record.fields;
    let own = spans
        .iter()
        .find(|s| s.start == place.start && s.end == place.end);
    own.map_or_else(|| Cow::Borrowed(event.message()), |s| s.value(&event.line))
}

fn known_span(event: &Event, field: Field) -> Option<&Span> {
    let name = vigie_parsers::Name::Known(field);
    event.record.fields.iter().find(|s| s.name == name)
}

fn of_origin<'a>(event: &'a Event, name: &str) -> Option<Cow<'a, [u8]>> {
    let found = event.origin.fields.iter().find(|(n, _)| n == name)?;
    Some(Cow::Borrowed(found.1.as_bytes()))
}

/// The facility, read from `<PRI>` where whoever kept the event did not keep it apart.
fn facility(event: &Event) -> Option<Facility> {
    event.record.facility.or_else(|| {
        let pri = known_span(event, Field::Pri)?.text(&event.line);
        let pri: u8 = std::str::from_utf8(pri).ok()?.parse().ok()?;
        Facility::from_number(pri / 8)
    })
}
