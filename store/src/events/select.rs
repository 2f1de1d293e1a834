//! Which rows of a block may match a filter, decided on columns as far as they go.

use vigie_parsers::formats;
use vigie_query::log::Filter;

use super::rebuild::Block;
use super::search::text;
use super::{Fault, fields};

/// Fewer rows than this are sooner looked at themselves.
const FEW_ROWS: u32 = 256;

/// Rows of a block.
#[derive(Debug)]
pub(super) struct Selection {
    /// Bit n of word n / 64: row n may match. All rows where there is none.
    pub bits: Option<Vec<u64>>,
    /// They do match: nothing has to be looked at.
    pub sure: bool,
    rows: usize,
}

impl Selection {
    pub(super) fn all(rows: usize, sure: bool) -> Self {
        Self {
            bits: None,
            sure,
            rows,
        }
    }

    pub(super) fn none(rows: usize) -> Self {
        Self::of(rows, vec![0; rows.div_ceil(64)], true)
    }

    pub(super) fn of(rows: usize, bits: Vec<u64>, sure: bool) -> Self {
        Self {
            bits: Some(bits),
            sure,
            rows,
        }
    }

    /// The rows for which `holds`.
    pub(super) fn by(rows: usize, sure: bool, holds: impl Fn(usize) -> bool) -> Self {
        let word = |w: usize| {
            let end = rows.min(w * 64 + 64);
            (w * 64..end).fold(0u64, |bits, row| bits | u64::from(holds(row)) << (row % 64))
        };
        Self::of(rows, (0..rows.div_ceil(64)).map(word).collect(), sure)
    }

    /// The rows that may match, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.rows.div_ceil(64)).flat_map(|word| Bits {
            rest: match &self.bits {
                Some(bits) => bits[word],
                None => u64::MAX >> (64 - (self.rows - word * 64).min(64)),
            },
            first: word * 64,
        })
    }

    /// Each row may match.
    pub(super) fn is_all(&self) -> bool {
        self.bits.is_none()
    }

    /// No row may match.
    pub(super) fn is_empty(&self) -> bool {
        match &self.bits {
            None => self.rows == 0,
            Some(bits) => bits.iter().all(|&b| b == 0),
        }
    }

    pub(super) fn is_few(&self) -> bool {
        let count = |bits: &Vec<u64>| bits.iter().map(|b| b.count_ones()).sum::<u32>();
        self.bits
            .as_ref()
            .is_some_and(|bits| count(bits) <= FEW_ROWS)
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.sure &= other.sure;
        self.bits = match (self.bits, other.bits) {
            (None, bits) | (bits, None) => bits,
            (Some(a), Some(b)) => Some(a.iter().zip(&b).map(|(a, b)| a & b).collect()),
        };
        self
    }

    fn or(mut self, other: Self) -> Self {
        self.sure &= other.sure;
        self.bits = match (self.bits, other.bits) {
            (None, _) | (_, None) => None,
            (Some(a), Some(b)) => Some(a.iter().zip(&b).map(|(a, b)| a | b).collect()),
        };
        self
    }

    /// What does not match surely may be what is asked for.
    fn not(self) -> Self {
        match self.bits {
            _ if !self.sure => Self::all(self.rows, false),
            None => Self::none(self.rows),
            Some(bits) => {
                let mut inverted: Vec<u64> = bits.iter().map(|b| !b).collect();
                if let Some(last) = inverted.last_mut() {
                    // Beyond the last row there is none to be selected.
                    *last &= u64::MAX >> (63 - (self.rows - 1) % 64);
                }
                Self::of(self.rows, inverted, true)
            }
        }
    }
}

/// The places of a word's set bits.
struct Bits {
    rest: u64,
    first: usize,
}

impl Iterator for Bits {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        let bit = self.rest.trailing_zeros();
        // Of a word without bits this is the word itself.
        self.rest &= self.rest.wrapping_sub(1);
        (bit < 64).then_some(self.first + bit as usize)
    }
}

/// The rows of a block that may match.
pub(super) fn select(block: &dyn Block, filter: &Filter) -> Result<Selection, Fault> {
    let rows = block.rows().len();
    // The fields of a format that is not known any more are not those of the columns.
    if formats::find(&block.place().format).is_none() {
        return Ok(Selection::all(rows, matches!(filter, Filter::All)));
    }
    match filter {
        Filter::All => Ok(Selection::all(rows, true)),
        Filter::And(all) => {
            let mut selection = Selection::all(rows, true);
            // Searching text is the dearest, so it comes last.
            let (text, cheap): (Vec<_>, Vec<_>) = all.iter().partition(|f| has_text(f));
            for filter in cheap.into_iter().chain(text) {
                if selection.is_empty() {
                    break;
                }
                selection = selection.and(select(block, filter)?);
            }
            Ok(selection)
        }
        Filter::Or(any) => {
            let mut selection = Selection::none(rows);
            for filter in any {
                selection = selection.or(select(block, filter)?);
            }
            Ok(selection)
        }
        Filter::Not(inner) => Ok(select(block, inner)?.not()),
        Filter::Text(pattern) => text(block, pattern),
        Filter::TextRegex(_) => Ok(Selection::all(rows, false)),
        Filter::Field { name, test } => {
            if !fields::decidable(name, test) {
                return Ok(Selection::all(rows, false));
            }
            let Some(values) = fields::read(block, name)? else {
                return Ok(Selection::all(rows, false));
            };
            let sure = fields::is_sure(&values, test);
            if !sure && !values.unknown {
                return Ok(Selection::all(rows, false));
            }
            let mut pass = values.passing(test);
            if values.loose_numbers {
                pass.fill(true);
            }
            let holds = |row: usize| match values.codes[row] {
                fields::UNKNOWN => true,
                code => pass[code as usize],
            };
            Ok(Selection::by(rows, sure, holds))
        }
    }
}

fn has_text(filter: &Filter) -> bool {
    match filter {
        Filter::And(some) | Filter::Or(some) => some.iter().any(has_text),
        Filter::Not(inner) => has_text(inner),
        Filter::Text(_) | Filter::TextRegex(_) => true,
        Filter::All | Filter::Field { .. } => false,
    }
}
