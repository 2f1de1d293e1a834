//! The bytes of a sealed block's segments into a table: total functions, `None` for what is damaged.

use std::sync::Arc;

use super::codec::Bytes;
use super::column::{NUMBER, Strings};
use super::encode::{
    ABSOLUTE, BLOCK_VERSION, BLOCK_VERSION_OLD, DIGITS_SINCE, Form, Layout, RELATIVE,
};
use super::packed;
use super::table::{Codes, ColumnName, ROWS_MAX, TEMPLATES_MAX, Table, read_origin};
use super::template::{ANONYMOUS, NAMED_MAX, Template};
use super::words::{PAIRS_BYTES, Pairs};

/// The head: everything of a table but its rows and columns, which are counted.
pub(super) struct Head {
    pub table: Table,
    pub layouts: Vec<Layout>,
    pub pairs: Vec<Option<Pairs>>,
    pub rows: usize,
}

pub(super) fn read_head(raw: &[u8], source: &str) -> Option<Head> {
    let mut bytes = Bytes(raw);
    let version = bytes.byte()?;
    if !(BLOCK_VERSION_OLD..=BLOCK_VERSION).contains(&version) {
        return None;
    }
    let mut table = Table {
        overflow: bytes.byte()? != 0,
        ..Table::default()
    };
    let rows = bytes.count(ROWS_MAX)?;
    table.raw_bytes = bytes.uint()?;
    for _ in 0..bytes.count(ROWS_MAX)? {
        table
            .origins
            .push(Arc::new(read_origin(&mut bytes, source)?));
    }
    for _ in 0..bytes.count(NAMED_MAX)? {
        table.names.push(ColumnName::read(&mut bytes)?);
    }
    let mut variables = 0;
    for _ in 0..bytes.count(TEMPLATES_MAX)? {
        let template = Template::parse(bytes.bytes()?, table.names.len(), variables)?;
        variables += template
            .columns
            .iter()
            .filter(|c| **c as usize >= ANONYMOUS)
            .count();
        table.templates.push(template);
    }
    let columns = table.names.len() + variables;
    let mut layouts = (0..columns)
        .map(|_| Layout::read(&mut bytes))
        .collect::<Option<Vec<_>>>()?;
    let mut pairs = Vec::new();
    if version > BLOCK_VERSION_OLD {
        for layout in &mut layouts {
            if version >= DIGITS_SINCE {
                layout.digits = bytes.byte()?;
            }
            pairs.push(read_pairs(&mut bytes)?);
        }
    }
    bytes.is_empty().then_some(Head {
        table,
        layouts,
        pairs,
        rows,
    })
}

pub(super) fn read_pairs(bytes: &mut Bytes<'_>) -> Option<Option<Pairs>> {
    match bytes.byte()? {
        0 => Some(None),
        _ => Some(Some(Pairs::read(bytes.take(PAIRS_BYTES)?)?)),
    }
}

pub(super) fn read_codes_of_rows(codes: &[u8], n: usize) -> Option<Codes> {
    let mut codes = Bytes(codes);
    Some(Codes {
        severities: codes.runs(n)?,
        origins: codes.runs(n)?,
        templates: codes.planes(n)?,
    })
}

pub(super) fn read_recvs(mut bytes: Bytes<'_>, times: &[i64]) -> Option<Vec<i64>> {
    let relative = match bytes.byte()? {
        ABSOLUTE => false,
        RELATIVE => true,
        _ => return None,
    };
    let mut recvs = bytes.deltas(times.len())?;
    if relative {
        for (recv, time) in recvs.iter_mut().zip(times) {
            *recv = recv.wrapping_add(*time);
        }
    }
    Some(recvs)
}

/// A column has no more strings: one for each row, and numbers that are few.
pub(super) const STRINGS_MAX: usize = ROWS_MAX + 256;

pub(super) fn read_packed(part: &[u8], n: usize) -> Option<Strings> {
    (n <= STRINGS_MAX).then(|| packed::unpack(part, n))?
}

/// The lengths of a part's `n` strings, and their bytes.
pub(super) fn split_strings(part: &[u8], n: usize) -> Option<(Bytes<'_>, &[u8])> {
    if n > STRINGS_MAX {
        return None;
    }
    let mut bytes = Bytes(part);
    let total = bytes.count(part.len())?;
    let lengths = bytes;
    let width = usize::from(bytes.byte()?);
    bytes.take(n.checked_mul(width)?)?;
    Some((lengths, bytes.take(total)?))
}

pub(super) fn read_strings(part: &[u8], n: usize) -> Option<Strings> {
    let (mut lengths, bytes) = split_strings(part, n)?;
    let mut ends = lengths.planes(n)?;
    let mut end = 0u32;
    for length in &mut ends {
        end = end.checked_add(*length)?;
        *length = end;
    }
    (end as usize == bytes.len()).then(|| Strings {
        bytes: bytes.to_vec(),
        ends,
    })
}

pub(super) fn read_codes(part: &[u8], layout: &Layout) -> Option<Vec<u32>> {
    let n = layout.values as usize;
    if n > ROWS_MAX {
        return None;
    }
    let mut codes = Bytes(part).planes(n)?;
    if layout.form == Form::Fresh {
        let mut next = 0;
        for code in &mut codes {
            let fresh = *code == 0;
            *code = if fresh { next } else { *code - 1 };
            next += u32::from(fresh);
        }
        if next > layout.strings {
            return None;
        }
    }
    if layout.top > 0 {
        for code in &mut codes {
            if let Some(number) = code.checked_sub(layout.strings) {
                *code = number.checked_add(layout.base).filter(|n| *n < NUMBER)? | NUMBER;
            }
        }
    }
    Some(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_survived(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_head(&raw, "s");
            let mut headed = vec![BLOCK_VERSION, 0];
            headed.extend_from_slice(&raw);
            let _ = read_head(&headed, "s");
            let _ = read_codes_of_rows(&raw, 50);
            let _ = read_recvs(Bytes(&raw), &[7; 50]);
            let _ = read_strings(&raw, 10);
            let _ = read_codes(&raw, &Layout { values: 20, strings: 3, base: 7, top: 9, ..Layout::default() });
            let _ = Table::default().apply(&raw, "s");
        }
    }
}
