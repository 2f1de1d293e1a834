//! The head of every object, and the fixed part of an entry.

use super::Entry;
use super::header::{id_at, u64_at};

pub(super) const HEAD: usize = 16;
pub(super) const DATA: u8 = 1;
pub(super) const ENTRY: u8 = 3;
pub(super) const ENTRY_ARRAY: u8 = 6;
const TYPE_MAX: u8 = 7;

/// Where the items of an entry begin.
pub(super) const ENTRY_ITEMS: usize = 64;
/// Where the offsets of an entry array begin.
pub(super) const ARRAY_ITEMS: usize = 24;

/// The head of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// With the head.
    pub(super) size: u64,
}

impl Head {
    /// Reads the head; `None` if no object begins so.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (&kind, &flags) = (bytes.first()?, bytes.get(1)?);
        let size = u64_at(bytes, 8)?;
        let sane = (1..=TYPE_MAX).contains(&kind) && size >= HEAD as u64;
        sane.then_some(Self { kind, flags, size })
    }
}

/// The fixed part of an entry whose head was read.
#[inline]
pub(super) fn entry(bytes: &[u8], offset: u64) -> Option<Entry> {
    Some(Entry {
        seqnum: u64_at(bytes, 16)?,
        realtime: u64_at(bytes, 24)?,
        monotonic: u64_at(bytes, 32)?,
        boot_id: id_at(bytes, 40)?,
        xor_hash: u64_at(bytes, 56)?,
        offset,
    })
}
