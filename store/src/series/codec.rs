//! Integers and decimals as bits: the columns of which pages, checkpoints and journal are made.
//!
//! A column of integers is `head`, then either `base` (frame of reference: what each value is above
//! the smallest) or `first, base` (the same of the differences), then the packed bits, then the
//! exceptions: values that would have made all others wide. `head` holds the form in its upper two
//! bits and the width in the lower six. How many values there are, the reader knows.
//!
//! Every decoder takes any bytes and answers `None` for those that no encoder wrote.

#![expect(
    clippy::cast_possible_truncation,
    reason = "this module cuts numbers into bits on purpose; every cast is masked or bounded"
)]

/// Decimals up to which values are tried as scaled integers.
pub(crate) const DECIMALS_MAX: u8 = 14;
/// Largest scaled integer: beyond it the conversion to `f64` and back is not exact.
const SCALED_MAX: i64 = 1 << 53;
/// Widths above this are stored as whole words, so that six bits hold every width.
const WIDTH_MAX: u32 = 57;
/// The code of a whole word.
const WIDTH_WORD: u8 = 58;
const DELTA: u8 = 0x40;
const EXCEPTIONS: u8 = 0x80;

/// 10^0 to 10^14, exact.
pub(crate) const POW10: [f64; DECIMALS_MAX as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
];

/// Reads a buffer from its front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Option<f64> {
        self.u64().map(f64::from_bits)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn zigzag(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    pub(crate) fn usize(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let len = self.usize()?;
        std::str::from_utf8(self.bytes(len)?).ok()
    }

    /// A little-endian integer of `len` bytes, at most eight.
    pub(crate) fn short(&mut self, len: usize) -> Option<u64> {
        let bytes = self.bytes(len)?;
        let mut word = [0; 8];
        word.get_mut(..len)?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Bytes of the shortest little-endian form; none for 0.
pub(crate) fn short_len(value: u64) -> usize {
    (64 - value.leading_zeros()).div_ceil(8) as usize
}

/// The integer `value · 10^decimals`, when it gives the very same value back.
#[inline]
pub(crate) fn scaled(value: f64, decimals: u8) -> Option<i64> {
    let power = POW10[usize::from(decimals.min(DECIMALS_MAX))];
    let x = value * power;
    let i = (x + 0.5f64.copysign(x)) as i64;
    let exact = i.unsigned_abs() <= SCALED_MAX.unsigned_abs()
        && (if decimals == 0 {
            i as f64
        } else {
            i as f64 / power
        }) == value;
    exact.then_some(i)
}

/// The inverse of [`scaled`].
#[inline]
pub(crate) fn unscaled(i: i64, decimals: u8) -> f64 {
    if decimals == 0 {
        i as f64
    } else {
        i as f64 / POW10[usize::from(decimals.min(DECIMALS_MAX))]
    }
}

/// To the nearest integer, halves away from zero, held at the ends: `f64::round` without the call.
#[inline]
pub(crate) fn nearest(value: f64) -> i64 {
    let whole = value as i64;
    // Exact: below 2^52 both have the same scale, above it there is no fraction.
    let rest = value - whole as f64;
    if rest >= 0.5 {
        whole.saturating_add(1)
    } else if rest <= -0.5 {
        whole.saturating_sub(1)
    } else {
        whole
    }
}

/// Fewest decimals, `from` at least, with which `value` is a scaled integer.
pub(crate) fn decimals_of(value: f64, from: u8) -> Option<u8> {
    (from..=DECIMALS_MAX).find(|&d| scaled(value, d).is_some())
}

/// Scales all values by one power of ten; `None` when no power does. `from` is a first guess that
/// is not undercut.
pub(crate) fn scale_all(values: &[f64], from: u8, ints: &mut Vec<i64>) -> Option<u8> {
    let mut decimals = from;
    'again: loop {
        ints.clear();
        for &value in values {
            match scaled(value, decimals) {
                Some(i) => ints.push(i),
                None => {
                    let more = decimals_of(value, decimals + 1)?;
                    decimals = more;
                    if decimals > DECIMALS_MAX {
                        return None;
                    }
                    continue 'again;
                }
            }
        }
        return Some(decimals);
    }
}

/// A float as an integer of the same order, `mantissa` of its 52 bits kept.
pub(crate) fn float_to_int(value: f64, mantissa: u8) -> i64 {
    let bits = value.to_bits();
    let ordered = if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    };
    let drop = 52 - u32::from(mantissa.min(52));
    let half = (1u64 << drop) >> 1;
    (ordered.saturating_add(half) >> drop).cast_signed()
}

/// The inverse of [`float_to_int`], but for the dropped bits.
pub(crate) fn int_to_float(i: i64, mantissa: u8) -> f64 {
    let drop = 52 - u32::from(mantissa.min(52));
    let ordered = i.cast_unsigned() << drop;
    f64::from_bits(if ordered >> 63 == 1 {
        ordered & !(1 << 63)
    } else {
        !ordered
    })
}

fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// What a frame of reference over some values costs.
struct Frame {
    base: i64,
    width: u32,
    /// Bits in all, exceptions included.
    cost: usize,
    exceptions: bool,
}

