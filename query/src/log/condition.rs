//! Conditions: a text, or a field with an operator and a value.

use std::net::IpAddr;

use regex::bytes::RegexBuilder;

use super::field::{FieldKind, FieldName, LevelSet};
use super::filter::{Compare, Filter, Test};
use super::lex::name_len;
use super::parse::{MAX_CONDITIONS, MAX_REGEX_LEN, MAX_REGEX_SIZE, Parser, Result};
use super::value::{Op, Value};

/// Longest first; with the spellings of neighbouring languages.
const OPS: &[(&str, Op)] = &[
    (":>=", Op::Order(Compare::GreaterOrEqual)),
    (":<=", Op::Order(Compare::LessOrEqual)),
    (":>", Op::Order(Compare::Greater)),
    (":<", Op::Order(Compare::Less)),
    ("!=", Op::NotEqual),
    ("!~", Op::MatchesNot),
    ("<=", Op::Order(Compare::LessOrEqual)),
    (">=", Op::Order(Compare::GreaterOrEqual)),
    ("==", Op::Equal),
    ("=~", Op::Matches),
    ("<", Op::Order(Compare::Less)),
    (">", Op::Order(Compare::Greater)),
    ("=", Op::Equal),
    ("~", Op::Matches),
    (":", Op::Has),
];

