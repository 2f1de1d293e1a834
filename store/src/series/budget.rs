//! The budget of figures: what pages occupy, what those still to come are expected to, and how large
//! the next one may be.
//!
//! Two different questions. *Whether a group is admitted* is answered by what pages of its archives
//! really take in this store, with a margin: an estimate. *How large a page may be* is answered so that
//! the pages stay within the budget whatever the estimate was worth ([`Book::allowed`]): a page in place
//! of one of `old` bytes gets no more than `old` and what is free.
//!
//! Bytes are counted as SQLite lays them out, at the worst: each row has its overflow pages and a leaf
//! of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::{Input, put_varint};
use super::layout::{Archive, LANES, Layout};

/// What the overflow pages and leaves need above them: a cell of at most 15 bytes for each leaf, in pages
/// that SQLite keeps filled to a third.
const INTERIOR_BYTES: u64 = 64;
/// What SQLite adds to a page's bytes in its row: lengths, types, the row's number.
const ROW_BYTES: usize = 8;
/// What a group occupies besides its pages: its checkpoint (an open chunk of 48 lanes takes 20 KiB at
/// most in practice) and the names of its series.
const GROUP_BYTES: u64 = 64 << 10;
/// An eighth more than is expected is kept free when a group is admitted: groups differ.
const MARGIN: (u64, u64) = (9, 8);
/// What the first pages of a store are expected to take: those of a fleet of hosts, in hundredths of a
/// byte a slot (`cargo xtask bench series`: 1.24 and 5.23).
const EXPECTED_RAW: u64 = 130;
const EXPECTED_COARSE: u64 = 540;
/// So many lanes of pages weigh as much as that expectation: 64 full pages.
const EXPECTED_WEIGHT: u64 = 64 * LANES as u64;

/// Pages that are alike: finest or derived, the length of a slot, slots.
type Kind = (bool, i64, i64);

fn kind(at: usize, archive: &Archive) -> Kind {
    (at == 0, archive.step_ms, archive.n)
}

/// A page that is there: what its row occupies, and of how many series it knows something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    pub(crate) lanes: u64,
}

/// The pages of one archive of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    bytes: u64,
    lanes: u64,
}

/// All pages of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    held: Held,
    /// Lanes of pages once all rings are full.
    promised: u64,
}

#[derive(Debug)]
struct Group {
    layout: Arc<Layout>,
    held: Vec<Held>,
}

/// What the pages of a store occupy.
#[derive(Debug)]
pub(crate) struct Book {
    budget: u64,
    /// A page of SQLite.
    page_bytes: u64,
    groups: BTreeMap<u32, Group>,
    kinds: BTreeMap<Kind, Total>,
    pages: u64,
    /// Imported figures.
    old: u64,
    journal: u64,
    /// What the running transaction changed, as it was before.
    undo: Vec<(u32, usize, Held)>,
    /// Pages that kept fewer digits because of the budget, and those that were not written at all.
    cut: Cut,
}

/// What the fence cost, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) shortened: u64,
    pub(crate) lost: u64,
}

impl Default for Book {
    fn default() -> Self {
        Self::new(0, u64::from(crate::file::PAGE_BYTES))
    }
}

impl Book {
    pub(crate) fn new(budget: u64, page_bytes: u64) -> Self {
        Self {
            budget,
            page_bytes: page_bytes.max(512),
            groups: BTreeMap::new(),
            kinds: BTreeMap::new(),
            pages: 0,
            old: 0,
            journal: 0,
            undo: Vec::new(),
            cut: Cut::default(),
        }
    }

    /// Bytes that the row of a page of `len` bytes occupies, at the most.
    pub(crate) fn cost(&self, len: usize) -> u64 {
        let len = (len + ROW_BYTES) as u64;
        // "The usable size is U": a leaf holds up to U - 35 bytes of a row, an overflow page U - 4.
        let overflow = len.saturating_sub(self.page_bytes - 35);
        (1 + overflow.div_ceil(self.page_bytes - 4)) * self.page_bytes + INTERIOR_BYTES
    }

