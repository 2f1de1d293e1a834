//! Strings that are numbers, addresses or hexadecimal ids, laid down as what they are.
//!
//! All strings of a column begin with the same text and end with the same text, and between are of one
//! shape; each is written in one way only, so its bytes come back. Bytes: the shape, the text before,
//! the text behind, then
//!
//! - numbers: the smallest one, then differences to it as byte planes;
//! - decimals: the number of digits behind the point, then the parts before and behind it as numbers;
//! - addresses: four planes, a byte of each address in one;
//! - hexadecimal: the number of digits, then two of them in a byte, the first one lower.

use super::codec::{Bytes, put_bytes, put_uint};
use super::column::Strings;
use super::words;

/// Fewer strings hardly gain anything.
const STRINGS_MIN: usize = 256;
/// What all have in common, and their shape, is looked for in so many of them first.
const SAMPLE: usize = 32;
/// More digits may not fit 64 bits.
const DIGITS_MAX: usize = 19;
/// Longer ids are none.
const HEX_MAX: usize = 256;
/// Unpacked strings are never longer together than an unpacked segment.
const BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Number,
    /// With so many digits behind the point.
    Decimal(usize),
    Address,
    /// With so many digits, as upper or lower case.
    Hex(usize, bool),
}

const NUMBER: u8 = 0;
const DECIMAL: u8 = 1;
const ADDRESS: u8 = 2;
const HEX_LOWER: u8 = 3;
const HEX_UPPER: u8 = 4;

/// The number that a text writes without needless zeros.
fn number(text: &[u8]) -> Option<u64> {
    let zeros = text.len() > 1 && text.first() == Some(&b'0');
    if text.is_empty() || text.len() > DIGITS_MAX || zeros {
        return None;
    }
    digits(text)
}

/// The number that digits write.
fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |n, &b| {
        let digit = b.wrapping_sub(b'0');
        (digit < 10).then(|| n * 10 + u64::from(digit))
    })
}

/// The parts of a number with so many digits behind its point.
fn decimal(text: &[u8], places: usize) -> Option<(u64, u64)> {
    let at = text.len().checked_sub(places + 1)?;
    let (whole, rest) = text.split_at(at);
    let fraction = rest.strip_prefix(b".")?;
    Some((number(whole)?, digits(fraction)?))
}

fn address(text: &[u8]) -> Option<[u8; 4]> {
    let mut parts = text.split(|&b| b == b'.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        *octet = number(parts.next()?)?.try_into().ok()?;
    }
    parts.next().is_none().then_some(octets)
}

fn nibble(byte: u8, upper: bool) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' if !upper => Some(byte - b'a' + 10),
        b'A'..=b'F' if upper => Some(byte - b'A' + 10),
        _ => None,
    }
}

impl Shape {
    /// The shape that fits all of some texts.
    fn of(texts: &[&[u8]]) -> Option<Self> {
        let first = *texts.first()?;
        let point = first.iter().rev().position(|&b| b == b'.');
        let places = point.filter(|n| (1..DIGITS_MAX).contains(n)).unwrap_or(1);
        let hex = first.len().clamp(1, HEX_MAX);
        [
            Self::Number,
            Self::Address,
            Self::Decimal(places),
            Self::Hex(hex, false),
            Self::Hex(hex, true),
        ]
        .into_iter()
        .find(|shape| texts.iter().all(|text| shape.fits(text)))
    }

    fn fits(self, text: &[u8]) -> bool {
        match self {
            Self::Number => number(text).is_some(),
            Self::Decimal(places) => decimal(text, places).is_some(),
            Self::Address => address(text).is_some(),
            Self::Hex(len, upper) => {
                text.len() == len && text.iter().all(|&b| nibble(b, upper).is_some())
            }
        }
    }

