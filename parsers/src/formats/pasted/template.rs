//! A compiled definition: literals, and pieces of which each knows where it ends.
//!
//! There is no going back in it: a piece ends at the first place where what follows it in the
//! definition follows it in the line. Quoted pieces end at the quote that no backslash precedes, times
//! where they are complete, lists of upstreams not at the blanks between their entries.

use std::ops::Range;

use super::super::access;
use super::clock::{Clock, Part};
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, near};
use crate::{Context, minute, stamp};

/// See the module.
#[derive(Debug, Default)]
pub(in crate::formats) struct Template {
    pub(super) steps: Vec<Step>,
    /// Times without a zone are UTC's.
    pub(super) utc: bool,
}

#[derive(Debug)]
pub(super) enum Step {
    Literal(Box<[u8]>),
    /// Any number of blanks.
    Blanks,
    Piece(Piece),
}

#[derive(Debug)]
pub(super) struct Piece {
    pub(super) what: What,
    pub(super) extent: Extent,
    /// As it was written, for errors.
    pub(super) written: Box<str>,
}

/// Where a piece ends.
#[derive(Debug)]
pub(super) enum Extent {
    /// It knows itself.
    Own,
    /// At that byte.
    Near(u8),
    /// At that text.
    Before(Box<[u8]>),
    /// At a quote that no backslash precedes.
    Quote,
    /// At a blank, but not at those in `a, b : c`.
    List,
    /// At the last colon of the word: an address, of which IPv6 has colons inside.
    LastColon,
    /// Where a path begins in the word, or the `-` in place of one.
    Path,
    /// At a blank, or at the closing quote if it begins with a quote.
    Column,
    /// At the end of the line.
    End,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Skip,
    Known(Field, Kind),
    /// Under a name that is not of the vocabulary.
    Named(Box<str>, Kind),
    /// A number, perhaps with a point, or `-`.
    Number(Field, Kind),
    Status,
    /// A name and perhaps a port.
    Vhost,
    /// `METHOD target HTTP/x`.
    Request(Kind),
    /// Path and query.
    Target(Kind),
    /// The same, with a `-` behind the path in place of a query.
    DashedTarget(Kind),
    /// A query with or without its `?`.
    Query(Kind),
    /// nginx' `$is_args`: a `?` or nothing.
    Mark,
    /// The first address of a list.
    First(Box<[u8]>),
    /// Milliseconds, or with a point seconds.
    TimeTaken,
    Clf,
    Iso,
    Epoch,
    Clock(Box<[Part]>),
}

/// Where a line departs from the definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats) struct Miss {
    /// The byte of the line.
    pub(in crate::formats) at: usize,
    step: usize,
}

/// The time as it is put together.
struct Time {
    clock: Clock,
    range: Option<Range<usize>>,
    open: bool,
}

impl Template {
    /// Reads a line.
    pub(in crate::formats) fn read(
        &self,
        cx: &mut Context,
        line: &[u8],
        out: &mut Record,
    ) -> Result<(), Miss> {
        let mut s = Scan::new(line);
        let mut time = Time {
            clock: match self.utc {
                true => Clock::utc(),
                false => Clock::default(),
            },
            range: None,
            open: true,
        };
        for (step, part) in self.steps.iter().enumerate() {
            let at = s.at();
            let done = match part {
                Step::Literal(text) => s.eat_all(text),
                Step::Blanks => {
                    s.run(|b| matches!(b, b' ' | b'\t'));
                    true
                }
                Step::Piece(piece) => piece.read(cx, &mut s, out, &mut time).is_some(),
            };
            if !done {
                let at = match part {
                    Step::Literal(text) => at + same(s.rest(), text),
                    _ => at,
                };
                return Err(Miss { at, step });
            }
        }
        if !s.rest().trim_ascii().is_empty() {
            let step = self.steps.len();
            return Err(Miss { at: s.at(), step });
        }
        if let Some(range) = time.range
            && let Some(found) = time.clock.stamp()
        {
            let (at, guessed) = found.resolve(cx);
            out.set_time(at, range.start, range.end);
            out.flags.time_guessed |= guessed;
        }
        out.set_message(0, line.len());
        Ok(())
    }

