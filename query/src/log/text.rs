//! Literal text with word borders, found case-blind without a copy of what is searched.
//!
//! Case is folded character by character, ASCII to ASCII and the rest to the rest: `K` (the Kelvin
//! sign) stays itself. So an ASCII needle never needs Unicode, and an ASCII filter over words prunes
//! exactly what this finds.

use std::borrow::Cow;

use memchr::memmem::Finder;

/// A gap of a phrase is at most this long: with no end, hostile lines of one punctuation mark would
/// make the search quadratic.
const MAX_GAP: usize = 64;

/// Literal text with word borders: it matches where neither neighbour continues a word, but on an
/// end that is open. Words are runs of letters, digits and `_`.
#[derive(Clone, Debug)]
pub struct TextPattern {
    needle: String,
    open_start: bool,
    open_end: bool,
    starts_in_word: bool,
    ends_in_word: bool,
    ascii: bool,
    numeric: bool,
    parts: Vec<Part>,
}

/// A piece of the needle without white space.
#[derive(Clone, Debug)]
struct Part {
    bytes: Box<[u8]>,
    search: Search,
}

/// How a part is found.
#[derive(Clone, Debug)]
enum Search {
    /// As it stands: it has no case, or the text was folded before.
    Exact(Box<Finder<'static>>),
    /// By its rarest byte, in both cases, and then compared.
    Rare { at: usize, lower: u8, upper: u8 },
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.needle == other.needle
            && self.open_start == other.open_start
            && self.open_end == other.open_end
    }
}

impl Eq for TextPattern {}

impl TextPattern {
    /// A pattern for `text`, in any case; white space in it stands for any run of characters that
    /// are no word's. `None` when there is nothing but white space.
    #[must_use]
    pub fn new(text: &str, open_start: bool, open_end: bool) -> Option<Self> {
        let mut needle = String::with_capacity(text.len());
        for word in text.split_whitespace() {
            if !needle.is_empty() {
                needle.push(' ');
            }
            needle.extend(word.chars().map(fold_char));
        }
        let (first, last) = (needle.chars().next()?, needle.chars().next_back()?);
        let ascii = needle.is_ascii();
        let parts = needle.split(' ').map(|p| Part::new(p, ascii)).collect();
        Some(Self {
            open_start,
            open_end,
            starts_in_word: is_word(first),
            ends_in_word: is_word(last),
            ascii,
            numeric: needle
                .bytes()
                .all(|b| b.is_ascii_digit() || b"+-.infa".contains(&b)),
            parts,
            needle,
        })
    }

    /// What to find: lower-cased; one space stands for any run of characters that are no word's.
    #[must_use]
    pub fn needle(&self) -> &str {
        &self.needle
    }

    /// `*word`: anything may come before.
    #[must_use]
    pub fn open_start(&self) -> bool {
        self.open_start
    }

    /// `word*`: anything may come after.
    #[must_use]
    pub fn open_end(&self) -> bool {
        self.open_end
    }

    /// Whether it could occur in a number that was rescaled, and so is not in the line as text.
    pub(crate) fn may_be_number(&self) -> bool {
        self.numeric
    }

    /// Whether it occurs in `text`.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        if self.ascii {
            return self.occurs(text);
        }
        !text.is_ascii() && self.occurs(&fold(text))
    }

    fn occurs(&self, text: &[u8]) -> bool {
        let Some((first, rest)) = self.parts.split_first() else {
            return false;
        };
        let mut from = 0;
        while let Some(at) = first.find(text, from) {
            let bounded = self.open_start || !self.starts_in_word || !word_before(text, at);
            if bounded && self.rest_follows(text, at + first.bytes.len(), rest) {
                return true;
            }
            from = at + 1;
        }
        false
    }

    fn rest_follows(&self, text: &[u8], mut end: usize, rest: &[Part]) -> bool {
        for part in rest {
            let Some(at) = part.find_behind_gap(text, end) else {
                return false;
            };
            end = at + part.bytes.len();
        }
        self.open_end || !self.ends_in_word || !word_after(text, end)
    }
}