    /// The bytes of all texts; `None` if one is of another shape.
    fn pack<'a>(self, texts: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Number => {
                let values: Option<Vec<u64>> = texts.map(number).collect();
                put_numbers(out, &values?);
            }
            Self::Decimal(places) => {
                let pairs: Option<Vec<_>> = texts.map(|t| decimal(t, places)).collect();
                let (whole, fractions): (Vec<u64>, Vec<u64>) = pairs?.into_iter().unzip();
                put_uint(out, places as u64);
                put_numbers(out, &whole);
                put_numbers(out, &fractions);
            }
            Self::Address => {
                let octets: Option<Vec<_>> = texts.map(address).collect();
                let octets = octets?;
                for plane in 0..4 {
                    out.extend(octets.iter().map(|o| o[plane]));
                }
            }
            Self::Hex(len, upper) => {
                put_uint(out, len as u64);
                let mut low = None;
                for text in texts {
                    if text.len() != len {
                        return None;
                    }
                    for &byte in text {
                        let nibble = nibble(byte, upper)?;
                        match low.take() {
                            Some(low) => out.push(low | nibble << 4),
                            None => low = Some(nibble),
                        }
                    }
                }
                out.extend(low);
            }
        }
        Some(())
    }

    fn code(self) -> u8 {
        match self {
            Self::Number => NUMBER,
            Self::Decimal(_) => DECIMAL,
            Self::Address => ADDRESS,
            Self::Hex(_, false) => HEX_LOWER,
            Self::Hex(_, true) => HEX_UPPER,
        }
    }
}

/// Numbers as the smallest one and what they are above it.
fn put_numbers(out: &mut Vec<u8>, values: &[u64]) {
    let least = values.iter().copied().min().unwrap_or(0);
    let most = values.iter().copied().max().unwrap_or(0);
    let width = (64 - (most - least).leading_zeros()).div_ceil(8);
    put_uint(out, least);
    out.push(width.to_le_bytes()[0]);
    for plane in 0..width as usize {
        out.extend(values.iter().map(|v| (v - least).to_le_bytes()[plane]));
    }
}

fn take_numbers(bytes: &mut Bytes<'_>, n: usize) -> Option<Vec<u64>> {
    let least = bytes.uint()?;
    let width = usize::from(bytes.byte()?);
    if width > 8 {
        return None;
    }
    let mut values = vec![0u64; n];
    for shift in (0..).step_by(8).take(width) {
        for (value, &byte) in values.iter_mut().zip(bytes.take(n)?) {
            *value |= u64::from(byte) << shift;
        }
    }
    for value in &mut values {
        *value = value.checked_add(least)?;
    }
    Some(values)
}

/// What texts begin and end with alike, but for digits at its inner end.
fn affixes<'a>(texts: &[&'a [u8]]) -> (&'a [u8], &'a [u8]) {
    let first = texts.first().copied().unwrap_or_default();
    let (mut before, mut behind) = (first.len(), first.len());
    for text in texts {
        let same = |(a, b): &(&u8, &u8)| a == b;
        before = before.min(first.iter().zip(*text).take_while(same).count());
        let back = first.iter().rev().zip(text.iter().rev());
        behind = behind.min(back.take_while(same).count());
    }
    let inner = |b: &u8| b.is_ascii_digit() || *b == b'.';
    while before > 0 && inner(&first[before - 1]) {
        before -= 1;
    }
    while behind > 0 && first[first.len() - behind].is_ascii_digit() {
        behind -= 1;
    }
    let behind = behind.min(first.len() - before);
    (&first[..before], &first[first.len() - behind..])
}

/// The part between, if there is one.
fn between<'a>(text: &'a [u8], before: &[u8], behind: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(before)?.strip_suffix(behind)
}

/// Strings as what they are; `None` if they are just text.
pub(super) fn pack<'a>(strings: impl Iterator<Item = &'a [u8]> + Clone) -> Option<Vec<u8>> {
    let sample: Vec<&[u8]> = strings.clone().take(SAMPLE).collect();
    strings.clone().nth(STRINGS_MIN - 1)?;
    let (mut before, mut behind): (&[u8], &[u8]) = (&[], &[]);
    let shape = Shape::of(&sample).or_else(|| {
        (before, behind) = affixes(&sample);
        let inner: Option<Vec<&[u8]>> = sample.iter().map(|t| between(t, before, behind)).collect();
        Shape::of(&inner?)
    })?;
    let mut out = vec![shape.code()];
    put_bytes(&mut out, before);
    put_bytes(&mut out, behind);
    if before.is_empty() && behind.is_empty() {
        shape.pack(strings, &mut out)?;
        return Some(out);
    }
    if !strings
        .clone()
        .all(|t| between(t, before, behind).is_some())
    {
        return None;
    }
    let inner = strings.filter_map(|t| between(t, before, behind));
    shape.pack(inner, &mut out)?;
    Some(out)
}

