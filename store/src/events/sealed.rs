//! A sealed block, read from its segments as far as it is needed.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;
use memchr::memmem::Finder;
use rusqlite::Connection;
use vigie_parsers::Origin;

use super::codec::{Bytes, unpack};
use super::column::{Column, NUMBER, Strings};
use super::decode::{
    Head, read_codes, read_codes_of_rows, read_head, read_packed, read_recvs, read_strings,
    split_strings,
};
use super::encode::{Form, Layout, Place, SEGMENTS_MAX};
use super::packed;
use super::rebuild::{Block, StreamName};
use super::table::{Codes, ColumnName, Table};
use super::template::{ANONYMOUS, Template};
use super::words::{self, Pairs};
use super::{FILTER_CHUNKS_MAX, Fault};

/// Where segments come from.
pub(super) trait Segments {
    /// The unpacked bytes of a segment, and how many were stored.
    fn segment(&self, number: u32) -> Result<(Vec<u8>, usize), Fault>;

    /// Whether the block may hold a word other than as a number, as far as its filter tells.
    fn may_hold(&self, _word: &[u8]) -> Result<bool, Fault> {
        Ok(true)
    }
}

/// The segments of a block in the file.
pub(super) struct Stored<'c> {
    pub conn: &'c Connection,
    pub block: i64,
    /// The key of the word filter and the number of its rows, where that is asked.
    pub filter: Option<(u64, usize)>,
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

    fn may_hold(&self, word: &[u8]) -> Result<bool, Fault> {
        let Some((key, rows)) = self.filter.filter(|(_, rows)| *rows > 0) else {
            return Ok(true);
        };
        let hash = words::word_hash(key, word);
        let chunk = i64::try_from(words::chunk_of(hash, rows)).unwrap_or(0);
        let mut stmt = self
            .conn
            .prepare_cached("SELECT data FROM ev_filter WHERE id = ?1")?;
        let mut rows = stmt.query([self.block * FILTER_CHUNKS_MAX + chunk])?;
        let Some(row) = rows.next()? else {
            return Ok(true);
        };
        let data = row.get_ref(0)?.as_blob().unwrap_or_default();
        Ok(words::may_hold(data, hash))
    }
}

/// An opened block.
pub(super) struct SealedBlock<S> {
    segments: S,
    place: Arc<StreamName>,
    head: Table,
    layouts: Vec<Layout>,
    pairs: Vec<Option<Pairs>>,
    named: usize,
    columns: Vec<OnceCell<Column>>,
    /// The segment of times.
    stamps: OnceCell<Vec<u8>>,
    times: OnceCell<Vec<i64>>,
    recvs: OnceCell<Vec<i64>>,
    seqs: OnceCell<Vec<i64>>,
    shared: RefCell<HashMap<u32, Rc<Vec<u8>>>>,
    /// Strings in lower case; kept for its memory.
    folded: RefCell<Vec<u8>>,
    /// Stored bytes read so far.
    pub bytes_read: Cell<u64>,
    /// Bytes of memory, about.
    pub memory: Cell<usize>,
}

impl<S: Segments> SealedBlock<S> {
    /// Reads what every use of a block needs: its head and the codes of its rows.
    pub(super) fn open(segments: S, place: Arc<StreamName>) -> Result<Self, Fault> {
        let (head, head_bytes) = segments.segment(0)?;
        let Head {
            mut table,
            layouts,
            pairs,
            rows: n,
        } = read_head(&head, &place.source).ok_or(Fault::Damaged)?;
        let (codes, code_bytes) = segments.segment(2)?;
        table.rows.codes = read_codes_of_rows(&codes, n).ok_or(Fault::Damaged)?;
        let mut columns = Vec::new();
        columns.resize_with(layouts.len(), OnceCell::new);
        let block = Self {
            segments,
            place,
            named: table.names.len(),
            head: table,
            layouts,
            pairs,
            columns,
            stamps: OnceCell::new(),
            times: OnceCell::new(),
            recvs: OnceCell::new(),
            seqs: OnceCell::new(),
            shared: RefCell::default(),
            folded: RefCell::default(),
            bytes_read: Cell::new((head_bytes + code_bytes) as u64),
            memory: Cell::new(n * 36 + head.len() * 4),
        };
        block.check().ok_or(Fault::Damaged)?;
        Ok(block)
    }

    /// Every code points at something, and every column has a value for each of its slots.
    fn check(&self) -> Option<()> {
        let rows = &self.head.rows.codes;
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
        self.memory.set(self.head.rows.codes.len() * 36);
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

    /// The nth part of the segment of times.
    fn stamps(&self, nth: usize) -> Result<Bytes<'_>, Fault> {
        let raw = match self.stamps.get() {
            Some(raw) => raw,
            None => {
                let (raw, stored) = self.segments.segment(1)?;
                self.bytes_read.set(self.bytes_read.get() + stored as u64);
                self.stamps.get_or_init(|| raw)
            }
        };
        let mut bytes = Bytes(raw);
        for _ in 0..nth {
            bytes.bytes().ok_or(Fault::Damaged)?;
        }
        Ok(Bytes(bytes.bytes().ok_or(Fault::Damaged)?))
    }

