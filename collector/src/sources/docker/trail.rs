//! Where in a log we are, by the last record itself. Pure.
//!
//! Stamps alone do not tell: several records may have the same, and clocks are set back. A record is known
//! by its stream, stamp and content, and by how many of its stream were the same before it.

use std::hash::{DefaultHasher, Hasher};

use super::pieces::{Piece, Stamp, Stream};

/// Bytes of records that were heard and are not fetched yet. Beyond them only their number is known.
const HEARD_BYTES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Of each stream the last record.
    sides: [Option<Known>; 2],
    last: Option<Stream>,
    /// What the engine told of since, and how much that was.
    heard: Vec<Owned>,
    heard_bytes: usize,
    heard_records: usize,
}

/// A record that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    stamp: Stamp,
    content: u64,
    /// So many in a row were the same.
    count: u32,
}

#[derive(Debug)]
struct Owned {
    stream: Stream,
    stamp: Stamp,
    text: Vec<u8>,
    ends: bool,
}

/// Looks for the last record in what came again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    stream: Stream,
    known: Known,
}

impl Search {
    /// Whether this record is the one: those behind it are new.
    pub(super) fn is_here(&mut self, piece: &Piece<'_>) -> bool {
        let same = piece.stream == self.stream
            && piece.stamp == self.known.stamp
            && content(piece) == self.known.content;
        self.known.count = self.known.count.saturating_sub(u32::from(same));
        same && self.known.count == 0
    }
}

impl Trail {
    /// The search for the last record; `None` if there was none.
    pub(super) fn search(&self) -> Option<Search> {
        let stream = self.last?;
        let known = (*self.sides.get(stream as usize)?)?;
        Some(Search { stream, known })
    }

    /// The earliest stamp that is of interest: of the last record, and of what was heard since.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let last = self.search()?.known.stamp;
        let heard = self.heard.iter().map(|h| h.stamp);
        heard.chain([last]).min()
    }

    /// A record was taken.
    pub(super) fn note(&mut self, piece: &Piece<'_>) {
        let (stamp, content) = (piece.stamp, content(piece));
        if let Some(side) = self.sides.get_mut(piece.stream as usize) {
            let same = side.filter(|k| k.stamp == stamp && k.content == content);
            let count = same.map_or(1, |k| k.count.saturating_add(1));
            *side = Some(Known {
                stamp,
                content,
                count,
            });
        }
        self.last = Some(piece.stream);
    }

    /// The engine told of a record; it may leave some out, and repeat others.
    pub(super) fn hear(&mut self, piece: &Piece<'_>) {
        self.heard_records += 1;
        self.heard_bytes += piece.text.len();
        if self.heard_bytes <= HEARD_BYTES_MAX {
            self.heard.push(Owned {
                stream: piece.stream,
                stamp: piece.stamp,
                text: piece.text.to_owned(),
                ends: piece.ends,
            });
        }
    }

    /// How many records the engine told of.
    pub(super) fn heard(&self) -> usize {
        self.heard_records
    }

    /// All of it was taken.
    pub(super) fn forget_heard(&mut self) {
        self.heard.clear();
        (self.heard_bytes, self.heard_records) = (0, 0);
    }

    /// The log is gone: what was heard of it is all there is, behind the last record if that was heard too.
    pub(super) fn take_heard(&mut self, take: &mut dyn FnMut(&Piece<'_>)) {
        let heard = std::mem::take(&mut self.heard);
        let pieces: Vec<_> = heard.iter().map(Owned::piece).collect();
        let known = self.search().and_then(|mut search| {
            let here = |p: &Piece<'_>| search.is_here(p);
            pieces.iter().position(here)
        });
        for piece in pieces.iter().skip(known.map_or(0, |at| at + 1)) {
            take(piece);
        }
        self.forget_heard();
    }
}

impl Owned {
    fn piece(&self) -> Piece<'_> {
        Piece {
            stream: self.stream,
            stamp: self.stamp,
            text: &self.text,
            ends: self.ends,
        }
    }
}

fn content(piece: &Piece<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(u8::from(piece.ends));
    hasher.write(piece.text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece<'a>((err, stamp, text): &'a (bool, i64, String)) -> Piece<'a> {
        Piece {
            stream: if *err { Stream::Stderr } else { Stream::Stdout },
            stamp: Stamp(*stamp),
            text: text.as_bytes(),
            ends: true,
        }
    }

    proptest! {
        /// Wherever the log was left, and however many records are the same, what comes again from any
        /// place far enough in front of it goes on just behind.
        #[test]
        fn the_place_is_found_again(
            log in prop::collection::vec((any::<bool>(), 0_i64..3, "[ab]"), 1..60),
            left in 1_usize..60,
        ) {
            let left = left.min(log.len());
            let mut trail = Trail::default();
            for record in &log[..left] {
                trail.note(&piece(record));
            }
            let mut search = trail.search().unwrap();
            let found = log.iter().position(|record| search.is_here(&piece(record)));
            // In a log from its beginning records of the same content may have come before, not in a row.
            let last = &log[left - 1];
            let found = found.unwrap();
            prop_assert_eq!(&log[found], last);
            prop_assert!(found < left);
            let own = |range: &[(bool, i64, String)]| {
                let same = range.iter().filter(|r| r.0 == last.0);
                same.rev().take_while(|r| *r == last).count()
            };
            prop_assert!(found == left - 1 || own(&log[..=found]) <= own(&log[..left]));
        }
    }

    #[test]
    fn pieces_of_a_long_line_are_told_apart_though_they_are_alike() {
        let log: Vec<_> = [
            (false, 1, "x"),
            (true, 2, "e"),
            (false, 1, "x"),
            (false, 1, "x"),
            (true, 3, "f"),
        ]
        .map(|(err, stamp, text)| (err, stamp, text.to_owned()))
        .into();
        for left in 1..=log.len() {
            let mut trail = Trail::default();
            log[..left].iter().for_each(|r| trail.note(&piece(r)));
            let mut search = trail.search().unwrap();
            let found = log.iter().position(|r| search.is_here(&piece(r)));
            assert_eq!(found, Some(left - 1));
            // Cut off within them it is not found, rather than in the wrong place.
            let mut search = trail.search().unwrap();
            let found = log[left..].iter().position(|r| search.is_here(&piece(r)));
            assert!(found.is_none() || left == 1, "{left}");
        }
    }

    #[test]
    fn of_a_log_that_is_gone_what_was_heard_is_left() {
        let log: Vec<_> = (0..6).map(|n| (n % 2 == 0, n, n.to_string())).collect();
        for (taken, heard, want) in [(3, 0, 3), (3, 2, 3), (3, 3, 3), (0, 0, 6)] {
            let mut trail = Trail::default();
            log[..taken].iter().for_each(|r| trail.note(&piece(r)));
            log[heard..].iter().for_each(|r| trail.hear(&piece(r)));
            let mut left = Vec::new();
            trail.take_heard(&mut |p| left.push(p.stamp.0));
            assert_eq!(left, (6 - want..6).collect::<Vec<_>>(), "{taken} {heard}");
            assert_eq!(trail.heard(), 0);
        }
    }
}
