//! Reading old figures: which archive answers which part of a range, and what live readings go on with.
//!
//! As with rings, the coarsest archive whose slots are no longer than the query's step answers. Where
//! it has nothing, finer ones do, put together to its slots, and then coarser ones.

use foldhash::HashMap;
use rusqlite::Connection;
use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, MetricKind, SourceError, Stretch};

use super::write::growth;
use super::{COLUMNS, SLOTS, Spec, decode_page, page_row, read_rows};
use crate::Result;
use crate::series::answer::{Range, Slot, check_samples};
use crate::series::layout::slot_of;
use crate::series::page::Scratch;
use crate::series::view::check_deadline;

/// The old series that readers know.
#[derive(Debug, Default)]
pub(crate) struct Old(Vec<Known>);

#[derive(Debug)]
struct Known {
    id: i64,
    labels: Labels,
    spec: Spec,
}

/// An old series of an answer.
#[derive(Debug)]
pub(crate) struct Plan {
    id: i64,
    /// What it is.
    pub(crate) labels: Labels,
    spec: Spec,
    /// From here on live readings answer.
    until_ms: i64,
}

/// A part of the range that one archive answers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    archive: usize,
    from_ms: i64,
    until_ms: i64,
}

/// What is found of an old series.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) slots: Vec<Slot>,
    /// Where they are longer than asked for.
    pub(crate) stretches: Vec<Stretch>,
    /// Whether it is read as a counter.
    pub(crate) rates: bool,
}

impl Found {
    /// What it is read as.
    pub(crate) fn kind(&self) -> MetricKind {
        if self.rates {
            MetricKind::Counter
        } else {
            MetricKind::Gauge
        }
    }

    /// Puts live slots behind. Old totals end where the first live one began.
    pub(crate) fn go_on(&mut self, live: &[Slot], stretches: Vec<Stretch>) {
        if let (Some(last), Some(first)) = (self.slots.last(), live.first())
            && self.rates
        {
            let moved = first.total - first.sum - last.total;
            for slot in &mut self.slots {
                slot.total += moved;
            }
        }
        self.slots.extend_from_slice(live);
        self.stretches.extend(stretches);
    }
}

impl Old {
    pub(crate) fn load(conn: &Connection) -> Result<Self> {
        let known = read_rows(conn)?.into_iter().map(|row| Known {
            id: row.id,
            labels: row.labels,
            spec: row.spec,
        });
        Ok(Self(known.collect()))
    }

    /// The series that match and have something in a time, up to where `live_from` says that live
    /// readings begin.
    pub(crate) fn plan(
        &self,
        matchers: &[Matcher],
        (from_ms, until_ms): (i64, i64),
        live_from: impl Fn(&Labels) -> i64,
    ) -> Vec<Plan> {
        let plan = |known: &Known| Plan {
            id: known.id,
            labels: known.labels.clone(),
            spec: known.spec.clone(),
            until_ms: live_from(&known.labels),
        };
        let plans = self.matching(matchers, (from_ms, until_ms)).map(plan);
        plans.filter(|p| p.until_ms > from_ms).collect()
    }

    /// The names and labels that match and have something in a time.
    pub(crate) fn living<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: (i64, i64),
    ) -> impl Iterator<Item = Labels> + 'a {
        self.matching(matchers, range)
            .map(|known| known.labels.clone())
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
        (from_ms, until_ms): (i64, i64),
    ) -> impl Iterator<Item = &'a Known> {
        self.0.iter().filter(move |known| {
            known.spec.reaches(from_ms, until_ms)
                && matchers.iter().all(|m| m.matches(&known.labels))
        })
    }
}

impl Spec {
    fn reaches(&self, from_ms: i64, until_ms: i64) -> bool {
        let lived = |a: &super::Archive| a.begin_ms() <= until_ms && a.end_ms() >= from_ms;
        self.archives.iter().any(lived)
    }

    /// The coarsest archive that serves a step.
    fn archive_for(&self, step_ms: i64) -> usize {
        let serves = |&a: &usize| a == 0 || self.archives[a].step_ms <= step_ms;
        (0..self.archives.len()).rev().find(serves).unwrap_or(0)
    }

