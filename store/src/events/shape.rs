//! Lines built like one before: the same named pieces with the same text between them give the same
//! template up to the end of the last piece, and with the same constant text behind it the whole one.

use vigie_parsers::{Kind, Name};

use super::intern::same;
use super::open::Line;
use super::split::Split;
use super::stamp::{Stamp, Stamps};

/// Shapes that are remembered: a program writes few, a machine has some programs, and each is compared
/// with.
const SHAPES_MAX: usize = 12;

/// The shapes of the lines before.
#[derive(Clone, Debug, Default)]
pub(super) struct Shapes {
    /// The one that fitted last comes first.
    known: Vec<Shape>,
}

#[derive(Clone, Debug, Default)]
struct Shape {
    /// What the pieces are.
    spans: Vec<(Name, Kind)>,
    /// The text before each piece, one behind the other, without the time stamp…
    gaps: Vec<u8>,
    /// … and where each ends.
    ends: Vec<usize>,
    stamp: Option<StampAt>,
    /// The template's text up to the end of the last piece.
    text: Vec<u8>,
    /// A text behind the last piece that has neither variables nor the time stamp, with the template
    /// that this gives.
    whole: Option<(Vec<u8>, u32)>,
}

/// How far a line is known.
pub(super) enum Fit {
    /// All of it: its values are its pieces.
    Whole(u32),
    /// It was taken apart up to here, the end of its last piece.
    Until(usize),
    /// It was seen for the first time.
    New,
}

/// A time stamp that is not the tail's.
#[derive(Clone, Copy, Debug)]
struct StampAt {
    /// Of the piece that follows.
    gap: usize,
    /// Bytes of the gap before it.
    before: usize,
    stamp: Stamp,
}

impl Shapes {
    /// Takes a line apart as far as it is built like one before.
    pub(super) fn apply(&mut self, line: &Line<'_>, split: &mut Split, stamps: &mut Stamps) -> Fit {
        let at = self.known.iter().position(|s| s.fits(line, stamps));
        let (Some(at), Some(last)) = (at, line.spans.last()) else {
            return Fit::New;
        };
        if at > 0 {
            self.known[..=at].rotate_right(1);
        }
        let (shape, last) = (&self.known[0], last.end as usize);
        if let Some((behind, template)) = &shape.whole
            && line.line[last..] == **behind
            && !has_stamp_behind(line, last)
        {
            return Fit::Whole(*template);
        }
        split.begin(&shape.text, line.spans, last);
        Fit::Until(last)
    }

    /// Remembers the template of the line that was taken apart last.
    pub(super) fn remember(&mut self, line: &Line<'_>, split: &Split, template: u32) {
        let (Some(shape), Some(last)) = (self.known.first_mut(), line.spans.last()) else {
            return;
        };
        let last = last.end as usize;
        let constant = split.values.len() == line.spans.len() && !split.has_variables();
        // The line's own shape, unless that could not be learned.
        if constant && split.text.starts_with(&shape.text) && !has_stamp_behind(line, last) {
            let behind = line.line.get(last..).unwrap_or_default();
            if split.text[shape.text.len()..] == *behind {
                shape.whole = Some((behind.to_vec(), template));
            }
        }
    }

    /// Remembers how a line is built that was taken apart up to the end of its last piece.
    pub(super) fn learn(&mut self, line: &Line<'_>, split: &Split, stamps: &mut Stamps) {
        // Each piece has its column, and there are no other slots.
        let known = |name: &Name| matches!(name, Name::Known(_));
        let whole = split.values.len() == line.spans.len() && !split.has_variables();
        if !whole || line.spans.is_empty() || !line.spans.iter().all(|s| known(&s.name)) {
            return;
        }
        let mut shape = match self.known.len() < SHAPES_MAX {
            true => Shape::default(),
            false => self.known.pop().unwrap_or_default(),
        };
        if shape.learn(line, split, stamps).is_some() {
            self.known.insert(0, shape);
        }
    }
}

/// Whether a line's time stamp stands behind its last piece.
fn has_stamp_behind(line: &Line<'_>, last: usize) -> bool {
    let (start, end) = line.time_span;
    start < end && start >= last
}

impl Shape {
    fn learn(&mut self, line: &Line<'_>, split: &Split, stamps: &mut Stamps) -> Option<()> {
        self.spans.clear();
        self.gaps.clear();
        self.ends.clear();
        self.stamp = None;
        self.whole = None;
        self.text.clear();
        self.text.extend_from_slice(&split.text);
        let (from, until) = line.time_span;
        let mut at = 0;
        for (gap, span) in line.spans.iter().enumerate() {
            let start = span.start as usize;
            let mut text = line.line.get(at..start)?;
            if from < until && (at..start).contains(&from) {
                let before = from - at;
                self.gaps.extend_from_slice(&text[..before]);
                let (stamp, len) = stamps.recognise(&text[before..], line.time)?;
                text = text.get(before + len..)?;
                self.stamp = Some(StampAt { gap, before, stamp });
            }
            self.gaps.extend_from_slice(text);
            self.ends.push(self.gaps.len());
            self.spans.push((span.name, span.kind));
            at = span.end as usize;
        }
        Some(())
    }

    fn fits(&self, line: &Line<'_>, stamps: &mut Stamps) -> bool {
        if line.spans.len() != self.spans.len() {
            return false;
        }
        let kinds = line.spans.iter().zip(&self.spans);
        let same = |(s, known): (&vigie_parsers::Span, &(Name, Kind))| (s.name, s.kind) == *known;
        kinds.map(same).fold(true, |all, one| all & one) && self.gaps_fit(line, stamps).is_some()
    }

    fn gaps_fit(&self, line: &Line<'_>, stamps: &mut Stamps) -> Option<()> {
        let (from, until) = line.time_span;
        let last = line.spans.last()?.end as usize;
        if self.stamp.is_some() != (from < until && from < last) {
            return None;
        }
        let (mut at, mut known_at) = (0, 0);
        for (gap, (span, &known_end)) in line.spans.iter().zip(&self.ends).enumerate() {
            let (start, end) = (span.start as usize, span.end as usize);
            if end <= start || end > line.line.len() {
                return None;
            }
            let mut text = line.line.get(at..start)?;
            let mut known = &self.gaps[known_at..known_end];
            if let Some(stamp) = self.stamp.filter(|s| s.gap == gap) {
                let (before, rest) = text.split_at_checked(stamp.before)?;
                let (known_before, known_rest) = known.split_at(stamp.before);
                if at + stamp.before != from || before != known_before {
                    return None;
                }
                let (found, len) = stamps.recognise(rest, line.time)?;
                if found != stamp.stamp {
                    return None;
                }
                (text, known) = (rest.get(len..)?, known_rest);
            }
            if text.len() != known.len() || !same(text, known) {
                return None;
            }
            (at, known_at) = (end, known_end);
        }
        Some(())
    }
}