/// Looks for the width at which packed bits and exceptions together are smallest.
fn frame(values: impl Iterator<Item = i64> + Clone) -> Frame {
    let (mut min, mut max, mut count) = (i64::MAX, i64::MIN, 0usize);
    for v in values.clone() {
        min = min.min(v);
        max = max.max(v);
        count += 1;
    }
    if count == 0 {
        return Frame {
            base: 0,
            width: 0,
            cost: 0,
            exceptions: false,
        };
    }
    let full = width_of(max.wrapping_sub(min).cast_unsigned());
    let mut best = Frame {
        base: min,
        width: full,
        cost: count * full as usize,
        exceptions: false,
    };
    if full < 4 || count < 4 {
        return best;
    }
    // Exceptions are for few: where more have the highest bit, there are none.
    let top = values
        .clone()
        .filter(|v| v.wrapping_sub(min).cast_unsigned() >> (full - 1) != 0);
    if top.count() > count / 4 {
        return best;
    }
    let mut histogram = [0u16; 65];
    for v in values {
        histogram[width_of(v.wrapping_sub(min).cast_unsigned()) as usize] += 1;
    }
    let mut above = 0usize;
    for width in (0..full).rev() {
        above += usize::from(histogram[width as usize + 1]);
        if above > count / 4 {
            break;
        }
        let each = 8 + 8 * (full - width).div_ceil(7) as usize;
        let cost = 8 + count * width as usize + above * each;
        if cost < best.cost {
            best = Frame {
                base: min,
                width,
                cost,
                exceptions: true,
            };
        }
    }
    best
}

/// Appends a column of integers.
pub(crate) fn put_ints(out: &mut Vec<u8>, values: &[i64]) {
    let Some((&first, rest)) = values.split_first() else {
        return;
    };
    let plain = frame(values.iter().copied());
    let deltas = values.iter().zip(rest).map(|(a, b)| b.wrapping_sub(*a));
    // A constant needs no second look.
    if plain.cost > 0 {
        let delta = frame(deltas.clone());
        if delta.cost + 16 < plain.cost {
            return put_frame(out, &delta, deltas, Some(first));
        }
    }
    put_frame(out, &plain, values.iter().copied(), None);
}

fn put_frame(
    out: &mut Vec<u8>,
    frame: &Frame,
    values: impl Iterator<Item = i64> + Clone,
    first: Option<i64>,
) {
    let (code, width) = if frame.width > WIDTH_MAX {
        (WIDTH_WORD, 64)
    } else {
        (frame.width as u8, frame.width)
    };
    let form = if first.is_some() { DELTA } else { 0 };
    let exceptions = frame.exceptions && width < 64;
    out.push(code | form | if exceptions { EXCEPTIONS } else { 0 });
    if let Some(first) = first {
        put_zigzag(out, first);
    }
    put_zigzag(out, frame.base);
    let offsets = values.map(|v| v.wrapping_sub(frame.base).cast_unsigned());
    pack(out, offsets.clone(), width);
    if exceptions {
        let over = offsets.enumerate().filter(|(_, o)| o >> width != 0);
        put_varint(out, over.clone().count() as u64);
        for (at, offset) in over {
            put_varint(out, at as u64);
            put_varint(out, offset >> width);
        }
    }
}

fn pack(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u32) {
    if width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - width);
    let (mut held, mut bits) = (0u64, 0u32);
    for value in values {
        let value = value & mask;
        held |= value << bits;
        bits += width;
        if bits >= 64 {
            out.extend_from_slice(&held.to_le_bytes());
            bits -= 64;
            // The bits of this value that had no room; none when it ended with the word.
            held = value.checked_shr(width - bits).unwrap_or(0);
        }
    }
    let rest = held.to_le_bytes();
    out.extend_from_slice(&rest[..bits.div_ceil(8) as usize]);
}

/// Appends `count` numbers of `width` bits, `base` added to each. `bytes` are as many as they need.
fn unpack(bytes: &[u8], count: usize, width: u32, base: i64, values: &mut Vec<i64>) {
    let mask = u64::MAX >> (64 - width);
    let value = |word: u64, bit: usize| base.wrapping_add((word >> (bit % 8) & mask).cast_signed());
    if width > WIDTH_MAX {
        let words = bytes.chunks_exact(8).take(count);
        values.extend(words.map(|w| value(word_at(w, 0), 0)));
        return;
    }
    // A word from the byte in which a number begins holds all of it: 7 + 57 bits. The last ones
    // begin too near the end for that and are read from a copy.
    let width = width as usize;
    let whole = (bytes.len().saturating_sub(7) * 8)
        .div_ceil(width)
        .min(count);
    values.extend((0..whole).map(|i| value(word_at(bytes, i * width / 8), i * width)));
    if whole < count {
        let from = whole * width / 8;
        let mut tail = [0; 16];
        let rest = bytes.get(from..).unwrap_or_default();
        tail[..rest.len()].copy_from_slice(rest);
        let bit = |i: usize| i * width - from * 8;
        values.extend((whole..count).map(|i| value(word_at(&tail, bit(i) / 8), bit(i))));
    }
}

