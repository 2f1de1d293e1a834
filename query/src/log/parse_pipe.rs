//! Reads the pipes behind the filter, and refuses an order of pipes that cannot work.

use super::extract::Capture;
use super::field::{self, FieldName};
use super::lex::{is_name, name_len};
use super::number;
use super::parse::{Parser, Result};
use super::query::{Aggregate, PERCENTILES, Pipe, SortKey};
use super::time::Moment;

/// Pipes of one query: each may hold a table of its own.
pub const MAX_PIPES: usize = 16;
/// Fields of one list: they are part of each group's key.
pub const MAX_LIST: usize = 16;
/// What `head`, `tail`, `top` and the like may ask for: it is kept in memory.
pub const MAX_COUNT: usize = 1_000_000;

const DEFAULT_TOP: usize = 10;
const DEFAULT_ROWS: usize = 10;
const DEFAULT_CONTEXT: usize = 5;
/// The neighbours on each side that are shown at most, for each hit.
const MAX_CONTEXT: usize = 1000;
const DEFAULT_AROUND_MS: i64 = 30_000;
const DEFAULT_GAP_MS: i64 = 30 * 60_000;
const DEFAULT_RATE_MS: i64 = 60_000;
const MAX_CAPTURE_LEN: usize = 1000;

/// The words that pipes begin with.
const WORDS: &[&str] = &[
    "count", "rate", "chart", "top", "rare", "uniq", "avg", "sum", "min", "max", "p50", "p90",
    "p95", "p99", "stats", "where", "sort", "head", "tail", "limit", "fields", "context", "around",
    "parse", "json", "kv", "patterns", "new", "diff", "sessions",
];

