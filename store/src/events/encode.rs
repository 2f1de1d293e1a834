//! A full table into the segments of a sealed block.
//!
//! Segment 0 is the head: origins, names, templates, and for each column where its parts lie.
//! Segment 1 holds times, segment 2 severities, origins and template codes. The parts of columns
//! follow: small ones share a segment, strings apart from codes, so that a search reads no codes.
//!
//! A column's strings are the number of their bytes, their lengths as planes, then the bytes, or what
//! `packed.rs` makes of them. Its codes are planes: below the number of strings the place of a string,
//! above it a number less the smallest one.

use foldhash::HashSet;

use super::codec::{Packer, put_bytes, put_deltas, put_planes, put_runs, put_uint};
use super::column::{Column, NUMBER, Strings, append_number};
use super::packed;
use super::patterns::Derived;
use super::rebuild::StreamName;
use super::table::{Table, write_origin};
use super::words::{self, Pairs, Profile};

/// Raised when the bytes of blocks change.
pub(super) const BLOCK_VERSION: u8 = 5;
/// Blocks from this version on are read as well: 2 has no pairs of bytes, 3 no packed strings, 4 does
/// not say how many digits stand in a row.
pub(super) const BLOCK_VERSION_OLD: u8 = 2;
/// Blocks from this version on say of each column how many digits stand in a row.
pub(super) const DIGITS_SINCE: u8 = 5;
/// A block has fewer segments than this; a segment's row is `block * SEGMENTS_MAX + number`.
pub(super) const SEGMENTS_MAX: i64 = 4096;
/// Smaller parts share a segment…
const PART_ALONE_BYTES: usize = 64 << 10;
/// … of about this size.
const SHARED_BYTES: usize = 128 << 10;
/// Up to so many distinct values, numbers are strings as well: one byte a code.
const DISTINCT_FEW: usize = 256;

/// Receipts as they are…
pub(super) const ABSOLUTE: u8 = 0;
/// … or since the time of the event.
pub(super) const RELATIVE: u8 = 1;

/// A sealed block, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub rows: u64,
    pub raw_bytes: u64,
    pub disk_bytes: u64,
    pub first_time: i64,
    pub last_time: i64,
    pub first_seq: i64,
    pub last_seq: i64,
    /// Bit n: a row of severity n.
    pub severities: u32,
    pub segments: Vec<Vec<u8>>,
    pub filter: Vec<Vec<u8>>,
    pub summary: Vec<u8>,
    /// Rows of each minute and severity.
    pub counts: Vec<(i64, u32, u64)>,
    /// The same by pattern; nothing where a block takes the place of others.
    pub patterns: Derived,
}

/// Where a part of a column lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub segment: u32,
    pub offset: u32,
}

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// As codes.
    #[default]
    Codes,
    /// The strings are the values in their order: there are no codes.
    Plain,
    /// As codes, where 0 stands for the string after all that came before, and others are one more:
    /// what is new takes least. Since version 3.
    Fresh,
}

/// How a column is laid down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Number of values.
    pub values: u32,
    /// Number of strings.
    pub strings: u32,
    /// How the values are written.
    pub form: Form,
    /// The strings are packed. Since version 4.
    pub packed: bool,
    /// Added to codes above the strings.
    pub base: u32,
    /// Above the largest number that is none of the strings; 0 without numbers.
    pub top: u32,
    /// Which bytes occur, see [`words::byte_mask`].
    pub mask: u64,
    /// Digits in a row in a string at most, see [`Profile`]. Since version 5.
    pub digits: u8,
    pub strings_at: Place,
    pub codes_at: Place,
}

struct Segments {
    packer: Packer,
    done: Vec<Vec<u8>>,
    shared: [(usize, Vec<u8>); 3],
}

impl Segments {
    fn reserve(&mut self) -> usize {
        self.done.push(Vec::new());
        self.done.len() - 1
    }

    fn put(&mut self, raw: &[u8]) -> usize {
        let number = self.reserve();
        self.done[number] = self.packer.pack(raw);
        number
    }

    /// Lays a part down, in a shared segment of its class if it is small.
    fn part(&mut self, class: usize, part: &[u8]) -> Place {
        let place = |segment: usize, offset: usize| Place {
            segment: u32::try_from(segment).unwrap_or(u32::MAX),
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
        };
        if part.len() >= PART_ALONE_BYTES {
            return place(self.put(part), 0);
        }
        if self.shared[class].1.is_empty() {
            self.shared[class].0 = self.reserve();
        }
        let (number, raw) = &mut self.shared[class];
        let at = place(*number, raw.len());
        raw.extend_from_slice(part);
        if raw.len() >= SHARED_BYTES {
            self.flush(class);
        }
        at
    }

    fn flush(&mut self, class: usize) {
        let (number, raw) = &mut self.shared[class];
        if !raw.is_empty() {
            self.done[*number] = self.packer.pack(raw);
            raw.clear();
        }
    }
}

const STRINGS: usize = 0;
const CODES: usize = 1;
/// Packed strings are other bytes than text, and one table of zstd does not suit both.
const PACKED: usize = 2;
/// Set in the byte of the form where strings are packed.
const PACKED_BIT: u8 = 4;

