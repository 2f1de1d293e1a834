//! The bytes of a file, unpacked where it is packed. What it is stands in its first bytes, not in its
//! name: a pipe has none.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use vigie_collector::packing::{MAGIC_LEN_MAX, Packing};
use vigie_parsers::Timestamp;

/// Read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Unpacked chunks that wait: unpacking runs beside the search.
const CHUNKS_AHEAD: usize = 4;

/// A file being read.
pub(crate) struct Input {
    from: From,
    /// When it was last written; now for a pipe.
    pub(crate) modified: Timestamp,
    /// It was packed.
    pub(crate) is_packed: bool,
    /// Bytes read so far, packed as they are.
    disk_bytes: Arc<AtomicU64>,
}

/// Counts the bytes that pass.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

enum From {
    Plain(Box<dyn Read + Send>),
    /// Another thread unpacks.
    Packed(Receiver<io::Result<Vec<u8>>>),
}

impl Input {
    /// Opens a file; `-` is standard input.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::of(Box::new(io::stdin()), crate::times::now());
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
        }
        let modified = metadata
            .modified()
            .ok()
            .and_then(|t| jiff::Timestamp::try_from(t).ok());
        let modified = modified.map_or_else(crate::times::now, |t| Timestamp(t.as_millisecond()));
        Self::of(Box::new(file), modified)
    }

    /// The same bytes again: what standard input was copied to.
    pub(super) fn again(file: &File) -> io::Result<Self> {
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Self::of(Box::new(file), crate::times::now())
    }

    fn of(reader: Box<dyn Read + Send>, modified: Timestamp) -> io::Result<Self> {
        let disk_bytes: Arc<AtomicU64> = Arc::default();
        let mut reader = Counted(reader, Arc::clone(&disk_bytes));
        let mut head = Vec::with_capacity(MAGIC_LEN_MAX);
        let mut first = reader.by_ref().take(MAGIC_LEN_MAX as u64);
        first.read_to_end(&mut head)?;
        let packing = Packing::of(&head);
        let whole = io::Cursor::new(head).chain(reader);
        let from = match packing {
            None => From::Plain(Box::new(whole)),
            Some(packing) => unpack(packing.unpack(whole)?),
        };
        Ok(Self {
            is_packed: matches!(from, From::Packed(_)),
            from,
            modified,
            disk_bytes,
        })
    }

    /// Bytes read so far, packed as they are.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Ordering::Relaxed)
    }

    /// Appends some of the next bytes; `false` at the end.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        match &mut self.from {
            From::Plain(reader) => read_some(reader, out),
            From::Packed(chunks) => match chunks.recv() {
                Ok(chunk) => {
                    out.extend_from_slice(&chunk?);
                    Ok(true)
                }
                // The thread has ended, and with it the file.
                Err(_) => Ok(false),
            },
        }
    }
}

fn read_some(reader: &mut impl Read, out: &mut Vec<u8>) -> io::Result<bool> {
    let len = out.len();
    out.resize(len + CHUNK_BYTES, 0);
    loop {
        match reader.read(&mut out[len..]) {
            Ok(n) => {
                out.truncate(len + n);
                return Ok(n > 0);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                out.truncate(len);
                return Err(e);
            }
        }
    }
}

/// Unpacks on a thread of its own, which ends when nobody listens any more.
fn unpack(mut reader: impl Read + Send + 'static) -> From {
    let (send, chunks) = sync_channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let read = read_full(&mut reader, &mut chunk);
            // What could be unpacked before the damage stands.
            if !chunk.is_empty() && send.send(Ok(chunk)).is_err() {
                return;
            }
            match read {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => {
                    // Whoever has left does not want to know.
                    let _ = send.send(Err(e));
                    return;
                }
            }
        }
    });
    From::Packed(chunks)
}

/// Fills a chunk: unpackers give little at a time. `false` at the end.
fn read_full(reader: &mut impl Read, chunk: &mut Vec<u8>) -> io::Result<bool> {
    let mut rest = reader.take(CHUNK_BYTES as u64);
    Ok(rest.read_to_end(chunk)? == CHUNK_BYTES)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text_of(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("some.file");
        std::fs::write(&path, bytes)?;
        let mut input = Input::open(&path)?;
        let mut out = Vec::new();
        while input.read(&mut out)? {}
        Ok(out)
    }

    #[test]
    fn whatever_the_name_says() {
        let text = "one line\nand another\n".repeat(20_000).into_bytes();
        assert_eq!(text_of(&text).unwrap(), text);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&text).unwrap();
        let mut packed = gz.finish().unwrap();
        assert_eq!(text_of(&packed).unwrap(), text);
        // Two members one after the other, as `cat a.gz b.gz` makes them.
        packed.extend_from_slice(&packed.clone());
        assert_eq!(text_of(&packed).unwrap().len(), text.len() * 2);
        assert_eq!(
            text_of(&zstd::encode_all(text.as_slice(), 1).unwrap()).unwrap(),
            text
        );
        assert_eq!(text_of(b"").unwrap(), b"");
        assert!(
            text_of(b"BZh91AY")
                .unwrap_err()
                .to_string()
                .contains("bzip2")
        );
        packed.truncate(packed.len() / 3);
        assert!(text_of(&packed).is_err());
    }
}
