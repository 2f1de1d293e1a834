//! Templates: what lines have in common. A line is its template with the slots filled in.
//!
//! The text of a template is the constant text of its lines with a marker for each slot:
//! 0x11 an anonymous variable, 0x12 and a byte the value of a named column, 0x13 and two bytes the
//! time stamp (see [`Stamp`]), 0x14 three digits of milliseconds. A line that holds one of these
//! bytes as constant text is kept whole: its template is a single variable.

use super::stamp::Stamp;

pub(super) const VARIABLE: u8 = 0x11;
pub(super) const NAMED: u8 = 0x12;
pub(super) const TIME: u8 = 0x13;
pub(super) const MILLIS: u8 = 0x14;
/// Columns of variables are numbered from here on; below are the named ones.
pub(super) const ANONYMOUS: usize = 256;
/// Named columns a block has at most; further names are constant text and variables.
pub(super) const NAMED_MAX: usize = 255;

/// One piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// This range of the template's text.
    Text(u32, u32),
    /// The value of a column.
    Column(u32),
    /// The stored time as text.
    Time(Stamp),
    /// Its milliseconds.
    Millis,
}

/// What the lines of one shape have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub text: Box<[u8]>,
    pub parts: Box<[Part]>,
    /// The columns of its slots, in the order of the line.
    pub columns: Box<[u32]>,
    /// A word of the line may reach over the border of a slot.
    pub glued: bool,
}

const WORD: [bool; 256] = {
    let mut word = [false; 256];
    let mut i = 0usize;
    while i < 256 {
        let byte = i.to_le_bytes()[0];
        word[i] = byte.is_ascii_alphanumeric() || byte == b'_';
        i += 1;
    }
    word
};

/// Letters, digits and `_`: what words are made of.
pub(super) fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

impl Template {
    /// Reads a template's text. Its variables get the numbers from `next_variable` on; `None` if it
    /// names columns beyond `named` or is cut short.
    pub(super) fn parse(text: &[u8], named: usize, next_variable: usize) -> Option<Self> {
        let mut parts = Vec::new();
        let mut columns = Vec::new();
        let mut next = ANONYMOUS + next_variable;
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let part = match byte {
                VARIABLE => {
                    next += 1;
                    Part::Column(u32::try_from(next - 1).ok()?)
                }
                NAMED => {
                    at += 1;
                    let column = *text.get(at)?;
                    (usize::from(column) < named).then_some(Part::Column(u32::from(column)))?
                }
                TIME => {
                    at += 2;
                    Part::Time(Stamp::from_bytes(*text.get(at - 1)?, *text.get(at)?)?)
                }
                MILLIS => Part::Millis,
                _ => {
                    let end = text[at..]
                        .iter()
                        .position(|b| (VARIABLE..=MILLIS).contains(b))
                        .map_or(text.len(), |n| at + n);
                    let part = Part::Text(u32::try_from(at).ok()?, u32::try_from(end).ok()?);
                    at = end - 1;
                    part
                }
            };
            at += 1;
            if let Part::Column(column) = part {
                columns.push(column);
            }
            parts.push(part);
        }
        Some(Self {
            glued: glued(text, &parts),
            text: text.into(),
            parts: parts.into(),
            columns: columns.into(),
        })
    }

    /// The line is kept whole: nothing is known of its fields.
    pub(super) fn is_raw(&self) -> bool {
        *self.text == [VARIABLE]
    }

    /// Writes the line. `value` writes the value of a column's number.
    pub(super) fn rebuild(
        &self,
        time_ms: i64,
        out: &mut Vec<u8>,
        mut value: impl FnMut(u32, &mut Vec<u8>),
    ) {
        for part in &self.parts {
            match *part {
                Part::Text(start, end) => {
                    let text = self.text.get(start as usize..end as usize);
                    out.extend_from_slice(text.unwrap_or_default());
                }
                Part::Column(column) => value(column, out),
                Part::Time(stamp) => stamp.render(time_ms.div_euclid(1000), out),
                Part::Millis => Stamp::render_ms(time_ms, out),
            }
        }
    }

    /// The constant pieces of the text.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter_map(|part| match *part {
            Part::Text(start, end) => self.text.get(start as usize..end as usize),
            _ => None,
        })
    }
}

/// Whether a slot touches another slot, or constant text that goes on as a word.
fn glued(text: &[u8], parts: &[Part]) -> bool {
    let touches = |part: &Part, last: bool| match *part {
        Part::Column(_) => true,
        Part::Text(start, end) => {
            let at = if last {
                end as usize - 1
            } else {
                start as usize
            };
            text.get(at).is_some_and(|&b| is_word(b))
        }
        // Text is not sought in time stamps.
        Part::Time(_) | Part::Millis => false,
    };
    // An address may be put together from slots.
    let dots = |part: &Part| match *part {
        Part::Text(start, end) => text[start as usize..end as usize]
            .iter()
            .all(|&b| b == b'.'),
        _ => false,
    };
    let column = |part: &Part| matches!(part, Part::Column(_));
    let joined = |three: &[Part]| column(&three[0]) && dots(&three[1]) && column(&three[2]);
    if parts.windows(3).any(joined) {
        return true;
    }
    parts.windows(2).any(|pair| {
        let slot = pair.iter().any(|p| matches!(p, Part::Column(_)));
        slot && touches(&pair[0], true) && touches(&pair[1], false)
    })
}
