//! What is known of a block without opening it, and what a filter can conclude from it.
//!
//! Bytes: flags, the origins' fields, then each column that holds the first piece of its name: its
//! few values, or the range of its numbers, or nothing.

use std::net::IpAddr;

use vigie_parsers::{Field, Kind};
use vigie_query::log::{FieldKind, FieldName, Filter, Test, TextPattern, UNIT_FIELDS};

use super::codec::{Bytes, put_bytes, put_uint};
use super::column::{Column, NUMBER, append_number};
use super::rebuild::StreamName;
use super::table::{NO_SEVERITY, Table, severity_of};
use super::{fields, words};

/// Values of a column that are listed at most…
const VALUES_MAX: usize = 32;
/// … and their bytes.
const VALUES_BYTES_MAX: usize = 1024;
/// Origins whose fields are listed.
const ORIGINS_MAX: usize = 8;
/// More listed values than this were not written by us.
const COUNT_MAX: usize = 1 << 16;

const OPAQUE: u8 = 1;
const MANY_ORIGINS: u8 = 2;
/// A CRC-32C of all before follows: so it does since version 3 of the blocks.
const SUMMED: u8 = 0x80;

const NOTHING: u8 = 0;
const VALUES: u8 = 1;
const NUMBERS: u8 = 2;

/// The summary of a table.
pub(super) fn write(table: &Table, format: &str) -> Vec<u8> {
    let raw = |t: &super::template::Template| t.is_raw() && format != "raw";
    let opaque = table.overflow || table.templates.iter().any(raw);
    let many = table.origins.len() > ORIGINS_MAX;
    let mut out = vec![SUMMED | (u8::from(opaque) * OPAQUE) | (u8::from(many) * MANY_ORIGINS)];
    let fields = table
        .origins
        .iter()
        .take(ORIGINS_MAX)
        .flat_map(|o| &o.fields);
    put_uint(&mut out, fields.clone().count() as u64);
    for (name, value) in fields {
        put_bytes(&mut out, name.as_bytes());
        put_bytes(&mut out, value.as_bytes());
    }
    for (name, column) in table.names.iter().zip(&table.named) {
        if name.nth == 0 && !name.name.starts_with(['\u{1}', '\u{2}']) {
            put_bytes(&mut out, name.name.as_bytes());
            write_column(column, name.kind, &mut out);
        }
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// What stands before the sum; `None` if that is wrong.
fn without_sum(data: &[u8]) -> Option<&[u8]> {
    if data.first()? & SUMMED == 0 {
        return Some(data);
    }
    let (body, crc) = data.split_last_chunk::<4>()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}

/// Whether a summary is as it was written, as far as that can be told.
pub(super) fn is_whole(data: &[u8]) -> bool {
    without_sum(data).is_some()
}

fn write_column(column: &Column, kind: Kind, out: &mut Vec<u8>) {
    let numbers = || {
        column
            .codes
            .iter()
            .filter(|c| *c & NUMBER != 0)
            .map(|c| c & !NUMBER)
    };
    if let Some(values) = few_values(column, kind) {
        out.push(VALUES);
        put_uint(out, values.len() as u64);
        values.iter().for_each(|v| put_bytes(out, v));
    } else if column.strings.len() == 0
        && kind == Kind::Plain
        && let (Some(low), Some(high)) = (numbers().min(), numbers().max())
    {
        out.push(NUMBERS);
        put_uint(out, u64::from(low));
        put_uint(out, u64::from(high));
    } else {
        out.push(NOTHING);
    }
}

/// The distinct values of a column, undone, if they are few. Texts of rescaled numbers that are none
/// can mislead, so such columns have no list.
fn few_values(column: &Column, kind: Kind) -> Option<Vec<Vec<u8>>> {
    let scaled = matches!(kind, Kind::Millis | Kind::Micros | Kind::Nanos);
    if column.strings.len() > VALUES_MAX || (scaled && column.strings.len() > 0) {
        return None;
    }
    let mut codes: Vec<u32> = Vec::new();
    for &code in &column.codes {
        if code & NUMBER != 0 && !codes.contains(&code) {
            codes.push(code);
            if codes.len() > VALUES_MAX {
                return None;
            }
        }
    }
    let mut text = Vec::new();
    let numbers = codes.into_iter().map(|code| {
        text.clear();
        append_number(code & !NUMBER, &mut text);
        kind.decode(&text).into_owned()
    });
    let strings = column.strings.iter().map(|s| kind.decode(s).into_owned());
    let values: Vec<Vec<u8>> = strings.chain(numbers).collect();
    let bytes: usize = values.iter().map(Vec::len).sum();
    (values.len() <= VALUES_MAX && bytes <= VALUES_BYTES_MAX).then_some(values)
}

/// A block's summary, read for one question.
pub(super) struct Summary<'a> {
    pub data: &'a [u8],
    pub severities: u32,
    pub place: &'a StreamName,
}

/// What a list says of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    No,
    May,
}

