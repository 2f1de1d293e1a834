//! What a raw line must hold for a filter to match it: asked of whole buffers of a file before any
//! line of them is read.
//!
//! It may let lines through that do not match, never the other way. A value may be written with
//! backslashes, so every line with one is let through; a duration may be rescaled, so a text that
//! could be a part of a number says nothing.

use regex::bytes::{Regex, RegexBuilder};

use super::field::FieldKind;
use super::filter::{Exact, Filter, Test};
use super::text::TextPattern;

/// Shorter texts stand in most lines: looking for them first costs more than it saves.
const NEEDLE_LEN_MIN: usize = 3;
/// More alternatives than this are slower to look for than lines are to read.
const NEEDLES_MAX: usize = 16;

/// Texts of which a matching line holds one at least, in any case.
#[derive(Clone, Debug)]
pub struct Prefilter {
    needles: Regex,
}

/// The places in a text of which the line may match.
#[derive(Debug)]
pub struct Candidates<'a> {
    needles: &'a Regex,
    text: &'a [u8],
    /// The next needle and the next backslash behind the last place that was asked for: looked for
    /// apart, because each of them alone is found many times faster than both together.
    next: [Next; 2],
}

#[derive(Clone, Copy, Debug)]
enum Next {
    /// Not looked for yet.
    Unknown,
    At(usize),
    Nowhere,
}

impl Prefilter {
    /// `None` if nothing can be said about the lines that match.
    #[must_use]
    pub fn new(filter: &Filter) -> Option<Self> {
        let needles = of_filter(filter)?;
        let list: Vec<String> = needles.iter().map(|n| regex::escape(n)).collect();
        let needles = RegexBuilder::new(&list.join("|"))
            .case_insensitive(true)
            .unicode(false)
            .build();
        Some(Self {
            needles: needles.ok()?,
        })
    }

    /// Whether it can be used for lines of an origin with this text in it: a bare word is also looked
    /// for there.
    #[must_use]
    pub fn is_foreign_to(&self, text: &[u8]) -> bool {
        !self.needles.is_match(text)
    }

    /// The places in a text of which the line may match.
    #[must_use]
    pub fn candidates<'a>(&'a self, text: &'a [u8]) -> Candidates<'a> {
        Candidates {
            needles: &self.needles,
            text,
            next: [Next::Unknown; 2],
        }
    }
}

impl Candidates<'_> {
    /// The first one at or behind `from`, which never goes back.
    pub fn find(&mut self, from: usize) -> Option<usize> {
        let needle = |text: &[u8], from: usize| self.needles.find_at(text, from).map(|m| m.start());
        let backslash =
            |text: &[u8], from: usize| Some(from + memchr::memchr(b'\\', text.get(from..)?)?);
        let [first, second] = &mut self.next;
        let (first, second) = (
            first.at(self.text, from, needle),
            second.at(self.text, from, backslash),
        );
        match (first, second) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Next {
    fn at(
        &mut self,
        text: &[u8],
        from: usize,
        find: impl Fn(&[u8], usize) -> Option<usize>,
    ) -> Option<usize> {
        match *self {
            Self::At(at) if at >= from => Some(at),
            Self::Nowhere => None,
            _ => {
                let found = find(text, from);
                *self = found.map_or(Self::Nowhere, Self::At);
                found
            }
        }
    }
}

/// Of which one must be there.
fn of_filter(filter: &Filter) -> Option<Vec<String>> {
    match filter {
        Filter::And(all) => all.iter().filter_map(of_filter).max_by_key(|needles| {
            let shortest = needles.iter().map(String::len).min().unwrap_or(0);
            (shortest, std::cmp::Reverse(needles.len()))
        }),
        Filter::Or(any) => union(any.iter().map(of_filter)),
        Filter::Text(pattern) => of_text(pattern),
        Filter::Field { name, test } => match name.kind() {
            FieldKind::Message | FieldKind::Unit | FieldKind::Known(_) | FieldKind::Other => {
                of_test(test)
            }
            _ => None,
        },
        Filter::All | Filter::Not(_) | Filter::TextRegex(_) => None,
    }
}

fn of_test(test: &Test) -> Option<Vec<String>> {
    match test {
        Test::Text(pattern) => of_text(pattern),
        Test::Exact(exact) => of_exact(exact),
        Test::Any(tests) => union(tests.iter().map(of_test)),
        _ => None,
    }
}

fn of_text(pattern: &TextPattern) -> Option<Vec<String>> {
    let longest = pattern.needle().split(' ').max_by_key(|p| p.len())?;
    usable(longest)
}

fn of_exact(exact: &Exact) -> Option<Vec<String>> {
    if exact.number().is_some() || exact.address().is_some() {
        return None;
    }
    usable(exact.text())
}

fn usable(text: &str) -> Option<Vec<String>> {
    let numeric = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b"+-.infa".contains(&b));
    // No number has two points: addresses and versions stand as they are.
    let rescaled = numeric && text.bytes().filter(|b| *b == b'.').count() < 2;
    let usable = text.is_ascii() && text.len() >= NEEDLE_LEN_MIN && !rescaled;
    usable.then(|| vec![text.to_owned()])
}

fn union(lists: impl Iterator<Item = Option<Vec<String>>>) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for list in lists {
        all.extend(list?);
        if all.len() > NEEDLES_MAX {
            return None;
        }
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use crate::log::Query;

    use super::*;

    #[test]
    fn says_what_a_line_must_hold() {
        let check = |query: &str, expected: Option<&str>| {
            let query = Query::parse(query).expect(query);
            let found = Prefilter::new(&query.filter).map(|p| p.needles.as_str().to_owned());
            assert_eq!(found.as_deref(), expected, "{query}");
        };
        check("", None);
        check("timeout", Some("timeout"));
        check("Timeout app:nginx", Some("timeout"));
        check("timeout or refused", Some("timeout|refused"));
        check("timeout or status>=500", None);
        check("timeout -healthcheck", Some("timeout"));
        check("-timeout", None);
        check("\"connection refused\"", Some("connection"));
        check("path=/api/*", Some("/api/"));
        check("10.0.0.7", Some(r"10\.0\.0\.7"));
        check("ip=10.0.0.7", None);
        check("1234567", None);
        check("status=500", None);
        check("level:error", None);
        check("source:access", None);
        check("app:in(sshd, sudo)", Some("sshd|sudo"));
        check("ab", None);
        check("Käse", None);
    }
}
