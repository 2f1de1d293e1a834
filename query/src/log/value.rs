//! What a value behind an operator asks for, by the kind of its field and its own shape.

use std::net::IpAddr;

use vigie_parsers::{Facility, Severity};

use super::field::{self, FieldKind, FieldName, LevelSet};
use super::filter::{Cidr, Compare, Exact, Test};
use super::number;
use super::parse::{MAX_NEEDLE_LEN, Parser, Result};
use super::text::TextPattern;
use super::time::Moment;

/// What stands behind the name of a field.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Op {
    Has,
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
    Order(Compare),
}

/// A value as it was written.
pub(super) struct Value {
    pub(super) at: usize,
    pub(super) text: String,
    pub(super) quoted: bool,
    pub(super) open_start: bool,
    pub(super) open_end: bool,
}

impl Parser<'_> {
    pub(super) fn test(&self, name: &FieldName, op: Op, value: &Value) -> Result<Test> {
        if !value.quoted && value.text.is_empty() {
            return match op {
                Op::Order(_) => Err(self.error_at(value.at, "'*' does not compare")),
                _ => Ok(Test::Present),
            };
        }
        let special = match name.kind() {
            FieldKind::Level => self.level_test(op, value)?,
            FieldKind::Time | FieldKind::Recv => Some(self.number_test(name, op, value)?),
            FieldKind::Facility if !matches!(op, Op::Order(_)) => facility_test(value),
            _ => None,
        };
        if let Some(test) = special {
            return Ok(test);
        }
        if matches!(op, Op::Order(_)) {
            return self.number_test(name, op, value);
        }
        if let Some(test) = self.shaped(name, value)? {
            return Ok(test);
        }
        let is_address = matches!(name.kind(), FieldKind::Known(vigie_parsers::Field::Ip))
            && value.text.parse::<IpAddr>().is_ok();
        if op != Op::Has || is_address {
            return Ok(Test::Exact(Exact::new(
                &value.text,
                value.open_start,
                value.open_end,
            )));
        }
        self.pattern(value).map(Test::Text)
    }

    /// A range or a network, in either kind of equality.
    fn shaped(&self, name: &FieldName, value: &Value) -> Result<Option<Test>> {
        if value.quoted || value.open_start || value.open_end {
            return Ok(None);
        }
        let text = value.text.as_str();
        if let Some((low, high)) = text.split_once("..") {
            let ends = self.number(name, low).zip(self.number(name, high));
            return Ok(ends.map(|(low, high)| Test::Between(low, high)));
        }
        let parsed = text.split_once('/').and_then(|(address, bits)| {
            Some((address.parse::<IpAddr>().ok()?, bits.parse::<u16>().ok()?))
        });
        let Some((address, bits)) = parsed else {
            return Ok(None);
        };
        let net = u8::try_from(bits)
            .ok()
            .and_then(|bits| Cidr::new(address, bits));
        match net {
            Some(net) => Ok(Some(Test::Cidr(net))),
            None => {
                let most = if address.is_ipv4() { 32 } else { 128 };
                let message = format!("a network of {address} has 0 to {most} bits, not {bits}");
                Err(self.error_at(value.at, message))
            }
        }
    }

    fn number(&self, name: &FieldName, text: &str) -> Option<f64> {
        if !matches!(name.kind(), FieldKind::Time | FieldKind::Recv) {
            return number::parse(text.as_bytes());
        }
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 287000")]
        match Moment::parse(text)? {
            Moment::Fixed(time) => Some(time.0 as f64),
            _ => None,
        }
    }

    fn number_test(&self, name: &FieldName, op: Op, value: &Value) -> Result<Test> {
        if let Some(number) = self.number(name, &value.text) {
            return Ok(match op {
                Op::Order(compare) => Test::Compare(compare, number),
                _ => Test::Between(number, number),
            });
        }
        if let (false, Some(test)) = (matches!(op, Op::Order(_)), self.shaped(name, value)?) {
            return Ok(test);
        }
        let text = &value.text;
        Err(self.error_at(value.at, if matches!(name.kind(), FieldKind::Time | FieldKind::Recv) {
            format!("'{text}' is no time with a zone; to choose a time write '@2h..1h' or '@2026-11-20T10:00'")
        } else {
            format!("'{text}' is no number; units are k M G KiB MiB GiB, ns us ms s m h d")
        }))
    }

    /// Orders and names of levels; a word that is no level is left to be compared as text.
    fn level_test(&self, op: Op, value: &Value) -> Result<Option<Test>> {
        let text = value.text.as_str();
        let level = |text: &str| {
            let number = text.parse().ok().and_then(Severity::from_number);
            number.or_else(|| Severity::from_word(text.as_bytes()))
        };
        let set = |is_in: &dyn Fn(Severity) -> bool| Ok(Some(Test::Levels(LevelSet::of(is_in))));
        if value.open_start || value.open_end {
            return Ok(None);
        }
        if let Some((low, high)) = text.split_once("..")
            && let (Some(low), Some(high)) = (level(low), level(high))
        {
            // Syslog's numbers fall as things get worse.
            return set(&|s| high <= s && s <= low);
        }
        match (level(text), op) {
            (Some(limit), Op::Order(compare)) => set(&|s| compare.holds(&limit, &s)),
            (Some(level), _) => set(&|s| s == level),
            (None, op) => {
                let words = [
                    "debug", "info", "notice", "warn", "warning", "error", "crit", "critical",
                    "alert", "emerg",
                ];
                let near = field::nearest(&text.to_ascii_lowercase(), words.into_iter());
                match near {
                    Some(word) if !value.quoted => {
                        Err(self.error_at(value.at, format!("unknown level '{text}', did you mean '{word}'?")))
                    }
                    _ if matches!(op, Op::Order(_)) => Err(self.error_at(
                        value.at,
                        format!("'{text}' is no level; they are debug < info < notice < warn < err < crit < alert < emerg"),
                    )),
                    _ => Ok(None),
                }
            }
        }
    }

    pub(super) fn pattern(&self, value: &Value) -> Result<TextPattern> {
        if value.text.len() > MAX_NEEDLE_LEN {
            return Err(self.error_at(value.at, format!("text longer than {MAX_NEEDLE_LEN} bytes")));
        }
        TextPattern::new(&value.text, value.open_start, value.open_end).ok_or_else(|| {
            self.error_at(value.at, "there is nothing to look for between the quotes")
        })
    }
}

fn facility_test(value: &Value) -> Option<Test> {
    if value.open_start || value.open_end {
        return None;
    }
    let number = value.text.parse().ok().and_then(Facility::from_number);
    let named = || {
        Facility::NAMES
            .into_iter()
            .find(|n| value.text.eq_ignore_ascii_case(n))
    };
    let name = number.map(Facility::as_str).or_else(named)?;
    Some(Test::Exact(Exact::new(name, false, false)))
}
