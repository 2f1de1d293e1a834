//! `logfmt`: `key=value key="a value"` all along the line.

use super::keys::Pairs;
use super::{Format, Read};
use crate::Context;
use crate::record::{Kind, Record};
use crate::scan::Scan;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "logfmt",
    about: "key=value pairs, as Go programs write them",
    starts: |b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'@'),
    sure: false,
    read: Read::Code(parse),
};

/// A line needs so many pairs to be taken for one: fewer are found in prose.
const PAIRS_MIN: usize = 2;

fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    let mut pairs = Pairs::default();
    let mut count = 0;
    loop {
        s.spaces();
        if s.done() {
            break;
        }
        let key =
            s.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@' | b'/'));
        if key.is_empty() {
            return false;
        }
        if !s.eat(b'=') {
            // A bare word is a flag, but a line does not begin with one.
            if count == 0 || !matches!(s.peek(), None | Some(b' ')) {
                return false;
            }
            continue;
        }
        let (at, kind) = match s.quoted() {
            Some(at) => (at, Kind::Quoted),
            None => (single(&mut s).unwrap_or_else(|| s.word()), Kind::Plain),
        };
        count += 1;
        pairs.add(cx, &[s.text(key)], line, at, kind, out);
    }
    pairs.finish(line.len(), out);
    count >= PAIRS_MIN
}

/// `'a value'` as Python shows texts, where a blank or the end follows.
fn single(s: &mut Scan<'_>) -> Option<std::ops::Range<usize>> {
    let mut probe = *s;
    if !probe.eat(b'\'') {
        return None;
    }
    let inside = probe.run(|b| b != b'\'');
    if !probe.eat(b'\'') || !matches!(probe.peek(), None | Some(b' ')) {
        return None;
    }
    *s = probe;
    Some(inside)
}