/// The digits of the numbers below a hundred.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut n = 0u8;
    while n < 100 {
        pairs[n as usize] = [b'0' + n / 10, b'0' + n % 10];
        n += 1;
    }
    pairs
};

fn append_number(mut n: u64, out: &mut Vec<u8>) {
    let mut text = [0; 20];
    let mut at = text.len();
    // Two digits at a time: columns of long numbers are written out for every search.
    loop {
        let pair = PAIRS[usize::try_from(n % 100).unwrap_or(0)];
        at -= 2;
        text[at..at + 2].copy_from_slice(&pair);
        n /= 100;
        if n == 0 {
            at += usize::from(pair[0] == b'0');
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// A number with zeros before it.
fn append_digits(n: u64, digits: usize, out: &mut Vec<u8>) {
    let end = out.len() + digits;
    out.resize(end, b'0');
    let mut rest = n;
    for digit in out.iter_mut().rev().take(digits) {
        *digit = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Strings on their way back.
struct Unpacked<'a> {
    strings: Strings,
    before: &'a [u8],
    behind: &'a [u8],
}

impl Unpacked<'_> {
    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let bytes = &mut self.strings.bytes;
        bytes.extend_from_slice(self.before);
        write(bytes);
        bytes.extend_from_slice(self.behind);
        let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.strings.ends.push(end);
    }
}

/// The `n` strings behind the first bytes of a part; `None` if they are damaged.
pub(super) fn unpack(part: &[u8], n: usize) -> Option<Strings> {
    let mut bytes = Bytes(part);
    let shape = bytes.byte()?;
    let (before, behind) = (bytes.bytes()?, bytes.bytes()?);
    // The longest there can be of all but hexadecimal strings, which are as long as their bytes say.
    let longest = before.len().checked_add(behind.len())?.checked_add(64)?;
    if n.checked_mul(longest)? > BYTES_MAX {
        return None;
    }
    let mut strings = Unpacked {
        strings: Strings::default(),
        before,
        behind,
    };
    strings.strings.ends.reserve(n);
    match shape {
        NUMBER => {
            for value in take_numbers(&mut bytes, n)? {
                strings.put(|out| append_number(value, out));
            }
        }
        DECIMAL => {
            let places = bytes.count(DIGITS_MAX)?;
            let whole = take_numbers(&mut bytes, n)?;
            let fractions = take_numbers(&mut bytes, n)?;
            for (whole, fraction) in whole.into_iter().zip(fractions) {
                strings.put(|out| {
                    append_number(whole, out);
                    out.push(b'.');
                    append_digits(fraction, places, out);
                });
            }
        }
        ADDRESS => {
            let planes = [
                bytes.take(n)?,
                bytes.take(n)?,
                bytes.take(n)?,
                bytes.take(n)?,
            ];
            let [a, b, c, d] = planes;
            for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
                strings.put(|out| {
                    for (dot, octet) in [(false, a), (true, b), (true, c), (true, d)] {
                        out.extend(dot.then_some(b'.'));
                        append_number(u64::from(*octet), out);
                    }
                });
            }
        }
        HEX_LOWER | HEX_UPPER => {
            let letters = if shape == HEX_UPPER { UPPER } else { LOWER };
            let len = bytes.count(HEX_MAX)?;
            let packed = bytes.take(len.checked_mul(n)?.div_ceil(2))?;
            let mut text = Vec::with_capacity(packed.len() * 2);
            for &byte in packed {
                let [low, high] = [byte & 15, byte >> 4].map(|n| letters[usize::from(n)]);
                text.extend_from_slice(&[low, high]);
            }
            for at in 0..n {
                let text = text.get(at * len..(at + 1) * len).unwrap_or_default();
                strings.put(|out| out.extend_from_slice(text));
            }
        }
        _ => return None,
    }
    Some(strings.strings)
}

/// Whether a text (in lower case) is surely in none of the `n` strings of a part, told without writing
/// them out; `None` if the part is damaged.
pub(super) fn lacks(part: &[u8], n: usize, needle: &[u8]) -> Option<bool> {
    let mut bytes = Bytes(part);
    let shape = bytes.byte()?;
    let (before, behind) = (bytes.bytes()?, bytes.bytes()?);
    if reaches_into(needle, before, behind) {
        return Some(false);
    }
    let digits = needle.iter().all(u8::is_ascii_digit);
    match shape {
        ADDRESS => {
            let others = needle.iter().any(|b| !b.is_ascii_digit() && *b != b'.');
            Some(others || needle.len() > 15 || words::digits_in_a_row(needle) > 3)
        }
        NUMBER => Some(!digits || Digits::new(needle).is_none_of(&mut bytes, n)?),
        DECIMAL => {
            // Of a point nothing is told here.
            let places = bytes.count(DIGITS_MAX)?;
            let most = most_digits(bytes)?.max(places);
            let others = needle.iter().any(|b| !b.is_ascii_digit() && *b != b'.');
            Some(others || (digits && needle.len() > most))
        }
        HEX_LOWER | HEX_UPPER => {
            let len = bytes.count(HEX_MAX)?;
            let packed = bytes.take(len.checked_mul(n)?.div_ceil(2))?;
            Some(needle.len() > len || !may_hold_hex(packed, needle))
        }
        _ => None,
    }
}

/// Whether a text may lie, with a part of it at least, in what all strings begin or end with.
fn reaches_into(needle: &[u8], before: &[u8], behind: &[u8]) -> bool {
    let n = needle.len();
    let same = |a: &[u8], b: &[u8]| a.eq_ignore_ascii_case(b);
    let within = |text: &[u8]| n <= text.len() && text.windows(n).any(|w| same(w, needle));
    let begins = |k: usize| before.len() >= k && same(&before[before.len() - k..], &needle[..k]);
    let ends = |k: usize| behind.len() >= k && same(&behind[..k], &needle[n - k..]);
    n == 0 || within(before) || within(behind) || (1..n).any(|k| begins(k) || ends(k))
}

/// Whether hexadecimal digits may occur, two of them in a byte: at both ways in which they can lie in
/// bytes; what reaches from one string to the next is found too.
fn may_hold_hex(packed: &[u8], needle: &[u8]) -> bool {
    let lower = |b: &u8| nibble(*b, false);
    let Some(nibbles) = needle.iter().map(lower).collect::<Option<Vec<u8>>>() else {
        return false;
    };
    let bytes_of = |nibbles: &[u8]| -> Vec<u8> {
        let pairs = nibbles.as_chunks::<2>().0.iter();
        pairs.map(|[low, high]| low | high << 4).collect()
    };
    let ways = [
        bytes_of(&nibbles),
        bytes_of(nibbles.get(1..).unwrap_or_default()),
    ];
    ways.iter()
        .any(|way| way.is_empty() || memchr::memmem::find(packed, way).is_some())
}

/// The digits that the largest of some numbers can have, by how they are written.
fn most_digits(mut numbers: Bytes<'_>) -> Option<usize> {
    let least = numbers.uint()?;
    let width = u32::from(numbers.byte()?);
    let range = u64::MAX
        .checked_shr(64u32.checked_sub(8 * width)?)
        .unwrap_or(0);
    let most = least.saturating_add(range);
    Some(most.checked_ilog10().map_or(1, |log| log as usize + 1))
}

/// Digits that are sought in numbers. Wherever they lie, three of them lie at one of a few places that
/// can be chosen beforehand: a number that has no three of them there does not hold them.
struct Digits<'a> {
    needle: &'a [u8],
    /// The numbers that three of its digits in a row are.
    threes: Vec<bool>,
}

