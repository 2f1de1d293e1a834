//! The slots of one series, put together in time order from what pages and open chunks hold of it.

use vigie_parsers::Timestamp;
use vigie_query::MetricKind;

use super::answer::{Course, GroupPlan, LanePlan, Slot, Window};
use super::codec::{POW10, nearest, scaled, unscaled};
use super::lane::settled;
use super::layout::slot_of;
use super::page::{Cell, Need, Page, Scratch, parts};

struct Join<'s> {
    /// Length of the slots that come out, unless those that go in are longer.
    step_ms: i64,
    /// Length of a slot of the finest archive.
    raw_ms: i64,
    /// Whether it is a counter, which has a total.
    counter: bool,
    need: Need,
    total: f64,
    open: Option<Slot>,
    done: &'s mut Vec<Slot>,
}

/// Puts one series together in `slots`, those at the edges of the range included.
pub(super) fn join_lane(
    plan: &GroupPlan,
    lane: &LanePlan,
    course: &Course,
    pages: &[(Window, Vec<Page<'_>>)],
    (scratch, slots): (&mut Scratch, &mut Vec<Slot>),
) {
    let mut join = Join {
        step_ms: course.step_ms,
        raw_ms: plan.rings.archive(0).step_ms,
        counter: lane.kind == MetricKind::Counter,
        need: course.range.need(),
        total: 0.0,
        open: None,
        done: slots,
    };
    for (window, pages) in pages {
        let wanted = window.slots(&plan.rings);
        for page in pages {
            let first = plan.rings.first_slot(window.archive, page.chunk);
            if window.archive == 0 {
                join_raw(&mut join, lane, (page, first), &wanted, scratch);
            } else {
                let step_ms = plan.rings.archive(window.archive).step_ms;
                let page = (page, first, step_ms);
                join_coarse(&mut join, lane, page, &wanted, scratch);
            }
        }
    }
    join_open(&mut join, plan, lane, course);
    join.finish(lane);
}

impl Join<'_> {
    /// A counter's total at a place where it is written down.
    fn anchor(&mut self, total: f64) {
        self.total = self.total.max(total);
    }

    /// Adds a cell to the slot of this length that ends then.
    fn add(&mut self, end_ms: i64, step_ms: i64, cell: &Cell, decimals: Option<u8>) {
        // Whole numbers add up exactly.
        let decimals = decimals.filter(|&d| d > 0);
        let settle = |sum: f64| decimals.map_or(sum, |d| settled(sum, d));
        if self.counter {
            self.total = settle(self.total + cell.sum);
        }
        let mut all = *cell;
        match self.open.take() {
            Some(open) if open.time.0 == end_ms => {
                all = Cell {
                    count: open.count,
                    sum: open.sum,
                    min: open.min,
                    max: open.max,
                    last: open.last,
                };
                all.add(cell);
            }
            open => self.done.extend(open),
        }
        self.open = Some(Slot {
            time: Timestamp(end_ms),
            step_ms,
            count: all.count,
            sum: if all.count > 1 {
                settle(all.sum)
            } else {
                all.sum
            },
            min: all.min,
            max: all.max,
            last: all.last,
            total: self.total,
        });
    }

    /// Takes slots of the finest archive, from slot `first` on; what is not finite is unknown.
    fn raw(&mut self, first: i64, values: &[f64], decimals: Option<u8>) {
        if self.step_ms == self.raw_ms {
            return self.raw_each(first, values, decimals);
        }
        for (slot, part) in parts(first, self.step_ms / self.raw_ms, values) {
            let cell = match self.need {
                Need::All => Cell::of_all(part),
                Need::Sums => Cell::sum_of(part),
            };
            if cell.count > 0 {
                self.add((slot + 1) * self.step_ms, self.step_ms, &cell, decimals);
            }
        }
    }

    /// The same when each of them comes out.
    fn raw_each(&mut self, first: i64, values: &[f64], decimals: Option<u8>) {
        self.done.extend(self.open.take());
        // Whole units of the last decimal add up exactly, and need no rounding at each step.
        let decimals = decimals.filter(|&d| d > 0 && self.counter);
        let mut units = decimals.and_then(|d| Some((scaled(self.total, d)?, d)));
        for (slot, &value) in (first..).zip(values) {
            if !value.is_finite() {
                continue;
            }
            if let Some((units, d)) = &mut units {
                *units += nearest(value * POW10[usize::from(*d)]);
                self.total = unscaled(*units, *d);
            } else if self.counter {
                self.total += value;
                if let Some(decimals) = decimals {
                    self.total = settled(self.total, decimals);
                }
            }
            self.done.push(Slot {
                time: Timestamp((slot + 1) * self.raw_ms),
                step_ms: self.raw_ms,
                count: 1,
                sum: value,
                min: value,
                max: value,
                last: value,
                total: self.total,
            });
        }
    }

    /// The last slot, while it goes on, ends with the last reading.
    fn finish(self, lane: &LanePlan) {
        self.done.extend(self.open);
        if let Some(last) = self.done.last_mut()
            && (last.time.0 - last.step_ms + 1..last.time.0).contains(&lane.last_ms)
        {
            last.time = Timestamp(lane.last_ms);
        }
    }
}

pub(super) fn known_sum(values: &[f64]) -> f64 {
    values.iter().filter(|v| v.is_finite()).sum()
}

/// The lane's part of a page of the finest archive.
fn join_raw(
    join: &mut Join<'_>,
    lane: &LanePlan,
    (page, first): (&Page<'_>, i64),
    wanted: &std::ops::Range<i64>,
    scratch: &mut Scratch,
) {
    let Some((head, values)) = page.raw(lane.lane, scratch) else {
        return;
    };
    let place = |slot: i64| place_of(slot, first, values.len());
    // Older slots are what the lane's former series left.
    let born = place(slot_of(lane.first_ms, join.raw_ms));
    let (from, until) = (place(wanted.start).max(born), place(wanted.end).max(born));
    if !values[born..until].iter().any(|v| v.is_finite()) {
        return;
    }
    if let Some(total) = head.total {
        join.anchor(total + known_sum(&values[born..from]));
    }
    let from_slot = first + i64::try_from(from).unwrap_or(0);
    join.raw(from_slot, &values[from..until], head.decimals);
}

/// The same of another archive.
fn join_coarse(
    join: &mut Join<'_>,
    lane: &LanePlan,
    (page, first, step_ms): (&Page<'_>, i64, i64),
    wanted: &std::ops::Range<i64>,
    scratch: &mut Scratch,
) {
    let Some(found) = page.coarse(lane.lane, join.need, scratch) else {
        return;
    };
    let place = |slot: i64| found.place(slot.saturating_sub(first));
    let born = place(slot_of(lane.first_ms, step_ms));
    let (from, until) = (place(wanted.start).max(born), place(wanted.end).max(born));
    if born == until {
        return;
    }
    if let Some(total) = found.head.total {
        join.anchor(total + found.cell(born..from).sum);
    }
    let ratio = (join.step_ms / step_ms).max(1);
    found.parts(first, ratio, from..until, |slot, cell| {
        let step_ms = step_ms * ratio;
        join.add((slot + 1) * step_ms, step_ms, &cell, found.head.decimals);
    });
}

/// Where a slot lies among `len` slots from `first` on; at the ends if it is not among them.
fn place_of(slot: i64, first: i64, len: usize) -> usize {
    let place = slot.saturating_sub(first).max(0);
    usize::try_from(place).unwrap_or(usize::MAX).min(len)
}

/// What is in no page yet.
fn join_open(join: &mut Join<'_>, plan: &GroupPlan, lane: &LanePlan, course: &Course) {
    let from = course.open_from_ms.div_euclid(join.raw_ms);
    let until = course.until_ms.div_euclid(join.raw_ms);
    let mut rest = lane.open.as_slice();
    let mut total = lane.total;
    for &(first, slots) in &plan.open {
        let (values, later) = rest.split_at(slots.min(rest.len()));
        rest = later;
        let place = |slot: i64| place_of(slot, first, values.len());
        let (a, b) = (place(from), place(until));
        total += known_sum(&values[..a]);
        join.anchor(total);
        if a < b {
            let from_slot = first + i64::try_from(a).unwrap_or(0);
            join.raw(from_slot, &values[a..b], Some(lane.decimals));
        }
    }
    join.anchor(total);
}
