//! Experimental syntax that the grammar crate lacks: durations computed by an expression
//! (`[2*step()]`), `anchored` and `smoothed` selectors.
//!
//! Each is taken out of the text before the crate sees it. A number of seconds longer than any
//! duration allowed takes its place, and tells which [`Slot`] holds what stood there.

use super::Error;
use super::length::{Length, Operation};
use super::scan::{Kind, Token, duration_s, error};

/// How a selector treats the borders of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// The last sample before the window counts as lying on its border.
    Anchored,
    /// Values on the borders are interpolated between the samples inside and outside.
    Smoothed,
}

/// What was taken out at one place.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) length: Length,
    pub(super) extension: Option<Extension>,
}

/// Slots are written as seconds from here on: 301 years.
const SLOTS_FROM_S: u64 = 9_500_000_000;

/// The slot that a duration of so many seconds stands for.
pub(super) fn slot(slots: &[Slot], seconds: u64) -> Option<&Slot> {
    slots.get(usize::try_from(seconds.checked_sub(SLOTS_FROM_S)?).ok()?)
}

/// The text for the grammar crate, and what was taken out of it. Checks all durations on the way.
pub(super) fn take_out(text: &str, tokens: &[Token<'_>]) -> Result<(String, Vec<Slot>), Error> {
    let mut rewriter = Rewriter {
        text,
        tokens,
        next: 0,
        copied: 0,
        out: String::new(),
        slots: Vec::new(),
        last_offset: None,
    };
    rewriter.run()?;
    rewriter.out.push_str(&text[rewriter.copied..]);
    Ok((rewriter.out, rewriter.slots))
}

/// Where an offset was written, so that an extension after it finds it.
struct Written {
    /// In the output.
    at: usize,
    length: Length,
}

struct Rewriter<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    next: usize,
    /// The text before is in the output already.
    copied: usize,
    out: String,
    slots: Vec<Slot>,
    last_offset: Option<Written>,
}