/// The eight bytes from `at` on; zero where there are not so many.
#[inline]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|b| b.first_chunk::<8>());
    word.map_or(0, |w| u64::from_le_bytes(*w))
}

/// Steps over a column of `count` integers.
pub(crate) fn skip_ints(input: &mut Input<'_>, count: usize) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let head = input.u8()?;
    let delta = head & DELTA != 0;
    let width = width_in(head)?;
    if delta {
        input.varint()?;
    }
    input.varint()?;
    let packed = count - usize::from(delta);
    input.bytes((packed * width as usize).div_ceil(8))?;
    if head & EXCEPTIONS != 0 {
        for _ in 0..input.usize()? {
            input.varint()?;
            input.varint()?;
        }
    }
    Some(())
}

/// The width that the head of a column says.
fn width_in(head: u8) -> Option<u32> {
    match head & 0x3f {
        WIDTH_WORD => Some(64),
        w if u32::from(w) <= WIDTH_MAX => Some(u32::from(w)),
        _ => None,
    }
}

/// Reads a column of `count` integers into `values`, whose former content goes.
pub(crate) fn get_ints(input: &mut Input<'_>, count: usize, values: &mut Vec<i64>) -> Option<()> {
    values.clear();
    if count == 0 {
        return Some(());
    }
    let head = input.u8()?;
    let delta = head & DELTA != 0;
    let width = width_in(head)?;
    let first = if delta { Some(input.zigzag()?) } else { None };
    let base = input.zigzag()?;
    let packed = count - usize::from(delta);
    if width == 0 {
        values.resize(packed, base);
    } else {
        let bytes = input.bytes((packed * width as usize).div_ceil(8))?;
        unpack(bytes, packed, width, base, values);
    }
    if head & EXCEPTIONS != 0 {
        for _ in 0..input.usize()? {
            let at = input.usize()?;
            let high = input.varint()?.checked_shl(width)?.cast_signed();
            let value = values.get_mut(at)?;
            *value = value.wrapping_add(high);
        }
    }
    if let Some(first) = first {
        let mut sum = first;
        for value in values.iter_mut() {
            let delta = std::mem::replace(value, sum);
            sum = sum.wrapping_add(delta);
        }
        values.push(sum);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) -> usize {
        let mut bytes = Vec::new();
        put_ints(&mut bytes, values);
        let (mut input, mut back) = (Input(&bytes), Vec::new());
        get_ints(&mut input, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
        assert!(input.is_empty());
        let mut input = Input(&bytes);
        assert!(skip_ints(&mut input, values.len()).is_some() && input.is_empty());
        bytes.len()
    }

    #[test]
    fn columns_are_small() {
        assert!(round_trip(&[7; 120]) <= 2);
        assert!(round_trip(&(0..120).collect::<Vec<_>>()) <= 4);
        let mut spiky = vec![3; 120];
        spiky[17] = 1 << 40;
        assert!(
            round_trip(&spiky) <= 16,
            "one outlier does not widen the rest"
        );
        round_trip(&[i64::MIN, i64::MAX, 0, -1]);
        round_trip(&[]);
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let mut ints = Vec::new();
        assert_eq!(scale_all(&[0.1, 2.0, 3.25], 0, &mut ints), Some(2));
        assert_eq!(ints, [10, 200, 325]);
        assert_eq!(
            scale_all(&[std::f64::consts::PI, 1e300], 0, &mut ints),
            None
        );
        assert_eq!(scaled(1e16, 0), None);
    }

    proptest! {
        #[test]
        fn ints_round_trip(values in prop::collection::vec(any::<i64>(), 0..200)) {
            round_trip(&values);
        }

        #[test]
        fn narrow_ints_round_trip(
            base in any::<i64>(), values in prop::collection::vec(0..5000i64, 0..200), spike in any::<i64>(),
        ) {
            let mut values: Vec<i64> = values.iter().map(|v| base.wrapping_add(*v)).collect();
            values.push(spike);
            round_trip(&values);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0..300usize) {
            let mut out = Vec::new();
            let _ = get_ints(&mut Input(&bytes), count, &mut out);
        }

        #[test]
        fn floats_round_trip(value in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
            prop_assert_eq!(int_to_float(float_to_int(value, 52), 52), value);
            let near = int_to_float(float_to_int(value, 16), 16);
            prop_assert!(!near.is_finite() || (near - value).abs() <= value.abs() / 65536.0);
        }

        #[test]
        fn nearest_is_round(value in any::<f64>(), near in -1e6..1e6f64) {
            for v in [value, near, near.round() + 0.5, near.round() - 0.5, (near.round() + 0.5).next_down()] {
                prop_assert_eq!(nearest(v), v.round() as i64, "{}", v);
            }
        }

        #[test]
        fn scaled_values_come_back(i in -(1i64 << 53)..1 << 53, d in 0..=DECIMALS_MAX) {
            let value = unscaled(i, d);
            if let Some(back) = scaled(value, d) {
                prop_assert_eq!(unscaled(back, d), value);
            }
        }
    }
}
