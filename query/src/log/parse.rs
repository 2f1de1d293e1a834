//! Reads a query: recursive descent over the text itself, so that each error knows its column and a
//! word is whatever stands between blanks.

use super::field::{self, FieldName};
use super::filter::Filter;
use super::query::{ParseError, Query};
use super::time::TimeRange;

/// Nobody types more; a program that does wants another interface.
pub const MAX_QUERY_LEN: usize = 8 << 10;
/// Parentheses and `not`s inside each other: the tree is walked by recursion, for each event.
pub const MAX_DEPTH: usize = 32;
/// Conditions in one query, list items counted: each may cost a search of each line.
pub const MAX_CONDITIONS: usize = 500;
/// The longest text to look for.
pub const MAX_NEEDLE_LEN: usize = 512;
/// The longest regular expression.
pub const MAX_REGEX_LEN: usize = 1000;
/// What a regular expression may occupy when compiled; counted repetitions multiply.
pub const MAX_REGEX_SIZE: usize = 2 << 20;

pub(super) type Result<T> = std::result::Result<T, ParseError>;

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    depth: usize,
    pub(super) conditions: usize,
    /// The time of the query, where one may stand.
    time: Option<(usize, TimeRange)>,
    time_allowed: bool,
    /// Names that earlier pipes made.
    pub(super) made: Vec<String>,
    /// An earlier pipe makes fields of any name.
    pub(super) any_name: bool,
    /// The columns, once rows flow.
    pub(super) columns: Option<Vec<String>>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self> {
        let parser = Self {
            text,
            at: 0,
            depth: 0,
            conditions: 0,
            time: None,
            time_allowed: true,
            made: Vec::new(),
            any_name: false,
            columns: None,
        };
        if text.len() > MAX_QUERY_LEN {
            return Err(parser.error_at(0, format!("longer than {MAX_QUERY_LEN} bytes")));
        }
        Ok(parser)
    }

    pub(super) fn query(mut self) -> Result<Query> {
        self.blanks();
        let filter = match self.peek() {
            None | Some('|') => Filter::All,
            Some(_) => self.or()?,
        };
        self.time_allowed = false;
        let pipes = self.pipes()?;
        Ok(Query {
            filter,
            time: self.time.map(|(_, range)| range),
            pipes,
        })
    }

    /// A filter behind `where`.
    pub(super) fn condition(&mut self) -> Result<Filter> {
        self.blanks();
        if matches!(self.peek(), None | Some('|')) {
            return Err(self.error("'where' needs a condition, as in 'where status>=500'"));
        }
        self.or()
    }

    fn or(&mut self) -> Result<Filter> {
        let start = self.at;
        let times = self.time.is_some();
        let mut any = vec![self.and()?];
        while self.keyword(&["or", "OR"]) {
            any.push(self.and()?);
        }
        if any.len() > 1 && self.time.is_some() && !times {
            return Err(self.error_at(
                start,
                "a time holds for the whole query: it cannot stand in an 'or'",
            ));
        }
        Ok(one_or(any, Filter::Or))
    }

    fn and(&mut self) -> Result<Filter> {
        let mut all = vec![self.not()?];
        loop {
            self.blanks();
            if matches!(self.peek(), None | Some('|' | ')')) || self.sees_keyword(&["or", "OR"]) {
                break;
            }
            self.keyword(&["and", "AND"]);
            all.push(self.not()?);
        }
        if all.len() > 1 {
            all.retain(|f| !matches!(f, Filter::All));
        }
        Ok(match all.len() {
            0 => Filter::All,
            _ => one_or(all, Filter::And),
        })
    }

    fn not(&mut self) -> Result<Filter> {
        self.blanks();
        let start = self.at;
        let word = self.keyword(&["not", "NOT"]);
        let sign = !word && self.sign();
        if !word && !sign {
            return self.atom();
        }
        let times = self.time.is_some();
        self.enter(start)?;
        let inner = self.not()?;
        self.depth -= 1;
        if self.time.is_some() && !times {
            return Err(self.error_at(
                start,
                "a time cannot be negated; write the range that you mean",
            ));
        }
        Ok(Filter::Not(Box::new(inner)))
    }

    /// `-x` and `!x`; a dash alone or doubled is text.
    fn sign(&mut self) -> bool {
        let mut rest = self.rest().chars();
        let found = match (rest.next(), rest.next()) {
            (Some('!'), Some(c)) => !c.is_whitespace() && c != '=' && c != '~',
            (Some('-'), Some(c)) => !c.is_whitespace() && !"->|)".contains(c),
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn atom(&mut self) -> Result<Filter> {
        self.blanks();
        let start = self.at;
        match self.peek() {
            None => Err(self.error("the query ends where a condition is expected")),
            Some('|') => Err(self.error("a condition is missing before '|'")),
            Some(')') => Err(self.error("there is no '(' for this ')'")),
            Some('(') => self.group(),
            Some('@') => self.time(),
            Some(_) if self.sees_keyword(&["or", "OR", "and", "AND"]) => {
                let word = self.bare(false);
                Err(self.error_at(
                    start,
                    format!(
                        "'{word}' stands between two conditions; to search for the word, quote it"
                    ),
                ))
            }
            Some(c) => {
                if c == '/'
                    && let Some(filter) = self.regex_atom()?
                {
                    return Ok(filter);
                }
                self.conditions += 1;
                if self.conditions > MAX_CONDITIONS {
                    return Err(self.error(format!("more than {MAX_CONDITIONS} conditions")));
                }
                self.single()
            }
        }
    }

    fn group(&mut self) -> Result<Filter> {
        let start = self.at;
        self.enter(start)?;
        self.at += 1;
        self.blanks();
        if self.peek() == Some(')') {
            return Err(self.error("nothing between the parentheses; quote text that has some"));
        }
        let inner = self.or()?;
        self.blanks();
        if self.peek() != Some(')') {
            return Err(self.error_at(start, "this '(' is never closed"));
        }
        self.at += 1;
        self.depth -= 1;
        Ok(inner)
    }

    fn enter(&mut self, start: usize) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error_at(start, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    fn time(&mut self) -> Result<Filter> {
        let start = self.at;
        self.at += 1;
        let text = self.bare(false);
        if !self.time_allowed {
            return Err(self.error_at(start, "a time belongs in front of the first '|'"));
        }
        let Some(range) = TimeRange::parse(text) else {
            let words = ["today", "yesterday", "boot", "deploy"].into_iter();
            let help = field::nearest(text, words).map_or_else(
                || "as '@15m', '@2h..1h', '@2026-11-20T10:00..11:00', '@yesterday'".to_owned(),
                |word| format!("did you mean '@{word}'?"),
            );
            return Err(self.error_at(start, format!("'{text}' is no time; {help}")));
        };
        if self.time.is_some() {
            return Err(self.error_at(start, "the query has a time already; a range is '@2h..1h'"));
        }
        self.time = Some((start, range));
        Ok(Filter::All)
    }

    /// `/regex/` or `/regex/i`; a path is not one.
    fn regex_atom(&mut self) -> Result<Option<Filter>> {
        let start = self.at;
        let Some(source) = self.slashed() else {
            return Ok(None);
        };
        self.conditions += 1;
        Ok(Some(Filter::TextRegex(self.compile(start, &source)?)))
    }

    /// Refuses a name that is most likely a slip of the finger, or a column that is not there.
    pub(super) fn check_name(&self, start: usize, name: &str) -> Result<()> {
        if let Some(columns) = &self.columns {
            if columns.iter().any(|c| c == FieldName::new(name).as_str()) {
                return Ok(());
            }
            let list = columns.join(", ");
            return Err(self.error_at(
                start,
                format!("there is no column '{name}' here, only {list}"),
            ));
        }
        if self.any_name || self.made.iter().any(|m| m == name) {
            return Ok(());
        }
        match field::meant(name) {
            Some(known) => Err(self.error_at(
                start,
                format!("unknown field '{name}', did you mean '{known}'?"),
            )),
            None => Ok(()),
        }
    }
}

fn one_or(mut list: Vec<Filter>, many: impl Fn(Vec<Filter>) -> Filter) -> Filter {
    match list.len() {
        1 => list.pop().unwrap_or_default(),
        _ => many(list),
    }
}