    /// The longest page that costs so much; `None` when none does.
    fn longest(&self, cost: u64) -> Option<usize> {
        let pages = cost.checked_sub(INTERIOR_BYTES)? / self.page_bytes;
        let len = pages.checked_sub(1)? * (self.page_bytes - 4) + self.page_bytes - 35;
        Some(usize::try_from(len).unwrap_or(usize::MAX) - ROW_BYTES)
    }

    /// What is occupied.
    pub(crate) fn used(&self) -> u64 {
        let heads = self.groups.len() as u64 * GROUP_BYTES;
        self.pages + self.old + heads
    }

    /// What pages of a kind take for each lane, in thousandths of a byte.
    fn each(&self, kind: Kind, held: Held) -> u64 {
        let (fine, _, slots) = kind;
        let hundredths = if fine { EXPECTED_RAW } else { EXPECTED_COARSE };
        let len = slots.unsigned_abs() * hundredths * LANES as u64 / 100 + 20;
        // Half a page of SQLite stays empty in a row's leaf, and the cost says so.
        let expected = self.cost(usize::try_from(len).unwrap_or(usize::MAX));
        let weight = EXPECTED_WEIGHT / LANES as u64;
        (held.bytes + expected * weight) * 1000 / (held.lanes + EXPECTED_WEIGHT)
    }

    /// What the lanes of pages are expected to take that are not written yet.
    pub(crate) fn expected(&self) -> u64 {
        let left = |(&kind, total): (&Kind, &Total)| {
            let lanes = total.promised.saturating_sub(total.held.lanes);
            self.each(kind, total.held) * lanes / 1000
        };
        self.kinds.iter().map(left).sum()
    }

    /// What all rings are expected to take once they are full.
    pub(crate) fn promised(&self) -> u64 {
        self.used() + self.expected()
    }

    /// The same of one group more.
    fn expected_of(&self, layout: &Layout) -> u64 {
        let archive = |(at, a): (usize, &Archive)| {
            let kind = kind(at, a);
            let held = self.kinds.get(&kind).map_or(Held::default(), |t| t.held);
            self.each(kind, held) * lanes_of(a) / 1000
        };
        layout.archives.iter().enumerate().map(archive).sum()
    }

    /// Whether the rings of a group more fit.
    pub(crate) fn admits(&self, layout: &Layout) -> bool {
        let expected = self.expected() + self.expected_of(layout);
        let wanted = expected / MARGIN.1 * MARGIN.0 + GROUP_BYTES;
        self.journal + self.used() + wanted <= self.budget
    }

    /// A group begins: its rings are promised.
    pub(crate) fn open(&mut self, group: u32, layout: &Arc<Layout>) {
        self.close(group);
        for (at, archive) in layout.archives.iter().enumerate() {
            self.kinds.entry(kind(at, archive)).or_default().promised += lanes_of(archive);
        }
        let held = vec![Held::default(); layout.archives.len()];
        let layout = Arc::clone(layout);
        self.groups.insert(group, Group { layout, held });
    }

    /// A group is no more.
    pub(crate) fn close(&mut self, group: u32) {
        let Some(gone) = self.groups.remove(&group) else {
            return;
        };
        for (at, (archive, held)) in gone.layout.archives.iter().zip(&gone.held).enumerate() {
            let total = self.kinds.entry(kind(at, archive)).or_default();
            total.promised = total.promised.saturating_sub(lanes_of(archive));
            total.held.bytes -= held.bytes;
            total.held.lanes -= held.lanes;
            self.pages -= held.bytes;
        }
        self.undo.retain(|(g, ..)| *g != group);
    }

    pub(crate) fn old(&self) -> u64 {
        self.old
    }

    /// What imported figures occupy.
    pub(crate) fn set_old(&mut self, bytes: u64) {
        self.old = bytes;
    }