impl Summary<'_> {
    /// Whether an event of the block may pass, as far as the summary tells.
    pub(super) fn may_match(&self, filter: &Filter) -> bool {
        match filter {
            Filter::And(all) => all.iter().all(|f| self.may_match(f)),
            Filter::Or(any) => any.iter().any(|f| self.may_match(f)),
            Filter::Field { name, test } => self.may_hold(name, test),
            Filter::All | Filter::Not(_) | Filter::Text(_) | Filter::TextRegex(_) => true,
        }
    }

    fn may_hold(&self, name: &FieldName, test: &Test) -> bool {
        if !fields::decidable(name, test) {
            return true;
        }
        match name.kind() {
            FieldKind::Source => test.matches(self.place.source.as_bytes()),
            FieldKind::Format => test.matches(self.place.format.as_bytes()),
            FieldKind::Level => {
                let levels = fields::levels(test);
                let none = self.severities & 1 << NO_SEVERITY != 0;
                none || (0..NO_SEVERITY)
                    .filter(|s| self.severities & 1 << s != 0)
                    .filter_map(severity_of)
                    .any(|s| levels.has(s))
            }
            FieldKind::Known(_) => self.columns(name.as_str(), test) != Some(Verdict::No),
            FieldKind::Unit => UNIT_FIELDS
                .iter()
                .any(|name| self.columns(name, test) != Some(Verdict::No)),
            FieldKind::Other if Field::from_name(name.as_str()).is_none() => {
                self.columns(name.as_str(), test) != Some(Verdict::No)
            }
            _ => true,
        }
    }

    /// `None` if the summary is not to be read.
    fn columns(&self, wanted: &str, test: &Test) -> Option<Verdict> {
        let mut bytes = Bytes(without_sum(self.data)?);
        let flags = bytes.byte()? & !SUMMED;
        if flags != 0 {
            return Some(Verdict::May);
        }
        let mut verdict = Verdict::No;
        for _ in 0..bytes.count(COUNT_MAX)? {
            let (name, value) = (bytes.bytes()?, bytes.bytes()?);
            if name == wanted.as_bytes() && test.matches(value) {
                verdict = Verdict::May;
            }
        }
        while !bytes.is_empty() {
            let ours = bytes.bytes()? == wanted.as_bytes();
            match bytes.byte()? {
                VALUES => {
                    for _ in 0..bytes.count(COUNT_MAX)? {
                        let value = bytes.bytes()?;
                        if ours && test.matches(value) {
                            verdict = Verdict::May;
                        }
                    }
                }
                NUMBERS => {
                    let (low, high) = (bytes.u32()?, bytes.u32()?);
                    if ours && may_be_between(test, low, high) {
                        verdict = Verdict::May;
                    }
                }
                NOTHING if ours => verdict = Verdict::May,
                NOTHING => {}
                _ => return None,
            }
        }
        Some(verdict)
    }
}

/// Whether a whole number of `low..=high` may pass.
fn may_be_between(test: &Test, low: u32, high: u32) -> bool {
    use vigie_query::log::Compare;
    let (low, high) = (f64::from(low), f64::from(high));
    match test {
        Test::Compare(Compare::Less, n) => low < *n,
        Test::Compare(Compare::LessOrEqual, n) => low <= *n,
        Test::Compare(Compare::Greater, n) => high > *n,
        Test::Compare(Compare::GreaterOrEqual, n) => high >= *n,
        Test::Between(from, to) => low <= *to && high >= *from,
        Test::Any(tests) => {
            let (low, high) = (as_u32(low), as_u32(high));
            tests.iter().any(|t| may_be_between(t, low, high))
        }
        _ => true,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "was an u32 just now"
)]
fn as_u32(n: f64) -> u32 {
    n as u32
}

/// Whether a block's words allow a match. `holds` asks its filter for a word's hash.
pub(super) fn words_allow<E>(
    filter: &Filter,
    key: u64,
    holds: &mut impl FnMut(u64) -> Result<bool, E>,
) -> Result<bool, E> {
    match filter {
        Filter::And(all) => {
            for filter in all {
                if !words_allow(filter, key, holds)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Filter::Or(any) => {
            for filter in any {
                if words_allow(filter, key, holds)? {
                    return Ok(true);
                }
            }
            Ok(any.is_empty())
        }
        Filter::Text(pattern) => pattern_allowed(pattern, key, holds),
        Filter::Field { name, test } => {
            let of_line = matches!(
                name.kind(),
                FieldKind::Unit | FieldKind::Known(_) | FieldKind::Other
            );
            match test {
                Test::Text(pattern) if of_line => pattern_allowed(pattern, key, holds),
                Test::Exact(exact) if of_line && exact.number().is_none() => {
                    let ends = (exact.open_start(), exact.open_end());
                    let text = exact.text().as_bytes();
                    match exact.address() {
                        None => part_allowed(text, ends, key, holds),
                        // In IPv6's clothes it may be written in hexadecimal.
                        Some(IpAddr::V4(_)) => Ok(part_allowed(text, ends, key, holds)?
                            || holds(words::word_hash(key, b"ffff"))?),
                        Some(IpAddr::V6(_)) => Ok(true),
                    }
                }
                _ => Ok(true),
            }
        }
        Filter::All | Filter::Not(_) | Filter::TextRegex(_) => Ok(true),
    }
}

fn pattern_allowed<E>(
    pattern: &TextPattern,
    key: u64,
    holds: &mut impl FnMut(u64) -> Result<bool, E>,
) -> Result<bool, E> {
    let parts: Vec<&str> = pattern.needle().split(' ').collect();
    let last = parts.len().saturating_sub(1);
    for (index, part) in parts.into_iter().enumerate() {
        let ends = (
            index == 0 && pattern.open_start(),
            index == last && pattern.open_end(),
        );
        if !part_allowed(part.as_bytes(), ends, key, holds)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Asks for all words of a text that are whole: an open end may cut one.
fn part_allowed<E>(
    text: &[u8],
    (open_start, open_end): (bool, bool),
    key: u64,
    holds: &mut impl FnMut(u64) -> Result<bool, E>,
) -> Result<bool, E> {
    let mut hashes = Vec::new();
    words::each_word(text, |start, end| {
        let cut = (start == 0 && open_start) || (end == text.len() && open_end);
        if !cut && !words::is_left_out(&text[start..end]) {
            hashes.push(words::word_hash(key, &text[start..end]));
        }
    });
    for hash in hashes {
        if !holds(hash)? {
            return Ok(false);
        }
    }
    Ok(true)
}