impl Part {
    fn new(text: &str, ascii: bool) -> Self {
        let bytes: Box<[u8]> = text.as_bytes().into();
        let cased = ascii && bytes.iter().any(u8::is_ascii_alphabetic);
        let rarest = (0..bytes.len()).min_by_key(|&at| commonness(bytes[at]));
        let search = match rarest {
            Some(at) if cased => Search::Rare {
                at,
                lower: bytes[at],
                upper: bytes[at].to_ascii_uppercase(),
            },
            _ => Search::Exact(Box::new(Finder::new(&bytes).into_owned())),
        };
        Self { bytes, search }
    }

    /// The first place at or behind `from`.
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let tail = text.get(from..)?;
        match &self.search {
            Search::Exact(finder) => Some(from + finder.find(tail)?),
            &Search::Rare { at, lower, upper } => {
                let found = |hit: usize| {
                    let start = hit.checked_sub(at)?;
                    self.is_at(tail, start).then_some(from + start)
                };
                if lower == upper {
                    memchr::memchr_iter(lower, tail).find_map(found)
                } else {
                    memchr::memchr2_iter(lower, upper, tail).find_map(found)
                }
            }
        }
    }

    fn is_at(&self, text: &[u8], at: usize) -> bool {
        text.get(at..at + self.bytes.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(&self.bytes))
    }

    /// The first place behind a run of at least one character that is no word's.
    fn find_behind_gap(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while at - from < MAX_GAP {
            let (c, len) = char_at(text, at)?;
            if is_word(c) {
                return None;
            }
            at += len;
            if self.is_at(text, at) {
                return Some(at);
            }
        }
        None
    }
}

/// Whether a word's character ends right before `at`.
fn word_before(text: &[u8], at: usize) -> bool {
    let Some(&last) = at.checked_sub(1).and_then(|i| text.get(i)) else {
        return false;
    };
    if last.is_ascii() {
        return last.is_ascii_alphanumeric() || last == b'_';
    }
    (2..=4usize)
        .filter_map(|len| text.get(at.checked_sub(len)?..at))
        .find_map(|tail| std::str::from_utf8(tail).ok())
        .and_then(|tail| tail.chars().next_back())
        .is_some_and(is_word)
}

/// Whether a word's character begins at `at`.
fn word_after(text: &[u8], at: usize) -> bool {
    char_at(text, at).is_some_and(|(c, _)| is_word(c))
}

/// Whether the bytes right before and right behind a piece continue no word, so that whatever is
/// found in the piece alone is found in the whole as well.
pub(crate) fn stands_alone(line: &[u8], start: usize, end: usize) -> bool {
    !word_before(line, start) && !word_after(line, end)
}

/// The character at `at` and its length; a byte of no character counts as the replacement mark.
fn char_at(text: &[u8], at: usize) -> Option<(char, usize)> {
    let &first = text.get(at)?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let end = text.len().min(at + 4);
    let valid = text[at..end].utf8_chunks().next()?.valid();
    let found = valid.chars().next().map(|c| (c, c.len_utf8()));
    Some(found.unwrap_or((char::REPLACEMENT_CHARACTER, 1)))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Lower case, one character for one; never from outside ASCII into it.
fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if !one.is_ascii() => one,
        _ => c,
    }
}

/// The text in lower case; what is no UTF-8 stays.
pub(crate) fn fold(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(text.len() + 8);
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            out.extend_from_slice(fold_char(c).encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
    Cow::Owned(out)
}

/// How often a byte occurs in logs, roughly: a search looks for the rarest byte of its needle.
fn commonness(byte: u8) -> usize {
    const COMMON_FIRST: &[u8] =
        b" e0t1aio2nsr3./-5:4l6c78d9pumh\"=_,[](g)fyvbwkxjqz;+'<>{}?&%#@*!|~$^`\\";
    let rank = COMMON_FIRST.iter().position(|&c| c == byte);
    COMMON_FIRST.len() - rank.unwrap_or(COMMON_FIRST.len())
}
