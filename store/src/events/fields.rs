//! The values of one field in a block, by columns: what filters are decided and groups counted on.

use std::borrow::Cow;

use foldhash::HashMap;
use vigie_parsers::{Field, Kind, Severity};
use vigie_query::log::{FieldKind, FieldName, LevelSet, Test, UNIT_FIELDS};

use super::Fault;
use super::column::{Column, NUMBER, Strings, append_number};
use super::rebuild::Block;
use super::table::{NO_SEVERITY, severity_of};
use super::template::Template;

/// Nothing is known of the row's fields: its line was kept whole.
pub(super) const UNKNOWN: u32 = u32::MAX;
/// The place of the absent value.
const ABSENT: u32 = 0;

/// A field of all rows of a block.
#[derive(Debug, Default)]
pub(super) struct FieldValues {
    /// Values, undone; the first stands for the absent one.
    values: Strings,
    /// The place of each row's value, or [`UNKNOWN`].
    pub codes: Vec<u32>,
    /// Some rows are unknown.
    pub unknown: bool,
    /// A value may be another number than its text says.
    pub loose_numbers: bool,
    /// By severity, where the field is the level.
    levels: Vec<(u32, Severity)>,
}

impl FieldValues {
    fn add(&mut self, value: &[u8]) -> u32 {
        self.values.push(value);
        u32::try_from(self.values.len() - 1).unwrap_or(UNKNOWN)
    }

    /// Takes values as they are; answers their places.
    fn extend(&mut self, strings: &Strings) -> Vec<u32> {
        let first = u32::try_from(self.values.len()).unwrap_or(UNKNOWN);
        let before = u32::try_from(self.values.bytes.len()).unwrap_or(UNKNOWN);
        self.values.bytes.extend_from_slice(&strings.bytes);
        // Blocks are far below 4 GiB.
        let ends = strings.ends.iter().map(|end| before.saturating_add(*end));
        self.values.ends.extend(ends);
        (first..).take(strings.len()).collect()
    }

    /// Number of places of values.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value at a place.
    pub(super) fn value(&self, code: u32) -> Option<&[u8]> {
        (code != ABSENT).then(|| self.values.get(code as usize))
    }

    /// Which values pass.
    pub(super) fn passing(&self, test: &Test) -> Vec<bool> {
        let mut passing: Vec<bool> = self.values.iter().map(|v| test.matches(v)).collect();
        passing[ABSENT as usize] = false;
        // A level in the text of a line without severity passes no test of levels.
        if let Test::Levels(set) = test {
            passing.fill(false);
            for &(code, severity) in &self.levels {
                passing[code as usize] = set.has(severity);
            }
        }
        passing
    }
}

/// Whether a test asks for levels somewhere inside.
fn has_levels(test: &Test) -> bool {
    match test {
        Test::Levels(_) => true,
        Test::Any(tests) => tests.iter().any(has_levels),
        _ => false,
    }
}

/// Whether a test compares numbers somewhere inside.
fn has_numbers(test: &Test) -> bool {
    match test {
        Test::Compare(..) | Test::Between(..) => true,
        Test::Any(tests) => tests.iter().any(has_numbers),
        _ => false,
    }
}

/// Whether `test` on `name` can be decided on the field's values at all.
pub(super) fn decidable(name: &FieldName, test: &Test) -> bool {
    let level = name.kind() == FieldKind::Level;
    let plain = matches!(test, Test::Levels(_)) && level;
    plain || !has_levels(test)
}

/// Whether the values say surely what `test` answers.
pub(super) fn is_sure(values: &FieldValues, test: &Test) -> bool {
    let misled = values.loose_numbers && has_numbers(test);
    !(values.unknown || misled)
}

/// The levels for which a test on `level` holds; `None` if it asks for more than levels.
pub(super) fn levels(test: &Test) -> LevelSet {
    LevelSet::of(|s| match test {
        Test::Levels(set) => set.has(s),
        other => has_levels(other) || other.matches(s.as_str().as_bytes()),
    })
}

/// The rows whose line was kept whole say nothing of their fields, but in a format without fields.
pub(super) fn is_unknown(block: &dyn Block, template: &Template) -> bool {
    template.is_raw() && *block.place().format != *"raw"
}

