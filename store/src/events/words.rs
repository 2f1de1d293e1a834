//! Which words a block holds: a split-block Bloom filter in rows of one database page.
//!
//! Words are runs of ASCII letters, digits and `_`, at least two long, case folded; IPv4 addresses
//! are words as well. A filter row is a chunk of 32-byte blocks; a word's hash says which chunk,
//! which block, and one bit in each of its eight lanes.

use std::borrow::Cow;

use vigie_parsers::{Context, Kind, Record, Timestamp, formats};

use super::column::{Column, NUMBER, Strings, append_number, direct_number};
use super::hash::hash_folded;
use super::rebuild::StreamName;
use super::table::Table;
use super::template::{Template, is_word};

/// Blocks of one filter row: with SQLite's own bytes it fills two pages of 4 KiB.
const CHUNK_BLOCKS: usize = 253;
const BLOCK_BYTES: usize = 32;
/// Smaller numbers are left out where they are codes of a column of many: in a block of 65,536 lines
/// most are there by chance, and looking through numbers is cheap.
const NUMBERS_LEFT_OUT: u32 = 1_000_000;
/// About 1 % of the words that are not there seem to be.
const BITS_PER_WORD: usize = 10;
/// Longer words are known by their beginning.
const WORD_BYTES_MAX: usize = 64;
const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// Whether a word may be in a block though its filter does not hold it: as a number.
pub(super) fn is_left_out(word: &[u8]) -> bool {
    direct_number(word).is_some_and(|n| n < NUMBERS_LEFT_OUT)
}

/// The hash of a word under the store's key.
pub(super) fn word_hash(key: u64, word: &[u8]) -> u64 {
    hash_folded(key, &word[..word.len().min(WORD_BYTES_MAX)])
}

/// Calls `each` with the place of every word of a text.
pub(super) fn each_word(text: &[u8], mut each: impl FnMut(usize, usize)) {
    // The starts of the last three short runs of digits that a single dot joins.
    let mut dotted = [0usize; 3];
    let mut joined = 0;
    let mut at = 0;
    while at < text.len() {
        if !is_word(text[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < text.len() && is_word(text[at]) {
            at += 1;
        }
        let word = &text[start..at];
        if word.len() > 1 {
            each(start, at);
        }
        let short = word.len() <= 3 && word.iter().all(u8::is_ascii_digit);
        let follows = short
            && joined > 0
            && start >= 2
            && text[start - 1] == b'.'
            && is_word(text[start - 2]);
        if follows && joined == 3 {
            each(dotted[0], at);
        }
        if !short {
            joined = 0;
            continue;
        }
        if !follows {
            joined = 0;
        }
        if joined == 3 {
            dotted.rotate_left(1);
            dotted[2] = start;
        } else {
            dotted[joined] = start;
            joined += 1;
        }
    }
}

/// Hashes of words, most of them once.
struct Words {
    hashes: Vec<u64>,
    /// The last hash of each place: what comes often is taken once or a few times.
    recent: Vec<u64>,
    /// Places of hashes, for an estimate of how many distinct ones there are.
    marks: Vec<u64>,
}

/// Recent hashes: 32 KiB, so that they stay in the cache.
const RECENT: usize = 1 << 12;
/// Bits of marks: the estimate is good to some millions of words.
const MARKS: usize = 1 << 20;

impl Words {
    fn new() -> Self {
        let mut recent = vec![0; RECENT];
        // The hash 0 belongs there, and this one does not.
        recent[0] = u64::MAX;
        Self {
            hashes: Vec::new(),
            recent,
            marks: vec![0; MARKS / 64],
        }
    }

    fn add(&mut self, h: u64) {
        let recent = &mut self.recent[scale(h & 0xFFFF, RECENT)];
        if *recent != h {
            *recent = h;
            let mark = scale20(h);
            self.marks[mark / 64] |= 1 << (mark % 64);
            self.hashes.push(h);
        }
    }

    /// About how many distinct words there are: linear counting.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of a count far below 2^52"
    )]
    fn distinct(&self) -> usize {
        let free: u32 = self.marks.iter().map(|m| m.count_zeros()).sum();
        let share = f64::from(free.max(1)) / MARKS as f64;
        let estimate = -(MARKS as f64) * share.ln();
        (estimate.ceil() as usize).clamp(1, self.hashes.len().max(1))
    }
}

