//! Senders whose stamps are steadily off: another zone than we believe, or a clock that is wrong. What
//! is ahead of our clock is easily overlooked in a search, and nothing else tells of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use vigie_parsers::Timestamp;
use vigie_store::{Batch, EventBatch, EventHead};

use super::{Note, Notes};
use crate::outlet::Take;
use crate::status::Source;

/// Stamps this far from their arrival are as good as right: clocks drift, queues hold for a while.
const NEAR_MS: i64 = 60_000;
/// Zones differ by quarters of hours …
const QUARTER_MS: i64 = 900_000;
/// … and by no more than this.
const ZONES_MS: i64 = 26 * 3_600_000;
const FAR_MS: i64 = 100 * 366 * 86_400_000;
/// So many messages in a row make it steady.
const STEADY: u32 = 3;
/// What is behind may also have waited in a queue: it must be so for this long.
const BEHIND_MS: i64 = 60_000;
/// Senders that are watched at once, of those whose last stamp was off.
const SENDERS_MAX: usize = 1024;

/// The senders of a listener whose stamps are off.
#[derive(Debug, Default)]
struct Skews {
    off: BTreeMap<String, Run>,
    /// How many of them were told of.
    told: usize,
}

/// Messages in a row that are off by the same time.
#[derive(Debug)]
struct Run {
    off_ms: i64,
    count: u32,
    since: Timestamp,
    /// What was told: by how much, and whether a zone explains it.
    told: Option<(i64, bool)>,
}

/// A stamp and its arrival.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    time: Timestamp,
    recv: Timestamp,
    /// It names no zone.
    is_local: bool,
}

impl Stamp {
    /// How far it is ahead; stamps may say anything, so no further than a century.
    fn off_ms(self) -> i64 {
        self.time.since_ms(self.recv).clamp(-FAR_MS, FAR_MS)
    }

    /// By how much a zone may explain it, in milliseconds.
    fn zone_ms(self) -> Option<i64> {
        let off = self.off_ms();
        let whole = (off + off.signum() * QUARTER_MS / 2) / QUARTER_MS * QUARTER_MS;
        let explains = whole != 0 && off.abs() <= ZONES_MS && (off - whole).abs() <= NEAR_MS;
        (self.is_local && explains).then_some(whole)
    }

    fn is_right(self) -> bool {
        let off = self.off_ms();
        off.abs() <= NEAR_MS || (off < 0 && self.zone_ms().is_none())
    }
}

/// Looks at what a listener hands over before it goes on.
pub(super) fn watching(take: Take, source: Arc<Source>, notes: Arc<Notes>) -> Take {
    let skews = Mutex::new(Skews::default());
    Arc::new(move |batch: Batch| {
        let mut skews = skews.lock().unwrap_or_else(PoisonError::into_inner);
        if skews.look(&batch.events, &source) {
            notes.set(Note::Clock, skews.note());
            source.work(&notes.detail());
        }
        drop(skews);
        take(batch)
    })
}

impl Skews {
    /// Looks at the stamps of a batch; whether there is news.
    fn look(&mut self, events: &EventBatch, source: &Source) -> bool {
        let mut news = false;
        for head in events.heads() {
            let off = head.time.since_ms(head.recv);
            let is_near = (-NEAR_MS..=NEAR_MS).contains(&off);
            if head.time_span.is_empty() || (is_near && self.off.is_empty()) {
                continue;
            }
            let origin = events.origin(head);
            // What a relay brings is judged where it was received.
            if origin.source != source.name() {
                continue;
            }
            let Some((_, peer)) = origin.fields.iter().find(|(name, _)| name == "peer") else {
                continue;
            };
            let stamp = Stamp {
                time: head.time,
                recv: head.recv,
                is_local: is_local(events, head),
            };
            if let Some(word) = self.take(peer, stamp) {
                news = true;
                if let Some(word) = word {
                    tracing::warn!(source = source.name(), "{word}");
                }
            }
        }
        news
    }