/// A field of a block, `None` where only the line itself can tell.
pub(super) fn read(block: &dyn Block, name: &FieldName) -> Result<Option<FieldValues>, Fault> {
    let mut values = FieldValues::default();
    values.add(b"");
    match name.kind() {
        FieldKind::Known(_) => columns(block, name.as_str(), &mut values)?,
        // The names of the vocabulary are found as such only.
        FieldKind::Other if Field::from_name(name.as_str()).is_none() => {
            columns(block, name.as_str(), &mut values)?;
        }
        FieldKind::Unit => first_of(block, &UNIT_FIELDS, &mut values)?,
        FieldKind::Level => level(block, &mut values)?,
        FieldKind::Source => constant(block, block.place().source.as_bytes(), &mut values),
        FieldKind::Format => constant(block, block.place().format.as_bytes(), &mut values),
        _ => return Ok(None),
    }
    Ok(Some(values))
}

/// The first of some fields that a row has.
fn first_of(block: &dyn Block, names: &[&str], values: &mut FieldValues) -> Result<(), Fault> {
    for (n, name) in names.iter().enumerate() {
        if n == 0 {
            columns(block, name, values)?;
            continue;
        }
        if !values.codes.contains(&ABSENT) {
            break;
        }
        let mut next = FieldValues::default();
        next.add(b"");
        columns(block, name, &mut next)?;
        let places = values.extend(&next.values);
        for (code, &other) in values.codes.iter_mut().zip(&next.codes) {
            *code = match other {
                _ if *code != ABSENT => continue,
                ABSENT | UNKNOWN => other,
                other => *places.get(other as usize).ok_or(Fault::Damaged)?,
            };
        }
        values.unknown |= next.unknown;
        values.loose_numbers |= next.loose_numbers;
    }
    Ok(())
}

fn constant(block: &dyn Block, value: &[u8], values: &mut FieldValues) {
    let code = values.add(value);
    values.codes = vec![code; block.rows().len()];
}

fn level(block: &dyn Block, values: &mut FieldValues) -> Result<(), Fault> {
    let rows = block.rows();
    if rows.severities.contains(&NO_SEVERITY) {
        columns(block, "level", values)?;
    } else {
        values.codes = vec![ABSENT; rows.len()];
    }
    let mut codes = [None; 16];
    for (code, &severity) in values.codes.iter_mut().zip(&rows.severities) {
        let Some(level) = severity_of(severity) else {
            continue;
        };
        let known = &mut codes[severity as usize & 15];
        *code = *known.get_or_insert_with(|| {
            values.values.push(level.as_str().as_bytes());
            let place = u32::try_from(values.values.len() - 1).unwrap_or(UNKNOWN);
            values.levels.push((place, level));
            place
        });
    }
    values.unknown = values.codes.contains(&UNKNOWN);
    Ok(())
}

/// One column of the field on its way to the rows.
struct Cursor<'a> {
    column: &'a Column,
    kind: Kind,
    next: usize,
    /// Places of the strings' values, made when they are met.
    strings: Vec<u32>,
    numbers: HashMap<u32, u32>,
    last: (u32, u32),
}

impl Cursor<'_> {
    fn next(&mut self, values: &mut FieldValues, scratch: &mut Vec<u8>) -> Option<u32> {
        let &code = self.column.codes.get(self.next)?;
        self.next += 1;
        self.place(code, values, scratch)
    }

    /// The place of a code's value.
    fn place(&mut self, code: u32, values: &mut FieldValues, scratch: &mut Vec<u8>) -> Option<u32> {
        if self.last.0 == code {
            return Some(self.last.1);
        }
        let known = if code & NUMBER == 0 {
            *self.strings.get(code as usize)?
        } else {
            self.numbers.get(&code).copied().unwrap_or(UNKNOWN)
        };
        let place = if known == UNKNOWN {
            let (value, loose) = self.value(code, scratch);
            values.loose_numbers |= loose;
            let place = values.add(&value);
            if code & NUMBER == 0 {
                self.strings[code as usize] = place;
            } else {
                self.numbers.insert(code, place);
            }
            place
        } else {
            known
        };
        self.last = (code, place);
        Some(place)
    }

    /// The value, and whether its text may mislead about the number.
    fn value<'v>(&'v self, code: u32, scratch: &'v mut Vec<u8>) -> (Cow<'v, [u8]>, bool) {
        scratch.clear();
        let text = if code & NUMBER == 0 {
            self.column.strings.get(code as usize)
        } else {
            append_number(code & !NUMBER, scratch);
            scratch
        };
        let scaled = matches!(self.kind, Kind::Millis | Kind::Micros | Kind::Nanos);
        let plain = || std::str::from_utf8(text).is_ok_and(|t| t.parse::<f64>().is_ok());
        let loose = scaled && code & NUMBER == 0 && !plain();
        (self.kind.decode(text), loose)
    }
}

