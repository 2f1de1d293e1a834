//! The rows of a block in memory, as columns.

use std::sync::Arc;

use vigie_parsers::{Kind, Origin, Severity};

use super::codec::{Bytes, put_bytes, put_uint};
use super::column::{Column, NUMBER};
use super::template::{ANONYMOUS, Template};

/// A block has no more rows.
pub(super) const ROWS_MAX: usize = 1 << 16;
/// A block has no more templates; lines beyond are kept whole. Twice the limit that ingest keeps.
pub(super) const TEMPLATES_MAX: usize = 8192;
/// The severity number of lines without one.
pub(super) const NO_SEVERITY: u32 = 8;

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