impl<'a> Rewriter<'a> {
    fn run(&mut self) -> Result<(), Error> {
        let mut in_braces = false;
        while let Some(token) = self.peek(0) {
            let is_word = |word: &str| token.text.eq_ignore_ascii_case(word);
            self.next += 1;
            match token.text {
                "{" => in_braces = true,
                "}" => in_braces = false,
                _ if in_braces => {}
                "[" => self.brackets()?,
                _ if is_word("offset") => self.offset()?,
                _ if is_word("anchored") || is_word("smoothed") => self.extension(token),
                "@" | "(" | ")" => {}
                _ if token.kind == Kind::Symbol => self.last_offset = None,
                _ => {}
            }
        }
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.next + ahead).copied()
    }

    fn text_ahead(&self) -> &'a str {
        self.peek(0).map_or("", |t| t.text)
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Error> {
        if self.text_ahead() != symbol {
            return self.unexpected();
        }
        self.next += 1;
        Ok(())
    }

    fn unexpected<T>(&self) -> Result<T, Error> {
        match self.peek(0) {
            Some(token) => {
                let said = format!("not a duration: {:?}", token.text);
                error(self.text, token.at, said)
            }
            None => error(self.text, self.text.len(), "unexpected end of input"),
        }
    }

    /// `5m]`, `5m:1m]` and what may follow.
    fn brackets(&mut self) -> Result<(), Error> {
        self.last_offset = None;
        let first = self.next;
        let range = self.sum(0)?;
        let after = self.next;
        if self.text_ahead() == ":" {
            self.replace_unless_plain(first, range, None);
            self.next += 1;
            if self.text_ahead() != "]" {
                let first = self.next;
                let step = self.sum(0)?;
                self.replace_unless_plain(first, step, None);
            }
            return self.expect("]");
        }
        self.expect("]")?;
        let extension = self.peek(0).and_then(extension_of);
        let close = self.next;
        self.next = after;
        self.replace_unless_plain(first, range, extension);
        self.next = close;
        if extension.is_some() {
            self.drop_token();
        }
        Ok(())
    }

    /// `5m`, `-5m`, `(2*step())`, after the word `offset`.
    fn offset(&mut self) -> Result<(), Error> {
        if matches!(self.text_ahead(), "+" | "-") {
            self.next += 1;
        }
        let first = self.next;
        let length = self.primary(0)?;
        let extension = self.peek(0).and_then(extension_of);
        self.replace_unless_plain(first, length.clone(), extension);
        if extension.is_some() {
            self.drop_token();
        }
        let end = self.tokens[self.next - 1];
        self.copy_until(
            end.at
                + if extension.is_some() {
                    0
                } else {
                    end.text.len()
                },
        );
        let written = self.out.trim_end().len();
        let digits = self.out[..written]
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '.')
            .map_or(0, |i| i + 1);
        self.last_offset = Some(Written { at: digits, length });
        Ok(())
    }

    /// `anchored` or `smoothed` that stands apart from brackets and offset: of an instant selector,
    /// or after `@`. In the place of a name it is a name.
    fn extension(&mut self, token: Token<'a>) {
        const OPERATORS: [&str; 9] = [
            "and", "or", "unless", "atan2", "by", "without", "on", "ignoring", "bool",
        ];
        let before = self.next.checked_sub(2).map(|i| self.tokens[i]);
        let after_selector = before.is_some_and(|t| match t.kind {
            Kind::Word => !OPERATORS.iter().any(|o| t.text.eq_ignore_ascii_case(o)),
            Kind::Number => true,
            Kind::Symbol => matches!(t.text, "}" | "]" | ")"),
            Kind::String => false,
        });
        let Some(extension) = extension_of(token).filter(|_| after_selector) else {
            return;
        };
        self.next -= 1;
        self.drop_token();
        if let Some(written) = self.last_offset.take() {
            let number = self.keep(written.length, Some(extension));
            // Between the offset and here is at most an `@` with its time.
            let rest = self.out.split_off(written.at);
            let digits = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
                .unwrap_or(rest.len());
            self.out.push_str(&number);
            self.out.push_str(&rest[digits..]);
        } else if self.text_ahead().eq_ignore_ascii_case("offset") {
            // Given before the offset: as if after it.
            let offset = self.next;
            self.next += 1;
            if matches!(self.text_ahead(), "+" | "-") {
                self.next += 1;
            }
            let first = self.next;
            match self.primary(0) {
                Ok(length) => self.replace(first, length, Some(extension)),
                // The loop finds it again, and says so.
                Err(_) => self.next = offset,
            }
        } else {
            let number = self.keep(Length::Seconds(0.0), Some(extension));
            self.out.push_str(" offset ");
            self.out.push_str(&number);
            self.out.push(' ');
        }
    }

    fn copy_until(&mut self, at: usize) {
        if let Some(part) = self.text.get(self.copied..at) {
            self.out.push_str(part);
            self.copied = at;
        }
    }

    /// Leaves the next token out.
    fn drop_token(&mut self) {
        if let Some(token) = self.peek(0) {
            self.copy_until(token.at);
            self.copied = token.at + token.text.len();
            self.next += 1;
        }
    }

    fn keep(&mut self, length: Length, extension: Option<Extension>) -> String {
        let number = SLOTS_FROM_S + self.slots.len() as u64;
        self.slots.push(Slot { length, extension });
        number.to_string()
    }

    /// The tokens from `first` to here become a slot, unless one number says it all.
    fn replace_unless_plain(&mut self, first: usize, length: Length, ext: Option<Extension>) {
        if ext.is_some() || self.next != first + 1 {
            self.replace(first, length, ext);
        }
    }

    fn replace(&mut self, first: usize, length: Length, extension: Option<Extension>) {
        let (start, end) = (self.tokens[first], self.tokens[self.next - 1]);
        self.copy_until(start.at);
        self.copied = end.at + end.text.len();
        let number = self.keep(length, extension);
        self.out.push_str(&number);
    }

    fn sum(&mut self, depth: usize) -> Result<Length, Error> {
        self.left_to_right(depth, Self::product, |symbol| match symbol {
            "+" => Some(Operation::Add),
            "-" => Some(Operation::Subtract),
            _ => None,
        })
    }

    fn product(&mut self, depth: usize) -> Result<Length, Error> {
        self.left_to_right(depth, Self::unary, |symbol| match symbol {
            "*" => Some(Operation::Multiply),
            "/" => Some(Operation::Divide),
            "%" => Some(Operation::Remainder),
            _ => None,
        })
    }

    fn left_to_right(
        &mut self,
        depth: usize,
        operand: fn(&mut Self, usize) -> Result<Length, Error>,
        operation: fn(&str) -> Option<Operation>,
    ) -> Result<Length, Error> {
        let mut left = operand(self, depth)?;
        let mut operators = 0;
        while let Some(operation) = operation(self.text_ahead()) {
            self.next += 1;
            operators += 1;
            if operators > DEPTH_MAX {
                return self.too_deep();
            }
            let right = operand(self, depth)?;
            left = Length::Two(operation, Box::new((left, right)));
        }
        Ok(left)
    }

    fn unary(&mut self, depth: usize) -> Result<Length, Error> {
        if depth > DEPTH_MAX {
            return self.too_deep();
        }
        match self.text_ahead() {
            "-" => {
                self.next += 1;
                Ok(Length::Negative(Box::new(self.unary(depth + 1)?)))
            }
            "+" => {
                self.next += 1;
                self.unary(depth + 1)
            }
            _ => {
                let base = self.primary(depth)?;
                if self.text_ahead() != "^" {
                    return Ok(base);
                }
                self.next += 1;
                let exponent = self.unary(depth + 1)?;
                Ok(Length::Two(Operation::Power, Box::new((base, exponent))))
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Length, Error> {
        let Some(token) = self.peek(0) else {
            return self.unexpected();
        };
        if token.kind == Kind::Number {
            let Some(seconds) = duration_s(token.text) else {
                return self.unexpected();
            };
            self.next += 1;
            return Ok(Length::Seconds(seconds));
        }
        let word = token.text.to_ascii_lowercase();
        match word.as_str() {
            "(" => {
                self.next += 1;
                let inside = self.sum(depth + 1)?;
                self.expect(")")?;
                Ok(inside)
            }
            "step" | "range" => {
                self.next += 1;
                self.expect("(")?;
                self.expect(")")?;
                Ok(if word == "step" {
                    Length::Step
                } else {
                    Length::Range
                })
            }
            "min_of" | "max_of" => {
                self.next += 1;
                self.expect("(")?;
                let a = self.sum(depth + 1)?;
                self.expect(",")?;
                let b = self.sum(depth + 1)?;
                self.expect(")")?;
                let operation = if word == "min_of" {
                    Operation::Least
                } else {
                    Operation::Greatest
                };
                Ok(Length::Two(operation, Box::new((a, b))))
            }
            _ => self.unexpected(),
        }
    }

    fn too_deep<T>(&self) -> Result<T, Error> {
        Err(Error::Limit(format!(
            "a duration has more than {DEPTH_MAX} operators in a row"
        )))
    }
}

/// Operators in a row, and levels of nesting, of one duration.
const DEPTH_MAX: usize = 50;

fn extension_of(token: Token<'_>) -> Option<Extension> {
    if token.text.eq_ignore_ascii_case("anchored") {
        Some(Extension::Anchored)
    } else if token.text.eq_ignore_ascii_case("smoothed") {
        Some(Extension::Smoothed)
    } else {
        None
    }
}
