//! `key=value, key=<value>` within a message.

use std::ops::Range;

use crate::record::{Kind, Record};
use crate::scan::Scan;

/// Pairs of one message that are looked at.
const PAIRS_MAX: usize = 32;

/// Calls `each` with key and value of the pairs that follow, which are parted by any of `between` and
/// blanks; stops at what is none. Quotes and angle brackets around a value are not part of it.
pub(super) fn read(
    s: &mut Scan<'_>,
    between: &[u8],
    out: &mut Record,
    mut each: impl FnMut(&[u8], Range<usize>, &mut Record),
) {
    for _ in 0..PAIRS_MAX {
        s.run(|b| b == b' ' || between.contains(&b));
        let mut probe = *s;
        let key = probe.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if key.is_empty() || !probe.eat(b'=') {
            return;
        }
        let value = match probe.peek() {
            Some(b'<') => {
                probe.skip(1);
                let inside = probe.run(|b| b != b'>');
                probe.skip(1);
                inside
            }
            Some(b'"') => match probe.quoted() {
                Some(inside) => inside,
                None => return,
            },
            _ => probe.run(|b| b != b' ' && !between.contains(&b)),
        };
        each(s.text(key), value, out);
        *s = probe;
    }
}

/// Adds `name` as a field of its own.
pub(super) fn named(out: &mut Record, name: &'static str, at: Range<usize>) {
    out.push_own(name, at, Kind::Plain);
}

/// `name[address]` or `name[address]:port`: where the address is.
pub(super) fn bracketed(s: &Scan<'_>, at: &Range<usize>) -> Option<Range<usize>> {
    let text = s.text(at.clone());
    let open = memchr::memchr(b'[', text)?;
    let close = memchr::memchr(b']', text.get(open..)?)? + open;
    Some(at.start + open + 1..at.start + close)
}
