//! The tokens of an expression, as far as limits and positions need them.

use promql_parser::util::unquote_string;
use regex::RegexBuilder;

use super::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Name, keyword, `Inf`, `NaN`.
    Word,
    /// Number or duration: starts with a digit or a point.
    Number,
    String,
    Symbol,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// Byte offset.
    pub(super) at: usize,
    pub(super) text: &'a str,
    pub(super) kind: Kind,
}

/// Longer texts are programs gone wrong: Grafana's longest are a few KiB.
const TEXT_MAX: usize = 64 << 10;
/// Open brackets at once.
const BRACKETS_MAX: usize = 100;
/// Operators and calls in all; keeps the grammar's own recursion short.
const OPERATORS_MAX: usize = 1_000;
/// Regular expressions in all, and the compiled size of one: together 64 MiB.
const REGEXES_MAX: usize = 64;
pub(super) const REGEX_SIZE_MAX: usize = 1 << 20;
/// No duration is longer, in seconds: 285 years. Longer ones stand for what
/// [`take_out`](super::extend::take_out) took out.
const DURATION_MAX_S: f64 = 9e9;

pub(super) fn error<T>(text: &str, at: usize, said: impl Into<String>) -> Result<T, Error> {
    Err(Error::Parse {
        position: position(text, at),
        text: said.into(),
    })
}

/// Line and column of a byte offset, both from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (line, before[start..].chars().count() + 1)
}

/// Splits into tokens and checks what must hold before the grammar sees the text.
pub(super) fn scan(text: &str) -> Result<Vec<Token<'_>>, Error> {
    if text.len() > TEXT_MAX {
        return Err(Error::Limit(format!(
            "the expression is longer than {TEXT_MAX} bytes"
        )));
    }
    let tokens = split(text)?;
    check_brackets(text, &tokens)?;
    check_regexes(text, &tokens)?;
    let operators = tokens.iter().filter(|t| t.kind == Kind::Symbol).count();
    if operators > OPERATORS_MAX {
        return Err(Error::Limit(format!(
            "the expression has more than {OPERATORS_MAX} operators and brackets"
        )));
    }
    Ok(tokens)
}

fn split(text: &str) -> Result<Vec<Token<'_>>, Error> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, len) = match c {
            '#' => {
                at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                continue;
            }
            c if c.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            '"' | '\'' | '`' => match string_len(rest, c) {
                Ok(len) => (Kind::String, len),
                Err((place, said)) => return error(text, at + place, said),
            },
            '0'..='9' | '.' => (Kind::Number, number_len(rest)),
            c if c.is_ascii_alphabetic() || c == '_' => (Kind::Word, word_len(rest)),
            c if c.is_ascii_punctuation() => (Kind::Symbol, symbol_len(rest)),
            c => return error(text, at, format!("unexpected character {c:?}")),
        };
        tokens.push(Token {
            at,
            text: &rest[..len],
            kind,
        });
        at += len;
    }
    Ok(tokens)
}

/// The length of a quoted string, or what is wrong and where.
fn string_len(rest: &str, quote: char) -> Result<usize, (usize, &'static str)> {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        if escaped {
            // Others would reach code of the grammar crate that expects ASCII here.
            if !"abfnrtvxuU01234567\\'\"".contains(c) {
                return Err((i, "unknown escape sequence"));
            }
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return Ok(i + 1);
        }
    }
    Err((0, "unterminated string"))
}

