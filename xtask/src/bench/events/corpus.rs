//! The lines of a run: made by rule, written to a file that every system reads.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::bench::lines::{self, Dice};

/// When the lines begin: 2026-11-01, UTC.
pub(super) const START_MS: i64 = 1_793_491_200_000;

/// Which lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Syslog,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Syslog => "syslog",
        }
    }

    /// The format that reads them.
    pub(super) fn format(self) -> &'static str {
        match self {
            Self::Access => "combined",
            Self::Syslog => "rfc3164",
        }
    }
}

/// Lines in a file.
pub(super) struct Corpus {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    pub(super) lines: usize,
    /// Of the lines without their ends.
    pub(super) bytes: u64,
}

impl Corpus {
    pub(super) fn write(path: &Path, kind: Kind, lines: usize) -> Result<Self> {
        let generator = match kind {
            Kind::Access => lines::access,
            Kind::Syslog => lines::syslog,
        };
        let mut dice = Dice::new(7);
        let (mut line, mut bytes) = (Vec::new(), 0);
        let mut file = BufWriter::new(File::create(path)?);
        for n in 0..lines {
            generator(&mut dice, n, &mut line);
            bytes += line.len() as u64;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        file.into_inner()?.sync_all()?;
        Ok(Self {
            kind,
            path: path.to_owned(),
            lines,
            bytes,
        })
    }

    /// Whole lines, about `size` bytes at a time.
    pub(super) fn chunks(
        &self,
        size: usize,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut file = File::open(&self.path)?;
        let mut buffer = vec![0; size];
        let mut kept = 0;
        loop {
            let n = file.read(&mut buffer[kept..])?;
            if n == 0 {
                return Ok(());
            }
            let filled = kept + n;
            let whole = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |at| at + 1);
            each(&buffer[..whole])?;
            buffer.copy_within(whole..filled, 0);
            kept = filled - whole;
        }
    }
}
