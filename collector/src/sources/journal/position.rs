//! How far a journal file was read, as it stands in the store beside the events.
//!
//! Key `journal:FILE_ID`, which a file keeps when it is renamed; value `1 SEQNUM SEQNUM_ID REALTIME BOOT_ID
//! FIRST LAST FLAGS PATH`, numbers in hexadecimal, the path to the end, any bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use vigie_parsers::journal::Entry;

/// The beginning of the keys of journal files.
pub(super) const PREFIX: &str = "journal:";
/// The beginning of the keys of folders that have been looked at before.
pub(super) const FOLDER_PREFIX: &str = "journal-folder:";

/// What makes a file itself: drawn when it is made, kept when it is renamed.
pub(super) type FileId = [u8; 16];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) file: FileId,
    /// The number of the last entry that was read; 0 for none.
    pub(super) seqnum: u64,
    pub(super) seqnum_id: [u8; 16],
    /// When it was written.
    pub(super) realtime: u64,
    /// The start of the machine it belongs to.
    pub(super) boot: [u8; 16],
    /// The time since that start of the first entry of it that was read, and of the last one.
    pub(super) monotonic: (u64, u64),
    /// All was read and nothing will be added.
    pub(super) done: bool,
    pub(super) path: PathBuf,
}

impl Position {
    pub(super) fn new(file: FileId, seqnum_id: [u8; 16], path: &Path) -> Self {
        Self {
            file,
            seqnum: 0,
            seqnum_id,
            realtime: 0,
            boot: [0; 16],
            monotonic: (0, 0),
            done: false,
            path: path.to_owned(),
        }
    }

    /// This entry was read.
    pub(super) fn pass(&mut self, entry: &Entry) {
        self.seqnum = entry.seqnum;
        self.realtime = entry.realtime;
        if self.boot == entry.boot_id {
            self.monotonic.0 = self.monotonic.0.min(entry.monotonic);
            self.monotonic.1 = self.monotonic.1.max(entry.monotonic);
        } else {
            self.boot = entry.boot_id;
            self.monotonic = (entry.monotonic, entry.monotonic);
        }
    }

    /// Whether an entry of another file, of the same journal, lies in what was read of this one: then it
    /// is a copy.
    pub(super) fn covers(&self, entry: &Entry) -> bool {
        let (first, last) = self.monotonic;
        self.seqnum != 0 && self.boot == entry.boot_id && (first..=last).contains(&entry.monotonic)
    }

    /// The folder of a machine, as `0123….bench`.
    pub(super) fn folder(&self) -> Option<&OsStr> {
        self.path.parent()?.file_name()
    }

    /// Whether it lies in memory: what is there is copied to the disk later and then removed.
    pub(super) fn is_volatile(&self) -> bool {
        self.path.components().any(|c| c.as_os_str() == "run")
    }

    pub(super) fn key(file: FileId) -> String {
        format!("{PREFIX}{:032x}", u128::from_be_bytes(file))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let id = |id: [u8; 16]| u128::from_be_bytes(id);
        let mut value = format!(
            "1 {:x} {:x} {:x} {:x} {:x} {:x} {:x} ",
            self.seqnum,
            id(self.seqnum_id),
            self.realtime,
            id(self.boot),
            self.monotonic.0,
            self.monotonic.1,
            u8::from(self.done)
        )
        .into_bytes();
        value.extend_from_slice(self.path.as_os_str().as_bytes());
        value
    }

    /// `None` for what another vigie may have written.
    pub(super) fn decode(key: &str, value: &[u8]) -> Option<Self> {
        let file = u128::from_str_radix(key.strip_prefix(PREFIX)?, 16).ok()?;
        let mut parts = value.splitn(9, |&b| b == b' ');
        if parts.next()? != b"1" {
            return None;
        }
        let mut wide = || {
            let text = std::str::from_utf8(parts.next()?).ok()?;
            u128::from_str_radix(text, 16).ok()
        };
        let (seqnum, seqnum_id, realtime, boot) = (wide()?, wide()?, wide()?, wide()?);
        let (first, last, flags) = (wide()?, wide()?, wide()?);
        let narrow = |n: u128| u64::try_from(n).ok();
        Some(Self {
            file: file.to_be_bytes(),
            seqnum: narrow(seqnum)?,
            seqnum_id: seqnum_id.to_be_bytes(),
            realtime: narrow(realtime)?,
            boot: boot.to_be_bytes(),
            monotonic: (narrow(first)?, narrow(last)?),
            done: flags & 1 != 0,
            path: Path::new(OsStr::from_bytes(parts.next()?)).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let path = Path::new(OsStr::from_bytes(
            b"/var/log/journal/0123/user a\xff.journal",
        ));
        let mut position = Position::new([7; 16], [0xab; 16], path);
        for (seqnum, monotonic, boot) in [(4, 900, 1), (5, 20, 2), (9, 30, 2)] {
            position.pass(&Entry {
                seqnum,
                realtime: 1_795_238_000_000_000,
                monotonic,
                boot_id: [boot; 16],
                ..Entry::default()
            });
        }
        assert_eq!((position.seqnum, position.monotonic), (9, (20, 30)));
        position.done = true;
        let (key, value) = (Position::key(position.file), position.encode());
        assert_eq!(key, "journal:07070707070707070707070707070707");
        assert_eq!(Position::decode(&key, &value).as_ref(), Some(&position));
        for cut in 0..value.len() - path.as_os_str().len() {
            assert_eq!(Position::decode(&key, &value[..cut]), None, "{cut}");
        }
        assert_eq!(Position::decode("journal:x", &value), None);
        assert!(!position.is_volatile());
        assert_eq!(position.folder(), Some(OsStr::new("0123")));
    }
}
