//! Bytes of blocks and journal rows: integers of variable length, runs, byte planes, segments.
//!
//! Every decoder is total: whatever the input, it answers `None` or a value, and allocates no more
//! than its limits.

use std::cell::RefCell;

/// A segment is never larger once unpacked: a block takes 16 MiB of lines and one line more.
const SEGMENT_RAW_MAX: usize = 64 << 20;
/// zstd must gain this part (1/32) to be used at all.
const GAIN_MIN_SHIFT: u32 = 5;
/// Segment: codec, raw length, CRC-32C of the payload, payload.
const SEGMENT_HEAD: usize = 9;
const STORED: u8 = 0;
const ZSTD: u8 = 1;
/// How differences are written.
const EACH: u8 = 0;
const RUNS: u8 = 1;
/// The fastest level that still finds the repetitions of sorted and dictionary-coded data.
const ZSTD_LEVEL: i32 = 1;

pub(super) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(
        out,
        (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned(),
    );
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Values as runs of equal ones.
pub(super) fn put_runs(out: &mut Vec<u8>, values: &[u32]) {
    for run in values.chunk_by(|a, b| a == b) {
        put_uint(out, u64::from(run[0]));
        put_uint(out, run.len() as u64);
    }
}

/// Integers as differences, each of its own or as runs of equal ones, whichever is shorter.
pub(super) fn put_deltas(out: &mut Vec<u8>, values: impl Iterator<Item = i64> + Clone) {
    let deltas = || {
        let mut last = 0i64;
        values.clone().map(move |value| {
            let delta = value.wrapping_sub(last);
            last = value;
            delta
        })
    };
    let mut runs = 0usize;
    let mut last = None;
    for delta in deltas() {
        runs += usize::from(last != Some(delta));
        last = Some(delta);
    }
    if runs * 2 > values.clone().count() {
        out.push(EACH);
        deltas().for_each(|d| put_int(out, d));
        return;
    }
    out.push(RUNS);
    let mut deltas = deltas().peekable();
    while let Some(delta) = deltas.next() {
        let mut n = 1u64;
        while deltas.next_if_eq(&delta).is_some() {
            n += 1;
        }
        put_int(out, delta);
        put_uint(out, n);
    }
}

/// Integers of one width: the width in bytes, then all low bytes, then the next ones.
pub(super) fn put_planes(out: &mut Vec<u8>, values: &[u32]) {
    let all = values.iter().fold(0, |all, v| all | v);
    let width = (32 - all.leading_zeros()).div_ceil(8);
    out.push(width.to_le_bytes()[0]);
    for plane in 0..width as usize {
        out.extend(values.iter().map(|v| v.to_le_bytes()[plane]));
    }
}

/// Reads what the functions above wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, tail) = self.0.split_first()?;
        self.0 = tail;
        Some(first)
    }

    pub(super) fn uint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn int(&mut self) -> Option<i64> {
        let raw = self.uint()?;
        Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.uint()?).ok()
    }

    /// A count of things that take part in memory; `None` above `max`.
    pub(super) fn count(&mut self, max: usize) -> Option<usize> {
        usize::try_from(self.uint()?).ok().filter(|&n| n <= max)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.count(usize::MAX)?;
        self.take(n)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn runs(&mut self, n: usize) -> Option<Vec<u32>> {
        let mut values = Vec::with_capacity(n);
        while values.len() < n {
            let value = self.u32()?;
            let run = self.count(n - values.len())?;
            if run == 0 {
                return None;
            }
            values.resize(values.len() + run, value);
        }
        Some(values)
    }

    /// Reads what [`put_deltas`] wrote of `n` integers.
    pub(super) fn deltas(&mut self, n: usize) -> Option<Vec<i64>> {
        let mut values = Vec::with_capacity(n);
        let mut last = 0i64;
        match self.byte()? {
            EACH => {
                for _ in 0..n {
                    last = last.wrapping_add(self.int()?);
                    values.push(last);
                }
            }
            RUNS => {
                while values.len() < n {
                    let delta = self.int()?;
                    let run = self.count(n - values.len())?;
                    if run == 0 {
                        return None;
                    }
                    values.extend((0..run).map(|_| {
                        last = last.wrapping_add(delta);
                        last
                    }));
                }
            }
            _ => return None,
        }
        Some(values)
    }

    /// Whether one of `n` integers in planes is this one.
    pub(super) fn planes_hold(&mut self, n: usize, value: u32) -> Option<bool> {
        let width = usize::from(self.byte()?);
        let planes = self.take(n.checked_mul(width)?)?;
        let (wanted, beyond) = value.to_le_bytes().split_at_checked(width).map(|(a, b)| {
            let beyond = b.iter().any(|&b| b != 0);
            (
                [a.first(), a.get(1), a.get(2), a.get(3)].map(|b| b.copied()),
                beyond,
            )
        })?;
        let Some(low) = wanted[0].filter(|_| !beyond && n > 0) else {
            return Some(value == 0 && n > 0);
        };
        let rest: Vec<(&[u8], u8)> = planes
            .chunks_exact(n)
            .zip(wanted)
            .skip(1)
            .filter_map(|(plane, byte)| Some((plane, byte?)))
            .collect();
        let mut candidates = memchr::memchr_iter(low, planes.get(..n)?);
        Some(candidates.any(|at| rest.iter().all(|(plane, byte)| plane.get(at) == Some(byte))))
    }

    pub(super) fn planes(&mut self, n: usize) -> Option<Vec<u32>> {
        let width = usize::from(self.byte()?);
        let planes = self.take(n.checked_mul(width)?)?;
        Some(match (width, n) {
            (0, _) | (_, 0) => vec![0; n],
            (1, _) => planes.iter().map(|&b| u32::from(b)).collect(),
            (2, _) => {
                let (low, high) = planes.split_at(n);
                let pair = |(&l, &h): (&u8, &u8)| u32::from(l) | u32::from(h) << 8;
                low.iter().zip(high).map(pair).collect()
            }
            (3 | 4, _) => {
                let mut values = vec![0u32; n];
                for (plane, shift) in planes.chunks_exact(n).zip([0, 8, 16, 24]) {
                    for (value, &byte) in values.iter_mut().zip(plane) {
                        *value |= u32::from(byte) << shift;
                    }
                }
                values
            }
            _ => return None,
        })
    }
}

