//! Formats that are given as text: Apache's `LogFormat`, nginx' `log_format`, GoAccess' `log-format`,
//! and the columns of a W3C extended log.
//!
//! The name of such a format is its definition (`nginx: $remote_addr …`). So a line in a store can be
//! read without the configuration under which it came. A definition is compiled once into a
//! [`template::Template`] and kept for the life of the process.

use std::collections::BTreeMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use super::{Format, Read};

mod apache;
mod build;
mod clock;
mod goaccess;
mod nginx;
mod template;
mod text;
mod w3c;

pub(super) use template::Template;
pub(super) use w3c::{FORMAT as W3C, columns as w3c_columns};

use text::Text;

/// Longer definitions are refused: nginx' and Apache's own lines of configuration end before.
const DEFINITION_LEN_MAX: usize = 8 << 10;
/// Definitions in one process. Each stays for its life; operators write a few, and a hostile W3C log
/// could bring a new one with each line.
const DEFINITIONS_MAX: usize = 1024;

/// A language in which formats are given.
struct Language {
    name: &'static str,
    about: &'static str,
    compile: fn(&Text) -> Result<Template, Fault>,
}

const LANGUAGES: &[Language] = &[
    Language {
        name: "apache",
        about: "Apache's LogFormat",
        compile: apache::compile,
    },
    Language {
        name: "nginx",
        about: "nginx' log_format",
        compile: nginx::compile,
    },
    Language {
        name: "goaccess",
        about: "GoAccess' log-format, date-format and time-format",
        compile: goaccess::compile,
    },
    Language {
        name: "w3c",
        about: "the columns of a W3C extended log, as behind #Fields:",
        compile: w3c::compile,
    },
];

/// What is wrong with a definition, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The byte of the definition.
    pub(super) at: usize,
    pub(super) what: String,
}

/// Why a name leads to no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// The column of the text given, from 1 on; 0 where it is about all of it.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl std::fmt::Display for FormatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.column {
            0 => f.write_str(&self.what),
            column => write!(f, "column {column}: {}", self.what),
        }
    }
}

impl std::error::Error for FormatError {}

/// The languages' names with a sentence each, for help and errors.
pub fn languages() -> impl Iterator<Item = (&'static str, &'static str)> {
    LANGUAGES.iter().map(|l| (l.name, l.about))
}

/// The format that a definition defines; `None` if the text is no definition.
pub(super) fn find(given: &str) -> Option<Result<&'static Format, FormatError>> {
    find_among(given, DEFINITIONS_MAX)
}

/// The same for a definition that a file has brought, while there are fewer than `limit`.
pub(super) fn find_columns(given: &str, limit: usize) -> Option<&'static Format> {
    find_among(given, limit)?.ok()
}

fn find_among(given: &str, limit: usize) -> Option<Result<&'static Format, FormatError>> {
    static KNOWN: LazyLock<RwLock<BTreeMap<&'static str, &'static Format>>> =
        LazyLock::new(RwLock::default);
    let (language, body) = language(given)?;
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(&format) = known.get(given) {
        return Some(Ok(format));
    }
    let full = known.len() >= limit;
    drop(known);
    Some(compile(language, given, body).and_then(|template| {
        if full {
            let what = format!("more than {limit} different definitions");
            return Err(FormatError { column: 0, what });
        }
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&format) = known.get(given) {
            return Ok(format);
        }
        let name: &'static str = given.to_owned().leak();
        let format: &'static Format = Box::leak(Box::new(Format {
            name,
            about: language.about,
            starts: |_| true,
            sure: false,
            read: Read::Template(template),
        }));
        known.insert(name, format);
        Ok(format)
    }))
}

/// The language of a definition and where its text begins.
fn language(given: &str) -> Option<(&'static Language, usize)> {
    let (name, _) = given.split_once(':')?;
    let found = LANGUAGES.iter().find(|l| l.name == name)?;
    Some((found, name.len() + 1))
}

fn compile(language: &'static Language, given: &str, body: usize) -> Result<Template, FormatError> {
    if given.len() > DEFINITION_LEN_MAX {
        let what = format!("longer than {DEFINITION_LEN_MAX} bytes");
        return Err(FormatError { column: 0, what });
    }
    let text = Text::of(given).slice(body, given.len()).trim();
    let template = (language.compile)(&text).and_then(|t| t.checked(&text));
    template.map_err(|fault| FormatError {
        column: 1 + given.get(..fault.at).unwrap_or(given).chars().count(),
        what: fault.what,
    })
}

#[cfg(test)]
mod tests;
