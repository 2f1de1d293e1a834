//! Lines into an open block: the look-up tables that ingest needs beside the [`Table`] itself.

use std::sync::Arc;

use foldhash::HashMap;
use vigie_parsers::{Field, Kind, Name, Origin, Severity, Span};

use super::column::Column;
use super::delta::Marks;
use super::hash::hash;
use super::intern::{Interner, Value};
use super::shape::{Fit, Shapes};
use super::split::Split;
use super::stamp::Stamps;
use super::table::{ColumnName, ROWS_MAX, Table, severity_code};
use super::template::{ANONYMOUS, NAMED_MAX, VARIABLE};

/// Templates learned in a block; lines of further shapes are kept whole.
const TEMPLATES_LEARNED_MAX: usize = 4096;
/// A block is sealed at so many bytes of lines.
const RAW_BYTES_MAX: u64 = 16 << 20;
/// The n-th piece of one name beyond this is plain text.
const NTH_MAX: u8 = 8;
/// The column of stamps that are not the stored time; no query can name it.
pub(super) const STAMP_NAME: &str = "\u{2}time";
/// Put before a line's own name that is the same as a known field's: only the known one is found.
const HIDDEN: char = '\u{1}';
const KINDS: usize = Kind::Nanos as usize + 1;
const UNKNOWN: u8 = u8::MAX;

/// One line to be taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub time: i64,
    pub recv: i64,
    pub seq: i64,
    pub severity: Option<Severity>,
    pub line: &'a [u8],
    pub time_span: (usize, usize),
    pub spans: &'a [Span],
    /// The names behind [`Name::Dynamic`].
    pub names: &'a [Box<str>],
}

/// An open block.
#[derive(Debug)]
pub(super) struct OpenBlock {
    pub table: Table,
    pub marks: Marks,
    /// Bytes of memory, about.
    pub memory: usize,
    key: u64,
    named: Vec<Interner>,
    variables: Vec<Interner>,
    templates: HashMap<u64, u32>,
    origins: HashMap<Arc<Origin>, u32>,
    names: HashMap<ColumnName, u8>,
    /// Columns of the known fields' first pieces, by field and kind.
    known: Vec<[u8; KINDS]>,
    stamps: Stamps,
    shapes: Shapes,
    split: Split,
    /// The template of the line before.
    last_template: usize,
    /// The columns with values that wait to be taken.
    waiting: Vec<u32>,
}

impl OpenBlock {
    pub(super) fn new(key: u64) -> Self {
        Self::over(Table::default(), key)
    }

    /// Goes on with a block that was read from the journal.
    pub(super) fn over(table: Table, key: u64) -> Self {
        let interners = |columns: &[Column]| -> Vec<Interner> {
            columns
                .iter()
                .map(|c| Interner::over(&c.strings, key))
                .collect()
        };
        let number = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        let texts = table.templates.iter().enumerate();
        let origins = table.origins.iter().enumerate();
        let names = table.names.iter().enumerate();
        let bytes = |columns: &[Column]| -> usize {
            let size =
                |c: &Column| 200 + c.strings.bytes.len() + c.strings.len() * 24 + c.codes.len() * 4;
            columns.iter().map(size).sum()
        };
        Self {
            named: interners(&table.named),
            variables: interners(&table.variables),
            templates: texts
                .map(|(i, t)| (hash(key, &t.text), number(i)))
                .collect(),
            origins: origins.map(|(i, o)| (Arc::clone(o), number(i))).collect(),
            names: names
                .map(|(i, n)| (n.clone(), u8::try_from(i).unwrap_or(UNKNOWN)))
                .collect(),
            known: vec![[UNKNOWN; KINDS]; Field::ALL.len()],
            memory: bytes(&table.named) + bytes(&table.variables) + table.len() * 36,
            marks: table.marks(),
            key,
            stamps: Stamps::default(),
            shapes: Shapes::default(),
            split: Split::default(),
            last_template: 0,
            waiting: Vec::new(),
            table,
        }
    }

    /// No further line goes in.
    pub(super) fn is_full(&self) -> bool {
        self.is_full_with(0, 0)
    }

    /// No further line would go in behind so many more.
    pub(super) fn is_full_with(&self, lines: usize, bytes: u64) -> bool {
        self.table.len() + lines >= ROWS_MAX || self.table.raw_bytes + bytes >= RAW_BYTES_MAX
    }

    /// The number of an origin in this block.
    pub(super) fn origin(&mut self, origin: &Arc<Origin>) -> u32 {
        if let Some(&known) = self.origins.get(origin) {
            return known;
        }
        let next = u32::try_from(self.table.origins.len()).unwrap_or(u32::MAX);
        self.table.origins.push(Arc::clone(origin));
        self.origins.insert(Arc::clone(origin), next);
        self.memory += 200;
        next
    }

