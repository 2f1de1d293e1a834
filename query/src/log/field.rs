//! Field names, resolved once.

use std::fmt;

use vigie_parsers::{Field, Severity};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// `time`: when it happened.
    Time,
    /// `recv`: when it arrived.
    Recv,
    /// `level`: the severity.
    Level,
    /// `facility`: syslog's.
    Facility,
    /// `source`: the input it came from.
    Source,
    /// `format`: what read it.
    Format,
    /// `message`: the text that people read.
    Message,
    /// `pattern`: the message with its variable parts left out.
    Pattern,
    /// `bot`: the name of a client that says it is a program.
    Bot,
    /// `unit`: what systemd calls the service, by the first of [`UNIT_FIELDS`] that is there.
    Unit,
    /// A field of the vocabulary, in the line or of the origin.
    Known(Field),
    /// A name that lines or origins bring.
    Other,
}

/// The name of a field and what it stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldName {
    text: Box<str>,
    kind: FieldKind,
}

/// Names every event has, beside the vocabulary of the parsers.
const BUILT_IN: &[(&str, FieldKind)] = &[
    ("time", FieldKind::Time),
    ("recv", FieldKind::Recv),
    ("level", FieldKind::Level),
    ("facility", FieldKind::Facility),
    ("source", FieldKind::Source),
    ("format", FieldKind::Format),
    ("message", FieldKind::Message),
    ("pattern", FieldKind::Pattern),
    ("bot", FieldKind::Bot),
    ("unit", FieldKind::Unit),
];

/// Where `unit` is found: what the message itself is about, what the manager says that its entry is about,
/// who wrote the entry.
pub const UNIT_FIELDS: [&str; 3] = ["unit", "UNIT", "_SYSTEMD_UNIT"];

/// Names that origins give, so that a slip of the finger is noticed.
const OF_ORIGINS: &[&str] = &["file", "image", "peer", "project", "service"];

impl FieldName {
    /// Resolves a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let name = if name == "referrer" { "referer" } else { name };
        let built_in = BUILT_IN.iter().find(|(n, _)| *n == name).map(|&(_, k)| k);
        let known = || Field::from_name(name).map(FieldKind::Known);
        Self {
            text: name.into(),
            kind: built_in.or_else(known).unwrap_or(FieldKind::Other),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it stands for.
    #[must_use]
    pub fn kind(&self) -> FieldKind {
        self.kind
    }

    /// Whether its values are numbers, so that tables show them as such.
    pub(crate) fn is_numeric(&self) -> bool {
        let FieldKind::Known(field) = self.kind else {
            return false;
        };
        use Field::{Bytes, Duration, Port, Status, UpstreamDuration};
        matches!(field, Status | Bytes | Duration | UpstreamDuration | Port)
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// All names the language knows beforehand: for completion and for the documentation.
pub fn known_fields() -> impl Iterator<Item = &'static str> {
    let built_in = BUILT_IN.iter().map(|&(n, _)| n);
    let vocabulary = Field::ALL
        .iter()
        .map(|f| f.as_str())
        .filter(|n| *n != "level");
    built_in.chain(vocabulary).chain(OF_ORIGINS.iter().copied())
}

/// The known name that an unknown one was probably meant to be.
pub(crate) fn meant(name: &str) -> Option<&'static str> {
    if name.contains('.') || name == "referrer" || known_fields().any(|k| k == name) {
        return None;
    }
    // A plural is a likely key of somebody's JSON, not a slip.
    nearest(
        name,
        known_fields().filter(|k| name.strip_suffix('s') != Some(k)),
    )
}

/// The candidate that differs by one slip of the finger, or two in a long word.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = match word.chars().count() {
        0..3 => return None,
        3..8 => 1,
        _ => 2,
    };
    candidates
        .map(|c| (strsim::osa_distance(word, c), c))
        .filter(|&(distance, _)| distance <= allowed)
        // In so short a word only two letters that changed places are a slip.
        .filter(|(_, c)| word.chars().count() > 3 || has_same_letters(word, c))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, c)| c)
}

fn has_same_letters(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(a) == sorted(b)
}

/// A set of levels.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelSet(u8);

impl LevelSet {
    /// The set of those levels for which `is_in` holds.
    pub fn of(is_in: impl Fn(Severity) -> bool) -> Self {
        let bits = Severity::ALL.iter().filter(|s| is_in(**s));
        Self(bits.fold(0, |set, &s| set | 1 << s as u8))
    }

    /// Whether a level is in it.
    #[must_use]
    pub fn has(self, severity: Severity) -> bool {
        self.0 & (1 << severity as u8) != 0
    }

    /// Its levels, worst first.
    pub fn iter(self) -> impl Iterator<Item = Severity> {
        Severity::ALL.into_iter().filter(move |s| self.has(*s))
    }

    /// Those in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// No level at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for LevelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Severity::as_str))
            .finish()
    }
}
