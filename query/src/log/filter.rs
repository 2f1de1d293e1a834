//! The filter of a log query as a tree: what sources prune with, and what decides for each event.

use std::net::IpAddr;

use regex::bytes::Regex;

/// A condition on one event.
#[derive(Clone, Debug, Default)]
pub enum Filter {
    /// Every event.
    #[default]
    All,
    /// All hold.
    And(Vec<Filter>),
    /// One holds at least.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The text occurs in the line outside its time stamp, in a decoded value, or in a field of the
    /// origin.
    Text(TextPattern),
    /// The expression matches there.
    TextRegex(Regex),
    /// A field has a value that passes the test; an absent field never does.
    Field {
        /// The field: of the line, of the origin, or one of `time recv level facility source format
        /// message`.
        name: String,
        /// What its value must pass.
        test: Test,
    },
}

/// What a field's value must pass.
#[derive(Clone, Debug)]
pub enum Test {
    /// Holds the text as words (`:`).
    Text(TextPattern),
    /// Is exactly this (`=`); numbers and addresses compare as such, so `status=0200` is 200.
    Equal(String),
    /// Matches somewhere (`~`).
    Regex(Regex),
    /// Compares as a number; text that is no number fails.
    Compare(Compare, Number),
    /// Lies between, both ends included (`n..m`).
    Between(Number, Number),
    /// Is an address of this network.
    Cidr(IpAddr, u8),
}

/// `<`, `<=`, `>`, `>=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A number in base units: bytes, seconds, milliseconds since 1970 for times, syslog's number for
/// levels.
pub type Number = f64;

/// Literal text with word borders: it matches where neither neighbour continues a word, but on an
/// end that is open. Words are runs of letters, digits and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern {
    /// What to find, lower-cased.
    pub needle: String,
    /// `*word`: anything may come before.
    pub open_start: bool,
    /// `word*`: anything may come after.
    pub open_end: bool,
}