    /// The parts of a range in time order, each with the archive that answers.
    fn windows(&self, target: usize, (from_ms, until_ms): (i64, i64)) -> Vec<Window> {
        let (mut windows, mut free) = (Vec::new(), vec![(from_ms, until_ms)]);
        for archive in (0..=target).rev().chain(target + 1..self.archives.len()) {
            let a = &self.archives[archive];
            let mut left = Vec::new();
            for (from_ms, until_ms) in free {
                let begin = a.begin_ms().clamp(from_ms, until_ms);
                let end = a.end_ms().clamp(begin, until_ms);
                if begin < end {
                    windows.push(Window {
                        archive,
                        from_ms: begin,
                        until_ms: end,
                    });
                }
                left.extend(
                    [(from_ms, begin), (end, until_ms)]
                        .into_iter()
                        .filter(|(f, u)| f < u),
                );
            }
            free = left;
        }
        windows.sort_by_key(|w| w.from_ms);
        windows
    }
}

/// Reads all plans.
pub(crate) fn read(
    conn: &Connection,
    plans: Vec<Plan>,
    range: Range,
) -> std::result::Result<HashMap<Labels, Found>, SourceError> {
    let mut scratch = Scratch::default();
    let (mut found, mut samples) = (HashMap::default(), 0);
    for plan in plans {
        let one = plan.read(conn, range, samples, &mut scratch)?;
        if !one.slots.is_empty() {
            samples += one.slots.len();
            found.insert(plan.labels, one);
        }
    }
    Ok(found)
}

impl Plan {
    fn read(
        &self,
        conn: &Connection,
        mut range: Range,
        samples: usize,
        scratch: &mut Scratch,
    ) -> std::result::Result<Found, SourceError> {
        let spec = &self.spec;
        if spec.archives.is_empty() {
            return Ok(Found::default());
        }
        let target = spec.archive_for(range.step_ms);
        let step_ms = spec.archives[target].step_ms;
        let border = |range: &Range| {
            let from_ms = slot_of(range.from_ms, step_ms) * step_ms;
            (from_ms, (slot_of(range.until_ms, step_ms) + 1) * step_ms)
        };
        let mut windows = spec.windows(target, border(&range));
        if range.sparse
            && let Some(first) = windows.first().filter(|w| w.archive > target)
        {
            range.from_ms -= 2 * spec.archives[first.archive].step_ms;
            windows = spec.windows(target, border(&range));
        }
        let mut join = Join {
            step_ms,
            covered_ms: i64::MIN,
            before: None,
            slots: Vec::new(),
        };
        for window in &windows {
            check_deadline(range.deadline)?;
            self.read_window(conn, window, &mut join, scratch)
                .map_err(SourceError::from)?;
            check_samples(samples + join.slots.len(), range.max_samples)?;
        }
        let mut slots = join.slots;
        self.cut(&mut slots);
        if spec.rates {
            let mut total = join.before.unwrap_or(0.0);
            for slot in &mut slots {
                total += slot.sum;
                slot.total = total;
            }
        }
        slots.retain(|s| (range.from_ms..=range.until_ms).contains(&s.time.0));
        let sparse = windows.iter().filter(|w| w.archive > target);
        let stretches = sparse.map(|w| Stretch {
            until: Timestamp(w.until_ms.min(self.until_ms)),
            step_ms: spec.archives[w.archive].step_ms,
        });
        Ok(Found {
            slots,
            stretches: stretches.collect(),
            rates: spec.rates,
        })
    }

    /// Ends where live readings begin: a slot in which they do ends there.
    fn cut(&self, slots: &mut Vec<Slot>) {
        slots.retain(|s| s.time.0 - s.step_ms < self.until_ms);
        if let Some(last) = slots.last_mut() {
            end(last, self.until_ms, self.spec.rates);
        }
    }