impl Parser<'_> {
    /// A test of a field, or a text.
    pub(super) fn single(&mut self) -> Result<Filter> {
        let start = self.at;
        match self.field_and_op()? {
            Some((name, op)) => self.field_test(start, name, op),
            None => self.text_atom(),
        }
    }

    pub(super) fn compile(&self, start: usize, source: &str) -> Result<regex::bytes::Regex> {
        if source.len() > MAX_REGEX_LEN {
            return Err(self.error_at(
                start,
                format!("an expression longer than {MAX_REGEX_LEN} bytes"),
            ));
        }
        RegexBuilder::new(source)
            .size_limit(MAX_REGEX_SIZE)
            .dfa_size_limit(MAX_REGEX_SIZE)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    self.error_at(start, "this expression is too large; use fewer repetitions")
                }
                other => {
                    let text = other.to_string();
                    let reason = text.lines().last().unwrap_or_default();
                    self.error_at(
                        start,
                        format!(
                            "no regular expression: {}",
                            reason.trim_start_matches("error: ")
                        ),
                    )
                }
            })
    }

    /// A name with an operator right behind it; otherwise nothing is read.
    fn field_and_op(&mut self) -> Result<Option<(FieldName, Op)>> {
        let start = self.at;
        let quoted = matches!(self.peek(), Some('"' | '\''));
        let name = if quoted {
            self.quoted()?
        } else {
            let rest = self.rest();
            let name = rest[..name_len(rest)].trim_end_matches('-');
            if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                return Ok(None);
            }
            self.at += name.len();
            name.to_owned()
        };
        let op = OPS.iter().find(|(text, _)| self.rest().starts_with(text));
        let Some(&(text, op)) =
            op.filter(|_| !name.is_empty() && (quoted || !self.is_plain_text(start)))
        else {
            self.at = start;
            return Ok(None);
        };
        self.at += text.len();
        if !quoted {
            self.check_name(start, &name)?;
        }
        Ok(Some((FieldName::new(&name), op)))
    }

    /// Text that only looks like a field: `http://x`, `std::fs`, `fe80::1`, `aa:bb:cc:dd:ee:ff`.
    fn is_plain_text(&self, start: usize) -> bool {
        let rest = self.rest();
        let word = self.text.get(start..).unwrap_or_default();
        let word = word
            .split(|c: char| c.is_whitespace() || "|()".contains(c))
            .next()
            .unwrap_or_default();
        rest.starts_with("://")
            || rest.starts_with("::")
            || word.parse::<IpAddr>().is_ok()
            || (word.len() == 17
                && word.split(':').count() == 6
                && word
                    .split(':')
                    .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit())))
    }

    fn field_test(&mut self, start: usize, name: FieldName, op: Op) -> Result<Filter> {
        let negated = matches!(op, Op::NotEqual | Op::MatchesNot);
        let test = match op {
            Op::Matches | Op::MatchesNot => Test::Regex(self.regex_value(&name)?),
            Op::Has if self.rest().starts_with("in(") => self.list(&name)?,
            _ => {
                let value = self.value(&name, false)?;
                if value.quoted && value.text.is_empty() && matches!(op, Op::Equal | Op::NotEqual) {
                    // An empty value is none.
                    let present = Filter::Field {
                        name,
                        test: Test::Present,
                    };
                    return Ok(if negated {
                        present
                    } else {
                        Filter::Not(Box::new(present))
                    });
                }
                self.test(&name, op, &value)?
            }
        };
        if name.kind() == FieldKind::Message
            && matches!(test, Test::Compare(..) | Test::Between(..))
        {
            return Err(self.error_at(start, "a message does not compare as a number"));
        }
        let found = Filter::Field { name, test };
        Ok(if negated {
            Filter::Not(Box::new(found))
        } else {
            found
        })
    }

    fn regex_value(&mut self, name: &FieldName) -> Result<regex::bytes::Regex> {
        let start = self.at;
        let source = match self.peek() {
            Some('"' | '\'') => self.quoted()?,
            Some('/') => match self.slashed() {
                Some(source) => source,
                None => self.bare_regex().to_owned(),
            },
            _ => self.bare_regex().to_owned(),
        };
        if source.is_empty() {
            return Err(self.error_at(
                start,
                format!("'{}~' needs an expression right behind it", name.as_str()),
            ));
        }
        self.compile(start, &source)
    }

    fn list(&mut self, name: &FieldName) -> Result<Test> {
        let start = self.at;
        self.at += "in(".len();
        let mut tests = Vec::new();
        let mut levels = LevelSet::default();
        loop {
            self.blanks();
            let value = self.value(name, true)?;
            match self.test(name, Op::Has, &value)? {
                Test::Levels(set) => levels = levels.union(set),
                test => tests.push(test),
            }
            self.conditions += 1;
            if self.conditions > MAX_CONDITIONS {
                return Err(self.error(format!("more than {MAX_CONDITIONS} conditions")));
            }
            self.blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(')') => break,
                _ => {
                    return Err(self.error_at(
                        start,
                        "this list needs ',' between values and ')' at its end",
                    ));
                }
            }
        }
        self.at += 1;
        if !levels.is_empty() || tests.is_empty() {
            tests.insert(0, Test::Levels(levels));
        }
        Ok(match tests.pop() {
            Some(only) if tests.is_empty() => only,
            last => Test::Any(tests.into_iter().chain(last).collect()),
        })
    }

    fn value(&mut self, name: &FieldName, in_list: bool) -> Result<Value> {
        let at = self.at;
        let open_start = self.peek() == Some('*');
        let quote_at = at + usize::from(open_start);
        if self
            .text
            .get(quote_at..)
            .is_some_and(|r| r.starts_with(['"', '\'']))
        {
            self.at = quote_at;
            let text = self.quoted()?;
            let open_end = self.peek() == Some('*');
            self.at += usize::from(open_end);
            return Ok(Value {
                at,
                text,
                quoted: true,
                open_start,
                open_end,
            });
        }
        let word = self.bare(in_list);
        if word.is_empty() {
            let name = name.as_str();
            return Err(self.error_at(at, format!("'{name}' needs a value right behind the operator; to search for the text, quote it")));
        }
        let open_end = word.len() > 1 && word.ends_with('*');
        let text = &word[usize::from(open_start)..word.len() - usize::from(open_end)];
        if text.contains('*') && !in_list {
            return Err(self.error_at(
                at,
                "'*' opens an end of a word; for more use '~' and an expression, or quote it",
            ));
        }
        Ok(Value {
            at,
            text: text.to_owned(),
            quoted: false,
            open_start,
            open_end,
        })
    }

    fn text_atom(&mut self) -> Result<Filter> {
        let value = self.value(&FieldName::new("*"), false)?;
        if !value.quoted && value.text.is_empty() {
            return Ok(Filter::All);
        }
        self.pattern(&value).map(Filter::Text)
    }
}
