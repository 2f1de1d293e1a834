//! Journal rows: what came to an open block since the last one.
//!
//! Everything in a [`Table`] only grows, so a row is what is new: origins, columns, templates and
//! strings, and the codes of the new rows, as planes. Reading the journal is appending these again.

use std::sync::Arc;

use super::codec::{Bytes, put_bytes, put_deltas, put_planes, put_runs, put_uint};
use super::column::Column;
use super::table::{ColumnName, ROWS_MAX, TEMPLATES_MAX, Table, read_origin, write_origin};
use super::template::NAMED_MAX;

/// Raised when the bytes of rows change.
const VERSION: u8 = 2;
/// Rows of this version are read as well: each code and difference a number of variable length.
const VERSION_OLD: u8 = 1;

/// How far a table has been written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    rows: usize,
    origins: usize,
    names: usize,
    templates: usize,
    raw_bytes: u64,
    /// Strings and codes of each column: the named ones, the variables.
    named: Vec<(usize, usize)>,
    variables: Vec<(usize, usize)>,
}

impl Marks {
    /// Rows written down.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

impl Table {
    /// Everything is written down.
    pub(super) fn marks(&self) -> Marks {
        let mark = |c: &Column| (c.strings.len(), c.codes.len());
        Marks {
            rows: self.len(),
            origins: self.origins.len(),
            names: self.names.len(),
            templates: self.templates.len(),
            raw_bytes: self.raw_bytes,
            named: self.named.iter().map(mark).collect(),
            variables: self.variables.iter().map(mark).collect(),
        }
    }

    /// The journal row of what came since `marks`.
    pub(super) fn delta(&self, marks: &Marks) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.overflow)];
        put_uint(&mut out, marks.rows as u64);
        put_uint(&mut out, (self.len() - marks.rows) as u64);
        put_uint(&mut out, self.raw_bytes - marks.raw_bytes);
        put_uint(&mut out, (self.origins.len() - marks.origins) as u64);
        for origin in &self.origins[marks.origins..] {
            write_origin(origin, &mut out);
        }
        put_uint(&mut out, (self.names.len() - marks.names) as u64);
        for name in &self.names[marks.names..] {
            name.write(&mut out);
        }
        put_uint(&mut out, (self.templates.len() - marks.templates) as u64);
        for template in &self.templates[marks.templates..] {
            put_bytes(&mut out, &template.text);
        }
        let r = &self.rows;
        for column in [&r.times, &r.recvs, &r.seqs] {
            let last = marks.rows.checked_sub(1).map_or(0, |i| column[i]);
            let since = |value: &i64| value.wrapping_sub(last);
            put_deltas(&mut out, column[marks.rows..].iter().map(since));
        }
        for column in [&r.codes.severities, &r.codes.origins] {
            put_runs(&mut out, &column[marks.rows..]);
        }
        put_planes(&mut out, &r.codes.templates[marks.rows..]);
        put_columns(&mut out, &self.named, &marks.named);
        put_columns(&mut out, &self.variables, &marks.variables);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Appends a journal row; `None` if it is damaged or does not follow: the table is then of no
    /// use. When all rows are in, [`Table::is_whole`] has to be asked.
    pub(super) fn apply(&mut self, delta: &[u8], source: &str) -> Option<()> {
        let (body, crc) = delta.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut bytes = Bytes(body);
        let version = bytes.byte()?;
        if !(VERSION_OLD..=VERSION).contains(&version) {
            return None;
        }
        self.overflow |= bytes.byte()? != 0;
        if bytes.count(ROWS_MAX)? != self.len() {
            return None;
        }
        let n = bytes.count(ROWS_MAX - self.len())?;
        let raw_bytes = self.raw_bytes.checked_add(bytes.uint()?)?;
        for _ in 0..bytes.count(n)? {
            self.origins
                .push(Arc::new(read_origin(&mut bytes, source)?));
        }
        for _ in 0..bytes.count(NAMED_MAX - self.names.len())? {
            self.names.push(ColumnName::read(&mut bytes)?);
            self.named.push(Column::default());
        }
        for _ in 0..bytes.count(TEMPLATES_MAX.checked_sub(self.templates.len())?)? {
            self.add_template(bytes.bytes()?)?;
        }
        self.apply_rows(&mut bytes, n, version == VERSION_OLD)?;
        self.raw_bytes = raw_bytes;
        Some(())
    }

    fn apply_rows(&mut self, bytes: &mut Bytes<'_>, n: usize, old: bool) -> Option<()> {
        let r = &mut self.rows;
        for column in [&mut r.times, &mut r.recvs, &mut r.seqs] {
            let last = column.last().copied().unwrap_or(0);
            if old {
                take_old_deltas(bytes, column, n)?;
            } else {
                let deltas = bytes.deltas(n)?;
                column.extend(deltas.into_iter().map(|d| last.wrapping_add(d)));
            }
        }
        r.codes.severities.extend(bytes.runs(n)?);
        r.codes.origins.extend(bytes.runs(n)?);
        if old {
            for _ in 0..n {
                r.codes.templates.push(bytes.u32()?);
            }
        } else {
            r.codes.templates.extend(bytes.planes(n)?);
        }
        let take = if old { take_old_values } else { take_values };
        take_columns(bytes, &mut self.named, take)?;
        take_columns(bytes, &mut self.variables, take)?;
        bytes.is_empty().then_some(())
    }
}

