//! Lines out of columns: any row of a block, or all of them in their order.

use std::cell::OnceCell;

use super::column::{Column, NUMBER};
use super::stamp::Stamp;
use super::table::{Codes, ColumnName, Table};
use super::template::{ANONYMOUS, Part, Template};
use super::{Fault, open::STAMP_NAME};
use memchr::memmem::Finder;
use std::sync::Arc;
use vigie_parsers::Origin;

/// A block that can be read, open or sealed.
pub(super) trait Block {
    /// What is known of the rows beside their text and times.
    fn rows(&self) -> &Codes;
    /// When the rows happened, …
    fn times(&self) -> Result<&[i64], Fault>;
    /// … came …
    fn recvs(&self) -> Result<&[i64], Fault>;
    /// … and their numbers in the store.
    fn seqs(&self) -> Result<&[i64], Fault>;
    fn origins(&self) -> &[Arc<Origin>];
    fn names(&self) -> &[ColumnName];
    fn templates(&self) -> &[Template];
    /// Fields cannot be decided on columns.
    fn overflow(&self) -> bool;
    /// Number of variables' columns.
    fn variables(&self) -> usize;
    /// A column by its number.
    fn column(&self, number: u32) -> Result<&Column, Fault>;
    /// How many values a column has.
    fn values(&self, number: u32) -> usize;
    /// The bytes that occur in a column, see [`super::words::byte_mask`].
    fn mask(&self, number: u32) -> u64;
    /// Above the largest number in a column that is no string of it; 0 if there is none.
    fn top(&self, number: u32) -> u32;
    /// Whether the block may hold a word other than as a number of a column.
    fn may_hold(&self, word: &[u8]) -> Result<bool, Fault>;
    /// Whether a number is surely no code of a column, told without reading the column.
    fn lacks_number(&self, number: u32, value: u32) -> Result<bool, Fault>;
    /// Whether a text is surely in no string of a column, told without reading the column.
    fn lacks(&self, number: u32, text: &Finder<'_>, fold: bool) -> Result<bool, Fault>;
    /// Bytes of all lines.
    fn raw_bytes(&self) -> u64;
    /// How it is called.
    fn place(&self) -> &Arc<StreamName>;
}

/// The stream of a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct StreamName {
    pub source: String,
    pub format: Arc<str>,
}

/// Where the values of rows lie in the columns.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The how-manieth row of its template each row is.
    nth: OnceCell<Vec<u32>>,
    named: Vec<OnceCell<Ranks>>,
}

/// Which rows have a value in a column, and how many before.
#[derive(Debug)]
struct Ranks {
    bits: Vec<u64>,
    before: Vec<u32>,
}

impl Ranks {
    fn new(rows: &Codes, has: &[bool]) -> Self {
        let mut ranks = Self {
            bits: Vec::new(),
            before: Vec::new(),
        };
        let mut total = 0;
        for chunk in rows.templates.chunks(64) {
            let mut bits = 0u64;
            for (i, &t) in chunk.iter().enumerate() {
                bits |= u64::from(has[t as usize]) << i;
            }
            ranks.bits.push(bits);
            ranks.before.push(total);
            total += bits.count_ones();
        }
        ranks
    }

    fn rank(&self, row: usize) -> usize {
        let bits = self.bits[row / 64] & ((1 << (row % 64)) - 1);
        (self.before[row / 64] + bits.count_ones()) as usize
    }
}

impl Places {
    pub(super) fn new(block: &dyn Block) -> Self {
        let mut named = Vec::new();
        named.resize_with(block.names().len(), OnceCell::new);
        Self {
            nth: OnceCell::new(),
            named,
        }
    }

    /// Where in the column the value of a row lies that has one.
    pub(super) fn index(&self, block: &dyn Block, row: usize, number: u32) -> usize {
        let rows = block.rows();
        if number as usize >= ANONYMOUS {
            let nth = self.nth.get_or_init(|| {
                let mut counts = vec![0; block.templates().len()];
                let count = |&t: &u32| {
                    let count = &mut counts[t as usize];
                    *count += 1;
                    *count - 1
                };
                rows.templates.iter().map(count).collect()
            });
            return nth[row] as usize;
        }
        if block.values(number) == rows.len() {
            return row;
        }
        let Some(cell) = self.named.get(number as usize) else {
            return usize::MAX;
        };
        cell.get_or_init(|| Ranks::new(rows, &having(block, number)))
            .rank(row)
    }
}

