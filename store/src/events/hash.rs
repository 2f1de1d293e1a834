//! A keyed hash of byte strings by folded multiplication: for the tables of open blocks and, since
//! it never changes, for the word filters on disk.

const K0: u64 = 0x2d35_8dcc_aa6c_78a5;
const K1: u64 = 0x8bb8_4b93_962e_acc9;

/// The two halves of the 128-bit product, folded into each other.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each half of the product is taken as such"
)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

fn read8(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |c| u64::from_le_bytes(*c))
}

fn read4(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |c| u64::from(u32::from_le_bytes(*c)))
}

/// The hash of `bytes` under `key`. Part of the file format.
pub(super) fn hash(key: u64, bytes: &[u8]) -> u64 {
    hash_or::<0>(key, bytes)
}

/// A hash of 96 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "as many bits as are wanted"
)]
pub(super) fn hash_wide(key: u64, bytes: &[u8]) -> (u64, u32) {
    let more = hash(fold(key ^ K1, K0), bytes);
    (hash(key, bytes), more as u32)
}

/// The hash of `bytes` with their case bits set, which folds ASCII letters.
pub(super) fn hash_folded(key: u64, bytes: &[u8]) -> u64 {
    hash_or::<0x2020_2020_2020_2020>(key, bytes)
}

/// `OR` is set in all bytes: the same one eight times.
#[inline]
fn hash_or<const OR: u64>(key: u64, bytes: &[u8]) -> u64 {
    let read8 = |bytes: &[u8]| read8(bytes) | OR;
    let read4 = |bytes: &[u8]| read4(bytes) | (OR & 0xFFFF_FFFF);
    let n = bytes.len();
    let mut state = key ^ K0;
    let (a, b) = if n > 16 {
        let mut rest = bytes;
        while let Some((chunk, tail)) = rest.split_first_chunk::<16>() {
            state = fold(read8(chunk) ^ K1, read8(&chunk[8..]) ^ state);
            rest = tail;
        }
        let last = &bytes[n - 16..];
        (read8(last), read8(&last[8..]))
    } else if n >= 8 {
        (read8(bytes), read8(&bytes[n - 8..]))
    } else if n >= 4 {
        (read4(bytes), read4(&bytes[n - 4..]))
    } else if let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) {
        let middle = bytes[n / 2];
        (
            u64::from(first) | u64::from(middle) << 8 | u64::from(last) << 16 | (OR & 0xFF_FFFF),
            0,
        )
    } else {
        (0, 0)
    };
    fold(
        fold(a ^ K1, b ^ state) ^ K0,
        key.rotate_left(32) ^ n as u64 ^ K1,
    )
}

#[cfg(test)]
mod tests {
    use super::{hash, hash_folded};

    /// Filters on disk were written with exactly these.
    #[test]
    fn is_what_is_on_disk() {
        let words = [
            "ab",
            "failed",
            "10.0.0.7",
            "exactly_16_bytes",
            "a_word_of_more_than_sixteen_bytes_42",
        ];
        let got = words.map(|w| hash_folded(0x0123_4567_89ab_cdef, w.as_bytes()));
        assert_eq!(
            got,
            [
                5_505_211_589_105_735_030,
                15_744_558_416_483_584_793,
                8_681_513_539_276_335_234,
                2_272_314_351_561_352_216,
                2_326_945_396_843_936_511,
            ]
        );
    }

    #[test]
    fn folding_is_setting_the_case_bits() {
        let text = b"The Quick_Brown Fox JUMPS over the_lazy dog 0123";
        for end in 0..text.len() {
            let folded: Vec<u8> = text[..end].iter().map(|b| b | 0x20).collect();
            assert_eq!(hash_folded(42, &text[..end]), hash(42, &folded));
        }
    }

    #[test]
    fn depends_on_text_and_key() {
        let text = b"the quick brown fox jumps over the lazy dog";
        let got: Vec<u64> = [0, 1, 3, 5, 8, 12, 16, 17, 33, 43]
            .iter()
            .map(|&n| hash(42, &text[..n]))
            .collect();
        let mut distinct = got.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), got.len());
        assert_eq!(hash(42, text), hash(42, text));
        assert_ne!(hash(42, text), hash(43, text));
    }
}
