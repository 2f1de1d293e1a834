//! Which rows of a block may hold a text: sought in the strings, the numbers and the templates.

use vigie_parsers::Kind;
use vigie_query::log::TextPattern;

use super::column::{Column, NUMBER, append_number};
use super::rebuild::{Block, having};
use super::select::Selection;
use super::template::{ANONYMOUS, Part, Template, is_word};
use super::{Fault, fields, words};

/// Runs of a needle beside the longest one that are looked for as well…
const FURTHER_RUNS: usize = 3;
/// … if they are not shorter, for such ones are everywhere.
const FURTHER_RUN_BYTES: usize = 2;

/// A part of a needle: a run of ASCII word characters, which lies in one slot or one constant text
/// unless these are glued; or a run of any but blanks, which does where it cannot reach over a border.
#[derive(Clone, Copy)]
struct Run<'a> {
    text: &'a [u8],
    /// A word begins or ends with it.
    starts: bool,
    ends: bool,
}

impl Run<'_> {
    /// A whole word, of which the filter may say that it is nowhere.
    fn is_known(&self) -> bool {
        self.starts && self.ends && self.text.len() > 1 && self.is_word()
    }

    /// Nothing but a word's characters.
    fn is_word(&self) -> bool {
        self.text.iter().all(|&b| is_word(b))
    }

    /// Whether it may lie in more than one piece of a template's lines.
    fn spans(&self, template: &Template) -> bool {
        if self.is_word() {
            return template.glued;
        }
        let slot = |at: usize| matches!(template.parts.get(at), Some(Part::Column(_)));
        let mut before = false;
        for (at, part) in template.parts.iter().enumerate() {
            let behind = slot(at + 1);
            let found = match *part {
                // Two slots without text between them.
                Part::Column(_) => behind,
                Part::Text(start, end) => {
                    let text = template.text.get(start as usize..end as usize);
                    self.touches(text.unwrap_or_default(), before, behind)
                }
                // Text is not sought in time stamps.
                Part::Time(_) | Part::Millis => false,
            };
            if found {
                return true;
            }
            before = slot(at);
        }
        false
    }

    /// Whether it may begin in constant text and end in the slot behind it, or the other way round,
    /// or hold all of the text.
    fn touches(&self, text: &[u8], before: bool, behind: bool) -> bool {
        let n = self.text.len();
        let same = |a: Option<&[u8]>, b: &[u8]| a.is_some_and(|a| a.eq_ignore_ascii_case(b));
        let mut borders = 1..n;
        let begins =
            |k: usize| k <= text.len() && same(text.get(text.len() - k..), &self.text[..k]);
        let ends = |k: usize| same(text.get(..n - k), &self.text[k..]);
        (behind && borders.clone().any(begins))
            || (before && borders.any(ends))
            || (before
                && behind
                && n > text.len() + 1
                && self.text[1..n - 1]
                    .windows(text.len())
                    .any(|w| w.eq_ignore_ascii_case(text)))
    }
}

/// The parts of a needle between blanks that are more than words: few lines hold such a one.
fn parts(pattern: &TextPattern) -> impl Iterator<Item = Run<'_>> {
    let needle = pattern.needle();
    let words = needle.split(' ').enumerate();
    let last = needle.split(' ').count() - 1;
    let parts = words.map(move |(index, part)| {
        let text = part.as_bytes();
        let word = |b: Option<&u8>| b.is_some_and(|&b| is_word(b));
        Run {
            text,
            starts: word(text.first()) && !(index == 0 && pattern.open_start()),
            ends: word(text.last()) && !(index == last && pattern.open_end()),
        }
    });
    // Case and words outside ASCII are left to the line itself.
    parts.filter(|part| part.text.is_ascii() && !part.is_word())
}