    /// Reads a column of times when it is asked for.
    fn once<'a>(
        &self,
        cell: &'a OnceCell<Vec<i64>>,
        read: impl FnOnce() -> Result<Option<Vec<i64>>, Fault>,
    ) -> Result<&'a [i64], Fault> {
        if let Some(known) = cell.get() {
            return Ok(known);
        }
        let values = read()?.ok_or(Fault::Damaged)?;
        Ok(cell.get_or_init(|| values))
    }

    fn load(&self, layout: &Layout) -> Result<Column, Fault> {
        let strings = match layout.strings {
            0 => Strings::default(),
            n => {
                let raw = self.part(layout.strings_at)?;
                let part = raw.get(layout.strings_at.offset as usize..);
                let read = if layout.packed {
                    read_packed
                } else {
                    read_strings
                };
                read(part.unwrap_or_default(), n as usize).ok_or(Fault::Damaged)?
            }
        };
        let codes = if layout.form == Form::Plain {
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
    fn rows(&self) -> &Codes {
        &self.head.rows.codes
    }
    fn times(&self) -> Result<&[i64], Fault> {
        let n = self.rows().len();
        self.once(&self.times, || Ok(self.stamps(0)?.deltas(n)))
    }
    fn recvs(&self) -> Result<&[i64], Fault> {
        let times = self.times()?;
        self.once(&self.recvs, || Ok(read_recvs(self.stamps(1)?, times)))
    }
    fn seqs(&self) -> Result<&[i64], Fault> {
        let n = self.rows().len();
        self.once(&self.seqs, || Ok(self.stamps(2)?.deltas(n)))
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
    fn top(&self, number: u32) -> u32 {
        let layout = self.layout_of(number).and_then(|i| self.layouts.get(i));
        layout.map_or(NUMBER, |l| l.top)
    }
    fn may_hold(&self, word: &[u8]) -> Result<bool, Fault> {
        self.segments.may_hold(word)
    }
    fn lacks_number(&self, number: u32, value: u32) -> Result<bool, Fault> {
        let index = self.layout_of(number).ok_or(Fault::Damaged)?;
        let (Some(cell), Some(layout)) = (self.columns.get(index), self.layouts.get(index)) else {
            return Err(Fault::Damaged);
        };
        if value >= layout.top || value < layout.base {
            return Ok(true);
        }
        if cell.get().is_some() || layout.form == Form::Plain {
            return Ok(false);
        }
        let raw = self.part(layout.codes_at)?;
        let part = raw.get(layout.codes_at.offset as usize..);
        let fresh = u32::from(layout.form == Form::Fresh);
        let place = (value - layout.base)
            .checked_add(layout.strings)
            .and_then(|p| p.checked_add(fresh))
            .ok_or(Fault::Damaged)?;
        let mut planes = Bytes(part.unwrap_or_default());
        let holds = planes.planes_hold(layout.values as usize, place);
        Ok(!holds.ok_or(Fault::Damaged)?)
    }
    fn lacks(&self, number: u32, text: &Finder<'_>, fold: bool) -> Result<bool, Fault> {
        let index = self.layout_of(number).ok_or(Fault::Damaged)?;
        let (Some(cell), Some(layout)) = (self.columns.get(index), self.layouts.get(index)) else {
            return Err(Fault::Damaged);
        };
        if cell.get().is_some() {
            return Ok(false);
        }
        let pairs = self.pairs.get(index).and_then(Option::as_ref);
        if layout.strings == 0
            || words::digits_in_a_row(text.needle()) > layout.digits
            || pairs.is_some_and(|p| !p.allow(text.needle()))
        {
            return Ok(true);
        }
        let raw = self.part(layout.strings_at)?;
        let part = raw.get(layout.strings_at.offset as usize..);
        let (part, n) = (part.unwrap_or_default(), layout.strings as usize);
        let unpacked;
        let bytes = if layout.packed {
            if packed::lacks(part, n, text.needle()).ok_or(Fault::Damaged)? {
                return Ok(true);
            }
            unpacked = read_packed(part, n).ok_or(Fault::Damaged)?.bytes;
            &unpacked
        } else {
            split_strings(part, n).ok_or(Fault::Damaged)?.1
        };
        if !fold {
            return Ok(text.find(bytes).is_none());
        }
        let mut folded = self.folded.borrow_mut();
        folded.clear();
        folded.extend_from_slice(bytes);
        folded.make_ascii_lowercase();
        Ok(text.find(&folded).is_none())
    }
    fn raw_bytes(&self) -> u64 {
        self.head.raw_bytes
    }
    fn place(&self) -> &Arc<StreamName> {
        &self.place
    }
}