/// Compiled expressions can be a million times as large as their text.
fn check_regexes(text: &str, tokens: &[Token<'_>]) -> Result<(), Error> {
    let pairs = tokens.windows(2);
    let regexes = pairs.filter(|p| matches!(p[0].text, "=~" | "!~") && p[1].kind == Kind::String);
    for (i, pair) in regexes.enumerate() {
        if i == REGEXES_MAX {
            return Err(Error::Limit(format!(
                "the expression has more than {REGEXES_MAX} regular expressions"
            )));
        }
        let Ok(pattern) = unquote_string(pair[1].text) else {
            continue;
        };
        let built = RegexBuilder::new(&format!("^(?s:{pattern})$"))
            .size_limit(REGEX_SIZE_MAX)
            .build();
        if matches!(built, Err(regex::Error::CompiledTooBig(_))) {
            return error(text, pair[1].at, "the regular expression is too large");
        }
    }
    Ok(())
}

fn word_len(rest: &str) -> usize {
    rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(rest.len())
}

fn number_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let hex = bytes.get(1).is_some_and(|b| b.eq_ignore_ascii_case(&b'x'));
    let mut len = 1;
    while let Some(&b) = bytes.get(len) {
        let signed = !hex && matches!(b, b'+' | b'-') && matches!(bytes[len - 1], b'e' | b'E');
        if !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_') || signed) {
            break;
        }
        len += 1;
    }
    len
}

fn symbol_len(rest: &str) -> usize {
    let two = ["==", "!=", ">=", "<=", "=~", "!~"];
    if two.iter().any(|op| rest.starts_with(op)) {
        2
    } else {
        1
    }
}

fn check_brackets(text: &str, tokens: &[Token<'_>]) -> Result<(), Error> {
    let mut open = Vec::new();
    for token in tokens.iter().filter(|t| t.kind == Kind::Symbol) {
        let opener = match token.text {
            "(" | "[" | "{" => {
                open.push(token);
                if open.len() > BRACKETS_MAX {
                    return Err(Error::Limit(format!(
                        "the expression has more than {BRACKETS_MAX} open brackets at once"
                    )));
                }
                continue;
            }
            ")" => "(",
            "]" => "[",
            "}" => "{",
            _ => continue,
        };
        if open.pop().is_none_or(|o| o.text != opener) {
            return error(text, token.at, format!("unexpected {:?}", token.text));
        }
    }
    match open.pop() {
        Some(token) => error(text, token.at, format!("{:?} is never closed", token.text)),
        None => Ok(()),
    }
}

/// Seconds of `90`, `1.5`, `0x1f`, `1h30m`; `None` if it is no duration or too long a one.
pub(super) fn duration_s(text: &str) -> Option<f64> {
    let seconds = if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()? as f64
    } else if let Ok(seconds) = text.parse() {
        seconds
    } else {
        units_s(text)?
    };
    Some(seconds).filter(|s| *s <= DURATION_MAX_S)
}

fn units_s(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            "y" => 31_536_000.0,
            _ => return None,
        };
        // The grammar reads each part as 32 bits and forgets what does not fit.
        total += f64::from(number.parse::<u32>().ok()?) * scale;
        rest = after;
    }
    Some(total)
}

/// Where an expression that the grammar refused first stops making sense, and why.
pub(super) fn first_misfit(text: &str, tokens: &[Token<'_>]) -> (usize, String) {
    let mut operand = true;
    let mut skip_until = None;
    let mut previous = "";
    for token in tokens {
        let word = token.text.to_ascii_lowercase();
        if let Some(close) = skip_until {
            if word == close {
                skip_until = None;
                operand = false;
            }
            continue;
        }
        let unexpected = || (token.at, format!("unexpected {:?}", token.text));
        match (word.as_str(), operand) {
            ("(", _) => operand = true,
            ("{", _) => skip_until = Some("}"),
            ("[", false) => skip_until = Some("]"),
            (")", true) if !matches!(previous, "(" | ",") => return unexpected(),
            (")", _) => operand = false,
            ("+" | "-", _) => operand = true,
            (",", false) => operand = true,
            ("and" | "or" | "unless" | "atan2" | "offset" | "@", false) => operand = true,
            ("bool" | "on" | "ignoring" | "group_left" | "group_right", true) => {}
            ("by" | "without" | "fill" | "fill_left" | "fill_right", _) => operand = true,
            (_, false) if token.kind == Kind::Symbol => operand = true,
            (_, true) if token.kind == Kind::Symbol => return unexpected(),
            (_, false) => return unexpected(),
            (_, true) => operand = false,
        }
        previous = token.text;
    }
    if operand {
        (text.trim_end().len(), "unexpected end of input".to_owned())
    } else {
        (0, "not a PromQL expression".to_owned())
    }
}