    fn read_window(
        &self,
        conn: &Connection,
        window: &Window,
        join: &mut Join,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let archive = &self.spec.archives[window.archive];
        let step_ms = archive.step_ms;
        // Whole slots: the last may reach over the window, then the next ones begin later.
        let first = window.from_ms.div_euclid(step_ms).max(archive.first);
        let until = (slot_of(window.until_ms, step_ms) + 1).min(archive.until);
        let mut stmt =
            conn.prepare_cached("SELECT id, data FROM ts_old_page WHERE id BETWEEN ?1 AND ?2")?;
        let row = |chunk| page_row(self.id, window.archive, chunk);
        let (from, last) = (first.div_euclid(SLOTS), (until - 1).div_euclid(SLOTS));
        let mut pages = stmt.query([row(from), row(last)])?;
        while let Some(page) = pages.next()? {
            let chunk = page.get::<_, i64>(0)? - row(0);
            let mut cells = vec![[f64::NAN; COLUMNS]; usize::try_from(SLOTS).unwrap_or(0)];
            let bytes = page.get_ref(1)?.as_blob().unwrap_or_default();
            let total = decode_page(bytes, chunk, scratch, |slot, column, value| {
                let at = usize::try_from(slot - chunk * SLOTS).unwrap_or(usize::MAX);
                if let Some(cell) = cells.get_mut(at) {
                    cell[column] = value;
                }
            });
            let mut before = total.unwrap_or(0.0);
            for (slot, cell) in (chunk * SLOTS..).zip(&cells) {
                if cell[0].is_nan() {
                    continue;
                }
                if (first..until).contains(&slot) {
                    join.before.get_or_insert(before);
                    let new = of(cell, archive.per_slot, step_ms, slot);
                    let new = if self.spec.rates { counted(new) } else { new };
                    join.push(new, window.until_ms, self.spec.rates);
                }
                before += growth(cell[0], step_ms);
            }
        }
        Ok(())
    }
}

/// Puts the slots of a series together.
struct Join {
    /// Length of the slots that come out, unless those that go in are longer.
    step_ms: i64,
    /// Up to where there are slots already.
    covered_ms: i64,
    /// What a counter had come to before the first slot.
    before: Option<f64>,
    slots: Vec<Slot>,
}

impl Join {
    /// Takes the next slot, unless a longer one before it reaches over its begin. A slot longer than
    /// asked for ends where shorter ones begin.
    fn push(&mut self, mut new: Slot, until_ms: i64, rates: bool) {
        let begin_ms = new.time.0 - new.step_ms;
        if new.step_ms > self.step_ms {
            end(&mut new, until_ms, rates);
        }
        let end_ms = new.time.0;
        if begin_ms < self.covered_ms {
            return;
        }
        self.covered_ms = end_ms;
        if new.step_ms < self.step_ms {
            new.time = Timestamp((slot_of(end_ms, self.step_ms) + 1) * self.step_ms);
            new.step_ms = self.step_ms;
            if let Some(open) = self.slots.last_mut().filter(|s| s.time == new.time) {
                open.count = open.count.saturating_add(new.count);
                open.sum += new.sum;
                open.min = open.min.min(new.min);
                open.max = open.max.max(new.max);
                open.last = new.last;
                return;
            }
        }
        self.slots.push(new);
    }
}

/// Ends a slot where others begin; a counter grew in proportion until then.
fn end(slot: &mut Slot, until_ms: i64, rates: bool) {
    let over_ms = slot.time.0.saturating_sub(until_ms);
    if over_ms <= 0 {
        return;
    }
    if rates {
        #[expect(clippy::cast_precision_loss, reason = "a step is a year at most")]
        let left = (slot.step_ms - over_ms) as f64 / slot.step_ms as f64;
        slot.sum *= left.max(0.0);
    }
    slot.time = Timestamp(until_ms);
}

/// The rates of a slot as what they came to, in all and in the shortest slots.
fn counted(slot: Slot) -> Slot {
    let base_ms = slot.step_ms / i64::from(slot.count.max(1));
    Slot {
        sum: growth(slot.sum / f64::from(slot.count.max(1)), slot.step_ms),
        min: growth(slot.min, base_ms),
        max: growth(slot.max, base_ms),
        last: growth(slot.last, base_ms),
        ..slot
    }
}

/// A slot as it is in the file. Where that has averages only, these are all that is known.
fn of(cell: &[f64; COLUMNS], per_slot: u32, step_ms: i64, slot: i64) -> Slot {
    let [average, min, max, last] = *cell;
    let or = |value: f64| if value.is_nan() { average } else { value };
    Slot {
        time: Timestamp((slot + 1) * step_ms),
        step_ms,
        count: per_slot,
        sum: average * f64::from(per_slot),
        min: or(min),
        max: or(max),
        last: or(last),
        total: 0.0,
    }
}