/// Seals a table that is not empty. `key` is that of the word filters.
pub(super) fn seal(table: &Table, key: u64, place: &StreamName) -> Sealed {
    let packer = Packer::new();
    let mut segments = Segments {
        packer,
        done: Vec::new(),
        shared: Default::default(),
    };
    segments.reserve();
    segments.put(&times(table));
    segments.put(&codes(table));
    let columns = || table.named.iter().chain(&table.variables);
    let few: Vec<Option<Vec<u32>>> = columns().map(few_numbers).collect();
    let mut layouts = Vec::with_capacity(few.len());
    for (column, few) in columns().zip(&few) {
        layouts.push(lay_down(column, few.as_deref(), &mut segments));
    }
    segments.flush(STRINGS);
    segments.flush(CODES);
    segments.flush(PACKED);
    segments.done[0] = segments.packer.pack(&head(table, &layouts));
    let filter = words::filter(table, key, place, |index| {
        few.get(index).is_some_and(Option::is_some)
    });
    let mut sealed = measure(table);
    sealed.summary = super::summary::write(table, &place.format);
    let bytes = |parts: &[Vec<u8>]| -> usize { parts.iter().map(|p| occupied(p.len())).sum() };
    let disk = bytes(&segments.done) + bytes(&filter) + sealed.summary.len() + 128;
    sealed.disk_bytes = disk as u64;
    sealed.segments = segments.done;
    sealed.filter = filter;
    sealed
}

/// What a row of that size takes in the file, at worst: large ones have pages of their own.
fn occupied(len: usize) -> usize {
    const PAGE: usize = crate::file::PAGE_BYTES as usize;
    if len < PAGE / 4 {
        len + 64
    } else {
        (len + 64).next_multiple_of(PAGE)
    }
}

fn measure(table: &Table) -> Sealed {
    let rows = &table.rows;
    let severities = rows
        .codes
        .severities
        .iter()
        .fold(0, |set, s| set | 1 << (s & 15));
    Sealed {
        rows: rows.times.len() as u64,
        raw_bytes: table.raw_bytes,
        first_time: rows.times.iter().copied().min().unwrap_or(0),
        last_time: rows.times.iter().copied().max().unwrap_or(0),
        first_seq: rows.seqs.first().copied().unwrap_or(0),
        last_seq: rows.seqs.last().copied().unwrap_or(0),
        severities,
        counts: super::counts::of(rows),
        ..Sealed::default()
    }
}

/// Times, receipts, sequence numbers, each with its length: most readers want the first only.
fn times(table: &Table) -> Vec<u8> {
    let rows = &table.rows;
    let mut times = Vec::new();
    put_deltas(&mut times, rows.times.iter().copied());
    let mut absolute = vec![ABSOLUTE];
    put_deltas(&mut absolute, rows.recvs.iter().copied());
    let mut relative = vec![RELATIVE];
    let since = |(recv, time): (&i64, &i64)| recv.wrapping_sub(*time);
    put_deltas(&mut relative, rows.recvs.iter().zip(&rows.times).map(since));
    let recvs = match relative.len() < absolute.len() {
        true => relative,
        false => absolute,
    };
    let mut seqs = Vec::new();
    put_deltas(&mut seqs, rows.seqs.iter().copied());
    let mut out = Vec::new();
    for part in [times, recvs, seqs] {
        put_bytes(&mut out, &part);
    }
    out
}

fn codes(table: &Table) -> Vec<u8> {
    let mut out = Vec::new();
    put_runs(&mut out, &table.rows.codes.severities);
    put_runs(&mut out, &table.rows.codes.origins);
    put_planes(&mut out, &table.rows.codes.templates);
    out
}

fn head(table: &Table, layouts: &[(Layout, Option<Pairs>)]) -> Vec<u8> {
    let mut out = vec![BLOCK_VERSION, u8::from(table.overflow)];
    put_uint(&mut out, table.len() as u64);
    put_uint(&mut out, table.raw_bytes);
    put_uint(&mut out, table.origins.len() as u64);
    for origin in &table.origins {
        write_origin(origin, &mut out);
    }
    put_uint(&mut out, table.names.len() as u64);
    for name in &table.names {
        name.write(&mut out);
    }
    put_uint(&mut out, table.templates.len() as u64);
    for template in &table.templates {
        put_bytes(&mut out, &template.text);
    }
    for (layout, _) in layouts {
        layout.write(&mut out);
    }
    for (layout, pairs) in layouts {
        out.extend_from_slice(&[layout.digits, u8::from(pairs.is_some())]);
        pairs.iter().for_each(|p| p.write(&mut out));
    }
    out
}