/// Compresses segments, keeping zstd's tables from one to the next.
pub(super) struct Packer(Option<zstd::bulk::Compressor<'static>>);

impl Packer {
    /// Without memory for zstd's tables segments are stored as they are.
    pub(super) fn new() -> Self {
        Self(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok())
    }

    /// The segment that holds `raw`.
    pub(super) fn pack(&mut self, raw: &[u8]) -> Vec<u8> {
        let mut out = vec![0; SEGMENT_HEAD + zstd::zstd_safe::compress_bound(raw.len())];
        let small = raw.len() - (raw.len() >> GAIN_MIN_SHIFT);
        let packed = self.0.as_mut().and_then(|zstd| {
            let to = &mut out[SEGMENT_HEAD..];
            zstd.compress_to_buffer(raw, to).ok()
        });
        let codec = match packed {
            Some(n) if n < small => {
                out.truncate(SEGMENT_HEAD + n);
                ZSTD
            }
            _ => {
                out.truncate(SEGMENT_HEAD);
                out.extend_from_slice(raw);
                STORED
            }
        };
        let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        let crc = crc32c::crc32c(&out[SEGMENT_HEAD..]);
        out[0] = codec;
        out[1..5].copy_from_slice(&raw_len.to_le_bytes());
        out[5..9].copy_from_slice(&crc.to_le_bytes());
        out.shrink_to_fit();
        out
    }
}

/// The bytes that a segment holds; `None` if it is damaged.
pub(super) fn unpack(segment: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Bytes(segment);
    let codec = bytes.byte()?;
    let raw_len = u32::from_le_bytes(*bytes.take(4)?.first_chunk()?) as usize;
    let crc = u32::from_le_bytes(*bytes.take(4)?.first_chunk()?);
    if crc32c::crc32c(bytes.0) != crc || raw_len > SEGMENT_RAW_MAX {
        return None;
    }
    let raw = match codec {
        STORED => bytes.0.to_vec(),
        ZSTD => decompress(bytes.0, raw_len)?,
        _ => return None,
    };
    (raw.len() == raw_len).then_some(raw)
}

thread_local! {
    /// Its tables are larger than most segments: made once for each thread.
    static ZSTD_READER: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        RefCell::new(zstd::bulk::Decompressor::new().ok());
}

fn decompress(packed: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    ZSTD_READER.with_borrow_mut(|zstd| zstd.as_mut()?.decompress(packed, raw_len).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(values in proptest::collection::vec(any::<i64>(), 0..50)) {
            let mut out = Vec::new();
            for &v in &values {
                put_int(&mut out, v);
                put_uint(&mut out, v.cast_unsigned());
            }
            let mut bytes = Bytes(&out);
            for &v in &values {
                prop_assert_eq!(bytes.int(), Some(v));
                prop_assert_eq!(bytes.uint(), Some(v.cast_unsigned()));
            }
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn planes_and_runs_come_back(
            values in proptest::collection::vec(any::<u32>(), 0..50),
            shift in 0u32..32,
        ) {
            let values: Vec<u32> = values.into_iter().map(|v| v >> shift).collect();
            let mut out = Vec::new();
            put_planes(&mut out, &values);
            put_runs(&mut out, &values);
            for &wanted in values.iter().chain(&[0, 1, 255, 256, u32::MAX]) {
                let holds = Bytes(&out).planes_hold(values.len(), wanted);
                prop_assert_eq!(holds, Some(values.contains(&wanted)));
            }
            let mut bytes = Bytes(&out);
            prop_assert_eq!(bytes.planes(values.len()), Some(values.clone()));
            prop_assert_eq!(bytes.runs(values.len()), Some(values));
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn differences_come_back(
            each in proptest::collection::vec(any::<i64>(), 0..20),
            runs in proptest::collection::vec((any::<i64>(), 1usize..30), 0..20),
        ) {
            let runs = runs.iter().flat_map(|&(v, n)| std::iter::repeat_n(v, n));
            let values: Vec<i64> = each.iter().copied().chain(runs).collect();
            let mut out = Vec::new();
            put_deltas(&mut out, values.iter().copied());
            let mut bytes = Bytes(&out);
            prop_assert_eq!(bytes.deltas(values.len()), Some(values));
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn segments_come_back(raw in proptest::collection::vec(0u8..4, 0..500)) {
            let packed = Packer::new().pack(&raw);
            prop_assert_eq!(unpack(&packed), Some(raw));
        }

        #[test]
        fn damage_is_seen(
            raw in proptest::collection::vec(any::<u8>(), 1..200), at in any::<usize>(),
        ) {
            let mut packed = Packer::new().pack(&raw);
            let at = 5 + at % (packed.len() - 5);
            packed[at] ^= 0x10;
            prop_assert_eq!(unpack(&packed), None);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
            let mut reader = Bytes(&bytes);
            let _ = (reader.planes_hold(20, 7), reader.planes(20), reader.runs(20), reader.text(), reader.int());
            let _ = Bytes(&bytes).deltas(20);
        }
    }
}
