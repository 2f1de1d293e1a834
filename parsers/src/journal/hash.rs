//! The hashes of data objects: SipHash-2-4 with the file's id as its key, or Jenkins' lookup3 in files of
//! before systemd 246.

/// Eight bytes, little endian; missing ones are 0.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// SipHash-2-4 (Aumasson, Bernstein).
pub(super) fn siphash24(key: &[u8; 16], data: &[u8]) -> u64 {
    let (low, high) = key.split_at(8);
    let (k0, k1) = (word(low), word(high));
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mix = |m: u64, v: &mut [u64; 4]| {
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    };
    let mut chunks = data.chunks_exact(8);
    for chunk in &mut chunks {
        mix(word(chunk), &mut v);
    }
    mix(word(chunks.remainder()) | (data.len() as u64) << 56, &mut v);
    v[2] ^= 0xff;
    (0..4).for_each(|_| sip_round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline]
fn sip_round(v: &mut [u64; 4]) {
    let [a, b, c, d] = v;
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

/// `hashlittle2` of lookup3 (Bob Jenkins, public domain), its first word in the upper half.
pub(super) fn jenkins(data: &[u8]) -> u64 {
    // The length counts modulo 2^32, as in the original.
    let len = u32::try_from(data.len() & 0xffff_ffff).unwrap_or_default();
    let start = 0xdead_beef_u32.wrapping_add(len);
    let mut s = [start; 3];
    if data.is_empty() {
        return u64::from(start) << 32 | u64::from(start);
    }
    let last = (data.len() - 1) / 12 * 12;
    let (blocks, tail) = data.split_at(last);
    for block in blocks.chunks_exact(12) {
        add(&mut s, block);
        mix(&mut s);
    }
    add(&mut s, tail);
    finish(&mut s);
    u64::from(s[2]) << 32 | u64::from(s[1])
}

/// Adds up to twelve bytes as three words.
fn add(s: &mut [u32; 3], block: &[u8]) {
    for (word, bytes) in s.iter_mut().zip(block.chunks(4)) {
        let mut four = [0; 4];
        for (to, from) in four.iter_mut().zip(bytes) {
            *to = *from;
        }
        *word = word.wrapping_add(u32::from_le_bytes(four));
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    *a = a.wrapping_sub(*c) ^ c.rotate_left(4);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(6);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(8);
    *b = b.wrapping_add(*a);
    *a = a.wrapping_sub(*c) ^ c.rotate_left(16);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(19);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(4);
    *b = b.wrapping_add(*a);
}

fn finish([a, b, c]: &mut [u32; 3]) {
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(14));
    *a = (*a ^ *c).wrapping_sub(c.rotate_left(11));
    *b = (*b ^ *a).wrapping_sub(a.rotate_left(25));
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(16));
    *a = (*a ^ *c).wrapping_sub(c.rotate_left(4));
    *b = (*b ^ *a).wrapping_sub(a.rotate_left(14));
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(24));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_their_authors() {
        let key: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let data: Vec<u8> = (0..15).collect();
        assert_eq!(siphash24(&key, &data), 0xa129_ca61_49be_45e5);
        // lookup3's driver5: the word c of the text below with both seeds 0 is 17770551.
        assert_eq!(jenkins(b"") >> 32, 0xdead_beef);
        let hash = jenkins(b"Four score and seven years ago");
        assert_eq!(hash, 0x1777_0551_ce72_26e6);
    }
}
