//! Follows files by their names, as `tail -F`: through rotation and truncation, without a store.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use vigie_parsers::{Encoding, Event};

use super::Reading;
use super::lines::{Ahead, Each, Lines};
use super::text::Text;

/// Read at once.
const CHUNK_BYTES: u64 = 256 << 10;
/// How often a file without its name is still looked at: its writer may take a while to notice the
/// rotation.
const POLLS_AFTER: u32 = 100;
/// After so many without news an event that could go on is shown.
const POLLS_HELD: u32 = 3;

/// Files that are followed.
pub(crate) struct Follow {
    files: Vec<Followed>,
}

struct Followed {
    path: PathBuf,
    reading: Reading,
    /// The file under that name, or the one that was there last.
    open: Option<Open>,
    /// The one before it, and how often it will still be looked at.
    old: Option<(Open, u32)>,
    number: u64,
}

struct Open {
    file: File,
    id: (u64, u64),
    offset: u64,
    lines: Lines,
    text: Text,
    /// The beginning of a line whose end has not come yet, and an event that may go on.
    buffer: Vec<u8>,
    /// Polls that brought nothing.
    quiet: u32,
}

impl Follow {
    /// Begins at the ends of the files as they are now; one that is not there yet is read whole when
    /// it comes.
    ///
    /// # Errors
    /// When a file is there and cannot be read, and for standard input and packed files, which do not
    /// grow.
    pub(crate) fn new(paths: &[PathBuf], reading: &Reading) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
            let mut followed = Followed {
                path: path.clone(),
                reading: reading.clone(),
                open: None,
                old: None,
                number: 0,
            };
            match open(path) {
                Ok((mut file, metadata)) => {
                    if is_packed(&mut file).map_err(named)? {
                        let e = io::Error::other("is packed: it does not grow; leave --follow out");
                        return Err(named(e));
                    }
                    followed.begin(file, &metadata, metadata.len());
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(named(e)),
            }
            files.push(followed);
        }
        Ok(Self { files })
    }

    /// What has come since the last time, file by file.
    pub(crate) fn poll(&mut self, each: &mut dyn FnMut(&Event)) {
        for file in &mut self.files {
            file.poll(&mut |event| {
                each(event);
                ControlFlow::Continue(())
            });
        }
    }
}

/// A regular file.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    if path.as_os_str() == "-" {
        return Err(io::Error::other(
            "standard input is read to its end; leave --follow out",
        ));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    Ok((file, metadata))
}

fn is_packed(file: &mut File) -> io::Result<bool> {
    let mut head = Vec::with_capacity(4);
    Read::take(&mut *file, 4).read_to_end(&mut head)?;
    Ok(head.starts_with(b"\x1f\x8b") || head.starts_with(b"\x28\xb5\x2f\xfd"))
}

impl Followed {
    fn begin(&mut self, file: File, metadata: &Metadata, offset: u64) {
        let now = crate::times::now();
        let mut text = Text::new(self.reading.encoding);
        let mut head = [0; Encoding::HEAD_LEN];
        if offset > 0
            && let Ok(n) = file.read_at(&mut head, 0)
        {
            text.heed(&head[..n]);
        }
        self.open = Some(Open {
            text,
            file,
            id: (metadata.dev(), metadata.ino()),
            offset,
            lines: Lines::new(&self.path, now, &self.reading, self.number),
            buffer: Vec::new(),
            quiet: 0,
        });
    }

    fn poll(&mut self, each: &mut Each<'_>) {
        let there = std::fs::metadata(&self.path).ok();
        let id = there.as_ref().map(|m| (m.dev(), m.ino()));
        if let Some((old, left)) = &mut self.old {
            *left -= 1;
            let is_last = *left == 0;
            old.read(is_last, each);
            if is_last {
                self.old = None;
            }
        }
        if let Some(open) = &mut self.open {
            // A file that was renamed is read to its end before its successor.
            open.read(false, each);
            self.number = open.lines.number;
            if id.is_none_or(|id| id == open.id) {
                return;
            }
            if let Some((mut older, _)) = self.old.take() {
                older.read(true, each);
            }
        }
        self.old = self.open.take().map(|open| (open, POLLS_AFTER));
        if there.is_some_and(|m| m.is_file())
            && let Ok((file, metadata)) = self::open(&self.path)
        {
            self.begin(file, &metadata, 0);
            if let Some(open) = &mut self.open {
                open.read(false, each);
            }
        }
    }
}