    /// What the journal occupies; it goes off the budget before pages do.
    pub(crate) fn set_journal(&mut self, bytes: u64) {
        self.journal = bytes;
    }

    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.journal + self.promised() + bytes <= self.budget
    }

    /// How long a page of an archive may be in place of another. Never so long that the pages would
    /// not fit into the budget: at most what is free comes to what was there.
    ///
    /// While all that is expected fits, a page has its own share and everything that is over. When it
    /// does not (pages became larger than they used to be) the free part is divided by what is expected:
    /// new pages are cut alike, and none takes what others were promised.
    pub(crate) fn allowed(&self, group: u32, at: usize, old: Size) -> Option<usize> {
        let free = self.budget.saturating_sub(self.journal + self.used());
        let expected = self.expected();
        let archive = self
            .groups
            .get(&group)
            .and_then(|g| g.layout.archives.get(at));
        let own = archive.map_or(0, |a| {
            let kind = kind(at, a);
            let held = self.kinds.get(&kind).map_or(Held::default(), |t| t.held);
            self.each(kind, held) * (LANES as u64).saturating_sub(old.lanes) / 1000
        });
        let more = match free.checked_sub(expected) {
            Some(over) => own + over,
            None => {
                let share = u128::from(free) * u128::from(own) / u128::from(expected.max(1));
                u64::try_from(share).unwrap_or(free)
            }
        };
        self.longest(old.bytes + more.min(free))
    }

    /// A page takes the place of another (of none, or by none).
    pub(crate) fn wrote(&mut self, group: u32, at: usize, old: Size, new: Size) {
        let held = self.groups.get(&group).and_then(|g| g.held.get(at));
        let Some(&held) = held else { return };
        self.undo.push((group, at, held));
        let now = Held {
            bytes: (held.bytes + new.bytes).saturating_sub(old.bytes),
            lanes: (held.lanes + new.lanes).saturating_sub(old.lanes),
        };
        self.set(group, at, now);
    }

    /// All pages of a group are gone.
    pub(crate) fn cleared(&mut self, group: u32) {
        let archives = self.groups.get(&group).map_or(0, |g| g.held.len());
        for at in 0..archives {
            if let Some(&held) = self.groups.get(&group).and_then(|g| g.held.get(at)) {
                self.undo.push((group, at, held));
                self.set(group, at, Held::default());
            }
        }
    }

    fn set(&mut self, group: u32, at: usize, now: Held) {
        let Some(g) = self.groups.get_mut(&group) else {
            return;
        };
        let (Some(held), Some(archive)) = (g.held.get_mut(at), g.layout.archives.get(at)) else {
            return;
        };
        let before = std::mem::replace(held, now);
        let total = self.kinds.entry(kind(at, archive)).or_default();
        total.held.bytes = total.held.bytes + now.bytes - before.bytes;
        total.held.lanes = total.held.lanes + now.lanes - before.lanes;
        self.pages = self.pages + now.bytes - before.bytes;
    }

    /// The transaction did not succeed: all is as it was.
    pub(crate) fn undo(&mut self) {
        while let Some((group, at, held)) = self.undo.pop() {
            self.set(group, at, held);
        }
    }

    /// The transaction is durable.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    pub(crate) fn groups(&self) -> Vec<u32> {
        self.groups.keys().copied().collect()
    }

    /// The groups that the running transaction changed.
    pub(crate) fn touched(&self) -> Vec<u32> {
        let mut touched: Vec<u32> = self.undo.iter().map(|(group, ..)| *group).collect();
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// What a group holds, for its row.
    pub(crate) fn encode(&self, group: u32) -> Vec<u8> {
        let mut out = Vec::new();
        for held in self.groups.get(&group).map_or(&[][..], |g| &g.held) {
            put_varint(&mut out, held.bytes);
            put_varint(&mut out, held.lanes);
        }
        out
    }

    /// Takes it up again; `None` when the row makes no sense.
    pub(crate) fn restore(&mut self, group: u32, row: &[u8]) -> Option<()> {
        let archives = self.groups.get(&group)?.held.len();
        let mut input = Input(row);
        let mut all = Vec::with_capacity(archives);
        for _ in 0..archives {
            // Far above any file, and far from where sums would overflow.
            let mut next = || input.varint().filter(|&n| n < 1 << 48);
            all.push(Held {
                bytes: next()?,
                lanes: next()?,
            });
        }
        if !input.is_empty() {
            return None;
        }
        for (at, held) in all.into_iter().enumerate() {
            self.set(group, at, held);
        }
        Some(())
    }

    pub(crate) fn count_cut(&mut self, lost: bool) {
        let count = if lost {
            &mut self.cut.lost
        } else {
            &mut self.cut.shortened
        };
        *count += 1;
    }

    pub(crate) fn cut(&self) -> Cut {
        self.cut
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }
}