/// Numbers that are looked at together.
const TOGETHER: usize = 256;

impl<'a> Digits<'a> {
    fn new(needle: &'a [u8]) -> Self {
        let mut threes = vec![false; 1000];
        for three in needle.windows(3) {
            if let Some(three) = digits(three) {
                threes[usize::try_from(three).unwrap_or(0)] = true;
            }
        }
        Self { needle, threes }
    }

    /// Whether none of `n` numbers holds them.
    fn is_none_of(&self, bytes: &mut Bytes<'_>, n: usize) -> Option<bool> {
        let (len, most) = (self.needle.len(), most_digits(*bytes)?);
        if len > most {
            return Some(true);
        }
        // Fewer digits are in most numbers.
        if len < 4 {
            return Some(false);
        }
        let least = bytes.uint()?;
        let width = usize::from(bytes.byte()?);
        let planes = bytes.take(n.checked_mul(width)?)?;
        // Digits that end 0..=most - len places before the end: three of them begin at each of these.
        let places: Vec<u32> = (len - 3..)
            .step_by(len - 2)
            .take_while(|place| place - (len - 3) <= most - len)
            .filter_map(|place| u32::try_from(place).ok())
            .collect();
        let mut values = [0u64; TOGETHER];
        for first in (0..n).step_by(TOGETHER) {
            let some = TOGETHER.min(n - first);
            let values = &mut values[..some];
            values.fill(0);
            for (plane, shift) in planes.chunks_exact(n).zip((0..64).step_by(8)) {
                for (value, &byte) in values.iter_mut().zip(&plane[first..first + some]) {
                    *value |= u64::from(byte) << shift;
                }
            }
            for value in &mut *values {
                *value = value.checked_add(least)?;
            }
            if places.iter().any(|&place| self.are_in(values, place)) {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Whether they are in one of some numbers, where three of them begin at that place.
    fn are_in(&self, values: &[u64], place: u32) -> bool {
        // Divisions by what is known beforehand are multiplications.
        match place {
            0..4 => self.are_at::<1, 10, 100, 1000>(values, place),
            4..8 => self.are_at::<10_000, 100_000, 1_000_000, 10_000_000>(values, place - 4),
            8..12 => self.are_at::<{ 10u64.pow(8) }, { 10u64.pow(9) }, { 10u64.pow(10) }, { 10u64.pow(11) }>(values, place - 8),
            12..16 => self.are_at::<{ 10u64.pow(12) }, { 10u64.pow(13) }, { 10u64.pow(14) }, { 10u64.pow(15) }>(values, place - 12),
            _ => values.iter().any(|&v| self.is_in(v)),
        }
    }

    fn are_at<const A: u64, const B: u64, const C: u64, const D: u64>(
        &self,
        values: &[u64],
        place: u32,
    ) -> bool {
        let hit = |v: u64, three: u64| {
            self.threes[usize::try_from(three % 1000).unwrap_or(0)] && self.is_in(v)
        };
        match place {
            0 => values.iter().any(|&v| hit(v, v / A)),
            1 => values.iter().any(|&v| hit(v, v / B)),
            2 => values.iter().any(|&v| hit(v, v / C)),
            _ => values.iter().any(|&v| hit(v, v / D)),
        }
    }

    /// Whether they are in a number, as it is written.
    fn is_in(&self, value: u64) -> bool {
        let mut text = Vec::with_capacity(20);
        append_number(value, &mut text);
        memchr::memmem::find(&text, self.needle).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(texts: impl Iterator<Item = impl AsRef<[u8]>>) -> Strings {
        let mut all = Strings::default();
        texts.for_each(|t| all.push(t.as_ref()));
        all
    }

    /// The bytes that so many strings take, which come back from them.
    fn check(texts: &Strings) -> Option<usize> {
        let packed = pack(texts.iter())?;
        assert_eq!(unpack(&packed, texts.len()).as_ref(), Some(texts));
        for end in 0..packed.len() {
            assert_ne!(unpack(&packed[..end], texts.len()).as_ref(), Some(texts));
        }
        Some(packed.len() / texts.len())
    }

    #[test]
    fn shapes_are_found() {
        let of = |text: &dyn Fn(u64) -> String| check(&strings((0..300).map(text)));
        let chance = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert_eq!(of(&|i| format!("{}", chance(i) >> 1)), Some(8));
        assert_eq!(of(&|i| format!("{:016x}", chance(i))), Some(8));
        assert_eq!(of(&|i| format!("{:07X}", chance(i) >> 36)), Some(3));
        assert_eq!(of(&|i| format!("10.0.{}.{}", i % 256, i / 7)), Some(4));
        assert_eq!(of(&|i| format!("{}.{:03}", i / 40, i * 7 % 1000)), Some(3));
        assert_eq!(of(&|i| format!("mail{i}.example.org")), Some(2));
        assert_eq!(of(&|i| format!("{}ms", 1000 + i)), Some(2));
    }

    #[test]
    fn what_is_missing_is_told_without_writing_out() {
        let chance = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let lacks = |text: &dyn Fn(u64) -> String, needle: &str| {
            let texts = strings((0..3000).map(text));
            let packed = pack(texts.iter()).expect("packed");
            lacks(&packed, texts.len(), needle.as_bytes())
        };
        let long = |i| format!("{}", chance(i) >> 1);
        let id = |i| format!("{:016x}", chance(i));
        assert_eq!(lacks(&long, "99887766554"), Some(true));
        assert_eq!(lacks(&long, &long(7)[3..14]), Some(false));
        assert_eq!(lacks(&id, "deadbeefcafe"), Some(true));
        assert_eq!(lacks(&id, &id(8)[1..8]), Some(false));
        assert_eq!(
            lacks(&|i| format!("10.1.{}.{}", i / 250, i % 250), "9999"),
            Some(true)
        );
        assert_eq!(
            lacks(&|i| format!("{}.{:03}", i / 40, i * 7 % 1000), "99999"),
            Some(true)
        );
    }

    #[test]
    fn text_stays_text() {
        let of = |text: &dyn Fn(u64) -> String| check(&strings((0..300).map(text)));
        assert_eq!(of(&|i| format!("/page/{i}/edit/{}", i % 7)), None);
        assert_eq!(of(&|i| format!("{:03}", i * 3)), Some(1), "as hexadecimal");
        assert_eq!(
            of(&|i| if i == 299 {
                "x".to_owned()
            } else {
                format!("{i}")
            }),
            None
        );
        assert_eq!(
            of(&|i| if i == 299 {
                "u07".to_owned()
            } else {
                format!("u{i}")
            }),
            None
        );
        let few = strings((0..9).map(|i| i.to_string()));
        assert_eq!(pack(few.iter()), None);
    }

    proptest! {
        #[test]
        fn come_back(
            texts in prop_oneof![
                proptest::collection::vec("[0-9]{0,20}", 256..300),
                proptest::collection::vec("a?[0-9]{1,3}(\\.[0-9]{1,3}){0,4}b?", 256..300),
                proptest::collection::vec("[0-9]{1,2}\\.[0-9]{3}", 256..300),
                proptest::collection::vec("x-[0-9a-f]{6}", 256..300),
                proptest::collection::vec("[0-9A-F]{5}", 256..300),
                proptest::collection::vec("(1|2|255|256)(\\.(0|00|9|255)){3}", 256..300),
            ]
        ) {
            let texts = strings(texts.iter());
            if let Some(packed) = pack(texts.iter()) {
                prop_assert_eq!(unpack(&packed, texts.len()), Some(texts));
            }
        }

        /// What is said to be in none is in none, and what is in one is not said to be.
        #[test]
        fn nothing_is_lacked_that_is_there(
            texts in prop_oneof![
                proptest::collection::vec("[0-9]{17,19}|[1-9]", 256..300),
                proptest::collection::vec("[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}", 256..300),
                proptest::collection::vec("[1-9][0-9]{0,2}\\.[0-9]{3}", 256..300),
                proptest::collection::vec("x-[0-9a-f]{7}-x", 256..300),
                proptest::collection::vec("[0-9A-F]{16}", 256..300),
                proptest::collection::vec("mail[1-9][0-9]{0,4}.org", 256..300),
            ],
            needle in "[0-9]{1,12}|[0-9a-f]{2,7}|[0-9.a-z-]{1,4}",
            (row, from, len) in (0usize..256, 0usize..19, 1usize..12),
        ) {
            let texts = strings(texts.iter());
            let Some(packed) = pack(texts.iter()) else {
                return Ok(());
            };
            let text = texts.get(row).to_ascii_lowercase();
            let from = from.min(text.len() - 1);
            let own = &text[from..text.len().min(from + len)];
            for needle in [needle.as_bytes(), own] {
                let there = texts.iter().any(|t| {
                    let text = t.to_ascii_lowercase();
                    memchr::memmem::find(&text, needle).is_some()
                });
                let lacks = lacks(&packed, texts.len(), needle).expect("not damaged");
                prop_assert!(!(there && lacks), "{:?}", needle);
            }
        }

        #[test]
        fn any_bytes_are_survived(shape in 0u8..6, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut part = vec![shape, 0, 0];
            part.extend_from_slice(&rest);
            for n in [0, 1, 10, 70_000] {
                let _ = (lacks(&part, n, b"12345"), lacks(&part, n, b"af"));
                if let Some(strings) = unpack(&part, n) {
                    prop_assert_eq!(strings.len(), n);
                }
            }
        }
    }
}
