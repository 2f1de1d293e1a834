//! How far a relay is, and what the store had let go by then.

use std::collections::VecDeque;

use super::message::is_id;
use super::new_id;

/// The beginning of the keys of relays.
const PREFIX: &str = "relay:";

/// How far a relay is, as it stands in the store: key `relay:HOST:PORT`, value `2 ID EVENT EVICTED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) key: String,
    /// What the other side knows this relay by.
    pub(super) id: String,
    /// The last event that the other side has; `None` before the first.
    pub(super) last: Option<u64>,
    /// Events up to there that the store let go before they were sent, since the relay was set up.
    pub(super) evicted: u64,
}

/// Gives every relay another id, in place; those that were changed. What they have sent stays sent; the
/// receiver cannot tell how far that is under another id, so the last of it may come twice.
pub(super) fn rename_all(positions: &mut [(String, Vec<u8>)]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut changed = Vec::new();
    for (key, value) in positions {
        if let Some(mut position) = key.starts_with(PREFIX).then(|| read(key, value)).flatten() {
            position.id = new_id();
            *value = position.encode();
            changed.push((key.clone(), Some(value.clone())));
        }
    }
    changed
}

/// Events that are not in the store any more: all behind one and up to another, or some of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) after: u64,
    pub(super) upto: u64,
    /// How many there are.
    pub(super) events: u64,
}

/// Gaps in front of and between what is on its way: they count when the position has passed them, so
/// that none counts twice when a connection breaks.
#[derive(Debug, Default)]
pub(super) struct Gaps(VecDeque<Gap>);