/// The runs of a needle that decide, the longest first.
fn runs(pattern: &TextPattern) -> Vec<Run<'_>> {
    let needle = pattern.needle().as_bytes();
    let mut runs = Vec::new();
    let mut at = 0;
    for text in needle.split(|&b| !is_word(b)) {
        let end = at + text.len();
        if !text.is_empty() {
            // A neighbour outside ASCII may continue the word: that is left to the line itself.
            let bounded = |neighbour: Option<&u8>, open: bool| match neighbour {
                Some(byte) => byte.is_ascii(),
                None => !open,
            };
            runs.push(Run {
                text,
                starts: bounded(at.checked_sub(1).map(|i| &needle[i]), pattern.open_start()),
                ends: bounded(needle.get(end), pattern.open_end()),
            });
        }
        at = end + 1;
    }
    runs.sort_by_key(|run| std::cmp::Reverse(run.text.len()));
    let further = runs.iter().skip(1).take(FURTHER_RUNS);
    let further = further.filter(|r| r.text.len() >= FURTHER_RUN_BYTES);
    let n = 1 + further.count();
    runs.truncate(n);
    runs
}

/// Numbers are shown in another unit than the line's.
fn is_scaled(kind: Kind) -> bool {
    matches!(kind, Kind::Millis | Kind::Micros | Kind::Nanos)
}

/// A run of digits that is sought in numbers, without writing these down.
#[derive(Clone, Copy)]
struct Digits {
    value: u64,
    /// Ten to the power of their count.
    power: u64,
}

impl Digits {
    fn new(run: &[u8]) -> Option<Self> {
        let digits = run.iter().all(u8::is_ascii_digit) && run.len() <= 10;
        let value = digits.then(|| std::str::from_utf8(run).ok()?.parse().ok())??;
        let power = 10u64.pow(u32::try_from(run.len()).ok()?);
        Some(Self { value, power })
    }

    /// The only number that is written so.
    fn number(self) -> Option<u32> {
        u32::try_from(self.value).ok().filter(|&n| self.is(n))
    }

    /// The number is written so.
    fn is(self, number: u32) -> bool {
        let zeros = self.value < self.power / 10 && self.power > 10;
        u64::from(number) == self.value && !zeros
    }

    fn is_in(self, number: u32) -> bool {
        let mut rest = u64::from(number);
        loop {
            // Fewer digits than wanted lie below a tenth of the power; only 0 itself begins with 0.
            let enough = rest >= self.power / 10 || (number == 0 && self.power == 10);
            if enough && rest % self.power == self.value {
                return true;
            }
            rest /= 10;
            if rest == 0 || rest < self.power / 10 {
                return false;
            }
        }
    }
}

/// Searches one run of word characters in the pieces of a block.
struct Search<'a> {
    run: Run<'a>,
    finder: memchr::memmem::Finder<'a>,
    mask: u64,
    digits: bool,
    /// It may be part of a rescaled number.
    numeric: bool,
    number: Option<Digits>,
    /// It is in no string.
    only_numbers: bool,
    scratch: Vec<u8>,
}