/// Bytes that a series of a full group is expected to occupy, in a store that measured nothing yet, with
/// what is kept free beside it.
pub(crate) fn series_bytes(layout: &Layout) -> u64 {
    let group = Book::default().expected_of(layout);
    (group / MARGIN.1 * MARGIN.0 + GROUP_BYTES).div_ceil(LANES as u64)
}

/// Lanes of the pages of a full ring.
fn lanes_of(archive: &Archive) -> u64 {
    archive.ring.unsigned_abs() * LANES as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Archives;
    use proptest::prelude::*;

    fn layout(texts: &[&str]) -> Arc<Layout> {
        Arc::new(Layout::new(0, &Archives::parse(texts).unwrap()))
    }

    /// What a page of `len` bytes that knows all lanes is counted as.
    fn size(book: &Book, len: usize) -> Size {
        Size {
            bytes: book.cost(len),
            lanes: LANES as u64,
        }
    }

    #[test]
    fn ten_thousand_series_fit_into_the_default_budget() {
        let options = crate::Options::default();
        let mut book = Book::new(options.series_bytes, 4096);
        let layout = Arc::new(Layout::new(0, &Archives::default().for_step(10_000)));
        let mut groups = 0;
        while book.admits(&layout) {
            book.open(groups, &layout);
            groups += 1;
        }
        let series = groups as usize * LANES;
        assert!((options.series_max..11_500).contains(&series), "{series}");
        // What docs/store.md says of the three default layouts.
        let kib = |step_ms| {
            let archives = Archives::default().for_step(step_ms);
            archives.bytes_expected().div_ceil(1024)
        };
        assert_eq!([1_000, 10_000, 60_000].map(kib), [411, 295, 173]);
    }

    #[test]
    fn what_is_measured_replaces_what_was_expected() {
        let layout = layout(&["10s for 2d", "1m for 14d"]);
        let mut book = Book::new(1 << 30, 4096);
        book.open(0, &layout);
        let before = book.expected_of(&layout);
        for _ in 0..10_000 {
            for at in 0..2 {
                let (old, new) = (Size::default(), size(&book, 1000));
                book.wrote(0, at, old, new);
            }
        }
        let (after, rows) = (
            book.expected_of(&layout),
            layout.archives.iter().map(|a| a.ring),
        );
        let real = rows.sum::<i64>().unsigned_abs() * book.cost(1000);
        assert!(
            after < before / 2 && after < real * 21 / 20,
            "{after} {real}"
        );
        assert!(after > real * 19 / 20, "{after} {real}");
    }

    #[test]
    fn a_failed_transaction_changes_nothing() {
        let layout = layout(&["10s for 2d", "1m for 14d"]);
        let mut book = Book::new(1 << 30, 4096);
        book.open(0, &layout);
        let new = size(&book, 9000);
        book.wrote(0, 0, Size::default(), new);
        book.keep();
        let state = |book: &Book| (book.used(), book.expected(), book.encode(0));
        let before = state(&book);
        book.wrote(0, 1, Size::default(), new);
        book.wrote(0, 0, new, Size::default());
        assert_eq!(book.touched(), [0]);
        assert_ne!(state(&book), before);
        book.undo();
        assert_eq!(state(&book), before);
        book.cleared(0);
        book.undo();
        assert_eq!(state(&book), before);
        // What is written down is taken up again; what makes no sense is not.
        let mut again = Book::new(1 << 30, 4096);
        again.open(0, &layout);
        assert_eq!(again.restore(0, &before.2), Some(()));
        assert_eq!(state(&again), before);
        assert_eq!(again.restore(0, &before.2[..1]), None);
        assert_eq!(again.restore(1, &before.2), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever pages turn out to be, and in whichever order they come.
        #[test]
        fn pages_stay_within_the_budget(
            budget in 0..40u64 << 20,
            admitted in 1..6u32,
            writes in prop::collection::vec((0..6u32, 0..2usize, 0..400i64, 0..40_000usize, 0..=48u64), 1..400),
        ) {
            let layout = layout(&["10s for 2d", "1m for 14d"]);
            let mut book = Book::new(budget, 4096);
            for group in 0..admitted {
                book.open(group, &layout);
            }
            let heads = book.used();
            let mut rows = BTreeMap::new();
            for (group, at, row, len, lanes) in writes {
                let place = (group, at, row % layout.archives[at].ring);
                let old = rows.get(&place).copied().unwrap_or_default();
                let Some(allowed) = book.allowed(group, at, old) else { continue };
                let bytes = book.cost(len.min(allowed));
                let new = Size { bytes, lanes };
                prop_assert!(allowed == 0 || book.cost(allowed) <= old.bytes + budget);
                if len.min(allowed) > 0 && group < admitted {
                    book.wrote(group, at, old, new);
                    rows.insert(place, new);
                }
                prop_assert_eq!(book.used() - heads, rows.values().map(|s| s.bytes).sum::<u64>());
                prop_assert!(book.used() <= budget.max(heads));
            }
        }

        /// Rings that turn, groups that go: SQLite never needs more than is counted.
        #[test]
        fn sqlite_needs_no_more_than_is_counted(
            lens in prop::collection::vec(1..30_000u32, 1..8),
            writes in prop::collection::vec((0..4i64, 0..3i64, 0..40i64, 0..8usize), 200..600),
            gone in 0..4i64,
        ) {
            let conn = rusqlite::Connection::open_in_memory().unwrap();
            conn.execute_batch("PRAGMA page_size = 4096; CREATE TABLE ts_page(id INTEGER PRIMARY KEY, data BLOB)").unwrap();
            let used = || -> u64 {
                let n = |p| conn.pragma_query_value(None, p, |r| r.get::<_, u32>(0)).unwrap();
                u64::from(n("page_count") - n("freelist_count")) * 4096
            };
            let (empty, book) = (used(), Book::default());
            let mut rows = BTreeMap::new();
            let put = |writes: &[(i64, i64, i64, usize)], rows: &mut BTreeMap<i64, u64>| {
                for &(group, archive, row, len) in writes {
                    let (id, len) = (group << 24 | archive << 20 | row, lens[len % lens.len()]);
                    conn.execute("INSERT OR REPLACE INTO ts_page VALUES (?1, zeroblob(?2))", (id, len)).unwrap();
                    rows.insert(id, book.cost(len as usize));
                }
            };
            let (first, second) = writes.split_at(writes.len() / 2);
            put(first, &mut rows);
            conn.execute("DELETE FROM ts_page WHERE id >> 24 = ?1", [gone]).unwrap();
            rows.retain(|id, _| id >> 24 != gone);
            put(second, &mut rows);
            prop_assert!(used() - empty <= rows.values().sum::<u64>(), "{} {:?}", used() - empty, rows);
        }
    }
}