impl Position {
    pub(super) fn find(to: &str, positions: &[(String, Vec<u8>)]) -> Self {
        let key = format!("{PREFIX}{to}");
        let known = positions.iter().find(|(k, _)| *k == key);
        let known = known.and_then(|(_, value)| read(&key, value));
        known.unwrap_or_else(|| Self {
            key,
            id: new_id(),
            last: None,
            evicted: 0,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (id, last, evicted) = (&self.id, self.last.unwrap_or(0), self.evicted);
        format!("2 {id} {last} {evicted}").into_bytes()
    }
}

/// The first version did not know what was lost.
fn read(key: &str, value: &[u8]) -> Option<Position> {
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    let version = words.next()?;
    let id = words.next().filter(|id| is_id(id))?;
    let last = words.next()?.parse().ok()?;
    let evicted = match version {
        "1" => 0,
        "2" => words.next()?.parse().ok()?,
        _ => return None,
    };
    words.next().is_none().then(|| Position {
        key: key.to_owned(),
        id: id.to_owned(),
        last: Some(last),
        evicted,
    })
}

impl Gaps {
    /// Takes up what lies behind all others; one with the last when they touch.
    pub(super) fn push(&mut self, gap: Gap) {
        match self.0.back_mut().filter(|before| before.upto == gap.after) {
            Some(before) if before.is_whole() && gap.is_whole() => {
                before.upto = gap.upto;
                before.events = before.events.saturating_add(gap.events);
            }
            _ => self.0.push_back(gap),
        }
    }

    /// How many events of them the position has passed now.
    pub(super) fn pass(&mut self, position: u64) -> u64 {
        let mut events = 0u64;
        while let Some(gap) = self.0.front().filter(|gap| gap.upto <= position) {
            events = events.saturating_add(gap.events);
            self.0.pop_front();
        }
        events
    }

    /// What is ahead of the position is looked at again. The one that the position stands in.
    pub(super) fn forget(&mut self, position: u64) -> Option<Gap> {
        let first = self.0.pop_front().filter(|gap| gap.after < position);
        self.0.clear();
        first
    }
}

impl Gap {
    /// Nothing else is there.
    fn is_whole(&self) -> bool {
        self.events == self.upto - self.after
    }
}

/// The gaps in `after..=upto`, of which the store has `there`, in order.
pub(super) fn between(after: u64, upto: u64, there: impl Iterator<Item = u64>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut before = after;
    for id in there.chain([upto.saturating_add(1)]) {
        let events = id.saturating_sub(before).saturating_sub(1);
        if events > 0 {
            gaps.push(Gap {
                after: before,
                upto: id - 1,
                events,
            });
        }
        before = id;
    }
    gaps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let id = "0123456789abcdef0123456789abcdef";
        let read = |value: &str| {
            let stored = [("relay:h:1".to_owned(), value.as_bytes().to_vec())];
            let found = Position::find("h:1", &stored);
            (found.id == id).then_some((found.last, found.evicted))
        };
        assert_eq!(read(&format!("2 {id} 17 4")), Some((Some(17), 4)));
        assert_eq!(read(&format!("1 {id} 17")), Some((Some(17), 0)));
        for bad in [
            "",
            "1",
            "2 x 17 4",
            &format!("2 {id} 17"),
            &format!("3 {id} 17 4"),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let found = Position::find(
            "h:1",
            &[("relay:h:1".to_owned(), format!("2 {id} 17 4").into())],
        );
        assert_eq!(found.encode(), format!("2 {id} 17 4").into_bytes());
    }

    #[test]
    fn of_a_store_that_moved_every_relay_has_another_id_and_nothing_else() {
        let id = "0123456789abcdef0123456789abcdef";
        let entry = |key: &str, value: String| (key.to_owned(), value.into_bytes());
        let mut all = vec![
            entry("relay:h:1", format!("2 {id} 17 4")),
            entry("relay:h:2", format!("1 {id} 3")),
            entry("relay:h:3", "odd".to_owned()),
            entry("relay-from:x", format!("2 {id} 17 4")),
        ];
        let before = all.clone();
        assert_eq!(rename_all(&mut all).len(), 2);
        assert_eq!(all[2..], before[2..]);
        for (to, last, evicted) in [("h:1", 17, 4), ("h:2", 3, 0)] {
            let found = Position::find(to, &all);
            assert!(found.id != id && is_id(&found.id));
            assert_eq!((found.last, found.evicted), (Some(last), evicted));
        }
        assert_ne!(
            Position::find("h:1", &all).id,
            Position::find("h:2", &all).id
        );
    }

    proptest! {
        /// However the position moves, and wherever a connection breaks, each missing event counts once.
        #[test]
        fn what_is_missing_counts_once(
            kept in prop::collection::btree_set(1u64..200, 0..200),
            exact: bool,
            windows in prop::collection::vec((1u64..30, any::<bool>(), 0u64..200), 0..40),
        ) {
            let missing = |after: u64, upto: u64| upto - after - kept.iter().filter(|&&id| after < id && id <= upto).count() as u64;
            let (mut gaps, mut position, mut next, mut sent, mut lost) = (Gaps::default(), 0, 0, 0, 0);
            let mut step = |size: u64, breaks: bool, has: u64| {
                let upto = (next + size).min(200);
                let there: Vec<u64> = kept.iter().copied().filter(|&id| next < id && id <= upto).collect();
                match exact {
                    true => between(next, upto, there.iter().copied()).into_iter().for_each(|g| gaps.push(g)),
                    false => gaps.push(Gap { after: next, upto, events: missing(next, upto) }),
                }
                sent = there.last().copied().unwrap_or(sent);
                next = upto;
                // The other side has some of what was sent; all of it, when nothing more is on its way.
                let has = kept.range(..=sent.min(has)).next_back().copied().unwrap_or(0);
                position = position.max(if has >= sent { next } else { has });
                lost += gaps.pass(position);
                if breaks {
                    lost += gaps.forget(position).map_or(0, |gap| missing(gap.after, position));
                    (next, sent) = (position, 0);
                }
            };
            for (size, breaks, has) in windows {
                step(size, breaks, has);
            }
            for _ in 0..200 {
                step(30, false, 200);
            }
            prop_assert_eq!(lost, 200 - kept.len() as u64);
        }
    }
}