impl Layout {
    /// Lays the strings down.
    fn put_strings<'a>(
        &mut self,
        strings: impl Iterator<Item = &'a [u8]> + Clone,
        segments: &mut Segments,
    ) {
        self.strings_at = match packed::pack(strings.clone()) {
            Some(part) => {
                self.packed = true;
                segments.part(PACKED, &part)
            }
            None => segments.part(STRINGS, &strings_part(strings)),
        };
    }

    fn write(&self, out: &mut Vec<u8>) {
        let form = match self.form {
            Form::Codes => 0,
            Form::Plain => 1,
            Form::Fresh => 2,
        };
        out.push(form | if self.packed { PACKED_BIT } else { 0 });
        let numbers = [self.values, self.strings, self.base, self.top];
        let places = [self.strings_at, self.codes_at];
        let places = places.iter().flat_map(|p| [p.segment, p.offset]);
        for number in numbers.into_iter().chain(places) {
            put_uint(out, u64::from(number));
        }
        put_uint(out, self.mask);
    }

    pub(super) fn read(bytes: &mut super::codec::Bytes<'_>) -> Option<Self> {
        let form = bytes.byte()?;
        Some(Self {
            packed: form & PACKED_BIT != 0,
            form: match form & !PACKED_BIT {
                0 => Form::Codes,
                1 => Form::Plain,
                2 => Form::Fresh,
                _ => return None,
            },
            values: bytes.u32()?,
            strings: bytes.u32()?,
            base: bytes.u32()?,
            top: bytes.u32()?,
            strings_at: Place {
                segment: bytes.u32()?,
                offset: bytes.u32()?,
            },
            codes_at: Place {
                segment: bytes.u32()?,
                offset: bytes.u32()?,
            },
            mask: bytes.uint()?,
            digits: u8::MAX,
        })
    }
}

fn lay_down(
    column: &Column,
    numbers: Option<&[u32]>,
    segments: &mut Segments,
) -> (Layout, Option<Pairs>) {
    let few;
    let column = match numbers {
        Some(numbers) if !numbers.is_empty() => {
            few = with_strings(column, numbers);
            &few
        }
        _ => column,
    };
    let profile = Profile::of(&column.strings);
    let mut layout = Layout {
        values: count(column.codes.len()),
        mask: profile.mask,
        digits: profile.digits,
        ..Layout::default()
    };
    let has_numbers = column.codes.iter().any(|c| c & NUMBER != 0);
    if has_numbers {
        layout.mask |= words::byte_mask(b"0123456789");
    }
    let distinct = column.strings.len();
    if !has_numbers && distinct > DISTINCT_FEW && distinct * 2 > column.codes.len() {
        layout.form = Form::Plain;
        layout.strings = layout.values;
        let in_order = column.codes.iter().map(|&c| column.strings.get(c as usize));
        layout.put_strings(in_order, segments);
        return (layout, profile.pairs);
    }
    layout.strings = count(distinct);
    if distinct > 0 {
        layout.put_strings(column.strings.iter(), segments);
    }
    let numbers = column.codes.iter().filter(|c| *c & NUMBER != 0);
    let numbers = numbers.map(|c| c & !NUMBER);
    layout.base = numbers.clone().min().unwrap_or(0);
    layout.top = numbers.max().map_or(0, |n| n + 1);
    let place = |&code: &u32| match code & NUMBER {
        0 => code,
        // Both are below 2^31 and 2^16: no overflow.
        _ => (code & !NUMBER) - layout.base + layout.strings,
    };
    let mut places: Vec<u32> = column.codes.iter().map(place).collect();
    if distinct > DISTINCT_FEW {
        layout.form = Form::Fresh;
        let mut next = 0;
        for place in &mut places {
            let fresh = *place == next && next < layout.strings;
            next += u32::from(fresh);
            *place = if fresh { 0 } else { *place + 1 };
        }
    }
    let mut out = Vec::new();
    put_planes(&mut out, &places);
    layout.codes_at = segments.part(CODES, &out);
    (layout, profile.pairs)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn strings_part<'a>(strings: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let lengths: Vec<u32> = strings.clone().map(|s| count(s.len())).collect();
    let mut out = Vec::new();
    put_uint(&mut out, lengths.iter().map(|&n| u64::from(n)).sum());
    put_planes(&mut out, &lengths);
    strings.for_each(|s| out.extend_from_slice(s));
    out
}

/// The distinct numbers of a column, if with its strings they are few.
fn few_numbers(column: &Column) -> Option<Vec<u32>> {
    let mut distinct = HashSet::default();
    let mut last = 0;
    for &code in column.codes.iter().filter(|c| *c & NUMBER != 0) {
        let new = code != last && distinct.insert(code);
        if new && distinct.len() + column.strings.len() > DISTINCT_FEW {
            return None;
        }
        last = code;
    }
    let mut numbers: Vec<u32> = distinct.into_iter().collect();
    numbers.sort_unstable();
    Some(numbers)
}

/// The column with its numbers as strings.
fn with_strings(column: &Column, numbers: &[u32]) -> Column {
    let mut strings: Strings = column.strings.clone();
    let first = strings.len();
    let mut text = Vec::new();
    for number in numbers {
        text.clear();
        append_number(number & !NUMBER, &mut text);
        strings.push(&text);
    }
    let code = |&code: &u32| match numbers.binary_search(&code) {
        Ok(at) => count(first + at),
        Err(_) => code,
    };
    let codes = column.codes.iter().map(code).collect();
    Column { strings, codes }
}
