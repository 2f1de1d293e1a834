//! The first bytes of a journal file.

use super::Error;

/// What we read of a header: everything that the oldest file has. Later versions append.
pub(super) const HEADER_MIN: usize = 208;
/// A header that claims more is none: systemd's own has grown to 272 in twelve years.
const HEADER_MAX: u64 = 1 << 20;

const COMPRESSED: u32 = 1 | 2 | 8;
const KEYED_HASH: u32 = 4;
const COMPACT: u32 = 16;

/// What the writer is doing with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody writes; a writer may come back.
    Offline,
    /// Somebody writes, or died writing.
    Online,
    /// Nobody will write again.
    Archived,
}

/// The header of a journal file, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the writer is doing.
    pub state: State,
    /// Drawn when the file was made; stays when it is renamed.
    pub file_id: [u8; 16],
    /// The machine that wrote the file, which may not be the one it speaks of.
    pub machine_id: [u8; 16],
    /// Files with the same one count their entries in one sequence.
    pub seqnum_id: [u8; 16],
    /// Offsets take four bytes.
    pub compact: bool,
    /// Hashes are keyed with the file's id.
    pub keyed_hash: bool,
    /// Entries that are complete.
    pub entries: u64,
    /// Sequence numbers of the first and the last entry.
    pub seqnums: (u64, u64),
    /// Times of the first and the last entry, microseconds since 1970.
    pub realtimes: (u64, u64),
    /// Where objects begin.
    pub(super) start: u64,
    /// Where the file ends by its own account.
    pub(super) end: u64,
    /// The last object.
    pub(super) tail_object: u64,
    /// The first entry array; 0 if there is none yet.
    pub(super) entry_array: u64,
    /// The hash table of data: its buckets' place and their bytes.
    pub(super) data_table: (u64, u64),
}

/// A little-endian number of the header; every place lies within [`HEADER_MIN`].
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

pub(super) fn id_at(bytes: &[u8], at: usize) -> Option<[u8; 16]> {
    bytes.get(at..)?.first_chunk::<16>().copied()
}

impl Header {
    /// Reads it from the first bytes of a file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.iter().take(8).all(|b| *b == 0) {
            return Err(Error::Empty);
        }
        if !bytes.starts_with(b"LPKSHHRH") {
            return Err(Error::NoJournal);
        }
        Self::fields(bytes).ok_or(Error::Header)?
    }

    fn fields(b: &[u8]) -> Option<Result<Self, Error>> {
        let incompatible = u32_at(b, 12)?;
        let unknown = incompatible & !(COMPRESSED | KEYED_HASH | COMPACT);
        if unknown != 0 {
            return Some(Err(Error::Unsupported(unknown)));
        }
        let state = match b.get(16)? {
            0 => State::Offline,
            1 => State::Online,
            2 => State::Archived,
            _ => return None,
        };
        let start = u64_at(b, 88)?;
        if !(HEADER_MIN as u64..=HEADER_MAX).contains(&start) || start % 8 != 0 {
            return None;
        }
        Some(Ok(Self {
            state,
            file_id: id_at(b, 24)?,
            machine_id: id_at(b, 40)?,
            seqnum_id: id_at(b, 72)?,
            compact: incompatible & COMPACT != 0,
            keyed_hash: incompatible & KEYED_HASH != 0,
            entries: u64_at(b, 152)?,
            seqnums: (u64_at(b, 168)?, u64_at(b, 160)?),
            realtimes: (u64_at(b, 184)?, u64_at(b, 192)?),
            start,
            end: start.checked_add(u64_at(b, 96)?)?,
            tail_object: u64_at(b, 136)?,
            entry_array: u64_at(b, 176)?,
            data_table: (u64_at(b, 104)?, u64_at(b, 112)?),
        }))
    }
}