fn put_columns(out: &mut Vec<u8>, columns: &[Column], marks: &[(usize, usize)]) {
    let mark = |number: usize| marks.get(number).copied().unwrap_or_default();
    let dirty = || {
        let columns = columns.iter().enumerate();
        columns.filter(|(number, column)| column.codes.len() != mark(*number).1)
    };
    put_uint(out, dirty().count() as u64);
    let (mut last, mut numbers) = (0, Vec::new());
    for (number, column) in dirty() {
        let (strings, codes) = mark(number);
        put_uint(out, (number - last) as u64);
        last = number;
        let (known, _) = column.strings.range(strings);
        let ends = &column.strings.ends[strings..];
        put_uint(out, ends.len() as u64);
        if let Some(&end) = ends.last() {
            let mut before = known;
            numbers.clear();
            numbers.extend(
                ends.iter()
                    .map(|&end| end - std::mem::replace(&mut before, end)),
            );
            put_planes(out, &numbers);
            out.extend_from_slice(&column.strings.bytes[known as usize..end as usize]);
        }
        put_uint(out, (column.codes.len() - codes) as u64);
        numbers.clear();
        numbers.extend(column.codes[codes..].iter().map(|code| code.rotate_left(1)));
        put_planes(out, &numbers);
    }
}

fn take_columns(
    bytes: &mut Bytes<'_>,
    columns: &mut [Column],
    take: fn(&mut Bytes<'_>, &mut Column) -> Option<()>,
) -> Option<()> {
    let dirty = bytes.count(columns.len())?;
    let mut number = 0usize;
    for _ in 0..dirty {
        number = number.checked_add(bytes.count(columns.len())?)?;
        take(bytes, columns.get_mut(number)?)?;
    }
    Some(())
}

/// The new strings and codes of a column.
fn take_values(bytes: &mut Bytes<'_>, column: &mut Column) -> Option<()> {
    let strings = bytes.count(ROWS_MAX)?;
    if strings > 0 {
        let mut end = u32::try_from(column.strings.bytes.len()).ok()?;
        let before = end;
        for length in bytes.planes(strings)? {
            end = end.checked_add(length)?;
            column.strings.ends.push(end);
        }
        let text = bytes.take((end - before) as usize)?;
        column.strings.bytes.extend_from_slice(text);
    }
    let codes = bytes.count(ROWS_MAX.checked_sub(column.codes.len())?)?;
    let codes = bytes.planes(codes)?;
    column
        .codes
        .extend(codes.iter().map(|code| code.rotate_right(1)));
    Some(())
}

fn take_old_deltas(bytes: &mut Bytes<'_>, values: &mut Vec<i64>, n: usize) -> Option<()> {
    let mut last = values.last().copied().unwrap_or(0);
    for _ in 0..n {
        last = last.wrapping_add(bytes.int()?);
        values.push(last);
    }
    Some(())
}

fn take_old_values(bytes: &mut Bytes<'_>, column: &mut Column) -> Option<()> {
    for _ in 0..bytes.count(ROWS_MAX)? {
        column.strings.push(bytes.bytes()?);
    }
    for _ in 0..bytes.count(ROWS_MAX.checked_sub(column.codes.len())?)? {
        column.codes.push(bytes.u32()?.rotate_right(1));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::codec::put_int;
    use super::super::open::OpenBlock;
    use super::super::tests::{push, sample};
    use super::*;
    use proptest::prelude::*;

    /// A row as it was written before version 2.
    fn old_row(table: &Table) -> Vec<u8> {
        let mut out = vec![VERSION_OLD, u8::from(table.overflow)];
        for n in [
            0,
            table.len() as u64,
            table.raw_bytes,
            table.origins.len() as u64,
        ] {
            put_uint(&mut out, n);
        }
        table.origins.iter().for_each(|o| write_origin(o, &mut out));
        put_uint(&mut out, table.names.len() as u64);
        table.names.iter().for_each(|n| n.write(&mut out));
        put_uint(&mut out, table.templates.len() as u64);
        table
            .templates
            .iter()
            .for_each(|t| put_bytes(&mut out, &t.text));
        for column in [&table.rows.times, &table.rows.recvs, &table.rows.seqs] {
            let mut last = 0i64;
            for &value in column {
                put_int(
                    &mut out,
                    value.wrapping_sub(std::mem::replace(&mut last, value)),
                );
            }
        }
        put_runs(&mut out, &table.rows.codes.severities);
        put_runs(&mut out, &table.rows.codes.origins);
        for &code in &table.rows.codes.templates {
            put_uint(&mut out, u64::from(code));
        }
        for columns in [&table.named, &table.variables] {
            let dirty = || {
                columns
                    .iter()
                    .enumerate()
                    .filter(|(_, c)| !c.codes.is_empty())
            };
            put_uint(&mut out, dirty().count() as u64);
            let mut last = 0;
            for (number, column) in dirty() {
                put_uint(
                    &mut out,
                    (number - std::mem::replace(&mut last, number)) as u64,
                );
                put_uint(&mut out, column.strings.len() as u64);
                column.strings.iter().for_each(|s| put_bytes(&mut out, s));
                put_uint(&mut out, column.codes.len() as u64);
                for code in &column.codes {
                    put_uint(&mut out, u64::from(code.rotate_left(1)));
                }
            }
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    proptest! {
        #[test]
        fn rows_of_the_first_version_are_read(samples in proptest::collection::vec(sample(), 1..30)) {
            let mut block = OpenBlock::new(7);
            push(&mut block, &samples, 0);
            let mut replayed = Table::default();
            prop_assert!(replayed.apply(&old_row(&block.table), "s").is_some());
            prop_assert_eq!(replayed, block.table);
        }
    }
}
