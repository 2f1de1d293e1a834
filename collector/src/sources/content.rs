//! The bytes of a file by their place in it: as they stand there, or unpacked.
//!
//! A packed file was finished before it was packed, so it is read once, from front to end, as a stream.
//! What was unpacked last stays in memory, for lines that are read again when they are whole.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::packing::Packing;

/// Bytes at the beginning that stay in memory.
pub(super) const HEAD_LEN: usize = 1024;
/// Unpacked at once.
const STEP_BYTES: usize = 64 << 10;
/// Unpacked bytes that stay in memory: more than a reader goes back, which is a line.
const WINDOW_BYTES: usize = 512 << 10;
/// More than any rotated log holds: what a small file that unpacks without end is worth.
const UNPACKED_MAX: u64 = 64 << 30;

/// A file's bytes.
pub(super) trait Bytes {
    /// Reads some of the bytes at a place; none only at the end.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
}

impl Bytes for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }
}

/// See the module.
pub(super) enum Content {
    Plain(File),
    Packed(File, Box<RefCell<Stream>>),
}

/// A packed file on its way out.
pub(super) struct Stream {
    packing: Packing,
    unpacked: Box<dyn Read + Send>,
    /// Bytes that came out.
    len: u64,
    head: Vec<u8>,
    /// The last of them.
    window: Vec<u8>,
    /// Nothing more will come.
    ended: bool,
    fault: Option<String>,
}

impl Content {
    /// Takes a file as it is, or packed, as its first bytes say.
    ///
    /// # Errors
    /// The file cannot be read, or is packed in a way that is not read here.
    pub(super) fn of(file: File) -> io::Result<Self> {
        Ok(match packing(&file)? {
            None => Self::Plain(file),
            Some(packing) => {
                let stream = Stream::open(&file, packing)?;
                Self::Packed(file, Box::new(RefCell::new(stream)))
            }
        })
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        let (Self::Plain(file) | Self::Packed(file, _)) = self;
        file.metadata()
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(..))
    }

    /// Whether a packed file has nothing more behind `offset`.
    pub(super) fn is_done(&self, offset: u64) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Packed(_, stream) => {
                let stream = stream.borrow();
                stream.ended && offset >= stream.len
            }
        }
    }

    /// Why a packed file ended before its end; says it once.
    pub(super) fn take_fault(&self) -> Option<String> {
        match self {
            Self::Plain(_) => None,
            Self::Packed(_, stream) => stream.borrow_mut().fault.take(),
        }
    }
}

impl Bytes for Content {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Self::Plain(file) => FileExt::read_at(file, buffer, at),
            Self::Packed(file, stream) => stream.borrow_mut().read_at(file, buffer, at),
        }
    }
}

/// How a file is packed.
pub(super) fn packing(file: &File) -> io::Result<Option<Packing>> {
    let mut head = [0; crate::packing::MAGIC_LEN_MAX];
    let n = FileExt::read_at(file, &mut head, 0)?;
    Ok(Packing::of(&head[..n]))
}

impl Stream {
    fn open(file: &File, packing: Packing) -> io::Result<Self> {
        let packed = Cursor {
            file: file.try_clone()?,
            at: 0,
        };
        Ok(Self {
            packing,
            unpacked: packing.unpack(packed)?,
            len: 0,
            head: Vec::new(),
            window: Vec::new(),
            ended: false,
            fault: None,
        })
    }

    fn read_at(&mut self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        if let Some(head) = after(&self.head, 0, at)
            && (head.len() >= buffer.len() || self.head.len() < HEAD_LEN && self.ended)
        {
            return Ok(copy(head, buffer));
        }
        if at < self.window_start() {
            *self = Self::open(file, self.packing)?;
        }
        while self.len <= at && !self.ended {
            self.step();
        }
        let piece = after(&self.window, self.window_start(), at);
        Ok(copy(piece.unwrap_or_default(), buffer))
    }

    fn window_start(&self) -> u64 {
        self.len - self.window.len() as u64
    }

    /// Unpacks some more. What is damaged ends there: what came out before it stands.
    fn step(&mut self) {
        let before = self.window.len();
        if before >= 2 * WINDOW_BYTES {
            self.window.drain(..before - WINDOW_BYTES);
        }
        let from = self.window.len();
        let step = self.unpacked.by_ref().take(STEP_BYTES as u64);
        let read = { step }.read_to_end(&mut self.window);
        let new = self.window.get(from..).unwrap_or_default();
        let missing = HEAD_LEN.saturating_sub(self.head.len()).min(new.len());
        self.head.extend_from_slice(&new[..missing]);
        self.len += new.len() as u64;
        self.ended = new.is_empty() || read.is_err();
        if let Err(e) = read {
            self.fault = Some(e.to_string());
        } else if self.len > UNPACKED_MAX {
            self.ended = true;
            self.fault = Some(format!("more than {} GiB in it", UNPACKED_MAX >> 30));
        }
    }
}

/// The bytes from `at` on, where `start` is the place of the first; `None` before it.
fn after(bytes: &[u8], start: u64, at: u64) -> Option<&[u8]> {
    let skip = usize::try_from(at.checked_sub(start)?).ok()?;
    Some(bytes.get(skip..).unwrap_or_default())
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    to[..n].copy_from_slice(&from[..n]);
    n
}

/// A place of its own in a file that others read too.
struct Cursor {
    file: File,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = FileExt::read_at(&self.file, buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &[u8]) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        Content::of(file).unwrap()
    }

    fn all(content: &Content, mut at: u64) -> Vec<u8> {
        let (mut out, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            let n = content.read_at(&mut buffer, at).unwrap();
            if n == 0 {
                return out;
            }
            out.extend_from_slice(&buffer[..n]);
            at += n as u64;
        }
    }

    fn numbers() -> Vec<u8> {
        (0..300_000u32)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect()
    }

    #[test]
    fn packed_bytes_stand_at_their_places() {
        let text = numbers();
        let packed = zstd::encode_all(text.as_slice(), 1).unwrap();
        let content = content(&packed);
        assert!(content.is_packed() && !content.is_done(0));
        assert_eq!(all(&content, 0), text);
        let end = text.len() as u64;
        assert!(content.is_done(end) && !content.is_done(end - 1));
        // Back to what has left the memory, and to the head.
        for at in [end - 7, 100_000, 0, 1020, end / 2] {
            let from = usize::try_from(at).unwrap();
            assert_eq!(all(&content, at), text[from..], "{at}");
        }
        assert_eq!(content.take_fault(), None);
    }

    #[test]
    fn what_came_out_before_the_damage_stands() {
        let text = numbers();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, &text).unwrap();
        let packed = gz.finish().unwrap();
        let cut = content(&packed[..packed.len() / 2]);
        let found = all(&cut, 0);
        assert!(found.len() > text.len() / 4 && text.starts_with(&found));
        assert!(cut.is_done(found.len() as u64));
        assert!(cut.take_fault().is_some());
        assert_eq!(cut.take_fault(), None, "said once");
    }

    #[test]
    fn what_is_not_read_here_says_so() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"BZh91AY").unwrap();
        let error = Content::of(file).err().unwrap().to_string();
        assert!(error.contains("bzip2"), "{error}");
    }
}