    /// Takes a line.
    #[cfg(test)]
    pub(super) fn push(&mut self, line: &Line<'_>, origin: u32) {
        self.push_all(&[(*line, origin)]);
    }

    /// Takes lines with their origins: first all of them are taken apart, then their values go into
    /// the columns together, see `intern.rs`.
    pub(super) fn push_all(&mut self, lines: &[(Line<'_>, u32)]) {
        let mut split = std::mem::take(&mut self.split);
        for (of, (line, origin)) in (0u32..).zip(lines) {
            split.clear();
            let template = match self.shapes.apply(line, &mut split, &mut self.stamps) {
                Fit::Whole(template) => {
                    let pieces = line.spans.iter().map(|s| (s.start, s.end));
                    self.add_values(template, of, pieces);
                    template
                }
                fit => {
                    let template = self.learn(line, fit, &mut split);
                    self.add_values(template, of, split.values.iter().copied());
                    template
                }
            };
            self.push_codes(line, *origin, template);
        }
        self.take_values(|of| lines.get(of as usize).map_or(&[], |(line, _)| line.line));
        self.split = split;
    }

    /// Takes a row whose template is known, but for its values: these lie at `values` of what
    /// [`OpenBlock::take_values`] will be told.
    pub(super) fn push_row(
        &mut self,
        line: &Line<'_>,
        origin: u32,
        template: u32,
        values: &[(u32, u32)],
    ) {
        self.add_values(template, 0, values.iter().copied());
        self.push_codes(line, origin, template);
    }

    /// Hands the values of a line to the columns of its template, where they wait.
    fn add_values(&mut self, template: u32, line: u32, values: impl Iterator<Item = (u32, u32)>) {
        let columns = self.table.templates.get(template as usize);
        let columns = columns.map_or(&[][..], |t| &t.columns);
        for (&number, (start, end)) in columns.iter().zip(values) {
            let interner = match (number as usize).checked_sub(ANONYMOUS) {
                Some(variable) => &mut self.variables[variable],
                None => &mut self.named[number as usize],
            };
            if interner.wait(Value { line, start, end }) {
                self.waiting.push(number);
            }
        }
    }

    /// Takes the values that wait; `lines` tells the bytes of a line.
    pub(super) fn take_values<'a>(&mut self, lines: impl Fn(u32) -> &'a [u8]) {
        let table = &mut self.table;
        let mut probes = Vec::new();
        for number in self.waiting.drain(..) {
            let (column, interner) = match (number as usize).checked_sub(ANONYMOUS) {
                Some(v) => (&mut table.variables[v], &mut self.variables[v]),
                None => {
                    let n = number as usize;
                    (&mut table.named[n], &mut self.named[n])
                }
            };
            let (strings, bytes) = (column.strings.len(), column.strings.bytes.len());
            let taken = interner.take(column, &lines, &mut probes, self.key);
            self.memory += 4 * taken + 20 * (column.strings.len() - strings);
            self.memory += column.strings.bytes.len() - bytes;
        }
    }

    fn push_codes(&mut self, line: &Line<'_>, origin: u32, template: u32) {
        let table = &mut self.table;
        let rows = &mut table.rows;
        rows.times.push(line.time);
        rows.recvs.push(line.recv);
        rows.seqs.push(line.seq);
        rows.codes.severities.push(severity_code(line.severity));
        rows.codes.origins.push(origin);
        rows.codes.templates.push(template);
        table.raw_bytes += line.line.len() as u64;
        self.memory += 36;
    }

    /// The number of a template, learned if it is new; `None` when there are too many.
    pub(super) fn template(&mut self, text: &[u8]) -> Option<u32> {
        let last = self.table.templates.get(self.last_template);
        if last.is_some_and(|t| *t.text == *text) {
            return u32::try_from(self.last_template).ok();
        }
        let mut h = hash(self.key, text);
        while let Some(&known) = self.templates.get(&h) {
            if *self.table.templates[known as usize].text == *text {
                self.last_template = known as usize;
                return Some(known);
            }
            h = h.wrapping_add(1);
        }
        let next = self.table.templates.len();
        // One place is kept for the raw template.
        if next >= TEMPLATES_LEARNED_MAX - usize::from(*text != [VARIABLE]) {
            return None;
        }
        self.table.add_template(text)?;
        let columns = self.table.variables.len();
        self.memory += 2 * text.len() + 200 + (columns - self.variables.len()) * 250;
        self.variables.resize_with(columns, Interner::default);
        let next = u32::try_from(next).ok()?;
        self.templates.insert(h, next);
        Some(next)
    }

    /// Takes a line apart; the number of its template.
    fn learn(&mut self, line: &Line<'_>, fit: Fit, split: &mut Split) -> u32 {
        if self.split(line, fit, split).is_some()
            && let Some(template) = self.template(&split.text)
        {
            self.shapes.remember(line, split, template);
            return template;
        }
        split.raw(line.line);
        // The raw template is learned before the limit: see `template`.
        self.template(&split.text).unwrap_or(0)
    }

    /// Takes a line apart; `None`: it has to be kept whole.
    fn split(&mut self, line: &Line<'_>, fit: Fit, split: &mut Split) -> Option<()> {
        let (start, end) = line.time_span;
        let at = match fit {
            Fit::Until(at) => at,
            _ => self.split_spans(line, split)?,
        };
        if start < end && start >= at {
            self.split_stamp(line, at, split)?;
        }
        split.free(line.line, line.line.len())
    }

    /// Takes a line apart up to the end of its last piece, which it answers.
    fn split_spans(&mut self, line: &Line<'_>, split: &mut Split) -> Option<usize> {
        let bytes = line.line;
        let (stamp_start, stamp_end) = line.time_span;
        let mut stamp_due = stamp_start < stamp_end;
        let mut seen = 0u64;
        let mut at = 0;
        for (index, span) in line.spans.iter().enumerate() {
            let (start, end) = (span.start as usize, span.end as usize);
            if stamp_due && stamp_start < start {
                self.split_stamp(line, at, split)?;
                stamp_due = false;
                at = stamp_end;
            }
            if start < at || end <= start || end > bytes.len() {
                return None;
            }
            at = end;
            if let Some(column) = self.column_of(line, index, span, &mut seen) {
                split.free(bytes, start)?;
                split.named(column, start, end);
            }
        }
        // A stamp inside the pieces is none that this understands.
        if stamp_due && stamp_start < at {
            return None;
        }
        self.shapes.learn(line, split, &mut self.stamps);
        Some(at)
    }

    fn split_stamp(&mut self, line: &Line<'_>, at: usize, split: &mut Split) -> Option<()> {
        let (start, end) = line.time_span;
        if start < at || end > line.line.len() {
            return None;
        }
        split.free(line.line, start)?;
        if !split.stamp(line.line, start, end, line.time, &mut self.stamps)?
            && let Some(column) = self.column_named(STAMP_NAME.into(), 0, Kind::Plain)
        {
            split.named(column, start, end);
        }
        Some(())
    }

    /// The column of a span; `None` when there are too many.
    fn column_of(
        &mut self,
        line: &Line<'_>,
        index: usize,
        span: &Span,
        seen: &mut u64,
    ) -> Option<u8> {
        let Name::Known(field) = span.name else {
            return self.column_of_dynamic(line, index, span);
        };
        let bit = 1u64 << (field as u8 % 64);
        let again = *seen & bit != 0;
        *seen |= bit;
        if again {
            let earlier = earlier(&line.spans[..index], span.name);
            return self.column_named(field.as_str().into(), earlier, span.kind);
        }
        let column = self.known[field as usize][span.kind as usize];
        if column != UNKNOWN {
            return Some(column);
        }
        let column = self.column_named(field.as_str().into(), 0, span.kind)?;
        self.known[field as usize][span.kind as usize] = column;
        Some(column)
    }

    fn column_of_dynamic(&mut self, line: &Line<'_>, index: usize, span: &Span) -> Option<u8> {
        let Name::Dynamic(number) = span.name else {
            return None;
        };
        let name = line.names.get(usize::from(number))?;
        let earlier = earlier(&line.spans[..index], span.name);
        let name = match Field::from_name(name) {
            Some(_) => format!("{HIDDEN}{name}").into(),
            None => name.clone(),
        };
        self.column_named(name, earlier, span.kind)
    }

    /// A column by its name; `None` when there are too many.
    pub(super) fn column_named(&mut self, name: Box<str>, nth: usize, kind: Kind) -> Option<u8> {
        let nth = u8::try_from(nth).ok().filter(|&n| n <= NTH_MAX);
        let column = nth.map(|nth| ColumnName { name, nth, kind });
        if let Some(&known) = column.as_ref().and_then(|c| self.names.get(c)) {
            return Some(known);
        }
        let next = self.table.names.len();
        let Some(column) = column.filter(|_| next < NAMED_MAX) else {
            // A first piece of the name without a column leaves the columns undecided.
            self.table.overflow = true;
            return None;
        };
        let number = u8::try_from(next).ok()?;
        self.table.names.push(column.clone());
        self.table.named.push(Column::default());
        self.named.push(Interner::default());
        self.memory += 300 + column.name.len();
        self.names.insert(column, number);
        Some(number)
    }
}

/// How many of the pieces have that name; more than [`NTH_MAX`] is enough to know.
fn earlier(spans: &[Span], name: Name) -> usize {
    let same = spans.iter().filter(|s| s.name == name);
    same.take(usize::from(NTH_MAX) + 1).count()
}
