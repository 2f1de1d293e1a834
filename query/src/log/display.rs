//! Queries as text again: what is shown reads back as the same query.

use std::fmt::{Display, Formatter, Result, Write as _};

use vigie_parsers::{Severity, Timestamp};

use super::field::{self, FieldKind, FieldName, LevelSet};
use super::filter::{Exact, Filter, Test};
use super::query::Query;
use super::text::TextPattern;
use super::time::Moment;

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match (&self.filter, &self.time) {
            (Filter::All, Some(time)) => write!(f, "@{time}")?,
            (filter @ Filter::Or(_), Some(time)) => write!(f, "({filter}) @{time}")?,
            (filter, Some(time)) => write!(f, "{filter} @{time}")?,
            (filter, None) => write!(f, "{filter}")?,
        }
        self.pipes.iter().try_for_each(|p| write!(f, " | {p}"))
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::All => f.write_str("*"),
            Self::And(all) => join(f, all, " ", |c| matches!(c, Self::And(_) | Self::Or(_))),
            Self::Or(any) => join(f, any, " or ", |c| matches!(c, Self::Or(_))),
            Self::Not(inner) => negation(f, inner),
            Self::Text(pattern) => show_pattern(f, pattern, false),
            Self::TextRegex(regex) => show_regex(f, regex.as_str()),
            Self::Field { name, test } => show_test(f, name, test),
        }
    }
}

fn join(
    f: &mut Formatter<'_>,
    list: &[Filter],
    between: &str,
    wrap: fn(&Filter) -> bool,
) -> Result {
    for (i, child) in list.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        if wrap(child) {
            write!(f, "({child})")?;
        } else {
            write!(f, "{child}")?;
        }
    }
    Ok(())
}

fn negation(f: &mut Formatter<'_>, inner: &Filter) -> Result {
    match inner {
        Filter::Field {
            name,
            test: Test::Exact(exact),
        } => {
            show_name(f, name)?;
            f.write_str("!=")?;
            show_exact(f, exact)
        }
        Filter::Field {
            name,
            test: Test::Regex(regex),
        } => {
            show_name(f, name)?;
            f.write_str("!~")?;
            quote(f, regex.as_str())
        }
        // Two dashes in a row are text.
        Filter::Not(_) => write!(f, "not {inner}"),
        Filter::And(_) | Filter::Or(_) => write!(f, "-({inner})"),
        _ => write!(f, "-{inner}"),
    }
}

fn show_test(f: &mut Formatter<'_>, name: &FieldName, test: &Test) -> Result {
    if let Test::Levels(set) = test {
        return show_levels(f, name, *set);
    }
    show_name(f, name)?;
    match test {
        Test::Compare(compare, number) => {
            f.write_str(compare.as_str())?;
            show_number(f, name, *number)
        }
        Test::Regex(regex) => {
            f.write_char('~')?;
            quote(f, regex.as_str())
        }
        Test::Exact(exact) => {
            f.write_char('=')?;
            show_exact(f, exact)
        }
        Test::Any(tests) => {
            f.write_str(":in(")?;
            for (i, test) in tests.iter().enumerate() {
                f.write_str(if i > 0 { ", " } else { "" })?;
                show_item(f, name, test)?;
            }
            f.write_char(')')
        }
        item => {
            f.write_char(':')?;
            show_item(f, name, item)
        }
    }
}

/// A test as it stands behind `:` or in a list.
fn show_item(f: &mut Formatter<'_>, name: &FieldName, test: &Test) -> Result {
    match test {
        Test::Present => f.write_char('*'),
        Test::Text(pattern) => show_pattern(f, pattern, true),
        Test::Between(low, high) => {
            show_number(f, name, *low)?;
            f.write_str("..")?;
            show_number(f, name, *high)
        }
        Test::Cidr(net) => write!(f, "{}/{}", net.network(), net.bits()),
        Test::Exact(exact) => show_exact(f, exact),
        Test::Levels(set) => names(f, *set),
        // Lists hold no other tests.
        Test::Compare(..) | Test::Regex(_) | Test::Any(_) => Ok(()),
    }
}

