//! What RFC 3164 and RFC 5424 share: the priority.

use crate::{Facility, Field, Kind, Record, Severity};

/// The largest priority: local7.debug.
const PRI_MAX: u32 = 191;

/// What stands at the beginning of a message.
pub(super) enum Pri {
    /// A good one; the rest begins here.
    Read(usize),
    /// None at all.
    Absent,
    /// A `<` that begins no priority, or one above 191.
    Bad,
}

/// Reads `<PRI>` into the record.
pub(super) fn pri(line: &[u8], out: &mut Record) -> Pri {
    if line.first() != Some(&b'<') {
        return Pri::Absent;
    }
    let mut number = 0u32;
    for (at, &c) in line.iter().enumerate().take(5).skip(1) {
        match c {
            b'0'..=b'9' if at < 4 => number = number * 10 + u32::from(c - b'0'),
            b'>' if at > 1 && number <= PRI_MAX => {
                let [byte, ..] = number.to_le_bytes();
                out.severity = Severity::from_number(byte & 7);
                out.facility = Facility::from_number(byte >> 3);
                out.push(Field::Pri, 1, at, Kind::Plain);
                return Pri::Read(at + 1);
            }
            _ => break,
        }
    }
    Pri::Bad
}