impl Parser<'_> {
    pub(super) fn pipes(&mut self) -> Result<Vec<Pipe>> {
        let mut pipes = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None => return Ok(pipes),
                Some('|') => self.at += 1,
                Some(')') => return Err(self.error("there is no '(' for this ')'")),
                Some(_) => return Err(self.error("expected '|' before the next step")),
            }
            if pipes.len() == MAX_PIPES {
                return Err(self.error(format!("more than {MAX_PIPES} pipes")));
            }
            self.blanks();
            let start = self.at;
            let pipe = self.pipe()?;
            let looks_again = |p: &Pipe| matches!(p, Pipe::Around(_) | Pipe::Context(_));
            if looks_again(&pipe) && pipes.iter().any(looks_again) {
                return Err(self.error_at(start, "only one 'around' or 'context' in a query"));
            }
            pipes.push(pipe);
        }
    }

    fn pipe(&mut self) -> Result<Pipe> {
        self.blanks();
        let start = self.at;
        let word = self.word().to_owned();
        let pipe = match word.as_str() {
            "count" | "avg" | "sum" | "min" | "max" | "p50" | "p90" | "p95" | "p99" => {
                self.at = start;
                self.stats()?
            }
            "stats" => self.stats()?,
            "rate" => Pipe::Rate {
                per_ms: self.duration()?.unwrap_or(DEFAULT_RATE_MS).max(1),
                by: self.by()?,
            },
            "chart" => self.chart()?,
            "top" | "rare" => Pipe::Top {
                n: self.count()?.unwrap_or(DEFAULT_TOP),
                fields: self.fields(&word)?,
                rare: word == "rare",
            },
            "uniq" => Pipe::Uniq(self.fields(&word)?),
            "where" => Pipe::Where(self.condition()?),
            "sort" => self.sort()?,
            "head" => Pipe::Head(self.count()?.unwrap_or(DEFAULT_ROWS)),
            "tail" => Pipe::Tail(self.count()?.unwrap_or(DEFAULT_ROWS)),
            "limit" => Pipe::Limit(self.count()?.unwrap_or(DEFAULT_ROWS)),
            "fields" => Pipe::Fields(self.fields(&word)?),
            "context" => Pipe::Context(self.count()?.unwrap_or(DEFAULT_CONTEXT).min(MAX_CONTEXT)),
            "around" => Pipe::Around(self.duration()?.unwrap_or(DEFAULT_AROUND_MS)),
            "parse" => self.parse()?,
            "json" => Pipe::Json(self.any_fields()?),
            "kv" => Pipe::Kv(self.any_fields()?),
            "patterns" => Pipe::Patterns,
            "new" => self.new_patterns()?,
            "diff" => match self.duration()? {
                Some(ms) if ms > 0 => Pipe::Diff(ms),
                _ => return Err(self.error("'diff' needs a span of time, as in 'diff 1d'")),
            },
            "sessions" => Pipe::Sessions {
                gap_ms: self.duration()?.unwrap_or(DEFAULT_GAP_MS),
                by: self
                    .by()?
                    .into_iter()
                    .next()
                    .unwrap_or_else(|| FieldName::new("ip")),
            },
            _ => return Err(self.unknown_pipe(start, &word)),
        };
        self.check_end(&word)?;
        if self.columns.is_some() && pipe.needs_events() {
            let word = pipe.word();
            return Err(self.error_at(
                start,
                format!("'{word}' needs events: put it before the pipe that makes a table"),
            ));
        }
        self.columns = pipe.columns().or(self.columns.take());
        Ok(pipe)
    }

    fn unknown_pipe(&mut self, start: usize, word: &str) -> super::ParseError {
        let help = match word {
            "" => "a pipe needs a name, as in '| top path'".to_owned(),
            "by" if self.keyword(&["time"]) => "did you mean 'chart every 1m'?".to_owned(),
            "group" | "by" => "did you mean 'count by'?".to_owned(),
            "grep" | "filter" | "search" => "did you mean 'where'?".to_owned(),
            "order" => "did you mean 'sort'?".to_owned(),
            "timechart" | "histogram" => "did you mean 'chart'?".to_owned(),
            "distinct" | "dedup" | "unique" => "did you mean 'uniq'?".to_owned(),
            _ => match field::nearest(word, WORDS.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("known: {}", WORDS.join(" ")),
            },
        };
        let message = if word.is_empty() {
            help
        } else {
            format!("unknown pipe '{word}', {help}")
        };
        self.error_at(start, message)
    }

    /// What stands here must be the end of the pipe.
    fn check_end(&mut self, word: &str) -> Result<()> {
        self.blanks();
        match self.peek() {
            None | Some('|') => Ok(()),
            Some(')') => Err(self.error("there is no '(' for this ')'")),
            Some(_) => {
                let start = self.at;
                let text = self.bare(false).to_owned();
                let over_time = number::duration_ms(&text).is_some();
                let help = if over_time {
                    format!("; steps of time are made by 'chart every {text}'")
                } else {
                    String::new()
                };
                Err(self.error_at(
                    start,
                    format!("'{word}' does not expect '{text}' here{help}"),
                ))
            }
        }
    }

    fn stats(&mut self) -> Result<Pipe> {
        let mut aggregates = Vec::new();
        loop {
            aggregates.push(self.aggregate()?);
            if aggregates.len() > MAX_LIST {
                return Err(self.error(format!("more than {MAX_LIST} figures")));
            }
            self.blanks();
            if self.peek() != Some(',') {
                break;
            }
            self.at += 1;
        }
        let by = self.by()?;
        Ok(Pipe::Stats { aggregates, by })
    }

    fn aggregate(&mut self) -> Result<Aggregate> {
        self.blanks();
        let start = self.at;
        let word = self.word().to_owned();
        let percentile = word
            .strip_prefix('p')
            .and_then(|p| p.parse().ok())
            .filter(|p| PERCENTILES.contains(p));
        if word == "count" {
            return Ok(Aggregate::Count);
        }
        if percentile.is_none() && !["sum", "avg", "min", "max", "uniq"].contains(&word.as_str()) {
            return Err(self.error_at(
                start,
                format!(
                    "'{word}' is no figure; there are count sum avg min max p50 p90 p95 p99 uniq"
                ),
            ));
        }
        self.blanks();
        let Some(field) = self.field()? else {
            return Err(self.error(format!("'{word}' needs a field, as in '{word} duration'")));
        };
        Ok(match (word.as_str(), percentile) {
            (_, Some(p)) => Aggregate::Percentile(p, field),
            ("sum", _) => Aggregate::Sum(field),
            ("avg", _) => Aggregate::Avg(field),
            ("min", _) => Aggregate::Min(field),
            ("max", _) => Aggregate::Max(field),
            _ => Aggregate::Uniq(field),
        })
    }

    fn chart(&mut self) -> Result<Pipe> {
        self.blanks();
        let at_word = |word: &str, rest: &str| {
            rest.strip_prefix(word)
                .is_some_and(|r| !r.starts_with(is_name))
        };
        let figure = !at_word("by", self.rest())
            && !at_word("every", self.rest())
            && self.peek().is_some_and(char::is_alphanumeric);
        let aggregate = if figure {
            self.aggregate()?
        } else {
            Aggregate::Count
        };
        let by = self.by()?;
        let mut every_ms = None;
        if self.keyword(&["every"]) {
            every_ms = self.duration()?.filter(|ms| *ms > 0);
            if every_ms.is_none() {
                return Err(self.error("'every' needs a span of time, as in 'every 1m'"));
            }
        }
        Ok(Pipe::Chart {
            aggregate,
            by,
            every_ms,
        })
    }

    fn sort(&mut self) -> Result<Pipe> {
        let mut keys = Vec::new();
        loop {
            self.blanks();
            let descending = self.peek() == Some('-');
            self.at += usize::from(descending);
            let Some(field) = self.field()? else {
                return Err(self.error("'sort' needs a field, as in 'sort -count'"));
            };
            keys.push(SortKey { field, descending });
            self.blanks();
            if self.peek() != Some(',') || keys.len() == MAX_LIST {
                return Ok(Pipe::Sort(keys));
            }
            self.at += 1;
        }
    }

    fn parse(&mut self) -> Result<Pipe> {
        self.blanks();
        let from = match self.peek() {
            Some('"' | '\'') => None,
            _ => self.field()?,
        };
        self.blanks();
        let start = self.at;
        if !matches!(self.peek(), Some('"' | '\'')) {
            return Err(
                self.error("'parse' needs a pattern in quotes, as in 'parse \"from <ip> port\"'")
            );
        }
        let text = self.quoted()?;
        if text.len() > MAX_CAPTURE_LEN {
            return Err(self.error_at(
                start,
                format!("a pattern longer than {MAX_CAPTURE_LEN} bytes"),
            ));
        }
        let pattern = Capture::new(&text).map_err(|why| self.error_at(start, why))?;
        self.made.extend(pattern.names().map(str::to_owned));
        Ok(Pipe::Parse { from, pattern })
    }

    fn new_patterns(&mut self) -> Result<Pipe> {
        if !self.keyword(&["since"]) {
            return Ok(Pipe::New { since: None });
        }
        self.blanks();
        let start = self.at;
        let text = self.bare(false).to_owned();
        let since = Moment::parse(text.strip_prefix('@').unwrap_or(&text));
        match since {
            Some(_) => Ok(Pipe::New { since }),
            None => Err(self.error_at(
                start,
                format!("'{text}' is no time; as '1d', 'yesterday', '2026-11-20T10:00', 'deploy'"),
            )),
        }
    }

    /// `json` and `kv`: an optional field to read; from here on any name may be a field.
    fn any_fields(&mut self) -> Result<Option<FieldName>> {
        self.blanks();
        let field = self.field()?;
        self.any_name = true;
        Ok(field)
    }

    /// `by f, g`, if it stands here.
    fn by(&mut self) -> Result<Vec<FieldName>> {
        if !self.keyword(&["by"]) {
            return Ok(Vec::new());
        }
        self.fields("by")
    }

    /// At least one field.
    fn fields(&mut self, word: &str) -> Result<Vec<FieldName>> {
        let mut fields: Vec<FieldName> = Vec::new();
        loop {
            self.blanks();
            let Some(field) = self.field()? else {
                return Err(self.error(format!("'{word}' needs a field")));
            };
            if !fields.contains(&field) {
                fields.push(field);
            }
            if fields.len() > MAX_LIST {
                return Err(self.error(format!("more than {MAX_LIST} fields")));
            }
            self.blanks();
            if self.peek() != Some(',') {
                return Ok(fields);
            }
            self.at += 1;
        }
    }

    fn field(&mut self) -> Result<Option<FieldName>> {
        let start = self.at;
        let quoted = matches!(self.peek(), Some('"' | '\''));
        let name = if quoted {
            self.quoted()?
        } else {
            self.word().to_owned()
        };
        if name.is_empty() {
            return Ok(None);
        }
        if !quoted || self.columns.is_some() {
            self.check_name(start, &name)?;
        }
        Ok(Some(FieldName::new(&name)))
    }

    /// A run of the characters of names.
    fn word(&mut self) -> &str {
        let rest = self.rest();
        let (word, _) = rest.split_at(name_len(rest));
        self.at += word.len();
        word
    }

    fn count(&mut self) -> Result<Option<usize>> {
        self.blanks();
        let start = self.at;
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Ok(None);
        }
        let word = self.word().to_owned();
        match word.parse() {
            Ok(n) if n <= MAX_COUNT => Ok(Some(n)),
            _ => Err(self.error_at(
                start,
                format!("'{word}' is no whole number up to {MAX_COUNT}"),
            )),
        }
    }

    fn duration(&mut self) -> Result<Option<i64>> {
        self.blanks();
        let start = self.at;
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Ok(None);
        }
        let word = self.bare(false).to_owned();
        match number::duration_ms(&word) {
            Some(ms) => Ok(Some(ms)),
            None => Err(self.error_at(
                start,
                format!("'{word}' is no span of time, as '30s', '5m', '1h', '1d' are"),
            )),
        }
    }
}
