//! The signs of the language: words, quotes, expressions between slashes.

use super::parse::Parser;
use super::query::ParseError;

type Result<T> = std::result::Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub(super) fn slashed(&mut self) -> Option<String> {
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

    /// Up to a blank, a pipe or a closing parenthesis that belongs to the query.
    pub(super) fn bare_regex(&mut self) -> &'a str {
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

    pub(super) fn sees_keyword(&self, words: &[&str]) -> bool {
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

/// How much of the text is a field's name. `@` belongs to those of structured data, whose ids have one
/// (`sd.meta@32473.x`), and to no other: `root@db1:22` is a text.
pub(super) fn name_len(text: &str) -> usize {
    let structured = text.starts_with("sd.");
    let ends = |c: char| !(is_name(c) || structured && c == '@');
    text.find(ends).unwrap_or(text.len())
}
