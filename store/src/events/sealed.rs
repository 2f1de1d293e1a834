//! A sealed block, read from its segments as far as it is needed.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::Connection;
use vigie_parsers::Origin;

use super::Fault;
use super::codec::{Bytes, unpack};
use super::column::{Column, NUMBER, Strings};
use super::encode::{BLOCK_VERSION, Layout, Place, SEGMENTS_MAX};
use super::rebuild::{Block, StreamName};
use super::table::{ColumnName, ROWS_MAX, Rows, TEMPLATES_MAX, Table, read_origin};
use super::template::{ANONYMOUS, NAMED_MAX, Template};

/// Where segments come from.
pub(super) trait Segments {
    /// The unpacked bytes of a segment, and how many were stored.
    fn segment(&self, number: u32) -> Result<(Vec<u8>, usize), Fault>;
}

/// The segments of a block in the file.
pub(super) struct Stored<'c> {
    pub conn: &'c Connection,
    pub block: i64,
}

impl Segments for Stored<'_> {
    fn segment(&self, number: u32) -> Result<(Vec<u8>, usize), Fault> {
        let id = self.block * SEGMENTS_MAX + i64::from(number);
        let mut stmt = self
            .conn
            .prepare_cached("SELECT data FROM ev_seg WHERE id = ?1")?;
        let mut rows = stmt.query([id])?;
        let row = rows.next()?.ok_or(Fault::Damaged)?;
        let data = row.get_ref(0)?.as_blob().map_err(|_| Fault::Damaged)?;
        Ok((unpack(data).ok_or(Fault::Damaged)?, data.len()))
    }
}

/// An opened block.
pub(super) struct SealedBlock<S> {
    segments: S,
    place: Arc<StreamName>,
    head: Table,
    layouts: Vec<Layout>,
    named: usize,
    columns: Vec<OnceCell<Column>>,
    shared: RefCell<HashMap<u32, Rc<Vec<u8>>>>,
    /// Stored bytes read so far.
    pub bytes_read: Cell<u64>,
    /// Bytes of memory, about.
    pub memory: Cell<usize>,
}

impl<S: Segments> SealedBlock<S> {
    /// Reads what every use of a block needs: its head and its rows.
    pub(super) fn open(segments: S, place: Arc<StreamName>) -> Result<Self, Fault> {
        let (head, head_bytes) = segments.segment(0)?;
        let (table, layouts, n) = read_head(&head, &place.source).ok_or(Fault::Damaged)?;
        let (times, time_bytes) = segments.segment(1)?;
        let (codes, code_bytes) = segments.segment(2)?;
        let mut table = table;
        table.rows = read_rows(&times, &codes, n).ok_or(Fault::Damaged)?;
        let mut columns = Vec::new();
        columns.resize_with(layouts.len(), OnceCell::new);
        let block = Self {
            segments,
            place,
            named: table.names.len(),
            head: table,
            layouts,
            columns,
            shared: RefCell::default(),
            bytes_read: Cell::new((head_bytes + time_bytes + code_bytes) as u64),
            memory: Cell::new(n * 40 + head.len() * 4),
        };
        block.check().ok_or(Fault::Damaged)?;
        Ok(block)
    }

    /// Every code points at something, and every column has a value for each of its slots.
    fn check(&self) -> Option<()> {
        let rows = &self.head.rows;
        let templates = self.head.templates.len();
        let mut uses = vec![0usize; templates];
        for &t in &rows.templates {
            *uses.get_mut(t as usize)? += 1;
        }
        let origins = self.head.origins.len();
        if rows.origins.iter().any(|&o| o as usize >= origins) {
            return None;
        }
        let mut wanted = vec![0usize; self.layouts.len()];
        for (template, count) in self.head.templates.iter().zip(uses) {
            for &number in &template.columns {
                *wanted.get_mut(self.layout_of(number)?)? += count;
            }
        }
        let whole = |(l, w): (&Layout, usize)| l.values as usize == w;
        self.layouts.iter().zip(wanted).all(whole).then_some(())
    }

    fn layout_of(&self, number: u32) -> Option<usize> {
        let number = number as usize;
        match number.checked_sub(ANONYMOUS) {
            Some(variable) => Some(self.named + variable),
            None => (number < self.named).then_some(number),
        }
    }

    /// Only its columns are forgotten: what all uses need stays.
    pub(super) fn forget_columns(&mut self) {
        for column in &mut self.columns {
            column.take();
        }
        self.shared.borrow_mut().clear();
        self.memory.set(self.head.rows.times.len() * 40);
    }

    fn part(&self, place: Place) -> Result<Rc<Vec<u8>>, Fault> {
        if let Some(known) = self.shared.borrow().get(&place.segment) {
            return Ok(Rc::clone(known));
        }
        let (raw, stored) = self.segments.segment(place.segment)?;
        self.bytes_read.set(self.bytes_read.get() + stored as u64);
        self.memory.set(self.memory.get() + raw.len());
        let raw = Rc::new(raw);
        self.shared
            .borrow_mut()
            .insert(place.segment, Rc::clone(&raw));
        Ok(raw)
    }

