//! Pipes as text again.

use std::fmt::{Display, Formatter, Result, Write as _};

use super::display::{quote, show_name};
use super::field::FieldName;
use super::number::show_duration;
use super::query::{Aggregate, Pipe, SortKey};

struct List<'a>(&'a [FieldName]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (i, name) in self.0.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            show_name(f, name)?;
        }
        Ok(())
    }
}

struct By<'a>(&'a [FieldName]);

impl Display for By<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " by {}", List(self.0))
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.word())?;
        let Some(field) = self.field() else {
            return Ok(());
        };
        f.write_char(' ')?;
        show_name(f, field)
    }
}

impl Display for SortKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(if self.descending { "-" } else { "" })?;
        show_name(f, &self.field)
    }
}

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Stats { aggregates, by } => {
                let list: Vec<String> = aggregates.iter().map(ToString::to_string).collect();
                // A leading `uniq` is a pipe of its own.
                let lead = if list.first().is_some_and(|a| a.starts_with("uniq")) {
                    "stats "
                } else {
                    ""
                };
                write!(f, "{lead}{}{}", list.join(", "), By(by))
            }
            Self::Rate { per_ms, by } => write!(f, "rate {}{}", show_duration(*per_ms), By(by)),
            Self::Chart {
                aggregate,
                by,
                every_ms,
            } => {
                write!(f, "chart {aggregate}{}", By(by))?;
                every_ms.map_or(Ok(()), |ms| write!(f, " every {}", show_duration(ms)))
            }
            Self::Top { n, fields, .. } => write!(f, "{} {n} {}", self.word(), List(fields)),
            Self::Uniq(fields) | Self::Fields(fields) => {
                write!(f, "{} {}", self.word(), List(fields))
            }
            Self::Where(filter) => write!(f, "where {filter}"),
            Self::Sort(keys) => {
                let list: Vec<String> = keys.iter().map(ToString::to_string).collect();
                write!(f, "sort {}", list.join(", "))
            }
            Self::Head(n) | Self::Tail(n) | Self::Limit(n) | Self::Context(n) => {
                write!(f, "{} {n}", self.word())
            }
            Self::Around(ms) | Self::Diff(ms) => {
                write!(f, "{} {}", self.word(), show_duration(*ms))
            }
            Self::Parse { from, pattern } => {
                f.write_str("parse ")?;
                if let Some(from) = from {
                    show_name(f, from)?;
                    f.write_char(' ')?;
                }
                quote(f, pattern.source())
            }
            Self::Json(from) | Self::Kv(from) => {
                f.write_str(self.word())?;
                let Some(from) = from else { return Ok(()) };
                f.write_char(' ')?;
                show_name(f, from)
            }
            Self::Patterns => f.write_str("patterns"),
            Self::New { since: None } => f.write_str("new"),
            Self::New { since: Some(since) } => write!(f, "new since {since}"),
            Self::Sessions { gap_ms, by } => {
                write!(
                    f,
                    "sessions {}{}",
                    show_duration(*gap_ms),
                    By(std::slice::from_ref(by))
                )
            }
        }
    }
}
