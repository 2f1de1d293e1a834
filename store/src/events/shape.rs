//! Lines built like one before: the same named pieces with the same text between them give the same
//! template, up to the end of the last piece.

use vigie_parsers::{Kind, Name};

use super::open::Line;
use super::split::Split;
use super::stamp::{Stamp, Stamps};

/// Shapes that are remembered: a program writes few, and each is compared with.
const SHAPES_MAX: usize = 4;

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
    /// Takes a line apart up to the end of its last piece, if it is built like one before; answers
    /// that end.
    pub(super) fn apply(
        &mut self,
        line: &Line<'_>,
        split: &mut Split,
        stamps: &mut Stamps,
    ) -> Option<usize> {
        let at = self.known.iter().position(|s| s.fits(line, stamps))?;
        self.known[..=at].rotate_right(1);
        let last = line.spans.last()?.end as usize;
        split.begin(&self.known[0].text, line.spans, last);
        Some(last)
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

impl Shape {
    fn learn(&mut self, line: &Line<'_>, split: &Split, stamps: &mut Stamps) -> Option<()> {
        self.spans.clear();
        self.gaps.clear();
        self.ends.clear();
        self.stamp = None;
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
            if text != known {
                return None;
            }
            (at, known_at) = (end, known_end);
        }
        Some(())
    }
}
