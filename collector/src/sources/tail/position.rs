//! How far a file was read, as it stands in the store beside the lines.
//!
//! Key `file:DEV:INO`, so that a rotated file keeps its entry; value `3 OFFSET HEAD_LEN HEAD TAIL FLAGS SINCE
//! MISSING PATH`, numbers in hexadecimal, SINCE and MISSING `-` if there is none, the path to the end, any bytes.
//! Version 2, written where MISSING is `-`, does without it; version 1 has no SINCE either.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use vigie_parsers::Timestamp;

use super::identity::{Id, Print};

/// The beginning of the keys of files.
pub(super) const FILE_PREFIX: &str = "file:";
/// The beginning of the keys of patterns that have been looked at before.
pub(super) const GLOB_PREFIX: &str = "glob:";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) id: Id,
    /// The name under which the file was met: its lines are of this one.
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) print: Print,
    /// The rest of the line at the offset is left out: its beginning was taken, or never seen.
    pub(super) skipping: bool,
    /// Pieces of the log that were turned away after this one have positions of their own.
    pub(super) followed_up: bool,
    /// It was turned away, read to its end and quiet for long: nothing is lost with it.
    pub(super) parked: bool,
    /// While nothing of the file is read, only times tell what of its log is: pieces that were last written
    /// to up to this one, in ns as the file system has it.
    pub(super) since: Option<i128>,
    /// Since when the file is not found, in ms since 1970.
    pub(super) missing: Option<Timestamp>,
    /// That it is not found was counted.
    pub(super) counted: bool,
}

impl Position {
    /// At the beginning of a file.
    pub(super) fn unread(id: Id, path: &Path) -> Self {
        Self {
            id,
            path: path.to_owned(),
            offset: 0,
            print: Print::default(),
            skipping: false,
            followed_up: false,
            parked: false,
            since: None,
            missing: None,
            counted: false,
        }
    }

    pub(super) fn key(id: Id) -> String {
        format!("{FILE_PREFIX}{:x}:{:x}", id.dev, id.ino)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Print {
            head_len,
            head,
            tail,
        } = self.print;
        let flags = u8::from(self.skipping)
            | (u8::from(self.followed_up) << 1)
            | (u8::from(self.parked) << 2)
            | (u8::from(self.counted) << 3);
        let since = match self.since {
            Some(ns) => format!("{:x}", u64::try_from(ns).unwrap_or(0)),
            None => "-".to_owned(),
        };
        let (version, missing) = match self.missing {
            Some(ms) => (3, format!("{:x} ", u64::try_from(ms.0).unwrap_or(0))),
            None => (2, String::new()),
        };
        let mut value = format!(
            "{version} {:x} {head_len:x} {head:x} {tail:x} {flags:x} {since} {missing}",
            self.offset
        )
        .into_bytes();
        value.extend_from_slice(self.path.as_os_str().as_bytes());
        value
    }

    /// `None` for what another vigie may have written.
    pub(super) fn decode(key: &str, value: &[u8]) -> Option<Self> {
        let hex = |t: &str| u64::from_str_radix(t, 16).ok();
        let (dev, ino) = key.strip_prefix(FILE_PREFIX)?.split_once(':')?;
        let (version, value) = value.split_at_checked(2)?;
        let numbers = match version {
            b"1 " => 5,
            b"2 " => 6,
            b"3 " => 7,
            _ => return None,
        };
        let mut parts = value.splitn(numbers + 1, |&b| b == b' ');
        let mut number = || hex(std::str::from_utf8(parts.next()?).ok()?);
        let (offset, head_len, head, tail, flags) =
            (number()?, number()?, number()?, number()?, number()?);
        let mut perhaps = |there: bool| match there.then(|| parts.next()) {
            None | Some(Some(b"-")) => Some(None),
            Some(number) => Some(Some(hex(std::str::from_utf8(number?).ok()?)?)),
        };
        let (since, missing) = (perhaps(numbers > 5)?, perhaps(numbers > 6)?);
        Some(Self {
            id: Id {
                dev: hex(dev)?,
                ino: hex(ino)?,
            },
            path: Path::new(OsStr::from_bytes(parts.next()?)).to_owned(),
            offset,
            print: Print {
                head_len: u32::try_from(head_len).ok()?,
                head,
                tail,
            },
            skipping: flags & 1 != 0,
            followed_up: flags & 2 != 0,
            parked: flags & 4 != 0,
            since: since.map(i128::from),
            missing: missing.and_then(|ms| i64::try_from(ms).ok()).map(Timestamp),
            counted: flags & 8 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: u64, since: Option<i128>) -> Position {
        Position {
            id: Id {
                dev: 64768,
                ino: 99,
            },
            path: Path::new(OsStr::from_bytes(b"/var/log/a b\xff.log")).to_owned(),
            offset,
            print: Print {
                head_len: 1024,
                head: u64::MAX,
                tail: 7,
            },
            skipping: true,
            followed_up: true,
            parked: since.is_some(),
            since,
            missing: since.map(|_| Timestamp(1_795_240_800_123)),
            counted: since.is_some(),
        }
    }

    #[test]
    fn there_and_back() {
        for since in [None, Some(0), Some(1_795_240_800_123_456_789)] {
            let position = position(1 << 40, since);
            let (key, value) = (Position::key(position.id), position.encode());
            assert_eq!(key, "file:fd00:63");
            assert_eq!(Position::decode(&key, &value), Some(position));
            for cut in 0..value.len() - b"/var/log/a b\xff.log".len() {
                assert_eq!(Position::decode(&key, &value[..cut]), None, "{cut}");
            }
            assert_eq!(Position::decode("file:x", &value), None);
        }
        for strange in [
            &b""[..],
            b"2",
            b"4 0 0 0 0 0 - - /x",
            b"2 0 0 0 0 0 x /x",
            b"3 0 0 0 0 0 - /x",
        ] {
            assert_eq!(Position::decode("file:fd00:63", strange), None);
        }
    }

    #[test]
    fn the_first_version_is_read() {
        let value = b"1 10000000000 400 ffffffffffffffff 7 3 /var/log/a b\xff.log";
        let found = Position::decode("file:fd00:63", value);
        assert_eq!(found, Some(position(1 << 40, None)));
    }
}