/// 20 bits of a hash that no other place uses.
fn scale20(h: u64) -> usize {
    usize::try_from(h >> 16 & 0xF_FFFF).unwrap_or(0)
}

/// All words of a table's lines outside their time stamps, of decoded values and of origins.
fn collect(table: &Table, key: u64, place: &StreamName, is_few: impl Fn(usize) -> bool) -> Words {
    let mut words = Words::new();
    let mut add = |text: &[u8]| {
        each_word(text, |start, end| {
            words.add(word_hash(key, &text[start..end]));
        });
    };
    add(place.source.as_bytes());
    for template in &table.templates {
        template.texts().for_each(&mut add);
    }
    for origin in &table.origins {
        origin
            .fields
            .iter()
            .for_each(|(_, value)| add(value.as_bytes()));
    }
    for (index, (column, name)) in table.named.iter().zip(&table.names).enumerate() {
        let all = name.kind != Kind::Plain || is_few(index);
        each_value(column, all, |value| {
            add(value);
            if name.kind != Kind::Plain
                && let Cow::Owned(decoded) = name.kind.decode(value)
            {
                add(&decoded);
            }
        });
    }
    for (index, column) in (table.named.len()..).zip(&table.variables) {
        each_value(column, is_few(index), &mut add);
    }
    glued_lines(table, &mut add);
    whole_lines(table, &place.format, &mut add);
    words
}

/// Fields that are in no column: of lines that were kept whole, or that found none.
fn whole_lines(table: &Table, format: &str, add: &mut impl FnMut(&[u8])) {
    let whole = table.templates.iter().any(Template::is_raw) && format != "raw";
    let Some(format) = formats::find(format).filter(|_| whole || table.overflow) else {
        return;
    };
    let mut context = Context::new(Timestamp(0), jiff::tz::TimeZone::UTC);
    let mut record = Record::default();
    let mut line = Vec::new();
    let mut walk = super::rebuild::Walk::new(table);
    for &template in &table.rows.codes.templates {
        let wanted = table.overflow || table.templates[template as usize].is_raw();
        walk.next(wanted.then_some(&mut line), true);
        if !wanted {
            continue;
        }
        record.clear();
        if format.parse(&mut context, &line, &mut record) {
            for span in &record.fields {
                add(span.text(&line));
                add(&span.value(&line));
            }
            let stamp = record.time_span.start as usize..record.time_span.end as usize;
            add(line.get(..stamp.start).unwrap_or_default());
            add(line.get(stamp.end..).unwrap_or_default());
        }
    }
}

/// Calls `each` with the distinct strings of a column and its numbers, `all` or the large ones.
fn each_value(column: &Column, all: bool, mut each: impl FnMut(&[u8])) {
    column.strings.iter().for_each(&mut each);
    let mut text = Vec::new();
    let mut last = 0;
    let least = NUMBER | if all { 0 } else { NUMBERS_LEFT_OUT };
    for &code in column.codes.iter().filter(|c| **c >= least) {
        if code != last {
            text.clear();
            append_number(code & !NUMBER, &mut text);
            each(&text);
            last = code;
        }
    }
}

/// Words that reach over the border of a slot are found in the whole line only.
fn glued_lines(table: &Table, add: &mut impl FnMut(&[u8])) {
    if !table.templates.iter().any(|t| t.glued) {
        return;
    }
    let mut walk = super::rebuild::Walk::new(table);
    let mut line = Vec::new();
    for row in 0..table.len() {
        let glued = table.templates[table.rows.codes.templates[row] as usize].glued;
        walk.next(glued.then_some(&mut line), false);
        if glued {
            add(&line);
        }
    }
}