    /// What was expected where a line departed.
    pub(in crate::formats) fn expected(&self, miss: Miss) -> String {
        let name = |step: Option<&Step>| match step {
            Some(Step::Piece(piece)) => format!("`{}`", piece.written),
            Some(Step::Literal(text)) => format!("`{}`", text.escape_ascii()),
            Some(Step::Blanks) => "blanks".to_owned(),
            None => "the end of the line".to_owned(),
        };
        let this = self.steps.get(miss.step);
        match this {
            Some(Step::Literal(_)) => {
                let after = miss.step.checked_sub(1).and_then(|n| self.steps.get(n));
                match after {
                    Some(before) => format!("{} after {}", name(this), name(Some(before))),
                    None => name(this),
                }
            }
            Some(Step::Piece(Piece { what, written, .. })) => {
                format!("{} (`{written}`)", what.describe())
            }
            _ => name(this),
        }
    }
}

/// How many bytes agree.
fn same(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Piece {
    fn read(
        &self,
        cx: &mut Context,
        s: &mut Scan<'_>,
        out: &mut Record,
        time: &mut Time,
    ) -> Option<()> {
        if let Extent::Own = self.extent {
            return self.what.read_time(cx, s, out, time);
        }
        let at = self.extent.find(s)?;
        time.open &= time.range.is_none();
        self.what.put(s, at, out)
    }
}

impl Extent {
    /// The piece; the finger goes behind it.
    #[inline]
    fn find(&self, s: &mut Scan<'_>) -> Option<Range<usize>> {
        let rest = s.rest();
        let start = s.at();
        let len = match self {
            Self::Near(byte) => near(rest, [*byte])?,
            Self::Quote => return s.until_quote(),
            Self::Before(text) => before(rest, text)?,
            Self::List => list(rest),
            Self::LastColon => {
                let stop = |b: &u8| matches!(b, b' ' | b'"' | b'\'' | b',' | b')' | b'>');
                let word = rest.iter().position(stop).unwrap_or(rest.len());
                memchr::memrchr(b':', rest.get(..word)?)?
            }
            Self::Path => {
                let stop = |b: &u8| matches!(b, b' ' | b'"' | b'\'' | b'\t');
                let word = rest.iter().position(stop).unwrap_or(rest.len());
                let word = rest.get(..word)?;
                let missing = usize::from(word.ends_with(b"-"));
                near(word, [b'/']).unwrap_or(word.len() - missing)
            }
            Self::Column if rest.first() == Some(&b'"') => {
                let len = column(rest)?;
                s.skip(len);
                return Some(start + 1..start + len - 1);
            }
            Self::Column => near(rest, *b" \t").unwrap_or(rest.len()),
            Self::End | Self::Own => rest.len(),
        };
        s.skip(len);
        Some(start..start + len)
    }
}

/// Where `text` begins.
#[inline]
fn before(rest: &[u8], text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let mut at = 0;
    loop {
        at += near(rest.get(at..)?, [first])?;
        if rest.get(at..)?.starts_with(text) {
            return Some(at);
        }
        at += 1;
    }
}

/// The length of a list whose entries are parted by `, ` and ` : `.
fn list(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(n) = rest.get(at..).and_then(|r| near(r, [b' '])) {
        at += n;
        let before = rest.get(..at).unwrap_or_default();
        let after = rest.get(at + 1..).unwrap_or_default();
        let goes_on = before.ends_with(b",") || before.ends_with(b" :") || after.starts_with(b": ");
        if !goes_on {
            return at;
        }
        at += 1;
    }
    rest.len()
}

/// The length of a quoted column in which a quote is written twice, quotes included.
fn column(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += near(rest.get(at..)?, [b'"'])? + 1;
        match rest.get(at) {
            Some(b'"') => at += 1,
            _ => return Some(at),
        }
    }
}

