//! The bytes of a row of counts.

use std::collections::BTreeMap;

use super::super::codec::{Bytes, Packer, put_uint, unpack};
use super::super::table::NO_SEVERITY;
use super::OTHERS;

/// Raised when the bytes change.
const VERSION: u8 = 1;
/// Patterns and severities of one row; more are counted as others.
pub(super) const ENTRIES_MAX: usize = 1024;
/// Cells of a row: the minutes of an hour, the hours of a day.
const CELLS_MAX: u32 = 60;

/// Counts by pattern and severity, then by cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells(pub BTreeMap<(i64, u32), BTreeMap<u32, u64>>);

impl Cells {
    /// Adds to a cell.
    pub(super) fn add(&mut self, pattern: i64, severity: u32, cell: u32, count: u64) {
        let full = self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&(pattern, severity));
        let pattern = if full { OTHERS } else { pattern };
        let cells = self.0.entry((pattern, severity)).or_default();
        let known = cells.entry(cell).or_default();
        *known = known.saturating_add(count);
    }

    /// The row's bytes.
    pub(super) fn pack(&self, packer: &mut Packer) -> Vec<u8> {
        let mut out = vec![VERSION];
        let mut last = 0;
        for (&(pattern, severity), cells) in &self.0 {
            put_uint(&mut out, pattern.saturating_sub(last).cast_unsigned());
            last = pattern;
            put_uint(&mut out, u64::from(severity));
            put_uint(&mut out, cells.len() as u64);
            for (&cell, &count) in cells {
                put_uint(&mut out, u64::from(cell));
                put_uint(&mut out, count);
            }
        }
        packer.pack(&out)
    }

    /// Reads them; `None` if they are damaged.
    pub(super) fn unpack(data: &[u8]) -> Option<Self> {
        let raw = unpack(data)?;
        let mut bytes = Bytes(&raw);
        let mut all = Self::default();
        if bytes.byte()? != VERSION {
            return None;
        }
        let mut pattern = 0i64;
        while !bytes.is_empty() {
            pattern = pattern.checked_add(i64::try_from(bytes.uint()?).ok()?)?;
            let severity = bytes.u32()?;
            let cells = all.0.entry((pattern, severity)).or_default();
            for _ in 0..bytes.count(CELLS_MAX as usize)? {
                let cell = bytes.u32()?;
                if cell >= CELLS_MAX || severity > NO_SEVERITY {
                    return None;
                }
                cells.insert(cell, bytes.uint()?);
            }
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_come_back(
            cells in proptest::collection::vec((0i64..1 << 40, 0u32..9, 0u32..60, 1u64..1 << 40), 0..300)
        ) {
            let mut all = Cells::default();
            for (pattern, severity, cell, count) in cells {
                all.add(pattern, severity, cell, count);
            }
            let packed = all.pack(&mut Packer::new());
            prop_assert_eq!(Cells::unpack(&packed), Some(all));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Cells::unpack(&bytes);
            bytes.insert(0, VERSION);
            let _ = Cells::unpack(&Packer::new().pack(&bytes));
        }
    }
}