    fn load(&self, layout: &Layout) -> Result<Column, Fault> {
        let strings = match layout.strings {
            0 => Strings::default(),
            n => {
                let raw = self.part(layout.strings_at)?;
                let part = raw.get(layout.strings_at.offset as usize..);
                read_strings(part.unwrap_or_default(), n as usize).ok_or(Fault::Damaged)?
            }
        };
        let codes = if layout.plain {
            (0..layout.strings).collect()
        } else {
            let raw = self.part(layout.codes_at)?;
            let part = raw.get(layout.codes_at.offset as usize..);
            read_codes(part.unwrap_or_default(), layout).ok_or(Fault::Damaged)?
        };
        let bytes = strings.bytes.len() + (strings.len() + codes.len()) * 4;
        self.memory.set(self.memory.get() + bytes);
        Ok(Column { strings, codes })
    }
}

impl<S: Segments> Block for SealedBlock<S> {
    fn rows(&self) -> &Rows {
        &self.head.rows
    }
    fn origins(&self) -> &[Arc<Origin>] {
        &self.head.origins
    }
    fn names(&self) -> &[ColumnName] {
        &self.head.names
    }
    fn templates(&self) -> &[Template] {
        &self.head.templates
    }
    fn overflow(&self) -> bool {
        self.head.overflow
    }
    fn variables(&self) -> usize {
        self.layouts.len() - self.named
    }
    fn column(&self, number: u32) -> Result<&Column, Fault> {
        let index = self.layout_of(number).ok_or(Fault::Damaged)?;
        let (Some(cell), Some(layout)) = (self.columns.get(index), self.layouts.get(index)) else {
            return Err(Fault::Damaged);
        };
        if let Some(column) = cell.get() {
            return Ok(column);
        }
        let column = self.load(layout)?;
        Ok(cell.get_or_init(|| column))
    }
    fn values(&self, number: u32) -> usize {
        let layout = self.layout_of(number).and_then(|i| self.layouts.get(i));
        layout.map_or(0, |l| l.values as usize)
    }
    fn mask(&self, number: u32) -> u64 {
        let layout = self.layout_of(number).and_then(|i| self.layouts.get(i));
        layout.map_or(u64::MAX, |l| l.mask)
    }
    fn raw_bytes(&self) -> u64 {
        self.head.raw_bytes
    }
    fn place(&self) -> &Arc<StreamName> {
        &self.place
    }
}

/// The head: everything of a table but its rows and columns, which are counted.
fn read_head(raw: &[u8], source: &str) -> Option<(Table, Vec<Layout>, usize)> {
    let mut bytes = Bytes(raw);
    if bytes.byte()? != BLOCK_VERSION {
        return None;
    }
    let mut table = Table {
        overflow: bytes.byte()? != 0,
        ..Table::default()
    };
    let n = bytes.count(ROWS_MAX)?;
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
    let layouts = (0..columns)
        .map(|_| Layout::read(&mut bytes))
        .collect::<Option<Vec<_>>>()?;
    bytes.is_empty().then_some((table, layouts, n))
}

fn read_rows(times: &[u8], codes: &[u8], n: usize) -> Option<Rows> {
    let mut bytes = Bytes(times);
    let mut deltas = || -> Option<Vec<i64>> {
        let mut last = 0i64;
        (0..n)
            .map(|_| {
                last = last.wrapping_add(bytes.int()?);
                Some(last)
            })
            .collect()
    };
    let (times, recvs, seqs) = (deltas()?, deltas()?, deltas()?);
    let mut codes = Bytes(codes);
    Some(Rows {
        times,
        recvs,
        seqs,
        severities: codes.runs(n)?,
        origins: codes.runs(n)?,
        templates: codes.planes(n)?,
    })
}

fn read_strings(part: &[u8], n: usize) -> Option<Strings> {
    if n > ROWS_MAX + 256 {
        return None;
    }
    let mut bytes = Bytes(part);
    let lengths = bytes.planes(n)?;
    let mut end = 0u32;
    let ends = lengths
        .into_iter()
        .map(|len| {
            end = end.checked_add(len)?;
            Some(end)
        })
        .collect::<Option<Vec<u32>>>()?;
    Some(Strings {
        bytes: bytes.take(end as usize)?.to_vec(),
        ends,
    })
}

fn read_codes(part: &[u8], layout: &Layout) -> Option<Vec<u32>> {
    let n = layout.values as usize;
    if n > ROWS_MAX {
        return None;
    }
    let places = Bytes(part).planes(n)?;
    if layout.strings == 0 && layout.base == 0 {
        let number = |p: u32| (p < NUMBER).then_some(p | NUMBER);
        return places.into_iter().map(number).collect();
    }
    let code = |p: u32| match p.checked_sub(layout.strings) {
        None => Some(p),
        Some(number) => {
            let number = number.checked_add(layout.base)?;
            (number < NUMBER).then_some(number | NUMBER)
        }
    };
    places.into_iter().map(code).collect()
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
            let _ = read_rows(&raw, &raw, 50);
            let _ = read_strings(&raw, 10);
            let _ = read_codes(&raw, &Layout { values: 20, strings: 3, base: 7, ..Layout::default() });
            let _ = Table::default().apply(&raw, "s");
        }
    }
}