/// The rows of a table's filter. `is_few` says of which columns all numbers are words.
pub(super) fn filter(
    table: &Table,
    key: u64,
    place: &StreamName,
    is_few: impl Fn(usize) -> bool,
) -> Vec<Vec<u8>> {
    let words = collect(table, key, place, is_few);
    let blocks = (words.distinct() * BITS_PER_WORD)
        .div_ceil(BLOCK_BYTES * 8)
        .max(1);
    // Beyond the first, rows fill their pages: more or less than wanted, but nothing stays unused.
    let chunks = ((blocks + CHUNK_BLOCKS / 2) / CHUNK_BLOCKS).max(1);
    let per_chunk = match chunks {
        1 => blocks.min(CHUNK_BLOCKS),
        _ => CHUNK_BLOCKS,
    };
    let mut lanes = vec![[0u32; SALTS.len()]; chunks * per_chunk];
    for &h in &words.hashes {
        let block = chunk_of(h, chunks) * per_chunk + block_of(h, per_chunk);
        let low = low(h);
        for (lane, salt) in lanes[block].iter_mut().zip(SALTS) {
            *lane |= 1 << (low.wrapping_mul(salt) >> 27);
        }
    }
    let row = |row: &[[u32; SALTS.len()]]| {
        let lanes = row.as_flattened().iter();
        let mut row: Vec<u8> = lanes.flat_map(|l| l.to_le_bytes()).collect();
        let crc = crc32c::crc32c(&row);
        row.extend_from_slice(&crc.to_le_bytes());
        row
    };
    lanes.chunks(per_chunk).map(row).collect()
}

/// The filter row to ask for a word, of `chunks`.
pub(super) fn chunk_of(h: u64, chunks: usize) -> usize {
    scale(h >> 48, chunks)
}

fn block_of(h: u64, blocks: usize) -> usize {
    scale(h >> 32 & 0xFFFF, blocks)
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn low(h: u64) -> u32 {
    h as u32
}

/// 16 bits onto `0..n`.
fn scale(bits: u64, n: usize) -> usize {
    // Both factors are small: filters have at most some hundred rows and blocks.
    usize::try_from((bits * n as u64) >> 16).unwrap_or(0)
}

fn bits(h: u64) -> impl Iterator<Item = (usize, usize)> {
    let low = low(h);
    SALTS
        .iter()
        .enumerate()
        .map(move |(lane, salt)| (lane, (low.wrapping_mul(*salt) >> 27) as usize))
}

/// The blocks of a filter row, whose CRC-32C follows them; `None` if it is damaged. Rows of blocks of
/// version 2 have no sum.
fn blocks_of(row: &[u8]) -> Option<&[u8]> {
    if row.len().is_multiple_of(BLOCK_BYTES) {
        return Some(row);
    }
    let (blocks, crc) = row.split_last_chunk::<4>()?;
    let whole = crc32c::crc32c(blocks) == u32::from_le_bytes(*crc);
    (whole && blocks.len().is_multiple_of(BLOCK_BYTES)).then_some(blocks)
}

/// Whether a filter row is as it was written, as far as that can be told.
pub(super) fn is_whole_row(row: &[u8]) -> bool {
    blocks_of(row).is_some_and(|blocks| !blocks.is_empty())
}

/// Whether a filter row may hold the word of that hash: a damaged one may hold all.
pub(super) fn may_hold(row: &[u8], h: u64) -> bool {
    let Some(row) = blocks_of(row) else {
        return true;
    };
    let block = block_of(h, row.len() / BLOCK_BYTES) * BLOCK_BYTES;
    bits(h).all(|(lane, bit)| {
        row.get(block + lane * 4 + bit / 8)
            .is_none_or(|byte| byte & 1 << (bit % 8) != 0)
    })
}

/// The class of `0`; those of the other digits follow.
const DIGITS: usize = 26;

const MASK_BITS: [u8; 256] = {
    let mut bits = [0; 256];
    let mut i = 0usize;
    while i < 256 {
        bits[i] = match i.to_le_bytes()[0] {
            c @ b'a'..=b'z' => c - b'a',
            c @ b'A'..=b'Z' => c - b'A',
            c @ b'0'..=b'9' => 26 + c - b'0',
            0x80.. => 63,
            c => 36 + c % 27,
        };
        i += 1;
    }
    bits
};

/// Which bytes occur, letters without case: a text can only lie where all its bits are set.
pub(super) fn byte_mask(text: &[u8]) -> u64 {
    text.iter()
        .fold(0, |mask, &b| mask | 1 << MASK_BITS[usize::from(b)])
}

/// Which pairs of neighbouring bytes occur in the strings of a column, by the same classes: a text
/// that has another pair is in none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pairs(Box<[u64; 64]>);

/// Bytes of [`Pairs`].
pub(super) const PAIRS_BYTES: usize = 64 * 8;
/// Columns with fewer bytes of strings have none: they are sooner searched.
const PAIRS_MIN: usize = 4096;

fn class(byte: u8) -> usize {
    usize::from(MASK_BITS[usize::from(byte)])
}

/// What occurs in the strings of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// Which bytes, see [`byte_mask`].
    pub mask: u64,
    /// Digits in a row at most; the largest number stands for all above.
    pub digits: u8,
    /// Where that is worth it.
    pub pairs: Option<Pairs>,
}

