//! Reads the filter of a query: recursive descent over the text itself, so that each error knows
//! its column and a word is whatever stands between blanks.

use std::net::IpAddr;

use regex::bytes::RegexBuilder;
use vigie_parsers::{Facility, Severity};

use super::field::{self, FieldKind, FieldName, LevelSet};
use super::filter::{Cidr, Compare, Exact, Filter, Test};
use super::number;
use super::query::{ParseError, Query};
use super::text::TextPattern;
use super::time::{Moment, TimeRange};

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
    conditions: usize,
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

/// What stands behind the name of a field.
#[derive(Clone, Copy, PartialEq)]
enum Op {
    Has,
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
    Order(Compare),
}

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

/// A value as it was written.
struct Value {
    at: usize,
    text: String,
    quoted: bool,
    open_start: bool,
    open_end: bool,
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
                match self.field_and_op()? {
                    Some((name, op)) => self.field_test(start, name, op),
                    None => self.text_atom(),
                }
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

    fn slashed(&mut self) -> Option<String> {
        let rest = self.rest();
        let mut source = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, '/')) => source.push('/'),
                    Some((_, next)) => source.extend(['\\', next]),
                    None => return None,
                },
                '/' => {
                    let blind = rest[i + 1..].starts_with('i');
                    let end = i + 1 + usize::from(blind);
                    let ends = rest[end..].chars().next();
                    if source.is_empty()
                        || ends.is_some_and(|c| !c.is_whitespace() && !"|),".contains(c))
                    {
                        return None;
                    }
                    self.at += end;
                    return Some(if blind {
                        format!("(?i){source}")
                    } else {
                        source
                    });
                }
                _ => source.push(c),
            }
        }
        None
    }

    fn compile(&self, start: usize, source: &str) -> Result<regex::bytes::Regex> {
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
            let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
            let name = rest[..end].trim_end_matches('-');
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

    /// Up to a blank, a pipe or a closing parenthesis that belongs to the query.
    fn bare_regex(&mut self) -> &'a str {
        let rest = self.rest();
        let (mut depth, mut escaped) = (0usize, false);
        let end = rest.find(|c: char| {
            let here = std::mem::take(&mut escaped);
            match c {
                c if c.is_whitespace() => return true,
                _ if here => {}
                '\\' => escaped = true,
                '(' | '[' => depth += 1,
                ')' | ']' if depth > 0 => depth -= 1,
                ')' | '|' => return depth == 0,
                _ => {}
            }
            false
        });
        let (word, _) = rest.split_at(end.unwrap_or(rest.len()));
        self.at += word.len();
        word
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

    fn test(&self, name: &FieldName, op: Op, value: &Value) -> Result<Test> {
        if !value.quoted && value.text.is_empty() {
            return match op {
                Op::Order(_) => Err(self.error_at(value.at, "'*' does not compare")),
                _ => Ok(Test::Present),
            };
        }
        let special = match name.kind() {
            FieldKind::Level => self.level_test(op, value)?,
            FieldKind::Time | FieldKind::Recv => Some(self.number_test(name, op, value)?),
            FieldKind::Facility if !matches!(op, Op::Order(_)) => facility_test(value),
            _ => None,
        };
        if let Some(test) = special {
            return Ok(test);
        }
        if matches!(op, Op::Order(_)) {
            return self.number_test(name, op, value);
        }
        if let Some(test) = self.shaped(name, value) {
            return Ok(test);
        }
        let is_address = matches!(name.kind(), FieldKind::Known(vigie_parsers::Field::Ip))
            && value.text.parse::<IpAddr>().is_ok();
        if op != Op::Has || is_address {
            return Ok(Test::Exact(Exact::new(
                &value.text,
                value.open_start,
                value.open_end,
            )));
        }
        self.pattern(value).map(Test::Text)
    }

    /// A range or a network, in either kind of equality.
    fn shaped(&self, name: &FieldName, value: &Value) -> Option<Test> {
        if value.quoted || value.open_start || value.open_end {
            return None;
        }
        let text = value.text.as_str();
        if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (self.number(name, low)?, self.number(name, high)?);
            return Some(Test::Between(low, high));
        }
        let (address, bits) = text.split_once('/')?;
        Cidr::new(address.parse().ok()?, bits.parse().ok()?).map(Test::Cidr)
    }

    fn number(&self, name: &FieldName, text: &str) -> Option<f64> {
        if !matches!(name.kind(), FieldKind::Time | FieldKind::Recv) {
            return number::parse(text.as_bytes());
        }
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 287000")]
        match Moment::parse(text)? {
            Moment::Fixed(time) => Some(time.0 as f64),
            _ => None,
        }
    }

    fn number_test(&self, name: &FieldName, op: Op, value: &Value) -> Result<Test> {
        if let Some(number) = self.number(name, &value.text) {
            return Ok(match op {
                Op::Order(compare) => Test::Compare(compare, number),
                _ => Test::Between(number, number),
            });
        }
        if let (false, Some(test)) = (matches!(op, Op::Order(_)), self.shaped(name, value)) {
            return Ok(test);
        }
        let text = &value.text;
        Err(self.error_at(value.at, if matches!(name.kind(), FieldKind::Time | FieldKind::Recv) {
            format!("'{text}' is no time with a zone; to choose a time write '@2h..1h' or '@2026-11-20T10:00'")
        } else {
            format!("'{text}' is no number; units are k M G KiB MiB GiB, ns us ms s m h d")
        }))
    }

    /// Orders and names of levels; a word that is no level is left to be compared as text.
    fn level_test(&self, op: Op, value: &Value) -> Result<Option<Test>> {
        let text = value.text.as_str();
        let level = |text: &str| {
            let number = text.parse().ok().and_then(Severity::from_number);
            number.or_else(|| Severity::from_word(text.as_bytes()))
        };
        let set = |is_in: &dyn Fn(Severity) -> bool| Ok(Some(Test::Levels(LevelSet::of(is_in))));
        if value.open_start || value.open_end {
            return Ok(None);
        }
        if let Some((low, high)) = text.split_once("..")
            && let (Some(low), Some(high)) = (level(low), level(high))
        {
            // Syslog's numbers fall as things get worse.
            return set(&|s| high <= s && s <= low);
        }
        match (level(text), op) {
            (Some(limit), Op::Order(compare)) => set(&|s| compare.holds(&limit, &s)),
            (Some(level), _) => set(&|s| s == level),
            (None, op) => {
                let words = [
                    "debug", "info", "notice", "warn", "warning", "error", "crit", "critical",
                    "alert", "emerg",
                ];
                let near = field::nearest(&text.to_ascii_lowercase(), words.into_iter());
                match near {
                    Some(word) if !value.quoted => {
                        Err(self.error_at(value.at, format!("unknown level '{text}', did you mean '{word}'?")))
                    }
                    _ if matches!(op, Op::Order(_)) => Err(self.error_at(
                        value.at,
                        format!("'{text}' is no level; they are debug < info < notice < warn < err < crit < alert < emerg"),
                    )),
                    _ => Ok(None),
                }
            }
        }
    }

    fn text_atom(&mut self) -> Result<Filter> {
        let value = self.value(&FieldName::new("*"), false)?;
        if !value.quoted && value.text.is_empty() {
            return Ok(Filter::All);
        }
        self.pattern(&value).map(Filter::Text)
    }

    fn pattern(&self, value: &Value) -> Result<TextPattern> {
        if value.text.len() > MAX_NEEDLE_LEN {
            return Err(self.error_at(value.at, format!("text longer than {MAX_NEEDLE_LEN} bytes")));
        }
        TextPattern::new(&value.text, value.open_start, value.open_end).ok_or_else(|| {
            self.error_at(value.at, "there is nothing to look for between the quotes")
        })
    }

    /// A quoted text; `\"` and `\\` are the only escapes, so expressions keep their backslashes.
    pub(super) fn quoted(&mut self) -> Result<String> {
        let start = self.at;
        let mut chars = self.rest().char_indices();
        let Some((_, quote)) = chars.next() else {
            return Ok(String::new());
        };
        let mut out = String::new();
        while let Some((i, c)) = chars.next() {
            if c == quote {
                self.at = start + i + 1;
                return Ok(out);
            }
            out.push(c);
            if c == '\\'
                && let Some(next) = chars.clone().next().map(|(_, next)| next)
                && (next == quote || next == '\\')
            {
                out.pop();
                out.push(next);
                chars.next();
            }
        }
        Err(self.error_at(start, "this quote is never closed"))
    }

    /// Text up to a blank or a sign of the grammar.
    pub(super) fn bare(&mut self, in_list: bool) -> &'a str {
        let rest = self.rest();
        let ends = |c: char| c.is_whitespace() || "()|".contains(c) || (in_list && c == ',');
        let (word, _) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        self.at += word.len();
        word
    }

    /// Reads one of these words if it stands here on its own.
    pub(super) fn keyword(&mut self, words: &[&str]) -> bool {
        self.blanks();
        let Some(len) = self.keyword_len(words) else {
            return false;
        };
        self.at += len;
        true
    }

    fn sees_keyword(&self, words: &[&str]) -> bool {
        self.keyword_len(words).is_some()
    }

    fn keyword_len(&self, words: &[&str]) -> Option<usize> {
        let ends = |rest: &str| {
            rest.chars()
                .next()
                .is_none_or(|c| c.is_whitespace() || "()|\"'".contains(c))
        };
        let found = words
            .iter()
            .find(|w| self.rest().strip_prefix(**w).is_some_and(ends))?;
        Some(found.len())
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        self.error_at(self.at, message)
    }

    pub(super) fn error_at(&self, at: usize, message: impl Into<String>) -> ParseError {
        let before = self.text.get(..at).unwrap_or(self.text);
        ParseError {
            column: before.chars().count() + 1,
            message: message.into(),
        }
    }
}

/// What a field may be called without quotes.
pub(super) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || "_.-".contains(c)
}

fn facility_test(value: &Value) -> Option<Test> {
    if value.open_start || value.open_end {
        return None;
    }
    let number = value.text.parse().ok().and_then(Facility::from_number);
    let named = || {
        Facility::NAMES
            .into_iter()
            .find(|n| value.text.eq_ignore_ascii_case(n))
    };
    let name = number.map(Facility::as_str).or_else(named)?;
    Some(Test::Exact(Exact::new(name, false, false)))
}

fn one_or(mut list: Vec<Filter>, many: impl Fn(Vec<Filter>) -> Filter) -> Filter {
    match list.len() {
        1 => list.pop().unwrap_or_default(),
        _ => many(list),
    }
}