fn whole_column(cursor: &mut Cursor<'_>, values: &mut FieldValues) -> Result<(), Fault> {
    let mut scratch = Vec::new();
    let mut codes = Vec::with_capacity(cursor.column.codes.len());
    for &code in &cursor.column.codes {
        let known = cursor.strings.get(code as usize).copied();
        let place = match known.filter(|&place| place != UNKNOWN) {
            Some(place) => place,
            None => cursor
                .place(code, values, &mut scratch)
                .ok_or(Fault::Damaged)?,
        };
        codes.push(place);
    }
    values.codes = codes;
    Ok(())
}

/// The column that alone holds a field, with a value of each row that is shown as it stands; `None` if
/// there is no such column.
pub(super) fn whole<'b>(
    block: &'b dyn Block,
    name: &FieldName,
) -> Result<Option<&'b Column>, Fault> {
    let known = matches!(name.kind(), FieldKind::Known(_));
    if !known && Field::from_name(name.as_str()).is_some() {
        return Ok(None);
    }
    let mut found = (0u32..).zip(block.names()).filter(|(number, column)| {
        *column.name == *name.as_str() && column.nth == 0 && block.values(*number) > 0
    });
    let (Some((number, column)), None) = (found.next(), found.next()) else {
        return Ok(None);
    };
    let each_row = block.values(number) == block.rows().len();
    let always = block
        .templates()
        .iter()
        .all(|t| t.columns.contains(&number));
    if !each_row || !always || !matches!(name.kind(), FieldKind::Known(_) | FieldKind::Other) {
        return Ok(None);
    }
    let data = block.column(number)?;
    let plain = match column.kind {
        Kind::Plain => true,
        Kind::Quoted | Kind::Json | Kind::SdParam => {
            memchr::memchr(b'\\', &data.strings.bytes).is_none()
        }
        Kind::Millis | Kind::Micros | Kind::Nanos => false,
    };
    Ok(plain.then_some(data))
}

/// The first piece of that name in the line, else the origin's.
fn columns(block: &dyn Block, name: &str, values: &mut FieldValues) -> Result<(), Fault> {
    let rows = block.rows();
    let mut cursors = Vec::new();
    // For each template, the cursor of the column that it fills.
    let mut fills: Vec<Option<usize>> = vec![None; block.templates().len()];
    for (number, column) in (0u32..).zip(block.names()) {
        if *column.name != *name || column.nth != 0 || block.values(number) == 0 {
            continue;
        }
        for (fill, template) in fills.iter_mut().zip(block.templates()) {
            if template.columns.contains(&number) {
                *fill = Some(cursors.len());
            }
        }
        let data = block.column(number)?;
        // Without an escape quoted values are as they stand in the line.
        let kind = match column.kind {
            Kind::Quoted | Kind::Json | Kind::SdParam
                if memchr::memchr(b'\\', &data.strings.bytes).is_none() =>
            {
                Kind::Plain
            }
            kind => kind,
        };
        let strings = match kind {
            Kind::Plain => values.extend(&data.strings),
            _ => vec![UNKNOWN; data.strings.len()],
        };
        cursors.push(Cursor {
            column: data,
            kind,
            next: 0,
            strings,
            numbers: HashMap::default(),
            last: (UNKNOWN, UNKNOWN),
        });
    }
    // One column with a value of each row: no row has to be looked at.
    if let [cursor] = &mut cursors[..]
        && fills.iter().all(Option::is_some)
        && cursor.column.codes.len() == rows.len()
    {
        return whole_column(cursor, values);
    }
    let of_origin = |o: &std::sync::Arc<vigie_parsers::Origin>| {
        let found = o.fields.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.as_bytes().to_vec())
    };
    let origins: Vec<u32> = block
        .origins()
        .iter()
        .map(|o| of_origin(o).map_or(ABSENT, |v| values.add(&v)))
        .collect();
    let unknown: Vec<bool> = block
        .templates()
        .iter()
        .map(|t| is_unknown(block, t))
        .collect();
    values.codes.reserve(rows.templates.len());
    let mut scratch = Vec::new();
    for (&template, &origin) in rows.templates.iter().zip(&rows.origins) {
        let template = template as usize;
        let code = match fills[template] {
            Some(cursor) => cursors[cursor]
                .next(values, &mut scratch)
                .ok_or(Fault::Damaged)?,
            None if unknown[template] || block.overflow() => {
                values.unknown = true;
                UNKNOWN
            }
            None => origins[origin as usize],
        };
        values.codes.push(code);
    }
    Ok(())
}
