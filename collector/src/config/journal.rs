//! `[journal]`: systemd's journal.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Deserializer, de};

use crate::units::Duration;

/// Which journals, and what of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Whether to follow it.
    pub enabled: bool,
    /// Folders with journal files, in them or in their subfolders.
    pub dirs: Vec<PathBuf>,
    /// How much of a journal that was already there is read when vigie first meets it: entries
    /// younger than this.
    pub backlog: Duration,
    /// Entries with one of these are kept; all when empty.
    pub keep: Vec<Match>,
    /// Entries with one of these are left out.
    pub leave_out: Vec<Match>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            enabled: true,
            dirs: vec!["/var/log/journal".into(), "/run/log/journal".into()],
            backlog: Duration::from_secs(24 * 3600),
            keep: Vec::new(),
            leave_out: Vec::new(),
        }
    }
}

/// `FIELD=value`, the value a glob.
#[derive(Clone, Debug)]
pub struct Match {
    text: String,
    field: String,
    value: GlobMatcher,
}

impl PartialEq for Match {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Match {
    /// Whether this field has this value.
    #[must_use]
    pub fn takes(&self, field: &[u8], value: &[u8]) -> bool {
        self.field.as_bytes() == field
            && self
                .value
                .is_match(Path::new(std::ffi::OsStr::from_bytes(value)))
    }
}

impl std::str::FromStr for Match {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| {
            let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            !name.is_empty() && name.bytes().all(legal)
        };
        let (field, value) = text
            .split_once('=')
            .filter(|(f, _)| is_name(f))
            .ok_or_else(|| {
                format!(
                    "`{text}` is no field of the journal; write \"_SYSTEMD_UNIT=nginx.service\""
                )
            })?;
        let value = Glob::new(value).map_err(|e| format!("`{text}`: {}", e.kind()))?;
        Ok(Self {
            text: text.to_owned(),
            field: field.to_owned(),
            value: value.compile_matcher(),
        })
    }
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}
