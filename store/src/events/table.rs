//! The open block of a stream in memory, and the journal rows that rebuild it.
//!
//! Everything in a [`Table`] only grows, so a journal row is what came since the last one: new
//! origins, columns, templates and strings, and the codes of the new rows. Reading the journal is
//! appending these again.

use std::sync::Arc;

use vigie_parsers::{Kind, Origin, Severity};

use super::codec::{Bytes, put_bytes, put_int, put_runs, put_uint};
use super::column::{Column, NUMBER};
use super::template::{ANONYMOUS, NAMED_MAX, Template};

/// A block has no more rows.
pub(super) const ROWS_MAX: usize = 1 << 16;
/// A block has no more templates; lines beyond are kept whole. Twice the limit that ingest keeps.
pub(super) const TEMPLATES_MAX: usize = 8192;
/// The severity number of lines without one.
pub(super) const NO_SEVERITY: u32 = 8;
/// Raised when the bytes of rows change.
const DELTA_VERSION: u8 = 1;

/// The number that stands for a severity.
pub(super) fn severity_code(severity: Option<Severity>) -> u32 {
    severity.map_or(NO_SEVERITY, |s| u32::from(s as u8))
}

/// The severity behind a number.
pub(super) fn severity_of(code: u32) -> Option<Severity> {
    Severity::from_number(u8::try_from(code).ok()?)
}

/// A column that has a name: the `nth` piece of that name in a line, written as `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ColumnName {
    pub name: Box<str>,
    pub nth: u8,
    pub kind: Kind,
}

const KINDS: [Kind; 7] = [
    Kind::Plain,
    Kind::Quoted,
    Kind::Json,
    Kind::SdParam,
    Kind::Millis,
    Kind::Micros,
    Kind::Nanos,
];

impl ColumnName {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.name.as_bytes());
        out.extend_from_slice(&[self.nth, self.kind as u8]);
    }

    pub(super) fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        Some(Self {
            name: bytes.text()?.into(),
            nth: bytes.byte()?,
            kind: *KINDS.get(usize::from(bytes.byte()?))?,
        })
    }
}

/// What is known of each row beside its text and its times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Codes {
    pub severities: Vec<u32>,
    pub origins: Vec<u32>,
    pub templates: Vec<u32>,
}

/// What is known of each row beside its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub times: Vec<i64>,
    pub recvs: Vec<i64>,
    pub seqs: Vec<i64>,
    pub codes: Codes,
}

impl Codes {
    pub(super) fn len(&self) -> usize {
        self.templates.len()
    }
}

/// The rows of a block, all in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub rows: Rows,
    pub origins: Vec<Arc<Origin>>,
    pub names: Vec<ColumnName>,
    pub templates: Vec<Template>,
    /// The columns of `names`.
    pub named: Vec<Column>,
    /// The columns of the templates' variables, in the order of the templates.
    pub variables: Vec<Column>,
    /// A named piece found no column: fields cannot be decided on columns.
    pub overflow: bool,
    /// Bytes of the lines.
    pub raw_bytes: u64,
}

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

