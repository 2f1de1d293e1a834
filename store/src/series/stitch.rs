//! The parts of series whose archives were changed, put together in time order.
//!
//! Each part answers for its own time. Where one ends and the next begins within a slot, both have a
//! share of it: these become one again when the slots are of one length.

use vigie_parsers::Timestamp;
use vigie_query::{MetricKind, Stretch};

use super::answer::{LanePlan, Slot};
use super::layout::slot_of;

/// A part with its slots, and where they are sparser than asked for.
pub(super) type Part = (LanePlan, Vec<Slot>, Vec<Stretch>);

/// Parts to series, each once.
pub(super) fn stitch(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by(|(a, ..), (b, ..)| (&a.labels, a.part).cmp(&(&b.labels, b.part)));
    let mut whole: Vec<Part> = Vec::with_capacity(parts.len());
    for (lane, slots, stretches) in parts {
        match whole.last_mut() {
            Some((before, earlier, sparse)) if before.labels == lane.labels => {
                join(earlier, slots, lane.kind == MetricKind::Counter);
                sparse.extend(stretches);
                sparse.sort_by_key(|s| s.until);
                before.part = lane.part;
            }
            _ => whole.push((lane, slots, stretches)),
        }
    }
    whole
}

fn join(earlier: &mut Vec<Slot>, mut later: Vec<Slot>, counter: bool) {
    let Some(&end) = earlier.last() else {
        *earlier = later;
        return;
    };
    if counter && let Some(first) = later.first() {
        // What came late to the earlier part is not in the later one's total.
        let missing = (end.total - (first.total - first.sum)).max(0.0);
        for slot in &mut later {
            slot.total += missing;
        }
    }
    // Late readings may lie before the end of the part that took them.
    later.retain(|slot| slot.time >= end.time);
    if let Some(first) = later.first_mut()
        && first.step_ms == end.step_ms
        && slot_of(first.time.0, first.step_ms) == slot_of(end.time.0, end.step_ms)
    {
        *first = both(&end, first);
        earlier.pop();
    }
    earlier.append(&mut later);
}

/// A slot of which two parts know a share.
fn both(earlier: &Slot, later: &Slot) -> Slot {
    Slot {
        time: Timestamp(later.time.0.max(earlier.time.0)),
        count: earlier.count.saturating_add(later.count),
        sum: earlier.sum + later.sum,
        min: earlier.min.min(later.min),
        max: earlier.max.max(later.max),
        ..*later
    }
}