impl Open {
    /// Takes whole lines to the end of the file; what cannot be read now may be read later.
    fn read(&mut self, is_last: bool, each: &mut Each<'_>) {
        // What was read is not there any more: the file was emptied and begins anew.
        if self.file.metadata().is_ok_and(|m| m.len() < self.offset) {
            (self.offset, self.buffer) = (0, Vec::new());
            self.text = self.text.anew();
        }
        self.lines.set_modified(crate::times::now());
        self.quiet = self.quiet.saturating_add(1);
        while self.read_some().is_ok_and(|n| n > 0) {
            self.quiet = 0;
            let _ = self.lines.take(&mut self.buffer, Ahead::More, None, each);
        }
        let ahead = match is_last {
            true => Ahead::Nothing,
            false if self.quiet >= POLLS_HELD => Ahead::Later,
            false => return,
        };
        let _ = self.lines.take(&mut self.buffer, ahead, None, each);
    }

    fn read_some(&mut self) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        let (file, mut read) = (&mut self.file, 0);
        self.text.read_with(&mut self.buffer, |bytes| {
            read = Read::take(file, CHUNK_BYTES).read_to_end(bytes)?;
            Ok(true)
        })?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use jiff::tz::TimeZone;
    use vigie_parsers::joining::Joining;

    use super::*;

    fn follow(path: &Path) -> io::Result<Follow> {
        let reading = Reading {
            zone: TimeZone::UTC,
            format: None,
            encoding: None,
            joining: Joining::Auto,
        };
        Follow::new(&[path.to_owned()], &reading)
    }

    #[test]
    fn rotation_and_truncation_lose_and_repeat_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        std::fs::write(&path, "before\n").unwrap();
        let mut follow = follow(&path).unwrap();
        let mut check = |expected: &[&str]| {
            let mut found = Vec::new();
            follow.poll(&mut |e| found.push(String::from_utf8_lossy(&e.line).into_owned()));
            assert_eq!(found, expected);
        };
        let append = |path: &Path, text: &str| {
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(path)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        check(&[]);
        append(&path, "one\nha");
        check(&["one"]);
        append(&path, "lf\n");
        check(&["half"]);
        let old = dir.path().join("app.log.1");
        append(&path, "last of the old\nno end");
        std::fs::rename(&path, &old).unwrap();
        check(&["last of the old"]);
        append(&path, "first of the new\n");
        check(&["first of the new"]);
        append(&old, ", an end\nlate\nnone");
        check(&["no end, an end", "late"]);
        for _ in 2..POLLS_AFTER {
            check(&[]);
        }
        check(&["none"]);
        File::create(&path).unwrap();
        check(&[]);
        append(&path, "anew\n");
        check(&["anew"]);
        std::fs::remove_file(&path).unwrap();
        check(&[]);
        append(&path, "back\n");
        check(&["back"]);
    }

    #[test]
    fn lines_of_one_event_come_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        std::fs::write(&path, "").unwrap();
        let mut follow = follow(&path).unwrap();
        let mut check = |text: &str, expected: &[&str]| {
            let mut file = File::options().append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let mut found = Vec::new();
            follow.poll(&mut |e| found.push(String::from_utf8_lossy(&e.line).into_owned()));
            assert_eq!(found, expected);
        };
        let error = "2026-11-21 09:46:44 ERROR x";
        check(&format!("alone\n{error}\n"), &["alone"]);
        check(
            "\tat a.B.c(B.java:1)\nnext\n",
            &[&format!("{error}\n\tat a.B.c(B.java:1)"), "next"],
        );
        check(&format!("{error}\n"), &[]);
        for _ in 1..POLLS_HELD {
            check("", &[]);
        }
        check("", &[error]);
    }

    #[test]
    fn a_file_in_utf_16_is_followed_from_its_end() {
        let utf16 = |text: &str| {
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>()
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        std::fs::write(&path, utf16("\u{feff}before\n")).unwrap();
        let mut follow = follow(&path).unwrap();
        let mut check = |bytes: &[u8], expected: &[&str]| {
            let mut file = File::options().append(true).open(&path).unwrap();
            file.write_all(bytes).unwrap();
            let mut found = Vec::new();
            follow.poll(&mut |e| found.push(String::from_utf8_lossy(&e.line).into_owned()));
            assert_eq!(found, expected);
        };
        let text = utf16("öne\ntwo\n");
        check(&text[..5], &[]);
        check(&text[5..], &["öne", "two"]);
        File::create(&path).unwrap();
        check(b"", &[]);
        check("in UTF-8 now: é\n".as_bytes(), &["in UTF-8 now: é"]);
    }

    #[test]
    fn what_does_not_grow_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| follow(path).err();
        assert!(
            refused(Path::new("-"))
                .unwrap()
                .to_string()
                .contains("standard input")
        );
        assert!(refused(dir.path()).unwrap().to_string().contains("regular"));
        let packed = dir.path().join("a.gz");
        std::fs::write(&packed, b"\x1f\x8b\x08\x00").unwrap();
        assert!(refused(&packed).unwrap().to_string().contains("packed"));
    }
}
