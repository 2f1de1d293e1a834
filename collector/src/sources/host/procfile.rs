//! A file of /proc or /sys, kept open and read again and again into a shared buffer.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// More than this is not read of one file; the largest seen (/proc/stat of a big machine) is far below.
const LEN_MAX: usize = 4 << 20;
/// A file that could not be opened is tried again after so many readings: modules come and go.
const RETRY: u32 = 60;
const CHUNK: usize = 16 << 10;

/// The buffer that the readings of a tick share.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

/// See the module.
#[derive(Debug)]
pub(crate) struct ProcFile {
    path: PathBuf,
    file: Option<File>,
    wait: u32,
}

impl ProcFile {
    pub(crate) fn new(root: &Path, path: &str) -> Self {
        Self {
            path: root.join(path),
            file: None,
            wait: 0,
        }
    }

    /// What stands in the file now; `None` if there is none or it cannot be read.
    pub(crate) fn read<'a>(&mut self, buffer: &'a mut Buffer) -> Option<&'a [u8]> {
        if self.wait > 0 {
            self.wait -= 1;
            return None;
        }
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let len = self.file.as_ref().and_then(|f| fill(f, &mut buffer.0));
        if len.is_none() {
            self.file = None;
            self.wait = RETRY;
        }
        buffer.0.get(..len?)
    }
}

/// The kernel hands long files out in pieces, so only an empty read is the end.
fn fill(file: &File, buffer: &mut Vec<u8>) -> Option<usize> {
    let mut len = 0;
    loop {
        if buffer.len() < len + CHUNK {
            buffer.resize((len + CHUNK).max(buffer.len() * 2), 0);
        }
        match file.read_at(buffer.get_mut(len..)?, u64::try_from(len).ok()?) {
            Ok(0) => return Some(len),
            Ok(n) if len + n >= LEN_MAX => return Some(len + n),
            Ok(n) => len += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// A short file read once, without its line end; `None` if it is missing or empty.
pub(crate) fn read_word(path: &Path) -> Option<String> {
    let text = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(text.trim_ascii()).into_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_each_time_and_may_come_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut buffer = Buffer::default();
        let mut file = ProcFile::new(dir.path(), "stat");
        assert!(file.read(&mut buffer).is_none());
        std::fs::write(dir.path().join("stat"), "a".repeat(100_000)).unwrap();
        for _ in 0..RETRY {
            assert!(file.read(&mut buffer).is_none());
        }
        assert_eq!(file.read(&mut buffer).map(<[u8]>::len), Some(100_000));
        std::fs::write(dir.path().join("stat"), "b").unwrap();
        assert_eq!(file.read(&mut buffer), Some(&b"b"[..]));
    }
}
