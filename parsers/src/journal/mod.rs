//! systemd's journal files, read natively: entries in order, by place, by number, by time.
//!
//! ```text
//! header  LPKSHHRH flags state ids … counts, offset of the first entry array
//! object  type u8 | flags u8 | 0 × 6 | size u64, this head included | …; begins at multiples of 8
//! DATA         hash, next_hash, next_field, entry, entry_array, n u64 | (compact: 2 × u32) | NAME=value
//! ENTRY        seqnum, realtime µs, monotonic µs, boot id × 16, xor hash | items: data offset, (hash)
//! ENTRY_ARRAY  offset of the next array | offsets of entries; 0: not used yet
//! ```
//!
//! Offsets in items and arrays take four bytes in compact files, eight in others. What many entries
//! share (host, unit, command line) is one DATA object, so it is read and checked once and then found
//! by its offset.
//!
//! Everything here is total: an offset that leads astray, a wrong size, a cut file cost the entry or
//! the field that needs them, which is counted in [`Damage`]. Entries must lie behind one another, so
//! no crafted file makes a reader go round in circles.

use std::io;

mod bytes;
mod data;
mod entries;
mod hash;
mod header;
mod inflate;
mod line;
mod object;

pub use bytes::ReadAt;
pub use data::{Datum, Shared, VALUE_MAX};
pub use header::{Header, State};
pub use line::LineWriter;

use bytes::Bytes;
use data::Cache;
use entries::Walk;
use inflate::Inflater;

/// Why a file cannot be read as a journal.
#[derive(Debug)]
pub enum Error {
    /// It does not begin like one.
    NoJournal,
    /// It begins with zeros, or with nothing: its writer has only just made it.
    Empty,
    /// Its header is damaged or cut.
    Header,
    /// It uses features of a later systemd: the unknown bits.
    Unsupported(u32),
    /// It cannot be read.
    Io(io::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoJournal => f.write_str("not a journal file"),
            Self::Empty => f.write_str("nothing was written to it yet"),
            Self::Header => f.write_str("the header of the journal file is damaged"),
            Self::Unsupported(bits) => {
                write!(f, "written by a later systemd: unknown features {bits:#x}")
            }
            Self::Io(e) => write!(f, "cannot be read: {e}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// What could not be read because the file is damaged, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Entries that are not where their array says.
    pub entries: u64,
    /// Fields of other entries.
    pub fields: u64,
    /// Entry arrays; their entries were found without them.
    pub arrays: u64,
}

/// An entry without its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the sequence of the file's `seqnum_id`.
    pub seqnum: u64,
    /// When it was written, microseconds since 1970.
    pub realtime: u64,
    /// When it was written, microseconds since the machine started.
    pub monotonic: u64,
    /// Which start of the machine.
    pub boot_id: [u8; 16],
    /// All its fields' hashes, folded.
    pub xor_hash: u64,
    /// Where it stands.
    pub offset: u64,
}

impl Entry {
    /// The cursor that `journalctl` prints for it.
    #[must_use]
    pub fn cursor(&self, header: &Header) -> String {
        format!(
            "s={:032x};i={:x};b={:032x};m={:x};t={:x};x={:x}",
            u128::from_be_bytes(header.seqnum_id),
            self.seqnum,
            u128::from_be_bytes(self.boot_id),
            self.monotonic,
            self.realtime,
            self.xor_hash
        )
    }
}

/// A journal file that is being read.
#[derive(Debug)]
pub struct Journal<R> {
    header: Header,
    bytes: Bytes<R>,
    walk: Walk,
    /// Places of the data of the last entry.
    items: Vec<u64>,
    cache: Cache,
    inflater: Inflater,
    damage: Damage,
}

impl<R: ReadAt> Journal<R> {
    /// Reads the header. The first entry is the next.
    ///
    /// # Errors
    /// When it is no journal file, or one that we cannot read.
    pub fn open(source: R) -> Result<Self, Error> {
        let bytes = Bytes::new(source);
        let header = read_header(&bytes)?;
        Ok(Self {
            header,
            bytes,
            walk: Walk::default(),
            items: Vec::new(),
            cache: Cache::default(),
            inflater: Inflater::default(),
            damage: Damage::default(),
        })
    }

    /// Looks at the file again: afterwards [`Self::next_entry`] goes on with what has come since. Whether
    /// that is anything.
    ///
    /// # Errors
    /// As [`Self::open`]; another file in this one's place has a damaged header.
    pub fn refresh(&mut self) -> Result<bool, Error> {
        let header = read_header(&self.bytes)?;
        if header.file_id != self.header.file_id || header.compact != self.header.compact {
            return Err(Error::Header);
        }
        let grown = header.entries != self.header.entries;
        if grown {
            self.bytes.forget(true);
        }
        self.header = header;
        Ok(grown)
    }

    /// Gives back the memory of windows and of what entries share; reading on costs a little more.
    pub fn rest(&mut self) {
        self.bytes.forget(false);
        self.cache = Cache::default();
        self.inflater = Inflater::default();
    }

    /// The header at the last look.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What could not be read so far.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// Entries between here and the end of what the header knows.
    #[must_use]
    pub fn entries_left(&self) -> u64 {
        self.header.entries.saturating_sub(self.walk.passed())
    }

    /// About how many bytes of the file those take.
    #[must_use]
    pub fn bytes_left(&self) -> u64 {
        let used = self.header.tail_object.saturating_sub(self.header.start);
        let each = used.checked_div(self.header.entries).unwrap_or(0);
        each.saturating_mul(self.entries_left()).min(used)
    }
}

fn read_header<R: ReadAt>(bytes: &Bytes<R>) -> Result<Header, Error> {
    let mut head = [0; header::HEADER_MIN];
    let n = bytes.first(&mut head)?;
    Header::read(head.get(..n).unwrap_or_default())
}