impl Profile {
    /// Goes through the strings once.
    pub(super) fn of(strings: &Strings) -> Self {
        let mut pairs = Box::new([0u64; 64]);
        let (mut mask, mut digits) = (0u64, 0u32);
        for text in strings.iter() {
            let Some((&first, rest)) = text.split_first() else {
                continue;
            };
            let mut before = class(first);
            let mut run = u32::from(is_digit(before));
            mask |= 1 << before;
            for &byte in rest {
                digits = digits.max(run);
                let class = class(byte);
                pairs[before] |= 1 << class;
                run = (run + 1) * u32::from(is_digit(class));
                before = class;
            }
            digits = digits.max(run);
        }
        let seconds = pairs.iter().fold(0, |all, row| all | row);
        let mask = mask | seconds;
        let others = !byte_mask(b"0123456789abcdef-.");
        // Of numbers and hexadecimal text all pairs occur.
        let worth = strings.bytes.len() >= PAIRS_MIN && mask & others != 0;
        Self {
            mask,
            digits: u8::try_from(digits).unwrap_or(u8::MAX),
            pairs: worth.then_some(Pairs(pairs)),
        }
    }
}

/// Digits in a row at most, as in a [`Profile`].
pub(super) fn digits_in_a_row(text: &[u8]) -> u8 {
    let runs = text.split(|b| !b.is_ascii_digit());
    let longest = runs.map(<[u8]>::len).max().unwrap_or(0);
    u8::try_from(longest).unwrap_or(u8::MAX)
}

fn is_digit(class: usize) -> bool {
    class.wrapping_sub(DIGITS) < 10
}

impl Pairs {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.0
            .iter()
            .for_each(|row| out.extend_from_slice(&row.to_le_bytes()));
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut pairs = [0; 64];
        let (rows, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        if rows.len() != pairs.len() {
            return None;
        }
        for (pair, row) in pairs.iter_mut().zip(rows) {
            *pair = u64::from_le_bytes(*row);
        }
        Some(Self(Box::new(pairs)))
    }

    /// Whether a text may be in a string.
    pub(super) fn allow(&self, text: &[u8]) -> bool {
        let has = |pair: &[u8]| self.0[class(pair[0])] & 1 << class(pair[1]) != 0;
        text.windows(2).all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut words = Vec::new();
        each_word(text.as_bytes(), |start, end| words.push(&text[start..end]));
        assert_eq!(words, expected, "{text}");
    }

    #[test]
    fn words_and_addresses() {
        check("a bc, d_e f", &["bc", "d_e"]);
        check("from 10.0.0.7:80", &["from", "10", "10.0.0.7", "80"]);
        check("1.2.3.4.5", &["1.2.3.4", "2.3.4.5"]);
        check("1.2..3.4 1.2.3", &[]);
        check("1.2.3.4567", &["4567"]);
        check("é10ü", &["10"]);
    }

    #[test]
    fn damaged_rows_may_hold_anything() {
        let mut row = vec![0; BLOCK_BYTES];
        let crc = crc32c::crc32c(&row);
        assert!(!may_hold(&row, 7));
        row.extend_from_slice(&crc.to_le_bytes());
        assert!(is_whole_row(&row) && !may_hold(&row, 7));
        for at in 0..row.len() {
            row[at] ^= 4;
            assert!(!is_whole_row(&row) && may_hold(&row, 7), "{at}");
            row[at] ^= 4;
        }
        assert!(!is_whole_row(&[]) && may_hold(&row[..9], 7));
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(word_hash(1, b"Failed_7"), word_hash(1, b"fAILED_7"));
        assert_ne!(word_hash(1, b"failed"), word_hash(2, b"failed"));
    }
}
