//! What the two syslog formats share: PRI, and what well-known programs write inside the message.

use super::json;
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Facility, Severity, apps};

/// `<NNN>` with NNN ≤ 191. On `false` nothing is consumed.
#[inline(always)]
pub(super) fn pri(s: &mut Scan<'_>, out: &mut Record) -> bool {
    let (number, len) = match *s.rest() {
        [b'<', a, b'>', ..] => (num([a]), 1),
        [b'<', a, b, b'>', ..] => (num([a, b]), 2),
        [b'<', a, b, c, b'>', ..] => (num([a, b, c]), 3),
        _ => return false,
    };
    let Some(number) = number.filter(|&n| n <= 191) else {
        return false;
    };
    set_pri(number, out);
    out.push(Field::Pri, s.at() + 1, s.at() + 1 + len, Kind::Plain);
    s.skip(len + 2);
    true
}

/// A number of at most three digits.
#[inline]
fn num<const N: usize>(digits: [u8; N]) -> Option<u8> {
    let mut n = 0u16;
    for b in digits {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n.wrapping_mul(10).wrapping_add(u16::from(digit));
    }
    u8::try_from(n).ok()
}

/// Facility and severity of a PRI number.
#[inline]
pub(super) fn set_pri(number: u8, out: &mut Record) {
    out.facility = Facility::from_number(number / 8);
    out.severity = Severity::from_number(number % 8);
}

/// Reads what is known of the program `app` in its message, which begins at `at` in the line. The
/// message and the time of the record stay syslog's.
pub(super) fn inner(cx: &mut Context, app: &[u8], text: &[u8], at: usize, out: &mut Record) {
    let read = match apps::find(app) {
        Some(read) => read,
        None if text.first() == Some(&b'{') => json::message,
        None if text.starts_with(b"pam_") => apps::pam,
        None => return,
    };
    let mark = out.mark();
    out.time.get_or_insert_default();
    if out.inside(at, |out| read(cx, text, out)) {
        out.keep_header(mark);
    } else {
        out.rewind(mark);
    }
}
