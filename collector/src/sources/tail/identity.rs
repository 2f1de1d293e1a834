//! What makes a file the same file: device and inode, and what stands in it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::super::content::{self, Bytes};

/// Bytes at the beginning that are compared.
pub(super) const PREFIX_MAX: usize = content::HEAD_LEN;
/// Bytes before the place read to that are compared.
pub(super) const TAIL_LEN: usize = 64;

/// Device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub(super) dev: u64,
    pub(super) ino: u64,
}

impl Id {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
        }
    }
}

/// The content of a file as far as it was read, in a few numbers. Inodes are used again and rotation
/// may copy: only this tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Print {
    /// Bytes of the beginning that `head` covers; grows with the file to [`PREFIX_MAX`].
    pub(super) head_len: u32,
    pub(super) head: u64,
    /// Of the bytes just before the offset, up to [`TAIL_LEN`].
    pub(super) tail: u64,
}

impl Print {
    /// The print of a file that was read up to `offset`.
    pub(super) fn take(file: &impl Bytes, offset: u64) -> io::Result<Self> {
        let mut print = Self {
            tail: tail(file, offset)?,
            ..Self::default()
        };
        print.grow(file, offset)?;
        Ok(print)
    }

    /// Covers more of the beginning, of what was read only: the rest may not be whole yet.
    pub(super) fn grow(&mut self, file: &impl Bytes, offset: u64) -> io::Result<()> {
        let len = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(PREFIX_MAX);
        if len > self.head_len as usize {
            let mut buffer = [0; PREFIX_MAX];
            let head = read_at(file, &mut buffer[..len], 0)?;
            self.head_len = u32::try_from(head.len()).unwrap_or(0);
            self.head = hash(head);
        }
        Ok(())
    }

    /// The bytes before the offset are now these.
    pub(super) fn set_tail(&mut self, read: &[u8]) {
        self.tail = hash(read);
    }

    /// Whether a file begins as this one did; any does while nothing was read.
    pub(super) fn has_head(&self, file: &impl Bytes) -> io::Result<bool> {
        let mut buffer = [0; PREFIX_MAX];
        let len = (self.head_len as usize).min(PREFIX_MAX);
        let head = read_at(file, &mut buffer[..len], 0)?;
        Ok(head.len() == len && (len == 0 || hash(head) == self.head))
    }

    /// Whether a file begins as this one did, and at `offset` went on as this one did.
    pub(super) fn matches(&self, file: &impl Bytes, offset: u64) -> io::Result<bool> {
        Ok(self.has_head(file)? && (offset == 0 || tail(file, offset)? == self.tail))
    }

    /// Whether it covers enough to believe that another file with it is a copy.
    pub(super) fn is_telling(&self) -> bool {
        self.head_len >= 64
    }
}

fn tail(file: &impl Bytes, offset: u64) -> io::Result<u64> {
    let mut buffer = [0; TAIL_LEN];
    let len = usize::try_from(offset).unwrap_or(TAIL_LEN).min(TAIL_LEN);
    let bytes = read_at(
        file,
        &mut buffer[..len],
        offset.saturating_sub(TAIL_LEN as u64),
    )?;
    Ok(hash(bytes))
}

/// The bytes from a place on, as many as there are and fit.
pub(super) fn read_at<'a>(
    file: &impl Bytes,
    buffer: &'a mut [u8],
    at: u64,
) -> io::Result<&'a [u8]> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read_at(&mut buffer[len..], at + len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(&buffer[..len])
}

/// FNV-1a: kept in the store, so it must be the same for ever.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
