//! The filter of a log query as a tree: what sources prune with, and what decides for each event.

use std::net::IpAddr;

use regex::bytes::Regex;

use super::field::{FieldName, LevelSet};
use super::number;
use super::text::TextPattern;

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
    /// The text occurs in the line before or behind its time stamp, in a decoded value, or in a
    /// field of the origin or its source.
    Text(TextPattern),
    /// The expression matches there.
    TextRegex(Regex),
    /// A field has a value that passes the test; an absent field never does.
    Field {
        /// The field: of the line, of the origin, or one that every event has.
        name: FieldName,
        /// What its value must pass.
        test: Test,
    },
}

/// What a field's value must pass.
#[derive(Clone, Debug)]
pub enum Test {
    /// There is a value (`*`).
    Present,
    /// Holds the text as words (`:`).
    Text(TextPattern),
    /// Is this (`=`).
    Exact(Exact),
    /// Matches somewhere (`~`).
    Regex(Regex),
    /// Compares as a number; text that is no number fails.
    Compare(Compare, Number),
    /// Lies between, both ends included (`n..m`).
    Between(Number, Number),
    /// Is an address of this network.
    Cidr(Cidr),
    /// Is one of these levels; only with `level`, where every order and every name ends here.
    Levels(LevelSet),
    /// Passes one of these (`:in(…)`).
    Any(Vec<Test>),
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

/// A number in base units: bytes, seconds, milliseconds since 1970 for `time` and `recv`.
pub type Number = f64;

impl Compare {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether `left` stands so to `right`.
    #[must_use]
    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// A value as it stands, upper and lower case told apart. Numbers (`0200` is 200, `250ms` is 0.25)
/// and addresses compare as such. An open end leaves what may come there free.
#[derive(Clone, Debug)]
pub struct Exact {
    text: Box<str>,
    open_start: bool,
    open_end: bool,
    number: Option<Number>,
    address: Option<IpAddr>,
}

impl Exact {
    /// A value, free at the open ends.
    #[must_use]
    pub fn new(text: &str, open_start: bool, open_end: bool) -> Self {
        let closed = !open_start && !open_end;
        let exact = closed && text.len() <= number::EXACT_DIGITS;
        Self {
            open_start,
            open_end,
            number: exact.then(|| number::parse(text.as_bytes())).flatten(),
            address: closed.then(|| address(text.as_bytes())).flatten(),
            text: text.into(),
        }
    }

    /// The value.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Anything may come before.
    #[must_use]
    pub fn open_start(&self) -> bool {
        self.open_start
    }

    /// Anything may come after.
    #[must_use]
    pub fn open_end(&self) -> bool {
        self.open_end
    }

    /// The number it stands for: other texts of the same number are equal to it.
    #[must_use]
    pub fn number(&self) -> Option<Number> {
        self.number
    }

    /// The address it stands for: other texts of the same address are equal to it.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether `value` is it.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        let text = self.text.as_bytes();
        let literally = match (self.open_start, self.open_end) {
            (false, false) => value == text,
            (false, true) => value.starts_with(text),
            (true, false) => value.ends_with(text),
            (true, true) => memchr::memmem::find(value, text).is_some(),
        };
        literally
            || (self.number.is_some()
                && value.len() <= number::EXACT_DIGITS
                && number::parse(value) == self.number)
            || (self.address.is_some() && address(value) == self.address)
    }
}

/// A network: all addresses that share its first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The network of an address, `None` when it has fewer bits than asked for. Bits behind the
    /// prefix do not count.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self {
            network: address,
            bits,
        })
    }

    /// The address as it was given.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// The length of the prefix.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether an address lies in it; an IPv4 address in IPv6's clothes counts as IPv4.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let shared = |width: u8, different: u128| {
            let rest = u32::from(width.saturating_sub(self.bits));
            different.checked_shr(rest).unwrap_or(0) == 0
        };
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                shared(32, u128::from(net.to_bits() ^ ip.to_bits()))
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => shared(128, net.to_bits() ^ ip.to_bits()),
            (IpAddr::V6(net), IpAddr::V4(ip)) => {
                shared(128, net.to_bits() ^ ip.to_ipv6_mapped().to_bits())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

/// The address that a text is, IPv4 in IPv6's clothes undressed.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    /// The longest text of an address, IPv4 inside IPv6.
    const MAX_LEN: usize = 45;
    let plausible = |b: &u8| b.is_ascii_hexdigit() || *b == b':';
    if text.len() > MAX_LEN || !text.first().is_some_and(plausible) {
        return None;
    }
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, Self::All) => true,
            (Self::And(a), Self::And(b)) | (Self::Or(a), Self::Or(b)) => a == b,
            (Self::Not(a), Self::Not(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::TextRegex(a), Self::TextRegex(b)) => a.as_str() == b.as_str(),
            (Self::Field { name, test }, Self::Field { name: n, test: t }) => {
                name == n && test == t
            }
            _ => false,
        }
    }
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, Self::Present) => true,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            (Self::Compare(a, n), Self::Compare(b, m)) => a == b && n == m,
            (Self::Between(a, b), Self::Between(c, d)) => a == c && b == d,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Levels(a), Self::Levels(b)) => a == b,
            (Self::Any(a), Self::Any(b)) => a == b,
            _ => false,
        }
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
            && self.open_start == other.open_start
            && self.open_end == other.open_end
    }
}
