//! Why a line is read as it is: its format, or where the format that came farthest gave up.

use super::{BY_FIRST_BYTE, FORMATS, Format, Read, detect};
use crate::{Context, Record};

/// What became of a line, and where it departs from the format that was expected.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The format that took it.
    pub format: &'static Format,
    /// The format that nearly did: the one given, or the one that saw the most of the line.
    pub nearest: Option<Departure>,
}

/// Where a line departs from a format.
#[derive(Clone, Debug)]
pub struct Departure {
    /// The format that did not take the line.
    pub format: &'static Format,
    /// The first byte of the line that does not fit, from 0 on.
    pub at: usize,
    /// What would have fitted, where that can be said.
    pub expected: Option<String>,
}

/// Says what a line is and, if that is not `given` or nothing more than text, why.
///
/// Of a compiled definition the exact byte is known; of the others the end of the last piece that
/// they have understood.
pub fn explain(cx: &mut Context, line: &[u8], given: Option<&'static Format>) -> Explanation {
    let mut record = Record::default();
    if let Some(format) = given {
        let departure = depart(cx, line, format);
        if departure.is_none() {
            return Explanation {
                format,
                nearest: None,
            };
        }
        return Explanation {
            format: detect(cx, line, &mut record, u64::MAX),
            nearest: departure,
        };
    }
    let format = detect(cx, line, &mut record, u64::MAX);
    let nearest = (format.name == "raw").then(|| nearest(cx, line)).flatten();
    Explanation { format, nearest }
}

/// The format that understood the most of a line that none took.
fn nearest(cx: &mut Context, line: &[u8]) -> Option<Departure> {
    let first = usize::from(line.first().copied().unwrap_or_default());
    let candidates = BY_FIRST_BYTE.get(first).copied().unwrap_or(0);
    let candidates = (0..).zip(FORMATS).filter(|(n, _)| candidates >> n & 1 == 1);
    let mut best: Option<Departure> = None;
    for (_, format) in candidates {
        let Some(found) = depart(cx, line, format) else {
            continue;
        };
        let farther = best.as_ref().is_none_or(|b| found.at > b.at);
        if found.at > 0 && farther {
            best = Some(found);
        }
    }
    best
}

/// Where a line departs from a format; `None` if it does not.
fn depart(cx: &mut Context, line: &[u8], format: &'static Format) -> Option<Departure> {
    let mut record = Record::default();
    match &format.read {
        Read::Template(template) => {
            let miss = template.read(cx, line, &mut record).err()?;
            Some(Departure {
                format,
                at: miss.at,
                expected: Some(template.expected(miss)),
            })
        }
        Read::Code(read) => {
            if read(cx, line, &mut record) {
                return None;
            }
            let last = record.fields.last().map_or(0, |span| span.end);
            let at = (last.max(record.time_span.end) as usize).min(line.len());
            // What closes a piece is part of it.
            let rest = line.get(at..).unwrap_or_default();
            let closing = rest.iter().take_while(|b| b"\"'])} \t".contains(b));
            Some(Departure {
                format,
                at: at + closing.count(),
                expected: None,
            })
        }
    }
}