impl Search<'_> {
    fn is_in(&mut self, text: &[u8]) -> bool {
        self.scratch.clear();
        self.scratch.extend(text.iter().map(u8::to_ascii_lowercase));
        self.finder.find(&self.scratch).is_some()
    }

    /// Whether what was found at a place of a piece does not go on where a word must end there.
    fn is_whole(&self, piece: &[u8], at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|i| piece.get(i));
        let behind = piece.get(at + self.run.text.len());
        let goes_on = |byte: Option<&u8>| byte.is_some_and(|&b| is_word(b));
        let cut = (self.run.starts && goes_on(before)) || (self.run.ends && goes_on(behind));
        !cut
    }

    /// Whether a column has to be read at all.
    fn may_be_in(&self, mask: u64, kind: Kind) -> bool {
        let escapes = match kind {
            Kind::Plain => false,
            Kind::Quoted | Kind::Json | Kind::SdParam => mask & words::byte_mask(b"\\") != 0,
            Kind::Millis | Kind::Micros | Kind::Nanos => self.numeric,
        };
        escapes || self.mask & !mask == 0
    }

    /// Which strings of a column hold it; `None` if none does and no number either.
    fn codes(&mut self, column: &Column, kind: Kind) -> Option<Vec<bool>> {
        let strings = &column.strings;
        let mut found = vec![false; strings.len()];
        let mut any = false;
        self.scratch.clear();
        self.scratch.extend_from_slice(&strings.bytes);
        if !self.digits {
            self.scratch.make_ascii_lowercase();
        }
        let mut from = 0;
        while let Some(at) = self.scratch.get(from..).and_then(|t| self.finder.find(t)) {
            let at = from + at;
            let index = strings.ends.partition_point(|&end| end as usize <= at);
            let end = strings.ends.get(index).map_or(0, |&e| e as usize);
            let start = index.checked_sub(1).map_or(0, |i| strings.ends[i] as usize);
            let piece = self.scratch.get(start..end).unwrap_or_default();
            if at + self.run.text.len() <= end && self.is_whole(piece, at - start) {
                found[index] = true;
                any = true;
                from = end;
            } else {
                from = at + 1;
            }
        }
        let escaped = kind != Kind::Plain && memchr::memchr(b'\\', &strings.bytes).is_some();
        if escaped || is_scaled(kind) {
            for (index, found) in found.iter_mut().enumerate().filter(|(_, f)| !**f) {
                if let std::borrow::Cow::Owned(value) = kind.decode(strings.get(index)) {
                    *found = self.is_in(&value);
                    any |= *found;
                }
            }
        }
        (any || self.may_be_number(u32::MAX, kind)).then_some(found)
    }

    /// Whether it may be in a number below `top`.
    fn may_be_number(&self, top: u32, kind: Kind) -> bool {
        match self.number {
            _ if top == 0 => false,
            _ if is_scaled(kind) => self.numeric,
            Some(digits) => digits.value < u64::from(top),
            None => false,
        }
    }

    /// Whether values of the column are shown as they stand in the line.
    fn is_plain(mask: u64, kind: Kind) -> bool {
        match kind {
            Kind::Plain => true,
            Kind::Quoted | Kind::Json | Kind::SdParam => mask & words::byte_mask(b"\\") == 0,
            Kind::Millis | Kind::Micros | Kind::Nanos => false,
        }
    }

    /// Whether it is in a number.
    fn is_in_number(&self, number: u32, kind: Kind, text: &mut Vec<u8>) -> bool {
        if !is_scaled(kind) {
            // Digits have no escapes.
            let whole = self.run.starts && self.run.ends;
            return self.number.is_some_and(|n| match whole {
                true => n.is(number),
                false => n.is_in(number),
            });
        }
        text.clear();
        append_number(number, text);
        self.finder.find(text).is_some()
            || match kind.decode(text) {
                std::borrow::Cow::Owned(value) => self.finder.find(&value).is_some(),
                std::borrow::Cow::Borrowed(_) => false,
            }
    }
}

/// The rows that may hold a text.
pub(super) fn text(block: &dyn Block, pattern: &TextPattern) -> Result<Selection, Fault> {
    let mut selection = Selection::all(block.rows().len(), false);
    for run in parts(pattern).chain(runs(pattern)) {
        selection = selection.and(holding(block, run)?);
        if selection.is_few() {
            break;
        }
    }
    Ok(selection)
}

/// The rows that may hold a run.
fn holding(block: &dyn Block, run: Run<'_>) -> Result<Selection, Fault> {
    let n = block.rows().len();
    let mut search = Search {
        run,
        finder: memchr::memmem::Finder::new(run.text),
        mask: words::byte_mask(run.text),
        digits: !run.text.iter().any(u8::is_ascii_alphabetic),
        numeric: run
            .text
            .iter()
            .all(|b| b.is_ascii_digit() || b"+-.".contains(b)),
        number: Digits::new(run.text),
        only_numbers: false,
        scratch: Vec::new(),
    };
    // Where the filter says that a word is in no text, only numbers are left.
    if run.is_known() && !block.may_hold(run.text)? {
        let mut bits = vec![0; n.div_ceil(64)];
        if search.number.is_some() {
            search.only_numbers = true;
            in_columns(block, &mut search, &mut bits)?;
        }
        return Ok(Selection::of(n, bits, false));
    }
    if search.is_in(block.place().source.as_bytes()) {
        return Ok(Selection::all(n, false));
    }
    let in_origin = |o: &std::sync::Arc<vigie_parsers::Origin>, s: &mut Search<'_>| {
        o.fields.iter().any(|(_, v)| s.is_in(v.as_bytes()))
    };
    let origins: Vec<bool> = block
        .origins()
        .iter()
        .map(|o| in_origin(o, &mut search))
        .collect();
    let templates: Vec<bool> = block
        .templates()
        .iter()
        .map(|t| run.spans(t) || fields::is_unknown(block, t) || t.texts().any(|x| search.is_in(x)))
        .collect();
    let rows = block.rows();
    let mut selection = if origins.contains(&true) || templates.contains(&true) {
        Selection::by(n, false, |row| {
            templates[rows.templates[row] as usize] || origins[rows.origins[row] as usize]
        })
    } else {
        Selection::none(n)
    };
    selection.sure = false;
    if let Some(bits) = &mut selection.bits {
        in_columns(block, &mut search, bits)?;
    }
    Ok(selection)
}