impl What {
    fn read_time(
        &self,
        cx: &mut Context,
        s: &mut Scan<'_>,
        out: &mut Record,
        time: &mut Time,
    ) -> Option<()> {
        let start = s.at();
        let found = match self {
            Self::Clf => minute::clf(cx, s.rest())?,
            Self::Iso => minute::iso(cx, s.rest())?,
            Self::Epoch => stamp::epoch(s.rest())?,
            Self::Clock(parts) => {
                let len = time.clock.read(parts, s.rest())?;
                s.skip(len);
                // Pieces of the time that lie together are its place; no field may lie inside.
                match &mut time.range {
                    None => time.range = Some(start..s.at()),
                    Some(range) if time.open => range.end = s.at(),
                    Some(_) => {}
                }
                return Some(());
            }
            _ => return None,
        };
        let (at, guessed) = found.resolve(cx);
        out.set_time(at, start, start + found.len);
        out.flags.time_guessed |= guessed;
        s.skip(found.len);
        Some(())
    }

    #[inline]
    fn put(&self, s: &Scan<'_>, at: Range<usize>, out: &mut Record) -> Option<()> {
        let text = s.text(at.clone());
        let missing = matches!(text, b"-" | b"");
        match self {
            Self::Status if missing => {}
            Self::Status => {
                let three = text.len() == 3 && text.iter().all(u8::is_ascii_digit);
                if !three {
                    return None;
                }
                out.worsen(access::severity(text));
                out.push(Field::Status, at.start, at.end, Kind::Plain);
            }
            // A request that was none is worth a field, even if it is `-`.
            Self::Request(kind) => access::split_request_as(s, at, *kind, out),
            _ if missing => {}
            Self::Skip | Self::Mark => {}
            Self::Known(field, kind) => out.push(*field, at.start, at.end, *kind),
            Self::Named(name, kind) => out.push_named(&[name.as_bytes()], at, *kind),
            Self::Number(field, kind) => {
                number(text)?;
                out.push(*field, at.start, at.end, *kind);
            }
            Self::TimeTaken => {
                let kind = match number(text)? {
                    true => Kind::Plain,
                    false => Kind::Millis,
                };
                out.push(Field::Duration, at.start, at.end, kind);
            }
            Self::Vhost => {
                let end = at.start + access::without_port(text);
                out.push(Field::Vhost, at.start, end, Kind::Plain);
            }
            Self::Target(kind) => access::split_target(s, at, *kind, out),
            Self::DashedTarget(kind) => {
                let dash = near(text, [b'?']).is_none() && text.ends_with(b"-");
                let at = at.start..at.end - usize::from(dash);
                if s.text(at.clone()) != b"-" {
                    access::split_target(s, at, *kind, out);
                }
            }
            Self::Query(kind) => {
                let from = at.start + usize::from(text.first() == Some(&b'?'));
                out.push(Field::Query, from, at.end.max(from), *kind);
            }
            Self::First(separators) => {
                let is_part = |b: &u8| !separators.contains(b);
                let skip = text.iter().take_while(|b| !is_part(b)).count();
                let len = text.iter().skip(skip).take_while(|b| is_part(b)).count();
                let from = at.start + skip;
                out.push(Field::Ip, from, from + len, Kind::Plain);
            }
            Self::Clf | Self::Iso | Self::Epoch | Self::Clock(_) => return None,
        }
        Some(())
    }

    fn describe(&self) -> &'static str {
        match self {
            Self::Status => "a status of three digits",
            Self::Number(..) | Self::TimeTaken => "a number",
            Self::Clf => "a time as 21/Nov/2026:05:19:12 +0000",
            Self::Iso => "a time as 2026-11-21T05:19:12+00:00",
            Self::Epoch => "seconds since 1970",
            Self::Clock(_) => "a time",
            _ => "the end of the piece",
        }
    }
}

/// Whether a number has a point; `None` if it is none.
fn number(text: &[u8]) -> Option<bool> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut points = 0;
    for byte in text {
        match byte {
            b'0'..=b'9' => {}
            b'.' => points += 1,
            _ => return None,
        }
    }
    (points < 2 && text.len() > points).then_some(points == 1)
}