pub(super) fn write_origin(origin: &Origin, out: &mut Vec<u8>) {
    put_uint(out, origin.fields.len() as u64);
    for (name, value) in &origin.fields {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

pub(super) fn read_origin(bytes: &mut Bytes<'_>, source: &str) -> Option<Origin> {
    let n = bytes.count(bytes.0.len())?;
    let mut fields = Vec::new();
    for _ in 0..n {
        fields.push((bytes.text()?.to_owned(), bytes.text()?.to_owned()));
    }
    Some(Origin {
        source: source.to_owned(),
        fields,
    })
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.rows.times.len()
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        let size = |c: &Column| 80 + c.strings.bytes.len() + (c.strings.len() + c.codes.len()) * 4;
        let columns = self.named.iter().chain(&self.variables);
        let templates = self.templates.iter().map(|t| 100 + t.text.len() * 2);
        self.len() * 36 + columns.map(size).sum::<usize>() + templates.sum::<usize>()
    }

    /// A column by its number.
    pub(super) fn column(&self, number: u32) -> Option<&Column> {
        let number = number as usize;
        match number.checked_sub(ANONYMOUS) {
            Some(variable) => self.variables.get(variable),
            None => self.named.get(number),
        }
    }

    /// Adds a template and the columns of its variables.
    pub(super) fn add_template(&mut self, text: &[u8]) -> Option<&Template> {
        let template = Template::parse(text, self.names.len(), self.variables.len())?;
        let variables = template
            .columns
            .iter()
            .filter(|c| **c as usize >= ANONYMOUS);
        let n = self.variables.len() + variables.count();
        self.variables.resize_with(n, Column::default);
        self.templates.push(template);
        self.templates.last()
    }

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
        let mut out = vec![DELTA_VERSION, u8::from(self.overflow)];
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
            put_deltas(&mut out, column, marks.rows);
        }
        for column in [&r.codes.severities, &r.codes.origins] {
            put_runs(&mut out, &column[marks.rows..]);
        }
        for &code in &r.codes.templates[marks.rows..] {
            put_uint(&mut out, u64::from(code));
        }
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
        if bytes.byte()? != DELTA_VERSION {
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
        self.apply_rows(&mut bytes, n)?;
        self.raw_bytes = raw_bytes;
        Some(())
    }

    fn apply_rows(&mut self, bytes: &mut Bytes<'_>, n: usize) -> Option<()> {
        let r = &mut self.rows;
        for column in [&mut r.times, &mut r.recvs, &mut r.seqs] {
            take_deltas(bytes, column, n)?;
        }
        r.codes.severities.extend(bytes.runs(n)?);
        r.codes.origins.extend(bytes.runs(n)?);
        for _ in 0..n {
            r.codes.templates.push(bytes.u32()?);
        }
        take_columns(bytes, &mut self.named)?;
        take_columns(bytes, &mut self.variables)?;
        bytes.is_empty().then_some(())
    }

    /// Every code points at something, and every slot has its value.
    pub(super) fn is_whole(&self) -> bool {
        let r = &self.rows;
        let n = self.len();
        let mut wanted = vec![0usize; ANONYMOUS + self.variables.len()];
        let mut uses = vec![0usize; self.templates.len()];
        for &code in &r.codes.templates {
            match uses.get_mut(code as usize) {
                Some(count) => *count += 1,
                None => return false,
            }
        }
        for (template, count) in self.templates.iter().zip(uses) {
            for &column in &template.columns {
                wanted[column as usize] += count;
            }
        }
        let columns = self.named.iter().zip(&wanted);
        let variables = self.variables.iter().zip(&wanted[ANONYMOUS..]);
        r.recvs.len() == n
            && r.seqs.len() == n
            && r.codes.severities.len() == n
            && r.codes.origins.len() == n
            && r.codes.templates.len() == n
            && r.codes
                .origins
                .iter()
                .all(|&o| (o as usize) < self.origins.len())
            && columns.chain(variables).all(|(column, &wanted)| {
                let strings = column.strings.len();
                column.codes.len() == wanted
                    && column
                        .codes
                        .iter()
                        .all(|&c| c & NUMBER != 0 || (c as usize) < strings)
            })
    }
}

fn put_deltas(out: &mut Vec<u8>, values: &[i64], from: usize) {
    let mut last = from.checked_sub(1).map_or(0, |i| values[i]);
    for &value in &values[from..] {
        put_int(out, value.wrapping_sub(last));
        last = value;
    }
}

fn take_deltas(bytes: &mut Bytes<'_>, values: &mut Vec<i64>, n: usize) -> Option<()> {
    let mut last = values.last().copied().unwrap_or(0);
    for _ in 0..n {
        last = last.wrapping_add(bytes.int()?);
        values.push(last);
    }
    Some(())
}

fn put_columns(out: &mut Vec<u8>, columns: &[Column], marks: &[(usize, usize)]) {
    let start = out.len();
    let mut dirty = 0u64;
    let mut last = 0;
    for (number, column) in columns.iter().enumerate() {
        let (strings, codes) = marks.get(number).copied().unwrap_or_default();
        if column.codes.len() == codes {
            continue;
        }
        dirty += 1;
        put_uint(out, (number - last) as u64);
        last = number;
        put_uint(out, (column.strings.len() - strings) as u64);
        for text in (strings..column.strings.len()).map(|i| column.strings.get(i)) {
            put_bytes(out, text);
        }
        put_uint(out, (column.codes.len() - codes) as u64);
        for &code in &column.codes[codes..] {
            put_uint(out, u64::from(code.rotate_left(1)));
        }
    }
    let body = out.split_off(start);
    put_uint(out, dirty);
    out.extend_from_slice(&body);
}

fn take_columns(bytes: &mut Bytes<'_>, columns: &mut [Column]) -> Option<()> {
    let dirty = bytes.count(columns.len())?;
    let mut number = 0usize;
    for _ in 0..dirty {
        number = number.checked_add(bytes.count(columns.len())?)?;
        let column = columns.get_mut(number)?;
        for _ in 0..bytes.count(ROWS_MAX)? {
            column.strings.push(bytes.bytes()?);
        }
        let codes = bytes.count(ROWS_MAX.checked_sub(column.codes.len())?)?;
        for _ in 0..codes {
            column.codes.push(bytes.u32()?.rotate_right(1));
        }
    }
    Some(())
}