fn in_columns(block: &dyn Block, search: &mut Search<'_>, bits: &mut [u64]) -> Result<(), Fault> {
    let named = (0u32..).zip(block.names()).map(|(n, c)| (n, c.kind));
    let first = u32::try_from(ANONYMOUS).unwrap_or(0);
    let variables = (first..).take(block.variables()).map(|n| (n, Kind::Plain));
    let mut by_template: Option<Vec<Vec<u32>>> = None;
    let mut number_text = Vec::new();
    let owners = owners(block);
    for (number, kind) in named.chain(variables) {
        if block.values(number) == 0 || !search.may_be_in(block.mask(number), kind) {
            continue;
        }
        if search.only_numbers {
            let plain = search
                .number
                .and_then(Digits::number)
                .filter(|_| !is_scaled(kind));
            let lacking = match plain {
                Some(value) => block.lacks_number(number, value)?,
                None => !search.may_be_number(block.top(number), kind),
            };
            if lacking {
                continue;
            }
        }
        if Search::is_plain(block.mask(number), kind)
            && !search.may_be_number(block.top(number), kind)
            && block.lacks(number, &search.finder, !search.digits)?
        {
            continue;
        }
        let column = block.column(number)?;
        let found = match search.only_numbers {
            true => Some(Vec::new()),
            false => search.codes(column, kind),
        };
        let Some(found) = found else {
            continue;
        };
        let mut hit = |code: u32| match code & NUMBER {
            0 => found.get(code as usize).copied().unwrap_or(false),
            _ => search.is_in_number(code & !NUMBER, kind, &mut number_text),
        };
        let rows = &block.rows().templates;
        if number >= first {
            let by_template = by_template.get_or_insert_with(|| rows_by_template(block));
            let owner = owners.get((number - first) as usize).copied().unwrap_or(0);
            let places = by_template.get(owner).map_or(&[][..], |r| r);
            for (&row, &code) in places.iter().zip(&column.codes) {
                if hit(code) {
                    bits[row as usize / 64] |= 1 << (row % 64);
                }
            }
        } else {
            let has = having(block, number);
            let places = (0..rows.len()).filter(|&row| has[rows[row] as usize]);
            for (row, &code) in places.zip(&column.codes) {
                if hit(code) {
                    bits[row / 64] |= 1 << (row % 64);
                }
            }
        }
    }
    Ok(())
}

/// The template of each variable's column.
fn owners(block: &dyn Block) -> Vec<usize> {
    let mut owners = Vec::with_capacity(block.variables());
    for (index, template) in block.templates().iter().enumerate() {
        let variables = template
            .columns
            .iter()
            .filter(|c| **c as usize >= ANONYMOUS);
        owners.extend(variables.map(|_| index));
    }
    owners
}

fn rows_by_template(block: &dyn Block) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); block.templates().len()];
    for (row, &template) in (0u32..).zip(&block.rows().templates) {
        rows[template as usize].push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::Digits;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_found_as_in_text(number in 0u32..1 << 31, small in 0u32..2000, run in "[0-9]{1,3}") {
            let digits = Digits::new(run.as_bytes()).expect("digits");
            for n in [number, small] {
                prop_assert_eq!(digits.is_in(n), n.to_string().contains(&run), "{} in {}", run, n);
            }
        }
    }
}