    /// Takes a stamp of a sender. Whether there is news, and what it is if that is bad.
    fn take(&mut self, peer: &str, stamp: Stamp) -> Option<Option<String>> {
        if stamp.is_right() {
            let was_told = self.off.remove(peer)?.told.is_some();
            self.told -= usize::from(was_told);
            return was_told.then_some(None);
        }
        let off_ms = stamp.off_ms();
        if !self.off.contains_key(peer) {
            if self.off.len() < SENDERS_MAX {
                let run = Run {
                    off_ms,
                    count: 1,
                    since: stamp.recv,
                    told: None,
                };
                self.off.insert(peer.to_owned(), run);
            }
            return None;
        }
        let run = self.off.get_mut(peer)?;
        if (off_ms - run.off_ms).abs() > NEAR_MS {
            (run.off_ms, run.count, run.since) = (off_ms, 1, stamp.recv);
            return None;
        }
        run.count = run.count.saturating_add(1);
        let long = off_ms > 0 || stamp.recv.since_ms(run.since) >= BEHIND_MS;
        if run.told.is_some() || run.count < STEADY || !long {
            return None;
        }
        // A zone is known exactly, a clock to the second.
        let zone = stamp.zone_ms();
        let told = (zone.unwrap_or(off_ms), zone.is_some());
        run.told = Some(told);
        self.told += 1;
        Some(Some(words(peer, told)))
    }

    /// The first of them, and how many more there are.
    fn note(&self) -> String {
        let mut told = self
            .off
            .iter()
            .filter_map(|(peer, run)| Some((peer, run.told?)));
        let Some((peer, off)) = told.next() else {
            return String::new();
        };
        let first = words(peer, off);
        match self.told.saturating_sub(1) {
            0 => first,
            n => format!("{first} (and {n} more)"),
        }
    }
}

fn words(peer: &str, (off_ms, is_zone): (i64, bool)) -> String {
    let s = (off_ms.abs() + 500) / 1000;
    let way = if off_ms > 0 { "ahead of" } else { "behind" };
    let help = if is_zone {
        "set `zone` or `zones`"
    } else {
        "set its clock"
    };
    format!("{peer} is {s} s {way} this clock: {help}")
}

/// Whether the stamp of a line names no zone: neither `Z` nor `+01:00` ends it.
fn is_local(events: &EventBatch, head: &EventHead) -> bool {
    let (start, end) = (head.time_span.start as usize, head.time_span.end as usize);
    let stamp = events.line(head).get(start..end).unwrap_or_default();
    let offset = stamp.len().checked_sub(6).and_then(|at| stamp.get(at));
    stamp.last().is_some_and(u8::is_ascii_digit) && !matches!(offset, Some(b'+' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1000;

    fn stamp(off_ms: i64, recv_ms: i64, is_local: bool) -> Stamp {
        Stamp {
            time: Timestamp(recv_ms + off_ms),
            recv: Timestamp(recv_ms),
            is_local,
        }
    }

    #[test]
    fn what_is_steadily_off_is_told_once() {
        let hour = 3600 * S;
        for (off, every, is_local, expected) in [
            (
                hour + 2 * S,
                S,
                true,
                Some("a is 3600 s ahead of this clock: set `zone` or `zones`"),
            ),
            (
                hour,
                S,
                false,
                Some("a is 3602 s ahead of this clock: set its clock"),
            ),
            (
                100 * S,
                S,
                true,
                Some("a is 102 s ahead of this clock: set its clock"),
            ),
            (
                -5 * hour - 1500,
                30 * S,
                true,
                Some("a is 18000 s behind this clock: set `zone` or `zones`"),
            ),
            (-5 * hour, S, true, None),
            (-5 * hour, 30 * S, false, None),
            (-1234 * S, 30 * S, true, None),
            (59 * S, S, true, None),
        ] {
            let mut skews = Skews::default();
            let told: Vec<_> = (0..9)
                .filter_map(|n| skews.take("a", stamp(off + n % 3 * S, n * every, is_local)))
                .flatten()
                .collect();
            let expected: Vec<&str> = expected.into_iter().collect();
            assert_eq!(told, expected, "{off}");
            assert_eq!(skews.note(), expected.concat(), "{off}");
        }
    }

    #[test]
    fn what_is_right_again_is_forgotten_and_single_ones_count_for_nothing() {
        let mut skews = Skews::default();
        for n in 0..9 {
            let off = if n % 3 == 2 { 0 } else { 3600 * S };
            assert_eq!(skews.take("a", stamp(off, n, true)), None, "{n}");
            // Stamps that are ahead by ever other times are no clock.
            assert_eq!(skews.take("b", stamp((n + 2) * 100 * S, n, false)), None);
        }
        for peer in ["a", "c"] {
            for n in 0..3 {
                skews.take(peer, stamp(3600 * S, n, true));
            }
        }
        assert!(
            skews.note().ends_with("`zones` (and 1 more)"),
            "{}",
            skews.note()
        );
        assert_eq!(skews.take("a", stamp(0, 9, true)), Some(None));
        assert!(skews.note().starts_with("c is 3600 s ahead"));
        assert_eq!(skews.take("c", stamp(0, 9, true)), Some(None));
        assert_eq!(skews.note(), "");
    }
}