/// Which templates have a value in a column.
pub(super) fn having(block: &dyn Block, number: u32) -> Vec<bool> {
    let templates = block.templates().iter();
    templates.map(|t| t.columns.contains(&number)).collect()
}

/// Writes the line of a row.
pub(super) fn line(
    block: &dyn Block,
    places: &Places,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let rows = block.rows();
    let template = &block.templates()[rows.templates[row] as usize];
    let time = block.times()?[row];
    let mut fault = None;
    template.rebuild(time, out, |number, out| match block.column(number) {
        Ok(column) => {
            let code = column.codes.get(places.index(block, row, number));
            match code {
                Some(&code) => column.append(code, out),
                None => fault = Some(Fault::Damaged),
            }
        }
        Err(e) => fault = Some(e),
    });
    fault.map_or(Ok(()), Err)
}

/// Goes through a table row by row.
pub(super) struct Walk<'a> {
    table: &'a Table,
    row: usize,
    next: Vec<usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self {
            table,
            row: 0,
            next: vec![0; ANONYMOUS + table.variables.len()],
        }
    }

    /// Writes the next row's line, with blanks for time stamps unless `stamps` are wanted, or passes
    /// it over.
    pub(super) fn next(&mut self, mut out: Option<&mut Vec<u8>>, stamps: bool) {
        let time = self.table.rows.times.get(self.row).copied().unwrap_or(0);
        let Some(&template) = self.table.rows.codes.templates.get(self.row) else {
            return;
        };
        let template = &self.table.templates[template as usize];
        self.row += 1;
        if let Some(out) = &mut out {
            out.clear();
        }
        for part in &template.parts {
            let Part::Column(number) = *part else {
                if let Some(out) = &mut out {
                    match *part {
                        Part::Text(start, end) => {
                            out.extend_from_slice(&template.text[start as usize..end as usize]);
                        }
                        Part::Time(stamp) if stamps => {
                            stamp.render(time.div_euclid(1000), out);
                        }
                        Part::Millis if stamps => Stamp::render_ms(time, out),
                        _ => out.push(b' '),
                    }
                }
                continue;
            };
            let index = self.next[number as usize];
            self.next[number as usize] += 1;
            let Some(out) = &mut out else { continue };
            let is_stamp = self
                .table
                .names
                .get(number as usize)
                .is_some_and(|n| *n.name == *STAMP_NAME);
            if is_stamp && !stamps {
                out.push(b' ');
            } else if let Some(column) = self.table.column(number)
                && let Some(&code) = column.codes.get(index)
            {
                column.append(code, out);
            }
        }
    }
}

/// A table as a block.
#[derive(Debug)]
pub(super) struct Open {
    pub table: Arc<Table>,
    pub place: Arc<StreamName>,
}

impl Block for Open {
    fn rows(&self) -> &Codes {
        &self.table.rows.codes
    }
    fn times(&self) -> Result<&[i64], Fault> {
        Ok(&self.table.rows.times)
    }
    fn recvs(&self) -> Result<&[i64], Fault> {
        Ok(&self.table.rows.recvs)
    }
    fn seqs(&self) -> Result<&[i64], Fault> {
        Ok(&self.table.rows.seqs)
    }
    fn origins(&self) -> &[Arc<Origin>] {
        &self.table.origins
    }
    fn names(&self) -> &[ColumnName] {
        &self.table.names
    }
    fn templates(&self) -> &[Template] {
        &self.table.templates
    }
    fn overflow(&self) -> bool {
        self.table.overflow
    }
    fn variables(&self) -> usize {
        self.table.variables.len()
    }
    fn column(&self, number: u32) -> Result<&Column, Fault> {
        self.table.column(number).ok_or(Fault::Damaged)
    }
    fn values(&self, number: u32) -> usize {
        self.table.column(number).map_or(0, |c| c.codes.len())
    }
    fn mask(&self, _number: u32) -> u64 {
        u64::MAX
    }
    fn top(&self, _number: u32) -> u32 {
        NUMBER
    }
    fn may_hold(&self, _word: &[u8]) -> Result<bool, Fault> {
        Ok(true)
    }
    fn lacks_number(&self, _: u32, _: u32) -> Result<bool, Fault> {
        Ok(false)
    }
    fn lacks(&self, _: u32, _: &Finder<'_>, _: bool) -> Result<bool, Fault> {
        Ok(false)
    }
    fn raw_bytes(&self) -> u64 {
        self.table.raw_bytes
    }
    fn place(&self) -> &Arc<StreamName> {
        &self.place
    }
}
