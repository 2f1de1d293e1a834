//! `json`: one object a line; nested keys are joined by dots, arrays stay text.
//!
//! The scanner is our own because spans are wanted, not values; it takes what a real parser takes and
//! a little more (it does not judge numbers and escapes).

use std::ops::Range;

use super::keys::Pairs;
use super::{Format, Read};
use crate::Context;
use crate::record::{Kind, Record};
use crate::scan::Scan;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "json",
    about: "one JSON object a line",
    starts: |b| b == b'{',
    sure: false,
    read: Read::Code(message),
};

/// Objects within objects that are looked into; what is deeper stays text.
const DEPTH_MAX: usize = 8;

/// An object, as a line or within a syslog message.
pub(super) fn message(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut reader = Reader {
        cx,
        out,
        s: Scan::new(line),
        pairs: Pairs::default(),
        path: [(0, 0); DEPTH_MAX],
    };
    if !reader.object(0) {
        return false;
    }
    let (s, pairs) = (reader.s, reader.pairs);
    let mut rest = s;
    rest.run(|b| b.is_ascii_whitespace());
    if !rest.done() {
        return false;
    }
    pairs.finish(line.len(), out);
    true
}

struct Reader<'a, 'c> {
    cx: &'c mut Context,
    out: &'c mut Record,
    s: Scan<'a>,
    pairs: Pairs,
    path: [(usize, usize); DEPTH_MAX],
}

impl Reader<'_, '_> {
    #[inline]
    fn blank(&mut self) {
        // Programs write none, or one.
        if matches!(self.s.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.s.run(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
        }
    }

    fn object(&mut self, depth: usize) -> bool {
        if !self.s.eat(b'{') {
            return false;
        }
        self.blank();
        if self.s.eat(b'}') {
            return true;
        }
        loop {
            self.blank();
            let Some(key) = self.s.quoted() else {
                return false;
            };
            self.blank();
            if !self.s.eat(b':') {
                return false;
            }
            self.blank();
            let Some(place) = self.path.get_mut(depth) else {
                return false;
            };
            *place = (key.start, key.end);
            if !self.value(depth) {
                return false;
            }
            self.blank();
            if self.s.eat(b'}') {
                return true;
            }
            if !self.s.eat(b',') {
                return false;
            }
        }
    }

    fn value(&mut self, depth: usize) -> bool {
        match self.s.peek() {
            Some(b'"') => match self.s.quoted() {
                Some(at) => self.leaf(depth, at, Kind::Json),
                None => return false,
            },
            Some(b'{') if depth + 1 < DEPTH_MAX => return self.object(depth + 1),
            Some(b'{' | b'[') => {
                let start = self.s.at();
                if !balanced(&mut self.s) {
                    return false;
                }
                self.leaf(depth, start..self.s.at(), Kind::Plain);
            }
            _ => {
                let at = self
                    .s
                    .run(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'));
                if at.is_empty() {
                    return false;
                }
                if self.s.text(at.clone()) != b"null" {
                    self.leaf(depth, at, Kind::Plain);
                }
            }
        }
        true
    }

    fn leaf(&mut self, depth: usize, at: Range<usize>, kind: Kind) {
        let mut parts: [&[u8]; DEPTH_MAX] = [&[]; DEPTH_MAX];
        for (part, &(start, end)) in parts.iter_mut().zip(self.path.iter().take(depth + 1)) {
            *part = self.s.text(start..end);
        }
        let parts = parts.get(..=depth).unwrap_or_default();
        let line = self.s.line();
        self.pairs.add(self.cx, parts, line, at, kind, self.out);
    }
}

/// Steps over an array or an object, brackets within strings not counted.
fn balanced(s: &mut Scan<'_>) -> bool {
    let mut open = 0u32;
    while let Some(next) = s.peek() {
        match next {
            b'"' => {
                if s.quoted().is_none() {
                    return false;
                }
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        s.skip(1);
        if open == 0 {
            return true;
        }
    }
    false
}