fn show_levels(f: &mut Formatter<'_>, name: &FieldName, set: LevelSet) -> Result {
    let name = name.as_str();
    let mut levels = set.iter();
    let (first, rest) = (levels.next(), levels.count());
    let Some(first) = first else {
        return write!(f, "{name}<debug");
    };
    let mildest = set.iter().last().unwrap_or(first);
    if rest == 0 {
        write!(f, "{name}={}", first.as_str())
    } else if first == Severity::Emerg && rest == mildest as usize {
        write!(f, "{name}>={}", mildest.as_str())
    } else {
        write!(f, "{name}:in(")?;
        names(f, set)?;
        f.write_char(')')
    }
}

fn names(f: &mut Formatter<'_>, set: LevelSet) -> Result {
    let names: Vec<_> = set.iter().map(Severity::as_str).collect();
    f.write_str(&names.join(", "))
}

fn show_number(f: &mut Formatter<'_>, name: &FieldName, number: f64) -> Result {
    if matches!(name.kind(), FieldKind::Time | FieldKind::Recv) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "times are whole milliseconds"
        )]
        return write!(f, "{}", Moment::Fixed(Timestamp(number as i64)));
    }
    write!(f, "{number}")
}

fn show_exact(f: &mut Formatter<'_>, exact: &Exact) -> Result {
    show_value(f, exact.text(), exact.open_start(), exact.open_end(), true)
}

fn show_pattern(f: &mut Formatter<'_>, pattern: &TextPattern, in_field: bool) -> Result {
    let (start, end) = (pattern.open_start(), pattern.open_end());
    show_value(f, pattern.needle(), start, end, in_field)
}

fn show_value(
    f: &mut Formatter<'_>,
    text: &str,
    open_start: bool,
    open_end: bool,
    in_field: bool,
) -> Result {
    let star = |f: &mut Formatter<'_>, open: bool| f.write_str(if open { "*" } else { "" });
    star(f, open_start)?;
    if is_plain(text, in_field) {
        f.write_str(text)?;
    } else {
        quote(f, text)?;
    }
    star(f, open_end)
}

/// Whether a text can stand without quotes and be read as nothing else.
fn is_plain(text: &str, in_field: bool) -> bool {
    let allowed =
        |c: char| c.is_alphanumeric() || "_-.".contains(c) || (in_field && "/:@%+".contains(c));
    let starts = |c: char| c.is_alphanumeric() || c == '_' || (in_field && c == '/');
    let is_network = text
        .split_once('/')
        .is_some_and(|(net, _)| net.parse::<std::net::IpAddr>().is_ok());
    text.starts_with(starts)
        && text.chars().all(allowed)
        && !text.contains("..")
        && !is_network
        && !["and", "or", "not", "AND", "OR", "NOT"].contains(&text)
}

pub(super) fn quote(f: &mut Formatter<'_>, text: &str) -> Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

fn show_regex(f: &mut Formatter<'_>, source: &str) -> Result {
    let (source, blind) = match source.strip_prefix("(?i)") {
        Some(rest) if !rest.is_empty() => (rest, "i"),
        _ => (source, ""),
    };
    f.write_char('/')?;
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        match c {
            '/' => f.write_str("\\/")?,
            '\\' => {
                f.write_char('\\')?;
                chars.next().map_or(Ok(()), |next| f.write_char(next))?;
            }
            _ => f.write_char(c)?,
        }
    }
    write!(f, "/{blind}")
}

/// A name, quoted where it would be taken for something else.
pub(super) fn show_name(f: &mut Formatter<'_>, name: &FieldName) -> Result {
    let text = name.as_str();
    let plain = text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(super::lex::is_name)
        && !text.ends_with('-')
        && ![
            "by", "every", "since", "or", "and", "not", "OR", "AND", "NOT",
        ]
        .contains(&text)
        && field::meant(text).is_none();
    if plain {
        f.write_str(text)
    } else {
        quote(f, text)
    }
}
