//! The fields of entries, read once for all entries that share them.

use std::hash::{BuildHasherDefault, Hasher};
use std::io;

use super::header::u64_at;
use super::object::{DATA, HEAD, Head};
use super::{Damage, Header, Inflater, Journal, ReadAt, hash};

/// A value is read up to this length: above the longest line that journald takes (48 KiB by default)
/// and far below what a core dump brings.
pub const VALUE_MAX: usize = 128 << 10;
/// Names of fields, as systemd allows them.
const NAME_MAX: usize = 64;
/// What shared fields may take in memory; beyond it all are forgotten and read again.
const CACHE_BYTES: usize = 2 << 20;
/// Shared fields in memory.
const CACHE_ITEMS: usize = 32 << 10;
/// Longer values are not worth keeping.
const CACHED_MAX: usize = 4 << 10;
/// What stands before the payload: the same, and eight bytes more in compact files.
const PAYLOAD: usize = 64;
const PAYLOAD_COMPACT: usize = 72;

/// One field of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datum<'a> {
    /// `MESSAGE`, `_SYSTEMD_UNIT` …
    pub name: &'a [u8],
    /// Any bytes.
    pub value: &'a [u8],
    /// The value was longer than [`VALUE_MAX`].
    pub cut: bool,
    /// Set for fields that are kept in memory because several entries have them.
    pub shared: Option<Shared>,
}

/// The number of a field in memory: whoever derives something from a field can keep it under this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Numbers of another generation mean other fields.
    pub generation: u32,
    /// From 0 on.
    pub number: u32,
}

/// Shared fields by their offset.
#[derive(Debug, Default)]
pub(super) struct Cache {
    by_offset: std::collections::HashMap<u64, u32, BuildHasherDefault<Spread>>,
    items: Vec<Item>,
    bytes: Vec<u8>,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    start: usize,
    name_len: usize,
    len: usize,
}

/// Offsets are multiples of 8 and nobody gains by choosing them: one multiplication spreads them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        let product =
            u128::from(self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let bytes = product.to_le_bytes();
        self.0 = bytes
            .last_chunk::<8>()
            .map_or(0, |b| u64::from_le_bytes(*b));
    }
}

impl Cache {
    #[inline]
    fn get(&self, number: u32) -> Option<Datum<'_>> {
        let item = self.items.get(number as usize)?;
        let payload = self.bytes.get(item.start..item.start + item.len)?;
        Some(Datum {
            name: payload.get(..item.name_len)?,
            value: payload.get(item.name_len + 1..)?,
            cut: false,
            shared: Some(Shared {
                generation: self.generation,
                number,
            }),
        })
    }

    fn insert(&mut self, offset: u64, payload: &[u8], name_len: usize) -> Option<u32> {
        if self.bytes.len() + payload.len() > CACHE_BYTES || self.items.len() >= CACHE_ITEMS {
            self.by_offset.clear();
            self.items.clear();
            self.bytes.clear();
            self.generation = self.generation.wrapping_add(1);
        }
        let number = u32::try_from(self.items.len()).ok()?;
        self.items.push(Item {
            start: self.bytes.len(),
            name_len,
            len: payload.len(),
        });
        self.bytes.extend_from_slice(payload);
        self.by_offset.insert(offset, number);
        Some(number)
    }
}

impl<R: ReadAt> Journal<R> {
    /// A field of the last entry, by its place in it; `None` if there is none or it is damaged.
    ///
    /// # Errors
    /// When the file cannot be read.
    #[inline]
    pub fn datum(&mut self, index: usize) -> io::Result<Option<Datum<'_>>> {
        let Some(offset) = self.item(index) else {
            return Ok(None);
        };
        if let Some(&number) = self.cache.by_offset.get(&offset) {
            return Ok(self.cache.get(number));
        }
        self.read_datum(offset)
    }

    fn read_datum(&mut self, offset: u64) -> io::Result<Option<Datum<'_>>> {
        let Self {
            header,
            bytes,
            cache,
            inflater,
            damage,
            ..
        } = self;
        let Some(object) = Object::read(bytes.get(offset, PAYLOAD_COMPACT)?, offset, header) else {
            damage.fields += 1;
            return Ok(None);
        };
        let Some(raw) = bytes.get(offset + object.start, object.len)? else {
            damage.fields += 1;
            return Ok(None);
        };
        let Some((payload, cut)) = object.payload(raw, inflater, header) else {
            damage.fields += 1;
            return Ok(None);
        };
        let Some(name_len) = name_len(payload) else {
            damage.fields += 1;
            return Ok(None);
        };
        if object.entries > 1 && !cut && payload.len() <= CACHED_MAX {
            let number = cache.insert(offset, payload, name_len);
            return Ok(number.and_then(|n| cache.get(n)));
        }
        Ok(Some(Datum {
            name: payload.get(..name_len).unwrap_or_default(),
            value: payload.get(name_len + 1..).unwrap_or_default(),
            cut,
            shared: None,
        }))
    }
}

/// `NAME=`: how long the name is.
fn name_len(payload: &[u8]) -> Option<usize> {
    let head = payload.get(..payload.len().min(NAME_MAX + 1))?;
    memchr::memchr(b'=', head).filter(|n| *n > 0)
}

/// A data object, as its head describes it.
struct Object {
    flags: u8,
    hash: u64,
    /// Entries that have this field, as far as is known.
    entries: u64,
    /// Where the payload begins in the object.
    start: u64,
    /// Bytes of it that we read.
    len: usize,
    /// There are more.
    cut: bool,
}

impl Object {
    fn read(bytes: Option<&[u8]>, offset: u64, header: &Header) -> Option<Self> {
        let bytes = bytes?;
        let head = Head::read(bytes).filter(|h| h.kind == DATA)?;
        let start = if header.compact {
            PAYLOAD_COMPACT
        } else {
            PAYLOAD
        };
        let whole = head.size.checked_sub(start as u64)?;
        let inside = offset >= header.start && head.size <= header.end.checked_sub(offset)?;
        if !inside || !offset.is_multiple_of(8) || whole == 0 {
            return None;
        }
        let len = usize::try_from(whole).ok()?.min(VALUE_MAX);
        Some(Self {
            flags: head.flags,
            hash: u64_at(bytes, HEAD)?,
            entries: u64_at(bytes, 56)?,
            start: start as u64,
            len,
            cut: (len as u64) < whole,
        })
    }

    /// The payload unpacked and checked, and whether it was cut.
    fn payload<'a>(
        &self,
        raw: &'a [u8],
        inflater: &'a mut Inflater,
        header: &Header,
    ) -> Option<(&'a [u8], bool)> {
        let (payload, cut) = if self.flags == 0 {
            (raw, self.cut)
        } else {
            // Half a compressed payload is none.
            let (payload, whole) = inflater.unpack(self.flags, raw, VALUE_MAX)?;
            (payload, !whole)
        };
        let hash = || match header.keyed_hash {
            true => hash::siphash24(&header.file_id, payload),
            false => hash::jenkins(payload),
        };
        (cut || hash() == self.hash).then_some((payload, cut))
    }
}

impl std::ops::AddAssign for Damage {
    fn add_assign(&mut self, other: Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.fields = self.fields.saturating_add(other.fields);
        self.arrays = self.arrays.saturating_add(other.arrays);
    }
}
